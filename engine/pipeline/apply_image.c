/* SPDX-License-Identifier: BSD-3-Clause */
/* Apply's side of snapshots: its state into the image, and out of it. See snapshots.h. */
#include "engine/pipeline/pipeline.h"

#include <rte_cycles.h>

#include <errno.h>

/* The longest that saving took: nothing was applied meanwhile. */
static void note_pause(struct synod_pipeline *p, uint64_t cycles)
{
	uint64_t us = cycles * 1000000 / rte_get_tsc_hz();

	/* Relaxed: written here alone, and only a recent value is wanted. */
	if (us > atomic_load_explicit(&p->published.pause_max_us, memory_order_relaxed))
		atomic_store_explicit(&p->published.pause_max_us, us, memory_order_relaxed);
}

static void save(struct synod_pipeline *p)
{
	struct synod_pipeline_image *image = &p->image;
	uint64_t begin = rte_get_tsc_cycles();

	image->slot = synod_apply_slot(p->apply.apply);
	image->size = synod_apply_save(p->apply.apply, image->bytes);
	synod_assert_cmp(image->size, <=, image->room);
	note_pause(p, rte_get_tsc_cycles() - begin);
}

/* Chosen slots up to it that wait in the ring are dropped as they come: apply_stage.c. */
static void load(struct synod_pipeline *p)
{
	struct synod_apply_stage *stage = &p->apply;
	struct synod_pipeline_image *image = &p->image;

	image->error = 0;
	if (image->slot <= synod_apply_slot(stage->apply))
		return; /* learned and executed meanwhile */
	image->error = synod_apply_load(stage->apply, image->bytes, image->size);
	if (!image->error && synod_apply_slot(stage->apply) != image->slot)
		image->error = -EBADMSG;
	stage->lost = image->error != 0; /* nothing is left to apply anything to */
	if (stage->lost)
		return;
	synod_positions_begin(&stage->positions, &stage->positions.memory, image->slot + 1,
			      synod_apply_position(stage->apply));
	/* R4: release; pairs with P4 in order.c, which reads slot_applied before it. */
	atomic_store_explicit(&p->published.slot_installed, image->slot, memory_order_release);
	synod_count(&stage->counters, SYNOD_SNAPSHOTS_INSTALLED, 1);
}

int synod_apply_image_turn(struct synod_pipeline *p)
{
	/* P3: acquire; pairs with R3 in transfer.c: the buffer is ours, and what it says. */
	uint32_t task = atomic_load_explicit(&p->image.task, memory_order_acquire);

	if (task == SYNOD_IMAGE_NONE)
		return 0;
	if (task == SYNOD_IMAGE_SAVE)
		save(p);
	else
		load(p);
	/* R3: release; pairs with P3 in transfer.c: the buffer is the journal stage's again. */
	atomic_store_explicit(&p->image.task, SYNOD_IMAGE_NONE, memory_order_release);
	return 1;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recovery: the snapshot is loaded, if there is one; the chosen slots behind it are executed again,
 * one by one; the suffix that was accepted and is not known to be chosen goes to the core, which
 * votes on with it. If half of a peer's snapshot is there, the rest of it will do.
 */
#include "engine/host/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int load_snapshot(struct synod_replica *replica, char *error, size_t error_size)
{
	const struct synod_journal_recovery *recovery = &replica->recovery;
	int failed;

	if (!recovery->snapshot_slot)
		return 0;
	failed = synod_journal_read_snapshot(replica->journal, replica->image, error, error_size);
	if (failed)
		return failed;
	failed = synod_pipeline_load(replica->pipeline, recovery->snapshot_size);
	if (!failed && synod_apply_slot(replica->pipeline->apply.apply) != recovery->snapshot_slot)
		failed = -EBADMSG;
	if (failed)
		snprintf(error, error_size, "%s: the snapshot of slot %" PRIu64 " %s",
			 synod_config_replica(&replica->config, replica->id)->journal,
			 recovery->snapshot_slot,
			 failed == -EINVAL
				 ? "is of another machine, or another number or window of "
				   "sessions: restore the [cluster] section it was written with"
				 : "does not add up, though its checksum is right: look "
				   "with `synod log`, do not format it");
	return failed;
}

/* Half of a snapshot that a peer was sending, if the slots it stands for are still lacking. */
static void load_partial(struct synod_replica *replica, struct synod_replica_opened *opened)
{
	const struct synod_journal_recovery *recovery = &replica->recovery;
	const struct synod_journal_snapshot of = { .slot = recovery->partial.slot,
						   .size = recovery->partial.total,
						   .checksum = recovery->partial.checksum };

	if (of.slot <= recovery->chosen_through || of.size > replica->image_room ||
	    !synod_journal_read_partial(replica->journal, replica->image))
		return;
	synod_pipeline_load_partial(replica->pipeline, &of, recovery->partial_received,
				    recovery->partial_crc);
	opened->partial_slot = of.slot;
	opened->partial_received = recovery->partial_received;
	opened->partial_total = of.size;
}

static int replay(struct synod_replica *replica, char *error, size_t error_size)
{
	for (uint64_t slot = replica->recovery.snapshot_slot + 1;
	     slot <= replica->recovery.chosen_through; slot++) {
		struct synod_journal_record record;
		int failed = synod_journal_read_sync(replica->journal, slot, &record);

		if (failed) {
			snprintf(error, error_size,
				 "%s: slot %" PRIu64
				 " is known to be chosen and cannot be read: %s; "
				 "look with `synod log`, do not format it",
				 synod_config_replica(&replica->config, replica->id)->journal, slot,
				 strerror(-failed));
			return failed;
		}
		synod_pipeline_replay(replica->pipeline, slot, record.body, record.value.size);
	}
	return 0;
}

static int load_suffix(struct synod_replica *replica, struct synod_replica_opened *opened,
		       char *error, size_t error_size)
{
	uint64_t first = replica->recovery.chosen_through + 1;
	uint64_t last = first - 1 + SYNOD_WINDOW_SLOTS;

	if (replica->recovery.slot_last > last) {
		snprintf(error, error_size,
			 "%s: slot %" PRIu64 " lies outside the window that begins at %" PRIu64
			 ": the journal was written by a build with a larger SYNOD_WINDOW_SLOTS",
			 synod_config_replica(&replica->config, replica->id)->journal,
			 replica->recovery.slot_last, first);
		return -EINVAL;
	}
	for (uint64_t slot = first; slot <= replica->recovery.slot_last; slot++) {
		struct synod_journal_record record;
		int failed = synod_journal_read_sync(replica->journal, slot, &record);

		if (failed == -ENOENT)
			continue;
		if (!failed)
			failed = synod_pipeline_recover_slot(replica->pipeline, &record);
		if (failed) {
			snprintf(error, error_size, "%s: slot %" PRIu64 ": %s",
				 synod_config_replica(&replica->config, replica->id)->journal, slot,
				 strerror(-failed));
			return failed;
		}
		opened->suffix_slots++;
	}
	return 0;
}

int synod_host_recover(struct synod_replica *replica, uint64_t now_ns,
		       struct synod_replica_opened *opened, char *error, size_t error_size)
{
	struct synod_pipeline_start start = {
		.promised = replica->recovery.promised,
		.chosen_through = replica->recovery.chosen_through,
	};
	int failed = load_snapshot(replica, error, error_size);

	if (!failed)
		failed = replay(replica, error, error_size);
	if (failed)
		return failed;
	start.now_ns = synod_host_now_ns();
	opened->replay_ns = start.now_ns - now_ns;
	opened->snapshot_slot = replica->recovery.snapshot_slot;
	opened->slots_replayed = start.chosen_through - opened->snapshot_slot;
	opened->position = synod_apply_position(replica->pipeline->apply.apply);
	opened->promised = start.promised;
	synod_pipeline_recover(replica->pipeline, &start);
	load_partial(replica, opened);
	return load_suffix(replica, opened, error, error_size);
}

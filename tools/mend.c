/* SPDX-License-Identifier: BSD-3-Clause */
/* Repairing a journal: see mend.h. */
#include "tools/mend.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *read_snapshot(const struct synod_mend_source *source, char *error, size_t error_size)
{
	const size_t size = (source->found.snapshot_size + SYNOD_BLOCK_SIZE - 1) /
			    SYNOD_BLOCK_SIZE * SYNOD_BLOCK_SIZE;
	void *image = aligned_alloc(SYNOD_BLOCK_SIZE, size);

	if (image && synod_journal_read_snapshot(source->journal, image, error, error_size) == 0)
		return image;
	free(image);
	return NULL;
}

int synod_mend_source_open(struct synod_mend_source *source, const char *path, char *error,
			   size_t error_size)
{
	const struct synod_journal_options options = { .path = path,
						       .flags = SYNOD_JOURNAL_READ_ONLY };
	int failed =
		synod_journal_open(&source->journal, &options, &source->found, error, error_size);

	if (!failed && source->found.snapshot_slot) {
		/* Are its snapshot's bytes what they were? */
		void *image = read_snapshot(source, error, error_size);

		source->found.snapshot_faulty = image == NULL;
		free(image);
	}
	return failed;
}

void synod_mend_source_close(struct synod_mend_source *source)
{
	synod_journal_close(source->journal);
	source->journal = NULL;
}

void synod_mend_begin(struct synod_mend *mend, struct synod_mend_source *old)
{
	*mend = (struct synod_mend){ .old = old, .rule = { .old = &old->found } };
}

void synod_mend_add(struct synod_mend *mend, struct synod_mend_source *other)
{
	const uint32_t count = mend->rule.others_count++;

	synod_assert_cmp(count, <, (uint32_t)SYNOD_REPLICAS_MAX);
	mend->others[count] = other;
	mend->rule.others[count] = &other->found;
}

enum synod_repair_verdict synod_mend_check(struct synod_mend *mend, uint64_t *slot)
{
	return synod_repair_check(&mend->rule, slot);
}

/* Hands one write to the new journal and waits until it was taken. */
static int give(struct synod_mend *mend, struct synod_journal_write *write)
{
	uint64_t durable;
	int taken = 0;

	write->ticket = ++mend->ticket;
	while (taken == 0) {
		int polled;

		taken = mend->port.write(mend->port.context, write, 1);
		polled = mend->port.poll(mend->port.context, now_ns(), &durable);
		if (taken < 0 || polled < 0)
			return taken < 0 ? taken : polled;
	}
	return 0;
}

static int settle(struct synod_mend *mend)
{
	uint64_t durable = 0;

	while (durable < mend->ticket) {
		int polled = mend->port.poll(mend->port.context, now_ns(), &durable);

		if (polled < 0)
			return polled;
	}
	return 0;
}

static int copy_slot(struct synod_mend *mend, const struct synod_repair_copy *copy)
{
	const int chosen = copy->from != SYNOD_REPAIR_FROM_OLD;
	struct synod_journal_record record;
	struct synod_journal_write write;
	int failed = synod_journal_read_sync(
		(chosen ? mend->others[copy->from] : mend->old)->journal, copy->slot, &record);

	if (failed)
		return failed == -ENOENT && copy->optional ? 0 : failed;
	write = (struct synod_journal_write){
		.kind = SYNOD_WRITE_RECORD,
		.chosen = chosen || record.chosen,
		.slot = copy->slot,
		.ballot = record.ballot,
		.chosen_through = copy->chosen_through,
		.value = record.value,
		.body = record.body,
	};
	failed = give(mend, &write);
	if (!failed && mend->repaired && !synod_recovery_intact(&mend->old->found, copy->slot))
		mend->repaired(copy->slot, mend->others[copy->from]->found.identity.replica);
	return failed;
}

static int copy_snapshot(struct synod_mend *mend)
{
	const int from = mend->rule.base_from;
	const struct synod_mend_source *source =
		from == SYNOD_REPAIR_FROM_OLD ? mend->old : mend->others[from];
	void *image = read_snapshot(source, mend->error, sizeof(mend->error));
	uint64_t durable;
	int failed = image ? 0 : -EBADMSG; /* it was whole a moment ago: its replica runs on */

	if (!failed)
		failed = mend->port.snapshot_write(mend->port.context, mend->rule.base, image,
						   source->found.snapshot_size);
	while (!failed && mend->port.snapshot_busy(mend->port.context)) {
		failed = mend->port.poll(mend->port.context, now_ns(), &durable);
		failed = failed < 0 ? failed : 0;
	}
	free(image);
	return failed;
}

static int copy_all(struct synod_mend *mend)
{
	struct synod_journal_write promise = {
		.kind = SYNOD_WRITE_PROMISE,
		.ballot = mend->old->found.promised,
	};
	struct synod_repair_copy copy;
	int failed = 0;

	if (mend->rule.base)
		failed = copy_snapshot(mend);
	if (!failed && mend->old->found.promised)
		failed = give(mend, &promise);
	while (!failed && synod_repair_next(&mend->rule, &copy))
		failed = copy_slot(mend, &copy);
	/* Once more: it carries that the last slot is chosen too, if the old one knew that. */
	promise.chosen_through = mend->rule.chosen;
	if (!failed && promise.ballot)
		failed = give(mend, &promise);
	return failed ? failed : settle(mend);
}

int synod_mend_write(struct synod_mend *mend, const char *path)
{
	const struct synod_journal_identity *identity = &mend->old->found.identity;
	const struct synod_journal_options options = { .path = path, .expect = identity };
	const struct synod_format_log *log = &mend->old->found.log;
	const struct synod_journal_extent extent = {
		.size = log->end - log->begin + SYNOD_FORMAT_AREAS_BEGIN,
		.area_size = (log->begin - SYNOD_FORMAT_AREAS_BEGIN) / 2,
	};
	struct synod_journal_recovery found;
	int failed = synod_journal_format(path, identity, &extent, SYNOD_JOURNAL_FORCE, mend->error,
					  sizeof(mend->error));

	if (!failed)
		failed = synod_journal_open(&mend->fresh, &options, &found, mend->error,
					    sizeof(mend->error));
	if (failed)
		return failed;
	mend->port = synod_journal_port(mend->fresh);
	failed = copy_all(mend);
	if (failed)
		snprintf(mend->error, sizeof(mend->error), "%s: %s", path,
			 *synod_journal_error(mend->fresh) ? synod_journal_error(mend->fresh)
							   : strerror(-failed));
	return failed;
}

void synod_mend_end(struct synod_mend *mend)
{
	synod_journal_close(mend->fresh);
	mend->fresh = NULL;
}

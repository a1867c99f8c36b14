/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scan over a file: reads the log once, in large pieces, checks every byte of it, and builds
 * the index. What was corrupted is told with file, offset, groups and slots; nothing is repaired
 * here, and nothing below the durable mark is ever dropped.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct recovering {
	struct synod_journal *journal;
	struct synod_journal_recovery *recovery;
	uint64_t slot_beyond; /* a record's slot that the index has no room for */
};

static int on_group(void *context, const struct synod_format_group *group)
{
	struct recovering *recovering = context;

	synod_assert(recovering->slot_beyond == 0);
	recovering->slot_beyond =
		synod_recovery_group(recovering->recovery, &recovering->journal->index, group);
	return recovering->slot_beyond ? -EBADMSG : 0;
}

static int on_faulty(void *context, const struct synod_scan_gap *gap)
{
	synod_assert(context && gap);
	synod_recovery_faulty(((struct recovering *)context)->recovery, gap);
	return 0;
}

static int visit_records(const struct synod_journal_visitor *visitor, const uint8_t *bytes)
{
	const struct synod_format_group *group = (const void *)bytes;
	uint32_t at = sizeof(*group);
	int result = 0;

	synod_assert(visitor->record != NULL);
	for (uint32_t i = 0; i < group->records && result == 0; i++) { /* the scan has checked it */
		const struct synod_format_record *record = (const void *)(bytes + at);

		synod_assert_cmp(at, <, group->used);
		result = visitor->record(visitor->context, group, record, record + 1);
		at += synod_format_record_size(record->entry.size);
	}
	return result;
}

/* Passes what the scan found on. */
static int visit(const struct synod_journal_visitor *visitor, const struct synod_scan *scan,
		 enum synod_scan_event event, const uint8_t *bytes)
{
	int result = 0;

	synod_assert(visitor && scan);
	switch (event) {
	case SYNOD_SCAN_MORE:
		break;
	case SYNOD_SCAN_GROUP:
		synod_assert(bytes != NULL);
		if (visitor->group)
			result = visitor->group(visitor->context, (const void *)bytes);
		if (result == 0 && visitor->record)
			result = visit_records(visitor, bytes);
		break;
	case SYNOD_SCAN_FAULTY:
		if (visitor->faulty)
			result = visitor->faulty(visitor->context, &scan->faulty);
		break;
	case SYNOD_SCAN_END:
		if (visitor->torn && scan->torn.reason != SYNOD_SCAN_FINE)
			result = visitor->torn(visitor->context, &scan->torn);
		break;
	}
	return result;
}

static int run_scan(struct synod_journal *journal, struct synod_scan *scan,
		    const struct synod_journal_visitor *visitor)
{
	enum synod_scan_event event;

	synod_assert(journal->fd >= 0);
	synod_assert(journal->chunk != NULL);
	synod_scan_begin(scan, &journal->opened);
	do { /* ends: every turn moves on by a block at least, or ends */
		const uint8_t *bytes = NULL;
		int result = 0;

		if (scan->want_size)
			result = synod_uring_chunk(journal, scan->want_offset, scan->want_size,
						   &bytes);
		else
			bytes = journal->chunk; /* nothing is wanted, nothing is looked at */
		if (result < 0)
			return result;
		event = synod_scan_give(scan, bytes);
		result = visit(visitor, scan, event, bytes);
		if (result != 0)
			return result;
	} while (event != SYNOD_SCAN_END);
	return 0;
}

int synod_journal_walk(struct synod_journal *journal, const struct synod_journal_visitor *visitor)
{
	struct synod_scan scan;

	synod_assert(journal->fd >= 0);
	synod_assert(journal && visitor);
	journal->chunk_size = 0; /* what was cached may be older than the file */
	return run_scan(journal, &scan, visitor);
}

static int say_corrupt(const struct synod_journal *journal,
		       const struct synod_journal_recovery *recovery, char *error,
		       size_t error_size)
{
	const struct synod_scan_gap *gap = &recovery->faulty[0];
	char groups[64];
	char slots[96] = "slots not known";
	char more[48] = "";

	synod_assert(gap->reason != SYNOD_SCAN_FINE);
	synod_assert(recovery->faults > 0);
	snprintf(groups, sizeof(groups), "group %" PRIu64, gap->group_first);
	if (gap->group_last > gap->group_first)
		snprintf(groups, sizeof(groups), "groups %" PRIu64 " to %" PRIu64, gap->group_first,
			 gap->group_last);
	if (gap->slots_known && gap->slot_first == 0)
		snprintf(slots, sizeof(slots), "no slots");
	else if (gap->slot_first)
		snprintf(slots, sizeof(slots), "slots %" PRIu64 " to %" PRIu64 "%s",
			 gap->slot_first, gap->slot_last,
			 gap->slots_known ? "" : " and others not known");
	if (recovery->faults > 1)
		snprintf(more, sizeof(more), "; and %u more places", recovery->faults - 1);
	return synod_uring_say(
		error, error_size, -EBADMSG,
		"%s: corrupt at offset %" PRIu64
		": %s, %s: %s, though it was durable%s. Nothing was changed. The other "
		"replicas hold these slots and go on: a replica that starts asks them, "
		"where that can do; `synod repair` rewrites it from theirs",
		journal->path, gap->offset, groups, slots, synod_scan_reason_text(gap->reason),
		more);
}

static int say_hole(const struct synod_journal *journal,
		    const struct synod_journal_recovery *recovery, uint64_t slot, char *error,
		    size_t error_size)
{
	synod_assert_cmp(slot, <=, recovery->chosen_through);
	return synod_uring_say(error, error_size, -EBADMSG,
			       "%s: slot %" PRIu64 " has no record, though slots up to "
			       "%" PRIu64 " are marked chosen: the file was written by a "
			       "faulty program; move it away, and rejoin as a new "
			       "incarnation (`synod recover`)",
			       journal->path, slot, recovery->chosen_through);
}

int synod_uring_recover(struct synod_journal *journal, struct synod_journal_recovery *recovery,
			struct synod_mending *mending, char *error, size_t error_size)
{
	struct recovering recovering = { journal, recovery, 0 };
	const struct synod_journal_visitor visitor = {
		.context = &recovering,
		.group = on_group,
		.faulty = on_faulty,
	};
	struct synod_scan scan;
	uint64_t hole;
	int result;

	synod_assert(journal->opened.head_group > 0);
	synod_assert(recovery->faults == 0);
	result = run_scan(journal, &scan, &visitor);
	if (recovering.slot_beyond)
		return synod_uring_say(
			error, error_size, -EBADMSG,
			"%s: a record of slot %" PRIu64 ", beyond the %" PRIu64
			" that a journal of this size can hold; use the program that "
			"wrote it",
			journal->path, recovering.slot_beyond, journal->index.slots);
	if (result < 0)
		return synod_uring_say(error, error_size, result,
				       "%s: cannot read at offset %" PRIu64 ": %s; nothing was "
				       "changed; check the device",
				       journal->path, journal->chunk_offset, strerror(-result));
	synod_plan_start(&journal->writer.plan, &journal->opened, scan.groups ? &scan.group : NULL);
	hole = synod_recovery_end(recovery, &scan, &journal->index);
	if (mending &&
	    synod_mending_plan(mending, recovery, &journal->index) == SYNOD_MENDING_POSSIBLE)
		return hole ? say_hole(journal, recovery, hole, error, error_size) : 0;
	if (!synod_recovery_whole(recovery))
		return say_corrupt(journal, recovery, error, error_size);
	return hole ? say_hole(journal, recovery, hole, error, error_size) : 0;
}

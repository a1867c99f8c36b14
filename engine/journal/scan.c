/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads a journal back: see scan.h. */
#include "engine/journal/scan.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/plan.h"
#include "engine/journal/superblock.h"

#include <string.h>

static const char *const reasons[] = {
	[SYNOD_SCAN_FINE] = "fine",
	[SYNOD_SCAN_EMPTY] = "zeros where a group should be",
	[SYNOD_SCAN_HEADER] = "unreadable group header",
	[SYNOD_SCAN_STALE] = "a group that does not belong here",
	[SYNOD_SCAN_RECORD] = "record header checksum mismatch",
	[SYNOD_SCAN_BODY] = "record body checksum mismatch",
	[SYNOD_SCAN_PADDING] = "padding is not zero",
	[SYNOD_SCAN_MISSING] = "missing at the end",
};

const char *synod_scan_reason_text(enum synod_scan_reason reason)
{
	synod_assert((unsigned int)reason < sizeof(reasons) / sizeof(reasons[0]));
	synod_assert(reasons[reason] != NULL);
	return reasons[reason];
}

static int zeros(const uint8_t *bytes, size_t size)
{
	synod_assert(bytes != NULL);
	/* All equal to their left neighbour, and the first is 0. */
	return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/*
 * A checksum says that bytes are as written; this, that they make sense together: what is believed
 * of them later is asserted.
 */
static int header_sane(const struct synod_format_group *header)
{
	synod_assert(header->magic == SYNOD_FORMAT_GROUP_MAGIC);
	synod_assert(header->version == SYNOD_FORMAT_VERSION);
	return header->number > 0 && header->number < SYNOD_FORMAT_NUMBER_END &&
	       header->durable_through < header->number &&
	       header->summary[0].number < header->number &&
	       (header->summary[0].number == 0 ||
		header->summary[1].number < header->summary[0].number) &&
	       (header->slot_first == 0) == (header->slot_last == 0) &&
	       (header->slot_first == 0) == (header->records == 0) &&
	       header->slot_first <= header->slot_last;
}

/* What a fence may say: in a ring, not so much that a search would come round to where it began. */
static uint64_t fence_max(const struct synod_scan *scan)
{
	synod_assert_cmp(scan->begin, >=, scan->log.begin);
	synod_assert_cmp(scan->log.begin, <, scan->log.end);
	return scan->log.wraps
		       ? scan->begin + (scan->log.end - scan->log.begin) + SYNOD_FORMAT_FENCE_STEP
		       : scan->log.end;
}

/* Is there a whole header of this journal that says it stands here? */
static int header_readable(const struct synod_scan *scan, const struct synod_format_group *header,
			   uint64_t at)
{
	synod_assert_cmp(at % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert(scan->log.wraps || at < scan->log.end);
	return header->magic == SYNOD_FORMAT_GROUP_MAGIC &&
	       header->version == SYNOD_FORMAT_VERSION &&
	       header->offset == synod_format_place(&scan->log, at) &&
	       header->checksum == synod_plan_header_checksum(scan->seed, header) &&
	       header->cluster == scan->cluster && header->incarnation == scan->incarnation &&
	       header->replica == scan->replica && header->life < SYNOD_FORMAT_NUMBER_END &&
	       header->epoch == synod_format_epoch(&scan->log, at) &&
	       header->used >= sizeof(*header) && header->used <= header->bytes &&
	       header->bytes == synod_format_blocks(header->used) &&
	       header->bytes <= SYNOD_GROUP_SIZE_MAX &&
	       header->bytes <= synod_format_left(&scan->log, at) &&
	       header->fence <= fence_max(scan) && header_sane(header);
}

static uint64_t end_of(const struct synod_scan *scan, const struct synod_format_group *header)
{
	synod_assert(header->magic == SYNOD_FORMAT_GROUP_MAGIC);
	synod_assert(header->bytes > 0);
	return synod_format_virtual(&scan->log, header->offset, header->epoch) + header->bytes;
}

enum synod_scan_reason synod_scan_record(uint32_t seed, const void *bytes, uint64_t size,
					 uint64_t group)
{
	const struct synod_format_record *record = bytes;

	synod_assert(size > 0 || bytes != NULL);
	synod_assert(((uintptr_t)bytes & 7) == 0);
	if (size < sizeof(*record) || record->checksum != synod_plan_record_checksum(seed, record))
		return SYNOD_SCAN_RECORD;
	if (record->kind != SYNOD_FORMAT_KIND_VALUE || record->entry.size > SYNOD_BATCH_SIZE_MAX ||
	    record->entry.size % 8 != 0 || record->entry.slot == 0 ||
	    (group && record->group != group))
		return SYNOD_SCAN_RECORD;
	if (record->entry.size > size - sizeof(*record))
		return SYNOD_SCAN_RECORD;
	if (synod_crc32c(record + 1, record->entry.size) != record->entry.crc)
		return SYNOD_SCAN_BODY;
	return SYNOD_SCAN_FINE;
}

/* Every byte of a group behind its header, which has been found readable. */
static enum synod_scan_reason judge_records(const struct synod_scan *scan, const uint8_t *bytes)
{
	const struct synod_format_group *header = (const void *)bytes;
	uint32_t checksum = scan->seed;
	uint32_t used = sizeof(*header);

	synod_assert_cmp(header->offset, ==, scan->want_offset); /* as header_readable found */
	synod_assert_cmp(header->bytes, <=, (uint32_t)SYNOD_GROUP_SIZE_MAX);
	for (uint32_t i = 0; i < header->records; i++) { /* ends: each takes 48 bytes or more */
		const struct synod_format_record *record = (const void *)(bytes + used);
		const enum synod_scan_reason reason =
			synod_scan_record(scan->seed, record, header->used - used, header->number);

		if (reason != SYNOD_SCAN_FINE)
			return reason;
		checksum = synod_crc32c_more(checksum, record, sizeof(*record));
		used += synod_format_record_size(record->entry.size);
	}
	if (used != header->used || checksum != header->records_checksum)
		return SYNOD_SCAN_RECORD;
	return zeros(bytes + used, header->bytes - used) ? SYNOD_SCAN_FINE : SYNOD_SCAN_PADDING;
}

/* Of a life before this one, and not before this one's first group: it was dropped. */
static int left_over(const struct synod_scan *scan, const struct synod_format_group *header)
{
	synod_assert(header->number > 0);
	synod_assert(header->magic == SYNOD_FORMAT_GROUP_MAGIC);
	return scan->life_group && header->number >= scan->life_group &&
	       header->life < scan->life_now;
}

/*
 * What is no header of this journal and turn. Behind the first turn a block that is not written
 * holds what was there before: any part of any group.
 */
static enum synod_scan_reason judge_other(const struct synod_scan *scan,
					  const struct synod_format_group *header)
{
	const uint32_t epoch = synod_format_epoch(&scan->log, scan->offset);

	synod_assert_cmp(scan->want_offset, ==, synod_format_place(&scan->log, scan->offset));
	synod_assert_implies(epoch > 0, scan->log.wraps);
	if (epoch > 0 && (header->magic != SYNOD_FORMAT_GROUP_MAGIC || header->epoch != epoch))
		return SYNOD_SCAN_STALE;
	return zeros((const uint8_t *)header, SYNOD_BLOCK_SIZE) ? SYNOD_SCAN_EMPTY
								: SYNOD_SCAN_HEADER;
}

/* Is it the group expected, whole? *known: its header at least can be believed. */
static enum synod_scan_reason judge(const struct synod_scan *scan, const uint8_t *bytes,
				    uint32_t size, int *known)
{
	const struct synod_format_group *header = (const void *)bytes;

	synod_assert_cmp(scan->want_offset, ==, synod_format_place(&scan->log, scan->offset));
	synod_assert_cmp(size, >=, (uint32_t)SYNOD_BLOCK_SIZE);
	*known = 0;
	if (!header_readable(scan, header, scan->offset))
		return judge_other(scan, header);
	if (header->number != scan->number || header->life < scan->life ||
	    left_over(scan, header) ||
	    (scan->previous_known && header->previous_checksum != scan->previous_checksum))
		return SYNOD_SCAN_STALE;
	synod_assert_cmp(header->bytes, <=, size); /* header_readable: inside the log; want: too */
	*known = 1;
	return judge_records(scan, bytes);
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void want(struct synod_scan *scan, uint64_t at)
{
	const uint64_t left = synod_format_left(&scan->log, at);

	synod_assert(!scan->searching || at > scan->gap.offset);
	synod_assert(left > 0);
	synod_assert_cmp(at % SYNOD_BLOCK_SIZE, ==, 0u);
	scan->want_offset = synod_format_place(&scan->log, at);
	scan->want_size = left < SYNOD_GROUP_SIZE_MAX ? (uint32_t)left : SYNOD_GROUP_SIZE_MAX;
}

void synod_scan_begin(struct synod_scan *scan, const struct synod_format_superblock *superblock)
{
	synod_assert(superblock->head_group > 0);
	synod_assert_cmp(superblock->head_offset, <=, superblock->log_end);
	memset(scan, 0, sizeof(*scan));
	scan->cluster = superblock->cluster;
	scan->incarnation = superblock->incarnation;
	scan->replica = superblock->replica;
	scan->seed = synod_superblock_seed(superblock);
	scan->log = synod_format_log_of(superblock);
	scan->number = superblock->head_group;
	scan->offset =
		synod_format_virtual(&scan->log, superblock->head_offset, superblock->head_epoch);
	scan->begin = scan->offset;
	scan->previous_checksum = superblock->head_previous;
	scan->previous_known = 1;
	scan->life_now = superblock->life;
	scan->life_group = superblock->life_group;
	scan->mark = superblock->durable_group;
	scan->promised = superblock->promised;
	scan->fence = superblock->fence;
	scan->chosen_through = superblock->snapshot_slot;
	want(scan, scan->offset);
}

/* The group that was expected is whole: it counts. */
static void take(struct synod_scan *scan, const struct synod_format_group *header)
{
	synod_assert_cmp(header->offset, ==, synod_format_place(&scan->log, scan->offset));
	synod_assert(!scan->searching);
	synod_assert_cmp(header->number, ==, scan->number);
	scan->group = *header;
	scan->groups++;
	scan->number = header->number + 1;
	scan->offset = synod_format_next(&scan->log, end_of(scan, header));
	scan->life = header->life;
	scan->life_seen = max(scan->life_seen, header->life);
	scan->previous_checksum = header->checksum;
	scan->previous_known = 1;
	scan->mark = max(scan->mark, header->durable_through);
	scan->chosen_through = max(scan->chosen_through, header->chosen_through);
	scan->promised = max(scan->promised, header->promised);
	scan->fence = max(scan->fence, header->fence);
}

/* Group scan->number cannot be read: look beyond. */
static void start_search(struct synod_scan *scan, const struct synod_format_group *header,
			 enum synod_scan_reason reason, int known)
{
	synod_assert(!scan->searching);
	synod_assert(reason != SYNOD_SCAN_FINE);
	scan->searching = 1;
	scan->found_end = 0;
	scan->gap = (struct synod_scan_gap){
		.reason = reason,
		.offset = scan->offset,
		.group_first = scan->number,
		.group_last = scan->number,
	};
	scan->search_offset = scan->offset + SYNOD_BLOCK_SIZE;
	if (known) {
		scan->gap.bytes = header->bytes;
		scan->gap.slot_first = header->slot_first;
		scan->gap.slot_last = header->slot_last;
		scan->gap.slots_known = 1;
		scan->search_offset = scan->offset + header->bytes;
		/* Its marks are true whatever became of its records. */
		scan->mark = max(scan->mark, header->durable_through);
		scan->promised = max(scan->promised, header->promised);
	}
}

static void widen(struct synod_scan_gap *gap, uint64_t slot_first, uint64_t slot_last)
{
	synod_assert_implies(gap->slot_first == 0, gap->slot_last == 0);
	if (slot_first == 0)
		return;
	if (gap->slot_first == 0 || slot_first < gap->slot_first)
		gap->slot_first = slot_first;
	gap->slot_last = max(gap->slot_last, slot_last);
}

/* The slots of the gap from the summaries of the first header beyond it. */
static void describe_gap(struct synod_scan_gap *gap, const struct synod_format_group *beyond)
{
	uint64_t described = gap->slots_known ? 1 : 0; /* the first, by its own header */

	synod_assert(gap->reason != SYNOD_SCAN_FINE);
	synod_assert_cmp(gap->group_first, <=, gap->group_last);
	for (uint32_t i = 0; i < SYNOD_FORMAT_SUMMARIES; i++) {
		const struct synod_format_summary *summary = &beyond->summary[i];

		if (summary->number < gap->group_first || summary->number > gap->group_last)
			continue;
		if (gap->slots_known && summary->number == gap->group_first)
			continue;
		widen(gap, summary->slot_first, summary->slot_last);
		described++;
	}
	gap->slots_known = described == gap->group_last - gap->group_first + 1;
}

/* Corrupt, and the log goes on at beyond, or (NULL) not at all. */
static enum synod_scan_event tell_faulty(struct synod_scan *scan,
					 const struct synod_format_group *beyond)
{
	synod_assert(scan->gap.reason != SYNOD_SCAN_FINE);
	synod_assert_cmp(scan->mark, >=, scan->number); /* it was durable */
	scan->faulty = scan->gap;
	scan->searching = 0;
	if (beyond) {
		synod_assert_cmp(beyond->number, >=, scan->number);
		if (beyond->number > scan->number) {
			scan->faulty.group_last = beyond->number - 1;
			describe_gap(&scan->faulty, beyond);
		}
		scan->number = beyond->number;
		scan->offset = end_of(scan, beyond) - beyond->bytes;
		scan->faulty.bytes = scan->offset - scan->gap.offset;
		scan->life = max(scan->life, beyond->life);
		scan->previous_known = 0;
		want(scan, scan->offset);
	} else {
		scan->faulty.group_last = max(scan->mark, scan->number);
		if (scan->faulty.group_last > scan->number)
			scan->faulty.slots_known = 0;
		scan->number = scan->faulty.group_last + 1;
		scan->over = 1; /* the scan ends here */
		scan->want_size = 0;
	}
	scan->faulty.offset = synod_format_place(&scan->log, scan->gap.offset);
	scan->groups_faulty += scan->faulty.group_last - scan->faulty.group_first + 1;
	return SYNOD_SCAN_FAULTY;
}

/*
 * A header beyond the gap says that the gap was durable. The log goes on at the first header found,
 * unless this one knows better (a leftover in the place of a lost write).
 */
static enum synod_scan_event resume(struct synod_scan *scan,
				    const struct synod_format_group *evidence)
{
	const struct synod_format_group *found = &scan->found;

	synod_assert(scan->found_end > 0);
	synod_assert_cmp(evidence->durable_through, >=, scan->number);
	for (uint32_t i = 0; i < SYNOD_FORMAT_SUMMARIES; i++)
		if (evidence->summary[i].number == found->number &&
		    evidence->summary[i].checksum != found->checksum)
			return tell_faulty(scan, evidence);
	return tell_faulty(scan, found);
}

static enum synod_scan_event end(struct synod_scan *scan)
{
	synod_assert_cmp(scan->mark, <, scan->number);
	synod_assert(scan->searching == 0 || scan->mark < scan->number);
	if (scan->searching) {
		scan->torn = scan->gap;
		scan->torn.offset = synod_format_place(&scan->log, scan->gap.offset);
		if (scan->found_end)
			scan->torn.bytes = scan->found_end - scan->gap.offset;
		if (scan->found_end == 0 &&
		    (scan->gap.reason == SYNOD_SCAN_EMPTY || scan->gap.reason == SYNOD_SCAN_STALE))
			scan->torn.reason = SYNOD_SCAN_FINE; /* never written, or long dropped */
	}
	scan->searching = 0;
	scan->want_size = 0;
	return SYNOD_SCAN_END;
}

/* Nothing more beyond the fence. */
static enum synod_scan_event end_search(struct synod_scan *scan)
{
	synod_assert(scan->searching);
	synod_assert(scan->gap.reason != SYNOD_SCAN_FINE);
	if (scan->mark < scan->number)
		return end(scan);
	if (scan->gap.reason == SYNOD_SCAN_EMPTY)
		scan->gap.reason = SYNOD_SCAN_MISSING;
	return tell_faulty(scan, NULL);
}

static enum synod_scan_event go_on_searching(struct synod_scan *scan)
{
	synod_assert(scan->searching);
	synod_assert_cmp(scan->search_offset, >, scan->gap.offset);
	if (scan->search_offset >= scan->fence ||
	    (!scan->log.wraps && scan->search_offset >= scan->log.end))
		return end_search(scan);
	want(scan, scan->search_offset);
	return SYNOD_SCAN_MORE;
}

/* Looks at every block of the window for a group header. */
static enum synod_scan_event search(struct synod_scan *scan, const uint8_t *bytes)
{
	const uint64_t begin = scan->search_offset;

	synod_assert_cmp(scan->want_offset, ==, synod_format_place(&scan->log, begin));
	synod_assert(scan->searching);
	for (uint32_t at = 0; at < scan->want_size; at += SYNOD_BLOCK_SIZE) {
		const struct synod_format_group *header = (const void *)(bytes + at);

		if (begin + at >= scan->fence)
			return end_search(scan);
		scan->search_offset = begin + at + SYNOD_BLOCK_SIZE;
		if (!header_readable(scan, header, begin + at))
			continue;
		scan->life_seen = max(scan->life_seen, header->life);
		if (header->number <= scan->number || header->life < scan->life ||
		    left_over(scan, header))
			continue;
		if (scan->found_end == 0)
			scan->found = *header;
		scan->found_end = begin + at + header->bytes;
		scan->mark = max(scan->mark, header->durable_through);
		scan->promised = max(scan->promised, header->promised);
		if (scan->mark >= scan->number && header->durable_through >= scan->number)
			return resume(scan, header);
		if (scan->mark >= scan->number)
			return tell_faulty(scan, &scan->found);
	}
	return go_on_searching(scan);
}

/* The log is full to its last block, or what follows a lost end. */
static enum synod_scan_event end_of_log(struct synod_scan *scan)
{
	synod_assert(!scan->searching);
	synod_assert(scan->over || scan->offset == scan->log.end);
	if (scan->mark < scan->number)
		return end(scan);
	scan->gap = (struct synod_scan_gap){
		.reason = SYNOD_SCAN_MISSING,
		.offset = scan->offset,
		.group_first = scan->number,
		.group_last = scan->number,
	};
	return tell_faulty(scan, NULL);
}

enum synod_scan_event synod_scan_give(struct synod_scan *scan, const void *bytes)
{
	enum synod_scan_reason reason;
	int known;

	synod_assert_cmp(scan->want_size, <=, (uint32_t)SYNOD_GROUP_SIZE_MAX);
	synod_assert(((uintptr_t)bytes & 7) == 0);
	if (scan->searching)
		return search(scan, bytes);
	if (scan->over || (!scan->log.wraps && scan->offset == scan->log.end))
		return end_of_log(scan);
	reason = judge(scan, bytes, scan->want_size, &known);
	if (reason == SYNOD_SCAN_FINE) {
		take(scan, bytes);
		if (scan->log.wraps || scan->offset < scan->log.end)
			want(scan, scan->offset);
		else
			scan->want_size = 0;
		return SYNOD_SCAN_GROUP;
	}
	start_search(scan, bytes, reason, known);
	return go_on_searching(scan);
}

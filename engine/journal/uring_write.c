/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The write path: records into groups, groups to the disk, and the port. Greedy: while the disk has
 * a free place the open group goes at the next poll, however small; while it has none, it fills.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>

/* The worst that a record can take: a group of its own. 560 + 48 + 8856 bytes: 3 blocks. */
#define GROUP_WORST                                                        \
	((uint64_t)synod_format_blocks(sizeof(struct synod_format_group) + \
				       sizeof(struct synod_format_record) + SYNOD_BATCH_SIZE_MAX))

static uint32_t queued(const struct synod_journal *journal)
{
	synod_assert_cmp(journal->queue_end - journal->queue_begin, <, (uint64_t)SYNOD_URING_QUEUE);
	return (uint32_t)(journal->queue_end - journal->queue_begin);
}

/* What is left behind the open group, less a block for the last marker. */
static uint64_t bytes_left(const struct synod_journal *journal)
{
	uint64_t tail = journal->plan.offset_next + SYNOD_BLOCK_SIZE;

	synod_assert_cmp(journal->plan.offset_next, <=, journal->plan.log_end);
	if (journal->open_buffer >= 0)
		tail += synod_format_blocks(journal->buffers[journal->open_buffer].group.used);
	return tail < journal->plan.log_end ? journal->plan.log_end - tail : 0;
}

/* Opens a group in a free buffer. 0, or -ENOBUFS. */
static int open_group(struct synod_journal *journal)
{
	synod_assert_cmp(journal->plan.offset_next, <, journal->plan.log_end);
	synod_assert_cmp(journal->open_buffer, ==, -1);
	for (int i = 0; i < SYNOD_JOURNAL_BUFFERS; i++) {
		struct synod_uring_buffer *buffer = &journal->buffers[i];

		if (buffer->used)
			continue;
		buffer->used = 1;
		synod_plan_begin(&journal->plan, &buffer->group,
				 journal->memory + (size_t)i * SYNOD_GROUP_SIZE_MAX);
		journal->open_buffer = i;
		return 0;
	}
	return -ENOBUFS;
}

/* No more records go in; it waits for a place, and its item stands in the prefix. */
static void close_group(struct synod_journal *journal)
{
	struct synod_uring_buffer *buffer = &journal->buffers[journal->open_buffer];
	struct synod_prefix_item item = { .ticket = journal->ticket_given };

	synod_assert(journal->open_buffer >= 0);
	synod_assert_cmp(queued(journal), <, (uint32_t)SYNOD_URING_QUEUE);
	synod_plan_close(&journal->plan, &buffer->group);
	item.group = buffer->group.number;
	item.offset = buffer->group.offset + buffer->group.bytes;
	buffer->ticket_last = journal->ticket_given;
	buffer->chosen_through = journal->chosen_through;
	buffer->position = synod_prefix_add(&journal->prefix, &item);
	if (buffer->group.records)
		journal->group_records = buffer->group.number;
	journal->queue[journal->queue_end++ & (SYNOD_URING_QUEUE - 1)] =
		(uint8_t)journal->open_buffer;
	journal->open_buffer = -1;
	synod_uring_raise_fence(journal);
}

/* 0, -ENOBUFS: no buffer is free now, -ENOSPC: no room is left. */
static int give_record(struct synod_journal *journal, const struct synod_journal_write *write)
{
	const struct synod_wire_entry entry = {
		.slot = write->slot,
		.ballot = write->ballot,
		.size = write->value.size,
		.count = write->value.count,
		.crc = write->value.crc,
		.flags = write->chosen ? SYNOD_ENTRY_CHOSEN : 0,
	};
	uint64_t offset;
	int result;

	synod_assert_cmp(write->value.size, <=, (uint32_t)SYNOD_BATCH_SIZE_MAX);
	synod_assert(write->slot > 0);
	if (write->slot > journal->index_slots || bytes_left(journal) < GROUP_WORST)
		return -ENOSPC;
	if (journal->open_buffer >= 0 &&
	    !synod_plan_fits(&journal->plan, &journal->buffers[journal->open_buffer].group,
			     entry.size))
		close_group(journal);
	if (journal->open_buffer < 0) {
		result = open_group(journal);
		if (result < 0)
			return result;
	}
	offset = synod_plan_append(&journal->plan, &journal->buffers[journal->open_buffer].group,
				   &entry, write->body);
	synod_uring_index_put(journal, &entry, offset);
	if (journal->counters)
		synod_count(journal->counters, SYNOD_JOURNAL_RECORDS, 1);
	return 0;
}

/* 0, or -ENOBUFS. */
static int give_promise(struct synod_journal *journal, const struct synod_journal_write *write)
{
	struct synod_prefix_item item = { .ticket = write->ticket };

	synod_assert_cmp(write->ballot, >=, journal->superblock.want.promised);
	synod_assert(write->ballot > 0);
	if (synod_uring_promises_full(journal) || synod_prefix_room(&journal->prefix) < 2)
		return -ENOBUFS;
	if (journal->open_buffer >= 0)
		close_group(journal); /* its tickets are lower than this one */
	item.group = journal->plan.number_next - 1;
	item.offset = journal->plan.offset_next;
	synod_uring_promise(journal, write->ballot, synod_prefix_add(&journal->prefix, &item));
	return 0;
}

int synod_uring_write(void *context, const struct synod_journal_write *writes, unsigned int n)
{
	struct synod_journal *journal = context;
	unsigned int taken;

	synod_assert(!journal->read_only);
	if (journal->failed)
		return journal->failed;
	for (taken = 0; taken < n; taken++) {
		const struct synod_journal_write *write = &writes[taken];
		int result;

		synod_assert_implies(journal->ticket_given,
				     write->ticket == journal->ticket_given + 1);
		if (write->kind == SYNOD_WRITE_PROMISE)
			result = give_promise(journal, write);
		else
			result = give_record(journal, write);
		if (result == -ENOSPC && taken == 0)
			return -ENOSPC;
		if (result < 0)
			break;
		journal->ticket_given = write->ticket;
		if (write->chosen_through > journal->chosen_through) {
			/* The hint must be true of the records that are here: the last at least. */
			synod_assert_cmp(write->chosen_through, <=, journal->index_slots);
			synod_assert(journal->index[write->chosen_through].place != 0);
			journal->chosen_through = write->chosen_through;
		}
	}
	return (int)taken;
}

/* May another group go: a place is free, and the prefix is not too far behind? */
static int place_free(const struct synod_journal *journal)
{
	synod_assert_cmp(journal->prefix.group_durable, <=, journal->plan.number_finished);
	return journal->groups_inflight < SYNOD_JOURNAL_INFLIGHT &&
	       journal->plan.number_finished + 1 - journal->prefix.group_durable <=
		       SYNOD_JOURNAL_INFLIGHT;
}

static void submit_group(struct synod_journal *journal, uint32_t index)
{
	const struct synod_uring_buffer *buffer = &journal->buffers[index];
	const struct synod_plan_marks marks = {
		.durable_through = journal->prefix.group_durable,
		.chosen_through = buffer->chosen_through,
		.promised = journal->superblock.want.promised,
		.fence = journal->superblock.fence_durable,
	};

	synod_assert_cmp(marks.durable_through, <, buffer->group.number);
	synod_assert(buffer->used && buffer->group.bytes > 0);
	synod_plan_finish(&journal->plan, &buffer->group, &marks);
	journal->group_marked = marks.durable_through;
	journal->chunk_size = 0; /* read_sync's cache is older than this */
	synod_uring_prepare_write(journal, SYNOD_URING_GROUP, index, buffer->group.buffer,
				  buffer->group.bytes, buffer->group.offset);
	journal->groups_inflight++;
	if (journal->counters) {
		synod_count(journal->counters, SYNOD_JOURNAL_WRITES, 1);
		synod_count(journal->counters, SYNOD_JOURNAL_BYTES, buffer->group.bytes);
	}
}

int synod_uring_submit_groups(struct synod_journal *journal)
{
	int count = 0;

	while (place_free(journal)) { /* ends: each turn takes a place */
		const struct synod_uring_buffer *buffer;
		uint32_t index;

		if (queued(journal) == 0 && journal->open_buffer >= 0)
			close_group(journal);
		if (queued(journal) == 0)
			break;
		index = journal->queue[journal->queue_begin & (SYNOD_URING_QUEUE - 1)];
		buffer = &journal->buffers[index];
		if (buffer->group.offset + buffer->group.bytes >
		    journal->superblock.fence_durable) {
			synod_assert(journal->superblock.want.fence >
				     journal->superblock.fence_durable);
			break; /* the superblock is on its way */
		}
		journal->queue_begin++;
		submit_group(journal, index);
		count++;
	}
	synod_assert_cmp(journal->groups_inflight, <=, (uint32_t)SYNOD_JOURNAL_INFLIGHT);
	return count;
}

void synod_uring_group_done(struct synod_journal *journal, uint32_t index)
{
	struct synod_uring_buffer *buffer = &journal->buffers[index];

	synod_assert_cmp(index, <, (uint32_t)SYNOD_JOURNAL_BUFFERS);
	synod_assert(buffer->used && journal->groups_inflight > 0);
	synod_prefix_complete(&journal->prefix, buffer->position);
	buffer->used = 0;
	journal->groups_inflight--;
	journal->quiet_since_ns = 0;
}

/*
 * The last groups' durability is not yet said by any header: once the log has been quiet for a
 * while, an empty group says it.
 */
void synod_uring_maybe_mark(struct synod_journal *journal, uint64_t now_ns)
{
	const uint64_t quiet_ns = (uint64_t)SYNOD_JOURNAL_MARKER_MS * 1000 * 1000;

	synod_assert_cmp(journal->group_marked, <=, journal->plan.number_finished);
	if (journal->group_records <= journal->group_marked || journal->groups_inflight ||
	    queued(journal) || journal->open_buffer >= 0)
		return;
	if (journal->quiet_since_ns == 0)
		journal->quiet_since_ns = now_ns ? now_ns : 1;
	if (now_ns != UINT64_MAX && now_ns < journal->quiet_since_ns + quiet_ns)
		return;
	synod_assert_cmp(journal->group_records, <=, journal->prefix.group_durable);
	if (journal->plan.offset_next == journal->plan.log_end || open_group(journal) < 0)
		return; /* the marker's block has been used */
	close_group(journal);
}

uint64_t synod_uring_used(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	return journal->plan.offset_next - journal->opened.log_begin;
}

uint64_t synod_uring_room(void *context)
{
	const struct synod_journal *journal = context;
	const uint64_t slots = journal->index_slots - journal->slot_last;
	const uint64_t groups = bytes_left(journal) / GROUP_WORST;

	synod_assert(!journal->read_only);
	synod_assert_cmp(journal->slot_last, <=, journal->index_slots);
	return (slots < groups ? slots : groups) * SYNOD_BATCH_SIZE_MAX;
}

int synod_uring_ready(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(journal->failed <= 0);
	synod_assert(!journal->read_only);
	return !journal->failed && queued(journal) == 0 && place_free(journal);
}

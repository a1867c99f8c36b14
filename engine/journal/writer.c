/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records into groups, groups to the disk: see writer.h. Greedy: while the disk has a free place
 * the open group goes at the next advance, however small; while it has none, it fills.
 */
#include "engine/journal/writer.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>

/* The worst that a record can take: a group of its own. 560 + 48 + 8856 bytes: 3 blocks. */
#define GROUP_WORST                                                        \
	((uint64_t)synod_format_blocks(sizeof(struct synod_format_group) + \
				       sizeof(struct synod_format_record) + SYNOD_BATCH_SIZE_MAX))

static uint32_t queued(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->queue_end - writer->queue_begin, <, (uint64_t)SYNOD_WRITER_QUEUE);
	return (uint32_t)(writer->queue_end - writer->queue_begin);
}

/* What is left behind the open group, less a block for the last marker. */
static uint64_t bytes_left(const struct synod_writer *writer)
{
	const struct synod_plan *plan = &writer->plan;
	uint64_t tail = plan->offset_next + SYNOD_BLOCK_SIZE;

	synod_assert(plan->log.wraps || plan->offset_next <= plan->log.end);
	if (writer->open_buffer >= 0)
		tail += synod_format_blocks(writer->buffers[writer->open_buffer].group.used);
	if (plan->log.wraps)
		tail += SYNOD_GROUP_SIZE_MAX; /* lost where the turn ends */
	return tail < writer->limit ? writer->limit - tail : 0;
}

/* Has the last marker's block been used? */
static int marker_fits(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->open_buffer, ==, -1);
	synod_assert(writer->limit > 0);
	return writer->plan.offset_next + SYNOD_BLOCK_SIZE <= writer->limit;
}

/* Opens a group in a free buffer. 0, or -ENOBUFS. */
static int open_group(struct synod_writer *writer)
{
	synod_assert_cmp(writer->plan.offset_next, <, writer->limit);
	synod_assert_cmp(writer->open_buffer, ==, -1);
	for (int i = 0; i < SYNOD_JOURNAL_BUFFERS; i++) {
		struct synod_writer_buffer *buffer = &writer->buffers[i];

		if (buffer->used)
			continue;
		buffer->used = 1;
		synod_plan_begin(&writer->plan, &buffer->group,
				 writer->memory + (size_t)i * SYNOD_GROUP_SIZE_MAX);
		writer->open_buffer = i;
		return 0;
	}
	return -ENOBUFS;
}

/* No more records go in; it waits for a place, and its item stands in the prefix. */
static void close_group(struct synod_writer *writer)
{
	struct synod_writer_buffer *buffer = &writer->buffers[writer->open_buffer];
	struct synod_prefix_item item = { .ticket = writer->ticket_given };

	synod_assert(writer->open_buffer >= 0);
	synod_assert(buffer->used && buffer->group.bytes == 0);
	synod_assert_cmp(queued(writer), <, (uint32_t)SYNOD_WRITER_QUEUE);
	synod_plan_close(&writer->plan, &buffer->group);
	item.group = buffer->group.number;
	item.offset = buffer->group.offset + buffer->group.bytes;
	buffer->ticket_last = writer->ticket_given;
	buffer->chosen_through = writer->chosen_through;
	buffer->position = synod_prefix_add(&writer->prefix, &item);
	if (buffer->group.records)
		writer->group_records = buffer->group.number;
	writer->queue[writer->queue_end++ & (SYNOD_WRITER_QUEUE - 1)] =
		(uint8_t)writer->open_buffer;
	writer->open_buffer = -1;
	synod_writer_raise_fence(writer);
}

/* A fact was taken; the hint must be true of the records that are here: the last at least. */
static void take(struct synod_writer *writer, uint64_t ticket, uint64_t chosen_through)
{
	synod_assert_implies(writer->ticket_given, ticket == writer->ticket_given + 1);
	synod_assert_cmp(writer->prefix.ticket_durable, <, ticket);
	writer->ticket_given = ticket;
	if (chosen_through <= writer->chosen_through)
		return;
	synod_assert(chosen_through <= writer->snapshot.slot_settled ||
		     synod_index_offset(writer->index, chosen_through) != 0);
	writer->chosen_through = chosen_through;
}

/* The highest slot that the index takes without forgetting one that is needed. */
static uint64_t slot_limit(const struct synod_writer *writer)
{
	synod_assert(writer->index->slots > 0);
	synod_assert_cmp(writer->snapshot.slot_settled, <=, writer->superblock.want.snapshot_slot);
	return writer->snapshot.slot_settled + writer->index->slots;
}

int synod_writer_record(struct synod_writer *writer, uint64_t ticket,
			const struct synod_wire_entry *entry, const void *body,
			uint64_t chosen_through)
{
	uint64_t offset;
	int result;

	synod_assert_cmp(entry->size, <=, (uint32_t)SYNOD_BATCH_SIZE_MAX);
	synod_assert(entry->slot > 0);
	synod_assert(ticket > 0);
	if (entry->slot > slot_limit(writer) || bytes_left(writer) < GROUP_WORST)
		return -ENOSPC;
	if (writer->open_buffer >= 0 &&
	    !synod_plan_fits(&writer->plan, &writer->buffers[writer->open_buffer].group,
			     entry->size))
		close_group(writer);
	if (writer->open_buffer < 0) {
		result = open_group(writer);
		if (result < 0)
			return result;
	}
	offset = synod_plan_append(&writer->plan, &writer->buffers[writer->open_buffer].group,
				   entry, body);
	synod_index_put(writer->index, entry, offset);
	take(writer, ticket, chosen_through);
	return 0;
}

int synod_writer_promise(struct synod_writer *writer, uint64_t ticket, uint64_t ballot,
			 uint64_t chosen_through)
{
	synod_assert_cmp(ballot, >=, writer->superblock.want.promised);
	synod_assert(ballot > 0);
	return synod_writer_by_superblock(writer, ticket, ballot, chosen_through);
}

int synod_writer_by_superblock(struct synod_writer *writer, uint64_t ticket, uint64_t ballot,
			       uint64_t chosen_through)
{
	struct synod_prefix_item item = { .ticket = ticket };

	synod_assert(ticket > 0);
	synod_assert_cmp(ballot, >=, writer->superblock.want.promised);
	if (synod_writer_promises_full(writer) || synod_prefix_room(&writer->prefix) < 2)
		return -ENOBUFS;
	if (writer->open_buffer >= 0)
		close_group(writer); /* its tickets are lower than this one */
	item.group = writer->plan.number_next - 1;
	item.offset = writer->plan.offset_next;
	synod_writer_superblock_promise(writer, ballot, synod_prefix_add(&writer->prefix, &item));
	take(writer, ticket, chosen_through);
	return 0;
}

/* May another group go: a place is free, and the prefix is not too far behind? */
static int place_free(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->prefix.group_durable, <=, writer->plan.number_finished);
	return writer->groups_inflight < SYNOD_JOURNAL_INFLIGHT &&
	       writer->plan.number_finished + 1 - writer->prefix.group_durable <=
		       SYNOD_JOURNAL_INFLIGHT;
}

void synod_writer_name_io(struct synod_writer *writer, const struct synod_writer_io *io)
{
	synod_assert_cmp(writer->ios_count, <, (uint32_t)SYNOD_WRITER_IOS);
	synod_assert_cmp(io->offset % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert(io->size > 0 && io->size % SYNOD_BLOCK_SIZE == 0);
	writer->ios[writer->ios_count++] = *io;
}

/* What stood there a turn ago is gone from now on. */
static void forget_before(struct synod_writer *writer, uint64_t end)
{
	const uint64_t size = writer->plan.log.end - writer->plan.log.begin;

	synod_assert_cmp(end, <=, writer->superblock.fence_durable);
	synod_assert_cmp(end, <=, writer->limit);
	if (writer->plan.log.wraps && end > size && end - size > writer->index->floor)
		writer->index->floor = end - size;
}

static void start_group(struct synod_writer *writer, uint32_t index)
{
	const struct synod_writer_buffer *buffer = &writer->buffers[index];
	const struct synod_plan_marks marks = {
		.durable_through = writer->prefix.group_durable,
		.chosen_through = buffer->chosen_through,
		.promised = writer->superblock.want.promised,
		.fence = writer->superblock.fence_durable,
	};
	const struct synod_head head = { .at = buffer->group.offset,
					 .number = buffer->group.number,
					 .slot_last = buffer->group.slot_last,
					 .previous_checksum = writer->plan.previous_checksum };

	synod_assert_cmp(marks.durable_through, <, buffer->group.number);
	synod_assert(buffer->used && buffer->group.bytes > 0);
	synod_heads_note(&writer->heads, &head);
	synod_plan_finish(&writer->plan, &buffer->group, &marks);
	writer->group_marked = marks.durable_through;
	forget_before(writer, buffer->group.offset + buffer->group.bytes);
	synod_writer_name_io(
		writer, &(struct synod_writer_io){ .bytes = buffer->group.buffer,
						   .offset = synod_format_place(
							   &writer->plan.log, buffer->group.offset),
						   .size = buffer->group.bytes,
						   .kind = SYNOD_WRITER_GROUP,
						   .index = index });
	writer->groups_inflight++;
}

static void start_groups(struct synod_writer *writer)
{
	while (place_free(writer)) { /* ends: each turn takes a place */
		const struct synod_writer_buffer *buffer;
		uint32_t index;

		if (queued(writer) == 0 && writer->open_buffer >= 0)
			close_group(writer);
		if (queued(writer) == 0)
			break;
		index = writer->queue[writer->queue_begin & (SYNOD_WRITER_QUEUE - 1)];
		buffer = &writer->buffers[index];
		if (buffer->group.offset + buffer->group.bytes > writer->superblock.fence_durable) {
			synod_assert(writer->superblock.want.fence >
				     writer->superblock.fence_durable);
			break; /* the superblock is on its way */
		}
		writer->queue_begin++;
		start_group(writer, index);
	}
	synod_assert_cmp(writer->groups_inflight, <=, (uint32_t)SYNOD_JOURNAL_INFLIGHT);
}

static void group_done(struct synod_writer *writer, uint32_t index)
{
	struct synod_writer_buffer *buffer = &writer->buffers[index];

	synod_assert_cmp(index, <, (uint32_t)SYNOD_JOURNAL_BUFFERS);
	synod_assert(buffer->used && writer->groups_inflight > 0);
	synod_prefix_complete(&writer->prefix, buffer->position);
	buffer->used = 0;
	writer->groups_inflight--;
	writer->quiet_since_ns = 0;
}

void synod_writer_done(struct synod_writer *writer, uint32_t kind, uint32_t index)
{
	synod_assert(kind >= SYNOD_WRITER_GROUP && kind <= SYNOD_WRITER_SNAPSHOT);
	synod_assert_implies(kind == SYNOD_WRITER_SUPERBLOCK, index < SYNOD_SUPERBLOCK_COPIES);
	if (kind == SYNOD_WRITER_GROUP)
		group_done(writer, index);
	else if (kind == SYNOD_WRITER_SUPERBLOCK)
		synod_writer_superblock_done(writer);
	else
		synod_writer_snapshot_done(writer);
	synod_assert_cmp(writer->prefix.ticket_durable, <=, writer->ticket_given);
}

/*
 * Is there a group whose durability no header says yet, and nothing on its way that will? A group
 * may be on the medium and not count: behind a promise whose superblock is slow.
 */
static int mark_due(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->group_marked, <=, writer->plan.number_finished);
	return writer->group_records > writer->group_marked &&
	       writer->group_records <= writer->prefix.group_durable && !writer->groups_inflight &&
	       queued(writer) == 0 && writer->open_buffer < 0;
}

/*
 * The last groups' durability is not yet said by any header: once the log has been quiet for a
 * while, an empty group says it.
 */
static void maybe_mark(struct synod_writer *writer, uint64_t now_ns)
{
	if (!mark_due(writer))
		return;
	if (writer->quiet_since_ns == 0)
		writer->quiet_since_ns = now_ns ? now_ns : 1;
	if (now_ns < synod_writer_deadline_ns(writer))
		return;
	synod_assert_cmp(writer->group_records, <=, writer->prefix.group_durable);
	if (!marker_fits(writer) || open_group(writer) < 0)
		return;
	close_group(writer);
}

uint64_t synod_writer_deadline_ns(const struct synod_writer *writer)
{
	const uint64_t quiet_ns = (uint64_t)SYNOD_JOURNAL_MARKER_MS * 1000 * 1000;

	if (!mark_due(writer) || writer->quiet_since_ns == 0 || !marker_fits(writer))
		return UINT64_MAX;
	return writer->quiet_since_ns > UINT64_MAX - quiet_ns ? UINT64_MAX
							      : writer->quiet_since_ns + quiet_ns;
}

/* In this order nothing that could start now is left for a call that may not come soon. */
void synod_writer_advance(struct synod_writer *writer, uint64_t now_ns)
{
	writer->ios_count = 0;
	synod_assert(writer->plan.life > 0);
	synod_assert_cmp(writer->plan.life, ==, writer->superblock.want.life);
	maybe_mark(writer, now_ns);
	start_groups(writer);
	synod_writer_snapshot_progress(writer);
	if (writer->partial.of.slot)
		synod_writer_partial_progress(writer);
	synod_writer_superblock_progress(writer);
}

uint64_t synod_writer_room(const struct synod_writer *writer)
{
	const uint64_t limit = slot_limit(writer);
	const uint64_t slots =
		limit > writer->index->slot_last ? limit - writer->index->slot_last : 0;
	const uint64_t groups = bytes_left(writer) / GROUP_WORST;

	synod_assert(limit > 0);
	return (slots < groups ? slots : groups) * SYNOD_BATCH_SIZE_MAX;
}

int synod_writer_ready(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->open_buffer, <, (int)SYNOD_JOURNAL_BUFFERS);
	return queued(writer) == 0 && place_free(writer);
}

void synod_writer_init(struct synod_writer *writer, const struct synod_writer_start *start)
{
	const struct synod_journal_recovery *recovery = start->recovery;

	synod_assert(!recovery->end_lost); /* what is faulty before it may be mended: mending.h */
	synod_assert(start->index && start->memory);
	synod_assert(start->fence_step >= 2 * SYNOD_GROUP_SIZE_MAX);
	synod_assert_cmp(start->index->slot_last, <=, recovery->slot_last);
	synod_assert_cmp(synod_format_next(&recovery->log, recovery->offset_tail), ==,
			 start->plan->offset_next);
	synod_assert_cmp(recovery->group_last + 1, ==, start->plan->number_next);
	memset(writer, 0, sizeof(*writer));
	writer->open_buffer = -1;
	writer->plan = *start->plan;
	writer->index = start->index;
	writer->memory = start->memory;
	writer->fence_step = start->fence_step;
	writer->steps = start->steps;
	if (!writer->steps.piece)
		writer->steps.piece = SYNOD_WRITER_SNAPSHOT_SIZE;
	if (!writer->steps.note)
		writer->steps.note = SYNOD_PARTIAL_STEP;
	synod_assert(writer->steps.piece % SYNOD_BLOCK_SIZE == 0 &&
		     writer->steps.piece <= SYNOD_WRITER_SNAPSHOT_SIZE);
	writer->chosen_through = recovery->chosen_through;
	writer->group_marked = recovery->group_last;
	synod_prefix_init(&writer->prefix, recovery->group_last, recovery->offset_tail);
	writer->heads = recovery->heads;
	synod_writer_superblock_init(writer, start->opened);
	synod_writer_snapshot_init(writer, start->opened);
}

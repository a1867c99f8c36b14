/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Positions to commands, for readers of the sequence. Apply notes for each slot the last position
 * before it, and lists the few commands that took none (registrations, duplicates). A query finds
 * its slot by bisection, the journal reads it back, and the commands are copied to the answer, slot
 * after slot until it is as long as the question was.
 *
 * A command that is longer than the answer may be is answered piece by piece.
 *
 * A large command has the position of its last part; apply notes the place of each part that was
 * taken, and the one before it. Its pieces are its parts: the one that holds the byte asked for is
 * found by walking back, and its slot read. A question keeps no state here, and costs a read or
 * two.
 */
#include "engine/pipeline/pipeline.h"

#include <string.h>

void synod_tail_note_slot(struct synod_pipeline *p, uint64_t slot)
{
	if (slot <= p->config.slots_max + 1)
		p->apply.positions[slot] = synod_apply_position(p->apply.apply);
}

static void note_full(struct synod_apply_stage *stage, uint64_t slot)
{
	if (!stage->full_slot)
		stage->full_slot = slot;
}

static void note_part(struct synod_apply_stage *stage, uint64_t slot, uint32_t index,
		      const struct synod_apply_result *result)
{
	uint32_t *latest = &stage->part_latest[result->buffer];

	synod_assert_cmp(result->buffer, <, SYNOD_ASSEMBLIES);
	if (stage->parts_count == SYNOD_PIPELINE_PARTS_MAX) {
		note_full(stage, slot);
		return;
	}
	stage->parts[stage->parts_count] = (struct synod_pipeline_part){
		.place = slot << 16 | index,
		.offset = result->offset & INT32_MAX,
		.is_last = result->executed,
		.before = result->offset ? *latest : SYNOD_PIPELINE_PART_NONE,
	};
	*latest = stage->parts_count++;
}

void synod_tail_note_result(struct synod_pipeline *p, uint64_t slot, uint32_t index,
			    const struct synod_apply_result *result)
{
	struct synod_apply_stage *stage = &p->apply;

	if (result->part == SYNOD_APPLY_PART_TAKEN)
		note_part(stage, slot, index, result);
	if (result->part || result->executed)
		return; /* a part is known by its kind, and has no position unless noted as last */
	if (stage->skips_count < SYNOD_PIPELINE_SKIPS_MAX)
		stage->skips[stage->skips_count++] = slot << 16 | index;
	else
		note_full(stage, slot);
}

/* The part that was taken at that place, or NULL: none was. */
static const struct synod_pipeline_part *part_find(const struct synod_apply_stage *stage,
						   uint64_t place)
{
	uint32_t low = 0;
	uint32_t high = stage->parts_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (stage->parts[middle].place < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low < stage->parts_count && stage->parts[low].place == place ? &stage->parts[low]
									    : NULL;
}

/* The part of the same command that holds that byte: at most that many parts back. */
static const struct synod_pipeline_part *part_with(const struct synod_apply_stage *stage,
						   const struct synod_pipeline_part *last,
						   uint32_t offset)
{
	const struct synod_pipeline_part *part = last;

	while (part->offset > offset) {
		synod_assert_cmp(part->before, <, stage->parts_count);
		part = &stage->parts[part->before];
	}
	return part;
}

/* First index in 0..count whose skip is not below key. */
static uint64_t skip_find(const struct synod_apply_stage *stage, uint64_t key)
{
	uint64_t low = 0;
	uint64_t high = stage->skips_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (stage->skips[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The slot that holds a position that has been given. */
static uint64_t slot_of(const struct synod_apply_stage *stage, uint64_t position)
{
	uint64_t low = 1;
	uint64_t high = synod_apply_slot(stage->apply);

	while (low < high) { /* the highest slot with positions[slot] < position */
		uint64_t middle = low + (high - low + 1) / 2;

		if (stage->positions[middle] < position)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

static void send_tail(struct synod_pipeline *p, struct synod_item *item)
{
	struct synod_wire_header *header;

	if (!item->answer)
		item->answer = synod_pipeline_datagram(p->config.mbufs, &p->apply.counters);
	if (item->answer) {
		header = rte_pktmbuf_mtod(item->answer, struct synod_wire_header *);
		header->type = SYNOD_TAIL;
		header->slot = item->tail_first;
		header->argument = synod_apply_position(p->apply.apply);
		synod_pipeline_answer(p, p->out_apply, &p->apply.counters, item->answer,
				      &item->from);
		item->answer = NULL;
	}
	synod_item_put(&p->items, item);
}

/* Asks for a slot; the item comes back with it. Takes the item. */
static void read_slot(struct synod_pipeline *p, struct synod_item *item, uint64_t slot)
{
	struct synod_pipeline_read read = { .slot = slot, .item = item };

	rte_pktmbuf_free(item->mbuf);
	item->mbuf = NULL;
	if (rte_ring_enqueue_elem(p->to_read_tail, &read, sizeof(read)) != 0)
		synod_item_put(&p->items, item); /* the client asks again */
}

/* Asks for the slot of the next position wanted, or sends the answer. Takes the item. */
static void go_on(struct synod_pipeline *p, struct synod_item *item)
{
	struct synod_apply_stage *stage = &p->apply;
	uint64_t next = item->tail_last + 1;
	uint64_t last = synod_apply_position(stage->apply);
	uint64_t slot;

	if (next > last || next - item->tail_first >= item->tail_count) {
		send_tail(p, item);
		return;
	}
	slot = slot_of(stage, next);
	if (slot > p->config.slots_max || (stage->full_slot && slot >= stage->full_slot)) {
		send_tail(p, item); /* what there is; nothing is answered wrongly */
		return;
	}
	read_slot(p, item, slot);
}

/* Appends an entry and its bytes, if they fit. Returns 0 if not. */
static int append_entry(struct synod_item *item, const struct synod_wire_tail *tail,
			const uint8_t *bytes)
{
	uint32_t size = (uint32_t)sizeof(*tail) + SYNOD_WIRE_ALIGN(tail->size);
	char *to =
		size <= item->tail_room ? rte_pktmbuf_append(item->answer, (uint16_t)size) : NULL;

	if (!to)
		return 0;
	memset(to, 0, size);
	memcpy(to, tail, sizeof(*tail));
	memcpy(to + sizeof(*tail), bytes, tail->size);
	item->tail_room -= size;
	return 1;
}

/*
 * Appends the bytes of the first command from the one asked for on, as many as fit. There are size
 * of them at hand, from the command's byte begin on.
 */
static void append_piece(struct synod_item *item, uint32_t total, uint32_t begin,
			 const uint8_t *bytes, uint32_t size)
{
	struct synod_wire_tail tail = {
		.position = item->tail_first,
		.offset = item->tail_offset,
		.total = total,
	};
	uint32_t skipped = item->tail_offset - begin;

	synod_assert_cmp(begin, <=, item->tail_offset);
	if (skipped >= size || item->tail_room < sizeof(tail) + 8)
		return; /* behind its end, or no room: an empty answer */
	tail.size = size - skipped;
	if (tail.size > item->tail_room - sizeof(tail))
		tail.size = (item->tail_room - (uint32_t)sizeof(tail)) & ~7u;
	(void)append_entry(item, &tail, bytes + skipped);
}

/* Appends one command if it is wanted and fits. Returns 0 when the answer is complete. */
static int append(struct synod_item *item, uint64_t position, const uint8_t *payload, uint32_t size)
{
	const struct synod_wire_tail tail = { .position = position, .size = size, .total = size };

	if (position <= item->tail_last)
		return 1;
	if (position - item->tail_first >= item->tail_count)
		return 0;
	if (item->tail_offset == 0 && append_entry(item, &tail, payload)) {
		item->tail_last = position;
		return 1;
	}
	if (position == item->tail_first) /* submitted where datagrams are larger than here */
		append_piece(item, size, 0, payload, size);
	return 0;
}

/*
 * The last part of a large command, at its position: it is wanted only as the first of an answer,
 * and then the part that holds the byte asked for. Returns 0 when the answer is complete.
 */
static int want_large(struct synod_pipeline *p, struct synod_item *item,
		      const struct synod_pipeline_part *last, uint64_t position)
{
	if (position <= item->tail_last)
		return 1;
	if (position == item->tail_first)
		item->tail_part = part_with(&p->apply, last, item->tail_offset)->place;
	return 0;
}

/* Walks the commands of the slot that was read. Returns 0 when the answer is complete. */
static int append_slot(struct synod_pipeline *p, struct synod_item *item, uint64_t slot)
{
	struct synod_apply_stage *stage = &p->apply;
	const uint8_t *body = synod_item_body(item);
	uint64_t position = stage->positions[slot];
	uint64_t skip = skip_find(stage, slot << 16);
	uint32_t at = 0;

	for (uint32_t index = 0; at < item->value.size; index++) {
		const struct synod_pipeline_part *part;
		struct synod_wire_command command;
		int goes_on = 1;

		memcpy(&command, body + at, sizeof(command));
		if (command.kind == SYNOD_COMMAND_PART) {
			part = part_find(stage, slot << 16 | index);
			if (part && part->is_last)
				goes_on = want_large(p, item, part, ++position);
		} else if (skip < stage->skips_count &&
			   stage->skips[skip] == (slot << 16 | index)) {
			skip++;
		} else {
			goes_on =
				append(item, ++position, body + at + sizeof(command), command.size);
		}
		if (!goes_on)
			return 0;
		at += synod_wire_command_size(&command);
	}
	return 1;
}

/* The piece that is asked for, out of the slot that was read. */
static void append_part(struct synod_item *item)
{
	const uint8_t *body = synod_item_body(item);
	uint32_t index = item->tail_part & 0xffff;
	struct synod_wire_command command;
	struct synod_wire_part part;
	uint32_t at = 0;

	memcpy(&command, body, sizeof(command));
	for (; index; index--) {
		at += synod_wire_command_size(&command);
		synod_assert_cmp(at + sizeof(command), <=, item->value.size);
		memcpy(&command, body + at, sizeof(command));
	}
	synod_assert_cmp(command.kind, ==, SYNOD_COMMAND_PART);
	at += (uint32_t)sizeof(command);
	memcpy(&part, body + at, sizeof(part));
	append_piece(item, part.total, part.offset, body + at + sizeof(part),
		     command.size - (uint32_t)sizeof(part));
}

/* A slot has come. */
static void on_slot(struct synod_pipeline *p, struct synod_item *item, uint64_t slot)
{
	uint64_t before = item->tail_last;
	int goes_on;

	if (item->tail_part) { /* the part's own */
		append_part(item);
		send_tail(p, item);
		return;
	}
	goes_on = append_slot(p, item, slot);
	if (item->tail_part && item->tail_part >> 16 != slot) {
		read_slot(p, item, item->tail_part >> 16);
		return;
	}
	if (item->tail_part)
		append_part(item);
	if (goes_on && item->tail_last > before)
		go_on(p, item);
	else
		send_tail(p, item);
}

static void begin(struct synod_pipeline *p, struct synod_item *item)
{
	if (item->tail_first == 0)
		item->tail_first = 1;
	item->tail_last = item->tail_first - 1;
	item->answer = synod_pipeline_datagram(p->config.mbufs, &p->apply.counters);
	if (!item->answer) {
		synod_item_put(&p->items, item);
		return;
	}
	go_on(p, item);
}

int synod_tail_poll(struct synod_pipeline *p)
{
	struct synod_pipeline_read read;
	void *found;
	int work = 0;

	for (; work < 8 && rte_ring_dequeue(p->to_tail, &found) == 0; work++)
		begin(p, found);
	for (; work < 16 && rte_ring_dequeue_elem(p->tail_read, &read, sizeof(read)) == 0; work++)
		on_slot(p, read.item, read.slot);
	return work;
}

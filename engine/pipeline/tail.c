/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Positions to commands, for readers of the sequence. Apply notes for each slot the last position
 * before it, and lists the few commands that took none (positions.h). A query finds its slot by
 * bisection, the journal reads it back, and the commands are copied to the answer, slot after slot
 * until it is as long as the question was. What the log or the index no longer holds is answered
 * with the first position that they do.
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

/* The first slot whose commands can be told: known here, and still in the log. */
static uint64_t slot_first(struct synod_pipeline *p)
{
	/* Relaxed: a slot that has gone since is not found when it is read. */
	uint64_t in_log =
		atomic_load_explicit(&p->published.journal_slot_first, memory_order_relaxed);
	uint64_t known = p->apply.positions.slot_begin;

	return in_log > known ? in_log : known;
}

/* The last position that is trimmed; those behind it can be told. */
static uint64_t position_trimmed(struct synod_pipeline *p)
{
	uint64_t first = slot_first(p);
	uint64_t next = synod_apply_slot(p->apply.apply) + 1;

	return synod_positions_before(&p->apply.positions, first < next ? first : next);
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
	if (tail->size)
		memcpy(to + sizeof(*tail), bytes, tail->size);
	item->tail_room -= size;
	return 1;
}

/*
 * What is wanted is no longer in the log, or its place is forgotten: the answer says which position
 * is the first that can be told. With what was told before it there is no need to.
 */
static void send_trimmed(struct synod_pipeline *p, struct synod_item *item, uint64_t position)
{
	const struct synod_wire_tail first = { .position = position };

	if (item->answer && item->tail_last < item->tail_first &&
	    append_entry(item, &first, NULL)) {
		struct synod_wire_header *header =
			rte_pktmbuf_mtod(item->answer, struct synod_wire_header *);

		header->flags = SYNOD_FLAG_BEHIND;
	}
	send_tail(p, item);
}

/* Asks for the slot of the next position wanted, or sends the answer. Takes the item. */
static void go_on(struct synod_pipeline *p, struct synod_item *item)
{
	const struct synod_apply_stage *stage = &p->apply;
	uint64_t next = item->tail_last + 1;
	uint64_t last = synod_apply_position(stage->apply);

	if (next > last || next - item->tail_first >= item->tail_count)
		send_tail(p, item);
	else if (next <= position_trimmed(p))
		send_trimmed(p, item, position_trimmed(p) + 1);
	else
		read_slot(p, item,
			  synod_positions_slot_of(&stage->positions, slot_first(p),
						  synod_apply_slot(stage->apply), next));
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
		      const struct synod_positions_part *last, uint64_t position)
{
	const struct synod_positions_part *part;

	if (position <= item->tail_last)
		return 1;
	if (position != item->tail_first)
		return 0;
	part = synod_positions_part_with(&p->apply.positions, last, item->tail_offset);
	if (part && part->place >> 16 >= slot_first(p))
		item->tail_part = part->place;
	else
		item->tail_trimmed = 1; /* its beginning is gone, though its end is not */
	return 0;
}

/* Walks the commands of the slot that was read. Returns 0 when the answer is complete. */
static int append_slot(struct synod_pipeline *p, struct synod_item *item, uint64_t slot)
{
	const struct synod_positions *positions = &p->apply.positions;
	const uint8_t *body = synod_item_body(item);
	uint64_t position = synod_positions_before(positions, slot);
	uint64_t skip = synod_positions_skip_find(positions, slot << 16);
	uint32_t at = 0;

	for (uint32_t index = 0; at < item->value.size; index++) {
		uint64_t place = slot << 16 | index;
		const struct synod_positions_part *part;
		struct synod_wire_command command;
		int goes_on = 1;

		memcpy(&command, body + at, sizeof(command));
		if (command.kind == SYNOD_COMMAND_PART) {
			part = synod_positions_part(positions, place);
			if (part && part->is_last)
				goes_on = want_large(p, item, part, ++position);
		} else if (synod_positions_is_skip(positions, skip, place)) {
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
	if (slot < p->apply.positions.slot_begin) { /* forgotten while it was read */
		send_trimmed(p, item, position_trimmed(p) + 1);
		return;
	}
	goes_on = append_slot(p, item, slot);
	if (item->tail_trimmed) {
		send_trimmed(p, item, item->tail_first + 1);
		return;
	}
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

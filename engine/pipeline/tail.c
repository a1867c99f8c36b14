/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Positions to commands, for readers of the sequence. Apply notes for each slot the last position
 * before it, and lists the few commands that took none (registrations, duplicates). A query finds
 * its slot by bisection, the journal reads it back, and the commands are copied to the answer, slot
 * after slot until it is as long as the question was.
 */
#include "engine/pipeline/pipeline.h"

#include <string.h>

void synod_tail_note_slot(struct synod_pipeline *p, uint64_t slot)
{
	if (slot <= p->config.slots_max + 1)
		p->apply.positions[slot] = synod_apply_position(p->apply.apply);
}

void synod_tail_note_skip(struct synod_pipeline *p, uint64_t slot, uint32_t index)
{
	struct synod_apply_stage *stage = &p->apply;

	if (stage->skips_count < SYNOD_PIPELINE_SKIPS_MAX)
		stage->skips[stage->skips_count++] = slot << 16 | index;
	else if (!stage->skips_full_slot)
		stage->skips_full_slot = slot;
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

/* Asks for the slot of the next position wanted, or sends the answer. Takes the item. */
static void go_on(struct synod_pipeline *p, struct synod_item *item)
{
	struct synod_apply_stage *stage = &p->apply;
	uint64_t next = item->tail_last + 1;
	uint64_t last = synod_apply_position(stage->apply);
	struct synod_pipeline_read read = { .item = item };

	if (next > last || next - item->tail_first >= item->tail_count) {
		send_tail(p, item);
		return;
	}
	read.slot = slot_of(stage, next);
	if (read.slot > p->config.slots_max ||
	    (stage->skips_full_slot && read.slot >= stage->skips_full_slot)) {
		send_tail(p, item); /* what there is; nothing is answered wrongly */
		return;
	}
	rte_pktmbuf_free(item->mbuf);
	item->mbuf = NULL;
	if (rte_ring_enqueue_elem(p->to_read_tail, &read, sizeof(read)) != 0)
		synod_item_put(&p->items, item); /* the client asks again */
}

/* Appends one command if it is wanted and fits. Returns 0 when the answer is complete. */
static int append(struct synod_item *item, uint64_t position, const uint8_t *payload, uint32_t size)
{
	struct synod_wire_tail tail = { .position = position, .size = size };
	uint32_t bytes = (uint32_t)sizeof(tail) + SYNOD_WIRE_ALIGN(size);
	char *to;

	if (position <= item->tail_last)
		return 1;
	if (bytes > item->tail_room || position - item->tail_first >= item->tail_count)
		return 0;
	to = rte_pktmbuf_append(item->answer, (uint16_t)bytes);
	if (!to)
		return 0;
	memset(to, 0, bytes);
	memcpy(to, &tail, sizeof(tail));
	memcpy(to + sizeof(tail), payload, size);
	item->tail_room -= bytes;
	item->tail_last = position;
	return 1;
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
		struct synod_wire_command command;

		memcpy(&command, body + at, sizeof(command));
		if (skip < stage->skips_count && stage->skips[skip] == (slot << 16 | index))
			skip++;
		else if (!append(item, ++position, body + at + sizeof(command), command.size))
			return 0;
		at += synod_wire_command_size(&command);
	}
	return 1;
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
	for (; work < 16 && rte_ring_dequeue_elem(p->tail_read, &read, sizeof(read)) == 0; work++) {
		uint64_t before = read.item->tail_last;

		if (append_slot(p, read.item, read.slot) && read.item->tail_last > before)
			go_on(p, read.item);
		else
			send_tail(p, read.item);
	}
	return work;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Apply: executes the chosen slots in order and answers the clients whose commands were gathered
 * here. Results of one client that stand together leave in one datagram; those of several that
 * asked in one (SYNOD_FLAG_SHARED) too.
 */
#include "engine/pipeline/pipeline.h"

#include <string.h>

static void send_reply(struct synod_pipeline *p)
{
	struct synod_apply_stage *stage = &p->apply;

	if (!stage->reply)
		return;
	synod_count(&stage->counters, SYNOD_REPLIES, 1);
	synod_pipeline_answer(p, p->out_apply, &stage->counters, stage->reply, &stage->reply_to);
	stage->reply = NULL;
}

/* What a reply is of, as reply_session has it. */
static uint64_t reply_of(const struct synod_origin *origin, uint64_t session)
{
	return origin->shared ? UINT64_MAX : session;
}

static int begin_reply(struct synod_pipeline *p, const struct synod_origin *origin,
		       uint64_t session)
{
	struct synod_apply_stage *stage = &p->apply;

	stage->reply = synod_pipeline_reply(p, &stage->counters, session, origin->shared);
	if (!stage->reply)
		return -1;
	stage->reply_to = origin->from;
	stage->reply_session = reply_of(origin, session);
	return 0;
}

void synod_apply_stage_answer(struct synod_pipeline *p, const struct synod_origin *origin,
			      const struct synod_apply_result *result)
{
	struct synod_apply_stage *stage = &p->apply;
	uint32_t padded = SYNOD_WIRE_ALIGN(result->size);
	uint32_t before = origin->shared ? sizeof(result->session) : 0;
	uint32_t size = before + (uint32_t)sizeof(struct synod_wire_result) + padded;
	struct synod_wire_result wire = {
		.number = result->number,
		.position = result->position,
		.status = result->status,
		.size = (uint16_t)result->size,
		.retry_us = result->status == SYNOD_BUSY ? SYNOD_PIPELINE_ASSEMBLY_RETRY_US
							 : result->window,
	};
	char *to;

	if (stage->reply && (stage->reply_session != reply_of(origin, result->session) ||
			     memcmp(&stage->reply_to, &origin->from, sizeof(origin->from)) != 0 ||
			     stage->reply->data_len + size > origin->reply_size_max))
		send_reply(p);
	if (!stage->reply && begin_reply(p, origin, result->session) != 0)
		return; /* counted; the client asks again */
	to = rte_pktmbuf_append(stage->reply, (uint16_t)size);
	synod_assert(to != NULL);
	if (before)
		memcpy(to, &result->session, sizeof(result->session));
	memcpy(to + before, &wire, sizeof(wire));
	if (padded) {
		memset(to + size - 8, 0, 8);
		memcpy(to + before + sizeof(wire), result->data, result->size);
	}
}

/* What is not simply a command executed: few, and kept out of the way of those that are. */
static __attribute__((noinline)) void note_other(struct synod_apply_stage *stage, uint32_t index,
						 const struct synod_apply_result *result)
{
	struct synod_counters *counters = &stage->counters;

	synod_positions_note_result(&stage->positions, stage->slot, index, result);
	if (result->executed)
		synod_count(counters, SYNOD_COMMANDS_APPLIED, 1);
	if (result->part == SYNOD_APPLY_PART_TAKEN)
		synod_count(counters, SYNOD_PARTS_TAKEN, 1);
	if (result->status == SYNOD_BUSY)
		synod_count(counters, SYNOD_REFUSED_BUFFERS, 1);
	if (result->duplicate)
		synod_count(counters, SYNOD_COMMANDS_DUPLICATE, 1);
	if (result->status == SYNOD_SESSION_EVICTED)
		synod_count(counters, SYNOD_REFUSED_SESSION, 1);
}

static void sink(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct synod_pipeline *p = context;
	struct synod_apply_stage *stage = &p->apply;
	const struct synod_item *item = stage->item;

	if (result->executed && !result->part)
		synod_count(&stage->counters, SYNOD_COMMANDS_APPLIED, 1);
	else
		note_other(stage, index, result);
	if (!item || !item->origins_count)
		return;
	while (index >=
	       (uint32_t)item->origins[stage->origin].first + item->origins[stage->origin].count)
		stage->origin++;
	synod_assert_cmp(stage->origin, <, item->origins_count);
	synod_apply_stage_answer(p, &item->origins[stage->origin], result);
}

static void apply_slot(struct synod_pipeline *p, const struct synod_pipeline_chosen *chosen)
{
	struct synod_apply_stage *stage = &p->apply;
	struct synod_item *item = chosen->item;

	if (chosen->slot <= synod_apply_slot(stage->apply)) {
		/* A snapshot that was loaded meanwhile has it. */
		if (item)
			synod_item_put(&p->items, item);
		return;
	}
	stage->item = item;
	stage->slot = chosen->slot;
	stage->origin = 0;
	synod_apply_batch(stage->apply, chosen->slot, item ? synod_item_body(item) : NULL,
			  item ? item->value.size : 0, sink, p);
	synod_positions_note_slot(&stage->positions, chosen->slot + 1,
				  synod_apply_position(stage->apply));
	stage->item = NULL;
	if (item)
		synod_item_put(&p->items, item);
}

int synod_apply_stage_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_pipeline_chosen burst[SYNOD_PIPELINE_BURST];
	struct synod_published *out = &p->published;
	struct synod_apply_stage *stage = &p->apply;
	unsigned int n;
	int work, reads;

	(void)now_ns;
	work = synod_apply_image_turn(p);
	if (stage->lost)
		return work; /* the journal stage stops the replica */
	n = rte_ring_dequeue_burst_elem(p->to_apply, burst, sizeof(burst[0]), SYNOD_PIPELINE_BURST,
					NULL);
	for (unsigned int i = 0; i < n; i++)
		apply_slot(p, &burst[i]);
	reads = synod_reads_poll(p);
	send_reply(p);
	if (n || work) {
		atomic_store_explicit(&out->position, synod_apply_position(stage->apply),
				      memory_order_relaxed);
		atomic_store_explicit(&out->state_hash, synod_apply_hash(stage->apply),
				      memory_order_relaxed);
		atomic_store_explicit(&out->sessions, synod_apply_sessions(stage->apply),
				      memory_order_relaxed);
		/* R1: release; pairs with P1 in order.c: the items are no longer read here. */
		atomic_store_explicit(&out->slot_applied, synod_apply_slot(stage->apply),
				      memory_order_release);
	}
	return (int)n + work + reads + synod_tail_poll(p);
}

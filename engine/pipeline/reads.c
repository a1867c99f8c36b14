/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads that do not go through the log.
 *
 *   INGRESS ──reads, numbered──────────────────────► APPLY ──► answers
 *      └──how many (published)──► ORDER ──grants──────┘
 *
 * A linearizable read waits until the core grants its number (engine/core/read.c) and the slot that
 * the grant names is applied. Grants speak for all reads up to a number, so both come in order, and
 * the first read that must wait holds up the later ones, which would have to wait as well. Stale
 * reads wait for nothing. A read has no effect, so nothing is remembered of it: a retry
 * reads again.
 */
#include "engine/pipeline/pipeline.h"

#include <string.h>

enum {
	READS_A_TURN = 64
};

int synod_reads_take(struct synod_pipeline *p, struct synod_item *item)
{
	uint64_t next = p->ingress.reads_asked + 1;

	if (item->token == 0)
		return rte_ring_enqueue(p->to_stale, item);
	item->token = next;
	if (rte_ring_enqueue(p->to_reads, item) != 0)
		return -1;
	p->ingress.reads_asked = next;
	/* R2: release; pairs with P2 in order.c: a grant never comes before its read. */
	atomic_store_explicit(&p->published.reads_asked, next, memory_order_release);
	return 0;
}

/* Answers all of an item: with what the machine says, or with the status. Puts the item. */
static void serve(struct synod_pipeline *p, struct synod_item *item, uint16_t status)
{
	struct synod_apply_stage *stage = &p->apply;
	const uint8_t *body = synod_item_body(item);
	uint32_t at = 0;

	while (at < item->value.size) { /* checked by ingress: whole commands */
		struct synod_apply_result result = { .status = status };
		struct synod_wire_command command;

		memcpy(&command, body + at, sizeof(command));
		if (status) {
			result.session = command.session;
			result.number = command.number;
		} else {
			synod_apply_query(stage->apply, command.session, command.number,
					  body + at + sizeof(command), command.size, &result);
		}
		synod_apply_stage_answer(p, &item->origins[0], &result);
		at += synod_wire_command_size(&command);
	}
	if (status)
		synod_count(&stage->counters, SYNOD_REFUSED_NOT_LEADER, item->value.count);
	else
		synod_count(&stage->counters, item->token ? SYNOD_READS : SYNOD_READS_STALE,
			    item->value.count);
	synod_item_put(&p->items, item);
}

/* The next linearizable read, if the grant at hand settles it now. */
static struct synod_item *next_settled(struct synod_pipeline *p)
{
	struct synod_apply_stage *stage = &p->apply;
	struct synod_pipeline_grant *grant = &stage->grant;
	struct synod_item *item;
	void *found;

	if (!stage->read && rte_ring_dequeue(p->to_reads, &found) == 0)
		stage->read = found;
	if (!stage->read)
		return NULL;
	while (grant->through < stage->read->token)
		if (rte_ring_dequeue_elem(p->grants, grant, sizeof(*grant)) != 0)
			return NULL;
	if (!grant->status && synod_apply_slot(stage->apply) < grant->slot)
		return NULL;
	item = stage->read;
	stage->read = NULL;
	return item;
}

int synod_reads_poll(struct synod_pipeline *p)
{
	struct synod_item *item;
	void *found;
	int work = 0;

	for (; work < READS_A_TURN && rte_ring_dequeue(p->to_stale, &found) == 0; work++)
		serve(p, found, SYNOD_OK);
	for (; work < 2 * READS_A_TURN && (item = next_settled(p)) != NULL; work++)
		serve(p, item, (uint16_t)p->apply.grant.status);
	return work;
}

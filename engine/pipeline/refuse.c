/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Refusals: whoever asked for what is not done here and now is told so, and when or where to try
 * again. Ingress's.
 */
#include "engine/pipeline/pipeline.h"

#include <string.h>

static uint64_t load(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

/* Batches gathered and not chosen yet. */
static uint64_t under_way(struct synod_pipeline *p)
{
	return load(&p->published.unchosen) + p->ingress.handed - load(&p->published.submitted);
}

void synod_refuse_pace(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_ingress *ingress = &p->ingress;
	uint64_t submitted = load(&p->published.submitted);
	uint64_t taken = submitted - ingress->paced_submitted;

	if (taken)
		ingress->batch_ns = (now_ns - ingress->paced_ns) / taken;
	else if (under_way(p))
		return; /* it stands still: for how long counts */
	ingress->paced_ns = now_ns;
	ingress->paced_submitted = submitted;
}

/*
 * When there should be room again: half of what is under way is done at the present pace, and a
 * standstill lasts as long again as it has lasted.
 */
static uint32_t retry_us(struct synod_pipeline *p, uint64_t now_ns)
{
	const struct synod_ingress *ingress = &p->ingress;
	uint64_t us = (under_way(p) * ingress->batch_ns / 2 + now_ns - ingress->paced_ns) / 1000;

	if (us < SYNOD_PIPELINE_RETRY_US_MIN)
		return SYNOD_PIPELINE_RETRY_US_MIN;
	return us < SYNOD_PIPELINE_RETRY_US_MAX ? (uint32_t)us : SYNOD_PIPELINE_RETRY_US_MAX;
}

/* A datagram of refusals of one session's commands, or of several's, or NULL: no buffer. */
static struct rte_mbuf *begin(struct synod_pipeline *p, uint64_t session, uint32_t shared,
			      uint16_t status)
{
	struct rte_mbuf *mbuf = synod_pipeline_reply(p, &p->ingress.counters, session, shared);
	struct synod_wire_header *header;

	if (!mbuf)
		return NULL;
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	if (status == SYNOD_HALTED && header->argument == p->config.replica)
		header->argument = 0; /* it leads no longer */
	return mbuf;
}

void synod_refuse_commands(struct synod_pipeline *p, const uint8_t *bytes, uint32_t size,
			   const struct synod_origin *asks, uint16_t status, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	uint32_t before = asks->shared ? sizeof(uint64_t) : 0; /* a session */
	uint32_t hint_us = status == SYNOD_BUSY ? retry_us(p, now_ns) : 0;
	struct rte_mbuf *mbuf = NULL;
	uint64_t session = 0;
	uint32_t at = 0;

	while (at < size) { /* at most SYNOD_BATCH_COMMANDS_MAX turns: the commands were checked */
		struct synod_wire_command command;
		struct synod_wire_result result = { .status = status, .retry_us = hint_us };

		memcpy(&command, bytes + at, sizeof(command));
		at += synod_wire_command_size(&command);
		if (mbuf &&
		    ((session != command.session && !asks->shared) ||
		     mbuf->data_len + before + sizeof(result) > SYNOD_PIPELINE_REPLY_SIZE_MIN)) {
			synod_pipeline_answer(p, p->out_ingress, counters, mbuf, &asks->from);
			mbuf = NULL;
		}
		session = command.session;
		if (!mbuf)
			mbuf = begin(p, session, asks->shared, status);
		if (!mbuf)
			return; /* counted; the client asks again */
		result.number = command.number;
		if (before)
			memcpy(rte_pktmbuf_append(mbuf, sizeof(session)), &session,
			       sizeof(session));
		memcpy(rte_pktmbuf_append(mbuf, sizeof(result)), &result, sizeof(result));
	}
	if (mbuf)
		synod_pipeline_answer(p, p->out_ingress, counters, mbuf, &asks->from);
}

void synod_refuse_open(struct synod_pipeline *p, uint16_t status, uint64_t now_ns)
{
	struct synod_item *open = p->ingress.open;
	const uint8_t *bytes;
	uint32_t at = 0;

	if (!open)
		return;
	if (status == SYNOD_HALTED)
		synod_count(&p->ingress.counters, SYNOD_REFUSED_HALTED, open->value.count);
	bytes = synod_item_body(open);
	for (uint32_t i = 0; i < open->origins_count; i++) {
		const struct synod_origin *origin = &open->origins[i];
		uint32_t begin_at = at;

		for (uint32_t k = 0; k < origin->count; k++) {
			struct synod_wire_command command;

			memcpy(&command, bytes + at, sizeof(command));
			at += synod_wire_command_size(&command);
		}
		synod_refuse_commands(p, bytes + begin_at, at - begin_at, origin, status, now_ns);
	}
	synod_assert_cmp(at, ==, open->mbuf->data_len);
	p->ingress.open = NULL;
	synod_item_put(&p->items, open);
}

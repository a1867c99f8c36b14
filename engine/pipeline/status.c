/* SPDX-License-Identifier: BSD-3-Clause */
/* The answer to a STATUS_QUERY: what the stages publish, and all counters, summed. */
#include "engine/pipeline/pipeline.h"

#include <string.h>

static uint64_t load(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

static void sum_counters(struct synod_pipeline *p, struct synod_wire_status *status)
{
	const struct synod_counters *all[] = {
		&p->ingress.counters,	    &p->order.counters,	 &p->journal.counters,
		&p->apply.counters,	    &p->egress.counters, p->config.net_counters,
		p->config.journal_counters,
	};

	status->counters_count = SYNOD_COUNTERS_COUNT;
	for (unsigned int i = 0; i < SYNOD_COUNTERS_COUNT; i++)
		for (unsigned int k = 0; k < RTE_DIM(all); k++)
			if (all[k])
				status->counters[i] +=
					synod_counter_read(all[k], (enum synod_counter)i);
}

static void fill(struct synod_pipeline *p, struct synod_wire_status *status, uint64_t now_ns)
{
	struct synod_published *from = &p->published;

	status->role = atomic_load_explicit(&from->role, memory_order_relaxed);
	status->ballot = load(&from->ballot);
	status->leader = atomic_load_explicit(&from->leader, memory_order_relaxed);
	status->incarnation = p->config.incarnation;
	status->standing = atomic_load_explicit(&from->standing, memory_order_relaxed);
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++) {
		status->known_incarnation[id] = p->ingress.lives.known[id].incarnation;
		status->known_life[id] = p->ingress.lives.known[id].life;
	}
	status->known_incarnation[p->config.replica] = p->config.incarnation;
	status->known_life[p->config.replica] = p->ingress.lives.life;
	status->slot_chosen = load(&from->slot_chosen);
	status->slot_applied = load(&from->slot_applied);
	status->slot_proposed = load(&from->slot_proposed);
	status->position = load(&from->position);
	status->state_hash = load(&from->state_hash);
	status->sessions = load(&from->sessions);
	status->voters_in_contact = load(&from->voters);
	status->journal_bytes_total = p->config.journal_bytes;
	status->journal_bytes_used = load(&from->journal_used);
	status->durability = p->config.durability;
	_Static_assert(sizeof(status->journal_device) == sizeof(p->config.device), "as packed");
	memcpy(status->journal_device, p->config.device, sizeof(p->config.device));
	status->snapshot_slot = load(&from->snapshot_slot);
	status->slot_first = load(&from->journal_slot_first);
	status->snapshot_pause_us = load(&from->pause_max_us);
	status->batch_commands_sum = p->ingress.batch_commands_sum;
	status->batch_commands_max = p->ingress.batch_commands_max;
	status->uptime_ns = now_ns - p->started_ns;
	for (unsigned int i = 0; i < SYNOD_RISES_COUNT; i++)
		status->rise_ns[i] = load(&from->rise_ns[i]);
	sum_counters(p, status);
}

void synod_status_answer(struct synod_pipeline *p, const struct synod_wire_view *query,
			 const struct synod_address *from, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	struct synod_wire_status status = { 0 };
	struct synod_wire_header *header;
	struct rte_mbuf *mbuf;

	/* Nobody is answered with more bytes than were asked with. */
	if (query->body_size < sizeof(status)) {
		synod_count(counters, SYNOD_DROP_UNPADDED, 1);
		return;
	}
	mbuf = synod_pipeline_datagram(p->config.mbufs, counters);
	if (!mbuf)
		return;
	fill(p, &status, now_ns);
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_STATUS;
	header->argument = query->header->argument;
	memcpy(rte_pktmbuf_append(mbuf, sizeof(status)), &status, sizeof(status));
	synod_pipeline_answer(p, p->out_ingress, counters, mbuf, from);
}

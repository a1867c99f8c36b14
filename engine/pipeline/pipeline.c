/* SPDX-License-Identifier: BSD-3-Clause */
/* Making the pipeline, feeding it what recovery found, and the turn of a stage. See pipeline.h. */
#include "engine/pipeline/pipeline.h"

#include <rte_malloc.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A single-producer single-consumer ring; element size 0: of pointers. */
static struct rte_ring *make_ring(const struct synod_pipeline *pipeline, const char *name,
				  size_t element_size)
{
	char full[RTE_RING_NAMESIZE];

	/* Two replicas may live in one process. */
	snprintf(full, sizeof(full), "s%u.%s.%04x", pipeline->config.replica, name,
		 (unsigned int)((uintptr_t)pipeline >> 6 & 0xffff));
	return rte_ring_create_elem(full, (unsigned int)(element_size ? element_size : 8),
				    SYNOD_PIPELINE_RING, SOCKET_ID_ANY,
				    RING_F_SP_ENQ | RING_F_SC_DEQ);
}

static int make_rings(struct synod_pipeline *p)
{
	p->to_order = make_ring(p, "order", 0);
	p->to_journal = make_ring(p, "journal", sizeof(struct synod_pipeline_write));
	p->to_remember = make_ring(p, "remember", sizeof(struct synod_pipeline_remember));
	p->to_read = make_ring(p, "read", sizeof(struct synod_pipeline_read));
	p->to_read_tail = make_ring(p, "readt", sizeof(struct synod_pipeline_read));
	p->to_transfer = make_ring(p, "transf", 0);
	p->to_apply = make_ring(p, "apply", sizeof(struct synod_pipeline_chosen));
	p->to_tail = make_ring(p, "tail", 0);
	p->tail_read = make_ring(p, "tailr", sizeof(struct synod_pipeline_read));
	p->to_reads = make_ring(p, "reads", 0);
	p->to_stale = make_ring(p, "stale", 0);
	p->grants = make_ring(p, "grants", sizeof(struct synod_pipeline_grant));
	p->out_ingress = make_ring(p, "outi", sizeof(struct synod_outgoing));
	p->out_order = make_ring(p, "outo", sizeof(struct synod_outgoing));
	p->out_journal = make_ring(p, "outj", sizeof(struct synod_outgoing));
	p->out_apply = make_ring(p, "outa", sizeof(struct synod_outgoing));
	return p->to_order && p->to_journal && p->to_remember && p->to_read && p->to_read_tail &&
			       p->to_apply && p->to_transfer && p->to_tail && p->tail_read &&
			       p->to_reads && p->to_stale && p->grants && p->out_ingress &&
			       p->out_order && p->out_journal && p->out_apply
		       ? 0
		       : -ENOMEM;
}

int synod_pipeline_create(struct synod_pipeline **pipeline,
			  const struct synod_pipeline_config *config)
{
	struct synod_pipeline *p = rte_zmalloc("synod_pipeline", sizeof(*p), 64);
	char name[RTE_RING_NAMESIZE];
	int error;

	*pipeline = NULL;
	if (!p)
		return -ENOMEM;
	p->config = *config;
	snprintf(name, sizeof(name), "s%u.items.%04x", config->replica,
		 (unsigned int)((uintptr_t)p >> 6 & 0xffff));
	error = synod_items_init(&p->items, SYNOD_PIPELINE_ITEMS, name);
	if (!error)
		error = make_rings(p);
	if (error) {
		synod_pipeline_destroy(p);
		return error;
	}
	p->apply.apply = config->apply;
	synod_positions_begin(&p->apply.positions, &config->positions,
			      synod_apply_slot(config->apply) + 1,
			      synod_apply_position(config->apply));
	synod_transfer_init(p);
	*pipeline = p;
	return 0;
}

/* The pools outlive a pipeline: what was on its way out goes back. */
static void drain_outgoing(struct rte_ring *ring)
{
	struct synod_outgoing outgoing;

	while (ring && rte_ring_dequeue_elem(ring, &outgoing, sizeof(outgoing)) == 0)
		rte_pktmbuf_free(outgoing.mbuf);
}

void synod_pipeline_destroy(struct synod_pipeline *p)
{
	if (!p)
		return;
	drain_outgoing(p->out_ingress);
	drain_outgoing(p->out_order);
	drain_outgoing(p->out_journal);
	drain_outgoing(p->out_apply);
	rte_ring_free(p->to_order);
	rte_ring_free(p->to_journal);
	rte_ring_free(p->to_remember);
	rte_ring_free(p->to_read);
	rte_ring_free(p->to_read_tail);
	rte_ring_free(p->to_transfer);
	rte_ring_free(p->to_apply);
	rte_ring_free(p->to_tail);
	rte_ring_free(p->tail_read);
	rte_ring_free(p->to_reads);
	rte_ring_free(p->to_stale);
	rte_ring_free(p->grants);
	rte_ring_free(p->out_ingress);
	rte_ring_free(p->out_order);
	rte_ring_free(p->out_journal);
	rte_ring_free(p->out_apply);
	if (p->items.table)
		synod_items_close(&p->items);
	rte_free(p);
}

static void replay_sink(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct synod_pipeline *p = context;

	synod_positions_note_result(&p->apply.positions, p->apply.slot, index, result);
}

int synod_pipeline_load(struct synod_pipeline *p, uint64_t size)
{
	int error = synod_apply_load(p->apply.apply, p->image.bytes, size);

	if (!error)
		synod_positions_begin(&p->apply.positions, &p->apply.positions.memory,
				      synod_apply_slot(p->apply.apply) + 1,
				      synod_apply_position(p->apply.apply));
	return error;
}

void synod_pipeline_replay(struct synod_pipeline *p, uint64_t slot, const void *body, uint32_t size)
{
	p->apply.slot = slot;
	synod_apply_batch(p->apply.apply, slot, body, size, replay_sink, p);
	synod_positions_note_slot(&p->apply.positions, slot + 1,
				  synod_apply_position(p->apply.apply));
}

void synod_pipeline_recover(struct synod_pipeline *p, const struct synod_pipeline_start *start)
{
	struct synod_published *out = &p->published;

	synod_assert_cmp(synod_apply_slot(p->apply.apply), ==, start->chosen_through);
	p->started_ns = start->now_ns;
	synod_core_init(&p->order.core, &p->config.core, start->now_ns);
	synod_core_recover(&p->order.core, start->promised, start->chosen_through);
	synod_core_stand(&p->order.core, (enum synod_standing)p->config.standing,
			 p->config.incarnation);
	atomic_store_explicit(&out->standing, p->config.standing, memory_order_relaxed);
	synod_hello_begin(p);
	p->order.slot_applied = start->chosen_through;
	atomic_store_explicit(&out->slot_applied, start->chosen_through, memory_order_relaxed);
	atomic_store_explicit(&out->slot_chosen, start->chosen_through, memory_order_relaxed);
	atomic_store_explicit(&out->position, synod_apply_position(p->apply.apply),
			      memory_order_relaxed);
	atomic_store_explicit(&out->state_hash, synod_apply_hash(p->apply.apply),
			      memory_order_relaxed);
	atomic_store_explicit(&out->journal_room, p->config.journal.room(p->config.journal.context),
			      memory_order_relaxed);
}

int synod_pipeline_recover_slot(struct synod_pipeline *p, const struct synod_journal_record *record)
{
	struct synod_core_recovered slot = {
		.slot = record->slot,
		.ballot = record->ballot,
		.chosen = record->chosen,
		.value = record->value,
	};
	struct synod_item *item;
	char *body;

	if (record->value.size) {
		item = synod_item_get(&p->items);
		if (!item)
			return -ENOMEM;
		item->mbuf = rte_pktmbuf_alloc(p->config.mbufs);
		body = item->mbuf ? rte_pktmbuf_append(item->mbuf, (uint16_t)record->value.size)
				  : NULL;
		if (!body) {
			synod_item_put(&p->items, item);
			return -ENOMEM;
		}
		memcpy(body, record->body, record->value.size);
		slot.value.handle = item->handle;
		item->value = slot.value;
	}
	synod_core_recover_slot(&p->order.core, &slot);
	return 0;
}

struct rte_mbuf *synod_pipeline_datagram(struct rte_mempool *pool, struct synod_counters *counters)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	if (!mbuf) {
		synod_count(counters, SYNOD_NO_BUFFER, 1);
		return NULL;
	}
	memset(rte_pktmbuf_append(mbuf, SYNOD_HEADER_SIZE), 0, SYNOD_HEADER_SIZE);
	return mbuf;
}

struct rte_mbuf *synod_pipeline_reply(const struct synod_pipeline *p,
				      struct synod_counters *counters, uint64_t session,
				      uint32_t shared)
{
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.mbufs, counters);
	struct synod_wire_header *header;

	if (!mbuf)
		return NULL;
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_REPLY;
	header->slot = shared ? 0 : session;
	header->flags = shared ? SYNOD_FLAG_SHARED : 0;
	header->argument = atomic_load_explicit(&p->published.leader, memory_order_relaxed);
	return mbuf;
}

void synod_pipeline_answer(struct synod_pipeline *p, struct rte_ring *out,
			   struct synod_counters *counters, struct rte_mbuf *mbuf,
			   const struct synod_address *to)
{
	struct synod_wire_header *header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	struct synod_outgoing outgoing = { .mbuf = mbuf, .to = *to };

	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->boot = p->config.boot;
	header->ballot = atomic_load_explicit(&p->published.ballot, memory_order_relaxed);
	header->chosen_through =
		atomic_load_explicit(&p->published.slot_chosen, memory_order_relaxed);
	synod_wire_seal(header, NULL, header + 1, mbuf->data_len - SYNOD_HEADER_SIZE);
	if (rte_ring_enqueue_elem(out, &outgoing, sizeof(outgoing)) != 0) {
		synod_count(counters, SYNOD_TX_FULL, 1);
		rte_pktmbuf_free(mbuf);
	}
}

int synod_pipeline_poll(struct synod_pipeline *pipeline, enum synod_pipeline_stage stage,
			uint64_t now_ns)
{
	if (synod_pipeline_failed(pipeline)) {
		if (stage == SYNOD_PIPELINE_INGRESS)
			return synod_ingress_poll_halted(pipeline, now_ns);
		/* What is queued for sending was true when it was queued, and still is. */
		return stage == SYNOD_PIPELINE_EGRESS ? synod_egress_poll(pipeline, now_ns) : 0;
	}
	switch (stage) {
	case SYNOD_PIPELINE_INGRESS:
		return synod_ingress_poll(pipeline, now_ns);
	case SYNOD_PIPELINE_ORDER:
		return pipeline->mending ? synod_mending_poll(pipeline, now_ns)
					 : synod_order_poll(pipeline, now_ns);
	case SYNOD_PIPELINE_JOURNAL:
		return synod_journal_stage_poll(pipeline, now_ns);
	case SYNOD_PIPELINE_APPLY:
		return synod_apply_stage_poll(pipeline, now_ns);
	default:
		return synod_egress_poll(pipeline, now_ns);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is heard, and as whom, is decided by engine/journal/lives.h; here is what carries it out:
 * HELLOs become datagrams, notes go to the journal stage, and the boots that datagrams to peers
 * carry are published for order and journal.
 *
 * Clients learn a leader's boot from its answers, and ask again: see ingress. Ingress's; it alone
 * calls this.
 */
#include "engine/pipeline/pipeline.h"

#include <errno.h>

static void say(struct synod_pipeline *p, const struct synod_wire_header *hello)
{
	struct synod_counters *counters = &p->ingress.counters;
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.mbufs, counters);
	struct synod_outgoing outgoing = { .mbuf = mbuf, .replica = hello->receiver };
	struct synod_wire_header *header;

	if (!mbuf)
		return; /* a lost datagram */
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	*header = *hello;
	header->cluster = p->config.cluster;
	synod_wire_seal(header, NULL, NULL, 0);
	if (rte_ring_enqueue_elem(p->out_ingress, &outgoing, sizeof(outgoing)) != 0) {
		synod_count(counters, SYNOD_TX_FULL, 1);
		rte_pktmbuf_free(mbuf);
	}
}

static void note(struct synod_pipeline *p, const struct synod_lives_note *what)
{
	struct synod_pipeline_remember remember = { .replica = what->replica, .disk = what->disk };
	/* At most one of each peer waits, and the ring has room for far more. */
	int full = rte_ring_enqueue_elem(p->to_remember, &remember, sizeof(remember));

	synod_assert(!full);
}

static void carry_out(struct synod_pipeline *p, uint64_t now_ns)
{
	const struct synod_lives *lives = &p->ingress.lives;
	const struct synod_lives_out *out = &lives->out;

	if (out->boots_changed)
		for (uint32_t peer = 1; peer <= p->config.replicas; peer++)
			/* Relaxed: the number alone, and a stale one is a lost datagram; but see
			 * R3 below. */
			atomic_store_explicit(&p->published.boots[peer], lives->boots[peer],
					      memory_order_relaxed);
	if (lives->is_vouched)
		/* R3: release; pairs with P3 in order.c: no vote leaves with the first voice. */
		atomic_store_explicit(&p->published.vouched, 1, memory_order_release);
	for (uint32_t i = 0; i < out->says_count; i++)
		say(p, &out->says[i]);
	for (uint32_t i = 0; i < out->notes_count; i++)
		note(p, &out->notes[i]);
	if (lives->refused_by && !synod_pipeline_failed(p))
		synod_pipeline_fail(p, -ESTALE, now_ns); /* the replica stops (host) */
}

int synod_hello_check(struct synod_pipeline *p, const struct synod_wire_header *header,
		      uint64_t now_ns)
{
	struct synod_lives *lives = &p->ingress.lives;
	int dropped = synod_lives_check(lives, header, now_ns);

	if (!dropped && header->type != SYNOD_HELLO)
		return 0; /* nothing was asked for */
	if (lives->dropped)
		synod_count(&p->ingress.counters, (enum synod_counter)lives->dropped, 1);
	carry_out(p, now_ns);
	return dropped;
}

void synod_hello_begin(struct synod_pipeline *p)
{
	const struct synod_pipeline_config *config = &p->config;
	struct synod_lives_config lives = {
		.replica = config->replica,
		.replicas = config->replicas,
		.voters = p->order.core.config.voters,
		.quorum_prepare = p->order.core.config.quorum_prepare,
		.quorum_accept = p->order.core.config.quorum_accept,
		.shape = config->shape,
		.boot = config->boot,
		.is_mute = config->standing == SYNOD_STANDING_MUTE,
		.incarnation = config->incarnation,
	};

	for (uint32_t peer = 1; peer <= SYNOD_REPLICAS_MAX; peer++)
		lives.known[peer] = config->known[peer];
	synod_lives_begin(&p->ingress.lives, &lives);
}

void synod_hello_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_lives *lives = &p->ingress.lives;
	/* Relaxed: only the number; what it stands for is on the disk. */
	uint64_t notes = atomic_load_explicit(&p->published.remembered, memory_order_relaxed);

	synod_lives_poll(lives, notes, now_ns);
	carry_out(p, now_ns);
	/* Relaxed: only that it votes; who began voting tells nothing but that. */
	if (p->config.standing != SYNOD_STANDING_VOTES && lives->life != synod_lives_own(lives) &&
	    atomic_load_explicit(&p->published.standing, memory_order_relaxed) ==
		    SYNOD_STANDING_VOTES) {
		synod_lives_voting(lives, now_ns);
		carry_out(p, now_ns);
	}
}

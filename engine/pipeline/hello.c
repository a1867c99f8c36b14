/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which life of a replica a datagram was meant for. At each start a replica draws a random number,
 * its boot. What is sent to it carries the boot of the receiver, as the sender knows it, and what
 * was meant for another life is dropped: a datagram captured in a former run, or before a restart,
 * or in a cluster that was formatted anew under the same id, does nothing.
 *
 *     A (just started, boot a)                     B (boot b, knows A as it was before)
 *        HELLO boot 0, "I am a" ────────────────►  not for b: nothing is learned from it
 *        learns b               ◄────────────────  HELLO boot a, "I am b"
 *        HELLO boot b, "I am a" ────────────────►  learns a
 *
 * A replica believes a peer only in a HELLO that carries its own boot: nobody could have sent that
 * before it was drawn. So an old HELLO teaches nothing; it costs an answer. A HELLO leaves: to a
 * peer from whom nothing meant for us has come for a while; in answer to what was meant for another
 * life, at most one a millisecond; and when something new was learned.
 *
 * A HELLO also says what the sender's configuration agrees on with the others' (its shape): without
 * HELLOs nobody learns a boot, so a replica with another configuration is not heard by any.
 *
 * Clients learn a leader's boot from its answers, and ask again: see ingress. This is no
 * authentication: whoever can listen can learn boots. Ingress's; it alone calls this.
 */
#include "engine/pipeline/pipeline.h"

enum {
	SILENCE_NS = 100 * 1000 * 1000,
	ANSWER_NS = 1000 * 1000, /* between two answers to one peer */
};

static void say_hello(struct synod_pipeline *p, uint32_t to, uint32_t boot, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.mbufs, counters);
	struct synod_outgoing outgoing = { .mbuf = mbuf, .replica = to };
	struct synod_wire_header *header;

	p->ingress.hello_ns[to] = now_ns;
	if (!mbuf)
		return;
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_HELLO;
	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->receiver = (uint16_t)to;
	header->boot = boot;
	header->slot = p->config.shape;
	header->argument = p->config.boot;
	synod_wire_seal(header, NULL, NULL, 0);
	if (rte_ring_enqueue_elem(p->out_ingress, &outgoing, sizeof(outgoing)) != 0) {
		synod_count(counters, SYNOD_TX_FULL, 1);
		rte_pktmbuf_free(mbuf);
	}
}

static uint32_t boot_of(const struct synod_pipeline *p, uint32_t peer)
{
	return atomic_load_explicit(&p->published.boots[peer], memory_order_relaxed);
}

/* Relaxed: the number alone; a datagram with an older one is a lost datagram. */
static void learn(struct synod_pipeline *p, uint32_t peer, uint32_t boot, uint64_t now_ns)
{
	if (boot_of(p, peer) == boot)
		return;
	atomic_store_explicit(&p->published.boots[peer], boot, memory_order_relaxed);
	say_hello(p, peer, boot, now_ns);
}

int synod_hello_check(struct synod_pipeline *p, const struct synod_wire_header *header,
		      uint64_t now_ns)
{
	uint32_t peer = header->sender;
	/* Of a HELLO the sender says who it is: the answer has to be meant for that life. */
	uint32_t boot = header->type == SYNOD_HELLO ? (uint32_t)header->argument : boot_of(p, peer);

	if (header->type == SYNOD_HELLO && header->slot != p->config.shape) {
		synod_count(&p->ingress.counters, SYNOD_DROP_SHAPE, 1);
		return -1;
	}
	if (peer > p->config.replicas) {
		synod_count(&p->ingress.counters, SYNOD_DROP_SENDER, 1);
		return -1;
	}
	if (header->boot == p->config.boot) {
		p->ingress.heard_ns[peer] = now_ns;
		if (header->type == SYNOD_HELLO)
			learn(p, peer, boot, now_ns);
		return 0;
	}
	synod_count(&p->ingress.counters, SYNOD_DROP_BOOT, 1);
	if (now_ns - p->ingress.hello_ns[peer] >= ANSWER_NS)
		say_hello(p, peer, boot, now_ns);
	return -1;
}

void synod_hello_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_ingress *ingress = &p->ingress;

	for (uint32_t peer = 1; peer <= p->config.replicas; peer++)
		if (peer != p->config.replica && now_ns - ingress->heard_ns[peer] >= SILENCE_NS &&
		    now_ns - ingress->hello_ns[peer] >= SILENCE_NS)
			say_hello(p, peer, boot_of(p, peer), now_ns);
}

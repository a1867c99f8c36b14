/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which life of a replica a datagram was meant for, which life of which disk sent it, and whether
 * that one is to be heard (engine/DESIGN.md, 9 and 17). Each replica draws a random number at each
 * start, its boot. What is sent from A to B carries a number made of what A last heard in a HELLO
 * of B, and of what it told B in one: B's ear (its boot) and A's voice. What was meant for another
 * life, or was sent by one, does not fit and is dropped: a datagram captured in a former run, or
 * before a restart, or in a cluster that was formatted anew under the same id, does nothing.
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
 * And it says of the sender's disk its incarnation and the last life in which it voted (I12). Older
 * than what is known here: refused, and told so. Newer: noted in our superblock first. Only then is
 * the sender heard, and vouched for. Who is mute has a first voice until enough peers vouch for its
 * disk, and then, with a second one, says that it votes in this life: so nobody hears a vote before
 * its own superblock knows of the life that casts it.
 *
 *     mute A: last voted in life 5                 B: knows of life 5 of A
 *        HELLO asking, life 5   ────────────────►  the same
 *        takes its second voice ◄────────────────  HELLO vouched
 *        writes that it votes in life 6
 *        HELLO life 6, voice 2  ────────────────►  newer: writes it down, then hears voice 2
 *
 * Clients learn a leader's boot from its answers, and ask again: see ingress. This is no
 * authentication: whoever can listen can learn boots. Ingress's; it alone calls this.
 */
#include "engine/pipeline/pipeline.h"

#include <errno.h>

enum {
	SILENCE_NS = 100 * 1000 * 1000,
	ASKING_NS = 5 * 1000 * 1000, /* between two questions of who is mute */
	ANSWER_NS = 1000 * 1000,     /* between two answers to one peer */
};

/* Both sides make it of the same two numbers. */
static uint32_t fitting(uint32_t ear, uint32_t voice)
{
	return ear ^ (voice << 16 | voice >> 16);
}

/*
 * The voice of who is mute; the second one is the boot. HELLO tells the second only together with
 * the life that it is of, though datagrams carry it a moment earlier: nobody hears those.
 */
static uint32_t first_voice(const struct synod_pipeline *p)
{
	return ~p->config.boot ? ~p->config.boot : 1;
}

/* Has not said yet that it votes in this life. */
static int is_asking(const struct synod_pipeline *p)
{
	return p->config.standing == SYNOD_STANDING_MUTE &&
	       p->ingress.hello.life == p->config.known[p->config.replica].life;
}

static struct synod_disk own_disk(const struct synod_pipeline *p)
{
	return (struct synod_disk){ p->config.incarnation, p->ingress.hello.life };
}

/* disk: our own, or, with REFUSED, what we know of the receiver's. */
static void send_hello(struct synod_pipeline *p, uint32_t to, uint32_t boot, uint32_t flags,
		       const struct synod_disk *disk, uint64_t now_ns)
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
	header->flags = (uint16_t)flags;
	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->receiver = (uint16_t)to;
	header->boot = boot;
	header->slot = p->config.shape;
	header->ballot = disk->incarnation;
	header->chosen_through = disk->life;
	header->argument =
		(uint64_t)(is_asking(p) ? first_voice(p) : p->config.boot) << 32 | p->config.boot;
	synod_wire_seal(header, NULL, NULL, 0);
	if (rte_ring_enqueue_elem(p->out_ingress, &outgoing, sizeof(outgoing)) != 0) {
		synod_count(counters, SYNOD_TX_FULL, 1);
		rte_pktmbuf_free(mbuf);
	}
}

static void say_hello(struct synod_pipeline *p, uint32_t to, uint32_t boot, int vouched,
		      uint64_t now_ns)
{
	const struct synod_disk disk = own_disk(p);

	send_hello(p, to, boot,
		   (vouched ? SYNOD_FLAG_VOUCHED : 0u) | (is_asking(p) ? SYNOD_FLAG_ASKING : 0u),
		   &disk, now_ns);
}

/* What order and journal put into datagrams to that peer; a stale one is a lost datagram. */
static void publish(struct synod_pipeline *p, uint32_t peer)
{
	const struct synod_hello *hello = &p->ingress.hello;

	/* Relaxed: the number alone; but see take_second_voice. */
	atomic_store_explicit(&p->published.boots[peer], fitting(hello->ears[peer], hello->voice),
			      memory_order_relaxed);
}

/* Returns 1 if that was news. */
static int learn(struct synod_pipeline *p, uint32_t peer, uint32_t ear, uint32_t voice)
{
	struct synod_hello *hello = &p->ingress.hello;

	if (hello->ears[peer] == ear && hello->voices[peer] == voice)
		return 0;
	hello->ears[peer] = ear;
	hello->voices[peer] = voice;
	publish(p, peer);
	return 1;
}

/* Notes on our own disk what a peer says of its; it is heard when that is durable. */
static void remember(struct synod_pipeline *p, const struct synod_wire_header *header)
{
	struct synod_hello *hello = &p->ingress.hello;
	struct synod_hello_pending *pending = &hello->pending[header->sender];
	struct synod_pipeline_remember note = {
		.replica = header->sender, .disk = { header->ballot, header->chosen_through }
	};

	if (pending->number)
		return; /* it says so again */
	if (rte_ring_enqueue_elem(p->to_remember, &note, sizeof(note)) != 0)
		return;
	*pending = (struct synod_hello_pending){ .disk = note.disk,
						 .number = ++hello->remember_asked,
						 .ear = (uint32_t)header->argument,
						 .voice = (uint32_t)(header->argument >> 32) };
}

static void finish_remembering(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_hello *hello = &p->ingress.hello;
	/* Relaxed: only the number; what it stands for is on the disk. */
	uint64_t durable = atomic_load_explicit(&p->published.remembered, memory_order_relaxed);

	for (uint32_t peer = 1; peer <= p->config.replicas; peer++) {
		struct synod_hello_pending *pending = &hello->pending[peer];

		if (!pending->number || pending->number > durable)
			continue;
		hello->known[peer] = pending->disk;
		pending->number = 0;
		(void)learn(p, peer, pending->ear, pending->voice);
		say_hello(p, peer, pending->ear, 1, now_ns);
	}
}

/* A peer knows of a later life of ours than our disk does. The replica stops (host). */
static void on_refused(struct synod_pipeline *p, const struct synod_wire_header *header,
		       uint64_t now_ns)
{
	struct synod_hello *hello = &p->ingress.hello;
	const struct synod_disk known = { header->ballot, header->chosen_through };
	const struct synod_disk own = own_disk(p);

	if (synod_disk_judge(&known, &own) != SYNOD_DISK_OLDER)
		return; /* it refused what a former life said */
	hello->refused = known;
	hello->refused_own = own;
	hello->refused_by = header->sender;
	synod_pipeline_fail(p, -ESTALE, now_ns);
}

/* Meant for this life of ours, and its disk is not older than what we know of it. */
static void on_hello(struct synod_pipeline *p, const struct synod_wire_header *header,
		     enum synod_disk_verdict verdict, uint64_t now_ns)
{
	struct synod_hello *hello = &p->ingress.hello;
	uint32_t peer = header->sender;
	uint32_t ear = (uint32_t)header->argument;
	int news = 0;

	if (header->flags & SYNOD_FLAG_VOUCHED)
		hello->vouchers |= 1u << peer;
	if (verdict == SYNOD_DISK_NEWER) {
		remember(p, header);
		return;
	}
	news = learn(p, peer, ear, (uint32_t)(header->argument >> 32));
	if (news ||
	    (header->flags & SYNOD_FLAG_ASKING && now_ns - p->ingress.hello_ns[peer] >= ANSWER_NS))
		say_hello(p, peer, ear, 1, now_ns);
}

static int check_hello(struct synod_pipeline *p, const struct synod_wire_header *header,
		       uint64_t now_ns)
{
	struct synod_ingress *ingress = &p->ingress;
	const struct synod_disk told = { header->ballot, header->chosen_through };
	const struct synod_disk *known = &ingress->hello.known[header->sender];
	enum synod_disk_verdict verdict = synod_disk_judge(known, &told);
	int is_meant = header->boot == p->config.boot;
	int may_answer = now_ns - ingress->hello_ns[header->sender] >= ANSWER_NS;

	if (header->slot != p->config.shape) {
		synod_count(&ingress->counters, SYNOD_DROP_SHAPE, 1);
		return -1;
	}
	if (header->flags & SYNOD_FLAG_REFUSED) {
		if (is_meant)
			on_refused(p, header, now_ns);
		return -1;
	}
	if (verdict == SYNOD_DISK_OLDER) {
		synod_count(&ingress->counters, SYNOD_DROP_DISK, 1);
		if (may_answer)
			send_hello(p, header->sender, (uint32_t)header->argument,
				   SYNOD_FLAG_REFUSED, known, now_ns);
		return -1;
	}
	if (is_meant) {
		ingress->heard_ns[header->sender] = now_ns;
		on_hello(p, header, verdict, now_ns);
		return 0;
	}
	synod_count(&ingress->counters, SYNOD_DROP_BOOT, 1);
	/* The sender says who it is: the answer has to be meant for that life. */
	if (may_answer)
		say_hello(p, header->sender, (uint32_t)header->argument, verdict == SYNOD_DISK_SAME,
			  now_ns);
	return -1;
}

int synod_hello_check(struct synod_pipeline *p, const struct synod_wire_header *header,
		      uint64_t now_ns)
{
	struct synod_hello *hello = &p->ingress.hello;
	uint32_t peer = header->sender;

	if (peer > p->config.replicas) {
		synod_count(&p->ingress.counters, SYNOD_DROP_SENDER, 1);
		return -1;
	}
	if (header->type == SYNOD_HELLO)
		return check_hello(p, header, now_ns);
	if (hello->voices[peer] && header->boot == fitting(p->config.boot, hello->voices[peer])) {
		p->ingress.heard_ns[peer] = now_ns;
		return 0;
	}
	synod_count(&p->ingress.counters, SYNOD_DROP_BOOT, 1);
	if (now_ns - p->ingress.hello_ns[peer] >= ANSWER_NS)
		say_hello(p, peer, hello->ears[peer], 0, now_ns);
	return -1;
}

/* How many others have to vouch for the disk of who starts: who counts a vote is one of them. */
static uint32_t vouchers_needed(const struct synod_pipeline *p)
{
	const struct synod_core_config *core = &p->order.core.config;
	uint32_t quorum = core->quorum_prepare < core->quorum_accept ? core->quorum_prepare
								     : core->quorum_accept;

	if (core->voters == 1 && core->replica == 1)
		return 0;
	return quorum > 2 ? quorum - 1 : 1;
}

static void take_second_voice(struct synod_pipeline *p)
{
	struct synod_hello *hello = &p->ingress.hello;
	uint32_t voters = (2u << p->order.core.config.voters) - 2;

	if (p->config.standing != SYNOD_STANDING_MUTE || hello->voice == p->config.boot ||
	    (uint32_t)__builtin_popcount(hello->vouchers & voters) < vouchers_needed(p))
		return;
	hello->voice = p->config.boot;
	for (uint32_t peer = 1; peer <= p->config.replicas; peer++)
		publish(p, peer);
	/* R3: release; pairs with P3 in order.c: no vote leaves with the first voice. */
	atomic_store_explicit(&p->published.vouched, 1, memory_order_release);
}

/* It is durable that we vote: so says the next HELLO, to all and at once. */
static void tell_standing(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_hello *hello = &p->ingress.hello;
	uint64_t life =
		synod_disk_life_next(p->config.known[p->config.replica].life, p->config.boot);

	if (p->config.standing == SYNOD_STANDING_VOTES || hello->life == life ||
	    atomic_load_explicit(&p->published.standing, memory_order_relaxed) !=
		    SYNOD_STANDING_VOTES)
		return;
	hello->life = life;
	for (uint32_t peer = 1; peer <= p->config.replicas; peer++)
		if (peer != p->config.replica)
			say_hello(p, peer, hello->ears[peer], 0, now_ns);
}

void synod_hello_begin(struct synod_pipeline *p)
{
	struct synod_hello *hello = &p->ingress.hello;

	for (uint32_t peer = 1; peer <= SYNOD_REPLICAS_MAX; peer++)
		hello->known[peer] = p->config.known[peer];
	hello->life = p->config.known[p->config.replica].life;
	hello->voice = p->config.standing == SYNOD_STANDING_MUTE ? first_voice(p) : p->config.boot;
}

void synod_hello_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_ingress *ingress = &p->ingress;

	finish_remembering(p, now_ns);
	take_second_voice(p);
	tell_standing(p, now_ns);
	for (uint32_t peer = 1; peer <= p->config.replicas; peer++) {
		uint64_t silent_ns = now_ns - ingress->heard_ns[peer];
		uint64_t said_ns = now_ns - ingress->hello_ns[peer];
		int asks = is_asking(p) && !(ingress->hello.vouchers >> peer & 1) &&
			   said_ns >= ASKING_NS;

		if (peer != p->config.replica &&
		    (asks || (silent_ns >= SILENCE_NS && said_ns >= SILENCE_NS)))
			say_hello(p, peer, ingress->hello.ears[peer], 0, now_ns);
	}
}

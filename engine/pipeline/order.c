/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Order: the core's stage. Turns items and published numbers into events, and carries the effects
 * out in the order that core.h asks for: sends, writes, chosen, released. Knows no protocol.
 */
#include "engine/pipeline/pipeline.h"

#include <string.h>

/* Room for the worst that one step can bring: asked before the step, which cannot fail. */
static int has_room(struct synod_pipeline *p)
{
	return rte_ring_free_count(p->out_order) >= SYNOD_CORE_SENDS_MAX &&
	       rte_ring_free_count(p->to_journal) >= SYNOD_CORE_WRITES_MAX &&
	       rte_ring_free_count(p->to_read) >= SYNOD_CORE_READS_MAX &&
	       rte_ring_free_count(p->to_apply) >= SYNOD_WINDOW_SLOTS &&
	       rte_ring_free_count(p->grants) >= 1;
}

static void fill_header(const struct synod_pipeline *p, struct synod_wire_header *header,
			const struct synod_message *message)
{
	header->type = message->type;
	header->flags = (uint16_t)message->flags;
	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->receiver = message->to;
	header->boot = atomic_load_explicit(&p->published.boots[message->to], memory_order_relaxed);
	header->ballot = message->ballot;
	header->slot = message->slot;
	header->chosen_through = message->chosen_through;
	header->argument = message->argument;
}

static void send(struct synod_pipeline *p, const struct synod_message *message)
{
	struct synod_order *order = &p->order;
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.header_mbufs, &order->counters);
	struct synod_outgoing outgoing = { .mbuf = mbuf, .replica = message->to };
	struct synod_wire_header *header;
	struct synod_wire_entry entry;

	if (!mbuf)
		return; /* counted; the protocol sends again */
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	fill_header(p, header, message);
	if (!message->has_value) {
		synod_wire_seal(header, NULL, NULL, 0);
	} else {
		entry = (struct synod_wire_entry){
			.slot = message->value_slot,
			.ballot = message->value_ballot,
			.size = message->value.size,
			.count = message->value.count,
			.crc = message->value.crc,
			.flags = message->value_flags,
		};
		synod_wire_seal(header, &entry, NULL, message->value.size);
		memcpy(rte_pktmbuf_append(mbuf, sizeof(entry)), &entry, sizeof(entry));
	}
	if (message->has_value && message->value.size) {
		struct synod_item *item = synod_item_of(&p->items, message->value.handle);

		/* The payload is shared by reference between all who are sent it. */
		rte_mbuf_refcnt_update(item->mbuf, 1);
		mbuf->next = item->mbuf;
		mbuf->nb_segs = 2;
		mbuf->pkt_len += item->mbuf->data_len;
	}
	(void)rte_ring_enqueue_elem(p->out_order, &outgoing, sizeof(outgoing));
}

static struct synod_item *hold(struct synod_pipeline *p, uint32_t handle)
{
	struct synod_item *item;

	if (!handle)
		return NULL;
	item = synod_item_of(&p->items, handle);
	synod_item_hold(item);
	return item;
}

static void count_step(struct synod_order *order, const struct synod_effects *fx)
{
	synod_count(&order->counters, SYNOD_ELECTIONS, fx->counts[SYNOD_COUNT_ELECTIONS]);
	synod_count(&order->counters, SYNOD_STEP_DOWNS, fx->counts[SYNOD_COUNT_STEP_DOWNS]);
	synod_count(&order->counters, SYNOD_RETRANSMITS, fx->counts[SYNOD_COUNT_RETRANSMITS]);
	synod_count(&order->counters, SYNOD_REPAIRS_TAKEN, fx->counts[SYNOD_COUNT_REPAIRS]);
	synod_count(&order->counters, SYNOD_HANDOVERS, fx->counts[SYNOD_COUNT_HANDOVERS]);
	synod_count(&order->counters, SYNOD_READ_ROUNDS, fx->counts[SYNOD_COUNT_READ_ROUNDS]);
	synod_count(&order->counters, SYNOD_LEADERS_LOST, fx->counts[SYNOD_COUNT_LEADERS_LOST]);
	if (fx->dropped)
		synod_count(&order->counters, (enum synod_counter)fx->dropped, 1);
}

static void carry_out(struct synod_pipeline *p)
{
	struct synod_order *order = &p->order;
	const struct synod_effects *fx = &order->effects;

	for (uint32_t i = 0; i < fx->sends_count; i++) {
		if (fx->sends[i].type == SYNOD_LEARN)
			synod_count(&order->counters, SYNOD_REPAIRS_SENT, 1);
		send(p, &fx->sends[i]);
	}
	for (uint32_t i = 0; i < fx->writes_count; i++) {
		struct synod_pipeline_write write = {
			.write = fx->writes[i],
			.item = hold(p, fx->writes[i].value.handle),
		};

		(void)rte_ring_enqueue_elem(p->to_journal, &write, sizeof(write));
	}
	for (uint32_t i = 0; i < fx->reads_count; i++) {
		struct synod_pipeline_read read = { .slot = fx->reads[i].slot,
						    .to = fx->reads[i].to };

		(void)rte_ring_enqueue_elem(p->to_read, &read, sizeof(read));
	}
	for (uint64_t slot = fx->chosen_first; slot <= fx->chosen_last; slot++) {
		struct synod_pipeline_chosen chosen = {
			.slot = slot,
			.item = hold(p, synod_core_value(&order->core, slot)->handle),
		};

		(void)rte_ring_enqueue_elem(p->to_apply, &chosen, sizeof(chosen));
	}
	if (fx->read_through) {
		struct synod_pipeline_grant grant = { .through = fx->read_through,
						      .slot = fx->read_slot,
						      .status = fx->read_status };

		(void)rte_ring_enqueue_elem(p->grants, &grant, sizeof(grant));
	}
	for (uint32_t i = 0; i < fx->released_count; i++)
		synod_item_put(&p->items, synod_item_of(&p->items, fx->released[i]));
	order->deadline_ns = fx->deadline_ns;
	count_step(order, fx);
}

static void note_rise(struct synod_pipeline *p, enum synod_rise rise, uint64_t now_ns)
{
	atomic_store_explicit(&p->published.rise_ns[rise], now_ns, memory_order_relaxed);
}

/* Another role: when the steps of an election came is what says where its time went. */
static void note_role(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_order *order = &p->order;

	order->role = order->core.role;
	order->served = 0;
	if (order->role == SYNOD_ROLE_CANVASSER)
		note_rise(p, SYNOD_RISE_CANVASSED, now_ns);
	else if (order->role == SYNOD_ROLE_CANDIDATE)
		note_rise(p, SYNOD_RISE_STOOD, now_ns);
	else if (order->role == SYNOD_ROLE_LEADER)
		note_rise(p, SYNOD_RISE_LED, now_ns);
}

static void step(struct synod_pipeline *p, struct synod_event *event, uint64_t now_ns)
{
	event->now_ns = now_ns;
	synod_core_step(&p->order.core, event, &p->order.effects);
	carry_out(p);
	if (p->order.core.role != p->order.role)
		note_role(p, now_ns);
}

/* A value that may have to be written needs room in the journal; without it nothing is taken. */
static int journal_takes(struct synod_pipeline *p, const struct synod_item *item)
{
	if (!item->message.has_value ||
	    atomic_load_explicit(&p->published.journal_room, memory_order_relaxed) >
		    SYNOD_RESERVE_FOLLOWER)
		return 1;
	synod_count(&p->order.counters, SYNOD_REFUSED_FULL, 1);
	return 0;
}

static void take_message(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	struct synod_event event = { .kind = SYNOD_EVENT_MESSAGE, .message = &item->message };
	struct synod_message message;

	if (!journal_takes(p, item)) {
		synod_item_put(&p->items, item);
		return;
	}
	if (item->message.has_value && item->value.size) {
		step(p, &event, now_ns); /* the reference is the core's now */
		return;
	}
	message = item->message;
	event.message = &message;
	step(p, &event, now_ns);
	synod_item_put(&p->items, item);
}

static void take_batch(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	struct synod_event event = { .kind = SYNOD_EVENT_SUBMIT, .value = item->value };

	p->order.submitted++;
	step(p, &event, now_ns);
	if (p->order.effects.refused)
		/* Leadership went while the batch was under way: its clients ask again. */
		synod_count(&p->order.counters, SYNOD_REFUSED_NOT_LEADER, item->value.count);
	else
		synod_count(&p->order.counters, SYNOD_BATCHES, 1);
	if (!p->order.served && !p->order.effects.refused) {
		p->order.served = 1;
		note_rise(p, SYNOD_RISE_SERVED, now_ns);
	}
}

static void take_handover(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	struct synod_event event = { .kind = SYNOD_EVENT_HANDOVER, .replica = item->handover_to };
	struct rte_mbuf *mbuf;
	struct synod_wire_header *header;

	step(p, &event, now_ns);
	mbuf = synod_pipeline_datagram(p->config.mbufs, &p->order.counters);
	if (mbuf) {
		header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
		header->type = SYNOD_HANDOVER_ANSWER;
		header->slot = item->handover_to;
		header->argument = p->order.effects.refused;
		synod_pipeline_answer(p, p->out_order, &p->order.counters, mbuf, &item->from);
	}
	synod_item_put(&p->items, item);
}

/* A link went down: the leader's may be it, and then nobody waits for a silence. */
static void take_lost(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	struct synod_event event = { .kind = SYNOD_EVENT_LOST, .replica = item->lost };

	step(p, &event, now_ns);
	if (p->order.effects.counts[SYNOD_COUNT_LEADERS_LOST])
		note_rise(p, SYNOD_RISE_LOST, now_ns);
	synod_item_put(&p->items, item);
}

static void take(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	if (item->kind == SYNOD_ITEM_BATCH)
		take_batch(p, item, now_ns);
	else if (item->kind == SYNOD_ITEM_HANDOVER)
		take_handover(p, item, now_ns);
	else if (item->kind == SYNOD_ITEM_LOST)
		take_lost(p, item, now_ns);
	else
		take_message(p, item, now_ns);
}

static void publish(struct synod_pipeline *p)
{
	struct synod_core *core = &p->order.core;
	struct synod_published *out = &p->published;
	uint64_t unchosen =
		core->role == SYNOD_ROLE_LEADER ? core->propose_next - 1 - core->chosen_through : 0;

	/* Relaxed: each is acted on alone, and a stale one only costs a refusal or a turn. */
	atomic_store_explicit(&out->submit_total, p->order.submitted + synod_core_can_submit(core),
			      memory_order_relaxed);
	atomic_store_explicit(&out->submitted, p->order.submitted, memory_order_relaxed);
	atomic_store_explicit(&out->unchosen, unchosen, memory_order_relaxed);
	atomic_store_explicit(&out->role, core->role, memory_order_relaxed);
	atomic_store_explicit(&out->standing, core->standing, memory_order_relaxed);
	atomic_store_explicit(&out->leader, core->leader, memory_order_relaxed);
	atomic_store_explicit(&out->ballot, core->ballot, memory_order_relaxed);
	atomic_store_explicit(&out->slot_chosen, core->chosen_through, memory_order_relaxed);
	atomic_store_explicit(&out->slot_proposed, core->slot_last, memory_order_relaxed);
	atomic_store_explicit(&out->voters, synod_core_voters_in_contact(core),
			      memory_order_relaxed);
}

static int take_progress(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_order *order = &p->order;
	/* P1: acquire; pairs with the release in journal.c and apply.c. */
	uint64_t durable = atomic_load_explicit(&p->published.ticket_durable, memory_order_acquire);
	uint64_t applied = atomic_load_explicit(&p->published.slot_applied, memory_order_acquire);
	/* P4: acquire; pairs with R4 in apply_image.c. Read after what is applied, which a load
	 * moves later: so no slot is told as applied that is not chosen yet. */
	uint64_t installed =
		atomic_load_explicit(&p->published.slot_installed, memory_order_acquire);
	/* P2: acquire; pairs with the release in reads.c: the reads are in the ring to apply. */
	uint64_t reads = atomic_load_explicit(&p->published.reads_asked, memory_order_acquire);
	/* P3: acquire; pairs with R3 in hello.c: our votes will leave with the second voice. */
	uint32_t vouched = atomic_load_explicit(&p->published.vouched, memory_order_acquire);
	int work = 0;

	if (vouched != order->vouched && has_room(p)) {
		struct synod_event event = { .kind = SYNOD_EVENT_VOUCHED };

		order->vouched = vouched;
		step(p, &event, now_ns);
		work++;
	}
	if (reads != order->reads_asked && has_room(p)) {
		struct synod_event event = { .kind = SYNOD_EVENT_READ, .token = reads };

		order->reads_asked = reads;
		step(p, &event, now_ns);
		work++;
	}
	if (durable != order->ticket_durable && has_room(p)) {
		struct synod_event event = { .kind = SYNOD_EVENT_DURABLE, .ticket = durable };

		order->ticket_durable = durable;
		step(p, &event, now_ns);
		work++;
	}
	if (installed != order->slot_installed && has_room(p)) {
		struct synod_event event = { .kind = SYNOD_EVENT_INSTALLED, .slot = installed };

		order->slot_installed = installed;
		order->slot_applied = installed;
		step(p, &event, now_ns);
		work++;
	}
	if (applied > order->slot_applied && installed == order->slot_installed && has_room(p)) {
		struct synod_event event = { .kind = SYNOD_EVENT_APPLIED, .slot = applied };

		order->slot_applied = applied;
		step(p, &event, now_ns);
		work++;
	}
	return work;
}

/* Whose disk holds its clients up leads no longer, if others are quicker. */
static void watch_disk(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_order *order = &p->order;
	const struct synod_core *core = &order->core;
	const struct synod_slow_disk_now now = {
		.now_ns = now_ns,
		.ticket_last = core->ticket_last,
		.ticket_durable = order->ticket_durable,
		.slot_last = core->propose_next - 1,
		.slot_chosen = core->chosen_through,
		.leads = core->role == SYNOD_ROLE_LEADER,
	};
	struct synod_event event = { .kind = SYNOD_EVENT_HANDOVER }; /* to whoever is nearest */

	if (!synod_slow_disk_look(&order->slow_disk, &now))
		return;
	step(p, &event, now_ns);
	if (!order->effects.refused)
		synod_count(&order->counters, SYNOD_SLOW_DISK, 1);
}

int synod_order_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_order *order = &p->order;
	int work = take_progress(p, now_ns);

	for (int i = 0; i < SYNOD_PIPELINE_BURST && has_room(p); i++) {
		void *found;

		if (rte_ring_dequeue(p->to_order, &found) != 0)
			break;
		take(p, found, now_ns);
		work++;
	}
	if (now_ns >= order->deadline_ns && has_room(p)) {
		struct synod_event event = { .kind = SYNOD_EVENT_TICK };

		step(p, &event, now_ns);
	}
	if (has_room(p))
		watch_disk(p, now_ns);
	publish(p);
	return work;
}

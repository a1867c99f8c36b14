/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Order's place while the journal is mended (engine/journal/mending.h; engine/DESIGN.md, 18): no
 * core runs, so nothing that binds can be said. Asks peers for the chosen values of faulty slots,
 * has them written, and tells peers of slots that are whole here. Slots that peers have trimmed
 * come with a snapshot, which the journal stage receives as ever (transfer.c), though nothing loads
 * it yet. When all is durable it says so, and whoever holds the replica opens the journal again,
 * which then is like any other.
 */
#include "engine/pipeline/pipeline.h"

#include <errno.h>
#include <string.h>

_Static_assert((int)SYNOD_MENDING_BURST == (int)SYNOD_CORE_LEARN_BURST, "an answer has them all");

void synod_pipeline_mend(struct synod_pipeline *p, struct synod_mending *mending, uint64_t now_ns)
{
	struct synod_published *out = &p->published;

	synod_assert(mending->slots_count > 0 && !p->mending);
	synod_assert(p->config.standing == SYNOD_STANDING_MENDING);
	p->started_ns = now_ns;
	p->mending = mending;
	synod_mending_begin(mending, p->config.replica, p->config.replicas,
			    p->config.core.retransmit_ns, now_ns);
	synod_core_init(&p->order.core, &p->config.core, now_ns);
	synod_hello_begin(p);
	synod_count(&p->order.counters, SYNOD_SLOTS_FAULTY, mending->slots_count);
	atomic_store_explicit(&out->standing, SYNOD_STANDING_MENDING, memory_order_relaxed);
	atomic_store_explicit(&out->slot_chosen, mending->chosen_through, memory_order_relaxed);
	atomic_store_explicit(&out->mending_has_through, synod_mending_has_through(mending),
			      memory_order_relaxed);
	atomic_store_explicit(&out->journal_room, p->config.journal.room(p->config.journal.context),
			      memory_order_relaxed);
}

static void ask(struct synod_pipeline *p, const struct synod_mending_question *question)
{
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.header_mbufs, &p->order.counters);
	struct synod_outgoing outgoing = { .mbuf = mbuf, .replica = question->to };
	struct synod_wire_header *header;

	synod_assert(question->to >= 1 && question->to <= p->config.replicas);
	if (!mbuf)
		return; /* counted; it is asked again */
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_NEED;
	header->flags = SYNOD_FLAG_FAULTY;
	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->receiver = (uint16_t)question->to;
	header->boot =
		atomic_load_explicit(&p->published.boots[question->to], memory_order_relaxed);
	header->slot = question->slot;
	header->argument = question->count;
	header->chosen_through = p->mending->chosen_through;
	synod_wire_seal(header, NULL, NULL, 0);
	(void)rte_ring_enqueue_elem(p->out_order, &outgoing, sizeof(outgoing));
}

/* Returns 1 if the item is the journal's now. */
static int take_learn(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	const struct synod_message *message = &item->message;
	struct synod_pipeline_write write = {
		.write = { .kind = SYNOD_WRITE_OF_SLOT,
			   .chosen = 1,
			   .slot = message->value_slot,
			   .ballot = message->value_ballot,
			   .chosen_through = p->mending->chosen_through,
			   .value = message->value },
		.item = message->value.size ? item : NULL,
	};

	if (!message->has_value || !(message->value_flags & SYNOD_ENTRY_CHOSEN) ||
	    message->value_slot != message->slot || message->value_ballot == 0) {
		synod_count(&p->order.counters, SYNOD_DROP_FIELD, 1);
		return 0;
	}
	if (atomic_load_explicit(&p->published.journal_room, memory_order_relaxed) <=
	    SYNOD_RESERVE_FOLLOWER) {
		synod_count(&p->order.counters, SYNOD_REFUSED_FULL, 1);
		return 0;
	}
	write.write.ticket =
		synod_mending_learn(p->mending, message->value_slot, message->from, now_ns);
	if (!write.write.ticket)
		return 0;
	(void)rte_ring_enqueue_elem(p->to_journal, &write, sizeof(write));
	return write.item != NULL;
}

static void take_need(struct synod_pipeline *p, const struct synod_message *message)
{
	const uint64_t count =
		message->argument < SYNOD_MENDING_BURST ? message->argument : SYNOD_MENDING_BURST;

	if (message->slot == 0 || message->slot > UINT64_MAX - SYNOD_MENDING_BURST) {
		synod_count(&p->order.counters, SYNOD_DROP_FIELD, 1);
		return;
	}
	if (message->flags & SYNOD_FLAG_FAULTY)
		synod_mending_lacks(p->mending, message->from, message->slot, count);
	for (uint64_t slot = message->slot; slot < message->slot + count; slot++) {
		struct synod_pipeline_read read = { .slot = slot, .to = message->from };

		/* The ring has room: see synod_mending_poll. */
		if (synod_mending_vouches(p->mending, slot))
			(void)rte_ring_enqueue_elem(p->to_read, &read, sizeof(read));
	}
}

static void take(struct synod_pipeline *p, struct synod_item *item, uint64_t now_ns)
{
	const struct synod_message *message = &item->message;
	int kept = 0;

	if (item->kind != SYNOD_ITEM_MESSAGE || message->from < 1 ||
	    message->from > p->config.replicas || message->from == p->config.replica)
		synod_count(&p->order.counters, SYNOD_DROP_UNEXPECTED, 1);
	else if (message->type == SYNOD_LEARN)
		kept = take_learn(p, item, now_ns);
	else if (message->type == SYNOD_NEED)
		take_need(p, message);
	if (!kept)
		synod_item_put(&p->items, item);
}

static int has_room(struct synod_pipeline *p)
{
	return rte_ring_free_count(p->out_order) >= 1 && rte_ring_free_count(p->to_journal) >= 1 &&
	       rte_ring_free_count(p->to_read) >= SYNOD_MENDING_BURST;
}

static int take_progress(struct synod_pipeline *p)
{
	/* P1: acquire; pairs with R1 in journal_stage.c. */
	uint64_t durable = atomic_load_explicit(&p->published.ticket_durable, memory_order_acquire);
	uint32_t before = p->mending->repaired;

	synod_assert_cmp(durable, <=, p->mending->taken);
	if (durable == before)
		return 0;
	synod_mending_durable(p->mending, durable);
	synod_count(&p->order.counters, SYNOD_SLOTS_REPAIRED, durable - before);
	/* R5: release; pairs with P5 in synod_pipeline_repaired: the slots' entries are there. */
	atomic_store_explicit(&p->published.slots_repaired, durable, memory_order_release);
	return 1;
}

/* A snapshot that has come counts once it is durable. And the journal stage is told what is lacked
 * still. */
static int take_snapshot(struct synod_pipeline *p)
{
	struct synod_published *out = &p->published;
	/* P6: acquire; pairs with R6 in transfer.c: who sent it. */
	uint64_t slot = atomic_load_explicit(&out->snapshot_received, memory_order_acquire);
	int news = slot > p->mending->covered_through;

	if (news)
		synod_mending_cover(
			p->mending, slot,
			atomic_load_explicit(&out->snapshot_from, memory_order_relaxed));
	/* Relaxed: a hint; what is received in vain does no harm. */
	atomic_store_explicit(&out->mending_has_through, synod_mending_has_through(p->mending),
			      memory_order_relaxed);
	return news;
}

int synod_mending_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_mending_question question;
	int work = take_progress(p) + take_snapshot(p);

	for (int i = 0; i < SYNOD_PIPELINE_BURST && has_room(p); i++) {
		void *found;

		if (rte_ring_dequeue(p->to_order, &found) != 0)
			break;
		take(p, found, now_ns);
		work++;
	}
	if (has_room(p) && synod_mending_ask(p->mending, now_ns, &question)) {
		ask(p, &question);
		work++;
	}
	switch (synod_mending_state(p->mending, now_ns)) {
	case SYNOD_MENDING_ASKS:
		break;
	case SYNOD_MENDING_DONE:
		/* Relaxed: it stands for nothing but itself. */
		atomic_store_explicit(&p->published.mended, 1, memory_order_relaxed);
		break;
	case SYNOD_MENDING_HOPELESS:
		synod_pipeline_fail(p, -EBADMSG, now_ns);
		break;
	}
	return work;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Journal: gives the writes to the port in ticket order, publishes what is durable, and reads old
 * slots back for peers that lack them and for tail queries. A failure of the port stops the
 * replica.
 */
#include "engine/pipeline/pipeline.h"

#include <errno.h>
#include <string.h>

static struct synod_journal_write to_port(const struct synod_pipeline *p,
					  const struct synod_pipeline_write *waiting)
{
	const struct synod_core_write *write = &waiting->write;

	if (write->kind == SYNOD_WRITE_OF_STANDING)
		return (struct synod_journal_write){
			.ticket = write->ticket,
			.kind = SYNOD_WRITE_STANDING,
			.ballot = synod_disk_life_next(p->config.known[p->config.replica].life,
						       p->config.boot),
			.chosen_through = write->chosen_through,
		};
	return (struct synod_journal_write){
		.ticket = write->ticket,
		.kind = write->kind == SYNOD_WRITE_OF_PROMISE ? SYNOD_WRITE_PROMISE
							      : SYNOD_WRITE_RECORD,
		.chosen = write->chosen,
		.slot = write->slot,
		.ballot = write->ballot,
		.chosen_through = write->chosen_through,
		.value = write->value,
		.body = waiting->item ? synod_item_body(waiting->item) : NULL,
	};
}

/* Returns how many the port took, or -errno. */
static int give(struct synod_pipeline *p)
{
	struct synod_journal_stage *stage = &p->journal;
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_journal_write writes[RTE_DIM(stage->waiting)];
	int taken;

	stage->waiting_count += rte_ring_dequeue_burst_elem(
		p->to_journal, &stage->waiting[stage->waiting_count], sizeof(stage->waiting[0]),
		(unsigned int)RTE_DIM(stage->waiting) - stage->waiting_count, NULL);
	if (!stage->waiting_count)
		return 0;
	for (uint32_t i = 0; i < stage->waiting_count; i++)
		writes[i] = to_port(p, &stage->waiting[i]);
	taken = port->write(port->context, writes, stage->waiting_count);
	if (taken < 0)
		return taken;
	for (int i = 0; i < taken; i++)
		if (stage->waiting[i].item)
			synod_item_put(&p->items, stage->waiting[i].item);
	stage->waiting_count -= (uint32_t)taken;
	memmove(stage->waiting, stage->waiting + taken,
		stage->waiting_count * sizeof(stage->waiting[0]));
	return taken;
}

/*
 * The read whose turn it is: the one put back, else tails' before peers' before those of snapshots.
 * Returns 1 if there is one.
 */
static int next_read(struct synod_pipeline *p, struct synod_pipeline_read *read, uint64_t now_ns)
{
	struct synod_journal_stage *stage = &p->journal;

	if (stage->has_put_back) {
		stage->has_put_back = 0;
		*read = stage->put_back;
		return 1;
	}
	return rte_ring_dequeue_elem(p->to_read_tail, read, sizeof(*read)) == 0 ||
	       rte_ring_dequeue_elem(p->to_read, read, sizeof(*read)) == 0 ||
	       synod_transfer_next_read(p, now_ns, read);
}

/* Starts the next read if a place is free. Returns 1 if another may follow in this turn. */
static int start_read(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_journal_stage *stage = &p->journal;
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_pipeline_read read;
	uint32_t cookie = 0;
	int error;

	while (cookie < RTE_DIM(stage->reads) && stage->reads_used[cookie])
		cookie++;
	if (cookie == RTE_DIM(stage->reads) || !next_read(p, &read, now_ns))
		return 0;
	error = read.size ? port->snapshot_read(port->context, read.slot, read.offset, read.size,
						cookie)
			  : port->read(port->context, read.slot, cookie);
	if (error == -EAGAIN) {
		/* No buffer, or the record is still on its way to the disk: next turn. */
		stage->put_back = read;
		stage->has_put_back = 1;
		return 0;
	}
	if (error) {
		/* Whoever wanted it asks again; who wants what is gone is told. */
		if (read.item)
			synod_item_put(&p->items, read.item);
		else if (!read.size && error == -ENOENT)
			synod_transfer_offer(p, &read, now_ns);
		return 1;
	}
	stage->reads[cookie] = read;
	stage->reads_used[cookie] = 1;
	stage->reads_under_way++;
	return 1;
}

/* A chosen slot that a peer lacks, straight from the journal. */
static void send_learn(struct synod_pipeline *p, const struct synod_journal_record *record,
		       uint32_t to)
{
	struct synod_counters *counters = &p->journal.counters;
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.mbufs, counters);
	struct synod_outgoing outgoing = { .mbuf = mbuf, .replica = to };
	struct synod_wire_header *header;
	struct synod_wire_entry entry = {
		.slot = record->slot,
		.ballot = record->ballot,
		.size = record->value.size,
		.count = record->value.count,
		.crc = record->value.crc,
		.flags = SYNOD_ENTRY_CHOSEN,
	};

	if (!mbuf)
		return;
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_LEARN;
	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->receiver = (uint16_t)to;
	header->boot = atomic_load_explicit(&p->published.boots[to], memory_order_relaxed);
	header->ballot = record->ballot;
	header->slot = record->slot;
	header->chosen_through =
		atomic_load_explicit(&p->published.slot_chosen, memory_order_relaxed);
	synod_wire_seal(header, &entry, NULL, entry.size);
	memcpy(rte_pktmbuf_append(mbuf, sizeof(entry)), &entry, sizeof(entry));
	if (entry.size)
		memcpy(rte_pktmbuf_append(mbuf, (uint16_t)entry.size), record->body, entry.size);
	synod_count(counters, SYNOD_REPAIRS_SENT, 1);
	synod_count(counters, SYNOD_REPAIRS_READ, 1);
	if (rte_ring_enqueue_elem(p->out_journal, &outgoing, sizeof(outgoing)) != 0)
		rte_pktmbuf_free(mbuf);
}

/* For a tail query: the item comes back to apply with the slot's bytes. */
static void give_tail(struct synod_pipeline *p, const struct synod_journal_record *record,
		      struct synod_pipeline_read *read)
{
	struct synod_item *item = read->item;
	char *body = NULL;

	if (!record->error) {
		item->mbuf = rte_pktmbuf_alloc(p->config.mbufs);
		body = item->mbuf ? rte_pktmbuf_append(item->mbuf, (uint16_t)record->value.size)
				  : NULL;
	}
	if (!body) {
		synod_count(&p->journal.counters, SYNOD_NO_BUFFER, 1);
		synod_item_put(&p->items, item);
		return;
	}
	memcpy(body, record->body, record->value.size);
	item->value = record->value;
	if (rte_ring_enqueue_elem(p->tail_read, read, sizeof(*read)) != 0)
		synod_item_put(&p->items, item);
}

static int finish_reads(struct synod_pipeline *p)
{
	struct synod_journal_stage *stage = &p->journal;
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_journal_record record;
	int work = 0;

	while (stage->reads_under_way && port->read_poll(port->context, &record)) {
		struct synod_pipeline_read *read = &stage->reads[record.cookie];

		synod_assert(record.cookie < RTE_DIM(stage->reads));
		stage->reads_used[record.cookie] = 0;
		stage->reads_under_way--;
		if (read->size)
			synod_transfer_send(p, &record, read);
		else if (read->item)
			give_tail(p, &record, read);
		else if (!record.error)
			send_learn(p, &record, (uint32_t)read->to);
		work++;
	}
	return work;
}

/* What hello.c wants to be noted of peers' disks, one after the other. Returns the work done. */
static int remember(struct synod_pipeline *p)
{
	struct synod_journal_stage *stage = &p->journal;
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_pipeline_remember note;

	if (stage->remember_number) {
		if (port->remembered(port->context) < stage->remember_number)
			return 0;
		stage->remember_number = 0;
		/* Relaxed: only the number; what it stands for is on the disk. */
		atomic_store_explicit(&p->published.remembered, ++stage->remembered,
				      memory_order_relaxed);
	}
	if (rte_ring_dequeue_elem(p->to_remember, &note, sizeof(note)) != 0)
		return 0;
	stage->remember_number = port->remember(port->context, (uint32_t)note.replica,
						note.disk.incarnation, note.disk.life);
	return 1;
}

int synod_journal_stage_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_published *out = &p->published;
	uint64_t durable = atomic_load_explicit(&out->ticket_durable, memory_order_relaxed);
	int work = 0;
	int done;

	if (synod_pipeline_failed(p))
		return 0;
	for (int i = 0; i < 4; i++) { /* a few bursts a turn */
		done = give(p);
		if (done < 0) {
			synod_pipeline_fail(p, done, now_ns);
			return 0;
		}
		work += done;
		if (done == 0)
			break;
	}
	for (unsigned int i = 0; i < RTE_DIM(p->journal.reads) && start_read(p, now_ns); i++)
		work++;
	work += remember(p);
	done = port->poll(port->context, now_ns, &durable);
	if (done < 0) {
		synod_pipeline_fail(p, done, now_ns);
		return 0;
	}
	work += done + finish_reads(p);
	done = synod_transfer_poll(p, now_ns);
	if (done < 0) {
		synod_pipeline_fail(p, done, now_ns);
		return 0;
	}
	atomic_store_explicit(&out->journal_room, port->room(port->context), memory_order_relaxed);
	atomic_store_explicit(&out->journal_used, port->used(port->context), memory_order_relaxed);
	atomic_store_explicit(&out->journal_ready, (uint32_t)port->ready(port->context),
			      memory_order_relaxed);
	/* R1: release; pairs with P1 in order.c: what the ticket stands for has happened. */
	atomic_store_explicit(&out->ticket_durable, durable, memory_order_release);
	return work;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal stage's side of snapshots: when one is taken, what becomes of it, and how it travels.
 * See snapshots.h for the picture, engine/journal/fetch.h for the protocol between replicas.
 */
#include "engine/pipeline/pipeline.h"

#include <errno.h>
#include <string.h>

enum {
	LOOK_NS = 100 * 1000, /* between two looks at what the journal wants */
	/* And between two attempts where it does not, but room is short; or one was too large. */
	AGAIN_NS = 100 * 1000 * 1000,
	TAKEN_MAX = 8, /* messages of peers in a turn */
};

void synod_transfer_init(struct synod_pipeline *p)
{
	struct synod_transfer *transfer = &p->journal.transfer;
	uint32_t room = p->config.batch_size_max + SYNOD_ENTRY_SIZE - SYNOD_PIECE_HEADER_SIZE;

	uint32_t piece = room < SYNOD_PIECE_SIZE_MAX ? room & ~7u : SYNOD_PIECE_SIZE_MAX;

	synod_fetch_init(&transfer->fetch, p->config.core.retransmit_ns, p->config.image_room);
	synod_fetch_server_init(&transfer->server, p->config.core.retransmit_ns, piece);
	p->image.bytes = p->config.image;
	p->image.room = p->config.image_room;
}

void synod_pipeline_load_partial(struct synod_pipeline *p, const struct synod_journal_snapshot *of,
				 uint64_t received, uint32_t crc)
{
	struct synod_transfer *transfer = &p->journal.transfer;

	synod_assert(p->image.bytes && of->size <= p->image.room);
	synod_fetch_resume(&transfer->fetch,
			   &(struct synod_fetch_image){
				   .slot = of->slot, .total = of->size, .checksum = of->checksum },
			   received, crc);
	transfer->kept = 1;
}

/* What is there of the one that is being received, for the journal to put away. */
static void keep(struct synod_pipeline *p)
{
	const struct synod_journal_port *port = &p->config.journal;
	const struct synod_fetch *fetch = &p->journal.transfer.fetch;
	const struct synod_journal_snapshot of = { .slot = fetch->image.slot,
						   .size = fetch->image.total,
						   .checksum = fetch->image.checksum };

	port->snapshot_partial(port->context, &of, p->image.bytes, fetch->received);
	p->journal.transfer.kept = 1;
}

/* None is being received any more: nobody but us says what is in the buffer. */
static void keep_no_more(struct synod_pipeline *p)
{
	const struct synod_journal_port *port = &p->config.journal;

	port->snapshot_partial(port->context, NULL, NULL, 0);
	p->journal.transfer.kept = 0;
}

static void lend(struct synod_pipeline *p, enum synod_image_task task, uint32_t phase)
{
	p->journal.transfer.phase = phase;
	/* R3: release; pairs with P3 in apply_image.c: the buffer is apply's. */
	atomic_store_explicit(&p->image.task, task, memory_order_release);
}

static int is_lent(struct synod_pipeline *p)
{
	/* P3: acquire; pairs with R3 in apply_image.c: what was saved, or whether it was loaded. */
	return atomic_load_explicit(&p->image.task, memory_order_acquire) != SYNOD_IMAGE_NONE;
}

/* 1: a snapshot of what is applied by now is to be taken. */
static int is_due(struct synod_pipeline *p, uint64_t now_ns)
{
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_transfer *transfer = &p->journal.transfer;

	if (transfer->refused && now_ns < transfer->short_ns)
		return 0;
	/* Who is being sent the present one would have to begin anew: not while there is room. */
	if (port->snapshot_wanted(port->context) &&
	    (!synod_fetch_server_is_asked(&transfer->server, now_ns) ||
	     port->room(port->context) < 2 * (uint64_t)SYNOD_RESERVE_LEADER))
		return 1;
	if (port->room(port->context) >= SYNOD_RESERVE_LEADER || now_ns < transfer->short_ns)
		return 0;
	/* The journal would wait for more, and without room no more comes. */
	transfer->short_ns = now_ns + AGAIN_NS;
	return 1;
}

static int has_news(struct synod_pipeline *p)
{
	uint64_t applied = atomic_load_explicit(&p->published.slot_applied, memory_order_relaxed);

	return applied > p->config.journal.snapshot(p->config.journal.context).slot;
}

/* What apply saved, to the disk. */
static int write_saved(struct synod_pipeline *p, uint64_t now_ns)
{
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_transfer *transfer = &p->journal.transfer;
	int error;

	if (p->image.slot <= port->snapshot(port->context).slot) {
		transfer->phase = SYNOD_TRANSFER_IDLE;
		return 0;
	}
	error = port->snapshot_write(port->context, p->image.slot, p->image.bytes, p->image.size);
	transfer->refused = error == -EFBIG;
	if (error == 0)
		transfer->phase = SYNOD_TRANSFER_WRITING;
	if (!transfer->refused)
		return error == -EBUSY ? 0 : error;
	synod_count(&p->journal.counters, SYNOD_SNAPSHOTS_TOO_LARGE, 1);
	transfer->short_ns = now_ns + AGAIN_NS;
	transfer->phase = SYNOD_TRANSFER_IDLE;
	return 0;
}

/* Nothing runs that could load it: the next opening of the journal does. */
static void tell_mending(struct synod_pipeline *p)
{
	struct synod_published *out = &p->published;

	atomic_store_explicit(&out->snapshot_from, p->journal.transfer.from, memory_order_relaxed);
	/* R6: release; pairs with P6 in mending.c: who sent it. */
	atomic_store_explicit(&out->snapshot_received, p->image.slot, memory_order_release);
	p->journal.transfer.phase = SYNOD_TRANSFER_IDLE;
}

/* Only a snapshot beyond this is wanted. Relaxed: what is received in vain does no harm. */
static uint64_t has_through(struct synod_pipeline *p)
{
	return atomic_load_explicit(p->mending ? &p->published.mending_has_through
					       : &p->published.slot_chosen,
				    memory_order_relaxed);
}

/* Goes on with what is under way. Returns 0, or -errno: the replica is to stop. */
static int go_on(struct synod_pipeline *p, uint64_t now_ns)
{
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_transfer *transfer = &p->journal.transfer;

	switch (transfer->phase) {
	case SYNOD_TRANSFER_SAVING:
		return is_lent(p) ? 0 : write_saved(p, now_ns);
	case SYNOD_TRANSFER_WRITING:
		if (port->snapshot_busy(port->context))
			return 0;
		synod_count(&p->journal.counters, SYNOD_SNAPSHOTS_TAKEN, 1);
		transfer->phase = SYNOD_TRANSFER_IDLE;
		return 0;
	case SYNOD_TRANSFER_WRITING_RECEIVED:
		/* Durable, and named by the superblock: what is told from now on may rest on it. */
		if (port->snapshot_busy(port->context))
			return 0;
		if (p->mending)
			tell_mending(p);
		else
			lend(p, SYNOD_IMAGE_LOAD, SYNOD_TRANSFER_LOADING);
		return 0;
	case SYNOD_TRANSFER_LOADING:
		if (is_lent(p))
			return 0;
		transfer->phase = SYNOD_TRANSFER_IDLE;
		return p->image.error;
	default:
		if ((synod_fetch_is_receiving(&transfer->fetch) &&
		     !synod_fetch_is_waiting(&transfer->fetch)) ||
		    p->mending || !is_due(p, now_ns) || !has_news(p))
			return 0;
		/* Half a snapshot that nobody offers any more is not worth a full log. */
		synod_fetch_end(&transfer->fetch);
		if (transfer->kept)
			keep_no_more(p);
		lend(p, SYNOD_IMAGE_SAVE, SYNOD_TRANSFER_SAVING);
		return 0;
	}
}

static void send(struct synod_pipeline *p, struct rte_mbuf *mbuf, uint32_t to)
{
	struct synod_outgoing outgoing = { .mbuf = mbuf, .replica = to };
	struct synod_wire_header *header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);

	header->cluster = p->config.cluster;
	header->sender = (uint16_t)p->config.replica;
	header->receiver = (uint16_t)to;
	header->boot = atomic_load_explicit(&p->published.boots[to], memory_order_relaxed);
	header->chosen_through =
		atomic_load_explicit(&p->published.slot_chosen, memory_order_relaxed);
	synod_wire_seal(header, NULL, header + 1, mbuf->data_len - SYNOD_HEADER_SIZE);
	if (rte_ring_enqueue_elem(p->out_journal, &outgoing, sizeof(outgoing)) != 0) {
		synod_count(&p->journal.counters, SYNOD_TX_FULL, 1);
		rte_pktmbuf_free(mbuf);
	}
}

static void ask(struct synod_pipeline *p, const struct synod_fetch_question *question)
{
	struct rte_mbuf *mbuf = synod_pipeline_datagram(p->config.mbufs, &p->journal.counters);
	struct synod_wire_header *header;

	if (!mbuf)
		return; /* counted; it is asked again */
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_FETCH;
	header->slot = question->slot;
	header->argument = question->offset;
	send(p, mbuf, question->to);
}

void synod_transfer_send(struct synod_pipeline *p, const struct synod_journal_record *record,
			 const struct synod_pipeline_read *read)
{
	struct synod_journal_snapshot snapshot =
		p->config.journal.snapshot(p->config.journal.context);
	struct synod_wire_piece piece = { .total = snapshot.size,
					  .checksum = snapshot.checksum,
					  .size = read->size };
	uint32_t padded = SYNOD_WIRE_ALIGN(read->size);
	struct synod_wire_header *header;
	struct rte_mbuf *mbuf;
	char *to;

	if (record->error || snapshot.slot != read->slot)
		return; /* it is asked for again */
	mbuf = synod_pipeline_datagram(p->config.mbufs, &p->journal.counters);
	if (!mbuf)
		return;
	header = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *);
	header->type = SYNOD_SNAPSHOT;
	header->slot = read->slot;
	header->argument = read->offset;
	to = rte_pktmbuf_append(mbuf, (uint16_t)(sizeof(piece) + padded));
	synod_assert(to != NULL);
	memset(to + sizeof(piece) + padded - 8, 0, 8);
	memcpy(to, &piece, sizeof(piece));
	memcpy(to + sizeof(piece), record->body, read->size);
	synod_count(&p->journal.counters, SYNOD_PIECES_SENT, 1);
	send(p, mbuf, (uint32_t)read->to);
}

void synod_transfer_offer(struct synod_pipeline *p, const struct synod_pipeline_read *read,
			  uint64_t now_ns)
{
	struct synod_journal_snapshot snapshot =
		p->config.journal.snapshot(p->config.journal.context);

	if (p->image.bytes && read->to && read->slot <= snapshot.slot)
		synod_fetch_server_offer(&p->journal.transfer.server, (uint32_t)read->to, now_ns);
}

int synod_transfer_next_read(struct synod_pipeline *p, uint64_t now_ns,
			     struct synod_pipeline_read *read)
{
	struct synod_transfer *transfer = &p->journal.transfer;
	struct synod_journal_snapshot snapshot;
	struct synod_fetch_source source;
	struct synod_fetch_piece piece;

	if (synod_fetch_server_is_idle(&transfer->server))
		return 0;
	snapshot = p->config.journal.snapshot(p->config.journal.context);
	source = (struct synod_fetch_source){ .slot = snapshot.slot, .total = snapshot.size };
	if (!synod_fetch_server_next(&transfer->server, &source, now_ns, &piece))
		return 0;
	*read = (struct synod_pipeline_read){
		.slot = piece.of.slot, .to = piece.from, .offset = piece.offset, .size = piece.size
	};
	return 1;
}

/* All of it is there: to the disk, if it says itself what it was offered as. */
static int write_received(struct synod_pipeline *p)
{
	const struct synod_journal_port *port = &p->config.journal;
	struct synod_transfer *transfer = &p->journal.transfer;
	const struct synod_fetch_image image = transfer->fetch.image;
	const uint32_t from = transfer->fetch.from;
	uint64_t slot, position;
	int error;

	synod_fetch_end(&transfer->fetch);
	if (synod_apply_image_slot(p->image.bytes, image.total, &slot, &position) != 0 ||
	    slot != image.slot) {
		synod_count(&p->journal.counters, SYNOD_SNAPSHOTS_WRONG, 1);
		return 0;
	}
	p->image.slot = image.slot;
	p->image.size = image.total;
	transfer->from = from;
	if (image.slot <= port->snapshot(port->context).slot)
		return 0;
	error = port->snapshot_write_foreign(port->context, image.slot, p->image.bytes,
					     image.total);
	if (error == 0)
		transfer->phase = SYNOD_TRANSFER_WRITING_RECEIVED;
	if (error == -EFBIG)
		synod_count(&p->journal.counters, SYNOD_SNAPSHOTS_TOO_LARGE, 1);
	return error == -EFBIG || error == -EBUSY ? 0 : error;
}

/* Returns 0, or -errno. */
static int take_piece(struct synod_pipeline *p, const struct synod_item *item, uint64_t now_ns)
{
	struct synod_transfer *transfer = &p->journal.transfer;
	const struct synod_fetch_piece piece = {
		.of = { .slot = item->message.slot,
			.total = item->message.value_slot,
			.checksum = item->value.crc },
		.offset = item->message.argument,
		.size = item->value.size,
		.from = item->message.from,
		.bytes = synod_item_body(item),
	};
	enum synod_fetch_verdict verdict;

	if (transfer->phase != SYNOD_TRANSFER_IDLE)
		return 0; /* the buffer is in use */
	verdict = synod_fetch_take(&transfer->fetch, &piece, has_through(p), now_ns);
	if (verdict == SYNOD_FETCH_WRONG)
		synod_count(&p->journal.counters, SYNOD_SNAPSHOTS_WRONG, 1);
	if (verdict == SYNOD_FETCH_RESUMED)
		synod_count(&p->journal.counters, SYNOD_SNAPSHOTS_RESUMED, 1);
	if (verdict != SYNOD_FETCH_TAKEN && verdict != SYNOD_FETCH_WHOLE)
		return 0;
	memcpy((uint8_t *)p->image.bytes + piece.offset, piece.bytes, piece.size);
	synod_count(&p->journal.counters, SYNOD_PIECES_TAKEN, 1);
	if (verdict == SYNOD_FETCH_WHOLE)
		return write_received(p);
	keep(p);
	return 0;
}

static int take_messages(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_transfer *transfer = &p->journal.transfer;
	void *found;
	int error = 0;

	for (int i = 0; i < TAKEN_MAX && !error && rte_ring_dequeue(p->to_transfer, &found) == 0;
	     i++) {
		struct synod_item *item = found;
		const struct synod_fetch_question question = { .to = item->message.from,
							       .slot = item->message.slot,
							       .offset = item->message.argument };

		if (item->message.type == SYNOD_FETCH)
			synod_fetch_server_ask(&transfer->server, &question, now_ns);
		else
			error = take_piece(p, item, now_ns);
		synod_item_put(&p->items, item);
	}
	return error;
}

int synod_transfer_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_transfer *transfer = &p->journal.transfer;
	struct synod_fetch_question question;
	int error;

	if (!p->image.bytes)
		return 0;
	error = take_messages(p, now_ns);
	if (error)
		return error;
	if (transfer->phase == SYNOD_TRANSFER_IDLE &&
	    synod_fetch_poll(&transfer->fetch, has_through(p), now_ns, &question))
		ask(p, &question);
	if (transfer->kept && !synod_fetch_is_receiving(&transfer->fetch))
		keep_no_more(p);
	if (transfer->phase == SYNOD_TRANSFER_IDLE && now_ns < transfer->look_ns)
		return 0;
	transfer->look_ns = now_ns + LOOK_NS;
	error = go_on(p, now_ns);
	atomic_store_explicit(&p->published.recycles, !transfer->refused, memory_order_relaxed);
	atomic_store_explicit(&p->published.snapshot_slot,
			      p->config.journal.snapshot(p->config.journal.context).slot,
			      memory_order_relaxed);
	atomic_store_explicit(&p->published.journal_slot_first,
			      p->config.journal.slot_first(p->config.journal.context),
			      memory_order_relaxed);
	return error;
}

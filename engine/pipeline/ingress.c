/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ingress: receives, checks, gathers commands into batches, refuses what cannot be done. Batches
 * are greedy and know no timer: one closes when it is full, or when nothing more has arrived and
 * the disk and the log would take it now. While they are busy, batches grow.
 */
#include "engine/pipeline/pipeline.h"

#include "engine/base/crc32c.h"

#include <string.h>

enum {
	PERIOD_NS = 1000 * 1000 /* of what is not done for each burst */
};

static uint64_t load(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

static int leads(struct synod_pipeline *p)
{
	return atomic_load_explicit(&p->published.role, memory_order_relaxed) == SYNOD_ROLE_LEADER;
}

/* Order would take another batch. */
static int order_takes(struct synod_pipeline *p)
{
	return p->ingress.handed < load(&p->published.submit_total);
}

static void hand_over(struct synod_pipeline *p)
{
	struct synod_ingress *ingress = &p->ingress;
	struct synod_item *item = ingress->open;

	synod_assert(item != NULL && item->value.count > 0);
	item->value.handle = item->handle;
	item->value.size = item->mbuf->data_len;
	item->value.crc = synod_crc32c(synod_item_body(item), item->value.size);
	ingress->open = NULL;
	ingress->handed++;
	ingress->batch_commands_sum += item->value.count;
	if (item->value.count > ingress->batch_commands_max)
		ingress->batch_commands_max = item->value.count;
	if (rte_ring_enqueue(p->to_order, item) != 0) {
		synod_count(&ingress->counters, SYNOD_NO_BUFFER, 1);
		synod_item_put(&p->items, item);
	}
}

static int open_batch(struct synod_pipeline *p)
{
	struct synod_item *item = synod_item_get(&p->items);

	if (!item)
		return -1;
	item->mbuf = rte_pktmbuf_alloc(p->config.mbufs);
	if (!item->mbuf) {
		synod_item_put(&p->items, item);
		return -1;
	}
	item->kind = SYNOD_ITEM_BATCH;
	p->ingress.open = item;
	return 0;
}

/*
 * Who asks, and how it wants to be answered: in datagrams of several sessions only if it sent as
 * many bytes as a refusal of all its commands takes. REGISTERs are of one session anyway, none.
 */
static struct synod_origin origin_of(const struct synod_wire_view *view, int count,
				     const struct synod_address *from)
{
	const uint32_t each = sizeof(uint64_t) + sizeof(struct synod_wire_result);

	return (struct synod_origin){
		.from = *from,
		.shared = view->header->flags & SYNOD_FLAG_SHARED && count > 0 &&
			  view->body_size >= (uint32_t)count * each,
	};
}

static void refuse(struct synod_pipeline *p, const struct synod_wire_view *view,
		   const struct synod_origin *asks, uint16_t status, uint64_t now_ns)
{
	synod_refuse_commands(p, view->body, view->body_size, asks, status, now_ns);
}

/* A place in the open batch for a request of that size, or NULL: the log is behind, BUSY. */
static struct synod_item *batch_for(struct synod_pipeline *p, uint32_t size)
{
	struct synod_ingress *ingress = &p->ingress;
	struct synod_item *open = ingress->open;

	if (open && (open->mbuf->data_len + size > p->config.batch_size_max ||
		     open->origins_count == SYNOD_BATCH_ORIGINS_MAX)) {
		if (!order_takes(p))
			return NULL;
		hand_over(p);
	}
	if (!ingress->open && open_batch(p) != 0)
		return NULL;
	return ingress->open;
}

static void gather(struct synod_item *batch, const struct synod_wire_view *view, uint32_t count,
		   const struct synod_origin *asks)
{
	struct synod_origin *last =
		batch->origins_count ? &batch->origins[batch->origins_count - 1] : NULL;
	uint32_t size = SYNOD_HEADER_SIZE + view->body_size;

	if (!last || memcmp(&last->from, &asks->from, sizeof(asks->from)) != 0 ||
	    last->shared != asks->shared) {
		last = &batch->origins[batch->origins_count++];
		*last = (struct synod_origin){
			.from = asks->from,
			.shared = asks->shared,
			.first = (uint16_t)batch->value.count,
			.reply_size_max = SYNOD_PIPELINE_REPLY_SIZE_MIN,
		};
	}
	if (size > last->reply_size_max)
		last->reply_size_max = size;
	last->count = (uint16_t)(last->count + count);
	batch->value.count += count;
	memcpy(rte_pktmbuf_append(batch->mbuf, (uint16_t)view->body_size), view->body,
	       view->body_size);
}

/* Commands that fit one batch: into one, or refused. */
static void take(struct synod_pipeline *p, const struct synod_wire_view *view, uint32_t count,
		 const struct synod_origin *asks, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	struct synod_item *batch = batch_for(p, view->body_size);

	if (!batch) {
		synod_count(counters, SYNOD_REFUSED_BUSY, count);
		refuse(p, view, asks, SYNOD_BUSY, now_ns);
		return;
	}
	gather(batch, view, count, asks);
	synod_count(counters, SYNOD_COMMANDS, count);
}

/*
 * A request may hold more than a batch where clients reach replicas by wider links than these have
 * among each other: whole commands into batches, and only one that fits none is refused.
 */
static void take_parts(struct synod_pipeline *p, const struct synod_wire_view *view,
		       const struct synod_origin *asks, uint64_t now_ns)
{
	struct synod_wire_view part = *view;
	uint32_t at = 0;

	while (at < view->body_size) { /* at most one turn a command */
		struct synod_wire_command command;
		uint32_t count = 0;

		part.body = view->body + at;
		part.body_size = 0;
		while (at < view->body_size) { /* at most one turn a command */
			memcpy(&command, view->body + at, sizeof(command));
			if (part.body_size + synod_wire_command_size(&command) >
			    p->config.batch_size_max)
				break;
			part.body_size += synod_wire_command_size(&command);
			at += synod_wire_command_size(&command);
			count++;
		}
		if (count) {
			take(p, &part, count, asks, now_ns);
			continue;
		}
		part.body_size = synod_wire_command_size(&command);
		at += part.body_size;
		refuse(p, &part, asks, SYNOD_TOO_LARGE, now_ns);
	}
}

/* Reads go past the log, to apply; their bytes are copied, as they are few and short. */
static void on_read(struct synod_pipeline *p, const struct synod_wire_view *view,
		    const struct synod_origin *asks, uint32_t count, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	uint32_t size = SYNOD_HEADER_SIZE + view->body_size;
	int stale = synod_wire_request_sort(view->body) == SYNOD_COMMAND_READ_STALE;
	struct synod_item *item;

	if (p->mending) {
		/* There is no state to read from yet. */
		synod_count(counters, SYNOD_REFUSED_BUSY, count);
		refuse(p, view, asks, SYNOD_BUSY, now_ns);
		return;
	}
	if (!stale && !leads(p)) {
		synod_count(counters, SYNOD_REFUSED_NOT_LEADER, count);
		refuse(p, view, asks, SYNOD_NOT_LEADER, now_ns);
		return;
	}
	item = synod_item_get(&p->items);
	if (item)
		item->mbuf = rte_pktmbuf_alloc(p->config.mbufs);
	if (item && item->mbuf && view->body_size <= rte_pktmbuf_tailroom(item->mbuf)) {
		item->kind = SYNOD_ITEM_READ;
		item->token = stale ? 0 : 1;
		item->value.count = count;
		item->value.size = view->body_size;
		item->origins[0] = (struct synod_origin){
			.from = asks->from,
			.shared = asks->shared,
			.count = (uint16_t)count,
			.reply_size_max = size > SYNOD_PIPELINE_REPLY_SIZE_MIN
						  ? size
						  : SYNOD_PIPELINE_REPLY_SIZE_MIN,
		};
		memcpy(rte_pktmbuf_append(item->mbuf, (uint16_t)view->body_size), view->body,
		       view->body_size);
		if (synod_reads_take(p, item) == 0)
			return;
	}
	if (item)
		synod_item_put(&p->items, item);
	synod_count(counters, SYNOD_REFUSED_BUSY, count);
	refuse(p, view, asks, SYNOD_BUSY, now_ns);
}

static void on_handover_ask(struct synod_pipeline *p, const struct synod_wire_view *view,
			    const struct synod_address *from)
{
	struct synod_item *item = synod_item_get(&p->items);

	if (!item) {
		synod_count(&p->ingress.counters, SYNOD_NO_BUFFER, 1);
		return;
	}
	item->kind = SYNOD_ITEM_HANDOVER;
	item->from = *from;
	item->handover_to = view->header->slot;
	if (rte_ring_enqueue(p->to_order, item) != 0) {
		synod_count(&p->ingress.counters, SYNOD_NO_BUFFER, 1);
		synod_item_put(&p->items, item);
	}
}

/* With a snapshot there will be room again; without, never. */
static void refuse_for_room(struct synod_pipeline *p, const struct synod_wire_view *view,
			    const struct synod_origin *asks, uint32_t count, uint64_t now_ns)
{
	int recycles = atomic_load_explicit(&p->published.recycles, memory_order_relaxed) != 0;

	synod_count(&p->ingress.counters, recycles ? SYNOD_REFUSED_ROOM : SYNOD_REFUSED_FULL,
		    count);
	refuse(p, view, asks, recycles ? SYNOD_BUSY : SYNOD_FULL, now_ns);
}

static void on_request(struct synod_pipeline *p, const struct synod_wire_view *view,
		       const struct synod_address *from, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	int count = synod_wire_commands_check(view->body, view->body_size);
	const struct synod_origin asks = origin_of(view, count, from);

	if (count <= 0) {
		synod_count(counters, SYNOD_DROP_BATCH, 1);
		return;
	}
	if (synod_wire_request_sort(view->body) != SYNOD_COMMAND_APPLY) {
		on_read(p, view, &asks, (uint32_t)count, now_ns);
		return;
	}
	if (!leads(p)) {
		synod_count(counters, SYNOD_REFUSED_NOT_LEADER, (uint64_t)count);
		refuse(p, view, &asks, SYNOD_NOT_LEADER, now_ns);
		return;
	}
	if (view->header->boot != p->config.boot) {
		/* Of a former run, or the client's first: with the answer it knows better. */
		synod_count(counters, SYNOD_REFUSED_BOOT, (uint64_t)count);
		refuse(p, view, &asks, SYNOD_BUSY, now_ns);
		return;
	}
	if (load(&p->published.journal_room) < SYNOD_RESERVE_LEADER) {
		refuse_for_room(p, view, &asks, (uint32_t)count, now_ns);
		return;
	}
	if (view->body_size <= p->config.batch_size_max)
		take(p, view, (uint32_t)count, &asks, now_ns);
	else
		take_parts(p, view, &asks, now_ns);
}

/* A piece of a snapshot, or a question for some, goes past the core to the journal's stage. */
static void hand_to_transfer(struct synod_pipeline *p, const struct synod_packet *packet,
			     const struct synod_wire_view *view, struct synod_item *item)
{
	struct synod_counters *counters = &p->ingress.counters;
	const struct synod_wire_header *header = view->header;
	struct synod_wire_piece piece = { 0 };
	const uint8_t *bytes;
	int wrong =
		header->type == SYNOD_SNAPSHOT ? synod_wire_piece_read(view, &piece, &bytes) : 0;

	item->kind = SYNOD_ITEM_MESSAGE;
	item->message = (struct synod_message){ .type = header->type,
						.from = (uint8_t)header->sender,
						.slot = header->slot,
						.argument = header->argument,
						.value_slot = piece.total };
	item->value = (struct synod_value){ .size = piece.size, .crc = piece.checksum };
	item->mbuf = packet->mbuf;
	(void)rte_pktmbuf_adj(item->mbuf,
			      (uint16_t)(SYNOD_HEADER_SIZE + (piece.size ? sizeof(piece) : 0)));
	if (wrong)
		synod_count(counters, (enum synod_counter)wrong, 1);
	else if (rte_ring_enqueue(p->to_transfer, item) == 0)
		return;
	else
		synod_count(counters, SYNOD_NO_BUFFER, 1);
	synod_item_put(&p->items, item);
}

/* A peer's message becomes an item; the packet's bytes stay where they are. Takes the mbuf. */
static void on_replica_message(struct synod_pipeline *p, const struct synod_packet *packet,
			       const struct synod_wire_view *view, uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	struct synod_item *item;
	struct synod_message *message;

	if (packet->door || (packet->peer && packet->peer != view->header->sender)) {
		synod_count(counters, SYNOD_DROP_SENDER, 1);
		rte_pktmbuf_free(packet->mbuf);
		return;
	}
	if (synod_hello_check(p, view->header, now_ns) || view->header->type == SYNOD_HELLO) {
		rte_pktmbuf_free(packet->mbuf);
		return;
	}
	item = synod_item_get(&p->items);
	if (!item) {
		synod_count(counters, SYNOD_NO_BUFFER, 1);
		rte_pktmbuf_free(packet->mbuf);
		return;
	}
	/* It misses a leader: perhaps ours, and perhaps its end can be seen by now. Twice: at whom
	 * something came from just before the first look only the second looks. */
	if (view->header->type == SYNOD_CANVASS)
		p->ingress.looks = 2;
	if (view->header->type >= SYNOD_SNAPSHOT) {
		hand_to_transfer(p, packet, view, item);
		return;
	}
	item->kind = SYNOD_ITEM_MESSAGE;
	message = &item->message;
	*message = (struct synod_message){
		.type = view->header->type,
		.from = (uint8_t)view->header->sender,
		.to = (uint8_t)view->header->receiver,
		.flags = view->header->flags &
			 (SYNOD_FLAG_MORE | SYNOD_FLAG_BEHIND | SYNOD_FLAG_FAULTY),
		.ballot = view->header->ballot,
		.slot = view->header->slot,
		.chosen_through = view->header->chosen_through,
		.argument = view->header->argument,
	};
	if (view->entry) {
		message->has_value = 1;
		message->value_slot = view->entry->slot;
		message->value_ballot = view->entry->ballot;
		message->value_flags = view->entry->flags;
		message->value.size = view->entry->size;
		message->value.count = view->entry->count;
		message->value.crc = view->entry->crc;
	}
	if (view->entry && view->entry->size) {
		message->value.handle = item->handle;
		item->mbuf = packet->mbuf;
		/* From here on the buffer is the batch and nothing else. */
		(void)rte_pktmbuf_adj(item->mbuf, SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE);
	} else {
		rte_pktmbuf_free(packet->mbuf);
	}
	item->value = message->value;
	if (rte_ring_enqueue(p->to_order, item) != 0) {
		synod_count(counters, SYNOD_NO_BUFFER, 1);
		synod_item_put(&p->items, item);
	}
}

static void on_tail_query(struct synod_pipeline *p, const struct synod_wire_view *view,
			  const struct synod_address *from)
{
	struct synod_item *item;

	if (p->mending)
		return; /* there is nothing to tell yet; whoever asks does so again */
	item = synod_item_get(&p->items);
	if (!item) {
		synod_count(&p->ingress.counters, SYNOD_NO_BUFFER, 1);
		return;
	}
	item->kind = SYNOD_ITEM_TAIL;
	item->from = *from;
	item->tail_first = view->header->slot;
	item->tail_count = view->header->argument & UINT32_MAX;
	item->tail_offset = (uint32_t)(view->header->argument >> 32);
	item->tail_part = 0;
	item->tail_trimmed = 0;
	item->tail_room = view->body_size;
	if (rte_ring_enqueue(p->to_tail, item) != 0)
		synod_item_put(&p->items, item);
}

static void on_packet(struct synod_pipeline *p, const struct synod_packet *packet, uint64_t now_ns)
{
	struct synod_wire_view view;
	int wrong =
		synod_wire_decode(rte_pktmbuf_mtod(packet->mbuf, void *), packet->mbuf->data_len,
				  p->config.cluster, p->config.replica, &view);

	if (!wrong && view.header->type <= SYNOD_HELLO) {
		on_replica_message(p, packet, &view, now_ns);
		return;
	}
	if (wrong)
		synod_count(&p->ingress.counters, (enum synod_counter)wrong, 1);
	else if (view.header->type == SYNOD_REQUEST)
		on_request(p, &view, &packet->from, now_ns);
	else if (view.header->type == SYNOD_STATUS_QUERY)
		synod_status_answer(p, &view, &packet->from, now_ns);
	else if (view.header->type == SYNOD_TAIL_QUERY)
		on_tail_query(p, &view, &packet->from);
	else if (view.header->type == SYNOD_HANDOVER_ASK)
		on_handover_ask(p, &view, &packet->from);
	else
		synod_count(&p->ingress.counters, SYNOD_DROP_TYPE, 1);
	rte_pktmbuf_free(packet->mbuf);
}

static void maybe_close_batch(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_ingress *ingress = &p->ingress;
	uint64_t under_way;

	if (!ingress->open || !ingress->open->value.count)
		return;
	if (!leads(p)) {
		synod_count(&ingress->counters, SYNOD_REFUSED_NOT_LEADER,
			    ingress->open->value.count);
		synod_refuse_open(p, SYNOD_NOT_LEADER, now_ns);
		return;
	}
	under_way = load(&p->published.unchosen) + ingress->handed - load(&p->published.submitted);
	if (order_takes(p) && under_way < SYNOD_PIPELINE_GREEDY_SLOTS &&
	    atomic_load_explicit(&p->published.journal_ready, memory_order_relaxed))
		hand_over(p);
}

/*
 * Links that went down since the last look. By the ring, behind whatever came over them: what the
 * leader said before it died would else be taken for a sign that it lives. Returns 0: no room, come
 * again.
 */
static int tell_lost(struct synod_pipeline *p, uint32_t peer)
{
	struct synod_item *item = synod_item_get(&p->items);

	if (!item)
		return 0;
	item->kind = SYNOD_ITEM_LOST;
	item->lost = peer;
	if (rte_ring_enqueue(p->to_order, item) == 0)
		return 1;
	synod_item_put(&p->items, item);
	return 0;
}

static void look_at_links(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_ingress *ingress = &p->ingress;
	uint32_t lost = p->config.net.poll_links(p->config.net.context, now_ns);
	uint32_t news = lost & ~ingress->peers_lost;

	ingress->peers_lost &= lost;
	for (uint32_t peer = 1; news && peer <= SYNOD_REPLICAS_MAX; peer++)
		if (news >> peer & 1 && (p->mending || tell_lost(p, peer)))
			ingress->peers_lost |= 1u << peer;
}

static void every_period(struct synod_pipeline *p, uint64_t now_ns)
{
	if (now_ns - p->ingress.period_ns < PERIOD_NS) {
		if (!p->ingress.looks)
			return;
		p->ingress.looks--;
		look_at_links(p, now_ns);
		return;
	}
	p->ingress.period_ns = now_ns;
	synod_refuse_pace(p, now_ns);
	synod_hello_poll(p, now_ns);
	look_at_links(p, now_ns);
}

int synod_ingress_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_packet packets[SYNOD_PIPELINE_BURST];
	const struct synod_net_port *net = &p->config.net;
	uint32_t n = net->receive(net->context, packets, SYNOD_PIPELINE_BURST);

	for (uint32_t i = 0; i < n; i++)
		on_packet(p, &packets[i], now_ns);
	if (n < SYNOD_PIPELINE_BURST)
		maybe_close_batch(p, now_ns);
	every_period(p, now_ns);
	return (int)n;
}

/* The journal has failed: whoever asks is told, the rest is dropped. */
static void on_packet_halted(struct synod_pipeline *p, const struct synod_packet *packet,
			     uint64_t now_ns)
{
	struct synod_counters *counters = &p->ingress.counters;
	struct synod_wire_view view;
	int wrong =
		synod_wire_decode(rte_pktmbuf_mtod(packet->mbuf, void *), packet->mbuf->data_len,
				  p->config.cluster, p->config.replica, &view);

	if (!wrong && view.header->type == SYNOD_STATUS_QUERY) {
		synod_status_answer(p, &view, &packet->from, now_ns);
	} else if (!wrong && view.header->type == SYNOD_REQUEST) {
		int count = synod_wire_commands_check(view.body, view.body_size);

		synod_count(counters, SYNOD_REFUSED_HALTED, count > 0 ? (uint64_t)count : 0);
		if (count > 0) {
			const struct synod_origin asks = origin_of(&view, count, &packet->from);

			refuse(p, &view, &asks, SYNOD_HALTED, now_ns);
		}
	}
	rte_pktmbuf_free(packet->mbuf);
}

int synod_ingress_poll_halted(struct synod_pipeline *p, uint64_t now_ns)
{
	struct synod_packet packets[SYNOD_PIPELINE_BURST];
	const struct synod_net_port *net = &p->config.net;
	uint32_t n = net->receive(net->context, packets, SYNOD_PIPELINE_BURST);

	synod_refuse_open(p, SYNOD_HALTED, now_ns);
	for (uint32_t i = 0; i < n; i++)
		on_packet_halted(p, &packets[i], now_ns);
	return (int)n;
}

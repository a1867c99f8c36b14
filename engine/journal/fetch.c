/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot on its way, piece after piece: see fetch.h. */
#include "engine/journal/fetch.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#include <string.h>

/* Silences, in retransmission times: another one who offers is taken; all is given up. */
enum {
	OTHER_AFTER = 4,
	GIVE_UP_AFTER = 64,
};

/* Between two questions, and at least half of it between two answers. */
static uint64_t pace_ns(uint64_t retransmit_ns)
{
	synod_assert_cmp(retransmit_ns, >, 0);
	return retransmit_ns / 64;
}

void synod_fetch_init(struct synod_fetch *fetch, uint64_t retransmit_ns, uint64_t size_max)
{
	synod_assert(retransmit_ns > 0);
	memset(fetch, 0, sizeof(*fetch));
	fetch->retransmit_ns = retransmit_ns;
	fetch->size_max = size_max;
}

void synod_fetch_end(struct synod_fetch *fetch)
{
	synod_assert_cmp(fetch->received, <=, fetch->image.total);
	synod_fetch_init(fetch, fetch->retransmit_ns, fetch->size_max);
	synod_assert(!synod_fetch_is_receiving(fetch));
}

static int is_same(const struct synod_fetch_image *one, const struct synod_fetch_image *other)
{
	return one->slot == other->slot && one->total == other->total &&
	       one->checksum == other->checksum;
}

/* 1: a snapshot that begins with this piece is wanted in place of what is being received. */
static int is_wanted(const struct synod_fetch *fetch, const struct synod_fetch_piece *piece,
		     uint64_t chosen_through, uint64_t now_ns)
{
	if (piece->offset != 0 || piece->of.slot <= chosen_through ||
	    piece->of.total > fetch->size_max)
		return 0;
	if (!synod_fetch_is_receiving(fetch))
		return 1;
	synod_assert_cmp(now_ns, >=, fetch->heard_ns);
	synod_assert(!fetch->whole && fetch->from != 0);
	/* Its source has a newer one by now, and so this one no longer; or is silent. */
	if (piece->from == fetch->from)
		return piece->of.slot >= fetch->image.slot;
	return now_ns - fetch->heard_ns >= OTHER_AFTER * fetch->retransmit_ns;
}

static void begin(struct synod_fetch *fetch, const struct synod_fetch_piece *piece, uint64_t now_ns)
{
	synod_assert(piece->offset == 0 && piece->of.slot != 0);
	synod_fetch_end(fetch);
	fetch->image = piece->of;
	fetch->from = piece->from;
	fetch->piece_size = piece->size;
	synod_assert(piece->size > 0 && piece->size <= SYNOD_PIECE_SIZE_MAX);
	fetch->heard_ns = now_ns;
}

enum synod_fetch_verdict synod_fetch_take(struct synod_fetch *fetch,
					  const struct synod_fetch_piece *piece,
					  uint64_t chosen_through, uint64_t now_ns)
{
	int same = is_same(&fetch->image, &piece->of);

	synod_assert(piece->of.slot != 0 && piece->size != 0); /* synod_wire_piece_read */
	synod_assert(piece->offset < piece->of.total && piece->from <= SYNOD_REPLICAS_MAX);

	if (fetch->whole)
		return SYNOD_FETCH_DROPPED;
	if (!same && !is_wanted(fetch, piece, chosen_through, now_ns))
		return SYNOD_FETCH_DROPPED;
	if (!same)
		begin(fetch, piece, now_ns);
	if (now_ns - fetch->heard_ns >= OTHER_AFTER * fetch->retransmit_ns)
		fetch->from = piece->from; /* the same snapshot, of one who answers */
	if (piece->from == fetch->from)
		fetch->heard_ns = now_ns;
	if (piece->offset != fetch->received) {
		/* The end of a burst that has a hole: nothing more is to be waited for. */
		if (piece->offset + piece->size == fetch->asked_for)
			fetch->asked_for = fetch->received;
		return SYNOD_FETCH_DROPPED;
	}
	synod_assert_cmp(piece->size, <=, fetch->image.total - fetch->received);
	fetch->crc = fetch->received ? synod_crc32c_more(fetch->crc, piece->bytes, piece->size)
				     : synod_crc32c(piece->bytes, piece->size);
	fetch->received += piece->size;
	synod_assert_cmp(fetch->received, <=, fetch->image.total);
	if (fetch->received < fetch->image.total)
		return SYNOD_FETCH_TAKEN;
	if (fetch->crc != fetch->image.checksum) {
		synod_fetch_end(fetch);
		return SYNOD_FETCH_WRONG;
	}
	fetch->whole = 1;
	synod_assert(fetch->received == fetch->image.total);
	return SYNOD_FETCH_WHOLE;
}

int synod_fetch_poll(struct synod_fetch *fetch, uint64_t chosen_through, uint64_t now_ns,
		     struct synod_fetch_question *question)
{
	int answered;

	if (!synod_fetch_is_receiving(fetch) || fetch->whole)
		return 0;
	synod_assert_cmp(fetch->received, <, fetch->image.total);
	synod_assert(fetch->piece_size != 0 && fetch->from != 0);
	if (fetch->image.slot <= chosen_through || /* learned meanwhile, slot by slot */
	    now_ns - fetch->heard_ns >= GIVE_UP_AFTER * fetch->retransmit_ns) {
		synod_fetch_end(fetch);
		return 0;
	}
	answered = fetch->received >= fetch->asked_for;
	if (fetch->asked_ns && now_ns - fetch->asked_ns < (answered ? pace_ns(fetch->retransmit_ns)
								    : fetch->retransmit_ns))
		return 0;
	*question = (struct synod_fetch_question){ .to = fetch->from,
						   .slot = fetch->image.slot,
						   .offset = fetch->received };
	fetch->asked_ns = now_ns;
	fetch->asked_for = fetch->received + (uint64_t)SYNOD_PIECE_BURST * fetch->piece_size;
	if (fetch->asked_for > fetch->image.total)
		fetch->asked_for = fetch->image.total;
	synod_assert_cmp(fetch->asked_for, >, fetch->received);
	return 1;
}

void synod_fetch_server_init(struct synod_fetch_server *server, uint64_t retransmit_ns)
{
	synod_assert(retransmit_ns > 0);
	memset(server, 0, sizeof(*server));
	server->retransmit_ns = retransmit_ns;
}

void synod_fetch_server_offer(struct synod_fetch_server *server, uint32_t to, uint64_t now_ns)
{
	synod_assert(to >= 1 && to <= SYNOD_REPLICAS_MAX);
	/* A question for slots asks for many, and each that is gone comes here. */
	if (now_ns < server->offer_ns_next[to] || server->waiting[to].pieces)
		return;
	server->offer_ns_next[to] = now_ns + server->retransmit_ns / 2;
	server->waiting[to] = (struct synod_fetch_waiting){ .pieces = 1 };
	server->askers |= 1u << to;
}

void synod_fetch_server_ask(struct synod_fetch_server *server,
			    const struct synod_fetch_question *question, uint64_t now_ns)
{
	synod_assert(question->to >= 1 && question->to <= SYNOD_REPLICAS_MAX);
	server->waiting[question->to] = (struct synod_fetch_waiting){ .slot = question->slot,
								      .offset = question->offset,
								      .pieces = SYNOD_PIECE_BURST };
	server->askers |= 1u << question->to;
	/* Who asks needs no offer. */
	server->offer_ns_next[question->to] = now_ns + 2 * server->retransmit_ns;
}

/* The next who waits, in turn: its burst begins. Of a snapshot that has gone, with the present. */
static void start(struct synod_fetch_server *server, uint64_t slot, uint64_t total, uint64_t now_ns)
{
	for (uint32_t i = 0; i < SYNOD_REPLICAS_MAX && server->left == 0; i++) {
		struct synod_fetch_waiting *waiting;

		server->to = server->to % SYNOD_REPLICAS_MAX + 1;
		waiting = &server->waiting[server->to];
		if (!waiting->pieces)
			continue;
		server->left = waiting->slot == slot ? waiting->pieces : 1;
		server->offset = waiting->slot == slot ? waiting->offset : 0;
		waiting->pieces = 0;
		server->askers &= ~(1u << server->to);
		if (server->offset >= total)
			server->left = 0;
	}
	synod_assert_cmp(server->left, <=, (uint32_t)SYNOD_PIECE_BURST);
	synod_assert_implies(server->left != 0, server->offset < total);
	if (server->left)
		server->burst_ns_next = now_ns + pace_ns(server->retransmit_ns) / 2;
	server->slot = slot;
}

int synod_fetch_server_next(struct synod_fetch_server *server,
			    const struct synod_fetch_source *source, uint64_t now_ns,
			    struct synod_fetch_piece *piece)
{
	uint64_t left;

	if (server->slot != source->slot)
		server->left = 0; /* it was replaced in the middle of a burst */
	if (server->left == 0 && now_ns >= server->burst_ns_next && source->slot)
		start(server, source->slot, source->total, now_ns);
	if (server->left == 0 || server->offset >= source->total)
		return 0;
	synod_assert(source->piece_size > 0 && source->piece_size <= SYNOD_PIECE_SIZE_MAX);
	left = source->total - server->offset;
	*piece = (struct synod_fetch_piece){
		.of = { .slot = source->slot, .total = source->total },
		.offset = server->offset,
		.size = left < source->piece_size ? (uint32_t)left : source->piece_size,
		.from = server->to,
	};
	server->offset += piece->size;
	synod_assert(piece->size > 0 && server->offset <= source->total);
	server->left = server->offset < source->total ? server->left - 1 : 0;
	return 1;
}

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
	/* And the share of one after which a later piece means that an earlier one is lost. */
	HOLE_SHARE = 4,
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

void synod_fetch_resume(struct synod_fetch *fetch, const struct synod_fetch_image *image,
			uint64_t received, uint32_t crc)
{
	synod_assert(!synod_fetch_is_receiving(fetch) && image->slot != 0);
	synod_assert(received > 0 && received < image->total);
	synod_assert_cmp(image->total, <=, fetch->size_max);
	fetch->image = *image;
	fetch->received = received;
	fetch->asked_for = received;
	fetch->crc = crc;
	synod_assert(synod_fetch_is_waiting(fetch));
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
	synod_assert(!fetch->whole && piece->from != 0);
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
	fetch->progress_ns = now_ns;
}

/* Half of it is here: whoever offers it, by its beginning, is asked for the rest. */
static enum synod_fetch_verdict take_up(struct synod_fetch *fetch,
					const struct synod_fetch_piece *piece, uint64_t now_ns)
{
	synod_assert(synod_fetch_is_waiting(fetch) && fetch->received > 0);
	synod_assert(piece->size <= SYNOD_PIECE_SIZE_MAX && piece->from != 0);
	if (piece->offset != 0)
		return SYNOD_FETCH_DROPPED;
	fetch->from = piece->from;
	fetch->piece_size = piece->size;
	fetch->heard_ns = now_ns;
	fetch->progress_ns = now_ns;
	return SYNOD_FETCH_RESUMED;
}

/* What was asked for beyond what is there is taken for lost: it is asked for again. */
static void go_back(struct synod_fetch *fetch, uint64_t now_ns)
{
	synod_assert_cmp(fetch->received, <=, fetch->asked_for);
	synod_assert_cmp(fetch->progress_ns, <=, now_ns);
	fetch->asked_for = fetch->received;
	fetch->progress_ns = now_ns;
}

enum synod_fetch_verdict synod_fetch_take(struct synod_fetch *fetch,
					  const struct synod_fetch_piece *piece,
					  uint64_t chosen_through, uint64_t now_ns)
{
	int same = synod_fetch_image_same(&fetch->image, &piece->of);

	synod_assert(piece->of.slot != 0 && piece->size != 0); /* synod_wire_piece_read */
	synod_assert(piece->offset < piece->of.total && piece->from <= SYNOD_REPLICAS_MAX);

	if (fetch->whole)
		return SYNOD_FETCH_DROPPED;
	if (synod_fetch_is_waiting(fetch) && same)
		return take_up(fetch, piece, now_ns);
	if (synod_fetch_is_waiting(fetch) && !fetch->heard_ns)
		fetch->heard_ns = now_ns; /* others' are taken after a while from now on */
	if (!same && !is_wanted(fetch, piece, chosen_through, now_ns))
		return SYNOD_FETCH_DROPPED;
	if (!same)
		begin(fetch, piece, now_ns);
	if (now_ns - fetch->heard_ns >= OTHER_AFTER * fetch->retransmit_ns)
		fetch->from = piece->from; /* the same snapshot, of one who answers */
	if (piece->from == fetch->from)
		fetch->heard_ns = now_ns;
	if (piece->offset != fetch->received) {
		/* One before it is lost, or very late. */
		if (piece->offset > fetch->received && fetch->asked_for > fetch->received &&
		    now_ns - fetch->progress_ns >= fetch->retransmit_ns / HOLE_SHARE)
			go_back(fetch, now_ns);
		return SYNOD_FETCH_DROPPED;
	}
	synod_assert_cmp(piece->size, <=, fetch->image.total - fetch->received);
	fetch->crc = fetch->received ? synod_crc32c_more(fetch->crc, piece->bytes, piece->size)
				     : synod_crc32c(piece->bytes, piece->size);
	fetch->received += piece->size;
	fetch->progress_ns = now_ns;
	if (fetch->asked_for < fetch->received)
		fetch->asked_for = fetch->received;
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
	uint64_t size = (uint64_t)SYNOD_PIECE_BURST * fetch->piece_size;

	if (!synod_fetch_is_receiving(fetch) || fetch->whole)
		return 0;
	synod_assert_cmp(fetch->received, <, fetch->image.total);
	if (fetch->image.slot <= chosen_through) { /* learned meanwhile, slot by slot */
		synod_fetch_end(fetch);
		return 0;
	}
	if (synod_fetch_is_waiting(fetch))
		return 0; /* as long as nothing else wants the buffer */
	synod_assert(fetch->piece_size != 0);
	if (now_ns - fetch->heard_ns >= GIVE_UP_AFTER * fetch->retransmit_ns) {
		synod_fetch_end(fetch);
		return 0;
	}
	if (fetch->asked_for > fetch->received &&
	    now_ns - fetch->progress_ns >= fetch->retransmit_ns)
		go_back(fetch, now_ns);
	if (fetch->asked_ns && now_ns - fetch->asked_ns < pace_ns(fetch->retransmit_ns))
		return 0;
	if (fetch->asked_for == fetch->image.total ||
	    fetch->asked_for - fetch->received + size >
		    (uint64_t)SYNOD_PIECE_WINDOW * fetch->piece_size)
		return 0;
	*question = (struct synod_fetch_question){ .to = fetch->from,
						   .slot = fetch->image.slot,
						   .offset = fetch->asked_for };
	fetch->asked_ns = now_ns;
	fetch->asked_for += size;
	if (fetch->asked_for > fetch->image.total)
		fetch->asked_for = fetch->image.total;
	synod_assert_cmp(fetch->asked_for, >, fetch->received);
	return 1;
}

void synod_fetch_server_init(struct synod_fetch_server *server, uint64_t retransmit_ns,
			     uint32_t piece_size)
{
	synod_assert(retransmit_ns > 0);
	synod_assert(piece_size > 0 && piece_size <= SYNOD_PIECE_SIZE_MAX);
	memset(server, 0, sizeof(*server));
	server->piece_size = piece_size;
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

int synod_fetch_server_is_asked(const struct synod_fetch_server *server, uint64_t now_ns)
{
	synod_assert(server->retransmit_ns > 0);
	synod_assert_cmp(server->asked_ns, <=, now_ns);
	return server->asked_ns && now_ns - server->asked_ns < OTHER_AFTER * server->retransmit_ns;
}

void synod_fetch_server_ask(struct synod_fetch_server *server,
			    const struct synod_fetch_question *question, uint64_t now_ns)
{
	struct synod_fetch_waiting *waiting = &server->waiting[question->to];

	synod_assert(question->to >= 1 && question->to <= SYNOD_REPLICAS_MAX);
	if (waiting->pieces && waiting->slot == question->slot &&
	    waiting->end == question->offset && waiting->pieces < SYNOD_PIECE_WINDOW)
		waiting->pieces += SYNOD_PIECE_BURST; /* it goes on where the last one ended */
	else
		*waiting = (struct synod_fetch_waiting){ .slot = question->slot,
							 .offset = question->offset,
							 .pieces = SYNOD_PIECE_BURST };
	waiting->end = question->offset + SYNOD_PIECE_BURST * (uint64_t)server->piece_size;
	server->asked_ns = now_ns;
	server->askers |= 1u << question->to;
	/* Who asks needs no offer. */
	server->offer_ns_next[question->to] = now_ns + 2 * server->retransmit_ns;
}

/* A burst of what it waits for. Of a snapshot that has gone: the beginning of the present one. */
static void take_from(struct synod_fetch_server *server, struct synod_fetch_waiting *waiting,
		      const struct synod_fetch_source *source)
{
	synod_assert(waiting->pieces > 0 && server->left == 0);
	server->left = 1;
	server->offset = 0;
	if (waiting->slot != source->slot) {
		waiting->pieces = 0;
		return;
	}
	if (waiting->offset >= source->total) {
		waiting->pieces = server->left = 0;
		return;
	}
	if (waiting->pieces > 1)
		server->left = SYNOD_PIECE_BURST;
	server->offset = waiting->offset;
	waiting->offset += (uint64_t)server->left * server->piece_size;
	waiting->pieces -= server->left;
}

/* The next who waits, in turn: its burst begins. */
static void start(struct synod_fetch_server *server, const struct synod_fetch_source *source,
		  uint64_t now_ns)
{
	for (uint32_t i = 0; i < SYNOD_REPLICAS_MAX && server->left == 0; i++) {
		struct synod_fetch_waiting *waiting;

		server->to = server->to % SYNOD_REPLICAS_MAX + 1;
		waiting = &server->waiting[server->to];
		if (!waiting->pieces)
			continue;
		take_from(server, waiting, source);
		if (!waiting->pieces)
			server->askers &= ~(1u << server->to);
	}
	synod_assert_cmp(server->left, <=, (uint32_t)SYNOD_PIECE_BURST);
	synod_assert_implies(server->left != 0, server->offset < source->total);
	if (server->left)
		server->burst_ns_next = now_ns + pace_ns(server->retransmit_ns) / 2;
	server->slot = source->slot;
}

int synod_fetch_server_next(struct synod_fetch_server *server,
			    const struct synod_fetch_source *source, uint64_t now_ns,
			    struct synod_fetch_piece *piece)
{
	uint64_t left;

	if (server->slot != source->slot)
		server->left = 0; /* it was replaced in the middle of a burst */
	if (server->left == 0 && now_ns >= server->burst_ns_next && source->slot)
		start(server, source, now_ns);
	if (server->left == 0 || server->offset >= source->total)
		return 0;
	left = source->total - server->offset;
	*piece = (struct synod_fetch_piece){
		.of = { .slot = source->slot, .total = source->total },
		.offset = server->offset,
		.size = left < server->piece_size ? (uint32_t)left : server->piece_size,
		.from = server->to,
	};
	server->offset += piece->size;
	synod_assert(piece->size > 0 && server->offset <= source->total);
	server->left = server->offset < source->total ? server->left - 1 : 0;
	return 1;
}

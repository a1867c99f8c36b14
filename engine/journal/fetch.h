/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a snapshot travels: pure, both sides. Who lacks slots that nobody's log holds any more is
 * offered a snapshot (its first piece), and asks for the rest, piece after piece in order:
 *
 *     A (lacks slot 7)                                B (its log begins at slot 900)
 *        NEED 7            ───────────────────────►   no such record any more
 *        offered: takes it ◄───────────────────────   SNAPSHOT of slot 1200, offset 0
 *        FETCH 1200 from 8192  ───────────────────►
 *                          ◄───────────────────────   SNAPSHOT offset 8192, 16384, 24576, 32768
 *        FETCH 1200 from 40960 ───────────────────►   ...
 *
 * The asker asks on, up to SYNOD_PIECE_WINDOW pieces ahead of what it has, and goes back to that
 * after a silence, so any piece may be lost, doubled or late. It stays with one snapshot (slot,
 * size and checksum), whoever sends it, until its source has another or is silent for long. There
 * is a pace, and both sides keep it:
 * SYNOD_PIECE_BURST pieces each sixty-fourth of the retransmission time, and whoever serves insists
 * on twice that for all askers together.
 *
 * The pieces go to memory, in order; what is whole of them is also put away on the disk (writer.h),
 * and a receiver that was restarted goes on behind it (resume), once somebody offers the same
 * snapshot: it asks nobody by itself, for only the core knows whether it still lacks slots. The
 * caller copies bytes, sends and reads. Who may call: one thread.
 */
#ifndef SYNOD_JOURNAL_FETCH_H
#define SYNOD_JOURNAL_FETCH_H

#include "engine/base/limits.h"

#include <stdint.h>

/* Which snapshot. Two are the same if all of it is equal. */
struct synod_fetch_image {
	uint64_t slot;
	uint64_t total; /* bytes, a multiple of 8 */
	uint32_t checksum;
	uint32_t reserved;
};

static inline int synod_fetch_image_same(const struct synod_fetch_image *one,
					 const struct synod_fetch_image *other)
{
	return one->slot == other->slot && one->total == other->total &&
	       one->checksum == other->checksum;
}

struct synod_fetch_piece {
	struct synod_fetch_image of;
	uint64_t offset;
	uint32_t size; /* within the whole: synod_wire_piece_read */
	uint32_t from; /* replica */
	const void *bytes;
};

/* What to ask, and whom. */
struct synod_fetch_question {
	uint32_t to;
	uint32_t reserved;
	uint64_t slot;
	uint64_t offset;
};

enum synod_fetch_verdict {
	SYNOD_FETCH_DROPPED, /* not wanted, not the next, or of another snapshot */
	SYNOD_FETCH_TAKEN,   /* its bytes belong at its offset */
	SYNOD_FETCH_WHOLE,   /* that too, and now all are there and the checksum is right */
	SYNOD_FETCH_WRONG,   /* all are there and the checksum is not: begin again */
	SYNOD_FETCH_RESUMED, /* offered again: what was here goes on; these bytes are not needed */
};

/* The receiving side. Zeroed but for the first two members. */
struct synod_fetch {
	uint64_t retransmit_ns;
	uint64_t size_max;		/* bytes of the largest that is wanted */
	struct synod_fetch_image image; /* slot 0: none is being received */
	uint64_t received;		/* bytes from the beginning on */
	uint64_t asked_for;		/* the questions' pieces end here */
	uint64_t progress_ns;		/* `received` grew, or what is beyond was given up */
	uint64_t asked_ns;		/* when; 0: nothing was asked yet */
	uint64_t heard_ns;		/* last piece of this snapshot; waiting: first of another */
	uint32_t from;			/* whom we ask; 0: nobody, it waits to be offered again */
	uint32_t crc;			/* of what was received */
	uint32_t piece_size;		/* of a full one */
	uint32_t whole;			/* 1: until synod_fetch_end nothing more is taken */
};

void synod_fetch_init(struct synod_fetch *fetch, uint64_t retransmit_ns, uint64_t size_max);

/*
 * After init: the first `received` bytes of a snapshot have been there since an earlier life, and
 * crc is their CRC32C. Whoever offers the same goes on with it; another one is taken instead after
 * some patience, in which somebody else may have the same.
 */
void synod_fetch_resume(struct synod_fetch *fetch, const struct synod_fetch_image *image,
			uint64_t received, uint32_t crc);

/*
 * A piece has come. chosen_through: nothing is wanted that is not beyond it. The bytes of a piece
 * that is TAKEN or makes it WHOLE are copied by the caller.
 */
enum synod_fetch_verdict synod_fetch_take(struct synod_fetch *fetch,
					  const struct synod_fetch_piece *piece,
					  uint64_t chosen_through, uint64_t now_ns);

/*
 * 1 and the question, if one is due. Gives up what is no longer wanted, or was silent for long:
 * whoever wants it is offered it again.
 */
int synod_fetch_poll(struct synod_fetch *fetch, uint64_t chosen_through, uint64_t now_ns,
		     struct synod_fetch_question *question);

/* Nothing is being received (any more): the buffer may be used for something else. */
void synod_fetch_end(struct synod_fetch *fetch);

static inline int synod_fetch_is_receiving(const struct synod_fetch *fetch)
{
	return fetch->image.slot != 0;
}

/* 1: half a snapshot is here, and nobody has offered it in this life. It may be given up. */
static inline int synod_fetch_is_waiting(const struct synod_fetch *fetch)
{
	return fetch->image.slot != 0 && fetch->from == 0;
}

/* The serving side: what each peer waits for, and the burst under way. */
struct synod_fetch_waiting {
	uint64_t slot; /* of the snapshot it wants; 0: it is offered the present one */
	uint64_t offset;
	uint64_t end;	 /* of what it asked for */
	uint32_t pieces; /* 0: it waits for nothing */
	uint32_t reserved;
};

struct synod_fetch_server {
	uint64_t retransmit_ns;
	uint64_t burst_ns_next; /* not before this for anyone */
	uint64_t offer_ns_next[SYNOD_REPLICAS_MAX + 1];
	struct synod_fetch_waiting waiting[SYNOD_REPLICAS_MAX + 1];
	uint64_t slot;
	uint64_t offset;
	uint32_t to;
	uint32_t left;	     /* pieces; 0: no burst is under way */
	uint32_t askers;     /* bit of each peer that waits */
	uint32_t piece_size; /* bytes of a full piece */
	uint64_t asked_ns;   /* the last question of anybody */
};

/* The snapshot that there is now; slot 0: none. */
struct synod_fetch_source {
	uint64_t slot;
	uint64_t total;
};

static inline int synod_fetch_server_is_idle(const struct synod_fetch_server *server)
{
	return server->left == 0 && server->askers == 0;
}

void synod_fetch_server_init(struct synod_fetch_server *server, uint64_t retransmit_ns,
			     uint32_t piece_size);

/* 1: somebody asked lately, and had better find the same snapshot for a while. */
int synod_fetch_server_is_asked(const struct synod_fetch_server *server, uint64_t now_ns);

/* A peer lacks a slot that is gone here: it is offered the present snapshot, now and then. */
void synod_fetch_server_offer(struct synod_fetch_server *server, uint32_t to, uint64_t now_ns);

/*
 * A peer's question (to: the peer). It waits for its turn; one that goes on where the last one
 * ended is added to it, any other takes its place.
 */
void synod_fetch_server_ask(struct synod_fetch_server *server,
			    const struct synod_fetch_question *question, uint64_t now_ns);

/*
 * The next piece to be read and sent, if it is time: 1, and the piece without bytes or checksum,
 * `from` being whom it goes to.
 */
int synod_fetch_server_next(struct synod_fetch_server *server,
			    const struct synod_fetch_source *source, uint64_t now_ns,
			    struct synod_fetch_piece *piece);

#endif

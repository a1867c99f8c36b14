/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order of a journal's writes, as a value: which bytes go to the disk when, and what is durable
 * once they are there. Pure: it names writes, whoever owns a disk (io_uring, a simulation) carries
 * them out and says which have completed; nothing here can fail, and a write that failed is the end
 * of whoever owns it.
 *
 *     record / promise   facts, in ticket order
 *     advance            names the writes that may start now, in ios[0, ios_count)
 *     done               one of them is on stable media, in any order
 *
 *   groups:  append to the open group -> close when full (or by advance, when the disk has a free
 *            place) -> start in order of numbers -> completions in any order -> prefix (prefix.h)
 *
 * A promise closes the open group, so that tickets stay in the order of the prefix, and waits for
 * the superblock write that carries it. Superblock writes go one at a time, in two phases:
 *
 *   IDLE --dirty--> PRIMARY (the pair of this sequence) --both--> durable
 *                      |  dirty again: next sequence, other pair, PRIMARY
 *                      +--> MIRROR (the other pair, same content) --both--> IDLE
 *
 * The pair that holds the previous promise is not touched before the new one is durable. Promises
 * that come while a write is under way share the next one.
 */
#ifndef SYNOD_JOURNAL_WRITER_H
#define SYNOD_JOURNAL_WRITER_H

#include "engine/journal/index.h"
#include "engine/journal/plan.h"
#include "engine/journal/prefix.h"
#include "engine/journal/recovery.h"

enum {
	SYNOD_WRITER_PROMISES = 16, /* promises that wait for the superblock; a power of two */
	SYNOD_WRITER_QUEUE = 16,    /* of groups; a power of two */
	SYNOD_WRITER_IOS = SYNOD_JOURNAL_INFLIGHT + SYNOD_SUPERBLOCK_COPIES + 1,

	SYNOD_JOURNAL_MARKER_MS = 50, /* quiet time after which a marker group is written */

	/* What a write is of. */
	SYNOD_WRITER_GROUP = 1,	     /* index: of the buffer */
	SYNOD_WRITER_SUPERBLOCK = 2, /* index: of the copy */
	SYNOD_WRITER_SNAPSHOT = 3,   /* index: 0; of a partial one too */
};

_Static_assert((SYNOD_WRITER_PROMISES & (SYNOD_WRITER_PROMISES - 1)) == 0, "masked index");
_Static_assert((int)SYNOD_JOURNAL_BUFFERS < (int)SYNOD_WRITER_QUEUE, "every buffer can wait");
_Static_assert(SYNOD_JOURNAL_BUFFERS + SYNOD_WRITER_PROMISES + 1 <= SYNOD_PREFIX_ITEMS,
	       "an item for all that can wait");

/* The caller's memory: buffers of groups, the four superblocks, a piece of a snapshot. Aligned to
 * blocks. */
#define SYNOD_WRITER_GROUPS_SIZE      ((size_t)SYNOD_JOURNAL_BUFFERS * SYNOD_GROUP_SIZE_MAX)
#define SYNOD_WRITER_SUPERBLOCKS_SIZE ((size_t)SYNOD_SUPERBLOCK_COPIES * SYNOD_BLOCK_SIZE)
#define SYNOD_WRITER_SNAPSHOT_SIZE    ((size_t)SYNOD_GROUP_SIZE_MAX)
#define SYNOD_WRITER_MEMORY_SIZE \
	(SYNOD_WRITER_GROUPS_SIZE + SYNOD_WRITER_SUPERBLOCKS_SIZE + SYNOD_WRITER_SNAPSHOT_SIZE)

/* A write that may start. Its bytes stay as they are until it is done. */
struct synod_writer_io {
	const void *bytes;
	uint64_t offset;
	uint32_t size;
	uint32_t kind;
	uint32_t index;
};

/* The place in memory of one group. */
struct synod_writer_buffer {
	struct synod_plan_group group;
	uint64_t position; /* in the prefix, from close */
	uint64_t ticket_last;
	uint64_t chosen_through; /* when its last record was given */
	int used;
};

struct synod_writer_superblock {
	struct synod_format_superblock want;  /* what the next write will say */
	struct synod_format_superblock *copy; /* the four, aligned */
	uint64_t fence_durable;
	uint64_t sequence_started;
	uint64_t sequence_durable;
	uint64_t sequence_settled; /* both pairs hold this one or a later one */
	uint32_t pending;	   /* writes of this phase in flight */
	enum {
		SYNOD_WRITER_IDLE = 0,
		SYNOD_WRITER_PRIMARY,
		SYNOD_WRITER_MIRROR
	} phase;
	int dirty;

	/* Promises, first in first out, free-running and masked. */
	struct {
		uint64_t position;
		uint64_t sequence; /* durable when this sequence is */
	} promises[SYNOD_WRITER_PROMISES];
	uint64_t promises_begin;
	uint64_t promises_end;
};

/*
 * A snapshot on its way to the area that the durable superblock does not name:
 *
 *   IDLE --snapshot--> BODY (piece by piece) --durable--> COMMIT (superblock: it, the new head)
 *    ^                                                                         | both pairs
 *    +-------------------------------------------------------------------------+
 *
 * Only then may what stood before the head be written over: with one pair alone, damage to it would
 * bring the old head back. Where room is short and votes for slots beyond the snapshot hold the
 * head that later votes took the place of, COMMIT comes without a new snapshot: the head alone.
 */
struct synod_writer_snapshot {
	enum {
		SYNOD_WRITER_SNAPSHOT_IDLE = 0,
		SYNOD_WRITER_SNAPSHOT_BODY,
		SYNOD_WRITER_SNAPSHOT_COMMIT
	} phase;
	uint32_t pending;	 /* bytes of the piece in flight, of this or of a partial one */
	uint32_t checksum;	 /* of the bytes so far */
	uint64_t pending_offset; /* and where it goes to */
	uint64_t slot;
	const uint8_t *image; /* the caller's */
	uint64_t size;
	uint64_t written;
	uint64_t area;	       /* file offset */
	uint64_t sequence;     /* COMMIT: of the superblock that names it */
	uint64_t slot_settled; /* of the last that is done, or was found at open; 0: none */
	uint64_t area_settled;
	uint64_t size_settled;
	uint32_t checksum_settled;
	uint32_t foreign;     /* 1: the one under way is a peer's */
	uint64_t tail_before; /* where the log ended when the last one was begun */
	uint64_t trim_tried;  /* durable group, when a head was last looked for without one */
};

/*
 * A snapshot that is being received, put away in the same area as its bytes come, so that a restart
 * goes on with it. It is a copy that may be lost at any time: a snapshot that is written takes the
 * area, and what the superblock says of it counts only as far as the bytes prove it (format.h).
 */
struct synod_writer_partial {
	struct synod_fetch_image of; /* slot 0: none */
	const uint8_t *image;	     /* the caller's */
	uint64_t received;	     /* bytes that are there */
	uint64_t written;	     /* and those on stable media */
	uint64_t noted;		     /* and those that the superblock says, or is to say */
	uint32_t crc;		     /* of those written */
	uint32_t crc_pending;	     /* and of those and the piece in flight */
	uint32_t pending;	     /* bytes of that; 0: none, or it is none of these any more */
	uint32_t inflight;	     /* 1: the piece under way is of a partial one */
};

/* How finely a partial snapshot is put away; 0: as a journal does. A simulation's are smaller. */
struct synod_writer_steps {
	uint32_t piece; /* bytes of a write: whole blocks, at most SYNOD_WRITER_SNAPSHOT_SIZE */
	uint32_t note;	/* bytes after which the superblock says so: SYNOD_PARTIAL_STEP */
};

struct synod_writer {
	uint32_t groups_inflight;
	int open_buffer;		 /* index, or -1 */
	uint64_t queue_begin, queue_end; /* closed groups, not started */
	uint8_t queue[SYNOD_WRITER_QUEUE];
	struct synod_prefix prefix;
	struct synod_plan plan;
	uint64_t ticket_given;	 /* last ticket taken */
	uint64_t chosen_through; /* highest hint so far */
	uint64_t group_marked;	 /* last group that a written header calls durable */
	uint64_t group_records;	 /* last group that holds records */
	uint64_t quiet_since_ns; /* 0: not known yet */
	uint32_t ios_count;	 /* since the last advance */
	struct synod_writer_io ios[SYNOD_WRITER_IOS];
	struct synod_writer_buffer buffers[SYNOD_JOURNAL_BUFFERS];
	struct synod_writer_superblock superblock;
	struct synod_writer_snapshot snapshot;
	struct synod_writer_partial partial;
	struct synod_heads heads;
	uint64_t limit; /* virtual offset: nothing is written beyond it */

	/* Set at init. */
	struct synod_index *index;
	uint8_t *memory; /* SYNOD_WRITER_MEMORY_SIZE */
	uint64_t fence_step;
	struct synod_writer_steps steps;
};

/* Where a writer goes on: what was found at open. */
struct synod_writer_start {
	const struct synod_format_superblock *opened;
	const struct synod_journal_recovery *recovery; /* whole */
	const struct synod_plan *plan;		       /* started behind the last group */
	struct synod_index *index;
	uint8_t *memory;
	uint64_t fence_step; /* how far the fence is kept ahead: SYNOD_FORMAT_FENCE_STEP */
	struct synod_writer_steps steps;
};

void synod_writer_init(struct synod_writer *writer, const struct synod_writer_start *start);

/*
 * From here on this is a new life. Before anything is written behind it the superblock must say so:
 * writes pair synod_superblock_pair(want.sequence) of superblock.copy, then the other, each durable
 * before the next; then says that life has begun.
 */
void synod_writer_begin_life(struct synod_writer *writer,
			     const struct synod_journal_recovery *recovery);
void synod_writer_life_begun(struct synod_writer *writer);

/*
 * One fact more, numbered by tickets without gaps. chosen_through: slots known chosen whose records
 * were given before. 0, -ENOBUFS: no place now, come again after done; -ENOSPC: the log is full.
 */
int synod_writer_record(struct synod_writer *writer, uint64_t ticket,
			const struct synod_wire_entry *entry, const void *body,
			uint64_t chosen_through) __attribute__((warn_unused_result));
int synod_writer_promise(struct synod_writer *writer, uint64_t ticket, uint64_t ballot,
			 uint64_t chosen_through) __attribute__((warn_unused_result));
/* This replica votes from then on, in that life (format.h, known_life): it joins no longer. */
int synod_writer_stand(struct synod_writer *writer, uint64_t ticket, uint64_t life,
		       uint64_t chosen_through) __attribute__((warn_unused_result));

/*
 * What is known of another replica, not less than before. It is durable once remembered says the
 * number that is returned, or a higher one.
 */
uint64_t synod_writer_remember(struct synod_writer *writer, uint32_t replica, uint64_t incarnation,
			       uint64_t life);
uint64_t synod_writer_remembered(const struct synod_writer *writer);

/* Names the writes that may start now: all of ios must be started before the next call. */
void synod_writer_advance(struct synod_writer *writer, uint64_t now_ns);

/* A write named by advance is on stable media, whole. */
void synod_writer_done(struct synod_writer *writer, uint32_t kind, uint32_t index);

/* When advance has to be called though nothing completes: a marker is due. UINT64_MAX: never. */
uint64_t synod_writer_deadline_ns(const struct synod_writer *writer);

/*
 * Begins to write a snapshot of the state after that slot, beyond the last one's. The bytes stay as
 * they are until it is done. 0; -EBUSY: another is under way; -EFBIG: more than an area holds, or
 * there are no areas.
 */
int synod_writer_snapshot(struct synod_writer *writer, uint64_t slot, const void *image,
			  uint64_t size) __attribute__((warn_unused_result));
/*
 * The same of a peer's. From the superblock on that names it no slot up to it has a record: a vote
 * that stands in the log may be for another value than was chosen and is in the snapshot.
 */
int synod_writer_snapshot_foreign(struct synod_writer *writer, uint64_t slot, const void *image,
				  uint64_t size) __attribute__((warn_unused_result));
static inline int synod_writer_snapshot_busy(const struct synod_writer *writer)
{
	return writer->snapshot.phase != SYNOD_WRITER_SNAPSHOT_IDLE;
}
/* Is it time: is a quarter of the log, or of the index, in use? */
int synod_writer_snapshot_wanted(const struct synod_writer *writer);

/*
 * A snapshot is being received: its first bytes, so many, fewer than all, stand at image. They
 * stay as they are until it is forgotten, or is given to synod_writer_snapshot, which goes on
 * behind what is written of it. Another one, or other memory, begins anew. One that no area holds
 * is not kept.
 */
void synod_writer_partial(struct synod_writer *writer, const struct synod_fetch_image *of,
			  const void *image, uint64_t received);
/* It was there at open: what the superblock says of it has been read to image, and proved. */
void synod_writer_partial_found(struct synod_writer *writer, const void *image);
void synod_writer_partial_forget(struct synod_writer *writer);

/* Bytes of records, in groups of their own, that fit for certain. */
uint64_t synod_writer_room(const struct synod_writer *writer);
/* Would a further group start at once? */
int synod_writer_ready(const struct synod_writer *writer);

/* ---- between writer*.c ---------------------------------------------------------------------- */

/* What the superblock says at open of the snapshot and the head. */
void synod_writer_snapshot_init(struct synod_writer *writer,
				const struct synod_format_superblock *opened);
void synod_writer_snapshot_progress(struct synod_writer *writer);
void synod_writer_snapshot_done(struct synod_writer *writer);
/* Names the write of bytes to a file offset; returns crc, of all before, with them. */
uint32_t synod_writer_snapshot_piece(struct synod_writer *writer, const uint8_t *bytes,
				     uint32_t size, uint64_t offset, uint32_t crc);

void synod_writer_partial_progress(struct synod_writer *writer);
void synod_writer_partial_done(struct synod_writer *writer);
/* Of a snapshot that is to be written: the bytes that are written already, and their CRC32C. */
uint64_t synod_writer_partial_take(struct synod_writer *writer, uint64_t slot, const void *image,
				   uint64_t size, uint32_t *crc);

void synod_writer_superblock_init(struct synod_writer *writer,
				  const struct synod_format_superblock *opened);
int synod_writer_promises_full(const struct synod_writer *writer);
/* A ticket that is durable when the next superblock is; the promise as it is, or a higher one. */
int synod_writer_by_superblock(struct synod_writer *writer, uint64_t ticket, uint64_t ballot,
			       uint64_t chosen_through) __attribute__((warn_unused_result));
/* Asks for a promise, to be completed at that position of the prefix. */
void synod_writer_superblock_promise(struct synod_writer *writer, uint64_t ballot,
				     uint64_t position);
/* Keeps the fence ahead of the tail. */
void synod_writer_raise_fence(struct synod_writer *writer);
void synod_writer_superblock_progress(struct synod_writer *writer);
void synod_writer_superblock_done(struct synod_writer *writer);
void synod_writer_name_io(struct synod_writer *writer, const struct synod_writer_io *io);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session table: what makes every acknowledged command execute exactly once (I7). It is part of
 * the replicated state: it changes only by chosen commands, so that every replica has the same
 * table after the same slots, whoever leads.
 *
 * A client opens a session with a REGISTER that carries a random 64-bit nonce; the session's id
 * says where in the log it was opened (slot << 16 | index in the batch + 1), so no id is ever used
 * twice. A repeated REGISTER with the nonce of an open session finds that session again.
 *
 * A session remembers the last `window` request numbers, one entry for each residue. The window is
 * the table's, 4,096 unless the configuration says otherwise:
 *
 *      number        1    2    3   …  4095  4096  4097
 *      entry         1    2    3   …  4095    0     1      (number % window)
 *
 *   entry.number == number   a duplicate: answer what was answered
 *   entry.number >  number   the number has left the window: STALE
 *   entry.number <  number   new: execute and remember
 *
 * An entry only ever grows, so a delayed copy of an old request can never be executed again. For
 * the client it means: newest outstanding number - oldest outstanding number < window.
 *
 * The table has a fixed number of places, filled in order. When all are taken a REGISTER evicts the
 * session whose last executed command (or part taken, or registration) has the lowest slot; ties go
 * to the lowest place. Commands of an evicted session are refused, never executed: their client
 * does not know whether they were done, and is told so.
 *
 * Identity. A client that may come back after a restart says who it is: an identity of its own (not
 * 0) and the incarnation of this life, a number that only grows from one life to the next. At most
 * one session of an identity is open, that of the latest life, where later means the greater
 * (incarnation, nonce):
 *
 *   REGISTER is later     the older session is evicted, the new one takes its place
 *   the same              a copy: finds the session
 *   earlier               refused: a delayed copy, or a life that was taken for dead
 *
 * So nothing that a former life sent is executed after the new one's session is open: its commands
 * carry a session that is gone, and its REGISTERs are earlier. (A former life's REGISTER may open a
 * session when the later one was evicted for want of places; it holds no number, and the later life
 * evicts it when it registers again, under a greater nonce.)
 *
 * Memory is one flat block, without pointers (it can be copied, compared and hashed): the places,
 * two open-addressed indexes of them (by id; by who opened it: identity, or nonce), then the
 * windows. No REGISTER and no command looks at more of it than its own, however many sessions
 * there are; but an eviction for want of places looks at all places. Only synod_apply uses it.
 */
#ifndef SYNOD_MACHINE_SESSION_H
#define SYNOD_MACHINE_SESSION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_sessions; /* the block's beginning */

/* What a session remembers of one request. */
struct synod_session_entry {
	uint64_t number;	  /* 0: none yet */
	uint64_t position_status; /* position << 8 | status: 16 bytes an entry, four to a line */
};

enum synod_session_verdict {
	SYNOD_SESSION_NEW = 0,	 /* to be executed; then synod_session_store */
	SYNOD_SESSION_DUPLICATE, /* executed before: the entry says how */
	SYNOD_SESSION_TOO_OLD,	 /* left the window; number 0 too, which nobody may use */
	SYNOD_SESSION_NONE,	 /* no such session, or no longer */
};

/*
 * What a table's shape may be: 1..SYNOD_SESSIONS_MAX sessions, a window that is a power of two from
 * 2 to SYNOD_SESSION_WINDOW_MAX (users are given SYNOD_SESSION_WINDOW_MIN at least; tests want to
 * come to the end of one), and together at most SYNOD_SESSION_ENTRIES_MAX entries. 1 if it is so.
 * Pure; any thread.
 */
int synod_session_shape_is_sane(uint32_t sessions, uint32_t window);

/* Bytes of a table of such a shape; a multiple of 64. */
size_t synod_session_table_size(uint32_t sessions, uint32_t window);

/* Makes the empty table in zeroed, 64-byte-aligned memory of that size. */
void synod_session_table_init(struct synod_sessions *table, uint32_t sessions, uint32_t window);

/* A REGISTER, by the command at that index of that slot. */
struct synod_session_opening {
	uint64_t nonce;
	uint64_t identity;    /* 0: anonymous, and incarnation is not looked at */
	uint64_t incarnation; /* of the client */
	uint64_t slot;
	uint32_t index;
	uint32_t reserved;
};

/*
 * Opens a session, or finds it open already. Returns its id, or 0: a later life of that identity
 * has a session open. *evicted is the id that had to go, or 0.
 */
uint64_t synod_session_open(struct synod_sessions *table,
			    const struct synod_session_opening *opening, uint64_t *evicted);

/*
 * Judges (session, number). With NEW and DUPLICATE *entry is the number's entry, valid until the
 * next open.
 */
enum synod_session_verdict synod_session_check(struct synod_sessions *table, uint64_t session,
					       uint64_t number, struct synod_session_entry **entry);

/* Remembers the outcome of the number that the last check found NEW, executed in slot. */
void synod_session_store(struct synod_sessions *table, struct synod_session_entry *entry,
			 uint64_t number, uint64_t position, uint16_t status, uint64_t slot);

/* 1 if there is such a session. */
int synod_session_is_open(const struct synod_sessions *table, uint64_t session);

/* The session that the last check found was used in slot: it is evicted the later. */
void synod_session_touch(struct synod_sessions *table, uint64_t slot);

/*
 * The table as compact bytes (image.h): at most how many, and the writing of them (returns how
 * many, a multiple of 8). Equal tables give equal bytes.
 */
size_t synod_session_table_image_max(uint32_t sessions, uint32_t window);
size_t synod_session_table_save(const struct synod_sessions *table, void *image);

/*
 * Reads them into an empty table, of a state at that slot and position. 0, or -EBADMSG for any that
 * save could not have written; the table is then to be made anew.
 */
int synod_session_table_load(struct synod_sessions *table, uint64_t slot, uint64_t position,
			     const void *image, size_t size);

/* Sessions open. */
uint32_t synod_session_count(const struct synod_sessions *table);
/* Request numbers that each may have open. */
uint32_t synod_session_window_size(const struct synod_sessions *table);

static inline uint64_t synod_session_entry_position(const struct synod_session_entry *entry)
{
	return entry->position_status >> 8;
}

static inline uint16_t synod_session_entry_status(const struct synod_session_entry *entry)
{
	return (uint16_t)(entry->position_status & 0xff);
}

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the session table lies in memory, and what is done for each command, in line: a call for the
 * check and one for the store were a tenth of what a command costs to apply. Only session.c,
 * session_index.c and apply.c look inside; the rules are in session.h.
 *
 * A command of a session that was not the last one's touches three lines far from each other: of
 * the index, of the place, of the window (and as many pages). With 10,000 sessions none of them is
 * in a cache, so they are asked for before they are needed: synod_session_ahead. And windows lie in
 * strips, those of all places for the same entries side by side: sessions that are used alike
 * are at like numbers, and their entries then share pages, of which a processor remembers a
 * thousand or two. With a page for each window looking it up was most of what a command cost.
 *
 *	entries 0..63:    | place 0 | place 1 | place 2 | …
 *	entries 64..127:  | place 0 | place 1 | place 2 | …
 */
#ifndef SYNOD_MACHINE_SESSION_INTERNAL_H
#define SYNOD_MACHINE_SESSION_INTERNAL_H

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/machine/session.h"

enum {
	SYNOD_SESSION_SLOT_BITS = 48,
	SYNOD_SESSION_INDEX_BITS = 16,
	SYNOD_SESSION_POSITION_BITS = 56,
	SYNOD_SESSION_STRIP = 64 /* entries: sixteen lines */
};

_Static_assert(SYNOD_BATCH_COMMANDS_MAX < (1 << SYNOD_SESSION_INDEX_BITS),
	       "index + 1 fits below the slot");
_Static_assert(sizeof(struct synod_session_entry) == 16, "no padding: tables are compared");

/* One place, apart from its window. What a command reads and writes of it, in half a line. */
struct synod_session_place {
	uint64_t id;	     /* 0: never used */
	uint64_t number_max; /* highest number stored: what must be wiped at eviction */
	uint64_t used;	     /* slot of last use */
	uint64_t reserved;   /* 0 */
};

_Static_assert(sizeof(struct synod_session_place) == 32, "two to a line, none in two");

/* Who opened the session of a place: looked at by a REGISTER only. */
struct synod_session_owner {
	uint64_t nonce;
	uint64_t identity;    /* 0: anonymous */
	uint64_t incarnation; /* of the client, where it has an identity */
	uint64_t reserved;    /* 0 */
};

struct synod_sessions {
	uint32_t capacity;     /* places */
	uint32_t count;	       /* places taken: 0..count-1, for ever */
	uint32_t bucket_count; /* of each index: a power of two, at least twice the places */
	uint32_t bucket_shift; /* 64 - log2(bucket_count) */
	uint32_t window_shift; /* log2 of the window */
	uint32_t window_mask;  /* the window - 1 */
	uint32_t place_last;   /* the place of the last lookup: commands come in runs */
	uint32_t reserved;
	/* Offsets in bytes from the beginning of this struct. */
	uint64_t at_places;  /* struct synod_session_place [capacity] */
	uint64_t at_owners;  /* struct synod_session_owner [capacity] */
	uint64_t at_ids;     /* uint32_t [bucket_count]: place + 1 by id, or 0 */
	uint64_t at_openers; /* uint32_t [bucket_count]: the same by identity, or nonce */
	uint64_t
		at_windows; /* struct synod_session_entry [strips][capacity][SYNOD_SESSION_STRIP] */
	uint64_t strip_size; /* bytes from a strip to the next one of the same place */
};

static inline void *synod_session_column(const struct synod_sessions *table, uint64_t at)
{
	return (uint8_t *)(uintptr_t)table + at;
}

static inline struct synod_session_place *synod_session_place(const struct synod_sessions *table,
							      uint32_t place)
{
	return (struct synod_session_place *)synod_session_column(table, table->at_places) + place;
}

static inline struct synod_session_owner *synod_session_owner(const struct synod_sessions *table,
							      uint32_t place)
{
	return (struct synod_session_owner *)synod_session_column(table, table->at_owners) + place;
}

/* Entry index < window of a place; behind it lies what follows it in its strip. */
static inline struct synod_session_entry *
synod_session_window_entry(const struct synod_sessions *table, uint32_t place, uint32_t index)
{
	struct synod_session_entry *strip = synod_session_column(
		table, table->at_windows + index / SYNOD_SESSION_STRIP * table->strip_size);

	return strip + (size_t)place * SYNOD_SESSION_STRIP + index % SYNOD_SESSION_STRIP;
}

/* The entry of a number in the window of a place. */
static inline struct synod_session_entry *synod_session_entry(const struct synod_sessions *table,
							      uint32_t place, uint64_t number)
{
	return synod_session_window_entry(table, place, (uint32_t)number & table->window_mask);
}

/* Fibonacci hashing: ids differ in their slot, multiplication spreads it to the top bits. */
static inline uint32_t synod_session_bucket(const struct synod_sessions *table, uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> table->bucket_shift);
}

/* session_index.c. A place that is not found is capacity. */
uint32_t synod_session_find(const struct synod_sessions *table, uint64_t id);
uint32_t synod_session_find_owner(const struct synod_sessions *table, uint64_t identity,
				  uint64_t nonce);
/* Of the place as it stands: before it is changed, and after. */
void synod_session_index_remove(struct synod_sessions *table, uint32_t place);
void synod_session_index_insert(struct synod_sessions *table, uint32_t place);

/* The session of the last lookup, or 0. */
static inline uint64_t synod_session_last(const struct synod_sessions *table)
{
	return synod_session_place(table, table->place_last)->id;
}

/* Finds the place of a session that was not the last one. Returns 1, and remembers it; or 0. */
int synod_session_seek(struct synod_sessions *table, uint64_t session);

/* What a command that comes soon will look at. */
struct synod_session_ahead {
	uint64_t session;
	uint64_t number;
	uint32_t place; /* out: where the session is, most likely; some place in any case */
	uint32_t reserved;
};

/*
 * Asks the caches for what the next count commands will touch, and fills in their places. A hint:
 * it changes nothing, may be wrong (a session that is not there, a bucket that is another's), and
 * faults nowhere.
 */
void synod_session_ahead(const struct synod_sessions *table, struct synod_session_ahead *commands,
			 uint32_t count);

/* The next check will find its session there, most likely: it need not seek. */
static inline void synod_session_expect(struct synod_sessions *table, uint32_t place)
{
	table->place_last = place;
}

static inline enum synod_session_verdict
synod_session_check_inline(struct synod_sessions *table, uint64_t session, uint64_t number,
			   struct synod_session_entry **entry)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	struct synod_session_entry *found;

	if ((places[table->place_last].id != session || session == 0) &&
	    !synod_session_seek(table, session))
		return SYNOD_SESSION_NONE;
	found = synod_session_entry(table, table->place_last, number);
	if (number == 0 || found->number > number)
		return SYNOD_SESSION_TOO_OLD;
	*entry = found;
	return found->number == number ? SYNOD_SESSION_DUPLICATE : SYNOD_SESSION_NEW;
}

static inline void synod_session_store_inline(struct synod_sessions *table,
					      struct synod_session_entry *entry, uint64_t number,
					      uint64_t position, uint16_t status, uint64_t slot)
{
	struct synod_session_place *at = synod_session_place(table, table->place_last);

	synod_assert(entry == synod_session_entry(table, table->place_last, number));
	synod_assert_cmp(entry->number, <, number);
	synod_assert_cmp(position, <, 1ll << SYNOD_SESSION_POSITION_BITS);
	synod_assert_cmp(status, <=, 0xff);
	entry->number = number;
	entry->position_status = position << 8 | status;
	at->used = slot;
	if (number > at->number_max)
		at->number_max = number;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How the session table lies in memory, and what is done for each command, in line: a call for the
 * check and one for the store were a tenth of what a command costs to apply. Only session.c and
 * apply.c look inside; the rules are in session.h.
 */
#ifndef SYNOD_MACHINE_SESSION_INTERNAL_H
#define SYNOD_MACHINE_SESSION_INTERNAL_H

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/machine/session.h"

enum {
	SYNOD_SESSION_SLOT_BITS = 48,
	SYNOD_SESSION_INDEX_BITS = 16,
	SYNOD_SESSION_POSITION_BITS = 56
};

_Static_assert(SYNOD_BATCH_COMMANDS_MAX < (1 << SYNOD_SESSION_INDEX_BITS),
	       "index + 1 fits below the slot");
_Static_assert(sizeof(struct synod_session_entry) == 16, "no padding: tables are compared");

/* One place, apart from its window. Read for each command. */
struct synod_session_place {
	uint64_t id;	     /* 0: never used */
	uint64_t number_max; /* highest number stored: what must be wiped at eviction */
};

struct synod_sessions {
	uint32_t capacity;     /* places */
	uint32_t count;	       /* places taken: 0..count-1, for ever */
	uint32_t bucket_count; /* a power of two, at least twice the places */
	uint32_t bucket_shift; /* 64 - log2(bucket_count) */
	uint32_t place_last;   /* the place of the last lookup: commands come in runs */
	uint32_t reserved;
	/* Offsets in bytes from the beginning of this struct. */
	uint64_t at_places;	  /* struct synod_session_place [capacity] */
	uint64_t at_nonces;	  /* uint64_t [capacity]: these columns are searched at REGISTER */
	uint64_t at_identities;	  /* uint64_t [capacity]: 0: anonymous */
	uint64_t at_incarnations; /* uint64_t [capacity]: of the client, where it has an identity */
	uint64_t at_used;	  /* uint64_t [capacity]: slot of last use */
	uint64_t at_buckets;	  /* uint32_t [bucket_count]: place + 1, or 0 */
	uint64_t at_windows;	  /* struct synod_session_entry [capacity][SYNOD_SESSION_WINDOW] */
};

static inline void *synod_session_column(const struct synod_sessions *table, uint64_t at)
{
	return (uint8_t *)(uintptr_t)table + at;
}

static inline struct synod_session_entry *synod_session_window(const struct synod_sessions *table,
							       uint32_t place)
{
	struct synod_session_entry *windows = synod_session_column(table, table->at_windows);

	return windows + (size_t)place * SYNOD_SESSION_WINDOW;
}

/* Finds the place of a session that was not the last one. Returns 1, and remembers it; or 0. */
int synod_session_seek(struct synod_sessions *table, uint64_t session);

static inline enum synod_session_verdict
synod_session_check_inline(struct synod_sessions *table, uint64_t session, uint64_t number,
			   struct synod_session_entry **entry)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	struct synod_session_entry *found;

	if ((places[table->place_last].id != session || session == 0) &&
	    !synod_session_seek(table, session))
		return SYNOD_SESSION_NONE;
	found = synod_session_window(table, table->place_last) +
		(number & (SYNOD_SESSION_WINDOW - 1));
	if (number == 0 || found->number > number)
		return SYNOD_SESSION_TOO_OLD;
	*entry = found;
	return found->number == number ? SYNOD_SESSION_DUPLICATE : SYNOD_SESSION_NEW;
}

static inline void synod_session_store_inline(struct synod_sessions *table,
					      struct synod_session_entry *entry, uint64_t number,
					      uint64_t position, uint16_t status, uint64_t slot)
{
	struct synod_session_place *at =
		(struct synod_session_place *)synod_session_column(table, table->at_places) +
		table->place_last;
	uint64_t *used = synod_session_column(table, table->at_used);

	synod_assert(entry == synod_session_window(table, table->place_last) +
				      (number & (SYNOD_SESSION_WINDOW - 1)));
	synod_assert_cmp(entry->number, <, number);
	synod_assert_cmp(position, <, 1ll << SYNOD_SESSION_POSITION_BITS);
	synod_assert_cmp(status, <=, 0xff);
	entry->number = number;
	entry->position_status = position << 8 | status;
	used[table->place_last] = slot;
	if (number > at->number_max)
		at->number_max = number;
}

#endif

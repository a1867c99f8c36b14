/* SPDX-License-Identifier: BSD-3-Clause */
/* The session table. See session.h for the rules and the picture. */
#include "engine/machine/session.h"

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/machine/image.h"
#include "engine/machine/session_internal.h"

#include <string.h>

enum {
	/*
	 * Bytes between two strips of a place, besides those of all others: five lines, so that a
	 * power of two of sessions does not put all strips of one into the same sets of a cache.
	 */
	STRIP_PAD = 320
};

static uint64_t line_round(uint64_t size)
{
	return (size + 63) & ~63ull;
}

static uint32_t bucket_count_of(uint32_t sessions)
{
	uint32_t count = 64;

	while (count < sessions * 2) /* at most 9 turns: SYNOD_SESSIONS_MAX is 16384 */
		count *= 2;
	return count;
}

int synod_session_shape_is_sane(uint32_t sessions, uint32_t window)
{
	return sessions >= 1 && sessions <= SYNOD_SESSIONS_MAX && window >= 2 &&
	       window <= SYNOD_SESSION_WINDOW_MAX && (window & (window - 1)) == 0 &&
	       (uint64_t)sessions * window <= SYNOD_SESSION_ENTRIES_MAX;
}

static size_t strips_of(uint32_t window)
{
	return (window + SYNOD_SESSION_STRIP - 1) / SYNOD_SESSION_STRIP;
}

/* Fills in the offsets; returns the size of it all. */
static size_t lay_out(struct synod_sessions *table, uint32_t sessions, uint32_t window)
{
	uint64_t index_size;

	synod_assert(synod_session_shape_is_sane(sessions, window));
	table->capacity = sessions;
	table->bucket_count = bucket_count_of(sessions);
	table->bucket_shift = 64 - (uint32_t)__builtin_ctz(table->bucket_count);
	table->window_shift = (uint32_t)__builtin_ctz(window);
	table->window_mask = window - 1;
	table->strip_size =
		sessions * SYNOD_SESSION_STRIP * sizeof(struct synod_session_entry) + STRIP_PAD;
	index_size = line_round(table->bucket_count * sizeof(uint32_t));
	table->at_places = line_round(sizeof(*table));
	table->at_owners =
		table->at_places + line_round(sessions * sizeof(struct synod_session_place));
	table->at_ids =
		table->at_owners + line_round(sessions * sizeof(struct synod_session_owner));
	table->at_openers = table->at_ids + index_size;
	table->at_windows = table->at_openers + index_size;
	return table->at_windows + strips_of(window) * table->strip_size;
}

size_t synod_session_table_size(uint32_t sessions, uint32_t window)
{
	struct synod_sessions table;

	return lay_out(&table, sessions, window);
}

void synod_session_table_init(struct synod_sessions *table, uint32_t sessions, uint32_t window)
{
	synod_assert(((uintptr_t)table & 63) == 0);
	lay_out(table, sessions, window);
}

uint32_t synod_session_count(const struct synod_sessions *table)
{
	return table->count;
}

uint32_t synod_session_window_size(const struct synod_sessions *table)
{
	return table->window_mask + 1;
}

/* The place whose session was used longest ago; the lowest of several. Full tables only. */
static uint32_t least_recently_used(const struct synod_sessions *table)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	uint32_t place;
	uint32_t least = 0;

	for (place = 1; place < table->capacity; place++) {
		if (places[place].used < places[least].used)
			least = place;
	}
	return least;
}

/* Entries, from the first, that may be in use: numbers 1..n < window stand in entries 1..n. */
static uint32_t dirty_of(const struct synod_sessions *table, uint32_t place)
{
	uint64_t number_max = synod_session_place(table, place)->number_max;
	uint32_t window = synod_session_window_size(table);

	return number_max < window - 1 ? (uint32_t)number_max + 1 : window;
}

static void wipe_window(const struct synod_sessions *table, uint32_t place)
{
	uint32_t dirty = dirty_of(table, place);

	for (uint32_t first = 0; first < dirty; first += SYNOD_SESSION_STRIP)
		memset(synod_session_window_entry(table, place, first), 0,
		       SYNOD_SESSION_STRIP * sizeof(struct synod_session_entry));
}

static uint64_t evict(struct synod_sessions *table, uint32_t place)
{
	struct synod_session_place *at = synod_session_place(table, place);
	uint64_t id = at->id;

	synod_assert(id != 0);
	synod_session_index_remove(table, place);
	wipe_window(table, place);
	memset(at, 0, sizeof(*at));
	return id;
}

enum life {
	LIFE_EARLIER,
	LIFE_SAME,
	LIFE_LATER
};

/* How a REGISTER stands to the open session of its identity. */
static enum life compare_lives(const struct synod_sessions *table, uint32_t place,
			       const struct synod_session_opening *opening)
{
	const struct synod_session_owner *owner = synod_session_owner(table, place);

	if (opening->incarnation != owner->incarnation)
		return opening->incarnation > owner->incarnation ? LIFE_LATER : LIFE_EARLIER;
	if (opening->nonce != owner->nonce)
		return opening->nonce > owner->nonce ? LIFE_LATER : LIFE_EARLIER;
	return LIFE_SAME;
}

/* A place for a new session: a free one, else that of whom it was used by longest ago. */
static uint32_t place_take(struct synod_sessions *table, uint64_t *evicted)
{
	uint32_t place;

	if (table->count < table->capacity)
		return table->count++;
	place = least_recently_used(table);
	*evicted = evict(table, place);
	return place;
}

static uint64_t open_at(struct synod_sessions *table, uint32_t place,
			const struct synod_session_opening *opening)
{
	struct synod_session_place *at = synod_session_place(table, place);

	synod_assert(at->id == 0);
	at->id = opening->slot << SYNOD_SESSION_INDEX_BITS | (opening->index + 1);
	at->used = opening->slot;
	*synod_session_owner(table, place) = (struct synod_session_owner){
		.nonce = opening->nonce,
		.identity = opening->identity,
		.incarnation = opening->identity ? opening->incarnation : 0,
	};
	synod_session_index_insert(table, place);
	return at->id;
}

uint64_t synod_session_open(struct synod_sessions *table,
			    const struct synod_session_opening *opening, uint64_t *evicted)
{
	uint32_t place = synod_session_find_owner(table, opening->identity, opening->nonce);

	synod_assert_cmp(opening->slot, <, 1ll << SYNOD_SESSION_SLOT_BITS);
	synod_assert_cmp(opening->index, <, SYNOD_BATCH_COMMANDS_MAX);
	*evicted = 0;
	if (place == table->capacity)
		return open_at(table, place_take(table, evicted), opening);
	switch (opening->identity ? compare_lives(table, place, opening) : LIFE_SAME) {
	case LIFE_EARLIER:
		return 0;
	case LIFE_SAME:
		return synod_session_place(table, place)->id;
	case LIFE_LATER:
		break;
	}
	*evicted = evict(table, place);
	return open_at(table, place, opening);
}

int synod_session_is_open(const struct synod_sessions *table, uint64_t session)
{
	return session != 0 && synod_session_find(table, session) != table->capacity;
}

int synod_session_seek(struct synod_sessions *table, uint64_t session)
{
	uint32_t place = session ? synod_session_find(table, session) : table->capacity;

	if (place == table->capacity)
		return 0;
	table->place_last = place;
	return 1;
}

enum synod_session_verdict synod_session_check(struct synod_sessions *table, uint64_t session,
					       uint64_t number, struct synod_session_entry **entry)
{
	return synod_session_check_inline(table, session, number, entry);
}

void synod_session_touch(struct synod_sessions *table, uint64_t slot)
{
	struct synod_session_place *at = synod_session_place(table, table->place_last);

	synod_assert_cmp(slot, >=, at->used);
	at->used = slot;
}

void synod_session_store(struct synod_sessions *table, struct synod_session_entry *entry,
			 uint64_t number, uint64_t position, uint16_t status, uint64_t slot)
{
	synod_session_store_inline(table, entry, number, position, status, slot);
}

size_t synod_session_table_image_max(uint32_t sessions, uint32_t window)
{
	synod_assert(synod_session_shape_is_sane(sessions, window));
	return sizeof(struct synod_image_count) +
	       (size_t)sessions * (sizeof(struct synod_image_session) +
				   window * sizeof(struct synod_session_entry));
}

/* The next strip is on another page: no processor guesses that one. */
static void ask_for_strip(const struct synod_sessions *table, uint32_t place, uint32_t first)
{
	const struct synod_session_entry *entries = synod_session_window_entry(table, place, first);

	for (uint32_t i = 0; i < SYNOD_SESSION_STRIP; i += 64 / sizeof(*entries))
		__builtin_prefetch(&entries[i]);
}

/* The used entries of a window, one behind the other; returns where they end. */
static uint8_t *save_window(const struct synod_sessions *table, uint32_t place, uint8_t *at)
{
	uint32_t dirty = dirty_of(table, place);

	for (uint32_t first = 0; first < dirty; first += SYNOD_SESSION_STRIP) {
		uint32_t end =
			first + SYNOD_SESSION_STRIP < dirty ? first + SYNOD_SESSION_STRIP : dirty;
		const struct synod_session_entry *entries =
			synod_session_window_entry(table, place, first);

		if (end < dirty)
			ask_for_strip(table, place, end);
		for (uint32_t i = 0; i < end - first; i++) {
			/* An unused one is written too, and over: no branch, and there is room. */
			memcpy(at, &entries[i], sizeof(entries[i]));
			at += entries[i].number ? sizeof(entries[i]) : 0;
		}
	}
	return at;
}

size_t synod_session_table_save(const struct synod_sessions *table, void *image)
{
	const struct synod_image_count count = { .count = table->count };
	uint8_t *at = synod_image_put(image, &count, sizeof(count));
	uint32_t place;

	for (place = 0; place < table->count; place++) {
		const struct synod_session_place *from = synod_session_place(table, place);
		const struct synod_session_owner *owner = synod_session_owner(table, place);
		struct synod_image_session session = {
			.id = from->id,
			.nonce = owner->nonce,
			.identity = owner->identity,
			.incarnation = owner->incarnation,
			.used = from->used,
		};
		uint8_t *entries = at + sizeof(session);
		uint8_t *end = save_window(table, place, entries);

		session.entries =
			(uint32_t)((size_t)(end - entries) / sizeof(struct synod_session_entry));
		synod_image_put(at, &session, sizeof(session));
		at = end;
	}
	return (size_t)(at - (uint8_t *)image);
}

/* Could such a session be open, at that slot, besides those that were read before it? */
static int session_is_possible(const struct synod_sessions *table, uint64_t slot,
			       const struct synod_image_session *session)
{
	uint64_t opened = session->id >> SYNOD_SESSION_INDEX_BITS;
	uint64_t index = session->id & ((1u << SYNOD_SESSION_INDEX_BITS) - 1);

	if (opened == 0 || index == 0 || index > SYNOD_BATCH_COMMANDS_MAX)
		return 0;
	if (session->used < opened || session->used > slot || session->reserved)
		return 0;
	if (synod_session_find(table, session->id) != table->capacity)
		return 0;
	if (!session->identity && session->incarnation)
		return 0;
	return synod_session_find_owner(table, session->identity, session->nonce) ==
	       table->capacity;
}

static int load_window(struct synod_sessions *table, uint32_t place, uint32_t entries,
		       uint64_t position, struct synod_image_reader *reader)
{
	struct synod_session_place *at = synod_session_place(table, place);
	struct synod_session_entry entry;
	uint64_t index_min = 0;

	while (entries--) { /* at most a window of turns: each has its own index */
		uint64_t index;

		if (synod_image_get(reader, &entry, sizeof(entry)) < 0)
			return -EBADMSG;
		index = entry.number & (synod_session_window_size(table) - 1);
		if (entry.number == 0 || index < index_min ||
		    synod_session_entry_position(&entry) == 0 ||
		    synod_session_entry_position(&entry) > position)
			return -EBADMSG;
		*synod_session_window_entry(table, place, (uint32_t)index) = entry;
		index_min = index + 1;
		if (entry.number > at->number_max)
			at->number_max = entry.number;
	}
	return 0;
}

int synod_session_table_load(struct synod_sessions *table, uint64_t slot, uint64_t position,
			     const void *image, size_t size)
{
	struct synod_image_reader reader = { .at = image, .left = size };
	struct synod_session_opening opening;
	struct synod_image_session session;
	struct synod_image_count count;

	synod_assert_cmp(table->count, ==, 0);
	if (synod_image_get(&reader, &count, sizeof(count)) < 0 || count.count > table->capacity ||
	    count.reserved || slot >= 1ull << SYNOD_SESSION_SLOT_BITS ||
	    position >= 1ull << SYNOD_SESSION_POSITION_BITS)
		return -EBADMSG;
	while (count.count--) {
		if (synod_image_get(&reader, &session, sizeof(session)) < 0 ||
		    !session_is_possible(table, slot, &session))
			return -EBADMSG;
		opening = (struct synod_session_opening){
			.nonce = session.nonce,
			.identity = session.identity,
			.incarnation = session.incarnation,
			.slot = session.id >> SYNOD_SESSION_INDEX_BITS,
			.index =
				(uint32_t)(session.id & ((1u << SYNOD_SESSION_INDEX_BITS) - 1)) - 1,
		};
		open_at(table, table->count, &opening);
		synod_session_place(table, table->count)->used = session.used;
		if (load_window(table, table->count++, session.entries, position, &reader) < 0)
			return -EBADMSG;
	}
	return reader.left ? -EBADMSG : 0;
}

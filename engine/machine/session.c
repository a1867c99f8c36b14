/* SPDX-License-Identifier: BSD-3-Clause */
/* The session table. See session.h for the rules and the picture. */
#include "engine/machine/session.h"

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/machine/image.h"
#include "engine/machine/session_internal.h"

#include <string.h>

static uint64_t line_round(uint64_t size)
{
	return (size + 63) & ~63ull;
}

static uint32_t bucket_count_of(uint32_t sessions)
{
	uint32_t count = 64;

	while (count < sessions * 2) /* at most 6 turns: SYNOD_SESSIONS_MAX is 1024 */
		count *= 2;
	return count;
}

/* Fills in the offsets; returns the size of it all. */
static size_t lay_out(struct synod_sessions *table, uint32_t sessions)
{
	uint64_t column_size = line_round(sessions * sizeof(uint64_t));

	synod_assert_cmp(sessions, >=, 1);
	synod_assert_cmp(sessions, <=, SYNOD_SESSIONS_MAX);
	table->capacity = sessions;
	table->bucket_count = bucket_count_of(sessions);
	table->bucket_shift = 64 - (uint32_t)__builtin_ctz(table->bucket_count);
	table->at_places = line_round(sizeof(*table));
	table->at_nonces =
		table->at_places + line_round(sessions * sizeof(struct synod_session_place));
	table->at_identities = table->at_nonces + column_size;
	table->at_incarnations = table->at_identities + column_size;
	table->at_used = table->at_incarnations + column_size;
	table->at_buckets = table->at_used + column_size;
	table->at_windows = table->at_buckets + line_round(table->bucket_count * sizeof(uint32_t));
	return table->at_windows +
	       (size_t)sessions * SYNOD_SESSION_WINDOW * sizeof(struct synod_session_entry);
}

size_t synod_session_table_size(uint32_t sessions)
{
	struct synod_sessions table;

	return lay_out(&table, sessions);
}

void synod_session_table_init(struct synod_sessions *table, uint32_t sessions)
{
	synod_assert(((uintptr_t)table & 63) == 0);
	lay_out(table, sessions);
}

uint32_t synod_session_count(const struct synod_sessions *table)
{
	return table->count;
}

/* Fibonacci hashing: ids differ in their slot, multiplication spreads it to the top bits. */
static uint32_t bucket_of(const struct synod_sessions *table, uint64_t id)
{
	return (uint32_t)((id * 0x9e3779b97f4a7c15ull) >> table->bucket_shift);
}

/* The place of a session, or capacity: none. At most bucket_count turns: half are empty. */
static uint32_t find(const struct synod_sessions *table, uint64_t id)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	const uint32_t *buckets = synod_session_column(table, table->at_buckets);
	uint32_t bucket = bucket_of(table, id);

	while (buckets[bucket]) {
		if (places[buckets[bucket] - 1].id == id)
			return buckets[bucket] - 1;
		bucket = (bucket + 1) & (table->bucket_count - 1);
	}
	return table->capacity;
}

static void index_insert(struct synod_sessions *table, uint64_t id, uint32_t place)
{
	uint32_t *buckets = synod_session_column(table, table->at_buckets);
	uint32_t bucket = bucket_of(table, id);

	while (buckets[bucket]) /* at most bucket_count / 2 turns */
		bucket = (bucket + 1) & (table->bucket_count - 1);
	buckets[bucket] = place + 1;
}

/*
 * Removes an id and moves back what stood behind it only because of it (no tombstones: the index
 * after any history is as short as a new one's; Knuth, volume 3, 6.4, algorithm R).
 */
static void index_remove(struct synod_sessions *table, uint64_t id)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	uint32_t *buckets = synod_session_column(table, table->at_buckets);
	uint32_t mask = table->bucket_count - 1;
	uint32_t hole = bucket_of(table, id);
	uint32_t next;

	while (places[buckets[hole] - 1].id != id)
		hole = (hole + 1) & mask;
	for (next = (hole + 1) & mask; buckets[next]; next = (next + 1) & mask) {
		uint32_t home = bucket_of(table, places[buckets[next] - 1].id);

		/* Its home is not in (hole, next]: it may move into the hole. */
		if (((next - home) & mask) >= ((next - hole) & mask)) {
			buckets[hole] = buckets[next];
			hole = next;
		}
	}
	buckets[hole] = 0;
}

/* The place whose session was used longest ago; the lowest of several. Full tables only. */
static uint32_t least_recently_used(const struct synod_sessions *table)
{
	const uint64_t *used = synod_session_column(table, table->at_used);
	uint32_t place;
	uint32_t least = 0;

	for (place = 1; place < table->capacity; place++) {
		if (used[place] < used[least])
			least = place;
	}
	return least;
}

/* Entries, from the first, that may be in use: numbers 1..n < window stand in entries 1..n. */
static uint64_t dirty_of(const struct synod_session_place *place)
{
	return place->number_max < SYNOD_SESSION_WINDOW - 1 ? place->number_max + 1
							    : SYNOD_SESSION_WINDOW;
}

static uint64_t evict(struct synod_sessions *table, uint32_t place)
{
	struct synod_session_place *at =
		(struct synod_session_place *)synod_session_column(table, table->at_places) + place;
	uint64_t id = at->id;

	synod_assert(id != 0);
	index_remove(table, id);
	memset(synod_session_window(table, place), 0,
	       dirty_of(at) * sizeof(struct synod_session_entry));
	memset(at, 0, sizeof(*at));
	return id;
}

/* The place of an identity's open session, or capacity: it has none. */
static uint32_t find_identity(const struct synod_sessions *table, uint64_t identity)
{
	const uint64_t *identities = synod_session_column(table, table->at_identities);
	uint32_t place;

	for (place = 0; place < table->count; place++) {
		if (identities[place] == identity)
			return place;
	}
	return table->capacity;
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
	const uint64_t *incarnations = synod_session_column(table, table->at_incarnations);
	const uint64_t *nonces = synod_session_column(table, table->at_nonces);

	if (opening->incarnation != incarnations[place])
		return opening->incarnation > incarnations[place] ? LIFE_LATER : LIFE_EARLIER;
	if (opening->nonce != nonces[place])
		return opening->nonce > nonces[place] ? LIFE_LATER : LIFE_EARLIER;
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
	struct synod_session_place *at =
		(struct synod_session_place *)synod_session_column(table, table->at_places) + place;
	uint64_t *nonces = synod_session_column(table, table->at_nonces);
	uint64_t *identities = synod_session_column(table, table->at_identities);
	uint64_t *incarnations = synod_session_column(table, table->at_incarnations);
	uint64_t *used = synod_session_column(table, table->at_used);

	synod_assert(at->id == 0);
	at->id = opening->slot << SYNOD_SESSION_INDEX_BITS | (opening->index + 1);
	nonces[place] = opening->nonce;
	identities[place] = opening->identity;
	incarnations[place] = opening->identity ? opening->incarnation : 0;
	used[place] = opening->slot;
	index_insert(table, at->id, place);
	return at->id;
}

/* The open session of that nonce, or 0. An identity's is not found by an anonymous REGISTER. */
static uint64_t find_anonymous(const struct synod_sessions *table, uint64_t nonce)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	const uint64_t *identities = synod_session_column(table, table->at_identities);
	const uint64_t *nonces = synod_session_column(table, table->at_nonces);
	uint32_t place;

	for (place = 0; place < table->count; place++) {
		if (nonces[place] == nonce && identities[place] == 0)
			return places[place].id;
	}
	return 0;
}

uint64_t synod_session_open(struct synod_sessions *table,
			    const struct synod_session_opening *opening, uint64_t *evicted)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	uint32_t place = table->capacity;
	uint64_t found;

	synod_assert_cmp(opening->slot, <, 1ll << SYNOD_SESSION_SLOT_BITS);
	synod_assert_cmp(opening->index, <, SYNOD_BATCH_COMMANDS_MAX);
	*evicted = 0;
	if (opening->identity) {
		place = find_identity(table, opening->identity);
	} else {
		found = find_anonymous(table, opening->nonce);
		if (found)
			return found;
	}
	if (place == table->capacity)
		return open_at(table, place_take(table, evicted), opening);
	switch (compare_lives(table, place, opening)) {
	case LIFE_EARLIER:
		return 0;
	case LIFE_SAME:
		return places[place].id;
	case LIFE_LATER:
		break;
	}
	*evicted = evict(table, place);
	return open_at(table, place, opening);
}

int synod_session_is_open(const struct synod_sessions *table, uint64_t session)
{
	return session != 0 && find(table, session) != table->capacity;
}

int synod_session_seek(struct synod_sessions *table, uint64_t session)
{
	uint32_t place = session ? find(table, session) : table->capacity;

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
	uint64_t *used = synod_session_column(table, table->at_used);

	synod_assert_cmp(slot, >=, used[table->place_last]);
	used[table->place_last] = slot;
}

void synod_session_store(struct synod_sessions *table, struct synod_session_entry *entry,
			 uint64_t number, uint64_t position, uint16_t status, uint64_t slot)
{
	synod_session_store_inline(table, entry, number, position, status, slot);
}

size_t synod_session_table_image_max(uint32_t sessions)
{
	return sizeof(struct synod_image_count) +
	       (size_t)sessions * (sizeof(struct synod_image_session) +
				   SYNOD_SESSION_WINDOW * sizeof(struct synod_session_entry));
}

/* The used entries of a window, one behind the other; returns where they end. */
static uint8_t *save_window(const struct synod_session_entry *window, uint64_t dirty, uint8_t *at)
{
	uint64_t index;

	for (index = 0; index < dirty; index++) {
		/* An unused one is written too, and written over: no branch, and there is room. */
		memcpy(at, &window[index], sizeof(window[index]));
		at += window[index].number ? sizeof(window[index]) : 0;
	}
	return at;
}

size_t synod_session_table_save(const struct synod_sessions *table, void *image)
{
	const struct synod_session_place *places = synod_session_column(table, table->at_places);
	const uint64_t *nonces = synod_session_column(table, table->at_nonces);
	const uint64_t *identities = synod_session_column(table, table->at_identities);
	const uint64_t *incarnations = synod_session_column(table, table->at_incarnations);
	const uint64_t *used = synod_session_column(table, table->at_used);
	const struct synod_image_count count = { .count = table->count };
	uint8_t *at = synod_image_put(image, &count, sizeof(count));
	uint32_t place;

	for (place = 0; place < table->count; place++) {
		struct synod_image_session session = {
			.id = places[place].id,
			.nonce = nonces[place],
			.identity = identities[place],
			.incarnation = incarnations[place],
			.used = used[place],
		};
		uint8_t *entries = at + sizeof(session);
		uint8_t *end = save_window(synod_session_window(table, place),
					   dirty_of(&places[place]), entries);

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
	if (find(table, session->id) != table->capacity)
		return 0;
	if (session->identity)
		return find_identity(table, session->identity) == table->capacity;
	return session->incarnation == 0 && find_anonymous(table, session->nonce) == 0;
}

static int load_window(struct synod_sessions *table, uint32_t place, uint32_t entries,
		       uint64_t position, struct synod_image_reader *reader)
{
	struct synod_session_place *at =
		(struct synod_session_place *)synod_session_column(table, table->at_places) + place;
	struct synod_session_entry *window = synod_session_window(table, place);
	struct synod_session_entry entry;
	uint64_t index_min = 0;

	while (entries--) { /* at most SYNOD_SESSION_WINDOW turns: each has its own index */
		uint64_t index;

		if (synod_image_get(reader, &entry, sizeof(entry)) < 0)
			return -EBADMSG;
		index = entry.number & (SYNOD_SESSION_WINDOW - 1);
		if (entry.number == 0 || index < index_min ||
		    synod_session_entry_position(&entry) == 0 ||
		    synod_session_entry_position(&entry) > position)
			return -EBADMSG;
		window[index] = entry;
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
	uint64_t *used = synod_session_column(table, table->at_used);

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
		used[table->count] = session.used;
		if (load_window(table, table->count++, session.entries, position, &reader) < 0)
			return -EBADMSG;
	}
	return reader.left ? -EBADMSG : 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The indexes of the session table: open-addressed, by id for commands, and by who opened it for
 * REGISTERs. Both name places, have twice as many buckets as there are places at least, and keep no
 * tombstones: after any history they are as short as new ones. They can be told from the places,
 * so they are not part of an image: loading builds them again.
 *
 * An id is given by the log, a nonce is chosen by a client: one that chooses them to meet in one
 * bucket makes its own REGISTERs as slow as a look at all places, which is what they cost before
 * there was an index.
 */
#include "engine/machine/session_internal.h"

typedef uint64_t key_of_place(const struct synod_sessions *table, uint32_t place);

static uint64_t id_of(const struct synod_sessions *table, uint32_t place)
{
	return synod_session_place(table, place)->id;
}

/* An identity and a nonce may be the same number: whoever looks for one compares both. */
static uint64_t opener_of(const struct synod_sessions *table, uint32_t place)
{
	const struct synod_session_owner *owner = synod_session_owner(table, place);

	return owner->identity ? owner->identity : owner->nonce;
}

/* At most bucket_count turns: half are empty. */
uint32_t synod_session_find(const struct synod_sessions *table, uint64_t id)
{
	const uint32_t *buckets = synod_session_column(table, table->at_ids);
	uint32_t bucket = synod_session_bucket(table, id);

	while (buckets[bucket]) {
		if (synod_session_place(table, buckets[bucket] - 1)->id == id)
			return buckets[bucket] - 1;
		bucket = (bucket + 1) & (table->bucket_count - 1);
	}
	return table->capacity;
}

uint32_t synod_session_find_owner(const struct synod_sessions *table, uint64_t identity,
				  uint64_t nonce)
{
	const uint32_t *buckets = synod_session_column(table, table->at_openers);
	uint32_t bucket = synod_session_bucket(table, identity ? identity : nonce);

	while (buckets[bucket]) { /* at most bucket_count turns: half are empty */
		uint32_t place = buckets[bucket] - 1;
		const struct synod_session_owner *owner = synod_session_owner(table, place);

		if (owner->identity == identity && (identity || owner->nonce == nonce))
			return place;
		bucket = (bucket + 1) & (table->bucket_count - 1);
	}
	return table->capacity;
}

static void insert(const struct synod_sessions *table, uint64_t at, key_of_place *key_of,
		   uint32_t place)
{
	uint32_t *buckets = synod_session_column(table, at);
	uint32_t bucket = synod_session_bucket(table, key_of(table, place));

	while (buckets[bucket]) { /* at most bucket_count / 2 turns */
		synod_assert_cmp(buckets[bucket] - 1, !=, place);
		bucket = (bucket + 1) & (table->bucket_count - 1);
	}
	buckets[bucket] = place + 1;
}

/*
 * Removes a place and moves back what stood behind it only because of it (no tombstones: the index
 * after any history is as short as a new one's; Knuth, volume 3, 6.4, algorithm R).
 */
static void take_out(const struct synod_sessions *table, uint64_t at, key_of_place *key_of,
		     uint32_t place)
{
	uint32_t *buckets = synod_session_column(table, at);
	uint32_t mask = table->bucket_count - 1;
	uint32_t hole = synod_session_bucket(table, key_of(table, place));
	uint32_t next;

	while (buckets[hole] != place + 1) {
		synod_assert(buckets[hole] != 0); /* it is there */
		hole = (hole + 1) & mask;
	}
	for (next = (hole + 1) & mask; buckets[next]; next = (next + 1) & mask) {
		uint32_t home = synod_session_bucket(table, key_of(table, buckets[next] - 1));

		/* Its home is not in (hole, next]: it may move into the hole. */
		if (((next - home) & mask) >= ((next - hole) & mask)) {
			buckets[hole] = buckets[next];
			hole = next;
		}
	}
	buckets[hole] = 0;
}

void synod_session_index_insert(struct synod_sessions *table, uint32_t place)
{
	synod_assert_cmp(place, <, table->capacity);
	synod_assert(id_of(table, place) != 0);
	insert(table, table->at_ids, id_of, place);
	insert(table, table->at_openers, opener_of, place);
}

void synod_session_index_remove(struct synod_sessions *table, uint32_t place)
{
	synod_assert_cmp(place, <, table->count);
	take_out(table, table->at_ids, id_of, place);
	take_out(table, table->at_openers, opener_of, place);
}

/*
 * In two passes, so that the misses of all of them are under way at once: the buckets, then what
 * these name. The first bucket of a session is nearly always its own.
 */
void synod_session_ahead(const struct synod_sessions *table, struct synod_session_ahead *commands,
			 uint32_t count)
{
	const uint32_t *buckets = synod_session_column(table, table->at_ids);

	synod_assert_cmp(count, <=, SYNOD_BATCH_COMMANDS_MAX);
	for (uint32_t i = 0; i < count; i++)
		__builtin_prefetch(&buckets[synod_session_bucket(table, commands[i].session)]);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t named = buckets[synod_session_bucket(table, commands[i].session)];

		commands[i].place = named ? named - 1 : 0;
		__builtin_prefetch(synod_session_place(table, commands[i].place), 1);
		__builtin_prefetch(
			synod_session_entry(table, commands[i].place, commands[i].number), 1);
	}
}

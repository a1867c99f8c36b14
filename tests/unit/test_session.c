/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session table, against a naive twin: a list of sessions, each with a list of every number
 * that it ever executed. Small tables and numbers near the window's edge, so that everything
 * happens.
 */
#include "engine/machine/session.h"

#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/machine/session_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	TWIN_NUMBERS = 3 * SYNOD_SESSION_WINDOW_MAX,
	TWIN_SESSIONS = 8
};

struct twin_session {
	uint64_t id; /* 0: place never used */
	uint64_t nonce;
	uint64_t identity; /* 0: anonymous */
	uint64_t incarnation;
	uint64_t used;
	uint64_t position[TWIN_NUMBERS]; /* by number; 0: not executed */
};

static struct twin_session twin[TWIN_SESSIONS];
static uint32_t twin_capacity;
static uint32_t twin_window;

static struct synod_sessions *make_table_of(uint32_t sessions, uint32_t window)
{
	size_t size = synod_session_table_size(sessions, window);
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	assert_non_null(memory);
	memset(memory, 0, size);
	synod_session_table_init(memory, sessions, window);
	return memory;
}

static struct synod_sessions *make_table(uint32_t sessions)
{
	return make_table_of(sessions, SYNOD_SESSION_WINDOW_MAX);
}

/* An anonymous registration. */
static uint64_t open_nonce(struct synod_sessions *table, uint64_t nonce, uint64_t slot,
			   uint32_t index, uint64_t *evicted)
{
	const struct synod_session_opening opening = { .nonce = nonce,
						       .slot = slot,
						       .index = index };

	return synod_session_open(table, &opening, evicted);
}

static uint64_t open_life(struct synod_sessions *table, uint64_t identity, uint64_t incarnation,
			  uint64_t nonce, uint64_t slot)
{
	const struct synod_session_opening opening = {
		.nonce = nonce, .identity = identity, .incarnation = incarnation, .slot = slot
	};
	uint64_t evicted;

	return synod_session_open(table, &opening, &evicted);
}

/* Later, by the two numbers written one behind the other. */
static int twin_is_later(const struct synod_session_opening *opening,
			 const struct twin_session *than)
{
	char left[64];
	char right[64];

	snprintf(left, sizeof(left), "%020llu %020llu", (unsigned long long)opening->incarnation,
		 (unsigned long long)opening->nonce);
	snprintf(right, sizeof(right), "%020llu %020llu", (unsigned long long)than->incarnation,
		 (unsigned long long)than->nonce);
	return strcmp(left, right) > 0;
}

static uint64_t twin_fill(struct twin_session *place, const struct synod_session_opening *opening)
{
	memset(place, 0, sizeof(*place));
	place->id = opening->slot << 16 | (opening->index + 1);
	place->nonce = opening->nonce;
	place->identity = opening->identity;
	place->incarnation = opening->incarnation;
	place->used = opening->slot;
	return place->id;
}

static uint64_t twin_open(const struct synod_session_opening *opening, uint64_t *evicted)
{
	uint32_t place;
	uint32_t victim = 0;

	*evicted = 0;
	for (place = 0; place < twin_capacity; place++) {
		struct twin_session *at = &twin[place];

		if (!at->id || at->identity != opening->identity)
			continue;
		if (at->nonce == opening->nonce &&
		    (!at->identity || at->incarnation == opening->incarnation))
			return at->id;
		if (!at->identity)
			continue;
		if (!twin_is_later(opening, at))
			return 0;
		*evicted = at->id;
		return twin_fill(at, opening);
	}
	for (place = 0; place < twin_capacity && twin[place].id; place++) {
		if (twin[place].used < twin[victim].used)
			victim = place;
	}
	if (place == twin_capacity) {
		place = victim;
		*evicted = twin[place].id;
	}
	return twin_fill(&twin[place], opening);
}

static enum synod_session_verdict twin_check(uint64_t session, uint64_t number, uint64_t *position,
					     struct twin_session **found)
{
	uint32_t place;
	uint64_t later;

	for (place = 0; place < twin_capacity; place++) {
		if (twin[place].id == session && session)
			break;
	}
	if (place == twin_capacity)
		return SYNOD_SESSION_NONE;
	*found = &twin[place];
	*position = twin[place].position[number];
	if (number == 0)
		return SYNOD_SESSION_TOO_OLD;
	/* It left the window when one a whole number of windows later was executed. */
	for (later = number + twin_window; later < TWIN_NUMBERS; later += twin_window) {
		if (twin[place].position[later])
			return SYNOD_SESSION_TOO_OLD;
	}
	return *position ? SYNOD_SESSION_DUPLICATE : SYNOD_SESSION_NEW;
}

static void do_open(struct synod_sessions *table, uint64_t *random, uint64_t slot, uint32_t index)
{
	struct synod_session_opening opening = {
		.nonce = synod_random_below(random, 12),
		.identity = synod_random_below(random, 3) ? 0 : 1 + synod_random_below(random, 3),
		.slot = slot,
		.index = index,
	};
	uint64_t evicted;
	uint64_t evicted_twin;
	uint64_t expected;

	if (opening.identity)
		opening.incarnation = slot / 200 + synod_random_below(random, 3);
	expected = twin_open(&opening, &evicted_twin);
	assert_int_equal(synod_session_open(table, &opening, &evicted), expected);
	assert_int_equal(evicted, evicted_twin);
}

static void do_command(struct synod_sessions *table, uint64_t *random, uint64_t slot,
		       uint64_t session, uint64_t *position)
{
	const uint64_t bases[] = { 0, twin_window - 8, twin_window, 2 * twin_window - 4,
				   2 * twin_window };
	uint64_t number = bases[synod_random_below(random, 5)] + synod_random_below(random, 16);
	struct synod_session_entry *entry = NULL;
	struct twin_session *place = NULL;
	uint64_t known = 0;
	enum synod_session_verdict expected = twin_check(session, number, &known, &place);

	assert_int_equal(synod_session_check(table, session, number, &entry), expected);
	if (expected == SYNOD_SESSION_DUPLICATE) {
		assert_int_equal(synod_session_entry_position(entry), known);
		assert_int_equal(synod_session_entry_status(entry), known % 11);
	} else if (expected == SYNOD_SESSION_NEW) {
		++*position;
		synod_session_store(table, entry, number, *position, (uint16_t)(*position % 11),
				    slot);
		place->position[number] = *position;
		place->used = slot;
	}
}

static void run_against_twin(uint32_t capacity, uint32_t window, uint64_t seed)
{
	struct synod_sessions *table = make_table_of(capacity, window);
	uint64_t random = seed;
	uint64_t position = 0;
	uint64_t opened[64] = { 0 };
	uint64_t slot;

	memset(twin, 0, sizeof(twin));
	twin_capacity = capacity;
	twin_window = window;
	for (slot = 1; slot < 4000; slot++) {
		uint32_t index;

		for (index = 0; index < 8; index++) {
			uint64_t pick = synod_random_below(&random, 64);

			if (synod_random_below(&random, 60) == 0) {
				do_open(table, &random, slot, index);
				opened[pick] = twin[pick % capacity].id;
			} else {
				/* Open ones, evicted ones, and ids that never were. */
				uint64_t session = pick % 3 == 0   ? opened[pick]
						   : pick % 3 == 1 ? twin[pick % capacity].id
								   : opened[pick] + pick % 2;

				do_command(table, &random, slot, session, &position);
			}
		}
	}
	assert_int_equal(synod_session_count(table), capacity);
	free(table);
}

static void random_streams_equal_the_naive_twin(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 12; seed++)
		run_against_twin(1 + (uint32_t)(seed % TWIN_SESSIONS), SYNOD_SESSION_WINDOW_MAX,
				 seed);
	for (seed = 13; seed <= 30; seed++)
		run_against_twin(1 + (uint32_t)(seed % TWIN_SESSIONS),
				 SYNOD_SESSION_WINDOW_MIN << seed % 3, seed);
}

static void an_evicted_place_is_as_new(void **state)
{
	struct synod_sessions *used = make_table(1);
	struct synod_sessions *fresh = make_table(1);
	struct synod_session_entry *entry;
	uint64_t evicted;
	uint64_t number;
	uint64_t session = open_nonce(used, 1, 1, 0, &evicted);

	(void)state;
	for (number = 1; number <= 5000; number++) {
		assert_int_equal(synod_session_check(used, session, number, &entry),
				 SYNOD_SESSION_NEW);
		synod_session_store(used, entry, number, number, 0, 2);
	}
	session = open_nonce(used, 2, 3, 0, &evicted);
	assert_int_not_equal(evicted, 0);
	open_nonce(fresh, 2, 3, 0, &evicted);
	assert_memory_equal(used, fresh, synod_session_table_size(1, SYNOD_SESSION_WINDOW_MAX));
	free(used);
	free(fresh);
}

static void a_full_table_finds_every_session_after_many_evictions(void **state)
{
	enum {
		SESSIONS = 128,
		SLOTS = 20000
	};
	struct synod_sessions *table = make_table(SESSIONS);
	struct synod_session_entry *entry;
	uint64_t ids[SLOTS + 1];
	uint64_t evicted;
	uint64_t slot;
	uint64_t back;

	(void)state;
	for (slot = 1; slot <= SLOTS; slot++)
		ids[slot] = open_nonce(table, slot, slot, (uint32_t)(slot % 300), &evicted);
	for (back = 0; back < SLOTS; back++)
		assert_int_equal(synod_session_check(table, ids[SLOTS - back], 1, &entry),
				 back < SESSIONS ? SYNOD_SESSION_NEW : SYNOD_SESSION_NONE);
	free(table);
}

/* What the table says of one that is open, or 0: the REGISTER that finds it opens none. */
static uint64_t find_again(struct synod_sessions *table, uint64_t nonce, uint64_t slot)
{
	uint32_t count = synod_session_count(table);
	uint64_t evicted;
	uint64_t found = open_nonce(table, nonce, slot, 0, &evicted);

	assert_int_equal(evicted, 0);
	assert_int_equal(synod_session_count(table), count);
	return found;
}

static void fill(struct synod_sessions *table, uint32_t sessions, uint32_t window)
{
	struct synod_session_entry *entry;
	uint64_t evicted;
	uint64_t slot;

	for (slot = 1; slot <= sessions; slot++) {
		uint64_t id = open_nonce(table, slot, slot, 0, &evicted);

		assert_int_equal(evicted, 0);
		assert_int_equal(synod_session_check(table, id, window - 1, &entry),
				 SYNOD_SESSION_NEW);
		synod_session_store(table, entry, window - 1, slot, 0, slot);
	}
	assert_int_equal(synod_session_count(table), sessions);
}

static void the_largest_tables_hold_their_sessions(void **state)
{
	static const uint32_t windows[] = { SYNOD_SESSION_WINDOW_MIN, 256,
					    SYNOD_SESSION_WINDOW_MAX };
	uint32_t index;

	(void)state;
	for (index = 0; index < sizeof(windows) / sizeof(windows[0]); index++) {
		uint32_t most = SYNOD_SESSION_ENTRIES_MAX / windows[index];
		uint32_t sessions = most < SYNOD_SESSIONS_MAX ? most : SYNOD_SESSIONS_MAX;
		struct synod_sessions *table = make_table_of(sessions, windows[index]);
		uint64_t nonce;

		fill(table, sessions, windows[index]);
		for (nonce = 1; nonce <= sessions; nonce++)
			assert_int_equal(find_again(table, nonce, sessions + nonce),
					 nonce << 16 | 1);
		free(table);
	}
}

/* Strips: each entry of each place has 16 bytes of its own, inside the table. */
static void no_two_entries_share_a_byte(void **state)
{
	static const struct {
		uint32_t sessions;
		uint32_t window;
	} shapes[] = { { 1, 2 }, { 3, 32 }, { 5, 64 }, { 7, 128 }, { 64, 4096 } };

	(void)state;
	for (size_t shape = 0; shape < sizeof(shapes) / sizeof(shapes[0]); shape++) {
		uint32_t sessions = shapes[shape].sessions;
		uint32_t window = shapes[shape].window;
		struct synod_sessions *table = make_table_of(sessions, window);
		size_t size = synod_session_table_size(sessions, window);
		uint8_t *taken = calloc(1, size / sizeof(struct synod_session_entry));

		assert_non_null(taken);
		for (uint32_t entry = 0; entry < sessions * window; entry++) {
			const struct synod_session_entry *at =
				synod_session_entry(table, entry / window, entry % window);
			size_t offset = (size_t)((const uint8_t *)at - (const uint8_t *)table);

			assert_int_equal(offset % sizeof(*at), 0);
			assert_in_range(offset, table->at_windows, size - sizeof(*at));
			assert_int_equal(taken[offset / sizeof(*at)]++, 0);
		}
		free(taken);
		free(table);
	}
}

static void shapes_that_are_too_large_or_odd_are_none(void **state)
{
	(void)state;
	assert_true(synod_session_shape_is_sane(1, 2));
	assert_true(synod_session_shape_is_sane(SYNOD_SESSIONS_MAX, 256));
	assert_true(synod_session_shape_is_sane(1024, SYNOD_SESSION_WINDOW_MAX));
	assert_false(synod_session_shape_is_sane(0, 256));
	assert_false(synod_session_shape_is_sane(SYNOD_SESSIONS_MAX + 1, 16));
	assert_false(synod_session_shape_is_sane(8, 1));
	assert_false(synod_session_shape_is_sane(8, SYNOD_SESSION_WINDOW_MAX * 2));
	assert_false(synod_session_shape_is_sane(8, 257));
	assert_false(synod_session_shape_is_sane(1025, SYNOD_SESSION_WINDOW_MAX));
	assert_false(synod_session_shape_is_sane(SYNOD_SESSIONS_MAX, 512));
}

/* Nonces that meet in one bucket, and an identity that is the same number as a nonce. */
static void registrations_that_collide_are_found_after_evictions_and_a_load(void **state)
{
	enum {
		SESSIONS = 64,
		LAST = 400
	};
	struct synod_sessions *table = make_table_of(SESSIONS, SYNOD_SESSION_WINDOW_MIN);
	struct synod_sessions *loaded = make_table_of(SESSIONS, SYNOD_SESSION_WINDOW_MIN);
	size_t max = synod_session_table_image_max(SESSIONS, SYNOD_SESSION_WINDOW_MIN);
	void *image = malloc(max);
	uint64_t ids[LAST + 1] = { 0 };
	uint64_t evicted;
	uint64_t slot;

	(void)state;
	assert_non_null(image);
	for (slot = 1; slot <= LAST; slot++)
		ids[slot] =
			slot % 4 ? open_nonce(table, slot % 8 << 60 | slot, slot, 0, &evicted)
				 : open_life(table, (slot + 1) % 8 << 60 | (slot + 1), 1, 1, slot);
	assert_int_equal(synod_session_table_load(loaded, LAST, 0, image,
						  synod_session_table_save(table, image)),
			 0);
	for (slot = LAST - SESSIONS + 1; slot <= LAST; slot++) {
		uint64_t nonce = slot % 8 << 60 | slot;
		uint64_t identity = (slot + 1) % 8 << 60 | (slot + 1);

		if (slot % 4) {
			assert_int_equal(find_again(table, nonce, LAST + slot), ids[slot]);
			assert_int_equal(find_again(loaded, nonce, LAST + slot), ids[slot]);
		} else {
			assert_int_equal(open_life(table, identity, 1, 1, LAST + slot), ids[slot]);
			assert_int_equal(open_life(loaded, identity, 1, 1, LAST + slot), ids[slot]);
		}
	}
	free(image);
	free(loaded);
	free(table);
}

/* It may be asked for anything: it is a hint. */
static void looking_ahead_changes_nothing(void **state)
{
	struct synod_sessions *table = make_table_of(64, 256);
	struct synod_sessions *before = make_table_of(64, 256);
	struct synod_session_ahead ahead[32];
	uint64_t random = 7;
	uint32_t index;

	(void)state;
	fill(table, 64, 256);
	memcpy(before, table, synod_session_table_size(64, 256));
	for (index = 0; index < 32; index++)
		ahead[index] = (struct synod_session_ahead){
			.session =
				index < 16 ? (uint64_t)index << 16 | 1 : synod_random_next(&random),
			.number = synod_random_next(&random),
		};
	synod_session_ahead(table, ahead, 32);
	synod_session_ahead(table, ahead, 0);
	for (index = 0; index < 32; index++)
		assert_in_range(ahead[index].place, 0, 63);
	assert_memory_equal(table, before, synod_session_table_size(64, 256));
	free(before);
	free(table);
}

static enum synod_session_verdict verdict_of(struct synod_sessions *table, uint64_t session)
{
	struct synod_session_entry *entry;

	return synod_session_check(table, session, 1, &entry);
}

static void a_later_life_closes_the_session_of_the_former_one(void **state)
{
	struct synod_sessions *table = make_table(4);
	uint64_t former = open_life(table, 7, 1, 100, 1);
	uint64_t other = open_life(table, 8, 1, 100, 2);
	uint64_t later = open_life(table, 7, 2, 50, 3);

	(void)state;
	assert_int_not_equal(later, former);
	assert_int_equal(verdict_of(table, former), SYNOD_SESSION_NONE);
	assert_int_equal(verdict_of(table, later), SYNOD_SESSION_NEW);
	assert_int_equal(verdict_of(table, other), SYNOD_SESSION_NEW);
	assert_int_equal(synod_session_count(table), 2); /* in the same place */
	free(table);
}

static void a_delayed_registration_of_a_former_life_changes_nothing(void **state)
{
	size_t size = synod_session_table_size(4, SYNOD_SESSION_WINDOW_MAX);
	struct synod_sessions *table = make_table(4);
	struct synod_sessions *before = make_table(4);
	uint64_t later;

	(void)state;
	open_life(table, 7, 1, 100, 1);
	later = open_life(table, 7, 2, 50, 2);
	memcpy(before, table, size);
	assert_int_equal(open_life(table, 7, 1, 100, 3), 0);	/* its copy */
	assert_int_equal(open_life(table, 7, 1, 101, 4), 0);	/* that life again */
	assert_int_equal(open_life(table, 7, 2, 50, 5), later); /* a copy of the later life's */
	assert_memory_equal(table, before, size);
	free(table);
	free(before);
}

static void within_one_life_the_greater_nonce_is_the_later_registration(void **state)
{
	struct synod_sessions *table = make_table(4);
	uint64_t first = open_life(table, 7, 1, 100, 1);
	uint64_t second = open_life(table, 7, 1, 101, 2);

	(void)state;
	assert_int_equal(verdict_of(table, first), SYNOD_SESSION_NONE);
	assert_int_equal(verdict_of(table, second), SYNOD_SESSION_NEW);
	assert_int_equal(open_life(table, 7, 1, 100, 3), 0);
	free(table);
}

static void a_life_evicted_for_want_of_places_comes_back_past_a_former_one(void **state)
{
	struct synod_sessions *table = make_table(1);
	uint64_t evicted;
	uint64_t ghost;
	uint64_t back;

	(void)state;
	open_life(table, 7, 2, 50, 1);
	open_nonce(table, 1, 2, 0, &evicted);	/* takes the only place */
	ghost = open_life(table, 7, 1, 100, 3); /* a former life's, much delayed: nobody's */
	assert_int_equal(verdict_of(table, ghost), SYNOD_SESSION_NEW);
	back = open_life(table, 7, 2, 51, 4);
	assert_int_equal(verdict_of(table, ghost), SYNOD_SESSION_NONE);
	assert_int_equal(verdict_of(table, back), SYNOD_SESSION_NEW);
	free(table);
}

static void an_anonymous_registration_never_finds_an_identity_s_session(void **state)
{
	struct synod_sessions *table = make_table(4);
	uint64_t evicted;
	uint64_t named = open_life(table, 7, 1, 100, 1);

	(void)state;
	assert_int_not_equal(open_nonce(table, 100, 2, 0, &evicted), named);
	assert_int_equal(verdict_of(table, named), SYNOD_SESSION_NEW);
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_streams_equal_the_naive_twin),
		cmocka_unit_test(an_evicted_place_is_as_new),
		cmocka_unit_test(a_full_table_finds_every_session_after_many_evictions),
		cmocka_unit_test(the_largest_tables_hold_their_sessions),
		cmocka_unit_test(no_two_entries_share_a_byte),
		cmocka_unit_test(shapes_that_are_too_large_or_odd_are_none),
		cmocka_unit_test(registrations_that_collide_are_found_after_evictions_and_a_load),
		cmocka_unit_test(looking_ahead_changes_nothing),
		cmocka_unit_test(a_later_life_closes_the_session_of_the_former_one),
		cmocka_unit_test(a_delayed_registration_of_a_former_life_changes_nothing),
		cmocka_unit_test(within_one_life_the_greater_nonce_is_the_later_registration),
		cmocka_unit_test(a_life_evicted_for_want_of_places_comes_back_past_a_former_one),
		cmocka_unit_test(an_anonymous_registration_never_finds_an_identity_s_session),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}

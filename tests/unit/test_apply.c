/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches through sessions to the sequencer: positions, duplicates, refusals, hashes. */
#include "engine/machine/apply.h"

#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/wire/wire.h"
#include "tests/unit/apply_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	SESSIONS = 4,
	RESULTS_MAX = 400
};

struct results {
	uint32_t count;
	struct synod_apply_result result[RESULTS_MAX];
};

static struct apply_batch batch;
static struct results results;

static void sink(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct results *to = context;

	assert_int_equal(index, to->count);
	to->result[to->count++] = *result;
}

static struct synod_apply *make(void)
{
	size_t size = synod_apply_size(&synod_sequencer_machine, SESSIONS);
	void *memory = aligned_alloc(64, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	return synod_apply_init(memory, &synod_sequencer_machine, SESSIONS);
}

static void add(uint8_t kind, uint64_t session, uint64_t number, const char *payload)
{
	const struct synod_wire_command command = {
		.session = session,
		.number = number,
		.size = (uint32_t)strlen(payload),
		.kind = kind,
	};

	apply_batch_add(&batch, command, payload);
}

static void add_life(uint64_t identity, uint64_t incarnation, uint64_t nonce)
{
	apply_batch_add_life(&batch, identity, incarnation, nonce);
}

/* Applies what was added, from an address as odd as a frame makes it, to the next slot. */
static void apply_next(struct synod_apply *apply)
{
	uint8_t *block = malloc(batch.size + 2);

	assert_non_null(block);
	memcpy(block + 2, batch.bytes, batch.size);
	results.count = 0;
	synod_apply_batch(apply, synod_apply_slot(apply) + 1, block + 2, batch.size, sink,
			  &results);
	batch.size = 0;
	free(block);
}

static uint64_t open_session(struct synod_apply *apply, uint64_t nonce)
{
	add(SYNOD_COMMAND_REGISTER, 0, nonce, "");
	apply_next(apply);
	assert_int_equal(results.result[0].status, SYNOD_OK);
	assert_int_equal(results.result[0].executed, 0);
	return results.result[0].position;
}

static void positions_are_given_to_executed_commands_only(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session = open_session(apply, 1);

	(void)state;
	assert_int_equal(session, 1 << 16 | 1);
	add(SYNOD_COMMAND_APPLY, session, 1, "a");
	add(SYNOD_COMMAND_APPLY, session, 1, "a");
	add(SYNOD_COMMAND_APPLY, session + 1, 1, "nobody");
	add(SYNOD_COMMAND_REGISTER, 0, 2, "");
	add(SYNOD_COMMAND_APPLY, session, 0, "zero");
	add(SYNOD_COMMAND_APPLY, session, 2, "b");
	apply_next(apply);
	assert_int_equal(results.count, 6);
	assert_int_equal(results.result[0].position, 1);
	assert_int_equal(results.result[0].executed, 1);
	assert_int_equal(results.result[1].position, 1);
	assert_int_equal(results.result[1].duplicate, 1);
	assert_int_equal(results.result[1].executed, 0);
	assert_int_equal(results.result[2].status, SYNOD_SESSION_EVICTED);
	assert_int_equal(results.result[2].position, 0);
	assert_int_equal(results.result[3].position, 2 << 16 | 4);
	assert_int_equal(results.result[4].status, SYNOD_STALE);
	assert_int_equal(results.result[5].position, 2);
	assert_int_equal(synod_apply_position(apply), 2);
	assert_int_equal(synod_apply_sessions(apply), 2);
	assert_int_equal(synod_apply_slot(apply), 2);
	free(apply);
}

static void a_repeated_registration_finds_its_session(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session = open_session(apply, 5);

	(void)state;
	assert_int_equal(open_session(apply, 5), session);
	assert_int_not_equal(open_session(apply, 6), session);
	assert_int_equal(synod_apply_sessions(apply), 2);
	free(apply);
}

static void what_a_former_life_sent_is_refused_once_the_later_one_is_registered(void **state)
{
	struct synod_apply *apply = make();
	uint64_t former;
	uint64_t later;

	(void)state;
	add_life(7, 1, 500);
	apply_next(apply);
	former = results.result[0].position;
	add(SYNOD_COMMAND_APPLY, former, 1, "done");
	add_life(7, 2, 90);
	add(SYNOD_COMMAND_APPLY, former, 2, "delayed, and never executed before");
	add(SYNOD_COMMAND_APPLY, former, 1, "delayed, and executed before");
	add_life(7, 1, 500); /* a copy of the former life's registration */
	apply_next(apply);
	later = results.result[1].position;
	assert_int_equal(results.result[0].executed, 1);
	assert_int_equal(results.result[2].status, SYNOD_SESSION_EVICTED);
	assert_int_equal(results.result[3].status, SYNOD_SESSION_EVICTED);
	assert_int_equal(results.result[4].status, SYNOD_SESSION_EVICTED);
	assert_int_equal(results.result[4].position, 0);
	add(SYNOD_COMMAND_APPLY, later, 1, "goes on");
	apply_next(apply);
	assert_int_equal(results.result[0].position, 2);
	assert_int_equal(synod_apply_sessions(apply), 1);
	free(apply);
}

static void a_session_opened_in_a_batch_serves_later_commands_of_it(void **state)
{
	struct synod_apply *apply = make();

	(void)state;
	add(SYNOD_COMMAND_APPLY, 1 << 16 | 2, 1, "too early");
	add(SYNOD_COMMAND_REGISTER, 0, 9, "");
	add(SYNOD_COMMAND_APPLY, 1 << 16 | 2, 1, "in time");
	apply_next(apply);
	assert_int_equal(results.result[0].status, SYNOD_SESSION_EVICTED);
	assert_int_equal(results.result[2].position, 1);
	free(apply);
}

static void the_session_used_longest_ago_is_evicted(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session[SESSIONS + 1];
	uint32_t index;

	(void)state;
	for (index = 0; index < SESSIONS; index++)
		session[index] = open_session(apply, index + 1);
	add(SYNOD_COMMAND_APPLY, session[0], 1, "still here");
	apply_next(apply);
	session[SESSIONS] = open_session(apply, 99);
	for (index = 0; index <= SESSIONS; index++)
		add(SYNOD_COMMAND_APPLY, session[index], 2, "x");
	apply_next(apply);
	for (index = 0; index <= SESSIONS; index++)
		assert_int_equal(results.result[index].status,
				 index == 1 ? SYNOD_SESSION_EVICTED : SYNOD_OK);
	free(apply);
}

/* A part of a command of total bytes that all are letter. */
static void add_part(uint64_t session, uint64_t number, char letter, uint32_t offset,
		     uint32_t total, uint32_t size)
{
	const struct synod_wire_part part = { .offset = offset, .total = total };

	apply_batch_add_part(&batch, session, number, letter, &part, size);
}

static void expect_result(uint32_t index, uint16_t status, uint64_t position, uint32_t have)
{
	assert_int_equal(results.result[index].status, status);
	assert_int_equal(results.result[index].position, position);
	if (status == SYNOD_PARTIAL)
		assert_int_equal(results.result[index].have, have);
}

/* The machine's is the last of the block: the sequencer's 16 bytes, rounded up to a line. */
static const uint8_t *machine_state(const struct synod_apply *apply)
{
	return (const uint8_t *)apply + synod_apply_size(&synod_sequencer_machine, SESSIONS) - 64;
}

static void a_large_command_is_executed_once_and_by_its_last_part(void **state)
{
	struct synod_apply *parts = make();
	struct synod_apply *whole = make();
	uint64_t session = open_session(parts, 1);

	(void)state;
	add_part(session, 1, 'x', 0, 1000, 400);
	add_part(session, 1, 'x', 600, 1000, 400); /* not its turn */
	add_part(session, 1, 'x', 400, 1000, 400);
	add(SYNOD_COMMAND_APPLY, session, 2, "between");
	add_part(session, 1, 'x', 800, 1000, 200);
	add_part(session, 1, 'x', 800, 1000, 200); /* a copy of the last, and of the first */
	add_part(session, 1, 'x', 0, 1000, 400);
	add(SYNOD_COMMAND_APPLY, session, 1, "the same number");
	apply_next(parts);
	expect_result(0, SYNOD_PARTIAL, 0, 400);
	expect_result(1, SYNOD_PARTIAL, 0, 400);
	expect_result(2, SYNOD_PARTIAL, 0, 800);
	expect_result(3, SYNOD_OK, 1, 0);
	expect_result(4, SYNOD_OK, 2, 0);
	for (uint32_t index = 5; index < 8; index++) {
		expect_result(index, SYNOD_OK, 2, 0);
		assert_int_equal(results.result[index].duplicate, 1);
		assert_int_equal(results.result[index].executed, 0);
	}
	assert_int_equal(results.result[4].executed, 1);
	assert_int_equal(results.result[1].part, SYNOD_APPLY_PART_LEFT);
	assert_int_equal(results.result[4].part, SYNOD_APPLY_PART_TAKEN);
	assert_int_equal(results.result[4].offset, 800);
	assert_int_equal(synod_apply_position(parts), 2);
	/* The machine saw what it would have seen in one piece: the sequencer hashes it. */
	session = open_session(whole, 1);
	add(SYNOD_COMMAND_APPLY, session, 2, "between");
	apply_next(whole);
	add_part(session, 1, 'x', 0, 1000, 1000);
	apply_next(whole);
	assert_memory_equal(machine_state(parts), machine_state(whole), 16);
	free(parts);
	free(whole);
}

static void parts_of_others_and_of_nobody_are_refused(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session = open_session(apply, 1);
	uint64_t other = open_session(apply, 2);

	(void)state;
	add_part(session + 7, 1, 'a', 0, 200, 100);
	add_part(0, 1, 'a', 0, 200, 100);
	add_part(session, 0, 'a', 0, 200, 100);
	add_part(other, 1, 'b', 0, 200, 100);
	add_part(session, 1, 'a', 100, 200, 100); /* the other one's is no beginning of it */
	apply_next(apply);
	expect_result(0, SYNOD_SESSION_EVICTED, 0, 0);
	expect_result(1, SYNOD_SESSION_EVICTED, 0, 0);
	expect_result(2, SYNOD_STALE, 0, 0);
	expect_result(3, SYNOD_PARTIAL, 0, 100);
	expect_result(4, SYNOD_PARTIAL, 0, 0);
	assert_int_equal(synod_apply_position(apply), 0);
	free(apply);
}

static void a_session_that_goes_takes_its_half_command_with_it(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session;

	(void)state;
	add_life(7, 1, 1);
	apply_next(apply);
	session = results.result[0].position;
	add_part(session, 1, 'a', 0, 200, 100);
	add_life(7, 2, 1);
	add_part(session, 1, 'a', 100, 200, 100); /* the rest, delayed: of a former life */
	apply_next(apply);
	expect_result(2, SYNOD_SESSION_EVICTED, 0, 0);
	session = results.result[1].position;
	add_part(session, 1, 'b', 0, 200, 100);
	add_part(session, 1, 'b', 100, 200, 100);
	apply_next(apply);
	expect_result(1, SYNOD_OK, 1, 0);
	free(apply);
}

static void when_all_buffers_are_used_a_part_is_refused_until_one_is_free(void **state)
{
	const struct synod_apply_limits limits = { .sessions = SESSIONS,
						   .window = SYNOD_SESSION_WINDOW_MIN,
						   .assemblies = 1,
						   .assembly_size = 256 };
	size_t size = synod_apply_size_within(&synod_sequencer_machine, &limits);
	void *memory = aligned_alloc(64, size);
	struct synod_apply *apply;
	uint64_t session;
	uint64_t other;

	(void)state;
	assert_non_null(memory);
	memset(memory, 0, size);
	apply = synod_apply_init_within(memory, &synod_sequencer_machine, &limits);
	session = open_session(apply, 1);
	other = open_session(apply, 2);
	add_part(session, 1, 'a', 0, 200, 100);
	add_part(other, 1, 'b', 0, 200, 100);
	add_part(other, 2, 'b', 0, 300, 100);
	add_part(session, 1, 'a', 100, 200, 100);
	add_part(other, 1, 'b', 0, 200, 100);
	apply_next(apply);
	expect_result(1, SYNOD_BUSY, 0, 0);
	expect_result(2, SYNOD_TOO_LARGE, 0, 0);
	expect_result(3, SYNOD_OK, 1, 0);
	expect_result(4, SYNOD_PARTIAL, 0, 100);
	free(apply);
}

static void a_command_being_put_together_keeps_its_session(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session = open_session(apply, 1);

	(void)state;
	for (uint64_t nonce = 2; nonce <= SESSIONS; nonce++)
		open_session(apply, nonce);
	add_part(session, 1, 'a', 0, 200, 100);
	apply_next(apply);
	open_session(apply, 99); /* somebody has to go, and it is not the oldest */
	add_part(session, 1, 'a', 100, 200, 100);
	apply_next(apply);
	expect_result(0, SYNOD_OK, 1, 0);
	free(apply);
}

static void a_no_op_moves_the_slot_and_nothing_else(void **state)
{
	struct synod_apply *apply = make();

	(void)state;
	apply_next(apply);
	assert_int_equal(results.count, 0);
	assert_int_equal(synod_apply_slot(apply), 1);
	assert_int_equal(synod_apply_position(apply), 0);
	free(apply);
}

static void add_random(uint64_t *random)
{
	static const char *const payloads[] = { "", "a", "bb", "something longer" };
	uint32_t count = (uint32_t)synod_random_below(random, 20);

	while (count--) {
		uint64_t session = (1 + synod_random_below(random, 60)) << 16 | 1;

		if (synod_random_below(random, 5) == 0)
			add(SYNOD_COMMAND_REGISTER, 0, synod_random_below(random, 8), "");
		else if (synod_random_below(random, 5) == 0)
			add_part(session, synod_random_below(random, 50), 'z',
				 64 * (uint32_t)synod_random_below(random, 3), 192, 64);
		else if (synod_random_below(random, 10) == 0)
			add_life(1 + synod_random_below(random, 3), synod_random_below(random, 50),
				 synod_random_below(random, 8));
		else
			add(SYNOD_COMMAND_APPLY, session, synod_random_below(random, 50),
			    payloads[synod_random_below(random, 4)]);
	}
}

static void equal_histories_give_equal_bytes_and_a_lost_one_another_hash(void **state)
{
	size_t size = synod_apply_size(&synod_sequencer_machine, SESSIONS);
	struct synod_apply *one = make();
	struct synod_apply *two = make();
	struct synod_apply *three = make();
	uint64_t random = 5;
	uint32_t turn;

	(void)state;
	for (turn = 1; turn <= 300; turn++) {
		struct apply_batch saved;

		add_random(&random);
		saved = batch;
		apply_next(one);
		batch = saved;
		apply_next(two);
		assert_int_equal(synod_apply_hash(one), synod_apply_hash(two));
		batch = saved;
		if (turn == 150) { /* three executes one more than the others */
			batch.size = 0;
			add(SYNOD_COMMAND_REGISTER, 0, 1000, "");
		}
		apply_next(three);
		assert_int_equal(synod_apply_hash(one) == synod_apply_hash(three), turn < 150);
	}
	assert_memory_equal(one, two, size);
	free(one);
	free(two);
	free(three);
}

static void a_copy_of_the_block_goes_on_as_the_original(void **state)
{
	size_t size = synod_apply_size(&synod_sequencer_machine, SESSIONS);
	struct synod_apply *original = make();
	struct synod_apply *copy = make();
	uint64_t session = open_session(original, 1);

	(void)state;
	add(SYNOD_COMMAND_APPLY, session, 1, "before");
	apply_next(original);
	memcpy(copy, original, size);
	add(SYNOD_COMMAND_APPLY, session, 1, "again");
	apply_next(copy);
	assert_int_equal(results.result[0].duplicate, 1);
	free(original);
	free(copy);
}

static void a_query_changes_nothing_and_tells_only_who_has_a_session(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session = open_session(apply, 1);
	struct synod_apply_result result;
	uint64_t hash;

	(void)state;
	add(SYNOD_COMMAND_APPLY, session, 1, "a");
	add(SYNOD_COMMAND_APPLY, session, 2, "b");
	apply_next(apply);
	hash = synod_apply_hash(apply);
	synod_apply_query(apply, session, 3, "", 0, &result);
	assert_int_equal(result.status, SYNOD_OK);
	assert_int_equal(result.position, 2);
	assert_int_equal(result.session, session);
	assert_int_equal(result.number, 3);
	assert_int_equal(result.executed, 0);
	synod_apply_query(apply, session + 1, 3, "", 0, &result);
	assert_int_equal(result.status, SYNOD_SESSION_EVICTED);
	assert_int_equal(result.position, 0);
	synod_apply_query(apply, 0, 3, "", 0, &result);
	assert_int_equal(result.status, SYNOD_SESSION_EVICTED);
	assert_int_equal(synod_apply_hash(apply), hash);
	/* The number is still free. */
	add(SYNOD_COMMAND_APPLY, session, 3, "c");
	apply_next(apply);
	assert_int_equal(results.result[0].executed, 1);
	free(apply);
}

static void machines_are_found_by_name(void **state)
{
	(void)state;
	assert_ptr_equal(synod_machine_find("sequencer"), &synod_sequencer_machine);
	assert_ptr_equal(synod_machine_find("kv"), &synod_kv_machine);
	assert_null(synod_machine_find("other"));
	assert_null(synod_machine_find(""));
}

/* So that what is replayed from a network's memory leaves no trace. */
static void what_changes_nothing_leaves_the_hash_alone(void **state)
{
	struct synod_apply *apply = make();
	uint64_t session = open_session(apply, 7);
	uint64_t life;
	uint64_t hash;

	(void)state;
	add(SYNOD_COMMAND_APPLY, session, 5000, "a");
	add_life(1, 10, 3);
	apply_next(apply);
	life = synod_apply_slot(apply) << 16 | 2;
	hash = synod_apply_hash(apply);
	add(SYNOD_COMMAND_APPLY, session, 5000, "a");	/* again */
	add(SYNOD_COMMAND_APPLY, session, 904, "b");	/* its number left the window */
	add(SYNOD_COMMAND_APPLY, session + 99, 1, "c"); /* no such session */
	add(SYNOD_COMMAND_REGISTER, 0, 7, "");		/* open already */
	add_life(1, 10, 3);				/* the same */
	add_life(1, 9, 4);				/* an earlier life */
	apply_next(apply);
	apply_next(apply); /* a no-op */
	assert_int_equal(synod_apply_hash(apply), hash);
	add(SYNOD_COMMAND_APPLY, life, 1, "d");
	apply_next(apply);
	assert_int_not_equal(synod_apply_hash(apply), hash);
	hash = synod_apply_hash(apply);
	add_life(1, 11, 5); /* a later life: the earlier one is evicted, the count stays */
	apply_next(apply);
	assert_int_not_equal(synod_apply_hash(apply), hash);
	free(apply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(positions_are_given_to_executed_commands_only),
		cmocka_unit_test(a_repeated_registration_finds_its_session),
		cmocka_unit_test(
			what_a_former_life_sent_is_refused_once_the_later_one_is_registered),
		cmocka_unit_test(a_session_opened_in_a_batch_serves_later_commands_of_it),
		cmocka_unit_test(the_session_used_longest_ago_is_evicted),
		cmocka_unit_test(a_large_command_is_executed_once_and_by_its_last_part),
		cmocka_unit_test(parts_of_others_and_of_nobody_are_refused),
		cmocka_unit_test(a_session_that_goes_takes_its_half_command_with_it),
		cmocka_unit_test(when_all_buffers_are_used_a_part_is_refused_until_one_is_free),
		cmocka_unit_test(a_command_being_put_together_keeps_its_session),
		cmocka_unit_test(a_no_op_moves_the_slot_and_nothing_else),
		cmocka_unit_test(what_changes_nothing_leaves_the_hash_alone),
		cmocka_unit_test(equal_histories_give_equal_bytes_and_a_lost_one_another_hash),
		cmocka_unit_test(a_copy_of_the_block_goes_on_as_the_original),
		cmocka_unit_test(a_query_changes_nothing_and_tells_only_who_has_a_session),
		cmocka_unit_test(machines_are_found_by_name),
	};

	return cmocka_run_group_tests_name("apply", tests, NULL, NULL);
}

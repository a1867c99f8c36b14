/* SPDX-License-Identifier: BSD-3-Clause */
/* The core, event by event: what one replica may say, take and let go. */
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct bench bench;

static const uint32_t sizes[] = { 1, 3, 5, 7 };

/* The slot is chosen by votes of exactly a majority, the leader's own durable write among them. */
static void a_majority_and_no_less_chooses(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t quorum = sizes[i] / 2 + 1;

		bench_start(&bench, sizes[i], 16);
		bench_lead(&bench);
		bench_submit(&bench);
		for (uint32_t from = 2; from <= quorum; from++) {
			bench_accepted(&bench, from, 1);
			bench_accepted(&bench, from, 1); /* twice is once */
			assert_int_equal(bench.chosen_last, 0);
		}
		bench_durable(&bench);
		assert_int_equal(bench.chosen_last, 1);
	}
}

static void votes_of_all_others_suffice_without_the_own_disk(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_accepted(&bench, 2, 1);
	assert_int_equal(bench.chosen_last, 0);
	bench_accepted(&bench, 3, 1);
	assert_int_equal(bench.chosen_last, 1);
}

static void a_majority_and_no_less_elects(void **state)
{
	(void)state;
	for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t quorum = sizes[i] / 2 + 1;

		bench_start(&bench, sizes[i], 16);
		bench_tick(&bench, 200 * BENCH_MS);
		assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
		assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), sizes[i] - 1);
		assert_int_equal(bench.fx.writes_count, 0); /* a canvass changes nobody's state */
		for (uint32_t from = 2; from <= quorum; from++) {
			assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
			bench_message(&bench,
				      (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
							      .from = (uint8_t)from,
							      .to = 1,
							      .ballot = bench.core.ballot });
		}
		assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
	}
}

static void prepare_waits_for_the_own_promise_to_be_durable(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_tick(&bench, 200 * BENCH_MS);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
						      .from = 2,
						      .to = 1,
						      .ballot = bench.core.ballot });
	assert_int_equal(bench.fx.writes_count, 1);
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_PROMISE);
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 0);
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 2);
}

static void a_promise_is_told_when_it_is_durable(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_PREPARE,
						      .from = 3,
						      .to = 1,
						      .ballot = synod_ballot_make(4, 3),
						      .slot = 1 });
	assert_int_equal(bench.fx.sends_count, 0);
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_PROMISE), 1);
	/* A lower ballot is refused from then on. */
	bench_message(&bench, (struct synod_message){ .type = SYNOD_PREPARE,
						      .from = 2,
						      .to = 1,
						      .ballot = synod_ballot_make(4, 2),
						      .slot = 1 });
	assert_int_equal(bench_sent(&bench, SYNOD_REJECT), 1);
	assert_int_equal(bench.fx.sends[0].argument, synod_ballot_make(4, 3));
	assert_int_equal(bench.fx.writes_count, 0);
}

static struct synod_message accept_of(uint64_t ballot, uint64_t slot)
{
	return (struct synod_message){ .type = SYNOD_ACCEPT,
				       .from = (uint8_t)synod_ballot_replica(ballot),
				       .to = 1,
				       .has_value = 1,
				       .ballot = ballot,
				       .slot = slot,
				       .value_slot = slot,
				       .value_ballot = ballot,
				       .value = bench_value(&bench) };
}

static void accepted_is_told_when_it_is_durable(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_message(&bench, accept_of(synod_ballot_make(1, 2), 1));
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPTED), 0);
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPTED), 1);
	assert_int_equal(bench.fx.sends[0].slot, 1);
}

static void slots_beyond_a_hole_are_told_by_the_bitmap(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_message(&bench, accept_of(synod_ballot_make(1, 2), 1));
	bench_message(&bench, accept_of(synod_ballot_make(1, 2), 3));
	bench_message(&bench, accept_of(synod_ballot_make(1, 2), 5));
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPTED), 1);
	assert_int_equal(bench.fx.sends[0].slot, 1);
	/* Bit i is slot 1 + 1 + i: slots 3 and 5. */
	assert_int_equal(bench.fx.sends[0].argument, 1u << 1 | 1u << 3);
}

static void an_accept_that_comes_twice_is_written_once(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_message(&bench, accept_of(synod_ballot_make(1, 2), 1));
	assert_int_equal(bench.fx.writes_count, 2); /* bound to the ballot, and the value */
	bench_message(&bench, accept_of(synod_ballot_make(1, 2), 1));
	assert_int_equal(bench.fx.writes_count, 0);
	assert_int_equal(bench.fx.released_count, 1);
	assert_int_equal(bench.handles_live, 1);
}

static void who_does_not_lead_refuses_and_lets_go(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_submit(&bench);
	assert_int_equal(bench.fx.refused, SYNOD_NOT_LEADER);
	assert_int_equal(bench.handles_live, 0);
}

static void a_full_window_refuses_and_lets_go(void **state)
{
	uint32_t taken = 0;

	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	assert_int_equal(synod_core_can_submit(&bench.core), 8);
	while (synod_core_can_submit(&bench.core)) {
		uint32_t before = synod_core_can_submit(&bench.core);

		bench_submit(&bench);
		assert_int_equal(bench.fx.refused, 0);
		assert_int_equal(synod_core_can_submit(&bench.core), before - 1);
		taken++;
	}
	assert_int_equal(taken, 8); /* half the window in flight */
	bench_submit(&bench);
	assert_int_equal(bench.fx.refused, SYNOD_BUSY);
	assert_int_equal(bench.handles_live, 8);
}

/* Chosen slots stay until they are executed: then, and only then, there is room for more. */
static void what_is_not_executed_keeps_its_place(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	for (uint64_t slot = 1; slot <= 16; slot++) {
		assert_true(synod_core_can_submit(&bench.core) > 0);
		bench_submit(&bench);
		bench_durable(&bench);
		bench_accepted(&bench, 2, slot);
		assert_int_equal(bench.chosen_last, slot);
	}
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	assert_int_equal(bench.handles_live, 16);
	for (uint64_t slot = 1; slot <= 16; slot++)
		assert_true(bench.live[synod_core_value(&bench.core, slot)->handle]);
	bench_applied(&bench);
	assert_int_equal(synod_core_can_submit(&bench.core), 8);
}

static void every_handle_is_released_once(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	for (uint64_t slot = 1; slot <= 1000; slot++) {
		bench_submit(&bench); /* released when its place is taken over: see bench_step */
		bench_durable(&bench);
		bench_accepted(&bench, 2, slot);
		bench_applied(&bench);
	}
	assert_int_equal(bench.chosen_last, 1000);
	assert_int_equal(bench.handles_live, 16);
}

static void a_leader_without_a_quorum_steps_down(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_tick(&bench, 99 * BENCH_MS);
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	bench_tick(&bench, 2 * BENCH_MS);
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
	assert_int_equal(bench.fx.counts[SYNOD_COUNT_STEP_DOWNS], 1);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
}

static void who_hears_a_leader_grants_no_canvass(void **state)
{
	struct synod_message canvass = { .type = SYNOD_CANVASS,
					 .from = 3,
					 .to = 1,
					 .ballot = synod_ballot_make(9, 3),
					 .slot = 1 };

	(void)state;
	bench_start(&bench, 3, 16);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_HEARTBEAT,
						      .from = 2,
						      .to = 1,
						      .ballot = synod_ballot_make(1, 2) });
	bench_message(&bench, canvass);
	assert_int_equal(bench.fx.sends_count, 0);
	bench.now_ns += 101 * BENCH_MS;
	bench_message(&bench, canvass);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS_GRANTED), 1);
}

/*
 * What we asked for as a follower may be answered late, by one who knows of a newer leader: slots
 * ahead of ours are chosen already. (The fuzz found it; the simulator has not, in 40,000 seeds.)
 */
static void a_leader_proposes_nothing_over_a_slot_that_it_learns_late(void **state)
{
	struct synod_message learn = { .type = SYNOD_LEARN,
				       .from = 2,
				       .to = 1,
				       .has_value = 1,
				       .ballot = synod_ballot_make(9, 3),
				       .slot = 3,
				       .value_slot = 3,
				       .value_flags = SYNOD_ENTRY_CHOSEN,
				       .value_ballot = synod_ballot_make(9, 3) };

	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_submit(&bench); /* slot 1 */
	learn.value = bench_value(&bench);
	bench_message(&bench, learn);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_tick(&bench, 0);			    /* due at once */
	assert_int_equal(bench.fx.writes_count, 1); /* a no-op for slot 2 */
	assert_int_equal(bench.fx.writes[0].slot, 2);
	assert_int_equal(bench.fx.writes[0].value.handle, 0);
	bench_submit(&bench);
	assert_int_equal(bench.fx.writes[0].slot, 4);
}

static void a_promise_is_not_counted_before_the_own_one_is_durable(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_tick(&bench, 200 * BENCH_MS);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
						      .from = 2,
						      .to = 1,
						      .ballot = bench.core.ballot });
	bench_message(&bench, (struct synod_message){ .type = SYNOD_PROMISE,
						      .from = 2,
						      .to = 1,
						      .ballot = bench.core.ballot,
						      .slot = 1,
						      .argument = UINT64_MAX });
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
}

static void equal_histories_give_equal_states(void **state)
{
	static struct bench other;

	(void)state;
	bench_start(&bench, 5, 32);
	bench_start(&other, 5, 32);
	bench_lead(&bench);
	bench_lead(&other);
	bench_submit(&bench);
	assert_int_not_equal(synod_core_hash(&bench.core), synod_core_hash(&other.core));
	bench_submit(&other);
	assert_int_equal(synod_core_hash(&bench.core), synod_core_hash(&other.core));
	assert_memory_equal(&bench.core, &other.core, sizeof(bench.core));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_majority_and_no_less_chooses),
		cmocka_unit_test(votes_of_all_others_suffice_without_the_own_disk),
		cmocka_unit_test(a_majority_and_no_less_elects),
		cmocka_unit_test(prepare_waits_for_the_own_promise_to_be_durable),
		cmocka_unit_test(a_promise_is_told_when_it_is_durable),
		cmocka_unit_test(accepted_is_told_when_it_is_durable),
		cmocka_unit_test(slots_beyond_a_hole_are_told_by_the_bitmap),
		cmocka_unit_test(an_accept_that_comes_twice_is_written_once),
		cmocka_unit_test(who_does_not_lead_refuses_and_lets_go),
		cmocka_unit_test(a_full_window_refuses_and_lets_go),
		cmocka_unit_test(what_is_not_executed_keeps_its_place),
		cmocka_unit_test(every_handle_is_released_once),
		cmocka_unit_test(a_leader_without_a_quorum_steps_down),
		cmocka_unit_test(who_hears_a_leader_grants_no_canvass),
		cmocka_unit_test(a_leader_proposes_nothing_over_a_slot_that_it_learns_late),
		cmocka_unit_test(a_promise_is_not_counted_before_the_own_one_is_durable),
		cmocka_unit_test(equal_histories_give_equal_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

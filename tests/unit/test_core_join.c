/* SPDX-License-Identifier: BSD-3-Clause */
/* Who does not vote yet: a new disk in place of a lost one, or one that may be an older copy. */
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	INCARNATION = 4
};

static struct bench bench;

static void start(uint32_t replicas, enum synod_standing standing)
{
	bench_start(&bench, replicas, 16);
	synod_core_stand(&bench.core, standing, INCARNATION);
}

static struct synod_message message(unsigned int type, uint32_t from, uint64_t ballot)
{
	return (struct synod_message){
		.type = (uint8_t)type, .from = (uint8_t)from, .to = 1, .ballot = ballot
	};
}

static void joined(uint32_t from, uint64_t promised, uint64_t slot, uint32_t flags)
{
	struct synod_message answer = message(SYNOD_JOINED, from, promised);

	answer.slot = slot;
	answer.argument = INCARNATION;
	answer.flags = flags;
	bench_message(&bench, answer);
}

static void learn(uint64_t slot)
{
	struct synod_message chosen = message(SYNOD_LEARN, 2, synod_ballot_make(1, 2));

	chosen.slot = slot;
	chosen.has_value = 1;
	chosen.value_slot = slot;
	chosen.value_ballot = chosen.ballot;
	chosen.value = bench_value(&bench);
	bench_message(&bench, chosen);
}

static void assert_says_nothing_that_binds(void)
{
	for (uint32_t i = 0; i < bench.fx.sends_count; i++) {
		unsigned int type = bench.fx.sends[i].type;

		assert_true(type == SYNOD_JOIN || type == SYNOD_NEED || type == SYNOD_LEARN ||
			    type == SYNOD_JOINED);
	}
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
}

/* All that a voter would be asked. */
static void ask_everything(void)
{
	struct synod_message question = message(SYNOD_CANVASS, 2, synod_ballot_make(50, 2));

	question.slot = 1;
	bench_message(&bench, question);
	assert_says_nothing_that_binds();
	question.type = SYNOD_PREPARE;
	bench_message(&bench, question);
	bench_durable(&bench);
	assert_says_nothing_that_binds();
	question.type = SYNOD_ACCEPT;
	question.has_value = 1;
	question.value_slot = 1;
	question.value_ballot = question.ballot;
	question.value = bench_value(&bench);
	bench_message(&bench, question);
	bench_durable(&bench);
	assert_says_nothing_that_binds();
	question.has_value = 0;
	question.value = (struct synod_value){ 0 };
	question.type = SYNOD_CONFIRM;
	bench_message(&bench, question);
	assert_says_nothing_that_binds();
	question.type = SYNOD_HANDOVER;
	bench_message(&bench, question);
	assert_says_nothing_that_binds();
	question.type = SYNOD_HEARTBEAT;
	bench_message(&bench, question);
	assert_says_nothing_that_binds();
	question.type = SYNOD_CANVASS;
	question.ballot = synod_ballot_make(2, 2);
	bench_message(&bench, question);
	assert_says_nothing_that_binds();
	for (int i = 0; i < 20; i++) {
		bench_tick(&bench, 500 * BENCH_MS);
		assert_says_nothing_that_binds();
	}
}

static void who_is_mute_says_nothing_that_binds(void **state)
{
	(void)state;
	start(3, SYNOD_STANDING_MUTE);
	ask_everything();
	assert_int_equal(bench.core.standing, SYNOD_STANDING_MUTE);
}

static void who_joins_says_nothing_that_binds(void **state)
{
	(void)state;
	start(3, SYNOD_STANDING_JOINING);
	ask_everything();
	assert_int_equal(bench.core.standing, SYNOD_STANDING_JOINING);
	assert_int_equal(bench_sent(&bench, SYNOD_JOIN), 2); /* again and again */
}

static void who_is_vouched_for_votes_once_that_is_durable(void **state)
{
	(void)state;
	start(3, SYNOD_STANDING_MUTE);
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_VOUCHED });
	assert_int_equal(bench.fx.writes_count, 1);
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_STANDING);
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_VOUCHED });
	assert_int_equal(bench.fx.writes_count, 0); /* said once */
	assert_int_equal(bench.core.standing, SYNOD_STANDING_MUTE);
	bench_durable(&bench);
	assert_int_equal(bench.core.standing, SYNOD_STANDING_VOTES);
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_VOUCHED });
	assert_int_equal(bench.fx.writes_count, 0);
	bench_lead(&bench);
}

static void all_must_answer_before_it_votes(void **state)
{
	(void)state;
	start(3, SYNOD_STANDING_JOINING);
	joined(2, 0, 0, SYNOD_FLAG_VOTER);
	assert_int_equal(bench.fx.writes_count, 0);
	joined(2, 0, 0, SYNOD_FLAG_VOTER);
	assert_int_equal(bench.fx.writes_count, 0); /* twice is once */
	joined(3, 0, 0, SYNOD_FLAG_VOTER);
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_STANDING);
	assert_int_equal(bench.core.standing, SYNOD_STANDING_JOINING);
	bench_durable(&bench);
	assert_int_equal(bench.core.standing, SYNOD_STANDING_VOTES);
}

static void who_does_not_vote_answers_and_is_no_quorum(void **state)
{
	(void)state;
	start(5, SYNOD_STANDING_JOINING);
	joined(2, 0, 0, SYNOD_FLAG_VOTER);
	joined(3, 0, 0, SYNOD_FLAG_VOTER);
	joined(4, 0, 0, 0);
	joined(5, 0, 0, 0);
	assert_int_equal(bench.fx.writes_count, 0);
	joined(5, 0, 0, SYNOD_FLAG_VOTER); /* it votes now: three of four */
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_STANDING);
}

static void answers_to_another_incarnation_are_dropped(void **state)
{
	struct synod_message answer = message(SYNOD_JOINED, 2, 0);

	(void)state;
	start(3, SYNOD_STANDING_JOINING);
	answer.argument = INCARNATION - 1;
	answer.flags = SYNOD_FLAG_VOTER;
	bench_message(&bench, answer);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	assert_int_equal(bench.core.join_answered, 0);
}

static void the_highest_promise_and_slot_are_waited_for_and_durable(void **state)
{
	const uint64_t promised = synod_ballot_make(9, 3);

	(void)state;
	start(3, SYNOD_STANDING_JOINING);
	joined(2, promised, 1, SYNOD_FLAG_VOTER);
	joined(3, synod_ballot_make(7, 2), 2, SYNOD_FLAG_VOTER);
	assert_int_equal(bench.fx.writes_count, 1);
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_PROMISE);
	assert_int_equal(bench.fx.writes[0].ballot, promised);
	bench_durable(&bench);
	assert_int_equal(bench.fx.writes_count, 0);
	learn(1);
	bench_applied(&bench);
	bench_durable(&bench);
	assert_int_equal(bench.fx.writes_count, 0);
	learn(2);
	assert_int_equal(bench.fx.writes_count, 1); /* the slot: known, and not durable */
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_SLOT);
	bench_applied(&bench);
	assert_int_equal(bench.fx.writes_count, 0);
	bench_durable(&bench);
	assert_int_equal(bench.fx.writes[0].kind, SYNOD_WRITE_OF_STANDING);
	bench_durable(&bench);
	assert_int_equal(bench.core.standing, SYNOD_STANDING_VOTES);
	bench_check_handles(&bench);
}

static const struct synod_message *answer_to_join(void)
{
	struct synod_message join = message(SYNOD_JOIN, 3, 0);

	join.argument = 7;
	bench_message(&bench, join);
	return bench_sent(&bench, SYNOD_JOINED) ? &bench.fx.sends[0] : NULL;
}

static void an_answer_tells_of_all_that_may_have_been_counted(void **state)
{
	const struct synod_message *answer;

	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_submit(&bench);
	bench_accepted(&bench, 3, 1);
	answer = answer_to_join(); /* not durable here, and proposed all the same */
	assert_non_null(answer);
	assert_int_equal(answer->to, 3);
	assert_int_equal(answer->ballot, bench.core.promised);
	assert_int_equal(answer->slot, 2);
	assert_int_equal(answer->argument, 7);
	assert_int_equal(answer->flags, SYNOD_FLAG_VOTER);
	/* It is not taken for one that has what it had. */
	assert_int_equal(bench.core.peers[3].accepted_through, 0);
}

static void who_is_mute_answers_nobody_who_joins(void **state)
{
	(void)state;
	start(3, SYNOD_STANDING_MUTE);
	assert_null(answer_to_join());
	start(3, SYNOD_STANDING_JOINING);
	assert_int_equal(answer_to_join()->flags, 0);
}

static void a_voter_asks_nobody(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (int i = 0; i < 10; i++) {
		bench_tick(&bench, 500 * BENCH_MS);
		assert_int_equal(bench_sent(&bench, SYNOD_JOIN), 0);
	}
	joined(2, 0, 0, SYNOD_FLAG_VOTER);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_mute_says_nothing_that_binds),
		cmocka_unit_test(who_joins_says_nothing_that_binds),
		cmocka_unit_test(who_is_vouched_for_votes_once_that_is_durable),
		cmocka_unit_test(all_must_answer_before_it_votes),
		cmocka_unit_test(who_does_not_vote_answers_and_is_no_quorum),
		cmocka_unit_test(answers_to_another_incarnation_are_dropped),
		cmocka_unit_test(the_highest_promise_and_slot_are_waited_for_and_durable),
		cmocka_unit_test(an_answer_tells_of_all_that_may_have_been_counted),
		cmocka_unit_test(who_is_mute_answers_nobody_who_joins),
		cmocka_unit_test(a_voter_asks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

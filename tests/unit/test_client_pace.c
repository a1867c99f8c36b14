/* SPDX-License-Identifier: BSD-3-Clause */
/* How long the client waits for a leader, and how much it asks of one. See client_pace.c. */
#include "tests/unit/client_user.h"

static const struct synod_client_counters *counters(const struct user *user)
{
	return synod_client_counters(user->client);
}

static void run_past(struct user *user, uint32_t more)
{
	uint32_t wanted = user->completed + more;

	for (uint32_t turns = 0; turns < 100000 && user->completed < wanted; turns++)
		turn(user);
	assert_true(user->completed >= wanted);
}

/* The client's turns go on, and nothing reaches a replica. */
static void stall(struct user *user, uint64_t ns)
{
	for (uint64_t spent = 0; spent < ns; spent += TURN_NS) {
		user->world->now_ns += TURN_NS;
		poll_some(user);
	}
}

static void a_leader_that_was_only_slow_is_not_sent_everything_again(void **state)
{
	struct user *user = make(41, 4000);
	uint64_t repeated;

	(void)state;
	user->world->delay_ns_max = RETRY_NS / 2;
	run_past(user, 1000);
	repeated = counters(user)->commands_repeated;
	user->world->leader = 0; /* what is asked of others meanwhile leads nowhere */
	stall(user, 3 * RETRY_NS);
	user->world->leader = 1;
	assert_true(counters(user)->silences > 0);
	run(user, 100000);
	check_all_done_once(user);
	/* Probes, each of a datagram; and not 256 under way. */
	assert_in_range(counters(user)->commands_repeated - repeated, 1, 150);
	destroy(user);
}

static void a_client_that_was_away_blames_nobody(void **state)
{
	struct user *user = make(42, 20000);

	(void)state;
	user->world->in_order = 1;
	for (uint32_t i = 0; i < 5; i++) {
		run_past(user, 3500);		     /* with ticks in between */
		user->world->now_ns += 5 * RETRY_NS; /* of which the replicas had nothing either */
		poll_some(user);
	}
	assert_int_equal(counters(user)->silences, 0);
	assert_int_equal(counters(user)->commands_repeated, 0);
	destroy(user);
}

static void a_client_that_polls_rarely_leaves_a_dead_leader_all_the_same(void **state)
{
	struct user *user = make(43, 600);

	(void)state;
	run_past(user, 200);
	user->world->dead = 1u << 1;
	user->world->leader = 2;
	user->world->hint = 0;
	for (uint32_t turns = 0; turns < 200 && user->completed < user->wanted; turns++) {
		world_pass(user->world, 3 * RETRY_NS);
		turn(user);
	}
	check_all_done_once(user);
	destroy(user);
}

static void answers_that_take_long_are_waited_for_long(void **state)
{
	struct user *user = make(44, 20000);
	uint64_t repeated;
	uint64_t sent;

	(void)state;
	user->world->delay_ns_max = 3 * RETRY_NS; /* each way: half of all answers take longer */
	run_past(user, 2000);
	repeated = counters(user)->commands_repeated;
	sent = counters(user)->commands_sent;
	run(user, 1000000);
	check_all_done_once(user);
	/* With a patience of one retry it is over a third. */
	assert_true((counters(user)->commands_repeated - repeated) * 20 <
		    counters(user)->commands_sent - sent);
	destroy(user);
}

static void a_busy_leader_is_asked_for_what_it_takes(void **state)
{
	struct user *user = make_with(45, 20000, 2048, 0);
	uint64_t refused;
	uint32_t done;

	(void)state;
	user->world->delay_ns_max = 0;
	user->world->retry_us = TURN_NS / 1000;
	user->world->room = 90; /* a turn; a datagram holds 44 */
	run_past(user, 2000);
	refused = counters(user)->refused_busy;
	done = user->completed;
	run_past(user, 4000);
	/* Without a window that follows, some 2,000 come again each turn. */
	assert_true((counters(user)->refused_busy - refused) * 2 < user->completed - done);
	user->world->room = 0;
	run(user, 100000);
	check_all_done_once(user);
	destroy(user);
}

static void where_there_is_room_again_more_is_asked(void **state)
{
	struct user *user = make_with(46, 20000, 1024, 0);
	uint32_t turns = 0;

	(void)state;
	user->world->delay_ns_max = 10 * TURN_NS;
	user->world->busy_percent = 100;
	while (user->completed < 40) {
		turn(user);
		if (++turns > 2000)
			user->world->busy_percent = 0;
	}
	/* From the least there is to all of it, within the answers to a few thousand. */
	run_past(user, 15000);
	turns = 0;
	for (uint32_t before = user->completed; user->completed < before + 3000; turns++)
		turn(user);
	assert_in_range(turns, 1, 60);
	destroy(user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leader_that_was_only_slow_is_not_sent_everything_again),
		cmocka_unit_test(a_client_that_was_away_blames_nobody),
		cmocka_unit_test(a_client_that_polls_rarely_leaves_a_dead_leader_all_the_same),
		cmocka_unit_test(answers_that_take_long_are_waited_for_long),
		cmocka_unit_test(a_busy_leader_is_asked_for_what_it_takes),
		cmocka_unit_test(where_there_is_room_again_more_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

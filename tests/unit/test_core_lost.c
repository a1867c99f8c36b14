/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The transport says that the leader's link is gone: a hint, which saves a silence when it is right
 * and does nothing when it is wrong.
 */
#include "tests/unit/core_manners.h"

static void lose(uint64_t replica)
{
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_LOST, .replica = replica });
}

static void follow(uint8_t leader)
{
	hear_chosen(leader, ballot_of(1, leader), 0);
	bench_durable(&bench);
	assert_int_equal(bench.core.leader, leader);
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
}

static void start_as(uint32_t replica, uint32_t voters, const uint8_t *priorities)
{
	struct synod_core_config config = bench_config(voters, 16);

	config.replica = replica;
	for (uint32_t id = 1; priorities && id <= voters; id++)
		config.priorities[id] = priorities[id];
	bench_start_as(&bench, &config);
}

static void the_first_in_line_canvasses_at_once(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	follow(2);
	lose(2);
	assert_int_equal(bench.fx.sends_count, 0);
	assert_int_equal(bench.fx.deadline_ns, bench.now_ns);
	bench_tick(&bench, 0);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 2);
}

/* How long the replica waits after the hint, in hundredths of a heartbeat. */
static uint64_t wait_of(uint32_t replica, uint32_t voters, uint8_t leader,
			const uint8_t *priorities)
{
	struct synod_message sign;

	start_as(replica, voters, priorities);
	sign = from(leader, SYNOD_HEARTBEAT, ballot_of(1, leader), 0);
	sign.to = (uint8_t)replica;
	hear(sign);
	bench_durable(&bench);
	lose(leader);
	return (bench.fx.deadline_ns - bench.now_ns) * 100 / (20 * BENCH_MS);
}

static void the_others_wait_each_a_little_longer(void **state)
{
	(void)state;
	for (uint32_t replica = 1; replica <= 4; replica++) {
		uint64_t wait = wait_of(replica, 5, 5, NULL);

		assert_in_range(wait, (replica - 1) * 25, (replica - 1) * 25 + 13);
	}
	/* The one that is lost stands in nobody's way. */
	assert_int_equal(wait_of(2, 5, 1, NULL), 0);
	assert_in_range(wait_of(3, 5, 1, NULL), 25, 38);
}

static void who_has_a_higher_priority_comes_first(void **state)
{
	static const uint8_t priorities[] = { 0, 1, 1, 7, 2 };

	(void)state;
	assert_int_equal(wait_of(3, 4, 4, priorities), 0);
	assert_in_range(wait_of(1, 4, 4, priorities), 25, 38);
	assert_in_range(wait_of(2, 4, 4, priorities), 50, 63);
	assert_in_range(wait_of(2, 4, 3, priorities), 50, 63);
}

static void who_was_told_grants_and_who_was_not_does_not(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	follow(2);
	hear(from(3, SYNOD_CANVASS, ballot_of(2, 3), 1));
	assert_int_equal(bench.fx.sends_count, 0);
	lose(3); /* not whom it follows */
	hear(from(3, SYNOD_CANVASS, ballot_of(2, 3), 1));
	assert_int_equal(bench.fx.sends_count, 0);
	assert_int_equal(bench.core.leader, 2);
	lose(2);
	hear(from(3, SYNOD_CANVASS, ballot_of(2, 3), 1));
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS_GRANTED), 1);
}

static void a_leader_that_lives_is_followed_again(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	follow(2);
	lose(2);
	bench_tick(&bench, 0);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
	hear_accept(ballot_of(1, 2), 1);
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
	assert_int_equal(bench.core.leader, 2);
	hear(from(3, SYNOD_CANVASS, ballot_of(2, 3), 1));
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS_GRANTED), 0);
	/* And a silence is as long as ever. */
	bench_tick(&bench, 99 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 0);
	bench_tick(&bench, 500 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 2);
}

/* Who is asked may be told a moment later; but nobody is asked for ever at that pace. */
static void a_canvass_after_a_hint_is_soon_repeated_and_then_seldom(void **state)
{
	uint64_t asked_ns = 0;
	uint32_t asked = 0;

	(void)state;
	bench_start(&bench, 3, 16);
	follow(2);
	lose(2);
	bench_tick(&bench, 0);
	for (uint32_t i = 0; i < 800; i++) {
		bench_tick(&bench, BENCH_MS / 10);
		if (!bench_sent(&bench, SYNOD_CANVASS))
			continue;
		asked_ns = asked_ns ? asked_ns : (i + 1) * BENCH_MS / 10;
		asked++;
	}
	assert_int_equal(asked_ns, BENCH_MS / 2); /* 30 ms / 64, on ticks of 0.1 ms */
	assert_in_range(asked, 7, 9);
}

static void a_replica_that_does_not_follow_takes_no_hint(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	lose(2);
	assert_true(bench.fx.deadline_ns > bench.now_ns);
	lose(0);
	lose(77);
	assert_true(bench.fx.deadline_ns > bench.now_ns);
	bench_lead(&bench);
	lose(2);
	lose(3);
	lose(1);
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	bench_start(&bench, 3, 16);
	stand();
	lose(2);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
}

static void who_only_learns_takes_no_hint(void **state)
{
	struct synod_core_config config = bench_config(4, 16);
	struct synod_message sign = from(2, SYNOD_HEARTBEAT, ballot_of(1, 2), 0);

	(void)state;
	config.voters = 3;
	config.replica = 4;
	bench_start_as(&bench, &config);
	sign.to = 4;
	hear(sign);
	bench_durable(&bench);
	lose(2);
	assert_int_equal(bench.core.leader, 2);
	assert_true(bench.fx.deadline_ns > bench.now_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_in_line_canvasses_at_once),
		cmocka_unit_test(the_others_wait_each_a_little_longer),
		cmocka_unit_test(who_has_a_higher_priority_comes_first),
		cmocka_unit_test(who_was_told_grants_and_who_was_not_does_not),
		cmocka_unit_test(a_leader_that_lives_is_followed_again),
		cmocka_unit_test(a_canvass_after_a_hint_is_soon_repeated_and_then_seldom),
		cmocka_unit_test(a_replica_that_does_not_follow_takes_no_hint),
		cmocka_unit_test(who_only_learns_takes_no_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

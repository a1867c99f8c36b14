/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The core's manners: what breaks no promise when it is wrong, and is felt all the same. Nothing is
 * said more often than needed, nobody is asked who cannot know, old news changes nothing, and what
 * is due comes at once. The simulator notices little of this: repetition covers for it.
 *
 * Here: canvass, phase 1 and what it finds.
 */
#include "tests/unit/core_manners.h"

static void who_hears_its_leader_does_not_canvass(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (int i = 0; i < 50; i++) {
		hear_chosen(2, ballot_of(1, 2), 0);
		bench_tick(&bench, 60 * BENCH_MS);
		assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 0);
		assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
		assert_true(bench.fx.deadline_ns > bench.now_ns);
	}
	bench_tick(&bench, 200 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 2);
}

static void a_canvass_is_repeated_when_it_is_due_and_to_those_who_are_silent(void **state)
{
	(void)state;
	bench_start(&bench, 5, 16);
	canvass();
	hear(from(4, SYNOD_CANVASS_GRANTED, bench.core.ballot, 0));
	bench_tick(&bench, 29 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 0);
	bench_tick(&bench, BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 3);
}

static void a_grant_of_an_older_canvass_is_none(void **state)
{
	uint64_t before;

	(void)state;
	bench_start(&bench, 3, 16);
	canvass();
	before = bench.core.ballot;
	hear((struct synod_message){ .type = SYNOD_REJECT,
				     .from = 2,
				     .to = 1,
				     .ballot = before,
				     .argument = ballot_of(7, 2) });
	/* It asks again, at once and above. */
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
	assert_int_equal(bench.core.ballot, ballot_of(8, 1));
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 2);
	hear(from(2, SYNOD_CANVASS_GRANTED, before, 0));
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
}

static void a_grant_is_for_one_canvass_only(void **state)
{
	(void)state;
	bench_start(&bench, 5, 16);
	canvass();
	hear(from(5, SYNOD_CANVASS_GRANTED, bench.core.ballot, 0));
	bench_tick(&bench, 600 * BENCH_MS); /* a new one */
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS), 4);
	hear(from(3, SYNOD_CANVASS_GRANTED, bench.core.ballot, 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
}

/* Or replicas that were started alike would stand at the same instant, again and again. */
static void replicas_with_one_seed_do_not_wait_alike(void **state)
{
	struct synod_core_config config = bench_config(3, 16);
	uint64_t first;

	(void)state;
	bench_start_as(&bench, &config);
	bench_tick(&bench, 0);
	first = bench.fx.deadline_ns;
	config.replica = 2;
	bench_start_as(&bench, &config);
	bench_tick(&bench, 0);
	assert_int_not_equal(bench.fx.deadline_ns, first);
}

/* Whoever speaks at a ballot below our promise is told to what we are bound. */
static void what_is_below_the_promise_is_refused_by_name(void **state)
{
	static const uint8_t types[] = { SYNOD_PREPARE, SYNOD_ACCEPT, SYNOD_HEARTBEAT,
					 SYNOD_HANDOVER, SYNOD_CONFIRM };

	(void)state;
	bench_start(&bench, 3, 16);
	hear_chosen(3, ballot_of(7, 3), 0);
	bench_durable(&bench);
	for (size_t i = 0; i < sizeof(types); i++) {
		struct synod_message message = from(2, types[i], ballot_of(7, 2), 1);

		if (types[i] == SYNOD_ACCEPT)
			message = with_value(message, 1, ballot_of(7, 2));
		hear(message);
		assert_int_equal(bench.fx.dropped, SYNOD_DROP_STALE_BALLOT);
		assert_int_equal(bench.fx.sends_count, 1);
		assert_int_equal(sent(SYNOD_REJECT, 0)->to, 2);
		assert_int_equal(sent(SYNOD_REJECT, 0)->ballot, ballot_of(7, 2));
		assert_int_equal(sent(SYNOD_REJECT, 0)->argument, ballot_of(7, 3));
		bench_check_handles(&bench);
	}
}

static void a_candidate_that_is_refused_gives_way(void **state)
{
	struct synod_message reject;

	(void)state;
	bench_start(&bench, 3, 16);
	stand();
	reject = from(2, SYNOD_REJECT, bench.core.ballot, 0);
	reject.argument = ballot_of(synod_ballot_round(bench.core.ballot) - 1, 3);
	hear(reject); /* bound to less than what we ask for: no reason */
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
	reject.argument = ballot_of(9, 3);
	hear(reject);
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
	assert_int_equal(bench.core.leader, 0);
	canvass();
	assert_int_equal(bench.core.ballot, ballot_of(10, 1)); /* above what it was told */
}

/* Half a window behind may lead: promises can tell it the rest. More may not. */
static void who_lags_too_far_is_granted_nothing(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (uint64_t slot = 1; slot <= 12; slot++)
		hear_accept(ballot_of(1, 2), slot);
	hear_chosen(2, ballot_of(1, 2), 12);
	bench_durable(&bench);
	assert_int_equal(bench.chosen_last, 12);
	bench.now_ns += 101 * BENCH_MS;
	hear(from(3, SYNOD_CANVASS, ballot_of(5, 3), 4));
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS_GRANTED), 0);
	hear(from(3, SYNOD_CANVASS, ballot_of(5, 3), 5));
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS_GRANTED), 1);
	hear(from(3, SYNOD_CANVASS, ballot_of(1, 3), 40));
	assert_int_equal(bench_sent(&bench, SYNOD_CANVASS_GRANTED), 1);
	hear(from(3, SYNOD_CANVASS, ballot_of(1, 2), 5)); /* not its own ballot */
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_FIELD);
}

static void a_prepare_goes_to_those_who_have_not_promised_when_it_is_due(void **state)
{
	(void)state;
	bench_start(&bench, 5, 16);
	stand();
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 4);
	hear(promise(3, 1, 0, 0));
	bench_tick(&bench, 29 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 0);
	bench_durable(&bench); /* nothing new is durable: nothing to repeat */
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 0);
	bench_tick(&bench, BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 3);
}

/* Sixteen parts an answer; the sixteenth says that there is more, and is asked on from at once. */
static void a_long_promise_is_told_in_bursts(void **state)
{
	(void)state;
	bench_start(&bench, 3, 64);
	accept_many(40);
	hear(from(3, SYNOD_PREPARE, ballot_of(3, 3), 1));
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_PROMISE), SYNOD_CORE_PROMISE_BURST);
	assert_int_equal(sent(SYNOD_PROMISE, 14)->flags, 0);
	assert_int_equal(sent(SYNOD_PROMISE, 15)->flags, SYNOD_FLAG_MORE);
	assert_int_equal(sent(SYNOD_PROMISE, 15)->argument, 16);
	bench_durable(&bench); /* nothing is owed: it must ask */
	assert_int_equal(bench_sent(&bench, SYNOD_PROMISE), 0);
	hear(from(3, SYNOD_PREPARE, ballot_of(3, 3), 33));
	assert_int_equal(bench_sent(&bench, SYNOD_PROMISE), 9); /* 33..40, and the end */
	assert_int_equal(sent(SYNOD_PROMISE, 8)->argument, UINT64_MAX);
	assert_int_equal(sent(SYNOD_PROMISE, 8)->slot, 41);
}

static void a_candidate_asks_on_when_it_was_told_that_there_is_more(void **state)
{
	struct synod_message part;

	(void)state;
	bench_start(&bench, 5, 16);
	stand();
	part = promise(2, 2, 2, ballot_of(1, 3));
	part.flags = SYNOD_FLAG_MORE;
	hear(part); /* slot 1 is missing: lost, or late */
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 0);
	hear(promise(2, 1, 1, ballot_of(1, 3)));
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 1);
	assert_int_equal(bench.fx.sends[0].to, 2);
	assert_int_equal(bench.fx.sends[0].slot, 3);
	hear(promise(2, 3, 3, ballot_of(1, 3))); /* no "more": wait for the end */
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 0);
}

/* Chosen slots that are still in memory are told like any other: no need to go and catch up. */
static void a_promise_tells_chosen_slots_that_are_in_memory(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	accept_many(3);
	hear_chosen(2, ballot_of(1, 2), 3);
	bench_durable(&bench);
	hear(from(3, SYNOD_PREPARE, ballot_of(3, 3), 1));
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_PROMISE), 4);
	assert_int_equal(sent(SYNOD_PROMISE, 0)->value_flags, SYNOD_ENTRY_CHOSEN);
	assert_int_equal(sent(SYNOD_PROMISE, 3)->flags, 0);
}

/* Paxos Made Simple, 2.2: of all that is known to be accepted, the value of the highest ballot. */
static void propose_of(uint64_t own, uint64_t first, uint64_t second, uint32_t *handles)
{
	bench_start(&bench, 5, 16);
	if (own)
		hear_accept(ballot_of(own, 2), 1);
	bench_durable(&bench);
	handles[0] = bench.core.slots[1].value.handle;
	stand();
	hear(promise(2, 1, 1, ballot_of(first, 3)));
	assert_int_equal(bench.fx.dropped, 0);
	handles[1] = bench.core.slots[1].found.handle;
	hear(promise(3, 1, 1, ballot_of(second, 4)));
	handles[2] = bench.core.slots[1].found.handle;
	hear(promise(2, 2, 0, 0));
	hear(promise(3, 2, 0, 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	assert_int_equal(sent(SYNOD_ACCEPT, 0)->slot, 1);
	bench_check_handles(&bench);
	assert_int_equal(bench.handles_live, 1);
}

static void of_the_own_value_and_two_others_the_highest_wins(void **state)
{
	uint32_t handles[3];

	(void)state;
	for (uint64_t own = 0; own <= 3; own++)
		for (uint64_t first = 1; first <= 3; first++)
			for (uint64_t second = 1; second <= 3; second++) {
				uint64_t best = own;
				uint32_t wins = 0;

				if (ballot_of(first, 3) > ballot_of(best, 2)) {
					best = first;
					wins = 1;
				}
				if (ballot_of(second, 4) > ballot_of(best, wins ? 3 : 2))
					wins = 2;
				propose_of(own, first, second, handles);
				assert_int_equal(sent(SYNOD_ACCEPT, 0)->value.handle,
						 handles[wins]);
			}
}

/* What is told of a slot that became known to be chosen meanwhile is let go. */
static void a_promise_about_what_is_chosen_by_now_leaves_nothing(void **state)
{
	(void)state;
	bench_start(&bench, 5, 16);
	stand();
	hear(with_value(from(3, SYNOD_LEARN, ballot_of(1, 2), 1), 1, ballot_of(1, 2)));
	assert_int_equal(bench.chosen_last, 1);
	hear(promise(2, 1, 1, ballot_of(1, 2)));
	assert_int_equal(bench.fx.dropped, 0);
	assert_int_equal(bench.handles_live, 1);
	bench_check_handles(&bench);
	hear(promise(2, 2, 0, 0));
	hear(promise(3, 1, 1, ballot_of(1, 2)));
	hear(promise(3, 2, 0, 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	bench_check_handles(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_hears_its_leader_does_not_canvass),
		cmocka_unit_test(a_canvass_is_repeated_when_it_is_due_and_to_those_who_are_silent),
		cmocka_unit_test(a_grant_of_an_older_canvass_is_none),
		cmocka_unit_test(a_grant_is_for_one_canvass_only),
		cmocka_unit_test(replicas_with_one_seed_do_not_wait_alike),
		cmocka_unit_test(what_is_below_the_promise_is_refused_by_name),
		cmocka_unit_test(a_candidate_that_is_refused_gives_way),
		cmocka_unit_test(who_lags_too_far_is_granted_nothing),
		cmocka_unit_test(a_prepare_goes_to_those_who_have_not_promised_when_it_is_due),
		cmocka_unit_test(a_long_promise_is_told_in_bursts),
		cmocka_unit_test(a_candidate_asks_on_when_it_was_told_that_there_is_more),
		cmocka_unit_test(a_promise_tells_chosen_slots_that_are_in_memory),
		cmocka_unit_test(of_the_own_value_and_two_others_the_highest_wins),
		cmocka_unit_test(a_promise_about_what_is_chosen_by_now_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

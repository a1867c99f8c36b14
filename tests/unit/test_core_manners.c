/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The core's manners: what breaks no promise when it is wrong, and is felt all the same. Nothing is
 * said more often than needed, nobody is asked who cannot know, old news changes nothing, and what
 * is due comes at once. The simulator notices little of this: repetition covers for it.
 *
 * Here: phase 2, catching up, and what is left over from before.
 */
#include "tests/unit/core_manners.h"

/* ---- phase 2 --------------------------------------------------------------------------------- */

/* A suffix of so many accepted slots, found in phase 1. */
static void lead_with_suffix(uint64_t count)
{
	stand();
	for (uint64_t slot = 1; slot <= count; slot++)
		hear(promise(2, slot, slot, ballot_of(1, 3)));
	hear(promise(2, count + 1, 0, 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
}

static void a_suffix_is_proposed_in_steps_that_follow_at_once(void **state)
{
	uint32_t proposed;

	(void)state;
	bench_start(&bench, 3, 64);
	lead_with_suffix(30);
	proposed = bench_sent(&bench, SYNOD_ACCEPT) / 2;
	assert_int_equal(proposed, SYNOD_CORE_PUMP_SLOTS);
	assert_int_equal(bench.fx.deadline_ns, bench.now_ns);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_tick(&bench, 0);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, 30 - proposed);
	assert_true(bench.fx.deadline_ns > bench.now_ns);
	assert_int_equal(synod_core_can_submit(&bench.core), 2); /* 32 in flight at most */
}

static void the_last_slot_of_a_suffix_comes_before_anything_new(void **state)
{
	(void)state;
	bench_start(&bench, 3, 64);
	lead_with_suffix(SYNOD_CORE_PUMP_SLOTS + 1);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, SYNOD_CORE_PUMP_SLOTS);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
}

static void a_suffix_beyond_what_may_be_in_flight_waits_for_votes(void **state)
{
	struct synod_core_config config = bench_config(3, 16);

	(void)state;
	config.inflight = 4;
	bench_start_as(&bench, &config);
	lead_with_suffix(8);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, 4);
	assert_true(bench.fx.deadline_ns > bench.now_ns); /* nothing to be done before */
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_durable(&bench);
	bench_accepted(&bench, 2, 3);
	assert_int_equal(bench.chosen_last, 3);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, 3);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_durable(&bench);
	bench_accepted(&bench, 2, 7);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, 1);
	assert_int_equal(synod_core_can_submit(&bench.core), 3);
}

/* Chosen and not executed: no place for more, and no use in looking again and again. */
static void a_suffix_waits_until_there_is_room(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	accept_many(12);
	hear_chosen(2, ballot_of(1, 2), 12);
	bench_durable(&bench);
	stand();
	for (uint64_t slot = 13; slot <= 16; slot++)
		hear(promise(2, slot, slot, ballot_of(1, 2)));
	hear(promise(2, 17, 0, 0));
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, 4);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_durable(&bench);
	bench_accepted(&bench, 2, 16);
	assert_int_equal(bench.chosen_last, 16);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_APPLIED, .slot = 3 });
	assert_int_equal(synod_core_can_submit(&bench.core), 3);
	for (uint32_t left = 3; left--;) {
		bench_submit(&bench);
		assert_int_equal(bench.fx.refused, 0);
		assert_int_equal(synod_core_can_submit(&bench.core), left);
	}
	bench_submit(&bench);
	assert_int_equal(bench.fx.refused, SYNOD_BUSY);
}

/* What is chosen is proposed too, as if it were not: who lacks it accepts it. */
static void a_chosen_slot_in_the_suffix_is_proposed_like_any_other(void **state)
{
	struct synod_message part;

	(void)state;
	bench_start(&bench, 3, 16);
	stand();
	hear(promise(2, 1, 1, ballot_of(1, 3)));
	part = promise(2, 2, 2, ballot_of(1, 3));
	part.value_flags = SYNOD_ENTRY_CHOSEN;
	hear(part);
	hear(promise(2, 3, 0, 0));
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT) / 2, 2);
	assert_int_equal(sent(SYNOD_ACCEPT, 2)->slot, 2);
	assert_int_equal(sent(SYNOD_ACCEPT, 2)->value_ballot, bench.core.ballot);
	assert_int_equal(sent(SYNOD_ACCEPT, 2)->value_flags, 0);
}

static void only_what_nobody_answered_is_repeated(void **state)
{
	struct synod_message votes;

	(void)state;
	bench_start(&bench, 5, 16);
	bench_lead(&bench);
	bench_submit(&bench); /* 1 */
	bench.now_ns += 20 * BENCH_MS;
	bench_submit(&bench); /* 2 */
	bench_submit(&bench); /* 3 */
	votes = from(2, SYNOD_ACCEPTED, bench.core.ballot, 1);
	votes.argument = 1u << 1; /* slot 3 */
	hear(votes);
	bench_tick(&bench, 10 * BENCH_MS); /* 2 and 3 are too young; 2 has 1 */
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT), 3);
	assert_int_equal(bench.fx.counts[SYNOD_COUNT_RETRANSMITS], 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(sent(SYNOD_ACCEPT, i)->slot, 1);
		assert_int_not_equal(sent(SYNOD_ACCEPT, i)->to, 2);
	}
	/* It says when it will look again. */
	assert_true(bench.fx.deadline_ns <= bench.now_ns + 30 * BENCH_MS);
	bench_tick(&bench, 29 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT), 1); /* 2 is asked for the one it lacks */
	assert_int_equal(sent(SYNOD_ACCEPT, 0)->to, 2);
	assert_int_equal(sent(SYNOD_ACCEPT, 0)->slot, 2);
	bench_tick(&bench, 11 * BENCH_MS);
	assert_true(bench_sent(&bench, SYNOD_ACCEPT) > 0);
	for (uint32_t i = 0; i < bench_sent(&bench, SYNOD_ACCEPT); i++)
		assert_false(sent(SYNOD_ACCEPT, i)->to == 2 && sent(SYNOD_ACCEPT, i)->slot != 2);
}

/* Bit i of the bitmap is the slot i + 1 beyond the cumulative one. */
static void a_vote_in_the_bitmap_is_a_vote(void **state)
{
	struct synod_message votes;

	(void)state;
	bench_start(&bench, 5, 64);
	bench_lead(&bench);
	for (uint32_t i = 0; i < 20; i++)
		bench_submit(&bench);
	bench_durable(&bench);
	votes = from(2, SYNOD_ACCEPTED, bench.core.ballot, 1);
	votes.argument = 0xfffe; /* slots 3 to 17 */
	hear(votes);
	bench_accepted(&bench, 3, 16);
	assert_int_equal(bench.chosen_last, 1); /* 2 lacks slot 2 */
	bench_accepted(&bench, 2, 2);
	assert_int_equal(bench.chosen_last, 16);
	bench_accepted(&bench, 4, 20);
	assert_int_equal(bench.chosen_last, 17);
}

static void heartbeats_come_when_they_are_due(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	assert_int_equal(bench.fx.deadline_ns, bench.now_ns + 20 * BENCH_MS);
	bench_tick(&bench, 19 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_HEARTBEAT), 0);
	bench_tick(&bench, BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_HEARTBEAT), 2);
	/* What became chosen is told soon, but not in a message of its own for each slot. */
	bench_submit(&bench);
	bench_durable(&bench);
	bench_accepted(&bench, 2, 1);
	assert_int_equal(bench_sent(&bench, SYNOD_HEARTBEAT), 0);
	assert_true(bench.fx.deadline_ns > bench.now_ns);
	assert_true(bench.fx.deadline_ns <= bench.now_ns + 2 * BENCH_MS);
	bench_tick(&bench, 2 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_HEARTBEAT), 2);
	assert_int_equal(sent(SYNOD_HEARTBEAT, 0)->chosen_through, 1);
}

/* What was known of the others as a leader before says nothing now. */
static void a_leader_begins_with_a_clean_table(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_durable(&bench);
	bench_accepted(&bench, 3, 1);
	assert_int_equal(bench.chosen_last, 1);
	bench_tick(&bench, 150 * BENCH_MS);
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
	stand();
	hear(promise(2, 2, 0, 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	assert_int_equal(synod_core_voters_in_contact(&bench.core), 3);
	bench_handover(&bench, 3); /* which has said nothing of this ballot */
	assert_int_equal(bench_sent(&bench, SYNOD_HANDOVER), 0);
}

/* ---- catching up ----------------------------------------------------------------------------- */

static void a_question_is_answered_once_in_a_while(void **state)
{
	struct synod_message need;

	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	for (uint64_t slot = 1; slot <= 3; slot++) {
		bench_submit(&bench);
		bench_durable(&bench);
		bench_accepted(&bench, 2, slot);
	}
	need = from(3, SYNOD_NEED, 0, 2);
	need.argument = 16;
	hear(need);
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 2);
	hear(need);
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 0);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	need.slot = 3; /* another question: not faster than half the pace of who asks */
	hear(need);
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 0);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	bench.now_ns += 30 * BENCH_MS / 128;
	hear(need);
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 1);
	bench.now_ns += 15 * BENCH_MS;
	hear(need);
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 1);
	need.slot = 4; /* nobody knows it */
	hear(need);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 0);
	need.slot = 1;
	need.argument = 0;
	hear(need);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_UNEXPECTED);
}

static void hear_learn(uint8_t replica, uint64_t slot)
{
	hear(with_value(from(replica, SYNOD_LEARN, ballot_of(1, 2), slot), slot, ballot_of(1, 2)));
}

/* From the leader; when it is silent from others who know more; one question at a time. */
static void what_is_missing_is_asked_for_in_turn(void **state)
{
	struct synod_message sign = from(3, SYNOD_REJECT, ballot_of(1, 1), 0);

	(void)state;
	bench_start(&bench, 4, 64);
	sign.chosen_through = 40;
	hear(sign); /* 3 knows of 40 slots */
	hear_chosen(2, ballot_of(1, 2), 40);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0); /* they may only be late */
	bench_tick(&bench, 15 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 1);
	assert_int_equal(sent(SYNOD_NEED, 0)->to, 2);
	assert_int_equal(sent(SYNOD_NEED, 0)->slot, 1);
	bench_tick(&bench, 29 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0);
	bench_tick(&bench, BENCH_MS);
	assert_int_equal(sent(SYNOD_NEED, 0)->to, 3); /* 4 knows nothing */
	for (uint64_t slot = 1; slot < SYNOD_CORE_LEARN_BURST; slot++) {
		hear_learn(3, slot);
		assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0);
	}
	hear_learn(3, SYNOD_CORE_LEARN_BURST); /* all that was asked for: on, at the pace */
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0);
	bench_tick(&bench, 30 * BENCH_MS / 64 - 1);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0);
	bench_tick(&bench, 1);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 1);
	assert_int_equal(sent(SYNOD_NEED, 0)->slot, SYNOD_CORE_LEARN_BURST + 1);
	assert_int_equal(sent(SYNOD_NEED, 0)->to, 2);
}

/* A full window is nobody's silence: the question follows when there is room, not a repetition. */
static void who_had_no_room_asks_as_soon_as_there_is(void **state)
{
	const uint64_t pace = 30 * BENCH_MS / 64;

	(void)state;
	bench_start(&bench, 3, SYNOD_CORE_LEARN_BURST);
	hear_chosen(2, ballot_of(1, 2), 40);
	bench_tick(&bench, 15 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 1);
	for (uint64_t slot = 1; slot <= SYNOD_CORE_LEARN_BURST; slot++)
		hear_learn(2, slot);
	bench_tick(&bench, pace); /* chosen, and not executed */
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0);
	bench_durable(&bench);
	bench_applied(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 0);
	bench_tick(&bench, pace);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 1);
	assert_int_equal(sent(SYNOD_NEED, 0)->slot, SYNOD_CORE_LEARN_BURST + 1);
	assert_int_equal(sent(SYNOD_NEED, 0)->to, 2);
}

static void without_a_leader_those_who_know_are_asked(void **state)
{
	struct synod_message sign = from(3, SYNOD_REJECT, ballot_of(1, 1), 0);

	(void)state;
	bench_start(&bench, 4, 16);
	sign.chosen_through = 2;
	hear(sign);
	bench_tick(&bench, 15 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_NEED), 1);
	assert_int_equal(sent(SYNOD_NEED, 0)->to, 3);
}

/* Damage, or a bug elsewhere: what we accepted at that ballot or above it is another value. */
static void a_chosen_value_that_cannot_be_is_refused(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	hear_accept(ballot_of(2, 2), 1);
	hear_learn(3, 1);
	assert_int_equal(bench.fx.dropped, SYNOD_DROP_FIELD);
	assert_int_equal(bench.chosen_last, 0);
	bench_check_handles(&bench);
	assert_int_equal(bench.fx.counts[SYNOD_COUNT_REPAIRS], 0);
	hear(with_value(from(3, SYNOD_LEARN, ballot_of(3, 3), 1), 1, ballot_of(3, 3)));
	assert_int_equal(bench.fx.counts[SYNOD_COUNT_REPAIRS], 1);
	assert_int_equal(bench.chosen_last, 1); /* above it there may be another */
	bench_check_handles(&bench);
}

/* ---- what is left over from before ---------------------------------------------------------- */

static void a_handover_ends_with_the_leadership(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_handover(&bench, 2);
	assert_int_equal(bench.core.handover_to, 2);
	hear_chosen(3, ballot_of(9, 3), 0); /* somebody else won */
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
	stand();
	hear(promise(2, 1, 0, 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	assert_true(synod_core_can_submit(&bench.core) > 0);
}

static void a_handover_to_anybody_needs_somebody_in_contact(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench.now_ns += 41 * BENCH_MS;
	bench_handover(&bench, 0);
	assert_int_equal(bench.fx.refused, SYNOD_BAD_COMMAND);
	bench_accepted(&bench, 3, 0);
	bench_handover(&bench, 0);
	assert_int_equal(bench.fx.refused, 0);
	assert_int_equal(bench.core.handover_to, 3);
}

static void the_successor_has_no_leader_while_it_stands(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	hear_chosen(2, ballot_of(1, 2), 0);
	bench_durable(&bench);
	hear(from(2, SYNOD_HANDOVER, ballot_of(1, 2), 0));
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
	assert_int_equal(bench.core.leader, 0);
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_PREPARE), 2);
}

static void a_confirmation_is_asked_again_of_those_who_are_silent(void **state)
{
	struct synod_message answer;

	(void)state;
	bench_start(&bench, 5, 16);
	bench_lead(&bench);
	bench_read(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_CONFIRM), 4);
	assert_int_equal(bench.fx.deadline_ns, bench.now_ns + 20 * BENCH_MS); /* a heartbeat */
	answer = from(3, SYNOD_CONFIRMED, bench.core.ballot, 0);
	answer.argument = 1;
	hear(answer);
	bench_tick(&bench, 30 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CONFIRM), 3);
}

/* B15: rounds and slots have room for more than a lifetime, and none is cut on the way. */
static void numbers_beyond_32_bits_are_whole(void **state)
{
	const uint64_t base = (UINT64_C(1) << 32) - 3;

	(void)state;
	bench_start(&bench, 3, 16);
	synod_core_recover(&bench.core, ballot_of(base, 2), base);
	bench.chosen_last = base;
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_APPLIED, .slot = base });
	bench_lead(&bench);
	assert_int_equal(bench.core.ballot, ballot_of(base + 1, 1));
	for (uint64_t slot = base + 1; slot <= base + 40; slot++) {
		bench_submit(&bench);
		assert_int_equal(bench.fx.writes[0].slot, slot);
		assert_int_equal(sent(SYNOD_ACCEPT, 0)->slot, slot);
		bench_durable(&bench);
		bench_accepted(&bench, 2, slot);
		assert_int_equal(bench.chosen_last, slot);
		bench_applied(&bench);
	}
	hear_accept(ballot_of(base << 8, 2), base + 41);
	bench_durable(&bench);
	assert_int_equal(sent(SYNOD_ACCEPTED, 0)->ballot, ballot_of(base << 8, 2));
	assert_int_equal(sent(SYNOD_ACCEPTED, 0)->slot, base + 41);
}

/* B1, twice over: a record binds as a promise does, whatever the superblock says. */
static void what_was_accepted_binds_after_a_restart(void **state)
{
	struct synod_core_recovered record = { .slot = 1, .ballot = ballot_of(5, 2) };

	(void)state;
	bench_start(&bench, 3, 16);
	synod_core_recover(&bench.core, ballot_of(2, 2), 0);
	record.value = bench_value(&bench);
	synod_core_recover_slot(&bench.core, &record);
	hear(from(3, SYNOD_PREPARE, ballot_of(4, 3), 1));
	assert_int_equal(bench_sent(&bench, SYNOD_REJECT), 1);
	assert_int_equal(bench.fx.sends[0].argument, ballot_of(5, 2));
	canvass();
	assert_int_equal(bench.core.ballot, ballot_of(6, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_suffix_is_proposed_in_steps_that_follow_at_once),
		cmocka_unit_test(the_last_slot_of_a_suffix_comes_before_anything_new),
		cmocka_unit_test(a_suffix_beyond_what_may_be_in_flight_waits_for_votes),
		cmocka_unit_test(a_suffix_waits_until_there_is_room),
		cmocka_unit_test(a_chosen_slot_in_the_suffix_is_proposed_like_any_other),
		cmocka_unit_test(only_what_nobody_answered_is_repeated),
		cmocka_unit_test(a_vote_in_the_bitmap_is_a_vote),
		cmocka_unit_test(heartbeats_come_when_they_are_due),
		cmocka_unit_test(a_leader_begins_with_a_clean_table),
		cmocka_unit_test(a_question_is_answered_once_in_a_while),
		cmocka_unit_test(what_is_missing_is_asked_for_in_turn),
		cmocka_unit_test(who_had_no_room_asks_as_soon_as_there_is),
		cmocka_unit_test(without_a_leader_those_who_know_are_asked),
		cmocka_unit_test(a_chosen_value_that_cannot_be_is_refused),
		cmocka_unit_test(a_handover_ends_with_the_leadership),
		cmocka_unit_test(a_handover_to_anybody_needs_somebody_in_contact),
		cmocka_unit_test(the_successor_has_no_leader_while_it_stands),
		cmocka_unit_test(a_confirmation_is_asked_again_of_those_who_are_silent),
		cmocka_unit_test(numbers_beyond_32_bits_are_whole),
		cmocka_unit_test(what_was_accepted_binds_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

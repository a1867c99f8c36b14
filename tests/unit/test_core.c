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
	assert_int_equal(bench.fx.writes_count, 2);
	assert_int_equal(bench.fx.writes[0].slot, 3);
	assert_int_equal(bench.fx.writes[1].slot, 2); /* a no-op fills what lies before it */
	assert_int_equal(bench.fx.writes[1].value.handle, 0);
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

static void bytes_in_flight_hold_batches_back_as_slots_do(void **state)
{
	struct synod_core_config config = bench_config(3, 16);

	(void)state;
	config.inflight_bytes = 100; /* a batch of the bench has 32 */
	bench_start_as(&bench, &config);
	bench_lead(&bench);
	for (int i = 0; i < 4; i++) {
		assert_true(synod_core_can_submit(&bench.core) > 0);
		bench_submit(&bench);
	}
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_durable(&bench);
	bench_accepted(&bench, 2, 1);
	assert_true(synod_core_can_submit(&bench.core) > 0);
}

/*
 * Learned records are chosen, though no write said so through there: they count without anybody's
 * word. (Seed 108168: everybody taught it what it had, and it waited for a leader.)
 */
static void what_recovery_finds_chosen_beyond_what_it_knew_is_told_at_once(void **state)
{
	struct synod_core_recovered slot = { .ballot = synod_ballot_make(3, 2), .chosen = 1 };

	(void)state;
	bench_start(&bench, 3, 16);
	synod_core_recover(&bench.core, synod_ballot_make(4, 2), 5);
	bench.chosen_last = 5;
	for (slot.slot = 6; slot.slot <= 8; slot.slot++) {
		slot.value = bench_value(&bench);
		synod_core_recover_slot(&bench.core, &slot);
	}
	slot.slot = 10; /* 9 is missing */
	slot.value = bench_value(&bench);
	synod_core_recover_slot(&bench.core, &slot);
	bench_tick(&bench, 1);
	assert_int_equal(bench.fx.chosen_first, 6);
	assert_int_equal(bench.fx.chosen_last, 8);
	bench_tick(&bench, 1);
	assert_true(bench.fx.chosen_first > bench.fx.chosen_last);
}

static void confirm(uint32_t from, uint64_t round)
{
	bench_message(&bench, (struct synod_message){ .type = SYNOD_CONFIRMED,
						      .from = (uint8_t)from,
						      .to = 1,
						      .ballot = bench.core.ballot,
						      .argument = round });
}

/* I11: the same voter twice is one voter, and an answer to an older round says nothing. */
static void a_read_waits_for_a_quorum_that_answers_its_own_round(void **state)
{
	(void)state;
	bench_start(&bench, 5, 16);
	bench_lead(&bench);
	bench_read(&bench);
	confirm(2, 1);
	confirm(2, 1);
	bench_read(&bench);
	assert_int_equal(bench.read_settled, 0);
	confirm(3, 1);
	assert_int_equal(bench.read_settled, 1);
	confirm(4, 1);
	confirm(5, 1);
	assert_int_equal(bench.read_settled, 1);
	confirm(4, 2);
	confirm(5, 2);
	assert_int_equal(bench.read_settled, 2);
}

static void a_read_is_asked_again_when_nobody_answers(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_read(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_CONFIRM), 2);
	bench_tick(&bench, 20 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CONFIRM), 0);
	bench_tick(&bench, 10 * BENCH_MS);
	assert_int_equal(bench_sent(&bench, SYNOD_CONFIRM), 2);
}

static void reads_that_wait_are_refused_when_leadership_ends(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_read(&bench);
	bench_tick(&bench, 100 * BENCH_MS);
	assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
	assert_int_equal(bench.fx.read_through, 1);
	assert_int_equal(bench.fx.read_status, SYNOD_NOT_LEADER);
}

/* Somebody may have been answered for what phase 1 found, by the leader before. */
static void a_read_waits_for_what_phase_1_found(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_tick(&bench, 200 * BENCH_MS);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_REJECT,
						      .from = 3,
						      .to = 1,
						      .ballot = bench.core.ballot,
						      .argument = synod_ballot_make(1, 2) });
	bench_message(&bench, (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
						      .from = 2,
						      .to = 1,
						      .ballot = bench.core.ballot });
	bench_durable(&bench);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_PROMISE,
						      .from = 2,
						      .to = 1,
						      .ballot = bench.core.ballot,
						      .slot = 1,
						      .argument = 1,
						      .has_value = 1,
						      .value_slot = 1,
						      .value_ballot = synod_ballot_make(1, 2),
						      .value = bench_value(&bench) });
	bench_message(&bench, (struct synod_message){ .type = SYNOD_PROMISE,
						      .from = 2,
						      .to = 1,
						      .ballot = bench.core.ballot,
						      .slot = 2,
						      .argument = UINT64_MAX });
	assert_int_equal(bench.core.role, SYNOD_ROLE_LEADER);
	bench_read(&bench);
	confirm(2, 1);
	assert_int_equal(bench.fx.read_through, 1);
	assert_int_equal(bench.fx.read_slot, 1);
}

static void a_quorum_of_one_settles_reads_at_once(void **state)
{
	(void)state;
	bench_start(&bench, 1, 16);
	bench_lead(&bench);
	bench_read(&bench);
	assert_int_equal(bench.read_settled, 1);
}

/* I16: each quorum of phase 1 meets each of phase 2, and no other pair is taken. */
static void quorums_that_do_not_meet_are_found(void **state)
{
	(void)state;
	for (uint32_t voters = 1; voters <= SYNOD_REPLICAS_MAX; voters++)
		for (uint32_t prepare = 0; prepare <= voters + 1; prepare++)
			for (uint32_t accept = 0; accept <= voters + 1; accept++)
				assert_int_equal(synod_core_quorums_meet(voters, prepare, accept),
						 prepare > 0 && accept > 0 && prepare <= voters &&
							 accept <= voters &&
							 prepare + accept > voters);
}

static void two_of_five_choose_when_four_elect(void **state)
{
	struct synod_core_config config = bench_config(5, 16);

	(void)state;
	config.quorum_prepare = 4;
	config.quorum_accept = 2;
	bench_start_as(&bench, &config);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_durable(&bench);
	assert_int_equal(bench.chosen_last, 0);
	bench_accepted(&bench, 5, 1);
	assert_int_equal(bench.chosen_last, 1);
}

static void what_only_a_voter_may_say_is_refused_of_a_learner(void **state)
{
	static const uint8_t types[] = { SYNOD_CANVASS,	 SYNOD_CANVASS_GRANTED, SYNOD_PREPARE,
					 SYNOD_PROMISE,	 SYNOD_ACCEPT,		SYNOD_HEARTBEAT,
					 SYNOD_HANDOVER, SYNOD_CONFIRM,		SYNOD_CONFIRMED };
	struct synod_core_config config = bench_config(4, 16);

	(void)state;
	config.voters = 3;
	bench_start_as(&bench, &config);
	for (size_t i = 0; i < sizeof(types); i++) {
		bench_message(&bench, (struct synod_message){ .type = types[i],
							      .from = 4,
							      .to = 1,
							      .ballot = synod_ballot_make(1, 4),
							      .slot = 1 });
		assert_int_equal(bench.fx.dropped, SYNOD_DROP_SENDER);
	}
}

static void a_vote_of_a_learner_is_no_vote(void **state)
{
	struct synod_core_config config = bench_config(4, 16);

	(void)state;
	config.voters = 3;
	bench_start_as(&bench, &config);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_durable(&bench);
	bench_accepted(&bench, 4, 1);
	assert_int_equal(bench.chosen_last, 0);
	bench_accepted(&bench, 3, 1);
	assert_int_equal(bench.chosen_last, 1);
}

static void a_leader_that_hands_over_takes_no_batches_until_it_gives_up(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_durable(&bench);
	bench_accepted(&bench, 3, 1);
	bench_handover(&bench, 2);
	assert_int_equal(bench_sent(&bench, SYNOD_HANDOVER), 0); /* 2 lacks the slot */
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_tick(&bench, 50 * BENCH_MS);
	bench_accepted(&bench, 3, 1);
	bench_tick(&bench, 49 * BENCH_MS);
	assert_int_equal(synod_core_can_submit(&bench.core), 0);
	bench_tick(&bench, BENCH_MS);
	assert_true(synod_core_can_submit(&bench.core) > 0);
}

/* Milliseconds from now until HANDOVER is sent; replica 2 answers all the while. */
static uint64_t until_handed_over(uint64_t limit_ms)
{
	uint64_t passed_ms = 0;

	for (; passed_ms < limit_ms; passed_ms += 10) {
		bench_accepted(&bench, 2, 0);
		if (bench_sent(&bench, SYNOD_HANDOVER))
			break;
		bench_tick(&bench, 10 * BENCH_MS);
		if (bench_sent(&bench, SYNOD_HANDOVER))
			break;
	}
	return passed_ms;
}

/* It reaches us and no quorum, and what it takes from us it cannot keep. */
static void a_preferred_voter_that_does_not_keep_the_lead_is_tried_ever_more_rarely(void **state)
{
	struct synod_core_config config = bench_config(3, 16); /* an election time is 100 ms */
	uint64_t tried_ns = 0;
	uint64_t pause_ms;

	(void)state;
	config.priorities[2] = 1;
	bench_start_as(&bench, &config);
	bench_lead(&bench);
	pause_ms = until_handed_over(100000);
	assert_in_range(pause_ms, 390, 410);
	for (unsigned int tries = 0; tries < 4; tries++) {
		tried_ns = bench.now_ns;
		bench_message(&bench,
			      (struct synod_message){
				      .type = SYNOD_PREPARE,
				      .from = 2,
				      .to = 1,
				      .ballot = synod_ballot_make(
					      synod_ballot_round(bench.core.promised) + 1, 2),
				      .slot = 1 });
		assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
		bench_durable(&bench);
		bench_lead(&bench);
		(void)until_handed_over(1000000);
		pause_ms = (bench.now_ns - tried_ns) / BENCH_MS;
		assert_in_range(pause_ms, 6400u << tries, (6400u << tries) + 20);
	}
}

/* Whoever takes over from a preferred voter does not give it back at once. */
static void a_preferred_voter_that_has_just_lost_the_lead_is_left_alone_for_a_while(void **state)
{
	struct synod_core_config config = bench_config(3, 16);

	(void)state;
	config.priorities[2] = 1;
	bench_start_as(&bench, &config);
	bench_message(&bench, (struct synod_message){ .type = SYNOD_HEARTBEAT,
						      .from = 2,
						      .to = 1,
						      .ballot = synod_ballot_make(1, 2) });
	bench_durable(&bench);
	bench_lead(&bench);
	assert_in_range(until_handed_over(100000), 6390, 6420);
}

static void a_handover_goes_to_a_voter_and_not_to_oneself(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	bench_handover(&bench, 2);
	assert_int_equal(bench.fx.refused, SYNOD_NOT_LEADER);
	bench_lead(&bench);
	bench_handover(&bench, 1);
	assert_int_equal(bench.fx.refused, SYNOD_BAD_COMMAND);
	bench_handover(&bench, 4);
	assert_int_equal(bench.fx.refused, SYNOD_BAD_COMMAND);
	bench_accepted(&bench, 3, 0);
	bench_handover(&bench, 0); /* to whoever is nearest: both are in contact and equal */
	assert_int_equal(bench.fx.refused, 0);
	assert_int_equal(bench.core.handover_to, 2);
	assert_int_equal(bench_sent(&bench, SYNOD_HANDOVER), 1);
}

static void lack(uint64_t slot, uint64_t count, uint32_t flags)
{
	bench_message(&bench, (struct synod_message){ .type = SYNOD_NEED,
						      .from = 2,
						      .to = 1,
						      .flags = flags,
						      .slot = slot,
						      .argument = count });
}

static void a_leader_fills_up_to_the_slots_that_a_peer_has_corrupt(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	lack(3, 2, SYNOD_FLAG_FAULTY); /* nobody leads: it waits */
	assert_int_equal(bench.fx.writes_count, 0);
	bench_lead(&bench);
	bench_submit(&bench);
	bench_accepted(&bench, 3, 1);
	bench_durable(&bench);
	assert_int_equal(bench.chosen_last, 1);
	lack(3, 2, 0); /* who merely asks is behind its time */
	assert_int_equal(bench.core.propose_next, 2);
	lack(9, 2, SYNOD_FLAG_FAULTY); /* nobody votes as far ahead as that: 1 + 16 / 2 */
	assert_int_equal(bench.core.propose_next, 2);
	lack(3, 2, SYNOD_FLAG_FAULTY);
	assert_int_equal(bench.core.propose_next, 5);
	assert_int_equal(bench_sent(&bench, SYNOD_ACCEPT), 3 * 2);
	for (uint32_t i = 0; i < bench.fx.writes_count; i++)
		assert_int_equal(bench.fx.writes[i].value.count, 0);
	bench_durable(&bench);
	bench_accepted(&bench, 3, 4);
	assert_int_equal(bench.chosen_last, 4);
	bench_applied(&bench);
	assert_true(synod_core_can_submit(&bench.core) > 0);
	bench_tick(&bench, 20 * BENCH_MS);
	lack(3, 2, SYNOD_FLAG_FAULTY); /* and now it is told */
	assert_int_equal(bench_sent(&bench, SYNOD_LEARN), 2);
	assert_int_equal(bench.core.propose_next, 5);
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
		cmocka_unit_test(bytes_in_flight_hold_batches_back_as_slots_do),
		cmocka_unit_test(what_recovery_finds_chosen_beyond_what_it_knew_is_told_at_once),
		cmocka_unit_test(a_read_waits_for_a_quorum_that_answers_its_own_round),
		cmocka_unit_test(a_read_is_asked_again_when_nobody_answers),
		cmocka_unit_test(reads_that_wait_are_refused_when_leadership_ends),
		cmocka_unit_test(a_read_waits_for_what_phase_1_found),
		cmocka_unit_test(a_quorum_of_one_settles_reads_at_once),
		cmocka_unit_test(quorums_that_do_not_meet_are_found),
		cmocka_unit_test(two_of_five_choose_when_four_elect),
		cmocka_unit_test(what_only_a_voter_may_say_is_refused_of_a_learner),
		cmocka_unit_test(a_vote_of_a_learner_is_no_vote),
		cmocka_unit_test(a_leader_that_hands_over_takes_no_batches_until_it_gives_up),
		cmocka_unit_test(
			a_preferred_voter_that_does_not_keep_the_lead_is_tried_ever_more_rarely),
		cmocka_unit_test(
			a_preferred_voter_that_has_just_lost_the_lead_is_left_alone_for_a_while),
		cmocka_unit_test(a_handover_goes_to_a_voter_and_not_to_oneself),
		cmocka_unit_test(a_leader_fills_up_to_the_slots_that_a_peer_has_corrupt),
		cmocka_unit_test(equal_histories_give_equal_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

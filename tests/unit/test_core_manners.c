/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The core's manners: what breaks no promise when it is wrong, and is felt all the same. Nothing is
 * said more often than needed, nobody is asked who cannot know, old news changes nothing, and what
 * is due comes at once. The simulator notices little of this: repetition covers for it.
 */
#include "engine/base/counters.h"
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct bench bench;

static uint64_t ballot_of(uint64_t round, uint32_t replica)
{
	return synod_ballot_make(round, replica);
}

static struct synod_message from(uint8_t replica, uint8_t type, uint64_t ballot, uint64_t slot)
{
	return (struct synod_message){
		.type = type, .from = replica, .to = 1, .ballot = ballot, .slot = slot
	};
}

static struct synod_message with_value(struct synod_message message, uint64_t slot, uint64_t ballot)
{
	message.has_value = 1;
	message.value_slot = slot;
	message.value_ballot = ballot;
	message.value = bench_value(&bench);
	return message;
}

static void hear(struct synod_message message)
{
	bench_message(&bench, message);
}

static void hear_accept(uint64_t ballot, uint64_t slot)
{
	uint8_t leader = (uint8_t)synod_ballot_replica(ballot);

	hear(with_value(from(leader, SYNOD_ACCEPT, ballot, slot), slot, ballot));
}

/* A replica says that all through a slot is chosen, and that it follows the ballot. */
static void hear_chosen(uint8_t replica, uint64_t ballot, uint64_t through)
{
	struct synod_message sign = from(replica, SYNOD_HEARTBEAT, ballot, through);

	sign.chosen_through = through;
	hear(sign);
}

static const struct synod_message *sent(unsigned int type, uint32_t index)
{
	for (uint32_t i = 0; i < bench.fx.sends_count; i++)
		if (bench.fx.sends[i].type == type && index-- == 0)
			return &bench.fx.sends[i];
	fail_msg("no such message was sent");
	return NULL;
}

/* Until it canvasses, and then until it is a candidate whose own promise is durable. */
static void canvass(void)
{
	bench_tick(&bench, 600 * BENCH_MS);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
}

/* At a ballot above all that the promises in these tests tell of. */
static void stand(void)
{
	struct synod_message reject;

	canvass();
	reject = from(2, SYNOD_REJECT, bench.core.ballot, 0);
	reject.argument = ballot_of(synod_ballot_round(bench.core.ballot) + 6, 2);
	hear(reject);
	for (uint8_t id = 2; id <= bench.core.config.voters / 2 + 1; id++)
		hear(from(id, SYNOD_CANVASS_GRANTED, bench.core.ballot, 0));
	bench_durable(&bench);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
}

/* A part of a promise: an accepted value, or (slot_accepted 0) nothing from there to the end. */
static struct synod_message promise(uint8_t replica, uint64_t slot, uint64_t slot_accepted,
				    uint64_t ballot)
{
	struct synod_message part = from(replica, SYNOD_PROMISE, bench.core.ballot, slot);

	part.argument = UINT64_MAX;
	if (!slot_accepted)
		return part;
	part.argument = slot_accepted;
	return with_value(part, slot_accepted, ballot);
}

/* ---- canvass and phase 1 -------------------------------------------------------------------- */

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

static void accept_many(uint64_t count)
{
	for (uint64_t slot = 1; slot <= count; slot++)
		hear_accept(ballot_of(1, 2), slot);
	bench_durable(&bench);
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
	for (uint32_t i = 0; i < bench_sent(&bench, SYNOD_ACCEPT); i++)
		assert_true(sent(SYNOD_ACCEPT, i)->to == 2);
	bench_tick(&bench, 11 * BENCH_MS);
	assert_true(bench_sent(&bench, SYNOD_ACCEPT) > 0);
	for (uint32_t i = 0; i < bench_sent(&bench, SYNOD_ACCEPT); i++)
		assert_false(sent(SYNOD_ACCEPT, i)->to == 2 && sent(SYNOD_ACCEPT, i)->slot != 2);
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
	need.slot = 3; /* another question */
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
	hear_learn(3, SYNOD_CORE_LEARN_BURST); /* all that was asked for: on at once */
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
		cmocka_unit_test(a_suffix_is_proposed_in_steps_that_follow_at_once),
		cmocka_unit_test(the_last_slot_of_a_suffix_comes_before_anything_new),
		cmocka_unit_test(a_suffix_beyond_what_may_be_in_flight_waits_for_votes),
		cmocka_unit_test(a_suffix_waits_until_there_is_room),
		cmocka_unit_test(a_chosen_slot_in_the_suffix_is_proposed_like_any_other),
		cmocka_unit_test(only_what_nobody_answered_is_repeated),
		cmocka_unit_test(heartbeats_come_when_they_are_due),
		cmocka_unit_test(a_leader_begins_with_a_clean_table),
		cmocka_unit_test(a_question_is_answered_once_in_a_while),
		cmocka_unit_test(what_is_missing_is_asked_for_in_turn),
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

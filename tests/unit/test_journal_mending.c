/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mending from peers: what is faulty, whom it asks and how often, when it is done, and when there
 * is no hope. Also the matrix of test_journal_matrix.c between replicas that all are mended: no
 * leader, no core, only questions and answers.
 */
#include "engine/journal/mending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

enum {
	MS = 1000000,
	RETRANSMIT_NS = 16 * MS,
	SLOTS = 4,
	REPLICAS = 3,
};

static struct synod_mending mending;

static struct synod_index_entry entries[101];
static struct synod_index slot_index;

/* A journal whose slots up to last have records, chosen or not, and one corrupt gap. */
static struct synod_journal_recovery found(uint64_t last, uint32_t chosen, uint64_t gap_first,
					   uint64_t gap_last)
{
	struct synod_journal_recovery recovery = { .chosen_through = last,
						   .slot_last = last,
						   .faults = 1 };

	memset(entries, 0, sizeof(entries));
	slot_index = (struct synod_index){ .entries = entries, .slots = 100 };
	for (uint64_t slot = 1; slot <= last; slot++) {
		const struct synod_wire_entry entry = { .slot = slot,
							.ballot = 257,
							.flags = chosen ? SYNOD_ENTRY_CHOSEN : 0 };

		synod_index_put(&slot_index, &entry, slot * 4096);
	}
	recovery.faulty[0] = (struct synod_scan_gap){ .reason = SYNOD_SCAN_BODY,
						      .group_first = 1,
						      .group_last = 1,
						      .slot_first = gap_first,
						      .slot_last = gap_last,
						      .slots_known = 1 };
	return recovery;
}

static struct synod_mending_question asked(uint64_t now_ns)
{
	struct synod_mending_question question = { 0 };

	assert_int_equal(synod_mending_ask(&mending, now_ns, &question), 1);
	return question;
}

static void plan(uint64_t gap_first, uint64_t gap_last)
{
	const struct synod_journal_recovery recovery = found(60, 0, gap_first, gap_last);

	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_POSSIBLE);
	synod_mending_begin(&mending, 1, REPLICAS, RETRANSMIT_NS, 0);
}

static void record_of_an_older_ballot_does_not_stand_for_a_corrupt_one(void **state)
{
	struct synod_journal_recovery recovery = found(60, 0, 10, 12);
	struct synod_scan scan = { .chosen_through = 60 };

	(void)state;
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_POSSIBLE);
	assert_int_equal(mending.slots_count, 3);
	assert_int_equal(synod_recovery_end(&recovery, &scan, &slot_index), 0);
	assert_int_equal(recovery.faults, 1);
}

static void chosen_value_and_snapshot_stand_for_a_corrupt_record(void **state)
{
	struct synod_journal_recovery recovery = found(60, 1, 10, 12);
	struct synod_scan scan = { .chosen_through = 60 };

	(void)state;
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_POSSIBLE);
	assert_int_equal(mending.slots_count, 0);
	assert_int_equal(synod_recovery_end(&recovery, &scan, &slot_index), 0);
	assert_true(synod_recovery_whole(&recovery));
	assert_int_equal(recovery.mended, 1);

	recovery = found(60, 0, 10, 12);
	recovery.snapshot_slot = 11;
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_POSSIBLE);
	assert_int_equal(mending.slots_count, 1);
	assert_int_equal(mending.slots[0].slot, 12);
}

static void what_cannot_be_told_is_not_mended(void **state)
{
	struct synod_journal_recovery recovery = found(60, 1, 10, 12);
	struct synod_scan scan = { .chosen_through = 60, .over = 1 };

	(void)state;
	recovery.faulty[0].slots_known = 0;
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_SLOTS_UNKNOWN);
	recovery.faulty[0].slots_known = 1;
	recovery.faulty[0].slot_last = 101; /* the index is of 100 */
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_SLOTS_UNKNOWN);
	recovery.faulty[0].slot_last = 12;
	/* Where the log goes on is lost: nothing may be written behind it. */
	assert_int_equal(synod_recovery_end(&recovery, &scan, &slot_index), 0);
	assert_int_equal(recovery.faults, 1);
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_END_LOST);
	/* Nor may it go on from a state that is not what was saved, whatever else is whole. */
	recovery = (struct synod_journal_recovery){ .snapshot_slot = 9, .snapshot_faulty = 1 };
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_SNAPSHOT_FAULTY);
}

static void asks_in_turn_and_keeps_its_pace(void **state)
{
	struct synod_mending_question question;

	(void)state;
	plan(10, 40);
	question = asked(0);
	assert_int_equal(question.to, 2);
	assert_int_equal(question.slot, 10);
	assert_int_equal(question.count, SYNOD_MENDING_BURST);
	assert_int_equal(synod_mending_ask(&mending, RETRANSMIT_NS - 1, &question), 0);
	question = asked(RETRANSMIT_NS); /* no answer: the other one */
	assert_int_equal(question.to, 3);
	assert_int_equal(question.slot, 10);
	question = asked(2 * RETRANSMIT_NS); /* neither: other slots */
	assert_int_equal(question.slot, 26);
	assert_int_equal(question.count, 15);
	for (uint64_t slot = 26; slot <= 40; slot++)
		assert_int_equal(
			synod_mending_learn(&mending, slot, question.to, 2 * RETRANSMIT_NS + 1),
			slot - 25);
	assert_int_equal(synod_mending_learn(&mending, 26, 3, 2 * RETRANSMIT_NS + 1), 0);
	assert_int_equal(synod_mending_learn(&mending, 41, 3, 2 * RETRANSMIT_NS + 1), 0);
	/* An answer does not bring the next question at once. */
	assert_int_equal(synod_mending_deadline_ns(&mending),
			 2 * RETRANSMIT_NS + RETRANSMIT_NS / SYNOD_MENDING_PACES);
	assert_int_equal(asked(3 * RETRANSMIT_NS).slot, 10);
}

static void is_done_when_all_is_durable_and_not_before(void **state)
{
	(void)state;
	plan(10, 11);
	(void)asked(0);
	assert_int_equal(synod_mending_learn(&mending, 11, 2, 1), 1);
	assert_int_equal(synod_mending_learn(&mending, 10, 3, 1), 2);
	assert_int_equal(synod_mending_state(&mending, 1), SYNOD_MENDING_ASKS);
	assert_false(synod_mending_vouches(&mending, 11));
	assert_true(synod_mending_vouches(&mending, 12));
	assert_false(synod_mending_vouches(&mending, 61)); /* not known to be chosen */
	synod_mending_durable(&mending, 1);
	assert_true(synod_mending_vouches(&mending, 11));
	assert_int_equal(synod_mending_state(&mending, 1), SYNOD_MENDING_ASKS);
	synod_mending_durable(&mending, 2);
	assert_int_equal(synod_mending_state(&mending, 1), SYNOD_MENDING_DONE);
	assert_int_equal(synod_mending_repaired(&mending, 0)->slot, 11);
	assert_int_equal(synod_mending_repaired(&mending, 1)->from, 3);
}

static void hope_is_given_up_only_when_all_say_twice_that_they_lack_it(void **state)
{
	const uint64_t linger_ns = 2ull * SYNOD_MENDING_LINGER * RETRANSMIT_NS;

	(void)state;
	plan(10, 10);
	synod_mending_lacks(&mending, 2, 10, 1);
	assert_int_equal(synod_mending_state(&mending, 1), SYNOD_MENDING_ASKS);
	synod_mending_lacks(&mending, 3, 1, SYNOD_MENDING_BURST);
	assert_int_equal(synod_mending_state(&mending, 1), SYNOD_MENDING_ASKS);
	synod_mending_lacks(&mending, 2, 10, 1);
	assert_int_equal(synod_mending_state(&mending, linger_ns), SYNOD_MENDING_ASKS);
	synod_mending_lacks(&mending, 3, 10, 1);
	assert_int_equal(synod_mending_state(&mending, linger_ns), SYNOD_MENDING_ASKS);
	assert_int_equal(synod_mending_state(&mending, 2 * linger_ns), SYNOD_MENDING_HOPELESS);
	assert_int_equal(mending.hopeless, 10);
	assert_int_equal(synod_mending_learn(&mending, 10, 3, 2 * linger_ns), 1);
	assert_int_equal(synod_mending_state(&mending, 3 * linger_ns), SYNOD_MENDING_ASKS);
}

static void a_snapshot_stands_for_all_slots_up_to_its_own(void **state)
{
	struct synod_mending_question question;

	(void)state;
	plan(10, 40);
	assert_int_equal(synod_mending_has_through(&mending), 9);
	assert_int_equal(synod_mending_learn(&mending, 10, 2, 0), 1);
	assert_int_equal(synod_mending_learn(&mending, 12, 2, 0), 2);
	assert_int_equal(synod_mending_has_through(&mending), 10);
	synod_mending_cover(&mending, 10, 3); /* nothing that was lacked */
	assert_int_equal(mending.covered, 0);
	synod_mending_cover(&mending, 38, 3);
	assert_int_equal(mending.covered, 27); /* 11, and 13 to 38 */
	assert_int_equal(mending.covered_from, 3);
	assert_int_equal(synod_mending_has_through(&mending), 38);
	synod_mending_cover(&mending, 20, 2); /* an older one says no more */
	assert_int_equal(mending.covered, 27);
	assert_int_equal(mending.covered_from, 3);
	assert_int_equal(synod_mending_learn(&mending, 30, 2, 0), 0);
	question = asked(RETRANSMIT_NS);
	assert_int_equal(question.slot, 39);
	assert_int_equal(question.count, 2);
	/* It is no record: nobody is told of these slots from the log. */
	assert_int_equal(synod_mending_vouches(&mending, 11), 0);

	/* Done when the writes under way are durable too. */
	synod_mending_cover(&mending, 60, 2);
	assert_int_equal(synod_mending_has_through(&mending), UINT64_MAX);
	assert_int_equal(synod_mending_ask(&mending, 9 * RETRANSMIT_NS, &question), 0);
	assert_int_equal(synod_mending_state(&mending, 9 * RETRANSMIT_NS), SYNOD_MENDING_ASKS);
	synod_mending_durable(&mending, 2);
	assert_int_equal(synod_mending_state(&mending, 9 * RETRANSMIT_NS), SYNOD_MENDING_DONE);
}

static void a_snapshot_gives_hope_again(void **state)
{
	(void)state;
	plan(10, 11);
	for (int i = 0; i < 2; i++) {
		synod_mending_lacks(&mending, 2, 10, 2);
		synod_mending_lacks(&mending, 3, 10, 2);
		assert_int_equal(synod_mending_state(&mending, 0), SYNOD_MENDING_ASKS);
	}
	synod_mending_cover(&mending, 10, 3);
	assert_int_equal(synod_mending_state(&mending, UINT64_C(1000) * RETRANSMIT_NS),
			 SYNOD_MENDING_ASKS);
	assert_int_equal(synod_mending_learn(&mending, 11, 3, 0), 1);
	synod_mending_durable(&mending, 1);
	assert_int_equal(synod_mending_state(&mending, 0), SYNOD_MENDING_DONE);
}

static void alone_there_is_nobody_to_ask(void **state)
{
	const struct synod_journal_recovery recovery = found(60, 0, 10, 10);
	struct synod_mending_question question;

	(void)state;
	assert_int_equal(synod_mending_plan(&mending, &recovery, &slot_index),
			 SYNOD_MENDING_POSSIBLE);
	synod_mending_begin(&mending, 1, 1, RETRANSMIT_NS, 0);
	assert_int_equal(synod_mending_ask(&mending, 0, &question), 0);
	assert_int_equal(synod_mending_state(&mending, 0), SYNOD_MENDING_HOPELESS);
}

/* ---- the matrix ------------------------------------------------------------------------------ */

static struct synod_mending all[REPLICAS + 1];

static void begin(uint32_t id, uint32_t corrupt)
{
	struct synod_journal_recovery recovery = found(SLOTS, 0, 1, 1);

	recovery.faults = 0;
	for (uint64_t slot = 1; slot <= SLOTS; slot++)
		if (corrupt >> (slot - 1) & 1)
			recovery.faulty[recovery.faults++] =
				(struct synod_scan_gap){ .reason = SYNOD_SCAN_BODY,
							 .slot_first = slot,
							 .slot_last = slot,
							 .slots_known = 1 };
	assert_int_equal(synod_mending_plan(&all[id], &recovery, &slot_index),
			 SYNOD_MENDING_POSSIBLE);
	synod_mending_begin(&all[id], id, REPLICAS, RETRANSMIT_NS, 0);
}

static void answer(uint32_t from, const struct synod_mending_question *question, uint64_t now_ns)
{
	struct synod_mending *asker = &all[from];
	struct synod_mending *peer = &all[question->to];

	synod_mending_lacks(peer, from, question->slot, question->count);
	for (uint64_t slot = question->slot; slot < question->slot + question->count; slot++)
		if (synod_mending_vouches(peer, slot))
			(void)synod_mending_learn(asker, slot, question->to, now_ns);
	synod_mending_durable(asker, asker->taken);
}

/* Returns how many of the three are mended, or -1 if one gave up though it need not. */
static int mend_all(uint32_t masks)
{
	const uint32_t lost = masks & masks >> SLOTS & masks >> 2 * SLOTS & 15;
	int done = 0;

	for (uint32_t id = 1; id <= REPLICAS; id++)
		begin(id, masks >> (id - 1) * SLOTS & 15);
	for (uint64_t now_ns = 0; now_ns < 100ull * RETRANSMIT_NS; now_ns += MS)
		for (uint32_t id = 1; id <= REPLICAS; id++) {
			struct synod_mending_question question;

			if (synod_mending_ask(&all[id], now_ns, &question))
				answer(id, &question, now_ns);
			(void)synod_mending_state(&all[id], now_ns);
		}
	for (uint32_t id = 1; id <= REPLICAS; id++) {
		const enum synod_mending_state state =
			synod_mending_state(&all[id], 100ull * RETRANSMIT_NS);

		assert_true(state == SYNOD_MENDING_DONE || lost);
		if (state == SYNOD_MENDING_HOPELESS && !(lost >> (all[id].hopeless - 1) & 1))
			return -1;
		done += state == SYNOD_MENDING_DONE;
	}
	assert_true(done == 0 || done == REPLICAS || lost);
	return done;
}

static void replicas_that_are_all_mended_give_each_other_what_is_whole_anywhere(void **state)
{
	int mended = 0;
	int halted = 0;

	(void)state;
	for (uint32_t masks = 0; masks < 1u << REPLICAS * SLOTS; masks++) {
		const int done = mend_all(masks);

		assert_true(done >= 0);
		mended += done == REPLICAS;
		halted += done == 0;
	}
	assert_int_equal(mended, 2401);
	assert_int_equal(halted, 4096 - 2401);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(record_of_an_older_ballot_does_not_stand_for_a_corrupt_one),
		cmocka_unit_test(chosen_value_and_snapshot_stand_for_a_corrupt_record),
		cmocka_unit_test(what_cannot_be_told_is_not_mended),
		cmocka_unit_test(asks_in_turn_and_keeps_its_pace),
		cmocka_unit_test(is_done_when_all_is_durable_and_not_before),
		cmocka_unit_test(hope_is_given_up_only_when_all_say_twice_that_they_lack_it),
		cmocka_unit_test(a_snapshot_stands_for_all_slots_up_to_its_own),
		cmocka_unit_test(a_snapshot_gives_hope_again),
		cmocka_unit_test(alone_there_is_nobody_to_ask),
		cmocka_unit_test(
			replicas_that_are_all_mended_give_each_other_what_is_whole_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

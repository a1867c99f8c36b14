/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot that takes the place of slots: what the core lets go, keeps and may say then. */
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	LEADER = 2
};

static struct bench bench;

static uint64_t ballot_of_leader(void)
{
	return synod_ballot_make(5, LEADER);
}

static void accept(uint64_t slot, uint64_t chosen_through)
{
	bench_message(&bench, (struct synod_message){ .type = SYNOD_ACCEPT,
						      .from = LEADER,
						      .to = 1,
						      .ballot = ballot_of_leader(),
						      .slot = slot,
						      .chosen_through = chosen_through,
						      .has_value = 1,
						      .value_slot = slot,
						      .value_ballot = ballot_of_leader(),
						      .value = bench_value(&bench) });
}

static void heartbeat(uint64_t chosen_through)
{
	bench_message(&bench, (struct synod_message){ .type = SYNOD_HEARTBEAT,
						      .from = LEADER,
						      .to = 1,
						      .ballot = ballot_of_leader(),
						      .slot = chosen_through,
						      .chosen_through = chosen_through });
}

/* The only message of a type that the last step sent. */
static const struct synod_message *sent(unsigned int type)
{
	const struct synod_message *found = NULL;

	assert_int_equal(bench_sent(&bench, type), 1);
	for (uint32_t i = 0; i < bench.fx.sends_count; i++)
		if (bench.fx.sends[i].type == type)
			found = &bench.fx.sends[i];
	return found;
}

static void prepare(uint64_t from_slot)
{
	bench_message(&bench, (struct synod_message){ .type = SYNOD_PREPARE,
						      .from = 3,
						      .to = 1,
						      .ballot = synod_ballot_make(9, 3),
						      .slot = from_slot });
}

static void all_that_a_snapshot_covers_is_let_go_and_answered_for(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (uint64_t slot = 1; slot <= 16; slot++)
		accept(slot, 0);
	bench_durable(&bench);
	assert_int_equal(bench.handles_live, 16);
	bench_install(&bench, 1000);
	assert_int_equal(bench.fx.released_count, 16);
	bench_check_handles(&bench);
	assert_int_equal(bench.core.slot_last, 1000);
	assert_int_equal(bench.fx.writes_count, 0);
	/* The leader need not repeat them. */
	assert_int_equal(sent(SYNOD_ACCEPTED)->slot, 1000);
	assert_int_equal(sent(SYNOD_ACCEPTED)->argument, 0);
}

static void what_was_accepted_beyond_a_snapshot_stays(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (uint64_t slot = 1; slot <= 8; slot++)
		accept(slot, 0);
	bench_durable(&bench);
	bench_install(&bench, 5);
	assert_int_equal(bench.handles_live, 3);
	bench_check_handles(&bench);
	assert_int_equal(bench.core.chosen_through, 5);
	assert_int_equal(sent(SYNOD_ACCEPTED)->slot, 8);
	prepare(6);
	bench_durable(&bench);
	assert_int_equal(bench_sent(&bench, SYNOD_PROMISE), 4); /* three values and the end */
}

static void what_was_announced_beyond_a_snapshot_is_chosen_with_it(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (uint64_t slot = 4; slot <= 6; slot++)
		accept(slot, 0);
	heartbeat(5);
	assert_int_equal(bench.core.chosen_through, 0); /* the first three are missing */
	bench_install(&bench, 3);
	assert_int_equal(bench.fx.chosen_first, 4);
	assert_int_equal(bench.fx.chosen_last, 5);
	assert_int_equal(bench.core.chosen_through, 5);
}

static void a_snapshot_that_was_overtaken_only_spares_execution(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (uint64_t slot = 1; slot <= 8; slot++)
		accept(slot, slot - 1);
	heartbeat(8);
	assert_int_equal(bench.core.chosen_through, 8);
	bench_install(&bench, 5);
	assert_int_equal(bench.core.chosen_through, 8);
	assert_int_equal(bench.core.applied, 5);
	assert_int_equal(bench.handles_live, 8); /* they may serve others */
	bench_step(&bench, (struct synod_event){ .kind = SYNOD_EVENT_APPLIED, .slot = 8 });
	assert_int_equal(bench.core.applied, 8);
}

static void whoever_wants_to_lead_follows_again(void **state)
{
	(void)state;
	for (int role = SYNOD_ROLE_CANVASSER; role <= SYNOD_ROLE_LEADER; role++) {
		bench_start(&bench, 3, 16);
		if (role == SYNOD_ROLE_LEADER) {
			bench_lead(&bench);
			bench_submit(&bench);
			bench_read(&bench);
		} else {
			bench_tick(&bench, 600 * BENCH_MS);
		}
		if (role == SYNOD_ROLE_CANDIDATE)
			bench_message(&bench,
				      (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
							      .from = 2,
							      .to = 1,
							      .ballot = bench.core.ballot });
		assert_int_equal(bench.core.role, role);
		bench_install(&bench, 40);
		assert_int_equal(bench.core.role, SYNOD_ROLE_FOLLOWER);
		assert_int_equal(bench.core.leader, 0);
		assert_int_equal(bench.handles_live, 0);
		assert_int_equal(bench.read_last, bench.read_settled);
		/* And may win, from behind the snapshot. */
		bench_lead(&bench);
		bench_submit(&bench);
		assert_int_equal(bench.fx.writes[0].slot, 41);
	}
}

static void catching_up_goes_on_behind_a_snapshot(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	heartbeat(500);
	bench_tick(&bench, 15 * BENCH_MS);
	assert_int_equal(sent(SYNOD_NEED)->slot, 1);
	bench.now_ns += BENCH_MS;
	bench_install(&bench, 400);
	assert_int_equal(sent(SYNOD_NEED)->slot, 401);
	assert_int_equal(sent(SYNOD_NEED)->to, LEADER);
}

static void who_asks_for_what_it_covers_is_sent_to_the_snapshot(void **state)
{
	(void)state;
	bench_start(&bench, 3, 16);
	for (uint64_t slot = 1; slot <= 8; slot++)
		accept(slot, 0);
	bench_durable(&bench);
	bench_install(&bench, 8);
	bench.now_ns += BENCH_MS;
	bench_message(&bench,
		      (struct synod_message){
			      .type = SYNOD_NEED, .from = 3, .to = 1, .slot = 8, .argument = 4 });
	assert_int_equal(bench.fx.reads_count, 1); /* of the journal, which offers it */
	assert_int_equal(bench.fx.reads[0].slot, 8);
	prepare(8);
	bench_durable(&bench);
	assert_true(sent(SYNOD_PROMISE)->flags & SYNOD_FLAG_BEHIND);
}

static void a_replica_starts_from_a_snapshot_without_its_slots(void **state)
{
	struct synod_core_config config = bench_config(3, 16);

	(void)state;
	bench_start_as(&bench, &config);
	synod_core_recover(&bench.core, synod_ballot_make(4, 3), 100);
	bench.chosen_last = 100;
	accept(101, 100);
	bench_durable(&bench);
	assert_int_equal(sent(SYNOD_ACCEPTED)->slot, 101);
	bench_message(&bench,
		      (struct synod_message){
			      .type = SYNOD_NEED, .from = 3, .to = 1, .slot = 100, .argument = 1 });
	assert_int_equal(bench.fx.reads_count, 1);
	prepare(100);
	bench_durable(&bench);
	assert_true(sent(SYNOD_PROMISE)->flags & SYNOD_FLAG_BEHIND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_a_snapshot_covers_is_let_go_and_answered_for),
		cmocka_unit_test(what_was_accepted_beyond_a_snapshot_stays),
		cmocka_unit_test(what_was_announced_beyond_a_snapshot_is_chosen_with_it),
		cmocka_unit_test(a_snapshot_that_was_overtaken_only_spares_execution),
		cmocka_unit_test(whoever_wants_to_lead_follows_again),
		cmocka_unit_test(catching_up_goes_on_behind_a_snapshot),
		cmocka_unit_test(who_asks_for_what_it_covers_is_sent_to_the_snapshot),
		cmocka_unit_test(a_replica_starts_from_a_snapshot_without_its_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

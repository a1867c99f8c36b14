/* SPDX-License-Identifier: BSD-3-Clause */
/* Links that go down, from the net's port to the core: told once each, and nobody else's. */
#include "engine/base/ballot.h"
#include "engine/pipeline/pipeline.h"
#include "tests/pipeline/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
	BEAT_TURNS = 20, /* a fifth of the bench's election time */
	LOOK_TURNS = 300 /* three looks at the links */
};

static uint64_t lost(const struct bench *bench)
{
	return synod_counter_read(&bench->pipeline->order.counters, SYNOD_LEADERS_LOST);
}

/* Replica 2 leads and says so. */
static void run_led(struct bench *bench)
{
	const struct synod_wire_header beat = { .type = SYNOD_HEARTBEAT,
						.ballot = synod_ballot_make(1, 2) };

	for (uint32_t turns = 0; turns < LOOK_TURNS; turns += BEAT_TURNS) {
		bench_put_peer(bench, 2, &beat, NULL, 0);
		bench_run(bench, BEAT_TURNS);
	}
}

static void a_lost_link_to_the_leader_is_told_once(void **state)
{
	struct bench *bench = bench_make_with_areas(3);

	(void)state;
	run_led(bench);
	assert_int_equal(bench->pipeline->order.core.leader, 2);
	assert_int_equal(lost(bench), 0);
	bench->peers_lost = 1u << 3;
	run_led(bench);
	assert_int_equal(lost(bench), 0);
	bench->peers_lost |= 1u << 2;
	run_led(bench);
	assert_int_equal(lost(bench), 1);
	assert_int_equal(bench->pipeline->order.core.leader, 2); /* it lives */
	bench->peers_lost = 0;
	run_led(bench);
	bench->peers_lost = 1u << 2;
	run_led(bench);
	assert_int_equal(lost(bench), 2);
	bench_free(bench);
}

/* At a start no link is up, and none was lost. */
static void links_that_were_never_up_are_no_loss(void **state)
{
	struct bench *bench = bench_make_with_areas(3);

	(void)state;
	bench->peers_lost = 1u << 2 | 1u << 3;
	bench_run(bench, LOOK_TURNS);
	run_led(bench);
	assert_int_equal(lost(bench), 0);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_link_to_the_leader_is_told_once),
		cmocka_unit_test(links_that_were_never_up_are_no_loss),
	};

	return cmocka_run_group_tests(tests, bench_eal, bench_eal_end);
}

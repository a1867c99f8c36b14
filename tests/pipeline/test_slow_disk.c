/* SPDX-License-Identifier: BSD-3-Clause */
/* When a leader's own disk is the slow one, and when it only seems so. */
#include "engine/pipeline/slow_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

struct run {
	struct synod_slow_disk slow;
	struct synod_slow_disk_now now;
	uint64_t disk_ns;   /* of the own disk */
	uint64_t others_ns; /* of the others' quorum */
	uint64_t handed_ns; /* when it said so first; 0: never */
	uint32_t handed;    /* times */
	uint64_t given_ns[100000];
};

static struct run run;

static void begin(uint64_t disk_ns, uint64_t others_ns)
{
	memset(&run, 0, sizeof(run));
	run.now.now_ns = 1000 * MS;
	run.now.leads = 1;
	run.disk_ns = disk_ns;
	run.others_ns = others_ns;
}

/* A slot a millisecond, for so long; a look every 100 us. */
static void go(uint64_t ms)
{
	const uint64_t end = run.now.now_ns + ms * MS;

	for (; run.now.now_ns < end; run.now.now_ns += MS / 10) {
		struct synod_slow_disk_now *now = &run.now;

		if (now->now_ns % MS == 0)
			run.given_ns[++now->ticket_last] = now->now_ns;
		now->slot_last = now->ticket_last;
		while (now->ticket_durable < now->ticket_last &&
		       run.given_ns[now->ticket_durable + 1] + run.disk_ns <= now->now_ns)
			now->ticket_durable++;
		while (now->slot_chosen < now->slot_last &&
		       run.given_ns[now->slot_chosen + 1] + run.others_ns <= now->now_ns)
			now->slot_chosen++;
		if (!synod_slow_disk_look(&run.slow, now))
			continue;
		run.handed++;
		if (!run.handed_ns)
			run.handed_ns = now->now_ns - 1000 * MS;
	}
}

static void a_slow_disk_under_a_leader_is_noticed_within_half_a_second(void **state)
{
	(void)state;
	begin(100 * MS, MS / 2);
	go(5000);
	assert_int_equal(run.handed, 1);
	assert_in_range(run.handed_ns, 200 * MS, 500 * MS);
}

static void a_disk_that_stands_still_is_noticed_within_a_quarter_of_a_second(void **state)
{
	(void)state;
	begin(1000000 * MS, MS / 2);
	go(1000);
	assert_int_equal(run.handed, 1);
	assert_in_range(run.handed_ns, 190 * MS, 250 * MS);
}

static void a_quick_disk_is_left_alone(void **state)
{
	(void)state;
	begin(10 * MS, MS / 5);
	go(20000);
	assert_int_equal(run.handed, 0);
}

/* Nobody would be better off. */
static void where_all_disks_are_slow_nothing_is_done(void **state)
{
	(void)state;
	begin(100 * MS, 90 * MS);
	go(20000);
	assert_int_equal(run.handed, 0);
	begin(100 * MS, 100 * MS);
	go(20000);
	assert_int_equal(run.handed, 0);
}

static void one_slow_write_now_and_then_is_nothing(void **state)
{
	(void)state;
	begin(MS, MS / 5);
	for (int i = 0; i < 20; i++) {
		run.disk_ns = 120 * MS;
		go(120);
		run.disk_ns = MS;
		go(500);
	}
	assert_int_equal(run.handed, 0);
}

static void it_is_not_said_again_for_ten_seconds(void **state)
{
	(void)state;
	begin(100 * MS, MS / 2);
	go(25000);
	assert_int_equal(run.handed, 3);
}

static void who_does_not_lead_hands_nothing_over(void **state)
{
	(void)state;
	begin(100 * MS, MS / 2);
	run.now.leads = 0;
	go(5000);
	assert_int_equal(run.handed, 0);
	run.now.leads = 1;
	go(500);
	assert_int_equal(run.handed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_disk_under_a_leader_is_noticed_within_half_a_second),
		cmocka_unit_test(a_disk_that_stands_still_is_noticed_within_a_quarter_of_a_second),
		cmocka_unit_test(a_quick_disk_is_left_alone),
		cmocka_unit_test(where_all_disks_are_slow_nothing_is_done),
		cmocka_unit_test(one_slow_write_now_and_then_is_nothing),
		cmocka_unit_test(it_is_not_said_again_for_ten_seconds),
		cmocka_unit_test(who_does_not_lead_hands_nothing_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

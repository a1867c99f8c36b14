/* SPDX-License-Identifier: BSD-3-Clause */
/* What a replica says to whom it cannot serve: BUSY and when to come again, HALTED. */
#include "engine/pipeline/pipeline.h"
#include "tests/pipeline/bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void commands_are_executed_and_answered(void **state)
{
	struct bench *bench = bench_make();
	uint64_t session = bench_open_session(bench, 7);

	(void)state;
	for (uint64_t number = 1; number <= 100; number++) {
		struct synod_wire_result result;

		bench_request(bench, SYNOD_COMMAND_APPLY, session, number, &number, 8);
		bench_run(bench, 20);
		result = bench_result(bench, NULL);
		assert_int_equal(result.status, SYNOD_OK);
		assert_int_equal(result.position, number);
		assert_int_equal(result.retry_us, 0);
	}
	assert_int_equal(bench->answers_count, 0);
	bench_free(bench);
}

/* Requests that each fill a batch, until one is refused; returns its result. */
static struct synod_wire_result fill(struct bench *bench, uint64_t session, uint64_t *number)
{
	static const uint8_t payload[SYNOD_COMMAND_SIZE_MAX];

	for (int i = 0; i < 100 && !bench->answers_count; i++) {
		bench_request(bench, SYNOD_COMMAND_APPLY, session, ++*number, payload,
			      sizeof(payload));
		bench_run(bench, 1);
	}
	assert_int_equal(bench->answers_count, 1);
	return bench_result(bench, NULL);
}

static void a_busy_replica_says_when_to_come_again(void **state)
{
	struct bench *bench = bench_make();
	uint64_t session = bench_open_session(bench, 7);
	struct synod_wire_result early, late;
	uint64_t number = 0;

	(void)state;
	bench->journal_held = 1;
	early = fill(bench, session, &number);
	assert_int_equal(early.status, SYNOD_BUSY);
	assert_int_equal(early.number, number);
	assert_in_range(early.retry_us, SYNOD_PIPELINE_RETRY_US_MIN, 20000);
	bench_run(bench, 5000); /* 50 ms */
	late = fill(bench, session, &number);
	assert_int_equal(late.status, SYNOD_BUSY);
	assert_in_range(late.retry_us, early.retry_us + 40000, SYNOD_PIPELINE_RETRY_US_MAX);
	/* It was the truth: nothing of the refused ones is done, the others are. */
	bench->journal_held = 0;
	bench_run(bench, 200);
	assert_int_equal(synod_apply_position(bench->apply), number - 2);
	bench_free(bench);
}

static void a_replica_whose_journal_failed_answers_halted_until_it_ends(void **state)
{
	struct bench *bench = bench_make();
	uint64_t session = bench_open_session(bench, 7);
	const struct synod_wire_header query = { .type = SYNOD_STATUS_QUERY, .argument = 9 };
	static const uint8_t padding[sizeof(struct synod_wire_status)];
	struct synod_wire_result result;
	struct synod_wire_view view;
	uint64_t to;

	(void)state;
	bench->journal_error = -EIO;
	bench_request(bench, SYNOD_COMMAND_APPLY, session, 1, "lost", 4);
	bench_run(bench, 20);
	assert_int_equal(bench->answers_count, 0); /* its fate is not known here */
	bench_request(bench, SYNOD_COMMAND_APPLY, session, 2, "late", 4);
	bench_run(bench, 20);
	result = bench_result(bench, NULL);
	assert_int_equal(result.status, SYNOD_HALTED);
	assert_int_equal(result.number, 2);
	bench_put(bench, 1, &query, padding, sizeof(padding));
	bench_run(bench, 20);
	assert_true(bench_take(bench, &to, &view));
	assert_int_equal(view.header->type, SYNOD_STATUS);
	assert_int_equal(synod_pipeline_failed(bench->pipeline), -EIO);
	assert_int_equal(synod_pipeline_ended(bench->pipeline, bench->now_ns), 0);
	assert_int_equal(
		synod_pipeline_ended(bench->pipeline, bench->now_ns + SYNOD_PIPELINE_HALT_NS),
		-EIO);
	bench_free(bench);
}

static void what_was_gathered_when_the_journal_failed_is_answered_halted(void **state)
{
	struct bench *bench = bench_make();
	uint64_t session = bench_open_session(bench, 7);
	uint64_t other = bench_open_session(bench, 8);
	uint32_t seen = 0;
	struct synod_wire_result result;

	(void)state;
	bench->journal_busy = 1; /* so the batch stays open */
	bench_run(bench, 2);
	bench_request(bench, SYNOD_COMMAND_APPLY, session, 1, "one", 3);
	bench_request(bench, SYNOD_COMMAND_APPLY, other, 1, "two", 3);
	bench_request(bench, SYNOD_COMMAND_APPLY, other, 2, "three", 5);
	bench_run(bench, 5);
	assert_int_equal(bench->answers_count, 0);
	bench->journal_error = -EIO;
	bench_run(bench, 5);
	result = bench_result(bench, NULL);
	assert_int_equal(result.status, SYNOD_HALTED);
	while (bench->answers_count) {
		struct synod_wire_view view;
		uint64_t to;

		assert_true(bench_take(bench, &to, &view));
		assert_int_equal(to, other);
		seen += view.body_size / (uint32_t)sizeof(result);
	}
	assert_int_equal(seen, 2);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_executed_and_answered),
		cmocka_unit_test(a_busy_replica_says_when_to_come_again),
		cmocka_unit_test(a_replica_whose_journal_failed_answers_halted_until_it_ends),
		cmocka_unit_test(what_was_gathered_when_the_journal_failed_is_answered_halted),
	};

	return cmocka_run_group_tests_name("refuse", tests, bench_eal, bench_eal_end);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests of several sessions at one address in one datagram, and answers alike. */
#include "tests/pipeline/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	CLIENT = 4242, /* the address of them all */
	SESSIONS = 5,
	PAYLOAD = 24,
};

static uint64_t sessions[SESSIONS];

static struct bench *make(void)
{
	struct bench *bench = bench_make();

	for (uint64_t i = 0; i < SESSIONS; i++)
		sessions[i] = bench_open_session(bench, 100 + i);
	return bench;
}

/* A command of each session, in one request. */
static void ask(struct bench *bench, uint64_t number, uint32_t payload, uint8_t kind,
		uint16_t flags)
{
	const struct synod_wire_header header = { .type = SYNOD_REQUEST, .flags = flags };
	uint8_t body[SESSIONS * 256] = { 0 };
	uint32_t size = 0;

	for (uint32_t i = 0; i < SESSIONS; i++) {
		const struct synod_wire_command command = {
			.session = sessions[i], .number = number, .size = payload, .kind = kind
		};

		memcpy(body + size, &command, sizeof(command));
		size += synod_wire_command_size(&command);
	}
	bench_put(bench, CLIENT, &header, body, size);
}

/* The next answer is one datagram of them all, each with that status. */
static void expect_shared(struct bench *bench, uint64_t number, uint16_t status)
{
	struct synod_wire_view view;
	uint64_t to;

	assert_int_equal(bench->answers_count, 1);
	assert_true(bench_take(bench, &to, &view));
	assert_int_equal(to, CLIENT);
	assert_int_equal(view.header->type, SYNOD_REPLY);
	assert_int_equal(view.header->flags, SYNOD_FLAG_SHARED);
	assert_int_equal(view.header->slot, 0);
	assert_int_equal(view.body_size, SESSIONS * 32);
	for (uint32_t i = 0; i < SESSIONS; i++) {
		struct synod_wire_result result;
		uint64_t session;

		memcpy(&session, view.body + 32 * i, sizeof(session));
		memcpy(&result, view.body + 32 * i + sizeof(session), sizeof(result));
		assert_int_equal(session, sessions[i]);
		assert_int_equal(result.number, number);
		assert_int_equal(result.status, status);
	}
}

static void sessions_that_ask_in_one_datagram_are_answered_in_one(void **state)
{
	struct bench *bench = make();

	(void)state;
	ask(bench, 1, PAYLOAD, SYNOD_COMMAND_APPLY, SYNOD_FLAG_SHARED);
	bench_run(bench, 20);
	expect_shared(bench, 1, SYNOD_OK);
	ask(bench, 2, PAYLOAD, SYNOD_COMMAND_READ, SYNOD_FLAG_SHARED);
	bench_run(bench, 20);
	expect_shared(bench, 2, SYNOD_OK);
	bench_free(bench);
}

static void they_are_refused_in_one_datagram_too(void **state)
{
	struct bench *bench = make();

	(void)state;
	bench->room = 0;
	bench_run(bench, 5);
	ask(bench, 1, PAYLOAD, SYNOD_COMMAND_APPLY, SYNOD_FLAG_SHARED);
	bench_run(bench, 5);
	expect_shared(bench, 1, SYNOD_FULL);
	bench_free(bench);
}

/* Each in a datagram of its own: of that session, and no other. */
static void expect_apart(struct bench *bench)
{
	for (uint32_t i = 0; i < SESSIONS; i++) {
		struct synod_wire_view view;
		uint64_t to;

		assert_true(bench_take(bench, &to, &view));
		assert_int_equal(view.header->flags, 0);
		assert_int_equal(view.header->slot, sessions[i]);
		assert_int_equal(view.body_size, sizeof(struct synod_wire_result));
	}
	assert_int_equal(bench->answers_count, 0);
}

static void whoever_does_not_ask_for_it_is_answered_apart(void **state)
{
	struct bench *bench = make();

	(void)state;
	ask(bench, 1, PAYLOAD, SYNOD_COMMAND_APPLY, 0);
	bench_run(bench, 20);
	expect_apart(bench);
	bench_free(bench);
}

static void nobody_is_answered_with_more_bytes_than_it_sent(void **state)
{
	struct bench *bench = make();

	(void)state;
	ask(bench, 1, 0, SYNOD_COMMAND_APPLY, SYNOD_FLAG_SHARED);
	bench_run(bench, 20);
	expect_apart(bench);
	bench_free(bench);
}

static void a_batch_holds_requests_of_both_kinds(void **state)
{
	struct bench *bench = make();

	(void)state;
	ask(bench, 1, PAYLOAD, SYNOD_COMMAND_APPLY, SYNOD_FLAG_SHARED);
	ask(bench, 2, PAYLOAD, SYNOD_COMMAND_APPLY, 0);
	bench_run(bench, 20);
	assert_int_equal(bench->answers_count, 1 + SESSIONS);
	bench->answers_count = 1;
	expect_shared(bench, 1, SYNOD_OK);
	bench_free(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_that_ask_in_one_datagram_are_answered_in_one),
		cmocka_unit_test(they_are_refused_in_one_datagram_too),
		cmocka_unit_test(whoever_does_not_ask_for_it_is_answered_apart),
		cmocka_unit_test(nobody_is_answered_with_more_bytes_than_it_sent),
		cmocka_unit_test(a_batch_holds_requests_of_both_kinds),
	};

	return cmocka_run_group_tests_name("share", tests, bench_eal, bench_eal_end);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The checker against a naive twin that tries every order, and against planted violations. */
#include "engine/base/random.h"
#include "tests/linear/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define STEPS_MAX 50000000ull

enum {
	TINY_MAX = 6,
	TINY_CASES = 12000,
	TINY_VALUES = 3, /* 1..3: few, so that chance meets them again */
	LARGE_OPS = 2000,
	LARGE_CLIENTS = 8,
};

static uint64_t state = 20260101;

static uint32_t below(uint32_t bound)
{
	return (uint32_t)synod_random_below(&state, bound);
}

/* ---- a register, written once more, and all orders ------------------------------------------ */

/* Executes an operation; 0 if its outcome is not the one this value leads to. */
static int naive_execute(const struct linear_op *op, uint32_t *value)
{
	uint32_t before = *value;
	uint8_t outcome = LINEAR_OK;

	switch (op->operation) {
	case LINEAR_GET:
		if (before == LINEAR_ABSENT)
			outcome = LINEAR_NOT_FOUND;
		else if (op->outcome == LINEAR_OK && op->value != before)
			return 0;
		break;
	case LINEAR_PUT:
		if (op->outcome == LINEAR_NO_SPACE)
			return before == LINEAR_ABSENT;
		*value = op->value;
		break;
	case LINEAR_DELETE:
		if (before == LINEAR_ABSENT)
			outcome = LINEAR_NOT_FOUND;
		*value = LINEAR_ABSENT;
		break;
	default:
		if (op->outcome == LINEAR_NO_SPACE)
			return before == LINEAR_ABSENT;
		if (before == op->expected)
			*value = op->value;
		else if (before == LINEAR_ABSENT)
			outcome = LINEAR_NOT_FOUND;
		else
			outcome = LINEAR_MISMATCH;
		break;
	}
	return op->outcome == LINEAR_UNKNOWN || op->outcome == outcome;
}

static int naive_order_holds(const struct linear_op *ops, uint32_t count, const uint32_t *order,
			     uint32_t left_out, uint32_t value)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct linear_op *op = &ops[order[i]];

		if (left_out >> order[i] & 1)
			continue;
		for (uint32_t j = i + 1; j < count; j++)
			if (!(left_out >> order[j] & 1) && ops[order[j]].answered < op->invoked)
				return 0;
		if (!naive_execute(op, &value))
			return 0;
	}
	return 1;
}

/* The next order, in the order of dictionaries; 0 after the last. */
static int next_order(uint32_t *order, uint32_t count)
{
	uint32_t at = count - 1;
	uint32_t other = count - 1;

	while (at > 0 && order[at - 1] > order[at])
		at--;
	if (at == 0)
		return 0;
	while (order[other] < order[at - 1])
		other--;
	for (uint32_t swap = order[at - 1], begin = at, end = count - 1;;) {
		order[at - 1] = order[other];
		order[other] = swap;
		for (; begin < end; begin++, end--) {
			swap = order[begin];
			order[begin] = order[end];
			order[end] = swap;
		}
		return 1;
	}
}

static int naive_from(const struct linear_op *ops, uint32_t count, uint32_t value)
{
	for (uint32_t left_out = 0; left_out < 1u << count; left_out++) {
		uint32_t order[TINY_MAX] = { 0, 1, 2, 3, 4, 5 };
		int may = 1;

		for (uint32_t i = 0; i < count; i++)
			may &= !(left_out >> i & 1) || ops[i].outcome == LINEAR_UNKNOWN;
		if (!may)
			continue;
		do
			if (naive_order_holds(ops, count, order, left_out, value))
				return 1;
		while (next_order(order, count));
	}
	return 0;
}

static int naive(const struct linear_op *ops, uint32_t count, uint32_t initial)
{
	if (initial != LINEAR_ANY)
		return naive_from(ops, count, initial);
	for (uint32_t value = 0; value <= TINY_VALUES + 1; value++) /* one that nobody names, too */
		if (naive_from(ops, count, value))
			return 1;
	return 0;
}

/* ---- histories ------------------------------------------------------------------------------ */

static void draw_op(struct linear_op *op, uint32_t value)
{
	op->operation = (uint8_t)below(4);
	op->value = op->operation == LINEAR_DELETE ? LINEAR_ABSENT : value;
	op->expected = op->operation == LINEAR_CAS ? below(TINY_VALUES + 1) : LINEAR_ABSENT;
}

/* What the operation comes to on this value. */
static void come_true(struct linear_op *op, uint32_t *value)
{
	uint32_t before = *value;

	for (op->outcome = LINEAR_OK; op->outcome <= LINEAR_MISMATCH; op->outcome++) {
		*value = before;
		if (op->operation == LINEAR_GET)
			op->value = before;
		if (naive_execute(op, value))
			return;
	}
	fail();
}

static int by_point(const void *left, const void *right)
{
	const struct linear_op *const *a = left;
	const struct linear_op *const *b = right;

	return (*a)->tag < (*b)->tag ? -1 : (*a)->tag > (*b)->tag;
}

/* A true history of one key: each takes effect at a moment (tag) between its two ends. */
static void make_true(struct linear_op *ops, uint32_t count, uint32_t length, uint32_t unknown,
		      int unique)
{
	struct linear_op **order = calloc(count, sizeof(struct linear_op *));
	uint32_t value = LINEAR_ABSENT;

	assert_non_null(order);
	for (uint32_t i = 0; i < count; i++) {
		ops[i].invoked = below(count * 4);
		ops[i].answered = ops[i].invoked + 1 + below(length);
		ops[i].tag = (uint32_t)ops[i].invoked * 1000 +
			     below((uint32_t)(ops[i].answered - ops[i].invoked) * 1000);
		draw_op(&ops[i], unique ? i + 1 : 1 + below(TINY_VALUES));
		order[i] = &ops[i];
	}
	qsort(order, count, sizeof(struct linear_op *), by_point);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t before = value;

		if (unique && order[i]->operation == LINEAR_CAS && below(2))
			order[i]->expected = value;
		come_true(order[i], &value);
		if (below(100) >= unknown)
			continue;
		order[i]->outcome = LINEAR_UNKNOWN;
		order[i]->answered = LINEAR_NEVER;
		if (below(2))
			value = before; /* it never happened */
	}
	for (uint32_t i = 0; i < count; i++)
		ops[i].tag = i;
	free(order);
}

static void spoil(struct linear_op *op)
{
	if (op->operation == LINEAR_GET && below(2)) {
		op->outcome = LINEAR_OK;
		op->value = 1 + below(TINY_VALUES);
	} else if (op->operation == LINEAR_PUT) {
		op->outcome = below(2) ? LINEAR_OK : LINEAR_NO_SPACE;
	} else {
		op->outcome = (uint8_t)below(op->operation == LINEAR_CAS ? 4 : 2);
	}
	if (op->operation == LINEAR_GET && op->outcome != LINEAR_OK)
		op->value = LINEAR_ABSENT;
	if (op->operation == LINEAR_GET && op->outcome == LINEAR_OK && !op->value)
		op->value = 1;
	if (op->operation == LINEAR_CAS && !op->expected && op->outcome == LINEAR_NOT_FOUND)
		op->outcome = LINEAR_OK;
}

static enum linear_verdict verdict_of(struct linear_op *ops, uint32_t count, uint32_t initial)
{
	struct linear_result result;

	linear_check(ops, count, initial, STEPS_MAX, &result);
	return result.verdict;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void agrees_with_trying_every_order(void **unused)
{
	uint32_t yes = 0;
	uint32_t no = 0;

	(void)unused;
	for (uint32_t i = 0; i < TINY_CASES; i++) {
		struct linear_op ops[TINY_MAX] = { { 0 } };
		uint32_t count = 1 + below(TINY_MAX);
		uint32_t initial = below(4) ? LINEAR_ABSENT : LINEAR_ANY;
		enum linear_verdict verdict;
		int expected;

		make_true(ops, count, 1 + below(20), below(2) * 30, 0);
		for (uint32_t changes = below(3); changes; changes--) {
			struct linear_op *op = &ops[below(count)];

			if (op->outcome != LINEAR_UNKNOWN)
				spoil(op);
		}
		expected = naive(ops, count, initial);
		verdict = verdict_of(ops, count, initial);
		/* From ANY it forgets what a MISMATCH told: it may take a little too much. */
		if (initial == LINEAR_ABSENT || expected)
			assert_int_equal(verdict, expected ? LINEAR_YES : LINEAR_NO);
		yes += expected != 0;
		no += !expected;
	}
	assert_true(yes > TINY_CASES / 5 && no > TINY_CASES / 10); /* both were tried */
}

static void a_true_history_is_taken_in_few_steps(void **unused)
{
	static struct linear_op ops[LARGE_OPS];
	struct linear_result result;

	(void)unused;
	for (int i = 0; i < 20; i++) {
		memset(ops, 0, sizeof(ops));
		make_true(ops, LARGE_OPS, 4 * LARGE_CLIENTS, (uint32_t)i % 4, 1);
		linear_check(ops, LARGE_OPS, LINEAR_ABSENT, STEPS_MAX, &result);
		assert_int_equal(result.verdict, LINEAR_YES);
	}
}

/* One wrong read in 2,000 operations is found and named. */
static void one_stale_read_among_thousands_is_blamed(void **unused)
{
	static struct linear_op ops[LARGE_OPS];
	struct linear_result result;

	(void)unused;
	for (int i = 0; i < 10; i++) {
		uint32_t tag;
		uint32_t at = LARGE_OPS / 2 + below(LARGE_OPS / 4);

		memset(ops, 0, sizeof(ops));
		make_true(ops, LARGE_OPS, 4 * LARGE_CLIENTS, 1, 1);
		for (; ops[at].operation != LINEAR_GET || ops[at].outcome == LINEAR_UNKNOWN; at++)
			;
		/* A value that somebody wrote, long ago or never visibly. */
		ops[at].outcome = LINEAR_OK;
		ops[at].value = LARGE_OPS + 7;
		tag = ops[at].tag;
		linear_check(ops, LARGE_OPS, LINEAR_ABSENT, STEPS_MAX, &result);
		assert_int_equal(result.verdict, LINEAR_NO);
		assert_int_equal(ops[result.blamed].tag, tag);
		assert_true(result.from_ns <= ops[result.blamed].answered);
		assert_true(result.to_ns == ops[result.blamed].answered);
	}
}

static const struct linear_op put_1 = {
	.invoked = 10, .answered = 20, .operation = LINEAR_PUT, .value = 1
};
static const struct linear_op put_2 = {
	.invoked = 30, .answered = 40, .operation = LINEAR_PUT, .value = 2, .tag = 1
};

static void a_stale_read_is_caught(void **unused)
{
	struct linear_op ops[] = {
		put_1,
		put_2,
		{ .invoked = 50, .answered = 60, .operation = LINEAR_GET, .value = 1, .tag = 2 },
	};

	(void)unused;
	assert_int_equal(verdict_of(ops, 3, LINEAR_ABSENT), LINEAR_NO);
	ops[2].invoked = 35; /* while the second put is under way it may still be the old one */
	assert_int_equal(verdict_of(ops, 3, LINEAR_ABSENT), LINEAR_YES);
	ops[2].invoked = 50;
	ops[2].stale = 1; /* asked for as a stale read it may be old */
	assert_int_equal(verdict_of(ops, 3, LINEAR_ABSENT), LINEAR_YES);
	ops[2].value = 3; /* but somebody must have written it */
	assert_int_equal(verdict_of(ops, 3, LINEAR_ABSENT), LINEAR_NO);
}

static void a_lost_write_is_caught(void **unused)
{
	struct linear_op ops[] = {
		put_1,
		{ .invoked = 50,
		  .answered = 60,
		  .operation = LINEAR_GET,
		  .outcome = LINEAR_NOT_FOUND,
		  .tag = 2 },
	};

	(void)unused;
	assert_int_equal(verdict_of(ops, 2, LINEAR_ABSENT), LINEAR_NO);
	ops[0].outcome = LINEAR_UNKNOWN; /* not acknowledged, it may be lost */
	ops[0].answered = LINEAR_NEVER;
	assert_int_equal(verdict_of(ops, 2, LINEAR_ABSENT), LINEAR_YES);
}

/* A cas executed twice: its value comes back after another put replaced it. */
static void a_cas_done_twice_is_caught(void **unused)
{
	struct linear_op ops[] = {
		put_1,
		{ .invoked = 30,
		  .answered = 40,
		  .operation = LINEAR_CAS,
		  .expected = 1,
		  .value = 2,
		  .tag = 1 },
		{ .invoked = 50, .answered = 60, .operation = LINEAR_PUT, .value = 1, .tag = 2 },
		{ .invoked = 70, .answered = 80, .operation = LINEAR_GET, .value = 2, .tag = 3 },
	};
	struct linear_result result;

	(void)unused;
	linear_check(ops, 4, LINEAR_ABSENT, STEPS_MAX, &result);
	assert_int_equal(result.verdict, LINEAR_NO);
	assert_int_equal(ops[result.blamed].tag, 3);
	assert_int_equal(result.from_ns, 50); /* the put and the read are enough to show it */
	/* Without an answer it may have waited until after the put. */
	ops[1].outcome = LINEAR_UNKNOWN;
	ops[1].answered = LINEAR_NEVER;
	assert_int_equal(verdict_of(ops, 4, LINEAR_ABSENT), LINEAR_YES);
}

static void keys_do_not_help_each_other(void **unused)
{
	struct linear_op ops[] = {
		put_1,
		{ .key = 1, .invoked = 50, .answered = 60, .value = 1, .tag = 2 },
	};
	struct linear_result result;

	(void)unused;
	linear_check(ops, 2, LINEAR_ABSENT, STEPS_MAX, &result);
	assert_int_equal(result.verdict, LINEAR_NO);
	assert_int_equal(result.key, 1);
}

/* Thirty puts at once, read in an order that none of few steps finds: no verdict is not a pass. */
static void too_many_steps_is_undecided(void **unused)
{
	struct linear_op ops[40] = { { 0 } };
	struct linear_result result;

	(void)unused;
	for (uint32_t i = 0; i < 30; i++)
		ops[i] = (struct linear_op){
			.answered = 1000, .operation = LINEAR_PUT, .value = i + 1, .tag = i
		};
	for (uint32_t i = 0; i < 10; i++)
		ops[30 + i] = (struct linear_op){ .invoked = 10 + i * 10,
						  .answered = 19 + i * 10,
						  .value = 1 + i % 2,
						  .tag = 30 + i };
	linear_check(ops, 40, LINEAR_ABSENT, 1000, &result);
	assert_int_equal(result.verdict, LINEAR_UNDECIDED);
}

/* ---- files ---------------------------------------------------------------------------------- */

static int read_text(const char *text, struct history *history, char *error, size_t size)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	int result;

	assert_non_null(file);
	result = history_read(history, file, error, size);
	fclose(file);
	return result;
}

static void a_file_is_read_as_it_is_meant(void **unused)
{
	static const char text[] =
		"{\"client\":1,\"operation\":\"put\",\"key\":\"a\",\"value\":\"x\",\"invoked\":1,"
		"\"answered\":2,\"outcome\":\"OK\"}\n"
		"\n"
		"{\"client\":1,\"operation\":\"cas\",\"key\":\"a\",\"value\":\"y\",\"expected\":"
		"\"x\",\"invoked\":3,\"answered\":null,\"outcome\":\"UNKNOWN\"}\n"
		"{\"client\":2,\"operation\":\"get\",\"key\":\"b\",\"value\":null,\"invoked\":4,"
		"\"answered\":5,\"outcome\":\"NOT_FOUND\",\"read\":\"linearizable\"}\n"
		"{\"client\":2,\"operation\":\"delete\",\"key\":\"b\",\"value\":null,\"invoked\":4,"
		"\"answered\":null,\"outcome\":\"NOT_LEADER\"}\n";
	struct history history;
	char error[200];

	(void)unused;
	assert_int_equal(read_text(text, &history, error, sizeof(error)), 0);
	assert_int_equal(history.count, 3);
	assert_int_equal(history.ops[1].expected, history.ops[0].value);
	assert_int_equal(history.ops[1].tag, 3);
	assert_true(history.ops[1].answered == LINEAR_NEVER);
	assert_int_equal(history.ops[2].outcome, LINEAR_NOT_FOUND);
	assert_int_not_equal(history.ops[2].key, history.ops[0].key);
	history_free(&history);
}

static void a_bad_line_is_named(void **unused)
{
	static const char *const bad[] = {
		"{",
		"[1]",
		"7",
		"{\"operation\":\"put\",\"key\":1,\"invoked\":1,\"answered\":2,\"outcome\":\"OK\"}",
		"{\"operation\":\"fly\",\"key\":\"a\",\"invoked\":1,\"answered\":2}",
		"{\"operation\":\"delete\",\"key\":\"a\",\"invoked\":3,\"answered\":2,"
		"\"outcome\":\"OK\"}",
		"{\"operation\":\"delete\",\"key\":\"a\",\"invoked\":-3,\"answered\":2,"
		"\"outcome\":\"OK\"}",
		"{\"operation\":\"delete\",\"key\":\"a\",\"invoked\":1,\"answered\":null,"
		"\"outcome\":\"OK\"}",
		"{\"operation\":\"delete\",\"key\":\"a\",\"invoked\":1,\"answered\":2,"
		"\"outcome\":\"MISMATCH\"}",
		"{\"operation\":\"put\",\"key\":\"a\",\"invoked\":1,\"answered\":2,"
		"\"outcome\":\"OK\"}",
		"{\"operation\":\"get\",\"key\":\"a\",\"value\":7,\"invoked\":1,\"answered\":2,"
		"\"outcome\":\"OK\"}",
		"{\"operation\":\"get\",\"key\":\"a\",\"value\":\"x\",\"invoked\":1,\"answered\":2,"
		"\"outcome\":\"OK\",\"read\":\"guessed\"}",
		"{\"operation\":\"get\",\"key\":\"a\",\"invoked\":1,\"answered\":2}",
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct history history;
		char error[200] = "";

		assert_int_equal(read_text(bad[i], &history, error, sizeof(error)), -1);
		assert_int_equal(strncmp(error, "line 1: ", 8), 0);
		history_free(&history);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_trying_every_order),
		cmocka_unit_test(a_true_history_is_taken_in_few_steps),
		cmocka_unit_test(one_stale_read_among_thousands_is_blamed),
		cmocka_unit_test(a_stale_read_is_caught),
		cmocka_unit_test(a_lost_write_is_caught),
		cmocka_unit_test(a_cas_done_twice_is_caught),
		cmocka_unit_test(keys_do_not_help_each_other),
		cmocka_unit_test(too_many_steps_is_undecided),
		cmocka_unit_test(a_file_is_read_as_it_is_meant),
		cmocka_unit_test(a_bad_line_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

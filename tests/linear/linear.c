/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole history: key by key, what may be left out of the order, stale reads, and for what cannot
 * be put in order the shortest window that shows it. See linear.h.
 */
#include "tests/linear/linear.h"

#include <stdlib.h>
#include <string.h>

#define UNSEEN (LINEAR_ANY - 1)

static int by_key(const void *left, const void *right)
{
	const struct linear_op *a = left;
	const struct linear_op *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->invoked != b->invoked)
		return a->invoked < b->invoked ? -1 : 1;
	return a->tag < b->tag ? -1 : a->tag > b->tag;
}

static int by_value_number(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return a < b ? -1 : a > b;
}

static void *take(uint64_t count, uint64_t size)
{
	void *memory = calloc(count + 1, size);

	if (!memory)
		abort();
	return memory;
}

/* ---- stale reads --------------------------------------------------------------------------- */

static int writes(const struct linear_op *op)
{
	return (op->operation == LINEAR_PUT || op->operation == LINEAR_CAS) &&
	       (op->outcome == LINEAR_OK || op->outcome == LINEAR_UNKNOWN);
}

/* By value, the earliest invocation first. */
static int by_value(const void *left, const void *right)
{
	const struct linear_op *a = *(const struct linear_op *const *)left;
	const struct linear_op *b = *(const struct linear_op *const *)right;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return a->invoked < b->invoked ? -1 : a->invoked > b->invoked;
}

static int value_only(const void *left, const void *right)
{
	const struct linear_op *a = *(const struct linear_op *const *)left;
	const struct linear_op *b = *(const struct linear_op *const *)right;

	return a->value < b->value ? -1 : a->value > b->value;
}

/* The first write of the value, or NULL: nobody wrote it. */
static const struct linear_op *first_write(const struct linear_op **writers, uint32_t count,
					   const struct linear_op *read)
{
	const struct linear_op **found =
		bsearch(&read, writers, count, sizeof(*writers), value_only);

	if (!found)
		return NULL;
	while (found > writers && found[-1]->value == read->value)
		found--;
	return *found;
}

/* A stale read may be old, but not of what nobody had begun to write. The wrong one, or count. */
static uint32_t check_stale(const struct linear_op *ops, uint32_t count)
{
	const struct linear_op **writers = take(count, sizeof(*writers));
	uint32_t writers_count = 0;
	uint32_t wrong = count;

	for (uint32_t i = 0; i < count; i++)
		if (writes(&ops[i]))
			writers[writers_count++] = &ops[i];
	qsort(writers, writers_count, sizeof(*writers), by_value);
	for (uint32_t i = 0; i < count && wrong == count; i++) {
		const struct linear_op *write;

		if (!ops[i].stale || ops[i].outcome != LINEAR_OK)
			continue;
		write = first_write(writers, writers_count, &ops[i]);
		if (!write || write->invoked > ops[i].answered)
			wrong = i;
	}
	free(writers);
	return wrong;
}

/* ---- one key ------------------------------------------------------------------------------- */

struct window {
	const struct linear_op *ops; /* the key's, sorted by invocation */
	struct linear_op *part;	     /* room for as many */
	uint32_t count;
	uint64_t steps_max;
	uint64_t to_ns;
};

/* What is left of a key's operations when everything answered before from_ns is forgotten. */
static uint32_t cut(const struct window *window, uint64_t from_ns)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < window->count; i++) {
		struct linear_op op = window->ops[i];

		if (op.invoked > window->to_ns || op.answered < from_ns)
			continue;
		if (op.answered > window->to_ns) {
			if (op.operation == LINEAR_GET)
				continue;
			op.outcome = LINEAR_UNKNOWN; /* not answered yet, at the window's end */
			op.answered = LINEAR_NEVER;
			op.optional = 1;
		}
		if (op.invoked < from_ns)
			op.optional = 1; /* it may have been before the window */
		window->part[count++] = op;
	}
	return count;
}

static int fails_from(const struct window *window, uint64_t from_ns)
{
	uint64_t steps = 0;
	uint32_t blamed;
	uint32_t count = cut(window, from_ns);

	return linear_search(window->part, count, LINEAR_ANY, window->steps_max, &steps, &blamed) ==
	       LINEAR_NO;
}

/* The latest beginning from which the operations still contradict each other: by halving. */
static uint64_t shorten(const struct window *window)
{
	uint64_t *begins = take(window->count, sizeof(*begins));
	uint32_t low = 0;
	uint32_t high = 0;
	uint64_t found;

	for (uint32_t i = 0; i < window->count; i++)
		if (window->ops[i].invoked <= window->to_ns)
			begins[high++] = window->ops[i].invoked;
	found = 0;
	while (low < high) { /* it fails from all before low, and from none at or after high */
		uint32_t middle = low + (high - low) / 2;

		if (fails_from(window, begins[middle])) {
			found = begins[middle];
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	free(begins);
	return found;
}

/*
 * Values that are written and never named by anyone who looked are one value: which of them stands
 * there makes no difference to anybody.
 */
static void merge_unseen(struct linear_op *ops, uint32_t count)
{
	uint32_t *seen = take(2 * (uint64_t)count, sizeof(*seen));
	uint32_t seen_count = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (ops[i].operation == LINEAR_GET)
			seen[seen_count++] = ops[i].value;
		if (ops[i].operation == LINEAR_CAS)
			seen[seen_count++] = ops[i].expected;
	}
	qsort(seen, seen_count, sizeof(*seen), by_value_number);
	for (uint32_t i = 0; i < count; i++)
		if (ops[i].value != LINEAR_ABSENT &&
		    !bsearch(&ops[i].value, seen, seen_count, sizeof(*seen), by_value_number))
			ops[i].value = UNSEEN;
	free(seen);
}

/* The key's operations without stale reads and without reads of which nothing is known. */
static uint32_t in_order(const struct linear_op *ops, uint32_t count, struct linear_op *ordered)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (ops[i].stale ||
		    (ops[i].operation == LINEAR_GET && ops[i].outcome == LINEAR_UNKNOWN))
			continue;
		ordered[kept] = ops[i];
		ordered[kept].optional = ops[i].outcome == LINEAR_UNKNOWN;
		if (ordered[kept].optional)
			ordered[kept].answered = LINEAR_NEVER;
		kept++;
	}
	merge_unseen(ordered, kept);
	return kept;
}

static uint32_t index_of(const struct linear_op *ops, uint32_t count, uint32_t tag)
{
	uint32_t index = 0;

	while (index < count && ops[index].tag != tag)
		index++;
	return index;
}

static void check_key(const struct linear_op *ops, uint32_t count, uint32_t initial,
		      uint64_t steps_max, struct linear_result *result)
{
	struct linear_op *ordered = take(count, sizeof(*ordered));
	uint32_t kept = in_order(ops, count, ordered);
	struct window window = { .ops = ordered, .count = kept, .steps_max = steps_max / 16 };
	uint32_t blamed = 0;
	uint32_t stale = initial == LINEAR_ANY ? count : check_stale(ops, count);

	result->key = ops[0].key;
	result->from_ns = 0;
	result->to_ns = LINEAR_NEVER;
	if (stale < count) {
		result->verdict = LINEAR_NO;
		result->blamed = stale;
		result->from_ns = ops[stale].invoked;
		result->to_ns = ops[stale].answered;
		free(ordered);
		return;
	}
	result->verdict = linear_search(ordered, kept, initial, steps_max, &result->steps, &blamed);
	if (result->verdict == LINEAR_NO) {
		window.part = take(kept, sizeof(*window.part));
		window.to_ns = ordered[blamed].answered;
		result->to_ns = window.to_ns;
		result->from_ns = shorten(&window);
		result->blamed = index_of(ops, count, ordered[blamed].tag);
		free(window.part);
	}
	free(ordered);
}

void linear_check(struct linear_op *ops, uint32_t count, uint32_t initial, uint64_t steps_max,
		  struct linear_result *result)
{
	uint32_t begin = 0;

	memset(result, 0, sizeof(*result));
	result->verdict = LINEAR_YES;
	if (count) /* there may be no array at all */
		qsort(ops, count, sizeof(*ops), by_key);
	while (begin < count && result->verdict == LINEAR_YES) {
		uint32_t end = begin;

		while (end < count && ops[end].key == ops[begin].key)
			end++;
		check_key(ops + begin, end - begin, initial, steps_max, result);
		result->blamed += begin;
		begin = end;
	}
}

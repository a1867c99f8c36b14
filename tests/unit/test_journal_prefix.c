/* SPDX-License-Identifier: BSD-3-Clause */
/* Completions in any order move only a contiguous prefix. */
#include "engine/base/random.h"
#include "engine/journal/prefix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t add(struct synod_prefix *prefix, uint64_t ticket, uint64_t group)
{
	const struct synod_prefix_item item = { .ticket = ticket,
						.group = group,
						.offset = group * 4096 };

	return synod_prefix_add(prefix, &item);
}

static void later_completions_wait_for_earlier_ones(void **state)
{
	struct synod_prefix prefix;
	uint64_t at[4];

	(void)state;
	synod_prefix_init(&prefix, 7, 7 * 4096);
	for (uint64_t i = 0; i < 4; i++)
		at[i] = add(&prefix, 10 * (i + 1), 8 + i);
	synod_prefix_complete(&prefix, at[2]);
	synod_prefix_complete(&prefix, at[1]);
	assert_int_equal(prefix.ticket_durable, 0);
	assert_int_equal(prefix.group_durable, 7);
	synod_prefix_complete(&prefix, at[0]);
	assert_int_equal(prefix.ticket_durable, 30);
	assert_int_equal(prefix.group_durable, 10);
	assert_int_equal(prefix.offset_durable, 10 * 4096);
	synod_prefix_complete(&prefix, at[3]);
	assert_int_equal(prefix.ticket_durable, 40);
}

/* The naive twin: a flag for every ticket ever given. */
static void any_order_agrees_with_a_naive_twin(void **state)
{
	enum {
		ITEMS = 20000
	};
	static uint8_t done[ITEMS + 1];
	static uint64_t position[ITEMS + 1];
	struct synod_prefix prefix;
	uint64_t seed = 5;
	uint64_t given = 0;
	uint64_t durable = 0;

	(void)state;
	synod_prefix_init(&prefix, 0, 0);
	while (durable < ITEMS) {
		if (given < ITEMS && synod_prefix_room(&prefix) && synod_random_below(&seed, 2)) {
			given++;
			position[given] = add(&prefix, given, given);
		} else if (given > durable) {
			const uint64_t which =
				durable + 1 + synod_random_below(&seed, given - durable);

			if (!done[which]) {
				done[which] = 1;
				synod_prefix_complete(&prefix, position[which]);
			}
		}
		while (durable < given && done[durable + 1])
			durable++;
		assert_int_equal(prefix.ticket_durable, durable);
		assert_int_equal(prefix.group_durable, durable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(later_completions_wait_for_earlier_ones),
		cmocka_unit_test(any_order_agrees_with_a_naive_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The sequencer alone. */
#include "engine/machine/machine.h"
#include "engine/wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct synod_machine *const machine = &synod_sequencer_machine;
static _Alignas(64) uint8_t state_bytes[4096];

static uint64_t hash_after(const char *const *payloads, uint32_t count)
{
	struct synod_outcome outcome;
	uint32_t index;

	assert_true(machine->size() <= sizeof(state_bytes));
	memset(state_bytes, 0, sizeof(state_bytes));
	machine->init(state_bytes);
	for (index = 0; index < count; index++) {
		machine->apply(state_bytes, index + 1, payloads[index],
			       (uint32_t)strlen(payloads[index]), &outcome);
		assert_int_equal(outcome.status, SYNOD_OK);
		assert_int_equal(outcome.size, 0);
	}
	return machine->hash(state_bytes);
}

static void the_hash_tells_order_content_and_number_apart(void **state)
{
	const char *const abc[] = { "a", "b", "c" };
	const char *const acb[] = { "a", "c", "b" };
	const char *const none[] = { "", "", "" };

	(void)state;
	assert_int_equal(hash_after(abc, 3), hash_after(abc, 3));
	assert_int_not_equal(hash_after(abc, 3), hash_after(acb, 3));
	assert_int_not_equal(hash_after(abc, 2), hash_after(abc, 3));
	assert_int_not_equal(hash_after(none, 2), hash_after(none, 3));
	assert_int_not_equal(hash_after(none, 0), hash_after(none, 1));
}

static void a_repeat_changes_nothing_and_keeps_the_status(void **state)
{
	const char *const abc[] = { "a", "b", "c" };
	struct synod_outcome outcome;
	uint64_t hash = hash_after(abc, 3);

	(void)state;
	machine->repeat(state_bytes, 2, SYNOD_OK, "b", 1, &outcome);
	assert_int_equal(outcome.status, SYNOD_OK);
	assert_int_equal(outcome.size, 0);
	assert_int_equal(machine->hash(state_bytes), hash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_hash_tells_order_content_and_number_apart),
		cmocka_unit_test(a_repeat_changes_nothing_and_keeps_the_status),
	};

	return cmocka_run_group_tests_name("sequencer", tests, NULL, NULL);
}

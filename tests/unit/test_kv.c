/* SPDX-License-Identifier: BSD-3-Clause */
/* The key-value machine, against a naive twin: an array searched from its beginning. */
#include "engine/machine/kv.h"

#include "engine/base/random.h"
#include "engine/machine/machine.h"
#include "engine/wire/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	TWIN_KEYS = 200
};

static const struct synod_machine *const machine = &synod_kv_machine;

struct twin_entry {
	int present;
	uint16_t size;
	uint8_t value[SYNOD_KV_VALUE_SIZE_MAX];
};

struct world {
	void *kv;
	uint64_t position;
	struct twin_entry twin[TWIN_KEYS]; /* by key number */
	struct synod_outcome outcome;
};

static struct world world;

static int setup(void **state)
{
	size_t size = (machine->size() + 63) & ~(size_t)63;

	(void)state;
	memset(&world, 0, sizeof(world));
	world.kv = aligned_alloc(64, size);
	assert_non_null(world.kv);
	memset(world.kv, 0, size);
	machine->init(world.kv);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(world.kv);
	return 0;
}

static uint16_t run(const struct synod_kv_request *request)
{
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	int size = synod_kv_encode(request, command, sizeof(command));

	assert_true(size > 0);
	machine->apply(world.kv, ++world.position, command, (uint32_t)size, &world.outcome);
	return world.outcome.status;
}

static struct synod_kv_request request_of(uint8_t operation, const char *key, const char *expected,
					  const char *value)
{
	return (struct synod_kv_request){
		.operation = operation,
		.key = key,
		.key_size = (uint8_t)strlen(key),
		.expected = expected,
		.expected_size = (uint16_t)strlen(expected),
		.value = value,
		.value_size = (uint16_t)strlen(value),
	};
}

static uint16_t run_text(uint8_t operation, const char *key, const char *expected,
			 const char *value)
{
	struct synod_kv_request request = request_of(operation, key, expected, value);

	return run(&request);
}

static void each_operation_does_what_the_header_says(void **state)
{
	struct synod_kv_request create = request_of(SYNOD_KV_CAS, "new", "", "born");

	(void)state;
	create.flags = SYNOD_KV_ABSENT;
	assert_int_equal(run_text(SYNOD_KV_GET, "k", "", ""), SYNOD_NOT_FOUND);
	assert_int_equal(run_text(SYNOD_KV_DELETE, "k", "", ""), SYNOD_NOT_FOUND);
	assert_int_equal(run_text(SYNOD_KV_CAS, "k", "a", "b"), SYNOD_NOT_FOUND);
	assert_int_equal(run_text(SYNOD_KV_PUT, "k", "", "one"), SYNOD_OK);
	assert_int_equal(run_text(SYNOD_KV_GET, "k", "", ""), SYNOD_OK);
	assert_int_equal(world.outcome.size, 3);
	assert_memory_equal(world.outcome.data, "one", 3);
	assert_int_equal(run_text(SYNOD_KV_CAS, "k", "two", "three"), SYNOD_MISMATCH);
	assert_int_equal(run_text(SYNOD_KV_CAS, "k", "one", ""), SYNOD_OK);
	assert_int_equal(run_text(SYNOD_KV_GET, "k", "", ""), SYNOD_OK);
	assert_int_equal(world.outcome.size, 0);
	assert_int_equal(run(&create), SYNOD_OK);
	assert_int_equal(run(&create), SYNOD_MISMATCH);
	assert_int_equal(run_text(SYNOD_KV_DELETE, "k", "", ""), SYNOD_OK);
	assert_int_equal(run_text(SYNOD_KV_GET, "k", "", ""), SYNOD_NOT_FOUND);
}

static void a_duplicate_repeats_its_status_and_a_read_looks_again(void **state)
{
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	struct synod_kv_request get = request_of(SYNOD_KV_GET, "k", "", "");
	struct synod_kv_request put = request_of(SYNOD_KV_PUT, "k", "", "old");
	struct synod_outcome outcome;
	uint64_t hash;
	int size;

	(void)state;
	run_text(SYNOD_KV_PUT, "k", "", "new");
	hash = machine->hash(world.kv);
	size = synod_kv_encode(&put, command, sizeof(command));
	machine->repeat(world.kv, 1, SYNOD_NO_SPACE, command, (uint32_t)size, &outcome);
	assert_int_equal(outcome.status, SYNOD_NO_SPACE);
	size = synod_kv_encode(&get, command, sizeof(command));
	machine->repeat(world.kv, 1, SYNOD_NOT_FOUND, command, (uint32_t)size, &outcome);
	assert_int_equal(outcome.status, SYNOD_OK);
	assert_memory_equal(outcome.data, "new", 3);
	assert_int_equal(machine->hash(world.kv), hash);
}

static void a_query_gets_and_does_nothing_else(void **state)
{
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	struct synod_kv_request get = request_of(SYNOD_KV_GET, "q", "", "");
	struct synod_kv_request others[] = { request_of(SYNOD_KV_PUT, "q", "", "x"),
					     request_of(SYNOD_KV_DELETE, "q", "", ""),
					     request_of(SYNOD_KV_CAS, "q", "seen", "x") };
	struct synod_outcome outcome;
	uint64_t hash;
	int size = synod_kv_encode(&get, command, sizeof(command));

	(void)state;
	machine->query(world.kv, command, (uint32_t)size, &outcome);
	assert_int_equal(outcome.status, SYNOD_NOT_FOUND);
	run_text(SYNOD_KV_PUT, "q", "", "seen");
	hash = machine->hash(world.kv);
	machine->query(world.kv, command, (uint32_t)size, &outcome);
	assert_int_equal(outcome.status, SYNOD_OK);
	assert_memory_equal(outcome.data, "seen", 4);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		size = synod_kv_encode(&others[i], command, sizeof(command));
		machine->query(world.kv, command, (uint32_t)size, &outcome);
		assert_int_equal(outcome.status, SYNOD_BAD_COMMAND);
		assert_int_equal(outcome.size, 0);
	}
	machine->query(world.kv, "", 0, &outcome);
	assert_int_equal(outcome.status, SYNOD_BAD_COMMAND);
	assert_int_equal(machine->hash(world.kv), hash);
}

static void a_command_larger_than_any_of_its_own_is_refused_and_takes_its_position(void **state)
{
	uint8_t *command = calloc(1, SYNOD_COMMAND_LARGE_MAX);
	struct synod_kv_request put = request_of(SYNOD_KV_PUT, "q", "", "x");
	struct synod_outcome outcome;

	(void)state;
	assert_non_null(command);
	assert_true(synod_kv_encode(&put, command, SYNOD_COMMAND_LARGE_MAX) > 0);
	machine->apply(world.kv, ++world.position, command, SYNOD_COMMAND_LARGE_MAX, &outcome);
	assert_int_equal(outcome.status, SYNOD_BAD_COMMAND);
	free(command);
}

static void commands_of_any_bytes_are_executed_or_refused_and_take_their_position(void **state)
{
	uint64_t random = 3;
	uint32_t turn;

	(void)state;
	for (turn = 0; turn < 100000; turn++) {
		uint32_t size = (uint32_t)synod_random_below(&random, 40);
		uint8_t *command = malloc(size ? size : 1);
		uint32_t at;

		assert_non_null(command);
		for (at = 0; at < size; at++)
			command[at] = (uint8_t)synod_random_below(&random, at < 8 ? 6 : 256);
		machine->apply(world.kv, ++world.position, command, size, &world.outcome);
		assert_true(world.outcome.status <= SYNOD_NO_SPACE);
		free(command);
	}
}

/* A part or flag that an operation has no use for is a mistake of the sender, not ignored. */
static void an_operation_has_just_the_parts_that_are_its_own(void **state)
{
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];

	(void)state;
	for (unsigned int operation = 0; operation <= SYNOD_KV_CAS + 1; operation++)
		for (unsigned int parts = 0; parts < 8; parts++) {
			int expected = parts & 1;
			int value = parts >> 1 & 1;
			int absent = parts >> 2;
			int right = (operation == SYNOD_KV_GET && parts == 0) ||
				    (operation == SYNOD_KV_DELETE && parts == 0) ||
				    (operation == SYNOD_KV_PUT && !expected && !absent) ||
				    (operation == SYNOD_KV_CAS && !(absent && expected));
			struct synod_kv_request request =
				request_of((uint8_t)operation, "key", expected ? "old" : "",
					   value ? "new" : "");

			request.flags = (uint8_t)(absent ? SYNOD_KV_ABSENT : 0);
			assert_int_equal(synod_kv_encode(&request, command, sizeof(command)) > 0,
					 right);
		}
}

static void encoding_and_decoding_are_inverse_and_strict(void **state)
{
	struct synod_kv_request request = request_of(SYNOD_KV_CAS, "key", "old", "newer");
	struct synod_kv_request found;
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	int size = synod_kv_encode(&request, command, sizeof(command));

	(void)state;
	assert_int_equal(size, 8 + 3 + 3 + 5);
	assert_int_equal(synod_kv_decode(command, (size_t)size, &found), 0);
	assert_memory_equal(found.key, "key", 3);
	assert_memory_equal(found.expected, "old", 3);
	assert_memory_equal(found.value, "newer", 5);
	assert_int_equal(synod_kv_decode(command, (size_t)size - 1, &found), -EINVAL);
	assert_int_equal(synod_kv_decode(command, (size_t)size + 1, &found), -EINVAL);
	assert_int_equal(synod_kv_encode(&request, command, (size_t)size - 1), -ENOBUFS);
	request.operation = SYNOD_KV_PUT; /* has no expected value */
	assert_int_equal(synod_kv_encode(&request, command, sizeof(command)), -EINVAL);
	request = request_of(SYNOD_KV_PUT, "", "", "v");
	assert_int_equal(synod_kv_encode(&request, command, sizeof(command)), -EINVAL);
	request = request_of(5, "k", "", "v");
	assert_int_equal(synod_kv_encode(&request, command, sizeof(command)), -EINVAL);
}

static uint16_t twin_run(struct twin_entry *entry, const struct synod_kv_request *request)
{
	int equal = entry->present && entry->size == request->expected_size &&
		    memcmp(entry->value, request->expected, entry->size) == 0;

	switch (request->operation) {
	case SYNOD_KV_GET:
		return entry->present ? SYNOD_OK : SYNOD_NOT_FOUND;
	case SYNOD_KV_DELETE:
		if (!entry->present)
			return SYNOD_NOT_FOUND;
		entry->present = 0;
		return SYNOD_OK;
	case SYNOD_KV_CAS:
		if (request->flags ? entry->present : !equal)
			return request->flags || entry->present ? SYNOD_MISMATCH : SYNOD_NOT_FOUND;
		break;
	}
	entry->present = 1;
	entry->size = request->value_size;
	memcpy(entry->value, request->value, request->value_size);
	return SYNOD_OK;
}

static void random_commands_equal_the_naive_twin(void **state)
{
	static const uint16_t sizes[] = { 0, 1, 7, 64, SYNOD_KV_VALUE_SIZE_MAX };
	uint64_t random = 9;
	uint32_t turn;

	(void)state;
	for (turn = 0; turn < 200000; turn++) {
		uint32_t key = (uint32_t)synod_random_below(&random, TWIN_KEYS);
		struct twin_entry *entry = &world.twin[key];
		uint8_t value[SYNOD_KV_VALUE_SIZE_MAX];
		uint16_t status;
		char name[32];
		struct synod_kv_request request = {
			.operation = (uint8_t)(1 + synod_random_below(&random, 4)),
			.key = name,
			.expected = "",
			.value = "",
			.key_size = (uint8_t)snprintf(name, sizeof(name), "key %u", key),
		};

		if (request.operation == SYNOD_KV_CAS && synod_random_below(&random, 3) == 0) {
			request.flags = SYNOD_KV_ABSENT;
		} else if (request.operation == SYNOD_KV_CAS) {
			request.expected = entry->value;
			request.expected_size = entry->size;
		}
		if (request.operation == SYNOD_KV_PUT || request.operation == SYNOD_KV_CAS) {
			request.value = value;
			request.value_size = sizes[synod_random_below(&random, 5)];
			memset(value, (int)turn, sizeof(value));
		}
		status = run(&request); /* before the twin, whose value the request points to */
		assert_int_equal(status, twin_run(entry, &request));
		if (request.operation == SYNOD_KV_GET && entry->present) {
			assert_int_equal(world.outcome.size, entry->size);
			assert_memory_equal(world.outcome.data, entry->value, entry->size);
		}
	}
}

static void a_full_table_says_so_and_takes_a_key_for_each_one_deleted(void **state)
{
	char key[32];
	uint32_t index;

	(void)state;
	for (index = 0; index < SYNOD_KV_ENTRIES; index++) {
		snprintf(key, sizeof(key), "%u", index);
		assert_int_equal(run_text(SYNOD_KV_PUT, key, "", "v"), SYNOD_OK);
	}
	assert_int_equal(run_text(SYNOD_KV_PUT, "more", "", "v"), SYNOD_NO_SPACE);
	assert_int_equal(run_text(SYNOD_KV_PUT, "17", "", "changed"), SYNOD_OK);
	assert_int_equal(run_text(SYNOD_KV_DELETE, "99", "", ""), SYNOD_OK);
	assert_int_equal(run_text(SYNOD_KV_PUT, "more", "", "v"), SYNOD_OK);
	assert_int_equal(run_text(SYNOD_KV_PUT, "99", "", "v"), SYNOD_NO_SPACE);
	for (index = 0; index < SYNOD_KV_ENTRIES; index++) {
		snprintf(key, sizeof(key), "%u", index);
		assert_int_equal(run_text(SYNOD_KV_DELETE, key, "", ""),
				 index == 99 ? SYNOD_NOT_FOUND : SYNOD_OK);
	}
	assert_int_equal(run_text(SYNOD_KV_GET, "more", "", ""), SYNOD_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(each_operation_does_what_the_header_says),
		TEST(a_duplicate_repeats_its_status_and_a_read_looks_again),
		TEST(a_query_gets_and_does_nothing_else),
		TEST(a_command_larger_than_any_of_its_own_is_refused_and_takes_its_position),
		TEST(commands_of_any_bytes_are_executed_or_refused_and_take_their_position),
		TEST(an_operation_has_just_the_parts_that_are_its_own),
		TEST(encoding_and_decoding_are_inverse_and_strict),
		TEST(random_commands_equal_the_naive_twin),
		TEST(a_full_table_says_so_and_takes_a_key_for_each_one_deleted),
#undef TEST
	};

	return cmocka_run_group_tests_name("kv", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Operations that do not fit a datagram, over a network that does what networks do. */
#include "engine/base/crc32c.h"
#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "tests/unit/client_user.h"

/* Every so-many-th operation is a large one: its number, and then bytes of its own. */
static uint8_t *make_large(struct user *user, uint32_t every, uint32_t size_max)
{
	uint8_t *bytes = malloc((user->wanted / every + 1) * (size_t)size_max);
	uint8_t *to = bytes;
	uint64_t random = 77;

	assert_non_null(bytes);
	for (uint32_t id = 0; id < user->wanted; id += every) {
		uint32_t size = 1369 + (uint32_t)synod_random_below(&random, size_max - 1368);

		for (uint32_t at = 0; at < size; at++)
			to[at] = (uint8_t)(synod_random_next(&random) >> 9);
		memcpy(to, &id, sizeof(id));
		user->ops[id].data = to;
		user->ops[id].size = size;
		to += size;
	}
	return bytes;
}

static void check_contents(const struct user *user)
{
	for (uint32_t id = 0; id < user->wanted; id++)
		assert_int_equal(user->world->crc[id],
				 synod_crc32c(user->ops[id].data, user->ops[id].size));
}

static void large_operations_go_in_parts_one_after_the_other_while_small_ones_pass(void **state)
{
	struct user *user = make_with(30, 2000, 512, 0);
	uint8_t *bytes = make_large(user, 100, 100000);
	const struct synod_client_counters *counters = synod_client_counters(user->client);

	(void)state;
	user->world->in_order = 1;
	run(user, 100000);
	check_all_done_once(user);
	check_contents(user);
	/* Datagrams overtake each other here: some go twice, not all of them, and often. */
	assert_int_equal(counters->parts_repeated, 0);
	assert_int_equal(counters->commands_repeated, 0);
	assert_true(user->ops[1].completed_ns < user->ops[0].completed_ns);
	assert_true(user->ops[0].completed_ns < user->ops[1900].completed_ns);
	free(bytes);
	destroy(user);
}

static void where_datagrams_overtake_each_other_parts_go_twice_and_not_often(void **state)
{
	struct user *user = make_with(30, 20, 20, 0);
	uint8_t *bytes = make_large(user, 1, 100000);
	const struct synod_client_counters *counters = synod_client_counters(user->client);

	(void)state;
	run(user, 100000);
	check_all_done_once(user);
	check_contents(user);
	assert_true(counters->parts_repeated < counters->parts_sent * 2 / 3);
	free(bytes);
	destroy(user);
}

static void large_operations_are_executed_once_and_whole_whatever_the_network_does(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct user *user = make_with(seed, 400, 128, 0);
		uint8_t *bytes = make_large(user, 40, 60000);

		user->world->loss_percent = (uint32_t)(seed * 2);
		user->world->repeat_percent = 20;
		user->world->delay_ns_max = seed * 100000;
		user->world->busy_percent = seed % 3 ? 0 : 10;
		user->world->retry_us = seed % 2 ? 400 : 0;
		user->world->send_max = seed % 4 ? 0 : 3;
		for (uint32_t turns = 0; turns < 1000000 && user->completed < user->wanted;
		     turns++) {
			turn(user);
			if (turns % 300 == 299 && seed % 5 == 0) { /* another leads */
				user->world->leader = user->world->leader % 3 + 1;
				user->world->hint = user->world->leader;
			}
		}
		check_all_done_once(user);
		check_contents(user);
		free(bytes);
		destroy(user);
	}
}

static void a_large_operation_begins_anew_when_its_buffer_was_taken_away(void **state)
{
	struct user *user = make(31, 1);
	uint8_t *bytes = make_large(user, 1, SYNOD_COMMAND_LARGE_MAX);

	(void)state;
	user->ops[0].size = 400000;
	while (synod_client_counters(user->client)->parts_sent < 100)
		turn(user);
	world_take_buffer(user->world);
	run(user, 100000);
	assert_int_equal(user->by_status[SYNOD_OK], 1);
	assert_int_equal(user->world->executed[0], 1);
	assert_int_equal(user->ops[0].position, 2); /* 1 is whose buffer it became */
	assert_true(synod_client_counters(user->client)->parts_sent > 350);
	check_contents(user);
	free(bytes);
	destroy(user);
}

static void too_large_a_command_is_refused_without_being_sent(void **state)
{
	struct user *user = make(16, 2);
	uint8_t *large = calloc(1, SYNOD_COMMAND_LARGE_MAX + 1);

	(void)state;
	assert_non_null(large);
	assert_int_equal(synod_client_command_size_max(user->client), SYNOD_COMMAND_LARGE_MAX);
	user->ops[0].data = large;
	user->ops[0].size = synod_client_command_size_max(user->client) + 1;
	user->ops[1].data = large;
	user->ops[1].size = synod_client_command_size_max(user->client);
	run(user, 20000);
	assert_int_equal(user->ops[0].status, SYNOD_TOO_LARGE);
	assert_int_equal(user->ops[0].session, 0);
	assert_int_equal(user->ops[1].status, SYNOD_OK);
	assert_int_equal(synod_apply_position(user->world->apply), 1);
	free(large);
	destroy(user);
}

static void a_read_that_does_not_fit_a_datagram_is_refused(void **state)
{
	static const uint8_t bytes[WORLD_DATAGRAM_SIZE];
	struct user *user = make(33, 1);

	(void)state;
	user->ops[0].sort = SYNOD_CLIENT_READ;
	user->ops[0].data = bytes;
	user->ops[0].size = sizeof(bytes);
	run(user, 100);
	assert_int_equal(user->ops[0].status, SYNOD_TOO_LARGE);
	destroy(user);
}

static void a_large_operation_refused_for_want_of_room_in_the_journal_says_so(void **state)
{
	struct user *user = make_with(34, 1, 1, 0);
	uint8_t *bytes = make_large(user, 1, SYNOD_COMMAND_LARGE_MAX);

	(void)state;
	user->ops[0].size = 500000;
	while (synod_client_counters(user->client)->parts_sent < 50)
		turn(user);
	user->world->full = 1; /* some parts are ordered, and the last one never will be */
	run(user, 1000);
	assert_int_equal(user->ops[0].status, SYNOD_FULL);
	free(bytes);
	destroy(user);
}

static void a_deadline_ends_a_large_operation_and_the_next_one_begins(void **state)
{
	struct user *user = make_with(35, 2, 1, 20 * RETRY_NS);
	uint8_t *bytes = make_large(user, 1, 100000);

	(void)state;
	while (synod_client_counters(user->client)->parts_sent < 5)
		turn(user);
	user->world->busy_percent = 100;
	run_more(user, 1);
	user->world->busy_percent = 0;
	run_more(user, 1);
	assert_int_equal(user->ops[0].status, SYNOD_UNKNOWN);
	assert_int_equal(user->ops[1].status, SYNOD_OK);
	assert_int_equal(user->world->executed[0], 0);
	assert_int_equal(user->world->crc[1], synod_crc32c(user->ops[1].data, user->ops[1].size));
	free(bytes);
	destroy(user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			large_operations_go_in_parts_one_after_the_other_while_small_ones_pass),
		cmocka_unit_test(where_datagrams_overtake_each_other_parts_go_twice_and_not_often),
		cmocka_unit_test(
			large_operations_are_executed_once_and_whole_whatever_the_network_does),
		cmocka_unit_test(a_large_operation_begins_anew_when_its_buffer_was_taken_away),
		cmocka_unit_test(too_large_a_command_is_refused_without_being_sent),
		cmocka_unit_test(a_read_that_does_not_fit_a_datagram_is_refused),
		cmocka_unit_test(a_large_operation_refused_for_want_of_room_in_the_journal_says_so),
		cmocka_unit_test(a_deadline_ends_a_large_operation_and_the_next_one_begins),
	};

	return cmocka_run_group_tests_name("client_large", tests, NULL, NULL);
}

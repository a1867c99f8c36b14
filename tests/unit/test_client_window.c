/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A session's window, as the replica tells it: what is sent stays within it, whatever is submitted.
 * A number sent too early would make the replica forget an older one, and a copy of that would be
 * answered STALE: the status that no operation here may end with.
 */
#include "engine/base/limits.h"
#include "tests/unit/client_user.h"

enum {
	SMALL = SYNOD_SESSION_WINDOW_MIN
};

static struct user *make_small(uint64_t seed, uint32_t wanted, uint32_t outstanding)
{
	struct world *world = world_make_within(seed, 4, SMALL, &synod_sequencer_machine);

	return make_in(world, seed, wanted, outstanding, 0);
}

static void what_is_submitted_beyond_a_small_window_waits_for_it(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct user *user = make_small(seed, 3000, 256);

		user->world->loss_percent = seed % 2 ? 30 : 0;
		user->world->repeat_percent = 10;
		run(user, 400000);
		check_all_done_once(user);
		assert_int_equal(synod_client_window(user->client), SMALL);
		destroy(user);
	}
}

static void before_a_session_is_open_no_window_is_known_and_as_much_may_be_submitted(void **state)
{
	struct user *user = make_small(3, 300, 256);

	(void)state;
	submit_some(user);
	assert_int_equal(user->submitted, 256);
	assert_int_equal(synod_client_window(user->client), 0);
	run(user, 100000);
	check_all_done_once(user);
	assert_int_equal(synod_client_counters(user->client)->commands_repeated, 0);
	destroy(user);
}

static void whoever_waits_for_the_window_has_nothing_to_do_at_once(void **state)
{
	struct user *user = make_small(4, 64, 64);

	(void)state;
	run(user, 2000);
	check_all_done_once(user);
	user->world->dead = 0xe;
	user->submitted = user->completed = 0;
	submit_some(user);
	for (int turns = 0; turns < 3; turns++)
		turn(user);
	assert_true(synod_client_deadline(user->client) > user->world->now_ns);
	destroy(user);
}

static void large_operations_beyond_the_window_wait_for_it_too(void **state)
{
	struct user *user = make_small(5, 400, 200);

	(void)state;
	user->world->loss_percent = 20;
	for (uint32_t id = 0; id < user->wanted; id += 3) {
		uint8_t *large = malloc(4000);

		assert_non_null(large);
		memset(large, 'l', 4000);
		memcpy(large, &id, sizeof(id));
		user->ops[id].data = large;
		user->ops[id].size = 4000;
	}
	run(user, 400000);
	check_all_done_once(user);
	for (uint32_t id = 0; id < user->wanted; id += 3)
		free((void *)(uintptr_t)user->ops[id].data);
	destroy(user);
}

/* No session remembers them: they hold nobody back, however long they wait. */
static void stale_reads_without_an_answer_hold_no_window(void **state)
{
	struct user *user = make_small(6, 400, 64);

	(void)state;
	user->world->dead = 1u << 3;
	user->ops[0].sort = SYNOD_CLIENT_READ_STALE;
	user->ops[0].replica = 3;
	run(user, 2000);
	assert_int_equal(user->completed, user->wanted - 1);
	assert_int_equal(user->by_status[SYNOD_OK], user->wanted - 1);
	user->world->dead = 0;
	run(user, 2000);
	assert_int_equal(user->by_status[SYNOD_OK], user->wanted);
	destroy(user);
}

static void a_client_of_a_few_operations_needs_little_memory(void **state)
{
	struct user *user = make_small(7, 500, 8);
	struct synod_client_config config = user->config;
	struct synod_client *small;
	size_t size;
	void *memory;

	(void)state;
	config.window_max = 16;
	config.datagram_size_max = 200;
	size = synod_client_size_of(&config);
	assert_true(size < 2048);
	assert_true(size < synod_client_size());
	/* To the byte: a sanitizer sees what goes beyond. */
	memory = aligned_alloc(SYNOD_CLIENT_ALIGNMENT, (size + 63) & ~(size_t)63);
	assert_non_null(memory);
	assert_int_equal(synod_client_init(&small, memory, &config, &user->world->transport), 0);
	free(user->client);
	user->client = small;
	user->world->loss_percent = 20;
	run(user, 400000);
	check_all_done_once(user);
	destroy(user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_submitted_beyond_a_small_window_waits_for_it),
		cmocka_unit_test(
			before_a_session_is_open_no_window_is_known_and_as_much_may_be_submitted),
		cmocka_unit_test(whoever_waits_for_the_window_has_nothing_to_do_at_once),
		cmocka_unit_test(large_operations_beyond_the_window_wait_for_it_too),
		cmocka_unit_test(stale_reads_without_an_answer_hold_no_window),
		cmocka_unit_test(a_client_of_a_few_operations_needs_little_memory),
	};

	return cmocka_run_group_tests_name("client_window", tests, NULL, NULL);
}

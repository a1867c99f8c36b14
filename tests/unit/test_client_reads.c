/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's reads: linearizable ones, and those of a replica by name. */
#include "tests/unit/client_user.h"

static void reads_are_no_commands_and_see_what_was_answered(void **state)
{
	struct user *user = make(31, 400);

	(void)state;
	user->world->loss_percent = 10;
	user->world->repeat_percent = 10;
	for (uint32_t id = 0; id < user->wanted; id++)
		user->ops[id].sort = id % 2 ? SYNOD_CLIENT_READ : SYNOD_CLIENT_COMMAND;
	for (uint32_t id = 0; id < user->wanted; id += 2) {
		user->wanted = id + 2; /* a command and a read at a time */
		run_more(user, 2);
		assert_int_equal(user->ops[id + 1].status, SYNOD_OK);
		assert_true(user->ops[id + 1].position <= user->ops[id].position);
		assert_true(id == 0 || user->ops[id + 1].position >= user->ops[id - 2].position);
		user->wanted = 400;
	}
	assert_int_equal(synod_apply_position(user->world->apply), 200);
	assert_true(user->world->reads >= 200);
	destroy(user);
}

static void a_stale_read_goes_to_the_replica_it_names_whoever_leads(void **state)
{
	struct user *user = make(32, 40);

	(void)state;
	user->wanted = 10;
	run_more(user, 10); /* a session, and some history */
	user->world->leader = 0;
	user->world->hint = 0;
	user->world->loss_percent = 20;
	for (uint32_t id = 10; id < 40; id++) {
		user->ops[id].sort = SYNOD_CLIENT_READ_STALE;
		user->ops[id].replica = 1 + id % 3;
	}
	user->wanted = 40;
	run_more(user, 30);
	for (uint32_t id = 10; id < 40; id++) {
		assert_int_equal(user->ops[id].status, SYNOD_OK);
		assert_int_equal(user->ops[id].position, 10);
	}
	for (uint32_t replica = 1; replica <= 3; replica++)
		assert_true(user->world->reads_stale[replica] >= 10);
	assert_int_equal(user->world->reads, 0);
	destroy(user);
}

static void a_replica_that_lags_does_not_end_the_session(void **state)
{
	struct user *user = make(33, 3);
	uint64_t session;

	(void)state;
	user->wanted = 1;
	run_more(user, 1);
	session = synod_client_session(user->client);
	user->world->lags = 1u << 2;
	user->ops[1].sort = SYNOD_CLIENT_READ_STALE;
	user->ops[1].replica = 2;
	user->wanted = 2;
	for (int turns = 0; turns < 200; turns++)
		turn(user);
	assert_int_equal(user->completed, 1);
	user->world->lags = 0;
	run_more(user, 1);
	assert_int_equal(user->ops[1].status, SYNOD_OK);
	assert_int_equal(synod_client_session(user->client), session);
	destroy(user);
}

/*
 * Nothing but stale reads under way, whose replica is right to say that the session is gone.
 * (Simulator: the client took the replica to lag, and asked it for ever.)
 */
static void a_session_that_is_gone_is_noticed_by_stale_reads_alone(void **state)
{
	struct user *user = make(35, 3);
	uint64_t session;

	(void)state;
	user->wanted = 1;
	run_more(user, 1);
	session = synod_client_session(user->client);
	for (uint64_t nonce = 1; nonce <= 4; nonce++)
		(void)world_open_session(user->world, nonce);
	user->world->loss_percent = 20;
	for (uint32_t id = 1; id < 3; id++) {
		user->ops[id].sort = SYNOD_CLIENT_READ_STALE;
		user->ops[id].replica = 2;
	}
	user->wanted = 2;
	run_more(user, 1);
	assert_int_equal(user->ops[1].status, SYNOD_SESSION_EVICTED);
	assert_int_not_equal(synod_client_session(user->client), session);
	user->wanted = 3;
	run_more(user, 1);
	assert_int_equal(user->ops[2].status, SYNOD_OK);
	assert_int_equal(synod_client_counters(user->client)->sessions_evicted, 1);
	destroy(user);
}

/* The same while nobody is known to lead. */
static void a_session_that_is_gone_is_noticed_while_a_leader_is_sought(void **state)
{
	struct user *user = make(36, 2);

	(void)state;
	user->wanted = 1;
	run_more(user, 1);
	for (uint64_t nonce = 1; nonce <= 4; nonce++)
		(void)world_open_session(user->world, nonce);
	user->ops[1].sort = SYNOD_CLIENT_READ_STALE;
	user->ops[1].replica = 3;
	user->world->leader = 0;
	user->wanted = 2;
	for (int turns = 0; turns < 400; turns++)
		turn(user);
	assert_int_equal(user->completed, 1);
	user->world->leader = 2;
	run_more(user, 1);
	assert_int_equal(user->ops[1].status, SYNOD_SESSION_EVICTED);
	destroy(user);
}

static void no_such_sort_and_no_such_replica_are_refused_without_being_sent(void **state)
{
	struct user *user = make(34, 3);

	(void)state;
	user->ops[0].sort = 1;
	user->ops[1].sort = SYNOD_CLIENT_READ_STALE;
	user->ops[2].sort = SYNOD_CLIENT_READ_STALE;
	user->ops[2].replica = 4;
	run(user, 100);
	assert_int_equal(user->by_status[SYNOD_BAD_COMMAND], 3);
	assert_int_equal(user->world->asked[1] + user->world->asked[2] + user->world->asked[3], 0);
	destroy(user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_are_no_commands_and_see_what_was_answered),
		cmocka_unit_test(a_stale_read_goes_to_the_replica_it_names_whoever_leads),
		cmocka_unit_test(a_replica_that_lags_does_not_end_the_session),
		cmocka_unit_test(a_session_that_is_gone_is_noticed_by_stale_reads_alone),
		cmocka_unit_test(a_session_that_is_gone_is_noticed_while_a_leader_is_sought),
		cmocka_unit_test(no_such_sort_and_no_such_replica_are_refused_without_being_sent),
	};

	return cmocka_run_group_tests_name("client_reads", tests, NULL, NULL);
}

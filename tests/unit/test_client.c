/* SPDX-License-Identifier: BSD-3-Clause */
/* The client over a network that does what networks do. See client_world.h. */
#include "engine/client/client.h"

#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/wire/wire.h"
#include "tests/unit/client_user.h"

#include <errno.h>

static void a_quiet_network_needs_no_retry_and_packs_datagrams(void **state)
{
	struct user *user = make(1, 10000);
	const struct synod_client_counters *counters = synod_client_counters(user->client);

	(void)state;
	run(user, 100000);
	check_all_done_once(user);
	assert_int_equal(counters->commands_repeated, 0);
	assert_int_equal(counters->commands_sent, 10000);
	assert_int_equal(counters->bad_datagrams, 0);
	assert_int_equal(counters->stray_replies, 0);
	assert_true(counters->datagrams_sent < 10000 / 16);
	destroy(user);
}

static void loss_repeats_and_delays_leave_every_operation_executed_once(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct user *user = make(seed, 3000);

		user->world->loss_percent = (uint32_t)(seed * 2);
		user->world->repeat_percent = 20;
		user->world->delay_ns_max = seed * 200000;
		user->world->busy_percent = seed % 3 ? 0 : 10;
		run(user, 1000000);
		check_all_done_once(user);
		destroy(user);
	}
}

static void the_leader_is_found_by_the_hint_of_another(void **state)
{
	struct user *user = make(3, 100);

	(void)state;
	user->world->leader = 3;
	user->world->hint = 3;
	run(user, 200);
	check_all_done_once(user);
	assert_int_equal(user->world->asked[1], 1);
	assert_int_equal(user->world->asked[2], 0);
	assert_int_equal(synod_client_leader(user->client), 3);
	destroy(user);
}

static void the_leader_is_found_without_hints_and_past_a_dead_replica(void **state)
{
	struct user *user = make(4, 100);

	(void)state;
	user->world->leader = 3;
	user->world->hint = 0;
	user->world->dead = 1u << 1;
	run(user, 400);
	check_all_done_once(user);
	destroy(user);
}

/*
 * Replicas that were cut off go on naming the leader they knew. 3 is no leader any more, 4 is dead:
 * whoever asks the next in turn after each hint asks 3, 4, 5, 3, 4, 5 … (The simulator found it.)
 */
static void stale_hints_do_not_keep_the_client_from_asking_everybody(void **state)
{
	struct user *user = make_of(5, 4, 100, 256, 0);

	(void)state;
	user->world->leader = 1;
	user->world->hint = 3;
	user->world->dead = 1u << 4;
	/* It last followed 3. */
	user->config.leader_hint = 3;
	assert_int_equal(synod_client_init(&user->client, user->client, &user->config,
					   &user->world->transport),
			 0);
	run(user, 800);
	check_all_done_once(user);
	destroy(user);
}

static void a_new_leader_gets_everything_unanswered_within_a_few_retries(void **state)
{
	struct user *user = make(5, 5000);
	uint32_t turns = 0;
	uint32_t before;

	(void)state;
	while (user->completed < 2000)
		turn(user);
	user->world->dead = 1u << 1;
	user->world->leader = 2;
	before = user->completed;
	while (user->completed < before + 256) {
		turn(user); /* the others still name the dead one at first */
		user->world->hint = turns > 2 * RETRY_NS / TURN_NS ? 2 : 1;
		assert_true(++turns < 6 * RETRY_NS / TURN_NS);
	}
	run(user, 100000);
	check_all_done_once(user);
	assert_int_equal(synod_client_leader(user->client), 2);
	destroy(user);
}

/* No silence has to be waited for, and the next leader is asked soon after it begins to lead. */
static void a_leader_whose_link_is_lost_is_left_at_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct user *user = make(seed, 5000);
		uint32_t turns = 0;
		uint32_t before;

		while (user->completed < 2000)
			turn(user);
		user->world->dead = user->world->lost = 1u << 1;
		user->world->leader = 0;
		user->world->hint =
			seed % 2 ? 0 : 1; /* they do not know yet, or think that 1 lives */
		turn(user);
		assert_int_equal(synod_client_leader(user->client), 0);
		run(user, (uint32_t)(seed * RETRY_NS / TURN_NS / 20));
		user->world->leader = 3;
		user->world->hint = 3;
		before = user->completed;
		while (user->completed == before) {
			turn(user);
			assert_true(++turns < RETRY_NS / TURN_NS / 2);
		}
		run(user, 100000);
		check_all_done_once(user);
		assert_int_equal(synod_client_leader(user->client), 3);
		destroy(user);
	}
}

/* A hint that is wrong costs a look elsewhere; one for all of them is none. */
static void links_that_only_seem_lost_keep_nothing_from_being_done(void **state)
{
	struct user *user = make(9, 5000);
	uint64_t sent;

	(void)state;
	for (uint32_t turns = 0; user->completed < 5000 && turns < 100000; turns++) {
		user->world->lost = turns / 7 % 4 == 3 ? 0xe : turns / 7 % 2 ? 1u << 1 : 0;
		turn(user);
	}
	check_all_done_once(user);
	user->world->dead = user->world->lost = 0xe;
	user->world->leader = 0;
	user->wanted++;
	sent = synod_client_counters(user->client)->datagrams_sent;
	run(user, 8 * RETRY_NS / TURN_NS);
	assert_in_range(synod_client_counters(user->client)->datagrams_sent - sent, 8, 130);
	destroy(user);
}

/* engine/journal/lives.h: what carries another boot was meant for a former life. */
static void a_leader_in_another_life_is_addressed_anew(void **state)
{
	struct user *user = make(6, 2000);

	(void)state;
	user->world->boot = 7;
	while (user->completed < 1000)
		turn(user);
	assert_int_equal(user->world->refused_boot, 1); /* the first, which could not know it */
	user->world->boot = 8;
	run(user, 100000);
	check_all_done_once(user);
	assert_true(user->world->refused_boot > 1);
	destroy(user);
}

static void leaders_that_come_and_go_leave_every_operation_executed_once(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct user *user = make(seed, 4000);
		uint32_t turns = 0;

		user->world->loss_percent = 5;
		user->world->repeat_percent = 10;
		user->world->delay_ns_max = 500000;
		while (user->completed < user->wanted) {
			uint64_t *random = &user->world->random;

			if (turns % 150 == 0) {
				user->world->leader = (uint32_t)synod_random_below(random, 4);
				user->world->hint = (uint32_t)synod_random_below(random, 4);
				user->world->dead = (uint32_t)synod_random_below(random, 16);
			}
			turn(user);
			assert_true(++turns < 1000000);
		}
		check_all_done_once(user);
		destroy(user);
	}
}

static void while_it_seeks_a_leader_one_datagram_is_out(void **state)
{
	struct user *user = make(6, 2000);
	uint32_t before;

	(void)state;
	while (user->completed < 500)
		turn(user);
	user->world->leader = 0; /* an election: all refuse, nobody knows */
	user->world->hint = 0;
	before = user->world->asked[1] + user->world->asked[2] + user->world->asked[3];
	run(user, 50 * RETRY_NS / TURN_NS);
	assert_true(user->world->asked[1] + user->world->asked[2] + user->world->asked[3] - before <
		    50 * 8 + 20);
	user->world->leader = 2;
	run(user, 100000);
	check_all_done_once(user);
	destroy(user);
}

static void a_slow_leader_given_up_as_silent_is_followed_again_when_it_answers(void **state)
{
	struct user *user = make(7, 2000);

	(void)state;
	while (user->completed < 500)
		turn(user);
	user->world->dead = 1u << 1; /* a disk that takes its time */
	run(user, 3 * RETRY_NS / TURN_NS);
	user->world->dead = 0;
	run(user, 6 * RETRY_NS / TURN_NS);
	check_all_done_once(user);
	destroy(user);
}

static void an_evicted_session_completes_its_operations_and_another_is_opened(void **state)
{
	struct user *user = make(8, 1000);
	uint64_t session;
	uint64_t nonce;
	uint32_t id;

	(void)state;
	while (user->completed < 500)
		turn(user);
	session = synod_client_session(user->client);
	for (nonce = 1; nonce <= 4; nonce++)
		world_open_session(user->world, nonce);
	run(user, 100000);
	assert_int_equal(user->completed, 1000);
	assert_true(user->by_status[SYNOD_SESSION_EVICTED] > 0);
	assert_true(user->by_status[SYNOD_SESSION_EVICTED] <= 256);
	assert_int_equal(user->by_status[SYNOD_OK] + user->by_status[SYNOD_SESSION_EVICTED], 1000);
	assert_int_not_equal(synod_client_session(user->client), session);
	assert_int_equal(synod_client_counters(user->client)->sessions_evicted, 1);
	for (id = 0; id < 1000; id++) {
		assert_int_equal(user->times[id], 1);
		assert_true(user->world->executed[id] <= 1);
		if (user->ops[id].status == SYNOD_OK)
			assert_int_equal(user->world->executed[id], 1);
	}
	destroy(user);
}

static void a_deadline_ends_what_was_sent_as_unknown_and_what_was_not_as_no_leader(void **state)
{
	struct user *sent = make_with(9, 300, 100, 10 * RETRY_NS);
	struct user *unsent = make_with(10, 300, 100, 10 * RETRY_NS);

	(void)state;
	while (sent->completed < 100)
		turn(sent);
	sent->world->dead = 0xe;
	run(sent, 100 * RETRY_NS / TURN_NS);
	assert_int_equal(sent->completed, 300);
	assert_true(sent->by_status[SYNOD_UNKNOWN] > 0);
	unsent->world->dead = 0xe;
	run(unsent, 100 * RETRY_NS / TURN_NS);
	assert_int_equal(unsent->by_status[SYNOD_NOT_LEADER], 300);
	destroy(sent);
	destroy(unsent);
}

/*
 * The leader dies, and every operation's deadline passes before the one that was asked has been
 * silent for as long as a silence takes. (Simulator: the client followed the dead one for ever.)
 */
static void deadlines_shorter_than_a_silence_do_not_keep_the_client_with_a_dead_leader(void **state)
{
	struct user *user = make_with(14, 400, 4, RETRY_NS / 2);

	(void)state;
	user->world->hint = 0;
	while (user->completed < 100)
		turn(user);
	assert_int_equal(user->by_status[SYNOD_OK], 100);
	user->world->dead = 1u << 1;
	user->world->leader = 3;
	run(user, 100 * RETRY_NS / TURN_NS);
	assert_int_equal(user->completed, 400);
	assert_int_equal(synod_client_leader(user->client), 3);
	assert_true(user->by_status[SYNOD_OK] > 300);
	destroy(user);
}

static void a_full_journal_is_reported_at_once_without_a_deadline(void **state)
{
	struct user *user = make(11, 400);

	(void)state;
	while (user->completed < 100)
		turn(user);
	user->world->full = 1;
	run(user, 2000);
	assert_int_equal(user->completed, 400);
	assert_true(user->by_status[SYNOD_FULL] > 0);
	assert_int_equal(user->by_status[SYNOD_OK] + user->by_status[SYNOD_FULL], 400);
	assert_int_equal(synod_apply_position(user->world->apply), user->by_status[SYNOD_OK]);
	destroy(user);
}

static void a_full_journal_that_gets_room_before_the_deadline_costs_nothing(void **state)
{
	struct user *user = make_with(12, 400, 100, 200 * RETRY_NS);

	(void)state;
	while (user->completed < 100)
		turn(user);
	user->world->full = 1;
	run(user, 50 * RETRY_NS / TURN_NS);
	assert_true(user->completed < 400);
	user->world->full = 0;
	run(user, 100 * RETRY_NS / TURN_NS);
	check_all_done_once(user);
	destroy(user);
}

static void a_transport_that_takes_no_more_is_only_a_delay(void **state)
{
	struct user *user = make_with(13, 10000, 2048, 0);

	(void)state;
	user->world->send_max = 1;
	run(user, 100000);
	check_all_done_once(user);
	assert_true(user->world->sends_refused > 20);
	assert_int_equal(synod_client_counters(user->client)->commands_repeated, 0);
	destroy(user);
}

static void numbers_stay_within_the_session_s_window(void **state)
{
	struct user *user = make_with(14, 20000, SYNOD_SESSION_WINDOW_MAX / 2, 0);
	uint32_t turns = 0;

	(void)state;
	user->world->loss_percent = 40;
	while (user->completed < user->wanted) {
		turn(user);
		assert_true(++turns < 1000000);
	}
	check_all_done_once(user); /* one STALE would show */
	destroy(user);
}

/* Requests that reach the leader, which is busy, in some time. */
static uint32_t asked_while_busy(uint32_t retry_us, uint64_t ns)
{
	struct user *user = make_with(23, 200, 8, 0);
	uint32_t asked;

	while (user->completed < 50)
		turn(user);
	user->world->busy_percent = 100;
	user->world->retry_us = retry_us;
	user->world->asked[1] = 0;
	for (uint64_t spent = 0; spent < ns; spent += TURN_NS)
		turn(user);
	asked = user->world->asked[1];
	user->world->busy_percent = 0;
	run(user, 10000);
	check_all_done_once(user);
	assert_int_equal(synod_client_counters(user->client)->silences, 0);
	destroy(user);
	return asked;
}

static void a_busy_replica_is_asked_again_when_it_says(void **state)
{
	(void)state;
	/* In 8 ms: at most one in 2 ms, with all that waits; one in 400 us or so; never flooded. */
	assert_in_range(asked_while_busy(2000, 4 * RETRY_NS), 2, 10);
	assert_in_range(asked_while_busy(300, 4 * RETRY_NS), 11, 40);
	assert_in_range(asked_while_busy(1, 4 * RETRY_NS), 11, 170);
	/* More than the longest of its own waits is not believed. */
	assert_in_range(asked_while_busy(UINT32_MAX, 20 * RETRY_NS), 2, 10);
}

static void a_halted_leader_is_left_at_once_for_the_next(void **state)
{
	struct user *user = make_with(24, 1000, 64, 0);
	const struct synod_client_counters *counters = synod_client_counters(user->client);
	uint64_t halted_ns;

	(void)state;
	while (user->completed < 100)
		turn(user);
	user->world->halted = 1u << 1;
	user->world->leader = 3; /* 2 has not heard of it: its hint is 1 still */
	halted_ns = user->world->now_ns;
	while (synod_client_leader(user->client) != 3) {
		turn(user);
		assert_true(user->world->now_ns - halted_ns < 2 * RETRY_NS);
	}
	run(user, 2000);
	check_all_done_once(user);
	assert_int_equal(counters->silences, 0);
	destroy(user);
}

static void a_halted_replica_is_left_when_a_session_is_to_be_opened(void **state)
{
	struct user *user = make(25, 100);

	(void)state;
	user->world->halted = 1u << 1;
	user->world->leader = 2;
	user->world->hint = 1;
	run(user, 200);
	check_all_done_once(user);
	assert_int_equal(synod_client_counters(user->client)->silences, 0);
	destroy(user);
}

/* The client dies with all it knew, and is there again, over the same network. */
static void restart(struct user *user, uint64_t incarnation)
{
	user->config.identity = 77;
	user->config.incarnation = incarnation;
	user->config.nonce = synod_random_next(&user->world->random);
	assert_int_equal(synod_client_init(&user->client, user->client, &user->config,
					   &user->world->transport),
			 0);
}

static void nothing_a_former_life_sent_is_executed_after_the_later_one_s_first_answer(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct user *user = make(seed, 2000);
		uint32_t executed[WORLD_OPS_MAX];
		uint32_t former;
		uint32_t before;

		user->world->repeat_percent = 40;
		user->world->loss_percent = 10;
		user->world->delay_ns_max = 30 * RETRY_NS;
		restart(user, 1);
		while (user->completed < 200)
			turn(user);
		former = user->submitted;
		before = user->completed;
		restart(user, 2);
		while (user->completed == before)
			turn(user);
		memcpy(executed, user->world->executed, sizeof(executed));
		user->wanted = user->submitted;
		for (uint32_t turns = 0; turns < 200 * RETRY_NS / TURN_NS; turns++)
			turn(user);
		assert_memory_equal(executed, user->world->executed, former * sizeof(executed[0]));
		for (uint32_t id = 0; id < user->submitted; id++) {
			assert_true(user->world->executed[id] <= 1);
			assert_true(user->times[id] <= 1);
			/* The later life's were all done, and none is mistaken for a former one. */
			assert_true(id < former || user->times[id] == 1);
			if (user->times[id])
				assert_int_equal(user->ops[id].position, user->world->position[id]);
		}
		assert_int_equal(user->by_status[SYNOD_OK], user->completed);
		assert_false(synod_client_fenced(user->client));
		destroy(user);
	}
}

static void a_former_life_that_still_runs_is_fenced(void **state)
{
	struct user *user = make_with(21, 300, 16, 0);
	struct synod_wire_identity identity = { .identity = 77, .incarnation = 6 };
	struct synod_client_op *done;
	struct synod_client_op late = { .data = "late", .size = 4 };
	struct synod_client_op *burst[] = { &late };

	(void)state;
	restart(user, 5);
	while (user->completed < 100)
		turn(user);
	world_open_identity(user->world, 1, &identity);
	run(user, 2000);
	assert_int_equal(user->completed, 300);
	assert_int_equal(user->by_status[SYNOD_OK] + user->by_status[SYNOD_SESSION_EVICTED], 300);
	assert_true(synod_client_fenced(user->client));
	assert_int_equal(synod_apply_position(user->world->apply), user->by_status[SYNOD_OK]);
	/* From now on it sends nothing. */
	user->world->asked[1] = 0;
	assert_int_equal(synod_client_submit(user->client, burst, 1, user->world->now_ns), 1);
	assert_int_equal(synod_client_poll(user->client, &done, 1, user->world->now_ns), 1);
	assert_int_equal(late.status, SYNOD_SESSION_EVICTED);
	assert_int_equal(late.session, 0);
	run(user, 100);
	assert_int_equal(user->world->asked[1], 0);
	assert_true(synod_client_deadline(user->client) == UINT64_MAX);
	destroy(user);
}

static void an_identity_evicted_for_want_of_places_registers_again(void **state)
{
	struct user *user = make_with(22, 300, 16, 0);
	uint64_t nonce;

	(void)state;
	restart(user, 5);
	while (user->completed < 100)
		turn(user);
	for (nonce = 500; nonce < 504; nonce++)
		world_open_session(user->world, nonce);
	run(user, 2000);
	assert_int_equal(user->completed, 300);
	assert_true(user->by_status[SYNOD_OK] >= 300 - 16);
	assert_false(synod_client_fenced(user->client));
	assert_int_equal(synod_client_counters(user->client)->sessions_opened, 2);
	destroy(user);
}

static void nonsense_and_strangers_datagrams_are_counted_and_change_nothing(void **state)
{
	struct user *user = make(15, 2000);
	uint64_t random = 15;
	uint8_t bytes[256];

	(void)state;
	while (user->completed < user->wanted) {
		struct synod_wire_header *header = (struct synod_wire_header *)bytes;
		uint32_t size = (uint32_t)synod_random_below(&random, 16) * 8;
		size_t at;

		turn(user);
		for (at = 0; at < sizeof(bytes); at++)
			bytes[at] = (uint8_t)synod_random_next(&random);
		world_inject(user->world, 1, bytes, size);
		/* Well sealed, but its results do not add up, or nobody asked for them. */
		memset(header, 0, sizeof(*header));
		header->type = SYNOD_REPLY;
		header->cluster = WORLD_CLUSTER;
		header->sender = (uint16_t)(1 + synod_random_below(&random, 7));
		header->slot = synod_random_below(&random, 2) * synod_client_session(user->client);
		bytes[sizeof(*header) + 16] = 255; /* no such status */
		synod_wire_seal(header, NULL, bytes + sizeof(*header), size);
		world_inject(user->world, header->sender, bytes, (uint32_t)sizeof(*header) + size);
	}
	check_all_done_once(user);
	assert_true(synod_client_counters(user->client)->bad_datagrams > 50);
	destroy(user);
}

static void a_wrong_configuration_is_refused(void **state)
{
	struct user *user = make(17, 0);
	struct synod_client *client;
	void *memory = aligned_alloc(64, (synod_client_size() + 63) & ~(size_t)63);

	(void)state;
	assert_non_null(memory);
#define REFUSED(change)                                                                       \
	do {                                                                                  \
		struct synod_client_config config = user->config;                             \
		change;                                                                       \
		assert_int_equal(                                                             \
			synod_client_init(&client, memory, &config, &user->world->transport), \
			-EINVAL);                                                             \
	} while (0)
	REFUSED(config.struct_size--);
	REFUSED(config.replicas = 0);
	REFUSED(config.replicas = SYNOD_REPLICAS_MAX + 1);
	REFUSED(config.outstanding_max = 0);
	REFUSED(config.outstanding_max = SYNOD_SESSION_WINDOW_MAX / 2 + 1);
	REFUSED(config.window_max = SYNOD_SESSION_WINDOW_MAX * 2);
	REFUSED(config.window_max = 1000);
	REFUSED(config.window_max = config.outstanding_max);
	REFUSED(config.datagram_size_max = WORLD_DATAGRAM_SIZE + 1);
	REFUSED(config.datagram_size_max = 100);
	REFUSED(config.leader_hint = 4);
	REFUSED(config.incarnation = 1); /* of nobody */
#undef REFUSED
	free(memory);
	destroy(user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_network_needs_no_retry_and_packs_datagrams),
		cmocka_unit_test(loss_repeats_and_delays_leave_every_operation_executed_once),
		cmocka_unit_test(the_leader_is_found_by_the_hint_of_another),
		cmocka_unit_test(the_leader_is_found_without_hints_and_past_a_dead_replica),
		cmocka_unit_test(stale_hints_do_not_keep_the_client_from_asking_everybody),
		cmocka_unit_test(a_new_leader_gets_everything_unanswered_within_a_few_retries),
		cmocka_unit_test(a_leader_whose_link_is_lost_is_left_at_once),
		cmocka_unit_test(links_that_only_seem_lost_keep_nothing_from_being_done),
		cmocka_unit_test(a_leader_in_another_life_is_addressed_anew),
		cmocka_unit_test(leaders_that_come_and_go_leave_every_operation_executed_once),
		cmocka_unit_test(while_it_seeks_a_leader_one_datagram_is_out),
		cmocka_unit_test(
			a_slow_leader_given_up_as_silent_is_followed_again_when_it_answers),
		cmocka_unit_test(an_evicted_session_completes_its_operations_and_another_is_opened),
		cmocka_unit_test(
			a_deadline_ends_what_was_sent_as_unknown_and_what_was_not_as_no_leader),
		cmocka_unit_test(
			deadlines_shorter_than_a_silence_do_not_keep_the_client_with_a_dead_leader),
		cmocka_unit_test(a_full_journal_is_reported_at_once_without_a_deadline),
		cmocka_unit_test(a_full_journal_that_gets_room_before_the_deadline_costs_nothing),
		cmocka_unit_test(a_transport_that_takes_no_more_is_only_a_delay),
		cmocka_unit_test(numbers_stay_within_the_session_s_window),
		cmocka_unit_test(a_busy_replica_is_asked_again_when_it_says),
		cmocka_unit_test(a_halted_leader_is_left_at_once_for_the_next),
		cmocka_unit_test(a_halted_replica_is_left_when_a_session_is_to_be_opened),
		cmocka_unit_test(
			nothing_a_former_life_sent_is_executed_after_the_later_one_s_first_answer),
		cmocka_unit_test(a_former_life_that_still_runs_is_fenced),
		cmocka_unit_test(an_identity_evicted_for_want_of_places_registers_again),
		cmocka_unit_test(nonsense_and_strangers_datagrams_are_counted_and_change_nothing),
		cmocka_unit_test(a_wrong_configuration_is_refused),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who uses the client in its tests: submits operations, polls, and notes how each ended. Over the
 * network of client_world.h, turn by turn.
 */
#ifndef SYNOD_TESTS_UNIT_CLIENT_USER_H
#define SYNOD_TESTS_UNIT_CLIENT_USER_H

#include "engine/client/client.h"
#include "tests/unit/client_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	TURN_NS = 50000,
	RETRY_NS = 2000000
};

/* A client, its operations by id, and how each ended. */
struct user {
	struct world *world;
	struct synod_client *client;
	struct synod_client_config config;
	uint32_t submitted;
	uint32_t completed;
	uint32_t wanted;
	uint32_t by_status[SYNOD_STATUSES_COUNT];
	uint32_t payload_size;
	struct synod_client_op ops[WORLD_OPS_MAX];
	uint32_t times[WORLD_OPS_MAX]; /* completed */
	uint8_t payloads[WORLD_OPS_MAX][64];
};

/* In a world that was made for it. */
static inline struct user *make_in(struct world *world, uint64_t seed, uint32_t wanted,
				   uint32_t outstanding, uint64_t deadline_ns)
{
	struct user *user = calloc(1, sizeof(*user));
	void *memory = aligned_alloc(64, (synod_client_size() + 63) & ~(size_t)63);
	uint32_t id;

	assert_non_null(user);
	assert_non_null(memory);
	user->world = world;
	user->wanted = wanted;
	user->payload_size = 8;
	user->config = (struct synod_client_config){
		.struct_size = sizeof(user->config),
		.replicas = world->replicas,
		.cluster = WORLD_CLUSTER,
		.nonce = seed + 1000,
		.outstanding_max = outstanding,
		.retry_ns = RETRY_NS,
		.deadline_ns = deadline_ns,
	};
	assert_int_equal(
		synod_client_init(&user->client, memory, &user->config, &user->world->transport),
		0);
	for (id = 0; id < wanted; id++) {
		memcpy(user->payloads[id], &id, sizeof(id));
		user->ops[id].user_data = id;
		user->ops[id].data = user->payloads[id];
		user->ops[id].size = user->payload_size;
	}
	return user;
}

static inline struct user *make_of(uint32_t replicas, uint64_t seed, uint32_t wanted,
				   uint32_t outstanding, uint64_t deadline_ns)
{
	struct world *world = world_make(seed, 4);

	world->replicas = replicas;
	return make_in(world, seed, wanted, outstanding, deadline_ns);
}

static inline struct user *make_with(uint64_t seed, uint32_t wanted, uint32_t outstanding,
				     uint64_t deadline_ns)
{
	return make_of(3, seed, wanted, outstanding, deadline_ns);
}

static inline struct user *make(uint64_t seed, uint32_t wanted)
{
	return make_with(seed, wanted, 256, 0);
}

static inline void destroy(struct user *user)
{
	world_free(user->world);
	free(user->client);
	free(user);
}

static inline void submit_some(struct user *user)
{
	while (user->submitted < user->wanted) {
		struct synod_client_op *burst[32];
		uint32_t count =
			user->wanted - user->submitted < 32 ? user->wanted - user->submitted : 32;
		uint32_t index;
		uint32_t taken;

		for (index = 0; index < count; index++)
			burst[index] = &user->ops[user->submitted + index];
		taken = synod_client_submit(user->client, burst, count, user->world->now_ns);
		user->submitted += taken;
		if (taken < count)
			break;
	}
}

/* A turn of the client, whatever the world does. */
static inline void poll_some(struct user *user)
{
	struct synod_client_op *done[64];
	uint32_t count;
	uint32_t index;

	submit_some(user);
	count = synod_client_poll(user->client, done, 64, user->world->now_ns);
	for (index = 0; index < count; index++) {
		user->times[done[index]->user_data]++;
		user->by_status[done[index]->status]++;
	}
	user->completed += count;
}

static inline void turn(struct user *user)
{
	world_pass(user->world, TURN_NS);
	poll_some(user);
}

/* Until all are completed, or turns are over. */
static inline void run(struct user *user, uint32_t turns)
{
	while (turns-- && user->completed < user->wanted)
		turn(user);
}

/* What must hold of every run in which everything was executed. */
static inline void check_all_done_once(const struct user *user)
{
	uint32_t id;

	assert_int_equal(user->completed, user->wanted);
	assert_int_equal(user->by_status[SYNOD_OK], user->wanted);
	for (id = 0; id < user->wanted; id++) {
		assert_int_equal(user->times[id], 1);
		assert_int_equal(user->world->executed[id], 1);
		assert_int_equal(user->ops[id].position, user->world->position[id]);
		assert_int_equal(user->ops[id].session, synod_client_session(user->client));
	}
	assert_int_equal(synod_apply_position(user->world->apply), user->wanted);
	assert_int_equal(synod_client_outstanding(user->client), 0);
}

/* Turns until that many more are completed. */
static inline void run_more(struct user *user, uint32_t more)
{
	uint32_t wanted = user->completed + more;

	for (int turns = 0; turns < 4000 && user->completed < wanted; turns++)
		turn(user);
	assert_int_equal(user->completed, wanted);
}

#endif

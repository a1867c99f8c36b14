/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The core's steps per slot, as leader and as follower, at steady state. One iteration is one slot
 * through everything that replica does for it.
 */
#include "bench/micro/micro.h"

#include "engine/base/assert.h"
#include "engine/base/ballot.h"
#include "engine/core/core.h"

static struct synod_core core;
static struct synod_effects fx;
static uint64_t now_ns;

static void step(struct synod_event *event)
{
	event->now_ns = now_ns += 10;
	synod_core_step(&core, event, &fx);
}

static void deliver(unsigned int type, uint32_t from, uint64_t ballot, uint64_t slot,
		    uint64_t argument)
{
	struct synod_message message = {
		.type = (uint8_t)type,
		.from = (uint8_t)from,
		.to = (uint8_t)core.config.replica,
		.ballot = ballot,
		.slot = slot,
		.argument = argument,
	};
	struct synod_event event = { .kind = SYNOD_EVENT_MESSAGE, .message = &message };

	step(&event);
}

static void start(uint32_t replica)
{
	const struct synod_core_config config = {
		.replica = replica,
		.replicas = 3,
		.seed = 1,
		.election_ns = 1000000,
		.heartbeat_ns = 100000,
		.retransmit_ns = 100000,
		.window = SYNOD_WINDOW_SLOTS,
		.inflight = SYNOD_INFLIGHT_SLOTS,
	};

	now_ns = 0;
	synod_core_init(&core, &config, 0);
}

static void durable_and_applied(void)
{
	struct synod_event durable = { .kind = SYNOD_EVENT_DURABLE, .ticket = core.ticket_last };
	struct synod_event applied = { .kind = SYNOD_EVENT_APPLIED };

	step(&durable);
	applied.slot = core.chosen_through;
	step(&applied);
}

/* One slot: submit, own write durable, one follower's vote, executed. */
static void leader_slot(uint64_t iterations)
{
	struct synod_event tick = { .kind = SYNOD_EVENT_TICK };

	if (iterations == 0) {
		start(1);
		now_ns = 10000000;
		step(&tick);
		deliver(SYNOD_CANVASS_GRANTED, 2, core.ballot, 0, 0);
		durable_and_applied();
		deliver(SYNOD_PROMISE, 2, core.ballot, 1, UINT64_MAX);
		synod_assert(core.role == SYNOD_ROLE_LEADER);
	}
	for (uint64_t i = 0; i < iterations; i++) {
		struct synod_event submit = {
			.kind = SYNOD_EVENT_SUBMIT,
			.value = { .handle = 1 + (uint32_t)(core.propose_next % 2000), .size = 8 },
		};

		step(&submit);
		synod_assert(!fx.refused);
		deliver(SYNOD_ACCEPTED, 2, core.ballot, core.propose_next - 1, 0);
		durable_and_applied();
	}
}

/* One slot: ACCEPT, write durable (and the answer), executed. */
static void follower_slot(uint64_t iterations)
{
	uint64_t ballot = synod_ballot_make(1, 2);

	if (iterations == 0) {
		start(1);
		deliver(SYNOD_HEARTBEAT, 2, ballot, 0, 0);
		durable_and_applied();
	}
	for (uint64_t i = 0; i < iterations; i++) {
		uint64_t slot = core.slot_last + 1;
		struct synod_message accept = {
			.type = SYNOD_ACCEPT,
			.from = 2,
			.to = 1,
			.has_value = 1,
			.ballot = ballot,
			.slot = slot,
			.value_slot = slot,
			.value_ballot = ballot,
			.chosen_through = slot - 1,
			.value = { .handle = 1 + (uint32_t)(slot % 2000), .size = 8 },
		};
		struct synod_event event = { .kind = SYNOD_EVENT_MESSAGE, .message = &accept };

		step(&event);
		durable_and_applied();
	}
}

const struct synod_micro synod_micro_core[] = {
	{ "core/leader_slot", leader_slot, 0, 1, 0 },
	{ "core/follower_slot", follower_slot, 0, 1, 0 },
	{ 0 },
};

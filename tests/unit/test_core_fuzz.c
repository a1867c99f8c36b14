/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages with any fields: whatever a peer sends, no assertion of the core may be reached by it
 * (an assertion that a packet can reach is a remote crash), and no handle is lost. Types, senders
 * and receivers are what a decoded datagram can hold; the rest is drawn from the bounds and from
 * the neighbourhood of what the core believes, where the conditions are.
 */
#include "engine/base/random.h"
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	STEPS_A_LIFE = 2000,
	LIVES = 4000
};

static struct bench bench;
static uint64_t random_state;

static uint64_t below(uint64_t bound)
{
	return synod_random_below(&random_state, bound);
}

static uint64_t any_slot(void)
{
	const struct synod_core *core = &bench.core;

	switch (below(8)) {
	case 0:
		return synod_random_next(&random_state) >> below(64);
	case 1:
		return UINT64_MAX - below(3);
	case 2:
		return below(4);
	case 3:
		return core->slot_last + below(4);
	default:
		return core->chosen_through + below(core->config.window + 4) - below(4);
	}
}

static uint64_t any_ballot(void)
{
	const struct synod_core *core = &bench.core;
	uint64_t round = synod_ballot_round(core->ballot_highest);

	switch (below(8)) {
	case 0:
		return synod_random_next(&random_state) >> below(64);
	case 1:
		return UINT64_MAX - below(300);
	case 2:
		return below(3);
	case 3:
		return core->promised;
	case 4:
		return synod_ballot_make(round + below(3) - below(2), 1 + (uint32_t)below(7));
	default:
		return core->ballot;
	}
}

static struct synod_message any_message(void)
{
	struct synod_message message = {
		.type = (uint8_t)(1 + below(SYNOD_REPLICA_TYPES_END - 1)),
		.from = (uint8_t)(below(20) ? 1 + below(bench.core.config.replicas) : below(256)),
		.to = (uint8_t)(below(50) ? 1 : below(256)),
		.flags = (uint32_t)below(8),
		.ballot = any_ballot(),
		.slot = any_slot(),
		.chosen_through = any_slot(),
		.argument = below(2) ? any_slot() : synod_random_next(&random_state),
		.has_value = (uint8_t)below(2),
		.value_flags = (uint32_t)below(2),
	};

	/* Most messages have a ballot that fits: the checks of the others are soon covered. */
	if (below(2))
		message.ballot = synod_ballot_make(synod_ballot_round(message.ballot),
						   below(2) ? message.from : 1);
	if (below(4) == 0)
		message.argument = UINT64_MAX;
	if (!message.has_value)
		return message;
	message.value_slot = below(4) ? message.slot : any_slot();
	message.value_ballot = below(4) ? message.ballot : any_ballot();
	if (message.type == SYNOD_PROMISE && below(4))
		message.argument = message.value_slot;
	if (below(4))
		message.value = bench_value(&bench); /* else a no-op */
	return message;
}

/* Any cluster that a configuration may describe, and replica 1 a voter in it. */
static void any_start(uint32_t life)
{
	static const uint32_t sizes[] = { 1, 3, 5, 7 };
	struct synod_core_config config = bench_config(sizes[life & 3], 16u << below(4));

	if (below(2))
		config.voters = 1 + (uint32_t)below(config.replicas);
	if (below(2) && config.voters) {
		config.quorum_prepare = 1 + (uint32_t)below(config.voters);
		config.quorum_accept = config.voters + 1 - config.quorum_prepare;
	}
	if (below(2))
		config.inflight_bytes = 32 + below(400);
	for (uint32_t id = 1; below(2) && id <= config.replicas; id++)
		config.priorities[id] = (uint8_t)below(3);
	bench_start_as(&bench, &config);
}

/* A snapshot from anywhere, in whatever role: also of slots that were learned meanwhile. */
static void any_install(void)
{
	const struct synod_core *core = &bench.core;

	bench_install(&bench, core->applied + below(core->chosen_through - core->applied +
						    2 * (uint64_t)core->config.window));
}

static void any_step(void)
{
	switch (below(18)) {
	case 16:
		bench_read(&bench);
		break;
	case 17:
		bench_handover(&bench, below(4) ? 0 : below(9));
		break;
	case 0:
		bench_tick(&bench, below(2) ? below(300 * BENCH_MS) : below(BENCH_MS));
		break;
	case 1:
		bench_submit(&bench);
		break;
	case 2:
	case 3:
		bench_durable(&bench);
		break;
	case 4:
		if (below(16) == 0)
			any_install();
		else
			bench_applied(&bench);
		break;
	case 5:
		if (bench.core.role == SYNOD_ROLE_CANVASSER && below(2))
			bench_message(&bench,
				      (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
							      .from = 2,
							      .to = 1,
							      .ballot = bench.core.ballot });
		break;
	default:
		bench_message(&bench, any_message());
		break;
	}
}

static void no_message_reaches_an_assertion(void **state)
{
	uint64_t leaders = 0;
	uint64_t chosen = 0;
	uint64_t reads = 0;

	(void)state;
	for (uint32_t life = 0; life < LIVES; life++) {
		random_state = life;
		any_start(life);
		for (uint32_t step = 0; step < STEPS_A_LIFE; step++) {
			any_step();
			if (step % 256 == 0)
				bench_check_handles(&bench);
			leaders += bench.core.role == SYNOD_ROLE_LEADER;
		}
		chosen += bench.chosen_last;
		reads += bench.read_settled;
	}
	/* The fuzz itself gets somewhere: all roles, and slots chosen. */
	assert_true(leaders > STEPS_A_LIFE);
	assert_true(chosen > LIVES);
	assert_true(reads > LIVES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_message_reaches_an_assertion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* One core on the bench, and what is said to it and by it: for test_core_manners*.c. */
#ifndef SYNOD_TESTS_UNIT_CORE_MANNERS_H
#define SYNOD_TESTS_UNIT_CORE_MANNERS_H

#include "engine/base/counters.h"
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct bench bench;

static inline uint64_t ballot_of(uint64_t round, uint32_t replica)
{
	return synod_ballot_make(round, replica);
}

static inline struct synod_message from(uint8_t replica, uint8_t type, uint64_t ballot,
					uint64_t slot)
{
	return (struct synod_message){
		.type = type, .from = replica, .to = 1, .ballot = ballot, .slot = slot
	};
}

static inline struct synod_message with_value(struct synod_message message, uint64_t slot,
					      uint64_t ballot)
{
	message.has_value = 1;
	message.value_slot = slot;
	message.value_ballot = ballot;
	message.value = bench_value(&bench);
	return message;
}

static inline void hear(struct synod_message message)
{
	bench_message(&bench, message);
}

static inline void hear_accept(uint64_t ballot, uint64_t slot)
{
	uint8_t leader = (uint8_t)synod_ballot_replica(ballot);

	hear(with_value(from(leader, SYNOD_ACCEPT, ballot, slot), slot, ballot));
}

/* A replica says that all through a slot is chosen, and that it follows the ballot. */
static inline void hear_chosen(uint8_t replica, uint64_t ballot, uint64_t through)
{
	struct synod_message sign = from(replica, SYNOD_HEARTBEAT, ballot, through);

	sign.chosen_through = through;
	hear(sign);
}

static inline const struct synod_message *sent(unsigned int type, uint32_t index)
{
	for (uint32_t i = 0; i < bench.fx.sends_count; i++)
		if (bench.fx.sends[i].type == type && index-- == 0)
			return &bench.fx.sends[i];
	fail_msg("no such message was sent");
	return NULL;
}

/* Until it canvasses, and then until it is a candidate whose own promise is durable. */
static inline void canvass(void)
{
	bench_tick(&bench, 600 * BENCH_MS);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANVASSER);
}

/* At a ballot above all that the promises in these tests tell of. */
static inline void stand(void)
{
	struct synod_message reject;

	canvass();
	reject = from(2, SYNOD_REJECT, bench.core.ballot, 0);
	reject.argument = ballot_of(synod_ballot_round(bench.core.ballot) + 6, 2);
	hear(reject);
	for (uint8_t id = 2; id <= bench.core.config.voters / 2 + 1; id++)
		hear(from(id, SYNOD_CANVASS_GRANTED, bench.core.ballot, 0));
	bench_durable(&bench);
	assert_int_equal(bench.core.role, SYNOD_ROLE_CANDIDATE);
}

/* A part of a promise: an accepted value, or (slot_accepted 0) nothing from there to the end. */
static inline struct synod_message promise(uint8_t replica, uint64_t slot, uint64_t slot_accepted,
					   uint64_t ballot)
{
	struct synod_message part = from(replica, SYNOD_PROMISE, bench.core.ballot, slot);

	part.argument = UINT64_MAX;
	if (!slot_accepted)
		return part;
	part.argument = slot_accepted;
	return with_value(part, slot_accepted, ballot);
}

/* Slots 1 to count, accepted at 2's ballot and durable. */
static inline void accept_many(uint64_t count)
{
	for (uint64_t slot = 1; slot <= count; slot++)
		hear_accept(ballot_of(1, 2), slot);
	bench_durable(&bench);
}

#endif

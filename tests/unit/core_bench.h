/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One core on the bench: events go in by hand, effects are looked at, and every handle is accounted
 * for. For test_core*.c.
 */
#ifndef SYNOD_TESTS_UNIT_CORE_BENCH_H
#define SYNOD_TESTS_UNIT_CORE_BENCH_H

#include "engine/base/ballot.h"
#include "engine/core/core.h"

#include <stdint.h>

#define BENCH_MS 1000000ull

enum {
	BENCH_HANDLES = 4096
};

struct bench {
	struct synod_core core;
	struct synod_effects fx;
	uint64_t now_ns;
	uint64_t ticket_issued;
	uint64_t chosen_last;
	uint64_t read_last;
	uint64_t read_settled;
	uint64_t chosen_at_read; /* when the first read that waits was asked */
	uint32_t handles_live;
	uint8_t live[BENCH_HANDLES];
};

/* A new core, replica 1 of so many, with a window and half of it in flight. */
void bench_start(struct bench *bench, uint32_t replicas, uint32_t window);
/* The same with a configuration changed from this one. */
struct synod_core_config bench_config(uint32_t replicas, uint32_t window);
void bench_start_as(struct bench *bench, const struct synod_core_config *config);
/* A value that moves in: never seen before, described by its handle. */
struct synod_value bench_value(struct bench *bench);
/* One step, its bounds and its handles checked. */
void bench_step(struct bench *bench, struct synod_event event);
void bench_message(struct bench *bench, struct synod_message message);
void bench_submit(struct bench *bench);
void bench_read(struct bench *bench);
void bench_handover(struct bench *bench, uint64_t to);
void bench_tick(struct bench *bench, uint64_t later_ns);
/* All writes are durable. */
void bench_durable(struct bench *bench);
/* All that is chosen is executed. */
void bench_applied(struct bench *bench);
/* A snapshot that stands for all slots up to that one has been loaded. */
void bench_install(struct bench *bench, uint64_t slot);
/* An election won with the answers of a bare quorum, that have accepted nothing. */
void bench_lead(struct bench *bench);
/* ACCEPTED from a replica, at the core's ballot, through a slot. */
void bench_accepted(struct bench *bench, uint32_t from, uint64_t through);
/* Each handle that is live is held by exactly one place of the ring: none leaks. */
void bench_check_handles(const struct bench *bench);
/* How many messages of a type the last step sent. */
uint32_t bench_sent(const struct bench *bench, unsigned int type);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three replicas and a client in one process and one thread, for counting instructions: the real
 * stages, the real core, the real journal (in memory: durability none), joined by ports that move
 * buffers and nothing else. Time is a number, so two runs do the same.
 *
 * What is counted are the functions below, by `valgrind --tool=callgrind
 * --toggle-collect=synod_path_count_*` (bench/instructions does it). Between them, uncounted, what
 * left one replica is copied to the other: the work of links and drivers.
 */
#ifndef SYNOD_BENCH_PATH_H
#define SYNOD_BENCH_PATH_H

#include "engine/client/client.h"
#include "engine/pipeline/pipeline.h"
#include "engine/wire/wire.h"

#include <stdint.h>

enum {
	PATH_REPLICAS = 3,
	PATH_OPS_MAX = 128, /* commands of a round */
};

/* A turn of the five stages; each is called from here, so that its share can be told. */
void synod_path_count_leader(struct synod_pipeline *pipeline, uint64_t now_ns);
void synod_path_count_follower(struct synod_pipeline *pipeline, uint64_t now_ns);

/* Submits, or polls: returns how many are done. */
void synod_path_count_submit(struct synod_client *client, struct synod_client_op *const ops[],
			     uint32_t n, uint64_t now_ns);
uint32_t synod_path_count_poll(struct synod_client *client, uint64_t now_ns);

/* A case is over: --dump-before=synod_path_case_over writes its counts down and zeroes them. */
void synod_path_case_over(void);

/*
 * What such a program does: DPDK's EAL without hugepages and devices, replicas with state for so
 * many sessions, run() with them (it says itself what went wrong), and all of it taken down.
 * Returns the exit status: 0, or 1.
 */
int synod_path_program(const char *name, const struct synod_apply_limits *limits, int (*run)(void));

/* Sorts, least first. Returns the median: the upper one of two. */
double synod_path_median(double *values, uint32_t count);

/* Until one replica leads and a session is open. */
void synod_path_begin(void);

/* From now on turns of a replica are taken so, and not by the two functions above. */
void synod_path_poll_by(void (*poll)(struct synod_pipeline *pipeline, uint64_t now_ns, int leads));

/* So many rounds of so many commands at once. Returns turns of each replica, 0: it went wrong. */
uint64_t synod_path_run(uint32_t rounds, uint32_t commands, uint32_t size);

/*
 * Without the client (path_sessions.c): a datagram for the leader, without header: its flags and
 * body; a turn of all replicas, which returns the nanoseconds that were spent in their stages; and
 * the next datagram that the leader answered, decoded, valid until the next call. 1, or 0: none.
 */
void synod_path_ask(uint16_t flags, const void *body, uint32_t size);
uint64_t synod_path_turn(void);
int synod_path_answer(struct synod_wire_view *view);

/* Batches that the leader has ordered. */
uint64_t synod_path_batches(void);

#endif

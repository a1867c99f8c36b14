/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A few cores side by side, in which nothing happens by itself: every message is delivered, every
 * write made durable and every clock moved by a command of a script. What each step did is printed
 * in the words of Paxos. See script.c for the commands.
 */
#ifndef SYNOD_TESTS_SCRIPT_WORLD_H
#define SYNOD_TESTS_SCRIPT_WORLD_H

#include "engine/core/core.h"

#include <stdint.h>
#include <stdio.h>

enum {
	WORLD_MESSAGES_MAX = 4096,
	WORLD_WRITES_MAX = 1024,
	WORLD_HANDLES_MAX = 1 << 16,
	WORLD_NAMES_MAX = 256,
	WORLD_NAME_SIZE = 16,
	WORLD_SLOTS_MAX = 512,
};

struct world_message {
	struct synod_message message;
	uint32_t name; /* of its value */
	uint32_t in_flight;
};

struct world_record {
	uint64_t ballot;
	uint32_t name;
	uint32_t chosen;
};

struct world_write {
	struct synod_core_write write;
	uint32_t name;
};

struct world_replica {
	struct synod_core core;
	uint32_t id;
	uint32_t up;
	uint32_t life;
	uint64_t deadline_ns;
	uint64_t chosen_last;
	uint64_t applied;
	uint64_t read_last; /* reads that were asked here, by token */

	/* The disk: what is durable, and the writes that are not. */
	uint64_t promised;
	uint64_t hint;
	uint64_t snapshot; /* it stands for all slots up to this one */
	uint64_t incarnation;
	uint32_t standing; /* enum synod_standing: how it starts */
	struct world_record records[WORLD_SLOTS_MAX];
	struct world_write writes[WORLD_WRITES_MAX]; /* ticket_durable + 1 .. ticket_issued */
	uint64_t ticket_durable;
	uint64_t ticket_issued;
};

struct world_shape {
	uint32_t replicas;
	uint32_t window;
	uint32_t voters; /* 0: all */
	uint32_t quorum_prepare;
	uint32_t quorum_accept;
	uint32_t prefer; /* whose priority is 1; all others have 0 */
};

struct world {
	FILE *out; /* what happened goes here, unless quiet */
	uint32_t quiet;
	struct world_shape shape;
	uint32_t replicas_count;
	uint32_t window;
	uint64_t now_ns;
	uint8_t cut[SYNOD_REPLICAS_MAX + 1][SYNOD_REPLICAS_MAX + 1];
	struct world_replica replicas[SYNOD_REPLICAS_MAX + 1];
	struct world_message messages[WORLD_MESSAGES_MAX];
	uint32_t messages_count;
	uint32_t handle_name[WORLD_HANDLES_MAX]; /* by handle; handles are never used again */
	uint8_t handle_live[WORLD_HANDLES_MAX];
	uint32_t handles_count;
	char names[WORLD_NAMES_MAX][WORLD_NAME_SIZE]; /* [0] is the no-op */
	uint32_t names_count;
	struct synod_effects fx;
};

void world_start(struct world *world, const struct world_shape *shape);
void world_boot(struct world *world, uint32_t replica);
void world_crash(struct world *world, uint32_t replica);
void world_submit(struct world *world, uint32_t replica, const char *name);
void world_handover(struct world *world, uint32_t replica, uint32_t to);
void world_read(struct world *world, uint32_t replica);
/* Takes a snapshot of all that is executed; the records that it covers are overwritten. */
void world_snapshot(struct world *world, uint32_t replica);
/* A replica that is down gets a new, empty disk; what it sent before is dropped by all from now on,
 * as the pipeline does. It joins when it is started. */
void world_wipe(struct world *world, uint32_t replica);
/* A replica that is down is not to vote after its start until others vouch for its disk. */
void world_mute(struct world *world, uint32_t replica);
void world_vouch(struct world *world, uint32_t replica);
void world_lost(struct world *world, uint32_t replica, uint32_t peer);
/* The snapshot of one is durable at another, and loaded there. */
void world_install(struct world *world, uint32_t replica, uint32_t from);
/* Moves the clock to the replica's deadline, if that is ahead, and ticks. */
void world_tick(struct world *world, uint32_t replica);
/* The first `count` writes under way, in order; 0: all of them. */
void world_durable(struct world *world, uint32_t replica, uint64_t count);
/* Every message under way from one to another (0: any) of a type (0: any); returns how many. */
uint32_t world_deliver(struct world *world, uint32_t from, uint32_t to, unsigned int type);
uint32_t world_drop(struct world *world, uint32_t from, uint32_t to, unsigned int type);
uint32_t world_copy(struct world *world, uint32_t from, uint32_t to, unsigned int type);
/* Delivers and makes durable until nothing moves, in silence. */
void world_settle(struct world *world);
void world_show(struct world *world);

#endif

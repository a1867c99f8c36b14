/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A world for the client's tests: an in-memory network that loses, repeats and delays datagrams by
 * a seed, and replicas whose consensus is perfect (one log, one state: the real session table and
 * sequencer), of which one leads, some may be dead, and any may refuse. Time is a number.
 */
#ifndef SYNOD_TESTS_UNIT_CLIENT_WORLD_H
#define SYNOD_TESTS_UNIT_CLIENT_WORLD_H

#include "engine/client/transport.h"
#include "engine/machine/apply.h"
#include "engine/wire/wire.h"

#include <stdint.h>

enum {
	WORLD_CLUSTER = 0xc1a5,
	WORLD_DATAGRAMS_MAX = 4096,
	WORLD_DATAGRAM_SIZE = 1472,
	WORLD_OPS_MAX = 20000,
};

struct world_datagram {
	uint64_t at_ns; /* when it arrives; 0: free */
	uint32_t to;	/* replica; 0: the client */
	uint32_t from;
	uint32_t size;
	uint8_t bytes[WORLD_DATAGRAM_SIZE];
};

struct world {
	struct synod_transport transport;
	uint64_t now_ns;
	uint64_t random;

	/* Faults. Percentages are of datagrams, both ways. */
	uint32_t loss_percent;
	uint32_t repeat_percent;
	uint64_t delay_ns_max;
	uint32_t in_order; /* 1: datagrams arrive in the order they left, without delay */
	uint32_t replicas;
	uint32_t leader; /* 0: nobody leads */
	uint32_t hint;	 /* what the others say who leads; 0: they do not know */
	uint32_t dead;	 /* bit mask by replica */
	uint32_t lost;	 /* bit mask by replica: as the transport tells */
	uint32_t busy_percent;
	uint32_t boot;		/* of the replicas; requests with another are refused */
	uint32_t refused_boot;	/* datagrams */
	uint32_t retry_us;	/* what a BUSY says when to come again; 0: nothing */
	uint32_t room;		/* commands that are executed a pass, more are BUSY; 0: no limit */
	uint32_t taken_now;	/* of those, in this pass */
	uint32_t halted;	/* bit mask by replica: its journal has failed */
	uint32_t full;		/* 1: the leader's journal has no room */
	uint32_t sends_refused; /* this many sends answer -EAGAIN */
	uint32_t send_max;	/* sends taken between two receives; 0: no limit */
	uint32_t sends;

	/* What happened. */
	struct synod_apply *apply;
	const struct synod_machine *machine;
	struct synod_machine recorder;	  /* the same, which also notes what it executes */
	uint32_t asked[8];		  /* requests that reached each replica */
	uint32_t lags;			  /* bit mask: replicas that know of no session yet */
	uint32_t reads;			  /* answered, linearizable */
	uint32_t reads_stale[8];	  /* answered, by replica */
	uint32_t executed[WORLD_OPS_MAX]; /* times, by the operation's id in its payload */
	uint64_t position[WORLD_OPS_MAX];
	uint32_t crc[WORLD_OPS_MAX]; /* of what was executed */
	uint64_t numbers_last;	     /* highest number that reached the leader */
	uint64_t number_gap_max;

	struct world_datagram datagrams[WORLD_DATAGRAMS_MAX];
	uint32_t used;			 /* datagrams under way */
	struct world_datagram taken[64]; /* what receive lent out */
};

/* A world of three replicas, 1 leading, without faults. */
struct world *world_make(uint64_t seed, uint32_t sessions);
/* The same with another state machine than the sequencer. */
struct world *world_make_of(uint64_t seed, uint32_t sessions, const struct synod_machine *machine);
/* And with another window than the largest. */
struct world *world_make_within(uint64_t seed, uint32_t sessions, uint32_t window,
				const struct synod_machine *machine);
void world_free(struct world *world);

/* Lets time pass, and what arrives at replicas be answered. */
void world_pass(struct world *world, uint64_t ns);

/* Opens a session directly, as another client would. */
uint64_t world_open_session(struct world *world, uint64_t nonce);
uint64_t world_open_identity(struct world *world, uint64_t nonce,
			     const struct synod_wire_identity *identity);

/* Another client, after a long silence of the others, has a large command put together. */
void world_take_buffer(struct world *world);

/* Puts a datagram on its way to the client. */
void world_inject(struct world *world, uint32_t from, const void *bytes, uint32_t size);

#endif

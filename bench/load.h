/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load generator, without clock, transport or output of its own: a value that is given turns.
 *
 *      connecting ──session open──► warming up ──► measuring ──► draining ──all answered──► done
 *                                   (submits, but      (what is submitted here is recorded,
 *                                    records nothing)   even when its answer comes in the drain)
 *
 * Closed loop (rate 0): `outstanding` operations are always under way; latency counts from submit.
 * Open loop: operations are due at times fixed beforehand by rate and seed (Poisson or constant
 * gaps), and latency counts from when one was due, not from when it could be sent; so a stall is
 * seen by every operation that it delayed. At most `outstanding` are under way; those that had to
 * wait for that are counted as blocked. How late the generator itself was, apart from that, is the
 * lag: a run whose lag is not small against its latencies measured the generator.
 *
 * A session bears half its window of operations at once; for more, several clients share the
 * transport (bench/fan.h). Each has at most its even share of `outstanding` under way, and is given
 * operations when it has room, in the order in which they got it. There may be thousands: no turn
 * looks at all of them. Connecting, CONNECTING_MAX of them register at a time.
 *
 * What the operations are is bench/workload.h; what each client saw may be noted in a history
 * (bench/history.h). There every operation under way is a client of its own, a lane: its operations
 * follow each other, and one whose fate is unknown is its last; the lane goes on as a new client.
 * With a history a turn submits before it receives, so that an operation leaves only after the
 * answer to the one before it was stamped: a lane rests for the rest of the turn.
 */
#ifndef SYNOD_BENCH_LOAD_H
#define SYNOD_BENCH_LOAD_H

#include "bench/acked.h"
#include "bench/fan.h"
#include "bench/history.h"
#include "bench/workload.h"
#include "engine/base/histogram.h"
#include "engine/client/client.h"

#include <stddef.h>
#include <stdint.h>

enum {
	SYNOD_LOAD_GAPS_MAX = 2048,
	SYNOD_LOAD_CONNECTING_MAX = 64,
	SYNOD_LOAD_BUCKETS_MAX = 12000, /* a minute of 5 ms; what comes later is not counted */
};

struct synod_load_config {
	uint64_t cluster;
	uint32_t replicas;
	uint32_t sessions;    /* clients, each with a session: 1..SYNOD_FAN_CLIENTS_MAX */
	uint32_t window;      /* of a session, as the cluster has it; 0: SYNOD_SESSION_WINDOW_MAX */
	uint32_t outstanding; /* of all together: 1..sessions * window / 2; fewer than sessions:
			       * they take turns */
	uint32_t datagram_size_max; /* bytes of a client's request; 0: what the transport takes */
	uint32_t shared;	    /* 1: requests of several clients share datagrams */
	enum synod_workload_kind workload;
	uint32_t payload_size; /* bytes; kv: of a value */
	uint32_t keys;	       /* kv, as the next two: see workload.h */
	const char *key_prefix;
	struct synod_workload_mix mix;
	enum synod_client_sort reads;
	uint32_t constant; /* open loop: 1: constant gaps; 0: Poisson */
	double rate_per_s; /* 0: closed loop */
	uint64_t nonce;	   /* random */
	uint64_t seed;	   /* of the schedule */
	uint64_t warmup_ns;
	uint64_t duration_ns;
	uint64_t retry_ns;    /* 0: the client's default */
	uint64_t deadline_ns; /* an operation's; also how long connecting and draining may take */
	uint64_t gap_ns;      /* silences at least so long are listed; 0: 20 ms */
	uint64_t bucket_ns;   /* acknowledgements are counted by times so long; 0: they are not */
	struct synod_acked *acked; /* where acknowledgements are noted until taken; NULL: nowhere */
	uint64_t acked_max; /* records there; twice `outstanding` suffice if taken each turn */
	struct synod_history *history; /* what each client saw; NULL: nowhere. Has more room than
					* `outstanding`, and records of synod_load_record_bytes */
	uint64_t history_client;       /* the number of the first client */
};

enum synod_load_phase {
	SYNOD_LOAD_CONNECTING,
	SYNOD_LOAD_WARMING,
	SYNOD_LOAD_MEASURING,
	SYNOD_LOAD_DRAINING,
	SYNOD_LOAD_DONE,
	SYNOD_LOAD_UNCONNECTED, /* no session within the deadline: over as well */
};

/* A time without acknowledgements, on the clock that turns were given. */
struct synod_load_gap {
	uint64_t begin_ns; /* the last acknowledgement before */
	uint64_t end_ns;   /* the first after */
};

struct synod_load_result {
	enum synod_load_phase phase;
	uint64_t submitted;
	uint64_t acked;		 /* took a position, in all phases */
	uint64_t acked_measured; /* of those, acknowledged while measuring */
	uint64_t unknown;	 /* deadline passed */
	uint64_t refused;	 /* FULL, NOT_LEADER at the end */
	uint64_t errors;	 /* any other status without a position */
	uint64_t blocked;	 /* open loop: waited because `outstanding` were under way */
	uint64_t notes_lost;	 /* acknowledgements that acked_max had no room for */
	uint64_t history_waits;	 /* turns not taken because the history had no room */
	uint64_t measured_ns;
	uint64_t connect_ns; /* until all sessions were open */
	double ops_per_s;    /* acked_measured over measured_ns */
	struct synod_load_gap gap_max;
	uint32_t gaps_count; /* may exceed what gaps holds */
	struct synod_load_gap gaps[SYNOD_LOAD_GAPS_MAX];
	uint64_t buckets_ns;	/* when the first bucket began */
	uint32_t buckets_count; /* before that of the last acknowledgement, which is not whole */
	uint32_t buckets[SYNOD_LOAD_BUCKETS_MAX];
	const struct synod_histogram *latency; /* valid as long as the generator */
	const struct synod_histogram *lag;     /* open loop */
	struct synod_client_counters client;   /* of all together */
	struct synod_fan_counters datagrams;   /* as they left and came: several clients' in one */
};

struct synod_load;

/* Bytes of memory (64-byte aligned) for such a run; acked apart. 0: config is out of range. */
size_t synod_load_size(const struct synod_load_config *config);

/* The bytes of its history's records. */
uint32_t synod_load_record_bytes(const struct synod_load_config *config);

/* Makes a generator there. Returns 0, or -EINVAL: also a payload larger than a datagram takes. */
int synod_load_init(struct synod_load **load, void *memory, const struct synod_load_config *config,
		    const struct synod_transport *transport) __attribute__((warn_unused_result));

/* One turn at now_ns (monotonic, never going back). Returns how many operations it moved. */
uint32_t synod_load_turn(struct synod_load *load, uint64_t now_ns);

/*
 * Acknowledgements noted since the last take, if there are at least `least`: sets records (valid
 * until the next turn) and returns how many, else 0.
 */
uint64_t synod_load_take_acked(struct synod_load *load, uint64_t least,
			       const struct synod_acked **records);

/* The phase; SYNOD_LOAD_DONE and above: no more turns. */
enum synod_load_phase synod_load_phase(const struct synod_load *load);

/*
 * When the next turn has something to do, if nothing arrives before. Of many sessions: of those
 * that it will look at; come again soon.
 */
uint64_t synod_load_deadline(const struct synod_load *load);

/* Ends the measurement now: what is under way is drained. */
void synod_load_stop(struct synod_load *load, uint64_t now_ns);

/* After the last turn: what is under way is noted in the history, its fate unknown. */
void synod_load_end_history(struct synod_load *load, uint64_t now_ns);

void synod_load_result(const struct synod_load *load, struct synod_load_result *result);

#endif

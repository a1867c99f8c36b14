/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the load generators of the peers share: a closed loop's arguments, its clock, its counts,
 * and the one line of JSON that each of them prints. So all peers are measured by the same rules:
 *
 *      warm-up │ measured for S seconds │ nothing new is issued; answers are waited for
 *      ────────┼────────────────────────┼──────────────────────────────
 *           begin_ns                 end_ns
 *
 * A write counts if its answer arrived within the measured time; its latency is from the call that
 * sent it to the return of the call that read its answer. Each lane is one thread's.
 */
#ifndef SYNOD_BENCH_PEERS_PEER_LOAD_H
#define SYNOD_BENCH_PEERS_PEER_LOAD_H

#include "engine/base/histogram.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	SYNOD_PEER_SERVERS_MAX = 7,
	SYNOD_PEER_LANES_MAX = 64,
	SYNOD_PEER_OUTSTANDING_MAX = 16384,
	SYNOD_PEER_PAYLOAD_MAX = 32768, /* a datagram, and far below what etcd and ZooKeeper take */
	SYNOD_PEER_DRAIN_SECONDS = 3,
};

struct synod_peer_load {
	const char *servers[SYNOD_PEER_SERVERS_MAX]; /* HOST:PORT */
	uint32_t servers_count;
	uint32_t payload_bytes;
	uint32_t outstanding;
	uint32_t lanes; /* connections, at most one for each outstanding write */
	double warmup_seconds;
	double seconds;
	uint64_t start_ns;
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t drained_ns; /* what is not answered by then is unanswered */
};

struct synod_peer_lane {
	struct synod_histogram latency; /* of the writes acknowledged within the measured time */
	uint64_t acked;			/* all, warm-up and drain too */
	uint64_t failed;		/* the peer answered with an error */
	uint64_t unanswered;		/* at the end of the drain */
	uint64_t resent;		/* requests sent again, where the transport loses them */
};

/*
 * Reads --servers HOST:PORT[,…] --payload BYTES --outstanding N --seconds S --warmup S --lanes N.
 * 0, or 2 after one line that says what is wrong.
 */
int synod_peer_load_parse(struct synod_peer_load *load, const char *name, int argc, char **argv)
	__attribute__((warn_unused_result));

/* CLOCK_MONOTONIC, ns. */
uint64_t synod_peer_load_now(void);

/* The warm-up begins. */
void synod_peer_load_start(struct synod_peer_load *load);

/* How many of the outstanding writes are lane number `index`'s. */
uint32_t synod_peer_load_share(const struct synod_peer_load *load, uint32_t index);

/* An answer that says yes. */
static inline void synod_peer_load_ack(const struct synod_peer_load *load,
				       struct synod_peer_lane *lane, uint64_t sent_ns,
				       uint64_t now_ns)
{
	lane->acked++;
	if (now_ns >= load->begin_ns && now_ns < load->end_ns)
		synod_histogram_record(&lane->latency, now_ns - sent_ns);
}

/* Adds the lanes up and prints the result. Returns the program's exit status. */
int synod_peer_load_print(const struct synod_peer_load *load, const struct synod_peer_lane *lanes);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Questions to one replica, answered from what it has applied: its status, and commands of the
 * ordered sequence. For tools: these functions block (they wait in the transport's idle and read
 * the monotonic clock), ask again every 100 ms, and return when answered or when time is up. Not on
 * a transport that a client is using at the same time: they take its datagrams.
 *
 * A question is as long as its longest answer (a replica never answers with more bytes than it was
 * asked with), so what fits an answer follows from the transport's datagram size.
 */
#ifndef SYNOD_CLIENT_QUERIES_H
#define SYNOD_CLIENT_QUERIES_H

#include "engine/client/transport.h"
#include "engine/wire/wire.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_query {
	const struct synod_transport *transport;
	uint64_t cluster;
	uint32_t replica; /* whom to ask, 1.. */
	uint32_t reserved;
	uint64_t timeout_ns;
};

/*
 * Asks for the status. Counters that this program knows and the replica does not are 0. Returns 0,
 * -ETIMEDOUT, or the transport's error (-EMSGSIZE: its datagrams are too small for a status).
 */
int synod_query_status(const struct synod_query *query, struct synod_wire_status *status)
	__attribute__((warn_unused_result));

/*
 * Asks a leader to hand over to replica `to`, or, with 0, to whoever is nearest to being able. OK
 * in status: it has begun, or what was asked before is still under way; that another leads shows in
 * the statuses, or not, when the successor could not take over within an election time. NOT_LEADER:
 * ask whoever leads. BAD_COMMAND: that one does not vote, or leads already, or (0) nobody is in
 * contact. Returns 0, -ETIMEDOUT, or the transport's error.
 */
int synod_query_handover(const struct synod_query *query, uint64_t to, uint64_t *status)
	__attribute__((warn_unused_result));

/* Which commands: from one on, and of the first from that byte on. */
struct synod_query_range {
	uint64_t position; /* from 1 */
	uint64_t count;	   /* at most, 1..UINT32_MAX */
	uint32_t offset;   /* 0 but to go on in a long command */
	uint32_t reserved;
};

/*
 * Commands of the sequence, in order and without gaps, as they came in one answer: whole ones, or
 * one piece of one that is longer (entry.total > entry.size), from the byte asked for.
 */
struct synod_query_tail {
	uint64_t position_first;   /* as asked */
	uint32_t offset_first;	   /* as asked; 0 in answers of whole commands */
	uint64_t position_applied; /* the replica's last; more than the entries: ask on */
	uint64_t position_kept;	   /* 0, or: what was asked for is trimmed; the first that is not */
	uint32_t count;		   /* entries; 0: the replica has none there (yet, or any more) */
	uint32_t size;		   /* bytes used of entries */
	uint8_t entries[SYNOD_FRAME_SIZE_MAX];
};

/*
 * Asks for commands. Fewer may come: ask on behind the last, or behind the piece. Returns 0,
 * -ETIMEDOUT, -EINVAL (position or count is out of its range) or the transport's error.
 */
int synod_query_tail(const struct synod_query *query, const struct synod_query_range *range,
		     struct synod_query_tail *tail) __attribute__((warn_unused_result));

/*
 * Walks an answer: *at is 0 at the beginning. Returns 1 and sets entry and data (into tail), or 0
 * at the end.
 */
int synod_query_tail_next(const struct synod_query_tail *tail, uint32_t *at,
			  struct synod_wire_tail *entry, const void **data);

#ifdef __cplusplus
}
#endif

#endif

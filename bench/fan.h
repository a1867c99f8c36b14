/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One transport for many clients of one thread: what arrives is dealt out by session.
 *
 *      transport ──receive──► fan ──┬──► client 0
 *                                   ├──► client 1     by the REPLY's session; the answer to a
 *                                   └──► client n     REGISTER by its nonce
 *
 * A turn is: take from the transport once, poll each client that was dealt something (and any
 * other, for its timers), note each that was polled, and again while there is more. What a client
 * has not received by the next take is lost to it, as datagrams may be. A client's flush does
 * nothing: synod_fan_flush lets all that a turn sent leave at once.
 *
 * Shared, it carries the requests of different clients in common datagrams (SYNOD_FLAG_SHARED) and
 * asks for answers alike, which it takes apart: clients see datagrams of their own both ways. Ten
 * thousand clients with an operation each send a hundred datagrams then, and not ten thousand.
 *
 * Nothing here costs more a datagram where there are more clients.
 */
#ifndef SYNOD_BENCH_FAN_H
#define SYNOD_BENCH_FAN_H

#include "engine/base/limits.h"
#include "engine/client/client.h"

#include <stddef.h>
#include <stdint.h>

enum {
	SYNOD_FAN_CLIENTS_MAX = SYNOD_SESSIONS_MAX,
	SYNOD_FAN_BURST = 64,
	/* Datagrams of a hundred clients each: a few hundred answers a turn are enough, or the
	 * replicas run dry meanwhile. */
	SYNOD_FAN_BURST_SHARED = 4,
	/* What one take deals out at most: a datagram of nothing but results has some 370. */
	SYNOD_FAN_PIECES_MAX = SYNOD_FAN_BURST * 384,
	/* Bytes of datagrams taken apart in one take: each result gets a header of its own. */
	SYNOD_FAN_ARENA_SIZE = SYNOD_FAN_BURST * 32 * 1024,
};

struct synod_fan;

/* A datagram of a client: as it came, or taken out of one. */
struct synod_fan_piece {
	struct synod_datagram datagram;
	uint32_t next; /* of the same client: + 1; 0: the last */
	uint32_t reserved;
};

/* A client's share: the context of its transport. */
struct synod_fan_share {
	struct synod_fan *fan;
	const struct synod_client *client; /* NULL until the caller has made it */
	uint64_t session;		   /* as noted last, 0: none */
	uint64_t nonce;
	uint32_t first; /* piece that it receives next, + 1; 0: none */
	uint32_t last;
	uint32_t dealt; /* 1: it is among those dealt to */
	struct synod_transport transport;
};

/* Whose a session, or a nonce, is; may be out of date. */
struct synod_fan_name {
	uint64_t key;
	uint32_t client; /* + 1; 0: free */
	uint32_t reserved;
};

/* Requests of different clients that leave together. */
struct synod_fan_pack {
	_Alignas(64) uint8_t bytes[SYNOD_FRAME_SIZE_MAX];
	uint32_t size; /* of the commands in it; 0: empty, and bytes' header is not set */
};

struct synod_fan_counters {
	uint64_t sent; /* datagrams to the transport */
	uint64_t received;
	uint64_t failures; /* the transport took no more: lost, to the clients */
};

struct synod_fan {
	const struct synod_transport *transport; /* the caller's, must outlive it */
	uint32_t clients;
	uint32_t shared;     /* 1: datagrams are */
	uint32_t names_mask; /* of the table of names, open-addressed */
	uint32_t names_used;
	uint32_t pieces_used;
	uint32_t arena_used;
	uint32_t dealt_count;
	uint32_t *dealt; /* whom the last take dealt something, each once */
	struct synod_fan_share *shares;
	struct synod_fan_name *names;
	struct synod_fan_piece *pieces;
	uint8_t *arena;
	struct synod_fan_pack *packs; /* by replica, 1.. */
	struct synod_fan_counters counters;
};

/* Bytes of memory, 64-byte aligned, for that many clients: 1..SYNOD_FAN_CLIENTS_MAX. */
size_t synod_fan_size(uint32_t clients);

/* Makes one there, whose datagrams are shared (1) or not (0). Returns it, typed. */
struct synod_fan *synod_fan_init(void *memory, const struct synod_transport *transport,
				 uint32_t clients, uint32_t shared);

/* What client i is to be given as its transport. */
const struct synod_transport *synod_fan_transport(const struct synod_fan *fan, uint32_t i);

/* Tells whose share i is, once there is a client. */
void synod_fan_belongs(struct synod_fan *fan, uint32_t i, const struct synod_client *client);

/* Client i was polled: its session may be another one now. */
void synod_fan_note(struct synod_fan *fan, uint32_t i);

/* Takes a burst from the transport and deals it out. Returns how many datagrams came. */
uint32_t synod_fan_take(struct synod_fan *fan);

/* Lets everything that clients sent leave. */
void synod_fan_flush(struct synod_fan *fan);

#endif

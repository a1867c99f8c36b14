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
};

struct synod_fan;

/* A client's share: the context of its transport. */
struct synod_fan_share {
	struct synod_fan *fan;
	const struct synod_client *client; /* NULL until the caller has made it */
	uint64_t session;		   /* as noted last, 0: none */
	uint64_t nonce;
	uint32_t count;
	uint32_t taken;
	uint8_t index[SYNOD_FAN_BURST]; /* of the datagrams that are its own */
	struct synod_transport transport;
};

/* Whose a session, or a nonce, is; may be out of date. */
struct synod_fan_name {
	uint64_t key;
	uint32_t client; /* + 1; 0: free */
	uint32_t reserved;
};

struct synod_fan {
	const struct synod_transport *transport; /* the caller's, must outlive it */
	uint32_t clients;
	uint32_t names_mask; /* of the table of names, open-addressed */
	uint32_t names_used;
	uint32_t dealt_count;
	uint32_t *dealt; /* whom the last take dealt something, each once */
	struct synod_fan_share *shares;
	struct synod_fan_name *names;
	struct synod_datagram datagrams[SYNOD_FAN_BURST];
};

/* Bytes of memory, 64-byte aligned, for that many clients: 1..SYNOD_FAN_CLIENTS_MAX. */
size_t synod_fan_size(uint32_t clients);

/* Makes one there. Returns it, typed. */
struct synod_fan *synod_fan_init(void *memory, const struct synod_transport *transport,
				 uint32_t clients);

/* What client i is to be given as its transport. */
const struct synod_transport *synod_fan_transport(const struct synod_fan *fan, uint32_t i);

/* Tells whose share i is, once there is a client. */
void synod_fan_belongs(struct synod_fan *fan, uint32_t i, const struct synod_client *client);

/* Client i was polled: its session may be another one now. */
void synod_fan_note(struct synod_fan *fan, uint32_t i);

/* Takes a burst from the transport and deals it out. Returns how many datagrams came. */
uint32_t synod_fan_take(struct synod_fan *fan);

/* Lets everything that clients sent leave. */
void synod_fan_flush(const struct synod_fan *fan);

#endif

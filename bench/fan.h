/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One transport for several clients of one thread: what arrives is dealt out by session.
 *
 *      transport ──receive──► fan ──┬──► client 0
 *                                   ├──► client 1     by the REPLY's session; what is of none
 *                                   └──► client n     (the answer to a REGISTER) goes to all
 *
 * A turn is: take from the transport once, then poll each client, and again while there is more.
 * What a client has not received by the next take is lost to it, as datagrams may be.
 */
#ifndef SYNOD_BENCH_FAN_H
#define SYNOD_BENCH_FAN_H

#include "engine/client/client.h"

#include <stdint.h>

enum {
	SYNOD_FAN_CLIENTS_MAX = 64,
	SYNOD_FAN_BURST = 64,
};

struct synod_fan;

/* A client's share: the context of its transport. */
struct synod_fan_share {
	struct synod_fan *fan;
	const struct synod_client *client; /* NULL until the caller has made it */
	uint32_t count;
	uint32_t taken;
	uint8_t index[SYNOD_FAN_BURST]; /* of the datagrams that are its own */
};

struct synod_fan {
	const struct synod_transport *transport; /* the caller's, must outlive it */
	uint32_t clients;
	uint32_t last; /* whose the last datagram was */
	struct synod_transport transports[SYNOD_FAN_CLIENTS_MAX];
	struct synod_fan_share shares[SYNOD_FAN_CLIENTS_MAX];
	struct synod_datagram datagrams[SYNOD_FAN_BURST];
};

/* Makes one for that many clients, 1..SYNOD_FAN_CLIENTS_MAX; each is given transports[i]. */
void synod_fan_init(struct synod_fan *fan, const struct synod_transport *transport,
		    uint32_t clients);

/* Tells whose share i is, once there is a client. */
void synod_fan_belongs(struct synod_fan *fan, uint32_t i, const struct synod_client *client);

/* Takes a burst from the transport and deals it out. Returns how many datagrams came. */
uint32_t synod_fan_take(struct synod_fan *fan);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* One transport for several clients. See fan.h. */
#include "bench/fan.h"

#include "engine/base/assert.h"
#include "engine/wire/wire.h"

#include <string.h>

_Static_assert(SYNOD_FAN_BURST <= UINT8_MAX + 1, "a share's index is a byte");

static int fan_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	const struct synod_fan_share *share = context;
	const struct synod_transport *below = share->fan->transport;

	return below->send(below->context, replica, data, size);
}

static void fan_flush(void *context)
{
	const struct synod_fan_share *share = context;
	const struct synod_transport *below = share->fan->transport;

	below->flush(below->context);
}

static unsigned int fan_receive(void *context, struct synod_datagram *datagrams, unsigned int max)
{
	struct synod_fan_share *share = context;
	unsigned int n = 0;

	synod_assert_cmp(share->taken, <=, share->count);
	while (n < max && share->taken < share->count)
		datagrams[n++] = share->fan->datagrams[share->index[share->taken++]];
	return n;
}

static void fan_idle(void *context, uint64_t timeout_ns)
{
	const struct synod_fan_share *share = context;
	const struct synod_transport *below = share->fan->transport;

	below->idle(below->context, timeout_ns);
}

void synod_fan_init(struct synod_fan *fan, const struct synod_transport *transport,
		    uint32_t clients)
{
	synod_assert(clients >= 1 && clients <= SYNOD_FAN_CLIENTS_MAX);
	memset(fan, 0, sizeof(*fan));
	fan->transport = transport;
	fan->clients = clients;
	for (uint32_t i = 0; i < clients; i++) {
		fan->shares[i].fan = fan;
		fan->transports[i] = (struct synod_transport){
			.context = &fan->shares[i],
			.datagram_size_max = transport->datagram_size_max,
			.send = fan_send,
			.flush = fan_flush,
			.receive = fan_receive,
			.idle = fan_idle,
		};
	}
}

void synod_fan_belongs(struct synod_fan *fan, uint32_t i, const struct synod_client *client)
{
	synod_assert_cmp(i, <, fan->clients);
	fan->shares[i].client = client;
}

static void deal(struct synod_fan *fan, uint32_t i, uint32_t datagram)
{
	struct synod_fan_share *share = &fan->shares[i];

	synod_assert_cmp(share->count, <, SYNOD_FAN_BURST);
	share->index[share->count++] = (uint8_t)datagram;
}

/* Whose session it is, or clients: nobody's. Replies come in runs: the last one is asked first. */
static uint32_t owner_of(struct synod_fan *fan, uint64_t session)
{
	for (uint32_t k = 0; session && k < fan->clients; k++) {
		uint32_t i = (fan->last + k) % fan->clients;

		if (fan->shares[i].client &&
		    synod_client_session(fan->shares[i].client) == session) {
			fan->last = i;
			return i;
		}
	}
	return fan->clients;
}

/* The session in the header, unverified: the client it goes to checks it all. */
static uint64_t session_of(const struct synod_datagram *datagram)
{
	struct synod_wire_header header;

	if (datagram->size < sizeof(header))
		return 0;
	memcpy(&header, datagram->data, sizeof(header));
	return header.slot;
}

uint32_t synod_fan_take(struct synod_fan *fan)
{
	const struct synod_transport *below = fan->transport;
	uint32_t n = below->receive(below->context, fan->datagrams, SYNOD_FAN_BURST);

	synod_assert_cmp(n, <=, SYNOD_FAN_BURST);
	for (uint32_t i = 0; i < fan->clients; i++)
		fan->shares[i].count = fan->shares[i].taken = 0;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t owner = owner_of(fan, session_of(&fan->datagrams[k]));

		if (owner < fan->clients)
			deal(fan, owner, k);
		else
			for (uint32_t i = 0; i < fan->clients; i++)
				deal(fan, i, k);
	}
	return n;
}

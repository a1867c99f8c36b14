/* SPDX-License-Identifier: BSD-3-Clause */
/* One transport for many clients. See fan.h. */
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

/* Not yet: a turn's datagrams leave together. */
static void fan_client_flush(void *context)
{
	(void)context;
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

static size_t line_round(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

/* A session and a nonce each, as many again that are out of date, and half of it empty. */
static uint32_t names_of(uint32_t clients)
{
	uint32_t count = 64;

	while (count < 8 * clients) /* at most 11 turns: 2^17 */
		count *= 2;
	return count;
}

size_t synod_fan_size(uint32_t clients)
{
	return line_round(sizeof(struct synod_fan)) +
	       line_round(clients * sizeof(struct synod_fan_share)) +
	       line_round(clients * sizeof(uint32_t)) +
	       names_of(clients) * sizeof(struct synod_fan_name);
}

struct synod_fan *synod_fan_init(void *memory, const struct synod_transport *transport,
				 uint32_t clients)
{
	struct synod_fan *fan = memory;
	uint8_t *at = memory;

	synod_assert(clients >= 1 && clients <= SYNOD_FAN_CLIENTS_MAX);
	memset(memory, 0, synod_fan_size(clients));
	fan->transport = transport;
	fan->clients = clients;
	fan->names_mask = names_of(clients) - 1;
	at += line_round(sizeof(*fan));
	fan->shares = (struct synod_fan_share *)(void *)at;
	at += line_round(clients * sizeof(*fan->shares));
	fan->dealt = (uint32_t *)(void *)at;
	at += line_round(clients * sizeof(*fan->dealt));
	fan->names = (struct synod_fan_name *)(void *)at;
	for (uint32_t i = 0; i < clients; i++) {
		fan->shares[i].fan = fan;
		fan->shares[i].transport = (struct synod_transport){
			.context = &fan->shares[i],
			.datagram_size_max = transport->datagram_size_max,
			.send = fan_send,
			.flush = fan_client_flush,
			.receive = fan_receive,
			.idle = fan_idle,
			.lost = transport->lost,
		};
	}
	return fan;
}

const struct synod_transport *synod_fan_transport(const struct synod_fan *fan, uint32_t i)
{
	synod_assert_cmp(i, <, fan->clients);
	return &fan->shares[i].transport;
}

/* The place of a key in the table, or a free one: half are. */
static struct synod_fan_name *name_of(const struct synod_fan *fan, uint64_t key)
{
	uint32_t at = (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 32) & fan->names_mask;

	while (fan->names[at].client && fan->names[at].key != key)
		at = (at + 1) & fan->names_mask;
	return &fan->names[at];
}

static void name(struct synod_fan *fan, uint64_t key, uint32_t i)
{
	struct synod_fan_name *at = name_of(fan, key);

	if (!key)
		return;
	fan->names_used += !at->client;
	at->key = key;
	at->client = i + 1;
}

/* Names that are out of date are left where they are until half of the table is used. */
static void maybe_name_all_again(struct synod_fan *fan)
{
	if (fan->names_used * 2 <= fan->names_mask)
		return;
	memset(fan->names, 0, ((size_t)fan->names_mask + 1) * sizeof(*fan->names));
	fan->names_used = 0;
	for (uint32_t i = 0; i < fan->clients; i++) {
		name(fan, fan->shares[i].session, i);
		name(fan, fan->shares[i].nonce, i);
	}
	synod_assert_cmp(fan->names_used * 2, <=, fan->names_mask);
}

void synod_fan_note(struct synod_fan *fan, uint32_t i)
{
	struct synod_fan_share *share = &fan->shares[i];
	uint64_t session = synod_client_session(share->client);
	uint64_t nonce = synod_client_nonce(share->client);

	if (session == share->session && nonce == share->nonce)
		return;
	share->session = session;
	share->nonce = nonce;
	name(fan, session, i);
	name(fan, nonce, i);
	maybe_name_all_again(fan);
}

void synod_fan_belongs(struct synod_fan *fan, uint32_t i, const struct synod_client *client)
{
	synod_assert_cmp(i, <, fan->clients);
	fan->shares[i].client = client;
	synod_fan_note(fan, i);
}

static void deal(struct synod_fan *fan, uint32_t i, uint32_t datagram)
{
	struct synod_fan_share *share = &fan->shares[i];

	if (share->count && share->index[share->count - 1] == datagram)
		return; /* two answers in it are this client's */
	synod_assert_cmp(share->count, <, SYNOD_FAN_BURST);
	if (!share->count)
		fan->dealt[fan->dealt_count++] = i;
	share->index[share->count++] = (uint8_t)datagram;
}

/* Whose session, or nonce, it is; where it is nobody's, the first is told, and counts a stray. */
static uint32_t owner_of(const struct synod_fan *fan, uint64_t key)
{
	const struct synod_fan_name *found = name_of(fan, key);

	return found->client ? found->client - 1 : 0;
}

/* Answers to REGISTERs, of as many clients as there are results. Unverified, as all here. */
static void deal_by_nonce(struct synod_fan *fan, const struct synod_datagram *datagram, uint32_t k)
{
	uint32_t at = SYNOD_HEADER_SIZE;
	struct synod_wire_result result;

	while (at + sizeof(result) <= datagram->size) { /* at most size / 24 turns */
		memcpy(&result, (const uint8_t *)datagram->data + at, sizeof(result));
		deal(fan, owner_of(fan, result.number), k);
		at += (uint32_t)sizeof(result) + SYNOD_WIRE_ALIGN((uint32_t)result.size);
	}
}

uint32_t synod_fan_take(struct synod_fan *fan)
{
	const struct synod_transport *below = fan->transport;
	uint32_t n = below->receive(below->context, fan->datagrams, SYNOD_FAN_BURST);

	synod_assert_cmp(n, <=, SYNOD_FAN_BURST);
	while (fan->dealt_count) {
		struct synod_fan_share *share = &fan->shares[fan->dealt[--fan->dealt_count]];

		share->count = share->taken = 0;
	}
	for (uint32_t k = 0; k < n; k++) {
		const struct synod_datagram *datagram = &fan->datagrams[k];
		struct synod_wire_header header = { 0 };

		/* Unverified: the client it goes to checks it all. */
		if (datagram->size >= sizeof(header))
			memcpy(&header, datagram->data, sizeof(header));
		if (header.slot || datagram->size < sizeof(header))
			deal(fan, owner_of(fan, header.slot), k);
		else
			deal_by_nonce(fan, datagram, k);
	}
	return n;
}

void synod_fan_flush(const struct synod_fan *fan)
{
	fan->transport->flush(fan->transport->context);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* One transport for many clients. See fan.h. */
#include "bench/fan.h"

#include "engine/base/assert.h"
#include "engine/wire/wire.h"

#include <string.h>

/* To the transport. Returns 0, or its -errno: then it is lost. */
static int send_below(struct synod_fan *fan, uint32_t replica, const void *data, uint32_t size)
{
	int failed = fan->transport->send(fan->transport->context, replica, data, size);

	fan->counters.sent += !failed;
	fan->counters.failures += failed != 0;
	return failed;
}

/* What was packed for a replica leaves, under the header of the first. */
static int send_pack(struct synod_fan *fan, uint32_t replica)
{
	struct synod_fan_pack *pack = &fan->packs[replica];
	struct synod_wire_header *header = (struct synod_wire_header *)(void *)pack->bytes;
	uint32_t size = pack->size;

	if (!size)
		return 0;
	pack->size = 0;
	header->flags = SYNOD_FLAG_SHARED;
	synod_wire_seal(header, NULL, pack->bytes + SYNOD_HEADER_SIZE, size);
	return send_below(fan, replica, pack->bytes, SYNOD_HEADER_SIZE + size);
}

/* The commands of a client's request may join those that are packed. */
static int goes_with(const struct synod_fan *fan, const struct synod_fan_pack *pack,
		     const uint8_t *request, uint32_t size)
{
	const struct synod_wire_header *first =
		(const struct synod_wire_header *)(const void *)pack->bytes;
	struct synod_wire_header header;
	uint32_t room = fan->transport->datagram_size_max - SYNOD_HEADER_SIZE;

	if (room > SYNOD_BATCH_SIZE_MAX)
		room = SYNOD_BATCH_SIZE_MAX;
	memcpy(&header, request, sizeof(header));
	return pack->size + size <= room && header.boot == first->boot &&
	       synod_wire_request_sort(request + SYNOD_HEADER_SIZE) ==
		       synod_wire_request_sort(pack->bytes + SYNOD_HEADER_SIZE);
}

static int fan_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	const struct synod_fan_share *share = context;
	struct synod_fan *fan = share->fan;
	struct synod_fan_pack *pack;
	uint32_t body = size - SYNOD_HEADER_SIZE;
	int failed = 0;

	if (!fan->shared || replica < 1 || replica > SYNOD_REPLICAS_MAX)
		return send_below(fan, replica, data, size);
	pack = &fan->packs[replica];
	synod_assert(size > SYNOD_HEADER_SIZE && size <= sizeof(pack->bytes));
	if (pack->size && !goes_with(fan, pack, data, body))
		failed = send_pack(fan, replica);
	if (!pack->size)
		memcpy(pack->bytes, data, SYNOD_HEADER_SIZE);
	memcpy(pack->bytes + SYNOD_HEADER_SIZE + pack->size,
	       (const uint8_t *)data + SYNOD_HEADER_SIZE, body);
	pack->size += body;
	(void)failed; /* others' datagrams: lost, and counted */
	return 0;
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

	for (; n < max && share->first; n++) {
		const struct synod_fan_piece *piece = &share->fan->pieces[share->first - 1];

		datagrams[n] = piece->datagram;
		share->first = piece->next;
	}
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
	       names_of(clients) * sizeof(struct synod_fan_name) +
	       line_round(SYNOD_FAN_PIECES_MAX * sizeof(struct synod_fan_piece)) +
	       (SYNOD_REPLICAS_MAX + 1) * sizeof(struct synod_fan_pack) + SYNOD_FAN_ARENA_SIZE;
}

/* A piece of the memory that follows. */
static void *take(uint8_t **at, size_t size)
{
	void *taken = *at;

	*at += line_round(size);
	return taken;
}

struct synod_fan *synod_fan_init(void *memory, const struct synod_transport *transport,
				 uint32_t clients, uint32_t shared)
{
	uint8_t *at = memory;
	struct synod_fan *fan = take(&at, sizeof(*fan));

	synod_assert(clients >= 1 && clients <= SYNOD_FAN_CLIENTS_MAX);
	memset(memory, 0, synod_fan_size(clients));
	fan->transport = transport;
	fan->clients = clients;
	fan->shared = shared;
	fan->names_mask = names_of(clients) - 1;
	fan->shares = take(&at, clients * sizeof(*fan->shares));
	fan->dealt = take(&at, clients * sizeof(*fan->dealt));
	fan->names = take(&at, names_of(clients) * sizeof(*fan->names));
	fan->pieces = take(&at, SYNOD_FAN_PIECES_MAX * sizeof(*fan->pieces));
	fan->packs = take(&at, (SYNOD_REPLICAS_MAX + 1) * sizeof(*fan->packs));
	fan->arena = take(&at, SYNOD_FAN_ARENA_SIZE);
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

/* Whose session, or nonce, it is; where it is nobody's, the first is told, and counts a stray. */
static uint32_t owner_of(const struct synod_fan *fan, uint64_t key)
{
	const struct synod_fan_name *found = name_of(fan, key);

	return found->client ? found->client - 1 : 0;
}

/* Deals it to client i, unless there is no room for that: then it is lost. */
static void deal(struct synod_fan *fan, uint32_t i, const struct synod_datagram *datagram)
{
	struct synod_fan_share *share = &fan->shares[i];
	uint32_t piece = fan->pieces_used;

	if (share->first && fan->pieces[share->last - 1].datagram.data == datagram->data)
		return; /* two answers in it are this client's */
	if (piece == SYNOD_FAN_PIECES_MAX)
		return;
	fan->pieces_used++;
	fan->pieces[piece] = (struct synod_fan_piece){ .datagram = *datagram };
	if (!share->dealt)
		fan->dealt[fan->dealt_count++] = i;
	share->dealt = 1;
	if (share->first)
		fan->pieces[share->last - 1].next = piece + 1;
	else
		share->first = piece + 1;
	share->last = piece + 1;
}

/* The result that stands there, or 0: what stands there is none. Unverified. */
static uint32_t result_at(const uint8_t *bytes, uint32_t size, struct synod_wire_result *result)
{
	uint32_t all;

	if (size < sizeof(*result))
		return 0;
	memcpy(result, bytes, sizeof(*result));
	all = (uint32_t)sizeof(*result) + SYNOD_WIRE_ALIGN((uint32_t)result->size);
	return all <= size ? all : 0;
}

/* Answers to REGISTERs, of as many clients as there are results. */
static void deal_by_nonce(struct synod_fan *fan, const struct synod_datagram *datagram)
{
	const uint8_t *bytes = datagram->data;
	uint32_t at = SYNOD_HEADER_SIZE;
	struct synod_wire_result result;
	uint32_t size;

	while ((size = result_at(bytes + at, datagram->size - at, &result))) {
		deal(fan, owner_of(fan, result.number), datagram); /* at most size / 24 turns */
		at += size;
	}
}

/* A run of results of one session as a datagram of its own. */
static void deal_run(struct synod_fan *fan, const struct synod_datagram *datagram, uint64_t session,
		     uint32_t at, uint32_t end)
{
	struct synod_wire_header *header =
		(struct synod_wire_header *)(void *)(fan->arena + fan->arena_used);
	uint8_t *to = fan->arena + fan->arena_used + SYNOD_HEADER_SIZE;
	const uint8_t *bytes = datagram->data;
	struct synod_wire_result result = { 0 };
	struct synod_datagram own = { .data = header, .replica = datagram->replica };
	uint32_t body = 0;

	if (fan->arena_used + SYNOD_HEADER_SIZE + end - at > SYNOD_FAN_ARENA_SIZE)
		return; /* lost */
	memcpy(header, bytes, SYNOD_HEADER_SIZE);
	header->slot = session;
	header->flags = 0;
	while (at < end) { /* at most size / 32 turns: they were looked at before */
		uint32_t size = result_at(bytes + at + sizeof(session),
					  end - at - (uint32_t)sizeof(session), &result);

		synod_assert(size != 0);
		memcpy(to + body, bytes + at + sizeof(session), size);
		body += size;
		at += (uint32_t)sizeof(session) + size;
	}
	synod_wire_seal(header, NULL, to, body);
	own.size = SYNOD_HEADER_SIZE + body;
	fan->arena_used += SYNOD_WIRE_ALIGN(own.size);
	deal(fan, owner_of(fan, session ? session : result.number), &own);
}

/* Takes a datagram of several sessions apart. Verified first: what is dealt is sealed anew. */
static void deal_shared(struct synod_fan *fan, const struct synod_datagram *datagram,
			uint64_t cluster)
{
	const uint8_t *bytes = datagram->data;
	uint32_t at = SYNOD_HEADER_SIZE;
	uint32_t begin = at; /* of the run */
	struct synod_wire_result result;
	struct synod_wire_view view;
	uint64_t of_run = 0;

	if (synod_wire_decode(bytes, datagram->size, cluster, 0, &view) != 0)
		return;
	while (at + sizeof(of_run) <= datagram->size) { /* at most size / 32 turns */
		uint64_t session;
		uint32_t size;

		memcpy(&session, bytes + at, sizeof(session));
		size = result_at(bytes + at + sizeof(session),
				 datagram->size - at - (uint32_t)sizeof(session), &result);
		if (!size)
			break;
		if (at > begin && (session != of_run || !session)) {
			deal_run(fan, datagram, of_run, begin, at);
			begin = at;
		}
		of_run = session;
		at += (uint32_t)sizeof(session) + size;
	}
	if (at > begin)
		deal_run(fan, datagram, of_run, begin, at);
}

/* What was dealt out before is no longer there. */
static void take_back(struct synod_fan *fan)
{
	while (fan->dealt_count) { /* each was dealt something */
		struct synod_fan_share *share = &fan->shares[fan->dealt[--fan->dealt_count]];

		share->first = share->last = share->dealt = 0;
	}
	fan->pieces_used = fan->arena_used = 0;
}

uint32_t synod_fan_take(struct synod_fan *fan)
{
	const struct synod_transport *below = fan->transport;
	struct synod_datagram datagrams[SYNOD_FAN_BURST];
	uint32_t most = fan->shared ? SYNOD_FAN_BURST_SHARED : SYNOD_FAN_BURST;
	uint32_t n = below->receive(below->context, datagrams, most);

	synod_assert_cmp(n, <=, most);
	fan->counters.received += n;
	take_back(fan);
	for (uint32_t k = 0; k < n; k++) {
		struct synod_wire_header header = { 0 };

		/* Unverified: the client it goes to checks it all. */
		if (datagrams[k].size >= sizeof(header))
			memcpy(&header, datagrams[k].data, sizeof(header));
		if (datagrams[k].size < sizeof(header))
			deal(fan, 0, &datagrams[k]);
		else if (header.type == SYNOD_REPLY && header.flags & SYNOD_FLAG_SHARED)
			deal_shared(fan, &datagrams[k], header.cluster);
		else if (header.slot)
			deal(fan, owner_of(fan, header.slot), &datagrams[k]);
		else
			deal_by_nonce(fan, &datagrams[k]);
	}
	return n;
}

void synod_fan_flush(struct synod_fan *fan)
{
	for (uint32_t replica = 1; replica <= SYNOD_REPLICAS_MAX; replica++)
		(void)send_pack(fan, replica);
	fan->transport->flush(fan->transport->context);
}

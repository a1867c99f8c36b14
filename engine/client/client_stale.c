/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stale reads. Each goes to the replica that it names, whoever leads and whether anybody does, in a
 * datagram of its own; what follows the leader (client_send.c) passes them over.
 */
#include "engine/base/assert.h"
#include "engine/client/client_internal.h"

static void send_one(struct synod_client *client, uint64_t number, uint64_t now_ns)
{
	synod_assert_cmp(client->packet_size, ==, 0);
	synod_client_pack(client, number, now_ns);
	(void)synod_client_packet_send(client, client_slot(client, number)->op->replica);
}

void synod_client_stale_send(struct synod_client *client, uint64_t now_ns)
{
	uint64_t end = client->number_next;
	uint64_t due_ns = UINT64_MAX;

	if (!client->stale_waiting || !client->session || now_ns < client->stale_due_ns)
		return;
	for (uint64_t number = client->number_oldest; number < end; number++) {
		const struct client_slot *slot = client_slot(client, number);

		if (!client_is_stale(slot))
			continue;
		if (slot->due_ns <= now_ns)
			send_one(client, number, now_ns);
		if (slot->due_ns < due_ns)
			due_ns = slot->due_ns;
	}
	client->stale_due_ns = due_ns;
}

void synod_client_stale_refused(struct synod_client *client, uint64_t number, uint16_t status,
				uint64_t now_ns)
{
	struct client_slot *slot = client_slot(client, number);

	/*
	 * A replica that lags may not have heard of the session yet: it is not evicted for that.
	 * But the replica may be right, and nobody else be asked anything: then the leader must
	 * tell.
	 */
	if (status == SYNOD_SESSION_EVICTED && !client->doubt_ns)
		client->doubt_ns = now_ns + client->retry_ns;
	slot->refusal = status == SYNOD_SESSION_EVICTED ? SYNOD_BUSY : status;
	slot->refusals = (uint8_t)(slot->refusals + (slot->refusals < UINT8_MAX));
	slot->due_ns = now_ns + client->retry_ns / CLIENT_TICKS_PER_RETRY;
	if (slot->due_ns < client->stale_due_ns)
		client->stale_due_ns = slot->due_ns;
}

int synod_client_doubts(const struct synod_client *client, uint64_t now_ns)
{
	return client->session && client->stale_waiting && client->doubt_ns &&
	       now_ns >= client->doubt_ns;
}

uint64_t synod_client_oldest_asked(const struct synod_client *client)
{
	uint64_t number = client->number_oldest;

	for (; number < client->number_next; number++) { /* at most as many as there are slots */
		const struct client_slot *slot = client_slot(client, number);

		if (slot->op && !client_is_stale(slot))
			break;
	}
	return number;
}

int synod_client_asks_leader(struct synod_client *client)
{
	if (!client->stale_waiting)
		return client->number_oldest != client->number_next;
	return synod_client_oldest_asked(client) != client->number_next;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Operations that do not fit a datagram: sent in parts, one operation at a time, several parts
 * under way. The replicas take a part only where the one before it ended and answer each with how
 * far they are:
 *
 *      0 ........ have ................ next ......... size
 *         taken    │    sent, no answer   │   to be sent
 *                  └ goes on with answers └ at most window parts ahead of have
 *
 * An answer that brings nothing new says that a part before was lost: next goes back to have, once;
 * the answers to what was under way say the same again and are passed over until have has come to
 * where next had been. Where answers stay away, or say less than have (the buffer was taken away,
 * or the answer is only late), a timer goes back to what was said last. Each going back halves the
 * window, since what overtakes or is lost costs all that is under way behind it; answers let it
 * grow again. The last part's answer is the operation's.
 */
#include "engine/base/assert.h"
#include "engine/client/client_internal.h"

#include <string.h>

uint32_t synod_client_part_size(const struct synod_client *client)
{
	const uint32_t headers = SYNOD_COMMAND_HEADER_SIZE + SYNOD_PART_HEADER_SIZE;

	return client->body_size_max > headers ? client->body_size_max - headers : 0;
}

/* The lowest large operation without an answer, if the session's window lets it go. 0: none. */
static uint64_t first_large(const struct synod_client *client)
{
	uint64_t end = client_sendable_end(client);
	uint64_t number = client->number_oldest;

	while (number < end && (!client_slot(client, number)->op ||
				!client_is_large(client, client_slot(client, number)->op)))
		number++; /* at most the session's window */
	return number < end ? number : 0;
}

/* The operation in transfer: the one at hand, or the first. 0: none. */
static uint64_t pick(struct synod_client *client)
{
	struct client_large *large = &client->large;
	uint64_t number;

	if (large->number || !large->pending)
		return large->number;
	number = first_large(client);
	if (!number)
		return 0;
	*large = (struct client_large){
		.number = number,
		.pending = large->pending,
		.window = large->window,
	};
	return number;
}

/* Puts the part that begins at an offset into the packet. Returns its size, or 0: no room there. */
static uint32_t append_part(struct synod_client *client, uint64_t number, uint32_t offset)
{
	struct client_slot *slot = client_slot(client, number);
	uint32_t left = slot->op->size - offset;
	uint32_t most = synod_client_part_size(client);
	uint32_t size = left < most ? left : most;
	const struct synod_wire_part part = { .offset = offset, .total = slot->op->size };
	struct synod_wire_command command = {
		.session = client->session,
		.number = number,
		.size = (uint32_t)sizeof(part) + size,
		.kind = SYNOD_COMMAND_PART,
	};
	const struct client_bytes bytes[] = {
		{ &part, sizeof(part) },
		{ (const uint8_t *)slot->op->data + offset, size },
	};

	synod_assert_cmp(offset, <, slot->op->size);
	if (!client_packet_holds(client, SYNOD_CLIENT_COMMAND, command.size))
		return 0;
	synod_client_packet_append(client, &command, bytes, 2);
	client->counters.parts_sent++;
	client->counters.parts_repeated += offset < client->large.sent;
	slot->copies = (uint8_t)(slot->copies + (slot->copies < UINT8_MAX));
	slot->waits = 0;
	if (offset + size > client->large.sent)
		client->large.sent = offset + size;
	return size;
}

/* Bytes that may be under way beyond what the replicas have. */
static uint32_t ahead_max(const struct synod_client *client)
{
	return client->large.window * synod_client_part_size(client);
}

static void go_back(struct client_large *large, uint32_t to)
{
	large->next = to;
	large->answers = 0;
	large->window = large->window > 1 ? large->window / 2 : 1;
}

static void go_on(struct client_large *large, uint32_t have)
{
	large->have = have;
	large->stalls = 0;
	if (++large->answers < large->window)
		return;
	large->answers = 0;
	large->window += large->window < CLIENT_PARTS_MAX;
}

int synod_client_large_ready(const struct synod_client *client, uint64_t now_ns)
{
	const struct client_large *large = &client->large;
	const struct client_slot *slot;

	if (!large->number)
		return large->pending != 0 && first_large(client) != 0;
	slot = client_slot(client, large->number);
	return !(slot->waits && slot->due_ns > now_ns) && large->next < slot->op->size &&
	       large->next - large->have < ahead_max(client);
}

static void wait_for_answers(struct synod_client *client, uint64_t now_ns)
{
	struct client_large *large = &client->large;
	uint32_t shift =
		large->stalls < CLIENT_BACKOFF_SHIFT_MAX ? large->stalls : CLIENT_BACKOFF_SHIFT_MAX;

	large->due_ns = now_ns + (client->retry_ns << shift);
}

void synod_client_large_send(struct synod_client *client, uint64_t now_ns)
{
	uint64_t number = pick(client);
	struct client_large *large = &client->large;
	uint32_t part;

	if (!number || !synod_client_large_ready(client, now_ns))
		return;
	if (large->next == large->have)
		wait_for_answers(client, now_ns);
	for (part = 0; part < CLIENT_PARTS_MAX && synod_client_large_ready(client, now_ns);
	     part++) {
		uint32_t size = append_part(client, number, large->next);

		/* The packet is empty where this begins, and a part fits an empty one. */
		synod_assert(size != 0);
		if (synod_client_target_send(client, now_ns)) {
			client->counters.parts_sent--;
			return; /* the transport takes no more: from here on at the next turn */
		}
		large->next += size;
	}
}

void synod_client_large_probe(struct synod_client *client, uint64_t number)
{
	if (pick(client) == number)
		(void)append_part(client, number, client->large.have);
}

void synod_client_large_follow(struct synod_client *client)
{
	struct client_large *large = &client->large;

	large->next = large->have;
	large->recover = 0;
	large->stalls = 0;
}

int synod_client_large_progress(struct synod_client *client, uint64_t number, uint32_t have,
				uint64_t now_ns)
{
	struct client_large *large = &client->large;

	if (number != large->number || have > client_slot(client, number)->op->size)
		return -1;
	large->reported = have;
	if (have < large->have)
		return 0; /* late; or if it is true, the timer comes to it */
	if (large->next < have)
		large->next = have;
	if (large->recover && have >= large->recover)
		large->recover = 0;
	if (have > large->have) {
		go_on(large, have);
		wait_for_answers(client, now_ns);
	} else if (!large->recover && large->next > have) {
		large->recover = large->next;
		go_back(large, have);
	}
	return 0;
}

void synod_client_large_tick(struct synod_client *client, uint64_t now_ns)
{
	struct client_large *large = &client->large;
	const struct client_slot *slot = client_slot(client, large->number);

	if (!large->number || now_ns < large->due_ns || (slot->waits && slot->due_ns > now_ns))
		return;
	large->have = large->reported;
	go_back(large, large->have);
	large->recover = 0;
	large->stalls++;
	wait_for_answers(client, now_ns);
}

void synod_client_large_ended(struct synod_client *client, uint64_t number)
{
	struct client_large *large = &client->large;

	synod_assert(large->pending > 0);
	large->pending--;
	if (number == large->number)
		large->number = 0;
}

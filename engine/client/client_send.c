/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What leaves the client: new operations, repeated ones, probes; each packed with as many others as
 * a datagram holds. A send that the transport refuses is a lost datagram; where new operations are
 * concerned the cursor goes back, so that they leave at the next turn and not after retry_ns.
 */
#include "engine/base/assert.h"
#include "engine/client/client_internal.h"

#include <string.h>

int synod_client_packet_send(struct synod_client *client, uint32_t to)
{
	struct synod_wire_header *header = (struct synod_wire_header *)client->packet;
	uint32_t body_size = client->packet_size;
	int error;

	if (!body_size)
		return 0;
	memset(header, 0, sizeof(*header));
	header->type = SYNOD_REQUEST;
	header->cluster = client->cluster;
	header->receiver = (uint16_t)to;
	header->boot = client->boots[to];
	synod_wire_seal(header, NULL, client->packet + sizeof(*header), body_size);
	client->packet_size = 0;
	error = client->transport->send(client->transport->context, to, client->packet,
					(uint32_t)sizeof(*header) + body_size);
	if (error)
		client->counters.send_failures++;
	else
		client->counters.datagrams_sent++;
	return error;
}

int synod_client_target_send(struct synod_client *client, uint64_t now_ns)
{
	int nothing = client->packet_size == 0;
	int error = synod_client_packet_send(client, client->target);

	if (!error && !nothing && !client->asked_ns)
		client->asked_ns = now_ns;
	return error;
}

void synod_client_packet_append(struct synod_client *client,
				const struct synod_wire_command *command,
				const struct client_bytes *pieces, uint32_t count)
{
	uint8_t *to = client->packet + SYNOD_HEADER_SIZE + client->packet_size;

	synod_assert_cmp(client->packet_size + synod_wire_command_size(command), <=,
			 client->body_size_max);
	memcpy(to, command, sizeof(*command));
	to += sizeof(*command);
	if (command->size % 8) /* the padding; the data overwrites the rest */
		memset(to + (command->size & ~7u), 0, 8);
	for (; count; count--, pieces++) {
		if (pieces->size)
			memcpy(to, pieces->data, pieces->size);
		to += pieces->size;
	}
	client->packet_size += synod_wire_command_size(command);
	client->packet_sort =
		command->kind == SYNOD_COMMAND_PART ? SYNOD_CLIENT_COMMAND : command->kind;
}

void synod_client_pack(struct synod_client *client, uint64_t number, uint64_t now_ns)
{
	struct client_slot *slot = client_slot(client, number);
	struct synod_wire_command command = {
		.session = client->session,
		.number = number,
		.size = slot->op->size,
		.kind = (uint8_t)slot->op->sort,
	};
	const struct client_bytes bytes = { slot->op->data, slot->op->size };

	synod_client_packet_append(client, &command, &bytes, 1);
	client->counters.commands_sent++;
	if (slot->copies) {
		client->counters.commands_repeated++;
		slot->due_ns = synod_client_pace_due_ns(client, slot->copies, now_ns);
		if (client->pace.timed == number)
			client->pace.timed = 0; /* which copy is answered nobody could tell */
	} else {
		slot->due_ns = now_ns + client->pace.patience_ns;
		if (command.kind != SYNOD_COMMAND_READ_STALE)
			client_pace_sent(client, number, now_ns);
	}
	slot->copies = (uint8_t)(slot->copies + (slot->copies < UINT8_MAX));
	slot->waits = 0;
}

/* The packet did not leave: its operations are again where they were before they were packed. */
static void unpack(struct synod_client *client, uint64_t first)
{
	uint64_t number;

	for (number = first; number < client->number_cursor; number++) {
		struct client_slot *slot = client_slot(client, number);

		if (!slot->op || client_is_stale(slot) || client_is_large(client, slot->op) ||
		    slot->waits || slot->copies == UINT8_MAX)
			continue;
		slot->copies--;
		client->pace.asked -= slot->copies == 0;
		if (client->pace.timed == number)
			client->pace.timed = 0;
		client->counters.commands_sent--;
		client->counters.commands_repeated -= slot->copies != 0;
	}
	client->number_cursor = first;
}

/* Everything from the cursor on, to the replica we follow. */
static void send_from_cursor(struct synod_client *client, uint64_t now_ns)
{
	uint64_t packet_first = client->number_cursor;
	uint64_t end = client_sendable_end(client);
	uint32_t datagrams = 0;

	while (client->number_cursor < end) { /* at most the session's window */
		uint64_t number = client->number_cursor;
		const struct client_slot *slot = client_slot(client, number);

		if (slot->op && !client_is_stale(slot) && !client_is_large(client, slot->op) &&
		    !(slot->waits && slot->due_ns > now_ns)) {
			if (!slot->copies && !client_has_room(client))
				break;
			if (!client_packet_holds(client, slot->op->sort, slot->op->size)) {
				if (synod_client_target_send(client, now_ns)) {
					unpack(client, packet_first);
					return;
				}
				packet_first = number;
				if (++datagrams == CLIENT_SEND_MAX)
					return;
			}
			synod_client_pack(client, number, now_ns);
		}
		client->number_cursor++;
	}
	if (synod_client_target_send(client, now_ns))
		unpack(client, packet_first);
}

static void send_register(struct synod_client *client, uint64_t now_ns)
{
	const struct synod_wire_identity identity = {
		.identity = client->identity,
		.incarnation = client->incarnation,
	};
	const struct client_bytes bytes = { &identity, client->identity ? sizeof(identity) : 0 };
	struct synod_wire_command command = {
		.number = client->nonce,
		.size = client->identity ? sizeof(identity) : 0,
		.kind = SYNOD_COMMAND_REGISTER,
	};

	synod_client_packet_append(client, &command, &bytes, 1);
	(void)synod_client_target_send(client, now_ns);
}

/*
 * The oldest operations, as many as one datagram holds: one alone may be answered when its deadline
 * has just passed, again and again, and nothing be learned from it (simulator, seed 106043).
 * Returns how many.
 */
static uint32_t send_oldest(struct synod_client *client, uint64_t now_ns)
{
	uint64_t end = client_sendable_end(client);
	uint64_t number;
	uint32_t count = 0;

	for (number = client->number_oldest; number < end; number++) {
		const struct client_slot *slot = client_slot(client, number);

		if (!slot->op || client_is_stale(slot))
			continue;
		if (client_is_large(client, slot->op)) {
			synod_client_large_probe(client, number);
			continue;
		}
		if (!client_packet_holds(client, slot->op->sort, slot->op->size) ||
		    (!slot->copies && !client_has_room(client)))
			break;
		synod_client_pack(client, number, now_ns);
		count++;
	}
	(void)synod_client_target_send(client, now_ns);
	return count;
}

/* When to probe next: not before an answer may have come, unless none can come. */
static uint64_t probe_due_ns(const struct synod_client *client, uint64_t now_ns)
{
	uint64_t soon_ns = client->probed_ns + client_probe_pace_ns(client, now_ns);

	if (client->probe_out && soon_ns < client->probe_ns &&
	    client_is_lost(client, client->target))
		return soon_ns;
	return client->probe_ns;
}

/* Asks target, or gives up on it and asks another. */
static void probe(struct synod_client *client, uint64_t now_ns)
{
	if (now_ns < probe_due_ns(client, now_ns) || client->fenced)
		return;
	if (client->session && !synod_client_asks_leader(client) &&
	    !synod_client_doubts(client, now_ns)) {
		client->probe_out = 0; /* nobody waits: ask when somebody does */
		return;
	}
	if (client->probe_out) {
		client->counters.silences += now_ns >= client->probe_ns;
		client->silent = client->target;
		client->silent_until_ns = now_ns + CLIENT_SILENT_RETRIES * client->retry_ns;
		client->target = synod_client_next_replica(client, now_ns);
	}
	/* What is executed in the session tells as well that it is open. */
	if (!client->session || !send_oldest(client, now_ns))
		send_register(client, now_ns);
	client->probe_out = 1;
	client->probed_ns = now_ns;
	client->probe_ns = now_ns + client->retry_ns;
}

void synod_client_send(struct synod_client *client, uint64_t now_ns)
{
	synod_assert_cmp(client->packet_size, ==, 0);
	synod_assert_cmp(client->number_cursor, >=, client->number_oldest);
	synod_client_stale_send(client, now_ns);
	if (client->seeking) {
		probe(client, now_ns);
		return;
	}
	send_from_cursor(client, now_ns);
	if (!client->packet_size)
		synod_client_large_send(client, now_ns);
	if (!client->seeking && synod_client_doubts(client, now_ns)) {
		send_register(client, now_ns);
		client->doubt_ns = now_ns + client->retry_ns;
	}
}

static void expire(struct synod_client *client, uint64_t now_ns)
{
	uint64_t number;
	uint64_t end = client->number_next;

	for (number = client->number_oldest; number < end; number++) {
		const struct synod_client_op *op = client_slot(client, number)->op;

		if (!op)
			continue;
		/* Submitted in this order: what follows a young one is younger. */
		if (now_ns - op->submitted_ns < client->deadline_ns)
			break;
		client->counters.deadlines_passed++;
		synod_client_give_up(client, number, now_ns);
	}
}

/*
 * The leader was asked and has said nothing since for too long: it is taken for lost. Not told by
 * what is still unanswered: with deadlines shorter than that nothing would be left to tell it by.
 * It is asked once more all the same: if only a datagram was lost, its answer ends the search.
 */
static void give_up_leader(struct synod_client *client, uint64_t now_ns)
{
	(void)send_oldest(client, now_ns);
	client->counters.silences++;
	client->silent = client->target;
	client->silent_until_ns = now_ns + CLIENT_SILENT_RETRIES * client->retry_ns;
	synod_client_seek(client, synod_client_next_replica(client, now_ns), now_ns);
}

/* Sends again what is due. */
static void repeat(struct synod_client *client, uint64_t now_ns)
{
	uint64_t number;

	for (number = client->number_oldest; number < client->number_cursor; number++) {
		const struct client_slot *slot = client_slot(client, number);

		if (!slot->op || client_is_stale(slot) || client_is_large(client, slot->op) ||
		    slot->due_ns > now_ns)
			continue;
		if (!client_packet_holds(client, slot->op->sort, slot->op->size))
			(void)synod_client_target_send(client, now_ns);
		synod_client_pack(client, number, now_ns);
	}
	(void)synod_client_target_send(client, now_ns);
}

void synod_client_tick(struct synod_client *client, uint64_t now_ns)
{
	uint64_t silence_ns = client->asked_ns ? now_ns - client->asked_ns : 0;

	client->tick_ns = now_ns + client->tick_period_ns;
	client->excused = 0;
	if (client->deadline_ns)
		expire(client, now_ns);
	if (client->seeking)
		return;
	if (silence_ns >= client->pace.patience_ns) {
		give_up_leader(client, now_ns);
		return;
	}
	if (silence_ns >= client->pace.patience_ns / 2)
		return; /* not one is unanswered, but all: it is slow, or gone */
	repeat(client, now_ns);
	synod_client_large_tick(client, now_ns);
}

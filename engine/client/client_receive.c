/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What comes back to the client. Every datagram is checked before it is believed, and may be late,
 * a copy, or of another session: a result counts only if its operation still waits for it.
 */
#include "engine/base/assert.h"
#include "engine/base/random.h"
#include "engine/client/client_internal.h"

#include <string.h>

/* A reply being read. */
struct reply {
	uint32_t from;	 /* replica */
	uint64_t leader; /* as it says, in a refusal */
	uint64_t now_ns;
};

static int is_target(const struct synod_client *client, const struct reply *reply)
{
	return reply->from == client->target && (!client->seeking || client->probe_out);
}

/* Target says that it does not lead: ask whom it names, unless that one was silent just now. */
static void on_not_leader(struct synod_client *client, const struct reply *reply)
{
	uint64_t named = reply->leader;

	if (!is_target(client, reply))
		return; /* old news */
	if (named < 1 || named > client->replicas || named == client->target ||
	    client_is_lost(client, (uint32_t)named) ||
	    (named == client->silent && reply->now_ns < client->silent_until_ns))
		named = synod_client_next_replica(client, reply->now_ns);
	synod_client_seek(client, (uint32_t)named, reply->now_ns);
}

static void count_refusal(struct synod_client *client, uint16_t status)
{
	if (status == SYNOD_BUSY)
		client->counters.refused_busy++;
	else if (status == SYNOD_FULL)
		client->counters.refused_full++;
	else
		client->counters.refused_not_leader++;
}

/* How long to wait: what the replica says, within reason; else longer after each refusal. */
static uint64_t wait_of(const struct synod_client *client, const struct synod_wire_result *result,
			uint32_t refusals)
{
	uint64_t least_ns = client->retry_ns / CLIENT_TICKS_PER_RETRY;
	uint64_t most_ns = client->retry_ns << CLIENT_BACKOFF_SHIFT_MAX;
	uint64_t hint_ns = result->retry_us * UINT64_C(1000);

	if (result->status != SYNOD_BUSY || !hint_ns)
		return least_ns << (refusals < CLIENT_BACKOFF_SHIFT_MAX ? refusals
									: CLIENT_BACKOFF_SHIFT_MAX);
	/* Up to half as long again, by client: those who were refused together come apart. */
	hint_ns += hint_ns * (client->spread & 63) / 128;
	if (hint_ns < least_ns / CLIENT_TICKS_PER_RETRY)
		return least_ns / CLIENT_TICKS_PER_RETRY;
	return hint_ns < most_ns ? hint_ns : most_ns;
}

/* BUSY and FULL come from a leader: the operation waits a little. */
static void on_wait(struct synod_client *client, const struct reply *reply,
		    const struct synod_wire_result *result)
{
	struct client_slot *slot = client_slot(client, result->number);

	slot->waits = 1;
	slot->due_ns = reply->now_ns + wait_of(client, result, slot->refusals);
	if (result->status == SYNOD_BUSY && !client_is_large(client, slot->op))
		synod_client_pace_refused(client, result->number, reply->now_ns);
	if (slot->due_ns < client->tick_ns)
		client->tick_ns = slot->due_ns;
	if (client->seeking && is_target(client, reply))
		synod_client_follow(client, reply->now_ns);
	if (result->status == SYNOD_FULL && !client->deadline_ns)
		synod_client_give_up(client, result->number, reply->now_ns);
}

/* It stops: not to be asked again on the word of those who do not know it yet. */
static void on_halted(struct synod_client *client, const struct reply *reply)
{
	client->silent = reply->from;
	client->silent_until_ns = reply->now_ns + CLIENT_SILENT_RETRIES * client->retry_ns;
	on_not_leader(client, reply);
}

static void on_refusal(struct synod_client *client, const struct reply *reply,
		       const struct synod_wire_result *result)
{
	struct client_slot *slot = client_slot(client, result->number);

	slot->refusals = (uint8_t)(slot->refusals + (slot->refusals < UINT8_MAX));
	slot->refusal = result->status;
	count_refusal(client, result->status);
	if (result->status == SYNOD_BUSY || result->status == SYNOD_FULL) {
		on_wait(client, reply, result);
		return;
	}
	if (reply->from == client->followed) {
		slot->waits = 1; /* should it lead again: no other answer will come */
		slot->due_ns = reply->now_ns;
	}
	if (result->status == SYNOD_HALTED)
		on_halted(client, reply);
	else
		on_not_leader(client, reply);
}

/* The session is gone, and every number with it. */
static void end_session(struct synod_client *client, uint64_t now_ns)
{
	uint64_t end = client->number_next;
	uint64_t number;

	for (number = client->number_oldest; number < end; number++) {
		if (client_slot(client, number)->op)
			synod_client_complete(client, number, SYNOD_SESSION_EVICTED, 0, now_ns);
	}
	synod_assert_cmp(client->number_oldest, ==, end);
	client->session = 0;
	client->doubt_ns = 0;
	client->number_oldest = client->number_cursor = client->number_next = 1;
}

/* The next session has a nonce of its own; an identity's is greater, so that it is the later. */
static void on_evicted(struct synod_client *client, const struct reply *reply)
{
	client->counters.sessions_evicted++;
	end_session(client, reply->now_ns);
	client->nonce =
		client->identity ? client->nonce + 1 : synod_random_next(&client->nonce_state);
	synod_client_seek(client, client->target, reply->now_ns);
}

static void copy_result(struct synod_client_op *op, const void *data, uint32_t size)
{
	uint32_t copied = size < op->result_capacity ? size : op->result_capacity;

	op->result_size = size;
	if (copied)
		memcpy(op->result, data, copied);
}

/* Says nothing of who leads, nor of the session: the replica may lag. */
static void on_stale_result(struct synod_client *client, const struct reply *reply,
			    const struct synod_wire_result *result, const void *data)
{
	struct synod_client_op *op = client_slot(client, result->number)->op;

	if (reply->from != op->replica) {
		client->counters.stray_replies++;
		return;
	}
	switch (result->status) {
	case SYNOD_NOT_LEADER:
	case SYNOD_BUSY:
	case SYNOD_FULL:
	case SYNOD_HALTED:
	case SYNOD_SESSION_EVICTED:
		synod_client_stale_refused(client, result->number, result->status, reply->now_ns);
		return;
	default:
		copy_result(op, data, result->size);
		synod_client_complete(client, result->number, result->status, result->position,
				      reply->now_ns);
	}
}

/* It executes what it is asked. One given up as silent that does after all was only slow. */
static void on_executed(struct synod_client *client, const struct reply *reply)
{
	if (!client->seeking || (!is_target(client, reply) && reply->from != client->silent))
		return;
	client->target = reply->from;
	synod_client_follow(client, reply->now_ns);
}

static void on_partial(struct synod_client *client, const struct reply *reply,
		       const struct synod_wire_result *result, const void *data)
{
	uint32_t have;

	if (result->size != sizeof(have)) {
		client->counters.stray_replies++;
		return;
	}
	memcpy(&have, data, sizeof(have));
	if (synod_client_large_progress(client, result->number, have, reply->now_ns))
		client->counters.stray_replies++;
	else
		on_executed(client, reply);
}

/* One result for an operation of the open session. */
static void on_result(struct synod_client *client, const struct reply *reply,
		      const struct synod_wire_result *result, const void *data)
{
	uint64_t number = result->number;
	struct client_slot *slot = client_slot(client, number);

	if (number < client->number_oldest || number >= client->number_next || !slot->op ||
	    !slot->copies) {
		client->counters.stray_replies++;
		return;
	}
	if (client_is_stale(slot)) {
		on_stale_result(client, reply, result, data);
		return;
	}
	switch (result->status) {
	case SYNOD_NOT_LEADER:
	case SYNOD_BUSY:
	case SYNOD_FULL:
	case SYNOD_HALTED:
		on_refusal(client, reply, result);
		return;
	case SYNOD_SESSION_EVICTED:
		on_evicted(client, reply);
		return;
	case SYNOD_PARTIAL:
		on_partial(client, reply, result, data);
		return;
	default:
		copy_result(slot->op, data, result->size);
		synod_client_complete(client, number, result->status, result->position,
				      reply->now_ns);
		on_executed(client, reply);
	}
}

/* No room even for a session: without a deadline nothing that waits for one has a chance. */
static void fail_unsent(struct synod_client *client, uint64_t now_ns)
{
	uint64_t end = client->number_next;
	uint64_t number;

	for (number = client->number_oldest; number < end; number++) {
		struct client_slot *slot = client_slot(client, number);

		slot->refusal = SYNOD_FULL;
		if (slot->op && !client->deadline_ns)
			synod_client_give_up(client, number, now_ns);
	}
}

/* A later life of this identity has a session: this one is over. */
static void on_fenced(struct synod_client *client, const struct reply *reply)
{
	if (!client->identity) {
		client->counters.stray_replies++; /* nobody refuses an anonymous one so */
		return;
	}
	client->fenced = 1;
	end_session(client, reply->now_ns);
}

/*
 * The session that a REGISTER opened, or found. A later one than ours: ours is gone, as a nonce has
 * one session at most. (An earlier one: an old answer.)
 */
static void on_opened(struct synod_client *client, const struct reply *reply,
		      const struct synod_wire_result *result)
{
	uint64_t session = result->position;

	if (session == client->session) {
		client->doubt_ns = 0;
		if (client->seeking && is_target(client, reply))
			synod_client_follow(client, reply->now_ns);
		return;
	}
	if (session < client->session) {
		client->counters.stray_replies++;
		return;
	}
	if (client->session) {
		client->counters.sessions_evicted++;
		end_session(client, reply->now_ns);
	}
	client->session = session;
	client->window = result->window;
	client->doubt_ns = 0;
	client->target = reply->from;
	client->counters.sessions_opened++;
	synod_client_follow(client, reply->now_ns);
}

/* A REGISTER was refused. */
static void on_unopened(struct synod_client *client, const struct reply *reply,
			const struct synod_wire_result *result)
{
	count_refusal(client, result->status);
	if (result->status == SYNOD_FULL && !client->session)
		fail_unsent(client, reply->now_ns);
	if (result->status == SYNOD_HALTED) {
		on_halted(client, reply);
	} else if (result->status != SYNOD_BUSY && result->status != SYNOD_FULL) {
		on_not_leader(client, reply);
	} else if (client->seeking && is_target(client, reply)) {
		/* The right one, at a bad moment. */
		synod_client_seek(client, client->target, reply->now_ns);
		client->probe_ns = reply->now_ns + wait_of(client, result, 0);
	}
}

/* The answer to a REGISTER. */
static void on_registered(struct synod_client *client, const struct reply *reply,
			  const struct synod_wire_result *result)
{
	if (result->number != client->nonce)
		client->counters.stray_replies++;
	else if (result->status == SYNOD_OK && result->position && result->window)
		on_opened(client, reply, result);
	else if (client->session && !client->doubt_ns)
		client->counters.stray_replies++; /* an old refusal */
	else if (result->status == SYNOD_SESSION_EVICTED)
		on_fenced(client, reply);
	else
		on_unopened(client, reply, result);
}

/* Results one after the other; what does not add up ends the walk. Returns 0, or -1. */
static int walk_results(struct synod_client *client, const struct reply *reply, uint64_t session,
			const uint8_t *body, uint32_t size)
{
	uint32_t at = 0;

	while (at < size) { /* at most size / 24 turns */
		struct synod_wire_result result;
		uint32_t data_size;

		if (size - at < sizeof(result))
			return -1;
		memcpy(&result, body + at, sizeof(result));
		at += (uint32_t)sizeof(result);
		data_size = SYNOD_WIRE_ALIGN((uint32_t)result.size);
		if (size - at < data_size || result.status >= SYNOD_STATUSES_COUNT)
			return -1;
		if (session == 0)
			on_registered(client, reply, &result);
		else if (session == client->session)
			on_result(client, reply, &result, body + at);
		else
			client->counters.stray_replies++;
		at += data_size;
	}
	return 0;
}

static void on_datagram(struct synod_client *client, const struct synod_datagram *datagram,
			uint64_t now_ns)
{
	struct synod_wire_view view;
	struct reply reply;

	client->counters.datagrams_received++;
	if (synod_wire_decode(datagram->data, datagram->size, client->cluster, 0, &view) != 0 ||
	    view.header->type != SYNOD_REPLY || view.header->flags & SYNOD_FLAG_SHARED ||
	    view.header->sender > client->replicas ||
	    (datagram->replica && datagram->replica != view.header->sender)) {
		client->counters.bad_datagrams++;
		return;
	}
	client->boots[view.header->sender] = view.header->boot;
	reply.from = view.header->sender;
	reply.leader = view.header->argument;
	reply.now_ns = now_ns;
	if (walk_results(client, &reply, view.header->slot, view.body, view.body_size)) {
		client->counters.bad_datagrams++;
		return;
	}
	if (reply.from == client->target)
		client->asked_ns = 0;
}

void synod_client_receive(struct synod_client *client, uint64_t now_ns)
{
	struct synod_datagram datagrams[CLIENT_RECEIVE_BURST];
	unsigned int burst;

	for (burst = 0; burst < CLIENT_RECEIVE_BURSTS_MAX; burst++) {
		unsigned int count = client->transport->receive(client->transport->context,
								datagrams, CLIENT_RECEIVE_BURST);
		unsigned int index;

		for (index = 0; index < count; index++)
			on_datagram(client, &datagrams[index], now_ns);
		if (count < CLIENT_RECEIVE_BURST)
			break;
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of clients. What registers, retries, seeks the leader and gives up is engine/client as
 * it ships; here are the network under it, a user who thinks and asks above it, and what happens to
 * a client's process: it dies and comes back, under its old identity or as somebody else, while
 * what its former life sent is still on its way.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
	STORM_TIMES = 5
};

/* The client's own clock: never 0. */
static uint64_t client_clock(const struct sim *sim)
{
	return sim->now + SIM_SECOND;
}

/* ---- the transport --------------------------------------------------------------------------- */

static int on_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	struct sim_client *client = context;
	struct sim *sim = client->sim;
	struct sim_datagram *datagram = &client->sent[client->sent_count % SIM_CLIENT_SENT_MAX];

	sim_check(sim, replica >= 1 && replica <= sim->params.replicas && size <= SIM_REQUEST_SIZE,
		  "client %u sends %u bytes to replica %u", client->id, size, replica);
	if (sim->phase == SIM_SAFETY && sim_chance(sim, sim->params.send_refused)) {
		sim_count(sim, SIM_FAULT_CLIENT_SEND_REFUSED);
		return -EAGAIN;
	}
	sim_tell(sim, "client %u asks %u: %u bytes", client->id, replica, size);
	client->sent_count++;
	*datagram = (struct sim_datagram){ .client = client->id, .replica = replica, .size = size };
	memcpy(datagram->bytes, data, size);
	sim_datagram_send(sim, SIM_PACKET_REQUEST, datagram);
	return 0;
}

static void on_flush(void *context)
{
	(void)context;
}

static unsigned int on_receive(void *context, struct synod_datagram *datagrams, unsigned int max)
{
	struct sim_client *client = context;
	unsigned int count = client->inbox_count < max ? client->inbox_count : max;

	for (unsigned int i = 0; i < count; i++) {
		client->lent[i] = client->inbox[i];
		client->lent_damaged += client->inbox[i].damaged;
		datagrams[i] = (struct synod_datagram){ .data = client->lent[i].bytes,
							.size = client->lent[i].size,
							.replica = client->lent[i].replica };
	}
	client->inbox_count -= count;
	memmove(client->inbox, client->inbox + count,
		client->inbox_count * sizeof(client->inbox[0]));
	return count;
}

static void on_idle(void *context, uint64_t timeout_ns)
{
	(void)context;
	(void)timeout_ns;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void schedule_poll(struct sim *sim, struct sim_client *client, uint64_t at)
{
	if (at >= client->poll_at)
		return;
	client->poll_at = at;
	sim_queue_push(sim, (struct sim_event){ .at = at,
						.kind = SIM_CLIENT_POLL,
						.who = (uint8_t)client->id,
						.a = ++client->poll_generation });
}

static void on_completed(struct sim *sim, struct sim_client *client, struct sim_op *op)
{
	sim_tell(sim, "client %u is told %s for number %llu of session %llx, position %llu",
		 client->id, synod_status_name(op->op.status), (unsigned long long)op->op.number,
		 (unsigned long long)op->op.session, (unsigned long long)op->op.position);
	switch (op->op.status) {
	case SYNOD_OK:
	case SYNOD_NOT_FOUND:
	case SYNOD_MISMATCH:
		client->acked++;
		if (op->op.sort != SYNOD_CLIENT_COMMAND) {
			sim_observer_read(sim, op);
			break;
		}
		sim_done(sim, SIM_TRAFFIC_ACKNOWLEDGED);
		sim_observer_ack(sim, op);
		break;
	case SYNOD_UNKNOWN:
	case SYNOD_SESSION_EVICTED:
	case SYNOD_NOT_LEADER:
	case SYNOD_FULL:
		break;
	default:
		sim_fail(sim, "client %u: status %s for number %llu", client->id,
			 synod_status_name(op->op.status), (unsigned long long)op->op.number);
	}
	if (sim->params.kv)
		sim_workload_done(sim, op);
	op->in_use = 0;
}

/* What the client counted since the last look. */
static void look_at_counters(struct sim *sim, struct sim_client *client)
{
	const struct synod_client_counters *now = synod_client_counters(client->client);
	struct synod_client_counters *before = &client->counted;

	sim_check(sim, now->bad_datagrams - before->bad_datagrams == client->lent_damaged,
		  "client %u: %u of its datagrams were damaged, it refused %llu", client->id,
		  client->lent_damaged,
		  (unsigned long long)(now->bad_datagrams - before->bad_datagrams));
	client->lent_damaged = 0;
	sim->faults[SIM_FAULT_CLIENT_RETRY] += now->commands_repeated - before->commands_repeated;
	sim->faults[SIM_FAULT_SESSION_EVICTED] += now->sessions_evicted - before->sessions_evicted;
	sim->faults[SIM_FAULT_CLIENT_DEADLINE] += now->deadlines_passed - before->deadlines_passed;
	*before = *now;
}

/* A later life of its identity is there: it goes on as somebody else. */
static void on_fenced(struct sim *sim, struct sim_client *client)
{
	sim_check(sim,
		  client->identity && client->incarnation < sim->incarnations[client->identity - 1],
		  "I9: client %u is told that a later life of it is there", client->id);
	sim_count(sim, SIM_FAULT_CLIENT_FENCED);
	client->identity = 0;
	sim_client_restart(sim, client);
}

static void turn(struct sim *sim, struct sim_client *client)
{
	struct synod_client_op *done[SIM_OUTSTANDING_MAX];
	uint32_t count;
	uint64_t deadline;

	count = synod_client_poll(client->client, done, SIM_OUTSTANDING_MAX, client_clock(sim));
	look_at_counters(sim, client);
	for (uint32_t i = 0; i < count; i++)
		on_completed(sim, client, (struct sim_op *)done[i]);
	if (synod_client_fenced(client->client)) {
		on_fenced(sim, client);
		return;
	}
	deadline = synod_client_deadline(client->client);
	if (deadline == UINT64_MAX)
		return;
	deadline = deadline > SIM_SECOND ? deadline - SIM_SECOND : 0;
	/* At once can mean: when the transport takes more. */
	schedule_poll(sim, client, deadline > sim->now ? deadline : sim->now + SIM_MS);
}

void sim_client_poll(struct sim *sim, struct sim_client *client)
{
	client->poll_at = UINT64_MAX;
	if (!client->up || client->retired)
		return;
	if (client->paused_until > sim->now)
		schedule_poll(sim, client, client->paused_until);
	else
		turn(sim, client);
}

void sim_client_pause(struct sim *sim, struct sim_client *client)
{
	client->paused_until = sim->now + sim_between(sim, 10 * SIM_MS, 2 * SIM_SECOND);
	sim_count(sim, SIM_FAULT_CLIENT_PAUSE);
	sim_tell(sim, "client %u pauses", client->id);
}

void sim_client_datagram(struct sim *sim, struct sim_client *client,
			 const struct sim_datagram *datagram)
{
	if (!client->up || client->inbox_count == SIM_CLIENT_INBOX_MAX)
		return;
	client->inbox[client->inbox_count++] = *datagram;
	schedule_poll(sim, client, sim->now + sim_below(sim, 100 * SIM_US));
}

static struct sim_op *free_op(struct sim_client *client)
{
	uint32_t used = 0;
	struct sim_op *found = NULL;

	for (uint32_t i = 0; i < SIM_OUTSTANDING_MAX; i++) {
		used += client->ops[i].in_use;
		if (!client->ops[i].in_use)
			found = &client->ops[i];
	}
	return used < client->outstanding_max ? found : NULL;
}

static void submit_some(struct sim *sim, struct sim_client *client)
{
	uint64_t wanted = 1 + sim_below(sim, 2);
	struct sim_op *op;

	while (wanted-- && (op = free_op(client)) &&
	       (!sim->params.commands || client->submitted < sim->params.commands)) {
		struct synod_client_op *submitted = &op->op;

		memset(op, 0, offsetof(struct sim_op, data));
		op->in_use = 1;
		op->floor = sim->observer.position_acked;
		sim_workload_next(sim, client, op);
		sim_check(sim,
			  synod_client_submit(client->client, &submitted, 1, client_clock(sim)) ==
				  1,
			  "client %u takes no operation with %u outstanding", client->id,
			  synod_client_outstanding(client->client));
		client->submitted++;
	}
}

static void arm(struct sim *sim, struct sim_client *client)
{
	uint64_t think = sim->params.think_max;

	if (sim->phase != SIM_SAFETY && think > 20 * SIM_MS)
		think = 20 * SIM_MS;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + SIM_MS + sim_below(sim, think),
						.kind = SIM_CLIENT_TIMER,
						.who = (uint8_t)client->id,
						.a = client->life });
}

void sim_client_timer(struct sim *sim, struct sim_client *client)
{
	if (!client->up || client->retired)
		return;
	if (sim->phase != SIM_SAFETY && client->id >= sim->params.sessions) {
		/* More clients than sessions evict each other for ever: these few go home. */
		client->retired = 1;
		return;
	}
	arm(sim, client);
	if (client->paused_until > sim->now)
		return;
	if (sim->phase < SIM_CALM)
		submit_some(sim, client);
	turn(sim, client);
}

int sim_client_waits(const struct sim *sim, const struct sim_client *client)
{
	if (!client->up || client->retired)
		return 0;
	for (uint32_t i = 0; i < SIM_OUTSTANDING_MAX; i++) {
		const struct sim_op *op = &client->ops[i];

		/* A stale read of a replica that never comes back has no end. */
		if (op->in_use && !(op->op.sort == SYNOD_CLIENT_READ_STALE &&
				    sim_replica_is_out(sim, &sim->replicas[op->op.replica])))
			return 1;
	}
	return 0;
}

/* ---- lives ----------------------------------------------------------------------------------- */

static void be_born(struct sim *sim, struct sim_client *client)
{
	struct synod_client_config config = { .struct_size = sizeof(config),
					      .replicas = sim->params.replicas,
					      .cluster = SIM_CLUSTER,
					      .nonce = synod_random_next(&sim->random),
					      .datagram_size_max = sim->params.client_datagram,
					      .outstanding_max = client->outstanding_max,
					      .retry_ns = sim->params.client_timeout,
					      .deadline_ns = sim->params.client_deadline,
					      .identity = client->identity,
					      .leader_hint = (uint32_t)sim_below(
						      sim, sim->params.replicas + 1) };

	if (client->identity) {
		client->incarnation = ++sim->incarnation_last;
		sim->incarnations[client->identity - 1] = client->incarnation;
		config.incarnation = client->incarnation;
	}
	client->life++;
	client->up = 1;
	client->paused_until = 0;
	client->inbox_count = 0;
	client->lent_damaged = 0;
	client->poll_at = UINT64_MAX;
	for (uint32_t i = 0; i < SIM_OUTSTANDING_MAX; i++)
		client->ops[i].in_use = 0;
	memset(&client->counted, 0, sizeof(client->counted));
	sim_check(sim,
		  synod_client_init(&client->client, client->memory, &config, &client->transport) ==
			  0,
		  "client %u: its configuration is refused", client->id);
	sim_tell(sim, "client %u starts, life %llu", client->id, (unsigned long long)client->life);
	arm(sim, client);
}

void sim_client_start(struct sim *sim, struct sim_client *client)
{
	if (client->up)
		return;
	if (!client->memory)
		client->memory = aligned_alloc(SYNOD_CLIENT_ALIGNMENT,
					       (synod_client_size() + 63) & ~(size_t)63);
	if (!client->memory)
		abort();
	if (client->life == 0) {
		client->sim = sim;
		client->transport =
			(struct synod_transport){ .context = client,
						  .datagram_size_max = SIM_DATAGRAM_SIZE,
						  .send = on_send,
						  .flush = on_flush,
						  .receive = on_receive,
						  .idle = on_idle };
		client->retired = 0;
		client->sent_count = 0;
		client->submitted = 0;
		client->acked = 0;
		client->poll_generation = 0;
		client->outstanding_max = 1 + (uint32_t)sim_below(sim, SIM_OUTSTANDING_MAX);
		client->identity = sim_below(sim, 2) ? 1 + client->id : 0;
	}
	be_born(sim, client);
}

/* What the network still holds of a client's requests, to this replica. */
static void repeat_to(struct sim *sim, struct sim_client *client, uint32_t replica, uint64_t delay)
{
	uint32_t count = client->sent_count;

	for (uint32_t i = 0; i < SIM_CLIENT_SENT_MAX && i < count; i++) {
		struct sim_datagram copy = client->sent[i];
		struct synod_wire_header *header = (struct synod_wire_header *)copy.bytes;

		copy.replica = replica;
		header->receiver = (uint16_t)replica;
		header->boot = sim->replicas[replica].boot; /* or it would be refused */
		synod_wire_seal(header, NULL, copy.bytes + SYNOD_HEADER_SIZE,
				copy.size - SYNOD_HEADER_SIZE);
		sim_datagram_post(sim, SIM_PACKET_REQUEST, &copy,
				  sim->now + sim_net_delay(sim) + sim_below(sim, delay));
	}
}

/* All that it sent lately to everybody, several times. */
void sim_client_storm(struct sim *sim, struct sim_client *client)
{
	if (!client->up)
		return;
	sim_count(sim, SIM_FAULT_CLIENT_RETRY_STORM);
	for (int i = 0; i < STORM_TIMES; i++)
		for (uint32_t replica = 1; replica <= sim->params.replicas; replica++)
			repeat_to(sim, client, replica, SIM_MS);
}

void sim_client_forget(struct sim *sim, struct sim_client *client)
{
	for (uint32_t i = 0; sim->params.kv && i < SIM_OUTSTANDING_MAX; i++)
		if (client->ops[i].in_use)
			sim_workload_lost(sim, &client->ops[i],
					  synod_client_session(client->client));
}

/* Sometimes it is started as another one, which was taken for dead and still runs. */
static void maybe_take_identity(struct sim *sim, struct sim_client *client)
{
	const struct sim_client *other = &sim->clients[sim_below(sim, sim->params.clients)];

	if (other == client || !other->up || !other->identity || sim_below(sim, 3))
		return;
	sim_count(sim, SIM_FAULT_CLIENT_TWO_LIVES);
	client->identity = other->identity;
}

void sim_client_restart(struct sim *sim, struct sim_client *client)
{
	if (!client->up)
		return;
	sim_tell(sim, "client %u dies", client->id);
	sim_count(sim,
		  client->identity ? SIM_FAULT_CLIENT_RESTART_IDENTITY : SIM_FAULT_CLIENT_RESTART);
	client->up = 0;
	sim_client_forget(sim, client);
	maybe_take_identity(sim, client);
	if (sim->phase == SIM_SAFETY && sim_below(sim, 2)) {
		sim_count(sim, SIM_FAULT_CLIENT_FORMER_LIFE);
		for (uint32_t replica = 1; replica <= sim->params.replicas; replica++)
			repeat_to(sim, client, replica, 4 * SIM_SECOND);
	}
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, 500 * SIM_MS),
						.kind = SIM_CLIENT_START,
						.who = (uint8_t)client->id });
}

void sim_client_free(struct sim_client *client)
{
	free(client->memory);
}

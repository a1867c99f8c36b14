/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients: open a session, keep some commands outstanding, ask again and elsewhere when no answer
 * comes. A retry is the same (session, number): whether it is executed once is the observer's
 * question (I9).
 */
#include "tests/sim/sim.h"

static void new_session(struct sim *sim, struct sim_client *client)
{
	client->nonce = synod_random_next(&sim->random) << 8 | (client->id + 1);
	client->session = 0;
	client->number_last = 0;
	client->outstanding_count = 0;
}

static void arm(struct sim *sim, struct sim_client *client)
{
	uint64_t think = sim->params.think_max;

	if (sim->phase != SIM_SAFETY && think > 20 * SIM_MS)
		think = 20 * SIM_MS;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + SIM_MS + sim_below(sim, think),
						.kind = SIM_CLIENT_TIMER,
						.who = (uint8_t)client->id,
						.a = ++client->generation });
}

void sim_client_start(struct sim *sim, struct sim_client *client)
{
	client->target = 1 + (uint32_t)sim_below(sim, sim->params.replicas);
	client->turn = client->target;
	client->outstanding_max = 1 + (uint32_t)sim_below(sim, SIM_OUTSTANDING_MAX);
	client->acked = 0;
	client->generation = 0;
	new_session(sim, client);
	arm(sim, client);
}

static void elsewhere(struct sim *sim, struct sim_client *client)
{
	/* Its own turn: counted from the target, stale hints could lead back to the same few. */
	client->turn = client->turn % sim->params.replicas + 1;
	client->target = client->turn;
}

static void post(struct sim *sim, const struct sim_request *request, uint32_t target)
{
	uint32_t packet = sim_net_packet(sim);

	sim_tell(sim, "client %u asks %u: %u commands from number %llx of session %llx",
		 request->commands[0].client, target, request->count,
		 (unsigned long long)request->commands[0].number,
		 (unsigned long long)request->commands[0].session);
	sim->packets[packet].kind = SIM_PACKET_REQUEST;
	sim->packets[packet].request = *request;
	sim_net_send_client(sim, packet, target);
}

static void send_register(struct sim *sim, struct sim_client *client)
{
	struct sim_request request = { .count = 1 };

	request.commands[0] = (struct sim_command){ .kind = SYNOD_COMMAND_REGISTER,
						    .client = (uint8_t)client->id,
						    .number = client->nonce };
	post(sim, &request, client->target);
}

static int is_due(const struct sim *sim, const struct sim_outstanding *outstanding)
{
	return outstanding->sent_at == 0 ||
	       outstanding->sent_at + sim->params.client_timeout <= sim->now;
}

/* Everything that is due, in datagrams of a few commands. */
static void send_due(struct sim *sim, struct sim_client *client, uint32_t target, int all)
{
	struct sim_request request = { 0 };

	for (uint32_t i = 0; i < client->outstanding_count; i++) {
		struct sim_outstanding *outstanding = &client->outstanding[i];

		if (!all && !is_due(sim, outstanding))
			continue;
		outstanding->sent_at = sim->now;
		request.commands[request.count++] =
			(struct sim_command){ .kind = SYNOD_COMMAND_APPLY,
					      .client = (uint8_t)client->id,
					      .session = client->session,
					      .number = outstanding->number };
		if (request.count == SIM_REQUEST_COMMANDS_MAX) {
			post(sim, &request, target);
			request.count = 0;
		}
	}
	if (request.count)
		post(sim, &request, target);
}

static void add_commands(struct sim *sim, struct sim_client *client)
{
	uint64_t wanted = 1 + sim_below(sim, 2);

	while (wanted-- && client->outstanding_count < client->outstanding_max &&
	       (!sim->params.commands || client->number_last < sim->params.commands))
		client->outstanding[client->outstanding_count++] =
			(struct sim_outstanding){ .number = ++client->number_last,
						  .floor = sim->observer.position_acked };
}

void sim_client_timer(struct sim *sim, struct sim_client *client)
{
	int late = 0;

	if (sim->phase != SIM_SAFETY && client->id >= sim->params.sessions) {
		/* More clients than sessions evict each other for ever: these few go home. */
		client->outstanding_count = 0;
		return;
	}
	arm(sim, client);
	if (client->session == 0) {
		if (sim_below(sim, 4) == 0)
			elsewhere(sim, client);
		send_register(sim, client);
		return;
	}
	for (uint32_t i = 0; i < client->outstanding_count; i++)
		late |= client->outstanding[i].sent_at != 0 && is_due(sim, &client->outstanding[i]);
	if (late) {
		sim_count(sim, SIM_FAULT_CLIENT_RETRY);
		elsewhere(sim, client);
	}
	if (sim->phase != SIM_CONVERGENCE)
		add_commands(sim, client);
	send_due(sim, client, client->target, 0);
}

/* Everything outstanding to everybody, several times. */
void sim_client_storm(struct sim *sim, struct sim_client *client)
{
	if (client->session == 0 || client->outstanding_count == 0)
		return;
	sim_count(sim, SIM_FAULT_CLIENT_RETRY_STORM);
	for (int i = 0; i < 5; i++)
		for (uint32_t replica = 1; replica <= sim->params.replicas; replica++)
			send_due(sim, client, replica, 1);
}

static void on_answered(struct sim *sim, struct sim_client *client, const struct sim_reply *reply)
{
	for (uint32_t i = 0; i < client->outstanding_count; i++) {
		struct sim_outstanding *outstanding = &client->outstanding[i];

		if (outstanding->number != reply->number)
			continue;
		client->acked++;
		sim_observer_ack(sim, client, reply->number, reply->position, outstanding->floor);
		*outstanding = client->outstanding[--client->outstanding_count];
		return;
	}
}

/* One refusal for each datagram: the second must not lead away from where the first one sent us. */
static void on_not_leader(struct sim *sim, struct sim_client *client, const struct sim_reply *reply)
{
	if (reply->from != client->target)
		return;
	if (reply->leader && reply->leader != client->target)
		client->target = reply->leader;
	else
		elsewhere(sim, client);
	for (uint32_t i = 0; i < client->outstanding_count; i++)
		client->outstanding[i].sent_at = 0;
}

void sim_client_reply(struct sim *sim, struct sim_client *client, const struct sim_reply *reply)
{
	sim_tell(sim, "client %u told %s for number %llx, position %llu", client->id,
		 synod_status_name(reply->status), (unsigned long long)reply->number,
		 (unsigned long long)reply->position);
	if (reply->status == SYNOD_NOT_LEADER) {
		on_not_leader(sim, client, reply);
		return;
	}
	if (reply->session == 0) {
		if (reply->status == SYNOD_OK && reply->number == client->nonce)
			client->session = reply->position;
		return;
	}
	if (reply->session != client->session)
		return;
	switch (reply->status) {
	case SYNOD_OK:
		on_answered(sim, client, reply);
		break;
	case SYNOD_SESSION_EVICTED:
		/* Whether what is outstanding was done is not known. */
		sim_count(sim, SIM_FAULT_SESSION_EVICTED);
		new_session(sim, client);
		break;
	case SYNOD_BUSY:
		break;
	default:
		sim_fail(sim, "client %u: status %s for number %llu", client->id,
			 synod_status_name(reply->status), (unsigned long long)reply->number);
	}
}

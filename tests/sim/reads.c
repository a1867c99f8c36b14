/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads that do not go through the log, as a replica's stages handle them
 * (engine/pipeline/reads.c). Linearizable ones are numbered by tokens; the core settles tokens:
 * refused, or to be served once a slot is executed here. Stale ones are served as the replica
 * stands.
 *
 * Some tokens are nobody's: asked for by a hazard, to have several in one round.
 */
#include "tests/sim/sim.h"

#include <string.h>

/* I11: what a read tells is a prefix of the log, the one that this replica has executed. */
static void check_answer(struct sim *sim, const struct sim_replica *replica, const uint8_t *payload,
			 const struct synod_apply_result *result)
{
	uint64_t position = 0;

	/* Who has executed all that anybody has, knows which sessions are open. */
	sim_check(sim,
		  replica->applied < sim->observer.applied_last ||
			  (sim_sessions_find(sim, result->session) == NULL) ==
				  (result->status == SYNOD_SESSION_EVICTED),
		  "I9: replica %u answers a read of session %llx with %s", replica->id,
		  (unsigned long long)result->session, synod_status_name(result->status));
	if (result->status == SYNOD_SESSION_EVICTED)
		return;
	if (replica->applied)
		position = sim_observer_slot(sim, replica->applied)->position;
	sim_check(sim, result->position == position,
		  "I11: replica %u reads at position %llu after slot %llu, which ends at %llu",
		  replica->id, (unsigned long long)result->position,
		  (unsigned long long)replica->applied, (unsigned long long)position);
	if (sim->params.kv)
		sim_store_read(sim, payload, result);
}

/* Answers all of a request: with what the machine says, or with the status. */
static void serve(struct sim *sim, struct sim_replica *replica, const struct sim_request *request,
		  uint16_t status)
{
	struct sim_reply reply;
	uint32_t at = 0;

	sim_reply_begin(&reply, sim, replica);
	while (at < request->size) {
		struct synod_apply_result result = { .status = status };
		struct synod_wire_command command;
		const uint8_t *payload = request->bytes + at + sizeof(command);

		memcpy(&command, request->bytes + at, sizeof(command));
		result.session = command.session;
		result.number = command.number;
		if (!status) {
			synod_apply_query(replica->apply, command.session, command.number, payload,
					  command.size, &result);
			check_answer(sim, replica, payload, &result);
		}
		sim_reply_add(&reply, request->client, &result);
		at += synod_wire_command_size(&command);
	}
	sim_reply_send(&reply);
}

static struct sim_read *read_of(struct sim_replica *replica, uint64_t token)
{
	return &replica->reads[token % SIM_READS_MAX];
}

static int has_room(const struct sim_replica *replica)
{
	return replica->read_last - replica->read_served < SIM_READS_MAX;
}

static struct sim_read *ask(struct sim *sim, struct sim_replica *replica)
{
	struct sim_read *read = read_of(replica, ++replica->read_last);

	read->floor = sim->observer.applied_last;
	read->has_request = 0;
	return read;
}

static void tell_core(struct sim *sim, struct sim_replica *replica)
{
	struct synod_event event = { .kind = SYNOD_EVENT_READ, .token = replica->read_last };

	sim_replica_step(sim, replica, &event);
}

void sim_reads_hazard(struct sim *sim, struct sim_replica *replica)
{
	uint64_t count = 1 + sim_below(sim, 3);

	if (!replica->up || replica->paused_until > sim->now)
		return;
	while (count-- && has_room(replica))
		(void)ask(sim, replica);
	tell_core(sim, replica);
}

void sim_reads_take(struct sim *sim, struct sim_replica *replica, const struct sim_request *request)
{
	struct sim_read *read;

	if (synod_wire_request_sort(request->bytes) == SYNOD_COMMAND_READ_STALE) {
		sim_tell(sim, "%u serves a stale read of client %u", replica->id, request->client);
		serve(sim, replica, request, SYNOD_OK);
		return;
	}
	/* What ingress knows of the role may be old: then it is the core that refuses. */
	if (replica->core.role != SYNOD_ROLE_LEADER && sim_below(sim, 8)) {
		serve(sim, replica, request, SYNOD_NOT_LEADER);
		return;
	}
	if (!has_room(replica)) {
		serve(sim, replica, request, SYNOD_BUSY);
		return;
	}
	read = ask(sim, replica);
	read->has_request = 1;
	read->request.client = request->client;
	read->request.count = request->count;
	read->request.size = request->size;
	memcpy(read->request.bytes, request->bytes, request->size);
	tell_core(sim, replica);
}

/*
 * I11. Whoever executed a slot may have answered for it. So a read must see every slot that anybody
 * had executed when the read came; and only a leader may say when.
 */
void sim_reads_settled(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	if (!fx->read_through)
		return;
	sim_check(sim,
		  fx->read_through > replica->read_settled &&
			  fx->read_through <= replica->read_last,
		  "replica %u settles reads through %llu of %llu twice or too early", replica->id,
		  (unsigned long long)fx->read_through, (unsigned long long)replica->read_last);
	while (replica->read_settled < fx->read_through) {
		struct sim_read *read = read_of(replica, ++replica->read_settled);

		read->slot = fx->read_slot;
		read->status = fx->read_status;
		if (fx->read_status)
			continue;
		sim_done(sim, SIM_TRAFFIC_READS_GRANTED);
		sim_check(sim, fx->read_slot >= read->floor,
			  "I11: replica %u would serve a read from slot %llu: slot %llu had been "
			  "executed when it was asked",
			  replica->id, (unsigned long long)fx->read_slot,
			  (unsigned long long)read->floor);
	}
	sim_tell(sim, "%u settles reads through %llu: %s, slot %llu", replica->id,
		 (unsigned long long)fx->read_through, synod_status_name(fx->read_status),
		 (unsigned long long)fx->read_slot);
	sim_reads_serve(sim, replica);
}

void sim_reads_serve(struct sim *sim, struct sim_replica *replica)
{
	while (replica->read_served < replica->read_settled) {
		const struct sim_read *read = read_of(replica, replica->read_served + 1);

		if (!read->status && replica->applied < read->slot)
			return;
		replica->read_served++;
		if (read->has_request)
			serve(sim, replica, &read->request, (uint16_t)read->status);
	}
}

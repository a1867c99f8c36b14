/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The judge of sessions and answers: I5, I9, I10. It sees the commands of the log in order, once
 * each (when the first replica executes their slot), what came of them, and what clients were told.
 */
#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

#include <string.h>

enum {
	KV_GET = 1
};

/* The place of (session, number) among the executed commands: its position, or 0. */
static uint32_t *executed_at(struct sim *sim, uint64_t session, uint64_t number)
{
	struct sim_observer *observer = &sim->observer;
	uint64_t at = (session * 0x9e3779b97f4a7c15ull + number) * 0xff51afd7ed558ccdull >> 40;

	for (;; at++) { /* the table is never more than half full */
		uint32_t *position = &observer->executed[at & (SIM_EXECUTED_SIZE - 1)];

		if (!*position || (observer->positions[*position].session == session &&
				   observer->positions[*position].number == number))
			return position;
	}
}

static struct sim_session *session_find(struct sim *sim, uint64_t id)
{
	struct sim_observer *observer = &sim->observer;

	for (uint64_t i = observer->sessions_count; i-- > 0;)
		if (observer->sessions[i].id == id)
			return &observer->sessions[i];
	return NULL;
}

static void add_session(struct sim *sim, uint64_t id, const struct synod_wire_identity *who)
{
	struct sim_observer *observer = &sim->observer;

	/* Its former lives are over from here on, for ever: session ids are not used again. */
	for (uint64_t i = 0; who->identity && i < observer->sessions_count; i++)
		if (observer->sessions[i].identity == who->identity &&
		    observer->sessions[i].incarnation < who->incarnation)
			observer->sessions[i].closed = 1;
	if (observer->sessions_count >= observer->sessions_capacity)
		observer->sessions =
			sim_grow(observer->sessions, &observer->sessions_capacity,
				 observer->sessions_count, sizeof(*observer->sessions));
	observer->sessions[observer->sessions_count++] = (struct sim_session){
		.id = id, .identity = who->identity, .incarnation = who->incarnation
	};
	sim_done(sim, SIM_TRAFFIC_SESSIONS);
}

/* A REGISTER opened a session, found one that is open, or came from an earlier life. */
static void on_registered(struct sim *sim, const struct sim_place *place,
			  const struct synod_wire_command *command, const uint8_t *payload,
			  const struct synod_apply_result *result)
{
	struct synod_wire_identity who = { 0 };
	uint64_t id;

	if (command->size)
		memcpy(&who, payload, sizeof(who));
	id = sim_sessions_register(sim, place, command->number, &who);
	sim_check(sim,
		  result->position == id &&
			  result->status == (id ? SYNOD_OK : SYNOD_SESSION_EVICTED),
		  "I9: a REGISTER ends with %s and session %llx, not %llx",
		  synod_status_name(result->status), (unsigned long long)result->position,
		  (unsigned long long)id);
	if (id && !session_find(sim, id))
		add_session(sim, id, &who);
}

static void on_executed(struct sim *sim, const struct synod_apply_result *result,
			uint32_t *position)
{
	struct sim_observer *observer = &sim->observer;
	const struct sim_session *session = session_find(sim, result->session);

	sim_check(sim, *position == 0, "I9: number %llu executed twice",
		  (unsigned long long)result->number);
	sim_check(sim, session != NULL, "I9: session %llx was never opened",
		  (unsigned long long)result->session);
	sim_check(sim, !session->closed,
		  "I9: number %llu of a former life of client %llu is executed after the later "
		  "life registered",
		  (unsigned long long)result->number, (unsigned long long)session->identity);
	sim_check(sim, result->position == observer->positions_count + 1,
		  "I9: position %llu after %llu", (unsigned long long)result->position,
		  (unsigned long long)observer->positions_count);
	sim_check(sim, result->position < SIM_EXECUTED_SIZE / 2, "too many commands in a run");
	if (result->position >= observer->positions_capacity)
		observer->positions = sim_grow(observer->positions, &observer->positions_capacity,
					       result->position, sizeof(*observer->positions));
	observer->positions_count = result->position;
	observer->positions[result->position] = (struct sim_position){ .session = result->session,
								       .number = result->number,
								       .status = result->status,
								       .at = sim->now,
								       .crc = sim_parts_crc() };
	*position = (uint32_t)result->position;
	sim_done(sim, SIM_TRAFFIC_EXECUTED);
}

/* A number that shares its entry in the window, and came later, was executed. */
static int left_window(struct sim *sim, const struct sim_seat *seat, uint64_t number)
{
	uint64_t later = number + sim->params.session_window;

	for (; later <= seat->number_max; later += sim->params.session_window)
		if (*executed_at(sim, seat->id, later))
			return 1;
	return 0;
}

/* Was done, or never will be. Of a large command what there is of it is let go. */
static void on_stale(struct sim *sim, const struct synod_wire_command *command,
		     const struct synod_apply_result *result)
{
	sim_check(sim, result->status == SYNOD_STALE && !result->executed,
		  "I9: number %llu of session %llx left the window and ends with %s",
		  (unsigned long long)command->number, (unsigned long long)command->session,
		  synod_status_name(result->status));
	sim_done(sim, SIM_TRAFFIC_STALE);
	sim_parts_forget(sim, command->session, command->number);
}

void sim_observer_result(struct sim *sim, const struct sim_place *place,
			 const struct synod_wire_command *command, const uint8_t *payload,
			 const struct synod_apply_result *result)
{
	const struct sim_observer *observer = &sim->observer;
	struct sim_seat *seat;
	uint32_t *position;

	if (command->kind == SYNOD_COMMAND_REGISTER) {
		on_registered(sim, place, command, payload, result);
		return;
	}
	seat = sim_sessions_find(sim, command->session);
	sim_check(sim, (seat == NULL) == (result->status == SYNOD_SESSION_EVICTED),
		  "I9: number %llu of session %llx, which is %s, ends with %s",
		  (unsigned long long)command->number, (unsigned long long)command->session,
		  seat ? "open" : "not open", synod_status_name(result->status));
	if (!seat)
		return;
	if (left_window(sim, seat, command->number)) {
		on_stale(sim, command, result);
		return;
	}
	position = executed_at(sim, result->session, result->number);
	if (command->kind == SYNOD_COMMAND_PART && *position == 0)
		sim_parts_result(sim, place->slot, command, payload, result);
	else if (result->executed)
		sim_parts_executed(sim, payload, command->size);
	if (result->executed) {
		seat->used = place->slot;
		if (result->number > seat->number_max)
			seat->number_max = result->number;
		on_executed(sim, result, position);
	} else if (command->kind != SYNOD_COMMAND_PART || *position) {
		sim_done(sim, SIM_TRAFFIC_DUPLICATES);
		sim_check(sim, *position && *position == result->position,
			  "I9: a duplicate of number %llu gets position %llu, it had %u",
			  (unsigned long long)result->number, (unsigned long long)result->position,
			  *position);
		/* A read that is repeated looks again; anything else has the same answer. */
		sim_check(sim,
			  observer->positions[*position].status == result->status ||
				  (sim->params.kv && command->kind == SYNOD_COMMAND_APPLY &&
				   payload[0] == KV_GET),
			  "I9: a duplicate of number %llu ends with %s",
			  (unsigned long long)result->number, synod_status_name(result->status));
	}
	if (sim->params.kv && command->kind == SYNOD_COMMAND_APPLY)
		sim_store_execute(sim, payload, command->size, result);
}

void sim_observer_read(struct sim *sim, const struct sim_op *op)
{
	struct sim_observer *observer = &sim->observer;
	uint64_t position = op->op.position;

	sim_check(sim, position <= observer->positions_count,
		  "I11: a client reads at position %llu, of which there is none yet",
		  (unsigned long long)position);
	sim_fold(sim, position);
	if (op->op.sort == SYNOD_CLIENT_READ_STALE) {
		sim_done(sim, SIM_TRAFFIC_READS_STALE);
		return;
	}
	sim_done(sim, SIM_TRAFFIC_READS);
	sim_check(sim, position >= op->floor,
		  "I11: a read asked for after position %llu was answered sees %llu only",
		  (unsigned long long)op->floor, (unsigned long long)position);
	if (position > observer->position_acked)
		observer->position_acked = position;
}

uint64_t sim_observer_executed(struct sim *sim, uint64_t session, uint64_t number)
{
	return *executed_at(sim, session, number);
}

void sim_observer_ack(struct sim *sim, const struct sim_op *op)
{
	struct sim_observer *observer = &sim->observer;
	uint64_t position = op->op.position;

	sim_check(sim,
		  position > 0 && position <= observer->positions_count &&
			  observer->positions[position].session == op->op.session &&
			  observer->positions[position].number == op->op.number,
		  "I5: a client was told position %llu for number %llu: it is not there",
		  (unsigned long long)position, (unsigned long long)op->op.number);
	sim_check(sim,
		  sim->params.kv || observer->positions[position].crc ==
					    (op->op.size ? synod_crc32c(op->data, op->op.size) : 0),
		  "I5: what stands at position %llu is not what the client sent",
		  (unsigned long long)position);
	sim_check(sim, position > op->floor,
		  "I10: number %llu, first sent after position %llu was answered, has %llu",
		  (unsigned long long)op->op.number, (unsigned long long)op->floor,
		  (unsigned long long)position);
	if (position > observer->position_acked)
		observer->position_acked = position;
	sim_fold(sim, position);
}

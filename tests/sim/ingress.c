/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests come in and become batches, as in a replica's ingress (engine/pipeline/ingress.c): bytes
 * are decoded and checked; what has arrived since the last look is one batch; a replica that does
 * not lead says who does, once for each command.
 */
#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

#include <string.h>

/* A refusal for each command. */
static void refuse(struct sim *sim, const struct sim_replica *replica,
		   const struct sim_request *request, uint16_t status)
{
	struct sim_reply reply;
	uint32_t at = 0;

	sim_tell(sim, "%u refuses client %u: %s", replica->id, request->client,
		 synod_status_name(status));
	sim_reply_begin(&reply, sim, replica);
	while (at < request->size) {
		struct synod_apply_result result = { .status = status };
		struct synod_wire_command command;

		memcpy(&command, request->bytes + at, sizeof(command));
		at += synod_wire_command_size(&command);
		result.session = command.session;
		result.number = command.number;
		sim_reply_add(&reply, request->client, &result);
	}
	sim_reply_send(&reply);
}

static void schedule(struct sim *sim, struct sim_replica *replica, uint64_t within)
{
	if (replica->ingress_scheduled)
		return;
	replica->ingress_scheduled = 1;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, within),
						.kind = SIM_INGRESS,
						.who = (uint8_t)replica->id,
						.life = replica->life });
}

static void take(struct sim *sim, struct sim_replica *replica, const struct sim_request *request)
{
	struct sim_request *waiting = &replica->inbox[replica->inbox_count];

	if (replica->inbox_count == SIM_INBOX_MAX) {
		refuse(sim, replica, request, SYNOD_BUSY);
		return;
	}
	replica->inbox_count++;
	waiting->client = request->client;
	waiting->count = request->count;
	waiting->size = request->size;
	memcpy(waiting->bytes, request->bytes, request->size);
	schedule(sim, replica, 200 * SIM_US);
}

void sim_replica_datagram(struct sim *sim, struct sim_replica *replica,
			  const struct sim_datagram *datagram)
{
	struct sim_request request;
	struct synod_wire_view view;
	int wrong =
		synod_wire_decode(datagram->bytes, datagram->size, SIM_CLUSTER, replica->id, &view);
	int count = wrong ? 0 : synod_wire_commands_check(view.body, view.body_size);

	sim_check(sim, !datagram->damaged || wrong, "replica %u takes a damaged request",
		  replica->id);
	if (datagram->damaged)
		return;
	sim_check(sim, !wrong && view.header->type == SYNOD_REQUEST && count > 0,
		  "client %u sends what replica %u refuses (%d)", datagram->client, replica->id,
		  wrong);
	request.client = datagram->client;
	request.count = (uint32_t)count;
	request.size = view.body_size;
	memcpy(request.bytes, view.body, view.body_size);
	if (synod_wire_request_sort(view.body) != SYNOD_COMMAND_APPLY)
		sim_reads_take(sim, replica, &request);
	else if (sim->params.boots && view.header->boot != replica->boot &&
		 replica->core.role == SYNOD_ROLE_LEADER)
		refuse(sim, replica, &request, SYNOD_BUSY); /* with the answer it knows better */
	else
		take(sim, replica, &request);
}

static void append(struct sim *sim, struct sim_content *content, const struct sim_request *request)
{
	uint64_t capacity = sim->arena_capacity;
	uint64_t origins = sim->origins_capacity;

	if (sim->arena_size + request->size >= capacity) {
		sim->arena = sim_grow(sim->arena, &capacity, sim->arena_size + request->size, 1);
		sim->arena_capacity = (uint32_t)capacity;
	}
	memcpy(sim->arena + sim->arena_size, request->bytes, request->size);
	sim->arena_size += request->size;
	if (sim->origins_count >= origins) {
		sim->origins =
			sim_grow(sim->origins, &origins, sim->origins_count, sizeof(*sim->origins));
		sim->origins_capacity = (uint32_t)origins;
	}
	sim->origins[sim->origins_count++] = (struct sim_origin){ .client = request->client,
								  .first = content->count,
								  .count = request->count };
	content->origins_count++;
	content->size += request->size;
	content->count += request->count;
}

static uint32_t gather(struct sim *sim, const struct sim_replica *replica, uint32_t requests)
{
	uint64_t capacity = sim->contents_capacity;
	struct sim_content content = { .offset = sim->arena_size,
				       .origin = replica->id,
				       .life = replica->life,
				       .origins_first = sim->origins_count };

	for (uint32_t i = 0; i < requests; i++)
		append(sim, &content, &replica->inbox[i]);
	content.crc = synod_crc32c(sim->arena + content.offset, content.size);
	if (sim->contents_count + 1 >= capacity) {
		sim->contents = sim_grow(sim->contents, &capacity, sim->contents_count + 1,
					 sizeof(*sim->contents));
		sim->contents_capacity = (uint32_t)capacity;
	}
	sim->contents[++sim->contents_count] = content;
	return sim->contents_count;
}

static void submit(struct sim *sim, struct sim_replica *replica, uint32_t requests)
{
	uint32_t content = gather(sim, replica, requests);
	const struct sim_content *source = &sim->contents[content];
	uint32_t can_submit = synod_core_can_submit(&replica->core);
	uint32_t live = replica->handles_live;
	struct synod_event event = { .kind = SYNOD_EVENT_SUBMIT };

	event.value = (struct synod_value){ .handle = sim_replica_handle(sim, replica, content),
					    .size = source->size,
					    .count = source->count,
					    .crc = source->crc };
	sim_tell(sim, "%u submits content %u: %u commands of %u requests", replica->id, content,
		 source->count, requests);
	sim_replica_step(sim, replica, &event);
	if (!replica->up)
		return;
	sim_check(sim, (can_submit == 0) == (sim->effects.refused != 0),
		  "replica %u could take %u batches and answers %u", replica->id, can_submit,
		  sim->effects.refused);
	sim_check(sim, can_submit || replica->handles_live == live,
		  "replica %u keeps a batch that it refused", replica->id);
}

void sim_replica_ingress(struct sim *sim, struct sim_replica *replica)
{
	uint32_t requests = replica->inbox_count;
	uint32_t status = replica->core.role == SYNOD_ROLE_LEADER ? SYNOD_BUSY : SYNOD_NOT_LEADER;

	replica->ingress_scheduled = 0;
	if (requests > SIM_BATCH_REQUESTS_MAX)
		requests = SIM_BATCH_REQUESTS_MAX;
	if (replica->core.role == SYNOD_ROLE_LEADER &&
	    replica->disk.room < sim_reserve_leader(sim)) {
		sim_count(sim, SIM_FAULT_DISK_FULL);
		sim_snapshot_take(sim, replica); /* which is to make room */
		for (uint32_t i = 0; i < replica->inbox_count; i++)
			refuse(sim, replica, &replica->inbox[i], SYNOD_FULL);
		replica->inbox_count = 0;
		return;
	}
	if (synod_core_can_submit(&replica->core) == 0) {
		/* The open batch waits while the log is behind, for as long as it has room. */
		if (status == SYNOD_BUSY && sim_below(sim, 32)) {
			schedule(sim, replica, SIM_MS);
			return;
		}
		for (uint32_t i = 0; i < replica->inbox_count; i++)
			refuse(sim, replica, &replica->inbox[i], status);
		/* Now and then try all the same: it must refuse and let go. */
		if (sim_below(sim, 50) == 0)
			submit(sim, replica, requests);
		replica->inbox_count = 0;
		return;
	}
	submit(sim, replica, requests);
	if (!replica->up)
		return;
	replica->inbox_count -= requests;
	memmove(replica->inbox, replica->inbox + requests,
		replica->inbox_count * sizeof(replica->inbox[0]));
	if (replica->inbox_count)
		schedule(sim, replica, SIM_MS);
}

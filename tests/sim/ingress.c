/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests come in and become batches, as in a replica's ingress: what has arrived since the last
 * look is one batch; a replica that does not lead says who does.
 */
#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

#include <string.h>

static void refuse(struct sim *sim, const struct sim_replica *replica,
		   const struct sim_request *request, uint32_t status)
{
	uint32_t packet = sim_net_packet(sim);

	sim_tell(sim, "%u refuses client %u: %s", replica->id, request->commands[0].client,
		 synod_status_name(status));
	sim->packets[packet].kind = SIM_PACKET_REPLY;
	sim->packets[packet].reply = (struct sim_reply){ .session = request->commands[0].session,
							 .number = request->commands[0].number,
							 .status = status,
							 .from = replica->id,
							 .leader = replica->core.leader };
	sim_net_send_client(sim, packet, request->commands[0].client);
}

void sim_replica_request(struct sim *sim, struct sim_replica *replica,
			 const struct sim_request *request)
{
	if (replica->inbox_count == SIM_INBOX_MAX)
		return; /* the ring is full: the client will ask again */
	replica->inbox[replica->inbox_count++] = *request;
	if (replica->ingress_scheduled)
		return;
	replica->ingress_scheduled = 1;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, 200 * SIM_US),
						.kind = SIM_INGRESS,
						.who = (uint8_t)replica->id,
						.life = replica->life });
}

static void append(struct sim *sim, struct sim_content *content, const struct sim_command *source)
{
	struct synod_wire_command command = { .session = source->session,
					      .number = source->number,
					      .kind = source->kind };
	uint64_t payload = source->session * 31 + source->number;
	uint64_t capacity = sim->arena_capacity;

	command.size = source->kind == SYNOD_COMMAND_APPLY ? sizeof(payload) : 0;
	if (sim->arena_size + sizeof(command) + sizeof(payload) >= capacity) {
		sim->arena = sim_grow(sim->arena, &capacity, sim->arena_size + 64, 1);
		sim->arena_capacity = (uint32_t)capacity;
	}
	memcpy(sim->arena + sim->arena_size, &command, sizeof(command));
	memcpy(sim->arena + sim->arena_size + sizeof(command), &payload, command.size);
	sim->arena_size += synod_wire_command_size(&command);
	content->size += synod_wire_command_size(&command);
	content->count++;
}

static uint32_t gather(struct sim *sim, const struct sim_replica *replica, uint32_t requests)
{
	uint64_t capacity = sim->contents_capacity;
	struct sim_content content = { .offset = sim->arena_size,
				       .origin = replica->id,
				       .life = replica->life };

	for (uint32_t i = 0; i < requests; i++)
		for (uint32_t j = 0; j < replica->inbox[i].count; j++)
			append(sim, &content, &replica->inbox[i].commands[j]);
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
	if (synod_core_can_submit(&replica->core) == 0) {
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
	if (replica->inbox_count) {
		replica->ingress_scheduled = 1;
		sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, SIM_MS),
							.kind = SIM_INGRESS,
							.who = (uint8_t)replica->id,
							.life = replica->life });
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A replica's apply stage (engine/pipeline/apply_stage.c): executes what is chosen and answers the
 * clients whose commands this life of the replica gathered. Results of one session that stand
 * together leave in one datagram.
 *
 * A life begins with zeroed memory, of which the key-value machine needs 18 MB and touches little:
 * it is mapped, and given back to the kernel between lives, so that a restart costs what was
 * touched and not what might be.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t memory_size(void)
{
	size_t kv = synod_apply_size(&synod_kv_machine, SIM_CLIENTS_MAX + 2);
	size_t sequencer = synod_apply_size(&synod_sequencer_machine, SIM_CLIENTS_MAX + 2);

	return kv > sequencer ? kv : sequencer;
}

void sim_apply_start(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(sim->params.sessions, sim->params.session_window);
	void **memory = &sim->apply_memory[replica->id];

	if (!*memory) {
		*memory = mmap(NULL, memory_size(), PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (*memory == MAP_FAILED)
			abort();
		/* A page touched must not cost 2 MB of zeros. */
		(void)madvise(*memory, memory_size(), MADV_NOHUGEPAGE);
	} else if (madvise(*memory, memory_size(), MADV_DONTNEED)) {
		abort();
	}
	replica->apply = synod_apply_init_within(*memory, sim->machine, &limits);
}

void sim_apply_free(struct sim *sim)
{
	for (uint32_t id = 0; id <= SYNOD_REPLICAS_MAX; id++)
		if (sim->apply_memory[id])
			munmap(sim->apply_memory[id], memory_size());
}

void sim_reply_begin(struct sim_reply *reply, struct sim *sim, const struct sim_replica *replica)
{
	reply->sim = sim;
	reply->replica = replica;
	reply->session = 0;
	reply->datagram.client = 0;
	reply->datagram.replica = replica->id;
	reply->datagram.damaged = 0;
	reply->datagram.size = SYNOD_HEADER_SIZE;
}

void sim_reply_send(struct sim_reply *reply)
{
	struct sim_datagram *datagram = &reply->datagram;
	struct synod_wire_header *header = (struct synod_wire_header *)datagram->bytes;

	if (datagram->size == SYNOD_HEADER_SIZE)
		return;
	memset(header, 0, sizeof(*header));
	header->type = SYNOD_REPLY;
	header->cluster = SIM_CLUSTER;
	header->sender = (uint16_t)reply->replica->id;
	header->slot = reply->session;
	header->argument = reply->replica->core.leader;
	header->boot = reply->replica->boot;
	synod_wire_seal(header, NULL, datagram->bytes + SYNOD_HEADER_SIZE,
			datagram->size - SYNOD_HEADER_SIZE);
	sim_datagram_send(reply->sim, SIM_PACKET_REPLY, datagram);
	datagram->size = SYNOD_HEADER_SIZE;
}

void sim_reply_add(struct sim_reply *reply, uint32_t client,
		   const struct synod_apply_result *result)
{
	struct sim_datagram *datagram = &reply->datagram;
	uint32_t padded = SYNOD_WIRE_ALIGN(result->size);
	struct synod_wire_result wire = { .number = result->number,
					  .position = result->position,
					  .status = result->status,
					  .size = (uint16_t)result->size };

	/* When to come again: mostly told. */
	if (result->status == SYNOD_BUSY && sim_below(reply->sim, 4))
		wire.retry_us = (uint32_t)sim_below(reply->sim, 20000);
	else if (result->status == SYNOD_OK)
		wire.window = result->window;
	if (reply->session != result->session || datagram->client != client ||
	    datagram->size + sizeof(wire) + padded > SIM_DATAGRAM_SIZE)
		sim_reply_send(reply);
	reply->session = result->session;
	datagram->client = client;
	memcpy(datagram->bytes + datagram->size, &wire, sizeof(wire));
	datagram->size += (uint32_t)sizeof(wire);
	memset(datagram->bytes + datagram->size, 0, padded);
	if (result->size)
		memcpy(datagram->bytes + datagram->size, result->data, result->size);
	datagram->size += padded;
}

struct sink {
	struct sim *sim;
	uint64_t slot;
	const uint8_t *bytes;		 /* of the command whose result comes next */
	const struct sim_origin *origin; /* NULL: nobody waits for answers */
	uint32_t first;			 /* no replica has executed this slot before */
	struct sim_reply reply;
};

static void on_result(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct sink *sink = context;
	struct sim_place place = { .slot = sink->slot, .index = index };
	struct synod_wire_command command;

	memcpy(&command, sink->bytes, sizeof(command));
	if (sink->first)
		sim_observer_result(sink->sim, &place, &command, sink->bytes + sizeof(command),
				    result);
	sink->bytes += synod_wire_command_size(&command);
	if (!sink->origin)
		return;
	if (index >= sink->origin->first + sink->origin->count)
		sink->origin++;
	sim_reply_add(&sink->reply, sink->origin->client, result);
}

void sim_apply_slot(struct sim *sim, struct sim_replica *replica, uint64_t slot, uint32_t content)
{
	const struct sim_content *batch = &sim->contents[content];
	struct sink sink = { .sim = sim, .slot = slot };

	sim_reply_begin(&sink.reply, sim, replica);
	sink.first = !sim_observer_slot(sim, slot)->is_applied;
	sink.bytes = batch->size ? sim->arena + batch->offset : NULL;
	if (content && batch->origin == replica->id && batch->life == replica->life)
		sink.origin = &sim->origins[batch->origins_first];
	synod_apply_batch(replica->apply, slot, sink.bytes, batch->size, on_result, &sink);
	sim_reply_send(&sink.reply);
	replica->applied = slot;
	sim_observer_applied(sim, replica, slot);
}

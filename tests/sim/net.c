/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated network. Datagrams are lost, copied, delayed past one another, cut off, held
 * back in a clogged link and set free later in another order, or too large for a link that has
 * become narrow. A flipped bit or a missing tail goes through the real encoder and decoder: it must
 * be noticed, and is then a loss.
 *
 * Knows nothing of the protocol. Faults end with the safety phase, but for the links of the
 * replicas that stay broken.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

enum {
	DAMAGE_BATCH_MAX = 4096
};

uint32_t sim_net_packet(struct sim *sim)
{
	uint32_t packet = sim->packets_free;

	if (packet) {
		sim->packets_free = sim->packets[packet].free_next;
		return packet;
	}
	if (sim->packets_count + 1 >= sim->packets_capacity) {
		uint64_t capacity = sim->packets_capacity;

		sim->packets = sim_grow(sim->packets, &capacity, sim->packets_count + 1,
					sizeof(*sim->packets));
		sim->packets_capacity = (uint32_t)capacity;
	}
	return ++sim->packets_count;
}

void sim_net_free(struct sim *sim, uint32_t packet)
{
	sim->packets[packet].free_next = sim->packets_free;
	sim->packets_free = packet;
}

static uint32_t size_of(const struct sim *sim, const struct synod_message *message,
			uint32_t content)
{
	return SYNOD_HEADER_SIZE +
	       (message->has_value ? SYNOD_ENTRY_SIZE + sim->contents[content].size : 0);
}

/* The message as it travels. */
static void encode(struct sim *sim, const struct synod_message *message, uint32_t content,
		   uint8_t *bytes)
{
	const struct sim_content *batch = &sim->contents[content];
	struct synod_wire_header header = {
		.type = message->type,
		.cluster = SIM_CLUSTER,
		.sender = message->from,
		.receiver = message->to,
		.ballot = message->ballot,
		.slot = message->slot,
		.chosen_through = message->chosen_through,
		.argument = message->argument,
		.flags = (uint16_t)(message->flags | (message->has_value ? SYNOD_FLAG_ENTRY : 0)),
	};
	struct synod_wire_entry entry = {
		.slot = message->value_slot,
		.ballot = message->value_ballot,
		.size = message->value.size,
		.count = message->value.count,
		.crc = message->value.crc,
		.flags = message->value_flags,
	};
	synod_wire_seal(&header, message->has_value ? &entry : NULL, NULL,
			message->has_value ? entry.size : 0);
	memcpy(bytes, &header, sizeof(header));
	if (!message->has_value)
		return;
	memcpy(bytes + sizeof(header), &entry, sizeof(entry));
	if (batch->size)
		memcpy(bytes + sizeof(header) + sizeof(entry), sim->arena + batch->offset,
		       batch->size);
}

/* I13's little sister: no flipped bit and no missing tail is ever taken for a message. */
static void damage(struct sim *sim, const struct synod_message *message, uint32_t content,
		   enum sim_fault fault)
{
	static _Alignas(8) uint8_t bytes[SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE + DAMAGE_BATCH_MAX];
	struct synod_wire_view view;
	size_t size = size_of(sim, message, content);
	uint64_t at;

	if (size > sizeof(bytes))
		return;
	encode(sim, message, content, bytes);
	sim_check(sim, synod_wire_decode(bytes, size, SIM_CLUSTER, message->to, &view) == 0,
		  "a sealed %s does not decode", synod_wire_type_name(message->type));
	if (fault == SIM_FAULT_CORRUPT) {
		at = sim_below(sim, size * 8);
		bytes[at / 8] ^= (uint8_t)(1u << (at % 8));
	} else {
		at = sim_below(sim, size);
		size = at;
	}
	sim_check(sim, synod_wire_decode(bytes, size, SIM_CLUSTER, message->to, &view) != 0,
		  "a %s with a %s at %llu decodes", synod_wire_type_name(message->type),
		  sim_fault_names[fault], (unsigned long long)at);
	sim_count(sim, fault);
}

uint64_t sim_net_delay(struct sim *sim)
{
	const struct sim_params *params = &sim->params;
	uint64_t delay = sim_between(sim, params->delay_min, params->delay_max);

	if (sim->phase == SIM_SAFETY && sim_chance(sim, params->spike)) {
		delay += sim_below(sim, params->spike_max);
		sim_count(sim, SIM_FAULT_DELAY);
	}
	return delay;
}

/* When what leaves now comes there. */
static uint64_t arrives_at(struct sim *sim, uint32_t from, uint32_t to)
{
	uint64_t at = sim->now + sim_net_delay(sim);
	uint64_t clogged_until = sim->clogged_until[from][to];

	if (clogged_until > at) {
		at = clogged_until + sim_below(sim, 2 * SIM_MS); /* set free in another order */
		sim_count(sim, SIM_FAULT_CLOG);
	}
	return at;
}

static void deliver_later(struct sim *sim, const struct synod_message *message, uint32_t content)
{
	uint64_t at = arrives_at(sim, message->from, message->to);
	uint32_t packet = sim_net_packet(sim);

	sim->packets[packet].kind = SIM_PACKET_MESSAGE;
	sim->packets[packet].content = content;
	sim->packets[packet].message = *message;
	sim->packets[packet].disks_from = sim->replicas[message->from].disks;
	sim->packets[packet].disks_to = sim->replicas[message->to].disks;
	sim_lives_stamp(sim, &sim->packets[packet]);
	sim_queue_push(sim,
		       (struct sim_event){
			       .at = at, .kind = SIM_PACKET, .who = message->to, .a = packet });
}

/*
 * A copy that comes to somebody else, or says that it is from somebody else: whoever gets it must
 * drop it before using any id in it (B14).
 */
static void stray(struct sim *sim, const struct synod_message *message, uint32_t content)
{
	const uint8_t nobody[] = { 0, (uint8_t)(sim->params.replicas + 1), SYNOD_REPLICAS_MAX + 1,
				   message->to, UINT8_MAX };
	uint32_t who = 1 + (uint32_t)sim_below(sim, sim->params.replicas);
	uint32_t packet = sim_net_packet(sim);

	sim->packets[packet].kind = SIM_PACKET_MESSAGE;
	sim->packets[packet].content = content;
	sim->packets[packet].message = *message;
	sim->packets[packet].disks_from = sim->replicas[message->from].disks;
	sim->packets[packet].disks_to = sim->replicas[message->to].disks;
	sim_lives_stamp(sim, &sim->packets[packet]);
	if (who == message->to)
		sim->packets[packet].message.from = nobody[sim_below(sim, sizeof(nobody))];
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_net_delay(sim),
						.kind = SIM_PACKET,
						.who = (uint8_t)who,
						.a = packet });
	sim_count(sim, SIM_FAULT_STRAY);
}

void sim_net_send(struct sim *sim, const struct synod_message *message, uint32_t content)
{
	if (sim->phase == SIM_SAFETY && sim_chance(sim, sim->params.stray))
		stray(sim, message, content);
	if (sim->cut[message->from][message->to])
		return;
	if (sim->phase == SIM_SAFETY) {
		if (sim_chance(sim, sim->params.corrupt)) {
			damage(sim, message, content, SIM_FAULT_CORRUPT);
			return;
		}
		if (sim_chance(sim, sim->params.truncate)) {
			damage(sim, message, content, SIM_FAULT_TRUNCATE);
			return;
		}
		if (sim->narrow_until[message->from][message->to] > sim->now &&
		    size_of(sim, message, content) > sim->params.mtu) {
			sim_count(sim, SIM_FAULT_OVERSIZE);
			return;
		}
		if (sim_chance(sim, sim->params.loss)) {
			sim_count(sim, SIM_FAULT_LOSS);
			return;
		}
		if (sim_chance(sim, sim->params.copy)) {
			sim_count(sim, SIM_FAULT_COPY);
			deliver_later(sim, message, content);
		}
	}
	deliver_later(sim, message, content);
}

static void deliver_hello(struct sim *sim, const struct synod_wire_header *hello)
{
	uint64_t at = arrives_at(sim, hello->sender, hello->receiver);
	uint32_t packet = sim_net_packet(sim);

	sim->packets[packet].kind = SIM_PACKET_HELLO;
	sim->packets[packet].hello = *hello;
	sim_queue_push(sim, (struct sim_event){ .at = at,
						.kind = SIM_PACKET,
						.who = (uint8_t)hello->receiver,
						.a = packet });
}

void sim_net_hello(struct sim *sim, const struct synod_wire_header *hello)
{
	if (sim->cut[hello->sender][hello->receiver])
		return;
	if (sim->phase == SIM_SAFETY && sim_chance(sim, sim->params.loss)) {
		sim_count(sim, SIM_FAULT_LOSS);
		return;
	}
	if (sim->phase == SIM_SAFETY && sim_chance(sim, sim->params.copy)) {
		sim_count(sim, SIM_FAULT_COPY);
		deliver_hello(sim, hello);
	}
	deliver_hello(sim, hello);
}

void sim_net_heal(struct sim *sim)
{
	memset(sim->cut, 0, sizeof(sim->cut));
	memset(sim->clogged_until, 0, sizeof(sim->clogged_until));
	memset(sim->narrow_until, 0, sizeof(sim->narrow_until));
	sim->partition_generation++;
}

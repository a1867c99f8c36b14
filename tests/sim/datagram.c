/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What travels between clients and replicas: whole datagrams, sealed by whoever sends them and
 * decoded by whoever gets them. They are lost, copied, delayed past one another; a flipped bit or a
 * missing tail is delivered like anything else, and it is the receiver that must refuse it.
 */
#include "tests/sim/sim.h"

#include <string.h>

static uint32_t fresh(struct sim *sim)
{
	uint32_t index = sim->datagrams_free;
	uint64_t capacity = sim->datagrams_capacity;

	if (index) {
		sim->datagrams_free = sim->datagrams[index].free_next;
		return index;
	}
	if (sim->datagrams_count + 1 >= capacity) {
		sim->datagrams = sim_grow(sim->datagrams, &capacity, sim->datagrams_count + 1,
					  sizeof(*sim->datagrams));
		sim->datagrams_capacity = (uint32_t)capacity;
	}
	return ++sim->datagrams_count;
}

/* Only as many bytes as it has. */
static void copy(struct sim_datagram *to, const struct sim_datagram *from)
{
	to->client = from->client;
	to->replica = from->replica;
	to->damaged = from->damaged;
	to->size = from->size;
	memcpy(to->bytes, from->bytes, from->size);
}

void sim_datagram_post(struct sim *sim, enum sim_packet_kind kind,
		       const struct sim_datagram *datagram, uint64_t at)
{
	uint32_t packet = sim_net_packet(sim);
	uint32_t index = fresh(sim);
	uint32_t who = kind == SIM_PACKET_REQUEST ? datagram->replica : datagram->client;

	copy(&sim->datagrams[index], datagram);
	sim->packets[packet].kind = kind;
	sim->packets[packet].datagram = index;
	sim_queue_push(sim,
		       (struct sim_event){
			       .at = at, .kind = SIM_PACKET, .who = (uint8_t)who, .a = packet });
}

struct sim_datagram sim_datagram_take(struct sim *sim, uint32_t packet)
{
	uint32_t index = sim->packets[packet].datagram;
	struct sim_datagram taken;

	copy(&taken, &sim->datagrams[index]);
	sim->datagrams[index].free_next = sim->datagrams_free;
	sim->datagrams_free = index;
	sim_net_free(sim, packet);
	return taken;
}

/* Flips a bit or cuts a tail off, sometimes. */
static void damage(struct sim *sim, struct sim_datagram *datagram)
{
	if (sim_chance(sim, sim->params.corrupt)) {
		uint64_t bit = sim_below(sim, datagram->size * 8ull);

		datagram->bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		datagram->damaged = 1;
		sim_count(sim, SIM_FAULT_CLIENT_CORRUPT);
	} else if (sim_chance(sim, sim->params.truncate)) {
		datagram->size = (uint32_t)sim_below(sim, datagram->size);
		datagram->damaged = 1;
		sim_count(sim, SIM_FAULT_CLIENT_TRUNCATE);
	}
}

void sim_datagram_send(struct sim *sim, enum sim_packet_kind kind,
		       const struct sim_datagram *datagram)
{
	struct sim_datagram sent;

	if (sim->phase != SIM_SAFETY) {
		sim_datagram_post(sim, kind, datagram, sim->now + sim_net_delay(sim));
		return;
	}
	if (sim_chance(sim, sim->params.loss)) {
		sim_count(sim, SIM_FAULT_LOSS);
		return;
	}
	copy(&sent, datagram);
	if (sim_chance(sim, sim->params.copy)) {
		sim_count(sim, SIM_FAULT_COPY);
		sim_datagram_post(sim, kind, &sent, sim->now + sim_net_delay(sim));
	}
	damage(sim, &sent);
	sim_datagram_post(sim, kind, &sent, sim->now + sim_net_delay(sim));
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operator of a replica that lost its disk: `synod recover` (engine/DESIGN.md, 17). And what
 * the pipeline does by HELLO: once a replica has heard of a peer's new disk, which it knows durably
 * from then on, it takes nothing any more that the peer sent with the old one; and what was for a
 * disk that it lost itself it never takes. (In a quarter of the seeds it is HELLO that does that:
 * lives.c.)
 */
#include "tests/sim/sim.h"

/* A ballot that nobody was bound to is unused: what asked for it is dropped by all from now on. */
static void forget_unused_ballots(struct sim *sim, uint32_t id)
{
	for (uint32_t i = 0; i < sim->observer.ballots_count; i++) {
		struct sim_ballot *ballot = &sim->observer.ballots[i];

		if ((ballot->ballot & 0xff) == id && !(ballot->promises & ~(1u << id)) &&
		    !ballot->led)
			ballot->life = 0;
	}
}

void sim_rejoin(struct sim *sim, struct sim_replica *replica)
{
	if (sim->phase != SIM_SAFETY)
		return; /* the operator is away: it stays lost */
	sim_check(sim, replica->disk.lost || replica->disk.rolled,
		  "replica %u has its disk, and gets another", replica->id);
	sim_count(sim, SIM_FAULT_DISK_RECOVERED);
	replica->disks = ++replica->disks_given;
	replica->joins = 1;
	sim_tell(sim, "%u is given a new disk, incarnation %u", replica->id, 1 + replica->disks);
	sim_disk_format(sim, replica, replica->disk.size, NULL);
	sim->observer.accepted_ballot[replica->id] = 0;
	forget_unused_ballots(sim, replica->id);
	sim_replica_start(sim, replica);
}

/* I12: what was chosen with the vote of the lost disk is on the new one. */
void sim_rejoin_joined(struct sim *sim, struct sim_replica *replica)
{
	const struct sim_observer *observer = &sim->observer;

	sim_count(sim, SIM_FAULT_DISK_JOINED);
	for (uint64_t slot = 1; slot <= observer->chosen_prefix; slot++) {
		const struct sim_slot *state = sim_observer_slot(sim, slot);
		const struct sim_record *record = sim_disk_durable(&replica->disk, slot);

		for (uint32_t i = state->proposals; i; i = observer->proposals[i].next)
			sim_check(sim,
				  !(observer->proposals[i].votes >> replica->id & 1) ||
					  observer->proposals[i].ballot < state->chosen_ballot ||
					  (record && record->content == state->chosen),
				  "I12: replica %u votes, and lacks slot %llu, which its lost disk "
				  "voted for",
				  replica->id, (unsigned long long)slot);
	}
}

int sim_rejoin_drops(struct sim *sim, struct sim_replica *replica, const struct sim_packet *packet)
{
	const uint32_t from = packet->message.from;

	if (from < 1 || from > sim->params.replicas || packet->message.to != replica->id)
		return 0; /* a stray: the core has to see that */
	if (packet->disks_to != replica->disks || packet->disks_from < replica->heard[from])
		return 1;
	replica->heard[from] = packet->disks_from;
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is asked of a replica besides commands: linearizable reads, as the core sees them (a token,
 * and later "may be served once that slot is executed"), and leadership to be handed over.
 */
#include "tests/sim/sim.h"

/* Some reads at once: one round must serve them all. */
void sim_asked_read(struct sim *sim, struct sim_replica *replica)
{
	struct synod_event event = { .kind = SYNOD_EVENT_READ };
	uint64_t count = 1 + sim_below(sim, 3);

	if (!replica->up || replica->paused_until > sim->now)
		return;
	while (count-- && replica->read_last - replica->read_settled < SIM_READS_MAX)
		replica->read_floors[++replica->read_last % SIM_READS_MAX] =
			sim->observer.applied_last;
	event.token = replica->read_last;
	sim_replica_step(sim, replica, &event);
}

void sim_asked_handover(struct sim *sim, struct sim_replica *replica)
{
	struct synod_event event = { .kind = SYNOD_EVENT_HANDOVER,
				     .replica = sim_below(sim, sim->params.replicas + 2) };

	if (!replica->up || replica->paused_until > sim->now)
		return;
	sim_tell(sim, "%u is asked to hand over to %llu", replica->id,
		 (unsigned long long)event.replica);
	sim_replica_step(sim, replica, &event);
	if (replica->up && !sim->effects.refused)
		sim_count(sim, SIM_FAULT_HANDOVER);
}

/*
 * I11. Whoever executed a slot may have answered for it. So a read must see every slot that anybody
 * had executed when the read came; and only a leader may say when.
 */
void sim_asked_settled(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	if (!fx->read_through)
		return;
	sim_check(sim,
		  fx->read_through > replica->read_settled &&
			  fx->read_through <= replica->read_last,
		  "replica %u settles reads through %llu of %llu twice or too early", replica->id,
		  (unsigned long long)fx->read_through, (unsigned long long)replica->read_last);
	for (; replica->read_settled < fx->read_through; replica->read_settled++) {
		uint64_t floor = replica->read_floors[(replica->read_settled + 1) % SIM_READS_MAX];

		if (fx->read_status)
			continue;
		sim_done(sim, SIM_TRAFFIC_READS_GRANTED);
		sim_check(sim, fx->read_slot >= floor,
			  "I11: replica %u would serve a read from slot %llu: slot %llu had been "
			  "executed when it was asked",
			  replica->id, (unsigned long long)fx->read_slot,
			  (unsigned long long)floor);
	}
	sim_tell(sim, "%u settles reads through %llu: %s, slot %llu", replica->id,
		 (unsigned long long)fx->read_through, synod_status_name(fx->read_status),
		 (unsigned long long)fx->read_slot);
}

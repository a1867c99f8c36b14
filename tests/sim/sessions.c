/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The session table once more, as it must be (engine/DESIGN.md, 11), for a handful of sessions and
 * without haste: seats that are filled in order; a full table gives the seat that was used longest
 * ago; an identity has one seat at most, that of its latest life.
 */
#include "tests/sim/sim.h"

#include <string.h>

struct sim_seat *sim_sessions_find(struct sim *sim, uint64_t id)
{
	for (uint32_t i = 0; i < sim->observer.seats_count; i++)
		if (sim->observer.seats[i].id == id)
			return &sim->observer.seats[i];
	return NULL;
}

/* The seat that a REGISTER speaks of, if there is one: its identity's, or its nonce's. */
static struct sim_seat *seat_of(struct sim *sim, const struct sim_seat *wanted)
{
	for (uint32_t i = 0; i < sim->observer.seats_count; i++) {
		struct sim_seat *seat = &sim->observer.seats[i];

		if (seat->identity == wanted->identity &&
		    (wanted->identity || seat->nonce == wanted->nonce))
			return seat;
	}
	return NULL;
}

/* One that is free, or was used longest ago; of several the first. */
static struct sim_seat *seat_take(struct sim *sim)
{
	struct sim_observer *observer = &sim->observer;
	struct sim_seat *oldest = &observer->seats[0];

	if (observer->seats_count < sim->params.sessions)
		return &observer->seats[observer->seats_count++];
	for (uint32_t i = 1; i < observer->seats_count; i++)
		if (observer->seats[i].used < oldest->used)
			oldest = &observer->seats[i];
	return oldest;
}

uint64_t sim_sessions_register(struct sim *sim, const struct sim_place *place, uint64_t nonce,
			       const struct synod_wire_identity *who)
{
	struct sim_seat wanted = { .id = place->slot << 16 | (place->index + 1),
				   .nonce = nonce,
				   .identity = who->identity,
				   .incarnation = who->incarnation,
				   .used = place->slot };
	struct sim_seat *seat = seat_of(sim, &wanted);

	if (!seat) {
		seat = seat_take(sim);
	} else if (seat->incarnation == wanted.incarnation && seat->nonce == nonce) {
		return seat->id;
	} else if (seat->incarnation > wanted.incarnation ||
		   (seat->incarnation == wanted.incarnation && seat->nonce > nonce)) {
		return 0;
	}
	sim_parts_drop(sim, seat->id);
	*seat = wanted;
	return wanted.id;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The judge. It sees messages, writes, what is durable, what a replica takes for chosen, what it
 * executed and what clients were told; it knows Paxos and nothing of the engine's inside. What is
 * chosen it decides itself: a value is chosen when a quorum of disks holds it at one ballot.
 *
 * Here: I1, I2, I3, I6-I8 from writes and what is executed. Messages (I4): observer_messages.c.
 * Sessions and answers (I5, I9, I10): observer_clients.c. The numbers are those of
 * engine/DESIGN.md.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define BALLOT_FORMAT  "%llu.%u"
#define BALLOT(ballot) (unsigned long long)((ballot) >> 8), (unsigned int)(ballot)&0xff

void sim_observer_reset(struct sim *sim)
{
	struct sim_observer *observer = &sim->observer;

	if (observer->slots_capacity)
		memset(observer->slots, 0, observer->slots_capacity * sizeof(*observer->slots));
	observer->slot_last = 0;
	observer->leaders = 0;
	observer->chosen_prefix = 0;
	observer->applied_last = 0;
	observer->proposals_count = 0;
	observer->ballots_count = 0;
	observer->positions_count = 0;
	observer->position_acked = 0;
	observer->sessions_count = 0;
	observer->seats_count = 0;
	memset(observer->seats, 0, sizeof(observer->seats));
	memset(observer->parts, 0, sizeof(observer->parts));
	observer->changes_count = 0;
	memset(observer->store, 0, sizeof(observer->store));
	memset(observer->executed, 0, sizeof(observer->executed));
	memset(observer->accepted_ballot, 0, sizeof(observer->accepted_ballot));
	memset(observer->accepted_through, 0, sizeof(observer->accepted_through));
}

struct sim_slot *sim_observer_slot(struct sim *sim, uint64_t slot)
{
	struct sim_observer *observer = &sim->observer;

	sim_check(sim, slot > 0 && slot < 1u << 20, "slot %llu is absurd",
		  (unsigned long long)slot);
	if (slot >= observer->slots_capacity)
		observer->slots = sim_grow(observer->slots, &observer->slots_capacity, slot,
					   sizeof(*observer->slots));
	if (slot > observer->slot_last)
		observer->slot_last = slot;
	return &observer->slots[slot];
}

struct sim_ballot *sim_observer_ballot(struct sim *sim, uint64_t ballot)
{
	struct sim_observer *observer = &sim->observer;
	uint64_t capacity = observer->ballots_capacity;

	/* From the newest: an old ballot is rarely asked for. */
	for (uint32_t i = observer->ballots_count; i-- > 0;)
		if (observer->ballots[i].ballot == ballot)
			return &observer->ballots[i];
	if (observer->ballots_count >= capacity) {
		observer->ballots = sim_grow(observer->ballots, &capacity, observer->ballots_count,
					     sizeof(*observer->ballots));
		observer->ballots_capacity = (uint32_t)capacity;
	}
	observer->ballots[observer->ballots_count] = (struct sim_ballot){ .ballot = ballot };
	return &observer->ballots[observer->ballots_count++];
}

/* I6: once chosen at a ballot, it is the only value proposed at any higher one. */
static void check_proposal(struct sim *sim, uint64_t slot, const struct sim_proposal *proposal)
{
	const struct sim_slot *state = sim_observer_slot(sim, slot);

	sim_check(sim,
		  !state->is_chosen || proposal->ballot <= state->chosen_ballot ||
			  proposal->content == state->chosen,
		  "I6: slot %llu: content %u chosen at " BALLOT_FORMAT
		  ", content %u proposed at " BALLOT_FORMAT,
		  (unsigned long long)slot, state->chosen, BALLOT(state->chosen_ballot),
		  proposal->content, BALLOT(proposal->ballot));
}

struct sim_proposal *sim_observer_proposal(struct sim *sim, uint64_t slot, uint64_t ballot,
					   uint32_t content)
{
	struct sim_observer *observer = &sim->observer;
	struct sim_slot *state = sim_observer_slot(sim, slot);
	uint64_t capacity = observer->proposals_capacity;
	struct sim_proposal *proposal;

	for (uint32_t i = state->proposals; i; i = observer->proposals[i].next) {
		proposal = &observer->proposals[i];
		if (proposal->ballot != ballot)
			continue;
		sim_check(sim, proposal->content == content,
			  "I2: slot %llu ballot " BALLOT_FORMAT " has contents %u and %u",
			  (unsigned long long)slot, BALLOT(ballot), proposal->content, content);
		return proposal;
	}
	if (observer->proposals_count + 1 >= capacity) {
		observer->proposals =
			sim_grow(observer->proposals, &capacity, observer->proposals_count + 1,
				 sizeof(*observer->proposals));
		observer->proposals_capacity = (uint32_t)capacity;
	}
	proposal = &observer->proposals[++observer->proposals_count];
	*proposal = (struct sim_proposal){ .ballot = ballot,
					   .content = content,
					   .next = state->proposals };
	state->proposals = observer->proposals_count;
	check_proposal(sim, slot, proposal);
	return proposal;
}

static void become_chosen(struct sim *sim, uint64_t slot, uint64_t ballot, uint32_t content)
{
	struct sim_observer *observer = &sim->observer;
	struct sim_slot *state = sim_observer_slot(sim, slot);

	sim_check(sim, !state->is_chosen || state->chosen == content,
		  "I1: slot %llu: content %u chosen at " BALLOT_FORMAT
		  " and content %u at " BALLOT_FORMAT,
		  (unsigned long long)slot, state->chosen, BALLOT(state->chosen_ballot), content,
		  BALLOT(ballot));
	if (state->is_chosen && state->chosen_ballot <= ballot)
		return;
	state->is_chosen = 1;
	state->chosen = content;
	state->chosen_ballot = ballot;
	for (uint32_t i = state->proposals; i; i = observer->proposals[i].next)
		check_proposal(sim, slot, &observer->proposals[i]);
	while (observer->chosen_prefix + 1 <= observer->slot_last &&
	       sim_observer_slot(sim, observer->chosen_prefix + 1)->is_chosen)
		observer->chosen_prefix++;
}

/*
 * I8: a write that says "chosen through" speaks for records at or before it: a recovery executes
 * them without asking anybody.
 */
static void check_hint(struct sim *sim, struct sim_replica *replica, uint64_t hint)
{
	struct sim_disk *disk = &replica->disk;

	sim_check(sim, hint <= sim->observer.chosen_prefix,
		  "I8: replica %u writes chosen through %llu, chosen is %llu", replica->id,
		  (unsigned long long)hint, (unsigned long long)sim->observer.chosen_prefix);
	for (; disk->issued_hint < hint; disk->issued_hint++) {
		uint64_t slot = disk->issued_hint + 1;
		const struct sim_record *record = sim_disk_issued(disk, slot);

		sim_check(sim, record && record->content == sim_observer_slot(sim, slot)->chosen,
			  "I8: replica %u writes chosen through %llu without slot %llu",
			  replica->id, (unsigned long long)hint, (unsigned long long)slot);
	}
}

/* Promised, or accepted at, which binds as much. */
static uint64_t bound_to(const struct sim_disk *disk)
{
	return disk->issued_promised > disk->issued_accepted_max ? disk->issued_promised
								 : disk->issued_accepted_max;
}

/* I3: never below the promise, never another value at an equal ballot. */
static void check_accept(struct sim *sim, const struct sim_replica *replica,
			 const struct synod_core_write *write, uint32_t content)
{
	const struct sim_disk *disk = &replica->disk;
	const struct sim_record *record = sim_disk_issued(disk, write->slot);

	sim_check(sim, write->ballot >= bound_to(disk),
		  "I3: replica %u accepts slot %llu at " BALLOT_FORMAT ", bound to " BALLOT_FORMAT,
		  replica->id, (unsigned long long)write->slot, BALLOT(write->ballot),
		  BALLOT(bound_to(disk)));
	sim_check(sim, !record || record->ballot != write->ballot || record->content == content,
		  "I3: replica %u overwrites slot %llu at its own ballot", replica->id,
		  (unsigned long long)write->slot);
	(void)sim_observer_proposal(sim, write->slot, write->ballot, content);
}

void sim_observer_write(struct sim *sim, struct sim_replica *replica,
			const struct synod_core_write *write, uint32_t content)
{
	const struct sim_slot *state;

	check_hint(sim, replica, write->chosen_through);
	if (write->kind == SYNOD_WRITE_OF_PROMISE) {
		sim_check(sim, write->ballot > bound_to(&replica->disk),
			  "I3: replica %u promises " BALLOT_FORMAT ", bound to " BALLOT_FORMAT,
			  replica->id, BALLOT(write->ballot), BALLOT(bound_to(&replica->disk)));
		return;
	}
	if (write->kind == SYNOD_WRITE_OF_STANDING)
		return;
	if (!write->chosen) {
		check_accept(sim, replica, write, content);
		return;
	}
	state = sim_observer_slot(sim, write->slot);
	sim_check(sim, state->is_chosen && state->chosen == content,
		  "I1: replica %u learns content %u for slot %llu", replica->id, content,
		  (unsigned long long)write->slot);
}

uint32_t sim_observer_recorded(struct sim *sim, const struct synod_wire_entry *entry)
{
	const struct sim_observer *observer = &sim->observer;
	const struct sim_slot *state = sim_observer_slot(sim, entry->slot);

	for (uint32_t i = state->proposals; i; i = observer->proposals[i].next)
		if (observer->proposals[i].ballot == entry->ballot)
			return observer->proposals[i].content;
	sim_check(sim, entry->flags & SYNOD_ENTRY_CHOSEN && state->is_chosen,
		  "I13: a record of slot %llu at " BALLOT_FORMAT ", where nothing was proposed",
		  (unsigned long long)entry->slot, BALLOT(entry->ballot));
	return state->chosen;
}

void sim_observer_durable(struct sim *sim, struct sim_replica *replica,
			  const struct synod_core_write *write, uint32_t content)
{
	struct sim_proposal *proposal;

	if (write->kind != SYNOD_WRITE_OF_SLOT || write->chosen)
		return;
	proposal = sim_observer_proposal(sim, write->slot, write->ballot, content);
	proposal->votes |= 1u << replica->id;
	if (sim_votes(sim, proposal->votes) >= sim->params.quorum_accept)
		become_chosen(sim, write->slot, write->ballot, content);
}

void sim_observer_chosen(struct sim *sim, struct sim_replica *replica, uint64_t slot,
			 uint32_t content)
{
	const struct sim_slot *state = sim_observer_slot(sim, slot);

	sim_check(sim, state->is_chosen, "I1: replica %u takes slot %llu for chosen: no quorum",
		  replica->id, (unsigned long long)slot);
	sim_check(sim, state->chosen == content,
		  "I1: replica %u takes content %u for chosen at slot %llu: it is %u", replica->id,
		  content, (unsigned long long)slot, state->chosen);
}

void sim_observer_applied(struct sim *sim, struct sim_replica *replica, uint64_t slot)
{
	struct sim_slot *state = sim_observer_slot(sim, slot);
	uint64_t hash = synod_apply_hash(replica->apply);

	if (!state->is_applied) {
		sim_check(sim, slot == sim->observer.applied_last + 1, "I7: slot %llu skipped",
			  (unsigned long long)slot);
		state->is_applied = 1;
		state->hash = hash;
		state->position = sim->observer.positions_count;
		sim->observer.applied_last = slot;
		sim_fold(sim, hash);
	}
	sim_check(sim, state->hash == hash, "I7: replica %u differs after slot %llu", replica->id,
		  (unsigned long long)slot);
}

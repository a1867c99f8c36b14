/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * I4: every message that leaves is implied by the sender's durable bytes at that instant: judged
 * from the disk's image, never from the core's memory. And what each message claims of others must
 * be true.
 */
#include "tests/sim/sim.h"

#define BALLOT_FORMAT  "%llu.%u"
#define BALLOT(ballot) (unsigned long long)((ballot) >> 8), (unsigned int)(ballot)&0xff

/* Bound to this ballot, durably: by a promise or by having accepted at it. */
static int is_promised(const struct sim_disk *disk, uint64_t ballot)
{
	return disk->promised >= ballot || disk->accepted_max >= ballot;
}

/* I3: the ballot is the sender's own, and no other life of it has used it. */
static struct sim_ballot *check_own_ballot(struct sim *sim, const struct sim_replica *replica,
					   const struct synod_message *message)
{
	struct sim_ballot *ballot = sim_observer_ballot(sim, message->ballot);

	sim_check(sim, (message->ballot & 0xff) == replica->id,
		  "I2: replica %u sends %s at " BALLOT_FORMAT, replica->id,
		  synod_wire_type_name(message->type), BALLOT(message->ballot));
	if (!ballot->life)
		ballot->life = replica->life;
	sim_check(sim, ballot->life == replica->life,
		  "I3: replica %u uses ballot " BALLOT_FORMAT " in two lives", replica->id,
		  BALLOT(message->ballot));
	sim_check(sim, is_promised(&replica->disk, message->ballot),
		  "I4: replica %u sends %s at " BALLOT_FORMAT " before its own promise is durable",
		  replica->id, synod_wire_type_name(message->type), BALLOT(message->ballot));
	return ballot;
}

static void check_leads(struct sim *sim, const struct sim_replica *replica,
			const struct synod_message *message)
{
	struct sim_ballot *ballot = check_own_ballot(sim, replica, message);
	uint32_t promises = ballot->promises | 1u << replica->id;

	if (ballot->led)
		return;
	sim_check(sim, sim_votes(sim, promises) >= sim->params.quorum_prepare,
		  "replica %u leads at " BALLOT_FORMAT " with promises of %x only", replica->id,
		  BALLOT(message->ballot), promises >> 1);
	ballot->led = 1;
	sim->observer.leaders++;
}

/* The entry of a PROMISE is what the disk holds for the slot. */
static void check_promise_entry(struct sim *sim, const struct sim_replica *replica,
				const struct synod_message *message, uint32_t content)
{
	const struct sim_record *record = sim_disk_durable(&replica->disk, message->value_slot);
	const struct sim_slot *slot = sim_observer_slot(sim, message->value_slot);

	sim_check(sim, record != NULL, "I4: replica %u promises with slot %llu, not durable",
		  replica->id, (unsigned long long)message->value_slot);
	if (message->value_flags & SYNOD_ENTRY_CHOSEN)
		sim_check(sim, slot->is_chosen && slot->chosen == content,
			  "I1: replica %u tells slot %llu as chosen", replica->id,
			  (unsigned long long)message->value_slot);
	else
		/* A snapshot that is durable and not installed yet stands for the same value. */
		sim_check(sim,
			  record->content == content &&
				  (record->ballot == message->value_ballot ||
				   message->value_slot <= replica->disk.snapshot_slot),
			  "I4: replica %u tells slot %llu at " BALLOT_FORMAT
			  ", durable at " BALLOT_FORMAT,
			  replica->id, (unsigned long long)message->value_slot,
			  BALLOT(message->value_ballot), BALLOT(record->ballot));
}

static void check_promise(struct sim *sim, struct sim_replica *replica,
			  const struct synod_message *message, uint32_t content)
{
	uint64_t last = message->argument;

	sim_check(sim, is_promised(&replica->disk, message->ballot),
		  "I4: replica %u sends PROMISE " BALLOT_FORMAT ", which is not durable",
		  replica->id, BALLOT(message->ballot));
	if (message->flags & SYNOD_FLAG_BEHIND)
		return; /* it says that it does not tell all */
	if (message->has_value)
		check_promise_entry(sim, replica, message, content);
	if (last > replica->disk.slot_last)
		last = replica->disk.slot_last;
	for (uint64_t slot = message->slot; slot <= last; slot++) {
		int told = message->has_value && message->value_slot == slot;
		const struct sim_record *record = sim_disk_durable(&replica->disk, slot);

		/* Of a snapshot that is durable and not installed yet its core knows nothing. */
		if (record && record->foreign && slot > replica->core.chosen_through)
			continue;
		sim_check(sim, told || !record || record->ballot >= message->ballot,
			  "I4: PROMISE " BALLOT_FORMAT " of replica %u omits slot %llu",
			  BALLOT(message->ballot), replica->id, (unsigned long long)slot);
	}
	sim_observer_ballot(sim, message->ballot)->promises |= 1u << replica->id;
}

/* A vote for the slot at the ballot: accepted there and durable, or chosen and durable. */
static int is_vote_true(struct sim *sim, const struct sim_replica *replica, uint64_t slot,
			uint64_t ballot)
{
	const struct sim_record *record = sim_disk_durable(&replica->disk, slot);
	const struct sim_slot *state;

	if (!record)
		return 0;
	if (!record->chosen && record->ballot == ballot)
		return 1;
	state = sim_observer_slot(sim, slot);
	return state->is_chosen && state->chosen == record->content;
}

static void check_accepted(struct sim *sim, struct sim_replica *replica,
			   const struct synod_message *message)
{
	struct sim_observer *observer = &sim->observer;
	uint64_t *through = &observer->accepted_through[replica->id];

	sim_check(sim, is_promised(&replica->disk, message->ballot),
		  "I4: replica %u sends ACCEPTED at " BALLOT_FORMAT ", not promised durably",
		  replica->id, BALLOT(message->ballot));
	if (observer->accepted_ballot[replica->id] != message->ballot) {
		observer->accepted_ballot[replica->id] = message->ballot;
		*through = 0;
	}
	/* What was true once of a ballot stays true. */
	for (; *through < message->slot; ++*through)
		sim_check(sim, is_vote_true(sim, replica, *through + 1, message->ballot),
			  "I4: %u: ACCEPTED through %llu, slot %llu not durable, " BALLOT_FORMAT,
			  replica->id, (unsigned long long)message->slot,
			  (unsigned long long)*through + 1, BALLOT(message->ballot));
	for (unsigned int i = 0; i < 64 && message->argument >> i; i++)
		sim_check(
			sim,
			!(message->argument >> i & 1) ||
				is_vote_true(sim, replica, message->slot + 1 + i, message->ballot),
			"I4: replica %u: ACCEPTED with slot %llu, not durable at " BALLOT_FORMAT,
			replica->id, (unsigned long long)message->slot + 1 + i,
			BALLOT(message->ballot));
}

/* I11: bound to nothing above the ballot, as far as it handed anything to its disk. */
static void check_confirmed(struct sim *sim, const struct sim_replica *replica,
			    const struct synod_message *message)
{
	const struct sim_disk *disk = &replica->disk;

	sim_check(sim,
		  disk->issued_promised <= message->ballot &&
			  disk->issued_accepted_max <= message->ballot,
		  "I11: replica %u confirms " BALLOT_FORMAT ", bound to " BALLOT_FORMAT,
		  replica->id, BALLOT(message->ballot), BALLOT(disk->issued_promised));
}

static void check_learn(struct sim *sim, const struct sim_replica *replica,
			const struct synod_message *message, uint32_t content)
{
	const struct sim_slot *slot = sim_observer_slot(sim, message->slot);

	sim_check(sim, slot->is_chosen && slot->chosen == content,
		  "I1: replica %u teaches content %u for slot %llu", replica->id, content,
		  (unsigned long long)message->slot);
}

/* I12: by the bytes that have landed; the core may believe what it likes. */
static void check_votes(struct sim *sim, const struct sim_replica *replica, unsigned int type)
{
	sim_check(sim, !sim_disk_joins(&replica->disk),
		  "I12: replica %u sends %s with a new disk, and has not joined", replica->id,
		  synod_wire_type_name(type));
	sim_check(sim, !replica->disk.rolled,
		  "I12: replica %u sends %s with an older copy of its disk", replica->id,
		  synod_wire_type_name(type));
	sim_check(sim, sim_lives_votes(sim, replica),
		  "I12: replica %u sends %s in a life of which its disk does not know", replica->id,
		  synod_wire_type_name(type));
}

void sim_observer_send(struct sim *sim, struct sim_replica *replica,
		       const struct synod_message *message, uint32_t content)
{
	sim_check(sim, !replica->disk.lost, "I12: replica %u speaks, and its disk was wiped",
		  replica->id);
	if (message->type != SYNOD_NEED && message->type != SYNOD_LEARN &&
	    message->type != SYNOD_JOIN && message->type != SYNOD_JOINED)
		check_votes(sim, replica, message->type);
	sim_check(sim, message->chosen_through <= sim->observer.chosen_prefix,
		  "I8: replica %u says chosen through %llu, chosen is %llu", replica->id,
		  (unsigned long long)message->chosen_through,
		  (unsigned long long)sim->observer.chosen_prefix);
	switch (message->type) {
	case SYNOD_PREPARE:
		(void)check_own_ballot(sim, replica, message);
		break;
	case SYNOD_PROMISE:
		check_promise(sim, replica, message, content);
		break;
	case SYNOD_ACCEPT:
		check_leads(sim, replica, message);
		(void)sim_observer_proposal(sim, message->slot, message->ballot, content);
		break;
	case SYNOD_HEARTBEAT:
	case SYNOD_HANDOVER:
	case SYNOD_CONFIRM:
		check_leads(sim, replica, message);
		break;
	case SYNOD_CONFIRMED:
		check_confirmed(sim, replica, message);
		break;
	case SYNOD_ACCEPTED:
		check_accepted(sim, replica, message);
		break;
	case SYNOD_LEARN:
		check_learn(sim, replica, message, content);
		break;
	default:
		break;
	}
}

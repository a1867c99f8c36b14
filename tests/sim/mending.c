/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A replica that starts with a corrupt journal and mends it from the others while these serve, as
 * the pipeline does (engine/pipeline/mending.c), by the rules of engine/journal/mending.h. No core
 * runs meanwhile: it is not up. It may crash in the middle, and its disk may go on lying. What it
 * starts with afterwards is looked at as at any start (I13).
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

void sim_mending_free(struct sim_replica *replica)
{
	free(replica->mending);
	replica->mending = NULL;
}

static void schedule(struct sim *sim, struct sim_replica *replica)
{
	const uint64_t at = synod_mending_deadline_ns(replica->mending);

	if (at == UINT64_MAX || at == replica->tick_at)
		return;
	replica->tick_at = at;
	sim_queue_push(sim, (struct sim_event){ .at = at > sim->now ? at : sim->now,
						.kind = SIM_TICK,
						.who = (uint8_t)replica->id,
						.life = replica->life,
						.a = ++replica->tick_generation });
}

static void ask(struct sim *sim, struct sim_replica *replica,
		const struct synod_mending_question *question)
{
	const struct synod_message need = { .type = SYNOD_NEED,
					    .from = (uint8_t)replica->id,
					    .to = (uint8_t)question->to,
					    .flags = SYNOD_FLAG_FAULTY,
					    .slot = question->slot,
					    .argument = question->count,
					    .chosen_through = replica->mending->chosen_through };

	sim_observer_send(sim, replica, &need, 0);
	sim_net_send(sim, &need, 0);
}

void sim_mending_stop(struct sim *sim, struct sim_replica *replica)
{
	if (!replica->mends)
		return;
	replica->mends = 0;
	sim_disk_crash(sim, replica);
}

static void turn(struct sim *sim, struct sim_replica *replica)
{
	struct synod_mending_question question;

	switch (synod_mending_state(replica->mending, sim->now)) {
	case SYNOD_MENDING_ASKS:
		if (synod_mending_ask(replica->mending, sim->now, &question))
			ask(sim, replica, &question);
		schedule(sim, replica);
		break;
	case SYNOD_MENDING_DONE:
		sim_count(sim, SIM_FAULT_DISK_MENDED);
		sim_tell(sim, "%u has mended its journal: %u slots", replica->id,
			 replica->mending->repaired);
		sim_mending_stop(sim, replica);
		sim_replica_start(sim, replica);
		break;
	case SYNOD_MENDING_HOPELESS:
		/* Disks of a minority lie; but all may have been read wrong once, at one time. */
		sim_count(sim, SIM_FAULT_DISK_REFUSED);
		sim_tell(sim, "%u gives up slot %llu", replica->id,
			 (unsigned long long)replica->mending->hopeless);
		sim_replica_halt(sim, replica, SIM_HALT_CORRUPT);
		break;
	}
}

/* May it be mended, as it was found? Then it is known what is to be. */
static int plan(struct sim_replica *replica)
{
	const struct sim_found *found = &replica->disk.found;

	if (!replica->mending)
		replica->mending = calloc(1, sizeof(*replica->mending));
	if (!replica->mending)
		abort();
	return synod_mending_plan(replica->mending, &found->recovery, &found->index) ==
	       SYNOD_MENDING_POSSIBLE;
}

int sim_mending_idle(struct sim_replica *replica)
{
	return plan(replica) && replica->mending->slots_count == 0;
}

int sim_mending_start(struct sim *sim, struct sim_replica *replica, int calm)
{
	/* Or its operator comes first, with `synod repair`. (Who mends says no HELLO: lives.c.) */
	if (sim->params.lives || sim_below(sim, 4) == 0 || !plan(replica) ||
	    sim_journal_mend(sim, replica, calm) != SIM_HALT_NONE)
		return 0;
	replica->mends = 1;
	replica->durable_scheduled = 0;
	replica->journal_scheduled = 0;
	replica->installing = 0;
	sim_snapshot_forget(replica);
	replica->chosen_last = replica->mending->chosen_through;
	replica->tick_at = UINT64_MAX;
	synod_mending_begin(replica->mending, replica->id, sim->params.replicas,
			    sim->params.retransmit_ns, sim->now);
	sim_tell(sim, "%u mends its journal: %u slots", replica->id, replica->mending->slots_count);
	schedule(sim, replica);
	return 1;
}

static void learn(struct sim *sim, struct sim_replica *replica, const struct synod_message *message,
		  uint32_t content)
{
	struct synod_core_write write = { .kind = SYNOD_WRITE_OF_SLOT,
					  .chosen = 1,
					  .slot = message->value_slot,
					  .ballot = message->value_ballot,
					  .chosen_through = replica->mending->chosen_through,
					  .value = message->value };

	if (replica->disk.room <= sim_reserve_follower(sim)) {
		sim_count(sim, SIM_FAULT_DISK_FULL);
		return;
	}
	write.ticket = synod_mending_learn(replica->mending, write.slot, message->from, sim->now);
	if (write.ticket)
		sim_journal_write(sim, replica, &write, content);
}

void sim_mending_message(struct sim *sim, struct sim_replica *replica,
			 const struct synod_message *message, uint32_t content)
{
	if (message->to != replica->id || message->from < 1 || message->from == replica->id ||
	    message->from > sim->params.replicas)
		return; /* a stray */
	if (message->type == SYNOD_LEARN) {
		learn(sim, replica, message, content);
	} else if (message->type == SYNOD_NEED) {
		if (message->flags & SYNOD_FLAG_FAULTY)
			synod_mending_lacks(replica->mending, message->from, message->slot,
					    message->argument);
		for (uint64_t i = 0; i < SYNOD_MENDING_BURST && i < message->argument; i++)
			if (synod_mending_vouches(replica->mending, message->slot + i))
				sim_replica_read_done(sim, replica, message->slot + i,
						      message->from);
	}
	turn(sim, replica);
}

void sim_mending_cover(struct sim *sim, struct sim_replica *replica, uint64_t slot, uint32_t from)
{
	const uint32_t before = replica->mending->covered;

	synod_mending_cover(replica->mending, slot, from);
	if (replica->mending->covered > before)
		sim_done(sim, SIM_TRAFFIC_COVERED);
	sim_tell(sim, "%u mends with the snapshot of slot %llu", replica->id,
		 (unsigned long long)slot);
	turn(sim, replica);
}

void sim_mending_event(struct sim *sim, struct sim_replica *replica, const struct sim_event *event)
{
	switch (event->kind) {
	case SIM_TICK:
		if (event->a != replica->tick_generation)
			return;
		replica->tick_at = UINT64_MAX;
		turn(sim, replica);
		break;
	case SIM_DISK_DONE:
		sim_disk_done(sim, replica, event->a);
		break;
	case SIM_JOURNAL:
		sim_journal_turn(sim, replica);
		break;
	case SIM_DURABLE:
		replica->durable_scheduled = 0;
		synod_mending_durable(replica->mending, replica->disk.ticket_durable);
		if (sim->phase == SIM_SAFETY && sim_below(sim, 16) == 0) {
			sim_count(sim, SIM_FAULT_CRASH);
			replica->mends = 0;
			sim_replica_crash(sim, replica);
		} else {
			turn(sim, replica);
		}
		break;
	default:
		break;
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Carries out what a step asked for, in the order that core.h gives: sends, writes, reads, chosen,
 * released. Nothing is held back: that every send may leave at once is what is being tested. A
 * crash may strike between two sends.
 */
#include "tests/sim/sim.h"

/* The content that a handle stands for; it must be one that the core holds. */
uint32_t sim_effects_content(struct sim *sim, const struct sim_replica *replica,
			     const struct synod_value *value)
{
	const struct sim_content *content;
	uint32_t index;

	if (value->handle == 0) {
		sim_check(sim, value->size == 0 && value->count == 0 && value->crc == 0,
			  "a no-op of replica %u has size %u", replica->id, value->size);
		return 0;
	}
	sim_check(sim, value->handle < SIM_HANDLES_MAX, "handle %u was never given", value->handle);
	sim_check(sim, replica->handles[value->handle].live,
		  "replica %u names handle %u, which it released", replica->id, value->handle);
	index = replica->handles[value->handle].content;
	content = &sim->contents[index];
	sim_check(sim,
		  content->size == value->size && content->count == value->count &&
			  content->crc == value->crc,
		  "replica %u mixes up the description of handle %u", replica->id, value->handle);
	return index;
}

static void check_bounds(struct sim *sim, const struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	sim_check(sim,
		  fx->sends_count <= SYNOD_CORE_SENDS_MAX &&
			  fx->writes_count <= SYNOD_CORE_WRITES_MAX &&
			  fx->reads_count <= SYNOD_CORE_READS_MAX &&
			  fx->released_count <= SYNOD_CORE_RELEASED_MAX,
		  "effects of replica %u out of bounds", replica->id);
	for (uint32_t i = 0; i < fx->sends_count; i++) {
		const struct synod_message *send = &fx->sends[i];

		sim_check(sim,
			  send->from == replica->id && send->to != replica->id && send->to >= 1 &&
				  send->to <= sim->params.replicas,
			  "replica %u sends from %u to %u", replica->id, send->from, send->to);
		sim_check(sim, send->has_value || send->value.handle == 0,
			  "replica %u hides a handle in a message without a value", replica->id);
		sim->sends_content[i] = sim_effects_content(sim, replica, &send->value);
	}
}

void sim_effects_trace(const struct sim *sim, const struct synod_message *message, const char *what,
		       uint32_t content)
{
	sim_trace(sim, "%u->%u %s %s ballot %llu.%u slot %llu chosen %llu argument %llx%s",
		  message->from, message->to, what, synod_wire_type_name(message->type),
		  (unsigned long long)(message->ballot >> 8), (unsigned int)message->ballot & 0xff,
		  (unsigned long long)message->slot, (unsigned long long)message->chosen_through,
		  (unsigned long long)message->argument,
		  message->flags & 2   ? " more"
		  : message->flags & 4 ? " behind"
				       : "");
	if (message->has_value)
		sim_trace(sim, "    entry slot %llu ballot %llu.%u content %u%s",
			  (unsigned long long)message->value_slot,
			  (unsigned long long)(message->value_ballot >> 8),
			  (unsigned int)message->value_ballot & 0xff, content,
			  message->value_flags ? " chosen" : "");
}

/* Returns 0 if the replica crashed on the way. */
static int carry_sends(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	for (uint32_t i = 0; i < fx->sends_count; i++) {
		const struct synod_message *send = &fx->sends[i];

		sim_fold(sim, (uint64_t)send->type << 56 ^ (uint64_t)send->to << 48 ^ send->ballot);
		sim_fold(sim, send->slot ^ send->argument << 20 ^ send->chosen_through << 40);
		if (sim->trace)
			sim_effects_trace(sim, send, "send", sim->sends_content[i]);
		sim_observer_send(sim, replica, send, sim->sends_content[i]);
		sim_net_send(sim, send, sim->sends_content[i]);
		if (sim->phase == SIM_SAFETY &&
		    sim_below(sim, 100000) < sim->params.crash_sending) {
			sim_count(sim, SIM_FAULT_CRASH_SENDING);
			sim_replica_crash(sim, replica);
			return 0;
		}
		if (sim_point(sim, replica))
			return 0;
	}
	return 1;
}

/* As carry_sends. */
static int carry_writes(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	for (uint32_t i = 0; i < fx->writes_count; i++) {
		const struct synod_core_write *write = &fx->writes[i];
		uint32_t content = sim_effects_content(sim, replica, &write->value);

		sim_tell(sim, "%u write ticket %llu %s slot %llu ballot %llu.%u content %u%s",
			 replica->id, (unsigned long long)write->ticket,
			 write->kind == SYNOD_WRITE_OF_SLOT	 ? "slot"
			 : write->kind == SYNOD_WRITE_OF_PROMISE ? "promise"
								 : "it votes,",
			 (unsigned long long)write->slot, (unsigned long long)(write->ballot >> 8),
			 (unsigned int)write->ballot & 0xff, content,
			 write->chosen ? " chosen" : "");
		sim_fold(sim, write->ballot ^ write->slot << 32);
		sim_observer_write(sim, replica, write, content);
		sim_journal_write(sim, replica, write, content);
		if (sim_point(sim, replica))
			return 0;
	}
	return 1;
}

static void carry_reads(struct sim *sim, const struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	for (uint32_t i = 0; i < fx->reads_count; i++) {
		const struct synod_core_read *read = &fx->reads[i];

		sim_check(sim,
			  read->to != replica->id && read->to >= 1 &&
				  read->to <= sim->params.replicas,
			  "replica %u reads for %u", replica->id, read->to);
		sim_check(sim, sim_disk_durable(&replica->disk, read->slot) != NULL,
			  "replica %u reads slot %llu back, which it has not durably", replica->id,
			  (unsigned long long)read->slot);
		sim_queue_push(sim, (struct sim_event){ .at = sim->now +
							      sim_between(sim, sim->params.disk_min,
									  sim->params.disk_max),
							.kind = SIM_READ_DONE,
							.who = (uint8_t)replica->id,
							.life = replica->life,
							.a = read->slot,
							.b = (uint16_t)read->to });
	}
}

static void carry_chosen(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;
	uint64_t delay;

	if (fx->chosen_first > fx->chosen_last)
		return;
	sim_check(sim, fx->chosen_first == replica->chosen_last + 1,
		  "I7: replica %u tells slot %llu as chosen after %llu", replica->id,
		  (unsigned long long)fx->chosen_first, (unsigned long long)replica->chosen_last);
	for (uint64_t slot = fx->chosen_first; slot <= fx->chosen_last; slot++)
		sim_observer_chosen(
			sim, replica, slot,
			sim_effects_content(sim, replica, synod_core_value(&replica->core, slot)));
	replica->chosen_last = fx->chosen_last;
	sim_tell(sim, "%u chosen through %llu", replica->id, (unsigned long long)fx->chosen_last);
	if (replica->apply_scheduled)
		return;
	delay = sim_below(sim, sim->phase == SIM_SAFETY ? sim->params.apply_max : SIM_MS);
	if (delay > 10 * SIM_MS)
		sim_count(sim, SIM_FAULT_APPLY_SLOW);
	replica->apply_scheduled = 1;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + delay,
						.kind = SIM_APPLY,
						.who = (uint8_t)replica->id,
						.life = replica->life });
}

static void carry_released(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_effects *fx = &sim->effects;

	for (uint32_t i = 0; i < fx->released_count; i++) {
		uint32_t handle = fx->released[i];

		sim_check(sim,
			  handle > 0 && handle < SIM_HANDLES_MAX && replica->handles[handle].live,
			  "replica %u releases handle %u twice", replica->id, handle);
		replica->handles[handle].live = 0;
		replica->handles_live--;
		replica->handles_free[replica->handles_free_count++] = handle;
	}
	sim_check(sim, replica->handles_live <= 2 * sim->params.window,
		  "replica %u holds %u handles: more than its window", replica->id,
		  replica->handles_live);
}

void sim_effects_carry_out(struct sim *sim, struct sim_replica *replica)
{
	check_bounds(sim, replica);
	if (!carry_sends(sim, replica) || !carry_writes(sim, replica))
		return;
	carry_reads(sim, replica);
	carry_chosen(sim, replica);
	carry_released(sim, replica);
	sim_reads_settled(sim, replica);
	replica->deadline_ns = sim->effects.deadline_ns;
	sim_replica_schedule_tick(sim, replica);
}

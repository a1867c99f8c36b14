/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large commands once more, as they must be put together (engine/machine/assembly.h), without haste
 * and with as many places as there are seats, which is fewer than the engine has buffers. And what
 * the machine was given to execute, to be compared with what the log and the client say.
 */
#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

#include <string.h>

/* What was executed last, by whichever replica: a machine knows nothing of simulations. */
static struct {
	uint32_t size;
	uint32_t crc;
} executed;

static uint32_t crc_of(const uint8_t *bytes, uint32_t size)
{
	return size ? synod_crc32c(bytes, size) : 0;
}

static void recorder_apply(void *state, uint64_t position, const void *command, uint32_t size,
			   struct synod_outcome *outcome)
{
	synod_sequencer_machine.apply(state, position, command, size, outcome);
	executed.size = size;
	executed.crc = crc_of(command, size);
}

const struct synod_machine *sim_parts_machine(void)
{
	static struct synod_machine machine;

	machine = synod_sequencer_machine;
	machine.apply = recorder_apply;
	return &machine;
}

static struct sim_parts *parts_of(struct sim *sim, uint64_t session)
{
	for (uint32_t i = 0; i < SIM_CLIENTS_MAX + 2; i++)
		if (sim->observer.parts[i].session == session)
			return &sim->observer.parts[i];
	return NULL;
}

void sim_parts_drop(struct sim *sim, uint64_t session)
{
	struct sim_parts *parts = session ? parts_of(sim, session) : NULL;

	if (parts)
		memset(parts, 0, sizeof(*parts));
}

void sim_parts_forget(struct sim *sim, uint64_t session, uint64_t number)
{
	const struct sim_parts *parts = parts_of(sim, session);

	if (parts && parts->number == number)
		sim_parts_drop(sim, session);
}

void sim_parts_executed(struct sim *sim, const uint8_t *bytes, uint32_t size)
{
	if (sim->params.kv)
		return;
	sim_check(sim, executed.size == size && executed.crc == crc_of(bytes, size),
		  "I9: the machine is given %u bytes to execute, the log has %u, or others",
		  executed.size, size);
}

uint32_t sim_parts_crc(void)
{
	return executed.crc;
}

static void expect(struct sim *sim, const struct synod_apply_result *result, uint32_t status,
		   uint32_t have)
{
	sim_check(sim,
		  result->status == status && (status != SYNOD_PARTIAL || result->have == have),
		  "a part of number %llu ends with %s and %u bytes, not %s and %u",
		  (unsigned long long)result->number, synod_status_name(result->status),
		  result->have, synod_status_name(status), have);
	sim_check(sim, result->executed == (status == SYNOD_OK), "I9: half a command is executed");
}

void sim_parts_result(struct sim *sim, uint64_t slot, const struct synod_wire_command *command,
		      const uint8_t *payload, const struct synod_apply_result *result)
{
	struct sim_parts *parts = parts_of(sim, command->session);
	struct synod_wire_part part;
	uint32_t size = command->size - (uint32_t)sizeof(part);

	memcpy(&part, payload, sizeof(part));
	if (parts && parts->number > command->number) {
		expect(sim, result, SYNOD_BUSY, 0);
		return;
	}
	if (!parts || parts->number != command->number || parts->total != part.total) {
		if (part.offset) {
			expect(sim, result, SYNOD_PARTIAL, 0);
			return;
		}
		sim_parts_drop(sim, command->session);
		parts = parts_of(sim, 0);
		sim_check(sim, parts != NULL, "more half commands than sessions");
		*parts = (struct sim_parts){ .session = command->session,
					     .number = command->number,
					     .total = part.total };
	}
	if (part.offset != parts->have) {
		expect(sim, result, SYNOD_PARTIAL, parts->have);
		return;
	}
	sim_check(sim, parts->have + size <= sizeof(parts->bytes), "nobody asked for so much");
	memcpy(parts->bytes + parts->have, payload + sizeof(part), size);
	parts->have += size;
	sim_sessions_find(sim, command->session)->used = slot;
	sim_done(sim, SIM_TRAFFIC_PARTS);
	if (parts->have < parts->total) {
		expect(sim, result, SYNOD_PARTIAL, parts->have);
		return;
	}
	sim_check(sim, result->executed, "I9: a whole command is not executed");
	if (sim->params.kv)
		sim_store_execute(sim, parts->bytes, parts->total, result);
	else
		expect(sim, result, SYNOD_OK, 0);
	sim_parts_executed(sim, parts->bytes, parts->total);
	sim_done(sim, SIM_TRAFFIC_LARGE);
	sim_parts_drop(sim, command->session);
}

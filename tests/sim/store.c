/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The key-value machine once more, as it must be (engine/DESIGN.md, 11): a value for each of the
 * few keys that the workload names. Executes the log's commands in order beside the engine's
 * machine and compares what each came to.
 */
#include "tests/sim/sim.h"

#include <string.h>

/* The bytes of a command, as DESIGN.md draws them; values as workload.c makes them. */
struct parsed {
	uint32_t operation;
	uint32_t absent;
	uint32_t key;
	uint32_t expected;
	uint32_t value;
};

enum {
	READ_SIZE = 10, /* header and key */
	GET = 1,
	PUT,
	DELETE,
	CAS
};

static uint32_t number_at(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8;
}

static struct parsed parse(struct sim *sim, const uint8_t *bytes, uint32_t size)
{
	struct parsed parsed = { .operation = bytes[0], .absent = bytes[1] };
	uint32_t expected_size = number_at(bytes + 4);
	uint32_t value_size = number_at(bytes + 6);
	int sane = size >= READ_SIZE && bytes[2] == 2 && bytes[8] == 'k' &&
		   size == READ_SIZE + expected_size + value_size;

	if (sane && expected_size) {
		parsed.expected = sim_workload_value_of(sim, bytes + READ_SIZE, expected_size);
		sane = parsed.expected != 0;
	}
	if (sane && value_size) {
		parsed.value =
			sim_workload_value_of(sim, bytes + READ_SIZE + expected_size, value_size);
		sane = parsed.value != 0;
	}
	sim_check(sim, sane, "a command of the log is not one of the workload's");
	parsed.key = bytes[9] - (uint32_t)'0';
	return parsed;
}

static void change(struct sim *sim, uint64_t position, uint32_t key)
{
	struct sim_observer *observer = &sim->observer;

	if (observer->changes_count >= observer->changes_capacity)
		observer->changes = sim_grow(observer->changes, &observer->changes_capacity,
					     observer->changes_count, sizeof(*observer->changes));
	observer->changes[observer->changes_count++] = (struct sim_change){
		.position = position, .key = key, .value = observer->store[key]
	};
}

/* What a key held after a position. */
static uint32_t value_at(const struct sim *sim, uint32_t key, uint64_t position)
{
	const struct sim_observer *observer = &sim->observer;

	for (uint64_t i = observer->changes_count; i-- > 0;)
		if (observer->changes[i].position <= position && observer->changes[i].key == key)
			return observer->changes[i].value;
	return 0;
}

/* A read must come to this value; 0: to nothing. */
static void check_value(struct sim *sim, uint32_t key, uint32_t value,
			const struct synod_apply_result *result)
{
	uint32_t read = 0;

	sim_check(sim, result->status == (value ? SYNOD_OK : SYNOD_NOT_FOUND),
		  "position %llu: a read of key %u ends with %s, it holds %u",
		  (unsigned long long)result->position, key, synod_status_name(result->status),
		  value);
	if (!value)
		return;
	read = sim_workload_value_of(sim, result->data, result->size);
	sim_check(sim, read == value, "position %llu: key %u is read as %u, it holds %u",
		  (unsigned long long)result->position, key, read, value);
}

/* What the command comes to; changes the key. */
static uint32_t execute(uint32_t *key, const struct parsed *command)
{
	uint32_t before = *key;

	switch (command->operation) {
	case GET:
		return before ? SYNOD_OK : SYNOD_NOT_FOUND;
	case PUT:
		*key = command->value;
		return SYNOD_OK;
	case DELETE:
		*key = 0;
		return before ? SYNOD_OK : SYNOD_NOT_FOUND;
	default:
		if (!command->absent && !before)
			return SYNOD_NOT_FOUND;
		if (before != command->expected)
			return SYNOD_MISMATCH;
		*key = command->value;
		return SYNOD_OK;
	}
}

static void count(struct sim *sim, const struct parsed *command, uint32_t status)
{
	static const enum sim_traffic traffic[] = { [GET] = SIM_TRAFFIC_GETS,
						    [PUT] = SIM_TRAFFIC_PUTS,
						    [DELETE] = SIM_TRAFFIC_DELETES,
						    [CAS] = SIM_TRAFFIC_CAS_FAILED };

	if (command->operation == CAS && status == SYNOD_OK)
		sim_done(sim, SIM_TRAFFIC_CAS_OK);
	else
		sim_done(sim, traffic[command->operation]);
}

void sim_store_execute(struct sim *sim, const uint8_t *payload, uint32_t size,
		       const struct synod_apply_result *result)
{
	struct parsed command = parse(sim, payload, size);
	uint32_t *key = &sim->observer.store[command.key];
	uint32_t before = *key;
	uint32_t status;

	/* A duplicate changes nothing; a read looks again. */
	if (!result->executed && command.operation != GET)
		return;
	status = execute(key, &command);
	if (result->executed)
		count(sim, &command, status);
	if (*key != before)
		change(sim, result->position, command.key);
	if (command.operation == GET) {
		check_value(sim, command.key, *key, result);
		return;
	}
	sim_check(sim, result->status == status,
		  "position %llu: operation %u of key %u ends with %s, not %s",
		  (unsigned long long)result->position, command.operation, command.key,
		  synod_status_name(result->status), synod_status_name(status));
}

void sim_store_read(struct sim *sim, const uint8_t *payload,
		    const struct synod_apply_result *result)
{
	struct parsed command = parse(sim, payload, READ_SIZE);

	check_value(sim, command.key, value_at(sim, command.key, result->position), result);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What clients ask for. Of the sequencer: any bytes. Of the key-value machine: few keys, so that
 * they meet, and each value written once, so that a read says which write it saw. What each client
 * was told becomes a history, which must be linearizable (tests/linear).
 *
 * Of operations whose client was not told what became of them the observer knows more: what was
 * never executed had no effect, and what was, had it by the time that the first replica executed
 * it. The history is judged with that knowledge: it is stricter, and without what may or may not
 * have been, the search is short.
 */
#include "engine/machine/kv.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 50000000ull

static uint32_t history_add(struct sim *sim, struct linear_op op)
{
	uint64_t capacity = sim->history_capacity;

	if (sim->history_count >= capacity) {
		sim->history = sim_grow(sim->history, &capacity, sim->history_count,
					sizeof(*sim->history));
		sim->history_capacity = (uint32_t)capacity;
	}
	capacity = sim->history_of_capacity;
	if (sim->history_count >= capacity) {
		sim->history_of = sim_grow(sim->history_of, &capacity, sim->history_count,
					   sizeof(*sim->history_of));
		sim->history_of_capacity = (uint32_t)capacity;
	}
	sim->history_of[sim->history_count] = (struct sim_asked){ 0 };
	op.tag = sim->history_count;
	sim->history[sim->history_count++] = op;
	return sim->history_count;
}

/* The liveness phase counts small commands: one client may be all there is. */
static int is_hurried(const struct sim *sim)
{
	return sim->phase != SIM_SAFETY;
}

/*
 * Some reads go past the log. A stale one waits for the replica that it names, which may be down
 * for long: it never takes the last place of its client.
 */
static uint32_t draw_sort(struct sim *sim, const struct sim_client *client)
{
	uint32_t stale = 0;

	if (sim_below(sim, 2))
		return SYNOD_CLIENT_READ;
	for (uint32_t i = 0; i < SIM_OUTSTANDING_MAX; i++)
		stale += client->ops[i].in_use && client->ops[i].op.sort == SYNOD_CLIENT_READ_STALE;
	return stale + 1 < client->outstanding_max ? SYNOD_CLIENT_READ_STALE : SYNOD_CLIENT_READ;
}

static void sequencer_next(struct sim *sim, struct sim_op *op)
{
	int large = !op->op.sort && !is_hurried(sim) && sim_below(sim, 100) < sim->params.large;

	op->op.size = (uint32_t)sim_below(sim, 32);
	if (large) /* few sizes: what is put together must not be told apart by them */
		op->op.size = SIM_DATA_SIZE / 8 * (1 + (uint32_t)sim_below(sim, 8));
	for (uint32_t i = 0; i < op->op.size; i++)
		op->data[i] = (uint8_t)sim_below(sim, 256);
}

/* Drawn by the value itself, so that everybody knows it. */
static uint32_t value_size(const struct sim *sim, uint32_t value)
{
	uint64_t state = value;

	if (synod_random_below(&state, 100) >= sim->params.large)
		return sizeof(value);
	/* Few sizes: what is put together must not be told apart by them. */
	return (uint32_t)(SIM_VALUE_SIZE_MAX / 4 * (1 + synod_random_below(&state, 4)));
}

uint32_t sim_workload_value(const struct sim *sim, uint32_t value, uint8_t *bytes)
{
	uint32_t size = value_size(sim, value);

	for (uint32_t i = sizeof(value); i < size; i++)
		bytes[i] = (uint8_t)(value * 31 + i);
	memcpy(bytes, &value, sizeof(value));
	return size;
}

uint32_t sim_workload_value_of(const struct sim *sim, const uint8_t *bytes, uint32_t size)
{
	uint8_t wanted[SIM_VALUE_SIZE_MAX];
	uint32_t value;

	if (size < sizeof(value) || size > sizeof(wanted))
		return 0;
	memcpy(&value, bytes, sizeof(value));
	if (sim_workload_value(sim, value, wanted) != size || memcmp(bytes, wanted, size) != 0)
		return 0;
	return value;
}

/* Mostly what the key holds, so that it succeeds; sometimes nothing, or an old value. */
static uint32_t draw_expected(struct sim *sim, uint32_t key)
{
	switch (sim_below(sim, 5)) {
	case 0:
		return LINEAR_ABSENT;
	case 1:
		return 1 + (uint32_t)sim_below(sim, sim->value_last + 1);
	default:
		return sim->observer.store[key];
	}
}

static uint8_t draw_operation(struct sim *sim, const struct sim_op *op)
{
	static const uint8_t drawn[] = { SYNOD_KV_PUT, SYNOD_KV_PUT,   SYNOD_KV_PUT, SYNOD_KV_GET,
					 SYNOD_KV_GET, SYNOD_KV_GET,   SYNOD_KV_CAS, SYNOD_KV_CAS,
					 SYNOD_KV_CAS, SYNOD_KV_DELETE };

	uint8_t operation = op->op.sort ? SYNOD_KV_GET : drawn[sim_below(sim, sizeof(drawn))];

	/* What a cas compares with may be large. */
	if (operation == SYNOD_KV_CAS && is_hurried(sim) && sim->params.large)
		return SYNOD_KV_PUT;
	return operation;
}

static void kv_next(struct sim *sim, struct sim_op *op)
{
	static const uint8_t operations[] = { [SYNOD_KV_GET] = LINEAR_GET,
					      [SYNOD_KV_PUT] = LINEAR_PUT,
					      [SYNOD_KV_DELETE] = LINEAR_DELETE,
					      [SYNOD_KV_CAS] = LINEAR_CAS };
	uint8_t expected[SIM_VALUE_SIZE_MAX];
	uint8_t value[SIM_VALUE_SIZE_MAX];
	struct linear_op entry = { .invoked = sim->now,
				   .answered = LINEAR_NEVER,
				   .key = (uint32_t)sim_below(sim, sim->params.keys),
				   .outcome = LINEAR_UNKNOWN,
				   .stale = op->op.sort == SYNOD_CLIENT_READ_STALE };
	char key[2] = { 'k', (char)('0' + entry.key) };
	struct synod_kv_request request = { .operation = draw_operation(sim, op),
					    .key_size = sizeof(key),
					    .key = key,
					    .expected = expected,
					    .value = value };
	int size;

	entry.operation = operations[request.operation];
	if (entry.operation == LINEAR_PUT || entry.operation == LINEAR_CAS) {
		do
			entry.value = ++sim->value_last;
		while (is_hurried(sim) && value_size(sim, entry.value) > sizeof(entry.value));
		request.value_size = (uint16_t)sim_workload_value(sim, entry.value, value);
	}
	if (entry.operation == LINEAR_CAS) {
		entry.expected = draw_expected(sim, entry.key);
		request.flags = entry.expected == LINEAR_ABSENT ? SYNOD_KV_ABSENT : 0;
		if (entry.expected != LINEAR_ABSENT)
			request.expected_size =
				(uint16_t)sim_workload_value(sim, entry.expected, expected);
	}
	size = synod_kv_encode(&request, op->data, sizeof(op->data));
	sim_check(sim, size > 0, "a key-value command cannot be encoded: %d", size);
	op->op.size = (uint32_t)size;
	op->history = history_add(sim, entry);
}

void sim_workload_next(struct sim *sim, const struct sim_client *client, struct sim_op *op)
{
	if (!is_hurried(sim) && sim_below(sim, 100) < sim->params.reads) {
		op->op.sort = draw_sort(sim, client);
		op->op.replica = 1 + (uint32_t)sim_below(sim, sim->params.replicas);
	}
	op->op.data = op->data;
	op->op.result = op->result;
	op->op.result_capacity = sizeof(op->result);
	if (sim->params.kv)
		kv_next(sim, op);
	else
		sequencer_next(sim, op);
}

/* Sets the outcome; 0 if the status is none that says what was done. */
static int conclude(struct linear_op *entry, uint64_t status, uint64_t at)
{
	switch (status) {
	case SYNOD_OK:
		entry->outcome = LINEAR_OK;
		break;
	case SYNOD_NOT_FOUND:
		entry->outcome = LINEAR_NOT_FOUND;
		break;
	case SYNOD_MISMATCH:
		entry->outcome = LINEAR_MISMATCH;
		break;
	default:
		return 0;
	}
	entry->answered = at;
	return 1;
}

void sim_workload_done(struct sim *sim, const struct sim_op *op)
{
	struct linear_op *entry = &sim->history[op->history - 1];

	sim->history_of[op->history - 1] =
		(struct sim_asked){ .session = op->op.session, .number = op->op.number };
	if (!conclude(entry, op->op.status, sim->now) || entry->operation != LINEAR_GET ||
	    entry->outcome != LINEAR_OK)
		return;
	entry->value = op->op.result_size <= sizeof(op->result)
			       ? sim_workload_value_of(sim, op->result, op->op.result_size)
			       : 0;
	sim_check(sim, entry->value, "a read of key %u is answered with no value of the workload",
		  entry->key);
}

void sim_workload_lost(struct sim *sim, const struct sim_op *op, uint64_t session)
{
	sim->history_of[op->history - 1] =
		(struct sim_asked){ .session = session, .number = op->op.number };
}

/*
 * Where the log has the operation; and what became of it if its client was not told. (A read is
 * then left out, and so is what was never executed.)
 */
static void find_out(struct sim *sim, struct linear_op *entry)
{
	const struct sim_asked *asked = &sim->history_of[entry->tag];
	uint64_t position = 0;

	if (asked->session)
		position = sim_observer_executed(sim, asked->session, asked->number);
	entry->hint = position;
	if (entry->outcome != LINEAR_UNKNOWN || entry->operation == LINEAR_GET)
		return;
	if (position)
		(void)conclude(entry, sim->observer.positions[position].status,
			       sim->observer.positions[position].at);
	else
		entry->operation = LINEAR_GET; /* like a read of which nothing is known */
}

/* What of the history overlaps the window, for a trace. */
static void tell_window(const struct sim *sim, const struct linear_result *result)
{
	static const char *const operations[] = { "get", "put", "delete", "cas" };
	static const char *const outcomes[] = { "OK", "NOT_FOUND", "MISMATCH", "NO_SPACE",
						"UNKNOWN" };

	for (uint32_t i = 0; i < sim->history_count; i++) {
		const struct linear_op *op = &sim->history[i];

		if (op->key == result->key && op->answered >= result->from_ns &&
		    op->invoked <= result->to_ns)
			sim_tell(sim, "history %u: %s key %u value %u expected %u: %s, %llu..%llu",
				 op->tag, operations[op->operation], op->key, op->value,
				 op->expected, outcomes[op->outcome],
				 (unsigned long long)op->invoked, (unsigned long long)op->answered);
	}
}

void sim_workload_check(struct sim *sim)
{
	struct linear_result result;
	const struct linear_op *blamed;

	if (!sim->params.kv)
		return;
	sim_done(sim, SIM_TRAFFIC_HISTORIES);
	for (uint32_t i = 0; i < sim->params.clients; i++)
		if (sim->clients[i].up)
			sim_client_forget(sim, &sim->clients[i]);
	for (uint32_t i = 0; i < sim->history_count; i++)
		find_out(sim, &sim->history[i]);
	linear_check(sim->history, sim->history_count, LINEAR_ABSENT, STEPS_MAX, &result);
	if (result.verdict == LINEAR_YES)
		return;
	tell_window(sim, &result);
	sim_check(sim, result.verdict == LINEAR_NO,
		  "linearizability of key %u: undecided after %llu steps", result.key,
		  (unsigned long long)result.steps);
	blamed = &sim->history[result.blamed];
	sim_fail(sim,
		 "I10, I11: key %u is not linearizable from %llu to %llu ns: no order explains "
		 "operation %u of value %u with outcome %u",
		 result.key, (unsigned long long)result.from_ns, (unsigned long long)result.to_ns,
		 blamed->operation, blamed->value, blamed->outcome);
}

void sim_workload_free(struct sim *sim)
{
	free(sim->history);
	free(sim->history_of);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* A network and replicas in memory, for the client's tests. See client_world.h. */
#include "tests/unit/client_world.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A reply under construction. */
struct answer {
	struct world *world;
	uint64_t session;
	uint32_t shared; /* 1: of several sessions */
	uint32_t from;
	uint32_t size; /* of the results */
	uint8_t bytes[2 * WORLD_DATAGRAM_SIZE];
};

static int chance(struct world *world, uint32_t percent)
{
	return synod_random_below(&world->random, 100) < percent;
}

static void put(struct world *world, uint32_t to, uint32_t from, const void *bytes, uint32_t size)
{
	struct world_datagram *datagram;

	if (world->used == WORLD_DATAGRAMS_MAX || size > WORLD_DATAGRAM_SIZE)
		return; /* lost */
	datagram = &world->datagrams[world->used++];
	datagram->at_ns =
		world->now_ns + 1 +
		(world->in_order ? 0 : synod_random_below(&world->random, world->delay_ns_max + 1));
	datagram->to = to;
	datagram->from = from;
	datagram->size = size;
	memcpy(datagram->bytes, bytes, size);
}

static void put_faulty(struct world *world, uint32_t to, uint32_t from, const void *bytes,
		       uint32_t size)
{
	if (chance(world, world->loss_percent))
		return;
	put(world, to, from, bytes, size);
	while (chance(world, world->repeat_percent))
		put(world, to, from, bytes, size);
}

void world_inject(struct world *world, uint32_t from, const void *bytes, uint32_t size)
{
	put(world, 0, from, bytes, size);
}

static void answer_add(struct answer *answer, const struct synod_apply_result *from)
{
	struct synod_wire_result result = {
		.number = from->number,
		.position = from->position,
		.status = from->status,
		.retry_us = from->status == SYNOD_BUSY ? answer->world->retry_us : from->window,
	};
	uint8_t *to = answer->bytes + SYNOD_HEADER_SIZE + answer->size;

	if (answer->shared) {
		memcpy(to, &from->session, sizeof(from->session));
		to += sizeof(from->session);
		answer->size += (uint32_t)sizeof(from->session);
	}
	answer->size += (uint32_t)sizeof(result);
	synod_assert_cmp(SYNOD_HEADER_SIZE + answer->size, <=, sizeof(answer->bytes));
	memcpy(to, &result, sizeof(result));
}

/* What the machine gave besides, behind the result added last. */
static void answer_data(struct answer *answer, const struct synod_apply_result *applied)
{
	uint8_t *end = answer->bytes + SYNOD_HEADER_SIZE + answer->size;
	struct synod_wire_result result;
	uint32_t size = SYNOD_WIRE_ALIGN(applied->size);

	if (!applied->size)
		return;
	synod_assert_cmp(SYNOD_HEADER_SIZE + answer->size + size, <=, sizeof(answer->bytes));
	memcpy(&result, end - sizeof(result), sizeof(result));
	result.size = (uint16_t)applied->size;
	memcpy(end - sizeof(result), &result, sizeof(result));
	memset(end, 0, size);
	memcpy(end, applied->data, applied->size);
	answer->size += size;
}

static void answer_send(struct answer *answer)
{
	struct synod_wire_header *header = (struct synod_wire_header *)answer->bytes;

	memset(header, 0, sizeof(*header));
	header->type = SYNOD_REPLY;
	header->cluster = WORLD_CLUSTER;
	header->sender = (uint16_t)answer->from;
	header->slot = answer->shared ? 0 : answer->session;
	header->flags = answer->shared ? SYNOD_FLAG_SHARED : 0;
	header->argument = answer->world->hint;
	header->boot = answer->world->boot;
	synod_wire_seal(header, NULL, answer->bytes + SYNOD_HEADER_SIZE, answer->size);
	put_faulty(answer->world, 0, answer->from, answer->bytes, SYNOD_HEADER_SIZE + answer->size);
}

/* Whose commands are being executed: a machine knows nothing of worlds. */
static struct world *executing;

/* The world's machine, and besides notes what it was given to execute. */
static void recorder_apply(void *state, uint64_t position, const void *command, uint32_t size,
			   struct synod_outcome *outcome)
{
	uint32_t id;

	executing->machine->apply(state, position, command, size, outcome);
	if (size < sizeof(id))
		return;
	memcpy(&id, command, sizeof(id));
	if (id >= WORLD_OPS_MAX)
		return; /* a test that does not look at these */
	executing->executed[id]++;
	executing->position[id] = position;
	executing->crc[id] = synod_crc32c(command, size);
}

static void on_applied(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct answer *answer = context;

	(void)index;
	answer_add(answer, result);
	answer_data(answer, result);
}

/* Refuses all of a request. */
static void refuse(struct answer *answer, const struct synod_wire_view *view, uint16_t status)
{
	uint32_t at = 0;

	while (at < view->body_size) {
		struct synod_apply_result result = { .status = status };
		struct synod_wire_command command;

		memcpy(&command, view->body + at, sizeof(command));
		result.session = command.session;
		result.number = command.number;
		answer_add(answer, &result);
		at += synod_wire_command_size(&command);
	}
	answer_send(answer);
}

/* Reads of a request, from the one perfect state; of whoever lags, nothing. */
static void serve_reads(struct answer *answer, const struct synod_wire_view *view, int stale)
{
	struct world *world = answer->world;
	uint32_t at = 0;

	while (at < view->body_size) {
		struct synod_wire_command command;
		struct synod_apply_result result;

		memcpy(&command, view->body + at, sizeof(command));
		synod_apply_query(world->apply, command.session, command.number,
				  view->body + at + sizeof(command), command.size, &result);
		if (world->lags >> answer->from & 1)
			result = (struct synod_apply_result){ .session = command.session,
							      .number = command.number,
							      .status = SYNOD_SESSION_EVICTED };
		else if (stale)
			world->reads_stale[answer->from]++;
		else
			world->reads++;
		answer_add(answer, &result);
		answer_data(answer, &result);
		at += synod_wire_command_size(&command);
	}
	answer_send(answer);
}

static void on_request(struct world *world, const struct world_datagram *datagram)
{
	struct answer answer = { .world = world, .from = datagram->to };
	struct synod_wire_command first;
	struct synod_wire_view view;

	if (world->dead >> datagram->to & 1)
		return;
	world->asked[datagram->to]++;
	synod_assert_cmp(synod_wire_decode(datagram->bytes, datagram->size, WORLD_CLUSTER,
					   datagram->to, &view),
			 ==, 0);
	synod_assert_cmp(view.header->type, ==, SYNOD_REQUEST);
	synod_assert_cmp(synod_wire_commands_check(view.body, view.body_size), >, 0);
	memcpy(&first, view.body, sizeof(first));
	answer.session = first.session;
	answer.shared = view.header->flags & SYNOD_FLAG_SHARED &&
			view.body_size >=
				32 * (uint32_t)synod_wire_commands_check(view.body, view.body_size);
	if (world->halted >> datagram->to & 1) {
		refuse(&answer, &view, SYNOD_HALTED);
		return;
	}
	if (first.kind == SYNOD_COMMAND_READ_STALE) {
		serve_reads(&answer, &view, 1);
		return;
	}
	if (datagram->to != world->leader) {
		refuse(&answer, &view, SYNOD_NOT_LEADER);
		return;
	}
	if (view.header->boot != world->boot) {
		world->refused_boot++;
		refuse(&answer, &view, SYNOD_BUSY);
		return;
	}
	if (world->full || chance(world, world->busy_percent)) {
		refuse(&answer, &view, world->full ? SYNOD_FULL : SYNOD_BUSY);
		return;
	}
	if (first.kind == SYNOD_COMMAND_READ) {
		serve_reads(&answer, &view, 0);
		return;
	}
	world->taken_now += (uint32_t)synod_wire_commands_check(view.body, view.body_size);
	if (world->room && world->taken_now > world->room) {
		refuse(&answer, &view, SYNOD_BUSY);
		return;
	}
	executing = world;
	synod_apply_batch(world->apply, synod_apply_slot(world->apply) + 1, view.body,
			  view.body_size, on_applied, &answer);
	answer_send(&answer);
}

static void remove_at(struct world *world, uint32_t index)
{
	struct world_datagram *at = &world->datagrams[index];

	world->used--;
	if (world->in_order)
		memmove(at, at + 1, (world->used - index) * sizeof(*at));
	else
		*at = world->datagrams[world->used];
}

void world_pass(struct world *world, uint64_t ns)
{
	uint32_t index = 0;

	world->now_ns += ns;
	world->taken_now = 0;
	while (index < world->used) {
		struct world_datagram *datagram = &world->datagrams[index];
		struct world_datagram arrived;

		if (datagram->at_ns > world->now_ns || datagram->to == 0) {
			index++;
			continue;
		}
		arrived = *datagram;
		remove_at(world, index);
		on_request(world, &arrived);
	}
}

static int world_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	struct world *world = context;

	synod_assert(replica >= 1 && replica <= world->replicas);
	synod_assert_cmp(size, <=, WORLD_DATAGRAM_SIZE);
	if (world->send_max && world->sends++ >= world->send_max) {
		world->sends_refused++;
		return -EAGAIN;
	}
	put_faulty(world, replica, 0, data, size);
	return 0;
}

static void world_flush(void *context)
{
	(void)context;
}

static unsigned int world_receive(void *context, struct synod_datagram *datagrams, unsigned int max)
{
	struct world *world = context;
	unsigned int count = 0;
	uint32_t index = 0;

	world->sends = 0;
	while (index < world->used && count < max && count < 64) {
		struct world_datagram *datagram = &world->datagrams[index];

		if (datagram->at_ns > world->now_ns || datagram->to != 0) {
			index++;
			continue;
		}
		world->taken[count] = *datagram;
		remove_at(world, index);
		datagrams[count].data = world->taken[count].bytes;
		datagrams[count].size = world->taken[count].size;
		datagrams[count].replica = world->taken[count].from;
		count++;
	}
	return count;
}

static void world_idle(void *context, uint64_t timeout_ns)
{
	world_pass(context, timeout_ns);
}

struct world *world_make(uint64_t seed, uint32_t sessions)
{
	return world_make_of(seed, sessions, &synod_sequencer_machine);
}

struct world *world_make_of(uint64_t seed, uint32_t sessions, const struct synod_machine *machine)
{
	return world_make_within(seed, sessions, SYNOD_SESSION_WINDOW_MAX, machine);
}

struct world *world_make_within(uint64_t seed, uint32_t sessions, uint32_t window,
				const struct synod_machine *machine)
{
	struct world *world = calloc(1, sizeof(*world));
	/* One buffer for large commands: there is one client, and it works on one at a time. */
	const struct synod_apply_limits limits = { .sessions = sessions,
						   .window = window,
						   .assemblies = 1,
						   .assembly_size = SYNOD_COMMAND_LARGE_MAX };
	size_t size = synod_apply_size_within(machine, &limits);
	void *memory = aligned_alloc(64, size);

	synod_assert(world && memory);
	memset(memory, 0, size);
	world->machine = machine;
	world->recorder = *machine;
	world->recorder.apply = recorder_apply;
	world->apply = synod_apply_init_within(memory, &world->recorder, &limits);
	world->random = seed;
	world->now_ns = 1000000000;
	world->delay_ns_max = 100000;
	world->replicas = 3;
	world->leader = 1;
	world->hint = 1;
	world->transport = (struct synod_transport){
		.context = world,
		.datagram_size_max = WORLD_DATAGRAM_SIZE,
		.send = world_send,
		.flush = world_flush,
		.receive = world_receive,
		.idle = world_idle,
		.lost = &world->lost,
	};
	return world;
}

void world_free(struct world *world)
{
	free(world->apply);
	free(world);
}

uint64_t world_open_session(struct world *world, uint64_t nonce)
{
	struct synod_wire_command command = { .number = nonce, .kind = SYNOD_COMMAND_REGISTER };
	uint64_t slot = synod_apply_slot(world->apply) + 1;

	synod_apply_batch(world->apply, slot, &command, sizeof(command), NULL, NULL);
	return slot << 16 | 1;
}

uint64_t world_open_identity(struct world *world, uint64_t nonce,
			     const struct synod_wire_identity *identity)
{
	uint64_t slot = synod_apply_slot(world->apply) + 1;
	struct {
		struct synod_wire_command command;
		struct synod_wire_identity identity;
	} batch = {
		.command = { .number = nonce,
			     .size = sizeof(*identity),
			     .kind = SYNOD_COMMAND_REGISTER },
		.identity = *identity,
	};

	synod_apply_batch(world->apply, slot, &batch, sizeof(batch), NULL, NULL);
	return slot << 16 | 1;
}

void world_take_buffer(struct world *world)
{
	uint64_t slot = synod_apply_slot(world->apply) + SYNOD_ASSEMBLY_IDLE_SLOTS;
	struct {
		struct synod_wire_command command;
		struct synod_wire_part part;
		uint8_t bytes[64];
	} batch = {
		.command = { .session = world_open_session(world, 900),
			     .number = 1,
			     .size = sizeof(batch.part) + sizeof(batch.bytes),
			     .kind = SYNOD_COMMAND_PART },
		.part = { .total = 2 * sizeof(batch.bytes) },
	};

	memset(batch.bytes, 0xff, sizeof(batch.bytes)); /* no operation of a test */
	executing = world;
	while (synod_apply_slot(world->apply) < slot)
		synod_apply_batch(world->apply, synod_apply_slot(world->apply) + 1, NULL, 0, NULL,
				  NULL);
	for (uint32_t part = 0; part < 2; part++) {
		batch.part.offset = part * (uint32_t)sizeof(batch.bytes);
		synod_apply_batch(world->apply, ++slot, &batch, sizeof(batch), NULL, NULL);
	}
}

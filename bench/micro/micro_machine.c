/* SPDX-License-Identifier: BSD-3-Clause */
/* Applying a batch, and saving and loading an image: what the pause of a snapshot costs. */
#include "bench/micro/micro.h"

#include "engine/base/assert.h"
#include "engine/machine/apply.h"
#include "engine/machine/kv.h"
#include "engine/wire/wire.h"

#include <stdlib.h>
#include <string.h>

enum {
	COMMAND = 64,
	COMMANDS = SYNOD_BATCH_SIZE_MAX / (SYNOD_COMMAND_HEADER_SIZE + COMMAND),
	/* Bytes of a session's full window in an image, and of a full table: all but some heads. */
	WINDOW = SYNOD_SESSION_WINDOW_MAX * 16,
	/* Thousands of clients, each with a smaller window. */
	MANY = 10000,
	MANY_WINDOW = 256,
	KEYS = SYNOD_KV_ENTRIES * (8 + SYNOD_KV_KEY_SIZE_MAX + SYNOD_KV_VALUE_SIZE_MAX),
};

struct world {
	struct synod_apply *apply;
	void *image;
	size_t image_size;
	uint8_t batch[SYNOD_BATCH_SIZE_MAX];
	uint32_t batch_size;
};

static void *take(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	synod_assert(memory != NULL);
	memset(memory, 0, size);
	return memory;
}

static void add(struct world *world, struct synod_wire_command command, const void *payload)
{
	uint8_t *at = world->batch + world->batch_size;

	memcpy(at, &command, sizeof(command));
	memcpy(at + sizeof(command), payload, command.size);
	world->batch_size += synod_wire_command_size(&command);
}

static void apply(struct world *world)
{
	synod_apply_batch(world->apply, synod_apply_slot(world->apply) + 1, world->batch,
			  world->batch_size, NULL, NULL);
	world->batch_size = 0;
}

/* So many sessions, each with a window full of commands that leave the machine alone. */
static void make(struct world *world, const struct synod_machine *machine, uint32_t sessions)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(SYNOD_SESSIONS_DEFAULT, SYNOD_SESSION_WINDOW_MAX);
	static const uint8_t payload[COMMAND];

	world->apply = synod_apply_init(take(synod_apply_size(machine, limits.sessions)), machine,
					limits.sessions);
	world->image = take(synod_apply_image_max(machine, &limits));
	for (uint64_t session = 1; session <= sessions; session++) {
		add(world,
		    (struct synod_wire_command){ .number = session,
						 .kind = SYNOD_COMMAND_REGISTER },
		    "");
		apply(world);
	}
	for (uint64_t turn = 0; turn < (uint64_t)sessions * SYNOD_SESSION_WINDOW_MAX; turn++) {
		add(world,
		    (struct synod_wire_command){ .session = (1 + turn % sessions) << 16 | 1,
						 .number = 1 + turn / sessions,
						 .size = COMMAND },
		    payload);
		if (turn % COMMANDS == COMMANDS - 1 || turn % sessions == sessions - 1)
			apply(world);
	}
	world->image_size = synod_apply_save(world->apply, world->image);
}

static void fill_kv(struct world *world)
{
	uint8_t key[SYNOD_KV_KEY_SIZE_MAX] = { 0 };
	uint8_t value[SYNOD_KV_VALUE_SIZE_MAX] = { 0 };
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	const struct synod_kv_request put = { .operation = SYNOD_KV_PUT,
					      .key = key,
					      .key_size = sizeof(key),
					      .value = value,
					      .value_size = sizeof(value) };

	for (uint32_t turn = 0; turn < SYNOD_KV_ENTRIES; turn++) {
		memcpy(key, &turn, sizeof(turn));
		add(world,
		    (struct synod_wire_command){
			    .session = 1 << 16 | 1,
			    .number = SYNOD_SESSION_WINDOW_MAX + 1 + turn,
			    .size = (uint32_t)synod_kv_encode(&put, command, sizeof(command)) },
		    command);
		apply(world);
	}
	world->image_size = synod_apply_save(world->apply, world->image);
}

static struct world usual, crowded, full, many, evicting;

static void apply_batch(uint64_t iterations)
{
	static const uint8_t payload[COMMAND];
	static uint64_t number = SYNOD_SESSION_WINDOW_MAX;

	if (iterations == 0 && !usual.apply)
		make(&usual, &synod_sequencer_machine, 3);
	while (iterations--) {
		for (uint32_t index = 0; index < COMMANDS; index++)
			add(&usual,
			    (struct synod_wire_command){
				    .session = 1 << 16 | 1, .number = ++number, .size = COMMAND },
			    payload);
		apply(&usual);
	}
}

static void open_one(struct world *world, uint64_t nonce)
{
	add(world, (struct synod_wire_command){ .number = nonce, .kind = SYNOD_COMMAND_REGISTER },
	    "");
	apply(world);
}

/* A table of SYNOD_SESSIONS_MAX places, of which so many are taken. */
static void make_many(struct world *world, uint32_t sessions)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(SYNOD_SESSIONS_MAX, MANY_WINDOW);

	world->apply = synod_apply_init_within(
		take(synod_apply_size_within(&synod_sequencer_machine, &limits)),
		&synod_sequencer_machine, &limits);
	for (uint64_t session = 1; session <= sessions; session++)
		open_one(world, session);
}

/* Each command is of another session: they take turns, in an order without a pattern to guess. */
static void apply_many(uint64_t iterations)
{
	static const uint8_t payload[COMMAND];
	static uint64_t numbers[MANY];
	static uint64_t turn;

	if (iterations == 0 && !many.apply)
		make_many(&many, MANY);
	while (iterations--) {
		for (uint32_t index = 0; index < COMMANDS; index++) {
			uint64_t session = turn++ * 7919 % MANY; /* a prime: each in its turn */

			add(&many,
			    (struct synod_wire_command){ .session = (session + 1) << 16 | 1,
							 .number = ++numbers[session],
							 .size = COMMAND },
			    payload);
		}
		apply(&many);
	}
}

/* A REGISTER into a full table: another session has to go. */
static void register_evicting(uint64_t iterations)
{
	static uint64_t nonce = SYNOD_SESSIONS_MAX;

	if (iterations == 0 && !evicting.apply)
		make_many(&evicting, SYNOD_SESSIONS_MAX);
	while (iterations--)
		open_one(&evicting, ++nonce);
}

/* One that is open already, as a copy finds it. */
static void register_again(uint64_t iterations)
{
	static uint64_t nonce;

	if (iterations == 0 && !many.apply)
		make_many(&many, MANY);
	while (iterations--)
		open_one(&many, 1 + nonce++ * 7919 % MANY);
}

static void save_usual(uint64_t iterations)
{
	if (iterations == 0 && !usual.apply)
		make(&usual, &synod_sequencer_machine, 3);
	while (iterations--)
		synod_apply_save(usual.apply, usual.image);
}

static void save_crowded(uint64_t iterations)
{
	if (iterations == 0 && !crowded.apply)
		make(&crowded, &synod_sequencer_machine, SYNOD_SESSIONS_DEFAULT);
	while (iterations--)
		synod_apply_save(crowded.apply, crowded.image);
}

static void save_full(uint64_t iterations)
{
	if (iterations == 0 && !full.apply) {
		make(&full, &synod_kv_machine, 3);
		fill_kv(&full);
	}
	while (iterations--)
		synod_apply_save(full.apply, full.image);
}

static void load(struct world *world, uint64_t iterations)
{
	while (iterations--)
		synod_assert(synod_apply_load(world->apply, world->image, world->image_size) == 0);
}

static void load_crowded(uint64_t iterations)
{
	if (iterations == 0)
		save_crowded(0);
	load(&crowded, iterations);
}

static void load_full(uint64_t iterations)
{
	if (iterations == 0)
		save_full(0);
	load(&full, iterations);
}

const struct synod_micro synod_micro_machine[] = {
	{ .name = "apply/sequencer/batch_of_64_byte_commands",
	  .run = apply_batch,
	  .items = COMMANDS },
	{ .name = "apply/sequencer/batch_of_10000_sessions", .run = apply_many, .items = COMMANDS },
	{ .name = "apply/register/found_among_10000", .run = register_again },
	{ .name = "apply/register/evicts_one_of_16384", .run = register_evicting },
	{ .name = "image/save/sequencer/3_sessions",
	  .run = save_usual,
	  .bytes = 3 * WINDOW,
	  .batch = 1 },
	{ .name = "image/save/sequencer/128_sessions",
	  .run = save_crowded,
	  .bytes = SYNOD_SESSIONS_DEFAULT * WINDOW,
	  .batch = 1 },
	{ .name = "image/save/kv/full", .run = save_full, .bytes = 3 * WINDOW + KEYS, .batch = 1 },
	{ .name = "image/load/sequencer/128_sessions",
	  .run = load_crowded,
	  .bytes = SYNOD_SESSIONS_DEFAULT * WINDOW,
	  .batch = 1 },
	{ .name = "image/load/kv/full", .run = load_full, .bytes = 3 * WINDOW + KEYS, .batch = 1 },
	{ 0 },
};

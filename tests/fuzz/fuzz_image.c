/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An image of applied state, of either machine: refused, or a state. A state saves exactly these
 * bytes again, and goes on: sessions are evicted and commands executed without an assertion.
 *
 *     byte 0   bit 0: put the head in order first, so that parts can grow and shrink
 *     then     the image
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/machine/apply.h"
#include "engine/machine/image.h"
#include "engine/machine/kv.h"
#include "engine/wire/wire.h"
#include "tests/unit/apply_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FLAG_MEND = 1,
	MACHINES = 2,
};

static const struct synod_apply_limits limits = {
	.sessions = 3,
	.window = SYNOD_SESSION_WINDOW_MIN,
	.assemblies = 2,
	.assembly_size = 512,
};

static const struct synod_machine *const machines[MACHINES] = { &synod_sequencer_machine,
								&synod_kv_machine };

struct world {
	struct synod_apply *apply[MACHINES];
	void *image[2];
};

static struct world world;

static void *take(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	synod_assert(memory != NULL);
	memset(memory, 0, size);
	return memory;
}

static void make(struct world *made)
{
	for (uint32_t index = 0; index < MACHINES && !made->apply[index]; index++) {
		size_t size = synod_apply_size_within(machines[index], &limits);

		made->apply[index] = synod_apply_init_within(take(size), machines[index], &limits);
		made->image[index] = take(synod_apply_image_max(&synod_kv_machine, &limits));
	}
}

/* Bytes of the sessions at that place, as far as they make sense. */
static uint64_t sessions_size(const uint8_t *at, size_t left)
{
	struct synod_image_reader reader = { at, left };
	struct synod_image_session session;
	struct synod_image_count count;

	if (synod_image_get(&reader, &count, sizeof(count)) < 0)
		return left;
	while (count.count-- && synod_image_get(&reader, &session, sizeof(session)) == 0 &&
	       synod_image_skip(&reader, session.entries * (size_t)16))
		;
	return left - reader.left;
}

static uint64_t assemblies_size(const uint8_t *at, size_t left)
{
	struct synod_image_reader reader = { at, left };
	struct synod_image_assembly assembly;
	struct synod_image_count count;

	if (synod_image_get(&reader, &count, sizeof(count)) < 0)
		return left;
	while (count.count-- && synod_image_get(&reader, &assembly, sizeof(assembly)) == 0 &&
	       synod_image_skip(&reader, (assembly.have + 7ull) & ~7ull))
		;
	return left - reader.left;
}

static void mend(uint8_t *image, size_t size, const struct synod_machine *machine)
{
	struct synod_image_head head;
	const uint8_t *at = image + sizeof(head);
	size_t left = size - sizeof(head);

	memcpy(&head, image, sizeof(head));
	head.magic = SYNOD_IMAGE_MAGIC;
	head.version = SYNOD_IMAGE_VERSION;
	head.reserved = 0;
	memset(head.machine, 0, sizeof(head.machine));
	memcpy(head.machine, machine->name, strlen(machine->name));
	head.sessions = limits.sessions;
	head.window = limits.window;
	head.assemblies = limits.assemblies;
	head.assembly_size = limits.assembly_size;
	head.sessions_size = sessions_size(at, left);
	head.assemblies_size = assemblies_size(at + head.sessions_size, left - head.sessions_size);
	head.machine_size = left - head.sessions_size - head.assemblies_size;
	memcpy(image, &head, sizeof(head));
}

static void add_kv(struct apply_batch *batch, uint64_t session, uint64_t number, uint8_t operation,
		   const char *key)
{
	const struct synod_kv_request request = { .operation = operation,
						  .key = key,
						  .key_size = (uint8_t)strlen(key),
						  .value = "value",
						  .value_size = operation == SYNOD_KV_PUT ? 5 : 0 };
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	int size = synod_kv_encode(&request, command, sizeof(command));

	synod_assert(size > 0);
	apply_batch_add_command(batch, session, number, command, (uint32_t)size);
}

/* Every session is evicted, and the new ones do what the machine can do. */
static void go_on(struct synod_apply *apply)
{
	const struct synod_wire_part part = { .total = 100 };
	static struct apply_batch batch;

	for (uint32_t turn = 0; turn <= limits.sessions; turn++) {
		const uint64_t slot = synod_apply_slot(apply) + 1;
		const uint64_t session = slot << 16 | 1;

		batch.size = 0;
		apply_batch_add_life(&batch, turn & 1, UINT64_MAX, UINT64_MAX - turn);
		apply_batch_add_part(&batch, session, 7, 'x', &part, 99);
		add_kv(&batch, session, 1, SYNOD_KV_PUT, "key");
		add_kv(&batch, session, 2, SYNOD_KV_GET, "a");
		add_kv(&batch, session, 3, SYNOD_KV_DELETE, "key");
		add_kv(&batch, session, 4, SYNOD_KV_DELETE, "a");
		add_kv(&batch, session, 5, SYNOD_KV_PUT, "b");
		synod_apply_batch(apply, slot, batch.bytes, batch.size, NULL, NULL);
	}
}

static void expect_saved(struct synod_apply *apply, const void *image, size_t size)
{
	synod_assert_cmp(synod_apply_save(apply, world.image[1]), ==, size);
	synod_assert(memcmp(world.image[1], image, size) == 0);
}

static void judge(uint32_t index, const uint8_t *image, size_t size)
{
	struct synod_apply *apply = world.apply[index];
	uint64_t hash;
	int verdict = synod_apply_load(apply, image, size);

	synod_assert(verdict == 0 || verdict == -EBADMSG || verdict == -EINVAL);
	if (verdict < 0) {
		synod_assert(synod_apply_slot(apply) == 0 && synod_apply_position(apply) == 0 &&
			     synod_apply_sessions(apply) == 0);
		return;
	}
	expect_saved(apply, image, size);
	/* At the very end of what slots and positions can be there is no going on. */
	if (synod_apply_slot(apply) >> 47 || synod_apply_position(apply) >> 55)
		return;
	go_on(apply);
	size = synod_apply_save(apply, world.image[0]);
	hash = synod_apply_hash(apply);
	synod_assert_cmp(synod_apply_load(apply, world.image[0], size), ==, 0);
	synod_assert_cmp(synod_apply_hash(apply), ==, hash);
	expect_saved(apply, world.image[0], size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t flags = size ? data[0] : 0;
	uint32_t index = 0;
	uint8_t *image;

	if (size < 1)
		return 0;
	make(&world);
	data++;
	size--;
	image = malloc(size ? size : 1); /* aligned, and to be written on */
	synod_assert(image != NULL);
	memcpy(image, data, size);
	/* The second letter of the name tells them apart, whatever the others became. */
	if (size >= sizeof(struct synod_image_head))
		index = image[offsetof(struct synod_image_head, machine) + 1] == 'v';
	if ((flags & FLAG_MEND) && size >= sizeof(struct synod_image_head))
		mend(image, size, machines[index]);
	judge(index, image, size);
	free(image);
	return 0;
}

static void give(fuzz_write write, const char *name, struct synod_apply *apply)
{
	uint8_t *seed = take(1 + synod_apply_image_max(&synod_kv_machine, &limits));
	uint8_t *image = take(synod_apply_image_max(&synod_kv_machine, &limits));
	size_t size = synod_apply_save(apply, image);

	seed[0] = FLAG_MEND;
	memcpy(seed + 1, image, size);
	write(name, seed, size + 1);
	free(seed);
	free(image);
}

void fuzz_seeds(fuzz_write write)
{
	static const char *const names[MACHINES][3] = {
		{ "sequencer_empty", "sequencer_session", "sequencer_busy" },
		{ "kv_empty", "kv_session", "kv_busy" },
	};
	struct apply_batch batch = { 0 };
	struct world made = { 0 };

	make(&made);
	apply_batch_add_life(&batch, 9, 1, 5);
	add_kv(&batch, 1 << 16 | 1, 1, SYNOD_KV_PUT, "a");
	add_kv(&batch, 1 << 16 | 1, 5000, SYNOD_KV_PUT, "b");
	for (uint32_t index = 0; index < MACHINES; index++) {
		give(write, names[index][0], made.apply[index]);
		synod_apply_batch(made.apply[index], 1, batch.bytes, batch.size, NULL, NULL);
		give(write, names[index][1], made.apply[index]);
		go_on(made.apply[index]);
		give(write, names[index][2], made.apply[index]);
		free(made.apply[index]);
		free(made.image[index]);
	}
}

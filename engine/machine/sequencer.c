/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sequencer: a command's payload is opaque, its result is its position and nothing more. What
 * the machine remembers is how many there were and a hash of them all in order, so that two
 * replicas can be compared by two numbers.
 */
#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/machine/fold.h"
#include "engine/machine/image.h"
#include "engine/machine/machine.h"
#include "engine/wire/wire.h"

#include <string.h>

struct sequencer {
	uint64_t count;
	uint64_t hash; /* of (position, CRC32C of the payload), folded in order */
};

static size_t sequencer_size(void)
{
	return sizeof(struct sequencer);
}

static void sequencer_init(void *state)
{
	struct sequencer *sequencer = state;

	sequencer->count = 0;
	sequencer->hash = 0;
}

static void sequencer_apply(void *state, uint64_t position, const void *command, uint32_t size,
			    struct synod_outcome *outcome)
{
	struct sequencer *sequencer = state;
	uint32_t crc = size ? synod_crc32c(command, size) : 0;

	synod_assert_cmp(position, ==, sequencer->count + 1);
	sequencer->count = position;
	sequencer->hash = synod_fold(synod_fold(sequencer->hash, position), crc);
	*outcome = (struct synod_outcome){ .status = SYNOD_OK };
}

static void sequencer_repeat(const void *state, uint64_t position, uint16_t status,
			     const void *command, uint32_t size, struct synod_outcome *outcome)
{
	(void)state;
	(void)position;
	(void)command;
	(void)size;
	*outcome = (struct synod_outcome){ .status = status };
}

/* A read of the sequence says how far it goes: the result's position. It has nothing to add. */
static void sequencer_query(const void *state, const void *command, uint32_t size,
			    struct synod_outcome *outcome)
{
	(void)state;
	(void)command;
	(void)size;
	*outcome = (struct synod_outcome){ .status = SYNOD_OK };
}

static uint64_t sequencer_hash(const void *state)
{
	const struct sequencer *sequencer = state;

	return sequencer->hash;
}

static size_t sequencer_image_max(void)
{
	return sizeof(struct synod_image_sequencer);
}

static size_t sequencer_save(const void *state, void *image)
{
	const struct sequencer *sequencer = state;
	const struct synod_image_sequencer part = {
		.count = sequencer->count,
		.hash = sequencer->hash,
	};

	memcpy(image, &part, sizeof(part));
	return sizeof(part);
}

static int sequencer_load(void *state, uint64_t position, const void *image, size_t size)
{
	struct synod_image_sequencer part;
	struct sequencer *sequencer = state;

	if (size != sizeof(part))
		return -EBADMSG;
	memcpy(&part, image, sizeof(part));
	if (part.count != position)
		return -EBADMSG;
	sequencer->count = part.count;
	sequencer->hash = part.hash;
	return 0;
}

const struct synod_machine synod_sequencer_machine = {
	.name = "sequencer",
	.size = sequencer_size,
	.init = sequencer_init,
	.apply = sequencer_apply,
	.repeat = sequencer_repeat,
	.query = sequencer_query,
	.hash = sequencer_hash,
	.image_max = sequencer_image_max,
	.save = sequencer_save,
	.load = sequencer_load,
};

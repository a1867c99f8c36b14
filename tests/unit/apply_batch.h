/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches of commands, written as a leader gathers them. For the tests of what applies them. */
#ifndef SYNOD_TESTS_UNIT_APPLY_BATCH_H
#define SYNOD_TESTS_UNIT_APPLY_BATCH_H

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/wire/wire.h"

#include <stdint.h>
#include <string.h>

struct apply_batch {
	uint32_t size;
	uint8_t bytes[SYNOD_BATCH_SIZE_MAX];
};

/* 1 if a command of so many bytes still fits. */
static inline int apply_batch_has_room(const struct apply_batch *batch, uint32_t size)
{
	const struct synod_wire_command command = { .size = size };

	return batch->size + synod_wire_command_size(&command) <= sizeof(batch->bytes);
}

static inline void apply_batch_add(struct apply_batch *batch, struct synod_wire_command command,
				   const void *payload)
{
	uint8_t *at = batch->bytes + batch->size;

	synod_assert(apply_batch_has_room(batch, command.size));
	memset(at, 0, synod_wire_command_size(&command));
	memcpy(at, &command, sizeof(command));
	if (command.size)
		memcpy(at + sizeof(command), payload, command.size);
	batch->size += synod_wire_command_size(&command);
}

static inline void apply_batch_add_command(struct apply_batch *batch, uint64_t session,
					   uint64_t number, const void *payload, uint32_t size)
{
	const struct synod_wire_command command = {
		.session = session, .number = number, .size = size, .kind = SYNOD_COMMAND_APPLY
	};

	apply_batch_add(batch, command, payload);
}

/* A REGISTER; identity 0: anonymous. */
static inline void apply_batch_add_life(struct apply_batch *batch, uint64_t identity,
					uint64_t incarnation, uint64_t nonce)
{
	const struct synod_wire_identity life = { .identity = identity,
						  .incarnation = incarnation };
	const struct synod_wire_command command = { .number = nonce,
						    .size = identity ? sizeof(life) : 0,
						    .kind = SYNOD_COMMAND_REGISTER };

	apply_batch_add(batch, command, &life);
}

/* A part of a command of total bytes that all are letter. */
static inline void apply_batch_add_part(struct apply_batch *batch, uint64_t session,
					uint64_t number, char letter,
					const struct synod_wire_part *part, uint32_t size)
{
	uint8_t payload[SYNOD_COMMAND_SIZE_MAX];
	const struct synod_wire_command command = { .session = session,
						    .number = number,
						    .size = (uint32_t)sizeof(*part) + size,
						    .kind = SYNOD_COMMAND_PART };

	memcpy(payload, part, sizeof(*part));
	memset(payload + sizeof(*part), letter, size);
	apply_batch_add(batch, command, payload);
}

#endif

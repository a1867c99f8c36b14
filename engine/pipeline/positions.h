/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which slot holds which position, for readers of the sequence (tail.c): an index over the last
 * slots that were applied, in rings, so that it costs the same memory for a log of any length. It
 * knows everything of the slots from slot_begin on and nothing of those before; what falls out of
 * any of its rings moves slot_begin.
 *
 *     slot          begin                    applied  applied + 1
 *     ---------------|---- known: last position before each ----|
 *     skips   slot << 16 | index of each command there that took no position, ascending
 *     parts   where each part of a large command is, and how far back the one before it
 *
 * Who may call: the apply stage. No allocation: memory is the caller's.
 */
#ifndef SYNOD_PIPELINE_POSITIONS_H
#define SYNOD_PIPELINE_POSITIONS_H

#include "engine/base/limits.h"
#include "engine/machine/apply.h"

#include <stdint.h>

/* A part of a large command that was taken. */
struct synod_positions_part {
	uint64_t place; /* slot << 16 | index in the batch; ascending */
	uint32_t offset : 31;
	uint32_t is_last : 1; /* it made the command whole, and has its position */
	uint32_t back; /* how many parts back the one before it is; 0: the first, or not known */
};

/* How many of each there is room for, and the room. */
struct synod_positions_memory {
	uint64_t *slots; /* at least 2 */
	uint64_t slots_max;
	uint64_t *skips;
	uint64_t skips_max;
	struct synod_positions_part *parts;
	uint64_t parts_max;
};

struct synod_positions {
	struct synod_positions_memory memory;
	uint64_t slot_begin;
	uint64_t skips_end; /* free-running; the last skips_max of them are there */
	uint64_t parts_end;
	uint64_t part_latest[SYNOD_ASSEMBLIES]; /* by buffer: 1 + number of the part taken last */
};

/* Everything before slot is unknown; position: the last one before it. */
void synod_positions_begin(struct synod_positions *positions,
			   const struct synod_positions_memory *memory, uint64_t slot,
			   uint64_t position);

/* The last position before a slot, which is the next one or has just been noted. */
void synod_positions_note_slot(struct synod_positions *positions, uint64_t slot, uint64_t position);
/* A result that took no position, or a part's; any other may be told too. */
void synod_positions_note_result(struct synod_positions *positions, uint64_t slot, uint32_t index,
				 const struct synod_apply_result *result);

/* The last position before a slot that is known. */
uint64_t synod_positions_before(const struct synod_positions *positions, uint64_t slot);
/* The slot in first..last, both known, that holds a position given in one of them. */
uint64_t synod_positions_slot_of(const struct synod_positions *positions, uint64_t first,
				 uint64_t last, uint64_t position);
/* The number of the first skip at or behind slot << 16 | index; 1: that skip is at that place. */
uint64_t synod_positions_skip_find(const struct synod_positions *positions, uint64_t place);
int synod_positions_is_skip(const struct synod_positions *positions, uint64_t number,
			    uint64_t place);
/* The part that was taken at that place, or NULL: none was. */
const struct synod_positions_part *synod_positions_part(const struct synod_positions *positions,
							uint64_t place);
/* The part of the same command that holds that byte; NULL: it is no longer known. */
const struct synod_positions_part *
synod_positions_part_with(const struct synod_positions *positions,
			  const struct synod_positions_part *last, uint32_t offset);

#endif

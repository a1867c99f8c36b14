/* SPDX-License-Identifier: BSD-3-Clause */
/* The index of positions: see positions.h. */
#include "engine/pipeline/positions.h"

#include "engine/base/assert.h"

#include <string.h>

void synod_positions_begin(struct synod_positions *positions,
			   const struct synod_positions_memory *memory, uint64_t slot,
			   uint64_t position)
{
	const struct synod_positions_memory room = *memory; /* it may be positions' own */

	synod_assert(room.slots_max >= 2 && room.skips_max >= 1 && room.parts_max >= 1);
	memset(positions, 0, sizeof(*positions));
	positions->memory = room;
	positions->slot_begin = slot;
	positions->memory.slots[slot % room.slots_max] = position;
}

/* What falls out of a ring takes its slot, and all before it, from what is known. */
static void forget(struct synod_positions *positions, uint64_t slot)
{
	if (positions->slot_begin <= slot)
		positions->slot_begin = slot + 1;
}

void synod_positions_note_slot(struct synod_positions *positions, uint64_t slot, uint64_t position)
{
	uint64_t max = positions->memory.slots_max;

	synod_assert_cmp(slot, >=, positions->slot_begin);
	positions->memory.slots[slot % max] = position;
	if (slot >= max)
		forget(positions, slot - max);
}

static void note_part(struct synod_positions *positions, uint64_t place,
		      const struct synod_apply_result *result)
{
	uint64_t *latest = &positions->part_latest[result->buffer];
	uint64_t number = positions->parts_end++;
	struct synod_positions_part *part =
		&positions->memory.parts[number % positions->memory.parts_max];
	uint64_t back = result->offset && *latest ? number + 1 - *latest : 0;

	synod_assert_cmp(result->buffer, <, SYNOD_ASSEMBLIES);
	if (number >= positions->memory.parts_max)
		forget(positions, part->place >> 16);
	*part = (struct synod_positions_part){
		.place = place,
		.offset = result->offset & INT32_MAX,
		.is_last = result->executed,
		.back = back < positions->memory.parts_max ? (uint32_t)back : 0,
	};
	*latest = number + 1;
}

void synod_positions_note_result(struct synod_positions *positions, uint64_t slot, uint32_t index,
				 const struct synod_apply_result *result)
{
	uint64_t *skip;

	if (result->part == SYNOD_APPLY_PART_TAKEN)
		note_part(positions, slot << 16 | index, result);
	if (result->part || result->executed)
		return; /* a part is known by its kind, and has no position unless noted as last */
	skip = &positions->memory.skips[positions->skips_end % positions->memory.skips_max];
	if (positions->skips_end++ >= positions->memory.skips_max)
		forget(positions, *skip >> 16);
	*skip = slot << 16 | index;
}

uint64_t synod_positions_before(const struct synod_positions *positions, uint64_t slot)
{
	synod_assert_cmp(slot, >=, positions->slot_begin);
	return positions->memory.slots[slot % positions->memory.slots_max];
}

uint64_t synod_positions_slot_of(const struct synod_positions *positions, uint64_t first,
				 uint64_t last, uint64_t position)
{
	uint64_t low = first;
	uint64_t high = last;

	synod_assert(synod_positions_before(positions, first) < position);
	while (low < high) { /* the highest slot with a last position before it below ours */
		uint64_t middle = low + (high - low + 1) / 2;

		if (synod_positions_before(positions, middle) < position)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

uint64_t synod_positions_skip_find(const struct synod_positions *positions, uint64_t place)
{
	const struct synod_positions_memory *memory = &positions->memory;
	uint64_t high = positions->skips_end;
	uint64_t low = high > memory->skips_max ? high - memory->skips_max : 0;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (memory->skips[middle % memory->skips_max] < place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int synod_positions_is_skip(const struct synod_positions *positions, uint64_t number,
			    uint64_t place)
{
	return number < positions->skips_end &&
	       positions->memory.skips[number % positions->memory.skips_max] == place;
}

const struct synod_positions_part *synod_positions_part(const struct synod_positions *positions,
							uint64_t place)
{
	const struct synod_positions_memory *memory = &positions->memory;
	uint64_t high = positions->parts_end;
	uint64_t low = high > memory->parts_max ? high - memory->parts_max : 0;
	const struct synod_positions_part *part;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (memory->parts[middle % memory->parts_max].place < place)
			low = middle + 1;
		else
			high = middle;
	}
	part = &memory->parts[low % memory->parts_max];
	return low < positions->parts_end && part->place == place ? part : NULL;
}

const struct synod_positions_part *
synod_positions_part_with(const struct synod_positions *positions,
			  const struct synod_positions_part *last, uint32_t offset)
{
	const struct synod_positions_memory *memory = &positions->memory;
	const struct synod_positions_part *part = last;
	uint64_t end = positions->parts_end;
	uint64_t oldest = end > memory->parts_max ? end - memory->parts_max : 0;
	uint64_t at = (uint64_t)(last - memory->parts); /* the last number with that place */
	uint64_t number = end - 1 - (end - 1 + memory->parts_max - at) % memory->parts_max;

	synod_assert_cmp(at, <, memory->parts_max);
	while (part->offset > offset) { /* at most that many parts back */
		if (part->back == 0 || number - oldest < part->back)
			return NULL;
		number -= part->back;
		part = &memory->parts[number % memory->parts_max];
	}
	return part->place >> 16 >= positions->slot_begin ? part : NULL;
}

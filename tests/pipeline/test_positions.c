/* SPDX-License-Identifier: BSD-3-Clause */
/* The index of positions against a naive twin that forgets nothing: what it knows is right. */
#include "engine/base/random.h"
#include "engine/pipeline/positions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	SLOTS = 3000,
	COMMANDS = 8, /* in a slot, at most */
	SLOTS_MAX = 300,
	SKIPS_MAX = 200,
	PARTS_MAX = 150,
};

static uint64_t slots_room[SLOTS_MAX];
static uint64_t skips_room[SKIPS_MAX];
static struct synod_positions_part parts_room[PARTS_MAX];
static struct synod_positions positions;

/* The twin: by slot and index. */
static uint64_t before[SLOTS + 2];
static struct {
	uint8_t kind; /* 0: executed, 1: skip, 2: a part */
	uint8_t is_last;
	uint32_t offset;
	uint64_t first; /* place of the command's first part */
} commands[SLOTS + 1][COMMANDS];
static uint32_t counts[SLOTS + 1];

static const struct synod_positions_memory room = {
	.slots = slots_room,
	.slots_max = SLOTS_MAX,
	.skips = skips_room,
	.skips_max = SKIPS_MAX,
	.parts = parts_room,
	.parts_max = PARTS_MAX,
};

/* What is being put together, by buffer. */
static uint32_t have[SYNOD_ASSEMBLIES];
static uint64_t begun[SYNOD_ASSEMBLIES];

/* One command of any kind. Returns 1 if it took a position. */
static int any_command(uint64_t slot, uint32_t index, uint64_t *random)
{
	uint8_t buffer = (uint8_t)synod_random_below(random, SYNOD_ASSEMBLIES);
	uint64_t kind = synod_random_below(random, 10);
	struct synod_apply_result result = { .executed = kind < 5 };

	commands[slot][index].kind = kind < 5 ? 0 : kind < 7 ? 1 : 2;
	if (kind >= 7) {
		if (synod_random_below(random, 6) == 0)
			have[buffer] = 0; /* another command takes the buffer */
		if (!have[buffer])
			begun[buffer] = slot << 16 | index;
		result.part = SYNOD_APPLY_PART_TAKEN;
		result.buffer = buffer;
		result.offset = have[buffer];
		result.executed = synod_random_below(random, 4) == 0;
		commands[slot][index].offset = have[buffer];
		commands[slot][index].is_last = result.executed;
		commands[slot][index].first = begun[buffer];
		have[buffer] = result.executed ? 0 : have[buffer] + 100;
	}
	synod_positions_note_result(&positions, slot, index, &result);
	return result.executed;
}

static void check_slot(uint64_t slot)
{
	uint64_t skip = synod_positions_skip_find(&positions, slot << 16);

	assert_int_equal(synod_positions_before(&positions, slot), before[slot]);
	for (uint32_t index = 0; index < counts[slot]; index++) {
		uint64_t place = slot << 16 | index;
		const struct synod_positions_part *part = synod_positions_part(&positions, place);
		const struct synod_positions_part *first;
		int is_skip = synod_positions_is_skip(&positions, skip, place);

		assert_int_equal(is_skip, commands[slot][index].kind == 1);
		skip += is_skip != 0;
		assert_int_equal(part != NULL, commands[slot][index].kind == 2);
		if (!part)
			continue;
		assert_int_equal(part->offset, commands[slot][index].offset);
		assert_int_equal(part->is_last, commands[slot][index].is_last);
		first = synod_positions_part_with(&positions, part, 0);
		if (commands[slot][index].first >> 16 >= positions.slot_begin)
			assert_int_equal(first->place, commands[slot][index].first);
		else
			assert_null(first);
	}
}

static void check_all(uint64_t applied)
{
	assert_true(positions.slot_begin <= applied + 1);
	for (uint64_t slot = positions.slot_begin; slot <= applied; slot++) {
		check_slot(slot);
		for (uint64_t at = before[slot] + 1; at <= before[slot + 1]; at++)
			assert_int_equal(synod_positions_slot_of(&positions, positions.slot_begin,
								 applied, at),
					 slot);
	}
}

static void what_the_index_knows_is_right_however_long_the_log(void **state)
{
	uint64_t longest = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 3; seed++) {
		uint64_t random = seed;
		uint64_t from = 1 + synod_random_below(&random, 100); /* behind a snapshot, too */

		memset(have, 0, sizeof(have));
		before[from] = 1000;
		synod_positions_begin(&positions, &room, from, 1000);
		for (uint64_t slot = from; slot <= SLOTS; slot++) {
			counts[slot] = (uint32_t)synod_random_below(
				&random, slot % 500 < 250 ? 2 : COMMANDS + 1);
			before[slot + 1] = before[slot];
			for (uint32_t index = 0; index < counts[slot]; index++)
				before[slot + 1] += any_command(slot, index, &random) != 0;
			synod_positions_note_slot(&positions, slot + 1, before[slot + 1]);
			if (slot % 50 == 0)
				check_all(slot);
			if (slot + 1 - positions.slot_begin > longest)
				longest = slot + 1 - positions.slot_begin;
		}
		assert_true(positions.slot_begin > SLOTS / 2);
	}
	assert_int_equal(longest, SLOTS_MAX - 1); /* it keeps what it has room for */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_index_knows_is_right_however_long_the_log),
	};

	return cmocka_run_group_tests_name("positions", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large commands from parts, against a naive twin: a list of commands under way, each with all its
 * bytes, searched from end to end. Few and small buffers, so that everything happens.
 */
#include "engine/machine/assembly.h"

#include "engine/base/limits.h"
#include "engine/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	BUFFERS = 3,
	BUFFER_SIZE = 512
};

struct twin_command {
	uint64_t session; /* 0: nobody's */
	uint64_t number;
	uint64_t used;
	uint32_t total;
	uint32_t have;
	uint8_t bytes[BUFFER_SIZE];
};

static struct twin_command twin[BUFFERS];

static struct synod_assemblies *make(uint32_t buffers, uint32_t size)
{
	size_t bytes = synod_assemblies_size(buffers, size);
	void *memory = aligned_alloc(64, bytes);

	assert_non_null(memory);
	memset(memory, 0, bytes);
	synod_assemblies_init(memory, buffers, size);
	return memory;
}

static void twin_drop(struct twin_command *command)
{
	memset(command, 0, sizeof(*command));
}

static struct twin_command *twin_of(uint64_t session)
{
	for (int i = 0; i < BUFFERS; i++)
		if (twin[i].session == session)
			return &twin[i];
	return NULL;
}

/* Where a command that begins would go: its session's, a free one, one that nobody goes on with. */
static struct twin_command *twin_begin(const struct synod_assembly_part *part)
{
	struct twin_command *at = twin_of(part->session) ? twin_of(part->session) : twin_of(0);

	for (int i = 0; !at && i < BUFFERS; i++) {
		int older = 0;

		for (int j = 0; j < BUFFERS; j++)
			older += twin[j].used < twin[i].used ||
				 (twin[j].used == twin[i].used && j < i);
		if (!older && twin[i].used + SYNOD_ASSEMBLY_IDLE_SLOTS <= part->slot)
			at = &twin[i];
		else if (!older)
			return NULL;
	}
	twin_drop(at);
	at->session = part->session;
	at->number = part->number;
	at->total = part->total;
	return at;
}

static enum synod_assembly_verdict twin_add(const struct synod_assembly_part *part,
					    struct synod_assembly_progress *progress)
{
	struct twin_command *at = twin_of(part->session);

	memset(progress, 0, sizeof(*progress));
	if (part->total > BUFFER_SIZE)
		return SYNOD_ASSEMBLY_TOO_LARGE;
	if (at && at->number > part->number)
		return SYNOD_ASSEMBLY_NO_BUFFER;
	if (!at || at->number != part->number || at->total != part->total) {
		if (part->offset)
			return SYNOD_ASSEMBLY_ELSEWHERE;
		at = twin_begin(part);
		if (!at)
			return SYNOD_ASSEMBLY_NO_BUFFER;
	}
	progress->have = at->have;
	if (at->have != part->offset)
		return SYNOD_ASSEMBLY_ELSEWHERE;
	memcpy(at->bytes + part->offset, part->bytes, part->size);
	at->have += part->size;
	at->used = part->slot;
	progress->buffer = (uint32_t)(at - twin);
	progress->have = at->have;
	return at->have == at->total ? SYNOD_ASSEMBLY_WHOLE : SYNOD_ASSEMBLY_TAKEN;
}

/* Mostly the next part of something, sometimes a copy, a gap, or another command altogether. */
static struct synod_assembly_part draw(uint64_t *random, uint64_t slot)
{
	static uint8_t bytes[BUFFER_SIZE];
	struct synod_assembly_part part = {
		.session = 1 + synod_random_below(random, 5),
		.number = 1 + slot / 3000 + synod_random_below(random, 2),
		.slot = slot,
		.bytes = bytes,
	};
	const struct twin_command *at = twin_of(part.session);
	uint32_t left;

	if (at && synod_random_below(random, 8))
		part.number = at->number;
	part.total = 100 + (uint32_t)(part.session * 83 + part.number * 31) % 400;
	if (synod_random_below(random, 50) == 0)
		part.total = 50 + (uint32_t)synod_random_below(random, 500);
	if (at && at->number == part.number && at->have < part.total &&
	    synod_random_below(random, 5))
		part.offset = at->have;
	else if (synod_random_below(random, 3) == 0)
		part.offset = (uint32_t)synod_random_below(random, part.total);
	left = part.total - part.offset;
	part.size = left < 100 ? left : 64 + (uint32_t)synod_random_below(random, 36);
	for (uint32_t i = 0; i < part.size; i++)
		bytes[i] = (uint8_t)synod_random_next(random);
	return part;
}

static void drop_some(struct synod_assemblies *assemblies, uint64_t *random)
{
	uint64_t session = 1 + synod_random_below(random, 5);
	uint64_t number = 1 + synod_random_below(random, 12);
	struct twin_command *at = twin_of(session);

	if (synod_random_below(random, 2)) {
		synod_assembly_drop_session(assemblies, session);
		if (at)
			twin_drop(at);
	} else {
		synod_assembly_drop(assemblies, session, number);
		if (at && at->number == number)
			twin_drop(at);
	}
}

static void random_parts_equal_the_naive_twin(void **state)
{
	uint32_t seen[5] = { 0 };
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct synod_assemblies *assemblies = make(BUFFERS, BUFFER_SIZE);
		uint64_t random = seed;
		uint64_t slot = 1;
		uint32_t turn;

		memset(twin, 0, sizeof(twin));
		for (turn = 0; turn < 20000; turn++) {
			struct synod_assembly_part part = draw(&random, slot);
			struct synod_assembly_progress progress;
			struct synod_assembly_progress expected;
			enum synod_assembly_verdict verdict = twin_add(&part, &expected);

			assert_int_equal(synod_assembly_add(assemblies, &part, &progress), verdict);
			assert_memory_equal(&progress, &expected, sizeof(progress));
			seen[verdict]++;
			if (verdict == SYNOD_ASSEMBLY_WHOLE) {
				struct twin_command *at = twin_of(part.session);

				assert_memory_equal(
					synod_assembly_bytes(assemblies, progress.buffer),
					at->bytes, part.total);
				synod_assembly_drop(assemblies, part.session, part.number);
				twin_drop(at);
			}
			if (synod_random_below(&random, 100) == 0)
				drop_some(assemblies, &random);
			slot += synod_random_below(&random, 3);
			if (synod_random_below(&random, 300) == 0)
				slot += SYNOD_ASSEMBLY_IDLE_SLOTS / 2;
		}
		free(assemblies);
	}
	for (int i = 0; i < 5; i++)
		assert_true(seen[i] > 100);
}

static void buffers_that_are_free_again_are_as_new(void **state)
{
	size_t size = synod_assemblies_size(BUFFERS, BUFFER_SIZE);
	struct synod_assemblies *used = make(BUFFERS, BUFFER_SIZE);
	struct synod_assemblies *fresh = make(BUFFERS, BUFFER_SIZE);
	struct synod_assembly_progress progress;
	uint64_t random = 9;
	uint64_t session;
	uint64_t slot;

	(void)state;
	memset(twin, 0, sizeof(twin));
	for (slot = 1; slot < 3000; slot++) {
		struct synod_assembly_part part = draw(&random, slot);

		if (synod_assembly_add(used, &part, &progress) == SYNOD_ASSEMBLY_WHOLE)
			synod_assembly_drop(used, part.session, part.number);
	}
	assert_true(synod_assembly_count(used) > 0);
	for (session = 1; session <= 5; session++)
		synod_assembly_drop_session(used, session);
	assert_int_equal(synod_assembly_count(used), 0);
	assert_memory_equal(used, fresh, size);
	free(used);
	free(fresh);
}

static enum synod_assembly_verdict add(struct synod_assemblies *assemblies, uint64_t session,
				       uint64_t number, uint64_t slot)
{
	static const uint8_t bytes[64];
	const struct synod_assembly_part part = {
		.session = session,
		.number = number,
		.slot = slot,
		.total = 128,
		.bytes = bytes,
		.size = sizeof(bytes),
	};
	struct synod_assembly_progress progress;

	return synod_assembly_add(assemblies, &part, &progress);
}

static void who_goes_on_keeps_its_buffer_and_who_went_away_loses_it(void **state)
{
	struct synod_assemblies *assemblies = make(2, 128);
	uint64_t slot = 10;

	(void)state;
	assert_int_equal(add(assemblies, 1, 1, slot), SYNOD_ASSEMBLY_TAKEN);
	assert_int_equal(add(assemblies, 2, 1, slot + 1), SYNOD_ASSEMBLY_TAKEN);
	slot += SYNOD_ASSEMBLY_IDLE_SLOTS;
	assert_int_equal(add(assemblies, 3, 1, slot - 1), SYNOD_ASSEMBLY_NO_BUFFER);
	assert_int_equal(add(assemblies, 1, 2, slot - 1), SYNOD_ASSEMBLY_TAKEN); /* begins anew */
	assert_int_equal(add(assemblies, 3, 1, slot), SYNOD_ASSEMBLY_NO_BUFFER);
	assert_int_equal(add(assemblies, 3, 1, slot + 1), SYNOD_ASSEMBLY_TAKEN); /* 2's */
	assert_int_equal(add(assemblies, 2, 1, slot + 2), SYNOD_ASSEMBLY_NO_BUFFER);
	assert_int_equal(synod_assembly_count(assemblies), 2);
	free(assemblies);
}

static void the_largest_command_goes_into_the_largest_buffer(void **state)
{
	struct synod_assemblies *assemblies = make(SYNOD_ASSEMBLIES, SYNOD_COMMAND_LARGE_MAX);
	uint8_t *bytes = malloc(SYNOD_COMMAND_LARGE_MAX);
	struct synod_assembly_progress progress = { 0 };
	enum synod_assembly_verdict verdict = SYNOD_ASSEMBLY_TAKEN;

	(void)state;
	assert_non_null(bytes);
	for (uint32_t i = 0; i < SYNOD_COMMAND_LARGE_MAX; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	while (verdict == SYNOD_ASSEMBLY_TAKEN) {
		uint32_t left = SYNOD_COMMAND_LARGE_MAX - progress.have;
		const struct synod_assembly_part part = {
			.session = 5,
			.number = 6,
			.slot = 7,
			.offset = progress.have,
			.total = SYNOD_COMMAND_LARGE_MAX,
			.bytes = bytes + progress.have,
			.size = left < 8824 ? left : 8824,
		};

		verdict = synod_assembly_add(assemblies, &part, &progress);
	}
	assert_int_equal(verdict, SYNOD_ASSEMBLY_WHOLE);
	assert_memory_equal(synod_assembly_bytes(assemblies, progress.buffer), bytes,
			    SYNOD_COMMAND_LARGE_MAX);
	free(bytes);
	free(assemblies);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_parts_equal_the_naive_twin),
		cmocka_unit_test(buffers_that_are_free_again_are_as_new),
		cmocka_unit_test(who_goes_on_keeps_its_buffer_and_who_went_away_loses_it),
		cmocka_unit_test(the_largest_command_goes_into_the_largest_buffer),
	};

	return cmocka_run_group_tests_name("assembly", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The sequence as readers see it: every command whole, large ones piece by piece, none besides. */
#include "engine/base/random.h"
#include "engine/pipeline/pipeline.h"
#include "tests/pipeline/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	COMMANDS_MAX = 64,
	PART_MAX = SYNOD_COMMAND_SIZE_MAX - SYNOD_PART_HEADER_SIZE
};

/* What was ordered: by position. */
static struct {
	uint32_t size;
	uint8_t *bytes;
} ordered[COMMANDS_MAX + 1];
static uint64_t ordered_count;

static uint8_t *make_bytes(uint32_t size, uint64_t seed)
{
	uint8_t *bytes = malloc(size + 1);

	assert_non_null(bytes);
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(synod_random_next(&seed) >> 13);
	return bytes;
}

static void forget(void)
{
	while (ordered_count)
		free(ordered[ordered_count--].bytes);
}

static void expect(const uint8_t *bytes, uint32_t size)
{
	ordered_count++;
	assert_true(ordered_count <= COMMANDS_MAX);
	ordered[ordered_count].bytes = malloc(size + 1);
	assert_non_null(ordered[ordered_count].bytes);
	memcpy(ordered[ordered_count].bytes, bytes, size);
	ordered[ordered_count].size = size;
}

/* One part as a request; its result. */
static struct synod_wire_result send_part(struct bench *bench, uint64_t session, uint64_t number,
					  const uint8_t *bytes, struct synod_wire_part part,
					  uint32_t size)
{
	static uint8_t payload[SYNOD_COMMAND_SIZE_MAX];

	memcpy(payload, &part, sizeof(part));
	memcpy(payload + sizeof(part), bytes + part.offset, size);
	bench_request(bench, SYNOD_COMMAND_PART, session, number, payload,
		      (uint32_t)sizeof(part) + size);
	bench_run(bench, 8);
	return bench_result(bench, NULL);
}

static void order_small(struct bench *bench, uint64_t session, uint64_t number, uint32_t size)
{
	uint8_t *bytes = make_bytes(size, number);
	struct synod_wire_result result;

	bench_request(bench, SYNOD_COMMAND_APPLY, session, number, bytes, size);
	bench_run(bench, 8);
	result = bench_result(bench, NULL);
	assert_int_equal(result.status, SYNOD_OK);
	expect(bytes, size);
	assert_int_equal(result.position, ordered_count);
	free(bytes);
}

/* In parts of step bytes, the first of them twice, small commands of another session between. */
static void order_large(struct bench *bench, const uint64_t *sessions, uint64_t number,
			uint32_t size, uint32_t step)
{
	uint8_t *bytes = make_bytes(size, number);
	struct synod_wire_part part = { .total = size };
	struct synod_wire_result result;
	uint32_t parts = 0;

	do {
		uint32_t left = size - part.offset;
		uint32_t now = left < step ? left : step;

		result = send_part(bench, sessions[0], number, bytes, part, now);
		part.offset += now;
		assert_int_equal(result.status, part.offset < size ? SYNOD_PARTIAL : SYNOD_OK);
		assert_int_equal(result.size, part.offset < size ? 4 : 0);
		if (parts++ == 0 && left > step) { /* a copy, and another's command */
			struct synod_wire_part first = { .total = size };

			result = send_part(bench, sessions[0], number, bytes, first, now);
			assert_int_equal(result.status, SYNOD_PARTIAL);
			order_small(bench, sessions[1], number, 100);
		}
	} while (part.offset < size);
	expect(bytes, size);
	assert_int_equal(result.position, ordered_count);
	/* A copy of its last part is a duplicate, and no command of the sequence. */
	part.offset = (size - 1) / step * step;
	result = send_part(bench, sessions[0], number, bytes, part, size - part.offset);
	assert_int_equal(result.status, SYNOD_OK);
	assert_int_equal(result.position, ordered_count);
	free(bytes);
}

/* Asks from a position and byte on, with an answer's room. Returns the entries' bytes. */
static struct synod_wire_view ask(struct bench *bench, uint64_t position, uint32_t offset,
				  uint32_t count, uint32_t room)
{
	static const uint8_t padding[SYNOD_BATCH_SIZE_MAX];
	const struct synod_wire_header header = {
		.type = SYNOD_TAIL_QUERY,
		.slot = position,
		.argument = (uint64_t)offset << 32 | count,
	};
	struct synod_wire_view view;
	uint64_t to;

	bench_put(bench, 99, &header, padding, room);
	bench_run(bench, 40);
	assert_true(bench_take(bench, &to, &view));
	assert_int_equal(view.header->type, SYNOD_TAIL);
	assert_int_equal(view.header->slot, position);
	assert_int_equal(view.header->argument, ordered_count);
	assert_true(view.body_size <= room);
	return view;
}

/* Reads it all with that room and compares. Returns the answers it took. */
static uint32_t read_all(struct bench *bench, uint32_t room)
{
	uint64_t position = 1;
	uint32_t offset = 0;
	uint32_t answers = 0;

	while (position <= ordered_count) {
		struct synod_wire_view view = ask(bench, position, offset, 1000, room);
		uint32_t at = 0;

		assert_true(view.body_size > 0);
		answers++;
		while (at < view.body_size) {
			struct synod_wire_tail entry;

			memcpy(&entry, view.body + at, sizeof(entry));
			at += (uint32_t)sizeof(entry);
			assert_int_equal(entry.position, position);
			assert_int_equal(entry.total, ordered[position].size);
			assert_int_equal(entry.offset, offset);
			assert_memory_equal(view.body + at, ordered[position].bytes + offset,
					    entry.size);
			at += SYNOD_WIRE_ALIGN(entry.size);
			offset += entry.size;
			assert_true(offset <= entry.total);
			if (offset < entry.total) {
				assert_int_equal(at, view.body_size); /* a piece is alone */
				break;
			}
			offset = 0;
			position++;
		}
	}
	return answers;
}

static void order_some(struct bench *bench, const uint64_t *sessions)
{
	order_small(bench, sessions[0], 1, 1);
	order_small(bench, sessions[0], 2, SYNOD_COMMAND_SIZE_MAX);
	order_large(bench, sessions, 3, SYNOD_COMMAND_SIZE_MAX + 1, PART_MAX);
	order_small(bench, sessions[0], 4, 0);
	order_large(bench, sessions, 5, 100000, 1336);
	order_large(bench, sessions, 6, 500, 500); /* one part is enough */
	order_large(bench, sessions, 7, SYNOD_COMMAND_LARGE_MAX, PART_MAX);
	order_small(bench, sessions[0], 8, 77);
}

static void commands_of_every_size_are_read_back_byte_for_byte(void **state)
{
	struct bench *bench = bench_make();
	const uint64_t sessions[] = { bench_open_session(bench, 1), bench_open_session(bench, 2) };

	(void)state;
	order_some(bench, sessions);
	assert_int_equal(synod_apply_position(bench->apply), ordered_count);
	assert_in_range(read_all(bench, SYNOD_BATCH_SIZE_MAX), 120, 260);
	assert_in_range(read_all(bench, 1392), 840, 1600);
	bench_free(bench);
	forget();
}

static void a_restarted_replica_reads_them_back_too(void **state)
{
	struct bench *bench = bench_make();
	const uint64_t sessions[] = { bench_open_session(bench, 1), bench_open_session(bench, 2) };
	uint8_t *bytes = make_bytes(20000, 5);
	struct synod_wire_part part = { .total = 20000 };

	(void)state;
	order_some(bench, sessions);
	send_part(bench, sessions[1], 100, bytes, part, 8000);
	bench_restart(bench);
	part.offset = 8000; /* what was assembled before is there */
	assert_int_equal(send_part(bench, sessions[1], 100, bytes, part, 8000).status,
			 SYNOD_PARTIAL);
	part.offset = 16000;
	assert_int_equal(send_part(bench, sessions[1], 100, bytes, part, 4000).status, SYNOD_OK);
	expect(bytes, 20000);
	read_all(bench, SYNOD_BATCH_SIZE_MAX);
	bench_free(bench);
	free(bytes);
	forget();
}

static void parts_that_never_made_a_command_are_not_in_the_sequence(void **state)
{
	struct bench *bench = bench_make();
	const uint64_t sessions[] = { bench_open_session(bench, 1), bench_open_session(bench, 2) };
	uint8_t *bytes = make_bytes(1000, 3);
	struct synod_wire_part part = { .total = 1000 };

	(void)state;
	send_part(bench, sessions[0], 1, bytes, part, 500);
	part.offset = 900;
	assert_int_equal(send_part(bench, sessions[0], 1, bytes, part, 100).status, SYNOD_PARTIAL);
	order_large(bench, sessions, 2, 5000, 1000); /* the first is given up for it */
	part.offset = 500;
	assert_int_equal(send_part(bench, sessions[0], 1, bytes, part, 500).status, SYNOD_PARTIAL);
	order_small(bench, sessions[0], 3, 10);
	read_all(bench, SYNOD_BATCH_SIZE_MAX);
	bench_free(bench);
	free(bytes);
	forget();
}

static void odd_questions_get_what_there_is(void **state)
{
	struct bench *bench = bench_make();
	const uint64_t sessions[] = { bench_open_session(bench, 1), bench_open_session(bench, 2) };

	(void)state;
	order_large(bench, sessions, 1, 10000, 4000);
	assert_int_equal(ask(bench, 2, 10000, 10, 8000).body_size, 0); /* behind its end */
	assert_int_equal(ask(bench, 2, UINT32_MAX, 10, 8000).body_size, 0);
	assert_int_equal(ask(bench, 2, 9999, 10, 8000).body_size,
			 sizeof(struct synod_wire_tail) + 8);
	assert_int_equal(ask(bench, 2, 0, 10, 16).body_size, 0); /* no room for anything */
	assert_int_equal(ask(bench, 2, 0, 10, 32).body_size, 32);
	assert_int_equal(ask(bench, 3, 0, 10, 8000).body_size, 0); /* not there yet */
	bench_free(bench);
	forget();
}

/* The answer to a question for what is trimmed: the first position that is not. */
static uint64_t ask_trimmed(struct bench *bench, uint64_t position)
{
	struct synod_wire_view view = ask(bench, position, 0, 1000, 8000);
	struct synod_wire_tail entry;

	assert_int_equal(view.header->flags, SYNOD_FLAG_BEHIND);
	assert_int_equal(view.body_size, sizeof(entry));
	memcpy(&entry, view.body, sizeof(entry));
	assert_int_equal(entry.size, 0);
	assert_int_equal(entry.total, 0);
	assert_true(entry.position > position);
	return entry.position;
}

static void what_fell_out_of_the_index_is_said_to_be_trimmed(void **state)
{
	struct bench *bench = bench_make();
	const uint64_t sessions[] = { bench_open_session(bench, 1), bench_open_session(bench, 2) };

	(void)state;
	for (uint64_t number = 1; number <= 10; number++)
		order_small(bench, sessions[0], number, 10);
	assert_int_equal(ask(bench, 1, 0, 10, 8000).header->flags, 0);
	/* Duplicates have no position, and there is room for so many of them. */
	for (uint32_t i = 0; i < BENCH_SKIPS_MAX; i++) {
		bench_request(bench, SYNOD_COMMAND_APPLY, sessions[0], 10, NULL, 0);
		bench_run(bench, 8);
		assert_int_equal(bench_result(bench, NULL).position, 10);
	}
	/* Both registrations have fallen out, and the slots before them with them. */
	assert_int_equal(bench->pipeline->apply.positions.slot_begin, 3);
	assert_int_equal(ask(bench, 1, 0, 10, 8000).header->flags, 0);
	bench_request(bench, SYNOD_COMMAND_APPLY, sessions[0], 10, NULL, 0);
	bench_run(bench, 8);
	(void)bench_result(bench, NULL);
	assert_int_equal(ask_trimmed(bench, 1), 11);
	assert_int_equal(ask_trimmed(bench, 10), 11);
	order_small(bench, sessions[0], 11, 10);
	assert_int_equal(ask(bench, 11, 0, 10, 8000).header->flags, 0);
	assert_int_equal(ask(bench, 1, 0, 10, 16).body_size, 0); /* no room to say so */
	bench_free(bench);
	forget();
}

static void a_large_command_whose_beginning_fell_out_is_stepped_over(void **state)
{
	struct bench *bench = bench_make();
	const uint64_t sessions[] = { bench_open_session(bench, 1), bench_open_session(bench, 2) };
	const uint32_t parts = BENCH_PARTS_MAX / 2 + 1;

	(void)state;
	order_large(bench, sessions, 1, parts * 64, 64);
	order_large(bench, sessions, 2, parts * 64, 64);
	order_small(bench, sessions[0], 3, 10);
	assert_int_equal(ordered_count, 5);
	/* Of the first all but the last parts are gone, of the second none. */
	assert_int_equal(ask_trimmed(bench, 1), 2);
	assert_int_equal(ask_trimmed(bench, 2), 3);
	assert_true(ask(bench, 4, 0, 1, 8000).body_size > 64);
	bench_free(bench);
	forget();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_of_every_size_are_read_back_byte_for_byte),
		cmocka_unit_test(a_restarted_replica_reads_them_back_too),
		cmocka_unit_test(parts_that_never_made_a_command_are_not_in_the_sequence),
		cmocka_unit_test(odd_questions_get_what_there_is),
		cmocka_unit_test(what_fell_out_of_the_index_is_said_to_be_trimmed),
		cmocka_unit_test(a_large_command_whose_beginning_fell_out_is_stepped_over),
	};

	return cmocka_run_group_tests_name("tail", tests, bench_eal, bench_eal_end);
}

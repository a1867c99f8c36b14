/* SPDX-License-Identifier: BSD-3-Clause */
/* The order of a journal's writes, and what completes when. */
#include "engine/journal/writer.h"

#include "engine/base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE    (4u << 20)
#define MARKER_NS    ((uint64_t)SYNOD_JOURNAL_MARKER_MS * 1000000)
#define INDEX_SLOTS  64
#define FIRST_BALLOT 257

struct fixture {
	struct synod_writer writer;
	struct synod_format_superblock superblock;
	struct synod_journal_recovery recovery;
	struct synod_plan plan;
	struct synod_index_entry entries[INDEX_SLOTS + 1];
	struct synod_index index;
	struct synod_writer_io ios[64]; /* named and not yet done */
	uint32_t ios_count;
	uint64_t ticket;
};

static int set_up(void **state)
{
	const struct synod_journal_identity identity = { 9, 1, 1, 3 };
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct synod_writer_start start = { .fence_step = SYNOD_FORMAT_FENCE_STEP };

	assert_non_null(fixture);
	synod_superblock_first(&fixture->superblock, &identity, FILE_SIZE, FILE_SIZE, 7);
	synod_recovery_begin(&fixture->recovery, &fixture->superblock);
	synod_plan_start(&fixture->plan, &fixture->superblock, NULL);
	fixture->index.entries = fixture->entries;
	fixture->index.slots = INDEX_SLOTS;
	start.opened = &fixture->superblock;
	start.recovery = &fixture->recovery;
	start.plan = &fixture->plan;
	start.index = &fixture->index;
	start.memory = aligned_alloc(SYNOD_BLOCK_SIZE, SYNOD_WRITER_MEMORY_SIZE);
	assert_non_null(start.memory);
	synod_writer_init(&fixture->writer, &start);
	synod_writer_begin_life(&fixture->writer, &fixture->recovery);
	synod_writer_life_begun(&fixture->writer);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	free(fixture->writer.memory);
	free(fixture);
	return 0;
}

static void promise(struct fixture *fixture, uint64_t ballot)
{
	assert_int_equal(synod_writer_promise(&fixture->writer, ++fixture->ticket, ballot, 0), 0);
}

static void record(struct fixture *fixture, uint64_t slot)
{
	static const uint8_t body[16] = "sixteen letters";
	const struct synod_wire_entry entry = { .slot = slot,
						.ballot = FIRST_BALLOT,
						.size = sizeof(body),
						.crc = synod_crc32c(body, sizeof(body)) };

	assert_int_equal(synod_writer_record(&fixture->writer, ++fixture->ticket, &entry, body, 0),
			 0);
}

/* Returns how many writes became possible. */
static uint32_t advance(struct fixture *fixture, uint64_t now_ns)
{
	synod_writer_advance(&fixture->writer, now_ns);
	for (uint32_t i = 0; i < fixture->writer.ios_count; i++)
		fixture->ios[fixture->ios_count++] = fixture->writer.ios[i];
	return fixture->writer.ios_count;
}

/* Of the writes under way, the first of that kind is done. */
static void done(struct fixture *fixture, uint32_t kind)
{
	uint32_t i = 0;

	while (i < fixture->ios_count && fixture->ios[i].kind != kind)
		i++;
	assert_true(i < fixture->ios_count);
	synod_writer_done(&fixture->writer, kind, fixture->ios[i].index);
	fixture->ios_count--;
	memmove(&fixture->ios[i], &fixture->ios[i + 1],
		(fixture->ios_count - i) * sizeof(fixture->ios[0]));
}

static uint64_t durable(const struct fixture *fixture)
{
	return fixture->writer.prefix.ticket_durable;
}

static void promise_is_durable_when_both_copies_of_one_pair_are(void **state)
{
	struct fixture *fixture = *state;

	promise(fixture, FIRST_BALLOT);
	assert_int_equal(advance(fixture, 1), 2);
	assert_int_equal(fixture->ios[0].index / 2, fixture->ios[1].index / 2);
	done(fixture, SYNOD_WRITER_SUPERBLOCK);
	assert_int_equal(durable(fixture), 0);
	done(fixture, SYNOD_WRITER_SUPERBLOCK);
	assert_int_equal(durable(fixture), 1);
	/* And then the other pair gets the same. */
	assert_int_equal(advance(fixture, 2), 2);
	for (uint32_t i = 0; i < 2; i++) {
		const struct synod_format_superblock *sector = fixture->ios[i].bytes;

		assert_int_equal(sector->promised, FIRST_BALLOT);
		assert_int_equal(sector->sequence, fixture->writer.superblock.sequence_durable);
	}
}

static void no_ticket_passes_an_earlier_one(void **state)
{
	struct fixture *fixture = *state;

	record(fixture, 1);
	assert_int_equal(advance(fixture, 1), 1);
	record(fixture, 2);
	promise(fixture, FIRST_BALLOT + 256);
	assert_int_equal(advance(fixture, 2), 3);
	done(fixture, SYNOD_WRITER_SUPERBLOCK);
	done(fixture, SYNOD_WRITER_SUPERBLOCK);
	assert_int_equal(durable(fixture), 0);
	done(fixture, SYNOD_WRITER_GROUP);
	assert_int_equal(durable(fixture), 1);
	done(fixture, SYNOD_WRITER_GROUP);
	assert_int_equal(durable(fixture), 3);
}

static void quiet_log_gets_a_marker(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_format_group *marker;

	record(fixture, 1);
	assert_int_equal(advance(fixture, 1000), 1);
	done(fixture, SYNOD_WRITER_GROUP);
	assert_int_equal(advance(fixture, 2000), 0);
	assert_int_equal(synod_writer_deadline_ns(&fixture->writer), 2000 + MARKER_NS);
	assert_int_equal(advance(fixture, 1999 + MARKER_NS), 0);
	assert_int_equal(advance(fixture, 2000 + MARKER_NS), 1);
	marker = fixture->ios[0].bytes;
	assert_int_equal(marker->records, 0);
	assert_int_equal(marker->durable_through, 1);
	done(fixture, SYNOD_WRITER_GROUP);
	assert_int_equal(advance(fixture, 10 * MARKER_NS), 0); /* one is enough */
	assert_true(synod_writer_deadline_ns(&fixture->writer) == UINT64_MAX);
}

/*
 * Found by the simulator: a superblock write that
 * takes longer than the marker's quiet time, and a group behind its promise that is done. No header
 * may call that group durable yet, and none did: the assertion that said so stopped the replica.
 */
static void group_behind_a_slow_promise_gets_no_marker(void **state)
{
	struct fixture *fixture = *state;

	promise(fixture, FIRST_BALLOT);
	record(fixture, 1);
	assert_int_equal(advance(fixture, 1), 3);
	done(fixture, SYNOD_WRITER_GROUP);
	assert_int_equal(advance(fixture, 2), 0);
	assert_int_equal(advance(fixture, 3 + 2 * MARKER_NS), 0);
	assert_int_equal(durable(fixture), 0);
	done(fixture, SYNOD_WRITER_SUPERBLOCK);
	done(fixture, SYNOD_WRITER_SUPERBLOCK);
	assert_int_equal(durable(fixture), 2);
	advance(fixture, 4 + 2 * MARKER_NS); /* the other pair; and the quiet time begins */
	assert_int_equal(advance(fixture, 4 + 3 * MARKER_NS), 1);
	assert_int_equal(
		((const struct synod_format_group *)fixture->ios[2].bytes)->durable_through, 1);
}

static void full_log_takes_no_record_and_keeps_a_marker_for_the_last(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_wire_entry entry = { .slot = INDEX_SLOTS + 1, .ballot = FIRST_BALLOT };

	assert_int_equal(synod_writer_record(&fixture->writer, 1, &entry, NULL, 0), -ENOSPC);
	assert_int_equal(synod_writer_room(&fixture->writer) / SYNOD_BATCH_SIZE_MAX, INDEX_SLOTS);
	record(fixture, INDEX_SLOTS);
	assert_int_equal(synod_writer_room(&fixture->writer), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(promise_is_durable_when_both_copies_of_one_pair_are,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_ticket_passes_an_earlier_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quiet_log_gets_a_marker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(group_behind_a_slow_promise_gets_no_marker, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			full_log_takes_no_record_and_keeps_a_marker_for_the_last, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

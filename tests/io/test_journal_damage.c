/* SPDX-License-Identifier: BSD-3-Clause */
/* Real files, damaged: torn is dropped, corrupt is named and refused, nothing is truncated. */
#include "tests/io/journal_fixture.h"

#include <sys/stat.h>

enum {
	SLOTS = 30
};

/* SLOTS records, several groups, closed well: the last thing in the log is a marker. */
static void make_quiet(struct fixture *fixture)
{
	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	for (uint64_t slot = 1; slot <= SLOTS; slot++) {
		fixture_write(fixture, slot, 257, 0);
		if (slot % 7 == 0)
			fixture_wait(fixture);
	}
	fixture_wait(fixture);
	fixture_close(fixture);
}

struct layout {
	struct synod_format_group groups[128];
	uint32_t count;
};

static int note_group(void *context, const struct synod_format_group *group)
{
	struct layout *layout = context;

	if (layout->count < 128)
		layout->groups[layout->count++] = *group;
	return 0;
}

static void look(struct fixture *fixture, struct layout *layout)
{
	const struct synod_journal_visitor visitor = { .context = layout, .group = note_group };

	memset(layout, 0, sizeof(*layout));
	assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
	assert_int_equal(synod_journal_walk(fixture->journal, &visitor), 0);
	fixture_close(fixture);
}

static void a_flipped_byte_is_named_and_the_file_left_alone(void **state)
{
	struct fixture *fixture = *state;
	struct layout layout;
	struct stat before;
	struct stat after;

	make_quiet(fixture);
	look(fixture, &layout);
	assert_true(layout.count >= 4);
	assert_int_equal(layout.groups[layout.count - 1].records, 0);
	for (uint32_t i = 0; i + 1 < layout.count; i++) {
		const struct synod_format_group *group = &layout.groups[i];

		for (uint64_t at = 0; at < group->bytes; at += 997) {
			char offset[48];
			char slots[64];

			fixture_flip(fixture, group->offset + at);
			stat(fixture->path, &before);
			assert_int_equal(fixture_try_open(fixture, 0), -EBADMSG);
			stat(fixture->path, &after);
			assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
			snprintf(offset, sizeof(offset),
				 "offset %llu:", (unsigned long long)group->offset);
			snprintf(slots, sizeof(slots),
				 "slots %llu to %llu:", (unsigned long long)group->slot_first,
				 (unsigned long long)group->slot_last);
			assert_non_null(strstr(fixture->error, offset));
			assert_non_null(strstr(fixture->error, slots));
			assert_int_equal(fixture->recovery.faults, 1);
			assert_int_equal(fixture->recovery.faulty[0].group_first, group->number);
			/* Who only reads is shown it. */
			assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
			assert_int_equal(fixture->recovery.faults, 1);
			fixture_close(fixture);
			fixture_flip(fixture, group->offset + at);
		}
	}
	print_message("%s\n", fixture->error);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, SLOTS);
}

/* Each block boundary of what was in flight: drop it, go on, come back. */
static void a_torn_tail_is_dropped_and_written_over(void **state)
{
	struct fixture *fixture = *state;
	struct layout layout;

	make_quiet(fixture);
	look(fixture, &layout);
	for (uint32_t lost = 1; lost <= 3; lost++) {
		/* The marker, which says that the others were durable; then one group more. */
		const struct synod_format_group *group = &layout.groups[layout.count - 1];
		const uint64_t offset = group->offset + (lost - 1) * SYNOD_BLOCK_SIZE;

		fixture_zero(fixture, offset, SYNOD_BLOCK_SIZE);
		fixture_open(fixture);
		assert_int_equal(fixture->recovery.slot_last, SLOTS + lost - 1);
		assert_int_equal(fixture->recovery.faults, 0);
		fixture_write(fixture, SLOTS + lost, 513, 0);
		fixture_wait(fixture);
		fixture_close(fixture);
		fixture_open(fixture);
		assert_int_equal(fixture->recovery.slot_last, SLOTS + lost);
		fixture_check(fixture, SLOTS + lost, 513);
		fixture_close(fixture);
		look(fixture, &layout);
	}
}

/* What was dropped leaves whole groups behind it; they are never taken for the log. */
static void a_hole_in_the_unmarked_tail_drops_what_is_behind_it(void **state)
{
	struct fixture *fixture = *state;
	uint8_t body[SYNOD_BATCH_SIZE_MAX];
	struct synod_journal_write writes[8];
	struct layout layout;
	uint64_t offset = 0;

	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	/* Promises between records close groups, so eight of them go out in one poll. */
	for (uint32_t i = 0; i < 8; i++) {
		writes[i] = fixture_record(1 + i / 2, 257, 0, body);
		if (i % 2)
			writes[i] = (struct synod_journal_write){ .kind = SYNOD_WRITE_PROMISE,
								  .ballot = 257 };
		fixture_give(fixture, &writes[i]);
	}
	fixture_poll(fixture);
	while (fixture->durable < 8)
		fixture_poll(fixture);
	/* Closing would leave a marker: as after kill -9, look at a file that has none. */
	fixture_close(fixture);
	look(fixture, &layout);
	for (uint32_t i = 0; i < layout.count; i++)
		if (layout.groups[i].number == 2)
			offset = layout.groups[i].offset;
	if (layout.groups[layout.count - 1].records == 0)
		fixture_zero(fixture, layout.groups[layout.count - 1].offset, SYNOD_BLOCK_SIZE);
	assert_true(offset > 0 && layout.groups[3].durable_through < 2);
	fixture_zero(fixture, offset, SYNOD_BLOCK_SIZE);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 1);
	assert_true(fixture->recovery.torn.reason != SYNOD_SCAN_FINE);
	fixture_write(fixture, 2, 513, 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 2);
	fixture_check(fixture, 2, 513);
}

/* Damage inside what the last opening recovered is corrupt even without any header that says so. */
static void what_an_opening_recovered_is_durable_ever_after(void **state)
{
	struct fixture *fixture = *state;
	struct layout layout;

	make_quiet(fixture);
	fixture_open(fixture); /* the superblock now knows the marker too */
	fixture_close(fixture);
	look(fixture, &layout);
	fixture_flip(fixture, layout.groups[layout.count - 1].offset + 9);
	assert_int_equal(fixture_try_open(fixture, 0), -EBADMSG);
	assert_int_equal(fixture->recovery.faulty[0].group_first, layout.count);
}

static void any_one_superblock_suffices(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = 2049 };

	make_quiet(fixture);
	fixture_open(fixture);
	fixture_give(fixture, &promise);
	fixture_wait(fixture);
	fixture_close(fixture);
	for (uint32_t damaged = 1; damaged < 16; damaged++) {
		for (uint32_t copy = 0; copy < 4; copy++)
			if (damaged & 1u << copy)
				fixture_flip(fixture, copy * SYNOD_BLOCK_SIZE + 1000);
		if (damaged == 15) {
			assert_int_equal(fixture_try_open(fixture, 0), -EBADMSG);
			assert_non_null(strstr(fixture->error, "all 4 copies"));
			break;
		}
		fixture_open(fixture); /* and mends the others */
		assert_int_equal(fixture->recovery.promised, 2049);
		assert_int_equal(fixture->recovery.slot_last, SLOTS);
		fixture_close(fixture);
	}
}

static void an_older_promise_never_comes_back(void **state)
{
	struct fixture *fixture = *state;
	uint8_t old[2 * SYNOD_BLOCK_SIZE];
	struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = 2049 };
	int fd;

	make_quiet(fixture);
	fd = open(fixture->path, O_RDWR);
	assert_int_equal(pread(fd, old, sizeof(old), 0), sizeof(old));
	fixture_open(fixture);
	fixture_give(fixture, &promise);
	fixture_write(fixture, SLOTS + 1, 2049, 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	/* An old pair, and the new one lost: groups still say what was promised. */
	assert_int_equal(pwrite(fd, old, sizeof(old), 0), sizeof(old));
	close(fd);
	fixture_zero(fixture, 2 * SYNOD_BLOCK_SIZE, 2 * SYNOD_BLOCK_SIZE);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.promised, 2049);
	assert_int_equal(fixture->recovery.slot_last, SLOTS + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_flipped_byte_is_named_and_the_file_left_alone),
		TEST(a_torn_tail_is_dropped_and_written_over),
		TEST(a_hole_in_the_unmarked_tail_drops_what_is_behind_it),
		TEST(what_an_opening_recovered_is_durable_ever_after),
		TEST(any_one_superblock_suffices),
		TEST(an_older_promise_never_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

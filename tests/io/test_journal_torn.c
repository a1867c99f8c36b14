/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small journal on a real file, damaged in every place: bytes, sectors, and all that a crash cut
 * off. Above the mark it is torn and dropped, below it is named; nothing else ever happens.
 */
#include "tests/io/journal_fixture.h"

enum {
	SECTOR = 512,
	GROUPS_MAX = 32
};

struct layout {
	struct synod_format_group groups[GROUPS_MAX];
	uint32_t count;
};

static int note_group(void *context, const struct synod_format_group *group)
{
	struct layout *layout = context;

	if (layout->count < GROUPS_MAX)
		layout->groups[layout->count++] = *group;
	return 0;
}

/* Six slots in groups of their own (promises close them), as many as can be in one flight. */
static void make(struct fixture *fixture, struct layout *layout)
{
	const struct synod_journal_visitor visitor = { .context = layout, .group = note_group };
	uint8_t body[SYNOD_BATCH_SIZE_MAX];

	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	for (uint64_t slot = 1; slot <= 6; slot++) {
		struct synod_journal_write record = fixture_record(slot, 257, 0, body);
		struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = 257 };

		fixture_give(fixture, &record);
		fixture_give(fixture, &promise);
	}
	fixture_wait(fixture);
	fixture_close(fixture);
	memset(layout, 0, sizeof(*layout));
	assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
	assert_int_equal(synod_journal_walk(fixture->journal, &visitor), 0);
	fixture_close(fixture);
	assert_true(layout->count >= 7);
}

static void read_file(struct fixture *fixture, uint64_t offset, void *bytes, size_t size)
{
	const int fd = open(fixture->path, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

static void write_file(struct fixture *fixture, uint64_t offset, const void *bytes, size_t size)
{
	const int fd = open(fixture->path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	close(fd);
}

/* A group's marker says that all before it are durable; without it they are in flight. */
static void forget_the_marker(struct fixture *fixture, struct layout *layout)
{
	const struct synod_format_group *last = &layout->groups[layout->count - 1];

	if (last->records > 0)
		return;
	fixture_zero(fixture, last->offset, last->bytes);
	layout->count--;
}

/*
 * What a reader must find when the first damaged group is at that index: what is before it counts;
 * it is corrupt if anything whole says that it was durable, else torn.
 */
static void expect(struct fixture *fixture, const struct layout *layout, uint32_t damaged,
		   uint64_t mark)
{
	const struct synod_format_group *group = &layout->groups[damaged];
	uint64_t slots = 0;

	for (uint32_t i = 0; i < damaged; i++)
		if (layout->groups[i].slot_last > slots)
			slots = layout->groups[i].slot_last;
	assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
	if (group->number <= mark) {
		assert_int_equal(fixture->recovery.faults, 1);
		assert_int_equal(fixture->recovery.faulty[0].group_first, group->number);
	} else {
		assert_int_equal(fixture->recovery.faults, 0);
		assert_int_equal(fixture->recovery.slot_last, slots);
	}
	for (uint64_t slot = 1; slot <= slots; slot++)
		fixture_check(fixture, slot, 257);
	fixture_close(fixture);
}

/* What says of a group's durability, but for that group's own bytes and what is dropped with it. */
static uint64_t mark_without(struct fixture *fixture, const struct layout *layout, uint32_t damaged,
			     int all_behind)
{
	uint64_t mark;

	assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
	mark = 0;
	fixture_close(fixture);
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		struct synod_format_superblock superblock;

		read_file(fixture, (uint64_t)copy * SYNOD_BLOCK_SIZE, &superblock,
			  sizeof(superblock));
		if (superblock.durable_group > mark)
			mark = superblock.durable_group;
	}
	for (uint32_t i = 0; i < layout->count; i++)
		if (i < damaged || (i > damaged && !all_behind))
			if (layout->groups[i].durable_through > mark)
				mark = layout->groups[i].durable_through;
	return mark;
}

static void each_sector_of_the_last_groups_torn_in_turn(void **state)
{
	struct fixture *fixture = *state;
	static const uint8_t zeros[SECTOR];
	struct layout layout;
	uint32_t torn = 0;

	make(fixture, &layout);
	forget_the_marker(fixture, &layout);
	for (uint32_t i = 0; i < layout.count; i++)
		for (uint32_t at = 0; at < layout.groups[i].bytes; at += SECTOR) {
			const uint64_t offset = layout.groups[i].offset + at;
			uint8_t kept[SECTOR];

			read_file(fixture, offset, kept, SECTOR);
			if (!memcmp(kept, zeros, SECTOR))
				continue; /* there is nothing to tear */
			write_file(fixture, offset, zeros, SECTOR);
			expect(fixture, &layout, i, mark_without(fixture, &layout, i, 0));
			write_file(fixture, offset, kept, SECTOR);
			torn++;
		}
	print_message("%u sectors\n", torn);
	assert_true(torn > 20);
}

static void every_prefix_of_a_crash_is_what_was_written_until_then(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *zeros = calloc(1, SYNOD_JOURNAL_SIZE_MIN);
	uint8_t *kept = malloc(SYNOD_JOURNAL_SIZE_MIN);
	struct layout layout;
	uint64_t end;

	assert_true(zeros && kept);
	make(fixture, &layout);
	forget_the_marker(fixture, &layout);
	end = layout.groups[layout.count - 1].offset + layout.groups[layout.count - 1].bytes;
	for (uint32_t i = 0; i < layout.count; i++)
		for (uint32_t at = 0; at < layout.groups[i].bytes; at += SECTOR) {
			const uint64_t offset = layout.groups[i].offset + at;

			read_file(fixture, offset, kept, end - offset);
			if (at + SECTOR > layout.groups[i].used)
				continue; /* padding is zeros already: whole */
			write_file(fixture, offset, zeros, end - offset);
			expect(fixture, &layout, i, mark_without(fixture, &layout, i, 1));
			write_file(fixture, offset, kept, end - offset);
		}
	free(zeros);
	free(kept);
}

/* All of every header and of what follows it, the rest in steps. */
static void every_byte_of_a_quiet_journal_is_told_from_another(void **state)
{
	struct fixture *fixture = *state;
	struct layout layout;
	uint32_t flipped = 0;

	make(fixture, &layout);
	for (uint32_t i = 0; i + 1 < layout.count; i++)
		for (uint32_t at = 0; at < layout.groups[i].bytes; at += at < 640 ? 1 : 11) {
			const uint64_t offset = layout.groups[i].offset + at;

			fixture_flip(fixture, offset);
			assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
			if (fixture->recovery.faults != 1 ||
			    fixture->recovery.faulty[0].group_first != layout.groups[i].number)
				fail_msg("byte %u of group %u", at, i);
			fixture_close(fixture);
			fixture_flip(fixture, offset);
			flipped++;
		}
	for (uint32_t at = 0; at < SYNOD_SUPERBLOCK_COPIES * SYNOD_BLOCK_SIZE; at += 61) {
		fixture_flip(fixture, at);
		assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
		assert_int_equal(fixture->recovery.faults, 0);
		assert_int_equal(fixture->recovery.slot_last, 6);
		assert_int_equal(fixture->recovery.promised, 257);
		fixture_close(fixture);
		fixture_flip(fixture, at);
		flipped++;
	}
	print_message("%u bytes\n", flipped);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_sector_of_the_last_groups_torn_in_turn),
		TEST(every_prefix_of_a_crash_is_what_was_written_until_then),
		TEST(every_byte_of_a_quiet_journal_is_told_from_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

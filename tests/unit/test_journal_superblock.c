/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of the four superblock copies counts, whatever became of the others. */
#include "engine/journal/known.h"
#include "tests/unit/journal_image.h"

static void make(struct synod_format_superblock sectors[4], const uint64_t sequences[4])
{
	struct image image;

	image_init(&image, 1 << 20);
	for (uint32_t copy = 0; copy < 4; copy++) {
		image.superblock.sequence = sequences[copy];
		image.superblock.promised = sequences[copy] << 8 | 1;
		synod_superblock_encode(&image.superblock, copy, &sectors[copy]);
	}
	image_free(&image);
}

static void any_one_whole_copy_suffices_and_none_is_told(void **state)
{
	const uint64_t sequences[4] = { 6, 6, 6, 6 };

	(void)state;
	for (uint32_t damaged = 0; damaged < 16; damaged++) {
		struct synod_format_superblock sectors[4];
		struct synod_superblock_choice choice;

		make(sectors, sequences);
		for (uint32_t copy = 0; copy < 4; copy++)
			if (damaged & 1u << copy)
				((uint8_t *)&sectors[copy])[96 + copy * 999] ^= 1;
		synod_superblock_choose(sectors, &choice);
		assert_int_equal(choice.copies_valid, ~damaged & 15);
		if (damaged == 15) {
			assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_DAMAGED);
			continue;
		}
		assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_FOUND);
		assert_int_equal(sectors[choice.copy].promised, 6 << 8 | 1);
	}
}

static void the_newest_whole_copy_counts(void **state)
{
	/* Crashed between the pair of sequence 7 (odd: 2 and 3) and its mirror. */
	const uint64_t sequences[4] = { 6, 6, 7, 7 };

	(void)state;
	for (uint32_t damaged = 0; damaged < 15; damaged++) {
		struct synod_format_superblock sectors[4];
		struct synod_superblock_choice choice;

		make(sectors, sequences);
		for (uint32_t copy = 0; copy < 4; copy++)
			if (damaged & 1u << copy)
				memset(&sectors[copy], 0xa5, 2048);
		synod_superblock_choose(sectors, &choice);
		assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_FOUND);
		assert_int_equal(sectors[choice.copy].sequence, (damaged & 12) == 12 ? 6 : 7);
		assert_int_equal(choice.copies_newest, ~damaged & ((damaged & 12) == 12 ? 3 : 12));
	}
	assert_int_equal(synod_superblock_pair(6), 0);
	assert_int_equal(synod_superblock_pair(7), 1);
}

static void every_flipped_byte_is_seen(void **state)
{
	const uint64_t sequences[4] = { 6, 6, 6, 6 };
	struct synod_format_superblock sectors[4];

	(void)state;
	make(sectors, sequences);
	for (size_t at = 0; at < sizeof(sectors[1]); at++) {
		((uint8_t *)&sectors[1])[at] ^= 0x10;
		assert_false(synod_superblock_valid(&sectors[1], 1));
		((uint8_t *)&sectors[1])[at] ^= 0x10;
	}
	assert_true(synod_superblock_valid(&sectors[1], 1));
	assert_false(synod_superblock_valid(&sectors[1], 2)); /* misdirected */
}

static void another_version_and_no_journal_are_told_apart(void **state)
{
	const uint64_t sequences[4] = { 6, 6, 6, 6 };
	struct synod_format_superblock sectors[4];
	struct synod_superblock_choice choice;

	(void)state;
	make(sectors, sequences);
	for (uint32_t copy = 0; copy < 4; copy++)
		sectors[copy].version = 9;
	synod_superblock_choose(sectors, &choice);
	assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_VERSION);
	assert_int_equal(choice.version, 9);
	memset(sectors, 0, sizeof(sectors));
	synod_superblock_choose(sectors, &choice);
	assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_ABSENT);
}

static int valid_again(struct synod_format_superblock *sector)
{
	sector->checksum = synod_crc32c(sector, offsetof(struct synod_format_superblock, checksum));
	return synod_superblock_valid(sector, 0);
}

/* What a scan asserts of a superblock, and what a next life makes of it. */
static void what_nobody_could_go_on_from_is_not_valid(void **state)
{
	const uint64_t sequences[4] = { 6, 6, 6, 6 };
	struct synod_format_superblock sectors[4];

	(void)state;
	make(sectors, sequences);
	assert_true(valid_again(&sectors[0]));
	sectors[0].head_offset = sectors[0].log_end; /* there is no group */
	assert_false(valid_again(&sectors[0]));
	make(sectors, sequences);
	sectors[0].life = UINT64_MAX;
	assert_false(valid_again(&sectors[0]));
}

static void half_a_snapshot_fits_its_area_and_is_not_whole(void **state)
{
	const struct synod_journal_identity identity = {
		.cluster = 9, .incarnation = 1, .replica = 1, .replicas = 3
	};
	const uint64_t area = 1 << 20;
	struct synod_format_superblock first;
	struct synod_format_superblock sector;

	(void)state;
	synod_superblock_first(&first, &identity,
			       &(struct synod_superblock_extent){ .file_size = 8 << 20,
								  .area_size = area,
								  .log_end = 8 << 20 },
			       7);
	first.partial_slot = 50;
	first.partial_total = area;
	first.partial_received = area - SYNOD_BLOCK_SIZE;
	first.partial_checksum = 1;
	synod_superblock_encode(&first, 0, &sector);
	assert_true(valid_again(&sector));
	sector.partial_total = area + 8;
	assert_false(valid_again(&sector));
	sector = first;
	sector.partial_received = area;
	assert_false(valid_again(&sector));
	sector = first;
	sector.partial_received -= 8; /* not whole blocks */
	assert_false(valid_again(&sector));
	sector = first;
	sector.partial_received = 0;
	assert_false(valid_again(&sector));
	sector = first;
	sector.partial_slot = 0;
	assert_false(valid_again(&sector));
	sector = first;
	sector.foreign_slot = 1; /* a peer's snapshot, and there is none */
	assert_false(valid_again(&sector));
	/* The area is the one that no snapshot has. */
	assert_int_equal(synod_format_area_free(&first), SYNOD_FORMAT_AREAS_BEGIN);
	first.snapshot_slot = 40;
	first.snapshot_offset = SYNOD_FORMAT_AREAS_BEGIN;
	assert_int_equal(synod_format_area_free(&first), SYNOD_FORMAT_AREAS_BEGIN + area);
	first.snapshot_offset += area;
	assert_int_equal(synod_format_area_free(&first), SYNOD_FORMAT_AREAS_BEGIN);
}

/* I12: engine/DESIGN.md, 17. */
static void an_older_disk_is_told_from_a_newer_one(void **state)
{
	static const struct synod_disk never = { 0, 0 };
	static const struct synod_disk first = { 1, 0 };
	static const struct synod_disk fifth = { 1, 5ull << 32 | 77 };
	static const struct synod_disk fifth_of_another = { 1, 5ull << 32 | 78 };
	static const struct synod_disk sixth = { 1, 6ull << 32 | 3 };
	static const struct synod_disk second_disk = { 2, 0 };

	(void)state;
	assert_int_equal(synod_disk_judge(&never, &first), SYNOD_DISK_SAME);
	assert_int_equal(synod_disk_judge(&first, &fifth), SYNOD_DISK_NEWER);
	assert_int_equal(synod_disk_judge(&fifth, &fifth), SYNOD_DISK_SAME);
	assert_int_equal(synod_disk_judge(&fifth, &sixth), SYNOD_DISK_NEWER);
	assert_int_equal(synod_disk_judge(&sixth, &fifth), SYNOD_DISK_OLDER);
	assert_int_equal(synod_disk_judge(&fifth, &first), SYNOD_DISK_OLDER); /* formatted again */
	assert_int_equal(synod_disk_judge(&fifth, &fifth_of_another), SYNOD_DISK_OLDER);
	assert_int_equal(synod_disk_judge(&fifth_of_another, &fifth), SYNOD_DISK_OLDER);
	assert_int_equal(synod_disk_judge(&sixth, &second_disk), SYNOD_DISK_NEWER);
	assert_int_equal(synod_disk_judge(&second_disk, &sixth), SYNOD_DISK_OLDER);
	assert_true(synod_disk_life_next(fifth.life, 9) == (6ull << 32 | 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_one_whole_copy_suffices_and_none_is_told),
		cmocka_unit_test(the_newest_whole_copy_counts),
		cmocka_unit_test(every_flipped_byte_is_seen),
		cmocka_unit_test(what_nobody_could_go_on_from_is_not_valid),
		cmocka_unit_test(half_a_snapshot_fits_its_area_and_is_not_whole),
		cmocka_unit_test(another_version_and_no_journal_are_told_apart),
		cmocka_unit_test(an_older_disk_is_told_from_a_newer_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

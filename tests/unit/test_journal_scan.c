/* SPDX-License-Identifier: BSD-3-Clause */
/* What was planned is scanned; what a crash tore is dropped; what was corrupted is named. */
#include "tests/unit/journal_image.h"

/* Groups 1..n with one in flight at a time at most `lag` behind, then perhaps a marker. */
static void write_groups(struct image *image, uint32_t n, uint32_t lag, int marker)
{
	for (uint32_t i = 1; i <= n; i++)
		image_write(image, 1 + i % 5, 3000, i > lag ? i - lag : 0);
	if (marker)
		image_write(image, 0, 0, n);
}

static void what_was_planned_is_scanned(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	image_init(&image, 4 << 20);
	write_groups(&image, 40, 3, 1);
	image_write(&image, 1000, SYNOD_BATCH_SIZE_MAX, 41); /* as full as one gets */
	image_scan(&image, &found);
	assert_int_equal(found.groups, 42);
	assert_int_equal(found.records, image.slot_next - 1);
	assert_int_equal(found.faults, 0);
	assert_int_equal(found.scan.torn.reason, SYNOD_SCAN_FINE);
	assert_int_equal(found.scan.mark, 41);
	assert_int_equal(found.scan.promised, 257);
	assert_memory_equal(&found.scan.group, &image.written[42], sizeof(found.scan.group));
	image_free(&image);
}

static void an_empty_journal_ends_at_once(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	image_init(&image, 1 << 20);
	image_scan(&image, &found);
	assert_int_equal(found.groups, 0);
	assert_int_equal(found.faults, 0);
	assert_int_equal(found.scan.torn.reason, SYNOD_SCAN_FINE);
	image_free(&image);
}

static void a_log_full_to_its_last_block_is_scanned(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	image_init(&image, 16 * SYNOD_BLOCK_SIZE);
	for (uint32_t i = 0; i < 16; i++)
		image_write(&image, 1, 64, i);
	image_scan(&image, &found);
	assert_int_equal(found.groups, 16);
	assert_int_equal(found.faults, 0);
	image_free(&image);
}

/* Every prefix of blocks that a crash may leave. */
static void a_torn_tail_is_dropped_at_every_block(void **state)
{
	struct image image;
	struct image_scan found;
	uint8_t *whole;
	uint64_t tail;

	(void)state;
	image_init(&image, 1 << 20);
	write_groups(&image, 12, 7, 0);
	tail = image.plan.offset_next;
	whole = malloc(tail);
	memcpy(whole, image.bytes, tail);
	for (uint64_t cut = image.superblock.log_begin; cut <= tail; cut += SYNOD_BLOCK_SIZE) {
		uint64_t groups = 0;

		memcpy(image.bytes, whole, cut);
		memset(image.bytes + cut, 0, tail - cut);
		while (groups < 12 &&
		       image.written[groups + 1].offset + image.written[groups + 1].bytes <= cut)
			groups++;
		image_scan(&image, &found);
		assert_int_equal(found.groups, groups);
		assert_int_equal(found.faults, 0);
		/* The same with a superblock that has heard of one group more: corrupt. */
		image.superblock.durable_group = groups + 1;
		image_scan(&image, &found);
		assert_int_equal(found.groups, groups);
		assert_int_equal(found.faults, 1);
		assert_int_equal(found.faulty[0].group_first, groups + 1);
		image.superblock.durable_group = 0;
	}
	free(whole);
	image_free(&image);
}

/* Every byte of a quiet journal: groups, then the marker that makes the last one's mark. */
static void a_flipped_byte_below_the_mark_is_named_never_dropped(void **state)
{
	struct image image;
	struct image_scan found;
	uint64_t flips = 0;

	(void)state;
	image_init(&image, 512 * 1024);
	write_groups(&image, 6, 1, 1);
	for (uint32_t number = 1; number <= 6; number++) {
		const struct synod_format_group *group = &image.written[number];
		/* All of the header and record headers' neighbourhood, a sample of the rest. */
		for (uint64_t at = 0; at < group->bytes; at += at < 700 ? 1 : 29) {
			image.bytes[group->offset + at] ^= 1u << (at & 7);
			image_scan(&image, &found);
			image.bytes[group->offset + at] ^= 1u << (at & 7);
			assert_int_equal(found.faults, 1);
			assert_int_equal(found.faulty[0].offset, group->offset);
			assert_int_equal(found.faulty[0].bytes, group->bytes);
			assert_int_equal(found.faulty[0].group_first, number);
			assert_int_equal(found.faulty[0].group_last, number);
			assert_true(found.faulty[0].slots_known);
			assert_int_equal(found.faulty[0].slot_first, group->slot_first);
			assert_int_equal(found.faulty[0].slot_last, group->slot_last);
			assert_int_equal(found.groups, 6); /* all the others, marker included */
			flips++;
		}
	}
	assert_true(flips > 5000);
	image_free(&image);
}

static void a_flipped_byte_of_the_last_group_is_a_torn_tail(void **state)
{
	struct image image;
	struct image_scan found;
	const struct synod_format_group *last = &image.written[7];

	(void)state;
	image_init(&image, 512 * 1024);
	write_groups(&image, 6, 1, 1);
	for (uint64_t at = 0; at < last->bytes; at++) {
		image.bytes[last->offset + at] ^= 0x80;
		image_scan(&image, &found);
		image.bytes[last->offset + at] ^= 0x80;
		assert_int_equal(found.faults, 0);
		assert_int_equal(found.groups, 6);
		assert_int_not_equal(found.scan.torn.reason, SYNOD_SCAN_FINE);
	}
	image_free(&image);
}

/* Several groups in a row: named one by one by the summaries of what follows, up to eight. */
static void the_slots_of_unreadable_groups_are_known_from_later_ones(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	for (uint32_t lost = 1; lost <= 10; lost++) {
		const uint32_t first = 5;
		const uint32_t last = first + lost - 1;

		image_init(&image, 1 << 20);
		write_groups(&image, 20, 1, 1);
		memset(image.bytes + image.written[first].offset, 0,
		       image.written[last + 1].offset - image.written[first].offset);
		image_scan(&image, &found);
		assert_int_equal(found.faults, 1);
		assert_int_equal(found.faulty[0].group_first, first);
		assert_int_equal(found.faulty[0].group_last, last);
		assert_int_equal(found.faulty[0].slots_known, lost <= SYNOD_FORMAT_SUMMARIES);
		assert_int_equal(found.faulty[0].slot_last, image.written[last].slot_last);
		if (lost <= SYNOD_FORMAT_SUMMARIES)
			assert_int_equal(found.faulty[0].slot_first,
					 image.written[first].slot_first);
		assert_int_equal(found.groups, 21 - lost);
		image_free(&image);
	}
}

/* A group written where it does not belong is not read there. */
static void a_misdirected_group_is_not_taken(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	image_init(&image, 512 * 1024);
	for (uint32_t i = 0; i < 8; i++)
		image_write(&image, 1, 64, i); /* a block each */
	memcpy(image.bytes + image.written[4].offset, image.bytes + image.written[3].offset,
	       SYNOD_BLOCK_SIZE);
	image_scan(&image, &found);
	assert_int_equal(found.faults, 1);
	assert_int_equal(found.faulty[0].group_first, 4);
	assert_int_equal(found.faulty[0].group_last, 4);
	assert_int_equal(found.groups, 7);
	image_free(&image);
}

/* Behind a dropped tail a new life goes on; what the old one left beyond is never read again. */
static void leftovers_of_an_earlier_life_are_never_read(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	for (uint32_t again = 0; again <= 6; again++) {
		image_init(&image, 512 * 1024);
		for (uint32_t i = 1; i <= 10; i++)
			image_write(&image, 1, 64, i > 4 ? 4 : i - 1);
		/* Group 5 was torn: 6 to 10 are whole and beyond it. */
		memset(image.bytes + image.written[5].offset, 0xee, SYNOD_BLOCK_SIZE);
		image_scan(&image, &found);
		assert_int_equal(found.faults, 0);
		assert_int_equal(found.groups, 4);
		image.superblock.life = 2;
		image.superblock.durable_group = 4;
		synod_plan_start(&image.plan, &image.superblock, &found.scan.group);
		image.groups = 4;
		for (uint32_t i = 1; i <= again; i++)
			image_write(&image, 1, 64, 4 + i - 1);
		image_scan(&image, &found);
		assert_int_equal(found.faults, 0);
		assert_int_equal(found.groups, 4 + again);
		if (again)
			assert_int_equal(found.scan.group.life, 2);
		image_free(&image);
	}
}

/*
 * A life is in the superblock before its first group is written. Where groups say more, the newest
 * copies of the superblock are lost and an older one counts: they are the log all the same, and the
 * next life must be beyond theirs.
 */
static void groups_of_a_life_that_an_old_superblock_does_not_know_count(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	image_init(&image, 512 * 1024);
	image_write(&image, 1, 64, 0);
	image.plan.life = 7;
	image_write(&image, 1, 64, 0);
	image_scan(&image, &found);
	assert_int_equal(found.groups, 2);
	assert_int_equal(found.faults, 0);
	assert_int_equal(found.scan.life_seen, 7);
	image_free(&image);
}

/*
 * A group of the second life was durable and is corrupt, and where the next one would have gone
 * stands what the first life left there. That one knows the number of the corrupt group, and means
 * another group by it: its slots are not those that are lost.
 */
static void leftover_does_not_speak_for_a_group_of_a_later_life(void **state)
{
	struct image image;
	struct image_scan found;

	(void)state;
	image_init(&image, 512 * 1024);
	for (uint32_t i = 1; i <= 5; i++)
		image_write(&image, 1, 64, i > 3 ? 3 : i - 1);
	memset(image.bytes + image.written[4].offset, 0, SYNOD_BLOCK_SIZE);
	image_scan(&image, &found);
	assert_int_equal(found.groups, 3);
	image.superblock.life = 2;
	image.superblock.life_group = 4;
	synod_plan_start(&image.plan, &image.superblock, &found.scan.group);
	image.groups = 3;
	image.slot_next = 100;
	image_write(&image, 1, 64, 3);
	image.superblock.durable_group = 4; /* as a promise wrote it */
	image.bytes[image.written[4].offset + 16] ^= 1;
	image_scan(&image, &found);
	assert_int_equal(found.groups, 3);
	assert_int_equal(found.faults, 1);
	assert_int_equal(found.faulty[0].group_first, 4);
	assert_int_equal(found.faulty[0].group_last, 4);
	assert_int_equal(found.faulty[0].slots_known, 0);
	image_free(&image);
}

/* A group of two lives: new header, records left over from the torn group that stood there. */
static void a_group_mixed_from_two_lives_is_torn(void **state)
{
	struct image image;
	struct image_scan found;
	uint8_t left[SYNOD_BLOCK_SIZE];
	uint64_t second;

	(void)state;
	image_init(&image, 512 * 1024);
	image_write(&image, 1, 64, 0);
	/* Many records of the same size, so that a block of one life fits the other's. */
	image_write(&image, 300, 7, 1);
	second = image.written[2].offset + SYNOD_BLOCK_SIZE;
	memcpy(left, image.bytes + second, SYNOD_BLOCK_SIZE);
	memset(image.bytes + image.written[2].offset, 0, image.written[2].bytes);
	image_scan(&image, &found);
	assert_int_equal(found.groups, 1);
	image.superblock.life = 2;
	synod_plan_start(&image.plan, &image.superblock, &found.scan.group);
	image.groups = 1;
	image.slot_next = 5000;
	image_write(&image, 300, 7, 1);
	memcpy(image.bytes + second, left, SYNOD_BLOCK_SIZE);
	image_scan(&image, &found);
	assert_int_equal(found.groups, 1);
	assert_int_equal(found.faults, 0);
	assert_int_equal(found.scan.torn.reason, SYNOD_SCAN_RECORD);
	image_free(&image);
}

enum damage {
	WHOLE,
	ZEROS,
	GARBAGE,
	FLIPPED,
	DAMAGES
};

static void damage_block(struct image *image, uint64_t offset, enum damage damage)
{
	uint8_t *block = image->bytes + offset;

	if (damage == ZEROS)
		memset(block, 0, SYNOD_BLOCK_SIZE);
	for (uint32_t at = 0; damage == GARBAGE && at < SYNOD_BLOCK_SIZE; at++)
		block[at] = (uint8_t)synod_random_next(&image->seed);
	if (damage == FLIPPED)
		block[synod_random_below(&image->seed, SYNOD_BLOCK_SIZE)] ^= 1;
}

/*
 * The naive twin of the scan, told what was damaged: the first damaged group is corrupt if any
 * whole header says that it was durable, else the end.
 */
static void random_damage_agrees_with_a_naive_twin(void **state)
{
	enum {
		GROUPS = 14,
		CASES = 3000
	};
	uint64_t seed = 99;
	uint32_t corrupt = 0;

	(void)state;
	for (uint32_t i = 0; i < CASES; i++) {
		struct image image;
		struct image_scan found;
		int group_whole[GROUPS + 1];
		uint64_t mark = 0;
		uint32_t first = 0;

		image_init(&image, 512 * 1024);
		image.seed = seed + i;
		write_groups(&image, GROUPS, 1 + i % 8, i % 2);
		image.superblock.durable_group = mark = synod_random_below(&seed, 4);
		for (uint32_t number = 1; number <= image.groups && number <= GROUPS; number++) {
			const struct synod_format_group *group = &image.written[number];
			int header_whole = 1;

			group_whole[number] = 1;
			for (uint32_t at = 0; at < group->bytes; at += SYNOD_BLOCK_SIZE) {
				if (number < 5 || synod_random_below(&seed, 4))
					continue;
				damage_block(
					&image, group->offset + at,
					1 + (enum damage)synod_random_below(&seed, DAMAGES - 1));
				group_whole[number] = 0;
				if (at == 0)
					header_whole = 0;
			}
			/* A flip in the first block may miss the header: ask the header itself. */
			if (!header_whole)
				header_whole = memcmp(image.bytes + group->offset, group,
						      sizeof(*group)) == 0;
			if (header_whole && group->durable_through > mark)
				mark = group->durable_through;
			if (!group_whole[number] && first == 0)
				first = number;
		}
		if (i % 2) /* the marker was left whole */
			mark = GROUPS;
		image_scan(&image, &found);
		if (first == 0 || mark < first) {
			assert_int_equal(found.faults, 0);
			assert_int_equal(found.group_last, first ? first - 1 : image.groups);
		} else {
			assert_true(found.faults > 0);
			assert_int_equal(found.faulty[0].group_first, first);
			corrupt++;
		}
		for (uint32_t f = 0; f < found.faults; f++)
			assert_true(found.faulty[f].group_first >= first);
		image_free(&image);
	}
	assert_true(corrupt > CASES / 10 && corrupt < CASES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_planned_is_scanned),
		cmocka_unit_test(an_empty_journal_ends_at_once),
		cmocka_unit_test(a_log_full_to_its_last_block_is_scanned),
		cmocka_unit_test(a_torn_tail_is_dropped_at_every_block),
		cmocka_unit_test(a_flipped_byte_below_the_mark_is_named_never_dropped),
		cmocka_unit_test(a_flipped_byte_of_the_last_group_is_a_torn_tail),
		cmocka_unit_test(the_slots_of_unreadable_groups_are_known_from_later_ones),
		cmocka_unit_test(a_misdirected_group_is_not_taken),
		cmocka_unit_test(leftovers_of_an_earlier_life_are_never_read),
		cmocka_unit_test(groups_of_a_life_that_an_old_superblock_does_not_know_count),
		cmocka_unit_test(leftover_does_not_speak_for_a_group_of_a_later_life),
		cmocka_unit_test(a_group_mixed_from_two_lives_is_torn),
		cmocka_unit_test(random_damage_agrees_with_a_naive_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

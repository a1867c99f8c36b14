/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Half a snapshot, put away while it is received: over a medium in memory on which writes land
 * late, out of order and, at a crash, in part, a receiver is restarted hundreds of times. What
 * counts at a start is what was received, byte for byte; what the superblock said durably and
 * nobody wrote over counts; and the snapshot that was written in the end is whole, wherever it went
 * on.
 */
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/journal/superblock.h"
#include "engine/journal/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum {
	AREA_SIZE = 512 * 1024,
	LOG_BEGIN = SYNOD_FORMAT_AREAS_BEGIN + 2 * AREA_SIZE,
	LOG_SIZE = 8 * SYNOD_GROUP_SIZE_MAX,
	FILE_SIZE = LOG_BEGIN + LOG_SIZE,
	INDEX_SLOTS = LOG_SIZE / SYNOD_JOURNAL_SLOT_BYTES,
	PIECE = 2 * SYNOD_BLOCK_SIZE,
	NOTE = 8 * SYNOD_BLOCK_SIZE,
	SECTOR = 512,
	LIVES = 200,
};

static struct {
	_Alignas(8) uint8_t file[FILE_SIZE];
	struct synod_index_entry entries[INDEX_SLOTS + 1];
	struct synod_index index;
	struct synod_format_superblock opened;
	struct synod_journal_recovery recovery;
	struct synod_plan plan;
	struct synod_writer writer;
	struct synod_writer_io pending[SYNOD_WRITER_IOS];
	uint32_t pending_count;
	uint8_t *memory;
	uint64_t random;

	/* The receiver: its buffer, and what it is receiving into it. */
	uint8_t buffer[AREA_SIZE];
	struct synod_fetch_image image; /* slot 0: none */
	uint64_t received;
	uint64_t promised; /* bytes that must count after a crash now */
	uint64_t slot;	   /* of the newest snapshot anybody has */

	uint32_t resumed;
	uint32_t anew;
	uint32_t whole;
	uint64_t went_on; /* bytes that a snapshot's write was spared */
} world;

static uint64_t below(uint64_t bound)
{
	return synod_random_below(&world.random, bound);
}

/* A peer's snapshot is known from its slot. */
static struct synod_fetch_image image_of(uint64_t slot, uint8_t *bytes)
{
	uint64_t seed = slot;
	const uint64_t size = 2 * NOTE + 8 * synod_random_below(&seed, (AREA_SIZE - 2 * NOTE) / 8);

	for (uint64_t at = 0; at < size; at++)
		bytes[at] = (uint8_t)(at * 31 + (at >> 8) + slot * 7);
	return (struct synod_fetch_image){ .slot = slot,
					   .total = size,
					   .checksum = synod_crc32c_more(0, bytes, size) };
}

static void format(void)
{
	const struct synod_journal_identity identity = {
		.cluster = 7, .incarnation = 1, .replica = 1, .replicas = 3
	};
	const struct synod_superblock_extent extent = { .file_size = FILE_SIZE,
							.area_size = AREA_SIZE,
							.log_end = FILE_SIZE };
	struct synod_format_superblock first;

	synod_superblock_first(&first, &identity, &extent, 99);
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++)
		synod_superblock_encode(&first, copy,
					(void *)(world.file + (size_t)copy * SYNOD_BLOCK_SIZE));
}

static void open_journal(void)
{
	const struct synod_writer_start start = { .opened = &world.opened,
						  .recovery = &world.recovery,
						  .plan = &world.plan,
						  .index = &world.index,
						  .memory = world.memory,
						  .fence_step = SYNOD_FORMAT_FENCE_STEP,
						  .steps = { .piece = PIECE, .note = NOTE } };
	struct synod_superblock_choice choice;

	synod_superblock_choose((const void *)world.file, &choice);
	assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_FOUND);
	memcpy(&world.opened, world.file + (size_t)choice.copy * SYNOD_BLOCK_SIZE,
	       sizeof(world.opened));
	memset(&world.recovery, 0, sizeof(world.recovery));
	synod_recovery_begin(&world.recovery, &world.opened);
	synod_plan_start(&world.plan, &world.opened, NULL);
	world.index = (struct synod_index){ .entries = world.entries, .slots = INDEX_SLOTS };
	synod_writer_init(&world.writer, &start);
	synod_writer_begin_life(&world.writer, &world.recovery);
	memcpy(world.file, world.writer.superblock.copy, SYNOD_WRITER_SUPERBLOCKS_SIZE);
	synod_writer_life_begun(&world.writer);
	world.pending_count = 0;
}

/* The snapshot that the superblock names is what was written. */
static void check_snapshot(void)
{
	const struct synod_journal_recovery *found = &world.recovery;

	if (found->snapshot_slot)
		assert_int_equal(synod_crc32c_more(0, world.file + found->snapshot_offset,
						   found->snapshot_size),
				 found->snapshot_checksum);
}

/* As engine/host does: half a snapshot counts if it is proved, and nothing else tells. */
static void look_for_half(void)
{
	static uint8_t whole[AREA_SIZE];
	const struct synod_journal_recovery *found = &world.recovery;
	const uint8_t *bytes = world.file + found->partial_offset;
	const int proved =
		found->partial.slot &&
		synod_crc32c_more(0, bytes, found->partial_received) == found->partial_crc;

	if (world.promised) {
		assert_true(proved);
		assert_int_equal(found->partial.slot, world.image.slot);
		assert_true(found->partial_received >= world.promised);
	}
	memset(world.buffer, 0xee, sizeof(world.buffer));
	world.image.slot = 0;
	world.received = 0;
	world.anew += found->partial.slot && !proved;
	if (!proved || found->partial.slot <= found->snapshot_slot) {
		world.promised = 0;
		return;
	}
	world.image = image_of(found->partial.slot, whole);
	assert_true(synod_fetch_image_same(&world.image, &found->partial));
	assert_memory_equal(bytes, whole, found->partial_received);
	memcpy(world.buffer, bytes, found->partial_received);
	world.received = found->partial_received;
	world.promised = found->partial_received;
	synod_writer_partial_found(&world.writer, world.buffer);
	world.resumed++;
}

static void land(const struct synod_writer_io *io, uint64_t from, uint64_t to)
{
	memcpy(world.file + io->offset + from, (const uint8_t *)io->bytes + from, to - from);
}

static void advance(void)
{
	synod_writer_advance(&world.writer, 1);
	for (uint32_t i = 0; i < world.writer.ios_count; i++)
		world.pending[world.pending_count++] = world.writer.ios[i];
	assert_true(world.pending_count <= SYNOD_WRITER_IOS);
}

/* One of those under way is done; what a durable superblock says from then on must count. */
static void complete(void)
{
	const uint32_t which = world.pending_count ? (uint32_t)below(world.pending_count) : 0;
	const struct synod_writer_io io = world.pending[which];
	const struct synod_writer_superblock *superblock = &world.writer.superblock;
	const uint64_t before = superblock->sequence_durable;
	const struct synod_format_superblock *said = io.bytes;

	if (!world.pending_count)
		return;
	land(&io, 0, io.size);
	world.pending[which] = world.pending[--world.pending_count];
	synod_writer_done(&world.writer, io.kind, io.index);
	if (superblock->sequence_durable != before && world.image.slot &&
	    said->partial_slot == world.image.slot)
		world.promised = said->partial_received;
}

/* Each of those under way is there whole, in some of its sectors, or not. */
static void crash(void)
{
	for (uint32_t i = 0; i < world.pending_count; i++) {
		const struct synod_writer_io *io = &world.pending[i];
		const uint64_t how = below(3);

		for (uint64_t at = 0; how > 0 && at < io->size; at += SECTOR)
			if (how == 2 || below(2))
				land(io, at, at + SECTOR);
	}
}

/* Some more of it comes, or all; or another begins. */
static void receive(void)
{
	static uint8_t whole[AREA_SIZE];
	struct synod_fetch_image of;

	if (synod_writer_snapshot_busy(&world.writer))
		return;
	if (!world.image.slot || below(150) == 0) {
		world.slot++;
		world.image.slot = world.slot;
		world.received = 0;
		world.promised = 0;
	}
	world.image = of = image_of(world.image.slot, whole);
	world.received += 8 * (1 + below(PIECE / 8));
	if (world.received >= of.total)
		world.received = of.total;
	memcpy(world.buffer, whole, world.received);
	if (world.received < of.total) {
		synod_writer_partial(&world.writer, &of, world.buffer, world.received);
		return;
	}
	world.went_on += world.writer.partial.written;
	assert_int_equal(synod_writer_snapshot(&world.writer, of.slot, world.buffer, of.total), 0);
	world.image.slot = 0;
	world.promised = 0;
	world.whole++;
}

/* Nothing is received any more, and the own state is saved instead. */
static void save_own(void)
{
	static uint8_t own[AREA_SIZE];
	struct synod_fetch_image of;

	if (synod_writer_snapshot_busy(&world.writer))
		return;
	synod_writer_partial_forget(&world.writer);
	of = image_of(++world.slot, own);
	assert_int_equal(synod_writer_snapshot(&world.writer, of.slot, own, of.total - 8), 0);
	world.image.slot = 0;
	world.promised = 0;
}

static void no_restart_takes_what_was_not_received_or_loses_what_was_said(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.random = 1;
	world.memory = aligned_alloc(SYNOD_BLOCK_SIZE, SYNOD_WRITER_MEMORY_SIZE);
	assert_non_null(world.memory);
	format();
	for (uint32_t life = 0; life < LIVES; life++) {
		const uint64_t steps = 1 + below(300);

		open_journal();
		check_snapshot();
		look_for_half();
		for (uint64_t step = 0; step < steps; step++) {
			switch (below(8)) {
			case 0:
			case 1:
				receive();
				break;
			case 2:
			case 3:
			case 4:
				complete();
				break;
			case 5:
				if (below(60) == 0)
					save_own();
				break;
			default:
				advance();
				break;
			}
		}
		crash();
	}
	free(world.memory);
	print_message("%u resumed, %u anew, %u whole, %llu bytes not written again\n",
		      world.resumed, world.anew, world.whole, (unsigned long long)world.went_on);
	/* The walk is worth something only if it came to these places. */
	assert_true(world.resumed > LIVES / 8);
	assert_true(world.anew > LIVES / 50);
	assert_true(world.whole > LIVES / 8);
	assert_true(world.went_on > 0);
}

static void one_that_no_area_holds_is_not_kept(void **state)
{
	const struct synod_fetch_image of = { .slot = 3, .total = AREA_SIZE + 8 };

	(void)state;
	memset(&world, 0, sizeof(world));
	world.memory = aligned_alloc(SYNOD_BLOCK_SIZE, SYNOD_WRITER_MEMORY_SIZE);
	assert_non_null(world.memory);
	format();
	open_journal();
	synod_writer_partial(&world.writer, &of, world.buffer, AREA_SIZE);
	advance();
	assert_int_equal(world.pending_count, 0);
	free(world.memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_restart_takes_what_was_not_received_or_loses_what_was_said),
		cmocka_unit_test(one_that_no_area_holds_is_not_kept),
	};

	return cmocka_run_group_tests_name("journal_partial", tests, NULL, NULL);
}

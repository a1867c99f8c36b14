/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log as a ring: written by the writer over a medium in memory on which writes land late, out
 * of order, in part at a crash; recycled by snapshots; opened again, hundreds of times. What was
 * durable and is not in the durable snapshot must be found, slot by slot and bit by bit, whatever
 * turn of the ring it is in; and what is not there must not be told.
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

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	AREA_SIZE = 256 * 1024,
	LOG_BEGIN = SYNOD_FORMAT_AREAS_BEGIN + 2 * AREA_SIZE,
	LOG_SIZE = 8 * SYNOD_GROUP_SIZE_MAX,
	FILE_SIZE = LOG_BEGIN + LOG_SIZE,
	INDEX_SLOTS = LOG_SIZE / SYNOD_JOURNAL_SLOT_BYTES,
	SLOTS_MAX = 400000,
	WINDOW = 32, /* slots are given in any order within so many */
	BODY_MAX = 8000,
	SECTOR = 512,
};

/* What slot s holds is known from s and the ballot. */
struct fact {
	uint64_t ticket; /* of this life; 0: durable since an earlier one, or not given */
	uint64_t ballot; /* 0: not given */
};

struct snapshot {
	uint64_t slot;
	uint64_t size;
	uint8_t bytes[AREA_SIZE];
};

struct ring {
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
	uint32_t seed;
	uint64_t random;

	struct fact facts[SLOTS_MAX];
	uint64_t ballot;
	uint64_t ticket;
	uint64_t slot_first; /* every slot before it was given */
	uint64_t slot_last;
	uint64_t hint;
	struct snapshot snapshots[2]; /* the durable one and the one under way, by turns */
	uint32_t snapshot_next;
	uint64_t epochs;
	uint64_t snapshots_durable;
	int late; /* snapshots only when the log is full */
};

static uint64_t below(struct ring *ring, uint64_t bound)
{
	return synod_random_below(&ring->random, bound);
}

static void body_of(uint64_t slot, uint64_t ballot, uint8_t *body, uint32_t *size)
{
	uint64_t seed = slot * 1000003 + ballot;

	*size = (uint32_t)synod_random_below(&seed, BODY_MAX / 8) * 8;
	for (uint32_t at = 0; at < *size; at += 8) {
		const uint64_t word = synod_random_next(&seed);

		memcpy(body + at, &word, 8);
	}
}

static void format(struct ring *ring)
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
					(void *)(ring->file + (size_t)copy * SYNOD_BLOCK_SIZE));
}

/* Reads it as a replica would at start. */
static void look(struct ring *ring)
{
	struct synod_superblock_choice choice;
	struct synod_scan scan;
	enum synod_scan_event event;
	uint64_t turns = 0;

	synod_superblock_choose((const void *)ring->file, &choice);
	assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_FOUND);
	memcpy(&ring->opened, ring->file + (size_t)choice.copy * SYNOD_BLOCK_SIZE,
	       sizeof(ring->opened));
	ring->seed = synod_superblock_seed(&ring->opened);
	memset(&ring->recovery, 0, sizeof(ring->recovery));
	memset(ring->entries, 0, sizeof(ring->entries));
	ring->index = (struct synod_index){ .entries = ring->entries, .slots = INDEX_SLOTS };
	synod_recovery_begin(&ring->recovery, &ring->opened);
	synod_scan_begin(&scan, &ring->opened);
	do {
		const uint8_t *bytes = ring->file + (scan.want_size ? scan.want_offset : 0);

		assert_true(++turns < 10000);
		event = synod_scan_give(&scan, bytes);
		if (event == SYNOD_SCAN_GROUP)
			assert_int_equal(synod_recovery_group(&ring->recovery, &ring->index, bytes),
					 0);
		if (event == SYNOD_SCAN_FAULTY)
			synod_recovery_faulty(&ring->recovery, &scan.faulty);
	} while (event != SYNOD_SCAN_END);
	synod_plan_start(&ring->plan, &ring->opened, scan.groups ? &scan.group : NULL);
	assert_int_equal(synod_recovery_end(&ring->recovery, &scan, &ring->index), 0);
}

static const struct synod_format_record *record_of(const struct ring *ring, uint64_t slot)
{
	const uint64_t at = synod_index_offset(&ring->index, slot);

	return at ? (const void *)(ring->file + synod_format_place(&ring->recovery.log, at)) : NULL;
}

/* Nothing durable is missing, and what is there is what was written. */
static void check_found(struct ring *ring, uint64_t ticket_durable)
{
	static uint8_t body[BODY_MAX];
	const struct synod_journal_recovery *found = &ring->recovery;
	uint32_t size;

	assert_true(synod_recovery_whole(found));
	for (uint64_t slot = found->snapshot_slot + 1; slot <= ring->slot_last; slot++) {
		const struct fact *fact = &ring->facts[slot];
		const struct synod_format_record *record = record_of(ring, slot);

		if (!record) {
			assert_true(!fact->ballot || fact->ticket > ticket_durable);
			continue;
		}
		assert_int_equal(synod_scan_record(ring->seed, record, BODY_MAX + 64, 0),
				 SYNOD_SCAN_FINE);
		assert_int_equal(record->entry.slot, slot);
		body_of(slot, record->entry.ballot, body, &size);
		assert_int_equal(record->entry.size, size);
		assert_memory_equal(record + 1, body, size);
		if (fact->ticket <= ticket_durable)
			assert_true(record->entry.ballot >= fact->ballot);
	}
	assert_true(found->chosen_through <= ring->hint);
	for (int i = 0; found->snapshot_slot && i < 2; i++) {
		const struct snapshot *snapshot = &ring->snapshots[i];

		if (snapshot->slot != found->snapshot_slot)
			continue;
		ring->snapshot_next = 1 - (uint32_t)i; /* the other may be made anew */
		assert_int_equal(found->snapshot_size, snapshot->size);
		assert_memory_equal(ring->file + found->snapshot_offset, snapshot->bytes,
				    snapshot->size);
		assert_int_equal(found->snapshot_checksum,
				 synod_crc32c_more(0, snapshot->bytes, snapshot->size));
		return;
	}
	assert_int_equal(found->snapshot_slot, 0);
}

static void open_again(struct ring *ring)
{
	const struct synod_writer_start start = { .opened = &ring->opened,
						  .recovery = &ring->recovery,
						  .plan = &ring->plan,
						  .index = &ring->index,
						  .memory = ring->memory,
						  .fence_step = SYNOD_FORMAT_FENCE_STEP };

	look(ring);
	check_found(ring, ring->writer.prefix.ticket_durable);
	/* What is not here now was not durable; what is, is. */
	for (uint64_t slot = ring->recovery.snapshot_slot + 1; slot <= ring->slot_last; slot++) {
		const struct synod_format_record *record = record_of(ring, slot);

		ring->facts[slot] = (struct fact){ .ballot = record ? record->entry.ballot : 0 };
	}
	ring->slot_last = ring->recovery.slot_last;
	ring->slot_first = ring->recovery.snapshot_slot + 1;
	while (ring->slot_first <= ring->slot_last && ring->facts[ring->slot_first].ballot)
		ring->slot_first++;
	ring->hint = ring->recovery.chosen_through;
	ring->ticket = 0;
	ring->ballot++;
	ring->epochs = synod_format_epoch(&ring->plan.log, ring->plan.offset_next);
	synod_writer_init(&ring->writer, &start);
	synod_writer_begin_life(&ring->writer, &ring->recovery);
	memcpy(ring->file, ring->writer.superblock.copy, SYNOD_WRITER_SUPERBLOCKS_SIZE);
	synod_writer_life_begun(&ring->writer);
	ring->pending_count = 0;
}

static void land(struct ring *ring, const struct synod_writer_io *io, uint64_t from, uint64_t to)
{
	assert_true(io->offset + to <= FILE_SIZE);
	memcpy(ring->file + io->offset + from, (const uint8_t *)io->bytes + from, to - from);
}

static void advance(struct ring *ring)
{
	synod_writer_advance(&ring->writer, ring->ticket * 100000);
	for (uint32_t i = 0; i < ring->writer.ios_count; i++) {
		assert_true(ring->pending_count < SYNOD_WRITER_IOS);
		ring->pending[ring->pending_count++] = ring->writer.ios[i];
	}
}

/* One of those under way is done. */
static void complete(struct ring *ring)
{
	const uint32_t which = (uint32_t)below(ring, ring->pending_count);
	const struct synod_writer_io io = ring->pending[which];

	land(ring, &io, 0, io.size);
	ring->pending[which] = ring->pending[--ring->pending_count];
	synod_writer_done(&ring->writer, io.kind, io.index);
}

/* Each of those under way is there whole, in some of its sectors, or not. */
static void crash(struct ring *ring)
{
	for (uint32_t i = 0; i < ring->pending_count; i++) {
		const struct synod_writer_io *io = &ring->pending[i];
		const uint64_t how = below(ring, 3);

		for (uint64_t at = 0; how > 0 && at < io->size; at += SECTOR)
			if (how == 2 || below(ring, 2))
				land(ring, io, at, at + SECTOR);
	}
}

/* A record of that slot at the present ballot. Returns 0 when the log takes none now. */
static int put(struct ring *ring, uint64_t slot)
{
	static uint8_t body[BODY_MAX];
	struct synod_wire_entry entry = { .slot = slot, .ballot = ring->ballot << 8 | 1 };
	uint32_t size;

	if (ring->facts[slot].ballot >= entry.ballot)
		return 1;
	body_of(slot, entry.ballot, body, &size);
	entry.size = size;
	entry.crc = synod_crc32c(body, size);
	if (synod_writer_record(&ring->writer, ring->ticket + 1, &entry, body, ring->hint))
		return 0;
	ring->facts[slot] = (struct fact){ .ticket = ++ring->ticket, .ballot = entry.ballot };
	if (slot > ring->slot_last)
		ring->slot_last = slot;
	while (ring->facts[ring->slot_first].ballot)
		ring->slot_first++;
	return 1;
}

/* Of some slot near the front. */
static int give(struct ring *ring)
{
	uint64_t slot = ring->slot_first + below(ring, WINDOW);

	if (ring->facts[slot].ballot >= (ring->ballot << 8 | 1))
		slot = ring->slot_first;
	if (!put(ring, slot))
		return 0;
	if (below(ring, 3) == 0)
		ring->hint = ring->slot_first - 1;
	return 1;
}

static void maybe_snapshot(struct ring *ring)
{
	struct snapshot *snapshot = &ring->snapshots[ring->snapshot_next];
	const uint64_t last = ring->writer.superblock.want.snapshot_slot;

	if (ring->late ? synod_writer_room(&ring->writer) > 0
		       : !synod_writer_snapshot_wanted(&ring->writer) && below(ring, 500))
		return;
	if (synod_writer_snapshot_busy(&ring->writer) || ring->hint <= last)
		return;
	snapshot->slot = ring->hint - below(ring, (ring->hint - last) / 4 + 1);
	snapshot->size = 8 + below(ring, AREA_SIZE - 8);
	for (uint64_t at = 0; at < snapshot->size; at++)
		snapshot->bytes[at] = (uint8_t)(at * 31 + snapshot->slot);
	assert_int_equal(synod_writer_snapshot(&ring->writer, snapshot->slot, snapshot->bytes,
					       snapshot->size),
			 0);
	ring->snapshot_next = 1 - ring->snapshot_next;
	ring->snapshots_durable++;
}

/*
 * The superblock that names the new head is under way: whatever else lands now, the old head must
 * still be good.
 */
static void write_on_while_it_is_named(struct ring *ring)
{
	for (int i = 0; i < 12; i++) {
		while (give(ring))
			if (below(ring, 8) == 0)
				break;
		advance(ring);
		for (uint32_t at = 0; at < ring->pending_count; at++) {
			const struct synod_writer_io io = ring->pending[at];

			if (io.kind != SYNOD_WRITER_GROUP)
				continue;
			land(ring, &io, 0, io.size);
			ring->pending[at--] = ring->pending[--ring->pending_count];
			synod_writer_done(&ring->writer, io.kind, io.index);
		}
	}
}

static int superblock_under_way(const struct ring *ring)
{
	for (uint32_t i = 0; i < ring->pending_count; i++)
		if (ring->pending[i].kind == SYNOD_WRITER_SUPERBLOCK)
			return 1;
	return 0;
}

/* One life: writes, snapshots, and a crash in the middle of it. Returns 0 when slots run out. */
static void live(struct ring *ring, uint64_t steps)
{
	for (uint64_t i = 0; i < steps; i++) {
		int taken = 1;

		assert_true(ring->slot_first + WINDOW < SLOTS_MAX);
		for (uint64_t n = below(ring, 12); n > 0 && taken; n--)
			taken = give(ring);
		maybe_snapshot(ring);
		advance(ring);
		for (uint64_t n = below(ring, 6); n > 0 && ring->pending_count; n--)
			complete(ring);
		if (ring->late && superblock_under_way(ring) && below(ring, 3) == 0) {
			write_on_while_it_is_named(ring);
			return;
		}
		/* Full, or no buffer: in some lives all that is under way is waited for. */
		while (!taken && !ring->late && ring->pending_count) {
			complete(ring);
			advance(ring);
		}
	}
}

static struct ring *make(uint64_t seed)
{
	struct ring *ring = calloc(1, sizeof(*ring));

	assert_non_null(ring);
	ring->memory = aligned_alloc(SYNOD_BLOCK_SIZE, SYNOD_WRITER_MEMORY_SIZE);
	assert_non_null(ring->memory);
	ring->random = seed;
	ring->slot_first = 1;
	format(ring);
	open_again(ring);
	return ring;
}

static void unmake(struct ring *ring)
{
	free(ring->memory);
	free(ring);
}

static void nothing_durable_is_lost_over_many_turns_and_crashes(void **state)
{
	uint64_t epochs = 0;
	uint64_t snapshots = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct ring *ring = make(seed);

		for (int life = 0; life < 40; life++) {
			ring->late = (int)below(ring, 2);
			live(ring, 20 + below(ring, 200));
			crash(ring);
			open_again(ring);
		}
		epochs += ring->epochs;
		snapshots += ring->snapshots_durable;
		unmake(ring);
	}
	/* It was a test of what it says. */
	assert_true(epochs > 60);
	assert_true(snapshots > 60);
}

/* The log is longer than any count of turns that fits a test; every slot costs the same. */
static void a_log_without_crashes_goes_round_for_ever(void **state)
{
	struct ring *ring = make(77);

	(void)state;
	live(ring, 20000);
	while (ring->pending_count) {
		complete(ring);
		advance(ring);
	}
	assert_true(ring->ticket > 50000);
	open_again(ring);
	assert_true(ring->epochs > 100);
	unmake(ring);
}

/* What a damaged group of the present turn held is told, though older turns lie around it. */
static void damage_below_the_mark_is_corrupt_in_any_turn(void **state)
{
	struct ring *ring = make(5);
	uint64_t found = 0;

	(void)state;
	live(ring, 3000);
	while (ring->pending_count) {
		complete(ring);
		advance(ring);
	}
	open_again(ring); /* all are marked durable now */
	assert_true(ring->epochs > 2);
	for (uint64_t slot = ring->recovery.snapshot_slot + 1; slot <= ring->recovery.slot_last;
	     slot++) {
		const uint64_t at = synod_index_offset(&ring->index, slot);
		uint8_t *place = ring->file + synod_format_place(&ring->recovery.log, at);

		if (!at || slot % 2)
			continue;
		*place ^= 0x10;
		look(ring);
		assert_false(synod_recovery_whole(&ring->recovery));
		assert_int_equal(ring->recovery.faults, 1);
		assert_true(ring->recovery.faulty[0].slots_known);
		assert_true(ring->recovery.faulty[0].slot_first <= slot);
		assert_true(ring->recovery.faulty[0].slot_last >= slot);
		*place ^= 0x10;
		look(ring);
		assert_true(synod_recovery_whole(&ring->recovery));
		found++;
	}
	assert_true(found > 5);
	unmake(ring);
}

/* Without a snapshot nothing is written over: the log is full, and what is in it stays. */
static void without_a_snapshot_the_log_is_full_and_whole(void **state)
{
	struct ring *ring = make(9);

	(void)state;
	for (int i = 0; i < 100000 && synod_writer_room(&ring->writer) > 0; i++) {
		(void)give(ring);
		advance(ring);
		while (ring->pending_count)
			complete(ring);
	}
	assert_int_equal(synod_writer_room(&ring->writer), 0);
	assert_true(synod_writer_snapshot_wanted(&ring->writer));
	assert_true(ring->slot_last > 100);
	open_again(ring);
	assert_int_equal(ring->recovery.snapshot_slot, 0);
	assert_int_equal(ring->epochs, 0);
	unmake(ring);
}

/* Until nothing is under way any more. */
static void settle(struct ring *ring)
{
	advance(ring);
	while (ring->pending_count) {
		complete(ring);
		advance(ring);
	}
	assert_false(synod_writer_snapshot_busy(&ring->writer));
}

/*
 * Votes for the same slots at one ballot after the other, none of which is chosen, so that no
 * snapshot comes: the log goes round all the same, and the last vote for each is there after any
 * crash.
 */
static void a_storm_of_elections_does_not_fill_the_log(void **state)
{
	struct ring *ring = make(17);

	(void)state;
	while (ring->slot_first < 20)
		assert_int_equal(give(ring), 1);
	settle(ring);
	while (!ring->snapshots_durable)
		maybe_snapshot(ring);
	settle(ring);
	for (uint64_t round = 0; ring->epochs < 5; round++) {
		const uint64_t snapshot = ring->writer.superblock.want.snapshot_slot;

		assert_true(round < 10000);
		ring->ballot++;
		for (uint64_t slot = snapshot + 1; slot <= ring->slot_last; slot++) {
			if (!put(ring, slot)) {
				settle(ring);
				assert_int_equal(put(ring, slot), 1);
			}
			if (below(ring, 4) == 0)
				advance(ring);
			while (ring->pending_count && below(ring, 2))
				complete(ring);
		}
		if (below(ring, 20) == 0) {
			crash(ring);
			open_again(ring);
		}
		ring->epochs =
			synod_format_epoch(&ring->writer.plan.log, ring->writer.plan.offset_next);
	}
	assert_int_equal(ring->snapshots_durable, 1);
	settle(ring);
	open_again(ring);
	assert_int_equal(ring->recovery.snapshot_slot, ring->writer.superblock.want.snapshot_slot);
	unmake(ring);
}

static void a_snapshot_larger_than_its_area_is_refused(void **state)
{
	struct ring *ring = make(3);

	(void)state;
	live(ring, 10);
	assert_int_equal(
		synod_writer_snapshot(&ring->writer, ring->hint + 1, ring->file, AREA_SIZE + 1),
		-EFBIG);
	unmake(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_durable_is_lost_over_many_turns_and_crashes),
		cmocka_unit_test(a_log_without_crashes_goes_round_for_ever),
		cmocka_unit_test(damage_below_the_mark_is_corrupt_in_any_turn),
		cmocka_unit_test(without_a_snapshot_the_log_is_full_and_whole),
		cmocka_unit_test(a_storm_of_elections_does_not_fill_the_log),
		cmocka_unit_test(a_snapshot_larger_than_its_area_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

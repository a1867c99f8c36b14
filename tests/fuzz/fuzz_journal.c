/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal's bytes: scanned to the end in bounded work, whatever they are; what recovery says is
 * there is there; and one that is whole is written on, and found again with all it had.
 *
 *     byte 0      bit 0: a ring; bit 1: put the log's extent in order; bit 2: put groups in order,
 *                 so that they pass their checksums; bit 3: and chain them
 *     HEAD bytes  the beginning of the superblock, whose checksum is always put in order
 *     then        pieces of the file: block (u16), bytes (u16), and so many bytes; the rest of the
 *                 file is zeros
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/plan.h"
#include "engine/journal/recovery.h"
#include "engine/journal/scan.h"
#include "engine/journal/superblock.h"
#include "engine/journal/writer.h"

#include <stdlib.h>
#include <string.h>

enum {
	FLAG_RING = 1,
	FLAG_EXTENT = 2,
	FLAG_GROUPS = 4,
	FLAG_CHAIN = 8,

	HEAD = 320, /* of the superblock: all but what is reserved */
	LOG = 8 * SYNOD_GROUP_SIZE_MAX,
	FILE_MAX = SYNOD_FORMAT_AREAS_BEGIN + 2 * SYNOD_BLOCK_SIZE + LOG,
	SLOTS = FILE_MAX / SYNOD_JOURNAL_SLOT_BYTES,
	TURNS = 4 * FILE_MAX / SYNOD_BLOCK_SIZE, /* more than any scan may take */
};

static struct {
	_Alignas(4096) uint8_t file[FILE_MAX + SYNOD_BLOCK_SIZE]; /* the last block is never read */
	uint8_t dirty[FILE_MAX / SYNOD_BLOCK_SIZE];		  /* blocks that are not zeros */
	_Alignas(4096) uint8_t memory[SYNOD_WRITER_MEMORY_SIZE];
	struct synod_index_entry entries[SLOTS + 1];
	struct synod_index index;
	struct synod_journal_recovery recovery;
	struct synod_scan scan;
	struct synod_writer writer;
} world;

#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

static void file_write(uint64_t place, const void *bytes, size_t size)
{
	synod_assert_cmp(place + size, <=, (uint64_t)FILE_MAX);
	memcpy(world.file + place, bytes, size);
	for (uint64_t at = place; at < place + size; at += SYNOD_BLOCK_SIZE)
		world.dirty[at / SYNOD_BLOCK_SIZE] = 1;
	if (size)
		world.dirty[(place + size - 1) / SYNOD_BLOCK_SIZE] = 1;
}

/* Faster than to clear all of it: most is zeros still. */
static void file_clear(void)
{
	for (uint32_t block = 0; block < FILE_MAX / SYNOD_BLOCK_SIZE; block++)
		if (world.dirty[block])
			memset(world.file + (size_t)block * SYNOD_BLOCK_SIZE, 0, SYNOD_BLOCK_SIZE);
	memset(world.dirty, 0, sizeof(world.dirty));
}

/* What a superblock says of the log; what it says is marked in it is left. */
static void mend_extent(struct synod_format_superblock *superblock, int ring)
{
	superblock->magic = SYNOD_FORMAT_SUPERBLOCK_MAGIC;
	superblock->version = SYNOD_FORMAT_VERSION;
	superblock->copy = 0;
	superblock->block_size = SYNOD_BLOCK_SIZE;
	superblock->group_size_max = SYNOD_GROUP_SIZE_MAX;
	superblock->log_begin = SYNOD_FORMAT_AREAS_BEGIN + (ring ? 2 * SYNOD_BLOCK_SIZE : 0);
	superblock->log_end = superblock->log_begin + LOG;
	superblock->file_size = superblock->log_end;
}

/* The records of a group of which so many bytes are there. */
static void mend_records(struct synod_format_group *header, uint32_t seed, uint32_t room)
{
	uint8_t *bytes = (uint8_t *)header;
	uint32_t used = sizeof(*header);
	uint32_t records = 0;

	header->records_checksum = seed;
	while (records < header->records) {
		struct synod_format_record *record = (void *)(bytes + used);

		if (room - used < sizeof(*record))
			break;
		record->kind = SYNOD_FORMAT_KIND_VALUE;
		record->group = header->number;
		record->entry.size &= ~7u;
		if (record->entry.size > SYNOD_BATCH_SIZE_MAX ||
		    record->entry.size > room - used - sizeof(*record))
			record->entry.size = 0;
		record->entry.crc = synod_crc32c(record + 1, record->entry.size);
		record->checksum = synod_plan_record_checksum(seed, record);
		header->records_checksum =
			synod_crc32c_more(header->records_checksum, record, sizeof(*record));
		used += synod_format_record_size(record->entry.size);
		records++;
	}
	header->records = records;
	header->used = used;
	header->bytes = synod_format_blocks(used);
}

/* A group at that place of the file, if its magic says that it is one. */
static void mend_group(uint64_t place, const struct synod_format_superblock *superblock,
		       uint32_t *previous)
{
	struct synod_format_group *header = (void *)(world.file + place);
	const uint32_t seed = synod_superblock_seed(superblock);
	const uint64_t left = FILE_MAX - place;

	if (header->magic != SYNOD_FORMAT_GROUP_MAGIC)
		return;
	header->version = SYNOD_FORMAT_VERSION;
	header->cluster = superblock->cluster;
	header->incarnation = superblock->incarnation;
	header->replica = superblock->replica;
	header->offset = place;
	mend_records(header, seed,
		     left < SYNOD_GROUP_SIZE_MAX ? (uint32_t)left : SYNOD_GROUP_SIZE_MAX);
	if (previous)
		header->previous_checksum = *previous;
	header->checksum = synod_plan_header_checksum(seed, header);
	if (previous)
		*previous = header->checksum;
}

/* Returns whether there is a superblock that open would take. */
static int make_file(const uint8_t *data, size_t size)
{
	struct synod_format_superblock *superblock = (void *)world.file;
	const uint8_t flags = data[0];
	uint32_t previous;
	size_t at = 1 + HEAD;

	file_clear();
	file_write(0, data + 1, HEAD);
	if (flags & FLAG_EXTENT)
		mend_extent(superblock, flags & FLAG_RING);
	superblock->checksum =
		synod_crc32c(superblock, offsetof(struct synod_format_superblock, checksum));
	if (!synod_superblock_valid(superblock, 0) || superblock->log_end > FILE_MAX)
		return 0;
	previous = superblock->head_previous;
	while (size - at >= 4) {
		uint16_t piece[2];
		uint64_t place;

		memcpy(piece, data + at, sizeof(piece));
		at += sizeof(piece);
		place = SYNOD_FORMAT_AREAS_BEGIN + piece[0] * (uint64_t)SYNOD_BLOCK_SIZE %
							   (FILE_MAX - SYNOD_FORMAT_AREAS_BEGIN);
		if (piece[1] > size - at || piece[1] > FILE_MAX - place)
			break;
		file_write(place, data + at, piece[1]);
		at += piece[1];
		if (flags & FLAG_GROUPS)
			mend_group(place, superblock, flags & FLAG_CHAIN ? &previous : NULL);
	}
	return 1;
}

/* Every record that the index names is whole, and of that slot. */
static void check_index(const struct synod_format_superblock *superblock)
{
	const uint32_t seed = synod_superblock_seed(superblock);
	const struct synod_format_log *log = &world.recovery.log;
	uint64_t first = world.index.slot_last > SLOTS ? world.index.slot_last - SLOTS : 1;

	for (uint64_t slot = first; slot <= world.index.slot_last; slot++) {
		const uint64_t at = synod_index_offset(&world.index, slot);
		const struct synod_format_record *record;

		if (!at)
			continue;
		record = (const void *)(world.file + synod_format_place(log, at));
		synod_assert_cmp(synod_scan_record(seed, record, synod_format_left(log, at), 0), ==,
				 SYNOD_SCAN_FINE);
		synod_assert_cmp(record->entry.slot, ==, slot);
	}
}

/* As synod_journal_open does it. Returns 0 where it would refuse to go on. */
static int recover(const struct synod_format_superblock *superblock)
{
	enum synod_scan_event event = SYNOD_SCAN_MORE;
	uint64_t hole;

	memset(world.entries, 0, sizeof(world.entries));
	memset(&world.recovery, 0, sizeof(world.recovery));
	world.index = (struct synod_index){ .entries = world.entries, .slots = SLOTS };
	synod_recovery_begin(&world.recovery, superblock);
	synod_scan_begin(&world.scan, superblock);
	for (uint32_t turn = 0; event != SYNOD_SCAN_END; turn++) {
		const uint32_t size = world.scan.want_size;
		const uint8_t *bytes = world.file + (size ? world.scan.want_offset : 0);

		synod_assert_cmp(turn, <, TURNS);
		synod_assert_implies(size, world.scan.want_offset >= superblock->log_begin);
		synod_assert_implies(size, world.scan.want_offset + size <= superblock->log_end);
		ASAN_POISON_MEMORY_REGION(bytes + size, SYNOD_BLOCK_SIZE);
		event = synod_scan_give(&world.scan, bytes);
		hole = event == SYNOD_SCAN_GROUP
			       ? synod_recovery_group(&world.recovery, &world.index, bytes)
			       : 0;
		ASAN_UNPOISON_MEMORY_REGION(bytes + size, SYNOD_BLOCK_SIZE);
		if (event == SYNOD_SCAN_FAULTY)
			synod_recovery_faulty(&world.recovery, &world.scan.faulty);
		if (hole)
			return 0;
	}
	hole = synod_recovery_end(&world.recovery, &world.scan, &world.index);
	check_index(superblock);
	return synod_recovery_whole(&world.recovery) && !hole;
}

static void carry_out(void)
{
	uint64_t now_ns = 1;

	for (uint32_t turn = 0; turn < 64; turn++) {
		synod_writer_advance(&world.writer, now_ns);
		now_ns += 100000000; /* so that a marker comes too */
		for (uint32_t index = 0; index < world.writer.ios_count; index++) {
			const struct synod_writer_io io = world.writer.ios[index];

			file_write(io.offset, io.bytes, io.size);
		}
		for (uint32_t index = 0; index < world.writer.ios_count; index++)
			synod_writer_done(&world.writer, world.writer.ios[index].kind,
					  world.writer.ios[index].index);
	}
}

/*
 * Is there, where the scan did not look, a group of a later life than any that it or the superblock
 * knows? A life is durable in the superblock before the first group of it is written, so no writer
 * leaves that behind; whoever forges it has the next scan find a journal that cannot be.
 */
static int has_future(void)
{
	const struct synod_format_log *log = &world.recovery.log;

	for (uint64_t at = log->begin; at < log->end; at += SYNOD_BLOCK_SIZE) {
		const struct synod_format_group *group = (const void *)(world.file + at);

		if (group->magic == SYNOD_FORMAT_GROUP_MAGIC && group->life > world.recovery.life)
			return 1;
	}
	return 0;
}

/* A whole journal begins its next life, and takes one record and one promise more. */
static void go_on(const struct synod_format_superblock *superblock)
{
	struct synod_format_superblock opened = *superblock;
	struct synod_plan plan;
	const struct synod_writer_start start = {
		.opened = &opened,
		.recovery = &world.recovery,
		.plan = &plan,
		.index = &world.index,
		.memory = world.memory,
		.fence_step = SYNOD_FORMAT_FENCE_STEP,
	};
	const struct synod_wire_entry entry = { .slot = world.recovery.slot_last + 1,
						.ballot = world.recovery.ballot_max | 257 };
	struct synod_superblock_choice choice;

	synod_plan_start(&plan, &opened, world.scan.groups ? &world.scan.group : NULL);
	synod_writer_init(&world.writer, &start);
	synod_writer_begin_life(&world.writer, &world.recovery);
	file_write(0, world.writer.superblock.copy, SYNOD_WRITER_SUPERBLOCKS_SIZE);
	synod_writer_life_begun(&world.writer);
	if (synod_writer_room(&world.writer) < SYNOD_GROUP_SIZE_MAX)
		return; /* full */
	if (synod_writer_record(&world.writer, 1, &entry, NULL, 0) < 0)
		return; /* the index has no room for the slot */
	synod_assert_cmp(synod_writer_promise(&world.writer, 2, world.recovery.promised | 257, 0),
			 ==, 0);
	carry_out();
	synod_assert_cmp(world.writer.prefix.ticket_durable, ==, 2u);
	synod_superblock_choose((const void *)world.file, &choice);
	synod_assert_cmp(choice.verdict, ==, SYNOD_SUPERBLOCK_FOUND);
	opened = ((const struct synod_format_superblock *)(const void *)world.file)[choice.copy];
	synod_assert(recover(&opened));
	synod_assert(synod_index_offset(&world.index, entry.slot) != 0);
	synod_assert_cmp(world.recovery.slot_last, ==, entry.slot);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct synod_format_superblock *superblock = (const void *)world.file;

	if (size < 1 + HEAD || !make_file(data, size))
		return 0;
	if (recover(superblock) && !has_future())
		go_on(superblock);
	return 0;
}

/* A seed on its way: groups by the planner, without their padding. */
struct maker {
	struct synod_format_superblock superblock;
	struct synod_plan plan;
	uint64_t slot;
	uint8_t flags; /* of the extent */
	size_t last;   /* where the last group's bytes begin */
	size_t size;
	uint8_t bytes[16384];
	_Alignas(4096) uint8_t group[SYNOD_GROUP_SIZE_MAX];
};

static void maker_begin(struct maker *maker, int ring, uint32_t turn)
{
	const struct synod_journal_identity identity = {
		.cluster = 9, .incarnation = 1, .replica = 1, .replicas = 3
	};
	struct synod_format_superblock *superblock = &maker->superblock;

	memset(maker, 0, sizeof(*maker));
	synod_superblock_first(superblock, &identity,
			       &(struct synod_superblock_extent){
				       .file_size = FILE_MAX,
				       .area_size = ring ? SYNOD_BLOCK_SIZE : 0,
				       .log_end = SYNOD_FORMAT_AREAS_BEGIN +
						  (ring ? 2 * SYNOD_BLOCK_SIZE : 0) + LOG },
			       7);
	superblock->life = 1;
	superblock->life_group = 1;
	superblock->head_epoch = turn;
	superblock->fence += turn * (uint64_t)LOG + 512 * 1024;
	maker->flags = (uint8_t)((ring ? FLAG_RING : 0) | FLAG_EXTENT);
	maker->size = 1 + HEAD;
	maker->slot = 1;
	synod_plan_start(&maker->plan, superblock, NULL);
}

static void maker_group(struct maker *maker, uint32_t records, uint64_t durable_through)
{
	const struct synod_plan_marks marks = { .durable_through = durable_through,
						.chosen_through = maker->slot - 1,
						.promised = 257,
						.fence = maker->superblock.fence };
	const struct synod_format_log log = synod_format_log_of(&maker->superblock);
	static const uint8_t body[16] = "sixteen letters";
	struct synod_plan_group group;
	uint16_t piece[2];

	synod_plan_begin(&maker->plan, &group, maker->group);
	while (records--) {
		const struct synod_wire_entry entry = { .slot = maker->slot++,
							.ballot = 257,
							.size = sizeof(body),
							.crc = synod_crc32c(body, sizeof(body)),
							.flags = records & 1 };

		synod_plan_append(&maker->plan, &group, &entry, body);
	}
	synod_plan_close(&maker->plan, &group);
	synod_plan_finish(&maker->plan, &group, &marks);
	piece[0] = (uint16_t)((synod_format_place(&log, group.offset) - SYNOD_FORMAT_AREAS_BEGIN) /
			      SYNOD_BLOCK_SIZE);
	piece[1] = (uint16_t)group.used;
	synod_assert_cmp(maker->size + sizeof(piece) + group.used, <=, sizeof(maker->bytes));
	memcpy(maker->bytes + maker->size, piece, sizeof(piece));
	maker->last = maker->size + sizeof(piece);
	memcpy(maker->bytes + maker->last, maker->group, group.used);
	maker->size = maker->last + group.used;
}

static void maker_give(struct maker *maker, uint8_t flags, fuzz_write write, const char *name)
{
	maker->bytes[0] = (uint8_t)(maker->flags | flags);
	memcpy(maker->bytes + 1, &maker->superblock, HEAD);
	write(name, maker->bytes, maker->size);
}

void fuzz_seeds(fuzz_write write)
{
	static struct maker maker;

	maker_begin(&maker, 0, 0);
	maker_give(&maker, 0, write, "empty");
	for (uint32_t group = 1; group <= 4; group++)
		maker_group(&maker, group == 3 ? 0 : group, group - 1);
	maker_give(&maker, FLAG_GROUPS | FLAG_CHAIN, write, "four_groups");
	maker.bytes[maker.last + sizeof(struct synod_format_group)] ^= 1;
	maker_give(&maker, 0, write, "torn");

	maker_begin(&maker, 0, 0);
	maker_group(&maker, 2, 0);
	maker.bytes[maker.size - 1] ^= 1;
	maker_group(&maker, 2, 1);
	maker_give(&maker, 0, write, "corrupt");

	maker_begin(&maker, 1, 0);
	for (uint32_t group = 1; group <= 3; group++)
		maker_group(&maker, 2, group - 1);
	maker_give(&maker, FLAG_GROUPS, write, "ring");
	/* The next life, from the third group on: what that life left there is left over. */
	maker.superblock.life = 2;
	maker.superblock.life_group = 3;
	maker.superblock.durable_group = 2;
	maker_give(&maker, FLAG_GROUPS, write, "left_over");

	maker_begin(&maker, 1, 5);
	maker.superblock.snapshot_slot = 7;
	maker.superblock.snapshot_offset = SYNOD_FORMAT_AREAS_BEGIN;
	maker.superblock.snapshot_size = 4096;
	maker.slot = 8;
	maker_group(&maker, 3, 0);
	maker_group(&maker, 1, 1);
	maker_give(&maker, FLAG_GROUPS, write, "sixth_turn");
	/* The log's last group before its end: the next one begins a turn. */
	maker_begin(&maker, 1, 0);
	maker.superblock.head_offset += LOG - SYNOD_GROUP_SIZE_MAX;
	maker.superblock.fence += LOG;
	synod_plan_start(&maker.plan, &maker.superblock, NULL);
	maker_group(&maker, 1, 0);
	maker_group(&maker, 1, 1);
	maker_give(&maker, FLAG_GROUPS, write, "next_turn");
}

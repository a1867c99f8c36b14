/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The four sectors at the beginning of a journal, and what a scan makes of the one that counts: the
 * first bytes that it wants lie within the log.
 *
 *     byte 0   bit n: copy n gets its number, magic, version and checksum put in order
 *     then     the beginning of each sector, SECTOR bytes each; the rest is zeros
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/recovery.h"
#include "engine/journal/scan.h"
#include "engine/journal/superblock.h"

#include <stdlib.h>
#include <string.h>

enum {
	SECTOR = 352, /* all but what is reserved */
};

static void mend(struct synod_format_superblock *sector, uint32_t copy)
{
	sector->magic = SYNOD_FORMAT_SUPERBLOCK_MAGIC;
	sector->version = SYNOD_FORMAT_VERSION;
	sector->copy = copy;
	sector->checksum = synod_crc32c(sector, offsetof(struct synod_format_superblock, checksum));
}

static void judge_found(const struct synod_format_superblock *sectors, uint32_t copy)
{
	const struct synod_format_superblock *found = &sectors[copy];
	const struct synod_format_log log = synod_format_log_of(found);
	struct synod_journal_recovery recovery = { 0 };
	struct synod_format_superblock again;
	struct synod_scan scan;

	synod_assert(synod_superblock_valid(found, copy));
	synod_superblock_encode(found, copy, &again);
	synod_assert(memcmp(&again, found, sizeof(again)) == 0);
	synod_recovery_begin(&recovery, found);
	synod_scan_begin(&scan, found);
	synod_assert_cmp(scan.want_size, <=, (uint32_t)SYNOD_GROUP_SIZE_MAX);
	synod_assert_implies(scan.want_size, scan.want_offset >= log.begin);
	synod_assert_implies(scan.want_size, scan.want_offset + scan.want_size <= log.end);
	synod_assert_cmp(found->snapshot_offset + found->snapshot_size, <=, log.begin);
	synod_assert_cmp(log.end, <=, found->file_size);
	synod_assert_implies(recovery.partial.slot, recovery.partial_received > 0);
	synod_assert_cmp(recovery.partial_received, <=, recovery.partial.total);
	synod_assert_cmp(recovery.partial_offset + recovery.partial.total, <=, log.begin);
}

static void judge(const struct synod_format_superblock *sectors)
{
	struct synod_superblock_choice choice;

	synod_superblock_choose(sectors, &choice);
	synod_assert_cmp(choice.copy, <, (uint32_t)SYNOD_SUPERBLOCK_COPIES);
	synod_assert((choice.verdict == SYNOD_SUPERBLOCK_FOUND) == (choice.copies_valid != 0));
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		const uint32_t mask = 1u << copy;

		synod_assert(!(choice.copies_valid & mask) ==
			     !synod_superblock_valid(&sectors[copy], copy));
		synod_assert_implies(choice.copies_valid & mask,
				     sectors[copy].sequence <= sectors[choice.copy].sequence);
		synod_assert_implies(choice.copies_newest & mask,
				     sectors[copy].sequence == sectors[choice.copy].sequence);
	}
	if (choice.verdict == SYNOD_SUPERBLOCK_FOUND)
		judge_found(sectors, choice.copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct synod_format_superblock *sectors = calloc(SYNOD_SUPERBLOCK_COPIES, sizeof(*sectors));
	const uint8_t flags = size ? data[0] : 0;

	synod_assert(sectors != NULL);
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		const size_t at = 1 + copy * (size_t)SECTOR;

		if (at < size)
			memcpy(&sectors[copy], data + at,
			       size - at < SECTOR ? size - at : (size_t)SECTOR);
		if (flags & 1u << copy)
			mend(&sectors[copy], copy);
	}
	judge(sectors);
	free(sectors);
	return 0;
}

static void give(fuzz_write write, const char *name, const struct synod_format_superblock *of)
{
	uint8_t seed[1 + SYNOD_SUPERBLOCK_COPIES * SECTOR];

	seed[0] = 0xf;
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++)
		memcpy(seed + 1 + copy * (size_t)SECTOR, of, SECTOR);
	write(name, seed, sizeof(seed));
}

void fuzz_seeds(fuzz_write write)
{
	const struct synod_journal_identity identity = {
		.cluster = 9, .incarnation = 1, .replica = 1, .replicas = 3
	};
	const uint64_t end = 64 << 20;
	struct synod_format_superblock superblock;

	synod_superblock_first(
		&superblock, &identity,
		&(struct synod_superblock_extent){ .file_size = end, .log_end = end }, 7);
	give(write, "first", &superblock);
	synod_superblock_first(&superblock, &identity,
			       &(struct synod_superblock_extent){
				       .file_size = end, .area_size = 1 << 20, .log_end = end },
			       7);
	give(write, "ring", &superblock);
	superblock.sequence = 9;
	superblock.life = 3;
	superblock.promised = 257;
	superblock.snapshot_slot = 100;
	superblock.snapshot_offset = SYNOD_FORMAT_AREAS_BEGIN + (1 << 20);
	superblock.snapshot_size = 4096;
	superblock.head_epoch = 2;
	superblock.head_group = 50;
	superblock.fence += 2 * (superblock.log_end - superblock.log_begin) + (32 << 20);
	give(write, "third_turn", &superblock);
	superblock.partial_slot = 200;
	superblock.partial_total = 1 << 20;
	superblock.partial_received = 128 * 1024;
	give(write, "half_a_snapshot", &superblock);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Superblocks: see superblock.h. */
#include "engine/journal/superblock.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#include <string.h>

static uint32_t checksum(const struct synod_format_superblock *sector)
{
	synod_assert(sector != NULL);
	return synod_crc32c(sector, offsetof(struct synod_format_superblock, checksum));
}

void synod_superblock_first(struct synod_format_superblock *superblock,
			    const struct synod_journal_identity *identity,
			    const struct synod_superblock_extent *extent, uint64_t salt)
{
	const uint64_t log_begin = SYNOD_FORMAT_AREAS_BEGIN + 2 * extent->area_size;

	synod_assert_cmp(extent->log_end, <=, extent->file_size);
	synod_assert_cmp(extent->area_size % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert(identity->replica > 0);
	*superblock = (struct synod_format_superblock){
		.magic = SYNOD_FORMAT_SUPERBLOCK_MAGIC,
		.version = SYNOD_FORMAT_VERSION,
		.sequence = 1,
		.cluster = identity->cluster,
		.incarnation = identity->incarnation,
		.replica = identity->replica,
		.replicas = identity->replicas,
		.joining = identity->joining,
		.salt = salt,
		.file_size = extent->file_size,
		.log_begin = log_begin,
		.log_end = extent->log_end,
		.block_size = SYNOD_BLOCK_SIZE,
		.group_size_max = SYNOD_GROUP_SIZE_MAX,
		.fence = log_begin,
		.head_offset = log_begin,
		.head_group = 1,
	};
	superblock->head_previous = synod_superblock_seed(superblock);
	memcpy(superblock->known_incarnation, identity->known.incarnation,
	       sizeof(superblock->known_incarnation));
	memcpy(superblock->known_life, identity->known.life, sizeof(superblock->known_life));
}

void synod_superblock_encode(const struct synod_format_superblock *superblock, uint32_t copy,
			     struct synod_format_superblock *sector)
{
	synod_assert_cmp(copy, <, (uint32_t)SYNOD_SUPERBLOCK_COPIES);
	synod_assert(superblock->magic == SYNOD_FORMAT_SUPERBLOCK_MAGIC);
	synod_assert(superblock->sequence > 0);
	synod_assert(superblock->fence >= superblock->log_begin);
	*sector = *superblock;
	sector->copy = copy;
	sector->checksum = checksum(sector);
	synod_assert(synod_superblock_valid(sector, copy)); /* what is written can be read */
}

/* Of a superblock whose log is sane. */
static int marks_valid(const struct synod_format_superblock *sector)
{
	const struct synod_format_log log = synod_format_log_of(sector);
	const uint64_t size = log.end - log.begin;
	const uint64_t head = sector->head_offset + sector->head_epoch * size;

	synod_assert(log.begin < log.end);
	synod_assert_cmp(log.end, <=, (uint64_t)INT64_MAX);
	if (sector->head_offset < log.begin || sector->head_offset >= log.end ||
	    sector->head_offset % SYNOD_BLOCK_SIZE != 0 || sector->fence % SYNOD_BLOCK_SIZE != 0 ||
	    sector->fence < log.begin)
		return 0;
	if (!log.wraps)
		return sector->head_epoch == 0 && sector->fence <= log.end;
	/* So that no sum overflows: 2^32 turns of a log of at most 2^28 blocks. */
	return size >= 8 * SYNOD_GROUP_SIZE_MAX && size < 1ull << 40 &&
	       synod_format_left(&log, head) >= SYNOD_GROUP_SIZE_MAX && sector->fence >= head &&
	       sector->fence <= head + size + SYNOD_FORMAT_FENCE_STEP;
}

static int snapshot_valid(const struct synod_format_superblock *sector)
{
	const uint64_t area = synod_format_area_size(sector);

	synod_assert(sector->log_begin >= SYNOD_FORMAT_AREAS_BEGIN);
	synod_assert(sector->magic == SYNOD_FORMAT_SUPERBLOCK_MAGIC);
	if (sector->foreign_slot > sector->snapshot_slot)
		return 0;
	if (sector->snapshot_slot == 0)
		return sector->snapshot_offset == 0 && sector->snapshot_size == 0;
	return sector->snapshot_slot < SYNOD_FORMAT_NUMBER_END && sector->snapshot_size > 0 &&
	       sector->snapshot_size <= area &&
	       (sector->snapshot_offset == SYNOD_FORMAT_AREAS_BEGIN ||
		sector->snapshot_offset == SYNOD_FORMAT_AREAS_BEGIN + area);
}

static int partial_valid(const struct synod_format_superblock *sector)
{
	synod_assert(sector->log_begin >= SYNOD_FORMAT_AREAS_BEGIN);
	synod_assert(sector->magic == SYNOD_FORMAT_SUPERBLOCK_MAGIC);
	if (sector->partial_slot == 0)
		return sector->partial_total == 0 && sector->partial_received == 0;
	return sector->partial_slot < SYNOD_FORMAT_NUMBER_END &&
	       sector->partial_total <= synod_format_area_size(sector) &&
	       sector->partial_received > 0 && sector->partial_received < sector->partial_total &&
	       sector->partial_received % SYNOD_BLOCK_SIZE == 0;
}

/* A checksum says that bytes are as written; this, that what was written makes sense. */
static int geometry_valid(const struct synod_format_superblock *sector)
{
	const uint64_t block = SYNOD_BLOCK_SIZE;

	return sector->block_size == block && sector->group_size_max == SYNOD_GROUP_SIZE_MAX &&
	       sector->log_begin >= SYNOD_FORMAT_AREAS_BEGIN &&
	       sector->log_begin % (2 * block) == 0 && sector->log_end % block == 0 &&
	       sector->log_begin < sector->log_end && sector->log_end <= sector->file_size &&
	       sector->file_size <= INT64_MAX && marks_valid(sector) && snapshot_valid(sector) &&
	       partial_valid(sector);
}

int synod_superblock_valid(const struct synod_format_superblock *sector, uint32_t copy)
{
	synod_assert(sector != NULL);
	synod_assert_cmp(copy, <, (uint32_t)SYNOD_SUPERBLOCK_COPIES);
	if (sector->magic != SYNOD_FORMAT_SUPERBLOCK_MAGIC ||
	    sector->version != SYNOD_FORMAT_VERSION)
		return 0;
	if (sector->checksum != checksum(sector) || sector->copy != copy)
		return 0;
	return geometry_valid(sector) && sector->sequence > 0 &&
	       sector->sequence < SYNOD_FORMAT_NUMBER_END &&
	       sector->life < SYNOD_FORMAT_NUMBER_END && sector->head_group > 0 &&
	       sector->head_group < SYNOD_FORMAT_NUMBER_END &&
	       sector->durable_group < SYNOD_FORMAT_NUMBER_END && sector->replica >= 1 &&
	       sector->replica <= SYNOD_REPLICAS_MAX && sector->joining <= 1;
}

void synod_superblock_choose(const struct synod_format_superblock sectors[SYNOD_SUPERBLOCK_COPIES],
			     struct synod_superblock_choice *choice)
{
	uint64_t sequence = 0;
	int magic = 0;

	synod_assert(sectors && choice);
	memset(choice, 0, sizeof(*choice));
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		const struct synod_format_superblock *sector = &sectors[copy];

		if (sector->magic != SYNOD_FORMAT_SUPERBLOCK_MAGIC)
			continue;
		magic = 1;
		if (sector->version != SYNOD_FORMAT_VERSION)
			choice->version = sector->version;
		if (!synod_superblock_valid(sector, copy))
			continue;
		choice->copies_valid |= 1u << copy;
		if (sector->sequence > sequence) {
			sequence = sector->sequence;
			choice->copy = copy;
			choice->copies_newest = 0;
		}
		if (sector->sequence == sequence)
			choice->copies_newest |= 1u << copy;
	}
	if (choice->copies_valid)
		choice->verdict = SYNOD_SUPERBLOCK_FOUND;
	else if (choice->version)
		choice->verdict = SYNOD_SUPERBLOCK_VERSION;
	else
		choice->verdict = magic ? SYNOD_SUPERBLOCK_DAMAGED : SYNOD_SUPERBLOCK_ABSENT;
	synod_assert_implies(choice->verdict == SYNOD_SUPERBLOCK_FOUND,
			     choice->copies_valid & 1u << choice->copy);
	synod_assert((choice->copies_newest & ~choice->copies_valid) == 0);
}

uint32_t synod_superblock_seed(const struct synod_format_superblock *superblock)
{
	uint64_t words[4] = { superblock->salt, superblock->cluster, superblock->incarnation,
			      superblock->replica };

	synod_assert(superblock->magic == SYNOD_FORMAT_SUPERBLOCK_MAGIC);
	return synod_crc32c(words, sizeof(words));
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a journal: one file or raw block device per replica, little-endian, every offset
 * asserted. Pure: only structs and constants.
 *
 *   0      4K     8K     12K    16K        64K       log_begin                          log_end
 *   | sb 0 | sb 1 | sb 2 | sb 3 | reserved | area 0 | area 1 | ... | group n-1 | group n | ...  |
 *                                                                head ^              tail ^
 *
 * Areas: two halves of what lies before log_begin. Snapshots of the state go to them by turns, and
 * so do the first bytes of one that is being received. A journal may have none (log_begin is 64K):
 * then its log is no ring, and ends at log_end.
 *
 * Log: a ring. Places in it are *virtual offsets*: file offset + epoch * (log_end - log_begin),
 * where epoch counts the turns. So they only grow, and in the first turn they are file offsets. A
 * group that might not fit before log_end begins the next turn (struct synod_format_log). Groups
 * from the head on are needed; those before may be written over, once a durable superblock says so.
 *
 * Superblock: four copies, each in a sector of its own. Sequence s goes first to one pair (even: 0
 * and 1; odd: 2 and 3), and once that pair is durable to the other: a crash always leaves one whole
 * pair, and a quiet journal has four equal copies, of which any one suffices. The copy with the
 * highest sequence counts. It holds the promise, and the *fence*: nothing at or after this virtual
 * offset has been written, so that a scan knows where to stop looking.
 *
 * Group: one write. A header and its records, padded with zeros to the block. Every byte of it is
 * checked: the header by its checksum, the record headers by their own and all together by the
 * group header's (a group whose later blocks are left over from an earlier life does not pass), the
 * bodies by the checksum the leader computed, the padding by being zero.
 *
 * Why groups never get confused with what lay there before (a torn tail is dropped by writing over
 * it, so whole groups of an earlier life may stand beyond the new tail):
 *   - a group follows its predecessor by number, by the checksum of the predecessor's header, and
 *     by *life*, the number of the opening that wrote it, which never falls from group to group.
 *     The life is made durable in the superblock before the first group of that life is written, so
 *     a leftover has a lower life than any group that was written over its predecessor;
 *   - the superblock says with which group this life began: a group from there on that has a lower
 *     life is a leftover, even where its predecessor cannot be read;
 *   - what a leftover claims is true: it says which groups were durable when it was written, and
 *     the group that was dropped in front of it never was;
 *   - it names its own offset, epoch and incarnation, and all checksums start from a seed with a
 *     random salt of this journal: neither another journal's blocks nor a client's bytes that are
 *     made to look like a group pass.
 *
 * Torn is not corrupt: see scan.h, which decides it from durable_through and the summaries here.
 *
 * chosen_through in a group: every slot up to it is chosen, and the record that counts for it, at
 * or before this group, holds the chosen value. Which of several records of a slot counts: one that
 * says chosen, then the highest ballot, then the later.
 */
#ifndef SYNOD_JOURNAL_FORMAT_H
#define SYNOD_JOURNAL_FORMAT_H

#include "engine/base/limits.h"
#include "engine/wire/wire.h"

#include <stddef.h>
#include <stdint.h>

#define SYNOD_FORMAT_SUPERBLOCK_MAGIC 0x3142535f444e5953ull /* "SYND_SB1" */
#define SYNOD_FORMAT_GROUP_MAGIC      0x5052475f444e5953ull /* "SYND_GRP" */
#define SYNOD_FORMAT_VERSION	      1u
#define SYNOD_FORMAT_NUMBER_END	      (1ull << 62) /* of groups and sequences: no sum overflows */

enum {
	SYNOD_FORMAT_AREAS_BEGIN = 64 * 1024, /* 4 superblocks, and room for more of their kind */
	SYNOD_FORMAT_LOG_BEGIN = SYNOD_FORMAT_AREAS_BEGIN, /* where there are no areas */
	SYNOD_FORMAT_SUMMARIES = 8, /* groups that a header describes: those in flight */
	SYNOD_FORMAT_FENCE_STEP = 32 * 1024 * 1024, /* a superblock write every 32 MiB */

	/* Kinds of record. */
	SYNOD_FORMAT_KIND_VALUE = 1, /* the value of a slot: accepted, or chosen */
};

struct synod_format_superblock {
	uint64_t magic;
	uint32_t version;
	uint32_t copy;	   /* 0..3: which of the four this is */
	uint64_t sequence; /* of superblock writes, from 1 */

	/* Whose journal: fixed at format. */
	uint64_t cluster;
	uint64_t incarnation;
	uint32_t replica;
	uint32_t replicas;
	uint64_t salt; /* random: seeds every other checksum */

	/* Geometry: fixed at format. */
	uint64_t file_size;
	uint64_t log_begin;
	uint64_t log_end;
	uint32_t block_size;
	uint32_t group_size_max;

	/* What changes. */
	uint64_t life;		/* openings for writing, this one included */
	uint64_t promised;	/* ballot */
	uint64_t fence;		/* virtual offset: nothing written at or after it */
	uint64_t durable_group; /* every group up to this number was durable */

	/* Where the scan begins: the first group that is still needed. */
	uint64_t head_offset;
	uint64_t head_group;
	uint32_t head_epoch;
	uint32_t head_previous; /* checksum of the header before it; at first, the seed */

	/* A snapshot that stands for all slots up to slot; 0: none yet. */
	uint64_t snapshot_slot;
	uint64_t snapshot_offset;
	uint64_t snapshot_size;

	uint64_t life_group; /* the first group of this life; 0: not said */

	uint32_t snapshot_checksum; /* CRC32C of its bytes */

	/*
	 * Who voted when (I12), by replica, [0] unused: the incarnation, and the last life in which
	 * it voted, number << 32 | boot; 0: never heard of. Of this replica itself too.
	 */
	uint32_t joining; /* 1: in place of a lost disk, and does not vote yet */
	uint64_t known_incarnation[SYNOD_REPLICAS_MAX + 1];
	uint64_t known_life[SYNOD_REPLICAS_MAX + 1];

	/*
	 * Half a snapshot, of a peer, that was being received: its first bytes stand in the area
	 * that snapshot_offset does not name. Slot 0: none. Nothing rests on the order of these
	 * writes: the bytes count only if partial_crc is their CRC32C when they are read.
	 */
	uint64_t partial_slot;
	uint64_t partial_total;	   /* bytes of the whole */
	uint64_t partial_received; /* of them, whole blocks */
	uint32_t partial_checksum; /* of the whole, as it was offered */
	uint32_t partial_crc;

	/*
	 * The last snapshot that was a peer's: what the log has of slots up to it may be a vote for
	 * another value than the one that is in the snapshot, and is no record any more. 0: none.
	 */
	uint64_t foreign_slot;

	uint8_t reserved[4096 - 356]; /* 0 */
	uint32_t checksum;	      /* CRC32C of all before it, from 0 */
};

/* One of the groups before this one, so that the slots of an unreadable group are known. */
struct synod_format_summary {
	uint64_t number; /* 0: none */
	uint64_t offset;
	uint64_t slot_first; /* 0: no records */
	uint64_t slot_last;
	uint64_t ballot_max;
	uint32_t bytes;
	uint32_t checksum; /* of its header */
};

struct synod_format_group {
	uint64_t magic;
	uint32_t version;
	uint32_t epoch; /* turns of the ring before it */
	uint64_t cluster;
	uint64_t incarnation;
	uint32_t replica;
	uint32_t records;	    /* 0: a marker, written only for its marks */
	uint64_t life;		    /* the opening that wrote it */
	uint64_t number;	    /* from 1, without gaps */
	uint64_t offset;	    /* its own, in the file: a misdirected write shows */
	uint32_t bytes;		    /* with padding: a multiple of the block */
	uint32_t used;		    /* without */
	uint32_t records_checksum;  /* CRC32C of all record headers, one after the other */
	uint32_t previous_checksum; /* of the header of the group before */
	uint64_t durable_through;   /* every group up to this number was durable */
	uint64_t chosen_through;    /* slot; see above */
	uint64_t promised;	    /* highest ballot promised by then */
	uint64_t fence;		    /* as in the superblock by then */
	uint64_t slot_first;	    /* lowest and highest slot of its records; 0: none */
	uint64_t slot_last;
	uint64_t ballot_max;
	uint64_t reserved[4];					     /* 0 */
	struct synod_format_summary summary[SYNOD_FORMAT_SUMMARIES]; /* nearest first */
	uint32_t reserved_end;					     /* 0 */
	uint32_t checksum; /* CRC32C of all before it, from the seed */
};

/* Followed by entry.size bytes, a multiple of 8. */
struct synod_format_record {
	struct synod_wire_entry entry; /* as it travels; its crc covers the body */
	uint64_t group;		       /* number of the group it stands in */
	uint32_t kind;		       /* SYNOD_FORMAT_KIND_... */
	uint32_t checksum;	       /* CRC32C of all before it, from the seed */
};

#define SYNOD_FORMAT_AT(type, member, offset) \
	_Static_assert(offsetof(struct synod_format_##type, member) == (offset), #type "." #member)

SYNOD_FORMAT_AT(superblock, version, 8);
SYNOD_FORMAT_AT(superblock, copy, 12);
SYNOD_FORMAT_AT(superblock, sequence, 16);
SYNOD_FORMAT_AT(superblock, cluster, 24);
SYNOD_FORMAT_AT(superblock, incarnation, 32);
SYNOD_FORMAT_AT(superblock, replica, 40);
SYNOD_FORMAT_AT(superblock, replicas, 44);
SYNOD_FORMAT_AT(superblock, salt, 48);
SYNOD_FORMAT_AT(superblock, file_size, 56);
SYNOD_FORMAT_AT(superblock, log_begin, 64);
SYNOD_FORMAT_AT(superblock, log_end, 72);
SYNOD_FORMAT_AT(superblock, block_size, 80);
SYNOD_FORMAT_AT(superblock, group_size_max, 84);
SYNOD_FORMAT_AT(superblock, life, 88);
SYNOD_FORMAT_AT(superblock, promised, 96);
SYNOD_FORMAT_AT(superblock, fence, 104);
SYNOD_FORMAT_AT(superblock, durable_group, 112);
SYNOD_FORMAT_AT(superblock, head_offset, 120);
SYNOD_FORMAT_AT(superblock, head_group, 128);
SYNOD_FORMAT_AT(superblock, head_epoch, 136);
SYNOD_FORMAT_AT(superblock, head_previous, 140);
SYNOD_FORMAT_AT(superblock, snapshot_slot, 144);
SYNOD_FORMAT_AT(superblock, snapshot_offset, 152);
SYNOD_FORMAT_AT(superblock, snapshot_size, 160);
SYNOD_FORMAT_AT(superblock, life_group, 168);
SYNOD_FORMAT_AT(superblock, snapshot_checksum, 176);
SYNOD_FORMAT_AT(superblock, joining, 180);
SYNOD_FORMAT_AT(superblock, known_incarnation, 184);
SYNOD_FORMAT_AT(superblock, known_life, 248);
SYNOD_FORMAT_AT(superblock, partial_slot, 312);
SYNOD_FORMAT_AT(superblock, partial_received, 328);
SYNOD_FORMAT_AT(superblock, partial_checksum, 336);
SYNOD_FORMAT_AT(superblock, partial_crc, 340);
SYNOD_FORMAT_AT(superblock, foreign_slot, 344);
SYNOD_FORMAT_AT(superblock, reserved, 352);
SYNOD_FORMAT_AT(superblock, checksum, 4092);
_Static_assert(sizeof(struct synod_format_superblock) == 4096, "one sector, no padding");

SYNOD_FORMAT_AT(summary, bytes, 40);
SYNOD_FORMAT_AT(summary, checksum, 44);
_Static_assert(sizeof(struct synod_format_summary) == 48, "no padding");

SYNOD_FORMAT_AT(group, version, 8);
SYNOD_FORMAT_AT(group, epoch, 12);
SYNOD_FORMAT_AT(group, cluster, 16);
SYNOD_FORMAT_AT(group, incarnation, 24);
SYNOD_FORMAT_AT(group, replica, 32);
SYNOD_FORMAT_AT(group, records, 36);
SYNOD_FORMAT_AT(group, life, 40);
SYNOD_FORMAT_AT(group, number, 48);
SYNOD_FORMAT_AT(group, offset, 56);
SYNOD_FORMAT_AT(group, bytes, 64);
SYNOD_FORMAT_AT(group, used, 68);
SYNOD_FORMAT_AT(group, records_checksum, 72);
SYNOD_FORMAT_AT(group, previous_checksum, 76);
SYNOD_FORMAT_AT(group, durable_through, 80);
SYNOD_FORMAT_AT(group, chosen_through, 88);
SYNOD_FORMAT_AT(group, promised, 96);
SYNOD_FORMAT_AT(group, fence, 104);
SYNOD_FORMAT_AT(group, slot_first, 112);
SYNOD_FORMAT_AT(group, ballot_max, 128);
SYNOD_FORMAT_AT(group, summary, 168);
SYNOD_FORMAT_AT(group, checksum, 556);
_Static_assert(sizeof(struct synod_format_group) == 560, "no padding; records stay aligned to 8");

SYNOD_FORMAT_AT(record, group, 32);
SYNOD_FORMAT_AT(record, kind, 40);
SYNOD_FORMAT_AT(record, checksum, 44);
_Static_assert(sizeof(struct synod_format_record) == 48, "no padding; bodies stay aligned to 8");

_Static_assert(sizeof(struct synod_format_group) <= SYNOD_BLOCK_SIZE,
	       "a header never spans blocks: it is there whole or not at all");
_Static_assert(SYNOD_SUPERBLOCK_COPIES *SYNOD_BLOCK_SIZE <= SYNOD_FORMAT_LOG_BEGIN, "in front");
_Static_assert((int)SYNOD_FORMAT_SUMMARIES >= (int)SYNOD_JOURNAL_INFLIGHT,
	       "every group in flight is named");
_Static_assert(SYNOD_GROUP_SIZE_MAX % SYNOD_BLOCK_SIZE == 0, "whole blocks");
_Static_assert(sizeof(struct synod_format_group) + sizeof(struct synod_format_record) +
			       SYNOD_BATCH_SIZE_MAX <=
		       SYNOD_GROUP_SIZE_MAX,
	       "the largest record fits a group");

/* The log as a ring of places. */
struct synod_format_log {
	uint64_t begin; /* file offsets */
	uint64_t end;
	int wraps; /* 0: it ends at end */
};

static inline struct synod_format_log
synod_format_log_of(const struct synod_format_superblock *superblock)
{
	return (struct synod_format_log){
		.begin = superblock->log_begin,
		.end = superblock->log_end,
		.wraps = superblock->log_begin > SYNOD_FORMAT_AREAS_BEGIN,
	};
}

/* Bytes of an area for snapshots; 0: there are none. */
static inline uint64_t synod_format_area_size(const struct synod_format_superblock *superblock)
{
	return (superblock->log_begin - SYNOD_FORMAT_AREAS_BEGIN) / 2;
}

/* File offset of the area that the next snapshot goes to: the one that is not named. */
static inline uint64_t synod_format_area_free(const struct synod_format_superblock *superblock)
{
	const uint64_t size = synod_format_area_size(superblock);

	if (superblock->snapshot_slot && superblock->snapshot_offset == SYNOD_FORMAT_AREAS_BEGIN)
		return SYNOD_FORMAT_AREAS_BEGIN + size;
	return SYNOD_FORMAT_AREAS_BEGIN;
}

static inline uint64_t synod_format_virtual(const struct synod_format_log *log, uint64_t offset,
					    uint32_t epoch)
{
	return offset + epoch * (log->end - log->begin);
}

static inline uint32_t synod_format_epoch(const struct synod_format_log *log, uint64_t at)
{
	return log->wraps ? (uint32_t)((at - log->begin) / (log->end - log->begin)) : 0;
}

/* File offset of a virtual one. */
static inline uint64_t synod_format_place(const struct synod_format_log *log, uint64_t at)
{
	return at - synod_format_epoch(log, at) * (log->end - log->begin);
}

/* Bytes from there to the end of its turn. */
static inline uint64_t synod_format_left(const struct synod_format_log *log, uint64_t at)
{
	return log->end - synod_format_place(log, at);
}

/* Where the group behind one that ends there begins. */
static inline uint64_t synod_format_next(const struct synod_format_log *log, uint64_t at)
{
	const uint64_t left = synod_format_left(log, at);

	return log->wraps && left < SYNOD_GROUP_SIZE_MAX ? at + left : at;
}

/* Bytes of a record with a body of that size. */
static inline uint32_t synod_format_record_size(uint32_t body_size)
{
	return (uint32_t)sizeof(struct synod_format_record) + body_size;
}

/* Rounded up to whole blocks. */
static inline uint32_t synod_format_blocks(uint32_t size)
{
	return (size + SYNOD_BLOCK_SIZE - 1) & ~(uint32_t)(SYNOD_BLOCK_SIZE - 1);
}

/* Which of two records of a slot counts? 1: the second, later one. See the rule above. */
static inline int synod_format_later_counts(uint32_t chosen, uint64_t ballot, uint32_t later_chosen,
					    uint64_t later_ballot)
{
	if (chosen != later_chosen)
		return later_chosen != 0;
	return later_ballot >= ballot;
}

#endif

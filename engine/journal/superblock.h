/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Superblocks: bytes to structs and back, and which of the four copies counts. Pure; disk bytes are
 * judged, never asserted on. Format and the order of writes: format.h.
 */
#ifndef SYNOD_JOURNAL_SUPERBLOCK_H
#define SYNOD_JOURNAL_SUPERBLOCK_H

#include "engine/journal/format.h"

/* Who voted when, by replica: as in struct synod_format_superblock. */
struct synod_journal_known {
	uint64_t incarnation[SYNOD_REPLICAS_MAX + 1];
	uint64_t life[SYNOD_REPLICAS_MAX + 1];
};

/* Whose journal. In an expectation incarnation 0 and replicas 0 mean: whatever the file says. */
struct synod_journal_identity {
	uint64_t cluster;
	uint64_t incarnation; /* from 1 */
	uint32_t replica;     /* 1..SYNOD_REPLICAS_MAX */
	uint32_t replicas;    /* voters at format */
	/* What a new journal begins with, and one that was opened held; not part of an expectation.
	 * All 0: of a cluster that has never run. */
	uint32_t joining;
	uint32_t reserved;
	struct synod_journal_known known;
};

/* What four sectors turned out to be. */
enum synod_superblock_verdict {
	SYNOD_SUPERBLOCK_FOUND,
	SYNOD_SUPERBLOCK_ABSENT,  /* not one copy has the magic: not a journal */
	SYNOD_SUPERBLOCK_VERSION, /* copies of another version, none of ours */
	SYNOD_SUPERBLOCK_DAMAGED, /* was a journal; no copy is whole */
};

struct synod_superblock_choice {
	enum synod_superblock_verdict verdict;
	uint32_t copy;		/* FOUND: which copy counts */
	uint32_t copies_valid;	/* bit mask: whole copies */
	uint32_t copies_newest; /* bit mask: whole copies with the sequence that counts */
	uint32_t version;	/* VERSION: what they say */
};

/* The extent of a new journal, in bytes. */
struct synod_superblock_extent {
	uint64_t file_size;
	uint64_t area_size; /* of each of the two areas for snapshots; 0: none, and no ring */
	uint64_t log_end;   /* the log begins behind the areas */
};

/* Of a journal that holds nothing yet. */
void synod_superblock_first(struct synod_format_superblock *superblock,
			    const struct synod_journal_identity *identity,
			    const struct synod_superblock_extent *extent, uint64_t salt);

/* Fills in copy and checksum of a sector whose other fields are the superblock's. */
void synod_superblock_encode(const struct synod_format_superblock *superblock, uint32_t copy,
			     struct synod_format_superblock *sector);

/* Is this sector a whole copy of that number, with fields that fit together? */
int synod_superblock_valid(const struct synod_format_superblock *sector, uint32_t copy);

/* Chooses among the four sectors at the start of the file. */
void synod_superblock_choose(const struct synod_format_superblock sectors[SYNOD_SUPERBLOCK_COPIES],
			     struct synod_superblock_choice *choice);

/* The pair of copies (0: 0 and 1; 1: 2 and 3) that a sequence goes to first. */
static inline uint32_t synod_superblock_pair(uint64_t sequence)
{
	return (uint32_t)(sequence & 1);
}

/* What every checksum in the log starts from. */
uint32_t synod_superblock_seed(const struct synod_format_superblock *superblock);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a scan means: what a journal held, and whether a replica may go on with it. Pure, shared by
 * the io_uring adapter and by simulated disks. Also the rule of `synod repair`: when a corrupt
 * journal can be replaced by a whole one without forgetting a promise or a vote (I13).
 */
#ifndef SYNOD_JOURNAL_RECOVERY_H
#define SYNOD_JOURNAL_RECOVERY_H

#include "engine/journal/index.h"
#include "engine/journal/scan.h"
#include "engine/journal/superblock.h"

enum {
	SYNOD_JOURNAL_FAULTS_MAX = 64,	 /* told one by one; more are counted */
	SYNOD_JOURNAL_SLOT_BYTES = 1024, /* of log for every slot in the index */
};

/* What the journal held when it was opened. */
struct synod_journal_recovery {
	struct synod_journal_identity identity;
	uint64_t promised;	 /* ballot: the highest promise; 0: none */
	uint64_t ballot_max;	 /* of any record */
	uint64_t chosen_through; /* slots 1..this are chosen, and their records are here */
	uint64_t slot_last;	 /* highest slot with a record; 0: none */
	uint64_t groups;
	uint64_t records;
	uint64_t group_last;
	uint64_t group_durable; /* marked durable by the journal itself */
	uint64_t offset_tail;	/* end of the last group that counts */
	uint64_t file_size;
	uint64_t life; /* openings for writing before this one */
	int locked;    /* READ_ONLY: another process has it open for writing */

	struct synod_scan_gap torn; /* reason FINE: the log ends clean */
	struct synod_scan_gap faulty[SYNOD_JOURNAL_FAULTS_MAX];
	uint32_t faults; /* of which the first SYNOD_JOURNAL_FAULTS_MAX are in faulty */
};

/* Of a superblock that has been found valid; recovery is zero. */
void synod_recovery_begin(struct synod_journal_recovery *recovery,
			  const struct synod_format_superblock *superblock);

/*
 * SYNOD_SCAN_GROUP: the group's bytes, as given to the scan. Returns 0, or a slot that the index
 * has no room for: then stop.
 */
uint64_t synod_recovery_group(struct synod_journal_recovery *recovery, struct synod_index *index,
			      const void *bytes) __attribute__((warn_unused_result));

/* SYNOD_SCAN_FAULTY. */
void synod_recovery_faulty(struct synod_journal_recovery *recovery,
			   const struct synod_scan_gap *gap);

/*
 * SYNOD_SCAN_END. Where nothing was faulty, what the groups say is chosen must be here: returns 0,
 * or the first slot that has no record.
 */
uint64_t synod_recovery_end(struct synod_journal_recovery *recovery, const struct synod_scan *scan,
			    const struct synod_index *index) __attribute__((warn_unused_result));

/* May a journal that was found so be written on? */
static inline int synod_recovery_whole(const struct synod_journal_recovery *recovery)
{
	return recovery->faults == 0;
}

enum synod_repair_verdict {
	SYNOD_REPAIR_POSSIBLE = 0,
	SYNOD_REPAIR_NOT_NEEDED,    /* the old one is whole */
	SYNOD_REPAIR_OTHER_CORRUPT, /* the other is not */
	SYNOD_REPAIR_SLOTS_UNKNOWN, /* what the corrupt groups held cannot be told */
	SYNOD_REPAIR_NOT_YET,	    /* *slot is corrupt, and not known to be chosen over there */
};

/*
 * A chosen value stands for every vote for its slot. So every slot that the corrupt groups held
 * must be known, and known by the other journal to be chosen.
 */
enum synod_repair_verdict synod_repair_check(const struct synod_journal_recovery *old,
					     const struct synod_journal_recovery *other,
					     uint64_t *slot);

/* The repaired journal holds slots 1..this... */
uint64_t synod_repair_last(const struct synod_journal_recovery *old,
			   const struct synod_journal_recovery *other);

/* ... each from the other journal, as chosen (1), or from the old one, as it is there (0). */
int synod_repair_from_other(const struct synod_journal_recovery *other, uint64_t slot);

/*
 * What the repaired journal may say is chosen when slots below this one are in it. All that either
 * says, or it would hold records beyond the window of what it knows: nothing that the old journal
 * says of slots above the other's prefix can have been corrupt.
 */
uint64_t synod_repair_chosen(const struct synod_journal_recovery *old,
			     const struct synod_journal_recovery *other, uint64_t slot);

#endif

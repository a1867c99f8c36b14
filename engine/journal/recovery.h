/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a scan means: what a journal held, and whether a replica may go on with it. Pure, shared by
 * the io_uring adapter and by simulated disks. Also the rule of `synod repair`: how a corrupt
 * journal is replaced by a whole one without forgetting a promise or a vote (I13).
 */
#ifndef SYNOD_JOURNAL_RECOVERY_H
#define SYNOD_JOURNAL_RECOVERY_H

#include "engine/journal/fetch.h"
#include "engine/journal/heads.h"
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
	uint64_t promised;   /* ballot: the highest promise; 0: none */
	uint64_t ballot_max; /* of any record */
	/* The snapshot that stands for all slots up to snapshot_slot; 0: there is none. */
	uint64_t snapshot_slot;
	uint64_t snapshot_offset;
	uint64_t snapshot_size;
	uint32_t snapshot_checksum;
	int snapshot_faulty; /* the caller looked at its bytes: they are others */
	/* Half a snapshot that was being received: format.h. Its slot 0: none. */
	struct synod_fetch_image partial;
	uint64_t partial_received;
	uint64_t partial_offset;
	uint32_t partial_crc;
	uint64_t chosen_through; /* slots up to it are chosen: in the snapshot or here */
	uint64_t slot_last;	 /* highest slot with a record; 0: none */
	uint64_t groups;
	uint64_t records;
	uint64_t group_last;
	uint64_t group_durable; /* marked durable by the journal itself */
	uint64_t offset_head;	/* where the log begins: virtual */
	uint64_t offset_tail;	/* end of the last group that counts: virtual */
	struct synod_format_log log;
	struct synod_heads heads;
	uint64_t file_size;
	uint64_t life; /* openings for writing before this one */
	int locked;    /* READ_ONLY: another process has it open for writing */

	struct synod_scan_gap torn; /* reason FINE: the log ends clean */
	struct synod_scan_gap faulty[SYNOD_JOURNAL_FAULTS_MAX];
	uint32_t faults; /* of which the first SYNOD_JOURNAL_FAULTS_MAX are in faulty */
	/* And those that count no more: each slot of theirs stands elsewhere, as chosen. */
	uint32_t mended;
	int end_lost; /* behind the last of faulty nothing is known: not where the log goes on */
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

/*
 * Does the journal hold what counts of this slot whatever its corrupt groups held: a value known to
 * be chosen, in a record or in its snapshot? A chosen value stands for every vote for its slot.
 */
int synod_recovery_stands(const struct synod_journal_recovery *recovery,
			  const struct synod_index *index, uint64_t slot);

/* Is nothing corrupt, or all of it mended since? */
static inline int synod_recovery_whole(const struct synod_journal_recovery *recovery)
{
	return recovery->faults == 0;
}

/*
 * Is the record that counts for this slot here, if there is one? Not if a corrupt group may have
 * held it.
 */
int synod_recovery_intact(const struct synod_journal_recovery *recovery, uint64_t slot);

/*
 * Repair: a new journal in place of a corrupt one. A chosen value stands for every vote for its
 * slot. So each slot that the corrupt groups held must be known, and vouched for by another
 * journal: known there to be chosen, and intact, or in its snapshot. The other journals may be
 * corrupt themselves, in other slots. The new journal begins with the newest snapshot of any.
 */
enum synod_repair_verdict {
	SYNOD_REPAIR_POSSIBLE = 0,
	SYNOD_REPAIR_NOT_NEEDED,    /* the old one is whole */
	SYNOD_REPAIR_SLOTS_UNKNOWN, /* what the corrupt groups held cannot be told */
	SYNOD_REPAIR_NOT_YET,	    /* nobody vouches for *slot, which is corrupt */
	SYNOD_REPAIR_NO_SNAPSHOT,   /* that of *slot is corrupt; no other is as new */
};

enum {
	SYNOD_REPAIR_FROM_OLD = -1
};

struct synod_repair {
	const struct synod_journal_recovery *old;
	const struct synod_journal_recovery *others[SYNOD_REPLICAS_MAX];
	uint32_t others_count;

	/* By check: the slot of the snapshot to begin with, 0: none; and whose it is. */
	uint64_t base;
	int base_from; /* index of one of the others, or FROM_OLD */

	/* How far the new journal has come: 0 before check. */
	uint64_t slot;	 /* every slot up to it has been copied, or is in the snapshot */
	uint64_t chosen; /* every slot up to it is chosen, and in the new journal */
};

/* One slot of the new journal. */
struct synod_repair_copy {
	uint64_t slot;
	int from;		 /* index of one of the others: as chosen; or FROM_OLD: as it is */
	int optional;		 /* the old one need not have a record of it */
	uint64_t chosen_through; /* what may be said to be chosen with it */
};

enum synod_repair_verdict synod_repair_check(struct synod_repair *repair, uint64_t *slot);

/*
 * Of a repair that is possible: the next slot to copy. Returns 0 when all are. What the new journal
 * says is chosen is at least what the old one said, or its last records would lie outside the
 * window of that.
 */
int synod_repair_next(struct synod_repair *repair, struct synod_repair_copy *copy);

#endif

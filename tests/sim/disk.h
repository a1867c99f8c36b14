/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A simulated replica's disk, in two halves.
 *
 *   the medium (disk.c)     the bytes of a journal file; sectors of writes that are under way land
 *                           late, out of order, torn at a crash
 *   the process (journal.c) what synodd does with it: writer, index, scan of engine/journal, the
 *                           code that ships, as the io_uring adapter drives it
 *
 * and two who do things to the bytes: damage.c, which makes disks lie, and repair.c, the operator.
 *
 * Beside the bytes stands a shadow, by slot: what ought to be durable. It moves when bytes land on
 * the medium, not when the process is told, and is read off those bytes. The observer judges by it
 * (I4), and every restart must find in the bytes exactly what the shadow says, or refuse (I13).
 */
#ifndef SYNOD_SIM_DISK_H
#define SYNOD_SIM_DISK_H

#include "engine/core/core.h"
#include "engine/journal/known.h"
#include "engine/journal/mending.h"
#include "engine/journal/recovery.h"
#include "engine/journal/writer.h"

#include <stdint.h>

enum {
	SIM_SECTOR = 512,	/* what a disk writes whole or not at all */
	SIM_PENDING_MAX = 8192, /* writes that wait for the journal; a power of two */
};

struct sim;
struct sim_event;
struct sim_replica;

struct sim_record {
	uint64_t ballot; /* 0: nothing of this slot */
	uint32_t content;
	uint16_t chosen;
	uint16_t foreign; /* only the snapshot tells of it: this replica never wrote it */
};

/* A fact that the core handed over. */
struct sim_write {
	struct synod_core_write write;
	uint32_t content;
};

/* A write that the writer named, on its way. */
struct sim_io {
	struct synod_writer_io io;
	uint32_t used;
	uint32_t landed; /* the medium is done with it; the process has not looked yet */
	uint32_t failed; /* with an error, or short */
};

/* What a look at the bytes of a journal found. */
struct sim_found {
	struct synod_format_superblock opened;
	struct synod_journal_recovery recovery;
	struct synod_index index;
	struct synod_plan plan;
	uint32_t seed;
};

/* A group that the medium was given, by number. */
struct sim_group {
	uint64_t offset;
	uint64_t at; /* the same, counted on from turn to turn of a ring */
	uint64_t durable_through;
	uint32_t bytes;
	uint16_t landed;
	uint16_t damaged;
};

struct sim_disk {
	/* The shadow. By slot; accepted_max is over records not known chosen. */
	struct sim_record *durable;
	uint64_t promised;
	uint64_t promised_groups; /* by the headers of groups alone */
	uint64_t accepted_max;
	uint64_t hint; /* chosen_through of the groups that count */
	uint64_t slot_last;
	uint64_t group_last; /* every group up to it has landed */

	/* What was handed over in this life, durable or not: what the core believes in. */
	struct sim_record *issued;
	uint64_t issued_promised;
	uint64_t issued_accepted_max;
	uint64_t issued_hint;
	uint64_t issued_slot_last;
	uint64_t slots_capacity;

	/* The medium. */
	uint8_t *image;
	uint8_t *before; /* what each block held before it was last written */
	uint64_t capacity;
	uint64_t size;
	uint64_t touched; /* nothing beyond was ever written */
	uint64_t stuck_until;
	struct sim_group *groups; /* by number */
	uint64_t groups_capacity;
	uint64_t groups_last; /* highest number ever given in this life */
	uint64_t group_first; /* those before it are written over, or about to be */
	uint32_t epoch;	      /* turns of the ring so far */
	/* Of the superblock's copies; 0: being written, nothing can be said. */
	uint64_t copy_promised[SYNOD_SUPERBLOCK_COPIES];
	uint64_t copy_durable[SYNOD_SUPERBLOCK_COPIES];
	uint64_t copy_snapshot[SYNOD_SUPERBLOCK_COPIES];
	uint64_t copy_sequence[SYNOD_SUPERBLOCK_COPIES];
	struct synod_journal_known copy_known[SYNOD_SUPERBLOCK_COPIES];
	uint64_t snapshot_slot; /* of the durable one; its slots count as durable, and chosen */
	uint32_t copies_stable; /* bit mask */

	/* What became of it; see damage.c. */
	uint32_t copies_damaged; /* bit mask */
	uint32_t groups_damaged;
	uint32_t groups_lost;	   /* never landed, and the log went on behind them: mending.c */
	uint64_t damaged_last;	   /* highest number of a damaged group */
	uint64_t snapshot_damaged; /* slot of the last snapshot that was damaged */
	uint32_t lost;		   /* wiped, or beyond repair: this disk never votes again (I12) */
	uint32_t copies_voting;	   /* bit mask: what has landed there says that it votes */
	uint32_t rolled; /* it is an older copy of what it was: it never votes again (I12) */

	/* The process. */
	struct sim_io ios[SYNOD_WRITER_IOS];
	struct sim_write *pending; /* SIM_PENDING_MAX, ring by ticket */
	uint64_t ticket_issued;
	uint64_t ticket_given;
	uint64_t ticket_durable; /* as published */
	uint64_t room;		 /* as published */
	uint64_t timer_at;	 /* a turn is due then without any completion; 0: none */
	struct synod_writer writer;
	struct sim_found found;
	uint8_t *memory;
};

/* Why a journal was not opened, or its replica stopped. */
enum sim_halt {
	SIM_HALT_NONE = 0,
	SIM_HALT_ABSENT,     /* no superblock: not a journal */
	SIM_HALT_SUPERBLOCK, /* no whole superblock */
	SIM_HALT_CORRUPT,    /* below the durable mark */
	SIM_HALT_READ,	     /* cannot be read now */
	SIM_HALT_WRITE,	     /* a write failed or came back short */
	SIM_HALT_FULL,	     /* the log has no room left */
	SIM_HALT_OLDER,	     /* peers know of a later life of this disk */
};

const char *sim_halt_text(enum sim_halt halt);

/* ---- disk.c: the medium ---------------------------------------------------------------------- */

/* A formatted journal of that size, nothing in it but what is known of lives (NULL: nothing). */
void sim_disk_format(struct sim *sim, struct sim_replica *replica, uint64_t size,
		     const struct synod_journal_known *known);
/* As it is at this instant, without what is under way. */
void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from);
/* What its superblock says of a replica's disk. */
struct synod_disk sim_disk_known(const struct sim_disk *disk, uint32_t id);
struct synod_disk sim_disk_tells(const struct sim_disk *disk, uint32_t id);
void sim_disk_free(struct sim_disk *disk);
/* Makes room for the slot in the shadow. */
void sim_disk_reserve(struct sim_disk *disk, uint64_t slot);
const struct sim_record *sim_disk_durable(const struct sim_disk *disk, uint64_t slot);
const struct sim_record *sim_disk_issued(const struct sim_disk *disk, uint64_t slot);
void sim_disk_issue(struct sim_disk *disk, const struct sim_write *write);
/* Writes bytes, now and whole. */
void sim_disk_put(struct sim_disk *disk, uint64_t offset, const void *bytes, uint64_t size);
/* Writes some sectors of it, any; or not. */
void sim_disk_tear(struct sim *sim, struct sim_disk *disk, const struct synod_writer_io *io);
void sim_disk_start(struct sim *sim, struct sim_replica *replica, const struct synod_writer_io *io);
/* At once and whole. */
void sim_disk_write_now(struct sim *sim, struct sim_replica *replica,
			const struct synod_writer_io *io);
/* The medium is done with a write; its place among ios. */
void sim_disk_done(struct sim *sim, struct sim_replica *replica, uint64_t place);
/* What was under way lands, tears or is lost. */
void sim_disk_crash(struct sim *sim, struct sim_replica *replica);
/* A copy of the superblock is whole on the medium. */
void sim_disk_copy_landed(struct sim *sim, struct sim_replica *replica,
			  const struct synod_format_superblock *sector);
/* Its snapshot of that slot stands for all up to it. */
void sim_disk_take_snapshot(struct sim *sim, struct sim_replica *replica, uint64_t through);
/* The next group in order counts: its records are in the shadow from now on. */
void sim_disk_take_group(struct sim *sim, struct sim_replica *replica, const void *bytes);

/* ---- journal.c: the process ------------------------------------------------------------------ */

/* Opens for writing and fills in the index, or says why not. calm: nothing goes wrong now. */
enum sim_halt sim_journal_open(struct sim *sim, struct sim_replica *replica, int calm);
/* Opens one that was found corrupt, to be mended. */
enum sim_halt sim_journal_mend(struct sim *sim, struct sim_replica *replica, int calm);
/* Only reads. */
enum sim_halt sim_journal_look(struct sim *sim, const struct sim_replica *replica, int calm,
			       struct sim_found *found);
void sim_journal_write(struct sim *sim, struct sim_replica *replica,
		       const struct synod_core_write *write, uint32_t content);
/* One turn of the journal stage. */
void sim_journal_turn(struct sim *sim, struct sim_replica *replica);
/* The record that counts, in the bytes. Returns 0, or -ENOENT, -EBADMSG. */
int sim_journal_record(const struct sim_disk *disk, const struct sim_found *found, uint64_t slot,
		       const struct synod_format_record **record);
/* The same, as the replica's own process reads it. And -EAGAIN: it is still on its way. */
int sim_journal_read(struct sim *sim, const struct sim_replica *replica, uint64_t slot,
		     struct sim_record *record);
/* One such read with a bit wrong: it must be refused, and the peer asks again. */
void sim_journal_read_wrong(struct sim *sim, const struct sim_replica *replica, uint64_t slot);
/* What batch the bytes of a record are. */
uint32_t sim_journal_content(struct sim *sim, const struct synod_wire_entry *entry,
			     const void *body);

/* ---- damage.c: disks that lie ---------------------------------------------------------------- */

void sim_damage(struct sim *sim);
/* New, in place of a lost one, and no pair of superblocks says that it votes. */
static inline int sim_disk_joins(const struct sim_disk *disk)
{
	return __builtin_popcount(disk->copies_voting) < 2;
}
static inline int sim_disk_is_damaged(const struct sim_disk *disk)
{
	return disk->groups_damaged || disk->groups_lost || disk->lost || disk->rolled ||
	       (disk->snapshot_damaged && disk->snapshot_damaged >= disk->snapshot_slot);
}
/* Somewhere below the durable mark, for one look at it: number of the group, or 0. */
uint64_t sim_damage_on_read(struct sim *sim, const struct sim_disk *disk);

/* ---- mending.c: a corrupt journal is repaired from peers ------------------------------------ */

/*
 * start: of a replica that has found its journal corrupt; returns 0 if it cannot be
 * mended so. stop: if it mends. Events: those that go to its process, messages too.
 */
int sim_mending_start(struct sim *sim, struct sim_replica *replica, int calm);
int sim_mending_idle(struct sim_replica *replica); /* corrupt, and nothing is to be mended */
void sim_mending_stop(struct sim *sim, struct sim_replica *replica);
void sim_mending_message(struct sim *sim, struct sim_replica *replica,
			 const struct synod_message *message, uint32_t content);
void sim_mending_event(struct sim *sim, struct sim_replica *replica, const struct sim_event *event);
/* A snapshot has come, and is durable. */
void sim_mending_cover(struct sim *sim, struct sim_replica *replica, uint64_t slot, uint32_t from);
void sim_mending_free(struct sim_replica *replica);

/* ---- repair.c: the operator ------------------------------------------------------------------ */

/* `synod repair` of a stopped replica whose journal is corrupt. Returns 1 if it is whole again. */
int sim_repair(struct sim *sim, struct sim_replica *replica);
void sim_repair_free(void);

#endif

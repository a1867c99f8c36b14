/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The journal on a real disk, by io_uring, behind struct synod_journal_port: a file or raw block
 * device with O_DIRECT and RWF_DSYNC, or, by its character device (/dev/ngXnY), an NVMe namespace
 * with the device's own writes and FUA. A write is complete when it is on stable media. The file is
 * preallocated and pre-written by synod_journal_format, so a full disk can only be met there. All
 * memory is taken by synod_journal_open.
 *
 * Threads: open, close, walk and read_sync belong to whoever owns the journal then; the port's
 * verbs to one thread, the one that calls the first of them (the ring is enabled there). read_sync
 * must not be called while the port is in use.
 *
 * Errors: 0 or -errno, and one sentence in error that says what, where and the remedy. After a
 * failed or short write every verb returns the same -errno for ever and synod_journal_error says
 * what happened: nothing is retried.
 */
#ifndef SYNOD_JOURNAL_URING_H
#define SYNOD_JOURNAL_URING_H

#include "engine/base/counters.h"
#include "engine/journal/mending.h"
#include "engine/journal/recovery.h"
#include "engine/pipeline/ports.h"

#include <stddef.h>
#include <stdint.h>

struct synod_journal;

enum {
	SYNOD_JOURNAL_FORCE = 1, /* format: overwrite what is there */
	SYNOD_JOURNAL_READ_ONLY =
		2, /* open: no lock, no ring, no writes; faults are told, not refused */
	SYNOD_JOURNAL_NO_URING = 4, /* open: for tests; the ring is not made */
	SYNOD_JOURNAL_POLL = 8,	    /* open: poll the device for completions, or refuse */

	SYNOD_JOURNAL_SIZE_MIN = 1 << 20, /* bytes of the smallest file */
};

struct synod_journal_extent {
	/* Bytes of superblocks and log, rounded down to whole blocks; 0: all of a block device. */
	uint64_t size;
	/* And of each of two areas for snapshots, rounded up to whole blocks: as large as a
	 * snapshot can be. 0: none; then the log is no ring, and when it is full it is full. */
	uint64_t area_size;
};

/*
 * Makes a journal at path: a file of size + 2 * area_size bytes, or on a raw block device. An
 * existing file is never overwritten without FORCE, a device that is not blank neither. Returns 0,
 * or -errno with a sentence in error; then a file that was begun is gone.
 */
int synod_journal_format(const char *path, const struct synod_journal_identity *identity,
			 const struct synod_journal_extent *extent, unsigned int flags, char *error,
			 size_t error_size) __attribute__((warn_unused_result));

/* Is that a block or character device, which has its own size and is never made or removed? */
int synod_journal_is_device(const char *path);

struct synod_journal_options {
	const char *path;
	const struct synod_journal_identity *expect; /* NULL: any (tools) */
	unsigned int flags;
	struct synod_counters *counters; /* of the thread that uses the port; may be NULL */
	uint32_t timeout_ms; /* a write or read that takes longer ends the journal; 0: none does */
	/* Not NULL: a corrupt journal is opened too where it can be mended, and here stands which
	 * slots are to be; before all of them are, the port takes no other records. */
	struct synod_mending *mending;
	/* size > 0: no file, but a new journal in memory, for expect, that is forgotten when it is
	 * closed. For comparison only. */
	struct synod_journal_extent memory;
};

/*
 * Opens, locks, checks and scans. Returns 0, or -errno with a sentence in error:
 *   -EBUSY     another process has it open
 *   -EINVAL    not a journal, or of another version, cluster, replica, incarnation, size
 *   -ENOTSUP   the device does not give what was asked for
 *   -EBADMSG   corrupt below the durable mark (recovery->faulty says where) and not to be
 *              mended, or no whole superblock
 *   -ENOENT …  from the system
 * On failure *journal is NULL; recovery is filled in as far as it was known.
 */
int synod_journal_open(struct synod_journal **journal, const struct synod_journal_options *options,
		       struct synod_journal_recovery *recovery, char *error, size_t error_size)
	__attribute__((warn_unused_result));

/*
 * Writes what waits and a last marker, if the port was used by this thread, and frees all. Another
 * thread that used the port must be over by then. NULL is fine.
 */
void synod_journal_close(struct synod_journal *journal);

/*
 * The port: valid until close. Its room() counts at the worst: room / SYNOD_BATCH_SIZE_MAX records
 * of any size fit for certain, each in a group of its own, and their slots in the index.
 */
struct synod_journal_port synod_journal_port(struct synod_journal *journal);

/*
 * Blocking: the record that counts for a slot. record->body is valid until the next call. Fast in
 * slot order. Returns 0, -ENOENT, -EBADMSG, or -errno of the read.
 */
int synod_journal_read_sync(struct synod_journal *journal, uint64_t slot,
			    struct synod_journal_record *record)
	__attribute__((warn_unused_result));

/*
 * Blocking: the bytes of the snapshot that the superblock names, recovery.snapshot_size of them,
 * into memory aligned to blocks and rounded up to whole ones. Returns 0, -EBADMSG (checksum), or
 * -errno of the read, with a sentence in error.
 */
int synod_journal_read_snapshot(struct synod_journal *journal, void *image, char *error,
				size_t error_size) __attribute__((warn_unused_result));

/*
 * Blocking, before the port is used: the first bytes of a snapshot that was being received in an
 * earlier life, recovery.partial_received of them, into memory aligned to blocks. 1: they are what
 * was received; unless READ_ONLY the journal keeps what is received behind them, and the memory is
 * that of the port's snapshot_partial. 0: they have been written over since, or cannot be read.
 */
int synod_journal_read_partial(struct synod_journal *journal, void *image)
	__attribute__((warn_unused_result));

/* Calls for everything in a journal, in file order; any may be NULL. Non-zero stops the walk. */
struct synod_journal_visitor {
	void *context;
	int (*group)(void *context, const struct synod_format_group *group);
	int (*record)(void *context, const struct synod_format_group *group,
		      const struct synod_format_record *record, const void *body);
	int (*faulty)(void *context, const struct synod_scan_gap *gap);
	int (*torn)(void *context, const struct synod_scan_gap *gap);
};

/* Scans again. Returns 0, -errno of a read, or what a call returned to stop it. */
int synod_journal_walk(struct synod_journal *journal, const struct synod_journal_visitor *visitor)
	__attribute__((warn_unused_result));

/* What a write that is called durable has really got, and from what. */
enum synod_durability synod_journal_durability(const struct synod_journal *journal);
const struct synod_journal_device *synod_journal_device(const struct synod_journal *journal);

/* Is that O_DIRECT and RWF_DSYNC, or NVMe's FUA, and nothing in the way? 0, or -ENOTSUP and the
 * reason. */
int synod_journal_device_check(const struct synod_journal_device *device, char *reason, size_t size)
	__attribute__((warn_unused_result));

/* "o_direct+rwf_dsync on ext4, /dev/vda, write-back cache, …": at most SYNOD_DEVICE_TEXT_SIZE. */
void synod_journal_device_text(const struct synod_journal_device *device, char *text, size_t size);
/* "o_direct+rwf_dsync", "rwf_dsync", "nvme-passthrough+fua", "none": static storage. Any number. */
const char *synod_durability_name(uint64_t durability);

/* As numbers for a STATUS, and back: unpack takes any numbers. */
void synod_journal_device_pack(const struct synod_journal_device *device,
			       uint64_t words[SYNOD_DEVICE_WORDS]);
void synod_journal_device_unpack(const uint64_t words[SYNOD_DEVICE_WORDS],
				 struct synod_journal_device *device);

struct synod_journal_status {
	uint64_t bytes_used; /* of the log */
	uint64_t bytes_total;
	uint64_t slots_max;	     /* highest slot that the index has room for */
	uint32_t registered_buffers; /* 0: refused (RLIMIT_MEMLOCK); works, a little slower */
	uint32_t registered_file;
	uint32_t defer_taskrun; /* SINGLE_ISSUER and DEFER_TASKRUN are on */
};

/* By the thread that uses the port. */
void synod_journal_status(const struct synod_journal *journal, struct synod_journal_status *status);

/* "" while all is well; else what failed: file, offset, error. */
const char *synod_journal_error(const struct synod_journal *journal);

/*
 * Zeroed memory for good, of any thread's: all of it there when this returns, so that a process is
 * as large on its first day as on its last (I14). In huge pages where the kernel gives them (THP,
 * madvise): it is sooner there, and a killed replica's is sooner gone, which is work on a core that
 * its survivors need just then. Given back by munmap. NULL: there is not so much.
 */
void *synod_uring_map(size_t size);

#endif

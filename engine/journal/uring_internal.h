/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the io_uring adapter share (uring_*.c): nobody else includes this. Which bytes
 * are written when, and what is durable, is the writer's business (writer.h); here is the ring.
 */
#ifndef SYNOD_JOURNAL_URING_INTERNAL_H
#define SYNOD_JOURNAL_URING_INTERNAL_H

#include "engine/journal/superblock.h"
#include "engine/journal/uring.h"
#include "engine/journal/writer.h"

#include <liburing.h>
#include <linux/nvme_ioctl.h>
#include <sys/types.h>

enum {
	SYNOD_URING_READS = 8,		   /* reads under way */
	SYNOD_URING_READ_SIZE = 16 * 1024, /* the blocks that the largest record can touch */
	SYNOD_URING_PIECES = 4,		   /* of sequential reads, under way at once */
	SYNOD_URING_CHUNK_SIZE = 1 << 20,  /* of sequential reads: scan and replay */
	SYNOD_URING_ENTRIES = 32,	   /* of the submission queue */

	/* What a completion is of: the high half of its user_data: SYNOD_WRITER_..., or this. The
	 * low half is an index. */
	SYNOD_URING_READ = 4,
	SYNOD_URING_KINDS = 8,
	SYNOD_URING_KIND_MAX = 16, /* of one kind under way */

	/* format: the file has no name, and so no directory to sync. */
	SYNOD_URING_UNNAMED = 1 << 16,

	SYNOD_URING_IDENTIFY_SIZE = 4096, /* of a device's answer */
};

_Static_assert((int)SYNOD_WRITER_IOS + (int)SYNOD_URING_READS <= SYNOD_URING_ENTRIES,
	       "an entry for all that can be in flight");
_Static_assert(SYNOD_BLOCK_SIZE - 8 + sizeof(struct synod_format_record) + SYNOD_BATCH_SIZE_MAX <=
		       SYNOD_URING_READ_SIZE,
	       "the largest record, at the worst place in a block");

struct synod_uring_read {
	uint64_t slot;
	uint64_t cookie;
	uint64_t place; /* file offset of the record */
	uint32_t piece; /* bytes of a snapshot; 0: a record */
	int used;
	int done;
	int error;
};

/* Sequential reading: see uring_ahead.c. Pieces are counted from base. */
struct synod_uring_ahead {
	struct io_uring ring;
	int tried; /* to make the ring */
	int made;
	uint64_t base;	/* file offset of piece 0 */
	uint64_t first; /* piece: before it nothing is held */
	uint64_t next;	/* piece to be asked for next */
	uint64_t depth; /* so many at once */
	uint32_t inflight;
	int done[SYNOD_URING_PIECES];
	int result[SYNOD_URING_PIECES];
};

/* When something under way was begun; size 0: nothing. */
struct synod_uring_begun {
	uint64_t ns;
	uint64_t offset;
	uint32_t size;
};

/* Where a journal lies, by its path. */
struct synod_uring_place {
	char path[1024];      /* of the file or block device; of a namespace's character device:
				 * of the block node beside it */
	char name[16];	      /* "ng0n1"; "" if it is no character device */
	uint32_t passthrough; /* 1: the path that was given is a character device */
};

/* uring_nvme.c: a namespace that is written by the device's own commands. */
struct synod_uring_nvme {
	int fd;			 /* -1: none */
	uint32_t id;		 /* of the namespace */
	uint32_t block_shift;	 /* its logical blocks, as a power of two */
	uint32_t transfer_shift; /* most bytes a command, as a power of two */
	uint32_t write_back;	 /* 1: a cache that forgets when the power goes */
	uint32_t status;	 /* of the command that failed; 0: none has */
};

/* A write or read as the device takes it. */
struct synod_uring_io {
	void *bytes;
	uint64_t offset;
	uint32_t size;
	int write;
	int fd;	    /* of the namespace, or its place among the registered files */
	int buffer; /* registered; -1: none */
};

struct synod_journal {
	/* Every poll. */
	int failed; /* 0 or -errno, for ever */
	int ring_enabled;
	int polled; /* completions are only found by asking for them (IOPOLL) */
	struct synod_uring_nvme nvme;
	uint32_t prepared; /* entries not yet submitted */
	uint32_t inflight; /* entries submitted or prepared, not completed */
	struct synod_writer writer;
	struct io_uring ring;
	struct synod_uring_read reads[SYNOD_URING_READS];
	int read_shown; /* whose body the caller holds, or -1 */

	/* uring_deadline.c */
	uint64_t now_ns; /* of the last poll */
	uint64_t deadline_check_ns;
	uint64_t timeout_ns; /* 0: none */
	struct synod_uring_begun begun[SYNOD_URING_KINDS][SYNOD_URING_KIND_MAX];

	/* uring_memory.c: instead of the ring, where there is no disk. */
	uint8_t *media; /* NULL: there is one */
	uint64_t media_size;
	uint32_t media_done_count;
	struct {
		uint64_t data;
		int result;
	} media_done[SYNOD_URING_ENTRIES];

	/* Set at open. */
	struct synod_counters *counters;
	struct synod_index index;
	uint8_t *memory;       /* buffers, superblocks, reads: registered as three */
	uint8_t *chunk;	       /* of sequential reads */
	uint64_t chunk_offset; /* of the piece looked at last */
	uint32_t chunk_size;   /* 0: what is held may be older than the file */
	struct synod_uring_ahead ahead;
	int no_uring; /* asked for none */
	uint32_t seed;
	int fd;
	int read_only;
	int ring_made;
	int owner;    /* thread that enabled the ring */
	int event_fd; /* for who sleeps; -1: nobody does */
	uint32_t registered_buffers;
	uint32_t registered_file;
	uint32_t defer_taskrun;
	struct synod_journal_device device;    /* what it stands on */
	struct synod_format_superblock opened; /* as found */
	char path[256];
	char error[384];
};

/* ---- memory: one mapping, in this order ------------------------------------------------------ */

#define SYNOD_URING_READS_SIZE	((size_t)SYNOD_URING_READS * SYNOD_URING_READ_SIZE)
#define SYNOD_URING_MEMORY_SIZE (SYNOD_WRITER_MEMORY_SIZE + SYNOD_URING_READS_SIZE)

_Static_assert(SYNOD_URING_MEMORY_SIZE < 2u << 20,
	       "three replicas of one user stay under RLIMIT_MEMLOCK's usual 8 MiB");

/* And one of its own: the pieces, and a group's length of the first again. */
#define SYNOD_URING_CHUNKS_SIZE \
	((size_t)SYNOD_URING_PIECES * SYNOD_URING_CHUNK_SIZE + SYNOD_GROUP_SIZE_MAX)

/*
 * Index of the registered buffer: one for each group, since passthrough counts all pages of a
 * registered buffer against what the device takes as pieces of one command (127; Linux 6.1).
 */
enum {
	SYNOD_URING_MEMORY_GROUPS,
	SYNOD_URING_MEMORY_SUPERBLOCKS = SYNOD_JOURNAL_BUFFERS, /* and a snapshot's piece */
	SYNOD_URING_MEMORY_READS,
	SYNOD_URING_MEMORY_COUNT
};

/* ---- uring_file.c: files and devices --------------------------------------------------------- */

/* Opens with O_DIRECT, or without where the file system has none; says what writes will get. */
int synod_uring_open_file(const char *path, int flags, enum synod_durability *durability);
/* Bytes of a file or device, or -errno. */
int64_t synod_uring_file_size(int fd);
/* Exclusive lock, waiting a little for a process that is just dying. 0, -EBUSY, -errno. */
int synod_uring_lock(int fd);
void synod_uring_unlock(int fd);
/* Reads or writes all of it: 0, -EIO where the file ends, or -errno. */
int synod_uring_read_all(int fd, void *bytes, size_t size, uint64_t offset);
int synod_uring_write_all(int fd, const void *bytes, size_t size, uint64_t offset);
int synod_uring_say(char *error, size_t error_size, int result, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- uring_nvme.c: passthrough --------------------------------------------------------------- */

/* Finds out where the journal of that path lies. 0, or -ENOTSUP: a character device of another
 * kind. */
int synod_uring_nvme_find(const char *path, struct synod_uring_place *place, char *error,
			  size_t error_size);
/* Opens the character device, asks it what it is, judges it and locks it. 0, or -errno. */
int synod_uring_nvme_open(const char *path, struct synod_uring_nvme *nvme, char *error,
			  size_t error_size);
void synod_uring_nvme_close(struct synod_uring_nvme *nvme, int unlock);
/* Two answers to Identify, of controller and namespace: 0, or -ENOTSUP and the reason. */
int synod_uring_nvme_judge(struct synod_uring_nvme *nvme, const uint8_t *controller,
			   const uint8_t *space, char *reason, size_t size);
/* device: of the block node, corrected here. 0, or -ENOTSUP: a write would not be durable. */
int synod_uring_nvme_describe(const struct synod_uring_nvme *nvme,
			      const struct synod_uring_place *place,
			      struct synod_journal_device *device, char *error, size_t error_size);
void synod_uring_nvme_encode(const struct synod_uring_nvme *nvme, const struct synod_uring_io *io,
			     struct nvme_uring_cmd *command);
void synod_uring_nvme_prepare(const struct synod_uring_nvme *nvme, const struct synod_uring_io *io,
			      struct io_uring_sqe *sqe);
/* What a completion of a command for that many bytes says, as a write's or read's would. */
int synod_uring_nvme_result(struct synod_uring_nvme *nvme, int result, uint32_t size);

/* ---- uring_trial.c: before the ring is trusted, and waiting for it --------------------------- */

/* A read as large as any write, as everything will be: does the kernel do that on this device?
 * 0, or -errno. */
int synod_uring_trial(struct synod_journal *journal, unsigned int setup);
/* Waits for something under way, a millisecond or until it completes. 0, or -errno. */
int synod_uring_wait(struct synod_journal *journal);

/* ---- uring_probe.c: what it stands on -------------------------------------------------------- */

void synod_uring_probe(int fd, enum synod_durability obtained, struct synod_journal_device *device);
/* One line of /proc/self/mountinfo: 1 and fs, flush, source if it is of that mount, else 0. */
int synod_uring_probe_mount(const char *line, uint64_t mount_id,
			    struct synod_journal_device *device, char *source, size_t source_size);

/* ---- uring_open.c ---------------------------------------------------------------------------- */

/* Bytes of the log that are in use. */
uint64_t synod_uring_log_used(const struct synod_journal *journal);

/* ---- uring_check.c: is it this replica's journal? -------------------------------------------- */

int synod_uring_check(const struct synod_format_superblock sectors[SYNOD_SUPERBLOCK_COPIES],
		      const struct synod_journal_options *options, int64_t file_size,
		      struct synod_superblock_choice *choice, char *error, size_t error_size);

/* ---- uring_recover.c: the scan over a file --------------------------------------------------- */

/* mending: as in the options; where it can be mended, what is corrupt is no error. */
int synod_uring_recover(struct synod_journal *journal, struct synod_journal_recovery *recovery,
			struct synod_mending *mending, char *error, size_t error_size);

/* ---- uring_ahead.c: reading in order --------------------------------------------------------- */

/* Bytes [offset, offset + size), size <= SYNOD_GROUP_SIZE_MAX, aligned to 8, in the chunk. */
int synod_uring_chunk(struct synod_journal *journal, uint64_t offset, uint32_t size,
		      const uint8_t **bytes);
void synod_uring_ahead_close(struct synod_journal *journal);

/* ---- uring_ring.c: the ring ------------------------------------------------------------------ */

int synod_uring_make_ring(struct synod_journal *journal);
/* Registers memory and file with a ring, as far as the kernel allows. */
void synod_uring_register(struct synod_journal *journal, struct io_uring *ring);
/* Readies the ring for this thread; 0 or -errno. */
int synod_uring_enable(struct synod_journal *journal);
/* A descriptor that is readable from a completion to the poll after it, or -1. */
int synod_uring_event_fd(struct synod_journal *journal);
/* Prepares a write that is durable when it completes, or a read. */
void synod_uring_prepare_write(struct synod_journal *journal, const struct synod_writer_io *io);
void synod_uring_prepare_read(struct synod_journal *journal, uint32_t index, void *bytes,
			      uint32_t size, uint64_t offset);
/* Submits what was prepared. 0 or -errno. */
int synod_uring_submit(struct synod_journal *journal);
/* Handles what has completed. How many, or -errno. */
int synod_uring_reap(struct synod_journal *journal);
/* Sleeps a little, or until something completes, and handles it. 0, or -errno: it has failed. */
int synod_uring_last_chance(struct synod_journal *journal);
/* Something that was asked for has come back. */
void synod_uring_completed(struct synod_journal *journal, uint64_t data, int result);
/* The journal has failed. Returns result. */
int synod_uring_fail(struct synod_journal *journal, int result, const char *what, uint64_t offset,
		     uint32_t size);

/* ---- uring_memory.c: no ring, no disk -------------------------------------------------------- */

int synod_uring_memory_make(const struct synod_journal_options *options, char *error,
			    size_t error_size);
int synod_uring_memory_map(struct synod_journal *journal);
void synod_uring_memory_unmap(struct synod_journal *journal);
void synod_uring_memory_write(struct synod_journal *journal, const struct synod_writer_io *io,
			      uint64_t data);
void synod_uring_memory_read(struct synod_journal *journal, void *bytes, uint32_t size,
			     uint64_t offset, uint64_t data);
int synod_uring_memory_reap(struct synod_journal *journal);

/* ---- uring_deadline.c: what never completes -------------------------------------------------- */

void synod_uring_deadline_begin(struct synod_journal *journal, uint32_t kind, uint32_t index,
				uint64_t offset, uint32_t size);
void synod_uring_deadline_end(struct synod_journal *journal, uint32_t kind, uint32_t index);
/* Once a poll, after what has completed was taken. 0, or -ETIMEDOUT: the journal has failed. */
int synod_uring_deadline_check(struct synod_journal *journal, uint64_t now_ns);

/* ---- uring_write.c: groups and superblocks --------------------------------------------------- */

int synod_uring_write(void *context, const struct synod_journal_write *writes, unsigned int n);
uint64_t synod_uring_room(void *context);
uint64_t synod_uring_used(void *context);
int synod_uring_ready(void *context);
/* Prepares the writes that may start now; returns how many are of groups. */
int synod_uring_start_writes(struct synod_journal *journal, uint64_t now_ns);
/* The superblock of a new life: both pairs, one after the other, blocking. */
int synod_uring_begin_life(struct synod_journal *journal,
			   const struct synod_journal_recovery *recovery);

/* ---- uring_port.c ---------------------------------------------------------------------------- */

int synod_uring_poll(void *context, uint64_t now_ns, uint64_t *ticket_durable);

/* ---- uring_read.c ---------------------------------------------------------------------------- */

int synod_uring_read_start(void *context, uint64_t slot, uint64_t cookie);
unsigned int synod_uring_read_poll(void *context, struct synod_journal_record *record);
void synod_uring_read_done(struct synod_journal *journal, uint32_t index, int result);

/* ---- uring_snapshot.c ------------------------------------------------------------------------ */

uint64_t synod_uring_slot_first(void *context);
int synod_uring_snapshot_wanted(void *context);
int synod_uring_snapshot_write(void *context, uint64_t slot, const void *image, uint64_t size);
int synod_uring_snapshot_write_foreign(void *context, uint64_t slot, const void *image,
				       uint64_t size);
int synod_uring_snapshot_busy(void *context);
void synod_uring_snapshot_partial(void *context, const struct synod_journal_snapshot *of,
				  const void *image, uint64_t received);
struct synod_journal_snapshot synod_uring_snapshot(void *context);
int synod_uring_snapshot_read(void *context, uint64_t slot, uint64_t offset, uint32_t size,
			      uint64_t cookie);
/* A read of that many bytes at a file offset: 0 or -EAGAIN. piece: as in synod_uring_read. */
int synod_uring_start_read(struct synod_journal *journal, const struct synod_uring_read *read,
			   uint32_t size);

#endif

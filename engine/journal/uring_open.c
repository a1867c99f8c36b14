/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing a journal: lock, check, scan, and only then the first write. */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct opening {
	struct synod_journal *journal;
	const struct synod_journal_options *options;
	struct synod_journal_recovery *recovery;
	char *error;
	size_t error_size;
};

static size_t index_size(const struct synod_journal *journal)
{
	synod_assert(journal->index.slots > 0);
	return (journal->index.slots + 1) * sizeof(struct synod_index_entry);
}

/* READ_ONLY: is somebody else writing to it? */
static int locked_elsewhere(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	synod_assert(fd >= 0);
	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The file, or a new one in memory where that was asked for; -errno. */
static int open_it(struct opening *opening, struct synod_uring_place *place,
		   enum synod_durability *obtained)
{
	struct synod_journal *journal = opening->journal;
	int result;

	synod_assert(opening->options->path != NULL);
	synod_assert_implies(opening->options->memory.size, !journal->read_only);
	*obtained = SYNOD_DURABILITY_NONE;
	if (opening->options->memory.size)
		return synod_uring_memory_make(opening->options, opening->error,
					       opening->error_size);
	result = synod_uring_nvme_find(opening->options->path, place, opening->error,
				       opening->error_size);
	if (result == 0 && place->passthrough && !journal->read_only)
		result = synod_uring_nvme_open(opening->options->path, &journal->nvme,
					       opening->error, opening->error_size);
	if (result < 0)
		return result;
	return synod_uring_open_file(place->path, journal->read_only ? O_RDONLY : O_RDWR, obtained);
}

/* What it stands on, and whether that is enough for what was asked for. */
static int probe(struct opening *opening, const struct synod_uring_place *place,
		 enum synod_durability obtained)
{
	struct synod_journal *journal = opening->journal;
	struct synod_journal_device *device = &journal->device;
	const char *path = opening->options->path;
	int result = 0;

	synod_assert(journal->fd >= 0);
	synod_assert_implies(journal->nvme.fd >= 0, place->passthrough);
	synod_uring_probe(journal->fd, obtained, device);
	device->in_memory = opening->options->memory.size > 0;
	if (journal->nvme.fd >= 0)
		result = synod_uring_nvme_describe(&journal->nvme, place, device, opening->error,
						   opening->error_size);
	if (result < 0)
		return result;
	if (device->block_size > SYNOD_BLOCK_SIZE)
		return synod_uring_say(opening->error, opening->error_size, -ENOTSUP,
				       "%s: its device writes blocks of %u bytes, and a journal's "
				       "are of %d: put it on another device",
				       path, device->block_size, SYNOD_BLOCK_SIZE);
	if (!(opening->options->flags & SYNOD_JOURNAL_POLL))
		return 0;
	if (place->passthrough)
		return synod_uring_say(opening->error, opening->error_size, -ENOTSUP,
				       "%s: journal_poll = yes with passthrough: Linux 6.1 falls "
				       "over when such a process is killed; use %s, or set "
				       "journal_poll = no",
				       path, place->path);
	if (device->poll_queues != SYNOD_DEVICE_YES || obtained != SYNOD_DURABILITY_DIRECT_DSYNC)
		return synod_uring_say(
			opening->error, opening->error_size, -ENOTSUP,
			"%s: journal_poll = yes is asked for, but its device has no "
			"poll queues: give its driver some (nvme.poll_queues=2 on the "
			"kernel's command line), or set journal_poll = no",
			path);
	device->polled = 1;
	journal->polled = 1;
	return 0;
}

static int open_and_lock(struct opening *opening)
{
	struct synod_journal *journal = opening->journal;
	const char *path = opening->options->path;
	struct synod_uring_place place = { .passthrough = 0 };
	enum synod_durability obtained;
	int result;

	synod_assert(journal->fd < 0 && path);
	synod_assert(journal->chunk != NULL);
	journal->fd = open_it(opening, &place, &obtained);
	if (journal->fd < 0 && opening->error[0])
		return journal->fd; /* said already */
	if (journal->fd == -ENOENT)
		return synod_uring_say(opening->error, opening->error_size, -ENOENT,
				       "%s: no such journal; make one with `synod format`", path);
	if (journal->fd < 0)
		return synod_uring_say(opening->error, opening->error_size, journal->fd,
				       "%s: cannot open: %s", path, strerror(-journal->fd));
	result = probe(opening, &place, obtained);
	if (result < 0)
		return result;
	if (journal->read_only) {
		opening->recovery->locked = locked_elsewhere(journal->fd);
		return 0;
	}
	if (synod_uring_lock(journal->fd) < 0)
		return synod_uring_say(opening->error, opening->error_size, -EBUSY,
				       "%s: in use by another process: is this replica running "
				       "already?",
				       path);
	return 0;
}

static int check(struct opening *opening)
{
	struct synod_journal *journal = opening->journal;
	struct synod_format_superblock *sectors = (void *)journal->chunk;
	struct synod_superblock_choice choice;
	int64_t size = synod_uring_file_size(journal->fd);
	int result = size < 0 ? (int)size : 0;

	synod_assert(journal->fd >= 0);
	synod_assert((size_t)SYNOD_URING_CHUNK_SIZE >= SYNOD_WRITER_SUPERBLOCKS_SIZE);
	if (result == 0 && (uint64_t)size < SYNOD_WRITER_SUPERBLOCKS_SIZE)
		return synod_uring_say(opening->error, opening->error_size, -EINVAL,
				       "%s: not a Synod journal: only %" PRId64
				       " bytes; make one with "
				       "`synod format`, or correct the path",
				       opening->options->path, size);
	if (result == 0)
		result = synod_uring_read_all(journal->fd, sectors, SYNOD_WRITER_SUPERBLOCKS_SIZE,
					      0);
	if (result < 0)
		return synod_uring_say(opening->error, opening->error_size, result,
				       "%s: cannot read the superblock: %s", opening->options->path,
				       strerror(-result));
	result = synod_uring_check(sectors, opening->options, size, &choice, opening->error,
				   opening->error_size);
	if (result < 0)
		return result;
	synod_assert(choice.verdict == SYNOD_SUPERBLOCK_FOUND);
	journal->opened = sectors[choice.copy];
	journal->seed = synod_superblock_seed(&journal->opened);
	synod_recovery_begin(opening->recovery, &journal->opened);
	return 0;
}

static int no_memory(const struct opening *opening)
{
	synod_assert(opening->options && opening->error);
	return synod_uring_say(opening->error, opening->error_size, -ENOMEM,
			       "%s: out of memory for the journal's buffers and index",
			       opening->options->path);
}

static int take_memory(struct opening *opening)
{
	struct synod_journal *journal = opening->journal;

	synod_assert(!journal->index.entries && !journal->memory);
	synod_assert(journal->opened.log_end > journal->opened.log_begin);
	journal->index.slots =
		(journal->opened.log_end - journal->opened.log_begin) / SYNOD_JOURNAL_SLOT_BYTES;
	journal->index.foreign = journal->opened.foreign_slot;
	journal->index.entries = synod_uring_map(index_size(journal));
	if (!journal->index.entries)
		return no_memory(opening);
	if (journal->read_only)
		return 0;
	journal->memory = synod_uring_map(SYNOD_URING_MEMORY_SIZE);
	return journal->memory ? 0 : no_memory(opening);
}

/*
 * From now on this is a new life: what was recovered is flushed (a killed process may have left it
 * in the device's cache), and the superblock says so before anything is written behind it.
 */
static int begin_life(struct opening *opening)
{
	struct synod_journal *journal = opening->journal;
	int result = fdatasync(journal->fd) < 0 ? -errno : 0;

	synod_assert_cmp(opening->recovery->promised, >=, journal->opened.promised);
	synod_assert(!journal->read_only);
	if (result == 0)
		result = synod_uring_begin_life(journal, opening->recovery);
	if (result < 0)
		return synod_uring_say(opening->error, opening->error_size, result,
				       "%s: cannot write the superblock: %s",
				       opening->options->path, strerror(-result));
	return 0;
}

static int open_for_writing(struct opening *opening)
{
	struct synod_journal *journal = opening->journal;
	const struct synod_plan plan = journal->writer.plan;
	const struct synod_writer_start start = {
		.opened = &journal->opened,
		.recovery = opening->recovery,
		.plan = &plan,
		.index = &journal->index,
		.memory = journal->memory,
		.fence_step = SYNOD_FORMAT_FENCE_STEP,
	};
	int result;

	synod_assert(synod_recovery_whole(opening->recovery) || opening->options->mending);
	synod_assert(journal->memory && !journal->ring_made);
	synod_writer_init(&journal->writer, &start);
	result = begin_life(opening);
	if (result < 0 || (opening->options->flags & SYNOD_JOURNAL_NO_URING))
		return result;
	result = synod_uring_make_ring(journal);
	if (result == -ENOMEM)
		return synod_uring_say(opening->error, opening->error_size, result,
				       "%s: io_uring may not lock enough memory: raise the limit "
				       "(ulimit -l)",
				       opening->options->path);
	if (result < 0 && (journal->polled || journal->nvme.fd >= 0))
		return synod_uring_say(
			opening->error, opening->error_size, result,
			"%s: io_uring cannot read from it %s%s: %s; that needs Linux 6.1 or later, "
			"before 6.2 as root: use the file or block device without",
			opening->options->path, journal->nvme.fd >= 0 ? "by passthrough" : "",
			journal->polled ? " with polled completions" : "", strerror(-result));
	if (result < 0)
		return synod_uring_say(
			opening->error, opening->error_size, result,
			"%s: cannot set up io_uring: %s; it needs Linux 5.10 or later "
			"and kernel.io_uring_disabled = 0",
			opening->options->path, strerror(-result));
	return 0;
}

static int open_steps(struct opening *opening)
{
	struct synod_journal *journal = opening->journal;
	int result;

	synod_assert(journal->fd < 0);
	synod_assert(!journal->chunk);
	journal->chunk = synod_uring_map(SYNOD_URING_CHUNKS_SIZE);
	if (!journal->chunk)
		return no_memory(opening);
	result = open_and_lock(opening);
	if (result == 0)
		result = check(opening);
	if (result == 0)
		result = take_memory(opening);
	if (result == 0)
		result = synod_uring_recover(journal, opening->recovery, opening->options->mending,
					     opening->error, opening->error_size);
	/* Who only reads wants to see what is wrong. */
	if (result == -EBADMSG && journal->read_only && opening->recovery->faults)
		result = 0;
	if (result == 0 && !journal->read_only)
		result = open_for_writing(opening);
	return result;
}

int synod_journal_open(struct synod_journal **journal, const struct synod_journal_options *options,
		       struct synod_journal_recovery *recovery, char *error, size_t error_size)
{
	struct opening opening = { NULL, options, recovery, error, error_size };
	int result;

	synod_assert(options && options->path);
	synod_assert(journal && recovery);
	synod_assert(error && error_size > 0);
	*journal = NULL;
	error[0] = '\0';
	memset(recovery, 0, sizeof(*recovery));
	opening.journal = calloc(1, sizeof(*opening.journal));
	if (!opening.journal)
		return no_memory(&opening);
	opening.journal->fd = -1;
	opening.journal->nvme.fd = -1;
	opening.journal->read_shown = -1;
	opening.journal->event_fd = -1;
	opening.journal->counters = options->counters;
	opening.journal->no_uring = (options->flags & SYNOD_JOURNAL_NO_URING) != 0;
	opening.journal->timeout_ns = options->timeout_ms * UINT64_C(1000000);
	opening.journal->read_only = (options->flags & SYNOD_JOURNAL_READ_ONLY) != 0;
	snprintf(opening.journal->path, sizeof(opening.journal->path), "%s", options->path);
	result = open_steps(&opening);
	if (result < 0) {
		synod_journal_close(opening.journal);
		return result;
	}
	*journal = opening.journal;
	return 0;
}

/* Waits for what is in flight, and leaves a marker, if the ring is this thread's. */
static void drain(struct synod_journal *journal)
{
	enum {
		TURNS = 2000
	}; /* of a millisecond, or a completion, at most */

	synod_assert(journal->ring_enabled);
	for (int i = 0; i < TURNS && !journal->failed; i++) {
		uint64_t ticket;

		/* A clock far ahead: the log has been quiet for long enough. */
		if (synod_uring_poll(journal, UINT64_MAX, &ticket) < 0)
			return;
		if (journal->inflight == 0)
			return; /* with nothing in flight, nothing waits either */
		if (!journal->media && synod_uring_wait(journal) < 0)
			return;
	}
	synod_assert(journal->read_only == 0);
}

void synod_journal_close(struct synod_journal *journal)
{
	if (!journal)
		return;
	synod_assert_implies(journal->ring_made, !journal->read_only);
	if (journal->ring_made) {
		if (journal->ring_enabled && journal->owner == gettid())
			drain(journal);
		if (journal->media)
			synod_uring_memory_unmap(journal);
		else
			io_uring_queue_exit(&journal->ring);
	}
	synod_uring_ahead_close(journal); /* its reads write to the chunk */
	if (journal->event_fd >= 0)
		close(journal->event_fd);
	if (journal->fd >= 0) {
		/* The ring lets go of the file a little later; with nothing in flight, no harm. */
		if (journal->inflight == 0)
			synod_uring_unlock(journal->fd);
		close(journal->fd);
	}
	synod_uring_nvme_close(&journal->nvme, journal->inflight == 0);
	if (journal->memory)
		munmap(journal->memory, SYNOD_URING_MEMORY_SIZE);
	if (journal->index.entries)
		munmap(journal->index.entries, index_size(journal));
	if (journal->chunk)
		munmap(journal->chunk, SYNOD_URING_CHUNKS_SIZE);
	free(journal);
}

uint64_t synod_uring_log_used(const struct synod_journal *journal)
{
	const struct synod_format_log log = synod_format_log_of(&journal->opened);
	const uint64_t begin = log.wraps && !journal->read_only
				       ? journal->writer.limit - (log.end - log.begin)
				       : synod_format_virtual(&log, journal->opened.head_offset,
							      journal->opened.head_epoch);

	synod_assert_cmp(begin, <=, journal->writer.plan.offset_next);
	synod_assert(journal->fd >= 0);
	return journal->writer.plan.offset_next - begin;
}

enum synod_durability synod_journal_durability(const struct synod_journal *journal)
{
	synod_assert(journal->fd >= 0);
	synod_assert(journal != NULL);
	return (enum synod_durability)journal->device.durability;
}

const struct synod_journal_device *synod_journal_device(const struct synod_journal *journal)
{
	synod_assert(journal->fd >= 0);
	synod_assert(journal != NULL);
	return &journal->device;
}

const char *synod_journal_error(const struct synod_journal *journal)
{
	synod_assert(journal->failed <= 0);
	synod_assert_implies(journal->failed, journal->error[0] != '\0');
	return journal->error;
}

void synod_journal_status(const struct synod_journal *journal, struct synod_journal_status *status)
{
	synod_assert_cmp(journal->writer.plan.offset_next, >=, journal->opened.log_begin);
	synod_assert(journal && status);
	*status = (struct synod_journal_status){
		.bytes_used = synod_uring_log_used(journal),
		.bytes_total = journal->opened.log_end - journal->opened.log_begin,
		.slots_max = journal->index.slots,
		.registered_buffers = journal->registered_buffers,
		.registered_file = journal->registered_file,
		.defer_taskrun = journal->defer_taskrun,
	};
}

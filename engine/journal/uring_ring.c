/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring: set up at open, enabled by the thread that uses it, entered only when there is
 * something to submit or something has come back. A poll with nothing in flight makes no system
 * call, and one with something in flight none either until the kernel raises the task-run flag.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The best the kernel has: 6.1, 5.19, 5.10. Disabled at first: see synod_uring_enable. */
static const unsigned int setups[] = {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		IORING_SETUP_R_DISABLED,
	IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
	IORING_SETUP_R_DISABLED,
};

void synod_uring_register(struct synod_journal *journal, struct io_uring *ring)
{
	uint8_t *superblocks = journal->memory + SYNOD_WRITER_GROUPS_SIZE;
	const size_t superblocks_size = SYNOD_WRITER_MEMORY_SIZE - SYNOD_WRITER_GROUPS_SIZE;
	/* Both nodes of a namespace: what is in flight then holds both locks, whoever is killed. */
	const int both[2] = { journal->nvme.fd, journal->fd };
	const unsigned int count = journal->nvme.fd >= 0 ? 2 : 1;
	struct iovec memory[SYNOD_URING_MEMORY_COUNT] = {
		[SYNOD_URING_MEMORY_SUPERBLOCKS] = { superblocks, superblocks_size },
		[SYNOD_URING_MEMORY_READS] = { superblocks + superblocks_size,
					       SYNOD_URING_READS_SIZE },
	};

	synod_assert(journal->fd >= 0);
	synod_assert(journal->memory != NULL);
	for (size_t i = 0; i < SYNOD_JOURNAL_BUFFERS; i++)
		memory[SYNOD_URING_MEMORY_GROUPS + i] =
			(struct iovec){ journal->memory + i * SYNOD_GROUP_SIZE_MAX,
					SYNOD_GROUP_SIZE_MAX };
	/* Refused when it would exceed RLIMIT_MEMLOCK: then the kernel maps the pages each time. */
	journal->registered_buffers =
		io_uring_register_buffers(ring, memory, SYNOD_URING_MEMORY_COUNT) == 0;
	journal->registered_file = io_uring_register_files(ring, both + 2 - count, count) == 0;
}

/* What the setups have in common. */
static unsigned int setup_of(const struct synod_journal *journal)
{
	synod_assert(!journal->device.in_memory);
	synod_assert_implies(journal->polled, journal->device.polled);
	return (journal->polled ? IORING_SETUP_IOPOLL : 0u) |
	       (journal->nvme.fd >= 0 ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0u);
}

int synod_uring_make_ring(struct synod_journal *journal)
{
	int result = -EINVAL;

	synod_assert(journal->inflight == 0);
	synod_assert(!journal->ring_made && !journal->read_only);
	if (journal->device.in_memory)
		return synod_uring_memory_map(journal);
	if (setup_of(journal)) {
		result = synod_uring_trial(journal, setup_of(journal));
		if (result < 0)
			return result;
		result = -EINVAL;
	}
	for (size_t i = 0; i < sizeof(setups) / sizeof(setups[0]) && result < 0; i++) {
		struct io_uring_params params = { .flags = setups[i] | setup_of(journal) };

		memset(&journal->ring, 0, sizeof(journal->ring));
		result = io_uring_queue_init_params(SYNOD_URING_ENTRIES, &journal->ring, &params);
		journal->defer_taskrun = (params.flags & IORING_SETUP_DEFER_TASKRUN) != 0;
		if (result < 0 && result != -EINVAL)
			return result;
	}
	if (result < 0)
		return result;
	journal->ring_made = 1;
	synod_uring_register(journal, &journal->ring);
	return 0;
}

int synod_uring_enable(struct synod_journal *journal)
{
	int result;

	synod_assert(journal->inflight == 0);
	synod_assert(journal->ring_made && !journal->ring_enabled);
	if (journal->media) {
		journal->ring_enabled = 1;
		journal->owner = gettid();
		return 0;
	}
	/* Not io_uring_enable_rings: liburing 2.3 declares it and does not export it. */
	result = (int)syscall(__NR_io_uring_register, journal->ring.ring_fd,
			      IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	if (result < 0)
		return synod_uring_fail(journal, -errno, "cannot enable io_uring", 0, 0);
	journal->ring_enabled = 1;
	journal->owner = gettid();
	return 0;
}

int synod_uring_fail(struct synod_journal *journal, int result, const char *what, uint64_t offset,
		     uint32_t size)
{
	char status[40] = "";

	synod_assert(what != NULL);
	synod_assert(result < 0);
	if (journal->failed)
		return journal->failed; /* the first failure is the one to tell */
	journal->failed = result;
	if (journal->nvme.status)
		snprintf(status, sizeof(status), " (NVMe status 0x%x)", journal->nvme.status);
	return synod_uring_say(
		journal->error, sizeof(journal->error), result,
		"%s: %s at offset %" PRIu64 " (%u bytes): %s%s; the replica stops: after "
		"a failed write nothing is known of the disk, and it is not tried again",
		journal->path, what, offset, size, strerror(-result), status);
}

static struct io_uring_sqe *take_entry(struct synod_journal *journal)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&journal->ring);

	synod_assert_cmp(journal->inflight, <, (uint32_t)SYNOD_URING_ENTRIES);
	synod_assert(sqe != NULL); /* there is one for all that can be in flight */
	journal->prepared++;
	journal->inflight++;
	return sqe;
}

/* What a completion says of whom it is of. */
static uint64_t data_of(uint32_t kind, uint32_t index)
{
	synod_assert_cmp(index, <, 64u);
	synod_assert(kind >= SYNOD_WRITER_GROUP && kind < SYNOD_URING_KINDS);
	return (uint64_t)kind << 32 | index;
}

static void finish_entry(struct synod_journal *journal, struct io_uring_sqe *sqe, uint64_t data)
{
	synod_assert(journal->prepared > 0);
	synod_assert_cmp(data >> 32, >=, (uint64_t)SYNOD_WRITER_GROUP);
	io_uring_sqe_set_data64(sqe, data);
	if (journal->registered_file)
		sqe->flags |= IOSQE_FIXED_FILE;
}

/* The device's own command for it, in an entry of 128 bytes. */
static void prepare_nvme(struct synod_journal *journal, struct synod_uring_io io, uint64_t data)
{
	struct io_uring_sqe *sqe = take_entry(journal);

	synod_assert(journal->nvme.fd >= 0);
	synod_assert(io.buffer >= 0);
	io.fd = journal->registered_file ? 0 : journal->nvme.fd;
	if (!journal->registered_buffers)
		io.buffer = -1;
	synod_uring_nvme_prepare(&journal->nvme, &io, sqe);
	finish_entry(journal, sqe, data);
}

void synod_uring_prepare_write(struct synod_journal *journal, const struct synod_writer_io *io)
{
	const uint64_t data = data_of(io->kind, io->index);
	const int fd = journal->registered_file ? 0 : journal->fd;
	const int memory = io->kind == SYNOD_WRITER_GROUP
				   ? SYNOD_URING_MEMORY_GROUPS + (int)io->index
				   : SYNOD_URING_MEMORY_SUPERBLOCKS;
	struct io_uring_sqe *sqe;

	synod_assert_cmp(io->offset % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert_cmp(io->size % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_uring_deadline_begin(journal, io->kind, io->index, io->offset, io->size);
	if (journal->media) {
		synod_uring_memory_write(journal, io, data);
		return;
	}
	if (journal->nvme.fd >= 0) {
		prepare_nvme(journal,
			     (struct synod_uring_io){ .bytes = (void *)(uintptr_t)io->bytes,
						      .offset = io->offset,
						      .size = io->size,
						      .write = 1,
						      .buffer = memory },
			     data);
		return;
	}
	sqe = take_entry(journal);
	if (journal->registered_buffers)
		io_uring_prep_write_fixed(sqe, fd, io->bytes, io->size, io->offset, memory);
	else
		io_uring_prep_write(sqe, fd, io->bytes, io->size, io->offset);
	sqe->rw_flags = RWF_DSYNC;
	finish_entry(journal, sqe, data);
}

void synod_uring_prepare_read(struct synod_journal *journal, uint32_t index, void *bytes,
			      uint32_t size, uint64_t offset)
{
	const uint64_t data = data_of(SYNOD_URING_READ, index);
	const int fd = journal->registered_file ? 0 : journal->fd;
	struct io_uring_sqe *sqe;

	synod_assert_cmp(offset % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert_cmp(size, <=, (uint32_t)SYNOD_URING_READ_SIZE);
	synod_uring_deadline_begin(journal, SYNOD_URING_READ, index, offset, size);
	if (journal->media) {
		synod_uring_memory_read(journal, bytes, size, offset, data);
		return;
	}
	if (journal->nvme.fd >= 0) {
		prepare_nvme(journal,
			     (struct synod_uring_io){ .bytes = bytes,
						      .offset = offset,
						      .size = size,
						      .buffer = SYNOD_URING_MEMORY_READS },
			     data);
		return;
	}
	sqe = take_entry(journal);
	if (journal->registered_buffers)
		io_uring_prep_read_fixed(sqe, fd, bytes, size, offset, SYNOD_URING_MEMORY_READS);
	else
		io_uring_prep_read(sqe, fd, bytes, size, offset);
	finish_entry(journal, sqe, data);
}

int synod_uring_submit(struct synod_journal *journal)
{
	int result;

	synod_assert_cmp(journal->prepared, <=, journal->inflight);
	if (journal->prepared == 0)
		return 0;
	/* One call that submits and, where completions wait for it, lets them in. */
	result = io_uring_submit_and_get_events(&journal->ring);
	if (result == -EINTR || result == -EAGAIN || result == -EBUSY)
		return 0; /* not a write that failed: the entries are still in the queue */
	if (result < 0)
		return synod_uring_fail(journal, result, "cannot submit", 0, 0);
	synod_assert_cmp((uint32_t)result, <=, journal->prepared);
	journal->prepared -= (uint32_t)result;
	return 0;
}

static void group_completed(struct synod_journal *journal, uint32_t index, int result)
{
	const struct synod_plan_group *group = &journal->writer.buffers[index].group;

	synod_assert(journal->writer.buffers[index].used);
	synod_assert_cmp(index, <, (uint32_t)SYNOD_JOURNAL_BUFFERS);
	if (result < 0)
		synod_uring_fail(journal, result, "write failed", group->offset, group->bytes);
	else if ((uint32_t)result != group->bytes)
		synod_uring_fail(journal, -EIO, "short write", group->offset, group->bytes);
	else
		synod_writer_done(&journal->writer, SYNOD_WRITER_GROUP, index);
}

static void superblock_completed(struct synod_journal *journal, uint32_t copy, int result)
{
	const uint64_t offset = (uint64_t)copy * SYNOD_BLOCK_SIZE;

	synod_assert(journal->writer.superblock.pending > 0);
	synod_assert_cmp(copy, <, (uint32_t)SYNOD_SUPERBLOCK_COPIES);
	if (result < 0)
		synod_uring_fail(journal, result, "superblock write failed", offset,
				 SYNOD_BLOCK_SIZE);
	else if (result != SYNOD_BLOCK_SIZE)
		synod_uring_fail(journal, -EIO, "short superblock write", offset, SYNOD_BLOCK_SIZE);
	else
		synod_writer_done(&journal->writer, SYNOD_WRITER_SUPERBLOCK, copy);
}

static void snapshot_completed(struct synod_journal *journal, int result)
{
	const struct synod_writer_snapshot *snapshot = &journal->writer.snapshot;
	const uint64_t offset = snapshot->pending_offset;

	synod_assert(snapshot->pending > 0);
	synod_assert_cmp(offset, <, journal->opened.log_begin);
	if (result < 0)
		synod_uring_fail(journal, result, "snapshot write failed", offset,
				 snapshot->pending);
	else if ((uint32_t)result < snapshot->pending)
		synod_uring_fail(journal, -EIO, "short snapshot write", offset, snapshot->pending);
	else
		synod_writer_done(&journal->writer, SYNOD_WRITER_SNAPSHOT, 0);
}

void synod_uring_completed(struct synod_journal *journal, uint64_t data, int result)
{
	const uint32_t index = (uint32_t)data;

	synod_assert(journal->inflight > 0);
	synod_assert_cmp(data >> 32, <, (uint64_t)SYNOD_URING_KINDS);
	journal->inflight--;
	synod_uring_deadline_end(journal, (uint32_t)(data >> 32), index);
	switch (data >> 32) {
	case SYNOD_WRITER_GROUP:
		group_completed(journal, index, result);
		break;
	case SYNOD_WRITER_SUPERBLOCK:
		superblock_completed(journal, index, result);
		break;
	case SYNOD_WRITER_SNAPSHOT:
		snapshot_completed(journal, result);
		break;
	case SYNOD_URING_READ:
		synod_uring_read_done(journal, index, result);
		break;
	default:
		synod_assert(0 && "a completion of nothing we asked for");
	}
}

/*
 * Not the ring's own descriptor: with DEFER_TASKRUN nothing wakes who polls that. Made when first
 * asked for, so that who spins pays nothing for it.
 */
int synod_uring_event_fd(struct synod_journal *journal)
{
	int fd;

	synod_assert(journal->ring_made);
	synod_assert(!journal->read_only);
	/* In memory, and polled, nothing completes while nobody looks: nothing to wait for. */
	if (journal->event_fd >= 0 || journal->failed || journal->media || journal->polled)
		return journal->event_fd;
	if (!journal->ring_enabled && synod_uring_enable(journal) < 0)
		return -1;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd >= 0 && io_uring_register_eventfd(&journal->ring, fd) == 0)
		journal->event_fd = fd;
	else if (fd >= 0)
		close(fd);
	return journal->event_fd;
}

/* Before looking: what completes from now on makes it readable again. */
static void drain_event(struct synod_journal *journal)
{
	uint64_t count;

	synod_assert(journal->ring_enabled);
	if (journal->event_fd >= 0 && read(journal->event_fd, &count, sizeof(count)) < 0)
		synod_assert(errno == EAGAIN || errno == EINTR);
}

/* Does the kernel wait for us to let completions in? */
static unsigned int task_run_flags(const struct synod_journal *journal)
{
	synod_assert(journal->ring_made);
	if (journal->polled)
		return IORING_SQ_TASKRUN; /* it looks at the device only when it is asked to */
	/* A1: relaxed: the kernel raises the flag again for whatever we miss this turn. */
	return __atomic_load_n(journal->ring.sq.kflags, __ATOMIC_RELAXED) &
	       (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* What a completion brought: bytes, as of any write or read, or -errno. */
static int result_of(struct synod_journal *journal, const struct io_uring_cqe *cqe)
{
	const uint32_t kind = (uint32_t)(cqe->user_data >> 32);
	const uint32_t index = (uint32_t)cqe->user_data;

	if (journal->nvme.fd < 0)
		return cqe->res;
	synod_assert_cmp(kind, <, (uint32_t)SYNOD_URING_KINDS);
	synod_assert_cmp(index, <, (uint32_t)SYNOD_URING_KIND_MAX);
	return synod_uring_nvme_result(&journal->nvme, cqe->res, journal->begun[kind][index].size);
}

int synod_uring_reap(struct synod_journal *journal)
{
	struct io_uring_cqe *cqe;
	unsigned int flags;
	unsigned int head;
	unsigned int count = 0;

	synod_assert(journal->ring_enabled);
	synod_assert_cmp(journal->writer.groups_inflight, <=, journal->inflight);
	if (journal->inflight == 0)
		return 0;
	if (journal->media)
		return synod_uring_memory_reap(journal);
	if (!task_run_flags(journal) && io_uring_cq_ready(&journal->ring) == 0)
		return journal->failed;
	drain_event(journal);
	/* Asked again: what came between the two has had its event drained. */
	flags = task_run_flags(journal);
	if (flags) {
		const int result = io_uring_get_events(&journal->ring);

		if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY)
			return synod_uring_fail(journal, result, "cannot reap", 0, 0);
	}
	io_uring_for_each_cqe(&journal->ring, head, cqe)
	{
		synod_uring_completed(journal, cqe->user_data, result_of(journal, cqe));
		count++;
	}
	if (count)
		io_uring_cq_advance(&journal->ring, count);
	return journal->failed ? journal->failed : (int)count;
}

int synod_uring_last_chance(struct synod_journal *journal)
{
	enum {
		WAITS = 500
	}; /* of a millisecond */
	int count = 0;

	synod_assert(journal->ring_enabled && !journal->media);
	synod_assert_cmp(journal->inflight, >, 0u);
	for (int i = 0; i < WAITS && count == 0; i++)
		if (synod_uring_wait(journal) == 0)
			count = synod_uring_reap(journal);
	return count < 0 ? count : 0;
}

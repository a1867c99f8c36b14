/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where completions are polled for, or the device is given its own commands, the kernel may refuse
 * what it was asked for only when the first of it arrives: a read as large as any write is made at
 * open, and what does not work is said before anything depends on it. And waiting, which a ring
 * that is polled cannot do by itself: the kernel would look at the device without an end.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static void prepare(struct synod_journal *journal, struct io_uring *ring, void *bytes)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	const struct synod_uring_io io = {
		.bytes = bytes,
		.size = SYNOD_GROUP_SIZE_MAX,
		.fd = journal->registered_file ? 0 : journal->nvme.fd,
		.buffer = journal->registered_buffers ? SYNOD_URING_MEMORY_SUPERBLOCKS : -1,
	};

	synod_assert(sqe != NULL);
	synod_assert(bytes != NULL);
	if (journal->nvme.fd >= 0)
		synod_uring_nvme_prepare(&journal->nvme, &io, sqe);
	else if (journal->registered_buffers)
		io_uring_prep_read_fixed(sqe, journal->fd, bytes, io.size, 0, io.buffer);
	else
		io_uring_prep_read(sqe, journal->fd, bytes, io.size, 0);
	if (journal->nvme.fd >= 0 && journal->registered_file)
		sqe->flags |= IOSQE_FIXED_FILE;
}

int synod_uring_trial(struct synod_journal *journal, unsigned int setup)
{
	/* Where a snapshot's pieces are put: nobody's yet, and as large as the largest write. */
	uint8_t *bytes = journal->memory + SYNOD_WRITER_GROUPS_SIZE + SYNOD_WRITER_SUPERBLOCKS_SIZE;
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	int result;

	synod_assert(!journal->ring_made);
	synod_assert_implies(journal->polled, setup & IORING_SETUP_IOPOLL);
	result = io_uring_queue_init(1, &ring, setup);
	if (result < 0)
		return result;
	synod_uring_register(journal, &ring);
	prepare(journal, &ring, bytes);
	result = io_uring_submit(&ring);
	if (result >= 0)
		result = io_uring_wait_cqe(&ring, &cqe);
	if (result == 0 && journal->nvme.fd >= 0)
		result = synod_uring_nvme_result(&journal->nvme, cqe->res, SYNOD_GROUP_SIZE_MAX);
	else if (result == 0)
		result = cqe->res;
	io_uring_queue_exit(&ring);
	memset(bytes, 0, SYNOD_GROUP_SIZE_MAX);
	if (result >= 0 && result != SYNOD_GROUP_SIZE_MAX)
		result = -EIO;
	return result < 0 ? result : 0;
}

int synod_uring_wait(struct synod_journal *journal)
{
	const struct timespec pause = { .tv_nsec = 1000 * 1000 };
	struct __kernel_timespec limit = { .tv_nsec = pause.tv_nsec };
	struct io_uring_cqe *cqe;
	int result;

	synod_assert(journal->ring_enabled && !journal->media);
	synod_assert_cmp(journal->inflight, >, 0u);
	if (journal->polled) {
		/* tidy: allow sleep: at the end only, and before a disk is given up */
		nanosleep(&pause, NULL);
		return 0;
	}
	result = io_uring_wait_cqe_timeout(&journal->ring, &cqe, &limit);
	return result == -ETIME || result == -EINTR ? 0 : result;
}

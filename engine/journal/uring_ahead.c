/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading a journal from end to end as fast as the disk gives it: several pieces under way while
 * one is looked at, by a ring of its own (the port's belongs to another thread). Who jumps about
 * gets single pieces; reading ahead begins with the second piece in order and doubles from there.
 *
 *     file     … | piece 4 | piece 5 | piece 6 | piece 7 | …        next: to be asked for
 *     memory   | 4 | 5 | 6 | 7 | beginning of the next first |      piece n lies at n % PIECES
 *
 * What is asked for is at most a group long, so it ends in the piece behind at the latest; behind
 * the last place in memory stands a copy of the first's beginning, and bytes are always in a row.
 * Without io_uring the same pieces are read one at a time.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>

static uint8_t *place_of(const struct synod_journal *journal, uint64_t piece)
{
	synod_assert(journal->chunk != NULL);
	return journal->chunk + piece % SYNOD_URING_PIECES * SYNOD_URING_CHUNK_SIZE;
}

static uint64_t offset_of(const struct synod_uring_ahead *ahead, uint64_t piece)
{
	synod_assert_cmp(ahead->base % SYNOD_BLOCK_SIZE, ==, 0u);
	return ahead->base + piece * SYNOD_URING_CHUNK_SIZE;
}

/* The log's last piece ends where the log does. */
static uint32_t size_of(const struct synod_journal *journal, uint64_t piece)
{
	const uint64_t offset = offset_of(&journal->ahead, piece);
	const uint64_t left = journal->opened.log_end - offset;

	synod_assert_cmp(offset, <, journal->opened.log_end);
	return left < SYNOD_URING_CHUNK_SIZE ? (uint32_t)left : SYNOD_URING_CHUNK_SIZE;
}

static void note_read(struct synod_journal *journal, uint64_t piece, int result)
{
	struct synod_uring_ahead *ahead = &journal->ahead;

	synod_assert_cmp(piece, <, ahead->next);
	synod_assert(!ahead->done[piece % SYNOD_URING_PIECES]);
	/* What the ring could not read whole is asked for plainly: that says what is wrong. */
	if (result >= 0 && (uint32_t)result == size_of(journal, piece))
		result = 0;
	else
		result = synod_uring_read_all(journal->fd, place_of(journal, piece),
					      size_of(journal, piece), offset_of(ahead, piece));
	ahead->done[piece % SYNOD_URING_PIECES] = 1;
	ahead->result[piece % SYNOD_URING_PIECES] = result;
	if (piece % SYNOD_URING_PIECES == 0 && piece > 0)
		memcpy(journal->chunk + (size_t)SYNOD_URING_PIECES * SYNOD_URING_CHUNK_SIZE,
		       place_of(journal, piece), SYNOD_GROUP_SIZE_MAX);
}

/* Waits for one more. 0, or -errno: there is no ring any more, and nothing under way. */
static int wait_for_one(struct synod_journal *journal)
{
	struct synod_uring_ahead *ahead = &journal->ahead;
	struct io_uring_cqe *cqe;
	int result;

	synod_assert(ahead->made);
	synod_assert_cmp(ahead->inflight, >, 0u);
	do {
		result = io_uring_wait_cqe(&ahead->ring, &cqe);
	} while (result == -EINTR);
	if (result < 0)
		return result;
	ahead->inflight--;
	if (cqe->user_data != UINT64_MAX && cqe->user_data >= ahead->first)
		note_read(journal, cqe->user_data, cqe->res);
	io_uring_cqe_seen(&ahead->ring, cqe);
	return 0;
}

static int start_read(struct synod_journal *journal)
{
	struct synod_uring_ahead *ahead = &journal->ahead;
	const uint64_t piece = ahead->next;
	struct io_uring_sqe *sqe;
	int result;

	synod_assert_cmp(piece - ahead->first, <, (uint64_t)SYNOD_URING_PIECES);
	ahead->next++;
	ahead->done[piece % SYNOD_URING_PIECES] = 0;
	if (!ahead->made) {
		note_read(journal, piece, -EAGAIN);
		return 0;
	}
	sqe = io_uring_get_sqe(&ahead->ring);
	synod_assert(sqe != NULL); /* there is one for each piece */
	io_uring_prep_read(sqe, journal->fd, place_of(journal, piece), size_of(journal, piece),
			   offset_of(ahead, piece));
	io_uring_sqe_set_data64(sqe, piece);
	do {
		result = io_uring_submit(&ahead->ring);
	} while (result == -EINTR);
	if (result < 0)
		return result;
	ahead->inflight++;
	return 0;
}

/* Nothing is held any more; what is under way is waited for, since it writes to the memory. */
static int begin_at(struct synod_journal *journal, uint64_t offset)
{
	struct synod_uring_ahead *ahead = &journal->ahead;

	synod_assert_cmp(offset, <, journal->opened.log_end);
	ahead->first = ahead->next; /* older ones are not noted */
	while (ahead->inflight > 0) {
		const int result = wait_for_one(journal);

		if (result < 0)
			return result;
	}
	ahead->base = offset - offset % SYNOD_BLOCK_SIZE;
	ahead->first = 0;
	ahead->next = 0;
	ahead->depth = 1;
	journal->chunk_size = SYNOD_URING_CHUNK_SIZE; /* what is held counts, until it is 0 */
	synod_assert_cmp(ahead->inflight, ==, 0u);
	return 0;
}

static void make_ring(struct synod_journal *journal)
{
	struct synod_uring_ahead *ahead = &journal->ahead;

	synod_assert(!ahead->made);
	ahead->tried = 1;
	if (!journal->no_uring)
		ahead->made = io_uring_queue_init(SYNOD_URING_PIECES, &ahead->ring, 0) == 0;
	synod_assert_cmp(ahead->inflight, ==, 0u);
}

/* The pieces first..last are there, and others on their way. */
static int hold(struct synod_journal *journal, uint64_t first, uint64_t last)
{
	struct synod_uring_ahead *ahead = &journal->ahead;
	int result = 0;

	synod_assert_cmp(last - first, <=, 1u);
	synod_assert_cmp(first, >=, ahead->first);
	if (first > ahead->first && ahead->depth < SYNOD_URING_PIECES)
		ahead->depth *= 2;
	ahead->first = first;
	while (result == 0 && offset_of(ahead, ahead->next) < journal->opened.log_end &&
	       (ahead->next <= last || ahead->next - first < ahead->depth))
		result = start_read(journal);
	for (uint64_t piece = first; result == 0 && piece <= last; piece++) {
		while (result == 0 && !ahead->done[piece % SYNOD_URING_PIECES])
			result = wait_for_one(journal);
		if (result == 0)
			result = ahead->result[piece % SYNOD_URING_PIECES];
		journal->chunk_offset = offset_of(ahead, piece); /* for who tells of an error */
	}
	return result;
}

int synod_uring_chunk(struct synod_journal *journal, uint64_t offset, uint32_t size,
		      const uint8_t **bytes)
{
	struct synod_uring_ahead *ahead = &journal->ahead;
	uint64_t first;
	int result = 0;

	synod_assert_cmp(size, <=, (uint32_t)SYNOD_GROUP_SIZE_MAX);
	synod_assert_cmp(offset + size, <=, journal->opened.log_end);
	synod_assert(size > 0);
	if (!ahead->tried)
		make_ring(journal);
	/* Behind what is held, or so far ahead that something would be read for nobody. */
	if (journal->chunk_size == 0 || offset < offset_of(ahead, ahead->first) ||
	    offset >= offset_of(ahead, ahead->next + 1))
		result = begin_at(journal, offset);
	first = (offset - ahead->base) / SYNOD_URING_CHUNK_SIZE;
	if (result == 0)
		result = hold(journal, first,
			      (offset + size - 1 - ahead->base) / SYNOD_URING_CHUNK_SIZE);
	if (result < 0) {
		journal->chunk_size = 0;
		return result;
	}
	*bytes = place_of(journal, first) + (offset - offset_of(ahead, first));
	return 0;
}

void synod_uring_ahead_close(struct synod_journal *journal)
{
	struct synod_uring_ahead *ahead = &journal->ahead;

	synod_assert_implies(ahead->inflight, ahead->made);
	ahead->first = ahead->next;
	while (ahead->inflight > 0 && wait_for_one(journal) == 0)
		;
	if (ahead->made)
		io_uring_queue_exit(&ahead->ring);
	ahead->made = 0;
}

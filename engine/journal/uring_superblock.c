/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Promises and the fence, in the superblock. One write at a time, in two phases:
 *
 *   IDLE --dirty--> PRIMARY (the pair of this sequence) --both--> durable
 *                      |  dirty again: next sequence, other pair, PRIMARY
 *                      +--> MIRROR (the other pair, same content) --both--> IDLE
 *
 * The pair that holds the previous promise is not touched before the new one is durable. Promises
 * that come while a write is under way share the next one.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

_Static_assert((SYNOD_URING_PROMISES & (SYNOD_URING_PROMISES - 1)) == 0, "masked index");

void synod_uring_superblock_init(struct synod_journal *journal)
{
	struct synod_uring_superblock *superblock = &journal->superblock;

	synod_assert(journal->memory != NULL);
	memset(superblock, 0, sizeof(*superblock));
	superblock->copy = (void *)(journal->memory + SYNOD_URING_GROUPS_SIZE);
	superblock->want = journal->opened;
	superblock->sequence_started = journal->opened.sequence;
	superblock->sequence_durable = journal->opened.sequence;
	superblock->fence_durable = journal->opened.fence;
	synod_assert(superblock->want.sequence > 0);
}

static void encode_pair(struct synod_uring_superblock *superblock, uint32_t pair)
{
	synod_assert_cmp(superblock->pending, ==, 0u);
	synod_assert_cmp(pair, <, 2u);
	for (uint32_t copy = 2 * pair; copy < 2 * pair + 2; copy++)
		synod_superblock_encode(&superblock->want, copy, &superblock->copy[copy]);
}

static int write_pair_sync(struct synod_journal *journal, uint32_t pair)
{
	struct synod_uring_superblock *superblock = &journal->superblock;
	const struct iovec bytes = { &superblock->copy[2 * pair], 2 * SYNOD_BLOCK_SIZE };
	ssize_t n;

	synod_assert(journal->inflight == 0);
	encode_pair(superblock, pair);
	do {
		n = pwritev2(journal->fd, &bytes, 1, (off_t)(2 * pair) * SYNOD_BLOCK_SIZE,
			     RWF_DSYNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	synod_assert_cmp((size_t)n, <=, bytes.iov_len);
	return (size_t)n == bytes.iov_len ? 0 : -EIO;
}

int synod_uring_superblock_write_sync(struct synod_journal *journal)
{
	struct synod_uring_superblock *superblock = &journal->superblock;
	uint32_t pair;
	int result;

	synod_assert(superblock->promises_begin == superblock->promises_end);
	synod_assert(superblock->phase == SYNOD_URING_IDLE);
	superblock->want.sequence = ++superblock->sequence_started;
	pair = synod_superblock_pair(superblock->want.sequence);
	result = write_pair_sync(journal, pair);
	if (result == 0)
		result = write_pair_sync(journal, 1 - pair);
	if (result < 0)
		return result;
	superblock->sequence_durable = superblock->want.sequence;
	superblock->fence_durable = superblock->want.fence;
	superblock->dirty = 0;
	return 0;
}

int synod_uring_promises_full(const struct synod_journal *journal)
{
	const struct synod_uring_superblock *superblock = &journal->superblock;

	synod_assert_cmp(superblock->promises_end - superblock->promises_begin, <=,
			 (uint64_t)SYNOD_URING_PROMISES);
	return superblock->promises_end - superblock->promises_begin == SYNOD_URING_PROMISES;
}

void synod_uring_promise(struct synod_journal *journal, uint64_t ballot, uint64_t position)
{
	struct synod_uring_superblock *superblock = &journal->superblock;
	const uint64_t at = superblock->promises_end & (SYNOD_URING_PROMISES - 1);

	synod_assert(!synod_uring_promises_full(journal));
	synod_assert_cmp(ballot, >=, superblock->want.promised); /* a promise never falls (I3) */
	superblock->want.promised = ballot;
	superblock->dirty = 1;
	superblock->promises[at].position = position;
	superblock->promises[at].sequence = superblock->sequence_started + 1;
	superblock->promises_end++;
}

void synod_uring_raise_fence(struct synod_journal *journal)
{
	struct synod_format_superblock *want = &journal->superblock.want;
	const uint64_t step = SYNOD_FORMAT_FENCE_STEP;
	uint64_t tail = journal->plan.offset_next;

	synod_assert_cmp(tail, <=, want->log_end);
	synod_assert_cmp(want->fence, <=, want->log_end);
	if (want->fence == want->log_end || tail + step / 2 < want->fence)
		return;
	tail -= tail % SYNOD_BLOCK_SIZE;
	want->fence = want->log_end - tail > step ? tail + step : want->log_end;
	journal->superblock.dirty = 1;
}

static void write_pair(struct synod_journal *journal, uint32_t pair)
{
	struct synod_uring_superblock *superblock = &journal->superblock;

	synod_assert_cmp(pair, <, 2u);
	synod_assert(superblock->pending == 0);
	for (uint32_t copy = 2 * pair; copy < 2 * pair + 2; copy++)
		synod_uring_prepare_write(journal, SYNOD_URING_SUPERBLOCK, copy,
					  &superblock->copy[copy], SYNOD_BLOCK_SIZE,
					  (uint64_t)copy * SYNOD_BLOCK_SIZE);
	superblock->pending = 2;
}

void synod_uring_superblock_progress(struct synod_journal *journal)
{
	struct synod_uring_superblock *superblock = &journal->superblock;
	uint32_t pair;

	synod_assert_implies(superblock->pending, superblock->phase != SYNOD_URING_IDLE);
	synod_assert_cmp(superblock->sequence_durable, <=, superblock->sequence_started);
	if (superblock->pending)
		return;
	if (superblock->phase == SYNOD_URING_PRIMARY && !superblock->dirty) {
		/* The content that has just become durable, once more. */
		write_pair(journal, 1 - synod_superblock_pair(superblock->sequence_started));
		superblock->phase = SYNOD_URING_MIRROR;
		return;
	}
	superblock->phase = SYNOD_URING_IDLE;
	if (!superblock->dirty)
		return;
	superblock->dirty = 0;
	superblock->want.durable_group = journal->prefix.group_durable;
	superblock->want.sequence = ++superblock->sequence_started;
	encode_pair(superblock, 0);
	encode_pair(superblock, 1);
	pair = synod_superblock_pair(superblock->sequence_started);
	write_pair(journal, pair);
	superblock->phase = SYNOD_URING_PRIMARY;
}

void synod_uring_superblock_done(struct synod_journal *journal)
{
	struct synod_uring_superblock *superblock = &journal->superblock;

	synod_assert(superblock->phase != SYNOD_URING_IDLE);
	synod_assert(superblock->pending > 0);
	if (--superblock->pending > 0 || superblock->phase != SYNOD_URING_PRIMARY)
		return;
	superblock->sequence_durable = superblock->sequence_started;
	superblock->fence_durable =
		superblock->copy[2 * synod_superblock_pair(superblock->sequence_started)].fence;
	while (superblock->promises_begin != superblock->promises_end) {
		const uint64_t at = superblock->promises_begin & (SYNOD_URING_PROMISES - 1);

		if (superblock->promises[at].sequence > superblock->sequence_durable)
			break;
		synod_prefix_complete(&journal->prefix, superblock->promises[at].position);
		superblock->promises_begin++;
	}
}

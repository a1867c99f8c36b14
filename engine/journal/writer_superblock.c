/* SPDX-License-Identifier: BSD-3-Clause */
/* Promises and the fence, in the superblock: see writer.h. */
#include "engine/base/assert.h"
#include "engine/journal/superblock.h"
#include "engine/journal/writer.h"

#include <string.h>

void synod_writer_superblock_init(struct synod_writer *writer,
				  const struct synod_format_superblock *opened)
{
	struct synod_writer_superblock *superblock = &writer->superblock;

	synod_assert(writer->memory != NULL);
	memset(superblock, 0, sizeof(*superblock));
	superblock->copy = (void *)(writer->memory + SYNOD_WRITER_GROUPS_SIZE);
	superblock->want = *opened;
	superblock->sequence_started = opened->sequence;
	superblock->sequence_durable = opened->sequence;
	superblock->sequence_settled = opened->sequence;
	superblock->fence_durable = opened->fence;
	synod_assert(superblock->want.sequence > 0);
}

static void encode_pair(struct synod_writer_superblock *superblock, uint32_t pair)
{
	synod_assert_cmp(superblock->pending, ==, 0u);
	synod_assert_cmp(pair, <, 2u);
	for (uint32_t copy = 2 * pair; copy < 2 * pair + 2; copy++)
		synod_superblock_encode(&superblock->want, copy, &superblock->copy[copy]);
}

void synod_writer_begin_life(struct synod_writer *writer,
			     const struct synod_journal_recovery *recovery)
{
	struct synod_writer_superblock *superblock = &writer->superblock;

	synod_assert(superblock->promises_begin == superblock->promises_end);
	synod_assert(superblock->phase == SYNOD_WRITER_IDLE);
	synod_assert_cmp(recovery->promised, >=, superblock->want.promised);
	synod_assert_cmp(recovery->life, >=, superblock->want.life);
	superblock->want.life = recovery->life + 1;
	superblock->want.promised = recovery->promised;
	superblock->want.durable_group = recovery->group_last;
	superblock->want.life_group = recovery->group_last + 1;
	synod_writer_raise_fence(writer);
	superblock->want.sequence = ++superblock->sequence_started;
	encode_pair(superblock, 0);
	encode_pair(superblock, 1);
}

void synod_writer_life_begun(struct synod_writer *writer)
{
	struct synod_writer_superblock *superblock = &writer->superblock;

	synod_assert_cmp(superblock->want.sequence, ==, superblock->sequence_durable + 1);
	synod_assert_cmp(superblock->want.life, >, writer->plan.life);
	superblock->sequence_durable = superblock->want.sequence;
	superblock->sequence_settled = superblock->want.sequence;
	superblock->fence_durable = superblock->want.fence;
	superblock->dirty = 0;
	writer->plan.life = superblock->want.life;
}

int synod_writer_promises_full(const struct synod_writer *writer)
{
	const struct synod_writer_superblock *superblock = &writer->superblock;

	synod_assert_cmp(superblock->promises_end - superblock->promises_begin, <=,
			 (uint64_t)SYNOD_WRITER_PROMISES);
	return superblock->promises_end - superblock->promises_begin == SYNOD_WRITER_PROMISES;
}

void synod_writer_superblock_promise(struct synod_writer *writer, uint64_t ballot,
				     uint64_t position)
{
	struct synod_writer_superblock *superblock = &writer->superblock;
	const uint64_t at = superblock->promises_end & (SYNOD_WRITER_PROMISES - 1);

	synod_assert(!synod_writer_promises_full(writer));
	synod_assert_cmp(ballot, >=, superblock->want.promised); /* a promise never falls (I3) */
	superblock->want.promised = ballot;
	superblock->dirty = 1;
	superblock->promises[at].position = position;
	superblock->promises[at].sequence = superblock->sequence_started + 1;
	superblock->promises_end++;
}

void synod_writer_raise_fence(struct synod_writer *writer)
{
	struct synod_format_superblock *want = &writer->superblock.want;
	const struct synod_format_log *log = &writer->plan.log;
	const uint64_t quarter = (log->end - log->begin) / 4 / SYNOD_BLOCK_SIZE * SYNOD_BLOCK_SIZE;
	const uint64_t tail = writer->plan.offset_next;
	uint64_t step = writer->fence_step;

	synod_assert(log->wraps || tail <= log->end);
	synod_assert(log->wraps || want->fence <= log->end);
	if (log->wraps && step > quarter)
		step = quarter; /* a search stays well within one turn */
	if ((!log->wraps && want->fence == log->end) || tail + step / 2 < want->fence)
		return;
	want->fence = tail - tail % SYNOD_BLOCK_SIZE + step;
	if (!log->wraps && want->fence > log->end)
		want->fence = log->end;
	writer->superblock.dirty = 1;
}

static void write_pair(struct synod_writer *writer, uint32_t pair)
{
	struct synod_writer_superblock *superblock = &writer->superblock;

	synod_assert_cmp(pair, <, 2u);
	synod_assert(superblock->pending == 0);
	for (uint32_t copy = 2 * pair; copy < 2 * pair + 2; copy++)
		synod_writer_name_io(writer, &(struct synod_writer_io){
						     .bytes = &superblock->copy[copy],
						     .offset = (uint64_t)copy * SYNOD_BLOCK_SIZE,
						     .size = SYNOD_BLOCK_SIZE,
						     .kind = SYNOD_WRITER_SUPERBLOCK,
						     .index = copy });
	superblock->pending = 2;
}

void synod_writer_superblock_progress(struct synod_writer *writer)
{
	struct synod_writer_superblock *superblock = &writer->superblock;
	uint32_t pair;

	synod_assert_implies(superblock->pending, superblock->phase != SYNOD_WRITER_IDLE);
	synod_assert_cmp(superblock->sequence_durable, <=, superblock->sequence_started);
	if (superblock->pending)
		return;
	if (superblock->phase == SYNOD_WRITER_PRIMARY && !superblock->dirty) {
		/* The content that has just become durable, once more. */
		write_pair(writer, 1 - synod_superblock_pair(superblock->sequence_started));
		superblock->phase = SYNOD_WRITER_MIRROR;
		return;
	}
	superblock->phase = SYNOD_WRITER_IDLE;
	if (!superblock->dirty)
		return;
	superblock->dirty = 0;
	superblock->want.durable_group = writer->prefix.group_durable;
	superblock->want.sequence = ++superblock->sequence_started;
	encode_pair(superblock, 0);
	encode_pair(superblock, 1);
	pair = synod_superblock_pair(superblock->sequence_started);
	write_pair(writer, pair);
	superblock->phase = SYNOD_WRITER_PRIMARY;
}

void synod_writer_superblock_done(struct synod_writer *writer)
{
	struct synod_writer_superblock *superblock = &writer->superblock;

	synod_assert(superblock->phase != SYNOD_WRITER_IDLE);
	synod_assert(superblock->pending > 0);
	if (--superblock->pending > 0)
		return;
	if (superblock->phase == SYNOD_WRITER_MIRROR) {
		superblock->sequence_settled = superblock->sequence_started;
		return;
	}
	superblock->sequence_durable = superblock->sequence_started;
	/* The sequence before it went to the other pair first. */
	superblock->sequence_settled = superblock->sequence_started - 1;
	superblock->fence_durable =
		superblock->copy[2 * synod_superblock_pair(superblock->sequence_started)].fence;
	while (superblock->promises_begin != superblock->promises_end) {
		const uint64_t at = superblock->promises_begin & (SYNOD_WRITER_PROMISES - 1);

		if (superblock->promises[at].sequence > superblock->sequence_durable)
			break;
		synod_prefix_complete(&writer->prefix, superblock->promises[at].position);
		superblock->promises_begin++;
	}
}

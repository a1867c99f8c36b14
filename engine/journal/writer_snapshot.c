/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots, and room in the log: see writer.h. */
#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/superblock.h"
#include "engine/journal/writer.h"

#include <errno.h>
#include <string.h>

static uint64_t log_size(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->plan.log.begin, <, writer->plan.log.end);
	synod_assert(writer->plan.log.end % SYNOD_BLOCK_SIZE == 0);
	return writer->plan.log.end - writer->plan.log.begin;
}

/* Where the log begins, as both pairs of the superblock say. */
static uint64_t head_at(const struct synod_writer *writer)
{
	synod_assert(writer->plan.log.wraps);
	synod_assert_cmp(writer->limit, >=, log_size(writer));
	return writer->limit - log_size(writer);
}

/* Both pairs say it. */
static void settle(struct synod_writer_snapshot *snapshot,
		   const struct synod_format_superblock *superblock)
{
	synod_assert_cmp(superblock->snapshot_slot, >=, snapshot->slot_settled);
	synod_assert_cmp(superblock->snapshot_size, <=, synod_format_area_size(superblock));
	snapshot->slot_settled = superblock->snapshot_slot;
	snapshot->area_settled = superblock->snapshot_offset;
	snapshot->size_settled = superblock->snapshot_size;
	snapshot->checksum_settled = superblock->snapshot_checksum;
}

void synod_writer_snapshot_init(struct synod_writer *writer,
				const struct synod_format_superblock *opened)
{
	const struct synod_format_log *log = &writer->plan.log;

	synod_assert_cmp(log->end, ==, opened->log_end);
	synod_assert_implies(opened->snapshot_slot, log->wraps);
	settle(&writer->snapshot, opened);
	writer->snapshot.tail_before = writer->plan.offset_next;
	writer->limit = log->end;
	if (log->wraps)
		writer->limit = synod_format_virtual(log, opened->head_offset, opened->head_epoch) +
				log_size(writer);
}

int synod_writer_snapshot_wanted(const struct synod_writer *writer)
{
	const struct synod_writer_snapshot *snapshot = &writer->snapshot;
	const uint64_t tail = writer->plan.offset_next;

	synod_assert_cmp(snapshot->tail_before, <=, tail);
	synod_assert_implies(snapshot->phase, writer->plan.log.wraps);
	if (!writer->plan.log.wraps || snapshot->phase != SYNOD_WRITER_SNAPSHOT_IDLE ||
	    writer->index->slot_last <= snapshot->slot_settled)
		return 0;
	if (writer->index->slot_last - snapshot->slot_settled > writer->index->slots / 4)
		return 1;
	/* Not again at once where the last one freed little: a slot far behind holds the head. */
	return tail - head_at(writer) > log_size(writer) / 4 &&
	       tail - snapshot->tail_before > log_size(writer) / 16;
}

int synod_writer_snapshot(struct synod_writer *writer, uint64_t slot, const void *image,
			  uint64_t size)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	const struct synod_format_superblock *want = &writer->superblock.want;
	const uint64_t area_size = synod_format_area_size(want);

	synod_assert(image && size > 0);
	if (snapshot->phase != SYNOD_WRITER_SNAPSHOT_IDLE)
		return -EBUSY;
	if (size > area_size)
		return -EFBIG;
	synod_assert_cmp(slot, >, want->snapshot_slot);
	snapshot->phase = SYNOD_WRITER_SNAPSHOT_BODY;
	snapshot->slot = slot;
	snapshot->image = image;
	snapshot->size = size;
	snapshot->written =
		synod_writer_partial_take(writer, slot, image, size, &snapshot->checksum);
	snapshot->tail_before = writer->plan.offset_next;
	snapshot->area = synod_format_area_free(want);
	return 0;
}

int synod_writer_snapshot_foreign(struct synod_writer *writer, uint64_t slot, const void *image,
				  uint64_t size)
{
	const int result = synod_writer_snapshot(writer, slot, image, size);

	synod_assert_implies(result == 0, !writer->snapshot.foreign);
	synod_assert_implies(result == 0, slot > writer->index->foreign);
	if (result == 0)
		writer->snapshot.foreign = 1;
	return result;
}

uint32_t synod_writer_snapshot_piece(struct synod_writer *writer, const uint8_t *bytes,
				     uint32_t size, uint64_t offset, uint32_t crc)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	uint8_t *piece = writer->memory + SYNOD_WRITER_GROUPS_SIZE + SYNOD_WRITER_SUPERBLOCKS_SIZE;
	const uint32_t blocks = synod_format_blocks(size);

	synod_assert(size > 0 && size <= SYNOD_WRITER_SNAPSHOT_SIZE);
	synod_assert_cmp(snapshot->pending, ==, 0u);
	synod_assert(offset >= SYNOD_FORMAT_AREAS_BEGIN &&
		     offset + blocks <= writer->superblock.want.log_begin);
	memcpy(piece, bytes, size);
	memset(piece + size, 0, blocks - size);
	snapshot->pending = size;
	snapshot->pending_offset = offset;
	synod_writer_name_io(writer, &(struct synod_writer_io){ .bytes = piece,
								.offset = offset,
								.size = blocks,
								.kind = SYNOD_WRITER_SNAPSHOT });
	return synod_crc32c_more(crc, piece, size);
}

/* One piece under way at most: the groups of the log have the disk. */
static void write_piece(struct synod_writer *writer)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	const uint64_t left = snapshot->size - snapshot->written;
	const uint32_t size = left < SYNOD_WRITER_SNAPSHOT_SIZE
				      ? (uint32_t)left
				      : (uint32_t)SYNOD_WRITER_SNAPSHOT_SIZE;

	synod_assert_cmp(snapshot->written, <, snapshot->size);
	synod_assert(snapshot->phase == SYNOD_WRITER_SNAPSHOT_BODY);
	snapshot->checksum =
		synod_writer_snapshot_piece(writer, snapshot->image + snapshot->written, size,
					    snapshot->area + snapshot->written, snapshot->checksum);
}

/* All of it is on stable media: the next superblock names it, and the head that it allows. */
static void commit(struct synod_writer *writer)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	struct synod_format_superblock *want = &writer->superblock.want;
	const struct synod_head *head =
		synod_heads_find(&writer->heads, snapshot->slot, writer->prefix.group_durable);

	synod_assert_cmp(snapshot->written, ==, snapshot->size);
	synod_assert_cmp(head->at, >=, head_at(writer));
	want->snapshot_slot = snapshot->slot;
	want->snapshot_offset = snapshot->area;
	want->snapshot_size = snapshot->size;
	want->snapshot_checksum = snapshot->checksum;
	if (snapshot->foreign)
		want->foreign_slot = snapshot->slot;
	/* The other area is the free one from now on, and holds the snapshot before this. */
	want->partial_slot = want->partial_total = want->partial_received = 0;
	want->partial_checksum = want->partial_crc = 0;
	want->head_offset = synod_format_place(&writer->plan.log, head->at);
	want->head_epoch = synod_format_epoch(&writer->plan.log, head->at);
	want->head_group = head->number;
	want->head_previous = head->previous_checksum;
	writer->superblock.dirty = 1;
	snapshot->sequence = writer->superblock.sequence_started + 1;
	snapshot->phase = SYNOD_WRITER_SNAPSHOT_COMMIT;
}

void synod_writer_snapshot_progress(struct synod_writer *writer)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	const struct synod_format_superblock *want = &writer->superblock.want;

	synod_assert_cmp(snapshot->written, <=, snapshot->size);
	synod_assert_implies(snapshot->pending, snapshot->phase == SYNOD_WRITER_SNAPSHOT_BODY ||
							writer->partial.inflight);
	if (snapshot->phase == SYNOD_WRITER_SNAPSHOT_BODY && !snapshot->pending) {
		if (snapshot->written < snapshot->size)
			write_piece(writer);
		else
			commit(writer);
	}
	if (snapshot->phase != SYNOD_WRITER_SNAPSHOT_COMMIT ||
	    writer->superblock.sequence_settled < snapshot->sequence)
		return;
	synod_assert_cmp(want->snapshot_slot, ==, snapshot->slot);
	writer->limit =
		synod_format_virtual(&writer->plan.log, want->head_offset, want->head_epoch) +
		log_size(writer);
	synod_heads_drop(&writer->heads, want->head_group);
	settle(snapshot, want);
	/* Before anybody is told that it is here, and asks for these slots as for chosen ones. */
	writer->index->foreign = want->foreign_slot;
	snapshot->foreign = 0;
	snapshot->image = NULL;
	snapshot->phase = SYNOD_WRITER_SNAPSHOT_IDLE;
}

void synod_writer_snapshot_done(struct synod_writer *writer)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;

	synod_assert(snapshot->pending > 0);
	if (writer->partial.inflight) {
		synod_writer_partial_done(writer);
	} else {
		synod_assert(snapshot->phase == SYNOD_WRITER_SNAPSHOT_BODY);
		snapshot->written += snapshot->pending;
	}
	snapshot->pending = 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots, and room in the log: see writer.h. */
#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/superblock.h"
#include "engine/journal/writer.h"

#include <errno.h>
#include <string.h>

enum {
	/* Slots beyond a snapshot that are looked at one by one: some windows of them. */
	COUNTS_MAX = 4096,
};

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

/*
 * Where the first record stands that counts for a slot beyond that one: what was accepted there
 * before, at lower ballots, is not needed any more. As heads.h wants it; not known while one that
 * counts is not durable, since then an older one does.
 */
static uint64_t counts_at(const struct synod_writer *writer, uint64_t slot)
{
	const struct synod_index *index = writer->index;
	uint64_t first = UINT64_MAX;

	if (index->slot_last > slot + COUNTS_MAX)
		return 0;
	for (uint64_t beyond = slot + 1; beyond <= index->slot_last; beyond++) {
		const uint64_t at = synod_index_offset(index, beyond);

		if (at >= writer->prefix.offset_durable)
			return 0;
		if (at && at < first)
			first = at;
	}
	synod_assert(first > 0);
	return first;
}

static const struct synod_head *find_head(const struct synod_writer *writer, uint64_t slot)
{
	const struct synod_head *head = synod_heads_find(
		&writer->heads, slot, counts_at(writer, slot), writer->prefix.group_durable);

	synod_assert_cmp(head->at, >=, head_at(writer));
	return head;
}

/* The next superblock names that head; when both pairs do, the log before it is room. */
static void name_head(struct synod_writer *writer, const struct synod_head *head)
{
	struct synod_format_superblock *want = &writer->superblock.want;

	synod_assert_cmp(head->number, >=, want->head_group);
	want->head_offset = synod_format_place(&writer->plan.log, head->at);
	want->head_epoch = synod_format_epoch(&writer->plan.log, head->at);
	want->head_group = head->number;
	want->head_previous = head->previous_checksum;
	writer->superblock.dirty = 1;
	writer->snapshot.sequence = writer->superblock.sequence_started + 1;
	writer->snapshot.phase = SYNOD_WRITER_SNAPSHOT_COMMIT;
}

/*
 * Elections fill a log with votes for the same slots again and again, and no snapshot comes while
 * none of them is chosen: with the log full none ever would be. So where room is short, the head
 * moves on without one, past votes that later ones took the place of.
 */
static void maybe_trim(struct synod_writer *writer)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	const struct synod_head *head;

	if (!writer->plan.log.wraps || !snapshot->slot_settled ||
	    snapshot->trim_tried == writer->prefix.group_durable ||
	    writer->limit - writer->plan.offset_next > log_size(writer) / 4)
		return;
	snapshot->trim_tried = writer->prefix.group_durable;
	head = find_head(writer, snapshot->slot_settled);
	if (head->at == head_at(writer))
		return;
	synod_assert_cmp(writer->superblock.want.snapshot_slot, ==, snapshot->slot_settled);
	snapshot->slot = snapshot->slot_settled;
	name_head(writer, head);
}

/* All of it is on stable media: the next superblock names it, and the head that it allows. */
static void commit(struct synod_writer *writer)
{
	struct synod_writer_snapshot *snapshot = &writer->snapshot;
	struct synod_format_superblock *want = &writer->superblock.want;

	synod_assert_cmp(snapshot->written, ==, snapshot->size);
	want->snapshot_slot = snapshot->slot;
	want->snapshot_offset = snapshot->area;
	want->snapshot_size = snapshot->size;
	want->snapshot_checksum = snapshot->checksum;
	if (snapshot->foreign)
		want->foreign_slot = snapshot->slot;
	/* The other area is the free one from now on, and holds the snapshot before this. */
	want->partial_slot = want->partial_total = want->partial_received = 0;
	want->partial_checksum = want->partial_crc = 0;
	name_head(writer, find_head(writer, snapshot->slot));
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
	if (snapshot->phase == SYNOD_WRITER_SNAPSHOT_IDLE)
		maybe_trim(writer);
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

/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading records back: blocking, in slot order, at start; by the ring while it is written. */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>

static uint8_t *read_memory(struct synod_journal *journal, uint32_t index)
{
	synod_assert(journal->memory != NULL);
	synod_assert_cmp(index, <, (uint32_t)SYNOD_URING_READS);
	return journal->memory + SYNOD_WRITER_MEMORY_SIZE + (size_t)index * SYNOD_URING_READ_SIZE;
}

/* Judges the bytes of a record and describes it. 0, or -EBADMSG. */
static int describe(const struct synod_journal *journal, uint64_t slot, const void *bytes,
		    uint64_t size, struct synod_journal_record *record)
{
	const struct synod_format_record *header = bytes;

	synod_assert(bytes && size > 0);
	synod_assert(record->error == 0);
	synod_assert(slot > 0);
	record->slot = slot;
	if (synod_scan_record(journal->seed, bytes, size, 0) != SYNOD_SCAN_FINE ||
	    header->entry.slot != slot)
		return -EBADMSG;
	record->ballot = header->entry.ballot;
	record->chosen = (header->entry.flags & SYNOD_ENTRY_CHOSEN) != 0;
	record->value = (struct synod_value){
		.size = header->entry.size,
		.count = header->entry.count,
		.crc = header->entry.crc,
	};
	record->body = header + 1;
	return 0;
}

/* Bytes that a record at that file offset can take at most. */
static uint32_t span_max(const struct synod_journal *journal, uint64_t place)
{
	const uint64_t left = journal->opened.log_end - place;
	const uint32_t span = synod_format_record_size(SYNOD_BATCH_SIZE_MAX);

	synod_assert_cmp(place, >=, journal->opened.log_begin);
	synod_assert_cmp(place, <, journal->opened.log_end);
	return left < span ? (uint32_t)left : span;
}

int synod_journal_read_sync(struct synod_journal *journal, uint64_t slot,
			    struct synod_journal_record *record)
{
	const uint64_t at = synod_index_offset(&journal->index, slot);
	const uint64_t place = synod_format_place(&journal->writer.plan.log, at);
	const uint8_t *bytes;
	int result;

	synod_assert(journal->inflight == 0 || journal->ring_enabled);
	synod_assert(record != NULL);
	memset(record, 0, sizeof(*record));
	if (!at)
		return -ENOENT;
	result = synod_uring_chunk(journal, place, span_max(journal, place), &bytes);
	if (result < 0)
		return result;
	return describe(journal, slot, bytes, span_max(journal, place), record);
}

int synod_uring_read_start(void *context, uint64_t slot, uint64_t cookie)
{
	struct synod_journal *journal = context;
	const uint64_t at = synod_index_offset(&journal->index, slot);
	uint64_t place;

	synod_assert_cmp(at, <, journal->writer.limit);
	synod_assert(!journal->read_only);
	if (journal->failed)
		return journal->failed;
	if (!at)
		return -ENOENT;
	if (at >= journal->writer.prefix.offset_durable)
		return -EAGAIN; /* still on its way */
	place = synod_format_place(&journal->writer.plan.log, at);
	if (!journal->ring_enabled && synod_uring_enable(journal) < 0)
		return journal->failed;
	return synod_uring_start_read(
		journal,
		&(struct synod_uring_read){ .slot = slot, .cookie = cookie, .place = place },
		span_max(journal, place));
}

int synod_uring_start_read(struct synod_journal *journal, const struct synod_uring_read *read,
			   uint32_t size)
{
	const uint64_t begin = read->place - read->place % SYNOD_BLOCK_SIZE;
	const uint32_t bytes = synod_format_blocks((uint32_t)(read->place - begin) + size);

	synod_assert(journal->ring_enabled);
	synod_assert_cmp(bytes, <=, (uint32_t)SYNOD_URING_READ_SIZE);
	for (uint32_t i = 0; i < SYNOD_URING_READS; i++) {
		if (journal->reads[i].used)
			continue;
		journal->reads[i] = *read;
		journal->reads[i].used = 1;
		synod_uring_prepare_read(journal, i, read_memory(journal, i), bytes, begin);
		return 0;
	}
	return -EAGAIN;
}

/* Bytes from its place on that a read must bring. */
static uint32_t span_of(const struct synod_journal *journal, const struct synod_uring_read *read)
{
	synod_assert(read->used);
	synod_assert_cmp(read->piece, <=, (uint32_t)SYNOD_JOURNAL_PIECE_MAX);
	return read->piece ? read->piece : span_max(journal, read->place);
}

void synod_uring_read_done(struct synod_journal *journal, uint32_t index, int result)
{
	struct synod_uring_read *read = &journal->reads[index];
	const uint32_t need = (uint32_t)(read->place % SYNOD_BLOCK_SIZE) + span_of(journal, read);

	synod_assert_cmp(index, <, (uint32_t)SYNOD_URING_READS);
	synod_assert(read->used && !read->done);
	read->done = 1;
	if (result < 0)
		read->error = result;
	else if ((uint32_t)result < need)
		read->error = -EIO; /* the file ends too early */
}

unsigned int synod_uring_read_poll(void *context, struct synod_journal_record *record)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(record != NULL);
	if (journal->read_shown >= 0) {
		journal->reads[journal->read_shown].used = 0;
		journal->read_shown = -1;
	}
	for (uint32_t i = 0; i < SYNOD_URING_READS; i++) {
		struct synod_uring_read *read = &journal->reads[i];

		if (!read->used || !read->done)
			continue;
		memset(record, 0, sizeof(*record));
		record->slot = read->slot;
		record->cookie = read->cookie;
		record->error = read->error;
		if (read->error == 0 && read->piece) {
			record->value.size = read->piece;
			record->body = read_memory(journal, i) + read->place % SYNOD_BLOCK_SIZE;
		} else if (read->error == 0)
			record->error =
				describe(journal, read->slot,
					 read_memory(journal, i) + read->place % SYNOD_BLOCK_SIZE,
					 span_max(journal, read->place), record);
		journal->read_shown = (int)i;
		return 1;
	}
	return 0;
}

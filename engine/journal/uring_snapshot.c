/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots: the port's verbs, and the blocking read at start. What is written when: writer.h. */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

uint64_t synod_uring_slot_first(void *context)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(journal->index.entries != NULL);
	return synod_index_first(&journal->index);
}

int synod_uring_snapshot_wanted(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(journal->failed <= 0);
	return !journal->failed && synod_writer_snapshot_wanted(&journal->writer);
}

int synod_uring_snapshot_write(void *context, uint64_t slot, const void *image, uint64_t size)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(image != NULL);
	if (journal->failed)
		return journal->failed;
	return synod_writer_snapshot(&journal->writer, slot, image, size);
}

int synod_uring_snapshot_write_foreign(void *context, uint64_t slot, const void *image,
				       uint64_t size)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(image != NULL);
	if (journal->failed)
		return journal->failed;
	return synod_writer_snapshot_foreign(&journal->writer, slot, image, size);
}

int synod_uring_snapshot_busy(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(journal->failed <= 0);
	return !journal->failed && synod_writer_snapshot_busy(&journal->writer);
}

void synod_uring_snapshot_partial(void *context, const struct synod_journal_snapshot *of,
				  const void *image, uint64_t received)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert_implies(of, of->slot != 0 && image != NULL);
	if (!of)
		synod_writer_partial_forget(&journal->writer);
	else
		synod_writer_partial(&journal->writer,
				     &(struct synod_fetch_image){ .slot = of->slot,
								  .total = of->size,
								  .checksum = of->checksum },
				     image, received);
}

struct synod_journal_snapshot synod_uring_snapshot(void *context)
{
	const struct synod_journal *journal = context;
	const struct synod_writer_snapshot *snapshot = &journal->writer.snapshot;

	synod_assert(!journal->read_only);
	synod_assert_implies(snapshot->slot_settled, snapshot->size_settled > 0);
	return (struct synod_journal_snapshot){
		.slot = snapshot->slot_settled,
		.size = snapshot->size_settled,
		.checksum = snapshot->checksum_settled,
	};
}

int synod_uring_snapshot_read(void *context, uint64_t slot, uint64_t offset, uint32_t size,
			      uint64_t cookie)
{
	struct synod_journal *journal = context;
	const struct synod_writer_snapshot *snapshot = &journal->writer.snapshot;

	synod_assert(!journal->read_only);
	synod_assert(size > 0 && size <= SYNOD_JOURNAL_PIECE_MAX);
	if (journal->failed)
		return journal->failed;
	if (slot == 0 || slot != snapshot->slot_settled || offset >= snapshot->size_settled ||
	    size > snapshot->size_settled - offset)
		return -ENOENT;
	if (!journal->ring_enabled && synod_uring_enable(journal) < 0)
		return journal->failed;
	return synod_uring_start_read(
		journal,
		&(struct synod_uring_read){ .slot = slot,
					    .cookie = cookie,
					    .place = snapshot->area_settled + offset,
					    .piece = size },
		size);
}

int synod_journal_read_snapshot(struct synod_journal *journal, void *image, char *error,
				size_t error_size)
{
	const struct synod_format_superblock *opened = &journal->opened;
	const uint64_t size = (opened->snapshot_size + SYNOD_BLOCK_SIZE - 1) / SYNOD_BLOCK_SIZE *
			      SYNOD_BLOCK_SIZE;
	int result;

	synod_assert(opened->snapshot_slot > 0);
	synod_assert(((uintptr_t)image & (SYNOD_BLOCK_SIZE - 1)) == 0);
	result = synod_uring_read_all(journal->fd, image, size, opened->snapshot_offset);
	if (result < 0)
		return synod_uring_say(error, error_size, result,
				       "%s: cannot read the snapshot of slot %" PRIu64
				       " at offset %" PRIu64 ": %s; nothing was changed; check "
				       "the device",
				       journal->path, opened->snapshot_slot,
				       opened->snapshot_offset, strerror(-result));
	if (synod_crc32c_more(0, image, opened->snapshot_size) == opened->snapshot_checksum)
		return 0;
	return synod_uring_say(error, error_size, -EBADMSG,
			       "%s: corrupt at offset %" PRIu64 ": the snapshot of slot %" PRIu64
			       " (%" PRIu64
			       " bytes) does not match its checksum. Nothing was changed. The "
			       "other replicas go on: `synod repair` rewrites it from theirs",
			       journal->path, opened->snapshot_offset, opened->snapshot_slot,
			       opened->snapshot_size);
}

int synod_journal_read_partial(struct synod_journal *journal, void *image)
{
	const struct synod_format_superblock *opened = &journal->opened;

	synod_assert(opened->partial_slot > 0);
	synod_assert(((uintptr_t)image & (SYNOD_BLOCK_SIZE - 1)) == 0);
	/* What cannot be read is received again, like what is not what it was. */
	if (synod_uring_read_all(journal->fd, image, opened->partial_received,
				 synod_format_area_free(opened)) < 0 ||
	    synod_crc32c_more(0, image, opened->partial_received) != opened->partial_crc)
		return 0;
	if (!journal->read_only)
		synod_writer_partial_found(&journal->writer, image);
	return 1;
}

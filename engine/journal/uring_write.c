/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The write verbs: facts go to the writer (writer.h), which says what is to be written when; the
 * ring carries it out.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <sys/uio.h>

static int give(struct synod_journal *journal, const struct synod_journal_write *write)
{
	const struct synod_wire_entry entry = {
		.slot = write->slot,
		.ballot = write->ballot,
		.size = write->value.size,
		.count = write->value.count,
		.crc = write->value.crc,
		.flags = write->chosen ? SYNOD_ENTRY_CHOSEN : 0,
	};
	int result;

	synod_assert(journal->failed == 0);
	synod_assert(write->ticket > 0);
	if (write->kind == SYNOD_WRITE_PROMISE)
		return synod_writer_promise(&journal->writer, write->ticket, write->ballot,
					    write->chosen_through);
	if (write->kind == SYNOD_WRITE_STANDING)
		return synod_writer_stand(&journal->writer, write->ticket, write->ballot,
					  write->chosen_through);
	result = synod_writer_record(&journal->writer, write->ticket, &entry, write->body,
				     write->chosen_through);
	if (result == 0 && journal->counters)
		synod_count(journal->counters, SYNOD_JOURNAL_RECORDS, 1);
	return result;
}

int synod_uring_write(void *context, const struct synod_journal_write *writes, unsigned int n)
{
	struct synod_journal *journal = context;
	unsigned int taken;

	synod_assert(!journal->read_only);
	if (journal->failed)
		return journal->failed;
	for (taken = 0; taken < n; taken++) {
		const int result = give(journal, &writes[taken]);

		if (result == -ENOSPC && taken == 0)
			return -ENOSPC;
		if (result < 0)
			break;
	}
	return (int)taken;
}

int synod_uring_start_writes(struct synod_journal *journal, uint64_t now_ns)
{
	struct synod_writer *writer = &journal->writer;
	int groups = 0;

	synod_assert(journal->failed == 0);
	synod_writer_advance(writer, now_ns);
	for (uint32_t i = 0; i < writer->ios_count; i++) {
		const struct synod_writer_io *io = &writer->ios[i];

		synod_uring_prepare_write(journal, io);
		if (io->kind != SYNOD_WRITER_GROUP)
			continue;
		groups++;
		journal->chunk_size = 0; /* read_sync's cache is older than this */
		if (journal->counters) {
			synod_count(journal->counters, SYNOD_JOURNAL_WRITES, 1);
			synod_count(journal->counters, SYNOD_JOURNAL_BYTES, io->size);
			synod_count(journal->counters, SYNOD_JOURNAL_DEPTH, journal->inflight);
		}
	}
	return groups;
}

static int write_pair_sync(struct synod_journal *journal, uint32_t pair)
{
	const struct iovec bytes = { &journal->writer.superblock.copy[2 * pair],
				     2 * SYNOD_BLOCK_SIZE };
	ssize_t n;

	synod_assert(journal->inflight == 0);
	synod_assert_cmp(pair, <, 2u);
	do {
		n = pwritev2(journal->fd, &bytes, 1, (off_t)(2 * pair) * SYNOD_BLOCK_SIZE,
			     RWF_DSYNC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	synod_assert_cmp((size_t)n, <=, bytes.iov_len);
	return (size_t)n == bytes.iov_len ? 0 : -EIO;
}

int synod_uring_begin_life(struct synod_journal *journal,
			   const struct synod_journal_recovery *recovery)
{
	uint32_t pair;
	int result;

	synod_assert(!journal->ring_made);
	synod_writer_begin_life(&journal->writer, recovery);
	pair = synod_superblock_pair(journal->writer.superblock.want.sequence);
	result = write_pair_sync(journal, pair);
	if (result == 0)
		result = write_pair_sync(journal, 1 - pair);
	if (result == 0)
		synod_writer_life_begun(&journal->writer);
	return result;
}

uint64_t synod_uring_used(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	return synod_uring_log_used(journal);
}

uint64_t synod_uring_room(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	return synod_writer_room(&journal->writer);
}

int synod_uring_ready(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(journal->failed <= 0);
	synod_assert(!journal->read_only);
	return !journal->failed && synod_writer_ready(&journal->writer);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The port: one turn of the journal, and the table of verbs. */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

int synod_uring_poll(void *context, uint64_t now_ns, uint64_t *ticket_durable)
{
	struct synod_journal *journal = context;
	int work;

	synod_assert(!journal->read_only && journal->ring_made);
	*ticket_durable = journal->writer.prefix.ticket_durable;
	if (journal->failed)
		return journal->failed;
	if (!journal->ring_enabled && synod_uring_enable(journal) < 0)
		return journal->failed;
	work = synod_uring_reap(journal);
	if (work < 0)
		return work;
	if (synod_uring_deadline_check(journal, now_ns) < 0)
		return journal->failed;
	work += synod_uring_start_writes(journal, now_ns);
	if (synod_uring_submit(journal) < 0)
		return journal->failed;
	synod_assert_cmp(journal->writer.prefix.ticket_durable, <=, journal->writer.ticket_given);
	*ticket_durable = journal->writer.prefix.ticket_durable;
	return work;
}

static int wait_fd(void *context)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	synod_assert(journal->ring_made);
	return synod_uring_event_fd(journal);
}

static uint64_t remember(void *context, uint32_t replica, uint64_t incarnation, uint64_t life)
{
	struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	return synod_writer_remember(&journal->writer, replica, incarnation, life);
}

static uint64_t remembered(void *context)
{
	const struct synod_journal *journal = context;

	synod_assert(!journal->read_only);
	return synod_writer_remembered(&journal->writer);
}

struct synod_journal_port synod_journal_port(struct synod_journal *journal)
{
	synod_assert(journal->fd >= 0);
	synod_assert(journal && !journal->read_only);
	return (struct synod_journal_port){
		.context = journal,
		.write = synod_uring_write,
		.poll = synod_uring_poll,
		.room = synod_uring_room,
		.used = synod_uring_used,
		.ready = synod_uring_ready,
		.slot_first = synod_uring_slot_first,
		.snapshot_wanted = synod_uring_snapshot_wanted,
		.snapshot_write = synod_uring_snapshot_write,
		.snapshot_write_foreign = synod_uring_snapshot_write_foreign,
		.snapshot_busy = synod_uring_snapshot_busy,
		.snapshot_partial = synod_uring_snapshot_partial,
		.snapshot = synod_uring_snapshot,
		.snapshot_read = synod_uring_snapshot_read,
		.read = synod_uring_read_start,
		.read_poll = synod_uring_read_poll,
		.remember = remember,
		.remembered = remembered,
		.wait_fd = wait_fd,
	};
}

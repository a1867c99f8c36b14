/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk that never answers: what was begun longer ago than the stated time ends the journal, with
 * file, offset and what it was. Without it the replica would keep its name in every quorum and
 * promise nothing. Looked at a few times in each such period, so a turn costs a comparison.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert((int)SYNOD_JOURNAL_BUFFERS <= (int)SYNOD_URING_KIND_MAX, "a place for each buffer");
_Static_assert((int)SYNOD_SUPERBLOCK_COPIES <= (int)SYNOD_URING_KIND_MAX, "for each copy");
_Static_assert((int)SYNOD_URING_READS <= (int)SYNOD_URING_KIND_MAX, "for each read");

void synod_uring_deadline_begin(struct synod_journal *journal, uint32_t kind, uint32_t index,
				uint64_t offset, uint32_t size)
{
	struct synod_uring_begun *begun;

	synod_assert_cmp(kind, <, (uint32_t)SYNOD_URING_KINDS);
	synod_assert_cmp(index, <, (uint32_t)SYNOD_URING_KIND_MAX);
	begun = &journal->begun[kind][index];
	synod_assert_cmp(begun->size, ==, 0u);
	*begun = (struct synod_uring_begun){ journal->now_ns, offset, size };
}

void synod_uring_deadline_end(struct synod_journal *journal, uint32_t kind, uint32_t index)
{
	synod_assert_cmp(kind, <, (uint32_t)SYNOD_URING_KINDS);
	synod_assert_cmp(index, <, (uint32_t)SYNOD_URING_KIND_MAX);
	journal->begun[kind][index].size = 0;
}

static int fail_late(struct synod_journal *journal, uint32_t kind,
		     const struct synod_uring_begun *begun)
{
	char what[96];

	synod_assert_cmp(begun->size, >, 0u);
	synod_assert_cmp(journal->timeout_ns, >, 0u);
	snprintf(what, sizeof(what), "no completion of a %s within %" PRIu64 " ms",
		 kind == SYNOD_URING_READ	   ? "read"
		 : kind == SYNOD_WRITER_SUPERBLOCK ? "superblock write"
						   : "write",
		 journal->timeout_ns / 1000000);
	return synod_uring_fail(journal, -ETIMEDOUT, what, begun->offset, begun->size);
}

/* Nobody looked for a while (a process stopped, a machine paused): that is not the disk's time. */
static void forgive(struct synod_journal *journal, uint64_t now_ns)
{
	synod_assert_cmp(now_ns, >, journal->now_ns);
	synod_assert_cmp(journal->timeout_ns, >, 0u);
	for (uint32_t kind = 0; kind < SYNOD_URING_KINDS; kind++)
		for (uint32_t i = 0; i < SYNOD_URING_KIND_MAX; i++)
			journal->begun[kind][i].ns = now_ns;
}

/* What is under way for too long, and its kind; NULL: nothing. */
static const struct synod_uring_begun *find_late(const struct synod_journal *journal,
						 uint64_t now_ns, uint32_t *kind)
{
	synod_assert_cmp(journal->timeout_ns, >, 0u);
	synod_assert(kind != NULL);
	for (*kind = 0; *kind < SYNOD_URING_KINDS; ++*kind)
		for (uint32_t i = 0; i < SYNOD_URING_KIND_MAX; i++) {
			const struct synod_uring_begun *begun = &journal->begun[*kind][i];

			if (begun->size && now_ns > begun->ns &&
			    now_ns - begun->ns >= journal->timeout_ns)
				return begun;
		}
	return NULL;
}

int synod_uring_deadline_check(struct synod_journal *journal, uint64_t now_ns)
{
	const struct synod_uring_begun *late;
	uint32_t kind;

	/* UINT64_MAX: closing, which waits no longer than a second a completion anyway. */
	if (!journal->timeout_ns || now_ns == UINT64_MAX)
		return 0;
	synod_assert(journal->failed == 0);
	synod_assert(!journal->read_only);
	if (now_ns > journal->now_ns && now_ns - journal->now_ns > journal->timeout_ns / 2)
		forgive(journal, now_ns);
	journal->now_ns = now_ns;
	if (now_ns < journal->deadline_check_ns)
		return 0;
	journal->deadline_check_ns = now_ns + journal->timeout_ns / 8;
	if (!find_late(journal, now_ns, &kind))
		return 0;
	/* Loops that only yield can keep the kernel's own threads from telling us: sleep once. */
	if (synod_uring_last_chance(journal) < 0)
		return journal->failed;
	late = find_late(journal, now_ns, &kind);
	return late ? fail_late(journal, kind, late) : 0;
}

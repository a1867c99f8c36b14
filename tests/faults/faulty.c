/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The faults of disks, for a synodd of tests: linked round the journal's port and round what is
 * submitted to the ring (--wrap, in synodd-faulty alone; the engine knows nothing of it). What goes
 * wrong is said by the file that SYNOD_FAULTS names, looked at every few milliseconds, one word a
 * line; no file: nothing.
 *
 *     delay MS      what is durable is told so much later; eight writes at once, as on a slow disk
 *     stuck         from now on, one write is taken and never answered
 *     fail          the next write fails with EIO
 *     short         the next write of more than a block is a block too short
 */
#include "engine/journal/uring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	HELD_MAX = 8,	  /* completions held back at once */
	LOOK_NS = 5000000 /* between two looks at the file */
};

struct synod_journal_port __real_synod_journal_port(struct synod_journal *journal);
struct synod_journal_port __wrap_synod_journal_port(struct synod_journal *journal);
int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);

static struct {
	struct synod_journal_port port; /* the real one */
	uint64_t looked_ns;
	uint64_t delay_ns;
	int stuck, fail, cut; /* still to be done */
	int said;	      /* the words were read: they are carried out once */
	uint64_t told;	      /* ticket that was told durable */
	uint64_t seen;	      /* and that is */
	struct {
		uint64_t ticket;
		uint64_t ns;
	} held[HELD_MAX];
	uint32_t held_count;
} faulty;

static void look(uint64_t now_ns)
{
	const char *path = getenv("SYNOD_FAULTS");
	char word[32];
	unsigned long number;
	FILE *file;

	if (!path || now_ns - faulty.looked_ns < LOOK_NS)
		return;
	faulty.looked_ns = now_ns;
	file = fopen(path, "re");
	if (!file) {
		faulty.delay_ns = 0;
		faulty.said = 0;
		return;
	}
	while (fscanf(file, "%31s", word) == 1) {
		if (!strcmp(word, "delay") && fscanf(file, "%lu", &number) == 1)
			faulty.delay_ns = number * 1000000ull;
		else if (!faulty.said && !strcmp(word, "stuck"))
			faulty.stuck = 1;
		else if (!faulty.said && !strcmp(word, "fail"))
			faulty.fail = 1;
		else if (!faulty.said && !strcmp(word, "short"))
			faulty.cut = 1;
	}
	faulty.said = 1;
	fclose(file);
}

static int is_write(const struct io_uring_sqe *sqe)
{
	return sqe->opcode == IORING_OP_WRITE_FIXED || sqe->opcode == IORING_OP_WRITE;
}

/* The same entry, of something that never comes. */
static void make_stuck(struct io_uring_sqe *sqe)
{
	const uint64_t data = sqe->user_data;
	static int never = -1;

	if (never < 0)
		never = eventfd(0, EFD_CLOEXEC);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = never;
	sqe->poll32_events = POLLIN;
	sqe->user_data = data;
	faulty.stuck = 0;
}

/* Linux 6.10 and later: a no-op that ends as it is told; earlier ones say EINVAL, an error too. */
static void make_fail(struct io_uring_sqe *sqe)
{
	const uint64_t data = sqe->user_data;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_NOP;
	sqe->rw_flags = 1; /* IORING_NOP_INJECT_RESULT */
	sqe->len = (uint32_t)-EIO;
	sqe->user_data = data;
	faulty.fail = 0;
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	for (unsigned int at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[at & (ring->sq.ring_entries - 1)];

		if (!is_write(sqe) || sqe->off < SYNOD_FORMAT_LOG_BEGIN)
			continue;
		if (faulty.stuck) {
			make_stuck(sqe);
		} else if (faulty.fail) {
			make_fail(sqe);
		} else if (faulty.cut && sqe->len > SYNOD_BLOCK_SIZE) {
			sqe->len -= SYNOD_BLOCK_SIZE;
			faulty.cut = 0;
		}
	}
	return __real_io_uring_submit_and_get_events(ring);
}

static void tell_due(uint64_t now_ns)
{
	uint32_t due = 0;

	while (due < faulty.held_count && now_ns - faulty.held[due].ns >= faulty.delay_ns)
		faulty.told = faulty.held[due++].ticket;
	faulty.held_count -= due;
	memmove(faulty.held, faulty.held + due, faulty.held_count * sizeof(faulty.held[0]));
}

static int poll_late(void *context, uint64_t now_ns, uint64_t *ticket_durable)
{
	int work = 0;

	look(now_ns);
	tell_due(now_ns);
	/* With as many under way as a disk takes, no other starts: groups fill, and room ends. */
	if (faulty.held_count < HELD_MAX) {
		uint64_t durable;

		work = faulty.port.poll(context, now_ns, &durable);
		if (work < 0)
			return work;
		if (durable > faulty.seen) {
			faulty.seen = durable;
			faulty.held[faulty.held_count].ticket = durable;
			faulty.held[faulty.held_count++].ns = now_ns;
		}
		tell_due(now_ns);
	}
	*ticket_durable = faulty.told;
	return work;
}

static int ready_late(void *context)
{
	return faulty.held_count < HELD_MAX && faulty.port.ready(context);
}

struct synod_journal_port __wrap_synod_journal_port(struct synod_journal *journal)
{
	struct synod_journal_port port = __real_synod_journal_port(journal);

	faulty.port = port;
	port.poll = poll_late;
	port.ready = ready_late;
	return port;
}

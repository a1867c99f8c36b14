/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A write that fails or comes back short stops the journal for ever, with its sentence. The fault
 * is put into the queue entry by a wrapper round the submission (--wrap, in this program alone).
 */
#include "tests/io/journal_fixture.h"

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>

static void (*spoil)(struct io_uring_sqe *sqe);
static unsigned int spoiled;

int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
	for (unsigned int at = ring->sq.sqe_head; spoil && at != ring->sq.sqe_tail; at++)
		spoil(&ring->sq.sqes[at & (ring->sq.ring_entries - 1)]);
	return __real_io_uring_submit_and_get_events(ring);
}

static void make_short(struct io_uring_sqe *sqe)
{
	if (sqe->len > SYNOD_BLOCK_SIZE && spoiled++ == 0)
		sqe->len -= SYNOD_BLOCK_SIZE;
}

/* EBADF: the table of registered files has one. */
static void make_fail(struct io_uring_sqe *sqe)
{
	if (spoiled++ == 0)
		sqe->fd = 1;
}

static void make_superblock_fail(struct io_uring_sqe *sqe)
{
	if (sqe->off < SYNOD_FORMAT_LOG_BEGIN && spoiled++ == 0)
		sqe->fd = 1;
}

static void make_read_fail(struct io_uring_sqe *sqe)
{
	if (sqe->opcode == IORING_OP_READ_FIXED || sqe->opcode == IORING_OP_READ)
		sqe->fd = 1;
}

static int never = -1; /* a descriptor that never becomes readable */

/* The disk takes it and never answers. */
static void make_stuck(struct io_uring_sqe *sqe)
{
	const uint64_t data = sqe->user_data;

	if (spoiled++ > 0)
		return;
	if (never < 0)
		never = eventfd(0, EFD_CLOEXEC);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = never;
	sqe->poll32_events = POLLIN;
	sqe->user_data = data;
}

/* Slot 1 durable; then what is spoiled; then nothing more, ever. */
static void fail_and_expect(struct fixture *fixture, void (*how)(struct io_uring_sqe *),
			    const char *text, int promise)
{
	struct synod_journal_write write = { .kind = SYNOD_WRITE_PROMISE, .ballot = 513 };
	int result = 0;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	spoiled = 0;
	spoil = how;
	for (uint64_t slot = 2; slot <= 12; slot++)
		fixture_write(fixture, slot, 257, 0);
	if (promise)
		fixture_give(fixture, &write);
	for (int i = 0; i < 100000000 && result >= 0; i++)
		result = fixture->port.poll(fixture->journal, 0, &fixture->durable);
	spoil = NULL;
	assert_true(result < 0);
	assert_true(fixture->durable >= 1 && fixture->durable < fixture->ticket);
	assert_non_null(strstr(synod_journal_error(fixture->journal), text));
	assert_non_null(strstr(synod_journal_error(fixture->journal), fixture->path));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(fixture->port.poll(fixture->journal, 0, &fixture->durable),
				 result);
	write.ticket = fixture->ticket + 1;
	assert_int_equal(fixture->port.write(fixture->journal, &write, 1), result);
	assert_int_equal(fixture->port.ready(fixture->journal), 0);
	print_message("%s\n", synod_journal_error(fixture->journal));
	fixture_close(fixture);
	fixture_open(fixture);
	assert_true(fixture->recovery.slot_last >= 1);
	assert_int_equal(fixture->recovery.faults, 0);
}

static void a_failed_write_stops_the_journal(void **state)
{
	fail_and_expect(*state, make_fail, "write failed at offset", 0);
}

static void a_short_write_stops_the_journal(void **state)
{
	fail_and_expect(*state, make_short, "short write at offset", 0);
}

static void a_failed_promise_stops_the_journal(void **state)
{
	fail_and_expect(*state, make_superblock_fail, "superblock write failed at offset", 1);
}

static void a_failed_read_is_told_and_the_journal_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_record record;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	for (int again = 0; again < 2; again++) {
		spoil = again ? NULL : make_read_fail;
		assert_int_equal(fixture->port.read(fixture->journal, 1, 5), 0);
		while (!fixture->port.read_poll(fixture->journal, &record))
			fixture_poll(fixture);
		assert_int_equal(record.cookie, 5);
		assert_int_equal(record.error, again ? 0 : -EBADF);
	}
	fixture_write(fixture, 2, 257, 0);
	fixture_wait(fixture);
}

enum {
	TIMEOUT_MS = 300,
	MS = 1000000
};

/* Slot 1 is durable, and the disk never answers for slot 2. Returns after some polls. */
static void get_stuck(struct fixture *fixture)
{
	fixture->timeout_ms = TIMEOUT_MS;
	fixture->now_ns = 1000 * (uint64_t)MS;
	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	spoiled = 0;
	spoil = make_stuck;
	fixture_write(fixture, 2, 257, 0);
	fixture_poll(fixture);
	spoil = NULL;
	/* Shorter than it may take: nothing happens, however often it is asked. */
	for (int i = 0; i < TIMEOUT_MS - 50; i += 10) {
		fixture->now_ns += 10 * (uint64_t)MS;
		fixture_poll(fixture);
	}
}

static void a_completion_that_never_comes_stops_the_journal(void **state)
{
	struct fixture *fixture = *state;
	int result = 0;
	int turns = 0;

	get_stuck(fixture);
	while (result >= 0 && turns++ < 20) {
		fixture->now_ns += 10 * (uint64_t)MS;
		result = fixture->port.poll(fixture->journal, fixture->now_ns, &fixture->durable);
	}
	assert_int_equal(result, -ETIMEDOUT);
	assert_in_range(turns, 5, 11); /* looked at every eighth of the time */
	assert_int_equal(fixture->durable, 1);
	print_message("%s\n", synod_journal_error(fixture->journal));
	assert_non_null(strstr(synod_journal_error(fixture->journal),
			       "no completion of a write within 300 ms at offset"));
	assert_non_null(strstr(synod_journal_error(fixture->journal), fixture->path));
	assert_int_equal(fixture->port.poll(fixture->journal, fixture->now_ns, &fixture->durable),
			 -ETIMEDOUT);
	fixture_close(fixture);
}

/* A process that was stopped finds its writes old, and done: the disk is not to blame. */
static void time_in_which_nobody_looked_is_not_the_disks(void **state)
{
	struct fixture *fixture = *state;

	get_stuck(fixture);
	fixture->now_ns += 3600 * 1000 * (uint64_t)MS;
	fixture_poll(fixture);
	for (int i = 0; i < TIMEOUT_MS - 50; i += 10) {
		fixture->now_ns += 10 * (uint64_t)MS;
		fixture_poll(fixture);
	}
	fixture_write(fixture, 3, 257, 0);
	fixture_close(fixture);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_write_stops_the_journal),
		TEST(a_short_write_stops_the_journal),
		TEST(a_failed_promise_stops_the_journal),
		TEST(a_failed_read_is_told_and_the_journal_goes_on),
		TEST(a_completion_that_never_comes_stops_the_journal),
		TEST(time_in_which_nobody_looked_is_not_the_disks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

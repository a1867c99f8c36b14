/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kill -9 of a writer, again and again: whatever it was told is durable is found by the next one.
 * The writer says so through a pipe, which outlives it.
 */
#include "tests/io/journal_fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum {
	KILLS = 20,
	JOURNAL_SIZE = 256 << 20
};

struct told {
	uint64_t slot;	  /* durable through this slot */
	uint64_t promise; /* and this promise */
};

/* Records, and a promise after every hundredth; in the child, until it is killed. */
static void write_until_killed(struct fixture *fixture, int pipe_fd)
{
	uint64_t promise_tickets[4096];
	struct told told = { 0, 0 };
	uint64_t slot;
	uint64_t base;

	fixture_open(fixture);
	base = fixture->recovery.slot_last;
	slot = base;
	told.slot = base;
	told.promise = fixture->recovery.promised;
	if (write(pipe_fd, &told, sizeof(told)) != sizeof(told))
		abort();
	for (uint64_t turn = 1;; turn++) {
		const uint64_t durable_before = fixture->durable;

		if (turn % 101 == 0 && turn / 101 < 4096) {
			struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE };

			promise.ballot = fixture->recovery.promised + (turn / 101 << 8);
			fixture_give(fixture, &promise);
			promise_tickets[turn / 101] = fixture->ticket;
		} else if (fixture_write(fixture, slot + 1, 257, 0) == 0) {
			slot++;
		} else {
			fixture_wait(fixture);
			pause();
		}
		if (turn % 3 == 0)
			fixture_poll(fixture);
		if (fixture->durable == durable_before)
			continue;
		/* Of the tickets up to durable every 101st was a promise. */
		told.slot = base + fixture->durable - fixture->durable / 101;
		if (fixture->durable / 101)
			told.promise = fixture->recovery.promised + (fixture->durable / 101 << 8);
		if (fixture->durable / 101 &&
		    promise_tickets[fixture->durable / 101] > fixture->durable)
			abort();
		if (write(pipe_fd, &told, sizeof(told)) != sizeof(told))
			abort();
	}
}

static struct told last_told(int pipe_fd)
{
	struct told told = { 0, 0 };
	struct told next;

	while (read(pipe_fd, &next, sizeof(next)) == sizeof(next))
		told = next;
	return told;
}

static void what_a_killed_writer_was_told_is_found(void **state)
{
	struct fixture *fixture = *state;
	uint64_t seed = (uint64_t)getpid();
	uint64_t told_sum = 0;
	uint64_t torn = 0;

	fixture_format(fixture, JOURNAL_SIZE);
	for (int kill_number = 0; kill_number < KILLS; kill_number++) {
		struct timespec life = { .tv_nsec = (long)synod_random_below(&seed, 60000000) };
		struct pollfd first = { .events = POLLIN };
		struct told told;
		uint64_t from;
		int fds[2];
		pid_t child;

		assert_int_equal(pipe(fds), 0);
		assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20) > 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			close(fds[0]);
			write_until_killed(fixture, fds[1]);
		}
		close(fds[1]);
		/* From the first word on, or else a busy machine kills before anything happens. */
		first.fd = fds[0];
		assert_int_equal(poll(&first, 1, 30000), 1);
		nanosleep(&life, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		told = last_told(fds[0]);
		close(fds[0]);
		fixture_open(fixture);
		assert_int_equal(fixture->recovery.faults, 0);
		assert_true(fixture->recovery.slot_last >= told.slot);
		assert_true(fixture->recovery.promised >= told.promise);
		/* The scan has checked every byte; values are compared near the end, where they
		 * are new, and all of them the last time. */
		from = kill_number + 1 < KILLS && told.slot > 3000 ? told.slot - 3000 : 1;
		for (uint64_t slot = from; slot <= told.slot; slot++)
			fixture_check(fixture, slot, 257);
		told_sum += told.slot;
		torn += fixture->recovery.torn.reason != SYNOD_SCAN_FINE;
		fixture_close(fixture);
	}
	assert_true(told_sum > 0);
	print_message("%d kills, last at slot %llu, %llu torn tails dropped\n", KILLS,
		      (unsigned long long)fixture->recovery.slot_last, (unsigned long long)torn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_a_killed_writer_was_told_is_found,
						fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

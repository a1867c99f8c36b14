/* SPDX-License-Identifier: BSD-3-Clause */
/* The journal on a real file: what is durable comes back, in every way it can be asked for. */
#include "tests/io/journal_fixture.h"

#include <poll.h>

static void records_come_back_after_reopen(void **state)
{
	struct fixture *fixture = *state;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 0);
	assert_int_equal(fixture->recovery.promised, 0);
	for (uint64_t slot = 1; slot <= 200; slot++)
		assert_int_equal(fixture_write(fixture, slot, 257, 0), 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 200);
	assert_int_equal(fixture->recovery.ballot_max, 257);
	assert_int_equal(fixture->recovery.records, 200);
	assert_int_equal(fixture->recovery.torn.reason, SYNOD_SCAN_FINE);
	for (uint64_t slot = 1; slot <= 200; slot++)
		fixture_check(fixture, slot, 257);
}

static void the_record_that_counts_is_chosen_then_highest_then_latest(void **state)
{
	struct fixture *fixture = *state;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_write(fixture, 1, 257, 0);
	fixture_write(fixture, 1, 513, 0);
	fixture_write(fixture, 2, 513, 0);
	fixture_write(fixture, 2, 258, 1); /* chosen at an older ballot, learned later */
	fixture_write(fixture, 3, 258, 1);
	fixture_write(fixture, 3, 769, 0);
	fixture_write(fixture, 4, 513, 0);
	fixture_write(fixture, 4, 513, 1);
	fixture_wait(fixture);
	for (int again = 0; again < 2; again++) {
		fixture_check(fixture, 1, 513);
		fixture_check(fixture, 2, 258);
		fixture_check(fixture, 3, 258);
		fixture_check(fixture, 4, 513);
		fixture_close(fixture);
		fixture_open(fixture);
	}
}

static void promises_survive_and_keep_their_place_among_tickets(void **state)
{
	struct fixture *fixture = *state;
	uint64_t slot = 0;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	for (uint64_t round = 1; round <= 40; round++) {
		struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE,
						       .ballot = round << 8 | 2 };

		fixture_write(fixture, ++slot, (round - 1) << 8 | 1, 0);
		fixture_give(fixture, &promise);
		fixture_write(fixture, ++slot, round << 8 | 2, 0);
		if (round % 5 == 0)
			fixture_wait(fixture);
	}
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.promised, 40 << 8 | 2);
	assert_int_equal(fixture->recovery.slot_last, 80);
}

static void a_promise_alone_survives(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = 1025 };

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_give(fixture, &promise);
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.promised, 1025);
}

static void chosen_through_is_remembered(void **state)
{
	struct fixture *fixture = *state;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	for (uint64_t slot = 1; slot <= 50; slot++) {
		uint8_t body[SYNOD_BATCH_SIZE_MAX];
		struct synod_journal_write write = fixture_record(slot, 257, 0, body);

		write.chosen_through = slot - 1;
		fixture_give(fixture, &write);
	}
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.chosen_through, 49);
}

static void the_ring_reads_back_while_it_writes(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_record record;
	uint8_t body[SYNOD_BATCH_SIZE_MAX];
	uint64_t asked = 0;
	uint64_t answered = 0;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	assert_int_equal(fixture->port.read(fixture->journal, 1, 0), -ENOENT);
	for (uint64_t slot = 1; slot <= 100; slot++)
		fixture_write(fixture, slot, 257, 0);
	assert_int_equal(fixture->port.read(fixture->journal, 100, 0), -EAGAIN);
	fixture_wait(fixture);
	while (answered < 100) {
		while (asked < 100 &&
		       fixture->port.read(fixture->journal, asked + 1, asked + 1001) == 0)
			asked++;
		if (asked % 10 == 0)
			fixture_write(fixture, 101 + asked / 10, 257, 0);
		fixture_poll(fixture);
		while (fixture->port.read_poll(fixture->journal, &record)) {
			assert_int_equal(record.error, 0);
			assert_int_equal(record.cookie, record.slot + 1000);
			assert_int_equal(record.value.size, fixture_body(record.slot, 257, body));
			assert_memory_equal(record.body, body, record.value.size);
			answered++;
		}
	}
}

static void a_full_journal_says_so_and_loses_nothing(void **state)
{
	struct fixture *fixture = *state;
	uint64_t slot = 0;
	uint64_t promised_room;

	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	promised_room = fixture->port.room(fixture->journal) / SYNOD_BATCH_SIZE_MAX;
	assert_true(promised_room > 50);
	while (fixture_write(fixture, slot + 1, 257, 0) == 0)
		slot++;
	assert_true(slot >= promised_room);
	assert_int_equal(fixture->port.room(fixture->journal), 0);
	fixture_wait(fixture);
	assert_int_equal(fixture_write(fixture, slot + 1, 257, 0), -ENOSPC);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, slot);
	assert_int_equal(fixture_write(fixture, slot + 1, 257, 0), -ENOSPC);
	for (uint64_t at = 1; at <= slot; at++)
		fixture_check(fixture, at, 257);
}

static void room_is_kept_for_the_worst_case(void **state)
{
	struct fixture *fixture = *state;
	uint64_t slot = 0;
	uint64_t left;

	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	left = fixture->port.room(fixture->journal) / SYNOD_BATCH_SIZE_MAX;
	while (left > 0) {
		/* Each durable before the next: a group of its own, the worst packing. */
		assert_int_equal(fixture_write(fixture, ++slot, 257, 0), 0);
		fixture_wait(fixture);
		assert_true(fixture->port.room(fixture->journal) / SYNOD_BATCH_SIZE_MAX >=
			    left - 1);
		left--;
	}
}

static int count_group(void *context, const struct synod_format_group *group)
{
	uint64_t *counts = context;

	counts[0]++;
	counts[1] += group->records == 0;
	return 0;
}

static void a_marker_follows_when_the_log_goes_quiet(void **state)
{
	struct fixture *fixture = *state;
	uint64_t counts[2] = { 0, 0 };
	const struct synod_journal_visitor visitor = { .context = counts, .group = count_group };

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture->now_ns = 1000;
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	for (int i = 0; i < 1000; i++)
		fixture_poll(fixture);
	assert_int_equal(synod_journal_walk(fixture->journal, &visitor), 0);
	assert_int_equal(counts[1], 0);
	fixture->now_ns += 60 * 1000 * 1000;
	for (int i = 0; i < 1000 && counts[1] == 0; i++) {
		fixture_poll(fixture);
		usleep(1000);
		memset(counts, 0, sizeof(counts));
		assert_int_equal(synod_journal_walk(fixture->journal, &visitor), 0);
	}
	assert_int_equal(counts[0], 2);
	assert_int_equal(counts[1], 1);
	/* And no second one. */
	fixture->now_ns += 600 * 1000 * 1000;
	for (int i = 0; i < 1000; i++)
		fixture_poll(fixture);
	memset(counts, 0, sizeof(counts));
	assert_int_equal(synod_journal_walk(fixture->journal, &visitor), 0);
	assert_int_equal(counts[0], 2);
}

static void many_lives_follow_each_other(void **state)
{
	struct fixture *fixture = *state;

	fixture_format(fixture, FIXTURE_SIZE);
	for (uint64_t life = 1; life <= 20; life++) {
		fixture_open(fixture);
		assert_int_equal(fixture->recovery.slot_last, (life - 1) * 3);
		assert_int_equal(fixture->recovery.life, life - 1);
		for (uint64_t slot = life * 3 - 2; slot <= life * 3; slot++)
			fixture_write(fixture, slot, 257, 0);
		fixture_wait(fixture);
		fixture_close(fixture);
	}
}

static void what_is_counted_is_what_was_written(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_status status;
	char text[SYNOD_DEVICE_TEXT_SIZE];

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	for (uint64_t slot = 1; slot <= 30; slot++)
		fixture_write(fixture, slot, 257, 0);
	fixture_wait(fixture);
	synod_journal_status(fixture->journal, &status);
	assert_int_equal(synod_counter_read(&fixture->counters, SYNOD_JOURNAL_RECORDS), 30);
	assert_int_equal(synod_counter_read(&fixture->counters, SYNOD_JOURNAL_BYTES),
			 status.bytes_used);
	assert_true(synod_counter_read(&fixture->counters, SYNOD_JOURNAL_WRITES) >= 1);
	synod_journal_device_text(synod_journal_device(fixture->journal), text, sizeof(text));
	print_message("%s\n", text);
	print_message("durability %d, registered buffers %u, file %u, deferred task run %u\n",
		      synod_journal_durability(fixture->journal), status.registered_buffers,
		      status.registered_file, status.defer_taskrun);
}

/* Who sleeps is woken by the write, and by a fence or a promise on the way to it. */
static void the_descriptor_is_readable_when_a_write_is_done(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = 257 };
	struct pollfd ready = { .events = POLLIN };

	fixture_format(fixture, (uint64_t)50 << 20);
	fixture_open(fixture);
	ready.fd = fixture->port.wait_fd(fixture->journal);
	if (fixture->flags & SYNOD_JOURNAL_POLL) { /* nothing comes of itself */
		assert_int_equal(ready.fd, -1);
		return;
	}
	assert_true(ready.fd >= 0);
	for (uint64_t slot = 1; slot <= 9000; slot++) {
		fixture_write(fixture, slot, 257, 0);
		if (slot % 100 == 0)
			fixture_give(fixture, &promise);
		fixture_poll(fixture);
		while (slot % 50 == 0 && fixture->durable < fixture->ticket) {
			assert_int_equal(poll(&ready, 1, 2000), 1);
			fixture_poll(fixture);
		}
	}
}

static void a_reader_is_told_that_somebody_writes(void **state)
{
	struct fixture *fixture = *state;
	struct fixture reader;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	reader = *fixture;
	reader.journal = NULL;
	assert_int_equal(fixture_try_open(&reader, SYNOD_JOURNAL_READ_ONLY), 0);
	assert_int_equal(reader.recovery.locked, 1);
	assert_int_equal(reader.recovery.slot_last, 1);
	fixture_check(&reader, 1, 257);
	fixture_close(&reader);
	fixture_close(fixture);
	assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_READ_ONLY), 0);
	assert_int_equal(fixture->recovery.locked, 0);
}

/* More than one fence step: the superblock moves ahead of the tail, and reopening finds all. */
static void the_fence_moves_ahead_of_the_tail(void **state)
{
	struct fixture *fixture = *state;
	uint64_t slot;

	fixture_format(fixture, (uint64_t)100 << 20);
	fixture_open(fixture);
	for (slot = 1; slot <= 15000; slot++)
		assert_int_equal(fixture_write(fixture, slot, 257, 0), 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 15000);
	assert_true(fixture->recovery.offset_tail > 2 * SYNOD_FORMAT_FENCE_STEP);
	for (slot = 1; slot <= 15000; slot++)
		fixture_check(fixture, slot, 257);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_come_back_after_reopen),
		TEST(the_record_that_counts_is_chosen_then_highest_then_latest),
		TEST(promises_survive_and_keep_their_place_among_tickets),
		TEST(a_promise_alone_survives),
		TEST(chosen_through_is_remembered),
		TEST(the_ring_reads_back_while_it_writes),
		TEST(a_full_journal_says_so_and_loses_nothing),
		TEST(room_is_kept_for_the_worst_case),
		TEST(a_marker_follows_when_the_log_goes_quiet),
		TEST(many_lives_follow_each_other),
		TEST(what_is_counted_is_what_was_written),
		TEST(the_descriptor_is_readable_when_a_write_is_done),
		TEST(a_reader_is_told_that_somebody_writes),
		TEST(the_fence_moves_ahead_of_the_tail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading at start: in order, several pieces at once; any order; with the ring and without; and a
 * disk that cannot read a place. The fault is put round the two ways of reading (--wrap, in this
 * program alone).
 */
#include "tests/io/journal_fixture.h"

#include "engine/journal/uring_internal.h"

enum {
	SLOTS = 3000
};

static uint64_t bad_offset; /* 0: none */

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_synod_uring_read_all(int fd, void *bytes, size_t size, uint64_t offset);
int __wrap_synod_uring_read_all(int fd, void *bytes, size_t size, uint64_t offset);

static int is_bad(uint64_t offset, uint64_t size)
{
	return bad_offset && offset <= bad_offset && bad_offset < offset + size;
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	for (unsigned int at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[at & (ring->sq.ring_entries - 1)];

		if (sqe->opcode == IORING_OP_READ && is_bad(sqe->off, sqe->len))
			sqe->fd = -1;
	}
	return __real_io_uring_submit(ring);
}

int __wrap_synod_uring_read_all(int fd, void *bytes, size_t size, uint64_t offset)
{
	return is_bad(offset, size) ? -EIO : __real_synod_uring_read_all(fd, bytes, size, offset);
}

/* About 13 MiB: many pieces, whose places are used again and again. */
static void make(struct fixture *fixture)
{
	fixture_format(fixture, 32 << 20);
	fixture_open(fixture);
	for (uint64_t slot = 1; slot <= SLOTS; slot++)
		fixture_write(fixture, slot, 257, 0);
	fixture_wait(fixture);
	fixture_close(fixture);
}

static void read_all_ways(struct fixture *fixture)
{
	uint64_t seed = 3;

	for (uint64_t slot = 1; slot <= SLOTS; slot++)
		fixture_check(fixture, slot, 257);
	for (uint64_t slot = SLOTS; slot > 0; slot -= 7 < slot ? 7 : slot)
		fixture_check(fixture, slot, 257);
	for (int i = 0; i < 300; i++)
		fixture_check(fixture, 1 + synod_random_below(&seed, SLOTS), 257);
	/* Onwards in leaps, short and long. */
	for (int round = 0; round < 20; round++)
		for (uint64_t slot = 1; slot <= SLOTS; slot += 1 + synod_random_below(&seed, 600))
			fixture_check(fixture, slot, 257);
}

static void slots_are_read_in_any_order(void **state)
{
	struct fixture *fixture = *state;

	make(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, SLOTS);
	read_all_ways(fixture);
	fixture_close(fixture);
	assert_int_equal(fixture_try_open(fixture, SYNOD_JOURNAL_NO_URING), 0);
	assert_int_equal(fixture->recovery.slot_last, SLOTS);
	read_all_ways(fixture);
}

static void a_place_that_cannot_be_read_is_named_and_nothing_changed(void **state)
{
	struct fixture *fixture = *state;

	make(fixture);
	for (int ring = 0; ring < 2; ring++)
		for (uint64_t at = SYNOD_FORMAT_LOG_BEGIN; at < 12u << 20; at += 1234567) {
			int result;

			bad_offset = at;
			result = fixture_try_open(fixture, ring ? 0 : SYNOD_JOURNAL_NO_URING);
			bad_offset = 0;
			assert_int_equal(result, -EIO);
			assert_non_null(strstr(fixture->error, "cannot read at offset"));
			assert_non_null(strstr(fixture->error, "nothing was changed"));
		}
	print_message("%s\n", fixture->error);
	/* The superblock. */
	bad_offset = 1;
	assert_int_equal(fixture_try_open(fixture, 0), -EIO);
	assert_non_null(strstr(fixture->error, "cannot read the superblock"));
	bad_offset = 0;
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, SLOTS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slots_are_read_in_any_order),
		TEST(a_place_that_cannot_be_read_is_named_and_nothing_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of real journal files share: a directory of their own, values made from (slot,
 * ballot) so that what is read back can be judged, and a writer that waits for tickets.
 */
#ifndef SYNOD_TESTS_IO_JOURNAL_FIXTURE_H
#define SYNOD_TESTS_IO_JOURNAL_FIXTURE_H

#include "engine/base/crc32c.h"
#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/journal/uring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	FIXTURE_SIZE = 4 << 20
};

static const struct synod_journal_identity fixture_identity = {
	.cluster = 77, .incarnation = 3, .replica = 2, .replicas = 3
};

struct fixture {
	char directory[200];
	char path[240];
	char error[512];
	struct synod_journal *journal;
	struct synod_journal_port port;
	struct synod_journal_recovery recovery;
	struct synod_counters counters;
	uint64_t ticket;
	uint64_t durable;
	uint64_t now_ns;
	int device;	      /* of the environment, not a file of this fixture's */
	unsigned int flags;   /* for open, besides those that a test gives */
	uint32_t timeout_ms;  /* for open */
	uint64_t memory_size; /* for open: no file */
};

/* SYNOD_TEST_DEVICE: a device that is written over; SYNOD_TEST_POLL: completions are polled for. */
static inline void fixture_take_device(struct fixture *fixture)
{
	const char *device = getenv("SYNOD_TEST_DEVICE");

	if (getenv("SYNOD_TEST_POLL"))
		fixture->flags = SYNOD_JOURNAL_POLL;
	if (device) {
		fixture->device = 1;
		snprintf(fixture->path, sizeof(fixture->path), "%s", device);
	}
}

/* Where its bytes can be read and spoilt: its path, or a namespace's block node. */
static inline const char *fixture_bytes(const struct fixture *fixture)
{
	static char node[sizeof(fixture->path) + 8];

	if (strncmp(fixture->path, "/dev/ng", 7) != 0)
		return fixture->path;
	snprintf(node, sizeof(node), "/dev/nvme%s", fixture->path + 7);
	return node;
}

static inline int fixture_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *base = getenv("TMPDIR");

	assert_non_null(fixture);
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/synod-io-XXXXXX",
		 base && *base ? base : ".");
	if (!mkdtemp(fixture->directory))
		fail_msg("cannot make %s", fixture->directory);
	snprintf(fixture->path, sizeof(fixture->path), "%s/journal", fixture->directory);
	fixture_take_device(fixture);
	*state = fixture;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *fixture = *state;

	synod_journal_close(fixture->journal);
	if (!fixture->device)
		unlink(fixture->path);
	rmdir(fixture->directory);
	free(fixture);
	return 0;
}

static inline void fixture_format(struct fixture *fixture, uint64_t size)
{
	const int result = synod_journal_format(
		fixture->path, &fixture_identity, &(struct synod_journal_extent){ .size = size },
		fixture->device ? SYNOD_JOURNAL_FORCE : 0, fixture->error, sizeof(fixture->error));

	if (result != 0)
		fail_msg("format: %d: %s", result, fixture->error);
}

static inline int fixture_try_open(struct fixture *fixture, unsigned int flags)
{
	const struct synod_journal_options options = {
		.path = fixture->path,
		.expect = &fixture_identity,
		.flags = flags | fixture->flags,
		.counters = &fixture->counters,
		.timeout_ms = fixture->timeout_ms,
		.memory = { .size = fixture->memory_size },
	};
	int result;

	assert_null(fixture->journal);
	result = synod_journal_open(&fixture->journal, &options, &fixture->recovery, fixture->error,
				    sizeof(fixture->error));
	if (result == 0 && !(flags & SYNOD_JOURNAL_READ_ONLY))
		fixture->port = synod_journal_port(fixture->journal);
	fixture->ticket = 0;
	fixture->durable = 0;
	return result;
}

static inline void fixture_open(struct fixture *fixture)
{
	const int result = fixture_try_open(fixture, 0);

	if (result != 0)
		fail_msg("open: %d: %s", result, fixture->error);
}

static inline void fixture_close(struct fixture *fixture)
{
	synod_journal_close(fixture->journal);
	fixture->journal = NULL;
}

/* The value of (slot, ballot): its size and bytes follow from both. */
static inline uint32_t fixture_body(uint64_t slot, uint64_t ballot, uint8_t *body)
{
	uint64_t seed = slot * 1000003 + ballot;
	const uint32_t size = (uint32_t)synod_random_below(&seed, SYNOD_BATCH_SIZE_MAX / 8 + 1) * 8;

	for (uint32_t at = 0; at < size; at += 8) {
		const uint64_t word = synod_random_next(&seed);

		memcpy(body + at, &word, 8);
	}
	return size;
}

static inline struct synod_journal_write fixture_record(uint64_t slot, uint64_t ballot,
							uint32_t chosen, uint8_t *body)
{
	struct synod_journal_write write = {
		.kind = SYNOD_WRITE_RECORD, .slot = slot, .ballot = ballot, .chosen = chosen
	};

	write.value.size = fixture_body(slot, ballot, body);
	write.value.count = write.value.size / 24;
	write.value.crc = synod_crc32c(body, write.value.size);
	write.body = body;
	return write;
}

static inline void fixture_poll(struct fixture *fixture)
{
	const int result = fixture->port.poll(fixture->journal, fixture->now_ns, &fixture->durable);

	if (result < 0)
		fail_msg("poll: %d: %s", result, synod_journal_error(fixture->journal));
}

/* Gives one write, polling until it is taken. Returns 0, or -ENOSPC. */
static inline int fixture_give(struct fixture *fixture, struct synod_journal_write *write)
{
	for (;;) {
		int result;

		write->ticket = fixture->ticket + 1;
		result = fixture->port.write(fixture->journal, write, 1);
		if (result == 1) {
			fixture->ticket++;
			return 0;
		}
		if (result == -ENOSPC)
			return result;
		if (result < 0)
			fail_msg("write: %d: %s", result, synod_journal_error(fixture->journal));
		fixture_poll(fixture);
	}
}

static inline int fixture_write(struct fixture *fixture, uint64_t slot, uint64_t ballot,
				uint32_t chosen)
{
	uint8_t body[SYNOD_BATCH_SIZE_MAX];
	struct synod_journal_write write = fixture_record(slot, ballot, chosen, body);

	return fixture_give(fixture, &write);
}

static inline void fixture_wait(struct fixture *fixture)
{
	while (fixture->durable < fixture->ticket)
		fixture_poll(fixture);
}

/* The record that counts for a slot is that of the ballot. */
static inline void fixture_check(struct fixture *fixture, uint64_t slot, uint64_t ballot)
{
	uint8_t body[SYNOD_BATCH_SIZE_MAX];
	struct synod_journal_record record;
	uint32_t size;
	const int result = synod_journal_read_sync(fixture->journal, slot, &record);

	if (result != 0)
		fail_msg("read of slot %llu: %d", (unsigned long long)slot, result);
	size = fixture_body(slot, ballot, body);
	assert_int_equal(record.ballot, ballot);
	assert_int_equal(record.value.size, size);
	assert_memory_equal(record.body, body, size);
}

/* A byte of the closed file is not what it was. */
static inline void fixture_flip(struct fixture *fixture, uint64_t offset)
{
	const int fd = open(fixture_bytes(fixture), O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	byte ^= 0x20;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

static inline void fixture_zero(struct fixture *fixture, uint64_t offset, size_t size)
{
	const int fd = open(fixture_bytes(fixture), O_RDWR);
	uint8_t *bytes = calloc(1, size);

	assert_true(fd >= 0 && bytes);
	assert_int_equal(pwrite(fd, bytes, size, (off_t)offset), size);
	free(bytes);
	close(fd);
}

#endif

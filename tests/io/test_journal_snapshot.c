/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots and the ring on a real file, by io_uring. */
#include "tests/io/journal_fixture.h"

enum {
	AREA_SIZE = 1 << 20,
	LOG_SIZE = 2 << 20,
	BALLOT = 257
};

static void format_with_areas(struct fixture *fixture, uint64_t area_size)
{
	const struct synod_journal_extent extent = { .size = LOG_SIZE + SYNOD_FORMAT_AREAS_BEGIN,
						     .area_size = area_size };

	if (synod_journal_format(fixture->path, &fixture_identity, &extent,
				 fixture->device ? SYNOD_JOURNAL_FORCE : 0, fixture->error,
				 sizeof(fixture->error)))
		fail_msg("format: %s", fixture->error);
}

static void format_ring(struct fixture *fixture)
{
	format_with_areas(fixture, AREA_SIZE);
}

static uint8_t *image_of(uint64_t slot, uint64_t *size)
{
	uint64_t seed = slot;
	uint8_t *image = aligned_alloc(SYNOD_BLOCK_SIZE, AREA_SIZE);

	assert_non_null(image);
	*size = 8 + synod_random_below(&seed, AREA_SIZE / 8) * 8;
	for (uint64_t at = 0; at < *size; at += 8) {
		const uint64_t word = synod_random_next(&seed);

		memcpy(image + at, &word, 8);
	}
	return image;
}

static uint8_t *maybe_snapshot(struct fixture *fixture, uint64_t slot, uint8_t *image)
{
	const struct synod_journal_port *port = &fixture->port;
	uint64_t size;

	if (port->snapshot_busy(fixture->journal) || !port->snapshot_wanted(fixture->journal))
		return image;
	free(image);
	image = image_of(slot, &size);
	assert_int_equal(port->snapshot_write(fixture->journal, slot, image, size), 0);
	assert_int_equal(port->snapshot_write(fixture->journal, slot, image, size), -EBUSY);
	return image;
}

/* Chosen slots from first to last, a snapshot whenever one is wanted: also while it is full. */
static void fill(struct fixture *fixture, uint64_t first, uint64_t last)
{
	const struct synod_journal_port *port = &fixture->port;
	uint8_t body[SYNOD_BATCH_SIZE_MAX];
	uint8_t *image = NULL;

	for (uint64_t slot = first; slot <= last; slot++) {
		struct synod_journal_write write = fixture_record(slot, BALLOT, 1, body);

		write.chosen_through = slot - 1;
		while (fixture_give(fixture, &write) == -ENOSPC) {
			fixture_poll(fixture); /* until the snapshot is done */
			image = maybe_snapshot(fixture, slot - 1, image);
		}
		image = maybe_snapshot(fixture, slot, image);
	}
	while (port->snapshot_busy(fixture->journal) || fixture->durable < fixture->ticket)
		fixture_poll(fixture);
	free(image);
}

static void a_log_of_many_turns_keeps_snapshot_and_suffix(void **state)
{
	struct fixture *fixture = *state;
	uint64_t last = 0;

	format_ring(fixture);
	for (int life = 0; life < 4; life++) {
		struct synod_journal_snapshot snapshot;
		uint8_t *image, *found;
		uint64_t size;

		fixture_open(fixture);
		fill(fixture, last + 1, last + 3000);
		last += 3000;
		snapshot = fixture->port.snapshot(fixture->journal);
		assert_true(snapshot.slot > last - 1000);
		assert_true(fixture->port.slot_first(fixture->journal) <= snapshot.slot + 1);
		assert_true(fixture->port.slot_first(fixture->journal) > 1);
		fixture_close(fixture);

		fixture_open(fixture);
		assert_int_equal(fixture->recovery.snapshot_slot, snapshot.slot);
		assert_int_equal(fixture->recovery.slot_last, last);
		assert_int_equal(fixture->recovery.torn.reason, SYNOD_SCAN_FINE);
		for (uint64_t slot = snapshot.slot + 1; slot <= last; slot++)
			fixture_check(fixture, slot, BALLOT);
		image = image_of(snapshot.slot, &size);
		found = aligned_alloc(SYNOD_BLOCK_SIZE, AREA_SIZE);
		assert_int_equal(snapshot.size, size);
		assert_int_equal(synod_journal_read_snapshot(fixture->journal, found,
							     fixture->error,
							     sizeof(fixture->error)),
				 0);
		assert_memory_equal(found, image, size);
		assert_int_equal(snapshot.checksum, synod_crc32c(image, size));
		free(found);
		free(image);
		fixture_close(fixture);
	}
}

static void a_snapshot_is_read_in_pieces_while_the_log_is_written(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_journal_port *port = &fixture->port;
	struct synod_journal_snapshot snapshot;
	struct synod_journal_record record;
	uint64_t size;
	uint8_t *image;

	format_ring(fixture);
	fixture_open(fixture);
	fill(fixture, 1, 2000);
	snapshot = port->snapshot(fixture->journal);
	image = image_of(snapshot.slot, &size);
	for (uint64_t offset = 0; offset < size; offset += 8000) {
		const uint32_t piece = size - offset < 8000 ? (uint32_t)(size - offset) : 8000;

		assert_int_equal(
			port->snapshot_read(fixture->journal, snapshot.slot, offset, piece, offset),
			0);
		while (!port->read_poll(fixture->journal, &record))
			fixture_poll(fixture);
		assert_int_equal(record.error, 0);
		assert_int_equal(record.cookie, offset);
		assert_int_equal(record.slot, snapshot.slot);
		assert_int_equal(record.value.size, piece);
		assert_memory_equal(record.body, image + offset, piece);
	}
	assert_int_equal(port->snapshot_read(fixture->journal, snapshot.slot - 1, 0, 8, 1),
			 -ENOENT);
	assert_int_equal(port->snapshot_read(fixture->journal, snapshot.slot, size, 8, 1), -ENOENT);
	assert_int_equal(port->read(fixture->journal, 1, 1), -ENOENT);
	free(image);
}

static void a_rotten_snapshot_is_named_and_nothing_changed(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *found = aligned_alloc(SYNOD_BLOCK_SIZE, AREA_SIZE);
	uint64_t offset;
	FILE *file;
	int byte;

	format_ring(fixture);
	fixture_open(fixture);
	fill(fixture, 1, 2000);
	fixture_close(fixture);
	fixture_open(fixture);
	offset = fixture->recovery.snapshot_offset + fixture->recovery.snapshot_size / 2;
	fixture_close(fixture);
	file = fopen(fixture_bytes(fixture), "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
	byte = fgetc(file);
	assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
	fputc(byte ^ 1, file);
	fclose(file);
	fixture_open(fixture);
	assert_int_equal(synod_journal_read_snapshot(fixture->journal, found, fixture->error,
						     sizeof(fixture->error)),
			 -EBADMSG);
	assert_non_null(strstr(fixture->error, "does not match its checksum"));
	assert_non_null(strstr(fixture->error, "synod repair"));
	free(found);
}

/*
 * Found by the simulator: a vote for slot 5 stood in the log, another value was chosen and came in
 * a peer's snapshot, and whoever asked for slot 5 was taught the vote as chosen.
 */
static void a_peers_snapshot_ends_what_the_log_has_of_its_slots(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_journal_port *port = &fixture->port;
	uint64_t size;
	uint8_t *image = image_of(10, &size);

	format_ring(fixture);
	fixture_open(fixture);
	for (uint64_t slot = 1; slot <= 20; slot++)
		fixture_write(fixture, slot, BALLOT, 0);
	fixture_wait(fixture);
	assert_int_equal(port->read(fixture->journal, 5, 1), 0);
	assert_int_equal(port->snapshot_write_foreign(fixture->journal, 10, image, size), 0);
	while (port->snapshot_busy(fixture->journal))
		fixture_poll(fixture);
	for (int life = 0; life < 2; life++) {
		assert_int_equal(port->slot_first(fixture->journal), 11);
		assert_int_equal(port->read(fixture->journal, 5, 1), -ENOENT);
		assert_int_equal(port->read(fixture->journal, 10, 1), -ENOENT);
		assert_int_equal(port->read(fixture->journal, 11, 2), 0);
		fixture_check(fixture, 15, BALLOT);
		fixture_close(fixture);
		fixture_open(fixture);
	}
	free(image);
}

enum {
	LARGE = 2 * SYNOD_PARTIAL_STEP + 1000 * 8, /* bytes of a snapshot that is received */
	HALF = SYNOD_PARTIAL_STEP + SYNOD_PARTIAL_STEP / 2,
};

static const struct synod_journal_snapshot *large(uint8_t **bytes)
{
	static struct synod_journal_snapshot of = { .slot = 700, .size = LARGE };
	const uint64_t room = (LARGE + SYNOD_BLOCK_SIZE - 1) / SYNOD_BLOCK_SIZE * SYNOD_BLOCK_SIZE;

	*bytes = aligned_alloc(SYNOD_BLOCK_SIZE, room);
	assert_non_null(*bytes);
	for (uint64_t at = 0; at < LARGE; at++)
		(*bytes)[at] = (uint8_t)(at * 31 + (at >> 8) * 7);
	of.checksum = synod_crc32c(*bytes, LARGE);
	return &of;
}

/* Half of it is received, and then the process ends. */
static void receive_half(struct fixture *fixture)
{
	const struct synod_journal_port *port = &fixture->port;
	uint8_t *bytes;
	const struct synod_journal_snapshot *of = large(&bytes);

	format_with_areas(fixture, 3 * SYNOD_PARTIAL_STEP);
	fixture_open(fixture);
	for (uint64_t received = 8192; received <= HALF; received += 8192) {
		port->snapshot_partial(fixture->journal, of, bytes, received);
		fixture_poll(fixture);
	}
	fixture_close(fixture);
	free(bytes);
	fixture_open(fixture);
}

static void half_of_one_is_there_after_a_restart_and_the_rest_is_written_behind_it(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_journal_port *port = &fixture->port;
	uint8_t *bytes, *found;
	const struct synod_journal_snapshot *of = large(&bytes);
	uint64_t received;

	receive_half(fixture);
	found = aligned_alloc(SYNOD_BLOCK_SIZE, 3 * SYNOD_PARTIAL_STEP);
	assert_non_null(found);
	received = fixture->recovery.partial_received;
	assert_int_equal(fixture->recovery.partial.slot, of->slot);
	assert_int_equal(fixture->recovery.partial.total, of->size);
	assert_int_equal(fixture->recovery.partial.checksum, of->checksum);
	assert_in_range(received, SYNOD_PARTIAL_STEP, HALF);
	assert_int_equal(synod_journal_read_partial(fixture->journal, found), 1);
	assert_memory_equal(found, bytes, received);
	assert_int_equal(fixture->recovery.partial_crc, synod_crc32c(bytes, received));
	/* What was there is not written again: here it would be found wrong. */
	memcpy(found + received, bytes + received, LARGE - received);
	memset(found, 0xee, received);
	assert_int_equal(port->snapshot_write(fixture->journal, of->slot, found, LARGE), 0);
	while (port->snapshot_busy(fixture->journal))
		fixture_poll(fixture);
	assert_int_equal(port->snapshot(fixture->journal).checksum, of->checksum);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.snapshot_slot, of->slot);
	assert_int_equal(fixture->recovery.partial.slot, 0);
	assert_int_equal(synod_journal_read_snapshot(fixture->journal, found, fixture->error,
						     sizeof(fixture->error)),
			 0);
	assert_memory_equal(found, bytes, LARGE);
	free(found);
	free(bytes);
}

static void half_of_one_that_is_not_what_it_was_begins_anew(void **state)
{
	struct fixture *fixture = *state;
	uint8_t *found = aligned_alloc(SYNOD_BLOCK_SIZE, 3 * SYNOD_PARTIAL_STEP);

	receive_half(fixture);
	fixture_close(fixture);
	fixture_flip(fixture, SYNOD_FORMAT_AREAS_BEGIN + SYNOD_PARTIAL_STEP / 2);
	fixture_open(fixture);
	assert_int_equal(synod_journal_read_partial(fixture->journal, found), 0);
	/* And the journal is none the worse for it. */
	fixture_write(fixture, 1, BALLOT, 1);
	fixture_wait(fixture);
	fixture_check(fixture, 1, BALLOT);
	free(found);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_log_of_many_turns_keeps_snapshot_and_suffix),
		TEST(a_snapshot_is_read_in_pieces_while_the_log_is_written),
		TEST(a_rotten_snapshot_is_named_and_nothing_changed),
		TEST(a_peers_snapshot_ends_what_the_log_has_of_its_slots),
		TEST(half_of_one_is_there_after_a_restart_and_the_rest_is_written_behind_it),
		TEST(half_of_one_that_is_not_what_it_was_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* durability = none: the same journal in memory, and gone with the process; it says so. */
#include "tests/io/journal_fixture.h"

enum {
	SLOTS = 300
};

static void open_in_memory(struct fixture *fixture, uint64_t size)
{
	fixture->memory_size = size;
	fixture_open(fixture);
}

static void records_are_read_back_and_forgotten_at_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = 513 };
	struct synod_journal_record record;
	uint8_t body[SYNOD_BATCH_SIZE_MAX];

	open_in_memory(fixture, FIXTURE_SIZE);
	fixture_give(fixture, &promise);
	for (uint64_t slot = 1; slot <= SLOTS; slot++)
		fixture_write(fixture, slot, 513, 0);
	fixture_wait(fixture);
	for (uint64_t slot = 1; slot <= SLOTS; slot++) {
		const uint32_t size = fixture_body(slot, 513, body);

		fixture_check(fixture, slot, 513);
		assert_int_equal(fixture->port.read(fixture->journal, slot, slot), 0);
		while (!fixture->port.read_poll(fixture->journal, &record))
			fixture_poll(fixture);
		assert_int_equal(record.error, 0);
		assert_int_equal(record.value.size, size);
		assert_memory_equal(record.body, body, size);
	}
	assert_int_not_equal(access(fixture->path, F_OK), 0);
	fixture_close(fixture);
	open_in_memory(fixture, FIXTURE_SIZE);
	assert_int_equal(fixture->recovery.slot_last, 0);
	assert_int_equal(fixture->recovery.promised, 0);
}

/* As with a disk: what is given is durable at a later poll, never at once. */
static void completions_come_with_the_next_poll(void **state)
{
	struct fixture *fixture = *state;

	open_in_memory(fixture, FIXTURE_SIZE);
	fixture_write(fixture, 1, 257, 0);
	assert_int_equal(fixture->durable, 0);
	fixture_poll(fixture);
	assert_int_equal(fixture->durable, 0);
	fixture_poll(fixture);
	assert_int_equal(fixture->durable, 1);
	assert_int_equal(fixture->port.wait_fd(fixture->journal), -1);
}

static void it_says_what_it_is(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_journal_device *device;
	char text[SYNOD_DEVICE_TEXT_SIZE];
	char reason[256];

	open_in_memory(fixture, SYNOD_JOURNAL_SIZE_MIN);
	device = synod_journal_device(fixture->journal);
	synod_journal_device_text(device, text, sizeof(text));
	assert_string_equal(text, "none: in memory, forgotten when the process ends");
	assert_int_equal(synod_journal_durability(fixture->journal), SYNOD_DURABILITY_NONE);
	assert_int_equal(synod_journal_device_check(device, reason, sizeof(reason)), -ENOTSUP);
}

static void more_than_there_is_memory_is_refused_at_once(void **state)
{
	struct fixture *fixture = *state;

	fixture->memory_size = (uint64_t)1 << 50;
	assert_int_equal(fixture_try_open(fixture, 0), -ENOMEM);
	assert_non_null(strstr(fixture->error, "make journal_size smaller"));
	print_message("%s\n", fixture->error);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(records_are_read_back_and_forgotten_at_the_end),
		TEST(completions_come_with_the_next_poll),
		TEST(it_says_what_it_is),
		TEST(more_than_there_is_memory_is_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

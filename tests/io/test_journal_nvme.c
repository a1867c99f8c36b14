/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe passthrough: a write becomes the device's own command, what the device says of itself is
 * judged, and what is no namespace is refused. With SYNOD_TEST_DEVICE=/dev/ngXnY (tests/guest/run)
 * also on one.
 */
#include "tests/io/journal_fixture.h"

#include "engine/journal/uring_internal.h"

static void a_write_becomes_a_command_that_passes_the_cache(void **state)
{
	static const struct {
		uint32_t shift;
		uint64_t offset;
		uint32_t size;
		uint32_t low, high, less_one;
	} rows[] = {
		{ 9, 0, 4096, 0, 0, 7 },
		{ 9, 65536, SYNOD_GROUP_SIZE_MAX, 128, 0, 255 },
		{ 12, 65536, SYNOD_GROUP_SIZE_MAX, 16, 0, 31 },
		{ 12, 4096, 4096, 1, 0, 0 },
		{ 9, (UINT64_C(3) << 41) + 8192, 8192, 16, 3, 15 }, /* beyond 2^32 blocks */
	};
	uint8_t bytes[8];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct synod_uring_nvme nvme = { .id = 5, .block_shift = rows[i].shift };
		struct synod_uring_io io = {
			.bytes = bytes, .offset = rows[i].offset, .size = rows[i].size, .write = 1
		};
		struct nvme_uring_cmd command;

		synod_uring_nvme_encode(&nvme, &io, &command);
		assert_int_equal(command.opcode, 1);
		assert_int_equal(command.nsid, 5);
		assert_int_equal(command.addr, (uintptr_t)bytes);
		assert_int_equal(command.data_len, rows[i].size);
		assert_int_equal(command.cdw10, rows[i].low);
		assert_int_equal(command.cdw11, rows[i].high);
		assert_int_equal(command.cdw12, rows[i].less_one | 1u << 30);
		assert_int_equal(command.metadata_len | command.cdw13 | command.cdw14, 0);
		io.write = 0;
		synod_uring_nvme_encode(&nvme, &io, &command);
		assert_int_equal(command.opcode, 2);
		assert_int_equal(command.cdw12, rows[i].less_one);
	}
}

static void a_command_is_done_whole_or_failed(void **state)
{
	struct synod_uring_nvme nvme = { .fd = 0 };

	(void)state;
	assert_int_equal(synod_uring_nvme_result(&nvme, 0, 8192), 8192);
	assert_int_equal(synod_uring_nvme_result(&nvme, -EINTR, 8192), -EINTR);
	assert_int_equal(nvme.status, 0);
	assert_int_equal(synod_uring_nvme_result(&nvme, 0x281, 8192), -EIO);
	assert_int_equal(nvme.status, 0x281);
}

/* Answers to Identify: format 3 of 2^shift bytes and so much metadata, the longest transfer. */
static int judge(struct synod_uring_nvme *nvme, uint8_t shift, uint8_t metadata, uint8_t mdts,
		 char *reason, size_t size)
{
	static uint8_t controller[SYNOD_URING_IDENTIFY_SIZE];
	static uint8_t space[SYNOD_URING_IDENTIFY_SIZE];

	controller[77] = mdts;
	controller[525] = 7;
	space[26] = 3;
	space[128 + 3 * 4] = metadata;
	space[128 + 3 * 4 + 2] = shift;
	reason[0] = '\0';
	return synod_uring_nvme_judge(nvme, controller, space, reason, size);
}

static void what_a_device_says_of_itself_is_judged(void **state)
{
	struct synod_uring_nvme nvme = { .fd = -1 };
	char reason[256];

	(void)state;
	assert_int_equal(judge(&nvme, 9, 0, 5, reason, sizeof(reason)), 0);
	assert_int_equal(nvme.block_shift, 9);
	assert_int_equal(nvme.transfer_shift, 17);
	assert_int_equal(nvme.write_back, 1);
	assert_int_equal(judge(&nvme, 12, 0, 0, reason, sizeof(reason)), 0);
	assert_int_equal(nvme.transfer_shift, 31);
	assert_int_equal(judge(&nvme, 12, 8, 0, reason, sizeof(reason)), -ENOTSUP);
	assert_non_null(strstr(reason, "8 bytes of metadata"));
	assert_int_equal(judge(&nvme, 13, 0, 0, reason, sizeof(reason)), -ENOTSUP);
	assert_non_null(strstr(reason, "2^13 bytes"));
	assert_int_equal(judge(&nvme, 9, 0, 4, reason, sizeof(reason)), -ENOTSUP);
	assert_non_null(strstr(reason, "65536 bytes a command"));
	/* Anything else that a broken device may say. */
	for (int shift = 0; shift < 256; shift++)
		assert_int_equal(judge(&nvme, (uint8_t)shift, 0, 255, reason, sizeof(reason)) == 0,
				 shift >= 9 && shift <= 12);
}

static void a_character_device_that_is_no_namespace_is_refused(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_journal_extent extent = { .size = FIXTURE_SIZE };
	char kept[sizeof(fixture->path)];

	memcpy(kept, fixture->path, sizeof(kept));
	snprintf(fixture->path, sizeof(fixture->path), "/dev/null");
	assert_int_equal(fixture_try_open(fixture, 0), -ENOTSUP);
	assert_non_null(strstr(fixture->error, "/dev/null: a character device that is no NVMe"));
	assert_int_equal(synod_journal_format(fixture->path, &fixture_identity, &extent,
					      SYNOD_JOURNAL_FORCE, fixture->error,
					      sizeof(fixture->error)),
			 -ENOTSUP);
	assert_non_null(strstr(fixture->error, "/dev/null: a character device that is no NVMe"));
	memcpy(fixture->path, kept, sizeof(kept));
}

static void polling_is_refused_where_the_device_has_no_poll_queues(void **state)
{
	struct fixture *fixture = *state;
	uint32_t poll_queues;
	int result;

	fixture->flags = 0;
	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	poll_queues = synod_journal_device(fixture->journal)->poll_queues;
	assert_int_equal(synod_journal_device(fixture->journal)->polled, 0);
	fixture_close(fixture);
	result = fixture_try_open(fixture, SYNOD_JOURNAL_POLL);
	if (!strncmp(fixture->path, "/dev/ng", 7)) {
		assert_int_equal(result, -ENOTSUP);
		assert_non_null(strstr(fixture->error, "with passthrough"));
	} else if (poll_queues == SYNOD_DEVICE_YES) {
		assert_int_equal(result, 0);
		assert_int_equal(synod_journal_device(fixture->journal)->polled, 1);
	} else {
		assert_int_equal(result, -ENOTSUP);
		assert_non_null(strstr(fixture->error, "nvme.poll_queues=2"));
		assert_null(strchr(fixture->error, '\n'));
	}
}

static void a_namespace_is_locked_under_both_its_names(void **state)
{
	struct fixture *fixture = *state;
	struct fixture other;
	char given[sizeof(fixture->path)];
	char block[sizeof(fixture->path) + 8];

	if (strncmp(fixture->path, "/dev/ng", 7) != 0) {
		print_message("no namespace given: SYNOD_TEST_DEVICE=/dev/ngXnY\n");
		skip();
	}
	memcpy(given, fixture->path, sizeof(given));
	snprintf(block, sizeof(block), "%s", fixture_bytes(fixture));
	fixture->flags = 0;
	fixture_format(fixture, FIXTURE_SIZE);
	for (int turn = 0; turn < 2; turn++) {
		fixture_open(fixture);
		fixture_write(fixture, (uint64_t)turn + 1, 257, 0);
		fixture_wait(fixture);
		other = *fixture;
		other.journal = NULL;
		snprintf(other.path, sizeof(other.path), "%.200s", turn == 0 ? block : given);
		assert_int_equal(fixture_try_open(&other, 0), -EBUSY);
		/* Who only reads, by the other name, sees what was written. */
		assert_int_equal(fixture_try_open(&other, SYNOD_JOURNAL_READ_ONLY), 0);
		assert_int_equal(other.recovery.locked, 1);
		assert_int_equal(other.recovery.slot_last, turn + 1);
		fixture_close(&other);
		fixture_close(fixture);
		snprintf(fixture->path, sizeof(fixture->path), "%.200s", block);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_becomes_a_command_that_passes_the_cache),
		cmocka_unit_test(a_command_is_done_whole_or_failed),
		cmocka_unit_test(what_a_device_says_of_itself_is_judged),
		TEST(a_character_device_that_is_no_namespace_is_refused),
		TEST(polling_is_refused_where_the_device_has_no_poll_queues),
		TEST(a_namespace_is_locked_under_both_its_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is said of the device is what the kernel says of it: on the file system of this folder, in
 * memory, on a loop device raw and with a file system, with and without barriers. The loop devices
 * need root.
 */
#include "tests/io/journal_fixture.h"

#include "engine/journal/uring_internal.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

static void a_line_of_mountinfo_tells_file_system_and_flush(void **state)
{
	static const struct {
		const char *line;
		const char *fs;
		uint32_t flush;
		const char *source;
	} rows[] = {
		{ "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard", "ext4", SYNOD_DEVICE_YES,
		  "/dev/vda" },
		{ "27 1 0:31 /v /a\\040-\\040b rw shared:7 - btrfs /dev/sda2 rw,space_cache\n",
		  "btrfs", SYNOD_DEVICE_YES, "/dev/sda2" },
		{ "27 1 8:1 / / rw - ext4 /dev/sda1 rw,nobarrier,data=ordered", "ext4",
		  SYNOD_DEVICE_NO, "/dev/sda1" },
		{ "27 1 8:1 / / rw - ext4 /dev/sda1 rw,barrier=0", "ext4", SYNOD_DEVICE_NO,
		  "/dev/sda1" },
		{ "27 1 8:1 / / rw - ext4 /dev/sda1 rw,nobarriers=no", "ext4", SYNOD_DEVICE_YES,
		  "/dev/sda1" },
		{ "27 1 0:44 / / rw - overlay overlay rw,lowerdir=/l", "overlay",
		  SYNOD_DEVICE_UNKNOWN, "overlay" },
		{ "27 1 0:44 / / rw - fuse.sshfs host:/x rw", "fuse.ss", SYNOD_DEVICE_UNKNOWN,
		  "host:/x" },
		{ "27 1 0:44 / / rw - nfs4 host:/x rw,hard\n", "nfs4", SYNOD_DEVICE_UNKNOWN,
		  "host:/x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct synod_journal_device device = { 0 };
		char source[64];

		assert_int_equal(
			synod_uring_probe_mount(rows[i].line, 27, &device, source, sizeof(source)),
			1);
		assert_string_equal(device.fs, rows[i].fs);
		assert_int_equal(device.flush, rows[i].flush);
		assert_string_equal(source, rows[i].source);
		assert_int_equal(
			synod_uring_probe_mount(rows[i].line, 2, &device, source, sizeof(source)),
			0);
	}
}

static void any_numbers_from_a_datagram_make_a_line(void **state)
{
	uint64_t seed = 5;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint64_t words[SYNOD_DEVICE_WORDS];
		struct synod_journal_device device;
		char text[SYNOD_DEVICE_TEXT_SIZE];

		for (int k = 0; k < SYNOD_DEVICE_WORDS; k++)
			words[k] = synod_random_next(&seed);
		synod_journal_device_unpack(words, &device);
		synod_journal_device_text(&device, text, sizeof(text));
		assert_true(strlen(text) > 0);
		for (const char *at = text; *at; at++)
			assert_true(*at >= ' ' && *at <= '~');
	}
}

static void what_is_packed_is_unpacked(void **state)
{
	const struct synod_journal_device device = { .durability = SYNOD_DURABILITY_DSYNC,
						     .write_back = SYNOD_DEVICE_YES,
						     .fua = SYNOD_DEVICE_NO,
						     .flush = SYNOD_DEVICE_YES,
						     .poll_queues = SYNOD_DEVICE_NO,
						     .polled = 1,
						     .block_size = 4096,
						     .dma_alignment = 512,
						     .transfer_shift = 17,
						     .fs = "ext4",
						     .name = "nvme0n1p2" };
	struct synod_journal_device back;
	uint64_t words[SYNOD_DEVICE_WORDS];

	(void)state;
	synod_journal_device_pack(&device, words);
	synod_journal_device_unpack(words, &back);
	assert_memory_equal(&back, &device, sizeof(device));
}

/* A word of the queue that a file of that device lies on; "" if there is none. */
static void read_queue(dev_t device, const char *name, char *word, size_t size)
{
	char path[128];
	FILE *file;

	word[0] = '\0';
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/%s", major(device), minor(device),
		 name);
	file = fopen(path, "r");
	if (!file)
		return;
	if (fgets(word, (int)size, file))
		word[strcspn(word, "\n")] = '\0';
	fclose(file);
}

static void a_file_is_told_as_the_kernel_tells_its_disk(void **state)
{
	struct fixture *fixture = *state;
	const struct synod_journal_device *device;
	char text[SYNOD_DEVICE_TEXT_SIZE];
	char reason[256];
	char word[64];
	struct stat status;

	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	device = synod_journal_device(fixture->journal);
	synod_journal_device_text(device, text, sizeof(text));
	print_message("%s\n", text);
	assert_int_equal(stat(fixture->path, &status), 0);
	read_queue(status.st_dev, "logical_block_size", word, sizeof(word));
	if (!word[0])
		skip(); /* not on a disk of its own: overlay, btrfs … */
	assert_int_equal(device->block_size, strtoul(word, NULL, 10));
	read_queue(status.st_dev, "write_cache", word, sizeof(word));
	assert_non_null(strstr(text, !strcmp(word, "write back") ? "write-back cache"
								 : "write-through cache"));
	assert_non_null(strstr(text, " on "));
	if (device->durability == SYNOD_DURABILITY_DIRECT_DSYNC)
		assert_int_equal(synod_journal_device_check(device, reason, sizeof(reason)), 0);
}

static void what_lies_in_memory_is_durable_in_nobodys_words(void **state)
{
	struct fixture *fixture = *state;
	char text[SYNOD_DEVICE_TEXT_SIZE];
	char reason[256];
	char kept[sizeof(fixture->path)];

	memcpy(kept, fixture->path, sizeof(kept));
	snprintf(fixture->path, sizeof(fixture->path), "/dev/shm/synod-probe-%d", (int)getpid());
	fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
	fixture_open(fixture);
	unlink(fixture->path);
	memcpy(fixture->path, kept, sizeof(kept));
	synod_journal_device_text(synod_journal_device(fixture->journal), text, sizeof(text));
	print_message("%s\n", text);
	assert_string_equal(text, "none on tmpfs");
	assert_int_equal(synod_journal_device_check(synod_journal_device(fixture->journal), reason,
						    sizeof(reason)),
			 -ENOTSUP);
	assert_non_null(strstr(reason, "tmpfs keeps nothing"));
}

/* ---- loop devices ---------------------------------------------------------------------------- */

static int __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
	char command[1000];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

/* A loop device over a file of this fixture's folder; "" if there are none to be had. */
static void attach(struct fixture *fixture, char *device, size_t size)
{
	char command[500];
	FILE *answer;

	device[0] = '\0';
	if (geteuid() != 0)
		return;
	snprintf(command, sizeof(command),
		 "truncate -s 64M %s/disk && losetup -f --show %s/disk 2>/dev/null",
		 fixture->directory, fixture->directory);
	answer = popen(command, "r");
	if (answer && fgets(device, (int)size, answer))
		device[strcspn(device, "\n")] = '\0';
	if (answer)
		pclose(answer);
}

static void detach(struct fixture *fixture, const char *device)
{
	assert_int_equal(run("losetup -d %s && rm -f %s/disk", device, fixture->directory), 0);
}

static void a_raw_device_is_a_journal_like_any_other(void **state)
{
	struct fixture *fixture = *state;
	char device[64];
	char kept[sizeof(fixture->path)];
	char text[SYNOD_DEVICE_TEXT_SIZE];

	attach(fixture, device, sizeof(device));
	if (!device[0]) {
		print_message("no loop devices here (root is needed)\n");
		skip();
	}
	memcpy(kept, fixture->path, sizeof(kept));
	snprintf(fixture->path, sizeof(fixture->path), "%s", device);
	fixture_format(fixture, 0);
	/* What is on it is not written over without being told to. */
	assert_int_equal(synod_journal_format(fixture->path, &fixture_identity,
					      &(struct synod_journal_extent){ 0 }, 0,
					      fixture->error, sizeof(fixture->error)),
			 -EEXIST);
	for (uint64_t slot = 1; slot <= 40; slot++) {
		fixture_open(fixture);
		for (uint64_t old = 1; old < slot; old++)
			fixture_check(fixture, old, 257);
		fixture_write(fixture, slot, 257, 0);
		fixture_wait(fixture);
		synod_journal_device_text(synod_journal_device(fixture->journal), text,
					  sizeof(text));
		fixture_close(fixture);
	}
	print_message("%s\n", text);
	assert_non_null(strstr(text, "o_direct+rwf_dsync on /dev/loop"));
	memcpy(fixture->path, kept, sizeof(kept));
	detach(fixture, device);
}

static void a_mount_without_barriers_is_refused_as_direct(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_device device = { 0 };
	char loop[64];
	char reason[256] = "";
	char kept[sizeof(fixture->path)];
	int mounted;

	attach(fixture, loop, sizeof(loop));
	if (!loop[0])
		skip();
	mounted = run("mkdir -p %s/mount && mkfs.ext4 -q %s 2>/dev/null", fixture->directory,
		      loop) == 0 &&
		  run("mount -o nobarrier %s %s/mount 2>/dev/null", loop, fixture->directory) == 0;
	if (mounted) {
		memcpy(kept, fixture->path, sizeof(kept));
		snprintf(fixture->path, sizeof(fixture->path), "%s/mount/j", fixture->directory);
		fixture_format(fixture, SYNOD_JOURNAL_SIZE_MIN);
		fixture_open(fixture);
		device = *synod_journal_device(fixture->journal);
		fixture_close(fixture);
		memcpy(fixture->path, kept, sizeof(kept));
		/* io_uring lets go of the file a little after it is closed. */
		assert_int_equal(run("for i in $(seq 50); do umount %s/mount 2>/dev/null && exit; "
				     "sleep 0.1; done; exit 1",
				     fixture->directory),
				 0);
	}
	run("rmdir %s/mount", fixture->directory);
	detach(fixture, loop);
	if (!mounted)
		skip();
	assert_int_equal(device.flush, SYNOD_DEVICE_NO);
	assert_string_equal(device.fs, "ext4");
	/* A loop device whose cache is write-through loses nothing for want of a flush. */
	if (device.write_back == SYNOD_DEVICE_YES) {
		assert_int_equal(device.durability, SYNOD_DURABILITY_NONE);
		assert_int_equal(synod_journal_device_check(&device, reason, sizeof(reason)),
				 -ENOTSUP);
		assert_non_null(strstr(reason, "nobarrier"));
	}
	print_message("%s\n", reason);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_mountinfo_tells_file_system_and_flush),
		cmocka_unit_test(any_numbers_from_a_datagram_make_a_line),
		cmocka_unit_test(what_is_packed_is_unpacked),
		TEST(a_file_is_told_as_the_kernel_tells_its_disk),
		TEST(what_lies_in_memory_is_durable_in_nobodys_words),
		TEST(a_raw_device_is_a_journal_like_any_other),
		TEST(a_mount_without_barriers_is_refused_as_direct),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * format on a file system that is too small: one clear line and no file left. The file system is a
 * small one in memory, in a mount namespace of this process: that takes root.
 */
#include "tests/io/journal_fixture.h"

#include <sched.h>
#include <sys/mount.h>

static void a_full_disk_is_met_at_format_and_leaves_nothing(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(mount("none", fixture->directory, "tmpfs", 0, "size=8m"), 0);
	assert_int_equal(synod_journal_format(fixture->path, &fixture_identity,
					      &(struct synod_journal_extent){ .size = 64 << 20 }, 0,
					      fixture->error, sizeof(fixture->error)),
			 -ENOSPC);
	print_message("%s\n", fixture->error);
	assert_non_null(strstr(fixture->error, "no room for a journal of 67108864 bytes"));
	assert_null(strchr(fixture->error, '\n'));
	assert_int_not_equal(access(fixture->path, F_OK), 0);
	fixture_format(fixture, 4 << 20);
	fixture_open(fixture);
	assert_int_equal(synod_journal_durability(fixture->journal), SYNOD_DURABILITY_NONE);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 1);
	fixture_close(fixture);
	unlink(fixture->path);
	assert_int_equal(umount2(fixture->directory, MNT_DETACH), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_full_disk_is_met_at_format_and_leaves_nothing,
						fixture_setup, fixture_teardown),
	};

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		printf("skipped: no mount namespace (%s); run as root\n", strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

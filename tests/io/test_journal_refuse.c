/* SPDX-License-Identifier: BSD-3-Clause */
/* What is not this replica's journal is refused, each way with its own sentence. */
#include "tests/io/journal_fixture.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void expect_refusal(struct fixture *fixture, const struct synod_journal_identity *expect,
			   int result, const char *text)
{
	const struct synod_journal_options options = { .path = fixture->path, .expect = expect };
	const int got = synod_journal_open(&fixture->journal, &options, &fixture->recovery,
					   fixture->error, sizeof(fixture->error));

	assert_null(fixture->journal);
	assert_int_equal(got, result);
	if (!strstr(fixture->error, text))
		fail_msg("\"%s\" does not say \"%s\"", fixture->error, text);
	assert_non_null(strstr(fixture->error, fixture->path));
	assert_null(strchr(fixture->error, '\n'));
}

static void another_identity_is_refused_by_name(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_identity other;

	fixture_format(fixture, FIXTURE_SIZE);
	other = fixture_identity;
	other.cluster = 78;
	expect_refusal(fixture, &other, -EINVAL, "journal of cluster 77");
	other = fixture_identity;
	other.replica = 1;
	expect_refusal(fixture, &other, -EINVAL, "journal of replica 2, but this is replica 1");
	other = fixture_identity;
	other.incarnation = 4;
	expect_refusal(fixture, &other, -EINVAL,
		       "belongs to incarnation 3, the cluster expects incarnation 4: run `synod "
		       "recover`");
	other = fixture_identity;
	other.replicas = 5;
	expect_refusal(fixture, &other, -EINVAL, "cluster of 3 replicas");
	other = fixture_identity;
	other.incarnation = 0;
	other.replicas = 0;
	assert_int_equal(fixture_try_open(fixture, 0), 0);
}

static void another_size_is_refused(void **state)
{
	struct fixture *fixture = *state;

	fixture_format(fixture, FIXTURE_SIZE);
	assert_int_equal(truncate(fixture->path, FIXTURE_SIZE - 4096), 0);
	expect_refusal(fixture, &fixture_identity, -EINVAL, "cut short");
	assert_int_equal(truncate(fixture->path, FIXTURE_SIZE + 4096), 0);
	expect_refusal(fixture, &fixture_identity, -EINVAL, "has grown");
	assert_int_equal(truncate(fixture->path, 100), 0);
	expect_refusal(fixture, &fixture_identity, -EINVAL, "only 100 bytes");
}

static void what_is_no_journal_is_refused(void **state)
{
	struct fixture *fixture = *state;
	uint8_t bytes[4096];
	int fd;

	expect_refusal(fixture, &fixture_identity, -ENOENT, "synod format");
	fd = open(fixture->path, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(fd, FIXTURE_SIZE), 0);
	expect_refusal(fixture, &fixture_identity, -EINVAL, "not a Synod journal");
	close(fd);
	unlink(fixture->path);
	fixture_format(fixture, FIXTURE_SIZE);
	fd = open(fixture->path, O_RDWR);
	for (off_t copy = 0; copy < 4; copy++) {
		assert_int_equal(pread(fd, bytes, sizeof(bytes), copy * 4096), sizeof(bytes));
		bytes[8] = 2; /* version */
		assert_int_equal(pwrite(fd, bytes, sizeof(bytes), copy * 4096), sizeof(bytes));
	}
	close(fd);
	expect_refusal(fixture, &fixture_identity, -EINVAL, "journal format version 2");
}

static void two_processes_never_share_a_journal(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t child;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		const struct synod_journal_options options = { .path = fixture->path };
		struct synod_journal *journal;
		int result = synod_journal_open(&journal, &options, &fixture->recovery,
						fixture->error, sizeof(fixture->error));

		if (result != -EBUSY || !strstr(fixture->error, "in use by another process"))
			_exit(1);
		result = synod_journal_format(
			fixture->path, &fixture_identity,
			&(struct synod_journal_extent){ .size = FIXTURE_SIZE }, SYNOD_JOURNAL_FORCE,
			fixture->error, sizeof(fixture->error));
		_exit(result == -EBUSY ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 1);
}

static void an_existing_file_is_never_formatted_over(void **state)
{
	struct fixture *fixture = *state;

	fixture_format(fixture, FIXTURE_SIZE);
	fixture_open(fixture);
	fixture_write(fixture, 1, 257, 0);
	fixture_wait(fixture);
	fixture_close(fixture);
	assert_int_equal(
		synod_journal_format(fixture->path, &fixture_identity,
				     &(struct synod_journal_extent){ .size = FIXTURE_SIZE }, 0,
				     fixture->error, sizeof(fixture->error)),
		-EEXIST);
	assert_non_null(strstr(fixture->error, "exists already"));
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 1);
	fixture_close(fixture);
	assert_int_equal(
		synod_journal_format(fixture->path, &fixture_identity,
				     &(struct synod_journal_extent){ .size = FIXTURE_SIZE },
				     SYNOD_JOURNAL_FORCE, fixture->error, sizeof(fixture->error)),
		0);
	fixture_open(fixture);
	assert_int_equal(fixture->recovery.slot_last, 0);
}

static void format_refuses_what_makes_no_sense(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_identity other = fixture_identity;

	assert_int_equal(synod_journal_format(fixture->path, &fixture_identity,
					      &(struct synod_journal_extent){ .size = 4096 }, 0,
					      fixture->error, sizeof(fixture->error)),
			 -EINVAL);
	assert_non_null(strstr(fixture->error, "too few"));
	assert_int_not_equal(access(fixture->path, F_OK), 0);
	other.replica = 8;
	assert_int_equal(
		synod_journal_format(fixture->path, &other,
				     &(struct synod_journal_extent){ .size = FIXTURE_SIZE }, 0,
				     fixture->error, sizeof(fixture->error)),
		-EINVAL);
	assert_int_not_equal(access(fixture->path, F_OK), 0);
}

static void a_file_size_limit_is_told_before_it_kills(void **state)
{
	struct fixture *fixture = *state;
	struct rlimit before;
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = FIXTURE_SIZE / 2;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(
		synod_journal_format(fixture->path, &fixture_identity,
				     &(struct synod_journal_extent){ .size = FIXTURE_SIZE }, 0,
				     fixture->error, sizeof(fixture->error)),
		-EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_non_null(strstr(fixture->error, "ulimit -f"));
	assert_int_not_equal(access(fixture->path, F_OK), 0);
}

static void drop_lock_right(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static void refused_registration_falls_back_and_is_reported(void **state)
{
	struct fixture *fixture = *state;
	struct synod_journal_status status;
	int child_status;
	pid_t child;

	fixture_format(fixture, FIXTURE_SIZE);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* The ring fits, 1.6 MiB of buffers do not. */
		const struct rlimit little = { 512 << 10, 512 << 10 };

		/* Root is not held to the limit: be an ordinary user in this respect. */
		drop_lock_right();
		setrlimit(RLIMIT_MEMLOCK, &little);
		fixture_open(fixture);
		fixture_write(fixture, 1, 257, 0);
		fixture_wait(fixture);
		synod_journal_status(fixture->journal, &status);
		_exit(status.registered_buffers ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &child_status, 0), child);
	assert_int_equal(child_status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(another_identity_is_refused_by_name),
		TEST(another_size_is_refused),
		TEST(what_is_no_journal_is_refused),
		TEST(two_processes_never_share_a_journal),
		TEST(an_existing_file_is_never_formatted_over),
		TEST(format_refuses_what_makes_no_sense),
		TEST(a_file_size_limit_is_told_before_it_kills),
		TEST(refused_registration_falls_back_and_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

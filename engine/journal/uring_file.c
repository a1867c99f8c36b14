/* SPDX-License-Identifier: BSD-3-Clause */
/* Files and devices: opening, size, lock, whole reads and writes. */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int synod_uring_say(char *error, size_t error_size, int result, const char *format, ...)
{
	va_list arguments;

	synod_assert(result < 0);
	synod_assert(error_size > 0);
	va_start(arguments, format);
	vsnprintf(error, error_size, format, arguments);
	va_end(arguments);
	return result;
}

int synod_uring_open_file(const char *path, int flags, enum synod_durability *durability)
{
	int fd = open(path, flags | O_DIRECT | O_CLOEXEC, 0600);

	synod_assert(path != NULL);
	synod_assert((flags & O_DIRECT) == 0); /* ours to add */
	*durability = SYNOD_DURABILITY_DIRECT_DSYNC;
	/* Some file systems make the file, then refuse O_DIRECT: no O_EXCL the second time. */
	if (fd < 0 && errno == EINVAL) {
		fd = open(path, (flags & ~O_EXCL) | O_CLOEXEC, 0600);
		*durability = SYNOD_DURABILITY_DSYNC;
	}
	if (fd < 0)
		return -errno;
	return fd;
}

int64_t synod_uring_file_size(int fd)
{
	struct stat status;
	uint64_t size;

	synod_assert(fd >= 0);
	if (fstat(fd, &status) < 0)
		return -errno;
	if (S_ISREG(status.st_mode))
		return status.st_size;
	if (!S_ISBLK(status.st_mode))
		return -ENOTBLK;
	if (ioctl(fd, BLKGETSIZE64, &size) < 0)
		return -errno;
	return (int64_t)size;
}

/*
 * The lock belongs to the open file, which a killed process holds until the last of its writes in
 * flight has come back: a moment of patience, and nobody writes beside us.
 */
int synod_uring_lock(int fd)
{
	enum {
		TRIES = 50
	}; /* of 20 ms: one second */
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	synod_assert(fd >= 0);
	for (int i = 0; i < TRIES; i++) {
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		/* tidy: allow sleep: at open only, while a predecessor that was killed lets go */
		nanosleep(&pause, NULL);
	}
	return -EBUSY;
}

void synod_uring_unlock(int fd)
{
	struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	synod_assert(fd >= 0);
	(void)fcntl(fd, F_OFD_SETLK, &lock); /* closing unlocks too, only later */
}

int synod_uring_read_all(int fd, void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;

	synod_assert(fd >= 0 && bytes);
	synod_assert_cmp(offset, <=, (uint64_t)INT64_MAX - size);
	while (done < size) {
		const ssize_t n =
			pread(fd, (uint8_t *)bytes + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	synod_assert(done == size);
	return 0;
}

int synod_uring_write_all(int fd, const void *bytes, size_t size, uint64_t offset)
{
	size_t done = 0;

	synod_assert(fd >= 0 && bytes);
	synod_assert_cmp(offset, <=, (uint64_t)INT64_MAX - size);
	while (done < size) {
		const ssize_t n = pwrite(fd, (const uint8_t *)bytes + done, size - done,
					 (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		done += (size_t)n;
	}
	synod_assert(done == size);
	return 0;
}

void *synod_uring_map(size_t size)
{
	uint8_t *memory;

	synod_assert_cmp(size, <=, (size_t)INT64_MAX);
	synod_assert(size > 0);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	(void)madvise(memory, size, MADV_HUGEPAGE); /* refused: small ones */
	if (madvise(memory, size, MADV_POPULATE_WRITE) == 0)
		return memory;
	for (size_t at = 0; at < size; at += 4096) /* Linux before 5.14 */
		memory[at] = 0;
	return memory;
}

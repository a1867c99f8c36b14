/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Makes a journal: preallocates, writes zeros over all of it (so that a later write meets neither a
 * full disk nor an extent to convert), and last the superblocks: a file without them is no journal.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct making {
	const char *path;
	const struct synod_journal_identity *identity;
	uint64_t size; /* of the journal, areas included */
	uint64_t area_size;
	uint64_t file_size; /* of a device: all of it, else the same */
	struct synod_uring_place place;
	struct synod_uring_nvme nvme;
	int fd;
	int device;
	int created; /* by us: to be removed if we fail */
	uint8_t *zeros;
	char *error;
	size_t error_size;
};

static int check_arguments(const struct making *making)
{
	const struct synod_journal_identity *identity = making->identity;
	struct rlimit limit;

	synod_assert(making->path && making->identity);
	synod_assert(making->error_size > 0);
	if (identity->cluster == 0 || identity->incarnation == 0 || identity->replica == 0 ||
	    identity->replica > SYNOD_REPLICAS_MAX || identity->replicas > SYNOD_REPLICAS_MAX ||
	    identity->replica > identity->replicas)
		return synod_uring_say(making->error, making->error_size, -EINVAL,
				       "%s: cannot format for replica %u of %u, cluster %" PRIu64
				       ", incarnation %" PRIu64
				       ": ids are 1..replicas, at most %d; cluster and incarnation "
				       "not 0",
				       making->path, identity->replica, identity->replicas,
				       identity->cluster, identity->incarnation,
				       SYNOD_REPLICAS_MAX);
	/* Beyond this limit the kernel would kill the process (SIGXFSZ) rather than say no. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && making->size > limit.rlim_cur)
		return synod_uring_say(making->error, making->error_size, -EFBIG,
				       "%s: cannot make a file of %" PRIu64
				       " bytes: the limit for this process is %" PRIu64
				       " (ulimit -f); raise it or choose a smaller size",
				       making->path, making->size, (uint64_t)limit.rlim_cur);
	return 0;
}

int synod_journal_is_device(const char *path)
{
	struct stat status;

	synod_assert(path != NULL);
	return stat(path, &status) == 0 && (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode));
}

/* A device has no O_EXCL against its content: it must look blank. */
static int check_blank(struct making *making)
{
	uint8_t *bytes = making->zeros; /* zeros again when this succeeds */
	int result;

	synod_assert(making->fd >= 0 && making->zeros);
	synod_assert(making->device);
	result = synod_uring_read_all(making->fd, bytes, SYNOD_FORMAT_LOG_BEGIN, 0);
	if (result < 0)
		return synod_uring_say(making->error, making->error_size, result,
				       "%s: cannot read the device: %s", making->path,
				       strerror(-result));
	for (size_t i = 0; i < SYNOD_FORMAT_LOG_BEGIN; i++)
		if (bytes[i] != 0)
			return synod_uring_say(
				making->error, making->error_size, -EEXIST,
				"%s: the device is not blank (byte %zu is not zero): it may hold a "
				"journal or a file system; nothing was changed; use force to "
				"overwrite it",
				making->path, i);
	return 0;
}

static int open_target(struct making *making, unsigned int flags)
{
	enum synod_durability durability;
	const int force = (flags & SYNOD_JOURNAL_FORCE) != 0;
	const int existed = access(making->path, F_OK) == 0;
	int mode = O_RDWR | O_CREAT | (force ? 0 : O_EXCL);
	int result;

	synod_assert(making->fd < 0);
	synod_assert(making->zeros != NULL);
	if (making->device)
		mode = O_RDWR | O_EXCL; /* of a device: nobody has it mounted */
	result = synod_uring_nvme_find(making->path, &making->place, making->error,
				       making->error_size);
	if (result == 0 && making->place.passthrough)
		result = synod_uring_nvme_open(making->path, &making->nvme, making->error,
					       making->error_size);
	if (result < 0)
		return result;
	making->fd = synod_uring_open_file(making->place.path, mode, &durability);
	if (making->fd == -EEXIST)
		return synod_uring_say(
			making->error, making->error_size, -EEXIST,
			"%s: exists already; nothing was changed; a journal is never "
			"overwritten (move the file away, or use force)",
			making->path);
	if (making->fd < 0)
		return synod_uring_say(making->error, making->error_size, making->fd,
				       "%s: cannot create: %s", making->path,
				       strerror(-making->fd));
	making->created = !making->device && !existed;
	if (synod_uring_lock(making->fd) < 0)
		return synod_uring_say(making->error, making->error_size, -EBUSY,
				       "%s: in use by another process; nothing was changed",
				       making->path);
	if (making->device && !force)
		return check_blank(making);
	return 0;
}

static int set_size(struct making *making)
{
	int64_t size = synod_uring_file_size(making->fd);

	synod_assert(making->file_size == 0);
	synod_assert(making->fd >= 0);
	if (size < 0)
		return synod_uring_say(making->error, making->error_size, (int)size,
				       "%s: neither a file nor a block device: %s", making->path,
				       strerror((int)-size));
	if (making->device && (making->size == 0 || making->size > (uint64_t)size))
		making->size = (uint64_t)size;
	making->size -= making->size % SYNOD_BLOCK_SIZE;
	making->file_size = making->device ? (uint64_t)size : making->size;
	if (making->size < SYNOD_JOURNAL_SIZE_MIN + 2 * making->area_size)
		return synod_uring_say(
			making->error, making->error_size, -EINVAL,
			"%s: %" PRIu64 " bytes are too few for a journal; the least is "
			"%" PRIu64,
			making->path, making->size, SYNOD_JOURNAL_SIZE_MIN + 2 * making->area_size);
	return 0;
}

static int write_failed(const struct making *making, int result, uint64_t offset)
{
	synod_assert(result < 0);
	synod_assert_cmp(offset, <=, making->size);
	if (result == -ENOSPC || result == -EDQUOT)
		return synod_uring_say(making->error, making->error_size, result,
				       "%s: no room for a journal of %" PRIu64
				       " bytes: %s; free some, or choose a smaller size",
				       making->path, making->size, strerror(-result));
	return synod_uring_say(making->error, making->error_size, result,
			       "%s: cannot write at offset %" PRIu64 ": %s", making->path, offset,
			       strerror(-result));
}

static int fill_zeros(struct making *making)
{
	uint64_t offset = 0;

	synod_assert_cmp(making->size, >=, (uint64_t)SYNOD_JOURNAL_SIZE_MIN);
	synod_assert_cmp(making->size % SYNOD_BLOCK_SIZE, ==, 0u);
	if (!making->device) {
		if (ftruncate(making->fd, 0) < 0)
			return write_failed(making, -errno, 0);
		if (fallocate(making->fd, 0, 0, (off_t)making->size) < 0 && errno != EOPNOTSUPP)
			return write_failed(making, -errno, 0);
	}
	while (offset < making->size) {
		const uint64_t left = making->size - offset;
		const size_t size =
			left < SYNOD_URING_CHUNK_SIZE ? (size_t)left : SYNOD_URING_CHUNK_SIZE;
		const int result = synod_uring_write_all(making->fd, making->zeros, size, offset);

		if (result < 0)
			return write_failed(making, result, offset);
		offset += size;
	}
	return fsync(making->fd) < 0 ? write_failed(making, -errno, 0) : 0;
}

static int write_superblocks(struct making *making)
{
	struct synod_format_superblock superblock;
	struct synod_format_superblock *sectors = (void *)making->zeros;
	const struct synod_superblock_extent extent = {
		.file_size = making->file_size,
		.area_size = making->area_size,
		.log_end = making->size,
	};
	uint64_t salt;
	int result;

	synod_assert_cmp(making->size, <=, making->file_size);
	if (getrandom(&salt, sizeof(salt), 0) != (ssize_t)sizeof(salt))
		return write_failed(making, -EIO, 0);
	synod_superblock_first(&superblock, making->identity, &extent, salt);
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++)
		synod_superblock_encode(&superblock, copy, &sectors[copy]);
	result = synod_uring_write_all(making->fd, sectors, SYNOD_WRITER_SUPERBLOCKS_SIZE, 0);
	if (result == 0 && fsync(making->fd) < 0)
		result = -errno;
	return result < 0 ? write_failed(making, result, 0) : 0;
}

/* The name is durable too only when the directory is. */
static int sync_directory(const struct making *making)
{
	char path[PATH_MAX];
	int result = 0;
	int fd;

	synod_assert(!making->device);
	synod_assert(making->fd >= 0);
	snprintf(path, sizeof(path), "%s", making->path);
	fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		result = synod_uring_say(making->error, making->error_size, -errno,
					 "%s: cannot sync its directory: %s", making->path,
					 strerror(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

int synod_journal_format(const char *path, const struct synod_journal_identity *identity,
			 const struct synod_journal_extent *extent, unsigned int flags, char *error,
			 size_t error_size)
{
	const uint64_t area_size =
		(extent->area_size + SYNOD_BLOCK_SIZE - 1) / SYNOD_BLOCK_SIZE * SYNOD_BLOCK_SIZE;
	struct making making = {
		.path = path,
		.identity = identity,
		.size = extent->size ? extent->size + 2 * area_size : 0,
		.area_size = area_size,
		.fd = -1,
		.device = synod_journal_is_device(path),
		.nvme = { .fd = -1 },
		.error = error,
		.error_size = error_size,
	};
	int result;

	synod_assert((flags & ~(unsigned int)(SYNOD_JOURNAL_FORCE | SYNOD_URING_UNNAMED)) == 0);
	synod_assert(path && identity);
	synod_assert(error && error_size > 0);
	error[0] = '\0';
	result = check_arguments(&making);
	if (result == 0) {
		making.zeros = synod_uring_map(SYNOD_URING_CHUNK_SIZE);
		if (!making.zeros)
			result = synod_uring_say(error, error_size, -ENOMEM, "%s: out of memory",
						 path);
	}
	if (result == 0)
		result = open_target(&making, flags);
	if (result == 0)
		result = set_size(&making);
	if (result == 0)
		result = fill_zeros(&making);
	if (result == 0)
		result = write_superblocks(&making);
	if (result == 0 && !making.device && !(flags & SYNOD_URING_UNNAMED))
		result = sync_directory(&making);
	if (result < 0 && making.created)
		unlink(path);
	if (making.fd >= 0)
		close(making.fd);
	synod_uring_nvme_close(&making.nvme, 1);
	if (making.zeros)
		munmap(making.zeros, SYNOD_URING_CHUNK_SIZE);
	return result;
}

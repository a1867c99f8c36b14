/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NVMe passthrough: the journal on /dev/ngXnY, a namespace's character device. The ring carries the
 * device's own commands (IORING_OP_URING_CMD, 128-byte entries), past the block layer: a write with
 * FUA is complete when it is on stable media, with or without a cache in front of it.
 *
 * The blocking parts (format, the start's scan and superblocks, `synod log`) go through the block
 * node of the same namespace, /dev/nvmeXnY, with O_DIRECT: no page cache between the two, so each
 * sees what the other wrote. Both nodes are locked, so two processes never meet on one namespace,
 * whichever of its names they know.
 *
 * FUA and no flush: every NVMe device has the bit in its write command; one that the kernel knows
 * to ignore it is refused. What the device says of itself is judged here as any input.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
	IDENTIFY = 0x06, /* the admin command */
	OF_NAMESPACE = 0,
	OF_CONTROLLER = 1,
	WRITE = 0x01, /* commands of a namespace */
	READ = 0x02,
	FUA = 1 << 30, /* of command word 12 */

	/* Where an answer to Identify says what. */
	CONTROLLER_MDTS = 77, /* most bytes a command: a power of two of pages; 0: no limit */
	CONTROLLER_VWC = 525, /* bit 0: a cache that forgets */
	NAMESPACE_FLBAS = 26, /* which format: bits 0-3, 5-6; bit 4: metadata in line */
	NAMESPACE_LBAF = 128, /* formats of 4 bytes: metadata (2), block as a power of two (1) */
	PAGE_SHIFT = 12,     /* the smallest page there is; a larger one only makes limits larger */
	BLOCK_SHIFT_MIN = 9, /* 512 bytes */
	BLOCK_SHIFT_MAX = 12, /* ours */
	TRANSFER_SHIFT_MAX = 31,
};

_Static_assert(sizeof(struct nvme_uring_cmd) == 72, "what fits behind an entry of 128 bytes");
_Static_assert(1 << BLOCK_SHIFT_MAX == (int)SYNOD_BLOCK_SIZE,
	       "a block of ours is whole blocks of it");
_Static_assert(SYNOD_GROUP_SIZE_MAX >> BLOCK_SHIFT_MIN <= 1 << 16, "length is 16 bits, less one");
_Static_assert((int)SYNOD_URING_READ_SIZE <= (int)SYNOD_GROUP_SIZE_MAX, "a read is no longer");

/* ---- commands -------------------------------------------------------------------------------- */

void synod_uring_nvme_encode(const struct synod_uring_nvme *nvme, const struct synod_uring_io *io,
			     struct nvme_uring_cmd *command)
{
	const uint64_t block = io->offset >> nvme->block_shift;
	const uint32_t blocks = io->size >> nvme->block_shift;

	synod_assert_cmp(io->offset % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert_cmp(io->size % SYNOD_BLOCK_SIZE, ==, 0u);
	synod_assert(blocks > 0 && blocks <= 1 << 16);
	*command = (struct nvme_uring_cmd){
		.opcode = io->write ? WRITE : READ,
		.nsid = nvme->id,
		.addr = (uintptr_t)io->bytes,
		.data_len = io->size,
		.cdw10 = (uint32_t)block,
		.cdw11 = (uint32_t)(block >> 32),
		.cdw12 = (blocks - 1) | (io->write ? FUA : 0u),
	};
}

void synod_uring_nvme_prepare(const struct synod_uring_nvme *nvme, const struct synod_uring_io *io,
			      struct io_uring_sqe *sqe)
{
	synod_assert(nvme->fd >= 0);
	synod_assert(sqe != NULL);
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, io->fd, NULL, 0, 0);
	sqe->cmd_op = NVME_URING_CMD_IO;
	if (io->buffer >= 0) {
		sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
		sqe->buf_index = (uint16_t)io->buffer;
	}
	synod_uring_nvme_encode(nvme, io, (struct nvme_uring_cmd *)(void *)sqe->cmd);
}

int synod_uring_nvme_result(struct synod_uring_nvme *nvme, int result, uint32_t size)
{
	synod_assert(nvme->fd >= 0);
	synod_assert_cmp(size, <=, (uint32_t)INT32_MAX);
	if (result == 0)
		return (int)size; /* of a command all is done, or nothing */
	if (result < 0)
		return result;
	nvme->status = (uint32_t)result;
	return -EIO;
}

/* ---- what the device says of itself ---------------------------------------------------------- */

int synod_uring_nvme_judge(struct synod_uring_nvme *nvme, const uint8_t *controller,
			   const uint8_t *space, char *reason, size_t size)
{
	const uint8_t flbas = space[NAMESPACE_FLBAS];
	const uint32_t format = (flbas & 15u) | (flbas >> 1 & 0x30u);
	const uint8_t *lbaf = space + NAMESPACE_LBAF + (size_t)format * 4;
	const uint32_t mdts = controller[CONTROLLER_MDTS];

	synod_assert_cmp(NAMESPACE_LBAF + (size_t)format * 4 + 4, <=, SYNOD_URING_IDENTIFY_SIZE);
	synod_assert(reason && size > 0);
	nvme->block_shift = lbaf[2];
	nvme->write_back = controller[CONTROLLER_VWC] & 1;
	nvme->transfer_shift = mdts && mdts < TRANSFER_SHIFT_MAX - PAGE_SHIFT ? mdts + PAGE_SHIFT
									      : TRANSFER_SHIFT_MAX;
	if (nvme->block_shift < BLOCK_SHIFT_MIN || nvme->block_shift > BLOCK_SHIFT_MAX)
		snprintf(
			reason, size,
			"its blocks are of 2^%u bytes, and a journal's of %d: format the namespace "
			"with blocks of 512 or 4096 bytes (nvme format)",
			nvme->block_shift, SYNOD_BLOCK_SIZE);
	else if (lbaf[0] || lbaf[1])
		snprintf(reason, size,
			 "its blocks carry %u bytes of metadata, which nobody here writes: format "
			 "the namespace without (nvme format)",
			 lbaf[0] | (uint32_t)lbaf[1] << 8);
	else if (1u << nvme->transfer_shift < SYNOD_GROUP_SIZE_MAX)
		snprintf(reason, size,
			 "it takes %u bytes a command at most, and a group of the journal can have "
			 "%d: use the block device, which splits writes",
			 1u << nvme->transfer_shift, SYNOD_GROUP_SIZE_MAX);
	else
		return 0;
	return -ENOTSUP;
}

static int identify(const struct synod_uring_nvme *nvme, uint32_t of, void *answer)
{
	struct nvme_admin_cmd command = {
		.opcode = IDENTIFY,
		.nsid = of == OF_NAMESPACE ? nvme->id : 0,
		.addr = (uintptr_t)answer,
		.data_len = SYNOD_URING_IDENTIFY_SIZE,
		.cdw10 = of,
	};
	const int result = ioctl(nvme->fd, NVME_IOCTL_ADMIN_CMD, &command);

	synod_assert(nvme->fd >= 0);
	synod_assert(of == OF_NAMESPACE || of == OF_CONTROLLER);
	if (result < 0)
		return -errno;
	return result > 0 ? -EIO : 0;
}

/* Asks. answers: of the controller, then of the namespace. 0, or -errno. */
static int ask(struct synod_uring_nvme *nvme, uint8_t *answers)
{
	const int id = ioctl(nvme->fd, NVME_IOCTL_ID);
	int result;

	synod_assert(nvme->fd >= 0);
	synod_assert(answers != NULL);
	if (id <= 0)
		return id < 0 ? -errno : -ENOTTY;
	nvme->id = (uint32_t)id;
	result = identify(nvme, OF_CONTROLLER, answers);
	if (result < 0)
		return result;
	return identify(nvme, OF_NAMESPACE, answers + SYNOD_URING_IDENTIFY_SIZE);
}

/* Asks and judges. 0, or -errno and the reason. */
static int interrogate(struct synod_uring_nvme *nvme, char *reason, size_t size)
{
	uint8_t *answers = synod_uring_map((size_t)2 * SYNOD_URING_IDENTIFY_SIZE);
	int result;

	synod_assert(nvme->fd >= 0);
	synod_assert(reason && size > 0);
	if (!answers) {
		snprintf(reason, size, "out of memory");
		return -ENOMEM;
	}
	result = ask(nvme, answers);
	if (result == 0)
		result = synod_uring_nvme_judge(nvme, answers, answers + SYNOD_URING_IDENTIFY_SIZE,
						reason, size);
	else
		snprintf(reason, size, "cannot identify it: %s%s", strerror(-result),
			 result == -EACCES || result == -EPERM
				 ? "; before Linux 6.2 passthrough is root's (CAP_SYS_ADMIN)"
				 : "");
	munmap(answers, (size_t)2 * SYNOD_URING_IDENTIFY_SIZE);
	return result;
}

/* ---- its two nodes --------------------------------------------------------------------------- */

/* The last word of where a link of sysfs leads, or "". */
static void link_name(const char *link, char *name, size_t size)
{
	char target[PATH_MAX];
	const ssize_t length = readlink(link, target, sizeof(target) - 1);

	synod_assert(link != NULL);
	synod_assert(name && size > 0);
	name[0] = '\0';
	if (length <= 0)
		return;
	target[length] = '\0';
	snprintf(name, size, "%.*s", (int)size - 1, basename(target));
}

/* Is that block node the namespace that the kernel calls by its name? */
static int is_block_node(const char *name, const char *path)
{
	char file[96];
	char said[32] = "";
	char wanted[32];
	struct stat status;
	FILE *number;

	synod_assert(name && path);
	snprintf(file, sizeof(file), "/sys/class/block/%s/dev", name);
	number = fopen(file, "re");
	if (!number)
		return 0;
	if (!fgets(said, sizeof(said), number))
		said[0] = '\0';
	fclose(number);
	if (stat(path, &status) < 0 || !S_ISBLK(status.st_mode))
		return 0;
	snprintf(wanted, sizeof(wanted), "%u:%u\n", major(status.st_rdev), minor(status.st_rdev));
	synod_assert(wanted[0] != '\0');
	return !strcmp(said, wanted);
}

int synod_uring_nvme_find(const char *path, struct synod_uring_place *place, char *error,
			  size_t error_size)
{
	char link[64];
	char subsystem[32];
	struct stat status;

	synod_assert(path && place);
	memset(place, 0, sizeof(*place));
	if (stat(path, &status) < 0 || !S_ISCHR(status.st_mode)) {
		snprintf(place->path, sizeof(place->path), "%s", path);
		return 0;
	}
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/subsystem", major(status.st_rdev),
		 minor(status.st_rdev));
	link_name(link, subsystem, sizeof(subsystem));
	*strrchr(link, '/') = '\0';
	link_name(link, place->name, sizeof(place->name));
	if (strcmp(subsystem, "nvme-generic") != 0 || strncmp(place->name, "ng", 2) != 0)
		return synod_uring_say(
			error, error_size, -ENOTSUP,
			"%s: a character device that is no NVMe namespace: a journal "
			"is a file, a block device, or /dev/ngXnY",
			path);
	snprintf(place->path, sizeof(place->path), "/dev/nvme%s", place->name + 2);
	if (!is_block_node(place->path + 5, place->path))
		return synod_uring_say(
			error, error_size, -ENOTSUP,
			"%s: this namespace has no block node %s beside it, by which "
			"a journal is made and read at start: use another namespace",
			path, place->path);
	place->passthrough = 1;
	return 0;
}

int synod_uring_nvme_open(const char *path, struct synod_uring_nvme *nvme, char *error,
			  size_t error_size)
{
	char reason[256];
	int result;

	synod_assert(nvme->fd < 0);
	synod_assert(error && error_size > 0);
	nvme->fd = open(path, O_RDWR | O_CLOEXEC);
	if (nvme->fd < 0)
		return synod_uring_say(error, error_size, -errno, "%s: cannot open: %s", path,
				       strerror(errno));
	result = interrogate(nvme, reason, sizeof(reason));
	if (result < 0)
		return synod_uring_say(error, error_size, result, "%s: %s", path, reason);
	if (synod_uring_lock(nvme->fd) < 0)
		return synod_uring_say(error, error_size, -EBUSY,
				       "%s: in use by another process: is this replica running "
				       "already?",
				       path);
	return 0;
}

void synod_uring_nvme_close(struct synod_uring_nvme *nvme, int unlock)
{
	if (nvme->fd < 0)
		return;
	if (unlock)
		synod_uring_unlock(nvme->fd);
	close(nvme->fd);
	nvme->fd = -1;
}

/* What was found of the block node, corrected by what is written to instead. */
int synod_uring_nvme_describe(const struct synod_uring_nvme *nvme,
			      const struct synod_uring_place *place,
			      struct synod_journal_device *device, char *error, size_t error_size)
{
	synod_assert(nvme->fd >= 0 && place->passthrough);
	synod_assert(error && error_size > 0);
	if (device->write_back == SYNOD_DEVICE_YES && device->fua == SYNOD_DEVICE_NO)
		return synod_uring_say(
			error, error_size, -ENOTSUP,
			"/dev/%s: the kernel knows that this device takes no FUA, and "
			"it has a cache that forgets: use %s, which is flushed",
			place->name, place->path);
	device->durability = SYNOD_DURABILITY_NVME_FUA;
	device->write_back = nvme->write_back ? SYNOD_DEVICE_YES : SYNOD_DEVICE_NO;
	device->fua = SYNOD_DEVICE_YES;
	device->block_size = 1u << nvme->block_shift;
	device->transfer_shift = nvme->transfer_shift;
	memcpy(device->name, place->name, sizeof(device->name));
	return 0;
}

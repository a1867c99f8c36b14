/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a journal stands on, asked of the kernel once at open: which file system and device, what
 * they want aligned, whether the device has a cache that a power cut empties, and whether anything
 * stands between a flush and that cache. What cannot be known is said to be unknown: a guess here
 * would be printed on every result.
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
	LINE_SIZE = 4096, /* of mountinfo: more than the paths in it take */
	WORD_SIZE = 64
};

/* ---- the mount ------------------------------------------------------------------------------- */

/* The field of a mountinfo line that begins there; the next one's beginning. */
static const char *take_field(const char *at, char *field, size_t size)
{
	const size_t length = strcspn(at, " \n");

	synod_assert(field != NULL);
	synod_assert_cmp(size, >, 0u);
	snprintf(field, size, "%.*s", (int)length, at);
	at += length;
	return *at == ' ' ? at + 1 : at;
}

/* Is that one of the comma-separated options? */
static int has_option(const char *options, const char *option)
{
	const size_t length = strlen(option);

	synod_assert(options != NULL);
	synod_assert_cmp(length, >, 0u);
	for (const char *at = options; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, option, length) && (at[length] == ',' || at[length] == '\0'))
			return 1;
	}
	return 0;
}

/*
 * Do these pass a flush on to the device? Of those that do by their own account unless told not
 * to, yes; what stands on other machines or other file systems cannot be known from here.
 */
static uint32_t passes_flush(const char *fs, const char *options)
{
	static const char *const known[] = { "ext2",  "ext3", "ext4",	 "xfs",
					     "btrfs", "f2fs", "bcachefs" };

	synod_assert(fs != NULL);
	synod_assert(options != NULL);
	if (has_option(options, "nobarrier") || has_option(options, "barrier=0"))
		return SYNOD_DEVICE_NO;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(fs, known[i]))
			return SYNOD_DEVICE_YES;
	return SYNOD_DEVICE_UNKNOWN;
}

int synod_uring_probe_mount(const char *line, uint64_t mount_id,
			    struct synod_journal_device *device, char *source, size_t source_size)
{
	const char *dash = strstr(line, " - "); /* in front of it a blank in a path is \040 */
	char fs[WORD_SIZE];
	char options[LINE_SIZE];
	const char *at;

	synod_assert(device != NULL);
	synod_assert(source && source_size > 0);
	if (strtoull(line, NULL, 10) != mount_id || !dash)
		return 0;
	at = take_field(dash + 3, fs, sizeof(fs));
	at = take_field(at, source, source_size);
	take_field(at, options, sizeof(options));
	device->flush = passes_flush(fs, options);
	/* "fuse.sshfs", "nfs4" …: what matters stands in the first letters. */
	snprintf(device->fs, sizeof(device->fs), "%.*s", (int)sizeof(device->fs) - 1, fs);
	return 1;
}

/* Fills in the file system, and where it says that it stands. */
static void find_mount(uint64_t mount_id, struct synod_journal_device *device, char *source,
		       size_t source_size)
{
	char line[LINE_SIZE];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");

	synod_assert(source_size > 0);
	synod_assert_cmp(device->flush, ==, (uint32_t)SYNOD_DEVICE_UNKNOWN);
	source[0] = '\0';
	if (!mounts)
		return;
	while (fgets(line, sizeof(line), mounts))
		if (synod_uring_probe_mount(line, mount_id, device, source, source_size))
			break;
	fclose(mounts);
}

/* ---- the device ------------------------------------------------------------------------------ */

/* A word that the kernel says of the device's queue; 0 if it says nothing. */
static int read_queue(dev_t device, const char *name, char *word, size_t size)
{
	/* A partition has no queue of its own: its disk's is one up. */
	static const char *const folders[] = { "queue", "../queue" };
	char path[PATH_MAX];
	FILE *file = NULL;
	int got;

	synod_assert(name && word);
	synod_assert_cmp(size, >, 1u);
	for (size_t i = 0; i < 2 && !file; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(device),
			 minor(device), folders[i], name);
		file = fopen(path, "re");
	}
	if (!file)
		return 0;
	got = fgets(word, (int)size, file) != NULL;
	fclose(file);
	if (got)
		word[strcspn(word, "\n")] = '\0';
	return got;
}

static uint32_t read_number(dev_t device, const char *name)
{
	char word[WORD_SIZE];

	synod_assert(name != NULL);
	return read_queue(device, name, word, sizeof(word)) ? (uint32_t)strtoul(word, NULL, 10) : 0;
}

static uint32_t read_answer(dev_t device, const char *name)
{
	char word[WORD_SIZE];

	synod_assert(name != NULL);
	if (!read_queue(device, name, word, sizeof(word)))
		return SYNOD_DEVICE_UNKNOWN;
	return strcmp(word, "0") != 0 ? SYNOD_DEVICE_YES : SYNOD_DEVICE_NO;
}

static void probe_queue(dev_t number, struct synod_journal_device *device)
{
	char word[WORD_SIZE];
	char link[64];
	char target[PATH_MAX];
	ssize_t length;

	synod_assert_cmp(device->write_back, ==, (uint32_t)SYNOD_DEVICE_UNKNOWN);
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(number), minor(number));
	length = readlink(link, target, sizeof(target) - 1);
	if (length <= 0)
		return; /* not a block device that the kernel knows: a file system of its own */
	target[length] = '\0';
	snprintf(device->name, sizeof(device->name), "%.*s", (int)sizeof(device->name) - 1,
		 basename(target));
	if (read_queue(number, "write_cache", word, sizeof(word)))
		device->write_back =
			!strcmp(word, "write back") ? SYNOD_DEVICE_YES : SYNOD_DEVICE_NO;
	device->fua = read_answer(number, "fua");
	device->poll_queues = read_answer(number, "io_poll");
	device->block_size = read_number(number, "logical_block_size");
	if (!device->dma_alignment)
		device->dma_alignment = read_number(number, "dma_alignment") + 1;
}

/* A file system in memory keeps nothing, whatever it says to a sync. */
static int is_in_memory(int fd)
{
	struct statfs fs;

	synod_assert(fd >= 0);
	return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static void probe_file(int fd, const struct statx *status, struct synod_journal_device *device)
{
	char source[PATH_MAX];
	struct stat node;
	dev_t number = makedev(status->stx_dev_major, status->stx_dev_minor);

	synod_assert(fd >= 0);
	synod_assert(S_ISREG(status->stx_mode));
	find_mount(status->stx_mnt_id, device, source, sizeof(source));
	if (is_in_memory(fd)) {
		device->durability = SYNOD_DURABILITY_NONE;
		return;
	}
	/* Some (btrfs) have device numbers of their own: where they stand is said by the mount. */
	if (source[0] == '/' && stat(source, &node) == 0 && S_ISBLK(node.st_mode))
		number = node.st_rdev;
	probe_queue(number, device);
}

void synod_uring_probe(int fd, enum synod_durability obtained, struct synod_journal_device *device)
{
	struct statx status;
	unsigned int mask = STATX_TYPE | STATX_MNT_ID;

	synod_assert(fd >= 0);
	synod_assert(device != NULL);
	memset(device, 0, sizeof(*device));
	device->durability = obtained;
#ifdef STATX_DIOALIGN
	mask |= STATX_DIOALIGN;
#endif
	if (statx(fd, "", AT_EMPTY_PATH, mask, &status) < 0)
		return;
#ifdef STATX_DIOALIGN
	if (status.stx_mask & STATX_DIOALIGN)
		device->dma_alignment = status.stx_dio_mem_align;
#endif
	if (S_ISBLK(status.stx_mode)) {
		device->flush = SYNOD_DEVICE_YES;
		probe_queue(makedev(status.stx_rdev_major, status.stx_rdev_minor), device);
	} else if (S_ISREG(status.stx_mode)) {
		probe_file(fd, &status, device);
	}
	/* Direct and synchronous, and yet lost: the cache is asked to flush by nobody. */
	if (device->write_back == SYNOD_DEVICE_YES && device->flush == SYNOD_DEVICE_NO)
		device->durability = SYNOD_DURABILITY_NONE;
}

/* ---- what is said of it ---------------------------------------------------------------------- */

int synod_journal_device_check(const struct synod_journal_device *device, char *reason, size_t size)
{
	synod_assert(device != NULL);
	synod_assert(reason && size > 0);
	reason[0] = '\0';
	if (device->durability == SYNOD_DURABILITY_DIRECT_DSYNC ||
	    device->durability == SYNOD_DURABILITY_NVME_FUA)
		return 0;
	if (device->write_back == SYNOD_DEVICE_YES && device->flush == SYNOD_DEVICE_NO)
		snprintf(
			reason, size,
			"%s is mounted with nobarrier, and the cache of /dev/%s forgets what is in "
			"it when the power goes: nothing asks it to flush; mount it with barriers",
			device->fs, device->name);
	else if (device->durability == SYNOD_DURABILITY_NONE)
		snprintf(reason, size, "%s keeps nothing; put the journal on a disk", device->fs);
	else
		snprintf(reason, size,
			 "%s has no O_DIRECT, and gives only rwf_dsync; put the journal on a disk "
			 "with O_DIRECT",
			 device->fs);
	return -ENOTSUP;
}

const char *synod_durability_name(uint64_t durability)
{
	switch (durability) {
	case SYNOD_DURABILITY_DIRECT_DSYNC:
		return "o_direct+rwf_dsync";
	case SYNOD_DURABILITY_DSYNC:
		return "rwf_dsync";
	case SYNOD_DURABILITY_NVME_FUA:
		return "nvme-passthrough+fua";
	default:
		return "none";
	}
}

/* The text grows; what does not fit is left out. */
static void __attribute__((format(printf, 3, 4)))
add(char *text, size_t size, const char *format, ...)
{
	const size_t used = strlen(text);
	va_list arguments;

	synod_assert_cmp(used, <, size);
	va_start(arguments, format);
	vsnprintf(text + used, size - used, format, arguments);
	va_end(arguments);
}

void synod_journal_device_text(const struct synod_journal_device *device, char *text, size_t size)
{
	const uint32_t cache = device->write_back;

	synod_assert(device != NULL);
	synod_assert(text && size > 0);
	snprintf(text, size, "%s", synod_durability_name(device->durability));
	if (device->in_memory) {
		add(text, size, ": in memory, forgotten when the process ends");
		return;
	}
	if (device->fs[0])
		add(text, size, " on %s", device->fs);
	if (device->name[0])
		add(text, size, "%s/dev/%s", device->fs[0] ? ", " : " on ", device->name);
	if (!strcmp(device->fs, "tmpfs") || !strcmp(device->fs, "ramfs"))
		return;
	add(text, size, ", %s cache",
	    cache == SYNOD_DEVICE_YES  ? "write-back"
	    : cache == SYNOD_DEVICE_NO ? "write-through"
				       : "unknown");
	if (device->flush == SYNOD_DEVICE_NO)
		add(text, size, ", never flushed (nobarrier)");
	else if (device->flush == SYNOD_DEVICE_UNKNOWN)
		add(text, size, ", whether a flush reaches it is unknown");
	else if (cache == SYNOD_DEVICE_YES)
		add(text, size, ", fua %s",
		    device->fua == SYNOD_DEVICE_YES  ? "yes"
		    : device->fua == SYNOD_DEVICE_NO ? "no (flush)"
						     : "unknown");
	if (device->block_size)
		add(text, size, ", block %u", device->block_size);
	if (device->transfer_shift && device->transfer_shift < 32)
		add(text, size, ", transfer %u", 1u << device->transfer_shift);
	if (device->polled)
		add(text, size, ", polled");
}

/* ---- as numbers, for a datagram -------------------------------------------------------------- */

_Static_assert(sizeof(((struct synod_journal_device *)0)->fs) == 8, "one word");
_Static_assert(sizeof(((struct synod_journal_device *)0)->name) == 16, "two words");

void synod_journal_device_pack(const struct synod_journal_device *device,
			       uint64_t words[SYNOD_DEVICE_WORDS])
{
	synod_assert(device && words);
	synod_assert_cmp(device->durability, <, 256u);
	words[0] = device->durability | device->write_back << 8 | device->fua << 16 |
		   device->flush << 24 | (uint64_t)device->poll_queues << 32 |
		   (uint64_t)device->in_memory << 40 | (uint64_t)device->polled << 48 |
		   (uint64_t)device->transfer_shift << 56;
	words[1] = device->block_size | (uint64_t)device->dma_alignment << 32;
	memcpy(&words[2], device->fs, sizeof(device->fs));
	memcpy(&words[3], device->name, sizeof(device->name));
}

/* From a datagram: what is not a letter of a name ends it. */
static void take_name(char *name, size_t size, const void *bytes)
{
	synod_assert(name && bytes);
	synod_assert_cmp(size, >, 0u);
	memcpy(name, bytes, size);
	name[size - 1] = '\0';
	for (size_t i = 0; name[i]; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-!", name[i]))
			name[i] = '\0';
}

void synod_journal_device_unpack(const uint64_t words[SYNOD_DEVICE_WORDS],
				 struct synod_journal_device *device)
{
	synod_assert(device && words);
	*device = (struct synod_journal_device){
		.durability = words[0] & 0xff,
		.write_back = words[0] >> 8 & 0xff,
		.fua = words[0] >> 16 & 0xff,
		.flush = words[0] >> 24 & 0xff,
		.poll_queues = words[0] >> 32 & 0xff,
		.in_memory = words[0] >> 40 & 0xff,
		.polled = words[0] >> 48 & 0xff,
		.transfer_shift = words[0] >> 56 & 0xff,
		.block_size = (uint32_t)words[1],
		.dma_alignment = (uint32_t)(words[1] >> 32),
	};
	take_name(device->fs, sizeof(device->fs), &words[2]);
	take_name(device->name, sizeof(device->name), &words[3]);
	synod_assert(device->fs[sizeof(device->fs) - 1] == '\0');
}

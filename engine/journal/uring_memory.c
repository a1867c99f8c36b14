/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal without a disk, for comparison only: the same writer, format, scan and port over a file
 * that lives in memory and is gone when the process ends. What is written is copied at once and
 * completes at the next poll, so the order of things is that of a very fast disk. Nobody gets it
 * without asking, and everything that prints a figure says so (struct synod_journal_device).
 */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bytes that can be had without pushing others out; UINT64_MAX: not known. */
static uint64_t memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = UINT64_MAX >> 10;

	synod_assert_cmp(sizeof(line), >, 16u);
	if (!file)
		return UINT64_MAX;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "MemAvailable:", 13))
			kib = strtoull(line + 13, NULL, 10);
	fclose(file);
	synod_assert_cmp(kib, <=, UINT64_MAX >> 10);
	return kib << 10;
}

/* A journal as `synod format` makes it, in memory: its descriptor, or -errno and a sentence. */
int synod_uring_memory_make(const struct synod_journal_options *options, char *error,
			    size_t error_size)
{
	const uint64_t available = memory_available();
	const uint64_t wanted = options->memory.size + 2 * options->memory.area_size;
	char path[64];
	int fd;
	int result;

	synod_assert(options->expect != NULL); /* whose it is to be */
	synod_assert_cmp(options->memory.size, >, 0u);
	if (wanted > available)
		return synod_uring_say(error, error_size, -ENOMEM,
				       "durability = none: a journal of %" PRIu64
				       " MiB in memory, and %" PRIu64
				       " MiB are to be had: make journal_size smaller",
				       wanted >> 20, available >> 20);
	fd = memfd_create("synod-journal", MFD_CLOEXEC);
	if (fd < 0)
		return synod_uring_say(error, error_size, -errno,
				       "durability = none: no file in memory: %s", strerror(errno));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = synod_journal_format(path, options->expect, &options->memory,
				      SYNOD_JOURNAL_FORCE | SYNOD_URING_UNNAMED, error, error_size);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

/*
 * The pages are there, and mapped. But a hypervisor that keeps page tables of its own fills them in
 * at the first access, microseconds a page, which would be taken for the cost of a journal:
 * measured as 7 us of each page written, a third of all that the replicas did.
 */
static void touch_all(uint8_t *media, uint64_t size)
{
	synod_assert(media != NULL);
	synod_assert_cmp(size % SYNOD_BLOCK_SIZE, ==, 0u);
	/* Nobody else is there; a plain access that changes nothing would be left out. */
	for (uint64_t at = 0; at < size; at += SYNOD_BLOCK_SIZE)
		atomic_fetch_or_explicit((_Atomic uint8_t *)(media + at), 0, memory_order_relaxed);
}

/* Its bytes, to be written by copying: the whole file, all of it there already. */
int synod_uring_memory_map(struct synod_journal *journal)
{
	const int64_t size = synod_uring_file_size(journal->fd);

	synod_assert(journal->device.in_memory && !journal->media);
	synod_assert_cmp(size, >=, (int64_t)SYNOD_JOURNAL_SIZE_MIN);
	journal->media_size = (uint64_t)size;
	journal->media = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			      journal->fd, 0);
	if (journal->media == MAP_FAILED) {
		journal->media = NULL;
		return -errno;
	}
	touch_all(journal->media, journal->media_size / SYNOD_BLOCK_SIZE * SYNOD_BLOCK_SIZE);
	journal->ring_made = 1;
	return 0;
}

void synod_uring_memory_unmap(struct synod_journal *journal)
{
	synod_assert_implies(journal->media, journal->device.in_memory);
	synod_assert_implies(journal->media, journal->media_size > 0);
	if (journal->media)
		munmap(journal->media, (size_t)journal->media_size);
	journal->media = NULL;
}

/* Done, to be told at the next reap. */
static void note(struct synod_journal *journal, uint64_t data, uint32_t size)
{
	synod_assert_cmp(journal->media_done_count, <, (uint32_t)SYNOD_URING_ENTRIES);
	synod_assert_cmp(size, <=, (uint32_t)INT32_MAX);
	journal->media_done[journal->media_done_count].data = data;
	journal->media_done[journal->media_done_count++].result = (int)size;
	journal->inflight++;
}

void synod_uring_memory_write(struct synod_journal *journal, const struct synod_writer_io *io,
			      uint64_t data)
{
	synod_assert(journal->media != NULL);
	synod_assert_cmp(io->offset + io->size, <=, journal->media_size);
	memcpy(journal->media + io->offset, io->bytes, io->size);
	note(journal, data, io->size);
}

/* A read that goes beyond the end is short, as a file's is. */
void synod_uring_memory_read(struct synod_journal *journal, void *bytes, uint32_t size,
			     uint64_t offset, uint64_t data)
{
	synod_assert(journal->media != NULL);
	synod_assert_cmp(offset, <, journal->media_size);
	if (size > journal->media_size - offset)
		size = (uint32_t)(journal->media_size - offset);
	memcpy(bytes, journal->media + offset, size);
	note(journal, data, size);
}

int synod_uring_memory_reap(struct synod_journal *journal)
{
	const uint32_t count = journal->media_done_count;

	synod_assert(journal->media != NULL);
	synod_assert_cmp(count, ==, journal->inflight);
	journal->media_done_count = 0;
	/* What completes here prepares nothing: the array stays as it is while it is walked. */
	for (uint32_t i = 0; i < count; i++)
		synod_uring_completed(journal, journal->media_done[i].data,
				      journal->media_done[i].result);
	return journal->failed ? journal->failed : (int)count;
}

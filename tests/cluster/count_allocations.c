/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into synodd by steady.sh: counts calls of the allocator in the file that
 * SYNOD_COUNT_ALLOCATIONS names (one 64-bit number, mapped, so that it can be read while the
 * process runs), and passes them on.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static _Atomic uint64_t elsewhere;
static _Atomic uint64_t *count = &elsewhere;

__attribute__((constructor)) static void map_count(void)
{
	const char *path = getenv("SYNOD_COUNT_ALLOCATIONS");
	int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
	void *memory;

	if (fd < 0 || ftruncate(fd, sizeof(*count)) != 0)
		abort();
	memory = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		abort();
	close(fd);
	count = memory;
}

static void note(void)
{
	/* Relaxed: a count, read from outside. */
	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
}

/* Each finds the next allocator in line, jemalloc's or libc's, at its first call. */
/* POSIX's way around ISO C, which knows no conversion from void * to a function. */
#define NEXT(name) (*(void **)(void *)&next = dlsym(RTLD_NEXT, #name))

void *malloc(size_t size)
{
	static void *(*next)(size_t);

	note();
	if (!next)
		NEXT(malloc);
	return next(size);
}

void *realloc(void *old, size_t size)
{
	static void *(*next)(void *, size_t);

	note();
	if (!next)
		NEXT(realloc);
	return next(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	static void *(*next)(size_t, size_t);

	note();
	if (!next)
		NEXT(aligned_alloc);
	return next(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	static int (*next)(void **, size_t, size_t);

	note();
	if (!next)
		NEXT(posix_memalign);
	return next(memory, alignment, size);
}

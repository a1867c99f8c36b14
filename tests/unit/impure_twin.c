/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Impure on purpose: allocates, reads the clock and keeps a variable of its own. tools/tidy must
 * refuse it by its symbols (tests/unit/test_tidy.py), else its verdict on the pure libraries means
 * nothing. Linked into no program.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

void *synod_impure_twin_step(size_t size);

static uint64_t calls_count;

void *synod_impure_twin_step(size_t size)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	calls_count += (uint64_t)now.tv_nsec;
	return malloc(size + (calls_count & 1));
}

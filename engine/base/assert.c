/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of the road: say what was believed and was not so, and stop. */
#include "engine/base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void synod_assert_failed(const char *file, int line, const char *text)
{
	fprintf(stderr, "synod: %s:%d: assertion failed: %s\n", file, line, text);
	abort();
}

void synod_assert_failed_values(const char *file, int line, const char *text, int64_t left,
				int64_t right)
{
	fprintf(stderr, "synod: %s:%d: assertion failed: %s (%" PRId64 ", %" PRId64 ")\n", file,
		line, text, left, right);
	abort();
}

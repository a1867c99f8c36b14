/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C over ISA-L, which leaves initial value and final xor to its caller, and something else:
 * its widest version (2.30, AVX-512) returns with the upper halves of the vector registers in use,
 * and then the processor pays some 180 ns for the next plain SSE instruction of ours, whatever that
 * is. It cost two thirds of the throughput (bench/README.md); one instruction clears them.
 *
 * Tried: the processor's own instruction for inputs under 256 bytes. A tenth slower to apply.
 */
#include "engine/base/crc32c.h"

#include "engine/base/assert.h"

#include <isa-l/crc.h>
#include <limits.h>

#ifdef __x86_64__
#include <immintrin.h>

/* Not in line: our own code is not compiled for AVX. */
static __attribute__((target("avx"), noinline)) void leave_wide_vectors(void)
{
	_mm256_zeroupper();
}
#endif

uint32_t synod_crc32c_more(uint32_t crc, const void *data, size_t size)
{
	synod_assert_cmp(size, <=, (size_t)INT_MAX);
	/* ISA-L's prototype lacks const; it does not write. */
	crc = crc32_iscsi((unsigned char *)(uintptr_t)data, (int)size, ~crc);
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx"))
		leave_wide_vectors();
#endif
	return ~crc;
}

uint32_t synod_crc32c(const void *data, size_t size)
{
	return synod_crc32c_more(0, data, size);
}

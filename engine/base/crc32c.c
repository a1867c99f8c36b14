/* SPDX-License-Identifier: BSD-3-Clause */
/* CRC32C over ISA-L, which leaves initial value and final xor to its caller. */
#include "engine/base/crc32c.h"

#include "engine/base/assert.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t synod_crc32c_more(uint32_t crc, const void *data, size_t size)
{
	synod_assert_cmp(size, <=, (size_t)INT_MAX);
	/* ISA-L's prototype lacks const; it does not write. */
	return ~crc32_iscsi((unsigned char *)(uintptr_t)data, (int)size, ~crc);
}

uint32_t synod_crc32c(const void *data, size_t size)
{
	return synod_crc32c_more(0, data, size);
}

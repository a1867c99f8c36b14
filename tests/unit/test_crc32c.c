/* SPDX-License-Identifier: BSD-3-Clause */
/* The checksum, against a bit-by-bit twin. */
#include "engine/base/crc32c.h"
#include "engine/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#ifdef __x86_64__
#include <cpuid.h>
#endif

static uint32_t twin(const uint8_t *data, size_t size)
{
	uint32_t crc = UINT32_MAX;
	size_t at;
	int bit;

	for (at = 0; at < size; at++) {
		crc ^= data[at];
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void the_standard_check_value_comes_out(void **state)
{
	(void)state;
	assert_int_equal(synod_crc32c("123456789", 9), 0xe3069283u);
	assert_int_equal(synod_crc32c("", 0), 0);
}

static void every_size_and_alignment_equals_the_twin(void **state)
{
	uint8_t bytes[600];
	uint64_t random = 1;
	size_t at;

	(void)state;
	for (at = 0; at < sizeof(bytes); at++)
		bytes[at] = (uint8_t)synod_random_next(&random);
	for (at = 0; at <= 512; at++)
		assert_int_equal(synod_crc32c(bytes + at % 9, at), twin(bytes + at % 9, at));
}

static void continuing_equals_doing_it_at_once(void **state)
{
	uint8_t bytes[300];
	uint64_t random = 2;
	size_t at;

	(void)state;
	for (at = 0; at < sizeof(bytes); at++)
		bytes[at] = (uint8_t)synod_random_next(&random);
	for (at = 0; at <= sizeof(bytes); at++)
		assert_int_equal(
			synod_crc32c_more(synod_crc32c(bytes, at), bytes + at, sizeof(bytes) - at),
			synod_crc32c(bytes, sizeof(bytes)));
}

#ifdef __x86_64__
enum {
	AVX = 1 << 2,	  /* upper halves of the 256-bit registers */
	AVX512 = 1 << 6,  /* and of the 512-bit ones */
	IN_USE = 1 << 2,  /* of CPUID 0xd.1: XGETBV tells which state is in use */
	OSXSAVE = 1 << 27 /* of CPUID 1: it may be asked */
};

/* Which of the vector registers' halves are not zero; -1: this processor does not tell. */
static int64_t vectors_in_use(void)
{
	uint32_t a, b, c, d;

	if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & OSXSAVE) ||
	    !__get_cpuid_count(0xd, 1, &a, &b, &c, &d) || !(a & IN_USE))
		return -1;
	__asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
	return a & (AVX | AVX512);
}

/* With a half in use each next SSE instruction waits 180 ns, wherever it stands: crc32c.c. */
static void no_vector_register_is_left_wide(void **state)
{
	static const uint8_t bytes[8192];

	(void)state;
	for (size_t size = 1; size <= sizeof(bytes); size *= 2) {
		(void)synod_crc32c(bytes, size);
		if (vectors_in_use() < 0)
			skip();
		assert_int_equal(vectors_in_use(), 0);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standard_check_value_comes_out),
		cmocka_unit_test(every_size_and_alignment_equals_the_twin),
		cmocka_unit_test(continuing_equals_doing_it_at_once),
#ifdef __x86_64__
		cmocka_unit_test(no_vector_register_is_left_wide),
#endif
	};

	return cmocka_run_group_tests_name("crc32c", tests, NULL, NULL);
}

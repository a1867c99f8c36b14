/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Assertions: always on, in release too. They state what the program believes about itself; they
 * never judge what came from outside (packets, disk bytes, configuration): those are checked,
 * counted and refused.
 */
#ifndef SYNOD_BASE_ASSERT_H
#define SYNOD_BASE_ASSERT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Print what was believed, and abort. Never returns. */
void synod_assert_failed(const char *file, int line, const char *text)
	__attribute__((noreturn, cold));
void synod_assert_failed_values(const char *file, int line, const char *text, int64_t left,
				int64_t right) __attribute__((noreturn, cold));

#ifdef __cplusplus
}
#endif

#define synod_assert(condition)                                              \
	do {                                                                 \
		if (__builtin_expect(!(condition), 0))                       \
			synod_assert_failed(__FILE__, __LINE__, #condition); \
	} while (0)

/* Both values are printed: synod_assert_cmp(slot, <=, slot_last). */
#define synod_assert_cmp(left, op, right)                                                        \
	do {                                                                                     \
		if (__builtin_expect(!((left)op(right)), 0))                                     \
			synod_assert_failed_values(__FILE__, __LINE__, #left " " #op " " #right, \
						   (int64_t)(left), (int64_t)(right));           \
	} while (0)

/* Implication: where the premise holds, the conclusion must. */
#define synod_assert_implies(premise, conclusion)                                                  \
	do {                                                                                       \
		if (__builtin_expect((premise) && !(conclusion), 0))                               \
			synod_assert_failed(__FILE__, __LINE__, #premise " implies " #conclusion); \
	} while (0)

#endif

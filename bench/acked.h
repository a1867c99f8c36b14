/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The file in which a load generator notes what was acknowledged to it, for `synod verify --acked`:
 * records of 24 bytes, little-endian, one for each command whose answer was OK (or an answer of the
 * state machine that took a position), in any order, nothing else. A record cut short at the end (a
 * generator that was killed) is ignored.
 */
#ifndef SYNOD_BENCH_ACKED_H
#define SYNOD_BENCH_ACKED_H

#include <stdint.h>

struct synod_acked {
	uint64_t session;
	uint64_t number;
	uint64_t position;
};

_Static_assert(sizeof(struct synod_acked) == 24, "no padding: written as it is");

#endif

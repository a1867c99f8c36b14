/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A seeded generator (splitmix64) whose whole state is one number, so that it can live in a struct
 * that is copied, compared and hashed. Not for secrets.
 */
#ifndef SYNOD_BASE_RANDOM_H
#define SYNOD_BASE_RANDOM_H

#include <stdint.h>

static inline uint64_t synod_random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* Uniform enough in [0, bound): the bias is bound / 2^64. bound > 0. */
static inline uint64_t synod_random_below(uint64_t *state, uint64_t bound)
{
	__extension__ unsigned __int128 wide = synod_random_next(state);

	return (uint64_t)((wide * bound) >> 64);
}

#endif

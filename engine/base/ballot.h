/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ballot is (round, replica) compared as one 64-bit number: 56 bits of round, 8 of replica.
 * 0 is "no ballot". A replica leads at most once at a ballot, in all its lives (I3): it makes its
 * own promise to the ballot durable before the first PREPARE leaves.
 */
#ifndef SYNOD_BASE_BALLOT_H
#define SYNOD_BASE_BALLOT_H

#include <stdint.h>

static inline uint64_t synod_ballot_make(uint64_t round, uint32_t replica)
{
	return round << 8 | (replica & 0xff);
}

static inline uint64_t synod_ballot_round(uint64_t ballot)
{
	return ballot >> 8;
}

static inline uint32_t synod_ballot_replica(uint64_t ballot)
{
	return (uint32_t)(ballot & 0xff);
}

#endif

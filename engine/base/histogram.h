/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A histogram of latencies in nanoseconds, three significant digits, 1 ns to 68 s, fixed memory.
 *
 * Log-linear: below 2048 each value has a bucket of its own; above, each power of two is cut into
 * 1024 equal buckets, so a bucket is never wider than a 1024th of its values, and a percentile,
 * reported as the bucket's middle, is within 0.05 % of a value that was recorded:
 *
 *      value  0 … 2047 │ 2048 … 4095 │ 4096 … 8191 │ …            2^36 - 1
 *      width      1    │      2      │      4      │ …
 *      buckets   2048  │    1024     │    1024     │ …   2048 + 25 * 1024 = 27,648 (216 KiB)
 *
 * Recording is a count of leading zeros, a shift and an addition. Larger values are counted in the
 * last bucket and in `saturated`; the true maximum is kept beside. The design is HdrHistogram's
 * (whose C library Debian 12 does not package, or it would be used); its corrections for
 * coordinated omission are left out on purpose: an open-loop generator counts from the intended
 * start instead.
 *
 * One thread writes; another may read a copy, or merge it. Pure: no clock, no allocator.
 */
#ifndef SYNOD_BASE_HISTOGRAM_H
#define SYNOD_BASE_HISTOGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SYNOD_HISTOGRAM_LINEAR_BITS = 11, /* below 2^11 every value for itself */
	SYNOD_HISTOGRAM_VALUE_BITS = 36,  /* 2^36 ns = 68.7 s */
	SYNOD_HISTOGRAM_BUCKETS = (1 << SYNOD_HISTOGRAM_LINEAR_BITS) +
				  (SYNOD_HISTOGRAM_VALUE_BITS - SYNOD_HISTOGRAM_LINEAR_BITS) *
					  (1 << (SYNOD_HISTOGRAM_LINEAR_BITS - 1)),
};

/* All zero: empty. */
struct synod_histogram {
	uint64_t count;
	uint64_t sum; /* ns */
	uint64_t max; /* ns, exact, even beyond the range */
	uint64_t saturated;
	uint64_t buckets[SYNOD_HISTOGRAM_BUCKETS];
};

/* The bucket of a value within the range. */
static inline uint32_t synod_histogram_bucket(uint64_t value)
{
	uint32_t shift;

	if (value < 1u << SYNOD_HISTOGRAM_LINEAR_BITS)
		return (uint32_t)value;
	/* The top 11 bits, of which the first is always set, after shift halvings. */
	shift = 64 - SYNOD_HISTOGRAM_LINEAR_BITS - (uint32_t)__builtin_clzll(value);
	return (shift << (SYNOD_HISTOGRAM_LINEAR_BITS - 1)) + (uint32_t)(value >> shift);
}

/* Inline: it is called once an operation. */
static inline void synod_histogram_record(struct synod_histogram *histogram, uint64_t value_ns)
{
	uint64_t last = (1ull << SYNOD_HISTOGRAM_VALUE_BITS) - 1;

	histogram->count++;
	histogram->sum += value_ns;
	if (value_ns > histogram->max)
		histogram->max = value_ns;
	if (value_ns > last) {
		histogram->saturated++;
		value_ns = last;
	}
	histogram->buckets[synod_histogram_bucket(value_ns)]++;
}

/* Adds everything in `from` to `into`. */
void synod_histogram_merge(struct synod_histogram *into, const struct synod_histogram *from);

/*
 * The value, in ns, that percent (0..100) of the recorded ones do not exceed: the middle of its
 * bucket, but never above the maximum. 0 when nothing was recorded.
 */
uint64_t synod_histogram_percentile(const struct synod_histogram *histogram, double percent);

/* The mean, in ns; 0 when nothing was recorded. */
double synod_histogram_mean(const struct synod_histogram *histogram);

#ifdef __cplusplus
}
#endif

#endif

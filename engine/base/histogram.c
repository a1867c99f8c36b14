/* SPDX-License-Identifier: BSD-3-Clause */
/* Latency histograms. See histogram.h for the buckets. */
#include "engine/base/histogram.h"

#include "engine/base/assert.h"

void synod_histogram_merge(struct synod_histogram *into, const struct synod_histogram *from)
{
	uint32_t bucket;

	for (bucket = 0; bucket < SYNOD_HISTOGRAM_BUCKETS; bucket++)
		into->buckets[bucket] += from->buckets[bucket];
	into->count += from->count;
	into->sum += from->sum;
	into->saturated += from->saturated;
	if (from->max > into->max)
		into->max = from->max;
}

/* The middle of a bucket: the inverse of synod_histogram_bucket, within half a width. */
static uint64_t middle(uint32_t bucket)
{
	uint32_t half = 1u << (SYNOD_HISTOGRAM_LINEAR_BITS - 1);
	uint32_t shift;
	uint64_t first;

	if (bucket < 2 * half)
		return bucket;
	shift = bucket / half - 1;
	first = (uint64_t)(bucket - shift * half) << shift;
	return first + (1ull << shift) / 2;
}

uint64_t synod_histogram_percentile(const struct synod_histogram *histogram, double percent)
{
	double wanted = percent / 100.0 * (double)histogram->count;
	uint64_t rank = (uint64_t)wanted;
	uint64_t seen = 0;
	uint32_t bucket;

	if (!histogram->count)
		return 0;
	if ((double)rank < wanted || rank == 0)
		rank++; /* rounded up, and at least the first */
	if (rank >= histogram->count)
		return histogram->max;
	for (bucket = 0; bucket < SYNOD_HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->buckets[bucket];
		if (seen >= rank) {
			uint64_t value = middle(bucket);

			return value < histogram->max ? value : histogram->max;
		}
	}
	synod_assert(seen == histogram->count); /* every value recorded stands in a bucket */
	return histogram->max;
}

double synod_histogram_mean(const struct synod_histogram *histogram)
{
	return histogram->count ? (double)histogram->sum / (double)histogram->count : 0.0;
}

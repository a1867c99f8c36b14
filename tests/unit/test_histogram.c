/* SPDX-License-Identifier: BSD-3-Clause */
/* Histograms, against a sorted array of the same values. */
#include "engine/base/histogram.h"
#include "engine/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct synod_histogram histogram;
static struct synod_histogram other;

static int clear(void **state)
{
	(void)state;
	memset(&histogram, 0, sizeof(histogram));
	memset(&other, 0, sizeof(other));
	return 0;
}

static int ascending(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static void percentiles_are_within_a_thousandth_of_the_sorted_values(void **state)
{
	enum {
		COUNT = 100000
	};
	static const double percents[] = { 0, 1, 25, 50, 75, 90, 99, 99.9, 99.99, 100 };
	uint64_t *values = malloc(COUNT * sizeof(*values));
	uint64_t random = 7;
	uint32_t index;

	(void)state;
	assert_non_null(values);
	for (index = 0; index < COUNT; index++) {
		/* Every size of number as often as any other, up to 2^36. */
		values[index] =
			synod_random_next(&random) >> (28 + synod_random_below(&random, 36));
		synod_histogram_record(&histogram, values[index]);
	}
	qsort(values, COUNT, sizeof(*values), ascending);
	for (index = 0; index < sizeof(percents) / sizeof(percents[0]); index++) {
		uint64_t rank = (uint64_t)(percents[index] / 100 * COUNT);
		double expected = (double)values[rank ? rank - 1 : 0];
		double found = (double)synod_histogram_percentile(&histogram, percents[index]);

		assert_true(found >= expected * 0.999 && found <= expected * 1.001);
	}
	assert_int_equal(synod_histogram_percentile(&histogram, 100), values[COUNT - 1]);
	free(values);
}

static void every_bucket_boundary_goes_to_the_next_bucket(void **state)
{
	uint32_t bits;

	(void)state;
	assert_int_equal(synod_histogram_bucket(0), 0);
	assert_int_equal(synod_histogram_bucket(2047), 2047);
	assert_int_equal(synod_histogram_bucket(2048), 2048);
	assert_int_equal(synod_histogram_bucket(2049), 2048);
	for (bits = 11; bits < SYNOD_HISTOGRAM_VALUE_BITS; bits++)
		assert_int_equal(synod_histogram_bucket((1ull << bits) - 1) + 1,
				 synod_histogram_bucket(1ull << bits));
	assert_int_equal(synod_histogram_bucket((1ull << SYNOD_HISTOGRAM_VALUE_BITS) - 1),
			 SYNOD_HISTOGRAM_BUCKETS - 1);
}

static void small_values_are_exact(void **state)
{
	uint64_t value;

	(void)state;
	for (value = 1; value <= 2000; value++)
		synod_histogram_record(&histogram, value);
	for (value = 1; value < 100; value++)
		assert_int_equal(synod_histogram_percentile(&histogram, (double)value), value * 20);
	assert_true(synod_histogram_mean(&histogram) == 1000.5);
}

static void values_beyond_the_range_are_counted_and_the_maximum_kept(void **state)
{
	(void)state;
	synod_histogram_record(&histogram, 1);
	synod_histogram_record(&histogram, UINT64_MAX >> 1);
	assert_int_equal(histogram.saturated, 1);
	assert_int_equal(synod_histogram_percentile(&histogram, 100), UINT64_MAX >> 1);
	assert_int_equal(synod_histogram_percentile(&histogram, 50), 1);
}

static void merging_equals_recording_in_one(void **state)
{
	static struct synod_histogram whole;
	uint64_t random = 3;
	uint32_t index;

	(void)state;
	memset(&whole, 0, sizeof(whole));
	for (index = 0; index < 10000; index++) {
		uint64_t value = synod_random_next(&random) >> 25;

		synod_histogram_record(&whole, value);
		synod_histogram_record(index % 3 ? &histogram : &other, value);
	}
	synod_histogram_merge(&histogram, &other);
	assert_memory_equal(&histogram, &whole, sizeof(whole));
}

static void an_empty_histogram_answers_zero(void **state)
{
	(void)state;
	assert_int_equal(synod_histogram_percentile(&histogram, 99), 0);
	assert_true(synod_histogram_mean(&histogram) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(percentiles_are_within_a_thousandth_of_the_sorted_values,
				       clear),
		cmocka_unit_test_setup(every_bucket_boundary_goes_to_the_next_bucket, clear),
		cmocka_unit_test_setup(small_values_are_exact, clear),
		cmocka_unit_test_setup(values_beyond_the_range_are_counted_and_the_maximum_kept,
				       clear),
		cmocka_unit_test_setup(merging_equals_recording_in_one, clear),
		cmocka_unit_test_setup(an_empty_histogram_answers_zero, clear),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}

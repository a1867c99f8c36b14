/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load generator's result as one JSON object and as a few lines for a person. Every number comes
 * from the run; what was not measured is null.
 */
#ifndef SYNOD_BENCH_LOAD_REPORT_H
#define SYNOD_BENCH_LOAD_REPORT_H

#include "bench/load.h"

#include <jansson.h>
#include <stdio.h>

/*
 * The members: status ("valid", "invalid", "failed"), reasons, mode, workload, outstanding,
 * rate_per_s, payload_bytes, replicas, seconds, ops_per_s, latency_us, acked, acked_measured,
 * submitted, unknown, refused, errors, blocked, notes_lost, max_gap_ms, gaps [{begin_ns, end_ns}]
 * (monotonic clock), lag_us, client {counters}; where wanted buckets {begin_ns, bucket_ns, acked
 * [acknowledgements in each]}. A new reference, or NULL: out of memory.
 *
 * failed: nothing was acknowledged. invalid: some operation's fate is unknown or an error, or the
 * generator itself was late (open loop: p99.9 of its lag above 10 % of the median latency), or
 * acknowledgements were not noted, or the generator had to wait for its history's file.
 */
json_t *synod_load_report(const struct synod_load_config *config,
			  const struct synod_load_result *result);

/* The same, shorter, as text. */
void synod_load_print(FILE *to, const struct synod_load_config *config,
		      const struct synod_load_result *result);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harness of the micro-benchmarks: each is a C function that does something `iterations` times,
 * listed in one table of its file; micro_main.cc alone knows Google Benchmark. Add a table to
 * micro_tables[] there, and its file to meson.build.
 */
#ifndef SYNOD_BENCH_MICRO_H
#define SYNOD_BENCH_MICRO_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_micro {
	const char *name;
	/* Does it that often; called first with 0 to set up what the measurement should not see. */
	void (*run)(uint64_t iterations);
	uint64_t bytes; /* of one iteration, 0: does not apply */
	uint64_t items; /* commands of one iteration, 0: 1 */
	uint32_t batch; /* iterations between two looks at the clock, 0: 256 */
};

/* Ends with a NULL name. */
extern const struct synod_micro synod_micro_core[];
extern const struct synod_micro synod_micro_formats[];
extern const struct synod_micro synod_micro_machine[];
extern const struct synod_micro synod_micro_twins[];

#ifdef __cplusplus
}
#endif

#endif

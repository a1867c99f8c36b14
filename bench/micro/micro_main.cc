// SPDX-License-Identifier: BSD-3-Clause
// Registers the C tables with Google Benchmark: synod-micro [--benchmark_filter=...
// --benchmark_format=json]. compare.py reads its JSON.
#include "bench/micro/micro.h"

#include <benchmark/benchmark.h>

static void run_one(benchmark::State &state, const struct synod_micro *micro)
{
	const uint32_t batch = micro->batch ? micro->batch : 256;

	micro->run(0);
	while (state.KeepRunningBatch(batch))
		micro->run(batch);
	if (micro->bytes)
		state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(micro->bytes));
	state.SetItemsProcessed(state.iterations() *
				static_cast<int64_t>(micro->items ? micro->items : 1));
}

int main(int argc, char **argv)
{
	const struct synod_micro *tables[] = { synod_micro_core, synod_micro_formats,
					       synod_micro_machine, synod_micro_twins };

	for (const struct synod_micro *table : tables)
		for (const struct synod_micro *micro = table; micro->name; micro++)
			benchmark::RegisterBenchmark(micro->name, run_one, micro);
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	benchmark::RunSpecifiedBenchmarks();
	benchmark::Shutdown();
	return 0;
}

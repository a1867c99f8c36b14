/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-path: commands through the whole path of leader, followers and client, in batches of 1, 8
 * and 100, for callgrind to count: see path.h, and bench/instructions, which runs it. Alone it
 * prints a line a case: commands, batches, turns of each replica; the first line says how it was
 * built, since counts are of one compiler and one level of optimization.
 *
 * Exit status: 0, or 1: a command did not come through.
 */
#include "bench/path.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	PAYLOAD = 64,
	WARMUP_ROUNDS = 64, /* caches of pools and rings are filled, and every window turns once */
};

static const struct {
	uint32_t commands; /* of a round: one datagram, one batch */
	uint32_t rounds;
} cases[] = {
	{ 1, 512 },
	{ 8, 256 },
	{ 100, 96 },
};

static int run(void)
{
	synod_path_begin();
	for (uint32_t i = 0; i < RTE_DIM(cases); i++) {
		const uint32_t commands = cases[i].commands;
		uint64_t batches;
		uint64_t turns = synod_path_run(WARMUP_ROUNDS, commands, PAYLOAD);

		synod_path_case_over(); /* what the warm-up counted is not looked at */
		batches = synod_path_batches();
		if (turns)
			turns = synod_path_run(cases[i].rounds, commands, PAYLOAD);
		if (!turns) {
			fprintf(stderr, "synod-path: commands of case %" PRIu32 " were not done\n",
				commands);
			return 1;
		}
		synod_path_case_over();
		printf("case %" PRIu32 " commands %" PRIu32 " batches %" PRIu64 " turns %" PRIu64
		       "\n",
		       commands, commands * cases[i].rounds, synod_path_batches() - batches, turns);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct synod_apply_limits limits = synod_apply_limits(8, SYNOD_SESSION_WINDOW_MAX);

	if (argc > 1) {
		fprintf(stderr, "synod-path: %s: it takes no arguments; see bench/instructions\n",
			argv[1]);
		return 2;
	}
	printf("build %s\n", SYNOD_PATH_BUILD);
	return synod_path_program("synod-path", &limits, run);
}

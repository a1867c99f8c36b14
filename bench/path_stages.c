/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-path-stages: what a command costs each stage, in time, and so what a core can do that has
 * one stage to itself. A leader, two followers and a client in one thread (bench/path.h): the real
 * stages over journals in memory; links, drivers, io_uring and the kernel are not there, and nobody
 * waits for a processor. Each call of a stage is timed by the processor's counter; a batch takes a
 * few turns, of which most polls find nothing: that is counted too.
 *
 * Prints nanoseconds a command by stage, medians of the rounds, least and most of the sum; then
 * commands a second of a replica whose stages share a core, and of one with a core for each: as
 * many as its slowest stage can do. Rings between cores cost something that is not in it.
 *
 *   synod-path-stages [--rounds N (9)] [--batches N (400) of a round] [--payload BYTES (64)]
 */
#include "bench/path.h"

#include <rte_cycles.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROUNDS_MAX = 99,
	BATCHES_MAX = 7500, /* the journal holds 96 MiB and is never recycled */
	PAYLOAD_MAX = 8000,
	STAGES = 5,
	ROLES = 2,
};

static int (*const polls[STAGES])(struct synod_pipeline *, uint64_t) = {
	synod_ingress_poll,	synod_order_poll,  synod_journal_stage_poll,
	synod_apply_stage_poll, synod_egress_poll,
};
static const char *const stages[STAGES] = { "ingress", "order", "journal", "apply", "egress" };

static uint32_t rounds = 9;
static uint32_t batches = 400;
static uint32_t payload = 64;
static uint64_t ticks[ROLES][STAGES];
static double ns[ROLES][STAGES + 1][ROUNDS_MAX]; /* a command; the last: of all stages */

static void poll_timed(struct synod_pipeline *pipeline, uint64_t now_ns, int leads)
{
	uint64_t at = rte_rdtsc_precise();

	for (uint32_t stage = 0; stage < STAGES; stage++) {
		uint64_t then = at;

		(void)polls[stage](pipeline, now_ns);
		at = rte_rdtsc_precise();
		ticks[leads][stage] += at - then;
	}
}

/* As many as a batch holds, of the client's at most. */
static uint32_t commands_of_a_batch(void)
{
	uint32_t size = SYNOD_COMMAND_HEADER_SIZE + (payload + 7) / 8 * 8;
	uint32_t commands = SYNOD_BATCH_SIZE_MAX / size;

	return commands < 100 ? commands : 100;
}

static int run_round(uint32_t round)
{
	const double commands = (double)batches * commands_of_a_batch();

	memset(ticks, 0, sizeof(ticks));
	if (!synod_path_run(batches, commands_of_a_batch(), payload))
		return -1;
	for (uint32_t role = 0; role < ROLES; role++) {
		ns[role][STAGES][round] = 0;
		for (uint32_t stage = 0; stage < STAGES; stage++) {
			/* Of two followers, one. */
			double each = (double)ticks[role][stage] * 1e9 / (double)rte_get_tsc_hz() /
				      commands / (role ? 1 : 2);

			ns[role][stage][round] = each;
			ns[role][STAGES][round] += each;
		}
	}
	return 0;
}

static void report(void)
{
	static const char *const roles[ROLES] = { "follower", "leader" };

	printf("batches of %" PRIu32 " commands of %" PRIu32 " bytes, %" PRIu32 " rounds\n",
	       commands_of_a_batch(), payload, rounds);
	for (int role = ROLES - 1; role >= 0; role--) {
		double slowest = 0;
		double sum = synod_path_median(ns[role][STAGES], rounds);

		for (uint32_t stage = 0; stage < STAGES; stage++) {
			double each = synod_path_median(ns[role][stage], rounds);

			printf("%-9s %-8s %7.1f ns a command, alone on a core %6.2f million/s\n",
			       roles[role], stages[stage], each, 1e3 / each);
			slowest = each > slowest ? each : slowest;
		}
		printf("%-9s all      %7.1f ns (%.1f to %.1f): one core %.2f million/s, a core a "
		       "stage %.2f, %.1f times as much\n",
		       roles[role], sum, ns[role][STAGES][0], ns[role][STAGES][rounds - 1],
		       1e3 / sum, 1e3 / slowest, sum / slowest);
	}
}

static int parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		unsigned long value = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;

		if (!strcmp(argv[i], "--rounds") && value && value <= ROUNDS_MAX)
			rounds = (uint32_t)value;
		else if (!strcmp(argv[i], "--batches") && value && value <= BATCHES_MAX)
			batches = (uint32_t)value;
		else if (!strcmp(argv[i], "--payload") && value && value <= PAYLOAD_MAX)
			payload = (uint32_t)value;
		else
			return -1;
	}
	return (rounds + 1) * batches <= BATCHES_MAX ? 0 : -1;
}

static int run(void)
{
	synod_path_begin();
	synod_path_poll_by(poll_timed);
	for (uint32_t round = 0; round <= rounds; round++) /* the first is a warm-up */
		if (run_round(round ? round - 1 : 0)) {
			fprintf(stderr, "synod-path-stages: commands were not done\n");
			return 1;
		}
	report();
	return 0;
}

int main(int argc, char **argv)
{
	const struct synod_apply_limits limits = synod_apply_limits(8, SYNOD_SESSION_WINDOW_MAX);

	if (parse(argc, argv)) {
		fprintf(stderr,
			"synod-path-stages: [--rounds 1..%d] [--batches 1..] [--payload 1..%d], "
			"(rounds + 1) x batches at most %d\n",
			ROUNDS_MAX, PAYLOAD_MAX, BATCHES_MAX);
		return 2;
	}
	return synod_path_program("synod-path-stages", &limits, run);
}

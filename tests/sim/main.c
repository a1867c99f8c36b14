/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-sim: many seeds, or one looked at closely. An assertion of the engine that fails is a
 * failure of the seed like any other: the handler of SIGABRT goes back to the campaign.
 */
#include "commit.h" /* tidy: allow include: the build makes it, in its own folder */
#include "tests/sim/sim.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
	FAILURES_PRINTED = 20,
	WATCHDOG_SECONDS = 60,
	SWEEP_SEEDS = 4,
	SWEEP_WATCHDOG_SECONDS = 1200
};

struct options {
	uint64_t seeds;
	uint64_t start;
	uint64_t seed;
	int one; /* --seed was given */
	int trace;
	int twice;
	int until_failure;
	int crash_points;
	uint64_t thin;
	const char *point; /* --point: only this one */
	const char *json;
};

struct totals {
	uint64_t seeds;
	uint64_t failures;
	uint64_t virtual_ns;
	uint64_t events;
	uint64_t commands;
	uint64_t faults[SIM_FAULTS_COUNT];
	uint64_t traffic[SIM_TRAFFIC_COUNT];
	double real_seconds;
};

#define OF_NETWORK(symbol, name) "network",
#define OF_DISK(symbol, name)	 "disk",
#define OF_PROCESS(symbol, name) "process",
#define OF_CLIENT(symbol, name)	 "client",
static const char *const fault_groups[SIM_FAULTS_COUNT] = { SIM_FAULTS_NETWORK(
	OF_NETWORK) SIM_FAULTS_DISK(OF_DISK) SIM_FAULTS_PROCESS(OF_PROCESS)
								    SIM_FAULTS_CLIENT(OF_CLIENT) };

static struct sim *running;

/* The engine's end is the seed's end, not the campaign's. */
static void on_signal(int signal_number)
{
	const char *what = signal_number == SIGABRT   ? "failed an assertion"
			   : signal_number == SIGSEGV ? "touched what is not its own"
						      : "does not return from a step";

	snprintf(running->failure, sizeof(running->failure), "the engine %s (signal %d)", what,
		 signal_number);
	siglongjmp(running->failed, 1);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };

	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGVTALRM, &action, NULL);
#ifndef __SANITIZE_ADDRESS__ /* it has a better report of its own */
	sigaction(SIGSEGV, &action, NULL);
#endif
}

/* Of the processor's time, not the clock's: a busy machine is no failure. 0: no more. */
static void watchdog(long seconds)
{
	struct itimerval timer = { .it_value = { .tv_sec = seconds } };

	setitimer(ITIMER_VIRTUAL, &timer, NULL);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || end == text) {
		fprintf(stderr, "synod-sim: %s is not a number\n", text);
		exit(2);
	}
	return value;
}

static void usage(void)
{
	fputs("usage: synod-sim --seeds N [--start S] [--json FILE] [--twice] [--until-failure]\n"
	      "       synod-sim --seed S [--trace]\n"
	      "       synod-sim --crash-points [--seeds N] [--start S] [--thin N] [--json FILE]\n"
	      "       synod-sim --crash-points --point [all:]N [--start S] [--trace]\n"
	      "  --twice          run every seed twice: the histories must be the same\n"
	      "  --until-failure  stop at the first seed that fails\n"
	      "  --crash-points   crash a fixed script after each network and disk event in turn\n"
	      "  --thin N         only every Nth of them\n",
	      stderr);
	exit(2);
}

static struct options parse(int argc, char **argv)
{
	static const struct option table[] = { { "seeds", required_argument, NULL, 'n' },
					       { "start", required_argument, NULL, 's' },
					       { "seed", required_argument, NULL, 'o' },
					       { "json", required_argument, NULL, 'j' },
					       { "trace", no_argument, NULL, 't' },
					       { "twice", no_argument, NULL, '2' },
					       { "until-failure", no_argument, NULL, 'u' },
					       { "crash-points", no_argument, NULL, 'c' },
					       { "thin", required_argument, NULL, 'i' },
					       { "point", required_argument, NULL, 'p' },
					       { NULL, 0, NULL, 0 } };
	struct options options = { .start = 1, .thin = 1 };
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'n':
			options.seeds = number(optarg);
			break;
		case 's':
			options.start = number(optarg);
			break;
		case 'o':
			options.one = 1;
			options.seed = number(optarg);
			break;
		case 'j':
			options.json = optarg;
			break;
		case 't':
			options.trace = 1;
			break;
		case '2':
			options.twice = 1;
			break;
		case 'u':
			options.until_failure = 1;
			break;
		case 'c':
			options.crash_points = 1;
			break;
		case 'i':
			options.thin = number(optarg);
			break;
		case 'p':
			options.point = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc || options.thin == 0 ||
	    (!options.one && !options.seeds && !options.crash_points))
		usage();
	return options;
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void report_failure(const struct sim *sim, const char *program)
{
	printf("FAILED seed=%llu commit=%s at %.6f s: %s\n  repeat: %s --seed %llu --trace\n",
	       (unsigned long long)sim->seed, SIM_COMMIT, (double)sim->now / 1e9, sim->failure,
	       program, (unsigned long long)sim->seed);
	fflush(stdout);
}

/* Returns 0 if the seed held. */
static int run_seed(struct sim *sim, uint64_t seed, const struct options *options)
{
	uint64_t hash;
	int result;

	watchdog(WATCHDOG_SECONDS);
	result = sim_cluster_run(sim, seed);
	if (result == 0 && options->twice) {
		hash = sim->hash;
		result = sim_cluster_run(sim, seed);
		if (result == 0 && hash != sim->hash) {
			snprintf(sim->failure, sizeof(sim->failure),
				 "the same seed gave two histories");
			result = -1;
		}
	}
	watchdog(0);
	return result;
}

static void add_up(struct totals *totals, const struct sim *sim)
{
	totals->seeds++;
	totals->virtual_ns += sim->now;
	totals->events += sim->events;
	totals->commands += sim->observer.positions_count;
	for (int i = 0; i < SIM_FAULTS_COUNT; i++)
		totals->faults[i] += sim->faults[i];
	for (int i = 0; i < SIM_TRAFFIC_COUNT; i++)
		totals->traffic[i] += sim->traffic[i];
}

static int write_json(const char *path, const struct totals *totals)
{
	FILE *file = fopen(path, "w");

	if (!file) {
		fprintf(stderr, "synod-sim: %s: %s\n", path, strerror(errno));
		return -1;
	}
	fprintf(file,
		"{\"seeds\": %llu, \"failures\": %llu, \"virtual_seconds\": %.3f, "
		"\"real_seconds\": %.3f, \"events\": %llu, \"commands_chosen\": %llu, "
		"\"commit\": \"%s\", \"faults\": {",
		(unsigned long long)totals->seeds, (unsigned long long)totals->failures,
		(double)totals->virtual_ns / 1e9, totals->real_seconds,
		(unsigned long long)totals->events, (unsigned long long)totals->commands,
		SIM_COMMIT);
	for (int i = 0; i < SIM_FAULTS_COUNT; i++)
		fprintf(file, "%s\"%s\": %llu", i ? ", " : "", sim_fault_names[i],
			(unsigned long long)totals->faults[i]);
	fputs("}, \"traffic\": {", file);
	for (int i = 0; i < SIM_TRAFFIC_COUNT; i++)
		fprintf(file, "%s\"%s\": %llu", i ? ", " : "", sim_traffic_names[i],
			(unsigned long long)totals->traffic[i]);
	fputs("}}\n", file);
	return fclose(file) ? -1 : 0;
}

/* Prints what was done; returns of how many kinds there was too little. */
static int report_traffic(const struct totals *totals)
{
	int missing = 0;

	for (int i = 0; i < SIM_TRAFFIC_COUNT; i++) {
		int little = totals->traffic[i] * 100 < sim_traffic_least[i] * totals->seeds;

		printf("  traffic  %-24s %12llu%s\n", sim_traffic_names[i],
		       (unsigned long long)totals->traffic[i], little ? "   TOO LITTLE" : "");
		missing += little;
	}
	return missing;
}

/* Prints the faults; returns how many kinds never fired, or of how many was done too little. */
static int report(const struct totals *totals)
{
	double virtual_seconds = (double)totals->virtual_ns / 1e9;
	int missing = 0;

	for (int i = 0; i < SIM_FAULTS_COUNT; i++) {
		printf("  %-8s %-24s %12llu%s\n", fault_groups[i], sim_fault_names[i],
		       (unsigned long long)totals->faults[i],
		       totals->faults[i] ? "" : "   NEVER FIRED");
		missing += totals->faults[i] == 0;
	}
	missing += report_traffic(totals);
	printf("%llu seeds, %llu failures, %llu commands, %llu events, %.0f virtual s in %.1f s "
	       "(%.0fx), commit=%s\n",
	       (unsigned long long)totals->seeds, (unsigned long long)totals->failures,
	       (unsigned long long)totals->commands, (unsigned long long)totals->events,
	       virtual_seconds, totals->real_seconds, virtual_seconds / totals->real_seconds,
	       SIM_COMMIT);
	return missing;
}

static int run_one(struct sim *sim, const struct options *options, const char *program)
{
	sim->trace = (uint32_t)options->trace;
	if (run_seed(sim, options->seed, options)) {
		report_failure(sim, program);
		return 1;
	}
	printf("seed=%llu commit=%s held: %llu commands, %llu events, history %016llx\n",
	       (unsigned long long)options->seed, SIM_COMMIT,
	       (unsigned long long)sim->observer.positions_count, (unsigned long long)sim->events,
	       (unsigned long long)sim->hash);
	return 0;
}

static int run_many(struct sim *sim, const struct options *options, const char *program)
{
	struct totals totals = { 0 };
	double begin = now_seconds();
	int missing;

	for (uint64_t i = 0; i < options->seeds; i++) {
		int result = run_seed(sim, options->start + i, options);

		add_up(&totals, sim);
		if (result == 0)
			continue;
		if (totals.failures++ < FAILURES_PRINTED)
			report_failure(sim, program);
		if (options->until_failure)
			break;
	}
	totals.real_seconds = now_seconds() - begin;
	missing = report(&totals);
	if (options->json && write_json(options->json, &totals))
		return 1;
	return totals.failures || missing;
}

static int run_crash_points(struct sim *sim, const struct options *options)
{
	const char *point = options->point;

	if (!point) {
		struct sim_sweep sweep = { .start = options->start,
					   .seeds = options->seeds ? options->seeds : SWEEP_SEEDS,
					   .thin = options->thin,
					   .json = options->json };

		watchdog(SWEEP_WATCHDOG_SECONDS);
		return sim_crash_points(sim, &sweep);
	}
	watchdog(WATCHDOG_SECONDS);
	sim->trace = (uint32_t)options->trace;
	sim->point_whole = strncmp(point, "all:", 4) == 0;
	sim->point_crash = number(sim->point_whole ? point + 4 : point);
	if (sim_cluster_script(sim, options->start)) {
		printf("FAILED crash point %s at %.6f s: %s\n", point, (double)sim->now / 1e9,
		       sim->failure);
		return 1;
	}
	printf("crash point %s held\n", point);
	return 0;
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	struct sim *sim = calloc(1, sizeof(*sim));
	int result;

	if (!sim)
		abort();
	running = sim;
	catch_signals();
	if (options.crash_points)
		result = run_crash_points(sim, &options);
	else
		result = options.one ? run_one(sim, &options, argv[0])
				     : run_many(sim, &options, argv[0]);
	sim_cluster_free(sim);
	free(sim);
	return result;
}

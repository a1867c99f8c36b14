/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sweep of crash points: not a random search but all of them. A fixed script (50 commands of
 * one client on three replicas, nothing goes wrong) is run once, and its network and disk events
 * are counted: each send, each write handed over, each datagram that came, each completion of the
 * disk, each time that the core was told of one, each execution. Then the script is run again for
 * each of these events; right after it
 *
 *   one    the replica concerned crashes, also between two sends of one step, and between
 *          a completion and what it allows to be sent
 *   whole  all three crash at that instant
 *
 * and what crashed starts again from its disk, on which anything or nothing of what was under way
 * survived. Each seed times the script differently, and is a sweep of its own. The run goes on
 * until every command is answered and all replicas have executed the same log. The observer judges
 * all the while.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	POINTS_PRINTED = 10
};

int sim_point(struct sim *sim, struct sim_replica *replica)
{
	sim->points++;
	if (sim->points != sim->point_crash)
		return 0;
	sim_tell(sim, "crash point %llu", (unsigned long long)sim->points);
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		if (sim->replicas[id].up && (sim->point_whole || id == replica->id))
			sim_replica_crash(sim, &sim->replicas[id]);
	return 1;
}

/* Over all rounds; [0] one replica, [1] the whole cluster. */
struct sweeps {
	uint64_t events;
	uint64_t tried[2];
	uint64_t held[2];
};

static void sweep(struct sim *sim, uint64_t seed, uint64_t points, uint64_t thin, int whole,
		  struct sweeps *sweeps)
{
	sim->point_whole = (uint32_t)whole;
	for (uint64_t point = 1; point <= points; point += thin) {
		sim->point_crash = point;
		sweeps->tried[whole]++;
		if (sim_cluster_script(sim, seed) == 0) {
			sweeps->held[whole]++;
			continue;
		}
		if (sweeps->tried[whole] - sweeps->held[whole] <= POINTS_PRINTED)
			printf("FAILED crash point %llu, %s, at %.6f s: %s\n"
			       "  repeat: --crash-points --start %llu --point %s%llu --trace\n",
			       (unsigned long long)point, whole ? "whole cluster" : "one replica",
			       (double)sim->now / 1e9, sim->failure, (unsigned long long)seed,
			       whole ? "all:" : "", (unsigned long long)point);
	}
	sim->point_crash = 0;
}

static int write_json(const char *path, const struct sweeps *sweeps)
{
	FILE *file = fopen(path, "w");

	if (!file) {
		fprintf(stderr, "synod-sim: %s: %s\n", path, strerror(errno));
		return -1;
	}
	fprintf(file,
		"{\"commands\": %u, \"events\": %llu, \"crash_points\": %llu, \"held\": %llu, "
		"\"one_replica\": {\"crash_points\": %llu, \"held\": %llu}, "
		"\"whole_cluster\": {\"crash_points\": %llu, \"held\": %llu}}\n",
		SIM_SCRIPT_COMMANDS, (unsigned long long)sweeps->events,
		(unsigned long long)(sweeps->tried[0] + sweeps->tried[1]),
		(unsigned long long)(sweeps->held[0] + sweeps->held[1]),
		(unsigned long long)sweeps->tried[0], (unsigned long long)sweeps->held[0],
		(unsigned long long)sweeps->tried[1], (unsigned long long)sweeps->held[1]);
	return fclose(file) ? -1 : 0;
}

/* One seed's timing of the script: counted, then both sweeps. Returns -1 if it fails by itself. */
static int run_round(struct sim *sim, uint64_t seed, uint64_t thin, struct sweeps *sweeps)
{
	sim->point_crash = 0;
	if (sim_cluster_script(sim, seed)) {
		printf("FAILED: the script itself, seed %llu: %s\n", (unsigned long long)seed,
		       sim->failure);
		return -1;
	}
	printf("seed %llu: %u commands, %llu slots, %llu network and disk events\n",
	       (unsigned long long)seed, SIM_SCRIPT_COMMANDS,
	       (unsigned long long)sim->observer.chosen_prefix, (unsigned long long)sim->points);
	sweeps->events += sim->points;
	sweep(sim, seed, sim->points, thin, 0, sweeps);
	sweep(sim, seed, sim->points, thin, 1, sweeps);
	return 0;
}

int sim_crash_points(struct sim *sim, const struct sim_sweep *wanted)
{
	struct sweeps sweeps = { 0 };

	for (uint64_t i = 0; i < wanted->seeds; i++)
		if (run_round(sim, wanted->start + i, wanted->thin, &sweeps))
			return 1;
	for (int whole = 0; whole < 2; whole++)
		printf("%s crashes: %llu of %llu held\n",
		       whole ? "the whole cluster" : "one replica",
		       (unsigned long long)sweeps.held[whole],
		       (unsigned long long)sweeps.tried[whole]);
	printf("crash points: %llu of %llu held\n",
	       (unsigned long long)(sweeps.held[0] + sweeps.held[1]),
	       (unsigned long long)(sweeps.tried[0] + sweeps.tried[1]));
	if (wanted->json && write_json(wanted->json, &sweeps))
		return 1;
	return sweeps.held[0] != sweeps.tried[0] || sweeps.held[1] != sweeps.tried[1];
}

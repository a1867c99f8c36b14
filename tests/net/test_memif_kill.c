/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A memif link comes back: kill -9 of the end that listens, of the end that connects, of both, in
 * any order, under load; the survivor neither dies of it nor stays mute.
 */
#include "net/net.h"
#include "tests/net/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	ROUNDS = 6,
	PATIENCE_MS = 3000
};

static struct traffic ends[2] = {
	/* Node 1 listens, node 2 connects (net/link.h). */
	{ .node = 1,
	  .other = 2,
	  .size_min = 32,
	  .size_max = 8900,
	  .burst = 4,
	  .chained = 1,
	  .cpu = -1 },
	{ .node = 2,
	  .other = 1,
	  .size_min = 32,
	  .size_max = 8900,
	  .burst = 4,
	  .chained = 1,
	  .cpu = -1 },
};
static struct process processes[2];
static int64_t worst_ms;
static int64_t noticed_ms = PATIENCE_MS; /* the soonest that a survivor saw its link go */

/* Traffic both ways, from the reports as they are now. */
static void check_flows(const char *when)
{
	uint64_t begin;

	/* EAL's own start takes a quarter of a second; what counts is the link. */
	CHECK(wait_for(&processes[0].report->beats, 1, PATIENCE_MS) >= 0);
	CHECK(wait_for(&processes[1].report->beats, 1, PATIENCE_MS) >= 0);
	begin = test_now_ns();
	for (int i = 0; i < 2; i++) {
		struct report *report = processes[i].report;
		uint64_t received = report->received;

		if (wait_for(&report->received, received + 50, PATIENCE_MS) < 0) {
			fprintf(stderr, "%s: end %d is mute (%llu received); %s\n", when, i,
				(unsigned long long)report->received, report->error);
			exit(1);
		}
		CHECK(report->wrong == 0);
		CHECK(process_alive(&processes[i]));
	}
	if ((int64_t)((test_now_ns() - begin) / 1000000) > worst_ms)
		worst_ms = (int64_t)((test_now_ns() - begin) / 1000000);
}

static void start(int end)
{
	processes[end] = process_start(run_traffic, &ends[end]);
}

/* The survivor lives through the death, and for a while alone. */
static void kill_one(int end, uint32_t alone_us)
{
	uint64_t begin = test_now_ns();
	uint64_t downs = processes[!end].report->links_down;
	int64_t ms;

	process_kill(&processes[end]);
	CHECK(wait_for(&processes[!end].report->links_down, downs + 1, PATIENCE_MS) >= 0);
	ms = (int64_t)((test_now_ns() - begin) / 1000000);
	if (ms < noticed_ms)
		noticed_ms = ms;
	usleep(alone_us);
	CHECK(process_alive(&processes[!end]));
}

int main(void)
{
	ends[0].cluster = ends[1].cluster = test_cluster();
	start(0);
	start(1);
	check_flows("after the start");

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t alone_us = round % 2 ? 200000 : 0;

		kill_one(0, alone_us);
		start(0);
		check_flows("listening_end_killed_and_restarted");
		kill_one(1, alone_us);
		start(1);
		check_flows("connecting_end_killed_and_restarted");
	}
	printf("either end killed %d times: noticed in %lld ms at best, traffic again within %lld "
	       "ms of the restart\n",
	       ROUNDS, (long long)noticed_ms, (long long)worst_ms);

	for (int first = 0; first < 2; first++) {
		process_kill(&processes[0]);
		process_kill(&processes[1]);
		start(first);
		usleep(300000);
		start(!first);
		check_flows("both_ends_killed_and_restarted");
	}
	process_kill(&processes[0]);
	process_kill(&processes[1]);
	return 0;
}

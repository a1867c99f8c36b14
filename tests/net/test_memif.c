/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes joined by memif: datagrams of every size, in one segment and in two, arrive whole;
 * an ordinary user can do it.
 */
#include "engine/base/limits.h"
#include "net/net.h"
#include "tests/net/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	DATAGRAM_MAX = SYNOD_FRAME_SIZE_MAX - SYNOD_NET_HEADER_SIZE
};

static void exchange(const char *what, struct traffic one, uint64_t letters)
{
	struct traffic two = one;
	struct process processes[2];

	one.cluster = two.cluster = test_cluster();
	one.node = two.other = 1;
	one.other = two.node = 2;
	processes[0] = process_start(run_traffic, &one);
	processes[1] = process_start(run_traffic, &two);
	for (int i = 0; i < 2; i++) {
		struct report *report = processes[i].report;

		if (wait_for(&report->received, letters, 8000) < 0) {
			fprintf(stderr, "%s: process %d received %llu, %s\n", what, i,
				(unsigned long long)report->received, report->error);
			CHECK(process_alive(&processes[i]));
			CHECK(0);
		}
		CHECK(report->wrong == 0);
		CHECK(report->drops == 0);
		CHECK(report->smallest >= one.size_min);
		if (one.size_max - one.size_min < 2 * letters)
			CHECK(report->largest + 40 >= one.size_max);
	}
	process_kill(&processes[0]);
	process_kill(&processes[1]);
	printf("%s: holds\n", what);
}

int main(void)
{
	struct traffic traffic = { .size_min = 24, .size_max = 1500, .burst = 8, .cpu = -1 };

	exchange("small_datagrams_arrive_whole_both_ways", traffic, 5000);

	traffic.size_min = 8000;
	traffic.size_max = DATAGRAM_MAX;
	exchange("full_frames_arrive_whole_both_ways", traffic, 2000);

	traffic.chained = 1;
	traffic.size_min = 32;
	exchange("datagrams_in_two_segments_arrive_whole", traffic, 5000);

	if (getuid() == 0)
		traffic.user = 65534; /* nobody: root is not needed */
	exchange("ordinary_user_can_exchange_datagrams", traffic, 1000);
	return 0;
}

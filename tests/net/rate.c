/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many frames a second go one way through a memif link, one process and one core at each end:
 * net-rate [FRAME_SIZE [SECONDS]]. No test: a figure to hold against testpmd's on the same machine.
 */
#include "net/net.h"
#include "tests/net/process.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct end {
	struct test_link link;
	uint32_t size; /* of the datagram; 0: receive */
};

static void send_burst(struct synod_net *net, struct rte_mempool *pool, const struct end *end)
{
	struct rte_mbuf *burst[SYNOD_NET_BURST];

	if (rte_pktmbuf_alloc_bulk(pool, burst, SYNOD_NET_BURST) != 0)
		return;
	for (uint32_t i = 0; i < SYNOD_NET_BURST; i++) {
		rte_pktmbuf_append(burst[i], (uint16_t)end->size);
		synod_net_send_peer(net, end->link.other, burst[i]);
	}
	synod_net_flush(net);
}

static int run_end(const void *argument, struct report *report)
{
	const struct end *end = argument;
	static struct synod_counters counters;
	struct synod_net_packet packets[SYNOD_NET_BURST];
	struct rte_mempool *pool;
	struct synod_net *net;

	net = test_link_open(&end->link, &pool, &counters, report);
	if (!net)
		return -1;
	for (uint64_t turn = 0;; turn++) {
		uint32_t count;

		if (turn % 1024 == 0) {
			synod_net_poll_links(net, test_now_ns());
			report->links_up = (uint64_t)synod_net_peer_up(net, end->link.other);
			report->sent = synod_counter_read(&counters, SYNOD_TX_PACKETS);
		}
		count = synod_net_receive(net, packets, SYNOD_NET_BURST);
		for (uint32_t i = 0; i < count; i++)
			rte_pktmbuf_free(packets[i].mbuf);
		report->received += count;
		if (end->size && synod_net_peer_up(net, end->link.other))
			send_burst(net, pool, end);
	}
}

int main(int argc, char **argv)
{
	uint32_t frame = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 64;
	uint32_t seconds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 3;
	struct end from = { .link = {
				    .cluster = test_cluster(), .node = 1, .other = 2, .cpu = 0 } };
	struct end to = { .link = {
				  .cluster = from.link.cluster, .node = 2, .other = 1, .cpu = 1 } };
	struct process processes[2];
	struct report *report;
	uint64_t before;
	double rate;

	if (frame < SYNOD_NET_HEADER_SIZE + 1 || frame > SYNOD_FRAME_SIZE_MAX || seconds < 1) {
		fprintf(stderr, "usage: net-rate [FRAME_SIZE 43..%d [SECONDS]]\n",
			SYNOD_FRAME_SIZE_MAX);
		return 2;
	}
	from.size = frame - SYNOD_NET_HEADER_SIZE;
	processes[0] = process_start(run_end, &to);
	processes[1] = process_start(run_end, &from);
	report = processes[0].report;
	CHECK(wait_for(&report->received, 100000, 5000) >= 0);
	before = report->received;
	usleep(seconds * 1000000);
	rate = (double)(report->received - before) / seconds;
	printf("%u-byte frames: %.2f million a second, %.1f Gbit/s\n", frame, rate / 1e6,
	       rate * frame * 8 / 1e9);
	process_kill(&processes[0]);
	process_kill(&processes[1]);
	return 0;
}

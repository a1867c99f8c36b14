/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a frame takes through a memif link and back, one process and one core at each end, both
 * polling and doing nothing else: net-ping [FRAME_SIZE [SECONDS]]. No test: what bench/run holds
 * latencies against.
 */
#include "engine/base/histogram.h"
#include "net/net.h"
#include "tests/net/process.h"

#include <rte_mbuf.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	LOST_NS = 10 * 1000 * 1000, /* without an answer: the next one leaves */
	WARMUP = 1000,
};

struct end {
	struct test_link link;
	uint32_t size;			    /* of the datagram */
	int echoes;			    /* 1: sends back what comes; 0: asks, and measures */
	struct synod_histogram *round_trip; /* shared with the parent */
};

static void send_one(struct synod_net *net, struct rte_mempool *pool, const struct end *end)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool);

	if (!mbuf)
		return;
	rte_pktmbuf_append(mbuf, (uint16_t)end->size);
	synod_net_send_peer(net, end->link.other, mbuf);
	synod_net_flush(net);
}

static void echo(struct synod_net *net, const struct end *end)
{
	struct synod_net_packet packets[SYNOD_NET_BURST];
	uint32_t count = synod_net_receive(net, packets, SYNOD_NET_BURST);

	for (uint32_t i = 0; i < count; i++)
		synod_net_send_peer(net, end->link.other, packets[i].mbuf);
	if (count)
		synod_net_flush(net);
}

/* Sends the next when the last one has come back. */
static void ask(struct synod_net *net, struct rte_mempool *pool, const struct end *end,
		struct report *report)
{
	static uint64_t left_ns;
	struct synod_net_packet packets[SYNOD_NET_BURST];
	uint32_t count = synod_net_receive(net, packets, SYNOD_NET_BURST);
	uint64_t now_ns = test_now_ns();

	for (uint32_t i = 0; i < count; i++)
		rte_pktmbuf_free(packets[i].mbuf);
	if (count) {
		report->received += count;
		if (report->received > WARMUP)
			synod_histogram_record(end->round_trip, now_ns - left_ns);
	}
	if (count || now_ns - left_ns > LOST_NS) {
		left_ns = test_now_ns();
		send_one(net, pool, end);
	}
}

static int run_end(const void *argument, struct report *report)
{
	const struct end *end = argument;
	static struct synod_counters counters;
	struct rte_mempool *pool;
	struct synod_net *net;

	net = test_link_open(&end->link, &pool, &counters, report);
	if (!net)
		return -1;
	for (uint64_t turn = 0;; turn++) {
		if (turn % 65536 == 0)
			synod_net_poll_links(net, test_now_ns());
		if (end->echoes)
			echo(net, end);
		else
			ask(net, pool, end, report);
	}
}

int main(int argc, char **argv)
{
	uint32_t frame = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 210;
	uint32_t seconds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
	struct end asks = { .link = {
				    .cluster = test_cluster(), .node = 1, .other = 2, .cpu = 0 } };
	struct end echoes = {
		.link = { .cluster = asks.link.cluster, .node = 2, .other = 1, .cpu = 1 }
	};
	struct process processes[2];

	if (frame < SYNOD_NET_HEADER_SIZE + 1 || frame > SYNOD_FRAME_SIZE_MAX || seconds < 1) {
		fprintf(stderr, "usage: net-ping [FRAME_SIZE 43..%d [SECONDS]]\n",
			SYNOD_FRAME_SIZE_MAX);
		return 2;
	}
	asks.size = frame - SYNOD_NET_HEADER_SIZE;
	asks.round_trip = mmap(NULL, sizeof(*asks.round_trip), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(asks.round_trip != MAP_FAILED);
	echoes.echoes = 1;
	processes[0] = process_start(run_end, &echoes);
	processes[1] = process_start(run_end, &asks);
	CHECK(wait_for(&processes[1].report->received, WARMUP, 30000) >= 0);
	usleep(seconds * 1000000);
	process_kill(&processes[1]);
	process_kill(&processes[0]);
	printf("%u-byte frames: round trip p50 %.2f us, p99 %.2f us, %llu round trips\n", frame,
	       (double)synod_histogram_percentile(asks.round_trip, 50) / 1e3,
	       (double)synod_histogram_percentile(asks.round_trip, 99) / 1e3,
	       (unsigned long long)asks.round_trip->count);
	return 0;
}

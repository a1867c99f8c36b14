/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's memif transport: lanes are shared out, datagrams come back from each replica's door,
 * and again after a replica was killed and restarted.
 */
#include "net/client_memif.h"
#include "net/link.h"
#include "net/net.h"
#include "tests/net/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	REPLICAS = 3,
	LANES = 2,
	PATIENCE_MS = 4000
};

struct place {
	uint64_t cluster;
	uint32_t node;
	uint32_t lane;
	char run_directory[64];
};

/* A replica's doors that echo. */
static int run_replica(const void *argument, struct report *report)
{
	const struct place *place = argument;
	static struct synod_net_config config;
	static struct synod_counters counters;
	struct synod_net_packet packets[SYNOD_NET_BURST];
	struct synod_net *net;
	char name[64];

	snprintf(name, sizeof(name), "synod-test-%d", (int)getpid());
	if (test_eal(name, -1, report))
		return -1;
	config.rx_pool = config.tx_pool = test_pool(report);
	if (!config.rx_pool)
		return -1;
	for (uint32_t lane = 0; lane < LANES; lane++)
		synod_link_memif(&config.ports[config.port_count++], NULL, place->cluster,
				 place->node, SYNOD_LINK_CLIENT + lane, lane, SYNOD_NET_UDP_PORT);
	if (synod_net_open(&net, &config, &counters, report->error, sizeof(report->error)))
		return -1;
	for (;;) {
		uint32_t count;

		synod_net_poll_links(net, test_now_ns());
		count = synod_net_receive(net, packets, SYNOD_NET_BURST);
		for (uint32_t i = 0; i < count; i++)
			synod_net_send_to(net, &packets[i].from, packets[i].mbuf);
		synod_net_flush(net);
		report->beats++;
		usleep(200);
	}
}

/* received, received_last, smallest: echoes of replica 1, 2, 3. */
static void count_echo(const struct synod_datagram *datagram, struct report *report)
{
	char expected[32];
	uint32_t size = (uint32_t)snprintf(expected, sizeof(expected), "ask %u", datagram->replica);

	if (datagram->size != size || memcmp(datagram->data, expected, size) != 0)
		report->wrong++;
	else if (datagram->replica == 1)
		report->received++;
	else if (datagram->replica == 2)
		report->received_last++;
	else
		report->smallest++;
}

static int run_client(const void *argument, struct report *report)
{
	const struct place *place = argument;
	static struct synod_counters counters;
	struct synod_client_memif_config config = { .cluster = place->cluster,
						    .replicas = REPLICAS,
						    .buffers = 1024 };
	struct synod_client_memif *client;
	struct synod_transport transport;
	struct synod_datagram datagrams[32];
	char name[64];
	int lock;
	int lane = synod_client_memif_take_lane(place->run_directory, LANES, &lock);

	if (lane < 0)
		return lane;
	config.lane = (uint32_t)lane;
	report->largest = (uint64_t)lane;
	snprintf(name, sizeof(name), "synod-test-%d", (int)getpid());
	if (test_eal(name, -1, report) ||
	    synod_client_memif_open(&client, &config, &counters, &transport, report->error,
				    sizeof(report->error)))
		return -1;
	for (;;) {
		unsigned int count = transport.receive(transport.context, datagrams, 32);

		for (unsigned int i = 0; i < count; i++)
			count_echo(&datagrams[i], report);
		for (uint32_t id = 1; id <= REPLICAS; id++) {
			char text[32];
			uint32_t size = (uint32_t)snprintf(text, sizeof(text), "ask %u", id);

			(void)transport.send(transport.context, id, text, size);
		}
		transport.flush(transport.context);
		transport.idle(transport.context, 1000000);
		report->links_up = synod_client_memif_links_up(client);
		report->beats++;
	}
}

static void check_echoes(struct process *client)
{
	struct report *report = client->report;

	if (wait_for(&report->received, report->received + 20, PATIENCE_MS) < 0 ||
	    wait_for(&report->received_last, report->received_last + 20, PATIENCE_MS) < 0 ||
	    wait_for(&report->smallest, report->smallest + 20, PATIENCE_MS) < 0) {
		fprintf(stderr, "links %llu, echoes %llu %llu %llu: %s\n",
			(unsigned long long)report->links_up, (unsigned long long)report->received,
			(unsigned long long)report->received_last,
			(unsigned long long)report->smallest, report->error);
		exit(1);
	}
	CHECK(report->wrong == 0);
	CHECK(process_alive(client));
}

int main(void)
{
	struct place places[REPLICAS];
	struct process replicas[REPLICAS];
	struct process clients[LANES];
	struct place client = { .cluster = test_cluster() };
	char path[80];
	int lock;

	snprintf(client.run_directory, sizeof(client.run_directory), "/tmp/synod-test-XXXXXX");
	CHECK(mkdtemp(client.run_directory));
	for (uint32_t i = 0; i < REPLICAS; i++) {
		places[i] = client;
		places[i].node = i + 1;
		replicas[i] = process_start(run_replica, &places[i]);
	}
	for (int i = 0; i < LANES; i++)
		clients[i] = process_start(run_client, &client);
	for (int i = 0; i < LANES; i++)
		check_echoes(&clients[i]);
	CHECK(clients[0].report->largest != clients[1].report->largest);
	printf("clients_in_lanes_of_their_own_reach_all_replicas: holds\n");

	CHECK(synod_client_memif_take_lane(client.run_directory, LANES, &lock) == -EBUSY);
	process_kill(&clients[0]);
	CHECK(synod_client_memif_take_lane(client.run_directory, LANES, &lock) >= 0);
	close(lock);
	clients[0] = process_start(run_client, &client);
	check_echoes(&clients[0]);
	printf("lane_of_a_killed_client_is_free_again_and_works: holds\n");

	process_kill(&replicas[1]);
	replicas[1] = process_start(run_replica, &places[1]);
	for (int i = 0; i < LANES; i++)
		check_echoes(&clients[i]);
	printf("restarted_replica_is_reached_again: holds\n");

	for (int i = 0; i < LANES; i++)
		process_kill(&clients[i]);
	for (int i = 0; i < REPLICAS; i++)
		process_kill(&replicas[i]);
	for (int i = 0; i < LANES; i++) {
		snprintf(path, sizeof(path), "%s/lane-%d", client.run_directory, i);
		unlink(path);
	}
	rmdir(client.run_directory);
	return 0;
}

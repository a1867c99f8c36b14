/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port behind af_packet on one end of a veth pair, an ordinary UDP socket on the other, in a
 * network namespace of their own: ARP both ways, datagrams both ways, checksums both ways.
 */
#include "net/net.h"
#include "tests/net/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	KERNEL_PORT = 40001,
	PEER = 2,
	DATAGRAM_MAX = 1472
};

static const uint32_t kernel_ip = 10u << 24 | 9 << 8 | 1;
static const uint32_t our_ip = 10u << 24 | 9 << 8 | 2;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

static void enter_namespace(void)
{
	char map[64];
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) != 0)
		skip("no rights to make a network namespace (unshare)");
	if (uid) {
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/uid_map", map);
		write_file("/proc/self/setgroups", "deny");
		snprintf(map, sizeof(map), "0 %u 1", gid);
		write_file("/proc/self/gid_map", map);
	}
	/* Our address is not the kernel's: it would answer for it. */
	if (system("ip link add sy0 type veth peer name sy1 2>/dev/null && "
		   "ip addr add 10.0.9.1/24 dev sy0 && ip link set sy0 up && ip link set sy1 up && "
		   "ip link set lo up") != 0)
		skip("cannot make a veth pair (ip link)");
}

/* What the kernel sends over veth has its checksum unfinished unless the offload is off. */
static void set_tx_checksum(int on)
{
	struct ethtool_value value = { .cmd = ETHTOOL_STXCSUM, .data = (uint32_t)on };
	struct ifreq request = { .ifr_data = (void *)&value };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "sy0");
	if (ioctl(fd, SIOCETHTOOL, &request) != 0)
		skip("cannot switch checksum offload off (ethtool)");
	close(fd);
}

/* Echoes what comes; with a peer (argument 1), sends it datagrams, and has to ask for its MAC. */
static int run_port(const void *argument, struct report *report)
{
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
	config.port_count = 1;
	snprintf(config.ports[0].device, sizeof(config.ports[0].device), "net_af_packet0");
	snprintf(config.ports[0].args, sizeof(config.ports[0].args), "iface=sy1");
	config.ports[0].kind = SYNOD_NET_SHARED;
	config.ports[0].ip = our_ip;
	config.ports[0].udp_port = SYNOD_NET_UDP_PORT;
	config.peers[PEER].ip = *(const int *)argument ? kernel_ip : 0;
	config.peers[PEER].udp_port = KERNEL_PORT;
	if (synod_net_open(&net, &config, &counters, report->error, sizeof(report->error)))
		return -1;
	for (;;) {
		uint64_t now = test_now_ns();
		uint32_t count;

		synod_net_poll_links(net, now);
		count = synod_net_receive(net, packets, SYNOD_NET_BURST);
		for (uint32_t i = 0; i < count; i++)
			synod_net_send_to(net, &packets[i].from, packets[i].mbuf);
		if (*(const int *)argument && report->beats % 50 == 0) {
			struct rte_mbuf *mbuf = rte_pktmbuf_alloc(config.tx_pool);

			memcpy(rte_pktmbuf_append(mbuf, 32), "to the peer, whom ARP must find", 32);
			synod_net_send_peer(net, PEER, mbuf);
		}
		synod_net_flush(net);
		report->received += count;
		report->links_up = (uint64_t)synod_net_peer_up(net, PEER);
		report->drops = synod_counter_read(&counters, SYNOD_DROP_UDP_CHECKSUM);
		report->sent = synod_counter_read(&counters, SYNOD_ARP_REPLIES);
		report->beats++;
		usleep(100);
	}
}

static int make_socket(uint16_t udp_port)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_port = htons(udp_port),
				    .sin_addr.s_addr = htonl(kernel_ip) };
	struct sockaddr_in there = { .sin_family = AF_INET,
				     .sin_port = htons(SYNOD_NET_UDP_PORT),
				     .sin_addr.s_addr = htonl(our_ip) };
	struct timeval patience = { .tv_usec = 300000 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(fd >= 0);
	CHECK(bind(fd, (struct sockaddr *)&here, sizeof(here)) == 0);
	CHECK(connect(fd, (struct sockaddr *)&there, sizeof(there)) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	return fd;
}

/* Sends size bytes and awaits the same; asks again up to five times. */
static void check_echo(int fd, uint32_t size)
{
	uint8_t sent[DATAGRAM_MAX];
	uint8_t got[DATAGRAM_MAX + 1];

	for (uint32_t i = 0; i < size; i++)
		sent[i] = (uint8_t)(i * 31 + size);
	for (int attempt = 0; attempt < 5; attempt++) {
		CHECK(send(fd, sent, size, 0) == (ssize_t)size);
		if (recv(fd, got, sizeof(got), 0) == (ssize_t)size && memcmp(sent, got, size) == 0)
			return;
	}
	fprintf(stderr, "no echo of %u bytes\n", size);
	exit(1);
}

static struct process start(const int *with_peer)
{
	struct process port = process_start(run_port, with_peer);

	if (wait_for(&port.report->beats, 1, 3000) < 0) {
		fprintf(stderr, "%s\n", port.report->error);
		skip("af_packet does not start here");
	}
	return port;
}

int main(void)
{
	static const int alone = 0;
	static const int with_peer = 1;
	struct process port;
	uint8_t got[64];
	int client;
	int peer;

	enter_namespace();
	set_tx_checksum(0);
	peer = make_socket(KERNEL_PORT);
	client = make_socket(0);

	port = start(&alone);
	for (uint32_t size = 18; size <= DATAGRAM_MAX; size += 97)
		check_echo(client, size);
	check_echo(client, 1);
	check_echo(client, DATAGRAM_MAX);
	CHECK(port.report->sent >= 1);
	CHECK(port.report->drops == 0);
	printf("kernel_socket_finds_the_port_by_arp_and_gets_its_echoes: holds\n");

	set_tx_checksum(1);
	memset(got, 0x55, sizeof(got));
	CHECK(send(client, got, sizeof(got), 0) == sizeof(got));
	CHECK(wait_for(&port.report->drops, 1, 3000) >= 0);
	CHECK(process_alive(&port));
	process_kill(&port);
	printf("unfinished_checksum_is_dropped_and_counted: holds\n");

	port = start(&with_peer);
	CHECK(wait_for(&port.report->links_up, 1, 3000) >= 0);
	CHECK(recv(peer, got, sizeof(got), 0) == 32);
	CHECK(memcmp(got, "to the peer", 11) == 0);
	CHECK(process_alive(&port));
	process_kill(&port);
	printf("port_finds_a_peer_by_arp: holds\n");
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/client_memif.h"

#include "engine/base/assert.h"
#include "net/link.h"
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
	RECEIVE_MAX = 64, /* datagrams held between two calls of receive */
	BUFFERS_DEFAULT = 4096,
	POOL_CACHE = 128,
};

#define LINKS_EVERY_NS 1000000ull
/* Longer waits sleep in steps of this: memif in polling mode wakes nobody. */
#define SLEEP_NS       50000ull

struct synod_client_memif {
	struct synod_net *net;
	struct rte_mempool *pool;
	uint32_t replicas;
	uint32_t held_count;
	struct rte_mbuf *held[RECEIVE_MAX]; /* what the last receive gave out */
	uint32_t lost; /* bit of each replica whose link is down: the transport's */
	uint64_t links_at_ns;
	uint32_t receives; /* since the clock was last looked at */
};

int synod_client_memif_take_lane(const char *run_directory, uint32_t lanes, int *lock)
{
	char path[4096];
	int result = -EBUSY;

	synod_assert_cmp(lanes, <=, SYNOD_LINK_LANES_MAX);
	for (uint32_t lane = 0; lane < lanes; lane++) {
		int size = snprintf(path, sizeof(path), "%s/lane-%" PRIu32, run_directory, lane);
		int fd;

		if (size >= (int)sizeof(path))
			return -ENAMETOOLONG;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (fd < 0) {
			result = -errno;
			continue;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
			*lock = fd;
			return (int)lane;
		}
		close(fd);
	}
	return result;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void maybe_poll_links(struct synod_client_memif *client, uint64_t now)
{
	client->receives = 0;
	if (now < client->links_at_ns)
		return;
	client->links_at_ns = now + LINKS_EVERY_NS;
	synod_net_poll_links(client->net, now);
	client->lost = synod_net_peers_down(client->net, client->replicas);
}

static void free_held(struct synod_client_memif *client)
{
	rte_pktmbuf_free_bulk(client->held, client->held_count);
	client->held_count = 0;
}

static int transport_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	struct synod_client_memif *client = context;
	struct rte_mbuf *mbuf;
	char *at;

	if (replica < 1 || replica > client->replicas)
		return -ENODEV;
	if (size > synod_net_datagram_max(client->net, replica - 1))
		return -EMSGSIZE;
	if (!synod_net_peer_up(client->net, replica))
		return -EAGAIN;
	mbuf = rte_pktmbuf_alloc(client->pool);
	if (!mbuf)
		return -EAGAIN;
	at = rte_pktmbuf_append(mbuf, (uint16_t)size);
	synod_assert(at);
	memcpy(at, data, size);
	synod_net_send_peer(client->net, replica, mbuf);
	return 0;
}

static void transport_flush(void *context)
{
	struct synod_client_memif *client = context;

	synod_net_flush(client->net);
}

static unsigned int transport_receive(void *context, struct synod_datagram *datagrams,
				      unsigned int max)
{
	struct synod_client_memif *client = context;
	struct synod_net_packet packets[RECEIVE_MAX];
	uint32_t count;

	free_held(client);
	/* The clock is read once in a while, and whenever there is nothing else to do. */
	count = synod_net_receive(client->net, packets, max < RECEIVE_MAX ? max : RECEIVE_MAX);
	if (count == 0 || ++client->receives >= 64)
		maybe_poll_links(client, now_ns());
	for (uint32_t i = 0; i < count; i++) {
		datagrams[i].data = packets[i].payload;
		datagrams[i].size = packets[i].size;
		datagrams[i].replica = packets[i].peer;
		client->held[i] = packets[i].mbuf;
	}
	client->held_count = count;
	return count;
}

static void transport_idle(void *context, uint64_t timeout_ns)
{
	struct synod_client_memif *client = context;
	struct timespec pause = { .tv_nsec = SLEEP_NS };

	maybe_poll_links(client, now_ns());
	if (timeout_ns > 2 * SLEEP_NS)
		/* tidy: allow sleep: this verb is where the client's idle policy waits */
		nanosleep(&pause, NULL);
	else
		sched_yield();
}

static int open_net(struct synod_client_memif *client,
		    const struct synod_client_memif_config *config, struct synod_counters *counters,
		    char *error, size_t error_size)
{
	struct synod_net_config *net = calloc(1, sizeof(*net));
	uint16_t udp_port = config->udp_port ? config->udp_port : SYNOD_NET_UDP_PORT;
	int result;

	if (!net) {
		snprintf(error, error_size, "client: no memory");
		return -ENOMEM;
	}
	net->port_count = config->replicas;
	net->rx_pool = client->pool;
	net->tx_pool = client->pool;
	for (uint32_t id = 1; id <= config->replicas; id++) {
		struct synod_net_port_config *port = &net->ports[id - 1];

		synod_link_memif(port, &net->peers[id], config->cluster,
				 SYNOD_LINK_CLIENT + config->lane, id, id - 1, udp_port);
		net->peers[id].port = (uint16_t)(id - 1);
	}
	result = synod_net_open(&client->net, net, counters, error, error_size);
	free(net);
	return result;
}

int synod_client_memif_open(struct synod_client_memif **out,
			    const struct synod_client_memif_config *config,
			    struct synod_counters *counters, struct synod_transport *transport,
			    char *error, size_t error_size)
{
	struct synod_client_memif *client;
	uint32_t buffers = config->buffers ? config->buffers : BUFFERS_DEFAULT;
	int result = 0;

	*out = NULL;
	if (config->replicas < 1 || config->replicas > SYNOD_REPLICAS_MAX ||
	    config->lane >= SYNOD_LINK_LANES_MAX) {
		snprintf(error, error_size, "client: replicas 1 to %d, lane 0 to %d",
			 SYNOD_REPLICAS_MAX, SYNOD_LINK_LANES_MAX - 1);
		return -EINVAL;
	}
	client = calloc(1, sizeof(*client));
	if (!client) {
		snprintf(error, error_size, "client: no memory");
		return -ENOMEM;
	}
	client->replicas = config->replicas;
	client->pool = rte_pktmbuf_pool_create("synod-client", buffers, POOL_CACHE, 0,
					       SYNOD_NET_MBUF_ROOM, SOCKET_ID_ANY);
	if (!client->pool) {
		result = -rte_errno;
		snprintf(error, error_size, "client: no memory for %" PRIu32 " buffers: %s",
			 buffers, strerror(rte_errno));
	}
	if (!result)
		result = open_net(client, config, counters, error, error_size);
	if (result) {
		synod_client_memif_close(client);
		return result;
	}
	transport->context = client;
	transport->datagram_size_max = synod_net_datagram_max_all(client->net);
	transport->send = transport_send;
	transport->flush = transport_flush;
	transport->receive = transport_receive;
	transport->idle = transport_idle;
	transport->lost = &client->lost;
	*out = client;
	return 0;
}

void synod_client_memif_close(struct synod_client_memif *client)
{
	if (!client)
		return;
	free_held(client);
	synod_net_close(client->net);
	rte_mempool_free(client->pool);
	free(client);
}

uint32_t synod_client_memif_links_up(const struct synod_client_memif *client)
{
	uint32_t count = 0;

	for (uint32_t id = 1; id <= client->replicas; id++)
		count += synod_net_peer_up(client->net, id) != 0;
	return count;
}

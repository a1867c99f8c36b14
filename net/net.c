/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/net.h"

#include "engine/base/assert.h"
#include "net/gate.h"
#include "net/living.h"
#include "net/port.h"

#include <errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rounds of the interrupt thread (net/gate.h): a handshake of memif is about six of them on each
 * side. Often while a peer is missing; less while a door waits for a client, which may be for ever;
 * seldom when all links are up, where a round only finds out that somebody died, which net/living.h
 * has mostly seen before. */
#define TURN_PEER_DOWN_NS 2000000ull
#define TURN_DOOR_DOWN_NS 8000000ull
#define TURN_UP_NS	  20000000ull

static int check_config(const struct synod_net_config *config, char *error, size_t error_size)
{
	const struct synod_net_port_config *port;

	if (config->port_count < 1 || config->port_count > SYNOD_NET_PORTS_MAX) {
		snprintf(error, error_size, "%u ports: there must be 1 to %d", config->port_count,
			 SYNOD_NET_PORTS_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < config->port_count; i++) {
		port = &config->ports[i];
		if (port->ip == 0 || port->udp_port == 0) {
			snprintf(error, error_size, "port %s: no IP address or UDP port",
				 port->device);
			return -EINVAL;
		}
		if (port->kind == SYNOD_NET_PEER &&
		    (port->peer < 1 || port->peer > SYNOD_REPLICAS_MAX)) {
			snprintf(error, error_size, "port %s: peer %u: must be 1 to %d",
				 port->device, port->peer, SYNOD_REPLICAS_MAX);
			return -EINVAL;
		}
	}
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++) {
		if (config->peers[id].ip != 0 && config->peers[id].port >= config->port_count) {
			snprintf(error, error_size, "peer %u: port index %u of %u", id,
				 config->peers[id].port, config->port_count);
			return -EINVAL;
		}
	}
	return 0;
}

static int has_memif(const struct synod_net_config *config)
{
	for (uint32_t i = 0; i < config->port_count; i++) {
		if (strncmp(config->ports[i].device, "net_memif", strlen("net_memif")) == 0)
			return 1;
	}
	return 0;
}

/*
 * Before the first port is opened: a server listens from then on, and what its listener does wrong
 * when a peer is gone by now (net/sendmsg.c) is only mended in a thread that the gate has marked.
 */
static int install_gate(struct synod_net *net, const struct synod_net_config *config, char *error,
			size_t error_size)
{
	int result = has_memif(config) ? synod_gate_install() : -ENODEV;

	net->gated = result == 0;
	if (result == 0 || result == -ENODEV)
		return 0;
	snprintf(error, error_size, "net: %s",
		 result == -EBUSY ? "one net with memif ports a process" : strerror(-result));
	return result;
}

int synod_net_open(struct synod_net **out, const struct synod_net_config *config,
		   struct synod_counters *counters, char *error, size_t error_size)
{
	struct synod_net *net;
	int result = check_config(config, error, error_size);

	*out = NULL;
	if (result)
		return result;
	net = calloc(1, sizeof(*net));
	if (!net) {
		snprintf(error, error_size, "net: no memory");
		return -ENOMEM;
	}
	net->counters = counters;
	net->rx_pool = config->rx_pool;
	net->tx_pool = config->tx_pool;
	net->rx_descriptors = config->rx_descriptors ? config->rx_descriptors : 512;
	net->tx_descriptors = config->tx_descriptors ? config->tx_descriptors : 512;
	result = install_gate(net, config, error, error_size);
	for (uint32_t i = 0; i < config->port_count && !result; i++) {
		net->port_count = i + 1;
		result = synod_ethdev_open(net, &net->ports[i], &config->ports[i], error,
					   error_size);
	}
	if (result) {
		synod_net_close(net);
		return result;
	}
	synod_resolve_init(net, config);
	*out = net;
	return 0;
}

void synod_net_close(struct synod_net *net)
{
	int servers_left = 0;

	if (!net)
		return;
	for (uint32_t i = 0; i < net->port_count; i++) {
		struct synod_port *port = &net->ports[i];

		rte_pktmbuf_free_bulk(port->tx, port->tx_count);
		synod_ethdev_close(port);
		servers_left |= port->created && port->driver == SYNOD_PORT_MEMIF_SERVER;
	}
	if (net->gated && servers_left)
		synod_gate_keep();
	else if (net->gated)
		synod_gate_remove();
	free(net);
}

/* ---- receive ------------------------------------------------------------------------- */

static void drop(struct synod_net *net, struct rte_mbuf *mbuf, enum synod_counter why)
{
	synod_count(net->counters, why, 1);
	rte_pktmbuf_free(mbuf);
}

/* Takes one frame. Returns 1 if the packet was filled in; else the frame is gone. */
static int take(struct synod_net *net, uint32_t index, struct rte_mbuf *mbuf,
		struct synod_net_packet *packet)
{
	struct synod_port *port = &net->ports[index];
	struct synod_frame_filter filter;
	struct synod_frame_view view;
	const uint8_t *frame;
	int verdict;

	if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0) {
		drop(net, mbuf, SYNOD_DROP_SEGMENTED);
		return 0;
	}
	frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	filter = port->filter;
	filter.skip_ip_checksum =
		(mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	filter.skip_udp_checksum =
		(mbuf->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	verdict = synod_frame_parse(frame, mbuf->data_len, &filter, &view);
	if (verdict == SYNOD_FRAME_ARP) {
		synod_port_lock(net);
		synod_resolve_take(net, port, frame, mbuf->data_len);
		synod_port_unlock(net);
		rte_pktmbuf_free(mbuf);
		return 0;
	}
	if (verdict != 0) {
		drop(net, mbuf, (enum synod_counter)verdict);
		return 0;
	}
	mbuf->data_off = (uint16_t)(mbuf->data_off + view.offset);
	mbuf->data_len = (uint16_t)view.size;
	mbuf->pkt_len = view.size;
	packet->mbuf = mbuf;
	packet->payload = rte_pktmbuf_mtod(mbuf, uint8_t *);
	packet->size = view.size;
	packet->peer = port->peer;
	packet->from.ip = view.from.ip;
	packet->from.udp_port = view.from.udp_port;
	packet->from.port = (uint16_t)index;
	memcpy(packet->from.mac, view.from.mac, 6);
	packet->from.reserved = 0;
	return 1;
}

static uint32_t receive_port(struct synod_net *net, uint32_t index,
			     struct synod_net_packet *packets, uint32_t max)
{
	struct rte_mbuf *mbufs[SYNOD_NET_BURST];
	uint16_t want = (uint16_t)(max < SYNOD_NET_BURST ? max : SYNOD_NET_BURST);
	uint16_t got = rte_eth_rx_burst(net->ports[index].ethdev, 0, mbufs, want);
	uint64_t bytes = 0;
	uint32_t count = 0;

	if (got == 0)
		return 0;
	net->ports[index].heard = 1;
	for (uint16_t i = 0; i < got; i++) {
		if (i + 1 < got)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + 1], void *));
		bytes += mbufs[i]->pkt_len;
		count += (uint32_t)take(net, index, mbufs[i], &packets[count]);
	}
	synod_count(net->counters, SYNOD_RX_PACKETS, got);
	synod_count(net->counters, SYNOD_RX_BYTES, bytes);
	return count;
}

uint32_t synod_net_receive(struct synod_net *net, struct synod_net_packet *packets, uint32_t max)
{
	uint32_t count = 0;
	uint32_t index = net->cursor;

	for (uint32_t i = 0; i < net->port_count && count < max; i++) {
		if (net->ports[index].up)
			count += receive_port(net, index, packets + count, max - count);
		if (++index == net->port_count)
			index = 0;
	}
	/* Another port begins next time, so that a busy one does not starve the others. */
	if (++net->cursor == net->port_count)
		net->cursor = 0;
	return count;
}

/* ---- send ---------------------------------------------------------------------------- */

void synod_port_flush(struct synod_net *net, struct synod_port *port)
{
	uint32_t count = port->tx_count;
	uint64_t bytes = 0;
	uint16_t sent = 0;

	port->tx_count = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += port->tx[i]->pkt_len;
	if (port->up)
		sent = rte_eth_tx_burst(port->ethdev, 0, port->tx, (uint16_t)count);
	if (sent < count) {
		for (uint32_t i = sent; i < count; i++)
			bytes -= port->tx[i]->pkt_len;
		synod_count(net->counters, SYNOD_TX_FULL, count - sent);
		rte_pktmbuf_free_bulk(port->tx + sent, count - sent);
	}
	synod_count(net->counters, SYNOD_TX_PACKETS, sent);
	synod_count(net->counters, SYNOD_TX_BYTES, bytes);
}

void synod_port_queue(struct synod_net *net, struct synod_port *port, struct rte_mbuf *mbuf)
{
	synod_assert_cmp(port->tx_count, <, SYNOD_NET_BURST);
	port->tx[port->tx_count++] = mbuf;
	if (port->tx_count == SYNOD_NET_BURST)
		synod_port_flush(net, port);
}

/* The UDP checksum over all segments. The header stands at the start of the first. */
static void add_checksum(const struct synod_port *port, struct rte_mbuf *mbuf)
{
	uint8_t *header = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t skip = SYNOD_FRAME_HEADER_SIZE;
	struct synod_frame_sum sum;

	if (port->checksum == SYNOD_PORT_CHECKSUM_DEVICE) {
		mbuf->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
		mbuf->l2_len = SYNOD_FRAME_ETHERNET_SIZE;
		mbuf->l3_len = SYNOD_FRAME_IP_SIZE;
		synod_frame_set_udp_checksum(header, synod_frame_pseudo_sum(header));
		return;
	}
	synod_frame_sum_start(&sum, header);
	for (const struct rte_mbuf *part = mbuf; part; part = part->next) {
		synod_frame_sum_more(&sum, rte_pktmbuf_mtod(part, const uint8_t *) + skip,
				     part->data_len - skip);
		skip = 0;
	}
	synod_frame_set_udp_checksum(header, synod_frame_sum_finish(&sum));
}

static void send_frame(struct synod_net *net, struct synod_port *port,
		       const struct synod_frame_template *template, struct rte_mbuf *mbuf)
{
	uint32_t size = mbuf->pkt_len;
	struct rte_mbuf *linear;
	char *header;

	if (size + SYNOD_FRAME_HEADER_SIZE > port->frame_size_max) {
		drop(net, mbuf, SYNOD_TX_NO_ROUTE); /* no way to the peer for frames of this size */
		return;
	}
	if (!port->up) {
		drop(net, mbuf, SYNOD_TX_FULL);
		return;
	}
	if (mbuf->nb_segs > 1 && !port->multi_segments) {
		linear = rte_pktmbuf_copy(mbuf, net->tx_pool, 0, UINT32_MAX);
		rte_pktmbuf_free(mbuf);
		if (!linear || linear->nb_segs > 1) {
			synod_count(net->counters, SYNOD_NO_BUFFER, 1);
			rte_pktmbuf_free(linear);
			return;
		}
		mbuf = linear;
	}
	synod_assert_cmp(rte_mbuf_refcnt_read(mbuf), ==, 1); /* only later segments are shared */
	header = rte_pktmbuf_prepend(mbuf, SYNOD_FRAME_HEADER_SIZE);
	synod_assert(header);
	synod_frame_build(template, (uint8_t *)header, size);
	if (port->checksum != SYNOD_PORT_CHECKSUM_NONE)
		add_checksum(port, mbuf);
	synod_port_queue(net, port, mbuf);
}

void synod_net_send_peer(struct synod_net *net, uint32_t replica, struct rte_mbuf *mbuf)
{
	const struct synod_route *route;

	synod_assert_cmp(replica, >=, 1);
	synod_assert_cmp(replica, <=, SYNOD_REPLICAS_MAX);
	route = &net->routes[replica];
	synod_port_lock(net);
	if (route->ip != 0 && route->known)
		send_frame(net, &net->ports[route->port], &route->template, mbuf);
	else
		drop(net, mbuf, SYNOD_TX_NO_ROUTE);
	synod_port_unlock(net);
}

void synod_net_send_to(struct synod_net *net, const struct synod_net_address *to,
		       struct rte_mbuf *mbuf)
{
	struct synod_port *port;
	struct synod_frame_end end = { .ip = to->ip, .udp_port = to->udp_port };

	synod_assert_cmp(to->port, <, net->port_count);
	port = &net->ports[to->port];
	memcpy(end.mac, to->mac, 6);
	synod_port_lock(net);
	synod_frame_template_aim(&port->template, &end);
	send_frame(net, port, &port->template, mbuf);
	synod_port_unlock(net);
}

void synod_net_flush(struct synod_net *net)
{
	synod_port_lock(net);
	for (uint32_t i = 0; i < net->port_count; i++) {
		if (net->ports[i].tx_count)
			synod_port_flush(net, &net->ports[i]);
	}
	synod_port_unlock(net);
}

/* ---- links --------------------------------------------------------------------------- */

static uint64_t turn_interval(const struct synod_net *net)
{
	uint64_t interval = TURN_UP_NS;

	for (uint32_t i = 0; i < net->port_count; i++) {
		if (net->ports[i].up)
			continue;
		if (net->ports[i].kind != SYNOD_NET_DOOR)
			return TURN_PEER_DOWN_NS;
		interval = TURN_DOOR_DOWN_NS;
	}
	return interval;
}

/* Whether peers still live who said nothing since the last look: each a system call. */
static void look_at_silent(struct synod_net *net, uint64_t now_ns)
{
	for (uint32_t i = 0; i < net->port_count; i++) {
		struct synod_port *port = &net->ports[i];
		int silent = !port->heard;

		port->heard = 0;
		if (silent && port->up && port->socket[0] && port->kind == SYNOD_NET_PEER &&
		    synod_living_ended(port->socket))
			port->ended_ns = now_ns;
	}
}

void synod_net_poll_links(struct synod_net *net, uint64_t now_ns)
{
	synod_port_lock(net);
	if (net->gated && now_ns >= net->turn_at_ns) {
		synod_gate_turn();
		net->turn_at_ns = now_ns + turn_interval(net);
	}
	look_at_silent(net, now_ns);
	for (uint32_t i = 0; i < net->port_count; i++)
		synod_ethdev_poll(net, &net->ports[i], now_ns);
	synod_resolve_poll(net, now_ns);
	synod_port_unlock(net);
}

int synod_net_peer_up(const struct synod_net *net, uint32_t replica)
{
	const struct synod_route *route;

	synod_assert_cmp(replica, <=, SYNOD_REPLICAS_MAX);
	route = &net->routes[replica];
	return route->ip != 0 && route->known && net->ports[route->port].up;
}

uint32_t synod_net_peers_down(const struct synod_net *net, uint32_t replicas)
{
	uint32_t down = 0;

	for (uint32_t replica = 1; replica <= replicas; replica++)
		if (!synod_net_peer_up(net, replica))
			down |= 1u << replica;
	return down;
}

uint32_t synod_net_datagram_max(const struct synod_net *net, uint32_t port)
{
	synod_assert_cmp(port, <, net->port_count);
	return net->ports[port].frame_size_max - SYNOD_FRAME_HEADER_SIZE;
}

uint32_t synod_net_datagram_max_all(const struct synod_net *net)
{
	uint32_t least = synod_net_datagram_max(net, 0);

	for (uint32_t i = 1; i < net->port_count; i++) {
		if (synod_net_datagram_max(net, i) < least)
			least = synod_net_datagram_max(net, i);
	}
	return least;
}

int synod_net_port_of_peer(const struct synod_net *net, uint32_t replica)
{
	synod_assert_cmp(replica, <=, SYNOD_REPLICAS_MAX);
	return net->routes[replica].ip ? net->routes[replica].port : -1;
}

int synod_net_port_up(const struct synod_net *net, uint32_t port)
{
	synod_assert_cmp(port, <, net->port_count);
	return net->ports[port].up;
}

uint16_t synod_net_port_ethdev(const struct synod_net *net, uint32_t port)
{
	synod_assert_cmp(port, <, net->port_count);
	return net->ports[port].ethdev;
}

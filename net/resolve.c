/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where peers are: routes, and ARP for those whose MAC is not configured.
 *
 * Asked for at once and then with growing pauses until known, and again every 30 s so that a peer
 * that got another card is found; the old MAC serves until another is heard. Learned only from a
 * configured peer's address, on its own port: replies, and its own requests. Whoever can forge ARP
 * on the wire can divert traffic, as with any IPv4 host: configure MACs where that matters.
 */
#include "engine/base/assert.h"
#include "net/arp.h"
#include "net/port.h"

#include <string.h>

#define ASK_FIRST_NS 20000000ull    /* 20 ms */
#define ASK_MAX_NS   1000000000ull  /* 1 s */
#define ASK_AGAIN_NS 30000000000ull /* 30 s, once known */

static int mac_is_zero(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return memcmp(mac, zero, 6) == 0;
}

void synod_resolve_init(struct synod_net *net, const struct synod_net_config *config)
{
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++) {
		const struct synod_net_peer_config *peer = &config->peers[id];
		struct synod_route *route = &net->routes[id];

		if (peer->ip == 0)
			continue;
		synod_assert_cmp(peer->port, <, net->port_count);
		route->ip = peer->ip;
		route->port = peer->port;
		route->end.ip = peer->ip;
		route->end.udp_port = peer->udp_port;
		memcpy(route->end.mac, peer->mac, 6);
		route->fixed = !mac_is_zero(peer->mac);
		route->known = route->fixed;
		route->ask_wait_ns = ASK_FIRST_NS;
		synod_frame_template_init(&route->template, &net->ports[peer->port].filter.own,
					  &route->end);
	}
}

static void send_arp(struct synod_net *net, struct synod_port *port, struct synod_arp *arp)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(net->tx_pool);
	char *frame;

	if (!mbuf) {
		synod_count(net->counters, SYNOD_NO_BUFFER, 1);
		return;
	}
	memcpy(arp->sender_mac, port->filter.own.mac, 6);
	arp->sender_ip = port->filter.own.ip;
	frame = rte_pktmbuf_append(mbuf, SYNOD_ARP_FRAME_SIZE);
	synod_assert(frame);
	synod_arp_build(arp, (uint8_t *)frame);
	synod_port_queue(net, port, mbuf);
	/* The sending thread may have nothing to send, and so no reason to flush. */
	synod_port_flush(net, port);
}

/* Returns 1 if the sender is a peer of this port, whose MAC we want to know. */
static int learn(struct synod_net *net, const struct synod_port *port, const struct synod_arp *arp)
{
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++) {
		struct synod_route *route = &net->routes[id];

		if (route->ip != arp->sender_ip || route->fixed || route->ip == 0 ||
		    &net->ports[route->port] != port)
			continue;
		if (!route->known || memcmp(route->end.mac, arp->sender_mac, 6) != 0)
			synod_count(net->counters, SYNOD_ARP_LEARNED, 1);
		memcpy(route->end.mac, arp->sender_mac, 6);
		synod_frame_template_aim(&route->template, &route->end);
		/* Asking may pause from now on; the next poll sets the time. */
		if (!route->known)
			route->ask_at_ns = 0;
		route->known = 1;
		return 1;
	}
	return 0;
}

void synod_resolve_take(struct synod_net *net, struct synod_port *port, const uint8_t *frame,
			size_t size)
{
	struct synod_arp arp;
	struct synod_arp reply = { .operation = SYNOD_ARP_REPLY };
	int learned;

	if (synod_arp_parse(frame, size, &arp) != 0 || arp.target_ip != port->filter.own.ip) {
		synod_count(net->counters, SYNOD_DROP_ARP, 1);
		return;
	}
	learned = learn(net, port, &arp);
	if (arp.operation == SYNOD_ARP_REPLY) {
		if (!learned)
			synod_count(net->counters, SYNOD_DROP_ARP, 1);
		return;
	}
	reply.target_ip = arp.sender_ip;
	memcpy(reply.target_mac, arp.sender_mac, 6);
	send_arp(net, port, &reply);
	synod_count(net->counters, SYNOD_ARP_REPLIES, 1);
}

void synod_resolve_poll(struct synod_net *net, uint64_t now_ns)
{
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++) {
		struct synod_route *route = &net->routes[id];
		struct synod_arp request = { .operation = SYNOD_ARP_REQUEST };

		if (route->ip == 0 || route->fixed || !net->ports[route->port].up)
			continue;
		if (route->known && route->ask_at_ns == 0)
			route->ask_at_ns = now_ns + ASK_AGAIN_NS;
		if (now_ns < route->ask_at_ns)
			continue;
		request.target_ip = route->ip;
		send_arp(net, &net->ports[route->port], &request);
		route->ask_at_ns = now_ns + (route->known ? ASK_AGAIN_NS : route->ask_wait_ns);
		if (route->ask_wait_ns < ASK_MAX_NS)
			route->ask_wait_ns *= 2;
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network that a configuration describes, and the pipeline's net port over it: a memif link to
 * each peer and to each client's lane, or one NIC (or interface of the kernel's) for all; and a
 * door for clients of the kernel's UDP.
 */
#include "engine/host/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct synod_address) == sizeof(struct synod_net_address),
	       "one for the other");

static uint32_t receive(void *context, struct synod_packet *packets, uint32_t max)
{
	struct synod_replica *replica = context;
	struct synod_net_packet found[SYNOD_PIPELINE_BURST];
	uint32_t n = synod_net_receive(replica->net, found,
				       max < SYNOD_PIPELINE_BURST ? max : SYNOD_PIPELINE_BURST);

	for (uint32_t i = 0; i < n; i++) {
		packets[i].mbuf = found[i].mbuf;
		packets[i].peer = found[i].peer;
		packets[i].door =
			replica->net_config.ports[found[i].from.port].kind == SYNOD_NET_DOOR;
		memcpy(&packets[i].from, &found[i].from, sizeof(packets[i].from));
	}
	return n;
}

static void send_peer(void *context, uint32_t peer, struct rte_mbuf *mbuf)
{
	struct synod_replica *replica = context;

	synod_net_send_peer(replica->net, peer, mbuf);
}

static void send_to(void *context, const struct synod_address *to, struct rte_mbuf *mbuf)
{
	struct synod_replica *replica = context;
	struct synod_net_address address;

	memcpy(&address, to, sizeof(address));
	synod_net_send_to(replica->net, &address, mbuf);
}

static void flush(void *context)
{
	struct synod_replica *replica = context;

	synod_net_flush(replica->net);
}

static uint32_t poll_links(void *context, uint64_t now_ns)
{
	struct synod_replica *replica = context;

	synod_net_poll_links(replica->net, now_ns);
	return synod_net_peers_down(replica->net, replica->config.replicas) & ~(1u << replica->id);
}

struct synod_net_port synod_host_net_port(struct synod_replica *replica)
{
	return (struct synod_net_port){
		.context = replica,
		.receive = receive,
		.send_peer = send_peer,
		.send_to = send_to,
		.flush = flush,
		.poll_links = poll_links,
	};
}

static void add_memif_links(struct synod_replica *replica)
{
	const struct synod_config *config = &replica->config;
	struct synod_net_config *net = &replica->net_config;

	for (uint32_t peer = 1; peer <= config->replicas; peer++) {
		if (peer == replica->id)
			continue;
		synod_link_memif(&net->ports[net->port_count], &net->peers[peer], config->id,
				 replica->id, peer, net->port_count, (uint16_t)config->udp_port);
		net->ports[net->port_count].mtu = (uint16_t)config->mtu;
		net->peers[peer].port = (uint16_t)net->port_count++;
	}
}

/* A slot of the driver's rings holds a frame and what the kernel says of it. */
static void name_af_packet(struct synod_net_port_config *port, uint32_t index,
			   const char *interface, uint32_t mtu)
{
	snprintf(port->device, sizeof(port->device), "net_af_packet%u", index);
	snprintf(port->args, sizeof(port->args), "iface=%s,qpairs=1,framesz=%u,blocksz=%u",
		 interface, mtu <= 1500 ? 2048u : 16384u, mtu <= 1500 ? 4096u : 16384u);
}

static void add_nic(struct synod_replica *replica)
{
	const struct synod_config *config = &replica->config;
	const struct synod_config_replica *own = synod_config_replica(config, replica->id);
	struct synod_net_config *net = &replica->net_config;
	struct synod_net_port_config *port = &net->ports[net->port_count];

	if (own->transport == SYNOD_TRANSPORT_PCI)
		snprintf(port->device, sizeof(port->device), "%s", own->pci);
	else
		name_af_packet(port, net->port_count, own->interface, config->mtu);
	port->kind = SYNOD_NET_SHARED;
	port->ip = own->address;
	port->udp_port = (uint16_t)config->udp_port;
	port->mtu = (uint16_t)config->mtu;
	for (uint32_t peer = 1; peer <= config->replicas; peer++) {
		if (peer == replica->id)
			continue;
		net->peers[peer].ip = synod_config_replica(config, peer)->address;
		net->peers[peer].udp_port = (uint16_t)config->udp_port;
		net->peers[peer].port = (uint16_t)net->port_count;
	}
	net->port_count++;
}

static void add_lanes(struct synod_replica *replica, uint32_t room)
{
	const struct synod_config *config = &replica->config;
	struct synod_net_config *net = &replica->net_config;

	for (uint32_t lane = 0; lane < config->links && net->port_count < room; lane++) {
		synod_link_memif(&net->ports[net->port_count], NULL, config->id, replica->id,
				 SYNOD_LINK_CLIENT + lane, net->port_count,
				 (uint16_t)config->udp_port);
		net->ports[net->port_count].mtu = (uint16_t)config->mtu;
		net->port_count++;
	}
}

static void add_door(struct synod_replica *replica)
{
	const struct synod_config_replica *own =
		synod_config_replica(&replica->config, replica->id);
	struct synod_net_config *net = &replica->net_config;
	struct synod_net_port_config *port = &net->ports[net->port_count];

	if (own->door == SYNOD_DOOR_NONE)
		return;
	if (own->door == SYNOD_DOOR_AF_PACKET) {
		name_af_packet(port, net->port_count, own->door_interface, 1500);
	} else {
		snprintf(port->device, sizeof(port->device), "net_tap%u", net->port_count);
		snprintf(port->args, sizeof(port->args), "iface=%s", own->door_interface);
	}
	port->kind = SYNOD_NET_DOOR;
	port->ip = own->door_ip;
	port->udp_port = (uint16_t)replica->config.udp_port;
	port->mtu = 1500;
	net->port_count++;
}

int synod_host_open_net(struct synod_replica *replica, char *error, size_t error_size)
{
	const struct synod_config_replica *own =
		synod_config_replica(&replica->config, replica->id);
	struct synod_net_config *net = &replica->net_config;

	net->rx_pool = replica->mbufs;
	net->tx_pool = replica->mbufs;
	if (own->transport == SYNOD_TRANSPORT_MEMIF)
		add_memif_links(replica);
	else
		add_nic(replica);
	add_door(replica);
	add_lanes(replica, SYNOD_NET_PORTS_MAX);
	return synod_net_open(&replica->net, net, &replica->net_counters, error, error_size);
}

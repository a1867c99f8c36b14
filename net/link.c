/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/link.h"

#include "engine/base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Two bytes of the cluster's id, mixed so that neighbouring ids differ in both. */
static uint32_t mix(uint64_t cluster)
{
	return (uint32_t)((cluster * 0x9e3779b97f4a7c15ull) >> 48);
}

uint32_t synod_link_ip(uint64_t cluster, uint32_t own, uint32_t other)
{
	return 10u << 24 | (mix(cluster) & 0xff) << 16 | own << 8 | other;
}

void synod_link_mac(uint64_t cluster, uint32_t own, uint32_t other, uint8_t mac[6])
{
	uint32_t mixed = mix(cluster);

	mac[0] = 0x02; /* locally administered, one station */
	mac[1] = 0x53;
	mac[2] = (uint8_t)mixed;
	mac[3] = (uint8_t)(mixed >> 8);
	mac[4] = (uint8_t)own;
	mac[5] = (uint8_t)other;
}

void synod_link_memif(struct synod_net_port_config *port, struct synod_net_peer_config *peer,
		      uint64_t cluster, uint32_t own, uint32_t other, uint32_t index,
		      uint16_t udp_port)
{
	uint32_t low = own < other ? own : other;
	uint32_t high = own < other ? other : own;
	int size;

	synod_assert_cmp(low, >=, 1);
	synod_assert_cmp(low, <=, SYNOD_REPLICAS_MAX);
	synod_assert_cmp(low, !=, high);
	synod_assert_cmp(high, <, SYNOD_LINK_CLIENT + SYNOD_LINK_LANES_MAX);

	memset(port, 0, sizeof(*port));
	port->kind = other <= SYNOD_REPLICAS_MAX ? SYNOD_NET_PEER : SYNOD_NET_DOOR;
	port->peer = other <= SYNOD_REPLICAS_MAX ? other : 0;
	port->mtu = 9000;
	port->ip = synod_link_ip(cluster, own, other);
	port->udp_port = udp_port;
	synod_link_mac(cluster, own, other, port->mac);
	snprintf(port->device, sizeof(port->device), "net_memif%" PRIu32, index);
	size = snprintf(port->args, sizeof(port->args),
			"role=%s,id=0,socket-abstract=yes,socket=synod-%016" PRIx64 "-%" PRIu32
			"-%" PRIu32 ",bsize=%d,rsize=%d,mac=%02x:%02x:%02x:%02x:%02x:%02x",
			own == low ? "server" : "client", cluster, low, high,
			SYNOD_LINK_BUFFER_SIZE, SYNOD_LINK_RING_LOG2, port->mac[0], port->mac[1],
			port->mac[2], port->mac[3], port->mac[4], port->mac[5]);
	synod_assert_cmp(size, <, (int)sizeof(port->args));

	if (!peer)
		return;
	memset(peer, 0, sizeof(*peer));
	peer->ip = synod_link_ip(cluster, other, own);
	peer->udp_port = udp_port;
	synod_link_mac(cluster, other, own, peer->mac);
}

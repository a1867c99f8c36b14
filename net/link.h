/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memif links of a local cluster: who listens, what both ends are called. Pure arithmetic and
 * strings, so that two processes that know the cluster's id and their own numbers agree on
 * everything without asking.
 *
 * A node is a replica (1..7) or a client's lane (SYNOD_LINK_CLIENT + lane). Each pair has one link,
 * one abstract socket and one pair of addresses:
 *
 *     socket  synod-<cluster, 16 hex digits>-<low>-<high>   the lower node is the memif server
 *     IP      10.<h>.<own node>.<other node>                h: 8 bits of the cluster's id, mixed
 *     MAC     02:53:<h>:<h'>:<own node>:<other node>        locally administered
 */
#ifndef SYNOD_NET_LINK_H
#define SYNOD_NET_LINK_H

#include "net/net.h"

enum {
	SYNOD_LINK_CLIENT = 64,	       /* node number of client lane 0 */
	SYNOD_LINK_LANES_MAX = 16,     /* client lanes a replica may offer */
	SYNOD_LINK_RING_LOG2 = 9,      /* descriptors per direction: 512 */
	SYNOD_LINK_BUFFER_SIZE = 9216, /* one frame, whole */
};

/* Shared memory of one link, both directions: about 9 MiB. */
#define SYNOD_LINK_MEMORY (2u * (1u << SYNOD_LINK_RING_LOG2) * SYNOD_LINK_BUFFER_SIZE)
_Static_assert(SYNOD_LINK_MEMORY <= 32u << 20, "a link stays modest");

/*
 * Fills in a port of kind PEER (other is a replica) or DOOR (other is a client's lane) for the link
 * between nodes own and other of a cluster, and, if peer is not NULL, the route to the other end
 * (its port index is left to the caller). index makes the device name unique in the process:
 * net_memif<index>.
 */
void synod_link_memif(struct synod_net_port_config *port, struct synod_net_peer_config *peer,
		      uint64_t cluster, uint32_t own, uint32_t other, uint32_t index,
		      uint16_t udp_port);

uint32_t synod_link_ip(uint64_t cluster, uint32_t own, uint32_t other);
void synod_link_mac(uint64_t cluster, uint32_t own, uint32_t other, uint8_t mac[6]);

#endif

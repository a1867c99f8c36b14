/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The net port: Synod datagrams in and out of DPDK ethernet devices, as real Ethernet/IPv4/UDP
 * frames on every one of them.
 *
 * A net has up to 16 ports. A port is one ethdev: a link to one peer (kind PEER: memif between two
 * processes), a door for clients (DOOR), or a card that peers and clients share (SHARED: a NIC,
 * af_packet, tap). Peers behind SHARED ports are found by ARP unless their MAC is configured; on
 * memif links addresses are computed (net/link.h) and nobody asks.
 *
 *   receive: device burst -> frame checks (net/frame.h) -> packets of the caller
 *                         -> ARP answered and learned inside; the rest dropped and counted
 *   send:    mbuf with the datagram -> 42 bytes of headers in front -> the port's transmit burst
 *            -> flush: to the device; what it does not take is freed and counted, not kept: the
 *               protocol sends again
 *
 * Threads: receive and poll_links belong to one thread, send and flush to one; they may be the same
 * (then their lock is never contended) or two. The other calls come from either. The rows of the
 * counters that each writes are disjoint, or written under the lock.
 *
 * Nothing here blocks, prints, exits or initialises EAL; the caller did that, and its programs may
 * use net/eal.h. All memory is taken in open; a port that is restarted (poll_links) lets its driver
 * allocate again, once per lost link.
 */
#ifndef SYNOD_NET_NET_H
#define SYNOD_NET_NET_H

#include "engine/base/counters.h"
#include "engine/base/limits.h"

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <stddef.h>
#include <stdint.h>

enum {
	SYNOD_NET_PORTS_MAX = 16,
	SYNOD_NET_BURST = 32,	    /* frames per device call */
	SYNOD_NET_HEADER_SIZE = 42, /* Ethernet 14, IPv4 20, UDP 8: in front of every datagram */

	/* Data room of an mbuf that holds any frame whole, in one segment: headroom, then 9014
	 * bytes rounded up to what drivers like. Use it for the pools given to open. */
	SYNOD_NET_MBUF_ROOM = RTE_PKTMBUF_HEADROOM + 9216,

	SYNOD_NET_UDP_PORT = 7414, /* unless configured otherwise */
};

_Static_assert(RTE_PKTMBUF_HEADROOM >= 64, "the datagram has room for headers in front");
_Static_assert(SYNOD_NET_MBUF_ROOM - RTE_PKTMBUF_HEADROOM >= SYNOD_FRAME_SIZE_MAX, "one segment");

enum synod_net_kind {
	SYNOD_NET_PEER,	  /* a link to one replica, and nobody else */
	SYNOD_NET_DOOR,	  /* clients only */
	SYNOD_NET_SHARED, /* peers (those whose config names this port) and clients */
};

/* What is done about the UDP checksum of frames that leave. */
enum synod_net_checksum {
	SYNOD_NET_CHECKSUM_DEFAULT, /* the device if it offers to; else none on memif, whose
				     * datagrams have a CRC32C of their own; else software */
	SYNOD_NET_CHECKSUM_NONE,    /* 0: legal in IPv4, and the kernel takes it */
	SYNOD_NET_CHECKSUM_SOFTWARE,
};

/* Where a datagram came from, or goes to. Addresses in host order. A value: may be kept. */
struct synod_net_address {
	uint32_t ip;
	uint16_t udp_port;
	uint16_t port; /* index into the net's ports */
	uint8_t mac[6];
	uint16_t reserved; /* 0: addresses are compared as bytes */
};

_Static_assert(sizeof(struct synod_net_address) == 16, "no padding: compared and hashed");

struct synod_net_port_config {
	char device[64]; /* ethdev name ("net_memif0", "net_af_packet0") or PCI address */
	char args[256];	 /* of a virtual device to create; "": it exists, or is PCI */
	enum synod_net_kind kind;
	uint32_t peer; /* PEER: the replica at the other end, 1..7 */
	enum synod_net_checksum checksum;
	uint8_t mac[6];	   /* ours; all zero: what the device has */
	uint16_t mtu;	   /* of the IP packet; 0: 9000, or what the device can if that is less */
	uint32_t ip;	   /* ours, host order */
	uint16_t udp_port; /* ours */
};

/* Where a replica is. All zero: not reachable from here (or ourselves). */
struct synod_net_peer_config {
	uint32_t ip; /* 0: none */
	uint16_t udp_port;
	uint16_t port;	/* index of the port to send on */
	uint8_t mac[6]; /* all zero: ask by ARP */
};

struct synod_net_config {
	struct synod_net_port_config ports[SYNOD_NET_PORTS_MAX];
	uint32_t port_count;
	struct synod_net_peer_config peers[SYNOD_REPLICAS_MAX + 1]; /* by replica; [0] unused */
	struct rte_mempool *rx_pool; /* SYNOD_NET_MBUF_ROOM; at least rx_descriptors per port */
	struct rte_mempool *tx_pool; /* same room: copies for devices that take one segment only,
				      * and ARP. May be rx_pool. */
	uint16_t rx_descriptors;     /* 0: 512 */
	uint16_t tx_descriptors;     /* 0: 512 */
};

/* One datagram received. The mbuf is the caller's from now on: one segment, its data starting at
 * the payload (2-byte aligned), headers still in front of it (headroom for an answer in place). */
struct synod_net_packet {
	struct rte_mbuf *mbuf;
	uint8_t *payload; /* = rte_pktmbuf_mtod(mbuf) */
	uint32_t size;	  /* bytes of payload, = mbuf->data_len */
	uint32_t peer; /* PEER ports: the replica at the other end; 0: it has to prove who it is */
	struct synod_net_address from;
};

struct synod_net;

/*
 * Creates (where args say so), configures and starts the ports. config is copied; pools and
 * counters stay the caller's and outlive the net. Returns 0, or -errno with one line in error that
 * names the port and the remedy.
 */
int synod_net_open(struct synod_net **net, const struct synod_net_config *config,
		   struct synod_counters *counters, char *error, size_t error_size)
	__attribute__((warn_unused_result));

/* Stops the ports, removes those that open created, frees. NULL is accepted. */
void synod_net_close(struct synod_net *net);

/* Takes up to max datagrams from the ports, round robin. Returns how many. */
uint32_t synod_net_receive(struct synod_net *net, struct synod_net_packet *packets, uint32_t max);

/*
 * Send one datagram. The mbuf is the net's from now on, whatever happens (drops are counted:
 * TX_NO_ROUTE, TX_FULL, NO_BUFFER). Its first segment is not shared, has at least
 * SYNOD_NET_HEADER_SIZE bytes of headroom and starts at the Synod header; a second one may be
 * shared (its reference goes with it) and is only read. Leaves at the latest with flush.
 * The whole datagram must fit synod_net_datagram_max of the port.
 */
void synod_net_send_peer(struct synod_net *net, uint32_t replica, struct rte_mbuf *mbuf);
void synod_net_send_to(struct synod_net *net, const struct synod_net_address *to,
		       struct rte_mbuf *mbuf);

/* Gives every queued frame to its device. */
void synod_net_flush(struct synod_net *net);

/*
 * Looks at the links, brings back those that do not come back alone, asks for addresses that are
 * missing. Call it every 1 to 10 ms, with the monotonic time in ns. Costs a few loads and, for
 * each memif peer from whom nothing came since the last call, a system call. In programs that link
 * net_eal_dep the end of a memif peer's process is noticed at the next such call (net/living.h);
 * else, and on doors, when the kernel has cleared it away and within 20 ms.
 */
void synod_net_poll_links(struct synod_net *net, uint64_t now_ns);

/* 1 if a frame to this replica could leave now: link up and address known. */
int synod_net_peer_up(const struct synod_net *net, uint32_t replica);

/* The bit of each replica from 1 to replicas to which none could; one's own too. */
uint32_t synod_net_peers_down(const struct synod_net *net, uint32_t replicas);

/* The largest datagram (Synod header to end of body) that this port takes, and the smallest such
 * over all ports, bytes. */
uint32_t synod_net_datagram_max(const struct synod_net *net, uint32_t port);
uint32_t synod_net_datagram_max_all(const struct synod_net *net);

/* The port of kind PEER that leads to a replica, or the one that its route names; -1: none. */
int synod_net_port_of_peer(const struct synod_net *net, uint32_t replica);

/* Counts: for status. 1 if the port's link is up; its ethdev id. */
int synod_net_port_up(const struct synod_net *net, uint32_t port);
uint16_t synod_net_port_ethdev(const struct synod_net *net, uint32_t port);

#endif

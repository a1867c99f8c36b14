/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside of net/: a port, and the net that has them. Users include net/net.h.
 *
 * net.c moves frames, ethdev.c makes and restarts devices, resolve.c knows who is where.
 */
#ifndef SYNOD_NET_PORT_H
#define SYNOD_NET_PORT_H

#include "net/frame.h"
#include "net/living.h"
#include "net/net.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

enum synod_port_driver {
	SYNOD_PORT_CARD, /* any device that says truly what it can do */
	SYNOD_PORT_MEMIF_SERVER,
	SYNOD_PORT_MEMIF_CLIENT,
	SYNOD_PORT_AF_PACKET,
};

/* How the UDP checksum of a leaving frame comes about. */
enum synod_port_checksum {
	SYNOD_PORT_CHECKSUM_NONE,
	SYNOD_PORT_CHECKSUM_SOFTWARE,
	SYNOD_PORT_CHECKSUM_DEVICE,
};

struct synod_port {
	/* Hot: read by every burst. */
	uint16_t ethdev;
	uint8_t up;
	uint8_t multi_segments;
	uint8_t heard; /* a frame came since poll_links looked last */
	enum synod_port_checksum checksum;
	uint32_t peer; /* PEER: the replica; else 0 */
	uint32_t frame_size_max;
	struct synod_frame_filter filter;
	struct synod_frame_template template; /* from us to whomever it was aimed at last */

	/* Frames that wait for flush. */
	uint32_t tx_count;
	struct rte_mbuf *tx[SYNOD_NET_BURST];

	/* Cold: the device and its link. */
	enum synod_net_kind kind;
	enum synod_port_driver driver;
	uint8_t created; /* by us, so close removes it */
	uint8_t configured;
	uint8_t started;
	char socket[SYNOD_LIVING_NAME_MAX]; /* memif: the link's name; "": none, or not abstract */
	uint64_t ended_ns;	/* memif: when its peer was seen to have ended; 0: it was not */
	uint64_t retry_at_ns;	/* memif client: not started again before this */
	uint64_t retry_wait_ns; /* and then waited so long for the link */
};

struct synod_route {
	uint32_t ip; /* 0: no route */
	uint16_t port;
	uint8_t known; /* the template has the peer's MAC */
	uint8_t fixed; /* it was configured, ARP does not change it */
	uint64_t ask_at_ns;
	uint64_t ask_wait_ns;
	struct synod_frame_end end;
	struct synod_frame_template template;
};

struct synod_net {
	struct synod_counters *counters;
	struct rte_mempool *rx_pool;
	struct rte_mempool *tx_pool;
	uint32_t port_count;
	uint32_t cursor; /* the port that the next receive begins with */
	struct synod_port ports[SYNOD_NET_PORTS_MAX];
	struct synod_route routes[SYNOD_REPLICAS_MAX + 1];

	/*
	 * Guards what the sending thread and the receiving thread both touch: the tx bursts and
	 * transmit queues, the routes, the links. Held by every send and flush, by poll_links, and
	 * by receive only when it has an ARP frame.
	 */
	_Atomic uint8_t lock;

	uint64_t turn_at_ns; /* next round of the interrupt thread */
	uint8_t gated;	     /* the gate is ours */
	uint16_t rx_descriptors;
	uint16_t tx_descriptors;
};

static inline void synod_port_lock(struct synod_net *net)
{
	/* A1: acquire; pairs with R1: what the other thread did under the lock is seen. */
	while (atomic_exchange_explicit(&net->lock, 1, memory_order_acquire))
		sched_yield(); /* its holder may be waiting for this very core */
}

static inline void synod_port_unlock(struct synod_net *net)
{
	/* R1: release; pairs with A1. */
	atomic_store_explicit(&net->lock, 0, memory_order_release);
}

/* ethdev.c. error: one line, already naming the port. */
int synod_ethdev_open(struct synod_net *net, struct synod_port *port,
		      const struct synod_net_port_config *config, char *error, size_t error_size);
void synod_ethdev_close(struct synod_port *port);
void synod_ethdev_poll(struct synod_net *net, struct synod_port *port, uint64_t now_ns);

/* resolve.c */
void synod_resolve_init(struct synod_net *net, const struct synod_net_config *config);
/* Answers or learns from an ARP frame; does not keep the frame. */
void synod_resolve_take(struct synod_net *net, struct synod_port *port, const uint8_t *frame,
			size_t size);
void synod_resolve_poll(struct synod_net *net, uint64_t now_ns);

/* net.c, under the lock: queues a finished frame; hands what is queued to the device. */
void synod_port_queue(struct synod_net *net, struct synod_port *port, struct rte_mbuf *mbuf);
void synod_port_flush(struct synod_net *net, struct synod_port *port);

#endif

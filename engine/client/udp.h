/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's transport over an ordinary UDP socket (IPv4): no DPDK, no hugepages, no rights.
 *
 * Datagrams out are gathered and leave with one system call a burst, and come in the same way. An
 * ICMP error (a replica that is down) is a lost datagram. Datagrams from other addresses than the
 * replicas' are dropped and counted.
 *
 * (The functions are synod_client_udp_…, not synod_udp_…: net/ has a UDP of its own.)
 */
#ifndef SYNOD_CLIENT_UDP_H
#define SYNOD_CLIENT_UDP_H

#include "engine/base/limits.h"
#include "engine/client/transport.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_client_udp;

struct synod_client_udp_address {
	uint8_t ip[4]; /* 10.0.0.1 is {10, 0, 0, 1} */
	uint16_t port; /* host byte order */
};

struct synod_client_udp_config {
	uint32_t replicas;	    /* 1..SYNOD_REPLICAS_MAX */
	uint32_t datagram_size_max; /* bytes; 0: 1472, what a 1500-byte MTU takes; at most 8972 */
	struct synod_client_udp_address replica[SYNOD_REPLICAS_MAX]; /* replica 1 is [0] */
	struct synod_client_udp_address local; /* all 0: any address, any port */
};

/* Bytes of memory that it needs; aligned to 64. */
size_t synod_client_udp_size(void);

/*
 * Opens the socket; memory stays the caller's. Returns 0, or -EINVAL (a field out of its range) or
 * the socket's -errno; then nothing is open and close need not be called (but may be).
 */
int synod_client_udp_open(struct synod_client_udp **udp, void *memory,
			  const struct synod_client_udp_config *config)
	__attribute__((warn_unused_result));

/* Closes the socket. Accepts NULL, and what open left half done. */
void synod_client_udp_close(struct synod_client_udp *udp);

/* The port to give to synod_client_init; valid until close. */
const struct synod_transport *synod_client_udp_transport(const struct synod_client_udp *udp);

/* The socket, for a caller's own poll or epoll. */
int synod_client_udp_fd(const struct synod_client_udp *udp);

/* Datagrams dropped because they came from elsewhere, or were longer than datagram_size_max. */
uint64_t synod_client_udp_dropped(const struct synod_client_udp *udp);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's transport (engine/client/transport.h) over memif: one link to each replica of a
 * local cluster, in a lane that this process has for itself. A replica offers lanes 0..n-1, each a
 * door port (net/link.h); EAL must be up. Several processes choose different lanes by a lock file
 * each in the cluster's run directory; the kernel lets the lock go when the process dies.
 */
#ifndef SYNOD_NET_CLIENT_MEMIF_H
#define SYNOD_NET_CLIENT_MEMIF_H

#include "engine/base/counters.h"
/* tidy: allow floor: the port that this adapter implements, as ports.h is for net/net.h */
#include "engine/client/transport.h"

#include <stddef.h>
#include <stdint.h>

struct synod_client_memif;

struct synod_client_memif_config {
	uint64_t cluster;
	uint32_t replicas; /* 1..replicas */
	uint32_t lane;	   /* as synod_client_memif_take_lane gave it */
	uint16_t udp_port; /* of the replicas' doors and ours; 0: SYNOD_NET_UDP_PORT */
	uint32_t buffers;  /* frames of 9 KiB in the pool; 0: 4096 (38 MiB) */
};

/*
 * Finds a free lane of 0..lanes-1: locks <run_directory>/lane-<n>. Returns the lane and sets *lock
 * to a descriptor that holds it (close it when done), or -EBUSY when all are taken, or -errno.
 */
int synod_client_memif_take_lane(const char *run_directory, uint32_t lanes, int *lock)
	__attribute__((warn_unused_result));

/*
 * Fills in the transport, which lives until close. Links come up within some tens of milliseconds
 * of idle, receive and flush being called; until then what is sent is lost, as the client expects.
 * Returns 0, or -errno with one line in error. counters are the caller's, one thread.
 */
int synod_client_memif_open(struct synod_client_memif **client,
			    const struct synod_client_memif_config *config,
			    struct synod_counters *counters, struct synod_transport *transport,
			    char *error, size_t error_size) __attribute__((warn_unused_result));

/* NULL is accepted. */
void synod_client_memif_close(struct synod_client_memif *client);

/* How many replicas' links are up. */
uint32_t synod_client_memif_links_up(const struct synod_client_memif *client);

#endif

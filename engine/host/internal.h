/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the host share: the replica's parts, in the order they are made. */
#ifndef SYNOD_HOST_INTERNAL_H
#define SYNOD_HOST_INTERNAL_H

#include "engine/host/replica.h"
#include "engine/journal/uring.h"
#include "engine/pipeline/pipeline.h"
#include "net/link.h"
#include "net/net.h"

struct synod_replica {
	struct synod_config config;
	uint32_t id;
	struct synod_journal *journal;
	struct synod_journal_recovery recovery;
	struct synod_mending mending; /* slots_count > 0: the journal is to be mended first */
	uint64_t slots_repaired;      /* in mendings before this one */
	uint64_t slots_covered;	      /* of those: by a peer's snapshot */
	uint32_t covered_from;	      /* that peer */
	struct synod_counters journal_counters;
	struct synod_counters net_counters;
	struct rte_mempool *mbufs;
	struct rte_mempool *header_mbufs;
	void *apply_memory;
	struct synod_positions_memory positions;
	void *image; /* NULL: the journal has no areas for snapshots */
	uint64_t image_room;
	struct synod_net *net;
	struct synod_net_config net_config;
	struct synod_pipeline *pipeline;
	char error[SYNOD_CONFIG_ERROR_SIZE];
};

/* ports.c: the network of the configuration, and the net port over it. */
int synod_host_open_net(struct synod_replica *replica, char *error, size_t error_size)
	__attribute__((warn_unused_result));
struct synod_net_port synod_host_net_port(struct synod_replica *replica);

/* recover.c: from the journal into the state machine and the core. */
int synod_host_recover(struct synod_replica *replica, uint64_t now_ns,
		       struct synod_replica_opened *opened, char *error, size_t error_size)
	__attribute__((warn_unused_result));

uint64_t synod_host_now_ns(void);

#endif

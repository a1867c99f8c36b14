/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's way to the replicas: see synod_connect.h. */
#include "tools/synod_connect.h"
#include "engine/client/udp.h"
#include "net/client_memif.h"
#include "net/eal.h"
#include "tools/synod.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
	MEMORY_MIB = 96,
	BUFFERS = 1023, /* frames under way in this process: links copy from and into theirs */
};

static struct synod_client_memif *memif;
static struct synod_client_udp *udp;
static void *udp_memory;
static struct synod_counters counters;
static int lane_lock = -1;
static int eal_is_up;

uint64_t synod_tool_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t synod_tool_random(void)
{
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		number = synod_tool_now_ns() ^ (uint64_t)getpid() << 40;
	return number;
}

/* DPDK, in this process; the thread keeps the processors it had: a tool owns no core. */
static int start_eal(const struct synod_config *config, uint32_t lane)
{
	static struct synod_eal_args args;
	char prefix[64];
	char error[256];
	const struct synod_eal_options options = {
		.program = "synod",
		.file_prefix = prefix,
		.memory_mib = MEMORY_MIB,
		.no_hugepages = 1,
	};
	cpu_set_t allowed;
	int allowed_known;

	snprintf(prefix, sizeof(prefix), "synod-%016" PRIx64 "-lane%u", config->id, lane);
	if (synod_eal_build(&args, &options, error, sizeof(error)))
		return synod_tool_complain("%s", error);
	allowed_known = !sched_getaffinity(0, sizeof(allowed), &allowed);
	if (rte_eal_init(args.argc, args.argv) < 0)
		return synod_tool_complain("DPDK did not start: %s; %u MiB of memory are needed",
					   rte_strerror(rte_errno), MEMORY_MIB);
	eal_is_up = 1;
	if (allowed_known)
		sched_setaffinity(0, sizeof(allowed), &allowed);
	return 0;
}

static int connect_memif(const struct synod_config *config, struct synod_transport *transport)
{
	struct synod_client_memif_config memif_config = {
		.cluster = config->id,
		.replicas = config->replicas,
		.udp_port = (uint16_t)config->udp_port,
		.buffers = BUFFERS,
	};
	char error[256];
	int lane;

	if (config->replica[0].transport != SYNOD_TRANSPORT_MEMIF) {
		synod_tool_complain("these replicas have no memif links; use --udp");
		return SYNOD_TOOL_USAGE;
	}
	if (!config->links) {
		synod_tool_complain("links = 0: the replicas take no memif clients; use --udp");
		return SYNOD_TOOL_USAGE;
	}
	lane = synod_client_memif_take_lane(config->run_dir, config->links, &lane_lock);
	if (lane == -EBUSY)
		return synod_tool_complain("all %u client links are in use; wait, or set links = "
					   "higher in %s and restart",
					   config->links, config->path);
	if (lane < 0)
		return synod_tool_complain("%s: %s", config->run_dir, strerror(-lane));
	if (start_eal(config, (uint32_t)lane))
		return SYNOD_TOOL_FAILED;
	memif_config.lane = (uint32_t)lane;
	if (synod_client_memif_open(&memif, &memif_config, &counters, transport, error,
				    sizeof(error)))
		return synod_tool_complain("%s", error);
	return 0;
}

static int connect_udp(const struct synod_config *config, struct synod_transport *transport)
{
	struct synod_client_udp_config udp_config = { .replicas = config->replicas };
	int result;

	for (uint32_t id = 1; id <= config->replicas; id++) {
		const struct synod_config_replica *replica = synod_config_replica(config, id);
		uint32_t ip =
			replica->door != SYNOD_DOOR_NONE ? replica->door_ip : replica->address;
		struct synod_client_udp_address *to = &udp_config.replica[id - 1];

		if (!ip) {
			synod_tool_complain(
				"replica %u has no door in %s; add door and door_ip, or leave "
				"--udp away",
				id, config->path);
			return SYNOD_TOOL_USAGE;
		}
		for (int i = 0; i < 4; i++)
			to->ip[i] = (uint8_t)(ip >> (24 - 8 * i));
		to->port = (uint16_t)config->udp_port;
	}
	udp_memory = aligned_alloc(64, (synod_client_udp_size() + 63) & ~(size_t)63);
	if (!udp_memory)
		return synod_tool_complain("no memory");
	result = synod_client_udp_open(&udp, udp_memory, &udp_config);
	if (result)
		return synod_tool_complain("UDP socket: %s", strerror(-result));
	*transport = *synod_client_udp_transport(udp);
	return 0;
}

/* By UDP too where that is the only way, without being told. */
int synod_tool_connect(const struct synod_config *config, int by_udp,
		       struct synod_transport *transport)
{
	const struct synod_config_replica *first = &config->replica[0];
	int no_memif = first->transport != SYNOD_TRANSPORT_MEMIF || config->links == 0;
	int only_udp = no_memif && (first->door_ip || first->address);
	int result = by_udp || only_udp ? connect_udp(config, transport)
					: connect_memif(config, transport);

	if (result)
		synod_tool_disconnect();
	return result;
}

void synod_tool_disconnect(void)
{
	synod_client_memif_close(memif);
	memif = NULL;
	synod_client_udp_close(udp);
	udp = NULL;
	free(udp_memory);
	udp_memory = NULL;
	if (eal_is_up)
		rte_eal_cleanup();
	eal_is_up = 0;
	if (lane_lock >= 0)
		close(lane_lock);
	lane_lock = -1;
}

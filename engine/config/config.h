/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: one INI file for the whole cluster, read by every program of it. Strict: an
 * unknown section or key, a key given twice, a value out of its range and a missing key are errors,
 * told in one line with file, line and remedy.
 *
 *     [cluster]
 *     id = 0x5ca1ab1e          # u64, not zero; datagrams and journals of another are refused
 *     replicas = 3             # 1..7: as many [replica N] sections follow
 *     voters = 3               # replicas 1..voters vote, the others only learn. Default: all
 *     quorum_prepare = 2       # voters needed to lead, and to get a batch chosen; together more
 *     quorum_accept = 2        # than voters. Default: more than half of the voters, each
 *     machine = sequencer      # sequencer | kv
 *     sessions = 128           # clients that may be registered at once, 1..16384
 *     session_window = 4096    # commands that each may have under way, a power of two, 16..4096;
 *                              # sessions times session_window is at most 4194304
 *     poll = auto              # spin | pause | yield | auto: yield where cores are shared
 *     mtu = 9000               # bytes of an IP packet on the links, 576..9000
 *     memory_mb = 160          # DPDK memory of one process, 32..65536
 *     run_dir = .              # sockets and pid files; a relative path is relative to this file
 *     huge = auto              # auto | yes | no: hugepages
 *     durability = direct      # direct | any | none. direct refuses to start without O_DIRECT and
 *                              # RWF_DSYNC, or where nothing flushes the device's cache; none
 *                              # keeps the journal in memory: a replica forgets all it promised
 *                              # when it ends. To compare with, and never for data
 *
 *     [timing]                 # milliseconds; heartbeat < election / 2, retransmit < election
 *     election_ms = 150
 *     heartbeat_ms = 20
 *     retransmit_ms = 20
 *     journal_timeout_ms = 10000  # a disk that answers a write or read later ends its replica
 *
 *     [clients]
 *     links = 4                # memif clients that a replica takes at once, 0..16
 *     udp_port = 7400          # of replicas, for kernel-UDP clients and on a NIC
 *
 *     [replica 1]              # and so on, 1..replicas
 *     journal = 1.journal      # file, block device, or /dev/ngXnY: NVMe passthrough; the one key
 *                              # without a default
 *     journal_size = 1G        # for `synod format` of a file; suffixes K M G; 16M..16T
 *     journal_poll = no        # yes: ask the device for completions instead of waiting for its
 *                              # interrupts; refused where it has no poll queues
 *     cores = 0                # one core for all stages, or a core for each named stage:
 *                              #   cores = ingress@0 order@0 journal@1 apply@1 egress@0
 *                              # default: (N - 1) modulo the processors online
 *     transport = memif        # memif | pci | af_packet
 *     pci = 0000:01:00.0       # of transport = pci
 *     interface = eth1         # of transport = af_packet: a kernel's interface, shared with it;
 *                              # mtu is at most its MTU
 *     address = 10.0.0.1       # of pci and af_packet: the replica's own, not the kernel's
 *     priority = 0             # 0..255: the highest leads when it can
 *     door = af_packet:veth1   # or tap:NAME; where clients come by ordinary UDP. Default: none
 *     door_ip = 10.91.0.1      # the replica's own address there
 *
 * Comments begin with ; or #. Nothing here allocates after load, prints (but for
 * synod_config_print, to the stream it is given) or keeps state; any thread may read a loaded
 * configuration.
 */
#ifndef SYNOD_CONFIG_CONFIG_H
#define SYNOD_CONFIG_CONFIG_H

#include "engine/base/limits.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SYNOD_CONFIG_PATH_SIZE = 1024, /* with its NUL */
	SYNOD_CONFIG_NAME_SIZE = 32,
	SYNOD_CONFIG_LINKS_MAX = 16,
	SYNOD_CONFIG_CORES_MAX = 128, /* as RTE_MAX_LCORE */
	SYNOD_CONFIG_TEXT_SIZE = 16384,
	SYNOD_CONFIG_ERROR_SIZE = 1536, /* enough for any error of load: a path and a sentence */
};

enum synod_poll {
	SYNOD_POLL_AUTO,
	SYNOD_POLL_SPIN,
	SYNOD_POLL_PAUSE,
	SYNOD_POLL_YIELD
};

enum synod_huge {
	SYNOD_HUGE_AUTO,
	SYNOD_HUGE_YES,
	SYNOD_HUGE_NO
};

enum synod_durability_wanted {
	SYNOD_WANT_DIRECT,
	SYNOD_WANT_ANY,
	SYNOD_WANT_NONE
};

enum synod_transport_kind {
	SYNOD_TRANSPORT_MEMIF,
	SYNOD_TRANSPORT_PCI,
	SYNOD_TRANSPORT_AF_PACKET
};

enum synod_door_kind {
	SYNOD_DOOR_NONE,
	SYNOD_DOOR_AF_PACKET,
	SYNOD_DOOR_TAP
};

/* In the order of a command's life; the order of `cores`. */
enum synod_stage_id {
	SYNOD_STAGE_INGRESS,
	SYNOD_STAGE_ORDER,
	SYNOD_STAGE_JOURNAL,
	SYNOD_STAGE_APPLY,
	SYNOD_STAGE_EGRESS,
	SYNOD_STAGES_COUNT,
};

struct synod_config_replica {
	char journal[SYNOD_CONFIG_PATH_SIZE]; /* absolute, or relative to the working directory */
	uint64_t journal_size;		      /* bytes, a multiple of 4096 */
	uint32_t journal_poll;		      /* 1: completions are polled for */
	uint32_t core[SYNOD_STAGES_COUNT];    /* processor of each stage */

	enum synod_transport_kind transport;
	char pci[SYNOD_CONFIG_NAME_SIZE];	/* "" but with pci */
	char interface[SYNOD_CONFIG_NAME_SIZE]; /* "" but with af_packet */
	uint32_t address;			/* IPv4, host order; 0 with memif */
	uint32_t priority;

	enum synod_door_kind door;
	char door_interface[SYNOD_CONFIG_NAME_SIZE]; /* "" without a door */
	uint32_t door_ip;			     /* IPv4, host order; 0 without a door */
};

struct synod_config {
	/* [cluster] */
	uint64_t id;
	uint32_t replicas;
	uint32_t voters;
	uint32_t quorum_prepare;
	uint32_t quorum_accept;
	char machine[SYNOD_CONFIG_NAME_SIZE]; /* a name that synod_machine_find knows */
	uint32_t sessions;
	uint32_t session_window;
	enum synod_poll poll; /* as written; see synod_config_poll */
	uint32_t mtu;
	uint32_t memory_mb;
	char run_dir[SYNOD_CONFIG_PATH_SIZE];
	enum synod_huge huge;
	enum synod_durability_wanted durability;

	/* [timing] */
	uint32_t election_ms;
	uint32_t heartbeat_ms;
	uint32_t retransmit_ms;
	uint32_t journal_timeout_ms;

	/* [clients] */
	uint32_t links;
	uint32_t udp_port;

	/* [replica N] is replica[N - 1]. */
	struct synod_config_replica replica[SYNOD_REPLICAS_MAX];

	char path[SYNOD_CONFIG_PATH_SIZE]; /* of the file, as given to load */
};

/*
 * Reads and checks a file. Returns 0, or -EINVAL with one line "FILE:LINE: what, and the remedy" in
 * error (LINE is left out where the file cannot be read: then -errno), always terminated.
 */
int synod_config_load(const char *path, struct synod_config *config, char *error, size_t error_size)
	__attribute__((warn_unused_result));

/*
 * Writes it as text with every key, which load reads back to the same values (a path longer than a
 * line takes excepted). Returns its length, or -ENOSPC; SYNOD_CONFIG_TEXT_SIZE is always enough.
 */
int synod_config_print(const struct synod_config *config, char *buffer, size_t size)
	__attribute__((warn_unused_result));

/* The configuration of replica id, 1..replicas. */
static inline const struct synod_config_replica *
synod_config_replica(const struct synod_config *config, uint32_t id)
{
	return &config->replica[id - 1];
}

/*
 * How that replica waits: never AUTO. AUTO becomes yield where one of its cores serves another
 * replica of the cluster too, or where the cluster leaves no processor of this machine to clients;
 * else pause.
 */
enum synod_poll synod_config_poll(const struct synod_config *config, uint32_t id);

/* Distinct processors that a replica's stages use. */
uint32_t synod_config_cores(const struct synod_config *config, uint32_t id);

/* "yield", "ingress" …: static storage. */
const char *synod_poll_name(enum synod_poll poll);
const char *synod_stage_name(enum synod_stage_id stage);

/* "1G", "512M", "4096" → bytes. Returns 0, or -EINVAL, -ERANGE. */
int synod_config_size(const char *text, uint64_t *bytes) __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of keys: the one place that names them, their kinds and their ranges. See config.h. */
#include "engine/config/parse.h"

#include <string.h>

static const char *const machine_names[] = { "sequencer", "kv", NULL };
static const char *const poll_names[] = { "auto", "spin", "pause", "yield", NULL };
static const char *const answer_names[] = { "no", "yes", NULL };
static const char *const huge_names[] = { "auto", "yes", "no", NULL };
static const char *const durability_names[] = { "direct", "any", "none", NULL };
static const char *const transport_names[] = { "memif", "pci", "af_packet", NULL };

#define IN_CONFIG(member)  offsetof(struct synod_config, member)
#define IN_REPLICA(member) offsetof(struct synod_config_replica, member)
#define MEBI		   (1ull << 20)

/* clang-format off */
const struct synod_config_key synod_config_keys[] = {
	{ SYNOD_SECTION_CLUSTER, "id", SYNOD_KIND_ID, IN_CONFIG(id), 1, UINT64_MAX, NULL, 1 },
	{ SYNOD_SECTION_CLUSTER, "replicas", SYNOD_KIND_NUMBER, IN_CONFIG(replicas), 1,
	  SYNOD_REPLICAS_MAX, NULL, 1 },
	{ SYNOD_SECTION_CLUSTER, "voters", SYNOD_KIND_NUMBER, IN_CONFIG(voters), 1,
	  SYNOD_REPLICAS_MAX, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "quorum_prepare", SYNOD_KIND_NUMBER, IN_CONFIG(quorum_prepare), 1,
	  SYNOD_REPLICAS_MAX, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "quorum_accept", SYNOD_KIND_NUMBER, IN_CONFIG(quorum_accept), 1,
	  SYNOD_REPLICAS_MAX, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "machine", SYNOD_KIND_NAME, IN_CONFIG(machine), 0, 0,
	  machine_names, 0 },
	{ SYNOD_SECTION_CLUSTER, "sessions", SYNOD_KIND_NUMBER, IN_CONFIG(sessions), 1,
	  SYNOD_SESSIONS_MAX, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "session_window", SYNOD_KIND_NUMBER, IN_CONFIG(session_window),
	  SYNOD_SESSION_WINDOW_MIN, SYNOD_SESSION_WINDOW_MAX, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "poll", SYNOD_KIND_CHOICE, IN_CONFIG(poll), 0, 0, poll_names, 0 },
	{ SYNOD_SECTION_CLUSTER, "mtu", SYNOD_KIND_NUMBER, IN_CONFIG(mtu), 576, 9000, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "memory_mb", SYNOD_KIND_NUMBER, IN_CONFIG(memory_mb), 32, 65536,
	  NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "run_dir", SYNOD_KIND_PATH, IN_CONFIG(run_dir), 0, 0, NULL, 0 },
	{ SYNOD_SECTION_CLUSTER, "huge", SYNOD_KIND_CHOICE, IN_CONFIG(huge), 0, 0, huge_names, 0 },
	{ SYNOD_SECTION_CLUSTER, "durability", SYNOD_KIND_CHOICE, IN_CONFIG(durability), 0, 0,
	  durability_names, 0 },

	{ SYNOD_SECTION_TIMING, "election_ms", SYNOD_KIND_NUMBER, IN_CONFIG(election_ms), 10,
	  60000, NULL, 0 },
	{ SYNOD_SECTION_TIMING, "heartbeat_ms", SYNOD_KIND_NUMBER, IN_CONFIG(heartbeat_ms), 1,
	  30000, NULL, 0 },
	{ SYNOD_SECTION_TIMING, "retransmit_ms", SYNOD_KIND_NUMBER, IN_CONFIG(retransmit_ms), 1,
	  60000, NULL, 0 },
	{ SYNOD_SECTION_TIMING, "journal_timeout_ms", SYNOD_KIND_NUMBER,
	  IN_CONFIG(journal_timeout_ms), 100, 3600000, NULL, 0 },

	{ SYNOD_SECTION_CLIENTS, "links", SYNOD_KIND_NUMBER, IN_CONFIG(links), 0,
	  SYNOD_CONFIG_LINKS_MAX, NULL, 0 },
	{ SYNOD_SECTION_CLIENTS, "udp_port", SYNOD_KIND_NUMBER, IN_CONFIG(udp_port), 1, 65535,
	  NULL, 0 },

	{ SYNOD_SECTION_REPLICA, "journal", SYNOD_KIND_PATH, IN_REPLICA(journal), 0, 0, NULL, 1 },
	{ SYNOD_SECTION_REPLICA, "journal_size", SYNOD_KIND_SIZE, IN_REPLICA(journal_size),
	  16 * MEBI, 16 * MEBI * MEBI, NULL, 0 },
	{ SYNOD_SECTION_REPLICA, "journal_poll", SYNOD_KIND_CHOICE, IN_REPLICA(journal_poll), 0, 0,
	  answer_names, 0 },
	{ SYNOD_SECTION_REPLICA, "cores", SYNOD_KIND_CORES, IN_REPLICA(core), 0,
	  SYNOD_CONFIG_CORES_MAX - 1, NULL, 0 },
	{ SYNOD_SECTION_REPLICA, "transport", SYNOD_KIND_CHOICE, IN_REPLICA(transport), 0, 0,
	  transport_names, 0 },
	{ SYNOD_SECTION_REPLICA, "pci", SYNOD_KIND_PCI, IN_REPLICA(pci), 0, 0, NULL, 0 },
	{ SYNOD_SECTION_REPLICA, "interface", SYNOD_KIND_INTERFACE, IN_REPLICA(interface), 0, 0,
	  NULL, 0 },
	{ SYNOD_SECTION_REPLICA, "address", SYNOD_KIND_IP, IN_REPLICA(address), 0, 0, NULL, 0 },
	{ SYNOD_SECTION_REPLICA, "priority", SYNOD_KIND_NUMBER, IN_REPLICA(priority), 0, 255, NULL,
	  0 },
	{ SYNOD_SECTION_REPLICA, "door", SYNOD_KIND_DOOR, IN_REPLICA(door), 0, 0, NULL, 0 },
	{ SYNOD_SECTION_REPLICA, "door_ip", SYNOD_KIND_IP, IN_REPLICA(door_ip), 0, 0, NULL, 0 },
};
/* clang-format on */

const unsigned int synod_config_keys_count = sizeof(synod_config_keys) / sizeof(*synod_config_keys);

_Static_assert(sizeof(synod_config_keys) / sizeof(*synod_config_keys) <= SYNOD_CONFIG_KEYS_MAX,
	       "the reader notes the line of each");
_Static_assert(sizeof(enum synod_poll) == sizeof(uint32_t), "a choice is set as a number");

void *synod_config_at(struct synod_config *config, const struct synod_config_key *key, int section)
{
	char *base = (char *)config;

	if (section >= SYNOD_SECTION_REPLICA)
		base = (char *)&config->replica[section - SYNOD_SECTION_REPLICA];
	return base + key->offset;
}

const char *synod_poll_name(enum synod_poll poll)
{
	return (unsigned int)poll <= SYNOD_POLL_YIELD ? poll_names[poll] : "?";
}

const char *synod_stage_name(enum synod_stage_id stage)
{
	static const char *const names[] = { "ingress", "order", "journal", "apply", "egress" };

	_Static_assert(sizeof(names) / sizeof(*names) == SYNOD_STAGES_COUNT, "each has its name");
	return (unsigned int)stage < SYNOD_STAGES_COUNT ? names[stage] : "?";
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The checks that need the whole file: what is missing, and what does not go together. */
#include "engine/config/check.h"

#include <string.h>
#include <unistd.h>

/* The line of a key, or of its section, or of the file's end: the nearest place to mend. */
static uint32_t line_of(const struct synod_config_reading *reading, int section, const char *name)
{
	int kind = section < SYNOD_SECTION_REPLICA ? section : SYNOD_SECTION_REPLICA;

	for (unsigned int i = 0; i < synod_config_keys_count; i++)
		if (synod_config_keys[i].section == kind &&
		    !strcmp(synod_config_keys[i].name, name) && reading->key_line[i][section])
			return reading->key_line[i][section];
	if (reading->section_line[section])
		return reading->section_line[section];
	return reading->line ? reading->line : 1;
}

static void check_required(struct synod_config_reading *reading, int section)
{
	int kind = section < SYNOD_SECTION_REPLICA ? section : SYNOD_SECTION_REPLICA;

	for (unsigned int i = 0; i < synod_config_keys_count; i++) {
		const struct synod_config_key *key = &synod_config_keys[i];

		if (key->section == kind && key->required && !reading->key_line[i][section])
			synod_config_refuse(reading, line_of(reading, section, ""),
					    "key '%s' is missing in this section; add %s = …",
					    key->name, key->name);
	}
}

/* Who votes, and how many of them decide; what is not given has its default from here on. */
static void check_quorums(struct synod_config_reading *reading)
{
	struct synod_config *config = reading->config;
	int given = config->quorum_prepare || config->quorum_accept;
	uint32_t line =
		line_of(reading, SYNOD_SECTION_CLUSTER, config->voters ? "voters" : "replicas");

	if (!config->voters)
		config->voters = config->replicas;
	if (!config->quorum_prepare)
		config->quorum_prepare = config->voters / 2 + 1;
	if (!config->quorum_accept)
		config->quorum_accept = config->voters / 2 + 1;
	if (config->voters > config->replicas)
		synod_config_refuse(reading, line,
				    "voters = %u, but replicas = %u; who votes is a replica",
				    config->voters, config->replicas);
	if (config->voters % 2 == 0 && !given)
		synod_config_refuse(
			reading, line,
			"%u voters, and more than half of them to decide: an even number adds no "
			"safety; take one away (voters = %u), or give quorum_prepare and "
			"quorum_accept",
			config->voters, config->voters - 1);
	/* I16: or two leaders could each have a quorum that knows nothing of the other's. */
	if (config->quorum_prepare > config->voters || config->quorum_accept > config->voters ||
	    config->quorum_prepare + config->quorum_accept <= config->voters)
		synod_config_refuse(
			reading, line_of(reading, SYNOD_SECTION_CLUSTER, "quorum_accept"),
			"quorum_prepare = %u and quorum_accept = %u of %u voters do not meet; "
			"each is at most %u, and together they are more",
			config->quorum_prepare, config->quorum_accept, config->voters,
			config->voters);
}

/* What all replicas remember of all clients: so much of each times so many is bounded. */
static void check_sessions(struct synod_config_reading *reading)
{
	const struct synod_config *config = reading->config;
	uint32_t window = config->session_window;
	uint32_t line = line_of(reading, SYNOD_SECTION_CLUSTER, "session_window");
	uint32_t fits = SYNOD_SESSION_WINDOW_MAX;

	if (line == line_of(reading, SYNOD_SECTION_CLUSTER, ""))
		line = line_of(reading, SYNOD_SECTION_CLUSTER, "sessions");
	if (window & (window - 1)) {
		while (fits > window) /* at most 8 turns */
			fits /= 2;
		synod_config_refuse(
			reading, line,
			"session_window = %u is no power of two; write session_window = %u", window,
			fits);
		return;
	}
	while ((uint64_t)fits * config->sessions > SYNOD_SESSION_ENTRIES_MAX)
		fits /= 2; /* at most 8 turns: as many sessions as may be have the least window */
	if (window > fits)
		synod_config_refuse(
			reading, line,
			"sessions = %u times session_window = %u is more than %u; write "
			"session_window = %u, or sessions = %u",
			config->sessions, window, SYNOD_SESSION_ENTRIES_MAX, fits,
			SYNOD_SESSION_ENTRIES_MAX / window);
}

static void check_cluster(struct synod_config_reading *reading)
{
	const struct synod_config *config = reading->config;

	if (!reading->section_line[SYNOD_SECTION_CLUSTER])
		synod_config_refuse(reading, line_of(reading, SYNOD_SECTION_CLUSTER, ""),
				    "section [cluster] is missing; add it with id and replicas");
	check_required(reading, SYNOD_SECTION_CLUSTER);
	check_quorums(reading);
	check_sessions(reading);
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++) {
		int section = SYNOD_SECTION_REPLICA + (int)id - 1;

		if (id > config->replicas && reading->section_line[section])
			synod_config_refuse(
				reading, reading->section_line[section],
				"[replica %u], but replicas = %u; remove it or count it", id,
				config->replicas);
		if (id <= config->replicas && !reading->section_line[section])
			synod_config_refuse(
				reading, reading->line,
				"section [replica %u] is missing, and replicas = %u; add it", id,
				config->replicas);
		else if (id <= config->replicas)
			check_required(reading, section);
	}
}

static void check_timing(struct synod_config_reading *reading)
{
	const struct synod_config *config = reading->config;

	if (config->heartbeat_ms * 2 >= config->election_ms)
		synod_config_refuse(
			reading, line_of(reading, SYNOD_SECTION_TIMING, "heartbeat_ms"),
			"heartbeat_ms = %u is not under half of election_ms = %u; one lost "
			"heartbeat would depose a leader",
			config->heartbeat_ms, config->election_ms);
	if (config->retransmit_ms >= config->election_ms)
		synod_config_refuse(reading,
				    line_of(reading, SYNOD_SECTION_TIMING, "retransmit_ms"),
				    "retransmit_ms = %u is not under election_ms = %u; lower it",
				    config->retransmit_ms, config->election_ms);
}

static void check_replica(struct synod_config_reading *reading, uint32_t id)
{
	const struct synod_config_replica *replica = &reading->config->replica[id - 1];
	int section = SYNOD_SECTION_REPLICA + (int)id - 1;

	if (replica->journal_poll && reading->config->durability == SYNOD_WANT_NONE)
		synod_config_refuse(reading, line_of(reading, section, "journal_poll"),
				    "journal_poll = yes, but durability = none: there is no disk "
				    "to poll; take one of them away");
	if (replica->transport == SYNOD_TRANSPORT_PCI && (!replica->pci[0] || !replica->address))
		synod_config_refuse(reading, line_of(reading, section, "transport"),
				    "transport = pci needs pci = 0000:… and address = A.B.C.D");
	if (replica->transport == SYNOD_TRANSPORT_AF_PACKET &&
	    (!replica->interface[0] || !replica->address))
		synod_config_refuse(
			reading, line_of(reading, section, "transport"),
			"transport = af_packet needs interface = NAME and address = A.B.C.D");
	if (replica->transport != SYNOD_TRANSPORT_PCI && replica->pci[0])
		synod_config_refuse(reading, line_of(reading, section, "pci"),
				    "pci is given, but not transport = pci; write that too");
	if (replica->transport != SYNOD_TRANSPORT_AF_PACKET && replica->interface[0])
		synod_config_refuse(
			reading, line_of(reading, section, "interface"),
			"interface is given, but not transport = af_packet; write that too");
	if (replica->transport == SYNOD_TRANSPORT_MEMIF && replica->address)
		synod_config_refuse(
			reading, line_of(reading, section, "address"),
			"address is given, but transport = memif; write transport = pci or "
			"af_packet, or door_ip for a door");
	if (replica->transport != reading->config->replica[0].transport)
		synod_config_refuse(reading, line_of(reading, section, "transport"),
				    "all replicas have one transport; replica 1 has another");
	if (replica->door != SYNOD_DOOR_NONE && !replica->door_ip)
		synod_config_refuse(
			reading, line_of(reading, section, "door"),
			"a door needs door_ip = A.B.C.D, an address of the replica's own");
	if (replica->door == SYNOD_DOOR_NONE && replica->door_ip)
		synod_config_refuse(reading, line_of(reading, section, "door_ip"),
				    "door_ip without a door; add door = af_packet:INTERFACE");
}

/* What two replicas may not share. On memif they live on one machine. */
static void check_pair(struct synod_config_reading *reading, uint32_t id, uint32_t other_id)
{
	const struct synod_config_replica *replica = &reading->config->replica[id - 1];
	const struct synod_config_replica *other = &reading->config->replica[other_id - 1];
	int section = SYNOD_SECTION_REPLICA + (int)id - 1;
	int memif = replica->transport == SYNOD_TRANSPORT_MEMIF;

	if (memif && !strcmp(replica->journal, other->journal))
		synod_config_refuse(reading, line_of(reading, section, "journal"),
				    "journal is replica %u's too; each has its own", other_id);
	if (replica->address && replica->address == other->address)
		synod_config_refuse(reading, line_of(reading, section, "address"),
				    "address is replica %u's too; each has its own", other_id);
	if (replica->door_ip && replica->door_ip == other->door_ip)
		synod_config_refuse(reading, line_of(reading, section, "door_ip"),
				    "door_ip is replica %u's too; each has its own", other_id);
	if (memif && replica->door != SYNOD_DOOR_NONE &&
	    !strcmp(replica->door_interface, other->door_interface))
		synod_config_refuse(reading, line_of(reading, section, "door"),
				    "door is replica %u's too; each has an interface of its own",
				    other_id);
}

void synod_config_check(struct synod_config_reading *reading)
{
	check_cluster(reading);
	if (reading->failed)
		return;
	check_timing(reading);
	for (uint32_t id = 1; id <= reading->config->replicas; id++) {
		check_replica(reading, id);
		for (uint32_t other = 1; other < id; other++)
			check_pair(reading, id, other);
	}
}

uint32_t synod_config_cores(const struct synod_config *config, uint32_t id)
{
	const uint32_t *core = synod_config_replica(config, id)->core;
	uint32_t count = 0;

	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++) {
		int first = 0;

		while (core[first] != core[stage])
			first++;
		count += first == stage;
	}
	return count;
}

static int uses_core(const struct synod_config_replica *replica, uint32_t core)
{
	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
		if (replica->core[stage] == core)
			return 1;
	return 0;
}

enum synod_poll synod_config_poll(const struct synod_config *config, uint32_t id)
{
	const struct synod_config_replica *self = synod_config_replica(config, id);
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t used = 0;

	if (config->poll != SYNOD_POLL_AUTO)
		return config->poll;
	for (uint32_t core = 0; core < SYNOD_CONFIG_CORES_MAX; core++) {
		uint32_t users = 0;

		/* On a NIC the other replicas are other machines' business; af_packet may be
		 * veths of one machine. */
		for (uint32_t other = 1; other <= config->replicas; other++)
			if (other == id || self->transport != SYNOD_TRANSPORT_PCI)
				users += (uint32_t)uses_core(synod_config_replica(config, other),
							     core);
		if (users > 1 && uses_core(self, core))
			return SYNOD_POLL_YIELD;
		used += users > 0;
	}
	return (long)used >= online ? SYNOD_POLL_YIELD : SYNOD_POLL_PAUSE;
}

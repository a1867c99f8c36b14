/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a configuration with every key: what `synod config print` shows. From the table of keys.
 */
#include "engine/config/parse.h"

#include <errno.h>
#include <inttypes.h>

static void print_size(uint64_t bytes, FILE *stream)
{
	static const char suffixes[] = " KMGT";
	int power = 0;

	while (power < 4 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		power++;
	}
	fprintf(stream, "%" PRIu64, bytes);
	if (power)
		fputc(suffixes[power], stream);
}

static void print_cores(const uint32_t *core, FILE *stream)
{
	int stage = 1;

	while (stage < SYNOD_STAGES_COUNT && core[stage] == core[0])
		stage++;
	if (stage == SYNOD_STAGES_COUNT) {
		fprintf(stream, "%u", core[0]);
		return;
	}
	for (stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
		fprintf(stream, "%s%s@%u", stage ? " " : "", synod_stage_name(stage), core[stage]);
}

static void print_value(const struct synod_config_key *key, const void *at, FILE *stream)
{
	const struct synod_config_replica *replica;
	uint32_t ip;

	fprintf(stream, "%s = ", key->name);
	switch (key->kind) {
	case SYNOD_KIND_NUMBER:
		fprintf(stream, "%u", *(const uint32_t *)at);
		break;
	case SYNOD_KIND_ID:
		fprintf(stream, "0x%" PRIx64, *(const uint64_t *)at);
		break;
	case SYNOD_KIND_SIZE:
		print_size(*(const uint64_t *)at, stream);
		break;
	case SYNOD_KIND_CHOICE:
		fputs(key->names[*(const uint32_t *)at], stream);
		break;
	case SYNOD_KIND_NAME:
	case SYNOD_KIND_PATH:
	case SYNOD_KIND_PCI:
		fputs(at, stream);
		break;
	case SYNOD_KIND_CORES:
		print_cores(at, stream);
		break;
	case SYNOD_KIND_IP:
		ip = *(const uint32_t *)at;
		fprintf(stream, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
		break;
	case SYNOD_KIND_DOOR:
		replica = (const void *)((const char *)at -
					 offsetof(struct synod_config_replica, door));
		fprintf(stream, "%s:%s", replica->door == SYNOD_DOOR_TAP ? "tap" : "af_packet",
			replica->door_interface);
		break;
	}
	fputc('\n', stream);
}

/* Keys of what a replica has not (no NIC, no door) have no text that load would take: left out. */
static int is_absent(const struct synod_config_key *key, const void *at)
{
	switch (key->kind) {
	case SYNOD_KIND_IP:
		return *(const uint32_t *)at == 0;
	case SYNOD_KIND_PCI:
		return *(const char *)at == 0;
	case SYNOD_KIND_DOOR:
		return *(const enum synod_door_kind *)at == SYNOD_DOOR_NONE;
	default:
		return 0;
	}
}

int synod_config_print(const struct synod_config *config, FILE *stream)
{
	static const char *const names[] = { "", "[cluster]", "\n[timing]", "\n[clients]" };
	/* synod_config_at gives both a place to write and one to read; nothing is written here. */
	struct synod_config copy = *config;

	for (int section = SYNOD_SECTION_CLUSTER;
	     section < SYNOD_SECTION_REPLICA + (int)config->replicas; section++) {
		int kind = section < SYNOD_SECTION_REPLICA ? section : SYNOD_SECTION_REPLICA;

		if (section < SYNOD_SECTION_REPLICA)
			fprintf(stream, "%s\n", names[section]);
		else
			fprintf(stream, "\n[replica %d]\n", section - SYNOD_SECTION_REPLICA + 1);
		for (unsigned int i = 0; i < synod_config_keys_count; i++) {
			const struct synod_config_key *key = &synod_config_keys[i];
			const void *at = synod_config_at(&copy, key, section);

			if (key->section == kind && !is_absent(key, at))
				print_value(key, at, stream);
		}
	}
	return ferror(stream) || fflush(stream) ? -EIO : 0;
}

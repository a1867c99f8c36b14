/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writing a configuration with every key: what `synod config print` shows. From the table of keys.
 */
#include "engine/config/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* The text so far; used counts on where there is no more room. */
struct text {
	char *buffer;
	size_t size;
	size_t used;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
	size_t room = text->used < text->size ? text->size - text->used : 0;
	va_list arguments;
	int added;

	va_start(arguments, format);
	added = vsnprintf(room ? text->buffer + text->used : NULL, room, format, arguments);
	va_end(arguments);
	text->used += added > 0 ? (size_t)added : 0;
}

static void print_size(uint64_t bytes, struct text *text)
{
	static const char suffixes[] = " KMGT";
	int power = 0;

	while (power < 4 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		power++;
	}
	add(text, "%" PRIu64, bytes);
	if (power)
		add(text, "%c", suffixes[power]);
}

static void print_cores(const uint32_t *core, struct text *text)
{
	int stage = 1;

	while (stage < SYNOD_STAGES_COUNT && core[stage] == core[0])
		stage++;
	if (stage == SYNOD_STAGES_COUNT) {
		add(text, "%u", core[0]);
		return;
	}
	for (stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
		add(text, "%s%s@%u", stage ? " " : "", synod_stage_name(stage), core[stage]);
}

static void print_value(const struct synod_config_key *key, const void *at, struct text *text)
{
	const struct synod_config_replica *replica;
	uint32_t ip;

	add(text, "%s = ", key->name);
	switch (key->kind) {
	case SYNOD_KIND_NUMBER:
		add(text, "%u", *(const uint32_t *)at);
		break;
	case SYNOD_KIND_ID:
		add(text, "0x%" PRIx64, *(const uint64_t *)at);
		break;
	case SYNOD_KIND_SIZE:
		print_size(*(const uint64_t *)at, text);
		break;
	case SYNOD_KIND_CHOICE:
		add(text, "%s", key->names[*(const uint32_t *)at]);
		break;
	case SYNOD_KIND_NAME:
	case SYNOD_KIND_PATH:
	case SYNOD_KIND_PCI:
	case SYNOD_KIND_INTERFACE:
		add(text, "%s", (const char *)at);
		break;
	case SYNOD_KIND_CORES:
		print_cores(at, text);
		break;
	case SYNOD_KIND_IP:
		ip = *(const uint32_t *)at;
		add(text, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
		break;
	case SYNOD_KIND_DOOR:
		replica = (const void *)((const char *)at -
					 offsetof(struct synod_config_replica, door));
		add(text, "%s:%s", replica->door == SYNOD_DOOR_TAP ? "tap" : "af_packet",
		    replica->door_interface);
		break;
	}
	add(text, "\n");
}

/* Keys of what a replica has not (no NIC, no door) have no text that load would take: left out. */
static int is_absent(const struct synod_config_key *key, const void *at)
{
	switch (key->kind) {
	case SYNOD_KIND_IP:
		return *(const uint32_t *)at == 0;
	case SYNOD_KIND_PCI:
	case SYNOD_KIND_INTERFACE:
		return *(const char *)at == 0;
	case SYNOD_KIND_DOOR:
		return *(const enum synod_door_kind *)at == SYNOD_DOOR_NONE;
	default:
		return 0;
	}
}

int synod_config_print(const struct synod_config *config, char *buffer, size_t size)
{
	static const char *const names[] = { "", "[cluster]", "\n[timing]", "\n[clients]" };
	struct text text = { .buffer = buffer, .size = size };
	/* synod_config_at gives both a place to write and one to read; nothing is written here. */
	struct synod_config copy = *config;

	for (int section = SYNOD_SECTION_CLUSTER;
	     section < SYNOD_SECTION_REPLICA + (int)config->replicas; section++) {
		int kind = section < SYNOD_SECTION_REPLICA ? section : SYNOD_SECTION_REPLICA;

		if (section < SYNOD_SECTION_REPLICA)
			add(&text, "%s\n", names[section]);
		else
			add(&text, "\n[replica %d]\n", section - SYNOD_SECTION_REPLICA + 1);
		for (unsigned int i = 0; i < synod_config_keys_count; i++) {
			const struct synod_config_key *key = &synod_config_keys[i];
			const void *at = synod_config_at(&copy, key, section);

			if (key->section == kind && !is_absent(key, at))
				print_value(key, at, &text);
		}
	}
	return text.used < size ? (int)text.used : -ENOSPC;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside engine/config only: values from text, and the table of keys that reading, checking and
 * printing share.
 */
#ifndef SYNOD_CONFIG_PARSE_H
#define SYNOD_CONFIG_PARSE_H

#include "engine/config/config.h"

enum synod_config_kind {
	SYNOD_KIND_NUMBER,    /* uint32_t in minimum..maximum */
	SYNOD_KIND_ID,	      /* uint64_t, not zero, decimal or 0x */
	SYNOD_KIND_SIZE,      /* uint64_t bytes in minimum..maximum, a multiple of 4096 */
	SYNOD_KIND_CHOICE,    /* an enum, by its names */
	SYNOD_KIND_NAME,      /* char[NAME_SIZE], one of the names */
	SYNOD_KIND_PATH,      /* char[PATH_SIZE] */
	SYNOD_KIND_CORES,     /* uint32_t[STAGES] */
	SYNOD_KIND_PCI,	      /* char[NAME_SIZE] */
	SYNOD_KIND_INTERFACE, /* char[NAME_SIZE] */
	SYNOD_KIND_IP,	      /* uint32_t, host order */
	SYNOD_KIND_DOOR,      /* door and door_interface of a replica */
};

/* Sections: 0 is none, then the three, then [replica 1]. */
enum {
	SYNOD_SECTION_NONE,
	SYNOD_SECTION_CLUSTER,
	SYNOD_SECTION_TIMING,
	SYNOD_SECTION_CLIENTS,
	SYNOD_SECTION_REPLICA, /* + (N - 1) */
	SYNOD_SECTIONS_COUNT = SYNOD_SECTION_REPLICA + SYNOD_REPLICAS_MAX,
};

struct synod_config_key {
	int section; /* for every replica: SYNOD_SECTION_REPLICA */
	const char *name;
	enum synod_config_kind kind;
	size_t offset; /* in struct synod_config, or struct synod_config_replica */
	uint64_t minimum;
	uint64_t maximum;
	const char *const *names; /* CHOICE, NAME: NULL-terminated, in the order of the enum */
	int required;
};

enum {
	SYNOD_CONFIG_KEYS_MAX = 32
};

extern const struct synod_config_key synod_config_keys[];
extern const unsigned int synod_config_keys_count;

/* Where a key's value lives. */
void *synod_config_at(struct synod_config *config, const struct synod_config_key *key, int section);

/* What setting a value needs and gives besides the value. */
struct synod_config_setting {
	int section;
	const char *directory;		   /* what relative paths are relative to */
	char why[SYNOD_CONFIG_ERROR_SIZE]; /* out: what is wrong, and the remedy */
};

/* Sets what the key names from text. Returns 0, or -EINVAL and setting->why. */
int synod_config_set(struct synod_config *config, const struct synod_config_key *key,
		     const char *text, struct synod_config_setting *setting);

#endif

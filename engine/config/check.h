/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside engine/config only: what reading the file knows, and the checks of the whole. */
#ifndef SYNOD_CONFIG_CHECK_H
#define SYNOD_CONFIG_CHECK_H

#include "engine/config/parse.h"

#include <stdio.h>

struct synod_config_reading {
	struct synod_config *config;
	FILE *file;
	char *error;
	size_t error_size;
	int failed; /* error holds the first one */

	uint32_t line; /* the current one, from 1; at the end the last */
	int section;
	uint32_t section_line[SYNOD_SECTIONS_COUNT];			/* 0: not there */
	uint32_t key_line[SYNOD_CONFIG_KEYS_MAX][SYNOD_SECTIONS_COUNT]; /* 0: not given */
	char directory[SYNOD_CONFIG_PATH_SIZE];
};

/* Keeps the first error. */
void synod_config_refuse(struct synod_config_reading *reading, uint32_t line, const char *format,
			 ...) __attribute__((format(printf, 3, 4)));

/* Missing keys, and values that do not go together. */
void synod_config_check(struct synod_config_reading *reading);

#endif

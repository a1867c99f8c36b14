/* SPDX-License-Identifier: BSD-3-Clause */
/* A history in a file, one JSON object a line: the format is in linear.h. */
#ifndef SYNOD_TESTS_LINEAR_HISTORY_H
#define SYNOD_TESTS_LINEAR_HISTORY_H

#include "tests/linear/linear.h"

#include <stdio.h>

/* Strings by number, from 1. */
struct history_names {
	char **names; /* [0] is unused */
	uint32_t count;
	uint32_t capacity;
	uint32_t *table; /* open-addressed: numbers, 0: none; a power of two, at most half full */
	uint32_t table_capacity;
};

struct history {
	struct linear_op *ops; /* tag: the line */
	uint32_t count;
	uint32_t capacity;
	uint64_t lines;
	struct history_names keys;
	struct history_names values;
};

/*
 * Reads to the end of the file. Returns 0, or -1 with one sentence in error. Operations that had
 * no effect and told nothing (NOT_LEADER …) are left out.
 */
int history_read(struct history *history, FILE *file, char *error, size_t error_size);
void history_free(struct history *history);

#endif

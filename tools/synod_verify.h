/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside tools/synod_verify*.c only: what was executed, by session, number and position, so that a
 * command can be asked for in all three ways. Eight bytes a position and one bit a number.
 */
#ifndef SYNOD_TOOLS_SYNOD_VERIFY_H
#define SYNOD_TOOLS_SYNOD_VERIFY_H

#include <stddef.h>
#include <stdint.h>

struct synod_executed_session {
	uint64_t session;
	uint64_t *bits; /* by number */
	size_t words;
};

struct synod_executed {
	struct synod_executed_session *sessions; /* in the order of their first command */
	size_t session_count;
	size_t session_room;
	uint64_t position_base; /* what was executed up to this one is not known */
	uint64_t *positions;	/* by position - base - 1: index of the session, and number */
	size_t position_count;
	size_t position_room;
	uint64_t duplicated; /* executed a second time */
};

/* What the file of acknowledgements says against what was executed. */
struct synod_acked_result {
	uint64_t acked;
	uint64_t lost;	    /* not executed at all */
	uint64_t misplaced; /* executed, but not at the position that was told */
	uint64_t unseen;    /* at a position whose command is not known */
};

/* Notes an execution; positions come in order, from base + 1. 0 or -ENOMEM, -ERANGE. */
int synod_executed_note(struct synod_executed *executed, uint64_t session, uint64_t number,
			uint64_t position);

/* Compares with a file of struct synod_acked (bench/acked.h). 0 or -errno. */
int synod_executed_check(const struct synod_executed *executed, const char *path,
			 struct synod_acked_result *result);

void synod_executed_free(struct synod_executed *executed);

#endif

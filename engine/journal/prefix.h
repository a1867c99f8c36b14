/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Completions arrive in any order; what the journal says is a prefix: "every write up to this
 * ticket is durable" (I4). Items (groups and promises) are added in ticket order, completed in any,
 * and the prefix moves over the completed ones at its front. Pure.
 *
 *     begin            end
 *       v               v
 *       [ done | .... | done | .... ]      durable: all before begin
 */
#ifndef SYNOD_JOURNAL_PREFIX_H
#define SYNOD_JOURNAL_PREFIX_H

#include <stdint.h>

enum {
	SYNOD_PREFIX_ITEMS = 64
}; /* a power of two */

struct synod_prefix_item {
	uint64_t ticket; /* durable through this ticket once it and all before it are done */
	uint64_t group;	 /* and through this group */
	uint64_t offset; /* and through this file offset (end of that group) */
	int done;
};

struct synod_prefix {
	/* What is true of all before begin. */
	uint64_t ticket_durable;
	uint64_t group_durable;
	uint64_t offset_durable;

	/* Free-running positions, masked on use. */
	uint64_t begin;
	uint64_t end;
	struct synod_prefix_item items[SYNOD_PREFIX_ITEMS];
};

void synod_prefix_init(struct synod_prefix *prefix, uint64_t group, uint64_t offset);

/* How many more items can be added now. */
static inline uint32_t synod_prefix_room(const struct synod_prefix *prefix)
{
	return (uint32_t)(SYNOD_PREFIX_ITEMS - (prefix->end - prefix->begin));
}

/* Adds an item whose numbers are none lower than those before it. Returns its position. */
uint64_t synod_prefix_add(struct synod_prefix *prefix, const struct synod_prefix_item *item);

/* The item at that position is on stable media. Once only. */
void synod_prefix_complete(struct synod_prefix *prefix, uint64_t position);

#endif

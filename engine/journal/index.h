/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the record that counts for a slot stands in the log: by slot, in memory, built by the scan
 * and kept by the writer. The table is a ring too: it knows the last `slots` slots, of which those
 * whose place has been written over since are gone. Pure; the table is the caller's.
 */
#ifndef SYNOD_JOURNAL_INDEX_H
#define SYNOD_JOURNAL_INDEX_H

#include "engine/journal/format.h"

struct synod_index_entry {
	uint64_t place; /* virtual offset, a multiple of 8; bit 0: chosen; 0: no record */
	uint64_t ballot;
};

struct synod_index {
	struct synod_index_entry *entries; /* slots + 1 of them; zero at first */
	uint64_t slots;
	uint64_t slot_last;  /* highest with a record; 0: none */
	uint64_t floor;	     /* virtual offset: what stood before it is written over */
	uint64_t slot_first; /* nothing is here of any before it: see synod_index_first */
	uint64_t foreign;    /* slots up to it are told by a snapshot alone: format.h */
};

/* A record at that offset, later than all before it: does it count for its slot? */
void synod_index_put(struct synod_index *index, const struct synod_wire_entry *entry,
		     uint64_t offset);

/* Its virtual offset; 0: there is none, or none that is known to be of what was chosen. */
uint64_t synod_index_offset(const struct synod_index *index, uint64_t slot);

/* Does the record that counts say that its value is chosen? */
int synod_index_chosen(const struct synod_index *index, uint64_t slot);

/*
 * The lowest slot that has a record; slot_last + 1: none. Each slot is looked at once, until a
 * lower one comes.
 */
uint64_t synod_index_first(struct synod_index *index);

#endif

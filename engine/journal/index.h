/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the record that counts for a slot stands in the log: by slot, in memory, built by the scan
 * and kept by the writer. Pure; the table is the caller's.
 */
#ifndef SYNOD_JOURNAL_INDEX_H
#define SYNOD_JOURNAL_INDEX_H

#include "engine/journal/format.h"

struct synod_index_entry {
	uint64_t place; /* file offset, a multiple of 8; bit 0: chosen; 0: no record */
	uint64_t ballot;
};

struct synod_index {
	struct synod_index_entry *entries; /* [1, slots]; zero at first */
	uint64_t slots;
	uint64_t slot_last; /* highest with a record; 0: none */
};

/* A record at that offset, later than all before it: does it count for its slot? */
void synod_index_put(struct synod_index *index, const struct synod_wire_entry *entry,
		     uint64_t offset);

/* Where the record that counts stands; 0: there is none. */
uint64_t synod_index_offset(const struct synod_index *index, uint64_t slot);

#endif

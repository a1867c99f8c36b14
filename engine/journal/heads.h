/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the log may begin: every so often the place of a group, and what a superblock must say to
 * begin there. The head for a snapshot of slot s is the last of these before which no record stands
 * that counts for a slot beyond s (or of any such slot, where it is not known which count). Pure.
 */
#ifndef SYNOD_JOURNAL_HEADS_H
#define SYNOD_JOURNAL_HEADS_H

#include <stdint.h>

enum {
	SYNOD_HEADS_MAX = 64,
	SYNOD_HEADS_STEPS = 48, /* a log in use has no more than so many, and one */
};

struct synod_head {
	uint64_t at; /* virtual offset of the group */
	uint64_t number;
	uint64_t slot_last; /* highest of any record from here to the next head; 0: none */
	uint32_t previous_checksum;
	uint32_t reserved;
};

struct synod_heads {
	struct synod_head head[SYNOD_HEADS_MAX]; /* in the order of the log */
	uint32_t count;
	uint32_t reserved;
	uint64_t step; /* bytes between two of them, at least */
};

/* The head that the superblock names, of a log of that many bytes. */
void synod_heads_begin(struct synod_heads *heads, const struct synod_head *first,
		       uint64_t log_size);

/* The next group, and the highest slot of its records. */
void synod_heads_note(struct synod_heads *heads, const struct synod_head *group);

/*
 * The head for a snapshot of that slot. counts_at: virtual offset of the first record that counts
 * for a slot beyond it, UINT64_MAX: there is none, 0: not known. A group after group_durable is not
 * yet durable.
 */
const struct synod_head *synod_heads_find(const struct synod_heads *heads, uint64_t slot,
					  uint64_t counts_at, uint64_t group_durable);

/* The log begins with that group now. */
void synod_heads_drop(struct synod_heads *heads, uint64_t number);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Builds groups: records in, aligned bytes ready for one write out. Pure; the buffers are the
 * caller's.
 *
 *   begin -> append* -> close -> finish       group by group, in the order of their numbers
 *
 * close fixes the size, so that the next group can begin behind it; finish seals the header as late
 * as possible (when the write is submitted), so that it carries the freshest marks. Several groups
 * may be closed and not yet finished.
 */
#ifndef SYNOD_JOURNAL_PLAN_H
#define SYNOD_JOURNAL_PLAN_H

#include "engine/journal/format.h"

/* What goes on from group to group. */
struct synod_plan {
	/* Fixed while open. */
	uint64_t cluster;
	uint64_t incarnation;
	uint64_t life;
	struct synod_format_log log;
	uint32_t replica;
	uint32_t seed;

	/* At begin and close: the next group. Offsets are virtual. */
	uint64_t number_next;
	uint64_t offset_next;

	/* At finish: the group before. */
	uint64_t number_finished;
	uint32_t previous_checksum;
	struct synod_format_summary summary[SYNOD_FORMAT_SUMMARIES]; /* nearest first */
};

/* One group on its way. */
struct synod_plan_group {
	uint8_t *buffer; /* SYNOD_GROUP_SIZE_MAX bytes */
	uint64_t number;
	uint64_t offset;
	uint64_t slot_first;
	uint64_t slot_last;
	uint64_t ballot_max;
	uint32_t used;
	uint32_t bytes; /* 0 until closed */
	uint32_t records;
	uint32_t records_checksum;
};

/* What a header says of the rest of the journal when it is finished. */
struct synod_plan_marks {
	uint64_t durable_through;
	uint64_t chosen_through;
	uint64_t promised;
	uint64_t fence;
};

/* Goes on behind last, the last group that counts, or at the head where there is none (NULL). */
void synod_plan_start(struct synod_plan *plan, const struct synod_format_superblock *superblock,
		      const struct synod_format_group *last);

void synod_plan_begin(const struct synod_plan *plan, struct synod_plan_group *group,
		      uint8_t *buffer);

/* Would a record with a body of that size still go in: into the buffer and into the log? */
int synod_plan_fits(const struct synod_plan *plan, const struct synod_plan_group *group,
		    uint32_t body_size);

/* Copies a record in; it must fit. Returns its virtual offset. */
uint64_t synod_plan_append(const struct synod_plan *plan, struct synod_plan_group *group,
			   const struct synod_wire_entry *entry, const void *body);

void synod_plan_close(struct synod_plan *plan, struct synod_plan_group *group);

/* Writes the header: buffer[0, bytes) is ready. */
void synod_plan_finish(struct synod_plan *plan, const struct synod_plan_group *group,
		       const struct synod_plan_marks *marks);

/* Checksums, shared with the scan. */
uint32_t synod_plan_header_checksum(uint32_t seed, const struct synod_format_group *header);
uint32_t synod_plan_record_checksum(uint32_t seed, const struct synod_format_record *record);

#endif

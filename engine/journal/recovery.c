/* SPDX-License-Identifier: BSD-3-Clause */
/* What a scan means: see recovery.h. */
#include "engine/journal/recovery.h"

#include "engine/base/assert.h"

void synod_recovery_begin(struct synod_journal_recovery *recovery,
			  const struct synod_format_superblock *superblock)
{
	synod_assert(superblock->magic == SYNOD_FORMAT_SUPERBLOCK_MAGIC);
	synod_assert(superblock->head_group > 0);
	synod_assert(recovery->life == 0);
	recovery->identity.cluster = superblock->cluster;
	recovery->identity.incarnation = superblock->incarnation;
	recovery->identity.replica = superblock->replica;
	recovery->identity.replicas = superblock->replicas;
	recovery->promised = superblock->promised;
	recovery->file_size = superblock->file_size;
	recovery->life = superblock->life;
	recovery->offset_tail = superblock->head_offset;
	recovery->group_last = superblock->head_group - 1;
}

uint64_t synod_recovery_group(struct synod_journal_recovery *recovery, struct synod_index *index,
			      const void *bytes)
{
	const struct synod_format_group *group = bytes;
	uint32_t at = sizeof(*group);

	synod_assert_cmp(group->number, >, recovery->group_last);
	synod_assert_cmp(group->offset, >=, recovery->offset_tail);
	recovery->groups++;
	recovery->records += group->records;
	recovery->group_last = group->number;
	recovery->offset_tail = group->offset + group->bytes;
	if (group->ballot_max > recovery->ballot_max)
		recovery->ballot_max = group->ballot_max;
	for (uint32_t i = 0; i < group->records; i++) { /* the scan has checked it */
		const struct synod_format_record *record =
			(const void *)((const uint8_t *)bytes + at);

		synod_assert_cmp(at, <, group->used);
		if (record->entry.slot > index->slots)
			return record->entry.slot;
		synod_index_put(index, &record->entry, group->offset + at);
		at += synod_format_record_size(record->entry.size);
	}
	return 0;
}

void synod_recovery_faulty(struct synod_journal_recovery *recovery,
			   const struct synod_scan_gap *gap)
{
	synod_assert_cmp(gap->group_first, <=, gap->group_last);
	synod_assert(gap->reason != SYNOD_SCAN_FINE);
	if (recovery->faults < SYNOD_JOURNAL_FAULTS_MAX)
		recovery->faulty[recovery->faults] = *gap;
	recovery->faults++;
}

uint64_t synod_recovery_end(struct synod_journal_recovery *recovery, const struct synod_scan *scan,
			    const struct synod_index *index)
{
	synod_assert_cmp(scan->promised, >=, recovery->promised);
	recovery->promised = scan->promised;
	recovery->chosen_through = scan->chosen_through;
	recovery->group_durable = scan->mark;
	recovery->torn = scan->torn;
	recovery->slot_last = index->slot_last;
	if (recovery->faults)
		return 0;
	for (uint64_t slot = 1; slot <= recovery->chosen_through; slot++)
		if (synod_index_offset(index, slot) == 0)
			return slot;
	return 0;
}

enum synod_repair_verdict synod_repair_check(const struct synod_journal_recovery *old,
					     const struct synod_journal_recovery *other,
					     uint64_t *slot)
{
	*slot = 0;
	if (old->faults == 0)
		return SYNOD_REPAIR_NOT_NEEDED;
	if (other->faults)
		return SYNOD_REPAIR_OTHER_CORRUPT;
	for (uint32_t i = 0; i < old->faults; i++) {
		if (i == SYNOD_JOURNAL_FAULTS_MAX || !old->faulty[i].slots_known)
			return SYNOD_REPAIR_SLOTS_UNKNOWN;
		*slot = old->faulty[i].slot_last;
		if (*slot > other->chosen_through)
			return SYNOD_REPAIR_NOT_YET;
	}
	return SYNOD_REPAIR_POSSIBLE;
}

uint64_t synod_repair_last(const struct synod_journal_recovery *old,
			   const struct synod_journal_recovery *other)
{
	synod_assert(old->faults > 0);
	synod_assert(other->faults == 0);
	return old->slot_last > other->chosen_through ? old->slot_last : other->chosen_through;
}

int synod_repair_from_other(const struct synod_journal_recovery *other, uint64_t slot)
{
	synod_assert(slot > 0);
	return slot <= other->chosen_through;
}

uint64_t synod_repair_chosen(const struct synod_journal_recovery *old,
			     const struct synod_journal_recovery *other, uint64_t slot)
{
	const uint64_t chosen = old->chosen_through > other->chosen_through ? old->chosen_through
									    : other->chosen_through;

	synod_assert(slot > 0);
	synod_assert(other->faults == 0);
	return slot <= chosen ? slot - 1 : chosen;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What a scan means: see recovery.h. */
#include "engine/journal/recovery.h"

#include "engine/base/assert.h"

#include <string.h>

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
	recovery->identity.joining = superblock->joining;
	memcpy(recovery->identity.known.incarnation, superblock->known_incarnation,
	       sizeof(recovery->identity.known.incarnation));
	memcpy(recovery->identity.known.life, superblock->known_life,
	       sizeof(recovery->identity.known.life));
	recovery->promised = superblock->promised;
	recovery->file_size = superblock->file_size;
	recovery->life = superblock->life;
	recovery->log = synod_format_log_of(superblock);
	recovery->offset_tail = synod_format_virtual(&recovery->log, superblock->head_offset,
						     superblock->head_epoch);
	recovery->offset_head = recovery->offset_tail;
	recovery->group_last = superblock->head_group - 1;
	recovery->snapshot_slot = superblock->snapshot_slot;
	recovery->snapshot_offset = superblock->snapshot_offset;
	recovery->snapshot_size = superblock->snapshot_size;
	recovery->snapshot_checksum = superblock->snapshot_checksum;
	recovery->partial = (struct synod_fetch_image){ .slot = superblock->partial_slot,
							.total = superblock->partial_total,
							.checksum = superblock->partial_checksum };
	recovery->partial_received = superblock->partial_received;
	recovery->partial_offset = synod_format_area_free(superblock);
	recovery->partial_crc = superblock->partial_crc;
	synod_heads_begin(&recovery->heads,
			  &(struct synod_head){ .at = recovery->offset_tail,
						.number = superblock->head_group,
						.previous_checksum = superblock->head_previous },
			  recovery->log.end - recovery->log.begin);
}

uint64_t synod_recovery_group(struct synod_journal_recovery *recovery, struct synod_index *index,
			      const void *bytes)
{
	const struct synod_format_group *group = bytes;
	const uint64_t begin = synod_format_virtual(&recovery->log, group->offset, group->epoch);
	uint32_t at = sizeof(*group);

	synod_assert_cmp(group->number, >, recovery->group_last);
	synod_assert_cmp(begin, >=, recovery->offset_tail);
	recovery->groups++;
	recovery->records += group->records;
	recovery->group_last = group->number;
	recovery->offset_tail = begin + group->bytes;
	synod_heads_note(&recovery->heads,
			 &(struct synod_head){ .at = begin,
					       .number = group->number,
					       .slot_last = group->slot_last,
					       .previous_checksum = group->previous_checksum });
	if (group->ballot_max > recovery->ballot_max)
		recovery->ballot_max = group->ballot_max;
	for (uint32_t i = 0; i < group->records; i++) { /* the scan has checked it */
		const struct synod_format_record *record =
			(const void *)((const uint8_t *)bytes + at);

		synod_assert_cmp(at, <, group->used);
		if (record->entry.slot > recovery->snapshot_slot + index->slots)
			return record->entry.slot;
		synod_index_put(index, &record->entry, begin + at);
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

int synod_recovery_stands(const struct synod_journal_recovery *recovery,
			  const struct synod_index *index, uint64_t slot)
{
	synod_assert(slot > 0);
	synod_assert(index->slots > 0);
	return slot <= recovery->snapshot_slot || synod_index_chosen(index, slot);
}

/* Was all that these groups held written again, as chosen, since they went bad? */
static int is_mended(const struct synod_journal_recovery *recovery, const struct synod_index *index,
		     const struct synod_scan_gap *gap)
{
	synod_assert(gap->reason != SYNOD_SCAN_FINE);
	if (gap->slot_first > gap->slot_last)
		return 0; /* what a group says of another may be anything */
	if (!gap->slots_known || gap->slot_first == 0 ||
	    gap->slot_last - gap->slot_first >= index->slots)
		return 0;
	for (uint64_t slot = gap->slot_first; slot <= gap->slot_last; slot++)
		if (!synod_recovery_stands(recovery, index, slot))
			return 0;
	return 1;
}

/* Where the end of the log is lost no place is known at which it could go on. */
static void forget_mended(struct synod_journal_recovery *recovery, const struct synod_index *index)
{
	uint32_t kept = 0;

	if (recovery->end_lost || recovery->faults > SYNOD_JOURNAL_FAULTS_MAX)
		return;
	for (uint32_t i = 0; i < recovery->faults; i++)
		if (!is_mended(recovery, index, &recovery->faulty[i]))
			recovery->faulty[kept++] = recovery->faulty[i];
	synod_assert_cmp(kept, <=, recovery->faults);
	synod_assert(recovery->mended == 0);
	recovery->mended = recovery->faults - kept;
	recovery->faults = kept;
}

uint64_t synod_recovery_end(struct synod_journal_recovery *recovery, const struct synod_scan *scan,
			    const struct synod_index *index)
{
	synod_assert_cmp(scan->promised, >=, recovery->promised);
	recovery->promised = scan->promised;
	recovery->chosen_through = scan->chosen_through;
	recovery->group_durable = scan->mark;
	recovery->torn = scan->torn;
	if (scan->life_seen > recovery->life)
		recovery->life = scan->life_seen;
	recovery->slot_last = index->slot_last > recovery->snapshot_slot ? index->slot_last
									 : recovery->snapshot_slot;
	recovery->end_lost = scan->over;
	forget_mended(recovery, index);
	if (recovery->faults)
		return 0;
	for (uint64_t slot = recovery->snapshot_slot + 1; slot <= recovery->chosen_through; slot++)
		if (synod_index_offset(index, slot) == 0)
			return slot;
	return 0;
}

static int slots_known(const struct synod_journal_recovery *recovery)
{
	if (recovery->faults > SYNOD_JOURNAL_FAULTS_MAX)
		return 0;
	for (uint32_t i = 0; i < recovery->faults; i++) {
		synod_assert(recovery->faulty[i].reason != SYNOD_SCAN_FINE);
		if (!recovery->faulty[i].slots_known)
			return 0;
	}
	return 1;
}

int synod_recovery_intact(const struct synod_journal_recovery *recovery, uint64_t slot)
{
	synod_assert(slot > 0);
	if (!slots_known(recovery))
		return 0;
	for (uint32_t i = 0; i < recovery->faults; i++)
		if (slot >= recovery->faulty[i].slot_first && slot <= recovery->faulty[i].slot_last)
			return 0;
	return 1;
}

/* Which of the others knows the slot to be chosen, and holds it? FROM_OLD: none. */
static int who_vouches(const struct synod_repair *repair, uint64_t slot)
{
	synod_assert_cmp(repair->others_count, <=, (uint32_t)SYNOD_REPLICAS_MAX);
	for (uint32_t i = 0; i < repair->others_count; i++)
		if (slot <= repair->others[i]->chosen_through &&
		    slot > repair->others[i]->snapshot_slot &&
		    synod_recovery_intact(repair->others[i], slot))
			return (int)i;
	return SYNOD_REPAIR_FROM_OLD;
}

/* The newest snapshot of any that is whole. */
static void choose_base(struct synod_repair *repair)
{
	synod_assert_cmp(repair->others_count, <=, (uint32_t)SYNOD_REPLICAS_MAX);
	synod_assert(repair->slot == 0);
	repair->base = repair->old->snapshot_faulty ? 0 : repair->old->snapshot_slot;
	repair->base_from = SYNOD_REPAIR_FROM_OLD;
	for (uint32_t i = 0; i < repair->others_count; i++) {
		const struct synod_journal_recovery *other = repair->others[i];

		if (other->snapshot_faulty || other->snapshot_slot <= repair->base)
			continue;
		repair->base = other->snapshot_slot;
		repair->base_from = (int)i;
	}
	repair->slot = repair->base;
	repair->chosen = repair->base;
}

enum synod_repair_verdict synod_repair_check(struct synod_repair *repair, uint64_t *slot)
{
	const struct synod_journal_recovery *old = repair->old;

	synod_assert(repair->slot == 0);
	*slot = 0;
	if (old->faults == 0 && !old->snapshot_faulty)
		return SYNOD_REPAIR_NOT_NEEDED;
	choose_base(repair);
	*slot = old->snapshot_slot;
	if (repair->base < old->snapshot_slot)
		return SYNOD_REPAIR_NO_SNAPSHOT;
	if (!slots_known(old))
		return SYNOD_REPAIR_SLOTS_UNKNOWN;
	for (uint32_t i = 0; i < old->faults; i++) {
		if (old->faulty[i].slot_first == 0)
			continue; /* a marker: it held none */
		for (*slot = old->faulty[i].slot_first; *slot <= old->faulty[i].slot_last; ++*slot)
			if (*slot > repair->base &&
			    who_vouches(repair, *slot) == SYNOD_REPAIR_FROM_OLD)
				return SYNOD_REPAIR_NOT_YET;
	}
	return SYNOD_REPAIR_POSSIBLE;
}

/*
 * The last slot that the old journal may have a vote for, readable or not: its last record may be
 * the corrupt one.
 */
static uint64_t vote_last(const struct synod_journal_recovery *old)
{
	uint64_t last = old->slot_last;

	synod_assert(slots_known(old));
	for (uint32_t i = 0; i < old->faults; i++)
		if (old->faulty[i].slot_last > last)
			last = old->faulty[i].slot_last;
	return last;
}

int synod_repair_next(struct synod_repair *repair, struct synod_repair_copy *copy)
{
	const struct synod_journal_recovery *old = repair->old;
	const uint64_t slot = repair->slot + 1;
	const int from = who_vouches(repair, slot);

	synod_assert_cmp(repair->chosen, <=, repair->slot);
	/* Beyond the old one's last, only what is chosen without a gap. */
	if (slot > vote_last(old) &&
	    (from == SYNOD_REPAIR_FROM_OLD || repair->chosen != repair->slot))
		return 0;
	synod_assert_implies(from == SYNOD_REPAIR_FROM_OLD, synod_recovery_intact(old, slot));
	*copy = (struct synod_repair_copy){ .slot = slot,
					    .from = from,
					    .optional = from == SYNOD_REPAIR_FROM_OLD &&
							slot > old->chosen_through,
					    .chosen_through = repair->chosen };
	if (repair->chosen == repair->slot &&
	    (from != SYNOD_REPAIR_FROM_OLD || slot <= old->chosen_through))
		repair->chosen = slot;
	repair->slot = slot;
	return 1;
}

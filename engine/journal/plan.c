/* SPDX-License-Identifier: BSD-3-Clause */
/* Builds groups: see plan.h. */
#include "engine/journal/plan.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/superblock.h"

#include <string.h>

uint32_t synod_plan_header_checksum(uint32_t seed, const struct synod_format_group *header)
{
	return synod_crc32c_more(seed, header, offsetof(struct synod_format_group, checksum));
}

uint32_t synod_plan_record_checksum(uint32_t seed, const struct synod_format_record *record)
{
	return synod_crc32c_more(seed, record, offsetof(struct synod_format_record, checksum));
}

/* The summary of a group whose header is done, in front; the oldest falls off. */
static void summarise(struct synod_plan *plan, const struct synod_format_group *header)
{
	synod_assert_cmp(header->number, ==, plan->number_finished);
	memmove(&plan->summary[1], &plan->summary[0],
		sizeof(plan->summary) - sizeof(plan->summary[0]));
	plan->summary[0] = (struct synod_format_summary){
		.number = header->number,
		.offset = header->offset,
		.slot_first = header->slot_first,
		.slot_last = header->slot_last,
		.ballot_max = header->ballot_max,
		.bytes = header->bytes,
		.checksum = header->checksum,
	};
	synod_assert(plan->summary[0].number > plan->summary[1].number);
}

void synod_plan_start(struct synod_plan *plan, const struct synod_format_superblock *superblock,
		      const struct synod_format_group *last)
{
	memset(plan, 0, sizeof(*plan));
	plan->cluster = superblock->cluster;
	plan->incarnation = superblock->incarnation;
	plan->replica = superblock->replica;
	plan->life = superblock->life;
	plan->log = synod_format_log_of(superblock);
	plan->seed = synod_superblock_seed(superblock);
	plan->number_next = superblock->head_group;
	plan->offset_next =
		synod_format_virtual(&plan->log, superblock->head_offset, superblock->head_epoch);
	plan->previous_checksum = superblock->head_previous;
	if (last) {
		memcpy(plan->summary, last->summary, sizeof(plan->summary));
		plan->number_finished = last->number;
		summarise(plan, last);
		plan->number_next = last->number + 1;
		plan->offset_next = synod_format_next(
			&plan->log,
			synod_format_virtual(&plan->log, last->offset, last->epoch) + last->bytes);
		plan->previous_checksum = last->checksum;
	}
	plan->number_finished = plan->number_next - 1;
	synod_assert(plan->number_next > 0);
	synod_assert(plan->log.wraps || plan->offset_next <= plan->log.end);
}

void synod_plan_begin(const struct synod_plan *plan, struct synod_plan_group *group,
		      uint8_t *buffer)
{
	synod_assert(((uintptr_t)buffer & 7) == 0);
	synod_assert(plan->log.wraps || plan->offset_next < plan->log.end);
	*group = (struct synod_plan_group){
		.buffer = buffer,
		.number = plan->number_next,
		.offset = plan->offset_next,
		.used = sizeof(struct synod_format_group),
		.records_checksum = plan->seed,
	};
}

int synod_plan_fits(const struct synod_plan *plan, const struct synod_plan_group *group,
		    uint32_t body_size)
{
	const uint32_t used = group->used + synod_format_record_size(body_size);

	synod_assert_cmp(body_size, <=, (uint32_t)SYNOD_BATCH_SIZE_MAX);
	synod_assert_cmp(group->offset, <=, plan->offset_next);
	return used <= SYNOD_GROUP_SIZE_MAX &&
	       synod_format_blocks(used) <= synod_format_left(&plan->log, group->offset);
}

uint64_t synod_plan_append(const struct synod_plan *plan, struct synod_plan_group *group,
			   const struct synod_wire_entry *entry, const void *body)
{
	struct synod_format_record *record = (void *)(group->buffer + group->used);
	const uint64_t offset = group->offset + group->used;

	synod_assert(group->bytes == 0);
	synod_assert(synod_plan_fits(plan, group, entry->size));
	synod_assert(entry->slot > 0);
	synod_assert(entry->ballot > 0);
	synod_assert_cmp(entry->size % 8, ==, 0u);
	record->entry = *entry;
	record->group = group->number;
	record->kind = SYNOD_FORMAT_KIND_VALUE;
	record->checksum = synod_plan_record_checksum(plan->seed, record);
	if (entry->size)
		memcpy(record + 1, body, entry->size);
	/* Pairs with the scan's check: what is written is what the leader summed up. */
	synod_assert_cmp(synod_crc32c(record + 1, entry->size), ==, entry->crc);
	group->records_checksum =
		synod_crc32c_more(group->records_checksum, record, sizeof(*record));
	group->used += synod_format_record_size(entry->size);
	group->records++;
	if (group->slot_first == 0 || entry->slot < group->slot_first)
		group->slot_first = entry->slot;
	if (entry->slot > group->slot_last)
		group->slot_last = entry->slot;
	if (entry->ballot > group->ballot_max)
		group->ballot_max = entry->ballot;
	return offset;
}

void synod_plan_close(struct synod_plan *plan, struct synod_plan_group *group)
{
	synod_assert(group->bytes == 0);
	synod_assert_cmp(group->number, ==, plan->number_next);
	synod_assert_cmp(group->offset, ==, plan->offset_next);
	group->bytes = synod_format_blocks(group->used);
	synod_assert_cmp(group->bytes, <=, synod_format_left(&plan->log, group->offset));
	memset(group->buffer + group->used, 0, group->bytes - group->used);
	plan->number_next++;
	plan->offset_next = synod_format_next(&plan->log, group->offset + group->bytes);
}

void synod_plan_finish(struct synod_plan *plan, const struct synod_plan_group *group,
		       const struct synod_plan_marks *marks)
{
	struct synod_format_group *header = (void *)group->buffer;

	synod_assert(group->bytes > 0);
	synod_assert_cmp(group->number, ==, plan->number_finished + 1);
	synod_assert_cmp(marks->durable_through, <, group->number);
	synod_assert_cmp(group->offset + group->bytes, <=, marks->fence);
	memset(header, 0, sizeof(*header));
	header->magic = SYNOD_FORMAT_GROUP_MAGIC;
	header->version = SYNOD_FORMAT_VERSION;
	header->epoch = synod_format_epoch(&plan->log, group->offset);
	header->cluster = plan->cluster;
	header->incarnation = plan->incarnation;
	header->replica = plan->replica;
	header->records = group->records;
	header->life = plan->life;
	header->number = group->number;
	header->offset = synod_format_place(&plan->log, group->offset);
	header->bytes = group->bytes;
	header->used = group->used;
	header->records_checksum = group->records_checksum;
	header->previous_checksum = plan->previous_checksum;
	header->durable_through = marks->durable_through;
	header->chosen_through = marks->chosen_through;
	header->promised = marks->promised;
	header->fence = marks->fence;
	header->slot_first = group->slot_first;
	header->slot_last = group->slot_last;
	header->ballot_max = group->ballot_max;
	memcpy(header->summary, plan->summary, sizeof(plan->summary));
	header->checksum = synod_plan_header_checksum(plan->seed, header);
	plan->previous_checksum = header->checksum;
	plan->number_finished = group->number;
	summarise(plan, header);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A journal in memory for the tests of the pure part: written by the planner, read by the scan, and
 * damaged in between.
 */
#ifndef SYNOD_TESTS_UNIT_JOURNAL_IMAGE_H
#define SYNOD_TESTS_UNIT_JOURNAL_IMAGE_H

#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/journal/plan.h"
#include "engine/journal/scan.h"
#include "engine/journal/superblock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum {
	IMAGE_GROUPS_MAX = 64,
	IMAGE_FAULTS_MAX = 16
};

struct image {
	struct synod_format_superblock superblock;
	struct synod_plan plan;
	uint8_t *bytes;	 /* [0, log_end) */
	uint8_t *buffer; /* of one group */
	uint64_t slot_next;
	uint64_t seed;
	uint32_t groups; /* written, from number 1 at [1] */
	struct synod_format_group written[IMAGE_GROUPS_MAX];
};

/* What a scan of it found. */
struct image_scan {
	struct synod_scan scan;
	uint64_t groups;
	uint64_t records;
	uint64_t group_last;
	struct synod_scan_gap faulty[IMAGE_FAULTS_MAX];
	uint32_t faults;
};

static inline void image_init(struct image *image, uint64_t log_size)
{
	memset(image, 0, sizeof(*image));
	image->superblock = (struct synod_format_superblock){
		.magic = SYNOD_FORMAT_SUPERBLOCK_MAGIC,
		.version = SYNOD_FORMAT_VERSION,
		.sequence = 1,
		.cluster = 9,
		.incarnation = 1,
		.replica = 1,
		.replicas = 3,
		.salt = 0x5a17,
		.file_size = SYNOD_FORMAT_LOG_BEGIN + log_size,
		.log_begin = SYNOD_FORMAT_LOG_BEGIN,
		.log_end = SYNOD_FORMAT_LOG_BEGIN + log_size,
		.block_size = SYNOD_BLOCK_SIZE,
		.group_size_max = SYNOD_GROUP_SIZE_MAX,
		.life = 1,
		.fence = SYNOD_FORMAT_LOG_BEGIN + log_size,
		.head_offset = SYNOD_FORMAT_LOG_BEGIN,
		.head_group = 1,
	};
	image->superblock.head_previous = synod_superblock_seed(&image->superblock);
	image->bytes = calloc(1, image->superblock.log_end);
	image->buffer = calloc(1, SYNOD_GROUP_SIZE_MAX);
	assert_non_null(image->bytes);
	assert_non_null(image->buffer);
	image->slot_next = 1;
	image->seed = 42;
	synod_plan_start(&image->plan, &image->superblock, NULL);
}

static inline void image_free(struct image *image)
{
	free(image->bytes);
	free(image->buffer);
}

/* One group of that many records with bodies below body_max bytes; 0 records: a marker. */
static inline void image_write(struct image *image, uint32_t records, uint32_t body_max,
			       uint64_t durable_through)
{
	const struct synod_plan_marks marks = {
		.durable_through = durable_through,
		.promised = 257,
		.fence = image->superblock.fence,
	};
	uint8_t body[SYNOD_BATCH_SIZE_MAX];
	struct synod_plan_group group;

	synod_plan_begin(&image->plan, &group, image->buffer);
	for (uint32_t i = 0; i < records; i++) {
		struct synod_wire_entry entry = { .slot = image->slot_next, .ballot = 257 };

		entry.size = (uint32_t)synod_random_below(&image->seed, body_max / 8 + 1) * 8;
		for (uint32_t at = 0; at < entry.size; at++)
			body[at] = (uint8_t)synod_random_next(&image->seed);
		entry.crc = synod_crc32c(body, entry.size);
		if (!synod_plan_fits(&image->plan, &group, entry.size))
			break;
		assert_true(synod_plan_append(&image->plan, &group, &entry, body) > group.offset);
		image->slot_next++;
	}
	synod_plan_close(&image->plan, &group);
	synod_plan_finish(&image->plan, &group, &marks);
	memcpy(image->bytes + group.offset, image->buffer, group.bytes);
	image->groups++;
	assert_true(image->groups < IMAGE_GROUPS_MAX);
	memcpy(&image->written[image->groups], image->buffer, sizeof(struct synod_format_group));
	assert_int_equal(image->written[image->groups].number, group.number);
}

static inline void image_scan(const struct image *image, struct image_scan *found)
{
	/* A group at a time, at an address of its own, so that sanitizers see a read too far. */
	uint8_t *window = malloc(SYNOD_GROUP_SIZE_MAX);
	enum synod_scan_event event;

	memset(found, 0, sizeof(*found));
	synod_scan_begin(&found->scan, &image->superblock);
	for (uint64_t turn = 0;; turn++) {
		assert_true(turn < 100000);
		memcpy(window, image->bytes + found->scan.want_offset, found->scan.want_size);
		event = synod_scan_give(&found->scan, window);
		if (event == SYNOD_SCAN_END)
			break;
		if (event == SYNOD_SCAN_GROUP) {
			found->groups++;
			found->records += found->scan.group.records;
			found->group_last = found->scan.group.number;
		}
		if (event == SYNOD_SCAN_FAULTY && found->faults < IMAGE_FAULTS_MAX)
			found->faulty[found->faults++] = found->scan.faulty;
	}
	free(window);
}

#endif

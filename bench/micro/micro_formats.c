/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksum, datagrams and journal groups, for a full batch of 64-byte commands. */
#include "bench/micro/micro.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/plan.h"
#include "engine/wire/wire.h"

#include <stdatomic.h>
#include <string.h>

enum {
	COMMAND = 64,
	COMMANDS = 100,
	BODY = COMMANDS * (SYNOD_COMMAND_HEADER_SIZE + COMMAND)
};

static uint8_t datagram[SYNOD_FRAME_SIZE_MAX];
static uint8_t group_buffer[SYNOD_GROUP_SIZE_MAX] __attribute__((aligned(4096)));
static _Atomic uint64_t sink; /* keeps the results alive */

static uint8_t *body(void)
{
	return datagram + SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE;
}

static void fill_body(uint8_t *to)
{
	for (uint32_t i = 0; i < COMMANDS; i++) {
		struct synod_wire_command command = { .session = 65537,
						      .number = i + 1,
						      .size = COMMAND };

		memcpy(to, &command, sizeof(command));
		memset(to + sizeof(command), (int)i, COMMAND);
		to += sizeof(command) + COMMAND;
	}
}

static void crc_batch(uint64_t iterations)
{
	if (iterations == 0)
		fill_body(body());
	for (uint64_t i = 0; i < iterations; i++)
		atomic_fetch_add_explicit(&sink, synod_crc32c(body(), BODY), memory_order_relaxed);
}

static void seal(void)
{
	struct synod_wire_header *header = (struct synod_wire_header *)(void *)datagram;
	struct synod_wire_entry entry = {
		.slot = 7, .ballot = 257, .size = BODY, .count = COMMANDS
	};

	memset(header, 0, sizeof(*header));
	header->type = SYNOD_ACCEPT;
	header->cluster = 1;
	header->sender = 1;
	header->receiver = 2;
	entry.crc = synod_crc32c(body(), BODY);
	memcpy(datagram + SYNOD_HEADER_SIZE, &entry, sizeof(entry));
	synod_wire_seal(header, &entry, NULL, BODY);
}

static void encode_accept(uint64_t iterations)
{
	if (iterations == 0)
		fill_body(body());
	for (uint64_t i = 0; i < iterations; i++)
		seal();
}

static void decode_accept(uint64_t iterations)
{
	struct synod_wire_view view;

	if (iterations == 0) {
		fill_body(body());
		seal();
	}
	for (uint64_t i = 0; i < iterations; i++) {
		int wrong = synod_wire_decode(datagram, SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE + BODY,
					      1, 2, &view);

		synod_assert_cmp(wrong, ==, 0);
		atomic_fetch_add_explicit(&sink, view.body_size, memory_order_relaxed);
	}
}

/* A group of twelve full records, planned and sealed. */
static void plan_group(uint64_t iterations)
{
	static struct synod_format_superblock superblock;
	struct synod_wire_entry entry = {
		.slot = 1, .ballot = 257, .size = BODY, .count = COMMANDS
	};
	struct synod_plan_marks marks = { .fence = UINT64_MAX / 2 };

	if (iterations == 0) {
		fill_body(body());
		superblock.magic = SYNOD_FORMAT_SUPERBLOCK_MAGIC;
		superblock.log_begin = SYNOD_FORMAT_LOG_BEGIN;
		superblock.log_end = UINT64_MAX / 2;
		superblock.head_offset = SYNOD_FORMAT_LOG_BEGIN;
		superblock.head_group = 1;
		superblock.replica = 1;
	}
	entry.crc = synod_crc32c(body(), BODY);
	for (uint64_t i = 0; i < iterations; i++) {
		struct synod_plan plan;
		struct synod_plan_group group;

		synod_plan_start(&plan, &superblock, NULL);
		synod_plan_begin(&plan, &group, group_buffer);
		for (int record = 0; record < 12; record++) {
			atomic_fetch_add_explicit(&sink,
						  synod_plan_append(&plan, &group, &entry, body()),
						  memory_order_relaxed);
			entry.slot++;
		}
		synod_plan_close(&plan, &group);
		synod_plan_finish(&plan, &group, &marks);
	}
}

const struct synod_micro synod_micro_formats[] = {
	{ "base/crc32c_batch", crc_batch, BODY, COMMANDS, 0 },
	{ "wire/encode_accept", encode_accept, BODY, COMMANDS, 0 },
	{ "wire/decode_accept", decode_accept, BODY, COMMANDS, 0 },
	{ "journal/plan_group", plan_group, 12 * BODY, 12 * COMMANDS, 0 },
	{ 0 },
};

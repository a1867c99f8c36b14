/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every corruption of four chosen slots on three replicas: 2^12 cases (the matrix of
 * "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). Where each slot is whole on
 * one replica at least, in 7^4 = 2,401 of them, all journals must come back by repair, with every
 * value as it was. In the other 1,695 nothing may start: a slot is lost, and that is said. In none
 * may a journal that is missing something be taken for whole.
 */
#include "engine/journal/superblock.h"
#include "engine/journal/writer.h"

#include "engine/base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

enum {
	REPLICAS = 3,
	SLOTS = 4,
	FILE_SIZE = SYNOD_FORMAT_LOG_BEGIN + 128 * 1024,
	BALLOT = 257,
	BODY_SIZE = 64,
};

struct journal {
	_Alignas(8) uint8_t bytes[FILE_SIZE];
	struct synod_format_superblock superblock;
	struct synod_journal_recovery recovery;
	struct synod_index_entry entries[FILE_SIZE / SYNOD_JOURNAL_SLOT_BYTES + 1];
	struct synod_index index;
	struct synod_plan plan;
	struct synod_writer writer;
	uint64_t ticket;
};

static uint8_t *memory; /* one writer at a time */
static struct journal healthy[REPLICAS];
static struct journal damaged[REPLICAS];
static struct journal fresh;

static void body_of(uint64_t slot, uint8_t *body)
{
	memset(body, (int)(slot * 17), BODY_SIZE);
}

/* Reads it as a start does. Returns 1 if it is whole. */
static int look(struct journal *journal)
{
	struct synod_superblock_choice choice;
	struct synod_scan scan;
	enum synod_scan_event event;

	synod_superblock_choose((const void *)journal->bytes, &choice);
	assert_int_equal(choice.verdict, SYNOD_SUPERBLOCK_FOUND);
	journal->superblock =
		((const struct synod_format_superblock *)(const void *)journal->bytes)[choice.copy];
	memset(&journal->recovery, 0, sizeof(journal->recovery));
	memset(journal->entries, 0, sizeof(journal->entries));
	journal->index = (struct synod_index){ .entries = journal->entries, .slots = 100 };
	synod_recovery_begin(&journal->recovery, &journal->superblock);
	synod_scan_begin(&scan, &journal->superblock);
	do {
		const uint8_t *bytes = journal->bytes + (scan.want_size ? scan.want_offset : 0);

		event = synod_scan_give(&scan, bytes);
		if (event == SYNOD_SCAN_GROUP)
			assert_int_equal(
				synod_recovery_group(&journal->recovery, &journal->index, bytes),
				0);
		if (event == SYNOD_SCAN_FAULTY)
			synod_recovery_faulty(&journal->recovery, &scan.faulty);
	} while (event != SYNOD_SCAN_END);
	synod_plan_start(&journal->plan, &journal->superblock, scan.groups ? &scan.group : NULL);
	assert_int_equal(synod_recovery_end(&journal->recovery, &scan, &journal->index), 0);
	return synod_recovery_whole(&journal->recovery);
}

/* Whatever may be written now is written, and whole. */
static void write_all(struct journal *journal, uint64_t now_ns)
{
	do {
		synod_writer_advance(&journal->writer, now_ns);
		for (uint32_t i = 0; i < journal->writer.ios_count; i++) {
			const struct synod_writer_io *io = &journal->writer.ios[i];

			memcpy(journal->bytes + io->offset, io->bytes, io->size);
			synod_writer_done(&journal->writer, io->kind, io->index);
		}
	} while (journal->writer.ios_count);
}

static void format_and_open(struct journal *journal, uint32_t replica)
{
	const struct synod_journal_identity identity = {
		.cluster = 9, .incarnation = 1, .replica = replica, .replicas = REPLICAS
	};
	const struct synod_writer_start start = { .opened = &journal->superblock,
						  .recovery = &journal->recovery,
						  .plan = &journal->plan,
						  .index = &journal->index,
						  .memory = memory,
						  .fence_step = SYNOD_FORMAT_FENCE_STEP };
	struct synod_format_superblock first;

	memset(journal->bytes, 0, sizeof(journal->bytes));
	synod_superblock_first(
		&first, &identity,
		&(struct synod_superblock_extent){ .file_size = FILE_SIZE, .log_end = FILE_SIZE },
		replica);
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++)
		synod_superblock_encode(&first, copy,
					(void *)(journal->bytes + (size_t)copy * SYNOD_BLOCK_SIZE));
	assert_true(look(journal));
	synod_writer_init(&journal->writer, &start);
	synod_writer_begin_life(&journal->writer, &journal->recovery);
	memcpy(journal->bytes, journal->writer.superblock.copy, SYNOD_WRITER_SUPERBLOCKS_SIZE);
	synod_writer_life_begun(&journal->writer);
	journal->ticket = 0;
}

static void record(struct journal *journal, const struct synod_wire_entry *entry, const void *body,
		   uint64_t chosen_through)
{
	assert_int_equal(synod_writer_record(&journal->writer, ++journal->ticket, entry, body,
					     chosen_through),
			 0);
	write_all(journal, 1);
}

static void promise(struct journal *journal, uint64_t ballot, uint64_t chosen_through)
{
	assert_int_equal(
		synod_writer_promise(&journal->writer, ++journal->ticket, ballot, chosen_through),
		0);
	write_all(journal, 1);
}

/* A promise, four slots in a group each, and a marker that knows them to be chosen and durable. */
static void make_healthy(void)
{
	for (uint32_t i = 0; i < REPLICAS; i++) {
		struct journal *journal = &healthy[i];

		format_and_open(journal, i + 1);
		promise(journal, BALLOT, 0);
		for (uint64_t slot = 1; slot <= SLOTS; slot++) {
			uint8_t body[BODY_SIZE];
			struct synod_wire_entry entry = { .slot = slot,
							  .ballot = BALLOT,
							  .size = BODY_SIZE };

			body_of(slot, body);
			entry.crc = synod_crc32c(body, BODY_SIZE);
			record(journal, &entry, body, slot - 1);
		}
		promise(journal, BALLOT + 256, SLOTS);
		write_all(journal, UINT64_MAX);
		assert_true(look(journal));
		assert_int_equal(journal->recovery.chosen_through, SLOTS);
	}
}

/* Slot s stands in the s-th block of the log. */
static void damage(struct journal *journal, uint64_t slot, unsigned int how)
{
	uint8_t *block = journal->bytes + SYNOD_FORMAT_LOG_BEGIN + (slot - 1) * SYNOD_BLOCK_SIZE;

	switch (how % 4) {
	case 0: /* in the header */
		block[100] ^= 4;
		break;
	case 1: /* in the batch */
		block[sizeof(struct synod_format_group) + sizeof(struct synod_format_record) + 7] ^=
			128;
		break;
	case 2: /* it never came */
		memset(block, 0, SYNOD_BLOCK_SIZE);
		break;
	default: /* a neighbour's block came in its place */
		memcpy(block, journal->bytes + SYNOD_FORMAT_LOG_BEGIN + SLOTS * SYNOD_BLOCK_SIZE,
		       SYNOD_BLOCK_SIZE);
		break;
	}
}

static void check_values(const struct journal *journal)
{
	assert_int_equal(journal->recovery.chosen_through, SLOTS);
	assert_int_equal(journal->recovery.promised, BALLOT + 256);
	for (uint64_t slot = 1; slot <= SLOTS; slot++) {
		const struct synod_format_record *found =
			(const void *)(journal->bytes + synod_index_offset(&journal->index, slot));
		uint8_t body[BODY_SIZE];

		body_of(slot, body);
		assert_int_equal(found->entry.slot, slot);
		assert_memory_equal(found + 1, body, BODY_SIZE);
	}
}

/* As `synod repair --from` both others. Returns 1 if it could be done; then fresh holds it. */
static int repair(const struct journal *old, uint32_t replica)
{
	struct synod_repair rule = { .old = &old->recovery };
	const struct journal *others[REPLICAS];
	struct synod_repair_copy copy;
	uint64_t slot;

	for (uint32_t i = 0; i < REPLICAS; i++) {
		if (&damaged[i] == old)
			continue;
		others[rule.others_count] = &damaged[i];
		rule.others[rule.others_count++] = &damaged[i].recovery;
	}
	if (synod_repair_check(&rule, &slot) != SYNOD_REPAIR_POSSIBLE) {
		assert_in_range(slot, 1, SLOTS); /* it says which */
		return 0;
	}
	format_and_open(&fresh, replica);
	promise(&fresh, old->recovery.promised, 0);
	while (synod_repair_next(&rule, &copy)) {
		const struct journal *from =
			copy.from == SYNOD_REPAIR_FROM_OLD ? old : others[copy.from];
		const struct synod_format_record *found =
			(const void *)(from->bytes + synod_index_offset(&from->index, copy.slot));
		struct synod_wire_entry entry = found->entry;

		entry.flags |= copy.from == SYNOD_REPAIR_FROM_OLD ? 0 : SYNOD_ENTRY_CHOSEN;
		record(&fresh, &entry, found + 1, copy.chosen_through);
	}
	assert_int_equal(rule.chosen, SLOTS);
	promise(&fresh, old->recovery.promised, SLOTS);
	write_all(&fresh, UINT64_MAX);
	assert_true(look(&fresh));
	return 1;
}

/* Returns how many of the journals came back; cells: bit of each slot of each replica. */
static unsigned int recover(unsigned int cells)
{
	unsigned int back = 0;
	int whole[REPLICAS];

	for (uint32_t i = 0; i < REPLICAS; i++) {
		const unsigned int mine = cells >> i * SLOTS & ((1u << SLOTS) - 1);

		memcpy(damaged[i].bytes, healthy[i].bytes, FILE_SIZE);
		for (unsigned int slot = 1; slot <= SLOTS; slot++)
			if (mine >> (slot - 1) & 1)
				damage(&damaged[i], slot, cells + slot + i);
		whole[i] = look(&damaged[i]);
		assert_int_equal(whole[i], mine == 0); /* never taken for whole, or for torn */
	}
	for (uint32_t i = 0; i < REPLICAS; i++) {
		if (whole[i]) {
			check_values(&damaged[i]);
			back++;
		} else if (repair(&damaged[i], i + 1)) {
			check_values(&fresh);
			back++;
		}
	}
	return back;
}

static void every_corruption_is_repaired_or_refused(void **state)
{
	unsigned int recovered = 0;
	unsigned int refused = 0;

	(void)state;
	memory = aligned_alloc(SYNOD_BLOCK_SIZE, SYNOD_WRITER_MEMORY_SIZE);
	assert_non_null(memory);
	make_healthy();
	for (unsigned int cells = 0; cells < 1u << REPLICAS * SLOTS; cells++) {
		const unsigned int lost =
			cells & cells >> SLOTS & cells >> 2 * SLOTS & ((1u << SLOTS) - 1);
		const unsigned int back = recover(cells);

		assert_int_equal(back, lost ? 0 : REPLICAS);
		recovered += back == REPLICAS;
		refused += back == 0;
	}
	free(memory);
	assert_int_equal(recovered, 2401);
	assert_int_equal(refused, 1695);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_corruption_is_repaired_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What a scan means, and when a corrupt journal may be rewritten from another replica's. */
#include "tests/unit/journal_image.h"

#include "engine/journal/recovery.h"

static void index_holds_the_record_that_counts(void **state)
{
	struct synod_index_entry entries[9] = { { 0 } };
	struct synod_index index = { .entries = entries, .slots = 8 };
	struct synod_wire_entry entry = { .slot = 3, .ballot = 512 };

	(void)state;
	synod_index_put(&index, &entry, 4096);
	entry.ballot = 256;
	synod_index_put(&index, &entry, 8192); /* later, and lower */
	assert_int_equal(synod_index_offset(&index, 3), 4096);
	entry.flags = SYNOD_ENTRY_CHOSEN;
	synod_index_put(&index, &entry, 12288); /* chosen stands above any ballot */
	assert_int_equal(synod_index_offset(&index, 3), 12288);
	entry.flags = 0;
	entry.ballot = 1024;
	synod_index_put(&index, &entry, 16384);
	assert_int_equal(synod_index_offset(&index, 3), 12288);
	assert_int_equal(synod_index_offset(&index, 2), 0);
	assert_int_equal(synod_index_offset(&index, 9), 0);
	assert_int_equal(index.slot_last, 3);
}

static void chosen_slot_without_a_record_is_told(void **state)
{
	struct synod_index_entry entries[9] = { { 0 } };
	struct synod_index index = { .entries = entries, .slots = 8 };
	struct synod_journal_recovery recovery = { 0 };
	struct synod_scan scan = { .chosen_through = 2 };
	struct synod_wire_entry entry = { .slot = 1, .ballot = 256 };

	(void)state;
	synod_index_put(&index, &entry, 4096);
	assert_int_equal(synod_recovery_end(&recovery, &scan, &index), 2);
	entry.slot = 2;
	synod_index_put(&index, &entry, 8192);
	assert_int_equal(synod_recovery_end(&recovery, &scan, &index), 0);
	assert_int_equal(recovery.chosen_through, 2);
}

static struct synod_journal_recovery corrupt(uint64_t chosen_through, uint64_t slot_last,
					     uint64_t slot_faulty)
{
	struct synod_journal_recovery recovery = { .chosen_through = chosen_through,
						   .slot_last = slot_last,
						   .faults = 1 };

	recovery.faulty[0] = (struct synod_scan_gap){ .reason = SYNOD_SCAN_BODY,
						      .slot_first = slot_faulty,
						      .slot_last = slot_faulty,
						      .slots_known = 1 };
	return recovery;
}

static void repair_needs_every_corrupt_slot_chosen_elsewhere(void **state)
{
	struct synod_journal_recovery old = corrupt(20, 30, 10);
	struct synod_journal_recovery other = { .chosen_through = 9, .slot_last = 25 };
	uint64_t slot;

	(void)state;
	assert_int_equal(synod_repair_check(&old, &other, &slot), SYNOD_REPAIR_NOT_YET);
	assert_int_equal(slot, 10);
	other.chosen_through = 10;
	assert_int_equal(synod_repair_check(&old, &other, &slot), SYNOD_REPAIR_POSSIBLE);
	old.faulty[0].slots_known = 0;
	assert_int_equal(synod_repair_check(&old, &other, &slot), SYNOD_REPAIR_SLOTS_UNKNOWN);
	old.faults = SYNOD_JOURNAL_FAULTS_MAX + 1; /* more than are told one by one */
	assert_int_equal(synod_repair_check(&old, &other, &slot), SYNOD_REPAIR_SLOTS_UNKNOWN);
	old.faults = 0;
	assert_int_equal(synod_repair_check(&old, &other, &slot), SYNOD_REPAIR_NOT_NEEDED);
	old.faults = 1;
	other.faults = 1;
	assert_int_equal(synod_repair_check(&old, &other, &slot), SYNOD_REPAIR_OTHER_CORRUPT);
}

/*
 * Found by the simulator: repaired from a replica that
 * lags, the journal said less was chosen than the old one had known, and its last records lay
 * outside the window of that: no replica would open it.
 */
static void repaired_journal_knows_what_the_old_one_knew_to_be_chosen(void **state)
{
	const struct synod_journal_recovery old = corrupt(143, 147, 120);
	const struct synod_journal_recovery other = { .chosen_through = 130, .slot_last = 140 };

	(void)state;
	assert_int_equal(synod_repair_last(&old, &other), 147);
	assert_int_equal(synod_repair_from_other(&other, 130), 1);
	assert_int_equal(synod_repair_from_other(&other, 131), 0);
	assert_int_equal(synod_repair_chosen(&old, &other, 1), 0);
	assert_int_equal(synod_repair_chosen(&old, &other, 131), 130);
	assert_int_equal(synod_repair_chosen(&old, &other, 143), 142);
	assert_int_equal(synod_repair_chosen(&old, &other, 147), 143);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(index_holds_the_record_that_counts),
		cmocka_unit_test(chosen_slot_without_a_record_is_told),
		cmocka_unit_test(repair_needs_every_corrupt_slot_chosen_elsewhere),
		cmocka_unit_test(repaired_journal_knows_what_the_old_one_knew_to_be_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static void repair_needs_every_corrupt_slot_vouched_for(void **state)
{
	struct synod_journal_recovery old = corrupt(20, 30, 10);
	struct synod_journal_recovery other = { .chosen_through = 9, .slot_last = 25 };
	struct synod_repair repair = { .old = &old, .others = { &other }, .others_count = 1 };
	uint64_t slot;

	(void)state;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_NOT_YET);
	assert_int_equal(slot, 10);
	other.chosen_through = 10;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_POSSIBLE);
	old.faulty[0].slots_known = 0;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_SLOTS_UNKNOWN);
	old.faults = SYNOD_JOURNAL_FAULTS_MAX + 1; /* more than are told one by one */
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_SLOTS_UNKNOWN);
	old.faults = 0;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_NOT_NEEDED);
}

static void journal_that_is_corrupt_itself_vouches_for_other_slots(void **state)
{
	const struct synod_journal_recovery old = corrupt(20, 30, 10);
	struct synod_journal_recovery first = corrupt(25, 25, 10);
	struct synod_journal_recovery second = corrupt(25, 25, 11);
	struct synod_repair repair = { .old = &old,
				       .others = { &first, &second },
				       .others_count = 2 };
	struct synod_repair_copy copy;
	uint64_t slot;

	(void)state;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_POSSIBLE);
	while (synod_repair_next(&repair, &copy))
		assert_int_equal(copy.from, copy.slot == 10  ? 1
					    : copy.slot > 25 ? SYNOD_REPAIR_FROM_OLD
							     : 0);
	assert_int_equal(repair.slot, 30);
	/* What its corrupt groups held is not known: any of its records may be an older one. */
	second.faulty[0].slots_known = 0;
	repair.slot = 0;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_NOT_YET);
	assert_int_equal(slot, 10);
}

/* The last vote of all is the corrupt one, and not all before it is known to be chosen. */
static void repaired_journal_has_the_corrupt_slot_behind_the_last_record(void **state)
{
	const struct synod_journal_recovery old = corrupt(36, 42, 43);
	struct synod_journal_recovery other = corrupt(60, 60, 40);
	struct synod_repair repair = { .old = &old, .others = { &other }, .others_count = 1 };
	struct synod_repair_copy copy = { 0 };
	uint64_t slot;

	(void)state;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_POSSIBLE);
	while (synod_repair_next(&repair, &copy))
		assert_int_equal(copy.from, copy.slot == 40 ? SYNOD_REPAIR_FROM_OLD : 0);
	assert_int_equal(copy.slot, 43);
	assert_int_equal(repair.chosen, 39);
}

static void newest_whole_snapshot_begins_the_repaired_journal(void **state)
{
	struct synod_journal_recovery old = corrupt(120, 130, 110);
	struct synod_journal_recovery first = { .chosen_through = 125, .snapshot_slot = 105 };
	struct synod_journal_recovery second = { .chosen_through = 118, .snapshot_slot = 112 };
	struct synod_repair repair = { .old = &old,
				       .others = { &first, &second },
				       .others_count = 2 };
	struct synod_repair_copy copy;
	uint64_t slot;

	(void)state;
	old.snapshot_slot = 100;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_POSSIBLE);
	assert_int_equal(repair.base, 112); /* the corrupt slot is in it */
	assert_int_equal(repair.base_from, 1);
	for (slot = 113; synod_repair_next(&repair, &copy); slot++) {
		assert_int_equal(copy.slot, slot);
		assert_int_equal(copy.from, slot <= 125 ? 0 : SYNOD_REPAIR_FROM_OLD);
		assert_int_equal(copy.chosen_through, slot <= 126 ? slot - 1 : 125);
	}
	assert_int_equal(repair.slot, 130);

	/* What a corrupt snapshot covers is in no log of its replica. */
	repair.slot = 0;
	second.snapshot_faulty = 1;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_POSSIBLE);
	assert_int_equal(repair.base, 105);
	assert_int_equal(synod_repair_next(&repair, &copy), 1);
	assert_int_equal(copy.from, 0);
}

static void corrupt_snapshot_needs_one_as_new(void **state)
{
	struct synod_journal_recovery old = {
		.chosen_through = 50, .slot_last = 60, .snapshot_slot = 40, .snapshot_faulty = 1
	};
	struct synod_journal_recovery other = { .chosen_through = 55, .snapshot_slot = 39 };
	struct synod_repair repair = { .old = &old, .others = { &other }, .others_count = 1 };
	uint64_t slot;

	(void)state;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_NO_SNAPSHOT);
	assert_int_equal(slot, 40);
	repair.slot = 0;
	other.snapshot_slot = 40;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_POSSIBLE);
	repair.slot = 0;
	old.snapshot_faulty = 0;
	assert_int_equal(synod_repair_check(&repair, &slot), SYNOD_REPAIR_NOT_NEEDED);
}

/*
 * Found by the simulator: repaired from a replica that lags, the journal said less was chosen than
 * the old one had known, and its last records lay outside the window of that: no replica would open
 * it.
 */
static void repaired_journal_knows_what_the_old_one_knew_to_be_chosen(void **state)
{
	const struct synod_journal_recovery old = corrupt(143, 147, 120);
	const struct synod_journal_recovery other = { .chosen_through = 130, .slot_last = 140 };
	struct synod_repair repair = { .old = &old, .others = { &other }, .others_count = 1 };
	struct synod_repair_copy copy;

	(void)state;
	for (uint64_t slot = 1; slot <= 147; slot++) {
		assert_int_equal(synod_repair_next(&repair, &copy), 1);
		assert_int_equal(copy.slot, slot);
		assert_int_equal(copy.from, slot <= 130 ? 0 : SYNOD_REPAIR_FROM_OLD);
		assert_int_equal(copy.optional, slot > 143);
		assert_int_equal(copy.chosen_through, slot <= 143 ? slot - 1 : 143);
	}
	assert_int_equal(synod_repair_next(&repair, &copy), 0);
}

/* Slot 31 is corrupt over there: what lies behind it does not help, and must not make a gap. */
static void repaired_journal_has_no_gap_below_what_it_calls_chosen(void **state)
{
	const struct synod_journal_recovery old = corrupt(20, 25, 10);
	const struct synod_journal_recovery other = corrupt(40, 40, 31);
	struct synod_repair repair = { .old = &old, .others = { &other }, .others_count = 1 };
	struct synod_repair_copy copy = { 0 };

	(void)state;
	while (synod_repair_next(&repair, &copy))
		assert_int_equal(copy.chosen_through, copy.slot - 1);
	assert_int_equal(copy.slot, 30);
	assert_int_equal(repair.chosen, 30);
}

/* A replica that joins late votes on what is new before it has learned what was before. */
static void the_first_slot_is_the_lowest_whenever_it_came(void **state)
{
	struct synod_index_entry entries[17] = { { 0 } };
	struct synod_index late = { .entries = entries, .slots = 16 };

	(void)state;
	assert_int_equal(synod_index_first(&late), 1);
	for (uint64_t slot = 9; slot > 4; slot--) {
		const struct synod_wire_entry entry = { .slot = slot, .ballot = 257 };

		synod_index_put(&late, &entry, (20 - slot) * 4096);
		assert_int_equal(synod_index_first(&late), slot);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_slot_is_the_lowest_whenever_it_came),
		cmocka_unit_test(index_holds_the_record_that_counts),
		cmocka_unit_test(chosen_slot_without_a_record_is_told),
		cmocka_unit_test(repair_needs_every_corrupt_slot_vouched_for),
		cmocka_unit_test(journal_that_is_corrupt_itself_vouches_for_other_slots),
		cmocka_unit_test(repaired_journal_has_the_corrupt_slot_behind_the_last_record),
		cmocka_unit_test(newest_whole_snapshot_begins_the_repaired_journal),
		cmocka_unit_test(corrupt_snapshot_needs_one_as_new),
		cmocka_unit_test(repaired_journal_knows_what_the_old_one_knew_to_be_chosen),
		cmocka_unit_test(repaired_journal_has_no_gap_below_what_it_calls_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

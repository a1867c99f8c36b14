/* SPDX-License-Identifier: BSD-3-Clause */
/* Snapshots through the stages: taken between batches, durable before loaded, served in pieces. */
#include "engine/base/crc32c.h"
#include "engine/pipeline/pipeline.h"
#include "tests/pipeline/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* The state of a replica that has executed more: a session, and so many commands, one a slot. */
static struct {
	uint8_t *bytes;
	uint64_t size;
	uint64_t slot;
	uint64_t hash;
} other;

static void order(struct synod_apply *apply, uint64_t slot, uint8_t kind, uint64_t number)
{
	struct synod_wire_command command = { .session = kind == SYNOD_COMMAND_REGISTER
								 ? 0
								 : (1 << 16) + 1,
					      .number = number,
					      .kind = kind };

	synod_apply_batch(apply, slot, &command, sizeof(command), NULL, NULL);
}

static void make_other(uint64_t slots)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(BENCH_SESSIONS, SYNOD_SESSION_WINDOW_MAX);
	size_t size = synod_apply_size(&synod_sequencer_machine, BENCH_SESSIONS);
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
	struct synod_apply *apply;

	assert_non_null(memory);
	memset(memory, 0, size);
	apply = synod_apply_init(memory, &synod_sequencer_machine, BENCH_SESSIONS);
	order(apply, 1, SYNOD_COMMAND_REGISTER, 77);
	for (uint64_t slot = 2; slot <= slots; slot++)
		order(apply, slot, SYNOD_COMMAND_APPLY, slot);
	other.bytes = aligned_alloc(64, synod_apply_image_max(&synod_sequencer_machine, &limits));
	assert_non_null(other.bytes);
	other.size = synod_apply_save(apply, other.bytes);
	other.slot = slots;
	other.hash = synod_apply_hash(apply);
	free(memory);
}

/* A piece of it, from replica 2. */
static void put_piece(struct bench *bench, uint64_t slot, uint64_t offset, uint32_t checksum)
{
	static uint8_t body[SYNOD_BATCH_SIZE_MAX];
	const struct synod_wire_header header = { .type = SYNOD_SNAPSHOT,
						  .slot = slot,
						  .argument = offset };
	uint64_t left = other.size - offset;
	struct synod_wire_piece piece = {
		.total = other.size,
		.checksum = checksum,
		.size = left < SYNOD_PIECE_SIZE_MAX ? (uint32_t)left : SYNOD_PIECE_SIZE_MAX,
	};

	memcpy(body, &piece, sizeof(piece));
	memcpy(body + sizeof(piece), other.bytes + offset, piece.size);
	bench_put_peer(bench, 2, &header, body,
		       (uint32_t)sizeof(piece) + SYNOD_WIRE_ALIGN(piece.size));
}

/* Answers the questions of the bench until it asks no more. Returns the pieces sent. */
static uint32_t answer(struct bench *bench, uint64_t slot, uint32_t checksum)
{
	struct synod_wire_view view;
	uint32_t pieces = 0;
	uint64_t to;

	for (uint32_t turn = 0; turn < 2000; turn++) {
		bench_run(bench, 1);
		while (bench_take(bench, &to, &view)) {
			uint64_t offset = view.header->argument;

			assert_int_equal(view.header->type, SYNOD_FETCH);
			assert_int_equal(view.header->slot, slot);
			assert_int_equal(to, BENCH_PEER + 2);
			for (int i = 0; i < SYNOD_PIECE_BURST && offset < other.size; i++) {
				put_piece(bench, slot, offset, checksum);
				offset += SYNOD_PIECE_SIZE_MAX;
				pieces++;
			}
		}
	}
	return pieces;
}

static uint64_t count(const struct bench *bench, enum synod_counter which)
{
	return synod_counter_read(&bench->pipeline->journal.counters, which) +
	       synod_counter_read(&bench->pipeline->apply.counters, which);
}

static void one_is_taken_when_the_journal_wants_it_and_holds_the_state(void **state)
{
	struct bench *bench = bench_make_with_areas(1);
	uint64_t session = bench_open_session(bench, 1);
	uint64_t slot, position;

	(void)state;
	bench_request(bench, SYNOD_COMMAND_APPLY, session, 1, "x", 1);
	bench_run(bench, 20);
	(void)bench_result(bench, NULL);
	assert_int_equal(bench->snapshot.slot, 0);
	bench->wants = 1;
	bench_run(bench, 100);
	assert_int_equal(bench->snapshot.slot, synod_apply_slot(bench->apply));
	assert_int_equal(synod_apply_image_slot(bench->snapshot_bytes, bench->snapshot.size, &slot,
						&position),
			 0);
	assert_int_equal(slot, bench->snapshot.slot);
	assert_int_equal(position, 1);
	assert_int_equal(count(bench, SYNOD_SNAPSHOTS_TAKEN), 1);
	/* Nothing new: none is taken, however much it is wanted. */
	bench->wants = 1;
	bench_run(bench, 100);
	assert_int_equal(count(bench, SYNOD_SNAPSHOTS_TAKEN), 1);
	bench_free(bench);
}

static void want_of_room_is_busy_where_a_snapshot_can_free_it_and_full_elsewhere(void **state)
{
	(void)state;
	for (int has_areas = 0; has_areas < 2; has_areas++) {
		struct bench *bench = has_areas ? bench_make_with_areas(1) : bench_make();
		uint64_t session = bench_open_session(bench, 1);

		bench->room = SYNOD_RESERVE_LEADER - 1;
		bench_run(bench, 100);
		bench_request(bench, SYNOD_COMMAND_APPLY, session, 1, "x", 1);
		bench_run(bench, 20);
		assert_int_equal(bench_result(bench, NULL).status,
				 has_areas ? SYNOD_BUSY : SYNOD_FULL);
		/* It was not wanted, but without room nothing would come that makes it so. */
		assert_int_equal(bench->snapshot.slot != 0, has_areas);
		bench_free(bench);
	}
}

static void one_that_is_received_is_durable_before_it_is_loaded(void **state)
{
	struct bench *bench = bench_make_with_areas(3);
	uint32_t checksum;

	(void)state;
	make_other(3000);
	checksum = synod_crc32c(other.bytes, other.size);
	assert_true(other.size > 3 * SYNOD_PIECE_SIZE_MAX);
	bench->writes_held = 1;
	put_piece(bench, other.slot, 0, checksum);
	assert_in_range(answer(bench, other.slot, checksum), 3, 20);
	assert_int_equal(bench->writing.slot, other.slot);
	assert_int_equal(synod_apply_slot(bench->apply), 0);
	assert_int_equal(bench->pipeline->order.core.chosen_through, 0);
	bench->writes_held = 0;
	bench_run(bench, 100);
	assert_int_equal(bench->snapshot.slot, other.slot);
	assert_int_equal(synod_apply_slot(bench->apply), other.slot);
	assert_int_equal(synod_apply_hash(bench->apply), other.hash);
	assert_int_equal(bench->pipeline->order.core.chosen_through, other.slot);
	assert_int_equal(bench->pipeline->order.core.applied, other.slot);
	assert_int_equal(bench->pipeline->apply.positions.slot_begin, other.slot + 1);
	assert_int_equal(count(bench, SYNOD_SNAPSHOTS_INSTALLED), 1);
	/* It has the slots now: no more is wanted of it. */
	put_piece(bench, other.slot, 0, checksum);
	assert_int_equal(answer(bench, other.slot, checksum), 0);
	bench_free(bench);
	free(other.bytes);
}

static void one_that_was_half_received_goes_on_after_a_restart(void **state)
{
	struct bench *bench = bench_make_with_areas(3);
	struct synod_wire_view view;
	uint32_t checksum, pieces;
	uint64_t to;

	(void)state;
	make_other(3000);
	checksum = synod_crc32c(other.bytes, other.size);
	pieces = (uint32_t)((other.size + SYNOD_PIECE_SIZE_MAX - 1) / SYNOD_PIECE_SIZE_MAX);
	put_piece(bench, other.slot, 0, checksum);
	put_piece(bench, other.slot, SYNOD_PIECE_SIZE_MAX, checksum);
	bench_run(bench, 20);
	assert_int_equal(bench->partial.slot, other.slot);
	assert_int_equal(bench->partial.size, other.size);
	assert_int_equal(bench->partial.checksum, checksum);
	assert_int_equal(bench->partial_received, 2 * SYNOD_PIECE_SIZE_MAX);
	assert_memory_equal(bench->image, other.bytes, bench->partial_received);
	while (bench_take(bench, &to, &view))
		;
	bench_restart_receiving(bench);
	assert_int_equal(answer(bench, other.slot, checksum), 0); /* it asks nobody yet */
	put_piece(bench, other.slot, 0, checksum);
	assert_in_range(answer(bench, other.slot, checksum), 1, 2 * pieces);
	assert_int_equal(count(bench, SYNOD_SNAPSHOTS_RESUMED), 1);
	assert_int_equal(count(bench, SYNOD_PIECES_TAKEN), pieces - 2);
	assert_int_equal(bench->partial.slot, 0); /* and the buffer is told to be free */
	assert_int_equal(synod_apply_slot(bench->apply), other.slot);
	assert_int_equal(synod_apply_hash(bench->apply), other.hash);
	assert_int_equal(bench->snapshot.checksum, checksum);
	bench_free(bench);
	free(other.bytes);
}

static void half_of_one_that_nobody_offers_gives_way_to_an_own_one(void **state)
{
	const struct synod_journal_snapshot half = { .slot = 5000, .size = 9000, .checksum = 1 };
	struct bench *bench = bench_make_with_areas(1);
	uint64_t session = bench_open_session(bench, 1);

	(void)state;
	bench_request(bench, SYNOD_COMMAND_APPLY, session, 1, "x", 1);
	bench_run(bench, 20);
	bench->partial = half;
	synod_pipeline_load_partial(bench->pipeline, &half, 4096, 1);
	bench_run(bench, 100);
	assert_int_equal(bench->partial.slot, half.slot);
	assert_int_equal(bench->snapshot.slot, 0);
	bench->wants = 1;
	bench_run(bench, 100);
	assert_int_equal(bench->partial.slot, 0);
	assert_int_equal(bench->snapshot.slot, synod_apply_slot(bench->apply));
	bench_free(bench);
}

static void one_that_is_not_what_it_was_offered_as_changes_nothing(void **state)
{
	struct bench *bench = bench_make_with_areas(3);
	uint32_t checksum;

	(void)state;
	make_other(3000);
	checksum = synod_crc32c(other.bytes, other.size);
	put_piece(bench, other.slot, 0, checksum ^ 1); /* bytes that do not add up */
	assert_true(answer(bench, other.slot, checksum ^ 1) >= 3);
	put_piece(bench, other.slot + 5, 0, checksum); /* another slot's */
	assert_true(answer(bench, other.slot + 5, checksum) >= 3);
	assert_int_equal(count(bench, SYNOD_SNAPSHOTS_WRONG), 2);
	assert_int_equal(bench->writing.slot, 0);
	assert_int_equal(bench->snapshot.slot, 0);
	assert_int_equal(synod_apply_slot(bench->apply), 0);
	/* And the right one is taken after that. */
	put_piece(bench, other.slot, 0, checksum);
	assert_true(answer(bench, other.slot, checksum) >= 3);
	assert_int_equal(synod_apply_slot(bench->apply), other.slot);
	bench_free(bench);
	free(other.bytes);
}

static void who_asks_for_a_slot_that_is_gone_is_offered_and_sent_the_snapshot(void **state)
{
	struct bench *bench = bench_make_with_areas(3);
	const struct synod_wire_header need = { .type = SYNOD_NEED, .slot = 1, .argument = 4 };
	const struct synod_wire_header fetch = { .type = SYNOD_FETCH,
						 .slot = 3000,
						 .argument = SYNOD_PIECE_SIZE_MAX };
	struct synod_wire_view view;
	struct synod_wire_piece piece;
	const uint8_t *bytes;
	uint32_t checksum;
	uint64_t to;

	(void)state;
	make_other(3000);
	checksum = synod_crc32c(other.bytes, other.size);
	put_piece(bench, other.slot, 0, checksum);
	(void)answer(bench, other.slot, checksum);
	bench->slots_gone = other.slot;
	bench_put_peer(bench, 3, &need, NULL, 0);
	bench_run(bench, 50);
	assert_true(bench_take(bench, &to, &view)); /* one for the four slots */
	assert_int_equal(to, BENCH_PEER + 3);
	assert_int_equal(view.header->slot, other.slot);
	assert_int_equal(view.header->argument, 0);
	assert_int_equal(synod_wire_piece_read(&view, &piece, &bytes), 0);
	assert_int_equal(piece.total, other.size);
	assert_int_equal(piece.checksum, checksum);
	assert_memory_equal(bytes, other.bytes, piece.size);
	assert_false(bench_take(bench, &to, &view));
	bench_put_peer(bench, 3, &fetch, NULL, 0);
	bench_run(bench, 50);
	for (uint64_t left = SYNOD_PIECE_BURST; left; left--) {
		assert_true(bench_take(bench, &to, &view)); /* in whatever order they were read */
		assert_int_equal(synod_wire_piece_read(&view, &piece, &bytes), 0);
		assert_memory_equal(bytes, other.bytes + view.header->argument, piece.size);
	}
	assert_false(bench_take(bench, &to, &view));
	bench_free(bench);
	free(other.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_taken_when_the_journal_wants_it_and_holds_the_state),
		cmocka_unit_test(
			want_of_room_is_busy_where_a_snapshot_can_free_it_and_full_elsewhere),
		cmocka_unit_test(one_that_is_received_is_durable_before_it_is_loaded),
		cmocka_unit_test(one_that_was_half_received_goes_on_after_a_restart),
		cmocka_unit_test(half_of_one_that_nobody_offers_gives_way_to_an_own_one),
		cmocka_unit_test(one_that_is_not_what_it_was_offered_as_changes_nothing),
		cmocka_unit_test(who_asks_for_a_slot_that_is_gone_is_offered_and_sent_the_snapshot),
	};

	return cmocka_run_group_tests_name("snapshots", tests, bench_eal, bench_eal_end);
}

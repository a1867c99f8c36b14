/* SPDX-License-Identifier: BSD-3-Clause */
/* A snapshot on its way: whole in the end, never mixed, at a pace. */
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/journal/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

enum {
	RETRANSMIT_MS = 64, /* so that the pace is a millisecond */
	SIZE = 100 * 1000,
	PIECE = 1000,
	UNDER_WAY = 64
};

static uint8_t image[SIZE];
static uint8_t received[SIZE];
static struct synod_fetch fetch;
static struct synod_fetch_server server;

static void make_image(uint64_t seed)
{
	for (uint32_t i = 0; i < SIZE; i++)
		image[i] = (uint8_t)(synod_random_next(&seed) >> 20);
	memset(received, 0, sizeof(received));
	synod_fetch_init(&fetch, RETRANSMIT_MS * MS, SIZE);
	synod_fetch_server_init(&server, RETRANSMIT_MS * MS, PIECE);
}

static struct synod_fetch_piece piece_of(uint64_t slot, uint64_t offset, uint32_t from)
{
	return (struct synod_fetch_piece){
		.of = { .slot = slot, .total = SIZE, .checksum = synod_crc32c(image, SIZE) },
		.offset = offset,
		.size = PIECE,
		.from = from,
		.bytes = image + offset,
	};
}

static enum synod_fetch_verdict take(const struct synod_fetch_piece *piece, uint64_t now_ns)
{
	enum synod_fetch_verdict verdict = synod_fetch_take(&fetch, piece, 5, now_ns);

	if (verdict == SYNOD_FETCH_TAKEN || verdict == SYNOD_FETCH_WHOLE)
		memcpy(received + piece->offset, piece->bytes, piece->size);
	return verdict;
}

static void ask(uint32_t peer, uint64_t slot, uint64_t offset, uint64_t now_ns)
{
	const struct synod_fetch_question question = { .to = peer, .slot = slot, .offset = offset };

	synod_fetch_server_ask(&server, &question, now_ns);
}

/* The server's next piece of the snapshot that it has. */
static int serves(uint64_t slot, uint64_t now_ns, struct synod_fetch_piece *piece)
{
	const struct synod_fetch_source source = { .slot = slot, .total = SIZE };

	return synod_fetch_server_next(&server, &source, now_ns, piece);
}

static int asks(uint64_t now_ns, struct synod_fetch_question *question)
{
	return synod_fetch_poll(&fetch, 5, now_ns, question);
}

static void a_snapshot_arrives_whole_through_loss_copies_and_disorder(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct synod_fetch_piece under_way[UNDER_WAY];
		uint32_t count = 0;
		uint64_t random = seed;
		uint64_t now_ns = MS;
		enum synod_fetch_verdict verdict = SYNOD_FETCH_DROPPED;

		make_image(seed);
		while (verdict != SYNOD_FETCH_WHOLE) {
			struct synod_fetch_question question;
			struct synod_fetch_piece piece;

			assert_true(now_ns < 200000 * MS);
			now_ns += MS / 4;
			/* The core's question for a slot, again and again. */
			synod_fetch_server_offer(&server, 1, now_ns);
			if (asks(now_ns, &question) && synod_random_below(&random, 8))
				ask(1, question.slot, question.offset, now_ns);
			while (serves(9, now_ns, &piece))
				for (uint64_t copies = synod_random_below(&random, 8);
				     count < UNDER_WAY && copies < 9; copies += 6)
					under_way[count++] = piece_of(9, piece.offset, 2);
			while (count && verdict != SYNOD_FETCH_WHOLE &&
			       synod_random_below(&random, 4)) {
				uint64_t at = synod_random_below(&random, count);

				verdict = take(&under_way[at], now_ns);
				assert_int_not_equal(verdict, SYNOD_FETCH_WRONG);
				under_way[at] = under_way[--count];
			}
		}
		assert_memory_equal(received, image, SIZE);
		synod_fetch_end(&fetch);
		assert_false(synod_fetch_is_receiving(&fetch));
	}
}

static void nothing_is_taken_by_who_is_not_behind_or_has_no_room(void **state)
{
	struct synod_fetch_piece piece;

	(void)state;
	make_image(1);
	piece = piece_of(5, 0, 2); /* 5 is known to be chosen */
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_DROPPED);
	piece = piece_of(6, PIECE, 2); /* not the beginning */
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_DROPPED);
	piece = piece_of(6, 0, 2);
	piece.of.total = SIZE + 8;
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_DROPPED);
	piece = piece_of(6, 0, 2);
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_TAKEN);
}

static void what_was_learned_meanwhile_is_given_up(void **state)
{
	struct synod_fetch_piece piece;
	struct synod_fetch_question question;

	(void)state;
	make_image(1);
	piece = piece_of(9, 0, 2);
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_TAKEN);
	assert_int_equal(synod_fetch_poll(&fetch, 9, 2 * MS, &question), 0);
	assert_false(synod_fetch_is_receiving(&fetch));
}

static void another_snapshot_is_taken_only_if_the_first_is_gone(void **state)
{
	struct synod_fetch_piece piece;
	struct synod_fetch_question question;

	(void)state;
	make_image(1);
	piece = piece_of(9, 0, 2);
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_TAKEN);
	piece = piece_of(20, 0, 3); /* newer, of another */
	assert_int_equal(take(&piece, 2 * MS), SYNOD_FETCH_DROPPED);
	piece = piece_of(8, 0, 2); /* older, late */
	assert_int_equal(take(&piece, 2 * MS), SYNOD_FETCH_DROPPED);
	piece = piece_of(20, 0, 2); /* its source has a newer one */
	assert_int_equal(take(&piece, 2 * MS), SYNOD_FETCH_TAKEN);
	assert_int_equal(fetch.received, PIECE);
	piece = piece_of(20, PIECE, 3); /* the same from another: taken, but 2 is asked on */
	assert_int_equal(take(&piece, 3 * MS), SYNOD_FETCH_TAKEN);
	assert_int_equal(asks(3 * MS, &question), 1);
	assert_int_equal(question.to, 2);
	assert_int_equal(question.offset, 2 * PIECE);
	/* Silent for long: whoever has the same goes on with it, whoever has another begins. */
	piece = piece_of(20, 0, 3);
	assert_int_equal(take(&piece, (4 * RETRANSMIT_MS + 3) * MS), SYNOD_FETCH_DROPPED);
	assert_int_equal(asks((4 * RETRANSMIT_MS + 4) * MS, &question), 1);
	assert_int_equal(question.to, 3);
	assert_int_equal(question.offset, 2 * PIECE); /* what 2 was asked for is lost */
	piece = piece_of(30, 0, 4);
	assert_int_equal(take(&piece, (9 * RETRANSMIT_MS) * MS), SYNOD_FETCH_TAKEN);
	assert_int_equal(fetch.image.slot, 30);
}

static void a_wrong_checksum_begins_anew(void **state)
{
	struct synod_fetch_piece piece;

	(void)state;
	make_image(1);
	for (uint64_t offset = 0; offset < SIZE; offset += PIECE) {
		piece = piece_of(9, offset, 2);
		piece.of.checksum ^= 1;
		assert_int_equal(take(&piece, MS),
				 offset + PIECE < SIZE ? SYNOD_FETCH_TAKEN : SYNOD_FETCH_WRONG);
	}
	assert_false(synod_fetch_is_receiving(&fetch));
	piece = piece_of(9, 0, 2);
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_TAKEN);
}

static void questions_keep_a_pace_and_are_repeated_after_a_silence(void **state)
{
	struct synod_fetch_piece piece;
	struct synod_fetch_question question;

	(void)state;
	make_image(1);
	piece = piece_of(9, 0, 2);
	assert_int_equal(take(&piece, MS), SYNOD_FETCH_TAKEN);
	assert_int_equal(asks(MS, &question), 1);
	assert_int_equal(question.offset, PIECE);
	assert_int_equal(asks(2 * MS - 1, &question), 0); /* too early */
	/* It asks on ahead of the answers, so far. */
	for (uint32_t i = 1; i < SYNOD_PIECE_WINDOW / SYNOD_PIECE_BURST; i++) {
		assert_int_equal(asks((1 + i) * MS, &question), 1);
		assert_int_equal(question.offset, (1 + i * SYNOD_PIECE_BURST) * PIECE);
	}
	assert_int_equal(asks(10 * MS, &question), 0);
	for (uint32_t i = 1; i <= SYNOD_PIECE_BURST; i++) {
		piece = piece_of(9, i * PIECE, 2);
		assert_int_equal(take(&piece, 10 * MS), SYNOD_FETCH_TAKEN);
	}
	assert_int_equal(asks(10 * MS, &question), 1);
	assert_int_equal(question.offset, (1 + SYNOD_PIECE_WINDOW) * PIECE);
	/* A later piece, and the next one has been missing for a while: it is lost. */
	piece = piece_of(9, 8 * PIECE, 2);
	assert_int_equal(take(&piece, 11 * MS), SYNOD_FETCH_DROPPED);
	assert_int_equal(asks(11 * MS, &question), 0);
	assert_int_equal(take(&piece, (10 + RETRANSMIT_MS / 4) * MS), SYNOD_FETCH_DROPPED);
	assert_int_equal(asks((10 + RETRANSMIT_MS / 4) * MS, &question), 1);
	assert_int_equal(question.offset, 5 * PIECE);
	/* Nothing at all for a while: all that was asked for is lost. */
	assert_int_equal(asks(2 * RETRANSMIT_MS * MS, &question), 1);
	assert_int_equal(question.offset, 5 * PIECE);
	/* Silence for very long: another one is to have the buffer. */
	assert_int_equal(asks(70 * RETRANSMIT_MS * MS, &question), 0);
	assert_false(synod_fetch_is_receiving(&fetch));
}

static void who_serves_insists_on_half_the_pace_for_all_together(void **state)
{
	struct synod_fetch_piece piece;

	(void)state;
	make_image(1);
	ask(2, 9, PIECE, MS);
	for (uint32_t i = 1; i <= SYNOD_PIECE_BURST; i++) {
		assert_int_equal(serves(9, MS, &piece), 1);
		assert_int_equal(piece.offset, i * PIECE);
		assert_int_equal(piece.from, 2);
	}
	assert_int_equal(serves(9, MS, &piece), 0);
	ask(2, 9, 5 * PIECE, MS);
	ask(3, 9, PIECE, MS);
	assert_int_equal(serves(9, MS + MS / 2 - 1, &piece), 0);
	/* In turn: 2 has had its. */
	assert_int_equal(serves(9, MS + MS / 2, &piece), 1);
	assert_int_equal(piece.from, 3);
	/* The snapshot is replaced in the middle of a burst: it is over. */
	assert_int_equal(serves(12, MS + MS / 2, &piece), 0);
	/* Who asked for the old one is told of the new one by its beginning. */
	assert_int_equal(serves(12, 2 * MS, &piece), 1);
	assert_int_equal(piece.from, 2);
	assert_int_equal(piece.of.slot, 12);
	assert_int_equal(piece.offset, 0);
	assert_int_equal(serves(12, 2 * MS, &piece), 0);
	/* Nonsense is no question. */
	ask(2, 12, SIZE, 3 * MS);
	assert_int_equal(serves(12, 3 * MS, &piece), 0);
	/* The last piece is as long as what is left. */
	ask(2, 12, SIZE - 8, 4 * MS);
	assert_int_equal(serves(12, 4 * MS, &piece), 1);
	assert_int_equal(piece.size, 8);
	assert_int_equal(serves(12, 4 * MS, &piece), 0);
}

static void a_peer_is_offered_a_snapshot_once_for_all_slots_it_asks_for(void **state)
{
	struct synod_fetch_piece piece;

	(void)state;
	make_image(1);
	synod_fetch_server_offer(&server, 2, MS);
	assert_int_equal(serves(0, MS, &piece), 0); /* there is none yet */
	assert_int_equal(serves(9, MS, &piece), 1);
	assert_int_equal(piece.offset, 0);
	for (uint64_t now_ns = MS; now_ns < (1 + RETRANSMIT_MS / 2) * MS; now_ns += MS / 2) {
		synod_fetch_server_offer(&server, 2, now_ns);
		assert_int_equal(serves(9, now_ns, &piece), 0);
	}
	synod_fetch_server_offer(&server, 2, (1 + RETRANSMIT_MS / 2) * MS);
	assert_int_equal(serves(9, (1 + RETRANSMIT_MS / 2) * MS, &piece), 1);
}

enum {
	HALF = 40 * PIECE
};

/* What an earlier life left: the first bytes of the snapshot of slot 9. */
static void begin_with_half(uint64_t seed)
{
	struct synod_fetch_image half;

	make_image(seed);
	half = piece_of(9, 0, 2).of;
	memcpy(received, image, HALF);
	synod_fetch_resume(&fetch, &half, HALF, synod_crc32c(image, HALF));
}

static void half_a_snapshot_goes_on_where_it_was_once_it_is_offered_again(void **state)
{
	enum synod_fetch_verdict verdict = SYNOD_FETCH_RESUMED;
	struct synod_fetch_piece piece;
	struct synod_fetch_question question;

	(void)state;
	begin_with_half(1);
	assert_true(synod_fetch_is_waiting(&fetch));
	/* It asks nobody, however long that takes: nobody may be there yet. */
	assert_int_equal(asks(MS, &question), 0);
	assert_int_equal(asks(1000 * RETRANSMIT_MS * MS, &question), 0);
	assert_true(synod_fetch_is_waiting(&fetch));
	piece = piece_of(9, HALF, 3); /* late, of the earlier life: no offer */
	assert_int_equal(take(&piece, 1000 * RETRANSMIT_MS * MS), SYNOD_FETCH_DROPPED);
	piece = piece_of(9, 0, 3);
	assert_int_equal(take(&piece, 1000 * RETRANSMIT_MS * MS), SYNOD_FETCH_RESUMED);
	assert_false(synod_fetch_is_waiting(&fetch));
	assert_int_equal(asks(1000 * RETRANSMIT_MS * MS, &question), 1);
	assert_int_equal(question.to, 3);
	assert_int_equal(question.slot, 9);
	assert_int_equal(question.offset, HALF);
	for (uint64_t offset = HALF; offset < SIZE; offset += PIECE) {
		piece = piece_of(9, offset, 3);
		verdict = take(&piece, 1000 * RETRANSMIT_MS * MS);
		assert_int_equal(verdict,
				 offset + PIECE < SIZE ? SYNOD_FETCH_TAKEN : SYNOD_FETCH_WHOLE);
	}
	assert_memory_equal(received, image, SIZE);
}

static void half_a_snapshot_gives_way_to_another_after_some_patience(void **state)
{
	struct synod_fetch_piece piece;

	(void)state;
	begin_with_half(1);
	piece = piece_of(20, 0, 2); /* the first to speak has another: somebody may have the same */
	assert_int_equal(take(&piece, 500 * MS), SYNOD_FETCH_DROPPED);
	assert_int_equal(take(&piece, (499 + 4 * RETRANSMIT_MS) * MS), SYNOD_FETCH_DROPPED);
	assert_true(synod_fetch_is_waiting(&fetch));
	piece = piece_of(9, 0, 3);
	assert_int_equal(take(&piece, (499 + 4 * RETRANSMIT_MS) * MS), SYNOD_FETCH_RESUMED);

	begin_with_half(1);
	piece = piece_of(20, 0, 2);
	assert_int_equal(take(&piece, 500 * MS), SYNOD_FETCH_DROPPED);
	assert_int_equal(take(&piece, (500 + 4 * RETRANSMIT_MS) * MS), SYNOD_FETCH_TAKEN);
	assert_int_equal(fetch.image.slot, 20);
	assert_int_equal(fetch.received, PIECE);
}

static void half_a_snapshot_is_dropped_when_the_slots_were_learned_otherwise(void **state)
{
	struct synod_fetch_question question;

	(void)state;
	begin_with_half(1);
	assert_int_equal(synod_fetch_poll(&fetch, 9, 2 * MS, &question), 0);
	assert_false(synod_fetch_is_receiving(&fetch));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_snapshot_arrives_whole_through_loss_copies_and_disorder),
		cmocka_unit_test(nothing_is_taken_by_who_is_not_behind_or_has_no_room),
		cmocka_unit_test(what_was_learned_meanwhile_is_given_up),
		cmocka_unit_test(another_snapshot_is_taken_only_if_the_first_is_gone),
		cmocka_unit_test(a_wrong_checksum_begins_anew),
		cmocka_unit_test(questions_keep_a_pace_and_are_repeated_after_a_silence),
		cmocka_unit_test(who_serves_insists_on_half_the_pace_for_all_together),
		cmocka_unit_test(a_peer_is_offered_a_snapshot_once_for_all_slots_it_asks_for),
		cmocka_unit_test(half_a_snapshot_goes_on_where_it_was_once_it_is_offered_again),
		cmocka_unit_test(half_a_snapshot_gives_way_to_another_after_some_patience),
		cmocka_unit_test(half_a_snapshot_is_dropped_when_the_slots_were_learned_otherwise),
	};

	return cmocka_run_group_tests_name("journal_fetch", tests, NULL, NULL);
}

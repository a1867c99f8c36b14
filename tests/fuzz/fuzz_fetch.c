/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A snapshot on its way, between peers that say anything: whoever receives never takes a byte
 * beyond its buffer, and what it takes for whole has the checksum that was promised; whoever serves
 * never sends a piece that is not within the snapshot, nor more than a burst for a question.
 *
 * The input is a script of steps, STEP bytes each: what, and its operands (see run_step).
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/journal/fetch.h"

#include <string.h>

enum {
	STEP = 8,
	SIZE_MAX_WANTED = 64 * 1024,
	RETRANSMIT_NS = 20000000,
	STEPS_MAX = 4096,
};

struct step {
	uint8_t what;
	uint8_t replica; /* modulo: 1..7 */
	uint8_t slot;
	uint8_t image; /* which total and checksum */
	uint16_t offset;
	uint16_t size;
};

_Static_assert(sizeof(struct step) == STEP, "no padding");

static struct {
	struct synod_fetch fetch;
	struct synod_fetch_server server;
	uint64_t now_ns;
	uint64_t chosen;
	uint8_t buffer[SIZE_MAX_WANTED];
} world;

/* A quarter is the snapshot of an honest peer: zeros, of the length that its number says. */
static struct synod_fetch_image image_of(const struct step *step)
{
	static const uint8_t zeros[SIZE_MAX_WANTED];
	struct synod_fetch_image image = { .slot = 1 + step->slot % 16ull,
					   .total = 8 + 8192ull * (step->image % 16u),
					   .checksum = step->image };

	if (step->image < 64 && image.total <= sizeof(zeros))
		image.checksum = synod_crc32c(zeros, image.total);
	return image;
}

static void take_piece(const struct step *step)
{
	static const uint8_t bytes[2][SYNOD_PIECE_SIZE_MAX] = { { 0 }, { 1 } };
	struct synod_fetch_piece piece = { .of = image_of(step),
					   .from = 1 + step->replica % SYNOD_REPLICAS_MAX,
					   .bytes = bytes[step->image >> 7] };
	const struct synod_fetch before = world.fetch;
	enum synod_fetch_verdict verdict;

	/* Half of them are the next that is waited for. */
	piece.offset = step->what & 0x80 ? before.received : step->offset * 8ull;
	piece.size = 1 + step->size % SYNOD_PIECE_SIZE_MAX;
	if (piece.offset >= piece.of.total)
		return; /* synod_wire_piece_read */
	if (piece.size > piece.of.total - piece.offset)
		piece.size = (uint32_t)(piece.of.total - piece.offset);
	verdict = synod_fetch_take(&world.fetch, &piece, world.chosen, world.now_ns);
	if (verdict == SYNOD_FETCH_TAKEN || verdict == SYNOD_FETCH_WHOLE) {
		synod_assert_cmp(piece.offset + piece.size, <=, sizeof(world.buffer));
		synod_assert_cmp(world.fetch.received, ==, piece.offset + piece.size);
		memcpy(world.buffer + piece.offset, piece.bytes, piece.size);
	}
	if (verdict != SYNOD_FETCH_WHOLE)
		return;
	synod_assert_cmp(synod_crc32c(world.buffer, piece.of.total), ==, piece.of.checksum);
	if (step->what & 0x40) {
		/* It may have been learned since the last question, slot by slot. */
		if (piece.of.slot > world.chosen)
			world.chosen = piece.of.slot;
		synod_fetch_end(&world.fetch);
	}
}

/* Zeros of an earlier life: of an honest peer's snapshot, or of none. */
static void begin_with_half(const struct step *step)
{
	const struct synod_fetch_image image = image_of(step);
	const uint64_t received = 8 + step->offset * 8ull;

	if (received >= image.total || image.total > SIZE_MAX_WANTED)
		return;
	synod_fetch_init(&world.fetch, RETRANSMIT_NS, SIZE_MAX_WANTED);
	memset(world.buffer, 0, sizeof(world.buffer));
	synod_fetch_resume(&world.fetch, &image, received, synod_crc32c(world.buffer, received));
}

static void ask(void)
{
	struct synod_fetch_question question;

	if (!synod_fetch_poll(&world.fetch, world.chosen, world.now_ns, &question))
		return;
	synod_assert(question.to >= 1 && question.to <= SYNOD_REPLICAS_MAX);
	synod_assert_cmp(question.slot, >, world.chosen);
	synod_assert_cmp(question.offset, >=, world.fetch.received);
	synod_assert_cmp(question.offset, <=,
			 world.fetch.received + SYNOD_PIECE_WINDOW * SYNOD_PIECE_SIZE_MAX);
	/* Once is enough. */
	synod_assert(!synod_fetch_poll(&world.fetch, world.chosen, world.now_ns, &question));
}

static void serve(const struct step *step)
{
	const struct synod_fetch_image image = image_of(step);
	const struct synod_fetch_source source = {
		.slot = step->slot & 0x80 ? 0 : image.slot,
		.total = image.total,
	};
	struct synod_fetch_piece piece;
	uint32_t pieces = 0;

	while (synod_fetch_server_next(&world.server, &source, world.now_ns, &piece)) {
		synod_assert(source.slot != 0 && piece.of.slot == source.slot);
		synod_assert_cmp(piece.of.total, ==, source.total);
		synod_assert(piece.size > 0 && piece.offset + piece.size <= source.total);
		synod_assert(piece.from >= 1 && piece.from <= SYNOD_REPLICAS_MAX);
		/* One burst that was under way, and one more: the next is not due yet. */
		synod_assert_cmp(++pieces, <=, 2u * SYNOD_PIECE_BURST);
	}
}

static void run_step(const struct step *step)
{
	const uint32_t to = 1 + step->replica % SYNOD_REPLICAS_MAX;
	const struct synod_fetch_question question = { .to = to,
						       .slot = step->slot % 17u,
						       .offset = step->offset * 8ull };

	switch (step->what & 7) {
	case 0:
	case 1:
		take_piece(step);
		break;
	case 2:
		ask();
		break;
	case 3: /* up to a few dozen retransmission times */
		world.now_ns += step->offset * (RETRANSMIT_NS / 1000ull);
		break;
	case 4:
		synod_fetch_server_ask(&world.server, &question, world.now_ns);
		break;
	case 5:
		synod_fetch_server_offer(&world.server, to, world.now_ns);
		break;
	case 6:
		serve(step);
		break;
	default: /* learned slot by slot; or a restart */
		if (step->what & 0x80)
			begin_with_half(step);
		else
			world.chosen += step->slot % 2;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;

	memset(&world, 0, sizeof(world));
	world.now_ns = RETRANSMIT_NS;
	synod_fetch_init(&world.fetch, RETRANSMIT_NS, SIZE_MAX_WANTED);
	/* Pieces of any size that a datagram may have. */
	synod_fetch_server_init(&world.server, RETRANSMIT_NS,
				size ? SYNOD_PIECE_SIZE_MAX - data[0] * 32u : 1);
	for (size_t at = 0; at + STEP <= size && at < (size_t)STEPS_MAX * STEP; at += STEP) {
		memcpy(&step, data + at, sizeof(step));
		run_step(&step);
	}
	return 0;
}

void fuzz_seeds(fuzz_write write)
{
	/* An image of 2 * 8192 + 8 bytes in three pieces, each asked for after a while. */
	static const struct step receive[] = {
		{ 0x80, 0, 4, 2, 0, 8191 },    { 2, 0, 0, 0, 0, 0 },
		{ 0x81, 0, 4, 2, 0, 8191 },    { 3, 0, 0, 0, 20, 0 },
		{ 2, 0, 0, 0, 0, 0 },	       { 0, 3, 9, 2, 0, 100 },
		{ 3, 0, 0, 0, 9000, 0 },       { 0xc0, 0, 4, 2, 0, 8191 },
		{ 2, 0, 0, 0, 0, 0 },	       { 7, 0, 1, 0, 0, 0 },
		{ 0x80, 0, 15, 0x80, 0, 100 }, { 3, 0, 0, 0, 60000, 0 },
		{ 2, 0, 0, 0, 0, 0 },
	};
	static const struct step answer[] = {
		{ 5, 1, 0, 0, 0, 0 },	  { 6, 0, 4, 15, 0, 8191 }, { 4, 1, 5, 0, 1024, 0 },
		{ 4, 2, 3, 0, 2048, 0 },  { 6, 0, 4, 15, 0, 8191 }, { 3, 0, 0, 0, 100, 0 },
		{ 6, 0, 4, 15, 0, 8191 }, { 6, 0, 5, 15, 0, 8191 }, { 6, 0, 0x80, 0, 0, 0 },
	};

	/* Half of it is there, is offered again, and goes on. */
	static const struct step resume[] = {
		{ 0x87, 0, 4, 2, 1024, 0 }, { 2, 0, 0, 0, 0, 0 }, { 0, 0, 5, 2, 0, 8191 },
		{ 0, 0, 4, 2, 0, 8191 },    { 2, 0, 0, 0, 0, 0 }, { 0x81, 0, 4, 2, 0, 8191 },
		{ 0xc0, 0, 4, 2, 0, 8191 },
	};

	write("resume", resume, sizeof(resume));
	write("receive", receive, sizeof(receive));
	write("answer", answer, sizeof(answer));
}

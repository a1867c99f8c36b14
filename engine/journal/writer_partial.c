/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Half a snapshot, put away while it is received: see writer.h. It has the area that the next
 * snapshot goes to, the one piece that may be under way, and no claim to either. What it writes is
 * believed at a start only if the bytes have the checksum that the superblock says, so nothing here
 * waits for anything: not a superblock for its bytes to be durable, nor who overwrites them for a
 * superblock that says so.
 */
#include "engine/base/assert.h"
#include "engine/journal/writer.h"

void synod_writer_partial_forget(struct synod_writer *writer)
{
	struct synod_writer_partial *partial = &writer->partial;

	synod_assert_cmp(partial->written, <=, partial->received);
	synod_assert_implies(partial->inflight, writer->snapshot.pending > 0);
	/* A piece under way is nobody's. */
	*partial = (struct synod_writer_partial){ .inflight = partial->inflight };
}

void synod_writer_partial(struct synod_writer *writer, const struct synod_fetch_image *of,
			  const void *image, uint64_t received)
{
	struct synod_writer_partial *partial = &writer->partial;

	synod_assert(of->slot != 0 && image != NULL);
	synod_assert_cmp(received, <, of->total);
	if (writer->snapshot.phase != SYNOD_WRITER_SNAPSHOT_IDLE)
		return; /* it has the area */
	if (of->total > synod_format_area_size(&writer->superblock.want))
		return;
	if (!synod_fetch_image_same(of, &partial->of) || image != partial->image ||
	    received < partial->received)
		synod_writer_partial_forget(writer);
	partial->of = *of;
	partial->image = image;
	partial->received = received;
}

void synod_writer_partial_found(struct synod_writer *writer, const void *image)
{
	struct synod_writer_partial *partial = &writer->partial;
	const struct synod_format_superblock *want = &writer->superblock.want;

	synod_assert(want->partial_slot != 0 && image != NULL);
	synod_assert(partial->of.slot == 0 && !partial->inflight);
	*partial = (struct synod_writer_partial){ .of = { .slot = want->partial_slot,
							  .total = want->partial_total,
							  .checksum = want->partial_checksum },
						  .image = image,
						  .received = want->partial_received,
						  .written = want->partial_received,
						  .noted = want->partial_received,
						  .crc = want->partial_crc };
}

uint64_t synod_writer_partial_take(struct synod_writer *writer, uint64_t slot, const void *image,
				   uint64_t size, uint32_t *crc)
{
	const struct synod_writer_partial *partial = &writer->partial;
	uint64_t written = 0;

	synod_assert(slot != 0 && image != NULL);
	synod_assert_cmp(partial->written, <=, partial->received);
	*crc = 0;
	if (partial->of.slot == slot && partial->of.total == size && partial->image == image) {
		written = partial->written;
		*crc = partial->crc;
	}
	synod_writer_partial_forget(writer);
	return written;
}

/* What is on stable media, in the next superblock. */
static void note(struct synod_writer *writer)
{
	struct synod_writer_partial *partial = &writer->partial;
	struct synod_format_superblock *want = &writer->superblock.want;

	synod_assert(partial->of.slot != 0);
	synod_assert_cmp(partial->written, <, partial->of.total);
	want->partial_slot = partial->of.slot;
	want->partial_total = partial->of.total;
	want->partial_checksum = partial->of.checksum;
	want->partial_received = partial->written;
	want->partial_crc = partial->crc;
	partial->noted = partial->written;
	writer->superblock.dirty = 1;
}

void synod_writer_partial_progress(struct synod_writer *writer)
{
	struct synod_writer_partial *partial = &writer->partial;
	const uint32_t size = writer->steps.piece;

	synod_assert_cmp(partial->written, <=, partial->received);
	synod_assert_implies(partial->pending, writer->snapshot.pending);
	/* Whole pieces only: what is left of the last one is written when all of it is there. */
	if (writer->snapshot.phase != SYNOD_WRITER_SNAPSHOT_IDLE || writer->snapshot.pending ||
	    partial->received - partial->written < size)
		return;
	partial->crc_pending = synod_writer_snapshot_piece(
		writer, partial->image + partial->written, size,
		synod_format_area_free(&writer->superblock.want) + partial->written, partial->crc);
	partial->pending = size;
	partial->inflight = 1;
}

void synod_writer_partial_done(struct synod_writer *writer)
{
	struct synod_writer_partial *partial = &writer->partial;

	synod_assert(partial->inflight);
	synod_assert_cmp(partial->pending, <=, writer->snapshot.pending);
	partial->inflight = 0;
	if (!partial->pending)
		return; /* of one that was forgotten */
	partial->written += partial->pending;
	partial->crc = partial->crc_pending;
	partial->pending = 0;
	if (partial->written - partial->noted >= writer->steps.note)
		note(writer);
}

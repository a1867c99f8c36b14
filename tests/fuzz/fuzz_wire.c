/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A datagram, as it comes from anybody: dropped for a reason that has a counter, or what it says it
 * is. One that is taken and sealed again is the same, byte for byte.
 *
 *     byte 0   bits 0..2: who receives it (0: a client); bit 3: put envelope, sizes and checksums
 *              in order first
 *     then     the datagram
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/wire/wire.h"
#include "tests/unit/apply_batch.h"

#include <stdlib.h>
#include <string.h>

enum {
	CLUSTER = 7,
	RECEIVER = 7,
	FLAG_MEND = 8,
};

static void mend(uint8_t *datagram, size_t size, uint32_t self)
{
	struct synod_wire_header header;
	struct synod_wire_entry entry;
	const uint8_t *body = datagram + sizeof(header);
	uint32_t body_size = (uint32_t)(size - sizeof(header));
	int has_entry;

	memcpy(&header, datagram, sizeof(header));
	has_entry = (header.flags & SYNOD_FLAG_ENTRY) && body_size >= sizeof(entry);
	header.cluster = CLUSTER;
	header.receiver = (uint16_t)self;
	if (header.sender > SYNOD_REPLICAS_MAX || header.type < SYNOD_CANVASS ||
	    header.type >= SYNOD_TYPES_END || body_size > SYNOD_FRAME_SIZE_MAX)
		return; /* nobody seals such a thing */
	if (has_entry) {
		memcpy(&entry, body, sizeof(entry));
		body += sizeof(entry);
		body_size -= (uint32_t)sizeof(entry);
		entry.size = body_size;
		entry.crc = body_size ? synod_crc32c(body, body_size) : 0;
		memcpy(datagram + sizeof(header), &entry, sizeof(entry));
	}
	synod_wire_seal(&header, has_entry ? &entry : NULL, body, body_size);
	memcpy(datagram, &header, sizeof(header));
}

/* Each command lies where the check said that it does. */
static void walk_commands(const uint8_t *body, uint32_t size, int count)
{
	struct synod_wire_command command;
	uint32_t at = 0;

	for (int index = 0; index < count; index++) {
		synod_assert_cmp(size - at, >=, sizeof(command));
		memcpy(&command, body + at, sizeof(command));
		at += synod_wire_command_size(&command);
		synod_assert_cmp(at, <=, size);
	}
	synod_assert_implies(count >= 0, at == size);
	if (count > 0)
		(void)synod_wire_request_sort(body);
}

static void read_piece(const struct synod_wire_view *view, const uint8_t *end)
{
	struct synod_wire_piece piece;
	const uint8_t *bytes;

	if (synod_wire_piece_read(view, &piece, &bytes) == 0) {
		synod_assert(piece.size > 0 && bytes + piece.size <= end);
		synod_assert_cmp(view->header->argument + piece.size, <=, piece.total);
	}
}

static void judge(const uint8_t *datagram, size_t size, uint32_t self)
{
	struct synod_wire_header again;
	struct synod_wire_entry entry;
	struct synod_wire_view view;
	int verdict = synod_wire_decode(datagram, size, CLUSTER, self, &view);

	synod_assert(verdict >= 0 && verdict < SYNOD_COUNTERS_COUNT);
	if (verdict)
		return;
	synod_assert(view.body + view.body_size == datagram + size);
	synod_assert(synod_wire_type_name(view.header->type)[0] != '\0');
	again = *view.header;
	if (view.entry)
		entry = *view.entry;
	synod_wire_seal(&again, view.entry ? &entry : NULL, view.body, view.body_size);
	synod_assert(memcmp(&again, datagram, sizeof(again)) == 0);
	if (view.header->type == SYNOD_SNAPSHOT)
		read_piece(&view, datagram + size);
	if (view.entry || view.header->type == SYNOD_REQUEST)
		walk_commands(view.body, view.body_size,
			      synod_wire_commands_check(view.body, view.body_size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t self;
	uint8_t *block;

	if (size < 1)
		return 0;
	self = data[0] & RECEIVER;
	/* Behind the headers of a frame: aligned to 2 and no more. */
	block = malloc(size + 1);
	synod_assert(block != NULL);
	memcpy(block + 2, data + 1, size - 1);
	if ((data[0] & FLAG_MEND) && size - 1 >= sizeof(struct synod_wire_header))
		mend(block + 2, size - 1, self);
	judge(block + 2, size - 1, self);
	free(block);
	return 0;
}

static void give(fuzz_write write, const char *name, struct synod_wire_header header,
		 const struct apply_batch *batch, int has_entry)
{
	uint8_t seed[1 + SYNOD_FRAME_SIZE_MAX];
	struct synod_wire_entry entry = {
		.slot = 3,
		.ballot = 257,
		.size = batch->size,
		.count = (uint32_t)synod_wire_commands_check(batch->bytes, batch->size),
		.crc = batch->size ? synod_crc32c(batch->bytes, batch->size) : 0,
		.flags = SYNOD_ENTRY_CHOSEN
	};
	uint8_t *at = seed + 1 + sizeof(header);

	header.cluster = CLUSTER;
	seed[0] = (uint8_t)(FLAG_MEND | header.receiver);
	synod_wire_seal(&header, has_entry ? &entry : NULL, batch->bytes, batch->size);
	memcpy(seed + 1, &header, sizeof(header));
	if (has_entry) {
		memcpy(at, &entry, sizeof(entry));
		at += sizeof(entry);
	}
	memcpy(at, batch->bytes, batch->size);
	write(name, seed, (size_t)(at + batch->size - seed));
}

void fuzz_seeds(fuzz_write write)
{
	const struct synod_wire_part part = { .offset = 64, .total = 200 };
	const struct synod_wire_piece piece = { .total = 4096, .size = 64 };
	struct apply_batch batch = { 0 };

	for (uint8_t type = SYNOD_CANVASS; type < SYNOD_REPLICA_TYPES_END; type++) {
		const int has_entry = type == SYNOD_ACCEPT || type == SYNOD_LEARN;

		batch.size = 0;
		if (type == SYNOD_ACCEPT)
			apply_batch_add_command(&batch, 65537, 1, "abc", 3);
		give(write, synod_wire_type_name(type),
		     (struct synod_wire_header){ .type = type, .sender = 1, .receiver = 2 }, &batch,
		     has_entry);
	}
	give(write, "REQUEST_empty",
	     (struct synod_wire_header){ .type = SYNOD_REQUEST, .receiver = 1 }, &batch, 0);
	apply_batch_add_life(&batch, 5, 1, 9);
	apply_batch_add_life(&batch, 0, 0, 9);
	apply_batch_add_command(&batch, 65537, 1, "abc", 3);
	apply_batch_add_part(&batch, 65537, 2, 'x', &part, 64);
	give(write, "REQUEST", (struct synod_wire_header){ .type = SYNOD_REQUEST, .receiver = 1 },
	     &batch, 0);
	batch.size = SYNOD_PIECE_HEADER_SIZE + 64;
	memcpy(batch.bytes, &piece, sizeof(piece));
	give(write, "SNAPSHOT",
	     (struct synod_wire_header){ .type = SYNOD_SNAPSHOT,
					 .sender = 1,
					 .receiver = 2,
					 .slot = 9,
					 .argument = 1024 },
	     &batch, 0);
	batch.size = 0;
	apply_batch_add(
		&batch,
		(struct synod_wire_command){
			.session = 65537, .number = 1, .size = 1, .kind = SYNOD_COMMAND_READ },
		"k");
	give(write, "REQUEST_read",
	     (struct synod_wire_header){ .type = SYNOD_REQUEST, .receiver = 1 }, &batch, 0);
	give(write, "REPLY", (struct synod_wire_header){ .type = SYNOD_REPLY, .sender = 1 }, &batch,
	     0);
}

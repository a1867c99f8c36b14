/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Datagrams. Whatever is decoded here lies in a block of exactly its size, two bytes off alignment
 * as behind a frame's headers, so that a sanitizer sees every read beyond it.
 */
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/wire/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	CLUSTER = 0x5eed,
	SELF = 2
};

struct datagram {
	uint32_t size;
	_Alignas(8) uint8_t bytes[SYNOD_FRAME_SIZE_MAX];
};

static int decode_copy(const uint8_t *bytes, uint32_t size, uint32_t self)
{
	uint8_t *block = malloc(size + 2);
	struct synod_wire_view view;
	int wrong;

	assert_non_null(block);
	memcpy(block + 2, bytes, size);
	wrong = synod_wire_decode(block + 2, size, CLUSTER, self, &view);
	if (!wrong) {
		assert_ptr_equal(view.body + view.body_size, block + 2 + size);
		assert_ptr_equal(view.header, block + 2);
	}
	free(block);
	return wrong;
}

static uint32_t put_command(uint8_t *to, uint64_t session, uint64_t number, uint32_t size,
			    uint8_t kind)
{
	struct synod_wire_command command = {
		.session = session, .number = number, .size = size, .kind = kind
	};

	memcpy(to, &command, sizeof(command));
	memset(to + sizeof(command), 0, SYNOD_WIRE_ALIGN(size));
	memset(to + sizeof(command), 'x', size);
	return synod_wire_command_size(&command);
}

static uint32_t put_commands(uint8_t *to)
{
	uint32_t size = put_command(to, 0, 77, 0, SYNOD_COMMAND_REGISTER);

	size += put_command(to + size, 9, 1, 13, SYNOD_COMMAND_APPLY);
	return size + put_command(to + size, 9, 2, 0, SYNOD_COMMAND_APPLY);
}

/* A datagram of the type as it should be: what must have an entry has one. */
static void make(struct datagram *datagram, unsigned int type)
{
	struct synod_wire_header *header = (struct synod_wire_header *)datagram->bytes;
	uint8_t *at = datagram->bytes + sizeof(*header);
	int from_client = type == SYNOD_REQUEST || type == SYNOD_STATUS_QUERY ||
			  type == SYNOD_TAIL_QUERY || type == SYNOD_HANDOVER_ASK;

	memset(header, 0, sizeof(*header));
	header->type = (uint8_t)type;
	header->cluster = CLUSTER;
	header->sender = from_client ? 0 : 1;
	header->receiver = SELF;
	header->ballot = 0x0102030405060708;
	header->slot = 42;
	header->chosen_through = 41;
	header->argument = 7;
	if (type == SYNOD_ACCEPT || type == SYNOD_LEARN || type == SYNOD_PROMISE) {
		struct synod_wire_entry entry = { .slot = 42, .ballot = 5, .count = 3 };

		entry.size = put_commands(at + sizeof(entry));
		entry.crc = synod_crc32c(at + sizeof(entry), entry.size);
		memcpy(at, &entry, sizeof(entry));
		synod_wire_seal(header, (struct synod_wire_entry *)at, at + sizeof(entry),
				entry.size);
	} else {
		synod_wire_seal(header, NULL, at, put_commands(at));
	}
	datagram->size = (uint32_t)sizeof(*header) + header->size;
}

static const uint8_t types[] = {
	SYNOD_CANVASS,	SYNOD_CANVASS_GRANTED, SYNOD_PREPARE,	   SYNOD_PROMISE, SYNOD_ACCEPT,
	SYNOD_ACCEPTED, SYNOD_REJECT,	       SYNOD_HEARTBEAT,	   SYNOD_NEED,	  SYNOD_LEARN,
	SYNOD_REQUEST,	SYNOD_REPLY,	       SYNOD_STATUS_QUERY, SYNOD_STATUS,  SYNOD_TAIL_QUERY,
	SYNOD_TAIL,	SYNOD_SNAPSHOT,	       SYNOD_FETCH,	   SYNOD_HELLO,
};

static void every_type_comes_back_as_it_was_sealed(void **state)
{
	static struct datagram datagram;
	struct synod_wire_view view;
	size_t index;

	(void)state;
	for (index = 0; index < sizeof(types); index++) {
		make(&datagram, types[index]);
		assert_int_equal(
			synod_wire_decode(datagram.bytes, datagram.size, CLUSTER, SELF, &view), 0);
		assert_int_equal(view.header->type, types[index]);
		assert_int_equal(view.header->ballot, 0x0102030405060708);
		assert_int_equal(view.header->argument, 7);
		assert_int_equal(view.entry != NULL, types[index] == SYNOD_ACCEPT ||
							     types[index] == SYNOD_LEARN ||
							     types[index] == SYNOD_PROMISE);
		assert_int_equal(synod_wire_commands_check(view.body, view.body_size), 3);
	}
}

static void every_truncation_is_refused(void **state)
{
	static struct datagram datagram;
	size_t index;
	uint32_t size;

	(void)state;
	for (index = 0; index < sizeof(types); index++) {
		make(&datagram, types[index]);
		for (size = 0; size < datagram.size; size++)
			assert_true(decode_copy(datagram.bytes, size, SELF) > 0);
		assert_true(decode_copy(datagram.bytes, datagram.size + 1, SELF) > 0);
		assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF), 0);
	}
}

static void every_flipped_bit_is_refused(void **state)
{
	static struct datagram datagram;
	size_t index;
	uint32_t bit;

	(void)state;
	for (index = 0; index < sizeof(types); index++) {
		make(&datagram, types[index]);
		for (bit = 0; bit < datagram.size * 8; bit++) {
			datagram.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_true(decode_copy(datagram.bytes, datagram.size, SELF) > 0);
			datagram.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

/* Writes the datagram's checksum anew after a field was changed: an honest liar. */
static void reseal(struct datagram *datagram)
{
	struct synod_wire_header *header = (struct synod_wire_header *)datagram->bytes;
	uint32_t crc = synod_crc32c(header, offsetof(struct synod_wire_header, tag));
	uint32_t size = datagram->size - (uint32_t)sizeof(*header);

	if (header->flags & SYNOD_FLAG_ENTRY)
		size = SYNOD_ENTRY_SIZE;
	crc = synod_crc32c_more(crc, datagram->bytes + sizeof(*header), size);
	memset(header->tag, 0, sizeof(header->tag));
	memcpy(header->tag, &crc, sizeof(crc));
}

/* Random bytes over random places, with a right checksum: never a read beyond, never a crash. */
static void sealed_nonsense_never_reads_beyond(void **state)
{
	static struct datagram datagram;
	uint64_t random = 11;
	uint32_t turn;
	uint32_t refused = 0;

	(void)state;
	for (turn = 0; turn < 200000; turn++) {
		uint32_t places = 1 + (uint32_t)synod_random_below(&random, 3);

		make(&datagram, types[synod_random_below(&random, sizeof(types))]);
		while (places--) {
			uint32_t at = (uint32_t)synod_random_below(&random, datagram.size);

			datagram.bytes[at] = (uint8_t)synod_random_next(&random);
		}
		reseal(&datagram);
		refused += decode_copy(datagram.bytes, datagram.size, SELF) > 0;
	}
	assert_true(refused > 20000); /* the others hit fields that may be anything */
}

static void each_wrong_field_has_its_counter(void **state)
{
	static struct datagram datagram;
	struct synod_wire_header *header = (struct synod_wire_header *)datagram.bytes;

	(void)state;
#define REFUSED(change, counter)                                                             \
	do {                                                                                 \
		make(&datagram, SYNOD_ACCEPTED);                                             \
		change;                                                                      \
		reseal(&datagram);                                                           \
		assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF), counter); \
	} while (0)
	REFUSED(header->magic++, SYNOD_DROP_MAGIC);
	REFUSED(header->version++, SYNOD_DROP_VERSION);
	REFUSED(header->cluster++, SYNOD_DROP_CLUSTER);
	REFUSED(header->size--, SYNOD_DROP_SHORT);
	REFUSED(header->type = 0, SYNOD_DROP_TYPE);
	REFUSED(header->type = SYNOD_REPLICA_TYPES_END, SYNOD_DROP_TYPE);
	REFUSED(header->type = SYNOD_SNAPSHOT - 1, SYNOD_DROP_TYPE);
	REFUSED(header->type = SYNOD_TYPES_END, SYNOD_DROP_TYPE);
	REFUSED(header->type = SYNOD_ACCEPT, SYNOD_DROP_FIELD);
	REFUSED(header->flags = 16, SYNOD_DROP_FIELD);
	REFUSED(header->group = 1, SYNOD_DROP_FIELD);
	REFUSED(header->sender = 0, SYNOD_DROP_SENDER);
	REFUSED(header->sender = SELF, SYNOD_DROP_SENDER);
	REFUSED(header->sender = SYNOD_REPLICAS_MAX + 1, SYNOD_DROP_SENDER);
	REFUSED(header->receiver = 1, SYNOD_DROP_SENDER);
	REFUSED(header->type = SYNOD_REQUEST, SYNOD_DROP_SENDER);
#undef REFUSED
	make(&datagram, SYNOD_ACCEPTED);
	header->tag[0] ^= 1;
	assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF), SYNOD_DROP_CHECKSUM);
	make(&datagram, SYNOD_ACCEPTED);
	header->tag[15] ^= 1;
	assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF), SYNOD_DROP_CHECKSUM);
}

static void an_entry_that_does_not_add_up_is_refused(void **state)
{
	static struct datagram datagram;
	struct synod_wire_entry *entry =
		(struct synod_wire_entry *)(datagram.bytes + SYNOD_HEADER_SIZE);

	(void)state;
#define REFUSED(change, counter)                                                             \
	do {                                                                                 \
		make(&datagram, SYNOD_ACCEPT);                                               \
		change;                                                                      \
		reseal(&datagram);                                                           \
		assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF), counter); \
	} while (0)
	REFUSED(entry->slot = 0, SYNOD_DROP_FIELD);
	REFUSED(entry->size += 8, SYNOD_DROP_FIELD);
	REFUSED(entry->size = 0, SYNOD_DROP_FIELD);
	REFUSED(entry->flags = 2, SYNOD_DROP_FIELD);
	REFUSED(entry->count++, SYNOD_DROP_BATCH);
	REFUSED(entry->crc++, SYNOD_DROP_BATCH);
#undef REFUSED
}

static void commands_that_do_not_fill_their_bytes_are_refused(void **state)
{
	uint8_t body[256];
	uint32_t size = put_commands(body);
	uint32_t whole;

	(void)state;
	assert_int_equal(synod_wire_commands_check(body, 0), 0);
	assert_int_equal(synod_wire_commands_check(body, size), 3);
	for (whole = 1; whole < size; whole++) {
		uint8_t *block = malloc(whole);
		int count;

		assert_non_null(block);
		memcpy(block, body, whole);
		count = synod_wire_commands_check(block, whole);
		assert_true(count == -1 || whole == 24 || whole == 24 + 40);
		free(block);
	}
	put_command(body, 0, 1, 0, 200);
	assert_int_equal(synod_wire_commands_check(body, 24), -1);
	put_command(body, 3, 1, 0, SYNOD_COMMAND_REGISTER);
	assert_int_equal(synod_wire_commands_check(body, 24), -1);
	put_command(body, 0, 1, 8, SYNOD_COMMAND_REGISTER);
	assert_int_equal(synod_wire_commands_check(body, 32), -1);
}

static void a_register_carries_nothing_or_an_identity_that_is_one(void **state)
{
	struct synod_wire_identity identity = { .identity = 7, .incarnation = 0 };
	uint8_t body[64];

	(void)state;
	put_command(body, 0, 1, sizeof(identity), SYNOD_COMMAND_REGISTER);
	memcpy(body + SYNOD_COMMAND_HEADER_SIZE, &identity, sizeof(identity));
	assert_int_equal(synod_wire_commands_check(body, 40), 1);
	assert_int_equal(synod_wire_commands_check(body, 32), -1);
	identity.identity = 0;
	memcpy(body + SYNOD_COMMAND_HEADER_SIZE, &identity, sizeof(identity));
	assert_int_equal(synod_wire_commands_check(body, 40), -1);
}

/* Reads do not enter the log, so they do not travel with what does. */
static void a_request_is_all_reads_of_one_kind_or_none(void **state)
{
	static const uint8_t kinds[] = { SYNOD_COMMAND_APPLY, SYNOD_COMMAND_READ,
					 SYNOD_COMMAND_READ_STALE };
	uint8_t body[48];

	(void)state;
	for (size_t i = 0; i < sizeof(kinds); i++)
		for (size_t j = 0; j < sizeof(kinds); j++) {
			put_command(body, 9, 1, 0, kinds[i]);
			put_command(body + 24, 9, 2, 0, kinds[j]);
			assert_int_equal(synod_wire_commands_check(body, 48), i == j ? 2 : -1);
			assert_int_equal(synod_wire_request_sort(body), kinds[i]);
		}
	put_command(body, 0, 1, 0, SYNOD_COMMAND_REGISTER);
	assert_int_equal(synod_wire_request_sort(body), SYNOD_COMMAND_APPLY);
}

static void a_batch_for_the_log_has_no_reads(void **state)
{
	static struct datagram datagram;
	uint8_t *batch = datagram.bytes + SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE;
	struct synod_wire_entry *entry =
		(struct synod_wire_entry *)(datagram.bytes + SYNOD_HEADER_SIZE);

	(void)state;
	make(&datagram, SYNOD_ACCEPT);
	for (uint32_t at = 0; at < entry->size;) {
		struct synod_wire_command command;

		memcpy(&command, batch + at, sizeof(command));
		command.kind = SYNOD_COMMAND_READ;
		memcpy(batch + at, &command, sizeof(command));
		at += synod_wire_command_size(&command);
	}
	entry->crc = synod_crc32c(batch, entry->size);
	reseal(&datagram);
	assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF), SYNOD_DROP_BATCH);
}

/* The check says -1 of such bytes, and as an unsigned number that is a count too. */
static void a_batch_of_garbage_is_refused_whatever_its_entry_counts(void **state)
{
	struct datagram datagram;
	uint8_t *bytes = datagram.bytes;
	struct synod_wire_entry *entry = (struct synod_wire_entry *)(bytes + SYNOD_HEADER_SIZE);
	uint8_t *batch = (uint8_t *)(entry + 1);

	(void)state;
	make(&datagram, SYNOD_ACCEPT);
	memset(batch, 0xff, entry->size);
	entry->crc = synod_crc32c(batch, entry->size);
	for (uint32_t count = UINT32_MAX - 1; count != 2; count++) {
		entry->count = count;
		reseal(&datagram);
		assert_int_equal(decode_copy(datagram.bytes, datagram.size, SELF),
				 SYNOD_DROP_BATCH);
	}
}

/* What the check says of a part of size bytes at that offset. */
static int check_part(uint32_t offset, uint32_t total, uint32_t size)
{
	static uint8_t body[SYNOD_BATCH_SIZE_MAX];
	const struct synod_wire_part part = { .offset = offset, .total = total };
	uint32_t whole = put_command(body, 5, 1, (uint32_t)sizeof(part) + size, SYNOD_COMMAND_PART);

	memcpy(body + SYNOD_COMMAND_HEADER_SIZE, &part, sizeof(part));
	return synod_wire_commands_check(body, whole);
}

static void a_part_lies_within_its_command_and_is_not_too_small(void **state)
{
	const uint32_t most = SYNOD_COMMAND_SIZE_MAX - SYNOD_PART_HEADER_SIZE;
	uint8_t body[64];

	(void)state;
	assert_int_equal(check_part(0, SYNOD_COMMAND_LARGE_MAX, most), 1);
	assert_int_equal(check_part(SYNOD_COMMAND_LARGE_MAX - 64, SYNOD_COMMAND_LARGE_MAX, 64), 1);
	assert_int_equal(check_part(SYNOD_COMMAND_LARGE_MAX - 1, SYNOD_COMMAND_LARGE_MAX, 1), 1);
	assert_int_equal(check_part(SYNOD_COMMAND_LARGE_MAX - 1, SYNOD_COMMAND_LARGE_MAX, 2), -1);
	assert_int_equal(check_part(0, SYNOD_COMMAND_LARGE_MAX + 1, 64), -1);
	assert_int_equal(check_part(0, 1000, 63), -1);
	assert_int_equal(check_part(937, 1000, 63), 1);
	assert_int_equal(check_part(1001, 1000, 64), -1);
	assert_int_equal(check_part(UINT32_MAX - 32, 1000, 64), -1);
	assert_int_equal(check_part(1000, 1000, 0), -1);
	put_command(body, 5, 1, 8, SYNOD_COMMAND_PART); /* no bytes */
	assert_int_equal(synod_wire_commands_check(body, 32), -1);
	put_command(body, 5, 1, 0, SYNOD_COMMAND_PART);
	assert_int_equal(synod_wire_commands_check(body, 24), -1);
}

/* A SNAPSHOT with a piece as it says, and size bytes behind it. */
static int read_piece(uint64_t slot, uint64_t offset, const struct synod_wire_piece *said,
		      uint32_t size)
{
	static struct datagram datagram;
	struct synod_wire_header *header = (struct synod_wire_header *)datagram.bytes;
	struct synod_wire_piece piece;
	struct synod_wire_view view;
	const uint8_t *bytes = NULL;
	int wrong;

	memset(&datagram, 0, sizeof(datagram));
	header->type = SYNOD_SNAPSHOT;
	header->cluster = CLUSTER;
	header->sender = 1;
	header->receiver = SELF;
	header->slot = slot;
	header->argument = offset;
	memcpy(header + 1, said, sizeof(*said));
	synod_wire_seal(header, NULL, header + 1, size);
	assert_int_equal(
		synod_wire_decode(datagram.bytes, sizeof(*header) + size, CLUSTER, SELF, &view), 0);
	wrong = synod_wire_piece_read(&view, &piece, &bytes);
	if (!wrong) {
		assert_ptr_equal(bytes, datagram.bytes + sizeof(*header) + sizeof(piece));
		assert_memory_equal(&piece, said, sizeof(piece));
	}
	return wrong;
}

static void a_piece_lies_within_its_snapshot_and_fills_its_datagram(void **state)
{
	struct synod_wire_piece piece = { .total = 20000, .checksum = 5, .size = 8192 };

	(void)state;
	assert_int_equal(read_piece(7, 0, &piece, 16 + 8192), 0);
	assert_int_equal(read_piece(7, 20000 - 8192, &piece, 16 + 8192), 0);
	assert_int_equal(read_piece(7, 20001 - 8192, &piece, 16 + 8192), SYNOD_DROP_FIELD);
	assert_int_equal(read_piece(7, 20000, &piece, 16 + 8192), SYNOD_DROP_FIELD);
	assert_int_equal(read_piece(7, UINT64_MAX - 100, &piece, 16 + 8192), SYNOD_DROP_FIELD);
	assert_int_equal(read_piece(0, 0, &piece, 16 + 8192), SYNOD_DROP_FIELD);
	assert_int_equal(read_piece(UINT64_MAX, 0, &piece, 16 + 8192), SYNOD_DROP_FIELD);
	assert_int_equal(read_piece(7, 0, &piece, 16 + 8184), SYNOD_DROP_SHORT);
	assert_int_equal(read_piece(7, 0, &piece, 16), SYNOD_DROP_SHORT);
	assert_int_equal(read_piece(7, 0, &piece, 8), SYNOD_DROP_SHORT);
	piece.size = 8193;
	assert_int_equal(read_piece(7, 0, &piece, 16 + 8200), SYNOD_DROP_SHORT);
	piece.size = 0;
	assert_int_equal(read_piece(7, 0, &piece, 16), SYNOD_DROP_SHORT);
	piece.size = 8192;
	piece.total = 20001;
	assert_int_equal(read_piece(7, 0, &piece, 16 + 8192), SYNOD_DROP_FIELD);
	piece.total = 0;
	assert_int_equal(read_piece(7, 0, &piece, 16 + 8192), SYNOD_DROP_FIELD);
}

static void names_are_there_for_every_number(void **state)
{
	size_t index;
	unsigned int status;

	(void)state;
	for (index = 0; index < sizeof(types); index++)
		assert_string_not_equal(synod_wire_type_name(types[index]), "?");
	for (status = 0; status < SYNOD_STATUSES_COUNT; status++)
		assert_string_not_equal(synod_status_name(status), "?");
	assert_string_equal(synod_wire_type_name(255), "?");
	assert_string_equal(synod_status_name(SYNOD_STATUSES_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_comes_back_as_it_was_sealed),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(sealed_nonsense_never_reads_beyond),
		cmocka_unit_test(each_wrong_field_has_its_counter),
		cmocka_unit_test(an_entry_that_does_not_add_up_is_refused),
		cmocka_unit_test(a_batch_of_garbage_is_refused_whatever_its_entry_counts),
		cmocka_unit_test(commands_that_do_not_fill_their_bytes_are_refused),
		cmocka_unit_test(a_register_carries_nothing_or_an_identity_that_is_one),
		cmocka_unit_test(a_request_is_all_reads_of_one_kind_or_none),
		cmocka_unit_test(a_batch_for_the_log_has_no_reads),
		cmocka_unit_test(a_part_lies_within_its_command_and_is_not_too_small),
		cmocka_unit_test(a_piece_lies_within_its_snapshot_and_fills_its_datagram),
		cmocka_unit_test(names_are_there_for_every_number),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}

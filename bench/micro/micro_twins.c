/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Functions that were made fast, each beside the plain way to do the same ("reference"): whether it
 * was worth it, and by how much. That both do the same, the first call of each checks.
 */
#include "bench/micro/micro.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/base/histogram.h"
#include "engine/wire/wire.h"
#include "net/frame.h"

#include <isa-l/crc.h>
#include <stdatomic.h>
#include <string.h>

enum {
	COMMAND = 64,
	COMMANDS = 100,
	BODY = COMMANDS * (SYNOD_COMMAND_HEADER_SIZE + COMMAND),
	SMALL = SYNOD_HEADER_SIZE, /* what is summed of a datagram whose batch is summed already */
};

#define POLYNOMIAL 0x82f63b78u

static uint8_t body[BODY];
static uint32_t table[256];
static _Atomic uint64_t sink; /* keeps the results alive */

static void keep(uint64_t value)
{
	atomic_fetch_add_explicit(&sink, value, memory_order_relaxed);
}

static void fill(void)
{
	for (uint32_t i = 0; i < COMMANDS; i++) {
		struct synod_wire_command command = { .session = 65537,
						      .number = i + 1,
						      .size = COMMAND };
		uint8_t *to = body + i * (sizeof(command) + COMMAND);

		memcpy(to, &command, sizeof(command));
		memset(to + sizeof(command), (int)i, COMMAND);
	}
}

/* ---- CRC32C: a table of bytes, ISA-L as it is, and ours ------------------------------------- */

static uint32_t crc_by_table(const uint8_t *bytes, size_t size)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < size; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}

static void begin_crc(void)
{
	fill();
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		table[byte] = crc;
	}
	synod_assert_cmp(crc_by_table(body, BODY), ==, synod_crc32c(body, BODY));
}

static void crc_reference(uint64_t iterations, uint32_t size)
{
	if (iterations == 0)
		begin_crc();
	while (iterations--)
		keep(crc_by_table(body, size));
}

/* With what stands behind a checksum everywhere: something zeroed or copied, by SSE. */
static void crc_and_zero(uint64_t iterations, uint32_t size,
			 uint32_t (*crc)(const uint8_t *bytes, uint32_t size))
{
	static struct synod_wire_result result;

	if (iterations == 0)
		begin_crc();
	while (iterations--) {
		keep(crc(body, size));
		result = (struct synod_wire_result){ 0 };
		__asm__ volatile("" : : "m"(result));
	}
}

static uint32_t by_isal(const uint8_t *bytes, uint32_t size)
{
	return ~crc32_iscsi((unsigned char *)(uintptr_t)bytes, (int)size, UINT32_MAX);
}

static uint32_t by_us(const uint8_t *bytes, uint32_t size)
{
	return synod_crc32c(bytes, size);
}

static void crc_small_reference(uint64_t iterations)
{
	crc_reference(iterations, SMALL);
}

static void crc_small_isal(uint64_t iterations)
{
	crc_and_zero(iterations, SMALL, by_isal);
}

static void crc_small(uint64_t iterations)
{
	crc_and_zero(iterations, SMALL, by_us);
}

static void crc_batch_reference(uint64_t iterations)
{
	crc_reference(iterations, BODY);
}

static void crc_batch_isal(uint64_t iterations)
{
	crc_and_zero(iterations, BODY, by_isal);
}

static void crc_batch(uint64_t iterations)
{
	crc_and_zero(iterations, BODY, by_us);
}

/* ---- commands of a request ------------------------------------------------------------------ */

/* The rules of wire.h for commands that go into the log, one after the other. */
static int check_plainly(const uint8_t *bytes, uint32_t size)
{
	uint32_t at = 0;
	int count = 0;

	while (at < size) { /* at most one turn a command */
		struct synod_wire_command command;

		if (size - at < sizeof(command))
			return -1;
		memcpy(&command, bytes + at, sizeof(command));
		if (command.kind > SYNOD_COMMAND_PART || command.size > SYNOD_COMMAND_SIZE_MAX ||
		    synod_wire_command_size(&command) > size - at)
			return -1;
		at += synod_wire_command_size(&command);
		count++;
	}
	return count;
}

static void commands_reference(uint64_t iterations)
{
	if (iterations == 0) {
		fill();
		synod_assert_cmp(check_plainly(body, BODY), ==, COMMANDS);
	}
	while (iterations--)
		keep((uint64_t)check_plainly(body, BODY));
}

static void commands_check(uint64_t iterations)
{
	if (iterations == 0) {
		fill();
		synod_assert_cmp(synod_wire_commands_check(body, BODY), ==, COMMANDS);
	}
	while (iterations--)
		keep((uint64_t)synod_wire_commands_check(body, BODY));
}

/* ---- headers of a frame: from nothing, against a template ----------------------------------- */

static const struct synod_frame_end own = { 0x0a000001, 7414, { 2, 0, 0, 0, 0, 1 } };
static const struct synod_frame_end peer = { 0x0a000002, 7414, { 2, 0, 0, 0, 0, 2 } };
static struct synod_frame_template template;
static uint8_t header[SYNOD_FRAME_HEADER_SIZE + SYNOD_FRAME_SIZE_MIN];

static void put16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static void put32(uint8_t *to, uint32_t value)
{
	put16(to, value >> 16);
	put16(to + 2, value & UINT16_MAX);
}

static void build_plainly(uint8_t *to, uint32_t size)
{
	uint8_t *ip = to + SYNOD_FRAME_ETHERNET_SIZE;
	uint8_t *udp = ip + SYNOD_FRAME_IP_SIZE;
	uint32_t sum = 0;

	memcpy(to, peer.mac, 6);
	memcpy(to + 6, own.mac, 6);
	put16(to + 12, 0x0800);
	memset(ip, 0, SYNOD_FRAME_IP_SIZE);
	memcpy(ip, template.bytes + SYNOD_FRAME_ETHERNET_SIZE, SYNOD_FRAME_IP_SIZE);
	put16(ip + 2, SYNOD_FRAME_IP_SIZE + SYNOD_FRAME_UDP_SIZE + size);
	put16(ip + 10, 0);
	put32(ip + 12, own.ip);
	put32(ip + 16, peer.ip);
	for (int i = 0; i < SYNOD_FRAME_IP_SIZE; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum >> 16) /* twice at most */
		sum = (sum & UINT16_MAX) + (sum >> 16);
	put16(ip + 10, ~sum & UINT16_MAX);
	put16(udp, own.udp_port);
	put16(udp + 2, peer.udp_port);
	put16(udp + 4, SYNOD_FRAME_UDP_SIZE + size);
	put16(udp + 6, 0);
}

static void begin_frame(void)
{
	uint8_t plain[SYNOD_FRAME_HEADER_SIZE];

	synod_frame_template_init(&template, &own, &peer);
	synod_frame_build(&template, header, BODY);
	build_plainly(plain, BODY);
	synod_assert(memcmp(plain, header, sizeof(plain)) == 0);
}

static void frame_reference(uint64_t iterations)
{
	if (iterations == 0)
		begin_frame();
	while (iterations--) {
		build_plainly(header, SMALL + (uint32_t)(iterations & 1023));
		keep(header[25]);
	}
}

static void frame_build(uint64_t iterations)
{
	if (iterations == 0)
		begin_frame();
	while (iterations--) {
		synod_frame_build(&template, header, SMALL + (uint32_t)(iterations & 1023));
		keep(header[25]);
	}
}

static void frame_parse(uint64_t iterations)
{
	const struct synod_frame_filter filter = { .own = peer, .skip_udp_checksum = 1 };
	struct synod_frame_view view;

	if (iterations == 0) {
		begin_frame();
		synod_frame_build(&template, header, SYNOD_FRAME_SIZE_MIN);
		synod_assert_cmp(synod_frame_parse(header, sizeof(header), &filter, &view), ==, 0);
	}
	while (iterations--) {
		keep((uint64_t)synod_frame_parse(header, sizeof(header), &filter, &view));
		keep(view.offset);
	}
}

/* ---- the UDP checksum, where a device does not do it ---------------------------------------- */

static uint16_t sum_plainly(const uint8_t *bytes, uint32_t size)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i + 1 < size; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16) /* four times at most */
		sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
}

static void checksum_reference(uint64_t iterations)
{
	if (iterations == 0)
		fill();
	while (iterations--)
		keep(sum_plainly(body, BODY));
}

static void checksum(uint64_t iterations)
{
	if (iterations == 0) {
		begin_frame();
		fill();
	}
	while (iterations--) {
		struct synod_frame_sum sum;

		synod_frame_sum_start(&sum, header);
		synod_frame_sum_more(&sum, body, BODY);
		keep(synod_frame_sum_finish(&sum));
	}
}

/* ---- what the load generator does for each answer ------------------------------------------- */

static void histogram_record(uint64_t iterations)
{
	static struct synod_histogram histogram;

	while (iterations--)
		synod_histogram_record(&histogram, 100000 + (iterations * 7919 & 0xfffff));
	keep(histogram.max);
}

const struct synod_micro synod_micro_twins[] = {
	{ "twins/crc32c/80_bytes/reference_table", crc_small_reference, SMALL, 0, 0 },
	{ "twins/crc32c/80_bytes/reference_isal", crc_small_isal, SMALL, 0, 0 },
	{ "twins/crc32c/80_bytes/ours", crc_small, SMALL, 0, 0 },
	{ "twins/crc32c/batch/reference_table", crc_batch_reference, BODY, COMMANDS, 16 },
	{ "twins/crc32c/batch/reference_isal", crc_batch_isal, BODY, COMMANDS, 0 },
	{ "twins/crc32c/batch/ours", crc_batch, BODY, COMMANDS, 0 },
	{ "twins/commands_check/reference", commands_reference, BODY, COMMANDS, 0 },
	{ "twins/commands_check/wire", commands_check, BODY, COMMANDS, 0 },
	{ "twins/frame_header/reference", frame_reference, 0, 0, 0 },
	{ "twins/frame_header/template", frame_build, 0, 0, 0 },
	{ "twins/udp_checksum/reference", checksum_reference, BODY, 0, 16 },
	{ "twins/udp_checksum/frame", checksum, BODY, 0, 16 },
	{ "net/frame_parse", frame_parse, 0, 0, 0 },
	{ "base/histogram_record", histogram_record, 0, 0, 0 },
	{ 0 },
};

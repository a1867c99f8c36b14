/* SPDX-License-Identifier: BSD-3-Clause */
/* net/frame.h: what is built is what is taken, and one wrong thing at a time is named rightly. */
#include "net/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	PAYLOAD = 113,
	SIZE = SYNOD_FRAME_HEADER_SIZE + PAYLOAD
};

static const struct synod_frame_end client = { .ip = 0x0a010203,
					       .udp_port = 40000,
					       .mac = { 2, 0, 0, 0, 0, 1 } };
static const struct synod_frame_end server = { .ip = 0x0a0102fe,
					       .udp_port = 7414,
					       .mac = { 2, 0, 0, 0, 0, 2 } };
static const struct synod_frame_filter filter = {
	.own = { .ip = 0x0a0102fe, .udp_port = 7414, .mac = { 2, 0, 0, 0, 0, 2 } }
};

static void checksum(uint8_t *frame, uint32_t payload)
{
	struct synod_frame_sum sum;

	synod_frame_sum_start(&sum, frame);
	synod_frame_sum_more(&sum, frame + SYNOD_FRAME_HEADER_SIZE, payload);
	synod_frame_set_udp_checksum(frame, synod_frame_sum_finish(&sum));
}

/* A good frame from client to server, with a UDP checksum. */
static void build(uint8_t *frame, uint32_t payload)
{
	struct synod_frame_template template;

	synod_frame_template_init(&template, &client, &server);
	synod_frame_build(&template, frame, payload);
	for (uint32_t i = 0; i < payload; i++)
		frame[SYNOD_FRAME_HEADER_SIZE + i] = (uint8_t)(i * 37 + 11);
	checksum(frame, payload);
}

/* The slow twin of both checksums: RFC 1071 word by word. */
static uint16_t naive_sum(const uint8_t *data, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint16_t naive_udp_sum(const uint8_t *frame, uint32_t udp_size)
{
	return naive_sum(frame + 34, udp_size, naive_sum(frame + 26, 8, 17 + udp_size));
}

/* Repairs the IP checksum after a field was changed, so that only the field is wrong. */
static void fix_ip(uint8_t *frame)
{
	uint16_t sum;

	frame[24] = frame[25] = 0;
	sum = (uint16_t)~naive_sum(frame + 14, 20, 0);
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
}

static int parse(const uint8_t *frame, size_t size)
{
	struct synod_frame_view view;

	return synod_frame_parse(frame, size, &filter, &view);
}

static void built_frame_is_taken_whole(void **state)
{
	uint8_t frame[SIZE];
	struct synod_frame_view view;

	(void)state;
	build(frame, PAYLOAD);
	assert_int_equal(synod_frame_parse(frame, SIZE, &filter, &view), 0);
	assert_int_equal(view.offset, SYNOD_FRAME_HEADER_SIZE);
	assert_int_equal(view.size, PAYLOAD);
	assert_int_equal(view.from.ip, client.ip);
	assert_int_equal(view.from.udp_port, client.udp_port);
	assert_memory_equal(view.from.mac, client.mac, 6);
}

static void checksums_equal_their_slow_twin_at_every_size(void **state)
{
	static uint8_t frame[SYNOD_FRAME_HEADER_SIZE + 9000];

	(void)state;
	for (uint32_t payload = 0; payload <= 9000; payload += payload < 130 ? 1 : 997) {
		build(frame, payload);
		assert_int_equal(naive_sum(frame + 14, 20, 0), 0xffff);
		assert_int_equal(naive_udp_sum(frame, 8 + payload), 0xffff);
		assert_int_equal(parse(frame, SYNOD_FRAME_HEADER_SIZE + payload), 0);
	}
}

static void checksum_of_parts_equals_checksum_of_the_whole(void **state)
{
	uint8_t frame[SIZE];
	struct synod_frame_sum whole;
	struct synod_frame_sum parts;
	const uint8_t *payload = frame + SYNOD_FRAME_HEADER_SIZE;

	(void)state;
	build(frame, PAYLOAD);
	synod_frame_sum_start(&whole, frame);
	synod_frame_sum_more(&whole, payload, PAYLOAD);
	for (uint32_t a = 0; a <= PAYLOAD; a++) {
		for (uint32_t b = a; b <= PAYLOAD; b += 7) {
			synod_frame_sum_start(&parts, frame);
			synod_frame_sum_more(&parts, payload, a);
			synod_frame_sum_more(&parts, payload + a, b - a);
			synod_frame_sum_more(&parts, payload + b, PAYLOAD - b);
			assert_int_equal(synod_frame_sum_finish(&parts),
					 synod_frame_sum_finish(&whole));
		}
	}
}

static void checksum_that_comes_out_as_zero_is_sent_as_ones(void **state)
{
	uint8_t frame[SYNOD_FRAME_HEADER_SIZE + 2] = { 0 };
	uint16_t rest;

	(void)state;
	build(frame, 2);
	memset(frame + SYNOD_FRAME_HEADER_SIZE, 0, 2);
	synod_frame_set_udp_checksum(frame, 0);
	rest = (uint16_t)~naive_udp_sum(frame, 10);
	frame[42] = (uint8_t)(rest >> 8);
	frame[43] = (uint8_t)rest;
	checksum(frame, 2);
	assert_int_equal(frame[40], 0xff);
	assert_int_equal(frame[41], 0xff);
	assert_int_equal(parse(frame, sizeof(frame)), 0);
}

static void pseudo_sum_is_what_a_device_completes(void **state)
{
	uint8_t frame[SIZE];
	uint16_t finished;

	(void)state;
	build(frame, PAYLOAD);
	finished = (uint16_t)(frame[40] << 8 | frame[41]);
	synod_frame_set_udp_checksum(frame, synod_frame_pseudo_sum(frame));
	assert_int_equal((uint16_t)~naive_sum(frame + 34, 8 + PAYLOAD, 0), finished);
}

static void template_aimed_anew_forgets_the_old_peer(void **state)
{
	struct synod_frame_template aimed;
	struct synod_frame_template fresh;

	(void)state;
	synod_frame_template_init(&aimed, &client, &client);
	synod_frame_template_aim(&aimed, &server);
	synod_frame_template_init(&fresh, &client, &server);
	assert_memory_equal(&aimed, &fresh, sizeof(fresh));
}

static void every_truncation_is_refused(void **state)
{
	uint8_t frame[SIZE];

	(void)state;
	build(frame, PAYLOAD);
	for (size_t size = 0; size < SIZE; size++) {
		/* A copy of its own, so that a sanitizer sees reads beyond the end. */
		uint8_t *cut = test_malloc(size + 1);

		memcpy(cut, frame, size);
		assert_int_equal(parse(cut, size), SYNOD_DROP_FRAME_SHORT);
		test_free(cut);
	}
}

static void padding_behind_the_packet_is_ignored(void **state)
{
	uint8_t frame[SIZE + 300];
	struct synod_frame_view view;

	(void)state;
	memset(frame, 0xee, sizeof(frame));
	build(frame, 1);
	assert_int_equal(synod_frame_parse(frame, SYNOD_FRAME_SIZE_MIN, &filter, &view), 0);
	assert_int_equal(view.size, 1);
	assert_int_equal(synod_frame_parse(frame, sizeof(frame), &filter, &view), 0);
	assert_int_equal(view.size, 1);
}

static void empty_datagram_is_taken(void **state)
{
	uint8_t frame[SYNOD_FRAME_HEADER_SIZE];
	struct synod_frame_view view;

	(void)state;
	build(frame, 0);
	assert_int_equal(synod_frame_parse(frame, sizeof(frame), &filter, &view), 0);
	assert_int_equal(view.size, 0);
}

/* One byte changed to each other value, the IP checksum repaired: always the same verdict, except
 * for the values that are allowed. */
static void check_byte(uint32_t at, int expected, const uint8_t *allowed, size_t allowed_count)
{
	uint8_t frame[SIZE];

	for (uint32_t value = 0; value < 256; value++) {
		build(frame, PAYLOAD);
		if (value == frame[at] ||
		    (allowed_count && memchr(allowed, (int)value, allowed_count)))
			continue;
		frame[at] = (uint8_t)value;
		if (at >= 14 && at < 34)
			fix_ip(frame);
		assert_int_equal(parse(frame, SIZE), expected);
	}
}

static void frame_for_another_station_is_not_ours(void **state)
{
	(void)state;
	for (uint32_t at = 0; at < 6; at++)
		check_byte(at, SYNOD_DROP_NOT_OURS, NULL, 0);
}

static void ethertype_other_than_ipv4_is_refused(void **state)
{
	static const uint8_t arp[] = { 0x06 };
	uint8_t frame[SIZE];

	(void)state;
	check_byte(12, SYNOD_DROP_NOT_IPV4, NULL, 0);
	check_byte(13, SYNOD_DROP_NOT_IPV4, arp, 1);
	build(frame, PAYLOAD);
	frame[13] = 0x06;
	assert_int_equal(parse(frame, SIZE), SYNOD_FRAME_ARP);
	assert_int_equal(parse(frame, 14), SYNOD_FRAME_ARP);
	assert_int_equal(parse(frame, 13), SYNOD_DROP_FRAME_SHORT);
}

static void ip_version_and_options_are_refused(void **state)
{
	(void)state;
	check_byte(14, SYNOD_DROP_IP_HEADER, NULL, 0);
}

static void ip_length_out_of_range_is_refused(void **state)
{
	uint8_t frame[SIZE];

	(void)state;
	for (uint32_t length = 0; length < 65536; length++) {
		int expected = SYNOD_DROP_UDP_LENGTH;

		build(frame, PAYLOAD);
		frame[16] = (uint8_t)(length >> 8);
		frame[17] = (uint8_t)length;
		fix_ip(frame);
		if (length < 20)
			expected = SYNOD_DROP_IP_HEADER;
		else if (length > SIZE - 14)
			expected = SYNOD_DROP_FRAME_SHORT;
		else if (length == SIZE - 14)
			expected = 0;
		assert_int_equal(parse(frame, SIZE), expected);
	}
}

static void ip_checksum_is_verified_unless_the_device_did(void **state)
{
	uint8_t frame[SIZE];
	struct synod_frame_filter trusting = filter;
	struct synod_frame_view view;

	(void)state;
	trusting.skip_ip_checksum = 1;
	for (uint32_t bit = 0; bit < 16; bit++) {
		build(frame, PAYLOAD);
		frame[24 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(parse(frame, SIZE), SYNOD_DROP_IP_HEADER);
		assert_int_equal(synod_frame_parse(frame, SIZE, &trusting, &view), 0);
	}
}

static void fragments_are_refused(void **state)
{
	static const uint8_t not_fragments[] = { 0x00, 0x40, 0x80, 0xc0 };

	(void)state;
	check_byte(20, SYNOD_DROP_FRAGMENT, not_fragments, sizeof(not_fragments));
	check_byte(21, SYNOD_DROP_FRAGMENT, NULL, 0);
}

static void protocol_other_than_udp_is_refused(void **state)
{
	(void)state;
	check_byte(23, SYNOD_DROP_NOT_UDP, NULL, 0);
}

static void packet_for_another_address_is_not_ours(void **state)
{
	(void)state;
	for (uint32_t at = 30; at < 34; at++)
		check_byte(at, SYNOD_DROP_NOT_OURS, NULL, 0);
}

static void datagram_for_another_port_is_not_ours(void **state)
{
	(void)state;
	check_byte(36, SYNOD_DROP_NOT_OURS, NULL, 0);
	check_byte(37, SYNOD_DROP_NOT_OURS, NULL, 0);
}

static void udp_length_must_equal_what_ip_carries(void **state)
{
	uint8_t frame[SIZE];

	(void)state;
	for (uint32_t length = 0; length < 65536; length++) {
		build(frame, PAYLOAD);
		frame[38] = (uint8_t)(length >> 8);
		frame[39] = (uint8_t)length;
		assert_int_equal(parse(frame, SIZE),
				 length == PAYLOAD + 8 ? 0 : SYNOD_DROP_UDP_LENGTH);
	}
}

static void every_flipped_bit_of_the_datagram_is_noticed(void **state)
{
	uint8_t frame[SIZE];
	struct synod_frame_filter trusting = filter;
	struct synod_frame_view view;

	(void)state;
	trusting.skip_udp_checksum = 1;
	build(frame, PAYLOAD);
	for (uint32_t bit = 40 * 8; bit < SIZE * 8; bit++) {
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(parse(frame, SIZE), SYNOD_DROP_UDP_CHECKSUM);
		assert_int_equal(synod_frame_parse(frame, SIZE, &trusting, &view), 0);
		frame[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void datagram_without_checksum_is_taken(void **state)
{
	uint8_t frame[SIZE];

	(void)state;
	build(frame, PAYLOAD);
	synod_frame_set_udp_checksum(frame, 0);
	frame[60] ^= 1;
	assert_int_equal(parse(frame, SIZE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(built_frame_is_taken_whole),
		cmocka_unit_test(checksums_equal_their_slow_twin_at_every_size),
		cmocka_unit_test(checksum_of_parts_equals_checksum_of_the_whole),
		cmocka_unit_test(checksum_that_comes_out_as_zero_is_sent_as_ones),
		cmocka_unit_test(pseudo_sum_is_what_a_device_completes),
		cmocka_unit_test(template_aimed_anew_forgets_the_old_peer),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(padding_behind_the_packet_is_ignored),
		cmocka_unit_test(empty_datagram_is_taken),
		cmocka_unit_test(frame_for_another_station_is_not_ours),
		cmocka_unit_test(ethertype_other_than_ipv4_is_refused),
		cmocka_unit_test(ip_version_and_options_are_refused),
		cmocka_unit_test(ip_length_out_of_range_is_refused),
		cmocka_unit_test(ip_checksum_is_verified_unless_the_device_did),
		cmocka_unit_test(fragments_are_refused),
		cmocka_unit_test(protocol_other_than_udp_is_refused),
		cmocka_unit_test(packet_for_another_address_is_not_ours),
		cmocka_unit_test(datagram_for_another_port_is_not_ours),
		cmocka_unit_test(udp_length_must_equal_what_ip_carries),
		cmocka_unit_test(every_flipped_bit_of_the_datagram_is_noticed),
		cmocka_unit_test(datagram_without_checksum_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

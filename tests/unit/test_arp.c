/* SPDX-License-Identifier: BSD-3-Clause */
/* net/arp.h: what is built is what is read, and nothing else is. */
#include "net/arp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct synod_arp request = {
	.sender_ip = 0x0a010203,
	.target_ip = 0x0a0102fe,
	.operation = SYNOD_ARP_REQUEST,
	.sender_mac = { 2, 0, 0, 0, 0, 1 },
};
static const struct synod_arp reply = {
	.sender_ip = 0x0a0102fe,
	.target_ip = 0x0a010203,
	.operation = SYNOD_ARP_REPLY,
	.sender_mac = { 2, 0, 0, 0, 0, 2 },
	.target_mac = { 2, 0, 0, 0, 0, 1 },
};

static void check_equal(const struct synod_arp *a, const struct synod_arp *b)
{
	assert_int_equal(a->operation, b->operation);
	assert_int_equal(a->sender_ip, b->sender_ip);
	assert_int_equal(a->target_ip, b->target_ip);
	assert_memory_equal(a->sender_mac, b->sender_mac, 6);
	assert_memory_equal(a->target_mac, b->target_mac, 6);
}

static void request_goes_to_everybody_and_is_read_back(void **state)
{
	static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t frame[SYNOD_ARP_FRAME_SIZE];
	struct synod_arp arp;

	(void)state;
	synod_arp_build(&request, frame);
	assert_memory_equal(frame, everybody, 6);
	assert_memory_equal(frame + 6, request.sender_mac, 6);
	assert_int_equal(synod_arp_parse(frame, sizeof(frame), &arp), 0);
	check_equal(&arp, &request);
}

static void reply_goes_to_who_asked_and_is_read_back(void **state)
{
	uint8_t frame[SYNOD_ARP_FRAME_SIZE];
	struct synod_arp arp;

	(void)state;
	synod_arp_build(&reply, frame);
	assert_memory_equal(frame, reply.target_mac, 6);
	assert_int_equal(synod_arp_parse(frame, sizeof(frame), &arp), 0);
	check_equal(&arp, &reply);
}

static void frame_looks_as_the_standard_draws_it(void **state)
{
	static const uint8_t expected[42] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,	  0,	0, 0, 0,  1, 0x08, 0x06,
		0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 2, 0, 0,  0, 0,	   1,
		10,   1,    2,	  3,	0,    0,    0,	  0,	0, 0, 10, 1, 2,	   0xfe,
	};
	uint8_t frame[SYNOD_ARP_FRAME_SIZE];

	(void)state;
	synod_arp_build(&request, frame);
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void every_truncation_is_refused(void **state)
{
	uint8_t frame[SYNOD_ARP_FRAME_SIZE];
	struct synod_arp arp;

	(void)state;
	synod_arp_build(&reply, frame);
	for (size_t size = 0; size <= sizeof(frame); size++) {
		uint8_t *cut = test_malloc(size + 1);

		memcpy(cut, frame, size);
		assert_int_equal(synod_arp_parse(cut, size, &arp), size < 42 ? -EBADMSG : 0);
		test_free(cut);
	}
}

static void other_types_sizes_and_operations_are_refused(void **state)
{
	uint8_t frame[SYNOD_ARP_FRAME_SIZE];
	struct synod_arp arp;

	(void)state;
	for (uint32_t at = 12; at < 22; at++) {
		for (uint32_t value = 0; value < 256; value++) {
			int known;

			synod_arp_build(&request, frame);
			known = frame[at] == value || (at == 21 && value == SYNOD_ARP_REPLY);
			frame[at] = (uint8_t)value;
			assert_int_equal(synod_arp_parse(frame, sizeof(frame), &arp),
					 known ? 0 : -EBADMSG);
		}
	}
}

static void sender_that_is_a_group_or_nobody_is_refused(void **state)
{
	uint8_t frame[SYNOD_ARP_FRAME_SIZE];
	struct synod_arp arp;

	(void)state;
	synod_arp_build(&reply, frame);
	frame[22] |= 1;
	assert_int_equal(synod_arp_parse(frame, sizeof(frame), &arp), -EBADMSG);
	memset(frame + 22, 0, 6);
	assert_int_equal(synod_arp_parse(frame, sizeof(frame), &arp), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_goes_to_everybody_and_is_read_back),
		cmocka_unit_test(reply_goes_to_who_asked_and_is_read_back),
		cmocka_unit_test(frame_looks_as_the_standard_draws_it),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(other_types_sizes_and_operations_are_refused),
		cmocka_unit_test(sender_that_is_a_group_or_nobody_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

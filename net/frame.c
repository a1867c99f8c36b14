/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/frame.h"

#include "engine/base/assert.h"

#include <string.h>

/* Offsets in a frame. */
enum {
	AT_ETHERTYPE = 12,
	AT_IP = 14,
	AT_IP_LENGTH = 16,
	AT_IP_FRAGMENT = 20,
	AT_IP_TTL = 22,
	AT_IP_PROTOCOL = 23,
	AT_IP_CHECKSUM = 24,
	AT_IP_SOURCE = 26,
	AT_IP_DESTINATION = 30,
	AT_UDP_SOURCE = 34,
	AT_UDP_DESTINATION = 36,
	AT_UDP_LENGTH = 38,
	AT_UDP_CHECKSUM = 40,

	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	PROTOCOL_UDP = 17,
	TTL = 64,
	DONT_FRAGMENT = 0x4000,
	FRAGMENT_MASK = 0x3fff, /* more-fragments and offset; don't-fragment may be set */
};

static uint16_t load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t load32(const uint8_t *at)
{
	return (uint32_t)load16(at) << 16 | load16(at + 2);
}

static void store16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void store32(uint8_t *at, uint32_t value)
{
	store16(at, (uint16_t)(value >> 16));
	store16(at + 2, (uint16_t)value);
}

static uint16_t fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/*
 * The sum of 16-bit words is the same, byte-swapped, in either byte order (RFC 1071), so the bytes
 * are added as they lie, four at a time into 64 bits: no carry is lost below 2^32 words. The loop
 * is one that compilers turn into vectors.
 */
static uint64_t sum_native(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half = 0;
	size_t i;

	for (i = 0; i + 4 <= size; i += 4) {
		memcpy(&word, data + i, 4);
		sum += word;
	}
	if (i + 2 <= size) {
		memcpy(&half, data + i, 2);
		sum += half;
		i += 2;
	}
	if (i < size) {
		half = 0;
		memcpy(&half, data + i, 1);
		sum += half;
	}
	return sum;
}

/* Folded and in network order, from the sum as the bytes lie. */
static uint16_t fold_native(uint64_t sum)
{
	uint16_t folded = fold(sum);
	uint8_t bytes[2];

	memcpy(bytes, &folded, 2);
	return load16(bytes);
}

static int check_ip(const uint8_t *frame, size_t size, const struct synod_frame_filter *filter)
{
	uint32_t length = load16(frame + AT_IP_LENGTH);

	if (frame[AT_IP] != 0x45) /* version 4, five words: no options */
		return SYNOD_DROP_IP_HEADER;
	if (length < SYNOD_FRAME_IP_SIZE)
		return SYNOD_DROP_IP_HEADER;
	if (length > size - SYNOD_FRAME_ETHERNET_SIZE)
		return SYNOD_DROP_FRAME_SHORT;
	if (!filter->skip_ip_checksum &&
	    fold(sum_native(frame + AT_IP, SYNOD_FRAME_IP_SIZE)) != 0xffff)
		return SYNOD_DROP_IP_HEADER;
	if (load16(frame + AT_IP_FRAGMENT) & FRAGMENT_MASK)
		return SYNOD_DROP_FRAGMENT;
	if (load32(frame + AT_IP_DESTINATION) != filter->own.ip)
		return SYNOD_DROP_NOT_OURS;
	if (frame[AT_IP_PROTOCOL] != PROTOCOL_UDP)
		return SYNOD_DROP_NOT_UDP;
	return 0;
}

static int check_udp(const uint8_t *frame, const struct synod_frame_filter *filter)
{
	uint32_t ip_payload = load16(frame + AT_IP_LENGTH) - SYNOD_FRAME_IP_SIZE;
	uint32_t length;
	uint16_t checksum;
	struct synod_frame_sum sum;

	if (ip_payload < SYNOD_FRAME_UDP_SIZE)
		return SYNOD_DROP_UDP_LENGTH;
	if (load16(frame + AT_UDP_DESTINATION) != filter->own.udp_port)
		return SYNOD_DROP_NOT_OURS;
	/* Equal, not merely within: bytes between the end of UDP and the end of IP are nobody's. */
	length = load16(frame + AT_UDP_LENGTH);
	if (length != ip_payload)
		return SYNOD_DROP_UDP_LENGTH;
	checksum = load16(frame + AT_UDP_CHECKSUM);
	if (checksum == 0 || filter->skip_udp_checksum)
		return 0;
	synod_frame_sum_start(&sum, frame);
	synod_frame_sum_more(&sum, frame + SYNOD_FRAME_HEADER_SIZE, length - SYNOD_FRAME_UDP_SIZE);
	/* start leaves the field out, so the finished value must be what the field says. */
	if (synod_frame_sum_finish(&sum) != checksum)
		return SYNOD_DROP_UDP_CHECKSUM;
	return 0;
}

int synod_frame_parse(const uint8_t *frame, size_t size, const struct synod_frame_filter *filter,
		      struct synod_frame_view *view)
{
	int wrong;

	if (size < SYNOD_FRAME_ETHERNET_SIZE)
		return SYNOD_DROP_FRAME_SHORT;
	if (load16(frame + AT_ETHERTYPE) == ETHERTYPE_ARP)
		return SYNOD_FRAME_ARP;
	if (load16(frame + AT_ETHERTYPE) != ETHERTYPE_IPV4)
		return SYNOD_DROP_NOT_IPV4;
	if (memcmp(frame, filter->own.mac, 6) != 0)
		return SYNOD_DROP_NOT_OURS;
	if (size < SYNOD_FRAME_ETHERNET_SIZE + SYNOD_FRAME_IP_SIZE)
		return SYNOD_DROP_FRAME_SHORT;
	wrong = check_ip(frame, size, filter);
	if (wrong)
		return wrong;
	wrong = check_udp(frame, filter);
	if (wrong)
		return wrong;

	view->from.ip = load32(frame + AT_IP_SOURCE);
	view->from.udp_port = load16(frame + AT_UDP_SOURCE);
	memcpy(view->from.mac, frame + 6, 6);
	view->offset = SYNOD_FRAME_HEADER_SIZE;
	view->size = load16(frame + AT_UDP_LENGTH) - SYNOD_FRAME_UDP_SIZE;
	synod_assert_cmp(view->offset + view->size, <=, size);
	return 0;
}

void synod_frame_template_init(struct synod_frame_template *template,
			       const struct synod_frame_end *own,
			       const struct synod_frame_end *peer)
{
	uint8_t *bytes = template->bytes;

	memset(template, 0, sizeof(*template));
	memcpy(bytes + 6, own->mac, 6);
	store16(bytes + AT_ETHERTYPE, ETHERTYPE_IPV4);
	bytes[AT_IP] = 0x45;
	store16(bytes + AT_IP_FRAGMENT, DONT_FRAGMENT);
	bytes[AT_IP_TTL] = TTL;
	bytes[AT_IP_PROTOCOL] = PROTOCOL_UDP;
	store32(bytes + AT_IP_SOURCE, own->ip);
	store16(bytes + AT_UDP_SOURCE, own->udp_port);
	synod_frame_template_aim(template, peer);
}

void synod_frame_template_aim(struct synod_frame_template *template,
			      const struct synod_frame_end *peer)
{
	uint8_t *bytes = template->bytes;
	uint32_t sum = 0;

	memcpy(bytes, peer->mac, 6);
	store32(bytes + AT_IP_DESTINATION, peer->ip);
	store16(bytes + AT_UDP_DESTINATION, peer->udp_port);
	for (uint32_t i = 0; i < SYNOD_FRAME_IP_SIZE; i += 2)
		sum += load16(bytes + AT_IP + i);
	template->ip_sum = sum;
}

void synod_frame_build(const struct synod_frame_template *template, uint8_t *header, uint32_t size)
{
	uint32_t ip_length = SYNOD_FRAME_IP_SIZE + SYNOD_FRAME_UDP_SIZE + size;

	synod_assert_cmp(ip_length, <=, 65535);
	memcpy(header, template->bytes, SYNOD_FRAME_HEADER_SIZE);
	store16(header + AT_IP_LENGTH, (uint16_t)ip_length);
	store16(header + AT_IP_CHECKSUM, (uint16_t)~fold(template->ip_sum + ip_length));
	store16(header + AT_UDP_LENGTH, (uint16_t)(SYNOD_FRAME_UDP_SIZE + size));
}

/* Network order numbers; the source and destination words, the protocol, the UDP length. */
static uint64_t pseudo_sum(const uint8_t *header)
{
	uint64_t sum = PROTOCOL_UDP + load16(header + AT_UDP_LENGTH);

	for (uint32_t i = 0; i < 8; i += 2)
		sum += load16(header + AT_IP_SOURCE + i);
	return sum;
}

uint16_t synod_frame_pseudo_sum(const uint8_t *header)
{
	return fold(pseudo_sum(header));
}

void synod_frame_sum_start(struct synod_frame_sum *sum, const uint8_t *header)
{
	sum->sum = pseudo_sum(header) + load16(header + AT_UDP_SOURCE) +
		   load16(header + AT_UDP_DESTINATION) + load16(header + AT_UDP_LENGTH);
	sum->odd = 0;
}

void synod_frame_sum_more(struct synod_frame_sum *sum, const void *data, size_t size)
{
	uint16_t part = fold_native(sum_native(data, size));

	/* A part that starts at an odd place has its bytes in the other half of each word. */
	if (sum->odd)
		part = (uint16_t)(part << 8 | part >> 8);
	sum->sum += part;
	sum->odd ^= size & 1;
}

uint16_t synod_frame_sum_finish(const struct synod_frame_sum *sum)
{
	uint16_t checksum = (uint16_t)~fold(sum->sum);

	return checksum ? checksum : 0xffff;
}

void synod_frame_set_udp_checksum(uint8_t *header, uint16_t checksum)
{
	store16(header + AT_UDP_CHECKSUM, checksum);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/arp.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>

/* Ethertype ARP, hardware Ethernet, protocol IPv4, address sizes 6 and 4: bytes 12 to 19. */
static const uint8_t fixed[8] = { 0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4 };

enum {
	AT_FIXED = 12,
	AT_OPERATION = 20,
	AT_SENDER_MAC = 22,
	AT_SENDER_IP = 28,
	AT_TARGET_MAC = 32,
	AT_TARGET_IP = 38,
	AT_END = 42,
};

static uint32_t load32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 24);
	at[1] = (uint8_t)(value >> 16);
	at[2] = (uint8_t)(value >> 8);
	at[3] = (uint8_t)value;
}

int synod_arp_parse(const uint8_t *frame, size_t size, struct synod_arp *arp)
{
	static const uint8_t no_mac[6];

	if (size < AT_END || memcmp(frame + AT_FIXED, fixed, sizeof(fixed)) != 0)
		return -EBADMSG;
	arp->operation = (uint16_t)(frame[AT_OPERATION] << 8 | frame[AT_OPERATION + 1]);
	if (arp->operation != SYNOD_ARP_REQUEST && arp->operation != SYNOD_ARP_REPLY)
		return -EBADMSG;
	memcpy(arp->sender_mac, frame + AT_SENDER_MAC, 6);
	memcpy(arp->target_mac, frame + AT_TARGET_MAC, 6);
	arp->sender_ip = load32(frame + AT_SENDER_IP);
	arp->target_ip = load32(frame + AT_TARGET_IP);
	/* A group address (low bit of the first byte) or none is nobody's own. */
	if ((arp->sender_mac[0] & 1) || memcmp(arp->sender_mac, no_mac, 6) == 0)
		return -EBADMSG;
	return 0;
}

void synod_arp_build(const struct synod_arp *arp, uint8_t *frame)
{
	synod_assert(arp->operation == SYNOD_ARP_REQUEST || arp->operation == SYNOD_ARP_REPLY);
	memset(frame, 0, SYNOD_ARP_FRAME_SIZE);
	if (arp->operation == SYNOD_ARP_REQUEST)
		memset(frame, 0xff, 6);
	else
		memcpy(frame, arp->target_mac, 6);
	memcpy(frame + 6, arp->sender_mac, 6);
	memcpy(frame + AT_FIXED, fixed, sizeof(fixed));
	frame[AT_OPERATION + 1] = (uint8_t)arp->operation;
	memcpy(frame + AT_SENDER_MAC, arp->sender_mac, 6);
	store32(frame + AT_SENDER_IP, arp->sender_ip);
	memcpy(frame + AT_TARGET_MAC, arp->target_mac, 6);
	store32(frame + AT_TARGET_IP, arp->target_ip);
}

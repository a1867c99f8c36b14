/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ARP for IPv4 over Ethernet, bytes to structs and back. Pure. When to ask, whom to answer and
 * whom to believe is decided in net/net.c. Addresses in host order.
 */
#ifndef SYNOD_NET_ARP_H
#define SYNOD_NET_ARP_H

#include <stddef.h>
#include <stdint.h>

enum {
	SYNOD_ARP_REQUEST = 1,
	SYNOD_ARP_REPLY = 2,
	SYNOD_ARP_FRAME_SIZE = 60, /* 14 + 28, padded to the shortest Ethernet frame */
};

struct synod_arp {
	uint32_t sender_ip;
	uint32_t target_ip;
	uint16_t operation;
	uint8_t sender_mac[6];
	uint8_t target_mac[6]; /* zero in a request */
};

/* Checks a frame whose ethertype is ARP. Returns 0, or -EBADMSG. */
int synod_arp_parse(const uint8_t *frame, size_t size, struct synod_arp *arp);

/* Writes SYNOD_ARP_FRAME_SIZE bytes: a request to everybody, a reply to its target. */
void synod_arp_build(const struct synod_arp *arp, uint8_t *frame);

#endif

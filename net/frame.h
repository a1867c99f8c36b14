/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet II / IPv4 / UDP headers, bytes to structs and back. Pure: no DPDK, no state.
 *
 *   0        14         34      42
 *   | eth    | IPv4     | UDP   | datagram ...            | padding, FCS gone |
 *              ^ no options, no fragments                   ^ tolerated
 *
 * Parsing trusts nothing: each length is checked before what it covers is read. Addresses and ports
 * are in host order outside, in network order in the bytes.
 */
#ifndef SYNOD_NET_FRAME_H
#define SYNOD_NET_FRAME_H

#include "engine/base/counters.h"

#include <stddef.h>
#include <stdint.h>

enum {
	SYNOD_FRAME_ETHERNET_SIZE = 14,
	SYNOD_FRAME_IP_SIZE = 20,
	SYNOD_FRAME_UDP_SIZE = 8,
	SYNOD_FRAME_HEADER_SIZE = 42,
	SYNOD_FRAME_SIZE_MIN = 60, /* Ethernet, without FCS */
};

/* One end of a UDP flow. */
struct synod_frame_end {
	uint32_t ip;
	uint16_t udp_port;
	uint8_t mac[6];
};

/* What a receiver takes, and which sums its device has checked already. */
struct synod_frame_filter {
	struct synod_frame_end own;
	uint8_t skip_ip_checksum;
	uint8_t skip_udp_checksum;
};

struct synod_frame_view {
	struct synod_frame_end from;
	uint32_t offset; /* of the datagram in the frame: 42 */
	uint32_t size;	 /* of the datagram, bytes; what follows it is padding */
};

/* Return values of parse beside 0 (a datagram for us): a counter, or this. No counter is -1. */
#define SYNOD_FRAME_ARP (-1)

/*
 * Checks a frame of size bytes. Returns 0 and fills in the view; SYNOD_FRAME_ARP: an ARP frame, for
 * net/arp.h; else the counter (> 0, enum synod_counter) of what is wrong.
 */
int synod_frame_parse(const uint8_t *frame, size_t size, const struct synod_frame_filter *filter,
		      struct synod_frame_view *view);

/*
 * The 42 bytes from own to peer, with everything but lengths and checksums filled in, and the IP
 * sum over what is filled in, so that a frame costs one copy and one fold.
 */
struct synod_frame_template {
	uint8_t bytes[SYNOD_FRAME_HEADER_SIZE];
	uint16_t reserved;
	uint32_t ip_sum;
};

void synod_frame_template_init(struct synod_frame_template *template,
			       const struct synod_frame_end *own,
			       const struct synod_frame_end *peer);

/* Turns the template to another peer. */
void synod_frame_template_aim(struct synod_frame_template *template,
			      const struct synod_frame_end *peer);

/* Writes the 42 header bytes for a datagram of size bytes; UDP checksum 0 (none). */
void synod_frame_build(const struct synod_frame_template *template, uint8_t *header, uint32_t size);

/*
 * UDP checksum over a datagram in parts, streaming: start (pseudo header and UDP header, its
 * checksum field 0), more for each part in order, finish. finish returns the value for the field
 * (host order; never 0, which means none).
 */
struct synod_frame_sum {
	uint64_t sum;
	uint32_t odd; /* 1: an odd number of bytes so far */
};

void synod_frame_sum_start(struct synod_frame_sum *sum, const uint8_t *header);
void synod_frame_sum_more(struct synod_frame_sum *sum, const void *data, size_t size);
uint16_t synod_frame_sum_finish(const struct synod_frame_sum *sum);
void synod_frame_set_udp_checksum(uint8_t *header, uint16_t checksum);

/* The folded sum of the pseudo header: what a device that computes the rest wants in the field. */
uint16_t synod_frame_pseudo_sum(const uint8_t *header);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the clients of the libraft peer and its members say to each other, in datagrams of the
 * machine's own byte order (both ends are on one machine):
 *
 *      request   header │ count × ( id, payload )     count 0: are you the leader?
 *      reply     header │ count × id                  sent when the commands were applied
 *
 * Several commands share a datagram up to what an Ethernet frame holds: libraft gets its commands
 * as cheaply as Synod's clients hand theirs over.
 */
#ifndef SYNOD_BENCH_PEERS_LIBRAFT_PROTOCOL_H
#define SYNOD_BENCH_PEERS_LIBRAFT_PROTOCOL_H

#include <stdint.h>

enum {
	PEER_MAGIC = 0x53504c31,
	PEER_DATAGRAM_BYTES = 1440,    /* within 1,500 with IP's and UDP's headers */
	PEER_DATAGRAM_MAX = 33 * 1024, /* one command of the largest payload */
	PEER_BURST = 64,	       /* datagrams a system call */
	PEER_BUFFER_BYTES = 16 << 20,  /* of a socket; the kernel may give less */
};

enum peer_status {
	PEER_OK,
	PEER_NOT_LEADER,
	PEER_FAILED,
};

struct peer_header {
	uint32_t magic;
	uint16_t count;
	uint16_t status;	/* enum peer_status; 0 in a request */
	uint32_t payload_bytes; /* of each command; 0 in a reply */
	uint32_t zero;
};
_Static_assert(sizeof(struct peer_header) == 16, "no padding");

#endif

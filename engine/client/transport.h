/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's port to the network: datagrams out to a replica by its number, datagrams in. An
 * adapter fills in the table: engine/client/udp.h (an ordinary socket), net/ (memif, through DPDK),
 * a test (a lossy network in memory).
 *
 * A transport may lose, repeat and reorder datagrams, and may deliver what was never sent to us:
 * the client checks, counts and retries. It must not block except in idle, and must not change the
 * bytes. One thread at a time calls the verbs of one transport, the thread that uses the client.
 */
#ifndef SYNOD_CLIENT_TRANSPORT_H
#define SYNOD_CLIENT_TRANSPORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One datagram received: the payload of one UDP packet. */
struct synod_datagram {
	const void *data; /* the transport's; at least 2-byte aligned; valid until next receive */
	uint32_t size;	  /* bytes */
	uint32_t replica; /* whom it came from, as the transport knows it; 0: it cannot tell */
};

struct synod_transport {
	void *context; /* handed back as the first argument of every verb */

	/* The largest payload that send takes and receive delivers, bytes: 1472 for UDP over a
	 * 1500-byte MTU, 8972 where frames are jumbo. */
	uint32_t datagram_size_max;

	/*
	 * Sends size bytes to a replica (1..replicas); they are copied or gone when this returns.
	 * It may queue: flush lets everything queued leave. Returns 0, or -errno: -EAGAIN (no room
	 * now), -EMSGSIZE, -ENODEV (no such replica). A failure is a lost datagram to the client.
	 */
	int (*send)(void *context, uint32_t replica, const void *data, uint32_t size);
	void (*flush)(void *context);

	/*
	 * Receives up to max datagrams, without waiting. Returns how many. They stay valid until
	 * the next call of receive (send and flush may come in between).
	 */
	unsigned int (*receive)(void *context, struct synod_datagram *datagrams, unsigned int max);

	/*
	 * Waits until something may have arrived, at most timeout_ns nanoseconds; may return early
	 * for no reason. A transport that spins may do nothing. Flush first: it may sleep.
	 */
	void (*idle)(void *context, uint64_t timeout_ns);

	/*
	 * A word of the transport's, which its verbs keep true: bit of each replica (1..replicas)
	 * to which the link is down, so that nothing that is sent arrives. A hint that saves a
	 * silence. NULL: it cannot tell.
	 */
	const uint32_t *lost;
};

#ifdef __cplusplus
}
#endif

#endif

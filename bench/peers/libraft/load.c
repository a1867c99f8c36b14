/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A closed loop of UDP requests to the leader of the libraft peer (protocol.h): one thread, one
 * socket, blocked when there is nothing to do, since the members need the cores. Commands that are
 * free at the same time leave together.
 */
#include "bench/peers/libraft/protocol.h"
#include "bench/peers/peer_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	LOOK_US = 100 * 1000,	/* how long a read blocks at most */
	RESEND_NS = 2000000000, /* loopback loses a datagram when a buffer is full */
	GENERATIONS = 1 << 16,
};

/* An outstanding write. Its id is generation * GENERATIONS + index, so an old answer shows. */
struct slot {
	uint64_t id;
	uint64_t sent_ns;   /* when it was first sent */
	uint64_t resend_ns; /* when it is sent again */
	bool outstanding;
};

static struct {
	struct synod_peer_load load;
	struct synod_peer_lane lane;
	int socket;
	uint8_t payload[SYNOD_PEER_PAYLOAD_MAX];
	struct slot slots[SYNOD_PEER_OUTSTANDING_MAX];
	uint32_t outstanding;

	/* To send next; each slot is in it at most once. */
	uint32_t free[SYNOD_PEER_OUTSTANDING_MAX];
	uint32_t free_count;

	uint8_t out[PEER_BURST][PEER_DATAGRAM_MAX];
	struct iovec out_iov[PEER_BURST];
	struct mmsghdr out_messages[PEER_BURST];
	unsigned out_count;
	uint8_t in[PEER_BURST][PEER_DATAGRAM_BYTES];
	struct iovec in_iov[PEER_BURST];
	struct mmsghdr in_messages[PEER_BURST];
} self;

static void flush(void)
{
	unsigned sent = 0;

	while (sent < self.out_count) {
		int n = sendmmsg(self.socket, self.out_messages + sent, self.out_count - sent, 0);

		if (n > 0)
			sent += (unsigned)n;
		else if (errno != EINTR && errno != EAGAIN && errno != ENOBUFS)
			break; /* the leader is gone: what is unanswered says so */
	}
	self.out_count = 0;
}

/* Puts a command into the last datagram, or into a new one. */
static void put(uint64_t id)
{
	size_t bytes = sizeof(id) + self.load.payload_bytes;
	struct peer_header header = { .magic = PEER_MAGIC,
				      .payload_bytes = self.load.payload_bytes };
	struct iovec *iov = NULL;

	if (self.out_count) {
		iov = &self.out_iov[self.out_count - 1];
		if (iov->iov_len + bytes > PEER_DATAGRAM_BYTES)
			iov = NULL;
	}
	if (!iov) {
		if (self.out_count == PEER_BURST)
			flush();
		iov = &self.out_iov[self.out_count++];
		memcpy(iov->iov_base, &header, sizeof(header));
		iov->iov_len = sizeof(header);
	}
	memcpy((uint8_t *)iov->iov_base + iov->iov_len, &id, sizeof(id));
	memcpy((uint8_t *)iov->iov_base + iov->iov_len + sizeof(id), self.payload,
	       self.load.payload_bytes);
	iov->iov_len += bytes;
	memcpy(&header, iov->iov_base, sizeof(header));
	header.count++;
	memcpy(iov->iov_base, &header, sizeof(header));
}

/* New writes in all free slots. */
static void issue(uint64_t now)
{
	for (uint32_t i = 0; i < self.free_count; i++) {
		struct slot *slot = &self.slots[self.free[i]];

		slot->id += GENERATIONS;
		slot->sent_ns = now;
		slot->resend_ns = now + RESEND_NS;
		slot->outstanding = true;
		put(slot->id);
	}
	self.outstanding += self.free_count;
	self.free_count = 0;
	flush();
}

static void resend(uint64_t now)
{
	for (uint32_t i = 0; i < self.load.outstanding; i++) {
		struct slot *slot = &self.slots[i];

		if (!slot->outstanding || now < slot->resend_ns)
			continue;
		slot->resend_ns = now + RESEND_NS;
		self.lane.resent++;
		put(slot->id);
	}
	flush();
}

static void take_reply(const uint8_t *bytes, size_t size, uint64_t now)
{
	struct peer_header header;
	uint64_t id;

	if (size < sizeof(header))
		return;
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != PEER_MAGIC || size != sizeof(header) + header.count * sizeof(id))
		return;
	if (header.status != PEER_OK) {
		self.lane.failed++; /* no longer the leader: the run will be invalid */
		return;
	}
	for (uint16_t i = 0; i < header.count; i++) {
		uint32_t index;

		memcpy(&id, bytes + sizeof(header) + i * sizeof(id), sizeof(id));
		index = (uint32_t)(id % GENERATIONS);
		if (index >= self.load.outstanding || self.slots[index].id != id ||
		    !self.slots[index].outstanding)
			continue; /* a second answer, to what was sent twice */
		self.slots[index].outstanding = false;
		self.outstanding--;
		self.free[self.free_count++] = index;
		synod_peer_load_ack(&self.load, &self.lane, self.slots[index].sent_ns, now);
	}
}

static void run(void)
{
	uint64_t look_ns = 0;
	uint64_t now;

	synod_peer_load_start(&self.load);
	for (uint32_t i = 0; i < self.load.outstanding; i++) {
		self.slots[i].id = i;
		self.free[self.free_count++] = i;
	}
	do {
		int count;

		now = synod_peer_load_now();
		if (now < self.load.end_ns)
			issue(now);
		count = recvmmsg(self.socket, self.in_messages, PEER_BURST, MSG_WAITFORONE, NULL);
		now = synod_peer_load_now();
		for (int i = 0; i < count; i++)
			take_reply(self.in[i], self.in_messages[i].msg_len, now);
		if (now >= look_ns) {
			look_ns = now + LOOK_US * 1000ull;
			resend(now);
		}
	} while (now < self.load.end_ns || (self.outstanding && now < self.load.drained_ns));
	self.lane.unanswered = self.outstanding;
}

static int open_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	const struct timeval look = { .tv_usec = LOOK_US };
	const int bytes = PEER_BUFFER_BYTES;
	char host[64];
	const char *colon = strchr(self.load.servers[0], ':');

	snprintf(host, sizeof(host), "%.*s", (int)(colon - self.load.servers[0]),
		 self.load.servers[0]);
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return -EINVAL;
	self.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (self.socket < 0 || connect(self.socket, (const struct sockaddr *)&to, sizeof(to)) ||
	    setsockopt(self.socket, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look)))
		return -errno;
	if (setsockopt(self.socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(self.socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	for (unsigned i = 0; i < PEER_BURST; i++) {
		self.out_iov[i].iov_base = self.out[i];
		self.out_messages[i].msg_hdr.msg_iov = &self.out_iov[i];
		self.out_messages[i].msg_hdr.msg_iovlen = 1;
		self.in_iov[i].iov_base = self.in[i];
		self.in_iov[i].iov_len = sizeof(self.in[i]);
		self.in_messages[i].msg_hdr.msg_iov = &self.in_iov[i];
		self.in_messages[i].msg_hdr.msg_iovlen = 1;
	}
	memset(self.payload, 'x', sizeof(self.payload));
	return 0;
}

int main(int argc, char **argv)
{
	int status = synod_peer_load_parse(&self.load, "synod-peer-libraft-load", argc, argv);
	int error;

	if (status)
		return status;
	self.load.lanes = 1;
	error = open_socket();
	if (error) {
		fprintf(stderr, "synod-peer-libraft-load: %s: %s\n", self.load.servers[0],
			strerror(-error));
		return 1;
	}
	run();
	return synod_peer_load_print(&self.load, &self.lane);
}

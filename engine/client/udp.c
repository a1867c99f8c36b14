/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's transport over an ordinary UDP socket. See udp.h. */
#include "engine/client/udp.h"

#include "engine/base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BURST = 32,
	SIZE_DEFAULT = 1472,		  /* 1500 - 20 (IPv4) - 8 (UDP) */
	SIZE_MAX_JUMBO = 8972,		  /* 9000 - 28 */
	BUFFER_SIZE = SIZE_MAX_JUMBO + 4, /* one byte more shows what was too long */
	SOCKET_BUFFER_SIZE = 4 << 20,	  /* asked for; the kernel may give less */
};

struct synod_client_udp {
	struct synod_transport transport;
	int fd; /* -1: closed */
	uint32_t replicas;
	uint32_t queued; /* datagrams gathered, to leave at flush */
	uint64_t dropped;
	struct sockaddr_in address[SYNOD_REPLICAS_MAX];

	struct mmsghdr out[BURST];
	struct iovec out_vector[BURST];
	struct mmsghdr in[BURST];
	struct iovec in_vector[BURST];
	struct sockaddr_in in_address[BURST];
	_Alignas(64) uint8_t out_buffer[BURST][BUFFER_SIZE];
	_Alignas(64) uint8_t in_buffer[BURST][BUFFER_SIZE];
};

static void udp_flush(void *context)
{
	struct synod_client_udp *udp = context;
	uint32_t sent = 0;

	while (sent < udp->queued) { /* at most BURST turns: each sends or drops one at least */
		int count = sendmmsg(udp->fd, udp->out + sent, udp->queued - sent, MSG_DONTWAIT);

		if (count > 0) {
			sent += (uint32_t)count;
			continue;
		}
		/* An earlier datagram's ICMP error, or no room: this one is lost, as any may be. */
		sent++;
	}
	udp->queued = 0;
}

static int udp_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	struct synod_client_udp *udp = context;
	uint32_t at;

	if (replica < 1 || replica > udp->replicas)
		return -ENODEV;
	if (size > udp->transport.datagram_size_max)
		return -EMSGSIZE;
	if (udp->queued == BURST)
		udp_flush(udp);
	at = udp->queued++;
	memcpy(udp->out_buffer[at], data, size);
	udp->out_vector[at].iov_len = size;
	udp->out[at].msg_hdr.msg_name = &udp->address[replica - 1];
	return 0;
}

/* The replica of an address, or 0. */
static uint32_t replica_of(const struct synod_client_udp *udp, const struct sockaddr_in *address)
{
	uint32_t index;

	for (index = 0; index < udp->replicas; index++) {
		if (udp->address[index].sin_addr.s_addr == address->sin_addr.s_addr &&
		    udp->address[index].sin_port == address->sin_port)
			return index + 1;
	}
	return 0;
}

static unsigned int udp_receive(void *context, struct synod_datagram *datagrams, unsigned int max)
{
	struct synod_client_udp *udp = context;
	unsigned int room = max < BURST ? max : BURST;
	unsigned int count = 0;
	int index;
	int received;

	for (index = 0; index < (int)room; index++)
		udp->in[index].msg_hdr.msg_namelen = sizeof(udp->in_address[index]);
	received = recvmmsg(udp->fd, udp->in, room, MSG_DONTWAIT, NULL);
	for (index = 0; index < received; index++) { /* -1: nothing, or an ICMP error: no turn */
		uint32_t replica = replica_of(udp, &udp->in_address[index]);

		if (!replica || udp->in[index].msg_len > udp->transport.datagram_size_max) {
			udp->dropped++;
			continue;
		}
		datagrams[count].data = udp->in_buffer[index];
		datagrams[count].size = udp->in[index].msg_len;
		datagrams[count].replica = replica;
		count++;
	}
	return count;
}

static void udp_idle(void *context, uint64_t timeout_ns)
{
	struct synod_client_udp *udp = context;
	struct pollfd wanted = { .fd = udp->fd, .events = POLLIN };
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / 1000000000),
		.tv_nsec = (long)(timeout_ns % 1000000000),
	};

	udp_flush(udp);
	(void)ppoll(&wanted, 1, &timeout, NULL); /* early, late or interrupted: all the same */
}

static void prepare_messages(struct synod_client_udp *udp)
{
	int index;

	for (index = 0; index < BURST; index++) {
		udp->out_vector[index].iov_base = udp->out_buffer[index];
		udp->out[index].msg_hdr.msg_iov = &udp->out_vector[index];
		udp->out[index].msg_hdr.msg_iovlen = 1;
		udp->out[index].msg_hdr.msg_namelen = sizeof(struct sockaddr_in);
		udp->in_vector[index].iov_base = udp->in_buffer[index];
		udp->in_vector[index].iov_len = udp->transport.datagram_size_max + 1;
		udp->in[index].msg_hdr.msg_iov = &udp->in_vector[index];
		udp->in[index].msg_hdr.msg_iovlen = 1;
		udp->in[index].msg_hdr.msg_name = &udp->in_address[index];
	}
}

static struct sockaddr_in socket_address(const struct synod_client_udp_address *address)
{
	struct sockaddr_in made = { .sin_family = AF_INET, .sin_port = htons(address->port) };

	memcpy(&made.sin_addr, address->ip, sizeof(made.sin_addr));
	return made;
}

size_t synod_client_udp_size(void)
{
	return sizeof(struct synod_client_udp);
}

int synod_client_udp_open(struct synod_client_udp **udp, void *memory,
			  const struct synod_client_udp_config *config)
{
	struct sockaddr_in local = socket_address(&config->local);
	struct synod_client_udp *made = memory;
	int size = SOCKET_BUFFER_SIZE;
	uint32_t index;
	int error;

	*udp = NULL;
	if ((uintptr_t)memory % 64 || config->replicas < 1 ||
	    config->replicas > SYNOD_REPLICAS_MAX || config->datagram_size_max > SIZE_MAX_JUMBO)
		return -EINVAL;
	memset(made, 0, sizeof(*made));
	made->replicas = config->replicas;
	for (index = 0; index < config->replicas; index++) {
		if (!config->replica[index].port)
			return -EINVAL;
		made->address[index] = socket_address(&config->replica[index]);
	}
	made->transport = (struct synod_transport){
		.context = made,
		.datagram_size_max =
			config->datagram_size_max ? config->datagram_size_max : SIZE_DEFAULT,
		.send = udp_send,
		.flush = udp_flush,
		.receive = udp_receive,
		.idle = udp_idle,
	};
	prepare_messages(made);
	made->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made->fd < 0)
		return -errno;
	/* Best effort: a smaller buffer only means more loss under bursts. */
	(void)setsockopt(made->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	(void)setsockopt(made->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(made->fd, (const struct sockaddr *)&local, sizeof(local)) < 0) {
		error = -errno;
		synod_client_udp_close(made);
		return error;
	}
	*udp = made;
	return 0;
}

void synod_client_udp_close(struct synod_client_udp *udp)
{
	if (udp && udp->fd >= 0)
		(void)close(udp->fd);
	if (udp)
		udp->fd = -1;
}

const struct synod_transport *synod_client_udp_transport(const struct synod_client_udp *udp)
{
	synod_assert(udp->fd >= 0);
	return &udp->transport;
}

int synod_client_udp_fd(const struct synod_client_udp *udp)
{
	return udp->fd;
}

uint64_t synod_client_udp_dropped(const struct synod_client_udp *udp)
{
	return udp->dropped;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A member of a replicated log made with libraft and its own libuv backend: the smallest program
 * that lets clients write to it over UDP (protocol.h). The state machine counts the commands and
 * keeps the last one.
 *
 * Groups: whatever is waiting in the socket becomes one raft_apply(), so one record in the leader's
 * next write and one message to each follower; libraft lets one disk write be under way and puts
 * all that arrived meanwhile into the next. An answer goes out when its own entry is applied:
 * libraft calls back once a group, at the group's first entry, which says nothing about the others.
 *
 * Set here, since libraft would look worse without it:
 *   - TCP_NODELAY: libraft leaves Nagle's algorithm on, and a small message then waits for an
 *     acknowledgement that the other end's kernel delays by up to 40 ms;
 *   - snapshots are rare: by default it takes one each 1,024 entries, dozens a second at full load.
 *
 *     synod-peer-libraft-member ID DIR UDP-PORT SNAPSHOT-ENTRIES HOST:PORT,HOST:PORT,…
 */
#include "bench/peers/libraft/protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <raft.h>
#include <raft/uv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	MEMBERS_MAX = 7,
	GROUP_MAX = 4096, /* commands of one raft_apply() */
	REPLY_IDS = (PEER_DATAGRAM_BYTES - sizeof(struct peer_header)) / sizeof(uint64_t),
	SNAPSHOT_TRAILING = 8192, /* a follower that is this far behind still needs no snapshot */
	CONNECT_RETRY_MS = 50,
};

/* A log entry: the command, and who waits for it. */
struct entry {
	uint64_t id;
	struct sockaddr_in from;
	uint8_t payload[];
};

struct reply {
	struct sockaddr_in to;
	struct peer_header header;
	uint64_t ids[REPLY_IDS];
};

struct snapshot {
	uint64_t applied;
	uint64_t last_id;
};

/* One a process. */
static struct {
	uv_loop_t loop;
	struct raft_uv_transport transport;
	struct raft_io io;
	struct raft_fsm fsm;
	struct raft raft;

	/* What the transport did before ours stood in front of it. */
	int (*connect)(struct raft_uv_transport *transport, struct raft_uv_connect *request,
		       raft_id id, const char *address, raft_uv_connect_cb done);
	raft_uv_connect_cb connected;

	int socket;
	uv_poll_t readable;
	uv_check_t turn;
	uint8_t datagrams[PEER_BURST][PEER_DATAGRAM_MAX];
	struct sockaddr_in froms[PEER_BURST];
	struct iovec received_iov[PEER_BURST];
	struct mmsghdr received[PEER_BURST];

	struct raft_buffer group[GROUP_MAX];
	unsigned group_count;
	struct reply replies[PEER_BURST];
	unsigned replies_count;

	struct snapshot state;
	uint8_t last[PEER_DATAGRAM_MAX];
} member;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "synod-peer-libraft-member: %s: %s\n", what, why);
	exit(1);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void send_replies(void)
{
	struct mmsghdr messages[PEER_BURST];
	struct iovec iov[PEER_BURST];
	unsigned sent = 0;

	memset(messages, 0, sizeof(messages));
	for (unsigned i = 0; i < member.replies_count; i++) {
		struct reply *reply = &member.replies[i];

		iov[i].iov_base = &reply->header;
		iov[i].iov_len = sizeof(reply->header) + reply->header.count * sizeof(uint64_t);
		messages[i].msg_hdr.msg_name = &reply->to;
		messages[i].msg_hdr.msg_namelen = sizeof(reply->to);
		messages[i].msg_hdr.msg_iov = &iov[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (sent < member.replies_count) {
		int n = sendmmsg(member.socket, messages + sent, member.replies_count - sent, 0);

		if (n <= 0)
			break; /* as if it were lost: the client asks again */
		sent += (unsigned)n;
	}
	member.replies_count = 0;
}

static void reply_to(const struct sockaddr_in *to, uint64_t id, enum peer_status status)
{
	struct reply *reply = NULL;

	if (member.replies_count) {
		reply = &member.replies[member.replies_count - 1];
		if (reply->header.count == REPLY_IDS || reply->header.status != status ||
		    reply->to.sin_port != to->sin_port ||
		    reply->to.sin_addr.s_addr != to->sin_addr.s_addr)
			reply = NULL;
	}
	if (!reply) {
		if (member.replies_count == PEER_BURST)
			send_replies();
		reply = &member.replies[member.replies_count++];
		reply->to = *to;
		reply->header =
			(struct peer_header){ .magic = PEER_MAGIC, .status = (uint16_t)status };
	}
	reply->ids[reply->header.count++] = id;
}

/* ---- the state machine ----------------------------------------------------------------------- */

static int apply_entry(struct raft_fsm *fsm, const struct raft_buffer *buffer, void **result)
{
	const struct entry *entry = buffer->base;

	(void)fsm;
	*result = NULL;
	if (buffer->len < sizeof(*entry) || buffer->len - sizeof(*entry) > sizeof(member.last))
		return RAFT_MALFORMED;
	memcpy(member.last, entry->payload, buffer->len - sizeof(*entry));
	member.state.applied++;
	member.state.last_id = entry->id;
	if (raft_state(&member.raft) == RAFT_LEADER)
		reply_to(&entry->from, entry->id, PEER_OK);
	return 0;
}

static int take_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffers[], unsigned *count)
{
	(void)fsm;
	*buffers = raft_malloc(sizeof(**buffers));
	if (!*buffers)
		return RAFT_NOMEM;
	(*buffers)->len = sizeof(member.state);
	(*buffers)->base = raft_malloc(sizeof(member.state));
	if (!(*buffers)->base) {
		raft_free(*buffers);
		return RAFT_NOMEM;
	}
	memcpy((*buffers)->base, &member.state, sizeof(member.state));
	*count = 1;
	return 0;
}

static int restore_snapshot(struct raft_fsm *fsm, struct raft_buffer *buffer)
{
	(void)fsm;
	if (buffer->len != sizeof(member.state))
		return RAFT_MALFORMED;
	memcpy(&member.state, buffer->base, sizeof(member.state));
	raft_free(buffer->base);
	return 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void on_group_done(struct raft_apply *request, int status, void *result)
{
	(void)status; /* leadership lost: nobody answers, the client asks again */
	(void)result;
	free(request);
}

/* Hands the group to libraft, which then owns its buffers. */
static void propose(void)
{
	struct raft_apply *request;
	int error;

	if (!member.group_count)
		return;
	request = malloc(sizeof(*request));
	if (!request)
		fail("a group of commands", "out of memory");
	error = raft_apply(&member.raft, request, member.group, member.group_count, on_group_done);
	if (error) {
		fprintf(stderr, "synod-peer-libraft-member: raft_apply: %s\n",
			raft_errmsg(&member.raft));
		for (unsigned i = 0; i < member.group_count; i++)
			raft_free(member.group[i].base);
		free(request);
	}
	member.group_count = 0;
}

static void take_command(const uint8_t *from, uint32_t payload_bytes, const struct sockaddr_in *who)
{
	/* libraft wants a multiple of 8. */
	size_t size = (sizeof(struct entry) + payload_bytes + 7) & ~(size_t)7;
	struct entry *entry = raft_malloc(size);

	if (!entry)
		fail("a command", "out of memory");
	memset((uint8_t *)entry + size - 8, 0, 8);
	memcpy(&entry->id, from, sizeof(entry->id));
	entry->from = *who;
	memcpy(entry->payload, from + sizeof(entry->id), payload_bytes);
	member.group[member.group_count].base = entry;
	member.group[member.group_count].len = size;
	member.group_count++;
}

static void take_datagram(const uint8_t *bytes, size_t size, const struct sockaddr_in *who)
{
	int leader = raft_state(&member.raft) == RAFT_LEADER;
	struct peer_header header;
	size_t command_bytes;

	if (size < sizeof(header))
		return;
	memcpy(&header, bytes, sizeof(header));
	command_bytes = sizeof(uint64_t) + header.payload_bytes;
	if (header.magic != PEER_MAGIC || header.payload_bytes > PEER_DATAGRAM_MAX ||
	    header.count > GROUP_MAX || size != sizeof(header) + header.count * command_bytes)
		return;
	if (!header.count || !leader) {
		reply_to(who, member.state.applied, leader ? PEER_OK : PEER_NOT_LEADER);
		return;
	}
	if (member.group_count + header.count > GROUP_MAX)
		propose();
	for (uint16_t i = 0; i < header.count; i++)
		take_command(bytes + sizeof(header) + i * command_bytes, header.payload_bytes, who);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	int count;

	(void)poll;
	if (status || !(events & UV_READABLE))
		return;
	for (unsigned i = 0; i < PEER_BURST; i++)
		member.received[i].msg_hdr.msg_namelen = sizeof(member.froms[i]);
	count = recvmmsg(member.socket, member.received, PEER_BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		take_datagram(member.datagrams[i], member.received[i].msg_len, &member.froms[i]);
	propose();
}

/* After each turn of the loop. */
static void on_turn(uv_check_t *turn)
{
	(void)turn;
	if (member.replies_count)
		send_replies();
}

/* ---- the start ------------------------------------------------------------------------------- */

static void on_connected(struct raft_uv_connect *request, struct uv_stream_s *stream, int status)
{
	if (!status)
		uv_tcp_nodelay((uv_tcp_t *)stream, 1);
	member.connected(request, stream, status);
}

static int connect_without_delay(struct raft_uv_transport *transport,
				 struct raft_uv_connect *request, raft_id id, const char *address,
				 raft_uv_connect_cb done)
{
	member.connected = done; /* libraft has one for all connections */
	return member.connect(transport, request, id, address, on_connected);
}

static void open_socket(uint16_t port)
{
	const struct sockaddr_in at = { .sin_family = AF_INET,
					.sin_port = htons(port),
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int bytes = PEER_BUFFER_BYTES;

	member.socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (member.socket < 0 || bind(member.socket, (const struct sockaddr *)&at, sizeof(at)))
		fail("UDP socket", strerror(errno));
	/* Beyond the system's limit where that is allowed. */
	if (setsockopt(member.socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		(void)setsockopt(member.socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	for (unsigned i = 0; i < PEER_BURST; i++) {
		member.received_iov[i].iov_base = member.datagrams[i];
		member.received_iov[i].iov_len = PEER_DATAGRAM_MAX;
		member.received[i].msg_hdr.msg_iov = &member.received_iov[i];
		member.received[i].msg_hdr.msg_iovlen = 1;
		member.received[i].msg_hdr.msg_name = &member.froms[i];
	}
}

static void open_raft(raft_id id, const char *dir, const char *address)
{
	member.fsm.version = 1;
	member.fsm.apply = apply_entry;
	member.fsm.snapshot = take_snapshot;
	member.fsm.restore = restore_snapshot;
	if (uv_loop_init(&member.loop) || raft_uv_tcp_init(&member.transport, &member.loop))
		fail("libuv", "no loop");
	member.connect = member.transport.connect;
	member.transport.connect = connect_without_delay;
	if (raft_uv_init(&member.io, &member.loop, dir, &member.transport))
		fail(dir, member.io.errmsg);
	raft_uv_set_connect_retry_delay(&member.io, CONNECT_RETRY_MS);
	if (raft_init(&member.raft, &member.io, &member.fsm, id, address))
		fail(address, raft_errmsg(&member.raft));
}

/* A new log of the given members; starts. */
static void bootstrap(char *const addresses[], unsigned count, unsigned snapshot_entries)
{
	struct raft_configuration configuration;

	raft_configuration_init(&configuration);
	for (unsigned i = 0; i < count; i++) {
		if (raft_configuration_add(&configuration, i + 1, addresses[i], RAFT_VOTER))
			fail(addresses[i], "not a member");
	}
	if (raft_bootstrap(&member.raft, &configuration))
		fail("bootstrap", raft_errmsg(&member.raft));
	raft_configuration_close(&configuration);
	raft_set_snapshot_threshold(&member.raft, snapshot_entries);
	raft_set_snapshot_trailing(&member.raft, SNAPSHOT_TRAILING);
	raft_set_pre_vote(&member.raft, true);
	if (raft_start(&member.raft))
		fail("start", raft_errmsg(&member.raft));
}

int main(int argc, char **argv)
{
	char *addresses[MEMBERS_MAX];
	unsigned count = 0;
	unsigned long id;
	char *rest;

	if (argc != 6)
		fail("arguments", "ID DIR UDP-PORT SNAPSHOT-ENTRIES HOST:PORT,HOST:PORT,…");
	rest = argv[5];
	while (count < MEMBERS_MAX && (addresses[count] = strsep(&rest, ",")) != NULL)
		count++;
	id = strtoul(argv[1], NULL, 10);
	if (id < 1 || id > count)
		fail(argv[1], "no such member");
	open_socket((uint16_t)strtoul(argv[3], NULL, 10));
	open_raft(id, argv[2], addresses[id - 1]);
	bootstrap(addresses, count, (unsigned)strtoul(argv[4], NULL, 10));
	if (uv_poll_init(&member.loop, &member.readable, member.socket) ||
	    uv_poll_start(&member.readable, UV_READABLE, on_readable) ||
	    uv_check_init(&member.loop, &member.turn) || uv_check_start(&member.turn, on_turn))
		fail("libuv", "no handles");
	/* Until a signal ends it: nothing is to be kept, and what was acknowledged is durable. */
	return uv_run(&member.loop, UV_RUN_DEFAULT);
}

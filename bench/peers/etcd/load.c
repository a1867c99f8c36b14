/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A closed loop of Put to one member of an etcd cluster: gRPC by hand over HTTP/2 (nghttp2), so
 * that one thread, several connections and one write() for all requests that are free together
 * leave the cores to the members.
 *
 * A call is a stream: HEADERS, DATA { 0, length, PutRequest } from here; HEADERS, DATA, HEADERS
 * with grpc-status from there. PutRequest is { bytes key = 1; bytes value = 2; }.
 */
#include "bench/peers/peer_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BUFFER_BYTES = 1 << 18,
	FRAME_BYTES = (1 << 14) + 9, /* the largest that etcd takes unless it says otherwise */
	WINDOW_BYTES = 1 << 26,
	HEADERS = 6, /* of a call */
	GRPC_PREFIX = 5,
	BODY_EXTRA = 32, /* prefix, tags, lengths and key */
	KEYS = 1024,
	LOOK_MS = 100,
};

/* One outstanding Put. */
struct slot {
	uint64_t sent_ns;
	uint8_t *body;
	size_t body_bytes;
	size_t body_sent;
	bool ok; /* grpc-status 0 was seen */
};

struct lane {
	nghttp2_session *session;
	struct synod_peer_lane *counts;
	int socket;
	bool broken;
	bool writable_wanted;
	uint32_t first; /* of its slots */
	uint32_t free_count;
	uint32_t share;
	uint32_t *free; /* its slots that may be issued, share of them at most */
	uint8_t out[BUFFER_BYTES];
	size_t out_begin, out_end;
};

static struct {
	struct synod_peer_load load;
	struct synod_peer_lane counts[SYNOD_PEER_LANES_MAX];
	struct lane lanes[SYNOD_PEER_LANES_MAX];
	struct slot slots[SYNOD_PEER_OUTSTANDING_MAX];
	uint32_t free[SYNOD_PEER_OUTSTANDING_MAX];
	nghttp2_nv headers[HEADERS];
	uint8_t in[BUFFER_BYTES];
	int poll;
	uint64_t now;
} self;

/* ---- one call -------------------------------------------------------------------------------- */

static size_t put_varint(uint8_t *to, uint32_t value)
{
	size_t bytes = 0;

	for (; value >= 0x80; value >>= 7)
		to[bytes++] = (uint8_t)(value | 0x80);
	to[bytes++] = (uint8_t)value;
	return bytes;
}

/* The body of a slot's Put: always the same. */
static int make_body(struct slot *slot, uint32_t index)
{
	uint32_t value_bytes = self.load.payload_bytes;
	char key[8];
	uint32_t length;
	size_t at = GRPC_PREFIX;

	slot->body = malloc(BODY_EXTRA + value_bytes);
	if (!slot->body)
		return -ENOMEM;
	snprintf(key, sizeof(key), "k%06u", index % KEYS);
	slot->body[at++] = 1 << 3 | 2;
	at += put_varint(slot->body + at, sizeof(key));
	memcpy(slot->body + at, key, sizeof(key));
	at += sizeof(key);
	slot->body[at++] = 2 << 3 | 2;
	at += put_varint(slot->body + at, value_bytes);
	memset(slot->body + at, 'x', value_bytes);
	slot->body_bytes = at + value_bytes;
	slot->body[0] = 0; /* not compressed */
	length = htonl((uint32_t)(slot->body_bytes - GRPC_PREFIX));
	memcpy(slot->body + 1, &length, sizeof(length));
	return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *to, size_t size,
			 uint32_t *flags, nghttp2_data_source *source, void *context)
{
	struct slot *slot = source->ptr;
	size_t left = slot->body_bytes - slot->body_sent;

	(void)session;
	(void)stream;
	(void)context;
	if (left <= size) {
		size = left;
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	}
	memcpy(to, slot->body + slot->body_sent, size);
	slot->body_sent += size;
	return (ssize_t)size;
}

/* The same of all calls. nghttp2 wants text that it could change, and does not. */
static void make_headers(void)
{
	static char text[HEADERS][2][24] = {
		{ ":method", "POST" },
		{ ":scheme", "http" },
		{ ":path", "/etcdserverpb.KV/Put" },
		{ ":authority", "etcd" },
		{ "content-type", "application/grpc" },
		{ "te", "trailers" },
	};

	for (uint32_t i = 0; i < HEADERS; i++) {
		self.headers[i].name = (uint8_t *)text[i][0];
		self.headers[i].namelen = strlen(text[i][0]);
		self.headers[i].value = (uint8_t *)text[i][1];
		self.headers[i].valuelen = strlen(text[i][1]);
	}
}

/* Puts of all slots that are free. */
static void issue(struct lane *lane)
{
	while (lane->free_count) {
		struct slot *slot = &self.slots[lane->free[--lane->free_count]];
		nghttp2_data_provider body = { .source.ptr = slot, .read_callback = read_body };

		slot->sent_ns = self.now;
		slot->body_sent = 0;
		slot->ok = false;
		if (nghttp2_submit_request(lane->session, NULL, self.headers, HEADERS, &body,
					   slot) < 0) {
			lane->broken = true;
			return;
		}
	}
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
		     void *context)
{
	static const char wanted[] = "grpc-status";
	struct slot *slot;

	(void)flags;
	(void)context;
	if (name_bytes != sizeof(wanted) - 1 || memcmp(name, wanted, name_bytes) != 0)
		return 0;
	slot = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (slot)
		slot->ok = value_bytes == 1 && *value == '0';
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *context)
{
	struct slot *slot = nghttp2_session_get_stream_user_data(session, stream);
	struct lane *lane = context;

	if (!slot)
		return 0;
	if (slot->ok && !error)
		synod_peer_load_ack(&self.load, lane->counts, slot->sent_ns, self.now);
	else
		lane->counts->failed++;
	lane->free[lane->free_count++] = (uint32_t)(slot - self.slots);
	return 0;
}

/* ---- connections ---------------------------------------------------------------------------- */

static void want_writable(struct lane *lane, bool wanted)
{
	struct epoll_event event = { .events = EPOLLIN | (wanted ? EPOLLOUT : 0),
				     .data.ptr = lane };

	if (wanted == lane->writable_wanted)
		return;
	lane->writable_wanted = wanted;
	if (epoll_ctl(self.poll, EPOLL_CTL_MOD, lane->socket, &event))
		lane->broken = true;
}

/* Gathers frames into the buffer, while any frame would fit: one taken out cannot be put back. */
static void gather(struct lane *lane)
{
	while (lane->out_end + FRAME_BYTES <= sizeof(lane->out)) {
		const uint8_t *frame;
		ssize_t bytes = nghttp2_session_mem_send(lane->session, &frame);

		if (bytes < 0 || (size_t)bytes > sizeof(lane->out) - lane->out_end)
			lane->broken = true;
		if (bytes <= 0 || lane->broken)
			return;
		memcpy(lane->out + lane->out_end, frame, (size_t)bytes);
		lane->out_end += (size_t)bytes;
	}
}

static void send_all(struct lane *lane)
{
	while (!lane->broken) {
		ssize_t sent;

		if (lane->out_begin == lane->out_end) {
			lane->out_begin = lane->out_end = 0;
			gather(lane);
		}
		if (lane->out_end == 0)
			break;
		sent = send(lane->socket, lane->out + lane->out_begin,
			    lane->out_end - lane->out_begin, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN) {
			want_writable(lane, true);
			return;
		}
		if (sent < 0 && errno != EINTR)
			lane->broken = true;
		if (sent > 0)
			lane->out_begin += (size_t)sent;
	}
	want_writable(lane, false);
}

static void receive(struct lane *lane)
{
	ssize_t bytes = recv(lane->socket, self.in, sizeof(self.in), 0);

	self.now = synod_peer_load_now();
	if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (bytes <= 0 || nghttp2_session_mem_recv(lane->session, self.in, (size_t)bytes) < 0)
		lane->broken = true;
}

static int open_session(struct lane *lane)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES },
	};
	nghttp2_session_callbacks *callbacks;
	int error;

	if (nghttp2_session_callbacks_new(&callbacks))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	error = nghttp2_session_client_new(&lane->session, callbacks, lane);
	nghttp2_session_callbacks_del(callbacks);
	if (error || nghttp2_submit_settings(lane->session, NGHTTP2_FLAG_NONE, settings, 2) ||
	    nghttp2_session_set_local_window_size(lane->session, NGHTTP2_FLAG_NONE, 0,
						  WINDOW_BYTES))
		return -ENOMEM;
	return 0;
}

static int open_lane(struct lane *lane, const struct sockaddr_in *to)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = lane };
	const int on = 1;

	lane->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (lane->socket < 0 || connect(lane->socket, (const struct sockaddr *)to, sizeof(*to)) ||
	    setsockopt(lane->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
	    fcntl(lane->socket, F_SETFL, O_NONBLOCK) ||
	    epoll_ctl(self.poll, EPOLL_CTL_ADD, lane->socket, &event))
		return -errno;
	return open_session(lane);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static int open_all(void)
{
	const char *colon = strchr(self.load.servers[0], ':');
	struct sockaddr_in to = { .sin_family = AF_INET };
	uint32_t next = 0;
	char host[64];
	int error = 0;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - self.load.servers[0]),
		 self.load.servers[0]);
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	self.poll = epoll_create1(EPOLL_CLOEXEC);
	if (self.poll < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return -EINVAL;
	for (uint32_t i = 0; i < self.load.lanes && !error; i++) {
		struct lane *lane = &self.lanes[i];

		lane->counts = &self.counts[i];
		lane->share = synod_peer_load_share(&self.load, i);
		lane->free = &self.free[next];
		for (; lane->free_count < lane->share && !error; next++) {
			lane->free[lane->free_count++] = next;
			error = make_body(&self.slots[next], next);
		}
		if (!error)
			error = open_lane(lane, &to);
	}
	return error;
}

/* How many are under way. */
static uint32_t outstanding(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < self.load.lanes; i++)
		sum += self.lanes[i].share - self.lanes[i].free_count;
	return sum;
}

static void turn(struct lane *lane, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(lane);
	if (self.now < self.load.end_ns && !lane->broken)
		issue(lane);
	send_all(lane);
	if (lane->broken) {
		/* What is under way on it stays unanswered. */
		(void)epoll_ctl(self.poll, EPOLL_CTL_DEL, lane->socket, NULL);
	}
}

static void run(void)
{
	struct epoll_event events[SYNOD_PEER_LANES_MAX];

	synod_peer_load_start(&self.load);
	self.now = self.load.start_ns;
	for (uint32_t i = 0; i < self.load.lanes; i++)
		turn(&self.lanes[i], 0);
	do {
		int count = epoll_wait(self.poll, events, SYNOD_PEER_LANES_MAX, LOOK_MS);

		self.now = synod_peer_load_now();
		for (int i = 0; i < count; i++)
			turn(events[i].data.ptr, events[i].events);
	} while (self.now < self.load.end_ns || (outstanding() && self.now < self.load.drained_ns));
	for (uint32_t i = 0; i < self.load.lanes; i++)
		self.counts[i].unanswered = self.lanes[i].share - self.lanes[i].free_count;
}

int main(int argc, char **argv)
{
	int status = synod_peer_load_parse(&self.load, "synod-peer-etcd-load", argc, argv);
	int error;

	if (status)
		return status;
	make_headers();
	error = open_all();
	if (error) {
		fprintf(stderr, "synod-peer-etcd-load: %s: %s\n", self.load.servers[0],
			strerror(-error));
		return 1;
	}
	run();
	return synod_peer_load_print(&self.load, self.counts);
}

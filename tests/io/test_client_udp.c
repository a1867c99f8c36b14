/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's kernel UDP transport and the queries, against a replica of few words in a child
 * process, on the loopback interface.
 */
#include "engine/client/client.h"
#include "engine/client/queries.h"
#include "engine/client/udp.h"
#include "engine/wire/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	CLUSTER = 77,
	APPLIED = 1000,
	SESSION = 5
};

static struct synod_client_udp *udp;
static void *udp_memory;
static pid_t replica;
static uint8_t request[9000];
static uint8_t reply[9000];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint32_t put_results(const struct synod_wire_view *view, uint64_t *session)
{
	uint32_t at = 0;
	uint32_t size = 0;

	while (at < view->body_size) {
		struct synod_wire_command command;
		struct synod_wire_result result = { .size = 3 };

		memcpy(&command, view->body + at, sizeof(command));
		*session = command.session;
		result.number = command.number;
		result.position = command.session ? command.number : SESSION;
		result.window = command.session ? 0 : SYNOD_SESSION_WINDOW_MIN;
		memcpy(reply + SYNOD_HEADER_SIZE + size, &result, sizeof(result));
		memcpy(reply + SYNOD_HEADER_SIZE + size + sizeof(result), "yes\0\0\0\0", 8);
		size += (uint32_t)sizeof(result) + 8;
		at += synod_wire_command_size(&command);
	}
	return size;
}

/* Commands of 5 bytes, as many as were asked for and fit. */
static uint32_t put_tail(const struct synod_wire_view *view)
{
	uint64_t position = view->header->slot;
	uint64_t end = position + (view->header->argument & UINT32_MAX);
	uint32_t size = 0;

	for (; position < end && position <= APPLIED && size + 32 <= view->body_size; position++) {
		struct synod_wire_tail entry = { .position = position, .size = 5, .total = 5 };

		memcpy(reply + SYNOD_HEADER_SIZE + size, &entry, sizeof(entry));
		memcpy(reply + SYNOD_HEADER_SIZE + size + sizeof(entry), "hello\0\0", 8);
		size += (uint32_t)sizeof(entry) + 8;
	}
	return size;
}

static uint32_t put_status(void)
{
	struct synod_wire_status status = { .role = SYNOD_ROLE_LEADER, .position = APPLIED };

	memcpy(reply + SYNOD_HEADER_SIZE, &status, sizeof(status));
	return sizeof(status);
}

static uint32_t answer(const struct synod_wire_view *view)
{
	struct synod_wire_header *header = (struct synod_wire_header *)reply;
	uint64_t session = view->header->slot;
	uint32_t size;

	memset(header, 0, sizeof(*header));
	if (view->header->type == SYNOD_REQUEST)
		size = put_results(view, &session);
	else
		size = view->header->type == SYNOD_TAIL_QUERY ? put_tail(view) : put_status();
	header->type = (uint8_t)(view->header->type + 1);
	header->cluster = CLUSTER;
	header->sender = view->header->receiver;
	header->slot = session;
	header->argument =
		view->header->type == SYNOD_TAIL_QUERY ? APPLIED : view->header->argument;
	synod_wire_seal(header, NULL, reply + SYNOD_HEADER_SIZE, size);
	return SYNOD_HEADER_SIZE + size;
}

static void serve(int fd, uint32_t self)
{
	for (;;) {
		struct sockaddr_in from;
		socklen_t from_size = sizeof(from);
		ssize_t size = recvfrom(fd, request, sizeof(request), 0, (struct sockaddr *)&from,
					&from_size);
		struct synod_wire_view view;
		uint32_t out;

		if (size < 0 || synod_wire_decode(request, (size_t)size, CLUSTER, self, &view))
			_exit(1);
		out = answer(&view);
		if (out > (uint32_t)size && view.header->type != SYNOD_REQUEST)
			_exit(2); /* more bytes than were asked with */
		(void)!sendto(fd, reply, out, 0, (struct sockaddr *)&from, from_size);
	}
}

/* A socket on a free port of the loopback interface. */
static int bound_socket(struct synod_client_udp_address *address)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	memcpy(address->ip, &at.sin_addr, 4);
	address->port = ntohs(at.sin_port);
	return fd;
}

/* Replica 1 is an address where nobody listens; replica 2 answers. */
static int setup(void **state)
{
	struct synod_client_udp_config config = { .replicas = 2 };
	int nobody;
	int fd;

	(void)state;
	nobody = bound_socket(&config.replica[0]);
	fd = bound_socket(&config.replica[1]);
	close(nobody);
	replica = fork();
	assert_true(replica >= 0);
	if (replica == 0)
		serve(fd, 2);
	close(fd);
	udp_memory = aligned_alloc(64, (synod_client_udp_size() + 63) & ~(size_t)63);
	assert_non_null(udp_memory);
	assert_int_equal(synod_client_udp_open(&udp, udp_memory, &config), 0);
	return 0;
}

static int teardown(void **state)
{
	int status;

	(void)state;
	assert_int_equal(kill(replica, SIGKILL), 0);
	assert_int_equal(waitpid(replica, &status, 0), replica);
	assert_true(WIFSIGNALED(status)); /* it had not given up on us */
	synod_client_udp_close(udp);
	free(udp_memory);
	return 0;
}

static void commands_reach_the_replica_that_listens_and_results_come_back(void **state)
{
	enum {
		COUNT = 1000
	};
	static struct synod_client_op ops[COUNT];
	static char results[COUNT][4];
	const struct synod_transport *transport = synod_client_udp_transport(udp);
	struct synod_client_config config = { .struct_size = sizeof(config),
					      .replicas = 2,
					      .cluster = CLUSTER,
					      .nonce = 1,
					      .outstanding_max = COUNT,
					      .deadline_ns = 10000000000 };
	void *memory = aligned_alloc(64, (synod_client_size() + 63) & ~(size_t)63);
	struct synod_client_op *done[64];
	struct synod_client *client;
	uint32_t completed = 0;
	uint32_t index;

	(void)state;
	assert_non_null(memory);
	assert_int_equal(synod_client_init(&client, memory, &config, transport), 0);
	for (index = 0; index < COUNT; index++) {
		struct synod_client_op *op = &ops[index];

		*op = (struct synod_client_op){
			.data = "payload", .size = 7, .result = results[index], .result_capacity = 4
		};
		assert_int_equal(synod_client_submit(client, &op, 1, now_ns()), 1);
	}
	while (completed < COUNT) {
		uint32_t count = synod_client_poll(client, done, 64, now_ns());

		completed += count;
		if (!count)
			transport->idle(transport->context, 1000000);
	}
	for (index = 0; index < COUNT; index++) {
		assert_int_equal(ops[index].status, SYNOD_OK);
		assert_int_equal(ops[index].session, SESSION);
		assert_int_equal(ops[index].position, ops[index].number);
		assert_int_equal(ops[index].result_size, 3);
		assert_string_equal(results[index], "yes");
	}
	assert_int_equal(synod_client_leader(client), 2);
	free(memory);
}

static struct synod_query query_of(uint32_t to, uint64_t timeout_ms)
{
	return (struct synod_query){ .transport = synod_client_udp_transport(udp),
				     .cluster = CLUSTER,
				     .replica = to,
				     .timeout_ns = timeout_ms * 1000000 };
}

static void the_status_is_answered_or_time_is_up(void **state)
{
	struct synod_query query = query_of(2, 5000);
	struct synod_query nobody = query_of(1, 250);
	struct synod_query nowhere = query_of(3, 250);
	struct synod_wire_status status;

	(void)state;
	assert_int_equal(synod_query_status(&query, &status), 0);
	assert_int_equal(status.role, SYNOD_ROLE_LEADER);
	assert_int_equal(status.position, APPLIED);
	assert_int_equal(synod_query_status(&nobody, &status), -ETIMEDOUT);
	assert_int_equal(synod_query_status(&nowhere, &status), -ENODEV);
}

static void the_whole_sequence_is_read_by_asking_on(void **state)
{
	static struct synod_query_tail tail;
	struct synod_query query = query_of(2, 5000);
	struct synod_query_range range = { .count = 10000 };
	uint64_t position = 1;
	uint32_t answers = 0;

	(void)state;
	do {
		struct synod_wire_tail entry;
		const void *data;
		uint32_t at = 0;

		range.position = position;
		assert_int_equal(synod_query_tail(&query, &range, &tail), 0);
		assert_int_equal(tail.position_applied, APPLIED);
		while (synod_query_tail_next(&tail, &at, &entry, &data)) {
			assert_int_equal(entry.position, position++);
			assert_int_equal(entry.size, 5);
			assert_memory_equal(data, "hello", 5);
		}
		answers++;
	} while (tail.count);
	assert_int_equal(position, APPLIED + 1);
	assert_true(answers > 10);
	range.position = 0;
	assert_int_equal(synod_query_tail(&query, &range, &tail), -EINVAL);
	range.position = 1;
	range.count = 0;
	assert_int_equal(synod_query_tail(&query, &range, &tail), -EINVAL);
}

static void strangers_datagrams_are_dropped_and_counted(void **state)
{
	const struct synod_transport *transport = synod_client_udp_transport(udp);
	struct synod_datagram datagrams[8];
	struct sockaddr_in to;
	socklen_t size = sizeof(to);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	assert_int_equal(getsockname(synod_client_udp_fd(udp), (struct sockaddr *)&to, &size), 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sendto(fd, "boo", 3, 0, (struct sockaddr *)&to, sizeof(to)), 3);
	transport->idle(transport->context, 1000000000);
	assert_int_equal(transport->receive(transport->context, datagrams, 8), 0);
	assert_int_equal(synod_client_udp_dropped(udp), 1);
	assert_int_equal(transport->send(transport->context, 1, request, 1473), -EMSGSIZE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_reach_the_replica_that_listens_and_results_come_back),
		cmocka_unit_test(the_status_is_answered_or_time_is_up),
		cmocka_unit_test(the_whole_sequence_is_read_by_asking_on),
		cmocka_unit_test(strangers_datagrams_are_dropped_and_counted),
	};

	return cmocka_run_group_tests_name("client_udp", tests, setup, teardown);
}

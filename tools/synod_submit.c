/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod submit: the lines of standard input become commands, in their order; their positions are
 * printed, one a line, in the same order.
 *
 * Order costs a round trip a datagram: lines are gathered until a request datagram is full (or no
 * more can be read just now), and the next ones wait until all of these are answered. A datagram is
 * lost, refused or repeated whole, so its commands keep their order, and so do the datagrams. With
 * --any-order many datagrams are under way, and one that is sent again may be overtaken.
 *
 * A line that does not fit a datagram is sent in parts by the client, alone. One that is too long
 * is told and left out; a line whose fate is not known, or that was refused, ends the run, since
 * what follows must not overtake it. Its place in the output is "-".
 */
#include "engine/client/client.h"
#include "engine/wire/wire.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	OPS_MAX = SYNOD_SESSION_WINDOW_MAX / 4, /* lines under way */
	INPUT_SIZE = 64 * 1024,
	LINE_ROOM_KEPT = 16 * 1024, /* bytes that a line's buffer keeps for the next one */
	HELD_MAX = 8 * 1024 * 1024, /* bytes read ahead */
	BURST = 64,
};

struct line {
	struct synod_client_op op;
	uint64_t number; /* in the input, from 1 */
	int done;
	int skipped; /* too long: never submitted */
	size_t room; /* of bytes */
	uint8_t *bytes;
};

/* Lines [begin, end) are read and not yet printed; those before sent are submitted. */
struct submit {
	struct synod_client *client;
	struct synod_transport transport;
	struct line *lines; /* OPS_MAX, by free-running index */
	uint64_t begin;
	uint64_t sent;
	uint64_t end;
	uint32_t group_size; /* bytes of commands read and not yet sent */
	uint32_t group_size_max;
	size_t held; /* room of all lines */
	uint32_t line_size_max;
	uint64_t lines_read;
	int any_order;
	int ended;  /* no more input */
	int failed; /* something was complained of */
	int stop;   /* nothing more is to be submitted */

	uint8_t input[INPUT_SIZE];
	size_t input_at;
	size_t input_end;
};

static struct line *line_at(struct submit *submit, uint64_t index)
{
	return &submit->lines[index % OPS_MAX];
}

/* More input into the buffer. Returns 0 when none can be had now, or there is no more. */
static int fill_input(struct submit *submit, int wait)
{
	struct pollfd descriptor = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t size;

	if (submit->input_at < submit->input_end)
		return 1;
	if (submit->ended || (!wait && poll(&descriptor, 1, 0) == 0))
		return 0;
	do
		size = read(STDIN_FILENO, submit->input, INPUT_SIZE);
	while (size < 0 && errno == EINTR);
	if (size < 0) {
		synod_tool_complain("standard input: %s", strerror(errno));
		submit->failed = 1;
	}
	submit->ended = size <= 0;
	submit->input_at = 0;
	submit->input_end = size > 0 ? (size_t)size : 0;
	return size > 0;
}

/* Makes room for size bytes in a line. Returns 0, or -1: no memory. */
static int make_room(struct submit *submit, struct line *line, size_t size)
{
	size_t room = line->room ? line->room : 256;
	uint8_t *bytes;

	if (size <= line->room)
		return 0;
	while (room < size)
		room *= 2;
	bytes = realloc(line->bytes, room);
	if (!bytes)
		return -1;
	submit->held += room - line->room;
	line->bytes = bytes;
	line->room = room;
	return 0;
}

/* The line is done with; what it held beyond the usual goes back. */
static void release(struct submit *submit, struct line *line)
{
	if (line->room <= LINE_ROOM_KEPT)
		return;
	submit->held -= line->room;
	free(line->bytes);
	line->bytes = NULL;
	line->room = 0;
}

static void complain_of_size(struct submit *submit, const struct line *line, uint64_t size)
{
	submit->failed = 1;
	if (size > submit->line_size_max)
		synod_tool_complain("line %" PRIu64 ": %" PRIu64
				    " bytes, a command has at most %u; "
				    "left out, split it",
				    line->number, size, submit->line_size_max);
	else
		synod_tool_complain("line %" PRIu64 ": no memory for %" PRIu64 " bytes; left out",
				    line->number, size);
}

/* The rest of a line that has begun; waits for it. */
static void read_line(struct submit *submit, struct line *line)
{
	uint64_t size = 0;
	int whole = 0;
	int fits = 1;

	while (!whole && fill_input(submit, 1)) {
		const uint8_t *from = submit->input + submit->input_at;
		size_t room = submit->input_end - submit->input_at;
		const uint8_t *newline = memchr(from, '\n', room);
		size_t part = newline ? (size_t)(newline - from) : room;

		fits = fits && size + part <= submit->line_size_max &&
		       make_room(submit, line, size + part) == 0;
		if (fits && part)
			memcpy(line->bytes + size, from, part);
		size += part;
		submit->input_at += part + (newline != NULL);
		whole = newline != NULL;
	}
	line->number = ++submit->lines_read;
	line->skipped = !fits;
	line->done = line->skipped;
	memset(&line->op, 0, sizeof(line->op));
	line->op.data = line->bytes;
	line->op.size = line->skipped ? 0 : (uint32_t)size;
	line->op.user_data = (uint64_t)(uintptr_t)line;
	if (line->skipped)
		complain_of_size(submit, line, size);
}

static uint32_t size_in_datagram(const struct line *line)
{
	return SYNOD_COMMAND_HEADER_SIZE + SYNOD_WIRE_ALIGN(line->op.size);
}

/* Reads lines until a datagram is full, or no more are there without waiting for them. */
static void read_group(struct submit *submit)
{
	while (submit->group_size < submit->group_size_max &&
	       submit->end - submit->begin < OPS_MAX && submit->held < HELD_MAX) {
		struct line *line = line_at(submit, submit->end);

		/* With nothing else to do, wait for input; else only look. */
		if (!fill_input(submit, submit->begin == submit->end))
			return;
		read_line(submit, line);
		submit->end++;
		if (!line->skipped)
			submit->group_size += size_in_datagram(line);
	}
}

/* Submits what may go now: all that was read, or in order one datagram's worth, or a long line. */
static void send_group(struct submit *submit)
{
	uint32_t size = 0;
	uint64_t begin = submit->sent;

	if (!submit->any_order && synod_client_outstanding(submit->client))
		return;
	while (submit->sent < submit->end) {
		struct line *line = line_at(submit, submit->sent);
		struct synod_client_op *op = &line->op;

		if (!line->skipped) {
			size += size_in_datagram(line);
			if (!submit->any_order && size > submit->group_size_max &&
			    submit->sent > begin)
				return;
			if (synod_client_submit(submit->client, &op, 1, synod_tool_now_ns()) == 0)
				return;
			submit->group_size -= size_in_datagram(line);
		}
		submit->sent++;
	}
}

static void complain_of_line(struct submit *submit, const struct line *line)
{
	const char *name = synod_status_name(line->op.status);

	submit->failed = 1;
	if (synod_client_fenced(submit->client) && !line->op.session) {
		if (!submit->stop)
			synod_tool_complain("line %" PRIu64
					    ": not submitted: a later run under this identity has "
					    "taken over",
					    line->number);
		submit->stop = 1;
		return;
	}
	switch (line->op.status) {
	case SYNOD_NOT_LEADER:
		synod_tool_complain("line %" PRIu64
				    ": no replica leads; not submitted. Are the replicas "
				    "running? See `synod status`",
				    line->number);
		break;
	case SYNOD_FULL:
		synod_tool_complain("line %" PRIu64
				    ": refused, the journal has no room; format larger "
				    "ones",
				    line->number);
		break;
	case SYNOD_UNKNOWN:
	case SYNOD_SESSION_EVICTED:
		synod_tool_complain("line %" PRIu64
				    ": %s: whether it was ordered is not known; look with "
				    "`synod tail`",
				    line->number, name);
		break;
	default:
		synod_tool_complain("line %" PRIu64 ": %s", line->number, name);
		return; /* it has its position, and what follows may follow */
	}
	submit->stop = 1;
}

/* Takes what completed, prints what is next in line. */
static void reap(struct submit *submit)
{
	struct synod_client_op *ops[BURST];
	uint32_t count = synod_client_poll(submit->client, ops, BURST, synod_tool_now_ns());

	for (uint32_t i = 0; i < count; i++) {
		struct line *line = (struct line *)(uintptr_t)ops[i]->user_data;

		line->done = 1;
		if (ops[i]->status != SYNOD_OK)
			complain_of_line(submit, line);
	}
	while (submit->begin < submit->sent && line_at(submit, submit->begin)->done) {
		struct line *line = line_at(submit, submit->begin);

		if (line->op.position)
			printf("%" PRIu64 "\n", line->op.position);
		else
			printf("-\n");
		release(submit, line);
		submit->begin++;
	}
	if (submit->begin == submit->sent && fflush(stdout))
		submit->stop = 1; /* nobody reads the positions: said by finish */
	if (!count && synod_client_outstanding(submit->client)) {
		uint64_t now = synod_tool_now_ns();
		uint64_t deadline = synod_client_deadline(submit->client);

		submit->transport.idle(submit->transport.context, deadline > now + 1000000 ? 1000000
								  : deadline > now ? deadline - now
										   : 0);
	}
}

static int run(struct submit *submit)
{
	uint64_t left;

	while (!submit->stop && !(submit->ended && submit->begin == submit->end)) {
		read_group(submit);
		send_group(submit);
		reap(submit);
	}
	while (synod_client_outstanding(submit->client)) /* each ends at its deadline */
		reap(submit);
	left = submit->end - submit->sent;
	if (submit->stop && (left || !submit->ended))
		synod_tool_complain("stopped; nothing after line %" PRIu64 " was submitted",
				    submit->lines_read - left);
	if (submit->stop)
		submit->failed = 1;
	return synod_tool_finish() || submit->failed ? SYNOD_TOOL_FAILED : SYNOD_TOOL_DONE;
}

/* Greater in each run, as long as nobody sets the clock back. */
static uint64_t wall_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static int begin(struct submit *submit, const struct synod_config *config, uint64_t timeout_s,
		 uint64_t identity)
{
	const struct synod_client_config client_config = {
		.struct_size = sizeof(client_config),
		.replicas = config->replicas,
		.cluster = config->id,
		.nonce = synod_tool_random(),
		.outstanding_max = OPS_MAX,
		.deadline_ns = timeout_s * 1000000000ull,
		.identity = identity,
		.incarnation = identity ? wall_clock_ns() : 0,
	};
	size_t size = (synod_client_size() + SYNOD_CLIENT_ALIGNMENT - 1) &
		      ~(size_t)(SYNOD_CLIENT_ALIGNMENT - 1);
	void *memory = aligned_alloc(SYNOD_CLIENT_ALIGNMENT, size);
	int result = SYNOD_TOOL_FAILED;

	submit->lines = calloc(OPS_MAX, sizeof(*submit->lines));
	if (!memory || !submit->lines)
		synod_tool_complain("no memory");
	else if (synod_client_init(&submit->client, memory, &client_config, &submit->transport))
		synod_tool_complain("the client takes no such cluster");
	else {
		submit->line_size_max = synod_client_command_size_max(submit->client);
		submit->group_size_max = synod_client_commands_size(submit->client);
		result = run(submit);
	}
	for (uint32_t i = 0; submit->lines && i < OPS_MAX; i++)
		free(submit->lines[i].bytes);
	free(submit->lines);
	free(memory);
	return result;
}

int synod_tool_submit(int argc, char **argv)
{
	static struct submit submit;
	static struct synod_config config;
	const char *path = NULL;
	uint64_t timeout_s = 30, identity = 0;
	int udp = 0, result;
	const struct synod_command command = {
		"submit", "< FILE",
		"Submits each line of standard input as a command and prints its position.",
		"Lines are ordered as they stand in the input. Exit 1 if any line was not "
		"ordered, or if\n"
		"it is not known whether it was; its place in the output is -.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "timeout", SYNOD_OPTION_NUMBER, &timeout_s, "SECONDS", "for each line (30)", 0 },
		{ "any-order", SYNOD_OPTION_FLAG, &submit.any_order, NULL,
		  "faster; the lines may be ordered otherwise than given", 0 },
		{ "identity", SYNOD_OPTION_NUMBER, &identity, "N",
		  "who submits: nothing of an earlier run under N is ordered any more", 0 },
		{ "udp", SYNOD_OPTION_FLAG, &udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (result >= 0)
		return result;
	if (timeout_s < 1 || timeout_s > 86400) {
		synod_tool_complain("--timeout %" PRIu64 " is not from 1 to 86400 seconds",
				    timeout_s);
		return SYNOD_TOOL_USAGE;
	}
	result = synod_tool_load(path, &config);
	if (!result)
		result = synod_tool_connect(&config, udp, &submit.transport);
	if (result)
		return result;
	result = begin(&submit, &config, timeout_s, identity);
	synod_tool_disconnect();
	return result;
}

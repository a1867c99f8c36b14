/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod tail: prints the ordered commands that a replica has applied, one a line, exactly as they
 * were submitted (raw bytes and a newline). From any replica; it reads them back from its journal,
 * large ones piece by piece.
 */
#include "engine/client/queries.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	PAUSE_NS = 2000000
};

struct tail {
	struct synod_query query;
	uint64_t next;	     /* position to print next */
	uint32_t offset;     /* bytes of it that are printed: it is a large one */
	uint64_t left;	     /* how many more; UINT64_MAX: all that there are */
	uint64_t timeout_ns; /* without anything new */
	int all;
	int follow;
	int positions; /* print them in front */
	int oldest;    /* begin with the first that is kept; 0 once something was printed */
};

static int print_answer(struct tail *tail, const struct synod_query_tail *answer)
{
	struct synod_wire_tail entry;
	const void *data;
	uint32_t at = 0;

	while (tail->left && synod_query_tail_next(answer, &at, &entry, &data)) {
		tail->oldest = 0;
		if (entry.position != tail->next)
			return synod_tool_complain("replica %u answered position %" PRIu64
						   " for %" PRIu64,
						   tail->query.replica, entry.position, tail->next);
		if (tail->positions && !entry.offset)
			printf("%" PRIu64 "\t", entry.position);
		fwrite(data, 1, entry.size, stdout);
		if (entry.offset + entry.size < entry.total) { /* a piece, and alone */
			tail->offset = entry.offset + entry.size;
			break;
		}
		tail->offset = 0;
		putchar('\n');
		tail->next++;
		if (!tail->all)
			tail->left--;
	}
	return ferror(stdout) ? synod_tool_finish() : 0;
}

static int complain_of_silence(const struct tail *tail, const struct synod_query_tail *answer)
{
	if (answer->position_applied >= tail->next)
		return synod_tool_complain("replica %u has applied position %" PRIu64
					   " but cannot read it "
					   "back; ask another replica",
					   tail->query.replica, tail->next);
	return synod_tool_complain("replica %u has only positions up to %" PRIu64 "; %" PRIu64
				   " were asked for from %" PRIu64 " on",
				   tail->query.replica, answer->position_applied, tail->left,
				   tail->next);
}

/* What is wanted is no longer there. Returns 0 to go on with the first that is. */
static int on_trimmed(struct tail *tail, const struct synod_query_tail *answer)
{
	if (!tail->oldest)
		return synod_tool_complain("replica %u no longer has position %" PRIu64
					   ": its log begins at %" PRIu64 "; use --from %" PRIu64
					   ", --oldest, or another replica",
					   tail->query.replica, tail->next, answer->position_kept,
					   answer->position_kept);
	tail->next = answer->position_kept;
	return 0;
}

static int run(struct tail *tail)
{
	static struct synod_query_tail answer;
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	uint64_t news_ns = synod_tool_now_ns();

	while (tail->left) {
		const struct synod_query_range range = {
			.position = tail->next,
			.count = tail->left > UINT32_MAX ? UINT32_MAX : tail->left,
			.offset = tail->offset,
		};
		int result = synod_query_tail(&tail->query, &range, &answer);

		if (result)
			return synod_tool_complain(
				"replica %u: %s; is it running? See `synod status`",
				tail->query.replica, strerror(-result));
		if (print_answer(tail, &answer) ||
		    (answer.position_kept && on_trimmed(tail, &answer)))
			return SYNOD_TOOL_FAILED;
		if (answer.count || answer.position_kept) {
			news_ns = synod_tool_now_ns();
			continue;
		}
		if (tail->all && !tail->follow && answer.position_applied < tail->next)
			break;
		fflush(stdout);
		if (!tail->follow && synod_tool_now_ns() - news_ns > tail->timeout_ns)
			return complain_of_silence(tail, &answer);
		nanosleep(&pause, NULL);
	}
	return synod_tool_finish();
}

int synod_tool_tail(int argc, char **argv)
{
	static struct synod_config config;
	static struct tail tail;
	struct synod_transport transport;
	const char *path = NULL;
	uint64_t replica = 1, from = 1, count = UINT64_MAX, timeout_s = 5;
	int udp = 0, result;
	const struct synod_command command = {
		"tail", "", "Prints the ordered commands that a replica has applied.",
		"With --count it waits for commands that are not there yet, until nothing new "
		"has come\n"
		"for --timeout seconds; then exit 1. Without, it prints what there is.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "replica", SYNOD_OPTION_NUMBER, &replica, "R", "whom to ask (1)", 0 },
		{ "from", SYNOD_OPTION_NUMBER, &from, "P", "first position (1)", 0 },
		{ "oldest", SYNOD_OPTION_FLAG, &tail.oldest, NULL,
		  "begin with the first that the replica still has, from --from on", 0 },
		{ "count", SYNOD_OPTION_NUMBER, &count, "N", "how many (all that there are)", 0 },
		{ "follow", SYNOD_OPTION_FLAG, &tail.follow, NULL, "go on as more are applied", 0 },
		{ "positions", SYNOD_OPTION_FLAG, &tail.positions, NULL,
		  "print each one's position and a tab first", 0 },
		{ "timeout", SYNOD_OPTION_NUMBER, &timeout_s, "SECONDS", "without anything new (5)",
		  0 },
		{ "udp", SYNOD_OPTION_FLAG, &udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (result >= 0)
		return result;
	if (from < 1 || timeout_s < 1 || timeout_s > 86400) {
		synod_tool_complain(from < 1 ? "--from 0: positions begin at 1"
					     : "--timeout is not from 1 to 86400 seconds");
		return SYNOD_TOOL_USAGE;
	}
	result = synod_tool_load(path, &config);
	if (!result)
		result = synod_tool_check_id(&config, replica, "replica");
	if (!result)
		result = synod_tool_connect(&config, udp, &transport);
	if (result)
		return result;
	tail.timeout_ns = timeout_s * 1000000000ull;
	tail.query = (struct synod_query){ .transport = &transport,
					   .cluster = config.id,
					   .replica = (uint32_t)replica,
					   .timeout_ns = tail.timeout_ns };
	tail.next = from;
	tail.left = count;
	tail.all = count == UINT64_MAX;
	result = run(&tail);
	synod_tool_disconnect();
	return result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod handover: asks the leader to let another replica lead, and waits until one does. Nothing
 * that is under way is lost, and no election time passes.
 */
#include "engine/client/queries.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	PAUSE_NS = 2000000,
	ANSWER_NS = 500000000,
};

struct handover {
	struct synod_config config;
	struct synod_transport transport;
	uint64_t to; /* 0: whoever */
	uint64_t end_ns;
};

static struct synod_query query_of(const struct handover *handover, uint32_t replica)
{
	return (struct synod_query){ .transport = &handover->transport,
				     .cluster = handover->config.id,
				     .replica = replica,
				     .timeout_ns = ANSWER_NS };
}

/* Who leads, of those that answer; 0: nobody. Of two, the one at the higher ballot. */
static uint32_t find_leader(const struct handover *handover)
{
	uint64_t ballot = 0;
	uint32_t leader = 0;

	for (uint32_t id = 1; id <= handover->config.replicas; id++) {
		struct synod_query query = query_of(handover, id);
		struct synod_wire_status status;

		if (synod_query_status(&query, &status) || status.role != SYNOD_ROLE_LEADER ||
		    status.ballot <= ballot)
			continue;
		ballot = status.ballot;
		leader = id;
	}
	return leader;
}

static int is_over(const struct handover *handover, uint32_t first, uint32_t leader)
{
	return leader && (handover->to ? leader == handover->to : leader != first);
}

/* Returns the exit status. */
static int run(struct handover *handover)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	uint32_t first = find_leader(handover);
	uint32_t leader = first;
	uint64_t begin_ns = synod_tool_now_ns();

	if (first && first == handover->to) {
		printf("replica %u leads already\n", first);
		return synod_tool_finish();
	}
	while (synod_tool_now_ns() < handover->end_ns) {
		struct synod_query query = query_of(handover, leader);
		uint64_t status = SYNOD_NOT_LEADER;

		if (leader && synod_query_handover(&query, handover->to, &status) == 0 &&
		    status == SYNOD_BAD_COMMAND)
			return synod_tool_complain(
				handover->to ? "replica %" PRIu64
					       " cannot lead: it does not vote (voters = %u)"
					     : "nobody is in contact with the leader to take over"
					       " (replica %" PRIu64 ", voters = %u); see `synod "
					       "status`",
				handover->to, handover->config.voters);
		nanosleep(&pause, NULL);
		leader = find_leader(handover);
		if (!first)
			first = leader; /* nobody led when we came: from whoever does now */
		if (is_over(handover, first, leader)) {
			printf("replica %u leads, after %.1f ms\n", leader,
			       (double)(synod_tool_now_ns() - begin_ns) / 1e6);
			return synod_tool_finish();
		}
	}
	return synod_tool_complain(leader ? "replica %u still leads; is the other one up and not "
					    "behind? See `synod status`"
					  : "nobody leads (replica %u); see `synod status`",
				   leader);
}

int synod_tool_handover(int argc, char **argv)
{
	static struct handover handover;
	const char *path = NULL;
	uint64_t timeout_s = 5;
	int udp = 0, result;
	const struct synod_command command = {
		"handover", "", "Lets another replica lead, without losing or holding up much.",
		"Exit 1 if nobody took over in time; the old leader then goes on.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "to", SYNOD_OPTION_NUMBER, &handover.to, "R", "to this one (whoever is nearest)",
		  0 },
		{ "timeout", SYNOD_OPTION_NUMBER, &timeout_s, "SECONDS", "in all (5)", 0 },
		{ "udp", SYNOD_OPTION_FLAG, &udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (result >= 0)
		return result;
	if (timeout_s < 1 || timeout_s > 86400) {
		synod_tool_complain("--timeout is not from 1 to 86400 seconds");
		return SYNOD_TOOL_USAGE;
	}
	result = synod_tool_load(path, &handover.config);
	if (!result && handover.to)
		result = synod_tool_check_id(&handover.config, handover.to, "to");
	if (!result)
		result = synod_tool_connect(&handover.config, udp, &handover.transport);
	if (result)
		return result;
	handover.end_ns = synod_tool_now_ns() + timeout_s * 1000000000ull;
	result = run(&handover);
	synod_tool_disconnect();
	return result;
}

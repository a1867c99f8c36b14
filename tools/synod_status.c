/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod status: asks running replicas how they are, once or until something holds: that one
 * leads, or that all have applied the same.
 */
#include "engine/base/ballot.h"
#include "engine/client/queries.h"
#include "engine/journal/uring.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	PAUSE_NS = 20000000
};

struct ask {
	struct synod_config config;
	struct synod_transport transport;
	uint32_t replica; /* only this one; 0: all */
	uint64_t timeout_ns;
	const char *until; /* NULL, "leader", "equal" */
	const char *print; /* NULL, "leader", "follower" */
	int json;
	int quiet;

	struct synod_wire_status status[SYNOD_REPLICAS_MAX];
	int answered[SYNOD_REPLICAS_MAX];
};

static const char *role_name(uint64_t role)
{
	static const char *const names[] = { "follower", "canvasser", "candidate", "leader" };

	return role < sizeof(names) / sizeof(*names) ? names[role] : "?";
}

static const char *standing_name(uint64_t standing)
{
	static const char *const names[] = { "votes", "mute", "joining", "mending" };

	return standing < sizeof(names) / sizeof(*names) ? names[standing] : "?";
}

/* Who does not vote yet has no role but that. */
static const char *what_it_is(const struct synod_wire_status *status)
{
	return status->standing ? standing_name(status->standing) : role_name(status->role);
}

/* Asks those that are asked for. Returns how many answered. */
static uint32_t ask_all(struct ask *ask, uint64_t timeout_ns)
{
	uint32_t count = 0;

	for (uint32_t id = 1; id <= ask->config.replicas; id++) {
		const struct synod_query query = { .transport = &ask->transport,
						   .cluster = ask->config.id,
						   .replica = id,
						   .timeout_ns = timeout_ns };

		if (ask->replica && id != ask->replica)
			continue;
		ask->answered[id - 1] = !synod_query_status(&query, &ask->status[id - 1]);
		count += (uint32_t)ask->answered[id - 1];
	}
	return count;
}

/* The replica that leads at the highest ballot and reaches a quorum; 0: none. */
static uint32_t find_leader(const struct ask *ask)
{
	uint32_t leader = 0;

	for (uint32_t id = 1; id <= ask->config.replicas; id++) {
		const struct synod_wire_status *status = &ask->status[id - 1];

		if (ask->answered[id - 1] && status->role == SYNOD_ROLE_LEADER &&
		    status->voters_in_contact > ask->config.replicas / 2 &&
		    (!leader || status->ballot > ask->status[leader - 1].ballot))
			leader = id;
	}
	return leader;
}

static uint32_t find_follower(const struct ask *ask)
{
	uint32_t leader = find_leader(ask);

	for (uint32_t id = 1; id <= ask->config.replicas && leader; id++)
		if (ask->answered[id - 1] && id != leader)
			return id;
	return 0;
}

static int is_equal(const struct ask *ask)
{
	const struct synod_wire_status *first = &ask->status[0];
	uint32_t leader = find_leader(ask);

	if (!leader || ask->status[leader - 1].slot_proposed > ask->status[leader - 1].slot_applied)
		return 0;
	for (uint32_t id = 1; id <= ask->config.replicas; id++) {
		const struct synod_wire_status *status = &ask->status[id - 1];

		if (!ask->answered[id - 1] || status->slot_applied != first->slot_applied ||
		    status->slot_chosen != first->slot_applied ||
		    status->position != first->position || status->state_hash != first->state_hash)
			return 0;
	}
	return 1;
}

static int wait_until(struct ask *ask)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	uint64_t end_ns = synod_tool_now_ns() + ask->timeout_ns;
	int want_equal = !strcmp(ask->until, "equal");
	uint64_t alone = ask->replica;

	ask->replica = 0; /* what is waited for is true of all */
	for (;;) {
		ask_all(ask, 250000000ull);
		if (want_equal ? is_equal(ask) : find_leader(ask) != 0)
			break;
		if (synod_tool_now_ns() > end_ns)
			return synod_tool_complain(
				want_equal
					? "time is up: the replicas have not all applied the same"
					: "time is up: no replica leads; are a majority running?");
		nanosleep(&pause, NULL);
	}
	ask->replica = (uint32_t)alone;
	return 0;
}

static json_t *answer_of(uint32_t answer)
{
	return answer == SYNOD_DEVICE_UNKNOWN ? json_null()
					      : json_boolean(answer == SYNOD_DEVICE_YES);
}

/* What a journal stands on: the text that everybody prints, and what it was made from. */
static json_t *describe_device(const struct synod_wire_status *status)
{
	struct synod_journal_device device;
	char text[SYNOD_DEVICE_TEXT_SIZE];
	json_t *transfer;

	synod_journal_device_unpack(status->journal_device, &device);
	synod_journal_device_text(&device, text, sizeof(text));
	transfer = device.transfer_shift && device.transfer_shift < 32
			   ? json_integer((json_int_t)1 << device.transfer_shift)
			   : json_null();
	return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:b,s:b,s:i,s:i,s:o}", "text", text,
			 "file_system", device.fs, "device", device.name, "write_back_cache",
			 answer_of(device.write_back), "fua", answer_of(device.fua), "flush_passed",
			 answer_of(device.flush), "poll_queues", answer_of(device.poll_queues),
			 "in_memory", (int)device.in_memory, "polled", (int)device.polled,
			 "block_bytes", (int)device.block_size, "dma_alignment_bytes",
			 (int)device.dma_alignment, "transfer_bytes", transfer);
}

/* On the clock that the replica has: CLOCK_MONOTONIC of its machine. */
static json_t *describe_rise(const struct synod_wire_status *status)
{
	static const char *const names[SYNOD_RISES_COUNT] = { "lost_ns", "canvassed_ns", "stood_ns",
							      "led_ns", "served_ns" };
	json_t *rise = json_object();

	for (unsigned int i = 0; i < SYNOD_RISES_COUNT; i++)
		json_object_set_new(rise, names[i], json_integer((json_int_t)status->rise_ns[i]));
	return rise;
}

static json_t *describe(const struct ask *ask, uint32_t id)
{
	const struct synod_wire_status *status = &ask->status[id - 1];
	char hash[24];
	json_t *counters, *all;

	if (!ask->answered[id - 1])
		return json_pack("{s:i,s:b}", "replica", (int)id, "answered", 0);
	counters = json_object();
	for (unsigned int i = 0; i < SYNOD_COUNTERS_COUNT; i++)
		json_object_set_new(counters, synod_counter_name((enum synod_counter)i),
				    json_integer((json_int_t)status->counters[i]));
	snprintf(hash, sizeof(hash), "%016" PRIx64, (uint64_t)status->state_hash);
	all = json_pack("{s:i,s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:I,s:I,s:I,s:I,s:s}",
			"replica", (int)id, "answered", 1, "role", role_name(status->role),
			"ballot_round", (json_int_t)synod_ballot_round(status->ballot),
			"ballot_replica", (json_int_t)synod_ballot_replica(status->ballot),
			"leader", (json_int_t)status->leader, "incarnation",
			(json_int_t)status->incarnation, "slot_chosen",
			(json_int_t)status->slot_chosen, "slot_applied",
			(json_int_t)status->slot_applied, "slot_proposed",
			(json_int_t)status->slot_proposed, "position", (json_int_t)status->position,
			"state_hash", hash, "sessions", (json_int_t)status->sessions,
			"voters_in_contact", (json_int_t)status->voters_in_contact,
			"journal_bytes_used", (json_int_t)status->journal_bytes_used,
			"journal_bytes_total", (json_int_t)status->journal_bytes_total,
			"durability", synod_durability_name(status->durability));
	json_object_set_new(all, "standing", json_string(standing_name(status->standing)));
	json_object_set_new(all, "journal_device", describe_device(status));
	json_object_set_new(all, "snapshot_slot", json_integer((json_int_t)status->snapshot_slot));
	json_object_set_new(all, "slot_first", json_integer((json_int_t)status->slot_first));
	json_object_set_new(all, "snapshot_pause_us",
			    json_integer((json_int_t)status->snapshot_pause_us));
	json_object_set_new(all, "batch_commands_sum",
			    json_integer((json_int_t)status->batch_commands_sum));
	json_object_set_new(all, "batch_commands_max",
			    json_integer((json_int_t)status->batch_commands_max));
	json_object_set_new(all, "uptime_s", json_real((double)status->uptime_ns / 1e9));
	json_object_set_new(all, "rise", describe_rise(status));
	json_object_set_new(all, "poll",
			    json_string(synod_poll_name(synod_config_poll(&ask->config, id))));
	/* Keys come with a later issue; until then every replica runs with the checksum alone. */
	json_object_set_new(all, "authentication", json_string("none (crc32c)"));
	json_object_set_new(all, "cores", json_integer(synod_config_cores(&ask->config, id)));
	json_object_set_new(all, "counters", counters);
	return all;
}

static void print_json(const struct ask *ask)
{
	char cluster[24];
	json_t *replicas = json_array();
	json_t *all;

	for (uint32_t id = 1; id <= ask->config.replicas; id++)
		if (!ask->replica || id == ask->replica)
			json_array_append_new(replicas, describe(ask, id));
	snprintf(cluster, sizeof(cluster), "0x%" PRIx64, ask->config.id);
	all = json_pack("{s:s,s:s,s:i,s:o}", "cluster", cluster, "machine", ask->config.machine,
			"leader", (int)find_leader(ask), "replicas", replicas);
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

static void print_text(const struct ask *ask)
{
	printf("replica  role       ballot    chosen      applied     position      sessions  "
	       "journal  "
	       "durability\n");
	for (uint32_t id = 1; id <= ask->config.replicas; id++) {
		const struct synod_wire_status *status = &ask->status[id - 1];
		struct synod_journal_device device;
		char text[SYNOD_DEVICE_TEXT_SIZE];
		char ballot[32];

		if (ask->replica && id != ask->replica)
			continue;
		if (!ask->answered[id - 1]) {
			printf("%-7u  no answer\n", id);
			continue;
		}
		synod_journal_device_unpack(status->journal_device, &device);
		synod_journal_device_text(&device, text, sizeof(text));
		snprintf(ballot, sizeof(ballot), "%" PRIu64 ".%u",
			 synod_ballot_round(status->ballot), synod_ballot_replica(status->ballot));
		printf("%-7u  %-9s  %-8s  %-10" PRIu64 "  %-10" PRIu64 "  %-12" PRIu64
		       "  %-8" PRIu64 "  %3.0f %%    %s\n",
		       id, what_it_is(status), ballot, (uint64_t)status->slot_chosen,
		       (uint64_t)status->slot_applied, (uint64_t)status->position,
		       (uint64_t)status->sessions,
		       status->journal_bytes_total ? 100.0 * (double)status->journal_bytes_used /
							     (double)status->journal_bytes_total
						   : 0.0,
		       text);
	}
}

static int run(struct ask *ask)
{
	uint32_t asked = ask->replica ? 1 : ask->config.replicas;
	uint32_t answered = asked;
	uint32_t found;

	if (ask->until) {
		if (wait_until(ask))
			return SYNOD_TOOL_FAILED;
		if (ask->quiet)
			return SYNOD_TOOL_DONE;
	} else {
		answered = ask_all(ask, ask->timeout_ns);
	}
	if (ask->print) {
		found = !strcmp(ask->print, "leader") ? find_leader(ask) : find_follower(ask);
		if (!found)
			return synod_tool_complain("there is no %s", ask->print);
		printf("%u\n", found);
		return synod_tool_finish();
	}
	if (ask->json)
		print_json(ask);
	else if (!ask->quiet)
		print_text(ask);
	if (answered < asked)
		return synod_tool_complain("%u of %u replicas did not answer", asked - answered,
					   asked);
	return synod_tool_finish();
}

int synod_tool_status(int argc, char **argv)
{
	static struct ask ask;
	const char *path = NULL;
	uint64_t replica = 0, timeout_s = 0;
	int udp = 0, result;
	const struct synod_command command = {
		"status", "", "Asks running replicas how they are.",
		"Exit 1 if one that was asked did not answer, or --until was not reached in time.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "replica", SYNOD_OPTION_NUMBER, &replica, "R", "only this one", 0 },
		{ "json", SYNOD_OPTION_FLAG, &ask.json, NULL, "one object, with all counters", 0 },
		{ "until", SYNOD_OPTION_TEXT, &ask.until, "WHAT",
		  "wait for: leader (one leads), equal (all have applied the same)", 0 },
		{ "print", SYNOD_OPTION_TEXT, &ask.print, "WHO",
		  "only the number of: leader, follower (the first)", 0 },
		{ "timeout", SYNOD_OPTION_NUMBER, &timeout_s, "SECONDS",
		  "for each answer (2), or for --until (30)", 0 },
		{ "quiet", SYNOD_OPTION_FLAG, &ask.quiet, NULL, "only the exit status", 0 },
		{ "udp", SYNOD_OPTION_FLAG, &udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (result >= 0)
		return result;
	if ((ask.until && strcmp(ask.until, "leader") != 0 && strcmp(ask.until, "equal") != 0) ||
	    (ask.print && strcmp(ask.print, "leader") != 0 && strcmp(ask.print, "follower") != 0) ||
	    timeout_s > 86400) {
		synod_tool_complain(
			"--until is leader or equal, --print leader or follower, --timeout at "
			"most 86400; see --help");
		return SYNOD_TOOL_USAGE;
	}
	result = synod_tool_load(path, &ask.config);
	if (!result && replica)
		result = synod_tool_check_id(&ask.config, replica, "replica");
	if (!result)
		result = synod_tool_connect(&ask.config, udp, &ask.transport);
	if (result)
		return result;
	ask.replica = (uint32_t)replica;
	ask.timeout_ns = (timeout_s ? timeout_s : ask.until ? 30 : 2) * 1000000000ull;
	result = run(&ask);
	synod_tool_disconnect();
	return result;
}

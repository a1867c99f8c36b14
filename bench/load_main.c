/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-load: drives load at a cluster and reports what came of it. The generator is bench/load.h;
 * here are the clock, the options, the way to the replicas (a memif lane, or kernel UDP), and the
 * files.
 *
 * Exit status: 0, a result was measured (whether it is valid the result says); 1, none was; 2, the
 * arguments were wrong.
 */
#include "bench/load.h"
#include "bench/load_report.h"
#include "engine/base/limits.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/* Notes go to the file in pieces this long: 96 KiB, some tens of microseconds. */
	NOTES_PIECE = 4096,
	NOTES_MAX = NOTES_PIECE + SYNOD_SESSION_WINDOW,
	/* Short enough that a transport yields the core and does not sleep on it. */
	IDLE_NS = 20 * 1000,
	OUTSTANDING_DEFAULT = 1024,
};

#define SECOND_NS 1000000000ull

struct main_options {
	const char *config;
	const char *json;
	const char *acked;
	uint64_t seconds;
	uint64_t warmup_ms;
	uint64_t payload;
	uint64_t outstanding;
	uint64_t rate;
	uint64_t seed;
	uint64_t retry_ms;
	uint64_t deadline_ms;
	int constant;
	int progress;
	int udp;
};

static struct main_options options = {
	.seconds = 10,
	.warmup_ms = 500,
	.payload = 64,
	.outstanding = OUTSTANDING_DEFAULT,
	.seed = 1,
	.retry_ms = 20,
	.deadline_ms = 10000,
};

/* tidy: allow volatile: what C gives a signal handler; no other thread reads it */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static int parse(int argc, char **argv)
{
	const struct synod_command command = { "load", "", "Drives load at a cluster.", NULL };
	const struct synod_option table[] = {
		{ "config", SYNOD_OPTION_TEXT, &options.config, "FILE",
		  "the cluster's configuration", 1 },
		{ "seconds", SYNOD_OPTION_NUMBER, &options.seconds, "N", "to measure (10)", 0 },
		{ "warmup-ms", SYNOD_OPTION_NUMBER, &options.warmup_ms, "N",
		  "load before measuring (500)", 0 },
		{ "payload", SYNOD_OPTION_NUMBER, &options.payload, "BYTES", "of each command (64)",
		  0 },
		{ "outstanding", SYNOD_OPTION_NUMBER, &options.outstanding, "N",
		  "commands under way at most (1024)", 0 },
		{ "rate", SYNOD_OPTION_NUMBER, &options.rate, "OPS",
		  "open loop at so many a second; without it closed loop", 0 },
		{ "constant", SYNOD_OPTION_FLAG, &options.constant, NULL,
		  "open loop: equal gaps, not Poisson", 0 },
		{ "seed", SYNOD_OPTION_NUMBER, &options.seed, "N",
		  "of the open loop's schedule (1)", 0 },
		{ "retry-ms", SYNOD_OPTION_NUMBER, &options.retry_ms, "N",
		  "silence after which a command is sent again (20)", 0 },
		{ "deadline-ms", SYNOD_OPTION_NUMBER, &options.deadline_ms, "N",
		  "after which a command's fate is unknown (10000)", 0 },
		{ "acked", SYNOD_OPTION_TEXT, &options.acked, "FILE",
		  "note each acknowledgement, for synod verify", 0 },
		{ "json", SYNOD_OPTION_TEXT, &options.json, "FILE", "write the result there", 0 },
		{ "progress", SYNOD_OPTION_FLAG, &options.progress, NULL,
		  "a line a second to standard error", 0 },
		{ "udp", SYNOD_OPTION_FLAG, &options.udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	return synod_tool_parse(argc, argv, &command, table, NULL, NULL);
}

static int check_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
	if (value >= least && value <= most)
		return 0;
	synod_tool_complain("--%s %" PRIu64 " is not from %" PRIu64 " to %" PRIu64, name, value,
			    least, most);
	return SYNOD_TOOL_USAGE;
}

static int check_options(void)
{
	int wrong = check_range("seconds", options.seconds, 1, 1000000);

	if (!wrong)
		wrong = check_range("warmup-ms", options.warmup_ms, 0, 1000000);
	if (!wrong)
		wrong = check_range("payload", options.payload, 0, SYNOD_COMMAND_SIZE_MAX);
	if (!wrong)
		wrong = check_range("outstanding", options.outstanding, 1,
				    SYNOD_SESSION_WINDOW / 2);
	if (!wrong)
		wrong = check_range("rate", options.rate, 0, 100000000);
	if (!wrong)
		wrong = check_range("retry-ms", options.retry_ms, 1, 60000);
	return wrong ? wrong : check_range("deadline-ms", options.deadline_ms, 1, 3600000);
}

static struct synod_load_config load_config(const struct synod_config *config,
					    struct synod_acked *notes)
{
	return (struct synod_load_config){
		.cluster = config->id,
		.replicas = config->replicas,
		.outstanding = (uint32_t)options.outstanding,
		.payload_size = (uint32_t)options.payload,
		.constant = (uint32_t)options.constant,
		.rate_per_s = (double)options.rate,
		.nonce = synod_tool_random(),
		.seed = options.seed,
		.warmup_ns = options.warmup_ms * 1000000,
		.duration_ns = options.seconds * SECOND_NS,
		.retry_ns = options.retry_ms * 1000000,
		.deadline_ns = options.deadline_ms * 1000000,
		.acked = options.acked ? notes : NULL,
		.acked_max = NOTES_MAX,
	};
}

static int write_notes(struct synod_load *load, FILE *file, uint64_t least)
{
	const struct synod_acked *records;
	uint64_t count = file ? synod_load_take_acked(load, least, &records) : 0;

	if (count && fwrite(records, sizeof(*records), count, file) != count)
		return synod_tool_complain("%s: %s", options.acked, strerror(errno));
	return 0;
}

static void print_progress(const struct synod_load *load, uint64_t *acked_before, uint64_t seconds)
{
	static struct synod_load_result result; /* large */

	synod_load_result(load, &result);
	fprintf(stderr, "  %3" PRIu64 " s  %9" PRIu64 " ops/s\n", seconds,
		result.acked - *acked_before);
	*acked_before = result.acked;
}

/* Turns until it is over. 0, or SYNOD_TOOL_FAILED if the notes could not be written. */
static int run(struct synod_load *load, const struct synod_transport *transport, FILE *notes)
{
	uint64_t begin_ns = synod_tool_now_ns();
	uint64_t next_ns = begin_ns + SECOND_NS;
	uint64_t acked_before = 0;
	int failed = 0;

	while (synod_load_phase(load) < SYNOD_LOAD_DONE && !failed) {
		uint64_t now_ns = synod_tool_now_ns();
		uint64_t deadline_ns;

		if (stopped)
			synod_load_stop(load, now_ns);
		if (!synod_load_turn(load, now_ns)) {
			deadline_ns = synod_load_deadline(load);
			if (deadline_ns > now_ns)
				transport->idle(transport->context, deadline_ns - now_ns < IDLE_NS
									    ? deadline_ns - now_ns
									    : IDLE_NS);
		}
		failed = write_notes(load, notes, NOTES_PIECE);
		if (options.progress && now_ns >= next_ns) {
			print_progress(load, &acked_before, (now_ns - begin_ns) / SECOND_NS);
			next_ns += SECOND_NS;
		}
	}
	return failed ? failed : write_notes(load, notes, 1);
}

/* As synod_tool_connect chose it. */
static const char *transport_name(const struct synod_config *config)
{
	int no_memif = config->replica[0].transport != SYNOD_TRANSPORT_MEMIF || !config->links;

	return options.udp || no_memif ? "udp" : "memif";
}

static int report(const struct synod_load *load, const struct synod_load_config *config,
		  const char *transport)
{
	static struct synod_load_result result; /* large */
	json_t *json;
	const char *status;
	const json_t *reason;
	size_t index;
	int failed;

	synod_load_result(load, &result);
	json = synod_load_report(config, &result);
	if (!json)
		return synod_tool_complain("no memory");
	json_object_set_new(json, "transport", json_string(transport));
	status = json_string_value(json_object_get(json, "status"));
	synod_load_print(stdout, config, &result);
	json_array_foreach(json_object_get(json, "reasons"), index, reason)
		printf("%s: %s\n", status, json_string_value(reason));
	failed = strcmp(status, "failed") == 0;
	if (options.json && json_dump_file(json, options.json, JSON_INDENT(2)))
		failed = synod_tool_complain("%s: could not be written: %s", options.json,
					     strerror(errno));
	json_decref(json);
	return failed;
}

static int drive(const struct synod_load_config *config, const struct synod_transport *transport,
		 const char *transport_used)
{
	size_t size = synod_load_size(config);
	void *memory = aligned_alloc(64, size);
	struct synod_load *load = NULL;
	FILE *notes = NULL;
	int failed = 0;

	if (!memory)
		failed = synod_tool_complain("no memory");
	else if (synod_load_init(&load, memory, config, transport))
		failed = synod_tool_complain("--payload %" PRIu64 " does not fit a datagram of %u "
					     "bytes",
					     options.payload, transport->datagram_size_max);
	if (!failed && options.acked) {
		notes = fopen(options.acked, "we");
		if (!notes)
			failed = synod_tool_complain("%s: %s", options.acked, strerror(errno));
		else
			setvbuf(notes, NULL, _IONBF, 0); /* pieces are long enough already */
	}
	if (!failed)
		failed = run(load, transport, notes);
	if (notes && fclose(notes) && !failed)
		failed = synod_tool_complain("%s: %s", options.acked, strerror(errno));
	if (load && !failed)
		failed = report(load, config, transport_used);
	free(memory);
	return failed;
}

int main(int argc, char **argv)
{
	static struct synod_acked notes[NOTES_MAX];
	static struct synod_config config;
	struct synod_load_config load;
	struct synod_transport transport;
	struct sigaction action = { .sa_handler = on_signal };
	int result = parse(argc, argv);

	if (result >= 0)
		return result;
	result = check_options();
	if (!result)
		result = synod_tool_load(options.config, &config);
	if (!result)
		result = synod_tool_connect(&config, options.udp, &transport);
	if (result)
		return result;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	load = load_config(&config, notes);
	result = drive(&load, &transport, transport_name(&config));
	synod_tool_disconnect();
	return result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-load: drives load at a cluster and reports what came of it. The generator is bench/load.h;
 * here are the clock, the options, the way to the replicas (a memif lane, or kernel UDP), and the
 * files.
 *
 * Exit status: 0, a result was measured (whether it is valid the result says); 1, none was; 2, the
 * arguments were wrong.
 */
#include "bench/history.h"
#include "bench/load.h"
#include "bench/load_report.h"
#include "bench/load_stamp.h"
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
	/* Short enough that a transport yields the core and does not sleep on it. */
	IDLE_NS = 20 * 1000,
	OUTSTANDING_DEFAULT = 1024,
	/* Of a history, at least: some milliseconds of the highest rates. */
	HISTORY_RECORDS = 8192,
};

#define SECOND_NS 1000000000ull

struct main_options {
	const char *config;
	const char *json;
	const char *acked;
	const char *history;
	const char *workload;
	const char *key_prefix;
	const char *mix_text;
	const char *reads_text;
	enum synod_client_sort reads;
	struct synod_workload_mix mix;
	uint64_t keys;
	uint64_t first_client;
	uint64_t seconds;
	uint64_t warmup_ms;
	uint64_t payload;
	uint64_t outstanding;
	uint64_t sessions; /* 0: as few as do */
	uint64_t datagram; /* 0: as large as may be */
	uint64_t rate;
	uint64_t seed;
	uint64_t retry_ms;
	uint64_t bucket_ms;
	uint64_t gap_ms;
	uint64_t deadline_ms;
	int constant;
	int progress;
	int udp;
	int share;
};

static struct main_options options = {
	.workload = "append",
	.key_prefix = "key",
	.mix_text = "40,30,20,10",
	.reads_text = "log",
	.keys = 16,
	.first_client = 1,
	.seconds = 10,
	.warmup_ms = 500,
	.payload = 64,
	.outstanding = OUTSTANDING_DEFAULT,
	.seed = 1,
	.retry_ms = 20,
	.deadline_ms = 10000,
	.gap_ms = 20,
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
		{ "workload", SYNOD_OPTION_TEXT, &options.workload, "NAME",
		  "append, for the sequencer, or kv (append)", 0 },
		{ "payload", SYNOD_OPTION_NUMBER, &options.payload, "BYTES",
		  "of each command; kv: of each value (64)", 0 },
		{ "keys", SYNOD_OPTION_NUMBER, &options.keys, "N", "kv: how many (16)", 0 },
		{ "key-prefix", SYNOD_OPTION_TEXT, &options.key_prefix, "TEXT",
		  "kv: of the keys' names (key)", 0 },
		{ "mix", SYNOD_OPTION_TEXT, &options.mix_text, "G,P,C,D",
		  "kv: shares of get, put, cas, delete (40,30,20,10)", 0 },
		{ "reads", SYNOD_OPTION_TEXT, &options.reads_text, "HOW",
		  "kv: gets by log, linearizable (no log write), or stale (log)", 0 },
		{ "outstanding", SYNOD_OPTION_NUMBER, &options.outstanding, "N",
		  "commands under way at most, of all sessions (1024)", 0 },
		{ "sessions", SYNOD_OPTION_NUMBER, &options.sessions, "N",
		  "clients with a session each (as few as bear the outstanding)", 0 },
		{ "datagram", SYNOD_OPTION_NUMBER, &options.datagram, "BYTES",
		  "of a request, at most (what the way there takes)", 0 },
		{ "share", SYNOD_OPTION_FLAG, &options.share, NULL,
		  "sessions share datagrams, as behind a gateway", 0 },
		{ "rate", SYNOD_OPTION_NUMBER, &options.rate, "OPS",
		  "open loop at so many a second; without it closed loop", 0 },
		{ "constant", SYNOD_OPTION_FLAG, &options.constant, NULL,
		  "open loop: equal gaps, not Poisson", 0 },
		{ "seed", SYNOD_OPTION_NUMBER, &options.seed, "N",
		  "of the open loop's schedule and of the kv operations (1)", 0 },
		{ "retry-ms", SYNOD_OPTION_NUMBER, &options.retry_ms, "N",
		  "silence after which a command is sent again (20)", 0 },
		{ "deadline-ms", SYNOD_OPTION_NUMBER, &options.deadline_ms, "N",
		  "after which a command's fate is unknown (10000)", 0 },
		{ "acked", SYNOD_OPTION_TEXT, &options.acked, "FILE",
		  "note each acknowledgement, for synod verify", 0 },
		{ "history", SYNOD_OPTION_TEXT, &options.history, "FILE",
		  "note what each client saw, a JSON object a line; see bench/history.h", 0 },
		{ "first-client", SYNOD_OPTION_NUMBER, &options.first_client, "N",
		  "number of the history's first client (1)", 0 },
		{ "json", SYNOD_OPTION_TEXT, &options.json, "FILE", "write the result there", 0 },
		{ "bucket-ms", SYNOD_OPTION_NUMBER, &options.bucket_ms, "N",
		  "count acknowledgements by times of N ms, in the result (0: do not)", 0 },
		{ "gap-ms", SYNOD_OPTION_NUMBER, &options.gap_ms, "N",
		  "list silences that are at least so long (20)", 0 },
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

static int check_mix(void)
{
	struct synod_workload_mix *mix = &options.mix;
	int end = 0;

	/* Three digits at most, so that no number is too large for its place. */
	if (sscanf(options.mix_text, "%3u,%3u,%3u,%3u%n", &mix->get, &mix->put, &mix->cas,
		   &mix->delete, &end) == 4 &&
	    !options.mix_text[end] && mix->get + mix->put + mix->cas + mix->delete > 0)
		return 0;
	synod_tool_complain("--mix %s is not four shares from 0 to 999, as 40,30,20,10",
			    options.mix_text);
	return SYNOD_TOOL_USAGE;
}

static int check_reads(void)
{
	const char *how = options.reads_text;

	if (!strcmp(how, "linearizable"))
		options.reads = SYNOD_CLIENT_READ;
	else if (!strcmp(how, "stale"))
		options.reads = SYNOD_CLIENT_READ_STALE;
	else if (strcmp(how, "log") != 0) {
		synod_tool_complain("--reads %s is none of log, linearizable, stale", how);
		return SYNOD_TOOL_USAGE;
	}
	return check_mix();
}

static int check_workload(void)
{
	int kv = strcmp(options.workload, "kv") == 0;
	int wrong;

	if (!kv && strcmp(options.workload, "append") != 0) {
		synod_tool_complain("--workload %s is neither append nor kv", options.workload);
		return SYNOD_TOOL_USAGE;
	}
	if (strlen(options.key_prefix) > SYNOD_WORKLOAD_PREFIX_MAX) {
		synod_tool_complain("--key-prefix: more than %d bytes", SYNOD_WORKLOAD_PREFIX_MAX);
		return SYNOD_TOOL_USAGE;
	}
	wrong = kv ? check_range("payload", options.payload, SYNOD_WORKLOAD_VALUE_MIN,
				 SYNOD_KV_VALUE_SIZE_MAX)
		   : check_range("payload", options.payload, 0, SYNOD_COMMAND_SIZE_MAX);
	if (!wrong)
		wrong = check_range("keys", options.keys, 1, SYNOD_KV_ENTRIES);
	if (!wrong)
		wrong = check_range("first-client", options.first_client, 1, 1ull << 52);
	return wrong ? wrong : check_reads();
}

/* What the cluster's sessions bear: how many there are, and how much each, is configured. */
static int check_sessions(const struct synod_config *config)
{
	uint64_t each = config->session_window / 2;
	int wrong = check_range("outstanding", options.outstanding, 1, config->sessions * each);
	uint64_t least = (options.outstanding + each - 1) / each;

	if (!options.sessions)
		options.sessions = least;
	return wrong ? wrong : check_range("sessions", options.sessions, least, config->sessions);
}

static int check_options(void)
{
	int wrong = check_range("seconds", options.seconds, 1, 1000000);

	if (!wrong)
		wrong = check_range("warmup-ms", options.warmup_ms, 0, 1000000);
	if (!wrong)
		wrong = check_workload();
	if (!wrong)
		wrong = check_range("datagram", options.datagram, 0, SYNOD_FRAME_SIZE_MAX);
	if (!wrong)
		wrong = check_range("rate", options.rate, 0, 100000000);
	if (!wrong)
		wrong = check_range("retry-ms", options.retry_ms, 1, 60000);
	if (!wrong)
		wrong = check_range("bucket-ms", options.bucket_ms, 0, 60000);
	if (!wrong)
		wrong = check_range("gap-ms", options.gap_ms, 1, 60000);
	return wrong ? wrong : check_range("deadline-ms", options.deadline_ms, 1, 3600000);
}

/* A turn notes at most what was under way and what it submitted. */
static size_t notes_max(void)
{
	return NOTES_PIECE + 2 * options.outstanding;
}

static struct synod_load_config load_config(const struct synod_config *config,
					    struct synod_acked *notes)
{
	return (struct synod_load_config){
		.cluster = config->id,
		.replicas = config->replicas,
		.sessions = (uint32_t)options.sessions,
		.window = config->session_window,
		.outstanding = (uint32_t)options.outstanding,
		.datagram_size_max = (uint32_t)options.datagram,
		.shared = (uint32_t)options.share,
		.workload =
			strcmp(options.workload, "kv") ? SYNOD_WORKLOAD_APPEND : SYNOD_WORKLOAD_KV,
		.payload_size = (uint32_t)options.payload,
		.keys = (uint32_t)options.keys,
		.key_prefix = options.key_prefix,
		.mix = options.mix,
		.reads = options.reads,
		.constant = (uint32_t)options.constant,
		.rate_per_s = (double)options.rate,
		.nonce = synod_tool_random(),
		.seed = options.seed,
		.warmup_ns = options.warmup_ms * 1000000,
		.duration_ns = options.seconds * SECOND_NS,
		.retry_ns = options.retry_ms * 1000000,
		.deadline_ns = options.deadline_ms * 1000000,
		.gap_ns = options.gap_ms * 1000000,
		.bucket_ns = options.bucket_ms * 1000000,
		.acked = options.acked ? notes : NULL,
		.acked_max = notes_max(),
		.history_client = options.first_client,
	};
}

/* A kv command at a sequencer would take its position and mean nothing; the reverse is refused. */
static int check_machine(const struct synod_config *config)
{
	const char *machine = strcmp(options.workload, "kv") ? "sequencer" : "kv";

	if (!strcmp(config->machine, machine))
		return 0;
	synod_tool_complain("--workload %s is for machine = %s; %s has machine = %s",
			    options.workload, machine, config->path, config->machine);
	return SYNOD_TOOL_USAGE;
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

static int complain_of_history(int failed)
{
	return synod_tool_complain("%s: %s; the history is not whole", options.history,
				   strerror(-failed));
}

/* Turns until it is over. 0, or SYNOD_TOOL_FAILED if notes or history could not be written. */
static int run(struct synod_load *load, const struct synod_transport *transport, FILE *notes,
	       const struct synod_history *history)
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
		if (!failed && history && synod_history_failed(history))
			failed = SYNOD_TOOL_FAILED; /* told when it is closed */
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

/* What the figures were got by: the way to the replicas, and what their journals stand on. */
struct ground {
	const struct synod_config *config;
	const struct synod_transport *transport;
};

static int report(const struct synod_load *load, const struct synod_load_config *config,
		  const struct ground *ground)
{
	static struct synod_load_result result; /* large */
	json_t *json;
	const char *status;
	const char *stamp;
	const json_t *reason;
	size_t index;
	int failed;

	synod_load_result(load, &result);
	json = synod_load_report(config, &result);
	if (!json)
		return synod_tool_complain("no memory");
	json_object_set_new(json, "transport", json_string(transport_name(ground->config)));
	json_object_set_new(json, "durability",
			    synod_load_stamp(ground->config, ground->transport));
	status = json_string_value(json_object_get(json, "status"));
	synod_load_print(stdout, config, &result);
	stamp = json_string_value(json_object_get(json, "durability"));
	printf("durability %s\n", stamp ? stamp : "unknown: no replica answered");
	json_array_foreach(json_object_get(json, "reasons"), index, reason)
		printf("%s: %s\n", status, json_string_value(reason));
	failed = strcmp(status, "failed") == 0;
	if (options.json && json_dump_file(json, options.json, JSON_INDENT(2)))
		failed = synod_tool_complain("%s: could not be written: %s", options.json,
					     strerror(errno));
	json_decref(json);
	return failed;
}

static int open_files(struct synod_load_config *config, FILE **notes)
{
	int failed = 0;

	if (options.acked) {
		*notes = fopen(options.acked, "we");
		if (!*notes)
			return synod_tool_complain("%s: %s", options.acked, strerror(errno));
		setvbuf(*notes, NULL, _IONBF, 0); /* pieces are long enough already */
	}
	if (options.history)
		failed = synod_history_open(&config->history, options.history,
					    HISTORY_RECORDS + 4 * config->outstanding,
					    synod_load_record_bytes(config));
	return failed ? synod_tool_complain("%s: %s", options.history, strerror(-failed)) : 0;
}

static int close_files(const struct synod_load_config *config, FILE *notes, int failed)
{
	int history_failed = synod_history_close(config->history);

	if (notes && fclose(notes) && !failed)
		failed = synod_tool_complain("%s: %s", options.acked, strerror(errno));
	return history_failed ? complain_of_history(history_failed) : failed;
}

static int drive(struct synod_load_config *config, const struct ground *ground)
{
	const struct synod_transport *transport = ground->transport;
	size_t size = synod_load_size(config);
	void *memory = size ? aligned_alloc(64, size) : NULL;
	struct synod_load *load = NULL;
	FILE *notes = NULL;
	int failed = memory ? open_files(config, &notes) : synod_tool_complain("no memory");

	if (!failed && synod_load_init(&load, memory, config, transport))
		failed = synod_tool_complain("--payload %" PRIu64 " does not fit a datagram of %u "
					     "bytes",
					     options.payload,
					     options.datagram ? (uint32_t)options.datagram
							      : transport->datagram_size_max);
	if (!failed)
		failed = run(load, transport, notes, config->history);
	if (load)
		synod_load_end_history(load, synod_tool_now_ns());
	failed = close_files(config, notes, failed);
	if (load && !failed)
		failed = report(load, config, ground);
	free(memory);
	return failed;
}

int main(int argc, char **argv)
{
	static struct synod_config config;
	struct synod_acked *notes;
	struct synod_load_config load;
	struct synod_transport transport;
	const struct ground ground = { &config, &transport };
	struct sigaction action = { .sa_handler = on_signal };
	int result = parse(argc, argv);

	if (result >= 0)
		return result;
	result = check_options();
	if (!result)
		result = synod_tool_load(options.config, &config);
	if (!result)
		result = check_machine(&config);
	if (!result)
		result = check_sessions(&config);
	if (!result)
		result = synod_tool_connect(&config, options.udp, &transport);
	if (result)
		return result;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	notes = calloc(notes_max(), sizeof(*notes));
	load = load_config(&config, notes);
	result = notes ? drive(&load, &ground) : synod_tool_complain("no memory");
	free(notes);
	synod_tool_disconnect();
	return result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod report: puts what the load generator, the replicas and `synod verify` said together into
 * one result, as a table and as one JSON object. Each number is taken from whoever measured it;
 * what nobody measured is null, and then the result is not valid.
 *
 *   valid     everything held
 *   invalid   the cluster held, but the figures do not say what they should (see reasons)
 *   failed    something did not hold, or a part is missing
 */
#include "tools/synod.h"

#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	SCHEMA = 1
};

struct report {
	const char *load_path;
	const char *status_path;
	const char *verify_path;
	const char *json_path; /* NULL: none */
	const char *commit;
	const char *killed;  /* NULL: nobody */
	const char *failure; /* NULL: none */

	struct synod_config config;
	json_t *load;
	json_t *status;
	json_t *verify;
	json_t *result;
	json_t *reasons;
	int failed;
	int invalid;
};

static void __attribute__((format(printf, 3, 4)))
add_reason(struct report *report, int *kind, const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	json_array_append_new(report->reasons, json_string(line));
	*kind = 1;
}

static json_t *read_part(struct report *report, const char *path, const char *what)
{
	json_error_t error;
	json_t *part = path ? json_load_file(path, 0, &error) : NULL;

	if (!part)
		add_reason(report, &report->failed, "%s left no result", what);
	return part;
}

/* A value of a part under the result's name; null where it is not there. */
static void take(struct report *report, const char *name, const json_t *part, const char *from)
{
	json_t *value = part ? json_object_get(part, from) : NULL;

	json_object_set_new(report->result, name, value ? json_deep_copy(value) : json_null());
}

static double number_of(const json_t *object, const char *name)
{
	return object ? json_number_value(json_object_get(object, name)) : 0;
}

/*
 * The same text at all replicas, or "mixed"; null if none answered. inner: the text is in an object
 * of that name.
 */
static json_t *common_text_in(const struct report *report, const char *inner, const char *name)
{
	const json_t *replicas =
		report->status ? json_object_get(report->status, "replicas") : NULL;
	const char *common = NULL;
	json_t *replica;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)replicas, i, replica)
	{
		const json_t *object = inner ? json_object_get(replica, inner) : replica;
		const char *text = json_string_value(json_object_get(object, name));

		if (!text)
			continue;
		if (common && strcmp(common, text) != 0)
			return json_string("mixed");
		common = text;
	}
	return common ? json_string(common) : json_null();
}

static json_t *common_text(const struct report *report, const char *name)
{
	return common_text_in(report, NULL, name);
}

/* What the journals stand on, in the words of `synod status`. */
static json_t *common_device(const struct report *report)
{
	return common_text_in(report, "journal_device", "text");
}

/* From the counters of those that gathered batches: the leader, and who led before. */
static json_t *describe_batches(const struct report *report)
{
	const json_t *replicas =
		report->status ? json_object_get(report->status, "replicas") : NULL;
	double batches = 0, commands = 0, max = 0;
	json_t *replica;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)replicas, i, replica)
	{
		batches += number_of(json_object_get(replica, "counters"), "batches");
		commands += number_of(replica, "batch_commands_sum");
		if (number_of(replica, "batch_commands_max") > max)
			max = number_of(replica, "batch_commands_max");
	}
	if (batches == 0)
		return json_pack("{s:n,s:n}", "mean", "max");
	return json_pack("{s:f,s:I}", "mean", commands / batches, "max", (json_int_t)max);
}

/* All journals were empty before the run: what lies in them was written by it. */
static json_t *sum_bytes(const struct report *report)
{
	const json_t *journals =
		report->verify ? json_object_get(report->verify, "journals") : NULL;
	json_int_t sum = 0;
	json_t *journal;
	size_t i;

	if (!journals)
		return json_null();
	json_array_foreach((json_t *)(uintptr_t)journals, i, journal) sum +=
		json_integer_value(json_object_get(journal, "bytes_written"));
	return json_integer(sum);
}

static json_t *count_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return json_null();
	return json_integer(CPU_COUNT(&set));
}

static void judge_verify(struct report *report)
{
	json_t *reasons = json_object_get(report->verify, "reasons");
	json_t *reason;
	size_t i;

	json_array_foreach(reasons, i, reason)
		add_reason(report, &report->failed, "%s", json_string_value(reason));
	if (report->load && number_of(report->load, "acked") != number_of(report->verify, "acked"))
		add_reason(report, &report->failed, "%.0f acknowledged, but %.0f noted in the file",
			   number_of(report->load, "acked"), number_of(report->verify, "acked"));
}

static void judge_load(struct report *report)
{
	const char *status = json_string_value(json_object_get(report->load, "status"));
	double rate = number_of(report->load, "rate_per_s");
	double achieved = number_of(report->load, "ops_per_s");
	json_t *reason;
	size_t i;

	/* The generator knows best what its figures are worth. */
	json_array_foreach(json_object_get(report->load, "reasons"), i, reason) add_reason(
		report, status && !strcmp(status, "invalid") ? &report->invalid : &report->failed,
		"%s", json_string_value(reason));
	if (rate > 0 && achieved < 0.95 * rate)
		add_reason(report, &report->invalid,
			   "%.0f of %.0f operations a second were achieved", achieved, rate);
}

static void judge(struct report *report)
{
	const char *durability;

	if (report->failure)
		add_reason(report, &report->failed, "%s", report->failure);
	if (report->verify)
		judge_verify(report);
	if (report->load)
		judge_load(report);
	durability = json_string_value(json_object_get(report->result, "durability"));
	if (durability && !strcmp(durability, "none") &&
	    report->config.durability == SYNOD_WANT_NONE)
		add_reason(report, &report->invalid,
			   "durability none, as the configuration asks: nothing was kept, and "
			   "nothing could be read back; to compare with");
	else if (!durability || !strcmp(durability, "none") || !strcmp(durability, "mixed"))
		add_reason(report, &report->failed, "durability: %s",
			   durability ? durability : "unknown");
}

static void assemble(struct report *report)
{
	json_t *result = report->result;
	const json_t *load = report->load;

	take(report, "ops_per_s", load, "ops_per_s");
	take(report, "latency_us", load, "latency_us");
	take(report, "mode", load, "mode");
	take(report, "outstanding", load, "outstanding");
	take(report, "payload_bytes", load, "payload_bytes");
	json_object_set_new(result, "replicas", json_integer(report->config.replicas));
	take(report, "acked", load, "acked");
	take(report, "verified", report->verify, "verified");
	if (!report->verify)
		json_object_set_new(result, "verified", json_false());
	take(report, "unseen", report->verify, "acked_unseen");
	take(report, "lost", report->verify, "lost");
	take(report, "duplicated", report->verify, "duplicated");
	json_object_set_new(result, "durability", common_text(report, "durability"));
	json_object_set_new(result, "journal_device", common_device(report));
	json_object_set_new(result, "authentication", common_text(report, "authentication"));
	take(report, "transport", load, "transport");
	json_object_set_new(result, "poll", common_text(report, "poll"));
	json_object_set_new(result, "cores", count_cores());
	json_object_set_new(result, "batch", describe_batches(report));
	json_object_set_new(result, "bytes_written", sum_bytes(report));
	if (report->killed)
		take(report, "failover_ms", load, "max_gap_ms");
	else
		json_object_set_new(result, "failover_ms", json_null());
	take(report, "seconds", load, "seconds");
	json_object_set_new(result, "commit", json_string(report->commit));
	json_object_set_new(result, "killed",
			    report->killed ? json_string(report->killed) : json_null());
}

static void print_row(const char *name, const json_t *value, const char *unit)
{
	if (json_is_integer(value))
		printf("  %-16s %" JSON_INTEGER_FORMAT " %s\n", name, json_integer_value(value),
		       unit);
	else if (json_is_real(value))
		printf("  %-16s %.1f %s\n", name, json_real_value(value), unit);
	else if (json_is_string(value))
		printf("  %-16s %s %s\n", name, json_string_value(value), unit);
	else if (json_is_boolean(value))
		printf("  %-16s %s\n", name, json_is_true(value) ? "yes" : "NO");
	else
		printf("  %-16s -\n", name);
}

static void print_table(const struct report *report)
{
	static const struct {
		const char *key, *name, *unit;
	} rows[] = {
		{ "replicas", "replicas", "" },
		{ "payload_bytes", "payload", "bytes" },
		{ "mode", "mode", "loop" },
		{ "outstanding", "outstanding", "" },
		{ "seconds", "measured", "s" },
		{ "acked", "acknowledged", "" },
		{ "bytes_written", "written", "bytes, all journals" },
		{ "journal_device", "durability", "" },
		{ "authentication", "authentication", "" },
		{ "transport", "transport", "" },
		{ "poll", "poll", "" },
		{ "cores", "processors", "shared by all" },
		{ "failover_ms", "failover", "ms (longest time without an acknowledgement)" },
		{ "verified", "verified", "" },
		{ "unseen", "not seen", "acknowledged, and in snapshots only" },
		{ "lost", "lost", "" },
		{ "duplicated", "duplicated", "" },
	};
	const json_t *latency = json_object_get(report->result, "latency_us");
	const json_t *batch = json_object_get(report->result, "batch");
	json_t *reason;
	size_t i;

	printf("\n  %-16s %.0f operations/s\n", "throughput",
	       number_of(report->result, "ops_per_s"));
	printf("  %-16s p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  p99.99 %.0f  max %.0f us\n",
	       "latency", number_of(latency, "p50"), number_of(latency, "p90"),
	       number_of(latency, "p99"), number_of(latency, "p999"), number_of(latency, "p9999"),
	       number_of(latency, "max"));
	printf("  %-16s mean %.1f, max %.0f commands\n", "batch", number_of(batch, "mean"),
	       number_of(batch, "max"));
	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (report->killed || strcmp(rows[i].key, "failover_ms") != 0)
			print_row(rows[i].name, json_object_get(report->result, rows[i].key),
				  rows[i].unit);
	printf("  %-16s %s\n", "status",
	       json_string_value(json_object_get(report->result, "status")));
	json_array_foreach(report->reasons, i, reason)
		printf("  %-16s %s\n", "", json_string_value(reason));
	putchar('\n');
}

static int make_report(struct report *report)
{
	const char *status;
	int result = 0;

	report->load = read_part(report, report->load_path, "the load generator");
	report->status = read_part(report, report->status_path, "the replicas");
	if (report->verify_path || report->config.durability != SYNOD_WANT_NONE)
		report->verify = read_part(report, report->verify_path, "synod verify");
	json_object_set_new(report->result, "schema", json_integer(SCHEMA));
	json_object_set_new(report->result, "status", json_null()); /* its place is at the front */
	json_object_set(report->result, "reasons", report->reasons);
	assemble(report);
	judge(report);
	status = report->failed ? "failed" : report->invalid ? "invalid" : "valid";
	json_object_set_new(report->result, "status", json_string(status));
	print_table(report);
	if (report->json_path && json_dump_file(report->result, report->json_path,
						JSON_INDENT(2) | JSON_REAL_PRECISION(10)))
		result = synod_tool_complain("%s cannot be written", report->json_path);
	json_decref(report->load);
	json_decref(report->status);
	json_decref(report->verify);
	if (report->failed || report->invalid)
		result = SYNOD_TOOL_FAILED;
	return result ? result : synod_tool_finish();
}

int synod_tool_report(int argc, char **argv)
{
	static struct report report;
	const char *path = NULL;
	const struct synod_command command = { "report", "",
					       "Puts a benchmark's parts together into one result.",
					       "Exit 0 only if the result is valid.\n" };
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "load", SYNOD_OPTION_TEXT, &report.load_path, "FILE", "JSON of synod-load", 1 },
		{ "status", SYNOD_OPTION_TEXT, &report.status_path, "FILE",
		  "JSON of `synod status`, at the end of the load", 1 },
		{ "verify", SYNOD_OPTION_TEXT, &report.verify_path, "FILE",
		  "JSON of `synod verify`; there is none of journals in memory", 0 },
		{ "commit", SYNOD_OPTION_TEXT, &report.commit, "HASH", "of the source", 1 },
		{ "killed", SYNOD_OPTION_TEXT, &report.killed, "WHO", "leader or follower", 0 },
		{ "failure", SYNOD_OPTION_TEXT, &report.failure, "TEXT", "what else did not hold",
		  0 },
		{ "json", SYNOD_OPTION_TEXT, &report.json_path, "FILE", "write the object there",
		  0 },
		{ 0 }
	};
	int result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);

	if (result >= 0)
		return result;
	if (synod_tool_load(path, &report.config))
		return SYNOD_TOOL_FAILED;
	report.result = json_object();
	report.reasons = json_array();
	result = make_report(&report);
	json_decref(report.result);
	json_decref(report.reasons);
	return result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Results as JSON and as text. See load_report.h. */
#include "bench/load_report.h"

#include <inttypes.h>

static double us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static const char *mode_name(const struct synod_load_config *config)
{
	return config->rate_per_s > 0 ? "open" : "closed";
}

static json_t *percentiles(const struct synod_histogram *histogram)
{
	if (!histogram->count)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "p50",
			 us(synod_histogram_percentile(histogram, 50)), "p90",
			 us(synod_histogram_percentile(histogram, 90)), "p99",
			 us(synod_histogram_percentile(histogram, 99)), "p999",
			 us(synod_histogram_percentile(histogram, 99.9)), "p9999",
			 us(synod_histogram_percentile(histogram, 99.99)), "max",
			 us(histogram->max), "mean", synod_histogram_mean(histogram) / 1e3, "count",
			 (json_int_t)histogram->count, "saturated",
			 (json_int_t)histogram->saturated);
}

/* What keeps the result from being valid, one sentence each. */
static json_t *reasons_of(const struct synod_load_config *config,
			  const struct synod_load_result *result)
{
	json_t *reasons = json_array();
	uint64_t lag_ns = synod_histogram_percentile(result->lag, 99.9);

	if (result->phase == SYNOD_LOAD_UNCONNECTED)
		json_array_append_new(reasons, json_string("no replica opened a session"));
	if (!result->acked_measured)
		json_array_append_new(reasons,
				      json_string("nothing was acknowledged while measuring"));
	if (result->unknown)
		json_array_append_new(reasons,
				      json_sprintf("the fate of %llu operations is unknown",
						   (unsigned long long)result->unknown));
	if (result->refused || result->errors)
		json_array_append_new(reasons,
				      json_sprintf("%" PRIu64 " operations were refused or failed",
						   result->refused + result->errors));
	if (result->notes_lost)
		json_array_append_new(reasons,
				      json_sprintf("%llu acknowledgements were not noted",
						   (unsigned long long)result->notes_lost));
	if (result->history_waits)
		json_array_append_new(
			reasons, json_sprintf("the generator waited for its history %llu times",
					      (unsigned long long)result->history_waits));
	if (config->rate_per_s > 0 && lag_ns * 10 > synod_histogram_percentile(result->latency, 50))
		json_array_append_new(
			reasons, json_sprintf("the generator was late: p99.9 of its lag is %.1f us",
					      us(lag_ns)));
	return reasons;
}

static json_t *gaps_of(const struct synod_load_result *result)
{
	json_t *gaps = json_array();
	uint32_t index;

	for (index = 0; index < result->gaps_count && index < SYNOD_LOAD_GAPS_MAX; index++)
		json_array_append_new(gaps,
				      json_pack("{s:I, s:I}", "begin_ns",
						(json_int_t)result->gaps[index].begin_ns, "end_ns",
						(json_int_t)result->gaps[index].end_ns));
	return gaps;
}

static json_t *buckets_of(const struct synod_load_config *config,
			  const struct synod_load_result *result)
{
	json_t *acked = json_array();
	uint32_t index;

	for (index = 0; index < result->buckets_count; index++)
		json_array_append_new(acked, json_integer(result->buckets[index]));
	return json_pack("{s:I, s:I, s:o}", "begin_ns", (json_int_t)result->buckets_ns, "bucket_ns",
			 (json_int_t)config->bucket_ns, "acked", acked);
}

static json_t *client_of(const struct synod_client_counters *client)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{ "datagrams_sent", client->datagrams_sent },
		{ "datagrams_received", client->datagrams_received },
		{ "send_failures", client->send_failures },
		{ "bad_datagrams", client->bad_datagrams },
		{ "stray_replies", client->stray_replies },
		{ "commands_sent", client->commands_sent },
		{ "commands_repeated", client->commands_repeated },
		{ "refused_not_leader", client->refused_not_leader },
		{ "refused_busy", client->refused_busy },
		{ "refused_full", client->refused_full },
		{ "silences", client->silences },
		{ "leader_changes", client->leader_changes },
		{ "sessions_opened", client->sessions_opened },
		{ "sessions_evicted", client->sessions_evicted },
		{ "deadlines_passed", client->deadlines_passed },
	};
	json_t *object = json_object();
	size_t index;

	for (index = 0; index < sizeof(rows) / sizeof(rows[0]); index++)
		json_object_set_new(object, rows[index].name,
				    json_integer((json_int_t)rows[index].value));
	return object;
}

static double gap_ms(const struct synod_load_result *result)
{
	return (double)(result->gap_max.end_ns - result->gap_max.begin_ns) / 1e6;
}

json_t *synod_load_report(const struct synod_load_config *config,
			  const struct synod_load_result *result)
{
	json_t *reasons = reasons_of(config, result);
	const char *status = json_array_size(reasons) == 0 ? "valid"
			     : result->acked_measured	   ? "invalid"
							   : "failed";
	json_t *report = json_pack(
		"{s:s, s:o, s:s, s:i, s:i, s:i, s:f, s:f, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:f, s:o, s:o, s:o}",
		"status", status, "reasons", reasons, "mode", mode_name(config), "outstanding",
		(int)config->outstanding, "payload_bytes", (int)config->payload_size, "replicas",
		(int)config->replicas, "seconds", (double)result->measured_ns / 1e9, "ops_per_s",
		result->ops_per_s, "latency_us", percentiles(result->latency), "acked",
		(json_int_t)result->acked, "acked_measured", (json_int_t)result->acked_measured,
		"submitted", (json_int_t)result->submitted, "unknown", (json_int_t)result->unknown,
		"refused", (json_int_t)result->refused, "errors", (json_int_t)result->errors,
		"blocked", (json_int_t)result->blocked, "notes_lost",
		(json_int_t)result->notes_lost, "max_gap_ms", gap_ms(result), "gaps",
		gaps_of(result), "lag_us", percentiles(result->lag), "client",
		client_of(&result->client));

	if (report && config->bucket_ns)
		json_object_set_new(report, "buckets", buckets_of(config, result));
	if (report)
		json_object_set_new(report, "sessions", json_integer(config->sessions));
	if (report)
		json_object_set_new(report, "datagrams",
				    json_pack("{s:b, s:I, s:I, s:I}", "shared", (int)config->shared,
					      "sent", (json_int_t)result->datagrams.sent,
					      "received", (json_int_t)result->datagrams.received,
					      "failures", (json_int_t)result->datagrams.failures));
	if (report)
		json_object_set_new(report, "connect_s",
				    json_real((double)result->connect_ns / 1e9));
	if (report)
		json_object_set_new(
			report, "workload",
			json_string(config->workload == SYNOD_WORKLOAD_KV ? "kv" : "append"));
	if (report)
		json_object_set_new(report, "rate_per_s",
				    config->rate_per_s > 0 ? json_real(config->rate_per_s)
							   : json_null());
	return report;
}

void synod_load_print(FILE *to, const struct synod_load_config *config,
		      const struct synod_load_result *result)
{
	const struct synod_histogram *latency = result->latency;

	fprintf(to, "%.0f ops/s acknowledged over %.1f s (%s loop, %u outstanding, %u bytes)\n",
		result->ops_per_s, (double)result->measured_ns / 1e9, mode_name(config),
		config->outstanding, config->payload_size);
	fprintf(to, "latency us: p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  p99.99 %.0f  max %.0f\n",
		us(synod_histogram_percentile(latency, 50)),
		us(synod_histogram_percentile(latency, 90)),
		us(synod_histogram_percentile(latency, 99)),
		us(synod_histogram_percentile(latency, 99.9)),
		us(synod_histogram_percentile(latency, 99.99)), us(latency->max));
	if (config->rate_per_s > 0)
		fprintf(to,
			"offered %.0f ops/s; generator's lag us: p50 %.0f  p99.9 %.0f; "
			"%llu waited for room\n",
			config->rate_per_s, us(synod_histogram_percentile(result->lag, 50)),
			us(synod_histogram_percentile(result->lag, 99.9)),
			(unsigned long long)result->blocked);
	fprintf(to,
		"acked %llu, unknown %llu, refused %llu, errors %llu; longest silence %.1f ms\n",
		(unsigned long long)result->acked, (unsigned long long)result->unknown,
		(unsigned long long)result->refused, (unsigned long long)result->errors,
		gap_ms(result));
}

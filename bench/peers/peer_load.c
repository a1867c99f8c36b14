/* SPDX-License-Identifier: BSD-3-Clause */
/* A closed loop's arguments and result. See peer_load.h. */
#include "bench/peers/peer_load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

uint64_t synod_peer_load_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* A whole number of first..last; 0 if it is none. */
static int parse_count(const char *text, uint32_t first, uint32_t last, uint32_t *value)
{
	unsigned long long parsed;
	char *end;

	errno = 0;
	parsed = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || parsed < first || parsed > last)
		return -EINVAL;
	*value = (uint32_t)parsed;
	return 0;
}

static int parse_seconds(const char *text, double *value)
{
	char *end;

	errno = 0;
	*value = strtod(text, &end);
	if (errno || end == text || *end || !isfinite(*value) || *value < 0 || *value > 3600)
		return -EINVAL;
	return 0;
}

static int parse_servers(struct synod_peer_load *load, char *text)
{
	char *rest = text;
	char *server;

	while ((server = strsep(&rest, ",")) != NULL) {
		if (!strchr(server, ':') || load->servers_count == SYNOD_PEER_SERVERS_MAX)
			return -EINVAL;
		load->servers[load->servers_count++] = server;
	}
	return 0;
}

static int parse_option(struct synod_peer_load *load, int option, char *value)
{
	switch (option) {
	case 's':
		return parse_servers(load, value);
	case 'p':
		return parse_count(value, 1, SYNOD_PEER_PAYLOAD_MAX, &load->payload_bytes);
	case 'o':
		return parse_count(value, 1, SYNOD_PEER_OUTSTANDING_MAX, &load->outstanding);
	case 'l':
		return parse_count(value, 1, SYNOD_PEER_LANES_MAX, &load->lanes);
	case 't':
		return parse_seconds(value, &load->seconds);
	case 'w':
		return parse_seconds(value, &load->warmup_seconds);
	default:
		return -EINVAL;
	}
}

int synod_peer_load_parse(struct synod_peer_load *load, const char *name, int argc, char **argv)
{
	static const struct option options[] = {
		{ "servers", required_argument, NULL, 's' },
		{ "payload", required_argument, NULL, 'p' },
		{ "outstanding", required_argument, NULL, 'o' },
		{ "lanes", required_argument, NULL, 'l' },
		{ "seconds", required_argument, NULL, 't' },
		{ "warmup", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*load = (struct synod_peer_load){
		.payload_bytes = 64, .outstanding = 1, .lanes = 1, .warmup_seconds = 1
	};
	opterr = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (parse_option(load, option, optarg)) {
			fprintf(stderr, "%s: %s is not understood or out of range\n", name,
				argv[optind - 1]);
			return 2;
		}
	}
	if (optind != argc || !load->servers_count || load->seconds <= 0) {
		fprintf(stderr, "%s: --servers HOST:PORT[,…] and --seconds above 0 are needed\n",
			name);
		return 2;
	}
	if (load->lanes > load->outstanding)
		load->lanes = load->outstanding;
	return 0;
}

void synod_peer_load_start(struct synod_peer_load *load)
{
	load->start_ns = synod_peer_load_now();
	load->begin_ns = load->start_ns + (uint64_t)(load->warmup_seconds * 1e9);
	load->end_ns = load->begin_ns + (uint64_t)(load->seconds * 1e9);
	load->drained_ns = load->end_ns + SYNOD_PEER_DRAIN_SECONDS * 1000000000ull;
}

uint32_t synod_peer_load_share(const struct synod_peer_load *load, uint32_t index)
{
	return load->outstanding / load->lanes + (index < load->outstanding % load->lanes);
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int synod_peer_load_print(const struct synod_peer_load *load, const struct synod_peer_lane *lanes)
{
	static struct synod_histogram latency;
	double elapsed = (double)(synod_peer_load_now() - load->start_ns) / 1e9;
	uint64_t acked = 0;
	uint64_t failed = 0;
	uint64_t unanswered = 0;
	uint64_t resent = 0;

	for (uint32_t i = 0; i < load->lanes; i++) {
		synod_histogram_merge(&latency, &lanes[i].latency);
		acked += lanes[i].acked;
		failed += lanes[i].failed;
		unanswered += lanes[i].unanswered;
		resent += lanes[i].resent;
	}
	printf("{\"ops_per_s\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, "
	       "\"acked\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"unanswered\": %" PRIu64
	       ", \"resent\": %" PRIu64 ", \"lanes\": %" PRIu32 ", \"cpu_cores\": %.3f}\n",
	       (double)latency.count / load->seconds,
	       (double)synod_histogram_percentile(&latency, 50) / 1e3,
	       (double)synod_histogram_percentile(&latency, 99) / 1e3, (double)latency.max / 1e3,
	       acked, failed, unanswered, resent, load->lanes,
	       elapsed > 0 ? cpu_seconds() / elapsed : 0);
	return latency.count ? 0 : 1;
}

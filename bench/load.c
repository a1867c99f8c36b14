/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator. See load.h for the phases and for what counts as latency. */
#include "bench/load.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/wire/wire.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
	BURST = 64,
	GAP_NS_DEFAULT = 20 * 1000 * 1000,
	CRC_AT = offsetof(struct synod_load_payload, crc),
};

_Static_assert(sizeof(struct synod_load_payload) == 24, "no padding: it travels");

struct load_op {
	struct synod_client_op op; /* first: poll hands back its address */
	uint64_t due_ns;
	uint32_t measured; /* 1: due while measuring */
};

struct synod_load {
	struct synod_load_config config;
	struct synod_client *client;
	enum synod_load_phase phase;
	uint64_t phase_end_ns;
	uint64_t started_ns; /* first turn; 0: none yet */
	uint64_t measure_begin_ns;
	uint64_t measure_end_ns;
	uint64_t sequence;
	uint64_t random;
	double due_ns; /* open loop: the next operation, since the schedule began */
	uint64_t schedule_ns;
	uint64_t acked_last_ns;
	uint64_t acked_noted;
	uint32_t free_count;
	uint32_t starved; /* 1: the last turn ended with operations due and none free */
	struct synod_load_result result;
	struct synod_histogram latency;
	struct synod_histogram lag;
	/* In the memory that follows this struct. */
	struct load_op *ops;
	uint8_t *payloads;
	struct load_op **free_ops;
};

static size_t line_round(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

static int config_sane(const struct synod_load_config *config)
{
	return config->outstanding >= 1 && config->outstanding <= SYNOD_SESSION_WINDOW / 2 &&
	       config->payload_size <= SYNOD_COMMAND_SIZE_MAX && config->rate_per_s >= 0 &&
	       config->deadline_ns > 0 && config->duration_ns > 0;
}

size_t synod_load_size(const struct synod_load_config *config)
{
	if (!config_sane(config))
		return 0;
	return line_round(sizeof(struct synod_load)) + line_round(synod_client_size()) +
	       line_round(config->outstanding * sizeof(struct load_op)) +
	       line_round(config->outstanding * sizeof(struct load_op *)) +
	       line_round((size_t)config->outstanding * SYNOD_WIRE_ALIGN(config->payload_size));
}

static uint8_t *payload_of(const struct synod_load *load, uint32_t index)
{
	return load->payloads + (size_t)index * SYNOD_WIRE_ALIGN(load->config.payload_size);
}

static void prepare_ops(struct synod_load *load)
{
	uint32_t size = load->config.payload_size;
	uint32_t index;
	uint32_t at;

	for (index = 0; index < load->config.outstanding; index++) {
		uint8_t *payload = payload_of(load, index);

		load->ops[index] = (struct load_op){ .op.data = payload, .op.size = size };
		for (at = 0; at < size; at++)
			payload[at] = (uint8_t)synod_random_next(&load->random);
		load->free_ops[load->free_count++] = &load->ops[index];
	}
}

int synod_load_init(struct synod_load **load, void *memory, const struct synod_load_config *config,
		    const struct synod_transport *transport)
{
	struct synod_client_config client_config = {
		.struct_size = sizeof(client_config),
		.replicas = config->replicas,
		.cluster = config->cluster,
		.nonce = config->nonce,
		.outstanding_max = config->outstanding,
		.retry_ns = config->retry_ns,
		.deadline_ns = config->deadline_ns,
	};
	struct synod_load *made = memory;
	uint8_t *at = memory;
	int error;

	if (!config_sane(config))
		return -EINVAL;
	memset(made, 0, sizeof(*made));
	made->config = *config;
	made->random = config->seed;
	if (!made->config.gap_ns)
		made->config.gap_ns = GAP_NS_DEFAULT;
	at += line_round(sizeof(*made));
	error = synod_client_init(&made->client, at, &client_config, transport);
	if (error)
		return error;
	if (config->payload_size > synod_client_command_size_max(made->client))
		return -EINVAL;
	at += line_round(synod_client_size());
	made->ops = (struct load_op *)(void *)at;
	at += line_round(config->outstanding * sizeof(struct load_op));
	made->free_ops = (struct load_op **)(void *)at;
	at += line_round(config->outstanding * sizeof(struct load_op *));
	made->payloads = at;
	prepare_ops(made);
	*load = made;
	return 0;
}

static uint32_t payload_crc(const uint8_t *payload, uint32_t size)
{
	uint32_t crc = synod_crc32c(payload, CRC_AT);

	if (size > sizeof(struct synod_load_payload))
		crc = synod_crc32c_more(crc, payload + sizeof(struct synod_load_payload),
					size - sizeof(struct synod_load_payload));
	return crc;
}

int synod_load_payload_check(const void *payload, uint32_t size)
{
	struct synod_load_payload head;

	if (size < sizeof(head))
		return 1;
	memcpy(&head, payload, sizeof(head));
	return head.size == size && head.crc == payload_crc(payload, size);
}

static void fill_payload(struct synod_load *load, const struct load_op *op)
{
	uint32_t size = load->config.payload_size;
	uint8_t *payload = payload_of(load, (uint32_t)(op - load->ops));
	struct synod_load_payload head = {
		.sequence = ++load->sequence,
		.nonce = load->config.nonce,
		.size = size,
	};

	memcpy(payload, &head, size < CRC_AT ? size : CRC_AT);
	if (size >= sizeof(head)) {
		head.crc = payload_crc(payload, size);
		memcpy(payload + CRC_AT, &head.crc, sizeof(head.crc));
	}
}

static int submit_one(struct synod_load *load, uint64_t due_ns, uint64_t now_ns)
{
	struct load_op *op = load->free_ops[load->free_count - 1];
	struct synod_client_op *one = &op->op;

	fill_payload(load, op);
	op->due_ns = due_ns;
	op->measured = load->phase == SYNOD_LOAD_MEASURING;
	if (!synod_client_submit(load->client, &one, 1, now_ns)) {
		load->sequence--;
		return 0;
	}
	load->free_count--;
	load->result.submitted++;
	return 1;
}

static uint32_t submit_closed(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count = 0;

	while (load->free_count && submit_one(load, now_ns, now_ns))
		count++;
	return count;
}

static double gap_to_next(struct synod_load *load)
{
	double mean_ns = 1e9 / load->config.rate_per_s;
	/* Uniform in (0, 1]: the 53 bits that a double holds. */
	double uniform = ((double)(synod_random_next(&load->random) >> 11) + 1) * 0x1p-53;

	return load->config.constant ? mean_ns : -log(uniform) * mean_ns;
}

static uint32_t submit_open(struct synod_load *load, uint64_t now_ns)
{
	uint32_t late = load->starved;
	uint32_t count = 0;

	load->starved = 0;
	while (load->schedule_ns + (uint64_t)load->due_ns <= now_ns) {
		uint64_t due_ns = load->schedule_ns + (uint64_t)load->due_ns;

		if (!load->free_count || !submit_one(load, due_ns, now_ns)) {
			load->starved = 1;
			break;
		}
		if (late)
			load->result.blocked++;
		else if (load->phase == SYNOD_LOAD_MEASURING)
			synod_histogram_record(&load->lag, now_ns - due_ns);
		load->due_ns += gap_to_next(load);
		count++;
	}
	return count;
}

static void note_gap(struct synod_load *load, uint64_t now_ns)
{
	struct synod_load_gap gap = { .begin_ns = load->acked_last_ns, .end_ns = now_ns };
	struct synod_load_result *result = &load->result;

	load->acked_last_ns = now_ns;
	if (!gap.begin_ns)
		return;
	if (gap.end_ns - gap.begin_ns > result->gap_max.end_ns - result->gap_max.begin_ns)
		result->gap_max = gap;
	if (gap.end_ns - gap.begin_ns < load->config.gap_ns)
		return;
	if (result->gaps_count < SYNOD_LOAD_GAPS_MAX)
		result->gaps[result->gaps_count] = gap;
	result->gaps_count++;
}

static void account(struct synod_load *load, const struct load_op *op, uint64_t now_ns)
{
	struct synod_load_result *result = &load->result;

	if (op->op.position == 0) {
		if (op->op.status == SYNOD_UNKNOWN)
			result->unknown++;
		else if (op->op.status == SYNOD_FULL || op->op.status == SYNOD_NOT_LEADER)
			result->refused++;
		else
			result->errors++;
		return;
	}
	result->acked++;
	result->acked_measured += load->phase == SYNOD_LOAD_MEASURING;
	if (op->measured)
		synod_histogram_record(&load->latency, now_ns - op->due_ns);
	if (!load->config.acked)
		return;
	if (load->acked_noted == load->config.acked_max) {
		result->notes_lost++;
		return;
	}
	load->config.acked[load->acked_noted++] = (struct synod_acked){
		.session = op->op.session,
		.number = op->op.number,
		.position = op->op.position,
	};
}

static uint32_t reap(struct synod_load *load, uint64_t now_ns)
{
	uint64_t acked = load->result.acked;
	uint32_t count = 0;
	uint32_t burst;

	do { /* at most `outstanding` operations */
		struct synod_client_op *ops[BURST];
		uint32_t index;

		burst = synod_client_poll(load->client, ops, BURST, now_ns);
		for (index = 0; index < burst; index++) {
			struct load_op *op = (struct load_op *)(void *)ops[index];

			account(load, op, now_ns);
			load->free_ops[load->free_count++] = op;
		}
		count += burst;
	} while (burst == BURST);
	synod_assert_cmp(load->free_count, <=, load->config.outstanding);
	if (load->result.acked != acked)
		note_gap(load, now_ns);
	return count;
}

static void begin_phase(struct synod_load *load, enum synod_load_phase phase, uint64_t now_ns)
{
	load->phase = phase;
	if (phase == SYNOD_LOAD_WARMING) {
		load->schedule_ns = now_ns;
		load->due_ns = load->config.rate_per_s > 0 ? gap_to_next(load) : 0;
		load->phase_end_ns = now_ns + load->config.warmup_ns;
	} else if (phase == SYNOD_LOAD_MEASURING) {
		load->measure_begin_ns = now_ns;
		load->phase_end_ns = now_ns + load->config.duration_ns;
	} else if (phase == SYNOD_LOAD_DRAINING) {
		load->measure_end_ns = now_ns;
		load->phase_end_ns = now_ns + 2 * load->config.deadline_ns;
	}
}

static void maybe_next_phase(struct synod_load *load, uint64_t now_ns)
{
	if (!load->started_ns) {
		load->started_ns = now_ns;
		load->phase_end_ns = now_ns + load->config.deadline_ns;
	}
	if (load->phase == SYNOD_LOAD_CONNECTING) {
		if (synod_client_session(load->client))
			begin_phase(load, SYNOD_LOAD_WARMING, now_ns);
		else if (now_ns >= load->phase_end_ns)
			begin_phase(load, SYNOD_LOAD_UNCONNECTED, now_ns);
	}
	if (load->phase == SYNOD_LOAD_WARMING && now_ns >= load->phase_end_ns)
		begin_phase(load, SYNOD_LOAD_MEASURING, now_ns);
	if (load->phase == SYNOD_LOAD_MEASURING && now_ns >= load->phase_end_ns)
		begin_phase(load, SYNOD_LOAD_DRAINING, now_ns);
	if (load->phase == SYNOD_LOAD_DRAINING &&
	    (!synod_client_outstanding(load->client) || now_ns >= load->phase_end_ns))
		begin_phase(load, SYNOD_LOAD_DONE, now_ns);
}

uint32_t synod_load_turn(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count;

	maybe_next_phase(load, now_ns);
	if (load->phase >= SYNOD_LOAD_DONE)
		return 0;
	count = reap(load, now_ns);
	if (load->phase == SYNOD_LOAD_WARMING || load->phase == SYNOD_LOAD_MEASURING) {
		uint32_t submitted = load->config.rate_per_s > 0 ? submit_open(load, now_ns)
								 : submit_closed(load, now_ns);

		if (submitted)
			synod_client_flush(load->client, now_ns);
		count += submitted;
	}
	return count;
}

uint64_t synod_load_take_acked(struct synod_load *load, uint64_t least,
			       const struct synod_acked **records)
{
	uint64_t count = load->acked_noted;

	if (count < least || !count)
		return 0;
	*records = load->config.acked;
	load->acked_noted = 0;
	return count;
}

enum synod_load_phase synod_load_phase(const struct synod_load *load)
{
	return load->phase;
}

uint64_t synod_load_deadline(const struct synod_load *load)
{
	uint64_t deadline_ns = synod_client_deadline(load->client);

	if (load->phase_end_ns < deadline_ns)
		deadline_ns = load->phase_end_ns;
	if ((load->phase == SYNOD_LOAD_WARMING || load->phase == SYNOD_LOAD_MEASURING) &&
	    load->config.rate_per_s > 0 && load->free_count &&
	    load->schedule_ns + (uint64_t)load->due_ns < deadline_ns)
		deadline_ns = load->schedule_ns + (uint64_t)load->due_ns;
	return deadline_ns;
}

void synod_load_stop(struct synod_load *load, uint64_t now_ns)
{
	if (load->phase < SYNOD_LOAD_WARMING)
		begin_phase(load, SYNOD_LOAD_UNCONNECTED, now_ns);
	else if (load->phase < SYNOD_LOAD_DRAINING)
		begin_phase(load, SYNOD_LOAD_DRAINING, now_ns);
}

void synod_load_result(const struct synod_load *load, struct synod_load_result *result)
{
	*result = load->result;
	result->phase = load->phase;
	result->measured_ns =
		load->measure_begin_ns ? load->measure_end_ns - load->measure_begin_ns : 0;
	result->ops_per_s = result->measured_ns ? (double)result->acked_measured * 1e9 /
							  (double)result->measured_ns
						: 0;
	result->latency = &load->latency;
	result->lag = &load->lag;
	result->client = synod_client_counters(load->client);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What the load generator's operations are. See workload.h. */
#include "bench/workload.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/machine/kv.h"
#include "engine/wire/wire.h"

#include <stdio.h>
#include <string.h>

enum {
	CRC_AT = offsetof(struct synod_load_payload, crc),
	APPEND_TEXT = 40, /* nonce and sequence, hexadecimal, and what snprintf adds */
};

_Static_assert(sizeof(struct synod_load_payload) == 24, "no padding: it travels");

/* What this generator last saw of a key. */
struct seen {
	uint32_t size;
	uint32_t present;
	uint8_t value[]; /* payload_size bytes */
};

struct lane {
	uint64_t sequence; /* of its operation's payload or value */
	uint32_t key;
};

struct synod_workload {
	struct synod_workload_config config;
	uint64_t sequence;
	uint64_t random;
	uint64_t stale_reads;
	uint32_t mix_sum;
	char prefix[SYNOD_WORKLOAD_PREFIX_MAX + 1];
	/* In the memory that follows this struct. */
	struct lane *lanes;
	uint8_t *commands; /* command_stride bytes a lane */
	uint8_t *results;  /* result_stride bytes a lane */
	uint8_t *seen;	   /* seen_stride bytes a key */
	size_t command_stride;
	size_t result_stride;
	size_t seen_stride;
};

static size_t line_round(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

static int config_sane(const struct synod_workload_config *config)
{
	const struct synod_workload_mix *mix = &config->mix;

	if (config->lanes < 1 || config->payload_size > SYNOD_COMMAND_SIZE_MAX)
		return 0;
	if (config->kind == SYNOD_WORKLOAD_APPEND)
		return 1;
	return config->payload_size >= SYNOD_WORKLOAD_VALUE_MIN &&
	       config->payload_size <= SYNOD_KV_VALUE_SIZE_MAX && config->keys >= 1 &&
	       config->keys <= SYNOD_KV_ENTRIES &&
	       (config->reads != SYNOD_CLIENT_READ_STALE || config->replicas >= 1) &&
	       mix->get <= 1000 && mix->put <= 1000 && mix->cas <= 1000 && mix->delete <= 1000 &&
	       mix->get + mix->put + mix->cas + mix->delete > 0 &&
	       (!config->prefix || strnlen(config->prefix, SYNOD_WORKLOAD_PREFIX_MAX + 1) <=
					   SYNOD_WORKLOAD_PREFIX_MAX);
}

uint32_t synod_workload_command_max(const struct synod_workload_config *config)
{
	return config->kind == SYNOD_WORKLOAD_APPEND
		       ? config->payload_size
		       : SYNOD_KV_HEADER_SIZE + SYNOD_KV_KEY_SIZE_MAX + 2 * config->payload_size;
}

uint32_t synod_workload_record_bytes(const struct synod_workload_config *config)
{
	return config->kind == SYNOD_WORKLOAD_APPEND
		       ? APPEND_TEXT
		       : SYNOD_KV_KEY_SIZE_MAX + 2 * SYNOD_KV_VALUE_SIZE_MAX;
}

/* Sets the strides; returns the bytes of all. */
static size_t lay_out(struct synod_workload *workload, const struct synod_workload_config *config)
{
	int kv = config->kind == SYNOD_WORKLOAD_KV;

	workload->command_stride = SYNOD_WIRE_ALIGN(synod_workload_command_max(config));
	workload->result_stride = kv ? SYNOD_RESULT_SIZE_MAX : 0;
	workload->seen_stride =
		kv ? SYNOD_WIRE_ALIGN(sizeof(struct seen) + config->payload_size) : 0;
	return line_round(sizeof(*workload)) + line_round(config->lanes * sizeof(struct lane)) +
	       line_round(config->lanes * workload->command_stride) +
	       line_round(config->lanes * workload->result_stride) +
	       line_round(config->keys * workload->seen_stride);
}

size_t synod_workload_size(const struct synod_workload_config *config)
{
	struct synod_workload unused;

	return config_sane(config) ? lay_out(&unused, config) : 0;
}

struct synod_workload *synod_workload_init(void *memory, const struct synod_workload_config *config)
{
	struct synod_workload *workload = memory;
	size_t size = lay_out(workload, config);
	uint8_t *at = (uint8_t *)memory + line_round(sizeof(*workload));

	synod_assert(config_sane(config));
	memset(memory, 0, size);
	lay_out(workload, config);
	workload->config = *config;
	workload->random = config->seed;
	workload->mix_sum =
		config->mix.get + config->mix.put + config->mix.cas + config->mix.delete;
	snprintf(workload->prefix, sizeof(workload->prefix), "%s",
		 config->prefix ? config->prefix : "key");
	workload->lanes = (struct lane *)(void *)at;
	at += line_round(config->lanes * sizeof(struct lane));
	workload->commands = at;
	at += line_round(config->lanes * workload->command_stride);
	workload->results = at;
	workload->seen = at + line_round(config->lanes * workload->result_stride);
	if (config->kind == SYNOD_WORKLOAD_APPEND) /* the filler of payloads */
		for (size_t i = 0; i < config->lanes * workload->command_stride; i++)
			workload->commands[i] = (uint8_t)synod_random_next(&workload->random);
	return workload;
}

static uint8_t *command_of(const struct synod_workload *workload, uint32_t lane)
{
	return workload->commands + lane * workload->command_stride;
}

static struct seen *seen_of(const struct synod_workload *workload, uint32_t key)
{
	return (struct seen *)(void *)(workload->seen + key * workload->seen_stride);
}

/* ---- append ------------------------------------------------------------------------------- */

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

static uint32_t make_payload(const struct synod_workload *workload, uint32_t lane)
{
	uint32_t size = workload->config.payload_size;
	uint8_t *payload = command_of(workload, lane);
	struct synod_load_payload head = {
		.sequence = workload->lanes[lane].sequence,
		.nonce = workload->config.nonce,
		.size = size,
	};

	memcpy(payload, &head, size < CRC_AT ? size : CRC_AT);
	if (size >= sizeof(head)) {
		head.crc = payload_crc(payload, size);
		memcpy(payload + CRC_AT, &head.crc, sizeof(head.crc));
	}
	return size;
}

/* ---- kv ----------------------------------------------------------------------------------- */

static uint8_t draw_operation(struct synod_workload *workload)
{
	const struct synod_workload_mix *mix = &workload->config.mix;
	uint64_t drawn = synod_random_below(&workload->random, workload->mix_sum);

	if (drawn < mix->get)
		return SYNOD_KV_GET;
	if (drawn < mix->get + mix->put)
		return SYNOD_KV_PUT;
	return drawn < mix->get + mix->put + mix->cas ? SYNOD_KV_CAS : SYNOD_KV_DELETE;
}

/* Eight digits, a dash, fifteen digits, and dots: value has payload_size bytes. */
static void make_value(const struct synod_workload *workload, uint64_t sequence, char *value)
{
	char id[SYNOD_WORKLOAD_VALUE_MIN + 2];

	snprintf(id, sizeof(id), "%08llx-%015llx",
		 (unsigned long long)(workload->config.nonce & UINT32_MAX),
		 (unsigned long long)(sequence & (UINT64_MAX >> 4)));
	memset(value, '.', workload->config.payload_size);
	memcpy(value, id, SYNOD_WORKLOAD_VALUE_MIN);
}

/* Only GETs: the rest are commands. */
static void choose_sort(struct synod_workload *workload, uint8_t operation,
			struct synod_client_op *op)
{
	op->sort = operation == SYNOD_KV_GET ? workload->config.reads : SYNOD_CLIENT_COMMAND;
	if (op->sort == SYNOD_CLIENT_READ_STALE)
		op->replica = 1 + (uint32_t)(workload->stale_reads++ % workload->config.replicas);
}

static uint32_t make_command(struct synod_workload *workload, uint32_t lane,
			     struct synod_client_op *op)
{
	struct lane *own = &workload->lanes[lane];
	struct synod_kv_request request = { .operation = draw_operation(workload) };
	char value[SYNOD_KV_VALUE_SIZE_MAX];
	char key[SYNOD_KV_KEY_SIZE_MAX];
	const struct seen *seen;
	int size;

	choose_sort(workload, request.operation, op);
	own->key = (uint32_t)synod_random_below(&workload->random, workload->config.keys);
	request.key = key;
	request.key_size = (uint8_t)snprintf(key, sizeof(key), "%s%u", workload->prefix, own->key);
	if (request.operation == SYNOD_KV_PUT || request.operation == SYNOD_KV_CAS) {
		make_value(workload, own->sequence, value);
		request.value = value;
		request.value_size = (uint16_t)workload->config.payload_size;
	}
	seen = seen_of(workload, own->key);
	if (request.operation == SYNOD_KV_CAS && seen->present) {
		request.expected = seen->value;
		request.expected_size = (uint16_t)seen->size;
	} else if (request.operation == SYNOD_KV_CAS) {
		request.flags = SYNOD_KV_ABSENT;
	}
	size = synod_kv_encode(&request, command_of(workload, lane), workload->command_stride);
	synod_assert_cmp(size, >, 0);
	return (uint32_t)size;
}

static void note_value(struct synod_workload *workload, uint32_t key, const void *value,
		       uint32_t size)
{
	struct seen *seen = seen_of(workload, key);

	seen->present = size <= workload->config.payload_size;
	if (!seen->present)
		return; /* of somebody who writes larger ones */
	seen->size = size;
	memcpy(seen->value, value, size);
}

/* A mismatch says only that what was seen is old. */
static void learn_kv(struct synod_workload *workload, uint32_t lane,
		     const struct synod_client_op *op)
{
	struct synod_kv_request request;
	uint32_t key = workload->lanes[lane].key;

	synod_assert_cmp(synod_kv_decode(op->data, op->size, &request), ==, 0);
	if (op->status == SYNOD_NOT_FOUND || op->status == SYNOD_MISMATCH)
		seen_of(workload, key)->present = 0;
	if (op->status != SYNOD_OK)
		return;
	if (request.operation == SYNOD_KV_GET)
		note_value(workload, key, op->result, op->result_size);
	else if (request.operation == SYNOD_KV_DELETE)
		seen_of(workload, key)->present = 0;
	else
		note_value(workload, key, request.value, request.value_size);
}

/* ---- both --------------------------------------------------------------------------------- */

void synod_workload_prepare(struct synod_workload *workload, uint32_t lane,
			    struct synod_client_op *op)
{
	workload->lanes[lane].sequence = ++workload->sequence;
	op->data = command_of(workload, lane);
	if (workload->config.kind == SYNOD_WORKLOAD_APPEND) {
		op->size = make_payload(workload, lane);
		return;
	}
	op->size = make_command(workload, lane, op);
	op->result = workload->results + lane * workload->result_stride;
	op->result_capacity = (uint32_t)workload->result_stride;
}

void synod_workload_learn(struct synod_workload *workload, uint32_t lane,
			  const struct synod_client_op *op)
{
	if (workload->config.kind == SYNOD_WORKLOAD_KV)
		learn_kv(workload, lane, op);
}

static uint8_t read_of(const struct synod_client_op *op)
{
	if (op->sort == SYNOD_CLIENT_COMMAND)
		return SYNOD_HISTORY_READ_LOG;
	return op->sort == SYNOD_CLIENT_READ ? SYNOD_HISTORY_READ_LINEARIZABLE
					     : SYNOD_HISTORY_READ_STALE;
}

static void describe_kv(const struct synod_client_op *op, struct synod_history_record *record)
{
	static const uint8_t operations[] = {
		[SYNOD_KV_GET] = SYNOD_HISTORY_GET,
		[SYNOD_KV_PUT] = SYNOD_HISTORY_PUT,
		[SYNOD_KV_DELETE] = SYNOD_HISTORY_DELETE,
		[SYNOD_KV_CAS] = SYNOD_HISTORY_CAS,
	};
	struct synod_kv_request request;
	uint8_t *at = record->bytes;
	int get;

	synod_assert_cmp(synod_kv_decode(op->data, op->size, &request), ==, 0);
	get = request.operation == SYNOD_KV_GET;
	if (get) /* a repeated one looks again, and its position does not say when */
		record->position = 0;
	record->has_value = !get && request.operation != SYNOD_KV_DELETE;
	if (get && op->status == SYNOD_OK) {
		request.value = op->result;
		request.value_size = (uint16_t)op->result_size;
		record->has_value = 1;
	}
	record->operation = operations[request.operation];
	record->read = get ? read_of(op) : SYNOD_HISTORY_READ_NONE;
	record->key_size = request.key_size;
	record->has_expected = request.operation == SYNOD_KV_CAS && !request.flags;
	record->expected_size = request.expected_size;
	record->value_size = request.value_size;
	memcpy(at, request.key, request.key_size);
	at += request.key_size;
	if (request.expected_size)
		memcpy(at, request.expected, request.expected_size);
	at += request.expected_size;
	if (request.value_size)
		memcpy(at, request.value, request.value_size);
}

void synod_workload_describe(const struct synod_workload *workload, uint32_t lane,
			     const struct synod_client_op *op, struct synod_history_record *record)
{
	if (workload->config.kind == SYNOD_WORKLOAD_KV) {
		describe_kv(op, record);
		return;
	}
	record->operation = SYNOD_HISTORY_APPEND;
	record->read = SYNOD_HISTORY_READ_NONE;
	record->key_size = 0;
	record->expected_size = 0;
	record->has_expected = 0;
	record->has_value = 1;
	record->value_size = (uint16_t)snprintf((char *)record->bytes, APPEND_TEXT, "%016llx-%llu",
						(unsigned long long)workload->config.nonce,
						(unsigned long long)workload->lanes[lane].sequence);
}

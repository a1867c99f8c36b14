/* SPDX-License-Identifier: BSD-3-Clause */
/* The history of a run: its text, its file, and what the generator puts there. */
#include "bench/history.h"

#include "bench/load.h"
#include "engine/machine/kv.h"
#include "engine/wire/wire.h"
#include "tests/unit/client_world.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	BYTES = 64 + 2 * SYNOD_KV_VALUE_SIZE_MAX,
	LINE = SYNOD_HISTORY_LINE(BYTES),
	TURN_NS = 20000,
	MS = 1000000,
	LANES = 8,
	CLIENTS_MAX = 10000,
	KEYS = 3,
};

static struct synod_history_record *record_of(const char *key, const char *expected,
					      const char *value)
{
	static union {
		struct synod_history_record record;
		uint8_t bytes[sizeof(struct synod_history_record) + BYTES];
	} room;
	struct synod_history_record *record = &room.record;

	memset(&room, 0, sizeof(room));
	record->key_size = (uint8_t)strlen(key);
	record->has_expected = expected != NULL;
	record->expected_size = (uint16_t)(expected ? strlen(expected) : 0);
	record->has_value = value != NULL;
	record->value_size = (uint16_t)(value ? strlen(value) : 0);
	snprintf((char *)record->bytes, BYTES, "%s%s%s", key, expected ? expected : "",
		 value ? value : "");
	record->client = 7;
	record->invoked_ns = 10;
	record->answered_ns = INT64_MAX;
	return record;
}

static void check_line(const struct synod_history_record *record, const char *expected)
{
	char line[LINE];

	size_t length = synod_history_line(record, line, sizeof(line));

	assert_int_equal(length, strlen(line));
	assert_string_equal(line, expected);
}

static void each_operation_has_its_fields(void **state)
{
	struct synod_history_record *record;

	(void)state;
	record = record_of("k", NULL, NULL);
	record->operation = SYNOD_HISTORY_GET;
	record->read = SYNOD_HISTORY_READ_LOG;
	record->outcome = SYNOD_NOT_FOUND;
	check_line(record, "{\"client\": 7, \"operation\": \"get\", \"key\": \"k\", \"value\": "
			   "null, \"invoked\": 10, \"answered\": 9223372036854775807, "
			   "\"outcome\": \"NOT_FOUND\", \"read\": \"log\"}\n");
	record = record_of("k", NULL, "v");
	record->operation = SYNOD_HISTORY_CAS;
	record->outcome = SYNOD_UNKNOWN;
	record->open = 1;
	check_line(record, "{\"client\": 7, \"operation\": \"cas\", \"key\": \"k\", \"expected\": "
			   "null, \"value\": \"v\", \"invoked\": 10, \"answered\": null, "
			   "\"outcome\": \"UNKNOWN\"}\n");
	record = record_of("k", NULL, NULL);
	record->operation = SYNOD_HISTORY_DELETE;
	check_line(record, "{\"client\": 7, \"operation\": \"delete\", \"key\": \"k\", "
			   "\"invoked\": 10, \"answered\": 9223372036854775807, "
			   "\"outcome\": \"OK\"}\n");
	record = record_of("", NULL, "payload");
	record->operation = SYNOD_HISTORY_APPEND;
	record->answered_ns = 11;
	record->position = 1;
	check_line(record, "{\"client\": 7, \"operation\": \"append\", \"value\": \"payload\", "
			   "\"invoked\": 10, \"answered\": 11, \"outcome\": \"OK\", "
			   "\"position\": 1}\n");
}

static void any_byte_comes_back_from_json(void **state)
{
	struct synod_history_record *record = record_of("", NULL, NULL);
	char line[LINE];
	json_t *object;
	const uint8_t *text;

	(void)state;
	record->operation = SYNOD_HISTORY_PUT;
	record->key_size = 1;
	record->bytes[0] = '"';
	record->has_value = 1;
	record->value_size = 256;
	for (int byte = 0; byte < 256; byte++)
		record->bytes[1 + byte] = (uint8_t)byte;
	synod_history_line(record, line, sizeof(line));
	object = json_loads(line, JSON_ALLOW_NUL, NULL);
	assert_non_null(object);
	text = (const uint8_t *)json_string_value(json_object_get(object, "value"));
	assert_non_null(text);
	for (int byte = 0; byte < 256; byte++) {
		int code = *text++; /* UTF-8 of a code point below 256 */

		if (code >= 0x80)
			code = (code & 3) << 6 | (*text++ & 63);
		assert_int_equal(code, byte);
	}
	assert_string_equal(json_string_value(json_object_get(object, "key")), "\"");
	json_decref(object);
}

static void the_largest_record_fits_its_line(void **state)
{
	struct synod_history_record *record = record_of("", NULL, NULL);
	char line[LINE];

	(void)state;
	record->operation = SYNOD_HISTORY_CAS;
	record->key_size = 64;
	record->has_expected = record->has_value = 1;
	record->expected_size = record->value_size = SYNOD_KV_VALUE_SIZE_MAX;
	record->client = record->invoked_ns = record->position = UINT64_MAX;
	assert_true(synod_history_line(record, line, sizeof(line)) > (size_t)BYTES * 6);
}

static void a_disk_that_is_full_is_told_and_hangs_nobody(void **state)
{
	struct synod_history *history;

	(void)state;
	assert_int_equal(synod_history_open(&history, "/nowhere/at/all", 4, 16), -ENOENT);
	assert_int_equal(synod_history_open(&history, "/dev/full", 4, 16), 0);
	for (int i = 0; i < 10000; i++) {
		struct synod_history_record *record;

		while (!synod_history_room(history))
			;
		record = synod_history_add(history);
		memset(record, 0, sizeof(*record));
		synod_history_publish(history, 1);
	}
	assert_int_equal(synod_history_close(history), -ENOSPC);
	assert_int_equal(synod_history_close(NULL), 0);
}

/* ---- a run ---------------------------------------------------------------------------------- */

struct line {
	uint64_t client;
	uint64_t invoked;
	uint64_t answered; /* 0: null */
	uint64_t position;
	const char *operation;
	const char *key;
	const char *expected;
	const char *value;
	const char *outcome;
	json_t *object;
};

struct run {
	struct world *world;
	struct synod_load *load;
	struct synod_load_config config;
	struct synod_load_result result;
	char path[64];
	struct line *lines; /* by position; the others at the end, backwards */
	uint64_t count;
	uint64_t room;
	uint64_t placed; /* with a position */
};

/* Drives a generator in a world; from dead_ms on nobody answers for as many milliseconds. */
static void drive(struct run *run, uint64_t dead_ms, uint64_t dead_length_ms)
{
	uint64_t began_ns = run->world->now_ns;
	void *memory = aligned_alloc(64, synod_load_size(&run->config));

	assert_non_null(memory);
	assert_int_equal(synod_history_open(&run->config.history, run->path, 64,
					    synod_load_record_bytes(&run->config)),
			 0);
	assert_int_equal(synod_load_init(&run->load, memory, &run->config, &run->world->transport),
			 0);
	while (synod_load_phase(run->load) < SYNOD_LOAD_DONE) {
		uint64_t at_ns = run->world->now_ns - began_ns;

		run->world->dead = dead_length_ms && at_ns >= dead_ms * MS &&
						   at_ns < (dead_ms + dead_length_ms) * MS
					   ? 0xe
					   : 0;
		while (synod_history_room(run->config.history) < LANES)
			; /* the world's time is faster than the thread's */
		world_pass(run->world, TURN_NS);
		synod_load_turn(run->load, run->world->now_ns);
	}
	world_pass(run->world, TURN_NS);
	synod_load_end_history(run->load, run->world->now_ns);
	synod_load_result(run->load, &run->result);
	assert_int_equal(synod_history_close(run->config.history), 0);
}

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name)); /* NULL: null, or none */
}

static uint64_t number_of(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void read_lines(struct run *run)
{
	FILE *file = fopen(run->path, "re");
	uint64_t room = run->room = 2 * run->result.submitted + 2;
	json_t *object;

	assert_non_null(file);
	run->lines = calloc(room, sizeof(*run->lines));
	assert_non_null(run->lines);
	while ((object = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
		uint64_t position = number_of(object, "position");
		uint64_t at = position ? position : room - 1 - (run->count - run->placed);

		assert_true(at < room && !run->lines[at].object);
		run->lines[at] = (struct line){
			.client = number_of(object, "client"),
			.invoked = number_of(object, "invoked"),
			.answered = number_of(object, "answered"),
			.position = position,
			.operation = text_of(object, "operation"),
			.key = text_of(object, "key"),
			.expected = text_of(object, "expected"),
			.value = text_of(object, "value"),
			.outcome = text_of(object, "outcome"),
			.object = object,
		};
		run->placed += position != 0;
		run->count++;
	}
	fclose(file);
	assert_int_equal(run->count, run->result.submitted);
}

static struct run *run_reads(uint64_t seed, enum synod_client_sort reads, uint64_t dead_ms,
			     uint64_t dead_length_ms)
{
	struct run *run = calloc(1, sizeof(*run));
	int file;

	assert_non_null(run);
	snprintf(run->path, sizeof(run->path), "history-test.XXXXXX");
	file = mkstemp(run->path);
	assert_true(file >= 0);
	close(file);
	run->world = world_make_of(seed, 4, &synod_kv_machine);
	run->world->loss_percent = 5;
	run->world->repeat_percent = 5;
	run->config = (struct synod_load_config){
		.cluster = WORLD_CLUSTER,
		.replicas = 3,
		.sessions = 1,
		.outstanding = LANES,
		.workload = SYNOD_WORKLOAD_KV,
		.payload_size = 30,
		.keys = KEYS,
		.mix = { 4, 3, 2, 1 },
		.reads = reads,
		.nonce = seed,
		.seed = seed,
		.duration_ns = 200 * MS,
		.retry_ns = 2 * MS,
		.deadline_ns = 20 * MS,
		.history_client = 100,
	};
	drive(run, dead_ms, dead_length_ms);
	read_lines(run);
	return run;
}

static struct run *run_kv(uint64_t seed, uint64_t dead_ms, uint64_t dead_length_ms)
{
	return run_reads(seed, SYNOD_CLIENT_COMMAND, dead_ms, dead_length_ms);
}

static void end(struct run *run)
{
	for (uint64_t i = 0; i < run->room; i++)
		json_decref(run->lines[i].object);
	free(run->lines);
	unlink(run->path);
	world_free(run->world);
	free(run->load);
	free(run);
}

/* What one key holds, when changes are played in the order of positions. */
static void play(const struct line *line, const char **held)
{
	const char *outcome = "OK";

	if (!strcmp(line->operation, "put")) {
		*held = line->value;
	} else if (!strcmp(line->operation, "delete")) {
		outcome = *held ? "OK" : "NOT_FOUND";
		*held = NULL;
	} else {
		if (line->expected)
			outcome = !*held			  ? "NOT_FOUND"
				  : strcmp(*held, line->expected) ? "MISMATCH"
								  : "OK";
		else
			outcome = *held ? "MISMATCH" : "OK";
		if (!strcmp(outcome, "OK"))
			*held = line->value;
	}
	assert_string_equal(line->outcome, outcome);
}

static void a_kv_history_is_what_the_machine_did(void **state)
{
	struct run *run = run_kv(1, 0, 0);
	const char *held[KEYS] = { NULL };

	(void)state;
	assert_true(run->count > 1000);
	for (uint64_t i = 0; i < run->room; i++) {
		const struct line *line = &run->lines[i];

		if (!line->object)
			continue;
		assert_true(line->invoked < line->answered);
		assert_true(!strncmp(line->key, "key", 3) && line->key[3] - '0' < KEYS);
		/* A get repeated looks again: its position would not say which value it read. */
		assert_int_equal(!line->position, !strcmp(line->operation, "get"));
		if (line->position)
			play(line, &held[line->key[3] - '0']);
	}
	end(run);
}

/* By client: where its last operation was answered; UINT64_MAX: it must not be heard of again. */
static void check_clients(const struct run *run)
{
	static uint64_t intervals[CLIENTS_MAX][2];
	FILE *file = fopen(run->path, "re");
	json_t *object;

	assert_non_null(file);
	memset(intervals, 0, sizeof(intervals));
	while ((object = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL)) != NULL) {
		uint64_t client = number_of(object, "client");
		uint64_t answered = number_of(object, "answered");

		assert_true(client >= 100 && client < CLIENTS_MAX);
		assert_true(number_of(object, "invoked") >= intervals[client][1]);
		intervals[client][1] = answered ? answered : UINT64_MAX;
		json_decref(object);
	}
	fclose(file);
}

static void a_client_is_sequential_and_ends_with_what_is_unknown(void **state)
{
	struct run *run = run_kv(2, 60, 80);
	uint64_t unknown = 0;

	(void)state;
	check_clients(run);
	for (uint64_t i = 1; i < run->room; i++) {
		const struct line *line = &run->lines[i];

		if (!line->object)
			continue;
		assert_true(!line->answered == !strcmp(line->outcome, "UNKNOWN"));
		unknown += !line->answered;
	}
	assert_true(unknown >= LANES);
	assert_int_equal(unknown, run->result.unknown);
	end(run);
}

/* A stale read must never pass for a linearizable one. */
static void a_read_says_how_it_was_read(void **state)
{
	static const char *const names[] = { "log", "linearizable", "stale" };
	static const enum synod_client_sort sorts[] = { SYNOD_CLIENT_COMMAND, SYNOD_CLIENT_READ,
							SYNOD_CLIENT_READ_STALE };

	(void)state;
	for (uint32_t how = 0; how < 3; how++) {
		struct run *run = run_reads(4, sorts[how], 0, 0);
		uint64_t gets = 0;

		for (uint64_t i = 0; i < run->room; i++) {
			const struct line *line = &run->lines[i];

			if (!line->object)
				continue;
			if (strcmp(line->operation, "get") != 0) {
				assert_null(text_of(line->object, "read"));
				continue;
			}
			assert_string_equal(text_of(line->object, "read"), names[how]);
			assert_true(!strcmp(line->outcome, "OK") == (line->value != NULL));
			gets++;
		}
		assert_true(gets > 100);
		assert_int_equal(run->result.errors, 0);
		end(run);
	}
}

static void what_is_under_way_at_the_end_is_unknown(void **state)
{
	struct run *run = run_kv(3, 190, 2000); /* longer than the drain lasts */
	uint64_t unknown = 0;

	(void)state;
	check_clients(run);
	for (uint64_t i = 1; i < run->room; i++)
		unknown += run->lines[i].object && !run->lines[i].answered;
	assert_true(unknown >= LANES);
	end(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_operation_has_its_fields),
		cmocka_unit_test(any_byte_comes_back_from_json),
		cmocka_unit_test(the_largest_record_fits_its_line),
		cmocka_unit_test(a_disk_that_is_full_is_told_and_hangs_nobody),
		cmocka_unit_test(a_kv_history_is_what_the_machine_did),
		cmocka_unit_test(a_client_is_sequential_and_ends_with_what_is_unknown),
		cmocka_unit_test(a_read_says_how_it_was_read),
		cmocka_unit_test(what_is_under_way_at_the_end_is_unknown),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}

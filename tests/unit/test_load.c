/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator over the client's test world: what it counts, and from when. */
#include "bench/load.h"

#include "engine/base/limits.h"
#include "engine/wire/wire.h"
#include "tests/unit/client_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	TURN_NS = 20000,
	MS = 1000000,
	NOTES_MAX = 100000
};

struct generator {
	struct world *world;
	struct synod_load *load;
	struct synod_load_config config;
	struct synod_load_result result;
	struct synod_acked notes[NOTES_MAX];
};

static struct generator *make(uint64_t seed, double rate_per_s)
{
	struct generator *generator = calloc(1, sizeof(*generator));

	assert_non_null(generator);
	generator->world = world_make(seed, 4);
	generator->config = (struct synod_load_config){
		.cluster = WORLD_CLUSTER,
		.replicas = 3,
		.sessions = 1,
		.outstanding = 32,
		.payload_size = 64,
		.rate_per_s = rate_per_s,
		.nonce = seed,
		.seed = seed,
		.warmup_ns = 5 * MS,
		.duration_ns = 100 * MS,
		.retry_ns = 2 * MS,
		.deadline_ns = 50 * MS,
		.gap_ns = 5 * MS,
		.acked = generator->notes,
		.acked_max = NOTES_MAX,
	};
	return generator;
}

static void begin(struct generator *generator)
{
	void *memory = aligned_alloc(64, synod_load_size(&generator->config));

	assert_non_null(memory);
	assert_int_equal(synod_load_init(&generator->load, memory, &generator->config,
					 &generator->world->transport),
			 0);
}

/* Until it is over; from stall_ms on, for as many, nobody answers. */
static void run(struct generator *generator, uint64_t stall_ms, uint64_t stall_length_ms)
{
	uint64_t began_ns = generator->world->now_ns;

	begin(generator);
	while (synod_load_phase(generator->load) < SYNOD_LOAD_DONE) {
		uint64_t at_ns = generator->world->now_ns - began_ns;

		generator->world->dead = stall_length_ms && at_ns >= stall_ms * MS &&
							 at_ns < (stall_ms + stall_length_ms) * MS
						 ? 0xe
						 : 0;
		world_pass(generator->world, TURN_NS);
		synod_load_turn(generator->load, generator->world->now_ns);
		assert_true(at_ns < 1000 * (uint64_t)MS);
	}
	synod_load_result(generator->load, &generator->result);
}

static void end(struct generator *generator)
{
	world_free(generator->world);
	free(generator->load);
	free(generator);
}

static void a_closed_loop_counts_what_was_acknowledged_while_measuring(void **state)
{
	struct generator *generator = make(1, 0);
	const struct synod_load_result *result = &generator->result;

	(void)state;
	run(generator, 0, 0);
	assert_int_equal(result->phase, SYNOD_LOAD_DONE);
	assert_int_equal(result->acked, result->submitted);
	assert_int_equal(result->acked, synod_apply_position(generator->world->apply));
	assert_true(result->acked_measured < result->acked);
	assert_true(result->measured_ns >= 100 * (uint64_t)MS);
	assert_true(result->ops_per_s > 0.99 * (double)result->acked_measured * 10);
	assert_int_equal(result->unknown + result->refused + result->errors, 0);
	assert_true(result->latency->count >= result->acked_measured - 32);
	assert_true(result->latency->max < 1 * MS);
	end(generator);
}

static void several_sessions_bear_more_than_one_could(void **state)
{
	struct generator *generator = make(9, 0);
	const struct synod_load_result *result = &generator->result;

	(void)state;
	generator->config.sessions = 3;
	generator->config.outstanding = 5000;
	run(generator, 0, 0);
	assert_int_equal(result->phase, SYNOD_LOAD_DONE);
	assert_int_equal(result->client.sessions_opened, 3);
	assert_int_equal(result->acked, result->submitted);
	assert_int_equal(result->acked, synod_apply_position(generator->world->apply));
	assert_int_equal(result->unknown + result->refused + result->errors, 0);
	/* All but the answers to the other two's REGISTERs found the one they were for. */
	assert_true(result->client.stray_replies <= 6);
	assert_int_equal(result->client.bad_datagrams, 0);
	end(generator);
}

static void thousands_of_sessions_have_an_operation_each_in_little_memory(void **state)
{
	enum {
		SESSIONS = 1500
	};
	struct generator *generator = make(11, 0);
	const struct synod_load_result *result = &generator->result;

	(void)state;
	world_free(generator->world);
	generator->world =
		world_make_within(11, SESSIONS, SYNOD_SESSION_WINDOW_MIN, &synod_sequencer_machine);
	generator->world->loss_percent = 1;
	generator->config.sessions = SESSIONS;
	generator->config.outstanding = SESSIONS;
	generator->config.window = SYNOD_SESSION_WINDOW_MIN;
	assert_true(synod_load_size(&generator->config) < SESSIONS * UINT64_C(12288));
	run(generator, 0, 0);
	assert_int_equal(result->phase, SYNOD_LOAD_DONE);
	assert_int_equal(result->client.sessions_opened, SESSIONS);
	assert_int_equal(result->client.sessions_evicted, 0);
	assert_int_equal(result->acked, result->submitted);
	assert_int_equal(result->acked, synod_apply_position(generator->world->apply));
	assert_true(result->acked > 10 * SESSIONS);
	assert_int_equal(result->unknown + result->refused + result->errors, 0);
	assert_int_equal(result->client.bad_datagrams, 0);
	end(generator);
}

static void sessions_that_share_datagrams_need_few(void **state)
{
	enum {
		SESSIONS = 600
	};
	uint32_t kind;

	(void)state;
	for (kind = 0; kind < 2; kind++) {
		struct generator *generator = make(12, 0);
		const struct synod_load_result *result = &generator->result;

		world_free(generator->world);
		generator->world = world_make_within(12, SESSIONS, SYNOD_SESSION_WINDOW_MIN,
						     &synod_sequencer_machine);
		generator->world->loss_percent = kind ? 10 : 0;
		generator->world->repeat_percent = kind ? 10 : 0;
		generator->config.sessions = SESSIONS;
		generator->config.outstanding = SESSIONS;
		generator->config.window = SYNOD_SESSION_WINDOW_MIN;
		generator->config.shared = 1;
		run(generator, 0, 0);
		assert_int_equal(result->phase, SYNOD_LOAD_DONE);
		assert_int_equal(result->client.sessions_opened, SESSIONS);
		assert_int_equal(result->acked, result->submitted);
		assert_int_equal(result->acked, synod_apply_position(generator->world->apply));
		assert_true(result->acked > 10 * SESSIONS);
		assert_int_equal(result->unknown + result->refused + result->errors, 0);
		assert_int_equal(result->client.bad_datagrams, 0);
		/* 15 commands of 64 bytes fit one. */
		assert_true(result->datagrams.sent * 4 < result->client.commands_sent);
		end(generator);
	}
}

static void what_its_sessions_cannot_bear_is_refused(void **state)
{
	struct generator *generator = make(10, 0);

	(void)state;
	generator->config.outstanding = SYNOD_SESSION_WINDOW_MAX / 2 + 1;
	assert_int_equal(synod_load_size(&generator->config), 0);
	generator->config.sessions = 2;
	assert_true(synod_load_size(&generator->config) > 0);
	generator->config.sessions = SYNOD_FAN_CLIENTS_MAX + 1;
	generator->config.outstanding = 4096;
	assert_int_equal(synod_load_size(&generator->config), 0);
	end(generator);
}

static void every_acknowledgement_is_noted_once_with_its_position(void **state)
{
	struct generator *generator = make(2, 0);
	uint8_t *seen = calloc(NOTES_MAX, 1);
	const struct synod_acked *records = NULL;
	uint64_t count;
	uint64_t index;

	(void)state;
	assert_non_null(seen);
	generator->world->loss_percent = 10;
	generator->world->repeat_percent = 10;
	run(generator, 0, 0);
	count = synod_load_take_acked(generator->load, 1, &records);
	assert_int_equal(count, generator->result.acked);
	assert_int_equal(count, synod_apply_position(generator->world->apply));
	for (index = 0; index < count; index++) {
		assert_true(records[index].position >= 1 && records[index].position <= count);
		assert_int_equal(seen[records[index].position]++, 0);
		assert_int_not_equal(records[index].session, 0);
	}
	assert_int_equal(synod_load_take_acked(generator->load, 1, &records), 0);
	free(seen);
	end(generator);
}

static void an_open_loop_offers_its_rate(void **state)
{
	int constant;

	(void)state;
	for (constant = 0; constant <= 1; constant++) {
		struct generator *generator = make(3, 100000);

		generator->config.constant = (uint32_t)constant;
		run(generator, 0, 0);
		assert_true(generator->result.ops_per_s > 97000 &&
			    generator->result.ops_per_s < 103000);
		assert_true(generator->result.lag->max <= TURN_NS);
		end(generator);
	}
}

static void a_stall_is_seen_by_every_operation_that_was_due_in_it(void **state)
{
	struct generator *open = make(4, 20000);
	struct generator *closed = make(4, 0);

	(void)state;
	open->config.outstanding = 1000;
	run(open, 40, 20);
	run(closed, 40, 20);
	/* 400 of 2000 were due in those 20 ms: a fifth waited, evenly from 0 to 20 ms and more. */
	assert_true(synod_histogram_percentile(open->result.latency, 75) < 2 * MS);
	assert_true(synod_histogram_percentile(open->result.latency, 90) > 8 * MS);
	assert_true(synod_histogram_percentile(open->result.latency, 99) > 18 * MS);
	/* A closed loop hides it: 32 operations waited, of thousands. */
	assert_true(synod_histogram_percentile(closed->result.latency, 99) < 2 * MS);
	end(open);
	end(closed);
}

static void a_silence_is_listed_with_its_begin_and_end(void **state)
{
	struct generator *generator = make(5, 0);
	const struct synod_load_result *result = &generator->result;
	uint64_t length_ns;

	(void)state;
	run(generator, 40, 20);
	length_ns = result->gap_max.end_ns - result->gap_max.begin_ns;
	assert_true(length_ns >= 19 * MS && length_ns < 30 * MS);
	assert_int_equal(result->gaps_count, 1);
	assert_int_equal(result->gaps[0].begin_ns, result->gap_max.begin_ns);
	assert_true(result->gaps[0].begin_ns - 1000000000 >= 39 * MS);
	end(generator);
}

static void acknowledgements_are_counted_by_when_they_came(void **state)
{
	struct generator *generator = make(5, 0);
	const struct synod_load_result *result = &generator->result;
	uint64_t sum = 0;
	uint32_t empty = 0;

	(void)state;
	generator->config.bucket_ns = MS;
	run(generator, 40, 20);
	for (uint32_t i = 0; i < result->buckets_count; i++) {
		sum += result->buckets[i];
		empty += result->buckets[i] == 0;
		assert_true(result->buckets[i] || (i >= 38 && i < 70));
	}
	assert_in_range(result->buckets_count, 90, 110);
	assert_in_range(empty, 18, 30);
	assert_int_equal(sum + result->buckets[result->buckets_count], result->acked);
	end(generator);
}

static void without_a_replica_it_ends_unconnected(void **state)
{
	struct generator *generator = make(6, 0);

	(void)state;
	run(generator, 0, 2000);
	assert_int_equal(generator->result.phase, SYNOD_LOAD_UNCONNECTED);
	assert_int_equal(generator->result.acked, 0);
	end(generator);
}

static void what_is_never_answered_is_unknown(void **state)
{
	struct generator *generator = make(7, 0);

	(void)state;
	run(generator, 40, 900);
	assert_int_equal(generator->result.phase, SYNOD_LOAD_DONE);
	assert_true(generator->result.unknown >= 32);
	/* Refused: submitted when nobody answered any more, never sent. */
	assert_int_equal(generator->result.acked + generator->result.unknown +
				 generator->result.refused,
			 generator->result.submitted);
	end(generator);
}

static void payloads_check_themselves_at_every_size(void **state)
{
	static const uint32_t sizes[] = { 0, 4, 8, 23, 24, 25, 64, 1000 };
	uint32_t index;

	(void)state;
	for (index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
		struct generator *generator = make(8, 0);

		generator->config.payload_size = sizes[index];
		run(generator, 0, 0);
		assert_true(generator->result.acked > 100);
		end(generator);
	}
}

static void a_payload_too_large_for_a_datagram_is_refused(void **state)
{
	struct generator *generator = make(9, 0);
	struct synod_load *load;
	void *memory;

	(void)state;
	generator->config.payload_size = 2000;
	memory = aligned_alloc(64, synod_load_size(&generator->config));
	assert_int_equal(
		synod_load_init(&load, memory, &generator->config, &generator->world->transport),
		-EINVAL);
	generator->config.payload_size = SYNOD_COMMAND_SIZE_MAX + 1;
	assert_int_equal(synod_load_size(&generator->config), 0);
	free(memory);
	end(generator);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_loop_counts_what_was_acknowledged_while_measuring),
		cmocka_unit_test(several_sessions_bear_more_than_one_could),
		cmocka_unit_test(thousands_of_sessions_have_an_operation_each_in_little_memory),
		cmocka_unit_test(sessions_that_share_datagrams_need_few),
		cmocka_unit_test(what_its_sessions_cannot_bear_is_refused),
		cmocka_unit_test(every_acknowledgement_is_noted_once_with_its_position),
		cmocka_unit_test(an_open_loop_offers_its_rate),
		cmocka_unit_test(a_stall_is_seen_by_every_operation_that_was_due_in_it),
		cmocka_unit_test(a_silence_is_listed_with_its_begin_and_end),
		cmocka_unit_test(acknowledgements_are_counted_by_when_they_came),
		cmocka_unit_test(without_a_replica_it_ends_unconnected),
		cmocka_unit_test(what_is_never_answered_is_unknown),
		cmocka_unit_test(payloads_check_themselves_at_every_size),
		cmocka_unit_test(a_payload_too_large_for_a_datagram_is_refused),
	};

	return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}

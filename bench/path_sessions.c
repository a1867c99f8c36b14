/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-path-sessions: what a command costs the replicas, in time, with one session and with
 * thousands. A leader and two followers in one thread (bench/path.h), which are given requests and
 * turns; only what their stages spend is counted, links and drivers are not there, and nobody polls
 * in vain or waits for a processor. In each round each case in turn, backwards every other time:
 *
 *   full, one      batches of 100 commands, one datagram each, of one session
 *   full, many     the same, each command of another session, answers in shared datagrams
 *   single, one    batches of 100 datagrams of one command each, of one session
 *   single, many   the same, each of another session
 *
 * Prints nanoseconds a command, of all three replicas together: median of the rounds, least and
 * most; and the median of "many" over "one" within a round. All three replicas share the caches
 * here, which is hard on many sessions.
 *
 *   synod-path-sessions [--sessions N (10000)] [--rounds N (9)] [--batches N (150) of a round]
 */
#include "bench/path.h"

#include "engine/base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WINDOW = 256,
	COMMANDS = 100, /* of a batch */
	PAYLOAD = 64,
	COMMAND_SIZE = SYNOD_COMMAND_HEADER_SIZE + PAYLOAD,
	ROUNDS_MAX = 99,
	TURNS_MAX = 1000,
	CASES = 4,
	/* The journal holds 96 MiB and is never recycled. */
	BATCHES_MAX = 7500,
};

_Static_assert(COMMANDS *COMMAND_SIZE <= SYNOD_BATCH_SIZE_MAX, "a batch");

static const struct {
	const char *name;
	int many;
	int single;
} cases[CASES] = {
	{ "full, one", 0, 0 },
	{ "full, many", 1, 0 },
	{ "single, one", 0, 1 },
	{ "single, many", 1, 1 },
};

static uint32_t sessions_count = 10000;
static uint32_t rounds = 9;
static uint32_t batches = 150;
static uint64_t sessions[SYNOD_SESSIONS_MAX]; /* ids */
static uint64_t numbers[SYNOD_SESSIONS_MAX];  /* last used */
static double ns[CASES][ROUNDS_MAX];	      /* a command */

/* Results in what the leader has answered; a REGISTER's nonce is the session's place, from 1. */
static uint32_t take_answers(void)
{
	struct synod_wire_view view;
	uint32_t count = 0;

	while (synod_path_answer(&view)) {
		uint32_t before = view.header->flags & SYNOD_FLAG_SHARED ? 8 : 0;
		struct synod_wire_result result;

		for (uint32_t at = 0; at + before + sizeof(result) <= view.body_size;
		     at += before + (uint32_t)sizeof(result)) {
			memcpy(&result, view.body + at + before, sizeof(result));
			synod_assert_cmp(result.status, ==, SYNOD_OK);
			if (!before && !view.header->slot)
				sessions[result.number - 1] = result.position;
			count++;
		}
	}
	return count;
}

/* Turns until that many are answered. Returns what they spent, or 0: some never were. */
static uint64_t finish(uint32_t wanted)
{
	uint64_t spent_ns = 0;

	for (int turns = 0; wanted && turns < TURNS_MAX; turns++) {
		uint32_t count;

		spent_ns += synod_path_turn();
		count = take_answers();
		synod_assert_cmp(count, <=, wanted);
		wanted -= count;
	}
	return wanted ? 0 : spent_ns;
}

static int open_sessions(void)
{
	for (uint32_t first = 0; first < sessions_count; first += COMMANDS) {
		struct synod_wire_command commands[COMMANDS] = { 0 };
		uint32_t count =
			sessions_count - first < COMMANDS ? sessions_count - first : COMMANDS;

		for (uint32_t i = 0; i < count; i++)
			commands[i] = (struct synod_wire_command){ .number = first + i + 1,
								   .kind = SYNOD_COMMAND_REGISTER };
		synod_path_ask(0, commands, count * (uint32_t)sizeof(commands[0]));
		if (!finish(count))
			return -1;
	}
	return 0;
}

/* One batch of a case. Returns what it spent, or 0. */
static uint64_t run_batch(uint32_t which)
{
	static uint64_t turn;
	static uint8_t body[COMMANDS * COMMAND_SIZE];

	for (uint32_t i = 0; i < COMMANDS; i++) {
		/* A prime: each in its turn, in an order without a pattern. */
		uint32_t who = cases[which].many ? (uint32_t)(turn++ * 7919 % sessions_count) : 0;
		const struct synod_wire_command command = { .session = sessions[who],
							    .number = ++numbers[who],
							    .size = PAYLOAD };

		memcpy(body + (size_t)i * COMMAND_SIZE, &command, sizeof(command));
	}
	if (!cases[which].single)
		synod_path_ask(cases[which].many ? SYNOD_FLAG_SHARED : 0, body, sizeof(body));
	for (uint32_t i = 0; cases[which].single && i < COMMANDS; i++)
		synod_path_ask(0, body + (size_t)i * COMMAND_SIZE, COMMAND_SIZE);
	return finish(COMMANDS);
}

static int run_case(uint32_t which, double *each)
{
	uint64_t spent_ns = 0;

	for (uint32_t batch = 0; batch < batches; batch++) {
		uint64_t batch_ns = run_batch(which);

		if (!batch_ns)
			return -1;
		spent_ns += batch_ns;
	}
	*each = (double)spent_ns / batches / COMMANDS;
	return 0;
}

static void report(void)
{
	static double ratios[CASES / 2][ROUNDS_MAX];

	for (uint32_t pair = 0; pair < CASES / 2; pair++)
		for (uint32_t round = 0; round < rounds; round++)
			ratios[pair][round] = ns[2 * pair + 1][round] / ns[2 * pair][round];
	for (uint32_t which = 0; which < CASES; which++) {
		double median = synod_path_median(ns[which], rounds);

		printf("%-14s %7.1f ns (%.1f to %.1f)\n", cases[which].name, median, ns[which][0],
		       ns[which][rounds - 1]);
	}
	for (uint32_t pair = 0; pair < CASES / 2; pair++) {
		double median = synod_path_median(ratios[pair], rounds);

		printf("%s: many over one %.3f (%.3f to %.3f)\n", pair ? "single" : "full", median,
		       ratios[pair][0], ratios[pair][rounds - 1]);
	}
}

static int fail(void)
{
	fprintf(stderr, "synod-path-sessions: commands were not done\n");
	return 1;
}

static int run(void)
{
	double ignored;

	synod_path_begin();
	if (open_sessions())
		return fail();
	for (uint32_t which = 0; which < CASES; which++) /* a warm-up */
		if (run_case(which, &ignored))
			return fail();
	for (uint32_t round = 0; round < rounds; round++)
		for (uint32_t k = 0; k < CASES; k++) {
			uint32_t which = round % 2 ? CASES - 1 - k : k;

			if (run_case(which, &ns[which][round]))
				return fail();
		}
	report();
	return 0;
}

static int parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		unsigned long value = i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;

		if (!strcmp(argv[i], "--sessions") && value && value <= SYNOD_SESSIONS_MAX)
			sessions_count = (uint32_t)value;
		else if (!strcmp(argv[i], "--rounds") && value && value <= ROUNDS_MAX)
			rounds = (uint32_t)value;
		else if (!strcmp(argv[i], "--batches") && value && value <= BATCHES_MAX)
			batches = (uint32_t)value;
		else
			return -1;
	}
	return (uint64_t)(rounds + 1) * batches * CASES <= BATCHES_MAX ? 0 : -1;
}

int main(int argc, char **argv)
{
	const struct synod_apply_limits limits = synod_apply_limits(SYNOD_SESSIONS_MAX, WINDOW);

	if (parse(argc, argv)) {
		fprintf(stderr,
			"synod-path-sessions: [--sessions 1..%d] [--rounds 1..%d] "
			"[--batches 1..], (rounds + 1) x batches at most %d\n",
			SYNOD_SESSIONS_MAX, ROUNDS_MAX, BATCHES_MAX / CASES);
		return 2;
	}
	return synod_path_program("synod-path-sessions", &limits, run);
}

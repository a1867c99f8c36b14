/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a message must be like before the core looks at what it says. The rules are written down a
 * second time here, from the table in core.h and one by one, and both are asked about messages that
 * are right but for a field or two. What is refused is counted by its reason, its handle is let go,
 * nothing is sent or written, and no byte of the state changes.
 */
#include "engine/base/counters.h"
#include "engine/base/random.h"
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
	ROUNDS = 100000,
	SELF = 1,
	VOTERS = 3,
	REPLICAS = 4, /* the last one only learns */
	AGE_MAX = 40, /* messages to one core */
};

#define SLOT_END  (UINT64_C(1) << 62)
#define ROUND_END (UINT64_C(1) << 54)

static struct bench bench;
static struct synod_core before;
static uint64_t random_state = 20;

static uint64_t below(uint64_t bound)
{
	return synod_random_below(&random_state, bound);
}

/* Rule by rule. */

static int is_from_a_peer(const struct synod_message *message)
{
	return message->to == SELF && message->from != SELF && message->from > 0 &&
	       message->from <= REPLICAS;
}

static int may_be_said_by_a_learner(const struct synod_message *message)
{
	switch (message->type) {
	case SYNOD_ACCEPTED:
	case SYNOD_REJECT:
	case SYNOD_NEED:
	case SYNOD_LEARN:
		return 1;
	default:
		return 0;
	}
}

static int is_asked_from_a_first_slot(const struct synod_message *message)
{
	switch (message->type) {
	case SYNOD_CANVASS:
	case SYNOD_PREPARE:
	case SYNOD_PROMISE:
	case SYNOD_ACCEPT:
	case SYNOD_NEED:
	case SYNOD_LEARN:
		return 1;
	default:
		return 0;
	}
}

static int is_ballot_of(uint64_t ballot, uint32_t owner)
{
	return ballot >> 8 != 0 && (ballot & 0xff) == owner;
}

static int is_ballot_right(const struct synod_message *message)
{
	switch (message->type) {
	case SYNOD_CANVASS_GRANTED: /* answers to what we asked at our ballot */
	case SYNOD_PROMISE:
	case SYNOD_ACCEPTED:
	case SYNOD_REJECT:
	case SYNOD_CONFIRMED:
		return is_ballot_of(message->ballot, SELF);
	case SYNOD_NEED: /* whatever the asker follows */
	case SYNOD_LEARN:
		return 1;
	default:
		return is_ballot_of(message->ballot, message->from);
	}
}

static int is_promise_right(const struct synod_message *message)
{
	if (!message->has_value)
		return message->argument == UINT64_MAX;
	if (message->value_slot != message->argument || message->value_slot < message->slot)
		return 0;
	if (message->value_ballot == 0)
		return 0;
	return message->value_flags == SYNOD_ENTRY_CHOSEN ||
	       message->value_ballot <= message->ballot;
}

static int is_value_right(const struct synod_message *message)
{
	if (message->type == SYNOD_PROMISE)
		return is_promise_right(message);
	if (message->type != SYNOD_ACCEPT && message->type != SYNOD_LEARN)
		return !message->has_value;
	if (!message->has_value || message->value_slot != message->slot)
		return 0;
	return message->value_ballot == message->ballot && message->ballot != 0;
}

static int is_in_range(const struct synod_message *message)
{
	if (message->slot >= SLOT_END || message->chosen_through >= SLOT_END)
		return 0;
	if (message->ballot >> 8 >= ROUND_END)
		return 0;
	if (message->type == SYNOD_REJECT && message->argument >> 8 >= ROUND_END)
		return 0;
	if (!message->has_value)
		return 1;
	return message->value_slot < SLOT_END && message->value_ballot >> 8 < ROUND_END;
}

static uint32_t verdict(const struct synod_message *message)
{
	if (!is_from_a_peer(message))
		return SYNOD_DROP_SENDER;
	if (message->type < 1 || message->type > SYNOD_CONFIRMED)
		return SYNOD_DROP_TYPE;
	if (message->from > VOTERS && !may_be_said_by_a_learner(message))
		return SYNOD_DROP_SENDER;
	if (!is_in_range(message) || (message->slot == 0 && is_asked_from_a_first_slot(message)))
		return SYNOD_DROP_FIELD;
	if (!is_ballot_right(message) || !is_value_right(message))
		return SYNOD_DROP_FIELD;
	return 0;
}

/* One that is right. */
static struct synod_message message_of(uint8_t type)
{
	struct synod_message message = { .type = type, .from = 2, .to = SELF };

	message.slot = 1 + below(8);
	message.ballot = synod_ballot_make(1 + below(4), 2);
	if (is_ballot_of(message.ballot, 2) && !is_ballot_right(&message))
		message.ballot = synod_ballot_make(1 + below(4), SELF);
	if (type == SYNOD_PROMISE)
		message.argument = UINT64_MAX;
	if (type == SYNOD_ACCEPT || type == SYNOD_LEARN || (type == SYNOD_PROMISE && below(2))) {
		message.has_value = 1;
		message.value_slot = message.slot;
		message.value_ballot = message.ballot;
		if (type == SYNOD_PROMISE)
			message.argument = message.value_slot;
	}
	return message;
}

static uint64_t odd_number(void)
{
	static const uint64_t numbers[] = { 0,
					    1,
					    2,
					    5,
					    SLOT_END - 1,
					    SLOT_END,
					    UINT64_MAX,
					    ROUND_END << 8 | 1,
					    ROUND_END << 8 | 2,
					    (ROUND_END - 1) << 8 | 1,
					    (ROUND_END - 1) << 8 | 2,
					    1,
					    2,
					    1 << 8 | 1,
					    1 << 8 | 2,
					    1 << 8 | 3,
					    9 << 8 | 1,
					    9 << 8 | 2 };

	return numbers[below(sizeof(numbers) / sizeof(numbers[0]))];
}

static void change_a_field(struct synod_message *message)
{
	static const uint8_t ids[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 200, 255 };
	static const uint8_t types[] = { 0,  SYNOD_CONFIRMED, SYNOD_REPLICA_TYPES_END,
					 31, SYNOD_REQUEST,   255 };

	switch (below(10)) {
	case 0:
		message->from = ids[below(sizeof(ids))];
		break;
	case 1:
		message->to = ids[below(sizeof(ids))];
		break;
	case 2:
		message->type = types[below(sizeof(types))];
		break;
	case 3:
		message->has_value ^= 1;
		break;
	case 4:
		message->slot = odd_number();
		break;
	case 5:
		message->ballot = odd_number();
		break;
	case 6:
		message->chosen_through = odd_number();
		break;
	case 7:
		message->argument = odd_number();
		break;
	case 8:
		message->value_slot = odd_number();
		break;
	default:
		message->value_ballot = odd_number();
		message->value_flags = below(2) ? SYNOD_ENTRY_CHOSEN : 0;
		break;
	}
}

static void start(void)
{
	struct synod_core_config config = bench_config(REPLICAS, 16);

	config.voters = VOTERS;
	bench_start_as(&bench, &config);
	if (below(2))
		bench_lead(&bench);
}

static void check(struct synod_message message)
{
	uint32_t expected = verdict(&message);
	uint32_t live = bench.handles_live;

	memcpy(&before, &bench.core, sizeof(before));
	if (message.has_value)
		message.value = bench_value(&bench);
	bench_message(&bench, message);
	if (expected) {
		assert_int_equal(bench.fx.dropped, expected);
		assert_int_equal(bench.handles_live, live);
		assert_int_equal(bench.fx.sends_count + bench.fx.writes_count, 0);
		assert_memory_equal(&before, &bench.core, sizeof(before));
		return;
	}
	assert_int_not_equal(bench.fx.dropped, SYNOD_DROP_SENDER);
	assert_int_not_equal(bench.fx.dropped, SYNOD_DROP_TYPE);
	/* Of these it can still be found that they contradict what we hold. */
	if (message.type != SYNOD_LEARN && message.type != SYNOD_PROMISE)
		assert_int_not_equal(bench.fx.dropped, SYNOD_DROP_FIELD);
}

static void what_does_not_fit_is_refused_and_changes_nothing(void **state)
{
	uint32_t refused = 0;

	(void)state;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct synod_message message = message_of((uint8_t)(1 + below(SYNOD_CONFIRMED)));
		uint64_t changes = below(3);

		if (i % AGE_MAX == 0)
			start();
		assert_int_equal(verdict(&message), 0);
		while (changes--)
			change_a_field(&message);
		refused += verdict(&message) != 0;
		check(message);
	}
	/* Neither kind is rare, or this test looks at less than it seems. */
	assert_in_range(refused, ROUNDS / 4, 3 * ROUNDS / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_does_not_fit_is_refused_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

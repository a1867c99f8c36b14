/* SPDX-License-Identifier: BSD-3-Clause */
/* See core_bench.h. A failed check ends the test by cmocka's own means. */
#include "tests/unit/core_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct synod_core_config bench_config(uint32_t replicas, uint32_t window)
{
	return (struct synod_core_config){ .replica = 1,
					   .replicas = replicas,
					   .seed = 1,
					   .election_ns = 100 * BENCH_MS,
					   .heartbeat_ns = 20 * BENCH_MS,
					   .retransmit_ns = 30 * BENCH_MS,
					   .window = window,
					   .inflight = window / 2 };
}

void bench_start_as(struct bench *bench, const struct synod_core_config *config)
{
	memset(bench, 0, sizeof(*bench));
	bench->now_ns = BENCH_MS;
	synod_core_init(&bench->core, config, bench->now_ns);
}

void bench_start(struct bench *bench, uint32_t replicas, uint32_t window)
{
	struct synod_core_config config = bench_config(replicas, window);

	bench_start_as(bench, &config);
}

struct synod_value bench_value(struct bench *bench)
{
	uint32_t handle = 1;

	while (bench->live[handle])
		handle++;
	assert_true(handle < BENCH_HANDLES);
	bench->live[handle] = 1;
	bench->handles_live++;
	return (struct synod_value){ .handle = handle, .size = 32, .count = 1, .crc = handle };
}

static void check_value(const struct bench *bench, const struct synod_value *value)
{
	assert_true(value->handle < BENCH_HANDLES);
	assert_true(value->handle == 0 || bench->live[value->handle]);
}

/* The leader's count of bytes in flight, against adding them up. */
static void check_bytes(const struct bench *bench)
{
	const struct synod_core *core = &bench->core;
	uint64_t sum = 0;

	if (core->role != SYNOD_ROLE_LEADER)
		return;
	for (uint64_t slot = core->chosen_through + 1; slot < core->propose_next; slot++)
		sum += core->slots[slot & (core->config.window - 1)].value.size;
	assert_int_equal(core->bytes_inflight, sum);
}

void bench_step(struct bench *bench, struct synod_event event)
{
	struct synod_effects *fx = &bench->fx;

	event.now_ns = bench->now_ns;
	synod_core_step(&bench->core, &event, fx);
	assert_true(fx->sends_count <= SYNOD_CORE_SENDS_MAX);
	assert_true(fx->writes_count <= SYNOD_CORE_WRITES_MAX);
	assert_true(fx->reads_count <= SYNOD_CORE_READS_MAX);
	assert_true(fx->released_count <= SYNOD_CORE_RELEASED_MAX);
	for (uint32_t i = 0; i < fx->sends_count; i++)
		check_value(bench, &fx->sends[i].value);
	for (uint32_t i = 0; i < fx->writes_count; i++) {
		check_value(bench, &fx->writes[i].value);
		assert_int_equal(fx->writes[i].ticket, ++bench->ticket_issued);
	}
	if (fx->chosen_first <= fx->chosen_last) {
		assert_int_equal(fx->chosen_first, bench->chosen_last + 1);
		bench->chosen_last = fx->chosen_last;
	}
	for (uint32_t i = 0; i < fx->released_count; i++) {
		assert_true(bench->live[fx->released[i]]); /* once, and not again */
		bench->live[fx->released[i]] = 0;
		bench->handles_live--;
	}
	check_bytes(bench);
	if (fx->read_through) { /* settled once, in order, and only what was asked */
		assert_true(fx->read_through > bench->read_settled);
		assert_true(fx->read_through <= bench->read_last);
		assert_true(fx->read_status == 0 || fx->read_status == SYNOD_NOT_LEADER);
		assert_true(fx->read_status || fx->read_slot >= bench->chosen_at_read);
		bench->read_settled = fx->read_through;
	}
	assert_true(bench->handles_live <= 2 * bench->core.config.window);
}

void bench_message(struct bench *bench, struct synod_message message)
{
	bench_step(bench, (struct synod_event){ .kind = SYNOD_EVENT_MESSAGE, .message = &message });
}

void bench_submit(struct bench *bench)
{
	bench_step(bench,
		   (struct synod_event){ .kind = SYNOD_EVENT_SUBMIT, .value = bench_value(bench) });
}

void bench_read(struct bench *bench)
{
	if (bench->read_last == bench->read_settled)
		bench->chosen_at_read = bench->chosen_last;
	bench_step(bench,
		   (struct synod_event){ .kind = SYNOD_EVENT_READ, .token = ++bench->read_last });
}

void bench_handover(struct bench *bench, uint64_t to)
{
	bench_step(bench, (struct synod_event){ .kind = SYNOD_EVENT_HANDOVER, .replica = to });
}

void bench_tick(struct bench *bench, uint64_t later_ns)
{
	bench->now_ns += later_ns;
	bench_step(bench, (struct synod_event){ .kind = SYNOD_EVENT_TICK });
}

void bench_durable(struct bench *bench)
{
	bench_step(bench, (struct synod_event){ .kind = SYNOD_EVENT_DURABLE,
						.ticket = bench->ticket_issued });
}

void bench_applied(struct bench *bench)
{
	bench_step(bench,
		   (struct synod_event){ .kind = SYNOD_EVENT_APPLIED, .slot = bench->chosen_last });
}

void bench_install(struct bench *bench, uint64_t slot)
{
	if (slot > bench->chosen_last)
		bench->chosen_last = slot; /* what it covers is not told as chosen */
	bench_step(bench, (struct synod_event){ .kind = SYNOD_EVENT_INSTALLED, .slot = slot });
	assert_true(bench->core.chosen_through >= slot && bench->core.applied >= slot);
}

void bench_lead(struct bench *bench)
{
	uint32_t quorum = bench->core.config.quorum_prepare > bench->core.config.quorum_accept
				  ? bench->core.config.quorum_prepare
				  : bench->core.config.quorum_accept;

	bench_tick(bench, 600 * BENCH_MS);
	for (uint32_t from = 2; from <= quorum; from++)
		bench_message(bench, (struct synod_message){ .type = SYNOD_CANVASS_GRANTED,
							     .from = (uint8_t)from,
							     .to = 1,
							     .ballot = bench->core.ballot });
	bench_durable(bench);
	for (uint32_t from = 2; from <= quorum; from++)
		bench_message(bench, (struct synod_message){ .type = SYNOD_PROMISE,
							     .from = (uint8_t)from,
							     .to = 1,
							     .ballot = bench->core.ballot,
							     .slot = bench->core.chosen_through + 1,
							     .argument = UINT64_MAX });
	assert_int_equal(bench->core.role, SYNOD_ROLE_LEADER);
}

void bench_accepted(struct bench *bench, uint32_t from, uint64_t through)
{
	bench_message(bench, (struct synod_message){ .type = SYNOD_ACCEPTED,
						     .from = (uint8_t)from,
						     .to = 1,
						     .ballot = bench->core.ballot,
						     .slot = through });
}

uint32_t bench_sent(const struct bench *bench, unsigned int type)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < bench->fx.sends_count; i++)
		count += bench->fx.sends[i].type == type;
	return count;
}

void bench_check_handles(const struct bench *bench)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < bench->core.config.window; i++) {
		const struct synod_core_slot *place = &bench->core.slots[i];

		check_value(bench, &place->value);
		check_value(bench, &place->found);
		held += (place->value.handle != 0) + (place->found.handle != 0);
	}
	assert_int_equal(held, bench->handles_live);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the seed draws before the run: the size of the cluster, its limits and timings, which faults
 * exist in this run and how often they strike ("swarm": see faults.md on generators that are too
 * weak; a run with everything at once rarely gets anywhere deep).
 */
#include "tests/sim/sim.h"

#include <string.h>

static uint64_t sometimes(struct sim *sim, uint64_t first, uint64_t last)
{
	return sim_below(sim, 2) ? sim_between(sim, first, last) : 0;
}

/* Who votes, who only learns, which quorums, who comes first. Mostly nothing special. */
static void draw_shape(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	params->voters = 3 + 2 * (uint32_t)sim_below(sim, 3);
	params->replicas = params->voters;
	params->quorum_prepare = params->voters / 2 + 1;
	params->quorum_accept = params->voters / 2 + 1;
	memset(params->priorities, 0, sizeof(params->priorities));
	if (sim_below(sim, 4) == 0) { /* any number of voters, and quorums that just meet */
		params->voters = 2 + (uint32_t)sim_below(sim, 6);
		params->replicas = params->voters;
		params->quorum_accept = 1 + (uint32_t)sim_below(sim, params->voters);
		params->quorum_prepare = params->voters + 1 - params->quorum_accept;
	}
	if (sim_below(sim, 4) == 0)
		params->replicas +=
			(uint32_t)sim_below(sim, SYNOD_REPLICAS_MAX - params->voters + 1);
	if (sim_below(sim, 4) == 0)
		for (uint32_t id = 1; id <= params->voters; id++)
			params->priorities[id] = (uint8_t)sim_below(sim, 3);
}

/* Mean time between faults of a kind: none, often or seldom. */
static uint64_t mean(struct sim *sim, uint64_t least_ms)
{
	switch (sim_below(sim, 4)) {
	case 0:
		return sim_between(sim, least_ms, 5 * least_ms) * SIM_MS;
	case 1:
		return sim_between(sim, 5 * least_ms, 25 * least_ms) * SIM_MS;
	default:
		return 0;
	}
}

/* Most clusters are young; in some a round is about to outgrow 8, 16, 24, 32 or 48 bits. */
static uint64_t draw_round(struct sim *sim)
{
	static const uint8_t bits[] = { 8, 16, 24, 32, 40, 48 };

	if (sim_below(sim, 4))
		return 0;
	return (UINT64_C(1) << bits[sim_below(sim, sizeof(bits))]) - sim_below(sim, 8);
}

static void draw_limits(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	draw_shape(sim);
	params->clients = 1 + (uint32_t)sim_below(sim, SIM_CLIENTS_MAX);
	params->sessions = 1 + (uint32_t)sim_below(sim, SIM_CLIENTS_MAX + 2);
	/* Not drawn: the seeds before there was a choice go on as they did. In half of them a
	 * session lives long enough to come to its window's end. */
	params->session_window = sim->seed % 2 ? SYNOD_SESSION_WINDOW_MAX : 2u << sim->seed / 2 % 4;
	params->window = 16u << sim_below(sim, 5); /* 16..256 */
	if (sim_below(sim, 3) == 0)
		params->window = 16;
	params->inflight = 1 + (uint32_t)sim_below(sim, params->window / 2);
	params->inflight_bytes = sometimes(sim, 64, 2000);
	params->heartbeat_ns = sim_between(sim, 20, 80) * SIM_MS;
	params->election_ns = params->heartbeat_ns * sim_between(sim, 3, 6);
	params->retransmit_ns = sim_between(sim, 10, 80) * SIM_MS;
	params->safety_ns = sim_between(sim, 5, 20) * SIM_SECOND;
	if (sim_below(sim, 40) == 0) /* long enough for the longest pause */
		params->safety_ns += 50 * SIM_SECOND;
	params->think_max = sim_between(sim, 10, 400) * SIM_MS;
	params->client_timeout = sim_between(sim, 50, 500) * SIM_MS;
	params->round_first = draw_round(sim);
	params->drift_ppm = sometimes(sim, 1, 1000);
}

static void draw_clients(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	params->client_deadline = sometimes(sim, 300, 5000) * SIM_MS;
	params->client_datagram = (uint32_t)sim_between(sim, 192, SIM_REQUEST_SIZE);
	params->send_refused = (uint32_t)sometimes(sim, 1, 50);
	params->boots = (uint32_t)sim_below(sim, 2);
	params->reads = (uint32_t)sometimes(sim, 1, 50);
	params->kv = (uint32_t)sim_below(sim, 3) != 0;
	params->large = (uint32_t)sometimes(sim, 1, 30);
	params->keys = 1 + (uint32_t)sim_below(sim, SIM_KEYS_MAX);
}

static void draw_net(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	params->loss = (uint32_t)sometimes(sim, 1, 200);
	params->copy = (uint32_t)sometimes(sim, 1, 200);
	params->corrupt = (uint32_t)sometimes(sim, 1, 20);
	params->truncate = (uint32_t)sometimes(sim, 1, 20);
	params->stray = (uint32_t)sometimes(sim, 1, 20);
	params->mtu = SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE + sim_between(sim, 0, 400);
	params->spike = (uint32_t)sometimes(sim, 1, 200);
	params->spike_max = sim_between(sim, 5, 500) * SIM_MS;
	params->delay_min = sim_between(sim, 10, 500) * SIM_US;
	params->delay_max = params->delay_min + sim_between(sim, 1, 3000) * SIM_US;
}

/* No more voters than can be lost for good, and any of those that only learn. */
static void draw_weak_disks(struct sim *sim)
{
	struct sim_params *params = &sim->params;
	uint32_t left = params->voters - sim_quorum(sim);

	params->weak_disks = 0;
	for (uint32_t id = 1; id <= params->replicas; id++) {
		if (id <= params->voters && !left)
			continue;
		if (sim_below(sim, 2))
			continue;
		params->weak_disks |= 1u << id;
		left -= id <= params->voters;
	}
}

/* The least that a ring may be. In half of them no disk lies. */
static void draw_ring(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	params->area_size = SIM_AREA_SIZE;
	params->disk_size = SYNOD_FORMAT_AREAS_BEGIN + 2 * SIM_AREA_SIZE + 8 * SYNOD_GROUP_SIZE_MAX;
	if (sim->seed % 8 != 7)
		params->weak_disks = 0;
	params->window = 16;
	params->inflight = params->inflight < 8 ? params->inflight : 8;
}

static void draw_disk(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	params->disk_min = sim_between(sim, 10, 500) * SIM_US;
	params->disk_max = params->disk_min + sim_between(sim, 1, 5000) * SIM_US;
	if (sim_below(sim, 4) == 0) /* many writes under way at once, for a crash to sort out */
		params->disk_max += sim_between(sim, 5, 50) * SIM_MS;
	params->disk_slow = (uint32_t)sometimes(sim, 1, 100);
	params->disk_slow_max = sim_between(sim, 10, 500) * SIM_MS;
	params->disk_read_error = (uint32_t)sometimes(sim, 1, 200);
	params->disk_rot_read = (uint32_t)sometimes(sim, 1, 300);
	params->disk_error = (uint32_t)sometimes(sim, 1, 100);
	draw_weak_disks(sim);
	params->fence_step = (256ull << sim_below(sim, 3)) * 1024;
	params->journal_max = sim_below(sim, 4) ? 50 * SIM_US : 5 * SIM_MS;
	params->disk_size = SIM_JOURNAL_SIZE;
	if (sim_below(sim, 12) == 0) /* what a leader keeps back, and little more */
		params->disk_size =
			SIM_JOURNAL_RESERVE + (sim_between(sim, 8, 256) * SYNOD_BLOCK_SIZE);
	/* Not drawn, so that the other seeds stay what they are. */
	params->ring = sim->seed % 4 == 3;
	if (params->ring)
		draw_ring(sim);
	params->hole = sim_below(sim, 2) ? 800 : 0;
	params->apply_max = sim_below(sim, 3) ? SIM_MS : 100 * SIM_MS;
}

/* For crash_points.c: three replicas, one client, a ring that wraps, no fault of any kind. */
void sim_params_script(struct sim *sim)
{
	sim->params = (struct sim_params){
		.replicas = 3,
		.voters = 3,
		.quorum_prepare = 2,
		.quorum_accept = 2,
		.clients = 1,
		.sessions = SIM_CLIENTS_MAX,
		.session_window = SYNOD_SESSION_WINDOW_MAX,
		.window = 16,
		.inflight = 8,
		.election_ns = 100 * SIM_MS,
		.heartbeat_ns = 25 * SIM_MS,
		.retransmit_ns = 20 * SIM_MS,
		.commands = SIM_SCRIPT_COMMANDS,
		.delay_min = 20 * SIM_US,
		.delay_max = 200 * SIM_US,
		.disk_min = 20 * SIM_US,
		.disk_max = 500 * SIM_US,
		.hole = 500,
		.journal_max = 50 * SIM_US,
		.disk_size = SIM_JOURNAL_SIZE,
		.fence_step = 256 * 1024,
		.apply_max = SIM_MS,
		.think_max = 5 * SIM_MS,
		.client_timeout = 50 * SIM_MS,
	};
}

void sim_params_draw(struct sim *sim)
{
	struct sim_params *params = &sim->params;

	draw_limits(sim);
	draw_net(sim);
	draw_disk(sim);
	draw_clients(sim);
	params->crash_sending = (uint32_t)sometimes(sim, 1, 100);
	params->crash_durable = (uint32_t)sometimes(sim, 1, 200);
	params->hazard_mean[SIM_HAZARD_CRASH] = mean(sim, 150);
	params->hazard_mean[SIM_HAZARD_CRASH_ALL] = mean(sim, 1000);
	params->hazard_mean[SIM_HAZARD_PARTITION] = mean(sim, 150);
	params->hazard_mean[SIM_HAZARD_CLOG] = mean(sim, 200);
	params->hazard_mean[SIM_HAZARD_SWIZZLE] = mean(sim, 500);
	params->hazard_mean[SIM_HAZARD_NARROW] = mean(sim, 200);
	params->hazard_mean[SIM_HAZARD_CLOCK_JUMP] = sometimes(sim, 500, 5000) * SIM_MS;
	params->hazard_mean[SIM_HAZARD_PAUSE] = mean(sim, 200);
	params->hazard_mean[SIM_HAZARD_DISK_STUCK] = mean(sim, 200);
	params->hazard_mean[SIM_HAZARD_DISK_DAMAGE] = mean(sim, 300);
	params->hazard_mean[SIM_HAZARD_STORM] = sometimes(sim, 1000, 5000) * SIM_MS;
	params->hazard_mean[SIM_HAZARD_CLIENT_PAUSE] = sometimes(sim, 500, 5000) * SIM_MS;
	params->hazard_mean[SIM_HAZARD_CLIENT_RESTART] = sometimes(sim, 500, 5000) * SIM_MS;
	params->hazard_mean[SIM_HAZARD_HANDOVER] = sometimes(sim, 200, 5000) * SIM_MS;
	params->hazard_mean[SIM_HAZARD_READ] = sometimes(sim, 5, 500) * SIM_MS;
	params->hints = sim->seed % 4 == 2; /* as for rings */
	if (params->hints)
		params->hazard_mean[SIM_HAZARD_HINT] = sim_between(sim, 20, 2000) * SIM_MS;
	params->lives = sim->seed % 4 == 1;
	if (params->lives && params->weak_disks)
		params->hazard_mean[SIM_HAZARD_ROLLBACK] = sim_between(sim, 50, 1000) * SIM_MS;
}

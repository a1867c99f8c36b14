/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When things break. Each hazard has a mean time between occurrences, drawn by the seed, or does
 * not exist in this run: a run with few kinds of fault gets further than one with all of them.
 */
#include "tests/sim/sim.h"

#include <string.h>

static void schedule(struct sim *sim, enum sim_hazard hazard)
{
	uint64_t mean = sim->params.hazard_mean[hazard];

	if (!mean)
		return;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + mean / 4 +
						      sim_below(sim, mean + mean / 2),
						.kind = SIM_FAULT_NEXT,
						.a = hazard });
}

void sim_faults_start(struct sim *sim)
{
	for (int hazard = 0; hazard < SIM_HAZARDS_COUNT; hazard++)
		schedule(sim, (enum sim_hazard)hazard);
}

static struct sim_replica *any_replica(struct sim *sim)
{
	return &sim->replicas[1 + sim_below(sim, sim->params.replicas)];
}

/*
 * Whom a fault strikes: half of the time somebody who thinks that it leads. Half-done work, on
 * which consensus stands or falls, is the leader's: what only some accepted, what nobody was told.
 */
static struct sim_replica *victim(struct sim *sim)
{
	struct sim_replica *replica = any_replica(sim);

	if (sim_below(sim, 2))
		return replica;
	for (uint32_t i = 0; i < sim->params.replicas; i++) {
		uint32_t id = (replica->id - 1 + i) % sim->params.replicas + 1;

		if (sim->replicas[id].up && sim->replicas[id].core.role == SYNOD_ROLE_LEADER)
			return &sim->replicas[id];
	}
	return replica;
}

static void crash_one(struct sim *sim)
{
	struct sim_replica *replica = victim(sim);

	if (!replica->up)
		return;
	sim_count(sim, SIM_FAULT_CRASH);
	sim_replica_crash(sim, replica);
}

static void crash_all(struct sim *sim)
{
	sim_count(sim, SIM_FAULT_CRASH_ALL);
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		if (sim->replicas[id].up)
			sim_replica_crash(sim, &sim->replicas[id]);
}

static void cut_groups(struct sim *sim, uint32_t group, int one_way)
{
	for (uint32_t from = 1; from <= sim->params.replicas; from++)
		for (uint32_t to = 1; to <= sim->params.replicas; to++) {
			int leaves = (group >> from & 1) && !(group >> to & 1);
			int enters = !(group >> from & 1) && (group >> to & 1);

			if (leaves || (enters && !one_way))
				sim->cut[from][to] = 1;
		}
}

static void partition(struct sim *sim)
{
	uint32_t group = sim_below(sim, 2)
				 ? (uint32_t)sim_below(sim, 1u << sim->params.replicas) << 1
				 : 1u << victim(sim)->id | 1u << any_replica(sim)->id;
	uint32_t from = 1 + (uint32_t)sim_below(sim, sim->params.replicas);
	uint32_t to = 1 + (uint32_t)sim_below(sim, sim->params.replicas);

	sim_net_heal(sim);
	switch (sim_below(sim, 3)) {
	case 0:
		cut_groups(sim, group, 0);
		sim_count(sim, SIM_FAULT_PARTITION);
		sim_tell(sim, "partition, one side is %x", group >> 1);
		break;
	case 1:
		cut_groups(sim, group, 1);
		sim_count(sim, SIM_FAULT_PARTITION_ONE_WAY);
		sim_tell(sim, "nothing leaves %x", group >> 1);
		break;
	default:
		sim->cut[from][to] = 1;
		sim->cut[to][from] = (uint8_t)sim_below(sim, 2);
		sim_count(sim, SIM_FAULT_PARTITION_LINK);
		sim_tell(sim, "link %u->%u cut", from, to);
		break;
	}
	sim_queue_push(sim, (struct sim_event){ .at = sim->now +
						      sim_between(sim, 50 * SIM_MS, 4 * SIM_SECOND),
						.kind = SIM_HEAL,
						.a = sim->partition_generation });
}

/* Some links hold everything back for a while, each for its own while. */
static void clog_links(struct sim *sim)
{
	for (uint32_t from = 1; from <= sim->params.replicas; from++)
		for (uint32_t to = 1; to <= sim->params.replicas; to++)
			if (sim_below(sim, 3) == 0)
				sim->clogged_until[from][to] =
					sim->now + sim_below(sim, 2 * SIM_SECOND);
}

/*
 * Links are clogged one by one and set free one by one in another order, so that what was sent
 * early comes after what was sent late (FoundationDB's best bug finder; faults.md, 1).
 */
static void swizzle_links(struct sim *sim)
{
	uint64_t step = sim_between(sim, 10, 300) * SIM_MS;
	uint8_t links[SYNOD_REPLICAS_MAX * SYNOD_REPLICAS_MAX][2];
	uint32_t count = 0;

	for (uint32_t from = 1; from <= sim->params.replicas; from++)
		for (uint32_t to = 1; to <= sim->params.replicas; to++)
			if (from != to && sim_below(sim, 2)) {
				links[count][0] = (uint8_t)from;
				links[count++][1] = (uint8_t)to;
			}
	for (uint32_t i = 0; i < count; i++) {
		/* Any of those left; its turn to be set free is drawn by itself. */
		uint32_t any = i + (uint32_t)sim_below(sim, count - i);
		uint8_t from = links[any][0];
		uint8_t to = links[any][1];

		memcpy(links[any], links[i], sizeof(links[i]));
		sim_queue_push(sim,
			       (struct sim_event){ .at = sim->now + i * step,
						   .kind = SIM_LINK_CLOG,
						   .who = from,
						   .b = to,
						   .a = sim->now +
							(count + sim_below(sim, count)) * step });
	}
	sim_tell(sim, "swizzle of %u links, a step is %llu ms", count,
		 (unsigned long long)(step / SIM_MS));
	sim_count(sim, SIM_FAULT_SWIZZLE);
}

/* Some links lose whatever is large, for a while: values do not pass, heartbeats do. */
static void narrow_links(struct sim *sim)
{
	uint64_t until = sim->now + sim_between(sim, 100 * SIM_MS, 3 * SIM_SECOND);

	for (uint32_t from = 1; from <= sim->params.replicas; from++)
		for (uint32_t to = 1; to <= sim->params.replicas; to++)
			if (sim_below(sim, 2))
				sim->narrow_until[from][to] = until;
}

static void pause_one(struct sim *sim)
{
	struct sim_replica *replica = victim(sim);
	int is_long = sim_below(sim, 8) == 0;
	uint64_t until = sim->now + (is_long ? sim_between(sim, 3 * SIM_SECOND, 60 * SIM_SECOND)
					     : sim_between(sim, SIM_MS, 3 * SIM_SECOND));

	if (until > replica->paused_until)
		sim_replica_pause(sim, replica, until);
	sim_count(sim, is_long ? SIM_FAULT_PAUSE_LONG : SIM_FAULT_PAUSE);
	sim_tell(sim, "%u pauses", replica->id);
}

/* A machine that was suspended; or one whose clock source was changed under it. */
static void clock_jump(struct sim *sim)
{
	struct sim_replica *replica = any_replica(sim);
	uint64_t by = sim_below(sim, 2) ? sim_between(sim, SIM_MS, 2 * SIM_SECOND)
					: sim_between(sim, SIM_SECOND, 3600 * SIM_SECOND);

	if (!replica->up)
		return;
	sim_count(sim, SIM_FAULT_CLOCK_JUMP);
	sim_tell(sim, "%u: the clock jumps %llu ms", replica->id,
		 (unsigned long long)(by / SIM_MS));
	sim_replica_clock_jump(sim, replica, by);
}

static void ask_handover(struct sim *sim, struct sim_replica *replica)
{
	struct synod_event event = { .kind = SYNOD_EVENT_HANDOVER,
				     .replica = sim_below(sim, sim->params.replicas + 2) };

	if (!replica->up || replica->paused_until > sim->now)
		return;
	sim_tell(sim, "%u is asked to hand over to %llu", replica->id,
		 (unsigned long long)event.replica);
	sim_replica_step(sim, replica, &event);
	if (replica->up && !sim->effects.refused)
		sim_count(sim, SIM_FAULT_HANDOVER);
}

/* Of whoever leads, mostly: a flap of one link, or of all that lead there. */
static void hint_falsely(struct sim *sim)
{
	const struct sim_replica *lost = victim(sim);
	uint32_t one = any_replica(sim)->id;
	uint32_t all = (uint32_t)sim_below(sim, 2);

	for (uint32_t id = 1; id <= sim->params.replicas; id++) {
		struct sim_replica *replica = &sim->replicas[id];

		if ((!all && id != one) || replica == lost || !replica->up ||
		    replica->paused_until > sim->now)
			continue;
		sim_count(sim, SIM_FAULT_HINT_FALSE);
		sim_replica_hint(sim, replica, lost->id);
	}
}

void sim_faults_next(struct sim *sim, enum sim_hazard hazard)
{
	if (sim->phase != SIM_SAFETY)
		return;
	schedule(sim, hazard);
	switch (hazard) {
	case SIM_HAZARD_CRASH:
		crash_one(sim);
		break;
	case SIM_HAZARD_CRASH_ALL:
		crash_all(sim);
		break;
	case SIM_HAZARD_PARTITION:
		partition(sim);
		break;
	case SIM_HAZARD_CLOG:
		clog_links(sim);
		break;
	case SIM_HAZARD_SWIZZLE:
		swizzle_links(sim);
		break;
	case SIM_HAZARD_NARROW:
		narrow_links(sim);
		break;
	case SIM_HAZARD_PAUSE:
		pause_one(sim);
		break;
	case SIM_HAZARD_CLOCK_JUMP:
		clock_jump(sim);
		break;
	case SIM_HAZARD_DISK_STUCK:
		victim(sim)->disk.stuck_until =
			sim->now + sim_between(sim, 100 * SIM_MS, 2 * SIM_SECOND);
		break;
	case SIM_HAZARD_DISK_DAMAGE:
		sim_damage(sim);
		break;
	case SIM_HAZARD_HANDOVER:
		ask_handover(sim, any_replica(sim));
		break;
	case SIM_HAZARD_READ:
		sim_reads_hazard(sim, any_replica(sim));
		break;
	case SIM_HAZARD_STORM:
		sim_client_storm(sim, &sim->clients[sim_below(sim, sim->params.clients)]);
		break;
	case SIM_HAZARD_CLIENT_PAUSE:
		sim_client_pause(sim, &sim->clients[sim_below(sim, sim->params.clients)]);
		break;
	case SIM_HAZARD_CLIENT_RESTART:
		sim_client_restart(sim, &sim->clients[sim_below(sim, sim->params.clients)]);
		break;
	case SIM_HAZARD_ROLLBACK:
		sim_lives_hazard(sim, any_replica(sim));
		break;
	case SIM_HAZARD_HINT:
		hint_falsely(sim);
		break;
	case SIM_HAZARDS_COUNT:
		break;
	}
}

static void heal_replica(struct sim *sim, struct sim_replica *replica)
{
	sim_replica_pause(sim, replica, sim->now);
	replica->disk.stuck_until = 0;
	if (!replica->up)
		sim_replica_start(sim, replica);
}

/* What stays broken, stays broken in one of several ways: the majority must do without it. */
static void break_replica(struct sim *sim, struct sim_replica *replica)
{
	uint32_t self = 1u << replica->id;

	switch (sim_below(sim, 5)) {
	case 0:
		if (replica->up)
			sim_replica_crash(sim, replica);
		break;
	case 1:
		sim_replica_pause(sim, replica, UINT64_MAX / 2);
		break;
	case 2:
		cut_groups(sim, self, 0);
		break;
	case 3:
		cut_groups(sim, self, 1); /* it hears, and is not heard */
		break;
	default:
		cut_groups(sim, ~self, 1); /* it is heard, and does not hear */
		break;
	}
}

/* Where a majority is left without either end of it, a link inside the healed set stays cut. */
static void break_link(struct sim *sim)
{
	uint32_t from = 1 + (uint32_t)sim_below(sim, sim->params.voters);
	uint32_t to = 1 + (uint32_t)sim_below(sim, sim->params.voters);

	if (sim_votes(sim, sim->core_set) <= sim_quorum(sim) || sim_below(sim, 2) ||
	    !(sim->core_set >> from & 1) || !(sim->core_set >> to & 1) || from == to)
		return;
	sim->cut[from][to] = 1;
	sim->cut[to][from] = (uint8_t)sim_below(sim, 2);
	sim_tell(sim, "link %u->%u stays cut", from, to);
}

/*
 * Of the healed only one voter is sure to reach all others, and they it: any link among these may
 * be gone, both ways or one way. That is enough for a quorum, and must be enough to go on (the
 * livelocks of Howard and Abraham, 2020: whoever cannot be led must not depose who leads).
 */
static void cut_to_a_hub(struct sim *sim)
{
	uint32_t hub;

	do
		hub = 1 + (uint32_t)sim_below(sim, sim->params.voters);
	while (!(sim->core_set >> hub & 1));
	sim_tell(sim, "of the healed all reach %u; other links may be gone", hub);
	for (uint32_t from = 1; from <= sim->params.replicas; from++)
		for (uint32_t to = 1; to <= sim->params.replicas; to++)
			if (from != to && from != hub && to != hub && sim_below(sim, 2)) {
				sim->cut[from][to] = 1;
				sim_count(sim, SIM_FAULT_PARTITION_HUB);
			}
}

/* It has all that it ever promised and accepted, and votes. */
static int is_healthy(const struct sim_replica *replica)
{
	return !sim_disk_is_damaged(&replica->disk) && !sim_disk_joins(&replica->disk);
}

void sim_faults_end(struct sim *sim)
{
	uint32_t healthy = 0;
	uint32_t left = sim_quorum(sim);

	for (uint32_t id = 1; id <= sim->params.voters; id++)
		healthy += (uint32_t)is_healthy(&sim->replicas[id]);
	left += (uint32_t)sim_below(sim, healthy - left + 1);

	sim_net_heal(sim);
	sim->core_set = 0;
	while (left) {
		uint32_t id = 1 + (uint32_t)sim_below(sim, sim->params.voters);

		if (sim->core_set >> id & 1 || !is_healthy(&sim->replicas[id]))
			continue;
		sim->core_set |= 1u << id;
		left--;
	}
	for (uint32_t id = sim->params.voters + 1; id <= sim->params.replicas; id++)
		if (!sim_disk_is_damaged(&sim->replicas[id].disk))
			sim->core_set |= (uint32_t)sim_below(sim, 2) << id;
	sim_tell(sim, "liveness: %x is healed", sim->core_set >> 1);
	for (uint32_t id = 1; id <= sim->params.replicas; id++) {
		if (sim->core_set >> id & 1)
			heal_replica(sim, &sim->replicas[id]);
		else
			break_replica(sim, &sim->replicas[id]);
	}
}

void sim_faults_end_links(struct sim *sim)
{
	if (sim_below(sim, 3) == 0)
		cut_to_a_hub(sim);
	else
		break_link(sim);
}

void sim_faults_heal_all(struct sim *sim)
{
	sim_tell(sim, "convergence: all are healed");
	sim_net_heal(sim);
	sim->core_set = ~0u;
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		heal_replica(sim, &sim->replicas[id]);
}

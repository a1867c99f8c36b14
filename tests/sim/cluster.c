/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One seed from beginning to end.
 *
 *   safety       everything that the seed drew goes wrong; nothing wrong may be said or chosen
 *   liveness     a majority is healed, the rest stays broken: 100 new commands in 10 seconds
 *   calm         clients are silent, nothing changes: whoever leads goes on leading
 *   convergence  all are healed: every replica executes the same log to its end in 10 seconds
 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LIVENESS_COMMANDS = 100,
	CALM_LEADERS = 2, /* a hand-over that was under way, and a higher priority that caught up */
};

#define LIVENESS_NS	    (10 * SIM_SECOND)
#define CALM_NS		    (2 * SIM_SECOND)
#define CONVERGENCE_NS	    (10 * SIM_SECOND)
#define CONVERGENCE_LOOK_NS (50 * SIM_MS)
#define REPAIR_NS	    (2 * SIM_SECOND) /* for the operators, once all is calm */
#define FULL_NS		    (1 * SIM_SECOND)
#define SETTLE_NS	    (2 * SIM_SECOND)
#define VOUCHED_NS	    (1 * SIM_SECOND)
#define SCRIPT_NS	    (30 * SIM_SECOND)

const char *const sim_fault_names[SIM_FAULTS_COUNT] = {
#define SIM_FAULT_NAME(symbol, name) name,
	SIM_FAULTS(SIM_FAULT_NAME)
#undef SIM_FAULT_NAME
};

const char *const sim_traffic_names[SIM_TRAFFIC_COUNT] = {
#define SIM_TRAFFIC_NAME(symbol, name, least) name,
	SIM_TRAFFIC(SIM_TRAFFIC_NAME)
#undef SIM_TRAFFIC_NAME
};

const uint64_t sim_traffic_least[SIM_TRAFFIC_COUNT] = {
#define SIM_TRAFFIC_LEAST(symbol, name, least) least,
	SIM_TRAFFIC(SIM_TRAFFIC_LEAST)
#undef SIM_TRAFFIC_LEAST
};

void sim_fold(struct sim *sim, uint64_t value)
{
	sim->hash = (sim->hash ^ value) * 0xff51afd7ed558ccdull;
	sim->hash ^= sim->hash >> 32;
}

void *sim_grow(void *table, uint64_t *capacity, uint64_t needed, uint64_t entry_size)
{
	uint64_t before = *capacity;

	if (needed < before)
		return table;
	while (*capacity <= needed)
		*capacity = *capacity ? *capacity * 2 : 256;
	table = realloc(table, *capacity * entry_size);
	if (!table)
		abort();
	memset((uint8_t *)table + before * entry_size, 0, (*capacity - before) * entry_size);
	return table;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sim->failure, sizeof(sim->failure), format, arguments);
	va_end(arguments);
	siglongjmp(sim->failed, 1);
}

void sim_trace(const struct sim *sim, const char *format, ...)
{
	va_list arguments;

	printf("%11.6f ", (double)sim->now / 1e9);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

static void on_packet(struct sim *sim, const struct sim_event *event)
{
	struct sim_packet packet = sim->packets[event->a];
	struct sim_replica *replica = &sim->replicas[event->who];
	struct sim_datagram datagram;

	if (packet.kind == SIM_PACKET_HELLO) {
		sim_net_free(sim, (uint32_t)event->a);
		if (replica->up)
			sim_lives_hello(sim, replica, &packet.hello);
		return;
	}
	if (packet.kind == SIM_PACKET_MESSAGE) {
		sim_net_free(sim, (uint32_t)event->a);
		if (!replica->up && !replica->mends)
			return;
		if (sim->params.lives ? sim_lives_drop(sim, replica, &packet)
				      : sim_rejoin_drops(sim, replica, &packet))
			return;
		if (replica->mends) {
			sim_mending_message(sim, replica, &packet.message, packet.content);
			return;
		}
		sim_replica_message(sim, replica, &packet.message, packet.content);
		(void)sim_point(sim, replica);
		return;
	}
	datagram = sim_datagram_take(sim, (uint32_t)event->a);
	replica = &sim->replicas[datagram.replica];
	if (packet.kind == SIM_PACKET_REPLY)
		sim_client_datagram(sim, &sim->clients[datagram.client], &datagram);
	else if (replica->up)
		sim_replica_datagram(sim, replica, &datagram);
	else
		return;
	(void)sim_point(sim, replica);
}

/* Events that a replica's process handles: they wait while it pauses and die with it. */
static int is_of_process(const struct sim *sim, const struct sim_event *event)
{
	switch (event->kind) {
	case SIM_PACKET:
		return sim->packets[event->a].kind != SIM_PACKET_REPLY;
	case SIM_TICK:
	case SIM_JOURNAL:
	case SIM_DURABLE:
	case SIM_READ_DONE:
	case SIM_APPLY:
	case SIM_INGRESS:
	case SIM_LIVES:
	case SIM_HINT:
		return 1;
	default:
		return 0;
	}
}

static int stays_broken(const struct sim *sim, const struct sim_replica *replica)
{
	return (sim->phase == SIM_LIVENESS || sim->phase == SIM_CALM) &&
	       !(sim->core_set >> replica->id & 1);
}

static void on_restart(struct sim *sim, struct sim_replica *replica, uint32_t life)
{
	if (replica->up || replica->mends || replica->life != life)
		return;
	if (stays_broken(sim, replica))
		return; /* it stays broken */
	sim_replica_start(sim, replica);
}

static void on_repair(struct sim *sim, struct sim_replica *replica, uint32_t life)
{
	if (replica->up || replica->mends || replica->life != life)
		return;
	if (stays_broken(sim, replica))
		return;
	sim_replica_repair(sim, replica);
}

static void dispatch_replica(struct sim *sim, struct sim_replica *replica,
			     const struct sim_event *event)
{
	switch (event->kind) {
	case SIM_TICK:
		sim_replica_tick(sim, replica, event->a);
		break;
	case SIM_DISK_DONE:
		sim_disk_done(sim, replica, event->a);
		break;
	case SIM_JOURNAL:
		sim_journal_turn(sim, replica);
		if (replica->up && replica->durable_scheduled && sim->phase == SIM_SAFETY &&
		    sim_below(sim, 100000) < sim->params.crash_durable) {
			sim_count(sim, SIM_FAULT_CRASH_DURABLE);
			sim_replica_crash(sim, replica);
		}
		break;
	case SIM_DURABLE:
		sim_replica_durable(sim, replica);
		break;
	case SIM_READ_DONE:
		sim_replica_read_done(sim, replica, event->a, event->b);
		break;
	case SIM_APPLY:
		sim_replica_apply(sim, replica);
		break;
	case SIM_INGRESS:
		sim_replica_ingress(sim, replica);
		break;
	case SIM_LIVES:
		sim_lives_poll(sim, replica, (int)event->a);
		break;
	case SIM_HINT:
		sim_replica_hint(sim, replica, (uint32_t)event->a);
		break;
	default:
		break;
	}
	if (event->kind != SIM_TICK && event->kind != SIM_INGRESS)
		(void)sim_point(sim, replica);
}

static void dispatch(struct sim *sim, const struct sim_event *event)
{
	struct sim_replica *replica = &sim->replicas[event->who];

	switch (event->kind) {
	case SIM_PACKET:
		on_packet(sim, event);
		break;
	case SIM_CLIENT_TIMER:
		if (sim->clients[event->who].life == event->a)
			sim_client_timer(sim, &sim->clients[event->who]);
		break;
	case SIM_CLIENT_POLL:
		if (sim->clients[event->who].poll_generation == event->a)
			sim_client_poll(sim, &sim->clients[event->who]);
		break;
	case SIM_CLIENT_START:
		sim_client_start(sim, &sim->clients[event->who]);
		break;
	case SIM_RESTART:
		on_restart(sim, replica, event->life);
		break;
	case SIM_REPAIR:
		on_repair(sim, replica, event->life);
		break;
	case SIM_SNAPSHOT:
		sim_snapshot_arrived(sim, replica);
		break;
	case SIM_REJOIN:
		if (!replica->up && replica->life == event->life)
			sim_rejoin(sim, replica);
		break;
	case SIM_FAULT_NEXT:
		sim_faults_next(sim, (enum sim_hazard)event->a);
		break;
	case SIM_HEAL:
		if (sim->phase == SIM_SAFETY && event->a == sim->partition_generation)
			sim_net_heal(sim);
		break;
	case SIM_LINK_CLOG:
		if (sim->phase == SIM_SAFETY)
			sim->clogged_until[event->who][event->b] = event->a;
		break;
	default:
		if (replica->life != event->life)
			break;
		if (replica->up)
			dispatch_replica(sim, replica, event);
		else if (replica->mends)
			sim_mending_event(sim, replica, event);
		break;
	}
}

/* One event, at its time. */
static void turn(struct sim *sim)
{
	struct sim_event event = sim_queue_pop(sim);

	sim->now = event.at;
	if (is_of_process(sim, &event) && sim->replicas[event.who].up &&
	    sim->replicas[event.who].paused_until > sim->now) {
		event.at = sim->replicas[event.who].paused_until;
		/* Whoever wakes up may look at the network first and at the clock later. */
		if (event.kind == SIM_PACKET && event.at & 1)
			sim_queue_push_first(sim, event);
		else
			sim_queue_push(sim, event);
		return;
	}
	sim->events++;
	sim_fold(sim, event.at ^ (uint64_t)event.kind << 56 ^ (uint64_t)event.who << 48);
	dispatch(sim, &event);
}

static void run_until(struct sim *sim, uint64_t end)
{
	while (sim->queue.count && sim->queue.events[0].at <= end)
		turn(sim);
	sim->now = end;
}

/*
 * Somebody's journal has no room for more commands: FULL is the answer then, and all there is. Not
 * in a ring: the next snapshot makes room, and who waits for it is served.
 */
static int is_full(const struct sim *sim)
{
	if (sim->params.ring)
		return 0;
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		if (sim->replicas[id].disk.room < sim_reserve_leader(sim))
			return 1;
	return 0;
}

/* And no room even for what others have chosen: it cannot learn the last of it. */
static int is_brimful(const struct sim *sim, const struct sim_replica *replica)
{
	return !sim->params.ring && replica->disk.room <= sim_reserve_follower(sim);
}

/* Its disk lied, and it cannot come back, or not now. */
int sim_replica_is_out(const struct sim *sim, const struct sim_replica *replica)
{
	return !replica->up && sim_disk_is_damaged(&replica->disk) &&
	       (replica->disk.lost || replica->disk.rolled ||
		sim->now > sim->converge_at + REPAIR_NS);
}

static int has_all(const struct sim *sim, const struct sim_replica *replica)
{
	return sim_replica_is_out(sim, replica) || is_brimful(sim, replica) ||
	       (replica->applied == sim->observer.chosen_prefix &&
		replica->read_served == replica->read_last);
}

static int is_converged(const struct sim *sim)
{
	for (uint32_t i = 0; i < sim->params.clients && !is_full(sim); i++)
		if (sim_client_waits(sim, &sim->clients[i]))
			return 0;
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		if (!has_all(sim, &sim->replicas[id]))
			return 0;
	return sim->observer.chosen_prefix == sim->observer.applied_last;
}

static int somebody_is_mute(const struct sim *sim)
{
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		if (sim->core_set >> id & 1 && sim->replicas[id].up &&
		    sim->replicas[id].core.standing == SYNOD_STANDING_MUTE)
			return 1;
	return 0;
}

/*
 * Who has just started is vouched for by more than one of them, each by a write to a disk that may
 * still be slow: what cuts links among them waits for that.
 */
static void run_vouching(struct sim *sim)
{
	uint64_t end = sim->params.safety_ns + SETTLE_NS + VOUCHED_NS;

	run_until(sim, sim->now + VOUCHED_NS);
	while (somebody_is_mute(sim) && sim->now < end)
		run_until(sim, sim->now + VOUCHED_NS / 10);
}

static void run_liveness(struct sim *sim)
{
	uint64_t before = sim->observer.positions_count;
	uint64_t end = sim->now + LIVENESS_NS;

	sim->phase = SIM_LIVENESS;
	sim_faults_end(sim);
	if (sim->params.lives)
		run_vouching(sim);
	sim_faults_end_links(sim);
	while (sim->observer.positions_count < before + LIVENESS_COMMANDS && sim->now < end &&
	       !is_full(sim))
		turn(sim);
	sim_check(sim, sim->observer.positions_count >= before + LIVENESS_COMMANDS || is_full(sim),
		  "liveness: a healed majority chose %llu commands in 10 s",
		  (unsigned long long)(sim->observer.positions_count - before));
}

/*
 * Whoever leads a healed majority goes on leading it: neither a replica that is half cut off nor
 * one with stale news unseats it again and again (B12; Howard and Abraham on links that work one
 * way).
 */
static void run_calm(struct sim *sim)
{
	uint64_t begin = sim->now;
	uint64_t before;

	sim->phase = SIM_CALM;
	if (is_full(sim))
		return;
	/* What disks were slow with, or stuck, when all else was healed, is over by then. */
	if (begin < sim->params.safety_ns + SETTLE_NS)
		begin = sim->params.safety_ns + SETTLE_NS;
	run_until(sim, begin);
	before = sim->observer.leaders;
	run_until(sim, begin + CALM_NS);
	sim_check(sim, sim->observer.leaders - before <= CALM_LEADERS,
		  "B12: %llu new leaders in %llu s in which nothing changed",
		  (unsigned long long)(sim->observer.leaders - before),
		  (unsigned long long)(CALM_NS / SIM_SECOND));
}

static void run_convergence(struct sim *sim)
{
	uint64_t end;

	if (is_full(sim))
		run_until(sim, sim->now + FULL_NS); /* everybody must go on saying so */
	sim->phase = SIM_CONVERGENCE;
	sim->converge_at = sim->now;
	end = sim->now + CONVERGENCE_NS;
	sim_faults_heal_all(sim);
	do
		run_until(sim, sim->now + CONVERGENCE_LOOK_NS);
	while (!is_converged(sim) && sim->now < end);
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		sim_check(sim, has_all(sim, &sim->replicas[id]),
			  "convergence: replica %u executed through %llu of %llu in 10 s", id,
			  (unsigned long long)sim->replicas[id].applied,
			  (unsigned long long)sim->observer.chosen_prefix);
	sim_check(sim, is_converged(sim), "convergence: a client or a read waits for ever");
}

static void reset(struct sim *sim, uint64_t seed)
{
	sim->seed = seed;
	sim->random = seed;
	sim->now = 0;
	sim->hash = 0;
	sim->events = 0;
	sim->phase = SIM_SAFETY;
	sim->core_set = 0;
	sim->converge_at = 0;
	sim->queue.count = 0;
	sim->queue.order = 0;
	sim->packets_count = 0;
	sim->packets_free = 0;
	sim->points = 0;
	sim->contents_count = 0;
	sim->arena_size = 0;
	sim->datagrams_count = 0;
	sim->datagrams_free = 0;
	sim->origins_count = 0;
	sim->history_count = 0;
	sim->value_last = 0;
	sim->incarnation_last = 0;
	memset(sim->incarnations, 0, sizeof(sim->incarnations));
	memset(sim->traffic, 0, sizeof(sim->traffic));
	sim_snapshot_reset();
	sim_lives_reset();
	sim->failure[0] = 0;
	memset(sim->faults, 0, sizeof(sim->faults));
	memset(&sim->params, 0, sizeof(sim->params));
	memset(sim->cut, 0, sizeof(sim->cut));
	memset(sim->clogged_until, 0, sizeof(sim->clogged_until));
	memset(sim->narrow_until, 0, sizeof(sim->narrow_until));
	sim->partition_generation = 0;
	if (!sim->contents) {
		uint64_t capacity = 0;

		sim->contents = sim_grow(NULL, &capacity, 0, sizeof(*sim->contents));
		sim->contents_capacity = (uint32_t)capacity;
	}
	memset(&sim->contents[0], 0, sizeof(sim->contents[0]));
	sim_observer_reset(sim);
}

static void start(struct sim *sim)
{
	sim->machine = sim->params.kv ? &synod_kv_machine : sim_parts_machine();
	for (uint32_t id = 1; id <= sim->params.replicas; id++) {
		struct sim_replica *replica = &sim->replicas[id];

		replica->id = id;
		replica->up = 0;
		replica->mends = 0;
		replica->life = 0;
		replica->tick_generation = 0;
		replica->disks = 0;
		replica->disks_given = 0;
		replica->joins = 0;
		memset(replica->heard, 0, sizeof(replica->heard));
		sim_disk_format(sim, replica, sim->params.disk_size, NULL);
		sim_replica_start(sim, replica);
	}
	for (uint32_t i = 0; i < sim->params.clients; i++) {
		sim->clients[i].id = i;
		sim->clients[i].life = 0;
		sim->clients[i].up = 0;
		sim_client_start(sim, &sim->clients[i]);
	}
	sim_faults_start(sim);
}

int sim_cluster_run(struct sim *sim, uint64_t seed)
{
	reset(sim, seed);
	if (sigsetjmp(sim->failed, 1))
		return -1;
	sim_params_draw(sim);
	start(sim);
	run_until(sim, sim->params.safety_ns);
	run_liveness(sim);
	run_calm(sim);
	run_convergence(sim);
	sim_workload_check(sim);
	for (uint32_t id = 1; id <= sim->params.replicas; id++)
		sim_fold(sim, synod_core_hash(&sim->replicas[id].core));
	return 0;
}

int sim_cluster_script(struct sim *sim, uint64_t seed)
{
	reset(sim, seed);
	if (sigsetjmp(sim->failed, 1))
		return -1;
	sim_params_script(sim);
	start(sim);
	while (sim->clients[0].acked < sim->params.commands || !is_converged(sim)) {
		turn(sim);
		sim_check(sim, sim->now < SCRIPT_NS, "%llu of %u commands answered in %llu s",
			  (unsigned long long)sim->clients[0].acked, sim->params.commands,
			  (unsigned long long)(SCRIPT_NS / SIM_SECOND));
	}
	sim_check(sim, !sim->point_crash || sim->points >= sim->point_crash,
		  "the script has only %llu events", (unsigned long long)sim->points);
	return 0;
}

void sim_cluster_free(struct sim *sim)
{
	sim_apply_free(sim);
	for (uint32_t i = 0; i < SIM_CLIENTS_MAX; i++)
		sim_client_free(&sim->clients[i]);
	for (uint32_t id = 0; id <= SYNOD_REPLICAS_MAX; id++) {
		sim_disk_free(&sim->replicas[id].disk);
		sim_mending_free(&sim->replicas[id]);
	}
	sim_repair_free();
	sim_lives_free();
	free(sim->queue.events);
	free(sim->packets);
	free(sim->datagrams);
	free(sim->origins);
	sim_workload_free(sim);
	free(sim->contents);
	free(sim->arena);
	free(sim->observer.slots);
	free(sim->observer.proposals);
	free(sim->observer.ballots);
	free(sim->observer.positions);
	free(sim->observer.sessions);
	free(sim->observer.changes);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One replica's shell: what a host does around the core. Each life has its own clock (offset and
 * drift), its own handles and its own session table, built again from the chosen log.
 */
#include "engine/base/ballot.h"
#include "tests/sim/sim.h"

#include <string.h>

enum {
	TICKS_IDLE_MAX = 200
};

uint64_t sim_replica_clock(const struct sim *sim, const struct sim_replica *replica)
{
	uint64_t passed = sim->now - replica->boot_at;

	return replica->clock_offset + passed +
	       (uint64_t)((int64_t)(passed / 1000) * replica->clock_ppm / 1000);
}

void sim_replica_pause(struct sim *sim, struct sim_replica *replica, uint64_t until)
{
	if (replica->paused_until > sim->now)
		sim_queue_move(sim, replica->id, replica->paused_until, until);
	replica->paused_until = until;
}

void sim_replica_clock_jump(struct sim *sim, struct sim_replica *replica, uint64_t by)
{
	replica->clock_offset += by;
	replica->now_last = sim_replica_clock(sim, replica);
	sim_replica_schedule_tick(sim, replica); /* what was far off may be due now */
}

uint32_t sim_replica_handle(struct sim *sim, struct sim_replica *replica, uint32_t content)
{
	uint32_t handle;

	if (content == 0)
		return 0;
	sim_check(sim, replica->handles_free_count > 0, "replica %u holds all handles",
		  replica->id);
	handle = replica->handles_free[--replica->handles_free_count];
	replica->handles[handle] = (struct sim_handle){ .content = content, .live = 1 };
	replica->handles_live++;
	return handle;
}

static struct synod_value value_make(struct sim *sim, struct sim_replica *replica, uint32_t content)
{
	const struct sim_content *source = &sim->contents[content];

	return (struct synod_value){ .handle = sim_replica_handle(sim, replica, content),
				     .size = source->size,
				     .count = source->count,
				     .crc = source->crc };
}

void sim_replica_step(struct sim *sim, struct sim_replica *replica, struct synod_event *event)
{
	uint64_t now = sim_replica_clock(sim, replica);

	uint32_t standing = replica->core.standing;

	replica->now_last = now > replica->now_last ? now : replica->now_last;
	event->now_ns = replica->now_last;
	synod_core_step(&replica->core, event, &sim->effects);
	if (replica->core.standing != standing && standing == SYNOD_STANDING_JOINING)
		sim_rejoin_joined(sim, replica);
	sim_effects_carry_out(sim, replica);
}

/* One timer a replica: pushed again only if the deadline came nearer. */
void sim_replica_schedule_tick(struct sim *sim, struct sim_replica *replica)
{
	uint64_t left = 0;
	uint64_t at;

	if (replica->deadline_ns > replica->now_last)
		left = replica->deadline_ns - replica->now_last;
	sim_check(sim, left < 3600 * SIM_SECOND, "replica %u: no deadline in an hour", replica->id);
	at = sim->now + left;
	if (replica->clock_ppm)
		at += left / 500; /* never early: the drift is at most 1,000 ppm */
	if (at >= replica->tick_at)
		return;
	replica->tick_at = at;
	sim_queue_push(sim, (struct sim_event){ .at = at,
						.kind = SIM_TICK,
						.who = (uint8_t)replica->id,
						.life = replica->life,
						.a = ++replica->tick_generation });
}

void sim_replica_tick(struct sim *sim, struct sim_replica *replica, uint64_t generation)
{
	struct synod_event event = { .kind = SYNOD_EVENT_TICK };

	if (generation != replica->tick_generation)
		return;
	replica->tick_at = UINT64_MAX;
	if (sim_replica_clock(sim, replica) < replica->deadline_ns) {
		sim_replica_schedule_tick(sim, replica); /* it has moved away since */
		return;
	}
	sim_replica_step(sim, replica, &event);
	replica->ticks_idle =
		replica->deadline_ns > replica->now_last + SIM_US ? 0 : replica->ticks_idle + 1;
	sim_check(sim, replica->ticks_idle < TICKS_IDLE_MAX,
		  "replica %u: its deadline stays in the past", replica->id);
}

static void recover_slots(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_journal_recovery *found = &replica->disk.found.recovery;
	uint64_t hint = found->chosen_through;
	uint64_t last = found->slot_last > hint ? found->slot_last : hint;
	uint64_t first = last > sim->params.window ? last - sim->params.window + 1 : 1;

	sim_check(sim, last <= hint + sim->params.window,
		  "replica %u finds slot %llu, outside the window that begins at %llu", replica->id,
		  (unsigned long long)last, (unsigned long long)hint);
	/* Some of the past, to serve peers; more or less of it. */
	if (first <= hint)
		first = sim_between(sim, first, hint + 1);
	for (uint64_t slot = first; slot <= last; slot++) {
		struct synod_core_recovered recovered = { .slot = slot };
		struct sim_record record;

		if (sim_journal_read(sim, replica, slot, &record))
			continue;
		recovered.ballot = record.ballot;
		recovered.chosen = record.chosen;
		recovered.value = value_make(sim, replica, record.content);
		synod_core_recover_slot(&replica->core, &recovered);
	}
}

/* What the journal says is chosen is executed again before the first step. */
static void recover(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_journal_recovery *found = &replica->disk.found.recovery;

	sim_snapshot_load(sim, replica);
	for (uint64_t slot = found->snapshot_slot + 1; slot <= found->chosen_through; slot++) {
		struct sim_record record;

		sim_check(sim, sim_journal_read(sim, replica, slot, &record) == 0,
			  "I8: replica %u: no record of chosen slot %llu", replica->id,
			  (unsigned long long)slot);
		sim_observer_chosen(sim, replica, slot, record.content);
		sim_apply_slot(sim, replica, slot, record.content);
	}
	replica->chosen_last = found->chosen_through;
	synod_core_recover(&replica->core, found->promised, found->chosen_through);
	recover_slots(sim, replica);
}

static void draw_clock(struct sim *sim, struct sim_replica *replica)
{
	uint64_t ppm = sim->params.drift_ppm;

	replica->boot_at = sim->now;
	replica->clock_offset = sim_below(sim, 1000 * SIM_SECOND) + 1;
	replica->clock_ppm = ppm ? (int64_t)sim_below(sim, 2 * ppm + 1) - (int64_t)ppm : 0;
	if (replica->clock_ppm)
		sim_count(sim, SIM_FAULT_CLOCK_DRIFT);
	replica->now_last = replica->clock_offset;
}

/* What opens its journal in vain, or lost it, comes back as its operator sees fit. */
static void stay_down(struct sim *sim, struct sim_replica *replica, enum sim_halt halt)
{
	uint64_t longest = sim->phase == SIM_SAFETY ? 3 * SIM_SECOND : 200 * SIM_MS;
	struct sim_event event = { .at = sim->now + sim_between(sim, 20 * SIM_MS, longest),
				   .kind = SIM_RESTART,
				   .who = (uint8_t)replica->id,
				   .life = replica->life };

	replica->up = 0;
	replica->mends = 0;
	sim_fold(sim, halt);
	sim_tell(sim, "%u stays down: %s", replica->id, sim_halt_text(halt));
	if (halt == SIM_HALT_ABSENT || halt == SIM_HALT_SUPERBLOCK || halt == SIM_HALT_OLDER) {
		sim_check(sim, replica->disk.lost || halt == SIM_HALT_OLDER,
			  "replica %u lost its superblocks: %s", replica->id, sim_halt_text(halt));
		if (sim->phase != SIM_SAFETY || sim_below(sim, 4) == 0)
			return; /* for ever */
		event.kind = SIM_REJOIN;
	}
	if (halt == SIM_HALT_CORRUPT)
		event.kind = SIM_REPAIR;
	sim_queue_push(sim, event);
}

void sim_replica_hint(struct sim *sim, struct sim_replica *replica, uint32_t peer)
{
	struct synod_event event = { .kind = SYNOD_EVENT_LOST, .replica = peer };

	sim_tell(sim, "%u is told that the link to %u is gone", replica->id, peer);
	sim_replica_step(sim, replica, &event);
}

/* Whoever dies takes its links along: most peers see it soon, some late or never. */
static void lose_links(struct sim *sim, const struct sim_replica *lost)
{
	if (!sim->params.hints)
		return;
	for (uint32_t id = 1; id <= sim->params.replicas; id++) {
		uint64_t most = sim_below(sim, 8) ? 5 * SIM_MS : 2 * SIM_SECOND;

		if (id == lost->id || sim_below(sim, 8) == 0)
			continue;
		sim_count(sim, SIM_FAULT_HINT);
		sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, most),
							.kind = SIM_HINT,
							.who = (uint8_t)id,
							.life = sim->replicas[id].life,
							.a = lost->id });
	}
}

void sim_replica_halt(struct sim *sim, struct sim_replica *replica, enum sim_halt halt)
{
	lose_links(sim, replica);
	sim_disk_crash(sim, replica);
	stay_down(sim, replica, halt);
}

void sim_replica_repair(struct sim *sim, struct sim_replica *replica)
{
	if (sim_repair(sim, replica))
		sim_replica_start(sim, replica);
	else if (!replica->disk.lost)
		stay_down(sim, replica, SIM_HALT_CORRUPT);
}

void sim_replica_schedule_journal(struct sim *sim, struct sim_replica *replica)
{
	if (replica->journal_scheduled)
		return;
	replica->journal_scheduled = 1;
	sim_queue_push(sim,
		       (struct sim_event){ .at = sim->now + sim_below(sim, sim->params.journal_max),
					   .kind = SIM_JOURNAL,
					   .who = (uint8_t)replica->id,
					   .life = replica->life });
}

/* Returns 0 if its journal cannot be opened. */
static int open_journal(struct sim *sim, struct sim_replica *replica)
{
	int calm = sim->phase != SIM_SAFETY || sim->now == 0;
	enum sim_halt halt = sim_journal_open(sim, replica, calm);

	if (halt == SIM_HALT_NONE)
		return 1;
	sim_check(sim, !calm || sim_disk_is_damaged(&replica->disk),
		  "replica %u cannot open a whole journal: %s", replica->id, sim_halt_text(halt));
	if (halt == SIM_HALT_CORRUPT && sim_mending_start(sim, replica, calm))
		return 0;
	sim_count(sim, SIM_FAULT_DISK_REFUSED);
	stay_down(sim, replica, halt);
	return 0;
}

/* The cluster is old: somebody is bound to a ballot of a round far up (B15). */
static void hear_of_round(struct sim *sim, struct sim_replica *replica)
{
	struct synod_message old = { .type = SYNOD_REJECT,
				     .from = (uint8_t)(replica->id == 1 ? 2 : 1),
				     .to = (uint8_t)replica->id,
				     .ballot = synod_ballot_make(1, replica->id),
				     .argument = synod_ballot_make(sim->params.round_first, 1) };
	struct synod_event event = { .kind = SYNOD_EVENT_MESSAGE,
				     .now_ns = replica->now_last,
				     .message = &old };

	synod_core_step(&replica->core, &event, &sim->effects);
	sim_check(sim, sim->effects.sends_count == 0 && sim->effects.writes_count == 0,
		  "replica %u acts on an old refusal", replica->id);
}

void sim_replica_start(struct sim *sim, struct sim_replica *replica)
{
	const struct sim_params *params = &sim->params;
	struct synod_core_config config = { .replica = replica->id,
					    .replicas = params->replicas,
					    .voters = params->voters,
					    .quorum_prepare = params->quorum_prepare,
					    .quorum_accept = params->quorum_accept,
					    .seed = synod_random_next(&sim->random),
					    .election_ns = params->election_ns,
					    .heartbeat_ns = params->heartbeat_ns,
					    .retransmit_ns = params->retransmit_ns,
					    .window = params->window,
					    .inflight_bytes = params->inflight_bytes,
					    .inflight = params->inflight };

	sim_mending_stop(sim, replica);
	replica->life++;
	replica->boot =
		params->boots || params->lives ? (uint32_t)synod_random_next(&sim->random) | 1 : 0;
	if (!open_journal(sim, replica))
		return;
	replica->up = 1;
	replica->paused_until = 0;
	draw_clock(sim, replica);
	replica->handles_live = 0;
	replica->handles_free_count = 0;
	memset(replica->handles, 0, sizeof(replica->handles));
	for (uint32_t handle = SIM_HANDLES_MAX - 1; handle > 0; handle--)
		replica->handles_free[replica->handles_free_count++] = handle;
	replica->tick_at = UINT64_MAX;
	replica->ticks_idle = 0;
	replica->durable_scheduled = 0;
	replica->journal_scheduled = 0;
	replica->apply_scheduled = 0;
	replica->ingress_scheduled = 0;
	replica->inbox_count = 0;
	replica->read_last = 0;
	replica->read_settled = 0;
	replica->read_served = 0;
	replica->chosen_last = 0;
	replica->applied = 0;
	replica->installing = 0;
	sim_apply_start(sim, replica);
	sim_tell(sim, "%u starts, life %u, promised %llu.%u, chosen %llu, last %llu", replica->id,
		 replica->life, (unsigned long long)(replica->disk.promised >> 8),
		 (unsigned int)replica->disk.promised & 0xff,
		 (unsigned long long)replica->disk.hint,
		 (unsigned long long)replica->disk.slot_last);
	memcpy(config.priorities, params->priorities, sizeof(config.priorities));
	synod_core_init(&replica->core, &config, replica->now_last);
	recover(sim, replica);
	sim_lives_start(sim, replica);
	if (replica->disk.found.opened.joining && !params->lives)
		synod_core_stand(&replica->core, SYNOD_STANDING_JOINING,
				 replica->disk.found.opened.incarnation);
	if (replica->life == 1 && params->round_first)
		hear_of_round(sim, replica);
	replica->deadline_ns = replica->now_last;
	sim_replica_schedule_tick(sim, replica);
}

void sim_replica_crash(struct sim *sim, struct sim_replica *replica)
{
	sim_tell(sim, "%u crashes", replica->id);
	replica->up = 0;
	lose_links(sim, replica);
	sim_disk_crash(sim, replica);
	sim_queue_push(
		sim, (struct sim_event){ .at = sim->now + sim_between(sim, SIM_MS, 2 * SIM_SECOND),
					 .kind = SIM_RESTART,
					 .who = (uint8_t)replica->id,
					 .life = replica->life });
}

void sim_replica_message(struct sim *sim, struct sim_replica *replica,
			 const struct synod_message *message, uint32_t content)
{
	struct synod_message mine = *message;
	struct synod_event event = { .kind = SYNOD_EVENT_MESSAGE, .message = &mine };

	/* A value may have to be written: without room for it nothing is taken. */
	if (mine.has_value && replica->disk.room <= sim_reserve_follower(sim)) {
		sim_count(sim, SIM_FAULT_DISK_FULL);
		sim_snapshot_take(sim, replica); /* which is to make room */
		return;
	}
	if (mine.has_value)
		mine.value = value_make(sim, replica, content);
	if (sim->trace)
		sim_effects_trace(sim, message, "recv", content);
	sim_replica_step(sim, replica, &event);
	if (message->to != replica->id || message->from < 1 || message->from == replica->id ||
	    message->from > sim->params.replicas)
		sim_check(sim, sim->effects.dropped == SYNOD_DROP_SENDER,
			  "B14: replica %u takes a message from %u to %u", replica->id,
			  message->from, message->to);
	if (replica->up && sim->effects.dropped)
		sim_tell(sim, "%u %s", replica->id,
			 synod_counter_name((enum synod_counter)sim->effects.dropped));
}

void sim_replica_durable(struct sim *sim, struct sim_replica *replica)
{
	struct synod_event event = { .kind = SYNOD_EVENT_DURABLE,
				     .ticket = replica->disk.ticket_durable };

	replica->durable_scheduled = 0;
	sim_replica_step(sim, replica, &event);
}

void sim_replica_apply(struct sim *sim, struct sim_replica *replica)
{
	uint64_t last = replica->applied + 1 + sim_below(sim, 16);
	struct synod_event event = { .kind = SYNOD_EVENT_APPLIED };

	replica->apply_scheduled = 0;
	if (last > replica->chosen_last)
		last = replica->chosen_last;
	for (uint64_t slot = replica->applied + 1; slot <= last; slot++)
		sim_apply_slot(
			sim, replica, slot,
			sim_effects_content(sim, replica, synod_core_value(&replica->core, slot)));
	sim_reads_serve(sim, replica);
	sim_snapshot_take(sim, replica);
	if (last < replica->chosen_last) {
		replica->apply_scheduled = 1;
		sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, SIM_MS),
							.kind = SIM_APPLY,
							.who = (uint8_t)replica->id,
							.life = replica->life });
	}
	event.slot = last;
	sim_replica_step(sim, replica, &event);
}

/* An old slot that a peer lacks, straight from the journal. */
void sim_replica_read_done(struct sim *sim, struct sim_replica *replica, uint64_t slot, uint32_t to)
{
	const struct sim_content *content;
	struct synod_message learn = { .type = SYNOD_LEARN,
				       .from = (uint8_t)replica->id,
				       .to = (uint8_t)to,
				       .has_value = 1,
				       .slot = slot,
				       .chosen_through = replica->chosen_last,
				       .value_slot = slot,
				       .value_flags = SYNOD_ENTRY_CHOSEN };
	struct sim_record record;
	int result = sim_journal_read(sim, replica, slot, &record);

	if (result && slot <= replica->disk.writer.snapshot.slot_settled) {
		sim_snapshot_offer(sim, replica, to); /* it is gone here */
		return;
	}
	if (result == 0 && sim->phase == SIM_SAFETY &&
	    sim_below(sim, 50000) < sim->params.disk_read_error) {
		sim_count(sim, SIM_FAULT_DISK_EIO_READ);
		return; /* whoever wanted it asks again */
	}
	if (result == 0 && sim->phase == SIM_SAFETY &&
	    sim_below(sim, 50000) < sim->params.disk_rot_read) {
		sim_journal_read_wrong(sim, replica, slot);
		return;
	}
	sim_check(sim, result == 0 || sim_disk_is_damaged(&replica->disk),
		  "replica %u cannot read slot %llu back: %d", replica->id,
		  (unsigned long long)slot, result);
	if (result)
		return;
	content = &sim->contents[record.content];
	learn.ballot = record.ballot;
	learn.value_ballot = record.ballot;
	learn.value.size = content->size;
	learn.value.count = content->count;
	learn.value.crc = content->crc;
	sim_observer_send(sim, replica, &learn, record.content);
	sim_net_send(sim, &learn, record.content);
}

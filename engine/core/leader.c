/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Phase 2 seen from the proposer: propose, count votes, repeat what stays unanswered, give signs of
 * life, step down when no quorum gives any.
 */
#include "engine/core/internal.h"

static uint64_t inflight(const struct synod_core *core)
{
	return core->propose_next - 1 - core->chosen_through;
}

/* Slots and bytes proposed and not chosen leave room for another. */
static int has_window(const struct synod_core *core)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER);
	synod_assert_cmp(core->chosen_through, <, core->propose_next);
	if (inflight(core) >= core->config.inflight)
		return 0;
	return !core->config.inflight_bytes || core->bytes_inflight < core->config.inflight_bytes;
}

/* The next slot to propose; what its place holds is in flight from now on. */
static uint64_t take_slot(struct synod_core *core)
{
	uint64_t slot = core->propose_next++;
	const struct synod_core_slot *place = synod_log_at(core, slot);

	if (place)
		core->bytes_inflight += place->value.size;
	return slot;
}

static void send_accepts(struct synod_core *core, struct synod_effects *fx,
			 struct synod_core_slot *place)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER && place->ballot != 0);
	synod_assert_implies(!place->chosen, place->ballot == core->ballot); /* I2 */
	place->sent_ns = core->now_ns;
	for (uint32_t peer = 1; peer <= core->config.replicas; peer++) {
		struct synod_message *accept;

		if (peer == core->config.replica)
			continue;
		accept = synod_core_send_slot(core, fx, SYNOD_ACCEPT, peer, place);
		accept->ballot = core->ballot;
		accept->value_ballot = core->ballot;
		accept->value_flags = 0;
		accept->argument = core->sequence;
	}
	core->announced_sent = core->chosen_through;
	core->sequence++;
}

/* Our own vote is a vote like any other: only when the write is durable. */
static void count_own(struct synod_core *core)
{
	uint64_t before = core->accepted_through;

	synod_assert(core->role == SYNOD_ROLE_LEADER);
	(void)synod_log_advance_accepted(core);
	/* It may run ahead of propose_next: over slots that we learned and have not come to yet. */
	synod_assert_cmp(core->accepted_through, <=, core->slot_last);
	for (uint64_t slot = before + 1; slot <= core->accepted_through; slot++) {
		struct synod_core_slot *place = synod_log_at(core, slot);

		synod_assert(place != NULL || slot <= core->chosen_through);
		if (place)
			place->votes |= (uint8_t)(1u << core->config.replica);
	}
}

static void choose(struct synod_core *core, struct synod_effects *fx)
{
	for (uint64_t slot = core->chosen_through + 1; slot < core->propose_next; slot++) {
		struct synod_core_slot *place = synod_log_at(core, slot);

		synod_assert(place != NULL);
		if (!place->chosen) {
			if (!synod_core_is_quorum(core, place->votes))
				break;
			synod_assert(place->ballot == core->ballot); /* I6: votes at one ballot */
			synod_log_mark_chosen(fx, place);
		}
	}
	synod_log_advance_chosen(core, fx);
	/* It may have gone over slots that we knew to be chosen and had not come to yet. */
	core->propose_next = synod_core_max(core->propose_next, core->chosen_through + 1);
	synod_assert_implies(inflight(core) == 0, core->bytes_inflight == 0);
	/* Followers learn soon even when nothing more is proposed. */
	if (core->announced_sent < core->chosen_through)
		core->heartbeat_ns_next = synod_core_min(
			core->heartbeat_ns_next, core->now_ns + core->config.heartbeat_ns / 16);
}

/* Phase 2a for a slot of the suffix that phase 1 spoke of (Paxos Made Simple, 2.2 and 3). */
static void repropose(struct synod_core *core, struct synod_effects *fx, uint64_t slot)
{
	struct synod_core_slot *place = synod_log_claim(core, fx, slot);
	struct synod_value value = { 0 }; /* nobody of a quorum accepted anything: a no-op */

	if (place->chosen) {
		send_accepts(core, fx, place); /* whoever lacks it gets it the usual way */
		return;
	}
	if (place->ballot != 0)
		value = place->value;
	if (place->has_found && place->found_ballot > place->ballot)
		value = place->found;
	synod_log_store(core, fx, place, core->ballot, &value, 0);
	send_accepts(core, fx, place);
}

void synod_leader_pump(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER);
	for (int i = 0; i < SYNOD_CORE_PUMP_SLOTS; i++) {
		if (core->propose_next > core->phase1_last || !has_window(core) ||
		    !synod_log_has_room(core, core->propose_next))
			return;
		repropose(core, fx, take_slot(core));
		/* A chosen one needs no votes. */
		choose(core, fx);
	}
}

static void send_heartbeats(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER);
	synod_assert_cmp(core->chosen_through, <, core->propose_next);
	for (uint32_t peer = 1; peer <= core->config.replicas; peer++) {
		struct synod_message *sign;

		if (peer == core->config.replica)
			continue;
		sign = synod_core_send(core, fx, SYNOD_HEARTBEAT, peer);
		sign->ballot = core->ballot;
		sign->slot = core->propose_next - 1;
		sign->argument = core->sequence;
	}
	core->sequence++;
	core->announced_sent = core->chosen_through;
	core->heartbeat_ns_next = core->now_ns + core->config.heartbeat_ns;
}

void synod_leader_begin(struct synod_core *core, struct synod_effects *fx)
{
	/* Phase 1 is complete, and our own promise is durable and not overtaken. */
	synod_assert(core->role == SYNOD_ROLE_CANDIDATE);
	synod_assert(core->promised == core->ballot);
	synod_assert(core->ticket_promised <= core->ticket_durable);
	synod_assert(synod_ballot_replica(core->ballot) == core->config.replica);
	core->role = SYNOD_ROLE_LEADER;
	core->leader = core->config.replica;
	core->propose_next = core->chosen_through + 1;
	core->accepted_through = synod_log_durable_prefix(core);
	core->phase1_last = core->chosen_through;
	core->bytes_inflight = 0;
	synod_handover_reign(core);
	for (uint32_t i = 0; i < core->config.window; i++)
		core->phase1_last = synod_core_max(core->phase1_last, core->slots[i].slot);
	for (uint32_t peer = 1; peer <= core->config.replicas; peer++) {
		core->peers[peer].accepted_through = 0;
		core->peers[peer].contact_ns = core->now_ns;
		core->peers[peer].resend_ns = core->now_ns + core->config.retransmit_ns;
	}
	send_heartbeats(core, fx);
}

void synod_leader_submit(struct synod_core *core, struct synod_effects *fx,
			 const struct synod_value *value)
{
	struct synod_core_slot *place;

	synod_assert(value->handle != 0 && value->size % 8 == 0);
	synod_assert_cmp(value->size, <=, SYNOD_BATCH_SIZE_MAX);
	if (!synod_core_can_submit(core)) {
		fx->refused = core->role == SYNOD_ROLE_LEADER ? SYNOD_BUSY : SYNOD_NOT_LEADER;
		synod_log_release(fx, value->handle);
		return;
	}
	place = synod_log_claim(core, fx, take_slot(core));
	synod_assert(place->ballot == 0 && !place->has_found);
	synod_assert(core->handover_to == 0 && core->ballot == core->promised);
	synod_log_store(core, fx, place, core->ballot, value, 0);
	send_accepts(core, fx, place);
	choose(core, fx);
}

void synod_leader_on_accepted(struct synod_core *core, struct synod_effects *fx,
			      const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];
	uint8_t bit = (uint8_t)(1u << message->from); /* message_wrong: an id of a replica (B14) */
	uint64_t through = synod_core_min(message->slot, core->propose_next - 1);
	uint64_t first = synod_core_max(peer->accepted_through, core->chosen_through) + 1;

	for (uint64_t slot = first; slot <= through; slot++) {
		struct synod_core_slot *place = synod_log_at(core, slot);

		synod_assert(place != NULL);
		place->votes |= bit;
	}
	for (unsigned int i = 1; i < 64 && message->argument >> i; i++) {
		struct synod_core_slot *place = synod_log_at(core, message->slot + 1 + i);

		if (message->argument >> i & 1 && place && place->slot < core->propose_next)
			place->votes |= bit;
	}
	synod_assert(message->ballot == core->ballot && message->from != core->config.replica);
	synod_assert_cmp(through, <, core->propose_next);
	if (through > peer->accepted_through) {
		peer->accepted_through = through;
		peer->resend_ns = core->now_ns + core->config.retransmit_ns;
	}
	choose(core, fx);
}

/*
 * An answer to what we asked as a follower may come late, and tell of a slot that a newer leader,
 * of which we have not heard, got chosen ahead of us. It counts as found in phase 1: the pump goes
 * over it, and fills what lies before it.
 */
void synod_leader_on_learned(struct synod_core *core, uint64_t slot)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER);
	core->phase1_last = synod_core_max(core->phase1_last, slot);
	core->propose_next = synod_core_max(core->propose_next, core->chosen_through + 1);
}

/*
 * A peer mends its journal, and waits for slots that it may have voted for, in a life in which
 * nobody got them chosen: phase 1 has told a quorum's part of them. They are filled up to there
 * (no-ops, if phase 1 found nothing), or it would wait until clients have sent as much.
 */
void synod_leader_on_faulty(struct synod_core *core, uint64_t last)
{
	if (core->role != SYNOD_ROLE_LEADER || core->handover_to != 0 ||
	    last > core->chosen_through + core->config.window / 2)
		return; /* nobody votes further ahead than a window: it is not so, or not yet */
	synod_assert_cmp(last, <, SYNOD_CORE_SLOT_END + SYNOD_CORE_LEARN_BURST);
	core->phase1_last = synod_core_max(core->phase1_last, last);
}

void synod_leader_on_durable(struct synod_core *core, struct synod_effects *fx)
{
	if (core->role != SYNOD_ROLE_LEADER)
		return;
	count_own(core);
	choose(core, fx);
}

/* What one follower has not answered: unchosen slots only; it asks for the chosen ones itself. */
static void resend(struct synod_core *core, struct synod_effects *fx, uint32_t to)
{
	struct synod_core_peer *peer = &core->peers[to];
	uint64_t slot = synod_core_max(peer->accepted_through, core->chosen_through) + 1;
	int burst = 0;

	synod_assert(to != core->config.replica);
	if (core->now_ns < peer->resend_ns)
		return;
	for (; slot < core->propose_next && burst < SYNOD_CORE_RESEND_BURST; slot++) {
		struct synod_core_slot *place = synod_log_at(core, slot);
		struct synod_message *accept;

		synod_assert(place != NULL);
		if (place->votes >> to & 1 ||
		    place->sent_ns + core->config.retransmit_ns > core->now_ns)
			continue;
		accept = synod_core_send_slot(core, fx, SYNOD_ACCEPT, to, place);
		accept->ballot = core->ballot;
		accept->value_ballot = core->ballot;
		accept->value_flags = 0;
		accept->argument = core->sequence;
		fx->counts[SYNOD_COUNT_RETRANSMITS]++;
		burst++;
	}
	peer->resend_ns = core->now_ns + core->config.retransmit_ns;
}

uint32_t synod_core_voters_in_contact(const struct synod_core *core)
{
	uint32_t count = 1;

	if (core->role != SYNOD_ROLE_LEADER)
		return 0;
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		count += peer != core->config.replica &&
			 core->peers[peer].contact_ns + core->config.election_ns > core->now_ns;
	return count;
}

void synod_leader_on_tick(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->leader == core->config.replica);
	synod_assert(core->ballot <= core->promised);
	if (synod_core_voters_in_contact(core) < core->config.quorum_accept) {
		/* Nobody can be promised anything without a quorum: let the others find another. */
		synod_election_become_follower(core, fx, core->ballot, 0);
		return;
	}
	/* Who only learns asks for what it lacks. */
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		if (peer != core->config.replica)
			resend(core, fx, peer);
	if (core->now_ns >= core->heartbeat_ns_next)
		send_heartbeats(core, fx);
}

uint64_t synod_leader_deadline(const struct synod_core *core)
{
	uint64_t deadline = core->heartbeat_ns_next;

	synod_assert(core->role == SYNOD_ROLE_LEADER && core->propose_next != 0);
	if (core->propose_next <= core->phase1_last && has_window(core) &&
	    synod_log_has_room(core, core->propose_next))
		return core->now_ns;
	if (inflight(core) == 0)
		return deadline;
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		if (peer != core->config.replica &&
		    core->peers[peer].accepted_through + 1 < core->propose_next)
			deadline =
				synod_core_min(deadline, synod_core_max(core->peers[peer].resend_ns,
									core->now_ns + 1));
	return deadline;
}

uint32_t synod_core_can_submit(const struct synod_core *core)
{
	uint64_t window_end = core->applied + core->config.window + 1;
	uint64_t count;

	if (core->role != SYNOD_ROLE_LEADER || core->propose_next <= core->phase1_last ||
	    core->handover_to != 0 || !has_window(core) || core->propose_next >= window_end ||
	    !synod_log_has_room(core, core->propose_next))
		return 0;
	count = synod_core_min(core->config.inflight - inflight(core),
			       window_end - core->propose_next);
	/* However large they turn out to be. */
	if (core->config.inflight_bytes)
		count = synod_core_min(count, (core->config.inflight_bytes - core->bytes_inflight -
					       1) / SYNOD_BATCH_SIZE_MAX +
						      1);
	return (uint32_t)count;
}

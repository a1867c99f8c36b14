/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who does not vote yet (I12; the argument: engine/DESIGN.md, 17). A replica stands in one of three
 * ways:
 *
 *   MUTE ----- vouched for, and that is durable -----------------------> VOTES
 *   JOINING -- asked all, has all that could have been counted, durable --^
 *
 * MUTE: every start. Its disk may be an older copy of what it was, which only others can tell; who
 * asks them (HELLO) is the pipeline. JOINING: the disk is a new one in place of one that is lost,
 * and with it what was promised and voted under this name. Until it votes a replica follows, stores
 * and learns like any, but says nothing that binds: whatever its handlers answer is taken out of
 * the step's sends, in one place.
 *
 * Joining, JOIN is asked of every other voter, because each may have counted the lost disk's votes
 * and promises: as proposer of a ballot not above what it has promised, in slots not above the last
 * that it has anything of. So whoever is bound to the highest of the one, and has everything chosen
 * up to the highest of the other, contradicts nothing that anybody counted.
 */
#include "engine/core/internal.h"

void synod_core_stand(struct synod_core *core, enum synod_standing standing, uint64_t incarnation)
{
	synod_assert(core->ticket_last == 0 && core->role == SYNOD_ROLE_FOLLOWER);
	synod_assert(standing <= SYNOD_STANDING_JOINING);
	core->standing = (uint32_t)standing;
	core->incarnation = incarnation;
	core->join_ns_next = core->now_ns;
}

static uint32_t others(const struct synod_core *core)
{
	return synod_core_voters(core) & ~(1u << core->config.replica);
}

/* Larger than either quorum's need: with so many others every quorum that the old disk was in has
 * one in common. */
static uint32_t needed(const struct synod_core *core)
{
	return core->config.quorum_prepare > core->config.quorum_accept
		       ? core->config.quorum_prepare
		       : core->config.quorum_accept;
}

static int all_answered(const struct synod_core *core)
{
	synod_assert((core->join_answered & ~others(core)) == 0);
	synod_assert((core->join_voting & ~core->join_answered) == 0);
	return core->join_answered == others(core) &&
	       (uint32_t)__builtin_popcount(core->join_voting) >= needed(core);
}

static void ask(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->standing == SYNOD_STANDING_JOINING);
	synod_assert(core->now_ns >= core->join_ns_next);
	for (uint32_t peer = 1; peer <= core->config.voters; peer++) {
		struct synod_message *join;

		/* Who answered that it does not vote may do so later. */
		if (!(others(core) & ~core->join_voting & 1u << peer))
			continue;
		join = synod_core_send(core, fx, SYNOD_JOIN, peer);
		join->argument = core->incarnation;
	}
	core->join_ns_next = core->now_ns + core->config.retransmit_ns;
}

/* The highest slot of which there is anything here: what a vote may have been counted for. */
static uint64_t slot_highest(const struct synod_core *core)
{
	uint64_t slot = synod_core_max(core->slot_last, core->chosen_through);

	for (uint32_t i = 0; i < core->config.window; i++)
		slot = synod_core_max(slot, core->slots[i].slot);
	synod_assert_cmp(slot, >=, core->slot_last);
	synod_assert_cmp(slot, <, SYNOD_CORE_SLOT_END);
	return slot;
}

/* From here on nothing of the sender's former disk is counted here: the pipeline drops it (I12). */
void synod_join_on_join(struct synod_core *core, struct synod_effects *fx,
			const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];
	struct synod_message *answer;

	if (core->standing == SYNOD_STANDING_MUTE) {
		fx->dropped =
			SYNOD_DROP_UNEXPECTED; /* perhaps an older copy: it knows too little */
		return;
	}
	/* What it had it has no more. */
	peer->chosen_through = message->chosen_through;
	peer->accepted_through = 0;
	peer->contact_ns = 0;
	synod_assert(message->from != core->config.replica);
	answer = synod_core_send(core, fx, SYNOD_JOINED, message->from);
	answer->ballot = core->promised;
	answer->slot = slot_highest(core);
	answer->argument = message->argument;
	answer->flags = core->standing == SYNOD_STANDING_VOTES ? SYNOD_FLAG_VOTER : 0;
	synod_assert_cmp(answer->slot, >=, answer->chosen_through);
}

int synod_join_on_joined(struct synod_core *core, const struct synod_message *message)
{
	uint32_t bit = 1u << message->from;

	if (core->standing != SYNOD_STANDING_JOINING || message->argument != core->incarnation)
		return SYNOD_DROP_UNEXPECTED;
	synod_assert(others(core) & bit); /* message_wrong */
	synod_assert_cmp(core->ticket_standing, <=, core->ticket_last);
	/* An answer stays true: what is counted after it is not of the lost disk. */
	core->join_answered |= bit;
	if (message->flags & SYNOD_FLAG_VOTER)
		core->join_voting |= bit;
	core->join_promised = synod_core_max(core->join_promised, message->ballot);
	core->join_slot = synod_core_max(core->join_slot, message->slot);
	core->ballot_highest = synod_core_max(core->ballot_highest, message->ballot);
	core->known_chosen = synod_core_max(core->known_chosen, message->chosen_through);
	return 0;
}

void synod_join_on_vouched(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_FOLLOWER || core->standing == SYNOD_STANDING_VOTES);
	if (core->standing == SYNOD_STANDING_MUTE && !core->ticket_standing)
		core->ticket_standing = synod_log_write_standing(core, fx);
	synod_assert_implies(core->standing == SYNOD_STANDING_MUTE, core->ticket_standing != 0);
}

/* All answered: is all that they may have counted bound and chosen here, and durable? */
static void maybe_finish(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->standing == SYNOD_STANDING_JOINING);
	if (core->ticket_standing || !all_answered(core))
		return;
	if (core->promised < core->join_promised) {
		synod_log_write_promise(core, fx, core->join_promised);
		synod_election_become_follower(core, fx, core->join_promised, 0);
	}
	if (core->ticket_promised > core->ticket_durable ||
	    core->chosen_through < core->join_slot ||
	    synod_log_durable_prefix(core) < core->join_slot)
		return;
	synod_assert_cmp(core->promised, >=, core->join_promised);
	core->ticket_standing = synod_log_write_standing(core, fx);
}

static int may_say(unsigned int type)
{
	/* What is chosen is so whoever says it; to ask binds nobody. */
	return type == SYNOD_NEED || type == SYNOD_LEARN || type == SYNOD_JOIN ||
	       type == SYNOD_JOINED;
}

void synod_join_go_on(struct synod_core *core, struct synod_effects *fx)
{
	uint32_t kept = 0;

	synod_assert(core->standing != SYNOD_STANDING_VOTES);
	synod_assert(core->role == SYNOD_ROLE_FOLLOWER);
	if (core->ticket_standing && core->ticket_standing <= core->ticket_durable) {
		core->standing = SYNOD_STANDING_VOTES;
		core->answer_owed = core->leader != 0;
		synod_core_arm_election(core);
		return; /* the write is durable: what this very step says may bind */
	}
	if (core->standing == SYNOD_STANDING_JOINING) {
		if (core->now_ns >= core->join_ns_next)
			ask(core, fx);
		maybe_finish(core, fx);
	}
	for (uint32_t i = 0; i < fx->sends_count; i++)
		if (may_say(fx->sends[i].type))
			fx->sends[kept++] = fx->sends[i];
	fx->sends_count = kept;
	core->answer_owed = 0;
}

uint64_t synod_join_deadline(const struct synod_core *core, uint64_t deadline)
{
	synod_assert(core->role == SYNOD_ROLE_FOLLOWER);
	synod_assert(core->standing != SYNOD_STANDING_VOTES);
	return core->standing == SYNOD_STANDING_JOINING
		       ? synod_core_min(deadline, core->join_ns_next)
		       : deadline;
}

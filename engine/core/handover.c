/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Leadership that is given away while all is well: because someone asked for it, or because a voter
 * with a higher priority has caught up.
 *
 *   leader                                     successor
 *   takes no new batches
 *   waits until all it proposed is chosen
 *   and the successor has it durably
 *   HANDOVER(b)  ───────────────────────────►  phase 1 at once, without a canvass (which nobody
 *                                              would grant: they all hear a leader)
 *   follows the higher ballot
 *
 * It adds nothing to safety's burden: the successor does a whole phase 1 like anyone. A lost
 * HANDOVER is said again; after an election time the leader gives up and takes batches again.
 */
#include "engine/core/internal.h"

static uint64_t proposed_last(const struct synod_core *core)
{
	return core->propose_next - 1;
}

/* Heard from within two heartbeats: worth waiting for. */
static int in_contact(const struct synod_core *core, uint32_t peer)
{
	return core->peers[peer].contact_ns + 2 * core->config.heartbeat_ns > core->now_ns;
}

/* Of the other voters in contact, the one with the most of our log; ties to the lowest id. */
static uint32_t nearest(const struct synod_core *core)
{
	uint32_t best = 0;

	for (uint32_t peer = 1; peer <= core->config.voters; peer++) {
		if (peer == core->config.replica || !in_contact(core, peer))
			continue;
		if (!best ||
		    core->peers[peer].accepted_through > core->peers[best].accepted_through)
			best = peer;
	}
	return best;
}

static void begin(struct synod_core *core, uint32_t to)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER && to != core->config.replica);
	synod_assert(synod_core_votes(core, to));
	core->handover_to = to;
	core->handover_deadline_ns = core->now_ns + core->config.election_ns;
	core->handover_ns_next = core->now_ns;
}

void synod_handover_begin(struct synod_core *core, struct synod_effects *fx, uint64_t replica)
{
	uint32_t to = replica <= core->config.voters ? (uint32_t)replica : core->config.replica;

	if (core->role != SYNOD_ROLE_LEADER) {
		fx->refused = SYNOD_NOT_LEADER;
		return;
	}
	if (replica == 0)
		to = nearest(core);
	if (to == 0 || to == core->config.replica) {
		fx->refused =
			SYNOD_BAD_COMMAND; /* not a voter, or not another one, or no contact */
		return;
	}
	if (core->handover_to != to) /* else asked again, of what is under way */
		begin(core, to);
}

/* A voter in contact whose priority is higher than ours and who lacks nothing; or 0. */
static uint32_t preferred(const struct synod_core *core)
{
	const uint8_t *priorities = core->config.priorities;
	uint32_t best = core->config.replica;

	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		if (peer != core->config.replica && in_contact(core, peer) &&
		    core->peers[peer].accepted_through >= core->chosen_through &&
		    priorities[peer] > priorities[best])
			best = peer;
	return best == core->config.replica ? 0 : best;
}

static void cool_down(struct synod_core *core)
{
	core->prefer_ns =
		core->now_ns + ((64 * core->config.election_ns)
				<< synod_core_min(core->prefer_tries, SYNOD_CORE_PREFER_SHIFT));
	core->prefer_tries++;
}

/*
 * A reign begins. A preferred voter that led (or tried to) just before, or that we handed over to
 * not long ago, did not keep the lead: it may reach us and no quorum. It is left alone for a while,
 * and for twice as long each time, or leadership would go to and fro for ever.
 */
void synod_handover_reign(struct synod_core *core)
{
	uint32_t before = synod_ballot_replica(core->ballot_before);
	const uint8_t *priorities = core->config.priorities;

	synod_assert(core->role == SYNOD_ROLE_LEADER);
	synod_assert_cmp(core->ballot_before, <, core->ballot);
	core->handover_to = 0;
	if (synod_election_rank(core) == 0) {
		core->prefer_ns = UINT64_MAX;
		return;
	}
	if (core->now_ns < core->prefer_ns)
		return;
	core->prefer_tries = 0;
	core->prefer_ns = core->now_ns + 4 * core->config.election_ns;
	if (synod_core_votes(core, before) && priorities[before] > priorities[core->config.replica])
		cool_down(core);
}

static void maybe_prefer(struct synod_core *core)
{
	uint32_t to;

	if (core->now_ns < core->prefer_ns || core->propose_next <= core->phase1_last)
		return;
	to = preferred(core);
	if (!to)
		return;
	cool_down(core);
	begin(core, to);
}

void synod_handover_go_on(struct synod_core *core, struct synod_effects *fx)
{
	struct synod_message *message;

	synod_assert(core->role == SYNOD_ROLE_LEADER && core->leader == core->config.replica);
	if (!core->handover_to) {
		maybe_prefer(core);
		if (!core->handover_to)
			return;
	}
	if (core->now_ns >= core->handover_deadline_ns) {
		core->handover_to = 0;
		return;
	}
	if (core->now_ns < core->handover_ns_next || core->propose_next <= core->phase1_last ||
	    core->chosen_through < proposed_last(core) ||
	    core->peers[core->handover_to].accepted_through < proposed_last(core))
		return;
	/* I5: whatever the successor lacked its phase 1 would find; but it lacks nothing. */
	synod_assert(core->chosen_through == proposed_last(core));
	synod_assert(core->ballot == core->promised);
	core->handover_ns_next = core->now_ns + core->config.retransmit_ns;
	message = synod_core_send(core, fx, SYNOD_HANDOVER, core->handover_to);
	message->ballot = core->ballot;
	message->slot = core->chosen_through;
	fx->counts[SYNOD_COUNT_HANDOVERS]++;
}

void synod_handover_on_message(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message)
{
	if (message->ballot < core->promised) {
		synod_follower_reject(core, fx, message);
		fx->dropped = SYNOD_DROP_STALE_BALLOT;
		return;
	}
	/* A copy that comes when we are a candidate already is below our promise. */
	synod_follower_follow(core, fx, message);
	synod_follower_learn_announced(core, fx);
	synod_assert(core->role == SYNOD_ROLE_FOLLOWER && core->ballot == message->ballot);
	if (!synod_core_votes(core, core->config.replica)) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	synod_election_succeed(core, fx);
}

uint64_t synod_handover_deadline(const struct synod_core *core, uint64_t deadline)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER);
	if (core->handover_to) {
		deadline = synod_core_min(deadline, core->handover_deadline_ns);
		if (core->handover_ns_next > core->now_ns)
			deadline = synod_core_min(deadline, core->handover_ns_next);
		return deadline;
	}
	return deadline; /* a preference is looked at with every heartbeat */
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a leader comes to be. A canvass, which changes nobody's state, asks first whether a quorum
 * misses a leader too; then phase 1 (Paxos Made Simple, 2.2 and 3) is carried out once for every
 * slot from the first that the candidate does not know to be chosen.
 *
 *   FOLLOWER --deadline--> CANVASSER --quorum grants--> CANDIDATE --quorum promises--> LEADER
 *       ^----- a leader's sign, a higher ballot, no quorum in time -----------------------'
 *
 * A promise is told in parts, each saying all there is in slots first..last; the candidate keeps a
 * cursor for each peer and asks again from there, so the acceptor keeps no state and parts may be
 * lost. Parts beyond the cursor are remembered (told), or a network that reorders would make every
 * burst worth one part. What a candidate finds at a slot stays in the ring when its candidacy
 * fails: that some acceptor accepted a value at a ballot stays true, and choosing among more true
 * reports is safe.
 *
 * The deadline is a silence, or comes at once when the transport says that the leader's link is
 * gone (on_lost).
 */
#include "engine/core/internal.h"

static uint64_t next_ballot(const struct synod_core *core)
{
	uint64_t highest = synod_core_max(core->ballot_highest, core->promised);

	synod_assert_cmp(synod_ballot_round(highest), <=, SYNOD_CORE_ROUND_END);
	return synod_ballot_make(synod_ballot_round(highest) + 1, core->config.replica);
}

uint32_t synod_election_rank(const struct synod_core *core)
{
	const uint8_t *priorities = core->config.priorities;
	uint32_t higher = 0;

	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		higher += priorities[peer] > priorities[core->config.replica];
	return higher;
}

void synod_core_arm_election(struct synod_core *core)
{
	/* Each voter with a higher priority is left half an election time to be first. */
	core->election_deadline_ns = core->now_ns + core->config.election_ns +
				     synod_random_below(&core->random, core->config.election_ns) +
				     synod_election_rank(core) * (core->config.election_ns / 2);
}

void synod_election_become_follower(struct synod_core *core, struct synod_effects *fx,
				    uint64_t ballot, uint32_t leader)
{
	synod_assert(ballot <= core->promised);
	fx->counts[SYNOD_COUNT_STEP_DOWNS] += core->role == SYNOD_ROLE_LEADER;
	core->role = SYNOD_ROLE_FOLLOWER;
	core->ballot = ballot;
	core->leader = leader;
	core->announced_through = 0;
	core->accepted_through = synod_log_durable_prefix(core);
	core->answer_owed = 0;
	core->ballot_before = 0;
	core->retry_deadline_ns = 0;
	core->canvass_wait_ns = 0;
	synod_core_arm_election(core);
}

static void canvass(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_CANVASSER && core->ballot > core->promised);
	for (uint32_t peer = 1; peer <= core->config.voters; peer++) {
		struct synod_message *question;

		if (peer == core->config.replica || core->peers[peer].granted)
			continue;
		question = synod_core_send(core, fx, SYNOD_CANVASS, peer);
		question->ballot = core->ballot;
		question->slot = core->chosen_through + 1;
		question->argument = core->promised;
	}
	core->retry_deadline_ns = core->now_ns + core->config.retransmit_ns;
	if (core->canvass_wait_ns) {
		/* Others may be told a little later what we were: until then they grant nothing. */
		core->retry_deadline_ns = core->now_ns + core->canvass_wait_ns;
		core->canvass_wait_ns =
			synod_core_min(2 * core->canvass_wait_ns, core->config.retransmit_ns);
	}
}

static void send_prepare(struct synod_core *core, struct synod_effects *fx, uint32_t to)
{
	struct synod_message *prepare = synod_core_send(core, fx, SYNOD_PREPARE, to);

	/* I3: no restart may find this ballot unused. */
	synod_assert(core->ticket_promised <= core->ticket_durable);
	synod_assert(core->role == SYNOD_ROLE_CANDIDATE && core->ballot == core->promised);
	prepare->ballot = core->ballot;
	prepare->slot = core->peers[to].promised_through + 1;
}

static void send_prepares(struct synod_core *core, struct synod_effects *fx)
{
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		if (peer != core->config.replica && !core->peers[peer].promised)
			send_prepare(core, fx, peer);
	core->retry_deadline_ns = core->now_ns + core->config.retransmit_ns;
}

static void become_candidate(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_CANVASSER || core->role == SYNOD_ROLE_FOLLOWER);
	synod_assert(synod_core_votes(core, core->config.replica));
	fx->counts[SYNOD_COUNT_ELECTIONS]++;
	core->role = SYNOD_ROLE_CANDIDATE;
	core->leader = 0;
	core->ballot_before = synod_core_max(core->ballot_highest, core->promised);
	core->ballot = next_ballot(core);
	synod_log_write_promise(core, fx, core->ballot);
	core->phase1_first = core->chosen_through + 1;
	for (uint32_t peer = 1; peer <= core->config.voters; peer++) {
		core->peers[peer].promised = 0;
		core->peers[peer].promised_through = core->chosen_through;
		core->peers[peer].promised_end = 0;
		core->peers[peer].promised_more = 0;
	}
	for (uint32_t i = 0; i < core->config.window; i++)
		core->slots[i].told = 0;
	synod_core_arm_election(core);
	/* PREPARE leaves when our own promise is durable: synod_election_on_durable. */
	core->retry_deadline_ns = core->election_deadline_ns;
}

static void become_canvasser(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role != SYNOD_ROLE_LEADER);
	synod_assert(synod_core_votes(core, core->config.replica));
	core->role = SYNOD_ROLE_CANVASSER;
	core->leader = 0;
	core->ballot = next_ballot(core);
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		core->peers[peer].granted = 0;
	synod_core_arm_election(core);
	if (core->config.voters == 1)
		become_candidate(core, fx);
	else
		canvass(core, fx);
}

void synod_election_succeed(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_FOLLOWER);
	become_candidate(core, fx);
	/* Nobody else is due to try: a lost message costs a repetition, not an election. */
	synod_assert(core->ballot == core->promised);
}

/* 1: we would rather have a new leader, and this one knows enough to lead. */
static int would_grant(const struct synod_core *core, const struct synod_message *message)
{
	int led = core->role == SYNOD_ROLE_LEADER ||
		  (core->role == SYNOD_ROLE_FOLLOWER && core->leader &&
		   core->leader_contact_ns + core->config.election_ns > core->now_ns);

	/* It can be told by promises only what is still in memory here. */
	return !led && message->slot - 1 + core->config.window / 2 >= core->chosen_through;
}

void synod_election_on_canvass(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message)
{
	struct synod_message *answer;

	if (!would_grant(core, message)) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	if (message->ballot <= core->promised) {
		answer = synod_core_send(core, fx, SYNOD_REJECT, message->from);
		answer->ballot = message->ballot;
		answer->argument = core->promised;
		return;
	}
	synod_assert(synod_core_votes(core, message->from)); /* message_wrong */
	answer = synod_core_send(core, fx, SYNOD_CANVASS_GRANTED, message->from);
	answer->ballot = message->ballot;
	answer->argument = core->promised;
}

void synod_election_on_granted(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message)
{
	/* Of what use is a leader that could prepare and not get anything chosen? */
	uint32_t needed = core->config.quorum_prepare > core->config.quorum_accept
				  ? core->config.quorum_prepare
				  : core->config.quorum_accept;
	uint32_t grants = 1;

	if (core->role != SYNOD_ROLE_CANVASSER || message->ballot != core->ballot) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	core->peers[message->from].granted = 1;
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		grants += peer != core->config.replica && core->peers[peer].granted;
	synod_assert_cmp(grants, <=, core->config.voters);
	if (grants >= needed)
		become_candidate(core, fx);
}

/* Chosen and executed here, and its place given to a later slot. Places are taken out of order. */
static int is_gone(struct synod_core *core, uint64_t slot)
{
	return slot <= core->chosen_through && !synod_log_at(core, slot);
}

/* The last part: nothing from owed_slot on; or, behind: there is, but it is no longer in memory. */
static void send_promise_end(struct synod_core *core, struct synod_effects *fx, uint32_t to,
			     int behind)
{
	struct synod_message *part = synod_core_send(core, fx, SYNOD_PROMISE, to);

	part->ballot = core->promised;
	part->slot = core->peers[to].owed_slot;
	part->argument = UINT64_MAX;
	part->flags = behind ? SYNOD_FLAG_BEHIND : 0;
	core->peers[to].owed_slot = 0;
}

/* Phase 1b, from the cursor: what we accepted, slot by slot, and "nothing more" at the end. */
static void send_promises(struct synod_core *core, struct synod_effects *fx, uint32_t to)
{
	struct synod_core_peer *peer = &core->peers[to];
	struct synod_message *part = NULL;
	int parts = 0;

	for (uint64_t slot = peer->owed_slot; slot <= core->slot_last; slot++) {
		struct synod_core_slot *place = synod_log_at(core, slot);

		if (is_gone(core, slot)) {
			send_promise_end(core, fx, to, 1);
			return;
		}
		if (!place || place->ballot == 0)
			continue;
		if (place->ticket > core->ticket_durable)
			return; /* the rest is owed until this is durable too (I4) */
		if (parts++ == SYNOD_CORE_PROMISE_BURST) {
			part->flags |= SYNOD_FLAG_MORE;
			peer->owed_slot = 0;
			return;
		}
		part = synod_core_send_slot(core, fx, SYNOD_PROMISE, to, place);
		part->ballot = core->promised;
		part->slot = peer->owed_slot;
		part->argument = slot;
		peer->owed_slot = slot + 1;
	}
	send_promise_end(core, fx, to, 0);
}

static void send_owed_promises(struct synod_core *core, struct synod_effects *fx)
{
	if (core->ticket_promised > core->ticket_durable)
		return;
	for (uint32_t peer = 1; peer <= core->config.voters; peer++) {
		if (!core->peers[peer].owed_slot)
			continue;
		if (core->peers[peer].owed_ballot != core->promised)
			core->peers[peer].owed_slot = 0; /* overtaken by a higher ballot */
		else
			send_promises(core, fx, peer);
	}
}

void synod_election_on_prepare(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];

	if (message->ballot < core->promised) {
		struct synod_message *answer =
			synod_core_send(core, fx, SYNOD_REJECT, message->from);

		answer->ballot = message->ballot;
		answer->argument = core->promised;
		fx->dropped = SYNOD_DROP_STALE_BALLOT;
		return;
	}
	if (message->ballot > core->promised) {
		synod_log_write_promise(core, fx, message->ballot);
		synod_election_become_follower(core, fx, message->ballot, 0);
	}
	synod_assert(core->promised == message->ballot && message->slot != 0);
	peer->owed_slot = message->slot;
	peer->owed_ballot = message->ballot;
	send_owed_promises(core, fx);
}

/* Remembers the value of the highest ballot that any promise told of a slot. */
static int take_found(struct synod_core *core, struct synod_effects *fx,
		      const struct synod_message *message)
{
	struct synod_core_slot *place;

	if (message->value_flags & SYNOD_ENTRY_CHOSEN)
		return synod_catchup_learn(core, fx, message);
	if (message->value_slot <= core->chosen_through) {
		synod_log_release(fx, message->value.handle);
		return 0;
	}
	if (!synod_log_has_room(core, message->value_slot)) {
		synod_log_release(fx, message->value.handle);
		return SYNOD_DROP_WINDOW;
	}
	place = synod_log_claim(core, fx, message->value_slot);
	synod_assert(core->role == SYNOD_ROLE_CANDIDATE && message->has_value);
	if (place->chosen || (place->has_found && place->found_ballot >= message->value_ballot)) {
		synod_log_release(fx, message->value.handle);
		return 0;
	}
	if (place->has_found)
		synod_log_release(fx, place->found.handle);
	place->has_found = 1;
	place->found_ballot = message->value_ballot;
	place->found = message->value;
	return 0;
}

static void maybe_lead(struct synod_core *core, struct synod_effects *fx)
{
	uint32_t promises = 1; /* our own, durable before any PREPARE left */

	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		promises += peer != core->config.replica && core->peers[peer].promised;
	synod_assert_cmp(promises, <=, core->config.voters);
	synod_assert(core->role == SYNOD_ROLE_CANDIDATE);
	if (promises >= core->config.quorum_prepare &&
	    core->ticket_promised <= core->ticket_durable)
		synod_leader_begin(core, fx);
}

/* Moves the peer's cursor over all that it told, in whatever order the parts came. */
static void note_told(struct synod_core *core, const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];
	uint8_t bit = (uint8_t)(1u << message->from);
	uint64_t first = synod_core_max(message->slot, peer->promised_through + 1);
	uint64_t last =
		synod_core_min(message->argument, peer->promised_through + core->config.window);

	synod_assert(message->ballot == core->promised); /* B3 */
	synod_assert(synod_core_votes(core, message->from));
	if (message->argument == UINT64_MAX)
		peer->promised_end = message->slot;
	for (uint64_t slot = first; slot <= last; slot++) /* at most a window of turns */
		core->slots[slot & (core->config.window - 1)].told |= bit;
	if (message->flags & SYNOD_FLAG_MORE)
		peer->promised_more = message->argument;
	for (uint32_t i = 0; i < core->config.window; i++) {
		uint64_t slot = peer->promised_through + 1;
		struct synod_core_slot *place = &core->slots[slot & (core->config.window - 1)];

		if (!(place->told & bit))
			break;
		place->told &= (uint8_t)~bit;
		peer->promised_through++;
	}
	peer->promised =
		peer->promised_end != 0 && peer->promised_through + 1 >= peer->promised_end;
}

int synod_election_on_promise(struct synod_core *core, struct synod_effects *fx,
			      const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];
	int dropped = 0;

	/* Before our own promise is durable no PREPARE has left: nobody can have answered it. */
	if (core->role != SYNOD_ROLE_CANDIDATE || message->ballot != core->ballot ||
	    core->ticket_promised > core->ticket_durable || peer->promised ||
	    message->argument <= peer->promised_through) {
		synod_log_release(fx, message->has_value ? message->value.handle : 0);
		return SYNOD_DROP_UNEXPECTED;
	}
	if (message->flags & SYNOD_FLAG_BEHIND) {
		/* It has executed and let go what we would have to ask for: catch up first. */
		synod_log_release(fx, message->has_value ? message->value.handle : 0);
		synod_election_become_follower(core, fx, core->ballot, 0);
		return 0;
	}
	if (message->has_value)
		dropped = take_found(core, fx, message);
	if (dropped)
		return dropped;
	note_told(core, message);
	if (peer->promised) {
		maybe_lead(core, fx);
	} else if (peer->promised_more && peer->promised_through >= peer->promised_more) {
		peer->promised_more = 0;
		send_prepare(core, fx, message->from);
	}
	return 0;
}

void synod_election_on_reject(struct synod_core *core, struct synod_effects *fx,
			      const struct synod_message *message)
{
	core->ballot_highest = synod_core_max(core->ballot_highest, message->argument);
	if (message->ballot != core->ballot || core->role == SYNOD_ROLE_FOLLOWER ||
	    message->argument < core->ballot) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	if (core->role == SYNOD_ROLE_CANVASSER) {
		become_canvasser(core, fx); /* ask again with a ballot above it */
		return;
	}
	/* Somebody is bound to a higher ballot: its owner may lead, or we try above it later. */
	synod_election_become_follower(core, fx, core->ballot, 0);
}

void synod_election_on_durable(struct synod_core *core, struct synod_effects *fx)
{
	if (core->role == SYNOD_ROLE_CANDIDATE &&
	    core->retry_deadline_ns == core->election_deadline_ns &&
	    core->ticket_promised <= core->ticket_durable) {
		send_prepares(core, fx);
		maybe_lead(core, fx); /* a quorum of one */
	}
	send_owed_promises(core, fx);
}

void synod_election_on_tick(struct synod_core *core, struct synod_effects *fx)
{
	uint64_t sign_ns = core->leader_contact_ns + core->config.election_ns;

	synod_assert(core->role != SYNOD_ROLE_LEADER && core->leader != core->config.replica);
	if (core->now_ns >= core->election_deadline_ns) {
		if (!synod_core_votes(core, core->config.replica))
			synod_core_arm_election(core); /* it only learns */
		else if (core->role == SYNOD_ROLE_FOLLOWER && core->leader &&
			 sign_ns > core->now_ns)
			core->election_deadline_ns =
				sign_ns +
				synod_random_below(&core->random, core->config.election_ns);
		else
			become_canvasser(core, fx);
		return;
	}
	if (core->role == SYNOD_ROLE_FOLLOWER || core->now_ns < core->retry_deadline_ns)
		return;
	if (core->role == SYNOD_ROLE_CANVASSER)
		canvass(core, fx);
	else if (core->ticket_promised <= core->ticket_durable)
		send_prepares(core, fx);
}

/* How many of the voters other than that one are to try before us. */
static uint32_t place_in_line(const struct synod_core *core, uint64_t lost)
{
	const uint8_t *priorities = core->config.priorities;
	const uint32_t self = core->config.replica;
	uint32_t before = 0;

	synod_assert(synod_core_votes(core, self) && lost != self);
	for (uint32_t peer = 1; peer <= core->config.voters; peer++)
		before += peer != lost && (priorities[peer] > priorities[self] ||
					   (priorities[peer] == priorities[self] && peer < self));
	synod_assert_cmp(before, <, core->config.voters);
	return before;
}

/*
 * A process that dies takes its links with it, and those who see that need not wait for a silence.
 * It is a hint and no more: all that is forgotten is that we hear a leader, so that we grant a
 * canvass and begin one, each voter in turn a little later, so that two do not stand against each
 * other. Whoever still hears the leader grants nothing; and if it lives after all, its next message
 * makes us follow it again. Whatever is hinted, phase 1 is as always.
 */
void synod_election_on_lost(struct synod_core *core, struct synod_effects *fx, uint64_t replica)
{
	uint64_t step_ns = core->config.heartbeat_ns / 4;
	uint64_t wait_ns = 0;
	uint32_t place;

	if (core->role != SYNOD_ROLE_FOLLOWER || core->leader == 0 || core->leader != replica ||
	    !synod_core_votes(core, core->config.replica))
		return;
	synod_assert(core->leader != core->config.replica);
	place = place_in_line(core, replica);
	if (place)
		wait_ns = place * step_ns + synod_random_below(&core->random, step_ns / 2 + 1);
	fx->counts[SYNOD_COUNT_LEADERS_LOST]++;
	core->leader = 0;
	core->election_deadline_ns =
		synod_core_min(core->election_deadline_ns, core->now_ns + wait_ns);
	core->canvass_wait_ns = core->config.retransmit_ns / 64 + 1;
}

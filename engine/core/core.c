/* SPDX-License-Identifier: BSD-3-Clause */
/* The step: which handler takes which event, and when the next TICK is due. See core.h. */
#include "engine/core/core.h"

#include "engine/core/internal.h"

int synod_core_quorums_meet(uint32_t voters, uint32_t quorum_prepare, uint32_t quorum_accept)
{
	return quorum_prepare >= 1 && quorum_prepare <= voters && quorum_accept >= 1 &&
	       quorum_accept <= voters && quorum_prepare + quorum_accept > voters;
}

/* What a configuration leaves out has a default. */
static void set_quorums(struct synod_core_config *config)
{
	config->reserved = 0;
	if (!config->voters)
		config->voters = config->replicas;
	if (!config->quorum_prepare)
		config->quorum_prepare = config->voters / 2 + 1;
	if (!config->quorum_accept)
		config->quorum_accept = config->voters / 2 + 1;
	synod_assert_cmp(config->voters, <=, config->replicas);
	/* I16 */
	synod_assert(synod_core_quorums_meet(config->voters, config->quorum_prepare,
					     config->quorum_accept));
}

void synod_core_init(struct synod_core *core, const struct synod_core_config *config,
		     uint64_t now_ns)
{
	synod_assert(config->replicas >= 1 && config->replicas <= SYNOD_REPLICAS_MAX);
	synod_assert(config->replica >= 1 && config->replica <= config->replicas);
	synod_assert(config->window >= 16 && config->window <= SYNOD_WINDOW_SLOTS &&
		     (config->window & (config->window - 1)) == 0);
	synod_assert(config->inflight >= 1 && config->inflight <= config->window / 2);
	synod_assert(config->election_ns > config->heartbeat_ns && config->retransmit_ns > 0);
	memset(core, 0, sizeof(*core));
	core->config = *config;
	set_quorums(&core->config);
	core->random = config->seed * 2654435761u + config->replica;
	core->now_ns = now_ns;
	core->role = SYNOD_ROLE_FOLLOWER;
	synod_core_arm_election(core);
}

void synod_core_recover(struct synod_core *core, uint64_t promised, uint64_t chosen_through)
{
	synod_assert(core->ticket_last == 0 && core->promised == 0);
	synod_assert(chosen_through < SYNOD_CORE_SLOT_END && core->chosen_through == 0);
	core->promised = promised;
	core->ballot_highest = promised;
	core->chosen_through = chosen_through;
	core->known_chosen = chosen_through;
	core->applied = chosen_through;
	core->accepted_through = chosen_through;
	core->slot_last = chosen_through;
}

void synod_core_recover_slot(struct synod_core *core, const struct synod_core_recovered *slot)
{
	struct synod_core_slot *place = &core->slots[slot->slot & (core->config.window - 1)];

	synod_assert(core->ticket_last == 0);
	synod_assert_cmp(slot->slot, <=, core->chosen_through + core->config.window);
	synod_assert(place->slot == 0 && slot->slot != 0);
	place->slot = slot->slot;
	place->ballot = slot->ballot;
	place->value = slot->value;
	place->chosen = slot->chosen || slot->slot <= core->chosen_through;
	core->slot_last = synod_core_max(core->slot_last, slot->slot);
	if (!place->chosen) {
		/* Accepting at a ballot binds as a promise does. */
		core->promised = synod_core_max(core->promised, slot->ballot);
		core->ballot_highest = synod_core_max(core->ballot_highest, slot->ballot);
	}
}

struct synod_message *synod_core_send(struct synod_core *core, struct synod_effects *fx,
				      unsigned int type, uint32_t to)
{
	struct synod_message *message;

	synod_assert_cmp(fx->sends_count, <, SYNOD_CORE_SENDS_MAX);
	synod_assert(to != core->config.replica && to >= 1 && to <= core->config.replicas);
	message = &fx->sends[fx->sends_count++];
	memset(message, 0, sizeof(*message));
	message->type = (uint8_t)type;
	message->from = (uint8_t)core->config.replica;
	message->to = (uint8_t)to;
	message->chosen_through = core->chosen_through;
	return message;
}

struct synod_message *synod_core_send_slot(struct synod_core *core, struct synod_effects *fx,
					   unsigned int type, uint32_t to,
					   const struct synod_core_slot *place)
{
	struct synod_message *message = synod_core_send(core, fx, type, to);

	synod_assert(place->slot != 0 && place->ballot != 0);
	message->slot = place->slot;
	message->has_value = 1;
	message->value = place->value;
	message->value_slot = place->slot;
	message->value_ballot = place->ballot;
	message->value_flags = place->chosen ? SYNOD_ENTRY_CHOSEN : 0;
	return message;
}

static int ballot_is_of(uint64_t ballot, uint32_t replica)
{
	return synod_ballot_replica(ballot) == replica && synod_ballot_round(ballot) > 0;
}

/* What only a voter may say: who only learns never leads, promises or confirms. */
static int needs_voter(unsigned int type)
{
	return type != SYNOD_ACCEPTED && type != SYNOD_REJECT && type != SYNOD_NEED &&
	       type != SYNOD_LEARN && type != SYNOD_JOIN;
}

/* Whose ballot a message of each type must carry; the tag proved only who sent it. */
static int ballot_fits(const struct synod_core *core, const struct synod_message *message)
{
	switch (message->type) {
	case SYNOD_CANVASS:
	case SYNOD_PREPARE:
	case SYNOD_ACCEPT:
	case SYNOD_HEARTBEAT:
	case SYNOD_HANDOVER:
	case SYNOD_CONFIRM:
		return ballot_is_of(message->ballot, message->from);
	case SYNOD_CANVASS_GRANTED:
	case SYNOD_PROMISE:
	case SYNOD_ACCEPTED:
	case SYNOD_REJECT:
	case SYNOD_CONFIRMED:
		return ballot_is_of(message->ballot, core->config.replica);
	default:
		return 1;
	}
}

static int value_fits(const struct synod_message *message)
{
	switch (message->type) {
	case SYNOD_ACCEPT:
		return message->has_value && message->value_slot == message->slot &&
		       message->value_ballot == message->ballot;
	case SYNOD_LEARN:
		return message->has_value && message->value_slot == message->slot &&
		       message->value_ballot == message->ballot && message->ballot != 0;
	case SYNOD_PROMISE:
		return message->has_value ? message->value_slot == message->argument &&
						    message->value_slot >= message->slot &&
						    message->value_ballot != 0 &&
						    (message->value_ballot <= message->ballot ||
						     message->value_flags & SYNOD_ENTRY_CHOSEN)
					  : message->argument == UINT64_MAX;
	default:
		return !message->has_value;
	}
}

/* What came over the network is checked, counted and refused; never asserted. */
static int message_wrong(const struct synod_core *core, const struct synod_message *message)
{
	int first_slot = message->type == SYNOD_CANVASS || message->type == SYNOD_PREPARE ||
			 message->type == SYNOD_PROMISE || message->type == SYNOD_ACCEPT ||
			 message->type == SYNOD_NEED || message->type == SYNOD_LEARN;

	if (message->from < 1 || message->from > core->config.replicas ||
	    message->from == core->config.replica || message->to != core->config.replica)
		return SYNOD_DROP_SENDER;
	if (message->type < SYNOD_CANVASS || message->type >= SYNOD_REPLICA_TYPES_END)
		return SYNOD_DROP_TYPE;
	if (needs_voter(message->type) && !synod_core_votes(core, message->from))
		return SYNOD_DROP_SENDER;
	if (message->slot >= SYNOD_CORE_SLOT_END || (first_slot && message->slot == 0) ||
	    message->chosen_through >= SYNOD_CORE_SLOT_END ||
	    synod_ballot_round(message->ballot) >= SYNOD_CORE_ROUND_END)
		return SYNOD_DROP_FIELD;
	if (message->has_value &&
	    (message->value_slot >= SYNOD_CORE_SLOT_END ||
	     synod_ballot_round(message->value_ballot) >= SYNOD_CORE_ROUND_END))
		return SYNOD_DROP_FIELD;
	if (message->type == SYNOD_REJECT &&
	    synod_ballot_round(message->argument) >= SYNOD_CORE_ROUND_END)
		return SYNOD_DROP_FIELD;
	return ballot_fits(core, message) && value_fits(message) ? 0 : SYNOD_DROP_FIELD;
}

/* What any message tells, whatever its type. */
static void note_contact(struct synod_core *core, const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];

	peer->chosen_through = synod_core_max(peer->chosen_through, message->chosen_through);
	core->known_chosen = synod_core_max(core->known_chosen, message->chosen_through);
}

static void on_accepted(struct synod_core *core, struct synod_effects *fx,
			const struct synod_message *message)
{
	if (core->role != SYNOD_ROLE_LEADER || message->ballot != core->ballot) {
		fx->dropped = SYNOD_DROP_STALE_BALLOT;
		return;
	}
	synod_assert(message->from != core->config.replica);
	core->peers[message->from].contact_ns = core->now_ns;
	synod_leader_on_accepted(core, fx, message);
}

static void on_message(struct synod_core *core, struct synod_effects *fx,
		       const struct synod_message *message)
{
	int dropped = message_wrong(core, message);

	if (dropped) {
		synod_log_release(fx, message->has_value ? message->value.handle : 0);
		fx->dropped = (uint32_t)dropped;
		return;
	}
	note_contact(core, message);
	switch (message->type) {
	case SYNOD_CANVASS:
		synod_election_on_canvass(core, fx, message);
		return;
	case SYNOD_CANVASS_GRANTED:
		synod_election_on_granted(core, fx, message);
		return;
	case SYNOD_PREPARE:
		synod_election_on_prepare(core, fx, message);
		return;
	case SYNOD_PROMISE:
		dropped = synod_election_on_promise(core, fx, message);
		break;
	case SYNOD_ACCEPT:
		dropped = synod_follower_on_accept(core, fx, message);
		break;
	case SYNOD_ACCEPTED:
		on_accepted(core, fx, message);
		return;
	case SYNOD_REJECT:
		synod_election_on_reject(core, fx, message);
		return;
	case SYNOD_HEARTBEAT:
		dropped = synod_follower_on_heartbeat(core, fx, message);
		break;
	case SYNOD_NEED:
		synod_catchup_on_need(core, fx, message);
		return;
	case SYNOD_HANDOVER:
		synod_handover_on_message(core, fx, message);
		return;
	case SYNOD_CONFIRM:
		dropped = synod_read_on_confirm(core, fx, message);
		break;
	case SYNOD_CONFIRMED:
		dropped = synod_read_on_confirmed(core, fx, message);
		break;
	case SYNOD_JOIN:
		synod_join_on_join(core, fx, message);
		return;
	case SYNOD_JOINED:
		dropped = synod_join_on_joined(core, message);
		break;
	default:
		dropped = synod_catchup_on_learn(core, fx, message);
		break;
	}
	fx->dropped = (uint32_t)dropped;
}

static void on_durable(struct synod_core *core, struct synod_effects *fx, uint64_t ticket)
{
	synod_assert(ticket >= core->ticket_durable && ticket <= core->ticket_last);
	synod_assert_cmp(core->ticket_promised, <=, core->ticket_last);
	core->ticket_durable = ticket;
	synod_election_on_durable(core, fx);
	synod_follower_on_durable(core);
	synod_leader_on_durable(core, fx);
}

static void on_tick(struct synod_core *core, struct synod_effects *fx)
{
	if (core->role == SYNOD_ROLE_LEADER)
		synod_leader_on_tick(core, fx);
	else
		synod_election_on_tick(core, fx);
}

static uint64_t next_deadline(const struct synod_core *core)
{
	uint64_t deadline = core->election_deadline_ns;

	if (core->role == SYNOD_ROLE_LEADER)
		deadline = synod_leader_deadline(core);
	else if (core->role != SYNOD_ROLE_FOLLOWER && core->retry_deadline_ns)
		deadline = synod_core_min(deadline, core->retry_deadline_ns);
	/* A leader has all that is chosen; what it lacked as a follower no longer counts. */
	if (core->need_deadline_ns && core->role != SYNOD_ROLE_LEADER)
		deadline = synod_core_min(deadline, core->need_deadline_ns);
	if (core->standing != SYNOD_STANDING_VOTES)
		return synod_join_deadline(core, deadline);
	if (core->role != SYNOD_ROLE_LEADER)
		return deadline;
	return synod_read_deadline(core, synod_handover_deadline(core, deadline));
}

void synod_core_step(struct synod_core *core, const struct synod_event *event,
		     struct synod_effects *fx)
{
	synod_assert(event->now_ns >= core->now_ns);
	core->now_ns = event->now_ns;
	memset(fx, 0, offsetof(struct synod_effects, sends));
	fx->chosen_first = 1;
	switch (event->kind) {
	case SYNOD_EVENT_MESSAGE:
		on_message(core, fx, event->message);
		break;
	case SYNOD_EVENT_SUBMIT:
		synod_leader_submit(core, fx, &event->value);
		break;
	case SYNOD_EVENT_DURABLE:
		on_durable(core, fx, event->ticket);
		break;
	case SYNOD_EVENT_APPLIED:
		synod_assert(event->slot >= core->applied && event->slot <= core->chosen_through);
		core->applied = event->slot;
		break;
	case SYNOD_EVENT_TICK:
		on_tick(core, fx);
		break;
	case SYNOD_EVENT_HANDOVER:
		synod_handover_begin(core, fx, event->replica);
		break;
	case SYNOD_EVENT_READ:
		synod_read_on_token(core, event->token);
		break;
	case SYNOD_EVENT_INSTALLED:
		synod_install(core, fx, event->slot);
		break;
	case SYNOD_EVENT_VOUCHED:
		synod_join_on_vouched(core, fx);
		break;
	case SYNOD_EVENT_LOST:
		synod_election_on_lost(core, fx, event->replica);
		break;
	}
	if (core->role == SYNOD_ROLE_LEADER) {
		synod_leader_pump(core, fx);
		synod_handover_go_on(core, fx);
	}
	synod_read_go_on(core, fx);
	if (core->role != SYNOD_ROLE_LEADER) {
		/* What recovery found chosen beyond what it knew needs nobody's word. */
		synod_log_advance_chosen(core, fx);
		synod_catchup_maybe_ask(core, fx);
	}
	if (core->standing != SYNOD_STANDING_VOTES)
		synod_join_go_on(core, fx);
	synod_follower_answer(core, fx);
	fx->deadline_ns = next_deadline(core);
	synod_assert_cmp(core->applied, <=, core->chosen_through); /* I8 */
	synod_assert_cmp(core->chosen_through, <=, core->slot_last);
	synod_assert_cmp(core->ticket_durable, <=, core->ticket_last);
	synod_assert_cmp(core->ballot_highest, >=, core->promised);
	synod_assert_implies(core->role == SYNOD_ROLE_CANDIDATE, core->ballot == core->promised);
	synod_assert_implies(core->role != SYNOD_ROLE_FOLLOWER,
			     synod_core_votes(core, core->config.replica));
	synod_assert_implies(core->role == SYNOD_ROLE_LEADER,
			     core->leader == core->config.replica &&
				     core->ballot <= core->promised);
	synod_assert_implies(core->role != SYNOD_ROLE_LEADER, core->leader != core->config.replica);
	synod_assert_cmp(fx->deadline_ns, !=, 0);
}

const struct synod_value *synod_core_value(const struct synod_core *core, uint64_t slot)
{
	const struct synod_core_slot *place = &core->slots[slot & (core->config.window - 1)];

	synod_assert(slot > core->applied && slot <= core->chosen_through);
	synod_assert(place->slot == slot && place->chosen);
	return &place->value;
}

uint64_t synod_core_hash(const struct synod_core *core)
{
	const uint64_t *words = (const uint64_t *)(const void *)core;
	uint64_t hash = 0x9e3779b97f4a7c15ull;

	_Static_assert(sizeof(*core) % sizeof(*words) == 0, "whole words");
	for (size_t i = 0; i < sizeof(*core) / sizeof(*words); i++) {
		hash = (hash ^ words[i]) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 32;
	}
	return hash;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Phase 2 seen from the acceptor (Paxos Made Simple, 2.2 and 2.3): accept what is not below the
 * promise, answer only with what is durable, learn by ballot.
 */
#include "engine/core/internal.h"

/* A message of a ballot below our promise: say which ballot we are bound to. */
void synod_follower_reject(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message)
{
	struct synod_message *answer = synod_core_send(core, fx, SYNOD_REJECT, message->from);

	synod_assert(message->ballot < core->promised);
	answer->ballot = message->ballot;
	answer->argument = core->promised;
}

/*
 * The sender leads at a ballot that we may serve. Serving a ballot binds us to it just as a promise
 * does, so it is made durable like one; the answers wait for that write by their tickets.
 */
void synod_follower_follow(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message)
{
	synod_assert(message->ballot >= core->promised);
	if (message->ballot > core->promised)
		synod_log_write_promise(core, fx, message->ballot);
	if (core->role != SYNOD_ROLE_FOLLOWER || core->ballot != message->ballot ||
	    core->leader != message->from)
		synod_election_become_follower(core, fx, message->ballot, message->from);
	synod_assert(core->role == SYNOD_ROLE_FOLLOWER && core->leader == message->from);
	synod_assert(core->ballot == message->ballot && core->ballot == core->promised);
	core->leader_contact_ns = core->now_ns;
	core->announced_through = synod_core_max(core->announced_through, message->chosen_through);
}

void synod_follower_learn_announced(struct synod_core *core, struct synod_effects *fx)
{
	uint64_t last = synod_core_min(core->announced_through, core->slot_last);

	/*
	 * The leader at `ballot` says that all through announced_through is chosen. What we
	 * accepted at that very ballot is what it proposed there, hence the chosen value; what we
	 * accepted at another ballot may not be, and is asked for (catchup.c).
	 */
	if (core->role != SYNOD_ROLE_FOLLOWER)
		return;
	for (uint64_t slot = core->chosen_through + 1; slot <= last; slot++) {
		struct synod_core_slot *place = synod_log_at(core, slot);

		if (!place || (!place->chosen && place->ballot != core->ballot))
			break;
		if (!place->chosen)
			synod_log_mark_chosen(fx, place);
	}
	synod_log_advance_chosen(core, fx);
}

static int accept(struct synod_core *core, struct synod_effects *fx,
		  const struct synod_message *message)
{
	struct synod_core_slot *place;

	synod_assert(message->ballot == core->promised && message->has_value);
	core->answer_owed = 1;
	if (message->slot <= core->chosen_through) {
		synod_log_release(fx, message->value.handle);
		return 0;
	}
	if (!synod_log_has_room(core, message->slot)) {
		synod_log_release(fx, message->value.handle);
		return SYNOD_DROP_WINDOW;
	}
	place = synod_log_claim(core, fx, message->slot);
	if (place->chosen || place->ballot >= message->ballot) {
		/* A repetition; the answer tells the leader so. */
		synod_log_release(fx, message->value.handle);
		return 0;
	}
	synod_log_store(core, fx, place, message->ballot, &message->value, 0);
	core->answer_owed = 0; /* it comes when the write is durable */
	return 0;
}

int synod_follower_on_accept(struct synod_core *core, struct synod_effects *fx,
			     const struct synod_message *message)
{
	int dropped;

	if (message->ballot < core->promised) {
		synod_follower_reject(core, fx, message);
		synod_log_release(fx, message->value.handle);
		return SYNOD_DROP_STALE_BALLOT;
	}
	synod_follower_follow(core, fx, message);
	dropped = accept(core, fx, message);
	synod_follower_learn_announced(core, fx);
	return dropped;
}

int synod_follower_on_heartbeat(struct synod_core *core, struct synod_effects *fx,
				const struct synod_message *message)
{
	if (message->ballot < core->promised) {
		synod_follower_reject(core, fx, message);
		return SYNOD_DROP_STALE_BALLOT;
	}
	synod_follower_follow(core, fx, message);
	synod_follower_learn_announced(core, fx);
	core->answer_owed = 1;
	return 0;
}

void synod_follower_on_durable(struct synod_core *core)
{
	if (core->role != SYNOD_ROLE_FOLLOWER || !core->leader)
		return;
	/* Every durable write of ours may interest the leader: one answer a completion burst. */
	core->answer_owed = 1;
}

void synod_follower_answer(struct synod_core *core, struct synod_effects *fx)
{
	struct synod_message *answer;

	if (!core->answer_owed)
		return;
	core->answer_owed = 0;
	if (core->role != SYNOD_ROLE_FOLLOWER || !core->leader ||
	    core->ticket_promised > core->ticket_durable)
		return;
	(void)synod_log_advance_accepted(core);
	synod_assert(core->ballot == core->promised); /* I4: what we say binds us */
	synod_assert_cmp(core->accepted_through, <=, core->slot_last);
	answer = synod_core_send(core, fx, SYNOD_ACCEPTED, core->leader);
	answer->ballot = core->ballot;
	answer->slot = core->accepted_through;
	for (unsigned int i = 1; i < 64; i++) {
		uint64_t slot = core->accepted_through + 1 + i;

		if (slot > core->slot_last)
			break;
		if (synod_log_is_accepted(core, slot))
			answer->argument |= UINT64_C(1) << i;
	}
}

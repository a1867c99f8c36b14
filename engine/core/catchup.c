/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Chosen slots for whoever lacks them. A replica that hears of a chosen slot it does not have asks
 * for it (NEED), the leader first and then the others in turn; any replica that knows the slot to
 * be chosen answers (LEARN), from memory or, if it has let the slot go, from its journal. One
 * question is open at a time, an answer is bounded, and there is a pace: who asks keeps it, and who
 * is asked insists on half of it, so a peer that lags takes a known share from the others.
 */
#include "engine/core/internal.h"

/*
 * Between two questions: SYNOD_CORE_LEARN_BURST slots each. With the usual 20 ms of retransmission
 * that is 51,000 slots a second, three times what two cores order.
 */
static uint64_t pace_ns(const struct synod_core *core)
{
	return core->config.retransmit_ns / 64;
}

static void answer_slot(struct synod_core *core, struct synod_effects *fx, uint32_t to,
			uint64_t slot)
{
	struct synod_core_slot *place = synod_log_at(core, slot);

	synod_assert_cmp(slot, <=, core->chosen_through);
	if (place) {
		struct synod_message *learn =
			synod_core_send_slot(core, fx, SYNOD_LEARN, to, place);

		synod_assert(place->chosen);
		learn->ballot = place->ballot;
		return;
	}
	synod_assert_cmp(fx->reads_count, <, SYNOD_CORE_READS_MAX);
	fx->reads[fx->reads_count++] = (struct synod_core_read){ .to = to, .slot = slot };
}

void synod_catchup_on_need(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message)
{
	struct synod_core_peer *peer = &core->peers[message->from];
	uint64_t count = synod_core_min(message->argument, SYNOD_CORE_LEARN_BURST);
	uint64_t last = synod_core_min(message->slot + count - 1, core->chosen_through);

	if (message->flags & SYNOD_FLAG_FAULTY && count > 0)
		synod_leader_on_faulty(core, message->slot + count - 1);
	if (message->slot > last || count == 0) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	/* The same question again, too soon: the answer is still under way. */
	if (peer->learn_slot == message->slot && core->now_ns < peer->learn_ns) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	if (core->now_ns < peer->learn_ns_next) {
		fx->dropped = SYNOD_DROP_UNEXPECTED;
		return;
	}
	synod_assert_cmp(last - message->slot, <, (uint64_t)SYNOD_CORE_LEARN_BURST);
	synod_assert_cmp(last, <=, core->chosen_through);
	peer->learn_ns_next = core->now_ns + pace_ns(core) / 2;
	peer->learn_slot = message->slot;
	peer->learn_ns = core->now_ns + core->config.retransmit_ns / 2;
	for (uint64_t slot = message->slot; slot <= last; slot++)
		answer_slot(core, fx, message->from, slot);
}

int synod_catchup_learn(struct synod_core *core, struct synod_effects *fx,
			const struct synod_message *message)
{
	struct synod_core_slot *place;
	const struct synod_value *value = &message->value;

	if (message->value_slot <= core->chosen_through) {
		synod_log_release(fx, value->handle);
		return 0;
	}
	if (!synod_log_has_room(core, message->value_slot)) {
		synod_log_release(fx, value->handle);
		return SYNOD_DROP_WINDOW;
	}
	place = synod_log_claim(core, fx, message->value_slot);
	synod_assert(message->has_value && message->value_ballot != 0);
	if (place->chosen) {
		synod_log_release(fx, value->handle);
		return 0;
	}
	if (place->ballot >= message->value_ballot && place->ballot != 0) {
		/*
		 * Accepted here at the ballot it was chosen at, or at a higher one: the same value,
		 * and the record that we have says it.
		 */
		synod_log_release(fx, value->handle);
		if (place->value.crc != value->crc || place->value.size != value->size)
			return SYNOD_DROP_FIELD;
		synod_log_mark_chosen(fx, place);
	} else {
		synod_log_store(core, fx, place, message->value_ballot, value, 1);
		fx->counts[SYNOD_COUNT_REPAIRS]++;
	}
	synod_log_advance_chosen(core, fx);
	if (core->role == SYNOD_ROLE_LEADER)
		synod_leader_on_learned(core, message->value_slot);
	return 0;
}

void synod_catchup_go_on(struct synod_core *core)
{
	synod_assert_cmp(core->chosen_through, >=, core->need_through);
	synod_assert_cmp(core->need_asked_ns, <=, core->now_ns);
	core->need_deadline_ns = synod_core_max(core->now_ns, core->need_asked_ns + pace_ns(core));
}

int synod_catchup_on_learn(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message)
{
	int dropped = synod_catchup_learn(core, fx, message);

	synod_follower_learn_announced(core, fx);
	if (core->chosen_through >= core->need_through)
		synod_catchup_go_on(core);
	return dropped;
}

/* The leader knows most; when it does not answer, the others in turn. */
static uint32_t whom_to_ask(struct synod_core *core, int again)
{
	uint32_t peer = core->need_peer;

	synod_assert_cmp(peer, <=, core->config.replicas);
	if (!again && core->leader && core->leader != core->config.replica)
		return core->leader;
	for (uint32_t i = 0; i < core->config.replicas; i++) {
		peer = peer % core->config.replicas + 1;
		if (peer != core->config.replica &&
		    core->peers[peer].chosen_through > core->chosen_through)
			return peer;
	}
	return 0;
}

void synod_catchup_maybe_ask(struct synod_core *core, struct synod_effects *fx)
{
	struct synod_message *need;
	int again = core->need_through > core->chosen_through;

	if (core->chosen_through >= core->known_chosen) {
		core->need_deadline_ns = 0;
		core->need_through = 0;
		return;
	}
	if (core->need_deadline_ns == 0) {
		/* What is missing may only be late, or out of order. */
		core->need_deadline_ns = core->now_ns + core->config.retransmit_ns / 2;
		return;
	}
	if (core->now_ns < core->need_deadline_ns)
		return;
	if (!synod_log_has_room(core, core->chosen_through + 1)) {
		/* Until what is here is executed: soon, and no peer can do anything about it. */
		core->need_deadline_ns = core->now_ns + pace_ns(core);
		return;
	}
	core->need_deadline_ns = core->now_ns + core->config.retransmit_ns;
	core->need_peer = whom_to_ask(core, again);
	if (!core->need_peer)
		return;
	core->need_through =
		synod_core_min(core->chosen_through + SYNOD_CORE_LEARN_BURST, core->known_chosen);
	synod_assert_cmp(core->need_through, >, core->chosen_through);
	synod_assert_cmp(core->need_asked_ns, <=, core->now_ns);
	core->need_asked_ns = core->now_ns;
	need = synod_core_send(core, fx, SYNOD_NEED, core->need_peer);
	need->ballot = core->ballot;
	need->slot = core->chosen_through + 1;
	need->argument = SYNOD_CORE_LEARN_BURST;
}

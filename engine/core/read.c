/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads that see every write that was answered before they were asked (linearizable), without a
 * log write. (Ongaro's dissertation, 6.4, calls the like ReadIndex; here it rests on ballots.)
 *
 * Reads are numbered by tokens, like writes by tickets. A round asks the voters whether they are
 * still bound to nothing above our ballot. When a quorum of phase 2 has confirmed it, then no
 * phase 1 above our ballot was complete when the round began: it would have met one of them (I16).
 * So whatever had been chosen by then, had been chosen at our ballot or below: it is at or before
 *
 *     read_slot = max(chosen_through, the last slot that our phase 1 found)
 *
 * as both stood when the round began. A read of that round may be served once that slot is applied
 * here (I11). One round serves all reads that waited when it began; those that come while it is
 * under way wait for the next one, as their answer must not rest on a confirmation that is older
 * than their question. No clock is trusted (B10).
 */
#include "engine/core/internal.h"

static void settle(struct synod_core *core, struct synod_effects *fx, uint64_t through,
		   uint32_t status)
{
	synod_assert(through > core->read_done && through <= core->read_last);
	synod_assert_implies(status == 0, core->role == SYNOD_ROLE_LEADER);
	core->read_done = through;
	fx->read_through = through;
	fx->read_slot = status ? 0 : core->read_slot;
	fx->read_status = status;
}

static void send_confirms(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER && core->read_asked > core->read_done);
	synod_assert(core->read_confirmed >> core->config.replica & 1);
	for (uint32_t peer = 1; peer <= core->config.voters; peer++) {
		struct synod_message *confirm;

		if (peer == core->config.replica || core->read_confirmed >> peer & 1)
			continue;
		confirm = synod_core_send(core, fx, SYNOD_CONFIRM, peer);
		confirm->ballot = core->ballot;
		confirm->argument = core->read_round;
	}
	core->read_ns_next = core->now_ns + core->config.retransmit_ns;
}

static void begin_round(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert(core->role == SYNOD_ROLE_LEADER && core->read_last > core->read_done);
	synod_assert(core->ballot == core->promised);
	core->read_round++;
	core->read_asked = core->read_last;
	core->read_slot = synod_core_max(core->chosen_through, core->phase1_last);
	core->read_confirmed = 1u << core->config.replica;
	fx->counts[SYNOD_COUNT_READ_ROUNDS]++;
	send_confirms(core, fx);
}

/* 1: a round is under way. */
static int is_asking(const struct synod_core *core)
{
	return core->read_asked > core->read_done;
}

void synod_read_on_token(struct synod_core *core, uint64_t token)
{
	synod_assert_cmp(token, >=, core->read_last);
	core->read_last = token;
}

/* Answered by whoever could still accept at the ballot: bound to it, and to nothing above it. */
int synod_read_on_confirm(struct synod_core *core, struct synod_effects *fx,
			  const struct synod_message *message)
{
	struct synod_message *answer;

	if (message->ballot < core->promised) {
		synod_follower_reject(core, fx, message);
		return SYNOD_DROP_STALE_BALLOT;
	}
	synod_follower_follow(core, fx, message);
	synod_follower_learn_announced(core, fx);
	answer = synod_core_send(core, fx, SYNOD_CONFIRMED, message->from);
	synod_assert(core->promised == message->ballot); /* I11: to nothing above it */
	answer->ballot = message->ballot;
	answer->argument = message->argument;
	return 0;
}

int synod_read_on_confirmed(struct synod_core *core, struct synod_effects *fx,
			    const struct synod_message *message)
{
	(void)fx;
	if (core->role != SYNOD_ROLE_LEADER || message->ballot != core->ballot)
		return SYNOD_DROP_STALE_BALLOT;
	core->peers[message->from].contact_ns = core->now_ns;
	if (!is_asking(core) || message->argument != core->read_round)
		return SYNOD_DROP_UNEXPECTED;
	synod_assert(synod_core_votes(core, message->from));
	core->read_confirmed |= 1u << message->from;
	return 0;
}

void synod_read_go_on(struct synod_core *core, struct synod_effects *fx)
{
	synod_assert_cmp(core->read_done, <=, core->read_last);
	synod_assert_cmp(core->read_asked, <=, core->read_last);
	if (core->read_last == core->read_done)
		return;
	if (core->role != SYNOD_ROLE_LEADER) {
		core->read_asked = core->read_last;
		settle(core, fx, core->read_last, SYNOD_NOT_LEADER);
		return;
	}
	if (is_asking(core) && synod_core_is_quorum(core, core->read_confirmed))
		settle(core, fx, core->read_asked, 0);
	if (core->read_last == core->read_done)
		return;
	if (!is_asking(core))
		begin_round(core, fx);
	else if (core->now_ns >= core->read_ns_next)
		send_confirms(core, fx);
	/* A quorum of one needs to ask nobody. */
	if (is_asking(core) && synod_core_is_quorum(core, core->read_confirmed))
		settle(core, fx, core->read_asked, 0);
}

uint64_t synod_read_deadline(const struct synod_core *core, uint64_t deadline)
{
	return is_asking(core) ? synod_core_min(deadline, core->read_ns_next) : deadline;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A snapshot of another replica's took the place of all slots up to its own: they are chosen, they
 * are durable here (in the snapshot, which is why that must be so first), and they count as
 * executed. So they are let go from the ring as if they had been taken over, and the rule of log.c
 * holds of them: not in the ring and not above chosen_through is chosen, executed and durable.
 *
 *      before   applied   chosen_through        slot_last
 *        ---------|-- chosen --|-- accepted, found --|
 *      after                          S                 slot_last
 *        -----------------------------|-- accepted, ... --|
 *
 * What was accepted beyond the snapshot's slot stays: it may have been told to a leader. What was
 * accepted up to it is forgotten without harm: whoever asks for such a slot is answered BEHIND, or
 * with the snapshot. (The journal knows of no record of these slots any more, though votes for them
 * may stand in its log: another value may have been chosen than was accepted here.)
 */
#include "engine/core/internal.h"

/* At most a window of places, of two handles each: SYNOD_CORE_RELEASED_MAX has room for them. */
static void let_go(struct synod_core *core, struct synod_effects *fx, uint64_t through)
{
	synod_assert_cmp(core->role, ==, SYNOD_ROLE_FOLLOWER); /* no votes, no reports to count */
	synod_assert_cmp(core->chosen_through, <, through);
	for (uint32_t i = 0; i < core->config.window; i++) {
		struct synod_core_slot *place = &core->slots[i];

		if (place->slot == 0 || place->slot > through)
			continue;
		synod_log_release(fx, place->value.handle);
		synod_log_release(fx, place->has_found ? place->found.handle : 0);
		memset(place, 0, sizeof(*place));
	}
}

void synod_install(struct synod_core *core, struct synod_effects *fx, uint64_t slot)
{
	synod_assert(slot >= core->applied && slot < SYNOD_CORE_SLOT_END);
	if (slot <= core->chosen_through) {
		/* It was learned meanwhile; only its execution was spared. */
		core->applied = slot;
		return;
	}
	/*
	 * Who leads, or wants to, does not have what is chosen: it had phase 1 told what its peers
	 * still remembered while the snapshot was on its way. To step down is always safe.
	 */
	if (core->role != SYNOD_ROLE_FOLLOWER)
		synod_election_become_follower(core, fx,
					       synod_core_min(core->ballot, core->promised), 0);
	let_go(core, fx, slot);
	core->chosen_through = slot;
	core->applied = slot;
	core->known_chosen = synod_core_max(core->known_chosen, slot);
	core->accepted_through = synod_core_max(core->accepted_through, slot);
	core->slot_last = synod_core_max(core->slot_last, slot);
	core->need_through = synod_core_min(core->need_through, slot); /* this was the answer */
	synod_catchup_go_on(core);
	synod_follower_learn_announced(core, fx);
	synod_assert_cmp(core->chosen_through, >=, slot);
	/* A leader that repeats these slots to us is told that it need not. */
	synod_follower_on_durable(core);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the core share, and nobody else includes. The parts, by the flow of a slot:
 *
 *   core.c      init, recovery, the step: which handler takes which event, and the next deadline
 *   log.c       the ring of slots: claim, store (= one write), choose; what is durable
 *   election.c  canvass, phase 1 (prepare, promise) on both sides; becoming each role
 *   leader.c    phase 2 from the proposer: propose, count votes, repeat, give signs of life
 *   follower.c  phase 2 from the acceptor: accept, follow, answer with what is durable
 *   catchup.c   chosen slots from and for whoever lacks them
 *   install.c   a snapshot in the place of slots that nobody has any more
 *   handover.c  leadership that is given away: on request, or to a higher priority
 *   read.c      reads without a log write: a quorum confirms that we still lead
 *   join.c      who does not vote yet: a disk that is new, or may be an older copy
 */
#ifndef SYNOD_CORE_INTERNAL_H
#define SYNOD_CORE_INTERNAL_H

#include "engine/base/assert.h"
#include "engine/base/ballot.h"
#include "engine/base/random.h"
#include "engine/core/core.h"

#include <string.h>

/* Slots and rounds beyond these are taken for damage: no log gets there in a lifetime. */
#define SYNOD_CORE_SLOT_END	(UINT64_C(1) << 62)
#define SYNOD_CORE_ROUND_END	(UINT64_C(1) << 54)
/* Attempts to let a preferred voter lead: 64 election times apart, then 128 … so many times. */
#define SYNOD_CORE_PREFER_SHIFT 6

/* Bit of each replica that votes. */
static inline uint32_t synod_core_voters(const struct synod_core *core)
{
	return (2u << core->config.voters) - 2;
}

/* Of ourselves also: may we yet (I12)? */
static inline int synod_core_votes(const struct synod_core *core, uint32_t replica)
{
	return replica >= 1 && replica <= core->config.voters &&
	       (replica != core->config.replica || core->standing == SYNOD_STANDING_VOTES);
}

/* 1 if these replicas (bits) are a quorum of phase 2; it meets every quorum of phase 1 (I16). */
static inline int synod_core_is_quorum(const struct synod_core *core, uint32_t replicas)
{
	return (uint32_t)__builtin_popcount(replicas & synod_core_voters(core)) >=
	       core->config.quorum_accept;
}

static inline uint64_t synod_core_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t synod_core_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* log.c */

/* The slot if it is in memory (accepted, learned or found), or NULL. */
struct synod_core_slot *synod_log_at(struct synod_core *core, uint64_t slot);
/* 1 if the ring has, or can make, a place for the slot. */
int synod_log_has_room(const struct synod_core *core, uint64_t slot);
/* The slot's place, emptied of what was there before. Only where there is room. */
struct synod_core_slot *synod_log_claim(struct synod_core *core, struct synod_effects *fx,
					uint64_t slot);
/* Accepts (or learns, chosen = 1) a value: one write. The place's old value is released. */
void synod_log_store(struct synod_core *core, struct synod_effects *fx,
		     struct synod_core_slot *place, uint64_t ballot,
		     const struct synod_value *value, int chosen);
void synod_log_mark_chosen(struct synod_effects *fx, struct synod_core_slot *place);
/* Moves chosen_through over the chosen slots that follow it, and tells so in the effects. */
void synod_log_advance_chosen(struct synod_core *core, struct synod_effects *fx);
/* Moves accepted_through over slots that are durable at our ballot, or durable and chosen. */
int synod_log_advance_accepted(struct synod_core *core);
/* 1: this slot is durable here, at our ballot or as chosen. */
int synod_log_is_accepted(struct synod_core *core, uint64_t slot);
/* The highest slot up to which everything is chosen and durable here. */
uint64_t synod_log_durable_prefix(struct synod_core *core);
void synod_log_write_promise(struct synod_core *core, struct synod_effects *fx, uint64_t ballot);
/* The write that says that we vote from now on. Returns its ticket. */
uint64_t synod_log_write_standing(struct synod_core *core, struct synod_effects *fx);
void synod_log_release(struct synod_effects *fx, uint32_t handle);

/* core.c */

/* A zeroed message to a peer, appended to the sends. */
struct synod_message *synod_core_send(struct synod_core *core, struct synod_effects *fx,
				      unsigned int type, uint32_t to);
/* The same with the slot's value as its entry. */
struct synod_message *synod_core_send_slot(struct synod_core *core, struct synod_effects *fx,
					   unsigned int type, uint32_t to,
					   const struct synod_core_slot *place);
void synod_core_arm_election(struct synod_core *core);

/* election.c */

void synod_election_become_follower(struct synod_core *core, struct synod_effects *fx,
				    uint64_t ballot, uint32_t leader);
/* How many voters have a higher priority than this replica. */
uint32_t synod_election_rank(const struct synod_core *core);
/* Phase 1 without a canvass before it: from whoever led until now. */
void synod_election_succeed(struct synod_core *core, struct synod_effects *fx);
void synod_election_on_canvass(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message);
void synod_election_on_granted(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message);
void synod_election_on_prepare(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message);
int synod_election_on_promise(struct synod_core *core, struct synod_effects *fx,
			      const struct synod_message *message);
void synod_election_on_reject(struct synod_core *core, struct synod_effects *fx,
			      const struct synod_message *message);
void synod_election_on_durable(struct synod_core *core, struct synod_effects *fx);
void synod_election_on_tick(struct synod_core *core, struct synod_effects *fx);
/* The link to a replica is gone, as the transport believes. */
void synod_election_on_lost(struct synod_core *core, struct synod_effects *fx, uint64_t replica);

/* leader.c */

void synod_leader_begin(struct synod_core *core, struct synod_effects *fx);
void synod_leader_submit(struct synod_core *core, struct synod_effects *fx,
			 const struct synod_value *value);
void synod_leader_on_accepted(struct synod_core *core, struct synod_effects *fx,
			      const struct synod_message *message);
void synod_leader_on_durable(struct synod_core *core, struct synod_effects *fx);
/* A peer waits for the slots up to that one to be chosen, whatever is in them. */
void synod_leader_on_faulty(struct synod_core *core, uint64_t last);
/* A slot was learned while leading: never propose another value for it. */
void synod_leader_on_learned(struct synod_core *core, uint64_t slot);
void synod_leader_on_tick(struct synod_core *core, struct synod_effects *fx);
/* Re-proposes what phase 1 found, some slots of it: once a step, so that sends stay bounded. */
void synod_leader_pump(struct synod_core *core, struct synod_effects *fx);
uint64_t synod_leader_deadline(const struct synod_core *core);

/* follower.c */

/* A message of a ballot below our promise is answered with REJECT. */
void synod_follower_reject(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message);
/* The sender leads at a ballot that we may serve: serve it. */
void synod_follower_follow(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message);
int synod_follower_on_accept(struct synod_core *core, struct synod_effects *fx,
			     const struct synod_message *message);
int synod_follower_on_heartbeat(struct synod_core *core, struct synod_effects *fx,
				const struct synod_message *message);
void synod_follower_on_durable(struct synod_core *core);
/* Sends ACCEPTED if an answer is due. */
void synod_follower_answer(struct synod_core *core, struct synod_effects *fx);
/* Takes as chosen what the leader announced and we accepted at its ballot. */
void synod_follower_learn_announced(struct synod_core *core, struct synod_effects *fx);

/* handover.c */

void synod_handover_begin(struct synod_core *core, struct synod_effects *fx, uint64_t replica);
void synod_handover_reign(struct synod_core *core);
/* Says HANDOVER when the successor has all that we have; gives up in the end. */
void synod_handover_go_on(struct synod_core *core, struct synod_effects *fx);
void synod_handover_on_message(struct synod_core *core, struct synod_effects *fx,
			       const struct synod_message *message);
uint64_t synod_handover_deadline(const struct synod_core *core, uint64_t deadline);

/* read.c */

void synod_read_on_token(struct synod_core *core, uint64_t token);
int synod_read_on_confirm(struct synod_core *core, struct synod_effects *fx,
			  const struct synod_message *message);
int synod_read_on_confirmed(struct synod_core *core, struct synod_effects *fx,
			    const struct synod_message *message);
/* The end of every step: begins a round, repeats it, settles what can be. */
void synod_read_go_on(struct synod_core *core, struct synod_effects *fx);
uint64_t synod_read_deadline(const struct synod_core *core, uint64_t deadline);

/* catchup.c */

void synod_catchup_on_need(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message);
int synod_catchup_on_learn(struct synod_core *core, struct synod_effects *fx,
			   const struct synod_message *message);
/* Takes a value that someone knows to be chosen; its handle moves in. 0, or why it was dropped. */
int synod_catchup_learn(struct synod_core *core, struct synod_effects *fx,
			const struct synod_message *message);
/* What was asked for is here: the next question may follow, at the pace. */
void synod_catchup_go_on(struct synod_core *core);
/* Asks, or asks again, if a chosen slot is missing and it is time. */
void synod_catchup_maybe_ask(struct synod_core *core, struct synod_effects *fx);

/* join.c */

void synod_join_on_join(struct synod_core *core, struct synod_effects *fx,
			const struct synod_message *message);
int synod_join_on_joined(struct synod_core *core, const struct synod_message *message);
void synod_join_on_vouched(struct synod_core *core, struct synod_effects *fx);
/* The end of every step of who does not vote: asks, finishes, and says nothing that binds. */
void synod_join_go_on(struct synod_core *core, struct synod_effects *fx);
uint64_t synod_join_deadline(const struct synod_core *core, uint64_t deadline);

/* install.c */

/* All slots up to that one are in a snapshot that is durable and loaded here. */
void synod_install(struct synod_core *core, struct synod_effects *fx, uint64_t slot);

#endif

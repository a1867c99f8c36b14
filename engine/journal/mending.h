/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mending a corrupt journal from the other replicas while they serve (I13; engine/DESIGN.md, 18):
 * which slots are faulty, whom to ask for which of them next, and when that is over. Pure.
 *
 *     plan (what a start found) -> begin -> ask, learn, durable, ... -> DONE: start anew
 *
 * A faulty slot is one of which the journal cannot say what was accepted. Nothing that binds is
 * said by a replica that has any: it asks for their chosen values (NEED, marked FAULTY), writes
 * each as chosen, and once all are durable the journal says what it must again. A chosen value
 * stands for every vote for its slot. A question marked FAULTY is an answer too: who asks so has
 * no copy to give. Where all others lack a slot in the same way nobody can give it: HOPELESS.
 * Slots that the others have trimmed come as a snapshot, which stands for all up to its own.
 *
 * Between two questions there is a pace, and a question asks for a burst of slots at most: what
 * mending takes from those who serve is bounded.
 */
#ifndef SYNOD_JOURNAL_MENDING_H
#define SYNOD_JOURNAL_MENDING_H

#include "engine/journal/recovery.h"

enum {
	SYNOD_MENDING_SLOTS_MAX = 4096, /* with more `synod repair` is quicker, and is asked for */
	SYNOD_MENDING_BURST = 16,	/* slots in a question: as many as an answer has */
	SYNOD_MENDING_PACES = 16,	/* questions in a retransmission time, at most */
	SYNOD_MENDING_LINGER = 8,	/* rounds of questions before hope is given up */
};

/* May the journal be mended so? */
enum synod_mending_verdict {
	SYNOD_MENDING_POSSIBLE = 0,
	SYNOD_MENDING_SLOTS_UNKNOWN, /* what the corrupt groups held cannot be told */
	SYNOD_MENDING_END_LOST,	     /* nor where the log goes on */
	SYNOD_MENDING_TOO_MANY,
	SYNOD_MENDING_SNAPSHOT_FAULTY, /* nor what was executed: `synod repair` takes another */
};

enum synod_mending_state {
	SYNOD_MENDING_ASKS,
	SYNOD_MENDING_DONE,	/* every slot is durable: open the journal again */
	SYNOD_MENDING_HOPELESS, /* mending.hopeless is corrupt everywhere */
};

struct synod_mending_slot {
	uint64_t slot;
	uint32_t ticket; /* of the write of its chosen value; 0: that is not here */
	uint32_t from;	 /* who gave it */
	uint32_t faulty; /* bit of each other that lacks it as we do */
	uint32_t reserved;
};

struct synod_mending {
	uint32_t replica;
	uint32_t replicas;
	uint64_t retransmit_ns;
	uint64_t chosen_through; /* as the journal says; what is not faulty up to it is there */

	/* The question that is open: slots[run_begin, run_end), to peer. */
	uint64_t asked_ns;
	uint64_t ask_ns; /* the next one, not before this */
	uint32_t run_begin;
	uint32_t run_end;
	uint32_t peer;
	uint32_t tries; /* of this run, in vain */

	/* When all others lack one, each has to say so twice, and is told by us for a while. */
	uint64_t hopeless; /* the slot; 0: none */
	uint64_t hopeless_ns;
	uint32_t hopeless_rounds;

	/* A snapshot that is durable here stands for all slots up to this. */
	uint64_t covered_through;
	uint32_t covered; /* how many faulty slots it stands for, that have no ticket */
	uint32_t covered_from;

	uint32_t first_open; /* all before it have a value, or are covered */
	uint32_t taken;	     /* how many have a ticket; the last ticket */
	uint32_t repaired;   /* how many of the tickets are durable */
	uint32_t slots_count;
	struct synod_mending_slot slots[SYNOD_MENDING_SLOTS_MAX]; /* ascending */
	uint32_t order[SYNOD_MENDING_SLOTS_MAX]; /* ticket t is of slots[order[t - 1]] */
};

struct synod_mending_question {
	uint32_t to;
	uint32_t count;
	uint64_t slot;
};

/*
 * Of a journal that was found with faults: which slots are faulty. None: there is nothing to ask
 * for, what the corrupt groups held stands elsewhere.
 */
enum synod_mending_verdict synod_mending_plan(struct synod_mending *mending,
					      const struct synod_journal_recovery *recovery,
					      const struct synod_index *index);

/* retransmit_ns: after so long an answer is taken for lost, and another peer is asked. */
void synod_mending_begin(struct synod_mending *mending, uint32_t replica, uint32_t replicas,
			 uint64_t retransmit_ns, uint64_t now_ns);

/* Is a question due? Then it is to be sent, with SYNOD_FLAG_FAULTY. */
int synod_mending_ask(struct synod_mending *mending, uint64_t now_ns,
		      struct synod_mending_question *question);

/* When to call ask and state again. */
uint64_t synod_mending_deadline_ns(const struct synod_mending *mending);

/*
 * A chosen value came. Returns the ticket of its write as chosen, which is to be made (one more
 * than the last); 0: it is not wanted.
 */
uint32_t synod_mending_learn(struct synod_mending *mending, uint64_t slot, uint32_t from,
			     uint64_t now_ns);

/* A question came that was marked FAULTY: of these slots that peer has no copy. */
void synod_mending_lacks(struct synod_mending *mending, uint32_t from, uint64_t slot,
			 uint64_t count);

/* Every write up to that ticket is durable. */
void synod_mending_durable(struct synod_mending *mending, uint64_t ticket);

/* A snapshot up to that slot, from that peer, is durable. Slots that it stands for are repaired. */
void synod_mending_cover(struct synod_mending *mending, uint64_t slot, uint32_t from);

/* A snapshot is wanted if it goes beyond this. UINT64_MAX: nothing is lacked any more. */
uint64_t synod_mending_has_through(const struct synod_mending *mending);

enum synod_mending_state synod_mending_state(struct synod_mending *mending, uint64_t now_ns);

/* May a peer be told what the journal has of this slot, as chosen? */
int synod_mending_vouches(const struct synod_mending *mending, uint64_t slot);

/* The nth slot that was repaired, from 0: what is told of it here never changes again. */
const struct synod_mending_slot *synod_mending_repaired(const struct synod_mending *mending,
							uint32_t nth);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The protocol: Multi-Paxos for one replica, as a value.
 *
 * Events go in, effects come out. A step cannot fail, cannot stop half way, makes no call out,
 * reads no clock and allocates nothing. The state is one flat struct without pointers: it may be
 * copied, compared and hashed, so the simulator and the model checker run this very code.
 *
 * Every send in the effects may leave at once. The core emits no message whose truth depends on a
 * write that it has not been told is durable; whoever carries out the effects needs to know nothing
 * of the protocol. (engine/DESIGN.md, "What must be durable before what may leave".)
 *
 * Values are handles. An event moves one in (the core then holds it), `released` moves it out, each
 * exactly once. Sends, writes and the chosen range name handles that the core still holds when the
 * step returns, or that are in `released` of the same step: carry the effects out in the order
 * sends, writes, chosen, released.
 *
 * Who may call: one thread. Nothing here blocks.
 */
#ifndef SYNOD_CORE_CORE_H
#define SYNOD_CORE_CORE_H

#include "engine/base/limits.h"
#include "engine/base/value.h"
#include "engine/wire/wire.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SYNOD_CORE_SENDS_MAX = 192,
	SYNOD_CORE_WRITES_MAX = 40,
	SYNOD_CORE_READS_MAX = 32,
	/* Of an ordinary step; INSTALLED lets a window of places go, of two handles each. */
	SYNOD_CORE_RELEASED_MAX = 2 * SYNOD_WINDOW_SLOTS + 48,
	SYNOD_CORE_PUMP_SLOTS = 16,    /* slots (re-)proposed in one step, at most */
	SYNOD_CORE_PROMISE_BURST = 16, /* PROMISE parts in one answer */
	SYNOD_CORE_LEARN_BURST = 16,   /* LEARNs in one answer */
	SYNOD_CORE_RESEND_BURST = 8,   /* ACCEPTs repeated to one follower at once */
};

/*
 * A message, decoded and verified. Which member means what:
 *
 *  type             ballot      slot              argument               value
 *  CANVASS          it would    candidate's first promised so far        -
 *                   prepare     slot not chosen
 *  CANVASS_GRANTED  as asked    -                 voter's promised       -
 *  PREPARE          b           first slot asked  -                      -
 *  PROMISE          b           first slot told   last slot told         accepted (entry), or none
 *                   The part says all there is in slots first..last; UINT64_MAX: to the end.
 *  ACCEPT           b           s                 sequence               proposed at b
 *  ACCEPTED         b           durable through   bitmap: bit i is slot  -
 *                                                 through + 1 + i
 *  REJECT           refused b   -                 promised ballot        -
 *  HEARTBEAT        b           last proposed     sequence               -
 *  NEED             known b     first slot        how many               -
 *                   flag FAULTY: the sender's copies are corrupt; slots may be unchosen
 *  LEARN            chosen at   s                 -                      chosen value
 *  HANDOVER         b           last chosen       -                      -
 *  CONFIRM          b           -                 round of reads         -
 *  CONFIRMED        b           -                 as asked               -
 *  JOIN             -           -                 own incarnation        -
 *  JOINED           promised    last slot of      as asked               -
 *                               which it has any; flag VOTER: it votes itself
 *
 * chosen_through travels on all of them: every slot up to it is chosen, as the sender knows.
 */
struct synod_message {
	uint8_t type; /* enum synod_wire_type, a replica type */
	uint8_t from; /* replica 1..n */
	uint8_t to;
	uint8_t has_value;
	uint32_t flags; /* SYNOD_FLAG_MORE, _BEHIND, _VOTER, _FAULTY */
	uint64_t ballot;
	uint64_t slot;
	uint64_t chosen_through;
	uint64_t argument;
	/* Of the entry, when has_value. */
	uint64_t value_slot;
	uint64_t value_ballot;
	uint32_t value_flags; /* SYNOD_ENTRY_CHOSEN */
	uint32_t reserved;
	struct synod_value value;
};

enum synod_event_kind {
	SYNOD_EVENT_MESSAGE,
	SYNOD_EVENT_SUBMIT,  /* value: a batch gathered here; call only if synod_core_can_submit */
	SYNOD_EVENT_DURABLE, /* ticket: every write up to it is durable */
	SYNOD_EVENT_APPLIED, /* slot: every slot up to it has been executed here */
	SYNOD_EVENT_TICK,    /* the deadline came */
	/* replica: the leader is to hand over to it (0: to whoever is nearest to being able). */
	SYNOD_EVENT_HANDOVER,
	SYNOD_EVENT_READ, /* token: reads numbered up to it wait to be told when to be served */
	/*
	 * slot, not below what was APPLIED: every slot up to it is chosen, durable here in a
	 * snapshot, and executed, as the snapshot was loaded. They are not told as chosen any more.
	 */
	SYNOD_EVENT_INSTALLED,
	/* Peers know of no newer disk of this replica: see enum synod_standing, MUTE. */
	SYNOD_EVENT_VOUCHED,
	/*
	 * replica: the transport has just lost its link to it. A hint, which may be wrong: whoever
	 * follows it looks for another leader at once instead of after a silence.
	 */
	SYNOD_EVENT_LOST,
};

struct synod_event {
	enum synod_event_kind kind;
	uint32_t reserved;
	uint64_t now_ns; /* monotonic; never goes back */
	union {
		const struct synod_message *message;
		struct synod_value value;
		uint64_t ticket;
		uint64_t slot;
		uint64_t replica;
		uint64_t token;
	};
};

enum synod_write_of {
	SYNOD_WRITE_OF_SLOT,
	SYNOD_WRITE_OF_PROMISE,
	SYNOD_WRITE_OF_STANDING, /* once durable, this replica votes */
};

struct synod_core_write {
	uint64_t ticket; /* one more than the write before */
	uint32_t kind;	 /* enum synod_write_of */
	uint32_t chosen; /* SLOT: the value is known to be chosen */
	uint64_t slot;
	uint64_t ballot; /* SLOT: accepted at; PROMISE: promised */
	uint64_t chosen_through;
	struct synod_value value;
};

/* A chosen slot that a peer lacks and that is no longer in memory: read it back, send a LEARN. */
struct synod_core_read {
	uint32_t to;
	uint32_t reserved;
	uint64_t slot;
};

struct synod_effects {
	uint32_t sends_count;
	uint32_t writes_count;
	uint32_t reads_count;
	uint32_t released_count;
	/* Slots that became chosen in order, to be executed: first..last, none if first > last. */
	uint64_t chosen_first;
	uint64_t chosen_last;
	/*
	 * SUBMIT: the value was not taken (it is in released too). HANDOVER: it was not begun.
	 * enum synod_status, or 0.
	 */
	uint32_t refused;
	uint32_t dropped;     /* MESSAGE only: 0, or the counter (enum synod_counter) of why */
	uint64_t deadline_ns; /* call with TICK at or after this */
	uint32_t counts[7];   /* by enum synod_count_of: in this step */
	/*
	 * Reads up to this token are settled; 0: none in this step. With read_status 0 they may be
	 * served once read_slot is applied here; else (NOT_LEADER) they are refused.
	 */
	uint64_t read_through;
	uint64_t read_slot;
	uint32_t read_status;
	uint32_t reserved;
	struct synod_message sends[SYNOD_CORE_SENDS_MAX];
	struct synod_core_write writes[SYNOD_CORE_WRITES_MAX];
	struct synod_core_read reads[SYNOD_CORE_READS_MAX];
	uint32_t released[SYNOD_CORE_RELEASED_MAX];
};

enum synod_count_of {
	SYNOD_COUNT_ELECTIONS,
	SYNOD_COUNT_STEP_DOWNS,
	SYNOD_COUNT_RETRANSMITS,
	SYNOD_COUNT_REPAIRS,
	SYNOD_COUNT_HANDOVERS,
	SYNOD_COUNT_READ_ROUNDS,
	SYNOD_COUNT_LEADERS_LOST,
};

struct synod_core_config {
	uint32_t replica;  /* 1..replicas */
	uint32_t replicas; /* all of them, at most SYNOD_REPLICAS_MAX */
	/*
	 * 1..voters vote; whoever has a higher id learns, answers and never votes or leads. A
	 * phase 1 needs quorum_prepare of the voters, a phase 2 quorum_accept; any of the one must
	 * meet any of the other: quorum_prepare + quorum_accept > voters (I16). 0: all vote; more
	 * than half.
	 */
	uint32_t voters;
	uint32_t quorum_prepare;
	uint32_t quorum_accept;
	uint32_t reserved;
	/* By id, of all alike: who has a higher one is to lead when it can. All 0: nobody is. */
	uint8_t priorities[SYNOD_REPLICAS_MAX + 1];
	uint64_t seed;
	uint64_t election_ns;	 /* a follower waits this to twice this for a leader's sign */
	uint64_t heartbeat_ns;	 /* a quiet leader gives a sign this often */
	uint64_t retransmit_ns;	 /* an unanswered message is repeated after this */
	uint32_t window;	 /* slots in memory: a power of two, 16..SYNOD_WINDOW_SLOTS */
	uint32_t inflight;	 /* slots proposed and not chosen, at most window / 2 */
	uint64_t inflight_bytes; /* and bytes of them; one batch may go beyond. 0: any number */
};

/* One slot of the suffix, or of the retained past, as recovery found it. */
struct synod_core_recovered {
	uint64_t slot;
	uint64_t ballot;
	uint32_t chosen;
	uint32_t reserved;
	struct synod_value value;
};

/*
 * May this replica vote (I12)? Who does not yet follows, stores and learns, and says nothing that
 * binds: no grant, promise, vote or confirmation; nor does it want to lead.
 */
enum synod_standing {
	SYNOD_STANDING_VOTES = 0,
	/* Its disk may be an older copy of itself: mute until VOUCHED comes, and a write that says
	 * that it voted in this life is durable. */
	SYNOD_STANDING_MUTE,
	/* Its disk is new, in place of a lost one: it asks the others (JOIN) until it has all that
	 * they may have counted of that one. */
	SYNOD_STANDING_JOINING,
	/* Its journal is being mended: no core runs. Only told, of a replica (pipeline). */
	SYNOD_STANDING_MENDING,
};

/*
 * Members are grouped by what a crash does to them. I3, I4: what is durable is only what the ticket
 * says is durable.
 */
struct synod_core_slot {
	uint64_t slot;	  /* which one is here; 0: none */
	uint64_t ballot;  /* accepted at (or chosen at, if learned); 0: not accepted, only found */
	uint64_t ticket;  /* of the write that says so */
	uint64_t sent_ns; /* leader: when last proposed */
	struct synod_value value;
	/* Phase 1, candidate only: the best that promises told of this slot. */
	uint64_t found_ballot;
	struct synod_value found;
	uint8_t votes; /* leader: bit of each replica that accepted at the leader's ballot */
	uint8_t chosen;
	uint8_t has_found;
	/* Phase 1, of the place whatever slot is in it: bit of each peer that told all there is of
	 * the slot between its promised_through and a window further that belongs here. */
	uint8_t told;
	uint8_t reserved[4];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct synod_core_slot) == 80, "no padding: the state is hashed");
#endif

struct synod_core_peer {
	uint64_t contact_ns;	   /* last message of the present role */
	uint64_t accepted_through; /* leader: durable at our ballot, or chosen, through */
	uint64_t chosen_through;   /* as it last said */
	uint64_t resend_ns;	   /* leader: not before this */
	uint64_t promised_through; /* candidate: it told all slots from first up to here */
	uint64_t promised_end;	/* candidate: it has nothing from this slot on; 0: not yet told */
	uint64_t promised_more; /* candidate: when it told up to here, ask on; 0: no */
	uint64_t
		owed_slot; /* we owe it a PROMISE from this slot once our write is durable; 0: no */
	uint64_t owed_ballot;
	uint64_t learn_ns; /* we sent it LEARNs; not again before this, for the same slots */
	uint64_t learn_slot;
	uint64_t learn_ns_next; /* and not before this for any */
	uint8_t granted;
	uint8_t promised; /* its promise is complete */
	uint8_t reserved[6];
};

#ifndef __cplusplus
_Static_assert(sizeof(struct synod_core_peer) == 104, "no padding: the state is hashed");
#endif

struct synod_core {
	struct synod_core_config config;
	uint64_t random;

	/* Durable once ticket_promised is. */
	uint64_t promised;
	uint64_t ticket_promised;

	/* The writes. */
	uint64_t ticket_last;
	uint64_t ticket_durable;

	/* The log. */
	uint64_t chosen_through;
	uint64_t applied;
	uint64_t slot_last;	    /* highest slot accepted or learned here */
	uint64_t accepted_through;  /* follower: all to here durable at `ballot`, or chosen */
	uint64_t announced_through; /* follower: the leader's chosen_through at `ballot` */
	uint64_t known_chosen;	    /* the highest chosen_through heard of */

	/* The role. */
	uint32_t role;		 /* enum synod_role_id */
	uint32_t leader;	 /* as known; 0: none */
	uint64_t ballot;	 /* the one we lead or follow; a candidate's own */
	uint64_t ballot_highest; /* seen anywhere */
	uint64_t ballot_before;	 /* candidate, leader: the highest seen before its own */
	uint64_t now_ns;
	uint64_t election_deadline_ns;
	uint64_t leader_contact_ns;
	uint64_t heartbeat_ns_next;
	uint64_t retry_deadline_ns; /* canvasser, candidate: repeat */
	uint64_t canvass_wait_ns;   /* after a hint: a canvass is soon repeated; else 0 */
	uint64_t need_deadline_ns;  /* catch-up: ask again */
	uint64_t need_asked_ns;	    /* catch-up: when we asked last */
	uint64_t need_through;	    /* catch-up: asked for up to here */
	uint32_t need_peer;	    /* catch-up: whom we asked last */
	uint32_t answer_owed;	    /* follower: ACCEPTED is due though nothing became durable */
	uint64_t announced_sent;    /* leader: the chosen_through that followers were told */
	uint64_t phase1_first;	    /* candidate: first slot asked for */
	uint64_t phase1_last;	    /* leader: highest slot that phase 1 found */
	uint64_t propose_next;	    /* leader: next slot to propose */
	uint64_t bytes_inflight; /* leader: of the values at chosen_through < slot < propose_next */
	uint64_t sequence;

	/* Handing over: leader only. */
	uint64_t handover_deadline_ns; /* given up at this */
	uint64_t handover_ns_next;     /* HANDOVER is said again at this */
	uint64_t prefer_ns;	       /* not before this to whoever has a higher priority */
	uint64_t prefer_tries;	       /* of those, lately */
	uint32_t handover_to;	       /* 0: to nobody */

	/* Reads: leader only. A round asks a quorum whether we still lead; one round at a time. */
	uint32_t read_confirmed; /* bit of each voter that confirmed the round */
	uint64_t read_round;	 /* its number */
	uint64_t read_last;	 /* the highest token that we were told of */
	uint64_t read_asked;	 /* the highest that the round speaks for */
	uint64_t read_done;	 /* the highest that is settled */
	uint64_t read_slot;	 /* what the round's reads must see */
	uint64_t read_ns_next;	 /* CONFIRM is said again at this */

	/* Not voting yet: join.c. */
	uint32_t standing;	  /* enum synod_standing */
	uint32_t join_answered;	  /* joining: bit of each other voter that answered */
	uint32_t join_voting;	  /* of those, who vote themselves */
	uint32_t join_reserved;	  /* 0 */
	uint64_t incarnation;	  /* of our disk: says which answers are for us */
	uint64_t join_promised;	  /* the highest promise that an answer told of */
	uint64_t join_slot;	  /* and the highest slot */
	uint64_t join_ns_next;	  /* JOIN is said again at this */
	uint64_t ticket_standing; /* of the write that ends it; 0: not yet written */

	struct synod_core_peer peers[SYNOD_REPLICAS_MAX + 1]; /* by id; [0] is unused */
	struct synod_core_slot slots[SYNOD_WINDOW_SLOTS];     /* slot s at s & (window - 1) */
};

/* Starts a replica that has never run, or one that recovered (before the first step). */
void synod_core_init(struct synod_core *core, const struct synod_core_config *config,
		     uint64_t now_ns);

/*
 * Tells what the journal kept: the promised ballot (at least that of every value ever accepted,
 * though its record be superseded: accepting binds as promising does), and how far the log is known
 * to be chosen (and was executed, from a snapshot or slot by slot: a snapshot's slots need no
 * records). Then each record beyond (and, if wanted, some before: they serve slow peers), in slot
 * order, each slot once. The values' handles move in.
 */
void synod_core_recover(struct synod_core *core, uint64_t promised, uint64_t chosen_through);
void synod_core_recover_slot(struct synod_core *core, const struct synod_core_recovered *slot);

/*
 * Says, after recovery and before the first step, that this replica does not vote yet. Who is not
 * told so votes. incarnation: of its disk; what was answered to another is not heeded.
 */
void synod_core_stand(struct synod_core *core, enum synod_standing standing, uint64_t incarnation);

/*
 * One step. Everything in effects is set; no part of it is kept. Never call it without room for a
 * full effects struct's worth of sends and writes.
 */
void synod_core_step(struct synod_core *core, const struct synod_event *event,
		     struct synod_effects *effects);

/* How many batches a SUBMIT each would be taken now. 0 when not leading. */
uint32_t synod_core_can_submit(const struct synod_core *core);

/* The value of a slot that is in the chosen range of a step and not yet told as APPLIED. */
const struct synod_value *synod_core_value(const struct synod_core *core, uint64_t slot);

/* Of a leader: voters heard from lately, itself included. Otherwise 0. */
uint32_t synod_core_voters_in_contact(const struct synod_core *core);

/* 1 if the quorums fit the voters (I16); for whoever reads a configuration. */
int synod_core_quorums_meet(uint32_t voters, uint32_t quorum_prepare, uint32_t quorum_accept);

/* A hash of the whole state (equal states, equal hashes). */
uint64_t synod_core_hash(const struct synod_core *core);

#ifdef __cplusplus
}
#endif

#endif

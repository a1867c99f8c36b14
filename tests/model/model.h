/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An explicit-state model checker over the compiled core that ships: every state that a small
 * cluster can reach within stated bounds, in every order of events, is visited once and judged.
 * engine/DESIGN.md, section 14, says what is bounded, what is abstracted, and what that hides.
 *
 * A state of the cluster is
 *
 *   for each replica  its core, its durable records, its writes under way, what it did so far (how
 *                     often it canvassed, crashed, submitted)
 *   the network       the set of all messages ever sent: each may be delivered any number of times,
 *                     in any order, or never. That is loss, duplication and reordering at once.
 *                     (With duplicate = 0 a delivered message leaves the set.)
 *   what happened     facts for the judge: who proposed what, who voted for it durably
 *
 * and is kept as three numbers of replica states and a set of numbers of messages and facts
 * ("items"): replica states and items are interned, that is, equal ones have one number.
 *
 * The core is a function of (replica state, event), so each pair is carried out once, by the real
 * synod_core_step, and remembered: an *outcome* is the next replica state, the items added, and the
 * *claims* that only the state of the whole cluster can judge ("slot 2 is chosen"). Searching is
 * then a walk over tables (search.c), and every replica state is judged by itself only once.
 *
 *   pack.c      replica state <-> bytes, and what is abstracted in between
 *   step.c      one event through the core, guarded (guard.c), its effects judged (judge.c)
 *   actions.c   what may happen next to a replica, and the outcomes of it
 *   alive.c     which messages can still matter: the others do not tell states apart
 *   items.c     messages and facts; what holds of the whole cluster: I1, I2, I6, I8
 *   search.c    depth-first, every state once, by 64-bit fingerprint
 *   trace.c     a violation in words, made shorter first
 *   options.c   the bounds;  main.c  the program;  table.c  hash tables
 */
#ifndef SYNOD_TESTS_MODEL_MODEL_H
#define SYNOD_TESTS_MODEL_MODEL_H

#include "engine/base/assert.h"
#include "engine/base/ballot.h"
#include "engine/core/core.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	MODEL_REPLICAS_MAX = 5,
	MODEL_PLACES = 16, /* the smallest window that the core takes */
	MODEL_SLOTS_MAX = 8,
	MODEL_SUBMITS_MAX = 8,
	MODEL_READS_MAX = 4,
	MODEL_PENDING_MAX = 24, /* writes under way at one replica */
	MODEL_HANDLES = 2 * MODEL_PLACES + 2,
	MODEL_HANDLE_NEW = 2 * MODEL_PLACES + 1, /* of the value that an event brings */
	MODEL_BALLOTS_MAX = 250,
	MODEL_SENT_MAX = 1024, /* items of one outcome */
	MODEL_CLAIMS_MAX = 256,
	MODEL_TEXT = 512,
};

/* Every bound is an option of the same name (options.c), and a member of the JSON. */
struct model_bounds {
	uint64_t replicas;
	uint64_t voters;  /* 1..voters; whoever has a higher id only learns */
	uint64_t prepare; /* quorum of phase 1 */
	uint64_t accept;  /* quorum of phase 2 */
	uint64_t leaders; /* replicas 1..leaders may want to lead */
	uint64_t submitters;
	uint64_t inflight;
	uint64_t slots; /* no value is submitted beyond */
	/* Of all replicas together: */
	uint64_t submits;
	uint64_t elections;
	uint64_t crashes;
	uint64_t handovers;
	uint64_t reads;
	uint64_t canvass;
	uint64_t duplicate;
	uint64_t holes;
	uint64_t forget;
	uint64_t repeats;
	uint64_t stepdowns;
	uint64_t overlap;
	uint64_t heartbeats;
	uint64_t rejects;
	uint64_t catchup;
	uint64_t hints;
};

struct model_record {
	uint64_t ballot; /* 0: none */
	uint32_t content;
	uint32_t chosen;
};

struct model_write {
	uint64_t ballot;
	uint64_t slot;
	uint64_t chosen_through;
	uint32_t content;
	uint16_t kind; /* enum synod_write_of */
	uint16_t chosen;
};

/* What a crash keeps: the first members and the records; of what is pending, some. */
struct model_disk {
	uint64_t promised;
	uint64_t accepted_max; /* accepting binds as promising does */
	uint64_t hint;	       /* chosen through, as durable writes said */
	uint64_t pending_count;
	struct model_record records[MODEL_PLACES]; /* by slot */
	struct model_write pending[MODEL_PENDING_MAX];
};

/* What a replica did so far: the bounds count it, and the judge remembers it. */
struct model_past {
	uint32_t id;
	uint32_t crashes;
	uint32_t elections;
	uint32_t submits;
	uint32_t handovers;
	uint32_t reads;
	uint32_t promised_by; /* bits of who promised what it is a candidate for, as it heard */
	uint32_t reserved;
	uint64_t promised_ballot;
	uint64_t chosen_told;	/* to be executed through, in this life */
	uint64_t ballot_used;	/* the highest of its own that left, in this life */
	uint64_t ballot_former; /* in earlier lives */
};

/* A replica, unpacked. The core is last: only its head and MODEL_PLACES slots are ever touched. */
struct model_replica {
	struct model_past past;
	struct model_disk disk;
	uint32_t contents[MODEL_HANDLES]; /* what each handle stands for */
	uint8_t live[MODEL_HANDLES];
	struct synod_core core;
};

enum model_item_kind {
	MODEL_MESSAGE,	/* sent to `replica` */
	MODEL_PROPOSED, /* (ballot, slot) has this content */
	MODEL_VOTE,	/* `replica` has it durably */
	MODEL_TOLD,	/* somebody executes through the slot: it may have been acknowledged */
	MODEL_ASKED	/* read number `content` of `replica` must see through the slot */
};

struct model_item {
	uint32_t kind;
	uint32_t replica;
	uint32_t content;
	uint32_t reserved;
	uint64_t ballot;
	uint64_t slot;
	struct synod_message message;
};

enum model_claim_kind {
	MODEL_CLAIM_CHOSEN,  /* this content is chosen at the slot */
	MODEL_CLAIM_THROUGH, /* every slot up to this one is chosen */
	MODEL_CLAIM_SERVES   /* reads up to number `content` may be served at the slot */
};

struct model_claim {
	uint32_t kind;
	uint32_t content;
	uint64_t slot;
	uint64_t at; /* made after so many of the outcome's items */
};

enum model_action_kind {
	MODEL_DELIVER, /* argument: item; variant 1: so late that every timer has run out */
	MODEL_DURABLE, /* argument: how many writes */
	MODEL_SUBMIT,
	MODEL_TIMEOUT,	/* nothing was heard for long */
	MODEL_ASK,	/* the timer of catch-up */
	MODEL_REPEAT,	/* the timers that repeat what is unanswered, and signs of life */
	MODEL_HANDOVER, /* argument: to whom */
	MODEL_LAPSE,	/* a handover took too long */
	MODEL_READ,	/* a linearizable read is asked for */
	MODEL_HINT, /* the transport says that the leader's link is gone, whether it is or not */
	MODEL_CRASH /* and restart; argument: bit of each pending write that is kept;
			* variant 1: no chosen slot is kept in memory */
};

/* With overlap = 0 an action ends with what becomes of its writes. */
enum {
	MODEL_AFTER_NOTHING,
	MODEL_AFTER_DURABLE,
	MODEL_AFTER_CRASH /* and restart; + bit of each write that is kept */
};

struct model_action {
	uint8_t replica;
	uint8_t kind;
	uint8_t variant;
	uint8_t after;
	uint32_t argument;
};

struct model_outcome {
	struct model_action action;
	uint32_t next;	/* another outcome of the same list; 0: none */
	uint32_t local; /* the replica's next state */
	/* 1: one more of these, which are bounded for all replicas together; its own, after it. */
	uint8_t counts;
	uint8_t crashes, elections, submits, handovers, reads;
	uint32_t items_count;
	uint32_t claims_count;
	const uint32_t *items;
	const struct model_claim *claims;
	const char *fault; /* what the judge said, or NULL */
};

/* table.c: interned byte strings, numbered from 1. */
struct model_strings {
	uint8_t *bytes;
	size_t bytes_size, bytes_capacity;
	uint64_t *offsets; /* by number; the string ends where the next begins */
	uint32_t count, capacity;
	uint32_t *slots; /* open addressing; 0: free */
	uint32_t slots_capacity;
};

/* table.c: 64-bit keys, with or without a 32-bit value. Key 0 is not allowed. */
struct model_map {
	uint64_t *keys;
	uint32_t *values; /* NULL: a set */
	uint64_t count, capacity;
};

/* items.c: the part of a state that all replicas share, changed in place and undone. */
struct model_undo {
	uint32_t item;
	uint16_t what;
	uint16_t chosen; /* what chosen[slot] was */
	uint64_t chosen_ballot;
	uint64_t told;
};

struct model_inbox {
	uint32_t *items;
	uint32_t count, capacity;
};

struct model_world {
	uint32_t locals[MODEL_REPLICAS_MAX + 1];
	uint64_t fingerprint;			/* of replica states and facts */
	uint64_t alive[MODEL_REPLICAS_MAX + 1]; /* of living messages, by receiver */
	uint8_t *present;			/* by item: 1: in the set; 2: in the inbox */
	uint32_t present_capacity;
	struct model_inbox inbox[MODEL_REPLICAS_MAX + 1];
	struct model_undo *undo;
	uint32_t undo_count, undo_capacity;
	/* Derived from the facts: content + 1, or 0; masks of replicas. */
	uint16_t proposals[MODEL_PLACES][MODEL_BALLOTS_MAX];
	uint8_t votes[MODEL_PLACES][MODEL_BALLOTS_MAX];
	uint16_t chosen[MODEL_PLACES];
	uint64_t chosen_ballot[MODEL_PLACES]; /* the lowest it was chosen at */
	uint64_t told;			      /* somebody executes through it */
	uint8_t floors[MODEL_REPLICAS_MAX + 1][MODEL_READS_MAX + 1]; /* slot + 1, by read */
};

struct model_flags {
	uint8_t *set;
	uint32_t capacity;
};

/* alive.c: by replica state, bit of each item that may still do something there. */
struct model_alive {
	uint64_t *bits;
	/* The bits are worked out for these replica states and items. */
	uint8_t *known_locals, *known_items;
	uint32_t locals, items;
	/* Some search was at this replica state, and saw this item sent. */
	struct model_flags reached, seen;
};

/* Memory of outcomes. */
struct model_piece {
	struct model_piece *next;
	size_t used, left;
	_Alignas(16) uint8_t bytes[];
};

struct model_totals {
	uint64_t states;
	uint64_t transitions;
	uint64_t steps; /* of the core */
	uint64_t depth_max;
	uint32_t searches; /* until no message was wrongly taken for dead */
	uint32_t exhaustive;
	uint32_t violations;
	double seconds;
};

struct model {
	struct model_bounds bounds;
	uint64_t states_max;
	FILE *tell; /* a step in words goes here, or nowhere */
	FILE *progress;

	struct model_strings locals;
	struct model_strings items;
	struct model_map outcomes; /* (local, item) -> first outcome */
	struct model_outcome *outcome;
	uint32_t outcomes_count, outcomes_capacity;
	struct model_piece *pieces;
	uint64_t ballots[MODEL_BALLOTS_MAX];
	uint32_t ballots_count;

	/* The step under way (step.c). */
	struct model_replica replica;
	struct synod_effects fx;
	uint32_t sends_content[SYNOD_CORE_SENDS_MAX];
	uint32_t sent[MODEL_SENT_MAX];
	uint32_t sent_count;
	struct model_claim claims[MODEL_CLAIMS_MAX];
	uint32_t claims_count;
	char fault[MODEL_TEXT]; /* "": none */

	struct model_world world;
	struct model_alive alive;
	struct model_totals totals;
	struct model_action *trace;
	uint32_t trace_count, trace_capacity;
	char violation[MODEL_TEXT];
};

/* Reads the bounds into the model; 0, or the exit status after it has said what is wrong. */
struct model_options {
	const char *json;
	int quiet;
	int quick;
	int bounded; /* some bound was given */
};
int model_options_read(struct model *model, struct model_options *options, int argc, char **argv,
		       int *done);
/* The bounds of the quick search of this number, from 0; 0: there is none. */
int model_options_quick(struct model_bounds *bounds, uint32_t number);
/* Calls back with each bound's name, value and meaning. */
void model_options_each(const struct model_bounds *bounds,
			void (*each)(void *context, const char *name, uint64_t value,
				     const char *what),
			void *context);

/* table.c */
void *model_grow(void *old, size_t count, size_t size);
uint64_t model_mix(uint64_t value);
/* The number of the string; a new one if it was not there. */
uint32_t model_strings_intern(struct model_strings *strings, const void *bytes, size_t size);
const void *model_strings_at(const struct model_strings *strings, uint32_t number, size_t *size);
/* 1: the key is new. */
int model_map_add(struct model_map *map, uint64_t key);
/* The place of the key's value, 0 at first. Good until the next call. */
uint32_t *model_map_at(struct model_map *map, uint64_t key);

/* guard.c: 0, or the text of what went wrong inside the core (an assertion, a signal, a hang). */
const char *model_guard_step(struct synod_core *core, const struct synod_event *event,
			     struct synod_effects *fx);
/* The same around recovery. */
const char *model_guard_call(void (*call)(void *context), void *context);
void model_guard_begin(void);

/* pack.c */
extern const uint64_t model_now_ns;   /* the time that it always is */
extern const uint64_t model_later_ns; /* when every timer has run out */
void model_pack_canonical(struct model *model);
uint32_t model_pack(struct model *model);
void model_unpack(struct model *model, uint32_t local);
const struct model_past *model_past_at(const struct model *model, uint32_t local);
void model_timers_ask(struct synod_core *core);
void model_timers_repeat(struct synod_core *core);
void model_timers_lapse(struct synod_core *core);

/* step.c: on model->replica. 0: held so far; otherwise model->fault says what did not. */
int model_step(struct model *model, const struct synod_event *event);
int model_step_message(struct model *model, const struct synod_message *message, uint32_t content,
		       uint64_t now_ns);
int model_restart(struct model *model, uint32_t kept, int forget);
int model_durable(struct model *model, uint32_t count);
void model_birth(struct model *model, uint32_t id);
struct synod_value model_value(uint32_t content, uint32_t handle);
void model_record_put(struct model_record *record, const struct model_write *write);
__attribute__((format(printf, 2, 3))) void model_fault(struct model *model, const char *format,
						       ...);
__attribute__((format(printf, 2, 3))) void model_tell(struct model *model, const char *format, ...);

/* judge.c: what can be judged of one replica alone: I3, I4 and the contract of core.h. */
void model_judge_send(struct model *model, const struct synod_message *message, uint32_t content);
void model_judge_write(struct model *model, const struct synod_core_write *write, uint32_t content);
void model_judge_recovered(struct model *model);
void model_judge_received(struct model *model, const struct synod_message *message);
void model_claim(struct model *model, uint32_t kind, uint64_t slot, uint32_t content);

/* actions.c */
enum {
	MODEL_NOTHING = INT32_MAX, /* no outcome: nothing would change */
	MODEL_NO_ITEM = 0
};
/* The first outcome of delivering the item, or of all else that may happen (MODEL_NO_ITEM). */
uint32_t model_outcomes(struct model *model, uint32_t local, uint32_t item);
/* 1: the outcome would take all replicas together beyond a bound. */
int model_is_beyond(const struct model *model, const struct model_outcome *outcome);
/* Carries the action out in words, to model->tell. */
void model_describe(struct model *model, uint32_t local, const struct model_action *action);

/* items.c */
uint32_t model_item_intern(struct model *model, const struct model_item *item);
const struct model_item *model_item_at(const struct model *model, uint32_t item);
void model_send(struct model *model, const struct synod_message *message, uint32_t content);
void model_fact(struct model *model, uint32_t kind, uint32_t replica, uint64_t ballot,
		uint64_t slot, uint32_t content);
void model_world_begin(struct model *model);
/* Carries the outcome out; 0, or 1 with model->violation set. Undone in any case by _undo. */
int model_world_apply(struct model *model, const struct model_outcome *outcome);
struct model_mark {
	uint32_t undo_count;
	uint32_t locals[MODEL_REPLICAS_MAX + 1];
	uint64_t fingerprint;
	uint64_t alive[MODEL_REPLICAS_MAX + 1];
};
struct model_mark model_world_mark(const struct model *model);
void model_world_undo(struct model *model, const struct model_mark *mark);
/* Never 0. */
uint64_t model_world_fingerprint(const struct model *model);

/* alive.c */
/* 0: the message can never again do anything at this replica. */
int model_is_alive(struct model *model, uint32_t local, uint32_t item);
/* The search was at this replica state; it saw this item sent. */
void model_reach(struct model *model, uint32_t local);
void model_see(struct model *model, uint32_t item);
/* After a search: works out what is alive; 1 if the search had it right. */
int model_alive_update(struct model *model);
const char *model_content_name(uint32_t content);
uint32_t model_voters(const struct model *model); /* bit of each */

/* search.c: 0: the bounds hold; 1: a violation, and model->trace leads there. */
int model_search(struct model *model);
/* Gives back what it took; the next search of another begins anew. */
void model_end(struct model *model);

/* trace.c */
/* Leaves out what is not needed for a violation. */
void model_trace_shorten(struct model *model);
void model_trace_print(struct model *model, FILE *file);

#endif

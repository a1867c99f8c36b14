/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which life of a replica a datagram was meant for, which life of which disk sent it, and whether
 * that one is to be heard (engine/DESIGN.md, 9 and 17). Pure: the pipeline and the simulator feed
 * it the datagrams of peers and carry out what it says.
 *
 * Each replica draws a random number at each start, its boot. What is sent from A to B carries a
 * number made of what A last heard in a HELLO of B, and of what it told B in one: B's ear (its
 * boot) and A's voice. What was meant for another life, or was sent by one, does not fit and is
 * dropped: a datagram captured in a former run, or before a restart, or in a cluster that was
 * formatted anew under the same id, does nothing.
 *
 *     A (just started, boot a)                     B (boot b, knows A as it was before)
 *        HELLO boot 0, "I am a" ────────────────►  not for b: nothing is learned from it
 *        learns b               ◄────────────────  HELLO boot a, "I am b"
 *        HELLO boot b, "I am a" ────────────────►  learns a
 *
 * A replica believes a peer only in a HELLO that carries its own boot: nobody could have sent that
 * before it was drawn. So an old HELLO teaches nothing; it costs an answer. A HELLO leaves: to a
 * peer from whom nothing meant for us has come for a while; in answer to what was meant for another
 * life or came from an unknown one, at most one a millisecond, and that one is answered; and when
 * something new was learned.
 *
 * A HELLO also says what the sender's configuration agrees on with the others' (its shape): without
 * HELLOs nobody learns a boot, so a replica with another configuration is not heard by any.
 *
 * And it says of the sender's disk its incarnation and the last life in which it voted (I12). Older
 * than what is known here: refused, and told so. Newer: noted in our superblock first. Only then is
 * the sender heard, and vouched for. Who is mute has a first voice until enough peers vouch for its
 * disk, and then, with a second one, says that it votes in this life: so nobody hears a vote before
 * its own superblock knows of the life that casts it.
 *
 *     mute A: last voted in life 5                 B: knows of life 5 of A
 *        HELLO asking, life 5   ────────────────►  the same
 *        takes its second voice ◄────────────────  HELLO vouched
 *        writes that it votes in life 6
 *        HELLO life 6, voice 2  ────────────────►  newer: writes it down, then hears voice 2
 *
 * This is no authentication: whoever can listen can learn boots.
 */
#ifndef SYNOD_JOURNAL_LIVES_H
#define SYNOD_JOURNAL_LIVES_H

#include "engine/base/limits.h"
#include "engine/journal/known.h"
#include "engine/wire/wire.h"

#include <stdint.h>

enum {
	/* One call says at most: what became durable, that we vote, and what is due, to each. */
	SYNOD_LIVES_SAYS_MAX = 3 * SYNOD_REPLICAS_MAX,
};

struct synod_lives_config {
	uint32_t replica;
	uint32_t replicas;
	uint32_t voters; /* replicas 1..voters */
	uint32_t quorum_prepare;
	uint32_t quorum_accept;
	uint32_t shape;
	uint32_t boot;	  /* random, not 0 */
	uint32_t is_mute; /* it has to be vouched for before it votes */
	uint64_t incarnation;
	/* As the superblock has it, by replica, our own too; [0] unused. */
	struct synod_disk known[SYNOD_REPLICAS_MAX + 1];
};

/* To be noted in our superblock. */
struct synod_lives_note {
	uint32_t replica;
	uint32_t reserved;
	struct synod_disk disk;
};

/* A peer whose disk is newer than we knew, until that is noted on ours. */
struct synod_lives_pending {
	struct synod_disk disk;
	uint64_t number; /* of its note, from 1; 0: none waits */
	uint32_t ear;
	uint32_t voice;
};

/*
 * What the last call asks for. The caller carries it out before the next call, in this order:
 * boots, says, notes.
 */
struct synod_lives_out {
	uint32_t boots_changed; /* boots[] has other numbers than before */
	uint32_t says_count;
	uint32_t notes_count; /* at most one of each peer waits at any time */
	uint32_t reserved;
	struct synod_wire_header says[SYNOD_LIVES_SAYS_MAX]; /* HELLOs; cluster is not set */
	struct synod_lives_note notes[SYNOD_REPLICAS_MAX];
};

/* By peer. */
struct synod_lives {
	struct synod_lives_config config;
	uint32_t ears[SYNOD_REPLICAS_MAX + 1];	 /* their boots; 0: not known */
	uint32_t voices[SYNOD_REPLICAS_MAX + 1]; /* 0: it is not heard */
	uint32_t boots[SYNOD_REPLICAS_MAX + 1];	 /* what a datagram to it carries as its boot */
	uint32_t voice;				 /* our own */
	uint32_t vouchers;			 /* bit of each peer that vouches for our disk */
	uint32_t is_vouched; /* enough do, and boots[] has the second voice: it may vote */
	uint32_t dropped;    /* by the last check: enum synod_counter, or 0 */
	uint64_t life;	     /* our own, as it is told */
	uint64_t notes_given;
	struct synod_disk known[SYNOD_REPLICAS_MAX + 1]; /* durable here */
	struct synod_lives_pending pending[SYNOD_REPLICAS_MAX + 1];
	uint64_t heard_ns[SYNOD_REPLICAS_MAX + 1]; /* the last datagram that was meant for us */
	uint64_t hello_ns[SYNOD_REPLICAS_MAX + 1]; /* the last HELLO to it */
	/* Why we were refused: what we said of our disk, and what that peer knew of it. */
	struct synod_disk refused;
	struct synod_disk refused_own;
	uint32_t refused_by; /* 0: we were not; else the replica is to stop */
	uint32_t reserved;
	struct synod_lives_out out;
};

void synod_lives_begin(struct synod_lives *lives, const struct synod_lives_config *config);

/*
 * Any datagram of a peer, decoded: its header. 0: its sender is heard (a HELLO is done with); else
 * it is to be dropped, and `dropped` says as what.
 */
int synod_lives_check(struct synod_lives *lives, const struct synod_wire_header *header,
		      uint64_t now_ns) __attribute__((warn_unused_result));

/* Now and then. notes: how many of the notes that were given are durable. */
void synod_lives_poll(struct synod_lives *lives, uint64_t notes, uint64_t now_ns);

/* That we vote in this life is durable. Once or more often. */
void synod_lives_voting(struct synod_lives *lives, uint64_t now_ns);

/* The life in which this replica votes, once that is durable. */
static inline uint64_t synod_lives_own(const struct synod_lives *lives)
{
	return synod_disk_life_next(lives->config.known[lives->config.replica].life,
				    lives->config.boot);
}

#endif

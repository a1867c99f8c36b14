/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cluster simulator: whole clusters of the core that ships, with sessions, a state machine
 * and clients, on one thread, in virtual time, under one seed. The same seed gives the same
 * history, bit for bit: the only randomness is sim->random, the only clock sim->now, and nothing
 * depends on an address or on the order of a hash table.
 *
 *   queue.c     what happens when: a heap of events
 *   net.c       packets: loss, copies, delay, cuts, clogs, flipped bits
 *   disk.c      the bytes of a journal file: writes late, out of order and torn at a crash
 *   journal.c   what a replica does with its disk: the writer and the scan that ship
 *   damage.c    disks that lie: lost, misdirected, stale, rotten, wiped
 *   rejoin.c    a new disk for a replica whose own was wiped
 *   mending.c   a replica that mends its journal from the others, while they serve
 *   repair.c    the operator: a corrupt journal is rewritten from another replica's
 *   replica.c   one replica's shell: its lives, its clock, its handles
 *   ingress.c   its door for clients: requests become batches
 *   apply.c     executes what is chosen, answers clients
 *   effects.c   carries out what a step asked for
 *   datagram.c  what travels between clients and replicas, byte by byte
 *   client.c    the life of clients: engine/client over a simulated transport
 *   workload.c  what they ask for, and the history of what they saw
 *   faults.c    when replicas crash, links break, disks slow down
 *   reads.c     reads that do not go through the log
 *   observer*.c the judge: sees messages, writes, effects and answers, and no engine internals
 *   sessions.c, store.c  session table and key-value machine once more, as they must be
 *   cluster.c   one seed from beginning to end: safety, liveness, convergence
 *   crash_points.c  a fixed script, crashed after each of its network and disk events in turn
 *   main.c      the command line
 *
 * Times are virtual nanoseconds from the start of the run. Replica ids begin at 1, clients at 0.
 */
#ifndef SYNOD_SIM_SIM_H
#define SYNOD_SIM_SIM_H

#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/core/core.h"
#include "engine/journal/lives.h"
#include "engine/machine/apply.h"
#include "engine/wire/wire.h"
#include "tests/sim/clients.h"
#include "tests/sim/disk.h"
#include "tests/sim/hazards.h"

#include <setjmp.h>
#include <stdint.h>

#define SIM_US	   1000ull
#define SIM_MS	   1000000ull
#define SIM_SECOND 1000000000ull

enum {
	SIM_INBOX_MAX = 32,
	SIM_BATCH_REQUESTS_MAX = 8,
	SIM_HANDLES_MAX = 4096,
	SIM_FAILURE_SIZE = 512,
	SIM_EXECUTED_SIZE = 1 << 16,
	SIM_SCRIPT_COMMANDS = 50,    /* of crash_points.c */
	SIM_JOURNAL_SIZE = 48 << 20, /* more than any run fills, and no page before it is written */
	/* The size at which a leader answers FULL from the first command on: 8 MiB of batches, each
	 * in a group of its own of three blocks. */
	SIM_JOURNAL_RESERVE =
		SYNOD_FORMAT_LOG_BEGIN +
		(SYNOD_RESERVE_LEADER / SYNOD_BATCH_SIZE_MAX + 2) * 3 * SYNOD_BLOCK_SIZE,
	SIM_AREA_SIZE = 512 * 1024, /* for a snapshot, where there are any */
};

enum sim_event_kind {
	SIM_PACKET,	  /* at a replica or a client; a: index of the packet */
	SIM_TICK,	  /* a: generation */
	SIM_DISK_DONE,	  /* a: place of the write */
	SIM_JOURNAL,	  /* a turn of the journal stage */
	SIM_DURABLE,	  /* tell the core how far its writes are durable */
	SIM_READ_DONE,	  /* a: slot, b: for whom */
	SIM_APPLY,	  /* execute chosen slots */
	SIM_INGRESS,	  /* make a batch of the waiting requests */
	SIM_CLIENT_TIMER, /* think of something to ask; a: life */
	SIM_CLIENT_POLL,  /* a: generation */
	SIM_CLIENT_START, /* a: life */
	SIM_RESTART,
	SIM_REPAIR,	/* the operator looks at a corrupt journal */
	SIM_SNAPSHOT,	/* another's has come */
	SIM_REJOIN,	/* and gives a new disk for a lost one */
	SIM_FAULT_NEXT, /* a: enum sim_hazard */
	SIM_HEAL,	/* a: generation of the partition */
	SIM_LINK_CLOG,	/* who: from, b: to, a: until */
	SIM_LIVES,	/* who is heard, what is due to be said of it; a: again and again */
	SIM_HINT,	/* a: whose link is gone, as the transport says */
};

struct sim_event {
	uint64_t at;
	uint64_t order; /* ties go to the event that was pushed first */
	uint64_t a;
	uint32_t life; /* of the replica; an event of an earlier life is void */
	uint16_t b;
	uint8_t kind;
	uint8_t who; /* replica or client */
};

struct sim_queue {
	struct sim_event *events; /* a binary heap */
	uint32_t count;
	uint32_t capacity;
	uint64_t order;
};

/* A batch, made once by the replica that gathered it. Content 0 is the no-op. */
struct sim_content {
	uint32_t offset; /* of its bytes in the arena */
	uint32_t size;
	uint32_t count;
	uint32_t crc;
	uint32_t origin; /* replica that answers its clients, in its life */
	uint32_t life;
	uint32_t origins_first; /* in sim->origins: whose commands these are */
	uint32_t origins_count;
};

struct sim_packet {
	uint32_t kind;
	uint32_t content; /* MESSAGE with a value */
	uint32_t free_next;
	uint32_t disks_from; /* MESSAGE: that the sender had lost, and the receiver */
	uint32_t disks_to;
	uint32_t boot;		/* MESSAGE, in seeds with lives: as it travels */
	struct synod_disk disk; /* that it comes from, and the life in which that votes */
	union {
		struct synod_wire_header hello;
		struct synod_message message;
		uint32_t datagram; /* REQUEST, REPLY: its index */
	};
};

/* ---- replicas and clients ------------------------------------------------------------------ */

struct sim_handle {
	uint32_t content;
	uint32_t live;
};

struct sim_replica {
	struct synod_core core;
	struct synod_apply *apply;
	struct sim_disk disk;
	struct sim_handle handles[SIM_HANDLES_MAX]; /* handle 0 is never used */
	uint32_t handles_free[SIM_HANDLES_MAX];
	uint32_t handles_free_count;
	uint32_t handles_live;

	uint32_t id;
	uint32_t up;
	uint32_t mends;		       /* not up: it mends its journal; mending.c */
	struct synod_mending *mending; /* NULL until the first time */
	uint32_t life;		       /* counts starts */
	uint32_t boot;		       /* random in each life; see engine/journal/lives.h */
	uint32_t disks;		       /* lost so far: which one it has */
	uint32_t disks_given;
	uint32_t joins;				/* the disk in use is formatted to join */
	uint32_t heard[SYNOD_REPLICAS_MAX + 1]; /* by peer: disks it had lost, as known here */
	uint64_t paused_until;
	uint64_t boot_at;
	uint64_t clock_offset;
	int64_t clock_ppm;
	uint64_t now_last;

	uint64_t tick_at; /* when a SIM_TICK is due; UINT64_MAX: none */
	uint64_t tick_generation;
	uint64_t deadline_ns; /* the core's, on its own clock */
	uint32_t ticks_idle;
	uint32_t durable_scheduled;
	uint32_t journal_scheduled;
	uint32_t apply_scheduled;
	uint32_t ingress_scheduled;
	uint32_t inbox_count;
	uint64_t chosen_last;
	uint64_t applied;
	uint64_t installing; /* slot of another's snapshot that is being written; 0: none */
	uint64_t installing_size;
	struct sim_request inbox[SIM_INBOX_MAX];

	/* lives.c: whom it hears; and what its journal is to note of peers' disks, a ring. */
	struct synod_lives lives;
	struct synod_lives_note notes[SYNOD_REPLICAS_MAX];
	uint64_t notes_asked;
	uint64_t notes_given;
	uint64_t notes_durable;
	uint64_t note_sequence; /* of the writer, for the one that is being written; 0: none */

	/* Linearizable reads, by token % SIM_READS_MAX. */
	uint64_t read_last;
	uint64_t read_settled;
	uint64_t read_served;
	struct sim_read reads[SIM_READS_MAX];
};

/* ---- the observer -------------------------------------------------------------------------- */

struct sim_proposal {
	uint64_t ballot;
	uint32_t content;
	uint32_t next;	/* another ballot of the same slot; 0: none */
	uint32_t votes; /* bit of each replica that ever held it durably */
};

struct sim_slot {
	uint32_t proposals;
	uint32_t chosen; /* content */
	uint32_t is_chosen;
	uint32_t is_applied;
	uint64_t chosen_ballot;
	uint64_t hash;	   /* of the machine after it */
	uint64_t position; /* the last one after it */
};

struct sim_ballot {
	uint64_t ballot;
	uint32_t life;	   /* of the proposer; a second life at the same ballot breaks I3 */
	uint32_t promises; /* bit of each replica whose promise is durable and was told */
	uint32_t led;
};

/* An executed command, by position: I5, I9. */
struct sim_position {
	uint64_t session;
	uint64_t number;
	uint64_t status;
	uint64_t at;  /* when the first replica executed it */
	uint64_t crc; /* of what the machine was given */
};

/* A large command that is not whole yet. */
struct sim_parts {
	uint64_t session; /* 0: none */
	uint64_t number;
	uint32_t total;
	uint32_t have;
	uint8_t bytes[SIM_DATA_SIZE];
};

/* A session that the log opened, in the order of the log. */
struct sim_session {
	uint64_t id;
	uint64_t identity; /* 0: nobody's */
	uint64_t incarnation;
	uint64_t closed; /* 1: a later life of its identity has one */
};

/* Where a command stands in the log. */
struct sim_place {
	uint64_t slot;
	uint64_t index;
};

/* A key got a value, or lost it. */
struct sim_change {
	uint64_t position;
	uint32_t key;
	uint32_t value;
};

struct sim_observer {
	struct sim_slot *slots;
	uint64_t slots_capacity;
	uint64_t slot_last;
	uint64_t leaders;	/* ballots that anybody led at */
	uint64_t chosen_prefix; /* every slot up to it has a quorum of durable votes */
	uint64_t applied_last;
	struct sim_proposal *proposals;
	uint32_t proposals_count;
	uint32_t proposals_capacity;
	struct sim_ballot *ballots;
	uint32_t ballots_count;
	uint32_t ballots_capacity;
	struct sim_position *positions; /* [0] is unused */
	uint64_t positions_count;
	uint64_t positions_capacity;
	uint64_t position_acked; /* highest that a client was told */
	struct sim_session *sessions;
	uint64_t sessions_count;
	uint64_t sessions_capacity;
	struct sim_seat seats[SIM_CLIENTS_MAX + 2];
	uint32_t seats_count;
	struct sim_parts parts[SIM_CLIENTS_MAX + 2];
	uint32_t store[SIM_KEYS_MAX]; /* what each key holds after the last position; 0: nothing */
	struct sim_change *changes;   /* how that came about, by position */
	uint64_t changes_count;
	uint64_t changes_capacity;
	uint32_t executed[SIM_EXECUTED_SIZE]; /* open-addressed: position by (session, number) */
	/* ACCEPTED was found true up to here, at that ballot, in that life. */
	uint64_t accepted_ballot[SYNOD_REPLICAS_MAX + 1];
	uint64_t accepted_through[SYNOD_REPLICAS_MAX + 1];
};

/* ---- what the seed drew -------------------------------------------------------------------- */

struct sim_params {
	uint32_t replicas; /* voters first, then those that only learn */
	uint32_t voters;
	uint32_t quorum_prepare;
	uint32_t quorum_accept;
	uint8_t priorities[SYNOD_REPLICAS_MAX + 1];
	uint32_t clients;
	uint32_t sessions;
	uint32_t session_window; /* numbers that each may have open */
	uint32_t window;
	uint32_t inflight;
	uint64_t inflight_bytes; /* 0: any number */
	uint64_t election_ns;
	uint64_t heartbeat_ns;
	uint64_t retransmit_ns;
	uint64_t safety_ns;

	/* Out of a thousand. */
	uint32_t loss;
	uint32_t copy;
	uint32_t spike;
	uint32_t corrupt;
	uint32_t truncate;
	uint32_t stray;
	uint32_t disk_slow;
	uint32_t disk_read_error; /* a start that cannot read */
	uint32_t disk_rot_read;	  /* a start that reads one bit wrong */
	uint32_t disk_error;	  /* out of 100,000 writes */
	uint32_t ring;		  /* small logs that snapshots recycle; see snapshot.c */
	uint32_t weak_disks;	  /* bit of each replica whose disk may lie: a minority */
	uint32_t lives;		  /* who starts has to be vouched for; see lives.c */
	uint32_t hints;		  /* transports tell of lost links: of crashes, and for nothing */
	uint32_t hole;		  /* a crash keeps undurable writes one by one, not only a prefix */
	uint32_t crash_sending;	  /* out of 100,000 */
	uint32_t crash_durable;	  /* out of 100,000; between a completion and what it lets go */
	uint32_t commands;	  /* a client's, in all; 0: no end */

	uint64_t delay_min;
	uint64_t delay_max;
	uint64_t spike_max;
	uint64_t disk_min;
	uint64_t disk_max;
	uint64_t disk_slow_max;
	uint64_t journal_max; /* the journal stage comes round after at most this */
	uint64_t disk_size;
	uint64_t fence_step;
	uint64_t area_size; /* of a ring, else 0 */
	uint64_t apply_max;
	uint64_t think_max;
	uint64_t client_timeout;
	uint64_t client_deadline; /* of an operation; 0: none */
	uint32_t client_datagram; /* bytes: the largest */
	uint32_t send_refused;	  /* out of a thousand */
	uint32_t boots; /* requests that were meant for another life of a replica are refused */
	uint32_t large; /* out of a hundred: values, or commands, that may need parts */
	uint32_t reads; /* out of a hundred: operations that are reads past the log */
	uint32_t kv;	/* the machine is the key-value one, not the sequencer */
	uint32_t keys;
	uint64_t drift_ppm;
	uint64_t round_first; /* about the first round that anybody leads at; 0: the first */
	uint64_t mtu;	      /* of a narrow link */

	/* Mean time between; 0: never. By enum sim_hazard. */
	uint64_t hazard_mean[SIM_HAZARDS_COUNT];
};

enum sim_phase {
	SIM_SAFETY,
	SIM_LIVENESS,
	SIM_CALM,
	SIM_CONVERGENCE
};

struct sim {
	uint64_t seed;
	uint64_t random;
	uint64_t now;
	uint64_t hash; /* of the whole history */
	uint64_t events;
	uint64_t faults[SIM_FAULTS_COUNT];
	enum sim_phase phase;
	uint32_t trace;
	uint64_t converge_at;
	uint32_t core_set; /* liveness: bit of each replica that was healed */
	struct sim_params params;
	struct sim_queue queue;

	struct sim_packet *packets;
	uint32_t packets_count;
	uint32_t packets_capacity;
	uint32_t packets_free;

	struct sim_datagram *datagrams; /* [0] is unused */
	uint32_t datagrams_count;
	uint32_t datagrams_capacity;
	uint32_t datagrams_free;

	/* [from][to], replicas only. */
	uint8_t cut[SYNOD_REPLICAS_MAX + 1][SYNOD_REPLICAS_MAX + 1];
	uint64_t clogged_until[SYNOD_REPLICAS_MAX + 1][SYNOD_REPLICAS_MAX + 1];
	uint64_t narrow_until[SYNOD_REPLICAS_MAX + 1][SYNOD_REPLICAS_MAX + 1];
	uint64_t partition_generation;

	struct sim_content *contents;
	uint32_t contents_count;
	uint32_t contents_capacity;
	struct sim_origin *origins;
	uint32_t origins_count;
	uint32_t origins_capacity;
	uint8_t *arena;
	uint32_t arena_size;
	uint32_t arena_capacity;

	struct sim_replica replicas[SYNOD_REPLICAS_MAX + 1];
	void *apply_memory[SYNOD_REPLICAS_MAX + 1];
	const struct synod_machine *machine;
	struct sim_client clients[SIM_CLIENTS_MAX];
	struct linear_op *history;    /* of the key-value machine's clients; tag: index */
	struct sim_asked *history_of; /* what each was sent as */
	uint32_t history_count;
	uint32_t history_capacity;
	uint32_t history_of_capacity;
	uint64_t incarnation_last;		/* of all identities: it only grows */
	uint64_t incarnations[SIM_CLIENTS_MAX]; /* of each identity: its latest life's */
	uint32_t value_last;			/* values are numbers, each written once */
	uint64_t traffic[SIM_TRAFFIC_COUNT];
	struct sim_observer observer;
	struct synod_effects effects;

	/* What a step's effects name, looked up before released handles are gone. */
	uint32_t sends_content[SYNOD_CORE_SENDS_MAX];

	/* The sweep of crash points; see crash_points.c. */
	uint64_t points;      /* network and disk events so far */
	uint64_t point_crash; /* crash after this one; 0: never */
	uint32_t point_whole; /* the whole cluster, not only the replica concerned */

	sigjmp_buf failed;
	char failure[SIM_FAILURE_SIZE];
};

/* main.c: the run is over; never returns. */
void sim_fail(struct sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn, cold));
/* What must hold of the engine (the sentence names the invariant). */
#define sim_check(sim, condition, ...)                 \
	do {                                           \
		if (__builtin_expect(!(condition), 0)) \
			sim_fail(sim, __VA_ARGS__);    \
	} while (0)

void sim_trace(const struct sim *sim, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));
#define sim_tell(sim, ...)                             \
	do {                                           \
		if (__builtin_expect((sim)->trace, 0)) \
			sim_trace(sim, __VA_ARGS__);   \
	} while (0)

/* A fault happened. */
static inline void sim_count(struct sim *sim, enum sim_fault fault)
{
	sim->faults[fault]++;
}

/* What leaders, and all, keep back of a journal's room. */
static inline uint64_t sim_reserve_leader(const struct sim *sim)
{
	return sim->params.ring ? 24 * SYNOD_BATCH_SIZE_MAX : SYNOD_RESERVE_LEADER;
}

static inline uint64_t sim_reserve_follower(const struct sim *sim)
{
	return sim->params.ring ? 12 * SYNOD_BATCH_SIZE_MAX : SYNOD_RESERVE_FOLLOWER;
}

/* A client got something done. */
static inline void sim_done(struct sim *sim, enum sim_traffic traffic)
{
	sim->traffic[traffic]++;
}

static inline uint64_t sim_below(struct sim *sim, uint64_t bound)
{
	return synod_random_below(&sim->random, bound);
}

static inline uint64_t sim_between(struct sim *sim, uint64_t first, uint64_t last)
{
	return first + sim_below(sim, last - first + 1);
}

static inline int sim_chance(struct sim *sim, uint32_t of_thousand)
{
	return of_thousand && sim_below(sim, 1000) < of_thousand;
}

/* Of these replicas (bits), as many as vote. */
static inline uint32_t sim_votes(const struct sim *sim, uint32_t replicas)
{
	return (uint32_t)__builtin_popcount(replicas & ((2u << sim->params.voters) - 2));
}

/* Voters without whom nothing goes on: phase 1 and phase 2 must both be possible. */
static inline uint32_t sim_quorum(const struct sim *sim)
{
	return sim->params.quorum_prepare > sim->params.quorum_accept ? sim->params.quorum_prepare
								      : sim->params.quorum_accept;
}

/* What happened becomes part of the history's hash. */
void sim_fold(struct sim *sim, uint64_t value);
/* Makes room for index `needed` in a table that grows; new entries are zero. */
void *sim_grow(void *table, uint64_t *capacity, uint64_t needed, uint64_t entry_size);

/* queue.c */
void sim_queue_push(struct sim *sim, struct sim_event event);
/* The same, before all that was pushed otherwise and is due at that time. */
void sim_queue_push_first(struct sim *sim, struct sim_event event);
struct sim_event sim_queue_pop(struct sim *sim);
/* The events of one replica that are due at one time become due at another. */
void sim_queue_move(struct sim *sim, uint32_t who, uint64_t from, uint64_t to);

/* net.c */
uint32_t sim_net_packet(struct sim *sim); /* a fresh packet's index */
void sim_net_free(struct sim *sim, uint32_t packet);
uint64_t sim_net_delay(struct sim *sim);
void sim_net_send(struct sim *sim, const struct synod_message *message, uint32_t content);
void sim_net_hello(struct sim *sim, const struct synod_wire_header *hello);
void sim_net_heal(struct sim *sim);

/* lives.c: lives that are heard, and older copies of disks (I12); in seeds with params.lives. */
void sim_lives_reset(void);
void sim_lives_free(void);
void sim_lives_start(struct sim *sim, struct sim_replica *replica);
/* regular: and again in a while. */
void sim_lives_poll(struct sim *sim, struct sim_replica *replica, int regular);
/* In a turn of the journal: what is to be noted of peers' disks. */
void sim_lives_journal(struct sim *sim, struct sim_replica *replica);
void sim_lives_hello(struct sim *sim, struct sim_replica *replica,
		     const struct synod_wire_header *header);
/* 1 if the message is not heard. */
int sim_lives_drop(struct sim *sim, struct sim_replica *replica, const struct sim_packet *packet);
/* What a message that leaves now carries. */
void sim_lives_stamp(const struct sim *sim, struct sim_packet *packet);
/* By the bytes of its disk it votes, and in this life. */
int sim_lives_votes(const struct sim *sim, const struct sim_replica *replica);
void sim_lives_hazard(struct sim *sim, struct sim_replica *replica);

/* rejoin.c: `synod recover`, a new disk for a replica that lost its own. */
void sim_rejoin(struct sim *sim, struct sim_replica *replica);
/* It votes from now on: judges whether it may. */
void sim_rejoin_joined(struct sim *sim, struct sim_replica *replica);
/* 1 if it is of a disk that the receiver knows to be lost, or was for one that it lost itself. */
int sim_rejoin_drops(struct sim *sim, struct sim_replica *replica, const struct sim_packet *packet);

/* replica.c */
void sim_replica_start(struct sim *sim, struct sim_replica *replica);
void sim_replica_crash(struct sim *sim, struct sim_replica *replica);
/* It stops by itself and says why: its journal has failed. */
void sim_replica_halt(struct sim *sim, struct sim_replica *replica, enum sim_halt halt);
/* The operator's next look at a journal that is corrupt. */
void sim_replica_repair(struct sim *sim, struct sim_replica *replica);
void sim_replica_schedule_journal(struct sim *sim, struct sim_replica *replica);
/* One step of the core, and what it asked for. The replica may be down afterwards. */
void sim_replica_step(struct sim *sim, struct sim_replica *replica, struct synod_event *event);
void sim_replica_message(struct sim *sim, struct sim_replica *replica,
			 const struct synod_message *message, uint32_t content);
void sim_replica_tick(struct sim *sim, struct sim_replica *replica, uint64_t generation);
void sim_replica_durable(struct sim *sim, struct sim_replica *replica);
void sim_replica_apply(struct sim *sim, struct sim_replica *replica);
void sim_replica_read_done(struct sim *sim, struct sim_replica *replica, uint64_t slot,
			   uint32_t to);
uint64_t sim_replica_clock(const struct sim *sim, const struct sim_replica *replica);
uint32_t sim_replica_handle(struct sim *sim, struct sim_replica *replica, uint32_t content);
void sim_replica_schedule_tick(struct sim *sim, struct sim_replica *replica);
/* Its transport says that the link to a peer is gone. */
void sim_replica_hint(struct sim *sim, struct sim_replica *replica, uint32_t peer);
/* What it has to do waits until then; a pause that is under way ends then. */
void sim_replica_pause(struct sim *sim, struct sim_replica *replica, uint64_t until);
/* Its clock goes forward at once, as after a machine was suspended. */
void sim_replica_clock_jump(struct sim *sim, struct sim_replica *replica, uint64_t by);

/* effects.c: what a step asked for, in sim->effects. */
void sim_effects_carry_out(struct sim *sim, struct sim_replica *replica);
uint32_t sim_effects_content(struct sim *sim, const struct sim_replica *replica,
			     const struct synod_value *value);
void sim_effects_trace(const struct sim *sim, const struct synod_message *message, const char *what,
		       uint32_t content);

/* faults.c */
void sim_faults_start(struct sim *sim);
void sim_faults_next(struct sim *sim, enum sim_hazard hazard);
/* The end of the safety phase: a majority (core_set) is healed, the rest stays as it is. */
void sim_faults_end(struct sim *sim);
/* Then links among these are cut, too. */
void sim_faults_end_links(struct sim *sim);
void sim_faults_heal_all(struct sim *sim);

/* reads.c */
/* Some reads at once that nobody waits for: one round must serve them all. */
void sim_reads_hazard(struct sim *sim, struct sim_replica *replica);
/* A request that is a read. */
void sim_reads_take(struct sim *sim, struct sim_replica *replica,
		    const struct sim_request *request);
/* What a step's effects say of reads. */
void sim_reads_settled(struct sim *sim, struct sim_replica *replica);
/* Whatever may be served by now. */
void sim_reads_serve(struct sim *sim, struct sim_replica *replica);

/* params.c */
void sim_params_draw(struct sim *sim);
void sim_params_script(struct sim *sim);

/* observer.c, observer_messages.c */
void sim_observer_reset(struct sim *sim);
struct sim_slot *sim_observer_slot(struct sim *sim, uint64_t slot);
struct sim_ballot *sim_observer_ballot(struct sim *sim, uint64_t ballot);
struct sim_proposal *sim_observer_proposal(struct sim *sim, uint64_t slot, uint64_t ballot,
					   uint32_t content);
void sim_observer_send(struct sim *sim, struct sim_replica *replica,
		       const struct synod_message *message, uint32_t content);
void sim_observer_write(struct sim *sim, struct sim_replica *replica,
			const struct synod_core_write *write, uint32_t content);
/* What batch a record that is found on a disk holds: only what was proposed can be there. */
uint32_t sim_observer_recorded(struct sim *sim, const struct synod_wire_entry *entry);
/* The write is on the medium now, for ever. */
void sim_observer_durable(struct sim *sim, struct sim_replica *replica,
			  const struct synod_core_write *write, uint32_t content);
void sim_observer_chosen(struct sim *sim, struct sim_replica *replica, uint64_t slot,
			 uint32_t content);
void sim_observer_applied(struct sim *sim, struct sim_replica *replica, uint64_t slot);
/* observer_clients.c: a command of a slot that nobody has executed before, and what came of it. */
void sim_observer_result(struct sim *sim, const struct sim_place *place,
			 const struct synod_wire_command *command, const uint8_t *payload,
			 const struct synod_apply_result *result);
void sim_observer_ack(struct sim *sim, const struct sim_op *op);
/* A client was told what a read that is not in the log came to. */
void sim_observer_read(struct sim *sim, const struct sim_op *op);
/* The position at which (session, number) was executed, or 0: it was not. */
uint64_t sim_observer_executed(struct sim *sim, uint64_t session, uint64_t number);

/* sessions.c: the open session of that id, or NULL. */
struct sim_seat *sim_sessions_find(struct sim *sim, uint64_t id);
/* parts.c: what must become of a part that is no duplicate. */
void sim_parts_result(struct sim *sim, uint64_t slot, const struct synod_wire_command *command,
		      const uint8_t *payload, const struct synod_apply_result *result);
void sim_parts_drop(struct sim *sim, uint64_t session);
/* The same if what there is belongs to that number. */
void sim_parts_forget(struct sim *sim, uint64_t session, uint64_t number);
/* What the machine was given last is this; its checksum. */
void sim_parts_executed(struct sim *sim, const uint8_t *bytes, uint32_t size);
uint32_t sim_parts_crc(void);
/* The sequencer, which also remembers that. */
const struct synod_machine *sim_parts_machine(void);

/* The session that a REGISTER is answered with, 0: SESSION_EVICTED. who->identity 0: nobody. */
uint64_t sim_sessions_register(struct sim *sim, const struct sim_place *place, uint64_t nonce,
			       const struct synod_wire_identity *who);

/* store.c: executes a command of the key-value machine, and compares. */
void sim_store_execute(struct sim *sim, const uint8_t *payload, uint32_t size,
		       const struct synod_apply_result *result);
/* A read is answered with what its key held after the position that it names. */
void sim_store_read(struct sim *sim, const uint8_t *payload,
		    const struct synod_apply_result *result);

/* A network or disk event of the replica is over. Returns 1 if it crashed there. */
int sim_point(struct sim *sim, struct sim_replica *replica);

/* cluster.c: it does not come back, whatever is healed. */
int sim_replica_is_out(const struct sim *sim, const struct sim_replica *replica);

/* cluster.c: one seed. Returns 0, or -1 with sim->failure set. */
int sim_cluster_run(struct sim *sim, uint64_t seed);
/* The fixed script, in which nothing goes wrong but what sim->point_crash says. As above. */
int sim_cluster_script(struct sim *sim, uint64_t seed);
void sim_cluster_free(struct sim *sim);

/* crash_points.c: every `thin`th point of each seed's script. Prints; returns 0 if all held. */
struct sim_sweep {
	uint64_t start;
	uint64_t seeds;
	uint64_t thin;
	const char *json;
};

int sim_crash_points(struct sim *sim, const struct sim_sweep *wanted);

extern const char *const sim_fault_names[SIM_FAULTS_COUNT];

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client: submits commands, finds the leader, retries, and reports each command's fate exactly
 * once. Bursts on both sides, like a network port: submit some, poll some.
 *
 *      submit(ops) ──► numbered ──► packed into REQUEST datagrams ──► transport
 *      poll(ops)   ◄── completed ◄── results of REPLY datagrams  ◄──────┘
 *
 * - Nothing blocks, no thread is made, no clock is read (now_ns is a parameter, monotonic), and no
 *   memory is taken after init. One thread at a time uses a client and its transport.
 * - An operation is the caller's struct. From submit until poll hands it back, it and its data and
 *   result buffer belong to the client.
 * - Exactly once: the client opens a session (a chosen command), numbers its operations from 1, and
 *   sends a number again unchanged, to whomever leads by then. The replicas execute it once.
 * - Operations may complete, and be executed, out of order: one that must follow another is
 *   submitted after the other completed.
 * - A session has a window, which the cluster's configuration says and the replica tells when it
 *   opens: the newest number sent is less than a window beyond the oldest without an answer (stale
 *   reads apart, which no session remembers). What is submitted beyond that waits in the client.
 *
 * Finding the leader. The client either follows a leader or seeks one. While it seeks, one datagram
 * at a time is out: the REGISTER if no session is open, else the oldest operations.
 *
 *                     executed, BUSY or FULL from the one asked
 *           ┌─────────┐ ───────────────────────────────────────────► ┌───────────┐
 *           │ seeking │                                              │ following │
 *           └─────────┘ ◄─────────────────────────────────────────── └───────────┘
 *            │      ▲    NOT_LEADER (ask whom it names); silence for too long
 *            └──────┘    (ask the next replica); session evicted (register again);
 *           NOT_LEADER, HALTED, silence: ask another      the transport lost the leader's link
 *
 * BUSY says when to come again, as the replica reckons from what it has under way; without such a
 * hint, and after FULL, an operation waits retry_ns/8 times 1, 2, 4, 8. And each BUSY, once in the
 * time of an answer, takes a quarter off how many operations may be under way; answers give it back
 * step by step, up to outstanding_max. What waits for that waits in the client.
 *
 * Too long is what TCP finds too long (RFC 6298): the mean time to an answer and four times its
 * deviation, at least retry_ns and at most eight times that. Time in which nobody polled counts for
 * nothing. A single operation without an answer, while others are answered, is sent again after
 * that, then 2, 4, 8 times that, up to retry_ns times 8. When the client follows another leader, or
 * the same in another life, everything that was sent is sent again in number order.
 *
 * What it expects of a replica's REPLY (engine/wire/wire.h): header.slot is the session the results
 * are of (0 for the answer to a REGISTER, whose number is the nonce, whose position is the session
 * opened, and which tells its window); one result for each command answered or refused; with
 * NOT_LEADER, header.argument is the leader, or 0. header.boot is the replica's
 * (engine/journal/lives.h): requests to it carry it from then on, and one without it is answered
 * BUSY. (Datagrams of several sessions, SYNOD_FLAG_SHARED, are for whoever carries several clients'
 * traffic, as bench/fan.h does; a client neither sends nor takes them.)
 *
 * Rules from engine/DESIGN.md, "Sessions"; errors from enum synod_status in engine/wire/wire.h.
 */
#ifndef SYNOD_CLIENT_CLIENT_H
#define SYNOD_CLIENT_CLIENT_H

#include "engine/client/transport.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_client;

/*
 * An operation that does not fit a datagram is sent in parts, one such operation at a time, up to
 * SYNOD_COMMAND_LARGE_MAX bytes; the others overtake it. It is executed once and whole, like any.
 */

/* One command and its fate. Set everything else to 0. */
struct synod_client_op {
	/* In: the caller's. */
	uint64_t user_data;	  /* never looked at */
	const void *data;	  /* the command; read again at every retry */
	uint32_t size;		  /* bytes, 0..synod_client_command_size_max */
	uint32_t result_capacity; /* bytes at result */
	void *result;	  /* where the result's data is copied; may be NULL with capacity 0 */
	uint32_t sort;	  /* enum synod_client_sort */
	uint32_t replica; /* SYNOD_CLIENT_READ_STALE: whom to ask, 1..replicas */

	/* Out: set when poll hands it back. */
	uint64_t position;     /* in the one sequence, from 1; 0: none, or not known */
	uint64_t session;      /* under which it was sent; 0: never sent */
	uint64_t number;       /* in that session */
	uint64_t submitted_ns; /* the now_ns of submit */
	uint64_t completed_ns; /* the now_ns of the poll that saw its answer */
	uint32_t result_size;  /* bytes of the result, even if result_capacity was less */
	uint16_t status;       /* enum synod_status, see below */
	uint16_t refusal; /* the last refusal it met: BUSY, FULL, NOT_LEADER, HALTED; 0: none */
	uint64_t reserved;
};

/*
 * What is asked for. A read's data is a command without effect (kv: GET; sequencer: anything),
 * its position that of the last command executed where it was answered. A read is not remembered: a
 * deadline that passes leaves nothing behind.
 */
enum synod_client_sort {
	SYNOD_CLIENT_COMMAND = 0, /* ordered, executed exactly once */
	/* Sees every command and read that was answered before it was submitted; not in the log. */
	SYNOD_CLIENT_READ = 2,
	/* What the named replica has executed so far, however far behind. Needs an open session. */
	SYNOD_CLIENT_READ_STALE = 3,
};

/*
 * What an operation's status may be:
 *   OK, BAD_COMMAND, NOT_FOUND, MISMATCH, NO_SPACE  executed, at position
 *   TOO_LARGE        not sent: larger than synod_client_command_size_max, or a read larger than a
 *                    datagram. Or sent in datagrams larger than the replicas' batches (their mtu),
 *                    and not executed. So too BAD_COMMAND at position 0: no such sort, or replica
 *   NOT_LEADER       the deadline passed before it was ever sent: no leader was found
 *   FULL             refused: the journal has no room. (Each copy that was answered was refused; a
 *                    network that duplicates datagrams may still deliver another.)
 *   SESSION_EVICTED  the session is gone: whether it was executed is not known. With session 0: it
 *                    was never sent, the client is fenced
 *   UNKNOWN          the deadline passed: whether it was, or will be, executed is not known
 */

/*
 * Identity: for a client that may come back. A restarted client starts new sessions and new
 * numbers; what its former life sent may still be on its way. Under an identity (any number but 0
 * that is this client's alone) the new life's registration closes the former one's session, so that
 * nothing the former life sent is executed after the new life's first answer, whatever is delayed,
 * repeated or still running. Which life is the later one is told by incarnation, which must be
 * greater in each life than in all before: a counter that the caller keeps in a file, or the wall
 * clock in nanoseconds at start where nothing sets it back. A life that finds a later one is
 * fenced, and all its operations end with SESSION_EVICTED from now on (synod_client_fenced).
 * Guaranteed while the later life's session is open; it is evicted, like any, when it was used
 * longest ago and its place is needed. Source: engine/DESIGN.md, 11.
 */
struct synod_client_config {
	uint32_t struct_size;	    /* sizeof(struct synod_client_config) */
	uint32_t replicas;	    /* 1..SYNOD_REPLICAS_MAX */
	uint64_t cluster;	    /* as in the cluster's configuration */
	uint64_t nonce;		    /* random: two clients must not share it */
	uint32_t datagram_size_max; /* bytes; 0: the transport's. At most the transport's */
	uint32_t outstanding_max;   /* operations not yet polled: 1..window_max / 2 */
	uint64_t retry_ns;	    /* the least silence that makes it ask again; 0: 20 ms */
	uint64_t deadline_ns;	    /* an operation's, from submit; 0: none, retry for ever */
	uint64_t identity;	    /* who this client is, in all its lives; 0: nobody */
	uint64_t incarnation;	    /* of the identity: greater in each life */
	uint32_t leader_hint;	    /* whom to ask first; 0: replica 1 */
	/* Newest number submitted - oldest unanswered one, at most: what memory is for. A power of
	 * two from 2 to SYNOD_SESSION_WINDOW_MAX, which 0 stands for. */
	uint32_t window_max;
	uint32_t reserved[4];
};

/* Since init; plain numbers, for the thread that uses the client. */
struct synod_client_counters {
	uint64_t datagrams_sent;
	uint64_t datagrams_received;
	uint64_t send_failures; /* the transport took no more */
	uint64_t bad_datagrams; /* not a well-formed datagram of this cluster to a client */
	uint64_t stray_replies; /* results nobody waits for: late, repeated, another session's */
	uint64_t commands_sent; /* copies of operations in datagrams */
	uint64_t commands_repeated;  /* of those, not the first copy */
	uint64_t parts_sent;	     /* of operations that do not fit a datagram */
	uint64_t parts_repeated;     /* of those, sent before */
	uint64_t completed;	     /* operations handed to poll */
	uint64_t refused_not_leader; /* results with that status, or HALTED … */
	uint64_t refused_busy;
	uint64_t refused_full;
	uint64_t silences;	 /* times the one asked did not answer in time */
	uint64_t leader_changes; /* times it began to seek */
	uint64_t sessions_opened;
	uint64_t sessions_evicted;
	uint64_t deadlines_passed;
};

/* Bytes of memory that a client needs, and their alignment. */
size_t synod_client_size(void);
/*
 * Those that one of such a configuration needs, if that is sane (init tells): 48 for each number of
 * window_max, datagram_size_max (0: 9 KB), and 1 KB. A process of thousands of sessions of a few
 * operations each sets both.
 */
size_t synod_client_size_of(const struct synod_client_config *config);
#define SYNOD_CLIENT_ALIGNMENT 64

/*
 * Makes a client in memory of that size (either) and alignment; memory and transport stay the
 * caller's and must outlive it (nothing needs to be destroyed). Returns 0, or -EINVAL: a field of
 * config is out of its range.
 */
int synod_client_init(struct synod_client **client, void *memory,
		      const struct synod_client_config *config,
		      const struct synod_transport *transport) __attribute__((warn_unused_result));

/*
 * Takes up to n operations, in order. Returns how many: fewer when outstanding_max are under way,
 * or when the oldest unanswered one holds the session's window back; then poll, and come again.
 * They leave at the next poll or flush.
 */
uint32_t synod_client_submit(struct synod_client *client, struct synod_client_op *const ops[],
			     uint32_t n, uint64_t now_ns) __attribute__((warn_unused_result));

/* Sends what was submitted. poll does it too; alone it is for callers that poll late. */
void synod_client_flush(struct synod_client *client, uint64_t now_ns);

/*
 * Receives, sends (again), and hands back up to max completed operations. Returns how many. To be
 * called often: it is also what makes retries and deadlines happen.
 */
uint32_t synod_client_poll(struct synod_client *client, struct synod_client_op *ops[], uint32_t max,
			   uint64_t now_ns) __attribute__((warn_unused_result));

/* When poll has something to do at the latest, if nothing arrives: for the transport's idle. */
uint64_t synod_client_deadline(const struct synod_client *client);

uint64_t synod_client_session(const struct synod_client *client); /* 0: none is open yet */
uint32_t synod_client_window(const struct synod_client *client);  /* the session's, as told */
/* Of its last REGISTER, or the next: to whom an answer belongs where clients share a transport. */
uint64_t synod_client_nonce(const struct synod_client *client);
int synod_client_fenced(const struct synod_client *client); /* 1: a later life took its place */
uint32_t synod_client_leader(const struct synod_client *client);      /* 0: it seeks one */
uint32_t synod_client_outstanding(const struct synod_client *client); /* submitted, not polled */
uint32_t synod_client_command_size_max(const struct synod_client *client);
/* Bytes of commands (24 each, and their data padded to 8) that one datagram holds; a longer command
 * is sent in parts. */
uint32_t synod_client_commands_size(const struct synod_client *client);
const struct synod_client_counters *synod_client_counters(const struct synod_client *client);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The client's state, shared by client.c (interface), client_send.c (what leaves, and when),
 * client_large.c (operations in parts) and client_receive.c (what comes back). Included by nobody
 * else; tests use client.h.
 *
 *      number   1 … oldest … cursor … next
 *                   │        │        └ the next operation submitted gets this
 *                   │        └ sent (or answered) before, not yet sent to this leader from here on
 *                   └ the oldest without an answer
 *
 *
 * Slots are indexed by number & slots_mask; next - oldest never exceeds their number (window_max),
 * so a number finds its operation without a search. The session's window, which the replica tells,
 * may be less: then cursor stops at oldest + window, and what is behind it waits here. A replica
 * forgets what it did of a number when it executes one a window later; were that sent while the
 * former has no answer, a copy of it would find it forgotten, and be told STALE.
 */
#ifndef SYNOD_CLIENT_CLIENT_INTERNAL_H
#define SYNOD_CLIENT_CLIENT_INTERNAL_H

#include "engine/base/limits.h"
#include "engine/client/client.h"
#include "engine/wire/wire.h"

enum {
	CLIENT_RECEIVE_BURST = 32,
	CLIENT_RECEIVE_BURSTS_MAX = 8, /* a poll's worth: 256 datagrams */
	CLIENT_SEND_MAX = 64,	       /* datagrams that one poll sends: what a ring can take */
	CLIENT_BACKOFF_SHIFT_MAX = 3,  /* retries wait patience times 1, 2, 4, 8, 8, … */
	CLIENT_TICKS_PER_RETRY = 8,    /* timers are looked at this often in a retry_ns */
	CLIENT_PARTS_FIRST = 8,	       /* parts of a large operation under way, at first … */
	CLIENT_PARTS_MAX = 32,	       /* … and at most */
	CLIENT_SILENT_RETRIES = 2,     /* a silent replica is not asked on hearsay for so long */
	CLIENT_HURRIES_PER_RETRY = 64, /* probes in a retry_ns where the leader's link was lost */
	CLIENT_CONGESTION_STEP = 16,   /* operations more under way after each window answered */
	CLIENT_RETRY_NS_DEFAULT = 20 * 1000 * 1000,
};

/* One outstanding operation. */
struct client_slot {
	struct synod_client_op *op; /* NULL: answered */
	uint64_t due_ns;	    /* when to send it again */
	uint8_t copies;		    /* sent; stays at 255 */
	uint8_t refusals;	    /* of those, answered with a refusal; stays at 255 */
	uint16_t refusal;	    /* the last one, or 0 */
	uint32_t waits;		    /* 1: BUSY or FULL, not to be sent before due_ns */
};

/* The large operation in transfer: see client_large.c. */
struct client_large {
	uint64_t number;   /* 0: none */
	uint32_t pending;  /* large operations without an answer, this one included */
	uint32_t have;	   /* bytes that the replicas have */
	uint32_t next;	   /* byte to be sent next */
	uint32_t recover;  /* where next was when it went back; 0: it did not */
	uint32_t reported; /* what the last answer said they have */
	uint32_t sent;	   /* bytes of which a copy was ever sent */
	uint32_t stalls;   /* times the timer ran out since have went on */
	uint32_t window;   /* parts under way at most; kept from one operation to the next */
	uint32_t answers;  /* that brought something new, since window grew */
	uint64_t due_ns;   /* when it does */
};

/*
 * What the leader bears: how long its answers take, and how many operations it takes at once. See
 * client_pace.c.
 */
struct client_pace {
	uint64_t timed;	      /* number of the operation whose answer is timed; 0: none */
	uint64_t timed_ns;    /* when it was sent, once */
	uint64_t smooth_ns;   /* mean time to an answer; 0: none was timed */
	uint64_t spread_ns;   /* its mean deviation */
	uint64_t patience_ns; /* silence that is too long */
	uint64_t cut_ns;      /* when window was made smaller last */
	uint32_t asked;	      /* operations sent at least once, without an answer (no large ones) */
	uint32_t window;      /* of these at most before another is sent for the first time */
	uint32_t answers;     /* since window grew */
};

struct synod_client {
	/* Hot: each operation. */
	uint64_t number_oldest;
	uint64_t number_cursor;
	uint64_t number_next;
	uint64_t session;
	/* In the memory that follows this struct. */
	struct client_slot *slots;
	struct synod_client_op **completed; /* as many as slots */
	uint8_t *packet;
	uint32_t slots_mask;
	uint32_t window;      /* of the session; 0: none was ever open */
	uint32_t outstanding; /* submitted, not yet polled */
	uint32_t packet_size; /* bytes of commands in packet */
	uint32_t packet_sort; /* of the commands in packet: a request is of one */
	uint32_t body_size_max;
	uint32_t replicas;
	uint32_t completed_first; /* free-running, masked */
	uint32_t completed_end;

	/* Stale reads. */
	uint64_t stale_waiting; /* unanswered */
	uint64_t stale_due_ns;	/* when to look for what is due */
	uint64_t doubt_ns; /* when to ask whether our session, unknown to one, is open; 0: never */

	/* Whom we talk to. */
	uint32_t target;    /* replica */
	uint32_t seeking;   /* 1: one probe at a time; 0: following target */
	uint32_t probe_out; /* 1: target was asked, and has until probe_ns to answer */
	uint32_t silent;    /* a replica that did not answer, or 0 */
	uint32_t turn;	    /* the replica asked last that nobody named */
	uint64_t silent_until_ns;
	uint64_t probe_ns;  /* when to probe, or to give up on the probe */
	uint64_t probed_ns; /* when the last probe left */
	uint64_t hurry_ns;  /* until then another leader is looked for at a quicker pace */
	uint64_t asked_ns;  /* the first sending to target since it was last heard; 0: none */
	uint64_t tick_ns;   /* when timers are looked at next */
	uint64_t polled_ns; /* the last poll */
	uint32_t excused;   /* 1: the next tick waited for a client that had been away */
	uint32_t followed;  /* whom it followed last, and in which life */
	uint32_t followed_boot;

	struct client_pace pace;

	struct client_large large;

	/* Cold: set at init, or once a session. */
	const struct synod_transport *transport;
	uint64_t cluster;
	uint64_t nonce;
	uint64_t nonce_state;
	uint32_t boots[SYNOD_REPLICAS_MAX + 1]; /* by replica, as its last answer said */
	uint32_t spread;   /* random, this client's: keeps it apart from others */
	uint64_t identity; /* 0: anonymous */
	uint64_t incarnation;
	uint32_t fenced; /* 1: a later life of the identity is there; nothing is sent any more */
	uint64_t retry_ns;
	uint64_t deadline_ns;
	uint64_t tick_period_ns;
	uint32_t outstanding_max;
	struct synod_client_counters counters;
};

static inline struct client_slot *client_slot(const struct synod_client *client, uint64_t number)
{
	return &client->slots[number & client->slots_mask];
}

/* 1: one more operation may be sent for the first time. */
static inline int client_has_room(const struct synod_client *client)
{
	return client->pace.asked < client->pace.window;
}

/* client_stale.c: the oldest number without an answer that is no stale read's, or the next. */
uint64_t synod_client_oldest_asked(const struct synod_client *client);

/* The first number that may not be sent yet: not submitted, or beyond the session's window. */
static inline uint64_t client_sendable_end(const struct synod_client *client)
{
	uint64_t oldest =
		client->stale_waiting ? synod_client_oldest_asked(client) : client->number_oldest;
	uint64_t end = oldest + client->window;

	return end < client->number_next ? end : client->number_next;
}

static inline int client_is_stale(const struct client_slot *slot)
{
	return slot->op && slot->op->sort == SYNOD_CLIENT_READ_STALE;
}

/* 1: the transport knows that nothing reaches this replica. */
static inline int client_is_lost(const struct synod_client *client, uint32_t replica)
{
	return client->transport->lost && *client->transport->lost >> replica & 1;
}

/* The least time between two probes. */
static inline uint64_t client_probe_pace_ns(const struct synod_client *client, uint64_t now_ns)
{
	return client->retry_ns /
	       (now_ns < client->hurry_ns ? CLIENT_HURRIES_PER_RETRY : CLIENT_TICKS_PER_RETRY);
}

/* client_stale.c */
void synod_client_stale_send(struct synod_client *client, uint64_t now_ns);
/* A refusal of any kind: it is asked again a little later. */
void synod_client_stale_refused(struct synod_client *client, uint64_t number, uint16_t status,
				uint64_t now_ns);
/* 1 if it is time to ask the leader whether the session is open: by registering once more. */
int synod_client_doubts(const struct synod_client *client, uint64_t now_ns);
/* 1 if anything unanswered is the leader's business. */
int synod_client_asks_leader(struct synod_client *client);

/* 1: a command that does not fit a datagram. */
static inline int client_is_large(const struct synod_client *client,
				  const struct synod_client_op *op)
{
	return op->sort == SYNOD_CLIENT_COMMAND &&
	       SYNOD_COMMAND_HEADER_SIZE + op->size > client->body_size_max;
}

/* 1: an operation of that sort and size fits behind what is in the packet. */
static inline int client_packet_holds(const struct synod_client *client, uint32_t sort,
				      uint32_t size)
{
	if (client->packet_size && client->packet_sort != sort)
		return 0;
	return client->packet_size + SYNOD_COMMAND_HEADER_SIZE + SYNOD_WIRE_ALIGN(size) <=
	       client->body_size_max;
}

/* client.c */
void synod_client_complete(struct synod_client *client, uint64_t number, uint16_t status,
			   uint64_t position, uint64_t now_ns);
void synod_client_give_up(struct synod_client *client, uint64_t number, uint64_t now_ns);
void synod_client_seek(struct synod_client *client, uint32_t target, uint64_t now_ns);
void synod_client_follow(struct synod_client *client, uint64_t now_ns);
uint32_t synod_client_next_replica(struct synod_client *client, uint64_t now_ns);

/* client_pace.c */
void synod_client_pace_init(struct synod_client *client);
/* The operation that is timed was answered, or so many were as are under way at most. */
void synod_client_pace_learn(struct synod_client *client, uint64_t number, uint64_t now_ns);
void synod_client_pace_grow(struct synod_client *client);
/* The leader refused one as BUSY. */
void synod_client_pace_refused(struct synod_client *client, uint64_t number, uint64_t now_ns);
/* At a poll: who was away itself waits for what came meanwhile before it blames anybody. */
void synod_client_pace_polled(struct synod_client *client, uint64_t now_ns);
/* What was sent has the time of an answer once more: the leader it went to was only slow. */
void synod_client_pace_again(struct synod_client *client, uint64_t now_ns);
/* When an operation of which so many copies were sent is sent again. */
uint64_t synod_client_pace_due_ns(const struct synod_client *client, uint32_t copies,
				  uint64_t now_ns);

/* An operation is packed for the first time. */
static inline void client_pace_sent(struct synod_client *client, uint64_t number, uint64_t now_ns)
{
	struct client_pace *pace = &client->pace;

	pace->asked++;
	if (!pace->timed) {
		pace->timed = number;
		pace->timed_ns = now_ns;
	}
}

/* The leader answered one that was sent: it is done. */
static inline void client_pace_answered(struct synod_client *client, uint64_t number,
					uint64_t now_ns)
{
	struct client_pace *pace = &client->pace;

	pace->asked--;
	if (pace->timed == number)
		synod_client_pace_learn(client, number, now_ns);
	if (++pace->answers >= pace->window)
		synod_client_pace_grow(client);
}

/* client_send.c */
/* Seals and sends what is in the packet. Returns 0, or the transport's -errno. */
int synod_client_packet_send(struct synod_client *client, uint32_t to);
/* The same, to whom we follow, or ask whether to. */
int synod_client_target_send(struct synod_client *client, uint64_t now_ns);
/* One more copy of an operation into the packet, which has room for it. */
void synod_client_pack(struct synod_client *client, uint64_t number, uint64_t now_ns);
void synod_client_send(struct synod_client *client, uint64_t now_ns);
void synod_client_tick(struct synod_client *client, uint64_t now_ns);

struct client_bytes {
	const void *data;
	uint32_t size;
};

/* Appends a command whose payload comes in count pieces. It fits. */
void synod_client_packet_append(struct synod_client *client,
				const struct synod_wire_command *command,
				const struct client_bytes *pieces, uint32_t count);

/* client_large.c */
uint32_t synod_client_part_size(const struct synod_client *client); /* bytes; 0: none fits */
int synod_client_large_ready(const struct synod_client *client, uint64_t now_ns); /* to send */
void synod_client_large_send(struct synod_client *client, uint64_t now_ns);
/* The next part into the packet, if number is the one in transfer and the packet has room. */
void synod_client_large_probe(struct synod_client *client, uint64_t number);
void synod_client_large_follow(struct synod_client *client);
/* The replicas have that much of it. Returns 0, or -1: nobody asked. */
int synod_client_large_progress(struct synod_client *client, uint64_t number, uint32_t have,
				uint64_t now_ns);
/* Looks at the timer. */
void synod_client_large_tick(struct synod_client *client, uint64_t now_ns);
void synod_client_large_ended(struct synod_client *client, uint64_t number);

/* client_receive.c */
void synod_client_receive(struct synod_client *client, uint64_t now_ns);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator's clients: what they ask for, the datagrams between them and the replicas, and the
 * replicas' side of it. Part of sim.h, which says what each file is for; included by it alone.
 */
#ifndef SYNOD_SIM_CLIENTS_H
#define SYNOD_SIM_CLIENTS_H

#include "engine/client/client.h"
#include "engine/machine/apply.h"
#include "engine/wire/wire.h"
#include "tests/linear/linear.h"

#include <stdint.h>

struct sim;
struct sim_replica;

enum {
	SIM_CLIENTS_MAX = 6,
	SIM_OUTSTANDING_MAX = 8,
	SIM_CLUSTER = 42,
	SIM_DATAGRAM_SIZE = 1472, /* between clients and replicas: the largest */
	SIM_REQUEST_SIZE = 512,	  /* of that, a request */
	SIM_CLIENT_INBOX_MAX = 16,
	SIM_CLIENT_SENT_MAX = 8,   /* datagrams that a client's network remembers */
	SIM_DATA_SIZE = 2304,	   /* of an operation: the largest, which goes in parts */
	SIM_VALUE_SIZE_MAX = 1024, /* of a key, and of a result */
	SIM_KEYS_MAX = 4,
	SIM_READS_MAX = 32, /* that wait at one replica */
};

/*
 * What the clients got done, and how much of it 100 seeds have at least: a campaign with less
 * fails, as it looked at less than it seems.
 */
#define SIM_TRAFFIC(X)                         \
	X(EXECUTED, "executed", 10000)         \
	X(DUPLICATES, "duplicates", 1000)      \
	X(STALE, "left_the_window", 20)        \
	X(ACKNOWLEDGED, "acknowledged", 8000)  \
	X(PUTS, "puts", 1000)                  \
	X(GETS, "gets", 1000)                  \
	X(DELETES, "deletes", 1000)            \
	X(CAS_OK, "cas_ok", 1000)              \
	X(CAS_FAILED, "cas_failed", 1000)      \
	X(SESSIONS, "sessions", 100)           \
	X(PARTS, "parts", 500)                 \
	X(LARGE, "large", 50)                  \
	X(READS, "reads", 500)                 \
	X(READS_STALE, "reads_stale", 500)     \
	X(READS_GRANTED, "reads_granted", 100) \
	X(HISTORIES, "histories", 20)          \
	X(TURNS, "turns_of_a_ring", 20)        \
	X(SNAPSHOTS, "snapshots", 100)         \
	X(INSTALLED, "snapshots_installed", 2) \
	X(RESUMED, "snapshots_resumed", 0)     \
	X(COVERED, "mended_by_snapshot", 0)    \
	X(VOUCHED, "vouched_for", 50)

enum sim_traffic {
#define SIM_TRAFFIC_SYMBOL(symbol, name, least) SIM_TRAFFIC_##symbol,
	SIM_TRAFFIC(SIM_TRAFFIC_SYMBOL)
#undef SIM_TRAFFIC_SYMBOL
	SIM_TRAFFIC_COUNT
};

enum sim_packet_kind {
	SIM_PACKET_MESSAGE,
	SIM_PACKET_REQUEST,
	SIM_PACKET_REPLY,
	SIM_PACKET_HELLO
};

/* Commands first..first + count - 1 of a batch came from one client. */
struct sim_origin {
	uint32_t client;
	uint32_t first;
	uint32_t count;
};

/* Between a client and a replica. */
struct sim_datagram {
	uint32_t client;
	uint32_t replica;
	uint32_t damaged; /* 1: whoever gets it must refuse it */
	uint32_t size;
	uint32_t free_next;
	_Alignas(8) uint8_t bytes[SIM_DATAGRAM_SIZE];
};

/* A request that waits to become part of a batch: whole, sane commands. */
struct sim_request {
	uint32_t client;
	uint32_t count;
	uint32_t size;
	_Alignas(8) uint8_t bytes[SIM_REQUEST_SIZE];
};

struct sim_read {
	uint64_t floor; /* what had been executed anywhere when it came */
	uint64_t slot;	/* to be executed here before it is served; once it is settled */
	uint32_t status;
	uint32_t has_request; /* 0: nobody waits for an answer */
	struct sim_request request;
};

/* Results on their way into datagrams. */
struct sim_reply {
	struct sim *sim;
	const struct sim_replica *replica;
	uint64_t session;
	struct sim_datagram datagram;
};

/* An operation of a client. */
struct sim_op {
	struct synod_client_op op; /* first: the client hands back its address */
	uint64_t floor; /* I10: positions up to this were answered before it was submitted */
	uint32_t in_use;
	uint32_t history; /* of the key-value machine: index + 1 in sim->history, or 0 */
	uint8_t data[SIM_DATA_SIZE];
	uint8_t result[SIM_VALUE_SIZE_MAX];
};

/* What an operation was sent as; session 0: never. */
struct sim_asked {
	uint64_t session;
	uint64_t number;
};

struct sim_client {
	struct sim *sim;
	struct synod_client *client;
	void *memory;
	struct synod_transport transport;
	uint32_t id;
	uint32_t up;
	uint32_t retired; /* more clients than sessions: these go home after the safety phase */
	uint64_t life;
	uint64_t identity; /* 1 + the client that had it first; 0: every life is somebody else */
	uint64_t incarnation;
	uint64_t paused_until;
	uint64_t submitted;
	uint64_t acked;
	uint64_t poll_at; /* when a SIM_CLIENT_POLL is due; UINT64_MAX: none */
	uint64_t poll_generation;
	uint32_t outstanding_max;
	uint32_t inbox_count;
	uint32_t lent_damaged; /* datagrams received last that must be refused */
	uint32_t sent_count;
	struct synod_client_counters counted; /* up to the last look */
	struct sim_op ops[SIM_OUTSTANDING_MAX];
	struct sim_datagram inbox[SIM_CLIENT_INBOX_MAX];
	struct sim_datagram lent[SIM_CLIENT_INBOX_MAX];
	struct sim_datagram sent[SIM_CLIENT_SENT_MAX]; /* a ring; in all lives */
};

/* An open session, as sessions.c has it. */
struct sim_seat {
	uint64_t id;
	uint64_t nonce;
	uint64_t identity;
	uint64_t incarnation;
	uint64_t used;	     /* slot of the last command executed, or of its opening */
	uint64_t number_max; /* the highest number executed; 0: none */
};

/* datagram.c */
/* Sends it through all that may happen to it; its client and replica say between whom. */
void sim_datagram_send(struct sim *sim, enum sim_packet_kind kind,
		       const struct sim_datagram *datagram);
/* Puts it on its way as it is, to arrive at that time. */
void sim_datagram_post(struct sim *sim, enum sim_packet_kind kind,
		       const struct sim_datagram *datagram, uint64_t at);
/* Copies it out and frees the packet. */
struct sim_datagram sim_datagram_take(struct sim *sim, uint32_t packet);

/* ingress.c */
void sim_replica_datagram(struct sim *sim, struct sim_replica *replica,
			  const struct sim_datagram *datagram);
void sim_replica_ingress(struct sim *sim, struct sim_replica *replica);

/* apply.c */
/* The replica's machine and sessions as they are before the first slot. */
void sim_apply_start(struct sim *sim, struct sim_replica *replica);

/* ---- snapshot.c: saved, loaded, carried to who lags ------------------------------------------ */

void sim_snapshot_reset(void);
/* Between two slots. */
void sim_snapshot_take(struct sim *sim, struct sim_replica *replica);
/* At start: what the journal's says, if there is one. */
void sim_snapshot_load(struct sim *sim, struct sim_replica *replica);
void sim_snapshot_offer(struct sim *sim, struct sim_replica *replica, uint32_t to);
/* Its process's memory is gone. */
void sim_snapshot_forget(const struct sim_replica *replica);
void sim_snapshot_arrived(struct sim *sim, struct sim_replica *replica);
/* Another's is durable here: it takes the place of all that is behind. */
void sim_snapshot_install(struct sim *sim, struct sim_replica *replica);
/* Executes a slot; answers the clients whose commands this life of the replica gathered. */
void sim_apply_slot(struct sim *sim, struct sim_replica *replica, uint64_t slot, uint32_t content);
void sim_apply_free(struct sim *sim);
/* Results, one after the other; those of one client and session that stand together share one. */
void sim_reply_begin(struct sim_reply *reply, struct sim *sim, const struct sim_replica *replica);
void sim_reply_add(struct sim_reply *reply, uint32_t client,
		   const struct synod_apply_result *result);
void sim_reply_send(struct sim_reply *reply);

/* client.c */
void sim_client_start(struct sim *sim, struct sim_client *client);
void sim_client_timer(struct sim *sim, struct sim_client *client);
void sim_client_poll(struct sim *sim, struct sim_client *client);
void sim_client_datagram(struct sim *sim, struct sim_client *client,
			 const struct sim_datagram *datagram);
/* Its process stands still; what arrives meanwhile waits, as far as there is room. */
void sim_client_pause(struct sim *sim, struct sim_client *client);
void sim_client_storm(struct sim *sim, struct sim_client *client);
/* It dies, and comes back a little later. */
void sim_client_restart(struct sim *sim, struct sim_client *client);
/* Nothing more will come of what it has under way. */
void sim_client_forget(struct sim *sim, struct sim_client *client);
int sim_client_waits(const struct sim *sim, const struct sim_client *client);
void sim_client_free(struct sim_client *client);

/* workload.c */
void sim_workload_next(struct sim *sim, const struct sim_client *client, struct sim_op *op);
/* The client was told what came of it. */
void sim_workload_done(struct sim *sim, const struct sim_op *op);
/* Nobody will be told: the client died, or went home, with this session open. */
void sim_workload_lost(struct sim *sim, const struct sim_op *op, uint64_t session);
/* A value as the key-value machine holds it, of a size of its own; and back (0: it is none). */
uint32_t sim_workload_value(const struct sim *sim, uint32_t value, uint8_t *bytes);
uint32_t sim_workload_value_of(const struct sim *sim, const uint8_t *bytes, uint32_t size);
/* I10, I11: the history of the run is linearizable. */
void sim_workload_check(struct sim *sim);
void sim_workload_free(struct sim *sim);

extern const char *const sim_traffic_names[SIM_TRAFFIC_COUNT];
extern const uint64_t sim_traffic_least[SIM_TRAFFIC_COUNT]; /* of 100 seeds */

#endif

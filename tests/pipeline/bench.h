/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bench for the pipeline: all five stages of one replica that is its own quorum, over ports in
 * memory. Time is a number. What arrives is put in by the test, what leaves is kept for it, and the
 * journal is durable, slow or broken as the test says.
 */
#ifndef SYNOD_TESTS_PIPELINE_BENCH_H
#define SYNOD_TESTS_PIPELINE_BENCH_H

#include "engine/pipeline/pipeline.h"
#include "engine/wire/wire.h"

#include <stdint.h>

enum {
	BENCH_CLUSTER = 0xbe7c,
	BENCH_BOOT = 0xb007,
	BENCH_SLOTS_MAX = 8192,
	BENCH_SKIPS_MAX = 64,
	BENCH_PARTS_MAX = 2048,
	BENCH_PACKETS_MAX = 512,
	BENCH_ANSWERS_MAX = 4096,
	BENCH_SESSIONS = 8,
	BENCH_PEER = 1 << 30, /* and a replica's number: an answer's `to`, if it left for that */
	BENCH_TURN_NS = 10000,
};

/* A datagram that left for a client, or for a peer. */
struct bench_answer {
	uint64_t to; /* the address it goes to, as it came in */
	uint32_t size;
	uint8_t bytes[SYNOD_FRAME_SIZE_MAX];
};

struct bench_record {
	struct synod_value value;
	uint64_t ballot;
	uint8_t *body;
};

struct bench {
	struct synod_pipeline *pipeline;
	struct rte_mempool *mbufs;
	struct rte_mempool *header_mbufs;
	struct synod_apply *apply;
	struct synod_positions_memory positions;
	uint64_t now_ns;
	uint32_t replicas;
	uint8_t *image;
	uint64_t image_room;

	struct synod_packet packets[BENCH_PACKETS_MAX]; /* to be received */
	uint32_t packets_begin;
	uint32_t packets_end;
	struct bench_answer *answers;
	uint32_t answers_count;
	uint32_t peers_lost; /* bit of each whose link is down */

	/* The journal. */
	struct bench_record *records; /* by slot */
	uint64_t tickets_given;
	uint64_t tickets_durable;
	uint32_t journal_held; /* 1: nothing becomes durable */
	uint32_t journal_busy; /* 1: no further write could start at once */
	int journal_error;     /* -errno: it has failed */
	struct {
		uint64_t slot;
		uint64_t cookie;
	} reads[8];
	uint32_t reads_count;
	uint64_t room;	      /* bytes */
	uint64_t slots_gone;  /* records up to that one cannot be read any more */
	uint32_t has_areas;   /* 1: it has room for snapshots */
	uint32_t wants;	      /* 1: it wants a snapshot */
	uint32_t writes_held; /* 1: a snapshot that is written does not become durable */
	struct synod_journal_snapshot snapshot; /* the durable one */
	struct synod_journal_snapshot writing;	/* slot 0: none */
	struct synod_journal_snapshot partial;	/* that is being received, as told; slot 0: none */
	uint64_t partial_received;
	uint8_t *snapshot_bytes;
	const uint8_t *writing_bytes;
	struct {
		uint64_t offset;
		uint64_t cookie;
		uint32_t size;
	} pieces[8];
	uint32_t pieces_count;
};

/* EAL, for a group of cmocka: without hugepages, devices or rights. */
int bench_eal(void **state);
int bench_eal_end(void **state);

/* The sequencer; it leads before this returns. */
struct bench *bench_make(void);
/* The same with a journal that has room for snapshots; or one of three, that follows. */
struct bench *bench_make_with_areas(uint32_t replicas);
void bench_free(struct bench *bench);

/* The process ends and starts again, on the same journal; it leads again before this returns. */
void bench_restart(struct bench *bench);

/* The same of one of three that has executed nothing, with what it was receiving as told. */
void bench_restart_receiving(struct bench *bench);

/* A datagram of that type from a client at that address. argument and slot as in wire.h. */
void bench_put(struct bench *bench, uint64_t from, const struct synod_wire_header *header,
	       const void *body, uint32_t size);

/* The same from a replica. */
void bench_put_peer(struct bench *bench, uint32_t from, const struct synod_wire_header *header,
		    const void *body, uint32_t size);

/* Turns of all stages. */
void bench_run(struct bench *bench, uint32_t turns);

/* The next answer that left, in order, decoded; 0: there is none. */
int bench_take(struct bench *bench, uint64_t *to, struct synod_wire_view *view);

/* Puts a request of one command. The result (and data) of the next answer, which must be there. */
void bench_request(struct bench *bench, uint8_t kind, uint64_t session, uint64_t number,
		   const void *payload, uint32_t size);
struct synod_wire_result bench_result(struct bench *bench, void *data);

uint64_t bench_open_session(struct bench *bench, uint64_t nonce);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the load generator's operations are. Each lane has one operation at a time: prepared here,
 * carried by the client, and its answer learned from here.
 *
 *   append   payloads for the sequencer; each is unique and checks itself
 *   kv       GET, PUT, CAS and DELETE over a few keys, drawn by seed; each value written is unique
 *            over all generators (nonce and sequence in its text). A CAS expects what this
 *            generator last saw of the key, or that there is no such key
 *
 * Pure: bytes and numbers in memory that the caller provides.
 */
#ifndef SYNOD_BENCH_WORKLOAD_H
#define SYNOD_BENCH_WORKLOAD_H

#include "bench/history.h"
#include "engine/base/limits.h"
#include "engine/client/client.h"

#include <stddef.h>
#include <stdint.h>

enum synod_workload_kind {
	SYNOD_WORKLOAD_APPEND,
	SYNOD_WORKLOAD_KV,
};

enum {
	SYNOD_WORKLOAD_PREFIX_MAX = 32,
	/* Eight digits of the nonce, a dash, fifteen of the sequence, hexadecimal. */
	SYNOD_WORKLOAD_VALUE_MIN = 24,
};

/* How a payload begins; filler follows. */
struct synod_load_payload {
	uint64_t sequence; /* of this generator, from 1 */
	uint64_t nonce;	   /* of this generator */
	uint32_t size;
	uint32_t crc; /* CRC32C of the three above and of the filler */
};

/* Weights, not all 0: how often each is drawn. */
struct synod_workload_mix {
	uint32_t get;
	uint32_t put;
	uint32_t cas;
	uint32_t delete;
};

struct synod_workload_config {
	enum synod_workload_kind kind;
	uint32_t lanes;
	uint32_t payload_size; /* append: of a payload; kv: of a value, from VALUE_MIN */
	uint64_t nonce;
	uint64_t seed;
	/* kv */
	uint32_t keys;		      /* 1..SYNOD_KV_ENTRIES */
	const char *prefix;	      /* of keys: prefix0, prefix1 …; NULL: "key" */
	enum synod_client_sort reads; /* how GETs are asked for */
	uint32_t replicas;	      /* whom stale ones ask, in turn */
	struct synod_workload_mix mix;
};

struct synod_workload;

/* Bytes of memory (64-byte aligned). 0: config is out of range. */
size_t synod_workload_size(const struct synod_workload_config *config);

/* Makes one there; config was found in range. */
struct synod_workload *synod_workload_init(void *memory,
					   const struct synod_workload_config *config);

/* The largest command it makes, and the most bytes of a history's record, for such a config. */
uint32_t synod_workload_command_max(const struct synod_workload_config *config);
uint32_t synod_workload_record_bytes(const struct synod_workload_config *config);

/* The next operation of a lane, into op: data, size, sort, replica, result, result_capacity. */
void synod_workload_prepare(struct synod_workload *workload, uint32_t lane,
			    struct synod_client_op *op);

/* Takes notice of what the lane's operation was answered. */
void synod_workload_learn(struct synod_workload *workload, uint32_t lane,
			  const struct synod_client_op *op);

/* Operation, key, expected, value and read of the lane's operation, as it stands now. */
void synod_workload_describe(const struct synod_workload *workload, uint32_t lane,
			     const struct synod_client_op *op, struct synod_history_record *record);

/* 1 if the payload (as read back from anywhere) is whole; short ones cannot tell and are. */
int synod_load_payload_check(const void *payload, uint32_t size);

#endif

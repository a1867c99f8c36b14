/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The history of a run: what each client saw, for whoever judges it from outside. One JSON object a
 * line, in the order in which operations ended:
 *
 *   {"client": 3, "operation": "cas", "key": "key7", "expected": "…", "value": "…",
 *    "invoked": 81234, "answered": 85678, "outcome": "OK", "position": 12}
 *
 *   client     its number. Operations of one client follow each other in time; a client whose
 *              operation may still take effect later is never heard of again: its lane goes on
 *              under a new number
 *   operation  get, put, delete, cas; or append, of the sequencer
 *   key        not with append
 *   value      put, append: written; cas: to be written; get: read, or null: there was none
 *   expected   cas only; null: only if the key does not exist
 *   invoked    ns on CLOCK_MONOTONIC, read before the operation could leave
 *   answered   ns, read after its answer had arrived; null: it did not end, and may have taken
 *              effect, or not, at any time after invoked
 *   outcome    the name of enum synod_status: OK, NOT_FOUND, MISMATCH, NO_SPACE are answers of the
 *              machine; NOT_LEADER, TOO_LARGE: it was not done and never will be; UNKNOWN,
 *              SESSION_EVICTED, STALE, FULL (answered is null): it is not known (FULL: every copy
 *              that was answered was refused, but a network may have kept another)
 *   read       get only: log (a command like others), linearizable, stale (claims nothing)
 *   position   where the command took one; not with get (repeated, it looks again: the position
 *              would not say which value it saw)
 *
 * Bytes of keys and values that are not printable ASCII are written as \u00XX, one for a byte.
 *
 *   generator ──add──► ring ──publish(now)──► writer's thread: text ──► file
 *
 * What the generator pays is the copy of the record, 20 to 70 ns (64-byte values; a lane also
 * rests until the next turn, see load.h); formatting, another 60 to 80 ns, and writing are a
 * thread's own. A record is stamped only when it is published, with a clock read after whatever
 * answered it was received: read before, an answer could seem older than its effect. A ring without
 * room makes the generator wait: nothing is lost.
 */
#ifndef SYNOD_BENCH_HISTORY_H
#define SYNOD_BENCH_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum synod_history_operation {
	SYNOD_HISTORY_APPEND,
	SYNOD_HISTORY_GET,
	SYNOD_HISTORY_PUT,
	SYNOD_HISTORY_DELETE,
	SYNOD_HISTORY_CAS,
};

enum synod_history_read {
	SYNOD_HISTORY_READ_NONE,
	SYNOD_HISTORY_READ_LOG,
	SYNOD_HISTORY_READ_LINEARIZABLE,
	SYNOD_HISTORY_READ_STALE,
};

struct synod_history_record {
	uint64_t client;
	uint64_t invoked_ns;
	uint64_t answered_ns; /* set by publish, unless open */
	uint64_t position;    /* 0: none */
	uint16_t outcome;     /* enum synod_status */
	uint8_t operation;    /* enum synod_history_operation */
	uint8_t read;	      /* enum synod_history_read */
	uint8_t open;	      /* 1: did not end */
	uint8_t key_size;     /* 0: no key */
	uint8_t has_expected; /* 0: null */
	uint8_t has_value;    /* 0: null */
	uint16_t expected_size;
	uint16_t value_size;
	uint8_t bytes[]; /* key, expected, value */
};

struct synod_history;

/*
 * Begins one in a new file, with room for so many records (rounded up to a power of two) of so many
 * bytes, and its thread. All memory is taken here. Returns 0, or -errno: of open, or -ENOMEM.
 */
int synod_history_open(struct synod_history **history, const char *path, uint32_t records,
		       uint32_t record_bytes) __attribute__((warn_unused_result));

/* Records that can be added before the thread has written more. */
uint32_t synod_history_room(const struct synod_history *history);

/* The next record, to be filled in by the caller, who saw that there is room. */
struct synod_history_record *synod_history_add(struct synod_history *history);

/* Stamps what was added since the last time, and lets the thread have it. */
void synod_history_publish(struct synod_history *history, uint64_t now_ns);

/* 0, or -errno: the file took no more; the history is not whole. */
int synod_history_failed(const struct synod_history *history);

/* Writes out what was published, closes, frees. Returns 0 or -errno, as failed. NULL: nothing. */
int synod_history_close(struct synod_history *history) __attribute__((warn_unused_result));

/* One record as a line, newline and NUL included. Returns its length; size: SYNOD_HISTORY_LINE. */
size_t synod_history_line(const struct synod_history_record *record, char *line, size_t size);

/* For a record of so many bytes: six for each, and the rest. */
#define SYNOD_HISTORY_LINE(record_bytes) ((size_t)(record_bytes)*6 + 512)

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is a history of a key-value store linearizable? Is there one order of its operations that a
 * single copy could have executed, one at a time, in which each stands between its invocation and
 * its answer? Keys are independent, so each is judged alone (linearizability is compositional).
 *
 * Knows nothing of the engine: it is the judge of histories of the simulator and of real runs.
 *
 * How: Wing and Gong's search with Lowe's just-in-time order and memory. The search holds a set of
 * operations already placed and the register's value after them. The next one placed is any whose
 * invocation lies before the first answer of those not yet placed. A (set, value) that was met
 * before is not searched again. Four things keep it short, none of which loses an order:
 *   - what changes nothing anywhere (a read, a failed cas) and fits now is placed at once, without
 *     trying anything else: in any order that places it later it can be moved forward to here;
 *   - an UNKNOWN operation is placed only where it changes something, or never;
 *   - of UNKNOWN operations that do the same, the one invoked first is placed first;
 *   - who got as far with fewer UNKNOWN ones placed can do all that one with more can.
 * It is iterative. When it has taken more than `steps_max` steps it says UNDECIDED, which a test
 * must count as a failure.
 *
 * The history as a file (synod-linear reads it): one JSON object a line.
 *
 *   {"client": 3, "operation": "cas", "key": "k1", "value": "b", "expected": "a",
 *    "invoked": 1000, "answered": 2000, "outcome": "OK", "read": "log"}
 *
 *   client     number; one client may have several operations under way
 *   operation  "get" "put" "delete" "cas"
 *   key        string
 *   value      put: written; cas: the new one; get: what was read, null if nothing was
 *   expected   cas: the value compared with; null or missing: the key must not exist
 *   invoked, answered
 *              nanoseconds of one clock for the whole file; answered is null with UNKNOWN
 *   outcome    as in enum synod_status: "OK" "NOT_FOUND" "MISMATCH" "NO_SPACE"; "UNKNOWN" may
 *              have taken effect at any time after it was invoked, or never, and so may one with
 *              "SESSION_EVICTED", "FULL" (a copy may have been executed), "STALE" or "HALTED";
 *              "NOT_LEADER", "BUSY", "TOO_LARGE" and "BAD_COMMAND" took no effect
 *   read       get: how it was read, "log" (also if missing) or "linearizable": both are part of
 *              the history; "stale": only its value is checked: somebody must have begun to write
 *              it before the read was answered
 *
 * Other members are ignored.
 */
#ifndef SYNOD_TESTS_LINEAR_LINEAR_H
#define SYNOD_TESTS_LINEAR_LINEAR_H

#include <stdint.h>

enum linear_operation {
	LINEAR_GET,
	LINEAR_PUT,
	LINEAR_DELETE,
	LINEAR_CAS
};

enum linear_outcome {
	LINEAR_OK,
	LINEAR_NOT_FOUND,
	LINEAR_MISMATCH,
	LINEAR_NO_SPACE, /* put, cas of a new key: the table is full */
	LINEAR_UNKNOWN,
};

enum linear_verdict {
	LINEAR_YES,
	LINEAR_NO,
	LINEAR_UNDECIDED
};

/* Values are numbers here; two of them are special. */
#define LINEAR_ABSENT 0u	 /* no such key */
#define LINEAR_ANY    UINT32_MAX /* initially: nothing is known of it */
#define LINEAR_NEVER  UINT64_MAX /* answered: not */

struct linear_op {
	uint64_t invoked;
	uint64_t answered; /* LINEAR_NEVER with LINEAR_UNKNOWN */
	/* Where it is thought to stand in the order, or 0: of several that may come next the lower
	 * is tried first, then the one answered first. It makes the search short, no more. */
	uint64_t hint;
	uint32_t key;
	uint32_t value;	   /* put, cas: written; get: read, or LINEAR_ABSENT */
	uint32_t expected; /* cas: compared with; LINEAR_ABSENT: must not exist */
	uint32_t tag;	   /* the caller's: a line, an index */
	uint8_t operation; /* enum linear_operation */
	uint8_t outcome;   /* enum linear_outcome */
	uint8_t stale;	   /* get: not part of the order */
	uint8_t optional;  /* may be left out of the order; set by linear_check */
};

struct linear_result {
	enum linear_verdict verdict;
	uint64_t steps;
	/* Not YES: the key, and what of its sorted operations overlaps from_ns..to_ns cannot be put
	 * in order, whatever was there before: the shortest such window that ends with the first
	 * answer that no order explains (UNDECIDED: everything). */
	uint32_t key;
	uint32_t blamed; /* NO: the index of the operation with that answer */
	uint64_t from_ns;
	uint64_t to_ns;
};

/*
 * Judges a history; sorts the operations by (key, invoked). initial: every key's value before it,
 * LINEAR_ABSENT or LINEAR_ANY. steps_max is for each key.
 */
void linear_check(struct linear_op *ops, uint32_t count, uint32_t initial, uint64_t steps_max,
		  struct linear_result *result);

/*
 * Judges one key's operations, sorted by invocation, none of them stale. Returns the verdict and
 * adds to *steps; with NO, *blamed is the operation whose answer no order gets beyond. search.c.
 */
enum linear_verdict linear_search(const struct linear_op *ops, uint32_t count, uint32_t initial,
				  uint64_t steps_max, uint64_t *steps, uint32_t *blamed);

#endif

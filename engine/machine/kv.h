/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The key-value machine's commands, as a client writes them into an operation's data:
 *
 *   offset 0          1      2         3         4              6
 *          operation  flags  key size  reserved  expected size  value size  key expected value
 *          u8         u8     u8        0         u16            u16         bytes, no padding
 *
 *   GET     key                   OK and the value; NOT_FOUND
 *   PUT     key, value            OK; NO_SPACE (the table has SYNOD_KV_ENTRIES keys)
 *   DELETE  key                   OK; NOT_FOUND
 *   CAS     key, expected, value  compare and set: OK; MISMATCH (another value); NOT_FOUND. With
 *                                 SYNOD_KV_ABSENT: set if there is no such key (expected is empty):
 *                                 OK; MISMATCH (there is one); NO_SPACE
 *
 * Keys have 1..SYNOD_KV_KEY_SIZE_MAX bytes, values 0..SYNOD_KV_VALUE_SIZE_MAX, any bytes. A command
 * that is anything else gets BAD_COMMAND; like every command it takes a position.
 *
 * A duplicate (a retry of what was executed) changes nothing and gets its first status again; a GET
 * looks again, which is as good a moment as the first: its client had no answer yet.
 */
#ifndef SYNOD_MACHINE_KV_H
#define SYNOD_MACHINE_KV_H

#include "engine/base/limits.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SYNOD_KV_GET = 1,
	SYNOD_KV_PUT = 2,
	SYNOD_KV_DELETE = 3,
	SYNOD_KV_CAS = 4,

	SYNOD_KV_ABSENT = 1, /* flag of CAS: the key must not exist */

	SYNOD_KV_HEADER_SIZE = 8,
	SYNOD_KV_COMMAND_SIZE_MAX =
		SYNOD_KV_HEADER_SIZE + SYNOD_KV_KEY_SIZE_MAX + 2 * SYNOD_KV_VALUE_SIZE_MAX,
};

/* A command in parts. What an operation does not use is 0 and NULL. */
struct synod_kv_request {
	uint8_t operation;
	uint8_t flags;
	uint8_t key_size;
	uint8_t reserved;
	uint16_t expected_size;
	uint16_t value_size;
	const void *key;
	const void *expected;
	const void *value;
};

/*
 * Writes a command into capacity bytes (SYNOD_KV_COMMAND_SIZE_MAX always suffice). Returns its
 * size, or -EINVAL (a request the machine would refuse), -ENOBUFS. Pure; any thread.
 */
int synod_kv_encode(const struct synod_kv_request *request, void *buffer, size_t capacity);

/*
 * Reads a command back; the pointers point into it. Returns 0, or -EINVAL for anything but a whole
 * valid command. Pure; any thread.
 */
int synod_kv_decode(const void *command, size_t size, struct synod_kv_request *request);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The value of a slot: a batch of 0..n commands. The bytes live elsewhere (a packet buffer, a
 * simulator's table): a value names them by handle and describes them. Handle 0 is the no-op, which
 * has no bytes.
 */
#ifndef SYNOD_BASE_VALUE_H
#define SYNOD_BASE_VALUE_H

#include <stdint.h>

struct synod_value {
	uint32_t handle; /* who holds the bytes knows what it means; 0: no bytes */
	uint32_t size;	 /* bytes, a multiple of 8 */
	uint32_t count;	 /* commands */
	uint32_t crc;	 /* CRC32C of the bytes, computed once, by the leader that gathered them */
};

#ifndef __cplusplus
_Static_assert(sizeof(struct synod_value) == 16, "no padding: values are hashed");
#endif

#endif

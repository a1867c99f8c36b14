/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CRC32C (Castagnoli), by ISA-L. Standard parameters: initial value and final xor all ones, so that
 * crc32c("123456789") is 0xE3069283. Any thread; no state.
 */
#ifndef SYNOD_BASE_CRC32C_H
#define SYNOD_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

uint32_t synod_crc32c(const void *data, size_t size);

/* Continue: crc is what an earlier call returned, over the bytes before these. */
uint32_t synod_crc32c_more(uint32_t crc, const void *data, size_t size);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside tools/synod_*.c only: a client's way to the replicas. By a memif lane of its own (through
 * DPDK, silenced), or by an ordinary socket to the replicas' doors. One a process.
 */
#ifndef SYNOD_TOOLS_SYNOD_CONNECT_H
#define SYNOD_TOOLS_SYNOD_CONNECT_H

#include "engine/client/transport.h"
#include "engine/config/config.h"

#include <stdint.h>

/*
 * Opens it: by UDP if by_udp is set, or where there is no memif; else by memif. Returns 0, or the
 * exit status after a complaint.
 */
int synod_tool_connect(const struct synod_config *config, int by_udp,
		       struct synod_transport *transport);

void synod_tool_disconnect(void);

/* Monotonic, for the client; and random, for nonces. */
uint64_t synod_tool_now_ns(void);
uint64_t synod_tool_random(void);

#endif

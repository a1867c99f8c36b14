/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a figure stands on, asked of the replicas themselves when the load is over: the
 * configuration only says what was wanted.
 */
#ifndef SYNOD_BENCH_LOAD_STAMP_H
#define SYNOD_BENCH_LOAD_STAMP_H

#include "engine/client/transport.h"
#include "engine/config/config.h"

#include <jansson.h>

/*
 * What the journals of the replicas that answer within half a second stand on, in the words of
 * `synod status`: a string; "mixed" where they differ, null where nobody answered. A new reference.
 * Not while a client uses the transport.
 */
json_t *synod_load_stamp(const struct synod_config *config,
			 const struct synod_transport *transport);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state behind apply.h: one flat block, so that it can be copied and compared.
 *
 *   | struct synod_apply | session table | assemblies of large commands | machine's state |
 *
 * Only the pointer to the machine's functions points outside, and no hash reads it. Only apply.c
 * and apply_image.c look inside.
 */
#ifndef SYNOD_MACHINE_APPLY_INTERNAL_H
#define SYNOD_MACHINE_APPLY_INTERNAL_H

#include "engine/machine/apply.h"
#include "engine/machine/assembly.h"
#include "engine/machine/session.h"

#include <stdint.h>

struct synod_apply {
	const struct synod_machine *machine;
	uint64_t slot;	   /* last applied */
	uint64_t position; /* last given */
	/*
	 * Of every command that changed something, folded in order. A duplicate and a no-op change
	 * nothing: a log with more of them leads to the same state.
	 */
	uint64_t hash;
	/* Offsets in bytes from the beginning of this struct. */
	uint64_t at_sessions;
	uint64_t at_assemblies;
	uint64_t at_machine;

	struct synod_apply_limits limits; /* as it was made */
};

static inline struct synod_sessions *sessions_of(const struct synod_apply *apply)
{
	return (struct synod_sessions *)((uintptr_t)apply + apply->at_sessions);
}

static inline struct synod_assemblies *assemblies_of(const struct synod_apply *apply)
{
	return (struct synod_assemblies *)((uintptr_t)apply + apply->at_assemblies);
}

static inline void *machine_of(const struct synod_apply *apply)
{
	return (void *)((uintptr_t)apply + apply->at_machine);
}

#endif

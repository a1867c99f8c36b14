/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From chosen batches to results: sessions (exactly-once), positions, the state machine. Pure; one
 * thread; every replica that applies the same slots has the same bytes here (I7, I9).
 *
 * A position is given to each command that is executed: not to a REGISTER, not to a duplicate, not
 * to a command of an unknown session, not to a part but the last. So the sequence that users see
 * has no gaps and no repeats.
 */
#ifndef SYNOD_MACHINE_APPLY_H
#define SYNOD_MACHINE_APPLY_H

#include "engine/machine/machine.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_apply;

/* The result of one command of a batch, in the batch's order. */
struct synod_apply_result {
	uint64_t session; /* as the command says; for a REGISTER 0 */
	uint64_t number;
	uint64_t position; /* 0: none was given; for a REGISTER the session that was opened */
	uint16_t status;   /* enum synod_status */
	uint8_t executed;  /* 1: took position; 0: registration, duplicate, refused */
	uint8_t duplicate; /* 1: answered from the session table */
	uint32_t size;
	const void *data; /* valid until the sink returns */
	/* Of a part of a large command; the last one's outcome is the command's. */
	uint8_t part;	 /* enum synod_apply_part */
	uint8_t buffer;	 /* TAKEN: which buffer it went to, from 0 */
	uint32_t offset; /* TAKEN: where in the command */
	uint32_t have;	 /* PARTIAL: bytes of the command there are; the data points to it */
	uint32_t window; /* of the session that a REGISTER opened or found; else 0 */
};

enum synod_apply_part {
	SYNOD_APPLY_WHOLE = 0,	/* no part at all */
	SYNOD_APPLY_PART_LEFT,	/* a part that changed nothing */
	SYNOD_APPLY_PART_TAKEN, /* one that was put behind those before it */
};

/* Called once a command, in order. index: place in the batch, from 0. */
typedef void (*synod_apply_sink)(void *context, uint32_t index,
				 const struct synod_apply_result *result);

/* What the state holds at most; the same on all replicas, since outcomes depend on it. */
struct synod_apply_limits {
	uint32_t sessions;	/* 1..SYNOD_SESSIONS_MAX */
	uint32_t window;	/* of each; what goes together: synod_session_shape_is_sane */
	uint32_t assemblies;	/* large commands put together at once: 1..SYNOD_ASSEMBLIES */
	uint32_t assembly_size; /* bytes of one: at most SYNOD_COMMAND_LARGE_MAX */
};

/* That many sessions, each with such a window, and the rest as large as it may be: a replica's. */
struct synod_apply_limits synod_apply_limits(uint32_t sessions, uint32_t window);

/* Bytes needed, over that machine. Without limits: that many sessions, all else at its largest. */
size_t synod_apply_size_within(const struct synod_machine *machine,
			       const struct synod_apply_limits *limits);
size_t synod_apply_size(const struct synod_machine *machine, uint32_t sessions);

/* Makes the first state in zeroed, 64-byte-aligned memory of that size. Returns it, typed. */
struct synod_apply *synod_apply_init_within(void *memory, const struct synod_machine *machine,
					    const struct synod_apply_limits *limits);
struct synod_apply *synod_apply_init(void *memory, const struct synod_machine *machine,
				     uint32_t sessions);

/*
 * Applies the batch of the next slot (slots come without gaps, from 1; size 0 is a no-op). The
 * bytes were checked by synod_wire_commands_check. sink may be NULL.
 */
void synod_apply_batch(struct synod_apply *apply, uint64_t slot, const void *body, uint32_t size,
		       synod_apply_sink sink, void *context);

/*
 * Answers a read from the state as it is after the last slot applied: its position is that of the
 * last command executed. Of an unknown session: SESSION_EVICTED, and nothing is told. Changes
 * nothing that is replicated.
 */
void synod_apply_query(struct synod_apply *apply, uint64_t session, uint64_t number,
		       const void *payload, uint32_t size, struct synod_apply_result *result);

uint64_t synod_apply_slot(const struct synod_apply *apply);	/* last slot applied, 0: none */
uint64_t synod_apply_position(const struct synod_apply *apply); /* last position given, 0: none */
uint64_t synod_apply_sessions(const struct synod_apply *apply); /* sessions open */
/* Of everything above but the slot, and of the machine: duplicates and no-ops leave it alone. */
uint64_t synod_apply_hash(const struct synod_apply *apply);

/*
 * An image: all of the state after the last slot applied, as compact bytes, to be stored and sent.
 * Equal states give equal bytes. See image.h for what is in them.
 *
 * At most how many bytes, a multiple of 8.
 */
size_t synod_apply_image_max(const struct synod_machine *machine,
			     const struct synod_apply_limits *limits);

/*
 * Writes it (to an address that is a multiple of 8, of that many bytes). Returns its size, a
 * multiple of 8. One pass of copying: what it costs is memory bandwidth, so let the pages of the
 * image be there before.
 */
size_t synod_apply_save(const struct synod_apply *apply, void *image);

/*
 * Puts the state of an image in the place of this one. Its bytes are not trusted: 0, -EINVAL: of
 * another machine or other limits than this state was made with; -EBADMSG: anything else than what
 * save writes. On failure the state is that of a fresh init. A loaded state goes on exactly as the
 * one that was saved.
 */
int synod_apply_load(struct synod_apply *apply, const void *image, size_t size);

/*
 * What an image stands for, from its first SYNOD_APPLY_IMAGE_PEEK bytes or more, wherever they lie:
 * all slots up to slot, all commands up to position. 0, or -EBADMSG.
 */
enum {
	SYNOD_APPLY_IMAGE_PEEK = 96,
};
int synod_apply_image_slot(const void *image, size_t size, uint64_t *slot, uint64_t *position);

#ifdef __cplusplus
}
#endif

#endif

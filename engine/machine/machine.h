/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A state machine: what the chosen commands do. Deterministic and pure: no clock, no allocator, no
 * randomness; the same commands in the same order give the same state, bit for bit, on every
 * replica. Its memory is one flat block that its owner provides.
 */
#ifndef SYNOD_MACHINE_MACHINE_H
#define SYNOD_MACHINE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a command did. data belongs to the machine and is valid until its next apply. */
struct synod_outcome {
	uint16_t status; /* enum synod_status */
	uint32_t size;	 /* bytes of data, at most SYNOD_RESULT_SIZE_MAX */
	const void *data;
};

struct synod_machine {
	const char *name; /* as in the configuration: machine = NAME */

	/* Bytes of state, and how to make the first one in zeroed, 64-byte-aligned memory. */
	size_t (*size)(void);
	void (*init)(void *state);

	/* Executes one command, the position'th (from 1). */
	void (*apply)(void *state, uint64_t position, const void *command, uint32_t size,
		      struct synod_outcome *outcome);

	/*
	 * Answers a duplicate of a command that was executed earlier with this status: a change is
	 * not repeated; a read may look again. Does not change the state.
	 */
	void (*repeat)(const void *state, uint64_t position, uint16_t status, const void *command,
		       uint32_t size, struct synod_outcome *outcome);

	/* Answers a read. Anything that would change the state is a BAD_COMMAND. */
	void (*query)(const void *state, const void *command, uint32_t size,
		      struct synod_outcome *outcome);

	/* A number that differs when states differ, kept up to date by apply: cheap to ask. */
	uint64_t (*hash)(const void *state);

	/*
	 * The state as compact bytes: at most how many, and the writing of them (returns how many;
	 * both multiples of 8; the image is aligned to 8). Equal states give equal bytes. A state
	 * that loads them goes on exactly as the one that saved them.
	 */
	size_t (*image_max)(void);
	size_t (*save)(const void *state, void *image);

	/*
	 * Reads them into a first state, of which the last command executed has that position. The
	 * bytes are not trusted: 0, or -EBADMSG for any that save could not have written; then the
	 * state is to be made anew.
	 */
	int (*load)(void *state, uint64_t position, const void *image, size_t size);
};

extern const struct synod_machine synod_sequencer_machine;
extern const struct synod_machine synod_kv_machine;

/* By name, or NULL. */
const struct synod_machine *synod_machine_find(const char *name);

#ifdef __cplusplus
}
#endif

#endif

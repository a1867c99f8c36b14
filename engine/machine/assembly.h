/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large commands: put together from parts that were ordered like commands. Replicated state, of
 * fixed size: a number of buffers, each for one command at a time. Only synod_apply uses it, for
 * numbers that its session has not executed.
 *
 *      parts, as ordered      0..8k   8k..16k   24k..32k   16k..24k   24k..32k
 *      have, after each         8k       16k        16k        24k        32k
 *                            taken    taken   elsewhere      taken      taken …
 *
 * A part is taken if it begins where the command's assembled bytes end, and else changes nothing:
 * whoever sent it is told how far it is, and goes back or on. The first one finds its buffer:
 *
 *   - the session's own, if it has one: of this number (a copy: told how far it is), of a lower one
 *     (given up by its client, who works on one at a time: begun anew), or of a higher one (refused
 *     until that is done);
 *   - a free one;
 *   - that whose last part came longest ago, by slot (the lowest of several), if that is at least
 *     SYNOD_ASSEMBLY_IDLE_SLOTS slots;
 *   - none: refused, to be tried again.
 *
 * A buffer is free again when its command is whole and executed, when its number turns out to be
 * executed or too old, and when its session is evicted.
 */
#ifndef SYNOD_MACHINE_ASSEMBLY_H
#define SYNOD_MACHINE_ASSEMBLY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_assemblies; /* the block's beginning; flat, no pointers */

struct synod_assembly_part {
	uint64_t session;
	uint64_t number;
	uint64_t slot;	 /* of the part: how buffers grow old */
	uint32_t offset; /* of its bytes in the command */
	uint32_t total;	 /* bytes of the command */
	const void *bytes;
	uint32_t size;
};

enum synod_assembly_verdict {
	SYNOD_ASSEMBLY_TAKEN,
	SYNOD_ASSEMBLY_WHOLE,	  /* taken, and it was the last: execute, then drop */
	SYNOD_ASSEMBLY_ELSEWHERE, /* it does not begin where the command's bytes end */
	SYNOD_ASSEMBLY_NO_BUFFER, /* all are in use, or the session's by a later number */
	SYNOD_ASSEMBLY_TOO_LARGE, /* for a buffer */
};

/* How far a command is, after a part. */
struct synod_assembly_progress {
	uint32_t buffer; /* TAKEN, WHOLE: which one, from 0 */
	uint32_t have;	 /* bytes assembled; 0 where there is no buffer */
};

/* Bytes of so many buffers for commands of so many bytes; a multiple of 64. */
size_t synod_assemblies_size(uint32_t buffers, uint32_t buffer_size);

/* Makes them, all free, in zeroed, 64-byte-aligned memory of that size. */
void synod_assemblies_init(struct synod_assemblies *assemblies, uint32_t buffers,
			   uint32_t buffer_size);

/* Judges a part, and takes it where it fits. Its bytes lie within its total: checked before. */
enum synod_assembly_verdict synod_assembly_add(struct synod_assemblies *assemblies,
					       const struct synod_assembly_part *part,
					       struct synod_assembly_progress *progress);

/* The bytes of a buffer, 64-byte-aligned; of a WHOLE command all of them. */
const void *synod_assembly_bytes(const struct synod_assemblies *assemblies, uint32_t buffer);

/* Frees the buffer of that number, if there is one; of that session, whatever the number. */
void synod_assembly_drop(struct synod_assemblies *assemblies, uint64_t session, uint64_t number);
void synod_assembly_drop_session(struct synod_assemblies *assemblies, uint64_t session);

/*
 * The buffers in use as compact bytes (image.h): at most how many, and the writing of them (returns
 * how many, a multiple of 8). Equal ones give equal bytes.
 */
size_t synod_assemblies_image_max(uint32_t buffers, uint32_t buffer_size);
size_t synod_assemblies_save(const struct synod_assemblies *assemblies, void *image);

/*
 * Reads them where all are free, of a state at that slot. 0, or -EBADMSG for any that save could
 * not have written; they are then to be made anew. Whether the sessions are open is not known here:
 * synod_assembly_session tells the session of each.
 */
int synod_assemblies_load(struct synod_assemblies *assemblies, uint64_t slot, const void *image,
			  size_t size);

/* Whose command is in that buffer; 0: it is free. */
uint64_t synod_assembly_session(const struct synod_assemblies *assemblies, uint32_t buffer);

/* Buffers in use. */
uint32_t synod_assembly_count(const struct synod_assemblies *assemblies);

#ifdef __cplusplus
}
#endif

#endif

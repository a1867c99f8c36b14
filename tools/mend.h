/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole journal in place of a corrupt one, from those of other replicas: what `synod repair` does
 * but for its words, so that tests/journal can do it thousands of times. The rule is
 * engine/journal/recovery.h. One thread.
 *
 *     open the old one and the others as sources; begin, add the others, check; if possible,
 *     write; end; close the sources
 */
#ifndef SYNOD_TOOLS_MEND_H
#define SYNOD_TOOLS_MEND_H

#include "engine/journal/uring.h"

#include <stddef.h>
#include <stdint.h>

/* A journal that is read: the corrupt one, or another replica's. May serve several repairs. */
struct synod_mend_source {
	struct synod_journal *journal;
	struct synod_journal_recovery found;
};

struct synod_mend {
	struct synod_mend_source *old;
	struct synod_mend_source *others[SYNOD_REPLICAS_MAX];
	struct synod_journal *fresh;
	struct synod_journal_port port;
	struct synod_repair rule;
	uint64_t ticket;
	/* Called for each slot that was corrupt, when it has been written anew. May be NULL. */
	void (*repaired)(uint64_t slot, uint32_t replica);
	char error[1024]; /* of what failed, a sentence */
};

/* For reading, and its snapshot is looked at. 0, or -errno and a sentence in error. */
int synod_mend_source_open(struct synod_mend_source *source, const char *path, char *error,
			   size_t error_size) __attribute__((warn_unused_result));
void synod_mend_source_close(struct synod_mend_source *source);

/* The sources are the caller's, and stay open until the end. At most SYNOD_REPLICAS_MAX others. */
void synod_mend_begin(struct synod_mend *mend, struct synod_mend_source *old);
void synod_mend_add(struct synod_mend *mend, struct synod_mend_source *other);

/* As synod_repair_check. */
enum synod_repair_verdict synod_mend_check(struct synod_mend *mend, uint64_t *slot);

/* POSSIBLE: writes the new one to that path, over what is there. 0, or -errno and the error. */
int synod_mend_write(struct synod_mend *mend, const char *path) __attribute__((warn_unused_result));

/* Closes the new one. */
void synod_mend_end(struct synod_mend *mend);

#endif

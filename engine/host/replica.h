/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A replica inside your process: the whole of Synod behind five calls. tools/synodd.c is a program
 * of a hundred lines over them, and an example.
 *
 *     EAL is yours: initialise it first (net/eal.h helps programs; an application that has DPDK
 *     already keeps its own). Threads are yours: call synod_replica_poll from one thread for each
 *     core that the configuration names, as often as you like; it never blocks. Nothing here
 *     creates a thread, handles a signal, prints or exits.
 *
 * Sources: the configuration is engine/config/config.h; the journal must have been made by
 * `synod format` (synod_journal_format).
 */
#ifndef SYNOD_HOST_REPLICA_H
#define SYNOD_HOST_REPLICA_H

#include "engine/config/config.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct synod_replica;

/* What opening found and obtained; for the log. */
struct synod_replica_opened {
	uint64_t snapshot_slot; /* of the snapshot that was loaded; 0: there is none */
	/* Of a snapshot that was being received, and can go on; slot 0: there is none. */
	uint64_t partial_slot;
	uint64_t partial_received; /* bytes of it that are here */
	uint64_t partial_total;	   /* and of the whole */
	uint64_t slots_replayed;   /* chosen slots executed again, from the journal */
	uint64_t position;	   /* of the last command among them */
	uint64_t suffix_slots;	   /* accepted and not known to be chosen */
	uint64_t promised;	   /* ballot */
	uint64_t replay_ns;
	uint64_t
		scan_ns; /* until the journal was open: all of its log in use is read and checked */
	uint64_t scan_bytes;
	/* Slots that the journal has corrupt. Until they are repaired from the other replicas, it
	 * takes no part: it votes for nothing, and has executed nothing (suffix, promised: not
	 * told). 0: none. */
	uint64_t slots_faulty;
	uint64_t slots_repaired; /* before this opening, by the same process */
	uint64_t slots_covered;	 /* of those, by a snapshot of the replica covered_from */
	uint32_t covered_from;
	uint32_t reserved;
	uint64_t torn_bytes_at; /* offset of a torn tail that was dropped; 0: the log ended clean */
	char durability[160];	/* "o_direct+rwf_dsync on ext4, /dev/vda, …": what was obtained */
	uint32_t forgetful;	/* 1: durability none: what it promised does not outlive it */
	uint32_t registered_buffers; /* 0: RLIMIT_MEMLOCK refused; works, a little slower */
	uint32_t defer_taskrun;
};

/*
 * Opens journal, ports and pipeline of replica id, and executes what the journal knows to be
 * chosen; or, where the journal is corrupt in slots that others may have, begins to mend it
 * (opened->slots_faulty). config is copied. Blocks while it reads the journal once. Returns 0, or
 * -errno with one line in error: what, where, and the remedy. Call from the main thread.
 */
int synod_replica_open(struct synod_replica **replica, const struct synod_config *config,
		       uint32_t id, struct synod_replica_opened *opened, char *error,
		       size_t error_size) __attribute__((warn_unused_result));

/* Stops and frees. No poll may be under way. NULL is accepted. */
void synod_replica_close(struct synod_replica *replica);

/*
 * One turn of the stages of that core (a number from the configuration). Returns the work done, 0
 * when idle, or -errno: the replica has failed (its disk), and must be closed; the others go on.
 * Between the failure and that answer it orders nothing, and tells clients HALTED for a moment.
 * One thread for each core, always the same.
 * -ERESTART: a journal that was corrupt is mended. When no poll is under way any more: resume.
 */
int synod_replica_poll(struct synod_replica *replica, uint32_t core)
	__attribute__((warn_unused_result));

/*
 * After -ERESTART: opens the mended journal as open does, over the same network, and fills opened
 * anew. Then poll again; or, after an error, close. Call from the main thread.
 */
int synod_replica_resume(struct synod_replica *replica, struct synod_replica_opened *opened,
			 char *error, size_t error_size) __attribute__((warn_unused_result));

/*
 * While a journal is mended, and until it is resumed: the nth slot that was repaired, from 0, and
 * the replica that gave its value. Returns 0: there are not so many yet. Any thread.
 */
int synod_replica_repaired(struct synod_replica *replica, uint32_t nth, uint64_t *slot,
			   uint32_t *from);

/* The distinct cores that want a thread, at most SYNOD_STAGES_COUNT. Returns how many. */
uint32_t synod_replica_cores(const struct synod_replica *replica, uint32_t *cores);

/* After a failure: how many commands were answered HALTED since. Any thread. */
uint64_t synod_replica_halted(const struct synod_replica *replica);

/* 1: it leads, or knows who does. Any thread. */
int synod_replica_is_led(const struct synod_replica *replica);

/* After a failure, once no poll is under way: what failed, in one line. Else "". */
const char *synod_replica_error(struct synod_replica *replica);

/* 1 when this replica leads or knows a leader. Any thread. */
int synod_replica_serves(struct synod_replica *replica);

#ifdef __cplusplus
}
#endif

#endif

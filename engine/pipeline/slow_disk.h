/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Does this leader's own disk hold nobody up but its clients? Chosen is what a quorum has, so the
 * others can be ahead of the leader's disk, and a cluster led by the replica with the slow one is
 * slower than it need be. A value, looked at once a turn of the order stage: it takes the last
 * write given as its mark, and sees who is done with it first, the own disk or the others.
 *
 *     mark: write 70, slot 68  ──►  slot 68 chosen after 0.4 ms  ──►  write 70 durable after 90 ms
 *                                    (without our vote)                 one slow look
 *
 * SLOW_DISK_LOOKS slow looks in a row, or one write that takes four times as long, and leadership
 * had better go. Not again before SLOW_DISK_COOL_NS: a hand-over to somebody slower must not go to
 * and fro. Where all disks are slow the others are not ahead, and nothing is done.
 */
#ifndef SYNOD_PIPELINE_SLOW_DISK_H
#define SYNOD_PIPELINE_SLOW_DISK_H

#include <stdint.h>

#define SYNOD_SLOW_DISK_NS	UINT64_C(50000000) /* longer than any disk should take */
#define SYNOD_SLOW_DISK_LOOKS	3
#define SYNOD_SLOW_DISK_FACTOR	4 /* the others took at most a quarter of that */
#define SYNOD_SLOW_DISK_COOL_NS UINT64_C(10000000000)

struct synod_slow_disk {
	uint64_t ticket; /* the mark; 0: none */
	uint64_t slot;
	uint64_t since_ns;
	uint64_t others_ns; /* how long the others took; 0: they are not done */
	uint32_t slow;	    /* looks in a row */
	uint64_t quiet_ns;  /* not before */
};

/* How things stand now. */
struct synod_slow_disk_now {
	uint64_t now_ns;
	uint64_t ticket_last;	 /* given to the journal */
	uint64_t ticket_durable; /* by the own disk */
	uint64_t slot_last;	 /* proposed, among those writes */
	uint64_t slot_chosen;	 /* all up to it */
	int leads;
};

/* 1: hand over, now. */
int synod_slow_disk_look(struct synod_slow_disk *slow, const struct synod_slow_disk_now *now)
	__attribute__((warn_unused_result));

#endif

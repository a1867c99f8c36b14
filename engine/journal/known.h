/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is this the latest disk of a replica? What it says of itself against what is known of it (I12;
 * engine/DESIGN.md, 17). Pure.
 */
#ifndef SYNOD_JOURNAL_KNOWN_H
#define SYNOD_JOURNAL_KNOWN_H

#include <stdint.h>

/* Of a disk: which one in the row of this replica's, and the last life in which it voted. */
struct synod_disk {
	uint64_t incarnation; /* 0: 1 */
	uint64_t life;	      /* number << 32 | boot; 0: none */
};

enum synod_disk_verdict {
	SYNOD_DISK_SAME,
	SYNOD_DISK_NEWER, /* it knows of a life that we do not: to be remembered */
	SYNOD_DISK_OLDER, /* it lacks a life that voted, or another disk voted as that life */
};

static inline enum synod_disk_verdict synod_disk_judge(const struct synod_disk *known,
						       const struct synod_disk *told)
{
	const uint64_t incarnation = told->incarnation ? told->incarnation : 1;
	const uint64_t incarnation_known = known->incarnation ? known->incarnation : 1;

	if (incarnation != incarnation_known)
		return incarnation > incarnation_known ? SYNOD_DISK_NEWER : SYNOD_DISK_OLDER;
	if (told->life == known->life)
		return SYNOD_DISK_SAME;
	return told->life >> 32 > known->life >> 32 ? SYNOD_DISK_NEWER : SYNOD_DISK_OLDER;
}

/* The life that follows, of a replica that drew that boot. */
static inline uint64_t synod_disk_life_next(uint64_t life, uint32_t boot)
{
	return ((life >> 32) + 1) << 32 | boot;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads a journal back: which groups count, where the log ends, and whether what cannot be read was
 * torn by a crash or corrupted later. Pure: it says which bytes it wants next and judges what it is
 * given; a file, a device or a simulated disk is the caller's.
 *
 *     synod_scan_begin(&scan, &superblock);
 *     do {
 *         read [scan.want_offset, + scan.want_size) into bytes;
 *         event = synod_scan_give(&scan, bytes);
 *     } while (event != SYNOD_SCAN_END);
 *
 * Torn or corrupt (design: engine/DESIGN.md, the journal). Group n cannot be read. From there on to
 * the fence every block is looked at for a group header. If the superblock or any of these headers
 * says that group n was durable, it is corrupt: its slots, taken from its own header or from the
 * summaries of later groups, are faulty: neither had nor not had. If nothing says so, no one was
 * ever told that it is durable (but see the window below): it is a torn tail, and it and all behind
 * it are dropped, whole or not, since a ticket speaks for all writes before it.
 *
 * The window: the last groups before a crash, up to SYNOD_JOURNAL_INFLIGHT of them, may have been
 * acknowledged after the last header that could have said so was written. Corrupted later, before
 * the next start, they look torn. The marker group closes it 50 ms after the log goes quiet, and
 * the next opening closes it in the superblock.
 */
#ifndef SYNOD_JOURNAL_SCAN_H
#define SYNOD_JOURNAL_SCAN_H

#include "engine/journal/format.h"

enum synod_scan_event {
	SYNOD_SCAN_MORE = 0, /* nothing to tell yet */
	SYNOD_SCAN_GROUP,  /* scan.group is the next group that counts; its bytes were just given */
	SYNOD_SCAN_FAULTY, /* scan.faulty tells of groups that were durable and cannot be read */
	SYNOD_SCAN_END,	   /* scan.torn tells of what was dropped */
};

/* Why bytes are not the group that was expected. */
enum synod_scan_reason {
	SYNOD_SCAN_FINE = 0,
	SYNOD_SCAN_EMPTY,   /* zeros */
	SYNOD_SCAN_HEADER,  /* no header, or its checksum is wrong */
	SYNOD_SCAN_STALE,   /* belongs elsewhere, to an earlier life or to an earlier turn */
	SYNOD_SCAN_RECORD,  /* a record header is wrong */
	SYNOD_SCAN_BODY,    /* a batch does not match its checksum */
	SYNOD_SCAN_PADDING, /* the padding is not zero */
	SYNOD_SCAN_MISSING, /* lies beyond the last that can be read */
};

/* Something unreadable. */
struct synod_scan_gap {
	enum synod_scan_reason reason; /* FINE: no gap */
	uint64_t offset;	       /* of the file */
	uint64_t bytes;		       /* 0: not known */
	uint64_t group_first;
	uint64_t group_last;
	uint64_t slot_first; /* 0: not known, or none */
	uint64_t slot_last;
	int slots_known; /* all groups of the gap were described by a header that can be read */
};

struct synod_scan {
	/* In: what the superblock says. */
	uint64_t cluster;
	uint64_t incarnation;
	struct synod_format_log log;
	uint32_t replica;
	uint32_t seed;

	/* What the caller must give next: of the file. */
	uint64_t want_offset;
	uint32_t want_size;

	/* The group expected, and what it must follow. All other offsets here are virtual. */
	uint64_t number;
	uint64_t offset;
	uint64_t begin; /* where the scan began */
	uint64_t life;
	uint64_t life_now;   /* the superblock's: groups from life_group on have it, */
	uint64_t life_group; /* or are left over; 0: not said */
	/* The highest there is. Beyond the superblock's where only an older copy of that is left:
	 * the next life is beyond it too, or what it writes would look left over. */
	uint64_t life_seen;
	uint32_t previous_checksum;
	int previous_known; /* 0 behind a gap */
	int over;	    /* nothing behind this is looked at */

	/* Looking beyond something unreadable. */
	int searching;
	uint64_t search_offset;
	struct synod_scan_gap gap;
	uint64_t found_end;		 /* end of the last group found beyond; 0: none */
	struct synod_format_group found; /* the first of them */

	/* Out: true of all that counts so far. */
	uint64_t mark; /* every group up to it was durable */
	uint64_t chosen_through;
	uint64_t promised;
	uint64_t fence;
	uint64_t groups;
	uint64_t groups_faulty;
	struct synod_format_group group; /* GROUP: this one; END: the last that counts */
	struct synod_scan_gap faulty;	 /* FAULTY */
	struct synod_scan_gap torn;	 /* END */
};

void synod_scan_begin(struct synod_scan *scan, const struct synod_format_superblock *superblock);

/* bytes: want_size of them from want_offset, aligned to 8. */
enum synod_scan_event synod_scan_give(struct synod_scan *scan, const void *bytes);

/*
 * One record at bytes, of which size are there: header, place and body. Returns FINE, RECORD or
 * BODY. group: number of the group it must belong to, 0: any.
 */
enum synod_scan_reason synod_scan_record(uint32_t seed, const void *bytes, uint64_t size,
					 uint64_t group);

/* "torn header" and the like, for people. */
const char *synod_scan_reason_text(enum synod_scan_reason reason);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every quantity has a limit, and every limit stands here. All memory is taken at start from these
 * numbers and from the configuration; nothing in the running system grows beyond them.
 */
#ifndef SYNOD_BASE_LIMITS_H
#define SYNOD_BASE_LIMITS_H

enum {
	/* Cluster. Three, five or seven voters; ids are 1..replicas, so a bit mask fits a byte. */
	SYNOD_REPLICAS_MAX = 7,

	/* The ring of slots that the core keeps in memory, chosen or not. A power of two. */
	SYNOD_WINDOW_SLOTS = 1024,
	/* Slots a leader may have proposed and not yet chosen. Well under the window, so that a
	 * follower which applied a little less still has room for every one of them. */
	SYNOD_INFLIGHT_SLOTS = 256,
	/* And bytes of batches: what links, buffers and disks may have to swallow at once. */
	SYNOD_INFLIGHT_BYTES = 1 << 20,

	/* One batch = one slot = one datagram = one journal record. */
	SYNOD_FRAME_SIZE_MAX = 9014, /* Ethernet frame without FCS: 14 + an IP packet of 9000 */
	SYNOD_HEADER_SIZE = 80, /* engine/wire: the fixed header of every datagram, tag included */
	SYNOD_ENTRY_SIZE = 32,	/* engine/wire: describes the batch a datagram carries */
	/* 9000 - 20 (IP) - 8 (UDP) - 80 - 32 = 8860; rounded down to a multiple of 8. */
	SYNOD_BATCH_SIZE_MAX = 8856,
	SYNOD_COMMAND_HEADER_SIZE = 24,
	/* A command must fit a client's request: 8856 minus its own header. */
	SYNOD_COMMAND_SIZE_MAX = SYNOD_BATCH_SIZE_MAX - SYNOD_COMMAND_HEADER_SIZE,
	SYNOD_BATCH_COMMANDS_MAX = SYNOD_BATCH_SIZE_MAX / SYNOD_COMMAND_HEADER_SIZE, /* 369 */
	SYNOD_BATCH_ORIGINS_MAX = 64, /* request datagrams that one batch gathers */

	/* A snapshot travels in pieces, several in answer to one question. */
	SYNOD_PIECE_HEADER_SIZE = 16, /* engine/wire: what a piece belongs to */
	SYNOD_PIECE_SIZE_MAX = 8192,
	SYNOD_PIECE_BURST = 4,
	SYNOD_PIECE_WINDOW = 32, /* asked for and not there yet */
	/* What has come of it goes to the disk as it comes, and each time it is so much more the
	 * superblock says how far: what a restart of the receiver loses. 40 ms at 105 MB/s. */
	SYNOD_PARTIAL_STEP = 4 << 20,

	/* Larger commands are ordered in parts and put together when they are applied. */
	SYNOD_COMMAND_LARGE_MAX = 1 << 20,
	SYNOD_PART_HEADER_SIZE = 8,	  /* engine/wire: where a part's bytes belong */
	SYNOD_PART_SIZE_MIN = 64,	  /* bytes of a part but the last: bounds their number */
	SYNOD_ASSEMBLIES = 8,		  /* buffers for commands that are put together */
	SYNOD_ASSEMBLY_IDLE_SLOTS = 1024, /* without a part: a buffer may be taken away */

	/* Sessions: a client may have `window` request numbers open at once, a power of two. */
	SYNOD_SESSION_WINDOW_MIN = 16,
	SYNOD_SESSION_WINDOW_MAX = 4096, /* and the default */
	SYNOD_SESSIONS_MAX = 16384,
	SYNOD_SESSIONS_DEFAULT = 128,
	/* Of all windows together, of 16 bytes each: 64 MiB; an image is as large. */
	SYNOD_SESSION_ENTRIES_MAX = 4 << 20,
	SYNOD_RESULT_SIZE_MAX = 1024, /* bytes of one command's result in a reply */

	/* Key-value machine. */
	SYNOD_KV_KEY_SIZE_MAX = 64,
	SYNOD_KV_VALUE_SIZE_MAX = 1024,
	SYNOD_KV_ENTRIES = 16384,

	/* Journal. */
	SYNOD_BLOCK_SIZE = 4096,	   /* unit of a journal write */
	SYNOD_GROUP_SIZE_MAX = 128 * 1024, /* one write: header and records, padded to a block */
	SYNOD_JOURNAL_INFLIGHT = 8,	   /* writes in flight */
	SYNOD_JOURNAL_BUFFERS = 12,	   /* group buffers: in flight, and filling */
	SYNOD_SUPERBLOCK_COPIES = 4,
	/* Journal bytes that a leader keeps back, and a follower: what is under way must fit. */
	SYNOD_RESERVE_LEADER = 8 << 20,
	SYNOD_RESERVE_FOLLOWER = 2 << 20,
};

#ifndef __cplusplus
_Static_assert((SYNOD_WINDOW_SLOTS & (SYNOD_WINDOW_SLOTS - 1)) == 0, "masked index");
_Static_assert((SYNOD_SESSION_WINDOW_MIN & (SYNOD_SESSION_WINDOW_MIN - 1)) == 0, "masked index");
_Static_assert((SYNOD_SESSION_WINDOW_MAX & (SYNOD_SESSION_WINDOW_MAX - 1)) == 0, "masked index");
_Static_assert(SYNOD_SESSIONS_DEFAULT *SYNOD_SESSION_WINDOW_MAX <= SYNOD_SESSION_ENTRIES_MAX,
	       "the defaults go together");
_Static_assert(SYNOD_SESSIONS_MAX *SYNOD_SESSION_WINDOW_MIN <= SYNOD_SESSION_ENTRIES_MAX,
	       "as many sessions as may be have a window that goes with them");
_Static_assert(SYNOD_INFLIGHT_SLOTS * 2 <= SYNOD_WINDOW_SLOTS,
	       "a follower a little behind has room");
_Static_assert(SYNOD_INFLIGHT_BYTES >= 16 * SYNOD_BATCH_SIZE_MAX, "a pipeline of full batches");
_Static_assert(14 + 20 + 8 + SYNOD_HEADER_SIZE + SYNOD_ENTRY_SIZE + SYNOD_BATCH_SIZE_MAX <=
		       SYNOD_FRAME_SIZE_MAX,
	       "a full batch fits one frame");
_Static_assert((int)SYNOD_PIECE_HEADER_SIZE + (int)SYNOD_PIECE_SIZE_MAX <=
		       (int)SYNOD_ENTRY_SIZE + (int)SYNOD_BATCH_SIZE_MAX,
	       "a full piece fits one frame");
_Static_assert(SYNOD_BATCH_SIZE_MAX % 8 == 0, "records stay aligned");
_Static_assert((int)SYNOD_COMMAND_LARGE_MAX > (int)SYNOD_COMMAND_SIZE_MAX, "or nobody needs parts");
_Static_assert((int)SYNOD_PART_HEADER_SIZE + (int)SYNOD_PART_SIZE_MIN <=
		       (int)SYNOD_COMMAND_SIZE_MAX,
	       "a part is a command");
#endif

#endif

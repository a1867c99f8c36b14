/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ports: what the pipeline asks of the world, each a handful of verbs that are called once per
 * burst. An adapter (net/, engine/journal/uring.c) fills in the table; a test may wrap it to inject
 * faults. Unless said otherwise a verb is called by one thread only: the stage that owns the port.
 */
#ifndef SYNOD_PIPELINE_PORTS_H
#define SYNOD_PIPELINE_PORTS_H

#include "engine/base/value.h"

#include <stdint.h>

enum synod_durability {
	SYNOD_DURABILITY_NONE = 0,
	SYNOD_DURABILITY_DIRECT_DSYNC, /* O_DIRECT and RWF_DSYNC: media, or its cache flushed */
	SYNOD_DURABILITY_DSYNC,	       /* RWF_DSYNC through the page cache (no O_DIRECT there) */
	SYNOD_DURABILITY_NVME_FUA,     /* NVMe writes past the device's cache: media */
};

/* What the kernel says of a device, or does not. */
enum synod_device_answer {
	SYNOD_DEVICE_UNKNOWN = 0,
	SYNOD_DEVICE_NO,
	SYNOD_DEVICE_YES
};

/* What a journal stands on, as found at its start: see engine/journal/uring.h. */
struct synod_journal_device {
	uint32_t durability;	 /* enum synod_durability: what a write that is done has got */
	uint32_t write_back;	 /* answer: a cache that forgets when the power goes */
	uint32_t fua;		 /* answer: it writes past that cache if asked */
	uint32_t flush;		 /* answer: a flush reaches the device */
	uint32_t poll_queues;	 /* answer: completions can be polled for */
	uint32_t in_memory;	 /* 1: there is no device: durability = none was asked for */
	uint32_t polled;	 /* 1: completions are polled for */
	uint32_t block_size;	 /* logical, bytes; 0: unknown */
	uint32_t dma_alignment;	 /* of memory, bytes; 0: unknown */
	uint32_t transfer_shift; /* passthrough: most bytes a command, as a power of two */
	char fs[8];		 /* "ext4" …, cut; "" for a raw device */
	char name[16];		 /* "vda" …, of /dev; "": not known */
};

enum {
	SYNOD_DEVICE_WORDS = 5, /* of it as numbers in a STATUS */
	SYNOD_DEVICE_TEXT_SIZE = 160
};

enum synod_journal_write_kind {
	SYNOD_WRITE_RECORD,
	SYNOD_WRITE_PROMISE,
	SYNOD_WRITE_STANDING, /* this replica votes from then on */
};

/* One durable fact. Writes are numbered by tickets without gaps, in the order they are given. */
struct synod_journal_write {
	uint64_t ticket;
	enum synod_journal_write_kind kind;
	uint32_t chosen;	 /* RECORD: 1 if the value is known to be chosen */
	uint64_t slot;		 /* RECORD */
	uint64_t ballot;	 /* RECORD: accepted at; PROMISE: promised; STANDING: the life */
	uint64_t chosen_through; /* slots known chosen whose records were given before: a hint */
	struct synod_value value;
	const void *body; /* value.size bytes; copied before the verb returns */
};

/* A record read back. body is valid until the next call of read_poll. */
struct synod_journal_record {
	uint64_t slot;
	uint64_t ballot;
	uint64_t cookie;
	uint32_t chosen;
	int error;		  /* 0, or -errno: -ENOENT no such record, -EBADMSG checksum */
	struct synod_value value; /* handle 0 */
	const void *body;
};

enum {
	SYNOD_JOURNAL_PIECE_MAX = 8192 /* bytes of a snapshot read at once */
};

/* The state after a slot, as the machine saved it. */
struct synod_journal_snapshot {
	uint64_t slot;
	uint64_t size;
	uint32_t checksum; /* CRC32C of its bytes */
	uint32_t reserved;
};

struct synod_journal_port {
	void *context;

	/*
	 * Gives n writes to the journal, in ticket order. Returns how many were taken (fewer: no
	 * buffer is free now; the caller keeps the rest and comes again), or -errno: the journal
	 * has failed and the replica must stop; -ENOSPC: the ring is full.
	 */
	int (*write)(void *context, const struct synod_journal_write *writes, unsigned int n);

	/*
	 * Submits what was given, reaps completions. Sets *ticket_durable: every write up to it is
	 * on stable media. Returns the work done (0: idle), or -errno: the journal has failed.
	 */
	int (*poll)(void *context, uint64_t now_ns, uint64_t *ticket_durable);

	/* Bytes of records (headers and padding counted at their worst) that still fit. */
	uint64_t (*room)(void *context);

	/* Bytes of the log that are taken, for status. */
	uint64_t (*used)(void *context);

	/* 1 when a further write could start at once; else batches had better grow. */
	int (*ready)(void *context);

	/*
	 * Starts reading the record of a slot back; the answer comes by read_poll with the cookie.
	 * Returns 0, or -EAGAIN (too many reads under way), -ENOENT (no record of that slot).
	 */
	int (*read)(void *context, uint64_t slot, uint64_t cookie);
	unsigned int (*read_poll)(void *context, struct synod_journal_record *record);

	/*
	 * Notes what is known of another replica (engine/DESIGN.md, 17), not less than before.
	 * Returns a number; it is durable once remembered returns that, or more.
	 */
	uint64_t (*remember)(void *context, uint32_t replica, uint64_t incarnation, uint64_t life);
	uint64_t (*remembered)(void *context);

	/* The lowest slot whose record may still be there; beyond the last: none is. */
	uint64_t (*slot_first)(void *context);

	/* 1: it is time for a snapshot of the state, that the log may be recycled. */
	int (*snapshot_wanted)(void *context);

	/*
	 * Begins to write a snapshot of the state after that slot, which is beyond the last one's;
	 * poll goes on with it. The bytes stay as they are while snapshot_busy. Returns 0, -EBUSY
	 * (one is under way), -EFBIG (more than the journal has room for), or -errno: failed.
	 */
	int (*snapshot_write)(void *context, uint64_t slot, const void *image, uint64_t size);
	/*
	 * The same of a peer's. Once it is durable nothing is read of slots up to it: what was
	 * voted for them here may be other values than were chosen.
	 */
	int (*snapshot_write_foreign)(void *context, uint64_t slot, const void *image,
				      uint64_t size);
	int (*snapshot_busy)(void *context);

	/*
	 * A snapshot is being received: its first bytes, so many, fewer than all, are there. poll
	 * puts them away, so that a restart can go on behind them; it promises nothing. They stay
	 * as they are until they are given to snapshot_write, or NULL says that none is received
	 * any more.
	 */
	void (*snapshot_partial)(void *context, const struct synod_journal_snapshot *of,
				 const void *image, uint64_t received);

	/* The durable snapshot, all of whose predecessors' slots may be gone; slot 0: none. */
	struct synod_journal_snapshot (*snapshot)(void *context);

	/*
	 * Starts reading a piece of it, at most SYNOD_JOURNAL_PIECE_MAX bytes; the answer comes by
	 * read_poll with the cookie, slot, value.size and body, chosen 0. Returns 0, -EAGAIN (too
	 * many reads under way), -ENOENT (that is not the snapshot any more).
	 */
	int (*snapshot_read)(void *context, uint64_t slot, uint64_t offset, uint32_t size,
			     uint64_t cookie);

	/* A file descriptor that becomes readable when a completion arrives, or -1. */
	int (*wait_fd)(void *context);
};

struct rte_mbuf;

/* Where a datagram came from; only the net port knows what is in it. Compared as bytes. */
struct synod_address {
	uint64_t opaque[2];
};

/* One datagram received: one segment that starts at the header, the receiver's from now on. */
struct synod_packet {
	struct rte_mbuf *mbuf;
	uint32_t peer; /* the replica at the other end of this link; 0: not known */
	uint32_t door; /* 1: came where only clients are; a replica's message there is refused */
	struct synod_address from;
};

/*
 * The net port. receive and poll_links are called by the ingress stage, the others by egress. The
 * mbufs of send_ have headroom for the headers of the network; a second segment is shared and only
 * read. What cannot be sent is freed and counted: the protocol sends again.
 */
struct synod_net_port {
	void *context;
	uint32_t (*receive)(void *context, struct synod_packet *packets, uint32_t max);
	void (*send_peer)(void *context, uint32_t replica, struct rte_mbuf *mbuf);
	void (*send_to)(void *context, const struct synod_address *to, struct rte_mbuf *mbuf);
	void (*flush)(void *context);
	/* Looks after the links. Returns a bit for each replica that cannot be reached now, as far
	 * as the links tell: those that say nothing, and links of the own replica, are never in. */
	uint32_t (*poll_links)(void *context, uint64_t now_ns);
};

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of a Synod datagram (the payload of one UDP packet), little-endian, every offset
 * asserted. Pure: bytes to structs and back.
 *
 *   | header 80 (tag included) | entry 32, where a batch travels | body                        |
 *
 * The tag stands in the header and not at the end, so that the payload can be one buffer shared by
 * reference between all followers. Without authentication the tag is CRC32C over the header (tag
 * zero) and
 *   - the entry, where there is one: its own crc covers the batch, computed once by the leader;
 *   - the whole body, where there is none.
 *
 * Nothing here trusts its input: synod_wire_decode checks every length and range before use and
 * returns the counter of what was wrong.
 */
#ifndef SYNOD_WIRE_WIRE_H
#define SYNOD_WIRE_WIRE_H

#include "engine/base/counters.h"
#include "engine/base/limits.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SYNOD_WIRE_MAGIC       0x444e5953u /* "SYND" */
#define SYNOD_WIRE_VERSION     1u
#define SYNOD_WIRE_ALIGN(size) (((size) + 7u) & ~7u)

/* Behind 42 bytes of Ethernet, IP and UDP headers nothing is aligned to more than 2. */
#define SYNOD_WIRE_UNALIGNED __attribute__((packed, aligned(2)))

enum synod_wire_type {
	/* Between replicas; ballot, slot, chosen_through and argument as in engine/core/core.h. */
	SYNOD_CANVASS = 1,
	SYNOD_CANVASS_GRANTED,
	SYNOD_PREPARE,
	SYNOD_PROMISE, /* carries an entry, or none */
	SYNOD_ACCEPT,  /* carries an entry */
	SYNOD_ACCEPTED,
	SYNOD_REJECT,
	SYNOD_HEARTBEAT,
	SYNOD_NEED,
	SYNOD_LEARN, /* carries an entry */
	SYNOD_HANDOVER,
	SYNOD_CONFIRM,
	SYNOD_CONFIRMED,
	SYNOD_JOIN,
	SYNOD_JOINED,
	SYNOD_REPLICA_TYPES_END,

	/*
	 * Between replicas, but not of the protocol: the core never sees them. A snapshot, piece by
	 * piece (engine/journal/fetch.h, engine/pipeline/transfer.c). slot: the snapshot's, which
	 * stands for all slots up to it; argument: offset. A SNAPSHOT that nobody asked for is an
	 * offer, with the first bytes.
	 */
	SYNOD_SNAPSHOT = 29, /* body: struct synod_wire_piece, and the bytes */
	SYNOD_FETCH = 30,    /* the next pieces from that offset on are wanted */
	/* engine/journal/lives.h. argument: the sender's boot, and << 32 its voice; slot: the
	 * shape of its configuration; ballot: incarnation of its disk; chosen_through: the last
	 * life in which that voted. REFUSED: what is known of the receiver's. */
	SYNOD_HELLO = 31,

	/* Between clients and replicas. sender is 0 from a client. */
	SYNOD_REQUEST = 32, /* body: commands */
	/* slot: session; argument: leader or 0; body: results. With SYNOD_FLAG_SHARED: slot 0;
	 * body: sessions (8 bytes) and results in turn */
	SYNOD_REPLY,
	SYNOD_STATUS_QUERY, /* body: padding to the size of the answer; argument: echoed */
	SYNOD_STATUS,	    /* body: struct synod_wire_status */
	/* slot: first position; argument: how many, and << 32 from which byte of the first; body:
	 * padding to the size of the answer */
	SYNOD_TAIL_QUERY,
	/* slot: first position asked; argument: last applied; body: tail entries. With
	 * SYNOD_FLAG_BEHIND: that one is trimmed; one entry without bytes, at the first that is
	 * not */
	SYNOD_TAIL,
	SYNOD_HANDOVER_ASK,    /* slot: to whom, 0: the leader chooses */
	SYNOD_HANDOVER_ANSWER, /* slot: as asked; argument: enum synod_status */
	SYNOD_TYPES_END,
};

struct synod_wire_header {
	uint32_t magic;
	uint8_t version;
	uint8_t type;
	uint16_t flags;
	uint64_t cluster;
	uint32_t group;	   /* 0 until several groups share a process */
	uint16_t sender;   /* replica 1..7; 0: a client */
	uint16_t receiver; /* replica 1..7; 0: a client */
	uint64_t ballot;
	uint64_t slot;
	uint64_t chosen_through;
	uint64_t argument;
	uint32_t size;	 /* bytes after this header: entry and body */
	uint32_t boot;	 /* between replicas: for which life of which one, and from which; to a
			* replica from a client: the receiver's, or 0; to a client: the sender's.
			* What a boot is: engine/journal/lives.h */
	uint8_t tag[16]; /* CRC32C in the first four, else 0 */
} SYNOD_WIRE_UNALIGNED;

/* Describes the batch that follows it, in datagrams and in journal records. */
struct synod_wire_entry {
	uint64_t slot;
	uint64_t ballot; /* accepted, or chosen, at */
	uint32_t size;	 /* bytes of the batch, a multiple of 8 */
	uint32_t count;	 /* commands */
	uint32_t crc;	 /* CRC32C of the batch */
	uint32_t flags;	 /* SYNOD_ENTRY_... */
} SYNOD_WIRE_UNALIGNED;

enum {
	SYNOD_ENTRY_CHOSEN = 1, /* known to be chosen, not only accepted */

	/* Header flags. */
	SYNOD_FLAG_ENTRY = 1,  /* an entry and its batch follow the header */
	SYNOD_FLAG_MORE = 2,   /* PROMISE: this burst is over, ask for the rest */
	SYNOD_FLAG_VOTER = 2,  /* JOINED: who answers votes */
	SYNOD_FLAG_BEHIND = 4, /* PROMISE: the candidate lacks slots that are no longer in memory;
				* TAIL: what was asked for is no longer in the log */
	SYNOD_FLAG_FAULTY = 8, /* NEED: the sender's own copies of these slots are corrupt */
	/* HELLO: of the receiver's disk no later life is known; one is: not heard; am I heard? */
	SYNOD_FLAG_VOUCHED = 2,
	SYNOD_FLAG_REFUSED = 4,
	SYNOD_FLAG_ASKING = 8,
	/* REQUEST: of several sessions at one address, whose answers may share datagrams as well,
	 * where they are not longer than what was asked; REPLY: they do. */
	SYNOD_FLAG_SHARED = 2,
};

/*
 * What a SNAPSHOT's bytes are a piece of; size bytes follow, padded to 8. Which snapshot it is, is
 * said by slot, total and checksum together.
 */
struct synod_wire_piece {
	uint64_t total;	   /* bytes of the whole, a multiple of 8 */
	uint32_t checksum; /* CRC32C of the whole */
	uint32_t size;	   /* bytes here, 1..SYNOD_PIECE_SIZE_MAX */
};

/* One command, in a request and in a batch; followed by size bytes, padded with zeros to 8. */
struct synod_wire_command {
	uint64_t session; /* 0 in a REGISTER */
	uint64_t number;  /* the client's, from 1; in a REGISTER a nonce */
	uint32_t size;	  /* bytes of payload */
	uint8_t kind;	  /* SYNOD_COMMAND_... */
	uint8_t reserved[3];
};

enum {
	SYNOD_COMMAND_APPLY = 0,    /* for the state machine */
	SYNOD_COMMAND_REGISTER = 1, /* opens a session; payload: none, or an identity; takes no
				     * position */
	/* Reads; they never enter the log. Of an open session, whose machine they do not change. */
	SYNOD_COMMAND_READ = 2,	      /* linearizable: of the leader, confirmed by a quorum */
	SYNOD_COMMAND_READ_STALE = 3, /* of whoever is asked, as it stands there */
	SYNOD_COMMAND_PART = 4, /* a part of a large command; payload: struct synod_wire_part and
				 * bytes. number is the command's: all parts share it, and the last
				 * one executes it */
};

/* Where a part's bytes, which follow, belong. */
struct synod_wire_part {
	uint32_t offset; /* in the command */
	uint32_t total;	 /* bytes of the command, at most SYNOD_COMMAND_LARGE_MAX */
};

/* What a REGISTER may carry: who the client is, and in which of its lives. */
struct synod_wire_identity {
	uint64_t identity;    /* never 0 */
	uint64_t incarnation; /* greater in each life than in those before */
};

/* One result in a REPLY; followed by size bytes, padded to 8. */
struct synod_wire_result {
	uint64_t number;
	uint64_t position; /* of the command; in the answer to a REGISTER, the session */
	uint16_t status;   /* enum synod_status */
	uint16_t size;
	union {
		uint32_t retry_us; /* with BUSY: when trying again makes sense; 0: no idea */
		/* With OK, to a REGISTER: numbers that may be open in the session at once, newest -
		 * oldest + 1. 0 in all other answers. */
		uint32_t window;
	};
};

/*
 * A command in a TAIL, or a piece of one; followed by size bytes, padded to 8. A TAIL holds whole
 * commands, or one piece of one that is longer, from the byte that was asked for.
 */
struct synod_wire_tail {
	uint64_t position;
	uint32_t size;	 /* bytes here */
	uint32_t offset; /* in the command */
	uint32_t total;	 /* bytes of the command; > size: a piece */
	uint32_t reserved;
};

/* The outcome of a command, the same numbers on the wire and in the client's interface. */
enum synod_status {
	SYNOD_OK = 0,
	SYNOD_NOT_LEADER = 1,	   /* nothing was done; try the replica named, or another */
	SYNOD_BUSY = 2,		   /* nothing was done; try again a little later */
	SYNOD_FULL = 3,		   /* nothing was done; the journal has no room */
	SYNOD_SESSION_EVICTED = 4, /* the session is unknown; whether it was done is not known. To a
				    * REGISTER: a later life of that identity has a session */
	SYNOD_STALE = 5, /* the number left the session's window; it was done or never will */
	SYNOD_TOO_LARGE = 6,
	SYNOD_BAD_COMMAND = 7, /* took its position; the state machine could not read it */
	SYNOD_NOT_FOUND = 8,   /* kv: no such key */
	SYNOD_MISMATCH = 9,    /* kv: compare-and-set found another value */
	SYNOD_NO_SPACE = 10,   /* kv: the table is full */
	SYNOD_UNKNOWN = 11,    /* the client's deadline passed; whether it was done is not known */
	SYNOD_HALTED = 12,     /* the replica's disk has failed and it stops; try another */
	SYNOD_PARTIAL = 13, /* a part: not the last; data (u32): bytes of the command there are */
	SYNOD_STATUSES_COUNT,
};

enum synod_role_id {
	SYNOD_ROLE_FOLLOWER = 0,
	SYNOD_ROLE_CANVASSER,
	SYNOD_ROLE_CANDIDATE,
	SYNOD_ROLE_LEADER
};

/* The steps by which a replica came to lead, the last time that it took each. */
enum synod_rise {
	SYNOD_RISE_LOST, /* the link to its leader went: a hint */
	SYNOD_RISE_CANVASSED,
	SYNOD_RISE_STOOD, /* a quorum granted: phase 1 begins */
	SYNOD_RISE_LED,
	SYNOD_RISE_SERVED, /* the first batch of a client, since it led */
	SYNOD_RISES_COUNT
};

/* The answer to a STATUS_QUERY: all numbers, in the order of the table in counters.h at the end. */
struct synod_wire_status {
	uint64_t role; /* enum synod_role_id */
	uint64_t ballot;
	uint64_t leader; /* replica, 0: none known */
	uint64_t incarnation;
	uint64_t standing; /* enum synod_standing */
	uint64_t slot_chosen;
	uint64_t slot_applied;
	uint64_t slot_proposed;
	uint64_t position; /* last applied */
	uint64_t state_hash;
	uint64_t sessions;
	uint64_t voters_in_contact; /* of a leader: this replica included */
	uint64_t journal_bytes_used;
	uint64_t journal_bytes_total;
	uint64_t durability;	    /* enum synod_durability */
	uint64_t journal_device[5]; /* what it stands on: SYNOD_DEVICE_WORDS, ports.h */
	uint64_t snapshot_slot;	    /* of the durable one; 0: none */
	uint64_t slot_first;	    /* the lowest that the log may still hold */
	uint64_t snapshot_pause_us; /* the longest that saving the state took */
	uint64_t batch_commands_sum;
	uint64_t batch_commands_max;
	uint64_t uptime_ns;
	uint64_t rise_ns[SYNOD_RISES_COUNT]; /* on the replica's monotonic clock; 0: never */
	/* Of each replica's disk, as known durably here, by id: engine/journal/known.h. */
	uint64_t known_incarnation[SYNOD_REPLICAS_MAX + 1];
	uint64_t known_life[SYNOD_REPLICAS_MAX + 1];
	uint64_t counters_count;
	uint64_t counters[SYNOD_COUNTERS_COUNT];
};

#define SYNOD_WIRE_AT(type, member, offset) \
	_Static_assert(offsetof(struct synod_wire_##type, member) == (offset), #type "." #member)

#ifndef __cplusplus
SYNOD_WIRE_AT(header, version, 4);
SYNOD_WIRE_AT(header, type, 5);
SYNOD_WIRE_AT(header, flags, 6);
SYNOD_WIRE_AT(header, cluster, 8);
SYNOD_WIRE_AT(header, group, 16);
SYNOD_WIRE_AT(header, sender, 20);
SYNOD_WIRE_AT(header, receiver, 22);
SYNOD_WIRE_AT(header, ballot, 24);
SYNOD_WIRE_AT(header, slot, 32);
SYNOD_WIRE_AT(header, chosen_through, 40);
SYNOD_WIRE_AT(header, argument, 48);
SYNOD_WIRE_AT(header, size, 56);
SYNOD_WIRE_AT(header, tag, 64);
SYNOD_WIRE_AT(entry, size, 16);
SYNOD_WIRE_AT(entry, crc, 24);
SYNOD_WIRE_AT(piece, checksum, 8);
SYNOD_WIRE_AT(piece, size, 12);
SYNOD_WIRE_AT(command, size, 16);
SYNOD_WIRE_AT(command, kind, 20);
SYNOD_WIRE_AT(result, status, 16);
SYNOD_WIRE_AT(result, retry_us, 20);
SYNOD_WIRE_AT(result, window, 20);
_Static_assert(sizeof(struct synod_wire_header) == SYNOD_HEADER_SIZE, "no padding");
_Static_assert(sizeof(struct synod_wire_entry) == SYNOD_ENTRY_SIZE, "no padding");
_Static_assert(sizeof(struct synod_wire_command) == SYNOD_COMMAND_HEADER_SIZE, "no padding");
_Static_assert(sizeof(struct synod_wire_piece) == SYNOD_PIECE_HEADER_SIZE, "no padding");
_Static_assert(sizeof(struct synod_wire_part) == SYNOD_PART_HEADER_SIZE, "no padding");
_Static_assert(sizeof(struct synod_wire_identity) == 16, "no padding");
_Static_assert(sizeof(struct synod_wire_result) == 24, "no padding");
_Static_assert(sizeof(struct synod_wire_tail) == 24, "no padding");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are the bytes");
#endif

/* Where decoding found what; all pointers into the datagram. */
struct synod_wire_view {
	const struct synod_wire_header *header;
	const struct synod_wire_entry *entry; /* NULL: none */
	const uint8_t *body;		      /* batch, commands, results … */
	uint32_t body_size;
};

/*
 * Checks a datagram of size bytes: magic, version, cluster, lengths, checksum, type, sender and
 * receiver (self: own replica id, or 0 for a client), entry and its batch.
 * Returns 0, or the counter (> 0, enum synod_counter) of what is wrong; then the view is not set.
 */
int synod_wire_decode(const void *datagram, size_t size, uint64_t cluster, uint32_t self,
		      struct synod_wire_view *view);

/*
 * Finishes a header whose other fields are set: magic, version, size, tag. The entry (or NULL) and
 * the body (without an entry) must be the bytes that will follow.
 */
void synod_wire_seal(struct synod_wire_header *header, const struct synod_wire_entry *entry,
		     const void *body, uint32_t body_size);

/*
 * Checks that size bytes are whole commands with sane sizes and kinds, and counts them.
 * Returns the count, or -1.
 */
int synod_wire_commands_check(const void *body, uint32_t size);

/*
 * Checks the body of a SNAPSHOT that was decoded, and where it says it belongs. Returns 0 and the
 * piece, or the counter of what is wrong; bytes: the piece's, in the datagram.
 */
int synod_wire_piece_read(const struct synod_wire_view *view, struct synod_wire_piece *piece,
			  const uint8_t **bytes);

/*
 * What a request of checked commands is: SYNOD_COMMAND_READ, SYNOD_COMMAND_READ_STALE, or
 * SYNOD_COMMAND_APPLY for all that go into the log. A request is of one sort.
 */
unsigned int synod_wire_request_sort(const void *body);

/* Bytes of a command with its padding. */
static inline uint32_t synod_wire_command_size(const struct synod_wire_command *command)
{
	return SYNOD_COMMAND_HEADER_SIZE + SYNOD_WIRE_ALIGN(command->size);
}

/* "PREPARE", "REQUEST" …; "?" for an unknown type. */
const char *synod_wire_type_name(unsigned int type);
/* "OK", "NOT_LEADER" …; "?" for an unknown status. */
const char *synod_status_name(unsigned int status);

#ifdef __cplusplus
}
#endif

#endif

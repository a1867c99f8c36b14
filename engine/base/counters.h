/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every drop, refusal and retry has a row here: symbol, name, sentence. A counter belongs to one
 * thread, which alone writes it (plain add, relaxed store: readers only want a recent value).
 */
#ifndef SYNOD_BASE_COUNTERS_H
#define SYNOD_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SYNOD_COUNTERS(X)                                                                          \
	X(RX_PACKETS, "rx_packets", "frames received")                                             \
	X(RX_BYTES, "rx_bytes", "bytes received")                                                  \
	X(TX_PACKETS, "tx_packets", "frames sent")                                                 \
	X(TX_BYTES, "tx_bytes", "bytes sent")                                                      \
	X(TX_FULL, "tx_full", "frames dropped because the device took no more")                    \
	X(TX_NO_ROUTE, "tx_no_route", "frames dropped because no address is known for the peer")   \
	X(NO_BUFFER, "no_buffer", "frames or messages dropped because a pool was empty")           \
	X(DROP_FRAME_SHORT, "drop_frame_short", "frame shorter than its headers say")              \
	X(DROP_NOT_IPV4, "drop_not_ipv4", "neither IPv4 nor ARP (VLAN and IPv6 included)")         \
	X(DROP_IP_HEADER, "drop_ip_header", "bad IPv4 header: version, options, length, checksum") \
	X(DROP_FRAGMENT, "drop_fragment", "IPv4 fragment")                                         \
	X(DROP_NOT_UDP, "drop_not_udp", "IPv4, but not UDP")                                       \
	X(DROP_NOT_OURS, "drop_not_ours", "another MAC, address or port")                          \
	X(DROP_UDP_LENGTH, "drop_udp_length", "UDP length does not fit the packet")                \
	X(DROP_UDP_CHECKSUM, "drop_udp_checksum", "UDP checksum wrong")                            \
	X(DROP_SEGMENTED, "drop_segmented", "frame spread over several buffers")                   \
	X(ARP_REPLIES, "arp_replies", "ARP requests answered")                                     \
	X(ARP_LEARNED, "arp_learned", "addresses learned by ARP")                                  \
	X(DROP_ARP, "drop_arp", "malformed ARP, or ARP that is not for us")                        \
	X(DROP_SHORT, "drop_short", "datagram shorter than its header or its length field")        \
	X(DROP_MAGIC, "drop_magic", "not a Synod datagram")                                        \
	X(DROP_VERSION, "drop_version", "unknown protocol version")                                \
	X(DROP_CLUSTER, "drop_cluster", "datagram of another cluster")                             \
	X(DROP_CHECKSUM, "drop_checksum", "datagram checksum wrong")                               \
	X(DROP_TYPE, "drop_type", "unknown message type, or one this side does not take")          \
	X(DROP_SENDER, "drop_sender", "sender id out of range, own, or not on its port")           \
	X(DROP_SHAPE, "drop_shape", "replica whose configuration has another machine or quorums")  \
	X(DROP_FIELD, "drop_field", "a field is out of its range")                                 \
	X(DROP_BATCH, "drop_batch", "batch whose commands do not add up, or checksum wrong")       \
	X(DROP_UNPADDED, "drop_unpadded", "query shorter than the answer it asks for")             \
	X(DROP_BOOT, "drop_boot", "datagram meant for another life of this replica")               \
	X(DROP_DISK, "drop_disk", "replica whose disk lacks a life that it is known to have had")  \
	X(DROP_STALE_BALLOT, "drop_stale_ballot", "message of a ballot that has been overtaken")   \
	X(DROP_WINDOW, "drop_window", "slot outside the window")                                   \
	X(DROP_UNEXPECTED, "drop_unexpected", "message that the present role has no use for")      \
	X(REFUSED_NOT_LEADER, "refused_not_leader", "request answered NOT_LEADER")                 \
	X(REFUSED_BUSY, "refused_busy", "request answered BUSY")                                   \
	X(REFUSED_FULL, "refused_full", "request answered FULL: the journal has no room")          \
	X(REFUSED_ROOM, "refused_room", "request answered BUSY: a snapshot will free room")        \
	X(REFUSED_BUFFERS, "refused_buffers", "part refused: all buffers of large commands used")  \
	X(REFUSED_HALTED, "refused_halted", "request answered HALTED: the journal has failed")     \
	X(REFUSED_BOOT, "refused_boot", "request meant for another life of this replica: BUSY")    \
	X(REFUSED_SESSION, "refused_session", "command of an unknown or evicted session")          \
	X(COMMANDS, "commands", "commands taken from clients")                                     \
	X(COMMANDS_APPLIED, "commands_applied", "commands executed")                               \
	X(COMMANDS_DUPLICATE, "commands_duplicate", "commands answered from the session table")    \
	X(PARTS_TAKEN, "parts_taken", "parts of large commands put together")                      \
	X(BATCHES, "batches", "batches proposed")                                                  \
	X(REPLIES, "replies", "reply datagrams sent")                                              \
	X(RETRANSMITS, "retransmits", "messages sent again")                                       \
	X(ELECTIONS, "elections", "candidacies started")                                           \
	X(LEADERS_LOST, "leaders_lost", "times the link to the leader went: another is elected")   \
	X(STEP_DOWNS, "step_downs", "leaderships given up")                                        \
	X(HANDOVERS, "handovers", "leaderships handed over, on request or to a higher priority")   \
	X(SLOW_DISK, "slow_disk", "times leadership was to go because the own disk is slow")       \
	X(READS, "reads", "linearizable reads answered without a log write")                       \
	X(READS_STALE, "reads_stale", "reads answered from this replica's own state")              \
	X(READ_ROUNDS, "read_rounds", "times a quorum was asked whether this replica still leads") \
	X(REPAIRS_SENT, "repairs_sent", "chosen slots sent to a peer that lacked them")            \
	X(REPAIRS_READ, "repairs_read", "of those, slots read back from the journal")              \
	X(REPAIRS_TAKEN, "repairs_taken", "chosen slots taken from a peer")                        \
	X(SLOTS_FAULTY, "slots_faulty", "slots that the journal had corrupt at the start")         \
	X(SLOTS_REPAIRED, "slots_repaired",                                                        \
	  "of those, slots repaired from peers while they serve")                                  \
	X(SNAPSHOTS_TAKEN, "snapshots_taken", "snapshots of the own state that became durable")    \
	X(SNAPSHOTS_INSTALLED, "snapshots_installed", "snapshots of a peer that were loaded")      \
	X(SNAPSHOTS_TOO_LARGE, "snapshots_too_large", "snapshots the journal has no area for")     \
	X(SNAPSHOTS_WRONG, "snapshots_wrong", "snapshots received whose bytes did not add up")     \
	X(PIECES_SENT, "pieces_sent", "pieces of snapshots sent to peers that lag")                \
	X(PIECES_TAKEN, "pieces_taken", "pieces of snapshots taken from a peer")                   \
	X(SNAPSHOTS_RESUMED, "snapshots_resumed",                                                  \
	  "snapshots of a peer that went on where a restart of this replica had left them")        \
	X(JOURNAL_WRITES, "journal_writes", "groups written")                                      \
	X(JOURNAL_BYTES, "journal_bytes", "bytes written, padding included")                       \
	X(JOURNAL_DEPTH, "journal_depth", "of each group, writes under way with it, summed")       \
	X(JOURNAL_RECORDS, "journal_records", "records written")                                   \
	X(LINK_DOWN, "link_down", "times a port lost its link")                                    \
	X(LINK_UP, "link_up", "times a port's link came up")

enum synod_counter {
#define SYNOD_COUNTER_SYMBOL(symbol, name, sentence) SYNOD_##symbol,
	SYNOD_COUNTERS(SYNOD_COUNTER_SYMBOL)
#undef SYNOD_COUNTER_SYMBOL
	SYNOD_COUNTERS_COUNT
};

#ifndef __cplusplus
struct synod_counters {
	_Atomic uint64_t value[SYNOD_COUNTERS_COUNT];
};

static inline void synod_count(struct synod_counters *counters, enum synod_counter which,
			       uint64_t by)
{
	/* Relaxed: one writer a counter, and a reader only wants a recent value. */
	uint64_t value = atomic_load_explicit(&counters->value[which], memory_order_relaxed);

	atomic_store_explicit(&counters->value[which], value + by, memory_order_relaxed);
}

static inline uint64_t synod_counter_read(const struct synod_counters *counters,
					  enum synod_counter which)
{
	return atomic_load_explicit(&counters->value[which], memory_order_relaxed);
}
#endif

/* The row's name ("drop_magic") and its sentence. Static storage. */
const char *synod_counter_name(enum synod_counter which);
const char *synod_counter_sentence(enum synod_counter which);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes wrong in a run: kinds of faults, each with a counter; hazards, each with a clock. */
#ifndef SYNOD_SIM_HAZARDS_H
#define SYNOD_SIM_HAZARDS_H

/*
 * Every kind of fault has a counter; a campaign in which one never fired fails. By group, as they
 * are printed.
 */
#define SIM_FAULTS_NETWORK(X)                     \
	X(LOSS, "loss")                           \
	X(COPY, "copy")                           \
	X(DELAY, "delay")                         \
	X(CORRUPT, "corrupt")                     \
	X(TRUNCATE, "truncate")                   \
	X(OVERSIZE, "oversize")                   \
	X(STRAY, "stray")                         \
	X(PARTITION, "partition")                 \
	X(PARTITION_ONE_WAY, "partition_one_way") \
	X(PARTITION_LINK, "partition_link")       \
	X(PARTITION_HUB, "partition_hub")         \
	X(CLOG, "clog")                           \
	X(SWIZZLE, "swizzle")

#define SIM_FAULTS_DISK(X)                                  \
	X(DISK_OUT_OF_ORDER, "disk_out_of_order")           \
	X(DISK_SLOW, "disk_slow")                           \
	X(DISK_STUCK, "disk_stuck")                         \
	X(WRITE_DROPPED, "write_dropped")                   \
	X(WRITE_TORN, "write_torn")                         \
	X(WRITE_KEPT, "write_kept")                         \
	X(WRITE_KEPT_BEHIND_HOLE, "write_kept_behind_hole") \
	X(DISK_LOST_WRITE, "disk_lost_write")               \
	X(DISK_MISDIRECTED, "disk_misdirected")             \
	X(DISK_STALE, "disk_stale")                         \
	X(DISK_ROT, "disk_rot")                             \
	X(DISK_ROT_READ, "disk_rot_read")                   \
	X(DISK_SNAPSHOT_ROT, "disk_snapshot_rot")           \
	X(DISK_SNAPSHOT_REPAIRED, "disk_snapshot_repaired") \
	X(DISK_WIPED, "disk_wiped")                         \
	X(DISK_RECOVERED, "disk_recovered")                 \
	X(DISK_JOINED, "disk_joined")                       \
	X(DISK_ROLLED_BACK, "disk_rolled_back")             \
	X(DISK_REFUSED_OLDER, "disk_refused_older")         \
	X(DISK_EIO_READ, "disk_eio_read")                   \
	X(DISK_EIO_WRITE, "disk_eio_write")                 \
	X(DISK_SHORT_WRITE, "disk_short_write")             \
	X(DISK_FULL, "disk_full")                           \
	X(DISK_REFUSED, "disk_refused")                     \
	X(DISK_REPAIRED, "disk_repaired")                   \
	X(DISK_MENDED, "disk_mended")

#define SIM_FAULTS_PROCESS(X)             \
	X(CRASH, "crash")                 \
	X(CRASH_ALL, "crash_all")         \
	X(CRASH_SENDING, "crash_sending") \
	X(CRASH_DURABLE, "crash_durable") \
	X(PAUSE, "pause")                 \
	X(PAUSE_LONG, "pause_long")       \
	X(CLOCK_DRIFT, "clock_drift")     \
	X(CLOCK_JUMP, "clock_jump")       \
	X(APPLY_SLOW, "apply_slow")       \
	X(HANDOVER, "handover")           \
	X(HINT, "hint")                   \
	X(HINT_FALSE, "hint_false")

#define SIM_FAULTS_CLIENT(X)                                  \
	X(CLIENT_RETRY, "client_retry")                       \
	X(CLIENT_RETRY_STORM, "client_retry_storm")           \
	X(CLIENT_DEADLINE, "client_deadline")                 \
	X(CLIENT_SEND_REFUSED, "client_send_refused")         \
	X(CLIENT_CORRUPT, "client_corrupt")                   \
	X(CLIENT_TRUNCATE, "client_truncate")                 \
	X(CLIENT_RESTART, "client_restart")                   \
	X(CLIENT_RESTART_IDENTITY, "client_restart_identity") \
	X(CLIENT_FORMER_LIFE, "client_former_life")           \
	X(CLIENT_TWO_LIVES, "client_two_lives")               \
	X(CLIENT_FENCED, "client_fenced")                     \
	X(CLIENT_PAUSE, "client_pause")                       \
	X(SESSION_EVICTED, "session_evicted")

#define SIM_FAULTS(X)         \
	SIM_FAULTS_NETWORK(X) \
	SIM_FAULTS_DISK(X)    \
	SIM_FAULTS_PROCESS(X) \
	SIM_FAULTS_CLIENT(X)

enum sim_fault {
#define SIM_FAULT_SYMBOL(symbol, name) SIM_FAULT_##symbol,
	SIM_FAULTS(SIM_FAULT_SYMBOL)
#undef SIM_FAULT_SYMBOL
	SIM_FAULTS_COUNT
};

enum sim_hazard {
	SIM_HAZARD_CRASH,
	SIM_HAZARD_CRASH_ALL,
	SIM_HAZARD_PARTITION,
	SIM_HAZARD_CLOG,
	SIM_HAZARD_SWIZZLE,
	SIM_HAZARD_NARROW,
	SIM_HAZARD_PAUSE,
	SIM_HAZARD_CLOCK_JUMP,
	SIM_HAZARD_DISK_STUCK,
	SIM_HAZARD_DISK_DAMAGE,
	SIM_HAZARD_STORM,
	SIM_HAZARD_CLIENT_RESTART,
	SIM_HAZARD_CLIENT_PAUSE,
	SIM_HAZARD_HANDOVER, /* somebody asks the leader to hand over */
	SIM_HAZARD_READ,     /* reads come in; not a fault, but at any time */
	SIM_HAZARD_ROLLBACK, /* a disk is copied; or the copy is restored */
	SIM_HAZARD_HINT,     /* a transport says that a link is gone which is not */
	SIM_HAZARDS_COUNT,
};

#endif

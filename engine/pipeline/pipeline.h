/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pipeline: five stages, each a function that does what there is to do and returns how much
 * that was. A core calls the stages that it was given, so the same code runs as one core for
 * everything or a core for each. Stages meet in single-producer single-consumer rings and in a few
 * published numbers, and nowhere else.
 *
 *            requests                 batches               writes
 *   net ──► INGRESS ──messages──────► ORDER ──────────────► JOURNAL ──► disk
 *              │                      │   ▲ ─ durable ─────────┘│
 *              │ refusals      sends  │   └──── applied ──┐     │ chosen slots read back
 *              ▼                      ▼      chosen       │     ▼
 *   net ◄── EGRESS ◄──────────────────┴────────────────► APPLY (sessions, state machine)
 *              ▲──────────────── replies ─────────────────┘
 *
 * Ordering never touches a command: that is ingress's and apply's work. Memory is taken at create.
 */
#ifndef SYNOD_PIPELINE_PIPELINE_H
#define SYNOD_PIPELINE_PIPELINE_H

#include "engine/base/counters.h"
#include "engine/core/core.h"
#include "engine/journal/known.h"
#include "engine/journal/lives.h"
#include "engine/journal/mending.h"
#include "engine/machine/apply.h"
#include "engine/pipeline/item.h"
#include "engine/pipeline/ports.h"
#include "engine/pipeline/positions.h"
#include "engine/pipeline/slow_disk.h"
#include "engine/pipeline/snapshots.h"

#include <rte_mempool.h>
#include <rte_ring.h>

#include <stdatomic.h>
#include <stdint.h>

enum synod_pipeline_stage {
	SYNOD_PIPELINE_INGRESS,
	SYNOD_PIPELINE_ORDER,
	SYNOD_PIPELINE_JOURNAL,
	SYNOD_PIPELINE_APPLY,
	SYNOD_PIPELINE_EGRESS,
	SYNOD_PIPELINE_STAGES,
};

enum {
	SYNOD_PIPELINE_BURST = 32,
	SYNOD_PIPELINE_ITEMS = 4096, /* the window twice, rings, packets under way */
	SYNOD_PIPELINE_RING = 2048,
	SYNOD_PIPELINE_HEADER_MBUFS = 8192, /* one a send that shares its payload */
	SYNOD_PIPELINE_HEADER_ROOM = 512,
	/* Unchosen slots above which a batch waits to be full: enough for busy disk and links. */
	SYNOD_PIPELINE_GREEDY_SLOTS = 4,
	SYNOD_PIPELINE_REPLY_SIZE_MIN = 1400, /* bytes of a datagram that any network carries */
	/* A BUSY says when to come again: in this range. */
	SYNOD_PIPELINE_RETRY_US_MIN = 100,
	SYNOD_PIPELINE_RETRY_US_MAX = 100 * 1000,
	/* How long a replica whose journal has failed still answers that it has. */
	SYNOD_PIPELINE_HALT_NS = 250 * 1000 * 1000,
	SYNOD_PIPELINE_SKIPS_MAX = 1 << 20, /* commands without a position that tail knows of */
	SYNOD_PIPELINE_PARTS_MAX = 1 << 20, /* parts of large commands that tail can find */
	/* When to try again while all buffers of large commands are in use. */
	SYNOD_PIPELINE_ASSEMBLY_RETRY_US = 20 * 1000,
};

struct synod_pipeline_config {
	uint64_t cluster;
	uint32_t replica;
	uint32_t replicas;
	uint32_t shape; /* nobody hears a replica of another; see hello.c, engine/host */
	uint64_t incarnation;
	uint32_t boot;	   /* random, not 0: this life of the replica; see lives.h */
	uint32_t standing; /* enum synod_standing: how it starts */
	struct synod_disk known[SYNOD_REPLICAS_MAX + 1]; /* by replica, its own too; [0] unused */
	uint32_t durability;				 /* enum synod_durability, as obtained */
	uint64_t device[SYNOD_DEVICE_WORDS];		 /* of the journal, packed: for status */
	uint32_t batch_size_max; /* bytes of a batch that fits it, at most SYNOD_BATCH_SIZE_MAX */
	uint64_t journal_bytes;	 /* of its log: for status */
	struct synod_core_config core;
	struct synod_net_port net;
	struct synod_journal_port journal;
	struct synod_apply *apply; /* fresh */
	/* For an image of the state, aligned to a block, populated. NULL: no snapshots are taken
	 * or received, and the log is not recycled. */
	void *image;
	uint64_t image_room;			 /* bytes: synod_apply_image_max, in whole blocks */
	struct synod_positions_memory positions; /* slots: one more than the journal can index */
	struct rte_mempool *mbufs;		 /* room for any frame */
	struct rte_mempool *header_mbufs;	 /* SYNOD_PIPELINE_HEADER_ROOM */
	struct synod_counters *net_counters;	 /* of the net port: for status */
	struct synod_counters *journal_counters; /* of the journal port: for status */
};

/* What waits for egress. */
struct synod_outgoing {
	struct rte_mbuf *mbuf;
	uint64_t replica; /* 0: to the address */
	struct synod_address to;
};

/* What the journal is to write, and the item that holds its bytes. */
struct synod_pipeline_write {
	struct synod_core_write write;
	struct synod_item *item; /* held; NULL: no bytes */
};

/*
 * What the journal is to read back: for a peer (to > 0), or for a tail query (item). A slot; or,
 * size > 0, a piece of the snapshot of that slot.
 */
struct synod_pipeline_read {
	uint64_t slot;
	uint64_t to;
	struct synod_item *item;
	uint64_t offset;
	uint32_t size;
	uint32_t reserved;
};

struct synod_pipeline_chosen {
	uint64_t slot;
	struct synod_item *item; /* held; NULL: a no-op */
};

/* Reads numbered up to through: refused, or to be served once the slot is applied. */
struct synod_pipeline_grant {
	uint64_t through; /* 0: none */
	uint64_t slot;
	uint64_t status; /* 0, or enum synod_status */
};

/* What the journal is to note of another replica's disk. */
struct synod_pipeline_remember {
	uint64_t replica;
	struct synod_disk disk;
};

/* The open batch: ingress only. */
struct synod_ingress {
	struct synod_counters counters;
	struct synod_item *open;
	uint64_t handed; /* batches given to order */
	uint64_t batch_commands_sum;
	uint64_t batch_commands_max;
	uint64_t period_ns; /* when what is done now and then was done last */
	/* How fast order takes batches: what a BUSY's hint is reckoned from. */
	uint64_t batch_ns;	  /* between two of them, lately */
	uint64_t paced_ns;	  /* when that was measured last, or there was nothing to do */
	uint64_t paced_submitted; /* published.submitted then */
	uint64_t reads_asked;	  /* linearizable reads given to apply, and announced to order */
	uint32_t looks;		  /* at the links, that are not to wait for the period */
	uint32_t peers_lost;	  /* bit of each whose link is down, as order was told */
	struct synod_lives lives; /* hello.c: who is heard, and as whom */
};

struct synod_order {
	struct synod_counters counters;
	struct synod_core core;
	struct synod_effects effects;
	uint64_t ticket_durable;
	uint64_t slot_applied;
	uint64_t slot_installed;
	uint64_t deadline_ns;
	uint64_t submitted; /* batches taken */
	uint64_t reads_asked;
	struct synod_slow_disk slow_disk;
	uint32_t vouched; /* the core was told */
	uint32_t role;	  /* the core's, when last looked at */
	uint32_t served;  /* a batch was taken since it leads */
};

struct synod_journal_stage {
	struct synod_counters counters;
	struct synod_pipeline_write waiting[64];
	uint32_t waiting_count;
	uint32_t reads_under_way;
	struct synod_pipeline_read reads[8]; /* by cookie */
	uint8_t reads_used[8];
	struct synod_pipeline_read put_back; /* had no buffer yet */
	uint32_t has_put_back;
	struct synod_transfer transfer;
	uint64_t remember_number; /* of the port, for what it remembers now; 0: nothing */
	uint64_t remembered;	  /* notes that are durable */
};

struct synod_apply_stage {
	struct synod_counters counters;
	struct synod_apply *apply;
	struct synod_positions positions;
	uint32_t lost; /* 1: an image did not load, and there is no state any more */
	/* The reply under construction. */
	struct rte_mbuf *reply;
	struct synod_address reply_to;
	uint64_t reply_session;	       /* UINT64_MAX: of several */
	const struct synod_item *item; /* the batch being applied */
	uint64_t slot;
	uint32_t origin;
	/* reads.c */
	struct synod_item *read; /* the next that waits, or NULL */
	struct synod_pipeline_grant grant;
};

struct synod_egress {
	struct synod_counters counters;
};

/*
 * Numbers that one stage publishes for others. Each has one writer; a store with release pairs with
 * the loads with acquire (P1) where the reader acts on more than the number itself.
 */
struct synod_published {
	_Alignas(64) _Atomic uint64_t ticket_durable; /* journal -> order */
	_Atomic uint64_t journal_room;		      /* journal -> ingress, order */
	_Atomic uint64_t journal_used;		      /* journal -> status */
	_Atomic uint64_t journal_slot_first; /* journal -> apply, status: what read may find */
	_Atomic uint32_t journal_ready;	     /* journal -> ingress */
	_Atomic uint32_t recycles; /* journal -> ingress: room comes back with the next snapshot */
	_Atomic uint64_t snapshot_slot;		    /* journal -> status */
	_Alignas(64) _Atomic uint64_t slot_applied; /* apply -> order */
	_Atomic uint64_t slot_installed; /* apply -> order: all up to it came in a snapshot */
	_Atomic uint64_t position;	 /* apply -> status */
	_Atomic uint64_t pause_max_us;
	_Atomic uint64_t state_hash;
	_Atomic uint64_t sessions;
	_Alignas(64) _Atomic uint64_t
		submit_total;	    /* order -> ingress: batches it will have taken */
	_Atomic uint64_t submitted; /* order -> ingress: batches it has taken */
	_Atomic uint64_t unchosen;  /* order -> ingress: slots proposed, not chosen */
	_Atomic uint32_t role;
	_Atomic uint32_t leader;
	_Atomic uint64_t ballot;
	_Atomic uint64_t slot_chosen;
	_Atomic uint64_t slot_proposed;
	_Atomic uint64_t voters;
	_Atomic uint64_t rise_ns[SYNOD_RISES_COUNT]; /* order -> status */
	_Atomic uint32_t standing;		     /* order -> ingress, status */
	_Alignas(64) _Atomic uint64_t reads_asked;   /* ingress -> order */
	/* ingress -> order, journal: by peer, what a datagram to it carries as its boot */
	_Atomic uint32_t boots[SYNOD_REPLICAS_MAX + 1];
	_Atomic uint32_t vouched;    /* ingress -> order: peers know of no later life of our disk */
	_Atomic uint64_t remembered; /* journal -> ingress: notes of peers' disks, durable */
	_Atomic uint64_t slots_repaired; /* order (mending) -> host: how many are durable */
	_Atomic uint32_t mended;	 /* order (mending) -> host: 1: all of them */
	/* While the journal is mended. order -> journal: only a snapshot beyond this is wanted. */
	_Atomic uint64_t mending_has_through;
	/* journal -> order: one up to that slot, from that replica, is durable. P6, R6. */
	_Atomic uint64_t snapshot_received;
	_Atomic uint32_t snapshot_from; /* set before snapshot_received */
	/* journal, ingress (-ESTALE), order (-EBADMSG: mending is hopeless) -> all: 0, or -errno:
	 * the replica stops */
	_Alignas(64) _Atomic int failed;
	_Atomic uint64_t failed_ns; /* -> host: when; set before failed */
};

struct synod_pipeline {
	struct synod_pipeline_config config;
	struct synod_items items;
	uint64_t started_ns;
	struct synod_mending *mending; /* NULL: the core runs. Order's while polls are under way */

	struct rte_ring *to_order;     /* item *: ingress -> order */
	struct rte_ring *to_journal;   /* struct synod_pipeline_write: order -> journal */
	struct rte_ring *to_remember;  /* struct synod_pipeline_remember: ingress -> journal */
	struct rte_ring *to_read;      /* struct synod_pipeline_read: order -> journal */
	struct rte_ring *to_read_tail; /* struct synod_pipeline_read: apply -> journal */
	struct rte_ring *to_transfer;  /* item *: ingress -> journal, SNAPSHOT and FETCH */
	struct rte_ring *to_apply;     /* struct synod_pipeline_chosen: order -> apply */
	struct rte_ring *to_tail;      /* item *: ingress -> apply, queries */
	struct rte_ring *tail_read;    /* struct synod_pipeline_read: journal -> apply */
	struct rte_ring *to_reads;     /* item *: ingress -> apply, linearizable, by token */
	struct rte_ring *to_stale;     /* item *: ingress -> apply */
	struct rte_ring *grants;       /* struct synod_pipeline_grant: order -> apply */
	struct rte_ring *out_ingress;  /* struct synod_outgoing: each stage -> egress */
	struct rte_ring *out_order;
	struct rte_ring *out_journal;
	struct rte_ring *out_apply;

	struct synod_published published;
	struct synod_pipeline_image image;

	/* Each stage's own, on lines of its own. */
	_Alignas(64) struct synod_ingress ingress;
	_Alignas(64) struct synod_order order;
	_Alignas(64) struct synod_journal_stage journal;
	_Alignas(64) struct synod_apply_stage apply;
	_Alignas(64) struct synod_egress egress;
};

/* What recovery found: see engine/host. Slots (suffix) move their handles in. */
struct synod_pipeline_start {
	uint64_t promised;
	uint64_t chosen_through;
	uint64_t now_ns;
};

/*
 * Takes all memory (rte_malloc and rings: EAL must be up). What config points to stays the caller's
 * and outlives the pipeline. Returns 0 or -ENOMEM.
 */
int synod_pipeline_create(struct synod_pipeline **pipeline,
			  const struct synod_pipeline_config *config)
	__attribute__((warn_unused_result));
void synod_pipeline_destroy(struct synod_pipeline *pipeline);

/*
 * Recovery, before the first poll. First, if there is one, the snapshot: size bytes in the image
 * buffer; 0, or what synod_apply_load returns. Then the chosen slots beyond, one by one.
 */
int synod_pipeline_load(struct synod_pipeline *pipeline, uint64_t size)
	__attribute__((warn_unused_result));
/*
 * After that and before the first poll: the image buffer holds the first bytes of a snapshot that
 * was being received, and the journal was told (synod_journal_read_partial).
 */
void synod_pipeline_load_partial(struct synod_pipeline *pipeline,
				 const struct synod_journal_snapshot *of, uint64_t received,
				 uint32_t crc);
void synod_pipeline_replay(struct synod_pipeline *pipeline, uint64_t slot, const void *body,
			   uint32_t size);
void synod_pipeline_recover(struct synod_pipeline *pipeline,
			    const struct synod_pipeline_start *start);
/* One slot of the suffix; body is copied. Returns 0 or -ENOMEM. */
int synod_pipeline_recover_slot(struct synod_pipeline *pipeline,
				const struct synod_journal_record *record)
	__attribute__((warn_unused_result));

/*
 * Instead of recovery, where the journal is to be mended first: config.standing is MENDING. No core
 * runs, and a snapshot that is received is not loaded; once mended, destroy it, open the journal
 * again and create another. mending is the caller's, and not to be touched before that.
 */
void synod_pipeline_mend(struct synod_pipeline *pipeline, struct synod_mending *mending,
			 uint64_t now_ns);

/* 1: every faulty slot has been repaired. Any thread. */
static inline int synod_pipeline_mended(struct synod_pipeline *pipeline)
{
	/* Relaxed: it stands for nothing but itself. */
	return atomic_load_explicit(&pipeline->published.mended, memory_order_relaxed) != 0;
}

/* How many are repaired: synod_mending_repaired may be asked for those. Any thread. */
static inline uint64_t synod_pipeline_repaired(struct synod_pipeline *pipeline)
{
	/* P5: acquire; pairs with R5 in mending.c: their entries are there. */
	return atomic_load_explicit(&pipeline->published.slots_repaired, memory_order_acquire);
}

/*
 * One turn of a stage; only from the core that owns it. Returns the work done. After a failure
 * ingress answers requests with HALTED, egress sends, and the others do nothing.
 */
int synod_pipeline_poll(struct synod_pipeline *pipeline, enum synod_pipeline_stage stage,
			uint64_t now_ns);

/* 0, or -errno: the journal has failed, and nothing is ordered here any more. Any thread. */
static inline int synod_pipeline_failed(struct synod_pipeline *pipeline)
{
	/* P1: acquire; pairs with the release in journal_stage.c: failed_ns is set. */
	return atomic_load_explicit(&pipeline->published.failed, memory_order_acquire);
}

/* 0, or -errno: it has failed, and clients were told for long enough: stop polling. Any thread. */
static inline int synod_pipeline_ended(struct synod_pipeline *pipeline, uint64_t now_ns)
{
	int failed = synod_pipeline_failed(pipeline);
	/* Relaxed: failed was read with acquire. now_ns may be older, in another thread. */
	uint64_t failed_ns =
		atomic_load_explicit(&pipeline->published.failed_ns, memory_order_relaxed);

	return failed && now_ns > failed_ns && now_ns - failed_ns >= SYNOD_PIPELINE_HALT_NS ? failed
											    : 0;
}

/* Everything below is between the files of the pipeline. */

/* The replica has failed with -errno: the first reason counts. */
static inline void synod_pipeline_fail(struct synod_pipeline *pipeline, int error, uint64_t now_ns)
{
	int none = 0;

	atomic_store_explicit(&pipeline->published.failed_ns, now_ns, memory_order_relaxed);
	/* R1: release; pairs with P1 above: failed_ns is set. */
	(void)atomic_compare_exchange_strong_explicit(&pipeline->published.failed, &none, error,
						      memory_order_release, memory_order_relaxed);
}

int synod_ingress_poll(struct synod_pipeline *pipeline, uint64_t now_ns);
int synod_ingress_poll_halted(struct synod_pipeline *pipeline, uint64_t now_ns);
int synod_order_poll(struct synod_pipeline *pipeline, uint64_t now_ns);
int synod_mending_poll(struct synod_pipeline *pipeline, uint64_t now_ns); /* in order's place */
int synod_journal_stage_poll(struct synod_pipeline *pipeline, uint64_t now_ns);
int synod_apply_stage_poll(struct synod_pipeline *pipeline, uint64_t now_ns);
int synod_egress_poll(struct synod_pipeline *pipeline, uint64_t now_ns);

/*
 * refuse.c: a refusal for each of the commands (checked before), a datagram for each run of one
 * session, or of all where they may share one; the same for the open batch, which is given up; and
 * the pace that a BUSY's hint comes from, to be measured now and then. Ingress's.
 */
void synod_refuse_commands(struct synod_pipeline *pipeline, const uint8_t *bytes, uint32_t size,
			   const struct synod_origin *asks, uint16_t status, uint64_t now_ns);
void synod_refuse_open(struct synod_pipeline *pipeline, uint16_t status, uint64_t now_ns);
void synod_refuse_pace(struct synod_pipeline *pipeline, uint64_t now_ns);

/*
 * hello.c: 0 if a peer's datagram was meant for this life of ours; else it is to be dropped, and is
 * counted. poll: now and then. Ingress's.
 */
void synod_hello_begin(struct synod_pipeline *pipeline);
int synod_hello_check(struct synod_pipeline *pipeline, const struct synod_wire_header *header,
		      uint64_t now_ns) __attribute__((warn_unused_result));
void synod_hello_poll(struct synod_pipeline *pipeline, uint64_t now_ns);

/* tail.c: queries over the positions' index. Apply's. */
int synod_tail_poll(struct synod_pipeline *pipeline);

/* apply_image.c: saves or loads, if the image is lent to apply. Returns the work done. */
int synod_apply_image_turn(struct synod_pipeline *pipeline);

/*
 * transfer.c: the journal stage's. poll returns 0, or -errno: the replica is to stop. offer: that
 * slot of ours is gone and a peer asked for it. next_read: the next piece to be read; send: it was.
 */
void synod_transfer_init(struct synod_pipeline *pipeline);
int synod_transfer_poll(struct synod_pipeline *pipeline, uint64_t now_ns);
void synod_transfer_offer(struct synod_pipeline *pipeline, const struct synod_pipeline_read *read,
			  uint64_t now_ns);
int synod_transfer_next_read(struct synod_pipeline *pipeline, uint64_t now_ns,
			     struct synod_pipeline_read *read);
void synod_transfer_send(struct synod_pipeline *pipeline, const struct synod_journal_record *record,
			 const struct synod_pipeline_read *read);

/* apply_stage.c: one result more for a client; what does not fit the datagram begins another. */
void synod_apply_stage_answer(struct synod_pipeline *pipeline, const struct synod_origin *origin,
			      const struct synod_apply_result *result);

/* reads.c: reads that do not go through the log. */
int synod_reads_take(struct synod_pipeline *pipeline, struct synod_item *item); /* ingress's */
int synod_reads_poll(struct synod_pipeline *pipeline);				/* apply's */

/* status.c: answers a STATUS_QUERY into the same mbuf's successor. Ingress's. */
void synod_status_answer(struct synod_pipeline *pipeline, const struct synod_wire_view *query,
			 const struct synod_address *from, uint64_t now_ns);

/* An empty datagram: an mbuf with a zeroed header in front; its size set. NULL: no buffer. */
struct rte_mbuf *synod_pipeline_datagram(struct rte_mempool *pool, struct synod_counters *counters);

/* The same with a REPLY's header: of one session's commands, or (shared) of several's. */
struct rte_mbuf *synod_pipeline_reply(const struct synod_pipeline *pipeline,
				      struct synod_counters *counters, uint64_t session,
				      uint32_t shared);

/* Fills in the header of a datagram to a client, seals it and hands it to egress. */
void synod_pipeline_answer(struct synod_pipeline *pipeline, struct rte_ring *out,
			   struct synod_counters *counters, struct rte_mbuf *mbuf,
			   const struct synod_address *to);

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What travels between the stages: an item is one decoded message of a peer or one batch gathered
 * here, with the packet buffer that holds its bytes. The core knows an item that carries a value by
 * its handle. Items come from a fixed table; a reference count says how many stages still need one.
 */
#ifndef SYNOD_PIPELINE_ITEM_H
#define SYNOD_PIPELINE_ITEM_H

#include "engine/base/assert.h"
#include "engine/core/core.h"
#include "engine/pipeline/ports.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <stdatomic.h>
#include <stdint.h>

enum synod_item_kind {
	SYNOD_ITEM_MESSAGE,
	SYNOD_ITEM_BATCH,
	SYNOD_ITEM_TAIL,
	SYNOD_ITEM_READ,
	SYNOD_ITEM_HANDOVER,
	SYNOD_ITEM_LOST,
};

/* Commands first..first + count - 1 of a batch came from there and are answered there. */
struct synod_origin {
	struct synod_address from;
	uint16_t first;
	uint16_t count;
	uint32_t reply_size_max; /* bytes of a datagram that its network surely carries */
	uint32_t shared;	 /* 1: answers of several sessions may share a datagram */
};

struct synod_item {
	_Atomic uint32_t references;
	uint32_t handle; /* its own, 1..: fixed */
	enum synod_item_kind kind;
	uint32_t origins_count;
	struct rte_mbuf *mbuf; /* data starts at the body; NULL: no bytes */
	struct synod_value value;
	struct synod_message message; /* MESSAGE */
	struct synod_address from;    /* TAIL, READ, HANDOVER: who asks */
	uint64_t token;		      /* READ: its number among the linearizable ones; 0: stale */
	uint64_t handover_to;	      /* HANDOVER: replica, or 0 */
	uint64_t lost;		      /* LOST: replica */
	uint64_t tail_first;	      /* TAIL: first position */
	uint64_t tail_count;
	uint64_t tail_last;	 /* TAIL: last position appended */
	struct rte_mbuf *answer; /* TAIL: under construction */
	uint32_t tail_room;	 /* bytes that the answer may still grow */
	uint32_t tail_offset;	 /* TAIL: byte of the first command to begin with */
	uint64_t tail_part;	 /* TAIL: slot << 16 | index of the part wanted; 0: commands */
	uint64_t tail_trimmed;	 /* TAIL: 1: the part wanted is gone, its command is not */
	struct synod_origin origins[SYNOD_BATCH_ORIGINS_MAX];
};

struct synod_items {
	struct synod_item *table;
	struct rte_ring *free;
	uint32_t count;
};

/* Returns 0 or -ENOMEM; one line for the user is the caller's. */
int synod_items_init(struct synod_items *items, uint32_t count, const char *name)
	__attribute__((warn_unused_result));
void synod_items_close(struct synod_items *items);

/* An item with one reference and no buffer, or NULL: none is free. */
struct synod_item *synod_item_get(struct synod_items *items);

static inline void synod_item_hold(struct synod_item *item)
{
	/* Relaxed: who holds it has a reference already. */
	atomic_fetch_add_explicit(&item->references, 1, memory_order_relaxed);
}

/* Gives one reference up; the last one frees buffer and item. */
void synod_item_put(struct synod_items *items, struct synod_item *item);

static inline struct synod_item *synod_item_of(const struct synod_items *items, uint32_t handle)
{
	synod_assert(handle >= 1 && handle <= items->count);
	return &items->table[handle - 1];
}

static inline const void *synod_item_body(const struct synod_item *item)
{
	return item->mbuf ? rte_pktmbuf_mtod(item->mbuf, const void *) : NULL;
}

#endif

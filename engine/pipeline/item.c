/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of items and the ring of its free ones. See item.h. */
#include "engine/pipeline/item.h"

#include <rte_errno.h>
#include <rte_malloc.h>

#include <errno.h>
#include <string.h>

int synod_items_init(struct synod_items *items, uint32_t count, const char *name)
{
	memset(items, 0, sizeof(*items));
	items->table = rte_zmalloc(name, count * sizeof(*items->table), 64);
	/* Exact size: a ring of 2^n holds one less. */
	items->free = rte_ring_create(name, count, SOCKET_ID_ANY, RING_F_EXACT_SZ);
	if (!items->table || !items->free) {
		synod_items_close(items); /* count is still 0: there is nothing to walk */
		return -ENOMEM;
	}
	items->count = count;
	for (uint32_t i = 0; i < count; i++) {
		items->table[i].handle = i + 1;
		(void)rte_ring_enqueue(items->free, &items->table[i]);
	}
	return 0;
}

void synod_items_close(struct synod_items *items)
{
	for (uint32_t i = 0; items->table && i < items->count; i++) {
		rte_pktmbuf_free(items->table[i].mbuf);
		rte_pktmbuf_free(items->table[i].answer);
	}
	rte_ring_free(items->free);
	rte_free(items->table);
	memset(items, 0, sizeof(*items));
}

struct synod_item *synod_item_get(struct synod_items *items)
{
	void *found;
	struct synod_item *item;

	if (rte_ring_dequeue(items->free, &found) != 0)
		return NULL;
	item = found;
	synod_assert(item->mbuf == NULL);
	atomic_store_explicit(&item->references, 1, memory_order_relaxed);
	item->origins_count = 0;
	memset(&item->value, 0, sizeof(item->value));
	return item;
}

void synod_item_put(struct synod_items *items, struct synod_item *item)
{
	/* A1: acquire-release; pairs with itself in other holders: the last one sees all uses. */
	uint32_t before = atomic_fetch_sub_explicit(&item->references, 1, memory_order_acq_rel);

	synod_assert(before > 0);
	if (before > 1)
		return;
	rte_pktmbuf_free(item->mbuf);
	rte_pktmbuf_free(item->answer);
	item->mbuf = NULL;
	item->answer = NULL;
	(void)rte_ring_enqueue(items->free, item);
}

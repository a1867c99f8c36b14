/* SPDX-License-Identifier: BSD-3-Clause */
/* The durable prefix: see prefix.h. */
#include "engine/journal/prefix.h"

#include "engine/base/assert.h"

#include <string.h>

_Static_assert((SYNOD_PREFIX_ITEMS & (SYNOD_PREFIX_ITEMS - 1)) == 0, "masked index");

static struct synod_prefix_item *item_at(struct synod_prefix *prefix, uint64_t position)
{
	synod_assert(prefix != NULL);
	return &prefix->items[position & (SYNOD_PREFIX_ITEMS - 1)];
}

void synod_prefix_init(struct synod_prefix *prefix, uint64_t group, uint64_t offset)
{
	synod_assert(prefix != NULL);
	synod_assert_implies(group > 0, offset > 0);
	memset(prefix, 0, sizeof(*prefix));
	prefix->group_durable = group;
	prefix->offset_durable = offset;
}

uint64_t synod_prefix_add(struct synod_prefix *prefix, const struct synod_prefix_item *item)
{
	const struct synod_prefix_item *last = item_at(prefix, prefix->end - 1);

	synod_assert(synod_prefix_room(prefix) > 0);
	synod_assert_cmp(item->ticket, >=, prefix->ticket_durable);
	synod_assert_implies(prefix->begin != prefix->end, item->ticket >= last->ticket &&
								   item->group >= last->group &&
								   item->offset >= last->offset);
	*item_at(prefix, prefix->end) = *item;
	item_at(prefix, prefix->end)->done = 0;
	return prefix->end++;
}

void synod_prefix_complete(struct synod_prefix *prefix, uint64_t position)
{
	synod_assert(position - prefix->begin < prefix->end - prefix->begin);
	synod_assert(!item_at(prefix, position)->done);
	item_at(prefix, position)->done = 1;
	while (prefix->begin != prefix->end && item_at(prefix, prefix->begin)->done) {
		const struct synod_prefix_item *item = item_at(prefix, prefix->begin);

		synod_assert_cmp(item->group, >=, prefix->group_durable);
		prefix->ticket_durable = item->ticket;
		prefix->group_durable = item->group;
		prefix->offset_durable = item->offset;
		prefix->begin++;
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The index: see index.h. */
#include "engine/journal/index.h"

#include "engine/base/assert.h"

void synod_index_put(struct synod_index *index, const struct synod_wire_entry *entry,
		     uint64_t offset)
{
	const uint32_t chosen = (entry->flags & SYNOD_ENTRY_CHOSEN) != 0;
	struct synod_index_entry *found = &index->entries[entry->slot];

	synod_assert_cmp(entry->slot, <=, index->slots);
	synod_assert_cmp(offset % 8, ==, 0u);
	if (found->place && !synod_format_later_counts((uint32_t)(found->place & 1), found->ballot,
						       chosen, entry->ballot))
		return;
	found->place = offset | chosen;
	found->ballot = entry->ballot;
	if (entry->slot > index->slot_last)
		index->slot_last = entry->slot;
}

uint64_t synod_index_offset(const struct synod_index *index, uint64_t slot)
{
	synod_assert(index->slots > 0);
	synod_assert(index->entries != NULL);
	if (slot == 0 || slot > index->slots)
		return 0;
	return index->entries[slot].place & ~7ull;
}

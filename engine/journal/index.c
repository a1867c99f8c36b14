/* SPDX-License-Identifier: BSD-3-Clause */
/* The index: see index.h. */
#include "engine/journal/index.h"

#include "engine/base/assert.h"

static struct synod_index_entry *entry_of(const struct synod_index *index, uint64_t slot)
{
	synod_assert(slot > 0);
	synod_assert(index->entries != NULL);
	return &index->entries[slot % (index->slots + 1)];
}

/* The entries of the slots up to this one are theirs now, and no longer of those before. */
static void advance(struct synod_index *index, uint64_t slot)
{
	const uint64_t fresh = slot - index->slot_last;

	synod_assert_cmp(slot, >, index->slot_last);
	synod_assert(index->slots > 0);
	if (index->slot_last > 0 && fresh == 1) {
		*entry_of(index, slot) = (struct synod_index_entry){ 0 };
	} else if (slot > index->slots) { /* else they were never used */
		for (uint64_t i = 0; i < fresh && i <= index->slots; i++)
			*entry_of(index, slot - i) = (struct synod_index_entry){ 0 };
	}
	index->slot_last = slot;
}

void synod_index_put(struct synod_index *index, const struct synod_wire_entry *entry,
		     uint64_t offset)
{
	const uint32_t chosen = (entry->flags & SYNOD_ENTRY_CHOSEN) != 0;
	struct synod_index_entry *found = entry_of(index, entry->slot);

	synod_assert_cmp(offset % 8, ==, 0u);
	synod_assert_cmp(offset, >=, index->floor);
	if (entry->slot > index->slot_last)
		advance(index, entry->slot);
	else if (entry->slot + index->slots < index->slot_last)
		return; /* its entry is another's by now */
	if (found->place && !synod_format_later_counts((uint32_t)(found->place & 1), found->ballot,
						       chosen, entry->ballot))
		return;
	found->place = offset | chosen;
	found->ballot = entry->ballot;
	/* Who joins late is sent what is new before it has learned what was before. */
	if (entry->slot < index->slot_first)
		index->slot_first = entry->slot;
}

uint64_t synod_index_offset(const struct synod_index *index, uint64_t slot)
{
	uint64_t place;

	synod_assert(index->slots > 0);
	synod_assert(index->entries != NULL);
	if (slot <= index->foreign || slot > index->slot_last ||
	    slot + index->slots < index->slot_last)
		return 0;
	place = entry_of(index, slot)->place & ~7ull;
	return place >= index->floor ? place : 0;
}

int synod_index_chosen(const struct synod_index *index, uint64_t slot)
{
	return synod_index_offset(index, slot) != 0 && (entry_of(index, slot)->place & 1);
}

uint64_t synod_index_first(struct synod_index *index)
{
	const uint64_t oldest =
		index->slot_last > index->slots ? index->slot_last - index->slots : 1;

	synod_assert(index->slots > 0);
	synod_assert(index->entries != NULL);
	if (index->slot_first < oldest)
		index->slot_first = oldest;
	while (index->slot_first <= index->slot_last &&
	       synod_index_offset(index, index->slot_first) == 0)
		index->slot_first++;
	return index->slot_first;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the log may begin: see heads.h. */
#include "engine/journal/heads.h"

#include "engine/base/assert.h"

#include <string.h>

void synod_heads_begin(struct synod_heads *heads, const struct synod_head *first, uint64_t log_size)
{
	synod_assert(first->number > 0);
	synod_assert(log_size > 0);
	memset(heads, 0, sizeof(*heads));
	heads->head[0] = *first;
	heads->count = 1;
	heads->step = log_size / SYNOD_HEADS_STEPS + 1;
}

void synod_heads_note(struct synod_heads *heads, const struct synod_head *group)
{
	struct synod_head *last = &heads->head[heads->count - 1];

	synod_assert(heads->count > 0);
	synod_assert_cmp(group->number, >=, last->number);
	if (group->at - last->at >= heads->step) {
		synod_assert_cmp(heads->count, <, (uint32_t)SYNOD_HEADS_MAX);
		heads->head[heads->count++] = *group;
		return;
	}
	if (group->slot_last > last->slot_last)
		last->slot_last = group->slot_last;
}

const struct synod_head *synod_heads_find(const struct synod_heads *heads, uint64_t slot,
					  uint64_t counts_at, uint64_t group_durable)
{
	uint32_t i = 0;

	synod_assert(heads->count > 0);
	synod_assert_cmp(heads->head[0].number, <=, group_durable + 1);
	while (i + 1 < heads->count &&
	       (heads->head[i].slot_last <= slot || heads->head[i + 1].at <= counts_at) &&
	       heads->head[i + 1].number <= group_durable + 1)
		i++;
	return &heads->head[i];
}

void synod_heads_drop(struct synod_heads *heads, uint64_t number)
{
	uint32_t gone = 0;

	synod_assert(heads->count > 0);
	while (gone < heads->count && heads->head[gone].number < number)
		gone++;
	synod_assert_cmp(gone, <, heads->count); /* it is one of them */
	heads->count -= gone;
	memmove(heads->head, heads->head + gone, heads->count * sizeof(heads->head[0]));
}

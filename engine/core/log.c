/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring of slots. Slot s lives at s & (window - 1); a place is taken over by s + window once s
 * is executed here and durable here, so that whoever lacks s can be served from our journal.
 *
 *      applied            chosen_through             slot_last     applied + window
 *   ------|---- chosen ----------|---- accepted / found ----|------------|
 *   places of these may be      these are never given up
 *   taken over when durable
 */
#include "engine/core/internal.h"

static uint64_t mask(const struct synod_core *core)
{
	return core->config.window - 1;
}

struct synod_core_slot *synod_log_at(struct synod_core *core, uint64_t slot)
{
	struct synod_core_slot *place = &core->slots[slot & mask(core)];

	return slot && place->slot == slot ? place : NULL;
}

int synod_log_has_room(const struct synod_core *core, uint64_t slot)
{
	const struct synod_core_slot *place = &core->slots[slot & mask(core)];

	synod_assert(slot != 0 && slot < SYNOD_CORE_SLOT_END);
	if (place->slot == slot)
		return 1;
	if (slot > core->applied + core->config.window || place->slot > slot)
		return 0;
	return place->slot == 0 ||
	       (place->slot <= core->applied && place->ticket <= core->ticket_durable);
}

struct synod_core_slot *synod_log_claim(struct synod_core *core, struct synod_effects *fx,
					uint64_t slot)
{
	struct synod_core_slot *place = &core->slots[slot & mask(core)];
	uint8_t told = place->told;

	synod_assert(synod_log_has_room(core, slot));
	if (place->slot == slot)
		return place;
	synod_assert_implies(place->slot != 0, place->chosen && !place->has_found);
	synod_log_release(fx, place->value.handle);
	memset(place, 0, sizeof(*place));
	place->slot = slot;
	place->told = told;
	return place;
}

void synod_log_release(struct synod_effects *fx, uint32_t handle)
{
	if (!handle)
		return;
	synod_assert_cmp(fx->released_count, <, SYNOD_CORE_RELEASED_MAX);
	fx->released[fx->released_count++] = handle;
}

static struct synod_core_write *next_write(struct synod_core *core, struct synod_effects *fx)
{
	struct synod_core_write *write;

	synod_assert_cmp(fx->writes_count, <, SYNOD_CORE_WRITES_MAX);
	synod_assert_cmp(core->ticket_durable, <=, core->ticket_last);
	write = &fx->writes[fx->writes_count++];
	memset(write, 0, sizeof(*write));
	write->ticket = ++core->ticket_last;
	write->chosen_through = core->chosen_through;
	return write;
}

void synod_log_write_promise(struct synod_core *core, struct synod_effects *fx, uint64_t ballot)
{
	struct synod_core_write *write = next_write(core, fx);

	synod_assert(ballot > core->promised); /* I3 */
	core->promised = ballot;
	core->ballot_highest = synod_core_max(core->ballot_highest, ballot);
	core->ticket_promised = write->ticket;
	write->kind = SYNOD_WRITE_OF_PROMISE;
	write->ballot = ballot;
}

uint64_t synod_log_write_standing(struct synod_core *core, struct synod_effects *fx)
{
	struct synod_core_write *write = next_write(core, fx);

	synod_assert(core->standing != SYNOD_STANDING_VOTES); /* I12 */
	synod_assert(core->ticket_promised <= core->ticket_durable ||
		     core->standing == SYNOD_STANDING_MUTE);
	write->kind = SYNOD_WRITE_OF_STANDING;
	return write->ticket;
}

static void drop_found(struct synod_effects *fx, struct synod_core_slot *place)
{
	if (place->has_found)
		synod_log_release(fx, place->found.handle);
	place->has_found = 0;
	place->found_ballot = 0;
	memset(&place->found, 0, sizeof(place->found));
}

void synod_log_store(struct synod_core *core, struct synod_effects *fx,
		     struct synod_core_slot *place, uint64_t ballot,
		     const struct synod_value *value, int chosen)
{
	struct synod_core_write *write;

	/* I3: never below the promise, never over a chosen value, never twice at one ballot. */
	synod_assert(chosen || ballot >= core->promised);
	synod_assert(!place->chosen);
	synod_assert(chosen || ballot > place->ballot);
	if (place->value.handle != value->handle)
		synod_log_release(fx, place->value.handle);
	if (place->has_found && place->found.handle == value->handle)
		place->found.handle = 0; /* it moved over */
	drop_found(fx, place);
	write = next_write(core, fx);
	write->kind = SYNOD_WRITE_OF_SLOT;
	write->slot = place->slot;
	write->ballot = ballot;
	write->chosen = (uint32_t)chosen;
	write->value = *value;
	synod_assert_cmp(place->ticket, <, write->ticket);
	if (core->role == SYNOD_ROLE_LEADER && place->slot < core->propose_next)
		core->bytes_inflight += (uint64_t)value->size - place->value.size;
	place->ballot = ballot;
	place->value = *value;
	place->ticket = write->ticket;
	place->chosen = (uint8_t)chosen;
	place->votes = 0;
	core->slot_last = synod_core_max(core->slot_last, place->slot);
}

void synod_log_mark_chosen(struct synod_effects *fx, struct synod_core_slot *place)
{
	synod_assert(place->slot != 0 && place->ballot != 0);
	synod_assert(!place->chosen);
	place->chosen = 1;
	drop_found(fx, place);
}

void synod_log_advance_chosen(struct synod_core *core, struct synod_effects *fx)
{
	/* At most a window of turns: chosen slots that are not executed stay in the ring. */
	for (;;) {
		struct synod_core_slot *place = synod_log_at(core, core->chosen_through + 1);

		if (!place || !place->chosen)
			break;
		if (core->role == SYNOD_ROLE_LEADER && place->slot < core->propose_next)
			core->bytes_inflight -= place->value.size;
		core->chosen_through++;
		if (fx->chosen_first > fx->chosen_last)
			fx->chosen_first = core->chosen_through;
		fx->chosen_last = core->chosen_through;
	}
	core->known_chosen = synod_core_max(core->known_chosen, core->chosen_through);
	synod_assert_cmp(core->applied, <=, core->chosen_through);
	synod_assert_cmp(core->chosen_through, <=, core->applied + core->config.window);
}

int synod_log_is_accepted(struct synod_core *core, uint64_t slot)
{
	const struct synod_core_slot *place = synod_log_at(core, slot);

	if (!place) /* given up only when chosen, executed and durable */
		return slot <= core->chosen_through;
	return place->ticket <= core->ticket_durable &&
	       (place->chosen || (place->ballot == core->ballot && place->ballot != 0));
}

int synod_log_advance_accepted(struct synod_core *core)
{
	uint64_t before = core->accepted_through;

	while (synod_log_is_accepted(core, core->accepted_through + 1))
		core->accepted_through++;
	synod_assert_cmp(core->accepted_through, <=, core->slot_last);
	return core->accepted_through != before;
}

uint64_t synod_log_durable_prefix(struct synod_core *core)
{
	uint64_t first = core->chosen_through > core->config.window
				 ? core->chosen_through - core->config.window
				 : 0;

	/* A slot that is not durable is never given up, so what is not here is durable. */
	for (uint64_t slot = first + 1; slot <= core->chosen_through; slot++) {
		const struct synod_core_slot *place = synod_log_at(core, slot);

		if (place && place->ticket > core->ticket_durable)
			return slot - 1;
	}
	return core->chosen_through;
}

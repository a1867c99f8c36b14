/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which messages still matter. Most of what was ever sent to a replica can never again do anything
 * there: prepares below its promise, promises for a candidacy that is over, votes that were
 * counted. Two states that differ only in such dead messages have the same future, so they are
 * taken for one: a message is in the fingerprint only while it is *alive* at its receiver's state.
 *
 * That is decided from what the compiled core does, not from what the protocol should do, so it
 * holds for a wrong core too: a message is dead at a replica state if to deliver it there changes
 * nothing, sends nothing and claims nothing, and likewise at every state that the replica can go to
 * from there. What a replica can go to is known only when the search is over, so it is repeated:
 *
 *   1. search; of replica states that are new, guess that what does nothing there now is dead
 *   2. from all replica states that were reached, and all ways from one to another, work out what
 *      is alive (the least fixed point backwards along the ways)
 *   3. if some message was taken for dead that is not, search again with what is known now
 *
 * In the last search no dead message was wrong. Then, by induction over the steps of any run, each
 * state of the run has a visited twin: the same replica states, facts and living messages. What a
 * run does with a living message or without one its twin does too, and dead ones do nothing and
 * stay dead. Each search walks real runs only, so what it finds is a violation whatever was
 * guessed.
 */
#include "tests/model/model.h"

#include <stdlib.h>
#include <string.h>

static uint32_t words(uint32_t items)
{
	return items / 64 + 1;
}

static uint64_t *row(const struct model_alive *alive, uint32_t local)
{
	return alive->bits + (size_t)local * words(alive->items);
}

static int bit(const uint64_t *bits, uint32_t item)
{
	return (int)(bits[item / 64] >> item % 64 & 1);
}

int model_is_alive(struct model *model, uint32_t local, uint32_t item)
{
	const struct model_alive *alive = &model->alive;

	if (local <= alive->locals && item <= alive->items && alive->known_locals[local] &&
	    alive->known_items[item])
		return bit(row(alive, local), item);
	return model_outcomes(model, local, item) != MODEL_NOTHING;
}

static void flag(struct model_flags *flags, uint32_t number)
{
	if (number >= flags->capacity) {
		uint32_t old = flags->capacity;

		flags->capacity = number * 2 + 1024;
		flags->set = model_grow(flags->set, flags->capacity, 1);
		memset(flags->set + old, 0, flags->capacity - old);
	}
	flags->set[number] = 1;
}

void model_reach(struct model *model, uint32_t local)
{
	flag(&model->alive.reached, local);
}

void model_see(struct model *model, uint32_t item)
{
	flag(&model->alive.seen, item);
}

static uint8_t *copy(const struct model_flags *flags, uint32_t count)
{
	uint8_t *set = model_grow(NULL, count + 1, 1);

	memset(set, 0, count + 1);
	memcpy(set, flags->set, flags->capacity < count + 1 ? flags->capacity : count + 1);
	return set;
}

/* 1: the item is a message that some search saw sent to the owner of the state. */
static int is_for(const struct model *model, const struct model_alive *next, uint32_t item,
		  uint32_t replica)
{
	const struct model_item *what = model_item_at(model, item);

	return next->known_items[item] && what->kind == MODEL_MESSAGE && what->replica == replica;
}

/* Whatever is alive where the outcomes lead is alive here. 1: something was added. */
static int take_over(struct model *model, const struct model_alive *next, uint32_t local,
		     uint32_t first)
{
	uint64_t *here = row(next, local);
	int added = 0;

	for (; first && first != MODEL_NOTHING; first = model->outcome[first].next) {
		uint32_t to = model->outcome[first].local;
		const uint64_t *there;

		if (to == local || to > next->locals || !next->known_locals[to])
			continue;
		there = row(next, to);
		for (uint32_t i = 0; i < words(next->items); i++) {
			added |= (there[i] & ~here[i]) != 0;
			here[i] |= there[i];
		}
	}
	return added;
}

static int sweep(struct model *model, const struct model_alive *next)
{
	int added = 0;

	/* States that came later are mostly further on: begin there. */
	for (uint32_t local = next->locals; local >= 1; local--) {
		uint32_t to;

		if (!next->known_locals[local])
			continue;
		to = model_past_at(model, local)->id;
		added |= take_over(model, next, local, model_outcomes(model, local, MODEL_NO_ITEM));
		for (uint32_t item = 1; item <= next->items; item++)
			if (is_for(model, next, item, to))
				added |= take_over(model, next, local,
						   model_outcomes(model, local, item));
	}
	return added;
}

/* Where does each message do something at once? */
static void set_immediate(struct model *model, struct model_alive *next)
{
	for (uint32_t local = 1; local <= next->locals; local++) {
		uint32_t to;

		if (!next->known_locals[local])
			continue;
		to = model_past_at(model, local)->id;
		for (uint32_t item = 1; item <= next->items; item++)
			if (is_for(model, next, item, to) &&
			    model_outcomes(model, local, item) != MODEL_NOTHING)
				row(next, local)[item / 64] |= UINT64_C(1) << item % 64;
	}
}

/* 1: the search just done took nothing for dead that may do something later. */
static int was_right(struct model *model, const struct model_alive *next)
{
	for (uint32_t local = 1; local <= next->locals; local++) {
		uint32_t to;

		if (!next->known_locals[local])
			continue;
		to = model_past_at(model, local)->id;
		for (uint32_t item = 1; item <= next->items; item++)
			if (is_for(model, next, item, to) && bit(row(next, local), item) &&
			    !model_is_alive(model, local, item))
				return 0;
	}
	return 1;
}

int model_alive_update(struct model *model)
{
	struct model_alive *alive = &model->alive;
	struct model_alive next = { .locals = model->locals.count, .items = model->items.count };
	int right;

	next.bits = calloc((size_t)(next.locals + 1) * words(next.items), sizeof(*next.bits));
	next.known_locals = copy(&alive->reached, next.locals);
	next.known_items = copy(&alive->seen, next.items);
	if (!next.bits) {
		fprintf(stderr, "synod-model: out of memory\n");
		exit(3);
	}
	set_immediate(model, &next);
	while (sweep(model, &next))
		continue;
	right = was_right(model, &next);
	free(alive->bits);
	free(alive->known_locals);
	free(alive->known_items);
	alive->bits = next.bits;
	alive->known_locals = next.known_locals;
	alive->known_items = next.known_items;
	alive->locals = next.locals;
	alive->items = next.items;
	return right;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Depth-first search. Of a state that was visited only a 64-bit fingerprint is kept (the exclusive
 * or of a mixed number for each replica's state, each fact and each living message); states on the
 * path are kept whole, as the changes that lead from one to the next. Two states with one
 * fingerprint would be taken for one: with n states the odds that this happened anywhere are about
 * n * n / 2^65 (7 in a million for n = 16 million).
 *
 * The order is fixed, so the same bounds give the same counts.
 */
#include "tests/model/model.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct frame {
	struct model_action action; /* that led here */
	struct model_mark back;
	/* Where its own search stands: whose messages or events, which message, next outcome. */
	uint32_t at_turn;
	uint32_t at_index;
	uint32_t at_outcome;
};

struct search {
	struct model *model;
	struct model_map visited;
	struct frame *frames;
	uint64_t depth, capacity;
	double started;
	double reported;
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static struct frame *push(struct search *search, struct frame frame)
{
	if (search->depth == search->capacity) {
		search->capacity = search->capacity ? search->capacity * 2 : 1024;
		search->frames =
			model_grow(search->frames, search->capacity, sizeof(*search->frames));
	}
	frame.at_turn = 1;
	frame.at_index = 0;
	frame.at_outcome = 0;
	search->frames[search->depth++] = frame;
	if (search->depth > search->model->totals.depth_max)
		search->model->totals.depth_max = search->depth;
	return &search->frames[search->depth - 1];
}

/* What may be tried at this turn of the frame: a message, or all else that may happen. */
static uint32_t next_list(struct model *model, const struct frame *frame, uint32_t replica)
{
	const struct model_world *world = &model->world;
	uint32_t item = MODEL_NO_ITEM;

	if (frame->at_turn <= model->bounds.replicas) {
		item = world->inbox[replica].items[frame->at_index];
		if (!(world->present[item] & 1))
			return 0;
	}
	item = model_outcomes(model, world->locals[replica], item);
	return item == MODEL_NOTHING ? 0 : item;
}

/*
 * The next outcome to try from the state on top, or 0. Every replica's messages come first, then
 * every replica's other events: a violation found so takes fewer elections.
 */
static uint32_t next_outcome(struct model *model, struct frame *frame)
{
	const uint32_t replicas = (uint32_t)model->bounds.replicas;

	while (frame->at_turn <= 2 * replicas) {
		uint32_t outcome = frame->at_outcome;
		uint32_t replica = (frame->at_turn - 1) % replicas + 1;
		uint32_t lists = frame->at_turn > replicas ? 1 : model->world.inbox[replica].count;

		if (outcome) {
			frame->at_outcome = model->outcome[outcome].next;
			return outcome;
		}
		if (frame->at_index >= lists) {
			frame->at_turn++;
			frame->at_index = 0;
			continue;
		}
		frame->at_outcome = next_list(model, frame, replica);
		frame->at_index++;
	}
	return 0;
}

static void report(struct search *search)
{
	struct model *model = search->model;
	double now = seconds();

	model->totals.seconds = now - search->started;
	if (!model->progress || now - search->reported < 10)
		return;
	search->reported = now;
	fprintf(model->progress,
		"%8.0f s  search %u: %llu states, %llu transitions, depth %llu; "
		"%u replica states, %u items\n",
		model->totals.seconds, model->totals.searches,
		(unsigned long long)model->totals.states,
		(unsigned long long)model->totals.transitions, (unsigned long long)search->depth,
		model->locals.count, model->items.count);
	fflush(model->progress);
}

static void keep_trace(struct search *search, struct model_action last)
{
	struct model *model = search->model;

	model->trace_count = 0;
	model->trace = model_grow(model->trace, search->depth + 1, sizeof(*model->trace));
	for (uint64_t i = 1; i < search->depth; i++)
		model->trace[model->trace_count++] = search->frames[i].action;
	model->trace[model->trace_count++] = last;
}

/* 1: a violation. */
static int try_outcome(struct search *search, uint32_t number)
{
	struct model *model = search->model;
	struct model_outcome outcome = model->outcome[number]; /* the table may move */
	struct frame next = { .action = outcome.action };

	if (model_is_beyond(model, &outcome))
		return 0;
	model->totals.transitions++;
	next.back = model_world_mark(model);
	if (model_world_apply(model, &outcome)) {
		keep_trace(search, next.action);
		return 1;
	}
	if (model_map_add(&search->visited, model_world_fingerprint(model))) {
		model->totals.states++;
		(void)push(search, next);
		if (!(model->totals.states & 0xfff))
			report(search);
		return 0;
	}
	model_world_undo(model, &next.back);
	return 0;
}

static int run(struct search *search)
{
	struct model *model = search->model;

	model_world_begin(model);
	(void)model_map_add(&search->visited, model_world_fingerprint(model));
	model->totals.states = 1;
	model->totals.transitions = 0;
	model->totals.depth_max = 0;
	model->totals.searches++;
	(void)push(search, (struct frame){ .back = model_world_mark(model) });
	while (search->depth) {
		struct frame *top = &search->frames[search->depth - 1];
		uint32_t outcome = next_outcome(model, top);

		if (outcome) {
			if (try_outcome(search, outcome))
				return 1;
			if (model->totals.states >= model->states_max)
				return 0;
			continue;
		}
		model_world_undo(model, &top->back);
		search->depth--;
	}
	model->totals.exhaustive = (uint32_t)model_alive_update(model);
	return 0;
}

int model_search(struct model *model)
{
	double started = seconds();
	double reported = started;
	int violated;

	do {
		struct search search = { .model = model, .started = started, .reported = reported };

		violated = run(&search);
		free(search.visited.keys);
		free(search.frames);
		reported = search.reported;
	} while (!violated && !model->totals.exhaustive &&
		 model->totals.states < model->states_max);
	model->totals.violations = (uint32_t)violated;
	model->totals.seconds = seconds() - started;
	return violated;
}

static void strings_end(struct model_strings *strings)
{
	free(strings->bytes);
	free(strings->offsets);
	free(strings->slots);
}

void model_end(struct model *model)
{
	while (model->pieces) {
		struct model_piece *next = model->pieces->next;

		free(model->pieces);
		model->pieces = next;
	}
	strings_end(&model->locals);
	strings_end(&model->items);
	free(model->outcomes.keys);
	free(model->outcomes.values);
	free(model->outcome);
	free(model->trace);
	free(model->alive.bits);
	free(model->alive.known_locals);
	free(model->alive.known_items);
	free(model->alive.reached.set);
	free(model->alive.seen.set);
	free(model->world.present);
	free(model->world.undo);
	for (int i = 0; i <= MODEL_REPLICAS_MAX; i++)
		free(model->world.inbox[i].items);
	memset(model, 0, sizeof(*model));
}

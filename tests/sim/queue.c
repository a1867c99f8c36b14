/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens when: a binary heap ordered by (time, order of pushing), so that ties never depend
 * on the heap's shape.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>

#define ORDER_FIRST (UINT64_C(1) << 60)

static int before(const struct sim_event *left, const struct sim_event *right)
{
	if (left->at != right->at)
		return left->at < right->at;
	return left->order < right->order;
}

/* Room for it was made, its order is set. */
static void insert(struct sim_queue *queue, struct sim_event event)
{
	uint32_t at = queue->count++;

	while (at > 0 && before(&event, &queue->events[(at - 1) / 2])) {
		queue->events[at] = queue->events[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	queue->events[at] = event;
}

static void push(struct sim_queue *queue, struct sim_event event)
{
	if (queue->count == queue->capacity) {
		queue->capacity = queue->capacity ? queue->capacity * 2 : 1024;
		queue->events = realloc(queue->events, queue->capacity * sizeof(event));
		if (!queue->events)
			abort();
	}
	insert(queue, event);
}

void sim_queue_push(struct sim *sim, struct sim_event event)
{
	event.order = ORDER_FIRST + sim->queue.order++;
	push(&sim->queue, event);
}

void sim_queue_push_first(struct sim *sim, struct sim_event event)
{
	event.order = sim->queue.order++;
	push(&sim->queue, event);
}

struct sim_event sim_queue_pop(struct sim *sim)
{
	struct sim_queue *queue = &sim->queue;
	struct sim_event first = queue->events[0];
	struct sim_event last = queue->events[--queue->count];
	uint32_t at = 0;

	for (;;) { /* goes down one level a turn */
		uint32_t child = at * 2 + 1;

		if (child >= queue->count)
			break;
		if (child + 1 < queue->count &&
		    before(&queue->events[child + 1], &queue->events[child]))
			child++;
		if (!before(&queue->events[child], &last))
			break;
		queue->events[at] = queue->events[child];
		at = child;
	}
	if (queue->count)
		queue->events[at] = last;
	return first;
}

void sim_queue_move(struct sim *sim, uint32_t who, uint64_t from, uint64_t to)
{
	struct sim_queue *queue = &sim->queue;
	uint32_t count = queue->count;

	queue->count = 0;
	for (uint32_t i = 0; i < count; i++) { /* a heap of the first i is built in place */
		struct sim_event event = queue->events[i];

		if (event.at == from && event.who == who)
			event.at = to;
		insert(queue, event);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The search over the orders of one key's operations. See linear.h.
 *
 * Calls and answers of what must be placed are one list in the order of time; placing an operation
 * takes its two entries out (lift), going back puts them in again (unlift), so that the operations
 * that may come next are those whose calls stand before the first answer. What may be left out has
 * a list of its own, without answers, and is tried last.
 *
 * A configuration is remembered in two parts. What must be placed and is, and the value, by 128
 * bits: the sum of random numbers; two that differ would have to agree in all of them to be mixed
 * up. What may be left out and was placed, bit by bit: whoever gets as far with fewer of them can
 * do all that one with more can, so a configuration is also known if one with a subset was.
 */
#include "engine/base/assert.h"
#include "engine/base/random.h"
#include "tests/linear/linear.h"

#include <stdlib.h>
#include <string.h>

enum {
	HEAD = 0,
	MEMORY_FIRST = 1 << 10
};

/* 128 bits of what a configuration is. */
struct mark {
	uint64_t high;
	uint64_t low;
};

/* An entry of the lists, by index: call of op i 1 + 2i, its answer 2 + 2i; 0 is the list's head. */
struct link {
	uint32_t next;
	uint32_t previous;
};

struct frame {
	uint32_t op;
	uint32_t value_before;
	uint64_t latest_before;
	uint32_t forced; /* placed without a choice: nothing else is tried in its stead */
};

/* What may come next in one configuration: choices[next..end) are still to be tried. */
struct level {
	uint64_t begin;
	uint64_t next;
	uint64_t end;
};

/* What was met of one set of required operations and one value. */
struct memory {
	struct mark mark;
	uint64_t sets; /* + 1 in the arena, or 0: where the first set of optional ones lies */
};

struct search {
	const struct linear_op *ops;
	uint32_t count;
	uint32_t value;
	uint32_t left;	   /* to be placed, of those that must be */
	uint64_t latest;   /* invocation among the placed */
	uint32_t furthest; /* op whose answer was not got beyond, so far */
	uint64_t furthest_at;
	struct link *links;
	struct link *optional; /* by op + 1; 0 is the head */
	uint32_t *ordinal;     /* of an optional op: its bit */
	uint32_t *twin;	       /* the optional op before it that does the same, + 1, or 0 */
	uint8_t *placed;
	struct frame *frames;
	uint32_t frames_count;
	struct level *levels;
	uint32_t levels_count;
	uint32_t *choices; /* of all levels, one behind the other */
	uint64_t choices_count;
	uint64_t choices_capacity;
	struct mark mark;      /* of the required ones placed */
	uint64_t *used;	       /* bits of the optional ones placed */
	uint32_t words;	       /* of such bits */
	struct memory *memory; /* open-addressed; a power of two */
	uint64_t memory_count;
	uint64_t memory_capacity;
	/* Sets: where the next of the same memory lies (+ 1, or 0), then the bits. */
	uint64_t *arena;
	uint64_t arena_count;
	uint64_t arena_capacity;
};

static void *take(uint64_t count, uint64_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		abort();
	return memory;
}

/* Is a value that need not be known the one that is asked for? */
static int is_it(uint32_t value, uint32_t asked)
{
	return value == asked || value == LINEAR_ANY;
}

/* What a completed operation found fits the value; *after is the value after it. */
static int fits(const struct linear_op *op, uint32_t value, uint32_t *after)
{
	*after = value;
	switch (op->outcome) {
	case LINEAR_OK:
		*after = op->operation == LINEAR_DELETE ? LINEAR_ABSENT : op->value;
		if (op->operation == LINEAR_GET)
			return is_it(value, op->value);
		if (op->operation == LINEAR_CAS)
			return is_it(value, op->expected);
		return op->operation == LINEAR_PUT || value != LINEAR_ABSENT;
	case LINEAR_NOT_FOUND:
	case LINEAR_NO_SPACE:
		*after = LINEAR_ABSENT;
		return is_it(value, LINEAR_ABSENT);
	case LINEAR_MISMATCH:
		return value != LINEAR_ABSENT &&
		       (op->expected == LINEAR_ABSENT || value != op->expected);
	default:
		break;
	}
	/* UNKNOWN: what it would do here. */
	if (op->operation == LINEAR_CAS && !is_it(value, op->expected))
		return 0;
	if (op->operation == LINEAR_GET)
		return 0;
	*after = op->operation == LINEAR_DELETE ? LINEAR_ABSENT : op->value;
	return 1;
}

static struct mark mark_of(uint64_t number)
{
	uint64_t state = number * 2 * 0x9e3779b97f4a7c15ull; /* two draws apart */
	struct mark mark;

	mark.high = synod_random_next(&state);
	mark.low = synod_random_next(&state);
	return mark;
}

static void mark_flip(struct mark *mark, struct mark other)
{
	mark->high ^= other.high;
	mark->low ^= other.low;
}

/* Ops are even, values odd. */
static struct mark mark_of_op(uint32_t op)
{
	return mark_of((uint64_t)op << 1);
}

static struct mark mark_of_value(uint32_t value)
{
	return mark_of((uint64_t)value << 1 | 1);
}

static struct memory *memory_place(const struct search *search, struct mark mark)
{
	uint64_t at = mark.low;

	for (;; at++) { /* at most half of it is taken */
		struct memory *place = &search->memory[at & (search->memory_capacity - 1)];

		if (!place->sets || (place->mark.high == mark.high && place->mark.low == mark.low))
			return place;
	}
}

static void memory_grow(struct search *search)
{
	struct memory *before = search->memory;
	uint64_t capacity = search->memory_capacity;

	search->memory_capacity = capacity ? capacity * 4 : MEMORY_FIRST;
	search->memory = take(search->memory_capacity, sizeof(*search->memory));
	for (uint64_t i = 0; i < capacity; i++)
		if (before[i].sets)
			*memory_place(search, before[i].mark) = before[i];
	free(before);
}

static int is_subset(const uint64_t *small, const uint64_t *large, uint32_t words)
{
	for (uint32_t i = 0; i < words; i++)
		if (small[i] & ~large[i])
			return 0;
	return 1;
}

static void set_add(struct search *search, struct memory *memory)
{
	uint64_t size = 1 + (uint64_t)search->words;

	if (search->arena_count + size > search->arena_capacity) {
		search->arena_capacity = (search->arena_capacity + size) * 2;
		search->arena = realloc(search->arena, search->arena_capacity * sizeof(uint64_t));
		if (!search->arena)
			abort();
	}
	search->arena[search->arena_count] = memory->sets;
	if (search->words)
		memcpy(&search->arena[search->arena_count + 1], search->used,
		       search->words * sizeof(uint64_t));
	memory->sets = search->arena_count + 1;
	search->arena_count += size;
}

/* Remembers the configuration as it stands; 0 if it, or one that can do more, was known. */
static int remember(struct search *search, uint64_t *steps)
{
	struct mark mark = search->mark;
	struct memory *memory;

	mark_flip(&mark, mark_of_value(search->value));
	if (search->memory_count * 2 >= search->memory_capacity)
		memory_grow(search);
	memory = memory_place(search, mark);
	if (!memory->sets)
		search->memory_count++;
	memory->mark = mark;
	for (uint64_t set = memory->sets; set; set = search->arena[set - 1]) {
		++*steps;
		if (is_subset(&search->arena[set], search->used, search->words))
			return 0;
	}
	set_add(search, memory);
	return 1;
}

static void out(struct link *links, uint32_t at)
{
	links[links[at].previous].next = links[at].next;
	links[links[at].next].previous = links[at].previous;
}

static void in(struct link *links, uint32_t at)
{
	links[links[at].previous].next = at;
	links[links[at].next].previous = at;
}

static int is_answer(uint32_t entry)
{
	return entry != HEAD && entry % 2 == 0;
}

static uint32_t op_of(uint32_t entry)
{
	return (entry - 1) / 2;
}

static void place(struct search *search, uint32_t op, uint32_t after, int forced)
{
	search->frames[search->frames_count++] = (struct frame){ .op = op,
								 .value_before = search->value,
								 .latest_before = search->latest,
								 .forced = (uint32_t)forced };
	search->placed[op] = 1;
	search->value = after;
	if (search->ops[op].invoked > search->latest)
		search->latest = search->ops[op].invoked;
	if (search->ops[op].optional) {
		search->used[search->ordinal[op] / 64] |= 1ull << search->ordinal[op] % 64;
		out(search->optional, op + 1);
		return;
	}
	mark_flip(&search->mark, mark_of_op(op));
	out(search->links, 1 + 2 * op);
	out(search->links, 2 + 2 * op);
	search->left--;
}

static struct frame take_back(struct search *search)
{
	struct frame frame = search->frames[--search->frames_count];
	uint32_t op = frame.op;

	search->placed[op] = 0;
	search->value = frame.value_before;
	search->latest = frame.latest_before;
	if (search->ops[op].optional) {
		search->used[search->ordinal[op] / 64] &= ~(1ull << search->ordinal[op] % 64);
		in(search->optional, op + 1);
		return frame;
	}
	mark_flip(&search->mark, mark_of_op(op));
	in(search->links, 2 + 2 * op);
	in(search->links, 1 + 2 * op);
	search->left++;
	return frame;
}

/* An operation that changes nothing, wherever it is placed. */
static int is_idle(const struct linear_op *op)
{
	return op->operation == LINEAR_GET || op->outcome != LINEAR_OK ||
	       (op->operation == LINEAR_CAS && op->expected == op->value);
}

/* What fits now and changes nothing: in any order it may as well stand here. */
static void place_forced(struct search *search)
{
	uint32_t entry = search->links[HEAD].next;

	while (entry != HEAD && !is_answer(entry)) {
		uint32_t next = search->links[entry].next;
		uint32_t op = op_of(entry);
		uint32_t after;

		if (is_idle(&search->ops[op]) && fits(&search->ops[op], search->value, &after) &&
		    after == search->value) {
			place(search, op, after, 1);
			/* Its answer is gone too, which may let in what was called after it. */
			next = search->links[HEAD].next;
		}
		entry = next;
	}
}

static void choose(struct search *search, uint32_t op)
{
	if (search->choices_count == search->choices_capacity) {
		search->choices_capacity = (search->choices_capacity + 64) * 2;
		search->choices =
			realloc(search->choices, search->choices_capacity * sizeof(uint32_t));
		if (!search->choices)
			abort();
	}
	search->choices[search->choices_count++] = op;
}

/* By hint, else the one answered first: it is most often what came next. */
static int is_tried_before(const struct linear_op *op, const struct linear_op *other)
{
	if (op->hint != other->hint)
		return op->hint < other->hint;
	return op->answered < other->answered;
}

static void sort_choices(struct search *search, uint64_t begin)
{
	uint32_t *choices = search->choices;

	for (uint64_t i = begin + 1; i < search->choices_count; i++) {
		uint32_t op = choices[i];
		uint64_t at = i;

		while (at > begin &&
		       is_tried_before(&search->ops[op], &search->ops[choices[at - 1]])) {
			choices[at] = choices[at - 1];
			at--;
		}
		choices[at] = op;
	}
}

/* What may be left out, and may come before the barrier. */
static void choose_optional(struct search *search, uint64_t barrier)
{
	uint32_t option = search->optional[HEAD].next;

	for (; option != HEAD; option = search->optional[option].next) {
		uint32_t op = option - 1;
		uint32_t after;

		if (search->ops[op].invoked > barrier)
			return;
		if (search->twin[op] && !search->placed[search->twin[op] - 1])
			continue;
		if (search->ops[op].answered < search->latest)
			continue; /* it was over before something that is placed began */
		if (fits(&search->ops[op], search->value, &after) && after != search->value)
			choose(search, op);
	}
}

/* All that may come next: first what must be placed, then what may be left out. */
static void open_level(struct search *search)
{
	uint64_t begin = search->choices_count;
	uint64_t barrier = LINEAR_NEVER;
	uint32_t entry = search->links[HEAD].next;
	uint32_t after;

	for (; entry != HEAD && !is_answer(entry); entry = search->links[entry].next)
		if (fits(&search->ops[op_of(entry)], search->value, &after))
			choose(search, op_of(entry));
	if (entry != HEAD) {
		barrier = search->ops[op_of(entry)].answered;
		if (barrier >= search->furthest_at) {
			search->furthest_at = barrier;
			search->furthest = op_of(entry);
		}
	}
	sort_choices(search, begin);
	choose_optional(search, barrier);
	search->levels[search->levels_count++] =
		(struct level){ .begin = begin, .next = begin, .end = search->choices_count };
}

/* Back to the configuration before the last choice. 0: there was none. */
static int close_level(struct search *search)
{
	struct frame frame;

	search->choices_count = search->levels[--search->levels_count].begin;
	if (search->levels_count == 0)
		return 0;
	do
		frame = take_back(search);
	while (frame.forced);
	return 1;
}

static enum linear_verdict run(struct search *search, uint64_t steps_max, uint64_t *steps)
{
	uint64_t begin = *steps;

	place_forced(search);
	open_level(search);
	while (search->left) {
		struct level *level = &search->levels[search->levels_count - 1];
		uint32_t after;
		uint32_t op;

		if (++*steps - begin > steps_max)
			return LINEAR_UNDECIDED;
		if (level->next == level->end) {
			if (!close_level(search))
				return LINEAR_NO;
			continue;
		}
		op = search->choices[level->next++];
		(void)fits(&search->ops[op], search->value, &after);
		place(search, op, after, 0);
		if (!remember(search, steps)) {
			(void)take_back(search);
			continue;
		}
		place_forced(search);
		open_level(search);
	}
	return LINEAR_YES;
}

/* ---- the lists ----------------------------------------------------------------------------- */

struct moment {
	uint64_t at;
	uint32_t entry;
};

/* At one instant calls come before answers: what touches, overlaps. */
static int by_time(const void *left, const void *right)
{
	const struct moment *a = left;
	const struct moment *b = right;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (is_answer(a->entry) != is_answer(b->entry))
		return is_answer(a->entry) ? 1 : -1;
	return a->entry < b->entry ? -1 : 1;
}

static void append(struct link *links, uint32_t *last, uint32_t entry)
{
	links[*last].next = entry;
	links[entry].previous = *last;
	links[entry].next = HEAD;
	links[HEAD].previous = entry;
	*last = entry;
}

static void make_lists(struct search *search)
{
	struct moment *moments = take(2 * (uint64_t)search->count + 1, sizeof(*moments));
	uint32_t moments_count = 0;
	uint32_t ordinals = 0;
	uint32_t last = HEAD;

	for (uint32_t i = 0; i < search->count; i++) {
		const struct linear_op *op = &search->ops[i];

		if (op->optional) {
			append(search->optional, &last, i + 1);
			search->ordinal[i] = ordinals++;
			continue;
		}
		search->left++;
		moments[moments_count++] = (struct moment){ op->invoked, 1 + 2 * i };
		moments[moments_count++] = (struct moment){ op->answered, 2 + 2 * i };
	}
	qsort(moments, moments_count, sizeof(*moments), by_time);
	last = HEAD;
	for (uint32_t i = 0; i < moments_count; i++)
		append(search->links, &last, moments[i].entry);
	free(moments);
	search->words = (ordinals + 63) / 64;
}

/* By what they do, then by invocation. */
static int by_effect(const void *left, const void *right)
{
	const struct linear_op *a = *(const struct linear_op *const *)left;
	const struct linear_op *b = *(const struct linear_op *const *)right;

	if (a->operation != b->operation)
		return a->operation < b->operation ? -1 : 1;
	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	if (a->expected != b->expected)
		return a->expected < b->expected ? -1 : 1;
	return a < b ? -1 : 1;
}

/* Only of UNKNOWN ones: others have an answer that may fit at different times. */
static void find_twins(struct search *search)
{
	const struct linear_op **list = take((uint64_t)search->count + 1, sizeof(*list));
	uint32_t count = 0;

	for (uint32_t i = 0; i < search->count; i++)
		if (search->ops[i].optional && search->ops[i].outcome == LINEAR_UNKNOWN)
			list[count++] = &search->ops[i];
	qsort(list, count, sizeof(*list), by_effect);
	for (uint32_t i = 1; i < count; i++)
		if (list[i]->operation == list[i - 1]->operation &&
		    list[i]->value == list[i - 1]->value &&
		    list[i]->expected == list[i - 1]->expected)
			search->twin[list[i] - search->ops] =
				(uint32_t)(list[i - 1] - search->ops) + 1;
	free(list);
}

enum linear_verdict linear_search(const struct linear_op *ops, uint32_t count, uint32_t initial,
				  uint64_t steps_max, uint64_t *steps, uint32_t *blamed)
{
	struct search search = { .ops = ops, .count = count, .value = initial };
	enum linear_verdict verdict;

	search.links = take(2 * (uint64_t)count + 1, sizeof(*search.links));
	search.optional = take((uint64_t)count + 1, sizeof(*search.optional));
	search.ordinal = take((uint64_t)count + 1, sizeof(*search.ordinal));
	search.used = take((uint64_t)count / 64 + 1, sizeof(*search.used));
	search.twin = take((uint64_t)count + 1, sizeof(*search.twin));
	search.placed = take((uint64_t)count + 1, 1);
	search.frames = take((uint64_t)count + 1, sizeof(*search.frames));
	search.levels = take((uint64_t)count + 1, sizeof(*search.levels));
	memory_grow(&search);
	make_lists(&search);
	find_twins(&search);
	verdict = run(&search, steps_max, steps);
	*blamed = search.furthest;
	free(search.links);
	free(search.optional);
	free(search.ordinal);
	free(search.used);
	free(search.arena);
	free(search.twin);
	free(search.placed);
	free(search.frames);
	free(search.levels);
	free(search.choices);
	free(search.memory);
	return verdict;
}

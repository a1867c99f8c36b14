/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions to one replica. See queries.h. Answers are checked before they are believed. */
#include "engine/client/queries.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum {
	ASK_AGAIN_NS = 100 * 1000 * 1000,
	RECEIVE_BURST = 32,
};

/* The datagram of a question, padded, and what its answer must look like. */
struct question {
	uint8_t type;
	uint8_t answer_type;
	uint64_t slot;
	uint64_t argument;
	uint32_t body_size;
	/* Takes what is wanted out of a well-formed answer. Returns 0, or -1: not to this. */
	int (*take)(void *into, const struct synod_wire_view *view);
	void *into;
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int send_question(const struct synod_query *query, const struct question *question)
{
	_Alignas(8) uint8_t datagram[SYNOD_FRAME_SIZE_MAX];
	struct synod_wire_header *header = (struct synod_wire_header *)datagram;
	int error;

	synod_assert_cmp(SYNOD_HEADER_SIZE + question->body_size, <=, sizeof(datagram));
	memset(datagram, 0, SYNOD_HEADER_SIZE + question->body_size);
	header->type = question->type;
	header->cluster = query->cluster;
	header->receiver = (uint16_t)query->replica;
	header->slot = question->slot;
	header->argument = question->argument;
	synod_wire_seal(header, NULL, datagram + SYNOD_HEADER_SIZE, question->body_size);
	error = query->transport->send(query->transport->context, query->replica, datagram,
				       SYNOD_HEADER_SIZE + question->body_size);
	query->transport->flush(query->transport->context);
	return error == -EAGAIN ? 0 : error; /* no room now: as if lost */
}

/* Looks through what has arrived. Returns 1 if the answer was there. */
static int receive_answer(const struct synod_query *query, const struct question *question)
{
	struct synod_datagram datagrams[RECEIVE_BURST];
	unsigned int count =
		query->transport->receive(query->transport->context, datagrams, RECEIVE_BURST);
	unsigned int index;

	for (index = 0; index < count; index++) {
		struct synod_wire_view view;

		if (synod_wire_decode(datagrams[index].data, datagrams[index].size, query->cluster,
				      0, &view) == 0 &&
		    view.header->type == question->answer_type &&
		    view.header->sender == query->replica && view.header->slot == question->slot &&
		    question->take(question->into, &view) == 0)
			return 1;
	}
	return 0;
}

static int ask(const struct synod_query *query, const struct question *question)
{
	uint64_t now_ns = clock_ns();
	uint64_t end_ns = now_ns + query->timeout_ns;

	while (now_ns < end_ns) { /* ends with the time */
		uint64_t again_ns = now_ns + ASK_AGAIN_NS < end_ns ? now_ns + ASK_AGAIN_NS : end_ns;
		int error = send_question(query, question);

		if (error)
			return error;
		while (now_ns < again_ns) {
			if (receive_answer(query, question))
				return 0;
			query->transport->idle(query->transport->context, again_ns - now_ns);
			now_ns = clock_ns();
		}
	}
	return -ETIMEDOUT;
}

static int take_status(void *into, const struct synod_wire_view *view)
{
	struct synod_wire_status *status = into;
	size_t size = view->body_size < sizeof(*status) ? view->body_size : sizeof(*status);

	if (size < offsetof(struct synod_wire_status, counters))
		return -1;
	memset(status, 0, sizeof(*status));
	memcpy(status, view->body, size);
	return 0;
}

int synod_query_status(const struct synod_query *query, struct synod_wire_status *status)
{
	struct question question = {
		.type = SYNOD_STATUS_QUERY,
		.answer_type = SYNOD_STATUS,
		.argument = clock_ns(),
		.body_size = sizeof(*status),
		.take = take_status,
		.into = status,
	};

	return ask(query, &question);
}

static int take_handover(void *into, const struct synod_wire_view *view)
{
	uint64_t *status = into;

	if (view->header->argument >= SYNOD_STATUSES_COUNT)
		return -1;
	*status = view->header->argument;
	return 0;
}

int synod_query_handover(const struct synod_query *query, uint64_t to, uint64_t *status)
{
	struct question question = {
		.type = SYNOD_HANDOVER_ASK,
		.answer_type = SYNOD_HANDOVER_ANSWER,
		.slot = to,
		.take = take_handover,
		.into = status,
	};

	return ask(query, &question);
}

int synod_query_tail_next(const struct synod_query_tail *tail, uint32_t *at,
			  struct synod_wire_tail *entry, const void **data)
{
	uint32_t left = tail->size - *at;

	synod_assert_cmp(*at, <=, tail->size);
	if (left < sizeof(*entry))
		return 0;
	memcpy(entry, tail->entries + *at, sizeof(*entry));
	left -= (uint32_t)sizeof(*entry);
	if (entry->size > left || SYNOD_WIRE_ALIGN(entry->size) > left)
		return 0;
	*data = tail->entries + *at + sizeof(*entry);
	*at += (uint32_t)sizeof(*entry) + SYNOD_WIRE_ALIGN(entry->size);
	return 1;
}

/* A whole command, or the only entry and a piece from the byte asked for. */
static int entry_sane(const struct synod_query_tail *tail, const struct synod_wire_tail *entry)
{
	if (entry->position != tail->position_first + tail->count ||
	    entry->total > SYNOD_COMMAND_LARGE_MAX || entry->offset > entry->total ||
	    entry->size > entry->total - entry->offset)
		return 0;
	if (entry->size == entry->total)
		return 1;
	return tail->count == 0 && entry->size && entry->offset == tail->offset_first;
}

/* What was asked for is trimmed: the only entry names the first position that is not. */
static int take_trimmed(struct synod_query_tail *tail, const struct synod_wire_view *view)
{
	struct synod_wire_tail first;

	if (view->body_size != sizeof(first))
		return -1;
	memcpy(&first, view->body, sizeof(first));
	if (first.position <= tail->position_first || first.size || first.total)
		return -1;
	tail->position_kept = first.position;
	tail->size = 0;
	return 0;
}

static int take_tail(void *into, const struct synod_wire_view *view)
{
	struct synod_query_tail *tail = into;
	struct synod_wire_tail entry;
	const void *data;
	uint32_t at = 0;

	if (view->body_size > sizeof(tail->entries))
		return -1;
	tail->position_first = view->header->slot;
	tail->position_applied = view->header->argument;
	tail->position_kept = 0;
	tail->count = 0;
	if (view->header->flags & SYNOD_FLAG_BEHIND)
		return take_trimmed(tail, view);
	tail->size = view->body_size;
	memcpy(tail->entries, view->body, view->body_size);
	while (synod_query_tail_next(tail, &at, &entry, &data)) {
		if (!entry_sane(tail, &entry))
			return -1;
		tail->count++;
	}
	return at == tail->size ? 0 : -1;
}

int synod_query_tail(const struct synod_query *query, const struct synod_query_range *range,
		     struct synod_query_tail *tail)
{
	uint32_t size = query->transport->datagram_size_max < SYNOD_FRAME_SIZE_MAX
				? query->transport->datagram_size_max
				: SYNOD_FRAME_SIZE_MAX;
	struct question question = {
		.type = SYNOD_TAIL_QUERY,
		.answer_type = SYNOD_TAIL,
		.slot = range->position,
		.argument = (uint64_t)range->offset << 32 | range->count,
		.take = take_tail,
		.into = tail,
	};

	if (!range->position || !range->count || range->count > UINT32_MAX ||
	    size < SYNOD_HEADER_SIZE)
		return -EINVAL;
	tail->offset_first = range->offset;
	question.body_size = (size - SYNOD_HEADER_SIZE) & ~7u;
	return ask(query, &question);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* What was executed, and what was acknowledged: see synod_verify.h. */
#include "bench/acked.h"
#include "tools/synod_verify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NUMBER_BITS = 40, /* 10^12 commands a session, 16 million sessions */
	CHUNK = 4096,	  /* acknowledgements read at once */
};

#define NUMBER_MAX   ((1ull << NUMBER_BITS) - 1)
#define SESSIONS_MAX (1ull << (64 - NUMBER_BITS))

/* Makes room for count items of size bytes; new ones are zero. */
static int grow(void **items, size_t *room, size_t count, size_t size)
{
	size_t more = *room ? *room : 64;
	void *grown;

	if (count <= *room)
		return 0;
	while (more < count)
		more *= 2;
	grown = realloc(*items, more * size);
	if (!grown)
		return -ENOMEM;
	memset((char *)grown + *room * size, 0, (more - *room) * size);
	*items = grown;
	*room = more;
	return 0;
}

/* Those who speak now came last: search from the end. Returns the count where there is none. */
static size_t find_session(const struct synod_executed *executed, uint64_t session)
{
	for (size_t i = executed->session_count; i > 0; i--)
		if (executed->sessions[i - 1].session == session)
			return i - 1;
	return executed->session_count;
}

static int has_number(const struct synod_executed *executed, size_t index, uint64_t number)
{
	const struct synod_executed_session *session;

	if (index >= executed->session_count)
		return 0;
	session = &executed->sessions[index];
	return number / 64 < session->words && (session->bits[number / 64] >> (number % 64) & 1);
}

int synod_executed_note(struct synod_executed *executed, uint64_t session, uint64_t number,
			uint64_t position)
{
	size_t index = find_session(executed, session);
	struct synod_executed_session *found;
	size_t at = executed->position_count;

	if (number > NUMBER_MAX || index >= SESSIONS_MAX ||
	    position != executed->position_base + executed->position_count + 1)
		return -ERANGE;
	if (index == executed->session_count) {
		if (grow((void **)&executed->sessions, &executed->session_room, index + 1,
			 sizeof(*executed->sessions)))
			return -ENOMEM;
		executed->sessions[index].session = session;
		executed->session_count++;
	}
	found = &executed->sessions[index];
	if (grow((void **)&found->bits, &found->words, number / 64 + 1, sizeof(*found->bits)) ||
	    grow((void **)&executed->positions, &executed->position_room, at + 1,
		 sizeof(*executed->positions)))
		return -ENOMEM;
	executed->duplicated += found->bits[number / 64] >> (number % 64) & 1;
	found->bits[number / 64] |= 1ull << (number % 64);
	executed->positions[at] = (uint64_t)index << NUMBER_BITS | number;
	executed->position_count = at + 1;
	return 0;
}

static void check_one(const struct synod_executed *executed, const struct synod_acked *acked,
		      struct synod_acked_result *result)
{
	size_t index = find_session(executed, acked->session);
	uint64_t at = acked->position - executed->position_base - 1;

	result->acked++;
	if (acked->position <= executed->position_base &&
	    !has_number(executed, index, acked->number))
		result->unseen++;
	else if (acked->number > NUMBER_MAX || !has_number(executed, index, acked->number))
		result->lost++;
	else if (acked->position <= executed->position_base || at >= executed->position_count ||
		 executed->positions[at] != ((uint64_t)index << NUMBER_BITS | acked->number))
		result->misplaced++;
}

int synod_executed_check(const struct synod_executed *executed, const char *path,
			 struct synod_acked_result *result)
{
	static struct synod_acked chunk[CHUNK];
	FILE *file = fopen(path, "re");
	size_t count;
	int failed;

	memset(result, 0, sizeof(*result));
	if (!file)
		return -errno;
	while ((count = fread(chunk, sizeof(*chunk), CHUNK, file)) > 0)
		for (size_t i = 0; i < count; i++)
			check_one(executed, &chunk[i], result);
	failed = ferror(file);
	fclose(file);
	return failed ? -EIO : 0;
}

void synod_executed_free(struct synod_executed *executed)
{
	for (size_t i = 0; i < executed->session_count; i++)
		free(executed->sessions[i].bits);
	free(executed->sessions);
	free(executed->positions);
	memset(executed, 0, sizeof(*executed));
}

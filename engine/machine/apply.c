/* SPDX-License-Identifier: BSD-3-Clause */
/* Batches in, results out. See apply_internal.h for how the state lies. */
#include "engine/machine/apply.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/base/limits.h"
#include "engine/machine/apply_internal.h"
#include "engine/machine/assembly.h"
#include "engine/machine/fold.h"
#include "engine/machine/session_internal.h"
#include "engine/wire/wire.h"

#include <string.h>

enum {
	/* Commands whose sessions are asked for at once: as many misses as a core has under way. */
	AHEAD = 16
};

static uint64_t line_round(uint64_t size)
{
	return (size + 63) & ~63ull;
}

struct synod_apply_limits synod_apply_limits(uint32_t sessions, uint32_t window)
{
	return (struct synod_apply_limits){
		.sessions = sessions,
		.window = window,
		.assemblies = SYNOD_ASSEMBLIES,
		.assembly_size = SYNOD_COMMAND_LARGE_MAX,
	};
}

/* Fills in the offsets; returns the size of it all. */
static size_t lay_out(struct synod_apply *apply, const struct synod_machine *machine,
		      const struct synod_apply_limits *limits)
{
	apply->at_sessions = line_round(sizeof(*apply));
	apply->at_assemblies =
		apply->at_sessions + synod_session_table_size(limits->sessions, limits->window);
	apply->at_machine = apply->at_assemblies +
			    synod_assemblies_size(limits->assemblies, limits->assembly_size);
	return apply->at_machine + line_round(machine->size());
}

size_t synod_apply_size_within(const struct synod_machine *machine,
			       const struct synod_apply_limits *limits)
{
	struct synod_apply apply;

	return lay_out(&apply, machine, limits);
}

size_t synod_apply_size(const struct synod_machine *machine, uint32_t sessions)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(sessions, SYNOD_SESSION_WINDOW_MAX);

	return synod_apply_size_within(machine, &limits);
}

struct synod_apply *synod_apply_init_within(void *memory, const struct synod_machine *machine,
					    const struct synod_apply_limits *limits)
{
	struct synod_apply *apply = memory;

	synod_assert(((uintptr_t)memory & 63) == 0);
	apply->machine = machine;
	apply->limits = *limits;
	apply->slot = 0;
	apply->position = 0;
	apply->hash = 0;
	lay_out(apply, machine, limits);
	synod_session_table_init(sessions_of(apply), limits->sessions, limits->window);
	synod_assemblies_init(assemblies_of(apply), limits->assemblies, limits->assembly_size);
	machine->init(machine_of(apply));
	return apply;
}

struct synod_apply *synod_apply_init(void *memory, const struct synod_machine *machine,
				     uint32_t sessions)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(sessions, SYNOD_SESSION_WINDOW_MAX);

	return synod_apply_init_within(memory, machine, &limits);
}

static void apply_register(struct synod_apply *apply, uint64_t slot, uint32_t index,
			   const void *payload, uint32_t size, struct synod_apply_result *result)
{
	struct synod_session_opening opening = {
		.nonce = result->number,
		.slot = slot,
		.index = index,
	};
	struct synod_wire_identity identity;
	uint32_t count = synod_session_count(sessions_of(apply));
	uint64_t evicted;

	if (size) {
		synod_assert_cmp(size, ==, sizeof(identity));
		memcpy(&identity, payload, sizeof(identity));
		opening.identity = identity.identity;
		opening.incarnation = identity.incarnation;
	}
	result->position = synod_session_open(sessions_of(apply), &opening, &evicted);
	if (!result->position)
		result->status = SYNOD_SESSION_EVICTED; /* a later life is there */
	else
		result->window = synod_session_window_size(sessions_of(apply));
	if (!evicted && synod_session_count(sessions_of(apply)) == count)
		return; /* it was open, or is refused: nothing changed */
	if (evicted)
		synod_assembly_drop_session(assemblies_of(apply), evicted);
	apply->hash = synod_fold(synod_fold(apply->hash, opening.identity), opening.incarnation);
	apply->hash = synod_fold(synod_fold(apply->hash, opening.nonce), result->position);
	apply->hash = synod_fold(apply->hash, evicted);
}

/* What the machine said is what is told. In line, like its callers below. */
static inline __attribute__((always_inline)) void tell(const struct synod_outcome *outcome,
						       struct synod_apply_result *result)
{
	synod_assert_cmp(outcome->size, <=, SYNOD_RESULT_SIZE_MAX);
	result->status = outcome->status;
	result->size = outcome->size;
	result->data = outcome->data;
}

/* In line, also where whole commands are executed: 29 instructions of 333 a command. */
static inline __attribute__((always_inline)) void execute(struct synod_apply *apply, uint64_t slot,
							  const void *payload, uint32_t size,
							  struct synod_session_entry *entry,
							  struct synod_apply_result *result)
{
	struct synod_outcome outcome = { 0 };

	apply->position++;
	apply->machine->apply(machine_of(apply), apply->position, payload, size, &outcome);
	tell(&outcome, result);
	synod_session_store_inline(sessions_of(apply), entry, result->number, apply->position,
				   outcome.status, slot);
	result->position = apply->position;
	result->executed = 1;
	apply->hash = synod_fold(apply->hash ^ result->session, result->number);
	apply->hash = synod_fold(apply->hash, result->position << 8 | result->status);
}

static void repeat(const struct synod_apply *apply, const void *payload, uint32_t size,
		   const struct synod_session_entry *entry, struct synod_apply_result *result)
{
	struct synod_outcome outcome = { 0 };

	result->position = synod_session_entry_position(entry);
	apply->machine->repeat(machine_of(apply), result->position,
			       synod_session_entry_status(entry), payload, size, &outcome);
	tell(&outcome, result);
	result->duplicate = 1;
}

static void apply_command(struct synod_apply *apply, uint64_t slot, const void *payload,
			  uint32_t size, struct synod_apply_result *result)
{
	struct synod_session_entry *entry = NULL;

	switch (synod_session_check_inline(sessions_of(apply), result->session, result->number,
					   &entry)) {
	case SYNOD_SESSION_NEW:
		execute(apply, slot, payload, size, entry, result);
		break;
	case SYNOD_SESSION_DUPLICATE:
		repeat(apply, payload, size, entry, result);
		break;
	case SYNOD_SESSION_TOO_OLD:
		result->status = SYNOD_STALE;
		break;
	case SYNOD_SESSION_NONE:
		result->status = SYNOD_SESSION_EVICTED;
		break;
	}
}

/* A part of a number that was not executed: into its buffer; the last one executes it. */
static void assemble(struct synod_apply *apply, const struct synod_assembly_part *part,
		     struct synod_session_entry *entry, struct synod_apply_result *result)
{
	struct synod_assemblies *assemblies = assemblies_of(apply);
	struct synod_assembly_progress progress;
	enum synod_assembly_verdict verdict = synod_assembly_add(assemblies, part, &progress);

	result->have = progress.have;
	if (verdict == SYNOD_ASSEMBLY_TAKEN || verdict == SYNOD_ASSEMBLY_WHOLE) {
		result->part = SYNOD_APPLY_PART_TAKEN;
		result->buffer = (uint8_t)progress.buffer;
		result->offset = part->offset;
		synod_session_touch(sessions_of(apply), part->slot);
		apply->hash = synod_fold(apply->hash ^ result->session, result->number);
		apply->hash = synod_fold(apply->hash, progress.have);
		apply->hash = synod_fold(apply->hash, synod_crc32c(part->bytes, part->size));
	}
	if (verdict == SYNOD_ASSEMBLY_WHOLE) {
		execute(apply, part->slot, synod_assembly_bytes(assemblies, progress.buffer),
			part->total, entry, result);
		synod_assembly_drop(assemblies, part->session, part->number);
	} else if (verdict == SYNOD_ASSEMBLY_NO_BUFFER) {
		result->status = SYNOD_BUSY;
	} else if (verdict == SYNOD_ASSEMBLY_TOO_LARGE) {
		result->status = SYNOD_TOO_LARGE;
	} else {
		result->status = SYNOD_PARTIAL;
		result->size = sizeof(result->have);
		result->data = &result->have;
	}
}

static void apply_part(struct synod_apply *apply, uint64_t slot, const uint8_t *payload,
		       uint32_t size, struct synod_apply_result *result)
{
	struct synod_session_entry *entry = NULL;
	struct synod_wire_part header;
	struct synod_assembly_part part = {
		.session = result->session,
		.number = result->number,
		.slot = slot,
		.bytes = payload + sizeof(header),
		.size = size - (uint32_t)sizeof(header),
	};

	synod_assert_cmp(size, >, sizeof(header));
	memcpy(&header, payload, sizeof(header));
	part.offset = header.offset;
	part.total = header.total;
	result->part = SYNOD_APPLY_PART_LEFT;
	switch (synod_session_check(sessions_of(apply), result->session, result->number, &entry)) {
	case SYNOD_SESSION_NEW:
		assemble(apply, &part, entry, result);
		return;
	case SYNOD_SESSION_DUPLICATE:
		/* The bytes are no longer there: a machine that would look at them sees none. */
		repeat(apply, NULL, 0, entry, result);
		break;
	case SYNOD_SESSION_TOO_OLD:
		result->status = SYNOD_STALE;
		break;
	case SYNOD_SESSION_NONE:
		result->status = SYNOD_SESSION_EVICTED;
		return;
	}
	synod_assembly_drop(assemblies_of(apply), result->session, result->number);
}

/* What is no ordinary command. */
static __attribute__((noinline)) void apply_other(struct synod_apply *apply, uint64_t slot,
						  uint32_t index,
						  const struct synod_wire_command *command,
						  const uint8_t *payload,
						  struct synod_apply_result *result)
{
	if (command->kind == SYNOD_COMMAND_REGISTER)
		apply_register(apply, slot, index, payload, command->size, result);
	else
		apply_part(apply, slot, payload, command->size, result);
}

/* The next commands of a batch whose sessions were looked for ahead of their turn. */
struct ahead {
	uint32_t first; /* index of the first of them */
	uint32_t end;	/* what begins before this, in bytes, is among them, or needed it not */
	struct synod_session_ahead commands[AHEAD];
};

/*
 * Of the commands from a place in the batch on, at most AHEAD of them: what they will touch in the
 * session table is asked of memory. Out of line: where one session speaks it is never called.
 */
static __attribute__((noinline)) void look_ahead(struct synod_apply *apply, const uint8_t *bytes,
						 uint32_t at, uint32_t size, struct ahead *ahead)
{
	uint32_t count;

	for (count = 0; count < AHEAD && at < size; count++) {
		struct synod_wire_command command;

		synod_assert_cmp(size - at, >=, sizeof(command));
		memcpy(&command, bytes + at, sizeof(command));
		ahead->commands[count].session = command.session;
		ahead->commands[count].number = command.number;
		at += synod_wire_command_size(&command);
	}
	ahead->end = at;
	synod_session_ahead(sessions_of(apply), ahead->commands, count);
}

void synod_apply_batch(struct synod_apply *apply, uint64_t slot, const void *body, uint32_t size,
		       synod_apply_sink sink, void *context)
{
	const uint8_t *bytes = body;
	/* Of the command before: what belongs to that one is in the caches. */
	uint64_t session = synod_session_last(sessions_of(apply));
	struct ahead ahead;
	uint32_t at = 0;
	uint32_t index = 0;

	synod_assert_cmp(slot, ==, apply->slot + 1); /* I9: every slot, once, in order */
	synod_assert_cmp(size, <=, SYNOD_BATCH_SIZE_MAX);
	ahead.end = 0;
	while (at < size) { /* at most SYNOD_BATCH_COMMANDS_MAX turns */
		struct synod_apply_result result;
		struct synod_wire_command command;

		synod_assert_cmp(size - at, >=, sizeof(command));
		memcpy(&command, bytes + at, sizeof(command)); /* not aligned behind a frame */
		synod_assert_cmp(size - at, >=, synod_wire_command_size(&command));
		if (command.session != session) {
			if (at >= ahead.end) {
				ahead.first = index;
				look_ahead(apply, bytes, at, size, &ahead);
			}
			synod_session_expect(sessions_of(apply),
					     ahead.commands[index - ahead.first].place);
		}
		session = command.session;
		result = (struct synod_apply_result){
			.session = command.session,
			.number = command.number,
			.status = SYNOD_OK,
		};
		if (command.kind == SYNOD_COMMAND_APPLY)
			apply_command(apply, slot, bytes + at + sizeof(command), command.size,
				      &result);
		else
			apply_other(apply, slot, index, &command, bytes + at + sizeof(command),
				    &result);
		if (sink)
			sink(context, index, &result);
		at += synod_wire_command_size(&command);
		index++;
	}
	apply->slot = slot;
}

void synod_apply_query(struct synod_apply *apply, uint64_t session, uint64_t number,
		       const void *payload, uint32_t size, struct synod_apply_result *result)
{
	struct synod_outcome outcome = { .status = SYNOD_SESSION_EVICTED };

	*result = (struct synod_apply_result){ .session = session, .number = number };
	if (synod_session_is_open(sessions_of(apply), session)) {
		apply->machine->query(machine_of(apply), payload, size, &outcome);
		result->position = apply->position;
	}
	tell(&outcome, result);
}

uint64_t synod_apply_slot(const struct synod_apply *apply)
{
	return apply->slot;
}

uint64_t synod_apply_position(const struct synod_apply *apply)
{
	return apply->position;
}

uint64_t synod_apply_sessions(const struct synod_apply *apply)
{
	return synod_session_count(sessions_of(apply));
}

uint64_t synod_apply_hash(const struct synod_apply *apply)
{
	uint64_t hash = synod_fold(apply->hash, apply->position);

	hash = synod_fold(hash, synod_session_count(sessions_of(apply)));
	return synod_fold(hash, apply->machine->hash(machine_of(apply)));
}

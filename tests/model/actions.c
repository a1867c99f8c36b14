/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may happen next to a replica in a given state, and what comes of it. The answer depends on
 * nothing else, so it is worked out once, with the real core, and remembered.
 *
 * With canvass = 0 the canvass is taken for granted: TIMEOUT makes a candidate at once, as if a
 * quorum had granted. Whoever may canvass may find a quorum that grants (would_grant depends on
 * clocks), except where a peer lags or leads; so more elections happen than could, never fewer, and
 * phases 1 and 2 can be searched deeper.
 */
#include "tests/model/model.h"

#include <stdlib.h>
#include <string.h>

enum {
	AFTER_TURNS_MAX = 8,
	AFTER_WRITES_MAX = 7 /* their mask and MODEL_AFTER_CRASH fit a byte */
};

static void begin(struct model *model, uint32_t local)
{
	model_unpack(model, local);
	model->sent_count = 0;
	model->claims_count = 0;
	model->fault[0] = '\0';
}

/* Memory that is given back only at the end, in large pieces: what lies in it does not move. */
static void *keep(struct model *model, const void *bytes, size_t size)
{
	size_t rounded = (size + 15) & ~(size_t)15;
	struct model_piece *piece = model->pieces;

	if (!size)
		return NULL;
	if (!piece || piece->left < rounded) {
		size_t room = rounded > 1 << 20 ? rounded : 1 << 20;

		piece = model_grow(NULL, sizeof(*piece) + room, 1);
		piece->next = model->pieces;
		piece->left = room;
		piece->used = 0;
		model->pieces = piece;
	}
	memcpy(piece->bytes + piece->used, bytes, size);
	piece->used += rounded;
	piece->left -= rounded;
	return piece->bytes + piece->used - rounded;
}

static int same(const struct model *model, const struct model_outcome *outcome, uint32_t local)
{
	return !outcome->fault && outcome->local == local &&
	       outcome->items_count == model->sent_count &&
	       outcome->claims_count == model->claims_count &&
	       (!model->sent_count ||
		memcmp(outcome->items, model->sent, model->sent_count * sizeof(uint32_t)) == 0) &&
	       (!model->claims_count ||
		memcmp(outcome->claims, model->claims,
		       model->claims_count * sizeof(model->claims[0])) == 0);
}

/* How much of the shared bounds this replica will have used up. */
static void note_counts(const struct model *model, uint32_t before, struct model_outcome *outcome)
{
	const struct model_past *old = model_past_at(model, before);
	const struct model_past *new = &model->replica.past;

	outcome->crashes = (uint8_t) new->crashes;
	outcome->elections = (uint8_t) new->elections;
	outcome->submits = (uint8_t) new->submits;
	outcome->handovers = (uint8_t) new->handovers;
	outcome->reads = (uint8_t) new->reads;
	outcome->counts = old->crashes != new->crashes || old->elections != new->elections ||
			  old->submits != new->submits || old->handovers != new->handovers ||
			  old->reads != new->reads;
}

/* Adds what the step under way came to, unless nothing changed or the list has it already. */
static void finish(struct model *model, uint32_t before, struct model_action action,
		   uint32_t *first)
{
	uint32_t local = model->fault[0] ? before : model_pack(model);
	struct model_outcome *outcome;

	if (!model->fault[0]) {
		if (local == before && !model->sent_count && !model->claims_count)
			return;
		for (uint32_t i = *first; i; i = model->outcome[i].next)
			if (model->outcome[i].action.kind == action.kind &&
			    same(model, &model->outcome[i], local))
				return;
	}
	if (model->outcomes_count + 2 > model->outcomes_capacity) {
		model->outcomes_capacity =
			model->outcomes_capacity ? model->outcomes_capacity * 2 : 4096;
		model->outcome = model_grow(model->outcome, model->outcomes_capacity,
					    sizeof(*model->outcome));
	}
	outcome = &model->outcome[++model->outcomes_count];
	*outcome = (struct model_outcome){ .action = action,
					   .local = local,
					   .next = *first,
					   .items_count = model->sent_count,
					   .claims_count = model->claims_count };
	outcome->items = keep(model, model->sent, model->sent_count * sizeof(model->sent[0]));
	outcome->claims =
		keep(model, model->claims, model->claims_count * sizeof(model->claims[0]));
	if (model->fault[0])
		outcome->fault = keep(model, model->fault, strlen(model->fault) + 1);
	note_counts(model, before, outcome);
	*first = model->outcomes_count;
}

/* The quorum that a canvass would have found. */
static void grant(struct model *model)
{
	const struct synod_core *core = &model->replica.core;
	uint32_t id = model->replica.past.id;

	for (uint32_t peer = 1; peer <= model->bounds.replicas; peer++) {
		struct synod_message granted = { .type = SYNOD_CANVASS_GRANTED,
						 .from = (uint8_t)peer,
						 .to = (uint8_t)id,
						 .ballot = core->ballot };

		if (peer == id || core->role != SYNOD_ROLE_CANVASSER ||
		    !(model_voters(model) >> peer & 1))
			continue;
		if (model_step_message(model, &granted, 0, model_now_ns))
			return;
	}
}

static void on_timeout(struct model *model)
{
	struct synod_event tick = { .kind = SYNOD_EVENT_TICK, .now_ns = model_later_ns };

	model->replica.past.elections += model->replica.core.role != SYNOD_ROLE_LEADER;
	if (model_step(model, &tick) || model->bounds.canvass)
		return;
	grant(model);
}

static void on_submit(struct model *model)
{
	struct model_past *past = &model->replica.past;
	uint32_t room = synod_core_can_submit(&model->replica.core);
	uint32_t content = 1 + (past->id - 1) * MODEL_SUBMITS_MAX + past->submits;
	struct synod_event event = { .kind = SYNOD_EVENT_SUBMIT, .now_ns = model_now_ns };

	event.value = model_value(content, MODEL_HANDLE_NEW);
	model->replica.contents[MODEL_HANDLE_NEW] = content;
	model->replica.live[MODEL_HANDLE_NEW] = 1;
	past->submits += room != 0;
	if (model_step(model, &event))
		return;
	if ((room == 0) != (model->fx.refused != 0))
		model_fault(model, "contract: replica %u has room for %u and answers %u", past->id,
			    room, model->fx.refused);
}

static void on_handover(struct model *model, uint32_t to)
{
	struct synod_event event = { .kind = SYNOD_EVENT_HANDOVER,
				     .now_ns = model_now_ns,
				     .replica = to };

	model->replica.past.handovers++;
	(void)model_step(model, &event);
}

static void on_read(struct model *model)
{
	struct synod_event event = { .kind = SYNOD_EVENT_READ, .now_ns = model_now_ns };

	event.token = ++model->replica.past.reads;
	(void)model_step(model, &event);
}

static void on_hint(struct model *model)
{
	struct synod_event event = { .kind = SYNOD_EVENT_LOST,
				     .now_ns = model_now_ns,
				     .replica = model->replica.core.leader };

	(void)model_step(model, &event);
}

static void carry_out_event(struct model *model, const struct model_action *action)
{
	struct synod_event tick = { .kind = SYNOD_EVENT_TICK, .now_ns = model_now_ns };
	const struct model_item *item;

	switch (action->kind) {
	case MODEL_DELIVER:
		item = model_item_at(model, action->argument);
		(void)model_step_message(model, &item->message, item->content,
					 action->variant ? model_later_ns : model_now_ns);
		break;
	case MODEL_DURABLE:
		(void)model_durable(model, action->argument);
		break;
	case MODEL_SUBMIT:
		on_submit(model);
		break;
	case MODEL_TIMEOUT:
		on_timeout(model);
		break;
	case MODEL_ASK:
		model_timers_ask(&model->replica.core);
		(void)model_step(model, &tick);
		break;
	case MODEL_REPEAT:
		model_timers_repeat(&model->replica.core);
		(void)model_step(model, &tick);
		break;
	case MODEL_HANDOVER:
		on_handover(model, action->argument);
		break;
	case MODEL_LAPSE:
		model_timers_lapse(&model->replica.core);
		(void)model_step(model, &tick);
		break;
	case MODEL_READ:
		on_read(model);
		break;
	case MODEL_HINT:
		on_hint(model);
		break;
	default:
		(void)model_restart(model, action->argument, action->variant);
		break;
	}
}

static void carry_out(struct model *model, const struct model_action *action)
{
	const struct model_disk *disk = &model->replica.disk;

	carry_out_event(model, action);
	if (action->after >= MODEL_AFTER_CRASH && !model->fault[0])
		(void)model_restart(model, action->after - (uint32_t)MODEL_AFTER_CRASH, 0);
	/* What becomes durable may cause further writes; it ends, since it is one replica alone. */
	for (int i = 0; action->after == MODEL_AFTER_DURABLE && i < AFTER_TURNS_MAX; i++)
		if (!model->fault[0] && disk->pending_count)
			(void)model_durable(model, (uint32_t)disk->pending_count);
}

static void attempt_one(struct model *model, uint32_t local, struct model_action action,
			uint32_t *first)
{
	begin(model, local);
	action.replica = (uint8_t)model->replica.past.id;
	carry_out(model, &action);
	finish(model, local, action, first);
}

/* Of the writes under way a crash keeps a prefix or, with holes, any. */
static int may_be_kept(const struct model *model, uint32_t kept)
{
	return model->bounds.holes || !(kept & (kept + 1));
}

/* With overlap = 0: the action, then all its writes are durable, or some and it crashes. */
static void attempt_whole(struct model *model, uint32_t local, struct model_action action,
			  uint32_t *first)
{
	uint32_t pending;
	int may_crash;

	begin(model, local);
	action.replica = (uint8_t)model->replica.past.id;
	carry_out_event(model, &action);
	pending = (uint32_t)model->replica.disk.pending_count;
	may_crash = model->replica.past.crashes < model->bounds.crashes;
	if (model->fault[0] || !pending) {
		finish(model, local, action, first);
		return;
	}
	for (uint32_t kept = 0; may_crash && pending <= AFTER_WRITES_MAX && kept < 1u << pending;
	     kept++) {
		if (!may_be_kept(model, kept))
			continue;
		action.after = (uint8_t)(MODEL_AFTER_CRASH + kept);
		attempt_one(model, local, action, first);
	}
	action.after = MODEL_AFTER_DURABLE;
	attempt_one(model, local, action, first);
}

static void attempt(struct model *model, uint32_t local, struct model_action action,
		    uint32_t *first)
{
	if (model->bounds.overlap)
		attempt_one(model, local, action, first);
	else
		attempt_whole(model, local, action, first);
}

static uint32_t deliver(struct model *model, uint32_t local, uint32_t item)
{
	struct model_action action = { .kind = MODEL_DELIVER, .argument = item };
	uint32_t first = 0;

	attempt(model, local, action, &first);
	/* Only the answer to a canvass depends on how long the leader has been silent. */
	if (model_item_at(model, item)->message.type == SYNOD_CANVASS) {
		action.variant = 1;
		attempt(model, local, action, &first);
	}
	return first;
}

static void crashes(struct model *model, uint32_t local, uint32_t pending, int forget,
		    uint32_t *first)
{
	struct model_action action = { .kind = MODEL_CRASH, .variant = (uint8_t)forget };

	for (uint32_t kept = 0; kept < 1u << pending; kept++) {
		if (!may_be_kept(model, kept))
			continue;
		action.argument = kept;
		attempt_one(model, local, action, first);
	}
}

int model_is_beyond(const struct model *model, const struct model_outcome *outcome)
{
	const struct model_bounds *bounds = &model->bounds;
	uint64_t crashes = outcome->crashes;
	uint64_t elections = outcome->elections;
	uint64_t submits = outcome->submits;
	uint64_t handovers = outcome->handovers;
	uint64_t reads = outcome->reads;

	if (!outcome->counts)
		return 0;
	for (uint32_t id = 1; id <= bounds->replicas; id++) {
		const struct model_past *past = model_past_at(model, model->world.locals[id]);

		if (id == outcome->action.replica)
			continue;
		crashes += past->crashes;
		elections += past->elections;
		submits += past->submits;
		handovers += past->handovers;
		reads += past->reads;
	}
	return crashes > bounds->crashes || elections > bounds->elections ||
	       submits > bounds->submits || handovers > bounds->handovers || reads > bounds->reads;
}

static int may_submit(const struct model *model)
{
	const struct model_replica *replica = &model->replica;

	return synod_core_can_submit(&replica->core) == 0 ||
	       (replica->past.submits < model->bounds.submits &&
		replica->core.propose_next <= model->bounds.slots);
}

static void leader_events(struct model *model, uint32_t local, const struct model_past *past,
			  uint32_t handover_to, uint32_t *first)
{
	const struct model_bounds *bounds = &model->bounds;

	if (past->reads < bounds->reads)
		attempt(model, local, (struct model_action){ .kind = MODEL_READ }, first);
	if (handover_to)
		attempt(model, local, (struct model_action){ .kind = MODEL_LAPSE }, first);
	for (uint32_t to = 1; to <= bounds->voters && past->handovers < bounds->handovers; to++)
		if (to != past->id)
			attempt(model, local,
				(struct model_action){ .kind = MODEL_HANDOVER, .argument = to },
				first);
}

/* Everything but messages. The list comes out in reverse: crashes are tried last. */
static uint32_t events(struct model *model, uint32_t local)
{
	const struct model_bounds *bounds = &model->bounds;
	const struct synod_core *core = &model->replica.core;
	struct model_past past;
	uint32_t role, leader, handover_to, pending;
	uint32_t first = 0;
	int submits, times_out, asks, forgets;

	begin(model, local);
	past = model->replica.past;
	role = core->role;
	leader = core->leader;
	handover_to = core->handover_to;
	pending = (uint32_t)model->replica.disk.pending_count;
	submits = past.id <= bounds->submitters && may_submit(model);
	times_out = past.id <= bounds->leaders &&
		    (role == SYNOD_ROLE_LEADER ? bounds->stepdowns
					       : past.elections < bounds->elections);
	asks = bounds->catchup && role != SYNOD_ROLE_LEADER && core->need_deadline_ns;
	forgets = bounds->forget && model->replica.disk.hint + pending > 0;
	for (int forget = 0; past.crashes < bounds->crashes && forget <= forgets; forget++)
		crashes(model, local, pending, forget, &first);
	if (times_out)
		attempt(model, local, (struct model_action){ .kind = MODEL_TIMEOUT }, &first);
	if (bounds->hints && role == SYNOD_ROLE_FOLLOWER && leader)
		attempt(model, local, (struct model_action){ .kind = MODEL_HINT }, &first);
	if (role == SYNOD_ROLE_LEADER)
		leader_events(model, local, &past, handover_to, &first);
	if (bounds->repeats && role != SYNOD_ROLE_FOLLOWER)
		attempt(model, local, (struct model_action){ .kind = MODEL_REPEAT }, &first);
	if (asks)
		attempt(model, local, (struct model_action){ .kind = MODEL_ASK }, &first);
	for (uint32_t count = 1; count <= pending; count++)
		attempt(model, local,
			(struct model_action){ .kind = MODEL_DURABLE, .argument = count }, &first);
	if (submits)
		attempt(model, local, (struct model_action){ .kind = MODEL_SUBMIT }, &first);
	return first;
}

uint32_t model_outcomes(struct model *model, uint32_t local, uint32_t item)
{
	uint32_t *known = model_map_at(&model->outcomes, (uint64_t)local << 32 | item);
	uint32_t first;

	if (*known)
		return *known;
	first = item ? deliver(model, local, item) : events(model, local);
	*known = first ? first : MODEL_NOTHING;
	return *known;
}

static const char *const verbs[] = {
	"receives",
	"learns that writes are durable:",
	"is given a value",
	"has heard nothing for long",
	"asks for what it lacks",
	"repeats what is unanswered",
	"is to hand over to",
	"gives its handover up",
	"is asked for a read",
	"is told that its leader's link is gone",
	"crashes and restarts, keeping of its writes under way",
};

void model_describe(struct model *model, uint32_t local, const struct model_action *action)
{
	fprintf(model->tell, "replica %u %s", action->replica, verbs[action->kind]);
	if (action->kind == MODEL_DELIVER) {
		const struct synod_message *message =
			&model_item_at(model, action->argument)->message;

		fprintf(model->tell, " %s from %u (ballot %llu.%u, slot %llu)%s",
			synod_wire_type_name(message->type), message->from,
			(unsigned long long)(message->ballot >> 8),
			(unsigned int)message->ballot & 0xff, (unsigned long long)message->slot,
			action->variant ? ", long after its leader's last sign" : "");
	} else if (action->kind == MODEL_DURABLE || action->kind == MODEL_HANDOVER) {
		fprintf(model->tell, " %u", action->argument);
	} else if (action->kind == MODEL_CRASH) {
		fprintf(model->tell, " mask %x%s", action->argument,
			action->variant ? ", and no chosen slot in memory" : "");
	}
	if (action->after == MODEL_AFTER_DURABLE)
		fputs("; all it writes is durable at once", model->tell);
	else if (action->after >= MODEL_AFTER_CRASH)
		fprintf(model->tell, "; crashes and restarts, keeping of its writes mask %x",
			action->after - (unsigned int)MODEL_AFTER_CRASH);
	fputc('\n', model->tell);
	begin(model, local);
	carry_out(model, action);
}

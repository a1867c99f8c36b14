/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the replicas share: the messages that were sent and the facts that the judge keeps. Facts
 * only grow along a path, and everything here is a function of them, so going back along a path is
 * undoing in reverse order.
 *
 * A value is chosen when a quorum of disks holds it at one ballot, whoever knows: the judge decides
 * it from the votes, not from what any replica says. Judged here: I1 (one value a slot), I2 (one
 * value a ballot and slot), I6 (what is chosen is all that higher ballots propose), I8 (nobody says
 * "chosen" of what is not), and that who leads has promises of a quorum.
 */
#include "tests/model/model.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BALLOT_FORMAT  "%llu.%u"
#define BALLOT(ballot) (unsigned long long)((ballot) >> 8), (unsigned int)(ballot)&0xff

enum {
	PRESENT = 1,
	LISTED = 2, /* in the inbox, be it present or not */
};

enum undo_what {
	UNDO_ADDED,
	UNDO_AGAIN, /* it had been delivered, and was sent again */
	UNDO_DELIVERED
};

uint32_t model_voters(const struct model *model)
{
	return ((1u << model->bounds.voters) - 1) << 1;
}

const char *model_content_name(uint32_t content)
{
	static char names[4][16];
	static unsigned int turn;
	char *name = names[turn++ % 4];

	if (!content)
		return "no-op";
	snprintf(name, sizeof(names[0]), "%c%u", (char)('a' + (content - 1) / MODEL_SUBMITS_MAX),
		 (content - 1) % MODEL_SUBMITS_MAX + 1);
	return name;
}

uint32_t model_item_intern(struct model *model, const struct model_item *item)
{
	return model_strings_intern(&model->items, item, sizeof(*item));
}

const struct model_item *model_item_at(const struct model *model, uint32_t item)
{
	return model_strings_at(&model->items, item, NULL);
}

static void put(struct model *model, const struct model_item *item)
{
	uint32_t number = model_item_intern(model, item);

	for (uint32_t i = 0; i < model->sent_count; i++)
		if (model->sent[i] == number)
			return;
	synod_assert(model->sent_count < MODEL_SENT_MAX);
	model->sent[model->sent_count++] = number;
}

void model_fact(struct model *model, uint32_t kind, uint32_t replica, uint64_t ballot,
		uint64_t slot, uint32_t content)
{
	struct model_item item;

	memset(&item, 0, sizeof(item));
	item.kind = kind;
	item.replica = replica;
	item.ballot = ballot;
	item.slot = slot;
	item.content = content;
	put(model, &item);
}

static void tell_message(struct model *model, const struct synod_message *message, uint32_t content)
{
	char entry[80] = "";

	if (message->has_value)
		snprintf(entry, sizeof(entry), ", value %s of slot %llu at " BALLOT_FORMAT "%s",
			 model_content_name(content), (unsigned long long)message->value_slot,
			 BALLOT(message->value_ballot),
			 message->value_flags & SYNOD_ENTRY_CHOSEN ? " (chosen)" : "");
	model_tell(model,
		   "sends %s to %u: ballot " BALLOT_FORMAT
		   ", slot %llu, argument %llx, chosen %llu%s%s",
		   synod_wire_type_name(message->type), message->to, BALLOT(message->ballot),
		   (unsigned long long)message->slot, (unsigned long long)message->argument,
		   (unsigned long long)message->chosen_through,
		   message->flags & SYNOD_FLAG_BEHIND ? ", behind" : "", entry);
}

/* Of these types every message is lost: a bound on what is searched. */
static int is_lost(const struct model_bounds *bounds, unsigned int type)
{
	switch (type) {
	case SYNOD_CANVASS:
		return !bounds->canvass; /* taken for granted: actions.c */
	case SYNOD_HEARTBEAT:
		return !bounds->heartbeats;
	case SYNOD_REJECT:
		return !bounds->rejects;
	case SYNOD_NEED:
		return !bounds->catchup;
	default:
		return 0;
	}
}

void model_send(struct model *model, const struct synod_message *message, uint32_t content)
{
	struct model_item item;

	if (is_lost(&model->bounds, message->type))
		return;
	memset(&item, 0, sizeof(item));
	item.kind = MODEL_MESSAGE;
	item.replica = message->to;
	item.content = content;
	item.message = *message;
	item.message.value = model_value(content, 0);
	if (message->type == SYNOD_ACCEPT || message->type == SYNOD_HEARTBEAT)
		item.message.argument = 0; /* the sequence number: pack.c */
	if (model->tell)
		tell_message(model, &item.message, content);
	put(model, &item);
}

__attribute__((format(printf, 2, 3))) static int violated(struct model *model, const char *format,
							  ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(model->violation, sizeof(model->violation), format, args);
	va_end(args);
	return 1;
}

static uint32_t ballot_number(struct model *model, uint64_t ballot)
{
	for (uint32_t i = 0; i < model->ballots_count; i++)
		if (model->ballots[i] == ballot)
			return i;
	if (model->ballots_count == MODEL_BALLOTS_MAX) {
		fprintf(stderr, "synod-model: more than %u ballots: smaller bounds, please\n",
			MODEL_BALLOTS_MAX);
		exit(3);
	}
	model->ballots[model->ballots_count] = ballot;
	return model->ballots_count++;
}

/* I6 */
static int judge_above(struct model *model, uint64_t slot, uint32_t number)
{
	const struct model_world *world = &model->world;
	uint16_t proposed = world->proposals[slot][number];

	if (!proposed || !world->chosen[slot] || proposed == world->chosen[slot] ||
	    model->ballots[number] <= world->chosen_ballot[slot])
		return 0;
	return violated(model,
			"I6: slot %llu: %s is chosen at " BALLOT_FORMAT
			", %s is proposed at " BALLOT_FORMAT,
			(unsigned long long)slot, model_content_name(world->chosen[slot] - 1u),
			BALLOT(world->chosen_ballot[slot]), model_content_name(proposed - 1u),
			BALLOT(model->ballots[number]));
}

static int add_proposal(struct model *model, const struct model_item *item)
{
	uint32_t number = ballot_number(model, item->ballot);
	uint16_t *proposed = &model->world.proposals[item->slot][number];

	if (*proposed)
		return violated(
			model, "I2: slot %llu ballot " BALLOT_FORMAT " has values %s and %s",
			(unsigned long long)item->slot, BALLOT(item->ballot),
			model_content_name(*proposed - 1u), model_content_name(item->content));
	*proposed = (uint16_t)(item->content + 1);
	return judge_above(model, item->slot, number);
}

static int become_chosen(struct model *model, const struct model_item *vote)
{
	struct model_world *world = &model->world;
	uint16_t *chosen = &world->chosen[vote->slot];

	if (*chosen && *chosen != vote->content + 1)
		return violated(model,
				"I1: slot %llu: %s is chosen at " BALLOT_FORMAT
				" and %s at " BALLOT_FORMAT,
				(unsigned long long)vote->slot, model_content_name(*chosen - 1u),
				BALLOT(world->chosen_ballot[vote->slot]),
				model_content_name(vote->content), BALLOT(vote->ballot));
	if (*chosen && world->chosen_ballot[vote->slot] <= vote->ballot)
		return 0;
	*chosen = (uint16_t)(vote->content + 1);
	world->chosen_ballot[vote->slot] = vote->ballot;
	for (uint32_t i = 0; i < model->ballots_count; i++)
		if (judge_above(model, vote->slot, i))
			return 1;
	return 0;
}

static int add_vote(struct model *model, const struct model_item *item)
{
	uint32_t number = ballot_number(model, item->ballot);
	uint8_t *votes = &model->world.votes[item->slot][number];

	*votes |= (uint8_t)(1u << item->replica);
	if ((uint64_t)__builtin_popcount(*votes & model_voters(model)) < model->bounds.accept)
		return 0;
	return become_chosen(model, item);
}

static int add_fact(struct model *model, const struct model_item *item)
{
	synod_assert(item->slot < MODEL_PLACES);
	switch (item->kind) {
	case MODEL_PROPOSED:
		return add_proposal(model, item);
	case MODEL_VOTE:
		return add_vote(model, item);
	case MODEL_TOLD:
		if (item->slot > model->world.told)
			model->world.told = item->slot;
		return 0;
	default:
		model->world.floors[item->replica][item->content] = (uint8_t)(item->slot + 1);
		return 0;
	}
}

static void remove_fact(struct model *model, const struct model_item *item)
{
	struct model_world *world = &model->world;
	uint32_t number;

	if (item->kind == MODEL_ASKED)
		world->floors[item->replica][item->content] = 0;
	if (item->kind == MODEL_TOLD || item->kind == MODEL_ASKED)
		return;
	number = ballot_number(model, item->ballot);
	switch (item->kind) {
	case MODEL_PROPOSED:
		if (world->proposals[item->slot][number] == item->content + 1)
			world->proposals[item->slot][number] = 0;
		break;
	case MODEL_VOTE:
		world->votes[item->slot][number] &= (uint8_t) ~(1u << item->replica);
		break;
	default:
		break;
	}
}

static uint64_t item_key(uint32_t item)
{
	return model_mix(item | UINT64_C(1) << 40);
}

static uint64_t local_key(uint32_t replica, uint32_t local)
{
	return model_mix(local | (uint64_t)replica << 48);
}

static void note_undo(struct model_world *world, struct model_undo undo)
{
	if (world->undo_count == world->undo_capacity) {
		world->undo_capacity = world->undo_capacity ? world->undo_capacity * 2 : 4096;
		world->undo = model_grow(world->undo, world->undo_capacity, sizeof(*world->undo));
	}
	world->undo[world->undo_count++] = undo;
}

static void list(struct model_inbox *inbox, uint32_t item)
{
	if (inbox->count == inbox->capacity) {
		inbox->capacity = inbox->capacity ? inbox->capacity * 2 : 256;
		inbox->items = model_grow(inbox->items, inbox->capacity, sizeof(*inbox->items));
	}
	inbox->items[inbox->count++] = item;
}

static int add(struct model *model, uint32_t number)
{
	struct model_world *world = &model->world;
	const struct model_item *item = model_item_at(model, number);
	struct model_undo undo = { .item = number, .what = UNDO_ADDED };
	int broken = 0;

	if (world->present[number] & PRESENT)
		return 0;
	model_see(model, number);
	if (item->kind == MODEL_MESSAGE) {
		if (model_is_alive(model, world->locals[item->replica], number))
			world->alive[item->replica] ^= item_key(number);
		if (world->present[number] & LISTED)
			undo.what = UNDO_AGAIN;
		else
			list(&world->inbox[item->replica], number);
		world->present[number] = PRESENT | LISTED;
		note_undo(world, undo);
		return 0;
	}
	world->fingerprint ^= item_key(number);
	world->present[number] = PRESENT;
	undo.chosen = world->chosen[item->slot];
	undo.chosen_ballot = world->chosen_ballot[item->slot];
	undo.told = world->told;
	broken = add_fact(model, item);
	note_undo(world, undo);
	return broken;
}

static void make_present_wide(struct model *model)
{
	struct model_world *world = &model->world;
	uint32_t old = world->present_capacity;

	if (model->items.count < old)
		return;
	world->present_capacity = model->items.count * 2 + 1024;
	world->present = model_grow(world->present, world->present_capacity, 1);
	memset(world->present + old, 0, world->present_capacity - old);
}

/* I11: a read sees all that anybody executed, hence may have acknowledged, before it was asked. */
static int serves_well(struct model *model, uint32_t replica, const struct model_claim *claim)
{
	for (uint32_t read = 1; read <= claim->content && read <= MODEL_READS_MAX; read++) {
		uint8_t floor = model->world.floors[replica][read];

		if (floor > claim->slot + 1) {
			violated(
				model,
				"I11: replica %u serves read %u at slot %llu: slot %u was executed "
				"before it was asked",
				replica, read, (unsigned long long)claim->slot, floor - 1u);
			return 0;
		}
	}
	return 1;
}

/* What must be seen is what anybody has executed by now: only the whole cluster knows. */
static int add_asked(struct model *model, const struct model_outcome *outcome)
{
	struct model_item item;
	uint32_t number;

	memset(&item, 0, sizeof(item));
	item.kind = MODEL_ASKED;
	item.replica = outcome->action.replica;
	item.content = outcome->reads;
	item.slot = model->world.told;
	number = model_item_intern(model, &item);
	make_present_wide(model);
	return add(model, number);
}

static int holds(struct model *model, uint32_t replica, const struct model_claim *claim)
{
	const struct model_world *world = &model->world;

	switch (claim->kind) {
	case MODEL_CLAIM_CHOSEN:
		if (claim->slot < MODEL_PLACES && world->chosen[claim->slot] == claim->content + 1)
			return 1;
		violated(model, "I1: replica %u takes %s for chosen at slot %llu: %s%s", replica,
			 model_content_name(claim->content), (unsigned long long)claim->slot,
			 claim->slot < MODEL_PLACES && world->chosen[claim->slot]
				 ? "chosen is "
				 : "nothing is chosen",
			 claim->slot < MODEL_PLACES && world->chosen[claim->slot]
				 ? model_content_name(world->chosen[claim->slot] - 1u)
				 : "");
		return 0;
	case MODEL_CLAIM_THROUGH:
		for (uint64_t slot = 1; slot <= claim->slot; slot++)
			if (slot >= MODEL_PLACES || !world->chosen[slot]) {
				violated(
					model,
					"I8: replica %u says chosen through %llu: slot %llu is not",
					replica, (unsigned long long)claim->slot,
					(unsigned long long)slot);
				return 0;
			}
		return 1;
	default:
		return serves_well(model, replica, claim);
	}
}

/* The fingerprint of the messages that the replica may still make something of. */
static uint64_t living(struct model *model, uint32_t replica)
{
	const struct model_world *world = &model->world;
	const struct model_inbox *inbox = &world->inbox[replica];
	uint64_t keys = 0;

	for (uint32_t i = 0; i < inbox->count; i++)
		if (world->present[inbox->items[i]] & PRESENT &&
		    model_is_alive(model, world->locals[replica], inbox->items[i]))
			keys ^= item_key(inbox->items[i]);
	return keys;
}

int model_world_apply(struct model *model, const struct model_outcome *outcome)
{
	struct model_world *world = &model->world;
	uint32_t replica = outcome->action.replica;
	uint32_t claim = 0;

	if (outcome->fault)
		return violated(model, "%s", outcome->fault);
	make_present_wide(model);
	if (outcome->action.kind == MODEL_DELIVER && !model->bounds.duplicate) {
		uint32_t item = outcome->action.argument;

		world->present[item] &= (uint8_t)~PRESENT;
		note_undo(world, (struct model_undo){ .item = item, .what = UNDO_DELIVERED });
	}
	world->fingerprint ^= local_key(replica, world->locals[replica]);
	world->locals[replica] = outcome->local;
	world->fingerprint ^= local_key(replica, outcome->local);
	model_reach(model, outcome->local);
	world->alive[replica] = living(model, replica);
	if (outcome->action.kind == MODEL_READ && add_asked(model, outcome))
		return 1;
	for (uint32_t i = 0; i < outcome->items_count; i++) {
		for (; claim < outcome->claims_count && outcome->claims[claim].at <= i; claim++)
			if (!holds(model, replica, &outcome->claims[claim]))
				return 1;
		if (add(model, outcome->items[i]))
			return 1;
	}
	for (; claim < outcome->claims_count; claim++)
		if (!holds(model, replica, &outcome->claims[claim]))
			return 1;
	return 0;
}

static void undo_one(struct model *model, const struct model_undo *undo)
{
	struct model_world *world = &model->world;
	const struct model_item *item = model_item_at(model, undo->item);

	switch (undo->what) {
	case UNDO_DELIVERED:
		world->present[undo->item] |= PRESENT;
		return;
	case UNDO_AGAIN:
		world->present[undo->item] = LISTED;
		return;
	default:
		world->present[undo->item] = 0;
		if (item->kind == MODEL_MESSAGE) {
			synod_assert(world->inbox[item->replica].count > 0);
			world->inbox[item->replica].count--;
			return;
		}
		remove_fact(model, item);
		world->chosen[item->slot] = undo->chosen;
		world->chosen_ballot[item->slot] = undo->chosen_ballot;
		world->told = undo->told;
		return;
	}
}

struct model_mark model_world_mark(const struct model *model)
{
	const struct model_world *world = &model->world;
	struct model_mark mark = { .undo_count = world->undo_count,
				   .fingerprint = world->fingerprint };

	memcpy(mark.locals, world->locals, sizeof(mark.locals));
	memcpy(mark.alive, world->alive, sizeof(mark.alive));
	return mark;
}

void model_world_undo(struct model *model, const struct model_mark *mark)
{
	struct model_world *world = &model->world;

	while (world->undo_count > mark->undo_count)
		undo_one(model, &world->undo[--world->undo_count]);
	world->fingerprint = mark->fingerprint;
	memcpy(world->locals, mark->locals, sizeof(mark->locals));
	memcpy(world->alive, mark->alive, sizeof(mark->alive));
}

uint64_t model_world_fingerprint(const struct model *model)
{
	uint64_t fingerprint = model->world.fingerprint;

	for (uint32_t id = 1; id <= model->bounds.replicas; id++)
		fingerprint ^= model->world.alive[id];
	return fingerprint ? fingerprint : 1;
}

void model_world_begin(struct model *model)
{
	struct model_world *world = &model->world;
	struct model_mark nothing = { 0 };

	model_world_undo(model, &nothing);
	for (uint32_t id = 1; id <= model->bounds.replicas; id++) {
		model->tell = NULL;
		model_birth(model, id);
		world->locals[id] = model_pack(model);
		model_reach(model, world->locals[id]);
		world->fingerprint ^= local_key(id, world->locals[id]);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be judged of one replica alone, from its messages and its durable records at the instant
 * a message leaves: I3 and I4. What needs the others becomes a claim or a fact (items.c). The
 * judge knows Paxos and the contract of core.h; the numbers are those of engine/DESIGN.md. It is
 * a second judge beside the simulator's (tests/sim/observer*.c), of the same rules.
 */
#include "tests/model/model.h"

#define BALLOT_FORMAT  "%llu.%u"
#define BALLOT(ballot) (unsigned long long)((ballot) >> 8), (unsigned int)(ballot)&0xff

void model_claim(struct model *model, uint32_t kind, uint64_t slot, uint32_t content)
{
	for (uint32_t i = 0; i < model->claims_count; i++) {
		const struct model_claim *old = &model->claims[i];

		if (old->kind == kind && old->slot == slot && old->content == content)
			return;
	}
	synod_assert(model->claims_count < MODEL_CLAIMS_MAX);
	model->claims[model->claims_count++] = (struct model_claim){
		.kind = kind, .slot = slot, .content = content, .at = model->sent_count
	};
}

static const struct model_record *durable(const struct model *model, uint64_t slot)
{
	const struct model_record *record;

	if (slot == 0 || slot >= MODEL_PLACES)
		return NULL;
	record = &model->replica.disk.records[slot];
	return record->ballot ? record : NULL;
}

/* Bound to this ballot, durably: by a promise or by having accepted at it. */
static int is_promised(const struct model *model, uint64_t ballot)
{
	return model->replica.disk.promised >= ballot || model->replica.disk.accepted_max >= ballot;
}

/* I3: the ballot is the sender's own, and no other life of it has used it. */
static void judge_own_ballot(struct model *model, const struct synod_message *message)
{
	struct model_past *past = &model->replica.past;
	const char *name = synod_wire_type_name(message->type);

	if ((message->ballot & 0xff) != past->id)
		model_fault(model, "I2: replica %u sends %s at " BALLOT_FORMAT, past->id, name,
			    BALLOT(message->ballot));
	if (message->ballot <= past->ballot_former)
		model_fault(model, "I3: replica %u uses ballot " BALLOT_FORMAT " in two lives",
			    past->id, BALLOT(message->ballot));
	if (!is_promised(model, message->ballot))
		model_fault(model,
			    "I4: replica %u sends %s at " BALLOT_FORMAT
			    " before its own promise is durable",
			    past->id, name, BALLOT(message->ballot));
	if (message->ballot > past->ballot_used)
		past->ballot_used = message->ballot;
}

/* The entry of a PROMISE is what the disk holds for the slot. */
static void judge_promise_entry(struct model *model, const struct synod_message *message,
				uint32_t content)
{
	const struct model_record *record = durable(model, message->value_slot);
	uint32_t id = model->replica.past.id;

	if (!record)
		model_fault(model, "I4: replica %u promises with slot %llu, not durable", id,
			    (unsigned long long)message->value_slot);
	else if (message->value_flags & SYNOD_ENTRY_CHOSEN)
		model_claim(model, MODEL_CLAIM_CHOSEN, message->value_slot, content);
	else if (record->content != content || record->ballot != message->value_ballot)
		model_fault(model,
			    "I4: replica %u tells slot %llu at " BALLOT_FORMAT
			    ", durable at " BALLOT_FORMAT,
			    id, (unsigned long long)message->value_slot,
			    BALLOT(message->value_ballot), BALLOT(record->ballot));
}

static void judge_promise(struct model *model, const struct synod_message *message,
			  uint32_t content)
{
	uint32_t id = model->replica.past.id;

	if (!is_promised(model, message->ballot))
		model_fault(model, "I4: replica %u sends PROMISE " BALLOT_FORMAT ", not durable",
			    id, BALLOT(message->ballot));
	if (message->flags & SYNOD_FLAG_BEHIND)
		return; /* it says that it does not tell all */
	if (message->has_value)
		judge_promise_entry(model, message, content);
	for (uint64_t slot = message->slot; slot <= message->argument && slot < MODEL_PLACES;
	     slot++) {
		const struct model_record *record = durable(model, slot);

		if (record && record->ballot < message->ballot &&
		    !(message->has_value && message->value_slot == slot))
			model_fault(model,
				    "I4: PROMISE " BALLOT_FORMAT " of replica %u omits slot %llu",
				    BALLOT(message->ballot), id, (unsigned long long)slot);
	}
}

/* Who promised what this replica is a candidate for, by what reached it. */
void model_judge_received(struct model *model, const struct synod_message *message)
{
	struct model_past *past = &model->replica.past;
	const struct synod_core *core = &model->replica.core;

	if (message->type != SYNOD_PROMISE || core->role != SYNOD_ROLE_CANDIDATE ||
	    message->ballot != core->ballot || message->flags & SYNOD_FLAG_BEHIND)
		return;
	if (past->promised_ballot != message->ballot)
		past->promised_by = 1u << past->id;
	past->promised_ballot = message->ballot;
	past->promised_by |= 1u << message->from;
}

static void judge_leads(struct model *model, const struct synod_message *message)
{
	const struct model_past *past = &model->replica.past;
	uint32_t promised = 1u << past->id;

	judge_own_ballot(model, message);
	if (past->promised_ballot == message->ballot)
		promised = past->promised_by;
	if ((uint64_t)__builtin_popcount(promised & model_voters(model)) < model->bounds.prepare)
		model_fault(model,
			    "I16: replica %u leads at " BALLOT_FORMAT " with promises of %x only",
			    past->id, BALLOT(message->ballot), promised >> 1);
}

/* A vote for the slot at the ballot: accepted there and durable, or chosen and durable. */
static void judge_vote(struct model *model, uint64_t slot, uint64_t ballot)
{
	const struct model_record *record = durable(model, slot);

	if (!record)
		model_fault(model,
			    "I4: replica %u: ACCEPTED with slot %llu, not durable, " BALLOT_FORMAT,
			    model->replica.past.id, (unsigned long long)slot, BALLOT(ballot));
	else if (record->chosen || record->ballot != ballot)
		model_claim(model, MODEL_CLAIM_CHOSEN, slot, record->content);
}

static void judge_accepted(struct model *model, const struct synod_message *message)
{
	if (!is_promised(model, message->ballot))
		model_fault(model,
			    "I4: replica %u sends ACCEPTED at " BALLOT_FORMAT
			    ", not promised durably",
			    model->replica.past.id, BALLOT(message->ballot));
	for (uint64_t slot = 1; slot <= message->slot && slot <= MODEL_PLACES; slot++)
		judge_vote(model, slot, message->ballot);
	for (unsigned int i = 0; i < 64 && message->argument >> i; i++)
		if (message->argument >> i & 1)
			judge_vote(model, message->slot + 1 + i, message->ballot);
}

void model_judge_send(struct model *model, const struct synod_message *message, uint32_t content)
{
	if (message->chosen_through)
		model_claim(model, MODEL_CLAIM_THROUGH, message->chosen_through, 0);
	switch (message->type) {
	case SYNOD_PREPARE:
		judge_own_ballot(model, message);
		break;
	case SYNOD_PROMISE:
		judge_promise(model, message, content);
		break;
	case SYNOD_ACCEPT:
		judge_leads(model, message);
		model_fact(model, MODEL_PROPOSED, 0, message->ballot, message->slot, content);
		break;
	case SYNOD_HEARTBEAT:
		judge_leads(model, message);
		break;
	case SYNOD_ACCEPTED:
		judge_accepted(model, message);
		break;
	case SYNOD_LEARN:
		model_claim(model, MODEL_CLAIM_CHOSEN, message->slot, content);
		break;
	default:
		break;
	}
}

/* The records as they will be when all that was issued is durable, and what binds then. */
static uint64_t issued(const struct model *model, uint64_t slot, struct model_record *record)
{
	const struct model_disk *disk = &model->replica.disk;
	uint64_t bound = disk->promised > disk->accepted_max ? disk->promised : disk->accepted_max;

	*record = disk->records[slot];
	for (uint64_t i = 0; i < disk->pending_count; i++) {
		const struct model_write *write = &disk->pending[i];

		if (!write->chosen && write->ballot > bound)
			bound = write->ballot;
		if (write->kind == SYNOD_WRITE_OF_SLOT && write->slot == slot)
			model_record_put(record, write);
	}
	return bound;
}

/* I8: a write that says "chosen through" stands behind the records that it speaks for. */
static void judge_hint(struct model *model, uint64_t hint)
{
	for (uint64_t slot = 1; slot <= hint && slot < MODEL_PLACES; slot++) {
		struct model_record record;

		(void)issued(model, slot, &record);
		if (!record.ballot)
			model_fault(model,
				    "I8: replica %u writes chosen through %llu without slot %llu",
				    model->replica.past.id, (unsigned long long)hint,
				    (unsigned long long)slot);
		else
			model_claim(model, MODEL_CLAIM_CHOSEN, slot, record.content);
	}
	if (hint)
		model_claim(model, MODEL_CLAIM_THROUGH, hint, 0);
}

void model_judge_write(struct model *model, const struct synod_core_write *write, uint32_t content)
{
	struct model_record record;
	uint32_t id = model->replica.past.id;
	uint64_t bound = issued(model, write->slot, &record);

	judge_hint(model, write->chosen_through);
	if (write->kind == SYNOD_WRITE_OF_PROMISE) {
		if (write->ballot <= bound)
			model_fault(model,
				    "I3: replica %u promises " BALLOT_FORMAT
				    ", bound to " BALLOT_FORMAT,
				    id, BALLOT(write->ballot), BALLOT(bound));
		return;
	}
	if (write->chosen) {
		model_claim(model, MODEL_CLAIM_CHOSEN, write->slot, content);
		return;
	}
	/* I3: never below the promise, never another value at an equal ballot. */
	if (write->ballot < bound)
		model_fault(model,
			    "I3: replica %u accepts slot %llu at " BALLOT_FORMAT
			    ", bound to " BALLOT_FORMAT,
			    id, (unsigned long long)write->slot, BALLOT(write->ballot),
			    BALLOT(bound));
	if (record.ballot == write->ballot && record.content != content)
		model_fault(model, "I3: replica %u overwrites slot %llu at its own ballot", id,
			    (unsigned long long)write->slot);
	model_fact(model, MODEL_PROPOSED, 0, write->ballot, write->slot, content);
}

/* What a recovery executes without asking anybody must be there, and be chosen. */
void model_judge_recovered(struct model *model)
{
	const struct model_disk *disk = &model->replica.disk;

	for (uint64_t slot = 1; slot <= disk->hint && slot < MODEL_PLACES; slot++) {
		const struct model_record *record = durable(model, slot);

		if (!record)
			model_fault(model, "I8: replica %u: no record of chosen slot %llu",
				    model->replica.past.id, (unsigned long long)slot);
		else
			model_claim(model, MODEL_CLAIM_CHOSEN, slot, record->content);
	}
}

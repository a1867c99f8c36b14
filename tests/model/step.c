/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One replica's shell: an event through the core, its effects carried out in the order that core.h
 * gives and nothing held back; the disk; crash and restart. What is chosen is executed at once.
 *
 * A crash and the restart after it are one action: while a replica is down it does nothing, and to
 * do nothing for any time is what every replica may do anyway. A crash between two sends is a crash
 * after all of them with the rest lost.
 */
#include "tests/model/model.h"

#include "engine/journal/format.h"

#include <stdarg.h>
#include <string.h>

void model_fault(struct model *model, const char *format, ...)
{
	va_list args;

	if (model->fault[0])
		return; /* the first is the one to know */
	va_start(args, format);
	vsnprintf(model->fault, sizeof(model->fault), format, args);
	va_end(args);
}

void model_tell(struct model *model, const char *format, ...)
{
	va_list args;

	if (!model->tell)
		return;
	va_start(args, format);
	fputs("          ", model->tell);
	vfprintf(model->tell, format, args);
	fputc('\n', model->tell);
	va_end(args);
}

/* Contents: 0 is the no-op; the others are told apart by size and checksum, as batches are. */
struct synod_value model_value(uint32_t content, uint32_t handle)
{
	if (!content)
		return (struct synod_value){ 0 };
	return (struct synod_value){
		.handle = handle, .size = 8 * content, .count = 1, .crc = 0x1000 + content
	};
}

/* The content that a handle stands for; it must be one that the core holds, and described right. */
static uint32_t content_of(struct model *model, const struct synod_value *value)
{
	const struct model_replica *replica = &model->replica;
	struct synod_value expected;

	if (value->handle >= MODEL_HANDLES || (value->handle && !replica->live[value->handle])) {
		model_fault(model, "contract: replica %u names handle %u, which it does not hold",
			    replica->past.id, value->handle);
		return 0;
	}
	expected = model_value(replica->contents[value->handle], value->handle);
	if (memcmp(&expected, value, sizeof(expected)) != 0)
		model_fault(model, "contract: replica %u mixes up the description of handle %u",
			    replica->past.id, value->handle);
	return replica->contents[value->handle];
}

static int check_bounds(struct model *model)
{
	const struct synod_effects *fx = &model->fx;

	if (fx->sends_count > SYNOD_CORE_SENDS_MAX || fx->writes_count > SYNOD_CORE_WRITES_MAX ||
	    fx->reads_count > SYNOD_CORE_READS_MAX ||
	    fx->released_count > SYNOD_CORE_RELEASED_MAX) {
		model_fault(model, "contract: effects of replica %u out of bounds",
			    model->replica.past.id);
		return 0;
	}
	if (fx->deadline_ns == 0)
		model_fault(model, "contract: replica %u has no deadline", model->replica.past.id);
	return 1;
}

static void carry_sends(struct model *model)
{
	const struct synod_effects *fx = &model->fx;
	uint32_t id = model->replica.past.id;

	for (uint32_t i = 0; i < fx->sends_count; i++) {
		const struct synod_message *send = &fx->sends[i];
		uint32_t content = content_of(model, &send->value);

		if (send->from != id || send->to == id || send->to < 1 ||
		    send->to > model->bounds.replicas) {
			model_fault(model, "contract: replica %u sends from %u to %u", id,
				    send->from, send->to);
			return;
		}
		if (!send->has_value && send->value.handle)
			model_fault(model, "contract: replica %u hides a handle in a message", id);
		model_judge_send(model, send, content);
		model_send(model, send, content);
	}
}

static void carry_writes(struct model *model)
{
	struct model_replica *replica = &model->replica;
	struct model_disk *disk = &replica->disk;
	const struct synod_effects *fx = &model->fx;

	for (uint32_t i = 0; i < fx->writes_count; i++) {
		const struct synod_core_write *write = &fx->writes[i];
		uint32_t content = content_of(model, &write->value);

		if (write->ticket != disk->pending_count + 1) {
			model_fault(model, "contract: ticket %llu after %llu",
				    (unsigned long long)write->ticket,
				    (unsigned long long)disk->pending_count);
			return;
		}
		if (write->slot >= MODEL_PLACES || disk->pending_count == MODEL_PENDING_MAX) {
			model_fault(model, "replica %u writes slot %llu: nobody proposed so much",
				    replica->past.id, (unsigned long long)write->slot);
			return;
		}
		model_judge_write(model, write, content);
		disk->pending[disk->pending_count++] =
			(struct model_write){ .kind = (uint16_t)write->kind,
					      .chosen = write->chosen != 0,
					      .content = content,
					      .slot = write->slot,
					      .ballot = write->ballot,
					      .chosen_through = write->chosen_through };
		if (write->kind == SYNOD_WRITE_OF_PROMISE)
			model_tell(model, "writes promise %llu.%u",
				   (unsigned long long)(write->ballot >> 8),
				   (unsigned int)write->ballot & 0xff);
		else
			model_tell(model, "writes slot %llu ballot %llu.%u value %s%s",
				   (unsigned long long)write->slot,
				   (unsigned long long)(write->ballot >> 8),
				   (unsigned int)write->ballot & 0xff, model_content_name(content),
				   write->chosen ? " chosen" : "");
	}
}

/* Chosen slots that are no longer in memory: read back at once, and taught. */
static void carry_reads(struct model *model)
{
	const struct model_replica *replica = &model->replica;

	for (uint32_t i = 0; i < model->fx.reads_count; i++) {
		const struct synod_core_read *read = &model->fx.reads[i];
		const struct model_record *record;
		struct synod_message learn = { .type = SYNOD_LEARN,
					       .from = (uint8_t)replica->past.id,
					       .to = (uint8_t)read->to,
					       .has_value = 1,
					       .slot = read->slot,
					       .chosen_through = replica->core.chosen_through,
					       .value_slot = read->slot,
					       .value_flags = SYNOD_ENTRY_CHOSEN };

		if (read->slot >= MODEL_PLACES || !replica->disk.records[read->slot].ballot ||
		    read->to == replica->past.id || read->to < 1 ||
		    read->to > model->bounds.replicas) {
			model_fault(model, "contract: replica %u reads slot %llu for %u",
				    replica->past.id, (unsigned long long)read->slot, read->to);
			return;
		}
		record = &replica->disk.records[read->slot];
		learn.ballot = record->ballot;
		learn.value_ballot = record->ballot;
		model_judge_send(model, &learn, record->content);
		model_send(model, &learn, record->content);
	}
}

static void carry_chosen(struct model *model)
{
	struct model_replica *replica = &model->replica;
	const struct synod_effects *fx = &model->fx;

	if (fx->chosen_first > fx->chosen_last)
		return;
	if (fx->chosen_first != replica->past.chosen_told + 1 || fx->chosen_last >= MODEL_PLACES) {
		model_fault(model, "I7: replica %u tells slots %llu..%llu as chosen after %llu",
			    replica->past.id, (unsigned long long)fx->chosen_first,
			    (unsigned long long)fx->chosen_last,
			    (unsigned long long)replica->past.chosen_told);
		return;
	}
	for (uint64_t slot = fx->chosen_first; slot <= fx->chosen_last; slot++) {
		const struct synod_core_slot *place =
			&replica->core.slots[slot & (MODEL_PLACES - 1)];
		uint32_t content = content_of(model, &place->value);

		if (place->slot != slot || !place->chosen)
			model_fault(model, "I7: replica %u has not slot %llu, told as chosen",
				    replica->past.id, (unsigned long long)slot);
		model_tell(model, "takes slot %llu for chosen: %s", (unsigned long long)slot,
			   model_content_name(content));
		model_claim(model, MODEL_CLAIM_CHOSEN, slot, content);
	}
	replica->past.chosen_told = fx->chosen_last;
	if (model->bounds.reads)
		model_fact(model, MODEL_TOLD, 0, 0, fx->chosen_last, 0);
}

/* I11: once served, a read rests on what is chosen through read_slot. */
static void carry_settled(struct model *model)
{
	const struct synod_effects *fx = &model->fx;

	if (!fx->read_through)
		return;
	if (fx->read_through > model->replica.past.reads)
		model_fault(model, "contract: replica %u settles read %llu, which nobody asked",
			    model->replica.past.id, (unsigned long long)fx->read_through);
	model_tell(model, "settles reads through %llu: %s at slot %llu",
		   (unsigned long long)fx->read_through, fx->read_status ? "refused" : "served",
		   (unsigned long long)fx->read_slot);
	if (!fx->read_status)
		model_claim(model, MODEL_CLAIM_SERVES, fx->read_slot, (uint32_t)fx->read_through);
}

static void carry_released(struct model *model)
{
	struct model_replica *replica = &model->replica;

	for (uint32_t i = 0; i < model->fx.released_count; i++) {
		uint32_t handle = model->fx.released[i];

		if (handle == 0 || handle >= MODEL_HANDLES || !replica->live[handle]) {
			model_fault(model, "contract: replica %u releases handle %u twice",
				    replica->past.id, handle);
			return;
		}
		replica->live[handle] = 0;
	}
}

static int step_once(struct model *model, const struct synod_event *event)
{
	const char *went_wrong = model_guard_step(&model->replica.core, event, &model->fx);

	model->totals.steps++;
	if (went_wrong) {
		model_fault(model, "%s", went_wrong);
		return 1;
	}
	if (!check_bounds(model))
		return 1;
	carry_sends(model);
	carry_writes(model);
	carry_reads(model);
	carry_chosen(model);
	carry_settled(model);
	carry_released(model);
	return model->fault[0] != 0;
}

int model_step(struct model *model, const struct synod_event *event)
{
	const struct synod_core *core = &model->replica.core;
	struct synod_event applied = { .kind = SYNOD_EVENT_APPLIED, .now_ns = event->now_ns };
	uint32_t refused;

	if (step_once(model, event))
		return 1;
	refused = model->fx.refused;
	/* To execute may let the core go on: at most a window of turns. */
	while (core->applied < core->chosen_through) {
		applied.slot = core->chosen_through;
		if (step_once(model, &applied))
			return 1;
	}
	model->fx.refused = refused; /* the event's own answer, not its consequences' */
	model_pack_canonical(model);
	return model->fault[0] != 0;
}

int model_step_message(struct model *model, const struct synod_message *message, uint32_t content,
		       uint64_t now_ns)
{
	struct synod_message mine = *message;
	struct synod_event event = { .kind = SYNOD_EVENT_MESSAGE,
				     .now_ns = now_ns,
				     .message = &mine };

	model_judge_received(model, message);
	if (mine.has_value) {
		mine.value = model_value(content, MODEL_HANDLE_NEW);
		model->replica.contents[MODEL_HANDLE_NEW] = content;
		model->replica.live[MODEL_HANDLE_NEW] = content != 0;
	}
	return model_step(model, &event);
}

void model_record_put(struct model_record *record, const struct model_write *write)
{
	if (record->ballot && !synod_format_later_counts(record->chosen, record->ballot,
							 write->chosen, write->ballot))
		return;
	record->ballot = write->ballot;
	record->content = write->content;
	record->chosen = write->chosen;
}

/* From here on it is on the medium. */
static void make_durable(struct model *model, const struct model_write *write)
{
	struct model_disk *disk = &model->replica.disk;

	if (write->kind == SYNOD_WRITE_OF_PROMISE) {
		if (write->ballot > disk->promised)
			disk->promised = write->ballot;
		return;
	}
	model_record_put(&disk->records[write->slot], write);
	if (write->chosen)
		return;
	if (write->ballot > disk->accepted_max)
		disk->accepted_max = write->ballot;
	model_fact(model, MODEL_VOTE, model->replica.past.id, write->ballot, write->slot,
		   write->content);
}

static void drop_pending(struct model_disk *disk, uint64_t count)
{
	disk->pending_count -= count;
	memmove(disk->pending, disk->pending + count,
		disk->pending_count * sizeof(disk->pending[0]));
	memset(disk->pending + disk->pending_count, 0, count * sizeof(disk->pending[0]));
}

int model_durable(struct model *model, uint32_t count)
{
	struct model_disk *disk = &model->replica.disk;
	struct synod_event event = { .kind = SYNOD_EVENT_DURABLE,
				     .now_ns = model_now_ns,
				     .ticket = count };
	int failed;

	for (uint32_t i = 0; i < count; i++) {
		make_durable(model, &disk->pending[i]);
		if (disk->pending[i].chosen_through > disk->hint)
			disk->hint = disk->pending[i].chosen_through;
	}
	/* What the step writes is numbered after all of these: let them go only then. */
	failed = model_step(model, &event);
	drop_pending(disk, count);
	return failed;
}

struct birth {
	struct model *model;
	int forget;
};

static void recover(void *context)
{
	const struct birth *birth = context;
	const struct model_bounds *bounds = &birth->model->bounds;
	struct model_replica *replica = &birth->model->replica;
	const struct model_disk *disk = &replica->disk;
	struct synod_core_config config = { .replica = replica->past.id,
					    .replicas = (uint32_t)bounds->replicas,
					    .voters = (uint32_t)bounds->voters,
					    .quorum_prepare = (uint32_t)bounds->prepare,
					    .quorum_accept = (uint32_t)bounds->accept,
					    .seed = 1,
					    .election_ns = 1000000000,
					    .heartbeat_ns = 100000000,
					    .retransmit_ns = 100000000,
					    .window = MODEL_PLACES,
					    .inflight = (uint32_t)bounds->inflight };

	synod_core_init(&replica->core, &config, model_now_ns);
	synod_core_recover(&replica->core, disk->promised, disk->hint);
	for (uint64_t slot = birth->forget ? disk->hint + 1 : 1; slot < MODEL_PLACES; slot++) {
		const struct model_record *record = &disk->records[slot];
		uint32_t handle = (uint32_t)(2 * slot + 1);
		struct synod_core_recovered recovered;

		if (!record->ballot)
			continue;
		replica->contents[handle] = record->content;
		replica->live[handle] = record->content != 0;
		recovered = (struct synod_core_recovered){ .slot = slot,
							   .ballot = record->ballot,
							   .chosen = record->chosen,
							   .value = model_value(record->content,
										handle) };
		synod_core_recover_slot(&replica->core, &recovered);
	}
}

static int start(struct model *model, int forget)
{
	struct model_replica *replica = &model->replica;
	struct birth birth = { .model = model, .forget = forget };
	const char *went_wrong;

	memset(replica->live, 0, sizeof(replica->live));
	memset(replica->contents, 0, sizeof(replica->contents));
	model_judge_recovered(model);
	went_wrong = model_guard_call(recover, &birth);
	if (went_wrong)
		model_fault(model, "%s", went_wrong);
	replica->past.chosen_told = replica->disk.hint;
	if (!model->fault[0])
		model_pack_canonical(model);
	return model->fault[0] != 0;
}

void model_birth(struct model *model, uint32_t id)
{
	memset(&model->replica, 0, sizeof(model->replica));
	model->replica.past.id = id;
	(void)start(model, 0);
}

int model_restart(struct model *model, uint32_t kept, int forget)
{
	struct model_past *past = &model->replica.past;
	struct model_disk *disk = &model->replica.disk;
	int prefix = 1;

	for (uint32_t i = 0; i < disk->pending_count; i++) {
		prefix = prefix && (kept >> i & 1);
		if (!(kept >> i & 1))
			continue;
		make_durable(model, &disk->pending[i]);
		if (prefix && disk->pending[i].chosen_through > disk->hint)
			disk->hint = disk->pending[i].chosen_through;
	}
	drop_pending(disk, disk->pending_count);
	/* A journal never keeps a record and loses the promise that it rests on. */
	if (disk->accepted_max > disk->promised)
		disk->promised = disk->accepted_max;
	past->crashes++;
	if (past->ballot_used > past->ballot_former)
		past->ballot_former = past->ballot_used;
	past->ballot_used = 0;
	past->promised_ballot = 0;
	past->promised_by = 0;
	return start(model, forget);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A replica's state as bytes, so that equal states are equal bytes, and back. What differs between
 * states that behave alike is made the same here; each of these is an abstraction and says why it
 * hides nothing.
 *
 * Time. The clock always stands at model_now. After every step each timer that runs is set to run
 * out later and each contact to have just been; an action then decides otherwise: DELIVER in its
 * late variant and TIMEOUT come when everything has run out, ASK and REPEAT when that timer alone
 * has. So what each timer decides is explored both ways, with no regard to whether real timers
 * could come so. What timers mean besides time is kept: whether one runs at all, and that a
 * candidate's retry deadline equal to its election deadline says "PREPARE has not left".
 *
 * Randomness only spreads election deadlines: always the same.
 *
 * Tickets are compared with the durable one and with each other, never used otherwise: they are
 * shifted so that the durable one is 0; those before it are all 0.
 *
 * Handles are names: the value of place i has handle 2i + 1, what was found for it 2i + 2. They
 * are distinct, as a real pool's would be, and judged (moved in and released exactly once).
 *
 * The sequence number of ACCEPT and HEARTBEAT is not read by the one who gets them: always 0.
 */
#include "tests/model/model.h"

#include <string.h>

#define SECOND UINT64_C(1000000000)

const uint64_t model_now_ns = 1000 * SECOND;
const uint64_t model_later_ns = 1100 * SECOND;

enum {
	HEAD_SIZE = offsetof(struct synod_core, peers)
};

struct head {
	uint64_t records;
	uint64_t places;
	struct model_past past;
	uint64_t promised, accepted_max, hint, pending_count;
};

struct packed {
	uint8_t bytes[16384];
	size_t size;
};

static void put(struct packed *packed, const void *from, size_t size)
{
	synod_assert(packed->size + size <= sizeof(packed->bytes) && size % 8 == 0);
	memcpy(packed->bytes + packed->size, from, size);
	packed->size += size;
}

static void canonical_time(struct synod_core *core)
{
	const uint64_t election = model_now_ns + 4 * SECOND;
	/* HANDOVER leaves at once when the successor is ready, unless it was just said. */
	uint64_t handover_said = core->handover_ns_next > core->now_ns;
	int prepare_owed = core->retry_deadline_ns == core->election_deadline_ns;

	core->now_ns = model_now_ns;
	core->random = 1;
	core->election_deadline_ns = election;
	core->leader_contact_ns = model_now_ns;
	core->heartbeat_ns_next = model_now_ns + SECOND;
	if (core->retry_deadline_ns)
		core->retry_deadline_ns = prepare_owed ? election : model_now_ns + SECOND;
	core->canvass_wait_ns = 0;
	if (core->need_deadline_ns)
		core->need_deadline_ns = model_now_ns + SECOND;
	core->need_asked_ns = 0;
	core->handover_deadline_ns = core->handover_to ? election : 0;
	core->handover_ns_next = core->handover_to ? model_now_ns + handover_said * SECOND : 0;
	if (core->prefer_ns != UINT64_MAX)
		core->prefer_ns = 0;
	core->read_ns_next = core->read_asked > core->read_done ? model_now_ns + SECOND : 0;
	core->sequence = 0;
	core->announced_sent = 0; /* only decides when the next sign of life is due */
	for (uint32_t i = 1; i <= core->config.replicas; i++) {
		core->peers[i].contact_ns = model_now_ns;
		core->peers[i].resend_ns = model_now_ns + SECOND;
		/* Only refuse the same question again too soon: as if that answer were lost. */
		core->peers[i].learn_ns = 0;
		core->peers[i].learn_ns_next = 0;
		core->peers[i].learn_slot = 0;
	}
	for (uint32_t i = 0; i < MODEL_PLACES; i++)
		core->slots[i].sent_ns = 0; /* repeat when the peer's timer says so */
}

void model_timers_ask(struct synod_core *core)
{
	core->need_deadline_ns = model_now_ns;
}

void model_timers_repeat(struct synod_core *core)
{
	core->heartbeat_ns_next = model_now_ns;
	core->handover_ns_next = model_now_ns;
	core->read_ns_next = model_now_ns;
	if (core->retry_deadline_ns != core->election_deadline_ns)
		core->retry_deadline_ns = model_now_ns;
	for (uint32_t i = 1; i <= core->config.replicas; i++)
		core->peers[i].resend_ns = model_now_ns;
}

void model_timers_lapse(struct synod_core *core)
{
	core->handover_deadline_ns = model_now_ns;
}

static uint64_t shifted(uint64_t ticket, uint64_t durable)
{
	return ticket > durable ? ticket - durable : 0;
}

static void canonical_tickets(struct synod_core *core)
{
	uint64_t durable = core->ticket_durable;

	core->ticket_promised = shifted(core->ticket_promised, durable);
	core->ticket_last = shifted(core->ticket_last, durable);
	core->ticket_durable = 0;
	for (uint32_t i = 0; i < MODEL_PLACES; i++)
		core->slots[i].ticket = shifted(core->slots[i].ticket, durable);
}

/* Each handle in the ring is one that was given, and stands there once; none that was is lost. */
static uint32_t renamed(struct model *model, uint32_t *contents, uint32_t handle, uint32_t name)
{
	struct model_replica *replica = &model->replica;

	if (!handle)
		return 0;
	if (handle >= MODEL_HANDLES || !replica->live[handle]) {
		model_fault(model, "contract: the core keeps handle %u, which it released%s",
			    handle, handle < MODEL_HANDLES ? "" : " or never got");
		return 0;
	}
	replica->live[handle] = 0;
	contents[name] = replica->contents[handle];
	return name;
}

static void canonical_handles(struct model *model)
{
	struct model_replica *replica = &model->replica;
	uint32_t contents[MODEL_HANDLES] = { 0 };

	for (uint32_t i = 0; i < MODEL_PLACES; i++) {
		struct synod_core_slot *place = &replica->core.slots[i];

		place->value.handle = renamed(model, contents, place->value.handle, 2 * i + 1);
		place->found.handle = renamed(model, contents, place->found.handle, 2 * i + 2);
	}
	for (uint32_t handle = 1; handle < MODEL_HANDLES; handle++)
		if (replica->live[handle])
			model_fault(model, "contract: handle %u is lost: not kept, not released",
				    handle);
	memcpy(replica->contents, contents, sizeof(contents));
	for (uint32_t i = 0; i < MODEL_PLACES; i++) {
		replica->live[2 * i + 1] = replica->core.slots[i].value.handle != 0;
		replica->live[2 * i + 2] = replica->core.slots[i].found.handle != 0;
	}
	replica->live[MODEL_HANDLE_NEW] = 0;
}

void model_pack_canonical(struct model *model)
{
	canonical_time(&model->replica.core);
	canonical_tickets(&model->replica.core);
	canonical_handles(model);
}

static int is_zero(const void *bytes, size_t size)
{
	static const uint8_t zero[256];

	synod_assert(size <= sizeof(zero));
	return memcmp(bytes, zero, size) == 0;
}

uint32_t model_pack(struct model *model)
{
	const struct model_replica *replica = &model->replica;
	const struct model_disk *disk = &replica->disk;
	const struct synod_core *core = &replica->core;
	struct head head = { .past = replica->past,
			     .promised = disk->promised,
			     .accepted_max = disk->accepted_max,
			     .hint = disk->hint,
			     .pending_count = disk->pending_count };
	static struct packed packed;

	for (uint32_t i = 0; i < MODEL_PLACES; i++) {
		if (disk->records[i].ballot)
			head.records = i + 1;
		if (!is_zero(&core->slots[i], sizeof(core->slots[i])))
			head.places = i + 1;
	}
	packed.size = 0;
	put(&packed, &head, sizeof(head));
	put(&packed, disk->records, head.records * sizeof(disk->records[0]));
	put(&packed, disk->pending, head.pending_count * sizeof(disk->pending[0]));
	put(&packed, core, HEAD_SIZE);
	put(&packed, &core->peers[1], core->config.replicas * sizeof(core->peers[0]));
	put(&packed, core->slots, head.places * sizeof(core->slots[0]));
	put(&packed, &replica->contents[1], 2 * head.places * sizeof(replica->contents[0]));
	return model_strings_intern(&model->locals, packed.bytes, packed.size);
}

const struct model_past *model_past_at(const struct model *model, uint32_t local)
{
	const uint8_t *bytes = model_strings_at(&model->locals, local, NULL);

	return (const struct model_past *)(const void *)(bytes + offsetof(struct head, past));
}

static const uint8_t *get(const uint8_t *from, void *to, size_t size)
{
	memcpy(to, from, size);
	return from + size;
}

void model_unpack(struct model *model, uint32_t local)
{
	struct model_replica *replica = &model->replica;
	struct model_disk *disk = &replica->disk;
	struct synod_core *core = &replica->core;
	const uint8_t *from = model_strings_at(&model->locals, local, NULL);
	struct head head;

	from = get(from, &head, sizeof(head));
	replica->past = head.past;
	memset(disk, 0, sizeof(*disk));
	disk->promised = head.promised;
	disk->accepted_max = head.accepted_max;
	disk->hint = head.hint;
	disk->pending_count = head.pending_count;
	from = get(from, disk->records, head.records * sizeof(disk->records[0]));
	from = get(from, disk->pending, head.pending_count * sizeof(disk->pending[0]));
	memset(core, 0, offsetof(struct synod_core, slots) + MODEL_PLACES * sizeof(core->slots[0]));
	from = get(from, core, HEAD_SIZE);
	from = get(from, &core->peers[1], core->config.replicas * sizeof(core->peers[0]));
	from = get(from, core->slots, head.places * sizeof(core->slots[0]));
	memset(replica->contents, 0, sizeof(replica->contents));
	(void)get(from, &replica->contents[1], 2 * head.places * sizeof(replica->contents[0]));
	for (uint32_t i = 0; i < MODEL_PLACES; i++) {
		replica->live[2 * i + 1] = core->slots[i].value.handle != 0;
		replica->live[2 * i + 2] = core->slots[i].found.handle != 0;
	}
	replica->live[MODEL_HANDLE_NEW] = 0;
}

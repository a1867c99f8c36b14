/* SPDX-License-Identifier: BSD-3-Clause */
/* See world.h. */
#include "tests/script/world.h"

#include "engine/base/assert.h"

#include <stdarg.h>
#include <string.h>

#define WORLD_MS 1000000ull

static const char *const role_names[] = { "follower", "canvasser", "candidate", "leader" };

static void say(const struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct world *world, const char *format, ...)
{
	va_list arguments;

	if (world->quiet)
		return;
	va_start(arguments, format);
	vfprintf(world->out, format, arguments);
	va_end(arguments);
}

static void say_ballot(const struct world *world, uint64_t ballot)
{
	say(world, "%llu.%u", (unsigned long long)(ballot >> 8), (unsigned int)ballot & 0xff);
}

static uint32_t name_of(const struct world *world, const struct synod_value *value)
{
	synod_assert(value->handle < WORLD_HANDLES_MAX);
	synod_assert(value->handle == 0 || world->handle_live[value->handle]);
	return value->handle ? world->handle_name[value->handle] : 0;
}

static struct synod_value value_make(struct world *world, uint32_t name)
{
	uint32_t handle;

	if (name == 0)
		return (struct synod_value){ 0 };
	handle = ++world->handles_count;
	synod_assert(handle < WORLD_HANDLES_MAX);
	world->handle_name[handle] = name;
	world->handle_live[handle] = 1;
	return (struct synod_value){ .handle = handle, .size = 32, .count = 1, .crc = name };
}

/* ---- what a message says ------------------------------------------------------------------- */

static void say_slots(const struct world *world, const struct synod_message *message)
{
	if (message->argument == UINT64_MAX)
		say(world, " slots %llu..", (unsigned long long)message->slot);
	else
		say(world, " slots %llu..%llu", (unsigned long long)message->slot,
		    (unsigned long long)message->argument);
	if (!message->has_value)
		say(world,
		    message->flags & SYNOD_FLAG_BEHIND ? ": no longer in memory" : ": nothing");
}

static void say_body(const struct world *world, const struct synod_message *message)
{
	switch (message->type) {
	case SYNOD_CANVASS:
	case SYNOD_PREPARE:
		say(world, " from slot %llu", (unsigned long long)message->slot);
		break;
	case SYNOD_PROMISE:
		say_slots(world, message);
		break;
	case SYNOD_ACCEPT:
	case SYNOD_LEARN:
		say(world, " slot %llu", (unsigned long long)message->slot);
		break;
	case SYNOD_ACCEPTED:
		say(world, " through %llu", (unsigned long long)message->slot);
		for (unsigned int i = 0; i < 64; i++)
			if (message->argument >> i & 1)
				say(world, " and %llu", (unsigned long long)message->slot + 1 + i);
		break;
	case SYNOD_HEARTBEAT:
		say(world, " proposed %llu", (unsigned long long)message->slot);
		break;
	case SYNOD_NEED:
		say(world, " from slot %llu", (unsigned long long)message->slot);
		break;
	case SYNOD_CONFIRM:
	case SYNOD_CONFIRMED:
		say(world, " round %llu", (unsigned long long)message->argument);
		break;
	case SYNOD_JOIN:
		say(world, " as incarnation %llu", (unsigned long long)message->argument);
		break;
	case SYNOD_JOINED:
		say(world, " %llu: has slots through %llu, %s",
		    (unsigned long long)message->argument, (unsigned long long)message->slot,
		    message->flags & SYNOD_FLAG_VOTER ? "votes" : "does not vote");
		break;
	case SYNOD_REJECT:
		say(world, ": promised ");
		say_ballot(world, message->argument);
		break;
	default:
		break;
	}
}

static void say_message(const struct world *world, const struct synod_message *message,
			uint32_t name)
{
	say(world, "%u -> %u  %s ", message->from, message->to,
	    synod_wire_type_name(message->type));
	say_ballot(world, message->ballot);
	say_body(world, message);
	if (message->has_value) {
		if (message->type == SYNOD_PROMISE)
			say(world, ": slot %llu at ", (unsigned long long)message->value_slot);
		if (message->type == SYNOD_PROMISE)
			say_ballot(world, message->value_ballot);
		say(world, " = %s%s", world->names[name],
		    message->value_flags & SYNOD_ENTRY_CHOSEN ? " (chosen)" : "");
	}
	say(world, ", chosen %llu\n", (unsigned long long)message->chosen_through);
}

/* ---- what a step did ----------------------------------------------------------------------- */

static void carry_send(struct world *world, const struct synod_message *message)
{
	uint32_t name = name_of(world, &message->value);

	if (world->cut[message->from][message->to])
		return;
	say(world, "  ");
	say_message(world, message, name);
	synod_assert(world->messages_count < WORLD_MESSAGES_MAX);
	world->messages[world->messages_count++] =
		(struct world_message){ .message = *message, .name = name, .in_flight = 1 };
}

static void carry_write(struct world *world, struct world_replica *replica,
			const struct synod_core_write *write)
{
	struct world_write *kept;

	synod_assert(write->ticket == replica->ticket_issued + 1);
	replica->ticket_issued = write->ticket;
	kept = &replica->writes[write->ticket % WORLD_WRITES_MAX];
	kept->write = *write;
	kept->name = name_of(world, &write->value);
	say(world, "  %u writes ", replica->id);
	if (write->kind == SYNOD_WRITE_OF_PROMISE) {
		say(world, "promise ");
		say_ballot(world, write->ballot);
	} else if (write->kind == SYNOD_WRITE_OF_STANDING) {
		say(world, "that it votes");
	} else {
		say(world, "slot %llu at ", (unsigned long long)write->slot);
		say_ballot(world, write->ballot);
		say(world, " = %s%s", world->names[kept->name], write->chosen ? " (chosen)" : "");
	}
	say(world, "\n");
}

static void carry_read(struct world *world, const struct world_replica *replica,
		       const struct synod_core_read *read)
{
	const struct world_record *record = &replica->records[read->slot];
	struct synod_message learn = { .type = SYNOD_LEARN,
				       .from = (uint8_t)replica->id,
				       .to = (uint8_t)read->to,
				       .has_value = 1,
				       .ballot = record->ballot,
				       .slot = read->slot,
				       .chosen_through = replica->chosen_last,
				       .value_slot = read->slot,
				       .value_ballot = record->ballot,
				       .value_flags = SYNOD_ENTRY_CHOSEN };

	if (record->ballot == 0) {
		synod_assert(read->slot <= replica->snapshot);
		say(world, "  %u has slot %llu no longer: offers %u its snapshot\n", replica->id,
		    (unsigned long long)read->slot, read->to);
		return;
	}
	say(world, "  %u reads slot %llu back\n", replica->id, (unsigned long long)read->slot);
	learn.value = value_make(world, record->name);
	carry_send(world, &learn);
}

static void carry_chosen(struct world *world, struct world_replica *replica)
{
	if (world->fx.chosen_first > world->fx.chosen_last)
		return;
	say(world, "  %u knows chosen:", replica->id);
	for (uint64_t slot = world->fx.chosen_first; slot <= world->fx.chosen_last; slot++)
		say(world, " %llu=%s", (unsigned long long)slot,
		    world->names[name_of(world, synod_core_value(&replica->core, slot))]);
	say(world, "\n");
	replica->chosen_last = world->fx.chosen_last;
}

static void step(struct world *world, struct world_replica *replica, struct synod_event *event)
{
	struct synod_effects *fx = &world->fx;
	uint32_t role = replica->core.role;
	uint32_t standing = replica->core.standing;

	event->now_ns = world->now_ns;
	synod_core_step(&replica->core, event, fx);
	if (fx->dropped)
		say(world, "  %u drops it: %s\n", replica->id,
		    synod_counter_sentence((enum synod_counter)fx->dropped));
	if (fx->refused)
		say(world, "  %u refuses: %s\n", replica->id, synod_status_name(fx->refused));
	if (replica->core.role != role) {
		say(world, "  %u is now %s of ", replica->id, role_names[replica->core.role]);
		say_ballot(world, replica->core.ballot);
		say(world, "\n");
	}
	if (replica->core.standing != standing)
		say(world, "  %u votes from now on\n", replica->id);
	for (uint32_t i = 0; i < fx->sends_count; i++)
		carry_send(world, &fx->sends[i]);
	for (uint32_t i = 0; i < fx->writes_count; i++)
		carry_write(world, replica, &fx->writes[i]);
	for (uint32_t i = 0; i < fx->reads_count; i++)
		carry_read(world, replica, &fx->reads[i]);
	carry_chosen(world, replica);
	if (fx->read_through && fx->read_status)
		say(world, "  %u refuses reads through %llu: %s\n", replica->id,
		    (unsigned long long)fx->read_through, synod_status_name(fx->read_status));
	else if (fx->read_through)
		say(world, "  %u may serve reads through %llu once it executed slot %llu\n",
		    replica->id, (unsigned long long)fx->read_through,
		    (unsigned long long)fx->read_slot);
	for (uint32_t i = 0; i < fx->released_count; i++) {
		synod_assert(world->handle_live[fx->released[i]]);
		world->handle_live[fx->released[i]] = 0;
	}
	replica->deadline_ns = fx->deadline_ns;
}

/* One event; what it chose is executed at once, which is an event again. */
static void run(struct world *world, struct world_replica *replica, struct synod_event event)
{
	step(world, replica, &event);
	while (replica->applied < replica->chosen_last) {
		struct synod_event applied = { .kind = SYNOD_EVENT_APPLIED,
					       .slot = replica->chosen_last };

		replica->applied = replica->chosen_last;
		step(world, replica, &applied);
	}
}

/* ---- commands ------------------------------------------------------------------------------ */

static void recover(struct world *world, struct world_replica *replica)
{
	uint64_t first = replica->hint > 4 ? replica->hint - 4 : 1;

	synod_core_recover(&replica->core, replica->promised, replica->hint);
	for (uint64_t slot = first; slot < WORLD_SLOTS_MAX; slot++) {
		const struct world_record *record = &replica->records[slot];
		struct synod_core_recovered recovered = { .slot = slot,
							  .ballot = record->ballot,
							  .chosen = record->chosen };

		if (!record->ballot)
			continue;
		recovered.value = value_make(world, record->name);
		synod_core_recover_slot(&replica->core, &recovered);
	}
}

void world_boot(struct world *world, uint32_t id)
{
	struct world_replica *replica = &world->replicas[id];
	struct synod_core_config config = { .replica = id,
					    .replicas = world->replicas_count,
					    .voters = world->shape.voters,
					    .quorum_prepare = world->shape.quorum_prepare,
					    .quorum_accept = world->shape.quorum_accept,
					    .seed = 1,
					    .election_ns = 100 * WORLD_MS,
					    .heartbeat_ns = 20 * WORLD_MS,
					    .retransmit_ns = 30 * WORLD_MS,
					    .window = world->window,
					    .inflight = world->window / 2 };

	config.priorities[world->shape.prefer] = world->shape.prefer != 0;
	replica->id = id;
	replica->up = 1;
	replica->life++;
	replica->ticket_issued = 0;
	replica->ticket_durable = 0;
	replica->read_last = 0;
	synod_core_init(&replica->core, &config, world->now_ns);
	recover(world, replica);
	synod_core_stand(&replica->core, (enum synod_standing)replica->standing,
			 replica->incarnation);
	replica->chosen_last = replica->hint;
	replica->applied = replica->hint;
	replica->deadline_ns = replica->core.election_deadline_ns;
	if (replica->life > 1) {
		say(world, "  %u starts: promised ", id);
		say_ballot(world, replica->promised);
		say(world, ", knows chosen through %llu\n", (unsigned long long)replica->hint);
	}
}

void world_start(struct world *world, const struct world_shape *shape)
{
	FILE *out = world->out;

	memset(world, 0, sizeof(*world));
	world->out = out;
	world->shape = *shape;
	world->replicas_count = shape->replicas;
	world->window = shape->window;
	world->now_ns = WORLD_MS;
	memcpy(world->names[0], "no-op", 6);
	for (uint32_t id = 1; id <= shape->replicas; id++)
		world_boot(world, id);
}

void world_crash(struct world *world, uint32_t id)
{
	struct world_replica *replica = &world->replicas[id];

	say(world, "  %u loses %llu writes\n", id,
	    (unsigned long long)(replica->ticket_issued - replica->ticket_durable));
	replica->up = 0;
}

void world_submit(struct world *world, uint32_t id, const char *name)
{
	uint32_t at = 1;

	while (at <= world->names_count && strcmp(world->names[at], name) != 0)
		at++;
	synod_assert(at < WORLD_NAMES_MAX);
	if (at > world->names_count) {
		world->names_count = at;
		snprintf(world->names[at], WORLD_NAME_SIZE, "%s", name);
	}
	run(world, &world->replicas[id],
	    (struct synod_event){ .kind = SYNOD_EVENT_SUBMIT, .value = value_make(world, at) });
}

void world_handover(struct world *world, uint32_t id, uint32_t to)
{
	run(world, &world->replicas[id],
	    (struct synod_event){ .kind = SYNOD_EVENT_HANDOVER, .replica = to });
}

void world_read(struct world *world, uint32_t id)
{
	run(world, &world->replicas[id],
	    (struct synod_event){ .kind = SYNOD_EVENT_READ,
				  .token = ++world->replicas[id].read_last });
}

void world_snapshot(struct world *world, uint32_t id)
{
	struct world_replica *replica = &world->replicas[id];

	replica->snapshot = replica->applied;
	for (uint64_t slot = 1; slot <= replica->snapshot; slot++)
		replica->records[slot] = (struct world_record){ 0 };
	say(world, "  %u has a snapshot through %llu\n", id, (unsigned long long)replica->snapshot);
}

void world_install(struct world *world, uint32_t id, uint32_t from)
{
	struct world_replica *replica = &world->replicas[id];

	replica->snapshot = world->replicas[from].snapshot;
	for (uint64_t slot = 1; slot <= replica->snapshot; slot++)
		replica->records[slot] = (struct world_record){ 0 };
	if (replica->hint < replica->snapshot)
		replica->hint = replica->snapshot;
	replica->applied = replica->snapshot;
	if (replica->chosen_last < replica->snapshot)
		replica->chosen_last = replica->snapshot;
	run(world, replica,
	    (struct synod_event){ .kind = SYNOD_EVENT_INSTALLED, .slot = replica->snapshot });
}

void world_wipe(struct world *world, uint32_t id)
{
	struct world_replica *replica = &world->replicas[id];

	replica->promised = 0;
	replica->hint = 0;
	replica->snapshot = 0;
	memset(replica->records, 0, sizeof(replica->records));
	replica->incarnation++;
	replica->standing = SYNOD_STANDING_JOINING;
	(void)world_drop(world, id, 0, 0);
}

void world_mute(struct world *world, uint32_t id)
{
	world->replicas[id].standing = SYNOD_STANDING_MUTE;
}

void world_vouch(struct world *world, uint32_t id)
{
	run(world, &world->replicas[id], (struct synod_event){ .kind = SYNOD_EVENT_VOUCHED });
}

void world_lost(struct world *world, uint32_t id, uint32_t peer)
{
	run(world, &world->replicas[id],
	    (struct synod_event){ .kind = SYNOD_EVENT_LOST, .replica = peer });
}

void world_tick(struct world *world, uint32_t id)
{
	if (world->replicas[id].deadline_ns > world->now_ns)
		world->now_ns = world->replicas[id].deadline_ns;
	run(world, &world->replicas[id], (struct synod_event){ .kind = SYNOD_EVENT_TICK });
}

static void make_durable(struct world_replica *replica, const struct world_write *kept)
{
	struct world_record *record = &replica->records[kept->write.slot];

	if (kept->write.chosen_through > replica->hint)
		replica->hint = kept->write.chosen_through;
	if (kept->write.kind == SYNOD_WRITE_OF_PROMISE) {
		replica->promised = kept->write.ballot;
		return;
	}
	if (kept->write.kind == SYNOD_WRITE_OF_STANDING) {
		replica->standing = SYNOD_STANDING_VOTES;
		return;
	}
	synod_assert(kept->write.slot < WORLD_SLOTS_MAX);
	*record = (struct world_record){ .ballot = kept->write.ballot,
					 .name = kept->name,
					 .chosen = kept->write.chosen };
}

void world_durable(struct world *world, uint32_t id, uint64_t count)
{
	struct world_replica *replica = &world->replicas[id];
	uint64_t left = replica->ticket_issued - replica->ticket_durable;

	if (count == 0 || count > left)
		count = left;
	while (count--)
		make_durable(replica,
			     &replica->writes[++replica->ticket_durable % WORLD_WRITES_MAX]);
	run(world, replica,
	    (struct synod_event){ .kind = SYNOD_EVENT_DURABLE, .ticket = replica->ticket_durable });
}

static int is_meant(const struct world_message *message, uint32_t from, uint32_t to,
		    unsigned int type)
{
	return message->in_flight && (!from || message->message.from == from) &&
	       (!to || message->message.to == to) && (!type || message->message.type == type);
}

static void deliver_one(struct world *world, const struct world_message *sent)
{
	struct synod_message message = sent->message;

	if (message.has_value)
		message.value = value_make(world, sent->name);
	say_message(world, &sent->message, sent->name);
	if (world->replicas[message.to].up)
		run(world, &world->replicas[message.to],
		    (struct synod_event){ .kind = SYNOD_EVENT_MESSAGE, .message = &message });
}

uint32_t world_deliver(struct world *world, uint32_t from, uint32_t to, unsigned int type)
{
	uint32_t count = world->messages_count; /* what is sent meanwhile waits */
	uint32_t delivered = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!is_meant(&world->messages[i], from, to, type))
			continue;
		world->messages[i].in_flight = 0;
		deliver_one(world, &world->messages[i]);
		delivered++;
	}
	return delivered;
}

uint32_t world_drop(struct world *world, uint32_t from, uint32_t to, unsigned int type)
{
	uint32_t dropped = 0;

	for (uint32_t i = 0; i < world->messages_count; i++) {
		dropped += is_meant(&world->messages[i], from, to, type) != 0;
		if (is_meant(&world->messages[i], from, to, type))
			world->messages[i].in_flight = 0;
	}
	return dropped;
}

uint32_t world_copy(struct world *world, uint32_t from, uint32_t to, unsigned int type)
{
	uint32_t count = world->messages_count;
	uint32_t copied = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!is_meant(&world->messages[i], from, to, type))
			continue;
		synod_assert(world->messages_count < WORLD_MESSAGES_MAX);
		world->messages[world->messages_count++] = world->messages[i];
		copied++;
	}
	return copied;
}

void world_settle(struct world *world)
{
	int moved = 1;

	world->quiet++;
	while (moved) {
		moved = world_deliver(world, 0, 0, 0) != 0;
		for (uint32_t id = 1; id <= world->replicas_count; id++) {
			const struct world_replica *replica = &world->replicas[id];

			if (!replica->up || replica->ticket_issued == replica->ticket_durable)
				continue;
			world_durable(world, id, 0);
			moved = 1;
		}
	}
	world->quiet--;
	world->messages_count = 0;
}

static void show_replica(const struct world *world, const struct world_replica *replica)
{
	const struct synod_core *core = &replica->core;

	say(world, "  %u %s of ", replica->id, role_names[core->role]);
	say_ballot(world, core->ballot);
	say(world, ", promised ");
	say_ballot(world, core->promised);
	say(world, ", chosen through %llu:", (unsigned long long)core->chosen_through);
	for (uint64_t slot = 1; slot <= core->slot_last; slot++) {
		const struct synod_core_slot *place = &core->slots[slot & (world->window - 1)];

		if (place->slot != slot || place->ballot == 0)
			continue;
		say(world, " %llu=%s", (unsigned long long)slot,
		    world->names[name_of(world, &place->value)]);
		if (place->chosen)
			continue;
		say(world, "@");
		say_ballot(world, place->ballot);
	}
	say(world, "\n");
}

void world_show(struct world *world)
{
	for (uint32_t id = 1; id <= world->replicas_count; id++) {
		if (world->replicas[id].up)
			show_replica(world, &world->replicas[id]);
		else
			say(world, "  %u is down\n", id);
	}
}

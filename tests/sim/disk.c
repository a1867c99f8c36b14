/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A simulated journal: writes by ticket, completed late and out of order, and the image that is
 * left when the replica crashes.
 *
 *   ticket     1   2   3   4   5   6
 *   completed  x   x       x           -> durable through 2
 *
 * Up to the durable prefix nothing is ever lost. Beyond it a crash decides: a prefix of what was
 * under way survives, or (a seed in two) each write by itself, with holes. What survives then
 * counts as read by the recovery: it is durable from then on.
 *
 * The image is what the observer judges messages by (I4), not the core's memory.
 */
#include "engine/journal/format.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static struct sim_write *pending_at(struct sim_disk *disk, uint64_t ticket)
{
	return &disk->pending[ticket & (SIM_PENDING_MAX - 1)];
}

void sim_disk_reset(struct sim_disk *disk)
{
	struct sim_record *durable = disk->durable;
	struct sim_record *issued = disk->issued;
	struct sim_write *pending = disk->pending;
	uint64_t capacity = disk->slots_capacity;

	if (capacity) {
		memset(durable, 0, capacity * sizeof(*durable));
		memset(issued, 0, capacity * sizeof(*issued));
	}
	if (!pending)
		pending = calloc(SIM_PENDING_MAX, sizeof(*pending));
	if (!pending)
		abort();
	memset(disk, 0, sizeof(*disk));
	disk->durable = durable;
	disk->issued = issued;
	disk->pending = pending;
	disk->slots_capacity = capacity;
}

void sim_disk_reserve(struct sim_disk *disk, uint64_t slot)
{
	uint64_t capacity = disk->slots_capacity;

	if (slot < capacity)
		return;
	disk->durable = sim_grow(disk->durable, &capacity, slot, sizeof(*disk->durable));
	capacity = disk->slots_capacity;
	disk->issued = sim_grow(disk->issued, &capacity, slot, sizeof(*disk->issued));
	disk->slots_capacity = capacity;
}

const struct sim_record *sim_disk_durable(const struct sim_disk *disk, uint64_t slot)
{
	const struct sim_record *record;

	if (slot >= disk->slots_capacity)
		return NULL;
	record = &disk->durable[slot];
	return record->ballot ? record : NULL;
}

const struct sim_record *sim_disk_issued(const struct sim_disk *disk, uint64_t slot)
{
	const struct sim_record *record;

	if (slot >= disk->slots_capacity)
		return NULL;
	record = &disk->issued[slot];
	return record->ballot ? record : NULL;
}

static void record_put(struct sim_record *record, const struct sim_write *write)
{
	if (record->ballot && !synod_format_later_counts(record->chosen, record->ballot,
							 write->write.chosen, write->write.ballot))
		return;
	record->ballot = write->write.ballot;
	record->content = write->content;
	record->chosen = write->write.chosen;
}

static uint64_t larger(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

static uint64_t done_at(struct sim *sim, const struct sim_disk *disk)
{
	const struct sim_params *params = &sim->params;
	uint64_t at = sim->now + sim_between(sim, params->disk_min, params->disk_max);

	if (sim->phase == SIM_SAFETY && sim_chance(sim, params->disk_slow)) {
		at += sim_below(sim, params->disk_slow_max);
		sim_count(sim, SIM_FAULT_DISK_SLOW);
	}
	if (disk->stuck_until > at) {
		at = disk->stuck_until;
		sim_count(sim, SIM_FAULT_DISK_STUCK);
	}
	return at;
}

void sim_disk_write(struct sim *sim, struct sim_replica *replica,
		    const struct synod_core_write *write, uint32_t content)
{
	struct sim_disk *disk = &replica->disk;
	struct sim_write *pending;

	sim_check(sim, write->ticket == disk->ticket_issued + 1,
		  "tickets have a gap: %llu after %llu", (unsigned long long)write->ticket,
		  (unsigned long long)disk->ticket_issued);
	sim_check(sim, write->ticket - disk->ticket_durable < SIM_PENDING_MAX,
		  "too many writes in flight");
	disk->ticket_issued = write->ticket;
	pending = pending_at(disk, write->ticket);
	*pending = (struct sim_write){ .write = *write, .content = content };
	if (write->kind == SYNOD_WRITE_OF_SLOT) {
		sim_disk_reserve(disk, write->slot);
		record_put(&disk->issued[write->slot], pending);
		disk->issued_slot_last = larger(disk->issued_slot_last, write->slot);
		if (!write->chosen)
			disk->issued_accepted_max =
				larger(disk->issued_accepted_max, write->ballot);
	} else {
		disk->issued_promised = larger(disk->issued_promised, write->ballot);
	}
	sim_queue_push(sim, (struct sim_event){ .at = done_at(sim, disk),
						.kind = SIM_DISK_DONE,
						.who = (uint8_t)replica->id,
						.life = replica->life,
						.a = write->ticket });
}

/* From here on it is on the medium. */
static void make_durable(struct sim *sim, struct sim_replica *replica,
			 const struct sim_write *write)
{
	struct sim_disk *disk = &replica->disk;

	if (write->write.kind == SYNOD_WRITE_OF_SLOT) {
		record_put(&disk->durable[write->write.slot], write);
		disk->slot_last = larger(disk->slot_last, write->write.slot);
		if (!write->write.chosen)
			disk->accepted_max = larger(disk->accepted_max, write->write.ballot);
	} else {
		disk->promised = larger(disk->promised, write->write.ballot);
	}
	sim_observer_durable(sim, replica, &write->write, write->content);
}

void sim_disk_done(struct sim *sim, struct sim_replica *replica, uint64_t ticket)
{
	struct sim_disk *disk = &replica->disk;
	uint64_t before = disk->ticket_durable;

	pending_at(disk, ticket)->done = 1;
	if (ticket != before + 1)
		sim_count(sim, SIM_FAULT_DISK_OUT_OF_ORDER);
	while (disk->ticket_durable < disk->ticket_issued &&
	       pending_at(disk, disk->ticket_durable + 1)->done) {
		struct sim_write *write = pending_at(disk, ++disk->ticket_durable);

		make_durable(sim, replica, write);
		disk->hint = larger(disk->hint, write->write.chosen_through);
	}
	if (disk->ticket_durable == before)
		return;
	sim_tell(sim, "%u disk durable through %llu", replica->id,
		 (unsigned long long)disk->ticket_durable);
	if (!replica->durable_scheduled) {
		replica->durable_scheduled = 1;
		sim_queue_push(sim,
			       (struct sim_event){ .at = sim->now + sim_below(sim, 100 * SIM_US),
						   .kind = SIM_DURABLE,
						   .who = (uint8_t)replica->id,
						   .life = replica->life });
	}
}

/* Does this write, which nobody was told is durable, survive? `prefix`: all before it did. */
static int survives(struct sim *sim, const struct sim_disk *disk, const struct sim_write *write,
		    uint64_t keep, uint64_t index, int holes, int prefix)
{
	if (prefix)
		return holes ? (int)sim_below(sim, 2) : index < keep;
	if (!holes || !sim_below(sim, 2))
		return 0;
	/* The recovery of a journal would not take up a slot so far beyond what it knows. */
	return write->write.kind != SYNOD_WRITE_OF_SLOT ||
	       write->write.slot <= disk->hint + sim->params.window;
}

void sim_disk_crash(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	uint64_t count = disk->ticket_issued - disk->ticket_durable;
	uint64_t keep = sim_below(sim, count + 1);
	int holes = sim_chance(sim, sim->params.hole);
	int prefix = 1;

	for (uint64_t i = 0; i < count; i++) {
		const struct sim_write *write = pending_at(disk, disk->ticket_durable + 1 + i);

		if (!survives(sim, disk, write, keep, i, holes, prefix)) {
			prefix = 0;
			sim_count(sim, SIM_FAULT_WRITE_LOST);
			continue;
		}
		sim_count(sim, prefix ? SIM_FAULT_WRITE_KEPT : SIM_FAULT_WRITE_KEPT_BEHIND_HOLE);
		make_durable(sim, replica, write);
		if (prefix)
			disk->hint = larger(disk->hint, write->write.chosen_through);
	}
	for (uint64_t i = 0; i < count; i++) {
		const struct sim_write *write = pending_at(disk, disk->ticket_durable + 1 + i);

		if (write->write.kind == SYNOD_WRITE_OF_SLOT)
			disk->issued[write->write.slot] = disk->durable[write->write.slot];
	}
	/*
	 * Every group of the journal says what was promised when it was written, so an accepted
	 * record never outlives the promise that it rests on.
	 */
	disk->promised = larger(disk->promised, disk->accepted_max);
	disk->issued_promised = disk->promised;
	disk->issued_accepted_max = disk->accepted_max;
	disk->issued_hint = disk->hint;
	disk->issued_slot_last = disk->slot_last;
	disk->ticket_issued = 0;
	disk->ticket_durable = 0;
	disk->stuck_until = 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operator: `synod repair` of a stopped replica whose journal is corrupt. As the tool does it,
 * by the rules of engine/journal/recovery.h: a new journal with the old promise, the slots that
 * other replicas' journals vouch for, and the other records of the old one. What comes out must
 * imply every promise and every vote that the replica ever gave (I13).
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

/* The new journal, and the looks at the others'. */
static struct sim_replica fresh;
static struct sim_found found[SYNOD_REPLICAS_MAX];
static const struct sim_replica *others[SYNOD_REPLICAS_MAX];

void sim_repair_free(void)
{
	sim_disk_free(&fresh.disk);
	for (int i = 0; i < SYNOD_REPLICAS_MAX; i++)
		free(found[i].index.entries);
}

/* Every other journal that can be read, in any order, corrupt or not. */
static void look_at_others(struct sim *sim, const struct sim_replica *replica,
			   struct synod_repair *repair)
{
	const uint32_t any = (uint32_t)sim_below(sim, sim->params.replicas);
	/* Often only one is at hand, which may lag. */
	const uint32_t most = sim_below(sim, 2) ? 1 : SYNOD_REPLICAS_MAX;

	for (uint32_t i = 0; i < sim->params.replicas; i++) {
		const struct sim_replica *other =
			&sim->replicas[1 + (any + i) % sim->params.replicas];
		struct sim_found *look = &found[repair->others_count];
		enum sim_halt halt;

		if (!look->index.entries)
			look->index.entries =
				calloc(SIM_JOURNAL_SIZE / SYNOD_JOURNAL_SLOT_BYTES + 1,
				       sizeof(*look->index.entries));
		if (!look->index.entries)
			abort();
		if (other == replica || repair->others_count == most)
			continue;
		halt = sim_journal_look(sim, other, 1, look);
		if (halt != SIM_HALT_NONE && halt != SIM_HALT_CORRUPT)
			continue;
		others[repair->others_count] = other;
		repair->others[repair->others_count++] = &look->recovery;
	}
}

/* The disk of the new journal loses nothing: it is written at leisure. */
static void carry_out(struct sim *sim, uint64_t now_ns)
{
	struct synod_writer *writer = &fresh.disk.writer;

	synod_writer_advance(writer, now_ns);
	for (uint32_t i = 0; i < writer->ios_count; i++) {
		const struct synod_writer_io *io = &writer->ios[i];

		sim_disk_write_now(sim, &fresh, io);
		synod_writer_done(writer, io->kind, io->index);
	}
}

static int give(const struct synod_wire_entry *entry, const void *body, uint64_t chosen_through)
{
	struct synod_writer *writer = &fresh.disk.writer;

	return synod_writer_record(writer, writer->ticket_given + 1, entry, body, chosen_through);
}

/* The new journal begins with it. */
static void copy_snapshot(struct sim *sim, const struct sim_replica *old,
			  const struct synod_repair *repair)
{
	const int is_old = repair->base_from == SYNOD_REPAIR_FROM_OLD;
	const struct synod_journal_recovery *from =
		is_old ? repair->old : repair->others[repair->base_from];
	const struct sim_disk *disk = is_old ? &old->disk : &others[repair->base_from]->disk;
	struct synod_writer *writer = &fresh.disk.writer;

	sim_check(sim,
		  synod_writer_snapshot(writer, repair->base, disk->image + from->snapshot_offset,
					from->snapshot_size) == 0,
		  "the repaired journal of replica %u takes no snapshot", old->id);
	for (int i = 0; i < 1000 && synod_writer_snapshot_busy(writer); i++)
		carry_out(sim, sim->now);
	sim_check(sim, !synod_writer_snapshot_busy(writer),
		  "the repaired journal of replica %u does not finish its snapshot", old->id);
	if (repair->old->snapshot_faulty)
		sim_count(sim, SIM_FAULT_DISK_SNAPSHOT_REPAIRED);
}

static void copy_slot(struct sim *sim, const struct sim_replica *old,
		      const struct synod_repair_copy *copy)
{
	const int chosen = copy->from != SYNOD_REPAIR_FROM_OLD;
	const struct synod_format_record *record;
	struct synod_wire_entry entry;
	int result = chosen ? sim_journal_record(&others[copy->from]->disk, &found[copy->from],
						 copy->slot, &record)
			    : sim_journal_record(&old->disk, &old->disk.found, copy->slot, &record);

	if (result && copy->optional)
		return; /* it has none */
	sim_check(sim, result == 0, "I8: there is no record of chosen slot %llu",
		  (unsigned long long)copy->slot);
	entry = record->entry;
	if (chosen)
		entry.flags |= SYNOD_ENTRY_CHOSEN;
	result = give(&entry, record + 1, copy->chosen_through);
	/* A ring has no room for a group of each. */
	if (!sim->params.ring || result)
		carry_out(sim, sim->now);
	if (result)
		result = give(&entry, record + 1, copy->chosen_through);
	sim_check(sim, result == 0, "the repaired journal of replica %u is full", old->id);
}

/*
 * The new record binds as much as the old one: the same, or chosen, or of a higher ballot, at which
 * the replica voted later (in a write that no image of the disk counts, as it was under way).
 */
static int is_implied(struct sim *sim, uint64_t slot, const struct sim_record *was,
		      const struct sim_record *is)
{
	const struct sim_slot *state = sim_observer_slot(sim, slot);

	if (!is)
		return 0;
	if (state->is_chosen && state->chosen == is->content)
		return 1;
	if (is->chosen || is->ballot < was->ballot)
		return 0;
	(void)sim_observer_proposal(sim, slot, is->ballot, is->content); /* I2 */
	return is->ballot > was->ballot || is->content == was->content;
}

/* I13: every promise and every vote of the old journal, readable there or not, still binds. */
static void check_implied(struct sim *sim, const struct sim_replica *replica)
{
	const struct sim_disk *old = &replica->disk;

	sim_check(sim,
		  fresh.disk.promised >= old->promised && fresh.disk.promised >= old->accepted_max,
		  "I13: repair of replica %u forgets promise %llx", replica->id,
		  (unsigned long long)old->promised);
	for (uint64_t slot = 1; slot <= old->slot_last; slot++) {
		const struct sim_record *was = sim_disk_durable(old, slot);
		const struct sim_record *is = sim_disk_durable(&fresh.disk, slot);

		sim_check(sim, !was || is_implied(sim, slot, was, is),
			  "I13: repair of replica %u forgets its vote for slot %llu", replica->id,
			  (unsigned long long)slot);
	}
}

static void write_fresh(struct sim *sim, const struct sim_replica *old, struct synod_repair *repair)
{
	struct synod_repair_copy copy;

	fresh.id = old->id;
	fresh.up = 0;
	fresh.disks = old->disks;
	fresh.joins = (uint32_t)sim_disk_joins(&old->disk);
	sim_disk_format(sim, &fresh, old->disk.size, &old->disk.found.recovery.identity.known);
	fresh.disk.rolled = old->disk.rolled;
	sim_check(sim, sim_journal_open(sim, &fresh, 1) == SIM_HALT_NONE,
		  "a new journal cannot be opened");
	if (repair->base)
		copy_snapshot(sim, old, repair);
	if (repair->old->promised) {
		sim_check(sim,
			  synod_writer_promise(&fresh.disk.writer, 1, repair->old->promised, 0) ==
				  0,
			  "a new journal takes no promise");
		carry_out(sim, sim->now);
	}
	while (synod_repair_next(repair, &copy))
		copy_slot(sim, old, &copy);
	for (int i = 0; i < 4; i++) /* the second pair, and a marker */
		carry_out(sim, UINT64_MAX);
	sim_check(sim, fresh.disk.writer.prefix.ticket_durable == fresh.disk.writer.ticket_given,
		  "a new journal does not become durable");
}

int sim_repair(struct sim *sim, struct sim_replica *replica)
{
	enum sim_halt halt = sim_journal_look(sim, replica, 1, &replica->disk.found);
	struct synod_repair repair = { .old = &replica->disk.found.recovery };
	enum synod_repair_verdict verdict;
	struct sim_disk disk;
	uint64_t slot;

	if (halt == SIM_HALT_NONE)
		return 1; /* it was only read wrong */
	if (halt != SIM_HALT_CORRUPT) {
		replica->disk.lost = 1;
		return 0;
	}
	look_at_others(sim, replica, &repair);
	verdict = synod_repair_check(&repair, &slot);
	replica->disk.lost |= verdict == SYNOD_REPAIR_SLOTS_UNKNOWN; /* and will stay so */
	if (verdict != SYNOD_REPAIR_POSSIBLE)
		return 0;
	sim_count(sim, SIM_FAULT_DISK_REPAIRED);
	write_fresh(sim, replica, &repair);
	sim_tell(sim, "%u is repaired from %u others, chosen through %llu", replica->id,
		 repair.others_count, (unsigned long long)repair.chosen);
	check_implied(sim, replica);
	disk = replica->disk;
	replica->disk = fresh.disk;
	fresh.disk = disk;
	return 1;
}

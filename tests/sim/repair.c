/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operator: `synod repair` of a stopped replica whose journal is corrupt. As the tool does it,
 * by the rules of engine/journal/recovery.h: a new journal with the old promise, the slots that
 * another replica's journal knows to be chosen, and the later records of the old one. What comes
 * out must imply every promise and every vote that the replica ever gave (I13).
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

/* The new journal, and the look at the other's. */
static struct sim_replica fresh;
static struct sim_found other_found;

void sim_repair_free(void)
{
	sim_disk_free(&fresh.disk);
	free(other_found.index.entries);
}

/* Whose journal will do? NULL: nobody's, now; *hopeless: and never. */
static struct sim_replica *find_other(struct sim *sim, const struct sim_replica *replica,
				      int *hopeless)
{
	const uint32_t any = (uint32_t)sim_below(sim, sim->params.replicas);
	const struct synod_journal_recovery *old = &replica->disk.found.recovery;

	if (!other_found.index.entries)
		other_found.index.entries = calloc(SIM_JOURNAL_SIZE / SYNOD_JOURNAL_SLOT_BYTES + 1,
						   sizeof(*other_found.index.entries));
	if (!other_found.index.entries)
		abort();
	*hopeless = 0;
	for (uint32_t i = 0; i < sim->params.replicas; i++) {
		struct sim_replica *other = &sim->replicas[1 + (any + i) % sim->params.replicas];
		enum synod_repair_verdict verdict;
		uint64_t slot;

		if (other == replica ||
		    sim_journal_look(sim, other, 1, &other_found) != SIM_HALT_NONE)
			continue;
		verdict = synod_repair_check(old, &other_found.recovery, &slot);
		if (verdict == SYNOD_REPAIR_POSSIBLE)
			return other;
		*hopeless |= verdict == SYNOD_REPAIR_SLOTS_UNKNOWN;
	}
	return NULL;
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

static void copy_slot(struct sim *sim, const struct sim_replica *old,
		      const struct sim_replica *other, uint64_t slot)
{
	const uint64_t known =
		synod_repair_chosen(&old->disk.found.recovery, &other_found.recovery, slot);
	const int chosen = synod_repair_from_other(&other_found.recovery, slot);
	const struct synod_format_record *record;
	struct synod_wire_entry entry;
	int result = chosen ? sim_journal_record(&other->disk, &other_found, slot, &record)
			    : sim_journal_record(&old->disk, &old->disk.found, slot, &record);

	if (result && !chosen)
		return; /* it has none */
	sim_check(sim, result == 0, "I8: replica %u has no record of chosen slot %llu", other->id,
		  (unsigned long long)slot);
	entry = record->entry;
	if (chosen)
		entry.flags |= SYNOD_ENTRY_CHOSEN;
	sim_check(sim,
		  synod_writer_record(&fresh.disk.writer, fresh.disk.writer.ticket_given + 1,
				      &entry, record + 1, known) == 0,
		  "the repaired journal of replica %u is full", old->id);
	carry_out(sim, sim->now);
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
		const struct sim_slot *state = sim_observer_slot(sim, slot);

		sim_check(sim,
			  !was || (is &&
				   ((is->ballot == was->ballot && is->content == was->content) ||
				    (state->is_chosen && state->chosen == is->content))),
			  "I13: repair of replica %u forgets its vote for slot %llu", replica->id,
			  (unsigned long long)slot);
	}
}

static void write_fresh(struct sim *sim, const struct sim_replica *old,
			const struct sim_replica *other)
{
	const struct synod_journal_recovery *found = &old->disk.found.recovery;
	const uint64_t last = synod_repair_last(found, &other_found.recovery);

	fresh.id = old->id;
	fresh.up = 0;
	sim_disk_format(sim, &fresh, old->disk.size);
	sim_check(sim, sim_journal_open(sim, &fresh, 1) == SIM_HALT_NONE,
		  "a new journal cannot be opened");
	if (found->promised) {
		sim_check(sim, synod_writer_promise(&fresh.disk.writer, 1, found->promised, 0) == 0,
			  "a new journal takes no promise");
		carry_out(sim, sim->now);
	}
	for (uint64_t slot = 1; slot <= last; slot++)
		copy_slot(sim, old, other, slot);
	for (int i = 0; i < 4; i++) /* the second pair, and a marker */
		carry_out(sim, UINT64_MAX);
	sim_check(sim, fresh.disk.writer.prefix.ticket_durable == fresh.disk.writer.ticket_given,
		  "a new journal does not become durable");
}

int sim_repair(struct sim *sim, struct sim_replica *replica)
{
	enum sim_halt halt = sim_journal_look(sim, replica, 1, &replica->disk.found);
	struct sim_replica *other;
	struct sim_disk disk;
	int hopeless;

	if (halt == SIM_HALT_NONE)
		return 1; /* it was only read wrong */
	if (halt != SIM_HALT_CORRUPT) {
		replica->disk.lost = 1;
		return 0;
	}
	other = find_other(sim, replica, &hopeless);
	replica->disk.lost |= (uint32_t)hopeless;
	if (!other)
		return 0;
	sim_count(sim, SIM_FAULT_DISK_REPAIRED);
	sim_tell(sim, "%u is repaired from %u, chosen through %llu", replica->id, other->id,
		 (unsigned long long)other_found.recovery.chosen_through);
	write_fresh(sim, replica, other);
	check_implied(sim, replica);
	disk = replica->disk;
	replica->disk = fresh.disk;
	fresh.disk = disk;
	return 1;
}

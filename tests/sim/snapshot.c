/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots: in a quarter of the seeds the journals are small rings, which a run writes over many
 * times; then the state is saved now and then, by the machine's code that ships, put away by the
 * writer that ships, loaded at the next start, and carried to whoever lacks slots that no log holds
 * any more. (It travels whole here, or not at all, or with a bit wrong; how it travels in pieces is
 * engine/journal/fetch.h, which has tests of its own.)
 *
 * Nothing may be written over that one of the superblock's copies still needs (I15): a head that
 * moved too soon shows as a journal that is corrupt without damage, or as a chosen slot without
 * record.
 */
#include "engine/base/crc32c.h"
#include "tests/sim/sim.h"

#include <string.h>

/* Of each replica: what is being saved, or was sent to it. Its process's memory. */
static _Alignas(8) uint8_t images[SYNOD_REPLICAS_MAX + 1][SIM_AREA_SIZE];

/* On the way to a replica; one at a time. */
static struct {
	_Alignas(8) uint8_t bytes[SIM_AREA_SIZE];
	uint64_t slot;
	uint64_t size;
	uint32_t checksum;
} sent[SYNOD_REPLICAS_MAX + 1];

void sim_snapshot_reset(void)
{
	for (uint32_t id = 0; id <= SYNOD_REPLICAS_MAX; id++)
		sent[id].slot = 0;
}

void sim_snapshot_take(struct sim *sim, struct sim_replica *replica)
{
	struct synod_writer *writer = &replica->disk.writer;
	uint64_t size;

	if (!sim->params.ring || replica->installing || synod_writer_snapshot_busy(writer) ||
	    replica->applied <= writer->superblock.want.snapshot_slot)
		return;
	/* Often before it is time. */
	if (!synod_writer_snapshot_wanted(writer) && sim_below(sim, 60))
		return;
	size = synod_apply_save(replica->apply, images[replica->id]);
	sim_check(sim, size <= SIM_AREA_SIZE, "replica %u saves %llu bytes", replica->id,
		  (unsigned long long)size);
	sim_check(sim,
		  synod_writer_snapshot(writer, replica->applied, images[replica->id], size) == 0,
		  "replica %u cannot write a snapshot", replica->id);
	sim_tell(sim, "%u snapshot of slot %llu, %llu bytes", replica->id,
		 (unsigned long long)replica->applied, (unsigned long long)size);
	sim_done(sim, SIM_TRAFFIC_SNAPSHOTS);
	sim_replica_schedule_journal(sim, replica);
}

static void load(struct sim *sim, struct sim_replica *replica, const uint8_t *image, uint64_t size,
		 uint64_t slot)
{
	const struct sim_slot *state = sim_observer_slot(sim, slot);

	sim_apply_start(sim, replica);
	sim_check(sim, synod_apply_load(replica->apply, image, size) == 0,
		  "replica %u cannot load the snapshot of slot %llu", replica->id,
		  (unsigned long long)slot);
	sim_check(sim, synod_apply_slot(replica->apply) == slot,
		  "replica %u loads slot %llu for %llu", replica->id,
		  (unsigned long long)synod_apply_slot(replica->apply), (unsigned long long)slot);
	sim_check(sim, state->is_applied && state->hash == synod_apply_hash(replica->apply),
		  "I7: replica %u differs after the snapshot of slot %llu", replica->id,
		  (unsigned long long)slot);
	replica->applied = slot;
	replica->chosen_last = slot > replica->chosen_last ? slot : replica->chosen_last;
}

void sim_snapshot_load(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_journal_recovery *found = &replica->disk.found.recovery;
	const uint8_t *image = replica->disk.image + found->snapshot_offset;

	if (!found->snapshot_slot)
		return;
	sim_check(sim, synod_crc32c(image, found->snapshot_size) == found->snapshot_checksum,
		  "I13: replica %u: the snapshot of slot %llu is not what was written", replica->id,
		  (unsigned long long)found->snapshot_slot);
	load(sim, replica, image, found->snapshot_size, found->snapshot_slot);
}

/* A peer wants a slot that is gone here. */
void sim_snapshot_offer(struct sim *sim, struct sim_replica *replica, uint32_t to)
{
	const struct synod_writer_snapshot *snapshot = &replica->disk.writer.snapshot;
	uint64_t delay = sim_between(sim, SIM_MS, 60 * SIM_MS);

	if (sent[to].slot || !snapshot->slot_settled)
		return;
	if (sim->phase == SIM_SAFETY && sim_below(sim, 3) == 0)
		return; /* lost; it asks again */
	memcpy(sent[to].bytes, replica->disk.image + snapshot->area_settled,
	       snapshot->size_settled);
	sent[to].slot = snapshot->slot_settled;
	sent[to].size = snapshot->size_settled;
	sent[to].checksum = snapshot->checksum_settled;
	if (sim->phase == SIM_SAFETY && sim_below(sim, 4) == 0)
		sent[to].bytes[sim_below(sim, sent[to].size)] ^= 4;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + delay,
						.kind = SIM_SNAPSHOT,
						.who = (uint8_t)to });
}

void sim_snapshot_arrived(struct sim *sim, struct sim_replica *replica)
{
	struct synod_writer *writer = &replica->disk.writer;
	const uint64_t slot = sent[replica->id].slot;
	const uint64_t size = sent[replica->id].size;
	const int whole = synod_crc32c(sent[replica->id].bytes, size) == sent[replica->id].checksum;

	sent[replica->id].slot = 0;
	if (!replica->up || replica->paused_until > sim->now || !whole)
		return;
	if (replica->installing || synod_writer_snapshot_busy(writer) || slot <= replica->applied ||
	    slot <= writer->superblock.want.snapshot_slot)
		return;
	memcpy(images[replica->id], sent[replica->id].bytes, size);
	sim_check(sim, synod_writer_snapshot(writer, slot, images[replica->id], size) == 0,
		  "replica %u cannot write another's snapshot", replica->id);
	replica->installing = slot;
	replica->installing_size = size;
	sim_tell(sim, "%u takes the snapshot of slot %llu", replica->id, (unsigned long long)slot);
	sim_replica_schedule_journal(sim, replica);
}

void sim_snapshot_install(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_writer *writer = &replica->disk.writer;
	struct synod_event event = { .kind = SYNOD_EVENT_INSTALLED, .slot = replica->installing };

	if (!replica->installing || synod_writer_snapshot_busy(writer))
		return;
	sim_check(sim, writer->snapshot.slot_settled == replica->installing,
		  "replica %u: the snapshot that is settled is of slot %llu", replica->id,
		  (unsigned long long)writer->snapshot.slot_settled);
	replica->installing = 0;
	if (event.slot <= replica->applied)
		return; /* caught up by the log meanwhile */
	load(sim, replica, images[replica->id], replica->installing_size, event.slot);
	sim_done(sim, SIM_TRAFFIC_INSTALLED);
	sim_tell(sim, "%u installs the snapshot of slot %llu", replica->id,
		 (unsigned long long)event.slot);
	sim_replica_step(sim, replica, &event);
}

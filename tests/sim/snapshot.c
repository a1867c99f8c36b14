/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots: in a quarter of the seeds the journals are small rings, which a run writes over many
 * times; then the state is saved now and then, by the machine's code that ships, put away by the
 * writer that ships, loaded at the next start, and carried to whoever lacks slots that no log holds
 * any more. (It travels in a few portions here, or breaks off, or comes with a bit wrong; how it
 * travels in pieces is engine/journal/fetch.h, which has tests of its own.)
 *
 * What has come of it is put away by the writer that ships. Who starts with half of one that is
 * proved must find what was sent to it, byte for byte, and goes on from there.
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
	uint32_t from;
} sent[SYNOD_REPLICAS_MAX + 1];

/* What a replica is receiving: its process's memory, with the image. */
static struct {
	struct synod_fetch_image of; /* slot 0: nothing */
	uint64_t received;
	int waiting; /* 1: nobody is sending it; it gives way to an own one */
} receiving[SYNOD_REPLICAS_MAX + 1];

/* And what came of it last, in this life or another. */
static struct {
	uint8_t bytes[SIM_AREA_SIZE];
	struct synod_fetch_image of;
	uint64_t through; /* bytes */
} came[SYNOD_REPLICAS_MAX + 1];

static uint32_t installing_from[SYNOD_REPLICAS_MAX + 1];

void sim_snapshot_forget(const struct sim_replica *replica)
{
	receiving[replica->id].of.slot = 0;
}

void sim_snapshot_reset(void)
{
	for (uint32_t id = 0; id <= SYNOD_REPLICAS_MAX; id++) {
		sent[id].slot = 0;
		came[id].of.slot = 0;
		receiving[id].of.slot = 0;
	}
}

/* Nothing is received any more. */
static void give_up(struct sim_replica *replica)
{
	if (!receiving[replica->id].of.slot)
		return;
	receiving[replica->id].of.slot = 0;
	synod_writer_partial_forget(&replica->disk.writer);
}

void sim_snapshot_take(struct sim *sim, struct sim_replica *replica)
{
	struct synod_writer *writer = &replica->disk.writer;
	uint64_t size;

	if (!sim->params.ring || replica->installing || synod_writer_snapshot_busy(writer) ||
	    replica->applied <= writer->superblock.want.snapshot_slot)
		return;
	/* As transfer.c: when the journal wants one, or room is short. Often before it is time. */
	if (!synod_writer_snapshot_wanted(writer) &&
	    replica->disk.room >= sim_reserve_leader(sim) && sim_below(sim, 60))
		return;
	if (receiving[replica->id].of.slot && !receiving[replica->id].waiting)
		return; /* the image is in use */
	give_up(replica);
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

/* As engine/host/recover.c does. */
static void load_half(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_journal_recovery *found = &replica->disk.found.recovery;
	const uint32_t id = replica->id;
	const uint8_t *bytes = replica->disk.image + found->partial_offset;
	uint64_t noted = found->partial_received;

	receiving[id].of.slot = 0;
	if (found->partial.slot <= found->chosen_through ||
	    synod_crc32c(bytes, found->partial_received) != found->partial_crc)
		return;
	/* Of what came again, after another image, there may be less than was noted before that. */
	if (noted > came[id].through)
		noted = came[id].through;
	sim_check(sim,
		  !synod_fetch_image_same(&found->partial, &came[id].of) ||
			  memcmp(bytes, came[id].bytes, noted) == 0,
		  "I13: replica %u: half of the snapshot of slot %llu is not what was received", id,
		  (unsigned long long)found->partial.slot);
	memcpy(images[id], bytes, found->partial_received);
	receiving[id].of = found->partial;
	receiving[id].received = found->partial_received;
	receiving[id].waiting = 1;
	synod_writer_partial_found(&replica->disk.writer, images[id]);
	sim_tell(sim, "%u has %llu bytes of the snapshot of slot %llu", id,
		 (unsigned long long)found->partial_received,
		 (unsigned long long)found->partial.slot);
}

void sim_snapshot_load(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_journal_recovery *found = &replica->disk.found.recovery;
	const uint8_t *image = replica->disk.image + found->snapshot_offset;

	load_half(sim, replica);
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
	sent[to].from = replica->id;
	/* At its end, where no half of it is: pieces that are taken are as they were sent. */
	if (sim->phase == SIM_SAFETY && sim_below(sim, 4) == 0)
		sent[to].bytes[sent[to].size - 1 - sim_below(sim, 8)] ^= 4;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + delay,
						.kind = SIM_SNAPSHOT,
						.who = (uint8_t)to });
}

/* Some more of it, or the rest. Returns 1 when all is there. */
static int receive(struct sim *sim, struct sim_replica *replica)
{
	const uint32_t id = replica->id;
	const struct synod_fetch_image of = { .slot = sent[id].slot,
					      .total = sent[id].size,
					      .checksum = sent[id].checksum };
	uint64_t *received = &receiving[id].received;
	uint64_t portion;

	if (!synod_fetch_image_same(&of, &receiving[id].of)) {
		receiving[id].of = of;
		*received = 0;
	} else if (receiving[id].waiting) {
		sim_done(sim, SIM_TRAFFIC_RESUMED);
	}
	receiving[id].waiting = 0;
	if (!synod_fetch_image_same(&of, &came[id].of)) { /* what is there is another's */
		came[id].of = of;
		came[id].through = *received;
		memcpy(came[id].bytes, images[id], *received);
	}
	portion = of.total - *received;
	if (sim_below(sim, 3))
		portion = sim_between(sim, 1, portion);
	memcpy(images[id] + *received, sent[id].bytes + *received, portion);
	memcpy(came[id].bytes + *received, sent[id].bytes + *received, portion);
	*received += portion;
	came[id].through = *received > came[id].through ? *received : came[id].through;
	if (*received == of.total)
		return 1;
	synod_writer_partial(&replica->disk.writer, &of, images[id], *received);
	sim_replica_schedule_journal(sim, replica);
	return 0;
}

static void go_on_later(struct sim *sim, uint32_t to, uint64_t delay)
{
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + delay,
						.kind = SIM_SNAPSHOT,
						.who = (uint8_t)to });
}

void sim_snapshot_arrived(struct sim *sim, struct sim_replica *replica)
{
	struct synod_writer *writer = &replica->disk.writer;
	const uint32_t id = replica->id;
	const uint64_t slot = sent[id].slot;
	const uint64_t size = sent[id].size;

	/* Some of it may have reached the disk: one more crash is well spent here. */
	if ((replica->up || replica->mends) && receiving[id].of.slot && sim->phase == SIM_SAFETY &&
	    sim_below(sim, 4) == 0) {
		replica->mends = 0;
		sim_replica_crash(sim, replica);
	}
	if ((!replica->up && !replica->mends) || replica->paused_until > sim->now) {
		receiving[id].waiting = 1;
		if (sim_below(sim, 8)) {
			/* Whoever sent it has it still. */
			go_on_later(sim, id, sim_between(sim, 100 * SIM_MS, SIM_SECOND));
			return;
		}
		sent[id].slot = 0;
		return;
	}
	if (replica->installing || synod_writer_snapshot_busy(writer) ||
	    slot <= (replica->mends ? synod_mending_has_through(replica->mending)
				    : replica->applied) ||
	    slot <= writer->superblock.want.snapshot_slot) {
		give_up(replica);
		sent[id].slot = 0;
		if (replica->up) /* it may have waited for the image */
			sim_snapshot_take(sim, replica);
		return;
	}
	if (!receive(sim, replica)) {
		go_on_later(sim, id, sim_between(sim, SIM_MS, 60 * SIM_MS));
		return;
	}
	sent[id].slot = 0;
	if (synod_crc32c(images[id], size) != sent[id].checksum) {
		give_up(replica);
		if (replica->up)
			sim_snapshot_take(sim, replica);
		return;
	}
	sim_check(sim, synod_writer_snapshot_foreign(writer, slot, images[id], size) == 0,
		  "replica %u cannot write another's snapshot", id);
	receiving[id].of.slot = 0;
	installing_from[id] = sent[id].from;
	replica->installing = slot;
	replica->installing_size = size;
	sim_tell(sim, "%u takes the snapshot of slot %llu", id, (unsigned long long)slot);
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
	if (replica->mends) {
		sim_mending_cover(sim, replica, event.slot, installing_from[replica->id]);
		return; /* the next start loads it */
	}
	if (event.slot <= replica->applied)
		return; /* caught up by the log meanwhile */
	load(sim, replica, images[replica->id], replica->installing_size, event.slot);
	sim_done(sim, SIM_TRAFFIC_INSTALLED);
	sim_tell(sim, "%u installs the snapshot of slot %llu", replica->id,
		 (unsigned long long)event.slot);
	sim_replica_step(sim, replica, &event);
}

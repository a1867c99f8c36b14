/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The medium: the bytes of a journal file, and the writes that are on their way to it. A write
 * lands whole when it completes, late and in any order; a crash decides for each that is under way:
 * whole, some of its sectors, or nothing. So the image at any instant is what a crash at that
 * instant cannot take away.
 *
 * When a group lands and all before it have, its records join the shadow; when a copy of the
 * superblock lands, its promise does, once two copies say so (any one may be damaged later).
 */
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static uint64_t larger(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

/* Everything is zero again, and the memory is kept for the next seed. */
static void take_memory(struct sim_disk *disk, uint64_t size)
{
	struct sim_disk kept = { .durable = disk->durable,
				 .issued = disk->issued,
				 .slots_capacity = disk->slots_capacity,
				 .image = disk->image,
				 .before = disk->before,
				 .capacity = disk->capacity,
				 .groups = disk->groups,
				 .groups_capacity = disk->groups_capacity,
				 .pending = disk->pending,
				 .memory = disk->memory };

	kept.found.index.entries = disk->found.index.entries;
	if (kept.slots_capacity) {
		memset(kept.durable, 0, kept.slots_capacity * sizeof(*kept.durable));
		memset(kept.issued, 0, kept.slots_capacity * sizeof(*kept.issued));
	}
	kept.found.index.slot_last = disk->found.index.slot_last;
	kept.found.index.slots = disk->found.index.slots;
	if (kept.capacity < size) {
		uint64_t slots = size / SYNOD_JOURNAL_SLOT_BYTES + 1;

		free(kept.image);
		free(kept.before);
		free(kept.found.index.entries);
		/* Grows lazily: what was never written takes no memory. */
		kept.image = must(calloc(1, size));
		kept.before = must(calloc(1, size));
		kept.found.index.entries = must(calloc(slots, sizeof(*kept.found.index.entries)));
		kept.found.index.slot_last = 0;
		kept.capacity = size;
	} else {
		memset(kept.image, 0, disk->touched);
		memset(kept.before, 0, disk->touched);
	}
	if (!kept.pending)
		kept.pending = must(calloc(SIM_PENDING_MAX, sizeof(*kept.pending)));
	if (!kept.memory)
		kept.memory = must(calloc(1, SYNOD_WRITER_MEMORY_SIZE));
	*disk = kept;
	disk->size = size;
}

void sim_disk_format(struct sim *sim, struct sim_replica *replica, uint64_t size,
		     const struct synod_journal_known *known)
{
	struct synod_journal_identity identity = { .cluster = SIM_CLUSTER,
						   .incarnation = 1 + replica->disks,
						   .replica = replica->id,
						   .replicas = sim->params.replicas,
						   .joining = replica->joins };
	struct sim_disk *disk = &replica->disk;
	struct synod_format_superblock superblock;
	struct synod_format_superblock sector;

	if (known)
		identity.known = *known;
	take_memory(disk, size);
	synod_superblock_first(
		&superblock, &identity,
		&(struct synod_superblock_extent){
			.file_size = size, .area_size = sim->params.area_size, .log_end = size },
		synod_random_next(&sim->random));
	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		synod_superblock_encode(&superblock, copy, &sector);
		sim_disk_put(disk, (uint64_t)copy * SYNOD_BLOCK_SIZE, &sector, sizeof(sector));
		sim_disk_copy_landed(sim, replica, &sector);
	}
}

void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from)
{
	struct sim_disk copy = *from;

	if (to == from)
		return;
	take_memory(to, from->size);
	if (from->slots_capacity) {
		sim_disk_reserve(to, from->slots_capacity - 1);
		memcpy(to->durable, from->durable, from->slots_capacity * sizeof(*to->durable));
		memcpy(to->issued, from->issued, from->slots_capacity * sizeof(*to->issued));
	}
	memcpy(to->image, from->image, from->touched);
	memcpy(to->before, from->before, from->touched);
	if (from->groups_last >= to->groups_capacity)
		to->groups = sim_grow(to->groups, &to->groups_capacity, from->groups_last,
				      sizeof(*to->groups));
	if (from->groups)
		memcpy(to->groups, from->groups, (from->groups_last + 1) * sizeof(*to->groups));
	copy.durable = to->durable;
	copy.issued = to->issued;
	copy.slots_capacity = to->slots_capacity;
	copy.image = to->image;
	copy.before = to->before;
	copy.capacity = to->capacity;
	copy.groups = to->groups;
	copy.groups_capacity = to->groups_capacity;
	copy.pending = to->pending;
	copy.memory = to->memory;
	copy.found.index = to->found.index;
	memset(copy.ios, 0, sizeof(copy.ios));
	copy.stuck_until = 0;
	*to = copy;
}

/* Of the newest copy that is whole. */
struct synod_disk sim_disk_known(const struct sim_disk *disk, uint32_t id)
{
	struct synod_disk known = { 0 };
	uint64_t sequence = 0;

	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES && !disk->lost; copy++) {
		if (!(disk->copies_stable & ~disk->copies_damaged & 1u << copy) ||
		    disk->copy_sequence[copy] < sequence)
			continue;
		sequence = disk->copy_sequence[copy];
		known = (struct synod_disk){ disk->copy_known[copy].incarnation[id],
					     disk->copy_known[copy].life[id] };
	}
	return known;
}

/* What a start would read: a copy that was under way in a crash may have come out whole. */
struct synod_disk sim_disk_tells(const struct sim_disk *disk, uint32_t id)
{
	const struct synod_format_superblock *sectors = (const void *)disk->image;
	struct synod_superblock_choice choice;

	synod_superblock_choose(sectors, &choice);
	if (disk->lost || choice.verdict != SYNOD_SUPERBLOCK_FOUND)
		return (struct synod_disk){ 0 };
	return (struct synod_disk){ sectors[choice.copy].known_incarnation[id],
				    sectors[choice.copy].known_life[id] };
}

void sim_disk_free(struct sim_disk *disk)
{
	free(disk->durable);
	free(disk->issued);
	free(disk->image);
	free(disk->before);
	free(disk->groups);
	free(disk->pending);
	free(disk->memory);
	free(disk->found.index.entries);
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

/* The record that counts: what is chosen, else the highest ballot, else the later. */
static void record_put(struct sim_record *record, const struct sim_record *later)
{
	if ((record->chosen && !later->chosen) ||
	    (record->chosen == later->chosen && record->ballot > later->ballot))
		return;
	*record = *later;
}

void sim_disk_issue(struct sim_disk *disk, const struct sim_write *write)
{
	const struct synod_core_write *what = &write->write;
	const struct sim_record record = { .ballot = what->ballot,
					   .content = write->content,
					   .chosen = what->chosen };

	if (what->kind != SYNOD_WRITE_OF_SLOT) {
		disk->issued_promised = larger(disk->issued_promised, what->ballot);
		return;
	}
	sim_disk_reserve(disk, what->slot);
	record_put(&disk->issued[what->slot], &record);
	disk->issued_slot_last = larger(disk->issued_slot_last, what->slot);
	if (!what->chosen)
		disk->issued_accepted_max = larger(disk->issued_accepted_max, what->ballot);
}

void sim_disk_put(struct sim_disk *disk, uint64_t offset, const void *bytes, uint64_t size)
{
	if (offset < disk->touched)
		memcpy(disk->before + offset, disk->image + offset, size);
	memcpy(disk->image + offset, bytes, size);
	disk->touched = larger(disk->touched, offset + size);
}

void sim_disk_tear(struct sim *sim, struct sim_disk *disk, const struct synod_writer_io *io)
{
	const uint8_t *bytes = io->bytes;
	const uint32_t sectors = io->size / SIM_SECTOR;
	/* In order, as far as it came; or some here and some there. */
	const uint32_t first = (uint32_t)sim_below(sim, sectors);
	const int any = (int)sim_below(sim, 2);

	for (uint32_t i = 0; i < sectors; i++)
		if (any ? sim_below(sim, 2) : i < first)
			sim_disk_put(disk, io->offset + (uint64_t)i * SIM_SECTOR,
				     bytes + (size_t)i * SIM_SECTOR, SIM_SECTOR);
}

/* The highest promise of these copies, and the second: what two say outlives the loss of one. */
static uint64_t promise_of_copies(const struct sim_disk *disk, uint32_t copies, uint64_t *second)
{
	uint64_t best = 0;

	*second = 0;

	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		uint64_t promised = disk->copy_promised[copy];

		if (!(copies >> copy & 1))
			continue;
		if (promised > best) {
			*second = best;
			best = promised;
		} else {
			*second = larger(*second, promised);
		}
	}
	return best;
}

/* I3: what was promised is on the medium somewhere else while a copy is written over. */
static void check_promise_kept(struct sim *sim, const struct sim_replica *replica)
{
	uint64_t second;
	uint64_t best = promise_of_copies(
		&replica->disk, replica->disk.copies_stable & ~replica->disk.copies_damaged,
		&second);

	sim_check(sim, larger(best, replica->disk.promised_groups) >= replica->disk.promised,
		  "I3: replica %u writes over the only copies of its promise %llx", replica->id,
		  (unsigned long long)replica->disk.promised);
}

/*
 * Two copies name a snapshot: whatever becomes of one of them, it stands for all slots up to its
 * own, which must have been chosen, as if there were records of them that say so.
 */
void sim_disk_take_snapshot(struct sim *sim, struct sim_replica *replica, uint64_t through)
{
	struct sim_disk *disk = &replica->disk;

	for (uint64_t slot = disk->snapshot_slot + 1; slot <= through; slot++) {
		const struct sim_slot *state = sim_observer_slot(sim, slot);
		const struct sim_record record = { .ballot = state->chosen_ballot,
						   .content = state->chosen,
						   .chosen = 1,
						   .foreign = !sim_disk_issued(disk, slot) &&
							      !sim_disk_durable(disk, slot) };

		sim_check(sim, state->is_chosen,
			  "I15: replica %u has a snapshot of slot %llu, and slot %llu was not "
			  "chosen",
			  replica->id, (unsigned long long)through, (unsigned long long)slot);
		sim_disk_reserve(disk, slot);
		disk->durable[slot] = record;
		disk->issued[slot] = record;
	}
	disk->snapshot_slot = larger(disk->snapshot_slot, through);
	disk->hint = larger(disk->hint, through);
	disk->slot_last = larger(disk->slot_last, through);
	disk->issued_slot_last = larger(disk->issued_slot_last, through);
}

/* The highest snapshot that two of the copies name. */
static uint64_t snapshot_of_copies(const struct sim_disk *disk)
{
	uint64_t best = 0;

	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++) {
		uint32_t copies = 0;

		for (uint32_t other = 0; other < SYNOD_SUPERBLOCK_COPIES; other++)
			copies += (disk->copies_stable >> other & 1) &&
				  disk->copy_snapshot[other] >= disk->copy_snapshot[copy];
		if (copies >= 2)
			best = larger(best, disk->copy_snapshot[copy]);
	}
	return best;
}

void sim_disk_copy_landed(struct sim *sim, struct sim_replica *replica,
			  const struct synod_format_superblock *sector)
{
	struct sim_disk *disk = &replica->disk;
	const uint32_t copy = sector->copy;
	uint64_t second;

	disk->copy_promised[copy] = sector->promised;
	disk->copy_durable[copy] = sector->durable_group;
	disk->copy_sequence[copy] = sector->sequence;
	memcpy(disk->copy_known[copy].incarnation, sector->known_incarnation,
	       sizeof(sector->known_incarnation));
	memcpy(disk->copy_known[copy].life, sector->known_life, sizeof(sector->known_life));
	disk->copies_voting = (disk->copies_voting & ~(1u << copy)) | (uint32_t)!sector->joining
									      << copy;
	disk->copies_stable |= 1u << copy;
	disk->copies_damaged &= ~(1u << copy);
	/* Both of a pair may have landed though one of them has gone bad since. */
	(void)promise_of_copies(disk, disk->copies_stable, &second);
	disk->promised = larger(disk->promised, second);
	disk->copy_snapshot[copy] = sector->snapshot_slot;
	sim_disk_take_snapshot(sim, replica, snapshot_of_copies(disk));
}

static void take_record(struct sim *sim, struct sim_replica *replica,
			const struct synod_format_record *record)
{
	struct sim_disk *disk = &replica->disk;
	const struct synod_wire_entry *entry = &record->entry;
	const struct synod_core_write write = { .kind = SYNOD_WRITE_OF_SLOT,
						.slot = entry->slot,
						.ballot = entry->ballot,
						.chosen = entry->flags & SYNOD_ENTRY_CHOSEN };
	const struct sim_record found = { .ballot = entry->ballot,
					  .chosen = write.chosen,
					  .content = sim_journal_content(sim, entry, record + 1) };

	sim_disk_reserve(disk, entry->slot);
	record_put(&disk->durable[entry->slot], &found);
	disk->slot_last = larger(disk->slot_last, entry->slot);
	if (!write.chosen)
		disk->accepted_max = larger(disk->accepted_max, entry->ballot);
	sim_observer_durable(sim, replica, &write, found.content);
}

void sim_disk_take_group(struct sim *sim, struct sim_replica *replica, const void *bytes)
{
	struct sim_disk *disk = &replica->disk;
	const struct synod_format_group *header = bytes;
	uint32_t at = sizeof(*header);

	sim_check(sim, header->number == disk->group_last + 1,
		  "replica %u: group %llu lands behind group %llu", replica->id,
		  (unsigned long long)header->number, (unsigned long long)disk->group_last);
	for (uint32_t i = 0; i < header->records; i++) {
		const struct synod_format_record *record =
			(const void *)((const uint8_t *)bytes + at);

		take_record(sim, replica, record);
		at += synod_format_record_size(record->entry.size);
	}
	disk->group_last = header->number;
	for (; disk->hint < header->chosen_through; disk->hint++)
		sim_check(sim, sim_disk_durable(disk, disk->hint + 1) != NULL,
			  "I8: group %llu of replica %u calls slot %llu chosen, whose record is "
			  "neither in it nor before",
			  (unsigned long long)header->number, replica->id,
			  (unsigned long long)disk->hint + 1);
	disk->promised_groups = larger(disk->promised_groups, header->promised);
	disk->promised = larger(disk->promised, header->promised);
	disk->groups[header->number] =
		(struct sim_group){ .offset = header->offset,
				    .at = disk->groups[header->number].at,
				    .durable_through = header->durable_through,
				    .bytes = header->bytes,
				    .landed = 1 };
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

/* What stands where a group of a later turn goes is no group any more, and no damage. */
static void forget_groups(struct sim_disk *disk, uint64_t end)
{
	const struct synod_format_superblock *opened = &disk->found.opened;

	for (; disk->group_first <= disk->group_last; disk->group_first++) {
		struct sim_group *group = &disk->groups[disk->group_first];

		if (group->at + (opened->log_end - opened->log_begin) >= end)
			return;
		disk->groups_damaged -= group->damaged;
		group->damaged = 0;
		if (!disk->groups_damaged)
			disk->damaged_last = 0;
	}
}

/* Room for the group in the table. */
static void know_group(struct sim *sim, struct sim_disk *disk,
		       const struct synod_format_group *header)
{
	if (header->number >= disk->groups_capacity)
		disk->groups = sim_grow(disk->groups, &disk->groups_capacity, header->number,
					sizeof(*disk->groups));
	disk->groups[header->number] = (struct sim_group){
		.offset = header->offset,
		.at = header->offset + (uint64_t)header->epoch * (disk->found.opened.log_end -
								  disk->found.opened.log_begin),
		.bytes = header->bytes,
	};
	forget_groups(disk, disk->groups[header->number].at + header->bytes);
	disk->groups_last = larger(disk->groups_last, header->number);
	if (header->epoch > disk->epoch)
		sim_done(sim, SIM_TRAFFIC_TURNS);
	disk->epoch = header->epoch;
}

void sim_disk_start(struct sim *sim, struct sim_replica *replica, const struct synod_writer_io *io)
{
	struct sim_disk *disk = &replica->disk;
	uint32_t place = 0;

	while (place < SYNOD_WRITER_IOS && disk->ios[place].used)
		place++;
	sim_check(sim, place < SYNOD_WRITER_IOS, "replica %u has too many writes in flight",
		  replica->id);
	sim_check(sim, io->offset + io->size <= disk->size, "replica %u writes beyond its file",
		  replica->id);
	disk->ios[place] = (struct sim_io){ .io = *io, .used = 1 };
	if (io->kind == SYNOD_WRITER_GROUP) {
		know_group(sim, disk, io->bytes);
	} else if (io->kind == SYNOD_WRITER_SUPERBLOCK) {
		disk->copies_stable &= ~(1u << io->index);
		check_promise_kept(sim, replica);
	}
	sim_queue_push(sim, (struct sim_event){ .at = done_at(sim, disk),
						.kind = SIM_DISK_DONE,
						.who = (uint8_t)replica->id,
						.life = replica->life,
						.a = place });
}

static void group_landed(struct sim *sim, struct sim_replica *replica,
			 const struct synod_format_group *header)
{
	struct sim_disk *disk = &replica->disk;

	disk->groups[header->number].landed = 1;
	if (header->number != disk->group_last + 1)
		sim_count(sim, SIM_FAULT_DISK_OUT_OF_ORDER);
	while (disk->group_last < disk->groups_last && disk->groups[disk->group_last + 1].landed)
		sim_disk_take_group(sim, replica,
				    disk->image + disk->groups[disk->group_last + 1].offset);
}

void sim_disk_done(struct sim *sim, struct sim_replica *replica, uint64_t place)
{
	struct sim_disk *disk = &replica->disk;
	struct sim_io *io = &disk->ios[place];

	io->landed = 1;
	if (sim->phase == SIM_SAFETY && sim_below(sim, 100000) < sim->params.disk_error) {
		/* Nothing is known of what is there now. */
		sim_count(sim, sim_below(sim, 2) ? SIM_FAULT_DISK_EIO_WRITE
						 : SIM_FAULT_DISK_SHORT_WRITE);
		sim_disk_tear(sim, disk, &io->io);
		io->failed = 1;
	} else {
		sim_disk_put(disk, io->io.offset, io->io.bytes, io->io.size);
		if (io->io.kind == SYNOD_WRITER_GROUP)
			group_landed(sim, replica, io->io.bytes);
		else if (io->io.kind == SYNOD_WRITER_SUPERBLOCK)
			sim_disk_copy_landed(sim, replica, io->io.bytes);
	}
	sim_replica_schedule_journal(sim, replica);
}

void sim_disk_write_now(struct sim *sim, struct sim_replica *replica,
			const struct synod_writer_io *io)
{
	if (io->kind == SYNOD_WRITER_GROUP)
		know_group(sim, &replica->disk, io->bytes);
	sim_disk_put(&replica->disk, io->offset, io->bytes, io->size);
	if (io->kind == SYNOD_WRITER_GROUP)
		group_landed(sim, replica, io->bytes);
	else if (io->kind == SYNOD_WRITER_SUPERBLOCK)
		sim_disk_copy_landed(sim, replica, io->bytes);
}

/* Where it stands in the order of the log; what is not of the log comes first. */
static uint64_t order_of(const struct synod_writer_io *io)
{
	const struct synod_format_group *header = io->bytes;

	return io->kind == SYNOD_WRITER_GROUP ? header->number : 0;
}

/* Lowest number first, so that what is behind a hole is known to be. */
static struct sim_io *next_under_way(struct sim_disk *disk)
{
	struct sim_io *next = NULL;

	for (uint32_t i = 0; i < SYNOD_WRITER_IOS; i++) {
		struct sim_io *io = &disk->ios[i];

		if (io->used && !io->landed && (!next || order_of(&io->io) < order_of(&next->io)))
			next = io;
	}
	return next;
}

void sim_disk_crash(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	const int holes = sim_chance(sim, sim->params.hole);
	uint64_t keep = sim_below(sim, SYNOD_WRITER_IOS);
	struct sim_io *io;
	int hole = 0;

	while ((io = next_under_way(disk))) {
		uint64_t fate = sim_below(sim, 3);

		io->landed = 1;
		if (!holes)
			fate = keep ? 0 : hole ? 2 : 1;
		keep -= keep > 0;
		if (fate == 0) {
			sim_disk_put(disk, io->io.offset, io->io.bytes, io->io.size);
			sim_count(sim,
				  hole ? SIM_FAULT_WRITE_KEPT_BEHIND_HOLE : SIM_FAULT_WRITE_KEPT);
			continue;
		}
		if (fate == 1)
			sim_disk_tear(sim, disk, &io->io);
		sim_count(sim, fate == 1 ? SIM_FAULT_WRITE_TORN : SIM_FAULT_WRITE_DROPPED);
		hole |= io->io.kind == SYNOD_WRITER_GROUP;
	}
	memset(disk->ios, 0, sizeof(disk->ios));
	disk->stuck_until = 0;
}

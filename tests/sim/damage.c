/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks that lie: what they said was durable is gone, elsewhere, old, or has a bit wrong.
 *
 *   lost         a write that was acknowledged never reached the medium
 *   misdirected  it reached another place: one group is gone, another overwritten
 *   stale        a sector has its former content again
 *   rot          a bit has flipped, for good, or in one read; in the log or in a snapshot
 *   wiped        the whole disk is blank, or no copy of the superblock is whole
 *
 * Only bytes are touched that the journal itself says were durable, and only as long as an
 * undamaged header still says so. What lies above that mark is the window that engine/DESIGN.md
 * describes (section 10, "The window that remains"): there a damaged group looks like a torn one by
 * design, and whoever damages it forges an honest crash. So a lost write shows here not when it is
 * acknowledged but as soon as a later group says that it was durable: until then nobody can have
 * seen the difference.
 *
 * Damage stays within a minority of the replicas (params.weak_disks): beyond what a quorum can do
 * without, no protocol survives. Of the superblock's four copies one at a time is damaged: both of
 * the newest pair before the other pair is written is the same window.
 */
#include "tests/sim/sim.h"

#include <string.h>

/* Every group up to it is said to be durable by undamaged bytes that no crash can tear. */
static uint64_t mark(const struct sim_disk *disk, uint64_t without)
{
	uint64_t copies = UINT64_MAX;

	for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++)
		if ((disk->copies_stable & ~disk->copies_damaged & 1u << copy) &&
		    disk->copy_durable[copy] < copies)
			copies = disk->copy_durable[copy];
	if (copies == UINT64_MAX)
		copies = 0;
	for (uint64_t number = disk->group_last; number > 0; number--) {
		const struct sim_group *group = &disk->groups[number];

		if (group->damaged || number == without)
			continue;
		return group->durable_through > copies ? group->durable_through : copies;
	}
	return copies;
}

/* May this group be damaged too? Then it counts as such. */
static int condemn(struct sim_disk *disk, uint64_t number)
{
	struct sim_group *group = &disk->groups[number];
	uint64_t last = number > disk->damaged_last ? number : disk->damaged_last;

	if (group->damaged)
		return 1;
	if (last > mark(disk, number))
		return 0;
	group->damaged = 1;
	disk->groups_damaged++;
	disk->damaged_last = last;
	return 1;
}

/*
 * Any below the mark; half of the time one of the last, or the first of this life, which stands
 * where the life before may have left something. 0: there is none.
 */
static uint64_t any_group(struct sim *sim, const struct sim_disk *disk)
{
	uint64_t first = disk->found.recovery.group_last + 1;
	uint64_t last = mark(disk, 0);
	/* Of a ring, what no later turn has written over. */
	const uint64_t lowest = disk->group_first > 1 ? disk->group_first : 1;
	uint64_t any;

	if (last > disk->group_last)
		last = disk->group_last;
	if (last < lowest)
		return 0;
	if (first >= lowest && first <= last && sim_below(sim, 4) == 0)
		return first;
	any = sim_below(sim, 2) || last < 16 ? sim_between(sim, lowest, last)
					     : last - sim_below(sim, 16);
	return any >= lowest ? any : 0;
}

uint64_t sim_damage_on_read(struct sim *sim, const struct sim_disk *disk)
{
	uint64_t number;
	uint64_t seen;

	if (!sim_chance(sim, sim->params.disk_rot_read))
		return 0;
	number = any_group(sim, disk);
	seen = mark(disk, number);
	if (number == 0 || disk->groups[number].damaged || number > seen ||
	    disk->damaged_last > seen)
		return 0;
	return number;
}

static void restore(struct sim_disk *disk, uint64_t offset, uint64_t size)
{
	memcpy(disk->image + offset, disk->before + offset, size);
}

static void flip_bit(struct sim *sim, struct sim_disk *disk, uint64_t offset, uint64_t size)
{
	uint64_t bit = sim_below(sim, size * 8);

	disk->image[offset + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void rot(struct sim *sim, struct sim_disk *disk, uint64_t number)
{
	if (!condemn(disk, number))
		return;
	flip_bit(sim, disk, disk->groups[number].offset, disk->groups[number].bytes);
	sim_count(sim, SIM_FAULT_DISK_ROT);
}

/* One; or a cache full of them, more than the summaries of one header can name. */
static void lose(struct sim *sim, struct sim_disk *disk, uint64_t number)
{
	uint64_t last = number + (sim_below(sim, 4) ? 0 : sim_below(sim, 24));

	for (; number <= last && number <= disk->group_last && condemn(disk, number); number++) {
		restore(disk, disk->groups[number].offset, disk->groups[number].bytes);
		sim_count(sim, SIM_FAULT_DISK_LOST_WRITE);
	}
}

static void make_stale(struct sim *sim, struct sim_disk *disk, uint64_t number)
{
	const struct sim_group *group = &disk->groups[number];
	uint64_t offset = group->offset + SIM_SECTOR * sim_below(sim, group->bytes / SIM_SECTOR);

	if (memcmp(disk->image + offset, disk->before + offset, SIM_SECTOR) == 0)
		offset = group->offset; /* a sector of zeros all the time; the header is not */
	if (!condemn(disk, number))
		return;
	restore(disk, offset, SIM_SECTOR);
	sim_count(sim, SIM_FAULT_DISK_STALE);
}

/* Over another group that may be damaged, or over free space. 0: not there. */
static uint64_t wrong_place(struct sim *sim, struct sim_disk *disk, uint64_t number)
{
	const uint32_t bytes = disk->groups[number].bytes;
	const uint64_t victim = any_group(sim, disk);
	uint64_t offset = disk->groups[victim].offset;

	if (!victim)
		return 0;
	if (sim_below(sim, 3) == 0) {
		offset = (disk->touched + SYNOD_BLOCK_SIZE - 1) / SYNOD_BLOCK_SIZE *
			 SYNOD_BLOCK_SIZE;
		/* Beyond whatever may be under way. */
		offset += (SYNOD_JOURNAL_BUFFERS + 1ull) * SYNOD_GROUP_SIZE_MAX;
		return offset + bytes <= disk->size ? offset : 0;
	}
	for (uint64_t hit = victim; hit <= disk->group_last; hit++) {
		if (disk->groups[hit].offset >= offset + bytes)
			return victim == number ? 0 : offset;
		if (disk->groups[hit].offset < offset)
			return 0; /* of the next turn of a ring */
		if (!condemn(disk, hit))
			return 0;
	}
	return 0; /* it would reach beyond the last group */
}

static void misdirect(struct sim *sim, struct sim_disk *disk, uint64_t number)
{
	static uint8_t bytes[SYNOD_GROUP_SIZE_MAX];
	const struct sim_group group = disk->groups[number];
	uint64_t offset;

	if (group.damaged || !condemn(disk, number))
		return;
	memcpy(bytes, disk->image + group.offset, group.bytes);
	offset = wrong_place(sim, disk, number);
	restore(disk, group.offset, group.bytes);
	if (!offset) {
		sim_count(sim, SIM_FAULT_DISK_LOST_WRITE);
		return;
	}
	memcpy(disk->image + offset, bytes, group.bytes);
	if (disk->touched < offset + group.bytes)
		disk->touched = offset + group.bytes;
	sim_count(sim, SIM_FAULT_DISK_MISDIRECTED);
}

/* The snapshot that both pairs of superblocks name. Often it is wanted soon. */
static void rot_snapshot(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	const struct synod_writer_snapshot *snapshot = &disk->writer.snapshot;

	if (!snapshot->slot_settled || snapshot->slot_settled < disk->snapshot_slot)
		return;
	flip_bit(sim, disk, snapshot->area_settled, snapshot->size_settled);
	disk->snapshot_damaged = snapshot->slot_settled;
	sim_count(sim, SIM_FAULT_DISK_SNAPSHOT_ROT);
	if (replica->up && sim_below(sim, 4))
		sim_replica_crash(sim, replica);
}

static void damage_superblock(struct sim *sim, struct sim_disk *disk)
{
	const uint32_t copy = (uint32_t)sim_below(sim, SYNOD_SUPERBLOCK_COPIES);
	const uint64_t offset = (uint64_t)copy * SYNOD_BLOCK_SIZE;

	if (disk->copies_damaged || !(disk->copies_stable & 1u << copy))
		return;
	disk->copies_damaged |= 1u << copy;
	if (sim_below(sim, 2)) {
		flip_bit(sim, disk, offset, SYNOD_BLOCK_SIZE);
		sim_count(sim, SIM_FAULT_DISK_ROT);
	} else {
		restore(disk, offset, SYNOD_BLOCK_SIZE);
		sim_count(sim, SIM_FAULT_DISK_STALE);
	}
}

/* What it promised and accepted is gone for ever: it must never vote again (I12). */
static void wipe(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;

	if (replica->up || replica->mends) {
		replica->mends = 0;
		sim_replica_crash(sim, replica);
	}
	if (sim_below(sim, 2)) {
		memset(disk->image, 0, disk->touched);
	} else {
		for (uint32_t copy = 0; copy < SYNOD_SUPERBLOCK_COPIES; copy++)
			flip_bit(sim, disk, (uint64_t)copy * SYNOD_BLOCK_SIZE + 64,
				 SYNOD_BLOCK_SIZE - 64);
	}
	disk->lost = 1;
	sim_count(sim, SIM_FAULT_DISK_WIPED);
	sim_tell(sim, "%u: its disk is wiped", replica->id);
}

void sim_damage(struct sim *sim)
{
	uint32_t id = 1 + (uint32_t)sim_below(sim, sim->params.replicas);
	struct sim_replica *replica = &sim->replicas[id];
	struct sim_disk *disk = &replica->disk;
	uint64_t number = any_group(sim, disk);
	uint64_t kind = sim_below(sim, 12);

	if (!(sim->params.weak_disks >> id & 1) || disk->lost)
		return;
	sim_tell(sim, "%u: damage %llu, group %llu of %llu", id, (unsigned long long)kind,
		 (unsigned long long)number, (unsigned long long)disk->group_last);
	if (sim->params.ring && sim_below(sim, 2))
		rot_snapshot(sim, replica);
	else if (kind == 0)
		wipe(sim, replica);
	else if (kind <= 3)
		damage_superblock(sim, disk);
	else if (number == 0)
		return;
	else if (kind <= 5)
		rot(sim, disk, number);
	else if (kind <= 7)
		lose(sim, disk, number);
	else if (kind <= 9)
		make_stale(sim, disk, number);
	else
		misdirect(sim, disk, number);
}

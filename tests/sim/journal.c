/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a replica's process does with its disk, as the journal stage and the io_uring adapter do it:
 * facts to the writer, what it names to the medium, completions back, tickets out; at start the
 * superblocks, the scan, the index, and the superblock of the new life. All rules are those of
 * engine/journal; here is only what carries them out.
 */
#include "engine/base/crc32c.h"
#include "engine/journal/known.h"
#include "engine/journal/superblock.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <string.h>

const char *sim_halt_text(enum sim_halt halt)
{
	static const char *const texts[] = {
		[SIM_HALT_NONE] = "fine",
		[SIM_HALT_ABSENT] = "not a journal",
		[SIM_HALT_SUPERBLOCK] = "all copies of the superblock are damaged",
		[SIM_HALT_CORRUPT] = "corrupt, though it was durable",
		[SIM_HALT_READ] = "cannot be read",
		[SIM_HALT_WRITE] = "a write failed or came back short",
		[SIM_HALT_FULL] = "the log is full",
		[SIM_HALT_OLDER] = "an older copy of what it was",
	};

	return texts[halt];
}

/* ---- facts out ------------------------------------------------------------------------------- */

static struct sim_write *pending_at(struct sim_disk *disk, uint64_t ticket)
{
	return &disk->pending[ticket & (SIM_PENDING_MAX - 1)];
}

void sim_journal_write(struct sim *sim, struct sim_replica *replica,
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
	sim_disk_issue(disk, pending);
	sim_replica_schedule_journal(sim, replica);
}

/* The life that this start may vote in. */
static uint64_t life_of(const struct sim *sim, const struct sim_replica *replica)
{
	const struct synod_format_superblock *opened = &replica->disk.found.opened;

	return sim->params.lives ? synod_lives_own(&replica->lives)
				 : synod_disk_life_next(opened->known_life[opened->replica], 1);
}

static int give(struct sim *sim, struct sim_replica *replica, const struct sim_write *pending)
{
	struct sim_disk *disk = &replica->disk;
	const struct synod_core_write *write = &pending->write;
	const struct sim_content *content = &sim->contents[pending->content];
	const struct synod_wire_entry entry = { .slot = write->slot,
						.ballot = write->ballot,
						.size = write->value.size,
						.count = write->value.count,
						.crc = write->value.crc,
						.flags = write->chosen ? SYNOD_ENTRY_CHOSEN : 0 };

	if (write->kind == SYNOD_WRITE_OF_PROMISE)
		return synod_writer_promise(&disk->writer, write->ticket, write->ballot,
					    write->chosen_through);
	if (write->kind == SYNOD_WRITE_OF_STANDING)
		return synod_writer_stand(&disk->writer, write->ticket, life_of(sim, replica),
					  write->chosen_through);
	return synod_writer_record(&disk->writer, write->ticket, &entry,
				   content->size ? sim->arena + content->offset : NULL,
				   write->chosen_through);
}

/* What has completed. Returns -1 if a write failed: then nothing is tried again. */
static int reap(struct sim_disk *disk)
{
	for (uint32_t i = 0; i < SYNOD_WRITER_IOS; i++) {
		struct sim_io *io = &disk->ios[i];

		if (!io->used || !io->landed)
			continue;
		if (io->failed)
			return -1;
		io->used = 0;
		synod_writer_done(&disk->writer, io->io.kind, io->io.index);
	}
	return 0;
}

/* Marker groups are written though nothing completes. */
static void set_timer(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	uint64_t at = synod_writer_deadline_ns(&disk->writer);

	if (at == UINT64_MAX || disk->timer_at == at)
		return;
	disk->timer_at = at;
	sim_queue_push(sim, (struct sim_event){ .at = at > sim->now ? at : sim->now,
						.kind = SIM_JOURNAL,
						.who = (uint8_t)replica->id,
						.life = replica->life });
}

static void publish(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	uint64_t durable = disk->writer.prefix.ticket_durable;

	disk->room = synod_writer_room(&disk->writer);
	if (durable == disk->ticket_durable)
		return;
	disk->ticket_durable = durable;
	sim_tell(sim, "%u disk durable through %llu", replica->id, (unsigned long long)durable);
	if (replica->durable_scheduled)
		return;
	replica->durable_scheduled = 1;
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + sim_below(sim, 50 * SIM_US),
						.kind = SIM_DURABLE,
						.who = (uint8_t)replica->id,
						.life = replica->life });
}

void sim_journal_turn(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;

	replica->journal_scheduled = 0;
	if (reap(disk)) {
		sim_replica_halt(sim, replica, SIM_HALT_WRITE);
		return;
	}
	while (disk->ticket_given < disk->ticket_issued) {
		int result = give(sim, replica, pending_at(disk, disk->ticket_given + 1));

		if (result == -ENOSPC) {
			sim_replica_halt(sim, replica, SIM_HALT_FULL);
			return;
		}
		if (result < 0)
			break; /* no buffer: what completes brings us back */
		disk->ticket_given++;
	}
	sim_lives_journal(sim, replica);
	synod_writer_advance(&disk->writer, sim->now);
	for (uint32_t i = 0; i < disk->writer.ios_count; i++)
		sim_disk_start(sim, replica, &disk->writer.ios[i]);
	set_timer(sim, replica);
	publish(sim, replica);
	sim_snapshot_install(sim, replica);
}

/* ---- records back ---------------------------------------------------------------------------- */

uint32_t sim_journal_content(struct sim *sim, const struct synod_wire_entry *entry,
			     const void *body)
{
	uint32_t index = sim_observer_recorded(sim, entry);
	const struct sim_content *content = &sim->contents[index];

	sim_check(sim,
		  entry->size == content->size && entry->count == content->count &&
			  entry->crc == content->crc &&
			  (entry->size == 0 ||
			   memcmp(body, sim->arena + content->offset, entry->size) == 0),
		  "I13: the bytes of slot %llu are not what was written",
		  (unsigned long long)entry->slot);
	return index;
}

int sim_journal_record(const struct sim_disk *disk, const struct sim_found *found, uint64_t slot,
		       const struct synod_format_record **record)
{
	const uint64_t at = synod_index_offset(&found->index, slot);
	uint64_t place;

	if (!at)
		return -ENOENT;
	place = synod_format_place(&found->recovery.log, at);
	*record = (const void *)(disk->image + place);
	if (synod_scan_record(found->seed, *record, disk->size - place, 0) != SYNOD_SCAN_FINE ||
	    (*record)->entry.slot != slot)
		return -EBADMSG;
	return 0;
}

int sim_journal_read(struct sim *sim, const struct sim_replica *replica, uint64_t slot,
		     struct sim_record *record)
{
	const struct sim_disk *disk = &replica->disk;
	const struct synod_format_record *bytes;
	int result;

	if (replica->up &&
	    synod_index_offset(&disk->found.index, slot) >= disk->writer.prefix.offset_durable)
		return -EAGAIN;
	result = sim_journal_record(disk, &disk->found, slot, &bytes);
	if (result)
		return result;
	*record = (struct sim_record){ .ballot = bytes->entry.ballot,
				       .chosen = bytes->entry.flags & SYNOD_ENTRY_CHOSEN,
				       .content =
					       sim_journal_content(sim, &bytes->entry, bytes + 1) };
	return 0;
}

void sim_journal_read_wrong(struct sim *sim, const struct sim_replica *replica, uint64_t slot)
{
	static _Alignas(8) uint8_t copy[sizeof(struct synod_format_record) + SYNOD_BATCH_SIZE_MAX];
	const struct sim_found *found = &replica->disk.found;
	const struct synod_format_record *record;
	uint32_t size;
	uint64_t bit;

	if (sim_journal_record(&replica->disk, found, slot, &record))
		return;
	size = synod_format_record_size(record->entry.size);
	bit = sim_below(sim, size * 8ull);
	memcpy(copy, record, size);
	copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	sim_count(sim, SIM_FAULT_DISK_ROT_READ);
	sim_check(sim, synod_scan_record(found->seed, copy, size, 0) != SYNOD_SCAN_FINE,
		  "I13: replica %u reads slot %llu back with bit %llu wrong, and does not see it",
		  replica->id, (unsigned long long)slot, (unsigned long long)bit);
}

/* ---- start ----------------------------------------------------------------------------------- */

static enum sim_halt look_at_superblock(struct sim *sim, const struct sim_replica *replica,
					struct sim_found *found)
{
	const struct synod_format_superblock *sectors = (const void *)replica->disk.image;
	struct synod_superblock_choice choice;

	synod_superblock_choose(sectors, &choice);
	if (choice.verdict == SYNOD_SUPERBLOCK_ABSENT)
		return SIM_HALT_ABSENT;
	if (choice.verdict != SYNOD_SUPERBLOCK_FOUND)
		return SIM_HALT_SUPERBLOCK;
	found->opened = sectors[choice.copy];
	sim_check(sim,
		  found->opened.cluster == SIM_CLUSTER && found->opened.replica == replica->id &&
			  found->opened.incarnation == 1 + replica->disks,
		  "replica %u opens the journal of another", replica->id);
	found->seed = synod_superblock_seed(&found->opened);
	memset(&found->recovery, 0, sizeof(found->recovery));
	synod_recovery_begin(&found->recovery, &found->opened);
	return SIM_HALT_NONE;
}

static void forget_index(struct sim_found *found)
{
	struct synod_index *index = &found->index;

	/* A ring knows no more than its size: all of it, if it has gone round. */
	uint64_t used = index->slot_last < index->slots ? index->slot_last : index->slots;

	memset(index->entries, 0, (used + 1) * sizeof(*index->entries));
	index->slots = (found->opened.log_end - found->opened.log_begin) / SYNOD_JOURNAL_SLOT_BYTES;
	index->slot_last = 0;
	index->slot_first = 0;
	index->floor = 0;
	index->foreign = found->opened.foreign_slot;
}

/* One look with a bit of it wrong; the medium is as it was. */
static const uint8_t *with_flipped_bit(struct sim *sim, const struct sim_disk *disk,
				       const struct synod_scan *scan, uint64_t group)
{
	static _Alignas(8) uint8_t copy[SYNOD_GROUP_SIZE_MAX];
	const struct sim_group *known = &disk->groups[group];
	uint64_t bit = sim_below(sim, known->bytes * 8ull);

	memcpy(copy, disk->image + known->offset, scan->want_size);
	copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	sim_count(sim, SIM_FAULT_DISK_ROT_READ);
	sim_tell(sim, "a bit of group %llu is read wrong", (unsigned long long)group);
	return copy;
}

/* flipped: a group that is read with a bit wrong; 0: none. */
static void scan_all(struct sim *sim, const struct sim_replica *replica, struct synod_scan *scan,
		     struct sim_found *found, uint64_t flipped)
{
	const struct sim_disk *disk = &replica->disk;
	enum synod_scan_event event;

	synod_scan_begin(scan, &found->opened);
	do { /* ends: every turn moves on by a block at least, or ends */
		const uint8_t *bytes = disk->image + (scan->want_size ? scan->want_offset : 0);

		if (flipped && scan->want_size && !scan->searching &&
		    scan->want_offset == disk->groups[flipped].offset)
			bytes = with_flipped_bit(sim, disk, scan, flipped);
		event = synod_scan_give(scan, bytes);
		if (event == SYNOD_SCAN_GROUP)
			sim_check(sim,
				  synod_recovery_group(&found->recovery, &found->index, bytes) == 0,
				  "replica %u: a slot beyond its index", replica->id);
		else if (event == SYNOD_SCAN_FAULTY)
			synod_recovery_faulty(&found->recovery, &scan->faulty);
	} while (event != SYNOD_SCAN_END);
}

/* I13: a snapshot that is not what was written is seen. */
static int snapshot_is_whole(struct sim *sim, const struct sim_replica *replica,
			     const struct synod_journal_recovery *found)
{
	const struct sim_disk *disk = &replica->disk;
	const int whole = !found->snapshot_slot ||
			  synod_crc32c(disk->image + found->snapshot_offset,
				       found->snapshot_size) == found->snapshot_checksum;

	sim_check(sim, whole || disk->snapshot_damaged == found->snapshot_slot,
		  "I13: replica %u: the snapshot of slot %llu is not what was written", replica->id,
		  (unsigned long long)found->snapshot_slot);
	return whole;
}

enum sim_halt sim_journal_look(struct sim *sim, const struct sim_replica *replica, int calm,
			       struct sim_found *found)
{
	enum sim_halt halt = look_at_superblock(sim, replica, found);
	struct synod_scan scan;
	uint64_t hole;

	if (halt != SIM_HALT_NONE)
		return halt;
	if (!calm && sim_chance(sim, sim->params.disk_read_error)) {
		sim_count(sim, SIM_FAULT_DISK_EIO_READ);
		return SIM_HALT_READ;
	}
	forget_index(found);
	scan_all(sim, replica, &scan, found, calm ? 0 : sim_damage_on_read(sim, &replica->disk));
	synod_plan_start(&found->plan, &found->opened, scan.groups ? &scan.group : NULL);
	hole = synod_recovery_end(&found->recovery, &scan, &found->index);
	sim_check(sim, hole == 0, "I8: replica %u has no record of chosen slot %llu", replica->id,
		  (unsigned long long)hole);
	found->recovery.snapshot_faulty = !snapshot_is_whole(sim, replica, &found->recovery);
	return synod_recovery_whole(&found->recovery) && !found->recovery.snapshot_faulty
		       ? SIM_HALT_NONE
		       : SIM_HALT_CORRUPT;
}

/*
 * A group that was under way and never came to the medium, though one behind it did: it shows as
 * corrupt where the one before it cannot be read either, or the log would end there.
 */
static int is_lost(const struct synod_journal_recovery *found, uint64_t group)
{
	for (uint32_t i = 0; i < found->faults && i < SYNOD_JOURNAL_FAULTS_MAX; i++)
		if (found->faulty[i].group_first < group && group <= found->faulty[i].group_last)
			return 1;
	return 0;
}

/*
 * I4, I13: what was durable is what was found, no less; what was under way when the replica stopped
 * and survived counts from now on.
 */
static void take_found(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	const struct synod_journal_recovery *found = &disk->found.recovery;

	sim_check(sim, found->group_last >= disk->group_last,
		  "I13: replica %u found groups up to %llu, durable were %llu", replica->id,
		  (unsigned long long)found->group_last, (unsigned long long)disk->group_last);
	sim_check(sim, found->group_last <= disk->groups_last,
		  "I13: replica %u found groups up to %llu, the last ever written is %llu",
		  replica->id, (unsigned long long)found->group_last,
		  (unsigned long long)disk->groups_last);
	while (disk->group_last < found->group_last) {
		if (is_lost(found, disk->group_last + 1)) {
			disk->group_last++;
			disk->groups_lost++;
			continue;
		}
		sim_disk_take_group(sim, replica,
				    disk->image + disk->groups[disk->group_last + 1].offset);
	}
	sim_check(sim, found->snapshot_slot >= disk->snapshot_slot,
		  "I15: replica %u finds the snapshot of slot %llu, durable was that of %llu",
		  replica->id, (unsigned long long)found->snapshot_slot,
		  (unsigned long long)disk->snapshot_slot);
	sim_disk_take_snapshot(sim, replica, found->snapshot_slot); /* one copy may have told */
	sim_check(sim, found->promised >= disk->promised,
		  "I3: replica %u promised %llx and finds %llx", replica->id,
		  (unsigned long long)disk->promised, (unsigned long long)found->promised);
	disk->promised = found->promised;
	disk->groups_last = disk->group_last;
}

/*
 * A value may be chosen at several ballots. If the record of the higher one went bad, that of a
 * lower one mends it.
 */
static int says_the_same(const struct sim_record *was, const struct sim_record *is)
{
	if (was->content != is->content || was->chosen != is->chosen)
		return 0;
	return was->chosen || was->ballot == is->ballot;
}

/* Every record, of a journal that is whole. */
static void check_found(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;
	const struct synod_journal_recovery *found = &disk->found.recovery;

	sim_check(sim, found->chosen_through == disk->hint && found->slot_last == disk->slot_last,
		  "I13: replica %u finds slots up to %llu, chosen %llu; there are %llu, %llu",
		  replica->id, (unsigned long long)found->slot_last,
		  (unsigned long long)found->chosen_through, (unsigned long long)disk->slot_last,
		  (unsigned long long)disk->hint);
	for (uint64_t slot = found->snapshot_slot + 1; slot <= disk->slot_last; slot++) {
		const struct sim_record *record = sim_disk_durable(disk, slot);
		struct sim_record read = { 0 };
		int result = sim_journal_read(sim, replica, slot, &read);

		sim_check(sim,
			  record ? result == 0 && says_the_same(record, &read) : result == -ENOENT,
			  "I13: replica %u finds another record of slot %llu than was durable",
			  replica->id, (unsigned long long)slot);
	}
}

/* The core starts from what is here: what it believes in is what is durable. */
static void believe(struct sim_disk *disk)
{
	if (disk->slots_capacity)
		memcpy(disk->issued, disk->durable, disk->slots_capacity * sizeof(*disk->issued));
	disk->issued_promised = disk->promised;
	disk->issued_accepted_max = disk->accepted_max;
	disk->issued_hint = disk->hint;
	disk->issued_slot_last = disk->slot_last;
	disk->ticket_issued = 0;
	disk->ticket_given = 0;
	disk->ticket_durable = 0;
	disk->timer_at = 0;
}

/* Both pairs, one after the other. */
static enum sim_halt begin_life(struct sim *sim, struct sim_replica *replica, int calm)
{
	struct sim_disk *disk = &replica->disk;
	const int fails = !calm && sim_below(sim, 10000) < sim->params.disk_error;
	uint32_t first;

	synod_writer_begin_life(&disk->writer, &disk->found.recovery);
	first = 2 * synod_superblock_pair(disk->writer.superblock.want.sequence);
	for (uint32_t i = 0; i < SYNOD_SUPERBLOCK_COPIES; i++) {
		const uint32_t copy = (first + i) % SYNOD_SUPERBLOCK_COPIES;
		const struct synod_writer_io io = { .bytes = &disk->writer.superblock.copy[copy],
						    .offset = (uint64_t)copy * SYNOD_BLOCK_SIZE,
						    .size = SYNOD_BLOCK_SIZE };

		if (fails && sim_below(sim, 2)) {
			sim_count(sim, SIM_FAULT_DISK_EIO_WRITE);
			disk->copies_stable &= ~(1u << copy);
			sim_disk_tear(sim, disk, &io);
			return SIM_HALT_WRITE;
		}
		sim_disk_put(disk, io.offset, io.bytes, io.size);
		sim_disk_copy_landed(sim, replica, io.bytes);
	}
	synod_writer_life_begun(&disk->writer);
	return SIM_HALT_NONE;
}

/* For writing, behind what was found. */
static enum sim_halt go_on(struct sim *sim, struct sim_replica *replica, int calm)
{
	struct sim_disk *disk = &replica->disk;
	enum sim_halt halt;
	const struct synod_writer_start start = { .opened = &disk->found.opened,
						  .recovery = &disk->found.recovery,
						  .plan = &disk->found.plan,
						  .index = &disk->found.index,
						  .memory = disk->memory,
						  .fence_step = sim->params.fence_step,
						  .steps = { .piece = SYNOD_BLOCK_SIZE,
							     .note = SYNOD_BLOCK_SIZE } };

	synod_writer_init(&disk->writer, &start);
	halt = begin_life(sim, replica, calm);
	if (halt == SIM_HALT_NONE) {
		believe(disk);
		disk->room = synod_writer_room(&disk->writer);
	}
	return halt;
}

enum sim_halt sim_journal_mend(struct sim *sim, struct sim_replica *replica, int calm)
{
	take_found(sim, replica);
	return go_on(sim, replica, calm);
}

enum sim_halt sim_journal_open(struct sim *sim, struct sim_replica *replica, int calm)
{
	struct sim_disk *disk = &replica->disk;
	enum sim_halt halt = sim_journal_look(sim, replica, calm, &disk->found);

	if (halt != SIM_HALT_NONE && (halt != SIM_HALT_CORRUPT || !sim_mending_idle(replica)))
		return halt;
	sim_check(sim, !disk->lost, "I12: replica %u starts from a disk that was wiped",
		  replica->id);
	if (disk->found.recovery.torn.reason != SYNOD_SCAN_FINE)
		sim_tell(sim, "%u drops a torn tail at %llu", replica->id,
			 (unsigned long long)disk->found.recovery.torn.offset);
	take_found(sim, replica);
	check_found(sim, replica);
	return go_on(sim, replica, calm);
}

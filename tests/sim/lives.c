/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lives and disks (I12; engine/DESIGN.md, 17), in a quarter of the seeds: every start is mute until
 * peers vouch for its disk, HELLOs travel like all else, every message carries the boot that says
 * which life it is from and for, and peers' lives are noted in the superblock. Who is heard is
 * decided by engine/journal/lives.h, which ships; here is what carries it out, as
 * engine/pipeline/hello.c and journal_stage.c do.
 *
 * And the fault that it is for: the operator restores an older copy of a disk. As long as peers
 * whose disks do not lie know of a life that the copy has forgotten, so many that the others are
 * too few to vouch for it, it must not get to vote, however often it starts. (What lies outside of
 * that, section 17 says under "What cannot be detected".) What it had after the copy is lost: it is
 * one of the disks that may lie, of which a minority may.
 */
#include "tests/sim/sim.h"

/* A copy of a replica's disk, as it was at some instant. */
static struct {
	struct sim_disk disk;
	uint32_t disks;
	uint32_t joins;
	uint32_t taken;
} copies[SYNOD_REPLICAS_MAX + 1];

void sim_lives_reset(void)
{
	for (uint32_t id = 0; id <= SYNOD_REPLICAS_MAX; id++)
		copies[id].taken = 0;
}

void sim_lives_free(void)
{
	for (uint32_t id = 0; id <= SYNOD_REPLICAS_MAX; id++)
		sim_disk_free(&copies[id].disk);
}

/* ---- what it says is carried out ------------------------------------------------------------- */

static void schedule(struct sim *sim, struct sim_replica *replica, uint64_t within,
		     uint64_t regular)
{
	sim_queue_push(sim, (struct sim_event){ .at = sim->now + 1 + sim_below(sim, within),
						.kind = SIM_LIVES,
						.who = (uint8_t)replica->id,
						.life = replica->life,
						.a = regular });
}

/* It may be told so only if its disk is an older copy, or was put in place of a lost one. */
static void on_refused(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_lives *lives = &replica->lives;

	sim_tell(sim, "%u is refused by %u: life %llu, known is %llu", replica->id,
		 lives->refused_by, (unsigned long long)(lives->refused_own.life >> 32),
		 (unsigned long long)(lives->refused.life >> 32));
	sim_check(sim, replica->disk.rolled,
		  "I12: replica %u is refused, and its disk is the latest", replica->id);
	sim_count(sim, SIM_FAULT_DISK_REFUSED_OLDER);
	sim_replica_halt(sim, replica, SIM_HALT_OLDER);
}

static void carry_out(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_lives *lives = &replica->lives;

	for (uint32_t i = 0; i < lives->out.says_count; i++)
		sim_net_hello(sim, &lives->out.says[i]);
	for (uint32_t i = 0; i < lives->out.notes_count; i++)
		replica->notes[replica->notes_asked++ % SYNOD_REPLICAS_MAX] = lives->out.notes[i];
	if (lives->out.notes_count)
		sim_replica_schedule_journal(sim, replica);
	if (lives->refused_by)
		on_refused(sim, replica);
}

static uint64_t clock(const struct sim *sim, struct sim_replica *replica)
{
	const uint64_t now = sim_replica_clock(sim, replica);

	return now > replica->now_last ? now : replica->now_last;
}

void sim_lives_start(struct sim *sim, struct sim_replica *replica)
{
	const struct synod_format_superblock *opened = &replica->disk.found.opened;
	struct synod_lives_config config = { .replica = replica->id,
					     .replicas = sim->params.replicas,
					     .voters = sim->params.voters,
					     .quorum_prepare = sim->params.quorum_prepare,
					     .quorum_accept = sim->params.quorum_accept,
					     .shape = 1,
					     .boot = replica->boot,
					     .is_mute = !opened->joining,
					     .incarnation = opened->incarnation };

	if (!sim->params.lives)
		return;
	replica->notes_asked = 0;
	replica->notes_given = 0;
	replica->notes_durable = 0;
	replica->note_sequence = 0;
	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++)
		config.known[id] = (struct synod_disk){ opened->known_incarnation[id],
							opened->known_life[id] };
	synod_lives_begin(&replica->lives, &config);
	synod_core_stand(&replica->core,
			 opened->joining ? SYNOD_STANDING_JOINING : SYNOD_STANDING_MUTE,
			 opened->incarnation);
	schedule(sim, replica, SIM_MS, 1);
}

/* One note at a time, as in the journal stage. */
void sim_lives_journal(struct sim *sim, struct sim_replica *replica)
{
	struct synod_writer *writer = &replica->disk.writer;
	const struct synod_lives_note *note;

	if (!sim->params.lives)
		return;
	if (replica->note_sequence) {
		if (synod_writer_remembered(writer) < replica->note_sequence)
			return;
		replica->note_sequence = 0;
		replica->notes_durable++;
		schedule(sim, replica, SIM_MS, 0);
	}
	if (replica->notes_given == replica->notes_asked)
		return;
	note = &replica->notes[replica->notes_given++ % SYNOD_REPLICAS_MAX];
	replica->note_sequence = synod_writer_remember(writer, note->replica,
						       note->disk.incarnation, note->disk.life);
	sim_replica_schedule_journal(sim, replica);
}

/* Returns 1 if the core is to be told that its disk is vouched for. */
static int poll(struct sim *sim, struct sim_replica *replica)
{
	struct synod_lives *lives = &replica->lives;
	const uint32_t was_vouched = lives->is_vouched;

	synod_lives_poll(lives, replica->notes_durable, clock(sim, replica));
	carry_out(sim, replica);
	if (!replica->up)
		return 0;
	if (replica->core.standing == SYNOD_STANDING_VOTES &&
	    lives->life != synod_lives_own(lives)) {
		synod_lives_voting(lives, clock(sim, replica));
		carry_out(sim, replica);
	}
	return replica->up && lives->is_vouched && !was_vouched;
}

void sim_lives_poll(struct sim *sim, struct sim_replica *replica, int regular)
{
	struct synod_event event = { .kind = SYNOD_EVENT_VOUCHED };
	const int asks = replica->core.standing != SYNOD_STANDING_VOTES;

	if (poll(sim, replica)) {
		sim_done(sim, SIM_TRAFFIC_VOUCHED);
		sim_tell(sim, "%u is vouched for", replica->id);
		sim_replica_step(sim, replica, &event);
	}
	if (replica->up && regular)
		schedule(sim, replica, asks ? 2 * SIM_MS : 40 * SIM_MS, 1);
}

/*
 * I12: whoever takes anything that a life has sent knows that life, durably, at that moment: so it
 * can tell an older copy of that disk for ever after.
 */
static void check_known(struct sim *sim, const struct sim_replica *replica,
			const struct sim_packet *packet)
{
	const uint32_t from = packet->message.from;
	const struct synod_disk known = sim_disk_known(&replica->disk, from);
	/* The first life of a new disk, which joined: older copies of it would have to join. */
	const int joined = packet->disk.incarnation > 1 && packet->disk.life >> 32 == 1 &&
			   packet->disk.incarnation == known.incarnation && known.life == 0;

	sim_check(
		sim, joined || synod_disk_judge(&known, &packet->disk) != SYNOD_DISK_NEWER,
		"I12: replica %u hears incarnation %llu life %llu of %u, its disk knows %llu, %llu",
		replica->id, (unsigned long long)packet->disk.incarnation,
		(unsigned long long)(packet->disk.life >> 32), from,
		(unsigned long long)known.incarnation, (unsigned long long)(known.life >> 32));
}

int sim_lives_drop(struct sim *sim, struct sim_replica *replica, const struct sim_packet *packet)
{
	const struct synod_message *message = &packet->message;
	const struct synod_wire_header header = { .type = message->type,
						  .sender = message->from,
						  .receiver = message->to,
						  .boot = packet->boot };
	int dropped;

	if (message->from < 1 || message->from > sim->params.replicas ||
	    message->from == replica->id || message->to != replica->id)
		return 0; /* a stray: the core has to see that */
	dropped = synod_lives_check(&replica->lives, &header, clock(sim, replica));
	carry_out(sim, replica);
	if (!dropped)
		check_known(sim, replica, packet);
	return dropped || !replica->up;
}

void sim_lives_hello(struct sim *sim, struct sim_replica *replica,
		     const struct synod_wire_header *header)
{
	const uint32_t vouchers = replica->lives.vouchers;

	if (header->receiver != replica->id)
		return;
	(void)!synod_lives_check(&replica->lives, header, clock(sim, replica));
	if (sim->trace)
		sim_trace(sim, "%u->%u HELLO incarnation %llu life %llu%s%s%s", header->sender,
			  replica->id, (unsigned long long)header->ballot,
			  (unsigned long long)(header->chosen_through >> 32),
			  header->flags & SYNOD_FLAG_VOUCHED ? " vouched" : "",
			  header->flags & SYNOD_FLAG_REFUSED ? " refused" : "",
			  header->flags & SYNOD_FLAG_ASKING ? " asking" : "");
	carry_out(sim, replica);
	if (replica->up && replica->lives.vouchers != vouchers)
		schedule(sim, replica, SIM_MS, 0);
}

void sim_lives_stamp(const struct sim *sim, struct sim_packet *packet)
{
	const struct sim_replica *from = &sim->replicas[packet->message.from];

	if (!sim->params.lives)
		return;
	packet->boot = from->lives.boots[packet->message.to];
	packet->disk = (struct synod_disk){ from->lives.config.incarnation,
					    from->core.standing == SYNOD_STANDING_VOTES
						    ? synod_lives_own(&from->lives)
						    : from->lives.life };
}

/* I12: by its bytes it votes in this life, whatever else its core believes. */
int sim_lives_votes(const struct sim *sim, const struct sim_replica *replica)
{
	return !sim->params.lives ||
	       sim_disk_known(&replica->disk, replica->id).life == synod_lives_own(&replica->lives);
}

/* ---- an older copy --------------------------------------------------------------------------- */

/*
 * Too few to vouch for the copy: whose disk may lie is counted, since it may be an older one too,
 * and who does not know of a later life.
 */
static int is_detectable(const struct sim *sim, const struct sim_replica *replica)
{
	const struct sim_params *params = &sim->params;
	const uint32_t quorum = params->quorum_prepare < params->quorum_accept
					? params->quorum_prepare
					: params->quorum_accept;
	const struct synod_disk copy = {
		1 + copies[replica->id].disks,
		sim_disk_tells(&copies[replica->id].disk, replica->id).life
	};
	uint32_t vouchers = 0;

	for (uint32_t id = 1; id <= params->voters; id++) {
		const struct synod_disk known =
			sim_disk_known(&sim->replicas[id].disk, replica->id);

		vouchers +=
			id != replica->id && (params->weak_disks >> id & 1 ||
					      synod_disk_judge(&known, &copy) != SYNOD_DISK_OLDER);
	}
	return vouchers < (quorum > 2 ? quorum - 1 : 1);
}

static void take_copy(struct sim *sim, struct sim_replica *replica)
{
	sim_disk_copy(&copies[replica->id].disk, &replica->disk);
	copies[replica->id].disks = replica->disks;
	copies[replica->id].joins = replica->joins;
	copies[replica->id].taken = 1;
	sim_tell(sim, "%u: its disk is copied", replica->id);
}

static void restore(struct sim *sim, struct sim_replica *replica)
{
	if (replica->up)
		sim_replica_crash(sim, replica);
	sim_disk_copy(&replica->disk, &copies[replica->id].disk);
	replica->disks = copies[replica->id].disks;
	replica->joins = copies[replica->id].joins;
	replica->disk.rolled = 1;
	replica->life++; /* what was to become of it is void */
	sim_queue_push(sim,
		       (struct sim_event){ .at = sim->now + sim_between(sim, SIM_MS, SIM_SECOND),
					   .kind = SIM_RESTART,
					   .who = (uint8_t)replica->id,
					   .life = replica->life });
	sim_count(sim, SIM_FAULT_DISK_ROLLED_BACK);
	sim_tell(sim, "%u: an older copy of its disk is restored", replica->id);
}

void sim_lives_hazard(struct sim *sim, struct sim_replica *replica)
{
	struct sim_disk *disk = &replica->disk;

	if (!sim->params.lives || !(sim->params.weak_disks >> replica->id & 1) || disk->rolled)
		return;
	if (copies[replica->id].taken && is_detectable(sim, replica))
		restore(sim, replica);
	else if (!disk->lost && (!copies[replica->id].taken || sim_below(sim, 2)))
		take_copy(sim, replica);
}

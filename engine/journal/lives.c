/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is heard, and as whom: see lives.h. */
#include "engine/journal/lives.h"

#include "engine/base/assert.h"
#include "engine/base/counters.h"

#include <string.h>

enum {
	SILENCE_NS = 100 * 1000 * 1000,
	ASKING_NS = 5 * 1000 * 1000, /* between two questions of who is mute */
	ANSWER_NS = 1000 * 1000,     /* between two answers to one peer */
};

/* Both sides make it of the same two numbers. */
static uint32_t fitting(uint32_t ear, uint32_t voice)
{
	return ear ^ (voice << 16 | voice >> 16);
}

/*
 * The voice of who is mute; the second one is the boot. HELLO tells the second only together with
 * the life that it is of, though datagrams carry it a moment earlier: nobody hears those.
 */
static uint32_t first_voice(const struct synod_lives *lives)
{
	synod_assert(lives->config.boot != 0);
	return ~lives->config.boot ? ~lives->config.boot : 1;
}

/* Has not said yet that it votes in this life. */
static int is_asking(const struct synod_lives *lives)
{
	return lives->config.is_mute &&
	       lives->life == lives->config.known[lives->config.replica].life;
}

static struct synod_disk own_disk(const struct synod_lives *lives)
{
	return (struct synod_disk){ lives->config.incarnation, lives->life };
}

/* disk: our own, or, with REFUSED, what we know of the receiver's. */
static void send_hello(struct synod_lives *lives, const struct synod_wire_header *to,
		       const struct synod_disk *disk, uint64_t now_ns)
{
	const struct synod_lives_config *config = &lives->config;
	const uint32_t voice = is_asking(lives) ? first_voice(lives) : config->boot;

	synod_assert(to->receiver >= 1 && to->receiver <= config->replicas);
	synod_assert(to->receiver != config->replica);
	synod_assert_cmp(lives->out.says_count, <, (uint32_t)SYNOD_LIVES_SAYS_MAX);
	lives->hello_ns[to->receiver] = now_ns;
	lives->out.says[lives->out.says_count++] = (struct synod_wire_header){
		.type = SYNOD_HELLO,
		.flags = to->flags,
		.sender = (uint16_t)config->replica,
		.receiver = to->receiver,
		.boot = to->boot,
		.slot = config->shape,
		.ballot = disk->incarnation,
		.chosen_through = disk->life,
		.argument = (uint64_t)voice << 32 | config->boot,
	};
}

/* boot: of the life that it is meant for; flags: VOUCHED, ASKING. */
static void say_hello(struct synod_lives *lives, uint32_t to, uint32_t boot, uint32_t flags,
		      uint64_t now_ns)
{
	const struct synod_disk disk = own_disk(lives);
	const struct synod_wire_header hello = {
		.receiver = (uint16_t)to,
		.boot = boot,
		.flags = (uint16_t)(flags | (is_asking(lives) ? SYNOD_FLAG_ASKING : 0u)),
	};

	synod_assert((flags & ~(uint32_t)(SYNOD_FLAG_VOUCHED | SYNOD_FLAG_ASKING)) == 0);
	send_hello(lives, &hello, &disk, now_ns);
}

/* What datagrams to that peer carry from now on. */
static void publish(struct synod_lives *lives, uint32_t peer)
{
	synod_assert(peer >= 1 && peer <= SYNOD_REPLICAS_MAX);
	lives->boots[peer] = fitting(lives->ears[peer], lives->voice);
	lives->out.boots_changed = 1;
}

/* Returns 1 if that was news. */
static int learn(struct synod_lives *lives, uint32_t peer, uint32_t ear, uint32_t voice)
{
	if (lives->ears[peer] == ear && lives->voices[peer] == voice)
		return 0;
	lives->ears[peer] = ear;
	lives->voices[peer] = voice;
	publish(lives, peer);
	return 1;
}

/* To be noted on our own disk, what a peer says of its; it is heard when that is durable. */
static void remember(struct synod_lives *lives, const struct synod_wire_header *header)
{
	struct synod_lives_pending *pending = &lives->pending[header->sender];
	const struct synod_disk disk = { header->ballot, header->chosen_through };

	if (pending->number)
		return; /* it says so again */
	synod_assert_cmp(lives->out.notes_count, <, (uint32_t)SYNOD_REPLICAS_MAX);
	synod_assert(synod_disk_judge(&lives->known[header->sender], &disk) == SYNOD_DISK_NEWER);
	lives->out.notes[lives->out.notes_count++] =
		(struct synod_lives_note){ .replica = header->sender, .disk = disk };
	*pending = (struct synod_lives_pending){ .disk = disk,
						 .number = ++lives->notes_given,
						 .ear = (uint32_t)header->argument,
						 .voice = (uint32_t)(header->argument >> 32) };
}

static void finish_remembering(struct synod_lives *lives, uint64_t notes, uint64_t now_ns)
{
	synod_assert_cmp(notes, <=, lives->notes_given);
	for (uint32_t peer = 1; peer <= lives->config.replicas; peer++) {
		struct synod_lives_pending *pending = &lives->pending[peer];

		if (!pending->number || pending->number > notes)
			continue;
		lives->known[peer] = pending->disk;
		pending->number = 0;
		(void)learn(lives, peer, pending->ear, pending->voice);
		say_hello(lives, peer, pending->ear, SYNOD_FLAG_VOUCHED, now_ns);
	}
}

/* A peer knows of a later life of ours than our disk does. */
static void on_refused(struct synod_lives *lives, const struct synod_wire_header *header)
{
	const struct synod_disk known = { header->ballot, header->chosen_through };
	const struct synod_disk own = own_disk(lives);

	if (synod_disk_judge(&known, &own) != SYNOD_DISK_OLDER)
		return; /* it refused what a former life said */
	lives->refused = known;
	lives->refused_own = own;
	lives->refused_by = header->sender;
}

/* Meant for this life of ours, and its disk is not older than what we know of it. */
static void on_hello(struct synod_lives *lives, const struct synod_wire_header *header,
		     enum synod_disk_verdict verdict, uint64_t now_ns)
{
	const uint32_t peer = header->sender;
	const uint32_t ear = (uint32_t)header->argument;
	int news = 0;

	synod_assert(header->boot == lives->config.boot && verdict != SYNOD_DISK_OLDER);
	if (header->flags & SYNOD_FLAG_VOUCHED)
		lives->vouchers |= 1u << peer;
	if (verdict == SYNOD_DISK_NEWER) {
		remember(lives, header);
		return;
	}
	news = learn(lives, peer, ear, (uint32_t)(header->argument >> 32));
	if (news ||
	    (header->flags & SYNOD_FLAG_ASKING && now_ns - lives->hello_ns[peer] >= ANSWER_NS))
		say_hello(lives, peer, ear, SYNOD_FLAG_VOUCHED, now_ns);
}

static int drop(struct synod_lives *lives, enum synod_counter as)
{
	lives->dropped = (uint32_t)as;
	return -1;
}

static int refuse(struct synod_lives *lives, const struct synod_wire_header *header,
		  uint64_t now_ns)
{
	const struct synod_wire_header hello = { .receiver = header->sender,
						 .boot = (uint32_t)header->argument,
						 .flags = SYNOD_FLAG_REFUSED };

	if (now_ns - lives->hello_ns[header->sender] >= ANSWER_NS)
		send_hello(lives, &hello, &lives->known[header->sender], now_ns);
	return drop(lives, SYNOD_DROP_DISK);
}

static int check_hello(struct synod_lives *lives, const struct synod_wire_header *header,
		       uint64_t now_ns)
{
	const uint32_t peer = header->sender;
	const struct synod_disk told = { header->ballot, header->chosen_through };
	const enum synod_disk_verdict verdict = synod_disk_judge(&lives->known[peer], &told);
	const int is_meant = header->boot == lives->config.boot;

	if (header->slot != lives->config.shape)
		return drop(lives, SYNOD_DROP_SHAPE);
	if (header->flags & SYNOD_FLAG_REFUSED) {
		if (is_meant)
			on_refused(lives, header);
		return -1;
	}
	if (verdict == SYNOD_DISK_OLDER)
		return refuse(lives, header, now_ns);
	if (is_meant) {
		lives->heard_ns[peer] = now_ns;
		on_hello(lives, header, verdict, now_ns);
		return 0;
	}
	/* The sender says who it is: the answer has to be meant for that life. */
	if (now_ns - lives->hello_ns[peer] >= ANSWER_NS)
		say_hello(lives, peer, (uint32_t)header->argument,
			  verdict == SYNOD_DISK_SAME ? SYNOD_FLAG_VOUCHED : 0, now_ns);
	return drop(lives, SYNOD_DROP_BOOT);
}

static void begin_call(struct synod_lives *lives)
{
	lives->dropped = 0;
	lives->out.boots_changed = 0;
	lives->out.says_count = 0;
	lives->out.notes_count = 0;
}

int synod_lives_check(struct synod_lives *lives, const struct synod_wire_header *header,
		      uint64_t now_ns)
{
	const uint32_t peer = header->sender;

	begin_call(lives);
	if (peer < 1 || peer > lives->config.replicas || peer == lives->config.replica)
		return drop(lives, SYNOD_DROP_SENDER);
	if (header->type == SYNOD_HELLO)
		return check_hello(lives, header, now_ns);
	if (lives->voices[peer] &&
	    header->boot == fitting(lives->config.boot, lives->voices[peer])) {
		lives->heard_ns[peer] = now_ns;
		return 0;
	}
	/* It is to say who it is: the HELLO that did may be lost, and as it hears us it has no
	 * reason of its own to repeat it. (Without: deaf to it for as long as both live.) */
	if (now_ns - lives->hello_ns[peer] >= ANSWER_NS)
		say_hello(lives, peer, lives->ears[peer], SYNOD_FLAG_ASKING, now_ns);
	return drop(lives, SYNOD_DROP_BOOT);
}

/* How many others have to vouch for the disk of who starts: who counts a vote is one of them. */
static uint32_t vouchers_needed(const struct synod_lives_config *config)
{
	const uint32_t quorum = config->quorum_prepare < config->quorum_accept
					? config->quorum_prepare
					: config->quorum_accept;

	synod_assert(quorum >= 1 && quorum <= config->voters);
	if (config->voters == 1 && config->replica == 1)
		return 0;
	return quorum > 2 ? quorum - 1 : 1;
}

static void take_second_voice(struct synod_lives *lives)
{
	const uint32_t voters = (2u << lives->config.voters) - 2;

	if (!lives->config.is_mute || lives->is_vouched ||
	    (uint32_t)__builtin_popcount(lives->vouchers & voters) <
		    vouchers_needed(&lives->config))
		return;
	synod_assert(lives->voice == first_voice(lives));
	lives->voice = lives->config.boot;
	for (uint32_t peer = 1; peer <= lives->config.replicas; peer++)
		publish(lives, peer);
	lives->is_vouched = 1;
}

void synod_lives_begin(struct synod_lives *lives, const struct synod_lives_config *config)
{
	synod_assert(config->boot != 0);
	synod_assert(config->replica >= 1 && config->replica <= config->replicas);
	synod_assert(config->voters >= 1 && config->voters <= config->replicas);
	synod_assert_cmp(config->replicas, <=, (uint32_t)SYNOD_REPLICAS_MAX);
	memset(lives, 0, sizeof(*lives));
	lives->config = *config;
	memcpy(lives->known, config->known, sizeof(lives->known));
	lives->life = config->known[config->replica].life;
	lives->voice = config->is_mute ? first_voice(lives) : config->boot;
}

void synod_lives_voting(struct synod_lives *lives, uint64_t now_ns)
{
	const uint64_t life = synod_lives_own(lives);

	begin_call(lives);
	if (lives->life == life)
		return;
	synod_assert_implies(lives->config.is_mute, lives->is_vouched);
	lives->life = life;
	for (uint32_t peer = 1; peer <= lives->config.replicas; peer++)
		if (peer != lives->config.replica)
			say_hello(lives, peer, lives->ears[peer], 0, now_ns);
}

void synod_lives_poll(struct synod_lives *lives, uint64_t notes, uint64_t now_ns)
{
	begin_call(lives);
	finish_remembering(lives, notes, now_ns);
	take_second_voice(lives);
	for (uint32_t peer = 1; peer <= lives->config.replicas; peer++) {
		const uint64_t silent_ns = now_ns - lives->heard_ns[peer];
		const uint64_t said_ns = now_ns - lives->hello_ns[peer];
		const int asks =
			is_asking(lives) && !(lives->vouchers >> peer & 1) && said_ns >= ASKING_NS;

		if (peer != lives->config.replica &&
		    (asks || (silent_ns >= SILENCE_NS && said_ns >= SILENCE_NS)))
			say_hello(lives, peer, lives->ears[peer], 0, now_ns);
	}
}

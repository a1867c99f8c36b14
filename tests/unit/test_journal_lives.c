/* SPDX-License-Identifier: BSD-3-Clause */
/* HELLO: which life is heard, who may vote, which disks are refused. */
#include "engine/base/counters.h"
#include "engine/journal/lives.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)

enum {
	REPLICAS = 5, /* at most, in these tests */
	SHAPE = 0x5a,
};

/* A replica, and the superblock of its disk. */
struct replica {
	struct synod_lives lives;
	struct synod_disk known[SYNOD_REPLICAS_MAX + 1];
	uint64_t incarnation;
	uint64_t notes; /* durable */
	uint32_t boots; /* drawn so far */
	int up;
};

static struct replica world[REPLICAS + 1];
static struct synod_lives_config shape_of_world;
static uint64_t now_ns;

static void start_as(uint32_t id, int is_mute)
{
	struct replica *replica = &world[id];
	struct synod_lives_config config = shape_of_world;

	config.replica = id;
	config.boot = id << 16 | ++replica->boots;
	config.is_mute = (uint32_t)is_mute;
	config.incarnation = replica->incarnation;
	memcpy(config.known, replica->known, sizeof(config.known));
	synod_lives_begin(&replica->lives, &config);
	replica->notes = 0;
	replica->up = 1;
}

static void start(uint32_t id)
{
	start_as(id, 1);
}

/* That many voters, and some more that only learn; majorities; nobody is up, nobody ever voted. */
static void make(uint32_t voters, uint32_t replicas)
{
	memset(world, 0, sizeof(world));
	for (uint32_t id = 1; id <= replicas; id++)
		world[id].incarnation = 1;
	shape_of_world = (struct synod_lives_config){ .replicas = replicas,
						      .voters = voters,
						      .quorum_prepare = voters / 2 + 1,
						      .quorum_accept = voters / 2 + 1,
						      .shape = SHAPE };
	now_ns = 1000 * MS;
}

static void deliver(const struct synod_lives_out *out);

static int check(uint32_t to, const struct synod_wire_header *header)
{
	struct synod_lives *lives = &world[to].lives;
	struct synod_lives_out out;
	int dropped = synod_lives_check(lives, header, now_ns);

	out = lives->out;
	deliver(&out);
	return dropped;
}

/* Everything arrives at once; a note is not yet durable. */
static void deliver(const struct synod_lives_out *out)
{
	for (uint32_t i = 0; i < out->says_count; i++)
		if (world[out->says[i].receiver].up)
			(void)check(out->says[i].receiver, &out->says[i]);
}

static void poll(uint32_t id)
{
	struct replica *replica = &world[id];
	struct synod_lives_out out;

	synod_lives_poll(&replica->lives, replica->notes, now_ns);
	out = replica->lives.out;
	deliver(&out);
}

/* All notes of it are durable now. */
static void write_notes(uint32_t id)
{
	struct replica *replica = &world[id];

	for (uint32_t peer = 1; peer <= REPLICAS; peer++)
		if (replica->lives.pending[peer].number)
			replica->known[peer] = replica->lives.pending[peer].disk;
	replica->notes = replica->lives.notes_given;
	poll(id);
}

/* That it votes in this life is durable. */
static void vote(uint32_t id)
{
	struct replica *replica = &world[id];
	struct synod_lives_out out;

	replica->known[id] =
		(struct synod_disk){ replica->incarnation, synod_lives_own(&replica->lives) };
	synod_lives_voting(&replica->lives, now_ns);
	out = replica->lives.out;
	deliver(&out);
}

/* Some time, in which all that are up poll, write, and vote where they may. */
static void pass(uint64_t ms)
{
	for (const uint64_t end = now_ns + ms * MS; now_ns < end; now_ns += MS)
		for (uint32_t id = 1; id <= shape_of_world.replicas; id++) {
			if (!world[id].up || world[id].lives.refused_by)
				continue;
			write_notes(id);
			if (world[id].lives.is_vouched)
				vote(id);
		}
}

static void start_all(void)
{
	for (uint32_t id = 1; id <= shape_of_world.replicas; id++)
		start(id);
	pass(20);
}

/* A message as it leaves there now. */
static struct synod_wire_header message(uint32_t from, uint32_t to)
{
	return (struct synod_wire_header){ .type = SYNOD_ACCEPTED,
					   .sender = (uint16_t)from,
					   .receiver = (uint16_t)to,
					   .boot = world[from].lives.boots[to] };
}

static int is_heard(uint32_t from, uint32_t to)
{
	const struct synod_wire_header header = message(from, to);

	return check(to, &header) == 0;
}

static int votes(uint32_t id)
{
	return world[id].lives.life == synod_lives_own(&world[id].lives);
}

static void all_start_mute_vouch_for_each_other_and_vote(void **state)
{
	(void)state;
	make(5, 5);
	start(1);
	pass(50);
	assert_false(votes(1));
	start(2);
	pass(50);
	assert_false(votes(1)); /* of 5, two others must vouch */
	start(3);
	pass(50);
	for (uint32_t id = 1; id <= 3; id++)
		assert_true(votes(id));
	start(4);
	start(5);
	pass(20);
	for (uint32_t from = 1; from <= 5; from++)
		for (uint32_t to = 1; to <= 5; to++)
			assert_true(from == to || is_heard(from, to));
}

static void a_single_voter_needs_nobody(void **state)
{
	(void)state;
	make(1, 1);
	start(1);
	pass(1);
	assert_true(votes(1));
}

static void as_many_vouch_as_the_smaller_quorum_needs(void **state)
{
	(void)state;
	make(5, 5);
	shape_of_world.quorum_accept = 2;
	shape_of_world.quorum_prepare = 4;
	start(1);
	start(2);
	pass(20);
	assert_true(votes(1));
}

static void only_voters_vouch(void **state)
{
	(void)state;
	make(3, 5);
	start(1);
	start(4);
	start(5);
	pass(50);
	assert_false(votes(1));
	start(2);
	pass(20);
	assert_true(votes(1));
}

/* In front of the vote stands the note: what is not on our own disk was not heard. */
static void no_vote_is_heard_before_its_life_is_durable_here(void **state)
{
	struct synod_wire_header early;

	(void)state;
	make(3, 3);
	start_all();
	start(3);
	for (uint32_t id = 1; id <= 3; id++)
		poll(id);
	poll(3); /* takes the second voice */
	assert_true(world[3].lives.is_vouched);
	early = message(3, 1);
	assert_int_equal(check(1, &early), -1); /* nobody knows the voice */
	vote(3);
	assert_int_equal(world[1].lives.pending[3].number, world[1].lives.notes_given);
	early = message(3, 1);
	assert_int_equal(check(1, &early), -1);
	write_notes(1);
	assert_true(is_heard(3, 1));
	assert_int_equal(world[1].known[3].life, world[3].lives.life);
}

static void a_former_life_is_not_heard_once_the_next_is_known(void **state)
{
	struct synod_wire_header late;

	(void)state;
	make(3, 3);
	start_all();
	late = message(2, 1);
	assert_int_equal(check(1, &late), 0);
	start(2);
	pass(20);
	assert_true(is_heard(2, 1));
	assert_int_equal(check(1, &late), -1);
}

static void what_was_meant_for_a_former_life_is_dropped(void **state)
{
	struct synod_wire_header late;

	(void)state;
	make(3, 3);
	start_all();
	late = message(2, 1);
	start(1);
	pass(20);
	assert_int_equal(check(1, &late), -1);
	assert_true(is_heard(2, 1));
}

static void a_captured_hello_teaches_nothing(void **state)
{
	struct synod_wire_header captured;

	(void)state;
	make(3, 3);
	start_all();
	now_ns += 200 * MS;
	synod_lives_poll(&world[2].lives, world[2].notes, now_ns);
	captured = world[2].lives.out.says[0];
	assert_int_equal(captured.receiver, 1);
	start(1);
	assert_int_equal(synod_lives_check(&world[1].lives, &captured, now_ns), -1);
	assert_int_equal(world[1].lives.dropped, SYNOD_DROP_BOOT);
	assert_int_equal(world[1].lives.ears[2], 0);
	assert_int_equal(world[1].lives.out.says_count, 1); /* it costs an answer */
	assert_int_equal(synod_lives_check(&world[1].lives, &captured, now_ns + MS / 2), -1);
	assert_int_equal(world[1].lives.out.says_count, 0); /* one a millisecond */
	assert_int_equal(synod_lives_check(&world[1].lives, &captured, now_ns + MS), -1);
	assert_int_equal(world[1].lives.out.says_count, 1);
}

/* The superblock of that replica as it is now. */
struct copy {
	struct synod_disk known[SYNOD_REPLICAS_MAX + 1];
	uint64_t incarnation;
};

static struct copy copy_of(uint32_t id)
{
	struct copy copy = { .incarnation = world[id].incarnation };

	memcpy(copy.known, world[id].known, sizeof(copy.known));
	return copy;
}

static void restore(uint32_t id, const struct copy *copy)
{
	memcpy(world[id].known, copy->known, sizeof(copy->known));
	world[id].incarnation = copy->incarnation;
	start(id);
}

static void an_older_copy_is_refused_whoever_has_restarted_meanwhile(void **state)
{
	struct copy copy;

	(void)state;
	make(3, 3);
	start_all();
	copy = copy_of(3);
	start(3);
	pass(20);
	assert_true(votes(3));
	for (int i = 0; i < 3; i++) {
		restore(3, &copy);
		pass(20);
		assert_false(votes(3));
		assert_false(world[3].lives.is_vouched);
		assert_in_range(world[3].lives.refused_by, 1, 2);
		assert_int_equal(world[3].lives.refused.life >> 32, 2);
		assert_int_equal(world[3].lives.refused_own.life >> 32, 1);
		world[3].up = 0;
		start(1);
		start(2);
		pass(20);
		assert_true(votes(1) && votes(2));
	}
}

/* It voted after the copy was taken, as nobody else's disk has to know. */
static void the_same_life_by_another_boot_is_refused(void **state)
{
	struct copy copy;

	(void)state;
	make(3, 3);
	start_all();
	copy = copy_of(3);
	start(3); /* life 2, of one boot */
	pass(20);
	memcpy(world[3].known, copy.known, sizeof(copy.known));
	world[3].known[3].life = synod_disk_life_next(copy.known[3].life, 77); /* of another */
	start(3);
	pass(20);
	assert_false(votes(3));
	assert_in_range(world[3].lives.refused_by, 1, 2);
}

static void the_latest_disk_is_never_refused(void **state)
{
	(void)state;
	make(3, 3);
	start_all();
	for (uint32_t i = 0; i < 30; i++) {
		start(1 + i % 3);
		if (i % 2)
			poll(1 + i % 3); /* and dies before it votes */
		if (i % 5 == 0)
			pass(20);
		for (uint32_t id = 1; id <= 3; id++)
			assert_int_equal(world[id].lives.refused_by, 0);
	}
	pass(20);
	assert_true(votes(1) && votes(2) && votes(3));
}

static void a_new_disk_takes_the_place_of_the_old_one_for_good(void **state)
{
	struct copy lost;

	(void)state;
	make(3, 3);
	start_all();
	lost = copy_of(3);
	memset(world[3].known, 0, sizeof(world[3].known));
	world[3].incarnation = 2;
	start_as(3, 0); /* it joins */
	poll(3);
	assert_false(is_heard(3, 1)); /* the incarnation is not yet on the disk of 1 */
	pass(20);
	assert_true(is_heard(3, 1) && is_heard(3, 2));
	assert_int_equal(world[1].known[3].incarnation, 2);
	vote(3);
	pass(20);
	assert_true(is_heard(3, 1));
	restore(3, &lost);
	pass(20);
	assert_int_equal(world[3].lives.refused.incarnation, 2);
	memset(world[3].known, 0, sizeof(world[3].known)); /* formatted, not recovered */
	world[3].incarnation = 2;
	start(3);
	pass(20);
	assert_false(votes(3));
	assert_in_range(world[3].lives.refused_by, 1, 2);
}

static void a_refusal_that_a_former_life_earned_stops_nobody(void **state)
{
	struct synod_wire_header refusal = { .type = SYNOD_HELLO,
					     .flags = SYNOD_FLAG_REFUSED,
					     .sender = 2,
					     .receiver = 1,
					     .slot = SHAPE,
					     .ballot = 1 };

	(void)state;
	make(3, 3);
	start_all();
	/* Meant for another life. */
	refusal.boot = world[1].lives.config.boot - 1;
	refusal.chosen_through = world[1].lives.life + (UINT64_C(9) << 32);
	assert_int_equal(check(1, &refusal), -1);
	assert_int_equal(world[1].lives.refused_by, 0);
	/* It knows no more of us than we do. */
	refusal.boot = world[1].lives.config.boot;
	refusal.chosen_through = world[1].lives.life;
	assert_int_equal(check(1, &refusal), -1);
	assert_int_equal(world[1].lives.refused_by, 0);
	refusal.chosen_through += UINT64_C(1) << 32;
	assert_int_equal(check(1, &refusal), -1);
	assert_int_equal(world[1].lives.refused_by, 2);
}

static void another_shape_is_not_heard(void **state)
{
	(void)state;
	make(2, 2);
	start(1);
	shape_of_world.shape++;
	start(2);
	pass(300);
	assert_false(is_heard(2, 1) || is_heard(1, 2));
	assert_false(votes(1) || votes(2));
}

static void who_is_silent_is_greeted_now_and_then(void **state)
{
	uint32_t says = 0;

	(void)state;
	make(3, 3);
	start_all();
	world[3].up = 0;
	for (int i = 0; i < 1000; i++) {
		now_ns += MS;
		(void)is_heard(2, 1);
		synod_lives_poll(&world[1].lives, world[1].notes, now_ns);
		for (uint32_t k = 0; k < world[1].lives.out.says_count; k++) {
			assert_int_equal(world[1].lives.out.says[k].receiver, 3);
			says++;
		}
	}
	assert_in_range(says, 9, 10);
}

/* 2 hears 1 all the time, and so has no reason of its own to say again who it is. */
static void a_lost_hello_is_asked_for(void **state)
{
	(void)state;
	make(3, 3);
	start_all();
	start(2);
	for (int i = 0; i < 3; i++) {
		poll(2);
		poll(1);
		poll(3);
	}
	assert_true(world[2].lives.is_vouched && is_heard(1, 2));
	world[1].up = 0; /* what is sent to it is lost */
	vote(2);
	world[1].up = 1;
	for (int i = 0; i < 20; i++) {
		now_ns += MS;
		(void)is_heard(1, 2);
		(void)is_heard(2, 1);
		write_notes(1);
	}
	assert_true(is_heard(1, 2));
	assert_true(is_heard(2, 1));
}

static void ids_from_nowhere_are_dropped(void **state)
{
	struct synod_wire_header header;

	(void)state;
	make(3, 3);
	start_all();
	header = message(2, 1);
	for (uint32_t from = 0; from < 70000; from += from < 8 ? 1 : 9973) {
		header.sender = (uint16_t)from;
		if (header.sender == 2 || header.sender == 3)
			continue;
		assert_int_equal(synod_lives_check(&world[1].lives, &header, now_ns), -1);
		assert_int_equal(world[1].lives.dropped, SYNOD_DROP_SENDER);
		assert_int_equal(world[1].lives.out.says_count, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_start_mute_vouch_for_each_other_and_vote),
		cmocka_unit_test(a_single_voter_needs_nobody),
		cmocka_unit_test(as_many_vouch_as_the_smaller_quorum_needs),
		cmocka_unit_test(only_voters_vouch),
		cmocka_unit_test(no_vote_is_heard_before_its_life_is_durable_here),
		cmocka_unit_test(a_former_life_is_not_heard_once_the_next_is_known),
		cmocka_unit_test(what_was_meant_for_a_former_life_is_dropped),
		cmocka_unit_test(a_captured_hello_teaches_nothing),
		cmocka_unit_test(an_older_copy_is_refused_whoever_has_restarted_meanwhile),
		cmocka_unit_test(the_same_life_by_another_boot_is_refused),
		cmocka_unit_test(the_latest_disk_is_never_refused),
		cmocka_unit_test(a_new_disk_takes_the_place_of_the_old_one_for_good),
		cmocka_unit_test(a_refusal_that_a_former_life_earned_stops_nobody),
		cmocka_unit_test(another_shape_is_not_heard),
		cmocka_unit_test(who_is_silent_is_greeted_now_and_then),
		cmocka_unit_test(a_lost_hello_is_asked_for),
		cmocka_unit_test(ids_from_nowhere_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

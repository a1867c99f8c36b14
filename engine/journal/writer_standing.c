/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who votes and who voted (I12; engine/DESIGN.md, 17), in the superblock: see writer.h. Our own
 * standing is a fact with a ticket, like a promise; what is known of peers has none, since it comes
 * from no step of the core: whoever waits for it looks at the sequence of the superblock.
 */
#include "engine/base/assert.h"
#include "engine/journal/writer.h"

int synod_writer_stand(struct synod_writer *writer, uint64_t ticket, uint64_t life,
		       uint64_t chosen_through)
{
	struct synod_format_superblock *want = &writer->superblock.want;
	int result;

	synod_assert_cmp(life, >, want->known_life[want->replica]); /* a life votes once */
	synod_assert(want->joining <= 1);
	result = synod_writer_by_superblock(writer, ticket, want->promised, chosen_through);
	if (result < 0)
		return result;
	/* The write that was asked for is built later than this, and carries it. */
	want->joining = 0;
	want->known_incarnation[want->replica] = want->incarnation;
	want->known_life[want->replica] = life;
	return 0;
}

uint64_t synod_writer_remember(struct synod_writer *writer, uint32_t replica, uint64_t incarnation,
			       uint64_t life)
{
	struct synod_format_superblock *want = &writer->superblock.want;

	synod_assert(replica >= 1 && replica <= SYNOD_REPLICAS_MAX && replica != want->replica);
	synod_assert_cmp(incarnation, >=, want->known_incarnation[replica]);
	synod_assert_implies(incarnation == want->known_incarnation[replica],
			     life >= want->known_life[replica]);
	want->known_incarnation[replica] = incarnation;
	want->known_life[replica] = life;
	writer->superblock.dirty = 1;
	return writer->superblock.sequence_started + 1;
}

uint64_t synod_writer_remembered(const struct synod_writer *writer)
{
	synod_assert_cmp(writer->superblock.sequence_durable, <=,
			 writer->superblock.sequence_started);
	synod_assert(writer->superblock.sequence_durable > 0);
	return writer->superblock.sequence_durable;
}

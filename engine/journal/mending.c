/* SPDX-License-Identifier: BSD-3-Clause */
/* Mending from the other replicas: see mending.h. */
#include "engine/journal/mending.h"

#include "engine/base/assert.h"

#include <string.h>

/* The first at or behind that slot. */
static uint32_t place_of(const struct synod_mending *mending, uint64_t slot)
{
	uint32_t begin = 0;
	uint32_t end = mending->slots_count;

	synod_assert_cmp(end, <=, (uint32_t)SYNOD_MENDING_SLOTS_MAX);
	while (begin < end) { /* halves */
		const uint32_t middle = begin + (end - begin) / 2;

		if (mending->slots[middle].slot < slot)
			begin = middle + 1;
		else
			end = middle;
	}
	synod_assert_implies(begin > 0, mending->slots[begin - 1].slot < slot);
	return begin;
}

/* 0: there is no room for it. */
static int add(struct synod_mending *mending, uint64_t slot)
{
	const uint32_t at = place_of(mending, slot);

	if (at < mending->slots_count && mending->slots[at].slot == slot)
		return 1; /* of two gaps */
	if (mending->slots_count == SYNOD_MENDING_SLOTS_MAX)
		return 0;
	memmove(&mending->slots[at + 1], &mending->slots[at],
		(mending->slots_count - at) * sizeof(mending->slots[0]));
	mending->slots[at] = (struct synod_mending_slot){ .slot = slot };
	mending->slots_count++;
	synod_assert_implies(at > 0, mending->slots[at - 1].slot < slot);
	return 1;
}

enum synod_mending_verdict synod_mending_plan(struct synod_mending *mending,
					      const struct synod_journal_recovery *recovery,
					      const struct synod_index *index)
{
	memset(mending, 0, offsetof(struct synod_mending, slots));
	mending->chosen_through = recovery->chosen_through;
	if (recovery->snapshot_faulty)
		return SYNOD_MENDING_SNAPSHOT_FAULTY;
	if (recovery->end_lost)
		return SYNOD_MENDING_END_LOST;
	if (recovery->faults > SYNOD_JOURNAL_FAULTS_MAX)
		return SYNOD_MENDING_SLOTS_UNKNOWN;
	for (uint32_t i = 0; i < recovery->faults; i++) {
		const struct synod_scan_gap *gap = &recovery->faulty[i];

		if (!gap->slots_known || gap->slot_first > gap->slot_last)
			return SYNOD_MENDING_SLOTS_UNKNOWN;
		if (gap->slot_last > recovery->snapshot_slot + index->slots)
			return SYNOD_MENDING_SLOTS_UNKNOWN; /* no such record was ever written */
		if (gap->slot_first == 0)
			continue; /* a marker: it held none */
		for (uint64_t slot = gap->slot_first; slot <= gap->slot_last; slot++)
			if (!synod_recovery_stands(recovery, index, slot) && !add(mending, slot))
				return SYNOD_MENDING_TOO_MANY;
	}
	synod_assert_implies(recovery->faults == 0, mending->slots_count == 0);
	return SYNOD_MENDING_POSSIBLE;
}

static uint32_t others(const struct synod_mending *mending)
{
	return ((2u << mending->replicas) - 2) & ~(1u << mending->replica);
}

static uint32_t peer_after(const struct synod_mending *mending, uint32_t peer)
{
	do /* ends: at the latest with the second turn, since there are others */
		peer = peer % mending->replicas + 1;
	while (peer == mending->replica);
	synod_assert(others(mending) >> peer & 1);
	return peer;
}

void synod_mending_begin(struct synod_mending *mending, uint32_t replica, uint32_t replicas,
			 uint64_t retransmit_ns, uint64_t now_ns)
{
	synod_assert(replica >= 1 && replica <= replicas && replicas <= SYNOD_REPLICAS_MAX);
	synod_assert(mending->taken == 0 && mending->run_end == 0);
	mending->replica = replica;
	mending->replicas = replicas;
	mending->retransmit_ns = retransmit_ns;
	mending->ask_ns = now_ns;
	if (replicas > 1)
		mending->peer = peer_after(mending, replica);
}

/* No value of it has come, and no snapshot stands for it. */
static int is_open(const struct synod_mending *mending, uint32_t at)
{
	synod_assert_cmp(at, <, mending->slots_count);
	return mending->slots[at].ticket == 0 && mending->slots[at].slot > mending->covered_through;
}

static int has_all(const struct synod_mending *mending)
{
	synod_assert_cmp(mending->taken + mending->covered, <=, mending->slots_count);
	return mending->taken + mending->covered == mending->slots_count;
}

static void pass_closed(struct synod_mending *mending)
{
	while (mending->first_open < mending->slots_count && !is_open(mending, mending->first_open))
		mending->first_open++;
	synod_assert_implies(mending->first_open == mending->slots_count, has_all(mending));
}

/* The next slots in a row without a value, from there on and round. */
static void choose_run(struct synod_mending *mending, uint32_t from)
{
	uint32_t at = from;

	synod_assert(!has_all(mending));
	for (uint32_t i = 0; i < mending->slots_count; i++, at++) {
		if (at >= mending->slots_count)
			at = 0;
		if (is_open(mending, at))
			break;
	}
	synod_assert(is_open(mending, at));
	mending->run_begin = at;
	do
		at++;
	while (at < mending->slots_count && is_open(mending, at) &&
	       mending->slots[at].slot == mending->slots[at - 1].slot + 1 &&
	       at - mending->run_begin < SYNOD_MENDING_BURST);
	mending->run_end = at;
	mending->tries = 0;
}

/* Has the question that was asked last its answer? */
static int is_answered(const struct synod_mending *mending)
{
	for (uint32_t at = mending->run_begin; at < mending->run_end; at++)
		if (is_open(mending, at))
			return 0;
	return 1;
}

int synod_mending_ask(struct synod_mending *mending, uint64_t now_ns,
		      struct synod_mending_question *question)
{
	if (mending->replicas < 2 || has_all(mending) || now_ns < mending->ask_ns)
		return 0;
	if (mending->hopeless) {
		/* The others are to hear of it too. */
		choose_run(mending, place_of(mending, mending->hopeless));
		mending->peer = peer_after(mending, mending->peer);
	} else if (is_answered(mending)) {
		choose_run(mending, mending->run_end);
	} else {
		mending->peer = peer_after(mending, mending->peer);
		if (++mending->tries >= mending->replicas - 1)
			choose_run(mending, mending->run_end);
	}
	mending->asked_ns = now_ns;
	mending->ask_ns = now_ns + mending->retransmit_ns;
	*question = (struct synod_mending_question){
		.to = mending->peer,
		.slot = mending->slots[mending->run_begin].slot,
		.count = mending->run_end - mending->run_begin,
	};
	synod_assert(question->count > 0 && question->to != mending->replica);
	return 1;
}

uint64_t synod_mending_deadline_ns(const struct synod_mending *mending)
{
	synod_assert_cmp(mending->repaired, <=, mending->taken);
	return has_all(mending) ? UINT64_MAX : mending->ask_ns;
}

/* One of these slots is here now. */
static void hope_again(struct synod_mending *mending, uint64_t first, uint64_t last)
{
	synod_assert_cmp(first, <=, last);
	if (mending->hopeless < first || mending->hopeless > last)
		return;
	mending->hopeless = 0;
	mending->hopeless_rounds = 0;
}

uint32_t synod_mending_learn(struct synod_mending *mending, uint64_t slot, uint32_t from,
			     uint64_t now_ns)
{
	const uint32_t at = place_of(mending, slot);
	struct synod_mending_slot *wanted = &mending->slots[at];

	synod_assert(others(mending) >> from & 1);
	if (at == mending->slots_count || wanted->slot != slot || !is_open(mending, at))
		return 0;
	synod_assert_cmp(mending->taken, <, mending->slots_count);
	mending->order[mending->taken] = at;
	wanted->ticket = ++mending->taken;
	wanted->from = from;
	pass_closed(mending);
	hope_again(mending, slot, slot);
	if (is_answered(mending)) {
		mending->ask_ns = mending->asked_ns + mending->retransmit_ns / SYNOD_MENDING_PACES;
		if (mending->ask_ns < now_ns)
			mending->ask_ns = now_ns;
	}
	return wanted->ticket;
}

void synod_mending_cover(struct synod_mending *mending, uint64_t slot, uint32_t from)
{
	synod_assert(others(mending) >> from & 1);
	if (slot <= mending->covered_through)
		return;
	for (uint32_t at = mending->first_open;
	     at < mending->slots_count && mending->slots[at].slot <= slot; at++)
		mending->covered += (uint32_t)is_open(mending, at);
	mending->covered_through = slot;
	mending->covered_from = from;
	pass_closed(mending);
	hope_again(mending, 1, slot);
}

uint64_t synod_mending_has_through(const struct synod_mending *mending)
{
	synod_assert_cmp(mending->first_open, <=, mending->slots_count);
	return mending->first_open < mending->slots_count
		       ? mending->slots[mending->first_open].slot - 1
		       : UINT64_MAX;
}

void synod_mending_lacks(struct synod_mending *mending, uint32_t from, uint64_t slot,
			 uint64_t count)
{
	const uint64_t last = slot + (count < SYNOD_MENDING_BURST ? count : SYNOD_MENDING_BURST);

	synod_assert(others(mending) >> from & 1);
	for (uint32_t at = place_of(mending, slot);
	     at < mending->slots_count && mending->slots[at].slot < last; at++)
		mending->slots[at].faulty |= 1u << from;
	synod_assert_cmp(last, >=, slot);
}

void synod_mending_durable(struct synod_mending *mending, uint64_t ticket)
{
	synod_assert_cmp(ticket, <=, mending->taken);
	synod_assert_cmp(ticket, >=, mending->repaired);
	mending->repaired = (uint32_t)ticket;
}

/* One that all others have said to lack; they have to say so twice: one may have got it since. */
static void look_for_hopeless(struct synod_mending *mending, uint64_t now_ns)
{
	synod_assert_cmp(mending->hopeless_rounds, <=, 2u);
	for (uint32_t at = 0; at < mending->slots_count; at++) {
		struct synod_mending_slot *slot = &mending->slots[at];

		if (!is_open(mending, at) || slot->faulty != others(mending) ||
		    (mending->hopeless && mending->hopeless != slot->slot))
			continue;
		mending->hopeless_rounds = mending->hopeless ? 2 : 1;
		mending->hopeless = slot->slot;
		mending->hopeless_ns = now_ns;
		slot->faulty = 0;
		return;
	}
}

enum synod_mending_state synod_mending_state(struct synod_mending *mending, uint64_t now_ns)
{
	const uint64_t linger_ns =
		mending->retransmit_ns * SYNOD_MENDING_LINGER * (mending->replicas - 1);

	synod_assert_cmp(mending->repaired, <=, mending->taken);
	if (mending->repaired + mending->covered == mending->slots_count)
		return SYNOD_MENDING_DONE;
	if (mending->replicas < 2) {
		mending->hopeless = mending->slots[0].slot; /* there is nobody to ask */
		return SYNOD_MENDING_HOPELESS;
	}
	if (mending->hopeless_rounds < 2)
		look_for_hopeless(mending, now_ns);
	synod_assert_implies(mending->hopeless_rounds > 0, mending->hopeless > 0);
	return mending->hopeless && mending->hopeless_rounds == 2 &&
			       now_ns - mending->hopeless_ns >= linger_ns
		       ? SYNOD_MENDING_HOPELESS
		       : SYNOD_MENDING_ASKS;
}

int synod_mending_vouches(const struct synod_mending *mending, uint64_t slot)
{
	const uint32_t at = place_of(mending, slot);

	synod_assert_cmp(mending->repaired, <=, mending->taken);
	if (at < mending->slots_count && mending->slots[at].slot == slot)
		return mending->slots[at].ticket != 0 &&
		       mending->slots[at].ticket <= mending->repaired;
	return slot > 0 && slot <= mending->chosen_through;
}

const struct synod_mending_slot *synod_mending_repaired(const struct synod_mending *mending,
							uint32_t nth)
{
	const struct synod_mending_slot *slot;

	synod_assert_cmp(nth, <, (uint32_t)SYNOD_MENDING_SLOTS_MAX);
	slot = &mending->slots[mending->order[nth]];
	synod_assert_cmp(slot->ticket, ==, nth + 1);
	return slot;
}

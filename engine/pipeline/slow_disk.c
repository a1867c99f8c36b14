/* SPDX-License-Identifier: BSD-3-Clause */
/* See slow_disk.h. */
#include "engine/pipeline/slow_disk.h"

#include "engine/base/assert.h"

static void mark(struct synod_slow_disk *slow, const struct synod_slow_disk_now *now)
{
	slow->ticket = 0;
	/* Only what is neither durable nor chosen yet tells who comes first. */
	if (now->ticket_last <= now->ticket_durable || now->slot_last <= now->slot_chosen)
		return;
	slow->ticket = now->ticket_last;
	slow->slot = now->slot_last;
	slow->since_ns = now->now_ns;
	slow->others_ns = 0;
}

/* Are the others done so much earlier that the disk is what is waited for? */
static int others_are_ahead(const struct synod_slow_disk *slow, uint64_t took_ns)
{
	return slow->others_ns && slow->others_ns * SYNOD_SLOW_DISK_FACTOR <= took_ns;
}

static int judge(struct synod_slow_disk *slow, const struct synod_slow_disk_now *now)
{
	if (slow->slow < SYNOD_SLOW_DISK_LOOKS || now->now_ns < slow->quiet_ns)
		return 0;
	slow->slow = 0;
	slow->ticket = 0;
	slow->quiet_ns = now->now_ns + SYNOD_SLOW_DISK_COOL_NS;
	return 1;
}

int synod_slow_disk_look(struct synod_slow_disk *slow, const struct synod_slow_disk_now *now)
{
	uint64_t took_ns;

	synod_assert_cmp(now->ticket_durable, <=, now->ticket_last);
	if (!now->leads) {
		slow->ticket = 0;
		slow->slow = 0;
		return 0;
	}
	if (!slow->ticket) {
		mark(slow, now);
		return 0;
	}
	synod_assert_cmp(slow->since_ns, <=, now->now_ns);
	took_ns = now->now_ns - slow->since_ns;
	if (now->ticket_durable < slow->ticket) {
		if (!slow->others_ns && now->slot_chosen >= slow->slot)
			slow->others_ns = took_ns ? took_ns : 1;
		if (took_ns >= SYNOD_SLOW_DISK_LOOKS * SYNOD_SLOW_DISK_NS + SYNOD_SLOW_DISK_NS &&
		    others_are_ahead(slow, took_ns))
			slow->slow = SYNOD_SLOW_DISK_LOOKS;
		return judge(slow, now);
	}
	slow->slow = took_ns >= SYNOD_SLOW_DISK_NS && others_are_ahead(slow, took_ns)
			     ? slow->slow + 1
			     : 0;
	mark(slow, now);
	return judge(slow, now);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What bench/instructions counts: see path.h. A file of its own, so that the compiler neither
 * inlines these functions nor makes others of them.
 */
#include "bench/path.h"

#include "engine/base/assert.h"

void synod_path_count_leader(struct synod_pipeline *p, uint64_t now_ns)
{
	(void)synod_ingress_poll(p, now_ns);
	(void)synod_order_poll(p, now_ns);
	(void)synod_journal_stage_poll(p, now_ns);
	(void)synod_apply_stage_poll(p, now_ns);
	(void)synod_egress_poll(p, now_ns);
}

void synod_path_count_follower(struct synod_pipeline *p, uint64_t now_ns)
{
	(void)synod_ingress_poll(p, now_ns);
	(void)synod_order_poll(p, now_ns);
	(void)synod_journal_stage_poll(p, now_ns);
	(void)synod_apply_stage_poll(p, now_ns);
	(void)synod_egress_poll(p, now_ns);
	/* Not the last call, or both functions might become one. */
	synod_assert(!synod_pipeline_failed(p));
}

void synod_path_count_submit(struct synod_client *client, struct synod_client_op *const ops[],
			     uint32_t n, uint64_t now_ns)
{
	uint32_t taken = synod_client_submit(client, ops, n, now_ns);

	synod_assert_cmp(taken, ==, n);
	synod_client_flush(client, now_ns);
}

uint32_t synod_path_count_poll(struct synod_client *client, uint64_t now_ns)
{
	struct synod_client_op *done[PATH_OPS_MAX];
	uint32_t n = synod_client_poll(client, done, PATH_OPS_MAX, now_ns);

	synod_assert_cmp(n, <=, (uint32_t)PATH_OPS_MAX);
	return n;
}

void synod_path_case_over(void)
{
	__asm__ __volatile__("");
}

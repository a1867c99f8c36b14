/* SPDX-License-Identifier: BSD-3-Clause */
/* Egress: everything that leaves, in bursts. The only stage that sends. */
#include "engine/pipeline/pipeline.h"

static int drain(struct synod_pipeline *p, struct rte_ring *ring)
{
	struct synod_outgoing burst[SYNOD_PIPELINE_BURST];
	const struct synod_net_port *net = &p->config.net;
	unsigned int n = rte_ring_dequeue_burst_elem(ring, burst, sizeof(burst[0]),
						     SYNOD_PIPELINE_BURST, NULL);

	for (unsigned int i = 0; i < n; i++) {
		if (burst[i].replica)
			net->send_peer(net->context, (uint32_t)burst[i].replica, burst[i].mbuf);
		else
			net->send_to(net->context, &burst[i].to, burst[i].mbuf);
	}
	return (int)n;
}

int synod_egress_poll(struct synod_pipeline *p, uint64_t now_ns)
{
	/* Peers before clients: a follower's answer lets the next thing happen. */
	int work = drain(p, p->out_order);

	(void)now_ns;
	work += drain(p, p->out_journal);
	work += drain(p, p->out_apply);
	work += drain(p, p->out_ingress);
	if (work)
		p->config.net.flush(p->config.net.context);
	return work;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A closed loop of setData to one member of a ZooKeeper ensemble, by ZooKeeper's own C client: a
 * session for each lane, and each completion issues the next write of its slot. The client reads in
 * one thread and completes in another; a lane is touched by its completing thread alone.
 */
#include "bench/peers/peer_load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define THREADED /* the client's header declares its blocking calls only then */
#include <zookeeper/zookeeper.h>

enum {
	NODES = 256, /* each slot writes one node, the first 256 slots different ones */
	SESSION_TIMEOUT_MS = 30000,
	CONNECT_SECONDS = 20,
	LOOK_NS = 10 * 1000 * 1000,
};

/* One outstanding write. */
struct slot {
	struct lane *lane;
	uint64_t sent_ns;
	char path[16];
};

struct lane {
	zhandle_t *session;
	struct synod_peer_lane counts;
	_Atomic uint32_t outstanding; /* read by the main thread while it drains */
};

static struct {
	struct synod_peer_load load;
	struct lane lanes[SYNOD_PEER_LANES_MAX];
	struct synod_peer_lane counts[SYNOD_PEER_LANES_MAX];
	struct slot slots[SYNOD_PEER_OUTSTANDING_MAX];
	char payload[SYNOD_PEER_PAYLOAD_MAX];
} self;

static void nap(void)
{
	const struct timespec look = { .tv_nsec = LOOK_NS };

	nanosleep(&look, NULL);
}

static void on_event(zhandle_t *session, int type, int state, const char *path, void *context)
{
	(void)session;
	(void)type;
	(void)state;
	(void)path;
	(void)context;
}

static void on_set(int status, const struct Stat *stat, const void *context);

/* Returns false if the client does not take it. */
static bool issue(struct slot *slot, uint64_t now)
{
	slot->sent_ns = now;
	return zoo_aset(slot->lane->session, slot->path, self.payload, (int)self.load.payload_bytes,
			-1, on_set, slot) == ZOK;
}

static void on_set(int status, const struct Stat *stat, const void *context)
{
	/* The client hands back the slot as it was given, but const. */
	struct slot *slot = &self.slots[(const struct slot *)context - self.slots];
	struct lane *lane = slot->lane;
	uint64_t now = synod_peer_load_now();

	(void)stat;
	if (status == ZOK)
		synod_peer_load_ack(&self.load, &lane->counts, slot->sent_ns, now);
	else
		lane->counts.failed++;
	if (status == ZOK && now < self.load.end_ns && issue(slot, now))
		return;
	/* A relaxed one does: only the number matters, and the session is closed before its
	 * counts are read. */
	atomic_fetch_sub_explicit(&lane->outstanding, 1, memory_order_relaxed);
}

static int open_lane(struct lane *lane)
{
	uint64_t deadline = synod_peer_load_now() + CONNECT_SECONDS * 1000000000ull;

	lane->session =
		zookeeper_init(self.load.servers[0], on_event, SESSION_TIMEOUT_MS, NULL, NULL, 0);
	if (!lane->session)
		return -1;
	while (zoo_state(lane->session) != ZOO_CONNECTED_STATE) {
		if (synod_peer_load_now() > deadline)
			return -1;
		nap();
	}
	return 0;
}

static int make_nodes(zhandle_t *session)
{
	for (uint32_t i = 0; i < self.load.outstanding && i < NODES; i++) {
		int status = zoo_create(session, self.slots[i].path, "", 0, &ZOO_OPEN_ACL_UNSAFE,
					ZOO_PERSISTENT, NULL, 0);

		if (status != ZOK && status != ZNODEEXISTS)
			return -1;
	}
	return 0;
}

static void deal_slots(void)
{
	uint32_t next = 0;

	for (uint32_t i = 0; i < self.load.lanes; i++) {
		uint32_t share = synod_peer_load_share(&self.load, i);

		self.lanes[i].outstanding = share;
		for (uint32_t j = 0; j < share; j++, next++) {
			self.slots[next].lane = &self.lanes[i];
			snprintf(self.slots[next].path, sizeof(self.slots[next].path), "/n%u",
				 next % NODES);
		}
	}
}

static uint32_t outstanding(void)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < self.load.lanes; i++)
		sum += atomic_load_explicit(&self.lanes[i].outstanding, memory_order_relaxed);
	return sum;
}

static void run(void)
{
	synod_peer_load_start(&self.load);
	for (uint32_t i = 0; i < self.load.outstanding; i++) {
		if (!issue(&self.slots[i], synod_peer_load_now()))
			atomic_fetch_sub_explicit(&self.slots[i].lane->outstanding, 1,
						  memory_order_relaxed);
	}
	while (synod_peer_load_now() < self.load.end_ns ||
	       (outstanding() && synod_peer_load_now() < self.load.drained_ns))
		nap();
}

int main(int argc, char **argv)
{
	const char *name = "synod-peer-zookeeper-load";
	int status = synod_peer_load_parse(&self.load, name, argc, argv);

	if (status)
		return status;
	zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
	memset(self.payload, 'x', sizeof(self.payload));
	deal_slots();
	for (uint32_t i = 0; i < self.load.lanes; i++) {
		if (open_lane(&self.lanes[i])) {
			fprintf(stderr, "%s: no session at %s within %d s\n", name,
				self.load.servers[0], CONNECT_SECONDS);
			return 1;
		}
	}
	if (make_nodes(self.lanes[0].session)) {
		fprintf(stderr, "%s: nodes cannot be made\n", name);
		return 1;
	}
	run();
	for (uint32_t i = 0; i < self.load.lanes; i++) {
		self.lanes[i].counts.unanswered = self.lanes[i].outstanding;
		zookeeper_close(self.lanes[i].session); /* its threads have ended */
		self.counts[i] = self.lanes[i].counts;
	}
	return synod_peer_load_print(&self.load, self.counts);
}

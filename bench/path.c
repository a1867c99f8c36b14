/* SPDX-License-Identifier: BSD-3-Clause */
/* Replicas, client and the ports between them. See path.h. */
#include "bench/path.h"

#include "engine/base/assert.h"
#include "engine/journal/uring.h"
#include "engine/wire/wire.h"
#include "net/eal.h"

#include <rte_eal.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PATH_CLUSTER = 0x9a78,
	PATH_BOOT = 0x5eed,
	PATH_MBUFS = 8191,
	PATH_MBUF_ROOM = RTE_PKTMBUF_HEADROOM + 9216,
	PATH_PACKETS_MAX = 2048, /* between two turns */
	PATH_SLOTS_MAX = 1 << 17,
	PATH_PARTS_MAX = 1024,
	PATH_JOURNAL_MIB = 96,
	PATH_TURN_NS = 10 * 1000,
	PATH_BEGIN_TURNS = 1000 * 1000,
	PATH_ROUND_TURNS = 1000,
};

struct departure {
	struct rte_mbuf *mbuf;
	uint32_t to; /* a replica; 0: the client */
};

struct path_replica {
	struct synod_pipeline *pipeline;
	struct synod_journal *journal;
	struct synod_apply *apply;
	struct synod_positions_memory positions;
	struct synod_counters counters;
	struct synod_packet arrived[PATH_PACKETS_MAX];
	uint32_t arrived_begin;
	uint32_t arrived_end;
	struct departure left[PATH_PACKETS_MAX];
	uint32_t left_count;
	uint32_t id;
};

static struct path_replica replicas[PATH_REPLICAS + 1]; /* by id; [0]: the client's buffers */
static struct rte_mempool *mbufs;
static struct rte_mempool *header_mbufs;
static struct synod_client *client;
static struct synod_client_op ops[PATH_OPS_MAX];
static struct synod_client_op *op_pointers[PATH_OPS_MAX];
static uint8_t payload[SYNOD_COMMAND_SIZE_MAX];
static uint64_t now_ns = 1000000000;
static uint64_t turns;
static uint32_t leader;

static void *take_memory(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (!memory) {
		fprintf(stderr, "synod-path: no memory for %zu bytes\n", size);
		exit(1);
	}
	memset(memory, 0, size);
	return memory;
}

/* ---- a replica's ports --------------------------------------------------------------------- */

static uint32_t net_receive(void *context, struct synod_packet *packets, uint32_t max)
{
	struct path_replica *replica = context;
	uint32_t n = replica->arrived_end - replica->arrived_begin;

	if (n > max)
		n = max;
	memcpy(packets, &replica->arrived[replica->arrived_begin], n * sizeof(*packets));
	replica->arrived_begin += n;
	return n;
}

static void net_send_peer(void *context, uint32_t peer, struct rte_mbuf *mbuf)
{
	struct path_replica *replica = context;

	replica->left[replica->left_count++] = (struct departure){ mbuf, peer };
	synod_assert_cmp(replica->left_count, <, (uint32_t)PATH_PACKETS_MAX);
}

static void net_send_to(void *context, const struct synod_address *to, struct rte_mbuf *mbuf)
{
	(void)to;
	net_send_peer(context, 0, mbuf);
}

static void net_flush(void *context)
{
	(void)context;
}

static uint32_t net_poll_links(void *context, uint64_t at_ns)
{
	(void)context;
	(void)at_ns;
	return 0;
}

/* ---- the wire: copies, as memif does, and nobody counts it --------------------------------- */

static void arrive(struct path_replica *to, uint32_t from, struct rte_mbuf *mbuf)
{
	const struct synod_packet packet = { .mbuf = mbuf, .peer = from, .door = from == 0 };

	if (to->arrived_begin == to->arrived_end)
		to->arrived_begin = to->arrived_end = 0;
	synod_assert_cmp(to->arrived_end, <, (uint32_t)PATH_PACKETS_MAX);
	to->arrived[to->arrived_end++] = packet;
}

static void carry(void)
{
	for (uint32_t id = 1; id <= PATH_REPLICAS; id++) {
		struct path_replica *replica = &replicas[id];

		for (uint32_t i = 0; i < replica->left_count; i++) {
			struct departure *departure = &replica->left[i];
			struct rte_mbuf *copy =
				rte_pktmbuf_copy(departure->mbuf, mbufs, 0, UINT32_MAX);

			synod_assert(copy != NULL);
			rte_pktmbuf_free(departure->mbuf);
			arrive(&replicas[departure->to], id, copy);
		}
		replica->left_count = 0;
	}
}

/* ---- the client's transport ---------------------------------------------------------------- */

static int client_send(void *context, uint32_t replica, const void *data, uint32_t size)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(mbufs);

	(void)context;
	synod_assert(mbuf != NULL);
	synod_assert_cmp(replica, <=, (uint32_t)PATH_REPLICAS);
	memcpy(rte_pktmbuf_append(mbuf, (uint16_t)size), data, size);
	arrive(&replicas[replica], 0, mbuf);
	return 0;
}

static unsigned int client_receive(void *context, struct synod_datagram *datagrams,
				   unsigned int max)
{
	static struct rte_mbuf *lent[PATH_PACKETS_MAX];
	static uint32_t lent_count;
	struct path_replica *own = context;
	unsigned int n = 0;

	while (lent_count)
		rte_pktmbuf_free(lent[--lent_count]);
	while (n < max && own->arrived_begin < own->arrived_end) {
		struct synod_packet *packet = &own->arrived[own->arrived_begin++];

		datagrams[n].data = rte_pktmbuf_mtod(packet->mbuf, void *);
		datagrams[n].size = packet->mbuf->data_len;
		datagrams[n++].replica = packet->peer;
		lent[lent_count++] = packet->mbuf;
	}
	return n;
}

static void client_flush(void *context)
{
	(void)context;
}

static void client_idle(void *context, uint64_t timeout_ns)
{
	(void)context;
	(void)timeout_ns;
}

/* No hugepages, no devices. */
static int start_eal(const char *name)
{
	static struct synod_eal_args args;
	char prefix[64];
	char error[256];
	const struct synod_eal_options options = {
		.file_prefix = prefix,
		.no_hugepages = 1,
		.memory_mib = 192,
	};

	snprintf(prefix, sizeof(prefix), "synod-path-%d", (int)getpid());
	if (synod_eal_build(&args, &options, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s: %s\n", name, error);
		return -1;
	}
	if (rte_eal_init(args.argc, args.argv) >= 0)
		return 0;
	fprintf(stderr, "%s: DPDK's EAL did not start\n", name);
	return -1;
}

/* ---- making it ----------------------------------------------------------------------------- */

static void open_journal(struct path_replica *replica)
{
	const struct synod_journal_identity identity = {
		.cluster = PATH_CLUSTER,
		.replica = replica->id,
		.replicas = PATH_REPLICAS,
		.incarnation = replica->id,
	};
	const struct synod_journal_options options = {
		.path = "memory",
		.expect = &identity,
		.counters = &replica->counters,
		.memory = { .size = (uint64_t)PATH_JOURNAL_MIB << 20 },
	};
	struct synod_journal_recovery recovery;
	char error[256];

	if (synod_journal_open(&replica->journal, &options, &recovery, error, sizeof(error)) == 0)
		return;
	fprintf(stderr, "synod-path: %s\n", error);
	exit(1);
}

static void make_pipeline(struct path_replica *replica)
{
	const struct synod_pipeline_config config = {
		.cluster = PATH_CLUSTER,
		.replica = replica->id,
		.replicas = PATH_REPLICAS,
		.boot = PATH_BOOT + replica->id,
		.batch_size_max = SYNOD_BATCH_SIZE_MAX,
		.core = { .replica = replica->id,
			  .replicas = PATH_REPLICAS,
			  .seed = replica->id,
			  .election_ns = 100 * 1000000u,
			  .heartbeat_ns = 10 * 1000000u,
			  .retransmit_ns = 10 * 1000000u,
			  .window = SYNOD_WINDOW_SLOTS,
			  .inflight = SYNOD_INFLIGHT_SLOTS,
			  .inflight_bytes = SYNOD_INFLIGHT_BYTES },
		.net = { .context = replica,
			 .receive = net_receive,
			 .send_peer = net_send_peer,
			 .send_to = net_send_to,
			 .flush = net_flush,
			 .poll_links = net_poll_links },
		.journal = synod_journal_port(replica->journal),
		.apply = replica->apply,
		.positions = replica->positions,
		.mbufs = mbufs,
		.header_mbufs = header_mbufs,
	};
	const struct synod_pipeline_start start = { .now_ns = now_ns };

	if (synod_pipeline_create(&replica->pipeline, &config) != 0) {
		fprintf(stderr, "synod-path: no memory for a pipeline\n");
		exit(1);
	}
	synod_pipeline_recover(replica->pipeline, &start);
}

static void make_replica(uint32_t id, const struct synod_apply_limits *limits)
{
	struct path_replica *replica = &replicas[id];

	replica->id = id;
	replica->positions = (struct synod_positions_memory){
		.slots = take_memory(PATH_SLOTS_MAX * sizeof(uint64_t)),
		.slots_max = PATH_SLOTS_MAX,
		.skips = take_memory(PATH_PARTS_MAX * sizeof(uint64_t)),
		.skips_max = PATH_PARTS_MAX,
		.parts = take_memory(PATH_PARTS_MAX * sizeof(struct synod_positions_part)),
		.parts_max = PATH_PARTS_MAX,
	};
	replica->apply = synod_apply_init_within(
		take_memory(synod_apply_size_within(&synod_sequencer_machine, limits)),
		&synod_sequencer_machine, limits);
	open_journal(replica);
	make_pipeline(replica);
}

static void make_client(void)
{
	static struct synod_transport transport = {
		.context = &replicas[0],
		.datagram_size_max = 8972,
		.send = client_send,
		.flush = client_flush,
		.receive = client_receive,
		.idle = client_idle,
	};
	const struct synod_client_config config = {
		.struct_size = sizeof(config),
		.replicas = PATH_REPLICAS,
		.cluster = PATH_CLUSTER,
		.nonce = 1,
		.outstanding_max = PATH_OPS_MAX,
	};
	int failed =
		synod_client_init(&client, take_memory(synod_client_size()), &config, &transport);

	synod_assert_cmp(failed, ==, 0);
}

static void make(const struct synod_apply_limits *limits)
{
	mbufs = rte_pktmbuf_pool_create("path.mbufs", PATH_MBUFS, 128, 0, PATH_MBUF_ROOM,
					SOCKET_ID_ANY);
	header_mbufs = rte_pktmbuf_pool_create("path.headers", PATH_MBUFS, 128, 0,
					       SYNOD_PIPELINE_HEADER_ROOM, SOCKET_ID_ANY);
	if (!mbufs || !header_mbufs) {
		fprintf(stderr, "synod-path: no memory for packet buffers\n");
		exit(1);
	}
	for (uint32_t id = 1; id <= PATH_REPLICAS; id++)
		make_replica(id, limits);
	make_client();
}

static void take_down(void)
{
	for (uint32_t id = 1; id <= PATH_REPLICAS; id++) {
		synod_pipeline_destroy(replicas[id].pipeline);
		synod_journal_close(replicas[id].journal);
		free(replicas[id].positions.slots);
		free(replicas[id].positions.skips);
		free(replicas[id].positions.parts);
		free(replicas[id].apply);
	}
	free(client);
}

int synod_path_program(const char *name, const struct synod_apply_limits *limits, int (*run)(void))
{
	int failed;

	if (start_eal(name) != 0)
		return 1;
	make(limits);
	failed = run();
	take_down();
	rte_eal_cleanup();
	return failed;
}

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return difference < 0 ? -1 : difference > 0;
}

double synod_path_median(double *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* ---- running it ---------------------------------------------------------------------------- */

static void poll_counted(struct synod_pipeline *pipeline, uint64_t at_ns, int leads)
{
	if (leads)
		synod_path_count_leader(pipeline, at_ns);
	else
		synod_path_count_follower(pipeline, at_ns);
}

static void (*poll_replica)(struct synod_pipeline *, uint64_t, int) = poll_counted;

void synod_path_poll_by(void (*poll)(struct synod_pipeline *pipeline, uint64_t now_ns, int leads))
{
	poll_replica = poll;
}

static void turn(void)
{
	now_ns += PATH_TURN_NS;
	turns++;
	if (leader)
		poll_replica(replicas[leader].pipeline, now_ns, 1);
	carry();
	for (uint32_t id = 1; id <= PATH_REPLICAS; id++)
		if (id != leader)
			poll_replica(replicas[id].pipeline, now_ns, 0);
	carry();
}

uint64_t synod_path_run(uint32_t rounds, uint32_t commands, uint32_t size)
{
	const uint64_t turns_before = turns;

	synod_assert_cmp(commands, <=, (uint32_t)PATH_OPS_MAX);
	synod_assert_cmp(size, <=, (uint32_t)SYNOD_COMMAND_SIZE_MAX);
	for (uint32_t round = 0; round < rounds; round++) {
		const uint64_t turns_max = turns + PATH_ROUND_TURNS;
		uint32_t done = 0;

		for (uint32_t i = 0; i < commands; i++) {
			ops[i] = (struct synod_client_op){ .data = payload, .size = size };
			op_pointers[i] = &ops[i];
		}
		synod_path_count_submit(client, op_pointers, commands, now_ns);
		while (done < commands && turns < turns_max) {
			turn();
			done += synod_path_count_poll(client, now_ns);
		}
		for (uint32_t i = 0; i < commands; i++)
			if (done < commands || ops[i].status != SYNOD_OK)
				return 0;
	}
	return turns - turns_before;
}

void synod_path_begin(void)
{
	const uint64_t turns_max = turns + PATH_BEGIN_TURNS;

	while (!leader && turns < turns_max) {
		turn();
		for (uint32_t id = 1; id <= PATH_REPLICAS; id++)
			if (replicas[id].pipeline->order.core.role == SYNOD_ROLE_LEADER)
				leader = id;
	}
	synod_assert(leader != 0);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t synod_path_turn(void)
{
	uint64_t began_ns;
	uint64_t spent_ns;

	now_ns += PATH_TURN_NS;
	turns++;
	began_ns = clock_ns();
	synod_path_count_leader(replicas[leader].pipeline, now_ns);
	spent_ns = clock_ns() - began_ns;
	carry();
	began_ns = clock_ns();
	for (uint32_t id = 1; id <= PATH_REPLICAS; id++)
		if (id != leader)
			synod_path_count_follower(replicas[id].pipeline, now_ns);
	spent_ns += clock_ns() - began_ns;
	carry();
	return spent_ns;
}

void synod_path_ask(uint16_t flags, const void *body, uint32_t size)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(mbufs);
	struct synod_wire_header *header;

	synod_assert(mbuf != NULL);
	header = (struct synod_wire_header *)rte_pktmbuf_append(mbuf,
								(uint16_t)(sizeof(*header) + size));
	synod_assert(header != NULL);
	*header = (struct synod_wire_header){
		.type = SYNOD_REQUEST,
		.flags = flags,
		.cluster = PATH_CLUSTER,
		.receiver = (uint16_t)leader,
		.boot = PATH_BOOT + leader,
	};
	memcpy(header + 1, body, size);
	synod_wire_seal(header, NULL, header + 1, size);
	arrive(&replicas[leader], 0, mbuf);
}

int synod_path_answer(struct synod_wire_view *view)
{
	struct synod_datagram datagram;

	if (client_receive(&replicas[0], &datagram, 1) == 0)
		return 0;
	synod_assert_cmp(synod_wire_decode(datagram.data, datagram.size, PATH_CLUSTER, 0, view), ==,
			 0);
	return 1;
}

uint64_t synod_path_batches(void)
{
	return synod_counter_read(&replicas[leader].pipeline->order.counters, SYNOD_BATCHES);
}

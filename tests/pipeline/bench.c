/* SPDX-License-Identifier: BSD-3-Clause */
/* One replica's pipeline over ports in memory. See bench.h. */
#include "tests/pipeline/bench.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#include "net/eal.h"

#include <rte_eal.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t net_receive(void *context, struct synod_packet *packets, uint32_t max)
{
	struct bench *bench = context;
	uint32_t count = 0;

	while (count < max && bench->packets_begin < bench->packets_end)
		packets[count++] = bench->packets[bench->packets_begin++];
	if (bench->packets_begin == bench->packets_end)
		bench->packets_begin = bench->packets_end = 0;
	return count;
}

static void net_send_to(void *context, const struct synod_address *to, struct rte_mbuf *mbuf)
{
	struct bench *bench = context;
	struct bench_answer *answer = &bench->answers[bench->answers_count++];

	synod_assert_cmp(bench->answers_count, <=, BENCH_ANSWERS_MAX);
	synod_assert_cmp(mbuf->nb_segs, ==, 1);
	answer->to = to->opaque[0];
	answer->size = mbuf->data_len;
	memcpy(answer->bytes, rte_pktmbuf_mtod(mbuf, void *), answer->size);
	rte_pktmbuf_free(mbuf);
}

/* What the journal stage says to peers is looked at; the core's messages and greetings are not. */
static void net_send_peer(void *context, uint32_t replica, struct rte_mbuf *mbuf)
{
	const struct synod_address to = { .opaque = { BENCH_PEER + replica } };
	uint8_t type = rte_pktmbuf_mtod(mbuf, struct synod_wire_header *)->type;

	if (type == SYNOD_SNAPSHOT || type == SYNOD_FETCH)
		net_send_to(context, &to, mbuf);
	else
		rte_pktmbuf_free(mbuf);
}

static void net_flush(void *context)
{
	(void)context;
}

static uint32_t net_poll_links(void *context, uint64_t now_ns)
{
	const struct bench *bench = context;

	(void)now_ns;
	return bench->peers_lost;
}

static int journal_write(void *context, const struct synod_journal_write *writes, unsigned int n)
{
	struct bench *bench = context;

	for (unsigned int i = 0; i < n; i++) {
		struct bench_record *record = &bench->records[writes[i].slot];

		synod_assert_cmp(writes[i].ticket, ==, bench->tickets_given + 1);
		bench->tickets_given++;
		if (writes[i].kind != SYNOD_WRITE_RECORD)
			continue;
		synod_assert_cmp(writes[i].slot, <, BENCH_SLOTS_MAX);
		free(record->body);
		record->body = malloc(writes[i].value.size + 1);
		synod_assert(record->body != NULL);
		if (writes[i].value.size)
			memcpy(record->body, writes[i].body, writes[i].value.size);
		record->value = writes[i].value;
		record->ballot = writes[i].ballot;
	}
	return bench->journal_error ? bench->journal_error : (int)n;
}

static int journal_poll(void *context, uint64_t now_ns, uint64_t *ticket_durable)
{
	struct bench *bench = context;

	(void)now_ns;
	if (bench->journal_error)
		return bench->journal_error;
	if (!bench->journal_held)
		bench->tickets_durable = bench->tickets_given;
	*ticket_durable = bench->tickets_durable;
	return 0;
}

static uint64_t journal_room(void *context)
{
	return ((struct bench *)context)->room;
}

static uint64_t journal_slot_first(void *context)
{
	return ((struct bench *)context)->slots_gone + 1;
}

static int journal_snapshot_wanted(void *context)
{
	return ((struct bench *)context)->wants != 0;
}

static int journal_snapshot_write(void *context, uint64_t slot, const void *image, uint64_t size)
{
	struct bench *bench = context;

	synod_assert_cmp(slot, >, bench->snapshot.slot);
	synod_assert_cmp(bench->writing.slot, ==, 0);
	bench->writing.slot = slot;
	bench->writing.size = size;
	bench->writing_bytes = image;
	bench->wants = 0;
	return 0;
}

static int journal_snapshot_busy(void *context)
{
	struct bench *bench = context;

	if (!bench->writing.slot)
		return 0;
	if (bench->writes_held)
		return 1;
	free(bench->snapshot_bytes);
	bench->snapshot_bytes = malloc(bench->writing.size);
	synod_assert(bench->snapshot_bytes != NULL);
	memcpy(bench->snapshot_bytes, bench->writing_bytes, bench->writing.size);
	bench->snapshot = bench->writing;
	bench->snapshot.checksum = synod_crc32c(bench->snapshot_bytes, bench->snapshot.size);
	bench->writing.slot = 0;
	return 0;
}

static void journal_snapshot_partial(void *context, const struct synod_journal_snapshot *of,
				     const void *image, uint64_t received)
{
	struct bench *bench = context;

	bench->partial = of ? *of : (struct synod_journal_snapshot){ 0 };
	bench->partial_received = received;
	synod_assert(image == (of ? bench->image : NULL));
	synod_assert(!of || received < of->size);
}

static struct synod_journal_snapshot journal_snapshot(void *context)
{
	return ((struct bench *)context)->snapshot;
}

static int journal_snapshot_read(void *context, uint64_t slot, uint64_t offset, uint32_t size,
				 uint64_t cookie)
{
	struct bench *bench = context;

	if (slot != bench->snapshot.slot)
		return -ENOENT;
	if (bench->pieces_count == RTE_DIM(bench->pieces))
		return -EAGAIN;
	synod_assert_cmp(offset + size, <=, bench->snapshot.size);
	bench->pieces[bench->pieces_count].offset = offset;
	bench->pieces[bench->pieces_count].size = size;
	bench->pieces[bench->pieces_count++].cookie = cookie;
	return 0;
}

static uint64_t journal_used(void *context)
{
	(void)context;
	return 0;
}

static int journal_ready(void *context)
{
	return !((struct bench *)context)->journal_busy;
}

static int journal_read(void *context, uint64_t slot, uint64_t cookie)
{
	struct bench *bench = context;

	if (slot <= bench->slots_gone)
		return -ENOENT;
	if (bench->reads_count == RTE_DIM(bench->reads))
		return -EAGAIN;
	bench->reads[bench->reads_count].slot = slot;
	bench->reads[bench->reads_count++].cookie = cookie;
	return 0;
}

static unsigned int journal_read_poll(void *context, struct synod_journal_record *record)
{
	struct bench *bench = context;
	const struct bench_record *from;

	if (bench->pieces_count) {
		bench->pieces_count--;
		*record = (struct synod_journal_record){
			.slot = bench->snapshot.slot,
			.cookie = bench->pieces[bench->pieces_count].cookie,
			.value = { .size = bench->pieces[bench->pieces_count].size },
			.body = bench->snapshot_bytes + bench->pieces[bench->pieces_count].offset,
		};
		return 1;
	}
	if (!bench->reads_count)
		return 0;
	bench->reads_count--;
	from = &bench->records[bench->reads[bench->reads_count].slot];
	*record = (struct synod_journal_record){
		.slot = bench->reads[bench->reads_count].slot,
		.cookie = bench->reads[bench->reads_count].cookie,
		.ballot = from->ballot,
		.chosen = 1,
		.value = from->value,
		.body = from->body,
		.error = from->body ? 0 : -ENOENT,
	};
	return 1;
}

static int journal_wait_fd(void *context)
{
	(void)context;
	return -1;
}

static struct rte_mempool *make_pool(const char *name, uint32_t room)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create(name, 4095, 0, 0, (uint16_t)room, SOCKET_ID_ANY);

	synod_assert(pool != NULL);
	return pool;
}

static void make_pipeline(struct bench *bench)
{
	struct synod_pipeline_config config = {
		.cluster = BENCH_CLUSTER,
		.replica = 1,
		.replicas = bench->replicas,
		.boot = BENCH_BOOT,
		.image = bench->has_areas ? bench->image : NULL,
		.image_room = bench->has_areas ? bench->image_room : 0,
		.batch_size_max = SYNOD_BATCH_SIZE_MAX,
		.core = { .replica = 1,
			  .replicas = bench->replicas,
			  .seed = 1,
			  .election_ns = 1000000,
			  .heartbeat_ns = 200000,
			  .retransmit_ns = 200000,
			  .window = 64,
			  .inflight = 16 },
		.net = { .context = bench,
			 .receive = net_receive,
			 .send_peer = net_send_peer,
			 .send_to = net_send_to,
			 .flush = net_flush,
			 .poll_links = net_poll_links },
		.journal = { .context = bench,
			     .write = journal_write,
			     .poll = journal_poll,
			     .room = journal_room,
			     .used = journal_used,
			     .ready = journal_ready,
			     .read = journal_read,
			     .read_poll = journal_read_poll,
			     .slot_first = journal_slot_first,
			     .snapshot_wanted = journal_snapshot_wanted,
			     .snapshot_write = journal_snapshot_write,
			     .snapshot_write_foreign = journal_snapshot_write,
			     .snapshot_busy = journal_snapshot_busy,
			     .snapshot_partial = journal_snapshot_partial,
			     .snapshot = journal_snapshot,
			     .snapshot_read = journal_snapshot_read,
			     .wait_fd = journal_wait_fd },
		.apply = bench->apply,
		.positions = bench->positions,
		.mbufs = bench->mbufs,
		.header_mbufs = bench->header_mbufs,
	};

	synod_assert(synod_pipeline_create(&bench->pipeline, &config) == 0);
}

static void *take_memory(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);

	synod_assert(memory != NULL);
	memset(memory, 0, size);
	return memory;
}

int bench_eal(void **state)
{
	static struct synod_eal_args args;
	char prefix[64];
	char error[256];
	const struct synod_eal_options options = {
		.file_prefix = prefix,
		.no_hugepages = 1,
		.memory_mib = 128,
	};

	(void)state;
	snprintf(prefix, sizeof(prefix), "synod-bench-%d", (int)getpid());
	if (synod_eal_build(&args, &options, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s\n", error);
		return -1;
	}
	return rte_eal_init(args.argc, args.argv) < 0 ? -1 : 0;
}

int bench_eal_end(void **state)
{
	(void)state;
	return rte_eal_cleanup();
}

/* By all peers. */
static void greet(struct bench *bench)
{
	for (uint32_t peer = 2; peer <= bench->replicas; peer++) {
		const struct synod_wire_header hello = { .type = SYNOD_HELLO,
							 .argument = UINT64_C(1) << 32 | peer };

		bench_put_peer(bench, peer, &hello, NULL, 0);
	}
}

static struct bench *make(uint32_t replicas, uint32_t has_areas)
{
	const struct synod_apply_limits limits =
		synod_apply_limits(BENCH_SESSIONS, SYNOD_SESSION_WINDOW_MAX);
	struct bench *bench = take_memory(sizeof(*bench));
	struct synod_pipeline_start start = { 0 };

	bench->now_ns = 1000000000;
	bench->mbufs = make_pool("bench.mbufs", RTE_PKTMBUF_HEADROOM + 9216);
	bench->header_mbufs = make_pool("bench.headers", SYNOD_PIPELINE_HEADER_ROOM);
	bench->answers = take_memory(BENCH_ANSWERS_MAX * sizeof(*bench->answers));
	bench->records = take_memory(BENCH_SLOTS_MAX * sizeof(*bench->records));
	bench->positions = (struct synod_positions_memory){
		.slots = take_memory(BENCH_SLOTS_MAX * sizeof(uint64_t)),
		.slots_max = BENCH_SLOTS_MAX,
		.skips = take_memory(BENCH_SKIPS_MAX * sizeof(uint64_t)),
		.skips_max = BENCH_SKIPS_MAX,
		.parts = take_memory(BENCH_PARTS_MAX * sizeof(struct synod_positions_part)),
		.parts_max = BENCH_PARTS_MAX,
	};
	bench->apply = synod_apply_init(
		take_memory(synod_apply_size(&synod_sequencer_machine, BENCH_SESSIONS)),
		&synod_sequencer_machine, BENCH_SESSIONS);
	bench->replicas = replicas;
	bench->has_areas = has_areas;
	bench->room = 1u << 30;
	bench->image_room = synod_apply_image_max(&synod_sequencer_machine, &limits);
	bench->image = take_memory(bench->image_room);
	make_pipeline(bench);
	start.now_ns = bench->now_ns;
	synod_pipeline_recover(bench->pipeline, &start);
	greet(bench);
	if (replicas > 1)
		return bench;
	bench_run(bench, 1000);
	synod_assert_cmp(bench->pipeline->order.core.role, ==, SYNOD_ROLE_LEADER);
	return bench;
}

struct bench *bench_make(void)
{
	return make(1, 0);
}

struct bench *bench_make_with_areas(uint32_t replicas)
{
	return make(replicas, 1);
}

void bench_restart(struct bench *bench)
{
	uint64_t last = synod_apply_slot(bench->apply);
	uint64_t promised = bench->pipeline->order.core.promised;
	size_t size = synod_apply_size(&synod_sequencer_machine, BENCH_SESSIONS);
	struct synod_pipeline_start start = { .promised = promised, .chosen_through = last };

	synod_pipeline_destroy(bench->pipeline);
	memset(bench->apply, 0, size);
	bench->apply = synod_apply_init(bench->apply, &synod_sequencer_machine, BENCH_SESSIONS);
	bench->tickets_given = bench->tickets_durable = 0;
	make_pipeline(bench);
	for (uint64_t slot = 1; slot <= last; slot++)
		synod_pipeline_replay(bench->pipeline, slot, bench->records[slot].body,
				      bench->records[slot].value.size);
	start.now_ns = bench->now_ns;
	synod_pipeline_recover(bench->pipeline, &start);
	bench_run(bench, 1000);
	synod_assert_cmp(bench->pipeline->order.core.role, ==, SYNOD_ROLE_LEADER);
}

void bench_restart_receiving(struct bench *bench)
{
	const struct synod_pipeline_start start = { .now_ns = bench->now_ns };
	const uint64_t received = bench->partial_received;

	synod_assert(bench->partial.slot && synod_apply_slot(bench->apply) == 0);
	synod_pipeline_destroy(bench->pipeline);
	bench->tickets_given = bench->tickets_durable = 0;
	make_pipeline(bench);
	memset(bench->image + received, 0xee, bench->image_room - received);
	synod_pipeline_recover(bench->pipeline, &start);
	synod_pipeline_load_partial(bench->pipeline, &bench->partial, received,
				    synod_crc32c(bench->image, received));
	greet(bench);
}

void bench_free(struct bench *bench)
{
	while (bench->packets_begin < bench->packets_end)
		rte_pktmbuf_free(bench->packets[bench->packets_begin++].mbuf);
	synod_pipeline_destroy(bench->pipeline);
	rte_mempool_free(bench->mbufs);
	rte_mempool_free(bench->header_mbufs);
	for (uint32_t slot = 0; slot < BENCH_SLOTS_MAX; slot++)
		free(bench->records[slot].body);
	free(bench->answers);
	free(bench->image);
	free(bench->snapshot_bytes);
	free(bench->records);
	free(bench->positions.slots);
	free(bench->positions.skips);
	free(bench->positions.parts);
	free(bench->apply);
	free(bench);
}

static void put(struct bench *bench, const struct synod_packet *packet,
		const struct synod_wire_header *header, const void *body, uint32_t size)
{
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(bench->mbufs);
	struct synod_wire_header *to;

	synod_assert(mbuf != NULL);
	synod_assert_cmp(bench->packets_end, <, BENCH_PACKETS_MAX);
	to = (struct synod_wire_header *)rte_pktmbuf_append(mbuf,
							    (uint16_t)(sizeof(*header) + size));
	*to = *header;
	to->cluster = BENCH_CLUSTER;
	to->receiver = 1;
	if (size)
		memcpy(to + 1, body, size);
	synod_wire_seal(to, NULL, to + 1, size);
	bench->packets[bench->packets_end] = *packet;
	bench->packets[bench->packets_end++].mbuf = mbuf;
}

void bench_put(struct bench *bench, uint64_t from, const struct synod_wire_header *header,
	       const void *body, uint32_t size)
{
	const struct synod_packet packet = { .door = 1, .from = { .opaque = { from } } };
	struct synod_wire_header own = *header;

	own.boot = BENCH_BOOT; /* as of one who was answered before */
	put(bench, &packet, &own, body, size);
}

void bench_put_peer(struct bench *bench, uint32_t from, const struct synod_wire_header *header,
		    const void *body, uint32_t size)
{
	const struct synod_packet packet = { .peer = from };
	struct synod_wire_header own = *header;

	own.sender = (uint16_t)from;
	/* Our ear, and the voice 1 of all who are not HELLOs, as it was greeted: lives.h. */
	own.boot = own.type == SYNOD_HELLO ? BENCH_BOOT : BENCH_BOOT ^ 1 << 16;
	put(bench, &packet, &own, body, size);
}

void bench_run(struct bench *bench, uint32_t turns)
{
	while (turns--) {
		bench->now_ns += BENCH_TURN_NS;
		for (int stage = 0; stage < SYNOD_PIPELINE_STAGES; stage++)
			synod_pipeline_poll(bench->pipeline, (enum synod_pipeline_stage)stage,
					    bench->now_ns);
	}
}

int bench_take(struct bench *bench, uint64_t *to, struct synod_wire_view *view)
{
	static struct bench_answer taken;

	if (!bench->answers_count)
		return 0;
	taken = bench->answers[0];
	bench->answers_count--;
	memmove(bench->answers, bench->answers + 1, bench->answers_count * sizeof(taken));
	synod_assert(synod_wire_decode(taken.bytes, taken.size, BENCH_CLUSTER,
				       taken.to > BENCH_PEER ? (uint32_t)taken.to - BENCH_PEER : 0,
				       view) == 0);
	*to = taken.to;
	return 1;
}

void bench_request(struct bench *bench, uint8_t kind, uint64_t session, uint64_t number,
		   const void *payload, uint32_t size)
{
	const struct synod_wire_header header = { .type = SYNOD_REQUEST };
	struct synod_wire_command command = {
		.session = session, .number = number, .size = size, .kind = kind
	};
	uint8_t body[SYNOD_BATCH_SIZE_MAX] = { 0 };

	memcpy(body, &command, sizeof(command));
	if (size)
		memcpy(body + sizeof(command), payload, size);
	bench_put(bench, session, &header, body, synod_wire_command_size(&command));
}

struct synod_wire_result bench_result(struct bench *bench, void *data)
{
	struct synod_wire_result result;
	struct synod_wire_view view;
	uint64_t to;

	synod_assert(bench_take(bench, &to, &view));
	synod_assert_cmp(view.header->type, ==, SYNOD_REPLY);
	synod_assert_cmp(view.header->slot, ==, to); /* requests come from their session's number */
	memcpy(&result, view.body, sizeof(result));
	synod_assert_cmp(view.body_size, ==, sizeof(result) + SYNOD_WIRE_ALIGN(result.size));
	if (data)
		memcpy(data, view.body + sizeof(result), result.size);
	return result;
}

uint64_t bench_open_session(struct bench *bench, uint64_t nonce)
{
	struct synod_wire_result result;

	bench_request(bench, SYNOD_COMMAND_REGISTER, 0, nonce, NULL, 0);
	bench_run(bench, 20);
	result = bench_result(bench, NULL);
	synod_assert_cmp(result.window, ==, SYNOD_SESSION_WINDOW_MAX); /* the client is told */
	return result.position;
}

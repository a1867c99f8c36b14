/* SPDX-License-Identifier: BSD-3-Clause */
/* Making a replica out of its parts, in one ladder, and taking it apart in the reverse order. */
#include "engine/host/replica.h"

#include "engine/base/crc32c.h"
#include "engine/host/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

enum {
	MBUFS = 8191
}; /* the window, both directions of every link, and room for bursts */

uint64_t synod_host_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct synod_apply_limits limits_of(const struct synod_replica *replica)
{
	return synod_apply_limits(replica->config.sessions, replica->config.session_window);
}

static int open_journal(struct synod_replica *replica, struct synod_replica_opened *opened,
			char *error, size_t error_size)
{
	const struct synod_config_replica *own =
		synod_config_replica(&replica->config, replica->id);
	const struct synod_apply_limits limits = limits_of(replica);
	struct synod_journal_identity identity = {
		.cluster = replica->config.id,
		.replica = replica->id,
		.replicas = replica->config.replicas,
	};
	struct synod_journal_options options = {
		.path = own->journal,
		.flags = own->journal_poll ? SYNOD_JOURNAL_POLL : 0,
		.expect = &identity,
		.counters = &replica->journal_counters,
		.timeout_ms = replica->config.journal_timeout_ms,
		.mending = &replica->mending,
	};
	struct synod_journal_status status;
	const struct synod_journal_device *device;
	char reason[256];
	int failed;

	if (replica->config.durability == SYNOD_WANT_NONE) {
		/* A number of its own: whoever remembers the disk it had sees that it is new. */
		if (getrandom(&identity.incarnation, sizeof(identity.incarnation), 0) < 0)
			identity.incarnation = synod_host_now_ns();
		identity.incarnation |= 1;
		options.memory.size = own->journal_size;
		options.memory.area_size =
			synod_apply_image_max(synod_machine_find(replica->config.machine), &limits);
	}
	opened->scan_ns = synod_host_now_ns();
	failed = synod_journal_open(&replica->journal, &options, &replica->recovery, error,
				    error_size);
	if (failed)
		return failed;
	opened->scan_ns = synod_host_now_ns() - opened->scan_ns;
	device = synod_journal_device(replica->journal);
	synod_journal_device_text(device, opened->durability, sizeof(opened->durability));
	opened->forgetful = device->durability == SYNOD_DURABILITY_NONE;
	if (replica->config.durability == SYNOD_WANT_DIRECT &&
	    synod_journal_device_check(device, reason, sizeof(reason))) {
		snprintf(error, error_size,
			 "%s: durability = direct is asked for, but %s, or set durability = any",
			 own->journal, reason);
		return -ENOTSUP;
	}
	synod_journal_status(replica->journal, &status);
	opened->scan_bytes = status.bytes_used;
	opened->registered_buffers = status.registered_buffers;
	opened->defer_taskrun = status.defer_taskrun;
	opened->slots_faulty = replica->mending.slots_count;
	opened->slots_repaired = replica->slots_repaired;
	opened->slots_covered = replica->slots_covered;
	opened->covered_from = replica->covered_from;
	opened->torn_bytes_at = replica->recovery.torn.reason ? replica->recovery.offset_tail : 0;
	return 0;
}

/* An index of all slots that the journal can, and the one after them. */
static int take_positions(struct synod_positions_memory *positions, uint64_t slots_max)
{
	positions->slots_max = slots_max + 2;
	positions->skips_max = SYNOD_PIPELINE_SKIPS_MAX;
	positions->parts_max = SYNOD_PIPELINE_PARTS_MAX;
	positions->slots = synod_uring_map(positions->slots_max * sizeof(*positions->slots));
	positions->skips = synod_uring_map(positions->skips_max * sizeof(*positions->skips));
	positions->parts = synod_uring_map(positions->parts_max * sizeof(*positions->parts));
	return positions->slots && positions->skips && positions->parts ? 0 : -ENOMEM;
}

/* For the largest snapshot that may be taken, and for the one that is there. */
static int take_image(struct synod_replica *replica, const struct synod_machine *machine)
{
	const struct synod_apply_limits limits = limits_of(replica);
	uint64_t room = synod_apply_image_max(machine, &limits);

	if (replica->recovery.log.begin == SYNOD_FORMAT_AREAS_BEGIN)
		return 0;
	if (room < replica->recovery.snapshot_size)
		room = replica->recovery.snapshot_size;
	replica->image_room = (room + SYNOD_BLOCK_SIZE - 1) & ~(uint64_t)(SYNOD_BLOCK_SIZE - 1);
	replica->image = synod_uring_map(replica->image_room);
	return replica->image ? 0 : -ENOMEM;
}

static void give_pages(void *pages, size_t size)
{
	if (pages)
		munmap(pages, size);
}

static void touch(struct rte_mempool *pool, void *unused, void *object, unsigned int index)
{
	(void)unused;
	(void)index;
	memset(((struct rte_mbuf *)object)->buf_addr, 0, rte_pktmbuf_data_room_size(pool));
}

static int take_memory(struct synod_replica *replica, char *error, size_t error_size)
{
	const struct synod_machine *machine = synod_machine_find(replica->config.machine);
	const struct synod_apply_limits limits = limits_of(replica);
	size_t apply_size = synod_apply_size_within(machine, &limits);
	struct synod_journal_status status;
	char name[RTE_MEMPOOL_NAMESIZE];

	synod_journal_status(replica->journal, &status);
	snprintf(name, sizeof(name), "synod%u.mbufs", replica->id);
	replica->mbufs =
		rte_pktmbuf_pool_create(name, MBUFS, 128, 0, SYNOD_NET_MBUF_ROOM, SOCKET_ID_ANY);
	snprintf(name, sizeof(name), "synod%u.headers", replica->id);
	replica->header_mbufs =
		rte_pktmbuf_pool_create(name, SYNOD_PIPELINE_HEADER_MBUFS - 1, 128, 0,
					SYNOD_PIPELINE_HEADER_ROOM, SOCKET_ID_ANY);
	if (!replica->mbufs || !replica->header_mbufs) {
		snprintf(error, error_size,
			 "no memory for packet buffers: raise memory_mb (now %u) to 128 or more",
			 replica->config.memory_mb);
		return -ENOMEM;
	}
	rte_mempool_obj_iter(replica->mbufs, touch, NULL);
	rte_mempool_obj_iter(replica->header_mbufs, touch, NULL);
	apply_size = (apply_size + 63) & ~(size_t)63;
	replica->apply_memory = aligned_alloc(64, apply_size);
	if (!replica->apply_memory || take_positions(&replica->positions, status.slots_max) != 0 ||
	    take_image(replica, machine) != 0) {
		snprintf(error, error_size,
			 "no memory for %u sessions of %u (%zu bytes): lower sessions or "
			 "session_window in [cluster]",
			 limits.sessions, limits.window, apply_size);
		return -ENOMEM;
	}
	memset(replica->apply_memory, 0, apply_size);
	return 0;
}

/*
 * What replicas must agree on, or their quorums do not meet (I16), or their state differs (I7). A
 * number of it travels on every message between them.
 */
static uint32_t shape_of(const struct synod_config *config)
{
	struct {
		uint32_t numbers[8];
		char machine[SYNOD_CONFIG_NAME_SIZE];
	} shape = { .numbers = { config->replicas, config->voters, config->quorum_prepare,
				 config->quorum_accept, config->sessions, config->session_window,
				 SYNOD_KV_ENTRIES, 1 } };

	snprintf(shape.machine, sizeof(shape.machine), "%s", config->machine);
	return synod_crc32c(&shape, sizeof(shape));
}

static enum synod_standing standing_of(const struct synod_replica *replica)
{
	if (replica->mending.slots_count)
		return SYNOD_STANDING_MENDING;
	return replica->recovery.identity.joining ? SYNOD_STANDING_JOINING : SYNOD_STANDING_MUTE;
}

static int make_pipeline(struct synod_replica *replica, char *error, size_t error_size)
{
	const struct synod_config *config = &replica->config;
	const struct synod_apply_limits limits = limits_of(replica);
	struct synod_journal_status status;
	struct synod_pipeline_config pipeline = {
		.cluster = config->id,
		.replica = replica->id,
		.replicas = config->replicas,
		.shape = shape_of(config),
		.incarnation = replica->recovery.identity.incarnation,
		.standing = standing_of(replica),
		.durability = synod_journal_durability(replica->journal),
		.core = {
			.replica = replica->id,
			.replicas = config->replicas,
			.voters = config->voters,
			.quorum_prepare = config->quorum_prepare,
			.quorum_accept = config->quorum_accept,
			.election_ns = config->election_ms * UINT64_C(1000000),
			.heartbeat_ns = config->heartbeat_ms * UINT64_C(1000000),
			.retransmit_ns = config->retransmit_ms * UINT64_C(1000000),
			.window = SYNOD_WINDOW_SLOTS,
			.inflight = SYNOD_INFLIGHT_SLOTS,
			.inflight_bytes = SYNOD_INFLIGHT_BYTES,
		},
		.net = synod_host_net_port(replica),
		.journal = synod_journal_port(replica->journal),
		.positions = replica->positions,
		.image = replica->image,
		.image_room = replica->image_room,
		.mbufs = replica->mbufs,
		.header_mbufs = replica->header_mbufs,
		.net_counters = &replica->net_counters,
		.journal_counters = &replica->journal_counters,
	};

	for (uint32_t id = 1; id <= SYNOD_REPLICAS_MAX; id++)
		pipeline.known[id] = (struct synod_disk){
			replica->recovery.identity.known.incarnation[id],
			replica->recovery.identity.known.life[id],
		};
	if (config->durability == SYNOD_WANT_NONE) {
		/* It forgets at every end, as was asked for: there is no disk to be sure of. */
		pipeline.standing = SYNOD_STANDING_VOTES;
		pipeline.incarnation = 0;
	}
	for (uint32_t id = 1; id <= config->replicas; id++)
		pipeline.core.priorities[id] = (uint8_t)synod_config_replica(config, id)->priority;
	synod_journal_status(replica->journal, &status);
	synod_journal_device_pack(synod_journal_device(replica->journal), pipeline.device);
	pipeline.journal_bytes = status.bytes_total;
	/* What is left of an IP packet after IP, UDP and our own headers. */
	pipeline.batch_size_max = (config->mtu - 28 - SYNOD_HEADER_SIZE - SYNOD_ENTRY_SIZE) & ~7u;
	if (pipeline.batch_size_max > SYNOD_BATCH_SIZE_MAX)
		pipeline.batch_size_max = SYNOD_BATCH_SIZE_MAX;
	if (getrandom(&pipeline.core.seed, sizeof(pipeline.core.seed), 0) < 0)
		pipeline.core.seed = synod_host_now_ns();
	while (!pipeline.boot) /* at most twice, in this life and the next thousand */
		if (getrandom(&pipeline.boot, sizeof(pipeline.boot), 0) < 0)
			pipeline.boot = (uint32_t)(synod_host_now_ns() ^ pipeline.core.seed) | 1;
	pipeline.apply = synod_apply_init_within(replica->apply_memory,
						 synod_machine_find(config->machine), &limits);
	if (synod_pipeline_create(&replica->pipeline, &pipeline) != 0) {
		snprintf(error, error_size, "no memory for the pipeline: raise memory_mb (now %u)",
			 config->memory_mb);
		return -ENOMEM;
	}
	return 0;
}

/* From the journal to a replica that may be polled, but for the network. */
static int begin(struct synod_replica *replica, struct synod_replica_opened *opened, char *error,
		 size_t error_size)
{
	int failed = open_journal(replica, opened, error, error_size);

	if (!failed && !replica->mbufs)
		failed = take_memory(replica, error, error_size);
	if (!failed)
		failed = make_pipeline(replica, error, error_size);
	if (failed)
		return failed;
	if (replica->mending.slots_count) {
		synod_pipeline_mend(replica->pipeline, &replica->mending, synod_host_now_ns());
		return 0;
	}
	synod_count(&replica->pipeline->order.counters, SYNOD_SLOTS_FAULTY,
		    replica->slots_repaired);
	synod_count(&replica->pipeline->order.counters, SYNOD_SLOTS_REPAIRED,
		    replica->slots_repaired);
	return synod_host_recover(replica, synod_host_now_ns(), opened, error, error_size);
}

int synod_replica_open(struct synod_replica **out, const struct synod_config *config, uint32_t id,
		       struct synod_replica_opened *opened, char *error, size_t error_size)
{
	struct synod_replica *replica = calloc(1, sizeof(*replica));
	int failed;

	*out = NULL;
	memset(opened, 0, sizeof(*opened));
	if (!replica)
		return -ENOMEM;
	replica->config = *config;
	replica->id = id;
	failed = begin(replica, opened, error, error_size);
	if (!failed)
		failed = synod_host_open_net(replica, error, error_size);
	if (failed) {
		synod_replica_close(replica);
		return failed;
	}
	*out = replica;
	return 0;
}

int synod_replica_resume(struct synod_replica *replica, struct synod_replica_opened *opened,
			 char *error, size_t error_size)
{
	const uint64_t end_ns = synod_host_now_ns() + UINT64_C(2000000000);
	int failed;

	synod_assert(synod_pipeline_mended(replica->pipeline));
	replica->slots_repaired += replica->mending.repaired + replica->mending.covered;
	replica->slots_covered += replica->mending.covered;
	if (replica->mending.covered)
		replica->covered_from = replica->mending.covered_from;
	synod_pipeline_destroy(replica->pipeline);
	replica->pipeline = NULL;
	synod_journal_close(replica->journal);
	replica->journal = NULL;
	/* The kernel may let go of the former ring, and thus of the lock, a little later. */
	do {
		sched_yield();
		memset(opened, 0, sizeof(*opened));
		failed = begin(replica, opened, error, error_size);
	} while (failed == -EBUSY && synod_host_now_ns() < end_ns);
	return failed;
}

int synod_replica_repaired(struct synod_replica *replica, uint32_t nth, uint64_t *slot,
			   uint32_t *from)
{
	const struct synod_mending_slot *repaired;

	if (nth >= synod_pipeline_repaired(replica->pipeline))
		return 0;
	repaired = synod_mending_repaired(&replica->mending, nth);
	*slot = repaired->slot;
	*from = repaired->from;
	return 1;
}

void synod_replica_close(struct synod_replica *replica)
{
	const struct synod_positions_memory *positions;

	if (!replica)
		return;
	positions = &replica->positions;
	synod_net_close(replica->net);
	synod_pipeline_destroy(replica->pipeline);
	synod_journal_close(replica->journal);
	give_pages(replica->image, replica->image_room);
	give_pages(positions->parts, positions->parts_max * sizeof(*positions->parts));
	give_pages(positions->skips, positions->skips_max * sizeof(*positions->skips));
	give_pages(positions->slots, positions->slots_max * sizeof(*positions->slots));
	free(replica->apply_memory);
	rte_mempool_free(replica->header_mbufs);
	rte_mempool_free(replica->mbufs);
	free(replica);
}

int synod_replica_poll(struct synod_replica *replica, uint32_t core)
{
	const struct synod_config_replica *own =
		synod_config_replica(&replica->config, replica->id);
	uint64_t now_ns = synod_host_now_ns(); /* once a turn */
	int failed = synod_pipeline_ended(replica->pipeline, now_ns);
	int work = 0;

	if (failed)
		return failed;
	if (synod_pipeline_mended(replica->pipeline))
		return -ERESTART;
	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
		if (own->core[stage] == core)
			work += synod_pipeline_poll(replica->pipeline,
						    (enum synod_pipeline_stage)stage, now_ns);
	return work;
}

uint32_t synod_replica_cores(const struct synod_replica *replica, uint32_t *cores)
{
	const struct synod_config_replica *own =
		synod_config_replica(&replica->config, replica->id);
	uint32_t count = 0;

	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++) {
		uint32_t i = 0;

		while (i < count && cores[i] != own->core[stage])
			i++;
		if (i == count)
			cores[count++] = own->core[stage];
	}
	return count;
}

uint64_t synod_replica_halted(const struct synod_replica *replica)
{
	return synod_counter_read(&replica->pipeline->ingress.counters, SYNOD_REFUSED_HALTED);
}

int synod_replica_is_led(const struct synod_replica *replica)
{
	return atomic_load_explicit(&replica->pipeline->published.leader, memory_order_relaxed) !=
	       0;
}

/* Why peers do not let it vote under this name (I12). */
static const char *refusal(struct synod_replica *replica)
{
	const struct synod_lives *lives = &replica->pipeline->ingress.lives;

	snprintf(replica->error, sizeof(replica->error),
		 "%s: data file belongs to incarnation %" PRIu64 " life %" PRIu64
		 ", but the cluster has seen incarnation %" PRIu64 " life %" PRIu64
		 " (says replica %" PRIu32 "): an older copy was restored, or it was formatted "
		 "again; run `synod recover`",
		 synod_config_replica(&replica->config, replica->id)->journal,
		 lives->refused_own.incarnation, lives->refused_own.life >> 32,
		 lives->refused.incarnation, lives->refused.life >> 32, lives->refused_by);
	return replica->error;
}

const char *synod_replica_error(struct synod_replica *replica)
{
	if (synod_pipeline_failed(replica->pipeline) == -ESTALE)
		return refusal(replica);
	if (synod_pipeline_failed(replica->pipeline) == -EBADMSG && replica->mending.hopeless) {
		snprintf(replica->error, sizeof(replica->error),
			 "%s: corrupt: slot %" PRIu64
			 ", which all other replicas have corrupt too: what was accepted there "
			 "cannot be told any more",
			 synod_config_replica(&replica->config, replica->id)->journal,
			 replica->mending.hopeless);
		return replica->error;
	}
	return synod_journal_error(replica->journal);
}

int synod_replica_serves(struct synod_replica *replica)
{
	return atomic_load_explicit(&replica->pipeline->published.leader, memory_order_relaxed) !=
	       0;
}

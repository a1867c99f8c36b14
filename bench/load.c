/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator. See load.h for the phases and for what counts as latency. */
#include "bench/load.h"

#include "bench/fan.h"
#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/wire/wire.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum {
	BURST = 64,
	/* Clients that a turn looks at for their timers, in rotation, besides those that it has
	 * something for: 16,384 are seen in 256 turns, some milliseconds. */
	SWEEP = 64,
	/* Numbers that all clients together have room for: 12 MiB. */
	WINDOWS_MAX = 64 * SYNOD_SESSION_WINDOW_MAX,
	WINDOW_MIN = 16,
	BURSTS_MAX = 16, /* of datagrams in a turn, so that it submits too */
	GAP_NS_DEFAULT = 20 * 1000 * 1000,
};

struct load_op {
	struct synod_client_op op; /* first: poll hands back its address */
	uint64_t due_ns;
	uint64_t client;   /* its number in the history */
	uint32_t measured; /* 1: due while measuring */
	uint32_t prepared; /* 1: made, but the client had no room for it */
	uint32_t under_way;
};

struct load_client {
	struct synod_client *client;
	uint32_t has_room; /* 1: it stands in the queue of those that have */
	uint32_t given;	   /* 1: it was given something in this turn */
	uint64_t turn;	   /* in which it was polled last */
};

struct synod_load {
	struct synod_load_config config;
	struct load_client *clients;
	struct synod_fan *fan; /* between them and the transport */
	uint32_t client_max;   /* operations under way of each */
	uint32_t sweep;	       /* where the last look for timers ended */
	uint64_t turn;
	uint32_t *room; /* a ring of `sessions`: who has room, in that order */
	uint32_t room_first;
	uint32_t room_count;
	uint32_t *given; /* who was given something in this turn */
	uint32_t given_count;
	/* Who is registering; all below admitted that are not among them are done. */
	uint32_t connecting[SYNOD_LOAD_CONNECTING_MAX];
	uint32_t connecting_count;
	uint32_t admitted;
	enum synod_load_phase phase;
	uint64_t phase_end_ns;
	uint64_t started_ns; /* first turn; 0: none yet */
	uint64_t measure_begin_ns;
	uint64_t measure_end_ns;
	uint64_t random;
	uint64_t client_next; /* number of the next client in the history */
	double due_ns;	      /* open loop: the next operation, since the schedule began */
	uint64_t schedule_ns;
	uint64_t acked_last_ns;
	uint64_t acked_noted;
	uint32_t free_count;
	uint32_t starved; /* 1: the last turn ended with operations due and none free */
	struct synod_load_result result;
	struct synod_histogram latency;
	struct synod_histogram lag;
	/* In the memory that follows this struct. */
	struct load_op *ops;
	struct synod_workload *workload;
	struct load_op **free_ops;
};

static size_t line_round(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

static struct synod_workload_config workload_config(const struct synod_load_config *config)
{
	return (struct synod_workload_config){
		.kind = config->workload,
		.lanes = config->outstanding,
		.payload_size = config->payload_size,
		.nonce = config->nonce,
		.seed = config->seed,
		.keys = config->keys,
		.prefix = config->key_prefix,
		.mix = config->mix,
		.reads = config->reads,
		.replicas = config->replicas,
	};
}

static uint32_t window_of(const struct synod_load_config *config)
{
	return config->window ? config->window : SYNOD_SESSION_WINDOW_MAX;
}

static int config_sane(const struct synod_load_config *config)
{
	return config->sessions >= 1 && config->sessions <= SYNOD_FAN_CLIENTS_MAX &&
	       window_of(config) <= SYNOD_SESSION_WINDOW_MAX && config->outstanding >= 1 &&
	       config->outstanding <= config->sessions * (window_of(config) / 2) &&
	       config->rate_per_s >= 0 && config->deadline_ns > 0 && config->duration_ns > 0;
}

/* The even share of a session. */
static uint32_t client_max(const struct synod_load_config *config)
{
	return (config->outstanding + config->sessions - 1) / config->sessions;
}

/* Of all clients alike: room for numbers while there is some, and for a datagram as they need. */
static struct synod_client_config client_config(const struct synod_load_config *config)
{
	struct synod_workload_config workload = workload_config(config);
	uint32_t command =
		SYNOD_COMMAND_HEADER_SIZE + SYNOD_WIRE_ALIGN(synod_workload_command_max(&workload));
	uint64_t datagram = SYNOD_HEADER_SIZE + (uint64_t)client_max(config) * command;
	struct synod_client_config made = {
		.struct_size = sizeof(made),
		.replicas = config->replicas,
		.cluster = config->cluster,
		.datagram_size_max = config->datagram_size_max,
		.outstanding_max = client_max(config),
		.retry_ns = config->retry_ns,
		.deadline_ns = config->deadline_ns,
		.window_max = SYNOD_SESSION_WINDOW_MAX,
	};

	while (made.window_max > WINDOW_MIN && made.window_max / 4 >= made.outstanding_max &&
	       (uint64_t)made.window_max * config->sessions > WINDOWS_MAX)
		made.window_max /= 2; /* at most 8 turns */
	if (datagram < SYNOD_FRAME_SIZE_MAX &&
	    (!made.datagram_size_max || datagram < made.datagram_size_max))
		made.datagram_size_max = (uint32_t)datagram;
	return made;
}

size_t synod_load_size(const struct synod_load_config *config)
{
	struct synod_workload_config workload = workload_config(config);
	struct synod_client_config client;
	size_t workload_size = config_sane(config) ? synod_workload_size(&workload) : 0;

	if (!workload_size)
		return 0;
	client = client_config(config);
	return line_round(sizeof(struct synod_load)) + synod_fan_size(config->sessions) +
	       line_round(config->sessions * sizeof(struct load_client)) +
	       2 * line_round(config->sessions * sizeof(uint32_t)) +
	       config->sessions * line_round(synod_client_size_of(&client)) +
	       line_round(config->outstanding * sizeof(struct load_op)) +
	       line_round(config->outstanding * sizeof(struct load_op *)) +
	       line_round(workload_size);
}

uint32_t synod_load_record_bytes(const struct synod_load_config *config)
{
	struct synod_workload_config workload = workload_config(config);

	return synod_workload_record_bytes(&workload);
}

static void prepare_lanes(struct synod_load *load)
{
	uint32_t lane;

	for (lane = 0; lane < load->config.outstanding; lane++) {
		load->ops[lane] = (struct load_op){ .client = load->client_next++ };
		load->free_ops[load->free_count++] = &load->ops[lane];
	}
}

/* A piece of the memory that follows. */
static void *take(uint8_t **at, size_t size)
{
	void *taken = *at;

	*at += line_round(size);
	return taken;
}

/* Client i has room, and waits for its turn to be given something. */
static void queue_up(struct synod_load *load, uint32_t i)
{
	uint32_t sessions = load->config.sessions;

	if (load->clients[i].has_room)
		return;
	synod_assert_cmp(load->room_count, <, sessions);
	load->clients[i].has_room = 1;
	load->room[(load->room_first + load->room_count++) % sessions] = i;
}

static uint32_t leave_queue(struct synod_load *load)
{
	uint32_t i = load->room[load->room_first];

	synod_assert(load->room_count > 0);
	load->clients[i].has_room = 0;
	load->room_first = (load->room_first + 1) % load->config.sessions;
	load->room_count--;
	return i;
}

static int make_clients(struct synod_load *load, uint8_t **at,
			const struct synod_transport *transport)
{
	const struct synod_load_config *config = &load->config;
	struct synod_client_config made = client_config(config);
	uint64_t nonce = config->nonce;
	uint32_t i;

	load->fan = synod_fan_init(take(at, synod_fan_size(config->sessions)), transport,
				   config->sessions, config->shared);
	load->client_max = made.outstanding_max;
	load->clients = take(at, config->sessions * sizeof(*load->clients));
	load->room = take(at, config->sessions * sizeof(*load->room));
	load->given = take(at, config->sessions * sizeof(*load->given));
	if (made.datagram_size_max > transport->datagram_size_max)
		made.datagram_size_max = transport->datagram_size_max;
	for (i = 0; i < config->sessions; i++) {
		int error;

		made.nonce = i ? synod_random_next(&nonce) : config->nonce;
		load->clients[i] = (struct load_client){ 0 };
		error = synod_client_init(&load->clients[i].client,
					  take(at, synod_client_size_of(&made)), &made,
					  synod_fan_transport(load->fan, i));
		if (error)
			return error;
		synod_fan_belongs(load->fan, i, load->clients[i].client);
		queue_up(load, i);
	}
	return 0;
}

int synod_load_init(struct synod_load **load, void *memory, const struct synod_load_config *config,
		    const struct synod_transport *transport)
{
	struct synod_workload_config workload = workload_config(config);
	struct synod_load *made = memory;
	uint8_t *at = memory;
	int error;

	if (!synod_load_size(config))
		return -EINVAL;
	memset(made, 0, sizeof(*made));
	made->config = *config;
	made->random = config->seed;
	made->client_next = config->history_client;
	if (!made->config.gap_ns)
		made->config.gap_ns = GAP_NS_DEFAULT;
	(void)take(&at, sizeof(*made));
	error = make_clients(made, &at, transport);
	if (error)
		return error;
	if (SYNOD_COMMAND_HEADER_SIZE + synod_workload_command_max(&workload) >
	    synod_client_commands_size(made->clients[0].client))
		return -EINVAL;
	made->ops = take(&at, config->outstanding * sizeof(struct load_op));
	made->free_ops = take(&at, config->outstanding * sizeof(struct load_op *));
	made->workload = synod_workload_init(at, &workload);
	prepare_lanes(made);
	*load = made;
	return 0;
}

static uint32_t lane_of(const struct synod_load *load, const struct load_op *op)
{
	return (uint32_t)(op - load->ops);
}

/* To the first of those that have room. Returns 1 if one took it. */
static int give(struct synod_load *load, struct synod_client_op *op, uint64_t now_ns)
{
	while (load->room_count) { /* at most `sessions` turns: each but the last takes one away */
		uint32_t i = load->room[load->room_first];
		struct load_client *to = &load->clients[i];
		uint32_t taken = synod_client_submit(to->client, &op, 1, now_ns);

		/* One that is held back by its window is here again when it was answered. */
		if (!taken || synod_client_outstanding(to->client) == load->client_max)
			(void)leave_queue(load);
		if (!taken)
			continue;
		if (!to->given)
			load->given[load->given_count++] = i;
		to->given = 1;
		return 1;
	}
	return 0;
}

static int submit_one(struct synod_load *load, uint64_t due_ns, uint64_t now_ns)
{
	struct load_op *op = load->free_ops[load->free_count - 1];
	struct synod_client_op *one = &op->op;

	if (!op->prepared)
		synod_workload_prepare(load->workload, lane_of(load, op), one);
	op->prepared = 1;
	op->due_ns = due_ns;
	op->measured = load->phase == SYNOD_LOAD_MEASURING;
	if (!give(load, one, now_ns))
		return 0;
	op->prepared = 0;
	op->under_way = 1;
	load->free_count--;
	load->result.submitted++;
	return 1;
}

static uint32_t submit_closed(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count = 0;

	while (load->free_count && submit_one(load, now_ns, now_ns))
		count++;
	return count;
}

static double gap_to_next(struct synod_load *load)
{
	double mean_ns = 1e9 / load->config.rate_per_s;
	/* Uniform in (0, 1]: the 53 bits that a double holds. */
	double uniform = ((double)(synod_random_next(&load->random) >> 11) + 1) * 0x1p-53;

	return load->config.constant ? mean_ns : -log(uniform) * mean_ns;
}

static uint32_t submit_open(struct synod_load *load, uint64_t now_ns)
{
	uint32_t late = load->starved;
	uint32_t count = 0;

	load->starved = 0;
	while (load->schedule_ns + (uint64_t)load->due_ns <= now_ns) {
		uint64_t due_ns = load->schedule_ns + (uint64_t)load->due_ns;

		if (!load->free_count || !submit_one(load, due_ns, now_ns)) {
			load->starved = 1;
			break;
		}
		if (late)
			load->result.blocked++;
		else if (load->phase == SYNOD_LOAD_MEASURING)
			synod_histogram_record(&load->lag, now_ns - due_ns);
		load->due_ns += gap_to_next(load);
		count++;
	}
	return count;
}

static void note_gap(struct synod_load *load, uint64_t now_ns)
{
	struct synod_load_gap gap = { .begin_ns = load->acked_last_ns, .end_ns = now_ns };
	struct synod_load_result *result = &load->result;

	load->acked_last_ns = now_ns;
	if (!gap.begin_ns)
		return;
	if (gap.end_ns - gap.begin_ns > result->gap_max.end_ns - result->gap_max.begin_ns)
		result->gap_max = gap;
	if (gap.end_ns - gap.begin_ns < load->config.gap_ns)
		return;
	if (result->gaps_count < SYNOD_LOAD_GAPS_MAX)
		result->gaps[result->gaps_count] = gap;
	result->gaps_count++;
}

/* By when they were acknowledged, whatever the phase. */
static void note_bucket(struct synod_load *load, uint64_t now_ns)
{
	struct synod_load_result *result = &load->result;
	uint64_t bucket;

	if (!load->config.bucket_ns)
		return;
	if (!result->buckets_ns)
		result->buckets_ns = now_ns;
	bucket = (now_ns - result->buckets_ns) / load->config.bucket_ns;
	if (bucket >= SYNOD_LOAD_BUCKETS_MAX)
		return;
	result->buckets[bucket]++;
	result->buckets_count = (uint32_t)bucket;
}

/* The machine spoke: a command was executed, or a read was served (perhaps before position 1). */
static int answered(const struct synod_client_op *op)
{
	return op->position || (op->sort != SYNOD_CLIENT_COMMAND &&
				(op->status == SYNOD_OK || op->status == SYNOD_NOT_FOUND));
}

static void account(struct synod_load *load, const struct load_op *op, uint64_t now_ns)
{
	struct synod_load_result *result = &load->result;

	if (!answered(&op->op)) {
		if (op->op.status == SYNOD_UNKNOWN)
			result->unknown++;
		else if (op->op.status == SYNOD_FULL || op->op.status == SYNOD_NOT_LEADER)
			result->refused++;
		else
			result->errors++;
		return;
	}
	result->acked++;
	result->acked_measured += load->phase == SYNOD_LOAD_MEASURING;
	note_bucket(load, now_ns);
	if (op->measured)
		synod_histogram_record(&load->latency, now_ns - op->due_ns);
	if (!load->config.acked || op->op.sort != SYNOD_CLIENT_COMMAND)
		return;
	if (load->acked_noted == load->config.acked_max) {
		result->notes_lost++;
		return;
	}
	load->config.acked[load->acked_noted++] = (struct synod_acked){
		.session = op->op.session,
		.number = op->op.number,
		.position = op->op.position,
	};
}

/* 1: what was asked may have taken effect, or may yet. */
static int fate_unknown(uint16_t status)
{
	return status == SYNOD_UNKNOWN || status == SYNOD_SESSION_EVICTED ||
	       status == SYNOD_STALE || status == SYNOD_FULL;
}

static void note_history(struct synod_load *load, struct load_op *op)
{
	struct synod_history_record *record;

	if (!load->config.history)
		return;
	record = synod_history_add(load->config.history);
	record->client = op->client;
	record->invoked_ns = op->op.submitted_ns;
	record->position = op->op.position;
	record->outcome = op->op.status;
	record->open = (uint8_t)fate_unknown(op->op.status);
	synod_workload_describe(load->workload, lane_of(load, op), &op->op, record);
	if (record->open)
		op->client = load->client_next++;
}

static uint32_t reap_client(struct synod_load *load, uint32_t i, uint64_t now_ns)
{
	struct synod_client *client = load->clients[i].client;
	uint32_t count = 0;
	uint32_t burst;

	do { /* at most `outstanding` operations */
		struct synod_client_op *ops[BURST];
		uint32_t index;

		burst = synod_client_poll(client, ops, BURST, now_ns);
		for (index = 0; index < burst; index++) {
			struct load_op *op = (struct load_op *)(void *)ops[index];

			op->under_way = 0;
			account(load, op, now_ns);
			synod_workload_learn(load->workload, lane_of(load, op), &op->op);
			note_history(load, op);
			load->free_ops[load->free_count++] = op;
		}
		count += burst;
	} while (burst == BURST);
	load->clients[i].turn = load->turn;
	synod_fan_note(load->fan, i);
	if (count)
		queue_up(load, i);
	return count;
}

/* Who is not connected is looked at each turn, and replaced by the next when it is. */
static uint32_t reap_connecting(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count = 0;
	uint32_t at = 0;

	while (load->connecting_count < SYNOD_LOAD_CONNECTING_MAX &&
	       load->admitted < load->config.sessions)
		load->connecting[load->connecting_count++] = load->admitted++;
	while (at < load->connecting_count) { /* each turn goes on, or takes one away */
		uint32_t i = load->connecting[at];

		count += reap_client(load, i, now_ns);
		if (synod_client_session(load->clients[i].client))
			load->connecting[at] = load->connecting[--load->connecting_count];
		else
			at++;
	}
	return count;
}

/* A few of the others, for their timers. */
static uint32_t sweep(struct synod_load *load, uint64_t now_ns)
{
	uint32_t most = load->admitted < SWEEP ? load->admitted : SWEEP;
	uint32_t count = 0;

	while (most--) {
		load->sweep = load->sweep + 1 < load->admitted ? load->sweep + 1 : 0;
		if (load->clients[load->sweep].turn != load->turn)
			count += reap_client(load, load->sweep, now_ns);
	}
	return count;
}

static uint32_t reap(struct synod_load *load, uint64_t now_ns)
{
	uint64_t acked = load->result.acked;
	uint32_t count = 0;
	uint32_t burst;
	uint32_t bursts = 0;

	load->turn++;
	do {
		uint32_t k;

		burst = synod_fan_take(load->fan);
		for (k = 0; k < load->fan->dealt_count; k++)
			count += reap_client(load, load->fan->dealt[k], now_ns);
	} while (burst == SYNOD_FAN_BURST && ++bursts < BURSTS_MAX);
	count += reap_connecting(load, now_ns);
	count += sweep(load, now_ns);
	synod_fan_flush(load->fan);
	synod_assert_cmp(load->free_count, <=, load->config.outstanding);
	if (load->result.acked != acked)
		note_gap(load, now_ns);
	return count;
}

static void begin_phase(struct synod_load *load, enum synod_load_phase phase, uint64_t now_ns)
{
	load->phase = phase;
	if (phase == SYNOD_LOAD_WARMING) {
		load->result.connect_ns = now_ns - load->started_ns;
		load->schedule_ns = now_ns;
		load->due_ns = load->config.rate_per_s > 0 ? gap_to_next(load) : 0;
		load->phase_end_ns = now_ns + load->config.warmup_ns;
	} else if (phase == SYNOD_LOAD_MEASURING) {
		load->measure_begin_ns = now_ns;
		load->phase_end_ns = now_ns + load->config.duration_ns;
	} else if (phase == SYNOD_LOAD_DRAINING) {
		load->measure_end_ns = now_ns;
		load->phase_end_ns = now_ns + 2 * load->config.deadline_ns;
	}
}

static int all_open(const struct synod_load *load)
{
	return load->admitted == load->config.sessions && !load->connecting_count;
}

static uint32_t under_way(const struct synod_load *load)
{
	return load->config.outstanding - load->free_count;
}

static void maybe_next_phase(struct synod_load *load, uint64_t now_ns)
{
	if (!load->started_ns) {
		load->started_ns = now_ns;
		load->phase_end_ns = now_ns + load->config.deadline_ns;
	}
	if (load->phase == SYNOD_LOAD_CONNECTING) {
		if (all_open(load))
			begin_phase(load, SYNOD_LOAD_WARMING, now_ns);
		else if (now_ns >= load->phase_end_ns)
			begin_phase(load, SYNOD_LOAD_UNCONNECTED, now_ns);
	}
	if (load->phase == SYNOD_LOAD_WARMING && now_ns >= load->phase_end_ns)
		begin_phase(load, SYNOD_LOAD_MEASURING, now_ns);
	if (load->phase == SYNOD_LOAD_MEASURING && now_ns >= load->phase_end_ns)
		begin_phase(load, SYNOD_LOAD_DRAINING, now_ns);
	if (load->phase == SYNOD_LOAD_DRAINING &&
	    (!under_way(load) || now_ns >= load->phase_end_ns))
		begin_phase(load, SYNOD_LOAD_DONE, now_ns);
}

static uint32_t submit(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count;

	if (load->phase != SYNOD_LOAD_WARMING && load->phase != SYNOD_LOAD_MEASURING)
		return 0;
	count = load->config.rate_per_s > 0 ? submit_open(load, now_ns)
					    : submit_closed(load, now_ns);
	while (load->given_count) { /* at most `sessions` turns */
		struct load_client *to = &load->clients[load->given[--load->given_count]];

		to->given = 0;
		synod_client_flush(to->client, now_ns);
	}
	/* Whoever was given something and has room left: after the others, the next time. */
	if (count && load->room_count)
		queue_up(load, leave_queue(load));
	synod_fan_flush(load->fan);
	return count;
}

/* What the last turn received is stamped, then what leaves now, and only then received again. */
static uint32_t turn_with_history(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count;

	synod_history_publish(load->config.history, now_ns);
	if (synod_history_room(load->config.history) < load->config.outstanding) {
		load->result.history_waits++;
		return 0;
	}
	count = submit(load, now_ns);
	return count + reap(load, now_ns);
}

uint32_t synod_load_turn(struct synod_load *load, uint64_t now_ns)
{
	uint32_t count;

	maybe_next_phase(load, now_ns);
	if (load->phase >= SYNOD_LOAD_DONE)
		return 0;
	if (load->config.history)
		return turn_with_history(load, now_ns);
	count = reap(load, now_ns);
	return count + submit(load, now_ns);
}

void synod_load_end_history(struct synod_load *load, uint64_t now_ns)
{
	uint32_t lane;

	if (!load->config.history)
		return;
	synod_history_publish(load->config.history, now_ns);
	for (lane = 0; lane < load->config.outstanding; lane++) {
		struct load_op *op = &load->ops[lane];

		if (!op->under_way)
			continue;
		op->op.status = SYNOD_UNKNOWN;
		op->under_way = 0;
		while (!synod_history_room(load->config.history))
			; /* the thread makes some: a failed file takes everything */
		note_history(load, op);
	}
	synod_history_publish(load->config.history, now_ns);
}

uint64_t synod_load_take_acked(struct synod_load *load, uint64_t least,
			       const struct synod_acked **records)
{
	uint64_t count = load->acked_noted;

	if (count < least || !count)
		return 0;
	*records = load->config.acked;
	load->acked_noted = 0;
	return count;
}

enum synod_load_phase synod_load_phase(const struct synod_load *load)
{
	return load->phase;
}

uint64_t synod_load_deadline(const struct synod_load *load)
{
	uint64_t deadline_ns = load->phase_end_ns;
	uint32_t sessions = load->config.sessions;
	uint32_t k;

	for (k = 1; k <= sessions && k <= SWEEP; k++) {
		uint32_t i = (load->sweep + k) % sessions;
		uint64_t client_ns = synod_client_deadline(load->clients[i].client);

		if (client_ns < deadline_ns)
			deadline_ns = client_ns;
	}
	if ((load->phase == SYNOD_LOAD_WARMING || load->phase == SYNOD_LOAD_MEASURING) &&
	    load->config.rate_per_s > 0 && load->free_count &&
	    load->schedule_ns + (uint64_t)load->due_ns < deadline_ns)
		deadline_ns = load->schedule_ns + (uint64_t)load->due_ns;
	return deadline_ns;
}

void synod_load_stop(struct synod_load *load, uint64_t now_ns)
{
	if (load->phase < SYNOD_LOAD_WARMING)
		begin_phase(load, SYNOD_LOAD_UNCONNECTED, now_ns);
	else if (load->phase < SYNOD_LOAD_DRAINING)
		begin_phase(load, SYNOD_LOAD_DRAINING, now_ns);
}

static void add_counters(struct synod_client_counters *sum,
			 const struct synod_client_counters *counters)
{
	uint64_t *to = (uint64_t *)(void *)sum;
	const uint64_t *from = (const uint64_t *)(const void *)counters;
	size_t i;

	/* A struct of nothing but 64-bit numbers. */
	for (i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
		to[i] += from[i];
}

void synod_load_result(const struct synod_load *load, struct synod_load_result *result)
{
	uint32_t i;

	*result = load->result;
	result->phase = load->phase;
	result->measured_ns =
		load->measure_begin_ns ? load->measure_end_ns - load->measure_begin_ns : 0;
	result->ops_per_s = result->measured_ns ? (double)result->acked_measured * 1e9 /
							  (double)result->measured_ns
						: 0;
	result->latency = &load->latency;
	result->lag = &load->lag;
	result->datagrams = load->fan->counters;
	memset(&result->client, 0, sizeof(result->client));
	for (i = 0; i < load->config.sessions; i++)
		add_counters(&result->client, synod_client_counters(load->clients[i].client));
}

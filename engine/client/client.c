/* SPDX-License-Identifier: BSD-3-Clause */
/* The client's interface, and the turns between seeking and following. See client.h. */
#include "engine/client/client.h"

#include "engine/base/assert.h"
#include "engine/client/client_internal.h"

#include <errno.h>
#include <string.h>

_Static_assert(_Alignof(struct synod_client) <= SYNOD_CLIENT_ALIGNMENT, "as promised");

static size_t line_round(size_t size)
{
	return (size + 63) & ~(size_t)63;
}

static uint32_t window_max_of(const struct synod_client_config *config)
{
	return config->window_max ? config->window_max : SYNOD_SESSION_WINDOW_MAX;
}

/* Where the packet begins, and the whole ends; and the slots, which are first. */
static size_t slots_at(void)
{
	return line_round(sizeof(struct synod_client));
}

static size_t packet_at(const struct synod_client_config *config)
{
	return slots_at() + line_round(window_max_of(config) * (sizeof(struct client_slot) +
								sizeof(struct synod_client_op *)));
}

size_t synod_client_size_of(const struct synod_client_config *config)
{
	uint32_t packet_size =
		config->datagram_size_max ? config->datagram_size_max : SYNOD_FRAME_SIZE_MAX;

	return packet_at(config) + line_round(packet_size);
}

size_t synod_client_size(void)
{
	const struct synod_client_config largest = { .window_max = SYNOD_SESSION_WINDOW_MAX };

	return synod_client_size_of(&largest);
}

static int config_sane(const struct synod_client_config *config,
		       const struct synod_transport *transport)
{
	uint32_t window_max = window_max_of(config);

	return config->struct_size == sizeof(*config) && config->replicas >= 1 &&
	       config->replicas <= SYNOD_REPLICAS_MAX && config->leader_hint <= config->replicas &&
	       (config->identity || !config->incarnation) && config->outstanding_max >= 1 &&
	       window_max <= SYNOD_SESSION_WINDOW_MAX && (window_max & (window_max - 1)) == 0 &&
	       config->outstanding_max <= window_max / 2 &&
	       config->datagram_size_max <= transport->datagram_size_max &&
	       config->retry_ns <= UINT64_MAX >> 16 && config->deadline_ns <= UINT64_MAX >> 16;
}

/* Commands that fit a datagram of size bytes, and a batch, with whole 8-byte steps. */
static uint32_t body_size_of(uint32_t size)
{
	uint32_t body;

	if (size < SYNOD_HEADER_SIZE + SYNOD_COMMAND_HEADER_SIZE)
		return 0;
	body = (size - SYNOD_HEADER_SIZE) & ~7u;
	return body < SYNOD_BATCH_SIZE_MAX ? body : SYNOD_BATCH_SIZE_MAX;
}

int synod_client_init(struct synod_client **client, void *memory,
		      const struct synod_client_config *config,
		      const struct synod_transport *transport)
{
	struct synod_client *made = memory;
	uint32_t size = config->datagram_size_max ? config->datagram_size_max
						  : transport->datagram_size_max;

	if ((uintptr_t)memory % SYNOD_CLIENT_ALIGNMENT || !config_sane(config, transport) ||
	    !body_size_of(size))
		return -EINVAL;
	memset((void *)made, 0, synod_client_size_of(config));
	made->slots = (struct client_slot *)((uintptr_t)memory + slots_at());
	made->slots_mask = window_max_of(config) - 1;
	made->completed = (struct synod_client_op **)(void *)(made->slots + made->slots_mask + 1);
	made->packet = (uint8_t *)memory + packet_at(config);
	made->transport = transport;
	made->body_size_max = body_size_of(size);
	made->cluster = config->cluster;
	made->replicas = config->replicas;
	made->outstanding_max = config->outstanding_max;
	made->retry_ns = config->retry_ns ? config->retry_ns : CLIENT_RETRY_NS_DEFAULT;
	made->deadline_ns = config->deadline_ns;
	made->tick_period_ns = made->retry_ns;
	if (made->deadline_ns && made->deadline_ns < made->retry_ns)
		made->tick_period_ns = made->deadline_ns;
	made->tick_period_ns = made->tick_period_ns / CLIENT_TICKS_PER_RETRY + 1;
	made->nonce_state = config->nonce;
	/* An identity's nonces count up from a random one: the later registration has more. */
	made->nonce = config->identity ? config->nonce & INT64_MAX : config->nonce;
	made->large.window = CLIENT_PARTS_FIRST;
	synod_client_pace_init(made);
	made->spread = (uint32_t)(config->nonce >> 17);
	made->identity = config->identity;
	made->incarnation = config->incarnation;
	made->number_oldest = made->number_cursor = made->number_next = 1;
	made->target = config->leader_hint ? config->leader_hint : 1;
	made->turn = made->target;
	made->seeking = 1; /* probe_ns 0: at once */
	*client = made;
	return 0;
}

static void push_completed(struct synod_client *client, struct synod_client_op *op)
{
	synod_assert_cmp(client->completed_end - client->completed_first, <=, client->slots_mask);
	client->completed[client->completed_end++ & client->slots_mask] = op;
}

static int is_sane(const struct synod_client *client, const struct synod_client_op *op)
{
	if (op->sort == SYNOD_CLIENT_READ_STALE)
		return op->replica >= 1 && op->replica <= client->replicas;
	return op->sort == SYNOD_CLIENT_COMMAND || op->sort == SYNOD_CLIENT_READ;
}

/* A command may be sent in parts, a read fits a datagram. */
static uint32_t size_max(const struct synod_client *client, const struct synod_client_op *op)
{
	return op->sort == SYNOD_CLIENT_COMMAND ? synod_client_command_size_max(client)
						: client->body_size_max - SYNOD_COMMAND_HEADER_SIZE;
}

uint32_t synod_client_submit(struct synod_client *client, struct synod_client_op *const ops[],
			     uint32_t n, uint64_t now_ns)
{
	uint32_t taken;

	for (taken = 0; taken < n; taken++) {
		struct synod_client_op *op = ops[taken];
		uint64_t number = client->number_next;

		if (client->outstanding == client->outstanding_max ||
		    number - client->number_oldest > client->slots_mask)
			break;
		client->outstanding++;
		op->position = 0;
		op->session = 0;
		op->number = number;
		op->submitted_ns = now_ns;
		op->result_size = 0;
		op->refusal = 0;
		if (op->size > size_max(client, op) || client->fenced || !is_sane(client, op)) {
			op->status = client->fenced	   ? SYNOD_SESSION_EVICTED
				     : is_sane(client, op) ? SYNOD_TOO_LARGE
							   : SYNOD_BAD_COMMAND;
			op->number = 0;
			op->completed_ns = now_ns;
			push_completed(client, op);
			continue;
		}
		*client_slot(client, number) = (struct client_slot){ .op = op };
		if (op->sort == SYNOD_CLIENT_READ_STALE) {
			client->stale_waiting++;
			client->stale_due_ns = 0;
		}
		client->large.pending += (uint32_t)client_is_large(client, op);
		client->number_next++;
	}
	return taken;
}

/* The one way an operation ends once it has a number. */
void synod_client_complete(struct synod_client *client, uint64_t number, uint16_t status,
			   uint64_t position, uint64_t now_ns)
{
	struct client_slot *slot = client_slot(client, number);
	struct synod_client_op *op = slot->op;

	synod_assert(op != NULL);
	synod_assert_cmp(op->number, ==, number);
	op->status = status;
	op->position = position;
	op->session = slot->copies ? client->session : 0;
	op->refusal = slot->refusal;
	op->completed_ns = now_ns;
	client->stale_waiting -= client_is_stale(slot) != 0;
	if (client_is_large(client, op))
		synod_client_large_ended(client, number);
	else if (slot->copies && !client_is_stale(slot))
		client_pace_answered(client, number, now_ns);
	slot->op = NULL;
	push_completed(client, op);
	/* Each number is stepped over once in its life: constant time an operation. */
	while (client->number_oldest < client->number_next &&
	       !client_slot(client, client->number_oldest)->op)
		client->number_oldest++;
	if (client->number_cursor < client->number_oldest)
		client->number_cursor = client->number_oldest;
}

/* 0: it is in parts, and no copy of the last one, which executes it, ever left. */
static int last_part_sent(struct synod_client *client, uint64_t number)
{
	const struct synod_client_op *op = client_slot(client, number)->op;

	if (!client_is_large(client, op))
		return 1;
	return number == client->large.number && client->large.sent == op->size;
}

/* Ends an operation that was not answered, with the most that is known of it. */
void synod_client_give_up(struct synod_client *client, uint64_t number, uint64_t now_ns)
{
	const struct client_slot *slot = client_slot(client, number);
	uint16_t status = SYNOD_UNKNOWN;

	if (client->pace.timed == number)
		client->pace.timed = 0; /* it tells nothing of how long an answer takes */
	if (slot->copies == 0)
		status = slot->refusal == SYNOD_FULL ? SYNOD_FULL : SYNOD_NOT_LEADER;
	else if (slot->refusal == SYNOD_FULL &&
		 (slot->refusals >= slot->copies || !last_part_sent(client, number)))
		status = SYNOD_FULL;
	synod_client_complete(client, number, status, 0, now_ns);
}

/* From now on one probe at a time, to target; not faster than the pace. */
void synod_client_seek(struct synod_client *client, uint32_t target, uint64_t now_ns)
{
	uint64_t earliest_ns = client->probed_ns + client_probe_pace_ns(client, now_ns);

	synod_assert_cmp(target, >=, 1);
	synod_assert_cmp(target, <=, client->replicas);
	client->counters.leader_changes += !client->seeking;
	client->target = target;
	client->seeking = 1;
	client->probe_out = 0;
	client->probe_ns = earliest_ns > now_ns && client->probed_ns ? earliest_ns : now_ns;
}

/*
 * Target leads: everything unanswered goes to it, oldest first. But one that led before, and in the
 * same life, was asked all that already, and was only slow: the timers see to what it has lost.
 */
void synod_client_follow(struct synod_client *client, uint64_t now_ns)
{
	uint32_t boot = client->boots[client->target];

	synod_assert(client->session != 0);
	client->seeking = 0;
	client->probe_out = 0;
	client->silent = 0;
	client->asked_ns = 0;
	if (client->followed == client->target && client->followed_boot == boot)
		synod_client_pace_again(client, now_ns);
	else
		client->number_cursor = client->number_oldest;
	client->followed = client->target;
	client->followed_boot = boot;
	synod_client_large_follow(client);
}

/*
 * The next in turn, past the one asked just now, one that was silent a moment ago and those whose
 * link is down. The turn is its own: counted from the target, stale hints could lead back to the
 * same few for ever.
 */
uint32_t synod_client_next_replica(struct synod_client *client, uint64_t now_ns)
{
	for (uint32_t i = 0; i < client->replicas; i++) {
		client->turn = client->turn % client->replicas + 1;
		if (client->turn != client->target && !client_is_lost(client, client->turn) &&
		    (client->turn != client->silent || now_ns >= client->silent_until_ns))
			break;
	}
	return client->turn;
}

void synod_client_flush(struct synod_client *client, uint64_t now_ns)
{
	synod_client_send(client, now_ns);
	client->transport->flush(client->transport->context);
}

/*
 * The transport says that the leader's link is down: no need to wait until its silence is long
 * enough. Who follows it is looked for in a hurry, for as long as an election that begins so takes.
 */
static void lose_leader(struct synod_client *client, uint64_t now_ns)
{
	client->silent = client->target;
	client->silent_until_ns = now_ns + CLIENT_SILENT_RETRIES * client->retry_ns;
	client->hurry_ns = client->silent_until_ns;
	synod_client_seek(client, synod_client_next_replica(client, now_ns), now_ns);
}

uint32_t synod_client_poll(struct synod_client *client, struct synod_client_op *ops[], uint32_t max,
			   uint64_t now_ns)
{
	uint32_t count = 0;

	synod_client_pace_polled(client, now_ns);
	synod_client_receive(client, now_ns);
	if (!client->seeking && client_is_lost(client, client->target))
		lose_leader(client, now_ns);
	if (now_ns >= client->tick_ns)
		synod_client_tick(client, now_ns);
	synod_client_flush(client, now_ns);
	while (count < max && client->completed_first != client->completed_end)
		ops[count++] = client->completed[client->completed_first++ & client->slots_mask];
	synod_assert_cmp(count, <=, client->outstanding);
	client->outstanding -= count;
	client->counters.completed += count;
	return count;
}

uint64_t synod_client_deadline(const struct synod_client *client)
{
	int unanswered = client->number_oldest < client->number_next;

	if (client->completed_first != client->completed_end)
		return 0;
	if (client->fenced)
		return UINT64_MAX;
	if (client->stale_waiting && client->session && client->stale_due_ns < client->tick_ns)
		return client->stale_due_ns;
	if (client->seeking && (unanswered || !client->session))
		return client->probe_ns < client->tick_ns ? client->probe_ns : client->tick_ns;
	if (!client->seeking &&
	    ((client->number_cursor < client_sendable_end(client) &&
	      (client_has_room(client) || client_slot(client, client->number_cursor)->copies)) ||
	     synod_client_large_ready(client, 0)))
		return 0;
	return unanswered ? client->tick_ns : UINT64_MAX;
}

uint64_t synod_client_session(const struct synod_client *client)
{
	return client->session;
}

uint32_t synod_client_window(const struct synod_client *client)
{
	return client->session ? client->window : 0;
}

uint64_t synod_client_nonce(const struct synod_client *client)
{
	return client->nonce;
}

int synod_client_fenced(const struct synod_client *client)
{
	return (int)client->fenced;
}

uint32_t synod_client_leader(const struct synod_client *client)
{
	return client->seeking ? 0 : client->target;
}

uint32_t synod_client_outstanding(const struct synod_client *client)
{
	return client->outstanding;
}

uint32_t synod_client_command_size_max(const struct synod_client *client)
{
	return synod_client_part_size(client) >= SYNOD_PART_SIZE_MIN
		       ? SYNOD_COMMAND_LARGE_MAX
		       : client->body_size_max - SYNOD_COMMAND_HEADER_SIZE;
}

uint32_t synod_client_commands_size(const struct synod_client *client)
{
	return client->body_size_max;
}

const struct synod_client_counters *synod_client_counters(const struct synod_client *client)
{
	return &client->counters;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long the leader is given to answer, and how much it is given to do.
 *
 * Patience is TCP's retransmission timeout (RFC 6298): smoothed time to an answer and four times
 * its deviation, of operations that were sent once (Karn), one timed at a time; between retry_ns
 * and eight times that. A fixed one that load makes too short repeats what is only waiting its
 * turn, and so adds to the load.
 *
 * The window is TCP's too, with BUSY as its signal of congestion: cut by a quarter, once in the
 * time of an answer, and a step more for each window's worth of answers. So a leader that refuses
 * is asked for what it can take, and not for everything again and again. Loss is no signal: in a
 * data centre it tells of a cut or a full ring, not of a queue.
 */
#include "engine/base/assert.h"
#include "engine/client/client_internal.h"

void synod_client_pace_init(struct synod_client *client)
{
	client->pace.window = client->outstanding_max;
	client->pace.patience_ns = client->retry_ns;
}

void synod_client_pace_learn(struct synod_client *client, uint64_t number, uint64_t now_ns)
{
	struct client_pace *pace = &client->pace;
	uint64_t took_ns = now_ns - pace->timed_ns;
	uint64_t most_ns = client->retry_ns << CLIENT_BACKOFF_SHIFT_MAX;
	uint64_t off_ns =
		took_ns < pace->smooth_ns ? pace->smooth_ns - took_ns : took_ns - pace->smooth_ns;

	synod_assert_cmp(pace->timed, ==, number);
	pace->timed = 0;
	if (!pace->smooth_ns) {
		pace->smooth_ns = took_ns;
		pace->spread_ns = took_ns / 2;
	} else {
		pace->smooth_ns = pace->smooth_ns - pace->smooth_ns / 8 + took_ns / 8;
		pace->spread_ns = pace->spread_ns - pace->spread_ns / 4 + off_ns / 4;
	}
	pace->patience_ns = pace->smooth_ns + 4 * pace->spread_ns;
	if (pace->patience_ns < client->retry_ns)
		pace->patience_ns = client->retry_ns;
	if (pace->patience_ns > most_ns)
		pace->patience_ns = most_ns;
}

void synod_client_pace_grow(struct synod_client *client)
{
	struct client_pace *pace = &client->pace;

	synod_assert_cmp(pace->asked, <=, client->outstanding_max);
	pace->answers = 0;
	pace->window += CLIENT_CONGESTION_STEP;
	if (pace->window > client->outstanding_max)
		pace->window = client->outstanding_max;
}

void synod_client_pace_refused(struct synod_client *client, uint64_t number, uint64_t now_ns)
{
	struct client_pace *pace = &client->pace;
	uint64_t answer_ns =
		pace->smooth_ns ? pace->smooth_ns : client->retry_ns / CLIENT_TICKS_PER_RETRY;

	if (pace->timed == number)
		pace->timed = 0;
	if (pace->cut_ns && now_ns - pace->cut_ns < answer_ns)
		return;
	pace->cut_ns = now_ns;
	pace->answers = 0;
	if (pace->window > pace->asked)
		pace->window = pace->asked;
	pace->window -= pace->window / 4;
	if (!pace->window)
		pace->window = 1;
}

void synod_client_pace_polled(struct synod_client *client, uint64_t now_ns)
{
	uint64_t away_ns = client->polled_ns ? now_ns - client->polled_ns : 0;
	uint64_t wait_ns = away_ns < client->retry_ns ? away_ns : client->retry_ns;

	client->polled_ns = now_ns;
	/* Once a tick: who polls so rarely would never look at its timers. */
	if (client->excused || away_ns < client->retry_ns / CLIENT_TICKS_PER_RETRY)
		return;
	client->excused = 1;
	if (client->asked_ns)
		client->asked_ns += wait_ns;
	if (client->tick_ns < now_ns + wait_ns)
		client->tick_ns = now_ns + wait_ns;
}

void synod_client_pace_again(struct synod_client *client, uint64_t now_ns)
{
	uint64_t least_ns = client->retry_ns / CLIENT_TICKS_PER_RETRY;
	uint64_t answer_ns = client->pace.smooth_ns + client->pace.spread_ns;
	uint64_t due_ns = now_ns + (answer_ns > least_ns ? answer_ns : least_ns);
	uint64_t number;

	for (number = client->number_oldest; number < client->number_cursor; number++) {
		struct client_slot *slot = client_slot(client, number);

		if (slot->op && !slot->waits && slot->due_ns < due_ns && !client_is_stale(slot))
			slot->due_ns = due_ns;
	}
}

uint64_t synod_client_pace_due_ns(const struct synod_client *client, uint32_t copies,
				  uint64_t now_ns)
{
	uint64_t most_ns = client->retry_ns << CLIENT_BACKOFF_SHIFT_MAX;
	uint32_t shift = copies < CLIENT_BACKOFF_SHIFT_MAX ? copies : CLIENT_BACKOFF_SHIFT_MAX;
	uint64_t wait_ns = client->pace.patience_ns << shift;

	return now_ns + (wait_ns < most_ns ? wait_ns : most_ns);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ring between the generator and the writer's thread, and that thread. See history.h.
 *
 *      written ──► published ──► added        free-running, masked; added - written <= records
 *      (thread)    (generator)   (generator)
 */
#include "bench/history.h"

#include "engine/base/assert.h"
#include "engine/wire/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PIECE = 128 * 1024, /* bytes of one write */
	NAP_NS = 500 * 1000,
	RECORDS_MAX = 1 << 20,
};

struct synod_history {
	/* The generator's. */
	uint64_t added;
	_Alignas(64) _Atomic uint64_t published;

	/* The thread's. */
	_Alignas(64) _Atomic uint64_t written;
	_Atomic int failed; /* -errno */
	size_t used;	    /* bytes of text */

	/* Set at open, but for ended. */
	_Alignas(64) _Atomic int ended;
	int file;
	uint32_t mask;
	size_t stride;
	uint8_t *records;
	char *text;
	size_t text_size;
	pthread_t thread;
};

static struct synod_history_record *record_at(const struct synod_history *history, uint64_t index)
{
	return (struct synod_history_record *)(void *)(history->records +
						       (index & history->mask) * history->stride);
}

/* ---- text --------------------------------------------------------------------------------- */

static char *put_text(char *to, const char *text)
{
	while (*text)
		*to++ = *text++;
	return to;
}

static char *put_number(char *to, uint64_t number)
{
	char digits[20];
	int count = 0;

	do {
		digits[count++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (count)
		*to++ = digits[--count];
	return to;
}

static char *put_bytes(char *to, const uint8_t *bytes, size_t size)
{
	static const char hex[] = "0123456789abcdef";

	*to++ = '"';
	for (size_t i = 0; i < size; i++) {
		uint8_t byte = bytes[i];

		if (byte == '"' || byte == '\\') {
			*to++ = '\\';
			*to++ = (char)byte;
		} else if (byte >= 0x20 && byte < 0x7f) {
			*to++ = (char)byte;
		} else {
			to = put_text(to, "\\u00");
			*to++ = hex[byte >> 4];
			*to++ = hex[byte & 15];
		}
	}
	*to++ = '"';
	return to;
}

static char *put_maybe(char *to, int given, const uint8_t *bytes, size_t size)
{
	return given ? put_bytes(to, bytes, size) : put_text(to, "null");
}

size_t synod_history_line(const struct synod_history_record *record, char *line, size_t size)
{
	static const char *const operations[] = { "append", "get", "put", "delete", "cas" };
	static const char *const reads[] = { "", "log", "linearizable", "stale" };
	const uint8_t *expected = record->bytes + record->key_size;
	const uint8_t *value = expected + record->expected_size;
	size_t bytes = (size_t)record->key_size + record->expected_size + record->value_size;
	char *to = line;

	synod_assert_cmp(SYNOD_HISTORY_LINE(bytes), <=, size);
	to = put_text(to, "{\"client\": ");
	to = put_number(to, record->client);
	to = put_text(to, ", \"operation\": \"");
	to = put_text(to, operations[record->operation]);
	to = put_text(to, "\"");
	if (record->key_size) {
		to = put_text(to, ", \"key\": ");
		to = put_bytes(to, record->bytes, record->key_size);
	}
	if (record->operation == SYNOD_HISTORY_CAS) {
		to = put_text(to, ", \"expected\": ");
		to = put_maybe(to, record->has_expected, expected, record->expected_size);
	}
	if (record->operation != SYNOD_HISTORY_DELETE) {
		to = put_text(to, ", \"value\": ");
		to = put_maybe(to, record->has_value, value, record->value_size);
	}
	to = put_text(to, ", \"invoked\": ");
	to = put_number(to, record->invoked_ns);
	to = put_text(to, ", \"answered\": ");
	to = record->open ? put_text(to, "null") : put_number(to, record->answered_ns);
	to = put_text(to, ", \"outcome\": \"");
	to = put_text(to, synod_status_name(record->outcome));
	to = put_text(to, "\"");
	if (record->read) {
		to = put_text(to, ", \"read\": \"");
		to = put_text(to, reads[record->read]);
		to = put_text(to, "\"");
	}
	if (record->position) {
		to = put_text(to, ", \"position\": ");
		to = put_number(to, record->position);
	}
	to = put_text(to, "}\n");
	*to = 0;
	synod_assert_cmp((size_t)(to - line), <, size);
	return (size_t)(to - line);
}

/* ---- the writer's thread ------------------------------------------------------------------ */

/* After a failure records are still taken, and dropped: the generator must not hang on them. */
static void write_out(struct synod_history *history)
{
	size_t at = 0;

	while (at < history->used &&
	       !atomic_load_explicit(&history->failed, memory_order_relaxed)) {
		ssize_t taken = write(history->file, history->text + at, history->used - at);

		if (taken > 0)
			at += (size_t)taken;
		else if (taken == 0 || errno != EINTR)
			/* Relaxed: a number, with nothing behind it. */
			atomic_store_explicit(&history->failed, taken == 0 ? -EIO : -errno,
					      memory_order_relaxed);
	}
	history->used = 0;
}

/* Everything published so far. Returns how many. */
static uint64_t drain(struct synod_history *history)
{
	uint64_t written = atomic_load_explicit(&history->written, memory_order_relaxed);
	/* H1: acquire; pairs with H2 in publish: the records are whole. */
	uint64_t published = atomic_load_explicit(&history->published, memory_order_acquire);
	size_t line_max = SYNOD_HISTORY_LINE(history->stride);
	uint64_t count = published - written;

	for (; written < published; written++) {
		if (history->text_size - history->used < line_max)
			write_out(history);
		history->used += synod_history_line(record_at(history, written),
						    history->text + history->used,
						    history->text_size - history->used);
		/* H3: release; pairs with H4 in room: its place may be written over. */
		atomic_store_explicit(&history->written, written + 1, memory_order_release);
	}
	return count;
}

static void *write_records(void *argument)
{
	struct synod_history *history = argument;
	const struct timespec nap = { .tv_nsec = NAP_NS };
	int ended = 0;

	while (!ended) {
		/* H5: acquire; pairs with H6 in close: what was published before is seen below. */
		ended = atomic_load_explicit(&history->ended, memory_order_acquire);
		if (drain(history) == 0 && !ended)
			nanosleep(&nap, NULL);
	}
	write_out(history);
	return NULL;
}

/* ---- the generator's side ----------------------------------------------------------------- */

static void release(struct synod_history *history)
{
	if (!history)
		return;
	free(history->records);
	free(history->text);
	free(history);
}

int synod_history_open(struct synod_history **out, const char *path, uint32_t records,
		       uint32_t record_bytes)
{
	struct synod_history *history = aligned_alloc(64, sizeof(*history));
	size_t stride = (sizeof(struct synod_history_record) + record_bytes + 63) & ~(size_t)63;
	uint32_t count = 1;
	int failed = -ENOMEM;

	synod_assert_cmp(records, <=, RECORDS_MAX);
	while (count < records)
		count *= 2;
	if (!history)
		return -ENOMEM;
	memset(history, 0, sizeof(*history));
	history->mask = count - 1;
	history->stride = stride;
	history->text_size = PIECE + SYNOD_HISTORY_LINE(stride);
	history->records = aligned_alloc(64, count * stride);
	history->text = malloc(history->text_size);
	if (!history->records || !history->text)
		goto fail;
	/* Touched now: the measured path meets no page faults. */
	memset(history->records, 0, count * stride);
	memset(history->text, 0, history->text_size);
	history->file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	failed = history->file < 0 ? -errno : 0;
	if (failed)
		goto fail;
	failed = -pthread_create(&history->thread, NULL, write_records, history);
	if (!failed) {
		*out = history;
		return 0;
	}
	close(history->file);
fail:
	release(history);
	return failed;
}

uint32_t synod_history_room(const struct synod_history *history)
{
	/* H4: acquire; pairs with H3 in drain. */
	uint64_t written = atomic_load_explicit(&history->written, memory_order_acquire);

	return history->mask + 1 - (uint32_t)(history->added - written);
}

struct synod_history_record *synod_history_add(struct synod_history *history)
{
	synod_assert_cmp(synod_history_room(history), >, 0);
	return record_at(history, history->added++);
}

void synod_history_publish(struct synod_history *history, uint64_t now_ns)
{
	uint64_t index = atomic_load_explicit(&history->published, memory_order_relaxed);

	if (index == history->added)
		return;
	for (; index < history->added; index++)
		record_at(history, index)->answered_ns = now_ns;
	/* H2: release; pairs with H1 in drain. */
	atomic_store_explicit(&history->published, history->added, memory_order_release);
}

int synod_history_failed(const struct synod_history *history)
{
	return atomic_load_explicit(&history->failed, memory_order_relaxed);
}

int synod_history_close(struct synod_history *history)
{
	int failed;

	if (!history)
		return 0;
	/* H6: release; pairs with H5 in write_records. */
	atomic_store_explicit(&history->ended, 1, memory_order_release);
	pthread_join(history->thread, NULL);
	failed = synod_history_failed(history);
	if (close(history->file) && !failed)
		failed = -errno;
	release(history);
	return failed;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The key-value machine: a fixed table of SYNOD_KV_ENTRIES keys in one flat block, with an
 * open-addressed index by the hash of the key. See kv.h for the commands and their results.
 *
 * Entries stay where they are while they live; free ones form a stack. Which entry a key gets
 * depends only on the commands before it, so the block is the same, bit for bit, on every replica.
 */
#include "engine/machine/kv.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"
#include "engine/machine/fold.h"
#include "engine/machine/image.h"
#include "engine/machine/machine.h"
#include "engine/wire/wire.h"

#include <string.h>

enum {
	BUCKETS = 2 * SYNOD_KV_ENTRIES,
	NONE = UINT32_MAX
};

_Static_assert((BUCKETS & (BUCKETS - 1)) == 0, "masked index");
_Static_assert(SYNOD_KV_VALUE_SIZE_MAX <= SYNOD_RESULT_SIZE_MAX, "a GET's result fits");

struct kv_entry {
	uint32_t hash; /* CRC32C of the key */
	uint16_t value_size;
	uint8_t key_size; /* 0: free */
	uint8_t reserved;
	uint32_t free_next; /* of a free entry: the next one + 1, or 0 */
	uint32_t reserved2;
	uint8_t key[SYNOD_KV_KEY_SIZE_MAX];
	uint8_t value[SYNOD_KV_VALUE_SIZE_MAX];
};

_Static_assert(sizeof(struct kv_entry) == 16 + SYNOD_KV_KEY_SIZE_MAX + SYNOD_KV_VALUE_SIZE_MAX,
	       "no padding: states are compared");

struct kv {
	uint64_t hash;	     /* of (position, status, CRC32C of the command), folded in order */
	uint32_t count;	     /* keys */
	uint32_t touched;    /* entries ever used: 0..touched-1 */
	uint32_t free_first; /* entry + 1, or 0 */
	uint32_t reserved;
	uint32_t buckets[BUCKETS]; /* entry + 1, or 0 */
	struct kv_entry entries[SYNOD_KV_ENTRIES];
};

static size_t kv_size(void)
{
	return sizeof(struct kv);
}

static void kv_init(void *state)
{
	struct kv *kv = state;

	kv->hash = 0;
	kv->count = 0;
	kv->touched = 0;
	kv->free_first = 0;
}

/* The bucket of a key, or the empty one where it would go. Half the buckets are always empty. */
static uint32_t bucket_find(const struct kv *kv, const void *key, uint32_t size, uint32_t hash)
{
	uint32_t bucket = hash & (BUCKETS - 1);

	while (kv->buckets[bucket]) {
		const struct kv_entry *entry = &kv->entries[kv->buckets[bucket] - 1];

		if (entry->hash == hash && entry->key_size == size &&
		    memcmp(entry->key, key, size) == 0)
			break;
		bucket = (bucket + 1) & (BUCKETS - 1);
	}
	return bucket;
}

static const struct kv_entry *find(const struct kv *kv, const struct synod_kv_request *request)
{
	uint32_t hash = synod_crc32c(request->key, request->key_size);
	uint32_t at = kv->buckets[bucket_find(kv, request->key, request->key_size, hash)];

	return at ? &kv->entries[at - 1] : NULL;
}

static uint32_t entry_take(struct kv *kv)
{
	uint32_t at = kv->free_first;

	synod_assert_cmp(kv->count, <, SYNOD_KV_ENTRIES);
	kv->count++;
	if (!at)
		return kv->touched++;
	kv->free_first = kv->entries[at - 1].free_next;
	kv->entries[at - 1].free_next = 0;
	return at - 1;
}

static uint16_t put(struct kv *kv, const struct synod_kv_request *request)
{
	uint32_t hash = synod_crc32c(request->key, request->key_size);
	uint32_t bucket = bucket_find(kv, request->key, request->key_size, hash);
	struct kv_entry *entry;

	if (!kv->buckets[bucket]) {
		if (kv->count == SYNOD_KV_ENTRIES)
			return SYNOD_NO_SPACE;
		kv->buckets[bucket] = entry_take(kv) + 1;
		entry = &kv->entries[kv->buckets[bucket] - 1];
		entry->hash = hash;
		entry->key_size = request->key_size;
		memcpy(entry->key, request->key, request->key_size);
	}
	entry = &kv->entries[kv->buckets[bucket] - 1];
	entry->value_size = request->value_size;
	memcpy(entry->value, request->value, request->value_size);
	return SYNOD_OK;
}

/* Moves back what stood behind the hole only because of it (as in session.c). */
static void bucket_remove(struct kv *kv, uint32_t hole)
{
	uint32_t mask = BUCKETS - 1;
	uint32_t next;

	for (next = (hole + 1) & mask; kv->buckets[next]; next = (next + 1) & mask) {
		uint32_t home = kv->entries[kv->buckets[next] - 1].hash & mask;

		if (((next - home) & mask) >= ((next - hole) & mask)) {
			kv->buckets[hole] = kv->buckets[next];
			hole = next;
		}
	}
	kv->buckets[hole] = 0;
}

static uint16_t drop(struct kv *kv, const struct synod_kv_request *request)
{
	uint32_t hash = synod_crc32c(request->key, request->key_size);
	uint32_t bucket = bucket_find(kv, request->key, request->key_size, hash);
	uint32_t at = kv->buckets[bucket];

	if (!at)
		return SYNOD_NOT_FOUND;
	bucket_remove(kv, bucket);
	memset(&kv->entries[at - 1], 0, sizeof(kv->entries[at - 1]));
	kv->entries[at - 1].free_next = kv->free_first;
	kv->free_first = at;
	kv->count--;
	return SYNOD_OK;
}

static uint16_t compare_and_set(struct kv *kv, const struct synod_kv_request *request)
{
	const struct kv_entry *entry = find(kv, request);

	if (request->flags & SYNOD_KV_ABSENT)
		return entry ? SYNOD_MISMATCH : put(kv, request);
	if (!entry)
		return SYNOD_NOT_FOUND;
	if (entry->value_size != request->expected_size ||
	    memcmp(entry->value, request->expected, request->expected_size) != 0)
		return SYNOD_MISMATCH;
	return put(kv, request);
}

static void get(const struct kv *kv, const struct synod_kv_request *request,
		struct synod_outcome *outcome)
{
	const struct kv_entry *entry = find(kv, request);

	*outcome = (struct synod_outcome){ .status = SYNOD_NOT_FOUND };
	if (entry) {
		outcome->status = SYNOD_OK;
		outcome->size = entry->value_size;
		outcome->data = entry->value;
	}
}

static void kv_apply(void *state, uint64_t position, const void *command, uint32_t size,
		     struct synod_outcome *outcome)
{
	struct synod_kv_request request;
	struct kv *kv = state;
	uint32_t crc = size ? synod_crc32c(command, size) : 0;

	*outcome = (struct synod_outcome){ .status = SYNOD_BAD_COMMAND };
	if (synod_kv_decode(command, size, &request) == 0) {
		switch (request.operation) {
		case SYNOD_KV_GET:
			get(kv, &request, outcome);
			break;
		case SYNOD_KV_PUT:
			outcome->status = put(kv, &request);
			break;
		case SYNOD_KV_DELETE:
			outcome->status = drop(kv, &request);
			break;
		case SYNOD_KV_CAS:
			outcome->status = compare_and_set(kv, &request);
			break;
		}
	}
	kv->hash =
		synod_fold(synod_fold(kv->hash, position), (uint64_t)outcome->status << 32 | crc);
}

static void kv_repeat(const void *state, uint64_t position, uint16_t status, const void *command,
		      uint32_t size, struct synod_outcome *outcome)
{
	struct synod_kv_request request;

	(void)position;
	*outcome = (struct synod_outcome){ .status = status };
	/* Not the same command again, but another under its number? Then it gets no data. */
	if (synod_kv_decode(command, size, &request) == 0 && request.operation == SYNOD_KV_GET &&
	    (status == SYNOD_OK || status == SYNOD_NOT_FOUND))
		get(state, &request, outcome);
}

static void kv_query(const void *state, const void *command, uint32_t size,
		     struct synod_outcome *outcome)
{
	struct synod_kv_request request;

	*outcome = (struct synod_outcome){ .status = SYNOD_BAD_COMMAND };
	if (synod_kv_decode(command, size, &request) == 0 && request.operation == SYNOD_KV_GET)
		get(state, &request, outcome);
}

static uint64_t kv_hash(const void *state)
{
	const struct kv *kv = state;

	return synod_fold(kv->hash, kv->count);
}

/* All keys of full size; an entry that is free takes less. */
static size_t kv_image_max(void)
{
	return sizeof(struct synod_image_kv) +
	       (size_t)SYNOD_KV_ENTRIES *
		       (sizeof(struct synod_image_kv_entry) +
			((SYNOD_KV_KEY_SIZE_MAX + SYNOD_KV_VALUE_SIZE_MAX + 7) & ~7));
}

_Static_assert(sizeof(uint32_t) <= sizeof(struct synod_image_kv_entry), "as image_max believes");
_Static_assert(SYNOD_KV_ENTRIES % 2 == 0, "and the filling of the free ones takes no more");

static size_t kv_save(const void *state, void *image)
{
	const struct kv *kv = state;
	const struct synod_image_kv part = {
		.hash = kv->hash,
		.count = kv->count,
		.touched = kv->touched,
	};
	uint8_t *at = synod_image_put(image, &part, sizeof(part));
	uint32_t next = kv->free_first;
	uint32_t entry;

	for (entry = kv->count; entry < kv->touched; entry++) { /* every free one */
		synod_assert(next != 0);
		next--;
		at = synod_image_put(at, &next, sizeof(next));
		next = kv->entries[next].free_next;
	}
	at = synod_image_fill(at, (kv->touched - kv->count) * sizeof(next));
	for (entry = 0; entry < kv->touched; entry++) {
		const struct kv_entry *from = &kv->entries[entry];
		const struct synod_image_kv_entry key = {
			.entry = entry,
			.value_size = from->value_size,
			.key_size = from->key_size,
		};

		if (!from->key_size)
			continue;
		at = synod_image_put(at, &key, sizeof(key));
		at = synod_image_put(at, from->key, from->key_size);
		at = synod_image_put(at, from->value, from->value_size);
		at = synod_image_fill(at, (size_t)from->key_size + from->value_size);
	}
	return (size_t)(at - (uint8_t *)image);
}

/*
 * The stack of free entries, each once. Returns where it ends, or NULL. Until the keys are there,
 * NONE stands at the end, not 0: so a free entry shows by its free_next.
 */
static uint32_t *load_free(struct kv *kv, struct synod_image_reader *reader)
{
	uint32_t count = kv->touched - kv->count;
	uint32_t *end = &kv->free_first;
	uint32_t index;
	uint32_t entry;

	for (index = 0; index < count; index++) {
		if (synod_image_get(reader, &entry, sizeof(entry)) < 0 || entry >= kv->touched ||
		    kv->entries[entry].free_next)
			return NULL;
		*end = entry + 1;
		end = &kv->entries[entry].free_next;
		*end = NONE;
	}
	return synod_image_filled(reader, count * sizeof(entry)) < 0 ? NULL : end;
}

/* The next key, of an entry not below entry_min, or -EBADMSG. Returns the entry. */
static int load_entry(struct kv *kv, struct synod_image_reader *reader, uint32_t entry_min)
{
	struct synod_image_kv_entry key;
	struct kv_entry *entry;
	uint32_t bucket;

	if (synod_image_get(reader, &key, sizeof(key)) < 0 || key.entry < entry_min ||
	    key.entry >= kv->touched || !key.key_size || key.key_size > SYNOD_KV_KEY_SIZE_MAX ||
	    key.value_size > SYNOD_KV_VALUE_SIZE_MAX || key.reserved)
		return -EBADMSG;
	entry = &kv->entries[key.entry];
	if (entry->free_next)
		return -EBADMSG;
	if (synod_image_get(reader, entry->key, key.key_size) < 0 ||
	    synod_image_get(reader, entry->value, key.value_size) < 0 ||
	    synod_image_filled(reader, (size_t)key.key_size + key.value_size) < 0)
		return -EBADMSG;
	entry->hash = synod_crc32c(entry->key, key.key_size);
	bucket = bucket_find(kv, entry->key, key.key_size, entry->hash);
	if (kv->buckets[bucket])
		return -EBADMSG; /* there is such a key already */
	kv->buckets[bucket] = key.entry + 1;
	entry->key_size = key.key_size;
	entry->value_size = key.value_size;
	return (int)key.entry;
}

static int kv_load(void *state, uint64_t position, const void *image, size_t size)
{
	struct synod_image_reader reader = { .at = image, .left = size };
	struct synod_image_kv part;
	struct kv *kv = state;
	uint32_t entry_min = 0;
	uint32_t *free_end;
	uint32_t index;

	if (synod_image_get(&reader, &part, sizeof(part)) < 0 || part.touched > SYNOD_KV_ENTRIES ||
	    part.touched > position || part.count > part.touched)
		return -EBADMSG;
	kv->hash = part.hash;
	kv->count = part.count;
	kv->touched = part.touched;
	free_end = load_free(kv, &reader);
	if (!free_end)
		return -EBADMSG;
	for (index = 0; index < part.count; index++) {
		int entry = load_entry(kv, &reader, entry_min);

		if (entry < 0)
			return -EBADMSG;
		entry_min = (uint32_t)entry + 1;
	}
	*free_end = 0;
	return reader.left ? -EBADMSG : 0;
}

const struct synod_machine synod_kv_machine = {
	.name = "kv",
	.size = kv_size,
	.init = kv_init,
	.apply = kv_apply,
	.repeat = kv_repeat,
	.query = kv_query,
	.hash = kv_hash,
	.image_max = kv_image_max,
	.save = kv_save,
	.load = kv_load,
};

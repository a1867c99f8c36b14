/* SPDX-License-Identifier: BSD-3-Clause */
/* Hash tables that only grow: byte strings by content, and 64-bit keys. */
#include "tests/model/model.h"

#include <stdlib.h>
#include <string.h>

void *model_grow(void *old, size_t count, size_t size)
{
	void *grown = realloc(old, count * size);

	if (!grown) {
		fprintf(stderr, "synod-model: out of memory\n");
		exit(3);
	}
	return grown;
}

/* The finalizer of splitmix64: every bit of the argument changes half of the result's. */
uint64_t model_mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15ull;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
	return value ^ (value >> 31);
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t size)
{
	uint64_t hash = size;

	synod_assert(size % 8 == 0);
	for (size_t i = 0; i < size; i += 8) {
		uint64_t word;

		memcpy(&word, bytes + i, 8);
		hash = (hash ^ word) * 0xff51afd7ed558ccdull;
		hash ^= hash >> 29;
	}
	return model_mix(hash);
}

const void *model_strings_at(const struct model_strings *strings, uint32_t number, size_t *size)
{
	synod_assert(number >= 1 && number <= strings->count);
	if (size)
		*size = strings->offsets[number + 1] - strings->offsets[number];
	return strings->bytes + strings->offsets[number];
}

static uint32_t *find(const struct model_strings *strings, const void *bytes, size_t size)
{
	uint64_t at = hash_bytes(bytes, size);

	for (;; at++) { /* never more than half full */
		uint32_t *slot = &strings->slots[at & (strings->slots_capacity - 1)];
		size_t found_size;
		const void *found;

		if (!*slot)
			return slot;
		found = model_strings_at(strings, *slot, &found_size);
		if (found_size == size && memcmp(found, bytes, size) == 0)
			return slot;
	}
}

static void rehash(struct model_strings *strings)
{
	strings->slots_capacity = strings->slots_capacity ? strings->slots_capacity * 2 : 1024;
	free(strings->slots);
	strings->slots = model_grow(NULL, strings->slots_capacity, sizeof(*strings->slots));
	memset(strings->slots, 0, strings->slots_capacity * sizeof(*strings->slots));
	for (uint32_t number = 1; number <= strings->count; number++) {
		size_t size;
		const void *bytes = model_strings_at(strings, number, &size);

		*find(strings, bytes, size) = number;
	}
}

uint32_t model_strings_intern(struct model_strings *strings, const void *bytes, size_t size)
{
	uint32_t *slot;

	if (strings->count * 2 >= strings->slots_capacity)
		rehash(strings);
	slot = find(strings, bytes, size);
	if (*slot)
		return *slot;
	if (strings->count + 3 > strings->capacity) {
		strings->capacity = strings->capacity ? strings->capacity * 2 : 1024;
		strings->offsets =
			model_grow(strings->offsets, strings->capacity, sizeof(*strings->offsets));
		if (!strings->count)
			strings->offsets[1] = 0;
	}
	while (strings->bytes_size + size > strings->bytes_capacity) {
		strings->bytes_capacity =
			strings->bytes_capacity ? strings->bytes_capacity * 2 : 1 << 20;
		strings->bytes = model_grow(strings->bytes, strings->bytes_capacity, 1);
	}
	memcpy(strings->bytes + strings->bytes_size, bytes, size);
	strings->bytes_size += size;
	*slot = ++strings->count;
	strings->offsets[strings->count + 1] = strings->bytes_size;
	return strings->count;
}

static uint64_t place_of(const struct model_map *map, uint64_t key)
{
	uint64_t at = model_mix(key);

	synod_assert(key != 0);
	while (map->keys[at & (map->capacity - 1)] && map->keys[at & (map->capacity - 1)] != key)
		at++;
	return at & (map->capacity - 1);
}

/* At most three quarters full: probes stay short, and a hundred million keys are one GiB. */
static void make_room(struct model_map *map, int has_values)
{
	struct model_map old = *map;

	if (map->count * 4 < map->capacity * 3)
		return;
	map->capacity = old.capacity ? old.capacity * 2 : 1 << 16;
	map->keys = calloc(map->capacity, sizeof(*map->keys));
	map->values = has_values ? calloc(map->capacity, sizeof(*map->values)) : NULL;
	if (!map->keys || (has_values && !map->values)) {
		fprintf(stderr, "synod-model: out of memory\n");
		exit(3);
	}
	for (uint64_t i = 0; i < old.capacity; i++) {
		uint64_t at;

		if (!old.keys[i])
			continue;
		at = place_of(map, old.keys[i]);
		map->keys[at] = old.keys[i];
		if (has_values)
			map->values[at] = old.values[i];
	}
	free(old.keys);
	free(old.values);
}

int model_map_add(struct model_map *map, uint64_t key)
{
	uint64_t at;

	make_room(map, 0);
	at = place_of(map, key);
	if (map->keys[at])
		return 0;
	map->keys[at] = key;
	map->count++;
	return 1;
}

uint32_t *model_map_at(struct model_map *map, uint64_t key)
{
	uint64_t at;

	make_room(map, 1);
	at = place_of(map, key);
	if (!map->keys[at]) {
		map->keys[at] = key;
		map->count++;
	}
	return &map->values[at];
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The key-value machine's commands: parts to bytes and back. Nothing here trusts what it reads. */
#include "engine/machine/kv.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <string.h>

_Static_assert(offsetof(struct synod_kv_request, key) == SYNOD_KV_HEADER_SIZE,
	       "a request begins with the command's header");
_Static_assert(SYNOD_KV_KEY_SIZE_MAX <= UINT8_MAX, "key size fits its byte");
_Static_assert(SYNOD_KV_VALUE_SIZE_MAX <= UINT16_MAX, "value size fits its field");
_Static_assert((int)SYNOD_KV_COMMAND_SIZE_MAX <= (int)SYNOD_COMMAND_SIZE_MAX, "fits a request");

/* 1 if the operation has just the parts and flags that it may have. */
static int sane(const struct synod_kv_request *request)
{
	if (request->reserved || request->key_size < 1 ||
	    request->key_size > SYNOD_KV_KEY_SIZE_MAX ||
	    request->expected_size > SYNOD_KV_VALUE_SIZE_MAX ||
	    request->value_size > SYNOD_KV_VALUE_SIZE_MAX)
		return 0;
	switch (request->operation) {
	case SYNOD_KV_GET:
	case SYNOD_KV_DELETE:
		return !request->flags && !request->expected_size && !request->value_size;
	case SYNOD_KV_PUT:
		return !request->flags && !request->expected_size;
	case SYNOD_KV_CAS:
		return request->flags == 0 ||
		       (request->flags == SYNOD_KV_ABSENT && !request->expected_size);
	default:
		return 0;
	}
}

static size_t size_of(const struct synod_kv_request *request)
{
	return (size_t)SYNOD_KV_HEADER_SIZE + request->key_size + request->expected_size +
	       request->value_size;
}

static uint8_t *append(uint8_t *to, const void *part, size_t size)
{
	if (size)
		memcpy(to, part, size);
	return to + size;
}

int synod_kv_encode(const struct synod_kv_request *request, void *buffer, size_t capacity)
{
	uint8_t *to = buffer;

	if (!sane(request))
		return -EINVAL;
	if (size_of(request) > capacity)
		return -ENOBUFS;
	to = append(to, request, SYNOD_KV_HEADER_SIZE);
	to = append(to, request->key, request->key_size);
	to = append(to, request->expected, request->expected_size);
	to = append(to, request->value, request->value_size);
	synod_assert_cmp((size_t)(to - (uint8_t *)buffer), ==, size_of(request));
	return (int)size_of(request);
}

int synod_kv_decode(const void *command, size_t size, struct synod_kv_request *request)
{
	const uint8_t *bytes = command;
	struct synod_kv_request found;

	if (size < SYNOD_KV_HEADER_SIZE)
		return -EINVAL;
	memcpy(&found, bytes, SYNOD_KV_HEADER_SIZE);
	if (!sane(&found) || size_of(&found) != size)
		return -EINVAL;
	found.key = bytes + SYNOD_KV_HEADER_SIZE;
	found.expected = bytes + SYNOD_KV_HEADER_SIZE + found.key_size;
	found.value = bytes + SYNOD_KV_HEADER_SIZE + found.key_size + found.expected_size;
	*request = found;
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Large commands from their parts. See assembly.h for the rule. The block:
 *
 *   | struct synod_assemblies | struct assembly [buffers] | bytes [buffers][buffer_size] |
 *
 * What is freed is wiped, so that a buffer that was used is as a new one.
 */
#include "engine/machine/assembly.h"

#include "engine/base/assert.h"
#include "engine/base/limits.h"
#include "engine/machine/image.h"

#include <string.h>

struct synod_assemblies {
	uint32_t buffers;
	uint32_t buffer_size;
	/* Offsets in bytes from the beginning of this struct. */
	uint64_t at_headers;
	uint64_t at_bytes;
	uint64_t stride; /* from one buffer's bytes to the next one's */
};

struct assembly {
	uint64_t session; /* 0: free */
	uint64_t number;
	uint64_t used;	/* slot of the last part taken */
	uint32_t have;	/* bytes */
	uint32_t total; /* bytes, when it is whole */
};

static uint64_t line_round(uint64_t size)
{
	return (size + 63) & ~63ull;
}

static size_t lay_out(struct synod_assemblies *assemblies, uint32_t buffers, uint32_t buffer_size)
{
	synod_assert_cmp(buffers, >=, 1);
	synod_assert_cmp(buffers, <=, SYNOD_ASSEMBLIES);
	synod_assert_cmp(buffer_size, <=, SYNOD_COMMAND_LARGE_MAX);
	assemblies->buffers = buffers;
	assemblies->buffer_size = buffer_size;
	assemblies->at_headers = line_round(sizeof(*assemblies));
	assemblies->at_bytes =
		assemblies->at_headers + line_round(buffers * sizeof(struct assembly));
	assemblies->stride = line_round(buffer_size);
	return assemblies->at_bytes + buffers * assemblies->stride;
}

size_t synod_assemblies_size(uint32_t buffers, uint32_t buffer_size)
{
	struct synod_assemblies assemblies;

	return lay_out(&assemblies, buffers, buffer_size);
}

void synod_assemblies_init(struct synod_assemblies *assemblies, uint32_t buffers,
			   uint32_t buffer_size)
{
	synod_assert(((uintptr_t)assemblies & 63) == 0);
	lay_out(assemblies, buffers, buffer_size);
}

static struct assembly *headers_of(const struct synod_assemblies *assemblies)
{
	return (struct assembly *)((uintptr_t)assemblies + assemblies->at_headers);
}

static uint8_t *bytes_of(const struct synod_assemblies *assemblies, uint32_t buffer)
{
	synod_assert_cmp(buffer, <, assemblies->buffers);
	return (uint8_t *)((uintptr_t)assemblies + assemblies->at_bytes +
			   buffer * assemblies->stride);
}

const void *synod_assembly_bytes(const struct synod_assemblies *assemblies, uint32_t buffer)
{
	return bytes_of(assemblies, buffer);
}

/* The session's buffer, or how many there are: none. Session 0 finds a free one. */
static uint32_t find(const struct synod_assemblies *assemblies, uint64_t session)
{
	const struct assembly *headers = headers_of(assemblies);
	uint32_t buffer = 0;

	while (buffer < assemblies->buffers && headers[buffer].session != session)
		buffer++;
	return buffer;
}

static void wipe(struct synod_assemblies *assemblies, uint32_t buffer)
{
	struct assembly *at = &headers_of(assemblies)[buffer];

	synod_assert_cmp(at->have, <=, assemblies->buffer_size);
	memset(bytes_of(assemblies, buffer), 0, at->have);
	memset(at, 0, sizeof(*at));
}

/* The buffer that has waited longest, if that is long enough to take it away; else none. */
static uint32_t find_idle(const struct synod_assemblies *assemblies, uint64_t slot)
{
	const struct assembly *headers = headers_of(assemblies);
	uint32_t oldest = 0;
	uint32_t buffer;

	for (buffer = 1; buffer < assemblies->buffers; buffer++) {
		if (headers[buffer].used < headers[oldest].used)
			oldest = buffer;
	}
	synod_assert_cmp(slot, >=, headers[oldest].used);
	return slot - headers[oldest].used >= SYNOD_ASSEMBLY_IDLE_SLOTS ? oldest
									: assemblies->buffers;
}

/* A buffer for a command that begins; none: all are in use. */
static uint32_t begin(struct synod_assemblies *assemblies, const struct synod_assembly_part *part)
{
	uint32_t buffer = find(assemblies, part->session);

	if (buffer == assemblies->buffers)
		buffer = find(assemblies, 0);
	if (buffer == assemblies->buffers)
		buffer = find_idle(assemblies, part->slot);
	if (buffer == assemblies->buffers)
		return buffer;
	wipe(assemblies, buffer);
	headers_of(assemblies)[buffer] = (struct assembly){
		.session = part->session,
		.number = part->number,
		.total = part->total,
	};
	return buffer;
}

enum synod_assembly_verdict synod_assembly_add(struct synod_assemblies *assemblies,
					       const struct synod_assembly_part *part,
					       struct synod_assembly_progress *progress)
{
	uint32_t buffer = find(assemblies, part->session);
	struct assembly *at = &headers_of(assemblies)[buffer];
	int found = buffer < assemblies->buffers && at->number == part->number &&
		    at->total == part->total;

	synod_assert(part->session != 0 && part->size != 0);
	synod_assert_cmp(part->offset + (uint64_t)part->size, <=, part->total);
	*progress = (struct synod_assembly_progress){ 0 };
	if (part->total > assemblies->buffer_size)
		return SYNOD_ASSEMBLY_TOO_LARGE;
	if (buffer < assemblies->buffers && at->number > part->number)
		return SYNOD_ASSEMBLY_NO_BUFFER;
	if (!found) {
		if (part->offset)
			return SYNOD_ASSEMBLY_ELSEWHERE;
		buffer = begin(assemblies, part);
		if (buffer == assemblies->buffers)
			return SYNOD_ASSEMBLY_NO_BUFFER;
		at = &headers_of(assemblies)[buffer];
	}
	progress->have = at->have;
	if (part->offset != at->have)
		return SYNOD_ASSEMBLY_ELSEWHERE;
	memcpy(bytes_of(assemblies, buffer) + at->have, part->bytes, part->size);
	at->have += part->size;
	at->used = part->slot;
	progress->buffer = buffer;
	progress->have = at->have;
	return at->have == at->total ? SYNOD_ASSEMBLY_WHOLE : SYNOD_ASSEMBLY_TAKEN;
}

void synod_assembly_drop(struct synod_assemblies *assemblies, uint64_t session, uint64_t number)
{
	uint32_t buffer = find(assemblies, session);

	synod_assert(session != 0);
	if (buffer < assemblies->buffers && headers_of(assemblies)[buffer].number == number)
		wipe(assemblies, buffer);
}

void synod_assembly_drop_session(struct synod_assemblies *assemblies, uint64_t session)
{
	uint32_t buffer = find(assemblies, session);

	synod_assert(session != 0);
	if (buffer < assemblies->buffers)
		wipe(assemblies, buffer);
}

uint32_t synod_assembly_count(const struct synod_assemblies *assemblies)
{
	const struct assembly *headers = headers_of(assemblies);
	uint32_t count = 0;
	uint32_t buffer;

	for (buffer = 0; buffer < assemblies->buffers; buffer++)
		count += headers[buffer].session != 0;
	return count;
}

uint64_t synod_assembly_session(const struct synod_assemblies *assemblies, uint32_t buffer)
{
	synod_assert_cmp(buffer, <, assemblies->buffers);
	return headers_of(assemblies)[buffer].session;
}

size_t synod_assemblies_image_max(uint32_t buffers, uint32_t buffer_size)
{
	return sizeof(struct synod_image_count) + buffers * (sizeof(struct synod_image_assembly) +
							     (((size_t)buffer_size + 7) & ~7ull));
}

size_t synod_assemblies_save(const struct synod_assemblies *assemblies, void *image)
{
	const struct synod_image_count count = { .count = synod_assembly_count(assemblies) };
	uint8_t *at = synod_image_put(image, &count, sizeof(count));
	uint32_t buffer;

	for (buffer = 0; buffer < assemblies->buffers; buffer++) {
		const struct assembly *from = &headers_of(assemblies)[buffer];
		const struct synod_image_assembly part = {
			.session = from->session,
			.number = from->number,
			.used = from->used,
			.have = from->have,
			.total = from->total,
			.buffer = buffer,
		};

		if (!from->session)
			continue;
		at = synod_image_put(at, &part, sizeof(part));
		at = synod_image_put(at, bytes_of(assemblies, buffer), from->have);
		at = synod_image_fill(at, from->have);
	}
	return (size_t)(at - (uint8_t *)image);
}

/* Could such a command be half there, at that slot, besides those that were read before it? */
static int assembly_is_possible(const struct synod_assemblies *assemblies, uint64_t slot,
				uint32_t buffer_min, const struct synod_image_assembly *part)
{
	if (part->buffer < buffer_min || part->buffer >= assemblies->buffers || part->reserved)
		return 0;
	if (part->have == 0 || part->have >= part->total || part->total > assemblies->buffer_size)
		return 0;
	if (part->number == 0 || part->used == 0 || part->used > slot)
		return 0;
	return part->session != 0 && find(assemblies, part->session) == assemblies->buffers;
}

int synod_assemblies_load(struct synod_assemblies *assemblies, uint64_t slot, const void *image,
			  size_t size)
{
	struct synod_image_reader reader = { .at = image, .left = size };
	struct synod_image_assembly part;
	struct synod_image_count count;
	uint32_t buffer_min = 0;

	synod_assert_cmp(synod_assembly_count(assemblies), ==, 0);
	if (synod_image_get(&reader, &count, sizeof(count)) < 0 || count.reserved)
		return -EBADMSG;
	while (count.count--) { /* at most as many turns as buffers: each is another one */
		if (synod_image_get(&reader, &part, sizeof(part)) < 0 ||
		    !assembly_is_possible(assemblies, slot, buffer_min, &part) ||
		    synod_image_get(&reader, bytes_of(assemblies, part.buffer), part.have) < 0 ||
		    synod_image_filled(&reader, part.have) < 0)
			return -EBADMSG;
		headers_of(assemblies)[part.buffer] = (struct assembly){
			.session = part.session,
			.number = part.number,
			.used = part.used,
			.have = part.have,
			.total = part.total,
		};
		buffer_min = part.buffer + 1;
	}
	return reader.left ? -EBADMSG : 0;
}

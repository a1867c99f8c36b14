/* SPDX-License-Identifier: BSD-3-Clause */
/* The state as an image, and back. See image.h for the bytes; each part is its own file's. */
#include "engine/base/assert.h"
#include "engine/machine/apply.h"
#include "engine/machine/apply_internal.h"
#include "engine/machine/assembly.h"
#include "engine/machine/image.h"
#include "engine/machine/session.h"

#include <errno.h>
#include <string.h>

_Static_assert(SYNOD_APPLY_IMAGE_PEEK == sizeof(struct synod_image_head), "the head suffices");

size_t synod_apply_image_max(const struct synod_machine *machine,
			     const struct synod_apply_limits *limits)
{
	return sizeof(struct synod_image_head) +
	       synod_session_table_image_max(limits->sessions, limits->window) +
	       synod_assemblies_image_max(limits->assemblies, limits->assembly_size) +
	       machine->image_max();
}

/* The head of this state's image, without the sizes of its parts. */
static struct synod_image_head head_of(const struct synod_apply *apply)
{
	struct synod_image_head head = {
		.magic = SYNOD_IMAGE_MAGIC,
		.version = SYNOD_IMAGE_VERSION,
		.sessions = apply->limits.sessions,
		.window = apply->limits.window,
		.assemblies = apply->limits.assemblies,
		.assembly_size = apply->limits.assembly_size,
		.slot = apply->slot,
		.position = apply->position,
		.hash = apply->hash,
	};

	synod_assert_cmp(strlen(apply->machine->name), <, sizeof(head.machine));
	memcpy(head.machine, apply->machine->name, strlen(apply->machine->name));
	return head;
}

size_t synod_apply_save(const struct synod_apply *apply, void *image)
{
	struct synod_image_head head = head_of(apply);
	uint8_t *at = (uint8_t *)image + sizeof(head);

	synod_assert(((uintptr_t)image & 7) == 0);
	head.sessions_size = synod_session_table_save(sessions_of(apply), at);
	at += head.sessions_size;
	head.assemblies_size = synod_assemblies_save(assemblies_of(apply), at);
	at += head.assemblies_size;
	head.machine_size = apply->machine->save(machine_of(apply), at);
	at += head.machine_size;
	memcpy(image, &head, sizeof(head));
	synod_assert(((uintptr_t)at & 7) == 0);
	return (size_t)(at - (uint8_t *)image);
}

/* Reads a head, and judges what does not depend on whose it is. */
static int head_get(const void *image, size_t size, struct synod_image_head *head)
{
	if (size < sizeof(*head))
		return -EBADMSG;
	memcpy(head, image, sizeof(*head));
	if (head->magic != SYNOD_IMAGE_MAGIC || head->version != SYNOD_IMAGE_VERSION ||
	    head->reserved || head->machine[sizeof(head->machine) - 1])
		return -EBADMSG;
	/* An empty state is none that is worth an image, but it is one. */
	return head->position && !head->slot ? -EBADMSG : 0;
}

int synod_apply_image_slot(const void *image, size_t size, uint64_t *slot, uint64_t *position)
{
	struct synod_image_head head;

	if (head_get(image, size, &head) < 0)
		return -EBADMSG;
	*slot = head.slot;
	*position = head.position;
	return 0;
}

/* A fresh init, where anything may stand. */
static void forget(struct synod_apply *apply)
{
	const struct synod_machine *machine = apply->machine;
	const struct synod_apply_limits limits = apply->limits;

	memset((void *)apply, 0, synod_apply_size_within(machine, &limits));
	synod_apply_init_within(apply, machine, &limits);
}

static int load_parts(struct synod_apply *apply, const struct synod_image_head *head,
		      struct synod_image_reader *reader)
{
	const uint8_t *sessions = synod_image_skip(reader, head->sessions_size);
	const uint8_t *assemblies = synod_image_skip(reader, head->assemblies_size);
	const uint8_t *machine = synod_image_skip(reader, head->machine_size);
	uint32_t buffer;

	if (!sessions || !assemblies || !machine || reader->left)
		return -EBADMSG;
	if (synod_session_table_load(sessions_of(apply), head->slot, head->position, sessions,
				     head->sessions_size) < 0 ||
	    synod_assemblies_load(assemblies_of(apply), head->slot, assemblies,
				  head->assemblies_size) < 0)
		return -EBADMSG;
	for (buffer = 0; buffer < apply->limits.assemblies; buffer++) {
		uint64_t session = synod_assembly_session(assemblies_of(apply), buffer);

		if (session && !synod_session_is_open(sessions_of(apply), session))
			return -EBADMSG;
	}
	return apply->machine->load(machine_of(apply), head->position, machine, head->machine_size);
}

int synod_apply_load(struct synod_apply *apply, const void *image, size_t size)
{
	struct synod_image_reader reader = { .at = image, .left = size };
	struct synod_image_head mine;
	struct synod_image_head head;

	/* Where nothing was applied yet there is nothing to forget, in up to 90 MB of it. */
	if (apply->slot)
		forget(apply);
	if (head_get(image, size, &head) < 0)
		return -EBADMSG;
	mine = head_of(apply);
	if (memcmp(head.machine, mine.machine, sizeof(head.machine)) != 0 ||
	    head.sessions != mine.sessions || head.window != mine.window ||
	    head.assemblies != mine.assemblies || head.assembly_size != mine.assembly_size)
		return -EINVAL;
	synod_image_skip(&reader, sizeof(head));
	if (load_parts(apply, &head, &reader) < 0) {
		forget(apply);
		return -EBADMSG;
	}
	apply->slot = head.slot;
	apply->position = head.position;
	apply->hash = head.hash;
	return 0;
}

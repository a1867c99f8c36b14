/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes of an image: a replica's applied state, compact, to be stored and sent. Little-endian,
 * every offset asserted, every part a multiple of 8 bytes:
 *
 *   | head | sessions: how many | session | its entries | session | ... | assemblies: how many
 *   | assembly | its bytes | ... | the machine's part |
 *
 * It holds what is in use and nothing else: the open sessions in the order of their places with the
 * window entries that were used, the buffers in use with the bytes they have, the machine's own.
 * What can be computed from that (indexes, offsets) is not in it. So equal states give equal bytes,
 * whatever history led there, and an image that loads is the one that the loaded state saves.
 *
 * It carries no checksum: who stores or sends it has one over all of it, computed where that stops
 * nobody (a save does). What a checksum cannot say (that the parts fit each other, and that every
 * number is one that the state could have) is checked as it is loaded, since a belief that does not
 * hold of a loaded state would be an assertion that fails later.
 *
 * Only apply_image.c, session.c, assembly.c and the machines use it.
 */
#ifndef SYNOD_MACHINE_IMAGE_H
#define SYNOD_MACHINE_IMAGE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SYNOD_IMAGE_MAGIC   0x474d495f444e5953ull /* "SYND_IMG" */
#define SYNOD_IMAGE_VERSION 2u			  /* 1: the window was 4096, and not said */

enum {
	SYNOD_IMAGE_NAME_SIZE = 16, /* of a machine's name, filled up with zeros, one at least */
};

struct synod_image_head {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;		     /* 0 */
	char machine[SYNOD_IMAGE_NAME_SIZE]; /* as struct synod_machine says */
	/* The limits: outcomes depend on them. */
	uint32_t sessions;
	uint32_t assemblies;
	uint32_t assembly_size;
	uint32_t window;
	/* The state of struct synod_apply. */
	uint64_t slot;
	uint64_t position;
	uint64_t hash;
	/* Bytes of the three parts that follow. */
	uint64_t sessions_size;
	uint64_t assemblies_size;
	uint64_t machine_size;
};

/* In front of the sessions, and of the assemblies. */
struct synod_image_count {
	uint32_t count;
	uint32_t reserved; /* 0 */
};

/* One place; followed by its entries (struct synod_session_entry), in the order of the window. */
struct synod_image_session {
	uint64_t id;
	uint64_t nonce;
	uint64_t identity;    /* 0: anonymous */
	uint64_t incarnation; /* 0 where it is anonymous */
	uint64_t used;	      /* slot of last use */
	uint32_t entries;     /* that were used */
	uint32_t reserved;    /* 0 */
};

/* One buffer in use; followed by `have` bytes, filled up with zeros to a multiple of 8. */
struct synod_image_assembly {
	uint64_t session;
	uint64_t number;
	uint64_t used; /* slot of the last part taken */
	uint32_t have;
	uint32_t total;
	uint32_t buffer; /* which one, from 0 */
	uint32_t reserved;
};

struct synod_image_sequencer {
	uint64_t count;
	uint64_t hash;
};

/*
 * Followed by the free entries that were used before, touched - count of them, the one that is
 * taken next in front (uint32_t each, filled up with zeros to a multiple of 8), then by the keys.
 */
struct synod_image_kv {
	uint64_t hash;
	uint32_t count;
	uint32_t touched;
};

/* In the order of entries. Followed by key and value, filled up with zeros to a multiple of 8. */
struct synod_image_kv_entry {
	uint32_t entry; /* which one, from 0 */
	uint16_t value_size;
	uint8_t key_size;
	uint8_t reserved; /* 0 */
};

#ifndef __cplusplus
#define SYNOD_IMAGE_AT(type, member, offset) \
	_Static_assert(offsetof(struct synod_image_##type, member) == (offset), #type "." #member)

SYNOD_IMAGE_AT(head, version, 8);
SYNOD_IMAGE_AT(head, machine, 16);
SYNOD_IMAGE_AT(head, sessions, 32);
SYNOD_IMAGE_AT(head, assemblies, 36);
SYNOD_IMAGE_AT(head, assembly_size, 40);
SYNOD_IMAGE_AT(head, window, 44);
SYNOD_IMAGE_AT(head, slot, 48);
SYNOD_IMAGE_AT(head, position, 56);
SYNOD_IMAGE_AT(head, hash, 64);
SYNOD_IMAGE_AT(head, sessions_size, 72);
SYNOD_IMAGE_AT(head, assemblies_size, 80);
SYNOD_IMAGE_AT(head, machine_size, 88);
_Static_assert(sizeof(struct synod_image_head) == 96, "no padding");

_Static_assert(sizeof(struct synod_image_count) == 8, "no padding");

SYNOD_IMAGE_AT(session, nonce, 8);
SYNOD_IMAGE_AT(session, identity, 16);
SYNOD_IMAGE_AT(session, incarnation, 24);
SYNOD_IMAGE_AT(session, used, 32);
SYNOD_IMAGE_AT(session, entries, 40);
_Static_assert(sizeof(struct synod_image_session) == 48, "no padding");

SYNOD_IMAGE_AT(assembly, number, 8);
SYNOD_IMAGE_AT(assembly, used, 16);
SYNOD_IMAGE_AT(assembly, have, 24);
SYNOD_IMAGE_AT(assembly, total, 28);
SYNOD_IMAGE_AT(assembly, buffer, 32);
_Static_assert(sizeof(struct synod_image_assembly) == 40, "no padding");

SYNOD_IMAGE_AT(sequencer, hash, 8);
_Static_assert(sizeof(struct synod_image_sequencer) == 16, "no padding");

SYNOD_IMAGE_AT(kv, count, 8);
SYNOD_IMAGE_AT(kv, touched, 12);
_Static_assert(sizeof(struct synod_image_kv) == 16, "no padding");

SYNOD_IMAGE_AT(kv_entry, value_size, 4);
SYNOD_IMAGE_AT(kv_entry, key_size, 6);
_Static_assert(sizeof(struct synod_image_kv_entry) == 8, "no padding");

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are written as they lie here");
#endif

/* Writing: where the next byte goes. There is room: image_max says so. */
static inline uint8_t *synod_image_put(uint8_t *at, const void *from, size_t size)
{
	memcpy(at, from, size);
	return at + size;
}

/* Zeros, after size bytes, up to a multiple of 8. */
static inline uint8_t *synod_image_fill(uint8_t *at, size_t size)
{
	while (size++ & 7) /* at most 7 turns */
		*at++ = 0;
	return at;
}

/* Reading: bytes that are not trusted. */
struct synod_image_reader {
	const uint8_t *at;
	size_t left;
};

/* The next size bytes, or NULL: there are not as many. */
static inline const uint8_t *synod_image_skip(struct synod_image_reader *reader, size_t size)
{
	const uint8_t *at = reader->at;

	if (size > reader->left)
		return NULL;
	reader->at += size;
	reader->left -= size;
	return at;
}

static inline int synod_image_get(struct synod_image_reader *reader, void *to, size_t size)
{
	const uint8_t *from = synod_image_skip(reader, size);

	if (!from)
		return -EBADMSG;
	memcpy(to, from, size);
	return 0;
}

/* Passes over what synod_image_fill wrote. */
static inline int synod_image_filled(struct synod_image_reader *reader, size_t size)
{
	while (size++ & 7) { /* at most 7 turns */
		const uint8_t *zero = synod_image_skip(reader, 1);

		if (!zero || *zero)
			return -EBADMSG;
	}
	return 0;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams: seal and check. See wire.h for the layout. Nothing here trusts what it reads. */
#include "engine/wire/wire.h"

#include "engine/base/assert.h"
#include "engine/base/crc32c.h"

#include <string.h>

static uint32_t tag_of(const struct synod_wire_header *header, const struct synod_wire_entry *entry,
		       const void *body, uint32_t body_size)
{
	uint32_t crc = synod_crc32c(header, offsetof(struct synod_wire_header, tag));

	synod_assert_implies(body_size != 0 && entry == NULL, body != NULL);
	if (entry)
		return synod_crc32c_more(crc, entry, sizeof(*entry));
	return body_size ? synod_crc32c_more(crc, body, body_size) : crc;
}

void synod_wire_seal(struct synod_wire_header *header, const struct synod_wire_entry *entry,
		     const void *body, uint32_t body_size)
{
	uint32_t crc;

	synod_assert_cmp(body_size, <=, SYNOD_FRAME_SIZE_MAX);
	synod_assert_implies(entry != NULL, entry->size == body_size);
	synod_assert(header->type >= SYNOD_CANVASS && header->type < SYNOD_TYPES_END);
	synod_assert(header->sender <= SYNOD_REPLICAS_MAX &&
		     header->receiver <= SYNOD_REPLICAS_MAX);
	header->magic = SYNOD_WIRE_MAGIC;
	header->version = SYNOD_WIRE_VERSION;
	header->flags = (uint16_t)(entry ? header->flags | SYNOD_FLAG_ENTRY
					 : header->flags & ~SYNOD_FLAG_ENTRY);
	header->group = 0;
	header->size = body_size + (entry ? SYNOD_ENTRY_SIZE : 0);
	memset(header->tag, 0, sizeof(header->tag));
	crc = tag_of(header, entry, body, body_size);
	memcpy(header->tag, &crc, sizeof(crc));
}

/* Of no session; with an identity that is one, or with none. */
static int register_sane(const struct synod_wire_command *command, const uint8_t *payload)
{
	struct synod_wire_identity identity;

	synod_assert_cmp(command->kind, ==, SYNOD_COMMAND_REGISTER);
	if (command->session)
		return 0;
	if (command->size != sizeof(identity))
		return command->size == 0;
	memcpy(&identity, payload, sizeof(identity));
	return identity.identity != 0;
}

/* Reads do not enter the log: a request is all reads of one kind, or none. */
static unsigned int sort_of(unsigned int kind)
{
	return kind == SYNOD_COMMAND_READ || kind == SYNOD_COMMAND_READ_STALE ? kind
									      : SYNOD_COMMAND_APPLY;
}

int synod_wire_piece_read(const struct synod_wire_view *view, struct synod_wire_piece *piece,
			  const uint8_t **bytes)
{
	uint64_t offset = view->header->argument;

	synod_assert_cmp(view->header->type, ==, SYNOD_SNAPSHOT);
	if (view->body_size < sizeof(*piece))
		return SYNOD_DROP_SHORT;
	memcpy(piece, view->body, sizeof(*piece));
	*bytes = view->body + sizeof(*piece);
	synod_assert(view->body != NULL);
	if (piece->size == 0 || piece->size > SYNOD_PIECE_SIZE_MAX ||
	    SYNOD_WIRE_ALIGN(piece->size) != view->body_size - sizeof(*piece))
		return SYNOD_DROP_SHORT;
	if (view->header->slot == 0 || view->header->slot >> 62 || piece->total % 8 ||
	    offset >= piece->total || piece->size > piece->total - offset)
		return SYNOD_DROP_FIELD;
	return 0;
}

unsigned int synod_wire_request_sort(const void *body)
{
	struct synod_wire_command command;

	memcpy(&command, body, sizeof(command));
	return sort_of(command.kind);
}

/* Bytes there are, all of them inside the command, and not too few where more follow. */
static int part_sane(const struct synod_wire_command *command, const uint8_t *payload)
{
	struct synod_wire_part part;
	uint32_t size;

	synod_assert_cmp(command->kind, ==, SYNOD_COMMAND_PART);
	if (command->size <= sizeof(part))
		return 0;
	memcpy(&part, payload, sizeof(part));
	size = command->size - (uint32_t)sizeof(part);
	if (part.total > SYNOD_COMMAND_LARGE_MAX || part.offset > part.total ||
	    size > part.total - part.offset)
		return 0;
	return size >= SYNOD_PART_SIZE_MIN || size == part.total - part.offset;
}

static int kind_sane(const struct synod_wire_command *command, const uint8_t *payload)
{
	switch (command->kind) {
	case SYNOD_COMMAND_APPLY:
	case SYNOD_COMMAND_READ:
	case SYNOD_COMMAND_READ_STALE:
		return 1;
	case SYNOD_COMMAND_REGISTER:
		return register_sane(command, payload);
	case SYNOD_COMMAND_PART:
		return part_sane(command, payload);
	default:
		return 0;
	}
}

/* A command that is no ordinary one among such: of the first one's sort, and right in itself. */
static __attribute__((noinline)) int other_sane(const struct synod_wire_command *command,
						const uint8_t *payload, unsigned int sort)
{
	return sort_of(command->kind) == sort && kind_sane(command, payload);
}

int synod_wire_commands_check(const void *body, uint32_t size)
{
	const uint8_t *bytes = body;
	unsigned int sort = size >= sizeof(struct synod_wire_command)
				    ? synod_wire_request_sort(body)
				    : SYNOD_COMMAND_APPLY;
	uint32_t at = 0;
	int count = 0;

	while (at <
	       size) { /* at most SYNOD_BATCH_COMMANDS_MAX turns: each takes 24 bytes or more */
		struct synod_wire_command command;

		if (size - at < sizeof(command))
			return -1;
		memcpy(&command, bytes + at, sizeof(command));
		if (command.size > SYNOD_COMMAND_SIZE_MAX ||
		    synod_wire_command_size(&command) > size - at)
			return -1;
		/* Per command, at every replica: the common case is told by two comparisons. */
		if ((command.kind != SYNOD_COMMAND_APPLY || sort != SYNOD_COMMAND_APPLY) &&
		    !other_sane(&command, bytes + at + sizeof(command), sort))
			return -1;
		at += synod_wire_command_size(&command);
		count++;
	}
	return count;
}

/* Which types carry an entry: must, may, must not. */
static int entry_allowed(unsigned int type, int has_entry)
{
	if (type == SYNOD_ACCEPT || type == SYNOD_LEARN)
		return has_entry;
	return type == SYNOD_PROMISE || !has_entry;
}

static int check_sender(const struct synod_wire_header *header, uint32_t self)
{
	int from_replica = header->type <= SYNOD_HELLO || header->type == SYNOD_REPLY ||
			   header->type == SYNOD_STATUS || header->type == SYNOD_TAIL ||
			   header->type == SYNOD_HANDOVER_ANSWER;

	if (header->receiver != self)
		return SYNOD_DROP_SENDER;
	if (from_replica ? header->sender < 1 || header->sender > SYNOD_REPLICAS_MAX
			 : header->sender != 0)
		return SYNOD_DROP_SENDER;
	return header->sender == self ? SYNOD_DROP_SENDER : 0;
}

static int check_type(const struct synod_wire_header *header)
{
	unsigned int type = header->type;

	if (type < SYNOD_CANVASS || type >= SYNOD_TYPES_END)
		return SYNOD_DROP_TYPE;
	if (type >= SYNOD_REPLICA_TYPES_END && type < SYNOD_SNAPSHOT)
		return SYNOD_DROP_TYPE;
	if (!entry_allowed(type, header->flags & SYNOD_FLAG_ENTRY))
		return SYNOD_DROP_FIELD;
	if (header->group != 0 || header->flags > 15)
		return SYNOD_DROP_FIELD;
	return 0;
}

static int check_entry(const struct synod_wire_view *view)
{
	const struct synod_wire_entry *entry = view->entry;
	int count;

	if (entry->size != view->body_size || entry->size > SYNOD_BATCH_SIZE_MAX ||
	    entry->size % 8 || entry->slot == 0 || entry->flags > SYNOD_ENTRY_CHOSEN)
		return SYNOD_DROP_FIELD;
	if (entry->size == 0)
		return entry->count || entry->crc ? SYNOD_DROP_BATCH : 0;
	if (entry->crc != synod_crc32c(view->body, view->body_size))
		return SYNOD_DROP_BATCH;
	count = synod_wire_commands_check(view->body, view->body_size);
	if (count < 0 || (uint32_t)count != entry->count ||
	    synod_wire_request_sort(view->body) != SYNOD_COMMAND_APPLY)
		return SYNOD_DROP_BATCH;
	return 0;
}

/* Magic, version, cluster and the length that the header claims: before anything else is read. */
static int check_envelope(const struct synod_wire_header *header, size_t size, uint64_t cluster)
{
	if (size < sizeof(*header))
		return SYNOD_DROP_SHORT;
	if (header->magic != SYNOD_WIRE_MAGIC)
		return SYNOD_DROP_MAGIC;
	if (header->version != SYNOD_WIRE_VERSION)
		return SYNOD_DROP_VERSION;
	if (header->cluster != cluster)
		return SYNOD_DROP_CLUSTER;
	return header->size != size - sizeof(*header) ? SYNOD_DROP_SHORT : 0;
}

int synod_wire_decode(const void *datagram, size_t size, uint64_t cluster, uint32_t self,
		      struct synod_wire_view *view)
{
	const struct synod_wire_header *header = datagram;
	struct synod_wire_view found = { .header = header };
	static const uint8_t zeros[12];
	uint32_t crc;
	int wrong = check_envelope(header, size, cluster);

	if (!wrong)
		wrong = check_type(header);
	if (wrong)
		return wrong;
	found.body = (const uint8_t *)datagram + sizeof(*header);
	found.body_size = header->size;
	if (header->flags & SYNOD_FLAG_ENTRY) {
		if (header->size < SYNOD_ENTRY_SIZE)
			return SYNOD_DROP_SHORT;
		found.entry = (const struct synod_wire_entry *)found.body;
		found.body += SYNOD_ENTRY_SIZE;
		found.body_size -= SYNOD_ENTRY_SIZE;
	}
	memcpy(&crc, header->tag, sizeof(crc));
	if (crc != tag_of(header, found.entry, found.body, found.body_size) ||
	    memcmp(header->tag + sizeof(crc), zeros, sizeof(zeros)) != 0)
		return SYNOD_DROP_CHECKSUM;
	synod_assert_cmp(self, <=, SYNOD_REPLICAS_MAX);
	wrong = check_sender(header, self);
	if (!wrong && found.entry)
		wrong = check_entry(&found);
	if (wrong)
		return wrong;
	*view = found;
	return 0;
}

const char *synod_wire_type_name(unsigned int type)
{
	static const char *const names[SYNOD_TYPES_END] = {
		[SYNOD_CANVASS] = "CANVASS",
		[SYNOD_CANVASS_GRANTED] = "CANVASS_GRANTED",
		[SYNOD_PREPARE] = "PREPARE",
		[SYNOD_PROMISE] = "PROMISE",
		[SYNOD_ACCEPT] = "ACCEPT",
		[SYNOD_ACCEPTED] = "ACCEPTED",
		[SYNOD_REJECT] = "REJECT",
		[SYNOD_HEARTBEAT] = "HEARTBEAT",
		[SYNOD_NEED] = "NEED",
		[SYNOD_LEARN] = "LEARN",
		[SYNOD_HANDOVER] = "HANDOVER",
		[SYNOD_CONFIRM] = "CONFIRM",
		[SYNOD_CONFIRMED] = "CONFIRMED",
		[SYNOD_SNAPSHOT] = "SNAPSHOT",
		[SYNOD_FETCH] = "FETCH",
		[SYNOD_HELLO] = "HELLO",
		[SYNOD_JOIN] = "JOIN",
		[SYNOD_JOINED] = "JOINED",
		[SYNOD_REQUEST] = "REQUEST",
		[SYNOD_REPLY] = "REPLY",
		[SYNOD_STATUS_QUERY] = "STATUS_QUERY",
		[SYNOD_STATUS] = "STATUS",
		[SYNOD_TAIL_QUERY] = "TAIL_QUERY",
		[SYNOD_TAIL] = "TAIL",
		[SYNOD_HANDOVER_ASK] = "HANDOVER_ASK",
		[SYNOD_HANDOVER_ANSWER] = "HANDOVER_ANSWER",
	};

	return type < SYNOD_TYPES_END && names[type] ? names[type] : "?";
}

const char *synod_status_name(unsigned int status)
{
	static const char *const names[SYNOD_STATUSES_COUNT] = {
		"OK",	    "NOT_LEADER", "BUSY",	 "FULL",      "SESSION_EVICTED",
		"STALE",    "TOO_LARGE",  "BAD_COMMAND", "NOT_FOUND", "MISMATCH",
		"NO_SPACE", "UNKNOWN",	  "HALTED",	 "PARTIAL",
	};

	return status < SYNOD_STATUSES_COUNT ? names[status] : "?";
}

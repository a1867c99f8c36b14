/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Images of applied state: what is loaded goes on as what was saved, equal states give equal bytes,
 * and bytes that no state gives are refused. Twins get the same random commands; one is loaded from
 * an image of itself again and again, the other never.
 */
#include "engine/machine/apply.h"

#include "engine/base/limits.h"
#include "engine/base/random.h"
#include "engine/machine/image.h"
#include "engine/machine/kv.h"
#include "engine/wire/wire.h"
#include "tests/unit/apply_batch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	RESULTS_MAX = SYNOD_BATCH_COMMANDS_MAX,
	SESSIONS_KNOWN = 16,
};

static const struct synod_apply_limits limits = {
	.sessions = 5,
	.window = SYNOD_SESSION_WINDOW_MAX,
	.assemblies = 2,
	.assembly_size = 2000,
};

struct twin {
	const struct synod_machine *machine;
	struct synod_apply *apply;
	uint8_t *image;
	size_t size;
	uint32_t count;
	struct synod_apply_result results[RESULTS_MAX];
	uint64_t data_hash;		     /* of all data of the results, in order */
	uint32_t seen[SYNOD_STATUSES_COUNT]; /* results by status */
	uint32_t duplicates;
	uint32_t larges; /* executed from parts */
};

static struct apply_batch batch;
static uint64_t known[SESSIONS_KNOWN]; /* sessions that were opened, the latest ones */
static uint32_t known_count;

static struct twin twin_make(const struct synod_machine *machine)
{
	size_t size = synod_apply_size_within(machine, &limits);
	struct twin twin = { .machine = machine };
	void *memory = aligned_alloc(64, size);

	assert_non_null(memory);
	memset(memory, 0, size);
	twin.apply = synod_apply_init_within(memory, machine, &limits);
	twin.image = malloc(synod_apply_image_max(machine, &limits));
	assert_non_null(twin.image);
	return twin;
}

static void twin_free(struct twin *twin)
{
	free(twin->apply);
	free(twin->image);
}

static void twin_save(struct twin *twin)
{
	/* What stood there before is not part of it. */
	memset(twin->image, 0xa5, twin->size);
	twin->size = synod_apply_save(twin->apply, twin->image);
	assert_int_equal(twin->size % 8, 0);
	assert_true(twin->size <= synod_apply_image_max(twin->machine, &limits));
}

static void expect_same_image(struct twin *one, struct twin *two)
{
	twin_save(one);
	twin_save(two);
	assert_int_equal(one->size, two->size);
	assert_memory_equal(one->image, two->image, one->size);
	assert_int_equal(synod_apply_hash(one->apply), synod_apply_hash(two->apply));
}

static void note(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct twin *twin = context;
	const uint8_t *data = result->data;

	assert_int_equal(index, twin->count);
	for (uint32_t at = 0; at < result->size; at++)
		twin->data_hash = twin->data_hash * 31 + data[at];
	twin->seen[result->status]++;
	twin->duplicates += result->duplicate;
	twin->larges += result->executed && result->part == SYNOD_APPLY_PART_TAKEN;
	twin->results[twin->count] = *result;
	twin->results[twin->count++].data = NULL;
}

static void twin_apply(struct twin *twin)
{
	twin->count = 0;
	synod_apply_batch(twin->apply, synod_apply_slot(twin->apply) + 1, batch.bytes, batch.size,
			  note, twin);
}

/* One batch for both, with the same outcome. */
static void apply_both(struct twin *one, struct twin *two)
{
	twin_apply(one);
	twin_apply(two);
	batch.size = 0;
	assert_int_equal(one->count, two->count);
	assert_memory_equal(one->results, two->results, one->count * sizeof(one->results[0]));
	assert_int_equal(one->data_hash, two->data_hash);
	assert_int_equal(synod_apply_hash(one->apply), synod_apply_hash(two->apply));
	assert_int_equal(synod_apply_position(one->apply), synod_apply_position(two->apply));
	assert_int_equal(synod_apply_sessions(one->apply), synod_apply_sessions(two->apply));
}

/* Sessions that were opened by the last batch are used by those to come. */
static void learn_sessions(const struct twin *twin)
{
	for (uint32_t index = 0; index < twin->count; index++) {
		const struct synod_apply_result *result = &twin->results[index];

		if (result->session == 0 && result->position && !result->executed)
			known[known_count++ % SESSIONS_KNOWN] = result->position;
	}
}

static uint32_t random_kv(uint64_t *random, uint8_t *command)
{
	static const uint8_t zeros[SYNOD_KV_VALUE_SIZE_MAX];
	struct synod_kv_request request = { .operation = 1 + (uint8_t)synod_random_below(random, 4),
					    .value = zeros,
					    .expected = zeros };
	/* A few that are hit again and again, and so many that they stand in each other's way. */
	uint64_t key = synod_random_below(random, 2) ? synod_random_below(random, 20)
						     : synod_random_below(random, 8000);
	int size;

	key *= 0x9e3779b97f4a7c15ull;
	request.key = &key;
	request.key_size = 8;
	if (request.operation == SYNOD_KV_PUT || request.operation == SYNOD_KV_CAS)
		request.value_size = (uint16_t)synod_random_below(random, 40);
	if (request.operation == SYNOD_KV_CAS && synod_random_below(random, 2))
		request.flags = SYNOD_KV_ABSENT;
	else if (request.operation == SYNOD_KV_CAS)
		request.expected_size = (uint16_t)synod_random_below(random, 40);
	size = synod_kv_encode(&request, command, SYNOD_KV_COMMAND_SIZE_MAX);
	assert_true(size > 0);
	return (uint32_t)size;
}

static void add_random_command(uint64_t *random)
{
	uint8_t payload[SYNOD_KV_COMMAND_SIZE_MAX];
	uint32_t size = random_kv(random, payload);
	uint64_t session = known[synod_random_below(random, SESSIONS_KNOWN)];
	/* Around the edge of the window, so that entries are used again. */
	uint64_t number = 1 + synod_random_below(random, 40) + 4096 * synod_random_below(random, 3);
	struct synod_wire_part part = { .total = 64 *
						 (1 + (uint32_t)synod_random_below(random, 40)) };

	switch (synod_random_below(random, 16)) {
	case 0:
		apply_batch_add_life(&batch, 0, 0, synod_random_below(random, 30));
		return;
	case 1:
		apply_batch_add_life(&batch, 1 + synod_random_below(random, 4),
				     synod_random_below(random, 9), synod_random_below(random, 9));
		return;
	case 2:
	case 3:
	case 4:
		part.offset = 64 * (uint32_t)synod_random_below(random, part.total / 64);
		part.offset = synod_random_below(random, 2) ? part.offset : 0;
		size = synod_random_below(random, 2) ? 64 : part.total - part.offset;
		apply_batch_add_part(&batch, session, number % 50, 'p', &part, size);
		return;
	default:
		apply_batch_add_command(&batch, session, number, payload, size);
	}
}

static void add_random(uint64_t *random)
{
	uint32_t count = (uint32_t)synod_random_below(random, 40);

	while (count-- && apply_batch_has_room(&batch, 2600))
		add_random_command(random);
}

static void twin_reload(struct twin *twin)
{
	uint64_t position;
	uint64_t slot;

	twin_save(twin);
	assert_int_equal(synod_apply_image_slot(twin->image, twin->size, &slot, &position), 0);
	assert_int_equal(slot, synod_apply_slot(twin->apply));
	assert_int_equal(position, synod_apply_position(twin->apply));
	assert_int_equal(synod_apply_load(twin->apply, twin->image, twin->size), 0);
}

static void run_twins(const struct synod_machine *machine, uint32_t turns)
{
	struct twin loaded = twin_make(machine);
	struct twin never = twin_make(machine);
	uint64_t random = 11;

	known_count = 0;
	memset(known, 0, sizeof(known));
	for (uint32_t turn = 0; turn < turns; turn++) {
		add_random(&random);
		apply_both(&loaded, &never);
		learn_sessions(&never);
		if (synod_random_below(&random, 30) == 0) {
			twin_reload(&loaded);
			expect_same_image(&loaded, &never);
		}
	}
	/* There was life of every kind. */
	assert_true(known_count > turns / 2);
	assert_true(synod_apply_position(never.apply) > turns);
	assert_true(never.duplicates > 100);
	assert_true(never.larges > 100);
	assert_true(never.seen[SYNOD_SESSION_EVICTED] > 100);
	assert_true(never.seen[SYNOD_STALE] > 100);
	assert_true(never.seen[SYNOD_PARTIAL] > 100);
	assert_true(never.seen[SYNOD_BUSY] > 100);
	twin_free(&loaded);
	twin_free(&never);
}

static void a_loaded_sequencer_goes_on_as_one_that_executed_everything(void **state)
{
	(void)state;
	run_twins(&synod_sequencer_machine, 4000);
}

static void a_loaded_key_value_machine_goes_on_as_one_that_executed_everything(void **state)
{
	(void)state;
	run_twins(&synod_kv_machine, 3000);
}

static uint64_t open_session(struct twin *twin, uint64_t nonce)
{
	apply_batch_add_life(&batch, 0, 0, nonce);
	twin_apply(twin);
	batch.size = 0;
	return twin->results[0].position;
}

/* What changes nothing leaves no trace: not where a lookup ended, not what a value was before. */
static void equal_states_give_equal_bytes_whatever_history_led_there(void **state)
{
	struct twin one = twin_make(&synod_kv_machine);
	struct twin two = twin_make(&synod_kv_machine);
	const struct synod_wire_part part = { .offset = 64, .total = 300 };
	uint64_t session = open_session(&one, 1);
	uint64_t other = open_session(&one, 2);

	(void)state;
	assert_int_equal(open_session(&two, 1), session);
	assert_int_equal(open_session(&two, 2), other);
	apply_batch_add_command(&batch, session, 1, "a", 1);
	apply_both(&one, &two);
	apply_batch_add_command(&batch, session, 1, "a", 1);	/* a duplicate */
	apply_batch_add_command(&batch, other, 0, "a", 1);	/* too old, by another one */
	apply_batch_add_command(&batch, other + 99, 5, "a", 1); /* of nobody */
	apply_batch_add_part(&batch, other, 5, 'x', &part, 64); /* no beginning */
	apply_batch_add_life(&batch, 0, 0, 1);			/* open already */
	twin_apply(&one);
	batch.size = 0;
	twin_apply(&two); /* a no-op */
	expect_same_image(&one, &two);
	twin_free(&one);
	twin_free(&two);
}

static void add_kv(uint64_t session, uint64_t number, uint8_t operation, const char *key,
		   const char *value)
{
	const struct synod_kv_request request = { .operation = operation,
						  .key = key,
						  .key_size = (uint8_t)strlen(key),
						  .value = value,
						  .value_size = (uint16_t)strlen(value) };
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	int size = synod_kv_encode(&request, command, sizeof(command));

	assert_true(size > 0);
	apply_batch_add_command(&batch, session, number, command, (uint32_t)size);
}

/*
 * Two sessions with a few entries, and one half command. Of three keys that were set the first and
 * the third are gone: entries 2 and 0 are free, in that order, 1 is in use.
 */
static struct twin make_busy(const struct synod_machine *machine)
{
	struct twin twin = twin_make(machine);
	const struct synod_wire_part part = { .offset = 0, .total = 200 };
	uint64_t session = open_session(&twin, 5);
	uint64_t other;

	apply_batch_add_life(&batch, 77, 1, 5);
	twin_apply(&twin);
	other = twin.results[0].position;
	batch.size = 0;
	add_kv(session, 1, SYNOD_KV_PUT, "a", "value");
	add_kv(session, 2, SYNOD_KV_PUT, "b", "longer value");
	add_kv(session, 3, SYNOD_KV_PUT, "c", "");
	add_kv(other, 5001, SYNOD_KV_DELETE, "a", "");
	add_kv(other, 5002, SYNOD_KV_DELETE, "c", "");
	apply_batch_add_part(&batch, other, 9, 'x', &part, 100);
	twin_apply(&twin);
	batch.size = 0;
	twin_save(&twin);
	return twin;
}

static void expect_fresh(struct twin *twin)
{
	struct twin fresh = twin_make(twin->machine);

	expect_same_image(twin, &fresh);
	twin_free(&fresh);
}

/* Loads bytes of exactly that size: nothing beyond may be read. Wrong ones leave a fresh state. */
static int load_exactly(struct twin *twin, const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	int verdict;

	assert_non_null(copy);
	memcpy(copy, bytes, size);
	verdict = synod_apply_load(twin->apply, copy, size);
	if (verdict == 0) {
		twin_save(twin);
		assert_int_equal(twin->size, size);
		assert_memory_equal(twin->image, copy, size);
	} else {
		assert_int_equal(synod_apply_slot(twin->apply), 0);
		assert_int_equal(synod_apply_sessions(twin->apply), 0);
	}
	free(copy);
	return verdict;
}

static void an_image_that_ends_anywhere_else_is_refused(void **state)
{
	struct twin busy = make_busy(&synod_sequencer_machine);
	struct twin target = twin_make(&synod_sequencer_machine);
	uint8_t more[8] = { 0 };
	uint64_t value;

	(void)state;
	assert_int_equal(load_exactly(&target, busy.image, busy.size), 0);
	for (size_t size = 0; size < busy.size; size++) {
		assert_int_equal(load_exactly(&target, busy.image, size), -EBADMSG);
		assert_int_equal(synod_apply_image_slot(busy.image, size, &value, &value),
				 size < SYNOD_APPLY_IMAGE_PEEK ? -EBADMSG : 0);
	}
	memcpy(busy.image + busy.size, more, sizeof(more));
	assert_int_equal(load_exactly(&target, busy.image, busy.size + 8), -EBADMSG);
	expect_fresh(&target);
	twin_free(&busy);
	twin_free(&target);
}

/* Not found are only those that another state could have: of hashes, nonces, bytes of a command. */
static void no_flipped_bit_is_loaded_as_anything_but_what_it_says(void **state)
{
	struct twin busy = make_busy(&synod_sequencer_machine);
	struct twin target = twin_make(&synod_sequencer_machine);
	uint32_t refused = 0;

	(void)state;
	for (size_t bit = 0; bit < busy.size * 8; bit++) {
		int verdict;

		busy.image[bit / 8] ^= (uint8_t)(1 << bit % 8);
		verdict = load_exactly(&target, busy.image, busy.size);
		assert_true(verdict == 0 || verdict == -EBADMSG || verdict == -EINVAL);
		refused += verdict != 0;
		busy.image[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_true(refused > busy.size * 8 / 3);
	assert_int_equal(load_exactly(&target, busy.image, busy.size), 0);
	twin_free(&busy);
	twin_free(&target);
}

static void random_damage_of_a_key_value_image_is_refused_or_is_a_state(void **state)
{
	struct twin busy = make_busy(&synod_kv_machine);
	struct twin target = twin_make(&synod_kv_machine);
	uint8_t *bytes = malloc(busy.size);
	uint64_t random = 3;

	(void)state;
	assert_non_null(bytes);
	for (uint32_t turn = 0; turn < 150; turn++) {
		/* Beyond the sessions, which the sequencer's images have too. */
		size_t at = busy.size - 1 - synod_random_below(&random, 120);

		memcpy(bytes, busy.image, busy.size);
		bytes[at] = (uint8_t)synod_random_next(&random);
		load_exactly(&target, bytes, busy.size);
	}
	free(bytes);
	twin_free(&busy);
	twin_free(&target);
}

static void another_machine_s_image_and_one_of_other_limits_are_told_apart(void **state)
{
	struct twin busy = make_busy(&synod_sequencer_machine);
	struct twin kv = twin_make(&synod_kv_machine);
	struct synod_image_head head;

	(void)state;
	assert_int_equal(synod_apply_load(kv.apply, busy.image, busy.size), -EINVAL);
	expect_fresh(&kv);
	memcpy(&head, busy.image, sizeof(head));
	head.sessions++;
	memcpy(busy.image, &head, sizeof(head));
	assert_int_equal(synod_apply_load(busy.apply, busy.image, busy.size), -EINVAL);
	head.sessions--;
	head.window /= 2;
	memcpy(busy.image, &head, sizeof(head));
	assert_int_equal(synod_apply_load(busy.apply, busy.image, busy.size), -EINVAL);
	head.window *= 2;
	head.version++;
	memcpy(busy.image, &head, sizeof(head));
	assert_int_equal(synod_apply_load(busy.apply, busy.image, busy.size), -EBADMSG);
	expect_fresh(&busy);
	twin_free(&busy);
	twin_free(&kv);
}

/* Fields of the parts of make_busy's image. */
struct parts {
	struct synod_image_head *head;
	struct synod_image_count *sessions;
	struct synod_image_session *session[2];
	uint64_t *entries[2]; /* number, position and status; and again */
	struct synod_image_count *assemblies;
	struct synod_image_assembly *assembly;
	struct synod_image_kv *kv;
	uint32_t *kv_free;
	struct synod_image_kv_entry *kv_entry;
};

static struct parts parts_of(uint8_t *image)
{
	struct parts parts = { .head = (void *)image };
	uint8_t *at = image + sizeof(*parts.head);

	parts.sessions = (void *)at;
	at += sizeof(*parts.sessions);
	for (uint32_t index = 0; index < 2; index++) {
		parts.session[index] = (void *)at;
		at += sizeof(*parts.session[index]);
		parts.entries[index] = (void *)at;
		at += parts.session[index]->entries * 16ull;
	}
	parts.assemblies = (void *)at;
	at += sizeof(*parts.assemblies);
	parts.assembly = (void *)at;
	parts.kv = (void *)(image + sizeof(*parts.head) + parts.head->sessions_size +
			    parts.head->assemblies_size);
	parts.kv_free = (void *)(parts.kv + 1);
	parts.kv_entry = (void *)(parts.kv_free + parts.kv->touched - parts.kv->count);
	return parts;
}

struct lie {
	void *field;
	size_t size;
	uint64_t value;
};

static void expect_refused(struct twin *target, const struct twin *busy, const struct lie *lie)
{
	uint64_t truth = 0;

	memcpy(&truth, lie->field, lie->size);
	assert_int_not_equal(truth, lie->value);
	memcpy(lie->field, &lie->value, lie->size);
	assert_int_equal(synod_apply_load(target->apply, busy->image, busy->size), -EBADMSG);
	memcpy(lie->field, &truth, lie->size);
}

#define LIE(field, value)                        \
	{                                        \
		&(field), sizeof(field), (value) \
	}

static void what_no_session_table_holds_is_refused(void **state)
{
	struct twin busy = make_busy(&synod_sequencer_machine);
	struct twin target = twin_make(&synod_sequencer_machine);
	struct parts parts = parts_of(busy.image);
	struct synod_image_session *first = parts.session[0];
	struct synod_image_session *second = parts.session[1];
	const struct lie lies[] = {
		LIE(parts.head->slot, 1), /* before a session was opened */
		LIE(parts.head->slot, 1ull << 48),
		LIE(parts.head->position, 2), /* before a command was executed */
		LIE(parts.head->position, 1ull << 56),
		LIE(parts.sessions->count, limits.sessions + 1),
		LIE(first->id, 0),
		LIE(first->id, second->id),
		LIE(first->id, 1 << 16),			  /* index 0 */
		LIE(first->id, 1 << 16 | 0xffff),		  /* no batch is that large */
		LIE(first->id, (parts.head->slot + 1) << 16 | 1), /* it is yet to come */
		LIE(first->used, 0),
		LIE(first->used, parts.head->slot + 1),
		LIE(first->identity, second->identity),
		LIE(first->incarnation, 1), /* anonymous */
		LIE(first->entries, 2),
		LIE(first->entries, UINT32_MAX),
		LIE(parts.entries[0][0], 0),
		LIE(parts.entries[0][2], 1), /* twice the same entry */
		LIE(parts.entries[0][4], 2), /* in another order */
		LIE(parts.entries[0][1], 0), /* no position */
		LIE(parts.entries[0][1], (parts.head->position + 1) << 8),
	};

	(void)state;
	for (size_t index = 0; index < sizeof(lies) / sizeof(lies[0]); index++)
		expect_refused(&target, &busy, &lies[index]);
	/* Two anonymous ones of one nonce. */
	second->identity = 0;
	second->incarnation = 0;
	assert_int_equal(first->nonce, second->nonce);
	assert_int_equal(synod_apply_load(target.apply, busy.image, busy.size), -EBADMSG);
	twin_free(&busy);
	twin_free(&target);
}

static void what_no_assembly_holds_is_refused(void **state)
{
	struct twin busy = make_busy(&synod_sequencer_machine);
	struct twin target = twin_make(&synod_sequencer_machine);
	struct parts parts = parts_of(busy.image);
	struct synod_image_assembly *assembly = parts.assembly;
	const struct lie lies[] = {
		LIE(parts.assemblies->count, 0),
		LIE(parts.assemblies->count, 2),
		LIE(assembly->session, 0),
		LIE(assembly->session, 99), /* not open */
		LIE(assembly->number, 0),
		LIE(assembly->used, 0),
		LIE(assembly->used, parts.head->slot + 1),
		LIE(assembly->have, 0),
		LIE(assembly->have, 99),   /* then there are bytes over */
		LIE(assembly->total, 100), /* it would be whole */
		LIE(assembly->total, limits.assembly_size + 1),
		LIE(assembly->buffer, limits.assemblies),
	};

	(void)state;
	for (size_t index = 0; index < sizeof(lies) / sizeof(lies[0]); index++)
		expect_refused(&target, &busy, &lies[index]);
	twin_free(&busy);
	twin_free(&target);
}

static void two_entries_of_one_key_are_refused(void **state)
{
	struct twin twin = twin_make(&synod_kv_machine);
	uint64_t session = open_session(&twin, 1);
	uint8_t *found;

	(void)state;
	add_kv(session, 1, SYNOD_KV_PUT, "first key", "");
	add_kv(session, 2, SYNOD_KV_PUT, "other key", "");
	twin_apply(&twin);
	batch.size = 0;
	twin_save(&twin);
	found = memmem(twin.image, twin.size, "other", 5);
	assert_non_null(found);
	memcpy(found, "first", 5);
	assert_int_equal(synod_apply_load(twin.apply, twin.image, twin.size), -EBADMSG);
	twin_free(&twin);
}

static void what_no_machine_holds_is_refused(void **state)
{
	struct twin busy = make_busy(&synod_kv_machine);
	struct twin target = twin_make(&synod_kv_machine);
	struct parts parts = parts_of(busy.image);
	const struct lie lies[] = {
		LIE(parts.kv->count, 0),
		LIE(parts.kv->count, 2),
		LIE(parts.kv->count, UINT32_MAX),
		LIE(parts.kv->touched, 2),
		LIE(parts.kv->touched, 4),
		LIE(parts.kv->touched, SYNOD_KV_ENTRIES + 1),
		LIE(parts.kv_free[0], parts.kv_free[1]),      /* twice */
		LIE(parts.kv_free[0], parts.kv_entry->entry), /* in use */
		LIE(parts.kv_free[0], 4),		      /* never used */
		LIE(parts.kv_entry->entry, parts.kv_free[0]),
		LIE(parts.kv_entry->entry, 4),
		LIE(parts.kv_entry->key_size, 0),
		LIE(parts.kv_entry->key_size, SYNOD_KV_KEY_SIZE_MAX + 1),
		LIE(parts.kv_entry->value_size, SYNOD_KV_VALUE_SIZE_MAX + 1),
		LIE(parts.kv_entry->reserved, 1),
	};

	(void)state;
	assert_int_equal(parts.kv->count, 1);
	assert_int_equal(parts.kv->touched, 3);
	for (size_t index = 0; index < sizeof(lies) / sizeof(lies[0]); index++)
		expect_refused(&target, &busy, &lies[index]);
	assert_int_equal(synod_apply_load(target.apply, busy.image, busy.size), 0);
	twin_free(&busy);
	twin_free(&target);

	busy = make_busy(&synod_sequencer_machine);
	target = twin_make(&synod_sequencer_machine);
	parts = parts_of(busy.image);
	parts.kv->hash++; /* the sequencer's count, which is the position */
	assert_int_equal(synod_apply_load(target.apply, busy.image, busy.size), -EBADMSG);
	parts.kv->hash--;
	parts.head->machine_size += 8; /* more than it needs */
	memset(busy.image + busy.size, 0, 8);
	assert_int_equal(synod_apply_load(target.apply, busy.image, busy.size + 8), -EBADMSG);
	twin_free(&busy);
	twin_free(&target);
}

/* All keys of full size, all windows and all buffers full: as much as image_max says. */
static void the_largest_state_fills_its_image(void **state)
{
	struct twin twin = twin_make(&synod_kv_machine);
	uint8_t value[SYNOD_KV_VALUE_SIZE_MAX] = { 0 };
	uint8_t key[SYNOD_KV_KEY_SIZE_MAX] = { 0 };
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	const struct synod_wire_part part = { .total = limits.assembly_size };
	struct synod_kv_request put = { .operation = SYNOD_KV_PUT,
					.key = key,
					.key_size = sizeof(key),
					.value = value,
					.value_size = sizeof(value) };

	(void)state;
	for (uint32_t index = 0; index < limits.sessions; index++)
		known[index] = open_session(&twin, index);
	for (uint32_t turn = 0; turn < limits.sessions * SYNOD_SESSION_WINDOW_MAX; turn++) {
		memcpy(key, &turn, sizeof(turn));
		apply_batch_add_command(&batch, known[turn % limits.sessions], turn + 1, command,
					(uint32_t)synod_kv_encode(&put, command, sizeof(command)));
		if (!apply_batch_has_room(&batch, sizeof(command))) {
			twin_apply(&twin);
			batch.size = 0;
		}
	}
	twin_apply(&twin);
	batch.size = 0;
	for (uint32_t index = 0; index < limits.assemblies; index++)
		apply_batch_add_part(&batch, known[index], 999999, 'x', &part,
				     limits.assembly_size - 1);
	twin_apply(&twin);
	batch.size = 0;
	twin_save(&twin);
	assert_int_equal(twin.size, synod_apply_image_max(&synod_kv_machine, &limits));
	twin_reload(&twin);
	twin_free(&twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_loaded_sequencer_goes_on_as_one_that_executed_everything),
		cmocka_unit_test(
			a_loaded_key_value_machine_goes_on_as_one_that_executed_everything),
		cmocka_unit_test(equal_states_give_equal_bytes_whatever_history_led_there),
		cmocka_unit_test(the_largest_state_fills_its_image),
		cmocka_unit_test(an_image_that_ends_anywhere_else_is_refused),
		cmocka_unit_test(no_flipped_bit_is_loaded_as_anything_but_what_it_says),
		cmocka_unit_test(random_damage_of_a_key_value_image_is_refused_or_is_a_state),
		cmocka_unit_test(another_machine_s_image_and_one_of_other_limits_are_told_apart),
		cmocka_unit_test(what_no_session_table_holds_is_refused),
		cmocka_unit_test(what_no_assembly_holds_is_refused),
		cmocka_unit_test(two_entries_of_one_key_are_refused),
		cmocka_unit_test(what_no_machine_holds_is_refused),
	};

	return cmocka_run_group_tests_name("apply_image", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod verify: reads the journals of all replicas back, slot by slot and side by side, in a
 * process that has nothing to do with those that wrote them.
 *
 *   - Each slot's chosen value: the one that some journal marks as chosen, or that a quorum of
 *     journals holds at one ballot (the last slots before a stop, whose mark was not written yet).
 *     The sequence ends at the first slot without one.
 *   - Two journals that mark different values as chosen contradict each other: the one thing that
 *     must never happen.
 *   - Each journal must hold every chosen value; one that does not is behind.
 *   - Where the logs were recycled, the sequence begins behind the oldest snapshot from which on it
 *     is whole; what lies before is in snapshots only. Each journal's snapshot must be, byte for
 *     byte, the state that the sequence leads to at its slot.
 *   - The sequence is replayed through the state machine, and what the load generator says was
 *     acknowledged is looked for: there, once, at the position that was told.
 */
#include "tools/synod_verify.h"
#include "engine/base/crc32c.h"
#include "engine/journal/uring.h"
#include "engine/machine/apply.h"
#include "tools/synod.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct verify {
	struct synod_config config;
	const char *acked_path; /* NULL: not asked */
	int json;
	int may_lag; /* a journal that is behind is no error */

	struct synod_journal *journals[SYNOD_REPLICAS_MAX];
	struct synod_journal_recovery recovery[SYNOD_REPLICAS_MAX];
	uint64_t missing[SYNOD_REPLICAS_MAX]; /* chosen slots that the journal lacks */
	struct synod_apply *apply;
	struct synod_executed executed;
	uint8_t *image; /* of a journal */
	uint8_t *saved; /* of the replayed state */
	uint64_t base;	/* slots up to it are in snapshots only */

	uint64_t slots;		/* the last one chosen */
	uint64_t undecided;	/* slots beyond, with a record somewhere */
	uint64_t contradiction; /* first slot with two chosen values, 0: none */
	uint32_t crc;		/* of the whole sequence */
	int error;		/* of noting: -errno */
	struct synod_acked_result acked;

	json_t *reasons;
};

static void __attribute__((format(printf, 2, 3)))
add_reason(struct verify *verify, const char *format, ...)
{
	char line[1400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	json_array_append_new(verify->reasons, json_string(line));
}

static int open_journals(struct verify *verify)
{
	char error[1024];

	for (uint32_t id = 1; id <= verify->config.replicas; id++) {
		const struct synod_journal_identity expect = { .cluster = verify->config.id,
							       .replica = id };
		const struct synod_journal_options options = {
			.path = synod_config_replica(&verify->config, id)->journal,
			.expect = &expect,
			.flags = SYNOD_JOURNAL_READ_ONLY,
		};
		const struct synod_journal_recovery *recovery = &verify->recovery[id - 1];

		if (synod_journal_open(&verify->journals[id - 1], &options,
				       &verify->recovery[id - 1], error, sizeof(error)))
			return synod_tool_complain("%s", error);
		if (recovery->locked)
			add_reason(verify, "replica %u is running: stop it first", id);
		if (recovery->faults)
			add_reason(verify,
				   "replica %u: %u places of its journal are corrupt, the first "
				   "at byte %" PRIu64,
				   id, recovery->faults, recovery->faulty[0].offset);
	}
	return 0;
}

/* One slot as the journals have it; error of a record is kept in it. */
struct slot {
	struct synod_journal_record record[SYNOD_REPLICAS_MAX];
	int marked[SYNOD_REPLICAS_MAX]; /* chosen, says this journal */
};

static int is_same(const struct synod_journal_record *left,
		   const struct synod_journal_record *right)
{
	return left->value.size == right->value.size && left->value.count == right->value.count &&
	       (left->value.size == 0 || !memcmp(left->body, right->body, left->value.size));
}

static int read_slot(struct verify *verify, uint64_t number, struct slot *slot)
{
	for (uint32_t i = 0; i < verify->config.replicas; i++) {
		struct synod_journal_record *record = &slot->record[i];
		int result = synod_journal_read_sync(verify->journals[i], number, record);

		slot->marked[i] = 0;
		record->error = result;
		if (result == 0)
			slot->marked[i] =
				record->chosen || number <= verify->recovery[i].chosen_through;
		else if (result != -ENOENT && result != -EBADMSG)
			return synod_tool_complain("%s: reading slot %" PRIu64 ": %s",
						   verify->config.replica[i].journal, number,
						   strerror(-result));
	}
	return 0;
}

/* The index of a journal that holds the chosen value, or -1. */
static int find_chosen(const struct verify *verify, const struct slot *slot)
{
	uint32_t replicas = verify->config.replicas;

	for (uint32_t i = 0; i < replicas; i++)
		if (slot->marked[i])
			return (int)i;
	for (uint32_t i = 0; i < replicas; i++) {
		uint32_t votes = 0;

		for (uint32_t j = 0; j < replicas && !slot->record[i].error; j++)
			votes += !slot->record[j].error &&
				 slot->record[j].ballot == slot->record[i].ballot &&
				 is_same(&slot->record[i], &slot->record[j]);
		if (votes > replicas / 2)
			return (int)i;
	}
	return -1;
}

static void on_result(void *context, uint32_t index, const struct synod_apply_result *result)
{
	struct verify *verify = context;

	(void)index;
	if (result->executed && !verify->error)
		verify->error = synod_executed_note(&verify->executed, result->session,
						    result->number, result->position);
}

/* Takes one slot. Returns 1: chosen and replayed; 0: not chosen; -1: complained. */
static int take_slot(struct verify *verify, uint64_t number)
{
	struct slot slot;
	const struct synod_journal_record *chosen;
	int at;

	if (read_slot(verify, number, &slot))
		return -1;
	at = find_chosen(verify, &slot);
	if (at < 0)
		return 0;
	chosen = &slot.record[at];
	for (uint32_t i = 0; i < verify->config.replicas; i++) {
		int same = !slot.record[i].error && is_same(chosen, &slot.record[i]);

		if (slot.record[i].error == -ENOENT && number <= verify->recovery[i].snapshot_slot)
			continue; /* its snapshot has it */
		verify->missing[i] += !same;
		if (slot.marked[i] && !same && !verify->contradiction)
			verify->contradiction = number;
	}
	if (chosen->value.size && synod_wire_commands_check(chosen->body, chosen->value.size) < 0) {
		synod_tool_complain("slot %" PRIu64 ": its commands do not add up", number);
		return -1;
	}
	verify->crc = synod_crc32c_more(verify->crc, &chosen->value.size, sizeof(uint32_t));
	if (chosen->value.size)
		verify->crc = synod_crc32c_more(verify->crc, chosen->body, chosen->value.size);
	synod_apply_batch(verify->apply, number, chosen->body, chosen->value.size, on_result,
			  verify);
	if (verify->error) {
		synod_tool_complain("slot %" PRIu64 ": %s", number, strerror(-verify->error));
		return -1;
	}
	return 1;
}

/* The snapshot of a journal, into image. 0, or complained of. */
static int read_snapshot(struct verify *verify, uint32_t i)
{
	char error[1024];

	if (synod_journal_read_snapshot(verify->journals[i], verify->image, error, sizeof(error)))
		return synod_tool_complain("%s", error);
	return 0;
}

/* Every snapshot of the slot that was replayed last must be the state. 0, or complained of. */
static int check_snapshots(struct verify *verify, uint64_t slot)
{
	size_t size = 0;

	for (uint32_t i = 0; i < verify->config.replicas; i++) {
		const struct synod_journal_recovery *recovery = &verify->recovery[i];

		if (slot == 0 || recovery->snapshot_slot != slot)
			continue;
		if (size == 0)
			size = synod_apply_save(verify->apply, verify->saved);
		if (read_snapshot(verify, i))
			return SYNOD_TOOL_FAILED;
		if (recovery->snapshot_size != size ||
		    memcmp(verify->image, verify->saved, size) != 0)
			add_reason(verify,
				   "replica %u: its snapshot is not the state after slot %" PRIu64,
				   i + 1, slot);
	}
	return 0;
}

static struct synod_apply_limits limits_of(const struct verify *verify)
{
	return synod_apply_limits(verify->config.sessions, verify->config.session_window);
}

/* The first state, or that of the snapshot of slot base. 0, or complained of. */
static int begin(struct verify *verify, uint64_t base)
{
	const struct synod_machine *machine = synod_machine_find(verify->config.machine);
	const struct synod_apply_limits limits = limits_of(verify);

	memset((void *)verify->apply, 0, synod_apply_size_within(machine, &limits));
	verify->apply = synod_apply_init_within(verify->apply, machine, &limits);
	synod_executed_free(&verify->executed);
	memset(verify->missing, 0, sizeof(verify->missing));
	verify->base = base;
	verify->slots = base;
	verify->crc = 0;
	for (uint32_t i = 0; base && i < verify->config.replicas; i++) {
		if (verify->recovery[i].snapshot_slot != base)
			continue;
		if (read_snapshot(verify, i))
			return SYNOD_TOOL_FAILED;
		if (synod_apply_load(verify->apply, verify->image,
				     verify->recovery[i].snapshot_size) ||
		    synod_apply_slot(verify->apply) != base)
			return synod_tool_complain("%s: its snapshot of slot %" PRIu64
						   " cannot be loaded with this configuration",
						   verify->config.replica[i].journal, base);
		break;
	}
	verify->executed.position_base = synod_apply_position(verify->apply);
	return check_snapshots(verify, base);
}

/* Memory for the state and two images of it. 0, or complained of. */
static int take_memory(struct verify *verify)
{
	const struct synod_machine *machine = synod_machine_find(verify->config.machine);
	const struct synod_apply_limits limits = limits_of(verify);
	size_t size = (synod_apply_size_within(machine, &limits) + 63) & ~(size_t)63;
	size_t room = synod_apply_image_max(machine, &limits);

	for (uint32_t i = 0; i < verify->config.replicas; i++)
		if (verify->recovery[i].snapshot_size > room)
			room = verify->recovery[i].snapshot_size;
	room = (room + SYNOD_BLOCK_SIZE - 1) & ~(size_t)(SYNOD_BLOCK_SIZE - 1);
	verify->apply = aligned_alloc(64, size);
	verify->image = aligned_alloc(SYNOD_BLOCK_SIZE, room);
	verify->saved = aligned_alloc(SYNOD_BLOCK_SIZE, room);
	if (!verify->apply || !verify->image || !verify->saved)
		return synod_tool_complain("no memory for the state machine: %zu bytes",
					   size + 2 * room);
	return 0;
}

/* The lowest slot that a journal's sequence begins behind, from that one on; UINT64_MAX: none. */
static uint64_t next_base(const struct verify *verify, uint64_t from)
{
	uint64_t found = UINT64_MAX;

	for (uint32_t i = 0; i < verify->config.replicas; i++) {
		uint64_t slot = verify->recovery[i].snapshot_slot;

		if (slot >= from && slot < found)
			found = slot;
	}
	return found;
}

/* From a base on, as far as slots are chosen. 0, or complained of. */
static int replay_from(struct verify *verify, uint64_t base, uint64_t slot_last)
{
	int taken = 1;

	if (begin(verify, base))
		return SYNOD_TOOL_FAILED;
	for (uint64_t number = base + 1; number <= slot_last && taken > 0; number++) {
		taken = take_slot(verify, number);
		if (taken > 0)
			verify->slots = number;
		if (taken > 0 && check_snapshots(verify, number))
			return SYNOD_TOOL_FAILED;
	}
	return taken < 0 ? SYNOD_TOOL_FAILED : 0;
}

static int replay(struct verify *verify)
{
	uint64_t slot_last = 0;
	uint64_t base = 0;
	int result = take_memory(verify);

	for (uint32_t i = 0; i < verify->config.replicas; i++)
		if (verify->recovery[i].slot_last > slot_last)
			slot_last = verify->recovery[i].slot_last;
	/* Where one journal's slots end and another's begin later, the rest is not whole. */
	for (base = next_base(verify, 0); !result && base != UINT64_MAX;
	     base = next_base(verify, verify->slots + 1))
		result = replay_from(verify, base, slot_last);
	verify->undecided = slot_last > verify->slots ? slot_last - verify->slots : 0;
	return result;
}

static void judge(struct verify *verify)
{
	if (verify->contradiction)
		add_reason(verify, "slot %" PRIu64 ": two journals hold different chosen values",
			   verify->contradiction);
	for (uint32_t i = 0; i < verify->config.replicas; i++) {
		if (verify->missing[i] && !verify->may_lag)
			add_reason(verify,
				   "replica %u lacks %" PRIu64 " of %" PRIu64 " chosen slots",
				   i + 1, verify->missing[i], verify->slots);
		if (verify->recovery[i].chosen_through > verify->slots)
			add_reason(verify,
				   "replica %u has chosen slots up to %" PRIu64
				   ", and slot %" PRIu64 " cannot be read anywhere",
				   i + 1, verify->recovery[i].chosen_through, verify->slots + 1);
	}
	if (verify->executed.duplicated)
		add_reason(verify, "%" PRIu64 " commands were executed twice",
			   verify->executed.duplicated);
	if (verify->acked.lost)
		add_reason(verify, "%" PRIu64 " acknowledged commands are in no journal",
			   verify->acked.lost);
	if (verify->acked.misplaced)
		add_reason(verify, "%" PRIu64 " acknowledged commands are not at their position",
			   verify->acked.misplaced);
}

static json_t *describe_journals(const struct verify *verify)
{
	json_t *journals = json_array();

	for (uint32_t i = 0; i < verify->config.replicas; i++) {
		const struct synod_journal_recovery *recovery = &verify->recovery[i];

		json_array_append_new(
			journals,
			json_pack("{s:i,s:s,s:I,s:I,s:I,s:I,s:I,s:i}", "replica", (int)i + 1,
				  "path", verify->config.replica[i].journal, "slot_last",
				  (json_int_t)recovery->slot_last, "chosen_through",
				  (json_int_t)recovery->chosen_through, "missing",
				  (json_int_t)verify->missing[i], "snapshot_slot",
				  (json_int_t)recovery->snapshot_slot, "bytes_written",
				  (json_int_t)(recovery->offset_tail - recovery->log.begin),
				  "faults", (int)recovery->faults));
	}
	return journals;
}

static void print_json(const struct verify *verify)
{
	char sequence_hash[16], state_hash[24];
	json_t *all;

	snprintf(sequence_hash, sizeof(sequence_hash), "%08x", verify->crc);
	snprintf(state_hash, sizeof(state_hash), "%016" PRIx64, synod_apply_hash(verify->apply));
	all = json_pack(
		"{s:b,s:O,s:i,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:o}", "verified",
		json_array_size(verify->reasons) == 0, "reasons", verify->reasons, "replicas",
		(int)verify->config.replicas, "slots", (json_int_t)verify->slots, "undecided",
		(json_int_t)verify->undecided, "commands",
		(json_int_t)synod_apply_position(verify->apply), "slots_unseen",
		(json_int_t)verify->base, "commands_unseen",
		(json_int_t)verify->executed.position_base, "sequence_hash", sequence_hash,
		"state_hash", state_hash, "acked", (json_int_t)verify->acked.acked, "acked_unseen",
		(json_int_t)verify->acked.unseen, "lost", (json_int_t)verify->acked.lost,
		"misplaced", (json_int_t)verify->acked.misplaced, "duplicated",
		(json_int_t)verify->executed.duplicated, "journals", describe_journals(verify));
	json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
}

static void print_text(const struct verify *verify)
{
	const char *reason;
	json_t *item;
	size_t i;

	printf("%u journals, %" PRIu64 " chosen slots, %" PRIu64
	       " commands, sequence %08x, state %016" PRIx64 "\n",
	       verify->config.replicas, verify->slots, synod_apply_position(verify->apply),
	       verify->crc, synod_apply_hash(verify->apply));
	if (verify->base)
		printf("not seen, as they are in snapshots only: slots up to %" PRIu64
		       ", commands up to %" PRIu64 " (%" PRIu64 " of the acknowledged)\n",
		       verify->base, verify->executed.position_base, verify->acked.unseen);
	if (verify->acked_path)
		printf("%" PRIu64 " acknowledged: %" PRIu64 " lost, %" PRIu64 " misplaced; %" PRIu64
		       " executed twice\n",
		       verify->acked.acked, verify->acked.lost, verify->acked.misplaced,
		       verify->executed.duplicated);
	json_array_foreach(verify->reasons, i, item)
	{
		reason = json_string_value(item);
		printf("NOT VERIFIED: %s\n", reason);
	}
	if (json_array_size(verify->reasons) == 0)
		printf("verified: all hold the same sequence\n");
}

static int verify_all(struct verify *verify)
{
	int result = open_journals(verify);

	if (!result)
		result = replay(verify);
	if (!result && verify->acked_path) {
		int error =
			synod_executed_check(&verify->executed, verify->acked_path, &verify->acked);

		if (error)
			result =
				synod_tool_complain("%s: %s", verify->acked_path, strerror(-error));
	}
	if (!result) {
		judge(verify);
		if (verify->json)
			print_json(verify);
		else
			print_text(verify);
		result = json_array_size(verify->reasons) ? SYNOD_TOOL_FAILED : synod_tool_finish();
	}
	for (uint32_t i = 0; i < SYNOD_REPLICAS_MAX; i++)
		synod_journal_close(verify->journals[i]);
	synod_executed_free(&verify->executed);
	free(verify->apply);
	free(verify->image);
	free(verify->saved);
	return result;
}

int synod_tool_verify(int argc, char **argv)
{
	static struct verify verify;
	const char *path = NULL;
	const struct synod_command command = {
		"verify", "", "Compares the journals of all replicas, which must be stopped.",
		"Exit 0 only if all journals hold the same sequence, whole, and every "
		"acknowledged\n"
		"command is in it exactly once, at the position that was told.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "acked", SYNOD_OPTION_TEXT, &verify.acked_path, "FILE",
		  "what was acknowledged, as synod-load noted it", 0 },
		{ "may-lag", SYNOD_OPTION_FLAG, &verify.may_lag, NULL,
		  "a journal that lacks the last slots is no error", 0 },
		{ "json", SYNOD_OPTION_FLAG, &verify.json, NULL, "one object", 0 },
		{ 0 }
	};
	int result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);

	if (result >= 0)
		return result;
	if (synod_tool_load(path, &verify.config))
		return SYNOD_TOOL_FAILED;
	verify.reasons = json_array();
	result = verify_all(&verify);
	json_decref(verify.reasons);
	return result;
}

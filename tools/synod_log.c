/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod log: reads the journal of a stopped replica, says what it holds, and dumps it. Read-only:
 * faults are told, not repaired. Of a running replica's journal it shows a moment that may be gone.
 */
#include "engine/base/ballot.h"
#include "engine/journal/uring.h"
#include "tools/synod.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct dump {
	struct synod_config config;
	int records;  /* print a line a record */
	int commands; /* and its commands */
	int json;
	uint64_t bytes;
};

/* As text that stays one line: what is not printable as \xNN. */
static void print_bytes(const uint8_t *bytes, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++) {
		if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '\\')
			putchar(bytes[i]);
		else
			printf("\\x%02x", bytes[i]);
	}
}

/* What kind it is, and what of it stands in front of the bytes. */
static void print_command(const struct synod_wire_command *command, const uint8_t *payload)
{
	struct synod_wire_identity who;
	struct synod_wire_part part;
	uint32_t at = 0;

	printf("  %s session %" PRIu64 " number %" PRIu64 " size %u ",
	       command->kind == SYNOD_COMMAND_REGISTER ? "register"
	       : command->kind == SYNOD_COMMAND_PART   ? "part"
						       : "command",
	       command->session, command->number, command->size);
	if (command->kind == SYNOD_COMMAND_REGISTER && command->size) {
		memcpy(&who, payload, sizeof(who));
		printf("identity %" PRIu64 " incarnation %" PRIu64, who.identity, who.incarnation);
		at = sizeof(who);
	} else if (command->kind == SYNOD_COMMAND_PART) {
		memcpy(&part, payload, sizeof(part));
		printf("offset %u of %u ", part.offset, part.total);
		at = sizeof(part);
	}
	print_bytes(payload + at, command->size - at);
	putchar('\n');
}

static void print_commands(const uint8_t *body, uint32_t size)
{
	uint32_t at = 0;

	if (synod_wire_commands_check(body, size) < 0) {
		printf("  (the commands do not add up)\n");
		return;
	}
	while (at < size) { /* checked above: ends */
		struct synod_wire_command command;

		memcpy(&command, body + at, sizeof(command));
		print_command(&command, body + at + sizeof(command));
		at += synod_wire_command_size(&command);
	}
}

static int on_record(void *context, const struct synod_format_group *group,
		     const struct synod_format_record *record, const void *body)
{
	struct dump *dump = context;
	const struct synod_wire_entry *entry = &record->entry;

	dump->bytes += entry->size;
	if (!dump->records)
		return 0;
	printf("slot %" PRIu64 " ballot %" PRIx64 " commands %u bytes %u%s group %" PRIu64 "\n",
	       (uint64_t)entry->slot, (uint64_t)entry->ballot, entry->count, entry->size,
	       entry->flags & SYNOD_ENTRY_CHOSEN ? " chosen" : "", (uint64_t)group->number);
	if (dump->commands)
		print_commands(body, entry->size);
	return ferror(stdout) ? -EIO : 0;
}

static int on_faulty(void *context, const struct synod_scan_gap *gap)
{
	const struct dump *dump = context;

	if (dump->json)
		return 0;
	printf("CORRUPT at byte %" PRIu64 ": %s; groups %" PRIu64 " to %" PRIu64, gap->offset,
	       synod_scan_reason_text(gap->reason), gap->group_first, gap->group_last);
	if (gap->slots_known)
		printf(", slots %" PRIu64 " to %" PRIu64 "\n", gap->slot_first, gap->slot_last);
	else
		printf(", slots not known\n");
	return 0;
}

static int on_torn(void *context, const struct synod_scan_gap *gap)
{
	const struct dump *dump = context;

	if (!dump->json && gap->reason != SYNOD_SCAN_FINE && gap->reason != SYNOD_SCAN_EMPTY)
		printf("torn tail at byte %" PRIu64 ": %s; never acknowledged, dropped at the next "
		       "start\n",
		       gap->offset, synod_scan_reason_text(gap->reason));
	return 0;
}

static int print_json(const struct synod_journal_recovery *recovery, const struct dump *dump)
{
	json_t *faults = json_array();
	char cluster[24];
	json_t *all;
	uint32_t told = recovery->faults;
	int result;

	if (told > SYNOD_JOURNAL_FAULTS_MAX)
		told = SYNOD_JOURNAL_FAULTS_MAX;
	for (uint32_t i = 0; i < told; i++) {
		const struct synod_scan_gap *gap = &recovery->faulty[i];

		json_array_append_new(faults, json_pack("{s:I,s:I,s:s,s:I,s:I,s:b}", "offset",
							(json_int_t)gap->offset, "bytes",
							(json_int_t)gap->bytes, "reason",
							synod_scan_reason_text(gap->reason),
							"slot_first", (json_int_t)gap->slot_first,
							"slot_last", (json_int_t)gap->slot_last,
							"slots_known", gap->slots_known));
	}
	snprintf(cluster, sizeof(cluster), "0x%" PRIx64, recovery->identity.cluster);
	all = json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:i,s:o}", "cluster", cluster,
			"replica", (json_int_t)recovery->identity.replica, "incarnation",
			(json_int_t)recovery->identity.incarnation, "promised",
			(json_int_t)recovery->promised, "chosen_through",
			(json_int_t)recovery->chosen_through, "slot_last",
			(json_int_t)recovery->slot_last, "groups", (json_int_t)recovery->groups,
			"records", (json_int_t)recovery->records, "bytes", (json_int_t)dump->bytes,
			"offset_tail", (json_int_t)recovery->offset_tail, "open_elsewhere",
			recovery->locked, "faults", (int)recovery->faults, "faulty", faults);
	result = json_dumpf(all, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(all);
	return result;
}

static void print_summary(const struct synod_journal_recovery *recovery, const struct dump *dump)
{
	printf("replica %u of cluster 0x%" PRIx64 ", incarnation %" PRIu64 ", openings %" PRIu64
	       "\n",
	       recovery->identity.replica, recovery->identity.cluster,
	       recovery->identity.incarnation, recovery->life);
	printf("promised ballot %" PRIx64 "; chosen through slot %" PRIu64 ", last slot %" PRIu64
	       "\n",
	       recovery->promised, recovery->chosen_through, recovery->slot_last);
	printf("%" PRIu64 " groups, %" PRIu64 " records, %" PRIu64 " bytes of batches; log ends at "
	       "byte %" PRIu64 " of %" PRIu64 "\n",
	       recovery->groups, recovery->records, dump->bytes, recovery->offset_tail,
	       recovery->file_size);
	if (recovery->faults)
		printf("%u corrupt places\n", recovery->faults);
	else
		printf("every group verified\n");
}

static int dump_journal(struct dump *dump, uint32_t id)
{
	const struct synod_journal_identity expect = { .cluster = dump->config.id, .replica = id };
	const struct synod_journal_options options = {
		.path = synod_config_replica(&dump->config, id)->journal,
		.expect = &expect,
		.flags = SYNOD_JOURNAL_READ_ONLY,
	};
	const struct synod_journal_visitor visitor = {
		.context = dump, .record = on_record, .faulty = on_faulty, .torn = on_torn
	};
	static struct synod_journal_recovery recovery;
	struct synod_journal *journal;
	char error[1024];
	int result;

	if (synod_journal_open(&journal, &options, &recovery, error, sizeof(error)))
		return synod_tool_complain("%s", error);
	if (recovery.locked)
		fprintf(stderr,
			"synod log: a process has this journal open; this is a moment of it\n");
	result = synod_journal_walk(journal, &visitor);
	synod_journal_close(journal);
	if (result < 0)
		return synod_tool_complain("%s: %s", options.path, strerror(-result));
	if (dump->json)
		print_json(&recovery, dump);
	else
		print_summary(&recovery, dump);
	if (recovery.faults) {
		fflush(stdout);
		return synod_tool_complain(
			"%s: %u places that were durable cannot be read; restore the "
			"replica from the others",
			options.path, recovery.faults);
	}
	return synod_tool_finish();
}

int synod_tool_log(int argc, char **argv)
{
	static struct dump dump;
	const char *path = NULL;
	uint64_t id = 0;
	int verify = 0, result;
	const struct synod_command command = {
		"log", "", "Reads and checks the journal of a stopped replica.",
		"Every checksum is checked in any case. Exit 1 if something that was durable "
		"cannot be\n"
		"read. A torn tail is what a crash leaves; nobody was told that it is durable.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "id", SYNOD_OPTION_NUMBER, &id, "N", "which replica", 1 },
		{ "verify", SYNOD_OPTION_FLAG, &verify, NULL, "only check: no line a record", 0 },
		{ "commands", SYNOD_OPTION_FLAG, &dump.commands, NULL, "with the commands of each",
		  0 },
		{ "json", SYNOD_OPTION_FLAG, &dump.json, NULL, "one object, no line a record", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (result >= 0)
		return result;
	if (synod_tool_load(path, &dump.config))
		return SYNOD_TOOL_FAILED;
	if (synod_tool_check_id(&dump.config, id, "id"))
		return SYNOD_TOOL_USAGE;
	dump.records = !verify && !dump.json;
	return dump_journal(&dump, (uint32_t)id);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod log: reads a journal, says what it holds and what of it is durable for certain, and dumps
 * it. Read-only: faults are told, not repaired. Of a running replica's journal it shows a moment
 * that may be gone.
 */
#include "engine/base/ballot.h"
#include "engine/journal/uring.h"
#include "tools/synod.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dump {
	struct synod_config config;
	int groups;   /* print a line a group */
	int records;  /* print a line a record */
	int commands; /* and its commands */
	int json;
	uint64_t bytes;
	uint64_t group_durable; /* as the journal's own marks say */
	uint64_t unmarked;	/* records in groups behind it */
	char snapshot[512];	/* "", or what is wrong with it */
	int partial;		/* 1: what was received of another's is what it was */
	const struct synod_journal_recovery *recovery;
};

#define BALLOT		  "%" PRIu64 ".%u"
#define BALLOT_OF(ballot) synod_ballot_round(ballot), (unsigned int)synod_ballot_replica(ballot)

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

static int on_group(void *context, const struct synod_format_group *group)
{
	struct dump *dump = context;

	if (group->number > dump->group_durable)
		dump->unmarked += group->records;
	if (!dump->groups)
		return 0;
	printf("group %" PRIu64 " turn %u at byte %" PRIu64 ", %u bytes, life %" PRIu64
	       ", %u records",
	       (uint64_t)group->number, group->epoch, (uint64_t)group->offset, group->bytes,
	       (uint64_t)group->life, group->records);
	if (group->records)
		printf(" of slots %" PRIu64 " to %" PRIu64 ", ballots to " BALLOT,
		       (uint64_t)group->slot_first, (uint64_t)group->slot_last,
		       BALLOT_OF(group->ballot_max));
	printf("; says durable through group %" PRIu64 ", chosen through slot %" PRIu64 "%s\n",
	       (uint64_t)group->durable_through, (uint64_t)group->chosen_through,
	       group->number > dump->group_durable ? "; its own durability is said by no mark"
						   : "");
	return ferror(stdout) ? -EIO : 0;
}

static int on_record(void *context, const struct synod_format_group *group,
		     const struct synod_format_record *record, const void *body)
{
	struct dump *dump = context;
	const struct synod_wire_entry *entry = &record->entry;

	dump->bytes += entry->size;
	if (!dump->records)
		return 0;
	printf("slot %" PRIu64 " ballot " BALLOT " commands %u bytes %u%s group %" PRIu64 "\n",
	       (uint64_t)entry->slot, BALLOT_OF(entry->ballot), entry->count, entry->size,
	       entry->flags & SYNOD_ENTRY_CHOSEN ? " chosen" : "", (uint64_t)group->number);
	if (dump->commands)
		print_commands(body, entry->size);
	return ferror(stdout) ? -EIO : 0;
}

/* Of those that cannot be read, the ones that count no more. */
static int is_mended(const struct synod_journal_recovery *recovery,
		     const struct synod_scan_gap *gap)
{
	if (recovery->mended == 0)
		return 0;
	for (uint32_t i = 0; i < recovery->faults; i++)
		if (recovery->faulty[i].group_first == gap->group_first)
			return 0;
	return 1;
}

static int on_faulty(void *context, const struct synod_scan_gap *gap)
{
	const struct dump *dump = context;

	if (dump->json)
		return 0;
	if (is_mended(dump->recovery, gap)) {
		printf("mended: groups %" PRIu64 " to %" PRIu64 " at byte %" PRIu64
		       " (%s); their slots %" PRIu64 " to %" PRIu64 " stand elsewhere, as chosen\n",
		       gap->group_first, gap->group_last, gap->offset,
		       synod_scan_reason_text(gap->reason), gap->slot_first, gap->slot_last);
		return 0;
	}
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

static json_t *faults_json(const struct synod_journal_recovery *recovery)
{
	json_t *faults = json_array();
	uint32_t told = recovery->faults;

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
	return faults;
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void print_json(const struct synod_journal_recovery *recovery, const struct dump *dump)
{
	const struct synod_format_log *log = &recovery->log;
	json_t *all = json_object();
	char cluster[24];

	snprintf(cluster, sizeof(cluster), "0x%" PRIx64, recovery->identity.cluster);
	json_object_set_new(all, "cluster", json_string(cluster));
	set(all, "replica", recovery->identity.replica);
	set(all, "incarnation", recovery->identity.incarnation);
	set(all, "life", recovery->life);
	set(all, "promised", recovery->promised);
	set(all, "chosen_through", recovery->chosen_through);
	set(all, "slot_last", recovery->slot_last);
	set(all, "groups", recovery->groups);
	set(all, "group_last", recovery->group_last);
	set(all, "group_durable", recovery->group_durable);
	set(all, "records", recovery->records);
	set(all, "bytes", dump->bytes);
	set(all, "file_size", recovery->file_size);
	set(all, "log_begin", log->begin);
	set(all, "log_end", log->end);
	set(all, "offset_head", synod_format_place(log, recovery->offset_head));
	set(all, "offset_tail", synod_format_place(log, recovery->offset_tail));
	set(all, "turn", synod_format_epoch(log, recovery->offset_tail));
	set(all, "log_used", recovery->offset_tail - recovery->offset_head);
	set(all, "snapshot_slot", recovery->snapshot_slot);
	set(all, "snapshot_size", recovery->snapshot_size);
	json_object_set_new(all, "snapshot_faulty", json_boolean(dump->snapshot[0]));
	set(all, "partial_slot", recovery->partial.slot);
	set(all, "partial_received", recovery->partial_received);
	set(all, "partial_total", recovery->partial.total);
	json_object_set_new(all, "partial_verified", json_boolean(dump->partial));
	json_object_set_new(all, "open_elsewhere", json_boolean(recovery->locked));
	set(all, "faults", recovery->faults);
	json_object_set_new(all, "faulty", faults_json(recovery));
	(void)json_dumpf(all, stdout, JSON_INDENT(2)); /* an error of stdout shows at its close */
	putchar('\n');
	json_decref(all);
}

static void print_room(const struct synod_journal_recovery *recovery)
{
	const struct synod_format_log *log = &recovery->log;

	printf("log from byte %" PRIu64 " to %" PRIu64 ", %s; in use %" PRIu64 " of %" PRIu64
	       " bytes, from byte %" PRIu64 " to %" PRIu64,
	       log->begin, log->end, log->wraps ? "a ring" : "no ring: it ends when it is full",
	       recovery->offset_tail - recovery->offset_head, log->end - log->begin,
	       synod_format_place(log, recovery->offset_head),
	       synod_format_place(log, recovery->offset_tail));
	if (log->wraps)
		printf(" of turn %u", synod_format_epoch(log, recovery->offset_tail));
	putchar('\n');
}

static void print_summary(const struct synod_journal_recovery *recovery, const struct dump *dump)
{
	printf("replica %u of cluster 0x%" PRIx64 ", incarnation %" PRIu64 ", openings %" PRIu64
	       "\n",
	       recovery->identity.replica, recovery->identity.cluster,
	       recovery->identity.incarnation, recovery->life);
	printf("promised ballot " BALLOT "; chosen through slot %" PRIu64 ", last slot %" PRIu64
	       "\n",
	       BALLOT_OF(recovery->promised), recovery->chosen_through, recovery->slot_last);
	print_room(recovery);
	if (recovery->snapshot_slot)
		printf("snapshot of slot %" PRIu64 ", %" PRIu64 " bytes at byte %" PRIu64 ": %s\n",
		       recovery->snapshot_slot, recovery->snapshot_size, recovery->snapshot_offset,
		       dump->snapshot[0] ? "CORRUPT" : "verified");
	else
		printf("no snapshot yet\n");
	if (recovery->partial.slot)
		printf("half a snapshot of slot %" PRIu64 ", from a peer: %" PRIu64 " of %" PRIu64
		       " bytes at byte %" PRIu64 ": %s\n",
		       recovery->partial.slot, recovery->partial_received, recovery->partial.total,
		       recovery->partial_offset,
		       recovery->partial.slot <= recovery->chosen_through ? "not needed any more"
		       : dump->partial ? "verified: it goes on from there"
				       : "written over since: it begins anew");
	printf("%" PRIu64 " groups, the last is %" PRIu64 "; %" PRIu64 " records, %" PRIu64
	       " bytes of batches\n",
	       recovery->groups, recovery->group_last, recovery->records, dump->bytes);
	if (dump->unmarked)
		printf("marked durable through group %" PRIu64 "; damage to the %" PRIu64
		       " records behind it would look like a crash\n",
		       recovery->group_durable, dump->unmarked);
	else
		printf("all records are marked durable\n");
	if (recovery->faults)
		printf("%u corrupt places\n", recovery->faults);
	else if (recovery->mended)
		printf("%u corrupt places, mended: every slot stands\n", recovery->mended);
	else
		printf("every group verified\n");
}

/* And are those that were received of another's? */
static void look_at_partial(struct synod_journal *journal,
			    const struct synod_journal_recovery *recovery, struct dump *dump)
{
	void *image;

	if (!recovery->partial.slot)
		return;
	image = aligned_alloc(SYNOD_BLOCK_SIZE, recovery->partial_received);
	dump->partial = image && synod_journal_read_partial(journal, image);
	free(image);
}

/* Are its bytes what they were? Of a running replica's it may be gone while it is read. */
static void look_at_snapshot(struct synod_journal *journal,
			     const struct synod_journal_recovery *recovery, struct dump *dump)
{
	const size_t size = (recovery->snapshot_size + SYNOD_BLOCK_SIZE - 1) / SYNOD_BLOCK_SIZE *
			    SYNOD_BLOCK_SIZE;
	void *image;

	if (!recovery->snapshot_slot)
		return;
	image = aligned_alloc(SYNOD_BLOCK_SIZE, size);
	if (!image)
		snprintf(dump->snapshot, sizeof(dump->snapshot), "no memory for %zu bytes", size);
	else if (synod_journal_read_snapshot(journal, image, dump->snapshot,
					     sizeof(dump->snapshot)) == 0)
		dump->snapshot[0] = '\0';
	free(image);
}

static int finish(const struct synod_journal_recovery *recovery, const struct dump *dump,
		  const char *path)
{
	if (dump->json)
		print_json(recovery, dump);
	else
		print_summary(recovery, dump);
	fflush(stdout);
	if (recovery->faults)
		return synod_tool_complain(
			"%s: %u places that were durable cannot be read: the replica repairs them "
			"from the others when it starts; or stop it and use `synod repair`",
			path, recovery->faults);
	if (dump->snapshot[0])
		return synod_tool_complain("%s", dump->snapshot);
	return synod_tool_finish();
}

static int dump_journal(struct dump *dump, uint32_t id)
{
	const struct synod_journal_identity expect = { .cluster = dump->config.id, .replica = id };
	const struct synod_journal_options options = {
		.path = synod_config_replica(&dump->config, id)->journal,
		.expect = &expect,
		.flags = SYNOD_JOURNAL_READ_ONLY,
	};
	const struct synod_journal_visitor visitor = { .context = dump,
						       .group = on_group,
						       .record = on_record,
						       .faulty = on_faulty,
						       .torn = on_torn };
	static struct synod_journal_recovery recovery;
	struct synod_journal *journal;
	char error[1024];
	int result;

	if (synod_journal_open(&journal, &options, &recovery, error, sizeof(error)))
		return synod_tool_complain("%s", error);
	if (recovery.locked)
		fprintf(stderr,
			"synod log: a process has this journal open; this is a moment of it\n");
	dump->recovery = &recovery;
	dump->group_durable = recovery.group_durable;
	look_at_snapshot(journal, &recovery, dump);
	look_at_partial(journal, &recovery, dump);
	result = synod_journal_walk(journal, &visitor);
	synod_journal_close(journal);
	if (result < 0)
		return synod_tool_complain("%s: %s", options.path, strerror(-result));
	return finish(&recovery, dump, options.path);
}

int synod_tool_log(int argc, char **argv)
{
	static struct dump dump;
	const char *path = NULL;
	uint64_t id = 0;
	int verify = 0, result;
	const struct synod_command command = {
		"log", "", "Reads, checks and explains a replica's journal; changes nothing.",
		"Every checksum is checked in any case. Exit 1 if something that was durable "
		"cannot be\n"
		"read. A torn tail is what a crash leaves; nobody was told that it is durable.\n"
		"Of a running replica's journal it tells a moment, which may be gone.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "id", SYNOD_OPTION_NUMBER, &id, "N", "which replica", 1 },
		{ "verify", SYNOD_OPTION_FLAG, &verify, NULL, "only check: no line a record", 0 },
		{ "groups", SYNOD_OPTION_FLAG, &dump.groups, NULL,
		  "a line a group, each one write; with --verify no records", 0 },
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

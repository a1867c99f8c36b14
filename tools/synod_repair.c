/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod repair: gives a stopped replica whose journal is corrupt a whole one again, without losing
 * a promise or a vote.
 *
 * What a corrupt group held is unknown, and an acceptor may not forget what it accepted. But once a
 * slot is known to be chosen, the chosen value stands for every vote for it. So a new journal is
 * written from
 *   - the promise of the old one (its superblock, four copies, is whole, or it could not be
 *   opened);
 *   - the newest snapshot that it or another has, which stands for all slots up to it;
 *   - every slot behind it that another replica's journal vouches for (known to be chosen, and
 *   intact there), as chosen, from there;
 *   - every other record of the old journal, as it is.
 * All slots that the corrupt groups held must be known and be vouched for by one of the others;
 * else it refuses and says what to wait for. The rule is engine/journal/recovery.h. The old file is
 * kept beside the new one.
 */
#include "engine/journal/uring.h"
#include "tools/synod.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct repair {
	struct synod_journal *old;
	struct synod_journal *others[SYNOD_REPLICAS_MAX];
	struct synod_journal *fresh;
	struct synod_journal_port port;
	struct synod_journal_recovery old_found;
	struct synod_journal_recovery others_found[SYNOD_REPLICAS_MAX];
	struct synod_repair rule;
	uint64_t ticket;
	char error[1024];
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int open_for_reading(struct repair *repair, struct synod_journal **journal, const char *path,
			    struct synod_journal_recovery *found)
{
	const struct synod_journal_options options = { .path = path,
						       .flags = SYNOD_JOURNAL_READ_ONLY };

	return synod_journal_open(journal, &options, found, repair->error, sizeof(repair->error));
}

/* 0 if what the corrupt groups held is known, and vouched for by the others; or a complaint. */
static int check_repairable(struct repair *repair, const char *path)
{
	uint64_t slot;

	if (repair->old_found.locked)
		return synod_tool_complain("%s is open in a running replica: stop it first", path);
	switch (synod_repair_check(&repair->rule, &slot)) {
	case SYNOD_REPAIR_POSSIBLE:
		return 0;
	case SYNOD_REPAIR_NOT_NEEDED:
		return synod_tool_complain("%s is not corrupt: nothing to repair", path);
	case SYNOD_REPAIR_SLOTS_UNKNOWN:
		return synod_tool_complain(
			"%s: not all slots of the corrupt groups are known: what was "
			"accepted there cannot be told from here",
			path);
	case SYNOD_REPAIR_NO_SNAPSHOT:
		return synod_tool_complain("%s: the snapshot of slot %" PRIu64
					   " is corrupt, and no replica of --from "
					   "has a whole one that is as new: name more of them",
					   path, slot);
	case SYNOD_REPAIR_NOT_YET:
		break;
	}
	return synod_tool_complain("%s: slot %" PRIu64
				   " is corrupt, and no replica of --from holds it whole and knows "
				   "it to be chosen: name more of them, or let them serve a little "
				   "and try again",
				   path, slot);
}

/* Hands one write to the new journal and waits until it was taken. */
static int give(struct repair *repair, struct synod_journal_write *write)
{
	uint64_t durable;
	int taken = 0;

	write->ticket = ++repair->ticket;
	while (taken == 0) {
		int polled;

		taken = repair->port.write(repair->port.context, write, 1);
		polled = repair->port.poll(repair->port.context, now_ns(), &durable);
		if (taken < 0 || polled < 0)
			return taken < 0 ? taken : polled;
	}
	return 0;
}

static int settle(struct repair *repair)
{
	uint64_t durable = 0;

	while (durable < repair->ticket) {
		int polled = repair->port.poll(repair->port.context, now_ns(), &durable);

		if (polled < 0)
			return polled;
	}
	return 0;
}

static int copy_slot(struct repair *repair, const struct synod_repair_copy *copy)
{
	const int chosen = copy->from != SYNOD_REPAIR_FROM_OLD;
	struct synod_journal_record record;
	struct synod_journal_write write;
	int failed = synod_journal_read_sync(chosen ? repair->others[copy->from] : repair->old,
					     copy->slot, &record);

	if (failed)
		return failed == -ENOENT && copy->optional ? 0 : failed;
	write = (struct synod_journal_write){
		.kind = SYNOD_WRITE_RECORD,
		.chosen = chosen || record.chosen,
		.slot = copy->slot,
		.ballot = record.ballot,
		.chosen_through = copy->chosen_through,
		.value = record.value,
		.body = record.body,
	};
	return give(repair, &write);
}

static void *read_snapshot(struct repair *repair, struct synod_journal *journal,
			   const struct synod_journal_recovery *found)
{
	const size_t size =
		(found->snapshot_size + SYNOD_BLOCK_SIZE - 1) / SYNOD_BLOCK_SIZE * SYNOD_BLOCK_SIZE;
	void *image = aligned_alloc(SYNOD_BLOCK_SIZE, size);

	if (image &&
	    synod_journal_read_snapshot(journal, image, repair->error, sizeof(repair->error)) == 0)
		return image;
	free(image);
	return NULL;
}

/* Are its snapshot's bytes what they were? */
static void look_at_snapshot(struct repair *repair, struct synod_journal *journal,
			     struct synod_journal_recovery *found)
{
	void *image;

	if (!found->snapshot_slot)
		return;
	image = read_snapshot(repair, journal, found);
	found->snapshot_faulty = image == NULL;
	free(image);
}

static int copy_snapshot(struct repair *repair)
{
	const int from = repair->rule.base_from;
	const int old = from == SYNOD_REPAIR_FROM_OLD;
	const struct synod_journal_recovery *found =
		old ? &repair->old_found : &repair->others_found[from];
	void *image = read_snapshot(repair, old ? repair->old : repair->others[from], found);
	uint64_t durable;
	int failed = image ? 0 : -EBADMSG; /* it was whole a moment ago: its replica runs on */

	if (!failed)
		failed = repair->port.snapshot_write(repair->port.context, repair->rule.base, image,
						     found->snapshot_size);
	while (!failed && repair->port.snapshot_busy(repair->port.context)) {
		failed = repair->port.poll(repair->port.context, now_ns(), &durable);
		failed = failed < 0 ? failed : 0;
	}
	free(image);
	return failed;
}

static int copy_all(struct repair *repair)
{
	struct synod_journal_write promise = {
		.kind = SYNOD_WRITE_PROMISE,
		.ballot = repair->old_found.promised,
	};
	struct synod_repair_copy copy;
	int failed = 0;

	if (repair->rule.base)
		failed = copy_snapshot(repair);
	if (!failed && repair->old_found.promised)
		failed = give(repair, &promise);
	while (!failed && synod_repair_next(&repair->rule, &copy))
		failed = copy_slot(repair, &copy);
	return failed ? failed : settle(repair);
}

static int write_fresh(struct repair *repair, const char *path)
{
	const struct synod_journal_identity *identity = &repair->old_found.identity;
	const struct synod_journal_options options = { .path = path, .expect = identity };
	const struct synod_format_log *log = &repair->old_found.log;
	const struct synod_journal_extent extent = {
		.size = log->end - log->begin + SYNOD_FORMAT_AREAS_BEGIN,
		.area_size = (log->begin - SYNOD_FORMAT_AREAS_BEGIN) / 2,
	};
	struct synod_journal_recovery found;
	int failed;

	if (synod_journal_format(path, identity, &extent, SYNOD_JOURNAL_FORCE, repair->error,
				 sizeof(repair->error)) ||
	    synod_journal_open(&repair->fresh, &options, &found, repair->error,
			       sizeof(repair->error)))
		return synod_tool_complain("%s", repair->error);
	repair->port = synod_journal_port(repair->fresh);
	failed = copy_all(repair);
	if (failed)
		return synod_tool_complain("%s: %s", path,
					   *synod_journal_error(repair->fresh)
						   ? synod_journal_error(repair->fresh)
						   : strerror(-failed));
	return 0;
}

static int run(struct repair *repair, const char *path)
{
	char fresh[SYNOD_CONFIG_PATH_SIZE + 16];
	char kept[SYNOD_CONFIG_PATH_SIZE + 16];
	int status = check_repairable(repair, path);

	if (status)
		return status;
	snprintf(fresh, sizeof(fresh), "%s.repaired", path);
	snprintf(kept, sizeof(kept), "%s.corrupt", path);
	status = write_fresh(repair, fresh);
	if (status)
		return status;
	/* The new one is durable; at every moment one of the two names holds a journal. */
	if (rename(path, kept) || rename(fresh, path))
		return synod_tool_complain("%s: %s; the repaired journal is %s", path,
					   strerror(errno), fresh);
	printf("%s: repaired, slots 1 to %" PRIu64 " are chosen; the old file is %s\n", path,
	       repair->rule.chosen, kept);
	return synod_tool_finish();
}

/* The journals of "2" or "2,3,5", opened. 0 or the exit status. */
static int open_others(struct repair *repair, const struct synod_config *config, uint64_t id,
		       const char *from)
{
	char *end;

	for (const char *rest = from;; rest = end + 1) {
		const uint32_t count = repair->rule.others_count;
		const unsigned long number = strtoul(rest, &end, 10);

		if (end == rest || (*end && *end != ',') || count == SYNOD_REPLICAS_MAX) {
			synod_tool_complain("--from %s: numbers of replicas, as 2 or 2,3", from);
			return SYNOD_TOOL_USAGE;
		}
		if (synod_tool_check_id(config, number, "from"))
			return SYNOD_TOOL_USAGE;
		if (number == id) {
			synod_tool_complain("--from %lu is the corrupt one; name another", number);
			return SYNOD_TOOL_USAGE;
		}
		if (open_for_reading(repair, &repair->others[count],
				     synod_config_replica(config, (uint32_t)number)->journal,
				     &repair->others_found[count]))
			return synod_tool_complain("%s", repair->error);
		look_at_snapshot(repair, repair->others[count], &repair->others_found[count]);
		repair->rule.others[count] = &repair->others_found[count];
		repair->rule.others_count++;
		if (!*end)
			return 0;
	}
}

int synod_tool_repair(int argc, char **argv)
{
	static struct synod_config config;
	static struct repair repair;
	const char *path = NULL;
	const char *from = NULL;
	uint64_t id = 0;
	const struct synod_command command = {
		"repair", "", "Rewrites the corrupt journal of a stopped replica from others'.",
		"Keeps every promise and vote. The others may run, and may be corrupt in other\n"
		"slots; the old file is kept.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "id", SYNOD_OPTION_NUMBER, &id, "N", "whose journal is corrupt", 1 },
		{ "from", SYNOD_OPTION_TEXT, &from, "M[,M...]", "whose journals to take from", 1 },
		{ 0 }
	};
	int status = synod_tool_parse(argc, argv, &command, options, NULL, NULL);

	if (status >= 0)
		return status;
	if (synod_tool_load(path, &config))
		return SYNOD_TOOL_FAILED;
	if (synod_tool_check_id(&config, id, "id"))
		return SYNOD_TOOL_USAGE;
	repair.rule.old = &repair.old_found;
	path = synod_config_replica(&config, (uint32_t)id)->journal;
	status = open_others(&repair, &config, id, from);
	if (!status && open_for_reading(&repair, &repair.old, path, &repair.old_found))
		status = synod_tool_complain("%s", repair.error);
	if (!status) {
		look_at_snapshot(&repair, repair.old, &repair.old_found);
		status = run(&repair, path);
	}
	synod_journal_close(repair.fresh);
	for (uint32_t i = 0; i < SYNOD_REPLICAS_MAX; i++)
		synod_journal_close(repair.others[i]);
	synod_journal_close(repair.old);
	return status;
}

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
#include "tools/mend.h"
#include "tools/synod.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 0 if what the corrupt groups held is known, and vouched for by the others; or a complaint. */
static int check_repairable(struct synod_mend *mend, const char *path)
{
	uint64_t slot;

	if (mend->old->found.locked)
		return synod_tool_complain("%s is open in a running replica: stop it first", path);
	switch (synod_mend_check(mend, &slot)) {
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

static void say_repaired(uint64_t slot, uint32_t replica)
{
	printf("slot %" PRIu64 " repaired from replica %u\n", slot, replica);
}

/* A snapshot of another's stands for whatever was corrupt up to its slot. */
static void say_base(const struct synod_mend *mend)
{
	const int from = mend->rule.base_from;

	if (mend->rule.base && from != SYNOD_REPAIR_FROM_OLD)
		printf("slots up to %" PRIu64 " repaired from the snapshot of replica %u\n",
		       mend->rule.base, mend->others[from]->found.identity.replica);
}

static int run(struct synod_mend *mend, const char *path)
{
	char fresh[SYNOD_CONFIG_PATH_SIZE + 16];
	char kept[SYNOD_CONFIG_PATH_SIZE + 16];
	int status = check_repairable(mend, path);

	if (status)
		return status;
	snprintf(fresh, sizeof(fresh), "%s.repaired", path);
	snprintf(kept, sizeof(kept), "%s.corrupt", path);
	mend->repaired = say_repaired;
	if (synod_mend_write(mend, fresh))
		return synod_tool_complain("%s", mend->error);
	/* The new one is durable; at every moment one of the two names holds a journal. */
	if (rename(path, kept) || rename(fresh, path))
		return synod_tool_complain("%s: %s; the repaired journal is %s", path,
					   strerror(errno), fresh);
	say_base(mend);
	printf("%s: repaired, slots 1 to %" PRIu64 " are chosen; the old file is %s\n", path,
	       mend->rule.chosen, kept);
	return synod_tool_finish();
}

static struct synod_mend_source old;
static struct synod_mend_source others[SYNOD_REPLICAS_MAX];

/* The journals of "2" or "2,3,5", opened. 0 or the exit status. */
static int open_others(struct synod_mend *mend, const struct synod_config *config, uint64_t id,
		       const char *from)
{
	char *end;

	for (const char *rest = from;; rest = end + 1) {
		const uint32_t count = mend->rule.others_count;
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
		if (synod_mend_source_open(&others[count],
					   synod_config_replica(config, (uint32_t)number)->journal,
					   mend->error, sizeof(mend->error)))
			return synod_tool_complain("%s", mend->error);
		synod_mend_add(mend, &others[count]);
		if (!*end)
			return 0;
	}
}

int synod_tool_repair(int argc, char **argv)
{
	static struct synod_config config;
	static struct synod_mend mend;
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
	path = synod_config_replica(&config, (uint32_t)id)->journal;
	synod_mend_begin(&mend, &old);
	status = open_others(&mend, &config, id, from);
	if (!status && synod_mend_source_open(&old, path, mend.error, sizeof(mend.error)))
		status = synod_tool_complain("%s", mend.error);
	if (!status)
		status = run(&mend, path);
	synod_mend_end(&mend);
	for (uint32_t i = 0; i < SYNOD_REPLICAS_MAX; i++)
		synod_mend_source_close(&others[i]);
	synod_mend_source_close(&old);
	return status;
}

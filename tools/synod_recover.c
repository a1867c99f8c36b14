/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod recover: a new journal for a replica whose old one is lost (engine/DESIGN.md, 17).
 *
 * What the lost journal promised and voted is known to nobody but those who counted it. So the new
 * one is of a new incarnation, above every one that the others have heard of, and joins: the
 * replica says nothing that binds until all other voters have told it what they may have counted of
 * the old one, and it has all of that. Format, in contrast, is for a cluster that has never run; a
 * journal that it makes under a name that has voted is refused by the others.
 *
 * A journal that is whole is not replaced without need: it is the better memory. It is, if the
 * others know of a later life of this replica: then it is an older copy.
 */
#include "engine/client/queries.h"
#include "engine/journal/known.h"
#include "engine/journal/uring.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OLD_NONE,  /* there is no journal, or none that could be used again */
	OLD_OLDER, /* a copy of what it was: the others know of a later life */
	OLD_WHOLE,
};

struct recover {
	struct synod_config config;
	uint32_t id;
	const char *path;
	uint64_t timeout_ns;
	int force;
	struct synod_disk known; /* the latest of this replica's disks that the others know of */
	uint64_t incarnation;	 /* of the new one */
	char error[1024];
};

/* Asks one of the others. Returns 1 if it answered and votes (or would), 0 if not. */
static int ask(struct recover *recover, const struct synod_transport *transport, uint32_t id)
{
	const struct synod_query query = { .transport = transport,
					   .cluster = recover->config.id,
					   .replica = id,
					   .timeout_ns = recover->timeout_ns };
	struct synod_wire_status status;
	struct synod_disk known;

	if (synod_query_status(&query, &status))
		return 0;
	known = (struct synod_disk){ status.known_incarnation[recover->id],
				     status.known_life[recover->id] };
	if (synod_disk_judge(&recover->known, &known) == SYNOD_DISK_NEWER)
		recover->known = known;
	return id <= recover->config.voters;
}

/* What the others know. 0, or the exit status. */
static int ask_others(struct recover *recover, int udp)
{
	const struct synod_config *config = &recover->config;
	uint32_t needed = config->quorum_prepare > config->quorum_accept ? config->quorum_prepare
									 : config->quorum_accept;
	struct synod_transport transport;
	struct synod_wire_status status;
	uint32_t answered = 0;
	int runs;
	int result = synod_tool_connect(config, udp, &transport);

	if (result)
		return result;
	for (uint32_t id = 1; id <= config->replicas; id++)
		if (id != recover->id)
			answered += (uint32_t)ask(recover, &transport, id);
	runs = !synod_query_status(&(struct synod_query){ .transport = &transport,
							  .cluster = config->id,
							  .replica = recover->id,
							  .timeout_ns = recover->timeout_ns / 4 },
				   &status);
	synod_tool_disconnect();
	if (runs)
		return synod_tool_complain("replica %u runs, with a journal that is not lost; "
					   "nothing was changed",
					   recover->id);
	if (answered < needed)
		return synod_tool_complain(
			"%u of the other voters answered; %u must, since only they know what "
			"replica %u promised and voted; nothing was changed",
			answered, needed, recover->id);
	recover->incarnation = (recover->known.incarnation ? recover->known.incarnation : 1) + 1;
	return 0;
}

/* What stands at the path now; or -1, after a complaint. */
static int look_at_old(struct recover *recover)
{
	const struct synod_journal_options options = { .path = recover->path,
						       .flags = SYNOD_JOURNAL_READ_ONLY };
	const struct synod_journal_identity *identity;
	struct synod_journal_recovery found;
	struct synod_journal *journal;
	struct synod_disk disk;
	int failed = synod_journal_open(&journal, &options, &found, recover->error,
					sizeof(recover->error));
	int whole = !failed && !found.faults;

	synod_journal_close(journal);
	if (found.locked) {
		synod_tool_complain("%s is in use by another process; nothing was changed",
				    recover->path);
		return -1;
	}
	if (!whole)
		return OLD_NONE;
	identity = &found.identity;
	disk = (struct synod_disk){ identity->incarnation, identity->known.life[recover->id] };
	if (identity->cluster != recover->config.id || identity->replica != recover->id)
		return OLD_WHOLE; /* of somebody else, even */
	if (synod_disk_judge(&recover->known, &disk) == SYNOD_DISK_OLDER)
		return OLD_OLDER;
	if (recover->incarnation <= identity->incarnation)
		recover->incarnation = identity->incarnation + 1;
	return OLD_WHOLE;
}

/* In place of the old file, which is kept; at every moment one of the names holds a journal. */
static int take_place(const struct recover *recover, const char *fresh)
{
	char kept[SYNOD_CONFIG_PATH_SIZE + 32];
	int had = access(recover->path, F_OK) == 0;

	snprintf(kept, sizeof(kept), "%s.lost-%" PRIu64, recover->path, recover->incarnation - 1);
	if ((had && rename(recover->path, kept)) || rename(fresh, recover->path))
		return synod_tool_complain("%s: %s; the new journal is %s", recover->path,
					   strerror(errno), fresh);
	if (had)
		printf("the old file is %s\n", kept);
	return 0;
}

static int make(struct recover *recover)
{
	const struct synod_journal_identity identity = { .cluster = recover->config.id,
							 .incarnation = recover->incarnation,
							 .replica = recover->id,
							 .replicas = recover->config.replicas,
							 .joining = 1 };
	char fresh[SYNOD_CONFIG_PATH_SIZE + 16];
	int device = synod_journal_is_device(recover->path);
	int result;

	snprintf(fresh, sizeof(fresh), device ? "%s" : "%s.recovered", recover->path);
	if (synod_tool_make_journal(&recover->config, fresh, &identity, 0, SYNOD_TOOL_FORCE,
				    recover->error, sizeof(recover->error)))
		return synod_tool_complain("%s", recover->error);
	result = device ? 0 : take_place(recover, fresh);
	if (result)
		return result;
	printf("%s: incarnation %" PRIu64 ". Started, replica %u learns what was chosen, and votes "
	       "once all other voters have answered it\n",
	       recover->path, recover->incarnation, recover->id);
	return synod_tool_finish();
}

static int run(struct recover *recover, int udp)
{
	int result;

	if (recover->config.durability == SYNOD_WANT_NONE)
		return synod_tool_complain("durability = none: there is no journal to recover");
	result = ask_others(recover, udp);
	if (result)
		return result;
	result = look_at_old(recover);
	if (result < 0)
		return SYNOD_TOOL_FAILED;
	if (result == OLD_WHOLE && !recover->force)
		return synod_tool_complain("%s is a whole journal, and no older copy that the "
					   "others know of: start the replica, or say --force to "
					   "give up what it remembers; nothing was changed",
					   recover->path);
	return make(recover);
}

int synod_tool_recover(int argc, char **argv)
{
	static struct recover recover;
	const char *path = NULL;
	uint64_t id = 0, timeout_s = 2;
	int udp = 0, result;
	const struct synod_command command = {
		"recover", "", "Makes a new journal for a replica whose old one is lost.",
		"The others must run. The replica then joins as a new incarnation: it votes\n"
		"once all other voters have told it what they know of the lost one.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "id", SYNOD_OPTION_NUMBER, &id, "N", "whose journal is lost", 1 },
		{ "force", SYNOD_OPTION_FLAG, &recover.force, NULL,
		  "though the old journal is whole", 0 },
		{ "timeout", SYNOD_OPTION_NUMBER, &timeout_s, "SECONDS", "for each answer (2)", 0 },
		{ "udp", SYNOD_OPTION_FLAG, &udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (result >= 0)
		return result;
	if (timeout_s < 1 || timeout_s > 86400) {
		synod_tool_complain("--timeout is not from 1 to 86400 seconds");
		return SYNOD_TOOL_USAGE;
	}
	if (synod_tool_load(path, &recover.config))
		return SYNOD_TOOL_FAILED;
	if (synod_tool_check_id(&recover.config, id, "id"))
		return SYNOD_TOOL_USAGE;
	recover.id = (uint32_t)id;
	recover.path = synod_config_replica(&recover.config, recover.id)->journal;
	recover.timeout_ns = timeout_s * 1000000000ull;
	return run(&recover, udp);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* synod format: makes the journal of one replica, written through to its end. */
#include "engine/journal/uring.h"
#include "engine/machine/apply.h"
#include "tools/synod.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* 0 if the journal's path is free, or a device, or may be overwritten; else a complaint. */
static int check_place(const char *path, int force)
{
	struct stat status;

	if (stat(path, &status) || synod_journal_is_device(path) || force)
		return 0;
	return synod_tool_complain("%s exists; a journal is the memory of its replica. To lose it: "
				   "--force",
				   path);
}

int synod_tool_make_journal(const struct synod_config *config, const char *path,
			    const struct synod_journal_identity *identity, uint64_t size,
			    unsigned int flags, char *error, size_t error_size)
{
	const struct synod_config_replica *replica =
		synod_config_replica(config, identity->replica);
	const struct synod_apply_limits limits =
		synod_apply_limits(config->sessions, config->session_window);
	struct synod_journal_extent extent = {
		.size = size,
	};

	if (!size && !synod_journal_is_device(path))
		extent.size = replica->journal_size;
	if (!(flags & SYNOD_TOOL_KEEP_ALL))
		extent.area_size =
			synod_apply_image_max(synod_machine_find(config->machine), &limits);
	return synod_journal_format(path, identity, &extent,
				    flags & SYNOD_TOOL_FORCE ? SYNOD_JOURNAL_FORCE : 0, error,
				    error_size);
}

int synod_tool_format(int argc, char **argv)
{
	const char *path = NULL;
	uint64_t id = 0, size = 0, incarnation = 1;
	int force = 0, keep_all = 0, first_result;
	const struct synod_command command = {
		"format", "", "Makes the journal of one replica: preallocated and written through.",
		"For a cluster that has never run. A replica whose journal was lost must not vote\n"
		"under its old name: the others refuse one that was formatted again. It is given\n"
		"a new one by `synod recover`.\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "id", SYNOD_OPTION_NUMBER, &id, "N", "which replica", 1 },
		{ "size", SYNOD_OPTION_SIZE, &size, "BYTES",
		  "of the log (default: journal_size; 1G, 64M …); the file has room for snapshots "
		  "besides",
		  0 },
		{ "keep-all", SYNOD_OPTION_FLAG, &keep_all, NULL,
		  "no snapshots: nothing is ever written over, and a full log is full", 0 },
		{ "force", SYNOD_OPTION_FLAG, &force, NULL, "overwrite what is there", 0 },
		{ 0 }
	};
	const struct synod_config_replica *replica;
	struct synod_journal_identity identity;
	struct synod_config config;
	char error[1024];

	first_result = synod_tool_parse(argc, argv, &command, options, NULL, NULL);
	if (first_result >= 0)
		return first_result;
	if (synod_tool_load(path, &config))
		return SYNOD_TOOL_FAILED;
	if (synod_tool_check_id(&config, id, "id"))
		return SYNOD_TOOL_USAGE;
	replica = synod_config_replica(&config, (uint32_t)id);
	if (config.durability == SYNOD_WANT_NONE) {
		printf("nothing to make: durability = none, the journal is in memory\n");
		return synod_tool_finish();
	}
	if (check_place(replica->journal, force))
		return SYNOD_TOOL_FAILED;
	identity = (struct synod_journal_identity){ .cluster = config.id,
						    .incarnation = incarnation,
						    .replica = (uint32_t)id,
						    .replicas = config.replicas };
	if (synod_tool_make_journal(&config, replica->journal, &identity, size,
				    (force ? SYNOD_TOOL_FORCE : 0u) |
					    (keep_all ? SYNOD_TOOL_KEEP_ALL : 0u),
				    error, sizeof(error)))
		return synod_tool_complain("%s", error);
	printf("%s\n", replica->journal);
	return synod_tool_finish();
}

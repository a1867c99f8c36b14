/* SPDX-License-Identifier: BSD-3-Clause */
/* Is this file the journal of this replica? Each way it is not has its own sentence and remedy. */
#include "engine/journal/uring_internal.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <inttypes.h>

struct check {
	const char *path;
	char *error;
	size_t error_size;
};

static int check_found(const struct check *check, const struct synod_superblock_choice *choice)
{
	synod_assert(check->error_size > 0);
	synod_assert(check->path != NULL);
	switch (choice->verdict) {
	case SYNOD_SUPERBLOCK_FOUND:
		return 0;
	case SYNOD_SUPERBLOCK_ABSENT:
		return synod_uring_say(
			check->error, check->error_size, -EINVAL,
			"%s: not a Synod journal: no superblock in its first 16 KiB; "
			"make one with `synod format`, or correct the path",
			check->path);
	case SYNOD_SUPERBLOCK_VERSION:
		return synod_uring_say(
			check->error, check->error_size, -EINVAL,
			"%s: journal format version %u; this program reads version %u: "
			"use the program that wrote it",
			check->path, choice->version, SYNOD_FORMAT_VERSION);
	case SYNOD_SUPERBLOCK_DAMAGED:
		break;
	}
	return synod_uring_say(
		check->error, check->error_size, -EBADMSG,
		"%s: all %d copies of the superblock (offsets 0, 4096, 8192, 12288) are "
		"damaged: what this replica promised is lost, and it must not vote under its "
		"old name; the others go on; `synod recover` lets it join again",
		check->path, SYNOD_SUPERBLOCK_COPIES);
}

static int check_identity(const struct check *check, const struct synod_format_superblock *found,
			  const struct synod_journal_identity *expect)
{
	synod_assert(check->path && check->error);
	synod_assert(expect->cluster != 0 && expect->replica != 0);
	if (found->cluster != expect->cluster)
		return synod_uring_say(check->error, check->error_size, -EINVAL,
				       "%s: journal of cluster %" PRIu64
				       ", but the configuration says "
				       "cluster %" PRIu64 ": correct the path or the configuration",
				       check->path, found->cluster, expect->cluster);
	if (found->replica != expect->replica)
		return synod_uring_say(check->error, check->error_size, -EINVAL,
				       "%s: journal of replica %u, but this is replica %u: two "
				       "replicas' paths may be swapped; correct the configuration",
				       check->path, found->replica, expect->replica);
	if (expect->incarnation && found->incarnation != expect->incarnation)
		return synod_uring_say(check->error, check->error_size, -EINVAL,
				       "%s: data file belongs to incarnation %" PRIu64
				       ", the cluster expects incarnation %" PRIu64
				       ": run `synod recover`",
				       check->path, found->incarnation, expect->incarnation);
	if (expect->replicas && found->replicas != expect->replicas)
		return synod_uring_say(
			check->error, check->error_size, -EINVAL,
			"%s: journal of a cluster of %u replicas, but the configuration "
			"has %u: a cluster's size does not change by configuration",
			check->path, found->replicas, expect->replicas);
	return 0;
}

int synod_uring_check(const struct synod_format_superblock sectors[SYNOD_SUPERBLOCK_COPIES],
		      const struct synod_journal_options *options, int64_t file_size,
		      struct synod_superblock_choice *choice, char *error, size_t error_size)
{
	const struct check check = { options->path, error, error_size };
	const struct synod_format_superblock *found;
	int result;

	synod_assert(options->path && error_size > 0);
	synod_assert(file_size >= 0);
	synod_superblock_choose(sectors, choice);
	result = check_found(&check, choice);
	if (result < 0)
		return result;
	found = &sectors[choice->copy];
	if (options->expect) {
		result = check_identity(&check, found, options->expect);
		if (result < 0)
			return result;
	}
	if ((uint64_t)file_size < found->file_size)
		return synod_uring_say(
			error, error_size, -EINVAL,
			"%s: cut short: %" PRId64 " bytes, made with %" PRIu64
			": what was beyond is lost; restore the file, or move it away "
			"and rejoin as a new incarnation (`synod recover`)",
			options->path, file_size, found->file_size);
	if ((uint64_t)file_size - found->file_size >= SYNOD_BLOCK_SIZE)
		return synod_uring_say(error, error_size, -EINVAL,
				       "%s: has grown: %" PRId64 " bytes, made with %" PRIu64
				       ": something else wrote to it; truncate it to %" PRIu64
				       " bytes after looking",
				       options->path, file_size, found->file_size,
				       found->file_size);
	return 0;
}

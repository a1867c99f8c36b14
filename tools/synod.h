/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside tools/synod*.c only: what the sub-commands share. Each sub-command is one file with one
 * entry, synod_tool_<name>, which returns the exit status of the program:
 *   0  done      1  it could not be done, and one line said why      2  the arguments were wrong
 * Results go to standard output, complaints to standard error, one line each, with the remedy.
 */
#ifndef SYNOD_TOOLS_SYNOD_H
#define SYNOD_TOOLS_SYNOD_H

#include "engine/config/config.h"

#include <stdint.h>

enum {
	SYNOD_TOOL_DONE = 0,
	SYNOD_TOOL_FAILED = 1,
	SYNOD_TOOL_USAGE = 2
};

enum synod_option_kind {
	SYNOD_OPTION_FLAG,   /* int: 1 when given */
	SYNOD_OPTION_NUMBER, /* uint64_t, decimal */
	SYNOD_OPTION_SIZE,   /* uint64_t bytes: 1G, 64M, 4096 */
	SYNOD_OPTION_TEXT,   /* const char * */
};

struct synod_option {
	const char *name; /* long, without the dashes; NULL ends the table */
	enum synod_option_kind kind;
	void *at;
	const char *argument; /* what help calls it: FILE, N …; NULL for a flag */
	const char *help;     /* one line */
	int required;
};

struct synod_command {
	const char *name;
	const char *arguments; /* what follows the options: "" or "check|print FILE" */
	const char *summary;   /* one line */
	const char *details;   /* more lines for --help, or NULL */
};

/*
 * Parses the options of a sub-command. Returns -1: go on, with *operands words left from
 * argv[*first] (operands NULL: none are allowed); else the exit status: help was printed, or a
 * complaint.
 */
int synod_tool_parse(int argc, char **argv, const struct synod_command *command,
		     const struct synod_option *options, int *first, int *operands);

/* "synod NAME: " and the line, to standard error. Returns SYNOD_TOOL_FAILED. */
int synod_tool_complain(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

/* Loads the configuration, or complains. 0 or SYNOD_TOOL_FAILED. */
int synod_tool_load(const char *path, struct synod_config *config);

/* Checks that id is a replica of the cluster, or complains. 0 or SYNOD_TOOL_USAGE. */
int synod_tool_check_id(const struct synod_config *config, uint64_t id, const char *option);

/* Flushes standard output: SYNOD_TOOL_DONE, or a complaint if not all of it was written. */
int synod_tool_finish(void);

struct synod_journal_identity;

enum {
	SYNOD_TOOL_FORCE = 1,	 /* over what is there */
	SYNOD_TOOL_KEEP_ALL = 2, /* no room for snapshots: its log is never written over */
};

/* synod_format.c: makes a journal as the configuration says; size 0: as it says. 0, or -errno. */
int synod_tool_make_journal(const struct synod_config *config, const char *path,
			    const struct synod_journal_identity *identity, uint64_t size,
			    unsigned int flags, char *error, size_t error_size)
	__attribute__((warn_unused_result));

int synod_tool_config(int argc, char **argv);
int synod_tool_format(int argc, char **argv);
int synod_tool_handover(int argc, char **argv);
int synod_tool_kv(int argc, char **argv);
int synod_tool_log(int argc, char **argv);
int synod_tool_recover(int argc, char **argv);
int synod_tool_repair(int argc, char **argv);
int synod_tool_report(int argc, char **argv);
int synod_tool_status(int argc, char **argv);
int synod_tool_submit(int argc, char **argv);
int synod_tool_tail(int argc, char **argv);
int synod_tool_verify(int argc, char **argv);

#endif

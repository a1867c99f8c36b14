/* SPDX-License-Identifier: BSD-3-Clause */
/* synod: the command line of a cluster. This file finds the sub-command; see tools/synod.h. */
#include "tools/synod.h"

#include <stdio.h>
#include <string.h>

struct entry {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct entry entries[] = {
	{ "config", synod_tool_config, "check, print or begin a configuration file" },
	{ "format", synod_tool_format, "make the journal of a replica" },
	{ "handover", synod_tool_handover, "let another replica lead" },
	{ "kv", synod_tool_kv, "get, put, delete, compare and set (machine = kv)" },
	{ "log", synod_tool_log, "dump and verify the journal of a stopped replica" },
	{ "recover", synod_tool_recover, "make a new journal for a replica that lost its own" },
	{ "repair", synod_tool_repair, "rewrite a corrupt journal from another replica's" },
	{ "report", synod_tool_report, "put a benchmark's parts together into one result" },
	{ "status", synod_tool_status, "ask running replicas how they are" },
	{ "submit", synod_tool_submit,
	  "submit the lines of standard input, print their positions" },
	{ "tail", synod_tool_tail, "print the ordered commands that a replica has" },
	{ "verify", synod_tool_verify, "compare the journals of all replicas" },
};

static void print_help(FILE *stream)
{
	fprintf(stream, "usage: synod COMMAND [OPTIONS]\n\n");
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		fprintf(stream, "  %-8s %s\n", entries[i].name, entries[i].summary);
	fprintf(stream, "\n`synod COMMAND --help` says more. A replica is run by synodd.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "synod: no command; `synod --help` lists them\n");
		return SYNOD_TOOL_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_help(stdout);
		return synod_tool_finish();
	}
	if (!strcmp(argv[1], "--version")) {
		puts("synod " SYNOD_VERSION);
		return synod_tool_finish();
	}
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++)
		if (!strcmp(argv[1], entries[i].name))
			return entries[i].run(argc - 1, argv + 1);
	fprintf(stderr, "synod: '%.60s' is no command; `synod --help` lists them\n", argv[1]);
	return SYNOD_TOOL_USAGE;
}

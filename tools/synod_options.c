/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the sub-commands share: options from tables (by getopt_long), complaints, the
 * configuration.
 */
#include "tools/synod.h"

#include "engine/base/assert.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPTIONS_MAX = 31, /* a bit each of what was given */
	CODE_BASE = 256,
	CODE_HELP = 255
};

static const char *name_running = "?"; /* for complaints; set once, by parse */

int synod_tool_complain(const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "synod %s: ", name_running);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return SYNOD_TOOL_FAILED;
}

static void print_help(const struct synod_command *command, const struct synod_option *options)
{
	printf("usage: synod %s [OPTIONS]%s%s\n\n%s\n\n", command->name,
	       command->arguments[0] ? " " : "", command->arguments, command->summary);
	for (int i = 0; options[i].name; i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", options[i].name,
			 options[i].argument ? " " : "",
			 options[i].argument ? options[i].argument : "");
		printf("  %-20s %s%s\n", left, options[i].help,
		       options[i].required ? " (required)" : "");
	}
	printf("  %-20s this text\n", "--help");
	if (command->details)
		printf("\n%s", command->details);
}

static int set_option(const struct synod_option *option, const char *text)
{
	uint64_t *number = option->at;
	char *end;

	switch (option->kind) {
	case SYNOD_OPTION_FLAG:
		*(int *)option->at = 1;
		return -1;
	case SYNOD_OPTION_TEXT:
		*(const char **)option->at = text;
		return -1;
	case SYNOD_OPTION_SIZE:
		if (!synod_config_size(text, number))
			return -1;
		synod_tool_complain(
			"--%s %s is not a size; write bytes, or a number with K, M, G or T",
			option->name, text);
		return SYNOD_TOOL_USAGE;
	case SYNOD_OPTION_NUMBER:
		break;
	}
	errno = 0;
	*number = strtoull(text, &end, 10);
	if (isdigit((unsigned char)text[0]) && !errno && !*end)
		return -1;
	synod_tool_complain("--%s %s is not a number", option->name, text);
	return SYNOD_TOOL_USAGE;
}

static int complain_of_option(int code, char **argv)
{
	const char *word = argv[optind - 1];

	if (code == ':')
		synod_tool_complain("%s needs a value; see --help", word);
	else
		synod_tool_complain("unknown option %s; see --help", word);
	return SYNOD_TOOL_USAGE;
}

/* What getopt_long wants, from our table. */
static void make_table(const struct synod_option *options, struct option *table)
{
	int count = 0;

	for (; options[count].name && count < OPTIONS_MAX; count++)
		table[count] = (struct option){
			.name = options[count].name,
			.has_arg = options[count].kind == SYNOD_OPTION_FLAG ? no_argument
									    : required_argument,
			.val = CODE_BASE + count,
		};
	synod_assert(!options[count].name); /* else the rest would be unknown to users */
	table[count] = (struct option){ .name = "help", .val = CODE_HELP };
}

int synod_tool_parse(int argc, char **argv, const struct synod_command *command,
		     const struct synod_option *options, int *first, int *operands)
{
	struct option table[OPTIONS_MAX + 2] = { 0 };
	uint32_t given = 0;
	int code;

	name_running = command->name;
	make_table(options, table);
	opterr = 0;
	optind = 1;
	while ((code = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
		int result;

		if (code == CODE_HELP || code == 'h') {
			print_help(command, options);
			return synod_tool_finish();
		}
		if (code < CODE_BASE)
			return complain_of_option(code, argv);
		result = set_option(&options[code - CODE_BASE], optarg);
		if (result >= 0)
			return result;
		given |= 1u << (code - CODE_BASE);
	}
	for (int i = 0; options[i].name; i++)
		if (options[i].required && !(given & (1u << i))) {
			synod_tool_complain("--%s %s is missing; see --help", options[i].name,
					    options[i].argument);
			return SYNOD_TOOL_USAGE;
		}
	if (operands) {
		*first = optind;
		*operands = argc - optind;
	} else if (optind < argc) {
		synod_tool_complain("'%s' is not an option; see --help", argv[optind]);
		return SYNOD_TOOL_USAGE;
	}
	return -1;
}

int synod_tool_load(const char *path, struct synod_config *config)
{
	char error[SYNOD_CONFIG_ERROR_SIZE];

	if (!synod_config_load(path, config, error, sizeof(error)))
		return 0;
	fprintf(stderr, "%s\n", error); /* begins with file and line, as editors like it */
	return SYNOD_TOOL_FAILED;
}

int synod_tool_check_id(const struct synod_config *config, uint64_t id, const char *option)
{
	if (id >= 1 && id <= config->replicas)
		return 0;
	synod_tool_complain("--%s %llu: the cluster has replicas 1 to %u", option,
			    (unsigned long long)id, config->replicas);
	return SYNOD_TOOL_USAGE;
}

int synod_tool_finish(void)
{
	if (fflush(stdout) || ferror(stdout))
		return synod_tool_complain("standard output took not everything: %s",
					   strerror(errno));
	return SYNOD_TOOL_DONE;
}

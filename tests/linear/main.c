/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-linear FILE: is this history of a key-value store linearizable? Prints "linearizable", or
 * the key and the shortest window whose operations contradict each other.
 *
 * Exit status: 0 linearizable; 1 not; 2 the file cannot be judged (its error in one line, or no
 * verdict within the steps allowed).
 */
#include "tests/linear/history.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINES_PRINTED_MAX = 60
};

#define STEPS_MAX_DEFAULT 200000000ull

struct options {
	uint64_t steps_max;
	uint32_t initial;
	const char *path;
};

static void usage(void)
{
	fputs("usage: synod-linear [--any-start] [--steps N] FILE\n"
	      "  FILE         a history, one JSON object a line; -: standard input\n"
	      "  --any-start  the store was not empty when the history began\n"
	      "  --steps N    give up on a key after so many steps (200000000)\n",
	      stderr);
	exit(2);
}

static struct options parse(int argc, char **argv)
{
	static const struct option table[] = { { "any-start", no_argument, NULL, 'a' },
					       { "steps", required_argument, NULL, 's' },
					       { NULL, 0, NULL, 0 } };
	struct options options = { .steps_max = STEPS_MAX_DEFAULT, .initial = LINEAR_ABSENT };
	int option;
	char *end;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'a':
			options.initial = LINEAR_ANY;
			break;
		case 's':
			errno = 0;
			options.steps_max = strtoull(optarg, &end, 10);
			if (errno || *end || end == optarg || !options.steps_max)
				usage();
			break;
		default:
			usage();
		}
	}
	if (optind + 1 != argc)
		usage();
	options.path = argv[optind];
	return options;
}

static const char *value_name(const struct history *history, uint32_t value)
{
	return value == LINEAR_ABSENT ? "nothing" : history->values.names[value];
}

static void print_op(const struct history *history, const struct linear_op *op, int blamed)
{
	static const char *const outcomes[] = { "OK", "NOT_FOUND", "MISMATCH", "NO_SPACE",
						"UNKNOWN" };

	printf("%s line %u: %llu..", blamed ? "->" : "  ", op->tag,
	       (unsigned long long)op->invoked);
	if (op->answered != LINEAR_NEVER)
		printf("%llu", (unsigned long long)op->answered);
	switch (op->operation) {
	case LINEAR_GET:
		printf(" %s: %s\n", op->stale ? "stale get" : "get",
		       value_name(history, op->value));
		return;
	case LINEAR_PUT:
		printf(" put %s: ", value_name(history, op->value));
		break;
	case LINEAR_CAS:
		printf(" cas %s -> %s: ", value_name(history, op->expected),
		       value_name(history, op->value));
		break;
	default:
		printf(" delete: ");
		break;
	}
	puts(outcomes[op->outcome]);
}

static void print_window(const struct history *history, const struct linear_result *result)
{
	uint32_t printed = 0;
	uint32_t more = 0;

	for (uint32_t i = 0; i < history->count; i++) {
		const struct linear_op *op = &history->ops[i];

		if (op->key != result->key || op->invoked > result->to_ns ||
		    (op->answered < result->from_ns) || (op->stale && i != result->blamed))
			continue;
		if (printed++ < LINES_PRINTED_MAX || i == result->blamed)
			print_op(history, op, i == result->blamed);
		else
			more++;
	}
	if (more)
		printf("   and %u more\n", more);
}

static int judge(struct history *history, const struct options *options)
{
	struct linear_result result;

	linear_check(history->ops, history->count, options->initial, options->steps_max, &result);
	switch (result.verdict) {
	case LINEAR_YES:
		printf("linearizable: %u operations on %u keys\n", history->count,
		       history->keys.count);
		return 0;
	case LINEAR_UNDECIDED:
		fprintf(stderr,
			"synod-linear: %s: key %s: undecided after %llu steps; see --steps\n",
			options->path, history->keys.names[result.key],
			(unsigned long long)result.steps);
		return 2;
	default:
		printf("not linearizable: key %s, from %llu to %llu ns\n",
		       history->keys.names[result.key], (unsigned long long)result.from_ns,
		       (unsigned long long)result.to_ns);
		print_window(history, &result);
		return 1;
	}
}

int main(int argc, char **argv)
{
	struct options options = parse(argc, argv);
	struct history history;
	char error[256];
	FILE *file = strcmp(options.path, "-") == 0 ? stdin : fopen(options.path, "r");
	int result = 2;

	if (!file) {
		fprintf(stderr, "synod-linear: %s: %s\n", options.path, strerror(errno));
		return 2;
	}
	if (history_read(&history, file, error, sizeof(error)))
		fprintf(stderr, "synod-linear: %s: %s\n", options.path, error);
	else
		result = judge(&history, &options);
	if (file != stdin)
		fclose(file);
	history_free(&history);
	return result;
}

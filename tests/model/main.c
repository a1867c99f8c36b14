/* SPDX-License-Identifier: BSD-3-Clause */
/* The program: bounds in, counts and perhaps a trace out. See model.h. */
#include "tests/model/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_bound(void *context, const char *name, uint64_t value, const char *what)
{
	(void)what;
	fprintf(context, " %s=%" PRIu64, name, value);
}

struct json {
	FILE *file;
	const char *before;
};

static void json_bound(void *context, const char *name, uint64_t value, const char *what)
{
	struct json *json = context;

	(void)what;
	fprintf(json->file, "%s\"%s\": %" PRIu64, json->before, name, value);
	json->before = ", ";
}

static void json_text(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', file);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, file);
	}
	fputc('"', file);
}

/* What is said of each search. */
static void json_search(struct model *model, FILE *file)
{
	const struct model_totals *totals = &model->totals;
	struct json json = { .file = file, .before = "" };

	fprintf(file,
		"{\"states\": %" PRIu64 ", \"exhaustive\": %s, \"violations\": %u,\n"
		" \"transitions\": %" PRIu64 ", \"core_steps\": %" PRIu64 ", \"depth\": %" PRIu64
		", \"replica_states\": %u, \"items\": %u, \"searches\": %u,\n"
		" \"seconds\": %.1f,\n \"bounds\": {",
		totals->states, totals->exhaustive ? "true" : "false", totals->violations,
		totals->transitions, totals->steps, totals->depth_max, model->locals.count,
		model->items.count, totals->searches, totals->seconds);
	model_options_each(&model->bounds, json_bound, &json);
	fputs("}", file);
	if (totals->violations) {
		fprintf(file, ",\n \"trace_steps\": %u, \"violation\": ", model->trace_count);
		json_text(file, model->violation);
	}
	fputs("}", file);
}

static void print(struct model *model)
{
	const struct model_totals *totals = &model->totals;

	printf("%" PRIu64 " states, %s, %" PRIu64 " transitions, depth %" PRIu64
	       ", %u replica states, %u messages and facts, search %u, %.1f s: %s\n",
	       totals->states, totals->exhaustive ? "exhaustive" : "NOT exhaustive",
	       totals->transitions, totals->depth_max, model->locals.count, model->items.count,
	       totals->searches, totals->seconds,
	       totals->violations ? model->violation : "no violation");
}

/* Exit status: 0 held, 1 a violation, 3 not finished. */
static int check(struct model *model, const struct model_options *options, FILE *json)
{
	int violated;

	printf("bounds:");
	model_options_each(&model->bounds, print_bound, stdout);
	putchar('\n');
	fflush(stdout);
	model->progress = options->quiet ? NULL : stderr;
	violated = model_search(model);
	if (violated) {
		model_trace_shorten(model);
		model_trace_print(model, stdout);
	}
	print(model);
	fflush(stdout);
	if (json)
		json_search(model, json);
	if (violated)
		return 1;
	return model->totals.exhaustive ? 0 : 3;
}

/* One after the other, until one does not hold. */
static int check_quick(struct model *model, const struct model_options *options, FILE *json)
{
	uint64_t states_max = model->states_max;
	struct model_totals all = { .exhaustive = 1 };
	int status = 0;

	if (json)
		fputs("{\"searches\": [\n", json);
	for (uint32_t i = 0; !status && model_options_quick(&model->bounds, i); i++) {
		if (json && i)
			fputs(",\n", json);
		model->states_max = states_max;
		status = check(model, options, json);
		all.states += model->totals.states;
		all.exhaustive &= model->totals.exhaustive;
		all.violations += model->totals.violations;
		all.seconds += model->totals.seconds;
		model_end(model);
	}
	printf("%" PRIu64 " states in all, %.1f s\n", all.states, all.seconds);
	if (json)
		fprintf(json,
			"],\n\"states\": %" PRIu64 ", \"exhaustive\": %s, \"violations\": %u,\n"
			"\"seconds\": %.1f, \"bounds\": \"of each search\"}",
			all.states, all.exhaustive ? "true" : "false", all.violations, all.seconds);
	return status;
}

static int run(struct model *model, const struct model_options *options)
{
	FILE *json = options->json ? fopen(options->json, "w") : NULL;
	int status;

	if (options->json && !json) {
		fprintf(stderr, "synod-model: %s: %s\n", options->json, strerror(errno));
		return 2;
	}
	model_guard_begin();
	status = options->quick ? check_quick(model, options, json) : check(model, options, json);
	if (json)
		fputc('\n', json);
	if (json && fclose(json)) {
		fprintf(stderr, "synod-model: %s: %s\n", options->json, strerror(errno));
		return 2;
	}
	return status;
}

int main(int argc, char **argv)
{
	static struct model model;
	struct model_options options = { 0 };
	int done = 0;
	int wrong = model_options_read(&model, &options, argc, argv, &done);

	return wrong || done ? wrong : run(&model, &options);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The bounds of a search, one row each: an option, a line of the report, a member of the JSON. */
#include "tests/model/model.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

struct row {
	const char *name;
	size_t offset;
	uint64_t usual, least, most;
	const char *what;
};

#define ROW(member, usual, least, most, what)                                            \
	{                                                                                \
#member, offsetof(struct model_bounds, member), usual, least, most, what \
	}

static const struct row rows[] = {
	ROW(replicas, 3, 1, MODEL_REPLICAS_MAX, "replicas"),
	ROW(voters, 0, 0, MODEL_REPLICAS_MAX, "replicas 1..N vote, the others learn; 0: all vote"),
	ROW(prepare, 0, 0, MODEL_REPLICAS_MAX, "quorum of phase 1; 0: more than half"),
	ROW(accept, 0, 0, MODEL_REPLICAS_MAX, "quorum of phase 2; 0: more than half"),
	ROW(leaders, 2, 1, MODEL_REPLICAS_MAX, "replicas 1..N that may want to lead"),
	ROW(submitters, 1, 0, MODEL_REPLICAS_MAX, "replicas 1..N that may submit when they lead"),
	ROW(inflight, MODEL_PLACES / 2, 1, MODEL_PLACES / 2, "slots proposed and not yet chosen"),
	ROW(slots, 2, 1, MODEL_SLOTS_MAX, "nothing is submitted beyond this slot"),
	ROW(submits, 2, 0, MODEL_SUBMITS_MAX, "values submitted, by all together"),
	ROW(elections, 2, 0, 8, "times that one of them misses a leader, all together"),
	ROW(crashes, 1, 0, 8, "crashes and restarts, all together"),
	ROW(handovers, 0, 0, 8, "times that a leader is asked to hand over, all together"),
	ROW(reads, 0, 0, MODEL_READS_MAX, "linearizable reads, all together"),
	ROW(canvass, 0, 0, 1, "1: canvass with messages; 0: take its success for granted"),
	ROW(duplicate, 1, 0, 1, "1: a message may arrive any number of times; 0: once"),
	ROW(holes, 0, 0, 1, "1: a crash keeps any of the writes under way; 0: a prefix"),
	ROW(forget, 0, 0, 1, "1: a restart may hold no chosen slot in memory"),
	ROW(repeats, 0, 0, 1, "1: timers that repeat messages and give signs of life"),
	ROW(stepdowns, 0, 0, 1, "1: a leader may miss its followers"),
	ROW(overlap, 0, 0, 1, "1: events come while writes are under way; 0: only after"),
	ROW(heartbeats, 0, 0, 1, "0: every HEARTBEAT is lost"),
	ROW(rejects, 0, 0, 1, "0: every REJECT is lost"),
	ROW(catchup, 0, 0, 1, "0: every NEED is lost"),
	ROW(hints, 0, 0, 1, "1: followers may be told that their leader's link is gone"),
};

enum {
	ROWS = sizeof(rows) / sizeof(rows[0])
};

/* --quick: small bounds, each for one corner. What a row does not name has its usual value. */
static const char *const quick[] = {
	/* three ballots: which value a new leader must take over */
	"slots=1 submitters=2 elections=3 crashes=0",
	/* restarts; events between a write and its being durable */
	"slots=1 submitters=2 crashes=1 catchup=1",
	"slots=1 submits=1 crashes=1 overlap=1",
	/* two slots: gaps, promises in parts, catching up, chosen slots let go */
	"slots=2 leaders=1 elections=1 crashes=1 forget=1 heartbeats=1 catchup=1",
	/* a canvass by messages, and who is behind is told so */
	"slots=1 submits=1 crashes=0 canvass=1 rejects=1",
	/* a transport that speaks of lost links, truly or not */
	"slots=1 submits=1 crashes=0 canvass=1 hints=1",
	"slots=1 submitters=2 crashes=1 catchup=1 hints=1",
	/* leadership handed over; reads that do not go through the log */
	"slots=1 submits=1 elections=1 handovers=1 crashes=0 catchup=1",
	"slots=1 submits=1 submitters=2 reads=1 crashes=0",
	/* what followers hear of chosen slots, and of which ballot they hold them */
	"slots=1 submitters=2 crashes=0 heartbeats=1 repeats=1",
	/* quorums of 3 and 1; a replica that only learns */
	"slots=1 submitters=2 prepare=3 accept=1 crashes=1 catchup=1",
	"slots=1 submits=1 submitters=2 replicas=4 voters=3 crashes=0",
};

static uint64_t *member(struct model_bounds *bounds, const struct row *row)
{
	return (uint64_t *)(void *)((uint8_t *)bounds + row->offset);
}

void model_options_each(const struct model_bounds *bounds,
			void (*each)(void *context, const char *name, uint64_t value,
				     const char *what),
			void *context)
{
	struct model_bounds copy = *bounds;

	for (int i = 0; i < ROWS; i++)
		each(context, rows[i].name, *member(&copy, &rows[i]), rows[i].what);
}

static void usage(void)
{
	puts("usage: synod-model [--json FILE] [--BOUND N]... [--states N] [--quiet]\n"
	     "       synod-model --quick [--json FILE] [--quiet]\n"
	     "Visits every state that a small cluster of the compiled core reaches in the bounds.\n"
	     "Exit status: 0 all held, 1 a violation (its trace is printed), 2 wrong arguments,\n"
	     "3 stopped before the bounds were finished.\n");
	for (int i = 0; i < ROWS; i++)
		printf("  --%-10s %llu..%llu, usual %llu: %s\n", rows[i].name,
		       (unsigned long long)rows[i].least, (unsigned long long)rows[i].most,
		       (unsigned long long)rows[i].usual, rows[i].what);
	puts("  --states     stop after so many states, usual 150000000 (2 GiB)\n"
	     "  --quick      several small searches instead, each for one corner\n"
	     "  --quiet      no progress every ten seconds");
}

static int parse(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || *value < least || *value > most) {
		fprintf(stderr, "synod-model: --%s is %llu..%llu, not %s\n", name,
			(unsigned long long)least, (unsigned long long)most, text);
		return 2;
	}
	return 0;
}

/* Fills in what 0 stands for; then all of it must fit together. */
static int check(struct model_bounds *bounds)
{
	if (!bounds->voters)
		bounds->voters = bounds->replicas;
	if (!bounds->prepare)
		bounds->prepare = bounds->voters / 2 + 1;
	if (!bounds->accept)
		bounds->accept = bounds->voters / 2 + 1;
	if (bounds->voters > bounds->replicas || bounds->leaders > bounds->voters) {
		fprintf(stderr,
			"synod-model: %llu leaders of %llu voters of %llu replicas: not so\n",
			(unsigned long long)bounds->leaders, (unsigned long long)bounds->voters,
			(unsigned long long)bounds->replicas);
		return 2;
	}
	if (!synod_core_quorums_meet((uint32_t)bounds->voters, (uint32_t)bounds->prepare,
				     (uint32_t)bounds->accept)) {
		fprintf(stderr,
			"synod-model: quorums of %llu and %llu among %llu voters need not meet "
			"(I16)\n",
			(unsigned long long)bounds->prepare, (unsigned long long)bounds->accept,
			(unsigned long long)bounds->voters);
		return 2;
	}
	return 0;
}

static void set_usual(struct model_bounds *bounds)
{
	for (int i = 0; i < ROWS; i++)
		*member(bounds, &rows[i]) = rows[i].usual;
}

int model_options_quick(struct model_bounds *bounds, uint32_t number)
{
	const char *text;

	if (number >= sizeof(quick) / sizeof(quick[0]))
		return 0;
	set_usual(bounds);
	for (text = quick[number]; *text;
	     text += strcspn(text, " ") + (strchr(text, ' ') != NULL)) {
		size_t size = strcspn(text, "=");

		for (int i = 0; i < ROWS; i++)
			if (strlen(rows[i].name) == size && !memcmp(rows[i].name, text, size))
				*member(bounds, &rows[i]) = strtoull(text + size + 1, NULL, 10);
	}
	synod_assert(check(bounds) == 0);
	return 1;
}

static int read_one(struct model *model, struct model_options *options, int option)
{
	const struct row *row = option >= 256 ? &rows[option - 256] : NULL;

	switch (option) {
	case 'j':
		options->json = optarg;
		return 0;
	case 'q':
		options->quiet = 1;
		return 0;
	case 'Q':
		options->quick = 1;
		return 0;
	case '?':
		return 2;
	default:
		options->bounded |= row != NULL;
		return parse(row ? row->name : "states", optarg, row ? row->least : 1,
			     row ? row->most : UINT64_C(1) << 40,
			     row ? member(&model->bounds, row) : &model->states_max);
	}
}

int model_options_read(struct model *model, struct model_options *options, int argc, char **argv,
		       int *done)
{
	struct option table[ROWS + 6] = { { 0 } };
	int option;

	for (int i = 0; i < ROWS; i++)
		table[i] = (struct option){ rows[i].name, required_argument, NULL, 256 + i };
	table[ROWS] = (struct option){ "json", required_argument, NULL, 'j' };
	table[ROWS + 1] = (struct option){ "states", required_argument, NULL, 's' };
	table[ROWS + 2] = (struct option){ "quiet", no_argument, NULL, 'q' };
	table[ROWS + 3] = (struct option){ "quick", no_argument, NULL, 'Q' };
	table[ROWS + 4] = (struct option){ "help", no_argument, NULL, 'h' };
	set_usual(&model->bounds);
	model->states_max = 150000000;
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 'h') {
			usage();
			*done = 1;
			return 0;
		}
		if (read_one(model, options, option))
			return 2;
	}
	if (optind < argc) {
		fprintf(stderr, "synod-model: what is %s? --help lists the options\n",
			argv[optind]);
		return 2;
	}
	if (options->quick && options->bounded) {
		fprintf(stderr, "synod-model: --quick has bounds of its own\n");
		return 2;
	}
	return check(&model->bounds);
}

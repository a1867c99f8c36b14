/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-script FILE…: transcripts of the core. A script is blocks of commands, a line of four
 * dashes, and everything that the commands did; the test is that they still do just that.
 * --rewrite puts down what they do now: read it before committing.
 *
 *   cluster N [KEY VALUE]…    new replicas, in place of all there was; 3 at first. Keys: window
 *                             (16), voters (all), prepare, accept (quorums: more than half),
 *                             prefer (a replica with a higher priority; none)
 *   tick R                    the clock goes to R's deadline, and R is told
 *   wait MS                   the clock goes on
 *   submit R NAME…            batches, by name, given to R
 *   deliver [A->B] [TYPE]     what is under way now from A to B (*: any), in the order sent
 *   drop [A->B] [TYPE]        the same, lost
 *   copy [A->B] [TYPE]        the same, twice
 *   durable R [N]             R's next N writes (all) are durable
 *   crash R, restart R        what was not durable is lost
 *   cut A B, heal             nothing passes between A and B (*: any) any more; everything does
 *   handover R [S]            R is asked to hand its leadership over (to S)
 *   read R                    one more read waits at R
 *   snapshot R                R takes a snapshot of all it executed and forgets the records
 *   install R S               S's snapshot is durable at R, and loaded there
 *   wipe R                    R, which is down, gets a new disk in place of a lost one
 *   mute R                    R, which is down, is not to vote before others vouch for its disk
 *   vouch R                   they do
 *   lost R S                  R's transport says that its link to S is gone
 *   settle                    deliver and make durable until nothing moves, without a word
 *   silently COMMAND …        the same without a word
 *   show                      role, ballot, promise and log of each replica; @: only accepted
 *
 * A line that is indented says what is sent or done; one that is not, which message arrives first.
 */
#include "tests/script/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_SIZE = 512,
	WORDS_MAX = 16,
	BLOCK_MAX = 64,
	TEXT_SIZE = 1 << 20
};

struct script {
	const char *path;
	unsigned int line;
	struct world *world;
};

static void fail(const struct script *script, const char *what, const char *word)
{
	fprintf(stderr, "%s:%u: %s: %s\n", script->path, script->line, what, word);
	exit(2);
}

static uint32_t replica_of(const struct script *script, const char *word)
{
	unsigned long id;
	char *end;

	if (!word)
		fail(script, "a replica is missing", "");
	if (strcmp(word, "*") == 0)
		return 0;
	id = strtoul(word, &end, 10);
	if (*end || id < 1 || id > script->world->replicas_count)
		fail(script, "not a replica", word);
	return (uint32_t)id;
}

static struct world_replica *one_up(const struct script *script, const char *word)
{
	uint32_t id = replica_of(script, word);

	if (id == 0 || !script->world->replicas[id].up)
		fail(script, "not a replica that is up", word);
	return &script->world->replicas[id];
}

static unsigned int type_of(const struct script *script, const char *word)
{
	for (unsigned int type = 1; type < SYNOD_REPLICA_TYPES_END; type++)
		if (strcmp(word, synod_wire_type_name(type)) == 0)
			return type;
	fail(script, "not a type of message", word);
	return 0;
}

/* deliver, drop, copy: [A->B] [TYPE] */
static void on_messages(const struct script *script, char **words)
{
	uint32_t (*verb)(struct world *, uint32_t, uint32_t, unsigned int) =
		words[0][0] == 'c'   ? world_copy
		: words[0][1] == 'e' ? world_deliver
				     : world_drop;
	unsigned int type = 0;
	uint32_t from = 0;
	uint32_t to = 0;

	for (int i = 1; words[i]; i++) {
		char *arrow = strstr(words[i], "->");

		if (!arrow) {
			type = type_of(script, words[i]);
			continue;
		}
		*arrow = 0;
		from = replica_of(script, words[i]);
		to = replica_of(script, arrow + 2);
	}
	if (verb(script->world, from, to, type) == 0 && verb != world_drop)
		fail(script, "nothing is under way", words[0]);
}

static void on_cut(const struct script *script, char **words)
{
	uint32_t one = replica_of(script, words[1]);
	uint32_t other = words[1] ? replica_of(script, words[2]) : 0;

	for (uint32_t a = 1; a <= script->world->replicas_count; a++)
		for (uint32_t b = 1; b <= script->world->replicas_count; b++)
			if ((!one || a == one) && (!other || b == other)) {
				script->world->cut[a][b] = 1;
				script->world->cut[b][a] = 1;
			}
}

static void on_cluster(const struct script *script, char **words)
{
	struct world_shape shape = { .replicas = 3, .window = 16 };

	if (words[1])
		shape.replicas = (uint32_t)strtoul(words[1], NULL, 10);
	if (shape.replicas < 1 || shape.replicas > SYNOD_REPLICAS_MAX)
		fail(script, "not a size of a cluster", words[1]);
	for (int i = 2; words[1] && words[i] && words[i + 1]; i += 2) {
		uint32_t value = (uint32_t)strtoul(words[i + 1], NULL, 10);

		if (strcmp(words[i], "window") == 0)
			shape.window = value;
		else if (strcmp(words[i], "voters") == 0)
			shape.voters = value;
		else if (strcmp(words[i], "prepare") == 0)
			shape.quorum_prepare = value;
		else if (strcmp(words[i], "accept") == 0)
			shape.quorum_accept = value;
		else if (strcmp(words[i], "prefer") == 0)
			shape.prefer = value;
		else
			fail(script, "not a key of a cluster", words[i]);
	}
	world_start(script->world, &shape);
}

static void on_life(const struct script *script, char **words)
{
	uint32_t id = replica_of(script, words[1]);

	if (words[0][0] == 'c')
		world_crash(script->world, one_up(script, words[1])->id);
	else if (id == 0 || script->world->replicas[id].up)
		fail(script, "not a replica that is down", words[1]);
	else
		world_boot(script->world, id);
}

/* wipe, mute, vouch. Returns 0 if it is none of these. */
static int on_disk(const struct script *script, char **words)
{
	if (strcmp(words[0], "vouch") == 0) {
		world_vouch(script->world, one_up(script, words[1])->id);
		return 1;
	}
	if (strcmp(words[0], "wipe") != 0 && strcmp(words[0], "mute") != 0)
		return 0;
	if (script->world->replicas[replica_of(script, words[1])].up)
		fail(script, "not a replica that is down", words[1]);
	if (words[0][0] == 'w')
		world_wipe(script->world, replica_of(script, words[1]));
	else
		world_mute(script->world, replica_of(script, words[1]));
	return 1;
}

static void on_messages_or_life(const struct script *script, char **words)
{
	struct world *world = script->world;

	if (strcmp(words[0], "deliver") == 0 || strcmp(words[0], "drop") == 0 ||
	    strcmp(words[0], "copy") == 0)
		on_messages(script, words);
	else if (strcmp(words[0], "durable") == 0)
		world_durable(world, one_up(script, words[1])->id,
			      words[2] ? strtoull(words[2], NULL, 10) : 0);
	else if (strcmp(words[0], "crash") == 0 || strcmp(words[0], "restart") == 0)
		on_life(script, words);
	else if (strcmp(words[0], "cut") == 0)
		on_cut(script, words);
	else if (strcmp(words[0], "heal") == 0)
		memset(world->cut, 0, sizeof(world->cut));
	else if (!on_disk(script, words))
		fail(script, "not a command", words[0]);
}

static void on_command(const struct script *script, char **words)
{
	struct world *world = script->world;

	if (strcmp(words[0], "cluster") == 0) {
		on_cluster(script, words);
	} else if (strcmp(words[0], "tick") == 0) {
		world_tick(world, one_up(script, words[1])->id);
	} else if (strcmp(words[0], "wait") == 0) {
		world->now_ns += (words[1] ? strtoull(words[1], NULL, 10) : 0) * 1000000;
	} else if (strcmp(words[0], "submit") == 0) {
		for (int i = 2; words[1] && words[i]; i++)
			world_submit(world, one_up(script, words[1])->id, words[i]);
	} else if (strcmp(words[0], "handover") == 0) {
		world_handover(world, one_up(script, words[1])->id,
			       words[2] ? replica_of(script, words[2]) : 0);
	} else if (strcmp(words[0], "lost") == 0) {
		world_lost(world, one_up(script, words[1])->id,
			   replica_of(script, words[1] ? words[2] : NULL));
	} else if (strcmp(words[0], "read") == 0) {
		world_read(world, one_up(script, words[1])->id);
	} else if (strcmp(words[0], "snapshot") == 0) {
		world_snapshot(world, one_up(script, words[1])->id);
	} else if (strcmp(words[0], "install") == 0) {
		world_install(world, one_up(script, words[1])->id,
			      one_up(script, words[1] ? words[2] : NULL)->id);
	} else if (strcmp(words[0], "settle") == 0) {
		world_settle(world);
	} else if (strcmp(words[0], "show") == 0) {
		world_show(world);
	} else {
		on_messages_or_life(script, words);
	}
}

static void on_line(const struct script *script, const char line[LINE_SIZE])
{
	char copy[LINE_SIZE];
	char *words[WORDS_MAX + 1] = { 0 };
	char *rest = copy;
	int count = 0;

	memcpy(copy, line, sizeof(copy));
	while (count < WORDS_MAX && (words[count] = strtok_r(rest, " \t\n", &rest)))
		count++;
	if (!count || words[0][0] == '#')
		return;
	if (strcmp(words[0], "silently") != 0 || count == 1) {
		on_command(script, words);
		return;
	}
	script->world->quiet++;
	on_command(script, words + 1);
	script->world->quiet--;
}

/*
 * Carries the script out and writes it down again, with what it does now in place of what stands
 * between the dashes and the next empty line.
 */
static void replay(struct script *script, FILE *in, FILE *out)
{
	static char block[BLOCK_MAX][LINE_SIZE];
	char line[LINE_SIZE];
	int count = 0;
	int expected = 0;

	script->line = 0;
	script->world->out = out;
	world_start(script->world, &(struct world_shape){ .replicas = 3, .window = 16 });
	while (fgets(line, sizeof(line), in)) {
		script->line++;
		if (expected && line[0] != '\n')
			continue;
		expected = 0;
		fputs(line, out);
		if (strcmp(line, "----\n") != 0) {
			if (count == BLOCK_MAX)
				fail(script, "too many lines before", "----");
			memcpy(block[count++], line, sizeof(line));
			continue;
		}
		for (int i = 0; i < count; i++)
			on_line(script, block[i]);
		count = 0;
		expected = 1;
	}
}

static char *read_all(const char *path)
{
	char *text = calloc(1, TEXT_SIZE);
	FILE *file = fopen(path, "r");

	if (!text || !file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	(void)!fread(text, 1, TEXT_SIZE - 1, file);
	fclose(file);
	return text;
}

static void write_all(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) == EOF || fclose(file) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
}

/* Where two texts begin to differ, with the lines before. */
static void report(const char *path, const char *expected, const char *found)
{
	unsigned int line = 1;
	size_t begin = 0;
	size_t at = 0;

	for (; expected[at] && expected[at] == found[at]; at++)
		if (expected[at] == '\n') {
			line++;
			begin = at + 1;
		}
	printf("%s:%u: differs\n- %.*s\n+ %.*s\n", path, line, (int)strcspn(expected + begin, "\n"),
	       expected + begin, (int)strcspn(found + begin, "\n"), found + begin);
}

/* Returns 1 if the script does something else now. */
static int run_file(struct world *world, const char *path, int rewrite)
{
	struct script script = { .path = path, .world = world };
	char *expected = read_all(path);
	char *found = NULL;
	size_t found_size = 0;
	FILE *in = fmemopen(expected, strlen(expected), "r");
	FILE *out = open_memstream(&found, &found_size);
	int differs;

	if (!in || !out)
		abort();
	replay(&script, in, out);
	fclose(in);
	fclose(out);
	differs = strcmp(expected, found) != 0;
	if (differs && rewrite)
		write_all(path, found);
	else if (differs)
		report(path, expected, found);
	free(expected);
	free(found);
	return differs && !rewrite;
}

int main(int argc, char **argv)
{
	struct world *world = calloc(1, sizeof(*world));
	int rewrite = 0;
	int differ = 0;
	int files = 0;

	if (!world)
		abort();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--rewrite") == 0) {
			rewrite = 1;
			continue;
		}
		differ += run_file(world, argv[i], rewrite);
		files++;
	}
	free(world);
	if (files == 0) {
		fputs("usage: synod-script [--rewrite] FILE...\n", stderr);
		return 2;
	}
	printf("%d scripts, %d differ\n", files, differ);
	return differ != 0;
}

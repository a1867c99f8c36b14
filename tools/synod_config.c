/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod config: check a file, print it with every key, or begin one for a cluster on this machine.
 */
#include "tools/synod.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

struct beginning {
	const char *data;
	const char *machine;
	uint64_t replicas;
	uint64_t voters; /* 0: all */
	uint64_t size;
	uint64_t sessions; /* 0: the default, and the next */
	uint64_t session_window;
	const char *door;	/* prefix of interface names; NULL: no doors */
	const char *durability; /* NULL: the default */
	const char *link;	/* prefix of interface names; NULL: memif */
};

static int write_file(const struct beginning *beginning, const char *path)
{
	FILE *file = fopen(path, "wxe");
	uint64_t id = 0;

	if (!file)
		return -errno;
	/* Short of random bytes there is no cluster id that nobody else has. */
	while (id == 0 && getrandom(&id, sizeof(id), 0) == (ssize_t)sizeof(id))
		;
	fprintf(file,
		"# A cluster of Synod replicas on one machine. `synod config print` shows "
		"every key.\n"
		"[cluster]\nid = 0x%" PRIx64 "\nreplicas = %" PRIu64 "\nmachine = %s\n",
		id, beginning->replicas, beginning->machine);
	if (beginning->voters)
		fprintf(file, "voters = %" PRIu64 "\n", beginning->voters);
	if (beginning->sessions)
		fprintf(file, "sessions = %" PRIu64 "\n", beginning->sessions);
	if (beginning->session_window)
		fprintf(file, "session_window = %" PRIu64 "\n", beginning->session_window);
	if (beginning->durability)
		fprintf(file, "durability = %s\n", beginning->durability);
	if (beginning->link) /* the kernel's usual MTU; memif lanes are for replicas on memif */
		fprintf(file, "mtu = 1500\n\n[clients]\nlinks = 0\n");
	for (uint64_t i = 1; i <= beginning->replicas; i++) {
		fprintf(file,
			"\n[replica %" PRIu64 "]\njournal = %" PRIu64 ".journal\n"
			"journal_size = %" PRIu64 "M\n",
			i, i, beginning->size >> 20);
		if (beginning->door)
			fprintf(file,
				"door = af_packet:%s%" PRIu64 "\ndoor_ip = 10.91.0.%" PRIu64 "\n",
				beginning->door, i, i);
		if (beginning->link)
			fprintf(file,
				"transport = af_packet\ninterface = %s%" PRIu64
				"\naddress = 10.91.0.%" PRIu64 "\n",
				beginning->link, i, i);
	}
	if (ferror(file) | fclose(file) || id == 0) {
		remove(path);
		return -EIO;
	}
	return 0;
}

static int begin(const struct beginning *beginning)
{
	char path[SYNOD_CONFIG_PATH_SIZE];
	struct synod_config config;
	int result;

	uint64_t voters = beginning->voters ? beginning->voters : beginning->replicas;

	if (beginning->replicas > SYNOD_REPLICAS_MAX || voters > beginning->replicas ||
	    voters % 2 == 0) {
		synod_tool_complain("%" PRIu64 " replicas, of which %" PRIu64
				    " vote: at most %d, and 1, 3, 5 or 7 of them vote",
				    beginning->replicas, voters, SYNOD_REPLICAS_MAX);
		return SYNOD_TOOL_USAGE;
	}
	if (snprintf(path, sizeof(path), "%s/cluster.ini", beginning->data) >= (int)sizeof(path))
		return synod_tool_complain("--data: the path is too long");
	if (mkdir(beginning->data, 0777) && errno != EEXIST)
		return synod_tool_complain("%s: %s; choose another --data", beginning->data,
					   strerror(errno));
	result = write_file(beginning, path);
	if (result)
		return synod_tool_complain("%s: %s", path, strerror(-result));
	result = synod_tool_load(path, &config);
	if (result) {
		remove(path);
		return result;
	}
	puts(path);
	return synod_tool_finish();
}

int synod_tool_config(int argc, char **argv)
{
	struct beginning beginning = { .machine = "sequencer", .replicas = 3, .size = 1ull << 30 };
	const struct synod_command command = {
		"config", "check FILE | print FILE | init",
		"Checks a configuration file, prints it with every key, or begins one.",
		"check   exit 0 if the file is right; else one line with file and line, exit 1\n"
		"print   the file as it is understood, defaults and whole paths filled in\n"
		"init    writes DIR/cluster.ini for replicas on this machine; never over "
		"another file\n"
	};
	const struct synod_option options[] = {
		{ "data", SYNOD_OPTION_TEXT, &beginning.data, "DIR", "init: where", 0 },
		{ "replicas", SYNOD_OPTION_NUMBER, &beginning.replicas, "N",
		  "init: how many, 1 to 7 (3)", 0 },
		{ "voters", SYNOD_OPTION_NUMBER, &beginning.voters, "N",
		  "init: how many of them vote, the first ones; the others only learn (all)", 0 },
		{ "machine", SYNOD_OPTION_TEXT, &beginning.machine, "NAME",
		  "init: sequencer or kv (sequencer)", 0 },
		{ "size", SYNOD_OPTION_SIZE, &beginning.size, "BYTES", "init: of each journal (1G)",
		  0 },
		{ "sessions", SYNOD_OPTION_NUMBER, &beginning.sessions, "N",
		  "init: clients that may be registered at once (128)", 0 },
		{ "session-window", SYNOD_OPTION_NUMBER, &beginning.session_window, "N",
		  "init: commands that each may have under way (4096)", 0 },
		{ "durability", SYNOD_OPTION_TEXT, &beginning.durability, "WHAT",
		  "init: direct, any or none (direct)", 0 },
		{ "door", SYNOD_OPTION_TEXT, &beginning.door, "PREFIX",
		  "init: kernel-UDP doors on interfaces PREFIX1, PREFIX2 …", 0 },
		{ "link", SYNOD_OPTION_TEXT, &beginning.link, "PREFIX",
		  "init: replicas and clients on interfaces PREFIX1, PREFIX2 …, no memif", 0 },
		{ 0 }
	};
	static char text[SYNOD_CONFIG_TEXT_SIZE];
	struct synod_config config;
	int first, operands, result;

	result = synod_tool_parse(argc, argv, &command, options, &first, &operands);
	if (result >= 0)
		return result;
	if (operands == 1 && !strcmp(argv[first], "init") && beginning.data)
		return begin(&beginning);
	if (operands == 2 && !strcmp(argv[first], "check"))
		return synod_tool_load(argv[first + 1], &config);
	if (operands == 2 && !strcmp(argv[first], "print")) {
		result = synod_tool_load(argv[first + 1], &config);
		if (result)
			return result;
		if (synod_config_print(&config, text, sizeof(text)) < 0)
			return synod_tool_complain("%s: its text is too long", argv[first + 1]);
		fputs(text, stdout);
		return synod_tool_finish();
	}
	synod_tool_complain("say `check FILE`, `print FILE`, or `init --data DIR`; see --help");
	return SYNOD_TOOL_USAGE;
}

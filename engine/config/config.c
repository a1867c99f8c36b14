/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading the file. libinih takes the lines apart; a reader of our own stands between it and the
 * file, because inih as distributed tells its handler neither line numbers nor sections without
 * keys: the reader counts lines, strips comments, and opens sections. Only the first error is kept.
 */
#include "engine/config/check.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LINE_SIZE = 4096
}; /* longer than any line that is accepted, to say which is too long */

void synod_config_refuse(struct synod_config_reading *reading, uint32_t line, const char *format,
			 ...)
{
	va_list arguments;
	int size;

	if (reading->failed)
		return;
	reading->failed = 1;
	size = snprintf(reading->error, reading->error_size, "%s:%u: ", reading->config->path,
			line);
	if (size < 0 || (size_t)size >= reading->error_size)
		return;
	va_start(arguments, format);
	vsnprintf(reading->error + size, reading->error_size - (size_t)size, format, arguments);
	va_end(arguments);
}

static void open_section(struct synod_config_reading *reading, const char *text)
{
	static const char *const names[] = { "[cluster]", "[timing]", "[clients]" };
	int section = SYNOD_SECTION_NONE;

	for (int i = 0; i < 3; i++)
		if (!strcmp(text, names[i]))
			section = SYNOD_SECTION_CLUSTER + i;
	if (!strncmp(text, "[replica ", 9) && text[9] >= '1' &&
	    text[9] <= '0' + SYNOD_REPLICAS_MAX && !strcmp(text + 10, "]"))
		section = SYNOD_SECTION_REPLICA + text[9] - '1';
	if (section == SYNOD_SECTION_NONE)
		synod_config_refuse(
			reading, reading->line,
			"unknown section %.60s; there are [cluster], [timing], [clients] "
			"and [replica 1] to [replica %d]",
			text, SYNOD_REPLICAS_MAX);
	else if (reading->section_line[section])
		synod_config_refuse(reading, reading->line,
				    "section %s is here twice, first in line %u; join them", text,
				    reading->section_line[section]);
	else
		reading->section_line[section] = reading->line;
	reading->section = section;
}

/* Cuts a comment (; or # at the beginning or behind a blank) and blanks at both ends. */
static char *strip(char *line)
{
	size_t size;

	while (isspace((unsigned char)*line))
		line++;
	for (size = 0; line[size]; size++)
		if ((line[size] == '#' || line[size] == ';') &&
		    (size == 0 || isspace((unsigned char)line[size - 1])))
			break;
	while (size && isspace((unsigned char)line[size - 1]))
		size--;
	line[size] = 0;
	return line;
}

/* As fgets: hands inih one line, without what it would misread. */
static char *read_line(char *buffer, int size, void *context)
{
	struct synod_config_reading *reading = context;
	char line[LINE_SIZE];
	char *text;

	if (reading->failed || !fgets(line, sizeof(line), reading->file))
		return NULL;
	reading->line++;
	if (reading->line == 1 && !strncmp(line, "\xef\xbb\xbf", 3))
		memmove(line, line + 3, strlen(line + 3) + 1);
	if (!strchr(line, '\n') && !feof(reading->file)) {
		synod_config_refuse(reading, reading->line,
				    "line is longer than %d characters, or has a NUL; shorten it",
				    LINE_SIZE - 2);
		return NULL;
	}
	text = strip(line);
	if (strlen(text) + 2 > (size_t)size) {
		synod_config_refuse(
			reading, reading->line,
			"line is longer than %d characters without its comment; shorten "
			"it (paths may be relative to this file)",
			size - 2);
		return NULL;
	}
	if (text[0] == '[') {
		open_section(reading, text);
	} else if (text[0] && !strpbrk(text, "=:")) {
		synod_config_refuse(reading, reading->line,
				    "'%.60s' is neither [section] nor key = value", text);
		return NULL;
	}
	snprintf(buffer, (size_t)size, "%s\n", text);
	return buffer;
}

static const struct synod_config_key *find_key(int section, const char *name)
{
	int kind = section < SYNOD_SECTION_REPLICA ? section : SYNOD_SECTION_REPLICA;

	for (unsigned int i = 0; i < synod_config_keys_count; i++)
		if (synod_config_keys[i].section == kind &&
		    !strcmp(synod_config_keys[i].name, name))
			return &synod_config_keys[i];
	return NULL;
}

static void refuse_unknown(struct synod_config_reading *reading, const char *name)
{
	int kind =
		reading->section < SYNOD_SECTION_REPLICA ? reading->section : SYNOD_SECTION_REPLICA;
	char all[320] = "";

	for (unsigned int i = 0; i < synod_config_keys_count; i++) {
		if (synod_config_keys[i].section != kind)
			continue;
		if (all[0])
			strncat(all, ", ", sizeof(all) - strlen(all) - 1);
		strncat(all, synod_config_keys[i].name, sizeof(all) - strlen(all) - 1);
	}
	synod_config_refuse(reading, reading->line, "unknown key '%.60s' here; known are: %s", name,
			    all);
}

/* inih's handler: 1 is fine, 0 an error; ours are kept in reading and seen by read_line. */
static int on_value(void *context, const char *section, const char *name, const char *value)
{
	struct synod_config_reading *reading = context;
	const struct synod_config_key *key;
	uint32_t *line;
	struct synod_config_setting setting = { .section = reading->section,
						.directory = reading->directory };

	(void)section; /* the reader knows */
	if (reading->failed)
		return 0;
	if (reading->section == SYNOD_SECTION_NONE) {
		synod_config_refuse(reading, reading->line,
				    "key '%.60s' stands before any section; begin with [cluster]",
				    name);
		return 0;
	}
	key = find_key(reading->section, name);
	if (!key) {
		refuse_unknown(reading, name);
		return 0;
	}
	line = &reading->key_line[key - synod_config_keys][reading->section];
	if (*line) {
		synod_config_refuse(reading, reading->line,
				    "key '%s' is here twice, first in line %u; remove one", name,
				    *line);
		return 0;
	}
	*line = reading->line;
	if (synod_config_set(reading->config, key, value, &setting))
		synod_config_refuse(reading, reading->line, "%s", setting.why);
	return !reading->failed;
}

static void set_defaults(struct synod_config *config, const char *directory)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t processors = online < 1 ? 1 : (uint32_t)online;

	snprintf(config->machine, sizeof(config->machine), "sequencer");
	snprintf(config->run_dir, sizeof(config->run_dir), "%s", directory);
	config->sessions = SYNOD_SESSIONS_DEFAULT;
	config->session_window = SYNOD_SESSION_WINDOW_MAX;
	config->mtu = 9000;
	config->memory_mb = 160;
	config->election_ms = 150;
	config->heartbeat_ms = 20;
	config->retransmit_ms = 20;
	config->journal_timeout_ms = 10000;
	config->links = 4;
	config->udp_port = 7400;
	if (processors > SYNOD_CONFIG_CORES_MAX)
		processors = SYNOD_CONFIG_CORES_MAX;
	for (uint32_t i = 0; i < SYNOD_REPLICAS_MAX; i++) {
		config->replica[i].journal_size = 1ull << 30;
		for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
			config->replica[i].core[stage] = i % processors;
	}
}

/* The directory of the file, absolute, so that a later chdir changes nothing. 0 or -errno. */
static int find_directory(const char *path, char *directory, size_t size)
{
	char *real = realpath(path, NULL);
	char *slash;

	if (!real)
		return -errno;
	slash = strrchr(real, '/');
	if (slash == real)
		slash++; /* the root keeps its name */
	*slash = 0;
	if (strlen(real) >= size) {
		free(real);
		return -ENAMETOOLONG;
	}
	memcpy(directory, real, strlen(real) + 1);
	free(real);
	return 0;
}

static int open_file(const char *path, FILE **file)
{
	struct stat status;

	*file = fopen(path, "re");
	if (!*file)
		return -errno;
	if (fstat(fileno(*file), &status) == 0 && S_ISDIR(status.st_mode)) {
		fclose(*file);
		return -EISDIR;
	}
	return 0;
}

int synod_config_load(const char *path, struct synod_config *config, char *error, size_t error_size)
{
	struct synod_config_reading reading = { .config = config,
						.error = error,
						.error_size = error_size };
	int result;

	if (error_size)
		error[0] = 0;
	memset(config, 0, sizeof(*config));
	result = open_file(path, &reading.file);
	if (result)
		goto unreadable;
	result = find_directory(path, reading.directory, sizeof(reading.directory));
	if (!result && strlen(path) >= sizeof(config->path))
		result = -ENAMETOOLONG;
	if (result) {
		fclose(reading.file);
		goto unreadable;
	}
	memcpy(config->path, path, strlen(path) + 1);
	set_defaults(config, reading.directory);
	result = ini_parse_stream(read_line, &reading, on_value, &reading);
	if (result && !reading.failed)
		synod_config_refuse(&reading, result > 0 ? (uint32_t)result : reading.line,
				    "cannot be understood; write [section], or key = value");
	if (!reading.failed && ferror(reading.file))
		synod_config_refuse(&reading, reading.line + 1, "cannot be read; check the disk");
	fclose(reading.file);
	if (!reading.failed)
		synod_config_check(&reading);
	return reading.failed ? -EINVAL : 0;

unreadable:
	snprintf(error, error_size, "%.900s: %s; give the cluster's configuration file", path,
		 strerror(-result));
	return result;
}

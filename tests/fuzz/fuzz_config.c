/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The text of a configuration: refused with one line that names file and line, or taken; and what
 * is taken can be printed and read again to the same.
 */
#include "tests/fuzz/fuzz.h"

#include "engine/base/assert.h"
#include "engine/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void remove_file(void)
{
	unlink(path);
}

/* As a file: a configuration's paths are relative to where it lies. */
static int load(const void *text, size_t size, struct synod_config *config)
{
	static int fd = -1;
	char error[SYNOD_CONFIG_ERROR_SIZE];
	int result;

	if (fd < 0) {
		snprintf(path, sizeof(path), "/tmp/synod-fuzz-config-%d", (int)getpid());
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		atexit(remove_file);
	}
	synod_assert(fd >= 0 && ftruncate(fd, 0) == 0);
	synod_assert(pwrite(fd, text, size, 0) == (ssize_t)size);
	memset(error, 'x', sizeof(error));
	result = synod_config_load(path, config, error, sizeof(error));
	synod_assert(memchr(error, '\0', sizeof(error)) != NULL);
	synod_assert_implies(result == 0, error[0] == '\0');
	synod_assert_implies(result != 0, result == -EINVAL);
	synod_assert_implies(result != 0, strncmp(error, path, strlen(path)) == 0);
	/* One line. A name may hold any byte of the text, but a line's end it cannot. */
	synod_assert(strchr(error, '\n') == NULL);
	return result;
}

/* A path that a line does not hold is the exception that config.h names. */
static int has_long_line(const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		if (length > 150)
			return 1;
		text += length + (text[length] == '\n');
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct synod_config config;
	static struct synod_config again;
	static char text[SYNOD_CONFIG_TEXT_SIZE];
	static char text_again[SYNOD_CONFIG_TEXT_SIZE];
	int length;

	if (load(data, size, &config) < 0)
		return 0;
	for (uint32_t id = 1; id <= config.replicas; id++) {
		synod_assert(synod_config_poll(&config, id) != SYNOD_POLL_AUTO);
		synod_assert_cmp(synod_config_cores(&config, id), >=, 1u);
	}
	length = synod_config_print(&config, text, sizeof(text));
	synod_assert_cmp(length, >, 0);
	synod_assert_cmp((size_t)length, ==, strlen(text));
	if (has_long_line(text))
		return 0;
	synod_assert_cmp(load(text, (size_t)length, &again), ==, 0);
	synod_assert_cmp(synod_config_print(&again, text_again, sizeof(text_again)), ==, length);
	synod_assert(strcmp(text, text_again) == 0);
	return 0;
}

void fuzz_seeds(fuzz_write write)
{
	static const char small[] = "[cluster]\nid = 7\nreplicas = 1\n"
				    "[replica 1]\njournal = 1.journal\n";
	static const char usual[] =
		"; three on one machine\n[cluster]\nid = 0x5ca1ab1e # hex\n"
		"replicas = 3\nmachine = kv\n[replica 1]\njournal = 1.journal\n"
		"[replica 2]\njournal = /j/2\n[replica 3]\njournal = 3.journal\n";
	static struct synod_config config;
	static char text[SYNOD_CONFIG_TEXT_SIZE];
	int length;

	write("small", small, sizeof(small) - 1);
	write("usual", usual, sizeof(usual) - 1);
	/* Every key there is, as it is printed. */
	synod_assert_cmp(load(usual, sizeof(usual) - 1, &config), ==, 0);
	length = synod_config_print(&config, text, sizeof(text));
	synod_assert_cmp(length, >, 0);
	write("every_key", text, (size_t)length);
}

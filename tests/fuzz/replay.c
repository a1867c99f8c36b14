/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs a fuzz target without a fuzzer.
 *
 *     replay-NAME PATH...       its seeds, as its code makes them now; then each file, or each file
 *                               of each folder
 *     replay-NAME --seeds DIR   writes the seeds there
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *seeds_to;
static unsigned int count;

static void fail(const char *what, const char *path)
{
	fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
	exit(2);
}

/* At an address of its own, of exactly that size, so that sanitizers see a read too far. */
static void run(const char *name, const void *bytes, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		fail("no memory for", name);
	fprintf(stderr, "%s\n", name); /* the last one named is the one that failed */
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	count++;
}

static void write_seed(const char *name, const void *bytes, size_t size)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", seeds_to, name);
	file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0)
		fail("cannot write", path);
}

static void run_file(const char *path)
{
	static uint8_t bytes[4 << 20];
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file)
		fail("cannot open", path);
	size = fread(bytes, 1, sizeof(bytes), file);
	if (ferror(file) || fclose(file) != 0)
		fail("cannot read", path);
	run(path, bytes, size);
}

static void run_folder(const char *path)
{
	struct dirent **entries;
	int found = scandir(path, &entries, NULL, alphasort);
	char name[8192];

	if (found < 0)
		fail("cannot list", path);
	for (int index = 0; index < found; index++) {
		snprintf(name, sizeof(name), "%s/%s", path, entries[index]->d_name);
		if (entries[index]->d_name[0] != '.')
			run_file(name);
		free(entries[index]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		seeds_to = argv[2];
		fuzz_seeds(write_seed);
		return 0;
	}
	fuzz_seeds(run);
	for (int index = 1; index < argc; index++) {
		struct stat status;

		if (stat(argv[index], &status) != 0)
			fail("cannot find", argv[index]);
		if (S_ISDIR(status.st_mode))
			run_folder(argv[index]);
		else
			run_file(argv[index]);
	}
	printf("%u inputs\n", count);
	return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/eal.h"

#include "engine/base/assert.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MEMORY_DEFAULT_MIB = 256
};

/* Appends one argument. Beyond the limits it only counts: finish tells. */
__attribute__((format(printf, 2, 3))) static void add(struct synod_eal_args *args,
						      const char *format, ...)
{
	size_t room = SYNOD_EAL_TEXT_MAX - args->text_size;
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(args->text + args->text_size, room, format, list);
	va_end(list);
	if (size < 0 || (size_t)size >= room || args->argc >= SYNOD_EAL_ARGS_MAX) {
		args->argc = SYNOD_EAL_ARGS_MAX + 1;
		return;
	}
	args->argv[args->argc++] = args->text + args->text_size;
	args->text_size += (uint32_t)size + 1;
}

static uint64_t read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t value = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64, &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

uint64_t synod_eal_hugepages_free_mib(void)
{
	static const char where[] = "/sys/kernel/mm/hugepages";
	DIR *directory = opendir(where);
	struct dirent *entry;
	uint64_t kib = 0;
	uint64_t page_kib;
	char path[512];

	if (!directory)
		return 0;
	while ((entry = readdir(directory))) {
		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &page_kib) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", where, entry->d_name);
		kib += page_kib * read_number(path);
	}
	closedir(directory);
	return kib / 1024;
}

/* --in-memory takes pages by memfd or an anonymous mapping: no mounted hugetlbfs is needed, but the
 * kernel may restrict it to root or a group. Root is the case that we know works. */
static int hugepages_usable(uint32_t memory_mib)
{
	return geteuid() == 0 && synod_eal_hugepages_free_mib() >= memory_mib;
}

/* The first CPU that this process may run on: 0 need not be among them in a container. */
static int first_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &set))
			return cpu;
	}
	return 0;
}

/* EAL puts its files in /var/run when the user is 0, which in a user namespace is nobody who may
 * write there. */
static void choose_runtime_directory(void)
{
	if (geteuid() == 0 && access("/var/run", W_OK) != 0)
		/* tidy: allow process: this file is part of programs, not of a library */
		(void)setenv("RUNTIME_DIRECTORY", "/tmp", 0);
}

static void add_extra(struct synod_eal_args *args, const char *extra)
{
	while (extra && *extra) {
		size_t blanks = strspn(extra, " \t\n");
		size_t word = strcspn(extra + blanks, " \t\n");

		if (word)
			add(args, "%.*s", (int)word, extra + blanks);
		extra += blanks + word;
	}
}

int synod_eal_build(struct synod_eal_args *args, const struct synod_eal_options *options,
		    char *error, size_t error_size)
{
	uint32_t memory = options->memory_mib ? options->memory_mib : MEMORY_DEFAULT_MIB;

	synod_assert(options->file_prefix);
	memset(args, 0, sizeof(*args));
	choose_runtime_directory();
	args->hugepages = !options->no_hugepages && hugepages_usable(memory);
	add(args, "%s", options->program ? options->program : "synod");
	add(args, "--file-prefix=%s", options->file_prefix);
	if (options->lcores)
		add(args, "--lcores=%s", options->lcores);
	else
		add(args, "--lcores=0@%d", first_cpu());
	if (args->hugepages)
		add(args, "--in-memory");
	else
		add(args, "--no-huge");
	add(args, "-m");
	add(args, "%" PRIu32, memory);
	if (options->pci_count == 0)
		add(args, "--no-pci");
	for (uint32_t i = 0; i < options->pci_count; i++) {
		add(args, "-a");
		add(args, "%s", options->pci[i]);
	}
	if (!options->telemetry)
		add(args, "--no-telemetry");
	if (!options->verbose) {
		/* Twice: drivers that are loaded later see the list in the other order. */
		add(args, "--log-level=pmd.net.memif:critical");
		add(args, "--log-level=*:error");
		add(args, "--log-level=pmd.net.memif:critical");
	}
	add_extra(args, options->extra);
	if (args->argc > SYNOD_EAL_ARGS_MAX) {
		snprintf(error, error_size, "EAL arguments: more than %d, or %d bytes",
			 SYNOD_EAL_ARGS_MAX, SYNOD_EAL_TEXT_MAX);
		return -E2BIG;
	}
	args->argv[args->argc] = NULL;
	return 0;
}

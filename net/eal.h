/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arguments that a program gives to rte_eal_init, from what the machine has: hugepages or not,
 * PCI or not. For programs only: a library never initialises EAL, its host did.
 *
 * - With enough free hugepages: --in-memory (nothing left behind in hugetlbfs). Without:
 *   --no-huge -m N, which works for everybody. (22.11 refuses the two together.)
 * - Files of a run go to $XDG_RUNTIME_DIR, or /tmp, for an ordinary user, to /var/run for root; EAL
 *   does that. The prefix keeps processes apart.
 * - Quiet: errors of EAL only. memif complains about every connection that is refused, which
 *   net/ethdev.c expects: silent.
 */
#ifndef SYNOD_NET_EAL_H
#define SYNOD_NET_EAL_H

#include <stddef.h>
#include <stdint.h>

enum {
	SYNOD_EAL_ARGS_MAX = 64,
	SYNOD_EAL_TEXT_MAX = 4096
};

struct synod_eal_options {
	const char *program;	 /* argv[0]; NULL: "synod" */
	const char *file_prefix; /* unique on the machine, for example "synod-<cluster>-<id>" */
	const char *lcores;	 /* as for --lcores: "0@2,1@3"; NULL: "0@C", C a CPU we may use */
	uint32_t memory_mib;	 /* for pools; 0: 256 */
	const char *const *pci;	 /* addresses of cards to probe; none: --no-pci */
	uint32_t pci_count;
	const char *extra; /* more arguments, separated by blanks; later ones win; may be NULL */
	int no_hugepages;  /* 1: do not use them even if there are some */
	int telemetry;	   /* 1: leave EAL's telemetry socket on */
	int verbose;	   /* 1: EAL's own log levels */
};

struct synod_eal_args {
	int argc;
	char *argv[SYNOD_EAL_ARGS_MAX + 1]; /* into text; EAL may reorder it */
	char text[SYNOD_EAL_TEXT_MAX];
	uint32_t text_size;
	int hugepages; /* 1 if used */
};

/*
 * Returns 0, or -E2BIG with one line in error. May set RUNTIME_DIRECTORY in the environment (where
 * EAL's usual one is not writable), so before threads are started.
 * Then: rte_eal_init(args->argc, args->argv).
 */
int synod_eal_build(struct synod_eal_args *args, const struct synod_eal_options *options,
		    char *error, size_t error_size) __attribute__((warn_unused_result));

/* Free hugepages of all sizes, MiB. */
uint64_t synod_eal_hugepages_free_mib(void);

#endif

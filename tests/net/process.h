/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the net tests share: processes with an EAL each, joined by memif, that send each other
 * numbered datagrams with a CRC and say through shared memory what they saw. The parent starts,
 * watches and kills them, each by its pid; none outlives it.
 */
#ifndef SYNOD_TESTS_NET_PROCESS_H
#define SYNOD_TESTS_NET_PROCESS_H

#include "engine/base/counters.h"
#include "net/net.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* Written by a process, read by its parent. */
struct report {
	_Atomic uint64_t beats; /* turns of the loop: it lives */
	_Atomic uint64_t links_up;
	_Atomic uint64_t links_down;
	_Atomic uint64_t sent;
	_Atomic uint64_t received;
	_Atomic uint64_t received_last; /* the highest sequence number */
	_Atomic uint64_t bytes;
	_Atomic uint64_t wrong; /* size, CRC or peer not as sent */
	_Atomic uint64_t smallest;
	_Atomic uint64_t largest;
	_Atomic int failed;
	_Atomic uint64_t drops;
	char error[256];
};

struct process {
	pid_t pid;
	struct report *report;
};

/* What one process does; pairs have one link, node <-> other. */
struct traffic {
	uint64_t cluster;
	uint32_t node;
	uint32_t other;
	uint32_t size_min; /* of a datagram: at least 24 */
	uint32_t size_max;
	uint32_t burst;	   /* datagrams a turn; 0: only receive */
	uint32_t chained;  /* 1: the second half stands in a shared second segment */
	uint32_t pause_us; /* after each turn; 0: yields */
	int cpu;	   /* -1: any */
	uid_t user;	   /* 0: stay who we are */
};

typedef int process_body(const void *argument, struct report *report);

uint64_t test_now_ns(void);
uint64_t test_cluster(void); /* a number that no other test uses now */

/* Forks; the child runs body and exits. */
struct process process_start(process_body *body, const void *argument);
void process_kill(struct process *process); /* SIGKILL, and waits */
int process_alive(const struct process *process);

/* EAL for a test's child; and a pool. Return 0, or -1 with report->error. */
int test_eal(const char *name, int cpu, struct report *report);
struct rte_mempool *test_pool(struct report *report);

/* One end of a memif link, in a test's child. */
struct test_link {
	uint64_t cluster;
	uint32_t node;
	uint32_t other;
	int cpu; /* -1: any */
};

/* EAL, a pool and that link. NULL with report->error. pool and counters last as long as it. */
struct synod_net *test_link_open(const struct test_link *link, struct rte_mempool **pool,
				 struct synod_counters *counters, struct report *report);

process_body run_traffic;

/* Waits until *value >= at_least, or timeout. Returns the milliseconds it took, or -1. */
int64_t wait_for(const _Atomic uint64_t *value, uint64_t at_least, uint32_t timeout_ms);

/* Exit 77, the reason on the last line. */
void skip(const char *reason) __attribute__((noreturn));

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                                \
		}                                                                               \
	} while (0)

#endif

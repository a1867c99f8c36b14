/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synodd: one replica as a process. `synodd --config FILE --id N`. Runs until SIGTERM or SIGINT
 * (exit 0), or until its disk fails (exit 1, one line). Start-up errors: one line, exit 1; wrong
 * arguments: exit 2.
 */
#include "engine/config/config.h"
#include "engine/host/replica.h"
#include "net/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

enum {
	IDLE_YIELD_NS = 1000000, /* without work before the first nap */
	IDLE_NAP_NS = 50000,
	HOGGED_NS = 500000,	  /* a yield that took so long gave the core to one who keeps it */
	HOGGED_FOR_NS = 20000000, /* and for so long naps take its place */
};

static _Atomic int stopping;

struct loop {
	struct synod_replica *replica;
	uint32_t core;
	enum synod_poll poll;
	int failed;
	uint32_t id;
	uint32_t repairs_said;
	int mends;		/* the first core's, while the journal is mended */
	uint64_t idle_since_ns; /* 0: the last turn had work */
	uint64_t hogged_until_ns;
};

static void on_signal(int number)
{
	(void)number;
	atomic_store_explicit(&stopping, 1, memory_order_relaxed);
}

static int usage(FILE *to, int status)
{
	fputs("usage: synodd --config FILE --id N\n"
	      "One replica of the cluster that FILE describes. Make its journal first:\n"
	      "  synod format --config FILE --id N\n",
	      to);
	return status;
}

static uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/*
 * A turn that found nothing. Yielding alone is not enough: threads that only yield to one another
 * can keep kernel threads of that core from running for seconds (seen on 6.18 with autogroups: two
 * loops on one core, and the disk's completions waited behind them until no leader was to be had).
 * So who has had nothing to do for a while sleeps a little between turns.
 *
 * And who yields to a thread that does not yield back waits for a whole slice, each time; who wakes
 * up is let in at once. A replica that is killed is such a thread, for the milliseconds in which
 * the kernel gives its memory back, just when the others elect another leader. (Under a leader a
 * yield may take long because the others have work; naps cost a fifth of the throughput then.)
 */
static void rest(struct loop *loop)
{
	const struct timespec nap = { .tv_nsec = IDLE_NAP_NS };
	uint64_t before_ns;
	uint64_t after_ns;

	if (loop->poll == SYNOD_POLL_SPIN)
		return;
	if (loop->poll == SYNOD_POLL_PAUSE) {
		rte_pause();
		return;
	}
	before_ns = clock_now_ns();
	if (!loop->idle_since_ns)
		loop->idle_since_ns = before_ns;
	if (before_ns - loop->idle_since_ns >= IDLE_YIELD_NS || before_ns < loop->hogged_until_ns) {
		nanosleep(&nap, NULL);
		return;
	}
	sched_yield();
	after_ns = clock_now_ns();
	if (after_ns - before_ns >= HOGGED_NS && !synod_replica_is_led(loop->replica))
		loop->hogged_until_ns = after_ns + HOGGED_FOR_NS;
}

/* A line a slot, as many as are durable by now. */
static void say_repaired(struct loop *loop)
{
	uint64_t slot;
	uint32_t from;

	while (loop->mends &&
	       synod_replica_repaired(loop->replica, loop->repairs_said, &slot, &from)) {
		fprintf(stderr,
			"synodd %" PRIu32 ": slot %" PRIu64 " repaired from replica %" PRIu32 "\n",
			loop->id, slot, from);
		loop->repairs_said++;
	}
}

/* One core's loop. Returns when told to stop or when the replica fails. */
static int run(void *argument)
{
	struct loop *loop = argument;

	prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul); /* ns; else a nap is twice as long */

	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		int work = synod_replica_poll(loop->replica, loop->core);

		if (loop->mends)
			say_repaired(loop);
		if (work < 0) {
			loop->failed = work;
			if (work != -ERESTART) /* which all are told */
				on_signal(0);  /* the other cores stop too */
			break;
		}
		if (work > 0)
			loop->idle_since_ns = 0;
		else
			rest(loop);
	}
	return loop->failed;
}

static void say_opened(uint32_t id, const struct synod_config *config,
		       const struct synod_replica_opened *opened)
{
	if (opened->slots_faulty) {
		fprintf(stderr,
			"synodd %" PRIu32 ": %" PRIu64
			" slots of the journal are corrupt: it votes for nothing until they are "
			"repaired from the others\n",
			id, opened->slots_faulty);
		return;
	}
	if (opened->slots_repaired)
		fprintf(stderr,
			"synodd %" PRIu32 ": the journal is mended, %" PRIu64
			" slots of it repaired\n",
			id, opened->slots_repaired);
	if (opened->slots_covered)
		fprintf(stderr,
			"synodd %" PRIu32 ": %" PRIu64
			" of them, which nobody's log holds any more, by a snapshot of replica "
			"%" PRIu32 "\n",
			id, opened->slots_covered, opened->covered_from);
	fprintf(stderr,
		"synodd %" PRIu32 ": %" PRIu64 " MiB of journal read in %.1f ms, %" PRIu64
		" slots replayed (position %" PRIu64 ") in %.1f ms, %" PRIu64
		" accepted beyond, promised %" PRIu64 ".%" PRIu64 ", durability %s, poll %s%s\n",
		id, opened->scan_bytes >> 20, (double)opened->scan_ns / 1e6, opened->slots_replayed,
		opened->position, (double)opened->replay_ns / 1e6, opened->suffix_slots,
		opened->promised >> 8, opened->promised & 0xff, opened->durability,
		synod_poll_name(synod_config_poll(config, id)),
		opened->registered_buffers
			? ""
			: ", buffers not registered (raise RLIMIT_MEMLOCK for a little speed)");
	if (opened->snapshot_slot)
		fprintf(stderr, "synodd %" PRIu32 ": began with the snapshot of slot %" PRIu64 "\n",
			id, opened->snapshot_slot);
	if (opened->partial_slot)
		fprintf(stderr,
			"synodd %" PRIu32 ": half a snapshot of slot %" PRIu64
			" is here: goes on at byte %" PRIu64 " of %" PRIu64
			" once a peer offers it again\n",
			id, opened->partial_slot, opened->partial_received, opened->partial_total);
	if (opened->forgetful)
		fprintf(stderr,
			"synodd %" PRIu32
			": DURABILITY NONE: this replica forgets what it promised "
			"and accepted when it ends; for comparison only, and never for data\n",
			id);
	if (opened->torn_bytes_at)
		fprintf(stderr,
			"synodd %" PRIu32 ": a torn tail at offset %" PRIu64 " was dropped\n", id,
			opened->torn_bytes_at);
}

/* The distinct cores of a replica's stages, in the order of synod_replica_cores. */
static int start_eal(const struct synod_config *config, uint32_t id, char *error, size_t error_size)
{
	const struct synod_config_replica *own = synod_config_replica(config, id);
	static struct synod_eal_args args;
	const char *pci[] = { own->pci };
	char prefix[64];
	char lcores[128] = "";
	uint32_t seen[SYNOD_STAGES_COUNT];
	uint32_t count = 0;
	struct synod_eal_options options = {
		.program = "synodd",
		.file_prefix = prefix,
		.lcores = lcores,
		.memory_mib = config->memory_mb,
		.pci = pci,
		.pci_count = own->transport == SYNOD_TRANSPORT_PCI,
		.no_hugepages = config->huge == SYNOD_HUGE_NO,
	};

	if (config->huge == SYNOD_HUGE_YES && synod_eal_hugepages_free_mib() < config->memory_mb) {
		snprintf(error, error_size,
			 "hugepages: %" PRIu64 " MiB free of %" PRIu32 " needed; write a number to "
			 "/proc/sys/vm/nr_hugepages, or set huge = auto",
			 synod_eal_hugepages_free_mib(), config->memory_mb);
		return -1;
	}
	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++) {
		uint32_t i = 0;
		size_t used = strlen(lcores);

		while (i < count && seen[i] != own->core[stage])
			i++;
		if (i < count)
			continue;
		seen[count] = own->core[stage];
		snprintf(lcores + used, sizeof(lcores) - used, "%s%" PRIu32 "@%" PRIu32,
			 count ? "," : "", count, own->core[stage]);
		count++;
	}
	snprintf(prefix, sizeof(prefix), "synod-%016" PRIx64 "-%" PRIu32, config->id, id);
	if (synod_eal_build(&args, &options, error, error_size) != 0)
		return -1;
	if (rte_eal_init(args.argc, args.argv) < 0) {
		snprintf(error, error_size,
			 "DPDK could not start (%s): is another synodd with this cluster and id "
			 "running? are cores %s there?",
			 rte_strerror(rte_errno), lcores);
		return -1;
	}
	return 0;
}

/* Until it is told to stop or fails; or -ERESTART. */
static int run_all(struct synod_replica *replica, const struct synod_config *config, uint32_t id,
		   int mends)
{
	struct loop loops[SYNOD_STAGES_COUNT] = { 0 };
	uint32_t cores[SYNOD_STAGES_COUNT];
	uint32_t count = synod_replica_cores(replica, cores);
	unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	int failed;

	for (uint32_t i = 0; i < count; i++) {
		loops[i] = (struct loop){ .replica = replica,
					  .core = cores[i],
					  .id = id,
					  .mends = mends && i == 0,
					  .poll = synod_config_poll(config, id) };
		/* The first core's loop runs here; the others on their lcores, in that order. */
		if (i > 0) {
			if (rte_eal_remote_launch(run, &loops[i], lcore) != 0) {
				fprintf(stderr, "synodd: no thread for core %" PRIu32 "\n",
					cores[i]);
				on_signal(0);
				break;
			}
			lcore = rte_get_next_lcore(lcore, 1, 0);
		}
	}
	failed = run(&loops[0]);
	rte_eal_mp_wait_lcore();
	say_repaired(&loops[0]);
	for (uint32_t i = 1; i < count; i++)
		failed = failed ? failed : loops[i].failed;
	return failed;
}

static int serve(struct synod_replica *replica, const struct synod_config *config, uint32_t id,
		 struct synod_replica_opened *opened)
{
	char error[SYNOD_CONFIG_ERROR_SIZE];
	int failed = run_all(replica, config, id, opened->slots_faulty > 0);

	/* Once, unless more goes bad meanwhile. */
	while (failed == -ERESTART && !atomic_load_explicit(&stopping, memory_order_relaxed)) {
		failed = synod_replica_resume(replica, opened, error, sizeof(error));
		if (failed) {
			fprintf(stderr, "synodd: %s\n", error);
			return 1;
		}
		say_opened(id, config, opened);
		failed = run_all(replica, config, id, opened->slots_faulty > 0);
	}
	if (failed == -ERESTART)
		return 0; /* it was told to stop; the next start finds it mended */
	if (failed)
		fprintf(stderr,
			"synodd %" PRIu32 ": stopped: %s (%" PRIu64
			" commands were answered HALTED)\n",
			id, synod_replica_error(replica), synod_replica_halted(replica));
	return failed ? 1 : 0;
}

/* 0; 2: say how it is used; 100: that was asked for; 101: an error that was told. */
static int parse(int argc, char **argv, const char **path, uint32_t *id)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "id", required_argument, NULL, 'i' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *end;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'c') {
			*path = optarg;
		} else if (option == 'i') {
			unsigned long value = strtoul(optarg, &end, 10);

			*id = *end || value > SYNOD_REPLICAS_MAX ? 0 : (uint32_t)value;
			if (!*id) {
				fprintf(stderr,
					"synodd: --id %s: give a replica's number, from 1\n",
					optarg);
				return 101;
			}
		} else {
			return option == 'h' ? 100 : 2;
		}
	}
	return *path && *id && optind == argc ? 0 : 2;
}

int main(int argc, char **argv)
{
	static struct synod_config config;
	struct synod_replica_opened opened;
	struct synod_replica *replica = NULL;
	char error[SYNOD_CONFIG_ERROR_SIZE];
	const char *path = NULL;
	uint32_t id = 0;
	int status = parse(argc, argv, &path, &id);

	if (status)
		return status == 100 ? usage(stdout, 0) : status == 101 ? 2 : usage(stderr, 2);
	status = synod_config_load(path, &config, error, sizeof(error));
	if (!status && id > config.replicas) {
		snprintf(error, sizeof(error), "%s: no [replica %" PRIu32 "]: replicas = %" PRIu32,
			 path, id, config.replicas);
		status = -1;
	}
	if (!status)
		status = start_eal(&config, id, error, sizeof(error));
	if (!status)
		status = synod_replica_open(&replica, &config, id, &opened, error, sizeof(error));
	if (status) {
		fprintf(stderr, "synodd: %s\n", error);
		return 1;
	}
	say_opened(id, &config, &opened);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	status = serve(replica, &config, id, &opened);
	synod_replica_close(replica);
	rte_eal_cleanup();
	return status;
}

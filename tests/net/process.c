/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/net/process.h"

#include "engine/base/crc32c.h"
#include "net/eal.h"
#include "net/link.h"

#include <errno.h>
#include <rte_eal.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A datagram of the test: numbered, then pattern, checked by CRC. */
struct letter {
	uint64_t sequence;
	uint32_t size;
	uint32_t from;
	uint32_t crc; /* over all of it, this field 0 */
	uint32_t reserved;
};

uint64_t test_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t test_cluster(void)
{
	static uint64_t count;

	return ((uint64_t)getpid() << 32) + (test_now_ns() & 0xffff0000) + count++;
}

struct process process_start(process_body *body, const void *argument)
{
	struct process process;
	pid_t parent = getpid();

	process.report = mmap(NULL, sizeof(*process.report), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(process.report != MAP_FAILED);
	fflush(NULL);
	process.pid = fork();
	CHECK(process.pid >= 0);
	if (process.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		process.report->failed = body(argument, process.report);
		_exit(process.report->failed ? 1 : 0);
	}
	return process;
}

void process_kill(struct process *process)
{
	if (process->pid <= 0)
		return;
	kill(process->pid, SIGKILL);
	waitpid(process->pid, NULL, 0);
	process->pid = 0;
}

int process_alive(const struct process *process)
{
	int status;
	pid_t pid = waitpid(process->pid, &status, WNOHANG);

	if (pid == 0)
		return 1;
	fprintf(stderr, "process %d ended: %s %d; %s\n", (int)process->pid,
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		process->report->error);
	return 0;
}

int test_eal(const char *name, int cpu, struct report *report)
{
	static struct synod_eal_args args;
	char lcores[32];
	struct synod_eal_options options = { .file_prefix = name, .no_hugepages = 1 };

	if (cpu >= 0) {
		snprintf(lcores, sizeof(lcores), "0@%d", cpu);
		options.lcores = lcores;
	}
	if (getenv("SYNOD_TEST_EAL"))
		options.extra = getenv("SYNOD_TEST_EAL");
	if (synod_eal_build(&args, &options, report->error, sizeof(report->error)) != 0)
		return -1;
	if (rte_eal_init(args.argc, args.argv) < 0) {
		snprintf(report->error, sizeof(report->error), "rte_eal_init failed");
		return -1;
	}
	return 0;
}

struct rte_mempool *test_pool(struct report *report)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create("test", 8191, 128, 0, SYNOD_NET_MBUF_ROOM, SOCKET_ID_ANY);

	if (!pool)
		snprintf(report->error, sizeof(report->error), "no memory for a pool");
	return pool;
}

struct synod_net *test_link_open(const struct test_link *link, struct rte_mempool **pool,
				 struct synod_counters *counters, struct report *report)
{
	static struct synod_net_config config;
	struct synod_net *net;
	char name[64];

	snprintf(name, sizeof(name), "synod-test-%d", (int)getpid());
	if (test_eal(name, link->cpu, report))
		return NULL;
	*pool = config.rx_pool = config.tx_pool = test_pool(report);
	if (!*pool)
		return NULL;
	config.port_count = 1;
	synod_link_memif(&config.ports[0], &config.peers[link->other], link->cluster, link->node,
			 link->other, 0, SYNOD_NET_UDP_PORT);
	if (synod_net_open(&net, &config, counters, report->error, sizeof(report->error)))
		return NULL;
	return net;
}

/* Whole in one buffer, or its second half in a second buffer with a reference more than it needs,
 * as a payload has that goes to several followers. */
static struct rte_mbuf *write_letter(struct rte_mempool *pool, const struct traffic *traffic,
				     uint64_t sequence, uint32_t size)
{
	uint8_t *bytes;
	struct letter letter = { .sequence = sequence, .size = size, .from = traffic->node };
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool);
	struct rte_mbuf *second = traffic->chained ? rte_pktmbuf_alloc(pool) : NULL;
	uint32_t head = traffic->chained ? sizeof(letter) : size;

	if (!first || (traffic->chained && !second)) {
		rte_pktmbuf_free(first);
		rte_pktmbuf_free(second);
		return NULL;
	}
	bytes = (uint8_t *)rte_pktmbuf_append(first, (uint16_t)head);
	memset(bytes + sizeof(letter), (int)(sequence & 0xff), head - sizeof(letter));
	memcpy(bytes, &letter, sizeof(letter));
	letter.crc = synod_crc32c(bytes, head);
	if (second) {
		uint8_t *rest = (uint8_t *)rte_pktmbuf_append(second, (uint16_t)(size - head));

		memset(rest, (int)(sequence & 0xff), size - head);
		letter.crc = synod_crc32c_more(letter.crc, rest, size - head);
		rte_pktmbuf_refcnt_update(second, 1);
		rte_pktmbuf_chain(first, second);
	}
	memcpy(bytes, &letter, sizeof(letter));
	return first;
}

static void read_letter(const struct synod_net_packet *packet, const struct traffic *traffic,
			struct report *report)
{
	struct letter letter;
	uint32_t crc;

	if (packet->size < sizeof(letter)) {
		report->wrong++;
		return;
	}
	memcpy(&letter, packet->payload, sizeof(letter));
	memset(packet->payload + offsetof(struct letter, crc), 0, 4);
	crc = synod_crc32c(packet->payload, packet->size);
	if (letter.size != packet->size || letter.crc != crc || letter.from != traffic->other ||
	    packet->peer != traffic->other)
		report->wrong++;
	report->received++;
	report->bytes += packet->size;
	if (letter.sequence > report->received_last)
		report->received_last = letter.sequence;
	if (packet->size > report->largest)
		report->largest = packet->size;
	if (report->smallest == 0 || packet->size < report->smallest)
		report->smallest = packet->size;
}

static void send_letters(struct synod_net *net, struct rte_mempool *pool,
			 const struct traffic *traffic, struct report *report)
{
	static struct rte_mbuf *shared[64];
	static uint64_t sequence;
	uint32_t spread = traffic->size_max - traffic->size_min + 1;

	for (uint32_t i = 0; i < traffic->burst; i++) {
		uint32_t size = traffic->size_min + (uint32_t)(sequence * 7919 % spread);
		struct rte_mbuf *mbuf = write_letter(pool, traffic, ++sequence, size);

		if (!mbuf)
			break;
		/* The extra reference of the second segment is given back some turns later. */
		rte_pktmbuf_free(shared[sequence % 64]);
		shared[sequence % 64] = mbuf->next;
		synod_net_send_peer(net, traffic->other, mbuf);
		report->sent++;
	}
	synod_net_flush(net);
}

static uint64_t sum_drops(const struct synod_counters *counters)
{
	uint64_t sum = 0;

	for (uint32_t i = SYNOD_DROP_FRAME_SHORT; i <= SYNOD_DROP_SEGMENTED; i++)
		sum += synod_counter_read(counters, i);
	return sum;
}

int run_traffic(const void *argument, struct report *report)
{
	const struct traffic *traffic = argument;
	const struct test_link link = { .cluster = traffic->cluster,
					.node = traffic->node,
					.other = traffic->other,
					.cpu = traffic->cpu };
	static struct synod_counters counters;
	struct synod_net_packet packets[SYNOD_NET_BURST];
	struct rte_mempool *pool;
	struct synod_net *net;
	uint64_t links_at = 0;

	if (traffic->user && (setgid(traffic->user) || setuid(traffic->user)))
		return -1;
	net = test_link_open(&link, &pool, &counters, report);
	if (!net)
		return -1;
	for (;;) {
		uint64_t now = test_now_ns();
		uint32_t count;

		if (now >= links_at) {
			synod_net_poll_links(net, now);
			links_at = now + 1000000;
			report->links_up = synod_counter_read(&counters, SYNOD_LINK_UP);
			report->links_down = synod_counter_read(&counters, SYNOD_LINK_DOWN);
			report->drops = sum_drops(&counters);
		}
		count = synod_net_receive(net, packets, SYNOD_NET_BURST);
		for (uint32_t i = 0; i < count; i++) {
			read_letter(&packets[i], traffic, report);
			rte_pktmbuf_free(packets[i].mbuf);
		}
		if (traffic->burst && synod_net_peer_up(net, traffic->other))
			send_letters(net, pool, traffic, report);
		report->beats++;
		if (traffic->pause_us)
			usleep(traffic->pause_us);
		else
			sched_yield();
	}
}

int64_t wait_for(const _Atomic uint64_t *value, uint64_t at_least, uint32_t timeout_ms)
{
	uint64_t begin = test_now_ns();
	uint64_t end = begin + timeout_ms * 1000000ull;

	while (*value < at_least) {
		if (test_now_ns() > end)
			return -1;
		usleep(500);
	}
	return (int64_t)((test_now_ns() - begin) / 1000000);
}

void skip(const char *reason)
{
	printf("skipped: %s\n", reason);
	exit(77);
}

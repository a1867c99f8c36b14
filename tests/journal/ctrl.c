/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod-ctrl: every corruption of four chosen slots on three replicas, 2^12 cases, on real files
 * (the matrix of "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). The journals
 * are written by the real writer and damaged in the file; each is then opened as a replica's start
 * opens it, and those that it refuses are repaired from the two others as they are, by the code of
 * `synod repair`.
 *
 *     synod-ctrl [--json FILE] [--dir DIR]
 *
 * Where each slot is whole on one replica at least, in 7^4 = 2,401 cases, all three must come back
 * with all that was acknowledged: four values, and the promise. In the other 1,695 a slot is lost,
 * and nothing may start. Anything else is wrong: above all a journal that starts without a slot.
 * Exits 0 only if nothing is.
 *
 * One process for each core. Files are of 1 MiB, in DIR, or else /dev/shm, or else here: what is
 * tried is what the bytes say, not the disk. tests/unit/test_journal_matrix.c is the same in
 * memory, by the pure parts.
 */
#include "engine/base/crc32c.h"
#include "engine/journal/uring.h"
#include "tools/mend.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	REPLICAS = 3,
	SLOTS = 4,
	CASES = 1 << REPLICAS * SLOTS,
	CELLS = (1 << SLOTS) - 1, /* of one replica */
	BALLOT = 257,		  /* of the records; and the promise that was made last: */
	PROMISED = BALLOT + 256,
	BODY_SIZE = 64,
	USED = 128 * 1024, /* bytes of a file, from the first, that anything is written to */
	WRONG_TOLD = 20,   /* one by one */
	WORKERS_MAX = 16,
};

enum outcome {
	RECOVERED,
	HALTED,
	WRONG,
	OUTCOMES,
};

struct healthy {
	uint64_t ticket;	   /* of its last write */
	uint8_t *bytes;		   /* of the file */
	uint64_t place[SLOTS + 1]; /* file offset of the group that holds the slot */
	uint64_t marker;	   /* of the last group */
};

/* What a worker found. */
struct tally {
	unsigned int count[OUTCOMES];
	unsigned int repairs;
};

static struct {
	char directory[256];
	char path[REPLICAS][300];
	char fresh[300];
	struct healthy healthy[REPLICAS];
	struct tally tally;
	char why[1100]; /* the present case is wrong; "": it is not */
	char device[SYNOD_DEVICE_TEXT_SIZE];
} ctrl;

static void die(const char *what, const char *text)
{
	fprintf(stderr, "synod-ctrl: %s: %s\n", what, text);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct synod_journal_identity identity_of(uint32_t index)
{
	return (struct synod_journal_identity){
		.cluster = 9, .incarnation = 1, .replica = index + 1, .replicas = REPLICAS
	};
}

static void body_of(uint64_t slot, uint8_t *body)
{
	memset(body, (int)(slot * 17), BODY_SIZE);
}

/* ---- three journals as they were before anything was damaged -------------------------------- */

/* One write after the other, each waited for: so each slot has a group of its own. */
static void write_durably(struct synod_journal *journal, struct healthy *healthy,
			  struct synod_journal_write *write)
{
	struct synod_journal_port port = synod_journal_port(journal);
	uint64_t durable = 0;
	int result;

	write->ticket = ++healthy->ticket;
	result = port.write(port.context, write, 1);
	while (result >= 0 && durable < write->ticket)
		result = port.poll(port.context, now_ns(), &durable);
	if (result < 0)
		die("cannot write", synod_journal_error(journal));
}

static void acknowledge(struct synod_journal *journal, struct healthy *healthy)
{
	struct synod_journal_write promise = { .kind = SYNOD_WRITE_PROMISE, .ballot = BALLOT };

	write_durably(journal, healthy, &promise);
	for (uint64_t slot = 1; slot <= SLOTS; slot++) {
		uint8_t body[BODY_SIZE];
		struct synod_journal_write write = { .kind = SYNOD_WRITE_RECORD,
						     .slot = slot,
						     .ballot = BALLOT,
						     .chosen_through = slot - 1,
						     .body = body };

		body_of(slot, body);
		write.value.size = BODY_SIZE;
		write.value.crc = synod_crc32c(body, BODY_SIZE);
		write_durably(journal, healthy, &write);
	}
	promise.ballot = PROMISED;
	promise.chosen_through = SLOTS;
	write_durably(journal, healthy, &promise);
}

static int note_group(void *context, const struct synod_format_group *group)
{
	struct healthy *healthy = context;

	healthy->marker = group->offset;
	for (uint64_t slot = group->slot_first; slot && slot <= group->slot_last; slot++)
		healthy->place[slot] = group->offset;
	return 0;
}

static void read_file(const char *path, uint8_t *bytes)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0 || pread(fd, bytes, SYNOD_JOURNAL_SIZE_MIN, 0) != SYNOD_JOURNAL_SIZE_MIN)
		die(path, strerror(errno));
	close(fd);
}

static void make_healthy(uint32_t index)
{
	const struct synod_journal_identity identity = identity_of(index);
	const struct synod_journal_extent extent = { .size = SYNOD_JOURNAL_SIZE_MIN };
	struct healthy *healthy = &ctrl.healthy[index];
	const struct synod_journal_visitor visitor = { .context = healthy, .group = note_group };
	struct synod_journal_options options = { .path = ctrl.path[index], .expect = &identity };
	struct synod_journal_recovery found;
	struct synod_journal *journal;
	char error[1024];

	*healthy = (struct healthy){ .bytes = malloc(SYNOD_JOURNAL_SIZE_MIN) };
	if (!healthy->bytes)
		die("memory", "none");
	if (synod_journal_format(options.path, &identity, &extent, SYNOD_JOURNAL_FORCE, error,
				 sizeof(error)) ||
	    synod_journal_open(&journal, &options, &found, error, sizeof(error)))
		die("cannot make a journal", error);
	synod_journal_device_text(synod_journal_device(journal), ctrl.device, sizeof(ctrl.device));
	acknowledge(journal, healthy);
	synod_journal_close(journal); /* with a marker */
	read_file(options.path, healthy->bytes);
	options.flags = SYNOD_JOURNAL_READ_ONLY;
	if (synod_journal_open(&journal, &options, &found, error, sizeof(error)) ||
	    synod_journal_walk(journal, &visitor))
		die("cannot read what was written", error);
	synod_journal_close(journal);
	if (found.chosen_through != SLOTS || found.promised != PROMISED)
		die("the healthy journal", "does not hold what was acknowledged");
	for (uint64_t slot = 1; slot <= SLOTS; slot++)
		if (!healthy->place[slot] || healthy->marker >= USED ||
		    healthy->place[slot] == healthy->place[slot - 1] ||
		    healthy->place[slot] == healthy->marker)
			die("the healthy journal", "has a slot without a group of its own");
}

/* ---- one case ------------------------------------------------------------------------------- */

static void write_at(int fd, const void *bytes, size_t size, uint64_t at)
{
	if (pwrite(fd, bytes, size, (off_t)at) != (ssize_t)size)
		die("cannot damage a journal", strerror(errno));
}

/* In the file: a bit of the header, a bit of the batch, no write at all, or another one's. */
static void damage(int fd, const struct healthy *healthy, uint64_t slot, unsigned int how)
{
	const uint64_t place = healthy->place[slot];
	const uint8_t *was = healthy->bytes + place;
	const size_t batch =
		sizeof(struct synod_format_group) + sizeof(struct synod_format_record) + 7;
	static const uint8_t zeros[SYNOD_BLOCK_SIZE];
	uint8_t byte;

	switch (how % 4) {
	case 0:
		byte = was[100] ^ 4;
		write_at(fd, &byte, 1, place + 100);
		break;
	case 1:
		byte = was[batch] ^ 128;
		write_at(fd, &byte, 1, place + batch);
		break;
	case 2:
		write_at(fd, zeros, sizeof(zeros), place);
		break;
	default:
		write_at(fd, healthy->bytes + healthy->marker, SYNOD_BLOCK_SIZE, place);
		break;
	}
}

static void prepare(uint32_t index, unsigned int cells)
{
	int fd = open(ctrl.path[index], O_WRONLY);

	if (fd < 0)
		die(ctrl.path[index], strerror(errno));
	write_at(fd, ctrl.healthy[index].bytes, USED, 0);
	for (uint64_t slot = 1; slot <= SLOTS; slot++)
		if (cells >> index * SLOTS & 1u << (slot - 1))
			damage(fd, &ctrl.healthy[index], slot, cells + (unsigned int)slot + index);
	close(fd);
}

static void wrong(uint32_t index, const char *what)
{
	if (!ctrl.why[0])
		snprintf(ctrl.why, sizeof(ctrl.why), "replica %u: %.1024s", index + 1, what);
}

/* Is all that was acknowledged there? */
static void compare(struct synod_journal *journal, uint32_t index,
		    const struct synod_journal_recovery *found)
{
	if (found->promised != PROMISED)
		wrong(index, "the promise is another one");
	if (found->slot_last != SLOTS || found->chosen_through > SLOTS)
		wrong(index, "there are more slots, or fewer");
	for (uint64_t slot = 1; slot <= SLOTS; slot++) {
		struct synod_journal_record record;
		uint8_t body[BODY_SIZE];

		body_of(slot, body);
		if (synod_journal_read_sync(journal, slot, &record))
			wrong(index, "a slot cannot be read");
		else if (record.slot != slot || record.value.size != BODY_SIZE ||
			 memcmp(record.body, body, BODY_SIZE) != 0)
			wrong(index, "a slot holds another value");
		else if (!record.chosen && slot > found->chosen_through)
			wrong(index, "a slot is no longer known to be chosen");
	}
}

/* As a replica starts, but for the ring. Returns 1 if it would, and judges what it would have. */
static int start(const char *path, uint32_t index)
{
	const struct synod_journal_identity identity = identity_of(index);
	const struct synod_journal_options options = { .path = path,
						       .expect = &identity,
						       .flags = SYNOD_JOURNAL_NO_URING };
	struct synod_journal_recovery found;
	struct synod_journal *journal;
	char error[1024];
	int result = synod_journal_open(&journal, &options, &found, error, sizeof(error));

	if (result == 0)
		compare(journal, index, &found);
	else if (result != -EBADMSG)
		wrong(index, error);
	synod_journal_close(journal);
	return result == 0;
}

/* Returns 1 if it could be done; then the new one is judged. */
static int repair(struct synod_mend_source *sources, uint32_t index)
{
	struct synod_mend mend;
	uint64_t slot = 0;
	int possible;
	int failed = 0;

	synod_mend_begin(&mend, &sources[index]);
	for (uint32_t other = 0; other < REPLICAS; other++)
		if (other != index)
			synod_mend_add(&mend, &sources[other]);
	possible = synod_mend_check(&mend, &slot) == SYNOD_REPAIR_POSSIBLE;
	if (possible)
		failed = synod_mend_write(&mend, ctrl.fresh);
	else if (slot < 1 || slot > SLOTS)
		wrong(index, "it is not said which slot is lost");
	if (failed)
		wrong(index, mend.error);
	synod_mend_end(&mend);
	if (failed || !possible)
		return 0;
	ctrl.tally.repairs++;
	if (!start(ctrl.fresh, index))
		wrong(index, "the repaired journal does not start");
	return 1;
}

/* Each damaged journal from the other two. Returns how many came back. */
static unsigned int repair_all(unsigned int cells)
{
	static struct synod_mend_source sources[REPLICAS];
	unsigned int back = 0;
	char error[1024];

	for (uint32_t index = 0; index < REPLICAS; index++)
		if (synod_mend_source_open(&sources[index], ctrl.path[index], error, sizeof(error)))
			die("cannot read", error);
	for (uint32_t index = 0; index < REPLICAS; index++)
		if (cells >> index * SLOTS & CELLS)
			back += (unsigned int)repair(sources, index);
	for (uint32_t index = 0; index < REPLICAS; index++)
		synod_mend_source_close(&sources[index]);
	return back;
}

/*
 * A start writes to the journal that it opens: a life begins. So all that are to be repaired are
 * repaired first: from journals as the crash left them.
 */
static enum outcome run_case(unsigned int cells)
{
	const unsigned int lost = cells & cells >> SLOTS & cells >> 2 * SLOTS & CELLS;
	unsigned int back;

	ctrl.why[0] = '\0';
	for (uint32_t index = 0; index < REPLICAS; index++)
		prepare(index, cells);
	back = repair_all(cells);
	for (uint32_t index = 0; index < REPLICAS; index++) {
		const int damaged = (cells >> index * SLOTS & CELLS) != 0;
		const int started = start(ctrl.path[index], index);

		back += (unsigned int)(started && !damaged);
		if (started == damaged)
			wrong(index, damaged ? "a damaged journal was taken for whole"
					     : "a whole journal was refused");
	}
	if (back != (lost ? 0 : REPLICAS))
		wrong(0, lost ? "a slot is lost, and a replica came back"
			      : "nothing is lost, and not all came back");
	if (ctrl.why[0])
		return WRONG;
	return lost ? HALTED : RECOVERED;
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void make_directory(const char *base)
{
	if (!base)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".";
	snprintf(ctrl.directory, sizeof(ctrl.directory), "%.200s/synod-ctrl-XXXXXX", base);
	if (!mkdtemp(ctrl.directory))
		die(ctrl.directory, strerror(errno));
	for (uint32_t index = 0; index < REPLICAS; index++)
		snprintf(ctrl.path[index], sizeof(ctrl.path[index]), "%s/%u.journal",
			 ctrl.directory, index + 1);
	snprintf(ctrl.fresh, sizeof(ctrl.fresh), "%s/repaired", ctrl.directory);
}

static void remove_directory(void)
{
	for (uint32_t index = 0; index < REPLICAS; index++)
		unlink(ctrl.path[index]);
	unlink(ctrl.fresh);
	rmdir(ctrl.directory);
}

/* Every so many-th case, in files of its own. */
static void work(unsigned int first, unsigned int step, const char *directory)
{
	make_directory(directory);
	atexit(remove_directory);
	for (uint32_t index = 0; index < REPLICAS; index++)
		make_healthy(index);
	for (unsigned int cells = first; cells < CASES; cells += step) {
		const enum outcome outcome = run_case(cells);

		if (outcome == WRONG && ctrl.tally.count[WRONG] < WRONG_TOLD)
			printf("case 0x%03x: %s\n", cells, ctrl.why);
		ctrl.tally.count[outcome]++;
	}
}

/* A worker, whose tally comes through a pipe at its end. */
static int spawn(unsigned int first, unsigned int step, const char *directory)
{
	int ends[2];
	pid_t child;

	if (pipe(ends) < 0)
		die("pipe", strerror(errno));
	child = fork();
	if (child < 0)
		die("fork", strerror(errno));
	if (child == 0) {
		close(ends[0]);
		work(first, step, directory);
		if (write(ends[1], &ctrl.tally, sizeof(ctrl.tally)) != sizeof(ctrl.tally))
			die("pipe", strerror(errno));
		exit(0);
	}
	close(ends[1]);
	return ends[0];
}

/* On what the files stand, as their journal says. */
static void find_device(const char *directory)
{
	make_directory(directory);
	make_healthy(0);
	free(ctrl.healthy[0].bytes);
	remove_directory();
}

static void run_all(const char *directory)
{
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);
	const unsigned int workers = processors < 1		? 1
				     : processors > WORKERS_MAX ? WORKERS_MAX
								: (unsigned int)processors;
	int pipes[WORKERS_MAX];

	find_device(directory);
	fflush(stdout);
	for (unsigned int worker = 0; worker < workers; worker++)
		pipes[worker] = spawn(worker, workers, directory);
	for (unsigned int worker = 0; worker < workers; worker++) {
		struct tally tally;

		if (read(pipes[worker], &tally, sizeof(tally)) != sizeof(tally))
			die("a worker", "did not come to its end");
		for (int outcome = 0; outcome < OUTCOMES; outcome++)
			ctrl.tally.count[outcome] += tally.count[outcome];
		ctrl.tally.repairs += tally.repairs;
		close(pipes[worker]);
		if (wait(NULL) < 0)
			die("wait", strerror(errno));
	}
}

static void write_json(const char *path, double seconds)
{
	FILE *file = fopen(path, "w");

	if (!file)
		die(path, strerror(errno));
	fprintf(file,
		"{\n  \"cases\": %d,\n  \"recovered\": %u,\n  \"halted\": %u,\n  \"wrong\": %u,\n"
		"  \"journals_repaired\": %u,\n  \"seconds\": %.1f,\n  \"journal\": \"%s\"\n}\n",
		CASES, ctrl.tally.count[RECOVERED], ctrl.tally.count[HALTED],
		ctrl.tally.count[WRONG], ctrl.tally.repairs, seconds, ctrl.device);
	if (fclose(file))
		die(path, strerror(errno));
}

int main(int argc, char **argv)
{
	const uint64_t start_ns = now_ns();
	const char *directory = NULL;
	const char *json = NULL;

	for (int at = 1; at < argc; at += 2) {
		if (at + 1 < argc && strcmp(argv[at], "--json") == 0)
			json = argv[at + 1];
		else if (at + 1 < argc && strcmp(argv[at], "--dir") == 0)
			directory = argv[at + 1];
		else
			die("usage", "synod-ctrl [--json FILE] [--dir DIR]");
	}
	run_all(directory);
	printf("%d cases: %u recovered, %u halted, %u wrong\n", CASES, ctrl.tally.count[RECOVERED],
	       ctrl.tally.count[HALTED], ctrl.tally.count[WRONG]);
	if (json)
		write_json(json, (double)(now_ns() - start_ns) / 1e9);
	return ctrl.tally.count[RECOVERED] == 2401 && ctrl.tally.count[HALTED] == 1695 ? 0 : 1;
}

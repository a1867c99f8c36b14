/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How long a journal takes to open: makes one, fills it through the port, and times an opening (all
 * of the log read and checked) and a reading of every slot in order (what a replay reads), beside
 * the same file read plainly with O_DIRECT, in turn.
 *
 *     synod-restart FILE MIB [ROUNDS]      FILE is made, and removed at the end
 */
#include "engine/base/crc32c.h"
#include "engine/journal/uring.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PIECE = 1 << 20
};

static const struct synod_journal_identity identity = {
	.cluster = 7, .incarnation = 1, .replica = 1, .replicas = 1
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct synod_journal *open_journal(const char *path, struct synod_journal_recovery *recovery)
{
	const struct synod_journal_options options = { .path = path, .expect = &identity };
	struct synod_journal *journal;
	char error[512];

	if (synod_journal_open(&journal, &options, recovery, error, sizeof(error))) {
		fprintf(stderr, "synod-restart: %s\n", error);
		exit(1);
	}
	return journal;
}

/* Records of full batches until the log is full. Returns bytes used. */
static uint64_t fill(const char *path)
{
	static uint8_t body[SYNOD_BATCH_SIZE_MAX];
	struct synod_journal_recovery recovery;
	struct synod_journal *journal = open_journal(path, &recovery);
	const struct synod_journal_port port = synod_journal_port(journal);
	struct synod_journal_write write = { .kind = SYNOD_WRITE_RECORD,
					     .ballot = 257,
					     .body = body };
	struct synod_journal_status status;
	uint64_t durable = 0;
	int taken = 0;

	memset(body, 'x', sizeof(body));
	write.value.size = sizeof(body);
	write.value.crc = synod_crc32c(body, sizeof(body));
	while (taken >= 0) {
		write.slot = write.ticket + 1;
		write.ticket = write.slot;
		taken = port.write(port.context, &write, 1);
		if (taken <= 0)
			write.ticket--;
		if (port.poll(port.context, 0, &durable) < 0)
			break;
	}
	while (durable < write.ticket && port.poll(port.context, 0, &durable) >= 0)
		;
	synod_journal_status(journal, &status);
	synod_journal_close(journal);
	return status.bytes_used;
}

static void say(const char *what, uint64_t bytes, double took)
{
	printf("%-28s %8.1f ms  %8.0f MiB/s\n", what, took * 1e3, (double)bytes / took / (1 << 20));
}

static void read_plainly(const char *path, uint64_t size)
{
	const int fd = open(path, O_RDONLY | O_DIRECT);
	void *piece = aligned_alloc(4096, PIECE);
	const double begin = seconds();

	for (uint64_t at = 0; fd >= 0 && piece && at < size; at += PIECE)
		if (pread(fd, piece, PIECE, (off_t)at) <= 0)
			break;
	say("plain reads of 1 MiB", size, seconds() - begin);
	free(piece);
	if (fd >= 0)
		close(fd);
}

static void restart(const char *path, uint64_t size)
{
	struct synod_journal_recovery recovery;
	struct synod_journal_record record;
	struct synod_journal *journal;
	double begin = seconds();

	journal = open_journal(path, &recovery);
	say("opened (read and checked)", size, seconds() - begin);
	begin = seconds();
	for (uint64_t slot = 1; slot <= recovery.slot_last; slot++)
		if (synod_journal_read_sync(journal, slot, &record))
			exit(1);
	say("every slot read in order", size, seconds() - begin);
	synod_journal_close(journal);
}

int main(int argc, char **argv)
{
	const struct synod_journal_extent extent = { .size = argc > 2 ? strtoull(argv[2], NULL, 10)
										<< 20
								      : 0 };
	const int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 3;
	char error[512];
	uint64_t size;

	if (!extent.size) {
		fprintf(stderr, "usage: synod-restart FILE MIB [ROUNDS]\n");
		return 2;
	}
	if (synod_journal_format(argv[1], &identity, &extent, 0, error, sizeof(error))) {
		fprintf(stderr, "synod-restart: %s\n", error);
		return 1;
	}
	size = fill(argv[1]);
	printf("%" PRIu64 " MiB of journal\n", size >> 20);
	for (int i = 0; i < rounds; i++) {
		read_plainly(argv[1], size);
		restart(argv[1], size);
	}
	unlink(argv[1]);
	return 0;
}

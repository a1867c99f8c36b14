/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into synodd by halt.sh: as soon as the file that SYNOD_SPOIL_WRITES names is there,
 * what is submitted to the disk goes to a descriptor that is none, and fails.
 */
#include <dlfcn.h>
#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

int io_uring_submit_and_get_events(struct io_uring *ring)
{
	static int (*next)(struct io_uring *);
	const char *path = getenv("SYNOD_SPOIL_WRITES");

	if (!next) /* POSIX's way around ISO C: no conversion from void * to a function */
		*(void **)(void *)&next = dlsym(RTLD_NEXT, "io_uring_submit_and_get_events");
	if (path && access(path, F_OK) == 0)
		for (unsigned int at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++)
			ring->sq.sqes[at & (ring->sq.ring_entries - 1)].fd =
				1; /* the table has one */
	return next(ring);
}

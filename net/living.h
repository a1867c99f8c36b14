/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sees early that the process at the other end of a memif link has ended.
 *
 * A process that is killed gives back its memory first, and closes its sockets only then: with the
 * quarter of a GiB that a replica has in small pages that takes the kernel 20 to 30 ms, in which
 * nothing tells the peers. But from the first moment on /proc/<pid>/statm says that it has no
 * memory. That is looked at, of peers that are silent.
 *
 *     SIGKILL   memory is given back ..................... sockets closed: memif's link goes down
 *             └ statm: 0                                   │
 *               here: ended                                └ the interrupt thread: down
 *
 * The driver keeps its control sockets to itself; net/sendmsg.c sees them when the interrupt thread
 * writes to them (note), the kernel tells whose they are, and their names which link's.
 *
 * It is a hint. Where nothing can be seen (no /proc, another PID namespace, a program without
 * net/sendmsg.c) nobody ever seems ended, and the link goes down when it does. Rejected: a robust
 * futex in a shared page (the same moment, for a file and a protocol more); a turn of the gate a
 * millisecond (sees the sockets, which is too late).
 *
 * Threads: note is called by EAL's interrupt thread, within a turn of the gate; the others by the
 * thread that has turns made (poll_links). So never at the same time. One net a process.
 */
#ifndef SYNOD_NET_LIVING_H
#define SYNOD_NET_LIVING_H

enum {
	SYNOD_LIVING_MAX = 32,	    /* links that are watched; further ones are not */
	SYNOD_LIVING_NAME_MAX = 108 /* as in struct sockaddr_un */
};

/* The driver talks over this socket: watch who is at its other end, in place of who was. */
void synod_living_note(int fd) __attribute__((weak));

/*
 * Looks at the peer of the link with that (abstract) socket name: 1 if it has surely ended, 0 if it
 * lives or cannot be seen. One system call.
 */
int synod_living_ended(const char *name);

/* The link is down, or is to be believed from now on whatever is seen. */
void synod_living_forget(const char *name);

#endif

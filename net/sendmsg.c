/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeps a process alive whose memif peer died at the wrong moment.
 *
 * A memif listener (DPDK 22.11, memif_listener_handler) accepts, registers the new descriptor with
 * EAL's interrupt thread, and says hello. If that fails, because the one who asked is gone by
 * now, it closes the descriptor and leaves it registered; the interrupt thread then finds a
 * closed descriptor among those it waits for, and panics. A killed client, or a peer that gave up
 * and asked again, would take every replica down with it (seen: eleven of 36 stops, and
 * tests/cluster/kill.sh).
 *
 * So in the interrupt thread a hello to nobody succeeds: the listener goes on, the next round reads
 * the end of that connection, and the driver lets go of it on its proper path. All other threads
 * get what the kernel says.
 *
 * Besides, net/living.h is told of these sockets, which the driver keeps to itself.
 *
 * This stands before libc's sendmsg in every program that links net_eal_dep. Not nice (net/gate.h
 * rejected
 * as much for munmap); here nothing else is in reach: the listener is static in the driver, and
 * whether somebody is still there cannot be known before accept.
 */
#include "net/gate.h"
#include "net/living.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static _Thread_local int is_interrupt_thread;

void synod_gate_mark_interrupt_thread(void)
{
	is_interrupt_thread = 1;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t size;

	if (is_interrupt_thread && synod_living_note)
		synod_living_note(fd); /* a control socket of the driver's */
	size = syscall(SYS_sendmsg, fd, message, flags);
	if (size >= 0 || errno == EINTR || errno == EAGAIN || !is_interrupt_thread)
		return size;
	size = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++)
		size += (ssize_t)message->msg_iov[i].iov_len;
	return size;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* 22.11 still calls interrupt handles experimental; they are what replaced a public struct. */
#define ALLOW_EXPERIMENTAL_API
#include "net/gate.h"

#include "engine/base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <sched.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* EAL has one interrupt thread a process, so this is one object a process. */
static struct {
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	int installed;
	int parked;  /* the interrupt thread is in the callback, or does nothing before it is */
	int allowed; /* rounds it may still begin */
	int leaving;
	int kept; /* parked, and nobody's */

	struct rte_intr_handle *handle; /* an eventfd that is always readable */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/*
 * Runs in the interrupt thread, in every round it makes: the eventfd is never read, so it is always
 * ready. Events of the same round that stand behind ours are handled after we return.
 */
static void park(void *unused)
{
	(void)unused;
	if (synod_gate_mark_interrupt_thread)
		synod_gate_mark_interrupt_thread();
	pthread_mutex_lock(&gate.lock);
	gate.parked = 1;
	pthread_cond_broadcast(&gate.changed);
	while (!gate.allowed && !gate.leaving)
		pthread_cond_wait(&gate.changed, &gate.lock);
	if (gate.allowed)
		gate.allowed--;
	gate.parked = 0;
	pthread_mutex_unlock(&gate.lock);
}

static int make_handle(void)
{
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	gate.handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_SHARED);
	if (!gate.handle) {
		close(fd);
		return -ENOMEM;
	}
	/* EXT: EAL calls back without reading the descriptor. */
	if (rte_intr_fd_set(gate.handle, fd) ||
	    rte_intr_type_set(gate.handle, RTE_INTR_HANDLE_EXT)) {
		rte_intr_instance_free(gate.handle);
		close(fd);
		return -rte_errno;
	}
	return 0;
}

static void free_handle(void)
{
	close(rte_intr_fd_get(gate.handle));
	rte_intr_instance_free(gate.handle);
	gate.handle = NULL;
}

int synod_gate_install(void)
{
	int result;

	pthread_mutex_lock(&gate.lock);
	result = gate.installed ? -EBUSY : 0;
	if (gate.kept) { /* as a net before us left it */
		gate.kept = 0;
		pthread_mutex_unlock(&gate.lock);
		return 0;
	}
	gate.installed = 1;
	pthread_mutex_unlock(&gate.lock);
	if (result)
		return result;

	gate.parked = 0;
	gate.allowed = 0;
	gate.leaving = 0;
	result = make_handle();
	if (!result) {
		result = rte_intr_callback_register(gate.handle, park, NULL);
		if (result)
			free_handle();
	}
	pthread_mutex_lock(&gate.lock);
	if (result)
		gate.installed = 0;
	while (!result && !gate.parked)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	return result;
}

void synod_gate_turn(void)
{
	synod_assert(gate.installed);
	pthread_mutex_lock(&gate.lock);
	synod_assert(gate.parked);
	gate.parked = 0;
	gate.allowed = 1;
	pthread_cond_broadcast(&gate.changed);
	/* The callback sets parked again at the end of the round, and only then: allowed is 0 by
	 * then, because it was taken when the round began. */
	while (!gate.parked || gate.allowed)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

void synod_gate_keep(void)
{
	pthread_mutex_lock(&gate.lock);
	synod_assert(gate.installed && gate.parked);
	gate.kept = 1;
	pthread_mutex_unlock(&gate.lock);
}

void synod_gate_remove(void)
{
	if (!gate.installed)
		return;
	pthread_mutex_lock(&gate.lock);
	gate.leaving = 1;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	/* -EAGAIN while the callback runs; it no longer waits, so this ends. */
	while (rte_intr_callback_unregister(gate.handle, park, NULL) == -EAGAIN)
		sched_yield();
	free_handle();
	pthread_mutex_lock(&gate.lock);
	gate.installed = 0;
	pthread_mutex_unlock(&gate.lock);
}

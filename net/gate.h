/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Keeps EAL's interrupt thread off memif ports while the data thread uses them.
 *
 * The memif driver (DPDK 22.11) handles its control sockets in EAL's interrupt thread. When a peer
 * dies that thread unmaps the rings, and nothing stops a data thread that is inside a burst on
 * them at that moment: it reads unmapped memory and the survivor dies of its peer's death. On
 * shared cores the window is wide: it is enough that the interrupt thread preempts the data thread
 * within a poll. Stopping or starting a port races with the same handler.
 *
 * So the interrupt thread is parked in a callback of ours, and the data thread lets it make a round
 * now and then, waiting outside all bursts until the round is over:
 *
 *     data thread        burst burst burst  turn ........  burst burst
 *     interrupt thread   (parked)               round      (parked)
 *
 * Price: other interrupts of the process (link state of cards, alarms) wait for the next turn, and
 * a turn is two switches of threads. Only nets with memif ports install the gate; one such net a
 * process.
 *
 * Rejected: polling link state and hoping (tests/net/test_memif_kill.c then fails within a few
 * dozen kills; testpmd crashes when its peer leaves under load); interposing munmap (a library does
 * not redefine libc); zero-copy mode (unmaps as well).
 */
#ifndef SYNOD_NET_GATE_H
#define SYNOD_NET_GATE_H

/* Registers the callback and waits until the interrupt thread is parked. To be called before any
 * memif server is there (net.c says why). Returns 0, -EBUSY (another net of this process has it),
 * or -errno. */
int synod_gate_install(void) __attribute__((warn_unused_result));

/* Lets the interrupt thread handle what is pending; returns when it is parked again. */
void synod_gate_turn(void);

/* Lets it go for good. */
void synod_gate_remove(void);

/*
 * Leaves it parked, until a net installs the gate again: where stopped memif ports remain, a peer
 * that connects to them would be served from memory that is gone, and kill the process at its end.
 */
void synod_gate_keep(void);

/*
 * Said by the interrupt thread of itself, in every round, to net/sendmsg.c, which only programs
 * link (net_eal_dep): an embedder that uses memif may link it too, or live with what it says there.
 */
void synod_gate_mark_interrupt_thread(void) __attribute__((weak));

#endif

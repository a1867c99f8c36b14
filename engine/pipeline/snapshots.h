/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots between the stages. There is one buffer for an image of the applied state, and it has
 * one owner at a time: the journal stage, which writes it to the disk or receives it from a peer,
 * and lends it to apply to save its state into it or to load its state from it.
 *
 *     taking      IDLE ─ the journal wants one ─► SAVING (apply) ─► WRITING ─ durable ─► IDLE
 *     receiving   IDLE ─ offered, not behind no more ... whole ─► WRITING_RECEIVED ─ durable ─►
 *                 LOADING (apply) ─► IDLE, and order tells the core: INSTALLED
 *                 (while the journal is mended: IDLE, and order's place is told)
 *
 * What has come of one that is being received is put away as it comes. Who starts with half of one
 * waits in IDLE for it to be offered again; if a snapshot is to be taken meanwhile, it is given up.
 *
 * Apply looks at one word a turn, between two batches, and nothing else of it is on the fast path.
 * transfer.c is the journal stage's side, apply_image.c apply's.
 */
#ifndef SYNOD_PIPELINE_SNAPSHOTS_H
#define SYNOD_PIPELINE_SNAPSHOTS_H

#include "engine/journal/fetch.h"

#include <stdatomic.h>
#include <stdint.h>

enum synod_image_task {
	SYNOD_IMAGE_NONE, /* the journal stage owns the buffer; all below is an answer */
	SYNOD_IMAGE_SAVE, /* apply's, until it has saved */
	SYNOD_IMAGE_LOAD, /* apply's, until it has loaded */
};

/* The buffer and whose it is. What is not atomic belongs to whom the task says. */
struct synod_pipeline_image {
	/* P3, R3: acquire and release on both sides: the bytes, and what stands below. */
	_Alignas(64) _Atomic uint32_t task; /* enum synod_image_task */
	int error;			    /* LOAD: 0, or why not */
	void *bytes;
	uint64_t room;
	uint64_t size; /* of what is in it */
	uint64_t slot; /* and what it stands for */
};

enum synod_transfer_phase {
	SYNOD_TRANSFER_IDLE, /* or receiving, as fetch says */
	SYNOD_TRANSFER_SAVING,
	SYNOD_TRANSFER_WRITING,
	SYNOD_TRANSFER_WRITING_RECEIVED,
	SYNOD_TRANSFER_LOADING,
};

/* The journal stage's. */
struct synod_transfer {
	uint32_t phase;	   /* enum synod_transfer_phase */
	uint32_t refused;  /* 1: the last one was larger than the journal has room for */
	uint64_t look_ns;  /* next look at what the journal wants */
	uint64_t short_ns; /* not before this for want of room alone */
	uint32_t from;	   /* who sent the last one that was received */
	uint32_t reserved;
	uint64_t kept; /* 1: the journal was told of what is being received */
	struct synod_fetch fetch;
	struct synod_fetch_server server;
};

#endif

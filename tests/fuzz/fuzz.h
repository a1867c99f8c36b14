/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target is one file: what is done with any bytes, and the seeds to begin with. Built twice:
 *
 *   with libFuzzer, by clang (-Dfuzz=true), which brings its own main: tests/fuzz/run;
 *   with replay.c in every build: the corpus and the seeds are run in the fast suite.
 *
 * What must not happen is an assertion, a sanitizer's finding, or endless work; what must hold of
 * bytes that are taken, the target asserts itself. A file that broke something goes to corpus/NAME.
 */
#ifndef SYNOD_TESTS_FUZZ_FUZZ_H
#define SYNOD_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* libFuzzer's name. The bytes may lie at any address, and nothing may be read beyond them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Gives each seed to write, which copies it: made by the code that makes the real thing. */
typedef void (*fuzz_write)(const char *name, const void *bytes, size_t size);
void fuzz_seeds(fuzz_write write);

#endif

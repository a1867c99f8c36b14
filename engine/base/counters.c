/* SPDX-License-Identifier: BSD-3-Clause */
/* Names and sentences of the counters, from the one table in counters.h. */
#include "engine/base/counters.h"

#include "engine/base/assert.h"

static const char *const names[] = {
#define NAME(symbol, name, sentence) name,
	SYNOD_COUNTERS(NAME)
#undef NAME
};

static const char *const sentences[] = {
#define SENTENCE(symbol, name, sentence) sentence,
	SYNOD_COUNTERS(SENTENCE)
#undef SENTENCE
};

const char *synod_counter_name(enum synod_counter which)
{
	synod_assert((unsigned int)which < SYNOD_COUNTERS_COUNT);
	return names[which];
}

const char *synod_counter_sentence(enum synod_counter which)
{
	synod_assert((unsigned int)which < SYNOD_COUNTERS_COUNT);
	return sentences[which];
}

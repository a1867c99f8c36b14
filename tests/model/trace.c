/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A violation in words. Depth-first search finds long ways to it, so what is not needed is left
 * out first: pieces of the trace, then single actions, as long as what remains still violates
 * something.
 */
#include "tests/model/model.h"

#include <stdlib.h>
#include <string.h>

/* The outcome of the action in the present state, or NULL if it cannot happen there. */
static const struct model_outcome *find(struct model *model, const struct model_action *action)
{
	const struct model_world *world = &model->world;
	uint32_t item = action->kind == MODEL_DELIVER ? action->argument : MODEL_NO_ITEM;
	uint32_t outcome;

	if (item && (item >= world->present_capacity || !(world->present[item] & 1)))
		return NULL;
	outcome = model_outcomes(model, world->locals[action->replica], item);
	for (; outcome && outcome != MODEL_NOTHING; outcome = model->outcome[outcome].next)
		if (memcmp(&model->outcome[outcome].action, action, sizeof(*action)) == 0)
			return model_is_beyond(model, &model->outcome[outcome])
				       ? NULL
				       : &model->outcome[outcome];
	return NULL;
}

/* Replays, passing over what cannot happen; keeps what did. 1: it still ends in a violation. */
static int replay(struct model *model, const struct model_action *actions, uint32_t count,
		  struct model_action *kept, uint32_t *kept_count)
{
	model_world_begin(model);
	*kept_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct model_outcome *outcome = find(model, &actions[i]);

		if (!outcome)
			continue;
		kept[(*kept_count)++] = actions[i];
		if (model_world_apply(model, outcome))
			return 1;
	}
	return 0;
}

void model_trace_shorten(struct model *model)
{
	uint32_t count = model->trace_count;
	struct model_action *attempt = model_grow(NULL, count, sizeof(*attempt));
	struct model_action *kept = model_grow(NULL, count, sizeof(*kept));
	char violation[MODEL_TEXT];
	uint32_t kept_count;

	memcpy(violation, model->violation, sizeof(violation));
	for (uint32_t piece = count / 2; piece; piece = piece > 1 ? piece / 2 : 0) {
		for (uint32_t at = 0; at < count;) {
			uint32_t out = piece < count - at ? piece : count - at;

			memcpy(attempt, model->trace, at * sizeof(*attempt));
			memcpy(attempt + at, model->trace + at + out,
			       (count - at - out) * sizeof(*attempt));
			if (!replay(model, attempt, count - out, kept, &kept_count)) {
				at += out;
				continue;
			}
			memcpy(model->trace, kept, kept_count * sizeof(*kept));
			memcpy(violation, model->violation, sizeof(violation));
			count = kept_count;
		}
	}
	model->trace_count = count;
	memcpy(model->violation, violation, sizeof(violation));
	free(attempt);
	free(kept);
}

void model_trace_print(struct model *model, FILE *file)
{
	model_world_begin(model);
	for (uint32_t i = 0; i < model->trace_count; i++) {
		const struct model_action *action = &model->trace[i];
		uint32_t local = model->world.locals[action->replica];
		const struct model_outcome *outcome = find(model, action);

		synod_assert(outcome != NULL);
		fprintf(file, "%8u. ", i + 1);
		model->tell = file;
		model_describe(model, local, action);
		model->tell = NULL;
		if (model_world_apply(model, outcome))
			break;
	}
	fprintf(file, "          violation: %s\n", model->violation);
}

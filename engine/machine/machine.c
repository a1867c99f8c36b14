/* SPDX-License-Identifier: BSD-3-Clause */
/* The machines by the name that a configuration gives them. */
#include "engine/machine/machine.h"

#include <string.h>

const struct synod_machine *synod_machine_find(const char *name)
{
	static const struct synod_machine *const machines[] = {
		&synod_kv_machine,
		&synod_sequencer_machine,
	};
	size_t index;

	for (index = 0; index < sizeof(machines) / sizeof(machines[0]); index++) {
		if (strcmp(machines[index]->name, name) == 0)
			return machines[index];
	}
	return NULL;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* See load_stamp.h. */
#include "bench/load_stamp.h"

#include "engine/client/queries.h"
#include "engine/journal/uring.h"

#include <stdio.h>
#include <string.h>

enum {
	TIMEOUT_NS = 500000000
};

json_t *synod_load_stamp(const struct synod_config *config, const struct synod_transport *transport)
{
	char common[SYNOD_DEVICE_TEXT_SIZE] = "";

	for (uint32_t id = 1; id <= config->replicas; id++) {
		const struct synod_query query = { .transport = transport,
						   .cluster = config->id,
						   .replica = id,
						   .timeout_ns = TIMEOUT_NS };
		struct synod_journal_device device;
		struct synod_wire_status status;
		char text[SYNOD_DEVICE_TEXT_SIZE];

		if (synod_query_status(&query, &status))
			continue;
		synod_journal_device_unpack(status.journal_device, &device);
		synod_journal_device_text(&device, text, sizeof(text));
		if (common[0] && strcmp(common, text) != 0)
			return json_string("mixed");
		snprintf(common, sizeof(common), "%s", text);
	}
	return common[0] ? json_string(common) : json_null();
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * synod kv: one operation on a cluster whose machine is kv. A get reads without the log unless told
 * otherwise: linearizably from the leader, or what a named replica has.
 */
#include "engine/client/client.h"
#include "engine/machine/kv.h"
#include "engine/wire/wire.h"
#include "tools/synod.h"
#include "tools/synod_connect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct kv {
	struct synod_config config;
	struct synod_transport transport;
	struct synod_kv_request request;
	struct synod_client_op op;
	uint64_t stale; /* replica to read from; 0: linearizable */
	uint64_t timeout_s;
	int log; /* a get through the log */
	int positions;
	uint8_t command[SYNOD_KV_COMMAND_SIZE_MAX];
	uint8_t value[SYNOD_KV_VALUE_SIZE_MAX];
};

static int set_value(const char *text, uint16_t *size, const void **value)
{
	size_t length = strlen(text);

	if (length > SYNOD_KV_VALUE_SIZE_MAX) {
		synod_tool_complain("a value of %zu bytes; at most %d fit", length,
				    (int)SYNOD_KV_VALUE_SIZE_MAX);
		return -1;
	}
	*size = (uint16_t)length;
	*value = text;
	return 0;
}

/* get KEY, put KEY VALUE, delete KEY, cas KEY EXPECTED VALUE, create KEY VALUE. 0, or -1. */
static int read_words(struct kv *kv, int count, char **words)
{
	static const struct {
		const char *name;
		uint8_t operation;
		int words;
	} verbs[] = {
		{ "get", SYNOD_KV_GET, 2 },	  { "put", SYNOD_KV_PUT, 3 },
		{ "delete", SYNOD_KV_DELETE, 2 }, { "cas", SYNOD_KV_CAS, 4 },
		{ "create", SYNOD_KV_CAS, 3 },
	};
	struct synod_kv_request *request = &kv->request;
	size_t verb = 0;

	while (verb < sizeof(verbs) / sizeof(verbs[0]) &&
	       (count < 1 || strcmp(words[0], verbs[verb].name) != 0))
		verb++;
	if (verb == sizeof(verbs) / sizeof(verbs[0]) || count != verbs[verb].words) {
		synod_tool_complain("say get KEY, put KEY VALUE, delete KEY, cas KEY EXPECTED "
				    "VALUE or create KEY VALUE; see --help");
		return -1;
	}
	if (strlen(words[1]) < 1 || strlen(words[1]) > SYNOD_KV_KEY_SIZE_MAX) {
		synod_tool_complain("a key of %zu bytes; it has 1 to %d", strlen(words[1]),
				    (int)SYNOD_KV_KEY_SIZE_MAX);
		return -1;
	}
	request->operation = verbs[verb].operation;
	request->flags = strcmp(words[0], "create") == 0 ? SYNOD_KV_ABSENT : 0;
	request->key = words[1];
	request->key_size = (uint8_t)strlen(words[1]);
	if (count == 4 && set_value(words[2], &request->expected_size, &request->expected))
		return -1;
	return count > 2 ? set_value(words[count - 1], &request->value_size, &request->value) : 0;
}

static int complain_of_status(const struct kv *kv)
{
	switch (kv->op.status) {
	case SYNOD_NOT_FOUND:
		return synod_tool_complain("NOT_FOUND: no key %s", (const char *)kv->request.key);
	case SYNOD_MISMATCH:
		return synod_tool_complain("MISMATCH: %s has another value",
					   (const char *)kv->request.key);
	case SYNOD_BAD_COMMAND:
		return synod_tool_complain("BAD_COMMAND: the cluster's machine is %s, not kv",
					   kv->config.machine);
	case SYNOD_UNKNOWN:
		return synod_tool_complain("UNKNOWN: no answer in %" PRIu64 " s; it may have been "
					   "done, or may still be",
					   kv->timeout_s);
	case SYNOD_NOT_LEADER:
		return synod_tool_complain("NOT_LEADER: nobody led for %" PRIu64
					   " s; nothing was done. See `synod status`",
					   kv->timeout_s);
	default:
		return synod_tool_complain("%s", synod_status_name(kv->op.status));
	}
}

static int print_result(const struct kv *kv)
{
	if (kv->op.status != SYNOD_OK)
		return complain_of_status(kv);
	if (kv->positions)
		printf("%" PRIu64 "\t", kv->op.position);
	if (kv->request.operation == SYNOD_KV_GET)
		fwrite(kv->value, 1, kv->op.result_size, stdout);
	else
		printf("OK");
	putchar('\n');
	return synod_tool_finish();
}

static int run(struct kv *kv, void *memory)
{
	const struct synod_client_config config = {
		.struct_size = sizeof(config),
		.replicas = kv->config.replicas,
		.cluster = kv->config.id,
		.nonce = synod_tool_random(),
		.outstanding_max = 1,
		.deadline_ns = kv->timeout_s * 1000000000ull,
	};
	struct synod_client_op *op = &kv->op;
	struct synod_client *client;
	uint64_t now_ns = synod_tool_now_ns();

	if (synod_client_init(&client, memory, &config, &kv->transport))
		return synod_tool_complain("the client takes no such cluster");
	op->data = kv->command;
	op->size = (uint32_t)synod_kv_encode(&kv->request, kv->command, sizeof(kv->command));
	op->result = kv->value;
	op->result_capacity = sizeof(kv->value);
	if (kv->request.operation == SYNOD_KV_GET && !kv->log)
		op->sort = kv->stale ? SYNOD_CLIENT_READ_STALE : SYNOD_CLIENT_READ;
	op->replica = (uint32_t)kv->stale;
	if (synod_client_submit(client, &op, 1, now_ns) != 1)
		return synod_tool_complain("the client takes no operation");
	while (synod_client_poll(client, &op, 1, now_ns) == 0) { /* ends at the deadline */
		uint64_t deadline_ns = synod_client_deadline(client);

		now_ns = synod_tool_now_ns();
		if (deadline_ns > now_ns)
			kv->transport.idle(kv->transport.context, deadline_ns - now_ns);
		now_ns = synod_tool_now_ns();
	}
	return print_result(kv);
}

static int begin(struct kv *kv)
{
	size_t size = (synod_client_size() + SYNOD_CLIENT_ALIGNMENT - 1) &
		      ~(size_t)(SYNOD_CLIENT_ALIGNMENT - 1);
	void *memory = aligned_alloc(SYNOD_CLIENT_ALIGNMENT, size);
	int result = memory ? run(kv, memory) : synod_tool_complain("no memory");

	free(memory);
	return result;
}

int synod_tool_kv(int argc, char **argv)
{
	static struct kv kv = { .timeout_s = 10 };
	const char *path = NULL;
	int udp = 0, first, operands, result;
	const struct synod_command command = {
		"kv",
		"get KEY | put KEY VALUE | delete KEY | cas KEY EXPECTED VALUE | create KEY VALUE",
		"One operation on a cluster with machine = kv.",
		"get     prints the value: linearizable, without a log write. With --stale R what\n"
		"        replica R has, however old; with --log ordered like a command\n"
		"cas     puts VALUE if the value is EXPECTED; create: if there is no such key\n"
		"Exit 1 if it was not done (NOT_FOUND, MISMATCH), or if that is not known "
		"(UNKNOWN).\n"
	};
	const struct synod_option options[] = {
		{ "config", SYNOD_OPTION_TEXT, &path, "FILE", "the cluster's configuration", 1 },
		{ "stale", SYNOD_OPTION_NUMBER, &kv.stale, "R", "get: from replica R as it stands",
		  0 },
		{ "log", SYNOD_OPTION_FLAG, &kv.log, NULL, "get: through the log", 0 },
		{ "positions", SYNOD_OPTION_FLAG, &kv.positions, NULL,
		  "print the position and a tab first; of a read, up to where it saw", 0 },
		{ "timeout", SYNOD_OPTION_NUMBER, &kv.timeout_s, "SECONDS", "in all (10)", 0 },
		{ "udp", SYNOD_OPTION_FLAG, &udp, NULL,
		  "by kernel UDP, through the replicas' doors", 0 },
		{ 0 }
	};

	result = synod_tool_parse(argc, argv, &command, options, &first, &operands);
	if (result >= 0)
		return result;
	if (read_words(&kv, operands, argv + first))
		return SYNOD_TOOL_USAGE;
	if (kv.timeout_s < 1 || kv.timeout_s > 86400 || (kv.log && kv.stale)) {
		synod_tool_complain("--timeout is from 1 to 86400 seconds, and --log excludes "
				    "--stale");
		return SYNOD_TOOL_USAGE;
	}
	result = synod_tool_load(path, &kv.config);
	if (!result && kv.stale)
		result = synod_tool_check_id(&kv.config, kv.stale, "stale");
	if (!result)
		result = synod_tool_connect(&kv.config, udp, &kv.transport);
	if (result)
		return result;
	result = begin(&kv);
	synod_tool_disconnect();
	return result;
}

/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration file: what it takes, what it says of what it does not take, and where. */
#include "engine/config/config.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "[cluster]\nid = 7\nreplicas = 1\n"
#define TAIL "[replica 1]\njournal = 1.journal\n"

static struct synod_config config;
static char error[SYNOD_CONFIG_ERROR_SIZE];
static char path[64];

static int load_bytes(const char *text, size_t size)
{
	FILE *file;
	int result;

	snprintf(path, sizeof(path), "/tmp/synod-test-config-%d", (int)getpid());
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	result = synod_config_load(path, &config, error, sizeof(error));
	unlink(path);
	return result;
}

static int load(const char *text)
{
	return load_bytes(text, strlen(text));
}

/* The text is refused, with the line named and these words somewhere in the one line of error. */
static void refused(const char *text, unsigned int line, const char *words)
{
	char place[96];

	assert_int_equal(load(text), -EINVAL);
	snprintf(place, sizeof(place), "%s:%u: ", path, line);
	if (strncmp(error, place, strlen(place)) != 0 || !strstr(error, words) ||
	    strchr(error, '\n'))
		fail_msg("expected '%s…%s…', got '%s'", place, words, error);
}

static void three_replicas_get_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(
		load("; a comment\n[cluster]\n\tid = 0x5ca1ab1e # hexadecimal\nreplicas=3\n"
		     "[replica 1]\njournal = 1.journal\n[replica 2]\njournal = /j/2\n"
		     "[replica 3]\njournal = 3.journal ; the last\n"),
		0);
	assert_string_equal(error, "");
	assert_int_equal(config.id, 0x5ca1ab1e);
	assert_int_equal(config.replicas, 3);
	assert_int_equal(config.voters, 3);
	assert_int_equal(config.quorum_prepare, 2);
	assert_int_equal(config.quorum_accept, 2);
	assert_int_equal(config.replica[2].priority, 0);
	assert_string_equal(config.machine, "sequencer");
	assert_int_equal(config.election_ms, 150);
	assert_int_equal(config.poll, SYNOD_POLL_AUTO);
	assert_int_equal(config.durability, SYNOD_WANT_DIRECT);
	assert_string_equal(config.run_dir, "/tmp");
	assert_string_equal(config.replica[0].journal, "/tmp/1.journal");
	assert_string_equal(config.replica[1].journal, "/j/2");
	assert_string_equal(config.replica[2].journal, "/tmp/3.journal");
	assert_int_equal(config.replica[0].journal_size, 1ull << 30);
	assert_int_equal(config.replica[0].core[SYNOD_STAGE_APPLY], 0);
}

static void every_key_is_taken_and_printed_back(void **state)
{
	static const char text[] =
		"[cluster]\nid = 9\nreplicas = 1\nvoters = 1\nquorum_prepare = 1\n"
		"quorum_accept = 1\nmachine = kv\nsessions = 5\nsession_window = 32\n"
		"poll = spin\nmtu = 1500\n"
		"memory_mb = 64\nrun_dir = /run/x\nhuge = no\ndurability = any\n"
		"[timing]\nelection_ms = 300\nheartbeat_ms = 30\nretransmit_ms = 40\n"
		"[clients]\nlinks = 2\nudp_port = 99\n"
		"[replica 1]\njournal = /j\njournal_size = 64M\njournal_poll = yes\n"
		"cores = egress@4 ingress@0  order@1 journal@2 apply@3\ntransport = pci\n"
		"pci = 0000:01:00.1\naddress = 10.0.0.1\n"
		"priority = 3\ndoor = af_packet:veth1\ndoor_ip = 10.91.0.1\n";
	static char printed[SYNOD_CONFIG_TEXT_SIZE];
	struct synod_config first;
	int length;

	(void)state;
	assert_int_equal(load(text), 0);
	assert_int_equal(config.replica[0].core[SYNOD_STAGE_EGRESS], 4);
	assert_int_equal(config.replica[0].core[SYNOD_STAGE_INGRESS], 0);
	assert_int_equal(config.replica[0].door_ip, 0x0a5b0001);
	assert_int_equal(config.replica[0].journal_poll, 1);
	assert_int_equal(config.session_window, 32);
	assert_int_equal(config.durability, SYNOD_WANT_ANY);
	assert_string_equal(config.replica[0].door_interface, "veth1");
	assert_int_equal(synod_config_cores(&config, 1), 5);
	first = config;
	assert_int_equal(synod_config_print(&config, printed, 100), -ENOSPC);
	length = synod_config_print(&config, printed, sizeof(printed));
	assert_int_equal(length, strlen(printed));
	assert_int_equal(load(printed), 0);
	assert_memory_equal(&first, &config, sizeof(config));
}

/* I16: or two leaders could each have a quorum that knows nothing of the other's. */
static void quorums_meet_or_are_refused(void **state)
{
	static const char tail[] = "[replica 1]\njournal = a\n[replica 2]\njournal = b\n"
				   "[replica 3]\njournal = c\n[replica 4]\njournal = d\n";
	char text[1024];

	(void)state;
	for (unsigned int voters = 1; voters <= 5; voters++)
		for (unsigned int prepare = 1; prepare <= 5; prepare++)
			for (unsigned int accept = 1; accept <= 5; accept++) {
				int fits = voters <= 4 && prepare <= voters && accept <= voters &&
					   prepare + accept > voters;

				snprintf(text, sizeof(text),
					 "[cluster]\nid = 1\nreplicas = 4\nvoters = %u\n"
					 "quorum_prepare = %u\nquorum_accept = %u\n%s",
					 voters, prepare, accept, tail);
				assert_int_equal(load(text) == 0, fits);
			}
	snprintf(text, sizeof(text), "[cluster]\nid = 1\nreplicas = 4\nvoters = 3\n%s", tail);
	assert_int_equal(load(text), 0);
	assert_int_equal(config.quorum_accept, 2);
	snprintf(text, sizeof(text), "[cluster]\nid = 1\nreplicas = 4\nquorum_accept = 2\n%s",
		 tail);
	assert_int_equal(load(text), 0);
	assert_int_equal(config.quorum_prepare, 3);
}

static void an_interface_of_the_kernel_is_taken_and_printed_back(void **state)
{
	static char printed[SYNOD_CONFIG_TEXT_SIZE];
	struct synod_config first;

	(void)state;
	assert_int_equal(
		load(HEAD TAIL "transport = af_packet\ninterface = eth1\naddress = 10.0.0.1\n"), 0);
	assert_string_equal(config.replica[0].interface, "eth1");
	first = config;
	assert_true(synod_config_print(&config, printed, sizeof(printed)) > 0);
	assert_int_equal(load(printed), 0);
	assert_memory_equal(&first, &config, sizeof(config));
}

static void an_unknown_name_is_told_with_its_line(void **state)
{
	(void)state;
	refused(HEAD "speed = 9\n" TAIL, 4, "unknown key 'speed'");
	refused("[cluter]\nid = 7\n", 1, "unknown section [cluter]");
	refused(HEAD TAIL "[replica 8]\njournal = x\n", 6, "unknown section [replica 8]");
	refused(HEAD "[journal]\n" TAIL, 4, "unknown section [journal]");
	refused("id = 7\n" HEAD TAIL, 1, "before any section");
	refused(HEAD TAIL "nonsense\n", 6, "neither [section] nor key = value");
	refused(HEAD TAIL " = 3\n", 6, "unknown key ''");
}

static void what_stands_twice_is_told_with_both_lines(void **state)
{
	(void)state;
	refused(HEAD "id = 8\n" TAIL, 4, "twice, first in line 2");
	refused(HEAD TAIL "[cluster]\n", 6, "twice, first in line 1");
}

static void what_is_missing_is_told(void **state)
{
	(void)state;
	refused("[cluster]\nreplicas = 1\n" TAIL, 1, "'id' is missing");
	refused("[cluster]\nid = 1\n" TAIL, 1, "'replicas' is missing");
	refused(HEAD "[replica 1]\ncores = 0\n", 4, "'journal' is missing");
	refused(HEAD "\n\n", 5, "[replica 1] is missing");
	refused(TAIL, 2, "[cluster] is missing");
	refused("", 1, "[cluster] is missing");
	refused(HEAD TAIL "[replica 2]\njournal = x\n", 6, "remove it or count it");
}

static void a_value_out_of_range_is_told_with_the_range(void **state)
{
	(void)state;
	refused("[cluster]\nid = 0\nreplicas = 1\n" TAIL, 2, "other than zero");
	refused("[cluster]\nid = -1\nreplicas = 1\n" TAIL, 2, "other than zero");
	refused("[cluster]\nid = 99999999999999999999\nreplicas = 1\n" TAIL, 2, "64 bits");
	refused("[cluster]\nid = 1\nreplicas = 9\n" TAIL, 3, "from 1 to 7");
	refused("[cluster]\nid = 1\nreplicas = 2\n" TAIL, 3, "even number adds no safety");
	refused(HEAD "machine = queue\n" TAIL, 4, "none of: sequencer, kv");
	refused(HEAD "poll =\n" TAIL, 4, "none of: auto");
	refused(HEAD "mtu = 9001\n" TAIL, 4, "from 576 to 9000");
	refused(HEAD "mtu = 0x 9\n" TAIL, 4, "from 576 to 9000");
	refused(HEAD TAIL "journal_size = 1Q\n", 6, "not a size");
	refused(HEAD TAIL "journal_size = 1K\n", 6, "from 16M");
	refused(HEAD TAIL "journal_size = 99999999999T\n", 6, "not a size");
	refused(HEAD TAIL "cores = 0,1\n", 6, "neither a processor");
	refused(HEAD TAIL "cores = ingress@0\n", 6, "stage order has no processor");
	refused(HEAD TAIL "cores = reply@0\n", 6, "no stage is called 'reply'");
	refused(HEAD TAIL "door = eth0\n", 6, "af_packet:INTERFACE");
	refused(HEAD TAIL "door = tap:averyveryverylongname\ndoor_ip = 1.2.3.4\n", 6,
		"15 characters");
	refused(HEAD TAIL "door_ip = 1.2.3\n", 6, "not an IPv4 address");
	refused(HEAD TAIL "transport = pci\npci = 01:00.0\n", 7, "not an address like");
}

static void what_does_not_go_together_is_told(void **state)
{
	static const char two[] = "[cluster]\nid = 7\nreplicas = 3\n[replica 1]\njournal = a\n"
				  "[replica 2]\njournal = a\n[replica 3]\njournal = b\n";

	(void)state;
	refused(two, 7, "replica 1's too");
	refused(HEAD "[timing]\nheartbeat_ms = 75\n" TAIL, 5, "under half");
	refused(HEAD "[timing]\nretransmit_ms = 150\n" TAIL, 5, "not under election_ms");
	refused(HEAD "durability = none\n" TAIL "journal_poll = yes\n", 7, "no disk to poll");
	refused(HEAD "sessions = 16384\n" TAIL, 4,
		"write session_window = 256, or sessions = 1024");
	refused(HEAD "session_window = 2048\nsessions = 2049\n" TAIL, 4, "is more than 4194304");
	refused(HEAD "session_window = 100\n" TAIL, 4,
		"no power of two; write session_window = 64");
	refused(HEAD TAIL "journal_poll = maybe\n", 6, "none of: no, yes");
	refused(HEAD TAIL "transport = pci\n", 6, "needs pci");
	refused(HEAD TAIL "pci = 0000:01:00.0\n", 6, "not transport = pci");
	refused(HEAD TAIL "transport = af_packet\naddress = 10.0.0.1\n", 6, "needs interface");
	refused(HEAD TAIL "interface = eth0\n", 6, "not transport = af_packet");
	refused(HEAD TAIL "interface = a/b\n", 6, "an interface's name");
	refused(HEAD TAIL "door = tap:x\n", 6, "needs door_ip");
	refused(HEAD TAIL "door_ip = 10.0.0.1\n", 6, "without a door");
}

static void a_file_that_is_no_text_is_refused(void **state)
{
	char bytes[8192];

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(load_bytes(bytes, sizeof(bytes)), -EINVAL);
	assert_non_null(strstr(error, ":1: line is longer"));
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(load_bytes(bytes, sizeof(bytes)), -EINVAL);
	assert_int_equal(synod_config_load("/nonexistent/x.ini", &config, error, sizeof(error)),
			 -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/x.ini: No such file"));
	assert_int_equal(synod_config_load("/tmp", &config, error, sizeof(error)), -EISDIR);
	/* A long line in front of its comment is told; a long comment is fine. */
	memset(bytes, 'y', 300);
	memcpy(bytes, "; ", 2);
	memcpy(bytes + 300, "\n" HEAD TAIL, sizeof("\n" HEAD TAIL));
	assert_int_equal(load(bytes), 0);
	memcpy(bytes, "a=", 2);
	assert_int_equal(load(bytes), -EINVAL);
	assert_non_null(strstr(error, "longer than 198"));
}

static void auto_poll_yields_where_cores_are_shared(void **state)
{
	static const char text[] = "[cluster]\nid = 7\nreplicas = 3\n"
				   "[replica 1]\njournal = a\ncores = 0\n[replica 2]\njournal = b\n"
				   "cores = 0\n[replica 3]\njournal = c\ncores = 1\n";

	(void)state;
	assert_int_equal(load(text), 0);
	assert_int_equal(synod_config_poll(&config, 1), SYNOD_POLL_YIELD);
	config.poll = SYNOD_POLL_SPIN;
	assert_int_equal(synod_config_poll(&config, 1), SYNOD_POLL_SPIN);
	assert_string_equal(synod_poll_name(synod_config_poll(&config, 1)), "spin");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_replicas_get_the_defaults),
		cmocka_unit_test(every_key_is_taken_and_printed_back),
		cmocka_unit_test(quorums_meet_or_are_refused),
		cmocka_unit_test(an_interface_of_the_kernel_is_taken_and_printed_back),
		cmocka_unit_test(an_unknown_name_is_told_with_its_line),
		cmocka_unit_test(what_stands_twice_is_told_with_both_lines),
		cmocka_unit_test(what_is_missing_is_told),
		cmocka_unit_test(a_value_out_of_range_is_told_with_the_range),
		cmocka_unit_test(what_does_not_go_together_is_told),
		cmocka_unit_test(a_file_that_is_no_text_is_refused),
		cmocka_unit_test(auto_poll_yields_where_cores_are_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One value from its text, by the kind of its key. Each function returns 0, or -EINVAL with a
 * sentence for the user: what is wrong, and what would be right.
 */
#include "engine/config/parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a value is written into, and where complaints go. */
struct value {
	const struct synod_config_key *key;
	const char *text;
	const char *directory;
	void *at;
	char *why;
	size_t why_size;
};

static int __attribute__((format(printf, 2, 3)))
refuse(const struct value *value, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(value->why, value->why_size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* Digits only (0x and hexadecimal digits too): no sign, no blanks, nothing behind. */
static int parse_u64(const char *text, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, &end,
			   text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
	if (errno)
		return -ERANGE;
	return *end ? -EINVAL : 0;
}

int synod_config_size(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	uint64_t number;
	const char *suffix;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		suffix = strchr(suffixes, toupper((unsigned char)*end));
		if (!suffix || end[1])
			return -EINVAL;
		for (; suffix >= suffixes; suffix--) { /* at most four turns */
			if (number > UINT64_MAX / 1024)
				return -ERANGE;
			number *= 1024;
		}
	}
	*bytes = number;
	return 0;
}

static int set_number(const struct value *value)
{
	uint64_t number;

	if (parse_u64(value->text, &number) || number < value->key->minimum ||
	    number > value->key->maximum)
		return refuse(value, "%s = %s is not a number from %llu to %llu", value->key->name,
			      value->text, (unsigned long long)value->key->minimum,
			      (unsigned long long)value->key->maximum);
	*(uint32_t *)value->at = (uint32_t)number;
	return 0;
}

static int set_id(const struct value *value)
{
	uint64_t number;

	if (parse_u64(value->text, &number) || number == 0)
		return refuse(value,
			      "%s = %s is not a number of 64 bits other than zero; write 0x1a2b",
			      value->key->name, value->text);
	*(uint64_t *)value->at = number;
	return 0;
}

static int set_size(const struct value *value)
{
	uint64_t bytes;

	if (synod_config_size(value->text, &bytes))
		return refuse(value,
			      "%s = %s is not a size; write bytes, or a number with K, M, G or T",
			      value->key->name, value->text);
	if (bytes < value->key->minimum || bytes > value->key->maximum || bytes % SYNOD_BLOCK_SIZE)
		return refuse(value, "%s = %s is not a multiple of 4096 from %lluM to %lluT",
			      value->key->name, value->text,
			      (unsigned long long)(value->key->minimum >> 20),
			      (unsigned long long)(value->key->maximum >> 40));
	*(uint64_t *)value->at = bytes;
	return 0;
}

/* The place of the text among the key's names, or -EINVAL with all of them said. */
static int find_name(const struct value *value)
{
	char all[128] = "";

	for (int i = 0; value->key->names[i]; i++) {
		if (!strcmp(value->text, value->key->names[i]))
			return i;
		if (i)
			strncat(all, ", ", sizeof(all) - strlen(all) - 1);
		strncat(all, value->key->names[i], sizeof(all) - strlen(all) - 1);
	}
	return refuse(value, "%s = %s is none of: %s", value->key->name, value->text, all);
}

static int set_path(const struct value *value)
{
	int size;

	if (!value->text[0])
		return refuse(value, "%s is empty; write a path", value->key->name);
	if (value->text[0] == '/')
		size = snprintf(value->at, SYNOD_CONFIG_PATH_SIZE, "%s", value->text);
	else if (!strcmp(value->text, "."))
		size = snprintf(value->at, SYNOD_CONFIG_PATH_SIZE, "%s", value->directory);
	else
		size = snprintf(value->at, SYNOD_CONFIG_PATH_SIZE, "%s/%s", value->directory,
				value->text);
	if (size >= SYNOD_CONFIG_PATH_SIZE)
		return refuse(value,
			      "%s: the whole path is longer than %d bytes; choose a shorter one",
			      value->key->name, SYNOD_CONFIG_PATH_SIZE - 1);
	return 0;
}

/* "ingress@0 order@1 …", every stage once. */
static int set_stages(const struct value *value, char *words)
{
	uint32_t *core = value->at;
	uint32_t seen = 0;
	char *rest = words;
	char *word;

	while ((word = strsep(&rest, " \t"))) { /* one turn a word of a bounded line */
		char *number = strchr(word, '@');
		uint64_t processor;
		int stage = 0;

		if (!*word)
			continue;
		if (!number)
			return refuse(value, "cores: '%s' is not STAGE@PROCESSOR", word);
		*number++ = 0;
		while (stage < SYNOD_STAGES_COUNT && strcmp(word, synod_stage_name(stage)) != 0)
			stage++;
		if (stage == SYNOD_STAGES_COUNT)
			return refuse(value,
				      "cores: no stage is called '%s'; there are ingress, "
				      "order, journal, apply, egress",
				      word);
		if (parse_u64(number, &processor) || processor > value->key->maximum)
			return refuse(value, "cores: '%s@%s': not a processor from 0 to %llu", word,
				      number, (unsigned long long)value->key->maximum);
		if (seen & (1u << stage))
			return refuse(value, "cores: stage %s is named twice", word);
		seen |= 1u << stage;
		core[stage] = (uint32_t)processor;
	}
	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
		if (!(seen & (1u << stage)))
			return refuse(value,
				      "cores: stage %s has no processor; name all five stages, "
				      "or give one number for all",
				      synod_stage_name(stage));
	return 0;
}

static int set_cores(const struct value *value)
{
	uint32_t *core = value->at;
	char words[256];
	uint64_t processor;

	if (strchr(value->text, '@')) {
		snprintf(words, sizeof(words), "%s", value->text);
		return set_stages(value, words);
	}
	if (parse_u64(value->text, &processor) || processor > value->key->maximum)
		return refuse(value,
			      "cores = %s is neither a processor from 0 to %llu nor a list like "
			      "ingress@0 order@0 journal@1 apply@1 egress@0",
			      value->text, (unsigned long long)value->key->maximum);
	for (int stage = 0; stage < SYNOD_STAGES_COUNT; stage++)
		core[stage] = (uint32_t)processor;
	return 0;
}

static int set_pci(const struct value *value)
{
	unsigned int domain, bus, device, function;
	int used = 0;

	if (sscanf(value->text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &used) !=
		    4 ||
	    value->text[used])
		return refuse(value, "pci = %s is not an address like 0000:01:00.0", value->text);
	snprintf(value->at, SYNOD_CONFIG_NAME_SIZE, "%04x:%02x:%02x.%x", domain, bus, device,
		 function);
	return 0;
}

static int set_ip(const struct value *value)
{
	struct in_addr address;
	uint32_t host;

	if (inet_pton(AF_INET, value->text, &address) != 1)
		return refuse(value, "%s = %s is not an IPv4 address like 10.91.0.1",
			      value->key->name, value->text);
	host = ntohl(address.s_addr);
	if (host == 0 || host >> 28 == 14 || host == UINT32_MAX)
		return refuse(value, "%s = %s is not the address of one host", value->key->name,
			      value->text);
	*(uint32_t *)value->at = host;
	return 0;
}

/* 0 if it can be an interface's name, else a complaint. */
static int check_interface(const struct value *value, const char *name)
{
	size_t size = strlen(name);

	if (size > 0 && size <= 15 && !strpbrk(name, " \t,/=:"))
		return 0;
	return refuse(value,
		      "%s = %s: an interface's name has 1 to 15 characters, none of them blank or "
		      "/ , = :",
		      value->key->name, value->text);
}

static int set_interface(const struct value *value)
{
	if (check_interface(value, value->text))
		return -EINVAL;
	snprintf(value->at, SYNOD_CONFIG_NAME_SIZE, "%s", value->text);
	return 0;
}

static int set_door(const struct value *value)
{
	char *base = (char *)value->at - offsetof(struct synod_config_replica, door);
	struct synod_config_replica *replica = (struct synod_config_replica *)base;
	const char *name = strchr(value->text, ':');
	size_t size = name ? (size_t)(name - value->text) : 0;

	if (size == strlen("af_packet") && !strncmp(value->text, "af_packet", size))
		replica->door = SYNOD_DOOR_AF_PACKET;
	else if (size == strlen("tap") && !strncmp(value->text, "tap", size))
		replica->door = SYNOD_DOOR_TAP;
	else
		return refuse(value, "door = %s is neither af_packet:INTERFACE nor tap:NAME",
			      value->text);
	name++;
	if (check_interface(value, name))
		return -EINVAL;
	snprintf(replica->door_interface, sizeof(replica->door_interface), "%s", name);
	return 0;
}

int synod_config_set(struct synod_config *config, const struct synod_config_key *key,
		     const char *text, struct synod_config_setting *setting)
{
	const struct value value = {
		.key = key,
		.text = text,
		.directory = setting->directory,
		.at = synod_config_at(config, key, setting->section),
		.why = setting->why,
		.why_size = sizeof(setting->why),
	};
	int index;

	switch (key->kind) {
	case SYNOD_KIND_NUMBER:
		return set_number(&value);
	case SYNOD_KIND_ID:
		return set_id(&value);
	case SYNOD_KIND_SIZE:
		return set_size(&value);
	case SYNOD_KIND_PATH:
		return set_path(&value);
	case SYNOD_KIND_CORES:
		return set_cores(&value);
	case SYNOD_KIND_PCI:
		return set_pci(&value);
	case SYNOD_KIND_INTERFACE:
		return set_interface(&value);
	case SYNOD_KIND_IP:
		return set_ip(&value);
	case SYNOD_KIND_DOOR:
		return set_door(&value);
	case SYNOD_KIND_CHOICE:
	case SYNOD_KIND_NAME:
		break;
	}
	index = find_name(&value);
	if (index < 0)
		return index;
	if (key->kind == SYNOD_KIND_CHOICE)
		*(uint32_t *)value.at = (uint32_t)index;
	else
		snprintf(value.at, SYNOD_CONFIG_NAME_SIZE, "%s", key->names[index]);
	return 0;
}

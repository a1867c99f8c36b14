/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads histories. Nothing here trusts what it reads: a line that does not fit is named. */
#include "tests/linear/history.h"

#include <jansson.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	SKIPPED = 100 /* an outcome that says: nothing was done, nothing is known */
};

struct line {
	uint64_t number;
	const json_t *object;
	char *error;
	size_t error_size;
};

static const struct {
	const char *name;
	uint8_t outcome;
} outcomes[] = {
	{ "OK", LINEAR_OK },
	{ "NOT_FOUND", LINEAR_NOT_FOUND },
	{ "MISMATCH", LINEAR_MISMATCH },
	{ "NO_SPACE", LINEAR_NO_SPACE },
	{ "UNKNOWN", LINEAR_UNKNOWN },
	{ "SESSION_EVICTED", LINEAR_UNKNOWN },
	{ "FULL", LINEAR_UNKNOWN },
	{ "STALE", LINEAR_UNKNOWN },
	{ "HALTED", LINEAR_UNKNOWN },
	{ "NOT_LEADER", SKIPPED },
	{ "BUSY", SKIPPED },
	{ "TOO_LARGE", SKIPPED },
	{ "BAD_COMMAND", SKIPPED },
};

static const char *const operations[] = {
	[LINEAR_GET] = "get",
	[LINEAR_PUT] = "put",
	[LINEAR_DELETE] = "delete",
	[LINEAR_CAS] = "cas",
};

static int wrong(const struct line *line, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int wrong(const struct line *line, const char *format, ...)
{
	va_list arguments;
	int used = snprintf(line->error, line->error_size,
			    "line %llu: ", (unsigned long long)line->number);

	va_start(arguments, format);
	vsnprintf(line->error + used, line->error_size - (size_t)used, format, arguments);
	va_end(arguments);
	return -1;
}

static void *grow(void *table, uint32_t *capacity, size_t size)
{
	*capacity = *capacity ? *capacity * 2 : 64;
	table = realloc(table, *capacity * size);
	if (!table)
		abort();
	return table;
}

static uint32_t *name_place(const struct history_names *names, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (const char *at = name; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 0x100000001b3ull;
	for (;; hash++) {
		uint32_t *place = &names->table[hash & (names->table_capacity - 1)];

		if (!*place || strcmp(names->names[*place], name) == 0)
			return place;
	}
}

static void names_grow(struct history_names *names)
{
	free(names->table);
	names->table_capacity = names->table_capacity ? names->table_capacity * 4 : 64;
	names->table = calloc(names->table_capacity, sizeof(*names->table));
	if (!names->table)
		abort();
	for (uint32_t i = 1; i <= names->count; i++)
		*name_place(names, names->names[i]) = i;
}

/* The number of a name, the same for the same name. */
static uint32_t name_number(struct history_names *names, const char *name)
{
	uint32_t *place;

	if ((names->count + 1) * 2 > names->table_capacity)
		names_grow(names);
	place = name_place(names, name);
	if (*place)
		return *place;
	if (names->count + 1 >= names->capacity)
		names->names = grow(names->names, &names->capacity, sizeof(*names->names));
	names->names[++names->count] = strdup(name);
	if (!names->names[names->count])
		abort();
	*place = names->count;
	return names->count;
}

static const char *text_of(const struct line *line, const char *member)
{
	return json_string_value(json_object_get(line->object, member));
}

/* A time: an integer that is not negative. */
static int read_time(const struct line *line, const char *member, uint64_t *time)
{
	const json_t *value = json_object_get(line->object, member);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return wrong(line, "\"%s\" is not a number of nanoseconds", member);
	*time = (uint64_t)json_integer_value(value);
	return 0;
}

/* A value: a string, or null and nothing at all, which are LINEAR_ABSENT. */
static int read_value(const struct line *line, struct history_names *names, const char *member,
		      uint32_t *number)
{
	const json_t *value = json_object_get(line->object, member);

	*number = LINEAR_ABSENT;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return wrong(line, "\"%s\" is neither a string nor null", member);
	*number = name_number(names, json_string_value(value));
	return 0;
}

static int read_kind(const struct line *line, struct linear_op *op)
{
	const char *operation = text_of(line, "operation");
	const char *outcome = text_of(line, "outcome");
	const char *read = text_of(line, "read");
	size_t i;

	for (i = 0; operation && i < 4 && strcmp(operations[i], operation) != 0; i++)
		;
	if (!operation || i == 4)
		return wrong(line, "\"operation\" is none of get, put, delete, cas");
	op->operation = (uint8_t)i;
	for (i = 0; outcome && i < sizeof(outcomes) / sizeof(outcomes[0]); i++)
		if (strcmp(outcomes[i].name, outcome) == 0)
			break;
	if (!outcome || i == sizeof(outcomes) / sizeof(outcomes[0]))
		return wrong(line, "\"outcome\" is none that an operation can have");
	op->outcome = outcomes[i].outcome;
	if (read && strcmp(read, "log") != 0 && strcmp(read, "linearizable") != 0 &&
	    strcmp(read, "stale") != 0)
		return wrong(line, "\"read\" is none of log, linearizable, stale");
	op->stale = op->operation == LINEAR_GET && read && strcmp(read, "stale") == 0;
	return 0;
}

/* What an operation can have come to, and with which values. */
static int check_sense(const struct line *line, const struct linear_op *op)
{
	int has_value = op->value != LINEAR_ABSENT;

	if (op->outcome == LINEAR_MISMATCH && op->operation != LINEAR_CAS)
		return wrong(line, "only a cas can end with MISMATCH");
	if (op->outcome == LINEAR_NOT_FOUND &&
	    (op->operation == LINEAR_PUT ||
	     (op->operation == LINEAR_CAS && op->expected == LINEAR_ABSENT)))
		return wrong(line, "what creates its key cannot end with NOT_FOUND");
	if (op->outcome == LINEAR_NO_SPACE && op->operation != LINEAR_PUT &&
	    op->operation != LINEAR_CAS)
		return wrong(line, "only a put or a cas can end with NO_SPACE");
	if ((op->operation == LINEAR_PUT || op->operation == LINEAR_CAS) && !has_value)
		return wrong(line, "a %s without a value", operations[op->operation]);
	if (op->operation == LINEAR_GET && op->outcome == LINEAR_OK && !has_value)
		return wrong(line, "a get that is OK without a value");
	if (op->operation == LINEAR_GET && op->outcome == LINEAR_NOT_FOUND && has_value)
		return wrong(line, "a get that found nothing has a value");
	return 0;
}

static int read_op(struct history *history, const struct line *line, struct linear_op *op)
{
	const char *key = text_of(line, "key");

	*op = (struct linear_op){ .answered = LINEAR_NEVER, .tag = (uint32_t)line->number };
	if (!json_is_object(line->object))
		return wrong(line, "not an object");
	if (!key)
		return wrong(line, "\"key\" is not a string");
	op->key = name_number(&history->keys, key);
	if (read_kind(line, op) || read_time(line, "invoked", &op->invoked) ||
	    read_value(line, &history->values, "value", &op->value) ||
	    read_value(line, &history->values, "expected", &op->expected))
		return -1;
	if (op->outcome == SKIPPED)
		return 0;
	if (op->outcome == LINEAR_UNKNOWN) /* whatever "answered" says: it binds nothing */
		return check_sense(line, op);
	if (read_time(line, "answered", &op->answered))
		return -1;
	if (op->answered < op->invoked)
		return wrong(line, "answered before it was invoked");
	return check_sense(line, op);
}

static int read_line(struct history *history, const char *text, struct line *line)
{
	struct linear_op op;
	json_error_t fault;
	json_t *object;
	int error;

	if (text[strspn(text, " \t\r\n")] == 0)
		return 0;
	object = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
	if (!object)
		return wrong(line, "not JSON: %s", fault.text);
	line->object = object;
	error = read_op(history, line, &op);
	json_decref(object);
	if (error || op.outcome == SKIPPED)
		return error;
	if (history->count == history->capacity)
		history->ops = grow(history->ops, &history->capacity, sizeof(*history->ops));
	history->ops[history->count++] = op;
	return 0;
}

int history_read(struct history *history, FILE *file, char *error, size_t error_size)
{
	struct line line = { .error = error, .error_size = error_size };
	char *text = NULL;
	size_t size = 0;
	int result = 0;

	memset(history, 0, sizeof(*history));
	while (result == 0 && getline(&text, &size, file) != -1) {
		line.number = ++history->lines;
		if (line.number > UINT32_MAX / 4)
			result = wrong(&line, "more lines than this can judge");
		else
			result = read_line(history, text, &line);
	}
	if (result == 0 && ferror(file)) {
		snprintf(error, error_size, "cannot be read to its end");
		result = -1;
	}
	free(text);
	return result;
}

static void names_free(struct history_names *names)
{
	for (uint32_t i = 1; i <= names->count; i++)
		free(names->names[i]);
	free(names->names);
	free(names->table);
}

void history_free(struct history *history)
{
	names_free(&history->keys);
	names_free(&history->values);
	free(history->ops);
}

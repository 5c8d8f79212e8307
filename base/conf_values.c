/* SPDX-License-Identifier: MIT */
#include "base/conf_values.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

enum { LEVEL_MIN = 1, LEVEL_MAX = 19, COPIES_MAX = 16, DATASET_NAME_MAX = 255 };

static void *field_of(const struct conf_key *key, void *section)
{
	return (char *)section + key->offset;
}

/* A decimal number of at most nine digits and nothing else. */
static bool parse_number(const char *text, size_t len, unsigned *ret)
{
	unsigned v = 0;
	if (len == 0 || len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (unsigned)(text[i] - '0');
	}
	*ret = v;
	return true;
}

static int parse_text(const struct conf_key *key, const char *value, void *section)
{
	char **field = field_of(key, section);
	if (value[0] == 0)
		return ERR_USAGE;
	*field = strdup(value);
	return *field ? 0 : ERR_NO_MEMORY;
}

static int parse_path(const struct conf_key *key, const char *value, void *section)
{
	return value[0] == '/' ? parse_text(key, value, section) : ERR_USAGE;
}

static int parse_catalog(const struct conf_key *key, const char *value, void *section)
{
	bool known = strcmp(value, "sqlite") == 0 || strncmp(value, "postgresql://", 13) == 0 ||
		     strncmp(value, "postgres://", 11) == 0;
	return known ? parse_text(key, value, section) : ERR_USAGE;
}

static int parse_list(const struct conf_key *key, const char *value, void *section)
{
	char ***field = field_of(key, section);
	unsigned *count = (unsigned *)(void *)((char *)section + key->count_offset);
	if (value[0] == 0)
		return ERR_USAGE;
	char **grown = reallocarray(*field, (size_t)*count + 1, sizeof(*grown));
	if (!grown)
		return ERR_NO_MEMORY;
	*field = grown;
	grown[*count] = strdup(value);
	if (!grown[*count])
		return ERR_NO_MEMORY;
	(*count)++;
	return 0;
}

static int parse_duration(const struct conf_key *key, const char *value, void *section)
{
	int64_t *field = field_of(key, section);
	int64_t ns;
	if (!clock_parse_duration(value, &ns) || ns == 0)
		return ERR_USAGE;
	*field = ns;
	return 0;
}

static int parse_size(const struct conf_key *key, const char *value, void *section)
{
	uint64_t *field = field_of(key, section);
	uint64_t bytes;
	if (!conf_parse_size(value, &bytes) || bytes == 0)
		return ERR_USAGE;
	*field = bytes;
	return 0;
}

static int parse_copies(const struct conf_key *key, const char *value, void *section)
{
	unsigned *field = field_of(key, section);
	unsigned n;
	if (!parse_number(value, strlen(value), &n) || n < 1 || n > COPIES_MAX)
		return ERR_USAGE;
	*field = n;
	return 0;
}

static int parse_compression(const struct conf_key *key, const char *value, void *section)
{
	int *field = field_of(key, section);
	unsigned n;
	if (strcmp(value, "off") == 0)
		n = 0;
	else if (!parse_number(value, strlen(value), &n) || n < LEVEL_MIN || n > LEVEL_MAX)
		return ERR_USAGE;
	*field = (int)n;
	return 0;
}

static int parse_commit(const struct conf_key *key, const char *value, void *section)
{
	(void)key;
	struct conf_dataset *dataset = section;
	int64_t ns = dataset->idle_ns;
	if (strcmp(value, "close") == 0)
		dataset->commit = CONF_COMMIT_CLOSE;
	else if (strcmp(value, "manual") == 0)
		dataset->commit = CONF_COMMIT_MANUAL;
	else if (strcmp(value, "idle") == 0 ||
		 (strncmp(value, "idle:", 5) == 0 && clock_parse_duration(value + 5, &ns) && ns > 0))
		dataset->commit = CONF_COMMIT_IDLE;
	else
		return ERR_USAGE;
	dataset->idle_ns = ns;
	return 0;
}

static int parse_durability(const struct conf_key *key, const char *value, void *section)
{
	static const char *const names[] = {"local", "power", "remote"};
	enum conf_durability *field = field_of(key, section);
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			*field = (enum conf_durability)i;
			return 0;
		}
	}
	return ERR_USAGE;
}

/* One word of a rule of retention, as "daily:7". */
static bool keep_word_ok(const char *word, size_t len)
{
	static const char *const names[] = {"last:", "hourly:", "daily:", "weekly:", "monthly:", "yearly:"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t n = strlen(names[i]);
		unsigned count;
		if (len > n && strncmp(word, names[i], n) == 0)
			return parse_number(word + n, len - n, &count) && count > 0;
	}
	return false;
}

/* A mistyped rule must never reach the one who deletes by it. */
static int parse_keep(const struct conf_key *key, const char *value, void *section)
{
	for (const char *p = value; *p;) {
		size_t len = strcspn(p, " \t");
		if (!keep_word_ok(p, len))
			return ERR_USAGE;
		p += len;
		p += strspn(p, " \t");
	}
	return parse_text(key, value, section);
}

#define IN_REPOSITORY(field) .scope = CONF_REPOSITORY, .offset = offsetof(struct conf, field)
#define IN_DATASET(field) .scope = CONF_DATASET, .offset = offsetof(struct conf_dataset, field)
#define TEXT .parse = parse_text, .expected = "a text that is not empty"
#define PATH .parse = parse_path, .expected = "an absolute path"
#define DURATION .parse = parse_duration, .expected = "a time as 30s, 10m, 2h or 7d"
#define PENDING .is_pending = true
#define COMMAND .is_command = true

/* clang-format off */
const struct conf_key conf_keys[CONF_KEY_COUNT] = {
	{"url", IN_REPOSITORY(url), TEXT},
	{"replica", IN_REPOSITORY(replicas), PENDING, .repeats = true,
		.count_offset = offsetof(struct conf, replica_count), .parse = parse_list, .expected = "a URL"},
	{"min_copies", IN_REPOSITORY(min_copies), PENDING, .harmless = "1",
		.parse = parse_copies, .expected = "a number from 1 to 16"},
	{"password_command", IN_REPOSITORY(password_command), COMMAND, TEXT},
	{"password_file", IN_REPOSITORY(password_file), PATH},
	{"key_file", IN_REPOSITORY(key_file), PATH},
	{"catalog", IN_REPOSITORY(catalog), PENDING, .harmless = "sqlite",
		.parse = parse_catalog, .expected = "sqlite or postgresql://…"},
	{"spool_dir", IN_REPOSITORY(spool_dir), PATH},
	{"cache_size", IN_REPOSITORY(cache_size), .parse = parse_size, .expected = "a size as 512M or 10G"},
	{"poll", IN_REPOSITORY(poll_ns), DURATION},
	{"commit", IN_DATASET(commit), .parse = parse_commit, .expected = "idle:10s, close or manual"},
	{"idle_max", IN_DATASET(idle_max_ns), DURATION},
	{"durability", IN_DATASET(durability),
		.parse = parse_durability, .expected = "local, power or remote"},
	{"keep", IN_DATASET(keep), PENDING, .parse = parse_keep,
		.expected = "words as last:3 hourly:24 daily:7 weekly:4 monthly:12 yearly:2"},
	{"rpo", IN_DATASET(rpo_ns), DURATION},
	{"rto", IN_DATASET(rto_ns), DURATION},
	{"check", IN_DATASET(check), COMMAND, TEXT},
	{"alert", IN_DATASET(alert), PENDING, COMMAND, TEXT},
	{"compression", IN_DATASET(compression), .parse = parse_compression,
		.expected = "a zstd level from 1 to 19, or off"},
	{"storage_class", IN_DATASET(storage_class), PENDING, TEXT},
	{"drill", IN_DATASET(drills), PENDING, .repeats = true,
		.count_offset = offsetof(struct conf_dataset, drill_count),
		.parse = parse_list, .expected = "a query"},
	{"drill_url", IN_DATASET(drill_url), PENDING, TEXT},
};
/* clang-format on */

const struct conf_key *conf_key_find(enum conf_scope scope, const char *name)
{
	const struct conf_key *elsewhere = NULL;
	for (size_t i = 0; i < CONF_KEY_COUNT; i++) {
		if (strcmp(conf_keys[i].name, name) != 0)
			continue;
		if (conf_keys[i].scope == scope)
			return &conf_keys[i];
		elsewhere = &conf_keys[i];
	}
	return elsewhere;
}

bool conf_dataset_name_ok(const char *name)
{
	static const char *const reserved[] = {"at", "spool", "clones"};
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (strcmp(name, reserved[i]) == 0)
			return false;
	}
	size_t len = strlen(name);
	return len > 0 && len <= DATASET_NAME_MAX && name[0] != '.' && !strchr(name, '/');
}

bool conf_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char suffixes[] = "KMGT";
	uint64_t v = 0;
	const char *p = text;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (unsigned)(*p - '0'), &v))
			return false;
	}
	if (p == text)
		return false;
	const char *suffix = *p ? strchr(suffixes, toupper((unsigned char)*p)) : NULL;
	unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
	if (suffix)
		p++;
	if (suffix && *p == 'i')
		p++;
	if (*p == 'B')
		p++;
	if (*p != 0 || __builtin_mul_overflow(v, UINT64_C(1) << shift, &v))
		return false;
	*ret_bytes = v;
	return true;
}

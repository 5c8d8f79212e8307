/* SPDX-License-Identifier: MIT */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backends/store_fault.h"

static bool parse_number(const char *text, uint64_t *ret_value)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*ret_value = value;
	return true;
}

/* One "key=number" of the variable. */
static int parse_word(const char *word, struct fault_rule *ret_rule, struct error *err)
{
	static const struct {
		const char *key;
		enum fault_kind kind;
	} keys[] = {
		{"kill-before=", FAULT_KILL_BEFORE},
		{"kill-after=", FAULT_KILL_AFTER},
		{"fail=", FAULT_FAIL},
		{"delay=", FAULT_DELAY},
	};
	uint64_t value;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t len = strlen(keys[i].key);

		if (strncmp(word, keys[i].key, len) != 0)
			continue;
		if (!parse_number(word + len, &value) || (keys[i].kind == FAULT_DELAY && value > 3600 * 1000) ||
			(keys[i].kind != FAULT_DELAY && value == 0))
			break;
		*ret_rule = (struct fault_rule){.kind = keys[i].kind, .ops = FAULT_ALL};
		if (keys[i].kind == FAULT_DELAY)
			ret_rule->delay_ms = (unsigned)value;
		else
			ret_rule->nth = value;
		return 0;
	}
	return error_set(err, ERR_USAGE,
		"DRFS_FAULT: '%s' is none of kill-before=N, kill-after=N, fail=N (from 1) and delay=MS", word);
}

int store_fault_from_env(struct store **store, struct error *err)
{
	const char *value = getenv("DRFS_FAULT");
	struct store *layer = NULL;
	struct fault_rule rules[16];
	size_t count = 0;
	char *rest = NULL;
	int rc = 0;

	if (!value || value[0] == '\0')
		return 0;
	char *text = strdup(value);
	if (!text)
		return error_no_memory(err, "DRFS_FAULT");
	for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		if (count == sizeof(rules) / sizeof(rules[0]))
			rc = error_set(err, ERR_USAGE, "DRFS_FAULT: more than %zu words", count);
		else
			rc = parse_word(word, &rules[count++], err);
		if (rc < 0)
			goto out;
	}
	rc = fault_open(*store, false, &layer, err);
	if (rc < 0)
		goto out;
	/* From here on closing *store closes the layer too, and that is the caller's, whatever happens. */
	*store = layer;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = store_fault_add(layer, &rules[i], err);
out:
	free(text);
	return rc;
}

/* SPDX-License-Identifier: MIT */
#ifndef BASE_CONF_VALUES_H
#define BASE_CONF_VALUES_H

/*
 * The keys of the configuration file: where each may stand, what it takes,
 * and whether this version acts on it. For conf_load.c alone. The table is
 * constant; the functions have no state.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/conf.h"

enum conf_scope { CONF_REPOSITORY, CONF_DATASET };

struct conf_key {
	const char *name;
	enum conf_scope scope;
	bool repeats;         /* may stand more than once */
	bool is_pending;      /* this version does not act on it yet */
	bool is_command;      /* for a shell, whose own ';' may be taken for a comment */
	const char *harmless; /* the value of a pending key that changes nothing, or NULL */
	size_t offset;        /* of the field in struct conf or struct conf_dataset */
	size_t count_offset;  /* of the count, for keys that repeat */
	/* Writes the field. 0, ERR_USAGE for a bad value, or ERR_NO_MEMORY. */
	int (*parse)(const struct conf_key *key, const char *value, void *section);
	const char *expected; /* ends "…; expected " in the message about a bad value */
};

enum { CONF_KEY_COUNT = 22 };
extern const struct conf_key conf_keys[CONF_KEY_COUNT];

/* The key of that name and place, else of that name elsewhere, else NULL. */
const struct conf_key *conf_key_find(enum conf_scope scope, const char *name);
/* May a dataset be called this? Names of the mounted tree, leading dots and slashes are not for datasets. */
bool conf_dataset_name_ok(const char *name);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_EXCLUDE_H
#define ARCHIVE_EXCLUDE_H

/*
 * Which paths a backup leaves out. Patterns as in .gitignore: without a slash
 * (but at the end) they fit a name at any depth, else the path from the source's root;
 * one that begins with a slash fits the entry's absolute path as well;
 * a slash at the end means folders only; "*" and "?" stop at a slash, "**"
 * does not; "[…]" as in the shell; "!" in front takes a name back in, as long
 * as none of its folders is left out. The last pattern that fits decides.
 * Immutable once made.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct exclude;
/* Copies the patterns. Empty ones and those that begin with '#' are passed over. */
int exclude_new(char *const *patterns, size_t count, struct exclude **ret_exclude, struct error *err);
void exclude_free(struct exclude *e); /* NULL is a no-op */
/* Whether a pattern begins with a slash, so that exclude_match() may want an absolute path. */
bool exclude_has_rooted(const struct exclude *e);
/*
 * `path` from the source's root, no slash in front. `absolute`: the same entry from the root of the file system, which
 * patterns that begin with a slash fit too; may be NULL. NULL excludes fit nothing.
 */
bool exclude_match(const struct exclude *e, const char *path, const char *absolute, bool is_dir);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_LISTING_H
#define TOOLS_LISTING_H

/* How ls, find and diff show an entry: as a line, or as JSON. */

#include <stdio.h>

#include "archive/tree.h"
#include "base/jsonout.h"

/* "-rw-r--r-- 1 user group  1234 2024-01-15 14:30 " without the name. */
void listing_long(FILE *out, const struct entry *e);
/* The name as people may see it on a terminal; exact bytes when `raw`. */
void listing_name(FILE *out, const void *name, size_t len, bool raw);
/* A text that someone else may have written, such as a label: exact bytes unless `out` is a terminal. */
void listing_text(FILE *out, const char *text);
/* type, mode, size, mtime, owners; the path as "path". */
json_t *listing_json(const struct entry *e, const void *path, size_t path_len);
/* "file", "dir", "symlink", … */
const char *listing_type(uint32_t mode);

#endif

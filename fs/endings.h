/* SPDX-License-Identifier: MIT */
#ifndef FS_ENDINGS_H
#define FS_ENDINGS_H

/*
 * Which file latest.EXT means: of a snapshot's top-level files with that
 * ending the newest, by time and then by name. An ending is all that follows
 * the first dot of a name; a name that begins with a dot has none. Found by
 * one walk over the top-level entries and then remembered for some snapshots.
 *
 * Threads: all calls by any thread; the walk holds no lock (two threads may
 * both do it).
 */

#include "fs/view.h"

enum { ENDINGS_LISTED_MAX = 256 };

struct endings;
struct endings *endings_new(void);      /* NULL without memory */
void endings_free(struct endings *all); /* NULL is a no-op */

/* The ending of a name, a pointer into it; NULL: it has none. */
const char *endings_of(const char *name);
/* The tree node of the file that the ending means. ERR_NOT_FOUND: no file has it. */
int endings_find(struct endings *all, struct view *v, const struct snapshot *s, const char *ending, uint32_t *ret_rank,
	struct error *err);
/* Calls fn for each ending, ENDINGS_LISTED_MAX at most, in order of rank; false stops. */
int endings_each(struct endings *all, struct view *v, const struct snapshot *s,
	bool (*fn)(void *arg, const char *ending, uint32_t rank), void *arg, struct error *err);

#endif

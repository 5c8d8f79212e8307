/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_DIRLIST_H
#define ARCHIVE_DIRLIST_H

/*
 * A folder's entries with their attributes, in bytewise order of name. Stat
 * calls are made in inode order, which is how they lie on disk. Up to
 * DIRLIST_BATCH entries are held in memory; a larger folder is sorted in runs
 * in an unlinked temporary file and merged while it is read, so memory does
 * not grow with it. One thread at a time.
 */

#include <sys/stat.h>

#include "base/error.h"

enum { DIRLIST_BATCH = 50000 };

struct dirlist;

/* `stat_errno` is not 0 where the entry vanished or could not be looked at; then st holds only the type bits, or 0. */
struct dirlist_entry {
	const char *name; /* valid until the next call */
	int stat_errno;
	struct stat st;
};

/* Reads all of the folder `dirfd` (borrowed; its position is used up). `path` is for messages. */
int dirlist_read(int dirfd, const char *path, struct dirlist **ret_list, struct error *err);
/* An empty list to add to; dirlist_sort() before reading. */
struct dirlist *dirlist_new(void);
int dirlist_add(struct dirlist *l, const char *name, const struct stat *st, int stat_errno, struct error *err);
int dirlist_sort(struct dirlist *l, struct error *err);
void dirlist_free(struct dirlist *l); /* NULL is a no-op */
/* Back to the first entry. */
void dirlist_rewind(struct dirlist *l);
/* *ret_entry is NULL at the end. */
int dirlist_next(struct dirlist *l, const struct dirlist_entry **ret_entry, struct error *err);

#endif

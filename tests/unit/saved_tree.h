/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SAVED_TREE_H
#define TESTS_SAVED_TREE_H

/*
 * A folder with every kind of entry, the snapshot that backup_run() makes of
 * it, and what restore_run() makes of that: for the tests of restoring and
 * checking. Everything asserts unless it returns a status; single-threaded.
 */

#include "archive/backup.h"
#include "archive/restore.h"
#include "archive_made.h"

enum { SAVED_PATH_MAX = 512 };

/* A fresh folder under the temporary one; its path in dst. */
void saved_folder(char dst[static SAVED_PATH_MAX]);
/* Removes a folder with all that is in it. */
void saved_remove(const char *path);
/* "%s/%s" */
void saved_join(char dst[static SAVED_PATH_MAX], const char *folder, const char *name);
/* Makes or replaces a file. */
void saved_write(const char *folder, const char *name, const void *data, size_t len);
bool saved_exists(const char *folder, const char *name);
/* Files of all sizes, holes, links of both kinds, a fifo, a socket, an empty folder, odd names and times, xattrs. */
void saved_make_tree(const char *folder);
/* A handful of small files, of which little is stored. */
void saved_make_small(const char *folder);
/* Fails the test, naming the entry, when the two differ in names, types, modes, owners, times, links, xattrs, holes or
 * bytes. */
void saved_expect_same(const char *a, const char *b);
/* No temporary name of a restore is left in a folder or below it. */
void saved_expect_clean(const char *folder);

/* Backs up what is in `folder` as a dataset. */
struct id saved_backup(struct repo *repo, const char *dataset, const char *folder);
/* Restores `path` of the snapshot. The status of it all; a snapshot that is not there is ERR_NOT_FOUND. */
int saved_restore(struct repo *repo, const struct id *snapshot, const char *path, const struct restore_options *options,
	struct restore_result *ret_result, struct error *err);

#endif

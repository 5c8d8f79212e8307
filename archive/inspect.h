/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_INSPECT_H
#define ARCHIVE_INSPECT_H

/*
 * The dataset's own check: a command of the configuration looks at what a
 * snapshot will hold, before it is committed, for backups by command and by
 * any other way that makes a tree. All of the tree's objects must be in the
 * store; nothing has a name yet.
 *
 * The command has DRFS_DATASET. When the tree is a single regular file, its
 * bytes as they are stored come in on stdin and DRFS_FILE is its name;
 * otherwise stdin is empty. DRFS_SOURCE has the paths that were saved, one a
 * line, where there are such. Blocks while the command runs.
 */

#include "archive/reader.h"
#include "base/verdict.h"

struct inspection {
	struct repo *repo;
	const struct tree_root *root;
	const char *command;
	const char *dataset;
	char *const *paths; /* as they were named; none: NULL with 0 */
	size_t path_count;
	verdict_stop_fn *stop; /* NULL: never */
	void *stop_arg;
};

/*
 * ERR_CANCELLED, ERR_NO_MEMORY. Whatever else keeps the command from judging (it cannot be run, or what was stored does
 * not read back) is a verdict that is not good.
 */
int inspect_tree(const struct inspection *q, struct verdict *ret_verdict, struct error *err);

#endif

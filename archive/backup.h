/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_BACKUP_H
#define ARCHIVE_BACKUP_H

/*
 * One backup run from sources to a committed snapshot. The pipeline: a walker
 * lists folders and compares with the previous tree; readers open what
 * changed; chunks go through writer.h; finished entries reach the tree's
 * builder in key order. Memory is bounded by queue lengths, never by the
 * number of files.
 */

#include "archive/seen.h"
#include "archive/snapshot.h"
#include "base/conf.h"
#include "base/progress.h"
#include "catalog/catalog.h"

/*
 * Called for what could not be saved, or changed while it was read, or is not whole. `path` is printable. By any thread
 * of the run, by several at once.
 */
typedef void backup_warn_fn(void *arg, const char *path, const char *what);

struct backup_options {
	const char *dataset;
	char *const *paths; /* sources; rsync's rule for a trailing slash */
	size_t path_count;
	int stdin_fd; /* with stdin_name: the stream to read; else -1 */
	const char *stdin_name;
	char *const *command;  /* with stdin_name: run, its stdout read; NULL-terminated; else NULL */
	char *const *excludes; /* gitignore-like patterns */
	size_t exclude_count;
	const char *const *skip_paths; /* canonical folders that are never entered: repository, cache, mounts */
	size_t skip_count;
	bool one_file_system;
	bool dry_run;
	int compression;           /* zstd level, 0 off */
	const char *check_command; /* of the dataset, after built-in checks, for sh; NULL: none. See inspect.h */
	const char *description;
	char *const *tags;
	size_t tag_count;
	struct seen *seen; /* what this host saw before: what is lost of it is told in the log. NULL: nothing */
	unsigned threads;
	backup_warn_fn *warn;
	void *warn_arg;
	struct progress *progress;  /* may be NULL */
	const volatile int *cancel; /* set by a signal handler; may be NULL */
};

struct backup_result {
	struct snapshot *snapshot; /* owned by the caller; NULL for a dry run */
	uint64_t files, dirs, others, bytes;
	uint64_t new_files, changed_files, unchanged_files;
	uint64_t new_bytes, stored_bytes;
	uint64_t skipped;   /* entries that could not be read or were too odd */
	int command_status; /* wait status of the command; 0 */
};

/*
 * Runs. 0 also when entries were skipped (result->skipped, state incomplete) or a check failed (state partial).
 * ERR_NOT_FOUND: a source does not exist; ERR_NO_SPACE; ERR_CANCELLED. After ERR_VOID it has begun anew by itself.
 */
int backup_run(struct repo *repo, struct catalog *catalog, const struct backup_options *options,
	struct backup_result *ret_result, struct error *err);

#endif

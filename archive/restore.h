/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_RESTORE_H
#define ARCHIVE_RESTORE_H

/*
 * Writes a part of a snapshot into a directory, as `rsync -a SRC/ DEST/`:
 * a directory's content and its own attributes go to DEST, a file becomes
 * DEST or goes into the folder DEST. Straight from the archive, in parallel,
 * with everything the tree holds: bytes, holes, modes, owners by name, times,
 * links, xattrs, ACLs, devices. What is equal by size and mtime is left
 * alone. Paths are opened beneath DEST with openat2(RESOLVE_BENEATH): a
 * symlink in a snapshot cannot lead out. A file is written under a temporary
 * name and renamed when whole.
 */

#include "archive/reader.h"
#include "archive/snapshot.h"
#include "base/progress.h"

/*
 * What happened to `path` (printable, relative to DEST; of "warn" with the reason behind it). Called by one thread at a
 * time, but not always by the same.
 */
typedef void restore_event_fn(void *arg, const char *what, const char *path, uint64_t bytes);

struct restore_options {
	const char *dest;
	bool delete_extra;
	bool dry_run;     /* events and sizes, nothing written */
	bool verify;      /* read back and compare after writing */
	bool checksum;    /* equal by content, not by size and mtime */
	bool numeric_ids; /* owners by number */
	bool no_owner;
	const char *map_user; /* "old:new[,old:new]", names or numbers; NULL */
	const char *map_group;
	unsigned threads;
	restore_event_fn *event; /* "write", "delete", "skip", "warn"; may be NULL */
	void *event_arg;
	struct progress *progress;
	const volatile int *cancel;
};

struct restore_result {
	uint64_t files, dirs, others, bytes; /* written or, in a dry run, to be written */
	uint64_t unchanged, deleted, warnings, verified;
	uint64_t needed_bytes; /* room that is needed at DEST beyond what is there */
};

/*
 * `path`: within the snapshot, "" for all of it. ERR_NOT_FOUND: no such path; ERR_NO_SPACE: says how much is missing,
 * before anything is written where it can be known; ERR_USAGE: DEST is no place to write to. A file whose content the
 * archive does not give (ERR_CORRUPT and the like), or that reads back wrongly, is told, left out, and the rest is
 * restored; then that error is returned. What could not be done at DEST is a warning. *ret_result is filled in after
 * a failure too: how far it came.
 */
int restore_run(struct repo *repo, struct reader *reader, const struct snapshot *snapshot, const char *path,
	const struct restore_options *options, struct restore_result *ret_result, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_MERGE_H
#define FS_SPOOL_MERGE_H

/*
 * Tells a feed what a working copy shows: the overlay's names merged with the
 * base snapshot's tree, in the order of keys. What the overlay does not touch
 * is told as stretches of the base's tree, found by rank, and costs nothing
 * however much it is; a folder that was renamed is such a stretch with
 * another prefix. Bytes of a file are told unread where some snapshot has
 * them, as changes over those where layers lie on them, else to be read.
 *
 * Left out, with a line in the snapshot's notes: files that were made and
 * never closed (the snapshot stays whole), and paths too long for an archive
 * (it is incomplete).
 *
 * Threads: merge_run() is called by a feed's walker; the readers that it
 * hands over may be called by any. All that the options name must stay until
 * feed_run() has returned. Memory: for each folder on the way down what of it
 * is still to be entered; never its files.
 */

#include <stdatomic.h>

#include "archive/feed.h"
#include "archive/reader.h"
#include "base/host.h"
#include "fs/spool/work.h"

struct merge_options {
	const struct work_frozen *frozen;
	struct reader *reader; /* for the base's tree, and what lies under layers */
	struct owners *owners; /* names of owners that the base does not know */
	/* A snapshot that content lies in; NULL: it is gone. Borrowed until feed_run() has returned. */
	const struct snapshot *(*find)(void *arg, const struct id *id);
	void *find_arg;
	/* Where content is looked for when its snapshot is gone: what this working copy made last. NULL: nowhere. */
	const struct snapshot *last;
	/* The first commit of this run: `last` may hold what a run that was killed committed and could not note. */
	bool resumed;
	atomic_uint_fast64_t *progress; /* counted up with whatever is told or read; may be NULL */
};

struct merge_sums {
	uint64_t bytes;   /* of all files told and taken over */
	uint64_t renamed; /* entries of the base that were taken over under other keys: each commit writes them anew */
};
/*
 * Tells everything; what feed_* returned otherwise. ERR_CORRUPT: the overlay does not fit together; ERR_NOT_FOUND: a
 * staged file, or the snapshot that holds bytes of a file, is gone.
 */
int merge_run(const struct merge_options *options, struct feed *f, struct merge_sums *ret_sums, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_COMMIT_H
#define FS_SPOOL_COMMIT_H

/*
 * One commit of a working copy: freeze it, feed what it shows to a backup
 * run, tell mounts, and let the working copy know that it is safe. A crash or
 * a failure anywhere is healed by committing again: a run whose outcome is
 * the same as what was committed last makes no snapshot.
 *
 * A snapshot whose bytes are less than half, or more than twice, the median
 * of the dataset's last good ones (neither partial nor damaged; up to 7, and
 * at least 3, since a dataset that is just being filled is no anomaly) is
 * kept and warned about: in the log, in its notes, in the outcome. The median
 * does not move by one odd snapshot, and a factor of two lets a dump grow by
 * half overnight in silence but not lose half of itself. What differs by less
 * than a MiB is no news by any factor: small files come and go.
 *
 * Threads: commits of different working copies at once; one of each. No lock is held.
 */

#include "archive/snapset.h"
#include "fs/spool/merge.h"

enum { COMMIT_MEDIAN_MOST = 7, COMMIT_MEDIAN_LEAST = 3, COMMIT_FACTOR = 2, COMMIT_FLOOR = 1 << 20 };

struct commit_options {
	struct repo *repo;
	struct catalog *catalog; /* may be NULL */
	struct reader *reader;
	struct work *work;
	const struct snapset *set; /* as known now: history, and others' snapshots */
	const struct snapshot
		*last; /* what this working copy made last, if it is known; else it is looked for in `set` */
	const struct snapshot *(*find)(void *arg, const struct id *id); /* as in merge.h */
	void *find_arg;
	int compression;
	const char *check_command; /* NULL: none */
	const char *description;   /* NULL: none */
	char *const *tags;
	size_t tag_count;
	/* The snapshot stands, and mounts are to show it; called before the working copy forgets anything. May be NULL.
	 */
	void (*made)(void *arg, const struct snapshot *snapshot);
	void *made_arg;
	atomic_uint_fast64_t *progress; /* counted up with each step; may be NULL */
	const volatile int *cancel;     /* may be NULL */
	struct log *log;
};

struct commit_result {
	struct snapshot *snapshot; /* owned by the caller; NULL: nothing had changed */
	uint64_t change;           /* what was committed: all up to this change */
	uint64_t weight;           /* of the overlay: inodes, and entries that are written anew for being renamed */
	char *size_warning;        /* owned; NULL: its size is nothing unusual */
	char *crossed;             /* owned: the host whose newer snapshot this one does not build on; NULL: none */
};
void commit_result_release(struct commit_result *r);

/*
 * Runs. What was made stands in *ret_result also when 0 is not returned (the snapshot is there, but the working copy
 * could not note it): *ret_result is always to be released.
 */
int commit_run(const struct commit_options *options, struct commit_result *ret_result, struct error *err);

/* Why a snapshot is not whole: what checks found bad, or what is missing, in one line. The caller frees; NULL: it is
 * whole, or there is no memory. */
char *commit_reason(const struct snapshot *snapshot);
/* The median that sizes are held against; false when there are too few snapshots to tell. */
bool commit_median(const struct snapset *set, const char *dataset, uint64_t *ret_bytes);
/* What a working copy on `base` (NULL: none) made last, as far as `set` shows; NULL: nothing. */
const struct snapshot *commit_last(
	const struct repo *repo, const struct snapset *set, const char *dataset, const struct snapshot *base);

#endif

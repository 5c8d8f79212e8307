/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_HOLD_H
#define FS_SPOOL_HOLD_H

/*
 * Keeps the base of a working copy from being pruned: a hold mark, put at the
 * first write and lifted when the working copy has moved on. That it was put
 * stands in the file `hold` of the working copy's folder, so that it is
 * lifted after a restart too.
 *
 * Threads: one at a time for each working copy. Failure: nothing here stops
 * anyone; a slot without the right, or a store that fails, is said in the log.
 */

#include "archive/snapshot.h"

/*
 * Holds `base` (NULL: none), unless that was done. held: it is held by now; if not by us, then by someone whose hold is
 * not ours to lift later, so that no mark is put while it stands. True when nothing is left to be done (or ever could
 * be); else to be called again after a while.
 */
bool hold_take(struct repo *repo, const char *dir, const struct snapshot *base, bool held, struct log *log);
/* Lifts the hold of whatever was held, unless that is `base`. True when nothing is left to be done. */
bool hold_release(struct repo *repo, const char *dir, const struct snapshot *base, struct log *log);

#endif

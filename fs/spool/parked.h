/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_PARKED_H
#define FS_SPOOL_PARKED_H

/*
 * What a mount left uncommitted when it ended: `.parked` in the spool's folder
 * names these datasets, one a line (a dataset's name has no line break, and no
 * dataset's folder begins with a dot). The mount writes it last of all, for
 * whoever waits for its end; the next one removes it. A mount that was killed
 * leaves none. It is told from, never trusted for what is to be committed.
 *
 * Threads: whoever has the spool's lock writes; anyone reads.
 */

#include <stddef.h>

#include "base/error.h"

/* Names what is parked, in place of what was named before; with `count` 0 there is nothing to name. */
int parked_write(const char *folder, const char *const *datasets, size_t count, struct error *err);
/*
 * Calls fn for each dataset, `kept` being the folder of its working copy. No file is 0 datasets. ERR_NO_MEMORY,
 * ERR_DENIED, ERR_IO, ERR_CORRUPT.
 */
int parked_each(
	const char *folder, void (*fn)(void *arg, const char *dataset, const char *kept), void *arg, struct error *err);

#endif

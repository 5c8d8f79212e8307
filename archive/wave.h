/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_WAVE_H
#define ARCHIVE_WAVE_H

/*
 * A handful of independent store calls made at once, where a line lies in
 * between, and one after another where the store is local and threads would
 * cost more than they save.
 */

#include <stddef.h>

#include "backends/store.h"

typedef void wave_fn(void *arg, size_t index);

/* Threads that pay off for short calls to this store: 1 for a local one. */
unsigned wave_threads(const struct store *store);
/*
 * Calls fn once for each index under `count`, at most `threads` at a time, and returns when all have returned. fn keeps
 * its outcome in `arg`. Without memory for threads they run one after another.
 */
void wave_run(unsigned threads, size_t count, wave_fn *fn, void *arg);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_POLL_H
#define FS_POLL_H

/*
 * Keeps what the mount shows up to date: one thread looks at the repository
 * every few seconds for what other hosts did, and at once when a command of
 * this host announces something (announce.h). A look that fails changes
 * nothing and is said once.
 */

#include "fs/announce.h"
#include "fs/invalidate.h"
#include "fs/serve.h"

struct catalog;
struct poll;

/*
 * The first look, by the caller's thread: after it the namespace shows something. `catalog` may be NULL. Must be
 * followed by poll_free(), whether poll_start() was called or not.
 */
int poll_new(struct serve *serve, struct catalog *catalog, struct poll **ret, struct error *err);
/* Starts the thread. `announce` (may be NULL) and `inv` are borrowed until poll_stop(). */
int poll_start(struct poll *p, struct announce *announce, struct invalidate *inv, struct error *err);
/* Ends the thread; waits for a look under way. Again, or without a start, is a no-op. */
void poll_stop(struct poll *p);
void poll_free(struct poll *p); /* stops it; NULL is a no-op */

#endif

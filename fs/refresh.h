/* SPDX-License-Identifier: MIT */
#ifndef FS_REFRESH_H
#define FS_REFRESH_H

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
struct refresh;

/*
 * The first look, by the caller's thread: after it the namespace shows something. `catalog` may be NULL. Must be
 * followed by refresh_free(), whether refresh_start() was called or not.
 */
int refresh_new(struct serve *serve, struct catalog *catalog, struct refresh **ret, struct error *err);
/* Starts the thread. `announce` (may be NULL) and `inv` are borrowed until refresh_stop(). */
int refresh_start(struct refresh *p, struct announce *announce, struct invalidate *inv, struct error *err);
/* Who is told what is shown from now on; NULL: nobody, and nobody is being told when this returns. Borrowed. */
void refresh_set_spool(struct refresh *p, struct spool *spool);
/* Has the thread look at once and waits until it did, `timeout_ns` at most. At once where it does not run. */
void refresh_ask(struct refresh *p, int64_t timeout_ns);
/* Ends the thread; waits for a look under way. Again, or without a start, is a no-op. */
void refresh_stop(struct refresh *p);
void refresh_free(struct refresh *p); /* stops it; NULL is a no-op */

#endif

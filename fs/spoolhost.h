/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOLHOST_H
#define FS_SPOOLHOST_H

/*
 * The spool's place in a mount: opens it, hands it what the mount shows, and
 * carries its news: a snapshot that was committed is shown here and announced
 * to this host's other mounts; a working copy that moved gets another number,
 * and the kernel is told to forget the old one.
 *
 * A mount whose spool cannot be had (another has it, or there is no place for
 * it) goes on without: snapshots must be readable when all else is broken. The
 * log says why.
 *
 * Threads: opened and closed by the session's; the rest by any.
 */

#include "fs/invalidate.h"
#include "fs/refresh.h"
#include "fs/serve.h"

struct spoolhost;

/* After the first look, before the first request: serve->spool and spool/ are there when it works. ERR_NO_MEMORY. */
int spoolhost_open(struct serve *serve, struct refresh *refresh, struct spoolhost **ret_host, struct error *err);
/* Who tells the kernel; NULL: nobody any more. Borrowed until the next call. */
void spoolhost_set_invalidate(struct spoolhost *host, struct invalidate *inv);
/* After the last request: finishes commits or parks them, and lets go of the spool. NULL is a no-op. */
void spoolhost_close(struct spoolhost *host);

#endif

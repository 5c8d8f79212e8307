/* SPDX-License-Identifier: MIT */
#ifndef FS_WARMUP_H
#define FS_WARMUP_H

/*
 * The first moments of a mount, seen from outside by a thread of the serving
 * process: one request goes through the kernel and back, the mount's
 * read-ahead is raised (as root), and then it is usable and says so.
 */

#include "fs/mount.h"

struct warmup;
/* Starts the thread; `options` is borrowed until warmup_free(). Called before the session's loop runs. */
int warmup_new(const struct mount_options *options, struct warmup **ret, struct error *err);
/* Waits for it: the loop must have answered its request, or the connection be gone. NULL is a no-op. */
void warmup_free(struct warmup *w);

#endif

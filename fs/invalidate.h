/* SPDX-License-Identifier: MIT */
#ifndef FS_INVALIDATE_H
#define FS_INVALIDATE_H

/*
 * Tells the kernel what it should forget when the mount shows something new:
 * names of snapshots and datasets that are gone, attributes of folders that
 * changed, and links whose target was renamed. Correctness does not hang on it (timeouts
 * are a second or nothing); it makes the second shorter.
 *
 * Sending may block behind a slow request in the same folder, so one thread
 * of its own does it, with no lock held; who queues never waits.
 */

#include "fs/epoch.h"
#include "fs/nodeid.h"

struct fuse_session;
struct invalidate;

/* Starts the thread. `session` is borrowed until invalidate_free(). */
int invalidate_new(struct fuse_session *session, struct invalidate **ret, struct error *err);
/* Drops what is queued and ends the thread, while the session still serves. NULL is a no-op. */
void invalidate_free(struct invalidate *inv);
/* Queues what differs between two epochs. Without memory some of it is left to the timeouts. */
void invalidate_changes(struct invalidate *inv, const struct epoch *old, const struct epoch *now);
/* A node's attributes, at once: what the kernel is told of it after this counts. Only from a request that holds no name
 * in a folder, as write or open; no cached bytes go. */
void invalidate_attributes(struct fuse_session *session, uint64_t node);
/* Queues a name in a folder: what the kernel knows by it is not there, or is something else. */
void invalidate_name(struct invalidate *inv, const struct nodeid *folder, const char *name);

#endif

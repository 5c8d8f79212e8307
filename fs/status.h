/* SPDX-License-Identifier: MIT */
#ifndef FS_STATUS_H
#define FS_STATUS_H

/*
 * The text of .drfs/status.json: facts about the mount, as JSON. Made afresh
 * for whoever opens it; reads nothing from the archive, so it also answers
 * while the store is down.
 *
 * Keys that scripts may count on: version, pid, repository, url, mountpoint,
 * started, poll {seconds, last, error}, datasets [{dataset, snapshots, newest,
 * latest {name, id, time}}], spool [{dataset, state, …}] or null, faults [{id, reason}], reads {failed, last,
 * error}, cache {bytes, limit, hits, misses}.
 */

#include "base/buf.h"
#include "fs/serve.h"

/* Appends the text. ERR_NO_MEMORY. */
int status_render(struct serve *serve, struct buf *ret, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_AHEAD_H
#define FS_AHEAD_H

/*
 * Folders that are listed before their names are asked for one by one.
 *
 * rsync into a tree that is there, git and others never list a folder: they
 * ask for each name's attributes, file after file, and each is a request of
 * its own whose answer costs less than the waiting for it. A listing brings
 * the kernel hundreds of names with their attributes in one request, after
 * which it answers for them itself. So when names of one folder were looked up
 * and found one after the other, a thread of this process lists that folder
 * through the mount as anybody else would, and goes on in the order in which
 * such a caller comes by: what is below, then the folders behind it, upwards to
 * the root of the snapshot or working copy. It stops after a number of entries
 * that grows while callers keep asking where it has not been.
 *
 * It reaches the mount by a detached copy of it (open_tree), taken when the
 * mount begins: no path is looked up later, so it never keeps a mount point
 * busy. The copy would keep an unmounted file system alive, so another thread
 * waits for changes of the kernel's list of mounts, and gives the copy up when
 * the mount is gone from it. Folders are reached by their node ids
 * (open_by_handle_at). All that needs root: for another user, or where the
 * kernel refuses, nothing is listed ahead.
 *
 * Threads: any may call ahead_found(), which waits for nobody. The walking
 * thread holds no lock over a request. A request of its own is answered by the
 * mount's threads or, once the connection is gone, by the kernel: so
 * ahead_free() is called when the session's device is closed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* ---- when, and how far; of one thread at a time ---- */

enum { AHEAD_RECENT = 4 };

struct ahead_rule {
	struct {
		uint64_t folder;
		int64_t since; /* when the last name in it was found, ns */
		unsigned count;
	} recent[AHEAD_RECENT]; /* folders in which names were found lately */
	unsigned budget;        /* entries, given last */
	int64_t given;          /* when */
};

/* A name was found in the folder at `now` (ns). How many entries to list from there on; 0: nothing to do. */
unsigned ahead_judge(struct ahead_rule *rule, uint64_t folder, int64_t now);

/* ---- the walk ---- */

struct ahead;
/* *ret NULL: nothing is listed ahead here. ERR_NO_MEMORY. */
int ahead_new(const char *mountpoint, struct ahead **ret, struct error *err);
/* A lookup in this folder, a node id, found its name. A NULL `a` is a no-op. */
void ahead_found(struct ahead *a, uint64_t folder);
/* Begins no request more. */
void ahead_stop(struct ahead *a);
void ahead_free(struct ahead *a); /* waits for the threads; NULL is a no-op */

#endif

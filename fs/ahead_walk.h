/* SPDX-License-Identifier: MIT */
#ifndef FS_AHEAD_WALK_H
#define FS_AHEAD_WALK_H

/*
 * One walk through the mount, folder by folder, in a thread that may wait:
 * each call of it makes requests that this process answers.
 */

#include <stdbool.h>
#include <stdint.h>

struct ahead_walk {
	int mount;                                 /* a detached copy of it */
	unsigned budget;                           /* entries */
	bool (*go_on)(void *arg, uint64_t folder); /* asked before each folder, which it may note */
	void *arg;
};

/* From that folder on, a node id. Whatever fails ends it: somebody who wants to know will ask. */
void ahead_walk(const struct ahead_walk *walk, uint64_t folder);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_MOUNTINFO_H
#define FS_MOUNTINFO_H

/* The kernel's list of what is mounted where, as this process sees it: /proc/self/mountinfo (proc(5)). Stateless. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* One line; strings are valid during the call alone. */
struct mountinfo_row {
	dev_t dev;
	const char *root;       /* what of the file system is mounted; "/" is all */
	const char *mountpoint; /* escapes undone */
	const char *type;       /* "fuse.drfs" */
};

/* Calls fn for each mount in the order they were made; non-zero stops and is returned. ERR_IO: the list cannot be read.
 */
int mountinfo_each(int (*fn)(void *arg, const struct mountinfo_row *row), void *arg, struct error *err);
/* A line taken apart, changing it. False for a line of another form. */
bool mountinfo_parse(char *line, struct mountinfo_row *ret);
/* The type says it is one of ours. */
bool mountinfo_is_drfs(const struct mountinfo_row *row);

#endif

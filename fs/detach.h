/* SPDX-License-Identifier: MIT */
#ifndef FS_DETACH_H
#define FS_DETACH_H

/*
 * The kernel's part of unmounting: umount2(2) where this user may, else
 * fusermount3. It does not wait for the process that serves. Thread-safe.
 */

#include <stdbool.h>

#include "base/error.h"

/*
 * `mountpoint` as the kernel lists it. `lazy`: out of the tree at once, whoever uses it. ERR_BUSY when it stays in use
 * for half a second; ERR_DENIED, ERR_IO.
 */
int detach_mount(const char *mountpoint, bool lazy, struct error *err);
/* Path of fusermount3 (or the old fusermount) in a search path; NULL: not installed. Caller frees. */
char *detach_find_helper(void);

#endif

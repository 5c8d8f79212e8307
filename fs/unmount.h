/* SPDX-License-Identifier: MIT */
#ifndef FS_UNMOUNT_H
#define FS_UNMOUNT_H

/*
 * Unmounting from outside, to the end: the kernel's umount returns at once,
 * this waits until the process that served has gone too. For `drfs umount`
 * and the helper of umount(8). Needs neither a repository nor a key.
 */

#include <stdint.h>

#include "base/error.h"

/*
 * Unmounts the drfs mount at `mountpoint` and waits for its process, `timeout_ns` at most (0: 60 s). A dead mount point
 * is taken away. ERR_USAGE: nothing of drfs is mounted there; ERR_BUSY: files are open, the text names by whom;
 * ERR_DENIED; ERR_TIMEOUT: unmounted, but the process is still there.
 */
int unmount_run(const char *mountpoint, int64_t timeout_ns, struct error *err);

#endif

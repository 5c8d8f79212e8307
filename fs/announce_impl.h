/* SPDX-License-Identifier: MIT */
#ifndef FS_ANNOUNCE_IMPL_H
#define FS_ANNOUNCE_IMPL_H

/*
 * What both sides of a mount's socket share. A socket is named relative to
 * its folder's descriptor, since the whole path may be longer than an address
 * can be.
 */

#include <sys/types.h>
#include <sys/un.h>

#include "archive/format.h"

enum { ANNOUNCE_NAME_MAX = 64, ANNOUNCE_LINE_MAX = 128 };

/* "mount-<8 digits>-<pid>.sock" */
void announce_name(const uint8_t repository[static FORMAT_REPO_LEN], pid_t pid, char dst[static ANNOUNCE_NAME_MAX]);
/* The process of a socket of that repository; 0 for any other name. */
pid_t announce_name_pid(const uint8_t repository[static FORMAT_REPO_LEN], const char *name);
/* The address of `name` in the folder that `dir` is open on. */
struct sockaddr_un announce_address(int dir, const char *name);

#endif

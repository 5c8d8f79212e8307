/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_MOUNT_WORDS_H
#define TOOLS_MOUNT_WORDS_H

/* What stands behind -o, on the command line or in fstab. */

#include "fs/mount.h"
#include "tools/cli.h"

/* A mount as it was asked for. */
struct mount_request {
	struct mount_options o;
	const char *mountpoint;
	bool foreground;
};

/*
 * Takes a list "word,word=value,…". Words of fstab that mean nothing here are passed over; key_file=, password_file=
 * and config= go into the environment. CLI_OK, or CLI_USAGE (told).
 */
int mount_words_take(struct cli *cli, struct mount_request *q, const char *list);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

/*
 * The end of a mount. SIGTERM, SIGINT and SIGHUP ask for it: one thread waits
 * for them, unmounts when nothing is open, else makes the session's loop
 * return with the file system still mounted, so that the mount point is dead
 * once the process is gone and nobody takes it for an empty folder.
 *
 * control_block() is called before any other thread starts, so that no thread
 * but this one ever gets these signals.
 */

#include <signal.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/log.h"

struct control;
struct fuse_session;

/* Blocks the signals in this thread and those that it starts; *ret_before: for control_unblock(). */
void control_block(sigset_t *ret_before);
void control_unblock(const sigset_t *before);

struct control_options {
	struct fuse_session *session;
	const char *mountpoint;
	struct log *log;
	/* Called by the thread before it ends the loop of a session that stays mounted: while requests are still
	 * served. */
	void (*quiet)(void *arg);
	void *arg;
};

/* Starts the thread. Called by the thread that will run the session's loop. */
int control_new(const struct control_options *options, struct control **ret, struct error *err);
/*
 * The loop has returned. Ends the thread. *ret_left_dead: the file system must not be unmounted; *ret_interrupted: it
 * was SIGINT that asked for the end. NULL is a no-op.
 */
void control_free(struct control *c, bool *ret_left_dead, bool *ret_interrupted);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BASE_VERDICT_H
#define BASE_VERDICT_H

/*
 * A command of the configuration judges something: exit status 0 is good,
 * everything else is not, for the reason that the first line of its stderr
 * gives. It knows nothing of archives: what the command reads and is told
 * comes from the caller.
 *
 * The command runs in a process group of its own, with the caller's
 * environment, default signals, and stdout on /dev/null. What it leaves
 * running in the background is neither waited for nor ended. Threads: any;
 * a call blocks until the command has ended. No lock, no state between calls.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { VERDICT_REASON_MAX = 400 };

struct verdict {
	bool good;
	char reason[VERDICT_REASON_MAX]; /* printable; "" when good */
};

/* The next bytes for the command's stdin, at most `cap`; *ret_len 0: there are no more. */
typedef int verdict_feed_fn(void *arg, void *dst, size_t cap, size_t *ret_len, struct error *err);
/* Asked now and then: is the whole thing called off? */
typedef bool verdict_stop_fn(void *arg);

struct verdict_question {
	const char *command;          /* for sh -c */
	const char *const *variables; /* "NAME=value"; NULL-terminated, or NULL. They replace those of the caller. */
	verdict_feed_fn *feed;        /* NULL: stdin is empty. A command may end without having read all. */
	void *feed_arg;
	verdict_stop_fn *stop; /* NULL: never */
	void *stop_arg;
};

/*
 * Runs the command and waits for it. ERR_CANCELLED: `stop` said so; what `feed` returned; or why it could not be run.
 * In all these cases the command and its group are ended. A command that sh does not find is a bad verdict. It has the
 * caller's environment, but for what begins with DRFS_PASSWORD.
 */
int verdict_ask(const struct verdict_question *q, struct verdict *ret_verdict, struct error *err);

#endif

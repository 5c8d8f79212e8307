/* SPDX-License-Identifier: MIT */
#ifndef FS_ANNOUNCE_H
#define FS_ANNOUNCE_H

/*
 * How a command tells the mounts of this host that a repository changed, and
 * how a mount hears it. Each mount listens on a socket in the runtime folder,
 * mount-<first 8 digits of the repository's id>-<pid>.sock, for its user only.
 * A command looks into every runtime folder that a process of its user may
 * have, since a service and a login session have different ones.
 * A message is one line, "new <snapshot id>" or "changed"; the answer is one
 * line, "ok" or "no", given when the mount shows what was meant.
 * Sockets of processes that died are removed by whoever meets them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "archive/format.h"
#include "base/log.h"

enum { ANNOUNCE_WAIT_NS = 2000000000 };

/*
 * Tells every mount of the repository on this host and waits until all show the snapshot, `timeout_ns` at most (0:
 * ANNOUNCE_WAIT_NS). `snapshot` NULL: look again, something was forgotten or marked. Never fails: a mount that does not
 * answer is told in the log, and finds it at its next poll. Returns how many mounts said yes.
 */
unsigned announce_snapshot(const uint8_t repository[static FORMAT_REPO_LEN], const struct id *snapshot,
	int64_t timeout_ns, struct log *log);

/* The mount's side. */
struct announce;
/* Binds the socket; from now on messages queue up. ERR_IO when there is no place for it: the mount goes on without. */
int announce_open(const uint8_t repository[static FORMAT_REPO_LEN], struct announce **ret_announce, struct error *err);
/* Removes the socket. NULL is a no-op. */
void announce_close(struct announce *a);
/* To poll(2) for reading; -1 for NULL. */
int announce_fd(const struct announce *a);

/* One waiting command. */
struct announce_call {
	int fd;
	struct id snapshot; /* zeros: just look again */
};
/* Takes calls that wait, without blocking. Returns how many, up to max. Each is answered once. */
unsigned announce_take(struct announce *a, struct announce_call *ret_calls, unsigned max);
void announce_answer(struct announce_call *call, bool ok);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_MOUNT_H
#define FS_MOUNT_H

/*
 * The mounted tree: serves a repository's snapshots at a folder until it is
 * unmounted. What the tree shows is said in README.md, 'The mounted tree'.
 *
 * mount_run() runs in the process that serves; it never forks, so whoever
 * wants a daemon forks before the repository is opened. It starts threads of
 * its own, blocks SIGTERM, SIGINT and SIGHUP in all of them and acts on these
 * itself: unmount when nothing is open, else leave the mount point dead (never
 * empty). It gives back everything before it returns; the repository stays
 * the caller's.
 */

#include <stdbool.h>
#include <stdint.h>

#include "archive/repo.h"
#include "base/log.h"
#include "fs/spool/spool.h"

struct seen;

enum { MOUNT_CACHE_DEFAULT = 256 << 20 };

/* Zero is the default, except where said. Borrowed until mount_run() returns. */
struct mount_options {
	const char *mountpoint;  /* required: canonical, as mountpoint_check() gave it */
	const char *version;     /* of drfs, for status.json; NULL: unknown */
	const char *url;         /* of the repository, as the user would type it again; NULL: the store's */
	const char *catalog_dir; /* may be NULL: a private one */
	const char *spool_dir; /* where written data waits; its disk's free space is what df shows; NULL: the default */
	struct seen *seen;     /* what this host saw before; the mount's alone while it runs; may be NULL */
	bool no_spool;         /* snapshots alone, nothing can be written */
	/* How a dataset is committed, by any thread; what it points to stays. NULL: spool.h's defaults. */
	struct spool_rule (*rule)(void *arg, const char *dataset);
	void *rule_arg;
	size_t cache_bytes; /* of decoded chunks; 0: MOUNT_CACHE_DEFAULT */
	int64_t poll_ns;    /* how often to look for other hosts' snapshots; 0: 5 s on a folder, 30 s on a store */
	bool allow_other;   /* let other users in; the kernel then checks permissions and ACLs */
	bool debug;         /* libfuse's trace of every request on stderr */
	struct log *log;    /* NULL drops everything */
	/* Called once, by one of the threads, when the first request was answered: the mount is usable. May be NULL. */
	void (*ready)(void *arg);
	void *ready_arg;
};

/*
 * Serves until the file system is unmounted or a signal ends it. 0: unmounted, or left dead by a signal while files
 * were open (said in the log). ERR_CANCELLED: the same, where the signal was SIGINT. ERR_DENIED, ERR_UNAVAILABLE,
 * ERR_IO and others when it could not be mounted; `ready` was not called then.
 */
int mount_run(struct repo *repo, const struct mount_options *options, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef FS_SERVE_H
#define FS_SERVE_H

/*
 * What all requests of one mount share: made by session.c before the first
 * request, read-only while it serves (each part has its own lock where it
 * changes). Owned by session.c.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "archive/repo.h"
#include "fs/ahead.h"
#include "fs/faults.h"
#include "fs/follow.h"
#include "fs/mount.h"
#include "fs/namespace.h"
#include "fs/spool/spool.h"

struct fuse_session;

/* How the poll went; written by its thread alone. */
struct serve_poll {
	pthread_mutex_t lock;
	int64_t interval;
	int64_t last;               /* wall clock of the last look that worked; 0: none yet */
	char error[ERROR_TEXT_MAX]; /* of the last look, "" when it worked */
};

struct serve {
	struct repo *repo;
	const struct mount_options *options;
	struct reader *reader;
	struct view *view;
	struct namespace *ns;
	struct faults *faults;
	struct serve_poll poll;
	struct spool *spool;           /* NULL: this mount has none */
	struct follow *follow;         /* NULL: request threads run where they are put */
	struct ahead *ahead;           /* NULL: nothing is listed before it is asked for */
	bool direct_writes;            /* the kernel drops cached pages under uncached writes; set by INIT */
	struct fuse_session *fuse;     /* set before the first request */
	atomic_flag handing;           /* a thread hands a file's bytes to the kernel; one at a time */
	const struct ops_route *route; /* which functions answer for which nodes */
	char *spool_disk;              /* a folder that is there, on the disk whose free space df shows */
	int64_t started;
};

#endif

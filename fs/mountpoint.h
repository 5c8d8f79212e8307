/* SPDX-License-Identifier: MIT */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

/*
 * Mount points from outside: whether a folder can become one, what a path
 * below one means, and which process serves it. Asks the kernel and the
 * mount's own .drfs/status.json; needs neither a repository nor a key.
 * Thread-safe; structs belong to the caller.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum { MOUNTPOINT_REPO_LEN = 16 };

/*
 * Everything that can be known before mounting: the folder is there, is a folder, is empty, is not mounted already,
 * does not lie inside or above the repository's own folder (`repo_path`, NULL for a store elsewhere). A dead drfs mount
 * there is taken away first, lazily. *ret_canonical: its absolute path without symlinks, the caller's.
 * ERR_NOT_FOUND, ERR_USAGE, ERR_BUSY (already mounted), ERR_DENIED; each text says what to do.
 */
int mountpoint_check(const char *path, const char *repo_path, char **ret_canonical, struct error *err);
/*
 * FUSE can be used here by this user: /dev/fuse is there and may be opened; without root, fusermount3 is installed and,
 * for allow_other, /etc/fuse.conf permits it. ERR_UNSUPPORTED or ERR_DENIED: the text says what to do.
 */
int mountpoint_fuse_ok(bool allow_other, struct error *err);

/* What a path below a mount means. Zeroed is valid and empty. */
struct mountpoint_ref {
	uint8_t repository[MOUNTPOINT_REPO_LEN];
	char *dataset;    /* "" at the mount's root */
	char *snapshot;   /* its name as shown; "" where no snapshot is meant yet: a dataset's folder */
	char *path;       /* inside the snapshot, no leading slash; "" is its root. Any bytes but NUL */
	char *mountpoint; /* where it is mounted; NULL when it cannot be seen from here */
};

/*
 * Reads the ref of `path`. A symlink of a snapshot means itself, and so does a special file; the virtual ones (latest
 * and the like) mean what they point to. ERR_NOT_FOUND: there is such a path and it lies in no drfs mount, or there is
 * none (then sys_errno is ENOENT).
 */
int mountpoint_ref(const char *path, struct mountpoint_ref *ret, struct error *err);
void mountpoint_ref_release(struct mountpoint_ref *ref); /* NULL and zeroed: a no-op */

/* The text of the xattr: "drfs1:<repository>:<dataset>:<snapshot>:<path>", percent-encoded. Caller frees; NULL: no
 * memory. */
char *mountpoint_ref_format(const uint8_t repository[static MOUNTPOINT_REPO_LEN], const char *dataset,
	const char *snapshot, const void *path, size_t path_len);
/* Its inverse; ret->mountpoint stays NULL. False for any other text. */
bool mountpoint_ref_parse(const char *text, size_t len, struct mountpoint_ref *ret);

/* What .drfs/status.json of a mount says of who serves it. */
struct mountpoint_status {
	uint8_t repository[MOUNTPOINT_REPO_LEN];
	char *url;          /* of the repository */
	char *version;      /* of drfs */
	char *spool_folder; /* where its working copies lie; "": it has none */
	pid_t pid;
};
/* ERR_NOT_FOUND: no live drfs mount at `mountpoint`. */
int mountpoint_status(const char *mountpoint, struct mountpoint_status *ret, struct error *err);
void mountpoint_status_release(struct mountpoint_status *status); /* NULL and zeroed: a no-op */

/*
 * The absolute path without symlinks, as the kernel lists mounts; of a mount point that is dead too, whose last
 * component cannot be asked. Caller frees; NULL with errno set.
 */
char *mountpoint_canonical(const char *path);

/* How a folder is mounted. */
enum mountpoint_kind {
	MOUNTPOINT_NONE, /* not mounted itself */
	MOUNTPOINT_OTHER,
	MOUNTPOINT_DRFS,
	MOUNTPOINT_DRFS_DEAD, /* its process is gone: every access says ENOTCONN */
};
/* `path` may be dead. Symlinks in its parents are followed. */
int mountpoint_kind(const char *path, enum mountpoint_kind *ret, struct error *err);
/*
 * All drfs mount points of this mount namespace, dead ones too: backups leave them out. Calls fn for each; non-zero
 * stops and is returned.
 */
int mountpoint_each(int (*fn)(void *arg, const char *mountpoint), void *arg, struct error *err);

#endif

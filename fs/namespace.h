/* SPDX-License-Identifier: MIT */
#ifndef FS_NAMESPACE_H
#define FS_NAMESPACE_H

/*
 * The mount's tree above the snapshots: the root, datasets, latest and its
 * endings, at/, restore points, .drfs; and the seam to what lies in a
 * snapshot, so that every node id is answered here. Knows nothing of FUSE.
 *
 * Threads: all calls by any thread. The epoch is swapped under a lock that is
 * held for a few instructions; a request takes a reference to one epoch and
 * passes it to every call. Errors: ERR_NOT_FOUND: no such name, or a node that is
 * gone; ERR_USAGE: not a folder, or not a link; else from the view.
 */

#include <sys/stat.h>

#include "fs/endings.h"
#include "fs/epoch.h"
#include "fs/nodeid.h"
#include "fs/spool/spool.h"
#include "fs/view.h"
#include "fs/worktable.h"

struct namespace;

/* Virtual nodes belong to uid and gid. `view` is borrowed. NULL without memory. It shows nothing until
 * namespace_show(). */
struct namespace *namespace_new(struct view *view, uid_t uid, gid_t gid);
void namespace_free(struct namespace *ns); /* NULL is a no-op */
/* Borrowed. */
struct view *namespace_view(struct namespace *ns);

/* What is shown now, with a reference for the caller. Only after the first namespace_show(). */
const struct epoch *namespace_epoch(struct namespace *ns);
/*
 * How long the kernel may believe where a dataset's latest leads. Nobody is told that something new is shown before
 * NAMESPACE_SETTLE_MS have passed (the kernel counts in steps of up to 10 ms), so nobody sees what was.
 */
enum { NAMESPACE_BRIEF_MS = 20, NAMESPACE_SETTLE_MS = 45 };

/* From now on this is shown. Takes the reference over. */
void namespace_show(struct namespace *ns, const struct epoch *epoch);

/* Is this epoch the one that is shown now? */
bool namespace_is_shown(struct namespace *ns, const struct epoch *epoch);

/* A node and how long the kernel may believe it, in seconds. */
struct namespace_node {
	uint64_t id;
	struct stat st; /* size of .drfs/status.json: left to its owner */
	double entry_timeout, attr_timeout;
};

/* `name` in the folder `parent`. "." and ".." are answered too. */
int namespace_lookup(struct namespace *ns, const struct epoch *e, uint64_t parent, const char *name,
	struct namespace_node *ret, struct error *err);
/* What the id stands for. */
int namespace_node(
	struct namespace *ns, const struct epoch *e, uint64_t id, struct namespace_node *ret, struct error *err);
/* A pinned entry of a snapshot as a node. */
void namespace_entry_node(const struct view_entry *entry, struct namespace_node *ret);
/* Appends the target of a symlink, without NUL. */
int namespace_readlink(struct namespace *ns, const struct epoch *e, uint64_t id, struct buf *ret, struct error *err);
/* Names of the dataset and snapshot that a node belongs to; "" for none. False: it has no ref. Borrowed from the epoch.
 */
bool namespace_ref(
	const struct epoch *e, const struct nodeid *node, const char **ret_dataset, const char **ret_snapshot);

/* From now on there is a spool/; before the first request. Borrowed. */
void namespace_set_spool(struct namespace *ns, struct spool *spool);
/* The numbers of its working copies. Borrowed. */
struct worktable *namespace_works(struct namespace *ns);
/* What work.h told of an inode, as a node. */
void namespace_work_node(uint32_t number, const struct stat *st, struct namespace_node *ret);
/* The .commit of a working copy. */
void namespace_commit_node(struct namespace *ns, uint32_t number, struct namespace_node *ret);
/* spool/<dataset> is made, or removed. Errors as spool_make() and spool_remove(). */
int namespace_spool_make(struct namespace *ns, const char *dataset, mode_t mode, struct work_owner owner,
	struct namespace_node *ret, struct error *err);
int namespace_spool_remove(struct namespace *ns, const char *dataset, struct error *err);
/* A working copy is to move to another base: from true on no request is in it until namespace_spool_moved(). */
bool namespace_spool_moving(struct namespace *ns, const char *dataset);
/* It moved: what had its numbers is stale; or it stayed after all. Called by the thread that moves it. */
void namespace_spool_moved(struct namespace *ns, const char *dataset, bool moved);

/* A listing of a virtual folder, frozen when it was opened. "." and ".." are not in it. */
struct namespace_item {
	uint64_t id;
	size_t name; /* offset in names */
	mode_t type; /* S_IFDIR, S_IFLNK, S_IFREG */
};
struct namespace_listing {
	struct namespace_item *items;
	size_t count, cap;
	struct buf names; /* each with its NUL */
};
/* Lists a virtual folder. The caller frees. */
int namespace_list(
	struct namespace *ns, const struct epoch *e, uint64_t id, struct namespace_listing **ret, struct error *err);
void namespace_listing_free(struct namespace_listing *listing); /* NULL is a no-op */

#endif

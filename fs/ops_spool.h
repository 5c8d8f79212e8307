/* SPDX-License-Identifier: MIT */
#ifndef FS_OPS_SPOOL_H
#define FS_OPS_SPOOL_H

/*
 * What the ops_spool_* files share: requests on nodes of the spool. Node ids
 * become a working copy and an inode number of its own; the rest is work.h's.
 * A node whose number is gone is ESTALE: the kernel looks its name up again.
 *
 * An open file's handle is its struct work_file; 0 is an open .commit.
 */

#include "fs/ops.h"
#include "fs/spool/work.h"

/* What a node id of the spool stands for. */
struct ops_spool_node {
	enum nodeid_kind kind; /* NODEID_SPOOL, NODEID_WORK or NODEID_COMMIT */
	uint32_t number;
	struct work *work; /* NULL for NODEID_SPOOL */
	uint64_t ino;      /* of NODEID_WORK */
	struct worktable *works;
};
/* To be let go of by ops_spool_put(): until then the working copy stays where it is. False when it is none, or gone:
 * then the request was answered. */
bool ops_spool_find(fuse_req_t req, fuse_ino_t id, struct ops_spool_node *ret);
/* As ops_spool_find(); where it is not a working copy's inode: answered with EPERM. */
bool ops_spool_find_inode(fuse_req_t req, fuse_ino_t id, struct ops_spool_node *ret);
/* Twice, or for a zeroed node, it does nothing more. */
void ops_spool_put(struct ops_spool_node *node);
/* A node that is let go of where its variable ends; to be zeroed. */
#define OPS_SPOOL_HELD __attribute__((cleanup(ops_spool_put)))
/*
 * As ops_spool_find_inode() for a second node of a request, which must be of the working copy that the first one holds:
 * not to be let go of itself. Else it is answered: EXDEV.
 */
bool ops_spool_find_second(
	fuse_req_t req, fuse_ino_t id, const struct ops_spool_node *first, struct ops_spool_node *ret);
/* Does the name mean the .commit of a working copy? */
bool ops_spool_is_commit(const struct ops_spool_node *folder, const char *name);

/* As a reply of LOOKUP, CREATE or READDIRPLUS. */
struct fuse_entry_param ops_spool_entry(uint32_t number, const struct stat *st);
/* Answers what made or found an inode. */
void ops_spool_reply_entry(
	fuse_req_t req, uint32_t number, const char *what, int rc, const struct stat *st, const struct error *err);
/* Answers with 0 or the errno. */
void ops_spool_reply(fuse_req_t req, const char *what, int rc, const struct error *err);
/* As ops_fail() for a request that named its node by id alone: what is not there is ESTALE. */
void ops_spool_fail(fuse_req_t req, const char *what, int rc, const struct error *err);

/* Who asks, and what the umask takes from the mode of something new. */
struct work_owner ops_spool_owner(fuse_req_t req);

/* Before who asks changes a file's bytes: what he may not leave it goes, as work_disarm() says, and the kernel hears.
 */
int ops_spool_disarm(fuse_req_t req, fuse_ino_t ino, struct work_file *file, struct error *err);

/* Sets in *ops what each file answers. */
void ops_set_spool_look(struct fuse_lowlevel_ops *ops); /* lookup, getattr, readlink, access, directories */
void ops_set_spool_make(struct fuse_lowlevel_ops *ops); /* names: mknod, mkdir, symlink, link, unlink, rmdir, rename */
void ops_set_spool_open(struct fuse_lowlevel_ops *ops); /* create, open, flush, release */
void ops_set_spool_file(struct fuse_lowlevel_ops *ops); /* read, write, fsync, fallocate, lseek, copy_file_range */
void ops_set_spool_attr(struct fuse_lowlevel_ops *ops); /* setattr and extended attributes */

/* ---- .commit ---- */

/* Commits now; SETATTR is answered when that is done. */
void ops_spool_commit_touch(fuse_req_t req, const struct ops_spool_node *node);
/* The same for SETXATTR with {"description": …, "tags": […]}. */
void ops_spool_commit_set(fuse_req_t req, const struct ops_spool_node *node, const char *value, size_t size);
/* The outcome of the last one, as the value of an extended attribute. */
void ops_spool_commit_result(fuse_req_t req, const struct ops_spool_node *node, size_t size);
/* FLUSH of a dataset whose files are to be in the store when they are closed: answered when this change is. */
void ops_spool_commit_change(fuse_req_t req, const struct ops_spool_node *node, uint64_t change);

#endif

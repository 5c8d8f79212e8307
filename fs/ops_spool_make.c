/* SPDX-License-Identifier: MIT */
/* Names in a working copy: made, linked, renamed, removed; and folders of spool/ itself, which are datasets. */
#include <errno.h>
#include <string.h>

#include "fs/ops_spool.h"

/* Is it the name of .commit? Then that was answered. */
static bool refuse_commit(fuse_req_t req, const struct ops_spool_node *folder, const char *name, int number)
{
	if (!ops_spool_is_commit(folder, name))
		return false;
	fuse_reply_err(req, number);
	return true;
}

/* The folder in which something is to be made, held. False when that was answered. */
static bool find_folder(fuse_req_t req, fuse_ino_t parent, const char *name, struct ops_spool_node *ret)
{
	return ops_spool_find_inode(req, parent, ret) && !refuse_commit(req, ret, name, EEXIST);
}

/* As find_folder(), for taking a name away. */
static bool find_to_remove(fuse_req_t req, fuse_ino_t parent, const char *name, struct ops_spool_node *ret)
{
	return ops_spool_find_inode(req, parent, ret) && !refuse_commit(req, ret, name, EPERM);
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};
	struct stat st;

	if (!find_folder(req, parent, name, &folder))
		return;
	int rc = work_make(folder.work, folder.ino, name, mode, rdev, ops_spool_owner(req), &st, &err);
	ops_spool_reply_entry(req, folder.number, "making a file", rc, &st, &err);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	make(req, parent, name, mode, rdev);
}

static void make_dataset(fuse_req_t req, const char *name, mode_t mode)
{
	struct error err = ERROR_INIT;
	struct namespace_node node;
	struct work_owner owner = ops_spool_owner(req);
	int rc = namespace_spool_make(ops_serve(req)->ns, name, S_IFDIR | (mode & ~owner.umask), owner, &node, &err);

	if (rc < 0) {
		ops_fail(req, "making a dataset", rc, &err);
		return;
	}
	struct fuse_entry_param e = {.ino = node.id,
		.attr = node.st,
		.attr_timeout = node.attr_timeout,
		.entry_timeout = node.entry_timeout};
	fuse_reply_entry(req, &e);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	if (parent == NODEID_SPOOL)
		make_dataset(req, name, mode);
	else
		make(req, parent, name, S_IFDIR | mode, 0);
}

static void do_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};
	struct stat st;

	if (!find_folder(req, parent, name, &folder))
		return;
	int rc = work_symlink(folder.work, folder.ino, name, target, ops_spool_owner(req), &st, &err);
	ops_spool_reply_entry(req, folder.number, "making a symlink", rc, &st, &err);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};
	struct ops_spool_node file;
	struct stat st;

	if (!find_folder(req, parent, name, &folder) || !ops_spool_find_second(req, ino, &folder, &file))
		return;
	int rc = work_link(folder.work, file.ino, folder.ino, name, &st, &err);
	ops_spool_reply_entry(req, folder.number, "making a link", rc, &st, &err);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};

	if (find_to_remove(req, parent, name, &folder))
		ops_spool_reply(req, "removing a file", work_unlink(folder.work, folder.ino, name, &err), &err);
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};

	if (parent == NODEID_SPOOL) {
		int rc = namespace_spool_remove(ops_serve(req)->ns, name, &err);
		ops_spool_reply(req, "removing a dataset", rc, &err);
		return;
	}
	if (find_to_remove(req, parent, name, &folder))
		ops_spool_reply(req, "removing a folder", work_rmdir(folder.work, folder.ino, name, &err), &err);
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
	unsigned flags)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node from OPS_SPOOL_HELD = {0};
	struct ops_spool_node to;

	/* A folder that would become a dataset is copied by mv; a dataset keeps its name. */
	if (new_parent == NODEID_SPOOL && parent != NODEID_SPOOL) {
		fuse_reply_err(req, EXDEV);
		return;
	}
	if (!find_to_remove(req, parent, name, &from) || !ops_spool_find_second(req, new_parent, &from, &to) ||
		refuse_commit(req, &to, new_name, EPERM))
		return;
	int rc = work_rename(from.work, from.ino, name, to.ino, new_name, flags, &err);
	ops_spool_reply(req, "renaming", rc, &err);
}

void ops_set_spool_make(struct fuse_lowlevel_ops *ops)
{
	ops->mknod = do_mknod;
	ops->mkdir = do_mkdir;
	ops->symlink = do_symlink;
	ops->link = do_link;
	ops->unlink = do_unlink;
	ops->rmdir = do_rmdir;
	ops->rename = do_rename;
}

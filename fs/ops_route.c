/* SPDX-License-Identifier: MIT */
/* Sends each request to who answers for its node. What changes things outside the spool ends in ops_refuse.c. */
#include <errno.h>

#include "fs/ops.h"

/* `bytes` of a file go with it. */
static const struct ops_route *arrived(fuse_req_t req, size_t bytes)
{
	struct serve *serve = ops_serve(req);

	follow_request(serve->follow, fuse_req_ctx(req)->pid, bytes);
	return serve->route;
}

/* For requests that look: spool/ itself is one of the virtual folders. */
static const struct fuse_lowlevel_ops *of_look(const struct ops_route *route, fuse_ino_t ino)
{
	return nodeid_in_spool(ino) && ino != NODEID_SPOOL ? &route->spool : &route->rest;
}

static const struct fuse_lowlevel_ops *of_change(const struct ops_route *route, fuse_ino_t ino)
{
	return nodeid_in_spool(ino) ? &route->spool : &route->rest;
}

static const struct fuse_lowlevel_ops *to_look(fuse_req_t req, fuse_ino_t ino)
{
	return of_look(arrived(req, 0), ino);
}

static const struct fuse_lowlevel_ops *to_change(fuse_req_t req, fuse_ino_t ino)
{
	return of_change(arrived(req, 0), ino);
}

static void route_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	to_look(req, parent)->lookup(req, parent, name);
}

static void route_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	to_look(req, ino)->getattr(req, ino, fi);
}

static void route_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which, struct fuse_file_info *fi)
{
	to_change(req, ino)->setattr(req, ino, attr, which, fi);
}

static void route_readlink(fuse_req_t req, fuse_ino_t ino)
{
	to_look(req, ino)->readlink(req, ino);
}

static void route_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	to_change(req, ino)->access(req, ino, mask);
}

static void route_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	to_change(req, parent)->mknod(req, parent, name, mode, rdev);
}

static void route_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	to_change(req, parent)->mkdir(req, parent, name, mode);
}

static void route_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	to_change(req, parent)->unlink(req, parent, name);
}

static void route_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	to_change(req, parent)->rmdir(req, parent, name);
}

static void route_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	to_change(req, parent)->symlink(req, target, parent, name);
}

/* Out of the spool or into it is across devices: mv then copies. */
static void route_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	const char *new_name, unsigned flags)
{
	if (nodeid_in_spool(parent) != nodeid_in_spool(new_parent))
		fuse_reply_err(req, EXDEV);
	else
		to_change(req, parent)->rename(req, parent, name, new_parent, new_name, flags);
}

static void route_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	if (nodeid_in_spool(parent) && !nodeid_in_spool(ino))
		fuse_reply_err(req, EXDEV);
	else
		to_change(req, parent)->link(req, ino, parent, name);
}

static void route_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	to_change(req, parent)->create(req, parent, name, mode, fi);
}

static void route_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	to_look(req, ino)->open(req, ino, fi);
}

static void route_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	of_look(arrived(req, size), ino)->read(req, ino, size, off, fi);
}

static void route_write(
	fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	of_change(arrived(req, size), ino)->write(req, ino, data, size, off, fi);
}

/* Files of snapshots have nothing to flush. */
static void route_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (nodeid_in_spool(ino))
		to_change(req, ino)->flush(req, ino, fi);
	else
		fuse_reply_err(req, 0);
}

static void route_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	to_look(req, ino)->release(req, ino, fi);
}

static void route_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	if (nodeid_in_spool(ino))
		to_change(req, ino)->fsync(req, ino, data_only, fi);
	else
		fuse_reply_err(req, 0);
}

static void route_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	if (nodeid_in_spool(ino))
		to_change(req, ino)->fsyncdir(req, ino, data_only, fi);
	else
		fuse_reply_err(req, 0);
}

static void route_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	to_look(req, ino)->opendir(req, ino, fi);
}

static void route_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	to_look(req, ino)->readdir(req, ino, size, off, fi);
}

static void route_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	to_look(req, ino)->readdirplus(req, ino, size, off, fi);
}

static void route_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	to_look(req, ino)->releasedir(req, ino, fi);
}

static void route_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	to_look(req, ino)->getxattr(req, ino, name, size);
}

static void route_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	to_change(req, ino)->setxattr(req, ino, name, value, size, flags);
}

static void route_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	to_look(req, ino)->listxattr(req, ino, size);
}

static void route_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	to_change(req, ino)->removexattr(req, ino, name);
}

static void route_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	to_change(req, ino)->fallocate(req, ino, mode, off, len, fi);
}

static void route_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	to_look(req, ino)->lseek(req, ino, off, whence, fi);
}

/* By where it goes: only files of the spool are open for writing. */
static void route_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
	off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
	if (nodeid_in_spool(to))
		to_change(req, to)->copy_file_range(req, from, from_off, from_fi, to, to_off, to_fi, len, flags);
	else
		fuse_reply_err(req, EROFS);
}

void ops_route_init(struct ops_route *ret)
{
	*ret = (struct ops_route){0};
	ops_set_lookup(&ret->rest);
	ops_set_dir(&ret->rest);
	ops_set_file(&ret->rest);
	ops_set_xattr(&ret->rest);
	ops_set_refuse(&ret->rest);
	ops_set_spool(&ret->spool);
}

static void set_names(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = route_lookup;
	ops->readlink = route_readlink;
	ops->mknod = route_mknod;
	ops->mkdir = route_mkdir;
	ops->unlink = route_unlink;
	ops->rmdir = route_rmdir;
	ops->symlink = route_symlink;
	ops->rename = route_rename;
	ops->link = route_link;
	ops->opendir = route_opendir;
	ops->readdir = route_readdir;
	ops->readdirplus = route_readdirplus;
	ops->releasedir = route_releasedir;
	ops->fsyncdir = route_fsyncdir;
}

void ops_set_route(struct fuse_lowlevel_ops *ops)
{
	set_names(ops);
	ops->getattr = route_getattr;
	ops->setattr = route_setattr;
	ops->access = route_access;
	ops->create = route_create;
	ops->open = route_open;
	ops->read = route_read;
	ops->write = route_write;
	ops->flush = route_flush;
	ops->release = route_release;
	ops->fsync = route_fsync;
	ops->fallocate = route_fallocate;
	ops->lseek = route_lseek;
	ops->copy_file_range = route_copy;
	ops->getxattr = route_getxattr;
	ops->setxattr = route_setxattr;
	ops->listxattr = route_listxattr;
	ops->removexattr = route_removexattr;
}

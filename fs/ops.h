/* SPDX-License-Identifier: MIT */
#ifndef FS_OPS_H
#define FS_OPS_H

/*
 * The FUSE side of the tree: one function a request, each of which finds the
 * node, calls the engine, maps the error and sends exactly one reply. Only
 * the ops_* and session files know FUSE. Requests run in any of libfuse's
 * threads; what they share is struct serve.
 */

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "fs/serve.h"

enum { OPS_READ_MAX = 1 << 20 };

/* Set in *ops what each file answers. */
void ops_set_lookup(struct fuse_lowlevel_ops *ops); /* lookup, getattr, readlink, access, statfs */
void ops_set_dir(struct fuse_lowlevel_ops *ops);    /* opendir, readdir, readdirplus, releasedir */
void ops_set_file(struct fuse_lowlevel_ops *ops);   /* open, read, lseek, release */
void ops_set_xattr(struct fuse_lowlevel_ops *ops);  /* getxattr, listxattr */
void ops_set_refuse(struct fuse_lowlevel_ops *ops); /* all that would change something: EROFS */

/* Of the spool: of working copies and their .commit; changes in spool/ itself too. */
void ops_set_spool(struct fuse_lowlevel_ops *ops);

/* Who answers: `spool` for what ops_set_spool() sets, where the node is of the spool; `rest` for all else. */
struct ops_route {
	struct fuse_lowlevel_ops rest, spool;
};
void ops_route_init(struct ops_route *ret);
/* Sets what sends each request to the right one. */
void ops_set_route(struct fuse_lowlevel_ops *ops);

/* What the session was made with. */
static inline struct serve *ops_serve(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Replies with the errno of `code`; what is a fault is logged, `what` first. */
void ops_fail(fuse_req_t req, const char *what, int code, const struct error *err);
/* As a reply of LOOKUP or READDIRPLUS. */
struct fuse_entry_param ops_entry(struct serve *serve, const struct namespace_node *node);

#endif

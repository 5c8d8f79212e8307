/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/errmap.h"
#include "fs/ops.h"
#include "fs/status.h"

enum { BLOCK_SIZE = 4096, NAME_BYTES_MAX = 255 };
static const double forever = 86400.0 * 365;

void ops_fail(fuse_req_t req, const char *what, int code, const struct error *err)
{
	if (errmap_is_fault(code))
		faults_tell(ops_serve(req)->faults, what, err);
	fuse_reply_err(req, errmap_errno(code));
}

/* A request by id for what is not there (any more): the name is to be looked up again. */
static void fail_by_id(fuse_req_t req, const char *what, int code, const struct error *err)
{
	if (code == ERR_NOT_FOUND)
		fuse_reply_err(req, ESTALE);
	else
		ops_fail(req, what, code, err);
}

/* The size of status.json is that of its text now. */
static void set_status_size(struct serve *serve, struct stat *st)
{
	struct buf text = {0};
	if (status_render(serve, &text, NULL) == 0)
		st->st_size = (off_t)text.len;
	buf_release(&text);
}

struct fuse_entry_param ops_entry(struct serve *serve, const struct namespace_node *node)
{
	struct fuse_entry_param e = {.ino = node->id,
		.attr = node->st,
		.attr_timeout = node->attr_timeout,
		.entry_timeout = node->entry_timeout};
	if (node->id == NODEID_STATUS)
		set_status_size(serve, &e.attr);
	return e;
}

/* In a snapshot a name that is not there will never be: the kernel may remember that. Nowhere else. */
static void reply_no_entry(fuse_req_t req, const struct epoch *epoch, fuse_ino_t parent)
{
	struct nodeid node;
	struct fuse_entry_param none = {.entry_timeout = forever};
	if (nodeid_parse(parent, &node) && node.kind == NODEID_ENTRY && epoch_snapshot(epoch, node.number) != NULL)
		fuse_reply_entry(req, &none);
	else
		fuse_reply_err(req, ENOENT);
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct serve *serve = ops_serve(req);
	struct error err = ERROR_INIT;
	struct namespace_node node;
	const struct epoch *epoch = namespace_epoch(serve->ns);
	int rc = namespace_lookup(serve->ns, epoch, parent, name, &node, &err);

	if (rc == 0) {
		struct fuse_entry_param e = ops_entry(serve, &node);
		ahead_found(serve->ahead, parent);
		fuse_reply_entry(req, &e);
	} else if (rc == ERR_NOT_FOUND) {
		reply_no_entry(req, epoch, parent);
	} else {
		ops_fail(req, "looking up a name", rc, &err);
	}
	epoch_unref(epoch);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct serve *serve = ops_serve(req);
	struct error err = ERROR_INIT;
	struct namespace_node node;
	const struct epoch *epoch = namespace_epoch(serve->ns);
	int rc = namespace_node(serve->ns, epoch, ino, &node, &err);

	(void)fi;
	epoch_unref(epoch);
	if (rc < 0) {
		fail_by_id(req, "reading attributes", rc, &err);
		return;
	}
	struct fuse_entry_param e = ops_entry(serve, &node);
	fuse_reply_attr(req, &e.attr, e.attr_timeout);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct serve *serve = ops_serve(req);
	struct error err = ERROR_INIT;
	struct buf target = {0};
	const struct epoch *epoch = namespace_epoch(serve->ns);
	int rc = namespace_readlink(serve->ns, epoch, ino, &target, &err);

	epoch_unref(epoch);
	buf_put_u8(&target, 0);
	if (rc == 0 && buf_failed(&target))
		rc = error_no_memory(&err, "the target of a link");
	if (rc == 0)
		fuse_reply_readlink(req, (const char *)target.data);
	else
		fail_by_id(req, "reading a symlink", rc, &err);
	buf_release(&target);
}

/* Asked only where the kernel does not check permissions itself: whoever gets in may read. */
static void do_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	(void)ino;
	fuse_reply_err(req, (mask & W_OK) != 0 ? EROFS : 0);
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct serve *serve = ops_serve(req);
	struct statvfs disk, reply = {.f_bsize = BLOCK_SIZE, .f_frsize = BLOCK_SIZE, .f_namemax = NAME_BYTES_MAX};
	const struct epoch *epoch = namespace_epoch(serve->ns);

	(void)ino;
	if (serve->spool_disk != NULL && statvfs(serve->spool_disk, &disk) == 0)
		reply.f_bavail = (uint64_t)disk.f_bavail * disk.f_frsize / BLOCK_SIZE;
	reply.f_bfree = reply.f_bavail;
	reply.f_blocks = epoch->set->archive_bytes / BLOCK_SIZE + reply.f_bfree;
	epoch_unref(epoch);
	fuse_reply_statfs(req, &reply);
}

void ops_set_lookup(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = do_lookup;
	ops->getattr = do_getattr;
	ops->readlink = do_readlink;
	ops->access = do_access;
	ops->statfs = do_statfs;
}

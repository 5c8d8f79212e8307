/* SPDX-License-Identifier: MIT */
/* Attributes of what is in a working copy, extended ones too. What begins with "user.drfs." is never stored. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "fs/ops_spool.h"

static const char reserved[] = "user.drfs.";
static const char commit_attr[] = "user.drfs.commit", result_attr[] = "user.drfs.commit.result";

static struct timespec now(void)
{
	int64_t t = clock_now();
	return (struct timespec){.tv_sec = t / CLOCK_SECOND, .tv_nsec = (long)(t % CLOCK_SECOND)};
}

/* What the kernel wants set, in work.h's words. Access times are not kept. */
static unsigned wanted(int which, struct stat *st)
{
	unsigned set = 0;
	if ((which & FUSE_SET_ATTR_MODE) != 0)
		set |= WORK_SET_MODE;
	if ((which & FUSE_SET_ATTR_UID) != 0)
		set |= WORK_SET_UID;
	if ((which & FUSE_SET_ATTR_GID) != 0)
		set |= WORK_SET_GID;
	if ((which & FUSE_SET_ATTR_SIZE) != 0)
		set |= WORK_SET_SIZE;
	if ((which & FUSE_SET_ATTR_CTIME) != 0)
		set |= WORK_SET_CTIME;
	if ((which & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) != 0)
		set |= WORK_SET_MTIME;
	if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0)
		st->st_mtim = now();
	return set;
}

/* A touch commits; a change of size is what an O_TRUNC leaves behind and means nothing. */
static void set_on_commit(fuse_req_t req, const struct ops_spool_node *node, int which)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
	struct namespace_node commit;

	if ((which & times) != 0) {
		ops_spool_commit_touch(req, node);
	} else if ((which & FUSE_SET_ATTR_SIZE) != 0) {
		namespace_commit_node(ops_serve(req)->ns, node->number, &commit);
		fuse_reply_attr(req, &commit.st, 0);
	} else {
		fuse_reply_err(req, EPERM);
	}
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int which, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct stat st = *attr, now_is;

	(void)fi;
	if (!ops_spool_find(req, ino, &node))
		return;
	if (node.kind != NODEID_WORK) {
		if (node.kind == NODEID_COMMIT)
			set_on_commit(req, &node, which);
		else
			fuse_reply_err(req, EPERM);
		return;
	}
	unsigned set = wanted(which, &st);
	if (fuse_req_ctx(req)->uid != 0)
		set |= (set & WORK_SET_SIZE) != 0 ? (unsigned)WORK_KILL_SET_ID : 0;
	int rc = set != 0 ? work_setattr(node.work, node.ino, set, &st, &now_is, &err)
			  : work_getattr(node.work, node.ino, &now_is, &err);
	if (rc < 0) {
		ops_spool_fail(req, "setting attributes", rc, &err);
		return;
	}
	struct fuse_entry_param e = ops_spool_entry(node.number, &now_is);
	fuse_reply_attr(req, &e.attr, e.attr_timeout);
}

static bool is_reserved(const char *name)
{
	return strncmp(name, reserved, strlen(reserved)) == 0;
}

/* Size 0 asks for the length; else all of it or ERANGE. */
static void reply_value(fuse_req_t req, const struct buf *value, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, value->len);
	else if (value->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)value->data, value->len);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct buf value = {0};

	if (!ops_spool_find(req, ino, &node))
		return;
	if (node.kind == NODEID_COMMIT && strcmp(name, result_attr) == 0) {
		ops_spool_commit_result(req, &node, size);
		return;
	}
	if (node.kind != NODEID_WORK || is_reserved(name)) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	int rc = work_getxattr(node.work, node.ino, name, &value, &err);
	if (rc == 0)
		reply_value(req, &value, size);
	else
		ops_spool_fail(req, "reading an extended attribute", rc, &err);
	buf_release(&value);
}

/* Names without the reserved ones: a snapshot may have been made from files that had such. */
static void keep_shown(const struct buf *all, struct buf *ret)
{
	for (size_t at = 0; at < all->len;) {
		const char *name = (const char *)all->data + at;
		size_t len = strnlen(name, all->len - at) + 1;
		if (!is_reserved(name))
			buf_put(ret, name, len);
		at += len;
	}
}

static void do_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct buf all = {0}, shown = {0};

	if (!ops_spool_find(req, ino, &node))
		return;
	int rc = node.kind == NODEID_WORK ? work_listxattr(node.work, node.ino, &all, &err) : 0;
	if (rc == 0) {
		keep_shown(&all, &shown);
		if (buf_failed(&shown))
			rc = error_no_memory(&err, "the names of extended attributes");
	}
	if (rc == 0)
		reply_value(req, &shown, size);
	else
		ops_spool_fail(req, "listing extended attributes", rc, &err);
	buf_release(&shown);
	buf_release(&all);
}

static void do_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};

	if (!ops_spool_find(req, ino, &node))
		return;
	if (node.kind == NODEID_COMMIT && strcmp(name, commit_attr) == 0) {
		ops_spool_commit_set(req, &node, value, size);
		return;
	}
	if (node.kind != NODEID_WORK || is_reserved(name)) {
		fuse_reply_err(req, EPERM);
		return;
	}
	int rc = work_setxattr(node.work, node.ino, name, value, size, flags, &err);
	ops_spool_reply(req, "setting an extended attribute", rc, &err);
}

static void do_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};

	if (!ops_spool_find(req, ino, &node))
		return;
	if (node.kind != NODEID_WORK || is_reserved(name))
		fuse_reply_err(req, node.kind == NODEID_SPOOL ? EPERM : ENODATA);
	else
		ops_spool_reply(
			req, "removing an extended attribute", work_removexattr(node.work, node.ino, name, &err), &err);
}

void ops_set_spool_attr(struct fuse_lowlevel_ops *ops)
{
	ops->setattr = do_setattr;
	ops->getxattr = do_getxattr;
	ops->listxattr = do_listxattr;
	ops->setxattr = do_setxattr;
	ops->removexattr = do_removexattr;
}

/* SPDX-License-Identifier: MIT */
/* Looking around in a working copy: names, attributes, folders. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/ops_fill.h"
#include "fs/ops_spool.h"

/* Names come into being through this mount alone, so the kernel may remember for a while that one is not there. */
static const double missing_timeout = 60.0;
enum { X_BITS = 0111 };

/* Offsets of "." and ".." come before those of a working copy's entries. */

static void reply_node(fuse_req_t req, int rc, const struct namespace_node *node, const struct error *err)
{
	if (rc < 0) {
		ops_spool_fail(req, "looking up a name", rc, err);
		return;
	}
	struct fuse_entry_param e = {.ino = node->id,
		.attr = node->st,
		.attr_timeout = node->attr_timeout,
		.entry_timeout = node->entry_timeout};
	fuse_reply_entry(req, &e);
}

/* ".." of a working copy's root is spool/, which the namespace knows. */
static void reply_above(fuse_req_t req, fuse_ino_t parent)
{
	struct error err = ERROR_INIT;
	struct namespace_node node;
	struct namespace *ns = ops_serve(req)->ns;
	const struct epoch *epoch = namespace_epoch(ns);
	int rc = namespace_lookup(ns, epoch, parent, "..", &node, &err);
	epoch_unref(epoch);
	reply_node(req, rc, &node, &err);
}

static int find_name(const struct ops_spool_node *folder, const char *name, struct stat *ret, struct error *err)
{
	uint64_t parent = 0;
	if (strcmp(name, ".") == 0)
		return work_getattr(folder->work, folder->ino, ret, err);
	if (strcmp(name, "..") != 0)
		return work_lookup(folder->work, folder->ino, name, ret, err);
	int rc = work_parent(folder->work, folder->ino, &parent, err);
	return rc < 0 ? rc : work_getattr(folder->work, parent, ret, err);
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};
	struct namespace_node node;
	struct stat st;
	struct fuse_entry_param none = {.entry_timeout = missing_timeout};

	if (!ops_spool_find(req, parent, &folder))
		return;
	if (folder.kind != NODEID_WORK) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	if (ops_spool_is_commit(&folder, name)) {
		namespace_commit_node(ops_serve(req)->ns, folder.number, &node);
		reply_node(req, 0, &node, NULL);
		return;
	}
	if (folder.ino == INDEX_ROOT && strcmp(name, "..") == 0) {
		reply_above(req, parent);
		return;
	}
	int rc = find_name(&folder, name, &st, &err);
	if (rc == 0)
		ahead_found(ops_serve(req)->ahead, parent);
	if (rc == ERR_NOT_FOUND)
		fuse_reply_entry(req, &none);
	else
		ops_spool_reply_entry(req, folder.number, "looking up a name", rc, &st, &err);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct namespace_node commit;
	struct stat st;

	(void)fi;
	if (!ops_spool_find(req, ino, &node))
		return;
	if (node.kind == NODEID_COMMIT) {
		namespace_commit_node(ops_serve(req)->ns, node.number, &commit);
		fuse_reply_attr(req, &commit.st, 0);
		return;
	}
	int rc = work_getattr(node.work, node.ino, &st, &err);
	if (rc < 0) {
		ops_spool_fail(req, "reading attributes", rc, &err);
		return;
	}
	struct fuse_entry_param e = ops_spool_entry(node.number, &st);
	fuse_reply_attr(req, &e.attr, e.attr_timeout);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct buf target = {0};

	if (!ops_spool_find_inode(req, ino, &node))
		return;
	int rc = work_readlink(node.work, node.ino, &target, &err);
	buf_put_u8(&target, 0);
	if (rc == 0 && buf_failed(&target))
		rc = error_no_memory(&err, "the target of a link");
	if (rc == 0)
		fuse_reply_readlink(req, (const char *)target.data);
	else
		ops_spool_fail(req, "reading a symlink", rc, &err);
	buf_release(&target);
}

/* Asked only where the kernel does not check permissions itself: whoever gets in may do all but run what is no program.
 */
static void do_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct error ignored = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct stat st;

	if (!ops_spool_find(req, ino, &node))
		return;
	bool refused = node.kind == NODEID_WORK && (mask & X_OK) != 0 &&
		       work_getattr(node.work, node.ino, &st, &ignored) == 0 && S_ISREG(st.st_mode) &&
		       (st.st_mode & X_BITS) == 0;
	fuse_reply_err(req, refused ? EACCES : 0);
}

/* ---- folders ---- */

/* A listing needs no state: offsets say where it stands. */
static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	if (ops_spool_find_inode(req, ino, &node))
		fuse_reply_open(req, fi);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino, (void)fi;
	fuse_reply_err(req, 0);
}

static bool fill_entry(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct ops_fill *f = arg;
	struct fuse_entry_param e = ops_spool_entry(f->number, st);
	/* What is in a folder is not counted for a listing: who wants its links asks, and then it is. */
	if (S_ISDIR(st->st_mode) && st->st_nlink == 1)
		e.attr_timeout = 0;
	return ops_fill_add(f, name, &e, next + OPS_FILL_DOTS);
}

/* The number of "..", which is the folder itself where it is not known. */
static fuse_ino_t parent_of(const struct ops_spool_node *node)
{
	struct error ignored = ERROR_INIT;
	uint64_t parent = node->ino;

	if (node->ino == INDEX_ROOT)
		return NODEID_SPOOL;
	(void)work_parent(node->work, node->ino, &parent, &ignored);
	return nodeid_work(node->number, parent);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	uint64_t at = (uint64_t)off, behind = at < OPS_FILL_DOTS ? 0 : at - OPS_FILL_DOTS;
	struct ops_fill f;

	if (!ops_spool_find_inode(req, ino, &node))
		return;
	int rc = ops_fill_begin(&f, req, size, plus, &err);
	f.number = node.number;
	/* Who goes on behind the dots does not need the number of what is above. */
	fuse_ino_t above = at < OPS_FILL_DOTS ? parent_of(&node) : ino;
	if (rc == 0 && ops_fill_dots(&f, at, ino, above))
		rc = work_list(node.work, node.ino, behind, fill_entry, &f, &err);
	ops_fill_end(&f, rc, &err);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	read_dir(req, ino, size, off, false);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	read_dir(req, ino, size, off, true);
}

static void do_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};

	(void)data_only, (void)fi;
	if (ops_spool_find(req, ino, &node))
		ops_spool_reply(req, "syncing a folder", node.work != NULL ? work_fsync_dir(node.work, &err) : 0, &err);
}

void ops_set_spool_look(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = do_lookup;
	ops->getattr = do_getattr;
	ops->readlink = do_readlink;
	ops->access = do_access;
	ops->opendir = do_opendir;
	ops->releasedir = do_releasedir;
	ops->readdir = do_readdir;
	ops->readdirplus = do_readdirplus;
	ops->fsyncdir = do_fsyncdir;
}

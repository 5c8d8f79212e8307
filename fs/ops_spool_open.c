/* SPDX-License-Identifier: MIT */
/* Files of a working copy: opened, made, closed. */
#include <errno.h>
#include <fcntl.h>

#include "fs/ops_spool.h"

/*
 * Who only writes gains nothing by the page cache: his bytes come straight here, and the kernel does not ask for the
 * file's capabilities before each write, as it does else.
 */
static void give(fuse_req_t req, struct work_file *file, struct fuse_file_info *fi, bool keep)
{
	fi->fh = (uintptr_t)file;
	fi->keep_cache = keep;
	fi->direct_io = ops_serve(req)->direct_writes && (fi->flags & O_ACCMODE) == O_WRONLY;
	/* Who cannot write has nothing to tell at close. */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

static struct work_file *given(const struct fuse_file_info *fi)
{
	return (struct work_file *)(uintptr_t)fi->fh;
}

/* Nobody will close it: the one who opened it was interrupted. */
static void give_up(struct work_file *file)
{
	struct error ignored = ERROR_INIT;
	if (file != NULL)
		work_file_close(file, &ignored);
}

static bool wants_to_write(const struct fuse_file_info *fi)
{
	return (fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0;
}

/* O_TRUNC is left to OPEN by the kernel, and with it which bits go. *ret: what it is then. A file that fails is closed.
 */
static int cut_by(fuse_req_t req, const struct ops_spool_node *node, uint64_t ino, struct work_file *file,
	struct stat *ret, struct error *err)
{
	int rc = ops_spool_disarm(req, nodeid_work(node->number, ino), file, err);
	if (rc == 0)
		rc = work_getattr(node->work, ino, ret, err);
	if (rc < 0)
		give_up(file);
	return rc;
}

static int open_file(const struct ops_spool_node *node, const struct fuse_file_info *fi, struct work_file **ret_file,
	bool *ret_keep, struct error *err)
{
	struct stat st;
	bool truncate = (fi->flags & O_TRUNC) != 0;
	int rc = work_getattr(node->work, node->ino, &st, err);
	if (rc == 0)
		rc = work_file_open(node->work, node->ino, wants_to_write(fi), truncate, ret_file, err);
	if (rc == 0)
		/* A file with several links may have been written under another of its ids. */
		*ret_keep = st.st_nlink <= 1;
	return rc;
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct work_file *file = NULL;
	struct stat st;
	bool keep = false;

	if (!ops_spool_find(req, ino, &node))
		return;
	int rc = node.kind == NODEID_WORK ? open_file(&node, fi, &file, &keep, &err) : 0;
	if (rc == 0 && file != NULL && (fi->flags & O_TRUNC) != 0)
		rc = cut_by(req, &node, node.ino, file, &st, &err);
	if (rc < 0) {
		ops_spool_fail(req, "opening a file", rc, &err);
		return;
	}
	give(req, file, fi, keep);
	if (fuse_reply_open(req, fi) < 0)
		give_up(file);
}

/* One that was made by somebody else meanwhile is opened, unless it must be new. */
static int make_file(fuse_req_t req, const struct ops_spool_node *folder, const char *name, mode_t mode,
	const struct fuse_file_info *fi, struct stat *ret_st, struct work_file **ret_file, struct error *err)
{
	bool truncate = false;
	int rc = work_make(folder->work, folder->ino, name, S_IFREG | mode, 0, ops_spool_owner(req), ret_st, err);
	if (rc == WORK_EEXIST && (fi->flags & O_EXCL) == 0) {
		error_clear(err);
		truncate = (fi->flags & O_TRUNC) != 0;
		rc = work_lookup(folder->work, folder->ino, name, ret_st, err);
	}
	if (rc == 0)
		rc = work_file_open(folder->work, ret_st->st_ino, wants_to_write(fi), truncate, ret_file, err);
	return rc == 0 && truncate ? cut_by(req, folder, ret_st->st_ino, *ret_file, ret_st, err) : rc;
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node folder OPS_SPOOL_HELD = {0};
	struct work_file *file = NULL;
	struct stat st;

	if (!ops_spool_find_inode(req, parent, &folder))
		return;
	/* .commit is there already, whatever the kernel thought. */
	if (ops_spool_is_commit(&folder, name)) {
		fuse_reply_err(req, (fi->flags & O_EXCL) != 0 ? EEXIST : ESTALE);
		return;
	}
	int rc = make_file(req, &folder, name, mode, fi, &st, &file, &err);
	if (rc < 0) {
		ops_fail(req, "making a file", rc, &err);
		return;
	}
	struct fuse_entry_param e = ops_spool_entry(folder.number, &st);
	give(req, file, fi, true);
	if (fuse_reply_create(req, &e, fi) < 0)
		give_up(file);
}

/* Is the change to be in the store before close(2) returns, and is it not yet? */
static bool must_wait(fuse_req_t req, const struct ops_spool_node *node, uint64_t change)
{
	const struct mount_options *o = ops_serve(req)->options;
	struct work_state state = {0};
	if (change == 0 || node->kind != NODEID_WORK || o->rule == NULL ||
		o->rule(o->rule_arg, work_dataset(node->work)).durability != SPOOL_REMOTE)
		return false;
	work_get_state(node->work, &state);
	return state.committed < change;
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct ops_spool_node node OPS_SPOOL_HELD = {0};
	struct work_file *file = given(fi);

	if (!ops_spool_find(req, ino, &node))
		return;
	int rc = file != NULL ? work_flush(file, &err) : 0;
	uint64_t change = rc == 0 && file != NULL ? work_file_change(file) : 0;
	if (must_wait(req, &node, change))
		ops_spool_commit_change(req, &node, change);
	else
		ops_spool_reply(req, "closing a file", rc, &err);
}

/* What fails here nobody asks for any more; close(2) was told by FLUSH. */
static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct work_file *file = given(fi);

	(void)ino;
	if (file != NULL && work_file_close(file, &err) < 0)
		faults_tell(ops_serve(req)->faults, "closing a file", &err);
	fuse_reply_err(req, 0);
}

void ops_set_spool_open(struct fuse_lowlevel_ops *ops)
{
	ops->open = do_open;
	ops->create = do_create;
	ops->flush = do_flush;
	ops->release = do_release;
}

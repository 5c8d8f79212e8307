/* SPDX-License-Identifier: MIT */
/* From node ids of the spool to working copies, and from their errors to replies. */
#include "fs/ops_spool.h"

#include <errno.h>
#include <string.h>

#include "fs/invalidate.h"

static const char commit_name[] = ".commit";
enum { UMASK_BITS = 0777 };

bool ops_spool_find(fuse_req_t req, fuse_ino_t id, struct ops_spool_node *ret)
{
	struct nodeid node;
	bool known = nodeid_parse(id, &node) && nodeid_in_spool(id);
	if (known)
		*ret = (struct ops_spool_node){.kind = node.kind, .number = node.number, .ino = node.ino};
	if (known && node.kind != NODEID_SPOOL) {
		ret->works = namespace_works(ops_serve(req)->ns);
		ret->work = worktable_find(ret->works, node.number);
		known = ret->work != NULL;
	}
	if (!known)
		fuse_reply_err(req, ESTALE);
	return known;
}

void ops_spool_put(struct ops_spool_node *node)
{
	if (node->work != NULL)
		worktable_release(node->works, node->number);
	node->work = NULL;
}

bool ops_spool_find_inode(fuse_req_t req, fuse_ino_t id, struct ops_spool_node *ret)
{
	if (!ops_spool_find(req, id, ret))
		return false;
	if (ret->kind == NODEID_WORK)
		return true;
	ops_spool_put(ret);
	fuse_reply_err(req, EPERM);
	return false;
}

/* Not held twice: whoever waits for the first to be let go of would keep the second one out. */
bool ops_spool_find_second(
	fuse_req_t req, fuse_ino_t id, const struct ops_spool_node *first, struct ops_spool_node *ret)
{
	struct nodeid node;
	bool known = nodeid_parse(id, &node);
	if (known && node.kind == NODEID_WORK && node.number == first->number) {
		*ret = *first;
		ret->ino = node.ino;
		return true;
	}
	fuse_reply_err(req, known && node.kind != NODEID_WORK ? EPERM : EXDEV);
	return false;
}

bool ops_spool_is_commit(const struct ops_spool_node *folder, const char *name)
{
	return folder->kind == NODEID_WORK && folder->ino == INDEX_ROOT && strcmp(name, commit_name) == 0;
}

struct fuse_entry_param ops_spool_entry(uint32_t number, const struct stat *st)
{
	struct namespace_node node;
	namespace_work_node(number, st, &node);
	return (struct fuse_entry_param){.ino = node.id,
		.attr = node.st,
		.attr_timeout = node.attr_timeout,
		.entry_timeout = node.entry_timeout};
}

void ops_spool_reply_entry(
	fuse_req_t req, uint32_t number, const char *what, int rc, const struct stat *st, const struct error *err)
{
	if (rc < 0) {
		ops_fail(req, what, rc, err);
		return;
	}
	struct fuse_entry_param e = ops_spool_entry(number, st);
	fuse_reply_entry(req, &e);
}

void ops_spool_reply(fuse_req_t req, const char *what, int rc, const struct error *err)
{
	if (rc < 0)
		ops_fail(req, what, rc, err);
	else
		fuse_reply_err(req, 0);
}

void ops_spool_fail(fuse_req_t req, const char *what, int rc, const struct error *err)
{
	if (rc == ERR_NOT_FOUND)
		fuse_reply_err(req, ESTALE);
	else
		ops_fail(req, what, rc, err);
}

struct work_owner ops_spool_owner(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	/* Where the kernel weighs no ACLs it has applied the umask itself. */
	mode_t umask_bits = ops_serve(req)->options->allow_other ? ctx->umask & UMASK_BITS : 0;
	return (struct work_owner){.uid = ctx->uid, .gid = ctx->gid, .umask = umask_bits};
}

int ops_spool_disarm(fuse_req_t req, fuse_ino_t ino, struct work_file *file, struct error *err)
{
	bool dropped = false;
	int rc = work_disarm(file, fuse_req_ctx(req)->uid != 0, &dropped, err);
	/* Replies of these requests carry no attributes, and the kernel would run the file by the mode that it knows.
	 */
	if (dropped)
		invalidate_attributes(ops_serve(req)->fuse, ino);
	return rc;
}

void ops_set_spool(struct fuse_lowlevel_ops *ops)
{
	ops_set_spool_look(ops);
	ops_set_spool_make(ops);
	ops_set_spool_open(ops);
	ops_set_spool_file(ops);
	ops_set_spool_attr(ops);
}

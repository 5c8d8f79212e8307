/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mountpoint.h"
#include "fs/ops.h"

static const char ref_name[] = "user.drfs.ref";

/* The entry of a snapshot that an id stands for, pinned; and the epoch that holds it. */
struct pinned {
	const struct epoch *epoch;
	struct view_entry entry;
};

static int pin(struct serve *serve, const struct nodeid *node, struct pinned *ret, struct error *err)
{
	struct pinned p = {.epoch = namespace_epoch(serve->ns)};
	const struct snapshot *s = epoch_snapshot(p.epoch, node->number);
	int rc = s != NULL ? view_at(serve->view, s, node->rank, &p.entry, err)
			   : error_set(err, ERR_NOT_FOUND, "the snapshot is gone");
	if (rc < 0) {
		epoch_unref(p.epoch);
		return rc;
	}
	*ret = p;
	return 0;
}

static void unpin(struct serve *serve, struct pinned *p)
{
	view_put(serve->view, &p->entry);
	epoch_unref(p->epoch);
}

/* All xattrs of a node, encoded. Virtual ones have none. */
static int read_all(struct serve *serve, fuse_ino_t ino, struct buf *ret, struct error *err)
{
	struct nodeid node;
	struct pinned p;
	if (!nodeid_parse(ino, &node) || node.kind != NODEID_ENTRY)
		return 0;
	int rc = pin(serve, &node, &p, err);
	if (rc < 0)
		return rc;
	rc = view_xattrs(serve->view, &p.entry, ret, err);
	unpin(serve, &p);
	return rc;
}

/* Size 0 asks for the length; else all of it or ERANGE. */
static void reply_value(fuse_req_t req, const void *value, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, value, len);
}

/* The path of a node in its snapshot, appended; nothing for what is not in one. */
static int path_of(struct serve *serve, const struct nodeid *node, struct buf *ret, struct error *err)
{
	struct pinned p;
	if (node->kind != NODEID_ENTRY || node->rank == 0)
		return 0;
	int rc = pin(serve, node, &p, err);
	if (rc < 0)
		return rc;
	entry_key_to_path(ret, p.entry.entry->key, p.entry.entry->key_len);
	unpin(serve, &p);
	return buf_failed(ret) ? error_no_memory(err, "a path") : 0;
}

static void reply_ref(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct serve *serve = ops_serve(req);
	struct error err = ERROR_INIT;
	struct nodeid node;
	struct buf path = {0};
	const char *dataset = NULL, *snapshot = NULL;
	const struct epoch *epoch = namespace_epoch(serve->ns);

	if (!nodeid_parse(ino, &node) || !namespace_ref(epoch, &node, &dataset, &snapshot)) {
		fuse_reply_err(req, ENODATA);
		goto out;
	}
	int rc = path_of(serve, &node, &path, &err);
	char *text =
		rc == 0 ? mountpoint_ref_format(serve->repo->config.repository, dataset, snapshot, path.data, path.len)
			: NULL;
	if (text != NULL)
		reply_value(req, text, strlen(text), size);
	else
		ops_fail(req, "telling what a path means", rc < 0 ? rc : ERR_NO_MEMORY, &err);
	free(text);
out:
	buf_release(&path);
	epoch_unref(epoch);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct error err = ERROR_INIT;
	struct buf all = {0};
	if (strcmp(name, ref_name) == 0) {
		reply_ref(req, ino, size);
		return;
	}
	int rc = read_all(ops_serve(req), ino, &all, &err);
	if (rc < 0) {
		ops_fail(req, "reading an extended attribute", rc, &err);
		buf_release(&all);
		return;
	}
	struct cursor c = cursor_of(all.data, all.len);
	const char *at = NULL;
	const uint8_t *value = NULL;
	size_t at_len = 0, len = 0, name_len = strlen(name);
	bool found = false;
	while (!found && xattr_next(&c, &at, &at_len, &value, &len))
		found = at_len == name_len && memcmp(at, name, name_len) == 0;
	if (found)
		reply_value(req, value, len, size);
	else
		fuse_reply_err(req, ENODATA);
	buf_release(&all);
}

static void do_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct error err = ERROR_INIT;
	struct buf all = {0}, names = {0};
	int rc = read_all(ops_serve(req), ino, &all, &err);
	struct cursor c = cursor_of(all.data, all.len);
	const char *name = NULL;
	const uint8_t *value = NULL;
	size_t name_len = 0, len = 0;

	/* A stored attribute by the name of the ref would be hidden behind it: not listed either. */
	while (rc == 0 && xattr_next(&c, &name, &name_len, &value, &len)) {
		if (name_len == strlen(ref_name) && memcmp(name, ref_name, name_len) == 0)
			continue;
		buf_put(&names, name, name_len);
		buf_put_u8(&names, 0);
	}
	if (rc == 0 && buf_failed(&names))
		rc = error_no_memory(&err, "the names of extended attributes");
	if (rc == 0)
		reply_value(req, names.data, names.len, size);
	else
		ops_fail(req, "listing extended attributes", rc, &err);
	buf_release(&names);
	buf_release(&all);
}

void ops_set_xattr(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = do_getxattr;
	ops->listxattr = do_listxattr;
}

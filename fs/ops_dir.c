/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fs/ops_fill.h"

/* An open folder: one of a snapshot, or a virtual one, frozen as it was when it was opened. */
struct open_dir {
	struct view_dir *view; /* NULL: virtual */
	struct namespace_listing *listing;
	uint64_t parent; /* node id of ".." */
};

static void open_dir_free(struct open_dir *d)
{
	if (d == NULL)
		return;
	free(d->view);
	namespace_listing_free(d->listing);
	free(d);
}

static int open_in_snapshot(struct serve *serve, const struct epoch *epoch, const struct nodeid *node,
	struct open_dir *d, struct error *err)
{
	const struct snapshot *s = epoch_snapshot(epoch, node->number);
	if (s == NULL)
		return error_set(err, ERR_NOT_FOUND, "the snapshot is gone");
	int rc = view_dir_open(serve->view, s, node->rank, &d->view, err);
	if (rc == 0)
		d->parent = nodeid_entry(node->number, d->view->parent);
	return rc;
}

static int open_it(struct serve *serve, fuse_ino_t ino, struct open_dir *d, struct error *err)
{
	struct nodeid node;
	struct namespace_node parent;
	const struct epoch *epoch = namespace_epoch(serve->ns);
	bool inside = nodeid_parse(ino, &node) && node.kind == NODEID_ENTRY;
	int rc = inside ? open_in_snapshot(serve, epoch, &node, d, err)
			: namespace_list(serve->ns, epoch, ino, &d->listing, err);

	if (rc == 0 && (!inside || node.rank == 0))
		d->parent = namespace_lookup(serve->ns, epoch, ino, "..", &parent, NULL) == 0 ? parent.id : ino;
	epoch_unref(epoch);
	return rc;
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct open_dir *d = calloc(1, sizeof(*d));
	int rc = d != NULL ? open_it(ops_serve(req), ino, d, &err) : error_no_memory(&err, "an open folder");

	if (rc < 0) {
		open_dir_free(d);
		ops_fail(req, "opening a folder", rc, &err);
		return;
	}
	/* What is in a snapshot stays; the virtual folders are asked each time. */
	fi->cache_readdir = fi->keep_cache = d->view != NULL;
	fi->fh = (uintptr_t)d;
	if (fuse_reply_open(req, fi) < 0)
		open_dir_free(d); /* the opener was interrupted: there will be no release */
}

static void do_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	open_dir_free((struct open_dir *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static bool fill_entry(void *arg, const struct view_entry *entry, const char *name, uint64_t next)
{
	struct ops_fill *f = arg;
	struct namespace_node node;
	namespace_entry_node(entry, &node);
	struct fuse_entry_param e = {.ino = node.id,
		.attr = node.st,
		.attr_timeout = node.attr_timeout,
		.entry_timeout = node.entry_timeout};
	return ops_fill_add(f, name, &e, next);
}

_Static_assert((int)VIEW_DIR_FIRST == (int)OPS_FILL_DOTS, "one offset behind the dots");

static int fill_snapshot(struct ops_fill *f, const struct open_dir *d, uint64_t off, struct error *err)
{
	struct serve *serve = ops_serve(f->req);
	const struct epoch *epoch = namespace_epoch(serve->ns);
	const struct snapshot *s = epoch_snapshot(epoch, d->view->number);
	int rc = s != NULL ? view_dir_list(serve->view, s, d->view, off, fill_entry, f, err)
			   : error_set(err, ERR_NOT_FOUND, "the snapshot is gone");
	epoch_unref(epoch);
	return rc;
}

/* Attributes are given where they can be had; a name whose node is gone is listed without. */
static void fill_listing(struct ops_fill *f, const struct open_dir *d, uint64_t off)
{
	struct serve *serve = ops_serve(f->req);
	const struct epoch *epoch = namespace_epoch(serve->ns);
	for (uint64_t i = off < VIEW_DIR_FIRST ? 0 : off - VIEW_DIR_FIRST; i < d->listing->count; i++) {
		const struct namespace_item *item = &d->listing->items[i];
		struct fuse_entry_param e = {.attr = {.st_ino = item->id, .st_mode = item->type}};
		struct namespace_node node;
		if (f->plus && namespace_node(serve->ns, epoch, item->id, &node, NULL) == 0)
			e = ops_entry(serve, &node);
		if (!ops_fill_add(f, (const char *)d->listing->names.data + item->name, &e, i + VIEW_DIR_FIRST + 1))
			break;
	}
	epoch_unref(epoch);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct error err = ERROR_INIT;
	const struct open_dir *d = (const struct open_dir *)(uintptr_t)fi->fh;
	struct ops_fill f;
	uint64_t at = (uint64_t)off;
	int rc = ops_fill_begin(&f, req, size, plus, &err);

	if (rc == 0 && ops_fill_dots(&f, at, ino, d->parent)) {
		if (d->view != NULL)
			rc = fill_snapshot(&f, d, at, &err);
		else
			fill_listing(&f, d, at);
	}
	ops_fill_end(&f, rc, &err);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

void ops_set_dir(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = do_opendir;
	ops->readdir = do_readdir;
	ops->readdirplus = do_readdirplus;
	ops->releasedir = do_releasedir;
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fs/ops.h"

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

/* A reply to READDIR or READDIRPLUS that is being filled. */
struct fill {
	fuse_req_t req;
	struct serve *serve;
	char *data;
	size_t size, used;
	bool plus;
};

/* False when it did not fit. */
static bool fill_add(struct fill *f, const char *name, const struct fuse_entry_param *e, uint64_t next)
{
	char *at = f->data + f->used;
	size_t left = f->size - f->used;
	size_t need = f->plus ? fuse_add_direntry_plus(f->req, at, left, name, e, (off_t)next)
			      : fuse_add_direntry(f->req, at, left, name, &e->attr, (off_t)next);
	if (need > left)
		return false;
	f->used += need;
	return true;
}

/* "." and "..", of which the kernel takes nothing but the number. */
static bool fill_dots(struct fill *f, fuse_ino_t ino, const struct open_dir *d, uint64_t off)
{
	struct fuse_entry_param e = {.attr = {.st_ino = ino, .st_mode = S_IFDIR}};
	if (off == 0 && !fill_add(f, ".", &e, 1))
		return false;
	e.attr.st_ino = d->parent;
	return off > 1 || fill_add(f, "..", &e, VIEW_DIR_FIRST);
}

static bool fill_entry(void *arg, const struct view_entry *entry, const char *name, uint64_t next)
{
	struct fill *f = arg;
	struct namespace_node node;
	namespace_entry_node(entry, &node);
	struct fuse_entry_param e = {.ino = node.id,
		.attr = node.st,
		.attr_timeout = node.attr_timeout,
		.entry_timeout = node.entry_timeout};
	return fill_add(f, name, &e, next);
}

static int fill_snapshot(struct fill *f, const struct open_dir *d, uint64_t off, struct error *err)
{
	const struct epoch *epoch = namespace_epoch(f->serve->ns);
	const struct snapshot *s = epoch_snapshot(epoch, d->view->number);
	int rc = s != NULL ? view_dir_list(f->serve->view, s, d->view, off, fill_entry, f, err)
			   : error_set(err, ERR_NOT_FOUND, "the snapshot is gone");
	epoch_unref(epoch);
	return rc;
}

/* Attributes are given where they can be had; a name whose node is gone is listed without. */
static void fill_listing(struct fill *f, const struct open_dir *d, uint64_t off)
{
	const struct epoch *epoch = namespace_epoch(f->serve->ns);
	for (uint64_t i = off < VIEW_DIR_FIRST ? 0 : off - VIEW_DIR_FIRST; i < d->listing->count; i++) {
		const struct namespace_item *item = &d->listing->items[i];
		struct fuse_entry_param e = {.attr = {.st_ino = item->id, .st_mode = item->type}};
		struct namespace_node node;
		if (f->plus && namespace_node(f->serve->ns, epoch, item->id, &node, NULL) == 0)
			e = ops_entry(f->serve, &node);
		if (!fill_add(f, (const char *)d->listing->names.data + item->name, &e, i + VIEW_DIR_FIRST + 1))
			break;
	}
	epoch_unref(epoch);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, bool plus)
{
	struct error err = ERROR_INIT;
	const struct open_dir *d = (const struct open_dir *)(uintptr_t)fi->fh;
	struct fill f = {.req = req, .serve = ops_serve(req), .data = malloc(size), .size = size, .plus = plus};
	uint64_t at = (uint64_t)off;
	int rc = f.data == NULL ? error_no_memory(&err, "a listing") : 0;

	if (rc == 0 && (at >= VIEW_DIR_FIRST || fill_dots(&f, ino, d, at))) {
		if (d->view != NULL)
			rc = fill_snapshot(&f, d, at, &err);
		else
			fill_listing(&f, d, at);
	}
	/* After the first entry an error has to wait: the kernel already counts what was sent. It comes with the next
	 * call. */
	if (rc < 0 && f.used == 0)
		ops_fail(req, "listing a folder", rc, &err);
	else
		fuse_reply_buf(req, f.data, f.used);
	free(f.data);
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

/* SPDX-License-Identifier: MIT */
#include "fs/ops_fill.h"

#include <stdlib.h>

int ops_fill_begin(struct ops_fill *f, fuse_req_t req, size_t size, bool plus, struct error *err)
{
	*f = (struct ops_fill){.req = req, .data = malloc(size), .size = size, .plus = plus};
	return f->data == NULL ? error_no_memory(err, "a listing") : 0;
}

bool ops_fill_add(struct ops_fill *f, const char *name, const struct fuse_entry_param *e, uint64_t next)
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

bool ops_fill_dots(struct ops_fill *f, uint64_t off, fuse_ino_t self, fuse_ino_t parent)
{
	struct fuse_entry_param e = {.attr = {.st_ino = self, .st_mode = S_IFDIR}};
	if (off == 0 && !ops_fill_add(f, ".", &e, 1))
		return false;
	e.attr.st_ino = parent;
	return off >= OPS_FILL_DOTS || ops_fill_add(f, "..", &e, OPS_FILL_DOTS);
}

void ops_fill_end(struct ops_fill *f, int rc, const struct error *err)
{
	/* After the first entry an error has to wait: the kernel already counts what was sent. It comes with the next
	 * call. */
	if (rc < 0 && f->used == 0)
		ops_fail(f->req, "listing a folder", rc, err);
	else
		fuse_reply_buf(f->req, f->data, f->used);
	free(f->data);
}

/* SPDX-License-Identifier: MIT */
#ifndef FS_OPS_FILL_H
#define FS_OPS_FILL_H

/*
 * The reply to one READDIR or READDIRPLUS, filled entry by entry until it is
 * full: of snapshots, of virtual folders and of working copies alike. Belongs
 * to the thread that answers the request.
 */

#include "fs/ops.h"

struct ops_fill {
	fuse_req_t req;
	uint32_t number; /* of the working copy that is listed, if one is; the caller's */
	char *data;
	size_t size, used;
	bool plus;
};

/* The offset behind "." and "..". */
enum { OPS_FILL_DOTS = 2 };

/* An empty reply of `size` bytes, to be given back by ops_fill_end(). ERR_NO_MEMORY. */
int ops_fill_begin(struct ops_fill *f, fuse_req_t req, size_t size, bool plus, struct error *err);
/* Adds an entry; `next` is the offset behind it. False when it did not fit: the listing ends here. */
bool ops_fill_add(struct ops_fill *f, const char *name, const struct fuse_entry_param *e, uint64_t next);
/* "." and "..", as far as `off` has not passed them: of these the kernel takes nothing but the number. False: full. */
bool ops_fill_dots(struct ops_fill *f, uint64_t off, fuse_ino_t self, fuse_ino_t parent);
/* Answers the request with what is there, or with the error where nothing is, and frees it. */
void ops_fill_end(struct ops_fill *f, int rc, const struct error *err);

#endif

/* SPDX-License-Identifier: MIT */

/* What lets a file run with more rights than who runs it has goes when somebody changes it. */

#include "fs/spool/work_impl.h"

static const char capability[] = "security.capability";

unsigned work_arms(const struct index_inode *row)
{
	const uint8_t *value;
	size_t len;
	/* On a folder, and without the right to run it as its group, the bits mean something else. */
	bool set_id = (row->mode & S_ISUID) != 0 || (row->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
	if (S_ISDIR(row->mode))
		return 0;
	return (set_id ? WORK_ARM_SET_ID : 0u) |
	       (xattrs_find(&row->xattrs, capability, &value, &len) ? WORK_ARM_CAPABILITY : 0u);
}

int work_disarm_row(struct index_inode *row, unsigned which, struct error *err)
{
	struct buf xattrs = {0};
	which &= work_arms(row);
	if ((which & WORK_ARM_CAPABILITY) != 0) {
		xattrs_set(&row->xattrs, capability, NULL, 0, &xattrs);
		if (buf_failed(&xattrs)) {
			buf_release(&xattrs);
			return error_no_memory(err, "extended attributes");
		}
		buf_release(&row->xattrs);
		row->xattrs = xattrs;
	}
	if ((which & WORK_ARM_SET_ID) != 0)
		row->mode &= ~(uint32_t)(S_ISUID | ((row->mode & S_IXGRP) != 0 ? S_ISGID : 0));
	return 0;
}

/* Under the lock. */
static int disarm(struct work *w, struct active *a, unsigned which, bool *ret_dropped, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	int rc = work_up(w, a->ino, &row, err);
	bool drop = rc == 0 && (work_arms(&row) & which) != 0;
	if (drop)
		rc = work_disarm_row(&row, which, err);
	if (drop && rc == 0) {
		row.ctime = work_now();
		row.changed = work_change(w);
		rc = index_put(w->index, &row, err);
	}
	if (rc == 0) {
		atomic_store(&a->arms, work_arms(&row));
		*ret_dropped = drop;
	}
	index_inode_release(&row);
	return rc;
}

/* A file without a row is not brought up to learn that it has none. */
static int arms_of(struct work *w, struct active *a, unsigned *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	bool up;
	if (atomic_load_explicit(&a->up, memory_order_acquire)) {
		*ret = atomic_load_explicit(&a->arms, memory_order_relaxed);
		return 0;
	}
	work_lock(w);
	int rc = work_peek(w, a->ino, &row, &up, err);
	work_unlock(w);
	if (rc == 0 && !up)
		rc = view_at(w->view, w->base, (uint32_t)a->ino, &e, err);
	if (rc == 0 && !up) {
		rc = view_xattrs(w->view, &e, &row.xattrs, err);
		view_put(w->view, &e);
	}
	if (rc == 0 && buf_failed(&row.xattrs))
		rc = error_no_memory(err, "extended attributes");
	if (rc == 0)
		*ret = work_arms(&row);
	index_inode_release(&row);
	return rc;
}

int work_disarm_active(struct work *w, struct active *a, bool set_id, bool *ret_dropped, struct error *err)
{
	unsigned which = WORK_ARM_CAPABILITY | (set_id ? WORK_ARM_SET_ID : 0u), arms = 0;
	int rc = arms_of(w, a, &arms, err);
	if (rc == 0 && (arms & which) != 0)
		rc = work_active_ready(w, a, err);
	if (rc < 0 || (arms & which) == 0)
		return rc;
	work_lock(w);
	rc = disarm(w, a, which, ret_dropped, err);
	work_unlock(w);
	return rc;
}

int work_disarm(struct work_file *f, bool set_id, bool *ret_dropped, struct error *err)
{
	return work_disarm_active(f->w, f->a, set_id, ret_dropped, err);
}

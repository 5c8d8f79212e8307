/* SPDX-License-Identifier: MIT */

/* Taking names away: unlink, rmdir, and what a rename replaces. */

#include <stdlib.h>

#include "fs/spool/work_impl.h"

int work_name_gone(struct work *w, uint64_t dir, const char *name, const struct work_name *n, struct error *err)
{
	if (n->in_base)
		return index_name_put(w->index, dir, name, INDEX_NONE, err);
	return n->listed ? index_name_drop(w->index, dir, name, err) : 0;
}

int work_dir_touch(struct work *w, struct index_inode *dir, uint64_t change, struct error *err)
{
	dir->mtime = dir->ctime = work_now();
	dir->changed = change;
	return index_put(w->index, dir, err);
}

/* ---- is a folder empty? ---- */

struct tally {
	uint64_t shown, whiteouts;
};

static int count_name(void *arg, const struct index_name *name, struct error *err)
{
	struct tally *t = arg;
	(void)err;
	if (name->ino != INDEX_NONE)
		t->shown++;
	else
		t->whiteouts++;
	return t->shown > 0 ? 1 : 0;
}

/* How many entries a folder has of its own in the base: their keys stand together. */
static int base_entries(struct work *w, uint64_t lower, uint64_t *ret, struct error *err)
{
	struct view_dir *dir;
	struct buf behind = {0};
	uint64_t end = 0;
	int rc = view_dir_open(w->view, w->base, (uint32_t)lower, &dir, err);
	if (rc < 0)
		return rc;
	buf_put(&behind, dir->prefix, dir->prefix_len - 1);
	buf_put_u8(&behind, 1);
	rc = buf_failed(&behind) ? error_no_memory(err, "a key")
				 : tree_rank(reader_nodes(view_reader(w->view)), &w->base->root, behind.data,
					   behind.len, &end, err);
	if (rc == 0)
		*ret = end - dir->first;
	buf_release(&behind);
	free(dir);
	return rc;
}

/* Whiteouts stand only where the base shows a name, so counting tells. */
int work_dir_empty(struct work *w, const struct index_inode *dir, bool *ret_empty, struct error *err)
{
	struct tally t = {0};
	uint64_t below = 0;
	int rc = index_list(w->index, dir->ino, 0, count_name, &t, err);
	if (rc >= 0)
		rc = t.shown == 0 && dir->lower != INDEX_NONE ? base_entries(w, dir->lower, &below, err) : 0;
	if (rc == 0)
		*ret_empty = t.shown == 0 && t.whiteouts == below;
	return rc;
}

/* ---- inodes that lose a name ---- */

static int file_less(struct work *w, struct index_inode *row, uint64_t change, struct error *err)
{
	struct active *a = work_active(w, row->ino);
	row->nlink -= row->nlink > 0;
	row->ctime = work_now();
	row->changed = change;
	if (row->nlink > 0)
		return index_put(w->index, row, err);
	map_drop(&w->fresh, row->ino);
	if (a == NULL) {
		work_drop_layers(w, &row->layers);
		return index_drop(w->index, row->ino, err);
	}
	a->unlinked = true;
	atomic_store(&a->arms, work_arms(row));
	atomic_store(&a->up, true);
	return index_put(w->index, row, err);
}

/* The row of a folder of the base stays while this runs: else the base would show through to who still stands in it. */
static int folder_less(struct work *w, struct index_inode *row, uint64_t change, struct error *err)
{
	int rc = index_names_drop(w->index, row->ino, err);
	map_drop(&w->folders, row->ino);
	if (rc < 0)
		return rc;
	if (row->ino >= INDEX_NEW)
		return index_drop(w->index, row->ino, err);
	row->nlink = 0;
	row->lower = INDEX_NONE;
	row->changed = change;
	return index_put(w->index, row, err);
}

int work_inode_less(struct work *w, uint64_t ino, uint64_t change, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up;
	int rc = work_peek(w, ino, &row, &up, err);
	bool plain = rc == 0 && !up && (S_ISDIR(row.mode) || row.link_group == 0);
	/* What was never touched and is not open goes by its whiteout alone. */
	if (plain && work_active(w, ino) == NULL)
		goto out;
	if (rc == 0 && !up)
		rc = work_up(w, ino, &row, err);
	if (rc == 0)
		rc = S_ISDIR(row.mode) ? folder_less(w, &row, change, err) : file_less(w, &row, change, err);
out:
	index_inode_release(&row);
	return rc;
}

/* ---- the calls ---- */

static int may_remove(struct work *w, const struct work_name *n, const char *name, bool folder, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up, empty = false;
	if (!n->there)
		return error_set(err, ERR_NOT_FOUND, "'%s' is not there", name);
	if (!folder)
		return S_ISDIR(n->mode) ? work_fail(err, WORK_EISDIR, "'%s' is a folder", name) : 0;
	if (!S_ISDIR(n->mode))
		return work_fail(err, WORK_ENOTDIR, "'%s' is no folder", name);
	int rc = work_peek(w, n->ino, &row, &up, err);
	if (rc == 0)
		rc = work_dir_empty(w, &row, &empty, err);
	if (rc == 0 && !empty)
		rc = work_fail(err, WORK_ENOTEMPTY, "'%s' is not empty", name);
	index_inode_release(&row);
	return rc;
}

static int remove_name(struct work *w, uint64_t parent, const char *name, bool folder, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	struct work_name n = {0};
	int rc = work_dir_at(w, parent, &dir, err);
	if (rc == 0)
		rc = work_name_at(w, &dir, name, &n, err);
	if (rc == 0)
		rc = may_remove(w, &n, name, folder, err);
	if (rc == 0)
		rc = work_up(w, parent, &dir, err);
	if (rc < 0)
		goto out;
	uint64_t change = work_change(w);
	rc = work_inode_less(w, n.ino, change, err);
	if (rc == 0) { /* bringing the file up may have given the name a row */
		n.listed = true;
		rc = work_name_gone(w, dir.ino, name, &n, err);
	}
	if (rc == 0 && folder)
		work_folders_add(w, dir.ino, -1);
	if (rc == 0)
		rc = work_dir_touch(w, &dir, change, err);
out:
	index_inode_release(&dir);
	return rc;
}

static int remove_call(struct work *w, uint64_t parent, const char *name, bool folder, struct error *err)
{
	int rc = work_name_ok(name, err);
	if (rc < 0)
		return rc;
	work_enter(w);
	work_warm(w, parent, name);
	work_lock(w);
	index_urgent(w->index, true); /* on a full disk this is what helps */
	rc = remove_name(w, parent, name, folder, err);
	index_urgent(w->index, false);
	work_unlock(w);
	work_leave(w);
	return rc;
}

int work_unlink(struct work *w, uint64_t parent, const char *name, struct error *err)
{
	return remove_call(w, parent, name, false, err);
}

int work_rmdir(struct work *w, uint64_t parent, const char *name, struct error *err)
{
	return remove_call(w, parent, name, true, err);
}

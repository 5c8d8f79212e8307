/* SPDX-License-Identifier: MIT */

/* Renaming. A folder of the base keeps its `lower`, so what is in it costs nothing. */

#include <stdio.h>

#include "fs/spool/work_impl.h"

struct move {
	uint64_t parent, new_parent;
	const char *name, *new_name;
	bool exchange;
	struct work_name from, to;
	uint64_t change;
};

static int parent_of(struct work *w, uint64_t dir, uint64_t *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	int rc = index_get(w->index, dir, &row, err);
	uint64_t parent = row.parent;
	index_inode_release(&row);
	if (rc == ERR_NOT_FOUND && dir < INDEX_NEW && w->base != NULL) {
		error_clear(err);
		rc = view_lookup(w->view, w->base, (uint32_t)dir, "..", &e, err);
		if (rc == 0) {
			parent = e.rank;
			view_put(w->view, &e);
		}
	}
	if (rc == 0)
		*ret = parent;
	return rc;
}

/* WORK_EINVAL where `dir` is `above` or stands somewhere in it. */
static int not_below(struct work *w, uint64_t dir, uint64_t above, struct error *err)
{
	int rc = 0;
	while (rc == 0 && dir != above && dir != INDEX_ROOT && dir != INDEX_NONE)
		rc = parent_of(w, dir, &dir, err);
	if (rc == 0 && dir == above)
		return work_fail(err, WORK_EINVAL, "a folder cannot be moved into itself");
	return rc;
}

static int may_replace(struct work *w, const struct move *m, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up, empty = false;
	if (S_ISDIR(m->from.mode) && !S_ISDIR(m->to.mode))
		return work_fail(err, WORK_ENOTDIR, "'%s' is no folder", m->new_name);
	if (!S_ISDIR(m->from.mode) && S_ISDIR(m->to.mode))
		return work_fail(err, WORK_EISDIR, "'%s' is a folder", m->new_name);
	if (!S_ISDIR(m->to.mode))
		return 0;
	int rc = work_peek(w, m->to.ino, &row, &up, err);
	if (rc == 0)
		rc = work_dir_empty(w, &row, &empty, err);
	if (rc == 0 && !empty)
		rc = work_fail(err, WORK_ENOTEMPTY, "'%s' is not empty", m->new_name);
	index_inode_release(&row);
	return rc;
}

/* Finds both names. *ret_same: they are one file, and nothing is to be done. */
static int look(struct work *w, struct move *m, bool *ret_same, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	int rc = work_dir_at(w, m->parent, &dir, err);
	if (rc == 0)
		rc = work_name_at(w, &dir, m->name, &m->from, err);
	if (rc == 0 && !m->from.there)
		rc = error_set(err, ERR_NOT_FOUND, "'%s' is not there", m->name);
	if (rc == 0)
		rc = work_dir_at(w, m->new_parent, &dir, err);
	if (rc == 0)
		rc = work_name_at(w, &dir, m->new_name, &m->to, err);
	index_inode_release(&dir);
	*ret_same = rc == 0 && m->to.there && m->to.ino == m->from.ino;
	return rc;
}

static int check(struct work *w, const struct move *m, unsigned flags, struct error *err)
{
	int rc = 0;
	if ((flags & RENAME_NOREPLACE) != 0 && m->to.there)
		return work_fail(err, WORK_EEXIST, "'%s' is there already", m->new_name);
	if (m->exchange && !m->to.there)
		return error_set(err, ERR_NOT_FOUND, "'%s' is not there", m->new_name);
	if (S_ISDIR(m->from.mode))
		rc = not_below(w, m->new_parent, m->from.ino, err);
	if (rc == 0 && m->to.there && S_ISDIR(m->to.mode) && m->parent != m->new_parent) {
		rc = not_below(w, m->parent, m->to.ino, err);
		if (rc == WORK_EINVAL && !m->exchange)
			rc = WORK_ENOTEMPTY;
	}
	if (rc == 0 && m->to.there && !m->exchange)
		rc = may_replace(w, m, err);
	return rc;
}

/* What is moved, brought up, with its new place. */
static int moved(struct work *w, uint64_t ino, uint64_t parent, uint64_t change, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	int rc = work_up(w, ino, &row, err);
	if (rc == 0) {
		row.ctime = work_now();
		row.changed = change;
		if (S_ISDIR(row.mode))
			row.parent = parent;
		rc = index_put(w->index, &row, err);
	}
	index_inode_release(&row);
	return rc;
}

static void count_folders(struct work *w, const struct move *m)
{
	bool from = S_ISDIR(m->from.mode), to = m->to.there && S_ISDIR(m->to.mode);
	if (!from && !to)
		return;
	work_folders_add(w, m->parent, (m->exchange && to) - from);
	work_folders_add(w, m->new_parent, from - to);
}

static int put_names(struct work *w, struct move *m, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	m->from.listed = true; /* bringing it up gave the name a row */
	int rc = m->exchange ? index_name_put(w->index, m->parent, m->name, m->to.ino, err)
			     : work_name_gone(w, m->parent, m->name, &m->from, err);
	if (rc == 0)
		rc = index_name_put(w->index, m->new_parent, m->new_name, m->from.ino, err);
	if (rc == 0)
		rc = work_up(w, m->parent, &dir, err);
	if (rc == 0)
		rc = work_dir_touch(w, &dir, m->change, err);
	if (rc == 0 && m->parent != m->new_parent) {
		rc = work_up(w, m->new_parent, &dir, err);
		if (rc == 0)
			rc = work_dir_touch(w, &dir, m->change, err);
	}
	index_inode_release(&dir);
	return rc;
}

static int move(struct work *w, struct move *m, unsigned flags, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool same;
	int rc = look(w, m, &same, err);
	if (rc == 0 && same && (flags & RENAME_NOREPLACE) == 0)
		return 0;
	if (rc == 0)
		rc = check(w, m, flags, err);
	/* All is brought up before anything is changed: what cannot be read fails here. */
	if (rc == 0)
		rc = work_up(w, m->parent, &row, err);
	if (rc == 0)
		rc = work_up(w, m->new_parent, &row, err);
	if (rc == 0)
		rc = work_up(w, m->from.ino, &row, err);
	if (rc == 0 && m->exchange)
		rc = work_up(w, m->to.ino, &row, err);
	index_inode_release(&row);
	if (rc < 0)
		return rc;
	m->change = work_change(w);
	if (m->exchange)
		rc = moved(w, m->to.ino, m->parent, m->change, err);
	else if (m->to.there)
		rc = work_inode_less(w, m->to.ino, m->change, err);
	if (rc == 0)
		rc = moved(w, m->from.ino, m->new_parent, m->change, err);
	if (rc == 0)
		rc = put_names(w, m, err);
	if (rc == 0)
		count_folders(w, m);
	return rc;
}

int work_rename(struct work *w, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
	unsigned flags, struct error *err)
{
	struct move m = {.parent = parent,
		.name = name,
		.new_parent = new_parent,
		.new_name = new_name,
		.exchange = (flags & RENAME_EXCHANGE) != 0};
	int rc = work_name_ok(name, err);
	if (rc == 0)
		rc = work_name_ok(new_name, err);
	if (rc == 0 && flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		rc = work_fail(err, WORK_EINVAL, "renaming has no such flags");
	if (rc < 0)
		return rc;
	work_enter(w);
	work_warm(w, parent, name);
	work_warm(w, new_parent, new_name);
	work_lock(w);
	rc = move(w, &m, flags, err);
	if (rc == 0)
		rc = work_end(w, err);
	work_unlock(w);
	if (rc == 0 && w->power)
		rc = index_sync(w->index, err);
	work_leave(w);
	return rc;
}

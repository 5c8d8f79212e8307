/* SPDX-License-Identifier: MIT */

/*
 * Listing a folder in two parts: names that the base has, by rank, with what
 * they stand for now; then names that only stand here, by cookie. Which part a
 * name belongs to does not change while it is there, so each is told once.
 */

#include <stdlib.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"

enum { BATCH = 64 };

struct listed {
	uint64_t next, ino;
	struct stat st;
	bool shown;
	char name[INDEX_NAME_MAX + 1];
};

struct batch {
	struct work *w;
	size_t count;
	struct listed list[BATCH];
};

/* Hands a batch on. False: the caller has enough. */
static bool tell(const struct batch *b, work_dir_fn *fn, void *arg)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct listed *l = &b->list[i];
		if (l->shown && !fn(arg, l->name, &l->st, l->next))
			return false;
	}
	return true;
}

/* ---- names that the base has ---- */

static bool take_base(void *arg, const struct view_entry *e, const char *name, uint64_t next)
{
	struct batch *b = arg;
	struct listed *l = &b->list[b->count++];
	l->next = next;
	l->ino = e->rank;
	l->shown = true;
	view_stat(e, &l->st);
	l->st.st_ino = S_ISDIR(e->entry->mode) ? 0 : e->entry->link_group; /* for the next step */
	memcpy(l->name, name, strlen(name) + 1);
	return b->count < BATCH;
}

/* What has a row is shown by it. */
static int overlay_one(struct work *w, uint64_t dir, bool has_names, struct listed *l, struct error *err)
{
	uint64_t ino;
	int rc = has_names ? index_name(w->index, dir, l->name, &ino, err) : ERR_NOT_FOUND;
	if (rc == 0 && ino == INDEX_NONE)
		l->shown = false;
	if (rc == 0 && ino != INDEX_NONE)
		rc = work_stat(w, ino, &l->st, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	error_clear(err);
	l->st.st_ino = work_known_by(w, l->ino, l->st.st_ino);
	if (S_ISDIR(l->st.st_mode))
		l->st.st_nlink = work_folder_links(w, l->ino);
	if (work_active(w, l->st.st_ino) != NULL)
		return work_stat(w, l->st.st_ino, &l->st, err);
	return 0;
}

static int overlay_batch(struct batch *b, uint64_t dir, struct error *err)
{
	bool has_names = false;
	work_lock(b->w);
	int rc = index_has_names(b->w->index, dir, &has_names, err);
	for (size_t i = 0; rc == 0 && i < b->count; i++)
		rc = overlay_one(b->w, dir, has_names, &b->list[i], err);
	work_unlock(b->w);
	return rc;
}

/* False in *ret_more: the caller has enough. */
static int list_base(struct batch *b, const struct index_inode *row, uint64_t off, work_dir_fn *fn, void *arg,
	bool *ret_more, struct error *err)
{
	struct work *w = b->w;
	struct view_dir *dir;
	int rc = view_dir_open(w->view, w->base, (uint32_t)row->lower, &dir, err);
	if (rc < 0)
		return rc;
	off = max_u64(off, VIEW_DIR_FIRST);
	do {
		b->count = 0;
		rc = view_dir_list(w->view, w->base, dir, off, take_base, b, err);
		if (rc == 0 && b->count > 0) {
			off = b->list[b->count - 1].next;
			rc = overlay_batch(b, row->ino, err);
		}
		*ret_more = rc == 0 && tell(b, fn, arg);
	} while (*ret_more && b->count == BATCH);
	free(dir);
	return rc;
}

/* ---- names that only stand here ---- */

static int take_name(void *arg, const struct index_name *name, struct error *err)
{
	struct batch *b = arg;
	struct listed *l = &b->list[b->count++];
	(void)err;
	l->next = LIST_HIGH | name->cookie;
	l->ino = name->ino;
	memcpy(l->name, name->name, strlen(name->name) + 1);
	return b->count < BATCH ? 0 : 1;
}

static int stat_batch(struct batch *b, uint64_t dir, uint64_t after, struct error *err)
{
	b->count = 0;
	work_lock(b->w);
	int rc = index_list(b->w->index, dir, after, take_name, b, err);
	if (rc > 0)
		rc = 0;
	for (size_t i = 0; rc == 0 && i < b->count; i++) {
		struct listed *l = &b->list[i];
		l->shown = l->ino != INDEX_NONE;
		if (l->shown)
			rc = work_stat(b->w, l->ino, &l->st, err);
	}
	work_unlock(b->w);
	return rc;
}

/* Names that the base has were told in the first part. */
static int hide_base(struct batch *b, uint64_t lower, struct error *err)
{
	struct view_entry e;
	for (size_t i = 0; i < b->count && lower != INDEX_NONE; i++) {
		struct listed *l = &b->list[i];
		if (!l->shown)
			continue;
		int rc = view_lookup(b->w->view, b->w->base, (uint32_t)lower, l->name, &e, err);
		if (rc == 0) {
			l->shown = false;
			view_put(b->w->view, &e);
		} else if (rc != ERR_NOT_FOUND) {
			return rc;
		}
		error_clear(err);
	}
	return 0;
}

static int list_names(
	struct batch *b, const struct index_inode *row, uint64_t after, work_dir_fn *fn, void *arg, struct error *err)
{
	bool more;
	int rc;
	do {
		rc = stat_batch(b, row->ino, after, err);
		if (rc == 0 && b->count > 0) {
			after = b->list[b->count - 1].next & ~LIST_HIGH;
			rc = hide_base(b, row->lower, err);
		}
		more = rc == 0 && tell(b, fn, arg);
	} while (more && b->count == BATCH);
	return rc;
}

int work_list(struct work *w, uint64_t dir, uint64_t off, work_dir_fn *fn, void *arg, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct batch *b = malloc(sizeof(*b));
	bool more = true;
	bool up;
	if (b == NULL)
		return error_no_memory(err, "a listing");
	b->w = w;
	work_enter(w);
	work_lock(w);
	int rc = work_peek(w, dir, &row, &up, err);
	work_unlock(w);
	if (rc == 0 && !S_ISDIR(row.mode))
		rc = work_fail(err, WORK_ENOTDIR, "not a folder");
	if (rc == 0 && row.lower != INDEX_NONE && (off & LIST_HIGH) == 0)
		rc = list_base(b, &row, off, fn, arg, &more, err);
	if (rc == 0 && more && row.nlink > 0)
		rc = list_names(b, &row, (off & LIST_HIGH) != 0 ? off & ~LIST_HIGH : 0, fn, arg, err);
	work_leave(w);
	index_inode_release(&row);
	free(b);
	return rc;
}

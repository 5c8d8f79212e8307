/* SPDX-License-Identifier: MIT */

/* What stands where, and what stat shows of it. */

#include <stdlib.h>
#include <sys/sysmacros.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"

enum {
	BLOCK = 512,
	FOLDER_SIZE = 4096,
	IO_SIZE = 1 << 20,
	COUNT_MOST = 20000,    /* entries of a folder that are looked through for folders; larger ones show one link */
	COUNT_NAMES = 4096,    /* and names here */
	FOLDERS_MOST = 1 << 16 /* counts that are remembered */
};
#define TOO_LARGE UINT64_MAX /* as a count: not worth counting */

int work_name_ok(const char *name, struct error *err)
{
	size_t len = strlen(name);
	if (len > INDEX_NAME_MAX)
		return work_fail(err, WORK_ENAMETOOLONG, "the name '%.40s…' is too long", name);
	if (!entry_name_ok((const uint8_t *)name, len))
		return work_fail(err, WORK_EINVAL, "'%s' is no name", name);
	return 0;
}

static struct timespec to_timespec(struct entry_time t)
{
	return (struct timespec){.tv_sec = t.sec, .tv_nsec = (long)t.nsec};
}

/* What an open file shows is what was written, recorded or not. */
static void stat_of_active(const struct active *a, struct stat *st)
{
	int64_t written = atomic_load(&a->written);
	if (a->content != NULL) {
		st->st_size = (off_t)content_size(a->content);
		uint64_t staged = content_staged(a->content) / BLOCK;
		uint64_t full = ((uint64_t)st->st_size + BLOCK - 1) / BLOCK;
		st->st_blocks = (blkcnt_t)(id_is_zero(&a->under) ? min_u64(staged, full) : full);
	}
	if (written != 0) {
		st->st_mtim.tv_sec = written / CLOCK_SECOND;
		st->st_mtim.tv_nsec = (long)(written % CLOCK_SECOND);
		st->st_ctim = st->st_atim = st->st_mtim;
	}
	if (a->unlinked)
		st->st_nlink = 0;
}

nlink_t work_folder_links(struct work *w, uint64_t ino)
{
	uint64_t folders;
	return map_get(&w->folders, ino, &folders) && folders != TOO_LARGE ? (nlink_t)(2 + folders) : 1;
}

void work_row_stat(struct work *w, const struct index_inode *row, struct stat *ret)
{
	bool dir = S_ISDIR(row->mode);
	*ret = (struct stat){
		.st_ino = row->ino,
		.st_mode = row->mode,
		.st_nlink = dir && row->nlink > 0 ? work_folder_links(w, row->ino) : row->nlink,
		.st_uid = row->uid,
		.st_gid = row->gid,
		.st_rdev = makedev(row->rdev_major, row->rdev_minor),
		.st_size = dir ? FOLDER_SIZE : (off_t)min_u64(row->size, INT64_MAX),
		.st_blksize = S_ISREG(row->mode) ? IO_SIZE : FOLDER_SIZE,
		.st_blocks = S_ISREG(row->mode) ? (blkcnt_t)(row->size / BLOCK + (row->size % BLOCK != 0)) : 0,
		.st_mtim = to_timespec(row->mtime),
		.st_ctim = to_timespec(row->ctime),
	};
	ret->st_atim = ret->st_mtim;
	const struct active *a = S_ISREG(row->mode) ? work_active(w, row->ino) : NULL;
	if (a != NULL && !a->opening)
		stat_of_active(a, ret);
}

/* Of an entry of the base that has no row. */
static void base_stat(struct work *w, const struct view_entry *e, struct stat *ret)
{
	view_stat(e, ret);
	bool dir = S_ISDIR(e->entry->mode);
	ret->st_ino = dir ? e->rank : work_known_by(w, e->rank, e->entry->link_group);
	if (dir)
		ret->st_nlink = work_folder_links(w, e->rank);
	const struct active *a = S_ISREG(e->entry->mode) ? work_active(w, ret->st_ino) : NULL;
	if (a != NULL && !a->opening)
		stat_of_active(a, ret);
}

int work_stat(struct work *w, uint64_t ino, struct stat *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	bool up;
	int rc = work_peek(w, ino, &row, &up, err);
	if (rc == 0 && up) {
		work_row_stat(w, &row, ret);
	} else if (rc == 0) {
		rc = view_at(w->view, w->base, (uint32_t)ino, &e, err);
		if (rc == 0) {
			base_stat(w, &e, ret);
			view_put(w->view, &e);
		}
	}
	index_inode_release(&row);
	return rc;
}

/* ---- counting folders ---- */

struct count {
	uint64_t seen, folders;
};

static bool count_entry(void *arg, const struct view_entry *e, const char *name, uint64_t next)
{
	struct count *c = arg;
	(void)name;
	(void)next;
	c->folders += S_ISDIR(e->entry->mode);
	return ++c->seen <= COUNT_MOST;
}

static int collect_name(void *arg, const struct index_name *name, struct error *err)
{
	struct buf *names = arg;
	(void)err;
	buf_put_u64(names, name->ino);
	buf_put_str(names, name->name);
	return names->len > (size_t)COUNT_NAMES * 64 ? ERR_UNSUPPORTED : 0;
}

/* What the names here add to the base's folders. Under the lock. */
static int count_names(struct work *w, const struct index_inode *dir, int64_t *folders)
{
	struct buf names = {0};
	int rc = index_list(w->index, dir->ino, 0, collect_name, &names, NULL);
	struct cursor c = cursor_of(names.data, names.len);
	if (buf_failed(&names))
		rc = ERR_NO_MEMORY;
	while (rc == 0 && cursor_left(&c) > 0) {
		struct index_inode row = INDEX_INODE_INIT;
		struct view_entry e;
		uint64_t ino = cursor_u64(&c);
		char *name = cursor_str(&c, INDEX_NAME_MAX);
		if (name == NULL)
			rc = ERR_NO_MEMORY;
		if (rc == 0 && ino != INDEX_NONE && index_get(w->index, ino, &row, NULL) == 0)
			*folders += S_ISDIR(row.mode);
		if (rc == 0 && dir->lower != INDEX_NONE &&
			view_lookup(w->view, w->base, (uint32_t)dir->lower, name, &e, NULL) == 0) {
			*folders -= S_ISDIR(e.entry->mode);
			view_put(w->view, &e);
		}
		index_inode_release(&row);
		free(name);
	}
	buf_release(&names);
	return rc;
}

static int count_base(struct work *w, uint64_t lower, struct count *c)
{
	struct view_dir *dir;
	int rc = view_dir_open(w->view, w->base, (uint32_t)lower, &dir, NULL);
	if (rc < 0)
		return rc;
	rc = view_dir_list(w->view, w->base, dir, VIEW_DIR_FIRST, count_entry, c, NULL);
	free(dir);
	return rc == 0 && c->seen > COUNT_MOST ? ERR_UNSUPPORTED : rc;
}

/* Keeps what was counted: the base's part, which does not change, and what stands here now. Under the lock. */
static void keep_count(struct work *w, uint64_t ino, uint64_t lower, int64_t folders, bool too_large)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up;
	int rc = work_peek(w, ino, &row, &up, NULL);
	bool same = rc == 0 && row.nlink > 0 && row.lower == lower;
	if (same && up && !too_large)
		rc = count_names(w, &row, &folders);
	if (w->folders.count >= FOLDERS_MOST)
		map_clear(&w->folders);
	if (same && (too_large || rc == ERR_UNSUPPORTED))
		map_put(&w->folders, ino, TOO_LARGE);
	else if (same && rc == 0 && folders >= 0)
		map_put(&w->folders, ino, (uint64_t)folders);
	index_inode_release(&row);
}

void work_count_folders(struct work *w, uint64_t ino)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct count c = {0};
	bool up;
	uint64_t known;
	work_lock(w);
	bool done = map_get(&w->folders, ino, &known) || work_peek(w, ino, &row, &up, NULL) < 0 || !S_ISDIR(row.mode) ||
		    row.nlink == 0;
	work_unlock(w);
	uint64_t lower = row.lower;
	index_inode_release(&row);
	int rc = done || lower == INDEX_NONE ? 0 : count_base(w, lower, &c);
	if (done || (rc < 0 && rc != ERR_UNSUPPORTED))
		return;
	work_lock(w);
	if (!map_get(&w->folders, ino, &known))
		keep_count(w, ino, lower, (int64_t)c.folders, rc == ERR_UNSUPPORTED);
	work_unlock(w);
}

void work_folders_add(struct work *w, uint64_t dir, int delta)
{
	uint64_t folders;
	if (map_get(&w->folders, dir, &folders) && folders != TOO_LARGE)
		map_put(&w->folders, dir, folders + (uint64_t)(int64_t)delta);
}

/* ---- names ---- */

int work_dir_at(struct work *w, uint64_t ino, struct index_inode *ret, struct error *err)
{
	bool up;
	int rc = work_peek(w, ino, ret, &up, err);
	if (rc == 0 && !S_ISDIR(ret->mode))
		return work_fail(err, WORK_ENOTDIR, "not a folder");
	if (rc == 0 && ret->nlink == 0)
		return error_set(err, ERR_NOT_FOUND, "the folder was removed");
	return rc;
}

int work_name_at(
	struct work *w, const struct index_inode *dir, const char *name, struct work_name *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	bool up;
	*ret = (struct work_name){0};
	int rc = index_name(w->index, dir->ino, name, &ret->ino, err);
	ret->listed = rc == 0;
	ret->there = rc == 0 && ret->ino != INDEX_NONE;
	if (rc == ERR_NOT_FOUND) {
		error_clear(err);
		rc = 0;
	}
	if (rc == 0 && ret->there) {
		rc = work_peek(w, ret->ino, &row, &up, err);
		ret->mode = row.mode;
	}
	index_inode_release(&row);
	if (rc < 0 || dir->lower == INDEX_NONE || w->base == NULL)
		return rc;
	rc = view_lookup(w->view, w->base, (uint32_t)dir->lower, name, &e, err);
	if (rc == ERR_NOT_FOUND) {
		error_clear(err);
		return 0;
	}
	if (rc < 0)
		return rc;
	ret->in_base = true;
	if (!ret->listed) {
		ret->there = true;
		ret->mode = e.entry->mode;
		ret->ino = S_ISDIR(ret->mode) ? e.rank : work_known_by(w, e.rank, e.entry->link_group);
	}
	view_put(w->view, &e);
	return 0;
}

/* ---- the calls ---- */

/* Looked at without the lock where only the base has to say it: its nodes may have to be fetched. */
static int stat_open(struct work *w, uint64_t ino, struct stat *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	work_lock(w);
	int rc = index_get(w->index, ino, &row, err);
	if (rc == 0)
		work_row_stat(w, &row, ret);
	work_unlock(w);
	index_inode_release(&row);
	if (rc != ERR_NOT_FOUND)
		return rc;
	if (ino < INDEX_NEW && w->base != NULL && view_at(w->view, w->base, (uint32_t)ino, &e, NULL) == 0)
		view_put(w->view, &e);
	error_clear(err);
	work_lock(w);
	rc = work_stat(w, ino, ret, err);
	work_unlock(w);
	return rc;
}

/* With a folder's links counted. */
static int stat_counted(struct work *w, uint64_t ino, struct stat *st, struct error *err)
{
	if (!S_ISDIR(st->st_mode) || st->st_nlink != 1)
		return 0;
	work_count_folders(w, ino);
	return stat_open(w, ino, st, err);
}

int work_stat_counted(struct work *w, uint64_t ino, struct stat *ret, struct error *err)
{
	int rc = stat_open(w, ino, ret, err);
	return rc == 0 ? stat_counted(w, ino, ret, err) : rc;
}

int work_getattr(struct work *w, uint64_t ino, struct stat *ret, struct error *err)
{
	work_enter(w);
	int rc = work_stat_counted(w, ino, ret, err);
	work_leave(w);
	return rc;
}

/* The folder's `lower` where a name has to be looked for in the base; ERR_NOT_FOUND elsewhere: no such name. */
static int look_here(
	struct work *w, uint64_t parent, const char *name, uint64_t *ret_lower, struct stat *ret, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	uint64_t ino = INDEX_NONE;
	int rc = work_dir_at(w, parent, &dir, err);
	*ret_lower = rc == 0 ? dir.lower : INDEX_NONE;
	index_inode_release(&dir);
	if (rc == 0)
		rc = index_name(w->index, parent, name, &ino, err);
	if (rc < 0)
		return rc;
	*ret_lower = INDEX_NONE;
	if (ino == INDEX_NONE)
		return error_set(err, ERR_NOT_FOUND, "'%s' is not there", name);
	return work_stat(w, ino, ret, err);
}

int work_lookup(struct work *w, uint64_t parent, const char *name, struct stat *ret, struct error *err)
{
	struct view_entry e;
	uint64_t lower;
	int rc = work_name_ok(name, err);
	if (rc < 0)
		return rc;
	work_enter(w);
	if (w->base != NULL && parent < INDEX_NEW && view_at(w->view, w->base, (uint32_t)parent, &e, NULL) == 0)
		view_put(w->view, &e); /* it is wanted under the lock */
	work_lock(w);
	rc = look_here(w, parent, name, &lower, ret, err);
	work_unlock(w);
	if (rc == ERR_NOT_FOUND && lower != INDEX_NONE && w->base != NULL) {
		error_clear(err);
		rc = view_lookup(w->view, w->base, (uint32_t)lower, name, &e, err);
		if (rc == 0) {
			work_lock(w);
			base_stat(w, &e, ret);
			work_unlock(w);
			view_put(w->view, &e);
		}
	}
	if (rc == 0)
		rc = stat_counted(w, ret->st_ino, ret, err);
	work_leave(w);
	return rc;
}

int work_parent(struct work *w, uint64_t dir, uint64_t *ret_parent, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	if (dir == INDEX_ROOT) {
		*ret_parent = INDEX_ROOT;
		return 0;
	}
	work_enter(w);
	work_lock(w);
	int rc = index_get(w->index, dir, &row, err);
	work_unlock(w);
	if (rc == 0)
		*ret_parent = row.parent == INDEX_NONE ? INDEX_ROOT : row.parent;
	index_inode_release(&row);
	if (rc == ERR_NOT_FOUND && dir < INDEX_NEW && w->base != NULL) {
		error_clear(err);
		rc = view_lookup(w->view, w->base, (uint32_t)dir, "..", &e, err);
		if (rc == 0) {
			*ret_parent = e.rank;
			view_put(w->view, &e);
		}
	}
	work_leave(w);
	return rc;
}

int work_readlink(struct work *w, uint64_t ino, struct buf *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up;
	work_enter(w);
	work_lock(w);
	int rc = work_peek(w, ino, &row, &up, err);
	work_unlock(w);
	if (rc == 0 && !S_ISLNK(row.mode))
		rc = work_fail(err, WORK_EINVAL, "not a symbolic link");
	if (rc == 0) {
		buf_put(ret, row.target.data, row.target.len);
		rc = buf_failed(ret) ? error_no_memory(err, "a link's target") : 0;
	}
	index_inode_release(&row);
	work_leave(w);
	return rc;
}

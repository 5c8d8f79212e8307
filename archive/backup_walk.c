/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/dirlist.h"
#include "archive/walk.h"
#include "base/fileio.h"
#include "base/hex.h"

/* A file touched this shortly before the parent was taken may have changed again within the clock's grain. */
#define RACY_WINDOW (2 * CLOCK_SECOND)
enum { CURSOR_STEPS = 16 };

void walk_warn(struct backup *b, const char *path, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	char *shown = hex_printable(path, strlen(path));
	pthread_mutex_lock(&b->lock);
	b->missing = true;
	b->result->skipped++;
	pthread_mutex_unlock(&b->lock);
	backup_note(b, "%s: %s", shown == NULL ? "?" : shown, what);
	if (b->options->warn != NULL)
		b->options->warn(b->options->warn_arg, shown == NULL ? "?" : shown, what);
	free(shown);
}

/* Moves the parent's cursor to the key; its entry when it holds one. */
static const struct entry *prior_of(struct walk *w, const struct buf *key)
{
	struct error err = ERROR_INIT;

	if (w->cursor == NULL)
		return NULL;
	for (int steps = 0;; steps++) {
		const struct entry *e = tree_cursor_entry(w->cursor);
		if (e == NULL)
			return NULL;
		size_t n = e->key_len < key->len ? e->key_len : key->len;
		int c = memcmp(e->key, key->data, n);
		if (c == 0)
			c = e->key_len < key->len ? -1 : e->key_len > key->len;
		if (c == 0)
			return e;
		if (c > 0)
			return NULL;
		int r = steps < CURSOR_STEPS ? tree_cursor_next(w->cursor, &err)
					     : tree_cursor_seek(w->cursor, key->data, key->len, &err);
		if (r < 0 && r != ERR_NOT_FOUND) { /* a damaged parent costs speed, nothing else */
			log_warn(w->b->repo->log, "previous snapshot: %s; reading everything", error_text(&err));
			tree_cursor_free(w->cursor);
			w->cursor = NULL;
			return NULL;
		}
		error_clear(&err);
	}
}

static bool same_time(const struct entry_time *a, const struct timespec *b)
{
	return a->sec == b->tv_sec && a->nsec == (uint32_t)b->tv_nsec;
}

static bool settled_before(const struct timespec *t, int64_t moment)
{
	return t->tv_sec < (moment - RACY_WINDOW) / CLOCK_SECOND;
}

/* Size, mtime, ctime and inode as before, and not touched around the time of the parent. */
static bool unchanged(const struct walk *w, const struct entry *prior, const struct stat *st)
{
	if (prior == NULL)
		return false;
	int64_t taken = w->b->parent->started;
	return prior->mode == st->st_mode && prior->inode == st->st_ino &&
	       (!S_ISREG(st->st_mode) || prior->size == (uint64_t)st->st_size) &&
	       same_time(&prior->mtime, &st->st_mtim) && same_time(&prior->ctime, &st->st_ctim) &&
	       (prior->flags & ENTRY_CHANGED_WHILE_READ) == 0 && settled_before(&st->st_mtim, taken) &&
	       settled_before(&st->st_ctim, taken);
}

/* Keeps of the parent's entry what a reader may find to be the same: the content of a small file. */
static int keep_prior(struct item *item, const struct entry *prior, struct error *err)
{
	if (prior == NULL || !S_ISREG(prior->mode) || (prior->flags & ENTRY_HAS_CONTENT_HASH) == 0 ||
		prior->piece_count > 0 || prior->extent_count > 4)
		return 0;
	item->prior = item_new();
	if (item->prior == NULL)
		return error_no_memory(err, "an entry");
	item->prior->entry.size = prior->size;
	int r = item_copy_content(item->prior, prior, err);
	item_seal(item->prior);
	return r;
}

static int plan_file(struct walk *w, struct item *item, const struct entry *prior, const struct stat *st,
	struct folder *folder, const char *name, struct error *err)
{
	struct backup *b = w->b;

	item->top = w->top;
	if (st->st_nlink > 1) {
		uint64_t group = prior != NULL && prior->inode == st->st_ino ? prior->link_group : 0;
		int r = links_meet(b, item, st, group, err);
		if (r < 0 || !item->link_first)
			return r;
	}
	if (unchanged(w, prior, st)) {
		int r = item_copy_content(item, prior, err);
		if (r < 0 || item_refs_allowed(b, item)) {
			judge_unchanged(b, item);
			return r;
		}
		item->extent_count = item->piece_count = item->ref_count = 0;
		item->entry.xattr_ref = EXTENT_HOLE;
	}
	item->is_new = prior == NULL;
	item->is_changed = prior != NULL;
	if (b->writer == NULL)
		return 0;
	bool small = (uint64_t)st->st_size < b->repo->config.small_file;
	item->work = small ? WORK_SMALL : WORK_LARGE;
	item->charged = small ? (size_t)st->st_size : 0;
	item->read = false;
	item->folder = folder_ref(folder);
	item->name = strdup(name);
	return item->name == NULL ? error_no_memory(err, "an entry") : keep_prior(item, prior, err);
}

static int plan_link_target(struct item *item, struct folder *folder, const char *name, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(folder->fd, name, target, sizeof(target));

	if (n < 0)
		return error_set_errno(err, errno, "cannot read the link");
	buf_put(&item->target, target, (size_t)n);
	item->entry.size = (uint64_t)n;
	return buf_failed(&item->target) ? error_no_memory(err, "a link's target") : 0;
}

/* Folders, links and special files: everything is known without opening them. */
static int plan_other(struct walk *w, struct item *item, const struct entry *prior, const struct stat *st,
	struct folder *folder, const char *name, struct error *err)
{
	char proc[64 + NAME_MAX];
	int r = 0;

	if (st->st_nlink > 1 && !S_ISDIR(st->st_mode)) {
		uint64_t group = prior != NULL && prior->inode == st->st_ino ? prior->link_group : 0;
		r = links_meet(w->b, item, st, group, err);
	}
	if (r == 0 && S_ISLNK(st->st_mode))
		r = plan_link_target(item, folder, name, err);
	if (r < 0)
		return r;
	if (unchanged(w, prior, st)) {
		r = item_copy_content(item, prior, err);
		if (r < 0 || item_refs_allowed(w->b, item))
			return r;
		item->ref_count = 0;
		item->entry.xattr_ref = EXTENT_HOLE;
	}
	item->is_new = prior == NULL;
	item->is_changed = prior != NULL;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", folder->fd, name);
	return item_read_xattrs(item, -1, proc, err);
}

/* One entry into the queue. What cannot be saved is told and left out; only what ends the run is returned. */
static int emit(struct walk *w, struct folder *folder, const struct buf *prefix, const char *name,
	const struct stat *st, struct error *err)
{
	struct backup *b = w->b;
	struct error why = ERROR_INIT;
	struct item *item = item_new();

	if (item == NULL)
		return error_no_memory(err, "an entry");
	entry_key_put(&item->key, prefix->data, prefix->len, name, strlen(name));
	if (buf_failed(&item->key)) {
		item_free(b, item);
		return error_no_memory(err, "an entry");
	}
	if (item->key.len > ENTRY_KEY_MAX) {
		walk_warn(b, w->path.text, "its path is too long (%d bytes at most)", ENTRY_KEY_MAX);
		item_free(b, item);
		return 0;
	}
	const struct entry *prior = prior_of(w, &item->key);
	item_set_stat(b, item, st);
	int r = S_ISREG(st->st_mode) ? plan_file(w, item, prior, st, folder, name, &why)
				     : plan_other(w, item, prior, st, folder, name, &why);
	if (r == ERR_NO_MEMORY) {
		item_free(b, item);
		if (err != NULL)
			*err = why;
		return r;
	}
	if (r < 0) {
		walk_warn(b, w->path.text, "%s", error_text(&why));
		item_free(b, item);
		return 0;
	}
	return queue_put(b, item);
}

static bool skipped_place(const struct walk *w, const struct stat *st)
{
	for (size_t i = 0; i < w->skip_count; i++)
		if (w->skips[i].st_dev == st->st_dev && w->skips[i].st_ino == st->st_ino)
			return true;
	return false;
}

static bool skipped_path(const struct walk *w)
{
	for (size_t i = 0; i < w->b->options->skip_count; i++)
		if (strcmp(w->b->options->skip_paths[i], w->path.text) == 0)
			return true;
	return false;
}

/* Whether the run goes below this folder; the folder itself is kept either way. */
static bool enter(const struct walk *w, const struct stat *st, dev_t dev)
{
	if (w->b->options->one_file_system && st->st_dev != dev)
		return false;
	return !skipped_place(w, st) && !skipped_path(w);
}

/* A listed name: told, excluded, or into the queue. *ret_enter: it is a folder to walk. */
static int visit(struct walk *w, struct folder *folder, const struct buf *prefix, const struct dirlist_entry *d,
	dev_t dev, bool *ret_enter, struct error *err)
{
	size_t mark = walk_path_push(&w->path, d->name);
	int r = 0;

	*ret_enter = false;
	if (exclude_match(w->b->exclude, walk_path_relative(&w->path), S_ISDIR(d->st.st_mode)))
		goto out;
	if (d->stat_errno != 0) {
		if (!skipped_path(w))
			walk_warn(w->b, w->path.text, "%s",
				d->stat_errno == ENOENT ? "vanished while it was read" : strerror(d->stat_errno));
		goto out;
	}
	*ret_enter = S_ISDIR(d->st.st_mode) && enter(w, &d->st, dev);
	r = emit(w, folder, prefix, d->name, &d->st, err);
out:
	walk_path_pop(&w->path, mark);
	return r;
}

static int walk_entries(struct walk *w, struct level *l, struct error *err)
{
	const struct dirlist_entry *d;
	bool into;

	w->top = l->prefix.len == 0;
	for (;;) {
		int r = dirlist_next(l->list, &d, err);
		if (r < 0 || d == NULL)
			return r;
		r = visit(w, l->folder, &l->prefix, d, l->dev, &into, err);
		if (r < 0)
			return r;
		if (into)
			l->has_folders = true;
	}
}

static void level_free(struct backup *b, struct level *l)
{
	if (l == NULL)
		return;
	dirlist_free(l->list);
	buf_release(&l->prefix);
	folder_unref(b, l->folder);
	free(l);
}

/* Opens and lists a folder as a new level; NULL when it was told and is passed over. */
static int level_open(struct walk *w, int dirfd, const char *name, const struct buf *prefix, dev_t dev,
	struct level **ret_level, struct error *err)
{
	struct backup *b = w->b;
	struct error why = ERROR_INIT;
	struct level *l = calloc(1, sizeof(*l));
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);

	*ret_level = NULL;
	if (fd < 0 && errno == EPERM)
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		walk_warn(b, w->path.text, "cannot open the folder: %s", strerror(errno));
		free(l);
		return 0;
	}
	struct folder *folder = folder_new(b, fd, w->path.text);
	if (l == NULL || folder == NULL) {
		close(fd);
		free(l);
		return error_no_memory(err, "a folder");
	}
	l->folder = folder;
	l->dev = dev;
	buf_put(&l->prefix, prefix->data, prefix->len);
	if (name[0] != '.' || name[1] != '\0') {
		buf_put(&l->prefix, name, strlen(name));
		buf_put_u8(&l->prefix, 0);
	}
	int r = buf_failed(&l->prefix) ? error_no_memory(err, "a folder") : 0;
	if (r == 0 && dirlist_read(fd, w->path.text, &l->list, &why) < 0) {
		walk_warn(b, w->path.text, "%s", error_text(&why));
		level_free(b, l);
		return 0;
	}
	if (r < 0) {
		level_free(b, l);
		return r;
	}
	*ret_level = l;
	return 0;
}

/* The next folder inside l that is to be walked, opened; *ret_child NULL when there is none left. */
static int next_child(struct walk *w, struct level *l, struct level **ret_child, struct error *err)
{
	const struct dirlist_entry *d;

	*ret_child = NULL;
	for (;;) {
		int r = dirlist_next(l->list, &d, err);
		if (r < 0 || d == NULL)
			return r;
		if (d->stat_errno != 0 || !S_ISDIR(d->st.st_mode))
			continue;
		size_t mark = walk_path_push(&w->path, d->name);
		if (!exclude_match(w->b->exclude, walk_path_relative(&w->path), true) && enter(w, &d->st, l->dev))
			r = level_open(w, l->folder->fd, d->name, &l->prefix, l->dev, ret_child, err);
		if (r < 0)
			return r;
		if (*ret_child != NULL) {
			(*ret_child)->mark = mark;
			return 0;
		}
		walk_path_pop(&w->path, mark);
	}
}

static int begin_level(struct walk *w, struct level *l, struct error *err)
{
	judge_folder(w->b, l->folder, &l->prefix, l->list);
	int r = walk_entries(w, l, err);

	dirlist_rewind(l->list);
	return r;
}

/* Depth first, a folder's own entries before what lies below: the order of keys. */
static int walk_below(struct walk *w, struct level *top, struct error *err)
{
	struct level *l = top;
	int r = begin_level(w, l, err);

	while (r == 0 && l != NULL) {
		struct level *child = NULL;
		if (l->has_folders)
			r = next_child(w, l, &child, err);
		if (r == 0 && child != NULL) {
			child->parent = l;
			l = child;
			r = begin_level(w, l, err);
		} else if (r == 0) {
			struct level *parent = l->parent;
			walk_path_pop(&w->path, l->mark);
			level_free(w->b, l);
			l = parent;
		}
	}
	while (l != NULL) { /* after a failure */
		struct level *parent = l->parent;
		level_free(w->b, l);
		l = parent;
	}
	return r;
}

int walk_tree(struct walk *w, int dirfd, const char *name, const struct buf *prefix, dev_t dev, struct error *err)
{
	struct level *l = NULL;
	size_t mark = w->path.len;
	int r = level_open(w, dirfd, name, prefix, dev, &l, err);

	if (r < 0 || l == NULL)
		return r;
	l->mark = mark;
	return walk_below(w, l, err);
}

int walk_one(struct walk *w, struct folder *folder, const char *name, const struct stat *st, dev_t dev, bool *ret_enter,
	struct error *err)
{
	static const struct buf root = {0};
	const struct dirlist_entry d = {.name = name, .st = *st};

	w->top = true;
	return visit(w, folder, &root, &d, dev, ret_enter, err);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/dirlist.h"
#include "archive/walk.h"
#include "base/fileio.h"
#include "base/hex.h"

/* Of a very long path its beginning and its end are enough to find it, and leave room for what is to be said of it. */
static void shorten(char *path)
{
	enum { LONGEST = 400, HEAD = 200, TAIL = 190 };
	size_t len = strlen(path);

	if (len <= LONGEST)
		return;
	memcpy(path + HEAD, " ... ", 5);
	memmove(path + HEAD + 5, path + len - TAIL, TAIL + 1);
}

void walk_warn(struct backup *b, const char *path, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	char *shown = hex_printable(path, strlen(path));
	if (shown != NULL)
		shorten(shown);
	pthread_mutex_lock(&b->lock);
	b->missing = true;
	b->result->skipped++;
	pthread_mutex_unlock(&b->lock);
	backup_note(b, "%s: %s", shown == NULL ? "?" : shown, what);
	if (b->options->warn != NULL)
		b->options->warn(b->options->warn_arg, shown == NULL ? "?" : shown, what);
	free(shown);
}

size_t walk_path_push(struct walk_path *p, const char *name)
{
	size_t mark = p->len, n = strlen(name);
	bool slash = p->len > 0 && p->text[p->len - 1] != '/';

	if (p->len + n + 2 > p->cap) {
		size_t cap = (p->len + n + 2) * 2;
		char *bigger = realloc(p->text, cap);
		if (bigger == NULL)
			return mark;
		p->text = bigger;
		p->cap = cap;
	}
	if (slash)
		p->text[p->len++] = '/';
	memcpy(p->text + p->len, name, n + 1);
	p->len += n;
	return mark;
}

void walk_path_pop(struct walk_path *p, size_t mark)
{
	p->len = mark;
	if (p->text != NULL)
		p->text[mark] = '\0';
}

int walk_path_set(struct walk_path *p, const char *text, struct error *err)
{
	p->len = 0;
	walk_path_push(p, text);
	if (p->len != strlen(text) || p->text == NULL)
		return error_no_memory(err, "a path");
	p->root = p->given = p->len;
	free(p->folder);
	p->folder = text[0] == '/' ? NULL : realpath(text, NULL);
	return 0;
}

const char *walk_path_relative(const struct walk_path *p)
{
	const char *rest = p->text + (p->root <= p->len ? p->root : p->len);

	return *rest == '/' ? rest + 1 : rest;
}

/* Is what the walk stands on to be left out? Without memory the absolute path is not looked at. */
static bool excluded(const struct walk *w, bool is_dir)
{
	const struct walk_path *p = &w->path;
	const struct exclude *e = w->b->exclude;
	char *joined = NULL;

	if (p->folder != NULL && exclude_has_rooted(e))
		joined = fileio_format("%s/%s", p->folder, p->text + p->given + strspn(p->text + p->given, "/"));
	bool out = exclude_match(e, walk_path_relative(p),
		joined != NULL      ? joined
		: p->folder == NULL ? p->text
				    : NULL,
		is_dir);
	free(joined);
	return out;
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

/* What stands at the path cannot be looked at. A mount that died may be among those to skip. */
static void tell_unseen(const struct walk *w, int why)
{
	if (!skipped_path(w))
		walk_warn(w->b, w->path.text, "%s", why == ENOENT ? "vanished while it was read" : strerror(why));
}

void walk_unseen(struct walk *w, const struct dirlist_entry *d)
{
	size_t mark = walk_path_push(&w->path, d->name);

	if (!excluded(w, S_ISDIR(d->st.st_mode)))
		tell_unseen(w, d->stat_errno);
	walk_path_pop(&w->path, mark);
}

/* A listed name: told, excluded, or into the queue. *ret_enter: it is a folder to walk. */
static int visit(struct walk *w, struct folder *folder, const struct buf *prefix, const struct dirlist_entry *d,
	dev_t dev, bool *ret_enter, struct error *err)
{
	size_t mark = walk_path_push(&w->path, d->name);
	int r = 0;

	*ret_enter = false;
	if (excluded(w, S_ISDIR(d->st.st_mode)))
		goto out;
	if (d->stat_errno != 0) {
		tell_unseen(w, d->stat_errno);
		goto out;
	}
	*ret_enter = S_ISDIR(d->st.st_mode) && enter(w, &d->st, dev);
	r = plan_entry(w, folder, prefix, d->name, &d->st, err);
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

static int open_folder(int dirfd, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags | O_NOATIME);

	return fd < 0 && errno == EPERM ? openat(dirfd, name, flags) : fd;
}

/* The level owns fd from here on. Fails for want of memory only. */
static struct level *level_new(
	struct walk *w, int fd, const char *name, const struct buf *prefix, dev_t dev, struct error *err)
{
	struct level *l = calloc(1, sizeof(*l));
	struct folder *folder = folder_new(w->b, fd, w->path.text);

	if (l != NULL) {
		l->folder = folder;
		l->dev = dev;
		buf_put(&l->prefix, prefix->data, prefix->len);
		if (strcmp(name, ".") != 0)
			buf_put(&l->prefix, name, strlen(name) + 1);
	}
	if (l != NULL && folder != NULL && !buf_failed(&l->prefix))
		return l;
	if (l == NULL)
		folder_unref(w->b, folder);
	level_free(w->b, l);
	error_no_memory(err, "a folder");
	return NULL;
}

/* Opens and lists a folder as a new level; NULL when it was told and is passed over. */
static int level_open(struct walk *w, int dirfd, const char *name, const struct buf *prefix, dev_t dev,
	struct level **ret_level, struct error *err)
{
	int fd = open_folder(dirfd, name);

	*ret_level = NULL;
	if (fd < 0) {
		walk_warn(w->b, w->path.text, "cannot open the folder: %s", strerror(errno));
		return 0;
	}
	struct level *l = level_new(w, fd, name, prefix, dev, err);
	int r = l == NULL ? ERR_NO_MEMORY : dirlist_read(fd, w->path.text, &l->list, err);
	if (r == 0) {
		*ret_level = l;
		return 0;
	}
	level_free(w->b, l);
	if (r == ERR_NO_MEMORY || r == ERR_NO_SPACE) /* its list did not fit: not the folder's fault */
		return r;
	walk_warn(w->b, w->path.text, "%s", error_text(err));
	error_clear(err);
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
		if (!excluded(w, true) && enter(w, &d->st, l->dev))
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
	w->dump = judge_folder(w->b, l->folder, &l->prefix, l->list, &w->dump_known);
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
	w->dump = false;
	return visit(w, folder, &root, &d, dev, ret_enter, err);
}

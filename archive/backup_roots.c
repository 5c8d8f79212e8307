/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/dirlist.h"
#include "archive/walk.h"

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
	p->root = p->len;
	return 0;
}

const char *walk_path_relative(const struct walk_path *p)
{
	const char *rest = p->text + (p->root <= p->len ? p->root : p->len);

	return *rest == '/' ? rest + 1 : rest;
}

/* A source as given: its folder, and the name to add; name NULL: what is inside. */
struct root {
	char *folder_path, *name;
	int fd;
	struct stat st; /* of the folder when name is NULL, else of the entry */
};

/* One entry at the top, from whichever source. */
struct top_entry {
	const char *name;
	const struct root *root;
	struct folder *folder;
	struct stat st;
	bool enter;
};

/* "dir/", "dir/.", ".", "..", "/" mean what is inside. */
static bool means_inside(const char *path)
{
	size_t n = strlen(path);
	const char *slash = strrchr(path, '/');
	const char *last = slash == NULL ? path : slash + 1;

	return n == 0 || path[n - 1] == '/' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0;
}

static int root_open(struct root *root, const char *path, struct error *err)
{
	const char *slash = strrchr(path, '/');
	bool inside = means_inside(path);

	root->fd = -1;
	root->name = inside ? NULL : strdup(slash == NULL ? path : slash + 1);
	root->folder_path = inside          ? strdup(path)
			    : slash == NULL ? strdup(".")
			    : slash == path ? strdup("/")
					    : strndup(path, (size_t)(slash - path));
	if (root->folder_path == NULL || (!inside && root->name == NULL))
		return error_no_memory(err, "a source");
	size_t n = strlen(root->folder_path);
	while (n > 1 && root->folder_path[n - 1] == '/')
		root->folder_path[--n] = '\0';
	root->fd = open(root->folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = root->fd < 0 ? -1
		: inside     ? fstat(root->fd, &root->st)
			     : fstatat(root->fd, root->name, &root->st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return error_set_errno(err, errno, "cannot read the source '%s'", path);
	return 0;
}

static void roots_free(struct root *roots, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(roots[i].folder_path);
		free(roots[i].name);
		if (roots[i].fd >= 0)
			close(roots[i].fd);
	}
	free(roots);
}

/* The root directory's own attributes: of the first source that is a folder with a slash, else plain ones. */
static int set_top(struct backup *b, const struct root *root, struct error *err)
{
	struct item *item = item_new();
	struct stat st = {.st_mode = S_IFDIR | 0755, .st_uid = getuid(), .st_gid = getgid(), .st_nlink = 1};
	int r = 0;

	if (item == NULL)
		return error_no_memory(err, "the root");
	st.st_mtim.tv_sec = b->started / CLOCK_SECOND;
	st.st_mtim.tv_nsec = b->started % CLOCK_SECOND;
	st.st_ctim = st.st_mtim;
	if (root != NULL) {
		st = root->st;
		r = item_read_xattrs(item, root->fd, NULL, err);
		buf_put(&b->top_xattrs, item->xattrs.data, item->xattrs.len);
	}
	item_set_stat(b, item, &st);
	b->top = item->entry;
	item_free(b, item);
	return r;
}

static int compare_tops(const void *a, const void *b)
{
	const struct top_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

struct tops {
	struct top_entry *list;
	size_t count, cap;
	struct dirlist **lists; /* their names live here */
	size_t list_count;
};

static int tops_add(struct tops *t, const char *name, const struct root *root, struct folder *folder,
	const struct stat *st, struct error *err)
{
	if (t->count == t->cap) {
		size_t cap = t->cap == 0 ? 16 : t->cap * 2;
		struct top_entry *bigger = reallocarray(t->list, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "the sources");
		t->list = bigger;
		t->cap = cap;
	}
	char *copy = strdup(name);
	if (copy == NULL)
		return error_no_memory(err, "the sources");
	t->list[t->count++] = (struct top_entry){.name = copy, .root = root, .folder = folder, .st = *st};
	return 0;
}

static int tops_add_inside(
	struct walk *w, struct tops *t, const struct root *root, struct folder *folder, struct error *err)
{
	struct dirlist *list = NULL;
	const struct dirlist_entry *d = NULL;
	int r = dirlist_read(root->fd, root->folder_path, &list, err);

	while (r == 0 && (r = dirlist_next(list, &d, err)) == 0 && d != NULL) {
		if (d->stat_errno != 0)
			walk_warn(w->b, d->name, "%s", strerror(d->stat_errno));
		else
			r = tops_add(t, d->name, root, folder, &d->st, err);
	}
	dirlist_free(list);
	return r;
}

static int walk_tops(struct walk *w, struct tops *t, struct error *err)
{
	int r = 0;

	for (size_t i = 1; i < t->count; i++)
		if (strcmp(t->list[i - 1].name, t->list[i].name) == 0)
			return error_set(err, ERR_USAGE,
				"two sources would both be called '%s'; back them up as two datasets", t->list[i].name);
	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct top_entry *e = &t->list[i];
		r = walk_path_set(&w->path, e->folder->path, err);
		if (r == 0)
			r = walk_one(w, e->folder, e->name, &e->st, e->root->st.st_dev, &e->enter, err);
	}
	static const struct buf root = {0};
	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct top_entry *e = &t->list[i];
		if (!e->enter)
			continue;
		r = walk_path_set(&w->path, e->folder->path, err);
		size_t mark = r == 0 ? walk_path_push(&w->path, e->name) : 0;
		if (r == 0 && e->root->name != NULL)
			w->path.root = w->path.len; /* excludes count from the source itself */
		if (r == 0)
			r = walk_tree(w, e->folder->fd, e->name, &root, e->root->st.st_dev, err);
		walk_path_pop(&w->path, mark);
	}
	return r;
}

/* Several sources, or one without a slash: their entries are gathered and sorted first. */
static int walk_several(struct walk *w, struct root *roots, size_t count, struct error *err)
{
	struct tops t = {0};
	struct folder **folders = calloc(count, sizeof(struct folder *));
	int r = folders == NULL ? error_no_memory(err, "the sources") : 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		int fd = fcntl(roots[i].fd, F_DUPFD_CLOEXEC, 3);
		folders[i] = fd < 0 ? NULL : folder_new(w->b, fd, roots[i].folder_path);
		if (folders[i] == NULL)
			r = error_set(err, ERR_IO, "cannot keep the source '%s' open", roots[i].folder_path);
		else if (roots[i].name != NULL)
			r = tops_add(&t, roots[i].name, &roots[i], folders[i], &roots[i].st, err);
		else
			r = tops_add_inside(w, &t, &roots[i], folders[i], err);
	}
	if (r == 0 && t.count > 1)
		qsort(t.list, t.count, sizeof(*t.list), compare_tops);
	if (r == 0)
		r = walk_tops(w, &t, err);
	for (size_t i = 0; i < t.count; i++)
		free((char *)t.list[i].name);
	free(t.list);
	for (size_t i = 0; folders != NULL && i < count; i++)
		folder_unref(w->b, folders[i]);
	free(folders);
	return r;
}

static int walk_sources(struct walk *w, struct error *err)
{
	const struct backup_options *o = w->b->options;
	struct root *roots = calloc(o->path_count, sizeof(*roots));
	const struct root *top = NULL;
	static const struct buf prefix = {0};
	int r = roots == NULL ? error_no_memory(err, "the sources") : 0;

	for (size_t i = 0; roots != NULL && i < o->path_count; i++)
		roots[i].fd = -1;
	for (size_t i = 0; r == 0 && i < o->path_count; i++) {
		r = root_open(&roots[i], o->paths[i], err);
		if (r == 0 && roots[i].name == NULL && top == NULL)
			top = &roots[i];
	}
	if (r == 0)
		r = set_top(w->b, top, err);
	if (r == 0 && o->path_count == 1 && top != NULL) {
		r = walk_path_set(&w->path, top->folder_path, err);
		if (r == 0)
			r = walk_tree(w, top->fd, ".", &prefix, top->st.st_dev, err);
	} else if (r == 0) {
		r = walk_several(w, roots, o->path_count, err);
	}
	if (roots != NULL)
		roots_free(roots, o->path_count);
	return r;
}

/* A pipe as the one file of the snapshot. */
static int walk_stream(struct walk *w, struct error *err)
{
	struct backup *b = w->b;
	struct item *item = item_new();
	struct stat st = {.st_mode = S_IFREG | 0644, .st_uid = getuid(), .st_gid = getgid(), .st_nlink = 1};
	int r = set_top(b, NULL, err);

	if (r < 0 || item == NULL) {
		item_free(b, item);
		return r < 0 ? r : error_no_memory(err, "an entry");
	}
	st.st_mtim.tv_sec = b->started / CLOCK_SECOND;
	st.st_mtim.tv_nsec = b->started % CLOCK_SECOND;
	st.st_ctim = st.st_mtim;
	item_set_stat(b, item, &st);
	entry_key_put(&item->key, NULL, 0, b->options->stdin_name, strlen(b->options->stdin_name));
	item->name = strdup(b->options->stdin_name);
	item->top = item->is_new = true;
	if (b->writer != NULL) {
		item->work = WORK_LARGE;
		item->stream_fd = b->options->stdin_fd;
		item->read = false;
	}
	if (buf_failed(&item->key) || item->name == NULL) {
		item_free(b, item);
		return error_no_memory(err, "an entry");
	}
	return queue_put(b, item);
}

static int open_cursor(struct walk *w, struct error *err)
{
	struct backup *b = w->b;

	if (b->parent == NULL || b->parent->root.entries == 0)
		return 0;
	int r = tree_cursor_new(reader_nodes(b->reader), &b->parent->root, &w->cursor, err);
	if (r == 0)
		r = tree_cursor_seek_rank(w->cursor, 0, err);
	if (r == ERR_NO_MEMORY)
		return r;
	if (r < 0) {
		log_warn(b->repo->log, "previous snapshot '%s': %s; reading everything", b->parent->name,
			error_text(err));
		error_clear(err);
		tree_cursor_free(w->cursor);
		w->cursor = NULL;
	}
	return 0;
}

static int note_skips(struct walk *w, struct error *err)
{
	const struct backup_options *o = w->b->options;

	w->skips = calloc(o->skip_count == 0 ? 1 : o->skip_count, sizeof(*w->skips));
	if (w->skips == NULL)
		return error_no_memory(err, "folders to skip");
	for (size_t i = 0; i < o->skip_count; i++)
		if (stat(o->skip_paths[i], &w->skips[w->skip_count]) == 0)
			w->skip_count++;
	return 0;
}

void *walk_main(void *backup)
{
	struct backup *b = backup;
	struct walk w = {.b = b};
	struct error err = ERROR_INIT;
	int r = open_cursor(&w, &err);

	if (r == 0)
		r = note_skips(&w, &err);
	if (r == 0)
		r = b->options->stdin_name != NULL ? walk_stream(&w, &err) : walk_sources(&w, &err);
	if (r < 0)
		backup_fail(b, r, &err);
	tree_cursor_free(w.cursor);
	free(w.path.text);
	free(w.skips);
	queue_end(b);
	return NULL;
}

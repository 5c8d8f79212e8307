/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/dirlist.h"
#include "archive/walk.h"

/* One entry at the top, from whichever source. */
struct top_entry {
	char *name;
	const struct root *root;
	struct folder *folder; /* borrowed from root */
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

int root_open(struct root *root, const char *path, struct error *err)
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
	/* The folder that an entry lies in need not be readable, only what is inside a source. */
	root->fd = open(root->folder_path, (inside ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC);
	int r = root->fd < 0 ? -1
		: inside     ? fstat(root->fd, &root->st)
			     : fstatat(root->fd, root->name, &root->st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return error_set_errno(err, errno, "cannot read the source '%s'", path);
	return 0;
}

void roots_free(struct backup *b, struct root *roots, size_t count)
{
	for (size_t i = 0; roots != NULL && i < count; i++) {
		free(roots[i].folder_path);
		free(roots[i].name);
		folder_unref(b, roots[i].folder);
		if (roots[i].fd >= 0)
			close(roots[i].fd);
	}
	free(roots);
}

static int compare_tops(const void *a, const void *b)
{
	const struct top_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

struct tops {
	struct top_entry *list;
	size_t count, cap;
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

/* What is inside a source. What cannot be looked at is told now, with its path. */
static int tops_add_inside(
	struct walk *w, struct tops *t, const struct root *root, struct folder *folder, struct error *err)
{
	struct dirlist *list = NULL;
	const struct dirlist_entry *d = NULL;
	int r = dirlist_read(root->fd, root->folder_path, &list, err);

	if (r == 0)
		r = walk_path_set(&w->path, root->folder_path, err);
	while (r == 0 && (r = dirlist_next(list, &d, err)) == 0 && d != NULL) {
		if (d->stat_errno == 0)
			r = tops_add(t, d->name, root, folder, &d->st, err);
		else
			walk_unseen(w, d);
	}
	dirlist_free(list);
	return r;
}

static int check_names(const struct tops *t, struct error *err)
{
	for (size_t i = 1; i < t->count; i++)
		if (strcmp(t->list[i - 1].name, t->list[i].name) == 0)
			return error_set(err, ERR_USAGE,
				"two sources would both be called '%s'; back them up as two datasets", t->list[i].name);
	return 0;
}

/* The entries themselves, in order of name. */
static int walk_top_entries(struct walk *w, struct tops *t, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct top_entry *e = &t->list[i];
		r = walk_path_set(&w->path, e->folder->path, err);
		if (r == 0)
			r = walk_one(w, e->folder, e->name, &e->st, e->root->st.st_dev, &e->enter, err);
	}
	return r;
}

/* Then what lies below those that are folders. */
static int walk_top_folders(struct walk *w, struct tops *t, struct error *err)
{
	static const struct buf none = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct top_entry *e = &t->list[i];
		if (!e->enter)
			continue;
		r = walk_path_set(&w->path, e->folder->path, err);
		size_t mark = r == 0 ? walk_path_push(&w->path, e->name) : 0;
		if (r == 0 && e->root->name != NULL)
			w->path.root = w->path.len; /* excludes count from the source itself */
		if (r == 0)
			r = walk_tree(w, e->folder->fd, e->name, &none, e->root->st.st_dev, err);
		walk_path_pop(&w->path, mark);
	}
	return r;
}

static int gather(struct walk *w, struct tops *t, struct root *roots, size_t count, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct root *root = &roots[i];
		int fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return error_set_errno(err, errno, "cannot keep the source '%s' open", root->folder_path);
		root->folder = folder_new(w->b, fd, root->folder_path);
		if (root->folder == NULL)
			r = error_no_memory(err, "the sources");
		else if (root->name != NULL)
			r = tops_add(t, root->name, root, root->folder, &root->st, err);
		else
			r = tops_add_inside(w, t, root, root->folder, err);
	}
	if (r == 0 && t->count > 1)
		qsort(t->list, t->count, sizeof(*t->list), compare_tops);
	return r;
}

int walk_several(struct walk *w, struct root *roots, size_t count, struct error *err)
{
	struct tops t = {0};
	int r = gather(w, &t, roots, count, err);

	if (r == 0)
		r = check_names(&t, err);
	if (r == 0)
		r = walk_top_entries(w, &t, err);
	if (r == 0)
		r = walk_top_folders(w, &t, err);
	for (size_t i = 0; i < t.count; i++)
		free(t.list[i].name);
	free(t.list);
	return r;
}

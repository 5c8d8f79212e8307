/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/walk.h"

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
		if (r == 0 && buf_failed(&b->top_xattrs))
			r = error_no_memory(err, "the root");
	}
	item_set_stat(b, item, &st);
	b->top = item->entry;
	item_free(b, item);
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
	roots_free(w->b, roots, o->path_count);
	return r;
}

/* A pipe as the one file of the snapshot. */
static int walk_stream(struct walk *w, struct error *err)
{
	struct backup *b = w->b;
	const char *name = b->options->stdin_name;
	struct item *item = item_new();
	struct stat st = {.st_mode = S_IFREG | 0644, .st_uid = getuid(), .st_gid = getgid(), .st_nlink = 1};
	int r = set_top(b, NULL, err);

	if (r == 0 && !entry_name_ok((const uint8_t *)name, strlen(name)))
		r = error_set(err, ERR_USAGE, "'%s' is no file name: give one without a slash, up to %d bytes", name,
			ENTRY_NAME_MAX);
	if (r < 0 || item == NULL) {
		item_free(b, item);
		return r < 0 ? r : error_no_memory(err, "an entry");
	}
	st.st_mtim.tv_sec = b->started / CLOCK_SECOND;
	st.st_mtim.tv_nsec = b->started % CLOCK_SECOND;
	st.st_ctim = st.st_mtim;
	item_set_stat(b, item, &st);
	entry_key_put(&item->key, NULL, 0, name, strlen(name));
	item->name = strdup(name);
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

/* Device and inode alone, as the system knows them: a mount whose daemon does not answer must not be waited for. */
static bool place_of(const char *path, struct stat *ret)
{
	struct statx x;

	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_INO, &x) < 0)
		return false;
	ret->st_dev = makedev(x.stx_dev_major, x.stx_dev_minor);
	ret->st_ino = x.stx_ino;
	return true;
}

static int note_skips(struct walk *w, struct error *err)
{
	const struct backup_options *o = w->b->options;

	w->skips = calloc(o->skip_count == 0 ? 1 : o->skip_count, sizeof(*w->skips));
	if (w->skips == NULL)
		return error_no_memory(err, "folders to skip");
	for (size_t i = 0; o->stdin_name == NULL && i < o->skip_count; i++)
		if (place_of(o->skip_paths[i], &w->skips[w->skip_count]))
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
	free(w.path.folder);
	free(w.skips);
	queue_end(b);
	return NULL;
}

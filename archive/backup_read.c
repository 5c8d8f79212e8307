/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/feed_impl.h"
#include "archive/walk.h"
#include "base/fileio.h"

enum { SMALL_TRIES = 3 };

/* "folder/name" for messages. Caller frees. */
static char *path_of(const struct item *item)
{
	return item->folder == NULL ? strdup(item->name) : fileio_format("%s/%s", item->folder->path, item->name);
}

static int open_source(const struct item *item, struct error *err)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
	int fd = openat(item->folder->fd, item->name, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(item->folder->fd, item->name, flags);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, ERR_NOT_FOUND, "vanished before it was read");
	if (fd < 0)
		return error_set_errno(err, errno, "cannot open it");
	return fd;
}

static bool moved(const struct stat *a, const struct stat *b)
{
	return a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
	       a->st_mtim.tv_nsec != b->st_mtim.tv_nsec || a->st_ctim.tv_sec != b->st_ctim.tv_sec ||
	       a->st_ctim.tv_nsec != b->st_ctim.tv_nsec;
}

/* One reading of a small file. *ret_moved: it changed under the reader. */
static int read_small_once(
	struct item *item, int fd, const char *path, struct stat *st, bool *ret_moved, struct error *err)
{
	struct stat before = *st;
	size_t size = (size_t)before.st_size, got = 0;

	free(item->data);
	item->data_len = 0;
	item->data = malloc(size + 1); /* one more, so that an empty file has some too */
	if (item->data == NULL)
		return error_no_memory(err, "a small file");
	int r = fileio_pread(fd, path, item->data, size, 0, &got, err);
	item->data_len = got;
	if (r == 0 && (uint64_t)before.st_blocks * 512 < size)
		r = sparse_find(item, fd, err);
	if (r < 0)
		return r;
	if (fstat(fd, st) < 0)
		return error_set_errno(err, errno, "cannot look at it");
	*ret_moved = got != size || moved(&before, st);
	return 0;
}

/* It is kept as it was read, told, and read again by the next backup. */
static void tell_changed(struct backup *b, struct item *item, const char *path)
{
	item->entry.flags |= ENTRY_CHANGED_WHILE_READ;
	walk_warn(b, path, "changed while it was read");
}

static void hash_small(struct backup *b, struct item *item)
{
	seal_hash(b->repo->config.hash, b->repo->sec->content_key, item->data, item->data_len, &item->entry.content);
	item->entry.flags |= ENTRY_HAS_CONTENT_HASH;
}

/* The data of both lies in the same stretches: equal bytes alone do not say where the holes are. */
static bool same_holes(const struct item *item, const struct item *prior)
{
	const struct segment_run all = {.off = 0, .len = item->data_len};
	const struct segment_run *runs = item->runs == NULL ? &all : item->runs;
	size_t count = item->runs == NULL ? 1 : item->run_count, at = 0;
	uint64_t off = 0;

	for (size_t i = 0; i < prior->extent_count; i++) {
		const struct extent *x = &prior->extents[i];
		if (x->ref != EXTENT_HOLE) {
			if (at == count || runs[at].off != off || runs[at].len != x->length)
				return false;
			at++;
		}
		off += x->length;
	}
	return at == count || runs[at].len == 0;
}

/* The content is what the parent had at this place: its extents serve again, and nothing is stored. */
static int reuse_prior(struct backup *b, struct item *item, struct error *err)
{
	const struct item *prior = item->prior;

	if (prior == NULL || prior->entry.size != item->entry.size ||
		!id_equal(&prior->entry.content, &item->entry.content) || !same_holes(item, prior) ||
		!item_refs_allowed(b, prior))
		return 0;
	struct buf xattrs = item->xattrs;
	item->xattrs = (struct buf){0};
	int r = item_copy_content(item, &prior->entry, err);
	buf_release(&item->xattrs);
	item->xattrs = xattrs;
	item->entry.xattr_ref = EXTENT_HOLE;
	free(item->data);
	item->data = NULL;
	item->data_len = 0;
	return r;
}

static int judge_small(struct backup *b, struct item *item, struct error *err)
{
	struct complete *judge = NULL;
	int r = judge_begin(b, item, &judge, err);

	if (r == 0)
		complete_feed(judge, item->data, item->data_len);
	judge_end(b, item, judge, r == 0);
	return r;
}

int small_finish(struct backup *b, struct item *item, struct error *err)
{
	hash_small(b, item);
	int r = judge_small(b, item, err);
	return r < 0 ? r : reuse_prior(b, item, err);
}

static bool is_small(const struct backup *b, const struct stat *st)
{
	return (uint64_t)st->st_size < b->repo->config.small_file;
}

/* `st` was taken from fd. *ret_grown: it is no small file any more, and nothing was done. */
static int read_small(struct backup *b, struct item *item, int fd, const char *path, struct stat *st, bool *ret_grown,
	struct error *err)
{
	struct stat read_as = *st;
	bool is_moved = true;
	int r = 0;

	for (int i = 0; r == 0 && is_moved && i < SMALL_TRIES; i++) {
		*ret_grown = !is_small(b, st);
		if (*ret_grown)
			return 0;
		read_as = *st;
		r = read_small_once(item, fd, path, st, &is_moved, err);
	}
	if (r < 0)
		return r;
	item_set_stat(b, item, &read_as);
	item->entry.size = item->data_len;
	if (is_moved)
		tell_changed(b, item, path);
	return small_finish(b, item, err);
}

static int read_large(
	struct backup *b, struct item *item, int fd, const char *path, const struct stat *st, struct error *err)
{
	struct complete *judge = NULL;
	struct stat after;
	uint64_t size = 0;
	int r = judge_begin(b, item, &judge, err);

	item->work = WORK_LARGE; /* also where it was small when it was listed */
	free(item->data);
	item->data = NULL;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	item_set_stat(b, item, st);
	if (r == 0)
		r = stream_read(b, item, fd, path, (uint64_t)st->st_size,
			(uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size, judge, &size, err);
	judge_end(b, item, judge, r == 0);
	if (r < 0)
		return r;
	item->entry.size = size;
	if (fstat(fd, &after) < 0 || size != (uint64_t)st->st_size || moved(st, &after))
		tell_changed(b, item, path);
	return 0;
}

static int read_file(struct backup *b, struct item *item, const char *path, struct error *err)
{
	struct stat st = {0};
	int fd = open_source(item, err), r = 0;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		r = error_set_errno(err, errno, "cannot look at it");
	else if (!S_ISREG(st.st_mode))
		r = error_set(err, ERR_IO, "is no regular file any more");
	if (r == 0)
		r = item_read_xattrs(item, fd, NULL, err);
	bool large = item->work == WORK_LARGE || !is_small(b, &st);
	if (r == 0 && !large)
		r = read_small(b, item, fd, path, &st, &large, err);
	if (r == 0 && large)
		r = read_large(b, item, fd, path, &st, err);
	close(fd);
	return r;
}

static int read_pipe(struct backup *b, struct item *item, struct error *err)
{
	struct complete *judge = NULL;
	uint64_t size = 0;
	int r = judge_begin(b, item, &judge, err);

	if (r == 0)
		r = stream_read(b, item, item->stream_fd, item->name, UINT64_MAX, false, judge, &size, err);
	judge_end(b, item, judge, r == 0);
	item->entry.size = item->entry.disk_bytes = size;
	return r;
}

/* An error of the source is told and the file left out; one of the archive ends the run. */
static void read_item(struct backup *b, struct item *item)
{
	struct error err = ERROR_INIT, why = ERROR_INIT;
	char *path = path_of(item);
	bool only = item->stream_fd >= 0 || item->told != NULL; /* nothing of these may be left out */
	int r = path == NULL           ? error_no_memory(&err, "a path")
		: item->told != NULL   ? told_read(b, item, &err)
		: item->stream_fd >= 0 ? read_pipe(b, item, &err)
				       : read_file(b, item, path, &err);

	if (r < 0 && (writer_status(b->writer, &why) < 0 || r == ERR_NO_MEMORY || only))
		backup_fail(b, why.code < 0 ? why.code : r, why.code < 0 ? &why : &err);
	else if (r < 0) {
		if (!backup_stopped(b)) /* else nothing ails the file */
			walk_warn(b, path, "%s", error_text(&err));
		item->skip = true;
	}
	if (r == 0)
		progress_add(b->options->progress, item->entry.size, 1);
	free(path);
}

void *read_main(void *backup)
{
	struct backup *b = backup;
	struct item *items[QUEUE_READ_MAX];
	size_t count;

	while ((count = queue_take_read(b, items)) > 0) {
		for (size_t i = 0; i < count && !backup_stopped(b); i++)
			read_item(b, items[i]);
		queue_read_done(b, items, count);
	}
	return NULL;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/complete.h"
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

static int add_run(struct item *item, uint64_t off, uint64_t len, struct error *err)
{
	struct segment_run *bigger = reallocarray(item->runs, item->run_count + 1, sizeof(*bigger));

	if (bigger == NULL)
		return error_no_memory(err, "a sparse file's map");
	item->runs = bigger;
	item->runs[item->run_count++] = (struct segment_run){.off = off, .len = len};
	return 0;
}

/* Where a small sparse file holds data. Its holes stay holes. */
static int find_runs(struct item *item, int fd, uint64_t size, struct error *err)
{
	int r = 0;
	off_t at = 0;

	while (r == 0 && (uint64_t)at < size) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (data < 0 || hole < 0)
			return 0; /* no maps here: taken as data throughout */
		uint64_t end = min_u64((uint64_t)hole, size);
		if ((uint64_t)data < end)
			r = add_run(item, (uint64_t)data, end - (uint64_t)data, err);
		at = hole;
	}
	if (r == 0 && item->run_count == 0)
		r = add_run(item, size, 0, err); /* a hole from end to end */
	return r;
}

/* One reading of a small file. *ret_moved: it changed under the reader. */
static int read_small_once(
	struct item *item, int fd, const char *path, struct stat *ret_st, bool *ret_moved, struct error *err)
{
	struct stat after;

	if (fstat(fd, ret_st) < 0)
		return error_set_errno(err, errno, "cannot look at it");
	size_t size = (size_t)ret_st->st_size, got = 0;
	free(item->data);
	free(item->runs);
	item->runs = NULL;
	item->run_count = 0;
	item->data = malloc(size + 1);
	if (item->data == NULL)
		return error_no_memory(err, "a small file");
	int r = 0;
	if ((uint64_t)ret_st->st_blocks * 512 < (uint64_t)size)
		r = find_runs(item, fd, size, err);
	if (r == 0)
		r = fileio_pread(fd, path, item->data, size + 1, 0, &got, err);
	if (r < 0)
		return r;
	*ret_moved = got != size || fstat(fd, &after) < 0 || moved(ret_st, &after);
	item->data_len = got > size ? size : got;
	return 0;
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

	if (judge != NULL) {
		complete_feed(judge, item->data, item->data_len);
		judge_end(b, item, judge);
	}
	return r;
}

static int read_small(struct backup *b, struct item *item, int fd, const char *path, struct error *err)
{
	struct stat st;
	bool is_moved = true;
	int r = 0;

	for (int i = 0; r == 0 && is_moved && i < SMALL_TRIES; i++)
		r = read_small_once(item, fd, path, &st, &is_moved, err);
	if (r < 0)
		return r;
	item_set_stat(b, item, &st);
	item->entry.size = item->data_len;
	if (is_moved) {
		item->entry.flags |= ENTRY_CHANGED_WHILE_READ;
		walk_warn(b, path, "changed while it was read");
	}
	hash_small(b, item);
	r = judge_small(b, item, err);
	return r < 0 ? r : reuse_prior(b, item, err);
}

static int read_large(struct backup *b, struct item *item, int fd, const char *path, struct stat *st, struct error *err)
{
	struct complete *judge = NULL;
	struct stat after;
	uint64_t size = 0;
	int r = judge_begin(b, item, &judge, err);

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	item_set_stat(b, item, st);
	if (r == 0)
		r = stream_read(b, item, fd, path, (uint64_t)st->st_size,
			(uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size, judge, &size, err);
	if (judge != NULL)
		judge_end(b, item, judge);
	if (r < 0)
		return r;
	item->entry.size = size;
	if (fstat(fd, &after) < 0 || size != (uint64_t)st->st_size || moved(st, &after)) {
		item->entry.flags |= ENTRY_CHANGED_WHILE_READ;
		walk_warn(b, path, "changed while it was read");
	}
	return 0;
}

static int read_file(struct backup *b, struct item *item, const char *path, struct error *err)
{
	struct stat st;
	int fd = open_source(item, err), r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		r = error_set_errno(err, errno, "cannot look at it");
	else if (!S_ISREG(st.st_mode))
		r = error_set(err, ERR_IO, "is no regular file any more");
	else
		r = item_read_xattrs(item, fd, NULL, err);
	if (r == 0) {
		bool small = (uint64_t)st.st_size < b->repo->config.small_file && item->work == WORK_SMALL;
		r = small ? read_small(b, item, fd, path, err) : read_large(b, item, fd, path, &st, err);
	}
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
	if (judge != NULL)
		judge_end(b, item, judge);
	item->entry.size = item->entry.disk_bytes = size;
	return r;
}

/* An error of the source is told and the file left out; one of the archive ends the run. */
static void read_item(struct backup *b, struct item *item)
{
	struct error err = ERROR_INIT, why = ERROR_INIT;
	char *path = path_of(item);
	int r = path == NULL           ? error_no_memory(&err, "a path")
		: item->stream_fd >= 0 ? read_pipe(b, item, &err)
				       : read_file(b, item, path, &err);

	if (r < 0 && (writer_status(b->writer, &why) < 0 || r == ERR_NO_MEMORY || item->stream_fd >= 0))
		backup_fail(b, why.code < 0 ? why.code : r, why.code < 0 ? &why : &err);
	else if (r < 0) {
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
	struct item *item;

	while ((item = queue_take_read(b)) != NULL) {
		if (!backup_stopped(b))
			read_item(b, item);
		queue_read_done(b, item);
	}
	return NULL;
}

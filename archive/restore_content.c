/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/restore_impl.h"
#include "base/checked.h"

enum {
	CONTENT_WINDOW = 4 << 20, /* of a large file at a time */
	CONTENT_SPANS = 64,
	COMPARE_BUFFER = 256 << 10,
};

/* Takes a stretch of a file; data NULL is a hole. 1: enough, without error; negative: an error of the archive's side.
 */
typedef int stretch_fn(void *arg, uint64_t off, const uint8_t *data, uint64_t len);

void restore_worker_release(struct restore_worker *w)
{
	if (w->chunk)
		reader_release(w->r->reader, w->chunk);
	w->chunk = NULL;
	free(w->buffer);
	w->buffer = NULL;
}

/* The chunk, pinned until another one is asked for. */
static int worker_chunk(struct restore_worker *w, const struct chunk_ref *ref, struct error *err)
{
	if (w->chunk && id_equal(&w->chunk_id, &ref->id))
		return 0;
	if (w->chunk)
		reader_release(w->r->reader, w->chunk);
	w->chunk = NULL;
	int status = reader_chunk(w->r->reader, ref, &w->chunk, err);
	if (status == 0)
		w->chunk_id = ref->id;
	else
		w->chunk = NULL;
	return status;
}

static int small_content(struct restore_worker *w, const struct entry *e, stretch_fn *fn, void *arg, struct error *err)
{
	uint64_t off = 0;
	int status = 0;
	for (uint32_t i = 0; status == 0 && i < e->extent_count; i++) {
		const struct extent *x = &e->extents[i];
		const uint8_t *data = NULL;
		if (x->ref != EXTENT_HOLE) {
			status = worker_chunk(w, &e->refs[x->ref], err);
			if (status != 0)
				return status;
			if (x->offset > w->chunk->len || x->length > w->chunk->len - x->offset)
				return error_set(err, ERR_CORRUPT, "a file reaches beyond its chunk");
			data = w->chunk->data + x->offset;
		}
		status = fn(arg, off, data, x->length);
		off += x->length;
	}
	if (status == 0 && off != e->size)
		status = error_set(err, ERR_CORRUPT, "a file has another length than its extents");
	return status;
}

static int large_content(
	struct restore_worker *w, const struct restore_item *item, stretch_fn *fn, void *arg, struct error *err)
{
	struct reader_span spans[CONTENT_SPANS];
	uint64_t size = reader_file_size(item->file), off = 0;
	int status = 0;
	if (size != item->entry.size)
		return error_set(err, ERR_CORRUPT, "a file has another length than its extents");
	while (status == 0 && off < size) {
		size_t count = 0, want = (size_t)min_u64(size - off, CONTENT_WINDOW);
		status = restore_stopped(w->r);
		if (status != 0)
			return error_set(err, (enum error_code)status, "stopped");
		status = reader_file_map(item->file, off, want, spans, CONTENT_SPANS, &count, err);
		if (status != 0)
			return status;
		uint64_t before = off;
		for (size_t i = 0; status == 0 && i < count; i++) {
			status = fn(arg, off, spans[i].data, spans[i].len);
			off += spans[i].len;
		}
		reader_spans_release(w->r->reader, spans, count);
		if (status == 0 && off == before)
			status = error_set(err, ERR_BUG, "a file ends before its end");
	}
	return status;
}

static int content(
	struct restore_worker *w, const struct restore_item *item, stretch_fn *fn, void *arg, struct error *err)
{
	return item->file ? large_content(w, item, fn, arg, err) : small_content(w, &item->entry, fn, arg, err);
}

/* ---- writing ---- */

struct writing {
	struct restore *r;
	int fd;
	uint64_t end; /* of what was written */
	int sys_errno;
};

static int write_stretch(void *arg, uint64_t off, const uint8_t *data, uint64_t len)
{
	struct writing *wr = arg;
	if (!data)
		return 0;
	while (len > 0) {
		ssize_t n = pwrite(wr->fd, data, (size_t)len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			wr->sys_errno = n < 0 ? errno : ENOSPC;
			return 1;
		}
		data += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
		atomic_fetch_add_explicit(&wr->r->bytes, (uint64_t)n, memory_order_relaxed);
		progress_add(wr->r->options->progress, (uint64_t)n, 0);
	}
	wr->end = off;
	return 0;
}

int restore_content_write(
	struct restore_worker *w, const struct restore_item *item, int fd, int *ret_errno, struct error *err)
{
	struct writing wr = {.r = w->r, .fd = fd};
	int status = content(w, item, write_stretch, &wr, err);
	/* A hole at the end, which no byte behind it makes. */
	if (status == 0 && wr.end < item->entry.size && ftruncate(fd, (off_t)item->entry.size) != 0)
		wr.sys_errno = errno;
	*ret_errno = wr.sys_errno;
	return status > 0 ? 0 : status;
}

/* ---- comparing ---- */

struct comparing {
	struct restore_worker *w;
	int fd;
	bool same;
	uint64_t at;
	int sys_errno;
};

static int differs(struct comparing *c, uint64_t at)
{
	c->same = false;
	c->at = at;
	return 1;
}

/* Compares len bytes (at most the buffer's) with data, or with zeros. */
static int compare_piece(struct comparing *c, uint64_t off, const uint8_t *data, size_t len)
{
	uint8_t *have = c->w->buffer;
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(c->fd, have + got, len - got, (off_t)(off + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->sys_errno = errno;
			return 1;
		}
		if (n == 0)
			return differs(c, off + got);
		got += (size_t)n;
	}
	if (data ? memcmp(have, data, len) == 0 : have[0] == 0 && memcmp(have, have + 1, len - 1) == 0)
		return 0;
	size_t i = 0;
	while (have[i] == (data ? data[i] : 0))
		i++;
	return differs(c, off + i);
}

/* Of a hole only what the file system holds as data need be looked at. */
static int compare_hole(struct comparing *c, uint64_t off, uint64_t end)
{
	while (off < end) {
		off_t data = lseek(c->fd, (off_t)off, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		if (data >= 0)
			off = max_u64(off, (uint64_t)data);
		if (off >= end)
			return 0;
		size_t len = (size_t)min_u64(end - off, COMPARE_BUFFER);
		int rc = compare_piece(c, off, NULL, len);
		if (rc != 0)
			return rc;
		off += len;
	}
	return 0;
}

static int compare_stretch(void *arg, uint64_t off, const uint8_t *data, uint64_t len)
{
	struct comparing *c = arg;
	if (!data)
		return compare_hole(c, off, off + len);
	for (uint64_t done = 0; done < len;) {
		size_t piece = (size_t)min_u64(len - done, COMPARE_BUFFER);
		int rc = compare_piece(c, off + done, data + done, piece);
		if (rc != 0)
			return rc;
		done += piece;
	}
	return 0;
}

int restore_content_compare(struct restore_worker *w, const struct restore_item *item, int fd, bool *ret_same,
	uint64_t *ret_at, int *ret_errno, struct error *err)
{
	struct comparing c = {.w = w, .fd = fd, .same = true};
	struct stat st;
	*ret_errno = 0;
	*ret_at = 0;
	if (!w->buffer)
		w->buffer = malloc(COMPARE_BUFFER);
	if (!w->buffer)
		return error_no_memory(err, "comparing files");
	if (fstat(fd, &st) != 0) {
		*ret_errno = errno;
		return 0;
	}
	if ((uint64_t)st.st_size != item->entry.size) {
		*ret_same = false;
		*ret_at = min_u64((uint64_t)st.st_size, item->entry.size);
		return 0;
	}
	int status = content(w, item, compare_stretch, &c, err);
	*ret_errno = c.sys_errno;
	*ret_same = c.same;
	*ret_at = c.at;
	return status > 0 ? 0 : status;
}

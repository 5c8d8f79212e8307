/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/checked.h"
#include "fs/ops.h"
#include "fs/status.h"

/* An open file: one of a snapshot, or the text that status.json had when it was opened. */
struct open_file {
	struct reader_file *file; /* NULL: text */
	struct buf text;
};

enum { HANDED_MAX = 128 << 10 };

/* What a hole reads as. */
static const uint8_t zeros[OPS_READ_MAX];

static void open_file_free(struct open_file *f)
{
	if (f == NULL)
		return;
	reader_file_close(f->file);
	buf_release(&f->text);
	free(f);
}

/*
 * A small file whose bytes are decoded already goes into the kernel's cache when it is opened: then no READ follows,
 * nor the GETATTR by which the kernel asks for the access time after one. The kernel waits for pages that another
 * request is filling; so that some thread is always left to fill them, one at a time does this, and others leave it.
 */
static void hand_ahead(struct serve *serve, fuse_ino_t ino, const struct entry *e)
{
	if (e->size == 0 || e->size > HANDED_MAX || e->extent_count != 1 || e->extents[0].ref >= e->ref_count)
		return;
	const struct extent *x = &e->extents[0];
	if (atomic_flag_test_and_set(&serve->handing))
		return;
	const struct chunk *chunk = reader_chunk_cached(serve->reader, &e->refs[x->ref].id);
	if (chunk != NULL && x->offset <= chunk->len && e->size <= chunk->len - x->offset) {
		struct fuse_bufvec bytes = FUSE_BUFVEC_INIT((size_t)e->size);
		bytes.buf[0].mem = (void *)(uintptr_t)(chunk->data + x->offset);
		(void)fuse_lowlevel_notify_store(serve->fuse, ino, 0, &bytes, 0);
	}
	if (chunk != NULL)
		reader_release(serve->reader, chunk);
	atomic_flag_clear(&serve->handing);
}

static int open_entry(
	struct serve *serve, fuse_ino_t ino, const struct nodeid *node, struct reader_file **ret, struct error *err)
{
	struct view_entry entry;
	const struct epoch *epoch = namespace_epoch(serve->ns);
	const struct snapshot *s = epoch_snapshot(epoch, node->number);
	int rc = s != NULL ? view_at(serve->view, s, node->rank, &entry, err)
			   : error_set(err, ERR_NOT_FOUND, "the snapshot is gone");
	if (rc == 0) {
		rc = S_ISREG(entry.entry->mode) ? reader_file_open(serve->reader, entry.entry, ret, err)
						: error_set(err, ERR_USAGE, "not a file");
		if (rc == 0)
			hand_ahead(serve, ino, entry.entry);
		view_put(serve->view, &entry);
	}
	epoch_unref(epoch);
	return rc;
}

static int open_it(struct serve *serve, fuse_ino_t ino, struct open_file *f, struct error *err)
{
	struct nodeid node;
	if (!nodeid_parse(ino, &node))
		return error_set(err, ERR_NOT_FOUND, "no such file");
	if (node.kind == NODEID_STATUS)
		return status_render(serve, &f->text, err);
	if (node.kind != NODEID_ENTRY)
		return error_set(err, ERR_USAGE, "not a file");
	return open_entry(serve, ino, &node, &f->file, err);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0) {
		fuse_reply_err(req, EROFS);
		return;
	}
	struct open_file *f = calloc(1, sizeof(*f));
	int rc = f != NULL ? open_it(ops_serve(req), ino, f, &err) : error_no_memory(&err, "an open file");
	if (rc < 0) {
		open_file_free(f);
		ops_fail(req, "opening a file", rc, &err);
		return;
	}
	fi->keep_cache = f->file != NULL;
	fi->direct_io = f->file == NULL;
	fi->noflush = 1; /* nothing was written, close(2) need not ask */
	fi->fh = (uintptr_t)f;
	if (fuse_reply_open(req, fi) < 0)
		open_file_free(f); /* the opener was interrupted: there will be no release */
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	open_file_free((struct open_file *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static void read_text(fuse_req_t req, const struct buf *text, size_t size, uint64_t off)
{
	size_t at = (size_t)min_u64(off, text->len);
	fuse_reply_buf(req, (const char *)text->data + at, min_u64(size, text->len - at));
}

/* For a file in so many pieces that a reply cannot name them all. */
static void read_copy(fuse_req_t req, struct reader_file *file, size_t size, uint64_t off)
{
	struct error err = ERROR_INIT;
	size_t len = 0;
	char *data = malloc(size);
	int rc = data != NULL ? reader_file_read(file, off, data, size, &len, &err) : error_no_memory(&err, "a read");
	if (rc == 0)
		fuse_reply_buf(req, data, len);
	else
		ops_fail(req, "reading a file", rc, &err);
	free(data);
}

/* Sends pinned pieces of decoded chunks as they lie in the cache. */
static void read_spans(fuse_req_t req, const struct reader_span *spans, size_t count)
{
	struct iovec parts[READER_SPANS_MAX];
	for (size_t i = 0; i < count; i++) {
		const uint8_t *data = spans[i].data != NULL ? spans[i].data : zeros;
		parts[i] = (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = spans[i].len};
	}
	fuse_reply_iov(req, parts, (int)count);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct open_file *f = (struct open_file *)(uintptr_t)fi->fh;
	struct reader_span spans[READER_SPANS_MAX];
	size_t count = 0, got = 0;
	uint64_t at = (uint64_t)off;

	struct reader *reader = ops_serve(req)->reader; /* asked for now: a request is gone once it is answered */

	(void)ino;
	size = min_u64(size, OPS_READ_MAX);
	if (f->file == NULL) {
		read_text(req, &f->text, size, at);
		return;
	}
	int rc = reader_file_map(f->file, at, size, spans, READER_SPANS_MAX, &count, &err);
	if (rc < 0) {
		ops_fail(req, "reading a file", rc, &err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		got += spans[i].len;
	uint64_t whole = reader_file_size(f->file);
	/* To the kernel a short read is the end of the file. */
	if (got < size && at < whole && got < whole - at)
		read_copy(req, f->file, size, at);
	else
		read_spans(req, spans, count);
	reader_spans_release(reader, spans, count);
}

static void do_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct open_file *f = (struct open_file *)(uintptr_t)fi->fh;
	uint64_t found = 0;

	(void)ino;
	if (f->file == NULL || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	int rc = reader_file_seek(f->file, (uint64_t)off, whence == SEEK_DATA, &found, &err);
	if (rc == 0)
		fuse_reply_lseek(req, (off_t)found);
	else if (rc == ERR_NOT_FOUND)
		fuse_reply_err(req, ENXIO);
	else
		ops_fail(req, "seeking in a file", rc, &err);
}

void ops_set_file(struct fuse_lowlevel_ops *ops)
{
	ops->open = do_open;
	ops->read = do_read;
	ops->lseek = do_lseek;
	ops->release = do_release;
}

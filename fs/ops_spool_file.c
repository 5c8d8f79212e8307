/* SPDX-License-Identifier: MIT */
/* The bytes of a working copy's open files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "fs/ops_spool.h"

static struct work_file *given(const struct fuse_file_info *fi)
{
	return fi != NULL ? (struct work_file *)(uintptr_t)fi->fh : NULL;
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct work_file *file = given(fi);
	size_t len = 0;

	(void)ino;
	if (file == NULL) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	char *data = malloc(size);
	int rc =
		data != NULL ? work_read(file, (uint64_t)off, data, size, &len, &err) : error_no_memory(&err, "a read");
	if (rc == 0)
		fuse_reply_buf(req, data, len);
	else
		ops_fail(req, "reading a file", rc, &err);
	free(data);
}

static void do_write(
	fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct work_file *file = given(fi);

	/* .commit takes nothing but a touch. */
	if (file == NULL) {
		fuse_reply_err(req, EPERM);
		return;
	}
	/* Pages of a mapping have their place, however the file was opened. */
	bool append = (fi->flags & O_APPEND) != 0 && !fi->writepage;
	/* Who wrote to a mapping is not known, and a local disk does not ask either. */
	int rc = fi->writepage ? 0 : ops_spool_disarm(req, ino, file, &err);
	if (rc == 0)
		rc = work_write(file, (uint64_t)off, data, size, append, &err);
	if (rc == 0)
		fuse_reply_write(req, size);
	else
		ops_fail(req, "writing a file", rc, &err);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct work_file *file = given(fi);

	(void)ino, (void)data_only;
	ops_spool_reply(req, "syncing a file", file != NULL ? work_fsync(file, &err) : 0, &err);
}

static void do_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct work_file *file = given(fi);

	if (file == NULL) {
		fuse_reply_err(req, EPERM);
		return;
	}
	int rc = ops_spool_disarm(req, ino, file, &err);
	if (rc == 0)
		rc = work_allocate(file, mode, (uint64_t)off, (uint64_t)len, &err);
	/* A kind of fallocate that is not known is an answer, no fault. */
	if (rc == ERR_UNSUPPORTED)
		fuse_reply_err(req, EOPNOTSUPP);
	else
		ops_spool_reply(req, "allocating", rc, &err);
}

static void do_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct error err = ERROR_INIT;
	struct work_file *file = given(fi);
	uint64_t found = 0;

	(void)ino;
	if (file == NULL || (whence != SEEK_DATA && whence != SEEK_HOLE)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	int rc = work_seek(file, (uint64_t)off, whence == SEEK_DATA, &found, &err);
	if (rc == 0)
		fuse_reply_lseek(req, (off_t)found);
	else if (rc == ERR_NOT_FOUND)
		fuse_reply_err(req, ENXIO);
	else
		ops_fail(req, "seeking in a file", rc, &err);
}

/* Where copied bytes come from: a file of a snapshot, pinned with its epoch, or an open one of a working copy. */
struct source {
	struct work_copy copy;
	const struct epoch *epoch;
	struct view_entry entry;
};

static int pin_source(struct serve *serve, const struct nodeid *node, struct source *s, struct error *err)
{
	s->epoch = namespace_epoch(serve->ns);
	const struct snapshot *snapshot = epoch_snapshot(s->epoch, node->number);
	int rc = snapshot != NULL ? view_at(serve->view, snapshot, node->rank, &s->entry, err)
				  : error_set(err, ERR_NOT_FOUND, "the snapshot is gone");
	if (rc == 0) {
		s->copy.snapshot = snapshot;
		s->copy.entry = s->entry.entry;
	}
	return rc;
}

static void source_release(struct serve *serve, struct source *s)
{
	if (s->copy.entry != NULL)
		view_put(serve->view, &s->entry);
	epoch_unref(s->epoch);
}

static void do_copy(fuse_req_t req, fuse_ino_t from, off_t from_off, struct fuse_file_info *from_fi, fuse_ino_t to,
	off_t to_off, struct fuse_file_info *to_fi, size_t len, int flags)
{
	struct error err = ERROR_INIT;
	struct serve *serve = ops_serve(req);
	struct nodeid node;
	struct source s = {.copy = {.off = (uint64_t)from_off}};
	struct work_file *file = given(to_fi);
	uint64_t done = 0;
	int rc = 0;

	(void)flags;
	bool known = nodeid_parse(from, &node) && file != NULL;
	if (known && node.kind == NODEID_WORK)
		s.copy.from = given(from_fi);
	else if (known && node.kind == NODEID_ENTRY)
		rc = pin_source(serve, &node, &s, &err);
	/* Of anything else the kernel copies byte by byte. */
	if (rc == 0 && s.copy.from == NULL && s.copy.entry == NULL)
		rc = WORK_EXDEV;
	if (rc == 0)
		rc = ops_spool_disarm(req, to, file, &err);
	if (rc == 0)
		rc = work_copy_range(file, &s.copy, (uint64_t)to_off, min_u64(len, UINT32_MAX), &done, &err);
	source_release(serve, &s);
	if (rc == 0)
		fuse_reply_write(req, done);
	else if (rc == ERR_UNSUPPORTED)
		fuse_reply_err(req, EOPNOTSUPP);
	else
		ops_fail(req, "copying a file", rc, &err);
}

void ops_set_spool_file(struct fuse_lowlevel_ops *ops)
{
	ops->read = do_read;
	ops->write = do_write;
	ops->fsync = do_fsync;
	ops->fallocate = do_fallocate;
	ops->lseek = do_lseek;
	ops->copy_file_range = do_copy;
}

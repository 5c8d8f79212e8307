/* SPDX-License-Identifier: MIT */

/* The bytes of one layer: in memory while it is small, else in its file. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/content_impl.h"

bool layer_reaches(const struct content *c, const struct layer *l, uint64_t end)
{
	return !l->small || end <= c->small;
}

static int write_held(const struct layer *l, int fd, const char *name, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < l->held.count; i++) {
		const struct stretch *s = &l->held.v[i];
		if (!s->hole)
			r = fileio_pwrite(fd, name, l->mem + s->off, (size_t)(s->end - s->off), s->off, err);
	}
	return r;
}

int layer_spill(struct content *c, struct layer *l, struct error *err)
{
	char name[CONTENT_NAME_LEN + 1];
	int fd = -1;
	int r = layer_make_file(c, name, &fd, err);
	if (r == 0)
		r = write_held(l, fd, name, err);
	if (r != 0) {
		if (fd >= 0) {
			close(fd);
			unlinkat(c->dir, name, 0);
		}
		return r;
	}
	pthread_mutex_lock(&c->lock);
	uint8_t *mem = l->mem;
	memcpy(l->name, name, sizeof(name));
	l->fd = fd;
	l->mem = NULL;
	l->small = false;
	l->unsynced = l->unnamed = true;
	pthread_mutex_unlock(&c->lock);
	free(mem);
	return 0;
}

/* False: it has a file. What was never written is zeros. */
static bool read_small(struct content *c, const struct layer *l, uint64_t off, void *dst, size_t len)
{
	pthread_mutex_lock(&c->lock);
	bool small = l->small;
	size_t there = small && l->mem && off < CONTENT_SMALL ? (size_t)min_u64(len, CONTENT_SMALL - off) : 0;
	if (there > 0)
		memcpy(dst, l->mem + off, there);
	pthread_mutex_unlock(&c->lock);
	if (small)
		memset((uint8_t *)dst + there, 0, len - there);
	return small;
}

int layer_read(
	struct content *c, struct layer *l, uint64_t off, void *dst, size_t len, size_t *ret_got, struct error *err)
{
	if (!read_small(c, l, off, dst, len))
		return fileio_pread(l->fd, l->name, dst, len, off, ret_got, err);
	*ret_got = len;
	return 0;
}

/* What is put into memory must fit into the index later: who writes is to hear now that the disk is full. */
static int check_room(const struct content *c, struct error *err)
{
	struct statvfs fs;
	if (fstatvfs(c->dir, &fs) != 0)
		return error_set_errno(err, errno, "looking at the disk of the staging folder");
	if ((fs.f_flag & ST_RDONLY) != 0)
		return error_set_errno(err, EROFS, "writing to a small file of the spool");
	return fs.f_bavail > 0 ? 0 : error_set_errno(err, ENOSPC, "writing to a small file of the spool");
}

static int write_small(struct content *c, struct layer *l, uint64_t off, const void *src, size_t len, struct error *err)
{
	int r = check_room(c, err);
	if (r != 0)
		return r;
	pthread_mutex_lock(&c->lock);
	if (!l->mem)
		l->mem = calloc(1, CONTENT_SMALL);
	bool there = l->mem != NULL;
	if (there)
		memcpy(l->mem + off, src, len);
	pthread_mutex_unlock(&c->lock);
	return there ? 0 : error_no_memory(err, "bytes of a small file");
}

int layer_write(struct content *c, struct layer *l, uint64_t off, const void *src, size_t len, struct error *err)
{
	/* Only who is alone changes this, and whoever writes keeps him out. */
	if (l->small)
		return write_small(c, l, off, src, len, err);
	return fileio_pwrite(l->fd, l->name, src, len, off, err);
}

/* SPDX-License-Identifier: MIT */

/* The shape of a file: its end, holes, room, and where it differs from the archive. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/content_impl.h"

/* Alone, without the lock: there is a layer that can say what changed. */
static int need_layer(struct content *c, struct error *err)
{
	return c->count > 0 ? 0 : content_add_layer(c, err);
}

/* Space of the top layer's file goes back where no recorded state has bytes. Nothing depends on it. */
static void give_back(struct content *c, uint64_t off, uint64_t end, bool to_the_end)
{
	struct layer *top = content_top(c);
	struct stat st;
	if (stretches_meet(&top->kept, off, to_the_end ? UINT64_MAX : end) || fstat(top->fd, &st) != 0)
		return;
	if (to_the_end && (uint64_t)st.st_size > off)
		(void)!ftruncate(top->fd, (off_t)off);
	else if (!to_the_end && (uint64_t)st.st_size > off)
		(void)!fallocate(top->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)(end - off));
}

static int cut(struct content *c, uint64_t size, struct error *err)
{
	if (c->count == 0 && c->under_size == 0)
		return 0;
	int r = need_layer(c, err);
	if (r != 0)
		return r;
	struct layer *top = content_top(c);
	pthread_mutex_lock(&c->lock);
	stretches_cut(&top->held, size);
	top->under = min_u64(top->under, size);
	pthread_mutex_unlock(&c->lock);
	give_back(c, size, UINT64_MAX, true);
	return 0;
}

static void leave(struct content *c)
{
	pthread_mutex_lock(&c->lock);
	content_leave_alone(c);
	pthread_mutex_unlock(&c->lock);
}

static void enter(struct content *c)
{
	pthread_mutex_lock(&c->lock);
	content_enter_alone(c);
	pthread_mutex_unlock(&c->lock);
}

static void set_size(struct content *c, uint64_t size)
{
	pthread_mutex_lock(&c->lock);
	c->size = size;
	c->dirty = true;
	pthread_mutex_unlock(&c->lock);
}

int content_truncate(struct content *c, uint64_t size, struct error *err)
{
	int r = content_check_range(size, 0, err);
	if (r == 0)
		r = content_check_writable(c, err);
	if (r != 0)
		return r;
	enter(c);
	if (size < c->size)
		r = cut(c, size, err);
	if (r == 0 && size != c->size)
		set_size(c, size);
	leave(c);
	return r;
}

/* Zeros in [off, end), which lies before the file's end. */
static int put_hole(struct content *c, uint64_t off, uint64_t end, struct error *err)
{
	if (off >= end || (c->count == 0 && off >= c->under_size))
		return 0;
	int r = need_layer(c, err);
	if (r != 0)
		return r;
	struct layer *top = content_top(c);
	pthread_mutex_lock(&c->lock);
	if (!stretches_reserve(&top->held, 1)) {
		r = error_no_memory(err, "a staged layer");
	} else {
		stretches_put(&top->held, off, end, true);
		c->dirty = true;
	}
	pthread_mutex_unlock(&c->lock);
	if (r == 0)
		give_back(c, off, end, false);
	return r;
}

/* Room on disk, so that writing there later does not find it full; as far as layers can promise that. */
static int make_room(struct content *c, uint64_t off, uint64_t len, struct error *err)
{
	int r = need_layer(c, err);
	if (r != 0)
		return r;
	struct layer *top = content_top(c);
	int e;
	do
		e = fallocate(top->fd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len) == 0 ? 0 : errno;
	while (e == EINTR);
	if (e == 0 || e == EOPNOTSUPP || e == ENOSYS)
		return 0;
	return error_set_errno(err, e, "making room in the staged file '%s'", top->name);
}

int content_allocate(struct content *c, int mode, uint64_t off, uint64_t len, struct error *err)
{
	int zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	int r = content_check_range(off, len, err);
	if (r == 0)
		r = content_check_writable(c, err);
	if (r == 0 && mode != 0 && mode != FALLOC_FL_KEEP_SIZE && mode != FALLOC_FL_ZERO_RANGE &&
		mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE) &&
		mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		r = error_set(
			err, ERR_UNSUPPORTED, "allocating with mode %#x is not possible in the spool", (unsigned)mode);
	if (r != 0 || len == 0)
		return r;
	enter(c);
	r = zero ? put_hole(c, off, min_u64(off + len, c->size), err) : make_room(c, off, len, err);
	if (r == 0 && !(mode & FALLOC_FL_KEEP_SIZE) && off + len > c->size)
		set_size(c, off + len);
	leave(c);
	return r;
}

/* ---- looking ---- */

/* The piece at `off`; false: the file ends there. What it says of a layer may be told, its file not touched. */
static bool look(struct content *c, uint64_t off, struct piece *ret)
{
	pthread_mutex_lock(&c->lock);
	bool there = off < c->size;
	if (there)
		*ret = content_piece(c, off, c->size);
	pthread_mutex_unlock(&c->lock);
	return there;
}

/* The next place of this kind within the piece. */
static int seek_piece(struct content *c, const struct piece *p, bool data, uint64_t *ret_off, struct error *err)
{
	struct error why = ERROR_INIT;
	uint64_t found = p->off;
	if (!p->archive)
		return (p->layer != NULL) == data ? *ret_off = p->off, 0 : ERR_NOT_FOUND;
	int r = reader_file_seek(c->under, p->off, data, &found, &why);
	if (r == 0 && found < p->end) {
		*ret_off = found;
		return 0;
	}
	return r == 0 || r == ERR_NOT_FOUND ? ERR_NOT_FOUND
					    : error_set(err, (enum error_code)r, "%s", error_text(&why));
}

int content_seek(struct content *c, uint64_t off, bool data, uint64_t *ret_off, struct error *err)
{
	struct piece p;
	bool any = false;
	while (look(c, off, &p)) {
		any = true;
		int r = seek_piece(c, &p, data, ret_off, err);
		if (r != ERR_NOT_FOUND)
			return r;
		off = p.end;
	}
	if (!any || data)
		return error_set(err, ERR_NOT_FOUND, "there is nothing behind that offset");
	*ret_off = off; /* every file ends in a hole */
	return 0;
}

int content_changes(struct content *c, content_range_fn *fn, void *arg, struct error *err)
{
	struct piece p;
	uint64_t from = 0, at = 0;
	int r = 0;
	while (r == 0 && look(c, at, &p)) {
		if (p.archive) {
			if (at > from)
				r = fn(arg, from, at - from, err);
			from = p.end;
		}
		at = p.end;
	}
	return r == 0 && at > from ? fn(arg, from, at - from, err) : r;
}

int content_plain_file(struct content *c, int *ret_fd, struct error *err)
{
	char name[CONTENT_NAME_LEN + 1] = "";
	pthread_mutex_lock(&c->lock);
	const struct layer *top = content_top(c);
	const struct stretch *s = top && top->held.count == 1 ? &top->held.v[0] : NULL;
	bool plain = c->count == 1 && s && !s->hole && s->off == 0 && s->end == c->size;
	if (plain)
		memcpy(name, top->name, sizeof(name));
	pthread_mutex_unlock(&c->lock);
	if (!plain)
		return error_set(err, ERR_NOT_FOUND, "the file has more than one layer");
	int fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "opening the staged file '%s'", name);
	*ret_fd = fd;
	return 0;
}

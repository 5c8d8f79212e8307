/* SPDX-License-Identifier: MIT */

/* Reading through the layers, and writing to the top one. */

#include <string.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/content_impl.h"

enum { PLAN = 32 };

/* Pieces of [off, end) and how far they reach; layers are pinned. */
static size_t plan_read(struct content *c, uint64_t off, uint64_t want, struct piece plan[static PLAN])
{
	size_t count = 0;
	pthread_mutex_lock(&c->lock);
	uint64_t end = min_u64(want, c->size);
	while (off < end && count < PLAN) {
		struct piece *p = &plan[count++];
		*p = content_piece(c, off, end);
		if (p->layer)
			atomic_fetch_add_explicit(&p->layer->refs, 1, memory_order_relaxed);
		off = p->end;
	}
	pthread_mutex_unlock(&c->lock);
	return count;
}

static int read_piece(struct content *c, const struct piece *p, uint8_t *dst, struct error *err)
{
	size_t len = (size_t)(p->end - p->off), got = 0;
	int r = 0;
	if (p->layer)
		r = fileio_pread(p->layer->fd, p->layer->name, dst, len, p->off, &got, err);
	else if (p->archive)
		r = reader_file_read(c->under, p->off, dst, len, &got, err);
	if (r == 0)
		memset(dst + got, 0, len - got);
	return r;
}

int content_read(struct content *c, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	struct piece plan[PLAN];
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len, at = off;
	size_t count;
	int r = 0;
	do {
		count = at < end ? plan_read(c, at, end, plan) : 0;
		for (size_t i = 0; i < count; i++) {
			if (r == 0)
				r = read_piece(c, &plan[i], (uint8_t *)dst + (plan[i].off - off), err);
			layer_unref(plan[i].layer);
			at = plan[i].end;
		}
	} while (r == 0 && count == PLAN);
	if (r == 0)
		*ret_len = (size_t)(at - off);
	return r;
}

/* May bytes be written into the file of the top layer there? Under the lock. */
static bool fits_top(const struct content *c, uint64_t off, uint64_t end)
{
	const struct layer *top = content_top(c);
	return top && !stretches_meet(&top->kept, off, end);
}

/* Room in the list for what is under way to be marked, which must not fail after bytes were written. Under the lock. */
static int reserve_mark(struct content *c, struct layer *top, struct error *err)
{
	return stretches_reserve(&top->held, c->writers + 1) ? 0 : error_no_memory(err, "a staged layer");
}

static void mark(struct content *c, struct layer *top, uint64_t off, uint64_t end)
{
	stretches_put(&top->held, off, end, false);
	top->unsynced = true;
	c->size = max_u64(c->size, end);
	c->dirty = true;
}

/* Puts a layer on top if it is needed still. With the lock, which it lets go in between. */
static int make_fit(struct content *c, uint64_t off, uint64_t end, struct error *err)
{
	int r = 0;
	content_enter_alone(c);
	if (!fits_top(c, off, end)) {
		pthread_mutex_unlock(&c->lock);
		r = content_add_layer(c, err);
		pthread_mutex_lock(&c->lock);
	}
	content_leave_alone(c);
	return r;
}

int content_write(struct content *c, uint64_t off, const void *src, size_t len, struct error *err)
{
	int r = content_check_range(off, len, err);
	if (r == 0)
		r = content_check_writable(c, err);
	if (r != 0 || len == 0)
		return r;
	uint64_t end = off + len;
	pthread_mutex_lock(&c->lock);
	content_enter(c);
	while (r == 0 && !fits_top(c, off, end)) {
		content_leave(c);
		r = make_fit(c, off, end, err);
		content_enter(c);
	}
	struct layer *top = content_top(c);
	if (r == 0)
		r = reserve_mark(c, top, err);
	if (r == 0) {
		/* The gate keeps the layer where it is. */
		pthread_mutex_unlock(&c->lock);
		r = fileio_pwrite(top->fd, top->name, src, len, off, err);
		pthread_mutex_lock(&c->lock);
	}
	if (r == 0)
		mark(c, top, off, end);
	content_leave(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

int content_append(struct content *c, const void *src, size_t len, struct error *err)
{
	int r = content_check_writable(c, err);
	if (r != 0 || len == 0)
		return r;
	pthread_mutex_lock(&c->lock);
	content_enter_alone(c);
	uint64_t off = c->size;
	r = content_check_range(off, len, err);
	bool fits = r == 0 && fits_top(c, off, off + len);
	pthread_mutex_unlock(&c->lock);
	if (r == 0 && !fits)
		r = content_add_layer(c, err);
	pthread_mutex_lock(&c->lock);
	struct layer *top = content_top(c);
	if (r == 0)
		r = reserve_mark(c, top, err);
	pthread_mutex_unlock(&c->lock);
	if (r == 0)
		r = fileio_pwrite(top->fd, top->name, src, len, off, err);
	pthread_mutex_lock(&c->lock);
	if (r == 0)
		mark(c, top, off, off + len);
	content_leave_alone(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

/* SPDX-License-Identifier: MIT */

/* Recording: lower layers are folded into the top one, and the state is told. Making it safe, sealing it. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "fs/spool/content_impl.h"

/* What a lower layer shows through the top one: holes and data, in order. False: no memory. */
static bool visible(const struct layer *lower, const struct layer *top, struct stretches *ret)
{
	for (size_t i = 0; i < lower->held.count; i++) {
		const struct stretch *s = &lower->held.v[i];
		uint64_t end = min_u64(s->end, top->under), at = s->off;
		size_t n = stretches_find(&top->held, at);
		while (at < end) {
			const struct stretch *over = n < top->held.count ? &top->held.v[n] : NULL;
			uint64_t stop = over ? min_u64(end, over->off) : end;
			if (stop > at) {
				if (!stretches_reserve(ret, 1))
					return false;
				stretches_put(ret, at, stop, s->hole);
			}
			at = over ? max_u64(stop, over->end) : end;
			n++;
		}
	}
	return true;
}

static int copy(
	const struct layer *from, const struct layer *to, const struct stretch *s, uint8_t *room, struct error *err)
{
	int r = 0;
	for (uint64_t at = s->off; r == 0 && at < s->end;) {
		size_t want = (size_t)min_u64(s->end - at, CONTENT_COPY), got = 0;
		r = fileio_pread(from->fd, from->name, room, want, at, &got, err);
		if (r == 0 && got < want)
			r = error_set(err, ERR_CORRUPT, "the staged file '%s' is shorter than it was", from->name);
		if (r == 0)
			r = fileio_pwrite(to->fd, to->name, room, want, at, err);
		at += want;
	}
	return r;
}

static int copy_all(const struct content *c, const struct layer *from, const struct layer *to,
	const struct stretches *what, struct error *err)
{
	uint8_t *room = what->bytes > 0 ? malloc(CONTENT_COPY) : NULL;
	int r = what->bytes > 0 && !room ? error_no_memory(err, "folding staged layers") : 0;
	for (size_t i = 0; r == 0 && i < what->count; i++)
		if (!what->v[i].hole)
			r = copy(from, to, &what->v[i], room, err);
	free(room);
	/* The bytes that a power cut was to leave now lie here: the index may say so at any moment. */
	if (r == 0 && what->bytes > 0 && from->promised && (fdatasync(to->fd) != 0 || fsync(c->dir) != 0))
		r = error_set_errno(err, errno, "bringing the staged file '%s' to disk", to->name);
	return r;
}

/* Is folding allowed, and worth it? What must be brought to disk waits until there are many layers. */
static bool worth(
	const struct content *c, const struct layer *lower, const struct layer *top, const struct stretches *shown)
{
	if (shown->count == 0)
		return true;
	for (size_t i = 0; i < shown->count; i++)
		if (!shown->v[i].hole && stretches_meet(&top->kept, shown->v[i].off, shown->v[i].end))
			return false;
	return shown->bytes / 2 <= top->held.bytes && (!lower->promised || c->count > CONTENT_LAYERS_MANY);
}

/* The layer below the top one is part of it now, which takes over what both hold. */
static void merge(struct content *c, struct stretches *both, bool copied, struct buf *gone)
{
	struct layer *top = c->layers[c->count - 1], *lower = c->layers[c->count - 2];
	pthread_mutex_lock(&c->lock);
	struct stretches old = top->held;
	top->held = *both;
	top->under = min_u64(top->under, lower->under);
	top->unsynced |= copied && !lower->promised;
	top->promised |= copied && lower->promised;
	c->layers[c->count - 2] = top;
	c->count--;
	pthread_mutex_unlock(&c->lock);
	*both = old;
	buf_put(gone, lower->name, sizeof(lower->name));
	layer_unref(lower);
}

/* Folds the layer below the top one into it; *ret_done false: it stays. Alone, without the lock. */
static int fold_one(struct content *c, struct buf *gone, bool *ret_done, struct error *err)
{
	struct layer *top = c->layers[c->count - 1], *lower = c->layers[c->count - 2];
	struct stretches shown = {0}, both = {0};
	int r = 0;
	bool fold = false;
	if (!visible(lower, top, &shown) || !buf_reserve(gone, sizeof(lower->name))) {
		r = error_no_memory(err, "folding staged layers");
	} else if (!lower->sealed && worth(c, lower, top, &shown)) {
		fold = stretches_join(&both, &top->held) && stretches_join(&both, &shown);
		r = fold ? copy_all(c, lower, top, &shown, err) : error_no_memory(err, "folding staged layers");
		if (r == 0)
			merge(c, &both, shown.bytes > 0, gone);
	}
	stretches_release(&shown);
	stretches_release(&both);
	*ret_done = fold && r == 0;
	return r;
}

/* A disk without room for folding is no reason not to record: the layers then stay as they are. */
static int fold(struct content *c, struct buf *gone, struct error *err)
{
	struct error why = ERROR_INIT;
	bool more = c->count > 1;
	int r = 0;
	while (more && r == 0) {
		r = fold_one(c, gone, &more, &why);
		more = more && c->count > 1;
	}
	if (r == 0 || r == ERR_NO_SPACE)
		return 0;
	return error_set(err, (enum error_code)r, "%s", error_text(&why));
}

/* From here on what is told counts as recorded. Alone, under the lock. */
static int keep_all(struct content *c, struct error *err)
{
	for (size_t i = 0; i < c->count; i++) {
		if (!stretches_keep(&c->layers[i]->kept, &c->layers[i]->held))
			return error_no_memory(err, "staged layers");
		c->layers[i]->recorded = true;
	}
	return 0;
}

int content_record(
	struct content *c, struct buf *ret_layers, uint64_t *ret_size, struct buf *ret_gone, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	content_enter_alone(c);
	bool dirty = c->dirty && !c->read_only;
	pthread_mutex_unlock(&c->lock);
	int r = dirty ? fold(c, ret_gone, err) : 0;
	pthread_mutex_lock(&c->lock);
	if (r == 0 && dirty)
		r = keep_all(c, err);
	if (r == 0) {
		layers_encode(c->layers, c->count, ret_layers);
		if (buf_failed(ret_layers))
			r = error_no_memory(err, "staged layers");
	}
	if (r == 0) {
		*ret_size = c->size;
		c->dirty = false;
	}
	content_leave_alone(c);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void content_unrecord(struct content *c)
{
	pthread_mutex_lock(&c->lock);
	c->dirty = true;
	pthread_mutex_unlock(&c->lock);
}

static void seal(struct content *c, bool sealed)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->count; i++)
		c->layers[i]->sealed = sealed && c->layers[i]->recorded;
	pthread_mutex_unlock(&c->lock);
}

void content_freeze(struct content *c)
{
	seal(c, true);
}

void content_thaw(struct content *c)
{
	seal(c, false);
}

/* ---- to disk ---- */

/* A layer that is to be synced, pinned; NULL: none is left. */
static struct layer *next_unsynced(struct content *c)
{
	struct layer *found = NULL;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; !found && i < c->count; i++)
		if (c->layers[i]->unsynced)
			found = c->layers[i];
	if (found) {
		atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
		found->unsynced = false; /* what is written from now on sets it again */
		found->promised = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

bool content_promised(struct content *c)
{
	bool any = false;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->count; i++)
		any |= c->layers[i]->promised;
	pthread_mutex_unlock(&c->lock);
	return any;
}

static bool take_unnamed(struct content *c)
{
	bool any = false;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->count; i++) {
		any |= c->layers[i]->unnamed;
		c->layers[i]->unnamed = false;
	}
	pthread_mutex_unlock(&c->lock);
	return any;
}

int content_sync(struct content *c, struct error *err)
{
	struct layer *l;
	int r = 0;
	pthread_mutex_lock(&c->lock);
	if (c->sync_failed)
		r = error_set(err, ERR_IO, "staged bytes of this file could not be brought to disk before");
	pthread_mutex_unlock(&c->lock);
	/* At most what is there now: a writer that goes on must not keep this from ending. */
	for (size_t left = CONTENT_LAYERS_MAX; r == 0 && left > 0 && (l = next_unsynced(c)); left--) {
		if (fdatasync(l->fd) != 0)
			r = error_set_errno(err, errno, "bringing the staged file '%s' to disk", l->name);
		layer_unref(l);
	}
	if (r == 0 && take_unnamed(c) && fsync(c->dir) != 0)
		r = error_set_errno(err, errno, "bringing the staging folder to disk");
	if (r != 0) {
		/* The kernel tells a failure once and then forgets it. */
		pthread_mutex_lock(&c->lock);
		c->sync_failed = true;
		pthread_mutex_unlock(&c->lock);
	}
	return r;
}

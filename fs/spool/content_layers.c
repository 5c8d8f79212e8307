/* SPDX-License-Identifier: MIT */

/*
 * Layers and their encoding: version, number of layers; each, the oldest first: 16 bytes that are its file's name in
 * hex, `under` plus one (0: all), number of stretches, and for each the gap before it and twice its length, plus one
 * for a hole.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/hex.h"
#include "fs/spool/content_impl.h"

enum { LAYERS_VERSION = 1, STRETCH_LEAST = 2 };

static struct layer *layer_new(void)
{
	struct layer *l = calloc(1, sizeof(*l));
	if (l) {
		atomic_init(&l->refs, 1);
		l->fd = -1;
		l->under = UINT64_MAX;
	}
	return l;
}

void layer_unref(struct layer *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (l->fd >= 0)
		close(l->fd);
	stretches_release(&l->held);
	stretches_release(&l->kept);
	free(l);
}

int layer_make(int dir, struct stage *stage, struct layer **ret_layer, struct error *err)
{
	struct layer *l = layer_new();
	if (!l)
		return error_no_memory(err, "a staged file");
	int r = stage ? stage_take(stage, l->name, &l->fd, err) : stage_make(dir, l->name, &l->fd, err);
	if (r != 0) {
		layer_unref(l);
		return r;
	}
	l->unnamed = true;
	*ret_layer = l;
	return 0;
}

void layers_encode(struct layer *const *layers, size_t count, struct buf *b)
{
	if (count == 0)
		return;
	buf_put_u8(b, LAYERS_VERSION);
	buf_put_varint(b, count);
	for (size_t i = 0; i < count; i++) {
		const struct layer *l = layers[i];
		uint8_t raw[CONTENT_NAME_RAW];
		uint64_t at = 0;
		(void)hex_decode(l->name, CONTENT_NAME_LEN, raw);
		buf_put(b, raw, sizeof(raw));
		buf_put_varint(b, l->under + 1); /* wraps on purpose */
		buf_put_varint(b, l->held.count);
		for (size_t n = 0; n < l->held.count; n++) {
			const struct stretch *s = &l->held.v[n];
			buf_put_varint(b, s->off - at);
			buf_put_varint(b, (s->end - s->off) << 1 | s->hole);
			at = s->end;
		}
	}
}

static bool decode_stretches(struct cursor *c, struct stretches *ret)
{
	uint64_t at = 0, count = cursor_varint(c);
	if (cursor_failed(c) || count > cursor_left(c) / STRETCH_LEAST || !stretches_reserve(ret, (size_t)count))
		return false;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t gap = cursor_varint_max(c, CONTENT_END_MAX), len = cursor_varint(c);
		bool hole = len & 1;
		len >>= 1;
		if (cursor_failed(c) || len == 0 || gap > CONTENT_END_MAX - at || len > CONTENT_END_MAX - at - gap)
			return false;
		stretches_put(ret, at + gap, at + gap + len, hole);
		at += gap + len;
	}
	return true;
}

/* The next layer, without its file; NULL: damaged, or no memory. */
static struct layer *decode_layer(struct cursor *c)
{
	struct layer *l = layer_new();
	const uint8_t *raw = cursor_bytes(c, CONTENT_NAME_RAW);
	if (l && raw) {
		hex_encode(raw, CONTENT_NAME_RAW, l->name);
		l->under = cursor_varint(c) - 1;
		l->recorded = true;
		if (decode_stretches(c, &l->held))
			return l;
	}
	layer_unref(l);
	return NULL;
}

static int damaged(struct error *err)
{
	return error_set(err, ERR_CORRUPT, "the list of staged layers of a file is damaged");
}

/* `each` takes the layer over. */
static int decode(const void *data, size_t len, int (*each)(void *arg, struct layer *l, struct error *err), void *arg,
	struct error *err)
{
	struct cursor c = cursor_of(data, len);
	int r = 0;
	if (len == 0)
		return 0;
	if (cursor_u8(&c) != LAYERS_VERSION)
		return damaged(err);
	uint64_t count = cursor_varint_max(&c, CONTENT_LAYERS_MAX);
	if (count == 0)
		return damaged(err);
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		struct layer *l = decode_layer(&c);
		r = l ? each(arg, l, err) : damaged(err);
	}
	return r == 0 && !cursor_done(&c) ? damaged(err) : r;
}

/* The end of the last stretch that has bytes in the file. */
static uint64_t data_end(const struct stretches *s)
{
	for (size_t i = s->count; i > 0; i--)
		if (!s->v[i - 1].hole)
			return s->v[i - 1].end;
	return 0;
}

static int layer_open(int dir, struct layer *l, bool read_only, struct error *err)
{
	struct stat st;
	l->fd = openat(dir, l->name, (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0 && errno == EROFS) /* it can still be read; who writes hears of it then */
		l->fd = openat(dir, l->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (l->fd < 0)
		return error_set_errno(err, errno, "opening the staged file '%s'", l->name);
	if (fstat(l->fd, &st) != 0)
		return error_set_errno(err, errno, "looking at the staged file '%s'", l->name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < data_end(&l->held))
		return error_set(err, ERR_CORRUPT, "the staged file '%s' is shorter than it was", l->name);
	return 0;
}

struct opening {
	int dir;
	bool read_only, sealed, unsynced;
	struct layer **layers;
	size_t count;
};

/* All of a sealed layer's file counts as named: a frozen view may know stretches that were forgotten since. */
static bool keep(struct layer *l, bool sealed)
{
	l->sealed = sealed;
	if (!sealed)
		return stretches_keep(&l->kept, &l->held);
	if (!stretches_reserve(&l->kept, 1))
		return false;
	stretches_put(&l->kept, 0, CONTENT_END_MAX, false);
	return true;
}

static int open_each(void *arg, struct layer *l, struct error *err)
{
	struct opening *o = arg;
	struct layer **layers = reallocarray(o->layers, o->count + 1, sizeof(*layers));
	if (!layers) {
		layer_unref(l);
		return error_no_memory(err, "staged layers");
	}
	o->layers = layers;
	o->layers[o->count++] = l;
	int r = layer_open(o->dir, l, o->read_only, err);
	if (r == 0 && !keep(l, o->sealed))
		r = error_no_memory(err, "staged layers");
	l->unsynced = l->unnamed = true; /* nobody knows */
	l->promised = !o->unsynced;
	return r;
}

int layers_open(const struct content_options *options, struct layer ***ret_layers, size_t *ret_count, struct error *err)
{
	struct opening o = {.dir = options->dir,
		.read_only = options->read_only,
		.sealed = options->sealed,
		.unsynced = options->unsynced};
	int r = decode(options->layers, options->layers_len, open_each, &o, err);
	if (r != 0) {
		for (size_t i = 0; i < o.count; i++)
			layer_unref(o.layers[i]);
		free(o.layers);
		return r;
	}
	*ret_layers = o.layers;
	*ret_count = o.count;
	return 0;
}

struct naming {
	content_name_fn *fn;
	void *arg;
};

static int name_each(void *arg, struct layer *l, struct error *err)
{
	struct naming *n = arg;
	int r = n->fn(n->arg, l->name, err);
	layer_unref(l);
	return r;
}

int content_layer_names(const void *layers, size_t len, content_name_fn *fn, void *arg, struct error *err)
{
	struct naming n = {fn, arg};
	return decode(layers, len, name_each, &n, err);
}

static int there_each(void *arg, struct layer *l, struct error *err)
{
	const int *dir = arg;
	int r = layer_open(*dir, l, true, err);
	layer_unref(l);
	return r;
}

int content_layers_there(int dir, const void *layers, size_t len, struct error *err)
{
	return decode(layers, len, there_each, &dir, err);
}

struct hiding {
	uint64_t first, under; /* the first byte that a layer holds; how much shows through all of them */
};

static int hide_each(void *arg, struct layer *l, struct error *err)
{
	struct hiding *h = arg;
	(void)err;
	if (l->held.count > 0)
		h->first = min_u64(h->first, l->held.v[0].off);
	h->under = min_u64(h->under, l->under);
	layer_unref(l);
	return 0;
}

int content_layers_hide(const void *layers, size_t len, uint64_t size, bool *ret_any, struct error *err)
{
	struct hiding h = {UINT64_MAX, size};
	int r = decode(layers, len, hide_each, &h, err);
	if (r == 0)
		*ret_any = h.first < h.under;
	return r;
}

static int unlink_each(void *arg, struct layer *l, struct error *err)
{
	const int *dir = arg;
	(void)err;
	(void)unlinkat(*dir, l->name, 0);
	layer_unref(l);
	return 0;
}

void content_unlink_layers(int dir, const void *layers, size_t len)
{
	(void)decode(layers, len, unlink_each, &dir, NULL);
}

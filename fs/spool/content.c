/* SPDX-License-Identifier: MIT */

/* Opening and closing a file's content, the gate that changes pass, and where each byte lies. */

#include <stdlib.h>

#include "base/checked.h"
#include "fs/spool/content_impl.h"

static struct content *content_new(const struct content_options *options)
{
	struct content *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	if (pthread_mutex_init(&c->lock, NULL) != 0)
		goto out;
	if (pthread_cond_init(&c->moved, NULL) != 0)
		goto out_lock;
	c->dir = options->dir;
	c->stage = options->stage;
	c->read_only = options->read_only;
	c->size = options->size;
	c->under = options->under;
	c->under_size = c->under ? reader_file_size(c->under) : 0;
	if (options->layers_len == 0)
		c->under_size = min_u64(c->under_size, c->size);
	return c;
out_lock:
	pthread_mutex_destroy(&c->lock);
out:
	free(c);
	return NULL;
}

int content_open(const struct content_options *options, struct content **ret_content, struct error *err)
{
	struct content *c = content_new(options);
	int r = 0;
	if (!c) {
		if (options->under)
			reader_file_close(options->under);
		return error_no_memory(err, "a file of the spool");
	}
	if (c->size > CONTENT_END_MAX)
		r = error_set(err, ERR_CORRUPT, "a file of the spool has an impossible size");
	if (r == 0)
		r = layers_open(options, &c->layers, &c->count, err);
	c->cap = c->count;
	if (r != 0) {
		content_close(c);
		return r;
	}
	*ret_content = c;
	return 0;
}

void content_close(struct content *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		layer_unref(c->layers[i]);
	free(c->layers);
	if (c->under)
		reader_file_close(c->under);
	pthread_cond_destroy(&c->moved);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

uint64_t content_size(struct content *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t size = c->size;
	pthread_mutex_unlock(&c->lock);
	return size;
}

uint64_t content_staged(struct content *c)
{
	uint64_t bytes = 0;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->count; i++)
		bytes += (c->layers[i]->held.bytes + 4095) & ~UINT64_C(4095);
	pthread_mutex_unlock(&c->lock);
	return bytes;
}

bool content_dirty(struct content *c)
{
	pthread_mutex_lock(&c->lock);
	bool dirty = c->dirty;
	pthread_mutex_unlock(&c->lock);
	return dirty;
}

/* ---- the gate ---- */

void content_enter(struct content *c)
{
	while (c->alone || c->waiting > 0)
		pthread_cond_wait(&c->moved, &c->lock);
	c->writers++;
}

void content_leave(struct content *c)
{
	if (--c->writers == 0 && c->waiting > 0)
		pthread_cond_broadcast(&c->moved);
}

void content_enter_alone(struct content *c)
{
	c->waiting++;
	while (c->alone || c->writers > 0)
		pthread_cond_wait(&c->moved, &c->lock);
	c->waiting--;
	c->alone = true;
}

void content_leave_alone(struct content *c)
{
	c->alone = false;
	pthread_cond_broadcast(&c->moved);
}

/* ---- where bytes lie ---- */

struct layer *content_top(const struct content *c)
{
	return c->count > 0 ? c->layers[c->count - 1] : NULL;
}

struct piece content_piece(const struct content *c, uint64_t off, uint64_t end)
{
	struct piece p = {.off = off, .end = end};
	for (size_t i = c->count; i > 0; i--) {
		struct layer *l = c->layers[i - 1];
		size_t n = stretches_find(&l->held, off);
		const struct stretch *s = n < l->held.count ? &l->held.v[n] : NULL;
		if (s && s->off <= off) {
			p.layer = s->hole ? NULL : l;
			p.end = min_u64(p.end, s->end);
			return p;
		}
		if (s)
			p.end = min_u64(p.end, s->off);
		if (off >= l->under)
			return p;
		p.end = min_u64(p.end, l->under);
	}
	p.archive = off < c->under_size;
	if (p.archive)
		p.end = min_u64(p.end, c->under_size);
	return p;
}

int content_add_layer(struct content *c, struct error *err)
{
	struct layer *l;
	if (c->count == c->cap) {
		struct layer **layers = reallocarray(NULL, c->count + 8, sizeof(struct layer *));
		if (!layers)
			return error_no_memory(err, "staged layers");
		pthread_mutex_lock(&c->lock);
		struct layer **old = c->layers;
		for (size_t i = 0; i < c->count; i++)
			layers[i] = old[i];
		c->layers = layers;
		c->cap = c->count + 8;
		pthread_mutex_unlock(&c->lock);
		free(old);
	}
	int r = layer_make(c->dir, c->stage, &l, err);
	if (r != 0)
		return r;
	pthread_mutex_lock(&c->lock);
	c->layers[c->count++] = l;
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int content_check_range(uint64_t off, uint64_t len, struct error *err)
{
	if (off > CONTENT_END_MAX || len > CONTENT_END_MAX - off)
		return error_set(err, ERR_USAGE, "a file of the spool cannot be that large");
	return 0;
}

int content_check_writable(const struct content *c, struct error *err)
{
	return c->read_only ? error_set(err, ERR_BUG, "a frozen file of the spool was to be changed") : 0;
}

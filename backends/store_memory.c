/* SPDX-License-Identifier: MIT */

/*
 * The store in memory: the contract of store.h in its shortest form, for tests
 * and as the measure of the others.
 *
 * Objects lie in an array sorted by name, under one read-write lock. The lock
 * is never held while a caller's function runs or a caller's file is read; a
 * listing therefore looks up its next name afresh each time, and sees what is
 * put or deleted ahead of it.
 */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backends/driver.h"
#include "base/checked.h"
#include "base/clock.h"

struct object {
	uint8_t *data; /* owned */
	uint64_t len;
	int64_t date;
	char name[STORE_NAME_MAX + 1];
};

struct store_memory {
	struct store base;
	pthread_rwlock_t lock; /* guards what follows */
	struct object **objects;
	size_t count;
	size_t cap;
};

static struct store_memory *memory_of(struct store *store)
{
	return (struct store_memory *)store;
}

/* Index of the first object whose name is not smaller than `name`. */
static size_t lower_bound(const struct store_memory *m, const char *name)
{
	size_t low = 0;
	size_t high = m->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (strcmp(m->objects[mid]->name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct object *find(const struct store_memory *m, const char *name)
{
	size_t at = lower_bound(m, name);

	return at < m->count && strcmp(m->objects[at]->name, name) == 0 ? m->objects[at] : NULL;
}

static void object_free(struct object *o)
{
	if (!o)
		return;
	free(o->data);
	free(o);
}

static int memory_get(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len,
	void *dst, size_t *ret_len, struct error *err)
{
	struct store_memory *m = memory_of(store);

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&m->lock);
	const struct object *o = find(m, name);
	if (o) {
		size_t n = off < o->len ? (size_t)min_u64(len, o->len - off) : 0;

		if (n > 0)
			memcpy(dst, o->data + off, n);
		*ret_len = n;
	}
	pthread_rwlock_unlock(&m->lock);
	return o ? 0 : store_missing(store, name, err);
}

static int memory_stat(
	struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err)
{
	struct store_memory *m = memory_of(store);

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	pthread_rwlock_rdlock(&m->lock);
	const struct object *o = find(m, name);
	if (o)
		*ret_size = o->len;
	pthread_rwlock_unlock(&m->lock);
	return o ? 0 : store_missing(store, name, err);
}

static bool same_object(const struct object *a, const struct object *b)
{
	size_t tail = store_tail_len(a->len);

	return a->len == b->len && memcmp(a->data + a->len - tail, b->data + b->len - tail, tail) == 0;
}

/* Takes `o` in at its place; the lock is held. False without memory. */
static bool insert(struct store_memory *m, struct object *o)
{
	size_t at = lower_bound(m, o->name);

	if (m->count == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct object **grown = reallocarray(m->objects, cap, sizeof(*grown));

		if (!grown)
			return false;
		m->objects = grown;
		m->cap = cap;
	}
	memmove(m->objects + at + 1, m->objects + at, (m->count - at) * sizeof(*m->objects));
	m->objects[at] = o;
	m->count++;
	return true;
}

static int object_new(const char *name, const struct store_body *body, struct object **ret_object, struct error *err)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		return error_no_memory(err, name);
	int rc = store_body_load(body, name, &o->data, err);
	if (rc < 0) {
		free(o);
		return rc;
	}
	memcpy(o->name, name, strlen(name) + 1);
	o->len = body->len;
	o->date = clock_now();
	*ret_object = o;
	return 0;
}

static int memory_put(struct store *store, const struct store_call *call, const char *name,
	const struct store_body *body, struct store_reply *ret_reply, struct error *err)
{
	struct store_memory *m = memory_of(store);
	struct object *o = NULL;
	int64_t date;

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	rc = object_new(name, body, &o, err);
	if (rc < 0)
		return rc;
	date = o->date;
	pthread_rwlock_wrlock(&m->lock);
	const struct object *there = find(m, name);
	if (!there) {
		if (insert(m, o))
			o = NULL;
		else
			rc = error_no_memory(err, name);
	} else if (!same_object(there, o)) {
		rc = store_taken(store, name, err);
	} else {
		date = there->date;
	}
	pthread_rwlock_unlock(&m->lock);
	object_free(o);
	if (rc == 0 && ret_reply)
		ret_reply->date = date;
	return rc;
}

static int memory_del(struct store *store, const struct store_call *call, const char *name, struct error *err)
{
	struct store_memory *m = memory_of(store);
	struct object *o = NULL;

	int rc = store_begin(store, call, name, err);
	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&m->lock);
	size_t at = lower_bound(m, name);
	if (at < m->count && strcmp(m->objects[at]->name, name) == 0) {
		o = m->objects[at];
		m->count--;
		memmove(m->objects + at, m->objects + at + 1, (m->count - at) * sizeof(*m->objects));
	}
	pthread_rwlock_unlock(&m->lock);
	object_free(o);
	return 0;
}

/* The first name that is greater than `after` and not smaller than `prefix`, while it begins with that. */
static bool next_name(struct store_memory *m, const char *prefix, const char *after,
	char dst[static STORE_NAME_MAX + 1], uint64_t *ret_size)
{
	bool found = false;

	pthread_rwlock_rdlock(&m->lock);
	size_t at = lower_bound(m, strcmp(prefix, after) > 0 ? prefix : after);
	if (at < m->count && strcmp(m->objects[at]->name, after) == 0)
		at++;
	if (at < m->count && strncmp(m->objects[at]->name, prefix, strlen(prefix)) == 0) {
		memcpy(dst, m->objects[at]->name, STORE_NAME_MAX + 1);
		*ret_size = m->objects[at]->len;
		found = true;
	}
	pthread_rwlock_unlock(&m->lock);
	return found;
}

static int memory_list(struct store *store, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err)
{
	struct store_memory *m = memory_of(store);
	char name[STORE_NAME_MAX + 1];
	uint64_t size;

	int rc = store_begin(store, call, NULL, err);
	while (rc == 0 && next_name(m, prefix, after, name, &size)) {
		rc = fn(arg, name, size, err);
		if (rc == 0)
			rc = store_go_on(call, name, err);
		after = name;
	}
	return rc;
}

static void memory_close(struct store *store)
{
	struct store_memory *m = memory_of(store);

	for (size_t i = 0; i < m->count; i++)
		object_free(m->objects[i]);
	free(m->objects);
	pthread_rwlock_destroy(&m->lock);
	store_release(store);
	free(m);
}

static const struct store_ops memory_ops = {
	.get = memory_get,
	.put = memory_put,
	.del = memory_del,
	.list = memory_list,
	.stat = memory_stat,
	.close = memory_close,
};

int store_memory_open(struct store **ret_store, struct error *err)
{
	struct store_memory *m = calloc(1, sizeof(*m));
	char *url = strdup("memory:");

	if (!m || !url || pthread_rwlock_init(&m->lock, NULL) != 0) {
		free(m);
		free(url);
		return error_no_memory(err, "a store in memory");
	}
	m->base.ops = &memory_ops;
	m->base.features = STORE_CREATE_ONLY | STORE_LIST_AFTER_PUT | STORE_LOCAL;
	m->base.parallel = 4;
	m->base.url = url;
	*ret_store = &m->base;
	return 0;
}

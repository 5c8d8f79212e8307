/* SPDX-License-Identifier: MIT */
/*
 * Many objects at once. Threads fetch parts in order, two an object, no
 * further ahead of the caller than `window` objects, which bounds memory; the
 * thread that brings an object's second part opens it and hands it over. The
 * callback runs in the caller's own thread, so it needs no lock and may block.
 */
#include <pthread.h>
#include <stdlib.h>

#include "archive/object_part.h"
#include "base/pool.h"

struct many_item {
	struct object_parts parts;
	size_t index;
	unsigned missing; /* parts still under way */
	int status;
	struct buf content;
	struct error why;
	struct many_item *next; /* in the free or the done list */
};

struct many {
	struct repo *repo;
	enum object_kind kind;
	const struct id *ids;
	size_t count;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t room, ready;
	size_t next_part; /* 2 * index + part */
	bool stop;
	struct many_item *free, *done;
	struct many_item *begun; /* whose second part is next */
};

/* Takes the next part on, waiting for a free item. NULL: there is nothing left to do. */
static struct many_item *many_next(struct many *m, size_t *ret_part)
{
	struct many_item *item = NULL;
	pthread_mutex_lock(&m->lock);
	while (!m->stop && m->next_part < OBJECT_PARTS * m->count && m->next_part % OBJECT_PARTS == 0 && !m->free)
		pthread_cond_wait(&m->room, &m->lock);
	if (!m->stop && m->next_part < OBJECT_PARTS * m->count) {
		*ret_part = m->next_part % OBJECT_PARTS;
		if (*ret_part == 0) {
			m->begun = m->free;
			m->free = m->free->next;
			m->begun->index = m->next_part / OBJECT_PARTS;
			m->begun->missing = OBJECT_PARTS;
			m->begun->parts.id = m->ids[m->begun->index];
		}
		item = m->begun;
		m->next_part++;
	}
	pthread_mutex_unlock(&m->lock);
	return item;
}

static void many_work(void *arg)
{
	struct many *m = arg;
	struct many_item *item;
	size_t part;
	while ((item = many_next(m, &part)) != NULL) {
		object_parts_fetch(&item->parts, part);
		pthread_mutex_lock(&m->lock);
		bool whole = --item->missing == 0;
		pthread_mutex_unlock(&m->lock);
		if (!whole)
			continue;
		item->status = object_parts_open(&item->parts, &item->content, &item->why);
		object_parts_reset(&item->parts);
		pthread_mutex_lock(&m->lock);
		item->next = m->done;
		m->done = item;
		pthread_cond_signal(&m->ready);
		pthread_mutex_unlock(&m->lock);
	}
}

/* The caller's side: takes what is done until all is, or fn had enough. */
static int many_deliver(struct many *m, object_many_fn *fn, void *arg)
{
	int rc = 0;
	for (size_t delivered = 0; delivered < m->count && rc == 0; delivered++) {
		pthread_mutex_lock(&m->lock);
		while (!m->done)
			pthread_cond_wait(&m->ready, &m->lock);
		struct many_item *item = m->done;
		m->done = item->next;
		pthread_mutex_unlock(&m->lock);
		rc = fn(arg, item->index, item->status, &item->content, &item->why);
		buf_release(&item->content);
		error_clear(&item->why);
		pthread_mutex_lock(&m->lock);
		item->next = m->free;
		m->free = item;
		m->stop = rc != 0;
		pthread_cond_broadcast(&m->room);
		pthread_mutex_unlock(&m->lock);
	}
	return rc;
}

static int many_serial(struct many *m, object_many_fn *fn, void *arg)
{
	struct buf content = {0};
	int rc = 0;
	for (size_t i = 0; i < m->count && rc == 0; i++) {
		struct error why = ERROR_INIT;
		int status = object_get(m->repo, m->kind, &m->ids[i], &content, &why);
		rc = fn(arg, i, status, &content, &why);
	}
	buf_release(&content);
	return rc;
}

/* Threads for that many; 1 where they do not pay off. */
static unsigned many_threads(const struct repo *repo, size_t count)
{
	enum { FEW = 8 };
	bool local = (repo->store->features & STORE_LOCAL) != 0;
	/* A local read costs little beside opening what was read: one thread a core is enough. */
	size_t threads = local ? pool_cores() : repo->store->parallel;
	if (local && count < FEW)
		return 1;
	return threads > OBJECT_PARTS * count ? (unsigned)(OBJECT_PARTS * count) : (unsigned)threads;
}

int object_get_many(struct repo *repo, enum object_kind kind, const struct id *ids, size_t count, object_many_fn *fn,
	void *arg, struct error *err)
{
	struct many m = {.repo = repo,
		.kind = kind,
		.ids = ids,
		.count = count,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.room = PTHREAD_COND_INITIALIZER,
		.ready = PTHREAD_COND_INITIALIZER};
	unsigned threads = many_threads(repo, count);
	struct pool *pool = NULL;
	size_t window = threads + 2;
	if (count <= 1 || threads <= 1)
		return many_serial(&m, fn, arg);
	struct many_item *items = calloc(window, sizeof(*items));
	if (!items)
		return error_no_memory(err, "reading objects");
	for (size_t i = 0; i < window; i++) {
		items[i].parts.repo = repo;
		items[i].parts.kind = kind;
		items[i].next = m.free;
		m.free = &items[i];
	}
	int rc = pool_new(threads, threads, "objects", &pool, err);
	if (rc == 0) {
		for (unsigned i = 0; i < threads; i++)
			pool_submit(pool, many_work, &m);
		rc = many_deliver(&m, fn, arg);
		pool_free(pool);
	}
	/* After an early stop some may be done that nobody asked for. */
	for (size_t i = 0; i < window; i++) {
		buf_release(&items[i].content);
		object_parts_reset(&items[i].parts);
	}
	free(items);
	return rc;
}

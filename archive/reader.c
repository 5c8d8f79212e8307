/* SPDX-License-Identifier: MIT */
#include "archive/reader.h"

#include <stdlib.h>
#include <time.h>

#include "archive/reader_impl.h"
#include "base/checked.h"

static struct slot *slot_of(const struct chunk *chunk)
{
	return (struct slot *)((char *)(uintptr_t)chunk - offsetof(struct slot, chunk));
}

static void locks_init(struct reader *r)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&r->lock, NULL);
	for (unsigned i = 0; i < CACHE_CONDS; i++)
		pthread_cond_init(&r->conds[i], NULL);
	pthread_cond_init(&r->work, NULL);
	pthread_cond_init(&r->map_free, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->room, &attr);
	pthread_condattr_destroy(&attr);
}

static void locks_release(struct reader *r)
{
	for (unsigned i = 0; i < CACHE_CONDS; i++)
		pthread_cond_destroy(&r->conds[i]);
	pthread_cond_destroy(&r->work);
	pthread_cond_destroy(&r->map_free);
	pthread_cond_destroy(&r->room);
	pthread_mutex_destroy(&r->lock);
}

int reader_open(struct repo *repo, const struct reader_options *options, struct reader **ret_reader, struct error *err)
{
	struct reader *r = calloc(1, sizeof(*r));
	int status;

	if (r == NULL)
		return error_no_memory(err, "a reader");
	locks_init(r);
	r->repo = repo;
	r->local = (repo->store->features & STORE_LOCAL) != 0;
	r->cap = options->cache_bytes == 0 ? CACHE_DEFAULT : options->cache_bytes;
	if (r->cap < CACHE_LEAST)
		r->cap = CACHE_LEAST;
	r->buckets = calloc(CACHE_BUCKETS, sizeof(struct slot *));
	status = r->buckets == NULL ? error_no_memory(err, "a reader") : 0;
	if (status == 0)
		status = keys_new(repo, &r->keys, err);
	if (status == 0)
		status = stale_new(repo, options->catalog_dir, &r->stale, err);
	if (status != 0) {
		reader_close(r);
		return status;
	}
	fetch_init(r, options->threads);
	nodes_source_init(r);
	*ret_reader = r;
	return 0;
}

void reader_close(struct reader *r)
{
	if (r == NULL)
		return;
	fetch_stop(r);
	cache_release(r);
	room_release(r);
	kits_free(r);
	keys_free(r->keys);
	stale_free(r->stale);
	locks_release(r);
	free(r);
}

int reader_chunk(struct reader *r, const struct chunk_ref *ref, const struct chunk **ret_chunk, struct error *err)
{
	struct slot *s;
	int status = slot_get(r, SLOT_CHUNK, ref, SLOT_WHOLE, true, &s, err);

	if (status == 0)
		*ret_chunk = &s->chunk;
	return status;
}

void reader_release(struct reader *r, const struct chunk *chunk)
{
	slot_put(r, slot_of(chunk));
}

const struct chunk *reader_chunk_cached(struct reader *r, const struct id *id)
{
	reader_lock(r);
	struct slot *s = cache_find_locked(r, SLOT_CHUNK, id, SLOT_BY_ID);
	if (s != NULL && s->state != SLOT_READY)
		s = NULL;
	if (s != NULL) {
		cache_ref_locked(r, s);
		s->ahead = false;
		r->stats.hits++;
	}
	reader_unlock(r);
	return s == NULL ? NULL : &s->chunk;
}

void reader_spans_release(struct reader *r, struct reader_span *spans, size_t count)
{
	reader_lock(r);
	for (size_t i = 0; i < count; i++) {
		if (spans[i].chunk != NULL)
			cache_unref_locked(r, slot_of(spans[i].chunk));
		spans[i] = (struct reader_span){0};
	}
	reader_unlock(r);
}

size_t reader_prefetch(struct reader *r, const struct chunk_ref *refs, size_t count)
{
	return ahead_fetch(r, SLOT_CHUNK, refs, count);
}

int reader_pack_key(struct reader *r, enum object_kind kind, const struct id *pack,
	uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err)
{
	return keys_get(r->keys, kind, pack, ret_key, err);
}

void reader_get_stats(struct reader *r, struct reader_stats *ret)
{
	reader_lock(r);
	*ret = r->stats;
	/* What is promised and not mapped yet comes out of the idle buffers, or these go before it is mapped. */
	ret->cache_bytes = r->live + min_u64(r->idle, r->cap > r->live ? r->cap - r->live : 0);
	ret->cache_cap = r->cap;
	reader_unlock(r);
}

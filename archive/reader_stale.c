/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "archive/segment.h"
#include "base/clock.h"
#include "catalog/catalog.h"

/* A store full of holes is not listed for each of them. */
static const int64_t sync_pause = CLOCK_SECOND;

/* The index, as a reader needs it: opened when the first locator is found to be stale. One caller at a time uses it. */
struct stale {
	struct repo *repo;
	char *catalog_dir;
	pthread_mutex_t lock; /* guards busy alone; who set it has the rest to himself */
	pthread_cond_t free;
	bool busy;
	struct catalog *catalog;
	int64_t synced; /* when a sync last began; 0: never */
};

int stale_new(struct repo *repo, const char *catalog_dir, struct stale **ret_stale, struct error *err)
{
	struct stale *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_no_memory(err, "a reader");
	s->repo = repo;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->free, NULL);
	if (catalog_dir != NULL) {
		s->catalog_dir = strdup(catalog_dir);
		if (s->catalog_dir == NULL) {
			stale_free(s);
			return error_no_memory(err, "a reader");
		}
	}
	*ret_stale = s;
	return 0;
}

void stale_free(struct stale *s)
{
	if (s == NULL)
		return;
	catalog_close(s->catalog);
	free(s->catalog_dir);
	pthread_cond_destroy(&s->free);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void take_turn(struct stale *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->busy)
		pthread_cond_wait(&s->free, &s->lock);
	s->busy = true;
	pthread_mutex_unlock(&s->lock);
}

static void give_turn(struct stale *s)
{
	pthread_mutex_lock(&s->lock);
	s->busy = false;
	pthread_cond_signal(&s->free);
	pthread_mutex_unlock(&s->lock);
}

static int sync_index(struct stale *s, struct error *err)
{
	struct catalog_options options = {
		.dir = s->catalog_dir, .repository = s->repo->config.repository, .log = s->repo->log};
	int status = 0;

	if (s->catalog == NULL)
		status = catalog_open(&options, &s->catalog, err);
	if (status == 0) {
		s->synced = clock_monotonic();
		status = segment_sync(s->repo, s->catalog, err);
	}
	return status < 0 ? error_wrap(err, status, "cannot read the index") : 0;
}

static void set_link(struct locator *l, const struct catalog_chunk *row)
{
	memcpy(l->pack.b, row->pack, sizeof(l->pack.b));
	l->offset = row->offset;
	l->stored = row->stored;
	l->plain = row->plain;
}

/* The chunk and its chain, as the index has them now. A base has a smaller depth, so this ends. */
static int look_up(struct stale *s, const struct id *id, struct chunk_ref *ret, struct error *err)
{
	struct chunk_ref ref = {.id = *id};
	struct catalog_chunk row;
	int status = catalog_chunk_find(s->catalog, 0, id->b, &row, err);

	if (status == 0 && row.depth > CHUNK_DEPTH_MAX)
		return error_set(err, ERR_CORRUPT, "the index has a chunk with a chain of %u bases", row.depth);
	ref.depth = status == 0 ? row.depth : 0;
	for (unsigned i = 0; status == 0; i++) {
		unsigned depth = row.depth;
		set_link(&ref.chain[i], &row);
		if (depth == 0) {
			ref.depth = (uint8_t)i;
			break;
		}
		status = catalog_chunk_find(s->catalog, 0, row.base, &row, err);
		if (status == 0 && row.depth >= depth)
			status = error_set(err, ERR_NOT_FOUND, "the index has no base of smaller depth for a chunk");
	}
	if (status == 0)
		*ret = ref;
	return status;
}

static bool same_chain(const struct chunk_ref *a, const struct chunk_ref *b)
{
	if (a->depth != b->depth)
		return false;
	for (unsigned i = 0; i <= a->depth; i++)
		if (!id_equal(&a->chain[i].pack, &b->chain[i].pack) || a->chain[i].offset != b->chain[i].offset)
			return false;
	return true;
}

int stale_resolve(struct stale *s, const struct chunk_ref *ref, struct chunk_ref *ret_ref, struct error *err)
{
	struct chunk_ref found;
	int status = ERR_NOT_FOUND;

	take_turn(s);
	if (s->catalog != NULL)
		status = look_up(s, &ref->id, &found, err);
	/* What the catalog knows may be as old as the reference. */
	bool fresh = s->synced != 0 && clock_monotonic() - s->synced < sync_pause;
	if (!fresh && (status != 0 || same_chain(ref, &found))) {
		if (err != NULL)
			error_clear(err);
		status = sync_index(s, err);
		if (status == 0)
			status = look_up(s, &ref->id, &found, err);
	}
	give_turn(s);
	if (status == 0 && same_chain(ref, &found))
		status = error_set(err, ERR_NOT_FOUND, "the index knows no other place");
	if (status == 0)
		*ret_ref = found;
	return status;
}

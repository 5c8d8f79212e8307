/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/writer_impl.h"
#include "base/host.h"

/* With eight threads some 70 MiB are in buffers as a rule; more would pass what a backup may take. */
enum { BUFFERS_BESIDE = 2, THREADS_MAX = 8, NODE_LEVEL = 3 };

int writer_fail(struct writer *w, int status, const struct error *why)
{
	pthread_mutex_lock(&w->lock);
	if (w->status == 0) {
		w->status = status;
		if (why != NULL)
			w->failure = *why;
	}
	pthread_cond_broadcast(&w->buffer_free);
	pthread_mutex_unlock(&w->lock);
	return status;
}

int writer_status(struct writer *w, struct error *err)
{
	pthread_mutex_lock(&w->lock);
	int status = w->status;
	if (status < 0 && err != NULL)
		*err = w->failure;
	pthread_mutex_unlock(&w->lock);
	return status;
}

struct worker_kit *writer_kit_new(int level, struct error *err)
{
	struct worker_kit *kit = calloc(1, sizeof(*kit));
	int r = kit == NULL ? error_no_memory(err, "a worker's buffers") : chunk_encoder_new(level, &kit->encoder, err);

	if (r == 0)
		r = chunk_encoder_new(level == 0 ? NODE_LEVEL : level, &kit->node_encoder, err);
	if (r == 0)
		r = chunk_decoder_new(&kit->decoder, err);
	if (r < 0) {
		writer_kit_free(kit);
		return NULL;
	}
	return kit;
}

void writer_kit_free(struct worker_kit *kit)
{
	if (kit == NULL)
		return;
	chunk_encoder_free(kit->encoder);
	chunk_encoder_free(kit->node_encoder);
	chunk_decoder_free(kit->decoder);
	buf_release(&kit->opened);
	buf_release(&kit->scratch);
	buf_release(&kit->sealed);
	free(kit);
}

struct worker_kit *writer_kit_take(struct writer *w, struct error *err)
{
	pthread_mutex_lock(&w->lock);
	struct worker_kit *kit = w->kits;
	if (kit != NULL)
		w->kits = kit->next;
	pthread_mutex_unlock(&w->lock);
	return kit != NULL ? kit : writer_kit_new(w->options.compression, err);
}

void writer_kit_give(struct writer *w, struct worker_kit *kit)
{
	pthread_mutex_lock(&w->lock);
	kit->next = w->kits;
	w->kits = kit;
	pthread_mutex_unlock(&w->lock);
}

static int make_buffers(struct writer *w, size_t count, struct error *err)
{
	w->buffers = calloc(count, sizeof(*w->buffers));
	w->free_buffers = calloc(count, sizeof(struct writer_buffer *));
	if (w->buffers == NULL || w->free_buffers == NULL)
		return error_no_memory(err, "chunk buffers");
	w->buffer_count = count;
	for (size_t i = 0; i < count; i++) {
		struct writer_buffer *b = &w->buffers[i];
		b->cap = w->repo->config.chunk_max;
		b->data = malloc(b->cap); /* touched only as far as it is used */
		if (b->data == NULL)
			return error_no_memory(err, "chunk buffers");
		w->free_buffers[w->free_count++] = b;
	}
	return 0;
}

static int start(struct writer *w, struct error *err)
{
	unsigned threads = w->options.threads == 0 ? pool_cores() : w->options.threads;

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	int r = known_init(&w->known, err);
	if (r == 0)
		r = packs_init(w, err);
	if (r == 0)
		r = nodes_init(w, err);
	if (r == 0)
		r = make_buffers(w, 2 * threads + BUFFERS_BESIDE, err);
	if (r == 0)
		r = pool_group_init(&w->jobs, err);
	if (r == 0)
		r = pool_group_init(&w->puts, err);
	if (r == 0)
		r = pool_new(threads, 2 * threads, "drfs-chunk", &w->workers, err);
	if (r == 0)
		r = pool_new(2, 2, "drfs-put", &w->putters, err);
	return r;
}

int writer_open(
	struct session *session, const struct writer_options *options, struct writer **ret_writer, struct error *err)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return error_no_memory(err, "a writer");
	w->session = session;
	w->repo = session->repo;
	w->catalog = session->catalog;
	w->options = *options;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->buffer_free, NULL);
	int r = start(w, err);
	if (r < 0) {
		writer_free(w);
		return r;
	}
	*ret_writer = w;
	return 0;
}

void writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	pool_free(w->workers);
	pool_free(w->putters);
	if (w->jobs.impl != NULL)
		pool_group_release(&w->jobs);
	if (w->puts.impl != NULL)
		pool_group_release(&w->puts);
	for (size_t i = 0; i < w->buffer_count; i++)
		free(w->buffers[i].data);
	free(w->buffers);
	free(w->free_buffers);
	while (w->kits != NULL) {
		struct worker_kit *kit = w->kits;
		w->kits = kit->next;
		writer_kit_free(kit);
	}
	nodes_release(w);
	packs_release(w);
	known_release(&w->known);
	pthread_cond_destroy(&w->buffer_free);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

struct writer_buffer *writer_buffer(struct writer *w)
{
	struct writer_buffer *b = NULL;

	pthread_mutex_lock(&w->lock);
	while (w->free_count == 0 && w->status == 0)
		pthread_cond_wait(&w->buffer_free, &w->lock);
	if (w->status == 0) {
		b = w->free_buffers[--w->free_count];
		b->len = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return b;
}

void writer_buffer_drop(struct writer *w, struct writer_buffer *b)
{
	if (b == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->free_buffers[w->free_count++] = b;
	pthread_cond_signal(&w->buffer_free);
	pthread_mutex_unlock(&w->lock);
}

int writer_finish(struct writer *w, struct error *err)
{
	pool_group_wait(&w->jobs);
	packs_close(w);
	pool_group_wait(&w->puts);
	int r = writer_status(w, err);
	if (r == 0)
		r = packs_put_segment(w, err);
	return r < 0 ? writer_fail(w, r, err) : 0;
}

void writer_salvage(struct writer *w)
{
	struct error why = ERROR_INIT;

	pool_group_wait(&w->jobs);
	pool_group_wait(&w->puts);
	packs_drop(w); /* first: on a full disk their files take the room that the segment needs */
	if (packs_put_segment(w, &why) < 0)
		log_info(w->repo->log, "what was stored is not in the index, the next run stores it again: %s",
			error_text(&why));
}

void writer_get_stats(struct writer *w, struct writer_stats *ret)
{
	pthread_mutex_lock(&w->lock);
	*ret = w->stats;
	pthread_mutex_unlock(&w->lock);
}

/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/writer_impl.h"

/* A chunk on its way through the workers. */
struct job {
	struct writer *w;
	struct writer_buffer *buffer;
	writer_done_fn *done;
	void *arg;
};

int writer_lookup(struct writer *w, const struct id *id, struct chunk_ref *ret_ref, struct error *err)
{
	struct catalog_chunk row;
	struct id pack;
	int r = catalog_chunk_find(w->catalog, w->options.domain, id->b, &row, err);

	if (r < 0)
		return r;
	memcpy(pack.b, row.pack, sizeof(pack.b));
	/* A chunk that stands on a base needs the base's place as well, which one row does not tell; it is written
	 * anew. */
	if (row.depth > 0 || session_pack_banned(w->session, &pack))
		return ERR_NOT_FOUND;
	*ret_ref = (struct chunk_ref){
		.id = *id, .chain[0] = {.pack = pack, .offset = row.offset, .stored = row.stored, .plain = row.plain}};
	return 0;
}

int writer_store_chunk(struct writer *w, struct worker_kit *kit, enum object_kind kind, const struct id *id,
	const void *plain, size_t len, struct locator *ret_loc, struct error *err)
{
	struct open_pack *pack = NULL;
	int r = chunk_encode(kit->encoder, plain, len, &kit->opened, NULL, err);

	if (r == 0)
		r = packs_reserve(
			w, kind, id, (uint32_t)(kit->opened.len + FORMAT_TAG_LEN), (uint32_t)len, &pack, ret_loc, err);
	if (r < 0)
		return r;
	r = pack_writer_fill(pack->pack, ret_loc, kit->opened.data, kit->opened.len, plain, len, kit->decoder,
		&kit->scratch, NULL, err);
	if (r < 0)
		writer_fail(w, r, err);
	packs_filled(w, pack);
	return r;
}

static void count(struct writer *w, size_t len, bool is_new)
{
	pthread_mutex_lock(&w->lock);
	w->stats.chunks++;
	if (is_new) {
		w->stats.new_chunks++;
		w->stats.new_bytes += len;
	} else {
		w->stats.known_bytes += len;
	}
	pthread_mutex_unlock(&w->lock);
}

/* The chunk is this worker's to answer for: found in the catalog, or stored. */
static int settle_new(struct job *job, struct worker_kit *kit, const struct id *id, struct chunk_ref *ret_ref,
	bool *ret_is_new, struct error *err)
{
	struct writer *w = job->w;
	int r = writer_lookup(w, id, ret_ref, err);

	*ret_is_new = false;
	if (r < 0) {
		if (err != NULL)
			error_clear(err); /* not known, or a catalog in trouble: storing it again is always right */
		*ret_is_new = true;
		*ret_ref = (struct chunk_ref){.id = *id};
		r = writer_store_chunk(
			w, kit, KIND_DATA_PACK, id, job->buffer->data, job->buffer->len, &ret_ref->chain[0], err);
	}
	known_settle(&w->known, id, r, &ret_ref->chain[0], *ret_is_new);
	return r;
}

/* Returns 1 when another worker will answer. */
static int run(struct job *job, struct worker_kit *kit, struct chunk_ref *ret_ref, bool *ret_is_new, struct error *err)
{
	struct writer *w = job->w;
	struct id id;
	enum known_answer answer;

	*ret_is_new = false;
	seal_hash(w->repo->config.hash, w->repo->sec->chunk_id_key, job->buffer->data, job->buffer->len, &id);
	*ret_ref = (struct chunk_ref){.id = id};
	int r = known_ask(&w->known, &id, job->done, job->arg, &ret_ref->chain[0], &answer, err);
	if (r < 0)
		return r;
	if (answer == KNOWN_WAITING)
		return 1;
	if (answer == KNOWN_PLACED)
		return 0;
	return settle_new(job, kit, &id, ret_ref, ret_is_new, err);
}

static void work(void *arg)
{
	struct job *job = arg;
	struct writer *w = job->w;
	struct chunk_ref ref = {0};
	struct error err = ERROR_INIT;
	bool is_new = false;
	int r = writer_status(w, &err);
	struct worker_kit *kit = r == 0 ? writer_kit_take(w, &err) : NULL;

	if (r == 0)
		r = kit == NULL ? ERR_NO_MEMORY : run(job, kit, &ref, &is_new, &err);
	if (kit != NULL)
		writer_kit_give(w, kit);
	if (r < 0)
		writer_fail(w, r, &err);
	else
		count(w, job->buffer->len, is_new);
	writer_buffer_drop(w, job->buffer);
	if (r <= 0)
		job->done(job->arg, r, &ref, is_new);
	pool_group_done(&w->jobs);
	free(job);
}

void writer_submit(struct writer *w, struct writer_buffer *b, writer_done_fn *done, void *arg)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job == NULL) {
		struct error err = ERROR_INIT;
		writer_fail(w, error_no_memory(&err, "a chunk's job"), &err);
		writer_buffer_drop(w, b);
		done(arg, ERR_NO_MEMORY, NULL, false);
		return;
	}
	*job = (struct job){.w = w, .buffer = b, .done = done, .arg = arg};
	pool_group_add(&w->jobs);
	pool_submit(w->workers, work, job);
}

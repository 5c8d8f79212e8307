/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/writer_impl.h"
#include "base/checked.h"

/*
 * A segment is put when this much lies in its packs, or it has this many rows: what a cut run can lose of its index.
 * The first ones come sooner, so that a short run does not lose all; on the whole they stay few.
 */
static const uint32_t segment_bytes[] = {64 << 20, 256 << 20, 1 << 30};
enum { SEGMENT_ROWS = 16384 };
/* Bytes of a row in a pack's table at most (without base), and of what stands around the table. */
enum { ROW_ROOM = 32 + 5 + 4 + 4 + 2, TAIL_ROOM = 11 + 16 + 32 + 32 };

/* A pack on its way to the store. */
struct put {
	struct writer *w;
	struct open_pack *pack;
};

int packs_init(struct writer *w, struct error *err)
{
	(void)err;
	pthread_mutex_init(&w->packs.lock, NULL);
	return 0;
}

static void open_pack_free(struct open_pack *p)
{
	if (p == NULL)
		return;
	pack_writer_free(p->pack);
	free(p);
}

void packs_drop(struct writer *w)
{
	pthread_mutex_lock(&w->packs.lock);
	struct open_pack *data = w->packs.data, *tree = w->packs.tree;
	w->packs.data = w->packs.tree = NULL;
	pthread_mutex_unlock(&w->packs.lock);
	open_pack_free(data);
	open_pack_free(tree);
}

void packs_release(struct writer *w)
{
	packs_drop(w);
	free(w->packs.coming.packs);
	free(w->packs.coming.chunks);
	pthread_mutex_destroy(&w->packs.lock);
}

static void add_row(struct catalog_chunk *to, const struct pack_row *row, const struct id *pack)
{
	*to = (struct catalog_chunk){
		.offset = row->offset, .stored = row->stored, .plain = row->plain, .depth = row->depth};
	memcpy(to->id, row->id.b, sizeof(to->id));
	memcpy(to->pack, pack->b, sizeof(to->pack));
	memcpy(to->base, row->base.b, sizeof(to->base));
}

/* Room for one pack and its rows in the coming segment. */
static int grow_coming(struct pack_set *s, size_t rows, struct error *err)
{
	if (s->coming.pack_count == s->pack_cap) {
		size_t cap = s->pack_cap == 0 ? 16 : s->pack_cap * 2;
		void *bigger = reallocarray(s->coming.packs, cap, sizeof(*s->coming.packs));
		if (bigger == NULL)
			return error_no_memory(err, "an index segment");
		s->coming.packs = bigger;
		s->pack_cap = cap;
	}
	if (s->coming.chunk_count + rows > s->chunk_cap) {
		size_t cap = (s->coming.chunk_count + rows) * 2;
		void *bigger = reallocarray(s->coming.chunks, cap, sizeof(*s->coming.chunks));
		if (bigger == NULL)
			return error_no_memory(err, "an index segment");
		s->coming.chunks = bigger;
		s->chunk_cap = cap;
	}
	return 0;
}

/* The pack is acknowledged: its rows join the coming segment. */
static int join_segment(
	struct writer *w, struct pack_writer *pack, const struct catalog_pack *row, bool *ret_full, struct error *err)
{
	struct pack_set *s = &w->packs;
	const struct pack_row *rows;
	size_t count = pack_writer_rows(pack, &rows);

	pthread_mutex_lock(&s->lock);
	int r = grow_coming(s, count, err);
	if (r == 0) {
		s->coming.packs[s->coming.pack_count++] = *row;
		for (size_t i = 0; i < count; i++)
			add_row(&s->coming.chunks[s->coming.chunk_count++], &rows[i], pack_writer_id(pack));
		s->coming_bytes += row->size;
		unsigned last = ARRAY_LEN(segment_bytes) - 1, step = s->segments < last ? s->segments : last;
		*ret_full = s->coming_bytes >= segment_bytes[step] || s->coming.chunk_count >= SEGMENT_ROWS;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

/*
 * The store has the segment; the catalog should know its rows. A catalog in
 * trouble (its disk full) is replaced by a private one and filled from the
 * store, so that looking up goes on being right.
 */
static int tell_catalog(struct writer *w, const struct segment *s, struct error *err)
{
	struct error why = ERROR_INIT;
	struct catalog_segment row = {.domain = s->domain,
		.packs = s->packs,
		.pack_count = s->pack_count,
		.chunks = s->chunks,
		.chunk_count = s->chunk_count};

	memcpy(row.id, s->id.b, sizeof(row.id));
	if (catalog_segment_add(w->catalog, &row, &why) == 0)
		return 0;
	log_warn(w->repo->log, "catalog: %s; going on with a temporary one", error_text(&why));
	int r = catalog_make_private(w->catalog, err);
	return r < 0 ? r : segment_sync(w->repo, w->catalog, err);
}

int packs_put_segment(struct writer *w, struct error *err)
{
	struct pack_set *s = &w->packs;

	pthread_mutex_lock(&s->lock);
	struct segment segment = s->coming;
	s->coming = (struct segment){0};
	s->pack_cap = s->chunk_cap = 0;
	s->coming_bytes = 0;
	s->segments++;
	pthread_mutex_unlock(&s->lock);
	segment.domain = w->options.domain;
	int r = 0;
	if (segment.pack_count > 0) {
		r = segment_put(w->repo, &segment, err);
		if (r == 0)
			r = tell_catalog(w, &segment, err);
		for (size_t i = 0; r == 0 && i < segment.chunk_count; i++) {
			struct id id;
			memcpy(id.b, segment.chunks[i].id, sizeof(id.b));
			known_forget(&w->known, &id);
		}
	}
	free(segment.packs);
	free(segment.chunks);
	return r;
}

static void put_pack(void *arg)
{
	struct put *put = arg;
	struct writer *w = put->w;
	struct error err = ERROR_INIT;
	struct catalog_pack row;
	bool full = false;
	int r = writer_status(w, &err);

	if (r == 0)
		r = pack_writer_finish(put->pack->pack, &row, &err);
	if (r == 0) {
		pthread_mutex_lock(&w->lock);
		w->stats.packs++;
		w->stats.stored_bytes += row.size;
		pthread_mutex_unlock(&w->lock);
		r = join_segment(w, put->pack->pack, &row, &full, &err);
	}
	if (r == 0 && full)
		r = packs_put_segment(w, &err);
	if (r < 0)
		writer_fail(w, r, &err);
	open_pack_free(put->pack);
	free(put);
	pool_group_done(&w->puts);
}

/* Hands a closed, filled pack to the putters; blocks while two wait there, which bounds the disk that packs in flight
 * take. */
static void send_pack(struct writer *w, struct open_pack *p)
{
	struct put *put = calloc(1, sizeof(*put));

	if (put == NULL) {
		struct error err = ERROR_INIT;
		writer_fail(w, error_no_memory(&err, "putting a pack"), &err);
		open_pack_free(p);
		return;
	}
	*put = (struct put){.w = w, .pack = p};
	pool_group_add(&w->puts);
	pool_submit(w->putters, put_pack, put);
}

static struct open_pack **slot_of(struct pack_set *s, enum object_kind kind)
{
	return kind == KIND_TREE_PACK ? &s->tree : &s->data;
}

static int open_pack_new(struct writer *w, enum object_kind kind, struct open_pack **ret, struct error *err)
{
	struct open_pack *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return error_no_memory(err, "a pack");
	int r = pack_writer_new(w->repo, kind, &p->pack, err);
	if (r < 0) {
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

/*
 * Whether the chunk still fits under pack_size with the table that it makes. Packs that end just under a padded size
 * waste next to nothing on padding.
 */
static bool fits(const struct writer *w, const struct pack_writer *p, uint32_t sealed_len)
{
	const struct pack_row *rows;
	size_t count = pack_writer_rows(p, &rows);

	return count == 0 ||
	       pack_writer_size(p) + sealed_len + (count + 1) * ROW_ROOM + TAIL_ROOM <= w->repo->config.pack_size;
}

/* Takes a full pack out of its slot. True when nobody is filling it any more. */
static bool close_locked(struct open_pack **slot)
{
	struct open_pack *p = *slot;

	*slot = NULL;
	p->closed = true;
	return p->filling == 0;
}

int packs_reserve(struct writer *w, enum object_kind kind, const struct id *id, uint32_t sealed_len, uint32_t plain_len,
	struct open_pack **ret_pack, struct locator *ret_loc, struct error *err)
{
	struct pack_set *s = &w->packs;
	struct open_pack **slot = slot_of(s, kind), *fresh = NULL, *p = NULL;
	int r = 0;

	while (r == 0 && p == NULL) {
		struct open_pack *full = NULL;
		bool ready = false;
		pthread_mutex_lock(&s->lock);
		if (*slot != NULL && !fits(w, (*slot)->pack, sealed_len)) {
			full = *slot;
			ready = close_locked(slot);
		}
		if (*slot == NULL && fresh != NULL) {
			*slot = fresh;
			fresh = NULL;
		}
		if (*slot != NULL) {
			p = *slot;
			r = pack_writer_reserve(p->pack, id, sealed_len, plain_len, 0, NULL, ret_loc, err);
			p->filling += r == 0 ? 1 : 0;
		}
		pthread_mutex_unlock(&s->lock);
		if (ready)
			send_pack(w, full);
		if (p == NULL)
			r = open_pack_new(w, kind, &fresh, err);
	}
	open_pack_free(fresh);
	if (r == 0)
		*ret_pack = p;
	return r;
}

void packs_filled(struct writer *w, struct open_pack *p)
{
	pthread_mutex_lock(&w->packs.lock);
	bool ready = --p->filling == 0 && p->closed;
	pthread_mutex_unlock(&w->packs.lock);
	if (ready)
		send_pack(w, p);
}

void packs_close(struct writer *w)
{
	pthread_mutex_lock(&w->packs.lock);
	struct open_pack *data = w->packs.data, *tree = w->packs.tree;
	w->packs.data = w->packs.tree = NULL;
	pthread_mutex_unlock(&w->packs.lock);
	if (data != NULL)
		send_pack(w, data);
	if (tree != NULL)
		send_pack(w, tree);
}

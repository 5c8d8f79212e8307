/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/backup_stream.h"

/*
 * A file changed in part. Its old extents are kept up to the one in which a
 * change begins; from there the file is chunked anew until a cut behind the
 * change falls on the end of an old extent: since a cut depends only on what
 * follows the last one, all further cuts would be the old ones, and the old
 * extents go on. Where that does not come soon (data whose chunks are all of
 * the largest size, say) the chunk is ended at the end of an old extent.
 */

/* So far behind a change, in largest chunks, cuts have met the old ones by themselves, or are made to. */
enum { PATCH_REACH = 8 };

struct patch {
	struct stream s;
	struct extent_reader *old;
	uint64_t old_size, size;
	const struct feed_range *changes;
	size_t count, next;
	uint64_t at;       /* what stands before is in the item */
	uint64_t end;      /* of the change that is being chunked */
	uint64_t limit;    /* chunking ends here at the latest */
	uint32_t last_ref; /* of the extent that was taken over last, among the item's */
};

int patch_plan(struct item *item, const struct feed_content *content, struct error *err)
{
	struct told *told = item->told;
	uint64_t at = 0;

	if (content->entry == NULL || !S_ISREG(content->entry->mode))
		return error_set(err, ERR_BUG, "'%s' was told as a change of nothing", item->name);
	for (size_t i = 0; i < content->change_count; i++) {
		const struct feed_range *c = &content->changes[i];
		if (c->off < at || c->len > UINT64_MAX - c->off)
			return error_set(err, ERR_BUG, "the changes of '%s' were told out of order", item->name);
		at = c->off + c->len;
	}
	told->old = item_new();
	told->changes = calloc(content->change_count + 1, sizeof(*told->changes));
	if (told->old == NULL || told->changes == NULL)
		return error_no_memory(err, "a changed file");
	for (size_t i = 0; i < content->change_count; i++)
		told->changes[told->change_count++] = content->changes[i];
	told->old->entry.size = content->entry->size;
	int r = item_copy_extents(told->old, content->entry, err);
	item_seal(told->old);
	return r;
}

/* Changes that begin before `at` are part of what is being chunked. */
static void absorb(struct patch *p, uint64_t at)
{
	while (p->next < p->count && p->changes[p->next].off < at) {
		p->end = max_u64(p->end, p->changes[p->next].off + p->changes[p->next].len);
		p->next++;
	}
	p->end = min_u64(p->end, p->size);
}

/* May the old extents go on here? */
static int is_boundary(struct patch *p, uint64_t at, bool *ret, struct error *err)
{
	uint64_t start = 0;
	int r = 0;

	*ret = at >= p->size;
	if (*ret || at >= p->old_size)
		return 0;
	r = extent_reader_start(p->old, at, &start, err);
	*ret = start == at;
	return r;
}

/* Asked by the stream after each cut. */
static int may_stop(void *arg, uint64_t at, bool *ret_stop, struct error *err)
{
	struct patch *p = arg;
	uint64_t left = 0, reach = (uint64_t)PATCH_REACH * p->s.b->repo->config.chunk_max;
	const struct chunk_ref *ref;
	uint32_t offset;

	*ret_stop = false;
	absorb(p, at);
	if (at < p->end)
		return 0;
	int r = is_boundary(p, at, ret_stop, err);
	if (r < 0 || *ret_stop || at - p->end < reach || at >= p->old_size)
		return r;
	r = extent_reader_at(p->old, at, &left, &ref, &offset, err);
	p->limit = min_u64(p->limit, at + left);
	*ret_stop = r == 0 && p->limit < p->size;
	return r;
}

/* ---- old extents ---- */

static int add_old(struct patch *p, uint64_t length, const struct chunk_ref *ref, uint32_t offset, struct error *err)
{
	struct backup *b = p->s.b;
	struct item *item = p->s.item;
	uint32_t index = EXTENT_HOLE;
	struct chunk_ref own;
	int r = 0;

	if (ref != NULL && b->session->banned_count > 0) {
		own = *ref;
		r = feed_allow_chunk(b, &own, err);
		ref = &own;
	}
	pthread_mutex_lock(&b->lock);
	if (r == 0 && ref != NULL) {
		if (p->last_ref < item->ref_count && id_equal(&item->refs[p->last_ref].id, &ref->id))
			index = p->last_ref;
		else
			r = item_add_ref(item, ref, &index, err);
		p->last_ref = index;
	}
	if (r == 0)
		r = item_add_extent(item, length, index, offset, err);
	pthread_mutex_unlock(&b->lock);
	return r == 0 && item->extent_count >= STREAM_FOLD ? stream_fold(b, item, err) : r;
}

/* The old extents up to `to`, which is in the old file. No buffer is kept meanwhile: a chunk may have to be stored. */
static int copy_old(struct patch *p, uint64_t to, struct error *err)
{
	int r = 0;

	if (p->at < to) {
		writer_buffer_drop(p->s.b->writer, p->s.buffer);
		p->s.buffer = NULL;
	}
	while (r == 0 && p->at < to) {
		const struct chunk_ref *ref = NULL;
		uint64_t length = 0;
		uint32_t offset = 0;
		r = extent_reader_at(p->old, p->at, &length, &ref, &offset, err);
		if (r < 0)
			break;
		length = min_u64(length, to - p->at);
		r = add_old(p, length, ref, offset, err);
		p->at += length;
	}
	return r;
}

/* ---- new chunks ---- */

/*
 * The next island. *ret_through: there is none before the change is over, so that the old extents go on at p->at, in
 * the hole.
 */
static int step(struct patch *p, bool *ret_through, struct error *err)
{
	uint64_t begin = 0, end = 0;
	bool ended = false;
	int r = told_next(p->s.item->told, p->at, p->limit, &begin, &end, err);

	*ret_through = r == 0 && begin > p->at && begin >= p->end;
	if (*ret_through) {
		uint64_t to = begin >= p->limit ? p->limit : max_u64(p->at, p->end);
		r = stream_flush(&p->s, err);
		if (r == 0)
			r = stream_hole(&p->s, to - p->at, err);
		p->at = to;
		return r;
	}
	if (r == 0)
		r = stream_data(&p->s, -1, begin, end - begin, begin - p->at, &ended, err);
	if (r == 0 && ended)
		r = error_set(err, ERR_IO, "'%s' ended after %llu of %llu bytes", p->s.item->name,
			(unsigned long long)p->s.size, (unsigned long long)p->size);
	p->at = p->s.size;
	return r;
}

/* From p->at on, which is the start of an extent, until the old ones can go on. */
static int rechunk(struct patch *p, struct error *err)
{
	bool through = false;
	int r = 0;

	p->limit = p->size;
	p->s.stop = may_stop;
	p->s.stop_arg = p;
	p->s.stopped = false;
	while (r == 0 && !through && p->at < p->limit) {
		absorb(p, p->at);
		r = step(p, &through, err);
		if (!p->s.stopped)
			continue;
		if (p->limit == p->size)
			break;
		p->s.stop = NULL; /* the cuts do not meet: up to the end of an old extent, and no further */
		p->s.stopped = false;
	}
	return r == 0 ? stream_flush(&p->s, err) : r;
}

/* Where chunking begins for a change at `off`: a hole needs not be looked at from its beginning. */
static int begin_of(struct patch *p, uint64_t off, uint64_t *ret_begin, struct error *err)
{
	const struct chunk_ref *ref = NULL;
	uint64_t length = 0, at = min_u64(off, p->old_size - 1);
	uint32_t offset = 0;
	int r = extent_reader_at(p->old, at, &length, &ref, &offset, err);

	*ret_begin = min_u64(off, p->old_size);
	return r == 0 && ref != NULL ? extent_reader_start(p->old, at, ret_begin, err) : r;
}

static int change(struct patch *p, uint64_t off, uint64_t end, struct error *err)
{
	uint64_t begin = 0;
	int r = p->old_size == 0 ? 0 : begin_of(p, off, &begin, err);

	if (r == 0)
		r = copy_old(p, max_u64(begin, p->at), err);
	p->end = min_u64(end, p->size);
	p->s.size = p->at;
	return r == 0 ? rechunk(p, err) : r;
}

static int run(struct patch *p, struct error *err)
{
	uint64_t same = min_u64(p->old_size, p->size); /* behind it all is new, or gone */
	int r = 0;

	while (r == 0 && p->next < p->count) {
		const struct feed_range *c = &p->changes[p->next++];
		if (c->len > 0 && c->off < same && c->off + c->len > p->at)
			r = change(p, c->off, c->off + c->len, err);
	}
	if (r == 0 && p->old_size != p->size && p->at < p->size)
		r = change(p, same, p->size, err);
	if (r == 0)
		r = copy_old(p, p->size, err);
	return r == 0 ? stream_finish(&p->s, 0, err) : r;
}

int patch_read(struct backup *b, struct item *item, struct error *err)
{
	struct told *told = item->told;
	struct patch p = {.old_size = told->old->entry.size,
		.size = item->entry.size,
		.changes = told->changes,
		.count = told->change_count};
	int r = stream_init(&p.s, b, item, item->name, err);

	if (r == 0)
		r = extent_reader_new(reader_nodes(b->reader), &told->old->entry, &p.old, err);
	if (r == 0)
		r = run(&p, err);
	stream_release(&p.s, r);
	extent_reader_free(p.old);
	/* Bytes that were not read again count for a verdict too. */
	if (r == 0 && (item->top || item->member))
		r = judge_whole(b, item, err);
	return r;
}

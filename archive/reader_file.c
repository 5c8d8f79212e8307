/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "base/checked.h"

/*
 * How far a window may grow. On a local store a few chunks a thread keep them all busy, and what was decoded long
 * before it is read has left the processor's caches again.
 */
enum { WINDOW_REMOTE = 64 << 20, WINDOW_LOCAL = 8 << 20, WINDOW_LOCAL_THREAD = 4 << 20 };
/* Told to be fetched by one call. */
enum { AHEAD_REFS = 64 };
/* What a map of at most this length pins is never cut short. */
enum { MAP_WHOLE = 1 << 20 };

struct reader_file {
	struct reader *r;
	uint64_t size;
	struct reader_extents *extents;
	struct streams streams;
};

static uint64_t window_max(const struct reader *r)
{
	uint64_t most = r->local ? WINDOW_LOCAL + (uint64_t)WINDOW_LOCAL_THREAD * (r->decode_max - 1) : WINDOW_REMOTE;

	return min_u64(min_u64(most, WINDOW_REMOTE), r->cap / 4);
}

int reader_file_open(struct reader *r, const struct entry *entry, struct reader_file **ret_file, struct error *err)
{
	struct reader_file *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return error_no_memory(err, "an open file");
	f->r = r;
	f->size = entry->size;
	int status = extents_new(r, entry, &f->extents, err);
	if (status != 0) {
		free(f);
		return status;
	}
	streams_init(&f->streams, window_max(r));
	*ret_file = f;
	return 0;
}

void reader_file_close(struct reader_file *f)
{
	if (f == NULL)
		return;
	streams_release(&f->streams);
	extents_free(f->extents);
	free(f);
}

uint64_t reader_file_size(const struct reader_file *f)
{
	return f->size;
}

/* ---- reading ahead ---- */

/* Gathers the chunks of [*off, to), *off moving on; the chunk `skip` is left out. Errors end it: they show when it is
 * read. */
static size_t gather_refs(struct reader_file *f, struct extent_at *at, uint64_t *off, uint64_t to,
	const struct id *skip, struct chunk_ref *refs)
{
	size_t n = 0;

	while (*off < to && n < AHEAD_REFS) {
		if (extents_at(f->extents, *off, at, NULL) != 0) {
			*off = to;
			break;
		}
		*off += at->left;
		if (at->ref == NULL || (skip != NULL && id_equal(&at->ref->id, skip)))
			continue;
		if (n > 0 && id_equal(&at->ref->id, &refs[n - 1].id))
			continue;
		refs[n++] = *at->ref;
	}
	return n;
}

/* Tells what advice says; not the chunk at `off`, which the caller is about to ask for himself. */
static void fetch_ahead(struct reader_file *f, const struct stream_advice *advice, uint64_t off)
{
	struct extent_at at = {0};
	struct id first;
	const struct id *skip = NULL;
	uint64_t from = advice->from;

	if (from >= advice->to)
		return;
	if (from == off && extents_at(f->extents, off, &at, NULL) == 0) {
		from += at.left;
		if (at.ref != NULL) {
			first = at.ref->id;
			skip = &first;
		}
	}
	struct chunk_ref *refs = from < advice->to ? malloc(AHEAD_REFS * sizeof(*refs)) : NULL;
	while (refs != NULL && from < advice->to) {
		uint64_t begun = from;
		size_t n = gather_refs(f, &at, &from, advice->to, skip, refs);
		if (ahead_fetch(f->r, SLOT_CHUNK, refs, n) < n) {
			streams_fetched(&f->streams, advice, begun);
			break;
		}
	}
	free(refs);
	extents_at_release(f->extents, &at);
}

/* ---- mapping ---- */

struct mapping {
	struct reader_file *f;
	struct extent_at at;
	struct reader_span *spans;
	size_t count, max;
	size_t pinned; /* bytes */
	bool sequential;
};

static const struct slot *slot_at(const struct chunk *chunk)
{
	return (const struct slot *)((const char *)chunk - offsetof(struct slot, chunk));
}

/* The chunk was read to its end: if nobody comes back to it soon, it goes first. */
static void spend(struct reader *r, const struct chunk *chunk)
{
	struct slot *s = (struct slot *)(uintptr_t)slot_at(chunk);

	reader_lock(r);
	s->spent = true;
	reader_unlock(r);
}

static int map_data(struct mapping *m, uint64_t len, bool patient, struct reader_span *span, struct error *err)
{
	struct reader *r = m->f->r;
	struct slot *s;
	uint64_t last = m->at.offset + len;
	uint32_t first = m->sequential || last > CHUNK_PLAIN_MAX ? SLOT_WHOLE : (uint32_t)last;
	int status = slot_get(r, SLOT_CHUNK, m->at.ref, first, patient, &s, err);

	if (status != 0)
		return status;
	if (m->at.offset > s->chunk.len || len > s->chunk.len - m->at.offset) {
		slot_put(r, s);
		return error_set(err, ERR_CORRUPT, "a file's extent goes past the end of its chunk");
	}
	*span = (struct reader_span){.data = s->chunk.data + m->at.offset, .len = (size_t)len, .chunk = &s->chunk};
	m->pinned += s->chunk.len;
	if (m->sequential && m->at.offset + len == s->chunk.len)
		spend(r, &s->chunk);
	return 0;
}

/* Fills spans from `off` on. ERR_BUSY: not patient, and the cache is full of pins. */
static int map_spans(struct mapping *m, uint64_t off, uint64_t end, bool patient, struct error *err)
{
	uint64_t begun = off;

	while (off < end && m->count < m->max) {
		/* A long map of many chunks is cut before it fills the cache. */
		if (m->count > 0 && m->pinned > m->f->r->cap / 4 && off - begun >= MAP_WHOLE)
			break;
		int status = extents_at(m->f->extents, off, &m->at, err);
		if (status != 0)
			return status;
		uint64_t len = min_u64(m->at.left, end - off);
		struct reader_span *span = &m->spans[m->count];
		*span = (struct reader_span){.len = (size_t)len};
		/* Who holds nothing may wait; who holds pins would make others wait for him. */
		if (m->at.ref != NULL)
			status = map_data(m, len, patient || m->pinned == 0, span, err);
		if (status != 0)
			return status;
		m->count++;
		off += len;
	}
	return 0;
}

static void unmap(struct mapping *m)
{
	reader_spans_release(m->f->r, m->spans, m->count);
	m->count = 0;
	m->pinned = 0;
}

/* One at a time may hold pins and wait for more room. */
static void take_turn(struct reader *r)
{
	reader_lock(r);
	while (r->map_turn)
		pthread_cond_wait(&r->map_free, &r->lock);
	r->map_turn = true;
	reader_unlock(r);
}

static void give_turn(struct reader *r)
{
	reader_lock(r);
	r->map_turn = false;
	pthread_cond_signal(&r->map_free);
	reader_unlock(r);
}

int reader_file_map(struct reader_file *f, uint64_t off, size_t len, struct reader_span *ret_spans, size_t spans_max,
	size_t *ret_count, struct error *err)
{
	struct mapping m = {.f = f, .spans = ret_spans, .max = spans_max};
	int status;

	*ret_count = 0;
	if (off >= f->size || len == 0)
		return 0;
	uint64_t end = off + min_u64(len, f->size - off);
	struct stream_advice advice = streams_read(&f->streams, off, end - off, f->size);
	fetch_ahead(f, &advice, off);
	m.sequential = advice.sequential;
	status = map_spans(&m, off, end, false, err);
	if (status == ERR_BUSY) {
		unmap(&m);
		take_turn(f->r);
		status = map_spans(&m, off, end, true, err);
		give_turn(f->r);
	}
	extents_at_release(f->extents, &m.at);
	if (status != 0) {
		unmap(&m);
		return status;
	}
	*ret_count = m.count;
	return 0;
}

int reader_file_read(struct reader_file *f, uint64_t off, void *dst, size_t len, size_t *ret_len, struct error *err)
{
	struct mapping m = {.f = f};
	struct reader_span span = {0};
	size_t done = 0;
	int status = 0;

	if (off >= f->size)
		len = 0;
	else
		len = (size_t)min_u64(len, f->size - off);
	if (len > 0) {
		struct stream_advice advice = streams_read(&f->streams, off, len, f->size);
		fetch_ahead(f, &advice, off);
		m.sequential = advice.sequential;
	}
	/* One chunk at a time, so that nothing is held while the next is waited for. */
	while (status == 0 && done < len) {
		m.spans = &span;
		m.count = m.pinned = 0;
		m.max = 1;
		status = map_spans(&m, off + done, off + len, true, err);
		if (status != 0)
			break;
		if (span.data != NULL)
			memcpy((uint8_t *)dst + done, span.data, span.len);
		else
			memset((uint8_t *)dst + done, 0, span.len);
		done += span.len;
		reader_spans_release(f->r, &span, 1);
	}
	extents_at_release(f->extents, &m.at);
	if (status == 0)
		*ret_len = done;
	return status;
}

int reader_file_seek(struct reader_file *f, uint64_t off, bool data, uint64_t *ret_off, struct error *err)
{
	struct extent_at at = {0};
	int status = 0;

	if (off >= f->size)
		return error_set(err, ERR_NOT_FOUND, "a seek behind the end of a file");
	while (off < f->size) {
		status = extents_at(f->extents, off, &at, err);
		if (status != 0 || (at.ref != NULL) == data)
			break;
		off += at.left;
	}
	extents_at_release(f->extents, &at);
	if (status != 0)
		return status;
	/* What is behind the last byte counts as a hole. */
	if (off >= f->size && data)
		return error_set(err, ERR_NOT_FOUND, "there is no more data from there on");
	*ret_off = min_u64(off, f->size);
	return 0;
}

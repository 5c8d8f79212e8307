/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"

/*
 * A file of few extents keeps them. Of one in pieces only the pieces are kept, and for each piece that was looked at
 * where every 64th of its extents begins: the piece itself comes from the cache of nodes, and an open file pins
 * nothing.
 */
enum { MARK_SHIFT = 6, MARK_EVERY = 1 << MARK_SHIFT };

struct span {
	uint64_t length;
	uint32_t ref; /* EXTENT_HOLE */
	uint32_t offset;
};

struct reader_extents {
	struct reader *r;
	bool in_pieces;
	uint32_t count, ref_count;
	struct span *spans; /* extents or pieces; spans[i] begins at starts[i], starts[count] is the size */
	uint64_t *starts;
	struct chunk_ref *refs;
	pthread_mutex_t lock; /* guards marks */
	uint64_t **marks;     /* of each piece, once it was looked at; never changed after */
};

/* Copies the reference unless it is the one copied last. */
static uint32_t ref_copy(struct reader_extents *x, const struct chunk_ref *ref)
{
	if (x->ref_count == 0 || !id_equal(&x->refs[x->ref_count - 1].id, &ref->id))
		x->refs[x->ref_count++] = *ref;
	return x->ref_count - 1;
}

static int spans_copy(struct reader_extents *x, const struct entry *entry, struct error *err)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < x->count; i++) {
		struct span *s = &x->spans[i];
		if (x->in_pieces)
			*s = (struct span){.length = entry->pieces[i].length, .ref = entry->pieces[i].ref};
		else
			*s = (struct span){.length = entry->extents[i].length,
				.ref = entry->extents[i].ref,
				.offset = entry->extents[i].offset};
		if (s->ref != EXTENT_HOLE)
			s->ref = ref_copy(x, &entry->refs[s->ref]);
		x->starts[i] = at;
		if (__builtin_add_overflow(at, s->length, &at))
			return error_set(err, ERR_CORRUPT, "the extents of a file are longer than any file");
	}
	x->starts[x->count] = at;
	if (at != entry->size)
		return error_set(err, ERR_CORRUPT, "the extents of a file cover %llu of its %llu bytes",
			(unsigned long long)at, (unsigned long long)entry->size);
	return 0;
}

/* Most files have one extent and one reference: what was not needed is given back. */
static void refs_shrink(struct reader_extents *x)
{
	struct chunk_ref *less = reallocarray(x->refs, x->ref_count + (size_t)1, sizeof(*x->refs));

	if (less != NULL)
		x->refs = less;
}

int extents_new(struct reader *r, const struct entry *entry, struct reader_extents **ret_extents, struct error *err)
{
	struct reader_extents *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return error_no_memory(err, "an open file");
	pthread_mutex_init(&x->lock, NULL);
	x->r = r;
	x->in_pieces = entry->piece_count > 0;
	x->count = x->in_pieces ? entry->piece_count : entry->extent_count;
	x->spans = calloc((size_t)x->count + 1, sizeof(*x->spans));
	x->starts = calloc((size_t)x->count + 1, sizeof(*x->starts));
	x->refs = calloc((size_t)x->count + 1, sizeof(*x->refs));
	if (x->in_pieces)
		x->marks = calloc(x->count, sizeof(*x->marks));
	int status = 0;
	if (x->spans == NULL || x->starts == NULL || x->refs == NULL || (x->in_pieces && x->marks == NULL))
		status = error_no_memory(err, "an open file");
	if (status == 0)
		status = spans_copy(x, entry, err);
	if (status != 0) {
		extents_free(x);
		return status;
	}
	refs_shrink(x);
	*ret_extents = x;
	return 0;
}

void extents_free(struct reader_extents *x)
{
	if (x == NULL)
		return;
	for (uint32_t i = 0; x->marks != NULL && i < x->count; i++)
		free(x->marks[i]);
	free(x->marks);
	free(x->spans);
	free(x->starts);
	free(x->refs);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

/* Index of the last of starts[0..count) that is <= off. */
static uint32_t last_before(const uint64_t *starts, uint32_t count, uint64_t off)
{
	uint32_t low = 0, high = count;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		if (starts[mid] <= off)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static void answer(struct extent_at *at, const struct chunk_ref *refs, uint64_t length, uint32_t ref, uint32_t offset,
	uint64_t into)
{
	bool hole = ref == EXTENT_HOLE;

	at->left = length - into;
	at->ref = hole ? NULL : &refs[ref];
	at->offset = hole ? 0 : offset + (uint32_t)into;
}

/* ---- pieces ---- */

static uint64_t *marks_make(const struct node *piece)
{
	uint64_t at = 0, *marks = calloc(piece->count / MARK_EVERY + (size_t)1, sizeof(*marks));

	for (uint32_t i = 0; marks != NULL && i < piece->count; i++) {
		if (i % MARK_EVERY == 0)
			marks[i / MARK_EVERY] = at;
		at += piece->extents[i].length;
	}
	return marks;
}

/* Where every 64th extent begins, in the piece. NULL without memory. */
static const uint64_t *marks_of(struct reader_extents *x, uint32_t index, const struct node *piece)
{
	pthread_mutex_lock(&x->lock);
	const uint64_t *marks = x->marks[index];
	pthread_mutex_unlock(&x->lock);
	if (marks != NULL)
		return marks;
	uint64_t *made = marks_make(piece);
	pthread_mutex_lock(&x->lock);
	if (x->marks[index] == NULL) {
		x->marks[index] = made;
		made = NULL;
	}
	marks = x->marks[index];
	pthread_mutex_unlock(&x->lock);
	free(made);
	return marks;
}

static int piece_pin(struct reader_extents *x, uint32_t index, struct extent_at *at, struct error *err)
{
	struct node_source *nodes = reader_nodes(x->r);
	const struct node *piece;

	extents_at_release(x, at);
	if (x->spans[index].ref == EXTENT_HOLE)
		return error_set(err, ERR_CORRUPT, "a piece of a file's extents is named by nothing");
	const struct chunk_ref *ref = &x->refs[x->spans[index].ref];
	int status = nodes->get(nodes, ref, &piece, err);
	if (status != 0)
		return status;
	if (piece->type != NODE_EXTENTS || piece->bytes != x->spans[index].length || piece->count == 0) {
		nodes->put(nodes, piece);
		return error_set(err, ERR_CORRUPT, "a piece of a file's extents is not what the file says of it");
	}
	at->piece = piece;
	at->piece_index = index;
	at->index = 0;
	at->index_start = x->starts[index];
	return 0;
}

static int piece_at(struct reader_extents *x, uint32_t index, uint64_t off, struct extent_at *at, struct error *err)
{
	int status = 0;

	if (at->piece == NULL || at->piece_index != index)
		status = piece_pin(x, index, at, err);
	if (status != 0)
		return status;
	const struct node *piece = at->piece;
	uint64_t into = off - x->starts[index];
	/* Near enough ahead it is found by walking; else by the marks. */
	if (off < at->index_start || into - (at->index_start - x->starts[index]) > piece->extents[at->index].length) {
		const uint64_t *marks = marks_of(x, index, piece);
		if (marks == NULL)
			return error_no_memory(err, "the extents of a file");
		uint32_t mark = last_before(marks, (piece->count - 1) / MARK_EVERY + 1, into);
		at->index = mark * MARK_EVERY;
		at->index_start = x->starts[index] + marks[mark];
	}
	while (at->index_start + piece->extents[at->index].length <= off)
		at->index_start += piece->extents[at->index++].length;
	const struct extent *e = &piece->extents[at->index];
	answer(at, piece->refs, e->length, e->ref, e->offset, off - at->index_start);
	return 0;
}

int extents_at(struct reader_extents *x, uint64_t off, struct extent_at *at, struct error *err)
{
	if (off >= x->starts[x->count])
		return error_set(err, ERR_USAGE, "a read behind the end of a file");
	uint32_t i = at->span;
	if (i >= x->count || off < x->starts[i] || off >= x->starts[i + 1])
		i++;
	if (i >= x->count || off < x->starts[i] || off >= x->starts[i + 1])
		i = last_before(x->starts, x->count, off);
	at->span = i;
	if (x->in_pieces)
		return piece_at(x, i, off, at, err);
	const struct span *s = &x->spans[i];
	answer(at, x->refs, s->length, s->ref, s->offset, off - x->starts[i]);
	return 0;
}

void extents_at_release(struct reader_extents *x, struct extent_at *at)
{
	if (at->piece != NULL)
		reader_nodes(x->r)->put(reader_nodes(x->r), at->piece);
	at->piece = NULL;
}

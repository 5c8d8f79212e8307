/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/tree_walk.h"

/*
 * Up to ENTRY_INLINE_EXTENTS extents are kept in `list`, with `refs` beside them. With the next one all go into
 * pieces: from then on `encoder` is set, list is empty, and refs are those of the pieces.
 */
struct extent_writer {
	struct tree_keys keys; /* a copy: only the keys themselves are borrowed */
	struct node_sink *sink;
	struct extent list[ENTRY_INLINE_EXTENTS];
	uint32_t count;
	struct chunk_ref *refs;
	uint32_t ref_count, ref_cap;
	struct node_encoder *encoder;
	bool spilled;
	uint64_t piece_bytes; /* covered by the open piece */
	struct entry_piece *pieces;
	uint32_t piece_count, piece_cap;
	uint64_t size;
	struct buf scratch;
};

int extent_writer_new(
	const struct tree_keys *keys, struct node_sink *sink, struct extent_writer **ret_writer, struct error *err)
{
	struct extent_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return error_no_memory(err, "a writer of extents");
	w->keys = *keys;
	w->sink = sink;
	*ret_writer = w;
	return 0;
}

void extent_writer_free(struct extent_writer *w)
{
	if (!w)
		return;
	node_encoder_free(w->encoder);
	buf_release(&w->scratch);
	free(w->pieces);
	free(w->refs);
	free(w);
}

void extent_writer_reset(struct extent_writer *w)
{
	node_encoder_free(w->encoder);
	w->encoder = NULL;
	w->spilled = false;
	w->count = w->ref_count = w->piece_count = 0;
	w->size = w->piece_bytes = 0;
}

/* Neighbours that are the same chunk share a reference; others are told apart by the encoder. */
static int ref_add(struct extent_writer *w, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err)
{
	if (w->ref_count > 0 && id_equal(&w->refs[w->ref_count - 1].id, &ref->id)) {
		*ret_index = w->ref_count - 1;
		return 0;
	}
	if (w->ref_count == w->ref_cap) {
		uint32_t cap = w->ref_cap ? w->ref_cap * 2 : 8;
		struct chunk_ref *refs = cap > w->ref_cap ? reallocarray(w->refs, cap, sizeof(*refs)) : NULL;
		if (!refs)
			return error_no_memory(err, "a list of extents");
		w->refs = refs;
		w->ref_cap = cap;
	}
	w->refs[w->ref_count] = *ref;
	*ret_index = w->ref_count++;
	return 0;
}

static int piece_end(struct extent_writer *w, struct error *err)
{
	struct chunk_ref ref;
	uint32_t index = 0;
	if (w->piece_count == w->piece_cap) {
		uint32_t cap = w->piece_cap ? w->piece_cap * 2 : 8;
		struct entry_piece *pieces = cap > w->piece_cap ? reallocarray(w->pieces, cap, sizeof(*pieces)) : NULL;
		if (!pieces)
			return error_no_memory(err, "a list of pieces");
		w->pieces = pieces;
		w->piece_cap = cap;
	}
	int status = tree_node_store(&w->keys, w->sink, w->encoder, &w->scratch, &ref, err);
	if (status == 0)
		status = ref_add(w, &ref, &index, err);
	if (status != 0)
		return status;
	w->pieces[w->piece_count++] = (struct entry_piece){.length = w->piece_bytes, .ref = index};
	w->piece_bytes = 0;
	return 0;
}

static int piece_add(struct extent_writer *w, const struct extent *x, const struct chunk_ref *ref, struct error *err)
{
	int status = node_encoder_extent(w->encoder, x, ref, err);
	w->piece_bytes += x->length;
	if (status == 0 && node_encoder_count(w->encoder) == ENTRY_PIECE_EXTENTS)
		status = piece_end(w, err);
	return status;
}

/* The list has become too long for an entry: what was gathered begins the first piece. */
static int spill(struct extent_writer *w, struct error *err)
{
	int status = 0;
	w->encoder = node_encoder_new(NODE_EXTENTS, 0);
	if (!w->encoder)
		return error_no_memory(err, "a piece of extents");
	for (uint32_t i = 0; i < w->count && status == 0; i++) {
		const struct extent *x = &w->list[i];
		status = piece_add(w, x, x->ref == EXTENT_HOLE ? NULL : &w->refs[x->ref], err);
	}
	w->spilled = true;
	w->count = w->ref_count = 0;
	return status;
}

int extent_writer_add(
	struct extent_writer *w, uint64_t length, const struct chunk_ref *ref, uint32_t offset, struct error *err)
{
	struct extent x = {.length = length, .ref = EXTENT_HOLE, .offset = offset};
	int status = 0;
	if (__builtin_add_overflow(w->size, length, &w->size))
		return error_set(err, ERR_UNSUPPORTED, "a file is longer than 2^64 bytes");
	if (!w->spilled && w->count == ENTRY_INLINE_EXTENTS)
		status = spill(w, err);
	if (status != 0)
		return status;
	if (w->spilled)
		return piece_add(w, &x, ref, err);
	if (ref)
		status = ref_add(w, ref, &x.ref, err);
	if (status == 0)
		w->list[w->count++] = x;
	return status;
}

int extent_writer_finish(struct extent_writer *w, struct entry *entry, struct error *err)
{
	uint32_t xattr_ref = EXTENT_HOLE;
	int status = 0;
	if (w->spilled && node_encoder_count(w->encoder) > 0)
		status = piece_end(w, err);
	if (status == 0 && entry->xattr_ref != EXTENT_HOLE)
		status = ref_add(w, &entry->refs[entry->xattr_ref], &xattr_ref, err);
	if (status != 0)
		return status;
	entry->size = w->size;
	entry->extents = w->list;
	entry->extent_count = w->count;
	entry->pieces = w->pieces;
	entry->piece_count = w->piece_count;
	entry->refs = w->refs;
	entry->ref_count = w->ref_count;
	entry->xattr_ref = xattr_ref;
	return 0;
}

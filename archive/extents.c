/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/tree_walk.h"

/*
 * Spans are the entry's extents, or its pieces; spans[i] begins at starts[i], and starts[count] is the file's size.
 * Of a file in pieces one piece is loaded at a time: `piece`, spans[loaded], whose extents begin at piece_starts.
 */
struct extent_reader {
	struct node_source *source;
	struct extent *spans; /* of a piece: length and ref */
	struct chunk_ref *refs;
	uint64_t *starts;
	uint32_t count, ref_count;
	bool in_pieces;
	uint32_t last; /* span of the last answer */
	const struct node *piece;
	uint32_t loaded, last_in_piece;
	uint64_t *piece_starts;
};

/* Copies the reference unless it is the one copied last. */
static uint32_t ref_copy(struct extent_reader *r, const struct chunk_ref *ref)
{
	if (r->ref_count == 0 || !id_equal(&r->refs[r->ref_count - 1].id, &ref->id))
		r->refs[r->ref_count++] = *ref;
	return r->ref_count - 1;
}

static void spans_copy(struct extent_reader *r, const struct entry *entry)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		struct extent x =
			r->in_pieces ? (struct extent){.length = entry->pieces[i].length, .ref = entry->pieces[i].ref}
				     : entry->extents[i];
		if (x.ref != EXTENT_HOLE)
			x.ref = ref_copy(r, &entry->refs[x.ref]);
		r->spans[i] = x;
		r->starts[i] = at;
		at += x.length;
	}
	r->starts[r->count] = at;
}

int extent_reader_new(
	struct node_source *source, const struct entry *entry, struct extent_reader **ret_reader, struct error *err)
{
	struct extent_reader *r = calloc(1, sizeof(*r));
	if (!r)
		return error_no_memory(err, "a reader of extents");
	r->source = source;
	r->in_pieces = entry->piece_count > 0;
	r->count = r->in_pieces ? entry->piece_count : entry->extent_count;
	r->spans = calloc((size_t)r->count + 1, sizeof(*r->spans));
	r->refs = calloc((size_t)r->count + 1, sizeof(*r->refs));
	r->starts = calloc((size_t)r->count + 1, sizeof(*r->starts));
	if (!r->spans || !r->refs || !r->starts) {
		extent_reader_free(r);
		return error_no_memory(err, "a reader of extents");
	}
	spans_copy(r, entry);
	*ret_reader = r;
	return 0;
}

static void piece_drop(struct extent_reader *r)
{
	if (r->piece)
		r->source->put(r->source, r->piece);
	free(r->piece_starts);
	r->piece = NULL;
	r->piece_starts = NULL;
}

void extent_reader_free(struct extent_reader *r)
{
	if (!r)
		return;
	piece_drop(r);
	free(r->spans);
	free(r->refs);
	free(r->starts);
	free(r);
}

/* The span of starts[0..count] in which `off` lies; `hint` is where the last one lay, for who reads on. */
static uint32_t span_at(const uint64_t *starts, uint32_t count, uint64_t off, uint32_t hint)
{
	uint32_t low = 0, high = count;
	for (uint32_t i = hint; i < count && i <= hint + 1; i++)
		if (starts[i] <= off && off < starts[i + 1])
			return i;
	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;
		if (starts[mid] <= off)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static int piece_get(struct node_source *source, const struct chunk_ref *ref, enum node_type type,
	const struct node **ret_node, struct error *err)
{
	const struct node *node;
	int status = source->get(source, ref, &node, err);
	if (status == ERR_NOT_FOUND) {
		if (err)
			err->code = ERR_CORRUPT;
		return error_wrap(err, ERR_CORRUPT, "a piece of an entry is missing");
	}
	if (status != 0)
		return status;
	if (node->type != type) {
		source->put(source, node);
		return error_set(err, ERR_CORRUPT, "a piece of an entry is of another kind");
	}
	*ret_node = node;
	return 0;
}

static int piece_load(struct extent_reader *r, uint32_t index, struct error *err)
{
	const struct node *piece = NULL;
	if (r->piece && r->loaded == index)
		return 0;
	piece_drop(r);
	int status = piece_get(r->source, &r->refs[r->spans[index].ref], NODE_EXTENTS, &piece, err);
	if (status != 0)
		return status;
	r->piece = piece;
	r->loaded = index;
	r->last_in_piece = 0;
	r->piece_starts = calloc((size_t)piece->count + 1, sizeof(*r->piece_starts));
	if (!r->piece_starts || piece->bytes != r->spans[index].length) {
		status = r->piece_starts ? error_set(err, ERR_CORRUPT,
						   "a piece of extents has another length than its entry says")
					 : error_no_memory(err, "a piece of extents");
		piece_drop(r);
		return status;
	}
	for (uint32_t i = 0; i < piece->count; i++)
		r->piece_starts[i + 1] = r->piece_starts[i] + piece->extents[i].length;
	if (index + 1 < r->count && r->source->prefetch)
		r->source->prefetch(r->source, &r->refs[r->spans[index + 1].ref], 1);
	return 0;
}

/* What extent x, of which `into` bytes are behind us, has to say. */
static void extent_tell(const struct extent *x, const struct chunk_ref *refs, uint64_t into, uint64_t *ret_length,
	const struct chunk_ref **ret_ref, uint32_t *ret_offset)
{
	bool hole = x->ref == EXTENT_HOLE;
	*ret_length = x->length - into;
	*ret_ref = hole ? NULL : &refs[x->ref];
	*ret_offset = hole ? 0 : x->offset + (uint32_t)into;
}

int extent_reader_at(struct extent_reader *r, uint64_t off, uint64_t *ret_length, const struct chunk_ref **ret_ref,
	uint32_t *ret_offset, struct error *err)
{
	if (off >= r->starts[r->count])
		return error_set(err, ERR_USAGE, "a read behind the end of a file");
	uint32_t i = r->last = span_at(r->starts, r->count, off, r->last);
	uint64_t into = off - r->starts[i];
	if (!r->in_pieces) {
		extent_tell(&r->spans[i], r->refs, into, ret_length, ret_ref, ret_offset);
		return 0;
	}
	int status = piece_load(r, i, err);
	if (status != 0)
		return status;
	uint32_t k = r->last_in_piece = span_at(r->piece_starts, r->piece->count, into, r->last_in_piece);
	extent_tell(&r->piece->extents[k], r->piece->refs, into - r->piece_starts[k], ret_length, ret_ref, ret_offset);
	return 0;
}

int extent_reader_start(struct extent_reader *r, uint64_t off, uint64_t *ret_start, struct error *err)
{
	const struct chunk_ref *ref;
	uint64_t length;
	uint32_t offset;
	int status = extent_reader_at(r, off, &length, &ref, &offset, err);
	if (status == 0)
		*ret_start = r->starts[r->last] + (r->in_pieces ? r->piece_starts[r->last_in_piece] : 0);
	return status;
}

int entry_xattrs(struct node_source *source, const struct entry *entry, struct buf *ret, struct error *err)
{
	const struct node *piece = NULL;
	if (entry->xattr_ref == EXTENT_HOLE) {
		buf_put(ret, entry->xattrs, entry->xattrs_len);
		return buf_failed(ret) ? error_no_memory(err, "extended attributes") : 0;
	}
	int status = piece_get(source, &entry->refs[entry->xattr_ref], NODE_XATTRS, &piece, err);
	if (status != 0)
		return status;
	buf_put(ret, piece->xattrs, piece->xattrs_len);
	source->put(source, piece);
	return buf_failed(ret) ? error_no_memory(err, "extended attributes") : 0;
}

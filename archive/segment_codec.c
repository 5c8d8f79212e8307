/* SPDX-License-Identifier: MIT */
/*
 * A segment's content is one signed statement of TLVs; packs and chunks are
 * two of them, tables without further tags, since there are many rows:
 *
 *   packs   varint count; per pack: id 32, varint generation, varint size, blob wrap; ids ascending
 *   chunks  varint count; per chunk: id 32, varint pack (its place in the table), varint offset, varint stored,
 *           varint plain, u8 depth, base 32 where depth is not 0; ascending by id, pack, offset
 */
#include <stdlib.h>
#include <string.h>

#include "archive/chunkref.h"
#include "archive/segment.h"
#include "archive/signed.h"

enum segment_tag {
	TAG_ID = 1 | TLV_CRITICAL,
	TAG_SLOT = 2 | TLV_CRITICAL,
	TAG_DOMAIN = 3 | TLV_CRITICAL,
	TAG_INPUTS = 4,
	TAG_ANCESTORS = 5,
	TAG_PACKS = 6 | TLV_CRITICAL,
	TAG_CHUNKS = 7 | TLV_CRITICAL,
};

enum { PACK_ROW_MIN = 32 + 1 + 1 + 1, CHUNK_ROW_MIN = 32 + 1 + 1 + 1 + 1 + 1, STATEMENT_MAX = 96 << 20 };

void segment_free(struct segment *s)
{
	if (!s)
		return;
	free(s->inputs);
	free(s->ancestors);
	free(s->packs);
	free(s->chunks);
	free(s);
}

/* ---- encoding ---- */

static int compare_packs(const void *a, const void *b)
{
	return memcmp(((const struct catalog_pack *)a)->id, ((const struct catalog_pack *)b)->id, CATALOG_ID_LEN);
}

static int compare_chunks(const void *a, const void *b)
{
	const struct catalog_chunk *x = a, *y = b;
	int order = memcmp(x->id, y->id, CATALOG_ID_LEN);
	if (order == 0)
		order = memcmp(x->pack, y->pack, CATALOG_ID_LEN);
	if (order == 0 && x->offset != y->offset)
		order = x->offset < y->offset ? -1 : 1;
	return order;
}

/* Sorts, and keeps the first of equal ones. Returns how many there are. */
static size_t sort_unique(void *list, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	char *p = list;
	size_t kept = 0;
	if (count < 2)
		return count;
	qsort(list, count, size, compare);
	for (size_t i = 1; i < count; i++)
		if (compare(p + kept * size, p + i * size) != 0 && ++kept != i)
			memcpy(p + kept * size, p + i * size, size);
	return kept + 1;
}

static void put_packs(struct buf *b, const struct segment *s)
{
	buf_put_varint(b, s->pack_count);
	for (size_t i = 0; i < s->pack_count; i++) {
		buf_put(b, s->packs[i].id, CATALOG_ID_LEN);
		buf_put_varint(b, s->packs[i].generation);
		buf_put_varint(b, s->packs[i].size);
		buf_put_blob(b, s->packs[i].wrap, s->packs[i].wrap_len);
	}
}

static bool put_chunk(struct buf *b, const struct segment *s, const struct catalog_chunk *c)
{
	struct catalog_pack key;
	memcpy(key.id, c->pack, CATALOG_ID_LEN);
	const struct catalog_pack *pack =
		s->pack_count ? bsearch(&key, s->packs, s->pack_count, sizeof(key), compare_packs) : NULL;
	if (!pack)
		return false;
	buf_put(b, c->id, CATALOG_ID_LEN);
	buf_put_varint(b, (uint64_t)(pack - s->packs));
	buf_put_varint(b, c->offset);
	buf_put_varint(b, c->stored);
	buf_put_varint(b, c->plain);
	buf_put_u8(b, c->depth);
	if (c->depth > 0)
		buf_put(b, c->base, CATALOG_ID_LEN);
	return true;
}

static int put_chunks(struct buf *b, const struct segment *s, struct error *err)
{
	buf_put_varint(b, s->chunk_count);
	for (size_t i = 0; i < s->chunk_count; i++)
		if (!put_chunk(b, s, &s->chunks[i]))
			return error_set(err, ERR_BUG, "an index segment names a chunk whose pack it does not name");
	return 0;
}

static void put_ids(struct buf *b, uint16_t tag, const struct id *ids, size_t count)
{
	if (count > 0)
		tlv_put(b, tag, ids, count * sizeof(*ids));
}

/* Moves what was gathered in `inner` into b as one TLV, and empties it. */
static void put_inner(struct buf *b, uint16_t tag, struct buf *inner)
{
	if (buf_failed(inner))
		b->failed = true;
	else
		tlv_put(b, tag, inner->data, inner->len);
	buf_clear(inner);
}

int segment_encode(const struct repo *repo, struct segment *s, struct buf *ret, struct error *err)
{
	struct buf inner = {0};
	s->pack_count = sort_unique(s->packs, s->pack_count, sizeof(*s->packs), compare_packs);
	s->chunk_count = sort_unique(s->chunks, s->chunk_count, sizeof(*s->chunks), compare_chunks);
	s->slot = repo->own->id;
	if (s->pack_count > SEGMENT_PACKS_MAX || s->chunk_count > SEGMENT_CHUNKS_MAX)
		return error_set(
			err, ERR_BUG, "an index segment of %zu chunks in %zu packs", s->chunk_count, s->pack_count);
	tlv_put(ret, TAG_ID, &s->id, sizeof(s->id));
	tlv_put(ret, TAG_SLOT, &s->slot, sizeof(s->slot));
	tlv_put_u64(ret, TAG_DOMAIN, s->domain);
	put_ids(ret, TAG_INPUTS, s->inputs, s->input_count);
	put_ids(ret, TAG_ANCESTORS, s->ancestors, s->ancestor_count);
	put_packs(&inner, s);
	put_inner(ret, TAG_PACKS, &inner);
	int rc = put_chunks(&inner, s, err);
	put_inner(ret, TAG_CHUNKS, &inner);
	buf_release(&inner);
	if (rc == 0 && buf_failed(ret))
		rc = error_no_memory(err, "an index segment");
	return rc;
}

/* ---- decoding ---- */

static int malformed(const char *where, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "'%s' is malformed", where);
}

/* A fresh zeroed table for a count that the bytes left could hold; NULL when they could not, or without memory. */
static void *table(const struct cursor *c, uint64_t count, size_t row_min, size_t row)
{
	return count <= cursor_left(c) / row_min ? calloc((size_t)count + 1, row) : NULL;
}

static void take_pack(struct cursor *c, struct catalog_pack *p)
{
	cursor_copy(c, p->id, CATALOG_ID_LEN);
	p->generation = (uint32_t)cursor_varint_max(c, UINT32_MAX);
	p->size = cursor_varint_max(c, INT64_MAX);
	const uint8_t *wrap = cursor_blob(c, CATALOG_WRAP_MAX, &p->wrap_len);
	if (cursor_failed(c))
		p->wrap_len = 0;
	else if (p->wrap_len > 0)
		memcpy(p->wrap, wrap, p->wrap_len);
}

static int take_packs(struct segment *s, struct cursor *c, const char *where, struct error *err)
{
	uint64_t count = cursor_varint_max(c, SEGMENT_PACKS_MAX);
	if (s->packs || cursor_failed(c) || !(s->packs = table(c, count, PACK_ROW_MIN, sizeof(*s->packs))))
		return malformed(where, err);
	for (size_t i = 0; i < count && !cursor_failed(c); i++) {
		take_pack(c, &s->packs[i]);
		if (i > 0 && compare_packs(&s->packs[i - 1], &s->packs[i]) >= 0)
			return malformed(where, err);
	}
	if (!cursor_done(c))
		return malformed(where, err);
	s->pack_count = (size_t)count;
	return 0;
}

static void take_chunk(const struct segment *s, struct cursor *c, struct catalog_chunk *k)
{
	cursor_copy(c, k->id, CATALOG_ID_LEN);
	uint64_t pack = cursor_varint(c);
	k->offset = cursor_varint_max(c, INT64_MAX);
	k->stored = (uint32_t)cursor_varint_max(c, CHUNK_STORED_MAX);
	k->plain = (uint32_t)cursor_varint_max(c, CHUNK_PLAIN_MAX);
	k->depth = cursor_u8(c);
	if (k->depth > 0)
		cursor_copy(c, k->base, CATALOG_ID_LEN);
	if (pack >= s->pack_count || k->depth > CHUNK_DEPTH_MAX)
		c->failed = true;
	else
		memcpy(k->pack, s->packs[pack].id, CATALOG_ID_LEN);
}

/* The table of packs stands before it. */
static int take_chunks(struct segment *s, struct cursor *c, const char *where, struct error *err)
{
	uint64_t count = cursor_varint_max(c, SEGMENT_CHUNKS_MAX);
	if (s->chunks || !s->packs || cursor_failed(c) ||
		!(s->chunks = table(c, count, CHUNK_ROW_MIN, sizeof(*s->chunks))))
		return malformed(where, err);
	for (size_t i = 0; i < count && !cursor_failed(c); i++) {
		take_chunk(s, c, &s->chunks[i]);
		if (i > 0 && compare_chunks(&s->chunks[i - 1], &s->chunks[i]) >= 0)
			return malformed(where, err);
	}
	if (!cursor_done(c))
		return malformed(where, err);
	s->chunk_count = (size_t)count;
	return 0;
}

static int take_ids(struct id **ids, size_t *count, struct cursor *c, const char *where, struct error *err)
{
	struct id_list list = {0};
	size_t len = cursor_left(c);
	if (*ids || len > SEGMENT_ANCESTORS_MAX * sizeof(struct id) || !id_list_unpack(&list, c->p, len))
		return malformed(where, err);
	id_list_sort(&list);
	*ids = list.ids;
	*count = list.count;
	return 0;
}

static int take_tag(struct segment *s, uint16_t tag, struct cursor *value, const char *where, struct error *err)
{
	switch (tag) {
	case TAG_ID:
		cursor_copy(value, &s->id, sizeof(s->id));
		break;
	case TAG_SLOT:
		cursor_copy(value, &s->slot, sizeof(s->slot));
		break;
	case TAG_DOMAIN:
		s->domain = cursor_varint(value);
		break;
	case TAG_INPUTS:
		return take_ids(&s->inputs, &s->input_count, value, where, err);
	case TAG_ANCESTORS:
		return take_ids(&s->ancestors, &s->ancestor_count, value, where, err);
	case TAG_PACKS:
		return take_packs(s, value, where, err);
	case TAG_CHUNKS:
		return take_chunks(s, value, where, err);
	default:
		return tlv_unknown(tag, where, err);
	}
	return cursor_done(value) ? 0 : malformed(where, err);
}

static int take_statement(
	struct segment *s, const struct id *id, const struct signed_view *view, const char *where, struct error *err)
{
	struct cursor c = cursor_of(view->data, view->len), value;
	uint16_t tag = 0;
	unsigned met = 0;
	int rc = 0;
	while (rc == 0 && tlv_next(&c, &tag, &value)) {
		unsigned bit = (tag & 0x7fffu) <= (TAG_CHUNKS & 0x7fffu) ? 1u << (tag & 0x7fffu) : 0;
		rc = met & bit ? malformed(where, err) : take_tag(s, tag, &value, where, err);
		met |= bit;
	}
	if (rc == 0 && (!cursor_done(&c) || !s->packs || !s->chunks || !id_equal(&s->id, id)))
		rc = malformed(where, err);
	return rc;
}

int segment_decode_by(const struct signers *signers, const struct id *id, const void *data, size_t len,
	struct segment **ret_segment, struct error *err)
{
	char where[FORMAT_NAME_MAX];
	struct cursor c = cursor_of(data, len);
	struct signed_view view;
	object_name(KIND_INDEX, 0, id, where);
	if (!signed_split(&c, STATEMENT_MAX, &view) || !cursor_done(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", where);
	struct segment *s = calloc(1, sizeof(*s));
	int rc = s ? take_statement(s, id, &view, where, err) : error_no_memory(err, "an index segment");
	if (rc == 0)
		rc = signers_check(signers, KIND_INDEX, id, &s->slot, RIGHT_WRITE, &view, where, NULL, err);
	if (rc != 0) {
		segment_free(s);
		return rc;
	}
	*ret_segment = s;
	return 0;
}

int segment_decode(const struct repo *repo, const struct id *id, const void *data, size_t len,
	struct segment **ret_segment, struct error *err)
{
	const struct signers signers = {.repo = repo};
	return segment_decode_by(&signers, id, data, len, ret_segment, err);
}

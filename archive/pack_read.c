/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/pack.h"

enum { FOOTER_LEN = 16 + FORMAT_TAG_LEN, TOC_MAX = 64 << 20, ROW_MIN = 37 };

static int parse_row(struct cursor *c, uint64_t limit, struct pack_row *row)
{
	cursor_copy(c, row->id.b, sizeof(row->id.b));
	row->offset = cursor_varint_max(c, limit);
	row->stored = (uint32_t)cursor_varint_max(c, CHUNK_STORED_MAX);
	row->plain = (uint32_t)cursor_varint_max(c, CHUNK_PLAIN_MAX);
	uint8_t flags = cursor_u8(c);
	row->depth = cursor_u8(c);
	memset(&row->base, 0, sizeof(row->base));
	if ((flags & 1u) != 0)
		cursor_copy(c, row->base.b, sizeof(row->base.b));
	if ((flags & 2u) != 0)
		cursor_bytes(c, 24);
	if (cursor_failed(c) || (flags & ~3u) != 0 || row->depth > CHUNK_DEPTH_MAX ||
		((flags & 1u) != 0) != (row->depth > 0) || row->offset < FORMAT_HEADER_LEN ||
		row->stored < FORMAT_TAG_LEN + CHUNK_HEADER_LEN || row->offset + row->stored > limit)
		return ERR_CORRUPT;
	return 0;
}

int pack_parse_toc(
	const void *toc, size_t len, uint64_t limit, struct pack_row **ret_rows, size_t *ret_count, struct error *err)
{
	struct cursor c = cursor_of(toc, len);
	uint8_t version = cursor_u8(&c);
	uint64_t count = cursor_varint(&c);
	uint64_t expect = FORMAT_HEADER_LEN;

	if (!cursor_failed(&c) && version != 1)
		return error_set(err, ERR_UNSUPPORTED, "a pack's table of contents has version %u", version);
	if (cursor_failed(&c) || count > cursor_left(&c) / ROW_MIN)
		return error_set(err, ERR_CORRUPT, "a pack's table of contents is damaged");
	struct pack_row *rows = calloc(count == 0 ? 1 : (size_t)count, sizeof(*rows));
	if (rows == NULL)
		return error_no_memory(err, "a pack's table of contents");
	for (uint64_t i = 0; i < count; i++) {
		if (parse_row(&c, limit, &rows[i]) < 0 || rows[i].offset != expect) {
			free(rows);
			return error_set(err, ERR_CORRUPT, "a pack's table of contents is damaged at row %llu",
				(unsigned long long)i);
		}
		expect += rows[i].stored;
	}
	if (expect != limit) {
		free(rows);
		return error_set(err, ERR_CORRUPT, "a pack's table of contents leaves a gap before itself");
	}
	*ret_rows = rows;
	*ret_count = (size_t)count;
	return 0;
}

/* Reads `len` bytes that must be there. */
static int get_exact(struct repo *repo, const char *name, uint64_t off, size_t len, void *dst, struct error *err)
{
	size_t got = 0;
	int r = store_get(repo->store, NULL, name, off, len, dst, &got, err);

	if (r == 0 && got != len)
		r = error_set(err, ERR_CORRUPT, "'%s' is shorter than it should be", name);
	return r;
}

static int read_footer(struct repo *repo, struct seal_place *place, const char *name, uint64_t size, const uint8_t *key,
	uint64_t *ret_off, uint64_t *ret_len, struct error *err)
{
	uint8_t footer[FOOTER_LEN];

	if (size < FORMAT_HEADER_LEN + FORMAT_TAG_LEN + FOOTER_LEN + FORMAT_TRAILER_LEN)
		return error_set(err, ERR_CORRUPT, "'%s' is too short for a pack", name);
	place->offset = size - FORMAT_TRAILER_LEN - FOOTER_LEN;
	int r = get_exact(repo, name, place->offset, sizeof(footer), footer, err);
	if (r == 0)
		r = seal_open(key, place, footer, sizeof(footer), footer, err);
	if (r < 0)
		return r;
	struct cursor c = cursor_of(footer, 16);
	uint64_t off = cursor_u64(&c), len = cursor_u64(&c);
	if (off < FORMAT_HEADER_LEN || len < FORMAT_TAG_LEN || len > TOC_MAX || off > place->offset ||
		len != place->offset - off)
		return error_set(err, ERR_CORRUPT, "'%s' has a footer that does not fit its size", name);
	*ret_off = off;
	*ret_len = len;
	return 0;
}

int pack_read_toc(struct repo *repo, enum object_kind kind, const struct id *pack,
	const uint8_t key[static FORMAT_KEY_LEN], struct pack_row **ret_rows, size_t *ret_count, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	uint64_t size, off = 0, len = 0;
	struct seal_place place = {
		.cipher = repo->config.cipher, .kind = kind, .repository = repo->config.repository, .object = pack};

	object_name(kind, 0, pack, name);
	int r = store_stat(repo->store, NULL, name, &size, err);
	if (r == 0)
		r = read_footer(repo, &place, name, size, key, &off, &len, err);
	if (r < 0)
		return r;
	uint8_t *toc = malloc((size_t)len);
	if (toc == NULL)
		return error_no_memory(err, "a pack's table of contents");
	r = get_exact(repo, name, off, (size_t)len, toc, err);
	place.offset = off;
	if (r == 0)
		r = seal_open(key, &place, toc, (size_t)len, toc, err);
	if (r == 0)
		r = pack_parse_toc(toc, (size_t)len - FORMAT_TAG_LEN, off, ret_rows, ret_count, err);
	free(toc);
	return r < 0 ? error_wrap(err, r, "cannot read the table of contents of '%s'", name) : 0;
}

/* SPDX-License-Identifier: MIT */
#include "archive/pack.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fileio.h"
#include "base/host.h"

enum { FOOTER_PLAIN = 16, FOOTER_LEN = FOOTER_PLAIN + FORMAT_TAG_LEN, HASH_BLOCK = 1 << 20 };

struct pack_writer {
	struct repo *repo;
	enum object_kind kind;
	struct id id;
	uint8_t *key; /* guarded memory */
	int fd;
	pthread_mutex_t lock; /* guards what follows; never held over I/O */
	uint64_t end;         /* where the next chunk goes */
	struct pack_row *rows;
	size_t row_count, row_cap;
};

static int open_file(struct pack_writer *p, struct error *err)
{
	char name[FORMAT_NAME_MAX];

	object_name(p->kind, 0, &p->id, name);
	int r = store_tmpfile(p->repo->store, name, &p->fd, err);
	if (r == 0 && p->fd < 0)
		r = fileio_tmpfile(fileio_tmpdir(), &p->fd, err);
	return r;
}

static int put_header(struct pack_writer *p, struct error *err)
{
	struct buf b = {0};
	struct object_header h = {.kind = (uint8_t)p->kind,
		.version = FORMAT_VERSION,
		.trailer = (uint8_t)p->repo->config.trailer,
		.cipher = (uint8_t)p->repo->config.cipher};

	object_header_put(&b, &h);
	int r = buf_failed(&b) ? error_no_memory(err, "a pack's header")
			       : fileio_pwrite(p->fd, "a new pack", b.data, b.len, 0, err);
	buf_release(&b);
	p->end = FORMAT_HEADER_LEN;
	return r;
}

int pack_writer_new(struct repo *repo, enum object_kind kind, struct pack_writer **ret_pack, struct error *err)
{
	struct pack_writer *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL)
		return error_no_memory(err, "a pack");
	p->repo = repo;
	p->kind = kind;
	p->fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	p->key = host_secret_alloc(FORMAT_KEY_LEN);
	if (p->key == NULL) {
		r = error_no_memory(err, "a pack's key");
		goto out;
	}
	object_draw(repo, kind, p->key, &p->id);
	r = open_file(p, err);
	if (r == 0)
		r = put_header(p, err);
out:
	if (r < 0) {
		pack_writer_free(p);
		return error_wrap(err, r, "cannot begin a pack");
	}
	*ret_pack = p;
	return 0;
}

void pack_writer_free(struct pack_writer *p)
{
	if (p == NULL)
		return;
	if (p->fd >= 0)
		close(p->fd);
	host_secret_free(p->key);
	pthread_mutex_destroy(&p->lock);
	free(p->rows);
	free(p);
}

const struct id *pack_writer_id(const struct pack_writer *p)
{
	return &p->id;
}

const uint8_t *pack_writer_key(const struct pack_writer *p)
{
	return p->key;
}

uint64_t pack_writer_size(const struct pack_writer *p)
{
	return p->end;
}

size_t pack_writer_rows(const struct pack_writer *p, const struct pack_row **ret_rows)
{
	*ret_rows = p->rows;
	return p->row_count;
}

static bool grow_rows(struct pack_writer *p)
{
	if (p->row_count < p->row_cap)
		return true;
	size_t cap = p->row_cap == 0 ? 64 : p->row_cap * 2;
	struct pack_row *rows = reallocarray(p->rows, cap, sizeof(*rows));
	if (rows == NULL)
		return false;
	p->rows = rows;
	p->row_cap = cap;
	return true;
}

int pack_writer_reserve(struct pack_writer *p, const struct id *id, uint32_t sealed_len, uint32_t plain_len,
	uint8_t depth, const struct id *base, struct locator *ret_loc, struct error *err)
{
	int r = 0;

	pthread_mutex_lock(&p->lock);
	if (!grow_rows(p)) {
		r = error_no_memory(err, "a pack's table of contents");
	} else {
		struct pack_row *row = &p->rows[p->row_count++];
		*row = (struct pack_row){
			.id = *id, .offset = p->end, .stored = sealed_len, .plain = plain_len, .depth = depth};
		if (depth > 0)
			row->base = *base;
		*ret_loc = (struct locator){.pack = p->id, .offset = p->end, .stored = sealed_len, .plain = plain_len};
		p->end += sealed_len;
	}
	pthread_mutex_unlock(&p->lock);
	return r;
}

static struct seal_place place_at(const struct pack_writer *p, uint64_t offset)
{
	return (struct seal_place){.cipher = p->repo->config.cipher,
		.kind = p->kind,
		.repository = p->repo->config.repository,
		.object = &p->id,
		.offset = offset};
}

/*
 * Opens what was just sealed, in place, and takes it apart again: a bad encoder or bad memory shows now, not at a
 * restore. `room` holds the sealed bytes, and is then used for the plain ones.
 */
static int prove(struct pack_writer *p, const struct seal_place *place, uint8_t *room, const void *opened,
	size_t opened_len, const void *plain, size_t plain_len, struct chunk_decoder *decoder, struct error *err)
{
	int r = seal_open(p->key, place, room, opened_len + FORMAT_TAG_LEN, room, err);

	if (r < 0 || memcmp(room, opened, opened_len) != 0)
		return error_set(
			err, ERR_CORRUPT, "a chunk does not open as it was sealed; is this machine's memory sound?");
	r = chunk_unpack(decoder, opened, opened_len, NULL, 0, room, plain_len, err);
	if (r < 0 || (plain_len > 0 && memcmp(room, plain, plain_len) != 0))
		return error_set(
			err, ERR_CORRUPT, "a chunk does not unpack to what was read; is this machine's memory sound?");
	return 0;
}

int pack_writer_fill(struct pack_writer *p, const struct locator *loc, const void *opened, size_t opened_len,
	const void *plain, size_t plain_len, struct chunk_decoder *decoder, struct buf *scratch, struct buf *keep,
	struct error *err)
{
	struct seal_place place = place_at(p, loc->offset);
	size_t sealed_len = opened_len + FORMAT_TAG_LEN;

	if (sealed_len != loc->stored)
		return error_set(err, ERR_BUG, "a chunk of %zu bytes for a place of %u", sealed_len, loc->stored);
	buf_clear(scratch);
	if (!buf_reserve(scratch, sealed_len > plain_len ? sealed_len : plain_len))
		return error_no_memory(err, "sealing a chunk");
	int r = seal_bytes(p->key, &place, opened, opened_len, scratch->data, err);
	if (r == 0)
		r = fileio_pwrite(p->fd, "a new pack", scratch->data, sealed_len, loc->offset, err);
	if (r == 0 && keep != NULL)
		buf_put(keep, scratch->data, sealed_len);
	if (r == 0 && keep != NULL && buf_failed(keep))
		r = error_no_memory(err, "sealing a chunk");
	return r < 0 ? r : prove(p, &place, scratch->data, opened, opened_len, plain, plain_len, decoder, err);
}

static void put_row(struct buf *b, const struct pack_row *row)
{
	buf_put(b, row->id.b, sizeof(row->id.b));
	buf_put_varint(b, row->offset);
	buf_put_varint(b, row->stored);
	buf_put_varint(b, row->plain);
	buf_put_u8(b, row->depth > 0 ? 1 : 0);
	buf_put_u8(b, row->depth);
	if (row->depth > 0)
		buf_put(b, row->base.b, sizeof(row->base.b));
}

/* Table and footer, sealed, in *ret; sizes chosen so that the whole pack has a padded length. */
static int seal_tail(struct pack_writer *p, struct buf *ret, struct error *err)
{
	struct buf toc = {0};
	int r = 0;
	const uint64_t fixed = FORMAT_TAG_LEN + FOOTER_LEN + FORMAT_TRAILER_LEN;

	buf_put_u8(&toc, 1);
	buf_put_varint(&toc, p->row_count);
	for (size_t i = 0; i < p->row_count; i++)
		put_row(&toc, &p->rows[i]);
	uint64_t total = p->end + toc.len + fixed;
	buf_put_zeros(&toc, (size_t)(format_padme(total) - total));
	if (buf_failed(&toc) || !buf_reserve(ret, toc.len + FORMAT_TAG_LEN + FOOTER_LEN)) {
		r = error_no_memory(err, "a pack's table of contents");
		goto out;
	}
	struct seal_place place = place_at(p, p->end);
	r = seal_bytes(p->key, &place, toc.data, toc.len, ret->data, err);
	if (r < 0)
		goto out;
	ret->len = toc.len + FORMAT_TAG_LEN;
	struct buf footer = {0};
	buf_put_u64(&footer, p->end);
	buf_put_u64(&footer, ret->len);
	place = place_at(p, p->end + ret->len);
	r = buf_failed(&footer) ? error_no_memory(err, "a pack's footer")
				: seal_bytes(p->key, &place, footer.data, footer.len, ret->data + ret->len, err);
	ret->len += FOOTER_LEN;
	buf_release(&footer);
out:
	buf_release(&toc);
	return r;
}

/* Reads the finished file back (from the page cache) and appends its hash. */
static int append_trailer(struct pack_writer *p, uint64_t size, struct error *err)
{
	struct trailer_hash *h = trailer_hash_new(p->repo->config.trailer);
	uint8_t *block = malloc(HASH_BLOCK);
	uint8_t digest[FORMAT_TRAILER_LEN];
	int r = h == NULL || block == NULL ? error_no_memory(err, "hashing a pack") : 0;

	for (uint64_t at = 0; r == 0 && at < size;) {
		size_t got = 0;
		size_t want = size - at < HASH_BLOCK ? (size_t)(size - at) : HASH_BLOCK;
		r = fileio_pread(p->fd, "a new pack", block, want, at, &got, err);
		if (r == 0 && got != want)
			r = error_set(err, ERR_IO, "a new pack is shorter than what was written to it");
		if (r == 0)
			trailer_hash_update(h, block, got);
		at += got;
	}
	if (r == 0) {
		trailer_hash_final(h, digest);
		r = fileio_pwrite(p->fd, "a new pack", digest, sizeof(digest), size, err);
	}
	trailer_hash_free(h);
	free(block);
	return r;
}

int pack_writer_finish(struct pack_writer *p, struct catalog_pack *ret_pack, struct error *err)
{
	struct buf tail = {0};
	char name[FORMAT_NAME_MAX];
	uint64_t size = 0;

	object_name(p->kind, 0, &p->id, name);
	int r = seal_tail(p, &tail, err);
	if (r == 0)
		r = fileio_pwrite(p->fd, name, tail.data, tail.len, p->end, err);
	if (r == 0) {
		size = p->end + tail.len;
		r = append_trailer(p, size, err);
		size += FORMAT_TRAILER_LEN;
	}
	if (r == 0)
		r = object_put_wrap(p->repo, &p->id, p->key, err);
	struct store_body body = {.fd = p->fd, .len = size};
	if (r == 0)
		r = store_put(p->repo->store, NULL, name, &body, NULL, err);
	struct catalog_pack row = {.size = size, .wrap_len = SEAL_WRAP_LEN};
	if (r == 0)
		r = object_make_wrap(p->repo, p->key, row.wrap, &row.generation, err);
	buf_release(&tail);
	if (r < 0)
		return error_wrap(err, r, "cannot store '%s'", name);
	memcpy(row.id, p->id.b, sizeof(row.id));
	*ret_pack = row;
	return 0;
}

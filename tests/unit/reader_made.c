/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/host.h"
#include "catalog/catalog.h"
#include "reader_made.h"

static const uint8_t key_bytes[32] = "the key of what readers read....";
static const struct repo_unlock by_key = {.key = key_bytes};

/* Words of a sort, so that it compresses about as text does. */
uint8_t reader_made_byte(uint32_t number, uint32_t i)
{
	uint32_t word = (i / 8) * 2654435761u ^ number * 40503u;
	return (uint8_t)(i % 8 < 5 ? 'a' + (word >> 27) % 20 : (word >> ((i % 8) * 3)));
}

void reader_made_fill(uint32_t number, uint8_t *dst, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		dst[i] = reader_made_byte(number, i);
}

void reader_made_expect(const struct made_chunk *want, const struct chunk *got)
{
	assert_int_equal(got->len, want->len);
	for (uint32_t i = 0; i < got->len; i++)
		if (got->data[i] != reader_made_byte(want->number, i))
			fail_msg("byte %u of chunk %u is wrong", i, want->number);
}

static void stored(void *arg, int status, const struct chunk_ref *ref, bool is_new)
{
	struct made_chunk *c = arg;
	(void)is_new;
	if (status == 0)
		c->ref = *ref;
}

static void store_chunks(struct reader_made *m, uint32_t least, uint32_t most)
{
	struct session *session = NULL;
	struct writer *w = NULL;
	struct writer_options options = {.compression = 1, .threads = 2};
	assert_int_equal(session_begin(m->repo, m->catalog, "t", &session, NULL), 0);
	assert_int_equal(writer_open(session, &options, &w, NULL), 0);
	srand(7);
	for (size_t i = 0; i < m->count; i++) {
		struct made_chunk *c = &m->chunks[i];
		c->number = (uint32_t)i;
		c->len = least + (uint32_t)rand() % (most - least + 1);
		struct writer_buffer *b = writer_buffer(w);
		assert_non_null(b);
		reader_made_fill(c->number, b->data, c->len);
		b->len = c->len;
		writer_submit(w, b, stored, c);
	}
	assert_int_equal(writer_finish(w, NULL), 0);
	writer_free(w);
	session_free(session);
}

void reader_made_open(struct reader_made *m, size_t count, uint32_t least, uint32_t most, bool remote)
{
	struct store *memory = NULL, *store = NULL;
	struct id slot;
	assert_int_equal(host_init(NULL), 0);
	assert_int_equal(store_memory_open(&memory, NULL), 0);
	assert_int_equal(store_fault_open(memory, &store, NULL), 0);
	assert_int_equal(repo_init(store, &by_key, "test", &slot, NULL), 0);
	assert_int_equal(repo_open(store, &by_key, NULL, &m->repo, NULL), 0);
	struct catalog_options options = {.repository = m->repo->config.repository};
	assert_int_equal(catalog_open(&options, &m->catalog, NULL), 0);
	m->count = count;
	m->chunks = calloc(count + 1, sizeof(*m->chunks));
	assert_non_null(m->chunks);
	store_chunks(m, least, most);
	if (remote) {
		store->features &= ~(unsigned)STORE_LOCAL;
		store->parallel = 8;
	}
}

void reader_made_close(struct reader_made *m)
{
	catalog_close(m->catalog);
	repo_close(m->repo);
	free(m->chunks);
}

struct reader *reader_made_reader(struct reader_made *m, size_t cache, unsigned threads)
{
	struct reader_options options = {.cache_bytes = cache, .threads = threads};
	struct reader *r = NULL;
	assert_int_equal(reader_open(m->repo, &options, &r, NULL), 0);
	return r;
}

/* ---- files ---- */

static uint32_t extent_draw(struct reader_made *m, struct extent *x, bool whole, size_t i)
{
	size_t c = whole ? i % m->count : (size_t)rand() % m->count;
	uint32_t len = m->chunks[c].len;
	if (!whole && rand() % 4 == 0) {
		*x = (struct extent){.length = 1 + (uint64_t)rand() % 300000, .ref = EXTENT_HOLE};
		return 0;
	}
	x->ref = (uint32_t)c;
	x->offset = whole ? 0 : (uint32_t)rand() % len;
	x->length = whole ? len : 1 + (uint64_t)rand() % (len - x->offset);
	return m->chunks[c].number;
}

void reader_made_file(struct reader_made *m, struct made_file *f, uint32_t count, bool whole, unsigned seed)
{
	uint64_t size = 0, at = 0;
	*f = (struct made_file){.extents = calloc(count + 1u, sizeof(struct extent)),
		.refs = calloc(m->count + 1, sizeof(struct chunk_ref))};
	srand(seed);
	for (size_t i = 0; i < m->count; i++)
		f->refs[i] = m->chunks[i].ref;
	for (uint32_t i = 0; i < count; i++) {
		(void)extent_draw(m, &f->extents[i], whole, i);
		size += f->extents[i].length;
	}
	f->bytes = calloc(1, size + 1);
	for (uint32_t i = 0; i < count; at += f->extents[i++].length) {
		const struct extent *x = &f->extents[i];
		for (uint64_t k = 0; x->ref != EXTENT_HOLE && k < x->length; k++)
			f->bytes[at + k] = reader_made_byte(m->chunks[x->ref].number, x->offset + (uint32_t)k);
	}
	f->entry = (struct entry){.mode = 0100644,
		.size = size,
		.extents = f->extents,
		.extent_count = count,
		.refs = f->refs,
		.ref_count = (uint32_t)m->count,
		.xattr_ref = EXTENT_HOLE};
}

void reader_made_file_free(struct made_file *f)
{
	free(f->extents);
	free(f->refs);
	free(f->bytes);
}

bool reader_made_is_hole(const struct made_file *f, uint64_t off)
{
	for (uint32_t i = 0; i < f->entry.extent_count; i++) {
		if (off < f->extents[i].length)
			return f->extents[i].ref == EXTENT_HOLE;
		off -= f->extents[i].length;
	}
	return true;
}

/* ---- chains ---- */

/* The plain bytes of link `level` (0: the top): those of chunk 1000, a few changed. */
static void link_fill(unsigned level, uint8_t *dst, uint32_t len)
{
	reader_made_fill(1000, dst, len);
	for (uint32_t i = 0; level > 0 && i < len; i += 5000)
		dst[i] = (uint8_t)(dst[i] + level);
}

static size_t link_pack(
	unsigned depth_below, const uint8_t *base, const uint8_t *plain, uint32_t len, uint8_t *dst, size_t cap)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t head = CHUNK_HEADER_LEN + (depth_below > 0 ? sizeof(struct id) : 0);
	memset(dst, 0, head);
	dst[0] = depth_below > 0 ? CHUNK_ZSTD_PREFIX : CHUNK_ZSTD;
	dst[1] = (uint8_t)depth_below;
	if (depth_below > 0)
		assert_false(ZSTD_isError(ZSTD_CCtx_refPrefix(c, base, len)));
	ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, 24);
	size_t n = ZSTD_compress2(c, dst + head, cap - head, plain, len);
	assert_false(ZSTD_isError(n));
	ZSTD_freeCCtx(c);
	return head + n;
}

void reader_made_chain(struct reader_made *m, unsigned depth, uint32_t len, struct made_chunk *ret)
{
	uint8_t key[FORMAT_KEY_LEN], *plain = malloc(len), *base = malloc(len);
	size_t cap = ZSTD_compressBound(len) + 64;
	uint8_t *packed = malloc(cap + FORMAT_TAG_LEN);
	struct id pack;
	char name[FORMAT_NAME_MAX];
	*ret = (struct made_chunk){.number = 1000, .len = len, .ref = {.depth = (uint8_t)depth}};
	host_random(&ret->ref.id, sizeof(ret->ref.id));
	/* A pack each, from the farthest base up. Only what locators point at is in them. */
	for (unsigned level = depth + 1; level-- > 0;) {
		object_draw(m->repo, KIND_DATA_PACK, key, &pack);
		struct seal_place place = {.cipher = m->repo->config.cipher,
			.kind = KIND_DATA_PACK,
			.repository = m->repo->config.repository,
			.object = &pack,
			.offset = FORMAT_HEADER_LEN};
		link_fill(level, plain, len);
		size_t n = link_pack(depth - level, base, plain, len, packed, cap);
		assert_int_equal(seal_bytes(key, &place, packed, n, packed, NULL), 0);
		struct buf object = {0};
		buf_put_zeros(&object, FORMAT_HEADER_LEN);
		buf_put(&object, packed, n + FORMAT_TAG_LEN);
		buf_put_zeros(&object, FORMAT_TRAILER_LEN);
		object_name(KIND_DATA_PACK, 0, &pack, name);
		assert_int_equal(object_put_wrap(m->repo, &pack, key, NULL), 0);
		assert_int_equal(store_put_mem(m->repo->store, NULL, name, object.data, object.len, NULL, NULL), 0);
		buf_release(&object);
		ret->ref.chain[level] = (struct locator){.pack = pack,
			.offset = FORMAT_HEADER_LEN,
			.stored = (uint32_t)(n + FORMAT_TAG_LEN),
			.plain = len};
		uint8_t *swap = base;
		base = plain;
		plain = swap;
	}
	free(plain);
	free(base);
	free(packed);
}

/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/pack.h"
#include "archive_fixture.h"
#include "base/checked.h"
#include "base/host.h"

/* ---- writing and reading back ---- */

enum { ROWS = 40, ROW_LEN = 3000 };

struct filled {
	struct pack_writer *pack;
	struct locator locs[ROWS];
	uint8_t *plain[ROWS];
};

static struct id row_id(unsigned i)
{
	struct id id = {{0}};

	id.b[0] = (uint8_t)i;
	id.b[31] = 9;
	return id;
}

static void fill(struct filled *f, unsigned i)
{
	struct chunk_encoder *encoder = NULL;
	struct chunk_decoder *decoder = NULL;
	struct buf opened = {0}, scratch = {0}, keep = {0};
	struct id id = row_id(i);

	assert_int_equal(chunk_encoder_new(3, &encoder, NULL) | chunk_decoder_new(&decoder, NULL), 0);
	f->plain[i] = archive_fixture_bytes(ROW_LEN + i, i);
	assert_int_equal(chunk_encode(encoder, f->plain[i], ROW_LEN + i, &opened, NULL, NULL), 0);
	assert_int_equal(pack_writer_reserve(f->pack, &id, (uint32_t)opened.len + FORMAT_TAG_LEN, ROW_LEN + i, 0, NULL,
				 &f->locs[i], NULL),
		0);
	assert_int_equal(pack_writer_fill(f->pack, &f->locs[i], opened.data, opened.len, f->plain[i], ROW_LEN + i,
				 decoder, &scratch, i % 2 == 0 ? &keep : NULL, NULL),
		0);
	if (i % 2 == 0)
		assert_int_equal(keep.len, f->locs[i].stored);
	buf_release(&opened);
	buf_release(&scratch);
	buf_release(&keep);
	chunk_encoder_free(encoder);
	chunk_decoder_free(decoder);
}

struct half {
	struct filled *f;
	unsigned first;
};

static void *fill_half(void *arg)
{
	struct half *h = arg;

	for (unsigned i = h->first; i < ROWS; i += 2)
		fill(h->f, i);
	return NULL;
}

/* Two threads fill one pack. */
static void fill_all(struct archive_fixture *f, struct filled *filled)
{
	struct half odd = {.f = filled, .first = 1}, even = {.f = filled, .first = 0};
	pthread_t thread;

	*filled = (struct filled){0};
	assert_int_equal(pack_writer_new(f->repo, KIND_DATA_PACK, &filled->pack, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, fill_half, &odd), 0);
	fill_half(&even);
	pthread_join(thread, NULL);
}

static void drop_all(struct filled *filled)
{
	pack_writer_free(filled->pack);
	for (unsigned i = 0; i < ROWS; i++)
		free(filled->plain[i]);
}

static void pack_name(const struct id *id, char name[static FORMAT_NAME_MAX])
{
	object_name(KIND_DATA_PACK, 0, id, name);
}

static void expect_chunk(struct archive_fixture *f, const struct filled *filled, unsigned i)
{
	struct chunk_decoder *decoder = NULL;
	const struct locator *loc = &filled->locs[i];
	uint8_t sealed[2 * ROW_LEN], back[2 * ROW_LEN];
	char name[FORMAT_NAME_MAX];
	size_t got = 0;
	struct seal_place place = {.cipher = f->repo->config.cipher,
		.kind = KIND_DATA_PACK,
		.repository = f->repo->config.repository,
		.object = &loc->pack,
		.offset = loc->offset};

	pack_name(&loc->pack, name);
	assert_int_equal(chunk_decoder_new(&decoder, NULL), 0);
	assert_int_equal(store_get(f->store, NULL, name, loc->offset, loc->stored, sealed, &got, NULL), 0);
	assert_int_equal(got, loc->stored);
	assert_int_equal(chunk_decode(decoder, pack_writer_key(filled->pack), &place, sealed, got, NULL, 0, back,
				 loc->plain, NULL),
		0);
	assert_memory_equal(back, filled->plain[i], loc->plain);
	chunk_decoder_free(decoder);
}

static void test_pack__what_was_filled_is_in_the_table_and_at_its_place(void **state)
{
	struct archive_fixture *f = *state;
	struct filled filled;
	struct catalog_pack row;
	struct pack_row *rows = NULL;
	size_t count = 0;
	uint64_t size = 0;
	char name[FORMAT_NAME_MAX];

	fill_all(f, &filled);
	assert_int_equal(pack_writer_finish(filled.pack, &row, NULL), 0);
	pack_name(pack_writer_id(filled.pack), name);
	assert_int_equal(store_stat(f->store, NULL, name, &size, NULL), 0);
	assert_int_equal(row.size, size);
	assert_int_equal(format_padme(size), size);
	assert_int_equal(pack_read_toc(f->repo, KIND_DATA_PACK, pack_writer_id(filled.pack),
				 pack_writer_key(filled.pack), &rows, &count, NULL),
		0);
	assert_int_equal(count, ROWS);
	for (size_t i = 0; i < count; i++) {
		const struct locator *loc = &filled.locs[rows[i].id.b[0]];
		assert_int_equal(rows[i].offset, loc->offset);
		assert_int_equal(rows[i].stored, loc->stored);
		assert_int_equal(rows[i].plain, loc->plain);
		assert_int_equal(rows[i].depth, 0);
	}
	for (unsigned i = 0; i < ROWS; i++)
		expect_chunk(f, &filled, i);
	free(rows);
	drop_all(&filled);
}

/* The key comes from the wrap beside the pack, and from the row for the index. */
static void test_pack__both_wraps_hold_its_key(void **state)
{
	struct archive_fixture *f = *state;
	struct filled filled;
	struct catalog_pack row;
	uint8_t key[FORMAT_KEY_LEN];

	fill_all(f, &filled);
	assert_int_equal(pack_writer_finish(filled.pack, &row, NULL), 0);
	const struct id *id = pack_writer_id(filled.pack);
	assert_int_equal(object_get_key(f->repo, KIND_DATA_PACK, id, key, NULL), 0);
	assert_memory_equal(key, pack_writer_key(filled.pack), sizeof(key));
	memset(key, 0, sizeof(key));
	assert_int_equal(
		object_open_wrap(f->repo, KIND_DATA_PACK, id, row.generation, row.wrap, row.wrap_len, key, NULL), 0);
	assert_memory_equal(key, pack_writer_key(filled.pack), sizeof(key));
	drop_all(&filled);
}

static void test_pack__a_chunk_that_does_not_prove_itself_is_not_accepted(void **state)
{
	struct archive_fixture *f = *state;
	struct chunk_decoder *decoder = NULL;
	struct pack_writer *p = NULL;
	struct locator loc;
	struct buf scratch = {0};
	struct error err = ERROR_INIT;
	static const uint8_t opened[] = {CHUNK_RAW, 0, 0, 0, 'a', 'b'};
	const struct id id = row_id(1);

	assert_int_equal(chunk_decoder_new(&decoder, NULL), 0);
	assert_int_equal(pack_writer_new(f->repo, KIND_DATA_PACK, &p, NULL), 0);
	assert_int_equal(pack_writer_reserve(p, &id, sizeof(opened) + FORMAT_TAG_LEN, 2, 0, NULL, &loc, NULL), 0);
	assert_int_equal(pack_writer_fill(p, &loc, opened, sizeof(opened), "ab", 2, decoder, &scratch, NULL, NULL), 0);
	assert_int_equal(
		pack_writer_fill(p, &loc, opened, sizeof(opened), "ax", 2, decoder, &scratch, NULL, &err), ERR_CORRUPT);
	assert_non_null(strstr(error_text(&err), "memory"));
	assert_int_equal(pack_writer_fill(p, &loc, opened, sizeof(opened), "abc", 3, decoder, &scratch, NULL, NULL),
		ERR_CORRUPT);
	buf_release(&scratch);
	chunk_decoder_free(decoder);
	pack_writer_free(p);
}

static void test_pack__a_store_that_fails_is_told_and_leaves_no_pack(void **state)
{
	struct archive_fixture *f = *state;

	for (uint64_t n = 1; n <= 2; n++) { /* the wrap, the pack */
		struct fault_rule rule = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = n, .code = ERR_NO_SPACE};
		struct filled filled;
		struct catalog_pack row;
		char name[FORMAT_NAME_MAX];
		uint64_t size;
		fill_all(f, &filled);
		assert_int_equal(store_fault_add(f->store, &rule, NULL), 0);
		assert_int_equal(pack_writer_finish(filled.pack, &row, NULL), ERR_NO_SPACE);
		store_fault_clear(f->store);
		pack_name(pack_writer_id(filled.pack), name);
		assert_int_equal(store_stat(f->store, NULL, name, &size, NULL), ERR_NOT_FOUND);
		drop_all(&filled);
	}
}

static void test_pack_read_toc__damage_in_table_or_footer_is_found(void **state)
{
	struct archive_fixture *f = *state;
	struct filled filled;
	struct catalog_pack row;
	char name[FORMAT_NAME_MAX];
	static const unsigned kinds[] = {FAULT_CORRUPT, FAULT_TRUNCATE};

	fill_all(f, &filled);
	assert_int_equal(pack_writer_finish(filled.pack, &row, NULL), 0);
	pack_name(pack_writer_id(filled.pack), name);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		for (uint64_t nth = 1; nth <= 2; nth++) { /* footer, table */
			struct fault_rule rule = {.kind = kinds[i], .ops = FAULT_GET, .nth = nth};
			struct pack_row *rows = NULL;
			size_t count = 0;
			assert_int_equal(store_fault_add(f->store, &rule, NULL), 0);
			int r = pack_read_toc(f->repo, KIND_DATA_PACK, pack_writer_id(filled.pack),
				pack_writer_key(filled.pack), &rows, &count, NULL);
			assert_int_equal(r, ERR_CORRUPT);
			assert_null(rows);
			store_fault_clear(f->store);
		}
	}
	drop_all(&filled);
}

/* ---- the table alone ---- */

static void put_row(struct buf *b, uint64_t offset, uint64_t stored, uint8_t flags, uint8_t depth)
{
	const struct id id = row_id(3);

	buf_put(b, &id, sizeof(id));
	buf_put_varint(b, offset);
	buf_put_varint(b, stored);
	buf_put_varint(b, 77);
	buf_put_u8(b, flags);
	buf_put_u8(b, depth);
	if ((flags & 1) != 0)
		buf_put(b, &id, sizeof(id));
	if ((flags & 2) != 0)
		buf_put_zeros(b, 24);
}

static int parse(const struct buf *b, uint64_t limit, size_t *ret_count)
{
	struct pack_row *rows = NULL;
	size_t count = 0;
	int r = pack_parse_toc(b->data, b->len, limit, &rows, &count, NULL);

	if (r == 0)
		free(rows);
	else
		assert_null(rows);
	if (ret_count != NULL)
		*ret_count = count;
	return r;
}

static void begin_toc(struct buf *b, uint8_t version, uint64_t count)
{
	buf_clear(b);
	buf_put_u8(b, version);
	buf_put_varint(b, count);
}

static void test_pack_parse_toc__rows_with_bases_and_sketches_are_read(void **state)
{
	struct buf b = {0};
	size_t count = 0;

	(void)state;
	begin_toc(&b, 1, 4);
	put_row(&b, 32, 100, 0, 0);
	put_row(&b, 132, 100, 1, 1);
	put_row(&b, 232, 100, 2, 0);
	put_row(&b, 332, 100, 3, CHUNK_DEPTH_MAX);
	buf_put_zeros(&b, 1000);
	assert_int_equal(parse(&b, 432, &count), 0);
	assert_int_equal(count, 4);
	begin_toc(&b, 1, 0);
	assert_int_equal(parse(&b, FORMAT_HEADER_LEN, &count), 0);
	assert_int_equal(count, 0);
	buf_release(&b);
}

static void test_pack_parse_toc__rows_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		uint64_t offset, stored, limit;
		uint8_t flags, depth;
	} bad[] = {
		{31, 100, 131, 0, 0},                   /* in the header */
		{33, 100, 133, 0, 0},                   /* a gap in front */
		{32, 100, 133, 0, 0},                   /* a gap behind */
		{32, 100, 131, 0, 0},                   /* past the table */
		{32, 19, 51, 0, 0},                     /* shorter than tag and header */
		{32, 100, 132, 4, 0},                   /* an unknown flag */
		{32, 100, 132, 0, 1},                   /* a depth without a base */
		{32, 100, 132, 1, 0},                   /* a base without a depth */
		{32, 100, 132, 1, CHUNK_DEPTH_MAX + 1}, /* too deep */
		{UINT64_MAX - 10, 100, UINT64_MAX, 0, 0},
		{32, UINT64_MAX, 132, 0, 0},
	};
	struct buf b = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		begin_toc(&b, 1, 1);
		put_row(&b, bad[i].offset, bad[i].stored, bad[i].flags, bad[i].depth);
		if (parse(&b, bad[i].limit, NULL) != ERR_CORRUPT)
			fail_msg("row %zu was taken", i);
	}
	begin_toc(&b, 1, UINT64_MAX);
	put_row(&b, 32, 100, 0, 0);
	assert_int_equal(parse(&b, 132, NULL), ERR_CORRUPT);
	begin_toc(&b, 2, 1);
	put_row(&b, 32, 100, 0, 0);
	assert_int_equal(parse(&b, 132, NULL), ERR_UNSUPPORTED);
	begin_toc(&b, 1, 2);
	put_row(&b, 32, 100, 0, 0);
	put_row(&b, 100, 100, 0, 0); /* over the first */
	assert_int_equal(parse(&b, 200, NULL), ERR_CORRUPT);
	buf_release(&b);
}

static void test_pack_parse_toc__every_cut_is_refused(void **state)
{
	struct buf b = {0};

	(void)state;
	begin_toc(&b, 1, 2);
	put_row(&b, 32, 100, 0, 0);
	put_row(&b, 132, 100, 3, 2);
	size_t whole = b.len;
	assert_int_equal(parse(&b, 232, NULL), 0);
	for (b.len = 0; b.len < whole; b.len++)
		assert_int_equal(parse(&b, 232, NULL), ERR_CORRUPT);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_pack__what_was_filled_is_in_the_table_and_at_its_place),
		ARCHIVE_CASE(test_pack__both_wraps_hold_its_key),
		ARCHIVE_CASE(test_pack__a_chunk_that_does_not_prove_itself_is_not_accepted),
		ARCHIVE_CASE(test_pack__a_store_that_fails_is_told_and_leaves_no_pack),
		ARCHIVE_CASE(test_pack_read_toc__damage_in_table_or_footer_is_found),
		cmocka_unit_test(test_pack_parse_toc__rows_with_bases_and_sketches_are_read),
		cmocka_unit_test(test_pack_parse_toc__rows_that_do_not_fit_are_refused),
		cmocka_unit_test(test_pack_parse_toc__every_cut_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "archive/chunkcodec.h"
#include "base/checked.h"
#include "base/host.h"

struct codec {
	struct chunk_encoder *encoder;
	struct chunk_decoder *decoder;
	struct buf packed;
};

static struct codec make(int level)
{
	struct codec c = {0};

	assert_int_equal(chunk_encoder_new(level, &c.encoder, NULL), 0);
	assert_int_equal(chunk_decoder_new(&c.decoder, NULL), 0);
	return c;
}

static void drop(struct codec *c)
{
	chunk_encoder_free(c->encoder);
	chunk_decoder_free(c->decoder);
	buf_release(&c->packed);
}

static uint8_t *noise(size_t len)
{
	uint8_t *p = malloc(len + 1);

	assert_non_null(p);
	host_random(p, len);
	return p;
}

static uint8_t *text(size_t len)
{
	uint8_t *p = malloc(len + 1);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)('a' + (i * i / 7) % 20);
	return p;
}

static int unpack(struct codec *c, void *dst, size_t len)
{
	return chunk_unpack(c->decoder, c->packed.data, c->packed.len, NULL, 0, dst, len, NULL);
}

static void expect_round(struct codec *c, const uint8_t *plain, size_t len, bool want_raw)
{
	uint8_t *back = malloc(len + 1);
	bool raw = !want_raw;

	assert_int_equal(chunk_encode(c->encoder, plain, len, &c->packed, &raw, NULL), 0);
	assert_int_equal(raw, want_raw);
	assert_true(c->packed.len <= len + CHUNK_HEADER_LEN);
	assert_int_equal(c->packed.data[0], want_raw ? CHUNK_RAW : CHUNK_ZSTD);
	assert_int_equal(unpack(c, back, len), 0);
	assert_memory_equal(back, plain, len);
	free(back);
}

static void test_chunk_encode__every_size_comes_back(void **state)
{
	static const size_t sizes[] = {1000, 65535, 65536, 65537, 1 << 20, CHUNK_PLAIN_MAX};
	static const int levels[] = {1, 3, 9};

	(void)state;
	for (size_t l = 0; l < ARRAY_LEN(levels); l++) {
		struct codec c = make(levels[l]);
		for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
			uint8_t *p = text(sizes[i]), *q = noise(sizes[i]);
			expect_round(&c, p, sizes[i], false);
			expect_round(&c, q, sizes[i], true);
			free(p);
			free(q);
		}
		drop(&c);
	}
}

static void test_chunk_encode__what_is_tiny_or_empty_is_stored(void **state)
{
	struct codec c = make(3);
	uint8_t *p = noise(64);

	(void)state;
	for (size_t len = 0; len <= 64; len++)
		expect_round(&c, p, len, true);
	free(p);
	drop(&c);
}

static void test_chunk_encode__level_0_packs_nothing(void **state)
{
	struct codec c = make(0);
	uint8_t *p = text(100000);

	(void)state;
	expect_round(&c, p, 100000, true);
	free(p);
	drop(&c);
}

/* The trials that find out what suits the data must not show in what comes back. */
static void test_chunk_encode__many_chunks_in_a_row_come_back(void **state)
{
	struct codec c = make(3);

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		uint8_t *p = text(70000 + i * 13);
		if (i % 3 == 0)
			memset(p, (int)i, 60000);
		expect_round(&c, p, 70000 + i * 13, false);
		free(p);
	}
	drop(&c);
}

static void test_chunk_encode__one_that_is_too_large_is_refused(void **state)
{
	struct codec c = make(3);
	uint8_t *p = text(CHUNK_PLAIN_MAX + 1);

	(void)state;
	assert_int_equal(chunk_encode(c.encoder, p, CHUNK_PLAIN_MAX + 1, &c.packed, NULL, NULL), ERR_BUG);
	free(p);
	drop(&c);
}

static void test_chunk_unpack__another_length_than_was_said_is_damage(void **state)
{
	static const size_t wrong[] = {0, 1, 9999, 10001, 20000};
	uint8_t *p = text(10000), *q = noise(10000), back[20000];
	struct codec c = make(3);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		assert_int_equal(chunk_encode(c.encoder, p, 10000, &c.packed, NULL, NULL), 0);
		assert_int_equal(unpack(&c, back, wrong[i]), ERR_CORRUPT);
		assert_int_equal(chunk_encode(c.encoder, q, 10000, &c.packed, NULL, NULL), 0);
		assert_int_equal(unpack(&c, back, wrong[i]), ERR_CORRUPT);
	}
	free(p);
	free(q);
	drop(&c);
}

static void test_chunk_unpack__every_cut_is_damage(void **state)
{
	struct codec c = make(3);
	uint8_t *p = text(5000), back[5000];

	(void)state;
	assert_int_equal(chunk_encode(c.encoder, p, 5000, &c.packed, NULL, NULL), 0);
	for (size_t len = 0; len < c.packed.len; len++)
		assert_int_not_equal(chunk_unpack(c.decoder, c.packed.data, len, NULL, 0, back, sizeof(back), NULL), 0);
	free(p);
	drop(&c);
}

static void test_chunk_unpack__a_header_of_another_time_is_unsupported(void **state)
{
	struct codec c = make(3);
	uint8_t *p = text(5000), back[5000];

	(void)state;
	assert_int_equal(chunk_encode(c.encoder, p, 5000, &c.packed, NULL, NULL), 0);
	c.packed.data[0] = 3;
	assert_int_equal(unpack(&c, back, 5000), ERR_UNSUPPORTED);
	c.packed.data[0] = CHUNK_ZSTD;
	c.packed.data[2] = 1; /* a dictionary */
	assert_int_equal(unpack(&c, back, 5000), ERR_UNSUPPORTED);
	free(p);
	drop(&c);
}

/* A chunk on a base, as later versions write them. */
static void pack_on(struct buf *packed, const void *base, size_t base_len, const void *plain, size_t len, uint8_t depth)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	static const struct id id = {{1, 2, 3}};

	buf_clear(packed);
	buf_put_u8(packed, CHUNK_ZSTD_PREFIX);
	buf_put_u8(packed, depth);
	buf_put_u16(packed, 0);
	buf_put(packed, &id, sizeof(id));
	assert_true(buf_reserve(packed, ZSTD_compressBound(len)));
	assert_false(ZSTD_isError(ZSTD_CCtx_refPrefix(ctx, base, base_len)));
	size_t n = ZSTD_compress2(ctx, packed->data + packed->len, packed->cap - packed->len, plain, len);
	assert_false(ZSTD_isError(n));
	packed->len += n;
	ZSTD_freeCCtx(ctx);
}

static void test_chunk_unpack__a_chunk_on_a_base_is_read(void **state)
{
	struct codec c = make(3);
	uint8_t *base = noise(50000), *plain = noise(50000), back[50000];

	(void)state;
	memcpy(plain, base, 49000);
	pack_on(&c.packed, base, 50000, plain, 50000, 1);
	assert_true(c.packed.len < 2000);
	assert_int_equal(
		chunk_unpack(c.decoder, c.packed.data, c.packed.len, base, 50000, back, sizeof(back), NULL), 0);
	assert_memory_equal(back, plain, sizeof(back));
	/* The prefix serves one chunk alone: the next stands without. */
	uint8_t *other = text(50000);
	expect_round(&c, other, 50000, false);
	free(other);
	free(base);
	free(plain);
	drop(&c);
}

static void test_chunk_unpack__base_and_depth_must_fit_each_other(void **state)
{
	struct codec c = make(3);
	uint8_t *base = noise(5000), back[5000];

	(void)state;
	pack_on(&c.packed, base, 5000, base, 5000, 1);
	assert_int_equal(unpack(&c, back, 5000), ERR_CORRUPT); /* no base at hand */
	pack_on(&c.packed, base, 5000, base, 5000, CHUNK_DEPTH_MAX + 1);
	assert_int_equal(
		chunk_unpack(c.decoder, c.packed.data, c.packed.len, base, 5000, back, 5000, NULL), ERR_CORRUPT);
	pack_on(&c.packed, base, 5000, base, 5000, 1);
	c.packed.data[0] = CHUNK_ZSTD; /* a depth, and no prefix */
	assert_int_equal(
		chunk_unpack(c.decoder, c.packed.data, c.packed.len, base, 5000, back, 5000, NULL), ERR_CORRUPT);
	assert_int_equal(chunk_encode(c.encoder, base, 5000, &c.packed, NULL, NULL), 0);
	assert_int_equal(
		chunk_unpack(c.decoder, c.packed.data, c.packed.len, base, 5000, back, 5000, NULL), ERR_CORRUPT);
	free(base);
	drop(&c);
}

static void test_chunk_decode__opens_at_its_own_place_alone(void **state)
{
	struct codec c = make(3);
	uint8_t *p = text(5000), back[5000], key[FORMAT_KEY_LEN] = {4}, other_key[FORMAT_KEY_LEN] = {5};
	static const uint8_t repository[FORMAT_REPO_LEN] = {6};
	static const struct id pack = {{7}};
	struct seal_place place = {.cipher = CIPHER_XCHACHA20_POLY1305,
		.kind = KIND_DATA_PACK,
		.repository = repository,
		.object = &pack,
		.offset = 32};
	struct buf sealed = {0};

	(void)state;
	for (int round = 0; round < 4; round++) {
		assert_int_equal(chunk_encode(c.encoder, p, 5000, &c.packed, NULL, NULL), 0);
		size_t len = c.packed.len + FORMAT_TAG_LEN;
		buf_clear(&sealed);
		assert_true(buf_reserve(&sealed, len));
		assert_int_equal(seal_bytes(key, &place, c.packed.data, c.packed.len, sealed.data, NULL), 0);
		struct seal_place at = place;
		at.offset += round == 1 ? 1 : 0;
		at.kind = round == 2 ? KIND_TREE_PACK : KIND_DATA_PACK;
		int r = chunk_decode(
			c.decoder, round == 3 ? other_key : key, &at, sealed.data, len, NULL, 0, back, 5000, NULL);
		assert_int_equal(r, round == 0 ? 0 : ERR_CORRUPT);
	}
	buf_release(&sealed);
	free(p);
	drop(&c);
}

/* Unpacks by steps, seeing that what is said to be there is right. */
static int step_through(struct codec *c, const uint8_t *plain, size_t len, unsigned *ret_steps)
{
	struct chunk_steps steps;
	uint8_t *dst = malloc(len + 1);
	size_t seen = 0;

	assert_non_null(dst);
	int r = chunk_steps_begin(c->decoder, c->packed.data, c->packed.len, dst, len, &steps, NULL);
	for (*ret_steps = 0; r == 0 && !steps.done; ++*ret_steps) {
		r = chunk_steps_more(c->decoder, &steps, NULL);
		assert_true(r < 0 || steps.have >= seen);
		assert_memory_equal(dst + seen, plain + seen, steps.have - seen);
		seen = steps.have;
	}
	if (r == 0)
		assert_int_equal(seen + (size_t)(*ret_steps == 0 ? len : 0), len);
	free(dst);
	return r;
}

static void test_chunk_steps__what_is_there_is_right_at_every_step(void **state)
{
	struct codec c = make(3);
	static const size_t lens[] = {1, 4000, 128 << 10, (128 << 10) + 1, 1000003, 3 << 20};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		unsigned steps;
		uint8_t *p = text(lens[i]);
		assert_int_equal(chunk_encode(c.encoder, p, lens[i], &c.packed, NULL, NULL), 0);
		assert_int_equal(step_through(&c, p, lens[i], &steps), 0);
		assert_true(lens[i] < (1 << 20) || steps >= lens[i] / (128 << 10));
		/* The decoder serves whole chunks again. */
		expect_round(&c, p, lens[i], lens[i] == 1);
		free(p);
	}
	drop(&c);
}

static void test_chunk_steps__what_is_stored_as_it_is_is_there_at_once(void **state)
{
	struct codec c = make(3);
	uint8_t *p = noise(1 << 20), *dst = malloc(1 << 20);
	struct chunk_steps steps;

	(void)state;
	assert_non_null(dst);
	assert_int_equal(chunk_encode(c.encoder, p, 1 << 20, &c.packed, NULL, NULL), 0);
	assert_int_equal(chunk_steps_begin(c.decoder, c.packed.data, c.packed.len, dst, 1 << 20, &steps, NULL), 0);
	assert_true(steps.done);
	assert_int_equal(steps.have, 1 << 20);
	assert_memory_equal(dst, p, 1 << 20);
	free(dst);
	free(p);
	drop(&c);
}

static void test_chunk_steps__a_cut_and_a_tail_are_damage(void **state)
{
	struct codec c = make(3);
	enum { LEN = 400000 };
	uint8_t *p = text(LEN);
	unsigned steps;

	(void)state;
	assert_int_equal(chunk_encode(c.encoder, p, LEN, &c.packed, NULL, NULL), 0);
	size_t whole = c.packed.len;
	for (size_t len = CHUNK_HEADER_LEN; len < whole; len += len < 64 ? 1 : 97) {
		c.packed.len = len;
		assert_int_equal(step_through(&c, p, LEN, &steps), ERR_CORRUPT);
	}
	c.packed.len = whole;
	buf_put_u8(&c.packed, 0);
	assert_int_equal(step_through(&c, p, LEN, &steps), ERR_CORRUPT);
	free(p);
	drop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunk_encode__every_size_comes_back),
		cmocka_unit_test(test_chunk_encode__what_is_tiny_or_empty_is_stored),
		cmocka_unit_test(test_chunk_encode__level_0_packs_nothing),
		cmocka_unit_test(test_chunk_encode__many_chunks_in_a_row_come_back),
		cmocka_unit_test(test_chunk_encode__one_that_is_too_large_is_refused),
		cmocka_unit_test(test_chunk_unpack__another_length_than_was_said_is_damage),
		cmocka_unit_test(test_chunk_unpack__every_cut_is_damage),
		cmocka_unit_test(test_chunk_unpack__a_header_of_another_time_is_unsupported),
		cmocka_unit_test(test_chunk_unpack__a_chunk_on_a_base_is_read),
		cmocka_unit_test(test_chunk_unpack__base_and_depth_must_fit_each_other),
		cmocka_unit_test(test_chunk_decode__opens_at_its_own_place_alone),
		cmocka_unit_test(test_chunk_steps__what_is_there_is_right_at_every_step),
		cmocka_unit_test(test_chunk_steps__what_is_stored_as_it_is_is_there_at_once),
		cmocka_unit_test(test_chunk_steps__a_cut_and_a_tail_are_damage),
	};

	return host_init(NULL) < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}

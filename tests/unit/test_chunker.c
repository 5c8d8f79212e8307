/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "archive/chunker.h"
#include "tree_model.h"

static const uint8_t key[32] = "the gear key of these tests";

static struct chunker *chunker_of(uint32_t min, uint32_t avg, uint32_t max)
{
	const struct chunker_params params = {.min = min, .avg = avg, .max = max};
	struct chunker *c = NULL;
	assert_int_equal(chunker_new(key, &params, &c, NULL), 0);
	return c;
}

/* The rule as FORMAT.md has it, a byte at a time. */
struct naive {
	uint64_t gear[256];
};

static void naive_gear(struct naive *n)
{
	uint8_t raw[2048];
	const uint8_t nonce[8] = {0};
	crypto_stream_chacha20(raw, sizeof(raw), nonce, key);
	for (size_t i = 0; i < 256; i++) {
		n->gear[i] = 0;
		for (size_t k = 0; k < 8; k++)
			n->gear[i] |= (uint64_t)raw[i * 8 + k] << (8 * k);
	}
}

static unsigned log2_of(uint32_t v)
{
	unsigned bits = 0;
	while (v > 1) {
		v /= 2;
		bits++;
	}
	return bits;
}

static uint64_t naive_mask(unsigned bits)
{
	uint64_t mask = 0;
	for (unsigned i = 0; i < bits; i++)
		mask |= (uint64_t)1 << (63 - i * 48 / bits);
	return mask;
}

static size_t naive_cut(const struct naive *n, const struct chunker_params *p, const uint8_t *data, size_t len)
{
	uint64_t h = 0;
	for (size_t i = p->min; i < len; i++) {
		h = 2 * h + n->gear[data[i]];
		unsigned bits = log2_of(p->avg);
		uint64_t mask = naive_mask(i < p->avg ? bits + 2 : bits - 2);
		if ((h & mask) == 0 || i + 1 == p->max)
			return i + 1;
	}
	return len;
}

static uint8_t *bytes_of(uint64_t seed, size_t len, unsigned values)
{
	struct draw d = {seed};
	uint8_t *data = malloc(len);
	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)draw_below(&d, values);
	return data;
}

static void test_chunker__cuts_like_the_rule_read_byte_by_byte(void **state)
{
	static const struct chunker_params params[] = {
		{64, 256, 1024}, {64, 256, 257}, {100, 1024, 5000}, {512, 1024, 8192}, {65, 4096, 16384}};
	struct naive n;
	(void)state;
	naive_gear(&n);
	for (size_t i = 0; i < 5; i++) {
		struct chunker *c = chunker_of(params[i].min, params[i].avg, params[i].max);
		for (uint64_t seed = 0; seed < 6; seed++) {
			size_t len = 100000 + seed, cuts = 0;
			uint8_t *data = bytes_of(seed, len, seed % 2 ? 256 : 3);
			for (size_t at = 0; at < len; cuts++) {
				size_t want = naive_cut(&n, &params[i], data + at, len - at);
				assert_int_equal(chunker_cut(c, data + at, len - at), want);
				at += want;
			}
			assert_true(cuts >= len / params[i].max);
			free(data);
		}
		chunker_free(c);
	}
}

static void test_chunker_scan__finds_the_same_cut_however_data_grows(void **state)
{
	struct chunker *c = chunker_of(200, 1024, 4096);
	struct draw d = {5};
	(void)state;
	for (int round = 0; round < 300; round++) {
		uint8_t *data = bytes_of((uint64_t)round, 6000, round % 3 ? 256 : 2);
		struct chunker_state s = {0};
		size_t len = 0, cut = 0;
		while (cut == 0 && len < 6000) {
			len += draw_below(&d, round % 2 ? 7 : 900);
			len = len < 6000 ? len : 6000;
			cut = chunker_scan(c, &s, data, len);
			assert_true(cut <= len);
		}
		assert_int_equal(cut, chunker_cut(c, data, 6000));
		free(data);
	}
	chunker_free(c);
}

static void test_chunker__sizes_keep_their_bounds_and_average(void **state)
{
	const size_t len = 64 << 20;
	struct chunker *c = chunker_of(16 << 10, 64 << 10, 256 << 10);
	uint8_t *data = bytes_of(1, len, 256);
	size_t cuts = 0;
	(void)state;
	for (size_t at = 0; at < len; cuts++) {
		size_t cut = chunker_cut(c, data + at, len - at);
		assert_in_range(cut, at + cut == len ? 1 : (16 << 10) + 1, 256 << 10);
		at += cut;
	}
	assert_in_range(len / cuts, 55 << 10, 90 << 10);
	memset(data, 0, len);
	assert_int_equal(chunker_cut(c, data, len), 256 << 10);
	free(data);
	chunker_free(c);
}

/* Cuts as offsets from the end, so that they can be compared after bytes went in at the front. */
static size_t cuts_of(const struct chunker *c, const uint8_t *data, size_t len, size_t *from_end)
{
	size_t n = 0;
	for (size_t at = 0; at < len;) {
		at += chunker_cut(c, data + at, len - at);
		from_end[n++] = len - at;
	}
	return n;
}

static void test_chunker__bytes_put_in_front_shift_few_cuts(void **state)
{
	enum { LEN = 4 << 20 };
	struct chunker *c = chunker_of(1024, 8192, 65536);
	uint8_t *data = bytes_of(3, LEN + 100, 256);
	size_t *a = calloc(LEN / 1024 + 2, sizeof(*a)), *b = calloc(LEN / 1024 + 2, sizeof(*b)), same = 0;
	(void)state;
	size_t many = cuts_of(c, data, LEN + 100, a), others = cuts_of(c, data + 77, LEN + 23, b);
	for (size_t i = 0, k = 0; i < many && k < others;) {
		same += a[i] == b[k];
		if (a[i] >= b[k])
			i++;
		else
			k++;
	}
	assert_true(same + 6 >= many);
	free(a);
	free(b);
	free(data);
	chunker_free(c);
}

static void test_chunker__another_key_cuts_elsewhere(void **state)
{
	const struct chunker_params params = {.min = 1024, .avg = 8192, .max = 65536};
	uint8_t other[32] = "another", *data = bytes_of(3, 65536, 256);
	struct chunker *a = chunker_of(1024, 8192, 65536), *b;
	size_t same = 0;
	(void)state;
	assert_int_equal(chunker_new(other, &params, &b, NULL), 0);
	for (size_t at = 0; at < 30000; at += 1000)
		same += chunker_cut(a, data + at, 65536 - at) == chunker_cut(b, data + at, 65536 - at);
	assert_true(same < 3);
	chunker_free(a);
	chunker_free(b);
	free(data);
}

static void test_chunker_new__refuses_sizes_that_make_no_sense(void **state)
{
	static const struct chunker_params bad[] = {{0, 1024, 4096}, {64, 1000, 4096}, {1024, 1024, 4096},
		{64, 1024, 1024}, {64, 128, 4096}, {64, 1024, (8 << 20) + 1}, {64, 0, 4096}};
	struct chunker *c = NULL;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(chunker_new(key, &bad[i], &c, NULL), ERR_UNSUPPORTED);
	assert_null(c);
	chunker_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunker__cuts_like_the_rule_read_byte_by_byte),
		cmocka_unit_test(test_chunker_scan__finds_the_same_cut_however_data_grows),
		cmocka_unit_test(test_chunker__sizes_keep_their_bounds_and_average),
		cmocka_unit_test(test_chunker__bytes_put_in_front_shift_few_cuts),
		cmocka_unit_test(test_chunker__another_key_cuts_elsewhere),
		cmocka_unit_test(test_chunker_new__refuses_sizes_that_make_no_sense),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

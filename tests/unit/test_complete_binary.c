/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zstd.h>

#include "base/buf.h"
#include "base/checked.h"
#include "judging.h"

/* The CRC-64 of an RDB, bit by bit. */
static uint64_t slow_crc(uint64_t crc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			uint64_t top = (crc ^ (uint64_t)(p[i] >> bit)) & 1;
			crc = crc >> 1 ^ (top != 0 ? 0x95ac9329ac4bc9b5u : 0);
		}
	return crc;
}

static void test_complete_rdb__holes_count_as_zeros(void **state)
{
	static uint8_t file[300000];
	static const size_t holes[] = {1, 8, 9, 1024, 1025, 1026, 5000, 123456, 290000};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(holes); i++) {
		size_t hole = holes[i], len = 9 + 5 + hole + 5;
		memset(file, 0, sizeof(file));
		memcpy(file, "REDIS0011abcde", 14);
		memcpy(file + 14 + hole, "fghij", 5);
		file[len] = 0xff;
		uint64_t crc = slow_crc(0, file, len + 1);
		for (unsigned k = 0; k < 8; k++)
			file[len + 1 + k] = (uint8_t)(crc >> 8 * k);
		for (int wrong = 0; wrong < 2; wrong++) {
			struct complete *c = begin("dump.rdb");
			complete_feed(c, file, 14);
			complete_hole(c, hole - (size_t)wrong);
			complete_feed(c, file + 14 + hole, len + 9 - 14 - hole);
			assert_int_equal(end(c).verdict, wrong == 0 ? COMPLETE_OK : COMPLETE_BAD);
		}
	}
}

static void test_complete_rdb__old_new_and_mixed_files(void **state)
{
	(void)state;
	/* Before version 5 there was no checksum; Valkey 9 has its own name; Redis 4 to 6 put commands behind an RDB.
	 */
	assert_int_equal(judge("x", "REDIS0003abc\xff", 13).verdict, COMPLETE_OK);
	assert_int_equal(judge("x", "REDIS0003abc", 12).verdict, COMPLETE_BAD);
	assert_int_equal(judge("x", "VALKEY080abc\xff\0\0\0\0\0\0\0\0", 21).verdict, COMPLETE_OK);
	assert_int_equal(judge("x", "VALKEY080abc\xff\0\0\0\0\0\0\0", 20).verdict, COMPLETE_BAD);
	assert_int_equal(judge("x",
				 "REDIS0009\xfa\x0c"
				 "aof-preamble\xc0\x01 SELECT 0\r\n",
				 36)
				 .verdict,
		COMPLETE_UNKNOWN);
	assert_int_equal(judge("x",
				 "REDIS0009\xfa\x0c"
				 "aof-preamble\xc0\x00 SELECT 0\r\n",
				 36)
				 .verdict,
		COMPLETE_BAD);
}

/* redis-cli --rdb - leaves the 40 hex digits that ended the stream behind the dump. */
static void test_complete_rdb__the_mark_of_a_stream_may_follow(void **state)
{
	static const char mark[] = "0123456789abcdef0123456789abcdef01234567";
	static const char *const files[] = {"values.rdb", "nosum.rdb"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct bytes b = load(files[i]);
		uint8_t *p = malloc(b.len + 82);
		assert_non_null(p);
		memcpy(p, b.p, b.len);
		for (size_t n = 0; n < 42; n++) {
			memset(p + b.len, '0', 42);
			memcpy(p + b.len, mark, n < 40 ? n : 40);
			bool good = n == 0 || n == 40;
			assert_int_equal(judge("x", p, b.len + n).verdict, good ? COMPLETE_OK : COMPLETE_BAD);
		}
		memcpy(p + b.len + 40, mark, 40);
		assert_int_equal(judge("x", p, b.len + 80).verdict, COMPLETE_BAD);
		for (size_t at = 0; at < 40; at++) {
			static const char other[] = "gAF/:`\n";
			for (const char *c = other; *c != '\0'; c++) {
				memcpy(p + b.len, mark, 40);
				p[b.len + at] = (uint8_t)*c;
				assert_int_equal(judge("x", p, b.len + 40).verdict, COMPLETE_BAD);
			}
		}
		free(p);
		free(b.p);
	}
}

static void test_complete_rdb__a_flip_before_the_mark_of_a_stream_is_bad(void **state)
{
	struct bytes b = load("values.rdb");
	uint8_t *p = malloc(b.len + 40);

	(void)state;
	assert_non_null(p);
	memcpy(p, b.p, b.len);
	memset(p + b.len, 'f', 40);
	assert_int_equal(judge("x", p, b.len + 40).verdict, COMPLETE_OK);
	for (size_t i = 9; i < b.len; i++) {
		p[i] ^= 1;
		assert_int_equal(judge("x", p, b.len + 40).verdict, COMPLETE_BAD);
		p[i] ^= 1;
	}
	free(p);
	free(b.p);
}

static void test_complete_packed__what_is_inside_is_judged(void **state)
{
	struct bytes b = load("cut.sql.gz");
	struct result r = judge("cut.sql.gz", b.p, b.len);
	uint8_t out[100];
	size_t n;

	(void)state;
	assert_int_equal(r.verdict, COMPLETE_BAD);
	assert_string_equal(r.kind, "gzip");
	assert_non_null(strstr(r.reason, "pg_dump"));
	free(b.p);

	n = ZSTD_compress(out, sizeof(out), HEAD, strlen(HEAD), 1);
	assert_int_equal(judge("x", out, n).verdict, COMPLETE_BAD);
	n = ZSTD_compress(out, sizeof(out), "", 0, 1);
	assert_int_equal(judge("app.sql.zst", out, n).verdict, COMPLETE_BAD);
	assert_int_equal(judge("app.zst", out, n).verdict, COMPLETE_OK);
	/* Something packed twice is not opened twice. */
	n = ZSTD_compress(out, sizeof(out), "\x1f\x8b\x08 cut", 7, 1);
	assert_int_equal(judge("app.gz.zst", out, n).verdict, COMPLETE_OK);
}

static void test_complete_packed__what_may_follow(void **state)
{
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
	struct bytes gz = load("text.gz"), zst = load("text.zst");
	struct buf b = {0};

	(void)state;
	buf_put(&b, gz.p, gz.len);
	buf_put_zeros(&b, 600);
	assert_int_equal(judge("x.gz", b.data, b.len).verdict, COMPLETE_OK);
	buf_put(&b, gz.p, gz.len);
	assert_int_equal(judge("x.gz", b.data, b.len).verdict, COMPLETE_BAD);
	buf_clear(&b);
	buf_put(&b, gz.p, gz.len);
	buf_put_str(&b, "more");
	assert_int_equal(judge("x.gz", b.data, b.len).verdict, COMPLETE_BAD);

	struct complete *c = begin("x.gz");
	complete_feed(c, gz.p, gz.len);
	complete_hole(c, UINT64_C(1) << 60);
	assert_int_equal(end(c).verdict, COMPLETE_OK);

	buf_clear(&b);
	buf_put(&b, skippable, sizeof(skippable));
	assert_int_equal(judge("x.zst", b.data, b.len).verdict, COMPLETE_UNKNOWN);
	buf_put(&b, zst.p, zst.len);
	assert_int_equal(judge("x.zst", b.data, b.len).verdict, COMPLETE_OK);
	buf_put(&b, skippable, sizeof(skippable));
	assert_int_equal(judge_in("x.zst", b.data, b.len, 1).verdict, COMPLETE_OK);
	assert_int_equal(judge("x.zst", b.data, b.len - 1).verdict, COMPLETE_BAD);
	buf_put_u8(&b, 0);
	assert_int_equal(judge("x.zst", b.data, b.len).verdict, COMPLETE_BAD);
	buf_put_u32(&b, 0);
	assert_int_equal(judge("x.zst", b.data, b.len).verdict, COMPLETE_BAD);
	buf_release(&b);
	free(gz.p);
	free(zst.p);
}

/* A member's header; without `magic` it would be of the oldest kind. */
static void put_tar_header(struct buf *b, char type, const char *size)
{
	uint8_t h[512] = {'n'};
	unsigned sum = 8 * ' ';

	memcpy(h + 124, size, strlen(size));
	h[156] = (uint8_t)type;
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof(h); i++)
		sum += h[i];
	snprintf((char *)h + 148, 8, "%06o", sum);
	h[155] = ' ';
	buf_put(b, h, sizeof(h));
}

static void test_complete_tar__pax_sizes_links_and_holes(void **state)
{
	static const char record[] = "28 comment=it is size=99999\n14 size=70000\n";
	struct buf b = {0};

	(void)state;
	put_tar_header(&b, '1', "77777"); /* a hard link has no data, whatever it says */
	put_tar_header(&b, 'x', "52");
	buf_put(&b, record, 42);
	buf_put_zeros(&b, 512 - 42);
	put_tar_header(&b, '0', "0");
	for (int i = 0; i < 70000; i++)
		buf_put_u8(&b, 'x');
	buf_put_zeros(&b, 512 - 70000 % 512);
	put_tar_header(&b, '0', "100000000000"); /* 8 GiB, as a hole */
	assert_int_equal(strlen(record), 42);

	for (int zero_blocks = 0; zero_blocks <= 2; zero_blocks++) {
		struct complete *c = begin("x.tar");
		for (size_t at = 0; at < b.len; at += 100)
			complete_feed(c, b.data + at, b.len - at < 100 ? b.len - at : 100);
		complete_hole(c, (UINT64_C(1) << 33) + (uint64_t)zero_blocks * 512);
		assert_int_equal(complete_wants_more(c), zero_blocks < 2);
		assert_int_equal(end(c).verdict, zero_blocks == 2 ? COMPLETE_OK : COMPLETE_BAD);
	}
	buf_release(&b);
}

static void test_complete_tar__a_damaged_header_is_bad(void **state)
{
	struct buf b = {0};

	(void)state;
	put_tar_header(&b, '0', "0");
	put_tar_header(&b, '0', "0");
	buf_put_zeros(&b, 1024);
	assert_int_equal(judge("x", b.data, b.len).verdict, COMPLETE_OK);
	b.data[512 + 300] ^= 1;
	struct result r = judge("x", b.data, b.len);
	assert_int_equal(r.verdict, COMPLETE_BAD);
	assert_non_null(strstr(r.reason, "at byte 512"));
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete_rdb__holes_count_as_zeros),
		cmocka_unit_test(test_complete_rdb__old_new_and_mixed_files),
		cmocka_unit_test(test_complete_rdb__the_mark_of_a_stream_may_follow),
		cmocka_unit_test(test_complete_rdb__a_flip_before_the_mark_of_a_stream_is_bad),
		cmocka_unit_test(test_complete_packed__what_is_inside_is_judged),
		cmocka_unit_test(test_complete_packed__what_may_follow),
		cmocka_unit_test(test_complete_tar__pax_sizes_links_and_holes),
		cmocka_unit_test(test_complete_tar__a_damaged_header_is_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

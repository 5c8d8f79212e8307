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
#include <zlib.h>
#include <zstd.h>

#include "base/checked.h"
#include "judging.h"

/* What the real programs wrote, and how long its magic is: cut to that or less its kind is not known. */
static const struct {
	const char *file, *kind;
	size_t magic;
} whole[] = {
	{"plain.sql", "pg_dump", 2},
	{"verbose.sql", "pg_dump", 2},
	{"all.sql", "pg_dumpall", 2},
	{"globals.sql", "pg_dumpall", 2},
	{"custom.dump", "pg_dump custom", 4},
	{"piped.dump", "pg_dump custom", 4},
	{"schema.dump", "pg_dump custom", 4},
	{"dir/toc.dat", "pg_dump toc", 4},
	{"pg.tar", "tar", 511},
	{"gnu.tar", "tar", 511},
	{"pax.tar", "tar", 511},
	{"values.rdb", "rdb", 8},
	{"nosum.rdb", "rdb", 8},
	{"plain.sql.gz", "gzip", 2},
	{"members.sql.gz", "gzip", 2},
	{"text.gz", "gzip", 2},
	{"plain.sql.zst", "zstd", 3},
	{"frames.sql.zst", "zstd", 3},
	{"long.sql.zst", "zstd", 3},
	{"text.zst", "zstd", 3},
};

static void test_complete__what_real_programs_wrote_is_ok(void **state)
{
	static const size_t pieces[] = {1, 2, 7, 512, 513, 1 << 20};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		struct bytes b = load(whole[i].file);
		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			struct result r = judge_in(whole[i].file, b.p, b.len, pieces[k]);
			if (r.verdict != COMPLETE_OK)
				fail_msg("'%s' in pieces of %zu: %s", whole[i].file, pieces[k], r.reason);
			assert_string_equal(r.kind, whole[i].kind);
		}
		free(b.p);
	}
}

/* Up to the last word that counts: of a plain dump all but the line ends and dashes behind it. */
static size_t needed(const char *file, struct bytes b)
{
	size_t n = strlen(file), len = b.len;

	if (n > 4 && strcmp(file + n - 4, ".sql") == 0)
		while (len > 0 && strchr("-\r\n", (char)b.p[len - 1]) != NULL)
			len--;
	return len;
}

static void test_complete__every_cut_is_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
		struct bytes b = load(whole[i].file);
		for (size_t len = whole[i].magic + 1; len < needed(whole[i].file, b); len++) {
			struct result r = judge(whole[i].file, b.p, len);
			if (r.verdict != COMPLETE_BAD)
				fail_msg("'%s' cut to %zu of %zu is not bad", whole[i].file, len, b.len);
		}
		free(b.p);
	}
}

static void test_complete__a_cut_dump_is_bad_whatever_its_name(void **state)
{
	struct bytes b = load("plain.sql");

	(void)state;
	for (size_t len = strlen("--\n-- PostgreSQL database "); len < needed("plain.sql", b); len++)
		assert_int_equal(judge("backup", b.p, len).verdict, COMPLETE_BAD);
	for (size_t len = needed("plain.sql", b); len < b.len; len++)
		assert_int_equal(judge("backup", b.p, len).verdict, COMPLETE_OK);
	assert_int_equal(judge("backup", b.p, b.len).verdict, COMPLETE_OK);
	assert_int_equal(judge("backup", b.p, 3).verdict, COMPLETE_UNKNOWN);
	free(b.p);
}

/* Unpacks as far as it can; returns whether it all went well, as a restore would. */
static bool gunzip(const uint8_t *p, size_t len, uint8_t *out, size_t out_cap, size_t *ret_len)
{
	z_stream z = {
		.next_in = (z_const Bytef *)p, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)out_cap};

	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	bool ok = inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_in == 0;
	*ret_len = out_cap - z.avail_out;
	inflateEnd(&z);
	return ok;
}

static bool unpack(const char *file, const uint8_t *p, size_t len, uint8_t *out, size_t out_cap, size_t *ret_len)
{
	if (strstr(file, ".gz") != NULL)
		return gunzip(p, len, out, out_cap, ret_len);
	*ret_len = ZSTD_decompress(out, out_cap, p, len);
	return !ZSTD_isError(*ret_len);
}

/* What is called good must unpack to the very bytes that were packed; bits that mean nothing may change. */
static void check_flips(const char *file, size_t magic, uint8_t mask, unsigned *bad)
{
	static uint8_t want[65536], got[65536];
	struct bytes b = load(file);
	size_t want_len, got_len;

	assert_true(unpack(file, b.p, b.len, want, sizeof(want), &want_len));
	for (size_t i = 0; i < b.len; i++) {
		b.p[i] ^= mask;
		struct result r = judge(file, b.p, b.len);
		if (r.verdict == COMPLETE_OK) {
			if (!unpack(file, b.p, b.len, got, sizeof(got), &got_len) || got_len != want_len ||
				memcmp(want, got, want_len) != 0)
				fail_msg("'%s' with byte %zu ^ %02x passes", file, i, mask);
			if (mask == 0xff && i > 17)
				fail_msg("'%s' with byte %zu ^ ff passes, though it is data", file, i);
		} else if (i >= magic) {
			assert_int_equal(r.verdict, COMPLETE_BAD);
		}
		*bad += r.verdict == COMPLETE_BAD;
		b.p[i] ^= mask;
	}
	assert_true(*bad > 0);
	free(b.p);
}

static void test_complete__every_flip_in_gzip_and_zstd_is_bad(void **state)
{
	static const char *const files[] = {"plain.sql.gz", "text.gz", "plain.sql.zst", "text.zst"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		unsigned bad = 0;
		check_flips(files[i], i < 2 ? 3 : 4, 0xff, &bad);
		for (unsigned bit = 0; bit < 8; bit++)
			check_flips(files[i], i < 2 ? 3 : 4, (uint8_t)(1u << bit), &bad);
	}
}

static void test_complete__every_flip_in_rdb_is_bad(void **state)
{
	struct bytes b = load("values.rdb");

	(void)state;
	for (size_t i = 0; i < b.len; i++)
		for (unsigned bit = 0; bit < 9; bit++) {
			uint8_t mask = bit == 8 ? 0xff : (uint8_t)(1u << bit);
			b.p[i] ^= mask;
			enum complete_verdict v = judge("dump.rdb", b.p, b.len).verdict;
			b.p[i] ^= mask;
			if (v != COMPLETE_BAD && !(i < 9 && v == COMPLETE_UNKNOWN))
				fail_msg("byte %zu ^ %02x passes", i, mask);
		}
	free(b.p);
}

static void test_complete__other_files_are_unknown_and_let_go_at_once(void **state)
{
	static const char *const texts[] = {"hello, world\n", "CREATE TABLE t (id int);\n", "-- my notes\nSELECT 1;\n",
		"\x89PNG\r\n\x1a\n", "PGDUMP", "REDISTRIBUTION of wealth", "\x1f\x9d compress", "BZh91AY&SY"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct complete *c = begin("x.sql");
		assert_true(complete_wants_more(c));
		complete_feed(c, texts[i], strlen(texts[i]));
		complete_hole(c, 5000);
		assert_false(complete_wants_more(c));
		struct result r = end(c);
		assert_int_equal(r.verdict, COMPLETE_UNKNOWN);
		assert_string_equal(r.kind, "");
	}
	assert_int_equal(judge_text("x.sql", "-- my notes").verdict, COMPLETE_UNKNOWN);
	assert_int_equal(judge_text("x", "RE").verdict, COMPLETE_UNKNOWN);
	assert_int_equal(judge_text("x", "\x1f").verdict, COMPLETE_UNKNOWN);
}

static void test_complete__an_empty_file_is_bad_when_its_name_promises_a_dump(void **state)
{
	static const char *const dumps[] = {"app.sql", "APP.SQL", "a.dump", "app.sql.gz", "app.dump.zst", "dump.rdb",
		"app.gz", "app.tar.gz", "app.tgz", "app.tar", "app.zst", "app.csv.xz"};
	static const char *const others[] = {"", "sql", ".sql", "app", "app.txt", ".gz", "app.sql.bak", ".keep"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dumps); i++) {
		struct result r = judge_text(dumps[i], "");
		assert_int_equal(r.verdict, COMPLETE_BAD);
		assert_string_equal(r.reason, "is empty");
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(judge_text(others[i], "").verdict, COMPLETE_UNKNOWN);
}

static void test_complete__a_file_cut_within_what_its_name_promises_is_bad(void **state)
{
	static const struct {
		const char *name, *text, *kind;
	} cut[] = {{"a.dump", "PGDM", "pg_dump custom"}, {"a.pgdump", "P", "pg_dump custom"}, {"a.sql", "-", "pg_dump"},
		{"a.sql", "--", "pg_dump"}, {"dump.rdb", "REDI", "rdb"}, {"dump.rdb", "REDIS001", "rdb"},
		{"a.gz", "\x1f", "gzip"}, {"A.TGZ", "\x1f\x8b", "gzip"}, {"a.csv.zst", "\x28\xb5\x2f", "zstd"},
		{"a.tar", "etc/passwd", "tar"},
		{"a.xz",
			"\xfd"
			"7zXZ",
			"xz"}};
	static const struct {
		const char *name, *text;
	} others[] = {{"a.txt", "PGDM"}, {"a.dump", "two"}, {"a.sql", "x"}, {"a.sql", "SELECT 1;\n"}, {"gz", "\x1f"},
		{"a.gz", "hello"}, {"a.rdb.old", "REDI"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		struct result r = judge_text(cut[i].name, cut[i].text);
		if (r.verdict != COMPLETE_BAD)
			fail_msg("'%s' holding '%s' passed", cut[i].name, cut[i].text);
		assert_string_equal(r.kind, cut[i].kind);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(judge_text(others[i].name, others[i].text).verdict, COMPLETE_UNKNOWN);
}

/* What is inside of a whole compressed file is judged by the name without its last ending. */
static void test_complete__a_packed_file_holds_what_its_name_promises(void **state)
{
	static const char *const names[] = {"a.tar.gz", "a.tgz"};
	uint8_t packed[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		for (unsigned len = 0; len <= 10; len += 10) {
			z_stream z = {.next_in = (Bytef *)(uintptr_t) "etc/passwd",
				.avail_in = len,
				.next_out = packed,
				.avail_out = sizeof(packed)};
			assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
			assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
			struct result r = judge(names[i], packed, z.total_out);
			deflateEnd(&z);
			assert_int_equal(r.verdict, COMPLETE_BAD);
			assert_string_equal(r.kind, "gzip");
			assert_int_equal(judge("a.gz", packed, sizeof(packed) - z.avail_out).verdict, COMPLETE_OK);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete__what_real_programs_wrote_is_ok),
		cmocka_unit_test(test_complete__every_cut_is_bad),
		cmocka_unit_test(test_complete__a_cut_dump_is_bad_whatever_its_name),
		cmocka_unit_test(test_complete__every_flip_in_gzip_and_zstd_is_bad),
		cmocka_unit_test(test_complete__every_flip_in_rdb_is_bad),
		cmocka_unit_test(test_complete__other_files_are_unknown_and_let_go_at_once),
		cmocka_unit_test(test_complete__an_empty_file_is_bad_when_its_name_promises_a_dump),
		cmocka_unit_test(test_complete__a_file_cut_within_what_its_name_promises_is_bad),
		cmocka_unit_test(test_complete__a_packed_file_holds_what_its_name_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

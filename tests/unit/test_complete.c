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

#include "archive/complete.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/error.h"

struct bytes {
	uint8_t *p;
	size_t len;
};

struct result {
	enum complete_verdict verdict;
	char kind[32];
	char reason[COMPLETE_REASON_MAX];
};

/* Reads tests/fixtures/complete/NAME, found from this file's place or by DRFS_FIXTURES. */
static struct bytes load(const char *name)
{
	const char *dir = getenv("DRFS_FIXTURES");
	const char *slash = strrchr(__FILE__, '/');
	int here_len = slash == NULL ? 0 : (int)(slash - __FILE__) + 1;
	char path[1000];
	struct bytes b = {malloc(1 << 20), 0};

	if (dir != NULL)
		snprintf(path, sizeof(path), "%s/complete/%s", dir, name);
	else
		snprintf(path, sizeof(path), "%.*s../fixtures/complete/%s", here_len, __FILE__, name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		fail_msg("cannot open '%s'", path);
	assert_non_null(b.p);
	b.len = fread(b.p, 1, 1 << 20, f);
	fclose(f);
	/* As long as it is and no longer: a read past its end is seen. */
	b.p = realloc(b.p, b.len);
	assert_non_null(b.p);
	return b;
}

static struct complete *begin(const char *name)
{
	struct complete *c = NULL;
	struct error err = ERROR_INIT;

	assert_int_equal(complete_new(name, strlen(name), 0, &c, &err), 0);
	return c;
}

static struct result end(struct complete *c)
{
	struct result r;
	const char *kind = NULL, *reason = NULL;

	r.verdict = complete_finish(c, &kind, &reason);
	snprintf(r.kind, sizeof(r.kind), "%s", kind);
	snprintf(r.reason, sizeof(r.reason), "%s", reason);
	complete_free(c);
	assert_true((r.verdict == COMPLETE_BAD) == (r.reason[0] != '\0'));
	return r;
}

/* Judges bytes fed in pieces of at most `piece`. */
static struct result judge_in(const char *name, const void *data, size_t len, size_t piece)
{
	struct complete *c = begin(name);

	for (size_t at = 0; at < len; at += piece)
		complete_feed(c, (const uint8_t *)data + at, len - at < piece ? len - at : piece);
	return end(c);
}

static struct result judge(const char *name, const void *data, size_t len)
{
	return judge_in(name, data, len, len + 1);
}

static struct result judge_text(const char *name, const char *text)
{
	return judge(name, text, strlen(text));
}

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

#define HEAD "--\n-- PostgreSQL database dump\n--\n\n"
#define KEYED_HEAD HEAD "\\restrict abc\n\nSET x = 1;\n\nCREATE TABLE t ();\n\n"
#define TAIL "--\n-- PostgreSQL database dump complete\n--\n\n"
#define ALL_HEAD "--\n-- PostgreSQL database cluster dump\n--\n\n\\restrict k\n\nCREATE ROLE r;\n\\unrestrict k\n\n"
#define ALL_TAIL "--\n-- PostgreSQL database cluster dump complete\n--\n\n"

static void test_complete_pgdump__closing_lines_decide(void **state)
{
	static const struct {
		const char *text;
		enum complete_verdict want;
	} cases[] = {
		{HEAD "CREATE TABLE t ();\n" TAIL, COMPLETE_OK},
		{HEAD "CREATE TABLE t ();\n" TAIL "\n \n\t\n\n", COMPLETE_OK},
		{HEAD TAIL "SELECT 1;\n", COMPLETE_BAD},
		{HEAD "CREATE TABLE t ();\n", COMPLETE_BAD},
		{HEAD, COMPLETE_BAD},
		{KEYED_HEAD TAIL "\\unrestrict abc\n\n", COMPLETE_OK},
		{KEYED_HEAD TAIL "\\unrestrict abc\n\n\n\n", COMPLETE_OK},
		{KEYED_HEAD TAIL, COMPLETE_BAD},
		{KEYED_HEAD TAIL "\\unrestrict abd\n\n", COMPLETE_BAD},
		{KEYED_HEAD TAIL "\\unrestrict ab\n\n", COMPLETE_BAD},
		{KEYED_HEAD "\\unrestrict abc\n\n" TAIL, COMPLETE_BAD},
		{KEYED_HEAD "\\unrestrict abc\n\n", COMPLETE_BAD},
		{"\\restrict abc\n" HEAD TAIL "\\unrestrict abc\n\n", COMPLETE_OK},
		{"\\restrict abc\n" HEAD TAIL, COMPLETE_BAD},
		{"SET a = 1;\n\n-- by cron\n" HEAD TAIL, COMPLETE_OK},
		{"SET a = 1;\n\n-- by cron\n" HEAD, COMPLETE_BAD},
		{ALL_HEAD ALL_TAIL, COMPLETE_OK},
		{ALL_HEAD HEAD TAIL, COMPLETE_BAD},
		{ALL_HEAD KEYED_HEAD TAIL "\\unrestrict abc\n\n", COMPLETE_BAD},
		{ALL_HEAD KEYED_HEAD TAIL "\\unrestrict abc\n\n" ALL_TAIL, COMPLETE_OK},
		{ALL_HEAD KEYED_HEAD TAIL ALL_TAIL, COMPLETE_OK},
		/* pg_dumpall -g, then pg_dump, into one file; and two dumps. */
		{ALL_HEAD ALL_TAIL KEYED_HEAD TAIL "\\unrestrict abc\n\n", COMPLETE_OK},
		{ALL_HEAD ALL_TAIL KEYED_HEAD TAIL, COMPLETE_BAD},
		{ALL_HEAD ALL_TAIL KEYED_HEAD, COMPLETE_BAD},
		{KEYED_HEAD TAIL "\\unrestrict abc\n\n" HEAD TAIL, COMPLETE_OK},
		{KEYED_HEAD TAIL "\\unrestrict abc\n\n" HEAD, COMPLETE_BAD},
		{"--\r\n-- PostgreSQL database dump\r\n--\r\n\r\n\\restrict a\r\n\r\nSELECT 1;\r\n--\r\n"
		 "-- PostgreSQL database dump complete\r\n--\r\n\r\n\\unrestrict a\r\n\r\n",
			COMPLETE_OK},
		{"--\r\n-- PostgreSQL database dump\r\n--\r\n\r\n\\restrict a\r\n\r\nSELECT 1;\r\n--\r\n",
			COMPLETE_BAD},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t piece = 1; piece < 200; piece += 66) {
			struct result r = judge_in("app.sql", cases[i].text, strlen(cases[i].text), piece);
			if (r.verdict != cases[i].want)
				fail_msg("case %zu in pieces of %zu: %d %s", i, piece, r.verdict, r.reason);
		}
}

static void test_complete_pgdump__a_long_middle_changes_nothing(void **state)
{
	static char rows[1000003];

	(void)state;
	memset(rows, 'x', sizeof(rows));
	for (size_t piece = 1000; piece < 2000000; piece *= 11)
		for (int cut = 0; cut < 2; cut++) {
			struct complete *c = begin("app.sql");
			complete_feed(c, KEYED_HEAD, strlen(KEYED_HEAD));
			for (size_t at = 0; at < sizeof(rows); at += piece)
				complete_feed(c, rows + at, sizeof(rows) - at < piece ? sizeof(rows) - at : piece);
			complete_hole(c, UINT64_C(1) << 50);
			complete_feed(c, "\n" TAIL, strlen("\n" TAIL));
			if (cut == 0)
				complete_feed(c, "\\unrestrict abc\n\n", strlen("\\unrestrict abc\n\n"));
			assert_int_equal(end(c).verdict, cut == 0 ? COMPLETE_OK : COMPLETE_BAD);
		}
}

/* An archive in pg_dump's custom format, as its versions write it. */
struct custom {
	uint8_t minor, int_size, format;
	bool placed;
	struct buf b;
};

static void put_int(struct custom *a, int64_t v)
{
	buf_put_u8(&a->b, v < 0);
	for (unsigned i = 0; i < a->int_size; i++)
		buf_put_u8(&a->b, (uint8_t)((uint64_t)(v < 0 ? -v : v) >> 8 * i));
}

static void put_str(struct custom *a, const char *s)
{
	put_int(a, s == NULL ? -1 : (int64_t)strlen(s));
	buf_put(&a->b, s, s == NULL ? 0 : strlen(s));
}

static void put_header(struct custom *a, int entries)
{
	const uint8_t head[] = {'P', 'G', 'D', 'M', 'P', 1, a->minor, 0, a->int_size, 8, a->format};

	buf_put(&a->b, head, sizeof(head));
	if (a->minor >= 15)
		buf_put_u8(&a->b, 1);
	else
		put_int(a, -1);
	for (int i = 0; i < 7; i++)
		put_int(a, 30 + i);
	put_str(a, "app");
	put_str(a, "15.1");
	put_str(a, "15.2");
	put_int(a, entries);
}

static void put_entry(struct custom *a, int id, bool data, uint64_t offset, const char *file)
{
	put_int(a, id);
	put_int(a, data);
	for (int i = 0; i < 4; i++)
		put_str(a, i % 2 == 0 ? "1259" : "");
	put_int(a, 3);
	for (int i = 0; i < 5; i++)
		put_str(a, i % 2 == 0 ? "CREATE something" : NULL);
	if (a->minor >= 14)
		put_str(a, "heap");
	if (a->minor >= 16)
		put_int(a, 'r');
	put_str(a, "postgres");
	put_str(a, "false");
	put_str(a, "17");
	put_str(a, "18");
	put_str(a, NULL);
	if (a->format != 1) {
		put_str(a, file);
		return;
	}
	buf_put_u8(&a->b, !data ? 3 : a->placed ? 2 : 1);
	buf_put_u64(&a->b, data && a->placed ? offset : 0);
}

static void put_block(struct custom *a, int id, size_t len)
{
	buf_put_u8(&a->b, 1);
	put_int(a, id);
	for (int i = 0; i < 2; i++) {
		put_int(a, (int64_t)len);
		for (size_t k = 0; k < len; k++)
			buf_put_u8(&a->b, (uint8_t)k);
	}
	put_int(a, 0);
}

/* Two tables and large objects. What is wrong with it: 0 nothing, 1 a block is missing, 2 has another's id, 3 is twice.
 */
static struct custom make_custom(uint8_t minor, uint8_t int_size, bool placed, int wrong)
{
	struct custom a = {.minor = minor, .int_size = int_size, .format = 1, .placed = placed};
	size_t at[3] = {0};

	for (int pass = 0; pass < 2; pass++) { /* the second time with the offsets that the first found */
		buf_clear(&a.b);
		put_header(&a, 4);
		put_entry(&a, 7, false, 0, NULL);
		put_entry(&a, 8, true, at[0], NULL);
		put_entry(&a, 9, true, at[1], NULL);
		put_entry(&a, 200, true, at[2], NULL);
		at[0] = a.b.len;
		put_block(&a, wrong == 2 ? 7 : 8, 300);
		at[1] = a.b.len;
		if (wrong != 1)
			put_block(&a, 9, 70000);
		if (wrong == 3)
			put_block(&a, 9, 10);
		at[2] = a.b.len;
		buf_put_u8(&a.b, 3);
		put_int(&a, 200);
		for (int i = 0; i < 2; i++) {
			put_int(&a, i == 0 ? 16401 : -5);
			put_int(&a, 3);
			buf_put(&a.b, "abc", 3);
			put_int(&a, 0);
		}
		put_int(&a, 0);
	}
	assert_false(buf_failed(&a.b));
	return a;
}

static void test_complete_pgcustom__all_versions_are_read(void **state)
{
	(void)state;
	for (uint8_t minor = 12; minor <= 16; minor++)
		for (int k = 0; k < 4; k++) {
			struct custom a = make_custom(minor, k % 2 == 0 ? 4 : 8, k / 2 == 0, 0);
			struct result r = judge_in("x", a.b.data, a.b.len, 1000);
			if (r.verdict != COMPLETE_OK)
				fail_msg("version 1.%u: %s", minor, r.reason);
			/* Cut points near the end of each part, and all of the first kilobytes. */
			for (size_t len = 5; len < a.b.len; len += len < 3000 || len + 100 > a.b.len ? 1 : 997)
				assert_int_equal(judge("x", a.b.data, len).verdict, COMPLETE_BAD);
			buf_put_u8(&a.b, 0);
			assert_int_equal(judge("x", a.b.data, a.b.len).verdict, COMPLETE_BAD);
			buf_release(&a.b);
		}
}

static void test_complete_pgcustom__unknown_versions_are_not_judged(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct custom a = make_custom(16, 4, true, 0);
		a.b.data[6] = i == 0 ? 17 : 11;
		struct result r = judge("x", a.b.data, a.b.len);
		assert_int_equal(r.verdict, COMPLETE_UNKNOWN);
		buf_release(&a.b);
	}
}

static void test_complete_pgcustom__blocks_are_those_of_the_contents(void **state)
{
	(void)state;
	for (int wrong = 1; wrong <= 3; wrong++)
		for (int placed = 0; placed < 2; placed++) {
			struct custom a = make_custom(14, 4, placed != 0, wrong);
			assert_int_equal(judge("x", a.b.data, a.b.len).verdict, COMPLETE_BAD);
			buf_release(&a.b);
		}
}

static void test_complete_pgcustom__a_moved_block_is_bad(void **state)
{
	struct custom a = {.minor = 14, .int_size = 4, .format = 1, .placed = true};

	(void)state;
	put_header(&a, 1);
	put_entry(&a, 1, true, 77, NULL);
	put_block(&a, 1, 10);
	struct result r = judge("x", a.b.data, a.b.len);
	assert_int_equal(r.verdict, COMPLETE_BAD);
	assert_non_null(strstr(r.reason, "does not lie where"));
	buf_release(&a.b);
}

/* The names in a folder, for complete_pgdir(). */
struct folder {
	const char *const *names;
	size_t count;
	const char *without, *emptied;
};

static bool find_in(void *ctx, const char *name, size_t name_len, uint64_t *ret_size)
{
	const struct folder *f = ctx;

	for (size_t i = 0; i < f->count; i++) {
		if (strlen(f->names[i]) != name_len || memcmp(f->names[i], name, name_len) != 0)
			continue;
		if (f->without != NULL && strcmp(f->without, f->names[i]) == 0)
			return false;
		*ret_size = f->emptied != NULL && strcmp(f->emptied, f->names[i]) == 0 ? 0 : 100;
		return true;
	}
	return false;
}

static const char *const fixture_names[] = {"3344.dat.gz", "3345.dat.gz", "blobs.toc", "toc.dat"};

static void test_complete_pgdir__a_real_folder_needs_each_of_its_files(void **state)
{
	struct folder f = {fixture_names, ARRAY_LEN(fixture_names), NULL, NULL};
	struct bytes toc = load("dir/toc.dat");
	char reason[COMPLETE_REASON_MAX];

	(void)state;
	assert_int_equal(complete_pgdir(toc.p, toc.len, find_in, &f, reason), COMPLETE_OK);
	assert_string_equal(reason, "");
	for (size_t i = 0; i < 3; i++) {
		f.without = fixture_names[i];
		assert_int_equal(complete_pgdir(toc.p, toc.len, find_in, &f, reason), COMPLETE_BAD);
		assert_non_null(strstr(reason, "lacks 1 of the 3"));
		f.without = NULL;
		f.emptied = fixture_names[i];
		assert_int_equal(complete_pgdir(toc.p, toc.len, find_in, &f, reason), COMPLETE_BAD);
		f.emptied = NULL;
	}
	for (size_t len = 0; len < toc.len; len++)
		if (len == 0 || len >= 5)
			assert_int_equal(complete_pgdir(toc.p, len, find_in, &f, reason), COMPLETE_BAD);
	toc.p = realloc(toc.p, toc.len + 1);
	assert_non_null(toc.p);
	toc.p[toc.len] = 0;
	assert_int_equal(complete_pgdir(toc.p, toc.len + 1, find_in, &f, reason), COMPLETE_BAD);
	assert_int_equal(complete_pgdir(NULL, 0, find_in, &f, reason), COMPLETE_BAD);
	assert_int_equal(complete_pgdir("something else", 14, find_in, &f, reason), COMPLETE_UNKNOWN);
	free(toc.p);
}

static void test_complete_pgdir__names_that_leave_the_folder_are_missing(void **state)
{
	static const char *const names[] = {"../1.dat"};
	struct folder f = {names, 1, NULL, NULL};
	struct custom a = {.minor = 16, .int_size = 4, .format = 5};
	char reason[COMPLETE_REASON_MAX];

	(void)state;
	put_header(&a, 1);
	put_entry(&a, 1, true, 0, "../1.dat");
	assert_int_equal(complete_pgdir(a.b.data, a.b.len, find_in, &f, reason), COMPLETE_BAD);
	buf_release(&a.b);
}

static void test_complete_pgdir__large_objects_must_exist(void **state)
{
	static const char *const names[] = {"blob_16401.dat.gz", "blob_16402.dat"};
	struct folder f = {names, 2, NULL, names[1]};
	struct bytes toc = load("dir/blobs.toc");
	char reason[COMPLETE_REASON_MAX];

	(void)state;
	assert_int_equal(complete_pgdir_blobs(toc.p, toc.len, find_in, &f, reason), COMPLETE_OK);
	assert_int_equal(complete_pgdir_blobs(toc.p, toc.len - 1, find_in, &f, reason), COMPLETE_BAD);
	assert_int_equal(complete_pgdir_blobs("", 0, find_in, &f, reason), COMPLETE_OK);
	f.without = names[0];
	assert_int_equal(complete_pgdir_blobs(toc.p, toc.len, find_in, &f, reason), COMPLETE_BAD);
	free(toc.p);
}

static void test_complete_pgdir__its_names_are_known(void **state)
{
	static const char *const yes[] = {"1.dat", "3012.dat.gz", "7.dat.lz4", "7.dat.zst", "blob_16401.dat",
		"blob_1.dat.gz", "blobs.toc", "blobs_12.toc"};
	static const char *const no[] = {"", ".dat", "a.dat", "toc.dat", "1.dat.bz2", "1.data", "blob_.dat",
		"blobs_.toc", "1.dat/2.dat", "1a.dat"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(yes); i++)
		assert_true(complete_pgdir_name(yes[i], strlen(yes[i])));
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(complete_pgdir_name(no[i], strlen(no[i])));
}

/* In two pieces, cut at each place. */
static enum complete_verdict member_of(const char *name, const void *data, size_t len, size_t cut, char reason[300])
{
	const char *kind, *why;
	struct complete *c;

	assert_int_equal(complete_new_member(name, strlen(name), true, &c, NULL), 0);
	complete_feed(c, data, cut);
	complete_feed(c, (const uint8_t *)data + cut, len - cut);
	enum complete_verdict v = complete_member(c, &kind, &why), other;
	snprintf(reason, 300, "%s", why);
	other = complete_finish(c, &kind, &why);
	assert_int_equal(other, COMPLETE_UNKNOWN); /* alone */
	complete_free(c);
	return v;
}

static void test_complete_member__data_of_a_table_ends_as_pg_dump_ends_it(void **state)
{
	static const struct {
		const char *name, *data;
		enum complete_verdict verdict;
	} cases[] = {
		{"1.dat", "1\tone\n2\ttwo\n\\.\n\n\n", COMPLETE_OK},
		{"1.dat", "\\.\n\n\n", COMPLETE_OK},   /* no rows */
		{"1.dat", "\n\\.\n\n\n", COMPLETE_OK}, /* a row without columns */
		{"1.dat", "1\tone\n2\ttwo\n\\.\n\n", COMPLETE_BAD},
		{"1.dat", "1\tone\n2\ttwo\n", COMPLETE_BAD},
		{"1.dat", "1\tone\n2\tt", COMPLETE_BAD},
		{"1.dat", "1\tone\n2\ttwo\\.\n\n\n", COMPLETE_BAD}, /* no line of its own */
		{"1.dat", "x\\.\n\n\n", COMPLETE_BAD},
		{"1.dat", "", COMPLETE_BAD},
		{"1.dat", "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n\n\n", COMPLETE_UNKNOWN},
		{"1.dat", "\n\n", COMPLETE_UNKNOWN}, /* INSERTs of a table without rows */
		{"1.dat.lz4", "1\tone\n", COMPLETE_UNKNOWN},
		{"blob_1.dat", "1\tone\n", COMPLETE_UNKNOWN},
		{"blobs.toc", "1 blob_1.dat\n", COMPLETE_UNKNOWN},
		{"1.dat.gz", "1\tone\n\\.\n\n\n", COMPLETE_BAD}, /* no gzip */
		{"blob_1.dat.gz", "", COMPLETE_BAD},
		{"1.dat.zst", "", COMPLETE_BAD},
		{"blob_1.dat.zst", "", COMPLETE_BAD},
	};
	char reason[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t cut = 0; cut <= strlen(cases[i].data); cut++) {
			enum complete_verdict v =
				member_of(cases[i].name, cases[i].data, strlen(cases[i].data), cut, reason);
			assert_int_equal(v, cases[i].verdict);
			assert_int_equal(v == COMPLETE_BAD, reason[0] != '\0');
		}
}

static void test_complete_member__a_packed_one_is_whole_outside_and_inside(void **state)
{
	struct bytes b = load("dir/3344.dat.gz");
	char reason[300];

	(void)state;
	assert_int_equal(member_of("3344.dat.gz", b.p, b.len, b.len / 2, reason), COMPLETE_OK);
	assert_int_equal(member_of("blob_3344.dat.gz", b.p, b.len, 0, reason), COMPLETE_OK);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(member_of("3344.dat.gz", b.p, len, len / 2, reason), COMPLETE_BAD);
	/* Cut before it was packed: that is nothing to a large object. */
	uint8_t out[200];
	uLongf out_len = sizeof(out);
	z_stream z = {.next_in = (z_const Bytef *)"1\tone\n2\tt", .avail_in = 10, .next_out = out, .avail_out = 200};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out_len = z.total_out;
	deflateEnd(&z);
	assert_int_equal(member_of("1.dat.gz", out, out_len, 0, reason), COMPLETE_BAD);
	assert_non_null(strstr(reason, "in the middle of its table's data"));
	assert_int_equal(member_of("blob_1.dat.gz", out, out_len, 0, reason), COMPLETE_OK);
	free(b.p);
}

static void test_complete_member__a_file_may_be_judged_as_any_other_beside_it(void **state)
{
	static const char dump[] = "--\n-- PostgreSQL database dump\n--\n\nx";
	const char *kind, *reason;
	struct complete *c;

	(void)state;
	assert_int_equal(complete_new_member("1.dat", 5, false, &c, NULL), 0);
	complete_feed(c, dump, sizeof(dump) - 1);
	complete_hole(c, UINT64_C(1) << 40);
	complete_feed(c, "\n\\.\n\n\n", 6);
	assert_true(complete_wants_more(c));
	assert_int_equal(complete_finish(c, &kind, &reason), COMPLETE_BAD);
	assert_string_equal(kind, "pg_dump");
	assert_int_equal(complete_member(c, &kind, &reason), COMPLETE_OK);
	assert_string_equal(kind, COMPLETE_KIND_TABLE);
	complete_free(c);
}

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
		cmocka_unit_test(test_complete__what_real_programs_wrote_is_ok),
		cmocka_unit_test(test_complete__every_cut_is_bad),
		cmocka_unit_test(test_complete__a_cut_dump_is_bad_whatever_its_name),
		cmocka_unit_test(test_complete__every_flip_in_gzip_and_zstd_is_bad),
		cmocka_unit_test(test_complete__every_flip_in_rdb_is_bad),
		cmocka_unit_test(test_complete__other_files_are_unknown_and_let_go_at_once),
		cmocka_unit_test(test_complete__an_empty_file_is_bad_when_its_name_promises_a_dump),
		cmocka_unit_test(test_complete__a_file_cut_within_what_its_name_promises_is_bad),
		cmocka_unit_test(test_complete__a_packed_file_holds_what_its_name_promises),
		cmocka_unit_test(test_complete_pgdump__closing_lines_decide),
		cmocka_unit_test(test_complete_pgdump__a_long_middle_changes_nothing),
		cmocka_unit_test(test_complete_pgcustom__all_versions_are_read),
		cmocka_unit_test(test_complete_pgcustom__unknown_versions_are_not_judged),
		cmocka_unit_test(test_complete_pgcustom__blocks_are_those_of_the_contents),
		cmocka_unit_test(test_complete_pgcustom__a_moved_block_is_bad),
		cmocka_unit_test(test_complete_pgdir__a_real_folder_needs_each_of_its_files),
		cmocka_unit_test(test_complete_pgdir__names_that_leave_the_folder_are_missing),
		cmocka_unit_test(test_complete_pgdir__large_objects_must_exist),
		cmocka_unit_test(test_complete_pgdir__its_names_are_known),
		cmocka_unit_test(test_complete_member__data_of_a_table_ends_as_pg_dump_ends_it),
		cmocka_unit_test(test_complete_member__a_packed_one_is_whole_outside_and_inside),
		cmocka_unit_test(test_complete_member__a_file_may_be_judged_as_any_other_beside_it),
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

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

#include "base/buf.h"
#include "base/checked.h"
#include "judging.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

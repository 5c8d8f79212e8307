/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "archive/exclude.h"
#include "base/checked.h"

static bool match(const char *a, const char *b, const char *path, bool is_dir)
{
	char *patterns[] = {(char *)a, (char *)b};
	struct exclude *e = NULL;

	assert_int_equal(exclude_new(patterns, b == NULL ? 1 : 2, &e, NULL), 0);
	bool out = exclude_match(e, path, NULL, is_dir);
	exclude_free(e);
	return out;
}

static void test_exclude_match__patterns_fit_as_in_gitignore(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool is_dir, want;
	} cases[] = {
		{"*.log", "a.log", false, true},
		{"*.log", "deep/down/a.log", false, true},
		{"*.log", "a.log.gz", false, false},
		{"/a.log", "a.log", false, true},
		{"/a.log", "deep/a.log", false, false},
		{"cache/", "x/cache", true, true},
		{"cache/", "x/cache", false, false},
		{"a/b", "a/b", false, true},
		{"a/b", "x/a/b", false, false},
		{"a/*", "a/b", false, true},
		{"a/*", "a/b/c", false, false},
		{"a/**", "a/b/c", false, true},
		{"**/c", "a/b/c", false, true},
		{"**/c", "c", false, true},
		{"a/**/c", "a/c", false, true},
		{"a/**/c", "a/x/y/c", false, true},
		{"?.txt", "a.txt", false, true},
		{"?.txt", "ab.txt", false, false},
		{"[a-c].txt", "b.txt", false, true},
		{"[!a-c].txt", "b.txt", false, false},
		{"[!a-c].txt", "d.txt", false, true},
		{"\\*.txt", "*.txt", false, true},
		{"\\*.txt", "a.txt", false, false},
		{"[", "[", false, true},
		{"# comment", "# comment", false, false},
		{"", "", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (match(cases[i].pattern, NULL, cases[i].path, cases[i].is_dir) != cases[i].want)
			fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].path);
}

static void test_exclude_match__the_last_pattern_that_fits_decides(void **state)
{
	(void)state;
	assert_false(match("*.log", "!keep.log", "keep.log", false));
	assert_true(match("*.log", "!keep.log", "other.log", false));
	assert_true(match("!keep.log", "*.log", "keep.log", false));
}

static void test_exclude_match__many_stars_end_in_bounded_time(void **state)
{
	(void)state;
	assert_false(match("*a*a*a*a*b", NULL, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false));
}

static void test_exclude_match__without_patterns_nothing_is_left_out(void **state)
{
	(void)state;
	assert_false(exclude_match(NULL, "anything", NULL, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exclude_match__patterns_fit_as_in_gitignore),
		cmocka_unit_test(test_exclude_match__the_last_pattern_that_fits_decides),
		cmocka_unit_test(test_exclude_match__many_stars_end_in_bounded_time),
		cmocka_unit_test(test_exclude_match__without_patterns_nothing_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

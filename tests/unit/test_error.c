/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void test_error_wrap__outermost_stands_first(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	assert_int_equal(error_set(&err, ERR_CORRUPT, "pack '%s' is damaged", "ab"), ERR_CORRUPT);
	assert_int_equal(error_wrap(&err, ERR_IO, "cannot restore '%s'", "db"), ERR_CORRUPT);
	assert_string_equal(error_text(&err), "cannot restore 'db': pack 'ab' is damaged");
}

static void test_error_wrap__empty_chain_takes_the_code(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	assert_int_equal(error_wrap(&err, ERR_BUSY, "cannot mount"), ERR_BUSY);
	assert_int_equal(err.code, ERR_BUSY);
	assert_string_equal(error_text(&err), "cannot mount");
}

static void test_error__null_returns_the_code(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, ERR_USAGE, "x"), ERR_USAGE);
	assert_int_equal(error_set_errno(NULL, ENOSPC, "x"), ERR_NO_SPACE);
	assert_int_equal(error_wrap(NULL, ERR_TIMEOUT, "x"), ERR_TIMEOUT);
	assert_int_equal(error_no_memory(NULL, "x"), ERR_NO_MEMORY);
	error_clear(NULL);
}

static void test_error_set_errno__chooses_the_code(void **state)
{
	(void)state;
	static const struct {
		int sys_errno;
		int code;
	} rows[] = {{ENOENT, ERR_NOT_FOUND}, {ENOSPC, ERR_NO_SPACE}, {EDQUOT, ERR_NO_SPACE}, {EACCES, ERR_DENIED},
		{EPERM, ERR_DENIED}, {EROFS, ERR_DENIED}, {EEXIST, ERR_EXISTS}, {ENOMEM, ERR_NO_MEMORY}, {EIO, ERR_IO},
		{ENOTDIR, ERR_IO}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err = ERROR_INIT;
		assert_int_equal(error_set_errno(&err, rows[i].sys_errno, "cannot open '%s'", "f"), rows[i].code);
		assert_int_equal(err.sys_errno, rows[i].sys_errno);
		assert_non_null(strstr(error_text(&err), "cannot open 'f': "));
	}
}

static void test_error__long_texts_are_cut_and_keep_the_cause(void **state)
{
	(void)state;
	char big[3000];
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	struct error err = ERROR_INIT;
	(void)error_set(&err, ERR_IO, "the cause");
	(void)error_wrap(&err, ERR_IO, "%s", big);
	assert_non_null(strstr(error_text(&err), ": the cause"));
	for (int i = 0; i < 5; i++)
		(void)error_wrap(&err, ERR_IO, "%s", big);
	assert_int_equal(strlen(error_text(&err)), ERROR_TEXT_MAX - 1);
	assert_int_equal(err.used, ERROR_TEXT_MAX - 1);
	(void)error_set_errno(&err, ENOENT, "%s", big);
	assert_non_null(strstr(error_text(&err), ": No such file"));
}

static void test_error_set__takes_its_own_text_as_argument(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	(void)error_set(&err, ERR_IO, "first");
	(void)error_set(&err, ERR_USAGE, "second after %s", error_text(&err));
	assert_string_equal(error_text(&err), "second after first");
	(void)error_wrap(&err, ERR_USAGE, "%s", error_text(&err));
	assert_string_equal(error_text(&err), "second after first: second after first");
}

static void test_error_clear__leaves_no_error(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	assert_string_equal(error_text(&err), "no error");
	(void)error_set_errno(&err, EIO, "x");
	error_clear(&err);
	assert_int_equal(err.code, ERR_OK);
	assert_int_equal(err.sys_errno, 0);
	assert_string_equal(error_text(&err), "no error");
}

static void test_error_code_name__every_code_has_its_own(void **state)
{
	(void)state;
	for (int a = ERR_BUG; a <= ERR_OK; a++) {
		assert_string_not_equal(error_code_name(a), "unknown");
		for (int b = ERR_BUG; b < a; b++)
			assert_string_not_equal(error_code_name(a), error_code_name(b));
	}
	assert_string_equal(error_code_name(ERR_NOT_FOUND), "not-found");
	assert_string_equal(error_code_name(ERR_PASSPHRASE), "passphrase");
	assert_string_equal(error_code_name(ERR_BUG), "bug");
	assert_string_equal(error_code_name(1), "unknown");
	assert_string_equal(error_code_name(-1000), "unknown");
}

static void test_error_is_retryable__only_what_may_come_back(void **state)
{
	(void)state;
	int count = 0;
	for (int code = ERR_BUG; code <= ERR_OK; code++)
		count += error_is_retryable(code) != 0;
	assert_int_equal(count, 3);
	assert_true(error_is_retryable(ERR_THROTTLED) && error_is_retryable(ERR_UNAVAILABLE));
	assert_true(error_is_retryable(ERR_TIMEOUT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_wrap__outermost_stands_first),
		cmocka_unit_test(test_error_wrap__empty_chain_takes_the_code),
		cmocka_unit_test(test_error__null_returns_the_code),
		cmocka_unit_test(test_error_set_errno__chooses_the_code),
		cmocka_unit_test(test_error__long_texts_are_cut_and_keep_the_cause),
		cmocka_unit_test(test_error_set__takes_its_own_text_as_argument),
		cmocka_unit_test(test_error_clear__leaves_no_error),
		cmocka_unit_test(test_error_code_name__every_code_has_its_own),
		cmocka_unit_test(test_error_is_retryable__only_what_may_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

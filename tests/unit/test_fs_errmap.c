/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "base/checked.h"
#include "base/error.h"
#include "fs/errmap.h"
#include "fs/spool/work.h"

/* The whole table, said once more by hand. */
static const struct {
	int code, number;
	bool fault;
} want[] = {
	{ERR_OK, 0, false},
	{ERR_NOT_FOUND, ENOENT, false},
	{ERR_EXISTS, EEXIST, false},
	{ERR_DENIED, EIO, true},
	{ERR_THROTTLED, EIO, true},
	{ERR_UNAVAILABLE, EIO, true},
	{ERR_CORRUPT, EIO, true},
	{ERR_TIMEOUT, EIO, true},
	{ERR_CANCELLED, EINTR, false},
	{ERR_IO, EIO, true},
	{ERR_NO_SPACE, ENOSPC, true},
	{ERR_NO_MEMORY, ENOMEM, true},
	{ERR_USAGE, EINVAL, false},
	{ERR_UNSUPPORTED, EOPNOTSUPP, true},
	{ERR_PASSPHRASE, EIO, true},
	{ERR_BUSY, EBUSY, false},
	{ERR_NO_REPO, EIO, true},
	{ERR_VOID, EIO, true},
	{ERR_BUG, EIO, true},
};

/* What POSIX tells apart and error.h does not; all are answers, no faults. */
static const struct {
	int code, number;
} of_work[] = {
	{WORK_EEXIST, EEXIST},
	{WORK_ENOTEMPTY, ENOTEMPTY},
	{WORK_ENOTDIR, ENOTDIR},
	{WORK_EISDIR, EISDIR},
	{WORK_EINVAL, EINVAL},
	{WORK_ENODATA, ENODATA},
	{WORK_EPERM, EPERM},
	{WORK_EMLINK, EMLINK},
	{WORK_EXDEV, EXDEV},
	{WORK_ENXIO, ENXIO},
	{WORK_EOPNOTSUPP, EOPNOTSUPP},
	{WORK_ERANGE, ERANGE},
	{WORK_E2BIG, E2BIG},
	{WORK_ENAMETOOLONG, ENAMETOOLONG},
};

static void test_errmap_errno__is_the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(errmap_errno(want[i].code), want[i].number);
		assert_int_equal(errmap_is_fault(want[i].code), want[i].fault);
	}
}

static void test_errmap_errno__a_working_copys_answers_are_posixs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(of_work); i++) {
		assert_int_equal(errmap_errno(of_work[i].code), of_work[i].number);
		assert_false(errmap_is_fault(of_work[i].code));
	}
}

static void test_errmap_errno__every_code_has_a_row(void **state)
{
	(void)state;
	/* Codes count down without a gap; the first that has no name is behind the last. */
	for (int code = 0; error_code_name(code) != error_code_name(-1000); code--)
		assert_in_range(-code, 0, ARRAY_LEN(want) - 1);
	assert_string_equal(error_code_name(-(int)ARRAY_LEN(want)), error_code_name(-1000));
}

static void test_errmap_errno__an_unknown_code_is_eio_and_told(void **state)
{
	(void)state;
	assert_int_equal(errmap_errno(-1000), EIO);
	assert_true(errmap_is_fault(-1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errmap_errno__is_the_table),
		cmocka_unit_test(test_errmap_errno__a_working_copys_answers_are_posixs),
		cmocka_unit_test(test_errmap_errno__every_code_has_a_row),
		cmocka_unit_test(test_errmap_errno__an_unknown_code_is_eio_and_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

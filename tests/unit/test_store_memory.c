/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_conformance.h"

static int open_memory(void *arg, struct store **ret_store, struct error *err)
{
	(void)arg;
	return store_memory_open(ret_store, err);
}

static void test_open__memory_stores_do_not_share(void **state)
{
	struct store *a = NULL;
	struct store *b = NULL;
	uint64_t size;

	(void)state;
	assert_int_equal(store_open("memory:", NULL, &a, NULL), 0);
	assert_int_equal(store_open("memory:", NULL, &b, NULL), 0);
	assert_int_equal(store_put_mem(a, NULL, "config", "x", 1, NULL, NULL), 0);
	assert_int_equal(store_stat(b, NULL, "config", &size, NULL), ERR_NOT_FOUND);
	assert_null(a->local_path);
	assert_int_equal(a->features, STORE_CREATE_ONLY | STORE_LIST_AFTER_PUT | STORE_LOCAL);
	store_close(a);
	store_close(b);
}

static void assert_open_fails(const char *url, int code, const char *word)
{
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	assert_int_equal(store_open(url, NULL, &s, &err), code);
	assert_null(s);
	if (!strstr(error_text(&err), word))
		fail_msg("'%s' does not say '%s'", error_text(&err), word);
}

static void test_open__what_cannot_be_opened_is_told(void **state)
{
	(void)state;
	assert_open_fails("", ERR_USAGE, "empty");
	assert_open_fails("gs://bucket", ERR_UNSUPPORTED, "gs:// stores are not built into this version yet");
	assert_open_fails("ftp://host/path", ERR_USAGE, "'ftp://' is no kind of store");
	assert_open_fails("file://host/path", ERR_USAGE, "another host");
	assert_open_fails("file:///a%2", ERR_USAGE, "hexadecimal");
	assert_open_fails("file:///a%zz", ERR_USAGE, "hexadecimal");
	assert_open_fails("file:///a%00b", ERR_USAGE, "hexadecimal");
	assert_open_fails("/nowhere/to/be/found", ERR_NO_REPO, "/nowhere/to/be/found");
	assert_open_fails("file:///nowhere/to%20be", ERR_NO_REPO, "'/nowhere/to be'");
}

static void test_close__null_is_a_no_op(void **state)
{
	(void)state;
	store_close(NULL);
}

int main(void)
{
	static const struct store_factory factory = {.label = "store memory conforms", .open = open_memory};
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open__memory_stores_do_not_share),
		cmocka_unit_test(test_open__what_cannot_be_opened_is_told),
		cmocka_unit_test(test_close__null_is_a_no_op),
	};

	(void)unsetenv("DRFS_FAULT");
	int failed = store_conformance_run(&factory);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}

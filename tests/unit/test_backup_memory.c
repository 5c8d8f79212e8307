/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"

/*
 * Allocations that fail while a backup runs: it must end with an error or
 * with a good snapshot, and never crash, hang or (under the sanitizer) leak.
 * The linker hands malloc() and its kin, as the archive's own code calls
 * them, to what stands here.
 */

static struct {
	bool armed;
	long left;  /* until the one that fails */
	long count; /* while armed */
} fault;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);

static bool fails(void)
{
	if (!__atomic_load_n(&fault.armed, __ATOMIC_RELAXED))
		return false;
	__atomic_add_fetch(&fault.count, 1, __ATOMIC_RELAXED);
	return __atomic_sub_fetch(&fault.left, 1, __ATOMIC_RELAXED) == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __real_reallocarray(p, n, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

static void make_tree(struct archive_fixture *f)
{
	static const size_t sizes[] = {0, 10, 5000, 300000, 5 << 20};
	char name[32];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *p = archive_fixture_bytes(sizes[i], (uint32_t)i);
		snprintf(name, sizeof(name), "%zu/%zu", i % 2, i);
		archive_fixture_write(f, name, p, sizes[i]);
		free(p);
	}
	char *a = archive_fixture_path(f, "1/1"), *b = archive_fixture_path(f, "link");
	char *c = archive_fixture_path(f, "symlink"), *d = archive_fixture_path(f, "sparse");
	assert_int_equal(link(a, b) | symlink("x", c), 0);
	archive_fixture_write(f, "sparse", "s", 1);
	assert_int_equal(truncate(d, 100000), 0);
	free(a);
	free(b);
	free(c);
	free(d);
}

/* One run in which the nth allocation fails. False: it had fewer. */
static bool run_with(struct archive_fixture *f, long n, struct backup_result *result, int *ret_r)
{
	struct error err = ERROR_INIT;

	fault.left = n;
	fault.count = 0;
	__atomic_store_n(&fault.armed, true, __ATOMIC_SEQ_CST);
	*ret_r = archive_fixture_try(f, result, &err);
	__atomic_store_n(&fault.armed, false, __ATOMIC_SEQ_CST);
	if (*ret_r < 0)
		assert_string_not_equal(error_text(&err), "no error");
	return fault.count >= n;
}

/* Dense at the start and end of a run, where things are set up and taken down; sparse between. */
static long next_of(long n, long total)
{
	return n < 200 || n + 250 > total ? n + 1 : n + 1 + n / 40;
}

static void test_memory__any_allocation_may_fail(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	int r = 0;

	make_tree(f);
	archive_fixture_backup(f, &result); /* so that there is one to compare with */
	snapshot_free(result.snapshot);
	assert_false(run_with(f, LONG_MAX, &result, &r));
	assert_int_equal(r, 0);
	uint64_t entries = result.snapshot->root.entries;
	snapshot_free(result.snapshot);
	long total = fault.count;
	assert_true(total > 200);
	for (long n = 1; n < total; n = next_of(n, total)) {
		(void)run_with(f, n, &result, &r);
		if (r < 0)
			continue;
		if (result.snapshot->state == SNAPSHOT_WHOLE)
			assert_int_equal(result.snapshot->root.entries, entries);
		snapshot_free(result.snapshot);
	}
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->root.entries, entries);
	snapshot_free(result.snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_memory__any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

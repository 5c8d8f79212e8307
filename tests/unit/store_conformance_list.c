/* SPDX-License-Identifier: MIT */

/* Conformance: listings, their order, prefixes and beginnings. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_conformance_parts.h"

static void assert_lists(struct store *s, const char *prefix, const char *after, const char *const *want)
{
	struct error err = ERROR_INIT;
	struct names got = {0};
	size_t i = 0;

	assert_ok(store_list(s, NULL, prefix, after, collect, &got, &err), &err);
	for (; want[i] && i < got.count; i++)
		assert_string_equal(got.list[i], want[i]);
	assert_int_equal(i, got.count);
	assert_null(want[i]);
	free(got.list);
}

#define ASSERT_LISTS(store, prefix, after, ...) \
	assert_lists(store, prefix, after, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_list__empty_store_lists_nothing(void **state)
{
	struct store *s = store_of(state);

	ASSERT_LISTS(s, "", "");
	ASSERT_LISTS(s, "packs/", "");
	ASSERT_LISTS(s, "packs/ab/c", "packs/ab/b");
}

static void test_list__order_is_bytewise_over_whole_names(void **state)
{
	struct store *s = store_of(state);

	put_order_traps(s);
	ASSERT_LISTS(s, "", "", "0", "a-b", "a.b", "a/b", "a/b-c/d", "a/b.c", "a/c-0", "a/c/0", "a0", "a1/x", "b");
}

static void test_list__prefix_need_not_end_at_a_slash(void **state)
{
	struct store *s = store_of(state);

	put_order_traps(s);
	ASSERT_LISTS(s, "a/b", "", "a/b", "a/b-c/d", "a/b.c");
	ASSERT_LISTS(s, "a/c", "", "a/c-0", "a/c/0");
	ASSERT_LISTS(s, "a/c/", "", "a/c/0");
	ASSERT_LISTS(s, "a/c/0", "", "a/c/0");
	ASSERT_LISTS(s, "a1", "", "a1/x");
	ASSERT_LISTS(s, "a/c/0/1", "");
	ASSERT_LISTS(s, "c", "");
	ASSERT_LISTS(s, "/", "");
	ASSERT_LISTS(s, "a//", "");
	ASSERT_LISTS(s, "../", "");
}

static void test_list__after_is_exclusive_and_need_not_exist(void **state)
{
	struct store *s = store_of(state);

	put_order_traps(s);
	ASSERT_LISTS(s, "", "a/c-0", "a/c/0", "a0", "a1/x", "b");
	ASSERT_LISTS(s, "", "a/b-zzz", "a/b.c", "a/c-0", "a/c/0", "a0", "a1/x", "b");
	ASSERT_LISTS(s, "", "a/", "a/b", "a/b-c/d", "a/b.c", "a/c-0", "a/c/0", "a0", "a1/x", "b");
	ASSERT_LISTS(s, "a/", "a-zzz", "a/b", "a/b-c/d", "a/b.c", "a/c-0", "a/c/0");
	ASSERT_LISTS(s, "a/", "a/c-0", "a/c/0");
	ASSERT_LISTS(s, "a/", "b");
	ASSERT_LISTS(s, "", "b");
	ASSERT_LISTS(s, "", "a1/x", "b");
}

static void test_list__caller_stops_it(void **state)
{
	struct store *s = store_of(state);
	struct names got = {.stop_after = 3};

	put_order_traps(s);
	assert_int_equal(store_list(s, NULL, "", "", collect, &got, NULL), 77);
	assert_int_equal(got.count, 3);
	free(got.list);
}

static int delete_each(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)size;
	return store_del(arg, NULL, name, err);
}

static void test_list__store_may_be_used_from_the_callback(void **state)
{
	struct store *s = store_of(state);
	struct error err = ERROR_INIT;

	put_order_traps(s);
	assert_ok(store_list(s, NULL, "a", "", delete_each, s, &err), &err);
	ASSERT_LISTS(s, "", "", "0", "b");
}

static void test_list__many_names_in_order_and_in_pages(void **state)
{
	struct store *s = store_of(state);
	unsigned many = ((struct fixture *)*state)->factory->many;
	struct names got = {0};
	char name[64];
	char after[STORE_NAME_MAX + 1] = "";
	size_t paged = 0;

	many = many ? many : 10000;
	for (unsigned i = 0; i < many; i++) {
		uint32_t x = i * 2654435761u; /* a different number each, in no order */

		(void)snprintf(name, sizeof(name), "packs/%02x/%08x", x >> 24, x);
		assert_int_equal(store_put_mem(s, NULL, name, name, i % 50, NULL, NULL), 0);
	}
	assert_int_equal(store_list(s, NULL, "", "", collect, &got, NULL), 0);
	assert_int_equal(got.count, many);
	for (size_t i = 1; i < got.count; i++)
		assert_true(strcmp(got.list[i - 1], got.list[i]) < 0);
	for (;;) {
		struct names page = {.stop_after = 1000};

		(void)store_list(s, NULL, "packs/", after, collect, &page, NULL);
		for (size_t i = 0; i < page.count; i++)
			assert_string_equal(page.list[i], got.list[paged + i]);
		paged += page.count;
		if (page.count > 0)
			memcpy(after, page.list[page.count - 1], sizeof(after));
		free(page.list);
		if (page.count == 0)
			break;
	}
	assert_int_equal(paged, many);
	free(got.list);
}

const struct CMUnitTest conformance_list_tests[] = {
	CONFORMS(test_list__empty_store_lists_nothing),
	CONFORMS(test_list__order_is_bytewise_over_whole_names),
	CONFORMS(test_list__prefix_need_not_end_at_a_slash),
	CONFORMS(test_list__after_is_exclusive_and_need_not_exist),
	CONFORMS(test_list__caller_stops_it),
	CONFORMS(test_list__store_may_be_used_from_the_callback),
	CONFORMS(test_list__many_names_in_order_and_in_pages),
	CONFORMS_END,
};

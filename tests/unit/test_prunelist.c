/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "archive/prunelist.h"
#include "archive/prunelist_codec.h"
#include "archive_made.h"

static int set_up(void **state)
{
	*state = made_repo();
	return 0;
}

static int tear_down(void **state)
{
	repo_close(*state);
	return 0;
}

static struct id pack(uint8_t n)
{
	struct id id = {{0}};
	memset(id.b, n, sizeof(id.b));
	return id;
}

static void put(struct repo *repo, uint64_t n, bool verdict, uint8_t first, uint8_t count)
{
	struct id packs[10], mark = pack(200);
	for (uint8_t i = 0; i < count; i++)
		packs[i] = pack((uint8_t)(first + count - 1 - i));
	assert_int_equal(prunelist_put(repo, n, verdict, packs, count, &mark, 1, NULL), 0);
}

static void expect(struct repo *repo, const char *banned, const char *dead)
{
	struct id *got = NULL, *gone = NULL;
	size_t got_count = 0, gone_count = 0;
	assert_int_equal(prunelist_read(repo, &got, &got_count, &gone, &gone_count, NULL), 0);
	assert_int_equal(got_count, strlen(banned));
	assert_int_equal(gone_count, strlen(dead));
	for (size_t i = 0; i < got_count; i++)
		assert_int_equal(got[i].b[0], banned[i]);
	for (size_t i = 0; i < gone_count; i++)
		assert_int_equal(gone[i].b[31], dead[i]);
	free(got);
	free(gone);
}

static void test_prunelist_read__nothing_where_nobody_pruned(void **state)
{
	expect(*state, "", "");
}

static void test_prunelist_read__a_verdict_takes_the_place_of_what_was_condemned(void **state)
{
	put(*state, 1, false, 1, 4);
	expect(*state, "\1\2\3\4", "");
	put(*state, 1, true, 2, 2);
	expect(*state, "\2\3", "\2\3");
	put(*state, 2, false, 7, 1);
	put(*state, 10, true, 3, 1);
	expect(*state, "\2\3\7", "\2\3");
	/* Without wanting to know which are dead. */
	struct id *got = NULL;
	size_t count = 0;
	assert_int_equal(prunelist_read(*state, &got, &count, NULL, NULL, NULL), 0);
	assert_int_equal(count, 3);
	free(got);
}

static void test_prunelist_put__a_number_is_taken_once(void **state)
{
	struct id p = pack(9);
	put(*state, 3, true, 1, 1);
	assert_int_equal(prunelist_put(*state, 3, true, &p, 1, NULL, 0, NULL), ERR_EXISTS);
	expect(*state, "\1", "\1");
}

static void test_prunelist_put__needs_the_right(void **state)
{
	struct repo *repo = *state;
	struct id p = pack(9);
	repo->own->rights = RIGHT_ALL & ~(unsigned)RIGHT_PRUNE;
	assert_int_equal(prunelist_put(repo, 3, true, &p, 1, NULL, 0, NULL), ERR_DENIED);
	repo->own->rights = RIGHT_ALL;
}

/* The pack may be gone: nobody refers to it, whoever says so. Deleting by such a list is another matter. */
static void test_prunelist_read__what_an_unknown_key_signed_is_avoided_all_the_same(void **state)
{
	struct repo *repo = *state;
	struct buf object = {0};
	struct prunelist list = {0};
	put(repo, 1, true, 5, 1);
	repo->own->rights = RIGHT_READ | RIGHT_WRITE;
	expect(repo, "\5", "\5");
	assert_int_equal(store_get_all(repo->store, NULL, "prune/1.verdict", 1 << 20, &object, NULL), 0);
	assert_int_equal(prunelist_open(repo, 1, true, object.data, object.len, &list, NULL), 0);
	assert_false(list.proven);
	prunelist_release(&list);
	repo->own->rights = RIGHT_ALL;
	assert_int_equal(prunelist_open(repo, 1, true, object.data, object.len, &list, NULL), 0);
	assert_true(list.proven);
	assert_int_equal(list.marks.count, 1);
	prunelist_release(&list);
	buf_release(&object);
}

static void test_prunelist_open__flipped_cut_or_renamed_is_refused(void **state)
{
	struct repo *repo = *state;
	struct buf object = {0};
	struct prunelist list = {0};
	put(repo, 1, true, 5, 2);
	assert_int_equal(store_get_all(repo->store, NULL, "prune/1.verdict", 1 << 20, &object, NULL), 0);
	for (size_t bit = 0; bit < 8 * object.len; bit++) {
		object.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(prunelist_open(repo, 1, true, object.data, object.len, &list, NULL), 0);
		object.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t len = 0; len < object.len; len++)
		assert_int_not_equal(prunelist_open(repo, 1, true, object.data, len, &list, NULL), 0);
	assert_int_equal(prunelist_open(repo, 2, true, object.data, object.len, &list, NULL), ERR_CORRUPT);
	assert_int_equal(prunelist_open(repo, 1, false, object.data, object.len, &list, NULL), ERR_CORRUPT);
	buf_release(&object);
}

static void test_prunelist_read__one_that_does_not_open_stops_the_reader(void **state)
{
	struct repo *repo = *state;
	struct id *got = NULL;
	size_t count = 0;
	put(repo, 1, true, 5, 2);
	made_damage(repo, "prune/1.verdict");
	assert_int_equal(prunelist_read(repo, &got, &count, NULL, NULL, NULL), ERR_CORRUPT);
}

static void test_prunelist_read__not_found_is_listed_again(void **state)
{
	struct repo *repo = *state;
	put(repo, 1, true, 5, 1);
	const struct fault_rule once = {
		.kind = FAULT_FAIL, .ops = FAULT_GET, .nth = 1, .prefix = "prune/", .code = ERR_NOT_FOUND};
	assert_int_equal(store_fault_add(repo->store, &once, NULL), 0);
	expect(repo, "\5", "\5");
	store_fault_clear(repo->store);
	const struct fault_rule always = {
		.kind = FAULT_FAIL, .ops = FAULT_GET, .prefix = "prune/", .code = ERR_NOT_FOUND};
	struct id *got = NULL;
	size_t count = 0;
	assert_int_equal(store_fault_add(repo->store, &always, NULL), 0);
	assert_int_equal(prunelist_read(repo, &got, &count, NULL, NULL, NULL), ERR_NOT_FOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_prunelist_read__nothing_where_nobody_pruned),
		TEST(test_prunelist_read__a_verdict_takes_the_place_of_what_was_condemned),
		TEST(test_prunelist_put__a_number_is_taken_once),
		TEST(test_prunelist_put__needs_the_right),
		TEST(test_prunelist_read__what_an_unknown_key_signed_is_avoided_all_the_same),
		TEST(test_prunelist_open__flipped_cut_or_renamed_is_refused),
		TEST(test_prunelist_read__one_that_does_not_open_stops_the_reader),
		TEST(test_prunelist_read__not_found_is_listed_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "fs/nodeid.h"

enum { NUMBER_MAX = NODEID_NUMBER_MAX, TAG_MAX = (1u << NODEID_TAG_BITS) - 1 };

/* Every kind, with its fields at both ends of their range. */
static const struct nodeid all[] = {
	{.kind = NODEID_ROOT},
	{.kind = NODEID_FACTS},
	{.kind = NODEID_STATUS},
	{.kind = NODEID_POINTS},
	{.kind = NODEID_DATASET, .tag = 1},
	{.kind = NODEID_DATASET, .tag = TAG_MAX},
	{.kind = NODEID_DATASET_AT, .tag = 1},
	{.kind = NODEID_DATASET_AT, .tag = TAG_MAX},
	{.kind = NODEID_LATEST, .number = 1},
	{.kind = NODEID_LATEST, .number = NUMBER_MAX},
	{.kind = NODEID_AT_LINK, .number = 1},
	{.kind = NODEID_AT_LINK, .number = NUMBER_MAX},
	{.kind = NODEID_POINT, .number = 1},
	{.kind = NODEID_POINT, .number = NUMBER_MAX},
	{.kind = NODEID_POINT_LINK, .number = 1},
	{.kind = NODEID_POINT_LINK, .number = NUMBER_MAX},
	{.kind = NODEID_ENDING_LINK, .number = 1, .rank = 1},
	{.kind = NODEID_ENDING_LINK, .number = 1, .rank = 8},
	{.kind = NODEID_ENDING_LINK, .number = NUMBER_MAX, .rank = UINT32_MAX},
	{.kind = NODEID_ENTRY, .number = 1, .rank = 0},
	{.kind = NODEID_ENTRY, .number = 1, .rank = 1},
	{.kind = NODEID_ENTRY, .number = NUMBER_MAX, .rank = UINT32_MAX},
	{.kind = NODEID_SPOOL},
	{.kind = NODEID_COMMIT, .number = 1},
	{.kind = NODEID_COMMIT, .number = NUMBER_MAX},
	{.kind = NODEID_WORK, .number = 1, .ino = 0},
	{.kind = NODEID_WORK, .number = 1, .ino = 1},
	{.kind = NODEID_WORK, .number = 1, .ino = UINT64_C(1) << 32},
	{.kind = NODEID_WORK, .number = NUMBER_MAX, .ino = UINT64_C(0x1ffffffff)},
};

static void test_nodeid_make__every_node_is_found_again_by_its_number(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct nodeid back;
		assert_true(nodeid_parse(nodeid_make(&all[i]), &back));
		assert_int_equal(back.kind, all[i].kind);
		assert_int_equal(back.number, all[i].number);
		assert_int_equal(back.rank, all[i].rank);
		assert_int_equal(back.tag, all[i].tag);
		assert_int_equal(back.ino, all[i].ino);
	}
}

static void test_nodeid_make__no_two_nodes_share_a_number(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t j = 0; j < i; j++)
			assert_true(nodeid_make(&all[i]) != nodeid_make(&all[j]));
}

static void test_nodeid_in_spool__is_the_folder_working_copies_and_their_commit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		bool spool = all[i].kind == NODEID_SPOOL || all[i].kind == NODEID_COMMIT || all[i].kind == NODEID_WORK;
		assert_int_equal(nodeid_in_spool(nodeid_make(&all[i])), spool);
	}
}

static void test_nodeid_make__the_root_is_what_fuse_calls_it(void **state)
{
	(void)state;
	assert_int_equal(nodeid_make(&(struct nodeid){.kind = NODEID_ROOT}), 1);
}

static void test_nodeid_make__a_link_depends_on_its_target(void **state)
{
	(void)state;
	struct nodeid one = {.kind = NODEID_LATEST, .number = 7}, other = {.kind = NODEID_LATEST, .number = 8};
	assert_true(nodeid_make(&one) != nodeid_make(&other));
	one.kind = other.kind = NODEID_ENDING_LINK;
	other.number = 7;
	one.rank = 1;
	other.rank = 2;
	assert_true(nodeid_make(&one) != nodeid_make(&other));
}

static void test_nodeid_inode__links_of_one_file_share_it_and_nothing_else_has_it(void **state)
{
	(void)state;
	struct nodeid node;
	assert_int_equal(nodeid_inode(5, 10, 3), nodeid_inode(5, 99, 3));
	assert_true(nodeid_inode(5, 10, 3) != nodeid_inode(5, 10, 4));
	assert_true(nodeid_inode(5, 10, 3) != nodeid_inode(6, 10, 3));
	assert_int_equal(nodeid_inode(5, 10, 0), nodeid_entry(5, 10));
	/* A group's number is never taken for a rank's. */
	assert_true(nodeid_inode(5, 10, 3) != nodeid_entry(5, 3));
	assert_false(nodeid_parse(nodeid_inode(5, 10, 3), &node));
}

static void test_nodeid_parse__what_was_never_given_out_is_refused(void **state)
{
	(void)state;
	static const uint64_t bad[] = {0, 5, 11, 12, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(1) << 32 | 1,
		UINT64_C(1) << 33, UINT64_C(1) << 33 | 1, UINT64_C(1) << 33 | 11, UINT64_C(3) << 32, UINT64_C(1) << 62,
		UINT64_C(1) << 62 | 7, UINT64_C(2) << 62, UINT64_C(3) << 62 | 1, UINT64_MAX};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct nodeid node = {.rank = 77};
		if (nodeid_parse(bad[i], &node))
			fail_msg("%#llx was taken", (unsigned long long)bad[i]);
		assert_int_equal(node.rank, 77);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodeid_make__every_node_is_found_again_by_its_number),
		cmocka_unit_test(test_nodeid_make__no_two_nodes_share_a_number),
		cmocka_unit_test(test_nodeid_in_spool__is_the_folder_working_copies_and_their_commit),
		cmocka_unit_test(test_nodeid_make__the_root_is_what_fuse_calls_it),
		cmocka_unit_test(test_nodeid_make__a_link_depends_on_its_target),
		cmocka_unit_test(test_nodeid_inode__links_of_one_file_share_it_and_nothing_else_has_it),
		cmocka_unit_test(test_nodeid_parse__what_was_never_given_out_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

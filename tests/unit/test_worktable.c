/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/nodeid.h"
#include "fs/worktable.h"

/* The table never looks into a working copy: any pointer stands for one. */
static struct work *fake(uintptr_t n)
{
	return (struct work *)n;
}

static uint32_t enter(struct worktable *t, const char *dataset, uintptr_t n, uint32_t wanted)
{
	struct error err = ERROR_INIT;
	uint32_t number = 0;
	assert_int_equal(worktable_enter(t, dataset, fake(n), wanted, &number, &err), 0);
	return number;
}

static int make(void **state)
{
	*state = worktable_new();
	return *state != NULL ? 0 : -1;
}

static int drop(void **state)
{
	worktable_free(*state);
	return 0;
}

static void test_worktable_enter__takes_the_base_snapshots_number_where_it_is_free(void **state)
{
	struct worktable *t = *state;
	assert_int_equal(enter(t, "db", 1, 4711), 4711);
	assert_int_equal(worktable_number(t, "db"), 4711);
	assert_ptr_equal(worktable_find(t, 4711), fake(1));
	uint32_t other = enter(t, "files", 2, 4711);
	assert_int_not_equal(other, 4711);
	assert_ptr_equal(worktable_find(t, other), fake(2));
}

static void test_worktable_enter__gives_a_new_dataset_some_number(void **state)
{
	uint32_t number = enter(*state, "new", 1, 0);
	assert_true(number >= 1 && number <= NODEID_NUMBER_MAX);
	assert_int_equal(enter(*state, "beyond", 2, UINT32_MAX) <= NODEID_NUMBER_MAX, 1);
}

static void test_worktable_enter__keeps_what_is_there(void **state)
{
	assert_int_equal(enter(*state, "db", 1, 7), 7);
	assert_int_equal(enter(*state, "db", 1, 8), 7);
}

static void test_worktable_moved__makes_the_old_number_stale_for_good(void **state)
{
	struct worktable *t = *state;
	assert_int_equal(enter(t, "db", 1, 7), 7);
	worktable_moved(t, "db", 9);
	assert_int_equal(worktable_number(t, "db"), 9);
	assert_null(worktable_find(t, 7));
	assert_ptr_equal(worktable_find(t, 9), fake(1));
	worktable_moved(t, "db", 7);
	assert_int_not_equal(worktable_number(t, "db"), 7);
	assert_null(worktable_find(t, 7));
	for (int i = 0; i < 1000; i++)
		worktable_moved(t, "db", 0);
	assert_null(worktable_find(t, 7));
	assert_null(worktable_find(t, 9));
	worktable_moved(t, "unknown", 5);
}

static void test_worktable_moving__waits_for_requests_and_keeps_new_ones_out(void **state)
{
	struct worktable *t = *state;
	enter(t, "db", 1, 5);
	assert_true(worktable_moving(t, "unknown", 0));
	assert_ptr_equal(worktable_find(t, 5), fake(1));
	assert_false(worktable_moving(t, "db", 1000000));
	/* It was given up, so another request gets in. */
	assert_ptr_equal(worktable_find(t, 5), fake(1));
	worktable_release(t, 5);
	worktable_release(t, 5);
	assert_true(worktable_moving(t, "db", 0));
	worktable_stayed(t, "db");
	assert_ptr_equal(worktable_find(t, 5), fake(1));
	worktable_release(t, 5);
	assert_true(worktable_moving(t, "db", 0));
	worktable_moved(t, "db", 6);
	assert_null(worktable_find(t, 5));
	assert_ptr_equal(worktable_find(t, 6), fake(1));
}

struct late {
	struct worktable *table;
	struct work *found;
};

static void *find_late(void *arg)
{
	struct late *late = arg;
	late->found = worktable_find(late->table, 5);
	return NULL;
}

static void test_worktable_find__waits_out_a_move_and_finds_nothing_by_the_old_number(void **state)
{
	struct worktable *t = *state;
	struct late late = {.table = t, .found = fake(99)};
	pthread_t thread;

	enter(t, "db", 1, 5);
	assert_true(worktable_moving(t, "db", 0));
	assert_int_equal(pthread_create(&thread, NULL, find_late, &late), 0);
	worktable_moved(t, "db", 6);
	pthread_join(thread, NULL);
	assert_null(late.found);
}

static void test_worktable_drop__ends_a_number(void **state)
{
	struct worktable *t = *state;
	enter(t, "a", 1, 5);
	enter(t, "b", 2, 6);
	worktable_drop(t, "a");
	assert_null(worktable_find(t, 5));
	assert_int_equal(worktable_number(t, "a"), 0);
	assert_ptr_equal(worktable_find(t, 6), fake(2));
	assert_int_not_equal(enter(t, "a", 3, 5), 5);
	worktable_drop(t, "unknown");
}

static void assert_result(struct worktable *t, uint32_t number, const char *want)
{
	struct error err = ERROR_INIT;
	struct buf text = {0};
	assert_int_equal(worktable_result(t, number, &text, &err), 0);
	buf_put_u8(&text, 0);
	assert_string_equal((const char *)text.data, want);
	buf_release(&text);
}

static void test_worktable_result__is_how_the_last_commit_ended(void **state)
{
	static const char told[] = "{\"snapshot\":\"14:30\",\"state\":\"partial\",\"reason\":\"torn\",\"error\":null}";
	struct worktable *t = *state;
	struct error err = ERROR_INIT;
	struct buf text = {0};
	uint32_t number = enter(t, "db", 1, 5);

	assert_result(t, number, "{\"snapshot\":null,\"state\":null,\"reason\":null,\"error\":null}");
	worktable_set_result(t, number, &(struct worktable_result){.error = "the store says \"no\""});
	assert_result(t, number,
		"{\"snapshot\":null,\"state\":null,\"reason\":null,\"error\":\"the store says \\\"no\\\"\"}");
	worktable_set_result(
		t, number, &(struct worktable_result){.name = "14:30", .state = "partial", .reason = "torn"});
	assert_result(t, number, told);
	worktable_moved(t, "db", 6);
	assert_result(t, 6, told);
	worktable_set_result(t, number, &(struct worktable_result){.name = "late"});
	assert_int_equal(worktable_result(t, number, &text, &err), ERR_NOT_FOUND);
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_worktable_enter__takes_the_base_snapshots_number_where_it_is_free, make, drop),
		cmocka_unit_test_setup_teardown(test_worktable_enter__gives_a_new_dataset_some_number, make, drop),
		cmocka_unit_test_setup_teardown(test_worktable_enter__keeps_what_is_there, make, drop),
		cmocka_unit_test_setup_teardown(test_worktable_moved__makes_the_old_number_stale_for_good, make, drop),
		cmocka_unit_test_setup_teardown(
			test_worktable_moving__waits_for_requests_and_keeps_new_ones_out, make, drop),
		cmocka_unit_test_setup_teardown(
			test_worktable_find__waits_out_a_move_and_finds_nothing_by_the_old_number, make, drop),
		cmocka_unit_test_setup_teardown(test_worktable_drop__ends_a_number, make, drop),
		cmocka_unit_test_setup_teardown(test_worktable_result__is_how_the_last_commit_ended, make, drop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "fs/ahead.h"

static const int64_t millisecond = CLOCK_SECOND / 1000;

/* Finds `count` names of a folder, one a millisecond; the last budget that was given. */
static unsigned find(struct ahead_rule *r, uint64_t folder, unsigned count, int64_t *now)
{
	unsigned budget = 0;
	for (unsigned i = 0; i < count; i++) {
		unsigned given = ahead_judge(r, folder, *now += millisecond);
		budget = given > 0 ? given : budget;
	}
	return budget;
}

static void test_ahead__names_of_one_folder_found_in_a_row_have_it_listed_once(void **state)
{
	(void)state;
	struct ahead_rule r = {0};
	int64_t now = CLOCK_SECOND;
	unsigned given = 0;
	for (unsigned i = 0; i < 10; i++)
		given += ahead_judge(&r, 7, now += millisecond) > 0;
	assert_int_equal(given, 1);
}

static void test_ahead__a_name_here_and_there_has_nothing_listed(void **state)
{
	(void)state;
	struct ahead_rule r = {0};
	int64_t now = CLOCK_SECOND;
	for (uint64_t folder = 1; folder < 1000; folder++)
		assert_int_equal(find(&r, folder, 3, &now), 0);
}

static void test_ahead__callers_who_ask_by_turns_are_both_seen(void **state)
{
	(void)state;
	struct ahead_rule r = {0};
	int64_t now = CLOCK_SECOND;
	unsigned one = 0, two = 0;
	for (unsigned i = 0; i < 12; i++) {
		one += ahead_judge(&r, 1, now += millisecond) > 0;
		two += ahead_judge(&r, 2, now += millisecond) > 0;
	}
	assert_int_equal(one, 1);
	assert_int_equal(two, 1);
}

static void test_ahead__a_caller_who_takes_his_time_has_nothing_listed(void **state)
{
	(void)state;
	struct ahead_rule r = {0};
	int64_t now = CLOCK_SECOND;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(ahead_judge(&r, 7, now += 2 * CLOCK_SECOND), 0);
}

static void test_ahead__it_goes_further_while_callers_keep_asking_up_to_a_bound(void **state)
{
	(void)state;
	struct ahead_rule r = {0};
	int64_t now = CLOCK_SECOND;
	unsigned first = find(&r, 1, 10, &now), second = find(&r, 2, 10, &now);
	assert_true(first > 0 && second > first);
	unsigned last = second;
	for (uint64_t folder = 3; folder < 100; folder++)
		last = find(&r, folder, 10, &now);
	assert_int_equal(last, find(&r, 100, 10, &now));
	assert_in_range(last, second, 1 << 20);
	now += 60 * CLOCK_SECOND;
	assert_int_equal(find(&r, 101, 10, &now), first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ahead__names_of_one_folder_found_in_a_row_have_it_listed_once),
		cmocka_unit_test(test_ahead__a_name_here_and_there_has_nothing_listed),
		cmocka_unit_test(test_ahead__callers_who_ask_by_turns_are_both_seen),
		cmocka_unit_test(test_ahead__a_caller_who_takes_his_time_has_nothing_listed),
		cmocka_unit_test(test_ahead__it_goes_further_while_callers_keep_asking_up_to_a_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

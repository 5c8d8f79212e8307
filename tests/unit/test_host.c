/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/host.h"

static int set_up(void **state)
{
	(void)state;
	return host_init(NULL);
}

static void test_host_init__turns_core_files_off_and_may_run_again(void **state)
{
	(void)state;
	struct rlimit limit;
	assert_int_equal(host_init(NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
	assert_int_equal(limit.rlim_cur, 0);
}

static void test_host_random__draws_differ(void **state)
{
	(void)state;
	uint8_t a[32] = {0};
	uint8_t b[32] = {0};
	host_random(a, sizeof(a));
	host_random(b, sizeof(b));
	assert_false(host_equal(a, b, sizeof(a)));
}

static void test_host_equal__sees_the_last_byte(void **state)
{
	(void)state;
	assert_int_equal(host_equal("abcd", "abcd", 4), 1);
	assert_int_equal(host_equal("abcd", "abce", 4), 0);
	assert_int_equal(host_equal("abcd", "abce", 3), 1);
	assert_int_equal(host_equal("a", "b", 0), 1);
}

static void test_host_secret__is_writable_to_its_end(void **state)
{
	(void)state;
	uint8_t *p = host_secret_alloc(33);
	assert_non_null(p);
	memset(p, 7, 33);
	host_wipe(p, 33);
	for (size_t i = 0; i < 33; i++)
		assert_int_equal(p[i], 0);
	host_secret_free(p);
	host_secret_free(NULL);
	host_wipe(NULL, 0);
}

static void test_host_name__is_not_empty(void **state)
{
	(void)state;
	char *name = host_name();
	assert_true(name[0] != 0);
	free(name);
	host_trim();
}

static void test_owners__names_and_numbers_meet(void **state)
{
	(void)state;
	struct owners *owners = owners_new();
	uid_t uid = 77;
	gid_t gid = 77;
	assert_string_equal(owners_user_name(owners, 0), "root");
	assert_string_equal(owners_group_name(owners, 0), "root");
	assert_int_equal(owners_find_user(owners, "root", &uid), 0);
	assert_int_equal(owners_find_group(owners, "root", &gid), 0);
	assert_int_equal(uid, 0);
	assert_int_equal(gid, 0);
	assert_int_equal(owners_find_user(owners, "daemon", &uid), 0);
	assert_string_equal(owners_user_name(owners, uid), "daemon");
	owners_free(owners);
	owners_free(NULL);
}

static void test_owners__unknown_ones_have_no_name(void **state)
{
	(void)state;
	struct owners *owners = owners_new();
	uid_t uid = 77;
	for (int again = 0; again < 2; again++) {
		assert_string_equal(owners_user_name(owners, 3999999999u), "");
		assert_string_equal(owners_group_name(owners, 3999999999u), "");
		assert_int_equal(owners_find_user(owners, "no-such-user-here", &uid), ERR_NOT_FOUND);
		assert_int_equal(owners_find_user(owners, "", &uid), ERR_NOT_FOUND);
	}
	assert_int_equal(uid, 77);
	owners_free(owners);
}

static void *look_up_many(void *arg)
{
	struct owners *owners = arg;
	size_t wrong = 0;
	for (uid_t uid = 0; uid < 300; uid++) {
		const char *name = owners_user_name(owners, uid);
		wrong += name != owners_user_name(owners, uid);
	}
	return (void *)wrong;
}

static void test_owners__threads_get_one_and_the_same_name(void **state)
{
	(void)state;
	struct owners *owners = owners_new();
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up_many, owners), 0);
	for (size_t i = 0; i < 4; i++) {
		void *wrong;
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	owners_free(owners);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_init__turns_core_files_off_and_may_run_again),
		cmocka_unit_test(test_host_random__draws_differ),
		cmocka_unit_test(test_host_equal__sees_the_last_byte),
		cmocka_unit_test(test_host_secret__is_writable_to_its_end),
		cmocka_unit_test(test_host_name__is_not_empty),
		cmocka_unit_test(test_owners__names_and_numbers_meet),
		cmocka_unit_test(test_owners__unknown_ones_have_no_name),
		cmocka_unit_test(test_owners__threads_get_one_and_the_same_name),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}

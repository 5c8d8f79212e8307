/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/fault.h"
#include "base/clock.h"
#include "tests/unit/store_conformance.h"

static int open_layer(void *arg, struct store **ret_store, struct error *err)
{
	struct store *below;

	(void)arg;
	int rc = store_memory_open(&below, err);
	if (rc < 0)
		return rc;
	rc = store_fault_open(below, ret_store, err);
	if (rc < 0)
		store_close(below);
	return rc;
}

static int set_up(void **state)
{
	return open_layer(NULL, (struct store **)state, NULL);
}

static int tear_down(void **state)
{
	store_close(*state);
	return 0;
}

static void add_rule(struct store *s, struct fault_rule rule)
{
	assert_int_equal(store_fault_add(s, &rule, NULL), 0);
}

static int put(struct store *s, const char *name, const char *text)
{
	return store_put_mem(s, NULL, name, text, strlen(text), NULL, NULL);
}

static bool has(struct store *s, const char *name)
{
	uint64_t size;

	return store_stat(s, NULL, name, &size, NULL) == 0;
}

static void assert_reads(struct store *s, const char *name, const char *text)
{
	char got[100];
	size_t n = 0;

	assert_int_equal(store_get(s, NULL, name, 0, sizeof(got), got, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static unsigned bits_apart(const void *a, const void *b, size_t len)
{
	unsigned count = 0;

	for (size_t i = 0; i < len; i++)
		count += (unsigned)__builtin_popcount((unsigned)(((const uint8_t *)a)[i] ^ ((const uint8_t *)b)[i]));
	return count;
}

/* ---- rules ---- */

static void test_fail__nth_call_and_its_followers_do_nothing(void **state)
{
	struct store *s = *state;
	struct error err = ERROR_INIT;

	add_rule(s,
		(struct fault_rule){.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = 2, .count = 2, .code = ERR_NO_SPACE});
	assert_int_equal(put(s, "a", "1"), 0);
	assert_int_equal(store_put_mem(s, NULL, "b", "2", 1, NULL, &err), ERR_NO_SPACE);
	assert_non_null(strstr(error_text(&err), "'b'"));
	assert_int_equal(put(s, "c", "3"), ERR_NO_SPACE);
	assert_int_equal(put(s, "d", "4"), 0);
	assert_true(has(s, "a") && !has(s, "b") && !has(s, "c") && has(s, "d"));
}

static void test_fail__counts_from_when_the_rule_was_added(void **state)
{
	struct store *s = *state;

	assert_int_equal(put(s, "a", "1"), 0);
	assert_int_equal(put(s, "b", "1"), 0);
	add_rule(s, (struct fault_rule){.kind = FAULT_FAIL, .ops = FAULT_ALL, .nth = 2});
	assert_true(has(s, "a"));
	assert_int_equal(put(s, "c", "1"), ERR_UNAVAILABLE);
	assert_int_equal(put(s, "c", "1"), 0);
}

static void test_fail__nth_zero_is_every_call_until_cleared(void **state)
{
	struct store *s = *state;

	add_rule(s, (struct fault_rule){.kind = FAULT_FAIL, .ops = FAULT_ALL});
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(put(s, "a", "1"), ERR_UNAVAILABLE);
	assert_int_equal(store_del(s, NULL, "a", NULL), ERR_UNAVAILABLE);
	store_fault_clear(s);
	assert_int_equal(put(s, "a", "1"), 0);
}

static void test_fail__prefix_chooses_and_counts_only_its_own(void **state)
{
	struct store *s = *state;

	add_rule(s, (struct fault_rule){.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = 2, .prefix = "snapshots/"});
	assert_int_equal(put(s, "packs/1", "x"), 0);
	assert_int_equal(put(s, "snapshots/1", "x"), 0);
	assert_int_equal(put(s, "packs/2", "x"), 0);
	assert_int_equal(put(s, "snapshots/2", "x"), ERR_UNAVAILABLE);
}

static void test_delay__call_takes_at_least_so_long_and_ends_at_its_deadline(void **state)
{
	struct store *s = *state;

	assert_int_equal(put(s, "a", "1"), 0);
	add_rule(s, (struct fault_rule){.kind = FAULT_DELAY, .ops = FAULT_STAT, .nth = 1, .delay_ms = 30});
	int64_t start = clock_monotonic();
	assert_true(has(s, "a"));
	assert_true(clock_monotonic() - start >= 30 * (CLOCK_SECOND / 1000));
	store_fault_clear(s);
	add_rule(s, (struct fault_rule){.kind = FAULT_DELAY, .ops = FAULT_STAT, .delay_ms = 600 * 1000});
	struct store_call call = {.deadline = clock_monotonic() + 20 * (CLOCK_SECOND / 1000)};
	uint64_t size;
	assert_int_equal(store_stat(s, &call, "a", &size, NULL), ERR_TIMEOUT);
}

static void test_truncate__get_gives_half(void **state)
{
	struct store *s = *state;
	char got[10];
	size_t n = 0;

	assert_int_equal(put(s, "a", "0123456789"), 0);
	add_rule(s, (struct fault_rule){.kind = FAULT_TRUNCATE, .ops = FAULT_GET, .nth = 1});
	assert_int_equal(store_get(s, NULL, "a", 0, 10, got, &n, NULL), 0);
	assert_int_equal(n, 5);
	assert_reads(s, "a", "0123456789");
}

static void test_truncate__put_stores_half_and_fails(void **state)
{
	struct store *s = *state;
	struct store *cut = NULL;

	add_rule(s, (struct fault_rule){.kind = FAULT_TRUNCATE, .ops = FAULT_PUT, .nth = 1});
	assert_int_equal(put(s, "a", "0123456789"), ERR_UNAVAILABLE);
	assert_reads(s, "a", "01234");
	assert_int_equal(store_fault_history(s), 1);
	assert_int_equal(store_fault_cut(s, 1, &cut, NULL), 0);
	assert_reads(cut, "a", "01234");
	store_close(cut);
}

static void test_corrupt__get_differs_in_one_bit(void **state)
{
	static const char text[] = "forty-two bytes of text, or nearly as many";
	struct store *s = *state;
	char got[sizeof(text)];
	size_t n = 0;

	assert_int_equal(put(s, "a", text), 0);
	add_rule(s, (struct fault_rule){.kind = FAULT_CORRUPT, .ops = FAULT_GET, .nth = 1});
	assert_int_equal(store_get(s, NULL, "a", 0, sizeof(got), got, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_int_equal(bits_apart(got, text, n), 1);
	assert_reads(s, "a", text);
}

static void test_corrupt__put_stores_one_bit_wrong(void **state)
{
	static const char text[] = "forty-two bytes of text, or nearly as many";
	struct store *s = *state;
	char got[sizeof(text)];
	size_t n = 0;

	add_rule(s, (struct fault_rule){.kind = FAULT_CORRUPT, .ops = FAULT_PUT, .nth = 1});
	assert_int_equal(put(s, "a", text), 0);
	assert_int_equal(store_get(s, NULL, "a", 0, sizeof(got), got, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_int_equal(bits_apart(got, text, n), 1);
}

static void test_lose_reply__call_works_and_times_out(void **state)
{
	struct store *s = *state;

	add_rule(s, (struct fault_rule){.kind = FAULT_LOSE_REPLY, .ops = FAULT_PUT | FAULT_DEL});
	assert_int_equal(put(s, "a", "1"), ERR_TIMEOUT);
	store_fault_clear(s);
	assert_reads(s, "a", "1");
	assert_int_equal(put(s, "a", "1"), 0); /* the repeated put meets itself */
	assert_int_equal(store_fault_history(s), 1);
	add_rule(s, (struct fault_rule){.kind = FAULT_LOSE_REPLY, .ops = FAULT_DEL, .nth = 1});
	assert_int_equal(store_del(s, NULL, "a", NULL), ERR_TIMEOUT);
	assert_false(has(s, "a"));
}

static int ignore_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)arg;
	(void)name;
	(void)size;
	(void)err;
	return 0;
}

static void test_calls__are_counted_by_kind(void **state)
{
	struct store *s = *state;

	assert_int_equal(put(s, "a", "1"), 0);
	assert_int_equal(put(s, "a", "2"), ERR_EXISTS);
	assert_true(has(s, "a"));
	assert_reads(s, "a", "1");
	assert_int_equal(store_list(s, NULL, "", "", ignore_name, NULL, NULL), 0);
	assert_int_equal(store_del(s, NULL, "a", NULL), 0);
	assert_int_equal(store_fault_calls(s, FAULT_PUT), 2);
	assert_int_equal(store_fault_calls(s, FAULT_STAT), 1);
	assert_int_equal(store_fault_calls(s, FAULT_GET | FAULT_DEL), 2);
	assert_int_equal(store_fault_calls(s, FAULT_LIST), 1);
	assert_int_equal(store_fault_calls(s, FAULT_ALL), 6);
}

/* ---- history ---- */

struct shown {
	char text[400];
};

static int show(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct shown *shown = arg;
	size_t used = strlen(shown->text);

	(void)err;
	(void)snprintf(shown->text + used, sizeof(shown->text) - used, "%s:%u ", name, (unsigned)size);
	return 0;
}

static void assert_cut(struct store *s, size_t n, const char *want)
{
	struct shown shown = {""};
	struct store *cut = NULL;

	assert_int_equal(store_fault_cut(s, n, &cut, NULL), 0);
	assert_int_equal(store_list(cut, NULL, "", "", show, &shown, NULL), 0);
	assert_string_equal(shown.text, want);
	store_close(cut);
}

static void test_cut__holds_what_was_durable_after_n(void **state)
{
	struct store *s = *state;

	assert_int_equal(put(s, "b", "22"), 0);
	assert_int_equal(put(s, "b", "2"), ERR_EXISTS);
	assert_int_equal(put(s, "b", "22"), 0);
	assert_int_equal(put(s, "a", ""), 0);
	assert_int_equal(store_del(s, NULL, "none", NULL), 0);
	assert_int_equal(store_del(s, NULL, "b", NULL), 0);
	assert_int_equal(put(s, "b", "other"), 0);
	assert_int_equal(store_fault_history(s), 4);
	assert_cut(s, 0, "");
	assert_cut(s, 1, "b:2 ");
	assert_cut(s, 2, "a:0 b:2 ");
	assert_cut(s, 3, "a:0 ");
	assert_cut(s, 4, "a:0 b:5 ");
	struct store *cut;
	assert_int_equal(store_fault_cut(s, 5, &cut, NULL), ERR_USAGE);
}

static void test_cut__keeps_what_is_older_than_the_layer(void **state)
{
	struct store *below = NULL;
	struct store *s = NULL;

	(void)state;
	assert_int_equal(store_memory_open(&below, NULL), 0);
	assert_int_equal(put(below, "old/kept", "1"), 0);
	assert_int_equal(put(below, "old/deleted", "12"), 0);
	assert_int_equal(put(below, "old/repeated", "123"), 0);
	assert_int_equal(store_fault_open(below, &s, NULL), 0);
	assert_int_equal(put(s, "old/repeated", "123"), 0);
	assert_int_equal(store_del(s, NULL, "old/deleted", NULL), 0);
	assert_int_equal(put(s, "new", "1234"), 0);
	assert_cut(s, 0, "old/deleted:2 old/kept:1 old/repeated:3 ");
	assert_cut(s, 1, "old/kept:1 old/repeated:3 ");
	assert_cut(s, 2, "new:4 old/kept:1 old/repeated:3 ");
	store_close(s);
}

/* ---- killed, and ordered by the environment ---- */

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/drfs-store-fault-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char path[80];

	(void)state;
	(void)unsetenv("DRFS_FAULT");
	for (char c = 'a'; c <= 'e'; c++) {
		(void)snprintf(path, sizeof(path), "%s/%c", folder, c);
		(void)unlink(path);
	}
	return rmdir(folder);
}

/* Puts a, b, c in a process of its own under DRFS_FAULT=`order`. Returns how it ended. */
static int run_under(const char *order)
{
	int status = 0;

	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct store *s;

		if (setenv("DRFS_FAULT", order, 1) < 0 || store_open(folder, NULL, &s, NULL) != 0)
			_exit(9);
		int failed = (put(s, "a", "1") != 0) + (put(s, "b", "1") != 0) * 2 + (put(s, "c", "1") != 0) * 4;
		store_close(s);
		_exit(failed);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void assert_folder_has(const char *want)
{
	struct shown shown = {""};
	struct store *s = NULL;

	assert_int_equal(store_open(folder, NULL, &s, NULL), 0);
	assert_int_equal(store_list(s, NULL, "", "", show, &shown, NULL), 0);
	assert_string_equal(shown.text, want);
	store_close(s);
}

static void test_env__kill_before_leaves_the_earlier_calls(void **state)
{
	(void)state;
	int status = run_under("kill-before=2");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_folder_has("a:1 ");
}

static void test_env__kill_after_leaves_that_call_too(void **state)
{
	(void)state;
	int status = run_under("delay=1,kill-after=2");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_folder_has("a:1 b:1 ");
}

static void test_env__fail_hits_one_call(void **state)
{
	(void)state;
	int status = run_under("fail=2");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 2);
	assert_folder_has("a:1 c:1 ");
}

static void test_env__unset_lays_no_layer(void **state)
{
	struct store *s = NULL;
	struct store *same;

	(void)state;
	assert_int_equal(store_memory_open(&s, NULL), 0);
	same = s;
	assert_int_equal(store_fault_from_env(&s, NULL), 0);
	assert_ptr_equal(s, same);
	assert_int_equal(setenv("DRFS_FAULT", "", 1), 0);
	assert_int_equal(store_fault_from_env(&s, NULL), 0);
	assert_ptr_equal(s, same);
	store_close(s);
}

static void test_env__nonsense_is_told(void **state)
{
	static const char *const wrong[] = {"kill", "kill-before=", "kill-before=0", "fail=x", "fail=-1", "fail=1x",
		"delay=99999999999", "fail=99999999999999999999999", "fail=1,what"};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error err = ERROR_INIT;
		struct store *s = NULL;

		assert_int_equal(setenv("DRFS_FAULT", wrong[i], 1), 0);
		assert_int_equal(store_open("memory:", NULL, &s, &err), ERR_USAGE);
		assert_non_null(strstr(error_text(&err), "DRFS_FAULT"));
	}
}

#define ON_LAYER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	static const struct store_factory factory = {
		.label = "store fault conforms without rules", .open = open_layer, .many = 3000};
	static const struct CMUnitTest tests[] = {
		ON_LAYER(test_fail__nth_call_and_its_followers_do_nothing),
		ON_LAYER(test_fail__counts_from_when_the_rule_was_added),
		ON_LAYER(test_fail__nth_zero_is_every_call_until_cleared),
		ON_LAYER(test_fail__prefix_chooses_and_counts_only_its_own),
		ON_LAYER(test_delay__call_takes_at_least_so_long_and_ends_at_its_deadline),
		ON_LAYER(test_truncate__get_gives_half),
		ON_LAYER(test_truncate__put_stores_half_and_fails),
		ON_LAYER(test_corrupt__get_differs_in_one_bit),
		ON_LAYER(test_corrupt__put_stores_one_bit_wrong),
		ON_LAYER(test_lose_reply__call_works_and_times_out),
		ON_LAYER(test_calls__are_counted_by_kind),
		ON_LAYER(test_cut__holds_what_was_durable_after_n),
		cmocka_unit_test(test_cut__keeps_what_is_older_than_the_layer),
		IN_FOLDER(test_env__kill_before_leaves_the_earlier_calls),
		IN_FOLDER(test_env__kill_after_leaves_that_call_too),
		IN_FOLDER(test_env__fail_hits_one_call),
		IN_FOLDER(test_env__unset_lays_no_layer),
		IN_FOLDER(test_env__nonsense_is_told),
	};

	(void)unsetenv("DRFS_FAULT");
	int failed = store_conformance_run(&factory);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}

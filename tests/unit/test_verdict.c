/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/verdict.h"

/* `left` bytes that say which one they are. */
struct source {
	uint64_t at, left;
	int fails; /* what it returns at the end; 0 */
};

static int feed(void *arg, void *dst, size_t cap, size_t *ret_len, struct error *err)
{
	struct source *s = arg;
	uint8_t *p = dst;
	size_t n = cap < s->left ? cap : (size_t)s->left;

	if (n == 0 && s->fails < 0)
		return error_set(err, s->fails, "the source failed");
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((s->at + i) % 251);
	s->at += n;
	s->left -= n;
	*ret_len = n;
	return 0;
}

static struct verdict ask(const char *command, uint64_t bytes)
{
	struct source s = {.left = bytes};
	struct verdict_question q = {.command = command, .feed = bytes > 0 ? feed : NULL, .feed_arg = &s};
	struct verdict v;
	struct error err = ERROR_INIT;

	memset(&v, 0x55, sizeof(v));
	assert_int_equal(verdict_ask(&q, &v, &err), 0);
	return v;
}

static void expect_bad(const char *command, uint64_t bytes, const char *reason)
{
	struct verdict v = ask(command, bytes);

	assert_false(v.good);
	assert_string_equal(v.reason, reason);
}

static void test_verdict__the_exit_status_decides(void **state)
{
	(void)state;
	assert_true(ask("true", 0).good);
	assert_string_equal(ask("echo warning >&2; exit 0", 0).reason, "");
	expect_bad("exit 3", 0, "it ended with exit status 3");
	expect_bad("kill -9 $$", 0, "it was ended by signal 9");
}

static void test_verdict__the_first_line_of_stderr_is_the_reason(void **state)
{
	(void)state;
	expect_bad("echo out; echo; echo >&2; echo ' no table users' >&2; echo more >&2; exit 1", 0, "no table users");
	expect_bad("printf cut >&2; exit 1", 0, "cut");
	expect_bad("printf 'a\\033[31m\\377b\\n' >&2; exit 1", 0, "a\\x1b[31m\\xffb");
	struct verdict v = ask("yes long | head -c 1000000 | tr -d '\\n' >&2; exit 1", 0);
	assert_false(v.good);
	assert_true(strlen(v.reason) > 100 && strlen(v.reason) < VERDICT_REASON_MAX);
	assert_false(ask("/no/such/program", 0).good);
}

static void test_verdict__every_byte_arrives_and_then_the_end(void **state)
{
	static const uint64_t sizes[] = {1, 251, 131072, 131073, 5000000};
	char command[64];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(command, sizeof(command), "test $(wc -c) -eq %llu", (unsigned long long)sizes[i]);
		assert_true(ask(command, sizes[i]).good);
	}
	/* Bytes 0, 1, 2: read in order. */
	assert_true(ask("test \"$(head -c 3 | od -An -tu1 | tr -s ' ')\" = ' 0 1 2'", 600).good);
	assert_true(ask("test $(wc -c) -eq 0", 0).good);
}

static void test_verdict__a_command_need_not_read_all(void **state)
{
	(void)state;
	assert_true(ask("exit 0", UINT64_C(1) << 40).good);
	assert_true(ask("head -c 10 | grep -q .", UINT64_C(1) << 40).good);
	expect_bad("exec <&-; sleep 0.3; echo late >&2; exit 1", UINT64_C(1) << 40, "late");
	expect_bad("yes x | head -c 3000000 >&2; cat >&2; exit 1", 3000000, "x"); /* both pipes full at once */
}

static void test_verdict__what_stays_in_the_background_is_not_waited_for(void **state)
{
	time_t before = time(NULL);

	(void)state;
	assert_true(ask("sleep 30 & exit 0", 0).good);
	assert_true(time(NULL) - before < 15);
}

static void test_verdict__variables_replace_those_of_the_caller(void **state)
{
	static const char *const variables[] = {"DRFS_TEST_A=new value", "DRFS_TEST_B=", NULL};
	struct verdict_question q = {.variables = variables};
	struct verdict v;

	(void)state;
	setenv("DRFS_TEST_A", "old", 1);
	setenv("DRFS_TEST_AB", "kept", 1);
	q.command = "test \"$DRFS_TEST_A/$DRFS_TEST_B/$DRFS_TEST_AB\" = 'new value//kept' && "
		    "test $(env | grep -c ^DRFS_TEST_A=) -eq 1";
	assert_int_equal(verdict_ask(&q, &v, NULL), 0);
	assert_true(v.good);
}

static void test_verdict__the_passphrase_is_kept_from_the_command(void **state)
{
	struct verdict_question q = {.command = "! env | grep ^DRFS_PASSWORD && test \"$DRFS_PASS\" = kept"};
	struct verdict v;

	(void)state;
	setenv("DRFS_PASSWORD", "secret", 1);
	setenv("DRFS_PASSWORD_FILE", "/secret", 1);
	setenv("DRFS_PASSWORD_COMMAND", "echo secret", 1);
	setenv("DRFS_PASS", "kept", 1);
	assert_int_equal(verdict_ask(&q, &v, NULL), 0);
	assert_true(v.good);
}

static void test_verdict__a_source_that_fails_ends_the_command(void **state)
{
	struct source s = {.left = 100000, .fails = ERR_CORRUPT};
	struct verdict_question q = {.command = "cat >/dev/null; sleep 30", .feed = feed, .feed_arg = &s};
	struct error err = ERROR_INIT;
	struct verdict v;
	time_t before = time(NULL);

	(void)state;
	assert_int_equal(verdict_ask(&q, &v, &err), ERR_CORRUPT);
	assert_string_equal(error_text(&err), "the source failed");
	assert_true(time(NULL) - before < 15);
}

static bool stop_at_third(void *arg)
{
	return ++*(unsigned *)arg >= 3;
}

/* Also one that does not hear the polite signal, and its children. */
static void test_verdict__stop_ends_the_command_and_its_children(void **state)
{
	static const char *const commands[] = {
		"sleep 30", "sleep 30 | sleep 30", "trap '' TERM; while :; do sleep 1; done"};

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		unsigned asked = 0;
		struct verdict_question q = {.command = commands[i], .stop = stop_at_third, .stop_arg = &asked};
		struct error err = ERROR_INIT;
		struct verdict v;
		time_t before = time(NULL);
		assert_int_equal(verdict_ask(&q, &v, &err), ERR_CANCELLED);
		assert_true(time(NULL) - before < 15);
	}
}

static void test_verdict__no_descriptor_and_no_signal_is_left_behind(void **state)
{
	sigset_t pending, mask;

	(void)state;
	int before = dup(0);
	close(before);
	for (int i = 0; i < 20; i++)
		assert_true(ask("exec <&-; exit 0", 10000000).good);
	int after = dup(0);
	close(after);
	assert_int_equal(before, after);
	sigpending(&pending);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_false(sigismember(&pending, SIGPIPE));
	assert_false(sigismember(&mask, SIGPIPE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdict__the_exit_status_decides),
		cmocka_unit_test(test_verdict__the_first_line_of_stderr_is_the_reason),
		cmocka_unit_test(test_verdict__every_byte_arrives_and_then_the_end),
		cmocka_unit_test(test_verdict__a_command_need_not_read_all),
		cmocka_unit_test(test_verdict__what_stays_in_the_background_is_not_waited_for),
		cmocka_unit_test(test_verdict__variables_replace_those_of_the_caller),
		cmocka_unit_test(test_verdict__the_passphrase_is_kept_from_the_command),
		cmocka_unit_test(test_verdict__a_source_that_fails_ends_the_command),
		cmocka_unit_test(test_verdict__stop_ends_the_command_and_its_children),
		cmocka_unit_test(test_verdict__no_descriptor_and_no_signal_is_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

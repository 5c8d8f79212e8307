/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

/* A log into a pipe, and what came out of it. */
struct piped {
	int fds[2];
	struct log *log;
	char text[65536];
};

static int set_up(void **state)
{
	struct piped *p = calloc(1, sizeof(*p));
	*state = p;
	(void)unsetenv("JOURNAL_STREAM");
	if (!p || pipe2(p->fds, O_CLOEXEC) < 0 || fcntl(p->fds[0], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	p->log = log_new(p->fds[1], LOG_LEVEL_NOTICE);
	return p->log ? 0 : -1;
}

static int tear_down(void **state)
{
	struct piped *p = *state;
	log_free(p->log);
	(void)close(p->fds[0]);
	(void)close(p->fds[1]);
	free(p);
	(void)unsetenv("JOURNAL_STREAM");
	return 0;
}

static const char *shown(struct piped *p)
{
	ssize_t n = read(p->fds[0], p->text, sizeof(p->text) - 1);
	p->text[n > 0 ? n : 0] = 0;
	return p->text;
}

static void test_log__shows_its_level_and_what_is_graver(void **state)
{
	struct piped *p = *state;
	log_error(p->log, "one %d", 1);
	log_warn(p->log, "two");
	log_notice(p->log, "three");
	log_info(p->log, "four");
	log_debug(p->log, "five");
	assert_string_equal(shown(p), "drfs: one 1\ndrfs: warning: two\ndrfs: three\n");
	log_set_level(p->log, LOG_LEVEL_ERROR);
	assert_int_equal(log_get_level(p->log), LOG_LEVEL_ERROR);
	log_warn(p->log, "two");
	assert_string_equal(shown(p), "");
}

static void test_log__verbose_lines_carry_the_time(void **state)
{
	struct piped *p = *state;
	log_set_level(p->log, LOG_LEVEL_INFO);
	log_info(p->log, "four");
	log_debug(p->log, "five");
	int year;
	int end = 0;
	assert_int_equal(sscanf(shown(p), "drfs: %d-%*d-%*dT%*d:%*d:%*dZ four\n%n", &year, &end), 1);
	assert_true(year >= 2024);
	assert_int_equal(end, strlen(p->text));
}

static void test_log__a_message_is_one_line(void **state)
{
	struct piped *p = *state;
	log_notice(p->log, "name '%s'", "a\nb\x1b[31m\xff");
	assert_string_equal(shown(p), "drfs: name 'a\\x0ab\\x1b[31m\\xff'\n");
}

static void test_log__long_messages_are_cut_not_broken(void **state)
{
	struct piped *p = *state;
	char big[10000];
	memset(big, '\n', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	log_notice(p->log, "%s", big);
	const char *line = shown(p);
	size_t len = strlen(line);
	assert_true(len > 2000);
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
}

static void test_log__journal_lines_carry_their_priority(void **state)
{
	struct piped *p = *state;
	struct stat st;
	char stream[64];
	assert_int_equal(fstat(p->fds[1], &st), 0);
	(void)snprintf(
		stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	(void)setenv("JOURNAL_STREAM", stream, 1);
	log_redirect(p->log, p->fds[1]);
	log_set_level(p->log, LOG_LEVEL_DEBUG);
	log_error(p->log, "a");
	log_debug(p->log, "b");
	assert_string_equal(shown(p), "<3>a\n<7>b\n");
	(void)setenv("JOURNAL_STREAM", "1:1", 1);
	log_redirect(p->log, p->fds[1]);
	log_set_level(p->log, LOG_LEVEL_NOTICE);
	log_error(p->log, "c");
	assert_string_equal(shown(p), "drfs: c\n");
}

static void keep_line(void *arg, enum log_level level, const char *line)
{
	(void)snprintf(arg, 100, "%d %s", (int)level, line);
}

static void test_log_tee__gets_the_bare_line(void **state)
{
	struct piped *p = *state;
	char kept[100] = "";
	log_tee(p->log, keep_line, kept);
	log_warn(p->log, "x");
	assert_string_equal(kept, "4 x");
	log_info(p->log, "below the level");
	assert_string_equal(kept, "4 x");
	log_tee(p->log, NULL, NULL);
	log_warn(p->log, "y");
	assert_string_equal(kept, "4 x");
}

static void test_log__null_drops_everything(void **state)
{
	(void)state;
	log_error(NULL, "x");
	log_set_level(NULL, LOG_LEVEL_DEBUG);
	log_redirect(NULL, 2);
	log_tee(NULL, NULL, NULL);
	log_free(NULL);
	assert_int_equal(log_get_level(NULL), LOG_LEVEL_NOTICE);
}

static void test_log__keeps_errno(void **state)
{
	struct piped *p = *state;
	log_redirect(p->log, p->fds[0]); /* cannot be written: write() fails with EBADF */
	errno = ENOSPC;
	log_error(p->log, "x");
	assert_int_equal(errno, ENOSPC);
}

static void *log_many(void *arg)
{
	for (int i = 0; i < 100; i++)
		log_notice(arg, "0123456789");
	return NULL;
}

static void test_log__lines_of_threads_do_not_mix(void **state)
{
	struct piped *p = *state;
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, p->log), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	const char *text = shown(p);
	for (int i = 0; i < 400; i++, text += 17)
		assert_memory_equal(text, "drfs: 0123456789\n", 17);
	assert_int_equal(*text, 0);
}

#define PIPED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PIPED(test_log__shows_its_level_and_what_is_graver),
		PIPED(test_log__verbose_lines_carry_the_time),
		PIPED(test_log__a_message_is_one_line),
		PIPED(test_log__long_messages_are_cut_not_broken),
		PIPED(test_log__journal_lines_carry_their_priority),
		PIPED(test_log_tee__gets_the_bare_line),
		PIPED(test_log__null_drops_everything),
		PIPED(test_log__keeps_errno),
		PIPED(test_log__lines_of_threads_do_not_mix),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

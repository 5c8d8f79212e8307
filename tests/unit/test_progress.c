/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/progress.h"

static void test_progress_human_bytes__rounds_down(void **state)
{
	(void)state;
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {{0, "0 B"}, {512, "512 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1536, "1.5 KiB"},
		{(1 << 20) - 1, "1023.9 KiB"}, {1 << 20, "1.0 MiB"}, {UINT64_C(15) << 30, "15.0 GiB"},
		{UINT64_C(1) << 40, "1.0 TiB"}, {UINT64_C(1) << 50, "1.0 PiB"}, {UINT64_C(1) << 60, "1.0 EiB"},
		{UINT64_MAX, "15.9 EiB"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[PROGRESS_TEXT_MAX];
		progress_human_bytes(rows[i].bytes, text);
		assert_string_equal(text, rows[i].text);
	}
}

static void check_line(struct progress_state s, const char *expected)
{
	char line[200];
	progress_line("reading", &s, line, sizeof(line));
	assert_string_equal(line, expected);
}

static void test_progress_line__says_what_is_known(void **state)
{
	(void)state;
	check_line((struct progress_state){0}, "reading: 0 B, 0 items, 0 B/s");
	check_line((struct progress_state){.bytes = 1 << 20, .items = 3, .bytes_per_second = 2048},
		"reading: 1.0 MiB, 3 items, 2.0 KiB/s");
	check_line((struct progress_state){1 << 20, 3, 4 << 20, 9, 1 << 20},
		"reading: 1.0 MiB of 4.0 MiB (25 %), 3 of 9 items, 1.0 MiB/s, 4 s left");
	check_line((struct progress_state){4 << 20, 3, 1 << 20, 9, 1 << 20}, /* the source grew */
		"reading: 4.0 MiB of 1.0 MiB (100 %), 3 of 9 items, 1.0 MiB/s");
	check_line((struct progress_state){1, 0, UINT64_MAX, 0, 1}, "reading: 1 B of 15.9 EiB (0 %), 0 items, 1 B/s");
}

static void test_progress_line__is_cut_to_the_width(void **state)
{
	(void)state;
	char line[10];
	struct progress_state s = {0};
	progress_line("reading", &s, line, sizeof(line));
	assert_string_equal(line, "reading: ");
}

static void test_progress__quiet_is_null_and_null_does_nothing(void **state)
{
	(void)state;
	assert_null(progress_new(2, "x", true));
	progress_total(NULL, 1, 1);
	progress_add(NULL, 1, 1);
	progress_free(NULL);
}

static void test_progress__a_file_gets_no_terminal_codes(void **state)
{
	(void)state;
	int fds[2];
	char c;
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	struct progress *p = progress_new(fds[1], "x", false);
	assert_non_null(p);
	progress_add(p, 5, 1);
	progress_free(p);
	assert_true(read(fds[0], &c, 1) < 0); /* a short run says nothing */
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_progress__a_terminal_is_redrawn_and_cleared(void **state)
{
	(void)state;
	int master;
	int slave;
	char text[4096] = "";
	size_t used = 0;
	(void)setenv("TERM", "xterm", 1);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	struct progress *p = progress_new(slave, "reading", false);
	assert_non_null(p);
	progress_total(p, 100, 10);
	progress_add(p, 50, 5);
	while (!strstr(text, "items")) { /* the first line comes by itself */
		ssize_t n = read(master, text + used, sizeof(text) - 1 - used);
		assert_true(n > 0);
		used += (size_t)n;
		text[used] = 0;
	}
	assert_non_null(strstr(text, "\rreading: 50 B of 100 B (50 %), 5 of 10 items"));
	assert_null(strchr(text, '\n'));
	progress_free(p);
	ssize_t n = read(master, text + used, sizeof(text) - 1 - used);
	assert_true(n >= 4);
	assert_memory_equal(text + used + n - 4, "\r\x1b[K", 4);
	(void)close(master);
	(void)close(slave);
}

static void *add_many(void *arg)
{
	for (int i = 0; i < 10000; i++)
		progress_add(arg, 1, 1);
	return NULL;
}

static void test_progress__threads_may_add_while_it_is_drawn(void **state)
{
	(void)state;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct progress *p = progress_new(fd, "x", false);
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, p), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	progress_free(p);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_progress_human_bytes__rounds_down),
		cmocka_unit_test(test_progress_line__says_what_is_known),
		cmocka_unit_test(test_progress_line__is_cut_to_the_width),
		cmocka_unit_test(test_progress__quiet_is_null_and_null_does_nothing),
		cmocka_unit_test(test_progress__a_file_gets_no_terminal_codes),
		cmocka_unit_test(test_progress__a_terminal_is_redrawn_and_cleared),
		cmocka_unit_test(test_progress__threads_may_add_while_it_is_drawn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

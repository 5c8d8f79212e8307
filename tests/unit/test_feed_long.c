/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "feed_script.h"

enum { LEVELS = 31, NAME_LEN = 255, LAST_LEN = 180, LONG_LEN = 200 };

static struct feed_script script;

static char *deep_path(void)
{
	char *path = malloc(LEVELS * (NAME_LEN + 1) + LAST_LEN + 1);
	char *p = path;

	assert_non_null(path);
	for (int i = 0; i < LEVELS; i++) {
		memset(p, 'd', NAME_LEN);
		p += NAME_LEN;
		*p++ = '/';
	}
	memset(p, 'd', LAST_LEN);
	p[LAST_LEN] = 0;
	return path;
}

static void tell_folders(char *deep)
{
	for (char *slash = strchr(deep, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		feed_step_dir(&script, deep);
		*slash = '/';
	}
	feed_step_dir(&script, deep);
}

static void test_feed_range__what_gets_too_long_a_path_by_renaming_is_left_out_and_told(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, moved;
	char name[LONG_LEN + 3] = "f/", *deep = deep_path();

	memset(name + 2, 'l', LONG_LEN);
	feed_step_dir(&script, "f");
	feed_step_empty(&script, name);
	feed_step_empty(&script, "f/z");
	feed_script_run(f, &script, NULL, reader, &base);
	feed_script_clear(&script);
	tell_folders(deep);
	feed_step_range(&script, 1, 3);
	script.steps[script.count - 1].old_prefix = "f";
	script.steps[script.count - 1].new_prefix = deep;
	feed_script_run(f, &script, base.snapshot, reader, &moved);
	assert_non_null(moved.snapshot);
	assert_int_equal(moved.skipped, 1);
	assert_int_equal(moved.snapshot->root.entries, LEVELS + 2);
	assert_int_equal(moved.snapshot->note_count, 1);
	assert_non_null(strstr(moved.snapshot->notes[0], "left out: its path is too long"));
	snapshot_free(base.snapshot);
	snapshot_free(moved.snapshot);
	feed_script_clear(&script);
	reader_close(reader);
	free(deep);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_feed_range__what_gets_too_long_a_path_by_renaming_is_left_out_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

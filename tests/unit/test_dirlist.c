/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive/dirlist.h"

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/drfs-dirlist-XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static void touch(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static struct dirlist *list_folder(int dirfd)
{
	struct dirlist *l = NULL;

	assert_int_equal(dirlist_read(dirfd, folder, &l, NULL), 0);
	return l;
}

/* Counts the entries and asserts that names ascend. */
static size_t walk(struct dirlist *l)
{
	const struct dirlist_entry *d;
	char last[256] = "";
	size_t count = 0;

	for (;;) {
		assert_int_equal(dirlist_next(l, &d, NULL), 0);
		if (d == NULL)
			return count;
		assert_true(strcmp(last, d->name) < 0);
		assert_int_equal(d->stat_errno, 0);
		strcpy(last, d->name);
		count++;
	}
}

static void test_dirlist_read__names_come_in_bytewise_order_with_their_attributes(void **state)
{
	int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirlist_entry *d;

	(void)state;
	touch(dirfd, "b");
	touch(dirfd, "a\xff");
	touch(dirfd, "B");
	assert_int_equal(mkdirat(dirfd, "c", 0700), 0);
	struct dirlist *l = list_folder(dirfd);
	const char *want[] = {"B", "a\xff", "b", "c"};
	for (int i = 0; i < 4; i++) {
		assert_int_equal(dirlist_next(l, &d, NULL), 0);
		assert_string_equal(d->name, want[i]);
		assert_int_equal(S_ISDIR(d->st.st_mode), i == 3);
	}
	assert_int_equal(dirlist_next(l, &d, NULL), 0);
	assert_null(d);
	dirlist_rewind(l);
	assert_int_equal(walk(l), 4);
	dirlist_free(l);
	close(dirfd);
}

static void test_dirlist_read__an_empty_folder_has_no_entries(void **state)
{
	int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirlist *l = list_folder(dirfd);

	(void)state;
	assert_int_equal(walk(l), 0);
	dirlist_free(l);
	close(dirfd);
}

static void test_dirlist_read__a_large_folder_is_merged_from_runs_in_order(void **state)
{
	enum { COUNT = 2 * DIRLIST_BATCH + 1234 };
	int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[300], tail[241];

	(void)state;
	memset(tail, 'y', sizeof(tail) - 1);
	tail[sizeof(tail) - 1] = '\0';
	for (int i = 0; i < COUNT; i++) { /* short and long names mixed, in no order */
		unsigned n = (unsigned)i * 2654435761u;
		snprintf(name, sizeof(name), "%08x%.*s", n, (int)(n % 240), tail);
		assert_int_equal(symlinkat("x", dirfd, name), 0);
	}
	struct dirlist *l = list_folder(dirfd);
	assert_int_equal(walk(l), COUNT);
	dirlist_rewind(l);
	assert_int_equal(walk(l), COUNT);
	dirlist_free(l);
	close(dirfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_dirlist_read__names_come_in_bytewise_order_with_their_attributes,
			make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			test_dirlist_read__an_empty_folder_has_no_entries, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			test_dirlist_read__a_large_folder_is_merged_from_runs_in_order, make_folder, remove_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

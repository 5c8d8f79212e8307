/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/spool/stage.h"

enum { MANY = 300, THREADS = 4 };

struct folder {
	char path[64];
	int fd;
	struct stage *stage;
};

static int set_up(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	strcpy(f->path, "/tmp/drfs-stage-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(stage_new(f->fd, &f->stage, NULL), 0);
	*state = f;
	return 0;
}

static unsigned files_of(const struct folder *f)
{
	unsigned count = 0;
	const struct dirent *e;
	DIR *d = opendir(f->path);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL)
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

static int tear_down(void **state)
{
	struct folder *f = *state;
	DIR *d;
	const struct dirent *e;
	stage_free(f->stage);
	d = opendir(f->path);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			assert_int_equal(unlinkat(f->fd, e->d_name, 0), 0);
	closedir(d);
	close(f->fd);
	assert_int_equal(rmdir(f->path), 0);
	free(f);
	return 0;
}

/* It is new, empty, ours alone, and stands under its name. */
static void take_one(struct folder *f)
{
	char name[STAGE_NAME_LEN + 1];
	struct stat by_name, by_fd;
	int fd;
	assert_int_equal(stage_take(f->stage, name, &fd, NULL), 0);
	assert_int_equal(strspn(name, "0123456789abcdef"), STAGE_NAME_LEN);
	assert_int_equal(fstat(fd, &by_fd), 0);
	assert_int_equal(fstatat(f->fd, name, &by_name, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(by_fd.st_ino, by_name.st_ino);
	assert_int_equal(by_fd.st_size, 0);
	assert_int_equal(by_fd.st_mode, S_IFREG | 0600);
	/* Nobody gets it a second time: the next one would find a byte in it. */
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void test_stage__a_file_now_and_then_makes_no_others(void **state)
{
	struct folder *f = *state;
	for (int i = 0; i < 3; i++)
		take_one(f);
	assert_int_equal(files_of(f), 3);
}

static void test_stage__many_files_are_all_different(void **state)
{
	struct folder *f = *state;
	for (int i = 0; i < MANY; i++)
		take_one(f);
	assert_true(files_of(f) >= MANY);
}

static void test_stage__resting_leaves_what_was_taken(void **state)
{
	struct folder *f = *state;
	for (int round = 1; round <= 5; round++) {
		for (int i = 0; i < MANY; i++)
			take_one(f);
		stage_rest(f->stage);
	}
	/* One that was being made at that moment is removed by who made it, at the latest now. */
	stage_free(f->stage);
	assert_int_equal(files_of(f), 5 * MANY);
	assert_int_equal(stage_new(f->fd, &f->stage, NULL), 0);
}

static void *taker(void *arg)
{
	for (int i = 0; i < MANY; i++)
		take_one(arg);
	return NULL;
}

static void test_stage__threads_never_get_the_same_file(void **state)
{
	struct folder *f = *state;
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, taker, f), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	stage_free(f->stage);
	assert_int_equal(files_of(f), THREADS * MANY);
	assert_int_equal(stage_new(f->fd, &f->stage, NULL), 0);
}

static void test_stage__a_folder_that_is_gone_is_told(void **state)
{
	struct folder *f = *state;
	char name[STAGE_NAME_LEN + 1];
	struct stage *s;
	int fd, gone;
	assert_int_equal(mkdirat(f->fd, "gone", 0700), 0);
	gone = openat(f->fd, "gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(unlinkat(f->fd, "gone", AT_REMOVEDIR), 0);
	assert_int_equal(stage_new(gone, &s, NULL), 0);
	for (int i = 0; i < 20; i++)
		assert_true(stage_take(s, name, &fd, NULL) < 0);
	stage_free(s);
	close(gone);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_stage__a_file_now_and_then_makes_no_others),
		CASE(test_stage__many_files_are_all_different),
		CASE(test_stage__resting_leaves_what_was_taken),
		CASE(test_stage__threads_never_get_the_same_file),
		CASE(test_stage__a_folder_that_is_gone_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

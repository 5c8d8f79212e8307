/* SPDX-License-Identifier: MIT */

/* The catalog on SQLite: the conformance suite, kept and private, and what happens to folders and files. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/clock.h"
#include "tests/unit/catalog_conformance.h"
#include "tests/unit/catalog_folder.h"

static int set_up(void **state)
{
	*state = folder_new();
	return 0;
}

static int tear_down(void **state)
{
	folder_free(*state);
	return 0;
}

/* --- where it lies --- */

static void test_open__folder_and_file_are_for_their_owner_alone(void **state)
{
	struct folder *folder = *state;
	struct stat st;
	mode_t mask = umask(0);
	struct catalog *catalog = folder_open(folder);
	umask(mask);
	assert_int_equal(add_made(catalog, 1, 0, 0, 10, NULL), 0);
	static const char *const names[] = {
		"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.lock"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(stat(folder_file(folder, names[i]), &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	assert_int_equal(stat(folder->dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(folder->warnings, 0);
	catalog_close(catalog);
}

static void test_open__relative_folder_survives_a_change_of_directory(void **state)
{
	struct folder *folder = *state;
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(folder->path), 0);
	struct catalog *catalog = folder_open_at(folder, "file:cache?x", NULL);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(catalog_state(catalog), CATALOG_NEW);
	assert_int_equal(add_made(catalog, 1, 0, 0, 10, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 3), 1);
	catalog_close(catalog);
	assert_int_equal(fchdir(here), 0);
	close(here);
	char name[160];
	snprintf(name, sizeof(name), "%s/file:cache?x/catalog.sqlite", folder->path);
	assert_int_equal(access(name, F_OK), 0);
}

static void assert_works_privately(struct folder *folder, const char *dir)
{
	struct catalog *catalog = folder_open_at(folder, dir, NULL);
	assert_int_equal(catalog_state(catalog), CATALOG_PRIVATE);
	assert_int_equal(folder->warnings, 1);
	assert_non_null(strstr(folder->last, "going on with a temporary one"));
	assert_int_equal(add_made(catalog, 1, 0, 0, 1000, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 999), 1);
	catalog_close(catalog);
}

static void test_open__folder_that_cannot_be_made_gives_a_private_catalog(void **state)
{
	struct folder *folder = *state;
	char under[200];
	catalog_close(folder_open(folder));
	snprintf(under, sizeof(under), "%s/sub", folder_file(folder, "catalog.sqlite"));
	assert_works_privately(folder, under);
	assert_works_privately(folder, "/proc/drfs");
}

static void test_open__no_folder_is_private_without_a_word(void **state)
{
	struct folder *folder = *state;
	struct catalog *catalog = NULL;
	const struct catalog_options options = {.repository = test_repository, .log = folder->log};
	assert_int_equal(catalog_open(&options, &catalog, NULL), 0);
	assert_int_equal(catalog_state(catalog), CATALOG_PRIVATE);
	assert_int_equal(folder->warnings, 0);
	catalog_close(catalog);
}

static void test_open__private_catalog_falls_back_on_memory(void **state)
{
	struct folder *folder = *state;
	char *before = getenv("TMPDIR") ? strdup(getenv("TMPDIR")) : NULL;
	setenv("TMPDIR", "/proc", 1);
	assert_works_privately(folder, "/proc/drfs");
	if (before)
		setenv("TMPDIR", before, 1);
	else
		unsetenv("TMPDIR");
	free(before);
}

/* A file system of its own at folder->path/fs; false where that is not permitted. */
static bool mount_small(struct folder *folder, const char *options, char dst[static 160])
{
	snprintf(dst, 160, "%s/fs", folder->path);
	assert_int_equal(mkdir(dst, 0700), 0);
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		return false;
	return mount("drfs-test", dst, "tmpfs", 0, options) == 0;
}

static void test_open__read_only_folder_gives_a_private_catalog(void **state)
{
	struct folder *folder = *state;
	char fs[160];
	if (!mount_small(folder, "size=4m", fs))
		skip();
	struct catalog *catalog = folder_open_at(folder, fs, NULL);
	assert_int_equal(catalog_state(catalog), CATALOG_NEW);
	catalog_close(catalog);
	assert_int_equal(mount(NULL, fs, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_works_privately(folder, fs);
	assert_int_equal(umount(fs), 0);
}

static void fill_up(const char *fs)
{
	char name[200], block[4096] = {1};
	snprintf(name, sizeof(name), "%s/filler", fs);
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

static void test_open__full_folder_gives_a_private_catalog(void **state)
{
	struct folder *folder = *state;
	char fs[160];
	if (!mount_small(folder, "size=1m", fs))
		skip();
	fill_up(fs);
	assert_works_privately(folder, fs);
	assert_int_equal(umount(fs), 0);
}

static void test_segment_add__disk_that_runs_full_is_told_and_lookups_go_on(void **state)
{
	struct folder *folder = *state;
	struct error err = ERROR_INIT;
	char fs[160];
	if (!mount_small(folder, "size=3m", fs))
		skip();
	struct catalog *catalog = folder_open_at(folder, fs, NULL);
	assert_int_equal(add_made(catalog, 1, 0, 0, 500, NULL), 0);
	assert_int_equal(add_made(catalog, 2, 0, 100000, 50000, &err), ERR_NO_SPACE);
	assert_int_equal(find_made(catalog, 0, 499), 1);
	assert_int_equal(find_made(catalog, 0, 100000), 0);
	assert_int_equal(catalog_make_private(catalog, NULL), 0);
	assert_int_equal(add_made(catalog, 2, 0, 100000, 50000, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 149999), 1);
	catalog_close(catalog);
	catalog = folder_open_at(folder, fs, NULL);
	assert_int_equal(find_made(catalog, 0, 499), catalog_state(catalog) == CATALOG_KEPT);
	catalog_close(catalog);
	assert_int_equal(umount(fs), 0);
}

/* --- threads --- */

struct race {
	struct catalog *catalog;
	atomic_bool adding;
	int result;
	int64_t duration;
};

static void *add_large(void *arg)
{
	struct race *race = arg;
	struct made_segment made = made_segment(2, 0, 1000, 100000);
	int64_t begin = clock_monotonic();
	atomic_store(&race->adding, true);
	race->result = catalog_segment_add(race->catalog, &made.segment, NULL);
	race->duration = clock_monotonic() - begin;
	atomic_store(&race->adding, false);
	made_segment_free(&made);
	return NULL;
}

static void test_threads__lookup_does_not_wait_for_a_long_insert(void **state)
{
	struct race race = {.catalog = folder_open(*state)};
	pthread_t thread;
	unsigned during = 0;
	int64_t longest = 0;
	assert_int_equal(add_made(race.catalog, 1, 0, 0, 1000, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, add_large, &race), 0);
	while (!atomic_load(&race.adding))
		sched_yield();
	while (atomic_load(&race.adding)) {
		int64_t asked = clock_monotonic();
		assert_int_equal(find_made(race.catalog, 0, during % 1000), 1);
		int64_t took = clock_monotonic() - asked;
		longest = took > longest ? took : longest;
		during++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(race.result, 0);
	assert_true(during > 100);
	/* One that waited would have waited for the insertion, nearly all of that time. */
	assert_true(longest < race.duration / 2);
	assert_int_equal(find_made(race.catalog, 0, 100999), 1);
	catalog_close(race.catalog);
}

/* --- the conformance suite's ways to open --- */

static struct catalog *open_kept(void *arg)
{
	return folder_open(arg);
}

static void wipe_kept(void *arg)
{
	folder_wipe(arg);
}

static struct catalog *open_private(void *arg)
{
	struct catalog *catalog = NULL;
	const struct catalog_options options = {.repository = test_repository};
	(void)arg;
	assert_int_equal(catalog_open(&options, &catalog, NULL), 0);
	return catalog;
}

static void wipe_private(void *arg)
{
	(void)arg;
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		folder_test(test_open__folder_and_file_are_for_their_owner_alone),
		folder_test(test_open__relative_folder_survives_a_change_of_directory),
		folder_test(test_open__folder_that_cannot_be_made_gives_a_private_catalog),
		folder_test(test_open__no_folder_is_private_without_a_word),
		folder_test(test_open__private_catalog_falls_back_on_memory),
		folder_test(test_threads__lookup_does_not_wait_for_a_long_insert),
		/* Last: they enter a mount namespace of their own. */
		folder_test(test_open__read_only_folder_gives_a_private_catalog),
		folder_test(test_open__full_folder_gives_a_private_catalog),
		folder_test(test_segment_add__disk_that_runs_full_is_told_and_lookups_go_on),
	};
	struct folder *folder = folder_new();
	const struct catalog_fixture kept = {"sqlite, kept", open_kept, wipe_kept, true, folder};
	const struct catalog_fixture private = {"sqlite, private", open_private, wipe_private, false, NULL};
	int failed = catalog_conformance_run(&kept) + catalog_conformance_run(&private);
	folder_free(folder);
	return failed + cmocka_run_group_tests_name("sqlite, files", tests, NULL, NULL);
}

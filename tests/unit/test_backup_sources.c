/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"
#include "base/checked.h"
#include "base/fileio.h"

/* What the sources put into the snapshot, and what they do not. */
static void expect_names(struct archive_fixture *f, const struct snapshot *s, const char *const *there, size_t count,
	const char *const *gone, size_t gone_count)
{
	for (size_t i = 0; i < count; i++)
		if (!archive_fixture_has(f->repo, s, there[i]))
			fail_msg("'%s' is missing", there[i]);
	for (size_t i = 0; i < gone_count; i++)
		if (archive_fixture_has(f->repo, s, gone[i]))
			fail_msg("'%s' is there", gone[i]);
}
#define EXPECT_NAMES(f, s, there, gone) expect_names(f, s, there, ARRAY_LEN(there), gone, ARRAY_LEN(gone))

/* Backs up paths below dir, as given: those that end in a slash mean what is inside. */
static int try_paths(struct archive_fixture *f, const char *const *paths, size_t count, struct backup_result *result,
	struct error *err)
{
	struct backup_options options = archive_fixture_options(f);
	char *full[8];

	for (size_t i = 0; i < count; i++)
		full[i] = archive_fixture_path(f, paths[i]);
	options.paths = full;
	options.path_count = count;
	int r = backup_run(f->repo, f->catalog, &options, result, err);
	for (size_t i = 0; i < count; i++)
		free(full[i]);
	return r;
}

static void test_sources__a_path_adds_its_name_a_path_with_a_slash_what_is_inside(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char *const paths[] = {"x", "y/", "z/.", "w"};
	static const char *const there[] = {"x", "x/1", "x/sub/2", "3", "deep", "deep/4", "5", "w"};
	static const char *const gone[] = {"y", "z", "1", "sub"};

	archive_fixture_write(f, "x/1", "1", 1);
	archive_fixture_write(f, "x/sub/2", "2", 1);
	archive_fixture_write(f, "y/3", "3", 1);
	archive_fixture_write(f, "y/deep/4", "4", 1);
	archive_fixture_write(f, "z/5", "5", 1);
	archive_fixture_write(f, "w", "6", 1);
	chmod(f->dir, 0711);
	assert_int_equal(try_paths(f, paths, 4, &result, NULL), 0);
	EXPECT_NAMES(f, result.snapshot, there, gone);
	assert_int_equal(result.snapshot->root.entries, 9);
	archive_fixture_expect(f->repo, result.snapshot, "deep/4", "4", 1);
	snapshot_free(result.snapshot);
}

static void test_sources__the_root_has_the_attributes_of_the_first_path_with_a_slash(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char *const paths[] = {"x", "y/"};

	archive_fixture_write(f, "x", "1", 1);
	archive_fixture_write(f, "y/3", "3", 1);
	char *y = archive_fixture_path(f, "y");
	assert_int_equal(chmod(y, 0751), 0);
	assert_int_equal(try_paths(f, paths, 2, &result, NULL), 0);
	assert_int_equal(result.snapshot->top.mode, S_IFDIR | 0751);
	snapshot_free(result.snapshot);
	free(y);
}

static void test_sources__two_of_one_name_are_refused(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	struct error err = ERROR_INIT;
	static const char *const paths[] = {"a/same", "b/"};

	archive_fixture_write(f, "a/same", "1", 1);
	archive_fixture_write(f, "b/same", "2", 1);
	assert_int_equal(try_paths(f, paths, 2, &result, &err), ERR_USAGE);
	assert_non_null(strstr(error_text(&err), "'same'"));
}

static void test_sources__a_link_is_kept_as_one_and_followed_with_a_slash(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char *const as_link[] = {"link"}, *const followed[] = {"link/"};
	char *link = archive_fixture_path(f, "link");

	archive_fixture_write(f, "real/file", "1", 1);
	assert_int_equal(symlink("real", link), 0);
	assert_int_equal(try_paths(f, as_link, 1, &result, NULL), 0);
	assert_int_equal(result.others, 1);
	assert_false(archive_fixture_has(f->repo, result.snapshot, "link/file"));
	snapshot_free(result.snapshot);
	assert_int_equal(try_paths(f, followed, 1, &result, NULL), 0);
	assert_true(archive_fixture_has(f->repo, result.snapshot, "file"));
	snapshot_free(result.snapshot);
	free(link);
}

static void test_sources__a_missing_one_ends_the_run_and_leaves_no_snapshot(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;
	static const char *const paths[] = {"x", "not-there"};

	archive_fixture_write(f, "x", "1", 1);
	assert_int_equal(try_paths(f, paths, 2, &result, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "not-there"));
	assert_int_equal(snapset_load(f->repo, f->catalog, NULL, &set, NULL), 0);
	assert_int_equal(set->count, 0);
	snapset_unref(set);
}

static void test_sources__an_empty_folder_is_a_snapshot_without_entries(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result first, second;

	archive_fixture_backup(f, &first);
	assert_int_equal(first.snapshot->root.entries, 0);
	assert_int_equal(first.snapshot->state, SNAPSHOT_WHOLE);
	archive_fixture_write(f, "later", "1", 1);
	archive_fixture_backup(f, &second);
	archive_fixture_expect(f->repo, second.snapshot, "later", "1", 1);
	snapshot_free(first.snapshot);
	snapshot_free(second.snapshot);
}

static void test_sources__what_is_excluded_is_left_out_untold(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char tmp[] = "*.tmp", cache[] = "cache/", top[] = "/top", keep[] = "!keep.tmp";
	char *patterns[] = {tmp, cache, top, keep};
	static const char *const there[] = {"a", "keep.tmp", "sub", "sub/top", "cache.txt"};
	static const char *const gone[] = {"b.tmp", "cache", "cache/in", "top", "sub/cache", "sub/c.tmp"};
	static const char *const files[] = {
		"a", "b.tmp", "keep.tmp", "cache/in", "top", "sub/top", "sub/cache/x", "sub/c.tmp", "cache.txt"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		archive_fixture_write(f, files[i], "1", 1);
	options.excludes = patterns;
	options.exclude_count = ARRAY_LEN(patterns);
	archive_fixture_run(f, &options, &result);
	EXPECT_NAMES(f, result.snapshot, there, gone);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	assert_int_equal(f->warnings, 0);
	snapshot_free(result.snapshot);
}

static void test_sources__a_place_to_skip_is_kept_empty(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char *repository = archive_fixture_path(f, "repository");
	const char *skip[] = {repository, "/not/there"};

	archive_fixture_write(f, "repository/packs/1", "1", 1);
	archive_fixture_write(f, "data", "1", 1);
	options.skip_paths = skip;
	options.skip_count = 2;
	archive_fixture_run(f, &options, &result);
	assert_true(archive_fixture_has(f->repo, result.snapshot, "repository"));
	assert_false(archive_fixture_has(f->repo, result.snapshot, "repository/packs"));
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	snapshot_free(result.snapshot);
	free(repository);
}

static void test_sources__one_file_system_keeps_a_mount_point_and_does_not_enter(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char *mnt = archive_fixture_path(f, "mnt");

	assert_int_equal(mkdir(mnt, 0755), 0);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", mnt, "tmpfs", 0, NULL) < 0) {
		free(mnt);
		skip();
		return;
	}
	archive_fixture_write(f, "mnt/inside", "1", 1);
	options.one_file_system = true;
	archive_fixture_run(f, &options, &result);
	assert_true(archive_fixture_has(f->repo, result.snapshot, "mnt"));
	assert_false(archive_fixture_has(f->repo, result.snapshot, "mnt/inside"));
	snapshot_free(result.snapshot);
	options.one_file_system = false;
	archive_fixture_run(f, &options, &result);
	assert_true(archive_fixture_has(f->repo, result.snapshot, "mnt/inside"));
	snapshot_free(result.snapshot);
	assert_int_equal(umount(mnt), 0);
	free(mnt);
}

/* Nobody may be refused, root may not: so it is nobody's run. */
static void test_sources__what_cannot_be_read_is_told_and_the_rest_is_kept(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char *file = archive_fixture_path(f, "closed"), *folder = archive_fixture_path(f, "shut");

	if (geteuid() != 0)
		skip();
	archive_fixture_write(f, "closed", "1", 1);
	archive_fixture_write(f, "open", "2", 1);
	archive_fixture_write(f, "shut/in", "3", 1);
	assert_int_equal(chmod(file, 0) | chmod(folder, 0) | chmod(f->dir, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	struct error err = ERROR_INIT;
	int r = archive_fixture_try(f, &result, &err);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, 0);
	assert_int_equal(result.snapshot->state, SNAPSHOT_INCOMPLETE);
	assert_int_equal(result.skipped, 2);
	assert_int_equal(f->warnings, 2);
	assert_int_equal(result.snapshot->note_count, 2);
	archive_fixture_expect(f->repo, result.snapshot, "open", "2", 1);
	assert_false(archive_fixture_has(f->repo, result.snapshot, "closed"));
	assert_true(archive_fixture_has(f->repo, result.snapshot, "shut"));
	snapshot_free(result.snapshot);
	free(file);
	free(folder);
}

/* The folder that a source lies in may be one that is not the user's to list. */
static void test_sources__a_path_in_a_folder_that_cannot_be_listed_is_saved(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char *const paths[] = {"home/mine"};
	char *home = archive_fixture_path(f, "home");

	if (geteuid() != 0)
		skip();
	archive_fixture_write(f, "home/mine/file", "1", 1);
	assert_int_equal(chmod(home, 0711) | chmod(f->dir, 0711), 0);
	assert_int_equal(seteuid(65534), 0);
	int r = try_paths(f, paths, 1, &result, NULL);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, 0);
	archive_fixture_expect(f->repo, result.snapshot, "mine/file", "1", 1);
	snapshot_free(result.snapshot);
	free(home);
}

static void test_sources__a_dry_run_counts_and_stores_nothing(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	uint64_t puts = store_fault_calls(f->store, FAULT_PUT);

	archive_fixture_write(f, "a/1", "1", 1);
	archive_fixture_write(f, "a/22", "22", 2);
	options.dry_run = true;
	archive_fixture_run(f, &options, &result);
	assert_null(result.snapshot);
	assert_int_equal(result.files, 2);
	assert_int_equal(result.dirs, 1);
	assert_int_equal(result.bytes, 3);
	assert_int_equal(result.new_files, 2);
	assert_int_equal(store_fault_calls(f->store, FAULT_PUT), puts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_sources__a_path_adds_its_name_a_path_with_a_slash_what_is_inside),
		ARCHIVE_CASE(test_sources__the_root_has_the_attributes_of_the_first_path_with_a_slash),
		ARCHIVE_CASE(test_sources__two_of_one_name_are_refused),
		ARCHIVE_CASE(test_sources__a_link_is_kept_as_one_and_followed_with_a_slash),
		ARCHIVE_CASE(test_sources__a_missing_one_ends_the_run_and_leaves_no_snapshot),
		ARCHIVE_CASE(test_sources__an_empty_folder_is_a_snapshot_without_entries),
		ARCHIVE_CASE(test_sources__what_is_excluded_is_left_out_untold),
		ARCHIVE_CASE(test_sources__a_place_to_skip_is_kept_empty),
		ARCHIVE_CASE(test_sources__one_file_system_keeps_a_mount_point_and_does_not_enter),
		ARCHIVE_CASE(test_sources__what_cannot_be_read_is_told_and_the_rest_is_kept),
		ARCHIVE_CASE(test_sources__a_path_in_a_folder_that_cannot_be_listed_is_saved),
		ARCHIVE_CASE(test_sources__a_dry_run_counts_and_stores_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

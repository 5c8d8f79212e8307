/* SPDX-License-Identifier: MIT */
/* Mount points from outside, as far as that goes without a mount. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/checked.h"
#include "fs/mountinfo.h"
#include "fs/mountpoint.h"
#include "fs/unmount.h"

static const uint8_t repository[MOUNTPOINT_REPO_LEN] = "0123456789abcde";

static void expect_round_trip(const char *dataset, const char *snapshot, const char *path)
{
	struct mountpoint_ref ref = {0};
	char *text = mountpoint_ref_format(repository, dataset, snapshot, path, strlen(path));
	assert_non_null(text);
	for (const char *p = text; *p != '\0'; p++)
		assert_in_range(*p, '!', '~');
	assert_true(mountpoint_ref_parse(text, strlen(text), &ref));
	assert_memory_equal(ref.repository, repository, sizeof(repository));
	assert_string_equal(ref.dataset, dataset);
	assert_string_equal(ref.snapshot, snapshot);
	assert_string_equal(ref.path, path);
	assert_null(ref.mountpoint);
	mountpoint_ref_release(&ref);
	free(text);
}

static void test_mountpoint_ref__any_name_comes_back_as_it_was(void **state)
{
	char every[256];
	(void)state;
	for (unsigned i = 0; i < 255; i++)
		every[i] = (char)(i + 1);
	every[255] = '\0';
	expect_round_trip("db", "2024-01-15T14:30:41", "app.sql");
	expect_round_trip("", "", "");
	expect_round_trip("db", "", "");
	expect_round_trip("n\xc3\xa4me with: 100% odd", "2024-01-15T14:30.partial", "a:b%41/\xff\xfe\n");
	expect_round_trip("db", "x", every);
}

static void test_mountpoint_ref__is_the_text_that_is_promised(void **state)
{
	(void)state;
	char *text = mountpoint_ref_format(repository, "a b", "2024-01-15T14:30", "x/y", 3);
	assert_string_equal(text, "drfs1:30313233343536373839616263646500:a%20b:2024-01-15T14%3a30:x/y");
	free(text);
}

static void test_mountpoint_ref_parse__anything_else_is_refused(void **state)
{
	static const char *const bad[] = {"", "drfs1", "drfs1:::::", "drfs2:30313233343536373839616263646500:a:b:c",
		"drfs1:30313233343536373839616263646500:a:b", "drfs1:30313233343536373839616263646500:a:b:c:d",
		"drfs1:3031323334353637383961626364650:a:b:c", "drfs1:30313233343536373839616263646500:%zz:b:c",
		"drfs1:30313233343536373839616263646500:a:b:%4", "drfs1:30313233343536373839616263646500:a:b:%",
		"drfs1:30313233343536373839616263646500:a%00:b:c", "DRFS1:30313233343536373839616263646500:a:b:c"};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct mountpoint_ref ref = {0};
		if (mountpoint_ref_parse(bad[i], strlen(bad[i]), &ref))
			fail_msg("'%s' was taken", bad[i]);
		assert_null(ref.dataset);
	}
	assert_false(mountpoint_ref_parse(
		"drfs1:30313233343536373839616263646500:a\0:b:c", 45, &(struct mountpoint_ref){0}));
}

static void test_mountinfo_parse__takes_escapes_and_optional_fields(void **state)
{
	char line[] = "42 27 0:39 / /mnt/a\\040b\\134c rw,nosuid shared:7 master:1 - fuse.drfs s3://b rw,user_id=0\n";
	char plain[] = "36 35 98:1 /sub /mnt rw - ext4 /dev/root rw\n";
	struct mountinfo_row row;
	(void)state;
	assert_true(mountinfo_parse(line, &row));
	assert_string_equal(row.mountpoint, "/mnt/a b\\c");
	assert_string_equal(row.root, "/");
	assert_true(mountinfo_is_drfs(&row));
	assert_int_equal(major(row.dev), 0);
	assert_int_equal(minor(row.dev), 39);
	assert_true(mountinfo_parse(plain, &row));
	assert_string_equal(row.root, "/sub");
	assert_int_equal(major(row.dev), 98);
	assert_false(mountinfo_is_drfs(&row));
}

static void test_mountinfo_parse__a_line_cut_short_is_refused(void **state)
{
	static const char whole[] = "42 27 0:39 / /mnt rw shared:7 - fuse.drfs";
	struct mountinfo_row row;
	(void)state;
	/* Up to the blank before the type. */
	for (size_t len = 0; len < strlen(whole) - strlen("fuse.drfs"); len++) {
		char line[sizeof(whole)];
		snprintf(line, sizeof(line), "%.*s", (int)len, whole);
		if (len + 1 < strlen(whole) - strlen("fuse.drfs") && mountinfo_parse(line, &row))
			fail_msg("taken at %zu", len);
	}
}

static void test_mountpoint_kind__knows_mounts_from_folders(void **state)
{
	enum mountpoint_kind kind = MOUNTPOINT_DRFS;
	(void)state;
	assert_int_equal(mountpoint_kind("/proc", &kind, NULL), 0);
	assert_int_equal(kind, MOUNTPOINT_OTHER);
	assert_int_equal(mountpoint_kind("/proc/", &kind, NULL), 0);
	assert_int_equal(kind, MOUNTPOINT_OTHER);
	assert_int_equal(mountpoint_kind("/proc/self", &kind, NULL), 0);
	assert_int_equal(kind, MOUNTPOINT_NONE);
	assert_int_equal(mountpoint_kind("/no/such/folder", &kind, NULL), ERR_NOT_FOUND);
}

/* A folder for one test, with what is in it taken away at the end. */
static int make_folder(void **state)
{
	static char folder[64];
	strcpy(folder, "/tmp/drfs-mountpoint-XXXXXX");
	*state = mkdtemp(folder);
	return *state == NULL;
}

static int remove_folder(void **state)
{
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", (const char *)*state);
	return system(command);
}

/* Expects mountpoint_check() of `folder`/`name` to end in `code`; 0: with that path as the result. */
static void check_ends(const char *folder, const char *name, const char *repo, int code, const char *word)
{
	char path[256], *found = NULL;
	struct error err = ERROR_INIT;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(mountpoint_check(path, repo, &found, &err), code);
	if (code == 0) {
		char *real = realpath(path, NULL);
		assert_string_equal(found, real);
		free(real);
		free(found);
	} else {
		assert_null(found);
		assert_non_null(strstr(error_text(&err), word));
	}
}

static void put_file(const char *folder, const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static void put_dir(const char *folder, const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void test_mountpoint_check__an_empty_folder_apart_from_the_repository_is_good(void **state)
{
	char repo[128], link[128];
	put_dir(*state, "empty");
	put_dir(*state, "repo");
	put_dir(*state, "repo/packs");
	put_dir(*state, "repository");
	snprintf(repo, sizeof(repo), "%s/repo", (char *)*state);
	snprintf(link, sizeof(link), "%s/link", (char *)*state);
	assert_int_equal(symlink("empty", link), 0);
	check_ends(*state, "empty", repo, 0, NULL);
	check_ends(*state, "empty/", NULL, 0, NULL);
	check_ends(*state, "link", repo, 0, NULL);
	check_ends(*state, "repository", repo, 0, NULL);
	check_ends(*state, "repo/packs", repo, ERR_USAGE, "apart");
	check_ends(*state, "repo", repo, ERR_USAGE, "apart");
	check_ends(*state, "", repo, ERR_USAGE, "apart");
}

static void test_mountpoint_check__what_cannot_be_one_says_why(void **state)
{
	put_dir(*state, "full");
	put_file(*state, "full/file");
	put_file(*state, "file");
	check_ends(*state, "full", NULL, ERR_USAGE, "not empty");
	check_ends(*state, "file", NULL, ERR_USAGE, "not a folder");
	check_ends(*state, "file/x", NULL, ERR_USAGE, "not a folder");
	check_ends(*state, "missing", NULL, ERR_NOT_FOUND, "mkdir -p");
}

static void test_mountpoint_ref__outside_of_a_mount_there_is_none(void **state)
{
	char path[128];
	struct mountpoint_ref ref = {0};
	struct mountpoint_status status = {0};
	struct error err = ERROR_INIT;
	put_file(*state, "file");
	snprintf(path, sizeof(path), "%s/file", (char *)*state);
	assert_int_equal(mountpoint_ref(path, &ref, &err), ERR_NOT_FOUND);
	assert_int_equal(err.sys_errno, 0);
	assert_int_equal(mountpoint_ref("/no/such/file", &ref, &err), ERR_NOT_FOUND);
	assert_int_not_equal(err.sys_errno, 0);
	assert_int_equal(mountpoint_status(*state, &status, NULL), ERR_NOT_FOUND);
	assert_int_equal(unmount_run(*state, 0, NULL), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mountpoint_ref__any_name_comes_back_as_it_was),
		cmocka_unit_test(test_mountpoint_ref__is_the_text_that_is_promised),
		cmocka_unit_test(test_mountpoint_ref_parse__anything_else_is_refused),
		cmocka_unit_test(test_mountinfo_parse__takes_escapes_and_optional_fields),
		cmocka_unit_test(test_mountinfo_parse__a_line_cut_short_is_refused),
		cmocka_unit_test(test_mountpoint_kind__knows_mounts_from_folders),
		cmocka_unit_test_setup_teardown(
			test_mountpoint_check__an_empty_folder_apart_from_the_repository_is_good, make_folder,
			remove_folder),
		cmocka_unit_test_setup_teardown(
			test_mountpoint_check__what_cannot_be_one_says_why, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			test_mountpoint_ref__outside_of_a_mount_there_is_none, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

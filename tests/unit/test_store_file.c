/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/store_conformance.h"
#include "tests/unit/store_place.h"

static int place_open(void *arg, struct store **ret_store, struct error *err)
{
	struct place *place = arg;
	struct store_options options = {.create = true};

	strcpy(place->root, place->shm && access("/dev/shm", W_OK) == 0 ? "/dev/shm/drfs-store-file-XXXXXX"
									: "/tmp/drfs-store-file-XXXXXX");
	if (!mkdtemp(place->root))
		return error_set_errno(err, errno, "mkdtemp");
	(void)snprintf(place->repo, sizeof(place->repo), "%s/repo", place->root);
	int rc = store_file_open(place->repo, &options, ret_store, err);
	if (rc == 0)
		atomic_store(&store_file_of(*ret_store)->named, place->named);
	return rc;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* ---- opening ---- */

static void test_open__missing_folder_is_no_repository(void **state)
{
	struct place *place = *state;
	struct error err = ERROR_INIT;
	struct store *s;
	struct stat st;

	assert_int_equal(store_open(place->repo, NULL, &s, &err), ERR_NO_REPO);
	assert_non_null(strstr(error_text(&err), place->repo));
	assert_int_equal(stat(place->repo, &st), -1);
}

static void test_open__create_makes_a_private_folder_and_never_its_parents(void **state)
{
	struct place *place = *state;
	struct store_options options = {.create = true};
	struct error err = ERROR_INIT;
	struct store *s;
	struct stat st;

	assert_int_equal(store_open(place_inside(place, "deeper/repo"), &options, &s, &err), ERR_NO_REPO);
	assert_non_null(strstr(error_text(&err), place_inside(place, "deeper' is not there")));
	assert_int_equal(stat(place->repo, &st), -1);
	store_close(place_open_repo(place, true));
	assert_int_equal(stat(place->repo, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* Once more: an init that was interrupted may run again. */
	s = place_open_repo(place, true);
	assert_int_equal(place_count_listed(s), 0);
	store_close(s);
}

static void test_open__a_file_is_no_repository(void **state)
{
	struct place *place = *state;
	struct store_options options = {.create = true};
	struct store *s;

	write_file(place->repo, "x");
	assert_int_equal(store_open(place->repo, NULL, &s, NULL), ERR_NO_REPO);
	assert_int_equal(store_open(place->repo, &options, &s, NULL), ERR_NO_REPO);
}

static void test_open__every_way_to_write_a_path_leads_to_the_same_folder(void **state)
{
	struct place *place = *state;
	char before[PATH_LEN];
	char url[PATH_LEN];
	static const char *const forms[] = {
		"file://%s/re%%70o", "file://localhost%s/repo", "file:%s/repo/", "%s//repo//"};

	struct store *s = place_open_repo(place, true);
	place_put_text(s, "config", "here");
	assert_string_equal(s->local_path, place->repo);
	store_close(s);
	for (size_t i = 0; i < 4; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(url, sizeof(url), forms[i], place->root);
#pragma GCC diagnostic pop
		assert_int_equal(store_open(url, NULL, &s, NULL), 0);
		assert_string_equal(s->local_path, place->repo);
		assert_place_reads(s, "config", "here");
		store_close(s);
	}
	/* A relative path, too; a later chdir() must not matter. */
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(place->root), 0);
	assert_int_equal(store_open("repo", NULL, &s, NULL), 0);
	assert_int_equal(chdir(before), 0);
	assert_string_equal(s->local_path, place->repo);
	assert_place_reads(s, "config", "here");
	store_close(s);
}

/* ---- what lies in the folder ---- */

static void test_put__folder_holds_objects_only_and_they_are_private(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	struct stat st;

	place_put_text(s, "packs/ab/abc", "x");
	place_put_text(s, "config", "y");
	assert_int_equal(store_put_mem(s, NULL, "config", "z", 1, NULL, NULL), ERR_EXISTS);
	assert_int_equal(place_count_files(place->repo), 2);
	assert_int_equal(stat(place_inside(place, "packs/ab/abc"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(stat(place_inside(place, "packs/ab"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	store_close(s);
}

static void test_put__date_is_the_files_own(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	struct store_reply reply = {0};
	struct stat st;

	assert_int_equal(store_put_mem(s, NULL, "snapshots/x", "x", 1, &reply, NULL), 0);
	assert_int_equal(stat(place_inside(place, "snapshots/x"), &st), 0);
	assert_int_equal(reply.date, st.st_mtim.tv_sec * CLOCK_SECOND + st.st_mtim.tv_nsec);
	store_close(s);
}

static void test_tmpfile__is_taken_over_without_copying(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	struct stat ours;
	struct stat st;
	int fd = -1;

	assert_int_equal(store_tmpfile(s, "packs/ab/abc", &fd, NULL), 0);
	if (fd < 0) {
		store_close(s);
		skip(); /* this file system has no unnamed files */
	}
	assert_int_equal(write(fd, "taken", 5), 5);
	assert_int_equal(place_count_files(place->repo), 0);
	struct store_body body = {.fd = fd, .len = 5};
	assert_int_equal(store_put(s, NULL, "packs/ab/abc", &body, NULL, NULL), 0);
	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(stat(place_inside(place, "packs/ab/abc"), &st), 0);
	assert_int_equal(st.st_ino, ours.st_ino);
	assert_int_equal(st.st_mode & 07777, 0400);
	/* Under a second name it is a copy: two objects never share a file. */
	assert_int_equal(store_put(s, NULL, "packs/ab/abd", &body, NULL, NULL), 0);
	assert_int_equal(stat(place_inside(place, "packs/ab/abd"), &st), 0);
	assert_true(st.st_ino != ours.st_ino);
	close(fd);
	assert_place_reads(s, "packs/ab/abc", "taken");
	assert_place_reads(s, "packs/ab/abd", "taken");
	store_close(s);
}

static void test_tmpfile__with_more_than_announced_is_copied(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	int fd = -1;

	assert_int_equal(store_tmpfile(s, "packs/ab/abc", &fd, NULL), 0);
	if (fd >= 0) {
		assert_int_equal(write(fd, "0123456789", 10), 10);
		struct store_body body = {.fd = fd, .len = 4};
		assert_int_equal(store_put(s, NULL, "packs/ab/abc", &body, NULL, NULL), 0);
		close(fd);
		assert_place_reads(s, "packs/ab/abc", "0123");
	}
	store_close(s);
}

static void test_put__callers_own_unnamed_file_stays_his(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);

	int fd = open(place->root, O_TMPFILE | O_RDWR, 0600);
	if (fd < 0) {
		store_close(s);
		skip();
	}
	assert_int_equal(write(fd, "first", 5), 5);
	struct store_body body = {.fd = fd, .len = 5};
	assert_int_equal(store_put(s, NULL, "packs/ab/abc", &body, NULL, NULL), 0);
	/* He uses it again for what comes next. */
	assert_int_equal(pwrite(fd, "other", 5, 0), 5);
	assert_int_equal(store_put(s, NULL, "packs/ab/abd", &body, NULL, NULL), 0);
	close(fd);
	assert_place_reads(s, "packs/ab/abc", "first");
	assert_place_reads(s, "packs/ab/abd", "other");
	store_close(s);
}

static void test_list__what_is_no_object_is_not_shown(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);

	place_put_text(s, "packs/ab/abc", "x");
	write_file(place_inside(place, STORE_FILE_TEMP_PREFIX "0123456789abcdef"), "half");
	write_file(place_inside(place, "README.TXT"), "no object");
	assert_int_equal(mkdir(place_inside(place, "lost+found"), 0700), 0);
	assert_int_equal(mkfifo(place_inside(place, "fifo"), 0600), 0);
	assert_int_equal(place_count_listed(s), 1);
	store_close(s);
}

static void test_links__are_never_followed(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	struct error err = ERROR_INIT;
	char outside[PATH_LEN];
	size_t count = 0;
	size_t n;
	char byte;

	(void)snprintf(outside, sizeof(outside), "%s/outside", place->root);
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(symlink(outside, place_inside(place, "packs")), 0);
	write_file(strcat(outside, "/x"), "secret");
	assert_int_equal(store_get(s, NULL, "packs/x", 0, 1, &byte, &n, &err), ERR_IO);
	assert_non_null(strstr(error_text(&err), "symbolic link"));
	assert_int_equal(store_put_mem(s, NULL, "packs/y", "y", 1, NULL, NULL), ERR_IO);
	assert_int_equal(store_del(s, NULL, "packs/x", NULL), ERR_IO);
	assert_int_equal(store_list(s, NULL, "", "", place_count_names, &count, NULL), ERR_IO);
	assert_int_equal(store_list(s, NULL, "packs/", "", place_count_names, &count, NULL), ERR_IO);
	assert_int_equal(access(outside, F_OK), 0);
	store_close(s);
}

static void test_names__of_folders_and_objects_do_not_mix(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);

	place_put_text(s, "a/b", "x");
	assert_int_equal(store_put_mem(s, NULL, "a", "y", 1, NULL, NULL), ERR_EXISTS);
	assert_int_equal(store_put_mem(s, NULL, "a/b/c", "y", 1, NULL, NULL), ERR_EXISTS);
	assert_int_equal(place_count_listed(s), 1);
	store_close(s);
}

/* ---- objects kept open ---- */

static void test_get__object_replaced_by_another_process_is_seen(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	struct store *other = place_open_repo(place, false);
	size_t n;
	char byte;

	place_put_text(s, "packs/ab/abc", "damaged");
	assert_place_reads(s, "packs/ab/abc", "damaged");
	assert_int_equal(store_del(other, NULL, "packs/ab/abc", NULL), 0);
	assert_int_equal(store_get(s, NULL, "packs/ab/abc", 0, 1, &byte, &n, NULL), ERR_NOT_FOUND);
	place_put_text(other, "packs/ab/abc", "mended copy");
	assert_place_reads(s, "packs/ab/abc", "mended copy");
	store_close(other);
	store_close(s);
}

static size_t open_fds(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_get__open_files_stay_few(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	char name[32];
	size_t before = open_fds();

	for (unsigned i = 0; i < 3 * FILE_FDS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "packs/%02x/x", i);
		place_put_text(s, name, name);
		assert_place_reads(s, name, name);
	}
	assert_true(open_fds() <= before + FILE_FDS_MAX);
	for (unsigned i = 0; i < 3 * FILE_FDS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "packs/%02x/x", i);
		assert_place_reads(s, name, name);
		assert_int_equal(store_del(s, NULL, name, NULL), 0);
	}
	assert_int_equal(open_fds(), before);
	store_close(s);
}

static void test_fds__object_deleted_while_it_was_opened_is_not_kept(void **state)
{
	struct file_fds *fds = file_fds_new();

	(void)state;
	assert_non_null(fds);
	uint64_t epoch = file_fds_epoch(fds);
	int fd = open("/dev/null", O_RDONLY);
	assert_true(fd >= 0);
	file_fds_drop(fds, "packs/x"); /* between the opening and the adding */
	struct file_fd *entry = file_fds_add(fds, epoch, "packs/x", fd);
	assert_non_null(entry);
	assert_int_equal(entry->fd, fd);
	assert_null(file_fds_take(fds, "packs/x"));
	file_fds_put(fds, entry);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	file_fds_free(fds);
}

static void test_fds__dropped_object_stays_open_for_who_uses_it(void **state)
{
	struct file_fds *fds = file_fds_new();

	(void)state;
	assert_non_null(fds);
	int fd = open("/dev/null", O_RDONLY);
	struct file_fd *entry = file_fds_add(fds, file_fds_epoch(fds), "packs/x", fd);
	assert_non_null(entry);
	assert_ptr_equal(file_fds_take(fds, "packs/x"), entry);
	file_fds_put(fds, entry);
	file_fds_drop(fds, "packs/x");
	assert_null(file_fds_take(fds, "packs/x"));
	assert_true(fcntl(fd, F_GETFD) >= 0);
	file_fds_put(fds, entry);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	file_fds_free(fds);
}

static void test_put__folder_that_was_removed_is_made_again(void **state)
{
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);

	place_put_text(s, "packs/ab/abc", "x");
	assert_int_equal(store_del(s, NULL, "packs/ab/abc", NULL), 0);
	assert_int_equal(rmdir(place_inside(place, "packs/ab")), 0);
	assert_int_equal(rmdir(place_inside(place, "packs")), 0);
	place_put_text(s, "packs/ab/abc", "y");
	assert_place_reads(s, "packs/ab/abc", "y");
	store_close(s);
}

int main(void)
{
	static struct place unnamed;
	static struct place named = {.named = true};
	static struct place shm = {.shm = true};
	static const struct store_factory factories[] = {
		{.label = "store file conforms",
			.open = place_open,
			.clean = place_clean,
			.arg = &unnamed,
			.many = 300},
		{.label = "store file with temporary names conforms",
			.open = place_open,
			.clean = place_clean,
			.arg = &named,
			.many = 300},
		{.label = "store file in memory conforms", .open = place_open, .clean = place_clean, .arg = &shm},
	};
	static const struct CMUnitTest tests[] = {
		AT_PLACE(test_open__missing_folder_is_no_repository),
		AT_PLACE(test_open__create_makes_a_private_folder_and_never_its_parents),
		AT_PLACE(test_open__a_file_is_no_repository),
		AT_PLACE(test_open__every_way_to_write_a_path_leads_to_the_same_folder),
		AT_PLACE(test_put__folder_holds_objects_only_and_they_are_private),
		AT_PLACE(test_put__date_is_the_files_own),
		AT_PLACE(test_tmpfile__is_taken_over_without_copying),
		AT_PLACE(test_tmpfile__with_more_than_announced_is_copied),
		AT_PLACE(test_put__callers_own_unnamed_file_stays_his),
		AT_PLACE(test_list__what_is_no_object_is_not_shown),
		AT_PLACE(test_links__are_never_followed),
		AT_PLACE(test_names__of_folders_and_objects_do_not_mix),
		AT_PLACE(test_get__object_replaced_by_another_process_is_seen),
		AT_PLACE(test_get__open_files_stay_few),
		cmocka_unit_test(test_fds__object_deleted_while_it_was_opened_is_not_kept),
		cmocka_unit_test(test_fds__dropped_object_stays_open_for_who_uses_it),
		AT_PLACE(test_put__folder_that_was_removed_is_made_again),
	};
	int failed = 0;

	(void)unsetenv("DRFS_FAULT");
	for (size_t i = 0; i < sizeof(factories) / sizeof(factories[0]); i++)
		failed += store_conformance_run(&factories[i]);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}

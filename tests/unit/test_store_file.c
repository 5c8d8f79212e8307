/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/store_file.h"
#include "base/clock.h"
#include "tests/unit/store_conformance.h"

enum { PATH_LEN = 512 };

/* A temporary folder, and the store in its subfolder "repo". */
struct place {
	char root[64];
	char repo[80];
	bool named;   /* force temporary names, as on file systems without unnamed files */
	bool shm;     /* on a file system in memory, where an fsync costs nothing */
	bool mounted; /* root carries a mount of its own */
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void place_clean(void *arg)
{
	struct place *place = arg;

	if (place->mounted)
		(void)umount2(place->root, MNT_DETACH);
	place->mounted = false;
	(void)nftw(place->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

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

static int set_up(void **state)
{
	static struct place place;

	place = (struct place){0};
	*state = &place;
	strcpy(place.root, "/tmp/drfs-store-file-XXXXXX");
	if (!mkdtemp(place.root))
		return -1;
	(void)snprintf(place.repo, sizeof(place.repo), "%s/repo", place.root);
	return 0;
}

static int tear_down(void **state)
{
	place_clean(*state);
	return 0;
}

static struct store *open_repo(const struct place *place, bool create)
{
	struct store_options options = {.create = create};
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	if (store_open(place->repo, &options, &s, &err) != 0)
		fail_msg("%s", error_text(&err));
	return s;
}

static const char *inside(const struct place *place, const char *name)
{
	static char path[PATH_LEN];

	(void)snprintf(path, sizeof(path), "%s/%s", place->repo, name);
	return path;
}

static void put_text(struct store *s, const char *name, const char *text)
{
	struct error err = ERROR_INIT;

	if (store_put_mem(s, NULL, name, text, strlen(text), NULL, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void assert_reads(struct store *s, const char *name, const char *text)
{
	char got[100];
	size_t n = 0;

	assert_int_equal(store_get(s, NULL, name, 0, sizeof(got), got, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static int count_names(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	++*(size_t *)arg;
	return 0;
}

static size_t count_listed(struct store *s)
{
	struct error err = ERROR_INIT;
	size_t count = 0;

	if (store_list(s, NULL, "", "", count_names, &count, &err) != 0)
		fail_msg("%s", error_text(&err));
	return count;
}

static size_t files_seen;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)ftw;
	if (type == FTW_F)
		files_seen++;
	return 0;
}

/* All files below the folder, whatever they are called. */
static size_t count_files(const char *path)
{
	files_seen = 0;
	assert_int_equal(nftw(path, count_file, 16, FTW_PHYS), 0);
	return files_seen;
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

	assert_int_equal(store_open(inside(place, "deeper/repo"), &options, &s, &err), ERR_NO_REPO);
	assert_non_null(strstr(error_text(&err), inside(place, "deeper' is not there")));
	assert_int_equal(stat(place->repo, &st), -1);
	store_close(open_repo(place, true));
	assert_int_equal(stat(place->repo, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	/* Once more: an init that was interrupted may run again. */
	s = open_repo(place, true);
	assert_int_equal(count_listed(s), 0);
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

	struct store *s = open_repo(place, true);
	put_text(s, "config", "here");
	assert_string_equal(s->local_path, place->repo);
	store_close(s);
	for (size_t i = 0; i < 4; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		(void)snprintf(url, sizeof(url), forms[i], place->root);
#pragma GCC diagnostic pop
		assert_int_equal(store_open(url, NULL, &s, NULL), 0);
		assert_string_equal(s->local_path, place->repo);
		assert_reads(s, "config", "here");
		store_close(s);
	}
	/* A relative path, too; a later chdir() must not matter. */
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(place->root), 0);
	assert_int_equal(store_open("repo", NULL, &s, NULL), 0);
	assert_int_equal(chdir(before), 0);
	assert_string_equal(s->local_path, place->repo);
	assert_reads(s, "config", "here");
	store_close(s);
}

/* ---- what lies in the folder ---- */

static void test_put__folder_holds_objects_only_and_they_are_private(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	struct stat st;

	put_text(s, "packs/ab/abc", "x");
	put_text(s, "config", "y");
	assert_int_equal(store_put_mem(s, NULL, "config", "z", 1, NULL, NULL), ERR_EXISTS);
	assert_int_equal(count_files(place->repo), 2);
	assert_int_equal(stat(inside(place, "packs/ab/abc"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(stat(inside(place, "packs/ab"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	store_close(s);
}

static void test_put__date_is_the_files_own(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	struct store_reply reply = {0};
	struct stat st;

	assert_int_equal(store_put_mem(s, NULL, "snapshots/x", "x", 1, &reply, NULL), 0);
	assert_int_equal(stat(inside(place, "snapshots/x"), &st), 0);
	assert_int_equal(reply.date, st.st_mtim.tv_sec * CLOCK_SECOND + st.st_mtim.tv_nsec);
	store_close(s);
}

static void test_tmpfile__is_taken_over_without_copying(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	struct stat ours;
	struct stat st;
	int fd = -1;

	assert_int_equal(store_tmpfile(s, "packs/ab/abc", &fd, NULL), 0);
	if (fd < 0) {
		store_close(s);
		skip(); /* this file system has no unnamed files */
	}
	assert_int_equal(write(fd, "taken", 5), 5);
	assert_int_equal(count_files(place->repo), 0);
	struct store_body body = {.fd = fd, .len = 5};
	assert_int_equal(store_put(s, NULL, "packs/ab/abc", &body, NULL, NULL), 0);
	assert_int_equal(fstat(fd, &ours), 0);
	assert_int_equal(stat(inside(place, "packs/ab/abc"), &st), 0);
	assert_int_equal(st.st_ino, ours.st_ino);
	assert_int_equal(st.st_mode & 07777, 0400);
	/* Under a second name it is a copy: two objects never share a file. */
	assert_int_equal(store_put(s, NULL, "packs/ab/abd", &body, NULL, NULL), 0);
	assert_int_equal(stat(inside(place, "packs/ab/abd"), &st), 0);
	assert_true(st.st_ino != ours.st_ino);
	close(fd);
	assert_reads(s, "packs/ab/abc", "taken");
	assert_reads(s, "packs/ab/abd", "taken");
	store_close(s);
}

static void test_tmpfile__with_more_than_announced_is_copied(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	int fd = -1;

	assert_int_equal(store_tmpfile(s, "packs/ab/abc", &fd, NULL), 0);
	if (fd >= 0) {
		assert_int_equal(write(fd, "0123456789", 10), 10);
		struct store_body body = {.fd = fd, .len = 4};
		assert_int_equal(store_put(s, NULL, "packs/ab/abc", &body, NULL, NULL), 0);
		close(fd);
		assert_reads(s, "packs/ab/abc", "0123");
	}
	store_close(s);
}

static void test_put__callers_own_unnamed_file_stays_his(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);

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
	assert_reads(s, "packs/ab/abc", "first");
	assert_reads(s, "packs/ab/abd", "other");
	store_close(s);
}

static void test_list__what_is_no_object_is_not_shown(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);

	put_text(s, "packs/ab/abc", "x");
	write_file(inside(place, STORE_FILE_TEMP_PREFIX "0123456789abcdef"), "half");
	write_file(inside(place, "README.TXT"), "no object");
	assert_int_equal(mkdir(inside(place, "lost+found"), 0700), 0);
	assert_int_equal(mkfifo(inside(place, "fifo"), 0600), 0);
	assert_int_equal(count_listed(s), 1);
	store_close(s);
}

static void test_links__are_never_followed(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	struct error err = ERROR_INIT;
	char outside[PATH_LEN];
	size_t count = 0;
	size_t n;
	char byte;

	(void)snprintf(outside, sizeof(outside), "%s/outside", place->root);
	assert_int_equal(mkdir(outside, 0700), 0);
	assert_int_equal(symlink(outside, inside(place, "packs")), 0);
	write_file(strcat(outside, "/x"), "secret");
	assert_int_equal(store_get(s, NULL, "packs/x", 0, 1, &byte, &n, &err), ERR_IO);
	assert_non_null(strstr(error_text(&err), "symbolic link"));
	assert_int_equal(store_put_mem(s, NULL, "packs/y", "y", 1, NULL, NULL), ERR_IO);
	assert_int_equal(store_del(s, NULL, "packs/x", NULL), ERR_IO);
	assert_int_equal(store_list(s, NULL, "", "", count_names, &count, NULL), ERR_IO);
	assert_int_equal(store_list(s, NULL, "packs/", "", count_names, &count, NULL), ERR_IO);
	assert_int_equal(access(outside, F_OK), 0);
	store_close(s);
}

static void test_names__of_folders_and_objects_do_not_mix(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);

	put_text(s, "a/b", "x");
	assert_int_equal(store_put_mem(s, NULL, "a", "y", 1, NULL, NULL), ERR_EXISTS);
	assert_int_equal(store_put_mem(s, NULL, "a/b/c", "y", 1, NULL, NULL), ERR_EXISTS);
	assert_int_equal(count_listed(s), 1);
	store_close(s);
}

/* ---- objects kept open ---- */

static void test_get__object_replaced_by_another_process_is_seen(void **state)
{
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	struct store *other = open_repo(place, false);
	size_t n;
	char byte;

	put_text(s, "packs/ab/abc", "damaged");
	assert_reads(s, "packs/ab/abc", "damaged");
	assert_int_equal(store_del(other, NULL, "packs/ab/abc", NULL), 0);
	assert_int_equal(store_get(s, NULL, "packs/ab/abc", 0, 1, &byte, &n, NULL), ERR_NOT_FOUND);
	put_text(other, "packs/ab/abc", "mended copy");
	assert_reads(s, "packs/ab/abc", "mended copy");
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
	struct store *s = open_repo(place, true);
	char name[32];
	size_t before = open_fds();

	for (unsigned i = 0; i < 3 * FILE_FDS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "packs/%02x/x", i);
		put_text(s, name, name);
		assert_reads(s, name, name);
	}
	assert_true(open_fds() <= before + FILE_FDS_MAX);
	for (unsigned i = 0; i < 3 * FILE_FDS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "packs/%02x/x", i);
		assert_reads(s, name, name);
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
	struct store *s = open_repo(place, true);

	put_text(s, "packs/ab/abc", "x");
	assert_int_equal(store_del(s, NULL, "packs/ab/abc", NULL), 0);
	assert_int_equal(rmdir(inside(place, "packs/ab")), 0);
	assert_int_equal(rmdir(inside(place, "packs")), 0);
	put_text(s, "packs/ab/abc", "y");
	assert_reads(s, "packs/ab/abc", "y");
	store_close(s);
}

/* ---- disks that are full, read-only or fail ---- */

/* Mounts a small tmpfs on the place's root, or skips the test. */
static void mount_small(struct place *place, const char *options)
{
	if (mount("drfs-test", place->root, "tmpfs", 0, options) < 0)
		skip();
	place->mounted = true;
}

static void put_too_much(struct place *place, bool named)
{
	enum { LEN = 3 << 20 };
	struct error err = ERROR_INIT;
	char *data = calloc(1, LEN);

	assert_non_null(data);
	struct store *s = open_repo(place, true);
	atomic_store(&store_file_of(s)->named, named);
	put_text(s, "packs/aa/kept", "kept");
	assert_int_equal(store_put_mem(s, NULL, "packs/aa/large", data, LEN, NULL, &err), ERR_NO_SPACE);
	assert_non_null(strstr(error_text(&err), "packs/aa/large"));
	assert_non_null(strstr(error_text(&err), "are missing"));
	assert_int_equal(count_files(place->repo), 1);
	assert_int_equal(count_listed(s), 1);
	/* What was half-written is given back, so that there is room for less. */
	assert_int_equal(store_put_mem(s, NULL, "packs/aa/small", data, LEN / 6, NULL, NULL), 0);
	/* A repeated put needs no room. */
	put_text(s, "packs/aa/kept", "kept");
	store_close(s);
	free(data);
}

static void test_put__full_disk_tells_what_is_missing_and_leaves_nothing(void **state)
{
	mount_small(*state, "size=1m");
	put_too_much(*state, false);
}

static void test_put__full_disk_leaves_no_temporary_name(void **state)
{
	mount_small(*state, "size=1m");
	put_too_much(*state, true);
}

static void test_free_space__is_what_the_file_system_has(void **state)
{
	uint64_t bytes = 0;

	mount_small(*state, "size=1m");
	struct store *s = open_repo(*state, true);
	assert_int_equal(store_free_space(s, &bytes, NULL), 0);
	assert_in_range(bytes, 1, 1 << 20);
	store_close(s);
}

static void test_read_only__reads_work_and_writes_are_denied(void **state)
{
	struct place *place = *state;
	struct error err = ERROR_INIT;

	mount_small(place, "size=1m");
	struct store *s = open_repo(place, true);
	put_text(s, "packs/aa/x", "still here");
	store_close(s);
	assert_int_equal(mount(NULL, place->root, NULL, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
	s = open_repo(place, false);
	assert_reads(s, "packs/aa/x", "still here");
	assert_int_equal(count_listed(s), 1);
	assert_int_equal(store_put_mem(s, NULL, "packs/aa/y", "y", 1, NULL, &err), ERR_DENIED);
	assert_non_null(strstr(error_text(&err), "packs/aa/y"));
	assert_int_equal(store_put_mem(s, NULL, "packs/bb/y", "y", 1, NULL, NULL), ERR_DENIED);
	assert_int_equal(store_del(s, NULL, "packs/aa/x", NULL), ERR_DENIED);
	put_text(s, "packs/aa/x", "still here");
	store_close(s);
}

static void test_put__cancelled_half_way_leaves_nothing(void **state)
{
	enum { LEN = 24 << 20 };
	struct place *place = *state;
	struct store *s = open_repo(place, true);
	/* The deadline passes after the first steps of the copy, or at the latest before its end. */
	struct store_call call = {.deadline = clock_monotonic() + 500 * 1000};
	char *data = malloc(LEN);

	assert_non_null(data);
	memset(data, 'x', LEN);
	assert_int_equal(store_put_mem(s, &call, "packs/aa/x", data, LEN, NULL, NULL), ERR_TIMEOUT);
	assert_int_equal(count_files(place->repo), 0);
	store_close(s);
	free(data);
}

/* ---- killed ---- */

/* Body number i: a length and a filling that tell each byte's right value. */
enum { BODY_MAX = 3 << 20 };
static size_t body_len(unsigned i)
{
	return (i * 7919u * 131u) % BODY_MAX;
}

static void put_until_killed(const struct place *place, bool named)
{
	struct store *s;
	char *data = malloc(BODY_MAX);
	char name[40];

	if (!data || store_open(place->repo, NULL, &s, NULL) != 0)
		_exit(1);
	atomic_store(&store_file_of(s)->named, named);
	for (unsigned i = (unsigned)getpid() * 100000u;; i++) {
		memset(data, (int)(i & 0xff), body_len(i));
		(void)snprintf(name, sizeof(name), "packs/%02x/%u", i & 3, i);
		if (store_put_mem(s, NULL, name, data, body_len(i), NULL, NULL) != 0)
			_exit(1);
	}
}

static int check_whole(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct store *s = arg;
	unsigned i = (unsigned)strtoul(strrchr(name, '/') + 1, NULL, 10);
	struct buf got = {0};

	int rc = store_get_all(s, NULL, name, BODY_MAX, &got, err);
	if (rc == 0 && (size != body_len(i) || got.len != size))
		rc = error_set(err, ERR_CORRUPT, "'%s' is of the wrong length", name);
	for (size_t at = 0; rc == 0 && at < got.len; at++) {
		if (got.data[at] != (i & 0xff))
			rc = error_set(err, ERR_CORRUPT, "'%s' is wrong at %zu", name, at);
	}
	buf_release(&got);
	return rc;
}

static void kill_often(const struct place *place, bool named)
{
	struct error err = ERROR_INIT;
	struct store *s = open_repo(place, true);

	for (unsigned round = 0; round < 12; round++) {
		struct timespec t = {.tv_nsec = 2000000 + 3700000L * round};
		int status = 0;

		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			put_until_killed(place, named);
		(void)nanosleep(&t, NULL);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		if (store_list(s, NULL, "", "", check_whole, s, &err) != 0)
			fail_msg("%s", error_text(&err));
	}
	if (!named)
		assert_int_equal(count_files(place->repo), count_listed(s));
	store_close(s);
}

static void test_kill__every_listed_object_is_whole(void **state)
{
	kill_often(*state, false);
}
static void test_kill__with_temporary_names_every_listed_object_is_whole(void **state)
{
	kill_often(*state, true);
}

#define AT_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

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
		AT_PLACE(test_put__full_disk_tells_what_is_missing_and_leaves_nothing),
		AT_PLACE(test_put__full_disk_leaves_no_temporary_name),
		AT_PLACE(test_free_space__is_what_the_file_system_has),
		AT_PLACE(test_read_only__reads_work_and_writes_are_denied),
		AT_PLACE(test_put__cancelled_half_way_leaves_nothing),
		AT_PLACE(test_kill__every_listed_object_is_whole),
		AT_PLACE(test_kill__with_temporary_names_every_listed_object_is_whole),
	};
	int failed = 0;

	(void)unsetenv("DRFS_FAULT");
	for (size_t i = 0; i < sizeof(factories) / sizeof(factories[0]); i++)
		failed += store_conformance_run(&factories[i]);
	return failed + cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fileio.h"

/* Each test begins in a folder of its own and leaves nothing behind. */
static int set_up(void **state)
{
	char *dir = strdup("/tmp/drfs-test-XXXXXX");
	*state = dir;
	return dir && mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	char *dir = *state;
	char *command = fileio_format("rm -rf '%s'", dir);
	int rc = chdir("/") == 0 && command ? system(command) : -1;
	free(command);
	free(dir);
	return rc;
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static unsigned entries_here(void)
{
	unsigned n = 0;
	FILE *f = popen("ls -A | wc -l", "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%u", &n), 1);
	(void)pclose(f);
	return n;
}

static void test_fileio_create__file_reads_back_with_its_mode(void **state)
{
	(void)state;
	struct buf b = {0};
	mode_t before = umask(022);
	assert_int_equal(fileio_create("key", 0600, "secret", 6, NULL), 0);
	assert_int_equal(fileio_create("plain", 0666, NULL, 0, NULL), 0);
	(void)umask(before);
	assert_int_equal(mode_of("key"), 0600);
	assert_int_equal(mode_of("plain"), 0644);
	assert_int_equal(fileio_slurp("key", 6, &b, NULL), 0);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.data, "secret", 6);
	buf_release(&b);
	assert_int_equal(fileio_slurp("plain", 0, &b, NULL), 0);
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

static void test_fileio_create__an_existing_file_is_left_alone(void **state)
{
	(void)state;
	struct buf b = {0};
	struct error err = ERROR_INIT;
	assert_int_equal(fileio_create("f", 0600, "old", 3, NULL), 0);
	assert_int_equal(fileio_create("f", 0600, "newer", 5, &err), ERR_EXISTS);
	assert_non_null(strstr(error_text(&err), "'f'"));
	assert_int_equal(fileio_slurp("f", 100, &b, NULL), 0);
	assert_memory_equal(b.data, "old", 3);
	assert_int_equal(entries_here(), 1);
	buf_release(&b);
}

static void test_fileio_create__without_a_folder_is_not_found(void **state)
{
	(void)state;
	assert_int_equal(fileio_create("none/f", 0600, "x", 1, NULL), ERR_NOT_FOUND);
}

static void test_fileio_replace__takes_the_place_of_what_is_there(void **state)
{
	(void)state;
	struct buf b = {0};
	assert_int_equal(fileio_replace("f", 0600, "old", 3, NULL), 0);
	assert_int_equal(fileio_replace("f", 0600, "newer", 5, NULL), 0);
	assert_int_equal(mode_of("f"), 0600);
	assert_int_equal(fileio_slurp("f", 100, &b, NULL), 0);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.data, "newer", 5);
	assert_int_equal(entries_here(), 1);
	buf_release(&b);
}

static void test_fileio_replace__what_is_there_stays_when_it_fails(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	assert_int_equal(fileio_mkdirs("d/sub", 0700, NULL), 0);
	assert_true(fileio_replace("d", 0600, "new", 3, &err) < 0);
	assert_non_null(strstr(error_text(&err), "'d'"));
	assert_int_equal(access("d/sub", F_OK), 0);
	assert_int_equal(entries_here(), 1);
}

static void test_fileio_write__full_disk_is_no_space(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK) < 0)
		skip();
	struct error err = ERROR_INIT;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(fileio_write(fd, "/dev/full", "x", 1, &err), ERR_NO_SPACE);
	assert_int_equal(err.sys_errno, ENOSPC);
	assert_non_null(strstr(error_text(&err), "/dev/full"));
	(void)close(fd);
}

static void test_fileio_slurp__larger_than_the_bound_is_refused(void **state)
{
	(void)state;
	struct buf b = {0};
	assert_int_equal(fileio_create("f", 0600, "12345", 5, NULL), 0);
	assert_int_equal(fileio_slurp("f", 4, &b, NULL), ERR_USAGE);
	assert_null(b.data);
	assert_int_equal(fileio_slurp("f", SIZE_MAX, &b, NULL), 0);
	assert_int_equal(b.len, 5);
	buf_release(&b);
	assert_int_equal(fileio_slurp("none", 4, &b, NULL), ERR_NOT_FOUND);
	assert_int_equal(fileio_slurp(".", 4, &b, NULL), ERR_IO);
}

static void test_fileio_slurp__reads_what_has_no_size(void **state)
{
	(void)state;
	struct buf b = {0};
	assert_int_equal(fileio_slurp("/proc/self/status", 1024 * 1024, &b, NULL), 0);
	assert_true(b.len > 100);
	assert_memory_equal(b.data, "Name:", 5);
	buf_release(&b);
	assert_int_equal(fileio_slurp("/dev/zero", 200000, &b, NULL), ERR_USAGE);
}

static void test_fileio__positions_and_short_reads(void **state)
{
	(void)state;
	char got[8] = "";
	size_t n = 99;
	int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fileio_pwrite(fd, "f", "abcdef", 6, 4, NULL), 0);
	assert_int_equal(fileio_pread(fd, "f", got, 8, 2, &n, NULL), 0);
	assert_int_equal(n, 8);
	assert_memory_equal(got, "\0\0abcdef", 8);
	assert_int_equal(fileio_pread(fd, "f", got, 8, 8, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_int_equal(fileio_pread(fd, "f", got, 8, 100, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(fileio_read(fd, "f", got, 8, &n, NULL), 0);
	assert_int_equal(n, 8);
	n = 7;
	assert_true(fileio_pread(fd, "f", got, 8, UINT64_MAX - 2, &n, NULL) < 0);
	assert_true(fileio_pwrite(fd, "f", got, 8, INT64_MAX, NULL) < 0);
	assert_int_equal(n, 7);
	(void)close(fd);
	assert_int_equal(fileio_read(-1, "gone", got, 1, &n, NULL), ERR_IO);
}

static void test_fileio_mkdirs__makes_every_folder_and_may_run_again(void **state)
{
	(void)state;
	mode_t before = umask(0);
	assert_int_equal(fileio_mkdirs("a//b/c/", 0710, NULL), 0);
	(void)umask(before);
	assert_int_equal(mode_of("a"), 0710);
	assert_int_equal(mode_of("a/b/c"), 0710);
	assert_int_equal(fileio_mkdirs("a/b/c", 0700, NULL), 0);
	assert_int_equal(mode_of("a/b/c"), 0710);
	assert_int_equal(fileio_mkdirs("/", 0700, NULL), 0);
	assert_int_equal(fileio_mkdirs("/tmp", 0700, NULL), 0);
	assert_int_equal(fileio_fsync_dir("a/b", NULL), 0);
}

static void test_fileio_mkdirs__a_file_in_the_way_is_told(void **state)
{
	(void)state;
	struct error err = ERROR_INIT;
	assert_int_equal(fileio_create("f", 0600, "x", 1, NULL), 0);
	assert_true(fileio_mkdirs("f", 0700, &err) < 0);
	assert_int_equal(err.sys_errno, ENOTDIR);
	assert_true(fileio_mkdirs("f/g", 0700, &err) < 0);
	assert_true(fileio_mkdirs("", 0700, &err) < 0);
	assert_int_equal(fileio_fsync_dir("none", NULL), ERR_NOT_FOUND);
}

static void test_fileio_tmpfile__has_no_name(void **state)
{
	(void)state;
	int fd = -1;
	struct stat st;
	assert_int_equal(fileio_tmpfile(".", &fd, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_mode & 077, 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(fileio_pwrite(fd, "tmp", "x", 1, 1 << 20, NULL), 0);
	assert_int_equal(entries_here(), 0);
	(void)close(fd);
	assert_int_equal(fileio_tmpfile("none", &fd, NULL), ERR_NOT_FOUND);
}

static void expect_dir(char *(*fn)(void), const char *expected)
{
	char *dir = fn();
	assert_string_equal(dir, expected);
	free(dir);
}

static void test_fileio_dirs__follow_the_environment(void **state)
{
	(void)state;
	(void)setenv("XDG_CACHE_HOME", "/x/c", 1);
	(void)setenv("XDG_STATE_HOME", "/x/s", 1);
	(void)setenv("XDG_RUNTIME_DIR", "/x/r", 1);
	(void)setenv("TMPDIR", "/x/t", 1);
	expect_dir(fileio_cache_dir, "/x/c/drfs");
	expect_dir(fileio_state_dir, "/x/s/drfs");
	expect_dir(fileio_runtime_dir, "/x/r/drfs");
	assert_string_equal(fileio_tmpdir(), "/x/t");
	(void)setenv("XDG_CACHE_HOME", "relative", 1);
	(void)unsetenv("XDG_STATE_HOME");
	(void)unsetenv("XDG_RUNTIME_DIR");
	(void)unsetenv("TMPDIR");
	(void)setenv("HOME", "/h", 1);
	bool root = geteuid() == 0;
	expect_dir(fileio_cache_dir, root ? "/var/cache/drfs" : "/h/.cache/drfs");
	expect_dir(fileio_state_dir, root ? "/var/lib/drfs" : "/h/.local/state/drfs");
	assert_int_equal(access(fileio_tmpdir(), W_OK), 0);
}

static void expect_place(unsigned at, const char *expected)
{
	char *place = fileio_runtime_place(at);
	assert_string_equal(place, expected);
	free(place);
}

static void test_fileio_runtime_place__names_every_place_whatever_the_environment(void **state)
{
	(void)state;
	char named[64], session[64];
	(void)snprintf(named, sizeof(named), geteuid() == 0 ? "/run/drfs" : "/tmp/drfs-%u", (unsigned)geteuid());
	(void)snprintf(session, sizeof(session), "/run/user/%u/drfs", (unsigned)geteuid());
	(void)setenv("XDG_RUNTIME_DIR", "/x/r", 1);
	expect_place(0, "/x/r/drfs");
	expect_place(1, named);
	expect_place(2, session);
	assert_null(fileio_runtime_place(3));
	(void)unsetenv("XDG_RUNTIME_DIR");
	expect_place(0, named);
	expect_place(1, session);
	assert_null(fileio_runtime_place(2));
}

/* Runs in a child as a user without a name or home: the folder is made private, and a foreign one is refused. */
static int runtime_dir_of_stranger(const char *dir)
{
	struct stat st;
	(void)unsetenv("XDG_RUNTIME_DIR");
	char *made = fileio_runtime_dir();
	if (!made || strcmp(made, dir) != 0 || lstat(dir, &st) < 0 || (st.st_mode & 07777) != 0700)
		return 1;
	free(made);
	made = fileio_runtime_dir();
	if (!made)
		return 2;
	free(made);
	if (chmod(dir, 0755) < 0 || fileio_runtime_dir())
		return 3;
	return rmdir(dir) == 0 && symlink("/tmp", dir) == 0 && !fileio_runtime_dir() ? 0 : 4;
}

static void test_fileio_runtime_dir__is_private_to_its_user(void **state)
{
	(void)state;
	static const uid_t stranger = 3999999998u;
	static const char dir[] = "/tmp/drfs-3999999998";
	int status = -1;
	if (geteuid() != 0)
		skip();
	(void)unlink(dir);
	(void)rmdir(dir);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(setresuid(stranger, stranger, stranger) == 0 ? runtime_dir_of_stranger(dir) : 9);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)unlink(dir);
	(void)rmdir(dir);
	assert_int_equal(status, 0);
}

static void test_fileio_format__makes_a_fresh_string(void **state)
{
	(void)state;
	char *s = fileio_format("%s-%d", "a", 7);
	assert_string_equal(s, "a-7");
	free(s);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_fileio_create__file_reads_back_with_its_mode),
		IN_FOLDER(test_fileio_create__an_existing_file_is_left_alone),
		IN_FOLDER(test_fileio_create__without_a_folder_is_not_found),
		IN_FOLDER(test_fileio_replace__takes_the_place_of_what_is_there),
		IN_FOLDER(test_fileio_replace__what_is_there_stays_when_it_fails),
		IN_FOLDER(test_fileio_write__full_disk_is_no_space),
		IN_FOLDER(test_fileio_slurp__larger_than_the_bound_is_refused),
		IN_FOLDER(test_fileio_slurp__reads_what_has_no_size),
		IN_FOLDER(test_fileio__positions_and_short_reads),
		IN_FOLDER(test_fileio_mkdirs__makes_every_folder_and_may_run_again),
		IN_FOLDER(test_fileio_mkdirs__a_file_in_the_way_is_told),
		IN_FOLDER(test_fileio_tmpfile__has_no_name),
		IN_FOLDER(test_fileio_dirs__follow_the_environment),
		IN_FOLDER(test_fileio_runtime_place__names_every_place_whatever_the_environment),
		IN_FOLDER(test_fileio_runtime_dir__is_private_to_its_user),
		IN_FOLDER(test_fileio_format__makes_a_fresh_string),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fileio.h"
#include "saved_tree.h"

void saved_folder(char dst[static SAVED_PATH_MAX])
{
	snprintf(dst, SAVED_PATH_MAX, "%s/drfs-test-XXXXXX", fileio_tmpdir());
	assert_non_null(mkdtemp(dst));
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

void saved_remove(const char *path)
{
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

void saved_join(char dst[static SAVED_PATH_MAX], const char *folder, const char *name)
{
	int n = snprintf(dst, SAVED_PATH_MAX, "%s/%s", folder, name);
	assert_true(n > 0 && n < SAVED_PATH_MAX);
}

void saved_write(const char *folder, const char *name, const void *data, size_t len)
{
	char path[SAVED_PATH_MAX];
	saved_join(path, folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

bool saved_exists(const char *folder, const char *name)
{
	char path[SAVED_PATH_MAX];
	struct stat st;
	saved_join(path, folder, name);
	return lstat(path, &st) == 0;
}

/* ---- making ---- */

static void make_folder(const char *folder, const char *name, mode_t mode)
{
	char path[SAVED_PATH_MAX];
	saved_join(path, folder, name);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void set_time(const char *folder, const char *name, time_t sec, long nsec)
{
	char path[SAVED_PATH_MAX];
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = sec, .tv_nsec = nsec}};
	saved_join(path, folder, name);
	assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Text that is not the same twice and packs a little. */
static uint8_t *make_bytes(size_t len, uint32_t seed)
{
	uint8_t *data = malloc(len + 1);
	assert_non_null(data);
	for (size_t i = 0; i < len; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 28 | 0x40);
	}
	return data;
}

static void write_bytes(const char *folder, const char *name, size_t len, uint32_t seed)
{
	uint8_t *data = make_bytes(len, seed);
	saved_write(folder, name, data, len);
	free(data);
}

static void make_sparse(const char *folder, const char *name, off_t size)
{
	char path[SAVED_PATH_MAX];
	saved_join(path, folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "middle", 6, size / 2), 6);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void make_socket(const char *folder, const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(snprintf(at.sun_path, sizeof(at.sun_path), "%s/%s", folder, name) < (int)sizeof(at.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
}

static void make_links(const char *folder)
{
	char from[SAVED_PATH_MAX], to[SAVED_PATH_MAX];
	saved_join(from, folder, "a/b/first");
	saved_join(to, folder, "z/second");
	write_bytes(folder, "a/b/first", 3000, 5);
	assert_int_equal(link(from, to), 0);
	saved_join(to, folder, "a/third");
	assert_int_equal(link(from, to), 0);
	saved_join(to, folder, "a/pointer");
	assert_int_equal(symlink("/etc/passwd", to), 0);
	saved_join(to, folder, "a/dangling");
	assert_int_equal(symlink("../\xff\xfe", to), 0);
}

static void make_special(const char *folder)
{
	char path[SAVED_PATH_MAX];
	saved_join(path, folder, "a/fifo");
	assert_int_equal(mkfifo(path, 0620), 0);
	make_socket(folder, "a/socket");
	saved_join(path, folder, "a/b/named\xff\n");
	saved_join(path, folder, "a/attributed");
	saved_write(folder, "a/attributed", "x", 1);
	(void)setxattr(path, "user.colour", "blue", 4, 0); /* where the file system takes it */
	if (geteuid() != 0)
		return;
	saved_join(path, folder, "a/null");
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 3)), 0);
	saved_join(path, folder, "a/attributed");
	assert_int_equal(chown(path, 12345, 54321), 0);
	assert_int_equal(chmod(path, 06755), 0);
}

void saved_make_tree(const char *folder)
{
	char name[300];
	make_folder(folder, "a", 0755);
	make_folder(folder, "a/b", 0750);
	make_folder(folder, "empty", 01777);
	make_folder(folder, "z", 0755);
	write_bytes(folder, "nothing", 0, 1);
	write_bytes(folder, "small", 100, 2);
	write_bytes(folder, "medium", 300000, 3);
	write_bytes(folder, "large", 9 << 20, 4);
	make_sparse(folder, "a/sparse", 40 << 20);
	make_sparse(folder, "a/holes", 100000);
	make_links(folder);
	make_special(folder);
	for (unsigned i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "z/file%u", i);
		write_bytes(folder, name, i * 37, i);
	}
	memset(name, 'n', 255);
	name[255] = '\0';
	write_bytes(folder, name, 10, 9);
	write_bytes(folder, "z/\xff\x01name", 10, 10);
	set_time(folder, "small", -123456, 789);
	set_time(folder, "a/pointer", 1000000000, 123456789);
	set_time(folder, "a/fifo", 1000000001, 1);
	set_time(folder, "empty", 1, 999999999);
	set_time(folder, "a/b", 1700000000, 5);
	set_time(folder, "a", 1700000001, 6);
	set_time(folder, "z", 1700000002, 7);
	set_time(folder, ".", 1600000000, 8);
}

void saved_make_small(const char *folder)
{
	make_folder(folder, "d", 0755);
	write_bytes(folder, "one", 500, 1);
	write_bytes(folder, "d/two", 900, 2);
	write_bytes(folder, "d/three", 40, 3);
}

/* ---- comparing ---- */

static void compare_xattrs(const char *a, const char *b)
{
	char names_a[4096], names_b[4096], value_a[4096], value_b[4096];
	ssize_t len_a = llistxattr(a, names_a, sizeof(names_a)), len_b = llistxattr(b, names_b, sizeof(names_b));
	if (len_a != len_b || (len_a > 0 && memcmp(names_a, names_b, (size_t)len_a) != 0))
		fail_msg("'%s' and '%s' have other extended attributes", a, b);
	for (char *n = names_a; len_a > 0 && n < names_a + len_a; n += strlen(n) + 1) {
		ssize_t m = lgetxattr(a, n, value_a, sizeof(value_a)), k = lgetxattr(b, n, value_b, sizeof(value_b));
		if (m != k || (m > 0 && memcmp(value_a, value_b, (size_t)m) != 0))
			fail_msg("'%s' and '%s' have another '%s'", a, b, n);
	}
}

static void compare_bytes(const char *a, const char *b)
{
	char x[65536], y[65536];
	int fa = open(a, O_RDONLY | O_NOFOLLOW), fb = open(b, O_RDONLY | O_NOFOLLOW);
	assert_true(fa >= 0 && fb >= 0);
	for (off_t at = 0;;) {
		ssize_t n = pread(fa, x, sizeof(x), at), m = pread(fb, y, sizeof(y), at);
		if (n != m || (n > 0 && memcmp(x, y, (size_t)n) != 0))
			fail_msg("'%s' and '%s' differ after byte %lld", a, b, (long long)at);
		if (n <= 0)
			break;
		at += n;
	}
	close(fa);
	close(fb);
}

static void compare_stat(const char *a, const char *b, const struct stat *x, const struct stat *y)
{
	if (x->st_mode != y->st_mode || x->st_uid != y->st_uid || x->st_gid != y->st_gid)
		fail_msg("'%s' and '%s': mode %o %o, user %u %u, group %u %u", a, b, x->st_mode, y->st_mode, x->st_uid,
			y->st_uid, x->st_gid, y->st_gid);
	if (x->st_mtim.tv_sec != y->st_mtim.tv_sec || x->st_mtim.tv_nsec != y->st_mtim.tv_nsec)
		fail_msg("'%s' and '%s' have other times", a, b);
	if (!S_ISDIR(x->st_mode) &&
		(x->st_size != y->st_size || x->st_nlink != y->st_nlink || x->st_rdev != y->st_rdev))
		fail_msg("'%s' and '%s': size %lld %lld, links %u %u", a, b, (long long)x->st_size,
			(long long)y->st_size, (unsigned)x->st_nlink, (unsigned)y->st_nlink);
	if (S_ISREG(x->st_mode) && x->st_blocks * 2 + 64 < y->st_blocks)
		fail_msg("'%s' has lost its holes in '%s'", a, b);
}

static void compare_targets(const char *a, const char *b)
{
	char x[4096], y[4096];
	ssize_t n = readlink(a, x, sizeof(x)), m = readlink(b, y, sizeof(y));
	if (n != m || memcmp(x, y, (size_t)n) != 0)
		fail_msg("'%s' and '%s' lead elsewhere", a, b);
}

static unsigned count_names(const char *folder)
{
	unsigned count = 0;
	DIR *d = opendir(folder);
	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

void saved_expect_same(const char *a, const char *b)
{
	struct stat x, y;
	assert_int_equal(lstat(a, &x), 0);
	if (lstat(b, &y) != 0)
		fail_msg("'%s' is missing", b);
	compare_stat(a, b, &x, &y);
	compare_xattrs(a, b);
	if (S_ISREG(x.st_mode))
		compare_bytes(a, b);
	if (S_ISLNK(x.st_mode))
		compare_targets(a, b);
	if (!S_ISDIR(x.st_mode))
		return;
	DIR *d = opendir(a);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		char below_a[SAVED_PATH_MAX], below_b[SAVED_PATH_MAX];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		saved_join(below_a, a, e->d_name);
		saved_join(below_b, b, e->d_name);
		saved_expect_same(below_a, below_b);
	}
	closedir(d);
	if (count_names(a) != count_names(b))
		fail_msg("'%s' holds more than '%s'", b, a);
}

static int see_clean(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	if (strncmp(path + ftw->base, ".drfs-", 6) == 0)
		fail_msg("'%s' is left", path);
	return 0;
}

void saved_expect_clean(const char *folder)
{
	nftw(folder, see_clean, 32, FTW_PHYS);
}

/* ---- backup and restore ---- */

struct id saved_backup(struct repo *repo, const char *dataset, const char *folder)
{
	char inside[SAVED_PATH_MAX];
	char *paths[] = {inside};
	struct catalog *catalog = made_catalog(repo, NULL);
	const struct backup_options options = {
		.dataset = dataset, .paths = paths, .path_count = 1, .stdin_fd = -1, .compression = 3};
	struct backup_result result = {0};
	struct error err = ERROR_INIT;
	saved_join(inside, folder, "");
	if (backup_run(repo, catalog, &options, &result, &err) != 0)
		fail_msg("%s", error_text(&err));
	struct id id = result.snapshot->id;
	snapshot_free(result.snapshot);
	catalog_close(catalog);
	return id;
}

int saved_restore(struct repo *repo, const struct id *snapshot, const char *path, const struct restore_options *options,
	struct restore_result *ret_result, struct error *err)
{
	const struct snapset *set = NULL;
	struct reader *reader = NULL;
	struct reader_options reading = {.cache_bytes = 32 << 20};
	struct restore_result unused;
	int status = snapset_load(repo, NULL, NULL, &set, err);
	const struct snapshot *s = status == 0 ? snapset_by_id(set, snapshot) : NULL;
	if (status == 0 && !s)
		status = error_set(err, ERR_NOT_FOUND, "no such snapshot");
	if (status == 0)
		status = reader_open(repo, &reading, &reader, err);
	if (status == 0)
		status = restore_run(repo, reader, s, path, options, ret_result ? ret_result : &unused, err);
	reader_close(reader);
	snapset_unref(set);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"
#include "base/checked.h"
#include "base/fileio.h"

/* ---- every attribute of every entry, against the source ---- */

static struct {
	struct repo *repo;
	const struct snapshot *snapshot;
	size_t root; /* length of the source's path, with its slash */
	uint64_t seen;
} same;

static void expect_xattrs(struct reader *reader, const struct entry *e, const char *path)
{
	struct buf encoded = {0};
	const char *name;
	const uint8_t *value;
	size_t name_len, len, count = 0;
	char list[8192], text[256];
	static char have[65536];

	assert_int_equal(entry_xattrs(reader_nodes(reader), e, &encoded, NULL), 0);
	struct cursor c = cursor_of(encoded.data, encoded.len);
	while (xattr_next(&c, &name, &name_len, &value, &len)) {
		snprintf(text, sizeof(text), "%.*s", (int)name_len, name);
		assert_int_equal(lgetxattr(path, text, have, sizeof(have)), len);
		assert_memory_equal(have, value, len);
		count++;
	}
	assert_false(cursor_failed(&c));
	ssize_t n = llistxattr(path, list, sizeof(list));
	size_t want = 0;
	for (ssize_t i = 0; i < n; i++)
		want += list[i] == '\0' ? 1 : 0;
	assert_int_equal(count, want);
	buf_release(&encoded);
}

static void expect_target(const struct entry *e, const char *path)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof(target));

	assert_int_equal(n, e->target_len);
	assert_memory_equal(target, e->target, e->target_len);
}

static void expect_attributes(const struct entry *e, const char *path, const struct stat *st)
{
	assert_int_equal(e->mode, st->st_mode);
	assert_int_equal(e->uid, st->st_uid);
	assert_int_equal(e->gid, st->st_gid);
	assert_int_equal(e->mtime.sec, st->st_mtim.tv_sec);
	assert_int_equal(e->mtime.nsec, st->st_mtim.tv_nsec);
	assert_int_equal(e->inode, st->st_ino);
	if (!S_ISDIR(st->st_mode))
		assert_int_equal(e->nlink, st->st_nlink);
	if (S_ISREG(st->st_mode))
		assert_int_equal(e->size, st->st_size);
	if (S_ISLNK(st->st_mode))
		expect_target(e, path);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		assert_int_equal(e->rdev_major, major(st->st_rdev));
		assert_int_equal(e->rdev_minor, minor(st->st_rdev));
	}
}

static int expect_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct archive_found found;

	(void)type;
	if (ftw->level == 0)
		return 0;
	if (!archive_fixture_find(same.repo, same.snapshot, path + same.root, &found))
		fail_msg("'%s' is missing", path);
	expect_attributes(found.entry, path, st);
	expect_xattrs(found.reader, found.entry, path);
	archive_fixture_let_go(&found);
	if (S_ISREG(st->st_mode)) {
		struct buf bytes = {0};
		assert_int_equal(fileio_slurp(path, 64 << 20, &bytes, NULL), 0);
		archive_fixture_expect(same.repo, same.snapshot, path + same.root, bytes.data, bytes.len);
		buf_release(&bytes);
	}
	same.seen++;
	return 0;
}

static void expect_same(struct archive_fixture *f, const struct snapshot *s)
{
	same.repo = f->repo;
	same.snapshot = s;
	same.root = strlen(f->source);
	same.seen = 0;
	assert_int_equal(nftw(f->dir, expect_one, 32, FTW_PHYS), 0);
	assert_int_equal(same.seen, s->root.entries);
}

/* Backs up twice, so that what is taken over unread is compared as well. */
static void expect_saved(struct archive_fixture *f)
{
	struct backup_result result;

	for (int i = 0; i < 2; i++) {
		archive_fixture_backup(f, &result);
		assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
		expect_same(f, result.snapshot);
		snapshot_free(result.snapshot);
	}
}

/* ---- kinds ---- */

static void test_kinds__names_may_be_any_bytes_of_any_length(void **state)
{
	struct archive_fixture *f = *state;
	char longest[256];

	memset(longest, 'n', 255);
	longest[255] = '\0';
	archive_fixture_write(f, "\xff\xfe latin-1 \xe4", "1", 1);
	archive_fixture_write(f, "new\nline\ttab", "2", 1);
	archive_fixture_write(f, " leading, trailing ", "3", 1);
	archive_fixture_write(f, longest, "4", 1);
	archive_fixture_write(f, "\xc3\xa4/\x01\x02/..\xff", "5", 1);
	archive_fixture_write(f, "-rf", "6", 1);
	expect_saved(f);
}

/* Keys sort by components, not by bytes of the path: "a.b" stands behind all of "a". */
static void test_kinds__folders_sort_before_names_that_go_on(void **state)
{
	struct archive_fixture *f = *state;
	static const char *const files[] = {"a/z", "a.b", "a", "a-b/x", "a/b/c", "a/b.c", "b", "a b/x", "a\x01/y"};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (strcmp(files[i], "a") != 0)
			archive_fixture_write(f, files[i], "1", 1);
	expect_saved(f);
}

static void test_kinds__deep_paths_and_empty_folders(void **state)
{
	struct archive_fixture *f = *state;
	char path[1600] = "";

	for (int i = 0; i < 300; i++)
		strcat(path, "deep/");
	strcat(path, "file");
	archive_fixture_write(f, path, "1", 1);
	char *empty = archive_fixture_path(f, "empty");
	assert_int_equal(mkdir(empty, 0700), 0);
	free(empty);
	expect_saved(f);
}

static void test_kinds__a_path_that_is_too_long_is_told(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char name[256];
	int at = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(name, 'd', 255);
	name[255] = '\0';
	for (int i = 0; i < 40; i++) { /* deeper than a path can be given: step by step */
		assert_int_equal(mkdirat(at, name, 0755), 0);
		int next = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	close(at);
	archive_fixture_write(f, "other", "1", 1);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_INCOMPLETE);
	assert_non_null(strstr(f->last_warning, "too long"));
	archive_fixture_expect(f->repo, result.snapshot, "other", "1", 1);
	snapshot_free(result.snapshot);
}

static void test_kinds__fifos_sockets_devices_and_links(void **state)
{
	struct archive_fixture *f = *state;
	char *fifo = archive_fixture_path(f, "fifo"), *sock = archive_fixture_path(f, "sock");
	char *dev = archive_fixture_path(f, "dev"), *link = archive_fixture_path(f, "link");
	char *long_link = archive_fixture_path(f, "long-link"), target[4096];
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	assert_int_equal(mkfifo(fifo, 0640), 0);
	assert_int_equal(symlink("../\xff nowhere", link), 0);
	assert_int_equal(symlink(target, long_link), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", sock);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	if (geteuid() == 0 && mknod(dev, S_IFBLK | 0600, makedev(253, 70000)) == 0)
		assert_int_equal(chown(dev, 12345, 54321), 0);
	expect_saved(f);
	close(fd);
	free(fifo);
	free(sock);
	free(dev);
	free(link);
	free(long_link);
}

static void test_kinds__times_before_1970_and_to_the_nanosecond(void **state)
{
	struct archive_fixture *f = *state;
	const struct timespec old[2] = {
		{.tv_sec = -86400, .tv_nsec = 1}, {.tv_sec = -86400 * 365, .tv_nsec = 999999999}};
	char *file = archive_fixture_path(f, "a/old"), *folder = archive_fixture_path(f, "a");

	archive_fixture_write(f, "a/old", "1", 1);
	assert_int_equal(utimensat(AT_FDCWD, file, old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, folder, old, 0), 0);
	expect_saved(f);
	free(file);
	free(folder);
}

static void test_kinds__extended_attributes_of_every_name_space(void **state)
{
	struct archive_fixture *f = *state;
	char *file = archive_fixture_path(f, "d/file"), *folder = archive_fixture_path(f, "d");
	char *large = archive_fixture_path(f, "large");
	char value[3000];
	/* user::rw-, user:1:r--, group::r--, mask::r--, other::--- */
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 1, 0, 0, 0, 4, 0, 4, 0,
		255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
	/* cap_net_bind_service=ep */
	static const uint8_t capability[] = {1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	memset(value, 'v', sizeof(value));
	archive_fixture_write(f, "d/file", "1", 1);
	archive_fixture_write(f, "large", "2", 1);
	if (setxattr(file, "user.b", "value", 5, 0) < 0) {
		free(file);
		free(folder);
		free(large);
		skip();
		return;
	}
	assert_int_equal(setxattr(file, "user.a", "", 0, 0), 0);
	assert_int_equal(setxattr(file, "system.posix_acl_access", acl, sizeof(acl), 0), 0);
	assert_int_equal(setxattr(folder, "system.posix_acl_default", acl, sizeof(acl), 0), 0);
	assert_int_equal(setxattr(large, "user.large", value, sizeof(value), 0), 0);
	if (geteuid() == 0) {
		assert_int_equal(setxattr(file, "security.capability", capability, sizeof(capability), 0), 0);
		assert_int_equal(setxattr(folder, "trusted.x", "t", 1, 0), 0);
	}
	expect_saved(f);
	free(file);
	free(folder);
	free(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_kinds__names_may_be_any_bytes_of_any_length),
		ARCHIVE_CASE(test_kinds__folders_sort_before_names_that_go_on),
		ARCHIVE_CASE(test_kinds__deep_paths_and_empty_folders),
		ARCHIVE_CASE(test_kinds__a_path_that_is_too_long_is_told),
		ARCHIVE_CASE(test_kinds__fifos_sockets_devices_and_links),
		ARCHIVE_CASE(test_kinds__times_before_1970_and_to_the_nanosecond),
		ARCHIVE_CASE(test_kinds__extended_attributes_of_every_name_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"
#include "base/checked.h"
#include "base/fileio.h"

/*
 * Sources that move under the reader. The linker hands the archive's own
 * openat() and pread() to what stands here, so that each thing happens at
 * exactly its moment.
 */

static struct {
	const char *name;  /* of the file that something happens to */
	_Atomic ino_t ino; /* what was opened by that name; other threads read while one opens */
	_Atomic int times; /* how often it still happens */
	void (*at_open)(const char *path);
	void (*at_read)(const char *path);
	char path[128];
	int read_errno; /* reads fail with this */
} hook;

int __real_openat64(int dirfd, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dirfd, const char *name, int flags, mode_t mode);
ssize_t __real_pread64(int fd, void *dst, size_t len, off_t off);
ssize_t __wrap_pread64(int fd, void *dst, size_t len, off_t off);

int __wrap_openat64(int dirfd, const char *name, int flags, mode_t mode)
{
	bool mine = hook.name != NULL && strcmp(name, hook.name) == 0;

	if (mine && hook.at_open != NULL && hook.times-- > 0)
		hook.at_open(hook.path);
	int fd = __real_openat64(dirfd, name, flags, mode);
	struct stat st;
	if (mine && fd >= 0 && fstat(fd, &st) == 0)
		hook.ino = st.st_ino;
	return fd;
}

ssize_t __wrap_pread64(int fd, void *dst, size_t len, off_t off)
{
	struct stat st;
	bool mine = hook.ino != 0 && fstat(fd, &st) == 0 && st.st_ino == hook.ino;

	if (mine && hook.read_errno != 0) {
		errno = hook.read_errno;
		return -1;
	}
	ssize_t n = __real_pread64(fd, dst, len, off);
	if (mine && hook.at_read != NULL && hook.times-- > 0)
		hook.at_read(hook.path);
	return n;
}

static void arm(struct archive_fixture *f, const char *name, int times)
{
	memset(&hook, 0, sizeof(hook));
	hook.name = name;
	hook.times = times;
	snprintf(hook.path, sizeof(hook.path), "%s/%s", f->dir, name);
}

static void disarm(void)
{
	memset(&hook, 0, sizeof(hook));
}

static void vanish(const char *path)
{
	assert_int_equal(unlink(path), 0);
}

static void grow_much(const char *path)
{
	static const char block[1 << 20] = {1};
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	for (int i = 0; i < 6; i++)
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	close(fd);
}

static void append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write(fd, "+", 1), 1);
	close(fd);
}

static void shrink(const char *path)
{
	assert_int_equal(truncate(path, 3), 0);
}

static void become_folder(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void become_fifo(const char *path)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
}

static void fill_holes(const char *path)
{
	char block[40000];
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	memset(block, 'f', sizeof(block));
	assert_int_equal(pwrite(fd, block, sizeof(block), 0), sizeof(block));
	close(fd);
}

/* Runs with the hook as armed; the snapshot is the caller's. */
static struct snapshot *run(struct archive_fixture *f)
{
	struct backup_result result;

	archive_fixture_backup(f, &result);
	disarm();
	return result.snapshot;
}

/* Told, left out, and the neighbours are kept. */
static void expect_left_out(struct archive_fixture *f, const char *name, const char *what)
{
	struct snapshot *s = run(f);

	assert_int_equal(s->state, SNAPSHOT_INCOMPLETE);
	assert_false(archive_fixture_has(f->repo, s, name));
	archive_fixture_expect(f->repo, s, "a", "before", 6);
	archive_fixture_expect(f->repo, s, "z", "after", 5);
	assert_non_null(f->last_warning);
	assert_non_null(strstr(f->last_warning, what));
	snapshot_free(s);
}

static void make_three(struct archive_fixture *f, size_t len)
{
	uint8_t *p = archive_fixture_bytes(len, 9);

	archive_fixture_write(f, "a", "before", 6);
	archive_fixture_write(f, "m", p, len);
	archive_fixture_write(f, "z", "after", 5);
	free(p);
}

static void test_moving__what_vanishes_is_told(void **state)
{
	struct archive_fixture *f = *state;

	make_three(f, 1000);
	arm(f, "m", 1);
	hook.at_open = vanish;
	expect_left_out(f, "m", "vanished");
}

static void test_moving__what_becomes_another_kind_is_told(void **state)
{
	struct archive_fixture *f = *state;

	make_three(f, 1000);
	arm(f, "m", 1);
	hook.at_open = become_folder;
	expect_left_out(f, "m", "no regular file");
	char *path = archive_fixture_path(f, "m");
	assert_int_equal(rmdir(path), 0);
	free(path);
	make_three(f, 1000);
	arm(f, "m", 1);
	hook.at_open = become_fifo;
	expect_left_out(f, "m", "no regular file");
}

static void test_moving__what_a_bad_disk_holds_is_told_small_or_large(void **state)
{
	struct archive_fixture *f = *state;
	static const size_t sizes[] = {1000, 3 << 20};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		make_three(f, sizes[i]);
		arm(f, "m", 0);
		hook.read_errno = EIO;
		expect_left_out(f, "m", "m: ");
	}
}

/* The entry's size, content and flag fit each other, whatever was caught of the file. */
static void expect_consistent(struct archive_fixture *f, struct snapshot *s, const char *name, bool changed)
{
	struct archive_found found;
	struct buf got = {0};

	assert_true(archive_fixture_find(f->repo, s, name, &found));
	bool flagged = (found.entry->flags & ENTRY_CHANGED_WHILE_READ) != 0;
	archive_fixture_let_go(&found);
	assert_int_equal(flagged, changed);
	assert_int_equal(s->state, changed ? SNAPSHOT_INCOMPLETE : SNAPSHOT_WHOLE);
	archive_fixture_read(f->repo, s, name, &got);
	buf_release(&got);
}

static void test_moving__a_small_file_that_changes_once_is_read_once_more(void **state)
{
	struct archive_fixture *f = *state;

	archive_fixture_write(f, "m", "some", 4);
	arm(f, "m", 1);
	hook.at_read = append;
	struct snapshot *s = run(f);
	expect_consistent(f, s, "m", false);
	archive_fixture_expect(f->repo, s, "m", "some+", 5);
	snapshot_free(s);
}

static void test_moving__a_small_file_that_never_rests_is_kept_and_told(void **state)
{
	struct archive_fixture *f = *state;

	archive_fixture_write(f, "m", "some", 4);
	arm(f, "m", 1000);
	hook.at_read = append;
	struct snapshot *s = run(f);
	expect_consistent(f, s, "m", true);
	snapshot_free(s);
	s = run(f); /* at rest now: read again although nothing but the flag says so */
	expect_consistent(f, s, "m", false);
	snapshot_free(s);
}

/* The room for small files is not made for it: it must not be taken for one any more. */
static void test_moving__a_small_file_that_grows_large_is_read_as_one(void **state)
{
	struct archive_fixture *f = *state;
	struct archive_found found;

	make_three(f, 1000);
	arm(f, "m", 1);
	hook.at_read = grow_much;
	struct snapshot *s = run(f);
	expect_consistent(f, s, "m", false);
	assert_true(archive_fixture_find(f->repo, s, "m", &found));
	assert_int_equal(found.entry->size, 1000 + (6 << 20));
	assert_true(found.entry->flags & ENTRY_HAS_CONTENT_HASH);
	archive_fixture_let_go(&found);
	archive_fixture_expect(f->repo, s, "z", "after", 5);
	snapshot_free(s);
}

static void test_moving__files_that_shrink_end_where_they_end(void **state)
{
	struct archive_fixture *f = *state;
	static const size_t sizes[] = {1000, 3 << 20};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		make_three(f, sizes[i]);
		arm(f, "m", 1);
		hook.at_read = shrink;
		struct snapshot *s = run(f);
		expect_consistent(f, s, "m", sizes[i] > 1000);
		snapshot_free(s);
	}
}

static void test_moving__a_large_file_that_grows_is_kept_as_far_as_it_was(void **state)
{
	struct archive_fixture *f = *state;
	struct archive_found found;

	make_three(f, 3 << 20);
	arm(f, "m", 1);
	hook.at_read = append;
	struct snapshot *s = run(f);
	expect_consistent(f, s, "m", true);
	assert_true(archive_fixture_find(f->repo, s, "m", &found));
	assert_int_equal(found.entry->size, 3 << 20);
	archive_fixture_let_go(&found);
	snapshot_free(s);
}

/* The map of holes and the bytes are asked for at two moments; the bytes are believed. */
static void test_moving__holes_that_are_filled_meanwhile_lose_nothing(void **state)
{
	struct archive_fixture *f = *state;
	char *path = archive_fixture_path(f, "m");
	struct buf got = {0};

	archive_fixture_write(f, "m", "", 0);
	assert_int_equal(truncate(path, 100000), 0);
	arm(f, "m", 1);
	hook.at_read = fill_holes;
	struct snapshot *s = run(f);
	archive_fixture_read(f->repo, s, "m", &got);
	assert_int_equal(got.len, 100000);
	for (size_t i = 0; i < got.len; i++)
		assert_int_equal(got.data[i], i < 40000 ? 'f' : 0);
	buf_release(&got);
	snapshot_free(s);
	free(path);
}

/* ---- everything at once ---- */

struct churn {
	char dir[64];
	volatile int stop;
};

static void churn_one(const struct churn *c, unsigned *seed)
{
	char a[128], b[128];
	int n = rand_r(seed) % 12, to = rand_r(seed) % 12;

	snprintf(a, sizeof(a), "%s/d%d/%d", c->dir, n % 3, n);
	snprintf(b, sizeof(b), "%s/d%d/%d", c->dir, to % 3, to);
	int fd = -1;
	switch (rand_r(seed) % 6) {
	case 0:
		(void)unlink(a);
		break;
	case 1:
		(void)rename(a, b);
		break;
	case 2:
		(void)link(a, b);
		break;
	case 3:
		(void)!truncate(a, rand_r(seed) % 600000);
		break;
	case 4:
		(void)symlink(a, b);
		break;
	default:
		fd = open(a, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			(void)!pwrite(fd, c->dir, sizeof(c->dir), rand_r(seed) % 500000);
	}
	if (fd >= 0)
		close(fd);
}

static void *churn_main(void *arg)
{
	struct churn *c = arg;
	unsigned seed = 1;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED))
		churn_one(c, &seed);
	return NULL;
}

static int read_entry(void *arg, const struct entry *old_entry, const struct entry *e, struct error *err)
{
	struct reader_file *file = NULL;
	static uint8_t room[1 << 20];
	size_t got = 0;

	(void)old_entry;
	if (!S_ISREG(e->mode))
		return 0;
	int r = reader_file_open(arg, e, &file, err);
	if (r == 0)
		r = reader_file_read(file, 0, room, sizeof(room), &got, err);
	assert_int_equal(got, e->size);
	reader_file_close(file);
	return r;
}

static void test_moving__a_tree_that_never_rests_makes_snapshots_that_read(void **state)
{
	struct archive_fixture *f = *state;
	struct churn churn = {0};
	struct reader_options options = {.threads = 1};
	struct reader *reader = NULL;
	static const struct tree_root none = {0};
	pthread_t thread;

	for (int i = 0; i < 12; i++) {
		char name[16];
		snprintf(name, sizeof(name), "d%d/%d", i % 3, i);
		archive_fixture_write(f, name, name, strlen(name));
	}
	snprintf(churn.dir, sizeof(churn.dir), "%s", f->dir);
	assert_int_equal(pthread_create(&thread, NULL, churn_main, &churn), 0);
	assert_int_equal(reader_open(f->repo, &options, &reader, NULL), 0);
	for (int i = 0; i < 15; i++) {
		struct error err = ERROR_INIT;
		struct snapshot *s = run(f);
		if (tree_diff(reader_nodes(reader), &none, &s->root, read_entry, reader, &err) < 0)
			fail_msg("%s", error_text(&err));
		snapshot_free(s);
	}
	__atomic_store_n(&churn.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_moving__what_vanishes_is_told),
		ARCHIVE_CASE(test_moving__what_becomes_another_kind_is_told),
		ARCHIVE_CASE(test_moving__what_a_bad_disk_holds_is_told_small_or_large),
		ARCHIVE_CASE(test_moving__a_small_file_that_changes_once_is_read_once_more),
		ARCHIVE_CASE(test_moving__a_small_file_that_never_rests_is_kept_and_told),
		ARCHIVE_CASE(test_moving__a_small_file_that_grows_large_is_read_as_one),
		ARCHIVE_CASE(test_moving__files_that_shrink_end_where_they_end),
		ARCHIVE_CASE(test_moving__a_large_file_that_grows_is_kept_as_far_as_it_was),
		ARCHIVE_CASE(test_moving__holes_that_are_filled_meanwhile_lose_nothing),
		ARCHIVE_CASE(test_moving__a_tree_that_never_rests_makes_snapshots_that_read),
	};

	disarm();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

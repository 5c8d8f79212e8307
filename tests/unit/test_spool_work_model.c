/* SPDX-License-Identifier: MIT */
/* Random calls made on a working copy and on a folder of this host: every answer and the whole tree must be the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "fs/errmap.h"
#include "spool_made.h"

enum { HANDLES = 4, PATH_LEN = 256, LISTED_MAX = 512 };
#define NOW_FROM 1735689600 /* what is newer was made by the test itself: 2025 */

struct handle {
	int fd;
	struct work_file *file;
};

struct model {
	struct spool_made *m;
	struct handle handles[HANDLES];
	bool xattrs; /* the host's folder can have them */
	const struct snapshot *newest;
	char last[PATH_LEN * 3];
};

static uint64_t draw(struct model *t, uint64_t below)
{
	return spool_made_draw(t->m, below);
}

/* A path as "a/b/f3": few names, so that calls meet. Some are the base's. */
static void draw_path(struct model *t, char dst[static PATH_LEN])
{
	static const char *const folders[] = {
		"a", "a/b", "a/b-c", "a-", "a.b", "z", "z/y", "z/y/x", "empty", "n", "n/o"};
	static const char *const names[] = {"a", "b", "n", "o", "y", "z", "big", "hard", "link", "fifo", "f0-", "f1",
		"f7", "f8", "f4", "f3-", "empty", "nothing", "x"};
	if (draw(t, 3) == 0)
		snprintf(dst, PATH_LEN, "%s", names[draw(t, ARRAY_LEN(names))]);
	else
		snprintf(
			dst, PATH_LEN, "%s/%s", folders[draw(t, ARRAY_LEN(folders))], names[draw(t, ARRAY_LEN(names))]);
}

static void full_path(struct model *t, const char *path, char dst[static PATH_LEN])
{
	int len = snprintf(dst, PATH_LEN, "%s/%s", t->m->f.dir, path);
	assert_in_range(len, 1, PATH_LEN - 1);
}

/* The folder of a path in the working copy, and the name in it. */
static int folder_of(struct model *t, const char *path, uint64_t *ret_dir, char name[static PATH_LEN])
{
	char copy[PATH_LEN], *save = NULL;
	const char *slash = strrchr(path, '/');
	struct stat st;
	*ret_dir = INDEX_ROOT;
	snprintf(name, PATH_LEN, "%.200s", slash ? slash + 1 : path);
	snprintf(copy, sizeof(copy), "%.*s", slash ? (int)(slash - path) : 0, path);
	for (char *at = strtok_r(copy, "/", &save); at; at = strtok_r(NULL, "/", &save)) {
		int rc = work_lookup(t->m->work, *ret_dir, at, &st, NULL);
		if (rc < 0)
			return rc;
		if (!S_ISDIR(st.st_mode))
			return S_ISLNK(st.st_mode) ? ERR_NOT_FOUND : WORK_ENOTDIR;
		*ret_dir = st.st_ino;
	}
	return 0;
}

static int find(struct model *t, const char *path, struct stat *ret)
{
	char name[PATH_LEN];
	uint64_t dir;
	int rc = folder_of(t, path, &dir, name);
	return rc < 0 ? rc : work_lookup(t->m->work, dir, name, ret, NULL);
}

/* Both did the same. */
static void same(struct model *t, int rc, int real, const char *what, const char *path, const char *to)
{
	int wanted = real == 0 ? 0 : errno;
	snprintf(t->last, sizeof(t->last), "%s '%s' '%s'", what, path, to);
	if (errmap_errno(rc) != wanted)
		fail_msg("%s: %d (%s) here, %s there", t->last, rc, strerror(errmap_errno(rc)), strerror(wanted));
}

/* ---- calls ---- */

static const struct work_owner owner = {0};

static void do_make(struct model *t)
{
	static const mode_t types[] = {S_IFDIR, S_IFDIR, S_IFREG, S_IFREG, S_IFIFO, S_IFSOCK};
	char path[PATH_LEN], full[PATH_LEN], name[PATH_LEN];
	mode_t mode = types[draw(t, ARRAY_LEN(types))] | (mode_t)draw(t, 2) * 0111 | 0644;
	uint64_t dir;
	struct stat st;
	draw_path(t, path);
	full_path(t, path, full);
	int rc = folder_of(t, path, &dir, name);
	if (rc == 0)
		rc = work_make(t->m->work, dir, name, mode, 0, owner, &st, NULL);
	if (rc == 0 && S_ISREG(mode)) { /* as open(2) with O_CREAT does */
		struct work_file *file;
		assert_int_equal(work_file_open(t->m->work, st.st_ino, true, false, &file, NULL), 0);
		assert_int_equal(work_file_close(file, NULL), 0);
	}
	int real = S_ISDIR(mode) ? mkdir(full, mode & 0777) : mknod(full, mode, 0);
	same(t, rc, real, S_ISDIR(mode) ? "mkdir" : "mknod", path, "");
}

static void do_symlink(struct model *t)
{
	char path[PATH_LEN], full[PATH_LEN], name[PATH_LEN];
	uint64_t dir;
	struct stat st;
	draw_path(t, path);
	full_path(t, path, full);
	int rc = folder_of(t, path, &dir, name);
	if (rc == 0)
		rc = work_symlink(t->m->work, dir, name, "to/where ever", owner, &st, NULL);
	same(t, rc, symlink("to/where ever", full), "symlink", path, "");
}

static void do_link(struct model *t)
{
	char path[PATH_LEN], to[PATH_LEN], full[PATH_LEN], full_to[PATH_LEN], name[PATH_LEN];
	uint64_t dir = 0;
	struct stat st;
	draw_path(t, path);
	draw_path(t, to);
	full_path(t, path, full);
	full_path(t, to, full_to);
	int rc = find(t, path, &st);
	if (rc == 0)
		rc = folder_of(t, to, &dir, name);
	if (rc == 0) { /* as the kernel: what is there comes first */
		struct stat there;
		rc = work_lookup(t->m->work, dir, name, &there, NULL) == 0
			     ? WORK_EEXIST
			     : work_link(t->m->work, st.st_ino, dir, name, &st, NULL);
	}
	same(t, rc, link(full, full_to), "link", path, to);
}

static void do_remove(struct model *t)
{
	char path[PATH_LEN], full[PATH_LEN], name[PATH_LEN];
	uint64_t dir;
	bool folder = draw(t, 3) == 0;
	draw_path(t, path);
	full_path(t, path, full);
	int rc = folder_of(t, path, &dir, name);
	if (rc == 0)
		rc = folder ? work_rmdir(t->m->work, dir, name, NULL) : work_unlink(t->m->work, dir, name, NULL);
	same(t, rc, folder ? rmdir(full) : unlink(full), folder ? "rmdir" : "unlink", path, "");
}

static void do_rename(struct model *t)
{
	static const unsigned kinds[] = {0, 0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	char path[PATH_LEN], to[PATH_LEN], full[PATH_LEN], full_to[PATH_LEN], name[PATH_LEN], to_name[PATH_LEN];
	unsigned flags = kinds[draw(t, ARRAY_LEN(kinds))];
	uint64_t dir = 0, to_dir = 0;
	draw_path(t, path);
	draw_path(t, to);
	full_path(t, path, full);
	full_path(t, to, full_to);
	int rc = folder_of(t, path, &dir, name);
	if (rc == 0)
		rc = folder_of(t, to, &to_dir, to_name);
	if (rc == 0)
		rc = work_rename(t->m->work, dir, name, to_dir, to_name, flags, NULL);
	same(t, rc, renameat2(AT_FDCWD, full, AT_FDCWD, full_to, flags), flags ? "rename with flags" : "rename", path,
		to);
}

/* Open files stay open over other calls. */
static void do_open(struct model *t)
{
	struct handle *h = &t->handles[draw(t, HANDLES)];
	char path[PATH_LEN], full[PATH_LEN];
	struct stat st;
	bool truncate = draw(t, 4) == 0;
	if (h->file) {
		assert_int_equal(work_flush(h->file, NULL), 0);
		assert_int_equal(work_file_close(h->file, NULL), 0);
		close(h->fd);
		h->file = NULL;
		return;
	}
	draw_path(t, path);
	full_path(t, path, full);
	if (find(t, path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	assert_int_equal(work_file_open(t->m->work, st.st_ino, true, truncate, &h->file, NULL), 0);
	h->fd = open(full, O_RDWR | O_NOFOLLOW | (truncate ? O_TRUNC : 0));
	assert_true(h->fd >= 0);
	snprintf(t->last, sizeof(t->last), "open '%s'%s", path, truncate ? " truncating" : "");
}

static void write_both(struct model *t, struct handle *h)
{
	uint64_t off = draw(t, 40000);
	size_t len = 1 + draw(t, 9000);
	bool append = draw(t, 3) == 0;
	uint8_t *data = archive_fixture_bytes(len, (uint32_t)draw(t, 1 << 30));
	assert_int_equal(work_write(h->file, off, data, len, append, NULL), 0);
	if (append)
		off = (uint64_t)lseek(h->fd, 0, SEEK_END);
	assert_int_equal(pwrite(h->fd, data, len, (off_t)off), len);
	free(data);
}

static void compare_handle(struct handle *h)
{
	static uint8_t here[400000], there[400000];
	struct stat st;
	size_t len = 0;
	assert_int_equal(work_read(h->file, 0, here, sizeof(here), &len, NULL), 0);
	assert_int_equal(fstat(h->fd, &st), 0);
	assert_int_equal(len, st.st_size);
	assert_int_equal(pread(h->fd, there, sizeof(there), 0), len);
	assert_memory_equal(here, there, len);
}

static void do_handle(struct model *t)
{
	struct handle *h = &t->handles[draw(t, HANDLES)];
	uint64_t off = draw(t, 30000), len = 1 + draw(t, 20000);
	if (!h->file)
		return;
	switch (draw(t, 6)) {
	case 0:
		compare_handle(h);
		break;
	case 1:
		assert_int_equal(work_fsync(h->file, NULL), 0);
		break;
	case 2:
		assert_int_equal(work_allocate(h->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len, NULL), 0);
		assert_int_equal(
			fallocate(h->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len), 0);
		break;
	default:
		write_both(t, h);
	}
	snprintf(t->last, sizeof(t->last), "an open file");
}

static void do_truncate(struct model *t)
{
	char path[PATH_LEN], full[PATH_LEN];
	struct stat st, want = {.st_size = (off_t)draw(t, 50000)};
	draw_path(t, path);
	full_path(t, path, full);
	if (find(t, path, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	int rc = work_setattr(t->m->work, st.st_ino, WORK_SET_SIZE, &want, &st, NULL);
	same(t, rc, truncate(full, want.st_size), "truncate", path, "");
	assert_int_equal(st.st_size, want.st_size);
}

static void do_attributes(struct model *t)
{
	char path[PATH_LEN], full[PATH_LEN];
	struct stat st,
		want = {.st_mode = (mode_t)draw(t, 01000),
			.st_uid = (uid_t)draw(t, 3),
			.st_gid = (gid_t)draw(t, 3),
			.st_mtim = {.tv_sec = (time_t)draw(t, 1000000000), .tv_nsec = (long)draw(t, 1000000000)}};
	draw_path(t, path);
	full_path(t, path, full);
	if (find(t, path, &st) < 0)
		return;
	unsigned what = (unsigned)draw(t, 3);
	if (what == 0 && !S_ISLNK(st.st_mode)) {
		int rc = work_setattr(t->m->work, st.st_ino, WORK_SET_MODE, &want, &st, NULL);
		same(t, rc, chmod(full, want.st_mode), "chmod", path, "");
	} else if (what == 1 && geteuid() == 0) {
		int rc = work_setattr(t->m->work, st.st_ino, WORK_SET_UID | WORK_SET_GID, &want, &st, NULL);
		same(t, rc, lchown(full, want.st_uid, want.st_gid), "chown", path, "");
	} else {
		const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, want.st_mtim};
		int rc = work_setattr(t->m->work, st.st_ino, WORK_SET_MTIME, &want, &st, NULL);
		same(t, rc, utimensat(AT_FDCWD, full, times, AT_SYMLINK_NOFOLLOW), "utimens", path, "");
	}
}

static void do_xattr(struct model *t)
{
	static const char *const names[] = {"user.a", "user.b", "user.long name", "user.z"};
	static const int flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	char path[PATH_LEN], full[PATH_LEN], value[64];
	const char *name = names[draw(t, ARRAY_LEN(names))];
	int flag = flags[draw(t, ARRAY_LEN(flags))];
	size_t len = draw(t, sizeof(value));
	struct stat st;
	memset(value, (int)('a' + draw(t, 26)), sizeof(value));
	draw_path(t, path);
	full_path(t, path, full);
	if (!t->xattrs || find(t, path, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return;
	if (draw(t, 4) == 0) {
		int rc = work_removexattr(t->m->work, st.st_ino, name, NULL);
		same(t, rc, removexattr(full, name), "removexattr", path, name);
	} else {
		int rc = work_setxattr(t->m->work, st.st_ino, name, value, len, flag, NULL);
		same(t, rc, setxattr(full, name, value, len, flag), "setxattr", path, name);
	}
}

/* ---- comparing ---- */

struct listed {
	char name[256];
	struct stat st;
};

struct listing {
	struct listed list[LISTED_MAX];
	size_t count, folders;
	uint64_t off;
	size_t room; /* entries until it says that this is enough */
};

static bool take(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct listing *l = arg;
	if (l->room == 0)
		return false;
	l->room--;
	assert_true(l->count < LISTED_MAX);
	assert_true(next != l->off);
	l->off = next;
	snprintf(l->list[l->count].name, sizeof(l->list[0].name), "%s", name);
	l->list[l->count++].st = *st;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct listed *)a)->name, ((const struct listed *)b)->name);
}

/* Lists here, in pieces of a random size. */
static void list_here(struct model *t, uint64_t dir, struct listing *l)
{
	size_t before;
	l->count = 0;
	l->off = 0;
	do {
		before = l->count;
		l->room = 1 + draw(t, 40);
		assert_int_equal(work_list(t->m->work, dir, l->off, take, l, NULL), 0);
	} while (l->count > before);
	qsort(l->list, l->count, sizeof(l->list[0]), by_name);
}

static void list_there(const char *path, struct listing *l)
{
	DIR *d = opendir(path);
	assert_non_null(d);
	l->count = l->folders = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct listed *at = &l->list[l->count];
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(at->name, sizeof(at->name), "%s", e->d_name);
		assert_int_equal(fstatat(dirfd(d), e->d_name, &at->st, AT_SYMLINK_NOFOLLOW), 0);
		l->folders += S_ISDIR(at->st.st_mode);
		l->count++;
	}
	closedir(d);
	qsort(l->list, l->count, sizeof(l->list[0]), by_name);
}

static void compare_stat(struct model *t, const char *path, const struct stat *here, const struct stat *there)
{
	bool folder = S_ISDIR(there->st_mode);
	if (here->st_mode != there->st_mode || here->st_uid != there->st_uid || here->st_gid != there->st_gid)
		fail_msg("after %s: '%s' is %o of %u, not %o of %u", t->last, path, here->st_mode, here->st_uid,
			there->st_mode, there->st_uid);
	if (!folder && (here->st_size != there->st_size || here->st_nlink != there->st_nlink ||
			       here->st_rdev != there->st_rdev))
		fail_msg("after %s: '%s' has size %lld, %lu links, not %lld, %lu", t->last, path,
			(long long)here->st_size, (unsigned long)here->st_nlink, (long long)there->st_size,
			(unsigned long)there->st_nlink);
	bool now = there->st_mtim.tv_sec >= NOW_FROM;
	if (now ? here->st_mtim.tv_sec < NOW_FROM
		: here->st_mtim.tv_sec != there->st_mtim.tv_sec || here->st_mtim.tv_nsec != there->st_mtim.tv_nsec)
		fail_msg("after %s: '%s' has the time %lld, not %lld", t->last, path, (long long)here->st_mtim.tv_sec,
			(long long)there->st_mtim.tv_sec);
}

static void compare_bytes(struct model *t, const char *path, uint64_t ino)
{
	char full[PATH_LEN];
	struct handle h;
	full_path(t, path, full);
	assert_int_equal(work_file_open(t->m->work, ino, false, false, &h.file, NULL), 0);
	h.fd = open(full, O_RDONLY | O_NOFOLLOW);
	assert_true(h.fd >= 0);
	compare_handle(&h);
	close(h.fd);
	assert_int_equal(work_file_close(h.file, NULL), 0);
}

static void compare_target(struct model *t, const char *path, uint64_t ino)
{
	char full[PATH_LEN], there[512];
	struct buf here = {0};
	full_path(t, path, full);
	ssize_t len = readlink(full, there, sizeof(there));
	assert_int_equal(work_readlink(t->m->work, ino, &here, NULL), 0);
	assert_int_equal(here.len, len);
	assert_memory_equal(here.data, there, (size_t)len);
	buf_release(&here);
}

static void compare_xattrs(struct model *t, const char *path, uint64_t ino)
{
	static const char *const names[] = {"user.a", "user.b", "user.long name", "user.z"};
	char full[PATH_LEN], there[64];
	full_path(t, path, full);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct buf here = {0};
		ssize_t len = lgetxattr(full, names[i], there, sizeof(there));
		int rc = work_getxattr(t->m->work, ino, names[i], &here, NULL);
		if ((len < 0) != (rc == WORK_ENODATA) || (len >= 0 && (size_t)len != here.len))
			fail_msg("after %s: '%s' differs in '%s'", t->last, path, names[i]);
		if (len > 0)
			assert_memory_equal(here.data, there, (size_t)len);
		buf_release(&here);
	}
}

static void compare_folder(struct model *t, const char *path, uint64_t ino);

static void compare_entry(struct model *t, const char *path, const struct listed *here, const struct listed *there)
{
	struct stat st;
	compare_stat(t, path, &here->st, &there->st);
	assert_int_equal(work_getattr(t->m->work, here->st.st_ino, &st, NULL), 0);
	compare_stat(t, path, &st, &there->st);
	assert_int_equal(find(t, path, &st), 0);
	assert_int_equal(st.st_ino, here->st.st_ino);
	if (S_ISREG(st.st_mode))
		compare_bytes(t, path, st.st_ino);
	if (S_ISLNK(st.st_mode))
		compare_target(t, path, st.st_ino);
	if (t->xattrs && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		compare_xattrs(t, path, st.st_ino);
	if (S_ISDIR(st.st_mode))
		compare_folder(t, path, st.st_ino);
}

static void compare_folder(struct model *t, const char *path, uint64_t ino)
{
	struct listing *here = malloc(sizeof(*here)), *there = malloc(sizeof(*there));
	char full[PATH_LEN], below[PATH_LEN];
	struct stat st;
	assert_true(here && there);
	full_path(t, path, full);
	list_here(t, ino, here);
	list_there(full, there);
	for (size_t i = 0; i < here->count || i < there->count; i++)
		if (i >= here->count || i >= there->count || strcmp(here->list[i].name, there->list[i].name) != 0)
			fail_msg("after %s: '%s' has %zu entries, not %zu: '%s', not '%s'", t->last, path, here->count,
				there->count, i < here->count ? here->list[i].name : "",
				i < there->count ? there->list[i].name : "");
	assert_int_equal(work_getattr(t->m->work, ino, &st, NULL), 0);
	if (st.st_nlink != 2 + there->folders)
		fail_msg("after %s: '%s' has %lu links, and %zu folders", t->last, path, (unsigned long)st.st_nlink,
			there->folders);
	for (size_t i = 0; i < here->count; i++) {
		snprintf(below, sizeof(below), "%s%s%.80s", path, *path ? "/" : "", there->list[i].name);
		compare_entry(t, below, &here->list[i], &there->list[i]);
	}
	free(here);
	free(there);
}

/* ---- runs ---- */

static void close_handles(struct model *t)
{
	for (size_t i = 0; i < HANDLES; i++) {
		struct handle *h = &t->handles[i];
		if (!h->file)
			continue;
		compare_handle(h);
		assert_int_equal(work_file_close(h->file, NULL), 0);
		close(h->fd);
		h->file = NULL;
	}
}

static void swap_base(struct spool_made *m)
{
	struct snapshot *newest = m->kept[m->kept_count - 1];
	m->kept[m->kept_count - 1] = m->base;
	m->base = newest;
	m->kept_count -= m->kept[m->kept_count - 1] == NULL;
}

static void commit(struct model *t)
{
	const struct snapshot *s = spool_made_commit(t->m);
	if (s)
		t->newest = s;
}

static void reopen(struct model *t)
{
	struct spool_made *m = t->m;
	close_handles(t);
	work_close(m->work);
	m->work = NULL;
	if (t->newest != m->base) /* what it is opened with; the last one that was kept */
		swap_base(m);
	t->newest = m->base;
	spool_made_work(t->m);
	assert_null(*work_lost(t->m->work));
}

/* Onto what was committed: all is as it was, by other numbers. */
static void move(struct model *t)
{
	bool moved = false;
	close_handles(t);
	commit(t);
	assert_int_equal(work_rebase(t->m->work, t->newest, &moved, NULL), 0);
	compare_folder(t, "", INDEX_ROOT);
}

static void burst(struct model *t, unsigned count)
{
	static void (*const calls[])(struct model *) = {do_make, do_make, do_make, do_symlink, do_link, do_remove,
		do_remove, do_rename, do_rename, do_rename, do_open, do_open, do_handle, do_handle, do_handle,
		do_truncate, do_attributes, do_attributes, do_xattr};
	for (unsigned i = 0; i < count; i++)
		calls[draw(t, ARRAY_LEN(calls))](t);
}

static void run(struct spool_made *m, uint64_t seed, unsigned bursts, unsigned count)
{
	struct model t = {.m = m};
	mode_t old = umask(0);
	const char *other = getenv("DRFS_TEST_SEED"); /* for long runs */
	m->state = other ? strtoull(other, NULL, 10) : seed;
	t.newest = m->base;
	if (m->base) { /* it leads to a file: which cannot be told from a folder that is not there */
		char full[PATH_LEN];
		full_path(&t, "link", full);
		assert_int_equal(unlink(full), 0);
		assert_int_equal(work_unlink(m->work, INDEX_ROOT, "link", NULL), 0);
	}
	t.xattrs = setxattr(m->f.dir, "user.a", "", 0, 0) == 0 && removexattr(m->f.dir, "user.a") == 0;
	for (unsigned i = 0; i < bursts; i++) {
		burst(&t, count);
		compare_folder(&t, "", INDEX_ROOT);
		if (i % 5 == 1) {
			reopen(&t);
			compare_folder(&t, "", INDEX_ROOT);
		} else if (i % 5 == 3) {
			commit(&t);
			compare_folder(&t, "", INDEX_ROOT);
			if (i % 2 == 1)
				move(&t);
		}
	}
	close_handles(&t);
	umask(old);
}

static void test_work__is_a_folder_to_random_calls_over_a_base(void **state)
{
	spool_made_base(*state);
	spool_made_work(*state);
	run(*state, 1, 40, 60);
}

static void test_work__is_a_folder_to_few_random_calls_between_looks(void **state)
{
	spool_made_base(*state);
	spool_made_work(*state);
	run(*state, 2, 150, 5);
}

static void test_work__is_a_folder_to_random_calls_on_a_new_dataset(void **state)
{
	struct spool_made *m = *state;
	spool_made_work(m);
	/* Of the same mode and owner as the working copy's root. */
	assert_int_equal(chmod(m->f.dir, 0755), 0);
	run(m, 3, 40, 60);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SPOOL_CASE(test_work__is_a_folder_to_random_calls_over_a_base),
		SPOOL_CASE(test_work__is_a_folder_to_few_random_calls_between_looks),
		SPOOL_CASE(test_work__is_a_folder_to_random_calls_on_a_new_dataset),
	};
	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
